use super::*;
use crate::config::Compression;
use crate::spool::SpoolConfig;
use helios_common::ledger::Ledger;
use helios_common::side::SideLedger;

fn ledgers() -> Ledgers {
    Ledgers { flows: Arc::new(Ledger::new()), side: Arc::new(SideLedger::default()) }
}

fn block(octets: u64) -> Block {
    Block {
        table: Table::Flows,
        statement: "".into(),
        token: octets.to_string(),
        rows: 1,
        pieces: vec![vec![7; octets as usize].into()],
        octets,
        compression: Compression::None,
        arrivals: vec![(1, 1)],
        rollups: Vec::new(),
        kept: None,
    }
}

/// A backlog with the ledgers that show what it does, and a spool if there is a configuration of one.
fn backlog(max_octets: u64, spool: Option<(&std::path::Path, SpoolConfig)>) -> Backlog {
    let spool = spool.map(|(root, config)| Spool::open(&config, root).unwrap());
    Backlog::new(max_octets, spool, ledgers())
}

fn small() -> SpoolConfig {
    SpoolConfig { min_free_bytes: 0, ..SpoolConfig::default() }
}

/// What the block thread does with a closed block.
fn push(backlog: &Backlog, block: Block) {
    backlog.ledgers.flows.decoded(block.rows);
    backlog.ledgers.flows.moved(Stage::Collect, Stage::Block, block.rows);
    backlog.ledgers.closed(&block);
    backlog.push(block);
    assert_eq!(backlog.ledgers.flows.snapshot().imbalance(), 0);
}

fn dropped(backlog: &Backlog, reason: DropReason) -> u64 {
    backlog.ledgers.flows.snapshot().dropped.iter().map(|reasons| reasons[reason as usize]).sum()
}

#[tokio::test]
async fn the_oldest_waiting_block_makes_room() {
    let backlog = backlog(100, None);
    push(&backlog, block(40));
    push(&backlog, block(50));
    assert_eq!(dropped(&backlog, DropReason::BacklogFull), 0);
    push(&backlog, block(60));
    assert_eq!(dropped(&backlog, DropReason::BacklogFull), 2);
    assert_eq!(backlog.next().await.unwrap().octets, 60);
}

#[tokio::test]
async fn a_block_that_is_being_sent_is_not_dropped_and_still_counts() {
    let backlog = backlog(100, None);
    push(&backlog, block(90));
    let sending = backlog.next().await.unwrap();
    push(&backlog, block(30));
    assert_eq!(dropped(&backlog, DropReason::BacklogFull), 0, "the new block stays");
    push(&backlog, block(20));
    assert_eq!(dropped(&backlog, DropReason::BacklogFull), 1);
    assert_eq!((backlog.occupancy().blocks, backlog.occupancy().in_flight), (2, 1));
    backlog.stored(&sending);
    assert_eq!(backlog.occupancy(), Occupancy { blocks: 1, rows: 1, octets: 20, ..Occupancy::default() });
}

#[tokio::test]
async fn a_closed_backlog_is_emptied_before_every_waiter_is_told() {
    let backlog = backlog(100, None);
    push(&backlog, block(1));
    backlog.close();
    assert!(backlog.next().await.is_some());
    let (a, b) = tokio::join!(backlog.next(), backlog.next());
    assert!(a.is_none() && b.is_none());
}

#[tokio::test]
async fn with_a_spool_what_memory_cannot_hold_is_on_disk_and_comes_back_as_it_was() {
    let root = tempfile::tempdir().unwrap();
    let backlog = backlog(100, Some((root.path(), small())));
    for octets in [80, 70, 60] {
        push(&backlog, block(octets));
    }
    let occupancy = backlog.occupancy();
    assert_eq!((occupancy.blocks, occupancy.octets, occupancy.kept_blocks), (1, 60, 2));
    assert_eq!(backlog.ledgers.flows.snapshot().held(Stage::Spool), 2);
    let mut sizes = Vec::new();
    for _ in 0..3 {
        let taken = backlog.next().await.unwrap();
        assert_eq!(taken.pieces.concat(), vec![7; taken.octets as usize]);
        sizes.push(taken.octets);
        let taken = backlog.sending(taken);
        backlog.stored(&taken);
    }
    assert_eq!(sizes, [60, 80, 70], "fresh blocks go first, then the oldest kept one");
    assert_eq!(backlog.occupancy(), Occupancy::default());
    let accounts = backlog.ledgers.flows.snapshot();
    assert_eq!((accounts.stored, accounts.in_flight(), accounts.imbalance()), (3, 0, 0));
    assert_eq!(backlog.spool.as_ref().unwrap().stats().files, 0);
}

#[tokio::test]
async fn one_table_that_fails_stops_no_other() {
    let backlog = backlog(1000, None);
    push(&backlog, block(1));
    let failed = backlog.next().await.unwrap();
    backlog.put_back(failed, Pause::Lane(Duration::from_secs(3600)));
    let side = Table::Side(helios_common::side::SideTable::Exporters);
    backlog.push(Block { table: side, ..block(2) });
    assert_eq!(backlog.next().await.unwrap().table, side);
    // A table that is paused for a moment gets its block when the moment is over.
    backlog.put_back(
        Block { table: Table::Flows, ..block(3) }.taken_from(&backlog),
        Pause::Lane(Duration::from_millis(20)),
    );
    push(&backlog, block(4));
    let mut next = Vec::new();
    for _ in 0..3 {
        next.push(backlog.next().await.unwrap().octets);
    }
    assert_eq!(next, [1, 3, 4], "one has its turn before the one that failed last, and no more");
}

impl Block {
    /// As if an inserter had taken it.
    fn taken_from(self, backlog: &Backlog) -> Self {
        let mut state = backlog.state();
        state.occupancy.add(&self);
        state.occupancy.in_flight += 1;
        self
    }
}

#[tokio::test]
async fn a_refused_block_is_set_aside_and_can_be_sent_again_or_dropped() {
    let root = tempfile::tempdir().unwrap();
    let backlog = backlog(1000, Some((root.path(), small())));
    for octets in [10, 20] {
        push(&backlog, block(octets));
        let taken = backlog.next().await.unwrap();
        backlog.refused(taken, "Code: 691. no such enum");
    }
    let accounts = backlog.ledgers.flows.snapshot();
    assert_eq!((accounts.held(Stage::Aside), accounts.imbalance()), (2, 0));
    let aside = directory::files(&directory::aside(root.path())).unwrap();
    let note = std::fs::read_to_string(aside[0].path.with_extension(directory::NOTE)).unwrap();
    assert_eq!((aside.len(), aside[0].kind, note.as_str()), (2, directory::REFUSED, "Code: 691. no such enum"));
    let names = backlog.aside();
    backlog.given_up(&names[0], DropReason::Operator);
    assert_eq!(dropped(&backlog, DropReason::Operator), 1);
    let kept = crate::spool::Kept { name: Arc::clone(&names[1]), sent: false, octets: 1 };
    backlog.found(Stub { kept, table: Table::Flows, number: 0, rows: 1 }, &names[1]);
    let accounts = backlog.ledgers.flows.snapshot();
    assert_eq!((accounts.held(Stage::Aside), accounts.held(Stage::Spool), accounts.recovered), (0, 1, 0));
}

#[tokio::test]
async fn a_full_spool_gives_up_its_oldest_blocks_or_takes_no_new_one() {
    // Two blocks fit on the disk, and one more into memory where the newest has to go.
    for (when_full, left) in [(WhenFull::DropOldest, &[3, 4][..]), (WhenFull::DropNewest, &[1, 2, 3])] {
        let root = tempfile::tempdir().unwrap();
        // Room for a block and a half besides what is kept free for the one that is being filled.
        let config = SpoolConfig { max_bytes: ROOM + 1800, when_full, ..small() };
        let backlog = backlog(900, Some((root.path(), config)));
        if when_full == WhenFull::DropNewest {
            // Nothing makes room here: the spool may use what is kept free.
            let spool = backlog.spool.as_ref().unwrap();
            let filler = spool.write(&block(ROOM - 1000)).unwrap();
            assert!(!spool.is_full(1000) && filler.octets < ROOM);
        }
        for n in 1..=4 {
            push(&backlog, Block { rows: n, ..block(1000) });
        }
        let accounts = backlog.ledgers.flows.snapshot();
        let state = backlog.state();
        let mut rows: Vec<u64> = state.kept.values().map(|stub| stub.rows).collect();
        rows.extend(state.fresh.iter().map(|block| block.rows));
        assert_eq!(rows, left, "{when_full:?}: {accounts:?}");
        assert_eq!((accounts.in_flight() as u64, accounts.imbalance()), (left.iter().sum::<u64>(), 0));
        let lost: u64 = accounts.dropped.iter().map(|reasons| reasons[DropReason::SpoolFull as usize]).sum();
        assert_eq!(lost, 10 - left.iter().sum::<u64>());
    }
}

#[tokio::test]
async fn at_a_stop_what_clickhouse_does_not_take_stays_in_the_spool() {
    let root = tempfile::tempdir().unwrap();
    let config = SpoolConfig { policy: Policy::OnFailure, ..small() };
    let backlog = backlog(1000, Some((root.path(), config)));
    for octets in [10, 20, 30] {
        push(&backlog, block(octets));
    }
    assert_eq!(backlog.spool.as_ref().unwrap().stats().files, 0, "nothing has failed yet");
    let taken = backlog.next().await.unwrap();
    backlog.put_back(taken, Pause::Lane(Duration::from_secs(60)));
    assert_eq!(backlog.spool.as_ref().unwrap().stats().files, 3, "after a failure all that waits is written");
    backlog.close();
    backlog.abandon();
    assert!(backlog.next().await.is_none());
    let accounts = backlog.ledgers.flows.snapshot();
    assert_eq!((accounts.kept(), accounts.dropped_total(), accounts.imbalance()), (3, 0, 0));
}

#[tokio::test]
async fn a_table_is_busy_when_none_of_its_shards_would_send_another_block_and_no_other_table_counts() {
    let backlog = backlog(1000, None);
    backlog.set_shards(2);
    let of_shard = |shard: usize, table| {
        let token = |n: usize| format!("t-{n}");
        let token = (0..).map(token).find(|token| cluster::number(token) % 2 == shard).unwrap();
        Block { token, table, ..block(1) }
    };
    let counters = Table::Side(helios_common::side::SideTable::InterfaceCounters);
    let busy = |table| backlog.is_busy(table, 2);
    for _ in 0..3 {
        push(&backlog, of_shard(0, Table::Flows));
    }
    assert!(!busy(Table::Flows), "the other shard takes blocks");
    push(&backlog, of_shard(1, Table::Flows));
    push(&backlog, of_shard(1, Table::Flows));
    assert!(busy(Table::Flows) && !busy(counters));

    // Blocks on their way count like those that wait, until they are stored or put back to wait.
    let mut sending = Vec::new();
    for _ in 0..5 {
        sending.push(backlog.next().await.unwrap());
    }
    assert!(busy(Table::Flows));
    let stored = sending.iter().position(|block| cluster::number(&block.token) % 2 == 1).unwrap();
    backlog.stored(&sending.swap_remove(stored));
    assert!(!busy(Table::Flows));
    let back = sending.iter().position(|block| cluster::number(&block.token) % 2 == 1).unwrap();
    backlog.put_back(sending.swap_remove(back), Pause::Lane(Duration::from_secs(60)));
    assert!(!busy(Table::Flows), "one waits where two may be sent");
    push(&backlog, of_shard(1, Table::Flows));
    assert!(busy(Table::Flows));
}

#[tokio::test]
async fn a_shard_without_a_schema_gets_nothing_and_keeps_nobody_waiting() {
    let root = tempfile::tempdir().unwrap();
    let backlog = backlog(1000, Some((root.path(), small())));
    backlog.set_shards(2);
    backlog.hold([1]);
    for n in [1, 3, 2, 5] {
        push(&backlog, Block { token: n.to_string(), ..block(n) });
    }
    let first = backlog.next().await.unwrap();
    assert_eq!(first.token, "2", "the others are of the shard that is held");
    backlog.stored(&first);
    backlog.release(1);
    let second = backlog.next().await.unwrap();
    assert_eq!((&*second.token, backlog.held_shards().len()), ("1", 0));
    backlog.stored(&second);
    backlog.hold([1]);
    // A stop does not wait for a shard that is not there.
    backlog.close();
    assert!(backlog.next().await.is_none());
    let accounts = backlog.ledgers.flows.snapshot();
    assert_eq!((accounts.stored, accounts.kept(), accounts.imbalance()), (2, 2, 0));
}

#[tokio::test]
async fn a_block_that_fails_lets_others_of_its_table_go_first() {
    let backlog = backlog(1000, None);
    push(&backlog, block(1));
    push(&backlog, block(2));
    let failing = backlog.next().await.unwrap();
    backlog.put_back(failing, Pause::Lane(Duration::ZERO));
    let other = backlog.next().await.unwrap();
    assert_eq!(other.octets, 2, "one connection is enough for those behind a block that fails");
    backlog.stored(&other);
    assert_eq!(backlog.next().await.unwrap().octets, 1);
}

#[tokio::test]
async fn where_nothing_can_be_removed_no_block_is_given_up_for_room() {
    let root = tempfile::tempdir().unwrap();
    let config = SpoolConfig { max_bytes: ROOM + 1800, ..small() };
    let backlog = backlog(900, Some((root.path(), config)));
    push(&backlog, block(1000));
    push(&backlog, block(700));
    let spool = backlog.spool.as_ref().unwrap();
    let kept = backlog.state().oldest_kept().unwrap().1.kept;
    let run = std::fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().path());
    let path =
        run.map(|run| run.join(format!("{}.{}", kept.name, directory::BLOCK))).find(|path| path.exists()).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(spool.is_full(ROOM));
    backlog.make_room();
    assert_eq!((dropped(&backlog, DropReason::SpoolFull), backlog.occupancy().kept_blocks), (0, 1));
    assert!(!spool.stats().available, "an alarm");
}

#[tokio::test]
async fn a_block_refused_for_the_configuration_waits_alone_until_the_next_one_is_refused_as_well() {
    let backlog = backlog(1000, None);
    let hour = Pause::Block(Duration::from_secs(3600));
    for octets in [1, 2, 3] {
        push(&backlog, block(octets));
    }
    let first = backlog.next().await.unwrap();
    backlog.put_back(first, hour);
    assert!(!backlog.is_busy(Table::Flows, 3), "two wait for three connections: the one that rests takes none");
    let second = backlog.next().await.unwrap();
    assert_eq!(second.octets, 2, "fresh blocks of the table go on");
    backlog.stored(&second);
    // After a success the next refusal is a first one again.
    let third = backlog.next().await.unwrap();
    backlog.put_back(third, hour);
    push(&backlog, block(4));
    let fourth = backlog.next().await.unwrap();
    assert_eq!(fourth.octets, 4);
    backlog.put_back(fourth, hour);
    push(&backlog, block(5));
    let waits = tokio::time::timeout(Duration::from_millis(20), backlog.next()).await;
    assert!(waits.is_err(), "two in a row: it is the table");
    backlog.resume(0);
    let mut next = Vec::new();
    for _ in 0..4 {
        next.push(backlog.next().await.unwrap().octets);
    }
    next.sort_unstable();
    assert_eq!(next, [1, 3, 4, 5], "what was mended lets all of them go at once");
}

#[tokio::test]
async fn two_inserts_that_fail_together_write_their_blocks_once() {
    for _ in 0..20 {
        let root = tempfile::tempdir().unwrap();
        let config = SpoolConfig { policy: Policy::OnFailure, ..small() };
        let backlog = Arc::new(backlog(1 << 20, Some((root.path(), config))));
        for octets in 1..=8 {
            push(&backlog, block(octets));
        }
        let mut taken = Vec::new();
        for _ in 0..4 {
            taken.push(backlog.next().await.unwrap());
        }
        let fails = |block| {
            let backlog = Arc::clone(&backlog);
            std::thread::spawn(move || backlog.put_back(block, Pause::Lane(Duration::from_secs(60))))
        };
        let failing: Vec<_> = taken.into_iter().map(fails).collect();
        failing.into_iter().for_each(|thread| thread.join().unwrap());
        backlog.write_waiting();
        let run = std::fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().path());
        let run = run.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("run-"));
        let files: usize = run.map(|run| directory::files(&run).unwrap().len()).sum();
        assert_eq!((files, backlog.spool.as_ref().unwrap().stats().files), (8, 8));
        assert!(backlog.state().fresh.iter().all(|block| block.kept.is_some()));
    }
}

#[tokio::test]
async fn a_block_that_is_sent_again_by_hand_is_not_given_up_for_newer_ones() {
    let root = tempfile::tempdir().unwrap();
    let config = SpoolConfig { max_bytes: ROOM + 3000, ..small() };
    let backlog = backlog(900, Some((root.path(), config)));
    let spool = Arc::clone(backlog.spool.as_ref().unwrap());
    push(&backlog, block(1000));
    push(&backlog, block(1001));
    let taken = backlog.next().await.unwrap();
    backlog.refused(taken, "Code: 691.");
    for entry in crate::spool::inspect::list(root.path()).unwrap().iter().filter(|entry| entry.retriable().is_ok()) {
        entry.retry(root.path()).unwrap();
    }
    let backlog = Arc::new(backlog);
    let scanner = crate::spool::Scanner { spool, backlog: Arc::clone(&backlog), stop: Arc::default() };
    scanner.look().unwrap();
    assert_eq!(backlog.n_again(), 1);
    for octets in 1100..1110 {
        push(&backlog, block(octets));
    }
    assert!(dropped(&backlog, DropReason::SpoolFull) > 0, "the others made room");
    assert_eq!(backlog.n_again(), 1);
    let accounts = backlog.ledgers.flows.snapshot();
    assert_eq!((accounts.held(Stage::Aside), accounts.imbalance()), (0, 0));
}

#[tokio::test]
async fn what_is_set_aside_has_a_limit() {
    for (when_full, reason) in
        [(WhenFull::DropOldest, DropReason::SpoolFull), (WhenFull::DropNewest, DropReason::Refused)]
    {
        let root = tempfile::tempdir().unwrap();
        let config = SpoolConfig { max_aside_bytes: 3000, when_full, ..small() };
        let backlog = backlog(1 << 20, Some((root.path(), config)));
        for octets in 1001..=1004 {
            push(&backlog, block(octets));
            let taken = backlog.next().await.unwrap();
            backlog.refused(taken, "Code: 691.");
        }
        let aside = directory::files(&directory::aside(root.path())).unwrap();
        let octets: u64 = aside.iter().map(|file| std::fs::metadata(&file.path).unwrap().len()).sum();
        let stats = backlog.spool.as_ref().unwrap().stats();
        assert_eq!((stats.aside_files, stats.aside_octets), (2, octets), "{when_full:?}");
        assert!(octets <= 3000);
        assert_eq!(dropped(&backlog, reason), 2, "{when_full:?}");
        let accounts = backlog.ledgers.flows.snapshot();
        assert_eq!((accounts.held(Stage::Aside), accounts.imbalance(), stats.files), (2, 0, 0), "{when_full:?}");
    }
}

#[tokio::test]
async fn a_disk_that_others_fill_costs_no_block_and_what_lost_its_file_is_written_again() {
    let root = tempfile::tempdir().unwrap();
    let config = SpoolConfig { min_free_bytes: 1 << 30, ..SpoolConfig::default() };
    let free = Arc::new(std::sync::atomic::AtomicU64::new(2 << 30));
    let disk = Arc::clone(&free);
    let spool =
        Spool::open_on(&config, root.path(), Box::new(move |_| Ok(disk.load(std::sync::atomic::Ordering::SeqCst))))
            .unwrap();
    let backlog = Backlog::new(3000, Some(Arc::clone(&spool)), ledgers());
    for octets in [1000, 1001, 1002, 1003] {
        push(&backlog, block(octets));
    }
    assert_eq!((spool.stats().files, spool.stats().available), (4, true));
    // Another program takes the rest: the files of the spool are nothing against what is missing.
    free.store(1 << 20, std::sync::atomic::Ordering::SeqCst);
    spool.forget_free();
    push(&backlog, block(1004));
    push(&backlog, block(1005));
    let stats = spool.stats();
    assert_eq!((stats.files, stats.available), (4, false), "nothing is given up");
    assert!(stats.last_error.unwrap().contains("clickhouse.spool.min_free_bytes"));
    // Two wait in memory; a third one does not fit, and the disk is to blame.
    push(&backlog, block(1006));
    assert_eq!((dropped(&backlog, DropReason::SpoolUnavailable), dropped(&backlog, DropReason::SpoolFull)), (1, 0));
    free.store(2 << 30, std::sync::atomic::Ordering::SeqCst);
    spool.forget_free();
    spool.look_for_room();
    backlog.write_waiting();
    assert!(spool.stats().available);
    assert_eq!(spool.stats().files, 6, "what waits in memory is safe again");
    assert_eq!(backlog.ledgers.flows.snapshot().imbalance(), 0);
}

#[tokio::test]
async fn blocks_are_not_given_up_one_after_the_other_where_that_frees_nothing() {
    let root = tempfile::tempdir().unwrap();
    let config = SpoolConfig { min_free_bytes: ROOM, ..SpoolConfig::default() };
    let free = Arc::new(std::sync::atomic::AtomicU64::new(1 << 40));
    let disk = Arc::clone(&free);
    let spool =
        Spool::open_on(&config, root.path(), Box::new(move |_| Ok(disk.load(std::sync::atomic::Ordering::SeqCst))))
            .unwrap();
    let backlog = Backlog::new(0, Some(Arc::clone(&spool)), ledgers());
    for octets in 3000..3010 {
        push(&backlog, block(octets));
    }
    // Little is missing, but whatever becomes free somebody else takes.
    free.store(2 * ROOM - 10_000, std::sync::atomic::Ordering::SeqCst);
    spool.forget_free();
    for _ in 0..5 {
        backlog.make_room();
    }
    assert_eq!(dropped(&backlog, DropReason::SpoolFull), 1, "one shows that it does not help");
}
