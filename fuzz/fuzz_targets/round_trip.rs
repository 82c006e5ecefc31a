//! Flows, written in every version and read back: the rows are the flows.
#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use helios_collector::decode::Protocol;
use helios_fuzz::Bench;
use helios_fuzz::flows::{Flow, message, rows};
use libfuzzer_sys::fuzz_target;

/// The fields of a flow in the order of [`Flow`].
#[derive(Arbitrary)]
struct Input {
    addresses: [[u8; 4]; 3],
    ports: (u16, u16),
    octets: [u8; 3],
    counters: (u32, u32),
    interfaces: (u16, u16),
    systems: (u16, u16),
    masks: (u8, u8),
    times: (u32, u16),
}

impl Input {
    fn flow(&self) -> Flow {
        let [mut proto, tcp_flags, tos] = self.octets;
        if proto == 1 || proto == 58 {
            proto = 6; // the ports of ICMP are type and code
        }
        let ended_ms_ago = u32::from(self.times.1);
        Flow {
            src: self.addresses[0],
            dst: self.addresses[1],
            next_hop: self.addresses[2],
            src_port: self.ports.0,
            dst_port: self.ports.1,
            proto,
            tcp_flags,
            tos,
            packets: self.counters.0,
            octets: self.counters.1,
            in_if_index: self.interfaces.0,
            out_if_index: self.interfaces.1,
            src_as: self.systems.0,
            dst_as: self.systems.1,
            src_mask: self.masks.0 % 33,
            dst_mask: self.masks.1 % 33,
            // sysUptime is signed over its wrap: 24 days are the longest that it can tell.
            began_ms_ago: ended_ms_ago + self.times.0 % (1 << 30),
            ended_ms_ago,
        }
    }
}

fuzz_target!(|octets: &[u8]| {
    let mut input = Unstructured::new(octets);
    let mut flows = Vec::new();
    while flows.len() < 24 && !input.is_empty() {
        let Ok(flow) = Input::arbitrary(&mut input) else { break };
        flows.push(flow.flow());
    }
    for protocol in Protocol::ALL {
        let mut bench = Bench::default();
        bench.decode(1, &message(protocol, &flows));
        let read: Vec<_> = rows(&bench.out).into_iter().map(|row| row.as_carried_by(protocol)).collect();
        let sent: Vec<_> = flows.iter().map(|flow| flow.row().as_carried_by(protocol)).collect();
        assert_eq!(read, sent, "{}", protocol.name());
    }
});
