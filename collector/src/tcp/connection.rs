//! Connections: accepted within the limits, read message by message, ended when they are silent or slow.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::framing::{NotIpfix, Stream};
use super::sessions::Sessions;
use crate::decode::budget::Account;
use crate::proxy::{HEADER_OCTETS, Head, NoHeader};

/// Octets that one read may bring.
const READ_OCTETS: usize = 64 << 10;

/// What a connection may take besides the state of its exporter: a message and a read, and as much again for TLS.
pub(super) const CONNECTION_OCTETS: usize = 4 * READ_OCTETS;

/// How long a TLS handshake may take.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// How long a message may take from its first octet to its last, and a session to begin its first one. At the 64 KiB that
/// a message has at the most, that is 9 kbit/s.
const MESSAGE_LIMIT: Duration = Duration::from_secs(60);

/// What became of connections.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    pub open: AtomicU64,
    pub accepted: AtomicU64,
    /// Turned away because as many as allowed were open, or because the budget of decoding state was used up.
    pub refused: AtomicU64,
    /// Turned away because the address is in no prefix of `collector.allow`.
    pub not_allowed: AtomicU64,
    /// Ended because of what came: no IPFIX, a failed handshake, an error of the connection.
    pub failed: AtomicU64,
    /// Ended after a long silence.
    pub idle: AtomicU64,
    /// Ended because a message did not come to its end in time.
    pub slow: AtomicU64,
}

/// What became of connections of IPFIX over TCP since the start, and how many are open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConnectionStats {
    /// Connections that are open now.
    pub open: u64,
    /// Connections within the limits, those included whose TLS handshake then failed.
    pub accepted: u64,
    /// Turned away because as many as allowed were open, or because the budget of decoding state was used up.
    pub refused: u64,
    /// Turned away because the address is in no prefix of `collector.allow`.
    pub not_allowed: u64,
    /// Ended because of what came: no IPFIX, a failed handshake, an error of the connection.
    pub failed: u64,
    /// Ended after a silence of `collector.tcp.idle_timeout_ms`.
    pub idle: u64,
    /// Ended because a message did not come to its end in time.
    pub slow: u64,
}

impl Connections {
    pub(crate) fn snapshot(&self) -> ConnectionStats {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ConnectionStats {
            open: load(&self.open),
            accepted: load(&self.accepted),
            refused: load(&self.refused),
            not_allowed: load(&self.not_allowed),
            failed: load(&self.failed),
            idle: load(&self.idle),
            slow: load(&self.slow),
        }
    }
}

/// Why connections are refused, as log lines tell it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    Accept,
    NotAllowed,
    Limit,
    Memory,
    Handshake,
    Proxy,
    Read,
    NotIpfix,
    Idle,
    Slow,
}

/// Accepts connections until the task is dropped.
pub(super) async fn accept(listener: TcpListener, sessions: Rc<Sessions>) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                sessions.log(Trouble::Accept, |left_out| {
                    tracing::warn!(%error, left_out, "a TCP connection could not be accepted");
                });
                // Out of file descriptors, as a rule: trying again at once would only burn a core.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let connections = &sessions.connections;
        // Behind a load balancer, it is the exporter's address that has to be allowed.
        if !sessions.proxies.contains(peer.ip()) && !is_allowed(peer, &sessions) {
            continue;
        }
        if connections.open.load(Ordering::Relaxed) >= sessions.limits.connections as u64 {
            connections.refused.fetch_add(1, Ordering::Relaxed);
            let limit = sessions.limits.connections;
            sessions.log(Trouble::Limit, |left_out| {
                tracing::warn!(exporter = %peer, limit, left_out, "connection refused: as many as there may be are open (collector.tcp.max_connections, and the limit of open files)");
            });
            continue;
        }
        let Some(account) = charged(peer, &sessions) else { continue };
        connections.accepted.fetch_add(1, Ordering::Relaxed);
        connections.open.fetch_add(1, Ordering::Relaxed);
        tokio::task::spawn_local(connection(stream, peer, account, Rc::clone(&sessions)));
    }
}

/// Whether a connection from this address is taken; one that is not is counted and logged.
fn is_allowed(peer: SocketAddr, sessions: &Sessions) -> bool {
    let allowed = sessions.allows(peer);
    if !allowed {
        sessions.connections.not_allowed.fetch_add(1, Ordering::Relaxed);
        sessions.log(Trouble::NotAllowed, |left_out| {
            tracing::warn!(sender = %peer, left_out, "connection refused: the address is in no prefix of collector.allow");
        });
    }
    allowed
}

/// An account that a connection from this address is charged to; `None`, counted and logged, if there is no room for it.
fn charged(peer: SocketAddr, sessions: &Sessions) -> Option<Account> {
    let mut account = sessions.account(peer);
    if account.room(false) < CONNECTION_OCTETS {
        sessions.connections.refused.fetch_add(1, Ordering::Relaxed);
        sessions.log(Trouble::Memory, |left_out| {
            tracing::warn!(exporter = %peer, left_out, "connection refused: its address or all connections have used up their part of collector.max_state_bytes");
        });
        return None;
    }
    account.charge(CONNECTION_OCTETS);
    Some(account)
}

/// Why a connection ended that its exporter did not end.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the TLS handshake failed: {0}")]
    Handshake(io::Error),
    #[error("the TLS handshake took longer than {} s", HANDSHAKE_LIMIT.as_secs())]
    HandshakeTime,
    #[error(transparent)]
    NoProxyHeader(#[from] NoHeader),
    #[error("the header of the PROXY protocol took longer than {} s", HANDSHAKE_LIMIT.as_secs())]
    ProxyTime,
    #[error("{0}")]
    Read(#[from] io::Error),
    #[error(transparent)]
    NotIpfix(#[from] NotIpfix),
    #[error("nothing came for collector.tcp.idle_timeout_ms, or no message in the first {} s", MESSAGE_LIMIT.as_secs())]
    Idle,
    #[error("a message did not come to its end within {} s", MESSAGE_LIMIT.as_secs())]
    Slow,
}

impl Ended {
    const fn trouble(&self) -> Trouble {
        match self {
            Self::Handshake(_) | Self::HandshakeTime => Trouble::Handshake,
            Self::NoProxyHeader(_) | Self::ProxyTime => Trouble::Proxy,
            Self::Read(_) => Trouble::Read,
            Self::NotIpfix(_) => Trouble::NotIpfix,
            Self::Idle => Trouble::Idle,
            Self::Slow => Trouble::Slow,
        }
    }
}

async fn connection(mut stream: TcpStream, peer: SocketAddr, account: Account, sessions: Rc<Sessions>) {
    let mut exporter = peer;
    let result = match exporter_of(&mut stream, peer, account, &sessions).await {
        Ok(Some((address, _account))) => {
            exporter = address;
            plain_or_tls(stream, exporter, &sessions).await
        }
        Ok(None) => Ok(()),
        Err(ended) => Err(ended),
    };
    if let Err(ended) = result {
        let connections = &sessions.connections;
        let counter = match ended {
            Ended::Idle => &connections.idle,
            Ended::Slow => &connections.slow,
            _ => &connections.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        sessions.log(ended.trouble(), |left_out| {
            tracing::warn!(%exporter, reason = %ended, left_out, "IPFIX connection closed");
        });
    }
    sessions.connections.open.fetch_sub(1, Ordering::Relaxed);
}

/// Whose session a connection is, and the account that it is charged to: the exporter's that the header of a load balancer
/// names, else those of the peer, which may be a load balancer that looks whether somebody listens. `None` if the exporter
/// is refused.
async fn exporter_of(
    stream: &mut TcpStream,
    peer: SocketAddr,
    account: Account,
    sessions: &Sessions,
) -> Result<Option<(SocketAddr, Account)>, Ended> {
    if !sessions.proxies.contains(peer.ip()) {
        return Ok(Some((peer, account)));
    }
    let header = tokio::time::timeout(HANDSHAKE_LIMIT, read_proxy_header(stream)).await;
    let Some(exporter) = header.map_err(|_| Ended::ProxyTime)?? else { return Ok(Some((peer, account))) };
    drop(account);
    if !is_allowed(exporter, sessions) {
        return Ok(None);
    }
    Ok(charged(exporter, sessions).map(|account| (exporter, account)))
}

async fn read_proxy_header(stream: &mut TcpStream) -> Result<Option<SocketAddr>, Ended> {
    let mut octets = [0; HEADER_OCTETS];
    stream.read_exact(&mut octets).await?;
    let head = Head::parse(&octets)?;
    let mut rest = vec![0; head.length];
    stream.read_exact(&mut rest).await?;
    Ok(head.source(&rest)?)
}

async fn plain_or_tls(stream: TcpStream, peer: SocketAddr, sessions: &Sessions) -> Result<(), Ended> {
    match sessions.acceptor() {
        None => session(stream, peer, sessions).await,
        Some(acceptor) => over_tls(stream, peer, &acceptor, sessions).await,
    }
}

async fn over_tls(
    stream: TcpStream,
    peer: SocketAddr,
    acceptor: &TlsAcceptor,
    sessions: &Sessions,
) -> Result<(), Ended> {
    let handshake = tokio::time::timeout(HANDSHAKE_LIMIT, acceptor.accept(stream)).await;
    let stream = handshake.map_err(|_| Ended::HandshakeTime)?.map_err(Ended::Handshake)?;
    session(stream, peer, sessions).await
}

/// Reads a session to its end.
async fn session(mut input: impl AsyncRead + Unpin, peer: SocketAddr, sessions: &Sessions) -> Result<(), Ended> {
    let (number, decoder) = sessions.begin(peer);
    let mut stream = Stream::default();
    let mut patience = Patience::new(sessions.limits.idle);
    let result = loop {
        let room = stream.tail();
        room.reserve(READ_OCTETS);
        let read = tokio::select! {
            biased;
            read = input.read_buf(room) => read,
            // At a stop, what is there was read above; what is not, the exporter will send to whoever comes next.
            () = sessions.stopped() => break Ok(()),
            () = tokio::time::sleep(patience.left()) => break Err(patience.ended()),
        };
        match read {
            Ok(0) => break Ok(()),
            Ok(_) => {}
            Err(error) => break Err(error.into()),
        }
        match sessions.decode(&mut stream, &decoder, peer) {
            Ok(messages) => patience.came(messages, stream.is_empty()),
            Err(error) => break Err(error.into()),
        }
    };
    sessions.end(number);
    result
}

/// How long the next octets of a session are waited for.
#[derive(Debug)]
struct Patience {
    idle: Duration,
    /// When the message began that is waited for: the session's first one, or one of which a part has come.
    begun: Option<Instant>,
    /// Whether a part of it has come.
    partial: bool,
}

impl Patience {
    fn new(idle: Duration) -> Self {
        Self { idle, begun: Some(Instant::now()), partial: false }
    }

    /// Takes note of a read that brought so many whole messages, and of whether it brought no part of another.
    fn came(&mut self, messages: u64, whole: bool) {
        self.partial = !whole;
        match (messages, whole) {
            (_, true) => self.begun = None,
            (0, false) => _ = self.begun.get_or_insert_with(Instant::now),
            (_, false) => self.begun = Some(Instant::now()),
        }
    }

    fn left(&self) -> Duration {
        self.begun.map_or(self.idle, |begun| MESSAGE_LIMIT.saturating_sub(begun.elapsed()).min(self.idle))
    }

    /// What the session ended of when all of that has passed.
    fn ended(&self) -> Ended {
        let slow = self.partial && self.begun.is_some_and(|begun| begun.elapsed() >= MESSAGE_LIMIT);
        if slow { Ended::Slow } else { Ended::Idle }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(1800);

    /// A message that is `secs` seconds old when the next octets are waited for.
    fn aged(mut patience: Patience, secs: u64) -> Patience {
        patience.begun = patience.begun.and_then(|begun| begun.checked_sub(Duration::from_secs(secs)));
        patience
    }

    #[test]
    fn a_session_that_says_nothing_and_a_message_that_never_ends_are_not_waited_for_as_long_as_the_next_message() {
        let silent = aged(Patience::new(IDLE), 50);
        assert!(silent.left() <= Duration::from_secs(10) && matches!(silent.ended(), Ended::Idle));
        let mut dripping = Patience::new(IDLE);
        dripping.came(1, false);
        let mut dripping = aged(dripping, 40);
        dripping.came(0, false);
        assert!(dripping.left() <= Duration::from_secs(20), "another octet gives no more time");
        let dripping = aged(dripping, 20);
        assert!(dripping.left().is_zero() && matches!(dripping.ended(), Ended::Slow));
        let mut honest = dripping;
        honest.came(3, true);
        assert!(honest.left() == IDLE && matches!(honest.ended(), Ended::Idle));
    }
}
