//! `interface_counters`: what sFlow agents count themselves, a row per counter sample.
//!
//! The row is wide: a sample has some of the structures, `structures` says which, and the columns of the others hold
//! nothing. Counters are as the agent sent them, ever growing and wrapping at the width of their column; a counter
//! with all bits set is one that the agent does not have (sFlow version 5, §5.3). Rates are differences between rows
//! of the same exporter, source and `uptime_ms` that grows.

use crate::columns::Labels;

/// The bits of `structures`.
pub const GENERIC: u32 = 1;
/// The sample had the record of an Ethernet interface.
pub const ETHERNET: u32 = 1 << 1;
/// The sample had the record of a VLAN.
pub const VLAN: u32 = 1 << 2;
/// The sample had the record of a processor.
pub const PROCESSOR: u32 = 1 << 3;
/// The sample had the record of a port's name.
pub const PORT_NAME: u32 = 1 << 4;

/// Values of `if_direction` (sFlow version 5, `if_counters`, after MAU MIB, RFC 2668).
pub const IF_DIRECTIONS: Labels = &[(0, "unknown"), (1, "full_duplex"), (2, "half_duplex"), (3, "in"), (4, "out")];

#[rustfmt::skip]
side_table! {
    /// One counter sample.
    InterfaceCounters in InterfaceCounters {
        received_at: Time ["DoubleDelta, ZSTD(1)"] "" "Arrival of the datagram.";
        exporter_address: Address "" "Address of the agent, as in flows.";
        exporter_socket_address: Address "" "Source address of the datagram where it is not the agent's address, as in flows.";
        sub_agent_id: U32 "" "The agent's part that counts; the observation domain of flows.";
        source_type: U32 "" "What was counted: 0 an interface, 1 a VLAN (smonVlanDataSource), 2 a physical entity.";
        source_index: U32 "" "Its number: ifIndex, VLAN, entPhysicalIndex.";
        sequence: U32 "" "Counter samples of this source so far; starts anew when its counters do.";
        uptime_ms: U32 "ms" "How long the agent has been up.";
        structures: U32 "" "What the sample held, as bits: 1 interface, 2 Ethernet, 4 VLAN, 8 processor, 16 port name.";

        if_index: U32 "" "ifIndex.";
        if_name: Text "" "The port's name, of agents that tell it; 32 octets of it.";
        if_type: U32 "" "ifType of IANA: 6 Ethernet, 161 link aggregation.";
        if_speed: U64 "bit/s" "Speed of the interface.";
        if_direction: Enum(IF_DIRECTIONS) "" "Duplex mode.";
        if_status: U32 "" "Bit 0: administratively up. Bit 1: operationally up.";
        if_in_octets: U64 "octets" "Octets received.";
        if_in_ucast_pkts: U32 "packets" "Unicast packets received.";
        if_in_multicast_pkts: U32 "packets" "Multicast packets received.";
        if_in_broadcast_pkts: U32 "packets" "Broadcast packets received.";
        if_in_discards: U32 "packets" "Packets without errors that were discarded on the way in.";
        if_in_errors: U32 "packets" "Packets received with errors.";
        if_in_unknown_protos: U32 "packets" "Packets received of a protocol that is not supported.";
        if_out_octets: U64 "octets" "Octets sent.";
        if_out_ucast_pkts: U32 "packets" "Unicast packets sent.";
        if_out_multicast_pkts: U32 "packets" "Multicast packets sent.";
        if_out_broadcast_pkts: U32 "packets" "Broadcast packets sent.";
        if_out_discards: U32 "packets" "Packets without errors that were discarded on the way out.";
        if_out_errors: U32 "packets" "Packets not sent because of errors.";
        if_promiscuous_mode: U32 "" "1 if every frame is received, 2 if not.";

        dot3_stats_alignment_errors: U32 "frames" "Frames whose length is no whole number of octets.";
        dot3_stats_fcs_errors: U32 "frames" "Frames with a wrong check sum.";
        dot3_stats_single_collision_frames: U32 "frames" "Frames sent after one collision.";
        dot3_stats_multiple_collision_frames: U32 "frames" "Frames sent after several collisions.";
        dot3_stats_sqe_test_errors: U32 "" "SQE test errors.";
        dot3_stats_deferred_transmissions: U32 "frames" "Frames that had to wait for a busy medium.";
        dot3_stats_late_collisions: U32 "" "Collisions later than one slot time: a duplex mismatch.";
        dot3_stats_excessive_collisions: U32 "frames" "Frames given up after too many collisions.";
        dot3_stats_internal_mac_transmit_errors: U32 "frames" "Frames not sent for an error inside the MAC.";
        dot3_stats_carrier_sense_errors: U32 "" "Times that the carrier was lost while sending.";
        dot3_stats_frame_too_longs: U32 "frames" "Frames longer than permitted.";
        dot3_stats_internal_mac_receive_errors: U32 "frames" "Frames not received for an error inside the MAC.";
        dot3_stats_symbol_errors: U32 "" "Invalid symbols: bad cable or optics.";

        vlan_id: U32 "" "The VLAN that the next five are of.";
        vlan_octets: U64 "octets" "Octets in the VLAN.";
        vlan_ucast_pkts: U32 "packets" "Unicast packets in the VLAN.";
        vlan_multicast_pkts: U32 "packets" "Multicast packets in the VLAN.";
        vlan_broadcast_pkts: U32 "packets" "Broadcast packets in the VLAN.";
        vlan_discards: U32 "packets" "Packets discarded in the VLAN.";

        cpu_5s: U32 "0.01 %" "Load of the device's processor over 5 seconds.";
        cpu_1m: U32 "0.01 %" "The same over a minute.";
        cpu_5m: U32 "0.01 %" "The same over five minutes.";
        memory_total: U64 "bytes" "Memory of the device.";
        memory_free: U64 "bytes" "Of this, free.";
    }
}
