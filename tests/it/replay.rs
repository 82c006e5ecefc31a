//! `helios replay --tcp` into a running Helios: what the capture holds comes out as rows.

use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use helios_collector::encode::{Put, field, ipfix, netflow5};
use helios_lab::capture::Writer;
use helios_testkit::Engine;

use crate::running::{Helios, wait_for};

/// Messages of each exporter, so many that a segment holds several.
const MESSAGES: u32 = 400;
const RECORDS: u32 = 20;

/// A message of `domain`, with a template in the first one: octets and source port, or the same in the other order.
fn message(domain: u32, number: u32) -> Vec<u8> {
    let mut octets = Vec::new();
    let header =
        ipfix::Header { export_secs: 1_700_000_000, sequence: number * RECORDS, observation_domain_id: domain };
    let mut message = ipfix::Message::begin(&header, &mut octets);
    let mut fields = [field(1, 4), field(7, 2)];
    if domain == 2 {
        fields.reverse();
    }
    if number == 0 {
        message.template(256, &fields);
    }
    message.data(256, |out| {
        for _ in 0..RECORDS {
            if domain == 2 {
                out.put_u16(53);
                out.put_u32(100);
            } else {
                out.put_u32(1500);
                out.put_u16(443);
            }
        }
    });
    octets
}

#[test]
fn a_capture_of_ipfix_goes_over_tcp_and_comes_out_as_rows() {
    let folder = tempfile::tempdir().unwrap();
    let capture = folder.path().join("capture.pcap");
    let mut writer = Writer::new(std::fs::File::create(&capture).unwrap()).unwrap();
    let collector: SocketAddr = "192.0.2.250:4739".parse().unwrap();
    let mut put = |source: &str, octets: &[u8]| {
        writer.datagram(1_700_000_000_000_000_000, source.parse().unwrap(), collector, octets).unwrap();
    };
    // Two exporters whose templates have one number and two meanings; and what cannot go over TCP.
    for number in 0..MESSAGES {
        put("192.0.2.1:4000", &message(1, number));
        put("192.0.2.2:4000", &message(2, number));
    }
    let mut other = Vec::new();
    netflow5::message(&netflow5::Header::default(), &[netflow5::Record::default()], &mut other);
    put("192.0.2.3:4000", &other);

    let engine = Engine::start();
    let target = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let helios = Helios::ready(&engine.url(), &[&format!("collector.tcp.listen={target}")]);
    let output = Command::new(env!("CARGO_BIN_EXE_helios"))
        .args(["replay", "--tcp", "--max", "--keep-sources", "--target", &target])
        .arg(&capture)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("IPFIX"), "what was left out is not told: {stderr}");

    let rows = u64::from(2 * MESSAGES * RECORDS);
    wait_for("all rows to be stored", || {
        (helios.metric("helios_pipeline_rows_stored_total")? == rows as f64).then_some(())
    });
    let of_exporters = engine.query(
        "SELECT exporter_address, observation_domain_id, src_port, count(), sum(bytes) FROM helios.flows
         GROUP BY 1, 2, 3 ORDER BY 1 FORMAT TSV",
    );
    let n = u64::from(MESSAGES * RECORDS);
    let expected =
        format!("::ffff:127.128.0.1\t1\t443\t{n}\t{}\n::ffff:127.128.0.2\t2\t53\t{n}\t{}\n", n * 1500, n * 100);
    assert_eq!(of_exporters, expected);
    assert_eq!(helios.metric("helios_collector_tcp_accepted_total"), Some(2.0));
    assert_eq!(helios.metric("helios_collector_exporter_lost_total").unwrap_or(0.0), 0.0);
    let (status, log) = helios.stop();
    assert!(status.success(), "{log}");
}
