//! The locks on directories that hold state: two processes must not write the same files.
//!
//! The lock is `flock` on the file `lock` in the directory, so it is gone when its process is, however that ended.
//! A process that is started to replace another one runs without the lock until the other has ended: the spool keeps
//! the processes' blocks apart by itself, and the last to save an exporter's templates wins.

use std::fs::{DirBuilder, File, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Another process works in the directory.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} is in use by another helios (process {process}): give every helios a directory of its own ({key}), or start \
     with --takeover to replace that process without a gap",
    path.display()
)]
pub struct InUse {
    path: PathBuf,
    key: &'static str,
    process: String,
}

/// The locks of a process; they are released when the process ends.
#[derive(Debug, Default)]
pub struct Locks {
    _files: Vec<File>,
}

/// A directory that only one process may write, and the configuration's key that names it.
#[derive(Debug, Clone, Copy)]
pub struct Directory<'a> {
    /// The directory.
    pub path: &'a Path,
    /// The key of the configuration, for the error.
    pub key: &'static str,
}

/// Locks all directories. With `takeover`, a directory that another process has locked is locked when that process ends.
///
/// A directory that cannot be made or written is not reported here: the part of the program that needs it says more.
///
/// # Errors
/// [`InUse`] for the first directory that another process has locked.
pub fn lock(directories: &[Directory<'_>], takeover: bool) -> Result<Locks, InUse> {
    let mut files = Vec::new();
    for &Directory { path, key } in directories {
        let Some(mut file) = open(path) else { continue };
        match file.try_lock() {
            Ok(()) => {
                sign(&mut file);
                files.push(file);
            }
            Err(TryLockError::WouldBlock) if takeover => wait(path, file),
            Err(TryLockError::WouldBlock) => {
                let mut process = String::new();
                let _ = file.read_to_string(&mut process);
                return Err(InUse { path: path.to_owned(), key, process: process.trim().to_owned() });
            }
            // The file system has no locks: the operator has to keep two processes apart.
            Err(TryLockError::Error(error)) => {
                tracing::warn!(directory = %path.display(), %error, "the directory cannot be locked");
            }
        }
    }
    Ok(Locks { _files: files })
}

fn open(directory: &Path) -> Option<File> {
    // The lock is the first to need the directory, whose files tell which devices a network has: nobody else may read it.
    DirBuilder::new().recursive(true).mode(0o700).create(directory).ok()?;
    File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(directory.join("lock")).ok()
}

/// Writes the process's id, for the message that a second process shows.
fn sign(file: &mut File) {
    let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
}

/// Takes the lock when the other process lets it go, and holds it until this process ends.
fn wait(directory: &Path, mut file: File) {
    let directory = directory.to_owned();
    tracing::info!(directory = %directory.display(), "in use by the process that this one replaces");
    let waiting = move || {
        if file.lock().is_ok() {
            sign(&mut file);
            tracing::info!(directory = %directory.display(), "taken over");
            // The kernel releases the lock with the process.
            std::mem::forget(file);
        }
    };
    if let Err(error) = std::thread::Builder::new().name("takeover".into()).spawn(waiting) {
        tracing::warn!(%error, "the directory stays unlocked");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_is_the_first() {
        let directory = tempfile::tempdir().unwrap();
        let directories = [Directory { path: directory.path(), key: "collector.state_dir" }];
        let first = lock(&directories, false).unwrap();
        let told = lock(&directories, false).unwrap_err().to_string();
        assert!(told.contains(&format!("(process {})", std::process::id())), "{told}");
        assert!(told.contains("collector.state_dir") && told.contains("--takeover"), "{told}");
        assert!(lock(&directories, true).is_ok(), "a replacement does not wait");
        drop(first);
    }

    #[test]
    fn a_directory_that_is_made_for_a_lock_is_for_its_user_only() {
        use std::os::unix::fs::PermissionsExt;
        let parent = tempfile::tempdir().unwrap();
        let (path, key) = (&parent.path().join("state/spool"), "collector.state_dir");
        let _locks = lock(&[Directory { path, key }], false).unwrap();
        for (made, mode) in [("state", 0o700), ("state/spool", 0o700), ("state/spool/lock", 0o600)] {
            let found = parent.path().join(made).metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(found, mode, "{made}");
        }
    }
}
