//! Columns that the configuration adds: an element of an enterprise ends in ClickHouse, in a table that was made without.

use std::net::UdpSocket;
use std::process::Command;

use helios_collector::encode::{Put, VARIABLE_LENGTH, enterprise_field, field, ipfix};
use helios_testkit::Engine;

use crate::running::{Helios, wait_for};

/// An enterprise of nobody (RFC 5612: for documentation).
const PEN: u32 = 32473;

const COLUMNS: &str = "columns=[{name: queue, pen: 32473, id: 7, type: uint32}, {name: from, pen: 32473, id: 8, type: string}, \
                       {name: src_again, id: 8, type: ip}]";

/// A template with both elements, the first of them in 3 octets, and a record.
fn message(sequence: u32, queue: [u8; 3], text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let header = ipfix::Header { export_secs: 1_700_000_000, sequence, observation_domain_id: 1 };
    let mut message = ipfix::Message::begin(&header, &mut octets);
    message.template(
        256,
        &[field(8, 4), field(1, 4), enterprise_field(PEN, 7, 3), enterprise_field(PEN, 8, VARIABLE_LENGTH)],
    );
    message.data(256, |out| {
        out.put(&[192, 0, 2, 9]);
        out.put_u32(1500);
        out.put(&queue);
        out.put_variable(text.as_bytes());
    });
    octets
}

fn send(helios: &Helios, octets: &[u8], stored: f64) {
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(octets, helios.flows).unwrap();
    wait_for("the row to be stored", || (helios.metric("helios_pipeline_rows_stored_total")? == stored).then_some(()));
}

#[test]
fn elements_of_an_enterprise_are_stored_in_a_table_that_was_made_without_them() {
    let engine = Engine::start();
    let before = Helios::ready(&engine.url(), &[]);
    send(&before, &message(0, [1, 2, 3], "early"), 1.0);
    let (status, log) = before.stop();
    assert!(status.success(), "{log}");

    let helios = Helios::ready(&engine.url(), &[COLUMNS]);
    send(&helios, &message(1, [1, 2, 3], "late"), 1.0);
    let rows = engine.query("SELECT bytes, queue, `from`, src_again FROM helios.flows ORDER BY `from`");
    assert_eq!(rows, "1500\t0\t\t::\n1500\t66051\tlate\t::ffff:192.0.2.9\n");
    let types = "SELECT name, type FROM system.columns WHERE table = 'flows' AND database = 'helios' \
                 ORDER BY position DESC LIMIT 3";
    assert_eq!(engine.query(types), "src_again\tIPv6\nfrom\tLowCardinality(String)\nqueue\tUInt32\n");
    let (status, log) = helios.stop();
    assert!(status.success(), "{log}");

    let migrate = |columns: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_helios"))
            .args(["migrate", "--clickhouse-url", &engine.url(), "--set", columns])
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(migrate(COLUMNS), (Some(0), String::new()));
    let (code, error) = migrate("columns=[{name: queue, pen: 32473, id: 7, type: uint64}]");
    assert_eq!(code, Some(1));
    assert!(error.contains("column queue of table `flows` is UInt32 and the configuration wants UInt64"), "{error}");
}
