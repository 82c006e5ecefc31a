//! Room in the spool: its own limits, and what its file system has free.
//!
//! The spool's own limits (octets and files) are kept by removing files. Free space is shared with other programs:
//! files are removed for it only if that can reach [`min_free_bytes`](super::SpoolConfig::min_free_bytes), and no
//! longer than it does. Otherwise nothing more is written until there is room again, and everybody is told.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{FILES_MAX, Spool};

/// Free space is looked up this often at most.
const FREE_INTERVAL: Duration = Duration::from_millis(250);

/// Files are not removed for so long after that did not raise the free octets: another program takes what becomes free,
/// or the file system frees it later (snapshots, copy-on-write).
const FUTILE_PAUSE: Duration = Duration::from_secs(60);

/// Whether more can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    Enough,
    /// The spool's own limits are reached: removing files makes room.
    OwnLimit,
    /// The file system lacks so many octets.
    Disk {
        missing: u64,
    },
}

/// Free octets for unprivileged users.
pub(super) fn free(path: &Path) -> io::Result<u64> {
    let found = nix::sys::statvfs::statvfs(path)?;
    Ok(found.blocks_available() * found.fragment_size())
}

impl Spool {
    /// Whether `reserve` octets more can be written.
    pub(crate) fn room(&self, reserve: u64) -> Room {
        if self.exceeds(reserve) {
            return Room::OwnLimit;
        }
        let wanted = self.config.min_free_bytes.saturating_add(reserve);
        match wanted.saturating_sub(self.free()) {
            0 => Room::Enough,
            missing => Room::Disk { missing },
        }
    }

    /// Whether room has to be made before `reserve` octets more can be written.
    pub fn is_full(&self, reserve: u64) -> bool {
        self.room(reserve) != Room::Enough
    }

    /// Whether `reserve` octets more are beyond the spool's own limits.
    pub(super) fn exceeds(&self, reserve: u64) -> bool {
        let state = self.state();
        state.stats.octets + reserve > self.config.max_bytes || state.stats.files >= FILES_MAX
    }

    /// As the negation of [`is_full`](Self::is_full); if there is no room, everybody is told.
    pub(crate) fn has_room(&self, reserve: u64) -> bool {
        let room = self.room(reserve);
        self.tell(room);
        room == Room::Enough
    }

    /// Looks whether anything can be written at all, and tells.
    pub(crate) fn look_for_room(&self) {
        self.tell(self.room(0));
    }

    /// Whether removing files can give the file system what it lacks.
    pub(crate) fn can_free(&self, missing: u64) -> bool {
        let state = self.state();
        state.stats.octets >= missing && state.futile_until.is_none_or(|until| until <= Instant::now())
    }

    /// A file was removed, and the file system lacks as much as before.
    pub(crate) fn removing_was_futile(&self) {
        self.state().futile_until = Some(Instant::now() + FUTILE_PAUSE);
    }

    /// The next one who asks for room looks at the file system again.
    #[cfg(test)]
    pub(crate) fn forget_free(&self) {
        self.state().free = None;
    }

    fn free(&self) -> u64 {
        let known = self.state().free.filter(|(at, _)| at.elapsed() < FREE_INTERVAL);
        if let Some((_, free)) = known {
            return free;
        }
        // A file system that does not tell is not taken for full: writing will show.
        let free = (self.look_up_free)(&self.folder.path).unwrap_or(u64::MAX);
        self.state().free = Some((Instant::now(), free));
        free
    }

    fn tell(&self, room: Room) {
        let reason = match room {
            Room::Enough => None,
            Room::OwnLimit => Some(format!(
                "no room: clickhouse.spool.max_bytes ({}) or {FILES_MAX} files are used up",
                self.config.max_bytes
            )),
            Room::Disk { .. } => Some(format!(
                "no room: {} bytes are free on its file system and clickhouse.spool.min_free_bytes is {}; other programs \
                 use the rest",
                self.free(),
                self.config.min_free_bytes
            )),
        };
        let mut state = self.state();
        let before = std::mem::replace(&mut state.no_room, reason.clone());
        let Some(reason) = reason else {
            drop(state);
            if before.is_some() {
                tracing::info!(directory = %self.root.display(), "the spool has room again and takes blocks");
            }
            return;
        };
        state.met(reason.clone());
        // What is new is said at once, and then once a minute.
        let due = state.is_log_due() || before.is_none();
        drop(state);
        if due {
            tracing::error!(
                directory = %self.root.display(), reason,
                "the spool takes no blocks: new ones are in memory only and a crash would lose them"
            );
        }
    }
}
