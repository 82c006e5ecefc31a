//! Times between attempts.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// Times between attempts: they double up to a limit. They vary by a quarter: many clients do not ask a server at the same
/// moment after it came back.
#[derive(Debug, Clone)]
pub struct Backoff {
    initial: Duration,
    next: Duration,
    max: Duration,
    random: u64,
}

impl Backoff {
    /// The first pause and the longest one.
    pub fn new(initial: Duration, max: Duration) -> Self {
        Self { initial, next: initial.min(max), max, random: RandomState::new().build_hasher().finish() | 1 }
    }

    /// The pause before the next attempt: from 3/4 to 5/4 of 1, 2, 4, ... times the first one.
    pub fn pause(&mut self) -> Duration {
        let base = self.next;
        self.next = self.next.saturating_mul(2).min(self.max);
        self.varied(base)
    }

    /// The longest pause: for a failure that lasts until a person does something.
    pub fn longest(&mut self) -> Duration {
        self.varied(self.max)
    }

    /// An attempt succeeded: the next pause is the first one again.
    pub fn reset(&mut self) {
        self.next = self.initial.min(self.max);
    }

    fn varied(&mut self, base: Duration) -> Duration {
        // xorshift64: any number does, as long as two clients have different ones.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        base.mul_f64(0.75 + (self.random % 1000) as f64 / 2000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_limit_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        for _ in 0..2 {
            for base in [100, 200, 400, 800, 1000, 1000] {
                let pause = backoff.pause().as_millis();
                assert!((base * 3 / 4..=base * 5 / 4).contains(&pause), "{pause} ms for {base}");
            }
            assert!(backoff.longest().as_millis() >= 750);
            backoff.reset();
        }
    }
}
