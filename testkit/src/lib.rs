//! What the integration tests share: the ClickHouse engine as a process of its own, a proxy that misbehaves ([`proxy`]),
//! servers that answer like NetBox ([`netbox`]), Prometheus ([`prometheus`]) and Kubernetes ([`kubernetes`]), one that gives
//! the answers of a list ([`web`]), and an allocator that counts ([`alloc`]).
//!
//! `make engine` installs the engine. A test that needs it and does not find it fails and says so; it is never skipped.

#![deny(missing_docs, unreachable_pub)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub mod alloc;
pub mod http;
pub mod kubernetes;
pub mod netbox;
pub mod prometheus;
pub mod proxy;
pub mod web;

/// How long the engine may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// A ClickHouse engine behind ClickHouse's HTTP interface on a port of 127.0.0.1, gone when it is dropped.
#[derive(Debug)]
pub struct Engine {
    process: Option<Child>,
    port: u16,
    directory: tempfile::TempDir,
    grants: Vec<String>,
}

impl Engine {
    /// Starts an empty engine on a free port.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a folder for the engine's data");
        let mut engine = Self { process: None, port: 0, directory, grants: Vec::new() };
        engine.resume();
        engine
    }

    /// Starts the engine again, so that statements have these rights only, such as `SELECT ON helios.*`.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn restrict(&mut self, grants: &[&str]) {
        self.kill();
        self.grants = grants.iter().map(|&grant| grant.to_owned()).collect();
        self.resume();
    }

    /// An engine with the same data and port after [`kill`](Self::kill).
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn resume(&mut self) {
        let port_file = self.directory.path().join("port");
        let _ = std::fs::remove_file(&port_file);
        let process = Command::new(python())
            .args(["-m", "clickhouse_http", "--port", &self.port.to_string(), "--path"])
            .arg(self.directory.path().join("data"))
            .arg("--port-file")
            .arg(&port_file)
            .args(self.grants.iter().flat_map(|grant| ["--grant", grant]))
            .env("PYTHONPATH", workspace().join("tools/clickhouse-http"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the engine's python runs");
        let deadline = Instant::now() + PATIENCE;
        // Held before the wait, so that an engine that does not come up is ended with the test.
        let process = self.process.insert(process);
        self.port = loop {
            if let Some(port) = std::fs::read_to_string(&port_file).ok().and_then(|port| port.trim().parse().ok()) {
                break port;
            }
            if let Some(status) = process.try_wait().expect("the engine's state") {
                let mut error = String::new();
                let _ = process.stderr.take().map(|mut stderr| stderr.read_to_string(&mut error));
                panic_with(&format!("the ClickHouse engine ended with {status}: {error}"));
            }
            assert!(Instant::now() < deadline, "the ClickHouse engine did not start within {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(20)); // between two looks at the port file
        };
    }

    /// Ends the process at once, as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// The address for `clickhouse.url`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Runs a query and returns the answer as text.
    ///
    /// # Panics
    /// With ClickHouse's message when it does not succeed.
    pub fn query(&self, sql: &str) -> String {
        match self.try_query(sql) {
            Ok(answer) => answer,
            Err(error) => panic_with(&format!("{sql}: {error}")),
        }
    }

    /// As [`query`](Self::query).
    ///
    /// # Errors
    /// ClickHouse's message, or that it is not there.
    pub fn try_query(&self, sql: &str) -> Result<String, String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).map_err(|error| error.to_string())?;
        let head = format!(
            "POST / HTTP/1.1\r\nHost: clickhouse\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{sql}",
            sql.len()
        );
        stream.write_all(head.as_bytes()).map_err(|error| error.to_string())?;
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).map_err(|error| error.to_string())?;
        let succeeded = line.split(' ').nth(1) == Some("200");
        while line.trim_end() != "" {
            line.clear();
            reader.read_line(&mut line).map_err(|error| error.to_string())?;
        }
        let mut body = String::new();
        reader.read_to_string(&mut body).map_err(|error| error.to_string())?;
        if succeeded { Ok(body) } else { Err(body) }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.kill();
    }
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("testkit lies in the workspace")
}

fn python() -> PathBuf {
    let python = std::env::var_os("HELIOS_ENGINE_PYTHON")
        .map_or_else(|| workspace().join(".cache/engine/bin/python"), PathBuf::from);
    assert!(python.exists(), "no ClickHouse engine at {}: run `make engine`", python.display());
    python
}

#[expect(clippy::panic, reason = "a test that cannot go on says why")]
fn panic_with(message: &str) -> ! {
    panic!("{message}")
}
