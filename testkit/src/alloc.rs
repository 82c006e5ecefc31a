//! Counting allocations of a thread: a test sets [`Counting`] as its global allocator and asks [`allocations`], or
//! [`live_octets`] and [`peak_octets`]. [`process_octets`] is of all threads.

#![expect(unsafe_code, reason = "a counting allocator has to be a GlobalAlloc")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, Ordering};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static LIVE: Cell<i64> = const { Cell::new(0) };
    static PEAK: Cell<i64> = const { Cell::new(0) };
}

static PROCESS: AtomicI64 = AtomicI64::new(0);

/// Allocations and reallocations of this thread since it began, if [`Counting`] is the allocator.
pub fn allocations() -> u64 {
    ALLOCATIONS.get()
}

/// Octets that this thread allocated less those that it freed, if [`Counting`] is the allocator. Negative in a thread
/// that frees what others allocated.
pub fn live_octets() -> i64 {
    LIVE.get()
}

/// The most that [`live_octets`] has been in this thread since [`reset_peak`].
pub fn peak_octets() -> i64 {
    PEAK.get()
}

/// Begins to look for the peak anew.
pub fn reset_peak() {
    PEAK.set(LIVE.get());
}

/// What all threads have allocated and not freed, if [`Counting`] is the allocator.
pub fn process_octets() -> i64 {
    PROCESS.load(Ordering::Relaxed)
}

fn count(octets: usize, sign: i64) {
    let octets = sign * octets as i64;
    LIVE.set(LIVE.get() + octets);
    PEAK.set(PEAK.get().max(LIVE.get()));
    PROCESS.fetch_add(octets, Ordering::Relaxed);
}

/// The system's allocator, counted.
#[derive(Debug)]
pub struct Counting;

// SAFETY: every call is passed on to the system's allocator unchanged; the counters are thread-local and constant
// initialised, so counting neither allocates nor touches another thread's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        count(layout.size(), 1);
        // SAFETY: the caller keeps GlobalAlloc's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: the caller keeps GlobalAlloc's contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        count(size, 1);
        count(layout.size(), -1);
        // SAFETY: the caller keeps GlobalAlloc's contract.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
