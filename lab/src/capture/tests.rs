use std::io::Cursor;

use helios_collector::encode::packet::{self, Ipv4, Ipv6, Layer, TPID_8021AD, TPID_8021Q};

use super::*;

const ETHERNET: Layer<'_> = Layer::Ethernet { dst: [2; 6], src: [4; 6] };
const IPV4: Ipv4<'_> =
    Ipv4 { src: [192, 0, 2, 1], dst: [192, 0, 2, 2], tos: 0, ttl: 64, id: 77, fragment: 0, options: &[] };
const IPV6: Ipv6 = Ipv6 { src: [0x20; 16], dst: [0x21; 16], traffic_class: 0, flow_label: 0, hop_limit: 64 };
const UDP: Layer<'_> = Layer::Udp { src_port: 5_000, dst_port: 2_055 };
const PAYLOAD: &[u8] = b"a flow message";

fn built(layers: &[Layer<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    packet::write(layers, &mut out);
    out
}

/// A pcap file with times in microseconds.
fn pcap(link: u32, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = [0xa1b2_c3d4_u32, 4 << 16 | 2, 0, 0, 65_535, link].map(u32::to_le_bytes).concat();
    for (n, frame) in (1..).zip(frames) {
        let length = frame.len() as u32;
        file.extend([1_700_000_000, n, length, length].map(u32::to_le_bytes).concat());
        file.extend(frame);
    }
    file
}

fn read(file: Vec<u8>) -> (Vec<Datagram>, Counts) {
    let mut capture = Capture::read("test", Cursor::new(file)).unwrap();
    let datagrams = capture.by_ref().map(|datagram| datagram.unwrap()).collect();
    (datagrams, capture.counts())
}

#[test]
fn what_the_writer_wrote_is_read_back() {
    let pairs = [("192.0.2.1:5000", "192.0.2.2:2055"), ("[2001:db8::1]:5000", "[2001:db8::2]:6343")];
    let mut writer = Writer::new(Vec::new()).unwrap();
    let mut written = Vec::new();
    for (n, (source, destination)) in pairs.iter().enumerate() {
        let payload = vec![n as u8; 65_507 - n];
        let datagram = Datagram {
            timestamp_ns: 1_700_000_000_123_456_789 + n as u64,
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            payload,
        };
        writer.datagram(datagram.timestamp_ns, datagram.source, datagram.destination, &datagram.payload).unwrap();
        written.push(datagram);
    }
    let (datagrams, counts) = read(writer.finish().unwrap());
    assert_eq!(datagrams, written);
    assert_eq!(counts, Counts { packets: 2, datagrams: 2, ..Counts::default() });
    assert!(counts.notes().is_empty());
}

#[test]
fn every_link_layer_leads_to_the_datagram() {
    let ip = built(&[Layer::Ipv4(IPV4), UDP, Layer::Payload(PAYLOAD)]);
    let tags = [Layer::Vlan { tpid: TPID_8021AD, tci: 7 }, Layer::Vlan { tpid: TPID_8021Q, tci: 8 }];
    let tagged = built(&[ETHERNET, tags[0], tags[1], Layer::Ipv4(IPV4), UDP, Layer::Payload(PAYLOAD)]);
    let headed = |head: &[u8]| [head, &ip].concat();
    let cooked = [&[0; 14][..], &[0x08, 0x00]].concat();
    let cooked2 = [&[0x08, 0x00][..], &[0; 18]].concat();
    for (link, frame) in [
        (0, headed(&[2, 0, 0, 0])),
        (1, tagged),
        (101, ip.clone()),
        (108, headed(&[0, 0, 0, 2])),
        (113, headed(&cooked)),
        (228, ip.clone()),
        (276, headed(&cooked2)),
    ] {
        let (datagrams, counts) = read(pcap(link, &[frame]));
        let [datagram] = &datagrams[..] else { panic!("link type {link}: {counts:?}") };
        assert_eq!((datagram.source.to_string(), &datagram.payload[..]), ("192.0.2.1:5000".into(), PAYLOAD));
        assert_eq!(datagram.timestamp_ns, 1_700_000_000_000_001_000, "microseconds become nanoseconds");
    }
}

#[test]
fn what_is_no_datagram_is_counted_by_what_it_is() {
    let tcp = built(&[ETHERNET, Layer::Ipv6(IPV6), Layer::Tcp { src_port: 1, dst_port: 2, flags: 2 }]);
    let arp = [&[0xff; 12][..], &[0x08, 0x06], &[0; 28]].concat();
    let cut_header = built(&[ETHERNET, Layer::Ipv4(IPV4)])[..30].to_vec();
    let (datagrams, counts) = read(pcap(1, &[tcp, arp, cut_header]));
    assert!(datagrams.is_empty());
    assert_eq!(counts, Counts { packets: 3, not_udp: 1, not_ip: 2, ..Counts::default() });

    let (datagrams, counts) = read(pcap(105, &[vec![0; 100]]));
    assert_eq!((datagrams.len(), counts.other_link), (0, 1));
    assert!(counts.notes()[0].starts_with("1 packet skipped"), "{:?}", counts.notes());
}

#[test]
fn extension_headers_stand_between_ipv6_and_udp() {
    let mut packet = built(&[Layer::Ipv6(IPV6), UDP, Layer::Payload(PAYLOAD)]);
    // Hop-by-hop options (8 octets), then destination options (16 octets), then UDP.
    packet.splice(40..40, [&[60, 0, 1, 4, 0, 0, 0, 0][..], &[17, 1], &[0; 14]].concat());
    packet[6] = 0;
    packet[5] += 24;
    let (datagrams, counts) = read(pcap(101, &[packet]));
    assert_eq!(datagrams.len(), 1, "{counts:?}");
    assert_eq!(datagrams[0].payload, PAYLOAD);
}

/// The fragments of a datagram with 2,000 octets of payload, cut every 800 octets.
fn fragments(id: u16) -> (Vec<Vec<u8>>, Vec<u8>) {
    let payload: Vec<u8> = (0..2_000).map(|n| n as u8).collect();
    let whole = built(&[Layer::Ipv4(IPV4), UDP, Layer::Payload(&payload)]);
    let parts: Vec<&[u8]> = whole[20..].chunks(800).collect();
    let packets = parts.iter().enumerate().map(|(n, octets)| {
        let more = if n + 1 < parts.len() { 0x2000 } else { 0 };
        let header = Ipv4 { id, fragment: more | (n as u16 * 100), ..IPV4 };
        built(&[Layer::Ipv4(header), Layer::Fragment { protocol: 17, octets }])
    });
    (packets.collect(), payload)
}

#[test]
fn fragments_in_order_are_joined_even_when_datagrams_interleave() {
    let (first, payload) = fragments(1);
    let (second, _) = fragments(2);
    let interleaved: Vec<Vec<u8>> = first.into_iter().zip(second).flat_map(|(a, b)| [a, b]).collect();
    let (datagrams, counts) = read(pcap(101, &interleaved));
    assert_eq!(datagrams.len(), 2);
    assert!(datagrams.iter().all(|datagram| datagram.payload == payload));
    assert_eq!((counts.packets, counts.fragments_joined, counts.fragments_lost), (6, 6, 0));
}

#[test]
fn fragments_are_joined_in_any_order_and_twice_captured_ones_once() {
    let (parts, payload) = fragments(1);
    for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let (datagrams, counts) = read(pcap(101, &order.map(|part| parts[part].clone())));
        assert_eq!(datagrams.len(), 1, "{order:?}");
        assert_eq!((&datagrams[0].payload, counts.fragments_joined), (&payload, 3), "{order:?}");
    }
    let (datagrams, counts) = read(pcap(101, &[0, 0, 1, 1, 2].map(|part: usize| parts[part].clone())));
    assert_eq!((datagrams[0].payload == payload, counts.fragments_joined, counts.fragments_lost), (true, 5, 0));
}

#[test]
fn a_number_that_is_used_again_begins_a_datagram_anew() {
    let (parts, payload) = fragments(1);
    let mut other = parts[0].clone();
    *other.last_mut().unwrap() ^= 1;
    let (datagrams, counts) = read(pcap(101, &[other, parts[0].clone(), parts[1].clone(), parts[2].clone()]));
    assert_eq!((datagrams.len(), counts.fragments_joined, counts.fragments_lost), (1, 3, 1));
    assert_eq!(datagrams[0].payload, payload);
}

#[test]
fn ipv6_fragments_are_joined() {
    let whole = built(&[Layer::Ipv6(IPV6), UDP, Layer::Payload(&[5; 100])]);
    let fragment = |offset: u16, more: u16, octets: &[u8]| {
        let header = [&[17, 0][..], &(offset | more).to_be_bytes(), &99_u32.to_be_bytes()].concat();
        let mut packet = built(&[Layer::Ipv6(IPV6), Layer::Payload(&[&header, octets].concat())]);
        packet[6] = 44;
        packet
    };
    let parts = [fragment(0, 1, &whole[40..88]), fragment(48, 0, &whole[88..])];
    let (datagrams, counts) = read(pcap(101, &parts));
    assert_eq!(datagrams.len(), 1, "{counts:?}");
    assert_eq!(datagrams[0].payload, [5; 100]);
}

#[test]
fn a_missing_fragment_gives_up_the_whole_datagram() {
    let (mut lost_middle, _) = fragments(1);
    lost_middle.remove(1);
    let (datagrams, counts) = read(pcap(101, &lost_middle));
    assert_eq!((datagrams.len(), counts.fragments_lost), (0, 2));

    let (mut lost_end, _) = fragments(1);
    lost_end.pop();
    let (datagrams, counts) = read(pcap(101, &lost_end));
    assert_eq!((datagrams.len(), counts.fragments_lost), (0, 2), "given up when the capture ends");
}

#[test]
fn incomplete_datagrams_are_bounded() {
    let firsts: Vec<Vec<u8>> = (0..100).map(|id| fragments(id).0.remove(0)).collect();
    let (_, counts) = read(pcap(101, &firsts));
    assert_eq!(counts.fragments_lost, 100);
}

#[test]
fn a_capture_that_breaks_off_yields_what_is_whole() {
    let frame = built(&[Layer::Ipv4(IPV4), UDP, Layer::Payload(PAYLOAD)]);
    let file = pcap(101, &[frame.clone(), frame]);
    for missing in [1, 20, 50] {
        let (datagrams, counts) = read(file[..file.len() - missing].to_vec());
        assert_eq!((datagrams.len(), counts.end), (1, End::Cut), "{missing} octets missing");
        assert_eq!(counts.notes(), ["the capture breaks off in the middle of packet 2"]);
    }
}

#[test]
fn a_packet_that_claims_gigabytes_ends_the_capture_and_allocates_little() {
    let mut file = pcap(101, &[built(&[Layer::Ipv4(IPV4), UDP, Layer::Payload(PAYLOAD)])]);
    file.extend([1_700_000_000, 0, u32::MAX, u32::MAX].map(u32::to_le_bytes).concat());
    file.resize(file.len() + MAX_BLOCK_OCTETS * 2, 0);
    let (datagrams, counts) = read(file);
    assert_eq!((datagrams.len(), counts.end), (1, End::Broken));
}

#[test]
fn a_datagram_longer_than_its_packet_is_cut_and_said_so() {
    let frame = built(&[Layer::Ipv4(IPV4), UDP, Layer::Payload(PAYLOAD)]);
    let (datagrams, counts) = read(pcap(101, &[frame[..20 + 8 + 6].to_vec()]));
    assert_eq!((&datagrams[0].payload[..], counts.cut_datagrams), (&b"a flow"[..], 1));
}

#[test]
fn what_is_no_capture_gets_one_line_that_says_what_was_expected() {
    let fails = |octets: &[u8]| match Capture::read("x.bin", Cursor::new(octets.to_vec())) {
        Ok(_) => panic!("taken for a capture: {octets:?}"),
        Err(error) => error.to_string(),
    };
    assert!(fails(b"").contains("is empty: expected a pcap"));
    assert!(fails(b"\x00\x09\x00\x1a and more octets of NetFlow").contains("no capture: expected a pcap"));
    assert!(fails(&[0x1f, 0x8b, 8, 0, 0, 0]).contains("gunzip -c x.bin"));
    assert!(fails(&0xa1b2_c3d4_u32.to_le_bytes()).contains("no capture"), "a header that breaks off");
    let missing = Capture::open(Path::new("no/such/file.pcap")).err().map(|error| error.to_string());
    assert!(missing.is_some_and(|line| line.contains("no/such/file.pcap") && line.contains("No such file")));
}

/// Gives one octet at a time, as a slow pipe may.
struct Trickle(Cursor<Vec<u8>>);

impl Read for Trickle {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let one = buffer.len().min(1);
        self.0.read(&mut buffer[..one])
    }
}

#[test]
fn a_slow_pipe_is_read_to_its_end() {
    let frame = built(&[ETHERNET, Layer::Ipv4(IPV4), UDP, Layer::Payload(PAYLOAD)]);
    for file in [pcap(1, &[frame.clone(), frame.clone()]), pcapng(&frame)] {
        let capture = Capture::read("pipe", Trickle(Cursor::new(file))).unwrap();
        assert_eq!(capture.map(|datagram| datagram.unwrap().payload).collect::<Vec<_>>(), [PAYLOAD, PAYLOAD]);
    }
}

fn block(kind: u32, content: &[u8]) -> Vec<u8> {
    let padded = content.len().next_multiple_of(4);
    let length = (12 + padded as u32).to_le_bytes();
    let padding = vec![0; padded - content.len()];
    [&kind.to_le_bytes()[..], &length, content, &padding, &length].concat()
}

/// A section with an interface of 1,024 ticks a second, shifted by 100 s, and one of nanoseconds.
fn pcapng(frame: &[u8]) -> Vec<u8> {
    let section = block(0x0a0d_0d0a, &[&[0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0][..], &[0xff; 8]].concat());
    let option = |code: u16, value: &[u8]| {
        let length = value.len() as u16;
        let mut octets = [&code.to_le_bytes()[..], &length.to_le_bytes(), value].concat();
        octets.resize(octets.len().next_multiple_of(4), 0);
        octets
    };
    let ethernet = [1, 0, 0, 0, 0, 0, 0, 0];
    let end = option(0, &[]);
    let ticks = [&ethernet[..], &option(9, &[0x80 | 10]), &option(14, &100_i64.to_le_bytes()), &end].concat();
    let nanoseconds = [&ethernet[..], &option(9, &[9]), &end].concat();
    let enhanced = |interface: u32, units: u64| {
        let length = frame.len() as u32;
        let head = [interface, (units >> 32) as u32, units as u32, length, length].map(u32::to_le_bytes).concat();
        block(6, &[&head, frame].concat())
    };
    let unknown = block(0x0bad_cafe, &[1, 2, 3, 4]);
    let packets = [enhanced(0, 3 * 1_024 + 512), unknown, enhanced(1, 1_700_000_000_000_000_007)];
    [section, block(1, &ticks), block(1, &nanoseconds), packets.concat()].concat()
}

#[test]
fn pcapng_times_follow_the_interface() {
    let frame = built(&[ETHERNET, Layer::Ipv4(IPV4), UDP, Layer::Payload(PAYLOAD)]);
    let (datagrams, counts) = read(pcapng(&frame));
    let times: Vec<u64> = datagrams.iter().map(|datagram| datagram.timestamp_ns).collect();
    assert_eq!(times, [103_500_000_000, 1_700_000_000_000_000_007], "{counts:?}");
    assert!(datagrams.iter().all(|datagram| datagram.payload == PAYLOAD));
}
