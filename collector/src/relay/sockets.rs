//! The two ways to a destination: an ordinary UDP socket, and a raw one that keeps the exporter's address and port.

use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use crate::checksum::{Pseudo, seal_transport};

/// Octets of a UDP header (RFC 768).
const UDP_HEADER: usize = 8;

/// Where the checksum is in it.
const CHECKSUM: usize = 6;

/// Protocol number of UDP.
const UDP: u8 = 17;

/// Room for what the thread sends faster than a link takes.
const SEND_BUFFER: usize = 4 << 20;

/// Sends from an address of this host.
pub(super) struct Own {
    to: SocketAddr,
    /// Connected, so that the kernel reports when no program listens there. `None` after an error: the way there may have changed.
    socket: Option<UdpSocket>,
}

impl Own {
    pub(super) fn to(to: SocketAddr) -> Self {
        Self { to, socket: None }
    }

    pub(super) fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => self.connect()?,
        };
        let mut sent = socket.send(octets);
        // That is the answer to an earlier datagram; this one was not sent.
        if sent.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            let refused = sent;
            sent = socket.send(octets);
            self.socket = Some(socket);
            // The second datagram was sent as well, and no program receives it.
            return sent.and(refused).map(|_| ());
        }
        if sent.as_ref().map_or_else(|error| error.kind() == io::ErrorKind::WouldBlock, |_| true) {
            self.socket = Some(socket);
        }
        sent.map(|_| ())
    }

    fn connect(&self) -> io::Result<UdpSocket> {
        let any = if self.to.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0))?;
        socket.set_nonblocking(true)?;
        socket2::SockRef::from(&socket).set_send_buffer_size(SEND_BUFFER)?;
        socket.connect(self.to)?;
        Ok(socket)
    }
}

/// Sends with the address and port of the exporter. The UDP header is made here; the kernel makes the IP header around
/// it, with the address that goes along as a control message, and fragments what does not fit the link.
pub(super) struct Raw {
    to: SocketAddr,
    socket: Socket,
    /// A UDP datagram, made anew for each exporter's.
    segment: Vec<u8>,
}

impl Raw {
    /// # Errors
    /// What the system says, `PermissionDenied` without CAP_NET_RAW.
    pub(super) fn to(to: SocketAddr) -> io::Result<Self> {
        let domain = Domain::for_address(to);
        let socket = Socket::new(domain, Type::RAW, Some(Protocol::UDP))?;
        // Lets it send from addresses that this host does not have.
        match to {
            SocketAddr::V4(_) => socket.set_ip_transparent_v4(true)?,
            SocketAddr::V6(_) => socket.set_ip_transparent_v6(true)?,
        }
        // A raw socket is handed every UDP datagram that this host receives: this program takes none of them.
        let (return_constant, nothing) = ((libc::BPF_RET | libc::BPF_K) as u16, 0);
        socket.attach_filter(&[SockFilter::new(return_constant, 0, 0, nothing)])?;
        socket.set_nonblocking(true)?;
        socket.set_send_buffer_size(SEND_BUFFER)?;
        Ok(Self { to, socket, segment: Vec::new() })
    }

    pub(super) fn send(&mut self, source: SocketAddr, octets: &[u8]) -> io::Result<()> {
        let (from, to) = (source.ip().to_canonical(), self.to.ip());
        self.segment.clear();
        let length = u16::try_from(UDP_HEADER + octets.len()).map_err(io::Error::other)?;
        for field in [source.port(), self.to.port(), length, 0] {
            self.segment.extend_from_slice(&field.to_be_bytes());
        }
        self.segment.extend_from_slice(octets);
        let pseudo = match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => Pseudo::Ipv4(from.octets(), to.octets()),
            (IpAddr::V6(from), IpAddr::V6(to)) => Pseudo::Ipv6(from.octets(), to.octets()),
            _ => {
                let problem = "the exporter's address is of another family than the destination and cannot be kept";
                return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, problem));
            }
        };
        seal_transport(&mut self.segment, 0, CHECKSUM, pseudo, UDP);
        self.send_segment(from)
    }

    fn send_segment(&self, from: IpAddr) -> io::Result<()> {
        // Raw sockets of IPv6 refuse a port (ipv6(7)).
        let mut address = self.to;
        address.set_port(0);
        let (fd, parts, to) = (self.socket.as_raw_fd(), [IoSlice::new(&self.segment)], SockaddrStorage::from(address));
        let send = |message: ControlMessage<'_>| sendmsg(fd, &parts, &[message], MsgFlags::empty(), Some(&to));
        match from {
            IpAddr::V4(from) => {
                let any = libc::in_addr { s_addr: 0 };
                let from = libc::in_addr { s_addr: u32::from_ne_bytes(from.octets()) };
                send(ControlMessage::Ipv4PacketInfo(&libc::in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: from,
                    ipi_addr: any,
                }))
            }
            IpAddr::V6(from) => {
                let from = libc::in6_addr { s6_addr: from.octets() };
                send(ControlMessage::Ipv6PacketInfo(&libc::in6_pktinfo { ipi6_addr: from, ipi6_ifindex: 0 }))
            }
        }?;
        Ok(())
    }
}
