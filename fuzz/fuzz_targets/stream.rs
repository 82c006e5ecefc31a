//! A stream of datagrams from several exporters to one decoder: exporter, length in two octets, datagram, and again.
//!
//! Template state, held sets, tables and sequence numbers are kept over the stream; exporter 255 lets time expire them.
#![no_main]

use helios_fuzz::Bench;
use libfuzzer_sys::fuzz_target;

const EXPIRE: u8 = 255;

fuzz_target!(|octets: &[u8]| {
    let mut bench = Bench::default();
    let mut rest = octets;
    while let Some((&[exporter, high, low], behind)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (datagram, next) = behind.split_at(length.min(behind.len()));
        if exporter == EXPIRE {
            bench.expire();
        } else {
            bench.decode(exporter % 4, datagram);
        }
        bench.out.clear();
        rest = next;
    }
});
