//! What a simulation sent, to the last octet: figures to compare with those of a collector and of a database.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use helios_advice::counted;
use serde::Serialize;

use super::exporter::{Content, Identity};
use crate::send::Failure;

/// What was handed to the kernel, or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Sent {
    /// All datagrams, announcements included.
    pub datagrams: u64,
    /// Datagrams of templates, options or counters, without flows.
    pub announcements: u64,
    /// UDP payload.
    pub octets: u64,
    /// Rows that a collector makes of it.
    pub flows: u64,
    /// Sums of what the flows report.
    pub bytes: u64,
    /// As `bytes`, in packets.
    pub packets: u64,
    /// The same, each times the sampling interval of its exporter.
    pub bytes_scaled: u64,
    /// As `bytes_scaled`, in packets.
    pub packets_scaled: u64,
}

impl Sent {
    /// Counts a datagram of an exporter.
    pub fn count(&mut self, identity: &Identity, content: &Content, octets: usize) {
        let interval = u64::from(identity.sampling_interval);
        let volume = content.volume;
        self.datagrams += 1;
        self.announcements += u64::from(content.announcement);
        self.octets += octets as u64;
        self.flows += volume.flows;
        self.bytes += volume.bytes;
        self.packets += volume.packets;
        self.bytes_scaled += volume.bytes * interval;
        self.packets_scaled += volume.packets * interval;
    }

    fn add(&mut self, other: &Self) {
        self.datagrams += other.datagrams;
        self.announcements += other.announcements;
        self.octets += other.octets;
        self.flows += other.flows;
        self.bytes += other.bytes;
        self.packets += other.packets;
        self.bytes_scaled += other.bytes_scaled;
        self.packets_scaled += other.packets_scaled;
    }
}

/// What the kernel did not take, by reason in datagrams.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct NotSent {
    /// Sum of the five reasons below.
    pub datagrams: u64,
    /// Flows in these datagrams.
    pub flows: u64,
    /// [`Failure::Refused`].
    pub refused: u64,
    /// [`Failure::NoBuffers`].
    pub no_buffers: u64,
    /// [`Failure::Unreachable`].
    pub unreachable: u64,
    /// [`Failure::TooLong`].
    pub too_long: u64,
    /// [`Failure::Other`].
    pub other: u64,
    /// The system's words for the last failure under `other`.
    pub other_error: Option<String>,
}

impl NotSent {
    pub(crate) fn count(&mut self, content: &Content, failure: Failure) {
        self.datagrams += 1;
        self.flows += content.volume.flows;
        match failure {
            Failure::Refused => self.refused += 1,
            Failure::NoBuffers => self.no_buffers += 1,
            Failure::Unreachable => self.unreachable += 1,
            Failure::TooLong => self.too_long += 1,
            Failure::Other(errno) => {
                self.other += 1;
                self.other_error = Some(errno.desc().to_owned());
            }
        }
    }

    /// The reasons, most specific advice first; empty if all was sent.
    pub fn reasons(&self) -> String {
        let other = self.other_error.as_deref().unwrap_or_default();
        let reasons = [
            (self.refused, "refused: nobody listens at the target"),
            (self.unreachable, "unreachable: no route, or a firewall"),
            (self.no_buffers, "no buffers: the kernel had no room"),
            (self.too_long, "too long for the path"),
            (self.other, other),
        ];
        let told = reasons.iter().filter(|(count, _)| *count > 0).map(|(count, reason)| format!("{count} {reason}"));
        told.collect::<Vec<_>>().join("; ")
    }
}

/// One exporter's share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExporterSummary {
    /// Source address of the datagrams, if each exporter has its own.
    pub source: Option<IpAddr>,
    /// Agent address inside sFlow datagrams.
    pub agent: IpAddr,
    /// Name of the protocol and its version.
    pub protocol: &'static str,
    /// Observation domain, source id or sub-agent id.
    pub domain: u32,
    /// N of 1-in-N packets.
    pub sampling_interval: u32,
    /// Its fields are on one level with those above in JSON.
    #[serde(flatten)]
    pub sent: Sent,
}

/// The exporters of a protocol, or all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Group {
    /// How many exporters the sums are of.
    pub exporters: u64,
    /// Sums over the exporters; in JSON on one level with `exporters`.
    #[serde(flatten)]
    pub sent: Sent,
}

impl Group {
    fn add(&mut self, exporter: &Sent) {
        self.exporters += 1;
        self.sent.add(exporter);
    }
}

/// The whole run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Of a file, the time that its datagrams span.
    pub elapsed_secs: f64,
    /// By the protocol's name.
    pub protocols: BTreeMap<&'static str, Group>,
    /// All exporters.
    pub total: Group,
    /// All exporters.
    pub not_sent: NotSent,
    /// By their numbers.
    pub exporters: Vec<ExporterSummary>,
}

impl Summary {
    /// Adds up what the exporters sent.
    pub fn new<'a>(
        exporters: impl IntoIterator<Item = (&'a Identity, Sent)>,
        not_sent: NotSent,
        elapsed: Duration,
    ) -> Self {
        let mut protocols = BTreeMap::<_, Group>::new();
        let mut total = Group::default();
        let mut summaries = Vec::new();
        for (identity, sent) in exporters {
            let protocol = identity.protocol.name();
            protocols.entry(protocol).or_default().add(&sent);
            total.add(&sent);
            let Identity { source, agent, domain, sampling_interval, .. } = *identity;
            summaries.push(ExporterSummary { source, agent, protocol, domain, sampling_interval, sent });
        }
        Self { elapsed_secs: elapsed.as_secs_f64(), protocols, total, not_sent, exporters: summaries }
    }

    /// Flows that were sent per second of `elapsed_secs`; 0 for a run that took no time.
    pub fn flows_per_sec(&self) -> f64 {
        if self.elapsed_secs > 0.0 { self.total.sent.flows as f64 / self.elapsed_secs } else { 0.0 }
    }

    /// The whole run in one line; `target` is where the datagrams went.
    pub fn line(&self, target: &str) -> String {
        let (sent, secs) = (&self.total.sent, self.elapsed_secs);
        let (flows, datagrams) = (counted(sent.flows, "flow"), counted(sent.datagrams, "datagram"));
        format!("{flows} in {datagrams} to {target} in {secs:.1} s, {} flows/s", per_second(self.flows_per_sec()))
    }

    /// The figures by protocol as a table, with a line of what was not sent below if there is something.
    pub fn table(&self) -> String {
        const HEAD: [&str; 9] =
            ["exporters", "datagrams", "octets", "flows", "bytes", "packets", "bytes_scaled", "packets_scaled", ""];
        let cells = |group: &Group| {
            let sent = &group.sent;
            [
                group.exporters,
                sent.datagrams,
                sent.octets,
                sent.flows,
                sent.bytes,
                sent.packets,
                sent.bytes_scaled,
                sent.packets_scaled,
            ]
        };
        let total = cells(&self.total);
        // The totals are the widest figures of their columns.
        let widths: Vec<usize> =
            total.iter().zip(HEAD).map(|(cell, head)| cell.to_string().len().max(head.len())).collect();
        let mut table = format!("{:<9}", "protocol");
        for (head, width) in HEAD.iter().zip(&widths) {
            let _ = write!(table, "  {head:>width$}");
        }
        let rows = self.protocols.iter().map(|(name, group)| (*name, cells(group)));
        for (name, cells) in rows.chain([("total", total)]) {
            let _ = write!(table, "\n{name:<9}");
            for (cell, width) in cells.iter().zip(&widths) {
                let _ = write!(table, "  {cell:>width$}");
            }
        }
        if self.not_sent.datagrams > 0 {
            let NotSent { datagrams, flows, .. } = self.not_sent;
            let _ = write!(table, "\nnot sent: {datagrams} datagrams with {flows} flows ({})", self.not_sent.reasons());
        }
        table
    }
}

/// A rate in whole numbers, and below 10 in tenths.
pub(super) fn per_second(rate: f64) -> String {
    // What rounds to 10.0 is 10.
    if rate < 9.95 { format!("{rate:.1}") } else { format!("{rate:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::records::Volume;
    use helios_collector::decode::Protocol;

    fn identity(protocol: Protocol, sampling_interval: u32) -> Identity {
        let agent = IpAddr::from([127, 1, 0, 1]);
        Identity { number: 0, protocol, source: Some(agent), agent, domain: 1, sampling_interval, boot_ms: 0 }
    }

    fn content(flows: u64) -> Content {
        Content { volume: Volume { flows, bytes: flows * 100, packets: flows * 2 }, announcement: flows == 0 }
    }

    #[test]
    fn low_rates_are_shown_in_tenths() {
        assert_eq!([0.5, 9.94, 9.96, 943.4].map(per_second), ["0.5", "9.9", "10", "943"]);
    }

    #[test]
    fn sums_are_scaled_by_each_exporters_own_interval() {
        let exporters = [identity(Protocol::Netflow9, 1), identity(Protocol::Netflow9, 10)];
        let counted = exporters.iter().map(|identity| {
            let mut sent = Sent::default();
            sent.count(identity, &content(0), 80);
            sent.count(identity, &content(3), 1_000);
            (identity, sent)
        });
        let summary = Summary::new(counted, NotSent::default(), Duration::from_secs(2));
        let sent = Sent {
            datagrams: 4,
            announcements: 2,
            octets: 2_160,
            flows: 6,
            bytes: 600,
            packets: 12,
            bytes_scaled: 300 + 3_000,
            packets_scaled: 6 + 60,
        };
        let expected = Group { exporters: 2, sent };
        assert_eq!((summary.total, summary.protocols["netflow9"], summary.flows_per_sec()), (expected, expected, 3.0));
    }

    #[test]
    fn the_table_says_what_was_not_sent_and_why() {
        let mut not_sent = NotSent::default();
        not_sent.count(&content(5), Failure::Refused);
        let identity = identity(Protocol::Ipfix, 1);
        let summary = Summary::new([(&identity, Sent::default())], not_sent, Duration::ZERO);
        let table = summary.table();
        assert!(table.contains("not sent: 1 datagrams with 5 flows (1 refused: nobody listens"), "{table}");
        assert_eq!(table.lines().count(), 4, "head, protocol, total, note: {table}");
    }
}
