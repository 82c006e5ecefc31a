//! Classic BPF that chooses a socket of a SO_REUSEPORT group by the source address.

use std::io;
use std::os::fd::RawFd;

/// `SKF_NET_OFF`: offsets from here on count from the network header.
const NET: u32 = -0x10_0000_i32 as u32;

/// Offset of the source address in an IPv4 header (RFC 791).
const V4_SOURCE: u32 = NET.wrapping_add(12);
/// Offset of the last 32 bits of the source address in an IPv6 header (RFC 8200).
const V6_SOURCE_LOW: u32 = NET.wrapping_add(20);

/// Knuth's multiplier: neighbouring addresses spread over all sockets.
const GOLDEN: u32 = 2_654_435_769;

const fn op(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt, jf, k }
}

/// Attaches the program to the group that `fd` belongs to; sockets count in the order of their binding.
#[expect(unsafe_code, reason = "socket2 and nix do not wrap SO_ATTACH_REUSEPORT_CBPF")]
pub(super) fn by_source_address(fd: RawFd, sockets: usize) -> io::Result<()> {
    use libc::{
        BPF_A, BPF_ABS, BPF_ALU, BPF_B, BPF_JA, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_MOD, BPF_MUL, BPF_RET, BPF_RSH,
        BPF_W,
    };
    let mut program = [
        op(BPF_LD | BPF_B | BPF_ABS, 0, 0, NET),
        op(BPF_ALU | BPF_RSH | BPF_K, 0, 0, 4),
        op(BPF_JMP | BPF_JEQ | BPF_K, 2, 0, 6),
        op(BPF_LD | BPF_W | BPF_ABS, 0, 0, V4_SOURCE),
        op(BPF_JMP | BPF_JA, 0, 0, 1),
        op(BPF_LD | BPF_W | BPF_ABS, 0, 0, V6_SOURCE_LOW),
        op(BPF_ALU | BPF_MUL | BPF_K, 0, 0, GOLDEN),
        op(BPF_ALU | BPF_RSH | BPF_K, 0, 0, 16),
        op(BPF_ALU | BPF_MOD | BPF_K, 0, 0, sockets as u32),
        op(BPF_RET | BPF_A, 0, 0, 0),
    ];
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: `filter` points to `len` instructions that outlive the call; the kernel checks and copies them.
    let result = unsafe {
        libc::setsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const filter).cast(),
            size_of_val(&filter) as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
