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

use crate::capture::Datagram;
use helios_common::time::Utc;

use super::cell::escape_controls;

mod lists;
mod netflow;
mod netflow1;
mod value;

/// Writes a JSON object a line for each record, template and sample.
pub struct Raw<W> {
    out: W,
    /// Templates are per exporter, as in the collector.
    netflow: HashMap<IpAddr, Exporter>,
    sflow: SflowParser,
    failed: u64,
}

/// What is known of an exporter of NetFlow or IPFIX.
#[derive(Default)]
struct Exporter {
    parser: NetflowParser,
    templates: lists::Templates,
}

/// What the lines of one message begin with.
struct Head<'a> {
    datagram: &'a Datagram,
    protocol: &'static str,
    domain: Option<u32>,
    sequence: Option<u32>,
}

impl<'a> Head<'a> {
    fn new(datagram: &'a Datagram, protocol: &'static str, domain: Option<u32>, sequence: u32) -> Self {
        Self { datagram, protocol, domain, sequence: Some(sequence) }
    }

    fn line(&self, kind: &str, rest: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
        let received_at = i64::try_from(self.datagram.timestamp_ns / 1_000_000).unwrap_or(i64::MAX);
        let mut line = Map::new();
        line.insert("received_at".into(), Utc(received_at).to_string().into());
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
    /// Knows no templates yet; writes one JSON object a line.
    pub fn new(out: W) -> Self {
        Self { out, netflow: HashMap::new(), sflow: SflowParser::default(), failed: 0 }
    }

    /// # Errors
    /// When the lines cannot be written.
    pub fn feed(&mut self, datagram: &Datagram) -> io::Result<()> {
        let lines = match datagram.payload.as_slice() {
            [0, 0, 0, 5, ..] => self.sflow(datagram),
            [0, 1, ..] => self.netflow1(datagram),
            _ => self.netflow(datagram),
        };
        for line in lines {
            let mut json = String::new();
            // Writing to a String cannot fail.
            let _ = escape_controls(&line.to_string(), &mut json);
            writeln!(self.out, "{json}")?;
        }
        Ok(())
    }

    /// Shows what was fed so far.
    ///
    /// # Errors
    /// When the lines cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
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
        let Exporter { parser, templates } = self.netflow.entry(datagram.source.ip()).or_default();
        let result = parser.parse_bytes(&datagram.payload);
        self.failed += u64::from(result.error.is_some() || result.packets.is_empty());
        let mut lines = Vec::new();
        for message in &result.packets {
            netflow::lines(datagram, message, templates, &mut lines);
        }
        lines
    }

    fn netflow1(&mut self, datagram: &Datagram) -> Vec<Value> {
        let mut lines = Vec::new();
        self.failed += u64::from(!netflow1::lines(datagram, &mut lines));
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
    fn version_1_has_the_fields_of_ciscos_table() {
        let mut message = vec![0; 16 + 48];
        message[..4].copy_from_slice(&[0, 1, 0, 1]);
        message[16..20].copy_from_slice(&[10, 0, 0, 1]);
        message[16 + 36..16 + 41].copy_from_slice(&[0, 0, 6, 0xb8, 0x1b]);
        let lines = lines(&message);
        let fields = &lines[0]["fields"];
        assert_eq!((&fields["src_addr"], &fields["protocol_number"]), (&json!("10.0.0.1"), &json!(6)));
        assert_eq!((&fields["tos"], &fields["tcp_flags"]), (&json!(0xb8), &json!(0x1b)));
        assert!(lines[0].get("sequence").is_none(), "version 1 has none");
    }

    /// An IPFIX message of domain 9 with the sets.
    fn ipfix(sets: &[&[u8]]) -> Vec<u8> {
        let sets = sets.concat();
        let length = (16 + sets.len() as u16).to_be_bytes();
        [&[0, 10][..], &length, &[0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 9], &sets].concat()
    }

    /// The fields of the first record.
    fn record(message: &[u8]) -> Value {
        lines(message).into_iter().find(|line| line["kind"] == "record").unwrap()["fields"].take()
    }

    #[test]
    fn values_have_the_form_that_people_write() {
        #[rustfmt::skip]
        let template = [
            0, 2, 0, 44, 1, 0, 0, 8,
            0, 56, 0, 6,  0, 8, 0, 4,  0, 27, 0, 16,  1, 20, 0, 1,  0, 96, 0xff, 0xff, // MAC, addresses, boolean, string
            0, 154, 0, 8,  0x80, 5, 0, 2, 0, 0, 0x27, 0x10,  2, 86, 0, 3,            // NTP, 10000/5, 0/598
        ];
        let record_octets =
            [
                &[
                    0, 0x1b, 0x21, 0xbc, 0x24, 0xdd, 192, 0, 2, 1, 0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                    0, 1,
                ][..],
                &[2, 3, b'd', b'n', b's'],
                // 2023-11-14T22:13:20.500Z in seconds since 1900 and their fraction.
                &(1_700_000_000_u32.wrapping_add(2_208_988_800)).to_be_bytes(),
                &[0x80, 0, 0, 0, 0xca, 0xfe, 1, 2, 3],
            ]
            .concat();
        let data = [&[1, 0, 0, 4 + record_octets.len() as u8][..], &record_octets].concat();
        let shown = record(&ipfix(&[&template, &data]));
        let expected = json!({
            "sourceMacAddress": "00:1b:21:bc:24:dd", "sourceIPv4Address": "192.0.2.1",
            "sourceIPv6Address": "2001:db8::1", "dataRecordsReliability": false, "applicationName": "dns",
            "flowStartMicroseconds": "2023-11-14T22:13:20.500Z", "10000/5": "cafe", "0/598": "010203",
        });
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_basic_list_shows_its_values() {
        let template = [0, 2, 0, 16, 1, 0, 0, 2, 1, 35, 0xff, 0xff, 0, 4, 0, 1];
        // RFC 6313 §4.5.1: semantic allOf, ingressInterface of four octets, two of them; then protocolIdentifier.
        let data = [1, 0, 0, 4 + 1 + 13 + 1, 13, 3, 0, 10, 0, 4, 0, 0, 0, 7, 0, 0, 1, 0, 6];
        let shown = record(&ipfix(&[&template, &data]));
        let list = json!({"semantic": "allOf", "element": "ingressInterface", "values": [7, 256]});
        assert_eq!(shown, json!({"basicList": list, "protocolIdentifier": 6}));
        // Two octets less than two interfaces: the octets stand for themselves.
        let data = [1, 0, 0, 4 + 1 + 11 + 1, 11, 3, 0, 10, 0, 4, 0, 0, 0, 7, 0, 0, 6];
        assert_eq!(record(&ipfix(&[&template, &data]))["basicList"], json!("03000a0004000000070000"));
    }

    #[test]
    fn lists_of_communities_are_basic_lists() {
        let template = [0, 2, 0, 16, 1, 0, 0, 2, 1, 0xe5, 0xff, 0xff, 0, 4, 0, 1];
        // bgpDestinationCommunityList: allOf bgpCommunity, 64500:1 and 64500:2.
        let data = [1, 0, 0, 19, 13, 3, 1, 0xe3, 0, 4, 0xfb, 0xf4, 0, 1, 0xfb, 0xf4, 0, 2, 6];
        let shown = record(&ipfix(&[&template, &data]));
        assert_eq!(shown["bgpDestinationCommunityList"]["values"], json!([0xfbf4_0001_u32, 0xfbf4_0002_u32]));
    }

    #[test]
    fn lists_of_records_show_them_by_their_templates() {
        let templates = [
            // 257: port and a name of variable length; 256: a subTemplateList and a subTemplateMultiList.
            &[0, 2, 0, 28, 1, 1, 0, 2, 0, 11, 0, 2, 0, 96, 0xff, 0xff][..],
            &[1, 0, 0, 2, 1, 36, 0xff, 0xff, 1, 37, 0xff, 0xff],
        ]
        .concat();
        let list = [255, 1, 1, 0, 53, 3, b'd', b'n', b's', 1, 0xbb, 0];
        let multi = [4, 1, 1, 0, 7, 0, 22, 0, 1, 9, 0, 5, 0xaa];
        let body = [&[list.len() as u8][..], &list, &[multi.len() as u8], &multi].concat();
        let data = [&[1, 0, 0, 4 + body.len() as u8][..], &body].concat();
        let shown = record(&ipfix(&[&templates, &data]));
        let expected = json!({
            "subTemplateList": {"semantic": "undefined", "template": 257, "records": [
                {"destinationTransportPort": 53, "applicationName": "dns"},
                {"destinationTransportPort": 443, "applicationName": ""},
            ]},
            "subTemplateMultiList": {"semantic": "ordered", "blocks": [
                {"template": 257, "records": [{"destinationTransportPort": 22, "applicationName": ""}]},
                {"template": 265, "records": "aa"}, // of which nothing was defined
            ]},
        });
        assert_eq!(shown, expected);
    }

    #[test]
    fn lists_in_lists_end_where_they_are_too_deep() {
        // A basicList of basicLists, each the only element of the one before it.
        let mut list = vec![3, 0, 4, 0, 1, 6];
        for _ in 0..6 {
            list = [&[3, 1, 35, 0xff, 0xff, list.len() as u8][..], &list].concat();
        }
        let template = [0, 2, 0, 12, 1, 0, 0, 1, 1, 35, 0xff, 0xff];
        let data = [&[1, 0, 0, 5 + list.len() as u8, list.len() as u8][..], &list].concat();
        let mut shown = &record(&ipfix(&[&template, &data]))["basicList"];
        for _ in 0..4 {
            shown = &shown["values"][0];
        }
        assert!(shown.as_str().is_some_and(|octets| octets.ends_with("030004000106")), "{shown}");
    }

    #[test]
    fn garbage_is_a_note_and_no_line() {
        let mut raw = Raw::new(Vec::new());
        raw.feed(&datagram(b"garbage")).unwrap();
        assert!(raw.out.is_empty());
        assert_eq!(raw.notes().as_deref(), Some("1 datagrams were not, or not wholly, decoded"));
    }
}
