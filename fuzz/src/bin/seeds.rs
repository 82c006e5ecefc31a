//! Writes the seed corpora into fuzz/corpus/: small messages of every version, made by the project's own encoders.

use std::path::Path;

use helios_collector::decode::Protocol;
use helios_collector::encode::{Field, Put, VARIABLE_LENGTH, enterprise_field, field, ipfix, netflow9};
use helios_fuzz::flows::{Flow, message};

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let flow = Flow {
        src: [10, 0, 0, 1],
        dst: [192, 0, 2, 2],
        src_port: 51_000,
        dst_port: 443,
        proto: 6,
        packets: 5,
        octets: 4_000,
        began_ms_ago: 9_000,
        ended_ms_ago: 1_000,
        ..Flow::default()
    };
    let of_each = Protocol::ALL.map(|protocol| (protocol.name(), message(protocol, &[flow, flow])));
    let mut seeds: Vec<(&str, &str, Vec<u8>)> =
        of_each.iter().map(|(version, octets)| (*version, "flows", octets.clone())).collect();
    seeds.extend(templated());
    seeds.push(("round_trip", "flow", (0..=127).collect()));
    for (order, name) in [([0, 1, 2, 3, 4, 5], "upwards"), ([5, 4, 3, 2, 1, 0], "downwards")] {
        let datagrams = order.map(|at| of_each[at].1.as_slice());
        seeds.push(("stream", name, stream(&datagrams)));
    }
    let (template, data) = apart();
    seeds.push(("stream", "data-first", stream(&[&data, &data, &template, &data])));
    for (target, name, octets) in seeds {
        let folder = corpus.join(target);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(name), octets)?;
    }
    Ok(())
}

/// Datagrams of one exporter, each with its exporter and its length before it.
fn stream(datagrams: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for datagram in datagrams {
        out.put_u8(1);
        out.put_u16(u16::try_from(datagram.len()).expect("seeds are small"));
        out.put(datagram);
    }
    out
}

fn ipfix_message(write: impl FnOnce(&mut ipfix::Message<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut ipfix::Message::begin(&ipfix::Header { export_secs: 1_700_000_000, ..ipfix::Header::default() }, &mut out));
    out
}

const TEMPLATE: [Field; 3] = [field(8, 4), field(1, 4), field(7, 2)];

/// A template and data for it, a message each.
fn apart() -> (Vec<u8>, Vec<u8>) {
    let template = ipfix_message(|m| m.template(256, &TEMPLATE));
    (template, ipfix_message(|m| m.data(256, |out| out.put(&[10, 0, 0, 1, 0, 0, 1, 0, 0, 80]))))
}

/// What the template-based versions have and the common flows have not.
fn templated() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let biflow = [field(8, 4), field(12, 4), field(1, 4), enterprise_field(29305, 1, 4)];
    let names = [field(8, 4), field(236, VARIABLE_LENGTH), field(95, 4), field(315, VARIABLE_LENGTH)];
    let twice = [field(8, 4), field(4, 1), field(27, 16), field(4, 1), field(160, 8), field(22, 4)];
    let mut options = Vec::new();
    let mut message = netflow9::Message::begin(&netflow9::Header::default(), &mut options);
    message.options_template(257, &[(netflow9::Scope::Interface, 4)], &[field(48, 1), field(50, 4), field(82, 8)]);
    message.data(257, 1, |out| {
        out.put(&[0, 0, 0, 1, 7, 0, 0, 0, 100]);
        out.put_text("Gi0/1", 8);
    });
    message.template(256, &[field(8, 4), field(48, 1), field(70, 3), field(230, 1)]);
    message.data(256, 1, |out| out.put(&[10, 0, 0, 1, 7, 0, 1, 1, 4]));
    vec![
        ("netflow9", "options", options),
        (
            "ipfix",
            "biflow",
            ipfix_message(|m| {
                m.template(256, &biflow);
                m.data(256, |out| out.put(&[10, 0, 0, 1, 10, 0, 0, 2, 0, 0, 0, 9, 0, 0, 0, 8]));
            }),
        ),
        (
            "ipfix",
            "variable",
            ipfix_message(|m| {
                m.template(256, &names);
                m.data(256, |out| {
                    out.put(&[10, 0, 0, 1]);
                    out.put_variable(b"blue");
                    out.put_u32(13 << 24 | 453);
                    out.put_variable(&[0; 34]);
                });
                m.withdraw_template(256);
            }),
        ),
        (
            "ipfix",
            "twice",
            ipfix_message(|m| {
                m.template(256, &twice);
                m.data(256, |out| out.put(&[1; 34]));
            }),
        ),
    ]
}
