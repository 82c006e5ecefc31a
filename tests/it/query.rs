//! `helios query` and filters against an engine: what they say is what independent statements say.

use std::process::{Command, Output};

use helios_common::columns::{
    AS_PATH, BYTES, DST_PORT, ETHER_TYPE, EXPORTER_NAME, FLOW_DIRECTION, FLOW_END, FLOW_START, IN_IF_INDEX,
    LARGE_COMMUNITIES, PACKETS, PROTO, SRC_ADDR, SRC_MAC, SRC_PORT, TCP_FLAGS,
};
use helios_common::exporter::{ExporterId, mapped};
use helios_common::flow::FlowBatch;
use helios_common::names::Names;
use helios_query::Filter;
use helios_testkit::Engine;
use serde_json::Value;

use crate::running::Helios;

/// An engine with the tables.
fn engine() -> Engine {
    let engine = Engine::start();
    drop(Helios::ready(&engine.url(), &[]));
    engine
}

fn query(engine: &Engine, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_helios"));
    command.args(["query", "--clickhouse-url", &engine.url()]).args(arguments).output().unwrap()
}

fn json(engine: &Engine, arguments: &[&str]) -> Value {
    let output = query(engine, &[arguments, &["--format", "json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// One TCP flow of 10 packets and 1,500 octets within two seconds, as a batch and as a row of the table.
fn one_flow(engine: &Engine, names: &Names) -> FlowBatch {
    let mut batch = FlowBatch::new();
    batch.set(SRC_ADDR, mapped([10, 1, 2, 3]));
    batch.set(SRC_PORT, 50_000);
    batch.set(DST_PORT, 443);
    batch.set(PROTO, 6);
    batch.set(ETHER_TYPE, 0x0800);
    batch.set(TCP_FLAGS, 0x1b);
    batch.set(BYTES, 1500);
    batch.set(PACKETS, 10);
    batch.set(FLOW_START, 1_000);
    batch.set(FLOW_END, 3_000);
    batch.set(FLOW_DIRECTION, 1);
    batch.set(IN_IF_INDEX, 7);
    batch.set(SRC_MAC, 0x0012_3456_789a);
    batch.set(EXPORTER_NAME, names.intern("fra-core_1 'a'"));
    batch.open_list(AS_PATH).push([64_500, 64_501]);
    batch.open_list(LARGE_COMMUNITIES).push([(64_500_u128 << 64 | 1 << 32 | 2).to_le_bytes()]);
    batch.advance(1, ExporterId(0));
    engine.query(
        "INSERT INTO helios.flows (received_at, src_addr, src_port, dst_port, proto, ether_type, tcp_flags, bytes, packets,
         flow_start, flow_end, flow_direction, in_if_index, src_mac, exporter_name, as_path, large_communities)
         SELECT now() - 5, toIPv6('10.1.2.3'), 50000, 443, 6, 2048, 27, 1500, 10, fromUnixTimestamp64Milli(1000),
         fromUnixTimestamp64Milli(3000), 'ingress', 7, 78187493530, 'fra-core_1 \\'a\\'', [64500, 64501],
         [bitShiftLeft(toUInt128(64500), 64) + bitShiftLeft(toUInt128(1), 32) + 2]",
    );
    batch
}

/// Every kind of test that the language has, and whether the flow passes it.
const CASES: &[(&str, bool)] = &[
    ("any", true),
    ("src in 10.0.0.0/8 and dport 443 and not proto udp", true),
    ("src in (192.0.2.0/24, 10.1.2.0-10.1.2.2)", false),
    ("src 10.1.2.3", true),
    ("net 0.0.0.0/0", true),
    ("dst net 10.0.0.0/8", false),
    ("dst ::", true),
    ("port 443", true),
    ("port != 443", false),
    ("port in (80, 443, 60000-65000)", true),
    ("sport 49152-65535", true),
    ("dport < 443", false),
    ("dport <= 443", true),
    ("dport < 0", false),
    ("flags SA", true),
    ("flags U", false),
    ("not flags UR", true),
    ("not flags AR", false),
    ("ipv4", true),
    ("ipv6", false),
    ("bytes > 1k and bytes < 2k", true),
    ("duration 2000", true),
    ("bps 6000", true),
    ("pps 5", true),
    ("bpp 150", true),
    ("exporter fra-*", true),
    ("exporter fra-core?1*", false),
    ("exporter \"fra-core_1 'a'\"", true),
    ("exporter (a 'b')", false),
    ("exporter 192.0.2.1", false),
    ("direction ingress", true),
    ("direction in (egress, unknown)", false),
    ("in if 7", true),
    ("in if xe-0/0/0", false),
    ("if 7", true),
    ("src mac 00:12:34:56:78:9a", true),
    ("as_path 64501", true),
    ("as_path in (64502, 64503)", false),
    ("large_communities 64500:1:2", true),
    ("communities 64500:100", false),
    ("application ''", true),
    ("src country de", false),
    ("not (udp or (tcp and dport 80))", true),
];

#[test]
fn a_filter_takes_the_same_flow_in_memory_and_in_clickhouse() {
    let (engine, names) = (engine(), Names::new());
    let batch = one_flow(&engine, &names);
    for (text, passes) in CASES {
        let filter = Filter::parse(text).unwrap();
        assert_eq!(filter.matches(&batch, &names.read(), 0), *passes, "in memory: {text}");
        let count = engine.query(&format!("SELECT count() FROM helios.flows AS f WHERE {}", filter.sql("f")));
        assert_eq!(count.trim() == "1", *passes, "in ClickHouse: {text}: {}", filter.sql("f"));
    }
}

#[test]
fn every_table_that_can_answer_answers_alike() {
    let engine = engine();
    // 3 hours of flows of 5 source AS, sampled 1 in 10, from the start of an hour: whole buckets in every table.
    engine.query(
        "INSERT INTO helios.flows (received_at, exporter_name, src_as, dst_as, proto, bytes, packets, sampling_interval)
         SELECT toStartOfHour(now()) - INTERVAL 4 HOUR + toIntervalSecond(number), 'edge', 64500 + number % 5, 64600, 6,
         number, 1, 10 FROM numbers(10800)",
    );
    let hours = engine.query(
        "SELECT formatDateTime(toStartOfHour(now()) - INTERVAL 4 HOUR, '%FT%TZ', 'UTC'),
                formatDateTime(toStartOfHour(now()) - INTERVAL 1 HOUR, '%FT%TZ', 'UTC')",
    );
    let (from, to) = hours.trim().split_once('\t').unwrap();
    let sums = |table: &str| {
        let time = ["--from", from, "--to", to, "--top", "2"];
        let keys = ["--by", "src_as", "--filter", "exporter edge and tcp", "--table", table];
        let mut answer = json(&engine, &[&time[..], &keys[..]].concat());
        assert_eq!(answer["table"], table);
        // The course has as many points as the table has buckets.
        for row in answer["rows"].as_array_mut().unwrap() {
            let course = row.as_object_mut().unwrap().remove("course").unwrap();
            let sum: u64 = course.as_array().unwrap().iter().map(|point| point.as_u64().unwrap()).sum();
            assert_eq!(sum, row["bytes"].as_u64().unwrap(), "{table}");
        }
        let answer = answer.as_object_mut().unwrap();
        answer.remove("table");
        Value::Object(answer.clone())
    };
    let flows = sums("flows");
    // The numbers of one AS are an arithmetic progression: 4, 9, ... 10799 for the last, times 10.
    let bytes = |first: u64| (0..2160).map(|n| first + 5 * n).sum::<u64>() * 10;
    assert_eq!(
        flows["rows"][0],
        serde_json::json!({"src_as": 64504, "bytes": bytes(4), "packets": 21600, "flows": 2160})
    );
    assert_eq!(flows["rows"][1]["bytes"], bytes(3));
    assert_eq!(flows["other"]["bytes"], bytes(0) + bytes(1) + bytes(2));
    assert_eq!((&flows["other"]["keys"], &flows["total"]["keys"]), (&Value::from(3), &Value::from(5)));
    assert_eq!(flows, sums("flows_1m"));
    assert_eq!(flows, sums("flows_1h"));
}

#[test]
fn the_busiest_and_the_rest_are_what_flows_have() {
    let engine = engine();
    // An hour of 80 hosts of two exporters: a minute of an exporter lists 50 of them at the most.
    engine.query(
        "INSERT INTO helios.flows (received_at, exporter_name, src_addr, dst_addr, proto, src_port, dst_port, bytes, packets, sampling_interval)
         SELECT toStartOfHour(now()) - INTERVAL 3 HOUR + toIntervalSecond(number % 3600), if(number % 2 = 0, 'a', 'b'),
         toIPv6('10.0.0.' || toString(number % 81)), toIPv6('10.1.0.1'), 6, 40000, 443, 100 * (number % 81) + 1, 1, 10 FROM numbers(72000)",
    );
    // As Helios writes them with its blocks; a view makes no rows of pairs and services.
    engine.query(
        "INSERT INTO helios.talkers_1m (received_at, exporter_name, side, host, peer, proto, port, bytes, packets, flows)
         SELECT toStartOfMinute(received_at), exporter_name, 'pair', src_addr, dst_addr, 0, 0,
         sum(bytes * sampling_interval), sum(packets * sampling_interval), count() FROM helios.flows GROUP BY ALL",
    );
    let ends = engine.query(
        "SELECT formatDateTime(toStartOfHour(now()) - INTERVAL 3 HOUR, '%FT%TZ', 'UTC'),
                formatDateTime(toStartOfHour(now()) - INTERVAL 2 HOUR, '%FT%TZ', 'UTC')",
    );
    let (from, to) = ends.trim().split_once('\t').unwrap();
    let ask = |by: &str, filter: &str, table: &[&str]| {
        let asked = ["--from", from, "--to", to, "--top", "5", "--by", by, "--filter", filter];
        json(&engine, &[&asked[..], table].concat())
    };
    let sum = |condition: &str| -> u64 {
        let sum = format!("SELECT sum(bytes * sampling_interval) FROM helios.flows WHERE {condition}");
        engine.query(&sum).trim().parse().unwrap()
    };
    for (filter, condition) in [("", "1"), ("exporter a", "exporter_name = 'a'")] {
        for (by, table) in [("src", "talkers_1m"), ("dst", "talkers_1m"), ("pair", "talkers_1h")] {
            let chosen = ["--table", table];
            let answer = ask(by, filter, if table == "talkers_1h" { &chosen[..] } else { &[] });
            assert_eq!(answer["table"], table);
            assert_eq!(answer["total"]["bytes"], sum(condition), "{by} {filter}");
            let listed: u64 = answer["rows"].as_array().unwrap().iter().map(|row| row["bytes"].as_u64().unwrap()).sum();
            let other = answer["other"]["bytes"].as_u64().unwrap_or(0);
            assert_eq!(listed + other, sum(condition), "{by} {filter}");
        }
    }
    // The busiest sender is in every minute's list, so its figure is exact, and its course has all of it.
    let answer = ask("src", "", &[]);
    assert_eq!(answer["rows"][0]["src_addr"], "10.0.0.80");
    assert_eq!(answer["rows"][0]["bytes"], sum("src_addr = toIPv6('10.0.0.80')"));
    let course = answer["rows"][0]["course"].as_array().unwrap();
    assert_eq!(course.iter().map(|point| point.as_u64().unwrap()).sum::<u64>(), sum("src_addr = toIPv6('10.0.0.80')"));
    assert_eq!(ask("src", "dport 443", &[])["table"], "flows");
}

#[test]
fn a_question_says_which_table_answered_and_what_it_cannot_answer() {
    let engine = engine();
    let (names, said) = (Names::new(), |output: &Output| String::from_utf8(output.stderr.clone()).unwrap());
    one_flow(&engine, &names);
    let output = query(&engine, &["--by", "port", "--last", "14m"]);
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(text.starts_with("PROTOCOL  PORT") && text.contains("tcp       443   1.50 k"), "{text}");
    assert!(said(&output).starts_with("helios: from flows, "), "{}", said(&output));
    let output = query(&engine, &["--by", "src,dport", "--last", "30d"]);
    assert!(said(&output).contains("flows keeps 7 days: the answer has no older flows"), "{}", said(&output));
    let output = query(&engine, &["--by", "src", "--table", "flows_1h"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(said(&output).contains("flows_1h has no column src_addr"), "{}", said(&output));
    let output = query(&engine, &["--filter", "dprt 443"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(
        said(&output).contains("--filter: unknown field dprt; did you mean dport?\n  dprt 443\n  ^^^^"),
        "{}",
        said(&output)
    );
    let output = query(&engine, &["--by", "src", "--format", "csv"]);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "src_addr,bytes,packets,flows\r\n10.1.2.3,1500,10,1\r\n");
}
