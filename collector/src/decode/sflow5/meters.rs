//! Sample pools: how many packets an agent really had per sample.
//!
//! Every flow sample says how many packets its source could have sampled so far (`sample_pool`) and how many samples
//! the agent itself had to drop (`drops`). Between two samples of a source the pool's growth, over the number of
//! samples that arrived, is the interval that was in effect: it counts samples that the agent or the network lost,
//! which the announced rate does not. It is reported beside the announced one and never put in its place.
//!
//! Source: sFlow.org "sFlow Version 5" (July 2004) §5.3, `flow_sample`.

use hashbrown::HashMap;

/// Sources of one agent that are followed, a port each: more than a chassis has.
const MAX_SOURCES: usize = 4096;

/// Sources of all agents of a worker, 32 octets each: 8 MiB. Those beyond are sampled all the same, and not metered.
pub const MAX_WORKER_SOURCES: usize = 1 << 18;

/// A sample this far behind the latest of its source came late; one further behind is from after a restart.
const MAX_LATE: u32 = 64;

/// What the samples of a time stood for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Metered {
    /// Samples that `pool` is of. The first one of a source measures nothing.
    pub samples: u64,
    /// Packets that these samples were chosen from (`sample_pool`).
    pub pool: u64,
    /// Samples that the agent took and had to drop (`drops`).
    pub drops: u64,
}

impl Metered {
    pub(crate) fn add(&mut self, other: &Self) {
        self.samples += other.samples;
        self.pool += other.pool;
        self.drops += other.drops;
    }

    pub(crate) fn since(&self, before: &Self) -> Self {
        Self { samples: self.samples - before.samples, pool: self.pool - before.pool, drops: self.drops - before.drops }
    }

    /// Packets per sample, rounded; 0 if nothing was measured.
    pub fn effective_interval(&self) -> u32 {
        match self.samples {
            0 => 0,
            samples => ((self.pool + samples / 2) / samples).try_into().unwrap_or(u32::MAX),
        }
    }
}

/// Where a packet was sampled. Class 0 is an interface, its index an ifIndex.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    pub class: u32,
    pub index: u32,
}

impl Source {
    /// Eight bits of class, 24 of index.
    pub const fn compact(octets: u32) -> Self {
        Self { class: octets >> 24, index: octets & 0x00ff_ffff }
    }
}

/// The counts in the head of a flow sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meter {
    pub source: Source,
    pub sequence: u32,
    pub pool: u32,
    pub drops: u32,
}

/// The sources of one agent.
#[derive(Debug, Default)]
pub struct Meters {
    /// By class and index in one number, which is hashed at once.
    latest: HashMap<u64, Counts, foldhash::fast::RandomState>,
}

#[derive(Debug, Clone, Copy)]
struct Counts {
    sequence: u32,
    pool: u32,
    drops: u32,
}

impl Meters {
    pub(crate) fn n_sources(&self) -> usize {
        self.latest.len()
    }

    /// Adds to `metered` what a sample tells against the one before of its source. `room` says whether the worker may
    /// follow further sources.
    #[inline]
    pub fn observe(&mut self, meter: &Meter, room: bool, metered: &mut Metered) {
        let now = Counts { sequence: meter.sequence, pool: meter.pool, drops: meter.drops };
        let source = u64::from(meter.source.class) << 32 | u64::from(meter.source.index);
        let Some(latest) = self.latest.get_mut(&source) else {
            if room && self.latest.len() < MAX_SOURCES {
                self.latest.insert(source, now);
            }
            return;
        };
        let ahead = now.sequence.wrapping_sub(latest.sequence);
        if latest.sequence.wrapping_sub(now.sequence) <= MAX_LATE {
            // Late or twice: its packets are in the pool of the one that overtook it.
            metered.samples += u64::from(ahead != 0);
            return;
        }
        let pool = now.pool.wrapping_sub(latest.pool);
        // Counts that go back are those of an agent that began anew.
        if ahead <= u32::MAX / 2 && pool <= u32::MAX / 2 {
            metered.samples += 1;
            metered.pool += u64::from(pool);
            let drops = now.drops.wrapping_sub(latest.drops);
            metered.drops += if drops <= u32::MAX / 2 { u64::from(drops) } else { 0 };
        }
        *latest = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metered(samples: &[(u32, u32, u32)]) -> Metered {
        let (mut meters, mut metered) = (Meters::default(), Metered::default());
        for &(sequence, pool, drops) in samples {
            let meter = Meter { source: Source { class: 0, index: 3 }, sequence, pool, drops };
            meters.observe(&meter, true, &mut metered);
        }
        metered
    }

    #[test]
    fn lost_samples_make_the_effective_interval_longer_than_the_announced_one() {
        let all = metered(&[(1, 1000, 0), (2, 2000, 0), (3, 3000, 0), (4, 4000, 0)]);
        assert_eq!((all, all.effective_interval()), (Metered { samples: 3, pool: 3000, drops: 0 }, 1000));
        let lossy = metered(&[(1, 1000, 0), (3, 3000, 0), (5, 5000, 0)]);
        assert_eq!(lossy.effective_interval(), 2000);
    }

    #[test]
    fn counts_wrap() {
        let wrapped = metered(&[(u32::MAX, u32::MAX - 99, u32::MAX), (0, 400, 1), (1, 900, 1)]);
        assert_eq!(wrapped, Metered { samples: 2, pool: 1000, drops: 2 });
    }

    #[test]
    fn a_late_sample_counts_and_one_that_comes_twice_does_not() {
        let late = metered(&[(1, 100, 0), (3, 300, 0), (2, 200, 0), (2, 200, 0), (4, 400, 0)]);
        assert_eq!(late.pool, 300);
        let twice = metered(&[(1, 100, 0), (2, 200, 0), (2, 200, 0), (3, 300, 0)]);
        assert_eq!(twice, Metered { samples: 2, pool: 200, drops: 0 });
    }

    #[test]
    fn a_restart_measures_nothing_and_begins_anew() {
        let restarted = metered(&[(90_000, 9_000_000, 5), (90_001, 9_000_100, 5), (1, 50, 0), (2, 150, 0)]);
        assert_eq!(restarted, Metered { samples: 2, pool: 200, drops: 0 });
    }

    #[test]
    fn the_pool_is_rounded_not_cut() {
        assert_eq!(Metered { samples: 3, pool: 8, drops: 0 }.effective_interval(), 3);
        assert_eq!(Metered::default().effective_interval(), 0);
    }

    #[test]
    fn sources_are_bounded_and_those_beyond_are_not_metered() {
        let (mut meters, mut metered) = (Meters::default(), Metered::default());
        let meter = |index, sequence| Meter { source: Source { class: 0, index }, sequence, pool: 7, drops: 0 };
        for index in 0..MAX_SOURCES as u32 + 10 {
            meters.observe(&meter(index, 1), true, &mut metered);
        }
        assert_eq!((meters.n_sources(), metered), (MAX_SOURCES, Metered::default()));
        let mut full = Meters::default();
        full.observe(&meter(1, 1), false, &mut metered);
        assert_eq!(full.n_sources(), 0);
    }
}
