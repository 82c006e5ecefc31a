//! BGP communities in records: basicLists (RFC 6313 §4.5.1) of `bgpCommunity` and `bgpLargeCommunity` (RFC 8549).
//!
//! Columns hold the communities of the destination's route; those of a list that does not say whose it is, or of the
//! source's, stand where there are no others. A malformed list counts as none: the record stays.

use helios_common::columns::{COMMUNITIES, Col, Item, LARGE_COMMUNITIES};
use helios_common::flow::FlowBatch;
use helios_common::ie::{Ie, iana};

use super::lists::BasicList;
use super::unsigned;
use crate::decode::records::Records;
use crate::decode::template::Field;

const COMMUNITY: Ie = iana(483);
const LARGE_COMMUNITY: Ie = iana(489);

/// Elements that are such a list: of the destination, of the unknown (`basicList`), of the source.
const LISTS: [Ie; 5] = [iana(485), iana(491), iana(291), iana(484), iana(490)];

/// The fields of a template that may hold communities, in the order of preference.
pub(super) fn fields(fields: &[Field]) -> Vec<usize> {
    let mut found = Vec::new();
    for list in LISTS {
        let of_it = fields.iter().enumerate().filter(|(_, field)| field.ie == list && field.length > 0);
        found.extend(of_it.map(|(at, _)| at));
    }
    found
}

/// Fills the columns of the open rows that `records` become.
pub(super) fn run<R: Records>(fields: &[usize], records: &R, out: &mut FlowBatch) {
    fill(fields, records, COMMUNITY, COMMUNITIES, out, |octets| unsigned(octets) as u32);
    fill(fields, records, LARGE_COMMUNITY, LARGE_COMMUNITIES, out, |octets| {
        octets.iter().fold(0_u128, |value, &octet| value << 8 | u128::from(octet)).to_le_bytes()
    });
}

fn fill<R: Records, T: Item>(
    fields: &[usize],
    records: &R,
    element: Ie,
    col: Col<T>,
    out: &mut FlowBatch,
    convert: impl Fn(&[u8]) -> T,
) {
    let found = |row: usize| {
        let mut lists = fields.iter().filter_map(|&field| BasicList::parse(records.octets(row, field)));
        lists.find(|list| list.element == element && list.is_of_the_flow() && !list.content.is_empty())
    };
    if (0..records.len()).all(|row| found(row).is_none()) {
        return;
    }
    let lists = out.open_list(col);
    for row in 0..records.len() {
        lists.push(found(row).into_iter().flat_map(BasicList::elements).map(&convert));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::template::VARIABLE_LENGTH;

    #[test]
    fn the_destinations_lists_go_before_others() {
        let field = |id| Field { ie: iana(id), length: VARIABLE_LENGTH };
        assert_eq!(fields(&[field(484), field(8), field(291), field(485)]), [3, 2, 0]);
    }
}
