//! NetFlow v1 as lines: neither of the generic decoders knows it. The names are those of Cisco's table.

use std::net::Ipv4Addr;

use serde_json::{Map, Value};

use super::{Datagram, Head};

const HEADER_OCTETS: usize = 16;
const RECORD_OCTETS: usize = 48;

/// The lines of a message, and whether it held as many records as its header says.
pub(super) fn lines(datagram: &Datagram, lines: &mut Vec<Value>) -> bool {
    let head = Head { sequence: None, ..Head::new(datagram, "netflow1", None, 0) };
    let (header, records) = datagram.payload.split_at(datagram.payload.len().min(HEADER_OCTETS));
    let count = usize::from(number::<2>(header, 2) as u16);
    let found = records.chunks_exact(RECORD_OCTETS).take(count);
    let before = lines.len();
    lines.extend(found.map(|record| head.line("record", [("fields", fields(record))])));
    header.len() == HEADER_OCTETS && lines.len() - before == count
}

fn fields(record: &[u8]) -> Value {
    let address = |at| Value::from(Ipv4Addr::from(number::<4>(record, at) as u32).to_string());
    let (two, four) = (|at| number::<2>(record, at).into(), |at| number::<4>(record, at).into());
    let one = |at| number::<1>(record, at).into();
    let fields: [(&str, Value); 18] = [
        ("src_addr", address(0)),
        ("dst_addr", address(4)),
        ("next_hop", address(8)),
        ("input", two(12)),
        ("output", two(14)),
        ("d_pkts", four(16)),
        ("d_octets", four(20)),
        ("first", four(24)),
        ("last", four(28)),
        ("src_port", two(32)),
        ("dst_port", two(34)),
        ("pad1", two(36)),
        ("protocol_number", one(38)),
        ("tos", one(39)),
        ("tcp_flags", one(40)),
        ("tcp_retx_cnt", one(41)),
        ("tcp_retx_secs", one(42)),
        ("tcp_misseq_cnt", one(43)),
    ];
    Value::Object(fields.map(|(name, value)| (name.to_owned(), value)).into_iter().collect::<Map<_, _>>())
}

/// The unsigned number of `N` octets at `at`; 0 behind the end.
fn number<const N: usize>(octets: &[u8], at: usize) -> u64 {
    octets.get(at..at + N).map_or(0, |octets| octets.iter().fold(0, |sum, &octet| sum << 8 | u64::from(octet)))
}
