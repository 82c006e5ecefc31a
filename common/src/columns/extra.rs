//! Columns that the configuration adds to the table: any information element, under a name of the user's.
//!
//! They take the places behind the fixed ones, up to the width of a column set. [`install`] is called once, before
//! anything else asks for columns: the first use of the table closes it, because batches, plans and schemas are made of
//! it. An installed column is therefore as fixed as the others, and no record needs a look-up.

use std::sync::OnceLock;

use super::{COLUMNS, Column, ColumnKind, Direction, Rollup, Spec};
use crate::ie::{self, Ie};

/// Columns that a table can have: a set of them is 128 bits wide.
const MAX_COLUMNS: usize = 128;

/// Columns that a configuration can add.
pub const MAX_EXTRA: usize = MAX_COLUMNS - COLUMNS.len();

/// Longest name. ClickHouse has no limit of its own below that of its file names, 255 octets with what it appends.
pub const MAX_NAME_OCTETS: usize = 64;

/// The key by which `helios decode` marks rows beside their columns.
const RESERVED: &str = "held";

/// Elements of IPFIX have 15 bits (RFC 7011 §3.2), field types of NetFlow v9, which has no enterprises, all 16.
const MAX_ENTERPRISE_ELEMENT: u16 = 0x7fff;

/// A column as the configuration has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// The name of the column.
    pub name: String,
    /// The information element that fills it.
    pub element: Ie,
    /// One of the integers, an address, a MAC or a name.
    pub kind: ColumnKind,
}

/// Why a column cannot be added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the text of a variant says what its fields are")]
pub enum ColumnError {
    /// The name has another form than the names of columns.
    #[error("{0:?} is not a column name: use lower-case letters, digits and _, a letter first, 64 characters at most")]
    BadName(String),
    /// A fixed column has the name.
    #[error("`flows` already has a column {0}: choose another name")]
    Taken(String),
    /// Two columns of the configuration have the name.
    #[error("two columns are called {0}: choose another name for one of them")]
    Twice(String),
    /// The element's number is 0 or above `max`.
    #[error("element {pen}/{id} does not exist: the id must be from 1 to {max}")]
    BadElement { pen: u32, id: u16, max: u16 },
    /// `n` columns do not fit beside the fixed ones.
    #[error("{n} columns are more than the {MAX_EXTRA} that can be added")]
    TooMany { n: usize },
}

/// An element by which the configuration fills a column that is there already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fill {
    /// The name of the column.
    pub column: String,
    /// The element that fills it.
    pub element: Ie,
}

/// Why an element cannot fill a column.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the text of a variant says what is wrong and what its fields are")]
pub enum FillError {
    #[error("`flows` has no column {0}: docs/columns.md lists all")]
    NoColumn(String),
    #[error("the column {0} is not filled from elements")]
    NotFromElements(String),
    #[error("element {pen}/{id} does not exist: the id must be from 1 to {max}")]
    BadElement { pen: u32, id: u16, max: u16 },
}

impl Fill {
    /// What is wrong with it.
    ///
    /// # Errors
    /// The first mistake.
    pub fn check(&self) -> Result<(), FillError> {
        let spec = COLUMNS.iter().find(|spec| spec.name == self.column);
        let spec = spec.ok_or_else(|| FillError::NoColumn(self.column.clone()))?;
        let by_kind = matches!(
            spec.kind,
            ColumnKind::U8
                | ColumnKind::U16
                | ColumnKind::U32
                | ColumnKind::U64
                | ColumnKind::Address
                | ColumnKind::Mac
                | ColumnKind::Name
        );
        // Sampling intervals have rules of their own; who sent a flow is not for its record to say.
        if spec.elements.is_empty() || !by_kind || spec.name == "sampling_interval" {
            return Err(FillError::NotFromElements(self.column.clone()));
        }
        let Ie { pen, id } = self.element;
        let max = max_id(pen);
        if (1..=max).contains(&id) { Ok(()) } else { Err(FillError::BadElement { pen, id, max }) }
    }
}

/// The table was asked for its columns before, or was added to before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("columns can be added once, and only before the first use of the table")]
pub struct Closed;

static EXTRA: OnceLock<Vec<Spec>> = OnceLock::new();
static FILLS: OnceLock<Vec<(Column, Ie)>> = OnceLock::new();

/// The elements by which the configuration fills a column, behind those of the table.
pub fn fills(column: Column) -> impl Iterator<Item = Ie> {
    let all = FILLS.get_or_init(Vec::new).iter();
    all.filter(move |(filled, _)| *filled == column).map(|(_, element)| *element)
}

/// Lets elements fill columns that are there, for the rest of the process.
///
/// # Errors
/// [`Closed`] when it is too late. `fills` have to have passed [`Fill::check`].
pub fn install_fills(fills: &[Fill]) -> Result<(), Closed> {
    let place = |fill: &Fill| {
        let at = COLUMNS.iter().position(|spec| spec.name == fill.column)?;
        Some((Column(at as u8), fill.element))
    };
    FILLS.set(fills.iter().filter_map(place).collect()).map_err(|_| Closed)
}

/// What was added to [`COLUMNS`]. From the first call on, nothing can be added any more.
pub(super) fn specs() -> &'static [Spec] {
    EXTRA.get_or_init(Vec::new)
}

/// Everything that is wrong with `definitions`, each with the place of the one that is.
pub fn check(definitions: &[Definition]) -> Vec<(usize, ColumnError)> {
    let mut errors = Vec::new();
    for (at, Definition { name, element, .. }) in definitions.iter().enumerate() {
        let earlier = definitions.iter().take(at).any(|other| other.name == *name);
        if !is_name(name) {
            errors.push((at, ColumnError::BadName(name.clone())));
        } else if name == RESERVED || COLUMNS.iter().any(|spec| spec.name == name) {
            errors.push((at, ColumnError::Taken(name.clone())));
        } else if earlier {
            errors.push((at, ColumnError::Twice(name.clone())));
        }
        let max = max_id(element.pen);
        if !(1..=max).contains(&element.id) {
            errors.push((at, ColumnError::BadElement { pen: element.pen, id: element.id, max }));
        }
    }
    if definitions.len() > MAX_EXTRA {
        errors.push((MAX_EXTRA, ColumnError::TooMany { n: definitions.len() }));
    }
    errors
}

const fn max_id(pen: u32) -> u16 {
    if pen == 0 { u16::MAX } else { MAX_ENTERPRISE_ELEMENT }
}

fn is_name(name: &str) -> bool {
    let part = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'_';
    name.len() <= MAX_NAME_OCTETS && name.starts_with(|c: char| c.is_ascii_lowercase()) && name.bytes().all(part)
}

/// Adds columns to the table, for the rest of the process. Their names live as long, which is why they are leaked.
///
/// # Errors
/// [`Closed`] when it is too late. `definitions` have to have passed [`check`].
pub fn install(definitions: &[Definition]) -> Result<(), Closed> {
    let specs = definitions.iter().take(MAX_EXTRA).map(spec).collect();
    EXTRA.set(specs).map_err(|_| Closed)
}

fn spec(definition: &Definition) -> Spec {
    let Definition { name, element, kind } = definition;
    let named = ie::info(*element).map_or(String::new(), |info| format!(" ({})", info.name));
    let doc = format!("By configuration: element {} of enterprise {}{named}.", element.id, element.pen);
    Spec {
        name: Box::leak(name.clone().into_boxed_str()),
        kind: *kind,
        codec: None,
        rollup: Rollup::No,
        direction: Direction::Both,
        unit: "",
        elements: Box::leak(Box::new([*element])),
        doc: Box::leak(doc.into_boxed_str()),
    }
}

impl Column {
    /// The elements that fill the column: the table's, then the configuration's.
    pub fn elements(self) -> Vec<Ie> {
        self.spec().elements.iter().copied().chain(fills(self)).collect()
    }

    /// Whether the configuration added the column.
    pub fn is_extra(self) -> bool {
        usize::from(self.0) >= COLUMNS.len()
    }

    /// The columns that the configuration added.
    pub fn extra() -> impl ExactSizeIterator<Item = Self> {
        (COLUMNS.len()..COLUMNS.len() + specs().len()).map(|place| Self(place as u8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ie::iana;

    fn definition(name: &str, element: Ie) -> Definition {
        Definition { name: name.to_owned(), element, kind: ColumnKind::U32 }
    }

    fn wrong(name: &str, element: Ie) -> Vec<ColumnError> {
        check(&[definition(name, element)]).into_iter().map(|(_, error)| error).collect()
    }

    #[test]
    fn names_that_are_none_or_taken_are_refused() {
        assert_eq!(wrong("queue_id", Ie { pen: 9, id: 1 }), []);
        for name in ["", "_a", "1a", "Queue", "a-b", "a b", "a`b", "é", &"a".repeat(65)] {
            assert_eq!(wrong(name, iana(1)), [ColumnError::BadName(name.to_owned())], "{name}");
        }
        assert_eq!(wrong(&"a".repeat(64), iana(1)), []);
        assert_eq!(wrong("bytes", iana(1)), [ColumnError::Taken("bytes".to_owned())]);
        assert_eq!(wrong("held", iana(1)), [ColumnError::Taken("held".to_owned())]);
        let twice = [definition("a", iana(1)), definition("b", iana(1)), definition("a", iana(2))];
        assert_eq!(check(&twice), [(2, ColumnError::Twice("a".to_owned()))]);
    }

    #[test]
    fn enterprise_elements_have_15_bits() {
        assert_eq!(wrong("a", iana(40_005)), []);
        assert_eq!(wrong("a", Ie { pen: 9, id: 32_767 }), []);
        for element in [iana(0), Ie { pen: 9, id: 0 }, Ie { pen: 9, id: 32_768 }] {
            assert!(matches!(wrong("a", element)[..], [ColumnError::BadElement { .. }]), "{element:?}");
        }
    }

    #[test]
    fn as_many_fit_as_places_are_left() {
        let all: Vec<_> = (0..=MAX_EXTRA).map(|n| definition(&format!("c{n}"), iana(1))).collect();
        assert_eq!(check(all.get(1..).unwrap()), []);
        assert_eq!(check(&all), [(MAX_EXTRA, ColumnError::TooMany { n: MAX_EXTRA + 1 })]);
    }

    #[test]
    fn only_columns_that_elements_fill_can_be_filled_by_others() {
        let check = |column: &str, element| Fill { column: column.to_owned(), element }.check();
        assert_eq!(check("src_addr", Ie { pen: 9, id: 12_236 }), Ok(()));
        assert_eq!(check("source", iana(1)), Err(FillError::NoColumn("source".to_owned())));
        for column in ["received_at", "exporter_name", "sampling_interval", "flow_start", "mpls_labels"] {
            assert_eq!(check(column, iana(1)), Err(FillError::NotFromElements(column.to_owned())));
        }
        assert!(matches!(check("src_addr", iana(0)), Err(FillError::BadElement { .. })));
    }

    #[test]
    fn a_table_that_was_asked_for_its_columns_is_closed() {
        assert_eq!(Column::all().len(), COLUMNS.len());
        assert_eq!(install(&[definition("late", iana(1))]), Err(Closed));
        assert_eq!(Column::by_name("late"), None);
    }
}
