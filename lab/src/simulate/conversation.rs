//! What is talked about: services, their sizes, and conversations drawn from both.
//!
//! A conversation is all of a flow that does not change from one flow to the next: addresses, the service's port,
//! ASes, interfaces. Exporters draw flows from a pool of conversations and add a port, sizes and times of their own.

use std::net::IpAddr;

use super::internet::{Family, Host, Internet, Side};
use super::random::{Random, Weighted};

/// Interfaces of an exporter: two uplinks, then one for each site and two that are idle.
pub(super) const INTERFACES: u32 = 12;
const UPLINKS: u32 = 2;

pub(super) const PROTO_ICMP: u8 = 1;
pub(super) const PROTO_TCP: u8 = 6;
pub(super) const PROTO_UDP: u8 = 17;
pub(super) const PROTO_ICMPV6: u8 = 58;

/// Sizes that are drawn for a flow at run time; a power of two, so that random bits are an index.
pub(super) const SIZES_PER_CLASS: usize = 1_024;

/// Forwarding status (RFC 7270): forwarded, or dropped by an access list.
const FORWARDED: u8 = 0x40;
const DROPPED_BY_ACL: u8 = 0x82;

/// How much is said in one direction of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum SizeClass {
    /// Content: elephants and mice, full packets.
    Content,
    /// What is sent back for content: acknowledgements and requests.
    Acknowledgement,
    /// A question or an answer in one packet or two.
    Message,
    /// Keystrokes, signalling, metrics.
    Interactive,
    /// Echo requests.
    Ping,
}

impl SizeClass {
    const ALL: [Self; 5] = [Self::Content, Self::Acknowledgement, Self::Message, Self::Interactive, Self::Ping];
}

/// Packets of a flow and the mean octets of one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub packets: u32,
    pub mean_octets: u32,
}

/// Sizes to draw from, by class.
#[derive(Debug)]
pub(super) struct Sizes {
    classes: [Vec<Size>; SizeClass::ALL.len()],
}

impl Sizes {
    pub(super) fn new(random: &mut Random) -> Self {
        let classes = SizeClass::ALL.map(|class| (0..SIZES_PER_CLASS).map(|_| draw_size(class, random)).collect());
        Self { classes }
    }

    /// One of the sizes of a class, by random bits.
    #[inline]
    pub(super) fn pick(&self, class: SizeClass, bits: usize) -> Size {
        self.classes[class as usize][bits % SIZES_PER_CLASS]
    }
}

/// Pareto-distributed packet counts, bounded so that octets fit the 32 bits of NetFlow v5.
fn draw_size(class: SizeClass, random: &mut Random) -> Size {
    let mut pareto = |least: f64, most: f64, exponent: f64| {
        let value = least / (1.0 - random.unit()).powf(1.0 / exponent);
        value.min(most) as u32
    };
    let packets = match class {
        SizeClass::Content | SizeClass::Acknowledgement => pareto(2.0, 500_000.0, 0.9),
        SizeClass::Message => pareto(1.0, 3.0, 2.5),
        SizeClass::Interactive => pareto(3.0, 5_000.0, 1.1),
        SizeClass::Ping => pareto(1.0, 60.0, 1.0),
    };
    let mean_octets = match class {
        // Few packets are small packets: the longer the flow, the fuller.
        SizeClass::Content if packets < 8 => 200 + random.below(600),
        SizeClass::Content => 1_000 + random.below(450),
        SizeClass::Acknowledgement => 44 + random.below(60),
        SizeClass::Message => 60 + random.below(250),
        SizeClass::Interactive => 60 + random.below(200),
        SizeClass::Ping => 84,
    };
    Size { packets, mean_octets }
}

/// A service: where it listens and how it talks.
struct Service {
    proto: u8,
    port: u16,
    weight: f64,
    /// Towards the client, towards the server.
    sizes: [SizeClass; 2],
}

const fn service(proto: u8, port: u16, weight: f64, sizes: [SizeClass; 2]) -> Service {
    Service { proto, port, weight, sizes }
}

const DOWNLOAD: [SizeClass; 2] = [SizeClass::Content, SizeClass::Acknowledgement];
const UPLOAD: [SizeClass; 2] = [SizeClass::Acknowledgement, SizeClass::Content];
const MESSAGES: [SizeClass; 2] = [SizeClass::Message; 2];
const DIALOGUE: [SizeClass; 2] = [SizeClass::Interactive; 2];

/// Shares of flows, in per cent.
#[rustfmt::skip]
const SERVICES: &[Service] = &[
    service(PROTO_TCP, 443, 38.0, DOWNLOAD),    service(PROTO_UDP, 443, 14.0, DOWNLOAD),
    service(PROTO_UDP, 53, 14.0, MESSAGES),     service(PROTO_TCP, 80, 6.0, DOWNLOAD),
    service(PROTO_TCP, 22, 2.0, DIALOGUE),      service(PROTO_TCP, 25, 1.5, UPLOAD),
    service(PROTO_TCP, 993, 1.5, DOWNLOAD),     service(PROTO_TCP, 445, 3.0, DOWNLOAD),
    service(PROTO_UDP, 123, 2.0, MESSAGES),     service(PROTO_UDP, 161, 1.5, MESSAGES),
    service(PROTO_UDP, 514, 1.0, MESSAGES),     service(PROTO_TCP, 5_432, 1.5, DOWNLOAD),
    service(PROTO_TCP, 3_389, 1.5, DIALOGUE),   service(PROTO_TCP, 9_092, 1.0, UPLOAD),
    service(PROTO_UDP, 51_820, 1.0, DOWNLOAD),  service(PROTO_UDP, 5_060, 0.5, MESSAGES),
    service(PROTO_TCP, 8_080, 1.5, DOWNLOAD),   service(PROTO_TCP, 6_881, 2.0, DOWNLOAD),
    service(PROTO_UDP, 6_881, 2.0, DOWNLOAD),   service(PROTO_TCP, 853, 1.5, MESSAGES),
    service(PROTO_ICMP, 0, 2.5, [SizeClass::Ping; 2]),
];

/// Which port a flow draws anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientPort {
    Source,
    Destination,
    /// Protocols without ports.
    None,
}

/// All of a flow that stays the same from flow to flow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Conversation {
    pub src: Host,
    pub dst: Host,
    /// 0 for the client's.
    pub src_port: u16,
    pub dst_port: u16,
    pub client_port: ClientPort,
    pub proto: u8,
    pub icmp_type: u8,
    pub tcp_flags: u8,
    pub tos: u8,
    pub next_hop: IpAddr,
    pub in_if_index: u32,
    pub out_if_index: u32,
    pub vlan: u16,
    pub forwarding_status: u8,
    pub size_class: SizeClass,
}

/// Draws conversations of one address family.
#[derive(Debug)]
pub(super) struct Conversations {
    family: Family,
    internet: Internet,
    services: Weighted,
}

impl Conversations {
    pub(super) fn new(family: Family) -> Self {
        let services = Weighted::new(SERVICES.iter().map(|service| service.weight));
        Self { family, internet: Internet::new(family), services }
    }

    pub(super) fn draw(&self, random: &mut Random) -> Conversation {
        let service = &SERVICES[self.services.draw(random)];
        let (client, server) = self.ends(random);
        let to_client = random.chance(0.5);
        let (src, dst) = if to_client { (server, client) } else { (client, server) };
        let dropped = random.chance(0.01);
        let icmp = service.proto == PROTO_ICMP;
        let (src_port, dst_port, client_port) = match (icmp, to_client) {
            (true, _) => (0, 0, ClientPort::None),
            (false, true) => (service.port, 0, ClientPort::Destination),
            (false, false) => (0, service.port, ClientPort::Source),
        };
        Conversation {
            src,
            dst,
            src_port,
            dst_port,
            client_port,
            proto: if icmp && self.family == Family::V6 { PROTO_ICMPV6 } else { service.proto },
            icmp_type: if icmp { echo_type(self.family, to_client) } else { 0 },
            tcp_flags: if service.proto == PROTO_TCP {
                *random.choose(&[0x1b, 0x1b, 0x1b, 0x1e, 0x10, 0x18, 0x02])
            } else {
                0
            },
            tos: *random.choose(&[0, 0, 0, 0, 0, 0x28, 0x48, 0xb8]),
            next_hop: next_hop(self.family, dst.side),
            in_if_index: interface(src),
            out_if_index: if dropped { 0 } else { interface(dst) },
            vlan: 100 + random.below(16) as u16,
            forwarding_status: if dropped { DROPPED_BY_ACL } else { FORWARDED },
            size_class: service.sizes[usize::from(!to_client)],
        }
    }

    /// Client and server: most clients are ours and most servers are not.
    fn ends(&self, random: &mut Random) -> (Host, Host) {
        let Self { internet, .. } = self;
        match random.below(100) {
            0..75 => (internet.local(random), internet.remote(random)),
            75..90 => (internet.local(random), internet.local(random)),
            _ => (internet.remote(random), internet.local(random)),
        }
    }
}

fn echo_type(family: Family, reply: bool) -> u8 {
    match (family, reply) {
        (Family::V4, false) => 8,
        (Family::V4, true) => 0,
        (Family::V6, false) => 128,
        (Family::V6, true) => 129,
    }
}

/// Sites have an interface each; the uplinks share the Internet's hosts.
fn interface(host: Host) -> u32 {
    match host.side {
        Side::Site(site) => 1 + UPLINKS + site,
        Side::Internet => 1 + host.asn % UPLINKS,
    }
}

fn next_hop(family: Family, side: Side) -> IpAddr {
    let last = match side {
        Side::Site(site) => site as u8 + 1,
        Side::Internet => 254,
    };
    match family {
        Family::V4 => IpAddr::from([10, 255, 0, last]),
        Family::V6 => IpAddr::from([0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, u16::from(last)]),
    }
}

/// Name and description of an interface.
pub(super) fn interface_texts(index: u32) -> (String, String) {
    let description = if index <= UPLINKS { format!("transit {index}") } else { format!("site {}", index - UPLINKS) };
    (format!("Ethernet1/{index}"), description)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mix_is_that_of_the_table() {
        let conversations = Conversations::new(Family::V4);
        let mut random = Random::new(1, 0);
        let drawn: Vec<Conversation> = (0..20_000).map(|_| conversations.draw(&mut random)).collect();
        let share =
            |what: &dyn Fn(&&Conversation) -> bool| drawn.iter().filter(what).count() as f64 / drawn.len() as f64;
        assert!((0.55..0.65).contains(&share(&|c| c.proto == PROTO_TCP)), "TCP");
        assert!((0.32..0.40).contains(&share(&|c| c.proto == PROTO_UDP)), "UDP");
        assert!((0.015..0.035).contains(&share(&|c| c.proto == PROTO_ICMP)), "ICMP");
        assert!((0.005..0.015).contains(&share(&|c| c.out_if_index == 0)), "dropped");
        assert!(drawn.iter().all(|c| (1..=INTERFACES).contains(&c.in_if_index)));
    }

    #[test]
    fn octets_of_any_size_fit_the_counters_of_netflow_5() {
        let sizes = Sizes::new(&mut Random::new(1, 0));
        for class in SizeClass::ALL {
            for bits in 0..SIZES_PER_CLASS {
                let size = sizes.pick(class, bits);
                assert!(size.packets >= 1 && size.mean_octets >= 28, "{class:?}: {size:?}");
                assert!(
                    u64::from(size.packets) * u64::from(size.mean_octets + 32) < u64::from(u32::MAX) / 2,
                    "{size:?}"
                );
            }
        }
    }
}
