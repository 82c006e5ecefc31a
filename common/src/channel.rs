//! A bounded queue between threads. A receiver that finds nothing sleeps at once.
//!
//! The channels of crossbeam and of the standard library first look again, yielding the core, for tens of microseconds.
//! That pays for threads that hand over thousands of things a second. The threads here hand over batches of thousands of
//! rows: at 5,000 flows/s, three of them spent a fifth of the process' CPU on looking.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// The sending end. Clones share the queue.
#[derive(Debug)]
pub struct Sender<T>(Arc<Shared<T>>);

/// The receiving end. Clones share the queue: each thing goes to one of them.
#[derive(Debug)]
pub struct Receiver<T>(Arc<Shared<T>>);

/// Closes the queue from anywhere.
#[derive(Debug)]
pub struct Closer<T>(Arc<Shared<T>>);

/// What a receiver finds.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<T> {
    /// The thing that waited longest.
    Item(T),
    /// Nothing came within the time.
    Quiet,
    /// Nothing waits and nothing will come.
    Closed,
}

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    capacity: usize,
    /// Something came, or nothing will come any more.
    filled: Condvar,
    /// Something was taken, or nobody takes anything any more.
    emptied: Condvar,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    senders: usize,
    receivers: usize,
    closed: bool,
}

/// A queue of at most `capacity` things.
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let state = State { items: VecDeque::with_capacity(capacity), senders: 1, receivers: 1, closed: false };
    let shared =
        Arc::new(Shared { state: Mutex::new(state), capacity, filled: Condvar::new(), emptied: Condvar::new() });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

impl<T> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn taken(&self, state: MutexGuard<'_, State<T>>) {
        drop(state);
        self.emptied.notify_one();
    }
}

impl<T> State<T> {
    fn takes_no_more(&self) -> bool {
        self.closed || self.receivers == 0
    }

    fn is_over(&self) -> bool {
        self.closed || self.senders == 0
    }
}

impl<T> Sender<T> {
    /// Adds a thing.
    ///
    /// # Errors
    /// The thing itself when the queue is full, is closed or has no receiver.
    pub fn try_send(&self, item: T) -> Result<(), T> {
        let state = self.0.state();
        if state.items.len() >= self.0.capacity { Err(item) } else { self.add(state, item) }
    }

    /// Adds a thing, and waits for room.
    ///
    /// # Errors
    /// The thing itself when the queue is closed or has no receiver.
    pub fn send(&self, item: T) -> Result<(), T> {
        let is_full = |state: &mut State<T>| state.items.len() >= self.0.capacity && !state.takes_no_more();
        let waited = self.0.emptied.wait_while(self.0.state(), is_full);
        self.add(waited.unwrap_or_else(|poisoned| poisoned.into_inner()), item)
    }

    fn add(&self, mut state: MutexGuard<'_, State<T>>, item: T) -> Result<(), T> {
        if state.takes_no_more() {
            return Err(item);
        }
        state.items.push_back(item);
        drop(state);
        self.0.filled.notify_one();
        Ok(())
    }

    /// Things that wait.
    pub fn len(&self) -> usize {
        self.0.state().items.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Receiver<T> {
    /// Takes a thing if one is there.
    pub fn try_receive(&self) -> Option<T> {
        let mut state = self.0.state();
        let item = state.items.pop_front()?;
        self.0.taken(state);
        Some(item)
    }

    /// Waits for a thing; `None` when nothing waits and nothing will come.
    pub fn receive(&self) -> Option<T> {
        let is_quiet = |state: &mut State<T>| state.items.is_empty() && !state.is_over();
        let waited = self.0.filled.wait_while(self.0.state(), is_quiet);
        let mut state = waited.unwrap_or_else(|poisoned| poisoned.into_inner());
        let item = state.items.pop_front()?;
        self.0.taken(state);
        Some(item)
    }

    /// Waits for a thing for up to `wait`.
    pub fn receive_within(&self, wait: Duration) -> Received<T> {
        let deadline = Instant::now() + wait;
        let mut state = self.0.state();
        loop {
            if let Some(item) = state.items.pop_front() {
                self.0.taken(state);
                return Received::Item(item);
            }
            if state.is_over() {
                return Received::Closed;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Received::Quiet;
            }
            let waited = self.0.filled.wait_timeout(state, left);
            state = waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        }
    }

    /// What closes the queue: what waits can still be received.
    pub fn closer(&self) -> Closer<T> {
        Closer(Arc::clone(&self.0))
    }

    /// Things that wait.
    pub fn len(&self) -> usize {
        self.0.state().items.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Closer<T> {
    /// From now on nothing is added.
    pub fn close(&self) {
        self.0.state().closed = true;
        self.0.filled.notify_all();
        self.0.emptied.notify_all();
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.state().senders += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.0.state().receivers += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.senders -= 1;
        if state.senders == 0 {
            drop(state);
            self.0.filled.notify_all();
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.receivers -= 1;
        if state.receivers == 0 {
            // Nobody takes them; a sender may live much longer.
            let left = std::mem::take(&mut state.items);
            drop(state);
            drop(left);
            self.0.emptied.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn things_come_out_in_their_order_up_to_the_capacity() {
        let (sender, receiver) = bounded(2);
        assert_eq!([1, 2, 3].map(|item| sender.try_send(item)), [Ok(()), Ok(()), Err(3)]);
        assert_eq!((sender.len(), receiver.try_receive()), (2, Some(1)));
        assert_eq!(sender.try_send(4), Ok(()));
        assert_eq!([receiver.receive(), receiver.receive(), receiver.try_receive()], [Some(2), Some(4), None]);
        assert_eq!(receiver.receive_within(Duration::ZERO), Received::Quiet);
    }

    #[test]
    fn what_waits_is_received_after_the_last_sender_has_gone() {
        let (sender, receiver) = bounded(2);
        let other = sender.clone();
        other.try_send(1).unwrap();
        drop(sender);
        assert_eq!(receiver.receive(), Some(1));
        assert_eq!(receiver.receive_within(Duration::ZERO), Received::Quiet, "the other sender is there");
        drop(other);
        assert_eq!((receiver.receive_within(Duration::from_secs(3600)), receiver.receive()), (Received::Closed, None));
    }

    #[test]
    fn without_a_receiver_things_come_back_and_those_that_waited_are_freed() {
        let (sender, receiver) = bounded(2);
        let waiting = Arc::new(());
        sender.try_send(Arc::clone(&waiting)).unwrap();
        drop(receiver.clone());
        assert_eq!(Arc::strong_count(&waiting), 2);
        drop(receiver);
        assert_eq!(Arc::strong_count(&waiting), 1);
        assert!(sender.try_send(Arc::clone(&waiting)).is_err() && sender.send(waiting).is_err());
    }

    #[test]
    fn a_closed_queue_gives_out_what_it_has_and_takes_nothing() {
        let (sender, receiver) = bounded(2);
        sender.try_send(1).unwrap();
        receiver.closer().close();
        assert_eq!((sender.try_send(2), sender.send(3)), (Err(2), Err(3)));
        assert_eq!((receiver.receive(), receiver.receive()), (Some(1), None));
    }

    /// A sleeper that was not woken up would hang the test.
    #[test]
    fn sleepers_are_woken_by_a_thing_by_room_and_by_the_end() {
        let (sender, receiver) = bounded(1);
        let receiving = thread::spawn(move || std::iter::from_fn(|| receiver.receive()).collect::<Vec<_>>());
        (0..1000).for_each(|item| sender.send(item).unwrap());
        drop(sender);
        assert!(receiving.join().unwrap().into_iter().eq(0..1000));

        let (sender, receiver) = bounded::<u8>(1);
        let closer = receiver.closer();
        let receiving = thread::spawn(move || receiver.receive_within(Duration::from_secs(3600)));
        closer.close();
        assert_eq!(receiving.join().unwrap(), Received::Closed);

        let (sender2, receiver) = bounded(1);
        sender2.send(1).unwrap();
        let sending = thread::spawn(move || sender2.send(2));
        drop(receiver);
        assert_eq!(sending.join().unwrap(), Err(2));
        drop(sender);
    }
}
