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
//! pair is no interval: one packet taken says nothing without those that were passed over. A part that is larger than its
//! whole, such as 10 out of 5, is none either. Where packets were selected, and flows of them, both intervals multiply. What a
//! selector attained (318 and 319, 391 to 395) are counters and no parameters.

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
    flow_algorithm: Option<Algorithm>,
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
        let taken = u128::from(taken);
        ratio(taken + u128::from(space), taken)
    }

    /// Values from the first one to the second.
    fn span(self) -> Option<u128> {
        let (min, max) = self.both()?;
        Some(u128::from(max.checked_sub(min)?) + 1)
    }
}

impl Parameters {
    /// Takes an element of the record in; others than parameters are ignored, and so is one without octets.
    pub(super) fn learn(&mut self, id: u16, octets: &[u8]) {
        if octets.is_empty() {
            return;
        }
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
            390 => self.flow_algorithm = value().and_then(flow_algorithm),
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
        let whole = told.into_iter().flatten().find_map(|interval| ratio(interval.into(), 1));
        whole.or_else(|| self.selected())
    }

    fn selected(&self) -> Option<u32> {
        let (packets, flows) = (self.packets.spaced(), self.flows.spaced());
        let (packet_time, flow_time) = (self.time.spaced(), self.flow_time.spaced());
        match (self.algorithm, self.flow_algorithm) {
            (Some(Algorithm::None), Some(only)) => self.by(only, flows, flow_time),
            (Some(only), Some(Algorithm::None)) => self.by(only, packets, packet_time),
            // Of whom one set of parameters is cannot be told where both have a method that takes it.
            (Some(of_packets), Some(of_flows)) if of_packets == of_flows && !of_flows.has_parameters_of_its_own() => {
                None
            }
            (Some(of_packets), Some(of_flows)) => {
                let of_packets = self.by(of_packets, packets, packet_time)?;
                Some(of_packets.saturating_mul(self.by(of_flows, flows, flow_time)?))
            }
            (Some(only), None) | (None, Some(only)) => {
                self.by(only, either_or_both(packets, flows), either_or_both(packet_time, flow_time))
            }
            (None, None) => either_or_both(packets, flows)
                .or_else(|| self.by(Algorithm::OutOf, None, None))
                .or_else(|| either_or_both(packet_time, flow_time))
                .or_else(|| self.by(Algorithm::Probabilistic, None, None))
                .or_else(|| self.by(Algorithm::Hash, None, None)),
        }
    }

    /// The interval of one method. Counts and times are told apart for packets and flows, the rest is not.
    fn by(&self, algorithm: Algorithm, counted: Option<u32>, timed: Option<u32>) -> Option<u32> {
        match algorithm {
            Algorithm::CountBased => counted,
            Algorithm::TimeBased => timed,
            Algorithm::OutOf => self.sized.both().and_then(|(size, population)| ratio(population.into(), size.into())),
            Algorithm::Probabilistic => self.probable,
            Algorithm::Hash => ratio(self.hash_output.span()?, self.hash_selected.span()?),
            Algorithm::None => None,
        }
    }
}

impl Algorithm {
    /// Whether packets and flows have different elements for it.
    const fn has_parameters_of_its_own(self) -> bool {
        matches!(self, Self::CountBased | Self::TimeBased)
    }
}

/// The interval of packets, of flows, or of flows that selected packets make.
fn either_or_both(packets: Option<u32>, flows: Option<u32>) -> Option<u32> {
    let both = packets.zip(flows).map(|(packets, flows)| packets.saturating_mul(flows));
    both.or(packets).or(flows)
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

/// `population / size`, rounded: 1 of 2.5 is nearer to 1 of 3 than to 1 of 2. `None` for a part that is none, or more than
/// its whole.
fn ratio(population: u128, size: u128) -> Option<u32> {
    let rounded = (population + size / 2).checked_div(size)?;
    (size <= population).then(|| rounded.min(u32::MAX.into()) as u32)
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
    fn what_no_octets_tell_and_a_part_that_is_more_than_its_whole_are_no_interval() {
        let mut told = Parameters::default();
        told.learn(305, &[0, 0, 0, 1]);
        told.learn(306, &[]);
        assert_eq!(told.interval(), None, "a field of no length");
        assert_eq!(interval(&[(309, 10), (310, 5)]), None);
        assert_eq!(interval(&[(329, 0), (330, 99), (331, 0), (332, 999)]), None);
        assert_eq!(interval(&[(329, 0), (330, 99), (331, 50), (332, 40)]), None);
    }

    #[test]
    fn a_range_of_all_64_bits_is_divided_like_any_other() {
        let mut told = Parameters::default();
        for (id, value) in [(329, 0), (330, u64::MAX), (331, 0), (332, (1_u64 << 60) - 1)] {
            told.learn(id, &value.to_be_bytes());
        }
        assert_eq!(told.interval(), Some(16));
        told.learn(332, &u64::MAX.to_be_bytes());
        assert_eq!(told.interval(), Some(1));
    }

    #[test]
    fn intervals_of_packets_and_of_their_flows_multiply() {
        let packets = [(305, 1), (306, 9)];
        let flows = [(396, 1), (397, 19)];
        let methods = [(304, 1), (390, 1)];
        assert_eq!(interval(&[&packets[..], &flows].concat()), Some(200));
        assert_eq!(interval(&[&methods[..], &packets, &flows].concat()), Some(200));
        for out_of in [&[(304, 3), (390, 1)][..], &[(390, 1), (304, 3)]] {
            assert_eq!(interval(&[out_of, &[(309, 1), (310, 10)], &flows].concat()), Some(200), "{out_of:?}");
        }
        assert_eq!(interval(&[(304, 3), (390, 3), (309, 1), (310, 10)]), None, "whose are 309 and 310?");
        assert_eq!(interval(&[&methods[..], &packets].concat()), None, "the flows' half is missing");
        assert_eq!(interval(&[&[(304, 5), (390, 1)], &flows[..]].concat()), Some(20), "flows of filtered packets");
        assert_eq!(interval(&[&[(304, 1), (390, 5)], &packets[..]].concat()), Some(10));
    }

    #[test]
    fn of_two_intervals_the_one_that_is_not_zero_counts_in_any_order() {
        assert_eq!(interval(&[(34, 0), (50, 512)]), Some(512));
        assert_eq!(interval(&[(50, 0), (34, 512)]), Some(512));
        assert_eq!(interval(&[(34, 0), (50, 0)]), None);
        assert_eq!(interval(&[(34, 0), (309, 1), (310, 64)]), Some(64));
    }
}
