//! How much disk each table may take: the section `clickhouse.max_table_bytes`.

use helios_advice::outside;
use helios_common::side::SideTable;
use serde::{Deserialize, Serialize};

use crate::schema::Table;

/// Bytes on disk that each table may take on a server, whatever its retention; 0: no limit. When a table takes more,
/// Helios drops its oldest partitions (a day or a week each), never the newest one. `helios retention --dry-run` shows
/// which.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    /// Every flow as received.
    pub flows: u64,
    /// Traffic by minute.
    pub flows_1m: u64,
    /// Traffic by hour.
    pub flows_1h: u64,
    /// Traffic of the whole network by hour, of a few columns together.
    pub summary_1h: u64,
    /// The busiest hosts and services of every exporter by minute.
    pub talkers_1m: u64,
    /// The busiest hosts and services of every exporter by hour.
    pub talkers_1h: u64,
    /// Counter samples of sFlow agents, by interface.
    pub interface_counters: u64,
    /// What each exporter sent and lost, by minute.
    pub exporters: u64,
}

/// A pebibyte: more than a server has, and far from what overflows in sums.
const MAX_BYTES: u64 = 1 << 50;

impl Budget {
    /// Bytes that a table may take; `None` without a limit.
    pub fn bytes(&self, table: Table) -> Option<u64> {
        let bytes = match table {
            Table::Flows => self.flows,
            Table::Flows1m => self.flows_1m,
            Table::Flows1h => self.flows_1h,
            Table::Summary1h => self.summary_1h,
            Table::Talkers1m => self.talkers_1m,
            Table::Talkers1h => self.talkers_1h,
            Table::Side(SideTable::InterfaceCounters) => self.interface_counters,
            Table::Side(SideTable::Exporters) => self.exporters,
        };
        (bytes > 0).then_some(bytes)
    }

    /// Key and problem of every value that cannot work.
    pub(crate) fn mistakes(&self) -> Vec<(&'static str, String)> {
        let keys = [
            ("max_table_bytes.flows", self.flows),
            ("max_table_bytes.flows_1m", self.flows_1m),
            ("max_table_bytes.flows_1h", self.flows_1h),
            ("max_table_bytes.summary_1h", self.summary_1h),
            ("max_table_bytes.talkers_1m", self.talkers_1m),
            ("max_table_bytes.talkers_1h", self.talkers_1h),
            ("max_table_bytes.interface_counters", self.interface_counters),
            ("max_table_bytes.exporters", self.exporters),
        ];
        keys.into_iter().filter_map(|(key, bytes)| Some((key, outside(bytes, 0, MAX_BYTES)?))).collect()
    }

    /// Whether any table has a limit.
    pub fn is_set(&self) -> bool {
        *self != Self::default()
    }
}
