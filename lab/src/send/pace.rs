//! A token bucket: how much may be sent by now.
//!
//! What was not sent in time is sent a little later, but only a little: a sender that was delayed for long does not
//! send one large burst afterwards. It stays behind, which shows in the rate that it reports.

use std::time::{Duration, Instant};

/// Shorter pauses are not worth a system call, nor does the kernel keep them.
const MIN_PAUSE: Duration = Duration::from_millis(1);

/// Longest delay that is made up for: pauses are longer than asked for by as much as the kernel's timer and other threads
/// make them.
const MAX_BACKLOG_SECS: f64 = 0.02;

/// Gives out units (flows, datagrams) at a rate.
#[derive(Debug)]
pub struct Pace {
    units_per_sec: f64,
    available: f64,
    /// `None` until the first units are taken.
    updated: Option<Instant>,
}

impl Pace {
    /// The first units are available at once: of `n` units a second, `n * t` are sent in `t` seconds, and not one
    /// portion less.
    pub fn new(units_per_sec: f64) -> Self {
        Self { units_per_sec, available: 0.0, updated: None }
    }

    /// Takes `units`, or says how long to wait before trying again.
    ///
    /// # Errors
    /// With the time until they are available, a millisecond at least.
    pub fn take(&mut self, units: usize, now: Instant) -> Result<(), Duration> {
        let units = units as f64;
        let Some(updated) = self.updated.replace(now) else { return Ok(()) };
        let elapsed = now.saturating_duration_since(updated).as_secs_f64();
        // What a pause for these units was too long counts for the next ones.
        let most = units + self.units_per_sec * MAX_BACKLOG_SECS;
        self.available = (self.available + elapsed * self.units_per_sec).min(most);
        if self.available >= units {
            self.available -= units;
            return Ok(());
        }
        let missing_secs = (units - self.available) / self.units_per_sec;
        // With a rate close to 0, the pause is longer than any Duration.
        let pause = Duration::try_from_secs_f64(missing_secs).unwrap_or(Duration::MAX);
        Err(pause.max(MIN_PAUSE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_kept_over_time() {
        let start = Instant::now();
        let mut pace = Pace::new(10_000.0);
        let mut taken = 0;
        for ms in 0..1_000 {
            while pace.take(3, start + Duration::from_millis(ms)).is_ok() {
                taken += 3;
            }
        }
        assert!((9_990..=10_000).contains(&taken), "{taken}");
    }

    #[test]
    fn pauses_that_are_too_long_cost_nothing() {
        let mut now = Instant::now();
        let end = now + Duration::from_secs(10);
        let mut pace = Pace::new(1_000.0);
        let mut taken = 0;
        while now < end {
            match pace.take(30, now) {
                Ok(()) => taken += 30,
                Err(pause) => now += pause + Duration::from_millis(2),
            }
        }
        assert!((9_970..=10_030).contains(&taken), "{taken}");
    }

    #[test]
    fn waiting_as_long_as_told_is_enough_and_never_under_a_millisecond() {
        let start = Instant::now();
        let mut pace = Pace::new(100.0);
        assert_eq!(pace.take(5, start), Ok(()));
        let pause = pace.take(5, start).unwrap_err();
        assert_eq!(pause, Duration::from_millis(50));
        assert_eq!(pace.take(5, start + pause), Ok(()));
        let mut fast = Pace::new(1e9);
        assert_eq!((fast.take(1, start), fast.take(1, start)), (Ok(()), Err(MIN_PAUSE)));
    }

    #[test]
    fn a_long_hold_up_is_not_made_up_for() {
        let start = Instant::now();
        let mut pace = Pace::new(1_000.0);
        assert_eq!(pace.take(1, start), Ok(()));
        let later = start + Duration::from_secs(60);
        let burst = (0..1_000).take_while(|_| pace.take(1, later).is_ok()).count();
        assert_eq!(burst, 21, "the one that was waited for, and 20 ms of the rate");
    }

    #[test]
    fn more_than_the_backlog_can_be_taken_at_once_after_waiting_for_it() {
        let start = Instant::now();
        let mut pace = Pace::new(100.0);
        assert_eq!(pace.take(500, start), Ok(()));
        assert!(pace.take(500, start + Duration::from_secs(4)).is_err());
        assert_eq!(pace.take(500, start + Duration::from_secs(5)), Ok(()));
    }
}
