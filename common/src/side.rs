//! Side tables: rows that are no flows.
//!
//! Beside its flows an exporter tells of its interfaces, and Helios tells of its exporters. Both are rows of tables of
//! their own, few against the flows, and travel typed: a struct per row, declared once per table together with the
//! columns that ClickHouse gets ([`interface_counters`], [`exporters`]). Adding a column is one line.
//!
//! They go through a [`queue`] of their own and are booked in a [`ledger`] of their own, so that the accounts of flows
//! stay what they are: flows. From their block on they share the way of flows, retries and tokens included.

use crate::columns::Labels;
use crate::exporter::Address;
use crate::time::UnixMs;

/// Declares a side table: the struct of its rows and the list of its columns.
///
/// A line is `field: SideKind [codec] "unit" "documentation";`.
macro_rules! side_table {
    ($(#[$meta:meta])* $row:ident in $table:ident {
        $($field:ident: $kind:ident $(($labels:expr))? $([$codec:literal])? $unit:literal $doc:literal;)*
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct $row {
            $(#[doc = $doc] pub $field: $crate::side::side_table!(@rust $kind),)*
        }

        impl $crate::side::SideRow for $row {
            const TABLE: $crate::side::SideTable = $crate::side::SideTable::$table;

            const COLUMNS: &'static [$crate::side::SideColumn] = &[$($crate::side::SideColumn {
                name: stringify!($field),
                kind: $crate::side::SideKind::$kind $(($labels))?,
                codec: $crate::side::side_table!(@codec $($codec)?),
                unit: $unit,
                doc: $doc,
            }),*];

            fn values(&self) -> impl Iterator<Item = $crate::side::Value> {
                [$($crate::side::side_table!(@value $kind self.$field)),*].into_iter()
            }
        }
    };
    (@rust Enum) => { u8 };
    (@rust U32) => { u32 };
    (@rust U64) => { u64 };
    (@rust I64) => { i64 };
    (@rust Time) => { $crate::time::UnixMs };
    (@rust Address) => { $crate::exporter::Address };
    (@rust Text) => { $crate::side::Text };
    (@value $kind:ident $value:expr) => { $crate::side::Value::$kind($value) };
    (@codec) => { None };
    (@codec $codec:literal) => { Some($codec) };
}

pub(crate) use side_table;

pub mod interface_counters;
pub mod exporters;
pub mod ledger;
pub mod queue;

pub use exporters::ExporterMinute;
pub use interface_counters::InterfaceCounters;
pub use ledger::{SideAccounts, SideLedger};
pub use queue::{SideReceiver, SideSender, side_queue};

/// How a column of a side table is held. Unlike a flow's, its values may be negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SideKind {
    /// One octet that stands for one of the listed labels; no other is ever written.
    Enum(Labels),
    /// 32 bits.
    U32,
    /// 64 bits.
    U64,
    /// 64 bits with a sign.
    I64,
    /// Unix milliseconds.
    Time,
    /// IPv6, IPv4 mapped.
    Address,
    /// A short string.
    Text,
}

impl SideKind {
    /// The ClickHouse type of the column.
    pub fn clickhouse(self) -> String {
        match self {
            Self::Enum(labels) => crate::columns::ColumnKind::Enum(labels).clickhouse(),
            Self::U32 => crate::columns::ColumnKind::U32.clickhouse(),
            Self::U64 => crate::columns::ColumnKind::U64.clickhouse(),
            Self::I64 => "Int64".into(),
            Self::Time => crate::columns::ColumnKind::Time.clickhouse(),
            Self::Address => crate::columns::ColumnKind::Address.clickhouse(),
            Self::Text => crate::columns::ColumnKind::Name.clickhouse(),
        }
    }
}

/// A value of a row, of the kind of its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// Of [`SideKind::Enum`].
    Enum(u8),
    /// Of [`SideKind::U32`].
    U32(u32),
    /// Of [`SideKind::U64`].
    U64(u64),
    /// Of [`SideKind::I64`].
    I64(i64),
    /// Of [`SideKind::Time`].
    Time(UnixMs),
    /// Of [`SideKind::Address`].
    Address(Address),
    /// Of [`SideKind::Text`].
    Text(Text),
}

/// Octets of a [`Text`]: the longest names of ports are some 25.
pub const TEXT_OCTETS: usize = 32;

/// A short string from the wire, cut to fit and padded with NUL. It is held in the row: strings that anybody can send
/// by the million have no place in the table of names, which is shared and bounded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Text([u8; TEXT_OCTETS]);

impl Text {
    /// The text of these octets, cut where it is too long.
    pub fn new(octets: &[u8]) -> Self {
        let mut text = [0; TEXT_OCTETS];
        text.iter_mut().zip(octets).for_each(|(place, octet)| *place = *octet);
        Self(text)
    }

    /// The string up to its padding; octets that are no UTF-8, and a character that was cut, are replaced.
    pub fn to_text(&self) -> std::borrow::Cow<'_, str> {
        let end = self.0.iter().position(|&octet| octet == 0).unwrap_or(TEXT_OCTETS);
        String::from_utf8_lossy(self.0.get(..end).unwrap_or(&self.0))
    }
}

/// A column of a side table.
#[derive(Debug, Clone, Copy)]
pub struct SideColumn {
    /// The name in ClickHouse.
    pub name: &'static str,
    /// How the values are held.
    pub kind: SideKind,
    /// ClickHouse codec where the table's default (`ZSTD(1)`) is not the best.
    pub codec: Option<&'static str>,
    /// Unit of the values, empty where the name says it.
    pub unit: &'static str,
    /// One sentence for docs/columns.md.
    pub doc: &'static str,
}

helios_metrics::label_set! {
    /// The side tables.
    #[derive(Hash)]
    pub enum SideTable {
        /// Counter samples of sFlow, a row per sample.
        InterfaceCounters = "interface_counters",
        /// Exporters, a row per exporter and minute.
        Exporters = "exporters",
    }
}

impl SideTable {
    /// The columns, in the order of a row's values.
    pub const fn columns(self) -> &'static [SideColumn] {
        match self {
            Self::InterfaceCounters => InterfaceCounters::COLUMNS,
            Self::Exporters => ExporterMinute::COLUMNS,
        }
    }
}

/// A row of a side table.
pub trait SideRow {
    /// The table of the row.
    const TABLE: SideTable;
    /// The columns, in the order of the row's values.
    const COLUMNS: &'static [SideColumn];

    /// The values, in the order of the columns.
    fn values(&self) -> impl Iterator<Item = Value>;
}

/// Rows of one side table on their way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SideRows {
    /// Rows of `interface_counters`.
    InterfaceCounters(Vec<InterfaceCounters>),
    /// Rows of `exporters`.
    Exporters(Vec<ExporterMinute>),
}

impl SideRows {
    /// The table of the rows.
    pub const fn table(&self) -> SideTable {
        match self {
            Self::InterfaceCounters(_) => SideTable::InterfaceCounters,
            Self::Exporters(_) => SideTable::Exporters,
        }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        match self {
            Self::InterfaceCounters(rows) => rows.len(),
            Self::Exporters(rows) => rows.len(),
        }
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<Vec<InterfaceCounters>> for SideRows {
    fn from(rows: Vec<InterfaceCounters>) -> Self {
        Self::InterfaceCounters(rows)
    }
}

impl From<Vec<ExporterMinute>> for SideRows {
    fn from(rows: Vec<ExporterMinute>) -> Self {
        Self::Exporters(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_of(value: Value) -> String {
        format!("{value:?}").split('(').next().unwrap_or_default().to_owned()
    }

    #[test]
    fn values_come_in_the_order_and_kind_of_their_columns() {
        let counters: Vec<Value> = InterfaceCounters::default().values().collect();
        let exporters: Vec<Value> = ExporterMinute::default().values().collect();
        for (table, values) in [(SideTable::InterfaceCounters, counters), (SideTable::Exporters, exporters)] {
            assert_eq!(values.len(), table.columns().len());
            for (column, value) in table.columns().iter().zip(values) {
                assert_eq!(format!("{:?}", column.kind).split('(').next(), Some(&*kind_of(value)), "{}", column.name);
            }
        }
    }

    #[test]
    fn a_text_is_cut_and_loses_its_padding() {
        assert_eq!(Text::new(b"ge-0/0/1\0\0\0\0").to_text(), "ge-0/0/1");
        assert_eq!(Text::new(&[b'x'; 300]).to_text(), "x".repeat(TEXT_OCTETS));
        assert_eq!((Text::default().to_text(), Text::new(&[0xff, b'a']).to_text()), ("".into(), "\u{fffd}a".into()));
    }

    #[test]
    fn every_table_has_the_time_and_the_exporter_that_its_layout_rests_on() {
        for table in SideTable::ALL {
            let kind = |name: &str| table.columns().iter().find(|column| column.name == name).map(|column| column.kind);
            assert_eq!(kind("received_at"), Some(SideKind::Time), "{}", table.name());
            assert_eq!(kind("exporter_address"), Some(SideKind::Address), "{}", table.name());
        }
    }
}
