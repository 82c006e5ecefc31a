//! Closed blocks between the block threads and the inserters.
//!
//! Blocks wait in memory up to a number of octets. With a spool, what does not fit is in its file only ("kept") and
//! read again when its turn comes; without one, the oldest block goes, counted. Everything that becomes of a closed
//! block is booked here, under the lock under which it happens where that matters: the ledger balances at every moment.
//!
//! What goes to one table of one shard is a lane. A lane whose insert failed is paused, the others go on: a missing table
//! or a shard that is away does not stop the other tables and shards. A block that was refused for the configuration
//! waits alone; its lane is paused only if the next block of it is refused as well.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use helios_common::ledger::{DropReason, Stage};
use tokio::sync::Notify;

use crate::block::Block;
use crate::cluster;
use crate::ledgers::Ledgers;
use crate::schema::Table;
use crate::spool::file::FileError;
use crate::spool::{Kept, Policy, ReplayOrder, Room, Spool, Stub, WhenFull, directory};

/// Room that is made in the spool before it is needed: more than the chunk of a block that is being filled.
const ROOM: u64 = 16 << 20;

/// A kept block that cannot be read for want of descriptors or memory is tried again after so long.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// What waits and what is being sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// In memory, as the rows and octets below.
    pub blocks: usize,
    /// Rows of flows and of side tables.
    pub rows: u64,
    /// Compressed, rollups included: what `max_backlog_bytes` limits.
    pub octets: u64,
    /// Of these, blocks that an inserter has taken.
    pub in_flight: usize,
    /// Of these, blocks that the spool alone had held.
    pub replaying: usize,
    /// In the spool only.
    pub kept_blocks: usize,
    /// Rows of these blocks.
    pub kept_rows: u64,
}

/// A table of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lane {
    /// Where the rows go.
    pub table: Table,
    /// Counts from 0, in the order of [`Cluster`](crate::cluster::Cluster).
    pub shard: usize,
}

/// Whether a kept block was never sent, and its name. Those that may be stored already come first, since ClickHouse remembers their tokens
/// for a limited number of blocks only.
type Turn = (bool, Arc<str>);

#[derive(Debug, Default)]
struct State {
    fresh: VecDeque<Block>,
    kept: BTreeMap<Turn, Stub>,
    /// Names of kept blocks that are being sent.
    replaying: HashSet<Arc<str>>,
    /// How many others of each lane are being sent.
    sending: HashMap<Lane, usize>,
    /// Table and rows of blocks that this process has set aside.
    aside: HashMap<Arc<str>, (Table, u64)>,
    paused: HashMap<Lane, Instant>,
    /// Tokens of blocks that wait by themselves, and until when.
    resting: HashMap<String, Instant>,
    /// Token of each lane's block that was refused last for the configuration, since the lane's last success.
    misconfigured: HashMap<Lane, String>,
    /// Token of each lane's block that failed last: another one has its turn before it.
    failed: HashMap<Lane, String>,
    /// Tokens of blocks in `fresh` that are being written to the spool.
    writing: HashSet<String>,
    /// Shards without a schema yet: nothing goes there.
    held: BTreeSet<usize>,
    /// Reading kept blocks failed for want of something: none is read before then.
    unreadable_until: Option<Instant>,
    /// Shards of the cluster; 0 while they are not known, which is as one.
    shards: usize,
    occupancy: Occupancy,
    /// The latest attempt failed.
    failing: bool,
    closed: bool,
}

/// What waits for ClickHouse, in memory and in the spool.
#[derive(Debug)]
pub struct Backlog {
    state: Mutex<State>,
    changed: Notify,
    max_octets: u64,
    spool: Option<Arc<Spool>>,
    ledgers: Ledgers,
}

impl Backlog {
    pub(crate) fn new(max_octets: u64, spool: Option<Arc<Spool>>, ledgers: Ledgers) -> Self {
        Self { state: Mutex::default(), changed: Notify::new(), max_octets, spool, ledgers }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Where the rows of blocks are entered.
    pub fn ledgers(&self) -> &Ledgers {
        &self.ledgers
    }

    pub(crate) fn occupancy(&self) -> Occupancy {
        self.state().occupancy
    }

    /// The cluster has so many shards.
    pub fn set_shards(&self, shards: usize) {
        self.state().shards = shards;
    }

    /// Nothing goes to these shards before they are [released](Self::release).
    pub fn hold(&self, shards: impl IntoIterator<Item = usize>) {
        self.state().held = shards.into_iter().collect();
    }

    /// Nothing goes to the shard before it is [released](Self::release), whatever the others do. Blocks that are on their
    /// way are waited for.
    pub async fn hold_also(&self, shard: usize) {
        self.state().held.insert(shard);
        while self.occupancy().in_flight > 0 {
            // What is changed by the end of an attempt wakes this up; other blocks may have taken the notice.
            let _ = tokio::time::timeout(Duration::from_millis(50), self.changed.notified()).await;
        }
    }

    pub(crate) fn held_shards(&self) -> Vec<usize> {
        self.state().held.iter().copied().collect()
    }

    /// The shard takes blocks.
    pub fn release(&self, shard: usize) {
        self.state().held.remove(&shard);
        self.changed.notify_waiters();
    }

    /// Whether another block of the table would only wait: every lane has as many blocks as can be `sent` at a
    /// time. Neither a shard that is away nor another table blocks the others.
    pub fn is_busy(&self, table: Table, sent: usize) -> bool {
        let state = self.state();
        let counts = |block: &&Block| !state.resting.contains_key(&block.token);
        let waiting = |lane| state.fresh.iter().filter(counts).filter(|block| state.lane(block) == lane).count();
        (0..state.shards.max(1)).map(|shard| Lane { table, shard }).all(|lane| {
            let sending = state.sending.get(&lane).copied().unwrap_or(0);
            sending >= sent || sending + waiting(lane) >= sent
        })
    }

    /// Where a block goes.
    pub fn lane(&self, block: &Block) -> Lane {
        self.state().lane(block)
    }

    /// Adds a block. It goes to the spool if it is not there yet and the policy wants it there.
    pub fn push(&self, mut block: Block) {
        if let Some(spool) = self.spool.as_ref().filter(|_| block.kept.is_none()) {
            let policy = spool.config.policy;
            if policy == Policy::Always || policy == Policy::OnFailure && self.state().failing {
                block.kept = self.write(spool, &block);
            }
        }
        let mut state = self.state();
        state.occupancy.add(&block);
        state.fresh.push_back(block);
        drop(state);
        self.changed.notify_one();
        self.shrink();
    }

    /// Puts a block that could not be sent back to the front, and leaves it or its lane alone for a while.
    pub fn put_back(&self, block: Block, pause: Pause) {
        let mut state = self.state();
        state.failing = true;
        let lane = state.lane(&block);
        match pause {
            Pause::Lane(pause) => _ = state.paused.insert(lane, Instant::now() + pause),
            Pause::Block(pause) => {
                let until = Instant::now() + pause;
                state.resting.insert(block.token.clone(), until);
                let before = state.misconfigured.insert(lane, block.token.clone());
                if before.is_some_and(|token| token != block.token) {
                    state.paused.insert(lane, until);
                }
            }
        }
        state.failed.insert(lane, block.token.clone());
        state.end_sending(&block);
        state.fresh.push_front(block);
        let closed = state.closed;
        drop(state);
        if closed {
            self.leave_kept();
        } else {
            self.write_waiting();
            self.shrink();
        }
        self.changed.notify_one();
    }

    /// Lanes of the shard and blocks that were refused for the configuration may go at once: it was mended.
    pub fn resume(&self, shard: usize) {
        let mut state = self.state();
        state.held.remove(&shard);
        state.paused.retain(|lane, _| lane.shard != shard);
        state.resting.clear();
        state.misconfigured.clear();
        drop(state);
        self.changed.notify_waiters();
    }

    /// A block as ClickHouse should get it next; `None` when the backlog is closed and nothing waits in memory.
    pub async fn next(&self) -> Option<Block> {
        loop {
            let changed = self.changed.notified();
            let picked = self.state().pick(self.spool.as_deref());
            let resume = match picked {
                Pick::Fresh(block) => return Some(*block),
                Pick::Kept(stub) => {
                    if let Some(block) = self.load(stub).await {
                        return Some(block);
                    }
                    continue;
                }
                Pick::Nothing => None,
                Pick::Paused(until) => Some(until),
                Pick::End => return None,
            };
            match resume {
                Some(until) => {
                    // Whether it was the time or a change: the next look tells.
                    let _ = tokio::time::timeout_at(until.into(), changed).await;
                }
                None => changed.await,
            }
        }
    }

    /// Reads a kept block; `None` if its file is damaged, which is then set aside, or cannot be read just now.
    async fn load(&self, stub: Stub) -> Option<Block> {
        let spool = self.spool.clone()?;
        let kept = stub.kept.clone();
        let loaded = tokio::task::spawn_blocking(move || {
            let loaded = spool.load(&kept);
            match &loaded {
                Err(error) if error.may_pass() => spool.cannot_reach(&kept.name, error),
                Err(error) => spool.set_aside(&kept, directory::DAMAGED, &error.to_string()),
                Ok(_) => {}
            }
            loaded
        });
        let loaded = loaded.await.unwrap_or(Err(FileError::Damaged("it could not be read")));
        let mut state = self.state();
        match loaded {
            Ok(block) => {
                self.ledgers.moved(block.table, Stage::Spool, Stage::Insert, block.rows);
                state.occupancy.add(&block);
                state.occupancy.in_flight += 1;
                Some(block)
            }
            Err(error) => {
                state.replaying.remove(&stub.kept.name);
                state.occupancy.replaying = state.replaying.len();
                if error.may_pass() {
                    state.unreadable_until = Some(Instant::now() + READ_AGAIN);
                    state.keep(stub);
                    return None;
                }
                drop(state);
                self.ledgers.dropped(stub.table, Stage::Spool, DropReason::Damaged, stub.rows);
                None
            }
        }
    }

    /// An attempt with a block begins.
    pub fn sending(&self, mut block: Block) -> Block {
        if let (Some(spool), Some(kept)) = (&self.spool, &mut block.kept) {
            spool.mark_sent(kept);
        }
        block
    }

    /// ClickHouse has acknowledged a block.
    pub fn stored(&self, block: &Block) {
        let mut state = self.state();
        state.failing = false;
        let lane = state.lane(block);
        state.paused.remove(&lane);
        state.misconfigured.remove(&lane);
        state.end_sending(block);
        state.occupancy.remove(block);
        drop(state);
        self.ledgers.stored(block);
        if let Some(spool) = &self.spool {
            spool.remove_stump(&block.token);
            if let Some(kept) = &block.kept {
                spool.remove(kept);
            }
        }
        // What was paused, or waited for a replay to end, may go.
        self.changed.notify_one();
    }

    /// ClickHouse will never take a block: it is set aside, or dropped where there is no spool or no room for it.
    pub fn refused(&self, mut block: Block, message: &str) {
        if let Some(spool) = &self.spool {
            self.set_aside(spool, &mut block, message);
        }
        let mut state = self.state();
        state.end_sending(&block);
        state.occupancy.remove(&block);
        match &block.kept {
            Some(kept) => {
                self.ledgers.moved(block.table, Stage::Insert, Stage::Aside, block.rows);
                state.aside.insert(Arc::clone(&kept.name), (block.table, block.rows));
            }
            None => self.ledgers.dropped(block.table, Stage::Insert, DropReason::Refused, block.rows),
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Sets a block's file aside; afterwards the block has none if there is no room for it.
    fn set_aside(&self, spool: &Arc<Spool>, block: &mut Block, message: &str) {
        if spool.config.when_full == WhenFull::DropOldest {
            for gone in spool.make_room_aside(block.octets) {
                self.given_up(&gone, DropReason::SpoolFull);
            }
        }
        let room = spool.has_room_aside(block.octets);
        match block.kept.take_if(|_| !room) {
            Some(kept) => _ = spool.remove(&kept),
            None if room && block.kept.is_none() => block.kept = spool.write(block),
            None => {}
        }
        spool.remove_stump(&block.token);
        if let Some(kept) = &block.kept {
            spool.set_aside(kept, directory::REFUSED, message);
        }
    }

    /// A block that waits in the spool: of an earlier process, or one that somebody wants sent again, which was set aside
    /// under the name `known`.
    pub fn found(&self, stub: Stub, known: &str) {
        let mut state = self.state();
        match state.aside.remove(known) {
            Some((table, rows)) => self.ledgers.moved(table, Stage::Aside, Stage::Spool, rows),
            None => self.ledgers.recovered(stub.table, stub.rows),
        }
        state.keep(stub);
        drop(state);
        self.changed.notify_one();
    }

    /// Blocks in the spool that somebody wants sent again.
    pub fn n_again(&self) -> usize {
        let state = self.state();
        let waiting = state.kept.values().map(|stub| &stub.kept.name);
        waiting.chain(&state.replaying).filter(|name| directory::is_again(name)).count()
    }

    /// Names of what this process has set aside.
    pub fn aside(&self) -> Vec<Arc<str>> {
        self.state().aside.keys().cloned().collect()
    }

    /// A block that was set aside is gone.
    pub fn given_up(&self, name: &str, reason: DropReason) {
        if let Some((table, rows)) = self.state().aside.remove(name) {
            self.ledgers.dropped(table, Stage::Aside, reason, rows);
        }
    }

    /// Makes room in a full spool as configured, where removing files makes any.
    pub fn make_room(&self) {
        let Some(spool) = self.spool.as_ref().filter(|spool| spool.config.when_full == WhenFull::DropOldest) else {
            return;
        };
        let mut lacked = u64::MAX;
        loop {
            match spool.room(ROOM) {
                Room::Enough => return,
                Room::OwnLimit => {}
                Room::Disk { missing } if !spool.can_free(missing) => return,
                Room::Disk { missing } if missing >= lacked => return spool.removing_was_futile(),
                Room::Disk { missing } => lacked = missing,
            }
            if !self.give_up_oldest(spool) {
                return;
            }
        }
    }

    /// Removes the file of the oldest block that is only in the spool, or else of one that is in memory as well. `false`
    /// if there is none that can be removed.
    fn give_up_oldest(&self, spool: &Spool) -> bool {
        let mut state = self.state();
        if let Some((_, stub)) = state.oldest_kept() {
            state.forget_kept(&stub);
            drop(state);
            if !spool.try_remove(&stub.kept) {
                // To give up more would make no more room: the block stays where it is.
                self.state().keep(stub);
                return false;
            }
            self.ledgers.dropped(stub.table, Stage::Spool, DropReason::SpoolFull, stub.rows);
            return true;
        }
        // The rows stay in memory, and are written again when there is room: only a crash would lose them now.
        let kept = state.fresh.iter_mut().find_map(|block| block.kept.take_if(|kept| !directory::is_again(&kept.name)));
        drop(state);
        kept.is_some_and(|kept| spool.remove(&kept))
    }

    /// No more blocks will come. Kept ones stay for the next process: those that are in the spool only, and those of
    /// shards that take nothing now.
    pub fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let now = Instant::now();
        let (stay, go): (VecDeque<Block>, _) = std::mem::take(&mut state.fresh)
            .into_iter()
            .partition(|block| block.kept.is_some() && !state.may_go(block, now));
        state.fresh = go;
        stay.into_iter().for_each(|block| self.unload(&mut state, block));
        drop(state);
        self.changed.notify_waiters();
    }

    /// Nothing can be sent before the process ends: kept blocks stay for the next one. Whether no other is left.
    pub fn leave_all(&self) -> bool {
        self.leave_kept();
        let occupancy = self.occupancy();
        occupancy.blocks == 0
    }

    /// Ends the waiting in memory: what can be kept stays in the spool, the rest is given up.
    pub fn abandon(&self) {
        loop {
            let Some(block) = self.state().fresh.pop_front() else { break };
            self.leave(block);
        }
        self.changed.notify_waiters();
    }

    /// Takes back a block that was not sent to its end, for good.
    pub fn give_up(&self, block: Block) {
        self.state().end_sending(&block);
        self.leave(block);
    }

    /// A block leaves memory without having been stored.
    fn leave(&self, mut block: Block) {
        if let Some(spool) = self.spool.as_ref().filter(|_| block.kept.is_none()) {
            block.kept = self.write(spool, &block);
        }
        let mut state = self.state();
        match &block.kept {
            Some(_) => self.unload(&mut state, block),
            None => {
                state.occupancy.remove(&block);
                self.ledgers.dropped(block.table, Stage::Insert, DropReason::Shutdown, block.rows);
            }
        }
    }

    /// At a stop, blocks that are safe do not wait for a ClickHouse that does not take them.
    fn leave_kept(&self) {
        let mut state = self.state();
        let (kept, bare) = std::mem::take(&mut state.fresh).into_iter().partition(|block| block.kept.is_some());
        state.fresh = bare;
        let kept: VecDeque<Block> = kept;
        kept.into_iter().for_each(|block| self.unload(&mut state, block));
    }

    fn unload(&self, state: &mut State, block: Block) {
        let Some(kept) = block.kept.clone() else { return };
        state.occupancy.remove(&block);
        self.ledgers.moved(block.table, Stage::Insert, Stage::Spool, block.rows);
        state.keep(Stub { kept, table: block.table, number: cluster::number(&block.token), rows: block.rows });
    }

    fn write(&self, spool: &Arc<Spool>, block: &Block) -> Option<Kept> {
        self.make_room();
        spool.write_if_room(block)
    }

    /// Writes what waits in memory only, if it is to be in the spool: with policy `on-failure` once ClickHouse has failed,
    /// with `always` when there is room again. Nothing is given up for it.
    pub fn write_waiting(&self) {
        let Some(spool) = &self.spool else { return };
        while let Some(bare) = self.claim_bare(spool) {
            let kept = if spool.is_full(bare.octets + ROOM) {
                self.write_on_failure(spool, &bare)
            } else {
                spool.write(&bare)
            };
            let failed = kept.is_none();
            let mut state = self.state();
            state.writing.remove(&bare.token);
            let block = state.fresh.iter_mut().find(|block| block.token == bare.token && block.kept.is_none());
            let unwanted = match block {
                Some(block) => {
                    block.kept = kept;
                    None
                }
                // An inserter took it meanwhile and knows nothing of the file, or `shrink` has written one.
                None => kept,
            };
            drop(state);
            if let Some(kept) = unwanted {
                spool.remove(&kept);
            }
            if failed {
                return;
            }
        }
    }

    /// What fails for the first time makes room for itself as a new block does.
    fn write_on_failure(&self, spool: &Arc<Spool>, bare: &Block) -> Option<Kept> {
        if spool.config.policy == Policy::OnFailure { self.write(spool, bare) } else { None }
    }

    /// Claims a block that is in memory only, to write it. No other thread writes it until this is done.
    fn claim_bare(&self, spool: &Spool) -> Option<Block> {
        let mut state = self.state();
        let wanted = spool.config.policy == Policy::Always || spool.config.policy == Policy::OnFailure && state.failing;
        if !wanted || state.closed {
            return None;
        }
        let bare = |block: &&Block| block.kept.is_none() && !state.writing.contains(&block.token);
        let bare = state.fresh.iter().find(bare).cloned()?;
        state.writing.insert(bare.token.clone());
        Some(bare)
    }

    /// Brings memory back to its limit.
    fn shrink(&self) {
        loop {
            let mut state = self.state();
            if state.occupancy.octets <= self.max_octets {
                return;
            }
            if let Some(at) = state.fresh.iter().position(|block| block.kept.is_some()) {
                let Some(block) = state.fresh.remove(at) else { return };
                self.unload(&mut state, block);
                continue;
            }
            // The newest block alone may be more than the limit.
            if state.fresh.len() < 2 {
                return;
            }
            let newest_goes = self.spool.as_ref().is_some_and(|spool| spool.config.when_full == WhenFull::DropNewest);
            let oldest = state.fresh.pop_front();
            drop(state);
            let Some(mut oldest) = oldest else { return };
            if let Some(spool) = &self.spool {
                oldest.kept = self.write(spool, &oldest);
            }
            let mut state = self.state();
            if oldest.kept.is_some() {
                self.unload(&mut state, oldest);
                continue;
            }
            let victim = if newest_goes {
                state.fresh.push_front(oldest);
                state.fresh.pop_back()
            } else {
                Some(oldest)
            };
            let Some(victim) = victim else { return };
            state.occupancy.remove(&victim);
            drop(state);
            let reason = match self.spool.as_ref().map(|spool| spool.room(victim.octets)) {
                None => DropReason::BacklogFull,
                Some(Room::OwnLimit) => DropReason::SpoolFull,
                Some(Room::Enough | Room::Disk { .. }) => DropReason::SpoolUnavailable,
            };
            self.ledgers.dropped(victim.table, Stage::Insert, reason, victim.rows);
        }
    }
}

/// What is left alone after a failure, and for how long.
#[derive(Debug, Clone, Copy)]
pub enum Pause {
    /// Everything of the block's table and shard.
    Lane(Duration),
    /// The block, and its lane only if the block before it was refused as well.
    Block(Duration),
}

/// What there is to do.
enum Pick {
    Fresh(Box<Block>),
    Kept(Stub),
    Nothing,
    /// All that waits is of lanes that are left alone until then.
    Paused(Instant),
    End,
}

impl State {
    fn lane(&self, block: &Block) -> Lane {
        self.lane_of(block.table, cluster::number(&block.token))
    }

    fn lane_of(&self, table: Table, number: usize) -> Lane {
        Lane { table, shard: number % self.shards.max(1) }
    }

    fn pick(&mut self, spool: Option<&Spool>) -> Pick {
        let now = Instant::now();
        self.paused.retain(|_, until| *until > now);
        self.resting.retain(|_, until| *until > now);
        self.unreadable_until = self.unreadable_until.filter(|until| *until > now);
        let fresh_first = spool.is_none_or(|spool| spool.config.fresh_first);
        if !fresh_first && let Some(stub) = self.pick_kept(spool) {
            return Pick::Kept(stub);
        }
        // A block that fails for reasons of its own must not keep a single connection from all behind it, nor they it.
        let failed = |block: &Block| self.failed.get(&self.lane(block)).is_some_and(|token| *token == block.token);
        let ready = |block: &Block| self.may_go(block, now);
        let other = self.fresh.iter().position(|block| ready(block) && !failed(block));
        let ready = other.or_else(|| self.fresh.iter().position(ready));
        if let Some(block) = ready.and_then(|at| self.fresh.remove(at)) {
            let lane = self.lane(&block);
            self.failed.remove(&lane);
            self.occupancy.in_flight += 1;
            *self.sending.entry(lane).or_default() += 1;
            return Pick::Fresh(Box::new(block));
        }
        if let Some(stub) = self.pick_kept(spool) {
            return Pick::Kept(stub);
        }
        if self.closed && self.fresh.is_empty() {
            return Pick::End;
        }
        let resume = self.paused.values().chain(self.resting.values()).copied().chain(self.unreadable_until).min();
        resume.map_or(Pick::Nothing, Pick::Paused)
    }

    /// Whether the block may be sent now.
    fn may_go(&self, block: &Block, now: Instant) -> bool {
        self.is_open(self.lane(block), now) && self.resting.get(&block.token).is_none_or(|until| *until <= now)
    }

    /// Whether blocks of the lane may be sent now.
    fn is_open(&self, lane: Lane, now: Instant) -> bool {
        self.paused.get(&lane).is_none_or(|until| *until <= now) && !self.held.contains(&lane.shard)
    }

    fn pick_kept(&mut self, spool: Option<&Spool>) -> Option<Stub> {
        let config = &spool?.config;
        if self.closed || self.unreadable_until.is_some() || self.replaying.len() >= config.replay_parallel {
            return None;
        }
        let now = Instant::now();
        let ready = |stub: &&Stub| self.is_open(self.lane_of(stub.table, stub.number), now);
        let doubtful = self.kept.values().take_while(|stub| stub.kept.sent).find(ready);
        let stub = doubtful.or_else(|| match config.replay_order {
            ReplayOrder::Oldest => self.kept.values().find(ready),
            ReplayOrder::Newest => self.kept.values().rev().find(ready),
        });
        let stub = stub?.clone();
        self.forget_kept(&stub);
        self.replaying.insert(Arc::clone(&stub.kept.name));
        self.occupancy.replaying = self.replaying.len();
        Some(stub)
    }

    /// The kept block that was made first, of those that may be given up: one that somebody wants sent again may not.
    fn oldest_kept(&self) -> Option<(Turn, Stub)> {
        let first = |unsent: bool| {
            let mut of_kind = self.kept.range((unsent, Arc::from(""))..).take_while(|((of, _), _)| *of == unsent);
            of_kind.find(|((_, name), _)| !directory::is_again(name))
        };
        // `false` sorts first: the blocks that were sent.
        let oldest = [first(false), first(true)].into_iter().flatten().min_by_key(|((_, name), _)| Arc::clone(name));
        oldest.map(|(turn, stub)| (turn.clone(), stub.clone()))
    }

    fn keep(&mut self, stub: Stub) {
        self.occupancy.kept_blocks += 1;
        self.occupancy.kept_rows += stub.rows;
        self.kept.insert((!stub.kept.sent, Arc::clone(&stub.kept.name)), stub);
    }

    fn forget_kept(&mut self, stub: &Stub) {
        if self.kept.remove(&(!stub.kept.sent, Arc::clone(&stub.kept.name))).is_some() {
            self.occupancy.kept_blocks -= 1;
            self.occupancy.kept_rows -= stub.rows;
        }
    }

    /// An inserter is done with a block, one way or the other.
    fn end_sending(&mut self, block: &Block) {
        self.occupancy.in_flight -= 1;
        if block.kept.as_ref().is_some_and(|kept| self.replaying.remove(&kept.name)) {
            self.occupancy.replaying = self.replaying.len();
        } else if let Some(sending) = self.sending.get_mut(&self.lane(block)) {
            *sending = sending.saturating_sub(1);
        }
    }
}

impl Occupancy {
    fn add(&mut self, block: &Block) {
        self.blocks += 1;
        self.rows += block.rows;
        self.octets += block.octets;
    }

    fn remove(&mut self, block: &Block) {
        self.blocks -= 1;
        self.rows -= block.rows;
        self.octets -= block.octets;
    }
}

#[cfg(test)]
mod tests;
