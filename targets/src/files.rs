//! A directory of target files: read as what is published, and each file replaced whole.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::document::{Document, Documents, ListKind, ParseError};

/// A directory that cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the text of a variant says what its fields are")]
pub enum FilesError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: {source}; helios did not write it: move it away, or name another directory", path.display())]
    Foreign { path: PathBuf, source: ParseError },
    #[error("cannot write {}: {source}; the file from before is unchanged", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// Reads what is published; a file that is not there has no targets.
///
/// # Errors
/// When a file cannot be read, or was not written by Helios.
pub fn read(directory: &Path) -> Result<Documents, FilesError> {
    let mut documents = Documents::default();
    for kind in ListKind::ALL {
        let path = directory.join(kind.file_name());
        match fs::read_to_string(&path) {
            Ok(text) => {
                let document = Document::parse(kind, &text);
                *documents.get_mut(kind) = document.map_err(|source| FilesError::Foreign { path, source })?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(FilesError::Read { path, source }),
        }
    }
    Ok(documents)
}

/// Writes the files whose text changed, and returns their names. A reader sees the old text or the new one, never a part.
///
/// # Errors
/// When the directory cannot be made or a file cannot be written.
pub fn write(directory: &Path, documents: &Documents) -> Result<Vec<String>, FilesError> {
    fs::create_dir_all(directory).map_err(|source| FilesError::Write { path: directory.to_owned(), source })?;
    let mut written = Vec::new();
    for kind in ListKind::ALL {
        let path = directory.join(kind.file_name());
        let text = documents.render(kind);
        if fs::read(&path).is_ok_and(|old| old == text.as_bytes()) {
            continue;
        }
        replace(&path, &text).map_err(|source| FilesError::Write { path: path.clone(), source })?;
        written.push(kind.file_name());
    }
    Ok(written)
}

/// Writes beside the file and renames: Prometheus and gnmic see the file change once, when it is whole.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    fn one(device: &str) -> Documents {
        let mut documents = Documents::default();
        let text = format!("[\n{{\"targets\":[\"192.0.2.1\"],\"labels\":{{\"device\":\"{device}\"}}}}\n]\n");
        *documents.get_mut(ListKind::Icmp) = Document::parse(ListKind::Icmp, &text).unwrap();
        documents
    }

    #[test]
    fn only_what_changed_is_written_and_it_is_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().join("targets");
        assert_eq!(read(&directory).unwrap(), Documents::default());
        assert_eq!(write(&directory, &one("a")).unwrap(), ["gnmic.yaml", "snmp.json", "icmp.json", "tcp.json"]);
        let inode = |name: &str| fs::metadata(directory.join(name)).unwrap().ino();
        let (gnmic, icmp) = (inode("gnmic.yaml"), inode("icmp.json"));
        assert_eq!(write(&directory, &one("a")).unwrap(), [""; 0]);
        assert_eq!(write(&directory, &one("b")).unwrap(), ["icmp.json"]);
        assert_eq!(inode("gnmic.yaml"), gnmic);
        assert_ne!(inode("icmp.json"), icmp, "a new file takes the place of the old one");
        assert_eq!(read(&directory).unwrap().get(ListKind::Icmp), one("b").get(ListKind::Icmp));
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 4, "nothing temporary is left");
    }

    #[test]
    fn a_file_of_somebody_else_is_named_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("gnmic.yaml"), "edge-1:\n  address: 192.0.2.1\n").unwrap();
        let error = read(directory.path()).unwrap_err().to_string();
        assert!(error.contains("gnmic.yaml: line 1: ") && error.contains("move it away"), "{error}");
    }
}
