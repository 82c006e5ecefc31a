use std::io::Cursor;
use std::net::UdpSocket;

use super::*;
use crate::capture::Writer;

const MS: u64 = 1_000_000;

fn settings(receiver: &UdpSocket) -> Settings {
    Settings {
        target: receiver.local_addr().unwrap(),
        speed: Speed::Max,
        max_gap: Duration::from_secs(5),
        times: 1,
        keep_sources: false,
        port: None,
        tcp: false,
    }
}

fn receiver() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").unwrap()
}

/// Three sources, two of which have one address; five datagrams, one of them to another port.
fn capture() -> Vec<u8> {
    let mut writer = Writer::new(Vec::new()).unwrap();
    let sources = ["192.0.2.1:5000", "192.0.2.1:5001", "[2001:db8::1]:5000", "192.0.2.1:5000", "127.3.3.3:9"];
    for (n, source) in sources.iter().enumerate() {
        let source: SocketAddr = source.parse().unwrap();
        let port = if n == 4 { 53 } else { 2_055 };
        let destination = SocketAddr::new(
            if source.is_ipv4() { [10, 0, 0, 1].into() } else { [0, 0, 0, 0, 0, 0, 0, 1].into() },
            port,
        );
        writer.datagram(n as u64 * MS, source, destination, &[n as u8; 3]).unwrap();
    }
    writer.finish().unwrap()
}

fn replayed(settings: &Settings) -> Report {
    let open = || Capture::read("test", Cursor::new(capture()));
    run(settings, open, &AtomicBool::new(false), |_| {}).unwrap()
}

fn received(receiver: &UdpSocket, n: usize) -> Vec<(SocketAddr, Vec<u8>)> {
    let mut buffer = [0; 100];
    let next = |_| receiver.recv_from(&mut buffer).map(|(length, source)| (source, buffer[..length].to_vec())).unwrap();
    (0..n).map(next).collect()
}

#[test]
fn every_source_keeps_a_socket_of_its_own() {
    let receiver = receiver();
    let report = replayed(&settings(&receiver));
    assert_eq!((report.datagrams, report.octets, report.failed, report.sources.len()), (5, 15, 0, 4));
    let datagrams = received(&receiver, 5);
    for (n, (source, payload)) in datagrams.iter().enumerate() {
        assert_eq!(payload[..], [n as u8; 3], "in the order of the capture");
        assert_eq!(*source == datagrams[0].0, n == 0 || n == 3, "datagram {n}");
    }
}

#[test]
fn kept_sources_are_loopback_addresses_one_for_each_captured_address() {
    let receiver = receiver();
    let report = replayed(&Settings { keep_sources: true, ..settings(&receiver) });
    let addresses: Vec<String> = received(&receiver, 5).iter().map(|(source, _)| source.ip().to_string()).collect();
    assert_eq!(addresses, ["127.128.0.1", "127.128.0.1", "127.128.0.2", "127.128.0.1", "127.3.3.3"]);
    assert_ne!(report.sources[0].1.port(), report.sources[1].1.port(), "captured ports stay distinct as well");
}

#[test]
fn a_port_selects_and_times_repeat() {
    let receiver = receiver();
    let report = replayed(&Settings { port: Some(2_055), times: 3, ..settings(&receiver) });
    assert_eq!((report.datagrams, report.other_ports, report.sources.len()), (12, 3, 3));
    let payloads: Vec<u8> = received(&receiver, 12).iter().map(|(_, payload)| payload[0]).collect();
    assert_eq!(payloads, [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3]);
}

#[test]
fn every_speed_sends_everything() {
    for speed in [Speed::Captured(1.0), Speed::Captured(100.0), Speed::DatagramsPerSec(10_000.0)] {
        let receiver = receiver();
        let report = replayed(&Settings { speed, ..settings(&receiver) });
        assert_eq!((report.datagrams, received(&receiver, 5).len()), (5, 5), "{speed:?}");
        let least = if speed == Speed::Captured(1.0) { Duration::from_millis(3) } else { Duration::ZERO };
        assert!(report.elapsed >= least, "{speed:?} took {:?}", report.elapsed);
    }
}

#[test]
fn nobody_listening_is_counted() {
    let closed = receiver().local_addr().unwrap();
    let report = replayed(&Settings { target: closed, ..settings(&receiver()) });
    assert!(report.refused > 0 && report.datagrams + report.refused == 5, "{report:?}");
}

#[test]
fn a_set_flag_stops_before_the_first_datagram() {
    let receiver = receiver();
    let open = || Capture::read("test", Cursor::new(capture()));
    let report = run(&settings(&receiver), open, &AtomicBool::new(true), |_| {}).unwrap();
    assert_eq!(report.datagrams, 0);
}

#[test]
fn times_are_kept_scaled_and_long_gaps_shortened() {
    let mut timeline = Timeline::new(2.0, Duration::from_secs(5));
    let day_ns = 86_400_000 * MS;
    let mut due = |ms: u64| timeline.due(day_ns + ms * MS).as_millis();
    assert_eq!([due(0), due(100), due(300)], [0, 50, 150]);
    assert_eq!(due(290), 150, "reordered: at once");
    assert_eq!(due(400), 200, "and the time before it still counts");
    assert_eq!(due(3_600_000), 2_700, "an hour became five seconds at double speed");
    assert_eq!(due(1_000), 2_700, "an earlier capture behind the first");
    assert_eq!(due(1_100), 2_750);
    assert_eq!(timeline.shortened, 1);
}

#[test]
fn notes_name_what_was_not_sent_and_from_where_it_was() {
    let target = "127.0.0.1:2055".parse().unwrap();
    let settings = Settings { target, keep_sources: true, ..settings(&receiver()) };
    let source = |text: &str| text.parse::<SocketAddr>().unwrap();
    let report = Report {
        refused: 2,
        shortened_gaps: 1,
        sources: vec![(source("192.0.2.1:5000"), source("127.128.0.1:40000"))],
        ..Report::default()
    };
    let notes = report.notes(&settings);
    assert_eq!(notes.len(), 3, "{notes:?}");
    assert!(notes[0].contains("nobody listens at 127.0.0.1:2055") && notes[1].contains("shortened to 5s"));
    assert_eq!(notes[2], "192.0.2.1:5000 was sent from 127.128.0.1:40000");
}
