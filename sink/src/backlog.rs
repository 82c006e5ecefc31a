//! Closed blocks between the block thread and the inserters.
//!
//! Bounded by bytes: when ClickHouse is away for longer than that lasts, the oldest waiting block goes, counted. This
//! is the place between closing and sending: what keeps blocks on disk stands here.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use tokio::sync::Notify;

use crate::block::Block;

/// What waits and what is being sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Occupancy {
    pub blocks: usize,
    pub rows: u64,
    pub octets: u64,
    /// Of these, blocks that an inserter has taken.
    pub in_flight: usize,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Block>,
    occupancy: Occupancy,
    closed: bool,
}

/// A bounded queue of blocks.
#[derive(Debug)]
pub struct Backlog {
    state: Mutex<State>,
    changed: Notify,
    max_octets: u64,
}

impl Backlog {
    pub fn new(max_octets: u64) -> Self {
        Self { state: Mutex::default(), changed: Notify::new(), max_octets }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Adds a block; returns those that had to make room, oldest first. The new one always stays.
    pub fn push(&self, block: Block) -> Vec<Block> {
        let mut state = self.state();
        let mut dropped = Vec::new();
        state.occupancy.add(&block);
        while state.occupancy.octets > self.max_octets {
            let Some(oldest) = state.waiting.pop_front() else { break };
            state.occupancy.remove(&oldest);
            dropped.push(oldest);
        }
        state.waiting.push_back(block);
        drop(state);
        self.changed.notify_one();
        dropped
    }

    /// The oldest waiting block; `None` when the backlog is closed and empty.
    pub async fn next(&self) -> Option<Block> {
        loop {
            let changed = self.changed.notified();
            {
                let mut state = self.state();
                if let Some(block) = state.waiting.pop_front() {
                    state.occupancy.in_flight += 1;
                    return Some(block);
                }
                if state.closed {
                    // The next waiter has to see it as well.
                    self.changed.notify_one();
                    return None;
                }
            }
            changed.await;
        }
    }

    /// A block that [`next`](Self::next) gave is done with, one way or the other.
    pub fn done(&self, block: &Block) {
        let mut state = self.state();
        state.occupancy.in_flight -= 1;
        state.occupancy.remove(block);
    }

    /// No more blocks will come.
    pub fn close(&self) {
        self.state().closed = true;
        self.changed.notify_one();
    }

    /// Gives up what waits.
    pub fn abandon(&self) -> Vec<Block> {
        let mut state = self.state();
        let waiting: Vec<Block> = state.waiting.drain(..).collect();
        waiting.iter().for_each(|block| state.occupancy.remove(block));
        waiting
    }

    pub fn occupancy(&self) -> Occupancy {
        self.state().occupancy
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
mod tests {
    use super::*;
    use crate::config::Compression;
    use crate::schema::Table;

    fn block(octets: u64) -> Block {
        Block {
            table: Table::Flows,
            statement: "".into(),
            token: octets.to_string(),
            rows: 1,
            pieces: Vec::new(),
            octets,
            compression: Compression::None,
            arrivals: Vec::new(),
        }
    }

    #[tokio::test]
    async fn the_oldest_waiting_block_makes_room() {
        let backlog = Backlog::new(100);
        assert!(backlog.push(block(40)).is_empty());
        assert!(backlog.push(block(50)).is_empty());
        let dropped: Vec<u64> = backlog.push(block(60)).iter().map(|block| block.octets).collect();
        assert_eq!(dropped, [40, 50]);
        assert_eq!(backlog.next().await.unwrap().octets, 60);
    }

    #[tokio::test]
    async fn a_block_that_is_being_sent_is_not_dropped_and_still_counts() {
        let backlog = Backlog::new(100);
        backlog.push(block(90));
        let sending = backlog.next().await.unwrap();
        assert!(backlog.push(block(30)).is_empty(), "the new block stays");
        assert_eq!(backlog.push(block(20)).len(), 1);
        assert_eq!((backlog.occupancy().blocks, backlog.occupancy().in_flight), (2, 1));
        backlog.done(&sending);
        assert_eq!(backlog.occupancy(), Occupancy { blocks: 1, rows: 1, octets: 20, in_flight: 0 });
    }

    #[tokio::test]
    async fn a_closed_backlog_is_emptied_before_every_waiter_is_told() {
        let backlog = Backlog::new(100);
        backlog.push(block(1));
        backlog.close();
        assert!(backlog.next().await.is_some());
        let (a, b) = tokio::join!(backlog.next(), backlog.next());
        assert!(a.is_none() && b.is_none());
    }
}
