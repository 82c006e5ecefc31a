//! The state directory: what exporters announced, kept over restarts.
//!
//! Three files, which only the user that Helios runs as may read: the [journal] of templates and tables of options data, the
//! [sequence numbers](sequences), which change with every message, and when exporters were [seen] last.
//!
//! Receive workers never touch the disk: they hand lines to the thread `state`. What a disk does not take is kept, and
//! tried again every few seconds and once more at the stop.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use helios_common::channel::{Received, Receiver, Sender, bounded};
use helios_common::clock::unix_ms;
use helios_common::exporter::Address;

use crate::decode::{Memory, SavedExporter, SavedSequence};

mod private;
mod aside;
mod journal;
mod lines;
mod sequences;
mod seen;

use journal::{Journal, Latest, Line};
pub use seen::Seen;
use seen::SeenFile;
use sequences::{Numbers, SequenceFile};

/// Lines that may wait for the disk; a worker that finds no room asks again a second later.
const QUEUE_LINES: usize = 4096;

/// What the disk did not take is offered again after so long.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// Opening the state directory failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the state directory {}: {source}; create it and make it writable for this user", path.display())]
pub struct StateError {
    path: PathBuf,
    source: io::Error,
}

/// What happened to the state since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StateStats {
    /// Times that the disk did not take something. It is kept and offered again.
    pub write_errors: u64,
    /// Damaged lines found at the start and set aside.
    pub damaged_lines: u64,
    /// Changes of exporters that are not kept, because as many are as there may be.
    pub refused: u64,
}

/// The same while it is counted.
#[derive(Debug, Default)]
struct Counts {
    write_errors: AtomicU64,
    damaged_lines: AtomicU64,
    refused: AtomicU64,
}

impl Counts {
    fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }
}

/// The saved state of all exporters, and the thread that writes it.
#[derive(Debug)]
pub struct StateFile {
    past: Arc<Past>,
    seen: Vec<Seen>,
    counts: Arc<Counts>,
    jobs: Option<Sender<Job>>,
    writer: Option<JoinHandle<()>>,
}

/// What exporters that are seen for the first time, or come back, start with.
#[derive(Debug)]
struct Past {
    latest: Arc<Latest>,
    /// From before the start; taken by who goes on with them.
    numbers: Mutex<Numbers>,
}

/// What the writing thread is handed.
#[derive(Debug)]
enum Job {
    Line(Line),
    /// The sequence numbers of a worker.
    Numbers(usize, Vec<(Address, SavedSequence)>),
    /// When exporters were seen.
    Seen(Vec<Seen>),
}

impl StateFile {
    /// Reads what is there and starts the writing thread. Nothing is written here: who waits for this wants to receive.
    ///
    /// A file that is none of Helios' is set aside with a warning, and so are damaged lines.
    ///
    /// # Errors
    /// [`StateError`] when the directory cannot be made or written.
    pub fn open(directory: &Path) -> Result<Self, StateError> {
        let fail = |source| StateError { path: directory.to_owned(), source };
        private::make_folder(directory).map_err(fail)?;
        let counts = Arc::new(Counts::default());
        let journal = Journal::open(directory, Arc::clone(&counts)).map_err(fail)?;
        let (sequences, numbers, damaged) = SequenceFile::open(directory).map_err(fail)?;
        Counts::add(&counts.damaged_lines, damaged);
        let (seen_file, seen, damaged) = SeenFile::open(directory, unix_ms()).map_err(fail)?;
        Counts::add(&counts.damaged_lines, damaged);
        let past = Arc::new(Past { latest: journal.latest(), numbers: Mutex::new(numbers) });
        let mut files = Files { journal, sequences, seen: seen_file, past: Arc::clone(&past) };
        let (sender, receiver) = bounded(QUEUE_LINES);
        let writer =
            std::thread::Builder::new().name("state".into()).spawn(move || files.run(&receiver)).map_err(fail)?;
        Ok(Self { past, seen, counts, jobs: Some(sender), writer: Some(writer) })
    }

    /// Where decoders find what was saved.
    pub fn memory(&self) -> Arc<dyn Memory> {
        Arc::clone(&self.past) as Arc<dyn Memory>
    }

    /// The exporters that were seen before the start.
    pub fn seen(&self) -> &[Seen] {
        &self.seen
    }

    /// A way for a worker to save exporters.
    pub fn saver(&self) -> Option<Saver> {
        self.jobs.clone().map(Saver)
    }

    pub(crate) fn stats(&self) -> StateStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StateStats {
            write_errors: read(&self.counts.write_errors),
            damaged_lines: read(&self.counts.damaged_lines),
            refused: read(&self.counts.refused),
        }
    }
}

impl Drop for StateFile {
    /// Waits until everything that was handed over is written.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the state thread panicked");
        }
    }
}

impl Past {
    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        self.numbers.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Memory for Past {
    fn recall(&self, address: Address) -> Option<SavedExporter> {
        let (saved, numbers) = (self.latest.recall(address), self.numbers().remove(&address));
        if saved.is_none() && numbers.is_none() {
            return None;
        }
        Some(SavedExporter { sequences: numbers.unwrap_or_default(), ..saved.unwrap_or_default() })
    }
}

/// Hands exporters to the writing thread.
#[derive(Debug, Clone)]
pub struct Saver(Sender<Job>);

impl Saver {
    /// How many exporters can be handed over without waiting.
    pub fn room(&self) -> usize {
        QUEUE_LINES - self.0.len()
    }

    /// Whether the line was taken; one that was not has to be offered again.
    pub fn save(&self, address: Address, saved: &SavedExporter) -> bool {
        // Tables of numbers and texts always have a form.
        let Some(line) = Line::of(address, saved) else { return true };
        self.0.try_send(Job::Line(line)).is_ok()
    }

    /// Takes the place of what the same worker saved before. Without room it is left for the next time.
    pub fn save_sequences(&self, worker: usize, numbers: Vec<(Address, SavedSequence)>) {
        let _ = self.0.try_send(Job::Numbers(worker, numbers));
    }

    /// Takes the place of what was saved before. Without room it is left for the next time.
    pub fn save_seen(&self, seen: Vec<Seen>) {
        let _ = self.0.try_send(Job::Seen(seen));
    }
}

/// What the state thread writes.
struct Files {
    journal: Journal,
    sequences: SequenceFile,
    seen: SeenFile,
    past: Arc<Past>,
}

impl Files {
    /// Writes until every saver is gone. What is waiting is written at once.
    fn run(&mut self, jobs: &Receiver<Job>) {
        // What the file that was found needs: not done when it was opened, because sockets wait for that.
        self.journal.settle();
        loop {
            let next = match self.journal.is_settled() {
                true => jobs.receive().map_or(Received::Closed, Received::Item),
                false => jobs.receive_within(RETRY_INTERVAL),
            };
            match next {
                Received::Item(job) => {
                    let waiting = std::iter::from_fn(|| jobs.try_receive());
                    self.write(std::iter::once(job).chain(waiting.take(QUEUE_LINES)));
                }
                Received::Quiet => self.journal.settle(),
                Received::Closed => break,
            }
        }
        self.journal.settle();
    }

    fn write(&mut self, jobs: impl Iterator<Item = Job>) {
        let (mut lines, mut numbers, mut seen) = (Vec::new(), false, None);
        for job in jobs {
            match job {
                Job::Line(line) => lines.push(line),
                Job::Numbers(worker, saved) => {
                    self.sequences.put(worker, saved);
                    numbers = true;
                }
                Job::Seen(latest) => seen = Some(latest),
            }
        }
        if !lines.is_empty() {
            self.journal.write(lines);
        }
        if numbers {
            let waiting = self.past.numbers().clone();
            self.sequences.write(&waiting);
        }
        if let Some(seen) = seen {
            self.seen.write(&seen);
        }
    }
}

#[cfg(test)]
mod tests;
