//! The folders of a spool, and whose they are.
//!
//! ```text
//! DIRECTORY/run-<start>-<pid>/     the blocks of one process
//!     lock                         held (flock) as long as that process lives
//!     <name>.open                  a block that is being filled
//!     <name>.block                 a closed block
//!     <name>.sent                  a closed block that was sent at least once: ClickHouse may have it
//! DIRECTORY/aside/                 what is not sent any more, until somebody decides; bounded in octets
//!     <name>.refused, <name>.txt   a block that ClickHouse refused, and what it said
//!     <name>.damaged, <name>.txt   a file whose octets are not what was written, and what is wrong
//! DIRECTORY/retry/<name>.block     blocks that somebody wants sent again
//! ```
//! A process writes only into its own folder. A folder whose lock is free is a dead process's; who gets the lock takes
//! its blocks over. That is how a restart finds what was left, and how a new process can run beside the one that it
//! replaces. Names begin with the time: their order is the blocks' order. The name of a block that came from `retry` ends
//! in `-again`: it is not removed to make room for others.
//!
//! Files are for their owner only (0600, folders 0700): they hold who talked to whom.

use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use helios_common::clock;

pub(crate) const OPEN: &str = "open";
pub(crate) const BLOCK: &str = "block";
pub(crate) const SENT: &str = "sent";
pub(crate) const REFUSED: &str = "refused";
pub(crate) const DAMAGED: &str = "damaged";
pub(crate) const NOTE: &str = "txt";

/// The mode of every file.
pub(super) const FILE_MODE: u32 = 0o600;

/// The mode of every folder.
const FOLDER_MODE: u32 = 0o700;

/// The end of the name of a block that was sent again by hand.
const AGAIN: &str = "-again";

const RUN: &str = "run-";
const ASIDE: &str = "aside";
const RETRY: &str = "retry";
const LOCK: &str = "lock";

pub(crate) fn aside(root: &Path) -> PathBuf {
    root.join(ASIDE)
}

pub(crate) fn retry(root: &Path) -> PathBuf {
    root.join(RETRY)
}

/// The name under which a block from the folder `retry` is sent.
pub fn again(name: &str) -> Arc<str> {
    if is_again(name) { name.into() } else { format!("{name}{AGAIN}").into() }
}

/// Whether a block was sent again by hand.
pub fn is_again(name: &str) -> bool {
    name.ends_with(AGAIN)
}

/// Writes a small file for people.
pub(super) fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).create(true).truncate(true).mode(FILE_MODE).open(path)?;
    file.write_all(text)
}

/// Removes a file in `aside` with its note.
pub fn remove_aside(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    let _ = fs::remove_file(path.with_extension(NOTE));
    Ok(())
}

/// Makes a folder with those above it; one that earlier versions made for everybody to read is closed.
fn make(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)?;
    // The owner alone may change the mode; for anybody else the folder stays as it is.
    let _ = fs::set_permissions(folder, Permissions::from_mode(FOLDER_MODE));
    Ok(())
}

/// A process's own folder; it is the process's as long as this lives.
#[derive(Debug)]
pub struct RunFolder {
    pub(crate) path: PathBuf,
    lock: File,
}

impl RunFolder {
    /// Makes the folder of this process, and those that all share.
    pub fn create(root: &Path) -> io::Result<Self> {
        make(root)?;
        make(&aside(root))?;
        make(&retry(root))?;
        let now = clock::since_epoch().as_nanos();
        let path = root.join(format!("{RUN}{now:020}-{}", std::process::id()));
        // Another process must not find the folder before it is locked: it would take it for that of a dead process.
        let hidden = root.join(format!(".{RUN}{now:020}-{}", std::process::id()));
        DirBuilder::new().mode(FOLDER_MODE).create(&hidden)?;
        let lock = File::options().create(true).write(true).truncate(true).mode(FILE_MODE).open(hidden.join(LOCK))?;
        lock.try_lock().map_err(io::Error::from)?;
        fs::rename(&hidden, &path)?;
        Ok(Self { path, lock })
    }

    /// The folder of a dead process; `None` if it lives.
    pub fn adopt(path: &Path) -> io::Result<Option<Self>> {
        let mut options = File::options();
        let lock = options.create(true).truncate(false).write(true).mode(FILE_MODE).open(path.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Self { path: path.to_owned(), lock })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Lets the folder go, as the end of the process does.
    pub fn unlock(&self) -> io::Result<()> {
        self.lock.unlock()
    }

    /// Removes the folder if nothing is left in it.
    pub fn remove_if_empty(&self) -> io::Result<()> {
        if files(&self.path)?.is_empty() && self.foreign()?.is_empty() {
            fs::remove_file(self.path.join(LOCK))?;
            fs::remove_dir(&self.path)?;
        }
        Ok(())
    }

    /// Names in the folder that no helios has given.
    pub fn foreign(&self) -> io::Result<Vec<String>> {
        let mut foreign = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            let own = path.file_name().is_some_and(|name| name == LOCK) || named(&path).is_some();
            if !own {
                foreign.push(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
            }
        }
        foreign.sort();
        Ok(foreign)
    }
}

/// Forces the names in a folder onto the medium, where the file system knows how.
pub fn sync(folder: &Path) -> io::Result<()> {
    match File::open(folder)?.sync_all() {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
}

/// All processes' folders, oldest first.
pub fn runs(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut runs = Vec::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if entry.file_name().to_string_lossy().starts_with(RUN) && is_folder {
            runs.push(entry.path());
        }
    }
    runs.sort();
    Ok(runs)
}

/// A file by what its name says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    pub(crate) name: Arc<str>,
    pub(crate) kind: &'static str,
    pub(crate) path: PathBuf,
}

/// The block files of a folder in the order of their names; of a folder that is not there: none.
pub fn files(folder: &Path) -> io::Result<Vec<Named>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        files.extend(named(&entry?.path()));
    }
    files.sort();
    Ok(files)
}

/// `None` for what is not named as a block file.
fn named(path: &Path) -> Option<Named> {
    let (name, kind) = (path.file_stem()?, path.extension()?);
    let kind = [OPEN, BLOCK, SENT, REFUSED, DAMAGED].into_iter().find(|known| *known == kind)?;
    Some(Named { name: name.to_string_lossy().into(), kind, path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_its_processs_until_that_is_gone() {
        let root = tempfile::tempdir().unwrap();
        let own = RunFolder::create(root.path()).unwrap();
        assert_eq!(runs(root.path()).unwrap(), std::slice::from_ref(&own.path));
        assert!(RunFolder::adopt(&own.path).unwrap().is_none(), "the process lives");
        let path = own.path.clone();
        fs::write(path.join("1.block"), "").unwrap();
        drop(own);
        let adopted = RunFolder::adopt(&path).unwrap().unwrap();
        assert!(RunFolder::adopt(&path).unwrap().is_none(), "one adopts, not two");
        adopted.remove_if_empty().unwrap();
        assert!(path.exists(), "a folder with blocks stays");
        fs::remove_file(path.join("1.block")).unwrap();
        adopted.remove_if_empty().unwrap();
        assert!(runs(root.path()).unwrap().is_empty());
    }

    #[test]
    fn only_block_files_are_listed_in_the_order_of_their_names() {
        let root = tempfile::tempdir().unwrap();
        for name in ["2.sent", "1.block", "lock", "3.txt", "4.damaged"] {
            fs::write(root.path().join(name), "").unwrap();
        }
        let names: Vec<_> = files(root.path()).unwrap().into_iter().map(|file| (file.name, file.kind)).collect();
        assert_eq!(names, [("1".into(), BLOCK), ("2".into(), SENT), ("4".into(), DAMAGED)]);
        assert!(files(&root.path().join("none")).unwrap().is_empty());
    }
}
