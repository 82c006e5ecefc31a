//! The thread `spool`: finds what earlier processes left, and what somebody wants sent again, while blocks already flow.
//!
//! Start-up does not wait for it. Of a closed block only head and end are read; a block that was being filled when
//! its process died is read whole, closed as it stands, and then one like any other.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use helios_common::ledger::DropReason;

use crate::backlog::Backlog;
use crate::cluster;

use super::directory::{self, Named, RunFolder};
use super::file::{self, Contents, FileError, Tail};
use super::{Fsync, Kept, Spool, Stub};

/// How often other processes' folders and requests are looked at, and files forced onto the medium.
const INTERVAL: Duration = Duration::from_secs(1);

/// Blocks to be sent again that are taken at a time.
const AGAIN_MAX: usize = 4;

/// How often the log says how much waits.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(60);

/// What the thread works with.
pub(crate) struct Scanner {
    pub spool: Arc<Spool>,
    /// Gets every block that is found.
    pub backlog: Arc<Backlog>,
    /// The thread that sets it has to unpark the scanner.
    pub stop: Arc<AtomicBool>,
}

/// What the log was last told of the spool.
#[derive(Default)]
struct Told {
    at: Option<Instant>,
    /// Whether it was that something waits.
    waiting: bool,
}

impl Scanner {
    pub(crate) fn run(self) {
        let mut told = Told::default();
        while !self.stop.load(Ordering::Acquire) {
            if let Err(error) = self.look() {
                self.spool.failed("cannot look for blocks", &error);
            }
            self.tell(&mut told);
            self.spool.remove_left();
            self.spool.look_for_room();
            self.backlog.write_waiting();
            if self.spool.config.fsync == Fsync::Interval {
                self.spool.sync();
            }
            let begin = Instant::now();
            while begin.elapsed() < INTERVAL && !self.stop.load(Ordering::Acquire) {
                std::thread::park_timeout(INTERVAL.saturating_sub(begin.elapsed()));
            }
        }
        if self.spool.config.fsync != Fsync::Never {
            self.spool.sync();
        }
    }

    /// Logs what waits in the spool, once in a while, and then that nothing does any more.
    fn tell(&self, told: &mut Told) {
        let waiting = self.backlog.occupancy();
        let (blocks, rows) = (waiting.kept_blocks + waiting.replaying, waiting.kept_rows);
        if blocks == 0 {
            if std::mem::take(&mut told.waiting) {
                tracing::info!("everything that waited in the spool has been sent");
            }
        } else if told.at.is_none_or(|at| at.elapsed() >= PROGRESS_INTERVAL) {
            *told = Told { at: Some(Instant::now()), waiting: true };
            tracing::info!(blocks, rows, "blocks wait in the spool and are sent as ClickHouse takes them");
        }
    }

    /// One round. A folder that cannot be taken over is named and holds up no other.
    ///
    /// # Errors
    /// When the spool's own folders cannot be read.
    pub(crate) fn look(&self) -> io::Result<()> {
        for run in directory::runs(&self.spool.root)? {
            if run == self.spool.folder.path {
                continue;
            }
            let adopted = match RunFolder::adopt(&run) {
                Ok(Some(dead)) => self.adopt(&dead),
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            match adopted {
                Ok(()) => {}
                // It vanishes when its process ends, or when another one adopts it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => self.spool.strange(&run, &error.to_string()),
            }
        }
        // In this order: a block that is moved meanwhile is met in one of the two folders.
        let known = self.backlog.aside();
        let aside = directory::files(&directory::aside(&self.spool.root))?;
        let wanted = directory::files(&directory::retry(&self.spool.root))?;
        let octets = |files: &[Named]| {
            files.iter().filter_map(|file| fs::metadata(&file.path).ok()).map(|found| found.len()).sum::<u64>()
        };
        let (aside_files, aside_octets) = (aside.len() + wanted.len(), octets(&aside) + octets(&wanted));
        for file in &wanted {
            self.take_again(file);
        }
        let aside: HashSet<_> = aside.into_iter().chain(wanted).map(|file| file.name).collect();
        for name in known.iter().filter(|name| !aside.contains(*name)) {
            self.backlog.given_up(name, DropReason::Operator);
        }
        let mut state = self.spool.state();
        state.stats.aside_files = aside_files;
        state.stats.aside_octets = aside_octets;
        state.stats.scanned = true;
        Ok(())
    }

    /// Takes a block that somebody wants sent again, if the spool has room for it and not many wait already: in the folder
    /// `retry` it is safe, and it must not push others out.
    fn take_again(&self, file: &Named) {
        let octets = fs::metadata(&file.path).map_or(0, |found| found.len());
        if self.backlog.n_again() < AGAIN_MAX && !self.spool.exceeds(octets) {
            self.take(file, false);
        }
    }

    fn adopt(&self, dead: &RunFolder) -> io::Result<()> {
        let files = directory::files(&dead.path)?;
        let before = self.spool.stats();
        let mut synced = Instant::now();
        for file in &files {
            if self.stop.load(Ordering::Acquire) {
                return Ok(());
            }
            self.take(file, true);
            // Files that are closed meanwhile do not wait for the end of a long search, nor do their descriptors.
            if self.spool.config.fsync == Fsync::Interval && synced.elapsed() >= INTERVAL {
                self.spool.sync();
                synced = Instant::now();
            }
        }
        dead.remove_if_empty()?;
        if let Ok(foreign) = dead.foreign()
            && !foreign.is_empty()
        {
            self.spool.strange(&dead.path, &format!("it holds what is not the spool's: {}", foreign.join(", ")));
        }
        let now = self.spool.stats();
        if now.recovered_blocks > before.recovered_blocks || now.damaged_files > before.damaged_files {
            tracing::info!(
                folder = %dead.path.display(),
                blocks = now.recovered_blocks - before.recovered_blocks,
                rows = now.recovered_rows - before.recovered_rows,
                damaged = now.damaged_files - before.damaged_files,
                "took over the spool of an earlier process"
            );
        }
        Ok(())
    }

    /// Moves a file into the folder of this process and hands its block on. A file that cannot be opened now is left for
    /// the next round, a damaged one is set aside; the files behind it are not delayed.
    fn take(&self, file: &Named, recovered: bool) {
        match self.try_take(file, recovered) {
            Ok(()) => {}
            // Somebody has dropped it meanwhile.
            Err(FileError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.may_pass() => self.spool.cannot_reach(&file.name, &error),
            Err(error) => self.spool.put_aside(&file.path, &file.name, directory::DAMAGED, &error.to_string()),
        }
    }

    fn try_take(&self, file: &Named, recovered: bool) -> Result<(), FileError> {
        let outline = match file.kind {
            directory::OPEN => self.close_as_it_stands(file),
            _ => file::outline(&file.path).map(Some),
        };
        let Some((head, end)) = outline? else {
            // Nothing was encoded yet.
            return Ok(fs::remove_file(&file.path)?);
        };
        let octets = fs::metadata(&file.path)?.len();
        let name = if recovered { Arc::clone(&file.name) } else { directory::again(&file.name) };
        let kept = Kept { name, sent: file.kind == directory::SENT, octets };
        fs::rename(&file.path, self.spool.path_of(&kept))?;
        let mut state = self.spool.state();
        state.stats.files += 1;
        state.stats.octets += octets;
        if recovered {
            state.stats.recovered_blocks += 1;
            state.stats.recovered_rows += end.rows;
        }
        drop(state);
        let stub = Stub { kept, table: head.table, number: cluster::number(&head.token), rows: end.rows };
        self.backlog.found(stub, &file.name);
        Ok(())
    }

    /// Makes a block of what was being filled; `None` if no row of it was written. Of a file that is damaged behind whole
    /// pieces these are the block, and a copy of the file is set aside.
    fn close_as_it_stands(&self, file: &Named) -> Result<Option<(file::Head, file::End)>, FileError> {
        const DAMAGED: &str = "it was not closed, and a piece of it is damaged";
        if fs::metadata(&file.path)?.len() == 0 {
            return Ok(None);
        }
        let mut contents = Contents::read(&file.path)?;
        match (contents.tail, contents.sum.rows) {
            (Tail::Damaged, 0) => return Err(FileError::Damaged(DAMAGED)),
            (_, 0) => return Ok(None),
            (Tail::Damaged, rows) => {
                self.spool.copy_aside(
                    &file.path,
                    &file.name,
                    &format!("{DAMAGED}: the {rows} rows before it are sent"),
                );
            }
            _ => {}
        }
        if !contents.closed {
            contents.close_as_it_stands(&file.path)?;
        }
        Ok(Some((contents.head, contents.sum)))
    }
}
