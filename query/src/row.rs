//! A filter held against rows in memory.

use helios_common::columns::{BYTES, Column, ColumnData, FLOW_END, FLOW_START, PACKETS};
use helios_common::exporter::NO_ADDRESS;
use helios_common::flow::FlowBatch;
use helios_common::names::NamesView;

use crate::filter::{Expression, Filter, Test, Wanted};
use crate::vocabulary::Operand;

impl Filter {
    /// Whether the filter takes the row. It reads the values of one row: for tools, not for the path of a flow.
    pub fn matches(&self, batch: &FlowBatch, names: &NamesView<'_>, row: usize) -> bool {
        self.root.matches(&Row { batch, names, row })
    }
}

struct Row<'a> {
    batch: &'a FlowBatch,
    names: &'a NamesView<'a>,
    row: usize,
}

impl Expression {
    fn matches(&self, row: &Row<'_>) -> bool {
        match self {
            Self::Any => true,
            Self::All(parts) => parts.iter().all(|part| part.matches(row)),
            Self::AnyOf(parts) => parts.iter().any(|part| part.matches(row)),
            Self::Not(part) => !part.matches(row),
            Self::Test(test) => test.matches(row),
        }
    }
}

impl Test {
    fn matches(&self, row: &Row<'_>) -> bool {
        match &self.wanted {
            Wanted::Numbers(ranges) => {
                let value = row.number(self.operand);
                ranges.iter().any(|range| range.contains(&value))
            }
            Wanted::Bits(bits) => row.number(self.operand) & bits == *bits,
            Wanted::Addresses(ranges) => {
                let address = row.column(self.operand).map_or(NO_ADDRESS, |column| row.address(column));
                ranges.iter().any(|range| range.contains(&address))
            }
            Wanted::Names(patterns) => {
                let name = row.column(self.operand).map_or("", |column| row.name(column));
                patterns.iter().any(|pattern| pattern.matches(name))
            }
            Wanted::Holds(values) => {
                row.column(self.operand).is_some_and(|column| values.iter().any(|value| row.holds(column, *value)))
            }
        }
    }
}

impl Row<'_> {
    fn column(&self, operand: Operand) -> Option<Column> {
        match operand {
            Operand::Column(column) => Some(column),
            _ => None,
        }
    }

    fn number(&self, operand: Operand) -> u64 {
        let batch = self.batch;
        let (bytes, packets) = (batch.get(BYTES, self.row), batch.get(PACKETS, self.row));
        let duration = batch.get(FLOW_END, self.row).saturating_sub(batch.get(FLOW_START, self.row)).max(0) as u64;
        let per_second = |amount: u64| amount.saturating_mul(1000).checked_div(duration).unwrap_or(0);
        match operand {
            Operand::Duration => duration,
            Operand::BitsPerSecond => per_second(bytes.saturating_mul(8)),
            Operand::PacketsPerSecond => per_second(packets),
            Operand::BytesPerPacket => bytes.checked_div(packets).unwrap_or(0),
            Operand::Column(column) => match batch.data(column) {
                ColumnData::U8(values) => at(values, self.row).into(),
                ColumnData::U16(values) => at(values, self.row).into(),
                ColumnData::U32(values) => at(values, self.row).into(),
                ColumnData::U64(values) => at(values, self.row),
                // The parser makes no numbers of these.
                ColumnData::I64(_) | ColumnData::Octets16(_) | ColumnData::U32List(_) | ColumnData::U128List(_) => 0,
            },
        }
    }

    fn address(&self, column: Column) -> [u8; 16] {
        match self.batch.data(column) {
            ColumnData::Octets16(values) => at(values, self.row),
            _ => NO_ADDRESS,
        }
    }

    fn name(&self, column: Column) -> &str {
        match self.batch.data(column) {
            ColumnData::U32(values) => self.names.get(at(values, self.row)),
            _ => "",
        }
    }

    fn holds(&self, column: Column, value: u128) -> bool {
        match self.batch.data(column) {
            ColumnData::U32List(lists) => lists.get(self.row).iter().any(|item| u128::from(*item) == value),
            ColumnData::U128List(lists) => lists.get(self.row).iter().any(|item| u128::from_le_bytes(*item) == value),
            _ => false,
        }
    }
}

fn at<T: Copy + Default>(values: &[T], row: usize) -> T {
    values.get(row).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use helios_common::columns::{
        AS_PATH, DST_PORT, EXPORTER_NAME, FLOW_DIRECTION, PROTO, SRC_ADDR, SRC_MAC, SRC_PORT, TCP_FLAGS,
    };
    use helios_common::exporter::{ExporterId, mapped};
    use helios_common::names::Names;

    /// An HTTPS request of 10 packets and 1,500 octets within two seconds.
    fn flow(names: &Names) -> FlowBatch {
        let mut batch = FlowBatch::new();
        batch.set(SRC_ADDR, mapped([10, 1, 2, 3]));
        batch.set(SRC_PORT, 50_000);
        batch.set(DST_PORT, 443);
        batch.set(PROTO, 6);
        batch.set(TCP_FLAGS, 0x1b);
        batch.set(BYTES, 1500);
        batch.set(PACKETS, 10);
        batch.set(FLOW_START, 1_000);
        batch.set(FLOW_END, 3_000);
        batch.set(FLOW_DIRECTION, 1);
        batch.set(SRC_MAC, 0x0012_3456_789a);
        batch.set(EXPORTER_NAME, names.intern("fra-core1"));
        batch.open_list(AS_PATH).push([64_500, 64_501]);
        batch.advance(1, ExporterId(0));
        batch
    }

    #[test]
    fn tests_hold_against_the_values_of_a_row() {
        let names = Names::new();
        let batch = flow(&names);
        for (text, matches) in [
            ("any", true),
            ("src in 10.0.0.0/8 and dport 443 and not proto udp", true),
            ("src 10.1.2.4", false),
            ("net 10.1.0.0/16", true),
            ("dst net 10.1.0.0/16", false),
            ("port 443", true),
            ("not port 443", false),
            ("port != 443", false),
            ("port in (80, 443)", true),
            ("sport 49152-65535", true),
            ("flags S", true),
            ("flags SA and not flags R", true),
            ("flags U", false),
            ("not flags UR", true),
            ("flags S and not flags AR", false),
            ("flags not in (A R)", false),
            ("flags 0x1b", true),
            ("flags 2", false),
            ("flags > 16", true),
            ("bytes > 1k and bytes < 2k", true),
            ("duration 2000", true),
            ("bps 6000", true),
            ("pps 5", true),
            ("bpp 150", true),
            ("exporter fra-*", true),
            ("exporter fra", false),
            ("direction ingress", true),
            ("src mac 00:12:34:56:78:9a", true),
            ("path 64501", true),
            ("as_path in (AS64502 AS64503)", false),
            ("application ''", true),
            ("dst ::", true),
        ] {
            let filter = Filter::parse(text).unwrap();
            assert_eq!(filter.matches(&batch, &names.read(), 0), matches, "{text}");
        }
    }
}
