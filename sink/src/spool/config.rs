//! What can be configured about the spool: the section `clickhouse.spool`.

use std::path::PathBuf;
use std::time::Duration;

use helios_advice::outside;
use serde::{Deserialize, Serialize};

use crate::chunk::CHUNK_ROWS;

/// Blocks on disk until ClickHouse has stored them. docs/durability.md says what that guarantees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpoolConfig {
    /// Directory of the spool; each Helios process needs its own. Without it, the spool is the directory `spool` in
    /// collector.state_dir. Without both, blocks wait in memory only.
    pub directory: Option<PathBuf>,

    /// `always`: write every block while it is filled; a crash loses only the rows that are not encoded yet.
    /// `on-failure`: write a block only when ClickHouse does not take it. `off`: keep blocks in memory only.
    pub policy: Policy,

    /// Largest size of the spool, in bytes.
    pub max_bytes: u64,

    /// Bytes that the spool leaves free on its file system. The spool drops blocks for this only if all of its blocks
    /// together free the missing bytes. If other programs fill the disk, it keeps its blocks and writes no more;
    /// `helios_sink_spool_available` is 0 until there is room.
    pub min_free_bytes: u64,

    /// Bytes of refused blocks and damaged files, in addition to max_bytes. When they are more, the oldest one is
    /// dropped, or with `when_full: drop-newest` the new one.
    pub max_aside_bytes: u64,

    /// What happens when the spool is full. `drop-oldest`: drop the oldest waiting block to store the new one.
    /// `drop-newest`: keep the blocks in the spool; new blocks wait in memory up to max_backlog_bytes and are then
    /// dropped.
    pub when_full: WhenFull,

    /// With policy `always`: number of rows after which they are encoded and written, so that they survive a crash.
    /// Fewer than 65536 make blocks more expensive for ClickHouse.
    pub max_unwritten_rows: usize,

    /// With policy `always`: milliseconds after which the rows of the open block are encoded and written, however few
    /// they are.
    pub max_unwritten_ms: u64,

    /// When blocks are forced to the medium (fsync), which matters only when the machine loses power. `block`: before a
    /// block is sent. `interval`: once a second. `never`: when the operating system does it.
    pub fsync: Fsync,

    /// Order in which waiting blocks are sent: `oldest` or `newest` first. Blocks whose insert was interrupted come
    /// before all others.
    pub replay_order: ReplayOrder,

    /// Waiting blocks that are sent at the same time; the other connections are for new blocks.
    pub replay_parallel: usize,

    /// Send new blocks before waiting ones when both need a connection.
    pub fresh_first: bool,
}

impl Default for SpoolConfig {
    fn default() -> Self {
        Self {
            directory: None,
            policy: Policy::Always,
            max_bytes: 16 << 30,
            min_free_bytes: 1 << 30,
            max_aside_bytes: 4 << 30,
            when_full: WhenFull::DropOldest,
            max_unwritten_rows: CHUNK_ROWS,
            max_unwritten_ms: 1_000,
            fsync: Fsync::Interval,
            replay_order: ReplayOrder::Oldest,
            replay_parallel: 1,
            fresh_first: true,
        }
    }
}

/// When blocks are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// While the block is filled.
    #[default]
    Always,
    /// When ClickHouse does not take it.
    OnFailure,
    /// Never.
    Off,
}

/// What goes when the spool is full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenFull {
    /// The oldest waiting block.
    #[default]
    DropOldest,
    /// The new block, once the backlog in memory is full as well.
    DropNewest,
}

/// When blocks are forced onto the medium.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fsync {
    /// Before the block is sent.
    Block,
    /// Once a second.
    #[default]
    Interval,
    /// Helios leaves it to the operating system.
    Never,
}

/// Which kept block goes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplayOrder {
    /// The one that was begun first.
    #[default]
    Oldest,
    /// The one that was begun last.
    Newest,
}

impl SpoolConfig {
    /// The directory, if there is to be a spool.
    pub fn active(&self) -> Option<&PathBuf> {
        self.directory.as_ref().filter(|_| self.policy != Policy::Off)
    }

    pub(crate) fn max_unwritten(&self) -> Duration {
        Duration::from_millis(self.max_unwritten_ms)
    }

    /// Key and problem of every value that cannot work.
    pub(crate) fn mistakes(&self) -> Vec<(&'static str, String)> {
        let empty = self.directory.as_ref().is_some_and(|directory| directory.as_os_str().is_empty());
        let rules = [
            ("spool.directory", empty.then(|| "must not be empty; leave it out for none".to_owned())),
            // Less would not hold a single block.
            ("spool.max_bytes", outside(self.max_bytes, 64 << 20, 1 << 50)),
            ("spool.min_free_bytes", outside(self.min_free_bytes, 0, 1 << 50)),
            ("spool.max_aside_bytes", outside(self.max_aside_bytes, 0, 1 << 50)),
            ("spool.max_unwritten_rows", outside(self.max_unwritten_rows, 1, CHUNK_ROWS)),
            ("spool.max_unwritten_ms", outside(self.max_unwritten_ms, 10, 600_000)),
            ("spool.replay_parallel", outside(self.replay_parallel, 1, 64)),
        ];
        rules.into_iter().filter_map(|(key, problem)| Some((key, problem?))).collect()
    }
}
