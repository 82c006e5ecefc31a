//! What can happen to an insert, and when.

use std::time::Duration;

/// What happens to one insert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the text of a variant says what its fields are")]
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
    /// Somebody answers 200 with this body, with the headers of ClickHouse or without. The server never sees the insert.
    FalseOk { own_headers: bool, body: &'static str },
    /// The server refuses with this exception.
    Exception(u32),
}

/// What others answer 200 with, and what is left of an exception that comes behind a status 200.
const FALSE_OK: [Fault; 6] = [
    Fault::FalseOk { own_headers: false, body: "" },
    Fault::FalseOk { own_headers: false, body: "<html><body>Please log in</body></html>" },
    Fault::FalseOk { own_headers: true, body: "Code: 241. DB::Exception: Memory limit (total) exceeded" },
    Fault::FalseOk { own_headers: true, body: "Code: 2" },
    Fault::FalseOk {
        own_headers: true,
        body: "\r\n__exception__\r\nrnywyenlaeqynhmu\r\nCode: 252. DB::Exception: Too many parts. (TOO_MANY_PARTS)\n",
    },
    Fault::FalseOk { own_headers: true, body: "\r\n__exception__\r\nrnywyen" },
];

/// Which fault comes next.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the text of a variant says what its fields are")]
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

impl Fault {
    /// Every kind of [`FalseOk`](Self::FalseOk).
    pub fn false_ok() -> impl Iterator<Item = Self> {
        FALSE_OK.into_iter()
    }
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
                match random(10) {
                    0 => Fault::Delay(Duration::from_millis(random(200))),
                    1 => Fault::Reset,
                    2 => Fault::CutRequest { after: random(20_000) as usize },
                    3 => Fault::LoseRequest,
                    4 | 5 => Fault::LoseAnswer,
                    6 => Fault::LateAnswer(Duration::from_millis(random(3_000))),
                    7 => Fault::Status([500, 502, 503, 504][random(4) as usize]),
                    8 => FALSE_OK[random(FALSE_OK.len() as u64) as usize],
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
