//! The spool against a simple model, damage at every place, and disks that fail.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::backlog::{Backlog, Occupancy};
use crate::block::{Assembler, BlockLimits};
use crate::config::Compression;
use crate::ledgers::Ledgers;
use arrow_ipc::reader::StreamReader;
use helios_common::columns::{BYTES, RECEIVED_AT};
use helios_common::exporter::ExporterId;
use helios_common::flow::FlowBatch;
use helios_common::ledger::Ledger;
use helios_common::names::Names;
use helios_common::side::SideLedger;

fn config() -> SpoolConfig {
    SpoolConfig { min_free_bytes: 0, fsync: Fsync::Never, ..SpoolConfig::default() }
}

fn open(root: &Path) -> Arc<Spool> {
    Spool::open(&config(), root).unwrap()
}

fn head(token: &str) -> Head {
    Head { table: Table::Flows, compression: Compression::None, token: token.into(), statement: "INSERT".into() }
}

/// A block file with `pieces` pieces of a row each, left open.
fn begun(spool: &Arc<Spool>, token: &str, pieces: u32) -> OpenFile {
    let mut file = spool.begin(&head(token)).unwrap();
    for n in 0..pieces {
        file = file.append(1, &[(i64::from(n), 1)], &piece(n)).unwrap();
    }
    file
}

fn piece(n: u32) -> Bytes {
    Bytes::from(vec![n as u8; 50 + n as usize])
}

/// A new process on the same directory; what it finds.
fn restart(root: &Path) -> (Arc<Spool>, Arc<Backlog>) {
    let spool = open(root);
    let ledgers = Ledgers { flows: Arc::new(Ledger::new()), side: Arc::new(SideLedger::default()) };
    let backlog = Arc::new(Backlog::new(0, Some(Arc::clone(&spool)), ledgers));
    look(&spool, &backlog);
    (spool, backlog)
}

fn look(spool: &Arc<Spool>, backlog: &Arc<Backlog>) {
    let scanner = Scanner { spool: Arc::clone(spool), backlog: Arc::clone(backlog), stop: Arc::default() };
    scanner.look().unwrap();
}

/// All blocks of a backlog, in the order in which they would be sent.
fn all(backlog: &Backlog) -> Vec<Block> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut blocks = Vec::new();
    runtime.block_on(async {
        while let Some(block) = next(backlog).await {
            blocks.push(block.clone());
            backlog.stored(&block);
        }
    });
    blocks
}

/// The next block; `None` once none is left, which a damaged one may be the last to cause.
async fn next(backlog: &Backlog) -> Option<Block> {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut next = std::pin::pin!(backlog.next());
    let left = |now: Occupancy| now.kept_blocks > 0 || now.replaying > 0;
    while left(backlog.occupancy()) {
        // Between two looks at what is left.
        if let Ok(block) = tokio::time::timeout(Duration::from_millis(5), next.as_mut()).await {
            return block;
        }
        assert!(Instant::now() < deadline, "blocks are left and none comes");
    }
    None
}

fn tokens(blocks: &[Block]) -> Vec<String> {
    blocks.iter().map(|block| block.token.clone()).collect()
}

#[test]
fn a_restart_finds_the_same_bytes_and_tokens() {
    let root = tempfile::tempdir().unwrap();
    let spool = open(root.path());
    for (token, pieces) in [("a", 3), ("b", 0), ("c", 7)] {
        begun(&spool, token, pieces).close().unwrap();
    }
    drop(spool);
    let (spool, backlog) = restart(root.path());
    assert!(spool.stats().scanned && spool.stats().recovered_blocks == 3 && spool.stats().recovered_rows == 10);
    let blocks = all(&backlog);
    assert_eq!(tokens(&blocks), ["a", "b", "c"]);
    assert_eq!(blocks[2].pieces, (0..7).map(piece).collect::<Vec<_>>());
    assert_eq!((blocks[2].rows, blocks[2].arrivals[6], &*blocks[2].statement), (7, (6, 1), "INSERT"));
    assert_eq!((spool.stats().files, spool.stats().octets), (0, 0));
    assert_eq!(directory::runs(root.path()).unwrap().len(), 1, "the old process's folder is gone");
}

#[test]
fn blocks_that_may_be_stored_already_are_sent_first() {
    let root = tempfile::tempdir().unwrap();
    let spool = open(root.path());
    for token in ["a", "b", "c"] {
        let mut kept = begun(&spool, token, 1).close().unwrap();
        if token == "c" {
            spool.mark_sent(&mut kept);
        }
    }
    drop(spool);
    assert_eq!(tokens(&all(&restart(root.path()).1)), ["c", "a", "b"]);
}

/// The assembler's own file, cut off as a crash would: what comes back is a whole stream of the rows encoded.
#[test]
fn a_block_that_was_being_filled_is_closed_as_it_stands() {
    for compression in [Compression::None, Compression::Lz4] {
        let root = tempfile::tempdir().unwrap();
        let spool = open(root.path());
        let limits = BlockLimits { rows: 1_000_000, octets: 1 << 30, compression };
        let mut assembler =
            Assembler::new("t".into(), limits, Arc::new(Names::new())).with_spool(Arc::clone(&spool), 100);
        let mut batch = FlowBatch::new();
        batch.fill(BYTES, 250, 7);
        batch.fill(RECEIVED_AT, 250, 1_700_000_000_000);
        batch.advance(250, ExporterId(0));
        batch.seal();
        assembler.append(&batch, |_, _| ()).unwrap();
        // The process is gone without a word.
        std::mem::forget(assembler);
        let path = directory::files(&spool.folder.path).unwrap().remove(0).path;
        release(spool);
        // A write that a signal cut short.
        let torn = [fs::read(&path).unwrap(), vec![2, 0, 1, 0, 0, 9, 9]].concat();
        fs::write(&path, torn).unwrap();

        let (_, backlog) = restart(root.path());
        let block = all(&backlog).remove(0);
        assert_eq!((block.rows, block.token.starts_with("helios-")), (200, true));
        if compression == Compression::None {
            let stream = block.pieces.concat();
            assert!(stream.ends_with(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]));
            let rows: usize =
                StreamReader::try_new(&stream[..], None).unwrap().map(|part| part.unwrap().num_rows()).sum();
            assert_eq!(rows, 200);
        }
    }
}

/// Lets a process's folder go although something still points to its spool.
fn release(spool: Arc<Spool>) {
    spool.folder.unlock().unwrap();
    drop(spool);
}

#[test]
fn an_open_block_without_a_whole_piece_is_none() {
    let root = tempfile::tempdir().unwrap();
    let spool = open(root.path());
    std::mem::forget(begun(&spool, "a", 0));
    release(spool);
    let (spool, backlog) = restart(root.path());
    assert_eq!((all(&backlog).len(), spool.stats().damaged_files, spool.stats().files), (0, 0, 0));
}

proptest! {
    /// Whatever happens to the octets of one file, the others come back as they were, and the file itself comes back
    /// as it was, shorter by whole pieces, or is set aside by name.
    #[test]
    fn damage_costs_only_its_own_block(
        victim in 0_usize..3,
        closed in any::<bool>(),
        at in any::<prop::sample::Index>(),
        flip in proptest::option::of(1_u8..),
    ) {
        let root = tempfile::tempdir().unwrap();
        let spool = open(root.path());
        for (n, token) in ["a", "b", "c"].into_iter().enumerate() {
            let file = begun(&spool, token, 4);
            if n == victim && !closed { std::mem::forget(file) } else { file.close().unwrap(); }
        }
        let path = directory::files(&spool.folder.path).unwrap().remove(victim).path;
        release(spool);
        let mut octets = fs::read(&path).unwrap();
        let at = at.index(octets.len());
        match flip {
            Some(bits) => octets[at] ^= bits,
            None => octets.truncate(at),
        }
        fs::write(&path, octets).unwrap();
        let good = Contents::read(&path).map_or(0, |contents| contents.sum.rows);

        let (spool, backlog) = restart(root.path());
        let blocks = all(&backlog);
        let others: Vec<&Block> = blocks.iter().filter(|block| block.token != ["a", "b", "c"][victim]).collect();
        prop_assert_eq!(others.len(), 2);
        for block in others {
            prop_assert_eq!(&block.pieces, &(0..4).map(piece).collect::<Vec<_>>());
        }
        let stats = spool.stats();
        let back = blocks.iter().find(|block| block.token == ["a", "b", "c"][victim]);
        match back {
            Some(block) => {
                prop_assert!(!closed, "a closed block that was damaged must not be sent");
                prop_assert_eq!(block.rows, good, "whole pieces before the damage are sent");
                let rows = block.rows as usize;
                prop_assert_eq!(&block.pieces[..rows], &(0..4).map(piece).collect::<Vec<_>>()[..rows]);
            }
            None if closed => prop_assert_eq!(stats.damaged_files, 1),
            None => prop_assert_eq!(good, 0),
        }
        if back.is_none() {
            // Cut before its first whole piece it held nothing; else it is named.
            prop_assert!(stats.damaged_files == 1 || flip.is_none() || at < 200);
        }
        prop_assert_eq!((stats.files, stats.octets), (0, 0));
        let accounts = backlog.ledgers().flows.snapshot();
        prop_assert_eq!((accounts.imbalance(), accounts.in_flight()), (0, 0));
    }

    /// Operations and crashes in any order: what comes back is what a map of tokens to rows says.
    #[test]
    fn the_spool_does_what_a_map_does(operations in prop::collection::vec((0_u8..6, any::<prop::sample::Index>()), 1..60)) {
        let root = tempfile::tempdir().unwrap();
        let mut spool = open(root.path());
        let mut model: BTreeMap<String, u64> = BTreeMap::new();
        let mut kept: BTreeMap<String, Kept> = BTreeMap::new();
        let mut half: Vec<(String, OpenFile, u64)> = Vec::new();
        for (n, (operation, which)) in operations.into_iter().enumerate() {
            let token = n.to_string();
            match operation {
                // A block is begun, and grows.
                0 => half.push((token.clone(), begun(&spool, &token, n as u32 % 4), n as u64 % 4)),
                // It is closed.
                1 if !half.is_empty() => {
                    let (token, file, rows) = half.remove(which.index(half.len()));
                    kept.insert(token.clone(), file.close().unwrap());
                    model.insert(token, rows);
                }
                // A kept block is sent, and stored.
                2 | 3 if !kept.is_empty() => {
                    let token = kept.keys().nth(which.index(kept.len())).unwrap().clone();
                    let of = kept.get_mut(&token).unwrap();
                    spool.mark_sent(of);
                    prop_assert_eq!(spool.load(of).unwrap().rows, model[&token]);
                    if operation == 3 {
                        spool.remove(of);
                        kept.remove(&token);
                        model.remove(&token);
                    }
                }
                // The process dies, and another one takes over.
                4 => {
                    for (token, file, rows) in half.drain(..) {
                        std::mem::forget(file);
                        if rows > 0 {
                            model.insert(token, rows);
                        }
                    }
                    release(spool);
                    let (next, backlog) = restart(root.path());
                    spool = next;
                    kept = found(&spool);
                    prop_assert_eq!(backlog.occupancy().kept_rows, model.values().sum::<u64>());
                    prop_assert_eq!(kept.keys().collect::<Vec<_>>(), model.keys().collect::<Vec<_>>());
                    prop_assert_eq!(spool.stats().files, model.len());
                }
                // A block that is begun does not come to anything.
                5 if !half.is_empty() => half.remove(which.index(half.len())).1.give_up(),
                _ => {}
            }
            let on_disk: u64 = directory::files(&spool.folder.path).unwrap().iter()
                .map(|file| fs::metadata(&file.path).unwrap().len()).sum();
            prop_assert_eq!(spool.stats().octets, on_disk);
        }
    }
}

/// What is in the folder of the process, by token.
fn found(spool: &Spool) -> BTreeMap<String, Kept> {
    let files = directory::files(&spool.folder.path).unwrap();
    let kept = files.into_iter().map(|file| {
        let octets = fs::metadata(&file.path).unwrap().len();
        let (head, _) = file::outline(&file.path).unwrap();
        (head.token, Kept { name: file.name, sent: file.kind == directory::SENT, octets })
    });
    kept.collect()
}

#[test]
fn a_disk_that_cannot_be_written_is_an_alarm_and_nothing_else() {
    let root = tempfile::tempdir().unwrap();
    let spool = open(root.path());
    let file = begun(&spool, "a", 1);
    // The folder goes away under the spool, as a file system does that is unmounted.
    fs::remove_dir_all(&spool.folder.path).unwrap();
    assert!(file.close().is_none());
    assert!(spool.begin(&head("b")).is_none());
    let stats = spool.stats();
    assert_eq!((stats.available, stats.write_failures, stats.files, stats.octets), (false, 2, 0, 0));
    assert!(stats.last_error.unwrap().starts_with("cannot begin a file: "));
    fs::create_dir(&spool.folder.path).unwrap();
    begun(&spool, "c", 1).close().unwrap();
    let stats = spool.stats();
    assert_eq!((stats.available, stats.last_error), (true, None), "it takes blocks again, and shows no old error");
}

#[test]
fn a_file_that_cannot_be_had_holds_up_none_behind_it() {
    let root = tempfile::tempdir().unwrap();
    let spool = open(root.path());
    for token in ["a", "b", "c"] {
        begun(&spool, token, 1).close().unwrap();
    }
    let first = directory::files(&spool.folder.path).unwrap().remove(0);
    release(spool);
    // Opening it fails, whoever tries, and not because of its octets.
    fs::remove_file(&first.path).unwrap();
    std::os::unix::fs::symlink(&first.path, &first.path).unwrap();
    let (spool, backlog) = restart(root.path());
    assert_eq!(tokens(&all(&backlog)), ["b", "c"]);
    let stats = spool.stats();
    assert!(stats.scanned && stats.damaged_files == 0 && stats.available, "{stats:?}");
    assert!(stats.last_error.unwrap().starts_with(&format!("cannot reach block {}: ", first.name)));
    // Once it can be had, it is.
    fs::remove_file(&first.path).unwrap();
    let other = begun(&spool, "d", 1).close().unwrap();
    fs::rename(spool.path_of(&other), &first.path).unwrap();
    look(&spool, &backlog);
    assert_eq!(tokens(&all(&backlog)), ["d"]);
}

#[test]
fn a_block_that_cannot_be_read_just_now_is_not_given_up() {
    let root = tempfile::tempdir().unwrap();
    let spool = open(root.path());
    begun(&spool, "a", 3).close().unwrap();
    drop(spool);
    let (spool, backlog) = restart(root.path());
    let path = directory::files(&spool.folder.path).unwrap().remove(0).path;
    let hidden = root.path().join("hidden");
    fs::rename(&path, &hidden).unwrap();
    std::os::unix::fs::symlink(&path, &path).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let block = runtime.block_on(async {
        let mut block = std::pin::pin!(backlog.next());
        let deadline = Instant::now() + Duration::from_secs(60);
        while spool.stats().last_error.is_none() {
            // Between two looks at what the spool says.
            assert!(tokio::time::timeout(Duration::from_millis(5), block.as_mut()).await.is_err());
            assert!(Instant::now() < deadline);
        }
        fs::remove_file(&path).unwrap();
        fs::rename(&hidden, &path).unwrap();
        tokio::time::timeout(Duration::from_secs(60), block).await.unwrap().unwrap()
    });
    assert_eq!((&*block.token, block.rows), ("a", 3));
    backlog.stored(&block);
    let (stats, accounts) = (spool.stats(), backlog.ledgers().flows.snapshot());
    assert_eq!((stats.files, stats.damaged_files, stats.aside_files), (0, 0, 0));
    assert_eq!((accounts.stored, accounts.dropped_total(), accounts.imbalance()), (3, 0, 0));
}

#[test]
fn a_file_that_cannot_be_removed_counts_and_is_removed_later() {
    let root = tempfile::tempdir().unwrap();
    let spool = open(root.path());
    let kept = begun(&spool, "a", 1).close().unwrap();
    // A folder cannot be removed as a file, whoever tries.
    let path = spool.path_of(&kept);
    let hidden = root.path().join("hidden");
    fs::rename(&path, &hidden).unwrap();
    fs::create_dir(&path).unwrap();
    spool.remove(&kept);
    spool.remove_left();
    let stats = spool.stats();
    assert_eq!((stats.files, stats.octets, stats.available), (1, kept.octets, false));
    fs::remove_dir(&path).unwrap();
    fs::rename(&hidden, &path).unwrap();
    spool.remove_left();
    assert!(!path.exists());
    assert_eq!((spool.stats().files, spool.stats().octets), (0, 0));
    spool.remove_left();
    assert_eq!(spool.stats().write_failures, 2);
}

#[test]
fn files_and_their_names_are_forced_onto_the_medium_as_configured() {
    for fsync in [Fsync::Block, Fsync::Interval, Fsync::Never] {
        let root = tempfile::tempdir().unwrap();
        let spool = Spool::open(&SpoolConfig { fsync, ..config() }, root.path()).unwrap();
        begun(&spool, "a", 1).close().unwrap();
        assert_eq!(spool.state().unsynced.len(), usize::from(fsync == Fsync::Interval), "{fsync:?}");
        spool.sync();
        assert!(spool.state().unsynced.is_empty(), "{fsync:?}");
        assert_eq!(spool.stats().write_failures, 0, "{fsync:?}");
    }
}

#[test]
fn a_file_that_is_removed_first_is_not_forced_onto_the_medium_but_its_removal_is() {
    let root = tempfile::tempdir().unwrap();
    let spool = Spool::open(&SpoolConfig { fsync: Fsync::Interval, ..config() }, root.path()).unwrap();
    let [first, _, _] = ["a", "b", "c"].map(|token| begun(&spool, token, 1).close().unwrap());
    spool.remove(&first);
    let unsynced = || spool.state().unsynced.iter().map(|(name, _)| Arc::clone(name)).collect::<Vec<_>>();
    assert!(unsynced().len() == 2 && !unsynced().contains(&first.name));
    spool.sync();
    spool.remove(&begun(&spool, "d", 1).close().unwrap());
    assert!(unsynced().is_empty() && spool.state().unsynced_folder);
    spool.sync();
    assert!(!spool.state().unsynced_folder);
}

#[test]
fn a_spool_is_full_by_octets_or_by_what_is_free() {
    let root = tempfile::tempdir().unwrap();
    let spool = Spool::open(&SpoolConfig { max_bytes: 1000, ..config() }, root.path()).unwrap();
    assert!(!spool.is_full(900) && spool.is_full(1001));
    let kept = begun(&spool, "a", 4).close().unwrap();
    assert!(spool.is_full(800) && spool.begin_if_room(&head("b")).is_some());
    spool.remove(&kept);
    let spool = Spool::open(&SpoolConfig { min_free_bytes: u64::MAX, ..config() }, root.path()).unwrap();
    assert!(spool.is_full(0) && spool.begin_if_room(&head("b")).is_none());
}

#[test]
fn a_folder_that_cannot_be_taken_over_holds_up_no_other_and_is_named_and_left() {
    let root = tempfile::tempdir().unwrap();
    let mut folders = Vec::new();
    for token in ["a", "b", "c"] {
        let spool = open(root.path());
        begun(&spool, token, 1).close().unwrap();
        folders.push(spool.folder.path.clone());
        release(spool);
    }
    // The lock of the first cannot be opened, whoever tries; the second holds what is not the spool's.
    fs::remove_file(folders[0].join("lock")).unwrap();
    fs::create_dir(folders[0].join("lock")).unwrap();
    fs::write(folders[1].join(".nfs000000000001"), "").unwrap();
    fs::create_dir(folders[1].join("lost+found")).unwrap();
    let (spool, backlog) = restart(root.path());
    let stats = spool.stats();
    assert!(stats.scanned && stats.available, "{stats:?}");
    // Folders that were made within one millisecond have no order.
    let mut found = tokens(&all(&backlog));
    found.sort();
    assert_eq!(found, ["b", "c"]);
    assert!(folders[0].exists() && folders[1].join("lost+found").exists() && !folders[2].exists());
    assert_eq!(spool.state().strange.len(), 2);
    // Once the first can be taken over, it is.
    fs::remove_dir(folders[0].join("lock")).unwrap();
    look(&spool, &backlog);
    assert_eq!(tokens(&all(&backlog)), ["a"]);
}

#[test]
fn a_file_of_a_newer_version_is_kept_and_named_as_such() {
    let root = tempfile::tempdir().unwrap();
    let spool = open(root.path());
    for token in ["a", "b", "c"] {
        begun(&spool, token, 1).close().unwrap();
    }
    let files = directory::files(&spool.folder.path).unwrap();
    release(spool);
    // Another version of the format, and a table that this version has not.
    let mut newer = fs::read(&files[0].path).unwrap();
    newer[7] = b'3';
    fs::write(&files[0].path, &newer).unwrap();
    let table = Head { statement: "INSERT".into(), ..head("b") }.encode();
    let table: Vec<u8> = table
        .windows(5)
        .position(|part| part == b"flows")
        .map(|at| [&table[..at], b"flaws", &table[at + 5..]].concat())
        .unwrap();
    let payload = &table[8 + 9..];
    let mut crc = crc32fast::Hasher::new();
    crc.update(&table[8..13]);
    crc.update(payload);
    let whole = [&table[..13], &crc.finalize().to_le_bytes(), payload].concat();
    let rest = fs::read(&files[1].path).unwrap()[whole.len()..].to_vec();
    fs::write(&files[1].path, [whole, rest].concat()).unwrap();

    let (spool, backlog) = restart(root.path());
    assert_eq!(tokens(&all(&backlog)), ["c"]);
    let stats = spool.stats();
    assert_eq!((stats.damaged_files, stats.aside_files, stats.available), (0, 0, true));
    assert!(stats.last_error.unwrap().ends_with("it is of a newer helios"));
    let listed = inspect::list(root.path()).unwrap();
    assert_eq!(listed.iter().map(|entry| entry.status).collect::<Vec<_>>(), [inspect::BlockState::Newer; 2]);
    assert_eq!(fs::read(&files[0].path).unwrap(), newer, "left as it was");
    // The version that knows it takes it up.
    newer[7] = b'1';
    fs::write(&files[0].path, &newer).unwrap();
    look(&spool, &backlog);
    assert_eq!(tokens(&all(&backlog)), ["a"]);
}

#[test]
fn files_and_folders_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("new/spool");
    let spool = open(&directory);
    let kept = begun(&spool, "a", 1).close().unwrap();
    let _open = begun(&spool, "b", 1);
    spool.set_aside(&kept, directory::REFUSED, "why");
    let mut folders = vec![directory];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700, "{}", folder.display());
        for entry in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap()) {
            seen += 1;
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
                assert_eq!(mode, 0o600, "{}", entry.path().display());
            }
        }
    }
    assert_eq!(seen, 7, "aside, retry, run, lock, an open block, a refused one and its note");
}

#[test]
fn a_file_system_that_does_not_answer_holds_up_nobody_who_asks_how_the_spool_is() {
    use std::sync::atomic::AtomicBool;
    use std::sync::mpsc;
    let root = tempfile::tempdir().unwrap();
    let hangs = Arc::new(AtomicBool::new(false));
    let (reached, hanging) = mpsc::channel::<()>();
    let (release, released) = mpsc::channel::<()>();
    let (flag, gate) = (Arc::clone(&hangs), Mutex::new((reached, released)));
    let free = move |_: &Path| {
        if flag.load(Ordering::SeqCst) {
            let gate = gate.lock().unwrap();
            gate.0.send(()).unwrap();
            gate.1.recv().unwrap();
        }
        Ok(u64::MAX)
    };
    let spool = Spool::open_on(&config(), root.path(), Box::new(free)).unwrap();
    let ledgers = Ledgers { flows: Arc::new(Ledger::new()), side: Arc::new(SideLedger::default()) };
    let backlog = Arc::new(Backlog::new(0, Some(Arc::clone(&spool)), ledgers));
    hangs.store(true, Ordering::SeqCst);
    spool.forget_free();
    let waiting = Arc::clone(&backlog);
    let thread = std::thread::spawn(move || waiting.make_room());
    hanging.recv().unwrap();
    // The call has not returned, and these do.
    assert!(spool.stats().available);
    assert_eq!(backlog.occupancy(), Occupancy::default());
    hangs.store(false, Ordering::SeqCst);
    release.send(()).unwrap();
    thread.join().unwrap();
}
