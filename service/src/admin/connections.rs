//! Connections to the admin port: so many at a time, each for so long.
//!
//! Whoever can reach the port can open connections and say nothing. They take descriptors that the spool and ClickHouse
//! need, so their number is bounded, and silent and slow ones end.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// What connections may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Connections at a time; further ones are closed at once.
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

/// Serves `router` until the task is dropped.
pub(crate) async fn serve(listener: TcpListener, router: Router, limits: Limits) {
    let slots = Arc::new(Semaphore::new(limits.connections));
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
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else { continue };
        let router = router.clone();
        tokio::spawn(async move {
            connection(stream, router, limits).await;
            drop(slot);
        });
    }
}

/// Answers the requests of a connection to its end. What it ends of is its client's business.
async fn connection(stream: TcpStream, router: Router, limits: Limits) {
    let service = TowerToHyperService::new(router);
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

    const PATIENCE: Duration = Duration::from_secs(120);

    async fn served(limits: Limits) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, Router::new().route("/healthz", get(|| async { "ok" })), limits));
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
    async fn connections_beyond_the_limit_are_closed_and_silent_and_slow_ones_make_room() {
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
        assert_eq!(asked(address).await, "", "a fourth is closed at once");
        for stream in &mut held {
            let end = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await;
            assert!(end.is_ok(), "a silent one is not closed");
        }
        assert!(asked(address).await.ends_with("ok"));
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
