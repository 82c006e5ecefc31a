//! `helios decode` on a capture that the test writes.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

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
    assert_eq!(
        stderr.lines().filter(|line| line.starts_with("helios: 1 datagrams discarded: ")).count(),
        2,
        "{stderr}"
    );
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
    assert!(stderr.contains("1 lists in records (RFC 6313) could not be read"), "{stderr}");
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
