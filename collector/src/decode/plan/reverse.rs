//! The other direction of biflow records: a plan whose sources and destinations are exchanged.
//!
//! RFC 5103 §4: a record carries forward and reverse counters of one conversation. Directional key fields are
//! shared and exchanged, counters come from the reverse elements, everything else of the reverse direction
//! only if it was exported. Cisco's NSEL does the same with initiator and responder counters. Which column is
//! directional, the column table says: [`Direction`].

use helios_common::columns::{BYTES, Direction, PACKETS};
use helios_common::ie::{Ie, REVERSE_PEN, iana};

use super::{Op, Plan, Reverse};
use crate::decode::template::Field;

const fn reversed(element: Ie) -> Ie {
    Ie { pen: REVERSE_PEN, id: element.id }
}

/// Counters of the reverse direction, in order of preference (231/232 and 298/299 are a pair each).
const REVERSE_BYTES: [Ie; 4] = [reversed(iana(1)), reversed(iana(85)), iana(232), reversed(iana(23))];
const REVERSE_PACKETS: [Ie; 4] = [reversed(iana(2)), reversed(iana(86)), iana(299), reversed(iana(24))];

/// `initiatorOctets` and `initiatorPackets`, beside which those of the responder have their meaning.
const INITIATOR: [Ie; 2] = [iana(231), iana(298)];

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
        if column == BYTES.column() {
            return (bytes.clone(), column);
        }
        if column == PACKETS.column() {
            return (packets.clone(), column);
        }
        match column.spec().direction {
            Direction::Pair(partner) => (elements.to_vec(), partner),
            Direction::Fixed => (elements.to_vec(), column),
            Direction::OneWay => (own.collect(), column),
            Direction::Both => (own.chain(elements.iter().copied()).collect(), column),
        }
    });
    // Label stacks, communities, lists, Juniper's reason and packet sections are fields of the forward direction that do not
    // become columns by the table's elements.
    plan.mpls.clear();
    plan.communities.clear();
    plan.lists.clear();
    plan.steps.retain(|step| !matches!(step.op, Op::JuniperException));
    plan.frame = None;
    if let Some(ends) = &mut plan.ends {
        ends.reversed = true;
    }
    Some(Reverse { counters, plan })
}
