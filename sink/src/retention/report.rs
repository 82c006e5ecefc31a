//! What tables take and what is dropped of them, as text: what `helios retention` prints.

use std::fmt::Write as _;

use helios_advice::counted;

use super::{Excess, Usage};

/// Appends a line for each table with a limit, for each partition that is dropped, and for each limit that cannot be kept.
pub fn describe(out: &mut String, url: &str, usage: &[Usage], drops: &[Excess], dry_run: bool) {
    let verb = if dry_run { "would drop" } else { "dropped" };
    // Writing to a String cannot fail, here and below.
    for &Usage { table, bytes, budget, partitions } in usage {
        let name = table.name();
        if partitions == 0 {
            let _ = writeln!(out, "{url}: {name} is empty, or not there (clickhouse.database, `helios migrate`)");
            continue;
        }
        let _ = writeln!(
            out,
            "{url}: {name} takes {bytes} of {budget} bytes, in {}",
            counted(partitions as u64, "partition")
        );
        let mut left = bytes;
        for drop in drops.iter().filter(|drop| drop.table == table) {
            left = left.saturating_sub(drop.bytes);
            let _ = writeln!(out, "  {verb} {}: {} rows, {} bytes", drop.partition, drop.rows, drop.bytes);
        }
        if left > budget {
            let _ = writeln!(
                out,
                "  {left} bytes are left, which is more than the limit: the newest partition always stays"
            );
        } else if left == bytes {
            let _ = writeln!(out, "  within its limit");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Table;

    #[test]
    fn what_each_table_takes_what_goes_and_which_limit_cannot_be_kept() {
        let usage = |table, bytes, partitions| Usage { table, bytes, budget: 100, partitions };
        let drop = |partition: &str, bytes| Excess {
            table: Table::Flows,
            partition: partition.into(),
            rows: 7,
            bytes,
            sql: String::new(),
        };
        let usage = [usage(Table::Flows, 250, 3), usage(Table::Flows1m, 80, 1), usage(Table::Flows1h, 0, 0)];
        let mut out = String::new();
        describe(&mut out, "http://a", &usage, &[drop("2026-11-20", 60), drop("2026-11-21", 50)], true);
        let expected = "http://a: flows takes 250 of 100 bytes, in 3 partitions
  would drop 2026-11-20: 7 rows, 60 bytes
  would drop 2026-11-21: 7 rows, 50 bytes
  140 bytes are left, which is more than the limit: the newest partition always stays
http://a: flows_1m takes 80 of 100 bytes, in 1 partition
  within its limit
http://a: flows_1h is empty, or not there (clickhouse.database, `helios migrate`)
";
        assert_eq!(out, expected);
    }
}
