//! Connections to the admin port, limited in number and in time.
//!
//! Whoever can reach the port can open connections and send nothing. They take descriptors that the spool and ClickHouse
//! need, so their number is bounded, and silent and slow ones end. When all are taken, a new connection takes the place of
//! the one that has been idle the longest: silent connections keep no probe from its answer. Answers that nobody reads take
//! memory: when there are too many, the connection ends that has not read its own for the longest.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::answers::{Answers, Reading};
use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// What connections may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Connections at a time. A further one takes the place of the one that is idle the longest, or is closed at once if
    /// none is idle.
    pub connections: usize,
    /// From the begin of a connection, or the end of an answer, to the end of the next request's head.
    pub head: Duration,
    /// From the begin of a connection to its end. A client that keeps its connection open has to open another one then.
    pub connection: Duration,
    /// How long a client may take to read an answer before its connection counts as idle.
    pub reading: Duration,
    /// Octets of answers that have not been read, of all connections together.
    pub unread: usize,
}

impl Default for Limits {
    /// Room for probes, scrapes and people, far below what the files and inserts of a process need.
    fn default() -> Self {
        Self {
            connections: 256,
            head: Duration::from_secs(30),
            connection: Duration::from_secs(600),
            reading: Duration::from_secs(1),
            unread: UNREAD_OCTETS,
        }
    }
}

/// The metrics of 10,000 exporters are 11 MiB: eleven scrapes at a time. docs/configuration.md says it beside
/// `admin.max_exporters`.
const UNREAD_OCTETS: usize = 128 << 20;

/// What is known of a connection.
#[derive(Debug)]
struct Connection {
    number: u64,
    /// Requests that are being answered.
    busy: usize,
    /// Since when no request is being answered.
    idle_since: Instant,
    /// The last answer.
    answer: Reading,
    task: Option<AbortHandle>,
}

/// The open connections.
#[derive(Debug, Default)]
struct Table {
    open: Vec<Connection>,
    accepted: u64,
}

impl Table {
    /// The number of a new connection, if there is room for it or an idle one can be ended for it.
    fn admit(&mut self, limit: usize) -> Option<u64> {
        // A connection that has asked nothing yet waits for no answer.
        if self.open.len() >= limit && !self.end_idle(|_| true) {
            return None;
        }
        self.accepted += 1;
        let (number, idle_since) = (self.accepted, Instant::now());
        self.open.push(Connection { number, busy: 0, idle_since, answer: Reading::default(), task: None });
        Some(number)
    }

    /// Ends the connection that has been idle the longest, of some of them.
    fn end_idle(&mut self, among: impl Fn(&Connection) -> bool) -> bool {
        let now = Instant::now();
        let is_idle = |connection: &&Connection| connection.busy == 0 && connection.idle_since <= now;
        let idle = self.open.iter().filter(is_idle).filter(|connection| among(connection));
        let Some(number) = idle.min_by_key(|connection| connection.idle_since).map(|idle| idle.number) else {
            return false;
        };
        if let Some(task) = self.end(number).and_then(|ended| ended.task) {
            task.abort();
        }
        true
    }

    fn find(&mut self, number: u64) -> Option<&mut Connection> {
        self.open.iter_mut().find(|connection| connection.number == number)
    }

    fn end(&mut self, number: u64) -> Option<Connection> {
        let at = self.open.iter().position(|connection| connection.number == number)?;
        Some(self.open.swap_remove(at))
    }
}

#[derive(Debug, Clone)]
struct Connections {
    table: Arc<Mutex<Table>>,
    answers: Answers,
    limits: Limits,
}

impl Connections {
    fn new(limits: Limits) -> Self {
        Self { table: Arc::default(), answers: Answers::default(), limits }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Takes note of the end of an answer, also of one that nobody waited for.
struct Answering {
    connections: Connections,
    number: u64,
}

impl Answering {
    /// Counts the answer as one that is being read.
    async fn give(self, answer: Response) -> Response {
        let end_one = || self.connections.lock().end_idle(|connection| connection.answer.goes_on());
        let max = self.connections.limits.unread;
        let (answer, reading) = self.connections.answers.count(answer, max, end_one).await;
        if let Some(connection) = self.connections.lock().find(self.number) {
            connection.answer = reading;
        }
        answer
    }

    fn begin(connections: &Connections, number: u64) -> Self {
        if let Some(connection) = connections.lock().find(number) {
            connection.busy += 1;
        }
        Self { connections: connections.clone(), number }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if let Some(connection) = self.connections.lock().find(self.number) {
            connection.busy -= 1;
            connection.idle_since = Instant::now() + self.connections.limits.reading;
        }
    }
}

/// Takes note of the end of a connection.
struct Open {
    connections: Connections,
    number: u64,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.connections.lock().end(self.number);
    }
}

/// Serves `router` until the task is dropped.
pub(crate) async fn serve(listener: TcpListener, router: Router, limits: Limits) {
    let connections = Connections::new(limits);
    let mut failing = false;
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "a connection to the admin port could not be accepted; it is tried again");
                }
                // Out of file descriptors, as a rule: trying again at once would only burn a core.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        failing = false;
        let Some(number) = connections.lock().admit(limits.connections) else { continue };
        let (router, open) = (router.clone(), Open { connections: connections.clone(), number });
        let task = tokio::spawn(async move { connection(stream, router, &open).await });
        if let Some(connection) = connections.lock().find(number) {
            connection.task = Some(task.abort_handle());
        }
    }
}

/// Answers the requests of a connection until it ends. Why it ends is not logged: a client may go at any time.
async fn connection(stream: TcpStream, router: Router, open: &Open) {
    let limits = open.connections.limits;
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request: Request<Incoming>| {
        let answering = Answering::begin(&open.connections, open.number);
        let answer = router.call(request);
        async move {
            let Ok(answer) = answer.await;
            Ok::<_, Infallible>(answering.give(answer).await)
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.head);
    let connection = http.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    if tokio::time::timeout(limits.connection, connection.as_mut()).await.is_ok() {
        return;
    }
    connection.as_mut().graceful_shutdown();
    _ = tokio::time::timeout(limits.head, connection).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::Semaphore;

    const PATIENCE: Duration = Duration::from_secs(120);

    async fn served(limits: Limits) -> SocketAddr {
        serving(Router::new(), limits).await
    }

    async fn serving(router: Router, limits: Limits) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, router.route("/healthz", get(|| async { "ok" })), limits));
        address
    }

    /// The answer to a request, up to the end of the connection; empty if it was refused.
    async fn asked(address: SocketAddr) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
        let mut answer = Vec::new();
        _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn silent_and_slow_connections_are_closed() {
        let limits = Limits { connections: 3, head: Duration::from_millis(300), ..Limits::default() };
        let address = served(limits).await;
        let mut held = Vec::new();
        for n in 0..3 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            if n > 0 {
                stream.write_all(b"GET /heal").await.unwrap();
            }
            held.push(stream);
        }
        for stream in &mut held {
            let end = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await;
            assert!(end.is_ok(), "a silent one is not closed");
        }
        assert!(asked(address).await.ends_with("ok"));
    }

    /// The time limits are those of a process: nothing ends by itself here.
    #[tokio::test]
    async fn a_connection_beyond_the_limit_takes_the_place_of_an_idle_one_or_is_closed_if_all_are_busy() {
        let answering = Arc::new(Semaphore::new(0));
        let begun = Arc::clone(&answering);
        let slow = get(|| async move {
            begun.add_permits(1);
            std::future::pending::<()>().await;
        });
        let limits = Limits { connections: 3, ..Limits::default() };
        let address = serving(Router::new().route("/slow", slow), limits).await;
        let mut held = Vec::new();
        for _ in 0..30 {
            held.push(TcpStream::connect(address).await.unwrap());
        }
        for _ in 0..10 {
            assert!(asked(address).await.ends_with("ok"), "silent connections keep nobody out");
        }
        let mut busy = Vec::new();
        for _ in 0..3 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
            busy.push(stream);
        }
        _ = tokio::time::timeout(PATIENCE, answering.acquire_many(3)).await.unwrap().unwrap();
        assert_eq!(asked(address).await, "", "a fourth is closed at once while all are busy");
    }

    /// Answers of one text, so that the test itself needs the memory of one.
    #[tokio::test]
    async fn answers_that_nobody_reads_are_bounded_and_the_oldest_reader_makes_room() {
        const OCTETS: usize = 32 << 20; // more than the kernel takes for a client that does not read
        let text = axum::body::Bytes::from(vec![b'x'; OCTETS]);
        let router = Router::new().route("/big", get(move || std::future::ready(text.clone())));
        let begin = |address| async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET /big HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
            let mut status = [0; 12];
            _ = tokio::time::timeout(PATIENCE, stream.read_exact(&mut status)).await.unwrap();
            (stream, String::from_utf8_lossy(&status).into_owned())
        };
        let rest = |mut stream: TcpStream| async move {
            let mut octets = Vec::new();
            _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut octets)).await.unwrap();
            octets.len()
        };
        let limits = Limits { unread: 2 * OCTETS, reading: Duration::ZERO, ..Limits::default() };
        let address = serving(router.clone(), limits).await;
        let mut held = Vec::new();
        for _ in 0..6 {
            let (stream, status) = begin(address).await;
            assert_eq!(status, "HTTP/1.1 200");
            held.push(stream);
        }
        assert!(asked(address).await.ends_with("ok"), "a probe needs no room");
        for (n, stream) in held.into_iter().enumerate() {
            assert_eq!(rest(stream).await >= OCTETS, n >= 4, "reader {n} of 6");
        }
        // Readers that still have their time are not ended: a further one comes again.
        let limits = Limits { unread: 2 * OCTETS, reading: PATIENCE, ..Limits::default() };
        let address = serving(router, limits).await;
        let (first, second) = (begin(address).await.0, begin(address).await.0);
        assert_eq!(begin(address).await.1, "HTTP/1.1 503");
        assert!(asked(address).await.ends_with("ok"));
        assert!(rest(first).await >= OCTETS && rest(second).await >= OCTETS);
        assert_eq!(begin(address).await.1, "HTTP/1.1 200", "what has been read is free again");
    }

    #[tokio::test]
    async fn a_connection_that_asks_for_ever_ends_too() {
        let address = served(Limits { connection: Duration::from_millis(300), ..Limits::default() }).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        let (mut answers, mut octets) = (0, [0; 1024]);
        while stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await.is_ok() {
            match tokio::time::timeout(PATIENCE, stream.read(&mut octets)).await.unwrap() {
                Ok(0) | Err(_) => break,
                Ok(_) => answers += 1,
            }
        }
        assert!(answers > 0);
    }
}
