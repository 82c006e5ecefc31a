//! A `helios run` of its own for a test: free ports, ready when it is started, gone when it is dropped.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long anything in a test may take before it counts as not happening.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `found` has something to say.
pub fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(result) = found() {
            return result;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20)); // between two looks at a condition
    }
}

/// A UDP port of 127.0.0.1 that was free a moment ago.
pub fn free_udp_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// An address of this host that no other test listens on: a port that was free a moment ago on 127.0.0.1 may be
/// another test's by the time that it is used.
fn free_tcp_address() -> SocketAddr {
    static USED: AtomicU32 = AtomicU32::new(0);
    // Processes differ in the two middle octets, from 127.64 on, and tests of a process in the last one.
    let [.., high, low] = (std::process::id() % (128 << 8)).to_be_bytes();
    let [.., n] = (USED.fetch_add(1, Ordering::Relaxed) % 254 + 1).to_be_bytes();
    TcpListener::bind(SocketAddr::from(([127, 64 + high, low, n], 0))).unwrap().local_addr().unwrap()
}

/// An address that refuses connections: nothing listens on port 1, which is nobody's to take.
pub fn nobody() -> String {
    "http://127.0.0.1:1".to_owned()
}

/// A running helios.
pub struct Helios {
    process: Child,
    pub admin: SocketAddr,
    pub flows: SocketAddr,
    log: PathBuf,
    _directory: tempfile::TempDir,
}

impl Helios {
    /// Starts `helios run` against `clickhouse` with further settings as `section.key=value`.
    pub fn start(clickhouse: &str, settings: &[&str]) -> Self {
        Self::start_on(free_udp_port(), clickhouse, settings, &[])
    }

    /// As [`start`](Self::start), on a UDP port of the caller's choice and with further flags.
    pub fn start_on(port: u16, clickhouse: &str, settings: &[&str], flags: &[&str]) -> Self {
        Self::launch(Command::new(env!("CARGO_BIN_EXE_helios")), port, clickhouse, settings, flags)
    }

    /// As [`start_on`](Self::start_on), run by another program that gets the command line as its last arguments.
    pub fn start_under(mut runner: Command, port: u16, clickhouse: &str, settings: &[&str], flags: &[&str]) -> Self {
        runner.arg(env!("CARGO_BIN_EXE_helios"));
        Self::launch(runner, port, clickhouse, settings, flags)
    }

    fn launch(mut command: Command, port: u16, clickhouse: &str, settings: &[&str], flags: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let flows = SocketAddr::from(([127, 0, 0, 1], port));
        let admin = free_tcp_address();
        command.args(["run", "--listen", &flows.to_string(), "--clickhouse-url", clickhouse]);
        command.args(["--set", &format!("admin.listen={admin}"), "--set", "clickhouse.flush_interval_ms=200"]);
        for setting in settings {
            command.args(["--set", setting]);
        }
        command.args(flags);
        let output = std::fs::File::create(&log).unwrap();
        let process = command.stdout(Stdio::null()).stderr(output).spawn().unwrap();
        Self { process, admin, flows, log, _directory: directory }
    }

    /// As [`start`](Self::start), and waits until it is ready.
    pub fn ready(clickhouse: &str, settings: &[&str]) -> Self {
        let mut helios = Self::start(clickhouse, settings);
        wait_for("helios to be ready", || {
            if let Some(status) = helios.process.try_wait().unwrap() {
                panic!("helios ended with {status}: {}", helios.log());
            }
            matches!(helios.get("/readyz"), Some((200, _))).then_some(())
        });
        helios
    }

    /// Status and body of a page of the admin port.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        self.request("GET", path)
    }

    /// As [`get`](Self::get), for pages that do something.
    pub fn post(&self, path: &str) -> Option<(u16, String)> {
        self.request("POST", path)
    }

    fn request(&self, method: &str, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(self.admin).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: helios\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, body.to_owned()))
    }

    /// A page of JSON. It has to be there.
    pub fn json(&self, path: &str) -> serde_json::Value {
        let (status, body) = self.get(path).unwrap();
        assert_eq!(status, 200, "{body}");
        // The body may be chunked: the object is what is between the outermost braces.
        let (begin, end) = (body.find('{').unwrap(), body.rfind('}').unwrap());
        serde_json::from_str(&body[begin..=end]).unwrap()
    }

    /// The sum of a metric over its labels; `None` if there is no such metric.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let (_, page) = self.get("/metrics")?;
        let values = page.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            if !rest.starts_with(['{', ' ']) {
                return None;
            }
            rest.rsplit(' ').next()?.parse::<f64>().ok()
        });
        values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.process.id() as i32), signal).unwrap();
    }

    /// Asks it to stop and waits until it has.
    pub fn stop(mut self) -> (ExitStatus, String) {
        self.signal(Signal::SIGTERM);
        let status = wait_for("helios to stop", || self.process.try_wait().unwrap());
        (status, self.log())
    }

    /// Waits until it has ended by itself.
    pub fn ended(mut self) -> (ExitStatus, String) {
        let status = wait_for("helios to end", || self.process.try_wait().unwrap());
        (status, self.log())
    }

    /// Ends it as a crash does.
    pub fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Helios {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A program from the system, with the folders where Debian puts daemons.
pub fn system_program(name: &str) -> Command {
    let folders = ["/usr/sbin", "/usr/bin", "/sbin", "/usr/local/bin", "/usr/local/sbin"];
    let path = folders.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.exists());
    Command::new(path.unwrap_or_else(|| panic!("{name} is not installed: run `make exporters`")))
}
