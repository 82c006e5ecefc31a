//! Who talks to whom: the network's own hosts, and hosts of the Internet with their prefixes and ASes.
//!
//! The prefixes are real ones. Some are those that MaxMind's public test databases know, so that GeoIP enrichment
//! shows something without a licence; the others are large networks that any database knows. Only records speak of
//! these addresses, nothing is ever sent to them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::random::{Random, Weighted};

/// Hosts of a network that take part; the most popular of them are met most often.
const HOSTS_PER_NETWORK: u32 = 512;

/// The network's own sites; each is a /16 of 10.0.0.0/8 and a /48 of 2001:db8::/32 (RFC 3849).
const SITES: u32 = 8;
const HOSTS_PER_SITE: u32 = 1_024;

/// Popularity falls a little slower than rank, as host popularity does in traces.
const HOST_EXPONENT: f64 = 0.9;
const NETWORK_EXPONENT: f64 = 0.8;

/// Address family of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

/// An end of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Host {
    pub address: IpAddr,
    /// Length of the routed prefix.
    pub mask: u8,
    /// Origin AS; 0 for the network's own hosts, as routers report them.
    pub asn: u32,
    pub side: Side,
}

/// Where a host is, which decides the interface its packets take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// At this site of the network.
    Site(u32),
    Internet,
}

/// A prefix that is announced by an AS.
#[derive(Debug, Clone, Copy)]
struct Network<Bits> {
    prefix: Bits,
    length: u8,
    asn: u32,
}

const fn v4(a: u8, b: u8, c: u8, d: u8, length: u8, asn: u32) -> Network<Ipv4Addr> {
    Network { prefix: Ipv4Addr::new(a, b, c, d), length, asn }
}

const fn v6(head: [u16; 3], length: u8, asn: u32) -> Network<Ipv6Addr> {
    Network { prefix: Ipv6Addr::new(head[0], head[1], head[2], 0, 0, 0, 0, 0), length, asn }
}

/// Most popular first. The comment names what MaxMind's test databases say of the prefix.
#[rustfmt::skip]
const NETWORKS_V4: &[Network<Ipv4Addr>] = &[
    v4(142, 250, 0, 0, 15, 15_169), v4(104, 16, 0, 0, 13, 13_335), v4(52, 84, 0, 0, 15, 16_509),
    v4(157, 240, 0, 0, 16, 32_934), v4(45, 57, 0, 0, 17, 2_906),
    v4(81, 2, 69, 160, 27, 20_712),     // London, GB
    v4(23, 32, 0, 0, 11, 35_994),       // AS 35994, Akamai
    v4(13, 107, 0, 0, 16, 8_068), v4(151, 101, 0, 0, 16, 54_113),
    v4(89, 160, 20, 112, 28, 29_518),   // Linköping, SE, AS 29518
    v4(1, 0, 0, 0, 24, 15_169),         // AS 15169
    v4(216, 160, 83, 56, 29, 209),      // Milton, US, AS 209
    v4(8, 8, 8, 0, 24, 15_169), v4(17, 248, 0, 0, 16, 714),
    v4(175, 16, 199, 0, 24, 4_837),     // Changchun, CN
    v4(84, 128, 0, 0, 10, 3_320),       // AS 3320, Deutsche Telekom
    v4(78, 192, 0, 0, 10, 12_322),      // AS 12322, Free
    v4(50, 128, 0, 0, 9, 7_922),        // AS 7922, Comcast
    v4(67, 43, 156, 0, 24, 35_908),     // BT, AS 35908
    v4(126, 0, 0, 0, 8, 17_676),        // AS 17676, Softbank
    v4(202, 196, 224, 0, 20, 9_299),    // PH
    v4(214, 78, 0, 0, 19, 721),         // San Diego, US
    v4(2, 125, 160, 216, 29, 5_607),    // Boxford, GB
    v4(1, 128, 0, 0, 11, 1_221),        // AS 1221, Telstra
    v4(12, 82, 0, 0, 15, 7_018),        // AS 7018, AT&T
    v4(180, 0, 0, 0, 10, 4_713),        // AS 4713, NTT
    v4(145, 128, 0, 0, 10, 1_103),      // AS 1103, SURFnet
    v4(81, 128, 0, 0, 11, 2_856),       // AS 2856, BT
    v4(111, 0, 0, 0, 10, 9_808),        // AS 9808, China Mobile
    v4(185, 60, 216, 0, 22, 32_934),
];

#[rustfmt::skip]
const NETWORKS_V6: &[Network<Ipv6Addr>] = &[
    v6([0x2a00, 0x1450, 0], 32, 15_169), v6([0x2606, 0x4700, 0], 32, 13_335), v6([0x2a03, 0x2880, 0], 32, 32_934),
    v6([0x2a02, 0xd180, 0], 29, 3_320),     // DE
    v6([0x2600, 0x1400, 0], 27, 31_377),    // AS 31377, Akamai
    v6([0x2001, 0x0218, 0], 32, 2_914),     // JP
    v6([0x2a02, 0xfcc0, 0], 29, 2_856),     // GB
    v6([0x2a02, 0xcfc0, 0], 29, 3_215),     // FR
    v6([0x2a02, 0xe1c0, 0], 29, 1_136),     // NL
    v6([0x2a01, 0x0e00, 0], 26, 12_322),    // AS 12322, Free
    v6([0x2001, 0x0220, 0], 32, 4_766),     // KR
    v6([0x2602, 0x0300, 0], 24, 7_018),     // AS 7018, AT&T
    v6([0x2a02, 0xd5c0, 0], 29, 3_352),     // ES
];

/// Every prefix of the simulated Internet: address, length and origin AS.
pub(super) fn networks() -> impl Iterator<Item = (IpAddr, u8, u32)> {
    let v4 = NETWORKS_V4.iter().map(|network| (IpAddr::V4(network.prefix), network.length, network.asn));
    v4.chain(NETWORKS_V6.iter().map(|network| (IpAddr::V6(network.prefix), network.length, network.asn)))
}

/// Draws hosts.
#[derive(Debug)]
pub(super) struct Internet {
    family: Family,
    networks: Weighted,
    hosts: Weighted,
    site_hosts: Weighted,
}

impl Internet {
    pub(super) fn new(family: Family) -> Self {
        let networks = match family {
            Family::V4 => NETWORKS_V4.len(),
            Family::V6 => NETWORKS_V6.len(),
        };
        Self {
            family,
            networks: Weighted::zipf(networks, NETWORK_EXPONENT),
            hosts: Weighted::zipf(HOSTS_PER_NETWORK as usize, HOST_EXPONENT),
            site_hosts: Weighted::zipf(HOSTS_PER_SITE as usize, HOST_EXPONENT),
        }
    }

    /// A host somewhere in the Internet.
    pub(super) fn remote(&self, random: &mut Random) -> Host {
        let at = self.networks.draw(random);
        let rank = self.hosts.draw(random) as u32;
        let (address, mask, asn) = match self.family {
            Family::V4 => {
                let network = &NETWORKS_V4[at];
                (IpAddr::V4(host_v4(network, rank)), network.length, network.asn)
            }
            Family::V6 => {
                let network = &NETWORKS_V6[at];
                (IpAddr::V6(host_v6(network.prefix, rank)), network.length, network.asn)
            }
        };
        Host { address, mask, asn, side: Side::Internet }
    }

    /// A host of the network itself.
    pub(super) fn local(&self, random: &mut Random) -> Host {
        let site = random.below(SITES);
        let rank = self.site_hosts.draw(random) as u32;
        let (address, mask) = match self.family {
            // 1,024 hosts on eight subnets, from .10 on.
            Family::V4 => (IpAddr::V4(Ipv4Addr::new(10, site as u8 + 1, (rank % 8) as u8, 10 + (rank / 8) as u8)), 24),
            Family::V6 => {
                let subnet = Ipv6Addr::new(0x2001, 0xdb8, site as u16 + 1, (rank % 8) as u16, 0, 0, 0, 0);
                (IpAddr::V6(host_v6(subnet, rank)), 64)
            }
        };
        Host { address, mask, asn: 0, side: Side::Site(site) }
    }
}

/// The host of a rank: hosts are scattered over large prefixes and share the few addresses of small ones.
fn host_v4(network: &Network<Ipv4Addr>, rank: u32) -> Ipv4Addr {
    let size = 1_u64 << (32 - network.length);
    // Neither the network's own address nor the broadcast address.
    let host = 1 + u64::from(rank).wrapping_mul(0x9e37_79b1) % (size - 2);
    Ipv4Addr::from(u32::from(network.prefix) + host as u32)
}

/// The host of a rank, with an interface identifier as SLAAC makes it.
fn host_v6(prefix: Ipv6Addr, rank: u32) -> Ipv6Addr {
    let interface = u64::from(rank + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Ipv6Addr::from(u128::from(prefix) | u128::from(interface))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remote_hosts_are_inside_their_prefix() {
        for network in NETWORKS_V4 {
            for rank in 0..HOSTS_PER_NETWORK {
                let host = u32::from(host_v4(network, rank));
                let mask = u32::MAX << (32 - network.length);
                assert_eq!(host & mask, u32::from(network.prefix), "{network:?}");
                assert!(host & !mask != 0 && host & !mask != !mask, "{network:?}: network or broadcast address");
            }
        }
        for network in NETWORKS_V6 {
            let mask = u128::MAX << (128 - network.length);
            assert_eq!(u128::from(host_v6(network.prefix, 7)) & mask, u128::from(network.prefix));
        }
    }

    #[test]
    fn local_hosts_are_private_and_have_no_as() {
        let mut random = Random::new(1, 0);
        for _ in 0..1_000 {
            let host = Internet::new(Family::V4).local(&mut random);
            assert!(matches!(host.address, IpAddr::V4(v4) if v4.is_private()), "{host:?}");
            assert_eq!(host.asn, 0);
        }
    }
}
