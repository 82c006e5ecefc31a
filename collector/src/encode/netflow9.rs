//! NetFlow v9: a header and FlowSets of templates, options templates and records.
//!
//! Source: RFC 3954 §5 (header, FlowSets), §6 (options).

use super::set::{count, set, specifiers};
use super::{Field, Put, patch_u16};

const VERSION: u16 = 9;
const TEMPLATE_FLOWSET: u16 = 0;
const OPTIONS_FLOWSET: u16 = 1;

/// Where the record count stands in the header.
const COUNT: usize = 2;

/// Octets of the message header.
pub const HEADER_OCTETS: usize = 20;

/// The message header (RFC 3954 §5.1), but for version and count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Header {
    /// Milliseconds since the device booted.
    pub sys_uptime_ms: u32,
    /// UNIX Secs: when the message leaves, Unix seconds.
    pub export_secs: u32,
    /// Messages sent before this one.
    pub sequence: u32,
    /// Source ID: the observation domain.
    pub source_id: u32,
}

/// What an options record is about (RFC 3954 §6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum Scope {
    /// The whole exporter.
    System = 1,
    /// An interface, by its ifIndex.
    Interface = 2,
    /// A line card.
    LineCard = 3,
    /// A cache of flows.
    Cache = 4,
    /// A template, by its id.
    Template = 5,
}

/// A message that is being written: every call appends a FlowSet and leaves the message complete.
#[derive(Debug)]
pub struct Message<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    records: usize,
}

impl<'a> Message<'a> {
    /// Appends the header.
    pub fn begin(header: &Header, out: &'a mut Vec<u8>) -> Self {
        let start = out.len();
        out.put_u16(VERSION);
        out.put_u16(0);
        out.put_u32(header.sys_uptime_ms);
        out.put_u32(header.export_secs);
        out.put_u32(header.sequence);
        out.put_u32(header.source_id);
        Self { out, start, records: 0 }
    }

    /// Octets of the message so far.
    pub fn octets(&self) -> usize {
        self.out.len() - self.start
    }

    /// A template FlowSet with one template (RFC 3954 §5.2).
    pub fn template(&mut self, id: u16, fields: &[Field]) {
        self.templates(&[(id, fields)]);
    }

    /// A template FlowSet with several templates.
    pub fn templates(&mut self, templates: &[(u16, &[Field])]) {
        self.flowset(TEMPLATE_FLOWSET, templates.len(), |out| {
            for (id, fields) in templates {
                out.put_u16(*id);
                out.put_u16(count(fields));
                specifiers(out, fields);
            }
        });
    }

    /// An options template FlowSet (RFC 3954 §6.1): scopes with their lengths, then the options' fields.
    ///
    /// The lengths in it count octets of specifiers, not fields as in IPFIX.
    pub fn options_template(&mut self, id: u16, scopes: &[(Scope, u16)], options: &[Field]) {
        self.flowset(OPTIONS_FLOWSET, 1, |out| {
            out.put_u16(id);
            out.put_u16(4 * u16::try_from(scopes.len()).expect("a handful of scopes"));
            out.put_u16(4 * count(options));
            for (scope, length) in scopes {
                out.put_u16(*scope as u16);
                out.put_u16(*length);
            }
            specifiers(out, options);
        });
    }

    /// A data FlowSet (RFC 3954 §5.3) of `n_records` records, which `write` appends; returns what `write` returns.
    pub fn data<T>(&mut self, template_id: u16, n_records: usize, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        self.flowset(template_id, n_records, write)
    }

    //= https://www.rfc-editor.org/rfc/rfc3954#section-5.3
    //# The Exporter SHOULD insert some padding bytes so that the
    //# subsequent FlowSet starts at a 4-byte aligned boundary.
    ///
    /// Erratum 2096: the padding has to be shorter than a record, or it would be read as one more.
    fn flowset<T>(&mut self, id: u16, n_records: usize, content: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let written = set(self.out, id, |out| {
            let start = out.len();
            let written = content(out);
            let length = out.len() - start;
            let padding = length.wrapping_neg() % 4;
            if padding * n_records < length {
                out.resize(start + length + padding, 0);
            }
            written
        });
        self.records += n_records;
        patch_u16(self.out, self.start + COUNT, self.records);
        written
    }
}

#[cfg(test)]
mod tests {
    use super::super::field;
    use super::*;
    use netflow_parser::variable_versions::v9::FlowSetBody;
    use netflow_parser::{NetflowPacket, NetflowParser};

    const HEADER: Header = Header { sys_uptime_ms: 60_000, export_secs: 1_700_000_000, sequence: 3, source_id: 42 };

    #[test]
    fn counts_lengths_and_padding_are_complete_after_every_call() {
        let mut out = Vec::new();
        let mut message = Message::begin(&HEADER, &mut out);
        message.template(256, &[field(8, 4), field(4, 1)]);
        message.data(256, 2, |out| {
            out.put(&[10, 0, 0, 1, 6]);
            out.put(&[10, 0, 0, 2, 17]);
        });
        assert_eq!(message.octets(), out.len());
        #[rustfmt::skip]
        let expected = [
            0, 9, 0, 3,                                         // version, count: one template, two records
            0, 0, 0xea, 0x60, 0x65, 0x53, 0xf1, 0, 0, 0, 0, 3, 0, 0, 0, 42,
            0, 0, 0, 16, 1, 0, 0, 2, 0, 8, 0, 4, 0, 4, 0, 1,    // template FlowSet
            1, 0, 0, 16, 10, 0, 0, 1, 6, 10, 0, 0, 2, 17, 0, 0, // data FlowSet, two octets of padding
        ];
        assert_eq!(out, expected);
    }

    #[test]
    fn padding_that_would_read_as_a_record_is_left_out() {
        let mut out = Vec::new();
        Message::begin(&HEADER, &mut out).data(256, 3, |out| out.put(&[1, 0, 2, 0, 3, 0]));
        assert_eq!((out[HEADER_OCTETS + 3], out.len()), (10, HEADER_OCTETS + 10), "two octets are a record's length");
        out.clear();
        Message::begin(&HEADER, &mut out).data(256, 1, |out| out.put(&[1, 0, 2]));
        assert_eq!(out.len(), HEADER_OCTETS + 8);
    }

    #[test]
    fn an_options_template_counts_octets_of_specifiers() {
        let mut out = Vec::new();
        Message::begin(&HEADER, &mut out).options_template(257, &[(Scope::System, 4)], &[field(48, 1), field(50, 4)]);
        #[rustfmt::skip]
        let expected = [
            0, 1, 0, 24,            // FlowSet id 1, length
            1, 1, 0, 4, 0, 8,       // template id, scope length, option length
            0, 1, 0, 4,             // scope System
            0, 48, 0, 1, 0, 50, 0, 4,
            0, 0,                   // padding
        ];
        assert_eq!(out[HEADER_OCTETS..], expected);
    }

    #[test]
    fn an_independent_decoder_reads_templates_options_and_records() {
        let mut out = Vec::new();
        let mut message = Message::begin(&HEADER, &mut out);
        message.templates(&[(256, &[field(8, 4), field(1, 4), field(7, 2)]), (258, &[field(4, 1)])]);
        message.options_template(257, &[(Scope::System, 4)], &[field(48, 1), field(50, 4)]);
        message.data(257, 1, |out| {
            out.put_u32(0);
            out.put_u8(1);
            out.put_u32(1_000);
        });
        message.data(256, 1, |out| {
            out.put(&[10, 0, 0, 1]);
            out.put_u32(1_500);
            out.put_u16(443);
        });
        let parsed = NetflowParser::default().parse_bytes(&out);
        let [NetflowPacket::V9(packet)] = &parsed.packets[..] else { panic!("not one v9 packet: {parsed:?}") };
        assert_eq!((packet.header.sequence_number, packet.header.source_id, packet.header.count), (3, 42, 5));
        let bodies: Vec<_> = packet.flowsets.iter().map(|flowset| &flowset.body).collect();
        let [
            FlowSetBody::Template(templates),
            FlowSetBody::OptionsTemplate(options),
            FlowSetBody::OptionsData(sampler),
            FlowSetBody::Data(data),
        ] = bodies[..]
        else {
            panic!("other FlowSets: {bodies:?}")
        };
        assert_eq!(templates.templates.len(), 2);
        assert_eq!(options.templates[0].template_id, 257);
        assert_eq!(sampler.fields.len(), 1);
        let values: Vec<String> = data.fields[0].iter().map(|(_, value)| format!("{value:?}")).collect();
        assert_eq!(data.fields.len(), 1);
        assert!(
            values[0].contains("10.0.0.1") && values[1].contains("1500") && values[2].contains("443"),
            "{values:?}"
        );
    }
}
