//! `recvmmsg` with UDP_GRO: many datagrams per system call.
//!
//! The kernel may hand over several datagrams of one sender as one buffer with a segment size beside it; taken
//! apart here, they cost a fifth of what single ones do.

use std::io;
use std::mem::{MaybeUninit, zeroed};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::ptr;

use super::UdpSocket;

/// The largest UDP payload, and what GRO coalesces at the most.
const BUFFER_OCTETS: usize = 65_536;

/// Room for one control message with the segment size (an int), aligned as cmsghdr asks for.
const CONTROL_WORDS: usize = 4;

/// Buffers for one receive call, used again for every call.
pub struct Ring {
    buffers: Box<[u8]>,
    addresses: Box<[libc::sockaddr_storage]>,
    control: Box<[[u64; CONTROL_WORDS]]>,
    iovecs: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
    /// Buffers that the last call filled.
    filled: usize,
}

/// Whether a receive call waits when nothing is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// As long as the socket's timeout says.
    Timeout,
    /// Not at all.
    No,
}

/// A received datagram.
#[derive(Debug, Clone, Copy)]
pub struct Datagram<'a> {
    /// Address and port of the sender; IPv4 on a socket of IPv6 is mapped (RFC 4291 §2.5.5.2).
    pub source: SocketAddr,
    /// UDP payload, at least one octet.
    pub octets: &'a [u8],
}

/// The raw pointers in a ring point into the ring's own boxes, and only [`Ring::receive`] uses them.
#[expect(unsafe_code, reason = "iovec and msghdr hold raw pointers into buffers that the ring owns")]
// SAFETY: the pointers refer to heap memory owned by the same value, which moves along with it.
unsafe impl Send for Ring {}

impl Ring {
    /// Makes room for `buffers` receives per call. With GRO a buffer holds up to 45 datagrams: 8 to 16 are enough,
    /// more would only push each other out of the cache.
    #[expect(unsafe_code, reason = "C structs are zeroed before the kernel fills them")]
    pub fn new(buffers: usize) -> Self {
        // SAFETY: all-zero is a valid value of these C structs: null pointers, zero lengths, no address family.
        let (address, iovec, header): (libc::sockaddr_storage, libc::iovec, libc::mmsghdr) = unsafe { zeroed() };
        Self {
            buffers: vec![0; buffers * BUFFER_OCTETS].into(),
            addresses: vec![address; buffers].into(),
            control: vec![[0; CONTROL_WORDS]; buffers].into(),
            iovecs: vec![iovec; buffers].into(),
            headers: vec![header; buffers].into(),
            filled: 0,
        }
    }

    /// Takes the datagrams that are there; if none is, waits for as long as the socket's timeout says or not at all.
    ///
    /// # Errors
    /// The system call's error; a timeout is an empty iterator, not an error.
    #[expect(unsafe_code, reason = "recvmmsg with control messages: nix 0.31 does not restore msg_controllen")]
    pub fn receive(&mut self, socket: &UdpSocket, wait: Wait) -> io::Result<impl Iterator<Item = Datagram<'_>>> {
        let flags = match wait {
            Wait::Timeout => libc::MSG_WAITFORONE,
            Wait::No => libc::MSG_DONTWAIT,
        };
        self.arm();
        // glibc and musl declare flags and lengths as integers of different types: `as _` is the one that the C library wants.
        let flags = flags as _;
        let count = self.headers.len() as libc::c_uint;
        // SAFETY: `arm` pointed every header at buffers of the ring that are valid for writes of the given lengths,
        // are not borrowed while the call runs, and outlive it.
        let received =
            unsafe { libc::recvmmsg(socket.as_raw_fd(), self.headers.as_mut_ptr(), count, flags, ptr::null_mut()) };
        let received = match usize::try_from(received) {
            Ok(received) => received,
            Err(_) => match io::Error::last_os_error() {
                error if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => 0,
                error => return Err(error),
            },
        };
        self.filled = received;
        let this = &*self;
        Ok((0..received).flat_map(move |at| this.datagrams(at)))
    }

    /// Whether the last call filled every buffer, so that more may wait.
    pub fn is_full(&self) -> bool {
        self.filled == self.headers.len()
    }

    /// Points every header at its buffers: the kernel overwrites the lengths in each call.
    fn arm(&mut self) {
        let buffers = self.buffers.chunks_exact_mut(BUFFER_OCTETS);
        let parts = buffers.zip(&mut self.addresses).zip(&mut self.control).zip(&mut self.iovecs);
        for ((((buffer, address), control), iovec), header) in parts.zip(&mut self.headers) {
            *iovec = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
            let message = &mut header.msg_hdr;
            message.msg_name = ptr::from_mut(address).cast();
            message.msg_namelen = size_of_val(address) as libc::socklen_t;
            message.msg_iov = iovec;
            message.msg_iovlen = 1;
            message.msg_control = control.as_mut_ptr().cast();
            message.msg_controllen = size_of_val(control) as _;
            message.msg_flags = 0;
            header.msg_len = 0;
        }
    }

    /// The datagrams of one received buffer.
    fn datagrams(&self, at: usize) -> impl Iterator<Item = Datagram<'_>> {
        let header = &self.headers[at];
        let start = at * BUFFER_OCTETS;
        let octets = self.buffers.get(start..start + header.msg_len as usize).unwrap_or(&[]);
        let segment = segment_octets(&header.msg_hdr).unwrap_or(octets.len()).max(1);
        let source = source_address(&self.addresses[at]);
        octets.chunks(segment).filter_map(move |octets| source.map(|source| Datagram { source, octets }))
    }
}

/// The size of coalesced datagrams, if the kernel coalesced any.
#[expect(unsafe_code, reason = "control messages are read through libc's CMSG macros")]
fn segment_octets(header: &libc::msghdr) -> Option<usize> {
    // SAFETY: the kernel wrote `msg_controllen` octets of control messages to a buffer of the ring that is aligned
    // for cmsghdr; the macros stay within that length, and the segment size is read unaligned.
    unsafe {
        let message = libc::CMSG_FIRSTHDR(header);
        let message = message.as_ref()?;
        if message.cmsg_level != libc::SOL_UDP || message.cmsg_type != libc::UDP_GRO {
            return None;
        }
        let size: libc::c_int = ptr::read_unaligned(libc::CMSG_DATA(message).cast());
        usize::try_from(size).ok().filter(|&size| size > 0)
    }
}

/// The sender's address; mapped IPv4 stays as the socket reports it.
#[expect(unsafe_code, reason = "a sockaddr_storage is read as the type that its family names")]
fn source_address(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(storage.ss_family) {
        libc::AF_INET => {
            let mut address = MaybeUninit::<libc::sockaddr_in>::uninit();
            // SAFETY: the family says that the storage begins with a sockaddr_in, which is smaller than it.
            let address = unsafe {
                ptr::copy_nonoverlapping(ptr::from_ref(storage).cast(), address.as_mut_ptr(), 1);
                address.assume_init()
            };
            let ip = Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr));
            Some(SocketAddr::from((ip, u16::from_be(address.sin_port))))
        }
        libc::AF_INET6 => {
            let mut address = MaybeUninit::<libc::sockaddr_in6>::uninit();
            // SAFETY: the family says that the storage begins with a sockaddr_in6, which is smaller than it.
            let address = unsafe {
                ptr::copy_nonoverlapping(ptr::from_ref(storage).cast(), address.as_mut_ptr(), 1);
                address.assume_init()
            };
            let ip = Ipv6Addr::from(address.sin6_addr.s6_addr);
            Some(SocketAddr::from((ip, u16::from_be(address.sin6_port))))
        }
        _ => None,
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("buffers", &self.headers.len()).finish_non_exhaustive()
    }
}
