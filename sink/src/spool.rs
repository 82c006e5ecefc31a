//! Blocks on disk until ClickHouse has them.
//!
//! A block is a file ([`mod@file`] has the format) in the folder of its process ([`directory`] has the layout). It is
//! written piece by piece while it is filled, named `.block` when it is closed, `.sent` before its first insert, and
//! removed when ClickHouse has acknowledged it: there is no index that could disagree with the files.
//!
//! The spool knows files and octets. [`backlog`](crate::backlog) decides which block goes next and which one makes room.
//! A block that cannot be written stays in memory; `available` turns false, and one log line a minute says why.
//!
//! No lock is held during a call to the file system: a disk that does not answer delays the thread that needs it, and not
//! the callers of [`Spool::stats`].
//!
//! It does not keep more than one copy, and does not check what it wrote before it reads it.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::mem;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use helios_common::clock;
use helios_common::time::UnixMs;

use crate::block::Block;
use crate::rollup::Rollup;
use crate::schema::Table;

pub mod config;
pub mod directory;
pub mod file;
pub mod inspect;
pub mod report;
mod room;
mod scan;
#[cfg(test)]
mod tests;

pub use config::{Fsync, Policy, ReplayOrder, SpoolConfig, WhenFull};
use directory::RunFolder;
use file::{Contents, End, FileError, Head};
pub(crate) use room::Room;
pub(crate) use scan::Scanner;

/// More files than this are as bad as too many bytes: folders get slow.
pub const FILES_MAX: usize = 100_000;

/// The same failure is logged at most once in this time.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// A block or folder that cannot be opened counts as a problem until this time after the last failure.
const IN_THE_WAY: Duration = Duration::from_secs(30);

/// Where a block is in the spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Name of its file without the ending.
    pub name: Arc<str>,
    /// Whether ClickHouse may have it already.
    pub sent: bool,
    /// Of the file.
    pub octets: u64,
}

/// A kept block of which only this is in memory.
#[derive(Debug, Clone)]
pub struct Stub {
    /// Where it is.
    pub kept: Kept,
    /// Where the rows go.
    pub table: Table,
    /// Of its token: see [`cluster::number`](crate::cluster::number).
    pub number: usize,
    /// As the last record of the file says.
    pub rows: u64,
}

/// The spool at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpoolStats {
    /// The configuration wants one.
    pub configured: bool,
    /// It takes blocks; false is an alarm, and [`last_error`](Self::last_error) has the reason.
    pub available: bool,
    /// The trouble that stands; `None` when all is well.
    pub last_error: Option<String>,
    /// When it was last met.
    pub last_error_at: Option<UnixMs>,
    /// Block files in the folder of this process, those that are being filled included.
    pub files: usize,
    /// Octets of these files.
    pub octets: u64,
    /// Blocks and rows that an earlier process left and this one took over.
    pub recovered_blocks: u64,
    /// Rows of these blocks.
    pub recovered_rows: u64,
    /// Whether everything that earlier processes left has been found.
    pub scanned: bool,
    /// Attempts to write that failed since the start.
    pub write_failures: u64,
    /// Files found damaged since the start; they are in `aside`.
    pub damaged_files: u64,
    /// Files in the folders `aside` and `retry`, and their octets.
    pub aside_files: usize,
    /// Limited by `max_aside_bytes`.
    pub aside_octets: u64,
}

#[derive(Debug, Default)]
struct State {
    stats: SpoolStats,
    /// Why the latest write failed; `None` after one that did not.
    failure: Option<String>,
    /// Why there is no room for more.
    no_room: Option<String>,
    /// Free octets of the file system, and when they were looked up.
    free: Option<(Instant, u64)>,
    /// Removing files did not raise the free octets: not tried again before then.
    futile_until: Option<Instant>,
    logged: Option<Instant>,
    /// When a block or a folder could last not be opened, while the spool accepted others. Each is tried every second.
    in_the_way: Option<Instant>,
    /// Folders that were logged as strange.
    strange: HashSet<PathBuf>,
    /// Files that were closed since the last sync, and whether the folder has changed since then.
    unsynced: Vec<(Arc<str>, File)>,
    unsynced_folder: bool,
    /// Blocks that are done with and whose files could not be removed.
    unremoved: Vec<Kept>,
    /// What a full disk left of the files of blocks that are in memory, by token.
    stumps: HashMap<String, Kept>,
}

impl State {
    /// Notes trouble.
    fn met(&mut self, error: String) {
        self.stats.last_error = Some(error);
        self.stats.last_error_at = Some(clock::unix_ms());
    }

    /// Whether trouble is to be logged: not what was logged a moment ago.
    fn is_log_due(&mut self) -> bool {
        let due = self.logged.is_none_or(|at| at.elapsed() >= LOG_INTERVAL);
        if due {
            self.logged = Some(Instant::now());
        }
        due
    }
}

/// The spool of this process.
pub struct Spool {
    pub(crate) config: SpoolConfig,
    root: PathBuf,
    folder: RunFolder,
    /// In every name, since clocks jump and process ids come again.
    process: u64,
    blocks: AtomicU64,
    look_up_free: LookUpFree,
    state: Mutex<State>,
}

/// Free octets of the file system that holds a path.
type LookUpFree = Box<dyn Fn(&Path) -> io::Result<u64> + Send + Sync>;

impl Spool {
    /// Opens the spool in `config.directory` and makes a folder of its own there.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(config: &SpoolConfig, root: &Path) -> io::Result<Arc<Self>> {
        Self::open_on(config, root, Box::new(room::free))
    }

    /// As [`open`](Self::open), on a file system that tells its free octets otherwise.
    pub(crate) fn open_on(config: &SpoolConfig, root: &Path, look_up_free: LookUpFree) -> io::Result<Arc<Self>> {
        let folder = RunFolder::create(root)?;
        let stats = SpoolStats { configured: true, available: true, ..SpoolStats::default() };
        let state = Mutex::new(State { stats, ..State::default() });
        if config.fsync != Fsync::Never {
            directory::sync(&folder.path)?;
            directory::sync(root)?;
        }
        let (config, root) = (config.clone(), root.to_owned());
        let process = RandomState::new().build_hasher().finish();
        let spool = Self { config, root, folder, process, blocks: AtomicU64::new(0), look_up_free, state };
        // Too little room is said before the first block needs it.
        spool.look_for_room();
        Ok(Arc::new(spool))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn stats(&self) -> SpoolStats {
        let state = self.state();
        let available = state.failure.is_none() && state.no_room.is_none();
        let mut stats = SpoolStats { available, ..state.stats.clone() };
        if available && state.in_the_way.is_none_or(|met| met.elapsed() >= IN_THE_WAY) {
            (stats.last_error, stats.last_error_at) = (None, None);
        }
        stats
    }

    fn path(&self, name: &str, kind: &str) -> PathBuf {
        self.folder.path.join(format!("{name}.{kind}"))
    }

    fn path_of(&self, kept: &Kept) -> PathBuf {
        self.path(&kept.name, if kept.sent { directory::SENT } else { directory::BLOCK })
    }

    /// Begins the file of a block; `None` if that is not possible now.
    pub fn begin(self: &Arc<Self>, head: &Head) -> Option<OpenFile> {
        let ms = clock::unix_ms();
        let number = self.blocks.fetch_add(1, Ordering::Relaxed);
        let name: Arc<str> = format!("{ms:014}-{:016x}-{number:08}", self.process).into();
        let path = self.path(&name, directory::OPEN);
        let file = File::options().append(true).create_new(true).mode(directory::FILE_MODE).open(&path);
        let file = file.map_err(|error| self.failed("cannot begin a file", &error)).ok()?;
        self.state().stats.files += 1;
        let token = head.token.clone();
        let open = OpenFile { spool: Arc::clone(self), name, token, file, octets: 0, sum: End::default() };
        open.write(&head.encode())
    }

    /// As [`begin`](Self::begin), unless the spool is full.
    pub fn begin_if_room(self: &Arc<Self>, head: &Head) -> Option<OpenFile> {
        if self.has_room(0) { self.begin(head) } else { None }
    }

    /// As [`write`](Self::write), unless the spool is full.
    pub fn write_if_room(self: &Arc<Self>, block: &Block) -> Option<Kept> {
        if self.has_room(block.octets) { self.write(block) } else { None }
    }

    /// Writes a closed block. Its bytes stay in memory as well.
    pub fn write(self: &Arc<Self>, block: &Block) -> Option<Kept> {
        let head = Head {
            table: block.table,
            compression: block.compression,
            token: block.token.clone(),
            statement: block.statement.to_string(),
        };
        let file = self.write_pieces(&head, &block.pieces, block.rows as u32, &block.arrivals)?;
        block.rollups.iter().try_fold(file, OpenFile::append_rollup)?.close()
    }

    /// Writes pieces that are there already to a new file. Rows and arrivals come with the last one: they are whole or not
    /// there at all.
    pub fn write_pieces(
        self: &Arc<Self>,
        head: &Head,
        pieces: &[Bytes],
        rows: u32,
        arrivals: &[(UnixMs, u32)],
    ) -> Option<OpenFile> {
        let last = pieces.len().saturating_sub(1);
        pieces.iter().enumerate().try_fold(self.begin(head)?, |file, (n, piece)| {
            let (rows, arrivals) = if n == last { (rows, arrivals) } else { (0, &[][..]) };
            file.append(rows, arrivals, piece)
        })
    }

    /// Reads a kept block.
    ///
    /// # Errors
    /// [`FileError`]; a damaged file is to be [set aside](Self::set_aside).
    pub fn load(&self, kept: &Kept) -> Result<Block, FileError> {
        let contents = Contents::read(&self.path_of(kept))?;
        if !contents.closed || contents.whole != kept.octets {
            return Err(FileError::Damaged("its octets are not what was written"));
        }
        Ok(Block { kept: Some(kept.clone()), ..contents.into_block() })
    }

    /// Notes that a block is about to be sent: after a crash, ClickHouse may have it already.
    pub fn mark_sent(&self, kept: &mut Kept) {
        if kept.sent {
            return;
        }
        match fs::rename(self.path_of(kept), self.path(&kept.name, directory::SENT)) {
            Ok(()) => kept.sent = true,
            Err(error) => self.failed("cannot rename a file", &error),
        }
    }

    /// Removes a block that is stored or given up: later if that is not possible now, since the next process would
    /// send what is left.
    pub fn remove(&self, kept: &Kept) -> bool {
        let removed = self.try_remove(kept);
        if !removed {
            self.state().unremoved.push(kept.clone());
        }
        removed
    }

    /// Removes a block's file. `false`, and the file still counts, if it is there afterwards.
    pub(crate) fn try_remove(&self, kept: &Kept) -> bool {
        match fs::remove_file(self.path_of(kept)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                self.failed("cannot remove a file", &error);
                false
            }
            _ => {
                self.leave_unsynced(&kept.name);
                self.forget(kept);
                true
            }
        }
    }

    /// A removed file is not forced onto the medium: nobody reads its octets again.
    fn leave_unsynced(&self, name: &str) {
        let mut state = self.state();
        let at = state.unsynced.iter().position(|(unsynced, _)| **unsynced == *name);
        let file = at.map(|at| state.unsynced.swap_remove(at));
        drop(state);
        drop(file);
    }

    /// Removes what could not be removed before.
    fn remove_left(&self) {
        let left = mem::take(&mut self.state().unremoved);
        left.iter().for_each(|kept| _ = self.remove(kept));
    }

    /// Removes what a full disk left of a block's file. The block is stored, or has a whole file now.
    pub fn remove_stump(&self, token: &str) {
        let Some(stump) = self.state().stumps.remove(token) else { return };
        if let Err(error) = fs::remove_file(self.path(&stump.name, directory::OPEN)) {
            self.failed("cannot remove a file", &error);
        }
        self.forget(&stump);
    }

    fn forget(&self, kept: &Kept) {
        let mut state = self.state();
        state.stats.files = state.stats.files.saturating_sub(1);
        state.stats.octets = state.stats.octets.saturating_sub(kept.octets);
        state.free = None;
    }

    /// Moves a block's file to the folder `aside` with a note of the reason.
    pub fn set_aside(&self, kept: &Kept, kind: &'static str, reason: &str) {
        self.put_aside(&self.path_of(kept), &kept.name, kind, reason);
        self.forget(kept);
    }

    fn put_aside(&self, path: &Path, name: &str, kind: &'static str, reason: &str) {
        self.to_aside(name, kind, reason, |target| fs::rename(path, target));
    }

    /// Keeps what a damaged file was before its good part is made a block of.
    fn copy_aside(&self, path: &Path, name: &str, reason: &str) {
        self.to_aside(name, directory::DAMAGED, reason, |target| fs::copy(path, target).map(|_| ()));
    }

    fn to_aside(&self, name: &str, kind: &'static str, reason: &str, bring: impl FnOnce(&Path) -> io::Result<()>) {
        let folder = directory::aside(&self.root);
        let target = folder.join(format!("{name}.{kind}"));
        // The note first: there is no file without one. It is for people, so a disk without room for it is no reason.
        let _ = directory::write(&folder.join(format!("{name}.{}", directory::NOTE)), reason.as_bytes());
        if let Err(error) = bring(&target) {
            return self.failed("cannot set a file aside", &error);
        }
        let octets = fs::metadata(&target).map_or(0, |found| found.len());
        let mut state = self.state();
        state.stats.aside_files += 1;
        state.stats.aside_octets += octets;
        if kind == directory::DAMAGED {
            state.stats.damaged_files += 1;
        }
        drop(state);
        tracing::error!(file = %target.display(), reason, "a file of the spool is set aside: see `helios spool list`");
    }

    /// Whether the folder `aside` takes so much more.
    pub fn has_room_aside(&self, octets: u64) -> bool {
        self.state().stats.aside_octets + octets <= self.config.max_aside_bytes
    }

    /// Removes the oldest files that were set aside until it takes so much more; the names of what is gone.
    pub fn make_room_aside(&self, octets: u64) -> Vec<Arc<str>> {
        let mut gone = Vec::new();
        let files = directory::files(&directory::aside(&self.root)).unwrap_or_default();
        for file in files {
            if self.has_room_aside(octets) {
                break;
            }
            let size = fs::metadata(&file.path).map_or(0, |found| found.len());
            if let Err(error) = directory::remove_aside(&file.path) {
                self.failed("cannot remove a file", &error);
                break;
            }
            let mut state = self.state();
            state.stats.aside_files = state.stats.aside_files.saturating_sub(1);
            state.stats.aside_octets = state.stats.aside_octets.saturating_sub(size);
            drop(state);
            tracing::error!(
                block = &*file.name,
                "a block that was set aside is given up for a newer one: clickhouse.spool.max_aside_bytes is used up"
            );
            gone.push(file.name);
        }
        gone
    }

    /// A file that is there cannot be read or moved just now, or is of a newer version: its block waits, the others do not.
    pub(crate) fn cannot_reach(&self, name: &str, error: &FileError) {
        let advice = match error {
            FileError::Newer => "it is kept, and sent once the newer helios runs again",
            _ => "check permissions, open files (ulimit -n) and memory",
        };
        let mut state = self.state();
        state.met(format!("cannot reach block {name}: {error}"));
        state.in_the_way = Some(Instant::now());
        let due = state.is_log_due();
        drop(state);
        if due {
            tracing::error!(
                directory = %self.root.display(), block = name, %error,
                "a block in the spool cannot be reached and waits: {advice}"
            );
        }
    }

    /// A folder in the spool is not as this program left it: it is named once, left alone, and holds up no other.
    pub(crate) fn strange(&self, folder: &Path, what: &str) {
        let mut state = self.state();
        state.met(format!("{} cannot be taken over: {what}", folder.display()));
        state.in_the_way = Some(Instant::now());
        if !state.strange.insert(folder.to_owned()) {
            return;
        }
        drop(state);
        tracing::error!(
            folder = %folder.display(), reason = what,
            "a folder in the spool cannot be taken over and is left as it is: blocks in it, if any, wait until that is \
             mended; all others are sent"
        );
    }

    /// Counts a failure, and logs it unless one was logged a moment ago.
    fn failed(&self, what: &'static str, error: &io::Error) {
        let text = format!("{what}: {error}");
        let mut state = self.state();
        state.failure = Some(text.clone());
        state.stats.write_failures += 1;
        state.met(text);
        let due = state.is_log_due();
        drop(state);
        if due {
            tracing::error!(
                directory = %self.root.display(), %error,
                "the spool fails ({what}): blocks are in memory only and a crash would lose them"
            );
        }
    }

    /// Forces onto the medium what was closed since the last call.
    pub(crate) fn sync(&self) {
        let mut state = self.state();
        let (files, folder) = (mem::take(&mut state.unsynced), mem::take(&mut state.unsynced_folder));
        drop(state);
        let files = files.iter().map(|(_, file)| file.sync_data());
        // The folder last: it has the files' names.
        for synced in files.chain(folder.then(|| directory::sync(&self.folder.path))) {
            if let Err(error) = synced {
                self.failed("cannot force a file onto the medium", &error);
            }
        }
    }

    /// Lets the folder of this process go: nothing is written any more. Empty, it is removed.
    pub fn release(&self) {
        if let Err(error) = self.folder.remove_if_empty().and_then(|()| self.folder.unlock()) {
            tracing::warn!(folder = %self.folder.path.display(), %error, "the folder in the spool is not let go before this process ends");
        }
    }
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spool").field("folder", &self.folder.path).finish_non_exhaustive()
    }
}

/// The file of a block that is being filled. Given up halfway, it is removed.
#[derive(Debug)]
pub struct OpenFile {
    spool: Arc<Spool>,
    name: Arc<str>,
    token: String,
    file: File,
    octets: u64,
    sum: End,
}

impl OpenFile {
    fn write(mut self, record: &[u8]) -> Option<Self> {
        if let Err(error) = self.file.write_all(record) {
            self.spool.failed("cannot write", &error);
            self.leave();
            return None;
        }
        self.octets += record.len() as u64;
        self.spool.state().stats.octets += record.len() as u64;
        Some(self)
    }

    /// Appends a piece of the body, with the rows that it makes whole. `None` if the disk failed: the block goes on
    /// in memory. What the file has of it stays until the block is stored or written as a whole: a crash costs no row that
    /// was safe.
    pub fn append(self, rows: u32, arrivals: &[(UnixMs, u32)], body: &Bytes) -> Option<Self> {
        let mut this = self.write(&file::encode_piece(rows, arrivals, body))?;
        this.sum.rows += u64::from(rows);
        this.sum.octets += body.len() as u64;
        this.sum.pieces += 1;
        Some(this)
    }

    /// Appends what the block adds to a rollup table.
    pub fn append_rollup(self, rollup: &Rollup) -> Option<Self> {
        self.write(&file::encode_rollup(rollup))
    }

    /// Ends the file: from now on the block is the spool's.
    pub fn close(self) -> Option<Kept> {
        let end = self.sum.encode();
        let this = self.write(&end)?;
        let spool = Arc::clone(&this.spool);
        // Before the name of a closed block: of two files with one token, ClickHouse takes the first that it gets.
        spool.remove_stump(&this.token);
        let at_once = spool.config.fsync == Fsync::Block;
        let synced = if at_once { this.file.sync_data() } else { Ok(()) };
        let (from, to) = (spool.path(&this.name, directory::OPEN), spool.path(&this.name, directory::BLOCK));
        if let Err(error) = synced.and_then(|()| fs::rename(from, to)) {
            spool.failed("cannot close a file", &error);
            this.give_up();
            return None;
        }
        // The name is the folder's.
        if at_once && let Err(error) = directory::sync(&spool.folder.path) {
            spool.failed("cannot force the folder onto the medium", &error);
        } else {
            spool.state().failure = None;
        }
        if spool.config.fsync == Fsync::Interval {
            let mut state = spool.state();
            state.unsynced.push((Arc::clone(&this.name), this.file));
            state.unsynced_folder = true;
        }
        Some(Kept { name: this.name, sent: false, octets: this.octets })
    }

    /// Leaves the whole records of a file that the disk does not take the rest of; without rows, there is no use in them.
    fn leave(self) {
        if self.sum.rows == 0 || self.file.set_len(self.octets).is_err() {
            return self.give_up();
        }
        let longest = self.spool.state().stumps.get(&self.token).map_or(0, |stump| stump.octets);
        if longest >= self.octets {
            return self.give_up();
        }
        self.spool.remove_stump(&self.token);
        let stump = Kept { name: self.name, sent: false, octets: self.octets };
        self.spool.state().stumps.insert(self.token, stump);
    }

    fn give_up(self) {
        let _ = fs::remove_file(self.spool.path(&self.name, directory::OPEN));
        self.spool.forget(&Kept { name: self.name, sent: false, octets: self.octets });
    }
}
