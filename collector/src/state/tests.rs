use super::*;
use journal::{COMPACT_BYTES, FILE_NAME};
use std::fs;
use std::os::unix::fs::PermissionsExt;

const ROUTER: Address = [1; 16];

fn exporter(n: u32) -> SavedExporter {
    let mut saved = SavedExporter::default();
    saved.tables.domains = vec![(0, n)];
    saved
}

fn save(directory: &Path, saved: &[(Address, SavedExporter)]) {
    let state = StateFile::open(directory).unwrap();
    let saver = state.saver().unwrap();
    assert!(saved.iter().all(|(address, saved)| saver.save(*address, saved)));
}

fn recall(directory: &Path, address: Address) -> Option<SavedExporter> {
    StateFile::open(directory).unwrap().memory().recall(address)
}

#[test]
fn the_latest_state_of_an_exporter_survives() {
    let directory = tempfile::tempdir().unwrap();
    save(directory.path(), &[(ROUTER, exporter(1)), ([2; 16], exporter(7)), (ROUTER, exporter(2))]);
    assert_eq!(recall(directory.path(), ROUTER), Some(exporter(2)));
    assert_eq!(recall(directory.path(), [2; 16]), Some(exporter(7)));
    assert_eq!(recall(directory.path(), [3; 16]), None);
}

#[test]
fn an_exporter_that_comes_back_starts_with_what_was_saved_last() {
    let directory = tempfile::tempdir().unwrap();
    save(directory.path(), &[(ROUTER, exporter(1))]);
    let state = StateFile::open(directory.path()).unwrap();
    let memory = state.memory();
    assert_eq!(memory.recall(ROUTER), Some(exporter(1)));
    assert!(state.saver().unwrap().save(ROUTER, &exporter(2)));
    drop(state);
    assert_eq!(memory.recall(ROUTER), Some(exporter(2)));
}

#[test]
fn what_a_disk_did_not_take_while_running_is_saved_by_the_stop() {
    let directory = tempfile::tempdir().unwrap();
    let blocked = directory.path().join("exporters.tmp");
    let state = StateFile::open(directory.path()).unwrap();
    fs::create_dir(&blocked).unwrap();
    fs::remove_file(directory.path().join(FILE_NAME)).unwrap();
    assert!(state.saver().unwrap().save(ROUTER, &exporter(1)));
    while state.stats().write_errors == 0 {
        std::thread::yield_now();
    }
    fs::remove_dir(&blocked).unwrap();
    drop(state);
    assert_eq!(recall(directory.path(), ROUTER), Some(exporter(1)));
}

#[test]
fn a_foreign_file_is_set_aside() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(FILE_NAME), "something else\n").unwrap();
    save(directory.path(), &[(ROUTER, exporter(1))]);
    assert_eq!(recall(directory.path(), ROUTER), Some(exporter(1)));
    let names: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().any(|name| name.to_string_lossy().contains("foreign")), "{names:?}");
}

#[test]
fn the_journal_is_written_anew_when_most_of_it_is_outdated() {
    let directory = tempfile::tempdir().unwrap();
    let many: Vec<_> = (0..40_000).map(|n| (ROUTER, exporter(n))).collect();
    for part in many.chunks(QUEUE_LINES) {
        save(directory.path(), part);
    }
    let size = fs::metadata(directory.path().join(FILE_NAME)).unwrap().len();
    assert!(size < 2 * COMPACT_BYTES, "{size} bytes for one exporter");
    assert_eq!(recall(directory.path(), ROUTER), Some(exporter(39_999)));
}

#[test]
fn only_the_user_that_helios_runs_as_may_read_the_state() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("state");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for round in 1..=2 {
        let state = StateFile::open(&directory).unwrap();
        let saver = state.saver().unwrap();
        assert!(saver.save(ROUTER, &exporter(round)));
        saver.save_sequences(0, Vec::new());
        drop((saver, state));
        let files: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(files.iter().any(|file| file.ends_with(FILE_NAME)), "{files:?}");
        for file in &files {
            assert_eq!((mode(file), mode(&directory)), (0o600, 0o700), "{}", file.display());
        }
        // As an earlier version may have left it.
        fs::set_permissions(directory.join(FILE_NAME), fs::Permissions::from_mode(0o644)).unwrap();
    }
}
