//! The file of sequence numbers: what every exporter was expected to send next, kept over restarts.
//!
//! Numbers change with every message, so they are no journal: every ten seconds, and at the stop, the file is written
//! as a whole under another name that then takes the old one's place. What was lost while no process ran is counted
//! from them; after a crash, what had arrived since the file was written counts as lost as well.
//!
//! Numbers of a process that still runs are not taken up: it goes on counting, and hands its exporters over
//! (`helios run --takeover`).
//!
//! ```text
//!  helios-sequences 1 <process id>
//!  <crc32, hex> <address> <protocol> <domain> <port> <next number>[ <source address>]
//! ```

use std::io;
use std::path::Path;

use hashbrown::HashMap;
use helios_common::exporter::{Address, address_of, ip_of};

use super::lines::WholeFile;
use super::{aside, lines};
use crate::decode::{Protocol, SavedSequence};

const FILE_NAME: &str = "sequences.state";
const MAGIC: &str = "helios-sequences 1 ";

/// The numbers by exporter.
pub(super) type Numbers = HashMap<Address, Vec<SavedSequence>>;

/// The file, and what each worker said last.
#[derive(Debug)]
pub(super) struct SequenceFile {
    file: WholeFile,
    workers: HashMap<usize, Vec<(Address, SavedSequence)>>,
}

impl SequenceFile {
    /// Reads what is there. A file that is none of Helios' is set aside with a warning, and so are
    /// damaged lines, whose number is the third of what is returned.
    pub(super) fn open(directory: &Path) -> io::Result<(Self, Numbers, u64)> {
        const NOT_SAVED: &str = "sequence numbers not saved: what is lost over a restart will not be counted";
        let path = directory.join(FILE_NAME);
        let (numbers, damaged) = read(&path)?;
        Ok((Self { file: WholeFile::new(path, NOT_SAVED), workers: HashMap::new() }, numbers, damaged))
    }

    pub(super) fn put(&mut self, worker: usize, numbers: Vec<(Address, SavedSequence)>) {
        self.workers.insert(worker, numbers);
    }

    /// Writes what the workers said last, and `waiting`: numbers of exporters that were not heard of since the start.
    pub(super) fn write(&mut self, waiting: &Numbers) {
        let waiting = waiting.iter().flat_map(|(address, numbers)| numbers.iter().map(move |number| (address, number)));
        let heard = self.workers.values().flatten().map(|(address, number)| (address, number));
        let lines = waiting.chain(heard).map(|(address, number)| line(*address, number));
        self.file.write(&format!("{MAGIC}{}", std::process::id()), lines);
    }
}

fn line(address: Address, number: &SavedSequence) -> String {
    let SavedSequence { protocol, domain, socket, port, next } = *number;
    let mut content = format!("{} {} {domain} {port} {next}", ip_of(address), protocol.name());
    if socket != address {
        content.push_str(&format!(" {}", ip_of(socket)));
    }
    lines::checked(&content)
}

/// A line that is whole.
fn parse(line: &str) -> Option<(Address, SavedSequence)> {
    let mut parts = lines::content(line)?.split(' ');
    let address = address_of(parts.next()?.parse().ok()?);
    let name = parts.next()?;
    let protocol = Protocol::ALL.into_iter().find(|protocol| protocol.name() == name)?;
    let domain = parts.next()?.parse().ok()?;
    let port = parts.next()?.parse().ok()?;
    let next = parts.next()?.parse().ok()?;
    let socket = match parts.next() {
        Some(socket) => address_of(socket.parse().ok()?),
        None => address,
    };
    Some((address, SavedSequence { protocol, domain, socket, port, next }))
}

/// The numbers, and how many lines were damaged.
fn read(path: &Path) -> io::Result<(Numbers, u64)> {
    let Some(text) = lines::text(path)? else { return Ok(Default::default()) };
    let mut lines = text.lines();
    let Some(process) = lines.next().and_then(|header| header.strip_prefix(MAGIC)) else {
        aside::file(path, "sequence numbers")?;
        return Ok(Default::default());
    };
    if still_runs(process) {
        return Ok(Default::default());
    }
    let (found, damaged) = lines::parse(path, lines, "saved sequence numbers", parse);
    let mut numbers = Numbers::new();
    for (address, number) in found {
        numbers.entry(address).or_default().push(number);
    }
    Ok((numbers, damaged))
}

/// Whether the process that wrote the file runs beside this one. In containers, all have the same number: then it is
/// this one, and the other has ended.
fn still_runs(process: &str) -> bool {
    process.parse::<u32>().is_ok_and(|id| id != std::process::id() && Path::new("/proc").join(id.to_string()).exists())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const ROUTER: Address = [1; 16];

    fn number(domain: u32, next: u32) -> SavedSequence {
        SavedSequence { protocol: Protocol::Ipfix, domain, socket: [7; 16], port: 4000, next }
    }

    fn saved(directory: &Path) -> Numbers {
        SequenceFile::open(directory).unwrap().1
    }

    #[test]
    fn numbers_of_all_workers_and_of_who_was_silent_survive() {
        let directory = tempfile::tempdir().unwrap();
        let (mut file, ..) = SequenceFile::open(directory.path()).unwrap();
        file.put(0, vec![(ROUTER, number(1, 10))]);
        file.put(1, vec![([2; 16], number(1, 20)), ([2; 16], number(2, 30))]);
        file.put(0, vec![(ROUTER, number(1, 11))]);
        file.write(&Numbers::from_iter([([3; 16], vec![number(9, 90)])]));
        let numbers = saved(directory.path());
        assert_eq!(numbers[&ROUTER], [number(1, 11)]);
        assert_eq!(numbers[&[2; 16]], [number(1, 20), number(2, 30)]);
        assert_eq!(numbers[&[3; 16]], [number(9, 90)]);
    }

    #[test]
    fn a_damaged_line_costs_only_itself() {
        let directory = tempfile::tempdir().unwrap();
        let (mut file, ..) = SequenceFile::open(directory.path()).unwrap();
        file.put(0, vec![(ROUTER, number(1, 10)), (ROUTER, number(2, 20))]);
        file.write(&Numbers::new());
        let path = directory.path().join(FILE_NAME);
        let text = fs::read_to_string(&path).unwrap().replace(" 1 4000 10", " 1 4000 11");
        fs::write(&path, text).unwrap();
        assert_eq!(saved(directory.path())[&ROUTER], [number(2, 20)]);
    }

    #[test]
    fn a_foreign_file_is_set_aside() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(FILE_NAME), [0xff; 100]).unwrap();
        assert!(saved(directory.path()).is_empty());
        let names: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(names.len() == 1 && names[0].to_string_lossy().contains("foreign"), "{names:?}");
    }

    #[test]
    fn numbers_of_a_process_that_runs_are_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let text = format!("{MAGIC}{}\n{}\n", std::os::unix::process::parent_id(), line(ROUTER, &number(1, 10)));
        fs::write(directory.path().join(FILE_NAME), text).unwrap();
        assert!(saved(directory.path()).is_empty());
    }
}
