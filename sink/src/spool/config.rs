//! What can be configured about the spool: the section `clickhouse.spool`.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::chunk::CHUNK_ROWS;

/// Where blocks are kept on disk until ClickHouse has them. docs/durability.md says what that promises.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpoolConfig {
    /// Directory of the spool, of one helios only. Without it the spool is the directory `spool` in
    /// collector.state_dir; if that is not set either, blocks wait in memory only.
    pub directory: Option<PathBuf>,

    /// `always` writes every block while it is filled, so that a crash costs only the rows that were not encoded yet;
    /// `on-failure` writes blocks only when ClickHouse does not take them; `off` keeps them in memory.
    pub policy: Policy,

    /// Bytes of the spool at most.
    pub max_bytes: u64,

    /// Bytes that the spool leaves free on its file system. It gives up blocks for that only if all of them together are
    /// worth the missing bytes; if other programs fill the disk it keeps what it has, writes nothing more, and
    /// `helios_sink_spool_available` is 0 until there is room.
    pub min_free_bytes: u64,

    /// Bytes of blocks that ClickHouse refused and of damaged files, beside max_bytes. When they are used up, the
    /// oldest goes for the next one, or the next one with `when_full: drop-newest`.
    pub max_aside_bytes: u64,

    /// What goes when the spool is full: `drop-oldest` gives up the oldest waiting block for the new one,
    /// `drop-newest` keeps what is there, and new blocks wait in memory up to max_backlog_bytes.
    pub when_full: WhenFull,

    /// With policy `always`: rows after which they are encoded and written, and so survive a crash. Fewer than 65536
    /// make the blocks more expensive for ClickHouse.
    pub max_unwritten_rows: usize,

    /// With policy `always`: milliseconds after which the rows of an open block are encoded and written.
    pub max_unwritten_ms: u64,

    /// When blocks are forced onto the medium, which only matters if the machine loses power: `block` before a block
    /// is sent, `interval` once a second, `never` leaves it to the operating system.
    pub fsync: Fsync,

    /// Which of the kept blocks goes first: `oldest` or `newest`. Blocks whose insert was cut off come before both.
    pub replay_order: ReplayOrder,

    /// Kept blocks sent to ClickHouse at the same time; the other connections are for fresh ones.
    pub replay_parallel: usize,

    /// Whether fresh blocks are sent before kept ones where both wait for a connection.
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
    #[default]
    Always,
    OnFailure,
    Off,
}

/// What goes when the spool is full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenFull {
    #[default]
    DropOldest,
    DropNewest,
}

/// When blocks are forced onto the medium.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fsync {
    Block,
    #[default]
    Interval,
    Never,
}

/// Which kept block goes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplayOrder {
    #[default]
    Oldest,
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
    pub(crate) fn mistakes(&self) -> Vec<(&'static str, &'static str)> {
        let rules = [
            (
                self.directory.as_ref().is_none_or(|directory| !directory.as_os_str().is_empty()),
                "spool.directory",
                "must not be empty; leave it out for none",
            ),
            (
                self.max_bytes >= 64 << 20,
                "spool.max_bytes",
                "at least 67108864 (64 MiB): less would not hold a single block",
            ),
            ((1..=CHUNK_ROWS).contains(&self.max_unwritten_rows), "spool.max_unwritten_rows", "from 1 to 65536"),
            ((10..=600_000).contains(&self.max_unwritten_ms), "spool.max_unwritten_ms", "from 10 to 600000"),
            ((1..=64).contains(&self.replay_parallel), "spool.replay_parallel", "from 1 to 64"),
        ];
        rules.into_iter().filter(|(right, ..)| !right).map(|(_, key, problem)| (key, problem)).collect()
    }
}
