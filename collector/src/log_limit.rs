//! Log lines about what others cause: one of a kind a minute, so that a flood of connections or of errors fills no disk.

use std::time::{Duration, Instant};

/// After a line, further ones of its kind are left out for so long.
const INTERVAL: Duration = Duration::from_secs(60);

/// When lines of each kind were written last. Kinds are a closed set: they are looked for one by one.
#[derive(Debug)]
pub(crate) struct LogLimit<K> {
    kinds: Vec<(K, Instant, u64)>,
}

impl<K> Default for LogLimit<K> {
    fn default() -> Self {
        Self { kinds: Vec::new() }
    }
}

impl<K: PartialEq> LogLimit<K> {
    /// Whether a line of this kind is written now, and how many were left out since the last one.
    pub(crate) fn allow(&mut self, kind: K, now: Instant) -> Option<u64> {
        let Some((_, written, left_out)) = self.kinds.iter_mut().find(|(known, ..)| *known == kind) else {
            self.kinds.push((kind, now, 0));
            return Some(0);
        };
        if now.saturating_duration_since(*written) < INTERVAL {
            *left_out += 1;
            return None;
        }
        *written = now;
        Some(std::mem::take(left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_written_once_a_minute_and_says_how_many_lines_were_left_out() {
        let (mut limit, begin) = (LogLimit::default(), Instant::now());
        assert_eq!(limit.allow("refused", begin), Some(0));
        assert_eq!(limit.allow("slow", begin), Some(0), "another kind is not held back");
        for second in 1..60 {
            assert_eq!(limit.allow("refused", begin + Duration::from_secs(second)), None);
        }
        assert_eq!(limit.allow("refused", begin + Duration::from_secs(60)), Some(59));
        assert_eq!(limit.allow("refused", begin + Duration::from_secs(120)), Some(0));
    }
}
