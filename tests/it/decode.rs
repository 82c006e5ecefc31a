//! `helios decode` on a capture that the test writes.

use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use helios_collector::encode::netflow5::{self, Record};
use helios_collector::encode::{field, ipfix};
use helios_lab::capture::Writer;
use serde_json::{Value, json};

/// 2026-11-22T21:00:00.250Z.
const RECEIVED_NS: u64 = 1_795_381_200_250_000_000;

struct Capture {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

fn capture(datagrams: &[(&str, Vec<u8>)]) -> Capture {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("capture.pcap");
    let mut writer = Writer::new(std::fs::File::create(&path).unwrap()).unwrap();
    let collector: SocketAddr = "192.0.2.250:2055".parse().unwrap();
    for (exporter, octets) in datagrams {
        writer.datagram(RECEIVED_NS, format!("{exporter}:2055").parse().unwrap(), collector, octets).unwrap();
    }
    Capture { _directory: directory, path }
}

fn netflow5(records: &[Record]) -> Vec<u8> {
    let mut octets = Vec::new();
    netflow5::message(&netflow5::Header::default(), records, &mut octets);
    octets
}

fn record(last: u8, bytes: u32) -> Record {
    Record {
        src_addr: [10, 0, 0, last],
        dst_addr: [198, 51, 100, 1],
        src_port: 40_000,
        dst_port: 443,
        proto: 6,
        packets: 2,
        octets: bytes,
        ..Record::default()
    }
}

/// Template 256: sourceIPv4Address, octetDeltaCount of four octets; and a set of `addresses` for it.
fn ipfix(with_template: bool, addresses: &[[u8; 4]]) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut message = ipfix::Message::begin(&ipfix::Header::default(), &mut octets);
    if with_template {
        message.template(256, &[field(8, 4), field(1, 4)]);
    }
    if !addresses.is_empty() {
        message.data(256, |out| {
            for address in addresses {
                out.extend(address);
                out.extend(100_u32.to_be_bytes());
            }
        });
    }
    octets
}

fn decode(capture: &Capture, arguments: &[&str]) -> (String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_helios"));
    let output = command.arg("decode").args(arguments).arg(&capture.path).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{stderr}");
    (stdout, stderr)
}

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn rows_are_json_lines_with_the_names_of_the_columns() {
    let capture = capture(&[("192.0.2.1", netflow5(&[record(1, 1500), record(2, 60)]))]);
    let (stdout, stderr) = decode(&capture, &[]);
    let rows = rows(&stdout);
    assert_eq!((rows.len(), stderr.as_str()), (2, ""));
    let expected = [
        ("received_at", json!("2026-11-22T21:00:00.250Z")),
        ("exporter_address", json!("192.0.2.1")),
        ("export_protocol", json!("netflow5")),
        ("src_addr", json!("10.0.0.1")),
        ("dst_addr", json!("198.51.100.1")),
        ("src_port", json!(40_000)),
        ("dst_port", json!(443)),
        ("proto", json!(6)),
        ("packets", json!(2)),
        ("bytes", json!(1500)),
    ];
    for (column, value) in expected {
        assert_eq!(rows[0][column], value, "{column}");
    }
    assert!(rows[0].get("src_mac").is_none() && rows[0].get("held").is_none(), "{}", rows[0]);
}

#[test]
fn a_summary_counts_by_protocol() {
    let datagrams = [
        ("192.0.2.1", netflow5(&[record(1, 1500), record(2, 60)])),
        ("192.0.2.2", ipfix(true, &[[10, 0, 0, 1]])),
        ("192.0.2.2", ipfix(false, &[[10, 0, 0, 2], [10, 0, 0, 3]])),
    ];
    let (stdout, _) = decode(&capture(&datagrams), &["--summary"]);
    let summary: Value = serde_json::from_str(&stdout).unwrap();
    let expected = json!({
        "ipfix": {"datagrams": 2, "templates": 1, "options_templates": 0, "data_records": 3, "options_records": 0,
            "sets_without_template": 0, "held_records": 0, "bytes": 300, "packets": 0},
        "netflow5": {"datagrams": 1, "templates": 0, "options_templates": 0, "data_records": 2, "options_records": 0,
            "sets_without_template": 0, "held_records": 0, "bytes": 1560, "packets": 4},
    });
    assert_eq!(summary, expected);
}

#[test]
fn data_before_its_template_is_held_and_marked() {
    let datagrams = [("192.0.2.2", ipfix(false, &[[10, 0, 0, 1]])), ("192.0.2.2", ipfix(true, &[[10, 0, 0, 2]]))];
    let capture = capture(&datagrams);
    let rows = rows(&decode(&capture, &[]).0);
    let shown: Vec<_> = rows.iter().map(|row| (row["src_addr"].as_str().unwrap(), row.get("held"))).collect();
    assert_eq!(shown, [("10.0.0.2", None), ("10.0.0.1", Some(&json!(true)))]);
    let summary: Value = serde_json::from_str(&decode(&capture, &["--summary"]).0).unwrap();
    let counters = &summary["ipfix"];
    assert_eq!((&counters["sets_without_template"], &counters["held_records"]), (&json!(1), &json!(1)));
    assert_eq!((&counters["data_records"], &counters["bytes"]), (&json!(1), &json!(100)));
}

#[test]
fn templates_are_kept_apart_by_exporter() {
    let datagrams = [("192.0.2.2", ipfix(true, &[])), ("192.0.2.3", ipfix(false, &[[10, 0, 0, 1]]))];
    let (stdout, _) = decode(&capture(&datagrams), &[]);
    assert_eq!(stdout, "");
}

#[test]
fn a_malformed_datagram_is_a_note_and_not_a_failure() {
    let mut cut = netflow5(&[record(1, 1500)]);
    cut.truncate(40);
    let capture = capture(&[("192.0.2.1", cut), ("192.0.2.1", b"garbage".to_vec())]);
    let (stdout, stderr) = decode(&capture, &[]);
    assert_eq!(stdout, "");
    assert_eq!(stderr.lines().filter(|line| line.starts_with("helios: 1 datagram discarded: ")).count(), 2, "{stderr}");
}

#[test]
fn a_list_that_cannot_be_read_is_a_note_and_its_record_stays() {
    // RFC 6313: template 256 of a basicList (291) of variable length and octetDeltaCount (1); the record's list ends
    // before its head does.
    let message = [
        &[0, 10, 0, 16 + 16 + 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1][..],
        &[0, 2, 0, 16, 1, 0, 0, 2, 1, 35, 0xff, 0xff, 0, 1, 0, 4],
        &[1, 0, 0, 12, 3, 3, 0, 8, 0, 0, 0, 100],
    ]
    .concat();
    let (stdout, stderr) = decode(&capture(&[("192.0.2.1", message)]), &["--columns", "bytes"]);
    assert_eq!(stdout.trim(), r#"{"bytes":100}"#);
    assert!(stderr.contains("1 list in records (RFC 6313) could not be read"), "{stderr}");
}

#[test]
fn tables_and_csv_have_the_chosen_columns() {
    let capture = capture(&[("192.0.2.1", netflow5(&[record(1, 1500), record(200, 60)]))]);
    let columns = ["--columns", "src_addr,bytes,application"];
    let (csv, _) = decode(&capture, &[&["--format", "csv"], &columns[..]].concat());
    assert_eq!(csv, "src_addr,bytes,application\n10.0.0.1,1500,\n10.0.0.200,60,\n");
    let (table, _) = decode(&capture, &[&["--format", "table"], &columns[..]].concat());
    assert_eq!(table, "src_addr    bytes  application\n10.0.0.1     1500\n10.0.0.200     60\n");
    let (json, _) = decode(&capture, &columns);
    assert_eq!(json.lines().next(), Some(r#"{"src_addr":"10.0.0.1","bytes":1500,"application":""}"#));
}

#[test]
fn raw_shows_fields_by_their_names_and_agrees_with_the_rows() {
    let capture = capture(&[("192.0.2.2", ipfix(true, &[[10, 0, 0, 1]]))]);
    let lines = rows(&decode(&capture, &["--raw"]).0);
    assert_eq!(lines[0]["fields"], json!([["sourceIPv4Address", 4], ["octetDeltaCount", 4]]));
    assert_eq!(lines[1]["fields"], json!({"sourceIPv4Address": "10.0.0.1", "octetDeltaCount": 100}));
}

#[test]
fn a_capture_can_come_through_a_pipe() {
    let capture = capture(&[("192.0.2.1", netflow5(&[record(1, 1500)]))]);
    let mut process = Command::new(env!("CARGO_BIN_EXE_helios"))
        .args(["decode", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    process.stdin.take().unwrap().write_all(&std::fs::read(&capture.path).unwrap()).unwrap();
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(rows(&String::from_utf8(output.stdout).unwrap())[0]["bytes"], json!(1500));
}

/// RFC 5655 §7: a file holds IPFIX messages, one behind the other, with the templates that its data need.
fn ipfix_file() -> (tempfile::TempDir, PathBuf, Vec<Vec<u8>>) {
    let mut messages = Vec::new();
    for (export_secs, domain, content) in
        [(1_700_000_000, 1, 0), (1_700_000_001, 1, 1), (1_700_000_060, 2, 2), (1_700_000_061, 1, 1)]
    {
        let mut octets = Vec::new();
        let header = ipfix::Header { export_secs, sequence: 0, observation_domain_id: domain };
        let mut message = ipfix::Message::begin(&header, &mut octets);
        let data = |last: u8| move |out: &mut Vec<u8>| out.extend([[10, 0, 0, last], [0, 0, 0, 100]].concat());
        match content {
            0 => message.template(256, &[field(8, 4), field(1, 4)]),
            1 => message.data(256, data(1)),
            // The same id in another domain is another template.
            _ => {
                message.template(256, &[field(12, 4), field(2, 4)]);
                message.data(256, data(2));
            }
        }
        messages.push(octets);
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("flows.ipfix");
    std::fs::write(&path, messages.concat()).unwrap();
    (directory, path, messages)
}

#[test]
fn an_ipfix_file_is_decoded_with_the_templates_in_it() {
    let (directory, path, messages) = ipfix_file();
    let file = Capture { _directory: directory, path };
    let (stdout, stderr) = decode(&file, &[]);
    let told: Vec<_> = rows(&stdout)
        .iter()
        .map(|row| {
            ["received_at", "src_addr", "dst_addr", "bytes", "packets", "observation_domain_id"]
                .map(|name| row[name].clone())
        })
        .collect();
    let row = |at: &str, src: Value, dst: Value, bytes: Value, packets: Value, domain: u32| {
        [json!(at), src, dst, bytes, packets, json!(domain)]
    };
    let (one, two) = (json!("10.0.0.1"), json!("10.0.0.2"));
    let expected = [
        row("2023-11-14T22:13:21.000Z", one.clone(), Value::Null, json!(100), Value::Null, 1),
        row("2023-11-14T22:14:20.000Z", Value::Null, two, Value::Null, json!(100), 2),
        row("2023-11-14T22:14:21.000Z", one, Value::Null, json!(100), Value::Null, 1),
    ];
    assert_eq!((told.as_slice(), stderr.as_str()), (&expected[..], ""));
    let (summary, _) = decode(&file, &["--summary"]);
    let summary: Value = serde_json::from_str(&summary).unwrap();
    assert_eq!((&summary["ipfix"]["datagrams"], &summary["ipfix"]["templates"]), (&json!(messages.len()), &json!(2)));
}

#[test]
fn an_ipfix_file_is_replayed_message_by_message() {
    let (_directory, path, messages) = ipfix_file();
    let collector = UdpSocket::bind("127.0.0.1:0").unwrap();
    collector.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let target = collector.local_addr().unwrap().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_helios"));
    let output = command.args(["replay", "--max", "--target", &target]).arg(&path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for message in messages {
        let mut octets = [0; 2048];
        let length = collector.recv(&mut octets).unwrap();
        assert_eq!(octets[..length], message);
    }
}

/// What is in front of a length that runs past its datagram is printed, and standard error says what is not.
#[test]
fn sets_and_samples_that_were_left_out_are_told() {
    let mut cut = ipfix(true, &[[10, 0, 0, 1]]);
    cut.extend([1, 0, 0, 200, 10, 0, 0, 2, 0, 0, 0, 1]);
    let length = cut.len() as u16;
    cut[2..4].copy_from_slice(&length.to_be_bytes());
    // An agent's message with one whole counter sample of the three that it announces.
    let words = [5_u32, 1, 0xc000_0209, 0, 1, 1, 3, 2, 12, 1, 3, 0, 2, 400, 1];
    let agent: Vec<u8> = words.into_iter().flat_map(u32::to_be_bytes).collect();
    let (stdout, stderr) = decode(&capture(&[("192.0.2.1", cut), ("192.0.2.9", agent)]), &[]);
    assert_eq!(rows(&stdout).len(), 1);
    let told = [
        "helios: 2 messages with lengths that contradict each other: what could be told was decoded",
        "helios: 1 set left out, with the rest of the message: longer than the datagram, or shorter than a header",
        "helios: 2 sFlow samples left out: the datagram ends before their end",
    ];
    assert_eq!(stderr.lines().collect::<Vec<_>>(), told);
}
