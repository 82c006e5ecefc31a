//! The interval that sampling parameters stand for: N of "one of N packets".
//!
//! | elements | what they say | interval |
//! |---|---|---|
//! | 34, 50 | samplingInterval, samplerRandomInterval (RFC 3954 §8) | as told |
//! | 305, 306 | packets taken, packets passed over (RFC 5477 §8.2.1) | (305 + 306) / 305 |
//! | 307, 308 | microseconds in which packets are taken, in which they are not | (307 + 308) / 307 |
//! | 309, 310 | n out of N packets (of flows, with 390: RFC 7014 §7) | 310 / 309 |
//! | 311 | probability | 1 / 311 |
//! | 329 to 332 | range of a hash, and the part of it that is selected (RFC 5477 §8.3) | range / part |
//! | 396, 397 | flows taken, flows passed over (RFC 7014 §7) | (396 + 397) / 396 |
//! | 398, 399 | microseconds in which flows are taken, in which they are not | (398 + 399) / 398 |
//!
//! `selectorAlgorithm` (304) and `flowSelectorAlgorithm` (390) say which of them count; a filter has no interval. Half a
//! pair is no interval: one packet taken says nothing without those that were passed over. What a selector attained (318
//! and 319, 392 to 395) are counters and no parameters.

/// The elements that are parameters.
pub(super) const ELEMENTS: [u16; 19] =
    [34, 50, 304, 305, 306, 307, 308, 309, 310, 311, 329, 330, 331, 332, 390, 396, 397, 398, 399];

/// Sampling parameters of a record. A parameter that was not told is `None`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Parameters {
    interval: Option<u64>,
    random_interval: Option<u64>,
    packets: Pair,
    time: Pair,
    flows: Pair,
    flow_time: Pair,
    /// `samplingSize` and `samplingPopulation`.
    sized: Pair,
    /// N of a probability of 1 in N.
    probable: Option<u32>,
    hash_output: Pair,
    hash_selected: Pair,
    algorithm: Option<Algorithm>,
}

/// Two parameters that mean something together.
#[derive(Debug, Clone, Copy, Default)]
struct Pair(Option<u64>, Option<u64>);

/// How a selector chooses, as far as it matters which parameters are its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    CountBased,
    TimeBased,
    OutOf,
    Probabilistic,
    Hash,
    /// Filters, and what depends on state: there is no interval.
    None,
}

impl Pair {
    fn both(self) -> Option<(u64, u64)> {
        self.0.zip(self.1)
    }

    /// Taken and passed over.
    fn spaced(self) -> Option<u32> {
        let (taken, space) = self.both()?;
        ratio(taken.saturating_add(space), taken)
    }

    /// Values from the first one to the second.
    fn span(self) -> Option<u64> {
        let (min, max) = self.both()?;
        Some(max.checked_sub(min)?.saturating_add(1))
    }
}

impl Parameters {
    /// Takes an element of the record in; others than parameters are ignored.
    pub(super) fn learn(&mut self, id: u16, octets: &[u8]) {
        let value = || Some(super::cursor::unsigned(octets));
        match id {
            34 => self.interval = value(),
            50 => self.random_interval = value(),
            304 => self.algorithm = value().and_then(packet_algorithm),
            305 => self.packets.0 = value(),
            306 => self.packets.1 = value(),
            307 => self.time.0 = value(),
            308 => self.time.1 = value(),
            309 => self.sized.0 = value(),
            310 => self.sized.1 = value(),
            311 => self.probable = one_of(octets),
            329 => self.hash_output.0 = value(),
            330 => self.hash_output.1 = value(),
            331 => self.hash_selected.0 = value(),
            332 => self.hash_selected.1 = value(),
            390 => self.algorithm = value().and_then(flow_algorithm),
            396 => self.flows.0 = value(),
            397 => self.flows.1 = value(),
            398 => self.flow_time.0 = value(),
            399 => self.flow_time.1 = value(),
            _ => {}
        }
    }

    /// The interval; `None` if the parameters do not tell one.
    pub(super) fn interval(&self) -> Option<u32> {
        let told = [self.interval, self.random_interval];
        let whole = told.into_iter().flatten().find_map(|interval| ratio(interval, 1));
        whole.or_else(|| self.selected())
    }

    fn selected(&self) -> Option<u32> {
        let sized = || self.sized.both().and_then(|(size, population)| ratio(population, size));
        let count_based = || self.packets.spaced().or_else(|| self.flows.spaced());
        let time_based = || self.time.spaced().or_else(|| self.flow_time.spaced());
        let hashed = || ratio(self.hash_output.span()?, self.hash_selected.span()?);
        match self.algorithm {
            Some(Algorithm::CountBased) => count_based(),
            Some(Algorithm::TimeBased) => time_based(),
            Some(Algorithm::OutOf) => sized(),
            Some(Algorithm::Probabilistic) => self.probable,
            Some(Algorithm::Hash) => hashed(),
            Some(Algorithm::None) => None,
            None => count_based().or_else(sized).or_else(time_based).or(self.probable).or_else(hashed),
        }
    }
}

/// `selectorAlgorithm`, by IANA's registry of PSAMP parameters (RFC 5477 §8.2); `None` for a number that it does not have.
const fn packet_algorithm(number: u64) -> Option<Algorithm> {
    Some(match number {
        1 => Algorithm::CountBased,
        2 => Algorithm::TimeBased,
        3 => Algorithm::OutOf,
        4 => Algorithm::Probabilistic,
        6..=8 => Algorithm::Hash,
        5 | 9 => Algorithm::None,
        _ => return None,
    })
}

/// `flowSelectorAlgorithm` (RFC 7014 §7.1.1).
const fn flow_algorithm(number: u64) -> Option<Algorithm> {
    Some(match number {
        1 => Algorithm::CountBased,
        2 => Algorithm::TimeBased,
        3 => Algorithm::OutOf,
        4 => Algorithm::Probabilistic,
        6 => Algorithm::Hash,
        5 | 7 => Algorithm::None,
        _ => return None,
    })
}

/// `population / size`, rounded: 1 of 2.5 is nearer to 1 of 3 than to 1 of 2.
fn ratio(population: u64, size: u64) -> Option<u32> {
    let rounded = population.saturating_add(size / 2).checked_div(size)?;
    (rounded > 0).then(|| rounded.min(u64::from(u32::MAX)) as u32)
}

/// N of a probability of 1 in N, rounded; `None` for octets that are no number between 0 and 1.
fn one_of(octets: &[u8]) -> Option<u32> {
    let probability = match *octets {
        [a, b, c, d] => f64::from(f32::from_be_bytes([a, b, c, d])),
        _ => f64::from_be_bytes(*octets.as_array()?),
    };
    (probability > 0.0 && probability <= 1.0).then(|| probability.recip().round() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(parameters: &[(u16, u32)]) -> Option<u32> {
        let mut told = Parameters::default();
        parameters.iter().for_each(|&(id, value)| told.learn(id, &value.to_be_bytes()));
        told.interval()
    }

    #[test]
    fn every_method_has_its_interval() {
        for (parameters, expected) in [
            (&[(34, 100)][..], 100),
            (&[(304, 1), (305, 2), (306, 198)], 100),
            (&[(304, 2), (307, 10), (308, 990)], 100),
            (&[(304, 3), (309, 3), (310, 300)], 100),
            (&[(304, 4), (311, 0.01_f32.to_bits())], 100),
            (&[(304, 6), (329, 0), (330, 65_535), (331, 0), (332, 654)], 100),
            (&[(390, 1), (396, 1), (397, 99)], 100),
            (&[(390, 2), (398, 5), (399, 495)], 100),
            (&[(390, 3), (309, 2), (310, 200)], 100),
        ] {
            assert_eq!(interval(parameters), Some(expected), "{parameters:?}");
            // Devices that do not say how they choose: whatever is complete.
            let without: Vec<_> = parameters.iter().copied().filter(|(id, _)| ![304, 390].contains(id)).collect();
            assert_eq!(interval(&without), Some(expected), "{without:?}");
        }
    }

    #[test]
    fn half_a_pair_is_no_interval_and_never_1() {
        for id in [305, 306, 307, 308, 309, 310, 329, 330, 331, 332, 396, 397, 398, 399] {
            assert_eq!(interval(&[(id, 1)]), None, "{id}");
        }
        assert_eq!(interval(&[(305, 1), (306, 0)]), Some(1), "all packets are taken");
        assert_eq!(interval(&[(305, 0), (306, 9)]), None, "none is taken");
        assert_eq!(interval(&[(309, 0), (310, 9)]), None);
    }

    #[test]
    fn the_algorithm_says_which_parameters_count() {
        let both = [(305, 1), (306, 0), (309, 1), (310, 256)];
        assert_eq!(interval(&[&[(304, 3)][..], &both].concat()), Some(256));
        assert_eq!(interval(&[&[(304, 1)][..], &both].concat()), Some(1));
        assert_eq!(interval(&[(304, 3), (305, 1), (309, 1), (310, 256)]), Some(256));
        assert_eq!(interval(&[(305, 1), (309, 1), (310, 256)]), Some(256));
        assert_eq!(interval(&[(304, 5), (309, 1), (310, 256)]), None, "a filter");
    }

    #[test]
    fn of_two_intervals_the_one_that_is_not_zero_counts_in_any_order() {
        assert_eq!(interval(&[(34, 0), (50, 512)]), Some(512));
        assert_eq!(interval(&[(50, 0), (34, 512)]), Some(512));
        assert_eq!(interval(&[(34, 0), (50, 0)]), None);
        assert_eq!(interval(&[(34, 0), (309, 1), (310, 64)]), Some(64));
    }
}
