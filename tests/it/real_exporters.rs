//! Real exporters in, ClickHouse rows out: what softflowd and pmacctd make of a capture equals what was in it.
//!
//! The exporters read a capture that this test generates and send to a recording socket. The same datagrams then go
//! to `helios run` and to nfdump's collectors, the second opinion.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use helios_collector::encode::netflow1;
use helios_collector::encode::packet::{self, Ipv4, Layer};
use helios_testkit::Engine;

use crate::running::{Helios, free_udp_port, system_program, wait_for};

/// Source, destination, ports and protocol.
type Key = (IpAddr, IpAddr, u16, u16, u8);

/// Octets (layer 3) and packets of each flow.
type Flows = BTreeMap<Key, (u64, u64)>;

const FLOWS: u16 = 200;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// A folder with a capture of [`FLOWS`] unidirectional flows, and what is in it.
struct Traffic {
    directory: tempfile::TempDir,
    capture: PathBuf,
    flows: Flows,
}

impl Traffic {
    /// Flow `n` has 1 to 5 packets of a size of its own. Times are of now: softflowd's sysUptime cannot tell others.
    fn generate() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let capture = directory.path().join("traffic.pcap");
        let mut out = BufWriter::new(File::create(&capture).unwrap());
        // pcap, microseconds, Ethernet.
        for word in [0xa1b2_c3d4_u32, 4 << 16 | 2, 0, 0, 65_535, 1] {
            out.write_all(&word.to_le_bytes()).unwrap();
        }
        let begin = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() - Duration::from_secs(30);
        let mut flows = Flows::new();
        let mut n_packets = 0;
        for n in 0..FLOWS {
            let (key, payload) = (key(n), vec![b'x'; 40 + usize::from(n) * 7 % 1000]);
            for _ in 0..=n % 5 {
                let frame = frame(key, &payload);
                let at = begin + Duration::from_millis(10) * n_packets;
                for word in [at.as_secs() as u32, at.subsec_micros(), frame.len() as u32, frame.len() as u32] {
                    out.write_all(&word.to_le_bytes()).unwrap();
                }
                out.write_all(&frame).unwrap();
                let sums = flows.entry(key).or_default();
                *sums = (sums.0 + frame.len() as u64 - 14, sums.1 + 1);
                n_packets += 1;
            }
        }
        out.flush().unwrap();
        Self { directory, capture, flows }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }
}

fn key(n: u16) -> Key {
    let [high, low] = n.to_be_bytes();
    let src = Ipv4Addr::new(10, 1, high, low).into();
    let dst = Ipv4Addr::new(198, 51, 100, (n % 250) as u8 + 1).into();
    if n.is_multiple_of(2) { (src, dst, 10_000 + n, 53, UDP) } else { (src, dst, 10_000 + n, 443, TCP) }
}

fn frame((src, dst, src_port, dst_port, proto): Key, payload: &[u8]) -> Vec<u8> {
    let (IpAddr::V4(src), IpAddr::V4(dst)) = (src, dst) else { unreachable!("the traffic is IPv4") };
    let transport = match proto {
        TCP => Layer::Tcp { src_port, dst_port, flags: 0x18 },
        _ => Layer::Udp { src_port, dst_port },
    };
    let ip = Ipv4 { src: src.octets(), dst: dst.octets(), ttl: 64, ..Ipv4::default() };
    let ethernet = Layer::Ethernet { dst: [2, 0, 0, 0, 0, 2], src: [2, 0, 0, 0, 0, 1] };
    let mut out = Vec::new();
    packet::write(&[ethernet, Layer::Ipv4(ip), transport, Layer::Payload(payload)], &mut out);
    out
}

/// Takes down what an exporter sends until it has ended and nothing more comes.
fn record(exporter: impl FnOnce(u16) -> Command) -> Vec<Vec<u8>> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::RcvBuf, &(4 << 20)).unwrap();
    let mut exporter = exporter(socket.local_addr().unwrap().port());
    let mut process = exporter.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut datagrams = Vec::new();
    let mut buffer = vec![0; 65_536];
    let mut ended = false;
    wait_for("the exporter to end", || {
        while let Ok(length) = socket.recv(&mut buffer) {
            datagrams.push(buffer[..length].to_vec());
        }
        // One more look after its end: what it sent last may still be in the socket.
        std::mem::replace(&mut ended, process.try_wait().unwrap().is_some()).then_some(())
    });
    assert!(!datagrams.is_empty(), "the exporter sent nothing");
    datagrams
}

/// softflowd over the capture, with NetFlow 1, 5, 9 or IPFIX (10).
fn softflowd(traffic: &Traffic, version: u8) -> Vec<Vec<u8>> {
    record(|port| softflowd_to(traffic, port, &["-v", &version.to_string()]))
}

/// Reads the capture and sends what it makes of it to a port.
fn softflowd_to(traffic: &Traffic, port: u16, options: &[&str]) -> Command {
    let mut command = Command::new("timeout");
    command.arg("30").arg(system_program("softflowd").get_program()).args(options);
    command.arg("-r").arg(&traffic.capture).args(["-n", &format!("127.0.0.1:{port}"), "-d"]);
    // It removes its pid file at its end, and with a control socket it would stay after the end of the capture.
    command.arg("-p").arg(traffic.path().join("softflowd.pid")).args(["-c", "none"]);
    command
}

/// pmacctd over the capture with one of its probes. It stays after the end of a capture, so it is told to end.
fn pmacctd(traffic: &Traffic, probe: &str, settings: &str) -> Vec<Vec<u8>> {
    record(|port| {
        let config = traffic.path().join(format!("{probe}.conf"));
        let capture = traffic.capture.display();
        let text = format!(
            "daemonize: false\npcap_savefile: {capture}\nplugins: {probe}[p]\n{probe}_receiver[p]: 127.0.0.1:{port}\n{settings}\n"
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new("timeout");
        command.args(["--signal=INT", "6"]).arg(system_program("pmacctd").get_program()).arg("-f").arg(&config);
        command
    })
}

/// Sends the datagrams to helios and returns the flows that ClickHouse has then.
fn through_helios(engine: &Engine, helios: &Helios, datagrams: &[Vec<u8>], packets: u64) -> Flows {
    send(datagrams, helios.flows.port());
    stored(engine, packets)
}

/// The flows that ClickHouse has once it has all packets.
fn stored(engine: &Engine, packets: u64) -> Flows {
    wait_for("all packets to be stored", || {
        let stored: u64 =
            engine.query("SELECT sum(packets * sampling_interval) FROM helios.flows").trim().parse().ok()?;
        (stored >= packets).then_some(())
    });
    let rows = engine.query(
        "SELECT src_addr, dst_addr, src_port, dst_port, proto, sum(bytes * sampling_interval), sum(packets * sampling_interval)
         FROM helios.flows GROUP BY ALL FORMAT TSV",
    );
    rows.lines().map(flow_of_row).collect()
}

fn flow_of_row(row: &str) -> (Key, (u64, u64)) {
    let fields: Vec<&str> = row.split('\t').collect();
    let [src, dst, src_port, dst_port, proto, bytes, packets] = fields[..] else { panic!("not a flow: {row}") };
    let ip = |text: &str| text.parse::<IpAddr>().unwrap().to_canonical();
    let key = (ip(src), ip(dst), src_port.parse().unwrap(), dst_port.parse().unwrap(), proto.parse().unwrap());
    (key, (bytes.parse().unwrap(), packets.parse().unwrap()))
}

fn send(datagrams: &[Vec<u8>], port: u16) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for datagram in datagrams {
        socket.send_to(datagram, ("127.0.0.1", port)).unwrap();
    }
}

/// What nfdump reads in the same datagrams; `collector` is nfcapd or sfcapd.
fn through_nfdump(traffic: &Traffic, collector: &str, datagrams: &[Vec<u8>], flows: usize) -> Flows {
    let folder = tempfile::tempdir_in(traffic.path()).unwrap();
    let port = free_udp_port();
    let mut process = system_program(collector)
        .args(["-b", "127.0.0.1", "-p", &port.to_string(), "-t", "3600", "-w"])
        .arg(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let listening = format!(":{port:04X} ");
    wait_for("the second decoder to listen", || {
        std::fs::read_to_string("/proc/net/udp").unwrap().contains(&listening).then_some(())
    });
    // Its receive buffer is the system's default: what comes at once has to fit.
    for burst in datagrams.chunks(16) {
        send(burst, port);
        wait_for("the second decoder to read all", || {
            let table = std::fs::read_to_string("/proc/net/udp").unwrap();
            let line = table.lines().find(|line| line.contains(&listening))?.to_owned();
            let queued = line.split_whitespace().nth(4)?.split(':').nth(1)?.to_owned();
            (queued == "00000000").then_some(())
        });
    }
    let pid = nix::unistd::Pid::from_raw(process.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    process.wait().unwrap();
    let file = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let file = file.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("nfcapd.2")).last().unwrap();
    let output = system_program("nfdump")
        .arg("-r")
        .arg(file)
        .args(["-q", "-N", "-o", "fmt:%sa|%da|%sp|%dp|%pr|%byt|%pkt"])
        .output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    let mut read = Flows::new();
    for line in text.lines().filter(|line| line.contains('|')) {
        let fields: Vec<&str> = line.split('|').map(str::trim).collect();
        let proto = match fields[4] {
            "TCP" => TCP,
            "UDP" => UDP,
            other => other.parse().unwrap(),
        };
        let key = (
            fields[0].parse().unwrap(),
            fields[1].parse().unwrap(),
            fields[2].parse().unwrap(),
            fields[3].parse().unwrap(),
            proto,
        );
        let sums = read.entry(key).or_default();
        *sums = (sums.0 + fields[5].parse::<u64>().unwrap(), sums.1 + fields[6].parse::<u64>().unwrap());
    }
    assert!(read.len() >= flows, "{collector} read {} flows of {flows}: {text}", read.len());
    read
}

fn packets(flows: &Flows) -> u64 {
    flows.values().map(|(_, packets)| packets).sum()
}

/// Runs one exporter's datagrams through both and compares with `expected`.
fn compare(traffic: &Traffic, collector: &str, datagrams: &[Vec<u8>]) {
    let engine = Engine::start();
    let helios = Helios::ready(&engine.url(), &[]);
    let stored = through_helios(&engine, &helios, datagrams, packets(&traffic.flows));
    assert_eq!(stored, traffic.flows);
    assert_eq!(through_nfdump(traffic, collector, datagrams, stored.len()), stored, "the second decoder disagrees");
    assert_eq!(helios.metric("helios_pipeline_rows_imbalance"), Some(0.0));
    assert_eq!(helios.metric("helios_collector_datagrams_imbalance"), Some(0.0));
    assert_eq!(helios.metric("helios_collector_datagrams_received_total"), Some(datagrams.len() as f64));
    let (status, log) = helios.stop();
    assert!(status.success(), "{log}");
}

/// NetFlow v1 messages of at most 24 records, which is all that nfcapd takes: softflowd fills datagrams.
fn cut_netflow1(datagrams: &[Vec<u8>]) -> Vec<Vec<u8>> {
    const HEADER_OCTETS: usize = 16;
    let parts = |datagram: &Vec<u8>| -> Vec<Vec<u8>> {
        let (header, records) = datagram.split_at(HEADER_OCTETS);
        let message = |records: &[u8]| {
            let count = (records.len() / netflow1::RECORD_OCTETS) as u16;
            [&header[..2], &count.to_be_bytes(), &header[4..], records].concat()
        };
        records.chunks(netflow1::MAX_RECORDS * netflow1::RECORD_OCTETS).map(message).collect()
    };
    datagrams.iter().flat_map(parts).collect()
}

#[test]
fn softflowd_netflow1() {
    let traffic = Traffic::generate();
    compare(&traffic, "nfcapd", &cut_netflow1(&softflowd(&traffic, 1)));
}

#[test]
fn softflowd_netflow5() {
    let traffic = Traffic::generate();
    compare(&traffic, "nfcapd", &softflowd(&traffic, 5));
}

#[test]
fn softflowd_netflow9() {
    let traffic = Traffic::generate();
    compare(&traffic, "nfcapd", &softflowd(&traffic, 9));
}

#[test]
fn softflowd_ipfix() {
    let traffic = Traffic::generate();
    compare(&traffic, "nfcapd", &softflowd(&traffic, 10));
}

#[test]
fn softflowd_ipfix_over_tcp() {
    let traffic = Traffic::generate();
    let engine = Engine::start();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let helios = Helios::ready(&engine.url(), &[&format!("collector.tcp.listen=127.0.0.1:{port}")]);
    let mut exporter = softflowd_to(&traffic, port, &["-v", "10", "-P", "tcp"]);
    assert!(exporter.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
    assert_eq!(stored(&engine, packets(&traffic.flows)), traffic.flows);
    assert_eq!(helios.metric("helios_collector_tcp_accepted_total"), Some(1.0));
    assert_eq!(helios.metric("helios_collector_tcp_closed_total"), Some(0.0));
    assert_eq!(helios.metric("helios_collector_exporter_lost_total").unwrap_or(0.0), 0.0);
    let (status, log) = helios.stop();
    assert!(status.success(), "{log}");
}

#[test]
fn pmacctd_ipfix() {
    let traffic = Traffic::generate();
    let settings = "nfprobe_version[p]: 10\naggregate[p]: src_host, dst_host, src_port, dst_port, proto, tos";
    compare(&traffic, "nfcapd", &pmacctd(&traffic, "nfprobe", settings));
}

/// Every packet that the probe says it sampled is stored with its length. (At its end, pmacctd keeps back the samples of
/// a datagram that is not full yet.)
#[test]
fn pmacctd_sflow_of_every_packet() {
    let traffic = Traffic::generate();
    let datagrams = pmacctd(&traffic, "sfprobe", "sfprobe_agentip[p]: 127.0.0.1\nsampling_rate: 1");
    let samples = samples(&datagrams, FLOW_SAMPLE);
    assert!(samples * 10 > packets(&traffic.flows) * 8, "{samples} samples");
    let engine = Engine::start();
    let helios = Helios::ready(&engine.url(), &[]);
    let stored = through_helios(&engine, &helios, &datagrams, samples);
    assert_eq!(packets(&stored), samples);
    for (&key, &(bytes, packets)) in &stored {
        let (all_bytes, all_packets) = traffic.flows[&key];
        assert_eq!(bytes * all_packets, all_bytes * packets, "{key:?}");
    }
    check_side_tables(&engine, helios, &datagrams, 1);
    assert_eq!(through_nfdump(&traffic, "sfcapd", &datagrams, stored.len()), in_frames(&stored));
}

/// Ends helios and looks at what it wrote of the exporter: all of its datagrams, nothing lost, an effective interval
/// that is the announced one as far as chance goes, and a row for each counter sample.
fn check_side_tables(engine: &Engine, helios: Helios, datagrams: &[Vec<u8>], interval: u64) {
    let (status, log) = helios.stop();
    assert!(status.success(), "{log}");
    let (flow_samples, counter_samples) = (samples(datagrams, FLOW_SAMPLE), samples(datagrams, COUNTER_SAMPLE));
    let sums = format!(
        "SELECT sum(datagrams), sum(flows), sum(samples), sum(counter_samples), sum(lost), max(sampling_interval),
                abs(sum(sample_pool) / sum(samples) - {interval}) < 1 FROM helios.exporters WHERE export_protocol = 'sflow5'"
    );
    let sent = format!("{}\t{flow_samples}\t{flow_samples}\t{counter_samples}\t0\t{interval}\t1\n", datagrams.len());
    assert_eq!(engine.query(&sums), sent);
    assert_eq!(engine.query("SELECT count() FROM helios.interface_counters"), format!("{counter_samples}\n"));
}

/// The flows as sfcapd counts them: with the octets of whole frames, their check sequence included.
fn in_frames(flows: &Flows) -> Flows {
    const FRAME_OCTETS: u64 = 14 + 4;
    let framed = |(&key, &(bytes, packets)): (&Key, &(u64, u64))| (key, (bytes + FRAME_OCTETS * packets, packets));
    flows.iter().map(framed).collect()
}

const FLOW_SAMPLE: usize = 1;
const COUNTER_SAMPLE: usize = 2;

/// Samples of a kind in the datagrams, behind an IPv4 agent address: pmacctd adds counter samples now and then.
fn samples(datagrams: &[Vec<u8>], kind: usize) -> u64 {
    const FIRST_SAMPLE: usize = 28;
    let word = |datagram: &[u8], at: usize| u32::from_be_bytes(datagram[at..at + 4].try_into().unwrap()) as usize;
    let mut n = 0;
    for datagram in datagrams {
        let mut at = FIRST_SAMPLE;
        while at + 8 <= datagram.len() {
            n += u64::from(word(datagram, at) == kind);
            at += 8 + word(datagram, at + 4);
        }
    }
    n
}

/// Sampled 1 in 4: what is stored, times the interval, estimates the traffic; the second decoder estimates the same.
#[test]
fn pmacctd_sflow_sampled() {
    const INTERVAL: u64 = 4;
    let traffic = Traffic::generate();
    let datagrams = pmacctd(&traffic, "sfprobe", "sfprobe_agentip[p]: 127.0.0.1\nsampling_rate: 4");
    let engine = Engine::start();
    let helios = Helios::ready(&engine.url(), &[]);
    let samples = samples(&datagrams, FLOW_SAMPLE);
    let stored = through_helios(&engine, &helios, &datagrams, samples * INTERVAL);
    assert_eq!(packets(&stored), samples * INTERVAL);
    assert_eq!(engine.query("SELECT groupUniqArray(sampling_interval) FROM helios.flows").trim(), "[4]");
    check_side_tables(&engine, helios, &datagrams, INTERVAL);
    // Within five standard deviations of a 1-in-4 sample of so many packets.
    let (n, p) = (packets(&traffic.flows) as f64, 1.0 / INTERVAL as f64);
    let deviation = (n * p * (1.0 - p)).sqrt();
    assert!((samples as f64 - n * p).abs() < 5.0 * deviation, "{samples} samples of {n} packets");
    assert!(stored.keys().all(|key| traffic.flows.contains_key(key)), "a flow that was never there");
    assert_eq!(through_nfdump(&traffic, "sfcapd", &datagrams, stored.len()), in_frames(&stored));
}
