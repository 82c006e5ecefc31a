//! Files of lines that each carry a checksum, so that a damaged line costs only itself, written as a whole.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::{aside, private};

/// A line: the CRC-32 of its content in hexadecimal, a space, and the content.
pub(super) fn checked(content: &str) -> String {
    format!("{:08x} {content}", crc32fast::hash(content.as_bytes()))
}

/// The content of a line that is whole.
pub(super) fn content(line: &str) -> Option<&str> {
    let (checksum, content) = line.split_once(' ')?;
    (u32::from_str_radix(checksum, 16).ok()? == crc32fast::hash(content.as_bytes())).then_some(content)
}

/// A file that is written as a whole, under another name that then takes the old one's place.
#[derive(Debug)]
pub(super) struct WholeFile {
    path: PathBuf,
    /// What the log says when the disk does not take it.
    not_saved: &'static str,
    failing: bool,
}

impl WholeFile {
    pub(super) fn new(path: PathBuf, not_saved: &'static str) -> Self {
        Self { path, not_saved, failing: false }
    }

    /// Writes the file anew: a header, then lines. Tells of the first failure of a row.
    pub(super) fn write(&mut self, header: &str, lines: impl Iterator<Item = String>) {
        let result = self.try_write(header, lines);
        let was_failing = std::mem::replace(&mut self.failing, result.is_err());
        if let Err(error) = result
            && !was_failing
        {
            tracing::error!(file = %self.path.display(), %error, "{}; check the disk", self.not_saved);
        }
    }

    fn try_write(&self, header: &str, lines: impl Iterator<Item = String>) -> io::Result<()> {
        let name = self.path.file_stem().unwrap_or_default().to_string_lossy();
        let temporary = self.path.with_extension(format!("tmp-{name}"));
        let mut file = BufWriter::new(private::create(&temporary)?);
        writeln!(file, "{header}")?;
        for line in lines {
            writeln!(file, "{line}")?;
        }
        file.flush()?;
        file.get_ref().sync_all()?;
        fs::rename(&temporary, &self.path)
    }
}

/// The text of a file; nothing if it is not there.
pub(super) fn text(path: &Path) -> io::Result<Option<String>> {
    match fs::read(path) {
        Ok(octets) => Ok(Some(String::from_utf8_lossy(&octets).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What lines of a file say, and how many are damaged. These are set aside as lines of the `what`.
pub(super) fn parse<'a, T>(
    path: &Path,
    lines: impl Iterator<Item = &'a str>,
    what: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> (Vec<T>, u64) {
    let (mut found, mut damaged) = (Vec::new(), Vec::new());
    for line in lines {
        match parse(line) {
            Some(one) => found.push(one),
            None => damaged.push(line.as_bytes()),
        }
    }
    aside::lines(path, &damaged, what);
    (found, damaged.len() as u64)
}
