//! What the agent tells, by OID.

use super::Table;
use super::ber::{Oid, Value};
use crate::network::State;
use crate::tree;

const SYSTEM: [u32; 7] = [1, 3, 6, 1, 2, 1, 1];
const IF_NUMBER: [u32; 9] = [1, 3, 6, 1, 2, 1, 2, 1, 0];
const IF_ENTRY: [u32; 9] = [1, 3, 6, 1, 2, 1, 2, 2, 1];
const IF_X_ENTRY: [u32; 10] = [1, 3, 6, 1, 2, 1, 31, 1, 1, 1];
const BGP: [u32; 7] = [1, 3, 6, 1, 2, 1, 15];
const HOST: [u32; 7] = [1, 3, 6, 1, 2, 1, 25];
const ENTITY_PHYSICAL: [u32; 10] = [1, 3, 6, 1, 2, 1, 47, 1, 1, 1];
const ENTITY_SENSOR: [u32; 10] = [1, 3, 6, 1, 2, 1, 99, 1, 1, 1];

/// hrStorageRam (RFC 2790).
const STORAGE_RAM: [u32; 10] = [1, 3, 6, 1, 2, 1, 25, 2, 1, 2];
/// hrDeviceProcessor.
const DEVICE_PROCESSOR: [u32; 10] = [1, 3, 6, 1, 2, 1, 25, 3, 1, 3];

/// Octets of a unit of hrStorage: the sizes are of 32 bits.
const UNIT: u64 = 4_096;

/// The index of the one sensor in ENTITY-MIB.
const SENSOR: u32 = 1001;

fn octets(text: &str) -> Value {
    Value::Octets(text.as_bytes().to_vec())
}

fn ticks(ms: i64) -> u32 {
    // They wrap after 497 days (RFC 2578 §7.1.8).
    (ms.max(0) / 10) as u32
}

/// All objects of a device.
pub(super) fn table(state: &State, device: usize) -> Table {
    let mut table = Table::new();
    system(state, device, &mut table);
    interfaces(state, device, &mut table);
    sessions(state, device, &mut table);
    host(state, device, &mut table);
    table
}

fn put(table: &mut Table, root: &[u32], rest: &[u32], value: Value) {
    table.insert(Oid(root.to_vec()).child(rest), value);
}

fn system(state: &State, device: usize, table: &mut Table) {
    let (described, running) = (&state.description.devices[device], &state.devices[device]);
    let hostname = running.config["system"]["config"]["hostname"].as_str().unwrap_or(&described.name);
    for (object, value) in [
        (1, octets(&format!("{} {}", described.manufacturer, described.platform))),
        (2, Value::Oid(Oid(vec![1, 3, 6, 1, 4, 1, 8072, 3, 2, 255]))),
        (3, Value::TimeTicks(ticks(state.now - running.boot))),
        (4, octets("")),
        (5, octets(hostname)),
        (6, octets(&described.site)),
        (7, Value::Integer(78)),
    ] {
        put(table, &SYSTEM, &[object, 0], value);
    }
}

fn interfaces(state: &State, device: usize, table: &mut Table) {
    let (described, running) = (&state.description.devices[device], &state.devices[device]);
    put(table, &IF_NUMBER, &[], Value::Integer(described.interfaces.len() as i64));
    for (at, (interface, now)) in described.interfaces.iter().zip(&running.interfaces).enumerate() {
        let (index, counters) = (at as u32 + 1, &now.counters);
        let status = |up: bool| Value::Integer(if up { 1 } else { 2 });
        // Counters of 32 bits are the low bits (RFC 2863 §3.1.6).
        let low = |number: u64| Value::Counter32(number as u32);
        for (object, value) in [
            (1, Value::Integer(i64::from(index))),
            (2, octets(&interface.name)),
            (3, Value::Integer(6)),
            (4, Value::Integer(9_214)),
            (5, Value::Gauge32(u32::try_from(interface.speed_mbps * 1_000_000).unwrap_or(u32::MAX))),
            (7, status(state.is_enabled(device, at))),
            (8, status(now.up)),
            (9, Value::TimeTicks(ticks(now.last_change - running.boot))),
            (10, low(counters.in_octets)),
            (11, low(counters.in_packets)),
            (13, Value::Counter32(0)),
            (14, low(counters.in_errors)),
            (15, Value::Counter32(0)),
            (16, low(counters.out_octets)),
            (17, low(counters.out_packets)),
            (19, Value::Counter32(0)),
            (20, Value::Counter32(0)),
        ] {
            put(table, &IF_ENTRY, &[object, index], value);
        }
        for (object, value) in [
            (1, octets(&interface.name)),
            (6, Value::Counter64(counters.in_octets)),
            (7, Value::Counter64(counters.in_packets)),
            (8, Value::Counter64(0)),
            (9, Value::Counter64(0)),
            (10, Value::Counter64(counters.out_octets)),
            (11, Value::Counter64(counters.out_packets)),
            (12, Value::Counter64(0)),
            (13, Value::Counter64(0)),
            (15, Value::Gauge32(interface.speed_mbps as u32)),
            (18, octets(&interface.description)),
        ] {
            put(table, &IF_X_ENTRY, &[object, index], value);
        }
    }
}

fn sessions(state: &State, device: usize, table: &mut Table) {
    let (described, running) = (&state.description.devices[device], &state.devices[device]);
    put(table, &BGP, &[1, 0], octets("\u{10}"));
    put(table, &BGP, &[2, 0], Value::Integer(i64::from(described.asn)));
    for session in &running.sessions {
        let Ok(peer) = session.peer.parse::<std::net::Ipv4Addr>() else { continue };
        let index = peer.octets().map(u32::from);
        let enabled = tree::neighbor_enabled(&running.config, &session.peer);
        for (object, value) in [
            (1, Value::IpAddress(peer.octets())),
            (2, Value::Integer(session.state as i64)),
            (3, Value::Integer(if enabled { 2 } else { 1 })),
            (7, Value::IpAddress(peer.octets())),
            (9, Value::Integer(i64::from(session.peer_as))),
            (15, Value::Counter32(session.transitions as u32)),
            (16, Value::Gauge32(u32::try_from((state.now - session.since) / 1000).unwrap_or(0))),
        ] {
            let [a, b, c, d] = index;
            put(table, &BGP, &[3, 1, object, a, b, c, d], value);
        }
    }
}

fn host(state: &State, device: usize, table: &mut Table) {
    let running = &state.devices[device];
    let (used, physical) = tree::memory_used(device);
    put(table, &HOST, &[1, 1, 0], Value::TimeTicks(ticks(state.now - running.boot)));
    for (object, value) in [
        (1, Value::Integer(1)),
        (2, Value::Oid(Oid(STORAGE_RAM.to_vec()))),
        (3, octets("Physical memory")),
        (4, Value::Integer(UNIT as i64)),
        (5, Value::Integer((physical / UNIT) as i64)),
        (6, Value::Integer((used / UNIT) as i64)),
    ] {
        put(table, &HOST, &[2, 3, 1, object, 1], value);
    }
    for (object, value) in [
        (1, Value::Integer(1)),
        (2, Value::Oid(Oid(DEVICE_PROCESSOR.to_vec()))),
        (3, octets("CPU0")),
        (5, Value::Integer(2)),
    ] {
        put(table, &HOST, &[3, 2, 1, object, 1], value);
    }
    put(table, &HOST, &[3, 3, 1, 2, 1], Value::Integer(tree::cpu_percent(state, device) as i64));
    put(table, &ENTITY_PHYSICAL, &[1, 2, SENSOR], octets("Temperature of CPU0"));
    put(table, &ENTITY_PHYSICAL, &[1, 7, SENSOR], octets("CPU0"));
    // Celsius (8), units (9), one digit behind the point, ok (1).
    let tenths = tree::temperature_tenths(state, device) as i64;
    for (object, value) in [(1, 8), (2, 9), (3, 1), (4, tenths), (5, 1)] {
        put(table, &ENTITY_SENSOR, &[object, SENSOR], Value::Integer(value));
    }
}
