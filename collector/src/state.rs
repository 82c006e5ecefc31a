//! The state file: what exporters announced, kept over restarts.
//!
//! A journal of lines, one per exporter and change; the last line of an exporter counts. Lines carry a checksum, so a
//! line that a crash cut short or a disk damaged costs only itself. The file is written anew when most of it is
//! outdated, under another name that then takes the old one's place, so that it is whole at every moment.
//!
//! Receive workers never touch the disk: they hand lines to the thread `state`. At start the file is only split into
//! lines; an exporter's line is parsed, and its templates compiled, when its first message comes.
//!
//! ```text
//!  helios-state 1
//!  <crc32, hex> <saved at, Unix s> <address> <JSON of SavedExporter>
//! ```
//!
//! Sequence numbers, which change with every message, have a [file of their own](sequences).

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, Sender, bounded};
use hashbrown::HashMap;
use helios_common::exporter::{Address, address_of, ip_of};

use crate::decode::{Memory, SavedExporter, SavedSequence};

mod sequences;

use sequences::{Numbers, SequenceFile};

const FILE_NAME: &str = "exporters.state";
const HEADER: &str = "helios-state 1";

/// What is older belongs to a device that left, or that was set up anew since.
const MAX_AGE_SECS: u64 = 7 * 24 * 3600;

/// Lines that may wait for the disk; a worker that finds no room asks again a second later.
const QUEUE_LINES: usize = 4096;

/// The journal is written anew when this much of it, and more than half, is outdated.
const COMPACT_BYTES: u64 = 1 << 20;

/// Opening the state directory failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the state directory {}: {source}; create it and make it writable for this user", path.display())]
pub struct StateError {
    path: PathBuf,
    source: io::Error,
}

/// The saved state of all exporters, and the thread that writes it.
#[derive(Debug)]
pub struct StateFile {
    past: Arc<Past>,
    jobs: Option<Sender<Job>>,
    writer: Option<JoinHandle<()>>,
}

/// The latest line of each exporter: what the journal holds, and what an exporter that comes back starts with.
#[derive(Debug, Default)]
struct Latest(Mutex<HashMap<Address, String>>);

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
}

/// Exporters whose state is kept. Like [`MAX_EXPORTERS`](crate::decode::MAX_EXPORTERS) it keeps spoofed addresses from
/// growing memory and file without end; those that were there first stay until they are outdated.
const MAX_SAVED: usize = 1 << 16;

/// One exporter's line.
#[derive(Debug)]
struct Line {
    address: Address,
    text: String,
}

impl StateFile {
    /// Reads what is there and starts the writing thread.
    ///
    /// A file that is none of Helios' is set aside with a warning; damaged lines are passed over and counted.
    ///
    /// # Errors
    /// [`StateError`] when the directory cannot be made or written.
    pub fn open(directory: &Path) -> Result<Self, StateError> {
        let fail = |source| StateError { path: directory.to_owned(), source };
        fs::create_dir_all(directory).map_err(fail)?;
        let path = directory.join(FILE_NAME);
        let lines = read(&path).map_err(fail)?;
        let latest = Arc::new(Latest(Mutex::new(lines)));
        let journal = Journal::create(path, Arc::clone(&latest)).map_err(fail)?;
        let (sequences, numbers) = SequenceFile::open(directory).map_err(fail)?;
        let past = Arc::new(Past { latest, numbers: Mutex::new(numbers) });
        let mut files = Files { journal, sequences, past: Arc::clone(&past) };
        let (sender, receiver) = bounded(QUEUE_LINES);
        let writer =
            std::thread::Builder::new().name("state".into()).spawn(move || files.run(&receiver)).map_err(fail)?;
        Ok(Self { past, jobs: Some(sender), writer: Some(writer) })
    }

    /// Where decoders find what was saved.
    pub fn memory(&self) -> Arc<dyn Memory> {
        Arc::clone(&self.past) as Arc<dyn Memory>
    }

    /// A way for a worker to save exporters.
    pub fn saver(&self) -> Option<Saver> {
        self.jobs.clone().map(Saver)
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

impl Latest {
    fn lines(&self) -> MutexGuard<'_, HashMap<Address, String>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
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

impl Latest {
    fn recall(&self, address: Address) -> Option<SavedExporter> {
        let line = self.lines().get(&address)?.clone();
        let json = line.splitn(4, ' ').nth(3)?;
        serde_json::from_str(json)
            .inspect_err(
                |error| tracing::warn!(exporter = %ip_of(address), %error, "saved state of an exporter not understood"),
            )
            .ok()
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
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        // Tables of numbers and texts always have a form.
        let Ok(json) = serde_json::to_string(saved) else { return true };
        let content = format!("{now} {} {json}", ip_of(address));
        let text = format!("{:08x} {content}", crc32fast::hash(content.as_bytes()));
        self.0.try_send(Job::Line(Line { address, text })).is_ok()
    }

    /// Takes the place of what the same worker saved before. Without room it is left for the next time.
    pub fn save_sequences(&self, worker: usize, numbers: Vec<(Address, SavedSequence)>) {
        let _ = self.0.try_send(Job::Numbers(worker, numbers));
    }
}

/// The address of a line, if the line is whole and not too old.
fn check(line: &str) -> Option<Address> {
    let (checksum, content) = line.split_once(' ')?;
    let checksum = u32::from_str_radix(checksum, 16).ok()?;
    let mut parts = content.splitn(3, ' ');
    let saved_at: u64 = parts.next()?.parse().ok()?;
    let address = address_of(parts.next()?.parse().ok()?);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let whole = crc32fast::hash(content.as_bytes()) == checksum;
    (whole && saved_at + MAX_AGE_SECS > now).then_some(address)
}

/// Moves a file that is none of Helios' out of the way.
fn set_aside(path: &Path, what: &str) -> io::Result<()> {
    let aside = path.with_extension(format!("foreign-{}", std::process::id()));
    fs::rename(path, &aside)?;
    tracing::warn!(file = %path.display(), aside = %aside.display(), "not a state file of Helios: set aside, starting without saved {what}");
    Ok(())
}

/// The latest line of each exporter.
fn read(path: &Path) -> io::Result<HashMap<Address, String>> {
    let octets = match fs::read(path) {
        Ok(octets) => octets,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(HashMap::new()),
        Err(error) => return Err(error),
    };
    let text = String::from_utf8_lossy(&octets);
    let mut lines = text.lines();
    if lines.next() != Some(HEADER) {
        set_aside(path, "templates")?;
        return Ok(HashMap::new());
    }
    let mut latest = HashMap::new();
    let mut passed_over = 0_u64;
    for line in lines {
        match check(line) {
            Some(address) => _ = latest.insert(address, line.to_owned()),
            None => passed_over += 1,
        }
    }
    if passed_over > 0 {
        tracing::warn!(file = %path.display(), lines = passed_over, "damaged or outdated lines of the state file passed over");
    }
    Ok(latest)
}

/// What the state thread writes.
struct Files {
    journal: Journal,
    sequences: SequenceFile,
    past: Arc<Past>,
}

impl Files {
    /// Writes until every saver is gone. What is waiting is written at once and then flushed.
    fn run(&mut self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            let (mut lines, mut numbers) = (Vec::new(), false);
            for job in std::iter::once(job).chain(jobs.try_iter().take(QUEUE_LINES)) {
                match job {
                    Job::Line(line) => lines.push(line),
                    Job::Numbers(worker, saved) => {
                        self.sequences.put(worker, saved);
                        numbers = true;
                    }
                }
            }
            if !lines.is_empty() {
                self.journal.write(lines);
            }
            if numbers {
                let waiting = self.past.numbers().clone();
                self.sequences.write(&waiting);
            }
        }
    }
}

/// The file and what of it counts.
struct Journal {
    path: PathBuf,
    file: BufWriter<File>,
    latest: Arc<Latest>,
    written: u64,
    live: u64,
    failing: bool,
}

impl Journal {
    /// Writes the file anew with `latest` and opens it for more.
    fn create(path: PathBuf, latest: Arc<Latest>) -> io::Result<Self> {
        let temporary = path.with_extension("tmp");
        let mut file = BufWriter::new(File::create(&temporary)?);
        writeln!(file, "{HEADER}")?;
        let mut live = 0;
        let mut lines = latest.lines();
        lines.retain(|_, line| check(line).is_some());
        for line in lines.values() {
            writeln!(file, "{line}")?;
            live += line.len() as u64 + 1;
        }
        drop(lines);
        file.flush()?;
        file.get_ref().sync_all()?;
        drop(file);
        fs::rename(&temporary, &path)?;
        let file = BufWriter::new(OpenOptions::new().append(true).open(&path)?);
        Ok(Self { path, file, latest, written: live, live, failing: false })
    }

    fn write(&mut self, lines: Vec<Line>) {
        let result = lines.into_iter().try_for_each(|line| self.append(line)).and_then(|()| {
            self.file.flush()?;
            self.compact()
        });
        match result {
            Ok(()) => self.failing = false,
            Err(error) if !self.failing => {
                self.failing = true;
                tracing::error!(file = %self.path.display(), %error, "state not saved: after a restart, templates have to come anew; check the disk");
            }
            Err(_) => {}
        }
    }

    fn append(&mut self, line: Line) -> io::Result<()> {
        let mut latest = self.latest.lines();
        if latest.len() >= MAX_SAVED && !latest.contains_key(&line.address) {
            return Ok(());
        }
        let length = line.text.len() as u64 + 1;
        writeln!(self.file, "{}", line.text)?;
        self.written += length;
        self.live += length;
        if let Some(outdated) = latest.insert(line.address, line.text) {
            self.live -= outdated.len() as u64 + 1;
        }
        Ok(())
    }

    fn compact(&mut self) -> io::Result<()> {
        let outdated = self.written - self.live;
        if outdated > COMPACT_BYTES && outdated > self.live {
            *self = Self::create(self.path.clone(), Arc::clone(&self.latest))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTER: Address = [1; 16];

    fn exporter(n: u32) -> SavedExporter {
        let mut saved = SavedExporter::default();
        saved.tables.domains = vec![(0, n)];
        saved
    }

    fn save(directory: &Path, saved: &[(Address, SavedExporter)]) {
        let state = StateFile::open(directory).unwrap();
        let saver = state.saver().unwrap();
        assert!(saved.iter().all(|(address, saved)| saver.save(*address, saved)));
    }

    fn recall(directory: &Path, address: Address) -> Option<SavedExporter> {
        StateFile::open(directory).unwrap().memory().recall(address)
    }

    #[test]
    fn the_latest_state_of_an_exporter_survives() {
        let directory = tempfile::tempdir().unwrap();
        save(directory.path(), &[(ROUTER, exporter(1)), ([2; 16], exporter(7)), (ROUTER, exporter(2))]);
        assert_eq!(recall(directory.path(), ROUTER), Some(exporter(2)));
        assert_eq!(recall(directory.path(), [2; 16]), Some(exporter(7)));
        assert_eq!(recall(directory.path(), [3; 16]), None);
    }

    #[test]
    fn an_exporter_that_comes_back_starts_with_what_was_saved_last() {
        let directory = tempfile::tempdir().unwrap();
        save(directory.path(), &[(ROUTER, exporter(1))]);
        let state = StateFile::open(directory.path()).unwrap();
        let memory = state.memory();
        assert_eq!(memory.recall(ROUTER), Some(exporter(1)));
        assert!(state.saver().unwrap().save(ROUTER, &exporter(2)));
        drop(state);
        assert_eq!(memory.recall(ROUTER), Some(exporter(2)));
    }

    #[test]
    fn a_failed_rewrite_loses_nothing() {
        let directory = tempfile::tempdir().unwrap();
        save(directory.path(), &[(ROUTER, exporter(1)), ([2; 16], exporter(7))]);
        let path = directory.path().join(FILE_NAME);
        let latest = Arc::new(Latest(Mutex::new(read(&path).unwrap())));
        let mut journal = Journal::create(path.clone(), Arc::clone(&latest)).unwrap();
        // A folder in its place: the file that is to take the old one's place cannot be made.
        fs::create_dir(path.with_extension("tmp")).unwrap();
        journal.written = journal.live + 2 * COMPACT_BYTES;
        assert!(journal.compact().is_err());
        fs::remove_dir(path.with_extension("tmp")).unwrap();
        journal.compact().unwrap();
        assert_eq!(recall(directory.path(), [2; 16]), Some(exporter(7)));
        assert_eq!(recall(directory.path(), ROUTER), Some(exporter(1)));
    }

    #[test]
    fn a_damaged_line_costs_only_itself() {
        let directory = tempfile::tempdir().unwrap();
        save(directory.path(), &[(ROUTER, exporter(1)), ([2; 16], exporter(7))]);
        let path = directory.path().join(FILE_NAME);
        let mut octets = fs::read(&path).unwrap();
        let first = HEADER.len() + 20;
        octets[first] ^= 1;
        octets.extend(b"0badc0de 17 ::1 {\"dom"); // cut short by a crash
        fs::write(&path, octets).unwrap();
        let kept = [ROUTER, [2; 16]].map(|address| recall(directory.path(), address).is_some());
        assert_eq!(kept.iter().filter(|kept| **kept).count(), 1);
    }

    #[test]
    fn a_foreign_file_is_set_aside() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(FILE_NAME), "something else\n").unwrap();
        save(directory.path(), &[(ROUTER, exporter(1))]);
        assert_eq!(recall(directory.path(), ROUTER), Some(exporter(1)));
        let names: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(names.iter().any(|name| name.to_string_lossy().contains("foreign")), "{names:?}");
    }

    #[test]
    fn the_journal_is_written_anew_when_most_of_it_is_outdated() {
        let directory = tempfile::tempdir().unwrap();
        let many: Vec<_> = (0..40_000).map(|n| (ROUTER, exporter(n))).collect();
        for part in many.chunks(QUEUE_LINES) {
            save(directory.path(), part);
        }
        let size = fs::metadata(directory.path().join(FILE_NAME)).unwrap().len();
        assert!(size < 2 * COMPACT_BYTES, "{size} bytes for one exporter");
        assert_eq!(recall(directory.path(), ROUTER), Some(exporter(39_999)));
    }
}
