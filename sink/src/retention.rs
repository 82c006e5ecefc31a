//! Keeps tables within a number of bytes on disk by dropping their oldest partitions.
//!
//! Days are ClickHouse's own business (TTL); bytes are not, so helios looks every few minutes, and `helios retention`
//! when somebody asks. The newest partition always stays: it is being written to, and a budget below one partition
//! would otherwise empty the table again and again. Of a cluster, one replica of every shard is asked; the others
//! follow it. Rows in a rollup outlive the flows they were made of.

use std::time::Duration;

use clickhouse::Client;
use clickhouse::error::Error;

use crate::client;
use crate::config::SinkConfig;
use crate::migrate::rows;
use crate::schema::{Table, ddl};

pub mod config;
pub mod report;

/// How often a running helios looks: a partition is a day or a week, so minutes are soon enough.
pub const INTERVAL: Duration = Duration::from_secs(300);

/// A partition that has to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excess {
    /// Without the database: `sql` has the local table's.
    pub table: Table,
    /// As ClickHouse names it: a date.
    pub partition: String,
    /// Active rows at this server.
    pub rows: u64,
    /// On disk.
    pub bytes: u64,
    /// The statement that drops the partition.
    pub sql: String,
}

/// What a table with a budget takes at one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// A table that `max_table_bytes` limits.
    pub table: Table,
    /// On disk.
    pub bytes: u64,
    /// Bytes on disk, from `max_table_bytes`; never 0.
    pub budget: u64,
    /// None of a table that is empty or not there.
    pub partitions: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Partition {
    id: String,
    name: String,
    rows: u64,
    bytes: u64,
}

/// The partitions that are beyond the budgets at one server, oldest first within each table.
///
/// # Errors
/// When the server cannot be asked.
pub async fn plan(client: &Client, config: &SinkConfig) -> Result<Vec<Excess>, Error> {
    let mut plan = Vec::new();
    for table in Table::ALL {
        let Some(budget) = config.max_table_bytes.bytes(table) else { continue };
        let partitions = partitions(client, &config.storage_database(), table).await?;
        plan.extend(excess(&partitions, budget).iter().map(|partition| Excess {
            table,
            partition: partition.name.clone(),
            rows: partition.rows,
            bytes: partition.bytes,
            sql: format!(
                "ALTER TABLE {}.{} DROP PARTITION ID {}",
                config.storage_database(),
                table.name(),
                ddl::quoted(&partition.id)
            ),
        }));
    }
    Ok(plan)
}

/// What every table with a budget takes.
///
/// # Errors
/// When the server cannot be asked.
pub async fn usage(client: &Client, config: &SinkConfig) -> Result<Vec<Usage>, Error> {
    let mut usage = Vec::new();
    for table in Table::ALL {
        let Some(budget) = config.max_table_bytes.bytes(table) else { continue };
        let partitions = partitions(client, &config.storage_database(), table).await?;
        let bytes = partitions.iter().map(|partition| partition.bytes).sum();
        usage.push(Usage { table, bytes, budget, partitions: partitions.len() });
    }
    Ok(usage)
}

/// Drops what [`plan`] says and returns it.
///
/// # Errors
/// When the server does not do it; what was dropped before stays dropped.
pub async fn apply(client: &Client, config: &SinkConfig) -> Result<Vec<Excess>, Error> {
    let plan = plan(client, config).await?;
    for drop in &plan {
        // Of a replicated table, ask the other replicas no more than to follow when they can.
        client::answer(client.query(&drop.sql).with_setting("alter_sync", "1").execute()).await?;
    }
    Ok(plan)
}

/// Oldest first: partition IDs are dates.
async fn partitions(client: &Client, database: &str, table: Table) -> Result<Vec<Partition>, Error> {
    let sql = format!(
        "SELECT partition_id, any(partition), sum(rows), sum(bytes_on_disk) FROM system.parts \
         WHERE database = {} AND table = {} AND active GROUP BY partition_id ORDER BY partition_id",
        ddl::quoted(database),
        ddl::quoted(table.name())
    );
    let partition = |row: Vec<String>| {
        let [id, name, rows, bytes] = <[String; 4]>::try_from(row).ok()?;
        Some(Partition { id, name, rows: rows.parse().ok()?, bytes: bytes.parse().ok()? })
    };
    Ok(rows(client, &sql).await?.into_iter().filter_map(partition).collect())
}

/// The oldest partitions without which the rest is within the budget, never all of them.
fn excess(partitions: &[Partition], budget: u64) -> &[Partition] {
    let mut total: u64 = partitions.iter().map(|partition| partition.bytes).sum();
    let droppable = partitions.len().saturating_sub(1);
    let n = partitions[..droppable].iter().take_while(|partition| {
        let over = total > budget;
        total -= partition.bytes;
        over
    });
    &partitions[..n.count()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(sizes: &[u64], budget: u64) -> Vec<String> {
        let partition =
            |(n, &bytes): (usize, &u64)| Partition { id: n.to_string(), name: String::new(), rows: 1, bytes };
        let partitions: Vec<_> = sizes.iter().enumerate().map(partition).collect();
        excess(&partitions, budget).iter().map(|partition| partition.id.clone()).collect()
    }

    #[test]
    fn the_oldest_go_until_the_rest_fits() {
        assert_eq!(ids(&[10, 20, 30, 40], 100), [""; 0]);
        assert_eq!(ids(&[10, 20, 30, 40], 99), ["0"]);
        assert_eq!(ids(&[10, 20, 30, 40], 70), ["0", "1"]);
        assert_eq!(ids(&[10, 20, 30, 40], 69), ["0", "1", "2"]);
    }

    #[test]
    fn the_newest_stays_however_big_it_is() {
        assert_eq!(ids(&[10, 40], 1), ["0"]);
        assert_eq!(ids(&[40], 1), [""; 0]);
        assert_eq!(ids(&[], 1), [""; 0]);
    }
}
