//! IPFIX: a header and Sets of templates, options templates and records.
//!
//! Source: RFC 7011 §3 (message, Sets, records), §7 (variable length: [`Put::put_variable`]), §8.1 (withdrawal).

use super::set::{count, set, specifiers};
use super::{Field, Put, patch_u16};

const VERSION: u16 = 10;
const TEMPLATE_SET: u16 = 2;
const OPTIONS_TEMPLATE_SET: u16 = 3;

/// Where the message's length stands in the header.
const LENGTH: usize = 2;

/// Octets of the message header.
pub const HEADER_OCTETS: usize = 16;

/// Withdraws all templates at once (RFC 7011 §8.1).
pub const ALL_TEMPLATES: u16 = TEMPLATE_SET;

/// Withdraws all options templates at once.
pub const ALL_OPTIONS_TEMPLATES: u16 = OPTIONS_TEMPLATE_SET;

/// The message header (RFC 7011 §3.1), but for version and length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Header {
    /// Export Time: Unix seconds.
    pub export_secs: u32,
    /// Data records, options data included, sent in this domain before this message.
    pub sequence: u32,
    /// Observation Domain ID; 0 if no single domain fits the whole message.
    pub observation_domain_id: u32,
}

/// A message that is being written: every call appends a Set and leaves the message complete.
///
/// Sets are not padded: padding has to be shorter than the shortest record (RFC 7011 §3.3.1), which only who
/// writes the records knows. It can be written as part of the data.
#[derive(Debug)]
pub struct Message<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
}

impl<'a> Message<'a> {
    /// Appends the header.
    pub fn begin(header: &Header, out: &'a mut Vec<u8>) -> Self {
        let start = out.len();
        out.put_u16(VERSION);
        out.put_u16(HEADER_OCTETS as u16);
        out.put_u32(header.export_secs);
        out.put_u32(header.sequence);
        out.put_u32(header.observation_domain_id);
        Self { out, start }
    }

    /// Octets of the message so far.
    pub fn octets(&self) -> usize {
        self.out.len() - self.start
    }

    /// A template Set with one template (RFC 7011 §3.4.1).
    pub fn template(&mut self, id: u16, fields: &[Field]) {
        self.templates(&[(id, fields)]);
    }

    /// A template Set with several templates.
    pub fn templates(&mut self, templates: &[(u16, &[Field])]) {
        self.set(TEMPLATE_SET, |out| {
            for (id, fields) in templates {
                out.put_u16(*id);
                out.put_u16(count(fields));
                specifiers(out, fields);
            }
        });
    }

    /// An options template Set (RFC 7011 §3.4.2) whose first `scope_fields` fields are the scope.
    pub fn options_template(&mut self, id: u16, scope_fields: u16, fields: &[Field]) {
        self.set(OPTIONS_TEMPLATE_SET, |out| {
            out.put_u16(id);
            out.put_u16(count(fields));
            out.put_u16(scope_fields);
            specifiers(out, fields);
        });
    }

    /// Withdraws a template, or all with [`ALL_TEMPLATES`] (RFC 7011 §8.1).
    pub fn withdraw_template(&mut self, id: u16) {
        self.withdraw(TEMPLATE_SET, id);
    }

    /// Withdraws an options template, or all with [`ALL_OPTIONS_TEMPLATES`].
    pub fn withdraw_options_template(&mut self, id: u16) {
        self.withdraw(OPTIONS_TEMPLATE_SET, id);
    }

    /// A data Set (RFC 7011 §3.4.3) with the records that `write` appends; returns what `write` returns.
    pub fn data<T>(&mut self, template_id: u16, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        self.set(template_id, write)
    }

    /// A withdrawal is a template record with a field count of zero.
    fn withdraw(&mut self, set_id: u16, id: u16) {
        self.set(set_id, |out| {
            out.put_u16(id);
            out.put_u16(0);
        });
    }

    fn set<T>(&mut self, id: u16, content: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let written = set(self.out, id, content);
        let length = self.out.len() - self.start;
        patch_u16(self.out, self.start + LENGTH, length);
        written
    }
}

#[cfg(test)]
mod tests {
    use super::super::{VARIABLE_LENGTH, enterprise_field, field};
    use super::*;
    use netflow_parser::variable_versions::ipfix::FlowSetBody;
    use netflow_parser::{NetflowPacket, NetflowParser};

    const HEADER: Header = Header { export_secs: 1_700_000_000, sequence: 5, observation_domain_id: 42 };

    #[test]
    fn lengths_are_complete_after_every_call() {
        let mut out = Vec::new();
        let mut message = Message::begin(&HEADER, &mut out);
        message.template(256, &[field(82, VARIABLE_LENGTH), enterprise_field(9, 12_235, 4)]);
        message.data(256, |out| {
            out.put_variable(b"Gi1");
            out.put_u32(7);
        });
        #[rustfmt::skip]
        let expected = [
            0, 10, 0, 48, 0x65, 0x53, 0xf1, 0, 0, 0, 0, 5, 0, 0, 0, 42,
            0, 2, 0, 20, 1, 0, 0, 2, 0, 82, 0xff, 0xff, 0xaf, 0xcb, 0, 4, 0, 0, 0, 9, // enterprise bit and number
            1, 0, 0, 12, 3, b'G', b'i', b'1', 0, 0, 0, 7,
        ];
        assert_eq!(out, expected);
    }

    #[test]
    fn a_withdrawal_is_a_template_without_fields() {
        let mut out = Vec::new();
        let mut message = Message::begin(&HEADER, &mut out);
        message.withdraw_template(256);
        message.withdraw_options_template(ALL_OPTIONS_TEMPLATES);
        assert_eq!(out[HEADER_OCTETS..], [0, 2, 0, 8, 1, 0, 0, 0, 0, 3, 0, 8, 0, 3, 0, 0]);
    }

    #[test]
    fn an_independent_decoder_reads_templates_options_and_records() {
        let mut out = Vec::new();
        let mut message = Message::begin(&HEADER, &mut out);
        message.template(256, &[field(8, 4), field(1, 8), field(82, VARIABLE_LENGTH), enterprise_field(2636, 137, 2)]);
        message.options_template(257, 1, &[field(302, 4), field(305, 4), field(306, 4)]);
        message.data(257, |out| {
            out.put_u32(1);
            out.put_u32(1);
            out.put_u32(999);
        });
        message.data(256, |out| {
            for name in ["short", &"long".repeat(100)] {
                out.put(&[10, 0, 0, 1]);
                out.put_u64(1_500);
                out.put_variable(name.as_bytes());
                out.put_u16(0xabcd);
            }
        });
        let parsed = NetflowParser::default().parse_bytes(&out);
        let [NetflowPacket::IPFix(packet)] = &parsed.packets[..] else { panic!("not one packet: {parsed:?}") };
        assert_eq!((packet.header.sequence_number, packet.header.observation_domain_id), (5, 42));
        let bodies: Vec<_> = packet.flowsets.iter().map(|flowset| &flowset.body).collect();
        let [
            FlowSetBody::Template(template),
            FlowSetBody::OptionsTemplate(options),
            FlowSetBody::OptionsData(sampler),
            FlowSetBody::Data(data),
        ] = bodies[..]
        else {
            panic!("other Sets: {bodies:?}")
        };
        assert_eq!((template.fields.len(), options.fields.len(), options.scope_field_count), (4, 3, 1));
        assert_eq!((sampler.fields.len(), data.fields.len()), (1, 2));
        let values: Vec<String> = data.fields[1].iter().map(|(_, value)| format!("{value:?}")).collect();
        assert!(values[0].contains("10.0.0.1") && values[1].contains("1500"), "{values:?}");
        assert!(values[2].contains(&"long".repeat(100)), "{values:?}");
    }
}
