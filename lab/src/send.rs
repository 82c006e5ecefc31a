//! Sending datagrams, or IPFIX messages over TCP. UDP is fast: bursts from one socket with as few system calls as the kernel allows.
//!
//! Datagrams of equal length go out as one call and one pass through the kernel's stack (generic segmentation
//! offload, `UDP_SEGMENT`); others as one `sendmmsg` call. Measured on loopback: 4 us a datagram with a call for
//! each, 0.2 us with 45 segments a call into a receiver that coalesces them.
//!
//! A datagram that the kernel refuses is reported with the reason and not tried again: the
//! caller counts what was sent. What the kernel took can still be lost on its way, as always with UDP.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::ops::Range;
use std::os::fd::{AsRawFd, RawFd};

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrIn6, sendmmsg, sendmsg};

pub mod pace;
pub mod stream;

/// Segments of one call; Linux before 6.3 takes no more (`UDP_MAX_SEGMENTS`).
const MAX_SEGMENTS: usize = 64;

/// Octets of one call: the segments travel as one IPv4 packet until they are cut.
const MAX_SEGMENTED_OCTETS: usize = 65_507;

/// Messages of one `sendmmsg` call.
const MAX_MESSAGES: usize = 64;

/// File descriptors besides the sockets: standard streams, a capture, a summary.
const OTHER_FILES: u64 = 64;

/// Datagrams to be sent by one socket, in order.
#[derive(Debug, Default)]
pub struct Burst {
    octets: Vec<u8>,
    ends: Vec<usize>,
}

impl Burst {
    /// Takes all datagrams out and keeps the memory.
    pub fn clear(&mut self) {
        self.octets.clear();
        self.ends.clear();
    }

    /// Number of datagrams.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether it holds no datagram.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Adds the datagram that `write` appends.
    pub fn push<T>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let written = write(&mut self.octets);
        self.ends.push(self.octets.len());
        written
    }

    /// The payload of datagram `n`, empty if there is none.
    pub fn datagram(&self, n: usize) -> &[u8] {
        self.slice(n..n + 1)
    }

    /// The payloads of some datagrams, back to back.
    fn slice(&self, datagrams: Range<usize>) -> &[u8] {
        let start = datagrams.start.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let end = datagrams.end.checked_sub(1).and_then(|last| self.ends.get(last)).copied().unwrap_or(start);
        self.octets.get(start..end).unwrap_or_default()
    }

    /// The datagrams from `start` on that can go out as segments: equal in length, but for a shorter last one.
    fn segments(&self, start: usize) -> Range<usize> {
        let length = self.datagram(start).len();
        let mut octets = length;
        let mut end = start + 1;
        while end < self.len() && end - start < MAX_SEGMENTS {
            let next = self.datagram(end).len();
            if next > length || next == 0 || octets + next > MAX_SEGMENTED_OCTETS {
                break;
            }
            end += 1;
            octets += next;
            if next < length {
                break;
            }
        }
        start..end
    }
}

/// Why a socket cannot be opened.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the text of a variant says what its fields are")]
pub enum OpenError {
    #[error("cannot send from {from} to {target}: {source}")]
    Socket { from: SocketAddr, target: SocketAddr, source: io::Error },
    /// The limit of open files is too low.
    #[error("{0}")]
    Limit(String),
}

/// Opens a socket that sends from `from` to `target`: a TCP connection if `tcp`, otherwise UDP.
///
/// # Errors
/// [`OpenError::Socket`].
pub fn open(from: SocketAddr, target: SocketAddr, tcp: bool) -> Result<Sender, OpenError> {
    let connect = if tcp { Sender::connect_tcp } else { Sender::connect };
    connect(from, target).map_err(|source| OpenError::Socket { from, target, source })
}

/// Why the kernel did not take a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Nobody listens on the target's port, as an earlier datagram's ICMP answer said.
    Refused,
    /// The kernel or the interface had no room.
    NoBuffers,
    /// No route, or a firewall.
    Unreachable,
    /// Longer than UDP or the path allows.
    TooLong,
    /// Whatever else the system call failed with.
    Other(Errno),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "nobody listens at the target",
            Self::NoBuffers => "the kernel had no room",
            Self::Unreachable => "no route, or a firewall",
            Self::TooLong => "too long for the path",
            Self::Other(errno) => errno.desc(),
        })
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::ECONNREFUSED => Self::Refused,
            Errno::ENOBUFS | Errno::ENOMEM | Errno::EAGAIN => Self::NoBuffers,
            Errno::ENETUNREACH | Errno::EHOSTUNREACH | Errno::ENETDOWN | Errno::EPERM | Errno::EACCES => {
                Self::Unreachable
            }
            Errno::EMSGSIZE => Self::TooLong,
            other => Self::Other(other),
        }
    }
}

/// Sends bursts from one source address to one target.
#[derive(Debug)]
pub struct Sender {
    socket: Transport,
    segmentation: bool,
}

/// What carries a burst.
#[derive(Debug)]
enum Transport {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Sender {
    /// Binds `source` (port 0: any) and connects to `target`.
    ///
    /// # Errors
    /// When the source is not an address of this machine, the target cannot be reached, or no file descriptor is left.
    pub fn connect(source: SocketAddr, target: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(source)?;
        socket.connect(target)?;
        Ok(Self { socket: Transport::Udp(socket), segmentation: true })
    }

    /// The same over TCP. Bursts are then of IPFIX messages.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), and when the connection is refused.
    pub fn connect_tcp(source: SocketAddr, target: SocketAddr) -> io::Result<Self> {
        Ok(Self { socket: Transport::Tcp(stream::connect(source, target)?), segmentation: false })
    }

    /// Without segmentation each datagram passes through the kernel on its own, as those of real devices do.
    pub fn set_segmentation(&mut self, segmentation: bool) {
        self.segmentation = segmentation && matches!(self.socket, Transport::Udp(_));
    }

    /// # Errors
    /// When the socket has no address, which a bound one has.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.socket {
            Transport::Udp(socket) => socket.local_addr(),
            Transport::Tcp(stream) => stream.local_addr(),
        }
    }

    /// Sends all datagrams; those that the kernel did not take are added to `failed` by their place in the burst.
    pub fn send(&mut self, burst: &Burst, failed: &mut Vec<(usize, Failure)>) {
        if let Transport::Tcp(stream) = &mut self.socket {
            if let Err(errno) = stream::write(stream, burst.slice(0..burst.len())) {
                failed.extend((0..burst.len()).map(|n| (n, errno.into())));
            }
            return;
        }
        let mut next = 0;
        while next < burst.len() {
            let segments = burst.segments(next);
            if self.segmentation && segments.len() > 1 {
                next = segments.end;
                match self.send_segments(burst, segments.clone()) {
                    Ok(()) => {}
                    // Interfaces without checksum offload (EIO) or with a smaller MTU (EINVAL) cannot segment.
                    Err(Errno::EINVAL | Errno::EIO | Errno::EMSGSIZE | Errno::EOPNOTSUPP | Errno::ENOPROTOOPT) => {
                        self.segmentation = false;
                        next = segments.start;
                    }
                    Err(errno) => failed.extend(segments.map(|n| (n, errno.into()))),
                }
            } else {
                let end = self.singles_end(burst, next);
                self.send_each(burst, next..end, failed);
                next = end;
            }
        }
    }

    /// Where the datagrams from `start` on end that do not go out as segments.
    fn singles_end(&self, burst: &Burst, start: usize) -> usize {
        let last = burst.len().min(start + MAX_MESSAGES);
        let segmented = |n: &usize| self.segmentation && burst.segments(*n).len() > 1;
        (start + 1..last).find(segmented).unwrap_or(last)
    }

    fn send_segments(&self, burst: &Burst, datagrams: Range<usize>) -> Result<(), Errno> {
        let length = burst.datagram(datagrams.start).len() as u16;
        let octets = [IoSlice::new(burst.slice(datagrams))];
        let segment = [ControlMessage::UdpGsoSegments(&length)];
        retry(|| sendmsg::<()>(self.fd(), &octets, &segment, MsgFlags::empty(), None)).map(|_| ())
    }

    fn send_each(&self, burst: &Burst, datagrams: Range<usize>, failed: &mut Vec<(usize, Failure)>) {
        let mut next = datagrams.start;
        while next < datagrams.end {
            match self.send_messages(burst, next..datagrams.end) {
                Ok(sent) => next += sent.max(1),
                // The call reports the error of its first message only, and sends nothing then.
                Err(errno) => {
                    failed.push((next, errno.into()));
                    next += 1;
                }
            }
        }
    }

    /// One `sendmmsg` call; returns how many datagrams the kernel took.
    fn send_messages(&self, burst: &Burst, datagrams: Range<usize>) -> Result<usize, Errno> {
        let slices: Vec<[IoSlice<'_>; 1]> = datagrams.map(|n| [IoSlice::new(burst.datagram(n))]).collect();
        // The socket is connected: no message has an address of its own.
        let addresses = vec![None::<SockaddrIn6>; slices.len()];
        let mut headers = MultiHeaders::preallocate(slices.len(), None);
        retry(|| sendmmsg(self.fd(), &mut headers, &slices, &addresses, [], MsgFlags::empty()).map(Iterator::count))
    }

    fn fd(&self) -> RawFd {
        match &self.socket {
            Transport::Udp(socket) => socket.as_raw_fd(),
            Transport::Tcp(stream) => stream.as_raw_fd(),
        }
    }
}

/// Repeats a call that a signal interrupted.
fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

/// Makes room for `sockets` open sockets, as far as the hard limit of open files allows.
///
/// # Errors
/// When the limit of open files is too low; the text says how to raise it.
pub fn reserve_sockets(sockets: usize) -> Result<(), OpenError> {
    raise_limit(sockets).map_err(OpenError::Limit)
}

fn raise_limit(sockets: usize) -> Result<(), String> {
    let needed = sockets as u64 + OTHER_FILES;
    let (soft, hard) =
        getrlimit(Resource::RLIMIT_NOFILE).map_err(|errno| format!("cannot read the limit of open files: {errno}"))?;
    if soft >= needed {
        return Ok(());
    }
    if hard < needed {
        return Err(format!(
            "{sockets} sockets need {needed} open files, the limit is {hard}: raise it with `ulimit -n {needed}`"
        ));
    }
    setrlimit(Resource::RLIMIT_NOFILE, needed, hard)
        .map_err(|errno| format!("cannot raise the limit of open files to {needed}: {errno}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    fn burst(lengths: &[usize]) -> Burst {
        let mut burst = Burst::default();
        for (n, &length) in lengths.iter().enumerate() {
            burst.push(|out| out.resize(out.len() + length, n as u8));
        }
        burst
    }

    fn received(receiver: &UdpSocket, n: usize) -> Vec<Vec<u8>> {
        let mut buffer = [0; 2_000];
        let next = |_| receiver.recv(&mut buffer).map(|length| buffer[..length].to_vec()).unwrap();
        (0..n).map(next).collect()
    }

    #[test]
    fn datagrams_arrive_whole_and_in_order_however_they_are_sent() {
        let lengths: Vec<usize> = [[1_400; 50].as_slice(), &[700, 900, 3, 3, 3, 1, 1_200]].concat();
        let burst = burst(&lengths);
        let expected: Vec<&[u8]> = (0..burst.len()).map(|n| burst.datagram(n)).collect();
        for segmentation in [true, false] {
            let receiver = UdpSocket::bind(LOOPBACK).unwrap();
            let mut sender = Sender::connect("127.7.7.7:0".parse().unwrap(), receiver.local_addr().unwrap()).unwrap();
            sender.set_segmentation(segmentation);
            let mut failed = Vec::new();
            sender.send(&burst, &mut failed);
            assert_eq!(failed, [], "segmentation {segmentation}");
            assert_eq!(received(&receiver, burst.len()), expected, "segmentation {segmentation}");
            assert_eq!(sender.local_addr().unwrap().ip().to_string(), "127.7.7.7");
        }
    }

    #[test]
    fn segments_are_equal_but_for_a_shorter_last_one() {
        assert_eq!(burst(&[5, 5, 5, 3, 5]).segments(0), 0..4);
        assert_eq!(burst(&[5, 6, 6]).segments(0), 0..1);
        assert_eq!(burst(&[5, 0]).segments(0), 0..1, "an empty datagram cannot be a segment");
        assert_eq!(burst(&[1; 100]).segments(10), 10..10 + MAX_SEGMENTS);
        assert_eq!(burst(&[10_000; 10]).segments(0), 0..6, "six are the most below 64 KiB");
    }

    #[test]
    fn a_datagram_that_is_too_long_fails_and_the_others_arrive() {
        let receiver = UdpSocket::bind(LOOPBACK).unwrap();
        let mut sender = Sender::connect(LOOPBACK, receiver.local_addr().unwrap()).unwrap();
        let mut failed = Vec::new();
        sender.send(&burst(&[10, 70_000, 20]), &mut failed);
        assert_eq!(failed, [(1, Failure::TooLong)]);
        assert_eq!(received(&receiver, 2).iter().map(Vec::len).collect::<Vec<_>>(), [10, 20]);
    }

    #[test]
    fn a_closed_port_is_reported() {
        let closed = UdpSocket::bind(LOOPBACK).unwrap().local_addr().unwrap();
        let mut sender = Sender::connect(LOOPBACK, closed).unwrap();
        let mut failed = Vec::new();
        // On loopback the answer to the first datagram is there before the call returns.
        sender.send(&burst(&[10]), &mut failed);
        sender.send(&burst(&[10, 10]), &mut failed);
        assert_eq!(failed.iter().map(|(_, failure)| *failure).collect::<Vec<_>>(), [Failure::Refused; 2]);
    }

    #[test]
    fn more_sockets_than_the_hard_limit_are_refused_with_advice() {
        reserve_sockets(1).unwrap();
        let refused = reserve_sockets(usize::MAX >> 1).unwrap_err().to_string();
        assert!(refused.contains("ulimit -n"), "{refused}");
    }
}
