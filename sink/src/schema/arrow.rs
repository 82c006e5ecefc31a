//! The Arrow types in which blocks travel.
//!
//! ClickHouse takes each of them into its column without a cast. What was tried against the engine (26.9):
//! - integers have to have the exact width: a wider one is cut without an error;
//! - times have to be timestamps: a plain int64 would be read as seconds;
//! - an enum is one octet, read by value: an octet that the column's type does not list refuses the whole insert;
//! - 16 octets become IPv6 in network order, UInt128 least significant first, and are never swapped;
//! - a dictionary must not hold a string twice, or the insert is refused.

use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Schema, TimeUnit};
use helios_common::columns::{Column, ColumnKind};
use helios_common::flow::ColumnSet;

/// Octets of an address and of a large community.
pub(crate) const WIDE: i32 = 16;

/// The schema of blocks that carry `columns`, in table order. No column holds nulls.
pub fn schema(columns: ColumnSet) -> Schema {
    Schema::new(columns.iter().map(field).collect::<Vec<_>>())
}

fn field(column: Column) -> Field {
    let spec = column.spec();
    Field::new(spec.name, data_type(spec.kind), false)
}

/// The Arrow type of a column.
pub(crate) fn data_type(kind: ColumnKind) -> DataType {
    match kind {
        ColumnKind::U8 | ColumnKind::Enum(_) => DataType::UInt8,
        ColumnKind::U16 => DataType::UInt16,
        ColumnKind::U32 => DataType::UInt32,
        ColumnKind::U64 | ColumnKind::Mac => DataType::UInt64,
        ColumnKind::Time => DataType::Timestamp(TimeUnit::Millisecond, None),
        ColumnKind::Address => DataType::FixedSizeBinary(WIDE),
        // A chunk's dictionary has at most one entry a row, and a chunk has at most 65,536 rows.
        ColumnKind::Name => DataType::Dictionary(Box::new(DataType::UInt16), Box::new(DataType::Utf8)),
        ColumnKind::U32List | ColumnKind::U128List => DataType::List(item(kind)),
    }
}

/// The field of a list column's items.
pub(crate) fn item(kind: ColumnKind) -> FieldRef {
    let item = if matches!(kind, ColumnKind::U128List) { DataType::FixedSizeBinary(WIDE) } else { DataType::UInt32 };
    Arc::new(Field::new("item", item, false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use helios_common::columns::{BYTES, SRC_COUNTRY};

    #[test]
    fn fields_come_in_table_order_whatever_the_order_of_insertion() {
        let mut columns = ColumnSet::default();
        columns.insert(SRC_COUNTRY.column());
        columns.insert(BYTES.column());
        let schema = schema(columns);
        let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, ["bytes", "src_country"]);
        assert!(schema.fields().iter().all(|field| !field.is_nullable()));
    }
}
