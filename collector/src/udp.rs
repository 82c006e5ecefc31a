//! UDP sockets: the only I/O of this crate.
//!
//! Every receive worker has a socket of its own on every listening address (SO_REUSEPORT). The kernel chooses the
//! socket by the *source address* of a datagram (classic BPF), so that an exporter stays on one worker whatever
//! source ports it uses, and the decoders need no lock.
//!
//! Wrapped here by hand is only what socket2 and nix do not offer: `SO_ATTACH_REUSEPORT_CBPF`, `SO_MEMINFO`, and
//! `recvmmsg` with control messages (nix 0.31 does not restore `msg_controllen` between calls, which loses the GRO
//! segment size of every buffer that once received a datagram without one).

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

mod ring;
mod steering;

pub use ring::{Datagram, Ring, Wait};

/// What a socket is asked for.
#[derive(Debug, Clone, Copy)]
pub struct SocketOptions {
    /// Receive buffer to ask the kernel for, in octets of payload and bookkeeping.
    pub receive_buffer: usize,
    /// Ask for datagrams of one sender coalesced (UDP_GRO).
    pub gro: bool,
    /// How long a blocking receive waits.
    pub wait: Duration,
}

/// A bound socket.
#[derive(Debug)]
pub struct UdpSocket {
    socket: Socket,
    local: SocketAddr,
    /// Octets of the receive buffer as the kernel granted it, in the measure of what was asked for.
    pub receive_buffer: usize,
    /// Whether the kernel granted UDP_GRO.
    pub gro: bool,
}

/// Occupancy and losses of a socket, as the kernel counts them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SocketStats {
    /// Octets waiting in the receive queue, bookkeeping included.
    pub queued: u32,
    /// Size of the receive buffer in the same measure.
    pub capacity: u32,
    /// Datagrams that the kernel dropped because the buffer was full, since the socket was made.
    pub dropped: u64,
}

impl SocketStats {
    /// The same figures with the losses counted on from `before`: the kernel's counter has 32 bits and wraps around.
    pub(crate) fn following(self, before: Self) -> Self {
        let more = (self.dropped as u32).wrapping_sub(before.dropped as u32);
        Self { dropped: before.dropped + u64::from(more), ..self }
    }
}

/// A socket could not be opened or bound.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the text of a variant says what its fields are")]
pub enum BindError {
    #[error("cannot listen on {address}: the port is in use by another program; `ss -ulnp` shows which one")]
    InUse { address: SocketAddr },
    #[error("cannot listen on {address}: ports below 1024 need CAP_NET_BIND_SERVICE; take a higher port or grant it")]
    Privileged { address: SocketAddr },
    #[error("cannot listen on {address}: this host has no such address; `ip address` lists them")]
    NoSuchAddress { address: SocketAddr },
    #[error("cannot listen on {address}: this host has no IPv6; listen on 0.0.0.0:{} instead", address.port())]
    NoIpv6 { address: SocketAddr },
    #[error("cannot listen on {address}: {source}")]
    Other { address: SocketAddr, source: io::Error },
}

impl BindError {
    fn new(address: SocketAddr, source: io::Error) -> Self {
        match source.raw_os_error() {
            Some(libc::EADDRINUSE) => Self::InUse { address },
            Some(libc::EACCES) => Self::Privileged { address },
            Some(libc::EADDRNOTAVAIL) => Self::NoSuchAddress { address },
            Some(libc::EAFNOSUPPORT) => Self::NoIpv6 { address },
            _ => Self::Other { address, source },
        }
    }
}

/// Binds one socket per worker to `address` and steers exporters to them.
///
/// Port 0 is resolved by the first socket and shared by the others.
///
/// # Errors
/// [`BindError`] with what to do about it.
pub fn bind_group(address: SocketAddr, workers: usize, options: &SocketOptions) -> Result<Vec<UdpSocket>, BindError> {
    let mut sockets: Vec<UdpSocket> = Vec::with_capacity(workers);
    for _ in 0..workers {
        let address = sockets.first().map_or(address, |first| first.local);
        sockets.push(UdpSocket::bind(address, options).map_err(|error| BindError::new(address, error))?);
    }
    if let Some(first) = sockets.first()
        && workers > 1
    {
        steering::by_source_address(first.socket.as_raw_fd(), workers)
            .map_err(|error| BindError::new(address, error))?;
    }
    Ok(sockets)
}

impl UdpSocket {
    fn bind(address: SocketAddr, options: &SocketOptions) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            // [::] takes IPv4 as well: one listening address is enough for a dual-stack network.
            socket.set_only_v6(!address.ip().is_unspecified())?;
        }
        socket.set_reuse_port(true)?;
        socket.set_read_timeout(Some(options.wait))?;
        // FORCE goes beyond net.core.rmem_max but needs CAP_NET_ADMIN; without it the kernel caps the request.
        if setsockopt(&socket, sockopt::RcvBufForce, &options.receive_buffer).is_err() {
            socket.set_recv_buffer_size(options.receive_buffer)?;
        }
        let gro = options.gro && setsockopt(&socket, sockopt::UdpGroSegment, &true).is_ok();
        socket.bind(&address.into())?;
        let local = socket.local_addr()?.as_socket().unwrap_or(address);
        // The kernel doubles what is asked for, for its own bookkeeping: halved, both figures compare.
        let receive_buffer = socket.recv_buffer_size()? / 2;
        Ok(Self { socket, local, receive_buffer, gro })
    }

    /// The address that the socket is bound to, with the port that the kernel chose for port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// What waits in the socket now, and the lower 32 bits of what the kernel dropped since the socket was made.
    ///
    /// # Errors
    /// The error of the system call.
    pub fn stats(&self) -> io::Result<SocketStats> {
        meminfo(self.socket.as_raw_fd())
    }
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for UdpSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Indices of linux/sock_diag.h: SK_MEMINFO_RMEM_ALLOC, SK_MEMINFO_RCVBUF, SK_MEMINFO_DROPS.
const MEMINFO_VALUES: usize = 9;

#[expect(unsafe_code, reason = "neither nix nor socket2 wraps SO_MEMINFO")]
fn meminfo(fd: RawFd) -> io::Result<SocketStats> {
    let mut values = [0_u32; MEMINFO_VALUES];
    let mut length = size_of_val(&values) as libc::socklen_t;
    // SAFETY: `values` is valid for writes of `length` octets, and the kernel writes no more than that.
    let result = unsafe {
        libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_MEMINFO, values.as_mut_ptr().cast(), &raw mut length)
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let [queued, capacity, .., dropped] = values;
    Ok(SocketStats { queued, capacity, dropped: dropped.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::net::UdpSocket as Sender;

    fn options(gro: bool) -> SocketOptions {
        SocketOptions { receive_buffer: 1 << 20, gro, wait: Duration::from_secs(5) }
    }

    fn loopback(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn losses_are_counted_on_when_the_kernels_counter_wraps() {
        let of = |dropped| SocketStats { dropped, ..SocketStats::default() };
        let total = [u64::from(u32::MAX) - 1, 3, 3, 7].into_iter().fold(of(0), |before, now| of(now).following(before));
        assert_eq!(total.dropped, u64::from(u32::MAX) + 8);
    }

    #[test]
    fn datagrams_arrive_with_their_source_and_length() {
        let sockets = bind_group(loopback(0), 1, &options(true)).unwrap();
        let sender = Sender::bind(loopback(0)).unwrap();
        for length in [1, 1400, 0, 60_000] {
            sender.send_to(&vec![7; length], sockets[0].local_addr()).unwrap();
        }
        let mut ring = Ring::new(8);
        let mut lengths = Vec::new();
        while lengths.len() < 3 {
            for datagram in ring.receive(&sockets[0], Wait::Timeout).unwrap() {
                assert_eq!(datagram.source, sender.local_addr().unwrap());
                lengths.push(datagram.octets.len());
            }
        }
        // A datagram without octets says nothing and is not handed on.
        assert_eq!(lengths, [1, 1400, 60_000]);
    }

    #[test]
    fn coalesced_datagrams_are_taken_apart() {
        let sockets = bind_group(loopback(0), 1, &options(true)).unwrap();
        let sender = Sender::bind(loopback(0)).unwrap();
        setsockopt(&sender, sockopt::UdpGsoSegment, &100).unwrap();
        sender.send_to(&[1; 350], sockets[0].local_addr()).unwrap();
        let mut ring = Ring::new(8);
        let mut lengths = Vec::new();
        while lengths.len() < 4 {
            lengths.extend(ring.receive(&sockets[0], Wait::Timeout).unwrap().map(|datagram| datagram.octets.len()));
        }
        assert_eq!(lengths, [100, 100, 100, 50]);
    }

    #[test]
    fn an_exporter_stays_on_one_socket_whatever_its_source_ports() {
        let sockets = bind_group(loopback(0), 4, &options(false)).unwrap();
        let target = sockets[0].local_addr();
        for exporter in 1..=32 {
            for _ in 0..4 {
                let sender = Sender::bind(SocketAddr::from(([127, 0, 9, exporter], 0))).unwrap();
                sender.send_to(&[exporter], target).unwrap();
            }
        }
        let mut seen: HashMap<u8, Vec<usize>> = HashMap::new();
        let mut ring = Ring::new(16);
        let mut total = 0;
        for (worker, socket) in sockets.iter().enumerate() {
            while socket.stats().unwrap().queued > 0 {
                for datagram in ring.receive(socket, Wait::Timeout).unwrap() {
                    seen.entry(datagram.octets[0]).or_default().push(worker);
                    total += 1;
                }
            }
        }
        assert_eq!((total, seen.len()), (128, 32));
        assert!(seen.values().all(|workers| workers.iter().all(|worker| *worker == workers[0])));
        let used: std::collections::HashSet<_> = seen.values().map(|workers| workers[0]).collect();
        assert_eq!(used.len(), 4, "32 exporters left a worker idle");
    }

    #[test]
    fn ipv4_reaches_a_dual_stack_socket() {
        let sockets = bind_group("[::]:0".parse().unwrap(), 2, &options(true)).unwrap();
        let sender = Sender::bind(loopback(0)).unwrap();
        sender.send_to(&[1], loopback(sockets[0].local_addr().port())).unwrap();
        let mut ring = Ring::new(4);
        let socket = sockets.iter().find(|socket| socket.stats().unwrap().queued > 0).unwrap();
        let source = ring.receive(socket, Wait::Timeout).unwrap().next().unwrap().source;
        assert_eq!(source.ip().to_canonical(), sender.local_addr().unwrap().ip());
    }

    #[test]
    fn the_kernels_drops_are_counted() {
        let small = SocketOptions { receive_buffer: 2048, gro: false, wait: Duration::from_millis(1) };
        let sockets = bind_group(loopback(0), 1, &small).unwrap();
        let sender = Sender::bind(loopback(0)).unwrap();
        for _ in 0..64 {
            sender.send_to(&[0; 1000], sockets[0].local_addr()).unwrap();
        }
        let stats = sockets[0].stats().unwrap();
        assert!(stats.dropped > 0 && stats.queued > 0, "{stats:?}");
    }

    #[test]
    fn a_port_in_use_is_said_with_what_to_do() {
        let taken = Sender::bind(loopback(0)).unwrap();
        let error = bind_group(taken.local_addr().unwrap(), 1, &options(true)).unwrap_err();
        assert!(matches!(error, BindError::InUse { .. }));
        assert!(error.to_string().contains("in use"));
    }
}
