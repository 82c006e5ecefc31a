//! Columns that the configuration adds, filled by the plans: a binary of its own, because a process adds them once.

#![allow(clippy::unwrap_used)] // Helpers of tests fail by panicking, as tests do.

use std::sync::Arc;

use helios_collector::decode::{DatagramMeta, Decoder, DecoderConfig};
use helios_collector::encode::{Put, VARIABLE_LENGTH, enterprise_field, field, ipfix, netflow9};
use helios_common::columns::extra::{self, Closed, Definition};
use helios_common::columns::{Col, Column, ColumnKind, SRC_ADDR, Value};
use helios_common::exporter::{Exporters, mapped};
use helios_common::flow::FlowBatch;
use helios_common::ie::{Ie, iana};
use helios_common::names::Names;

const PEN: u32 = 32473;

/// What a message became.
struct Decoded {
    names: Arc<Names>,
    out: FlowBatch,
}

fn decode(message: &[u8]) -> Decoded {
    let (names, mut out) = (Arc::new(Names::new()), FlowBatch::new());
    let exporters = Arc::new(Exporters::new(Arc::clone(&names)));
    let mut decoder = Decoder::new(DecoderConfig::default(), exporters, Arc::clone(&names));
    let meta = DatagramMeta { source: "192.0.2.1:4000".parse().unwrap(), received_at: 1_700_000_000_000 };
    decoder.decode(message, &meta, &mut out).unwrap();
    out.seal();
    Decoded { names, out }
}

fn ipfix(write: impl FnOnce(&mut ipfix::Message<'_>)) -> Vec<u8> {
    let mut octets = Vec::new();
    let header = ipfix::Header { export_secs: 1_700_000_000, sequence: 0, observation_domain_id: 0 };
    write(&mut ipfix::Message::begin(&header, &mut octets));
    octets
}

fn netflow9(write: impl FnOnce(&mut netflow9::Message<'_>)) -> Vec<u8> {
    let mut octets = Vec::new();
    let header = netflow9::Header { sys_uptime_ms: 1000, export_secs: 1_700_000_000, sequence: 0, source_id: 7 };
    write(&mut netflow9::Message::begin(&header, &mut octets));
    octets
}

/// Adds the columns unless another test of this process has.
fn install() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let element = |id| Ie { pen: PEN, id };
        let of = |name: &str, element, kind| Definition { name: name.to_owned(), element, kind };
        let definitions = [
            of("small", element(1), ColumnKind::U8),
            of("wide", element(2), ColumnKind::U64),
            of("station", element(3), ColumnKind::Mac),
            of("gateway", element(4), ColumnKind::Address),
            of("label", element(5), ColumnKind::Name),
            of("source", iana(8), ColumnKind::Address),
            of("asa_user", iana(40_000), ColumnKind::Name),
        ];
        assert_eq!(extra::check(&definitions), []);
        extra::install(&definitions).unwrap();
        assert_eq!(extra::install(&definitions), Err(Closed));
    });
}

fn column<T: Value>(name: &str) -> Col<T> {
    Column::by_name(name).unwrap().typed().unwrap()
}

#[test]
fn integers_of_every_length_are_read_and_what_does_not_fit_is_the_largest() {
    install();
    for length in 1..=8_u16 {
        let decoded = decode(&ipfix(|m| {
            m.template(256, &[enterprise_field(PEN, 1, length), enterprise_field(PEN, 2, length)]);
            m.data(256, |out| {
                for last in [7, 200] {
                    let mut value = vec![0; usize::from(length)];
                    *value.last_mut().unwrap() = last;
                    out.put(&value);
                    out.put(&vec![0xff; usize::from(length)]);
                }
                out.put(&vec![1; 2 * usize::from(length)]);
            });
        }));
        let most = u64::MAX >> (64 - 8 * u32::from(length));
        let third = if length == 1 { 1 } else { 255 };
        assert_eq!(decoded.out.values(column::<u8>("small")), [7, 200, third], "{length}");
        assert_eq!(decoded.out.values(column::<u64>("wide"))[..2], [most; 2], "{length}");
    }
}

#[test]
fn every_type_is_read_by_its_column_not_by_its_element() {
    install();
    let decoded = decode(&ipfix(|m| {
        m.template(
            256,
            &[
                field(8, 4),
                enterprise_field(PEN, 3, 6),
                enterprise_field(PEN, 4, VARIABLE_LENGTH),
                enterprise_field(PEN, 5, VARIABLE_LENGTH),
            ],
        );
        m.data(256, |out| {
            let gateways: [&[u8]; 4] = [&[10, 0, 0, 1], &[0x20; 16], &[1, 2, 3], &[]];
            for gateway in gateways {
                out.put(&[192, 0, 2, 1]);
                out.put(&[0, 0x12, 0x34, 0x56, 0x78, 0x9a]);
                out.put_variable(gateway);
                out.put_variable("blå".as_bytes());
            }
        });
    }));
    let batch = &decoded.out;
    assert_eq!(batch.values(column::<[u8; 16]>("gateway")), [mapped([10, 0, 0, 1]), [0x20; 16], [0; 16], [0; 16]]);
    assert_eq!(batch.values(column::<u64>("station")), [0x0012_3456_789a; 4]);
    assert_eq!(batch.values(column::<[u8; 16]>("source")), batch.values(SRC_ADDR), "one element, two columns");
    let label = batch.get(column::<u32>("label"), 3);
    assert_eq!(decoded.names.read().get(label), "blå");
}

#[test]
fn netflow9_types_that_ipfix_cannot_number_can_be_mapped() {
    install();
    let decoded = decode(&netflow9(|m| {
        m.template(256, &[field(8, 4), field(40_000, 8)]);
        m.data(256, 1, |out| {
            out.put(&[192, 0, 2, 1]);
            out.put(b"alice\0\0\0");
        });
    }));
    let user = decoded.out.get(column::<u32>("asa_user"), 0);
    assert_eq!(decoded.names.read().get(user), "alice");
}
