//! Random numbers that a seed determines: the same seed and settings send the same flows.
//!
//! SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", 2014): about a nanosecond a
//! number, which matters when every flow draws two. Nothing here is fit for secrets.

/// The golden ratio in 64 bits: the generator's increment.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub(super) struct Random {
    state: u64,
}

impl Random {
    /// The stream of `seed` for one `purpose`; streams of other purposes are unrelated to it.
    pub(super) fn new(seed: u64, purpose: u64) -> Self {
        let mut random = Self { state: seed ^ purpose.wrapping_mul(GOLDEN).rotate_left(32) };
        random.state = random.next();
        random
    }

    /// 64 random bits.
    pub(super) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        let mixed = (self.state ^ self.state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `n`, 0 if `n` is 0.
    pub(super) fn below(&mut self, n: u32) -> u32 {
        scale(self.next() as u32, n)
    }

    /// A number from 0 to just below 1.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether something of the given probability happens.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// One of `items`.
    ///
    /// # Panics
    /// When there are none.
    pub(super) fn choose<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u32) as usize]
    }
}

/// Maps 32 random bits to a number below `n`, without a division.
pub(super) fn scale(bits: u32, n: u32) -> u32 {
    ((u64::from(bits) * u64::from(n)) >> 32) as u32
}

/// Ranks by weight: what comes first comes often.
#[derive(Debug, Clone)]
pub(super) struct Weighted {
    cumulative: Vec<f64>,
}

impl Weighted {
    pub(super) fn new(weights: impl IntoIterator<Item = f64>) -> Self {
        let mut sum = 0.0;
        let cumulative = weights.into_iter().map(|weight| {
            sum += weight;
            sum
        });
        Self { cumulative: cumulative.collect() }
    }

    /// Zipf's law: rank r with weight 1 / r^exponent.
    pub(super) fn zipf(n: usize, exponent: f64) -> Self {
        Self::new((1..=n).map(|rank| (rank as f64).powf(-exponent)))
    }

    /// A rank, counted from 0.
    pub(super) fn draw(&self, random: &mut Random) -> usize {
        let at = random.unit() * self.cumulative.last().copied().unwrap_or(0.0);
        self.cumulative.partition_point(|&sum| sum <= at).min(self.cumulative.len().saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_and_a_purpose_determine_the_stream() {
        let first: Vec<u64> = std::iter::repeat_with({
            let mut r = Random::new(7, 1);
            move || r.next()
        })
        .take(4)
        .collect();
        let again: Vec<u64> = std::iter::repeat_with({
            let mut r = Random::new(7, 1);
            move || r.next()
        })
        .take(4)
        .collect();
        assert_eq!(first, again);
        assert_ne!(first[0], Random::new(7, 2).next());
        assert_ne!(first[0], Random::new(8, 1).next());
    }

    #[test]
    fn numbers_stay_below_their_bound_and_reach_it() {
        let mut random = Random::new(1, 0);
        let mut seen = [false; 5];
        for _ in 0..200 {
            seen[random.below(5) as usize] = true;
        }
        assert_eq!((seen, random.below(0)), ([true; 5], 0));
    }

    #[test]
    fn zipf_ranks_fall_as_the_law_says() {
        let zipf = Weighted::zipf(100, 1.0);
        let mut random = Random::new(1, 0);
        let mut counts = [0_u32; 100];
        for _ in 0..100_000 {
            counts[zipf.draw(&mut random)] += 1;
        }
        let ratio = f64::from(counts[0]) / f64::from(counts[9]);
        assert!((8.0..12.5).contains(&ratio), "rank 1 is ten times rank 10: {ratio}");
        assert!(counts.iter().all(|&count| count > 0));
    }
}
