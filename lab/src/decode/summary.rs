//! What a capture held, counted by protocol.

use std::collections::BTreeMap;

use helios_advice::counted;
use helios_collector::decode::{DecodeError, Decoded, Discarded, Protocol};
use helios_common::columns::{BYTES, PACKETS};
use helios_common::flow::FlowBatch;
use serde::Serialize;

/// Counters by protocol; serialises to the object that `helios decode --summary` prints.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Summary {
    protocols: BTreeMap<&'static str, Counters>,
    #[serde(skip)]
    discarded: BTreeMap<&'static str, (u64, DecodeError)>,
    #[serde(skip)]
    rows: u64,
    #[serde(skip)]
    templates: u64,
    #[serde(skip)]
    sets_without_template: u64,
    #[serde(skip)]
    unreadable_lists: u64,
    #[serde(skip)]
    contradictions: u64,
    #[serde(skip)]
    sets_left_out: u64,
    #[serde(skip)]
    samples_left_out: u64,
    #[serde(skip)]
    malformed_samples: u64,
    #[serde(skip)]
    records_left_out: u64,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Counters {
    Records(Records),
    Samples(Samples),
}

/// NetFlow and IPFIX. `data_records` leaves out options data and held records, and counts a biflow record once;
/// `bytes` and `packets` are the sums of the rows, without those of held records.
#[derive(Debug, Default, Serialize)]
struct Records {
    datagrams: u64,
    templates: u64,
    options_templates: u64,
    data_records: u64,
    options_records: u64,
    sets_without_template: u64,
    held_records: u64,
    bytes: u64,
    packets: u64,
}

/// sFlow. `frame_bytes_scaled` is the frames' lengths, each times its sampling interval.
#[derive(Debug, Default, Serialize)]
struct Samples {
    datagrams: u64,
    samples: u64,
    flow_samples: u64,
    expanded_flow_samples: u64,
    counter_samples: u64,
    expanded_counter_samples: u64,
    other_samples: u64,
    frame_bytes: u64,
    frame_bytes_scaled: u64,
}

impl Summary {
    fn counters(&mut self, protocol: Protocol) -> &mut Counters {
        self.protocols.entry(protocol.name()).or_insert_with(|| match protocol {
            Protocol::Sflow5 => Counters::Samples(Samples::default()),
            _ => Counters::Records(Records::default()),
        })
    }

    /// Counts a decoded message; `batch` holds its rows and no others.
    pub fn decoded(&mut self, decoded: &Decoded, batch: &FlowBatch) {
        self.rows += u64::from(decoded.rows) + u64::from(decoded.sflow.counter_rows);
        self.templates += u64::from(decoded.templates + decoded.options_templates);
        self.sets_without_template += u64::from(decoded.sets_without_template);
        self.unreadable_lists += u64::from(decoded.unreadable_lists);
        self.contradictions += u64::from(decoded.contradictions);
        let sflow = &decoded.sflow;
        self.sets_left_out += u64::from(decoded.sets_left_out);
        self.samples_left_out += u64::from(sflow.samples_left_out);
        self.malformed_samples += u64::from(sflow.malformed_samples + sflow.malformed_counter_samples);
        self.records_left_out += u64::from(sflow.malformed_records + sflow.malformed_counter_records);
        match self.counters(decoded.protocol) {
            Counters::Records(counters) => counters.add(decoded, batch),
            Counters::Samples(counters) => counters.add(decoded),
        }
    }

    /// Counts a discarded message.
    pub fn discarded(&mut self, discarded: &Discarded) {
        self.discarded.entry(discarded.error.name()).or_insert((0, discarded.error)).0 += 1;
        let Some(protocol) = discarded.protocol else { return };
        match self.counters(protocol) {
            Counters::Records(counters) => {
                counters.datagrams += 1;
                counters.templates += u64::from(discarded.templates);
                counters.options_templates += u64::from(discarded.options_templates);
            }
            Counters::Samples(counters) => counters.datagrams += 1,
        }
    }

    /// A sentence for each reason for which messages were discarded, and for what was left out of others.
    pub fn notes(&self) -> Vec<String> {
        let discarded = self.discarded.values();
        let discarded = discarded.map(|(count, error)| format!("{} discarded: {error}", counted(*count, "datagram")));
        let mut notes: Vec<String> = discarded.collect();
        let mut note = |count: u64, what: &str, text: &str| {
            if count > 0 {
                notes.push(format!("{} {text}", counted(count, what)));
            }
        };
        note(self.contradictions, "message", "with lengths that contradict each other: what could be told was decoded");
        note(
            self.sets_left_out,
            "set",
            "left out, with the rest of the message: longer than the datagram, or shorter than a header",
        );
        note(self.samples_left_out, "sFlow sample", "left out: the datagram ends before their end");
        note(self.malformed_samples, "sFlow sample", "left out: lengths inside them contradict each other");
        note(self.records_left_out, "record", "in sFlow samples left out: shorter than their structure");
        note(self.unreadable_lists, "list", "in records (RFC 6313) could not be read");
        let mut note = |count: u64, what: &str, text: &str| notes.push(format!("{} {text}", counted(count, what)));
        if self.rows == 0 && self.sets_without_template > 0 {
            note(self.sets_without_template, "data set", "without a template: the capture does not define it");
        } else if self.rows == 0 && self.templates > 0 {
            note(self.templates, "template", "and no flow record: the capture holds definitions only");
        }
        notes
    }
}

impl Records {
    fn add(&mut self, decoded: &Decoded, batch: &FlowBatch) {
        self.datagrams += 1;
        self.templates += u64::from(decoded.templates);
        self.options_templates += u64::from(decoded.options_templates);
        self.data_records += u64::from(decoded.data_records);
        self.options_records += u64::from(decoded.options_records);
        self.sets_without_template += u64::from(decoded.sets_without_template);
        self.held_records += u64::from(decoded.held_records);
        // Held rows are the last ones; a column that is shorter than the batch holds zeros beyond its end.
        let on_time = batch.rows().saturating_sub(decoded.held_rows as usize);
        self.bytes += batch.values(BYTES).iter().take(on_time).sum::<u64>();
        self.packets += batch.values(PACKETS).iter().take(on_time).sum::<u64>();
    }
}

impl Samples {
    fn add(&mut self, decoded: &Decoded) {
        let counts = &decoded.sflow;
        self.datagrams += 1;
        self.samples += u64::from(counts.samples);
        self.flow_samples += u64::from(counts.flow_samples);
        self.expanded_flow_samples += u64::from(counts.expanded_flow_samples);
        self.counter_samples += u64::from(counts.counter_samples);
        self.expanded_counter_samples += u64::from(counts.expanded_counter_samples);
        self.other_samples += u64::from(counts.other_samples);
        self.frame_bytes += counts.frame_bytes;
        self.frame_bytes_scaled = self.frame_bytes_scaled.saturating_add(counts.frame_bytes_scaled);
    }
}
