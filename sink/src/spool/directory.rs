//! The folders of a spool, and whose they are.
//!
//! ```text
//! DIRECTORY/run-<start>-<pid>/     the blocks of one process
//!     lock                         held (flock) as long as that process lives
//!     <name>.open                  a block that is being filled
//!     <name>.block                 a closed block
//!     <name>.sent                  a closed block that was sent at least once: ClickHouse may have it
//! DIRECTORY/aside/                 what is not sent any more, until somebody decides
//!     <name>.refused, <name>.txt   a block that ClickHouse refused, and what it said
//!     <name>.damaged, <name>.txt   a file whose octets are not what was written, and what is wrong
//! DIRECTORY/retry/<name>.block     blocks that somebody wants sent again
//! ```
//! A process writes only into its own folder. A folder whose lock is free is a dead process's; who gets the lock takes
//! its blocks over. That is how a restart finds what was left, and how a new process can run beside the one that it
//! replaces. Names begin with the time: their order is the blocks' order.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

pub const OPEN: &str = "open";
pub const BLOCK: &str = "block";
pub const SENT: &str = "sent";
pub const REFUSED: &str = "refused";
pub const DAMAGED: &str = "damaged";
pub const NOTE: &str = "txt";

const RUN: &str = "run-";
const ASIDE: &str = "aside";
const RETRY: &str = "retry";
const LOCK: &str = "lock";

pub fn aside(root: &Path) -> PathBuf {
    root.join(ASIDE)
}

pub fn retry(root: &Path) -> PathBuf {
    root.join(RETRY)
}

/// A process's own folder; it is the process's as long as this lives.
#[derive(Debug)]
pub struct RunFolder {
    pub path: PathBuf,
    lock: File,
}

impl RunFolder {
    /// Makes the folder of this process, and those that all share.
    pub fn create(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(aside(root))?;
        fs::create_dir_all(retry(root))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let path = root.join(format!("{RUN}{now:020}-{}", std::process::id()));
        // Nobody may meet the folder before it is locked, and take it for a dead process's.
        let hidden = root.join(format!(".{RUN}{now:020}-{}", std::process::id()));
        fs::create_dir(&hidden)?;
        let lock = File::create(hidden.join(LOCK))?;
        lock.try_lock().map_err(io::Error::from)?;
        fs::rename(&hidden, &path)?;
        Ok(Self { path, lock })
    }

    /// The folder of a dead process; `None` if it lives.
    pub fn adopt(path: &Path) -> io::Result<Option<Self>> {
        let lock = File::options().create(true).truncate(false).write(true).open(path.join(LOCK))?;
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
        if files(&self.path)?.is_empty() {
            fs::remove_file(self.path.join(LOCK))?;
            fs::remove_dir(&self.path)?;
        }
        Ok(())
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
        if entry.file_name().to_string_lossy().starts_with(RUN) && entry.file_type()?.is_dir() {
            runs.push(entry.path());
        }
    }
    runs.sort();
    Ok(runs)
}

/// A file by what its name says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    pub name: Arc<str>,
    pub kind: &'static str,
    pub path: PathBuf,
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
        let path = entry?.path();
        let (Some(name), Some(kind)) = (path.file_stem(), path.extension()) else { continue };
        let Some(kind) = [OPEN, BLOCK, SENT, REFUSED, DAMAGED].into_iter().find(|known| *known == kind) else {
            continue;
        };
        files.push(Named { name: name.to_string_lossy().into(), kind, path });
    }
    files.sort();
    Ok(files)
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
