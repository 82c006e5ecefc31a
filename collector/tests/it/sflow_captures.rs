//! Real captures: sFlow messages and sampled headers against what independent decoders read in them.
//!
//! The captures are other projects' and are not part of this one. They are looked for in `$HELIOS_CAPTURES` and
//! beside the workspace; where they are missing nothing is compared, and the tests say that they ran 0 of them.
//!
//! Where a publisher's reading is not followed (see [`PEER_DIFFERENCES`]): what is a column there has another
//! meaning here.

use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use etherparse::{LaxSlicedPacket, TransportSlice};
use helios_collector::decode::packet::{Decapsulate, Link, Packet, dissect};
use helios_collector::decode::sflow5::SampleCounts;
use helios_common::columns::*;
use helios_common::exporter::{Address, address_of, ip_of};
use helios_common::flow::FlowBatch;
use serde_json::Value as Json;

/// Fields of a publisher's reading that mean something else here, with the reason.
const PEER_DIFFERENCES: [(&str, &str, &str); 1] = [(
    "ak-sflow-expanded-sample",
    "DstVlan",
    "the frame's own tag is the VLAN of the packet as it was sampled; what it went out by only the switch record tells",
)];

fn captures() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/captures");
    let folder = std::env::var_os("HELIOS_CAPTURES").map_or_else(beside, PathBuf::from);
    folder.join("expected.json").exists().then_some(folder)
}

/// Runs `test` on the captures' folder and its `expected.json`; says how many captures it compared.
fn with_captures(name: &str, test: impl Fn(&Path, &Json) -> usize) {
    let ran = captures().map_or(0, |folder| {
        let expected = std::fs::read_to_string(folder.join("expected.json")).expect("it exists");
        test(&folder, &serde_json::from_str(&expected).expect("it is JSON"))
    });
    // Past the test harness, which keeps what a passing test prints to itself.
    let _ = writeln!(std::io::stderr(), "{name}: {ran} captures compared");
}

/// The packets of a classic little-endian pcap file: a header of 24 octets, then 16 octets before each packet, of
/// which the third word is the length that was captured.
fn packets(path: &Path) -> Vec<Vec<u8>> {
    let file = std::fs::read(path).expect("a capture that can be read");
    assert_eq!(file.first_chunk(), Some(&[0xd4, 0xc3, 0xb2, 0xa1]), "{}", path.display());
    let mut packets = Vec::new();
    let mut rest = &file[24..];
    while let Some((head, octets)) = rest.split_at_checked(16) {
        let length = u32::from_le_bytes([head[8], head[9], head[10], head[11]]) as usize;
        packets.push(octets[..length].to_vec());
        rest = &octets[length..];
    }
    packets
}

/// The UDP payloads of a capture. A datagram ends where its UDP header says, whatever IP says.
fn datagrams(path: &Path) -> Vec<Vec<u8>> {
    let payload = |frame: &Vec<u8>| match LaxSlicedPacket::from_ethernet(frame).ok()?.transport? {
        TransportSlice::Udp(udp) => Some(udp.payload().to_vec()),
        _ => None,
    };
    packets(path).iter().filter_map(payload).collect()
}

/// The sFlow cases, by name.
fn sflow_cases(expected: &Json) -> impl Iterator<Item = (&String, &Json)> {
    let cases = expected["cases"].as_object().expect("cases").iter();
    cases.filter(|(_, case)| case["expected"].get("sflow_v5").is_some())
}

fn capture_of(folder: &Path, case: &Json) -> PathBuf {
    folder.join(case["capture"].as_str().expect("a path"))
}

/// All datagrams of a capture in one batch; malformed ones leave nothing.
fn decode_capture(path: &Path, decapsulate: Decapsulate) -> (FlowBatch, SampleCounts, u32) {
    let mut out = FlowBatch::new();
    let mut total = SampleCounts::default();
    let mut n = 0;
    for datagram in datagrams(path) {
        n += 1;
        let mark = out.mark();
        match crate::sflow_compare::decode(&datagram, decapsulate, &mut out) {
            Ok((_, counts)) => add(&mut total, &counts),
            Err(_) => out.truncate(mark),
        }
    }
    (out, total, n)
}

fn add(total: &mut SampleCounts, counts: &SampleCounts) {
    total.samples += counts.samples;
    total.flow_samples += counts.flow_samples;
    total.expanded_flow_samples += counts.expanded_flow_samples;
    total.counter_samples += counts.counter_samples;
    total.expanded_counter_samples += counts.expanded_counter_samples;
    total.other_samples += counts.other_samples;
    total.malformed_samples += counts.malformed_samples;
    total.malformed_records += counts.malformed_records;
    total.frame_bytes += counts.frame_bytes;
    total.frame_bytes_scaled += counts.frame_bytes_scaled;
    total.rows += counts.rows;
}

fn parse_address(text: &Json) -> Option<Address> {
    let ip: IpAddr = text.as_str()?.parse().expect("an address");
    Some(address_of(ip))
}

#[test]
fn counters_of_sflow_captures_are_those_of_independent_decoders() {
    with_captures("sFlow counters", |folder, expected| {
        let mut ran = 0;
        for (name, case) in sflow_cases(expected) {
            let want = &case["expected"]["sflow_v5"];
            let (out, counts, n_datagrams) = decode_capture(&capture_of(folder, case), Decapsulate::NONE);
            let value = |key: &str| want[key]["value"].as_u64().expect("a number");
            for (key, got) in [
                ("datagrams", u64::from(n_datagrams)),
                ("samples", u64::from(counts.samples)),
                ("flow_samples", u64::from(counts.flow_samples)),
                ("expanded_flow_samples", u64::from(counts.expanded_flow_samples)),
                ("counter_samples", u64::from(counts.counter_samples)),
                ("expanded_counter_samples", u64::from(counts.expanded_counter_samples)),
                ("other_samples", u64::from(counts.other_samples)),
                ("sum_frame_length", counts.frame_bytes),
                ("sum_frame_length_x_rate", counts.frame_bytes_scaled),
            ] {
                assert_eq!(got, value(key), "{name}: {key}");
            }
            assert_eq!((counts.malformed_samples, counts.malformed_records), (0, 0), "{name}");
            if let Some(first) = want.get("first_record") {
                compare_first_record(name, first, &out);
            }
            ran += 1;
        }
        assert!(ran >= 15, "expected.json has lost its sFlow cases");
        ran
    });
}

fn compare_first_record(name: &str, want: &Json, out: &FlowBatch) {
    assert_eq!(Some(out.get(SRC_ADDR, 0)), parse_address(&want["src"]), "{name}: source");
    assert_eq!(Some(out.get(DST_ADDR, 0)), parse_address(&want["dst"]), "{name}: destination");
    for (key, got) in [
        ("sport", u64::from(out.get(SRC_PORT, 0))),
        ("dport", u64::from(out.get(DST_PORT, 0))),
        ("proto", u64::from(out.get(PROTO, 0))),
        ("frame_length", u64::from(out.get(FRAME_LENGTH, 0))),
        ("rate", u64::from(out.get(SAMPLING_INTERVAL, 0))),
    ] {
        assert_eq!(got, want[key].as_u64().unwrap_or(0), "{name}: {key}");
    }
    if let Some(vlan) = want["vlan"].as_array().and_then(|tags| tags.first()) {
        assert_eq!(Some(u64::from(out.get(SRC_VLAN, 0))), vlan.as_u64(), "{name}: VLAN");
    }
}

#[test]
fn rows_of_sflow_captures_are_what_their_publishers_read() {
    with_captures("sFlow rows", |folder, expected| {
        let mut ran = 0;
        for (name, case) in sflow_cases(expected) {
            let path = capture_of(folder, case);
            let peer = path.with_file_name("peer");
            let files = std::fs::read_dir(peer).into_iter().flatten().map(|entry| entry.expect("a file").path());
            for file in files.filter(|file| file.extension().is_some_and(|extension| extension == "json")) {
                let text = std::fs::read_to_string(&file).expect("a file that can be read");
                let reading: Json = serde_json::from_str(&text).expect("JSON");
                // The publisher takes tunnels apart in the one case that is named after it.
                let decapsulate = if name.contains("encap") { Decapsulate::ALL } else { Decapsulate::NONE };
                let (out, ..) = decode_capture(&path, decapsulate);
                let flows = reading["expected_flows"].as_array().expect("flows");
                assert_eq!(out.rows(), flows.len(), "{name}");
                for (row, flow) in flows.iter().enumerate() {
                    compare_flow(name, flow, &out, row);
                }
                ran += 1;
            }
        }
        ran
    });
}

fn compare_flow(name: &str, flow: &Json, out: &FlowBatch, row: usize) {
    for (field, want) in flow.as_object().expect("an object") {
        let differs = |(case, known, _): &(&str, &str, &str)| *case == name && known == field;
        if PEER_DIFFERENCES.iter().any(differs) || field == "IPFragmentID" {
            continue;
        }
        let address = |col: Col<Address>| Json::from(ip_of(out.get(col, row)).to_string());
        let got = match field.as_str() {
            "SamplingRate" => Json::from(out.get(SAMPLING_INTERVAL, row)),
            "InIf" => Json::from(out.get(IN_IF_INDEX, row)),
            "OutIf" => Json::from(out.get(OUT_IF_INDEX, row)),
            "SrcVlan" => Json::from(out.get(SRC_VLAN, row)),
            "DstVlan" => Json::from(out.get(DST_VLAN, row)),
            "SrcAddr" => address(SRC_ADDR),
            "DstAddr" => address(DST_ADDR),
            "ExporterAddress" => address(EXPORTER_ADDRESS),
            "NextHop" => address(NEXT_HOP),
            "SrcAS" => Json::from(out.get(SRC_AS, row)),
            "DstAS" => Json::from(out.get(DST_AS, row)),
            "SrcNetMask" => Json::from(out.get(SRC_MASK, row)),
            "DstNetMask" => Json::from(out.get(DST_MASK, row)),
            "DstASPath" => Json::from(out.list(AS_PATH, row)),
            "DstCommunities" => Json::from(out.list(COMMUNITIES, row)),
            "Bytes" => Json::from(out.get(BYTES, row)),
            "Packets" => Json::from(out.get(PACKETS, row)),
            "EType" => Json::from(out.get(ETHER_TYPE, row)),
            "Proto" => Json::from(out.get(PROTO, row)),
            "SrcPort" => Json::from(out.get(SRC_PORT, row)),
            "DstPort" => Json::from(out.get(DST_PORT, row)),
            "SrcMAC" => Json::from(out.get(SRC_MAC, row)),
            "DstMAC" => Json::from(out.get(DST_MAC, row)),
            "IPTTL" => Json::from(out.get(TTL, row)),
            "IPTos" => Json::from(out.get(TOS, row)),
            "IPv6FlowLabel" => Json::from(out.get(IPV6_FLOW_LABEL, row)),
            "TCPFlags" => Json::from(out.get(TCP_FLAGS, row)),
            "ICMPv4Type" | "ICMPv6Type" => Json::from(out.get(ICMP_TYPE, row)),
            other => unreachable!("{name}: the publisher's field {other} is not compared"),
        };
        assert_eq!(&got, want, "{name}, row {row}: {field}");
    }
}

#[test]
fn discarded_packets_of_captures_are_rows() {
    with_captures("sFlow discarded packets", |folder, expected| {
        let mut ran = 0;
        for (name, case) in sflow_cases(expected).filter(|(name, _)| name.contains("drop")) {
            let (out, ..) = decode_capture(&capture_of(folder, case), Decapsulate::ALL);
            // Reason 1, host unreachable: "dropped, adjacency". From interface 1, meant for interface 2.
            assert_eq!((out.rows(), out.get(FORWARDING_STATUS, 0), out.get(PACKETS, 0)), (1, 132, 1), "{name}");
            assert_eq!(
                (out.get(IN_IF_INDEX, 0), out.get(OUT_IF_INDEX, 0), out.get(FLOW_DIRECTION, 0)),
                (1, 2, 1),
                "{name}"
            );
            assert_eq!(
                (ip_of(out.get(EXPORTER_ADDRESS, 0)).to_string().as_str(), out.get(OBSERVATION_DOMAIN_ID, 0)),
                ("192.168.119.184", 100_000)
            );
            ran += 1;
        }
        ran
    });
}

#[test]
fn captured_messages_are_read_as_the_other_decoder_reads_them() {
    with_captures("sFlow, second decoder", |folder, expected| {
        let mut compared = 0;
        for (_, case) in sflow_cases(expected) {
            let messages = datagrams(&capture_of(folder, case));
            compared += usize::from(messages.iter().any(|message| crate::sflow_compare::compare(message).is_some()));
        }
        // All but the three captures of discarded packets and the one that is cut in its header.
        assert!(compared >= 12, "only {compared} captures are accepted by the other decoder");
        compared
    });
}

#[test]
fn captured_messages_cut_anywhere_leave_rows_and_counts_in_step() {
    with_captures("sFlow, cut anywhere", |folder, expected| {
        let mut ran = 0;
        for (name, case) in sflow_cases(expected) {
            for message in datagrams(&capture_of(folder, case)) {
                for cut in 0..message.len() {
                    let mut out = FlowBatch::new();
                    if let Ok((_, counts)) = crate::sflow_compare::decode(&message[..cut], Decapsulate::ALL, &mut out) {
                        assert_eq!(out.rows(), counts.rows as usize, "{name}, cut at {cut}");
                    }
                }
            }
            ran += 1;
        }
        ran
    });
}

#[test]
fn sampled_headers_are_taken_apart_as_independent_decoders_do() {
    with_captures("sampled headers", |folder, expected| {
        let headers = expected["sampled_headers"].as_object().expect("headers");
        for (name, want) in headers {
            let frames = packets(&folder.join("sampled-headers").join(name));
            let frame = frames.first().expect("a packet");
            let decapsulate = match want["decapsulation"].as_str() {
                Some("none") => Decapsulate::NONE,
                Some(other) => Decapsulate::by_name(&other.to_lowercase()).expect("a tunnel type"),
                None => unreachable!("{name}: no decapsulation"),
            };
            let mut got = Packet::default();
            dissect(Link::Ethernet, frame, decapsulate, &mut got);
            compare_header(name, want, &got);
        }
        headers.len()
    });
}

fn compare_header(name: &str, want: &Json, got: &Packet) {
    let inner = &want["innermost"];
    let address = |key: &str| parse_address(&inner[key]).unwrap_or_default();
    assert_eq!((got.src_addr, got.dst_addr), (address("src"), address("dst")), "{name}");
    for (key, got) in [("sport", got.src_port), ("dport", got.dst_port), ("proto", u16::from(got.proto))] {
        assert_eq!(u64::from(got), inner[key].as_u64().unwrap_or(0), "{name}: {key}");
    }
    assert_eq!(Some(u64::from(got.layer3_length)), want["l3_length"].as_u64(), "{name}: length");

    let numbers = |key: &str| -> Vec<u32> {
        let list = want["tshark"][key].as_str().expect("a list").split(',').filter(|item| !item.is_empty());
        list.map(|item| item.parse().expect("a number")).collect()
    };
    assert_eq!(got.labels(), numbers("mpls_labels"), "{name}: labels");
    assert_eq!(u32::from(got.vlan), numbers("vlan").first().copied().unwrap_or(0), "{name}: VLAN");
    if want["decapsulation"] != "none" {
        let outer = |key: &str| want["tshark"][key].as_str().and_then(|list| list.split(',').next()).map(Json::from);
        assert_eq!(Some(got.outer_src_addr), outer("ip_src").and_then(|ip| parse_address(&ip)), "{name}: outer source");
        assert_eq!(
            Some(got.outer_dst_addr),
            outer("ip_dst").and_then(|ip| parse_address(&ip)),
            "{name}: outer destination"
        );
    }
}
