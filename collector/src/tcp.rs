//! IPFIX over TCP and TLS (RFC 7011 §10.4, §11).
//!
//! Every connection is a transport session with a decoder of its own: templates live and die with it (§8.1), may be
//! withdrawn (§8.4), and numbers of messages are followed per session. All connections are served by one thread: a
//! full queue makes it wait, TCP's windows close, and exporters wait instead of losing anything. Exporters that speak
//! TCP are few and slow beside those that speak UDP; a thread for each, with a stack of its own, would buy nothing.
//!
//! A stream that is no IPFIX ends its connection and no other. A message that is malformed within its length is
//! discarded and counted as over UDP.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::task::LocalSet;
use tokio_rustls::TlsAcceptor;

use crate::config::{CollectorConfig, TlsConfig};
use crate::counts::PUBLISH_INTERVAL;

mod framing;
mod sessions;
mod connection;
mod tls;

pub use connection::ConnectionStats;
pub(crate) use connection::Connections;
pub(crate) use sessions::{Limits, Sessions};
pub use tls::{TlsError, check_certificates};

/// How long what exporters had sent before a stop is read for.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on TCP {address}: {source}; is another process using the port?")]
pub struct ListenError {
    address: SocketAddr,
    source: io::Error,
}

/// Listening sockets and what serves them.
pub struct Server {
    listeners: Vec<std::net::TcpListener>,
    tls: TlsConfig,
    acceptor: Option<TlsAcceptor>,
    pub(crate) connections: Arc<Connections>,
}

impl Server {
    /// Listens on the configured addresses and reads the certificates; `None` if TCP is not configured.
    ///
    /// # Errors
    /// [`ServerError`], with what to do about it.
    pub fn bind(config: &CollectorConfig) -> Result<Option<Self>, ServerError> {
        if config.tcp.listen.is_empty() {
            return Ok(None);
        }
        let acceptor = tls::acceptor(&config.tcp.tls)?;
        let mut listeners = Vec::new();
        for &address in &config.tcp.listen {
            let listener = std::net::TcpListener::bind(address)
                .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
                .map_err(|source| ListenError { address, source })?;
            listeners.push(listener);
        }
        Ok(Some(Self { listeners, tls: config.tcp.tls.clone(), acceptor, connections: Arc::default() }))
    }

    pub(crate) fn local_addrs(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Serves connections until `stop`: what the thread `receive-tcp` does.
    pub(crate) fn run(self, sessions: Sessions, stop: &AtomicBool) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(%error, "IPFIX over TCP cannot be served"),
        };
        let local = LocalSet::new();
        let shared = Rc::new(sessions);
        local.block_on(&runtime, self.serve(Rc::clone(&shared), stop));
        shared.finish();
    }

    async fn serve(self, sessions: Rc<Sessions>, stop: &AtomicBool) {
        let mut tasks = tokio::task::JoinSet::new();
        let secure = self.acceptor.is_some();
        sessions.accept_with(self.acceptor);
        for listener in self.listeners {
            let listener = match TcpListener::from_std(listener) {
                Ok(listener) => listener,
                Err(error) => {
                    tracing::error!(%error, "a TCP listener cannot be served");
                    continue;
                }
            };
            tasks.spawn_local(connection::accept(listener, Rc::clone(&sessions)));
        }
        if secure {
            tasks.spawn_local(tls::keep_current(self.tls, Rc::clone(&sessions)));
        }
        while !stop.load(Ordering::Relaxed) {
            tokio::time::sleep(sessions.limits.flush_interval.min(PUBLISH_INTERVAL)).await;
            sessions.tick();
        }
        tasks.shutdown().await;
        sessions.stop();
        let deadline = Instant::now() + DRAIN_LIMIT;
        while sessions.connections.open.load(Ordering::Relaxed) > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await; // between two looks at who is still reading
        }
    }
}

/// IPFIX over TCP cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// An address of `collector.tcp.listen` could not be opened.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A file of `collector.tcp.tls` cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}
