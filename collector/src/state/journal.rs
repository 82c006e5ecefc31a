//! The journal: a file of lines, one per exporter and change; the last line of an exporter counts.
//!
//! Lines carry a checksum, so one that a crash cut short or a disk damaged costs only itself. The file is written anew
//! when most of it is outdated, under another name that then takes the old one's place, so that it is whole at every
//! moment. At the start the file is only split into lines; an exporter's line is parsed, and its templates compiled,
//! when its first message comes.
//!
//! ```text
//!  helios-state 1
//!  <crc32, hex> <saved at, Unix s> <address> <JSON of SavedExporter>
//! ```
//!
//! The latest lines are in memory as well, and are the truth: whatever a disk did not take is in the file as soon as it
//! could be written anew.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use hashbrown::HashMap;
use helios_common::clock::unix_secs;
use helios_common::exporter::{Address, address_of, ip_of};

use super::{Counts, aside, lines, private};
use crate::decode::SavedExporter;

pub(super) const FILE_NAME: &str = "exporters.state";
pub(super) const HEADER: &str = "helios-state 1";

/// What is older belongs to a device that left, or that was set up anew since.
const MAX_AGE_SECS: u64 = 7 * 24 * 3600;

/// The journal is written anew when this much of it, and more than half, is outdated.
pub(super) const COMPACT_BYTES: u64 = 1 << 20;

/// Exporters whose state is kept. Like [`MAX_EXPORTERS`](crate::decode::MAX_EXPORTERS) it keeps spoofed addresses from
/// growing memory and file without end; those that were there first stay until they are outdated.
const MAX_SAVED: usize = 1 << 16;

/// Octets of all their lines, for the same reason: 8,000 exporters with 20 templates each take 40 MB.
const MAX_SAVED_BYTES: u64 = 256 << 20;

/// The latest line of each exporter: what the journal holds, and what an exporter that comes back starts with.
#[derive(Debug, Default)]
pub(super) struct Latest(Mutex<HashMap<Address, String>>);

impl Latest {
    fn lines(&self) -> MutexGuard<'_, HashMap<Address, String>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(super) fn recall(&self, address: Address) -> Option<SavedExporter> {
        let line = self.lines().get(&address)?.clone();
        let json = line.splitn(4, ' ').nth(3)?;
        serde_json::from_str(json)
            .inspect_err(
                |error| tracing::warn!(exporter = %ip_of(address), %error, "saved state of an exporter not understood"),
            )
            .ok()
    }
}

/// One exporter's line.
#[derive(Debug)]
pub(super) struct Line {
    address: Address,
    text: String,
}

impl Line {
    pub(super) fn of(address: Address, saved: &SavedExporter) -> Option<Self> {
        let content = format!("{} {} {}", unix_secs(), ip_of(address), serde_json::to_string(saved).ok()?);
        Some(Self { address, text: lines::checked(&content) })
    }
}

/// What a line of a file turned out to be.
enum Found<'a> {
    Current(Address, &'a str),
    TooOld,
    Damaged,
}

impl<'a> Found<'a> {
    fn new(line: &'a [u8], now: u64) -> Self {
        match Self::parse(line) {
            Some((_, saved_at, _)) if saved_at.saturating_add(MAX_AGE_SECS) <= now => Self::TooOld,
            Some((address, _, text)) => Self::Current(address, text),
            None => Self::Damaged,
        }
    }

    /// Address, time and text of a line that is whole.
    fn parse(line: &'a [u8]) -> Option<(Address, u64, &'a str)> {
        let text = std::str::from_utf8(line).ok()?;
        let mut parts = lines::content(text)?.splitn(3, ' ');
        let saved_at = parts.next()?.parse().ok()?;
        Some((address_of(parts.next()?.parse().ok()?), saved_at, text))
    }
}

/// The file and what of it counts.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    latest: Arc<Latest>,
    counts: Arc<Counts>,
    /// Octets of the file, and of the lines in it that count.
    written: u64,
    live: u64,
    /// Whether the file does not hold what it should, and has to be written anew.
    stale: bool,
    failing: bool,
}

impl Journal {
    /// Reads the file, or begins one.
    ///
    /// A file that needs to be written anew, because lines of it are damaged or outdated, is left to
    /// [`settle`](Self::settle).
    pub(super) fn open(directory: &Path, counts: Arc<Counts>) -> io::Result<Self> {
        let path = directory.join(FILE_NAME);
        let octets = match fs::read(&path) {
            Ok(octets) => octets,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let ours = octets.strip_prefix(HEADER.as_bytes()).and_then(|rest| rest.strip_prefix(b"\n"));
        if ours.is_none() && !octets.is_empty() {
            aside::file(&path, "templates")?;
        }
        let mut lines = HashMap::new();
        let mut damaged = Vec::new();
        let now = unix_secs();
        // A line is outdated as soon as it is followed by another one of its exporter, also by one that is too old.
        for line in ours.unwrap_or_default().split(|&octet| octet == b'\n').filter(|line| !line.is_empty()) {
            match Found::new(line, now) {
                Found::Current(address, text) => _ = lines.insert(address, text.to_owned()),
                Found::TooOld => {}
                Found::Damaged => damaged.push(line),
            }
        }
        aside::lines(&path, &damaged, "saved templates");
        Counts::add(&counts.damaged_lines, damaged.len() as u64);
        let mut file = private::append(&path)?;
        if ours.is_none() {
            file.write_all(format!("{HEADER}\n").as_bytes())?;
        }
        let written = ours.map_or(0, <[u8]>::len) as u64;
        let live = lines.values().map(|line| line.len() as u64 + 1).sum();
        // A last line without its end would swallow the next one.
        let stale = !damaged.is_empty() || ours.is_some_and(|lines| !lines.is_empty() && !lines.ends_with(b"\n"));
        let latest = Arc::new(Latest(Mutex::new(lines)));
        let mut journal = Self { path, file, latest, counts, written, live, stale, failing: false };
        journal.stale |= journal.is_mostly_outdated();
        Ok(journal)
    }

    pub(super) fn latest(&self) -> Arc<Latest> {
        Arc::clone(&self.latest)
    }

    /// Whether the file holds what it should.
    pub(super) fn is_settled(&self) -> bool {
        !self.stale
    }

    /// Writes the file anew if it has to be. When that fails it stays to be done.
    pub(super) fn settle(&mut self) {
        if self.stale {
            let result = self.rewrite();
            self.report(result);
        }
    }

    /// Takes lines in and appends them, all of a call at once.
    pub(super) fn write(&mut self, lines: Vec<Line>) {
        let mut octets = Vec::new();
        for line in lines {
            self.take(line, &mut octets);
        }
        let result = self.append(&octets);
        self.report(result);
    }

    fn take(&mut self, line: Line, octets: &mut Vec<u8>) {
        let mut latest = self.latest.lines();
        let length = line.text.len() as u64 + 1;
        let known = latest.get(&line.address).map(|known| known.len() as u64 + 1);
        let live = self.live - known.unwrap_or(0) + length;
        if live > MAX_SAVED_BYTES || (known.is_none() && latest.len() >= MAX_SAVED) {
            Counts::add(&self.counts.refused, 1);
            return;
        }
        self.live = live;
        octets.extend_from_slice(line.text.as_bytes());
        octets.push(b'\n');
        latest.insert(line.address, line.text);
    }

    /// One write call: what two processes append while one takes over from the other does not get mixed.
    fn append(&mut self, octets: &[u8]) -> io::Result<()> {
        if self.stale || !self.is_in_place() {
            return self.rewrite();
        }
        // Should this fail, a part of a line may be there.
        self.stale = true;
        self.file.write_all(octets)?;
        self.written += octets.len() as u64;
        self.stale = false;
        if self.is_mostly_outdated() { self.rewrite() } else { Ok(()) }
    }

    fn is_mostly_outdated(&self) -> bool {
        let outdated = self.written.saturating_sub(self.live);
        outdated > COMPACT_BYTES && outdated > self.live
    }

    /// Whether the file is still the one under its name: somebody may have removed it, or another process, of which this
    /// one takes over or that takes over from this one, may have written it anew.
    fn is_in_place(&self) -> bool {
        let id = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        let (named, open) = (fs::metadata(&self.path).map(id), self.file.metadata().map(id));
        matches!((named, open), (Ok(named), Ok(open)) if named == open)
    }

    /// Writes the file anew from the latest lines, without those that are too old, and opens it for more.
    fn rewrite(&mut self) -> io::Result<()> {
        self.stale = true;
        let temporary = self.path.with_extension("tmp");
        let mut file = BufWriter::new(private::create(&temporary)?);
        writeln!(file, "{HEADER}")?;
        let now = unix_secs();
        let mut live = 0;
        let mut latest = self.latest.lines();
        latest.retain(|_, line| matches!(Found::new(line.as_bytes(), now), Found::Current(..)));
        for line in latest.values() {
            writeln!(file, "{line}")?;
            live += line.len() as u64 + 1;
        }
        drop(latest);
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        fs::rename(&temporary, &self.path)?;
        self.file = OpenOptions::new().append(true).open(&self.path)?;
        (self.written, self.live, self.stale) = (live, live, false);
        Ok(())
    }

    /// Counts a failure and tells of the first of a row.
    fn report(&mut self, result: io::Result<()>) {
        let Err(error) = result else {
            if std::mem::take(&mut self.failing) {
                tracing::info!(file = %self.path.display(), "state saved again");
            }
            return;
        };
        Counts::add(&self.counts.write_errors, 1);
        if !std::mem::replace(&mut self.failing, true) {
            tracing::error!(file = %self.path.display(), %error, "state not saved, it is kept in memory and tried again: check the disk");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTER: Address = [1; 16];
    const SWITCH: Address = [2; 16];

    fn exporter(n: u32) -> SavedExporter {
        let mut saved = SavedExporter::default();
        saved.tables.domains = vec![(0, n)];
        saved
    }

    fn open(directory: &Path) -> Journal {
        Journal::open(directory, Arc::default()).unwrap()
    }

    fn line(address: Address, n: u32) -> Line {
        Line::of(address, &exporter(n)).unwrap()
    }

    fn recall(directory: &Path, address: Address) -> Option<SavedExporter> {
        open(directory).latest.recall(address)
    }

    fn errors(journal: &Journal) -> u64 {
        journal.counts.write_errors.load(std::sync::atomic::Ordering::Relaxed)
    }

    #[test]
    fn opening_a_good_file_does_not_write_it() {
        let directory = tempfile::tempdir().unwrap();
        open(directory.path()).write(vec![line(ROUTER, 1)]);
        let before = fs::metadata(directory.path().join(FILE_NAME)).unwrap();
        let mut journal = open(directory.path());
        assert!(journal.is_settled());
        journal.settle();
        let after = fs::metadata(directory.path().join(FILE_NAME)).unwrap();
        assert_eq!((before.ino(), before.mtime_nsec()), (after.ino(), after.mtime_nsec()));
    }

    #[test]
    fn what_a_full_disk_does_not_take_is_in_the_file_later() {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = open(directory.path());
        journal.write(vec![line(ROUTER, 1)]);
        // /dev/full takes nothing, as a full disk.
        let path = std::mem::replace(&mut journal.path, "/dev/full".into());
        journal.file = OpenOptions::new().append(true).open("/dev/full").unwrap();
        journal.write(vec![line(ROUTER, 2), line(SWITCH, 7)]);
        assert_eq!((errors(&journal), journal.is_settled()), (1, false));
        assert_eq!(journal.latest.recall(SWITCH), Some(exporter(7)), "memory has it meanwhile");
        journal.path = path;
        journal.settle();
        assert!(journal.is_settled());
        assert_eq!(recall(directory.path(), ROUTER), Some(exporter(2)));
        assert_eq!(recall(directory.path(), SWITCH), Some(exporter(7)));
    }

    #[test]
    fn a_failed_rewrite_loses_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = open(directory.path());
        journal.write(vec![line(ROUTER, 1), line(SWITCH, 7)]);
        // A folder in its place: the file that is to take the old one's place cannot be made.
        let temporary = journal.path.with_extension("tmp");
        fs::create_dir(&temporary).unwrap();
        journal.written = journal.live + 2 * COMPACT_BYTES;
        journal.write(vec![line(ROUTER, 2)]);
        journal.write(vec![line(SWITCH, 8)]);
        assert_eq!((errors(&journal), journal.is_settled()), (2, false));
        assert_eq!(recall(directory.path(), ROUTER), Some(exporter(2)), "what was appended before is there");
        fs::remove_dir(&temporary).unwrap();
        journal.settle();
        assert_eq!(recall(directory.path(), SWITCH), Some(exporter(8)));
        assert_eq!(recall(directory.path(), ROUTER), Some(exporter(2)));
    }

    #[test]
    fn a_file_that_somebody_removed_is_written_anew() {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = open(directory.path());
        journal.write(vec![line(ROUTER, 1)]);
        fs::remove_file(directory.path().join(FILE_NAME)).unwrap();
        journal.write(vec![line(SWITCH, 7)]);
        assert_eq!(recall(directory.path(), ROUTER), Some(exporter(1)));
        assert_eq!(recall(directory.path(), SWITCH), Some(exporter(7)));
    }

    #[test]
    fn damaged_lines_are_set_aside_and_cost_only_themselves() {
        let directory = tempfile::tempdir().unwrap();
        open(directory.path()).write(vec![line(ROUTER, 1), line(SWITCH, 7)]);
        let path = directory.path().join(FILE_NAME);
        let mut octets = fs::read(&path).unwrap();
        let first = HEADER.len() + 20;
        octets[first] ^= 0x80;
        octets.extend(b"0badc0de 17 ::1 {\"dom"); // cut short by a crash
        fs::write(&path, &octets).unwrap();
        let mut journal = open(directory.path());
        assert_eq!(journal.counts.damaged_lines.load(std::sync::atomic::Ordering::Relaxed), 2);
        assert_eq!(journal.latest.recall(SWITCH), Some(exporter(7)));
        assert_eq!(journal.latest.recall(ROUTER), None);
        let aside = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
        let aside = aside.filter(|path| path.to_string_lossy().contains("damaged")).map(|path| fs::read(path).unwrap());
        let aside: Vec<Vec<u8>> = aside.collect();
        let first_line = octets.split(|&octet| octet == b'\n').nth(1).unwrap();
        let expected = [first_line, b"0badc0de 17 ::1 {\"dom", b""].join(&b'\n');
        assert_eq!(aside, [expected]);
        journal.settle();
        let mut again = open(directory.path());
        assert!(again.is_settled(), "they are gone from the file");
        again.write(vec![line(ROUTER, 3)]);
        assert_eq!(recall(directory.path(), ROUTER), Some(exporter(3)));
    }

    #[test]
    fn what_is_too_old_is_forgotten() {
        let content = format!("{} 192.0.2.1 {{}}", unix_secs() - MAX_AGE_SECS - 1);
        let text = lines::checked(&content);
        assert!(matches!(Found::new(text.as_bytes(), unix_secs()), Found::TooOld));
        assert!(matches!(Found::new(text.as_bytes(), unix_secs() - 10), Found::Current(..)));
        assert!(matches!(Found::new(&text.as_bytes()[..20], unix_secs() - 10), Found::Damaged));
    }
}
