//! The PROXY protocol, version 2: the exporter behind a load balancer.
//!
//! ```text
//!   0  0d 0a 0d 0a 00 0d 0a 51 55 49 54 0a
//!  12  4 bits version = 2, 4 bits command: 0 LOCAL, 1 PROXY
//!  13  4 bits family: 0 none, 1 IPv4, 2 IPv6, 3 Unix; 4 bits transport: 0 none, 1 stream, 2 datagram
//!  14  octets that follow
//!  16  source address, destination address, source port, destination port; then TLVs, which are stepped over
//! ```
//!
//! Only configured load balancers are believed, and they have to send the header: the receiver must not guess whether it
//! is there. LOCAL (health checks) and families without an address mean the load balancer itself.
//!
//! Source: W. Tarreau, "The PROXY protocol, versions 1 & 2" (haproxy.org, 2020), section 2.2.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use helios_common::exporter::address_of;
use helios_common::prefix::Prefix;

use crate::decode::allow::Allow;
use crate::decode::cursor::Cursor;

/// Octets in front of the addresses.
pub const HEADER_OCTETS: usize = 16;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// There is no header of version 2 where one has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no header of the PROXY protocol, version 2, although the sender is in collector.proxy_protocol")]
pub struct NoHeader;

/// The first [`HEADER_OCTETS`] octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Whether the addresses are those of a connection.
    is_proxied: bool,
    family: u8,
    /// Octets that follow.
    pub length: usize,
}

impl Head {
    /// Reads the head.
    ///
    /// # Errors
    /// [`NoHeader`] for anything else than version 2 with a command that is known.
    pub fn parse(octets: &[u8; HEADER_OCTETS]) -> Result<Self, NoHeader> {
        let [signature @ .., version, family, high, low] = *octets;
        match (signature == SIGNATURE, version) {
            (true, 0x20 | 0x21) => {
                let length = usize::from(u16::from_be_bytes([high, low]));
                Ok(Self { is_proxied: version == 0x21, family: family >> 4, length })
            }
            _ => Err(NoHeader),
        }
    }

    /// The source that the octets behind the head tell; `None` if it is the load balancer itself.
    ///
    /// # Errors
    /// [`NoHeader`] if they are too few for the addresses of the family.
    pub fn source(&self, octets: &[u8]) -> Result<Option<SocketAddr>, NoHeader> {
        const IPV4: u8 = 1;
        const IPV6: u8 = 2;
        let mut cursor = Cursor::new(octets);
        let address = match (self.is_proxied, self.family) {
            (true, IPV4) => pair::<4>(&mut cursor).map(|octets| IpAddr::from(Ipv4Addr::from(octets))),
            (true, IPV6) => pair::<16>(&mut cursor).map(|octets| IpAddr::from(Ipv6Addr::from(octets))),
            _ => return Ok(None),
        };
        let ports: [u8; 4] = cursor.array().map_err(|_| NoHeader)?;
        let [high, low, _, _] = ports;
        Ok(Some(SocketAddr::new(address?, u16::from_be_bytes([high, low]))))
    }
}

/// The first of two addresses.
fn pair<const N: usize>(cursor: &mut Cursor<'_>) -> Result<[u8; N], NoHeader> {
    let source = cursor.array().map_err(|_| NoHeader)?;
    cursor.skip(N).map_err(|_| NoHeader)?;
    Ok(source)
}

/// The load balancers whose headers are believed.
#[derive(Debug, Default)]
pub struct Proxies(Option<Allow>);

impl Proxies {
    /// The load balancers in these prefixes.
    pub fn new(prefixes: &[Prefix]) -> Self {
        Self((!prefixes.is_empty()).then(|| Allow::new(prefixes)))
    }

    /// Whether what comes from this address begins with a header.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.as_ref().is_some_and(|proxies| proxies.accepts(address_of(address)))
    }

    /// The exporter of a datagram, and what it sent: without the header, if a load balancer has put one in front.
    ///
    /// # Errors
    /// [`NoHeader`] for a datagram of a load balancer that has none.
    pub fn unwrap<'a>(&self, source: SocketAddr, octets: &'a [u8]) -> Result<(SocketAddr, &'a [u8]), NoHeader> {
        if !self.contains(source.ip()) {
            return Ok((source, octets));
        }
        let (head, rest) = octets.split_first_chunk().ok_or(NoHeader)?;
        let head = Head::parse(head)?;
        let (addresses, payload) = rest.split_at_checked(head.length).ok_or(NoHeader)?;
        Ok((head.source(addresses)?.unwrap_or(source), payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies() -> Proxies {
        Proxies::new(&["198.51.100.0/24".parse().unwrap()])
    }

    fn balancer() -> SocketAddr {
        "198.51.100.7:40000".parse().unwrap()
    }

    /// A header with these octets behind version and command, and a payload.
    fn datagram(version: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let length = (addresses.len() as u16).to_be_bytes();
        [&SIGNATURE[..], &[version, family], &length, addresses, b"flows"].concat()
    }

    #[test]
    fn the_source_is_the_exporters_in_both_families_and_tlvs_are_stepped_over() {
        // The addresses of section 2.2: source, destination, both ports; then a TLV of three octets.
        let v4 = [192, 0, 2, 1, 203, 0, 113, 9, 0x1f, 0x90, 0x12, 0x83, 4, 0, 0];
        let v6 = [&[0x20, 1, 0x0d, 0xb8][..], &[0; 11], &[1], &[0; 16], &[0, 9, 0, 8]].concat();
        for (family, addresses, source) in [(0x12, &v4[..], "192.0.2.1:8080"), (0x22, &v6, "[2001:db8::1]:9")] {
            let datagram = datagram(0x21, family, addresses);
            let found = proxies().unwrap(balancer(), &datagram);
            assert_eq!(found, Ok((source.parse().unwrap(), &b"flows"[..])), "{source}");
        }
    }

    #[test]
    fn local_and_families_without_an_address_are_the_load_balancer_itself() {
        for (version, family, addresses) in
            [(0x20, 0x11, &[0; 12][..]), (0x20, 0, &[]), (0x21, 0, &[]), (0x21, 0x31, &[0; 216])]
        {
            let datagram = datagram(version, family, addresses);
            assert_eq!(
                proxies().unwrap(balancer(), &datagram),
                Ok((balancer(), &b"flows"[..])),
                "{version:x} {family:x}"
            );
        }
    }

    #[test]
    fn a_load_balancer_has_to_send_the_header_and_nobody_else_may() {
        let right = datagram(0x21, 0x12, &[0; 12]);
        let mut cases = vec![b"flows".to_vec(), Vec::new()];
        cases.extend((0..right.len() - 5).map(|end| right[..end].to_vec()));
        cases.extend([datagram(0x11, 0x12, &[0; 12]), datagram(0x22, 0x12, &[0; 12]), datagram(0x21, 0x12, &[0; 11])]);
        for octets in cases {
            assert_eq!(proxies().unwrap(balancer(), &octets), Err(NoHeader), "{octets:02x?}");
        }
        let other = "192.0.2.1:2055".parse().unwrap();
        assert_eq!(proxies().unwrap(other, &right), Ok((other, &right[..])), "not a load balancer");
        assert_eq!(Proxies::default().unwrap(balancer(), &right), Ok((balancer(), &right[..])));
    }
}
