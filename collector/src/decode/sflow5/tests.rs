//! Messages from the specification's structures, word by word.

use helios_common::columns::*;
use helios_common::exporter::ip_of;

use super::super::Protocol;
use super::*;

const RECEIVED_MS: UnixMs = 1_700_000_000_123;

fn octets(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// A sample or record: format, length, contents.
fn tagged(format: u32, contents: &[u8]) -> Vec<u8> {
    [&octets(&[format, contents.len() as u32])[..], contents].concat()
}

/// A message of agent 192.0.2.9, sub-agent 7.
fn message(samples: &[Vec<u8>]) -> Vec<u8> {
    #[rustfmt::skip]
    let header = octets(&[
        5,                             // version
        1, 0xc000_0209,                // agent 192.0.2.9
        7, 1234, 56_000,               // sub-agent, sequence number, uptime
        samples.len() as u32,
    ]);
    [header, samples.concat()].concat()
}

/// A flow sample of interface 3, from interface 3 to 4, one in 512.
fn flow_sample(records: &[Vec<u8>]) -> Vec<u8> {
    flow_sample_between(3, 4, records)
}

fn flow_sample_between(input: u32, output: u32, records: &[Vec<u8>]) -> Vec<u8> {
    #[rustfmt::skip]
    let head = octets(&[
        99,                            // sequence number
        3,                             // data source: class 0 in the first octet, index 3
        512, 51_200, 0,                // sampling rate, sample pool, drops
        input, output,
        records.len() as u32,
    ]);
    tagged(1, &[head, records.concat()].concat())
}

/// A discarded packet that came in by interface 1 and was to go out by 2.
fn discarded_packet(reason: u32, records: &[Vec<u8>]) -> Vec<u8> {
    let head = octets(&[2, 0, 1, 256, 1, 2, reason, records.len() as u32]);
    tagged(5, &[head, records.concat()].concat())
}

/// TCP from 10.1.0.1:49152 to 10.2.0.2:443 in a frame of 1518 octets, check sequence stripped.
#[rustfmt::skip]
fn tcp_header() -> Vec<u8> {
    let mut record = octets(&[1, 1518, 4, 54]);
    record.extend([
        0x02, 0, 0, 0, 0, 0xdd,  0x02, 0, 0, 0, 0, 0x55,  0x08, 0x00,
        0x45, 0x20, 0x05, 0xdc,  0x12, 0x34, 0x40, 0x00,  63, 6, 0, 0,  10, 1, 0, 1,  10, 2, 0, 2,
        0xc0, 0x00, 0x01, 0xbb,  0, 0, 0, 1,  0, 0, 0, 2,  0x50, 0x18, 0xff, 0xff,  0, 0, 0, 0,
        0, 0,                          // padding to a word
    ]);
    tagged(1, &record)
}

/// A raw header of any octets.
fn raw_header(protocol: u32, frame_length: u32, stripped: u32, header: &[u8]) -> Vec<u8> {
    tagged(1, &[&octets(&[protocol, frame_length, stripped, header.len() as u32])[..], header].concat())
}

fn decode(datagram: &[u8], out: &mut FlowBatch) -> Result<SampleCounts, DecodeError> {
    let mut cursor = Cursor::new(datagram);
    let header = Header::parse(&mut cursor)?;
    let context = SampleContext {
        received_at: RECEIVED_MS,
        exporter: ExporterId(5),
        exporter_address: header.agent,
        socket_address: None,
        by_hand: None,
        decapsulate: Decapsulate::ALL,
    };
    let mut counters = Vec::new();
    let (counters, meters) = (&mut counters, &mut Meters::default());
    let mut output = Output { flows: out, counters, meters, room: true };
    let counts = decode_samples(cursor, &header, &context, &mut output)?;
    assert_eq!(counters.len(), counts.counter_rows as usize);
    Ok(counts)
}

#[track_caller]
fn rows(samples: &[Vec<u8>]) -> (FlowBatch, SampleCounts) {
    let mut out = FlowBatch::new();
    let counts = decode(&message(samples), &mut out).unwrap();
    assert_eq!(out.rows(), counts.rows as usize);
    (out, counts)
}

#[track_caller]
fn row_of(records: &[Vec<u8>]) -> FlowBatch {
    let (out, counts) = rows(&[flow_sample(records)]);
    assert_eq!((counts.rows, counts.malformed_samples, counts.malformed_records), (1, 0, 0));
    out
}

fn address_text(out: &FlowBatch, col: Col<Address>) -> String {
    ip_of(out.get(col, 0)).to_string()
}

#[test]
fn the_header_has_an_agent_of_either_family_or_none() {
    let cases: [(&[u32], Address); 3] = [
        (&[5, 1, 0xc000_0209, 7, 8, 9, 0], mapped([192, 0, 2, 9])),
        (&[5, 2, 0x2001_0db8, 0, 0, 1, 7, 8, 9, 0], [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
        (&[5, 0, 7, 8, 9, 0], NO_ADDRESS),
    ];
    for (words, agent) in cases {
        let octets = octets(words);
        let mut cursor = Cursor::new(&octets);
        let header = Header::parse(&mut cursor).unwrap();
        assert_eq!(header, Header { agent, sub_agent: 7, sequence: 8, uptime_ms: 9, n_samples: 0 });
        assert!(cursor.is_empty());
        for cut in 0..octets.len() {
            assert_eq!(Header::parse(&mut Cursor::new(&octets[..cut])), Err(DecodeError::Truncated), "cut at {cut}");
        }
    }
}

#[test]
fn what_is_not_version_5_is_refused() {
    let parse = |words: &[u32]| Header::parse(&mut Cursor::new(&octets(words)));
    assert_eq!(parse(&[4, 1, 0, 0, 0, 0, 0]), Err(DecodeError::UnknownVersion));
    assert_eq!(parse(&[5, 3, 0, 0, 0, 0, 0]), Err(DecodeError::UnknownAddressType));
}

#[test]
fn more_samples_than_octets_can_hold_are_a_bad_count() {
    let header = |n: u32, octets_left: usize| {
        let mut message = octets(&[5, 1, 0, 0, 0, 0, n]);
        message.resize(message.len() + octets_left, 0);
        Header::parse(&mut Cursor::new(&message)).map(|header| header.n_samples)
    };
    assert_eq!(header(2, 16), Ok(2));
    assert_eq!(header(2, 15), Err(DecodeError::BadCount));
    assert_eq!(header(MAX_SAMPLES, 1 << 16), Ok(MAX_SAMPLES));
    assert_eq!(header(MAX_SAMPLES + 1, 1 << 16), Err(DecodeError::TooMuchOutput));
}

#[test]
fn a_flow_sample_is_a_row() {
    let (out, counts) = rows(&[flow_sample(&[tcp_header()])]);
    assert_eq!(
        (out.get(RECEIVED_AT, 0), out.get(FLOW_START, 0), out.get(FLOW_END, 0)),
        (RECEIVED_MS, RECEIVED_MS, RECEIVED_MS)
    );
    assert_eq!((address_text(&out, EXPORTER_ADDRESS).as_str(), out.get(OBSERVATION_DOMAIN_ID, 0)), ("192.0.2.9", 7));
    assert_eq!(out.get(EXPORT_PROTOCOL, 0), Protocol::Sflow5 as u8);
    assert_eq!((out.get(PACKETS, 0), out.get(BYTES, 0), out.get(FRAME_LENGTH, 0)), (1, 1500, 1518));
    assert_eq!((out.get(SAMPLING_INTERVAL, 0), out.get(SAMPLING_SOURCE, 0)), (512, 1));
    assert_eq!((out.get(IN_IF_INDEX, 0), out.get(OUT_IF_INDEX, 0), out.get(FLOW_DIRECTION, 0)), (3, 4, 1));
    assert_eq!(
        (address_text(&out, SRC_ADDR).as_str(), address_text(&out, DST_ADDR).as_str()),
        ("10.1.0.1", "10.2.0.2")
    );
    assert_eq!((out.get(SRC_PORT, 0), out.get(DST_PORT, 0), out.get(PROTO, 0)), (49152, 443, 6));
    assert_eq!((out.get(TCP_FLAGS, 0), out.get(TOS, 0), out.get(TTL, 0)), (0x18, 0x20, 63));
    assert_eq!((out.get(SRC_MAC, 0), out.get(DST_MAC, 0)), (0x0200_0000_0055, 0x0200_0000_00dd));
    assert_eq!(out.get(ETHER_TYPE, 0), 0x0800);
    assert_eq!(out.runs().last().map(|run| run.exporter), Some(ExporterId(5)));
    let (frame_bytes, frame_bytes_scaled) = (1518, 1518 * 512);
    let expected =
        SampleCounts { samples: 1, flow_samples: 1, frame_bytes, frame_bytes_scaled, rows: 1, ..Default::default() };
    assert_eq!(counts, expected);
}

#[test]
fn columns_that_no_sample_fills_are_left_out() {
    let out = row_of(&[tcp_header()]);
    for col in [SRC_VLAN, DST_VLAN, INNER_VLAN, FRAGMENT_OFFSET] {
        assert!(!out.present().contains(col.column()), "{}", col.column().spec().name);
    }
    for column in
        [MPLS_LABELS.column(), AS_PATH.column(), NEXT_HOP.column(), FORWARDING_STATUS.column(), TUNNEL_TYPE.column()]
    {
        assert!(!out.present().contains(column), "{}", column.spec().name);
    }
}

#[test]
fn an_expanded_flow_sample_has_its_formats_apart() {
    #[rustfmt::skip]
    let head = octets(&[
        99,                            // sequence number
        0, 0x4ca3_f0d1,                // data source: class, index
        1000, 51_200, 0,               // sampling rate, sample pool, drops
        0, 29_001,                     // input: format, value
        0, 0x4ca3_f0d1,                // output: an ifIndex of 31 bits
        1,
    ]);
    let (out, counts) = rows(&[tagged(3, &[head, tcp_header()].concat())]);
    assert_eq!((out.get(IN_IF_INDEX, 0), out.get(OUT_IF_INDEX, 0)), (29_001, 0x4ca3_f0d1));
    assert_eq!((out.get(FLOW_DIRECTION, 0), out.get(SAMPLING_INTERVAL, 0)), (2, 1000));
    assert_eq!((counts.flow_samples, counts.expanded_flow_samples, counts.frame_bytes_scaled), (0, 1, 1_518_000));
}

#[test]
fn interfaces_are_indexes_only_in_format_0() {
    let between = |input, output| {
        let (out, _) = rows(&[flow_sample_between(input, output, &[tcp_header()])]);
        (out.get(IN_IF_INDEX, 0), out.get(OUT_IF_INDEX, 0), out.get(FORWARDING_STATUS, 0))
    };
    assert_eq!(between(0x3fff_ffff, 4), (0, 4, 0)); // from the device itself
    assert_eq!(between(3, 0x3fff_ffff), (3, 0, 0)); // to the device itself
    assert_eq!(between(3, 0x8000_0005), (3, 0, 0)); // to five interfaces
    assert_eq!(between(3, 0x4000_0102), (3, 0, 130)); // discarded: ACL
    assert_eq!(between(3, 0x4000_0100), (3, 0, 128)); // discarded: unknown
    assert_eq!(between(0x4000_0100, 4), (0, 4, 0)); // an input discards nothing
}

#[test]
fn a_rate_of_zero_is_no_rate() {
    let mut sample = flow_sample(&[tcp_header()]);
    sample[16..20].fill(0);
    let (out, counts) = rows(&[sample]);
    assert_eq!((out.get(SAMPLING_INTERVAL, 0), out.get(SAMPLING_SOURCE, 0)), (1, 0));
    assert_eq!((counts.frame_bytes, counts.frame_bytes_scaled), (1518, 1518));
}

#[test]
fn each_sample_has_its_own_rate() {
    let mut second = flow_sample(&[tcp_header()]);
    second[16..20].copy_from_slice(&2048_u32.to_be_bytes());
    let (out, counts) = rows(&[flow_sample(&[tcp_header()]), second]);
    assert_eq!(out.values(SAMPLING_INTERVAL), [512, 2048]);
    assert_eq!(counts.frame_bytes_scaled, 1518 * (512 + 2048));
}

#[test]
fn a_discarded_packet_is_a_row_that_was_dropped() {
    let (out, counts) = rows(&[discarded_packet(258, &[tcp_header()])]);
    assert_eq!((out.get(FORWARDING_STATUS, 0), out.get(IN_IF_INDEX, 0), out.get(OUT_IF_INDEX, 0)), (130, 1, 2));
    assert_eq!(out.get(DISCARD_REASON, 0), 258);
    assert_eq!((out.get(PACKETS, 0), out.get(BYTES, 0), out.get(FRAME_LENGTH, 0)), (1, 1500, 1518));
    assert_eq!((out.get(SAMPLING_INTERVAL, 0), out.get(SAMPLING_SOURCE, 0), out.get(DST_PORT, 0)), (1, 1, 443));
    assert_eq!((counts.samples, counts.other_samples, counts.rows), (1, 1, 1));
    assert_eq!((counts.frame_bytes, counts.frame_bytes_scaled), (0, 0));
}

#[test]
fn a_discarded_packet_without_a_header_is_a_row_too() {
    let egress_queue = tagged(1036, &octets(&[42]));
    let (out, counts) = rows(&[discarded_packet(1, &[egress_queue])]);
    assert_eq!((out.get(FORWARDING_STATUS, 0), out.get(PACKETS, 0), out.get(BYTES, 0)), (132, 1, 0));
    assert_eq!(out.get(DISCARD_REASON, 0), 1);
    assert_eq!((counts.rows, counts.malformed_samples), (1, 0));
}

#[test]
fn bytes_come_from_the_frame_where_the_ip_header_does_not_tell() {
    let bytes = |record: Vec<u8>| row_of(&[record]).get(BYTES, 0);
    let arp: &[u8] = &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x06, 0, 1];
    assert_eq!(bytes(raw_header(1, 64, 4, arp)), 64 - 4 - 14);
    // A tag is part of the link layer.
    let tagged_arp: &[u8] = &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x81, 0, 0, 9, 0x08, 0x06];
    assert_eq!(bytes(raw_header(1, 68, 4, tagged_arp)), 68 - 4 - 18);
    // A segmentation offload leaves a total length of 0.
    let mut offloaded = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00, 0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6, 0, 0];
    offloaded.extend([10, 0, 0, 1, 10, 0, 0, 2]);
    assert_eq!(bytes(raw_header(1, 7000, 0, &offloaded)), 7000 - 14);
    assert_eq!(bytes(raw_header(11, 7000, 4, &offloaded[14..])), 7000 - 4);
    // A frame shorter than its own header, or of a link layer that is not read, never wraps round.
    assert_eq!(bytes(raw_header(1, 10, 4, &[0; 6])), 0);
    assert_eq!(bytes(raw_header(3, 100, 0, &[0; 6])), 86);
    assert_eq!(bytes(raw_header(1, 0, u32::MAX, &[])), 0);
}

#[test]
fn older_agents_send_fields_in_place_of_a_header() {
    let ethernet = tagged(2, &octets(&[1518, 0x0200_0000, 0x0005_0000, 0x0200_0000, 0x000d_0000, 0x0800]));
    let ipv4 = tagged(3, &octets(&[1400, 17, 0x0a01_0001, 0x0a02_0002, 5353, 53, 0, 0xb8]));
    let (out, counts) = rows(&[flow_sample(&[ipv4.clone(), ethernet.clone()])]);
    assert_eq!((out.get(BYTES, 0), out.get(FRAME_LENGTH, 0), counts.frame_bytes), (1400, 1518, 1518));
    assert_eq!((out.get(SRC_MAC, 0), out.get(DST_MAC, 0)), (0x0200_0000_0005, 0x0200_0000_000d));
    assert_eq!((address_text(&out, DST_ADDR).as_str(), out.get(DST_PORT, 0), out.get(TOS, 0)), ("10.2.0.2", 53, 0xb8));

    let (out, counts) = rows(&[flow_sample(&[ethernet])]);
    assert_eq!((out.get(BYTES, 0), out.get(ETHER_TYPE, 0), counts.frame_bytes), (1500, 0x0800, 1518));

    // The packet's length is all that is known of the frame's.
    let ipv6 = tagged(4, &octets(&[60, 6, 0x2001_0db8, 0, 0, 1, 0x2001_0db8, 0, 0, 2, 1024, 22, 2, 0]));
    let (out, counts) = rows(&[flow_sample(&[ipv6])]);
    assert_eq!((out.get(BYTES, 0), out.get(FRAME_LENGTH, 0), counts.frame_bytes), (60, 0, 60));
    assert_eq!((address_text(&out, SRC_ADDR).as_str(), out.get(TCP_FLAGS, 0)), ("2001:db8::1", 2));

    // A header goes before them.
    let out = row_of(&[ipv4, tcp_header()]);
    assert_eq!((out.get(DST_PORT, 0), out.get(BYTES, 0)), (443, 1500));
}

#[test]
fn the_order_of_records_does_not_matter_and_the_first_of_a_kind_counts() {
    let switch = tagged(1001, &octets(&[100, 0, 200, 0]));
    let other = tagged(1001, &octets(&[300, 0, 400, 0]));
    for records in [vec![switch.clone(), tcp_header(), other.clone()], vec![tcp_header(), switch, other]] {
        let out = row_of(&records);
        assert_eq!((out.get(SRC_VLAN, 0), out.get(DST_VLAN, 0), out.get(DST_PORT, 0)), (100, 200, 443));
    }
}

#[test]
fn a_switch_that_tells_no_vlan_leaves_that_of_the_frame() {
    let frame: &[u8] = &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x81, 0, 0x20, 9, 0x08, 0x06];
    let out = row_of(&[raw_header(1, 68, 4, frame), tagged(1001, &octets(&[0, 0, 77, 0]))]);
    assert_eq!((out.get(SRC_VLAN, 0), out.get(DST_VLAN, 0)), (9, 77));
}

#[test]
fn stripped_tags_were_outside_those_that_are_left() {
    let frame: &[u8] = &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x81, 0, 0, 9, 0x08, 0x06];
    let tags = tagged(1012, &octets(&[1, 0x88a8_f064])); // TPID 802.1ad, VLAN 100 under its priority
    let out = row_of(&[tags.clone(), raw_header(1, 68, 4, frame)]);
    assert_eq!((out.get(SRC_VLAN, 0), out.get(INNER_VLAN, 0)), (100, 9));
    let out = row_of(&[tags, tcp_header()]);
    assert_eq!((out.get(SRC_VLAN, 0), out.get(INNER_VLAN, 0)), (100, 0));
}

#[test]
fn labels_of_a_record_are_those_the_header_lacks() {
    // Next hop; incoming stack of 100 and 200 with EXP, bottom and TTL; an empty outgoing one.
    let mpls = tagged(1006, &octets(&[1, 0x0a00_0001, 2, (100 << 12) | 0x40, (200 << 12) | 0x1ff, 0]));
    let out = row_of(&[tcp_header(), mpls.clone()]);
    assert_eq!(out.list(MPLS_LABELS, 0), [100, 200]);
    let labelled: &[u8] = &[0, 1, 0x11, 64, 0x45];
    let out = row_of(&[mpls, raw_header(13, 100, 0, labelled)]);
    assert_eq!(out.list(MPLS_LABELS, 0), [17]);
}

#[test]
fn the_circuit_of_an_mpls_network_is_a_tunnel() {
    // Name, padded to a word; number; class of service.
    let lsp = tagged(1008, &[&octets(&[3])[..], b"lsp\0", &octets(&[4001, 5])].concat());
    let circuit = tagged(1009, &[&octets(&[4])[..], b"vpls", &octets(&[77, 0])].concat());
    let out = row_of(&[tcp_header(), lsp.clone()]);
    assert_eq!((out.get(TUNNEL_TYPE, 0), out.get(TUNNEL_ID, 0), out.get(DST_PORT, 0)), (5, 4001, 443));
    let out = row_of(&[lsp.clone(), tcp_header(), circuit.clone()]);
    assert_eq!((out.get(TUNNEL_TYPE, 0), out.get(TUNNEL_ID, 0)), (5, 77));
    let vni = tagged(1029, &octets(&[5001]));
    let out = row_of(&[tcp_header(), circuit.clone(), vni]);
    assert_eq!((out.get(TUNNEL_TYPE, 0), out.get(TUNNEL_ID, 0)), (7, 5001));
    // A pseudowire that the header shows: label 17, control word, frame.
    let mut pseudowire = vec![0, 1, 0x11, 64, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x06];
    pseudowire.extend([0; 8]);
    let out = row_of(&[raw_header(13, 64, 0, &pseudowire), circuit]);
    assert_eq!((out.get(TUNNEL_TYPE, 0), out.get(TUNNEL_ID, 0), out.list(MPLS_LABELS, 0)), (5, 77, &[17][..]));
}

#[test]
fn the_prefix_of_a_label_is_that_of_the_route_where_there_is_none() {
    let fec = tagged(1011, &octets(&[22]));
    let router = tagged(1002, &octets(&[1, 0x0a00_0001, 24, 16]));
    let out = row_of(&[fec.clone(), tcp_header()]);
    assert_eq!((out.get(DST_MASK, 0), out.get(SRC_MASK, 0), out.get(NEXT_HOP, 0)), (22, 0, NO_ADDRESS));
    assert_eq!(row_of(&[fec, tcp_header(), router]).get(DST_MASK, 0), 16);
    let nonsense = tagged(1011, &octets(&[129]));
    assert!(!row_of(&[nonsense, tcp_header()]).present().contains(DST_MASK.column()));
}

#[test]
fn wireless_frames_are_read_and_their_unencrypted_payload_where_they_are_not() {
    let packet = &[0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0x14, 0xe9, 0, 53, 0, 8, 0, 0];
    let payload = [&[0xaa, 0xaa, 3, 0, 0, 0, 0x08, 0x00][..], packet].concat();
    let frame = |flags: u8| {
        // Data from a station (address 2) to a server (address 3) by an access point.
        [&[0x08, flags, 0, 0][..], &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 3], &[0x10, 0]].concat()
    };
    let ends = |out: &FlowBatch| (out.get(SRC_MAC, 0) as u8, out.get(DST_MAC, 0) as u8, out.get(DST_PORT, 0));
    let out = row_of(&[raw_header(15, 60, 0, &[frame(1), payload.clone()].concat())]);
    assert_eq!((ends(&out), out.get(BYTES, 0), out.get(ETHER_TYPE, 0)), ((2, 3, 53), 28, 0x0800));
    let encrypted = raw_header(15, 100, 4, &frame(0x41));
    let out = row_of(std::slice::from_ref(&encrypted));
    assert_eq!((ends(&out), out.get(BYTES, 0)), ((2, 3, 0), 100 - 4 - 24));
    let unencrypted = tagged(1013, &[&octets(&[0x000f_ac04, 36])[..], &payload].concat());
    for records in [[encrypted.clone(), unencrypted.clone()], [unencrypted, encrypted]] {
        let out = row_of(&records);
        assert_eq!((ends(&out), out.get(BYTES, 0), out.get(FRAME_LENGTH, 0)), ((2, 3, 53), 28, 100));
    }
}

#[test]
fn a_transaction_of_an_application_is_no_packet() {
    let socket = tagged(2100, &octets(&[6, 0xc000_0201, 0xc633_6402, 443, 49152]));
    let head = octets(&[99, 3, 1, 10, 51_200, 0, 0, 0, 0, 0, 2]);
    let http = tagged(2206, &octets(&[0; 4]));
    let (out, counts) = rows(&[tagged(3, &[head, http, socket.clone()].concat()), flow_sample(&[socket])]);
    assert_eq!(
        (out.values(PACKETS), out.values(BYTES), out.values(DST_PORT)),
        (&[0, 1][..], &[0, 0][..], &[443; 2][..])
    );
    assert_eq!(address_text(&out, SRC_ADDR), "198.51.100.2");
    assert_eq!((counts.rows, counts.frame_bytes), (2, 0));
}

#[test]
fn routes_are_of_the_samples_that_have_them() {
    let router = tagged(1002, &octets(&[1, 0x0a00_0001, 24, 16]));
    #[rustfmt::skip]
    let gateway = tagged(1003, &octets(&[
        1, 0x0a00_0002, 64500, 64501, 64502,
        1, 2, 3, 100, 200, 300,        // one segment, a sequence of three
        2, 0xfbf4_0001, 0xfbf4_0002,   // two communities
        120,                           // local preference
    ]));
    let plain = || flow_sample(&[tcp_header()]);
    let (out, counts) =
        rows(&[plain(), flow_sample(&[tcp_header(), gateway]), plain(), flow_sample(&[router, tcp_header()])]);
    assert_eq!(counts.rows, 4);
    let hop = |col, row| ip_of(out.get(col, row)).to_string();
    assert_eq!(
        (hop(NEXT_HOP, 3), hop(BGP_NEXT_HOP, 1), hop(NEXT_HOP, 1)),
        ("10.0.0.1".into(), "10.0.0.2".into(), "::".into())
    );
    assert_eq!((out.get(SRC_MASK, 3), out.get(DST_MASK, 3), out.get(DST_MASK, 2)), (24, 16, 0));
    assert_eq!((out.get(SRC_AS, 1), out.get(DST_AS, 1)), (64501, 300));
    assert_eq!((out.get(SRC_PEER_AS, 1), out.get(DST_PEER_AS, 1), out.get(DST_AS, 3)), (64502, 100, 0));
    assert_eq!(
        (out.list(AS_PATH, 0), out.list(AS_PATH, 1), out.list(AS_PATH, 3)),
        (&[][..], &[100, 200, 300][..], &[][..])
    );
    assert_eq!(out.list(COMMUNITIES, 1), [0xfbf4_0001, 0xfbf4_0002]);
    assert_eq!((out.get(LOCAL_PREF, 0), out.get(LOCAL_PREF, 1)), (0, 120));
}

#[test]
fn nat_fills_the_columns_of_the_translated_packet() {
    let addresses = tagged(1007, &octets(&[1, 0xcb00_7101, 1, 0x0a02_0002]));
    let ports = tagged(1020, &octets(&[1025, 443]));
    let out = row_of(&[tcp_header(), ports, addresses]);
    assert_eq!(
        (address_text(&out, POST_NAT_SRC_ADDR).as_str(), address_text(&out, POST_NAT_DST_ADDR).as_str()),
        ("203.0.113.1", "10.2.0.2")
    );
    assert_eq!((out.get(POST_NAT_SRC_PORT, 0), out.get(POST_NAT_DST_PORT, 0)), (1025, 443));
}

#[test]
fn a_tunnel_of_the_device_itself_is_the_outer_one() {
    let egress = tagged(1023, &octets(&[1550, 17, 0xc000_0201, 0xc000_0202, 50_000, 4789, 0, 0]));
    let vni = tagged(1029, &octets(&[5001]));
    let out = row_of(&[egress, tcp_header(), vni.clone()]);
    assert_eq!((out.get(TUNNEL_TYPE, 0), out.get(TUNNEL_ID, 0), out.get(DST_PORT, 0)), (3, 5001, 443));
    assert_eq!(
        (address_text(&out, OUTER_SRC_ADDR).as_str(), address_text(&out, OUTER_DST_ADDR).as_str()),
        ("192.0.2.1", "192.0.2.2")
    );

    let ingress = tagged(1026, &octets(&[1500, 47, 0x2001_0db8, 0, 0, 1, 0x2001_0db8, 0, 0, 2, 0, 0, 0, 0]));
    let out = row_of(&[tcp_header(), ingress]);
    assert_eq!((out.get(TUNNEL_TYPE, 0), address_text(&out, OUTER_DST_ADDR).as_str()), (1, "2001:db8::2"));

    let out = row_of(&[tcp_header(), vni]);
    assert_eq!((out.get(TUNNEL_TYPE, 0), out.get(TUNNEL_ID, 0)), (7, 5001));
}

#[test]
fn a_layer_2_tunnel_of_the_device_is_a_tunnel_without_addresses() {
    let outer = tagged(1021, &octets(&[1550, 0x0200_0000, 0x0005_0000, 0x0200_0000, 0x000d_0000, 0x88e7]));
    let out = row_of(&[tcp_header(), outer, tagged(1029, &octets(&[77]))]);
    assert_eq!((out.get(TUNNEL_TYPE, 0), out.get(TUNNEL_ID, 0), out.get(DST_PORT, 0)), (7, 77, 443));
    assert_eq!(address_text(&out, OUTER_SRC_ADDR), "::");
}

#[test]
fn headers_need_not_begin_with_ethernet() {
    let mut packet = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
    packet.extend([0x14, 0xe9, 0, 53, 0, 8, 0, 0]);
    let framed = |prefix: &[u8]| [prefix, &packet].concat();
    let macs = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    let snap = [&macs[..], &[0, 36, 0xaa, 0xaa, 3, 0, 0, 0, 0x08, 0x00]].concat();
    for (protocol, frame) in [
        (1, framed(&snap)),                // 802.3 with LLC and SNAP
        (7, framed(&[0, 0x21])),           // PPP
        (11, framed(&[])),                 // IPv4
        (13, framed(&[0, 1, 0x11, 64])),   // MPLS
        (14, framed(&[0xff, 3, 0, 0x21])), // PPP over SONET
    ] {
        let out = row_of(&[raw_header(protocol, frame.len() as u32, 0, &frame)]);
        let read = (out.get(BYTES, 0), out.get(SRC_PORT, 0), out.get(DST_PORT, 0));
        assert_eq!((read, address_text(&out, DST_ADDR).as_str()), ((28, 5353, 53), "10.0.0.2"), "protocol {protocol}");
    }
    // Token Ring is not read: all that is known is its length, less an Ethernet header.
    let out = row_of(&[raw_header(3, 100, 0, &packet)]);
    assert_eq!((out.get(BYTES, 0), address_text(&out, DST_ADDR).as_str()), (86, "::"));
}

#[test]
fn samples_and_records_of_enterprises_are_stepped_over() {
    let enterprise = |format: u32| (4413 << 12) | format;
    let (out, counts) = rows(&[
        tagged(enterprise(1), &[0xff; 12]),
        flow_sample(&[tagged(enterprise(1), &[0xff; 8]), tcp_header(), tagged(1004, &[0xff; 4])]),
        tagged(6, &[]),
    ]);
    assert_eq!((out.rows(), out.get(DST_PORT, 0)), (1, 443));
    assert_eq!((counts.samples, counts.flow_samples, counts.other_samples, counts.malformed_records), (3, 1, 2, 0));
}

#[test]
fn counter_samples_are_no_flows() {
    let (out, counts) = rows(&[tagged(2, &[0; 12]), tagged(4, &[0; 16]), tagged(2, &[0xff; 3])]);
    assert!(out.is_empty());
    assert_eq!((counts.samples, counts.counter_samples, counts.expanded_counter_samples), (3, 2, 1));
    assert_eq!((counts.counter_rows, counts.malformed_counter_samples), (0, 1));
}

#[test]
fn a_malformed_sample_is_left_out_alone() {
    let long_record = {
        let mut sample = flow_sample(&[tcp_header()]);
        sample[44..48].copy_from_slice(&1000_u32.to_be_bytes()); // the record's length
        sample
    };
    let many_records = {
        let mut sample = flow_sample(&[tcp_header()]);
        sample[36..40].copy_from_slice(&u32::MAX.to_be_bytes()); // the number of records
        sample
    };
    let short = tagged(1, &[0; 31]);
    let good = flow_sample(&[tcp_header()]);
    let (out, counts) = rows(&[long_record, good.clone(), many_records, short, discarded_packet(1, &[]), good]);
    assert_eq!((out.rows(), counts.malformed_samples, counts.flow_samples, counts.samples), (3, 3, 5, 6));
    assert_eq!(out.values(DST_PORT), [443, 0, 443]);
    assert_eq!(out.values(FORWARDING_STATUS), [0, 132, 0]);
    assert_eq!(counts.frame_bytes, 2 * 1518);
}

#[test]
fn a_sample_with_more_records_than_there_are_kinds_is_malformed() {
    let records = |n: u32| flow_sample(&vec![tagged(2000, &[]); n as usize]);
    let (_, counts) = rows(&[records(records::MAX_RECORDS), records(records::MAX_RECORDS + 1)]);
    assert_eq!((counts.rows, counts.malformed_samples), (1, 1));
}

#[test]
fn a_malformed_record_is_left_out_and_its_sample_stays() {
    let short_gateway = tagged(1003, &octets(&[1, 0x0a00_0002, 64500, 64501, 64502, 9, 2, 3]));
    let short_switch = tagged(1001, &octets(&[100, 0, 200]));
    let (out, counts) = rows(&[flow_sample(&[short_gateway, tcp_header(), short_switch])]);
    assert_eq!((counts.rows, counts.malformed_records, counts.malformed_samples), (1, 2, 0));
    assert_eq!(out.get(DST_PORT, 0), 443);
    assert!(!out.present().contains(SRC_AS.column()));
}

#[test]
fn structures_may_be_extended_at_their_end() {
    let switch = tagged(1001, &octets(&[100, 0, 200, 0, 0xdead, 0xbeef]));
    let mut sample = flow_sample(&[tcp_header(), switch]);
    sample.extend(octets(&[0xdead, 0xbeef]));
    let length = sample.len() as u32 - 8;
    sample[4..8].copy_from_slice(&length.to_be_bytes());
    let (out, counts) = rows(&[sample.clone(), sample]);
    assert_eq!((out.values(SRC_VLAN), counts.malformed_records), (&[100, 100][..], 0));
}

#[test]
fn a_sample_that_runs_past_the_message_is_left_out_with_those_behind_it() {
    let sample = flow_sample(&[tcp_header()]);
    let whole = message(&[sample.clone(), sample.clone(), sample.clone()]);
    let first_end = whole.len() - 2 * sample.len();
    for cut in 28..whole.len() {
        let mut out = FlowBatch::new();
        let result = decode(&whole[..cut], &mut out);
        if cut < first_end {
            assert!(matches!(result, Err(DecodeError::Truncated | DecodeError::BadCount)), "cut at {cut}: {result:?}");
            continue;
        }
        let n = 1 + ((cut - first_end) / sample.len()) as u32;
        let counts = result.unwrap();
        assert_eq!((counts.samples, counts.rows, counts.samples_left_out), (n, n, 3 - n), "cut at {cut}");
        assert_eq!(out.values(DST_PORT), vec![443; n as usize]);
    }
}

/// RFC 4506 §4.10: zeros fill up to whole words, and no length counts them. Agents that leave them out are read as well.
#[test]
fn samples_and_records_of_any_length_are_read_with_and_without_padding() {
    let odd = |sample: Vec<u8>, n: usize, padded: bool| {
        let mut sample = [sample, vec![0xee; n]].concat();
        let length = sample.len() as u32 - 8;
        sample[4..8].copy_from_slice(&length.to_be_bytes());
        sample.extend(vec![0; if padded { n.wrapping_neg() % 4 } else { 0 }]);
        sample
    };
    for n in 0..8 {
        for padded in [true, false] {
            let switch = odd(tagged(1001, &octets(&[100, 0, 200, 0])), n, padded);
            let sample = odd(flow_sample(&[switch, tcp_header()]), n, padded);
            let (out, counts) = rows(&[sample.clone(), sample.clone(), sample]);
            assert_eq!((counts.rows, counts.malformed_samples, counts.malformed_records), (3, 0, 0), "{n} {padded}");
            assert_eq!((out.values(SRC_VLAN), out.values(DST_PORT)), (&[100; 3][..], &[443; 3][..]), "{n} {padded}");
        }
    }
}

#[test]
fn octets_behind_the_last_sample_are_ignored() {
    let mut datagram = message(&[flow_sample(&[tcp_header()])]);
    datagram.extend([0xff; 244]);
    let counts = decode(&datagram, &mut FlowBatch::new()).unwrap();
    assert_eq!((counts.samples, counts.rows), (1, 1));
}

#[test]
fn a_message_of_many_samples_keeps_their_order() {
    let samples: Vec<_> = (0..100)
        .map(|n| {
            let router = tagged(1002, &octets(&[1, 0x0a00_0000 + n, 24, 16]));
            let records = if n % 3 == 0 { vec![tcp_header(), router] } else { vec![tcp_header()] };
            flow_sample_between(n + 1, 1000, &records)
        })
        .collect();
    let (out, counts) = rows(&samples);
    assert_eq!(counts.rows, 100);
    for row in 0..100 {
        assert_eq!(out.get(IN_IF_INDEX, row), row as u32 + 1);
        let next_hop = if row % 3 == 0 { mapped([10, 0, 0, row as u8]) } else { NO_ADDRESS };
        assert_eq!((out.get(NEXT_HOP, row), out.get(DST_PORT, row)), (next_hop, 443));
    }
    assert_eq!(out.runs().len(), 1);
}

#[test]
fn scaled_octets_do_not_overflow() {
    let mut sample = flow_sample(&[raw_header(1, u32::MAX, 0, &[])]);
    sample[16..20].copy_from_slice(&u32::MAX.to_be_bytes());
    let (_, counts) = rows(&[sample.clone(), sample]);
    assert_eq!((counts.frame_bytes, counts.frame_bytes_scaled), (2 * u64::from(u32::MAX), u64::MAX));
}
