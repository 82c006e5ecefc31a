//! CPU time of the benching thread: for criterion, and for ratios of one run. Every bench is measured and told the same way.
//!
//! A bench shares its cores with whatever else runs. Time in which the thread did not run is left out, and what cannot be
//! left out (a slower clock, a cache that others use) hits everything in a round alike: a round runs every case once,
//! a ratio is taken within a round, and what is told is the median over the rounds.

use std::io::{self, Write};
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, Throughput};
use nix::time::{ClockId, clock_gettime};

/// Rounds that a ratio is the median of.
const ROUNDS: usize = 7;

/// What a case runs in a round: long enough that reading the clock and warming the caches do not count.
const TURN: Duration = Duration::from_millis(80);

/// A ratio to print: its name, the slow case, the fast one.
pub type Ratio = (&'static str, &'static str, &'static str);

/// Has criterion measure every case, in groups by what stands before the slash of its name.
///
/// Returns the rounds for the ratios where everything was asked for, as only `cargo bench` itself does, which adds
/// `--bench`.
pub fn measure(prefix: &str, cases: &mut [Case<'_>]) -> Option<Rounds> {
    let mut criterion = Criterion::default()
        .with_measurement(CpuTime)
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    for case in cases.iter_mut() {
        let (group, name) = case.name.split_once('/').unwrap_or((case.name, "helios"));
        let mut group = criterion.benchmark_group(format!("{prefix}{group}"));
        group.throughput(Throughput::Elements((case.pass)() as u64));
        group.bench_function(name, |bencher| bencher.iter(&mut case.pass));
        group.finish();
    }
    criterion.final_summary();
    let everything = std::env::args().skip(1).all(|argument| argument == "--bench") && std::env::args().len() > 1;
    everything.then(|| Rounds::run(cases))
}

/// CPU time that this thread used since it began.
fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("Linux has this clock").into()
}

/// Lets criterion measure CPU time.
struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        now()
    }

    fn end(&self, start: Duration) -> Duration {
        now() - start
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

/// Something to measure: a name, and a pass that returns how many rows it made.
pub struct Case<'a> {
    pub name: &'static str,
    pub pass: Box<dyn FnMut() -> usize + 'a>,
}

/// Nanoseconds per row of every case, one value a round.
pub struct Rounds {
    names: Vec<&'static str>,
    ns_per_row: Vec<Vec<f64>>,
}

impl Rounds {
    /// Runs all cases by turns.
    fn run(cases: &mut [Case<'_>]) -> Self {
        let mut ns_per_row = vec![Vec::new(); cases.len()];
        for round in 0..=ROUNDS {
            for (case, results) in cases.iter_mut().zip(&mut ns_per_row) {
                let result = turn(&mut case.pass);
                // The first round fills tables and batches.
                if round > 0 {
                    results.push(result);
                }
            }
        }
        Self { names: cases.iter().map(|case| case.name).collect(), ns_per_row }
    }

    /// Nanoseconds per row of each case: median and best.
    fn figures(&self) -> impl Iterator<Item = (&'static str, f64, f64)> + '_ {
        self.names.iter().zip(&self.ns_per_row).map(|(&name, results)| {
            (name, median(results.clone()), results.iter().copied().fold(f64::INFINITY, f64::min))
        })
    }

    /// Prints the figures of each case; a row is a `unit`.
    ///
    /// # Errors
    /// When standard output takes no more.
    pub fn print_figures(&self, unit: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let (title, rate) = (format!("CPU time per {unit}"), format!("{unit}s/s/core"));
        writeln!(out, "\n{title:<40}{:>12}{:>12}{rate:>14}", "median ns", "best ns")?;
        for (name, median, best) in self.figures() {
            writeln!(out, "{name:<40}{median:>12.1}{best:>12.1}{:>12.1} M", 1e3 / median)?;
        }
        writeln!(out)
    }

    /// Prints the ratios, which `make bench` finds by their form.
    ///
    /// # Errors
    /// When standard output takes no more.
    pub fn print_ratios(&self, ratios: &[Ratio]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        ratios.iter().try_for_each(|(name, slow, fast)| writeln!(out, "{name}: {:.2} x", self.ratio(slow, fast)))
    }

    /// How many times as long `slow` takes per row as `fast`.
    fn ratio(&self, slow: &str, fast: &str) -> f64 {
        median(self.of(slow).iter().zip(self.of(fast)).map(|(slow, fast)| slow / fast).collect())
    }

    fn of(&self, name: &str) -> &[f64] {
        let at = self.names.iter().position(|&known| known == name);
        at.map_or_else(|| unreachable!("no case is called {name}"), |at| &self.ns_per_row[at])
    }
}

fn turn(pass: &mut dyn FnMut() -> usize) -> f64 {
    let start = now();
    let mut rows = 0;
    loop {
        rows += pass();
        let used = now() - start;
        if used >= TURN {
            return used.as_nanos() as f64 / rows as f64;
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
