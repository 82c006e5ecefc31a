//! Structured data (RFC 6313): lists in data records are walked, and their elements fill columns.
//!
//! ```text
//!  basicList (291)              0 semantic, 1 field id, 3 element length, 5 enterprise number if the field id's first bit
//!                               is set, then the elements (§4.5.1)
//!  subTemplateList (292)        0 semantic, 1 template id, 3 records (§4.5.2)
//!  subTemplateMultiList (293)   0 semantic, then blocks: 0 template id, 2 length of the block, 4 records (§4.5.3)
//! ```
//!
//! The length of a block counts its four octets of template id and length; 0 stands for a block without records.
//!
//! The first value of an element fills its columns where the fields of the record itself have nothing; label stack
//! sections become the stack. Of the semantics only "none of" matters: what such a list holds is no property of the flow
//! (§4.4.2) and fills nothing. An unreadable list costs itself and is counted; the record, and what is beside the list, stays. The row of the reverse direction gets
//! nothing from lists, which do not say whose they are.

use helios_common::columns::{Column, FLOW_DIRECTION, MPLS_LABELS, SAMPLING_INTERVAL};
use helios_common::flow::FlowBatch;
use helios_common::ie::{self, Ie, Type, iana};

use super::{Plan, Step, Times, label_stack, op_for};
use crate::decode::records::{Fields, Records};
use crate::decode::template::{Field, TemplateStore, VARIABLE_LENGTH};
use crate::decode::text::Texts;

const SUB_TEMPLATE_LIST: Ie = iana(292);
const SUB_TEMPLATE_MULTI_LIST: Ie = iana(293);

/// The semantic noneOf (§11.4.2).
const NONE_OF: u8 = 0;

/// Octets of template id and length in front of the records of a subTemplateMultiList's block.
const BLOCK_HEADER_OCTETS: usize = 4;

/// Lists in lists are followed so deep. The RFC's deepest example has three levels (§5.6, case study 2).
const MAX_DEPTH: usize = 4;

/// Different elements of the lists of one set that are looked at.
const MAX_ELEMENTS: usize = 64;

/// A basicList whose lengths add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BasicList<'a> {
    semantic: u8,
    pub element: Ie,
    /// Octets of each element, or [`VARIABLE_LENGTH`].
    length: u16,
    pub content: &'a [u8],
}

/// An element of a list in one of the records.
#[derive(Debug, Clone, Copy)]
struct Found<'a> {
    element: (u32, u16),
    row: usize,
    octets: &'a [u8],
}

/// The walk over the lists of a set.
struct Walk<'t, 'a> {
    templates: Option<&'t TemplateStore>,
    found: Vec<Found<'a>>,
    row: usize,
    unreadable: u32,
}

/// The fields of a template that are lists, and of which kind.
pub(super) fn fields(fields: &[Field]) -> Vec<(usize, Ie)> {
    let lists = fields.iter().enumerate().filter(|(_, field)| field.length > 0 && is_list(field.ie));
    lists.map(|(at, field)| (at, field.ie)).collect()
}

fn is_list(element: Ie) -> bool {
    ie::info(element).is_some_and(|info| info.ty == Type::List)
}

impl Plan {
    /// Fills the open rows that `records` become from their lists; returns how many lists were unreadable.
    pub fn run_lists<R: Records>(
        &self,
        templates: Option<&TemplateStore>,
        records: &R,
        times: &Times,
        texts: &mut Texts<'_>,
        out: &mut FlowBatch,
    ) -> u32 {
        let mut walk = Walk { templates, found: Vec::new(), row: 0, unreadable: 0 };
        for row in 0..records.len() {
            walk.row = row;
            for &(at, kind) in &self.lists {
                if let octets @ [_, ..] = records.octets(row, at) {
                    walk.list(kind, octets, 1);
                }
            }
        }
        let Walk { mut found, unreadable, .. } = walk;
        if self.mpls.is_empty() {
            label_stacks(&found, records.len(), out);
        }
        // The sort is stable: the first value of an element stays the first one.
        found.sort_by_key(|found| (found.element, found.row));
        found.dedup_by_key(|found| (found.element, found.row));
        let elements: Vec<_> = found.chunk_by(|a, b| a.element == b.element).take(MAX_ELEMENTS).collect();
        for column in Column::all() {
            // A direction of zero is a value: rows without one could not be told from it.
            if [SAMPLING_INTERVAL.column(), FLOW_DIRECTION.column()].contains(&column) {
                continue;
            }
            for element in column.elements() {
                let of_it = elements.iter().find(|found| found.first().is_some_and(|first| first.is(element)));
                if let (Some(found), Some(op)) = (of_it, op_for(element, column)) {
                    let mut values = ListFields(vec![&[][..]; records.len()]);
                    for found in *found {
                        if let Some(value) = values.0.get_mut(found.row) {
                            *value = found.octets;
                        }
                    }
                    Step { field: 0, merge: true, gaps: false, op }.run(&values, times, texts, out);
                }
            }
        }
        unreadable
    }
}

/// Label stacks of records that have them in lists.
fn label_stacks(found: &[Found<'_>], n: usize, out: &mut FlowBatch) {
    if !found.iter().any(Found::is_label) {
        return;
    }
    let lists = out.open_list(MPLS_LABELS);
    for row in 0..n {
        let start = found.partition_point(|found| found.row < row);
        let of_row = found.iter().skip(start).take_while(|found| found.row == row);
        lists.push(label_stack(of_row.filter(|found| found.is_label()).map(|found| found.octets)));
    }
}

impl Found<'_> {
    fn is(&self, element: Ie) -> bool {
        self.element == (element.pen, element.id)
    }

    /// `mplsTopLabelStackSection` and the nine below it.
    fn is_label(&self) -> bool {
        matches!(self.element, (0, 70..80))
    }
}

impl<'a> Walk<'_, 'a> {
    /// What an unreadable list has shown before its fault is forgotten, and so is what the flow is said not to have.
    fn list(&mut self, kind: Ie, octets: &'a [u8], depth: usize) {
        let before = self.found.len();
        let readable = depth <= MAX_DEPTH && self.content(kind, octets, depth).is_some();
        if !readable || octets.first() == Some(&NONE_OF) {
            self.found.truncate(before);
        }
        self.unreadable += u32::from(!readable);
    }

    fn content(&mut self, kind: Ie, octets: &'a [u8], depth: usize) -> Option<()> {
        match kind {
            SUB_TEMPLATE_LIST => {
                let &[_semantic, high, low, ref records @ ..] = octets else { return None };
                self.records(u16::from_be_bytes([high, low]), records, depth)
            }
            SUB_TEMPLATE_MULTI_LIST => {
                let (_semantic, mut left) = octets.split_first()?;
                while !left.is_empty() {
                    let &[high, low, length_high, length_low, ..] = left else { return None };
                    let length = match u16::from_be_bytes([length_high, length_low]) {
                        0 => BLOCK_HEADER_OCTETS,
                        length => usize::from(length),
                    };
                    let (block, behind) = left.split_at_checked(length)?;
                    self.records(u16::from_be_bytes([high, low]), block.get(BLOCK_HEADER_OCTETS..)?, depth)?;
                    left = behind;
                }
                Some(())
            }
            _ => {
                let list = BasicList::parse(octets)?;
                list.elements().for_each(|octets| self.value(list.element, octets, depth));
                Some(())
            }
        }
    }

    /// Records of another template, back to back: a list has no padding. An empty one needs no template.
    fn records(&mut self, template: u16, octets: &'a [u8], depth: usize) -> Option<()> {
        let mut left = octets;
        while !left.is_empty() {
            for field in self.templates?.get(template)?.fields.iter().filter(|field| field.length > 0) {
                let (octets, behind) = split(left, field.length)?;
                self.value(field.ie, octets, depth);
                left = behind;
            }
        }
        Some(())
    }

    fn value(&mut self, element: Ie, octets: &'a [u8], depth: usize) {
        if is_list(element) {
            self.list(element, octets, depth + 1);
        } else {
            self.found.push(Found { element: (element.pen, element.id), row: self.row, octets });
        }
    }
}

/// One value a row, empty where the lists of the record had none.
struct ListFields<'a>(Vec<&'a [u8]>);

impl Fields for ListFields<'_> {
    fn width(&self) -> Option<usize> {
        None
    }

    fn octets(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().copied()
    }

    fn arrays<const N: usize>(&self) -> impl Iterator<Item = [u8; N]> {
        self.0.iter().map(|octets| super::padded(octets))
    }
}

impl<'a> BasicList<'a> {
    /// `None` where a length contradicts another: the last element ends beyond the list, or elements have no octets.
    pub(super) fn parse(octets: &'a [u8]) -> Option<Self> {
        let &[semantic, id_high, id_low, length_high, length_low, ref rest @ ..] = octets else { return None };
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
        Some(Self { semantic, element: Ie { pen, id: id & 0x7fff }, length, content })
    }

    /// Whether the list says what the flow has, and not what it has not.
    pub(super) fn is_of_the_flow(&self) -> bool {
        self.semantic != NONE_OF
    }

    pub(super) fn elements(self) -> impl Iterator<Item = &'a [u8]> {
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
    use super::super::unsigned;
    use super::*;

    #[test]
    fn lists_of_fixed_variable_and_enterprise_elements_are_walked() {
        // allOf, bgpCommunity, 4 octets each: 64500:1, 64500:2.
        let list = BasicList::parse(&[3, 1, 0xe3, 0, 4, 0xfb, 0xf4, 0, 1, 0xfb, 0xf4, 0, 2]).unwrap();
        let elements: Vec<_> = list.elements().map(unsigned).collect();
        assert_eq!((list.element, elements), (iana(483), vec![64500 << 16 | 1, 64500 << 16 | 2]));
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
}
