//! Synthetic exporters: what `helios simulate` sends.
//!
//! A [`Simulation`] is a number of exporters that behave like devices: each has an address, an observation domain, a
//! boot time, a sampling interval and sequence numbers of its own, announces its templates, samplers and interfaces
//! at its start and again from time to time, and reports flows of a mix that looks like a network's. A seed and the
//! times of the calls determine every octet; no clock is read and nothing is sent here: [`run`] does both.
//!
//! It does not model routes, the behaviour of users, or flows that several exporters see: no collector can tell the difference.

use std::cell::OnceCell;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use helios_collector::decode::Protocol;

mod conversation;
mod exporter;
mod fields;
pub mod geoip;
mod internet;
mod ipfix;
mod netflow5;
mod netflow9;
mod random;
mod records;
pub mod run;
mod sflow5;
pub mod summary;

pub use exporter::{Datagrams, Exporter, Identity, Now};
pub use records::Volume;

use conversation::Sizes;
use exporter::Device;
use fields::FamilyPools;
use random::Random;
use records::RecordPool;

/// Intervals that exporters sample with, drawn by seed. All fit the 14 bits of NetFlow v5.
const SAMPLING_INTERVALS: [u32; 6] = [1, 1, 100, 1_000, 1_024, 4_096];

/// Exporters have been up for an hour to 60 days: some beyond the 49.7 days after which sysUptime wraps.
const MIN_UPTIME_MS: u64 = 3_600 * 1_000;
const MAX_UPTIME_MS: u64 = 60 * 24 * 3_600 * 1_000;

/// The streams of random numbers that the seed is split into; exporters have their number on top.
const SIZES_STREAM: u64 = 1;
const POOLS_STREAM: u64 = 2;
const EXPORTER_STREAM: u64 = 1 << 32;

/// What a simulation is made of.
#[derive(Debug, Clone)]
pub struct Settings {
    /// At least one for each protocol.
    pub exporters: u32,
    /// Exporters speak them in turn.
    pub protocols: Vec<Protocol>,
    /// The same seed makes the same exporters and flows.
    pub seed: u64,
    /// How a collector tells the exporters apart.
    pub addresses: Addresses,
    /// Templates that each exporter of NetFlow v9 and IPFIX announces, those that it uses included.
    pub templates: u16,
}

/// How exporters are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addresses {
    /// By source address, one each from a prefix.
    Distinct(Sources),
    /// By observation domain (v9, IPFIX), engine (v5) or agent address (sFlow): they share the sender's address.
    Shared,
}

/// A prefix of IPv4 addresses that exporters get theirs from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sources {
    prefix: u32,
    length: u8,
}

/// Text that is no prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an IPv4 prefix such as 127.1.0.0/16")]
pub struct NotAPrefix;

impl Sources {
    /// 127.1.0.0/16: on Linux all of 127.0.0.0/8 can be sent from without being configured.
    pub const LOOPBACK: Self = Self { prefix: 0x7f01_0000, length: 16 };

    /// Address of exporter `number`, counted from 0; the prefix' own address is left out.
    fn address(self, number: u32) -> Ipv4Addr {
        Ipv4Addr::from(self.prefix + 1 + number)
    }

    /// How many exporters have an address; the last address of the prefix may be a broadcast address.
    pub fn capacity(self) -> u32 {
        ((1_u64 << (32 - self.length)) as u32).saturating_sub(2)
    }
}

impl std::str::FromStr for Sources {
    type Err = NotAPrefix;

    fn from_str(text: &str) -> Result<Self, NotAPrefix> {
        let (address, length) = text.split_once('/').ok_or(NotAPrefix)?;
        let prefix = u32::from(address.parse::<Ipv4Addr>().map_err(|_| NotAPrefix)?);
        let length = length.parse().map_err(|_| NotAPrefix)?;
        if !(1..=30).contains(&length) {
            return Err(NotAPrefix);
        }
        Ok(Self { prefix: prefix & u32::MAX << (32 - length), length })
    }
}

impl std::fmt::Display for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.prefix), self.length)
    }
}

/// Synthetic exporters and what they draw their flows from.
#[derive(Debug)]
pub struct Simulation {
    exporters: Vec<Exporter>,
    sizes: Sizes,
}

impl Simulation {
    /// Sets the exporters up as of `now`; takes some 10 ms for each protocol.
    pub fn new(settings: &Settings, now: Now) -> Self {
        let sizes = Sizes::new(&mut Random::new(settings.seed, SIZES_STREAM));
        let pools = Pools::new(settings);
        let exporters = (0..settings.exporters).map(|number| {
            let protocol = settings.protocols.get(number as usize % settings.protocols.len().max(1));
            let protocol = protocol.copied().unwrap_or(Protocol::Ipfix);
            let mut random = Random::new(settings.seed, EXPORTER_STREAM + u64::from(number));
            let identity = identity(settings.addresses, number, protocol, now, &mut random);
            let device = pools.device(protocol, &mut random);
            Exporter::new(identity, device, random)
        });
        Self { exporters: exporters.collect(), sizes }
    }

    /// By their numbers.
    pub fn exporters(&self) -> &[Exporter] {
        &self.exporters
    }

    /// Appends the datagrams of the next `flows` flows of an exporter, after what it has to announce.
    pub fn visit(&mut self, exporter: usize, flows: usize, now: Now, out: &mut Datagrams) {
        if let Some(exporter) = self.exporters.get_mut(exporter) {
            exporter.visit(flows, now, &self.sizes, out);
        }
    }
}

fn identity(addresses: Addresses, number: u32, protocol: Protocol, now: Now, random: &mut Random) -> Identity {
    let uptime_ms = MIN_UPTIME_MS + random.next() % (MAX_UPTIME_MS - MIN_UPTIME_MS);
    let sampling_interval = match protocol {
        // The headers of v1 and v7 have no place for it.
        Protocol::Netflow1 | Protocol::Netflow7 => 1,
        _ => *random.choose(&SAMPLING_INTERVALS),
    };
    let (source, agent, domain) = match addresses {
        Addresses::Distinct(sources) => (Some(sources.address(number)), sources.address(number), 1),
        // An agent that shares its address with others would be one with them: a management address of its own.
        Addresses::Shared => (None, Ipv4Addr::from(0x0aff_0000 + 1 + number), number + 1),
    };
    Identity {
        number,
        protocol,
        source: source.map(IpAddr::V4),
        agent: IpAddr::V4(agent),
        domain,
        sampling_interval,
        boot_ms: now.ms().saturating_sub(uptime_ms),
    }
}

/// The records of the protocols that are spoken, made when the first exporter needs them and shared by all.
struct Pools {
    seed: u64,
    templates: u16,
    netflow1: OnceCell<Arc<RecordPool>>,
    netflow5: OnceCell<Arc<RecordPool>>,
    netflow7: OnceCell<Arc<RecordPool>>,
    netflow9: OnceCell<Arc<FamilyPools>>,
    ipfix: OnceCell<Arc<FamilyPools>>,
    sflow5: OnceCell<Arc<sflow5::SamplePool>>,
}

impl Pools {
    fn new(settings: &Settings) -> Self {
        Self {
            seed: settings.seed,
            templates: settings.templates,
            netflow1: OnceCell::new(),
            netflow5: OnceCell::new(),
            netflow7: OnceCell::new(),
            netflow9: OnceCell::new(),
            ipfix: OnceCell::new(),
            sflow5: OnceCell::new(),
        }
    }

    /// What an exporter of `protocol` is apart from its identity.
    fn device(&self, protocol: Protocol, random: &mut Random) -> Box<dyn Device> {
        let mut stream = Random::new(self.seed, POOLS_STREAM + protocol as u64);
        let stream = &mut stream;
        match protocol {
            Protocol::Netflow1 => {
                let pool = self.netflow1.get_or_init(|| Arc::new(netflow5::pool_v1(stream)));
                Box::new(netflow5::Exporting::v1(Arc::clone(pool), random))
            }
            Protocol::Netflow5 => {
                let pool = self.netflow5.get_or_init(|| Arc::new(netflow5::pool_v5(stream)));
                Box::new(netflow5::Exporting::v5(Arc::clone(pool), random))
            }
            Protocol::Netflow7 => {
                let pool = self.netflow7.get_or_init(|| Arc::new(netflow5::pool_v7(stream)));
                Box::new(netflow5::Exporting::v7(Arc::clone(pool), random))
            }
            Protocol::Netflow9 => {
                let pools = self.netflow9.get_or_init(|| Arc::new(netflow9::pools(stream)));
                Box::new(netflow9::Exporting::new(Arc::clone(pools), self.templates, random))
            }
            Protocol::Ipfix => {
                let pools = self.ipfix.get_or_init(|| Arc::new(ipfix::pools(stream)));
                Box::new(ipfix::Exporting::new(Arc::clone(pools), self.templates, random))
            }
            Protocol::Sflow5 => {
                let pool = self.sflow5.get_or_init(|| Arc::new(sflow5::SamplePool::new(stream)));
                Box::new(sflow5::Exporting::new(Arc::clone(pool)))
            }
        }
    }
}

#[cfg(test)]
mod tests;
