//! One synthetic exporter: who it is, when it announces what its records mean, and what it has sent.

use std::net::IpAddr;
use std::ops::Range;

use helios_collector::decode::Protocol;

use super::conversation::Sizes;
use super::random::Random;
use super::records::Volume;
use crate::send::Burst;

/// Templates and options are repeated after so many datagrams or so long, whichever comes first.
///
/// Devices do it by time, by datagrams or both (RFC 3954 §9, RFC 7011 §8.4); these are common settings, on the
/// frequent side so that short runs have some.
const ANNOUNCE_AFTER_DATAGRAMS: usize = 1_000;
const ANNOUNCE_AFTER_MS: u64 = 20_000;

/// Payload of a datagram: fits an Ethernet frame with room for a tunnel around it.
pub(super) const MAX_PAYLOAD: usize = 1_400;

/// A time, since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Nanoseconds.
    pub unix_ns: u64,
}

impl Now {
    pub(crate) fn ms(self) -> u64 {
        self.unix_ns / 1_000_000
    }

    pub(crate) fn secs(self) -> u32 {
        (self.unix_ns / 1_000_000_000) as u32
    }

    pub(crate) fn nanos(self) -> u32 {
        (self.unix_ns % 1_000_000_000) as u32
    }
}

/// What distinguishes an exporter from the others.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Counts from 0.
    pub number: u32,
    /// The only one that the exporter speaks.
    pub protocol: Protocol,
    /// Address to send from; `None` for the sender's own.
    pub source: Option<IpAddr>,
    /// Address inside the datagrams of sFlow.
    pub agent: IpAddr,
    /// Observation domain, source id or sub-agent id.
    pub domain: u32,
    /// N of 1-in-N packets.
    pub sampling_interval: u32,
    /// When the device started, in Unix milliseconds: NetFlow's and sFlow's uptime counts from here.
    pub boot_ms: u64,
}

impl Identity {
    /// Milliseconds since boot, wrapping after 49.7 days as on a device.
    pub fn uptime_ms(&self, now: Now) -> u32 {
        now.ms().saturating_sub(self.boot_ms) as u32
    }
}

/// What a datagram holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Content {
    pub volume: Volume,
    /// Templates, options or counters and no flows.
    pub announcement: bool,
}

/// Datagrams of one exporter and what they hold.
#[derive(Debug, Default)]
pub struct Datagrams {
    /// The datagrams in the order in which they are sent.
    pub burst: Burst,
    /// One for each datagram of `burst`.
    pub contents: Vec<Content>,
}

impl Datagrams {
    pub(crate) fn clear(&mut self) {
        self.burst.clear();
        self.contents.clear();
    }

    /// Number of datagrams.
    pub fn len(&self) -> usize {
        self.contents.len()
    }

    /// Whether there is no datagram.
    pub fn is_empty(&self) -> bool {
        self.contents.is_empty()
    }

    /// Adds the datagram of flows that `write` appends.
    pub fn flows(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Volume) {
        let volume = self.burst.push(write);
        self.contents.push(Content { volume, announcement: false });
    }

    /// Adds the datagram without flows that `write` appends.
    pub fn announcement(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.burst.push(write);
        self.contents.push(Content { volume: Volume::default(), announcement: true });
    }
}

/// What a device needs to know to write datagrams.
#[derive(Debug)]
pub(super) struct Visit<'a> {
    pub identity: &'a Identity,
    pub now: Now,
    pub sizes: &'a Sizes,
    pub random: &'a mut Random,
}

impl Visit<'_> {
    pub(super) fn uptime_ms(&self) -> u32 {
        self.identity.uptime_ms(self.now)
    }

    /// Uptime before it wraps, so that times before the wrap can be computed from it.
    pub(super) fn unwrapped_uptime_ms(&self) -> u64 {
        self.now.ms().saturating_sub(self.identity.boot_ms)
    }
}

/// How a protocol is spoken. Called once a burst, never per flow.
pub(super) trait Device: Send + std::fmt::Debug {
    /// Appends what the records to come rely on, and what is sent beside them.
    fn announce(&mut self, visit: &mut Visit<'_>, out: &mut Datagrams);

    /// Appends datagrams that hold `n` flows; all but the last one full, and of one length where possible.
    fn flows(&mut self, n: usize, visit: &mut Visit<'_>, out: &mut Datagrams);
}

/// An exporter.
#[derive(Debug)]
pub struct Exporter {
    identity: Identity,
    device: Box<dyn Device>,
    random: Random,
    announced: Option<Now>,
    datagrams_since: usize,
}

impl Exporter {
    pub(super) fn new(identity: Identity, device: Box<dyn Device>, random: Random) -> Self {
        Self { identity, device, random, announced: None, datagrams_since: 0 }
    }

    /// What stays the same as long as the exporter lives.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(super) fn visit(&mut self, flows: usize, now: Now, sizes: &Sizes, out: &mut Datagrams) {
        let mut visit = Visit { identity: &self.identity, now, sizes, random: &mut self.random };
        let due = self.announced.is_none_or(|at| now.ms().saturating_sub(at.ms()) >= ANNOUNCE_AFTER_MS);
        if due || self.datagrams_since >= ANNOUNCE_AFTER_DATAGRAMS {
            self.device.announce(&mut visit, out);
            self.announced = Some(now);
            self.datagrams_since = 0;
        }
        let before = out.len();
        self.device.flows(flows, &mut visit, out);
        self.datagrams_since += out.len() - before;
    }
}

/// Splits `n` flows into datagrams of at most `most` and yields how many each holds.
pub(super) fn portions(n: usize, most: usize) -> impl Iterator<Item = usize> {
    let most = most.max(1);
    (0..n).step_by(most).map(move |sent| most.min(n - sent))
}

/// Splits the numbers 1 to `n` into runs of at most `most`.
pub(super) fn runs(n: u32, most: u32) -> impl Iterator<Item = Range<u32>> {
    (1..=n).step_by(most as usize).map(move |first| first..(first + most).min(n + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portions_add_up_and_only_the_last_is_small() {
        assert_eq!(portions(65, 30).collect::<Vec<_>>(), [30, 30, 5]);
        assert_eq!(portions(30, 30).collect::<Vec<_>>(), [30]);
        assert_eq!(portions(0, 30).count(), 0);
        assert_eq!(runs(12, 5).collect::<Vec<_>>(), [1..6, 6..11, 11..13]);
    }
}
