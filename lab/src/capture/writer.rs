//! Datagrams to a pcap file that every tool opens: Ethernet frames, times in nanoseconds.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use helios_collector::encode::packet::{self, Ipv4, Ipv6, Layer};

/// The magic of captures with times in nanoseconds, in our byte order (little-endian).
const MAGIC_NANOSECONDS: u32 = 0xa1b2_3c4d;
const VERSION: (u16, u16) = (2, 4);
/// The longest frame there is: a UDP datagram of 64 KiB with its headers.
const SNAP_LENGTH: u32 = 1 << 18;
const LINK_TYPE_ETHERNET: u32 = 1;

/// Locally administered addresses: no real card's.
const ETHERNET: Layer<'_> = Layer::Ethernet { dst: [2, 0, 0, 0, 0, 2], src: [2, 0, 0, 0, 0, 1] };
const TTL: u8 = 64;

const NS_PER_SEC: u64 = 1_000_000_000;

/// Writes a capture file.
#[derive(Debug)]
pub struct Writer<W: Write> {
    out: W,
    frame: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Writes the file's header.
    ///
    /// # Errors
    /// When `out` does not take it.
    pub fn new(mut out: W) -> io::Result<Self> {
        out.write_all(&MAGIC_NANOSECONDS.to_le_bytes())?;
        out.write_all(&VERSION.0.to_le_bytes())?;
        out.write_all(&VERSION.1.to_le_bytes())?;
        out.write_all(&[0; 8])?; // time zone and accuracy, which readers ignore
        out.write_all(&SNAP_LENGTH.to_le_bytes())?;
        out.write_all(&LINK_TYPE_ETHERNET.to_le_bytes())?;
        Ok(Self { out, frame: Vec::new() })
    }

    /// Appends a datagram.
    ///
    /// A datagram from one address family to the other is written as IPv6 with the IPv4 address mapped.
    ///
    /// # Errors
    /// When the output does not take it, or with [`io::ErrorKind::InvalidInput`] when no UDP datagram can be as long.
    pub fn datagram(
        &mut self,
        timestamp_ns: u64,
        source: SocketAddr,
        destination: SocketAddr,
        payload: &[u8],
    ) -> io::Result<()> {
        const MAX_PAYLOAD: usize = 65_507;
        if payload.len() > MAX_PAYLOAD {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "longer than a UDP datagram can be"));
        }
        let udp = Layer::Udp { src_port: source.port(), dst_port: destination.port() };
        let ip = ip_layer(source.ip(), destination.ip());
        self.frame.clear();
        packet::write(&[ETHERNET, ip, udp, Layer::Payload(payload)], &mut self.frame);
        let length = self.frame.len() as u32;
        // pcap's seconds are 32 bits: they last until 2106.
        self.out.write_all(&((timestamp_ns / NS_PER_SEC) as u32).to_le_bytes())?;
        self.out.write_all(&((timestamp_ns % NS_PER_SEC) as u32).to_le_bytes())?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(&self.frame)
    }

    /// Flushes and gives the output back.
    ///
    /// # Errors
    /// When flushing fails.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}

fn ip_layer(src: IpAddr, dst: IpAddr) -> Layer<'static> {
    let mapped = |ip: IpAddr| match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    };
    let v4 = |v4: Ipv4Addr| v4.octets();
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            Layer::Ipv4(Ipv4 { src: v4(src), dst: v4(dst), ttl: TTL, ..Ipv4::default() })
        }
        (src, dst) => Layer::Ipv6(Ipv6 { src: mapped(src), dst: mapped(dst), hop_limit: TTL, ..Ipv6::default() }),
    }
}
