//! Files that only the user may read whom Helios runs as: they tell which devices a network has.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// Makes a folder and those above it; one that is there keeps its mode.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path)
}

/// Opens a file to append to, and makes it if it is not there.
pub(super) fn append(path: &Path) -> io::Result<File> {
    closed_to_others(OpenOptions::new().append(true).create(true).mode(FILE_MODE).open(path)?)
}

/// Opens an empty file.
pub(super) fn create(path: &Path) -> io::Result<File> {
    closed_to_others(OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(path)?)
}

/// A file that an earlier version made may be open to others. One of another user stays as it is.
fn closed_to_others(file: File) -> io::Result<File> {
    let _ = file.set_permissions(Permissions::from_mode(FILE_MODE));
    Ok(file)
}
