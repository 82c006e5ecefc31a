//! BGP communities in records: basicLists (RFC 6313 §4.5.1) of `bgpCommunity` and `bgpLargeCommunity` (RFC 8549).
//!
//! ```text
//!  0  semantic, 1 octet          1  field id, 2 octets, the first bit says that an enterprise number follows
//!  3  element length, 2 octets   5  enterprise number, 4 octets, if any; then the elements
//! ```
//!
//! Columns hold the communities of the destination's route; those of a list that does not say whose it is, or of the
//! source's, stand where there are no others. A malformed list counts as none: the record stays. Lists of other elements
//! and lists in lists are not looked into.

use helios_common::columns::{COMMUNITIES, Col, Item, LARGE_COMMUNITIES};
use helios_common::flow::FlowBatch;
use helios_common::ie::{Ie, iana};

use super::unsigned;
use crate::decode::records::Records;
use crate::decode::template::{Field, VARIABLE_LENGTH};

const COMMUNITY: Ie = iana(483);
const LARGE_COMMUNITY: Ie = iana(489);

/// Elements that are such a list: of the destination, of the unknown (`basicList`), of the source.
const LISTS: [Ie; 5] = [iana(485), iana(491), iana(291), iana(484), iana(490)];

/// A basicList whose lengths add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct BasicList<'a> {
    element: Ie,
    /// Octets of each element, or [`VARIABLE_LENGTH`].
    length: u16,
    content: &'a [u8],
}

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
        lists.find(|list| list.element == element && !list.content.is_empty())
    };
    if (0..records.len()).all(|row| found(row).is_none()) {
        return;
    }
    let lists = out.open_list(col);
    for row in 0..records.len() {
        lists.push(found(row).into_iter().flat_map(BasicList::elements).map(&convert));
    }
}

impl<'a> BasicList<'a> {
    /// `None` where a length contradicts another: the last element ends beyond the list, or elements have no octets.
    fn parse(octets: &'a [u8]) -> Option<Self> {
        let &[_semantic, id_high, id_low, length_high, length_low, ref rest @ ..] = octets else { return None };
        let (id, length) = (u16::from_be_bytes([id_high, id_low]), u16::from_be_bytes([length_high, length_low]));
        let (pen, content) = if id & 0x8000 == 0 {
            (0, rest)
        } else {
            let (pen, content) = rest.split_first_chunk()?;
            (u32::from_be_bytes(*pen), content)
        };
        let mut left = content;
        while !left.is_empty() {
            left = split(left, length)?.1;
        }
        Some(Self { element: Ie { pen, id: id & 0x7fff }, length, content })
    }

    fn elements(self) -> impl Iterator<Item = &'a [u8]> {
        let mut left = self.content;
        std::iter::from_fn(move || {
            let (element, behind) = split(left, self.length)?;
            left = behind;
            Some(element)
        })
    }
}

/// The first element and what is behind it; `None` at the end, or when it is longer than what is there.
fn split(octets: &[u8], length: u16) -> Option<(&[u8], &[u8])> {
    let (length, rest) = match (length, octets) {
        (0, _) | (_, []) => return None,
        (VARIABLE_LENGTH, [255, high, low, rest @ ..]) => (u16::from_be_bytes([*high, *low]), rest),
        (VARIABLE_LENGTH, [255, ..]) => return None,
        (VARIABLE_LENGTH, [short, rest @ ..]) => (u16::from(*short), rest),
        (fixed, octets) => (fixed, octets),
    };
    rest.split_at_checked(usize::from(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_fixed_variable_and_enterprise_elements_are_walked() {
        // allOf, bgpCommunity, 4 octets each: 64500:1, 64500:2.
        let list = BasicList::parse(&[3, 1, 0xe3, 0, 4, 0xfb, 0xf4, 0, 1, 0xfb, 0xf4, 0, 2]).unwrap();
        let elements: Vec<_> = list.elements().map(unsigned).collect();
        assert_eq!((list.element, elements), (COMMUNITY, vec![64500 << 16 | 1, 64500 << 16 | 2]));
        let list = BasicList::parse(&[3, 0, 96, 0xff, 0xff, 1, b'a', 255, 0, 1, b'b', 0]).unwrap();
        assert_eq!(list.elements().collect::<Vec<_>>(), [&b"a"[..], b"b", b""]);
        let list = BasicList::parse(&[0, 0x80, 5, 0, 2, 0, 0, 0, 9, 1, 2]).unwrap();
        assert_eq!((list.element, list.content), (Ie { pen: 9, id: 5 }, &[1, 2][..]));
        assert_eq!(BasicList::parse(&[0, 1, 0xe3, 0, 4]).unwrap().elements().count(), 0);
    }

    #[test]
    fn lists_whose_lengths_do_not_add_up_are_none() {
        let good = [3, 1, 0xe3, 0, 4, 0xfb, 0xf4, 0, 1];
        for end in (0..5).chain(6..9) {
            assert_eq!(BasicList::parse(&good[..end]), None, "{end}");
        }
        assert_eq!(BasicList::parse(&[3, 1, 0xe3, 0, 0, 1]), None, "elements without octets");
        assert_eq!(BasicList::parse(&[3, 0, 96, 0xff, 0xff, 2, b'a']), None);
        assert_eq!(BasicList::parse(&[3, 0, 96, 0xff, 0xff, 255, 0]), None);
        assert_eq!(BasicList::parse(&[0, 0x80, 5, 0, 2, 0, 0, 0]), None);
    }

    #[test]
    fn the_destinations_lists_go_before_others() {
        let field = |id| Field { ie: iana(id), length: VARIABLE_LENGTH };
        assert_eq!(fields(&[field(484), field(8), field(291), field(485)]), [3, 2, 0]);
    }
}
