//! What cannot be read is set aside, never thrown away: somebody may want to know what it was.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use helios_common::clock::unix_secs;

use super::private;

/// Moves a file that is none of Helios' out of the way.
pub(super) fn file(path: &Path, what: &str) -> io::Result<()> {
    let aside = path.with_extension(format!("foreign-{}", unix_secs()));
    fs::rename(path, &aside)?;
    tracing::warn!(file = %path.display(), aside = %aside.display(), "not a state file of Helios: set aside, starting without saved {what}");
    Ok(())
}

/// Keeps damaged lines of a file in another one beside it, before the file is written anew without them.
///
/// Lines that cannot be kept are told of and cost no start: what they said, exporters will say again.
pub(super) fn lines(path: &Path, damaged: &[&[u8]], what: &str) {
    if damaged.is_empty() {
        return;
    }
    let aside = path.with_extension(format!("damaged-{}", unix_secs()));
    let octets = [damaged.join(&b'\n'), b"\n".to_vec()].concat();
    let kept = private::append(&aside).and_then(|mut file| file.write_all(&octets));
    let (file, lines) = (path.display(), damaged.len());
    match kept {
        Ok(()) => {
            tracing::warn!(%file, lines, aside = %aside.display(), "damaged lines of the {what} set aside; the others are used");
        }
        Err(error) => {
            tracing::warn!(%file, lines, %error, "damaged lines of the {what} are passed over and could not be set aside");
        }
    }
}
