//! The file of exporters: when each was seen first and last, kept over restarts.
//!
//! Without it, a device that fell silent while no process ran, or shortly before, would be one that never was. Written as a
//! whole once a minute and at the stop, under another name that then takes the old one's place: after a crash, times may
//! be a minute old. An exporter that was silent for [`MAX_AGE_MS`] is forgotten.
//!
//! ```text
//!  helios-exporters 1
//!  <crc32, hex> <address> <first seen, Unix ms> <last seen, Unix ms>
//! ```

use std::io;
use std::path::Path;

use helios_common::exporter::{Address, address_of, ip_of};
use helios_common::time::UnixMs;

use super::lines::WholeFile;
use super::{aside, lines};

const FILE_NAME: &str = "seen.state";
const MAGIC: &str = "helios-exporters 1";

/// A device that has been silent for so long was taken out of the network.
const MAX_AGE_MS: i64 = 30 * 86_400_000;

/// An exporter and its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The address that the exporter is known by.
    pub address: Address,
    /// Arrival of its first datagram.
    pub first_seen: UnixMs,
    /// Arrival of its last datagram.
    pub last_seen: UnixMs,
}

/// The file.
#[derive(Debug)]
pub(super) struct SeenFile(WholeFile);

impl SeenFile {
    /// Reads what is there. A file that is none of Helios' is set aside with a warning, and so are damaged lines, whose
    /// number is the third of what is returned.
    pub(super) fn open(directory: &Path, now: UnixMs) -> io::Result<(Self, Vec<Seen>, u64)> {
        const NOT_SAVED: &str =
            "the times when exporters were last seen are not saved: after a restart, silent exporters will be missing";
        let path = directory.join(FILE_NAME);
        let (mut seen, damaged) = read(&path)?;
        seen.retain(|seen| now - seen.last_seen < MAX_AGE_MS);
        Ok((Self(WholeFile::new(path, NOT_SAVED)), seen, damaged))
    }

    /// Writes the file anew.
    pub(super) fn write(&mut self, seen: &[Seen]) {
        self.0.write(MAGIC, seen.iter().map(line));
    }
}

fn line(seen: &Seen) -> String {
    lines::checked(&format!("{} {} {}", ip_of(seen.address), seen.first_seen, seen.last_seen))
}

/// A line that is whole.
fn parse(line: &str) -> Option<Seen> {
    let mut parts = lines::content(line)?.split(' ');
    let address = address_of(parts.next()?.parse().ok()?);
    let mut time = || parts.next()?.parse().ok();
    Some(Seen { address, first_seen: time()?, last_seen: time()? })
}

/// The exporters, and how many lines were damaged.
fn read(path: &Path) -> io::Result<(Vec<Seen>, u64)> {
    let Some(text) = lines::text(path)? else { return Ok(Default::default()) };
    let mut lines = text.lines();
    if lines.next() != Some(MAGIC) {
        aside::file(path, "times of exporters")?;
        return Ok(Default::default());
    }
    Ok(lines::parse(path, lines, "saved times of exporters", parse))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const NOW: UnixMs = 1_700_000_000_000;

    fn seen(n: u8, last_seen: UnixMs) -> Seen {
        Seen { address: [n; 16], first_seen: NOW - 2 * MAX_AGE_MS, last_seen }
    }

    fn saved(directory: &Path, now: UnixMs) -> Vec<Seen> {
        SeenFile::open(directory, now).unwrap().1
    }

    #[test]
    fn exporters_are_kept_until_they_were_silent_for_a_month() {
        let directory = tempfile::tempdir().unwrap();
        let (mut file, ..) = SeenFile::open(directory.path(), NOW).unwrap();
        file.write(&[seen(1, NOW), seen(2, NOW - MAX_AGE_MS + 1)]);
        assert_eq!(saved(directory.path(), NOW), [seen(1, NOW), seen(2, NOW - MAX_AGE_MS + 1)]);
        assert_eq!(saved(directory.path(), NOW + 1), [seen(1, NOW)]);
    }

    #[test]
    fn a_damaged_line_costs_only_itself_and_a_foreign_file_is_set_aside() {
        let directory = tempfile::tempdir().unwrap();
        let (mut file, ..) = SeenFile::open(directory.path(), NOW).unwrap();
        file.write(&[seen(1, NOW), seen(2, NOW)]);
        let path = directory.path().join(FILE_NAME);
        let text = fs::read_to_string(&path).unwrap().replacen(" 1700000000000\n", " 1700000000001\n", 1);
        fs::write(&path, text).unwrap();
        assert_eq!(saved(directory.path(), NOW), [seen(2, NOW)]);
        fs::write(&path, [0xff; 100]).unwrap();
        assert!(saved(directory.path(), NOW).is_empty());
        let names: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(names.iter().any(|name| name.to_string_lossy().contains("foreign")), "{names:?}");
    }
}
