//! Files that are written from the code: a test fails on a difference, `UPDATE_EXPECT=1 cargo test` rewrites them.

use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Holds a file of the repository against what it should be.
pub fn expect(path: &str, expected: &str) {
    let file = root().join(path);
    let present = std::fs::read_to_string(&file).unwrap_or_default();
    if present == expected {
        return;
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&file, expected).unwrap();
        return;
    }
    let line = present.lines().zip(expected.lines()).position(|(a, b)| a != b);
    let line = line.unwrap_or_else(|| present.lines().count().min(expected.lines().count()));
    panic!(
        "{path} is not what the code says, from line {} on:\n  is:        {}\n  should be: {}\n\
         rewrite it with `UPDATE_EXPECT=1 cargo test -p helios --test it`",
        line + 1,
        present.lines().nth(line).unwrap_or("(end of file)"),
        expected.lines().nth(line).unwrap_or("(end of file)"),
    );
}

/// The file up to and with the line that begins its generated part, which is kept when it is rewritten.
pub fn head(path: &str, marker: &str) -> String {
    let present = std::fs::read_to_string(root().join(path)).unwrap();
    let (head, _) = present.split_once(marker).unwrap_or_else(|| panic!("{path} has no line {marker}"));
    format!("{head}{marker}\n")
}

/// What a reader of the repository reads: the pages at the root and those of docs/, each with its path.
pub fn pages() -> Vec<(PathBuf, String)> {
    let folders = [root(), root().join("docs"), root().join("docs/runbooks")];
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path());
    let pages: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| (path.clone(), std::fs::read_to_string(path).unwrap()))
        .collect();
    assert!(pages.len() >= 10, "only {} pages were found", pages.len());
    pages
}
