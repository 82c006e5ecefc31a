//! `helios decode --raw`: every field of every record, whether Helios has a column for it or not.
//!
//! Decoding is generic, by netflow_parser and flowparser-sflow, and shares no code with the collector's decoders: a
//! second opinion where a column looks wrong. It is two orders of magnitude slower. Known limit: netflow_parser ends
//! an IPFIX set at a variable-length field of length 0 without a word.

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::IpAddr;

use flowparser_sflow::SflowParser;
use netflow_parser::NetflowParser;
use serde_json::{Map, Value};

use super::utc::Utc;
use crate::capture::Datagram;

mod netflow;
mod value;

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
    sequence: u32,
}

impl<'a> Head<'a> {
    fn new(datagram: &'a Datagram, protocol: &'static str, domain: Option<u32>, sequence: u32) -> Self {
        Self { datagram, protocol, domain, sequence }
    }

    fn line(&self, kind: &str, rest: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
        let received_at = i64::try_from(self.datagram.timestamp_ns / 1_000_000).unwrap_or(i64::MAX);
        let mut line = Map::new();
        line.insert("received_at".into(), Utc(received_at).to_string().into());
        line.insert("exporter".into(), self.datagram.source.ip().to_canonical().to_string().into());
        line.insert("protocol".into(), self.protocol.into());
        line.extend(self.domain.map(|domain| ("domain".to_owned(), domain.into())));
        line.insert("sequence".into(), self.sequence.into());
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
        for message in &result.packets {
            netflow::lines(datagram, message, &mut lines);
        }
        lines
    }

    fn sflow(&mut self, datagram: &Datagram) -> Vec<Value> {
        let result = self.sflow.parse_bytes(&datagram.payload);
        self.failed += u64::from(result.error.is_some());
        let mut lines = Vec::new();
        for message in &result.datagrams {
            let head = Head::new(datagram, "sflow5", Some(message.sub_agent_id), message.sequence_number);
            let agent = value::shown(&message.agent_address);
            let line = |sample| head.line("sample", [("agent", agent.clone()), ("sample", value::shown(sample))]);
            lines.extend(message.samples.iter().map(line));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn datagram(payload: &[u8]) -> Datagram {
        Datagram {
            timestamp_ns: 0,
            source: "192.0.2.1:2055".parse().unwrap(),
            destination: "192.0.2.2:2055".parse().unwrap(),
            payload: payload.to_vec(),
        }
    }

    fn lines(payload: &[u8]) -> Vec<Value> {
        let mut out = Vec::new();
        Raw::new(&mut out).feed(&datagram(payload)).unwrap();
        String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn elements_without_a_column_are_shown_by_their_names() {
        // IPFIX: template 256 with minimumIpTotalLength (25) of 8 octets and 2636/137 of 4, then one record.
        let message = [
            &[0, 10, 0, 16 + 20 + 16, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 9][..],
            &[0, 2, 0, 20, 1, 0, 0, 2, 0, 25, 0, 8, 0x80, 137, 0, 4, 0, 0, 0x0a, 0x4c],
            &[1, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 40, 0xde, 0xad, 0xbe, 0xef],
        ]
        .concat();
        let lines = lines(&message);
        assert_eq!(lines[0]["fields"], json!([["minimumIpTotalLength", 8], ["2636/137", 4]]));
        assert_eq!(lines[1]["fields"], json!({"minimumIpTotalLength": 40, "2636/137": "deadbeef"}));
        assert_eq!(
            (&lines[1]["domain"], &lines[1]["sequence"], &lines[1]["template"]),
            (&json!(9), &json!(7), &json!(256))
        );
    }

    #[test]
    fn garbage_is_a_note_and_no_line() {
        let mut raw = Raw::new(Vec::new());
        raw.feed(&datagram(b"garbage")).unwrap();
        assert!(raw.out.is_empty());
        assert_eq!(raw.notes().as_deref(), Some("1 datagrams were not, or not wholly, decoded"));
    }
}
