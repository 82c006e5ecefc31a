//! The locks on directories that hold state: two processes must not write the same files.
//!
//! The lock is `flock` on the file `lock` in the directory, so it is gone when its process is, however that ended.
//! A process that is started to replace another one runs without the lock until the other has ended: the spool keeps
//! the processes' blocks apart by itself, and the last to save an exporter's templates wins.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::config::Config;

/// Somebody else works in a directory.
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

/// Held as long as the process works in the directories.
#[derive(Debug, Default)]
pub struct Locks {
    _files: Vec<File>,
}

/// Locks all directories of the configuration, or with `takeover` has them locked as soon as that is possible.
///
/// A directory that cannot be made or written is not reported here: who needs it says it better.
///
/// # Errors
/// [`InUse`] for the first directory that somebody else has locked.
pub fn lock(config: &Config, takeover: bool) -> Result<Locks, InUse> {
    let spool = config.sink().spool;
    let directories =
        [(config.collector.state_dir.as_ref(), "collector.state_dir"), (spool.active(), "clickhouse.spool.directory")];
    let mut files = Vec::new();
    for (path, key) in directories.into_iter().filter_map(|(path, key)| Some((path?, key))) {
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
                return Err(InUse { path: path.clone(), key, process: process.trim().to_owned() });
            }
            // A file system without locks: two processes are then nobody's business but the operator's.
            Err(TryLockError::Error(error)) => {
                tracing::warn!(directory = %path.display(), %error, "the directory cannot be locked");
            }
        }
    }
    Ok(Locks { _files: files })
}

fn open(directory: &Path) -> Option<File> {
    fs::create_dir_all(directory).ok()?;
    File::options().read(true).write(true).create(true).truncate(false).open(directory.join("lock")).ok()
}

/// Leaves the process's id for the message of who comes second.
fn sign(file: &mut File) {
    let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
}

/// Takes the lock when the other process lets it go, and holds it until this process ends.
fn wait(directory: &Path, mut file: File) {
    let directory = directory.to_owned();
    tracing::info!(directory = %directory.display(), "in use by the helios that this one replaces");
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
        let mut config = Config::default();
        config.collector.state_dir = Some(directory.path().to_owned());
        let first = lock(&config, false).unwrap();
        let told = lock(&config, false).unwrap_err().to_string();
        assert!(told.contains(&format!("(process {})", std::process::id())), "{told}");
        assert!(told.contains("--takeover"), "{told}");
        assert!(lock(&config, true).is_ok(), "a replacement does not wait");
        drop(first);
    }

    #[test]
    fn the_spool_is_beside_the_state_unless_it_has_a_place_of_its_own() {
        let mut config = Config::default();
        assert_eq!(config.sink().spool.active(), None);
        config.collector.state_dir = Some("/state".into());
        assert_eq!(config.sink().spool.active(), Some(&"/state/spool".into()));
        config.clickhouse.spool.directory = Some("/disk".into());
        assert_eq!(config.sink().spool.active(), Some(&"/disk".into()));
    }
}
