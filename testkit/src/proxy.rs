//! A proxy between helios and ClickHouse that does to inserts what networks, load balancers and servers do.
//!
//! It is a thread per connection and one request per connection (it adds `Connection: close`), which makes every fault
//! a plain sequence of reads and writes. Faults happen to inserts only, that is to requests whose address carries an
//! `INSERT` statement; everything else passes, so that a test can watch the schema being made. With
//! [`Proxy::encrypted`] it also ends TLS, with a certificate of an authority of its own.
//!
//! What it deliberately does not do: HTTP/2, keep-alive, and faults in the middle of an answer.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

mod fault;
mod request;
mod tls;

pub use fault::{Fault, Schedule};
use request::Request;
use tls::Authority;

/// How often a connection that hangs looks whether the proxy has ended.
const TICK: Duration = Duration::from_millis(10);

/// No read from either side may block for longer: a test that waits for ever says nothing.
const READ_TIMEOUT: Duration = Duration::from_secs(120);

/// A proxy on a port of 127.0.0.1, gone when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    listener: Option<JoinHandle<()>>,
    authority: Option<Authority>,
}

#[derive(Debug)]
struct Shared {
    /// The engine's address, which may change with a restart.
    target: SocketAddr,
    schedule: Mutex<Schedule>,
    /// What happened to inserts, in order.
    done: Mutex<Vec<Fault>>,
    ended: AtomicBool,
    away: AtomicBool,
}

impl Proxy {
    /// A proxy before `target`, an address as [`Engine::url`](crate::Engine::url) returns it.
    ///
    /// # Panics
    /// When the address is not one of that form, or the loopback has no port to spare.
    pub fn start(target: &str, schedule: Schedule) -> Self {
        Self::run(target, schedule, None)
    }

    /// The same behind TLS.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn encrypted(target: &str, schedule: Schedule) -> Self {
        Self::run(target, schedule, Some(Authority::new()))
    }

    fn run(target: &str, schedule: Schedule, authority: Option<Authority>) -> Self {
        let target =
            target.strip_prefix("http://").and_then(|target| target.parse().ok()).expect("http://address:port");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            target,
            schedule: Mutex::new(schedule),
            done: Mutex::default(),
            ended: AtomicBool::new(false),
            away: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        let config = authority.as_ref().map(Authority::server);
        let listener = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if accepting.ended.load(Ordering::Acquire) {
                    return;
                }
                if accepting.away.load(Ordering::Acquire) {
                    continue;
                }
                let (Ok(stream), shared, config) = (stream, Arc::clone(&accepting), config.clone()) else { continue };
                // A connection that fails has failed for its client, which is what the test looks at.
                std::thread::spawn(move || {
                    let _ = match config {
                        Some(config) => tls::accept(stream, config).and_then(|mut client| shared.serve(&mut client)),
                        None => shared.serve(&mut Plain(stream)),
                    };
                });
            }
        });
        Self { shared, address, listener: Some(listener), authority }
    }

    /// The address for `clickhouse.url`. Encrypted it is a name, as certificates have them.
    pub fn url(&self) -> String {
        match self.authority {
            Some(_) => format!("https://localhost:{}", self.address.port()),
            None => format!("http://{}", self.address),
        }
    }

    /// The file for `clickhouse.ca_file`, of an encrypted proxy.
    pub fn ca_file(&self) -> Option<PathBuf> {
        self.authority.as_ref().map(Authority::file)
    }

    /// What is to happen from now on.
    pub fn follow(&self, schedule: Schedule) {
        *locked(&self.shared.schedule) = schedule;
    }

    /// While it is away every new connection ends at once, whatever it is for.
    pub fn be_away(&self, away: bool) {
        self.shared.away.store(away, Ordering::Release);
    }

    /// What has happened to inserts, in the order in which they came.
    pub fn done(&self) -> Vec<Fault> {
        locked(&self.shared.done).clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        // The listener looks when somebody comes.
        let _ = TcpStream::connect(self.address);
        let _ = self.listener.take().map(JoinHandle::join);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A client's connection, in the clear or not.
trait Client: Read + Write {
    fn socket(&self) -> &TcpStream;

    /// Ends it as a crashed peer would: with a reset where the system sends one for unread octets, else with an end.
    fn cut(&self) {
        let _ = self.socket().shutdown(Shutdown::Both);
    }
}

struct Plain(TcpStream);

impl Read for Plain {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        self.0.read(octets)
    }
}

impl Write for Plain {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Client for Plain {
    fn socket(&self) -> &TcpStream {
        &self.0
    }
}

impl Shared {
    fn serve(&self, client: &mut impl Client) -> io::Result<()> {
        client.socket().set_read_timeout(Some(READ_TIMEOUT))?;
        let Some(request) = Request::read_head(client)? else { return Ok(()) };
        let fault = match request.is_insert() {
            true => locked(&self.schedule).next(),
            false => Fault::Pass,
        };
        if request.is_insert() {
            locked(&self.done).push(fault);
        }
        match fault {
            Fault::Pass => self.forward(client, request),
            Fault::Delay(pause) => {
                self.wait(pause);
                self.forward(client, request)
            }
            Fault::Hang => {
                self.wait(READ_TIMEOUT);
                Ok(())
            }
            Fault::Reset => {
                client.cut();
                Ok(())
            }
            Fault::CutRequest { after } => self.cut_request(client, request, after),
            Fault::LoseRequest => {
                request.read_body(client)?;
                client.cut();
                Ok(())
            }
            Fault::LoseAnswer => {
                let body = request.read_body(client)?;
                self.exchange(&request, &body)?;
                client.cut();
                Ok(())
            }
            Fault::LateAnswer(pause) => {
                let body = request.read_body(client)?;
                let answer = self.exchange(&request, &body)?;
                self.wait(pause);
                client.write_all(&answer)
            }
            Fault::Status(status) => {
                request.read_body(client)?;
                answer(client, status, "", "upstream is not well")
            }
            Fault::FalseOk { own_headers, body } => {
                request.read_body(client)?;
                let own = "X-ClickHouse-Query-Id: 1\r\nX-ClickHouse-Summary: {\"read_rows\":\"0\"}\r\n";
                answer(client, 200, if own_headers { own } else { "" }, body)
            }
            Fault::Exception(code) => {
                request.read_body(client)?;
                let header = format!("X-ClickHouse-Exception-Code: {code}\r\n");
                answer(client, 500, &header, &format!("Code: {code}. DB::Exception: injected by a test"))
            }
        }
    }

    fn forward(&self, client: &mut impl Client, request: Request) -> io::Result<()> {
        let body = request.read_body(client)?;
        let answer = self.exchange(&request, &body)?;
        client.write_all(&answer)?;
        client.flush()
    }

    /// Sends a whole request and returns the whole answer.
    fn exchange(&self, request: &Request, body: &[u8]) -> io::Result<Vec<u8>> {
        let mut server = TcpStream::connect(self.target)?;
        server.set_read_timeout(Some(READ_TIMEOUT))?;
        server.write_all(&request.head)?;
        server.write_all(body)?;
        let mut answer = Vec::new();
        server.read_to_end(&mut answer)?;
        Ok(answer)
    }

    /// The server gets the head and the first octets of the body, then both connections end.
    fn cut_request(&self, client: &mut impl Client, request: Request, after: usize) -> io::Result<()> {
        let body = request.read_body(client)?;
        let mut server = TcpStream::connect(self.target)?;
        server.write_all(&request.head)?;
        server.write_all(body.get(..after.min(body.len().saturating_sub(1))).unwrap_or(&body))?;
        server.shutdown(Shutdown::Both)?;
        client.cut();
        Ok(())
    }

    fn wait(&self, pause: Duration) {
        let mut left = pause;
        while !left.is_zero() && !self.ended.load(Ordering::Acquire) {
            std::thread::sleep(left.min(TICK)); // the fault itself is the time that passes
            left = left.saturating_sub(TICK);
        }
    }
}

/// `headers` are whole lines.
fn answer(client: &mut impl Client, status: u16, headers: &str, body: &str) -> io::Result<()> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} Fault\r\n{headers}Connection: close\r\nContent-Length: {length}\r\n\r\n");
    client.write_all(head.as_bytes())?;
    client.write_all(body.as_bytes())?;
    client.flush()
}

/// What a peer that has gone leaves is an end, not an error.
fn ended(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}
