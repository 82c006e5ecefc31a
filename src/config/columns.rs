//! The key `columns`: information elements that get a column of their own.

use helios_common::columns::ColumnKind;
use helios_common::columns::extra::{self, ColumnError, Definition, Fill, FillError};
use helios_common::ie::Ie;
use serde::{Deserialize, Serialize};

/// One column that the configuration adds to `flows`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserColumn {
    /// name of the new column: lower-case letters, digits and `_`; with `fill`, an existing column
    pub name: String,
    /// private enterprise number of the element; 0 (the default) for IANA's elements and all of NetFlow v9
    #[serde(default)]
    pub pen: u32,
    /// number of the element, without the enterprise bit
    pub id: u16,
    /// uint8, uint16, uint32, uint64, ip (a column of type IPv6), mac (UInt64) or string (LowCardinality(String))
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#type: Option<ColumnType>,
    /// true: the element fills the existing column `name` where the exporter sends nothing else for it
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fill: bool,
}

/// What is wrong with an entry of `columns`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum UserColumnError {
    #[error(transparent)]
    Column(#[from] ColumnError),
    #[error(transparent)]
    Fill(#[from] FillError),
    #[error("`type` is missing: uint8, uint16, uint32, uint64, ip, mac or string")]
    NoType,
    #[error("a column that is filled has its type already: leave `type` out")]
    TypeOfFilled,
}

/// How the octets of an element are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnType {
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    /// Of either family; IPv4 is mapped into IPv6.
    Ip,
    Mac,
    /// UTF-8.
    String,
}

impl UserColumn {
    fn element(&self) -> Ie {
        Ie { pen: self.pen, id: self.id }
    }

    fn fill(&self) -> Fill {
        Fill { column: self.name.clone(), element: self.element() }
    }

    fn definition(&self) -> Definition {
        let kind = match self.r#type.unwrap_or(ColumnType::String) {
            ColumnType::Uint8 => ColumnKind::U8,
            ColumnType::Uint16 => ColumnKind::U16,
            ColumnType::Uint32 => ColumnKind::U32,
            ColumnType::Uint64 => ColumnKind::U64,
            ColumnType::Ip => ColumnKind::Address,
            ColumnType::Mac => ColumnKind::Mac,
            ColumnType::String => ColumnKind::Name,
        };
        Definition { name: self.name.clone(), element: self.element(), kind }
    }
}

/// The new columns, each with its place in the configuration.
fn definitions(columns: &[UserColumn]) -> (Vec<usize>, Vec<Definition>) {
    let new = columns.iter().enumerate().filter(|(_, column)| !column.fill);
    new.map(|(at, column)| (at, column.definition())).unzip()
}

/// What is wrong with the columns, each with the place of the one that is.
pub(super) fn check(columns: &[UserColumn]) -> Vec<(usize, UserColumnError)> {
    let (places, new) = definitions(columns);
    let new = extra::check(&new).into_iter();
    let mut found: Vec<_> =
        new.map(|(at, error)| (places.get(at).copied().unwrap_or(at), UserColumnError::from(error))).collect();
    for (at, column) in columns.iter().enumerate() {
        match (column.fill, column.r#type) {
            (false, None) => found.push((at, UserColumnError::NoType)),
            (true, Some(_)) => found.push((at, UserColumnError::TypeOfFilled)),
            (true, None) => found.extend(column.fill().check().err().map(|error| (at, error.into()))),
            (false, Some(_)) => {}
        }
    }
    found.sort_by_key(|(at, _)| *at);
    found
}

/// Adds the columns to the table, before anything of this process uses it.
///
/// # Panics
/// When the table is in use already: then a subcommand reads its configuration too late, which is a bug.
pub(super) fn install(columns: &[UserColumn]) {
    let fills: Vec<Fill> = columns.iter().filter(|column| column.fill).map(UserColumn::fill).collect();
    let installed = extra::install(&definitions(columns).1).and_then(|()| extra::install_fills(&fills));
    installed.expect("the configuration is read before the first use of the table");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, r#type: Option<ColumnType>, fill: bool) -> UserColumn {
        UserColumn { name: name.to_owned(), pen: 9, id: 12_236, r#type, fill }
    }

    #[test]
    fn a_column_is_new_with_a_type_or_filled_without_one() {
        let columns = [
            column("queue_id", Some(ColumnType::Uint16), false),
            column("src_addr", None, true),
            column("src_addr", Some(ColumnType::Ip), false),
            column("queue_name", None, false),
            column("dst_addr", Some(ColumnType::Ip), true),
            column("source", None, true),
        ];
        let found: Vec<_> = check(&columns).into_iter().map(|(at, error)| (at, error.to_string())).collect();
        let starts = [
            (2, "`flows` already has a column src_addr"),
            (3, "`type` is missing"),
            (4, "a column that is filled has its type already"),
            (5, "`flows` has no column source"),
        ];
        assert_eq!(found.len(), starts.len(), "{found:?}");
        for ((at, error), (place, start)) in found.iter().zip(starts) {
            assert!(*at == place && error.starts_with(start), "{at}: {error}");
        }
    }
}
