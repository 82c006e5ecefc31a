//! `helios decode --raw`: every field of every record, whether Helios has a column for it or not.
//!
//! Decoding is generic, by netflow_parser and flowparser-sflow, and shares no code with the collector's decoders: a
//! second opinion where a column looks wrong. It is two orders of magnitude slower. Known limit: netflow_parser ends
//! an IPFIX set at a variable-length field of length 0 without a word.

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::IpAddr;

use flowparser_sflow::SflowParser;
use netflow_parser::static_versions::{v5::V5, v7::V7};
use netflow_parser::variable_versions::{ipfix, v9};
use netflow_parser::{FieldValue, NetflowPacket, NetflowParser};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::elements;
use super::utc::Utc;
use crate::capture::Datagram;

/// Writes a JSON object a line for each record, template and sample.
pub struct Raw<W> {
    out: W,
    /// Templates are per exporter, as in the collector.
    netflow: HashMap<IpAddr, NetflowParser>,
    sflow: SflowParser,
    failed: u64,
}

/// What the lines of one message begin with.
struct Head<'a> {
    datagram: &'a Datagram,
    protocol: &'static str,
    domain: Option<u32>,
    sequence: Option<u32>,
}

impl Head<'_> {
    fn line(&self, kind: &str, rest: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
        let mut line = Map::new();
        line.insert("received_at".into(), Utc((self.datagram.timestamp_ns / 1_000_000) as i64).to_string().into());
        line.insert("exporter".into(), self.datagram.source.ip().to_canonical().to_string().into());
        line.insert("protocol".into(), self.protocol.into());
        line.extend(self.domain.map(|domain| ("domain".to_owned(), domain.into())));
        line.extend(self.sequence.map(|sequence| ("sequence".to_owned(), sequence.into())));
        line.insert("kind".into(), kind.into());
        line.extend(rest.into_iter().map(|(key, value)| (key.to_owned(), value)));
        Value::Object(line)
    }
}

impl<W: Write> Raw<W> {
    pub fn new(out: W) -> Self {
        Self { out, netflow: HashMap::new(), sflow: SflowParser::default(), failed: 0 }
    }

    /// # Errors
    /// When the lines cannot be written.
    pub fn feed(&mut self, datagram: &Datagram) -> io::Result<()> {
        let lines = match datagram.payload.as_slice() {
            [0, 0, 0, 5, ..] => self.sflow(datagram),
            _ => self.netflow(datagram),
        };
        for line in lines {
            writeln!(self.out, "{line}")?;
        }
        Ok(())
    }

    /// # Errors
    /// When the lines cannot be written.
    pub fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Datagrams that the generic decoders did not take, in part or as a whole.
    pub fn notes(&self) -> Option<String> {
        (self.failed > 0).then(|| format!("{} datagrams were not, or not wholly, decoded", self.failed))
    }

    fn netflow(&mut self, datagram: &Datagram) -> Vec<Value> {
        let parser = self.netflow.entry(datagram.source.ip()).or_default();
        let result = parser.parse_bytes(&datagram.payload);
        self.failed += u64::from(result.error.is_some() || result.packets.is_empty());
        let mut lines = Vec::new();
        for packet in &result.packets {
            match packet {
                NetflowPacket::V5(message) => netflow5(datagram, message, &mut lines),
                NetflowPacket::V7(message) => netflow7(datagram, message, &mut lines),
                NetflowPacket::V9(message) => netflow9(datagram, message, &mut lines),
                NetflowPacket::IPFix(message) => ipfix(datagram, message, &mut lines),
                _ => {}
            }
        }
        lines
    }

    fn sflow(&mut self, datagram: &Datagram) -> Vec<Value> {
        let result = self.sflow.parse_bytes(&datagram.payload);
        self.failed += u64::from(result.error.is_some());
        let mut lines = Vec::new();
        for message in &result.datagrams {
            let head = Head {
                datagram,
                protocol: "sflow5",
                domain: Some(message.sub_agent_id),
                sequence: Some(message.sequence_number),
            };
            let agent = plain(&message.agent_address);
            for sample in &message.samples {
                lines.push(head.line("sample", [("agent", agent.clone()), ("sample", with_hex(shown(sample)))]));
            }
        }
        lines
    }
}

fn netflow5(datagram: &Datagram, message: &V5, lines: &mut Vec<Value>) {
    let sequence = Some(message.header.flow_sequence);
    let head = Head { datagram, protocol: "netflow5", domain: None, sequence };
    lines.extend(message.flowsets.iter().map(|record| head.line("record", [("fields", shown(record))])));
}

fn netflow7(datagram: &Datagram, message: &V7, lines: &mut Vec<Value>) {
    let sequence = Some(message.header.flow_sequence);
    let head = Head { datagram, protocol: "netflow7", domain: None, sequence };
    lines.extend(message.flowsets.iter().map(|record| head.line("record", [("fields", shown(record))])));
}

fn netflow9(datagram: &Datagram, message: &v9::V9, lines: &mut Vec<Value>) {
    use v9::FlowSetBody as Body;
    let head = Head {
        datagram,
        protocol: "netflow9",
        domain: Some(message.header.source_id),
        sequence: Some(message.header.sequence_number),
    };
    for set in &message.flowsets {
        let template = ("template", Value::from(set.header.flowset_id));
        match &set.body {
            Body::Data(data) => lines.extend(data.fields.iter().map(|record| {
                let fields = fields(record.iter().map(|(field, value)| (elements::netflow9(*field), value)));
                head.line("record", [template.clone(), ("fields", fields)])
            })),
            Body::OptionsData(data) => lines.extend(data.fields.iter().map(|record| {
                let fields = fields(record.options_fields.iter().map(|(field, value)| (elements::netflow9(*field), value)));
                let scope = with_hex(shown(&record.scope_fields));
                head.line("options", [template.clone(), ("scope", scope), ("fields", fields)])
            })),
            body => lines.push(definition(&head, template, shown(body))),
        }
    }
}

fn ipfix(datagram: &Datagram, message: &ipfix::IPFix, lines: &mut Vec<Value>) {
    use ipfix::FlowSetBody as Body;
    let head = Head {
        datagram,
        protocol: "ipfix",
        domain: Some(message.header.observation_domain_id),
        sequence: Some(message.header.sequence_number),
    };
    for set in &message.flowsets {
        let template = ("template", Value::from(set.header.header_id));
        let (kind, records) = match &set.body {
            Body::Data(data) => ("record", &data.fields),
            Body::OptionsData(data) => ("options", &data.fields),
            body => {
                lines.push(definition(&head, template, shown(body)));
                continue;
            }
        };
        lines.extend(records.iter().map(|record| {
            let fields = fields(record.iter().map(|(field, value)| (elements::ipfix(*field), value)));
            head.line(kind, [template.clone(), ("fields", fields)])
        }));
    }
}

/// Templates, and sets that no template describes, as the crate has them.
fn definition(head: &Head<'_>, set: (&'static str, Value), body: Value) -> Value {
    let kind = if body.get("raw_data").is_some() { "set_without_template" } else { "definition" };
    head.line(kind, [("set", set.1), ("content", with_hex(body))])
}

/// Fields by name; an element that is there several times has its values in a list.
fn fields<'a>(record: impl Iterator<Item = (String, &'a FieldValue)>) -> Value {
    let mut all = Map::new();
    for (name, value) in record {
        let value = plain(value);
        match all.get_mut(&name) {
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = json!([first.take(), value]),
            None => {
                all.insert(name, value);
            }
        }
    }
    Value::Object(all)
}

fn shown<T: Serialize>(value: &T) -> Value {
    unwrapped(serde_json::to_value(value).unwrap_or(Value::Null))
}

/// A field's value: octets that have no other form as hexadecimal digits.
fn plain<T: Serialize>(value: &T) -> Value {
    match shown(value) {
        Value::Array(octets) => hex(&octets).unwrap_or(Value::Array(octets)),
        other => other,
    }
}

/// Takes off the names of enum variants: `{"DataNumber":{"U32":5}}` is 5.
fn unwrapped(value: Value) -> Value {
    match value {
        Value::Object(mut map) => {
            let variant = map.len() == 1 && map.keys().all(|key| key.starts_with(|c: char| c.is_ascii_uppercase()));
            match map.values_mut().next() {
                Some(only) if variant => unwrapped(only.take()),
                _ => Value::Object(map.into_iter().map(|(key, value)| (key, unwrapped(value))).collect()),
            }
        }
        Value::Array(values) => Value::Array(values.into_iter().map(unwrapped).collect()),
        other => other,
    }
}

/// Keys under which the crates keep octets.
const OCTETS: [&str; 6] = ["header", "data", "raw_data", "padding", "s_gid", "d_gid"];

fn with_hex(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let entry = |(key, value): (String, Value)| match &value {
                Value::Array(octets) if OCTETS.contains(&key.as_str()) => {
                    let value = hex(octets).unwrap_or_else(|| value.clone());
                    (key, value)
                }
                _ => (key, with_hex(value)),
            };
            Value::Object(map.into_iter().map(entry).collect())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(with_hex).collect()),
        other => other,
    }
}

fn hex(octets: &[Value]) -> Option<Value> {
    let mut text = String::with_capacity(octets.len() * 2);
    for octet in octets {
        let octet = octet.as_u64().filter(|&octet| octet <= 0xff)?;
        text.push_str(&format!("{octet:02x}"));
    }
    Some(Value::String(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(payload: &[u8]) -> Vec<Value> {
        let datagram = Datagram {
            timestamp_ns: 0,
            source: "192.0.2.1:2055".parse().unwrap(),
            destination: "192.0.2.2:2055".parse().unwrap(),
            payload: payload.to_vec(),
        };
        let mut out = Vec::new();
        Raw::new(&mut out).feed(&datagram).unwrap();
        String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn an_element_without_a_column_is_shown_by_its_name() {
        // IPFIX: template 256 with minimumIpTotalLength (25) of 8 octets and 2636/137 of 4, then one record.
        let message = [
            &[0, 10, 0, 16 + 20 + 16, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 9][..],
            &[0, 2, 0, 20, 1, 0, 0, 2, 0, 25, 0, 8, 0x80, 137, 0, 4, 0, 0, 0x0a, 0x4c],
            &[1, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 40, 0xde, 0xad, 0xbe, 0xef],
        ]
        .concat();
        let lines = lines(&message);
        assert_eq!(lines[0]["kind"], "definition");
        assert_eq!(lines[1]["fields"], json!({"minimumIpTotalLength": 40, "2636/137": "deadbeef"}));
        assert_eq!((&lines[1]["domain"], &lines[1]["sequence"], &lines[1]["template"]), (&json!(9), &json!(7), &json!(256)));
    }

    #[test]
    fn an_element_that_comes_twice_keeps_both_values() {
        let octets = FieldValue::Vec(vec![1, 2]);
        let number = FieldValue::Float64(0.5);
        let record = [("a".to_owned(), &octets), ("b".to_owned(), &octets), ("a".to_owned(), &number)];
        assert_eq!(fields(record.into_iter()), json!({"a": ["0102", 0.5], "b": "0102"}));
    }

    #[test]
    fn garbage_is_a_note_and_no_line() {
        let datagram = Datagram {
            timestamp_ns: 0,
            source: "192.0.2.1:2055".parse().unwrap(),
            destination: "192.0.2.2:2055".parse().unwrap(),
            payload: b"garbage".to_vec(),
        };
        let mut raw = Raw::new(Vec::new());
        raw.feed(&datagram).unwrap();
        assert!(raw.out.is_empty());
        assert_eq!(raw.notes().as_deref(), Some("1 datagrams were not, or not wholly, decoded"));
    }
}
