//! What can happen to an insert, and when.

use std::time::Duration;

/// What happens to one insert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    Pass,
    /// It is taken late.
    Delay(Duration),
    /// It is read no further than its head, and never answered.
    Hang,
    /// The connection ends behind the head.
    Reset,
    /// The server gets this much of the body, then both connections end.
    CutRequest { after: usize },
    /// The server never sees it, and the connection ends where the answer was to come.
    LoseRequest,
    /// The server commits it, and the answer gets lost.
    LoseAnswer,
    /// The server commits it, and the answer comes late.
    LateAnswer(Duration),
    /// A load balancer answers instead.
    Status(u16),
    /// The server refuses with this exception.
    Exception(u32),
}

/// Which fault comes next.
#[derive(Debug, Clone)]
pub enum Schedule {
    /// Every insert passes.
    Quiet,
    /// The same happens to every insert.
    Always(Fault),
    /// These happen in order, then every insert passes.
    List(std::vec::IntoIter<Fault>),
    /// Something else every time, the same for the same seed; about `faults` of 100 inserts do not pass.
    Random { state: u64, faults: u64 },
}

impl Schedule {
    /// These faults in order, then quiet.
    pub fn list(faults: impl IntoIterator<Item = Fault>) -> Self {
        Self::List(faults.into_iter().collect::<Vec<_>>().into_iter())
    }

    /// Faults by chance: see [`Schedule::Random`].
    pub fn seeded(seed: u64, faults: u64) -> Self {
        // The generator stands still at 0.
        Self::Random { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, faults }
    }

    pub(super) fn next(&mut self) -> Fault {
        match self {
            Self::Quiet => Fault::Pass,
            Self::Always(fault) => *fault,
            Self::List(faults) => faults.next().unwrap_or(Fault::Pass),
            Self::Random { state, faults } => {
                let mut random = |below: u64| {
                    // xorshift64*
                    *state ^= *state >> 12;
                    *state ^= *state << 25;
                    *state ^= *state >> 27;
                    (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % below
                };
                if random(100) >= *faults {
                    return Fault::Pass;
                }
                match random(9) {
                    0 => Fault::Delay(Duration::from_millis(random(200))),
                    1 => Fault::Reset,
                    2 => Fault::CutRequest { after: random(20_000) as usize },
                    3 => Fault::LoseRequest,
                    4 | 5 => Fault::LoseAnswer,
                    6 => Fault::LateAnswer(Duration::from_millis(random(3_000))),
                    7 => Fault::Status([500, 502, 503, 504][random(4) as usize]),
                    // TOO_MANY_PARTS, MEMORY_LIMIT_EXCEEDED, TABLE_IS_READ_ONLY, TIMEOUT_EXCEEDED, NETWORK_ERROR,
                    // QUOTA_EXCEEDED, TOO_MANY_SIMULTANEOUS_QUERIES
                    _ => Fault::Exception([252, 241, 242, 159, 210, 201, 202][random(7) as usize]),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(schedule: &mut Schedule, n: usize) -> Vec<Fault> {
        (0..n).map(|_| schedule.next()).collect()
    }

    #[test]
    fn a_seed_is_a_schedule() {
        let of = |seed| faults(&mut Schedule::seeded(seed, 50), 200);
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(8));
        let passed = of(7).iter().filter(|fault| **fault == Fault::Pass).count();
        assert!((60..140).contains(&passed), "{passed}");
    }

    #[test]
    fn a_list_ends_in_quiet() {
        let mut schedule = Schedule::list([Fault::Reset, Fault::Hang]);
        assert_eq!(faults(&mut schedule, 3), [Fault::Reset, Fault::Hang, Fault::Pass]);
    }
}
