//! A token bucket: how much may be sent by now.
//!
//! What was not sent in time is sent a little later, but only a little: a sender that was delayed for long does not
//! send one large burst afterwards. It stays behind, which shows in the rate that it reports.

use std::time::{Duration, Instant};

/// Shorter pauses are not worth a system call, nor does the kernel keep them.
const MIN_PAUSE: Duration = Duration::from_millis(1);

/// How long a hold-up may be that is made up for.
const MAX_BACKLOG_SECS: f64 = 0.02;

/// Gives out units (flows, datagrams) at a rate.
#[derive(Debug)]
pub struct Pace {
    units_per_sec: f64,
    available: f64,
    updated: Instant,
}

impl Pace {
    /// Starts with nothing available.
    pub fn new(units_per_sec: f64, now: Instant) -> Self {
        Self { units_per_sec, available: 0.0, updated: now }
    }

    /// Takes `units`, or says how long to wait before trying again.
    ///
    /// # Errors
    /// With the time until they are available, a millisecond at least.
    pub fn take(&mut self, units: usize, now: Instant) -> Result<(), Duration> {
        let units = units as f64;
        let elapsed = now.saturating_duration_since(self.updated).as_secs_f64();
        let backlog = units.max(self.units_per_sec * MAX_BACKLOG_SECS);
        self.available = (self.available + elapsed * self.units_per_sec).min(backlog);
        self.updated = now;
        if self.available >= units {
            self.available -= units;
            return Ok(());
        }
        let missing_secs = (units - self.available) / self.units_per_sec;
        // A rate of next to nothing makes a pause that no Duration holds.
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
        let mut pace = Pace::new(10_000.0, start);
        let mut taken = 0;
        for ms in 1..=1_000 {
            while pace.take(3, start + Duration::from_millis(ms)).is_ok() {
                taken += 3;
            }
        }
        assert!((9_990..=10_000).contains(&taken), "{taken}");
    }

    #[test]
    fn waiting_as_long_as_told_is_enough_and_never_under_a_millisecond() {
        let start = Instant::now();
        let mut pace = Pace::new(100.0, start);
        let pause = pace.take(5, start).unwrap_err();
        assert_eq!(pause, Duration::from_millis(50));
        assert_eq!(pace.take(5, start + pause), Ok(()));
        assert_eq!(Pace::new(1e9, start).take(1, start), Err(MIN_PAUSE));
    }

    #[test]
    fn a_long_hold_up_is_not_made_up_for() {
        let start = Instant::now();
        let mut pace = Pace::new(1_000.0, start);
        let later = start + Duration::from_secs(60);
        let burst = (0..1_000).take_while(|_| pace.take(1, later).is_ok()).count();
        assert_eq!(burst, 20, "20 ms of the rate");
    }

    #[test]
    fn more_than_the_backlog_can_be_taken_at_once_after_waiting_for_it() {
        let start = Instant::now();
        let mut pace = Pace::new(100.0, start);
        assert!(pace.take(500, start + Duration::from_secs(4)).is_err());
        assert_eq!(pace.take(500, start + Duration::from_secs(5)), Ok(()));
    }
}
