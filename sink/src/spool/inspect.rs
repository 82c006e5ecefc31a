//! A spool from outside, of a running process or a stopped one: its blocks, and the decisions that an operator can take.
//!
//! The blocks of a running process are read and never changed. Blocks that were set aside belong to no process: they are
//! moved or removed at once, and the process that set them aside notices within a second.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use helios_common::time::UnixMs;

use super::directory::{self, Named, RunFolder};
use super::file::{self, Contents, FileError, Head};

/// What a block waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockState {
    /// Its process still adds rows, or died while it did.
    Filling,
    /// It is closed and was never sent.
    Waiting,
    /// It was sent at least once and not acknowledged yet.
    Sent,
    /// ClickHouse refused it: somebody has to decide.
    Refused,
    /// Its octets are not what was written.
    Damaged,
    /// Somebody wants it sent again, and a running helios will.
    Retry,
    /// A newer version has written it: it waits for that.
    Newer,
}

impl BlockState {
    /// The word that `helios spool list` prints.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Filling => "filling",
            Self::Waiting => "waiting",
            Self::Sent => "sent",
            Self::Refused => "refused",
            Self::Damaged => "damaged",
            Self::Retry => "retry",
            Self::Newer => "newer",
        }
    }

    /// What becomes of such a block.
    const fn outlook(self) -> &'static str {
        match self {
            Self::Filling | Self::Waiting | Self::Sent | Self::Retry => "helios run sends it by itself",
            Self::Damaged => "Its octets are not what was written: what could be saved of it was",
            Self::Newer => "A newer helios has written it, and sends it once it runs again",
            Self::Refused => "",
        }
    }

    fn of(kind: &str) -> Self {
        match kind {
            directory::OPEN => Self::Filling,
            directory::SENT => Self::Sent,
            directory::REFUSED => Self::Refused,
            directory::DAMAGED => Self::Damaged,
            _ => Self::Waiting,
        }
    }
}

/// A file of the spool.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Name of the file without the ending.
    pub name: Arc<str>,
    /// By the ending, the folder and, where it can be read, the head.
    pub status: BlockState,
    /// Where the file is now; a running helios may move it.
    pub path: PathBuf,
    /// Of the file.
    pub octets: u64,
    /// What it would be as an insert; `None` if that cannot be read.
    pub head: Option<Head>,
    /// Of whole records; `None` if they cannot be read.
    pub rows: Option<u64>,
    /// Why it was set aside.
    pub note: Option<String>,
}

/// A decision that cannot be carried out.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the text of a variant says what its fields are")]
pub enum InspectError {
    #[error("no spool in {}: {}", root.display(), inside.as_ref().map_or_else(
        || "is the directory right? It is clickhouse.spool.directory, or `spool` in collector.state_dir".to_owned(),
        |inside| format!("did you mean {}?", inside.display())
    ))]
    NoSpool { root: PathBuf, inside: Option<PathBuf> },
    #[error("no block {name} in {}: `helios spool list` shows which there are", root.display())]
    Unknown { name: String, root: PathBuf },
    #[error("{n} blocks begin with {name}: more of the name tells them apart")]
    Ambiguous { name: String, n: usize },
    #[error("block {name} is {}: only a refused one can be sent again. {}", status.name(), status.outlook())]
    NotRefused { name: String, status: BlockState },
    #[error("block {name} belongs to a running helios: let it send the block, or stop it first")]
    InUse { name: String },
    #[error("{}: {source}{}", path.display(), match source.kind() {
        io::ErrorKind::PermissionDenied => "; run this as the user that helios runs as, or as root",
        _ => "",
    })]
    Io { path: PathBuf, source: io::Error },
}

/// Everything in the spool, oldest first.
///
/// # Errors
/// When a folder cannot be read.
pub fn list(root: &Path) -> Result<Vec<Listed>, InspectError> {
    let fail = |path: &Path, source| InspectError::Io { path: path.to_owned(), source };
    // Every spool has this folder. A wrong directory must not look like a spool that is empty.
    if matches!(directory::aside(root).try_exists(), Ok(false)) {
        let inside = Some(root.join("spool")).filter(|inside| directory::aside(inside).exists());
        return Err(InspectError::NoSpool { root: root.to_owned(), inside });
    }
    let mut folders = directory::runs(root).map_err(|source| fail(root, source))?;
    folders.extend([directory::aside(root), directory::retry(root)]);
    let mut listed = Vec::new();
    for folder in &folders {
        for file in directory::files(folder).map_err(|source| fail(folder, source))? {
            // A running helios may have stored and removed it meanwhile.
            let Ok(found) = fs::metadata(&file.path) else { continue };
            let mut entry = look(file, found.len());
            if *folder == directory::retry(root) && entry.status != BlockState::Newer {
                entry.status = BlockState::Retry;
            }
            listed.push(entry);
        }
    }
    listed.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(listed)
}

fn look(file: Named, octets: u64) -> Listed {
    let status = BlockState::of(file.kind);
    let outline = match status {
        BlockState::Filling | BlockState::Damaged => {
            Contents::read(&file.path).map(|contents| (contents.head, contents.sum.rows))
        }
        _ => file::outline(&file.path).map(|(head, end)| (head, end.rows)),
    };
    let status = if matches!(outline, Err(FileError::Newer)) { BlockState::Newer } else { status };
    let (head, rows) = outline.ok().unzip();
    let note = fs::read_to_string(file.path.with_extension(directory::NOTE)).ok();
    Listed { name: file.name, status, path: file.path, octets, head, rows, note }
}

impl Listed {
    /// When the block was begun, which its name says.
    pub fn begun(&self) -> Option<UnixMs> {
        self.name.split('-').next()?.parse().ok()
    }

    /// Whether the block can be [sent again](Self::retry).
    ///
    /// # Errors
    /// [`InspectError::NotRefused`].
    pub fn retriable(&self) -> Result<(), InspectError> {
        match self.status {
            BlockState::Refused => Ok(()),
            status => Err(InspectError::NotRefused { name: self.name.to_string(), status }),
        }
    }

    /// The earliest and the latest arrival of a flow in it.
    pub fn arrivals(&self) -> Option<(UnixMs, UnixMs)> {
        let contents = Contents::read(&self.path).ok()?;
        let times = || contents.arrivals.iter().map(|(at, _)| *at);
        Some((times().min()?, times().max()?))
    }

    /// Has a refused block sent again by the helios that runs or is started next.
    ///
    /// # Errors
    /// [`InspectError`] for a block of another status.
    pub fn retry(&self, root: &Path) -> Result<(), InspectError> {
        self.retriable()?;
        let target = directory::retry(root).join(format!("{}.{}", self.name, directory::BLOCK));
        fs::rename(&self.path, target).map_err(|source| InspectError::Io { path: self.path.clone(), source })?;
        let _ = fs::remove_file(self.path.with_extension(directory::NOTE));
        Ok(())
    }

    /// Removes the block: its rows are lost.
    ///
    /// # Errors
    /// [`InspectError::InUse`] for a block that a running helios is going to send.
    pub fn drop_it(&self) -> Result<(), InspectError> {
        let fail = |source| InspectError::Io { path: self.path.clone(), source };
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let in_run = !matches!(self.status, BlockState::Refused | BlockState::Damaged | BlockState::Retry)
            && folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with("run-"));
        let dead = if in_run { RunFolder::adopt(folder).map_err(fail)? } else { None };
        if in_run && dead.is_none() {
            return Err(InspectError::InUse { name: self.name.to_string() });
        }
        directory::remove_aside(&self.path).map_err(fail)
    }
}

/// The block of that name, or the only one whose name begins so.
///
/// # Errors
/// [`InspectError::Unknown`], [`InspectError::Ambiguous`].
pub fn find<'a>(listed: &'a [Listed], name: &str, root: &Path) -> Result<&'a Listed, InspectError> {
    let fitting: Vec<&Listed> = listed.iter().filter(|listed| listed.name.starts_with(name)).collect();
    match fitting.as_slice() {
        _ if name.is_empty() => Err(InspectError::Unknown { name: name.to_owned(), root: root.to_owned() }),
        [only] => Ok(only),
        [] => Err(InspectError::Unknown { name: name.to_owned(), root: root.to_owned() }),
        [first, ..] if &*first.name == name => Ok(first),
        several => Err(InspectError::Ambiguous { name: name.to_owned(), n: several.len() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Compression;
    use crate::schema::Table;
    use crate::spool::{Spool, SpoolConfig};

    #[test]
    fn a_refused_block_is_listed_with_its_reason_and_can_be_decided_about() {
        let root = tempfile::tempdir().unwrap();
        let spool = Spool::open(&SpoolConfig { min_free_bytes: 0, ..SpoolConfig::default() }, root.path()).unwrap();
        let head = |token: &str| Head {
            table: Table::Flows,
            compression: Compression::None,
            token: token.into(),
            statement: "INSERT".into(),
        };
        let block = |token| {
            let file = spool.begin(&head(token)).unwrap();
            file.append(5, &[(7, 5)], &b"x".to_vec().into()).unwrap().close().unwrap()
        };
        let (waiting, refused, other) = (block("a"), block("b"), block("c"));
        spool.set_aside(&refused, directory::REFUSED, "Code: 691");
        spool.set_aside(&other, directory::REFUSED, "Code: 117");
        let listed = list(root.path()).unwrap();
        let shown: Vec<_> = listed.iter().map(|entry| (entry.status, entry.rows, entry.note.as_deref())).collect();
        assert_eq!(
            shown,
            [
                (BlockState::Waiting, Some(5), None),
                (BlockState::Refused, Some(5), Some("Code: 691")),
                (BlockState::Refused, Some(5), Some("Code: 117")),
            ]
        );
        assert_eq!(listed[0].arrivals(), Some((7, 7)));
        assert!(matches!(listed[0].retry(root.path()), Err(InspectError::NotRefused { .. })));
        assert!(matches!(listed[0].drop_it(), Err(InspectError::InUse { .. })), "its process lives");
        find(&listed, &refused.name, root.path()).unwrap().retry(root.path()).unwrap();
        listed[2].drop_it().unwrap();
        assert!(matches!(find(&listed, "none", root.path()), Err(InspectError::Unknown { .. })));
        assert!(matches!(find(&listed, "", root.path()), Err(InspectError::Unknown { .. })));
        assert!(matches!(find(&listed, "0", root.path()), Err(InspectError::Ambiguous { n: 3, .. })));
        let begin = &listed[0].name[..20];
        assert_eq!(find(&listed[..1], begin, root.path()).unwrap().name, listed[0].name);
        assert!(listed[0].begun().is_some_and(|at| at > 1_700_000_000_000));
        drop(spool);
        let listed = list(root.path()).unwrap();
        assert_eq!(
            listed.iter().map(|entry| entry.status).collect::<Vec<_>>(),
            [BlockState::Waiting, BlockState::Retry]
        );
        let again = listed[1].retry(root.path()).unwrap_err().to_string();
        assert!(again.ends_with("helios run sends it by itself"), "{again}");
        listed[0].drop_it().unwrap();
        assert_eq!(list(root.path()).unwrap().len(), 1);
        assert!(!root.path().join(&*waiting.name).exists());
    }

    #[test]
    fn a_directory_that_is_no_spool_does_not_look_like_an_empty_one() {
        let state = tempfile::tempdir().unwrap();
        let told = list(state.path()).unwrap_err().to_string();
        assert!(told.contains("no spool in") && told.contains("collector.state_dir"), "{told}");
        let spool = Spool::open(&SpoolConfig::default(), &state.path().join("spool")).unwrap();
        assert!(list(&state.path().join("spool")).unwrap().is_empty());
        let told = list(state.path()).unwrap_err().to_string();
        assert!(told.contains(&format!("did you mean {}?", state.path().join("spool").display())), "{told}");
        drop(spool);
    }
}
