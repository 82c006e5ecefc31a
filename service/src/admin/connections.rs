//! Connections to the admin port: so many at a time, each for so long.
//!
//! Whoever can reach the port can open connections and send nothing. They take descriptors that the spool and ClickHouse
//! need, so their number is bounded, and silent and slow ones end. When all are taken, a new connection takes the place of
//! the one that has been idle the longest: silent connections keep no probe from its answer.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

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
    /// A connection as a whole. Clients that keep theirs open make another one then.
    pub connection: Duration,
}

impl Default for Limits {
    /// Room for probes, scrapes and people, far below what the files and inserts of a process need.
    fn default() -> Self {
        Self { connections: 256, head: Duration::from_secs(30), connection: Duration::from_secs(600) }
    }
}

/// A client gets so long to read an answer before its connection counts as idle.
const READING: Duration = Duration::from_secs(1);

/// What is known of a connection.
#[derive(Debug)]
struct Connection {
    number: u64,
    /// Requests that are being answered.
    busy: usize,
    /// Since when none is.
    idle_since: Instant,
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
        if self.open.len() >= limit {
            let now = Instant::now();
            // A connection that has asked nothing yet waits for no answer.
            let is_idle = |connection: &&Connection| connection.busy == 0 && connection.idle_since <= now;
            let idle = self.open.iter().filter(is_idle).min_by_key(|connection| connection.idle_since)?.number;
            if let Some(task) = self.end(idle).and_then(|ended| ended.task) {
                task.abort();
            }
        }
        self.accepted += 1;
        let (number, idle_since) = (self.accepted, Instant::now());
        self.open.push(Connection { number, busy: 0, idle_since, task: None });
        Some(number)
    }

    fn find(&mut self, number: u64) -> Option<&mut Connection> {
        self.open.iter_mut().find(|connection| connection.number == number)
    }

    fn end(&mut self, number: u64) -> Option<Connection> {
        let at = self.open.iter().position(|connection| connection.number == number)?;
        Some(self.open.swap_remove(at))
    }
}

#[derive(Debug, Clone, Default)]
struct Connections(Arc<Mutex<Table>>);

impl Connections {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Takes note of the end of an answer, also of one that nobody waited for.
struct Answering {
    connections: Connections,
    number: u64,
}

impl Answering {
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
            connection.idle_since = Instant::now() + READING;
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
    let connections = Connections::default();
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
        let task = tokio::spawn(async move { connection(stream, router, limits, &open).await });
        if let Some(connection) = connections.lock().find(number) {
            connection.task = Some(task.abort_handle());
        }
    }
}

/// Answers the requests of a connection to its end. What it ends of is its client's business.
async fn connection(stream: TcpStream, router: Router, limits: Limits, open: &Open) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request: Request<Incoming>| {
        let answering = Answering::begin(&open.connections, open.number);
        let answer = router.call(request);
        async move {
            let answer: Result<Response, Infallible> = answer.await;
            drop(answering);
            answer
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
