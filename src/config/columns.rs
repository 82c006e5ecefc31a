//! The key `columns`: information elements that get a column of their own.

use helios_common::columns::Kind;
use helios_common::columns::extra::{self, ColumnError, Definition};
use helios_common::ie::Ie;
use serde::{Deserialize, Serialize};

/// One column that the configuration adds to `flows`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserColumn {
    /// new to the table: small letters, digits and _
    pub name: String,
    /// the element's private enterprise number; 0, which may be left out, for IANA's and all of NetFlow v9's
    #[serde(default)]
    pub pen: u32,
    /// the element's number, without the enterprise bit
    pub id: u16,
    /// uint8, uint16, uint32, uint64, ip (a column of type IPv6), mac (UInt64) or string (LowCardinality(String))
    pub r#type: ColumnType,
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
    fn definition(&self) -> Definition {
        let kind = match self.r#type {
            ColumnType::Uint8 => Kind::U8,
            ColumnType::Uint16 => Kind::U16,
            ColumnType::Uint32 => Kind::U32,
            ColumnType::Uint64 => Kind::U64,
            ColumnType::Ip => Kind::Address,
            ColumnType::Mac => Kind::Mac,
            ColumnType::String => Kind::Name,
        };
        Definition { name: self.name.clone(), element: Ie { pen: self.pen, id: self.id }, kind }
    }
}

fn definitions(columns: &[UserColumn]) -> Vec<Definition> {
    columns.iter().map(UserColumn::definition).collect()
}

/// What is wrong with the columns, each with the place of the one that is.
pub fn check(columns: &[UserColumn]) -> Vec<(usize, ColumnError)> {
    extra::check(&definitions(columns))
}

/// Adds the columns to the table, before anything of this process uses it.
///
/// # Panics
/// When the table is in use already: a subcommand then reads its configuration too late, which no user can mend.
pub fn install(columns: &[UserColumn]) {
    extra::install(&definitions(columns)).expect("the configuration is read before the first use of the table");
}
