//! The other direction of biflow records: a plan whose sources and destinations are exchanged.
//!
//! RFC 5103 §4: a record carries forward and reverse counters of one conversation. Directional key fields are
//! shared and turned around, counters come from the reverse elements, everything else of the reverse direction
//! only if it was exported. Cisco's NSEL says the same with initiator and responder counters.

use helios_common::columns::{
    BGP_NEXT_HOP, BYTES, Column, DST_ADDR, DST_AS, DST_MAC, DST_MASK, DST_PEER_AS, DST_PORT, DST_VLAN, EGRESS_VRF_ID,
    FLOW_DIRECTION, FLOW_END_REASON, FORWARDING_STATUS, FRAGMENT_OFFSET, FRAME_LENGTH, IN_IF_INDEX, INGRESS_VRF_ID,
    IPV6_FLOW_LABEL, NEXT_HOP, OUT_IF_INDEX, OUTER_DST_ADDR, OUTER_SRC_ADDR, PACKETS, POST_NAT_DST_ADDR,
    POST_NAT_DST_PORT, POST_NAT_SRC_ADDR, POST_NAT_SRC_PORT, SRC_ADDR, SRC_AS, SRC_MAC, SRC_MASK, SRC_PEER_AS,
    SRC_PORT, SRC_VLAN, TCP_FLAGS, TTL,
};
use helios_common::ie::{Ie, REVERSE_PEN, iana};

use super::{Plan, Reverse};
use crate::decode::template::Field;

const fn reversed(element: Ie) -> Ie {
    Ie { pen: REVERSE_PEN, id: element.id }
}

/// Counters of the reverse direction, in order of preference (231/232 and 298/299 are a pair each).
const REVERSE_BYTES: [Ie; 4] = [reversed(iana(1)), reversed(iana(85)), iana(232), reversed(iana(23))];
const REVERSE_PACKETS: [Ie; 4] = [reversed(iana(2)), reversed(iana(86)), iana(299), reversed(iana(24))];

/// `initiatorOctets` and `initiatorPackets`, beside which those of the responder have their meaning.
const INITIATOR: [Ie; 2] = [iana(231), iana(298)];

/// Columns that change places when a flow is seen from the other end.
fn turned(column: Column) -> Column {
    let pairs = [
        (SRC_ADDR.column(), DST_ADDR.column()),
        (SRC_PORT.column(), DST_PORT.column()),
        (SRC_MASK.column(), DST_MASK.column()),
        (SRC_AS.column(), DST_AS.column()),
        (SRC_PEER_AS.column(), DST_PEER_AS.column()),
        (SRC_MAC.column(), DST_MAC.column()),
        (SRC_VLAN.column(), DST_VLAN.column()),
        (IN_IF_INDEX.column(), OUT_IF_INDEX.column()),
        (INGRESS_VRF_ID.column(), EGRESS_VRF_ID.column()),
        (POST_NAT_SRC_ADDR.column(), POST_NAT_DST_ADDR.column()),
        (POST_NAT_SRC_PORT.column(), POST_NAT_DST_PORT.column()),
        (OUTER_SRC_ADDR.column(), OUTER_DST_ADDR.column()),
    ];
    for (a, b) in pairs {
        if column == a {
            return b;
        }
        if column == b {
            return a;
        }
    }
    column
}

/// Columns of what one direction did or where it went, which say nothing about the other.
fn is_one_sided(column: Column) -> bool {
    [
        TCP_FLAGS.column(),
        TTL.column(),
        FLOW_END_REASON.column(),
        FORWARDING_STATUS.column(),
        NEXT_HOP.column(),
        BGP_NEXT_HOP.column(),
        IPV6_FLOW_LABEL.column(),
        FRAGMENT_OFFSET.column(),
        FRAME_LENGTH.column(),
    ]
    .contains(&column)
}

/// The reverse direction of a template, if it has one.
pub(super) fn compile(fields: &[Field]) -> Option<Reverse> {
    let find = |element: &Ie| fields.iter().position(|field| field.ie == *element && field.length > 0);
    // Devices that do not know of initiators have something else under these numbers (Huawei: two octets under 232).
    let initiated = INITIATOR.iter().any(|element| find(element).is_some());
    let counts = |element: &Ie| element.pen == REVERSE_PEN || initiated;
    let [bytes, packets] =
        [REVERSE_BYTES, REVERSE_PACKETS].map(|elements| elements.into_iter().filter(counts).collect::<Vec<_>>());
    let counters: Vec<usize> = bytes.iter().chain(&packets).filter_map(find).collect();
    if counters.is_empty() {
        return None;
    }
    let mut plan = Plan::with_sources(fields, |elements, column| {
        // Only IANA's elements have a reverse one by their number alone (RFC 5103 §6.1).
        let own = elements.iter().copied().filter(|element| element.pen == 0).map(reversed);
        let elements = if column == BYTES.column() {
            bytes.clone()
        } else if column == PACKETS.column() {
            packets.clone()
        } else if is_one_sided(column) {
            own.collect()
        } else if turned(column) != column || column == FLOW_DIRECTION.column() {
            elements.to_vec()
        } else {
            own.chain(elements.iter().copied()).collect()
        };
        (elements, turned(column))
    });
    // Labels, communities and lists are of the way that the forward packets went, a section is one of them.
    plan.mpls.clear();
    plan.communities.clear();
    plan.lists.clear();
    plan.frame = None;
    if let Some(ends) = &mut plan.ends {
        ends.reversed = true;
    }
    Some(Reverse { counters, plan })
}
