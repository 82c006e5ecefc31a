//! Sampling intervals that the configuration sets by hand, for exporters that tell none or a wrong one.

use std::cmp::Reverse;

use helios_common::columns::{FLOW_DIRECTION, IN_IF_INDEX, OUT_IF_INDEX, SAMPLING_INTERVAL, SAMPLING_SOURCE};
use helios_common::exporter::Address;
use helios_common::flow::FlowBatch;
use helios_common::prefix::Prefix;

use super::sampling::{EGRESS, Source};

/// An interval for exporters, or for one interface of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SamplingRule {
    /// Addresses of the exporters that the rule is for. Of several rules, the one with the longest prefix counts.
    pub exporters: Prefix,
    /// ifIndex; `None` for all interfaces.
    pub interface: Option<u32>,
    /// What these exporters sample with.
    pub rate: Rate,
}

/// N of 1-in-N, and whether it stands before what the exporter says or only where that says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// N of 1-in-N packets, 1 or more.
    pub interval: u32,
    /// `true`: counts before what the exporter announces; `false`: only where the exporter announces nothing.
    pub overrides: bool,
}

/// The rules of one exporter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ByHand {
    all: Option<Rate>,
    /// By ifIndex.
    interfaces: Vec<(u32, Rate)>,
}

impl ByHand {
    /// What the rules say of an exporter; `None` if none is of it. The longest prefix counts, of two the first one.
    pub fn of(rules: &[SamplingRule], exporter: Address) -> Option<Box<Self>> {
        let mut own: Vec<_> = rules.iter().filter(|rule| rule.exporters.holds(exporter)).collect();
        own.sort_by_key(|rule| Reverse(rule.exporters.bits()));
        let mut found = Self::default();
        for rule in &own {
            match rule.interface {
                None => found.all = found.all.or(Some(rule.rate)),
                Some(index) if found.interfaces.iter().all(|(known, _)| *known != index) => {
                    found.interfaces.push((index, rule.rate));
                }
                Some(_) => {}
            }
        }
        (!own.is_empty()).then(|| Box::new(found))
    }

    /// Writes the intervals of the `n` open rows, whose sampling columns hold what the exporter says.
    pub fn apply(&self, n: usize, out: &mut FlowBatch) {
        for row in 0..n {
            let at = out.rows() + row;
            let metered_at = if out.get(FLOW_DIRECTION, at) == EGRESS { OUT_IF_INDEX } else { IN_IF_INDEX };
            let if_index = out.get(metered_at, at);
            let of_interface = self.interfaces.iter().find(|(index, _)| *index == if_index).map(|(_, rate)| *rate);
            let untold = [Source::Unknown as u8, Source::Config as u8].contains(&out.get(SAMPLING_SOURCE, at));
            let Some(rate) = of_interface.or(self.all).filter(|rate| rate.overrides || untold) else { continue };
            let (intervals, sources) = out.open_slices(SAMPLING_INTERVAL, SAMPLING_SOURCE, n);
            if let (Some(interval), Some(source)) = (intervals.get_mut(row), sources.get_mut(row)) {
                (*interval, *source) = (rate.interval, Source::Config as u8);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use helios_common::exporter::mapped;

    fn rule(exporters: &str, interface: Option<u32>, interval: u32) -> SamplingRule {
        SamplingRule { exporters: exporters.parse().unwrap(), interface, rate: Rate { interval, overrides: false } }
    }

    #[test]
    fn the_longest_prefix_counts_and_an_interface_goes_before_all() {
        let rules = [rule("0.0.0.0/0", None, 1), rule("10.0.0.0/8", None, 2), rule("10.0.0.0/8", None, 3)];
        let found = ByHand::of(&rules, mapped([10, 0, 0, 1])).unwrap();
        assert_eq!(found.all.map(|rate| rate.interval), Some(2));
        let rules = [rule("10.0.0.0/8", Some(7), 4), rule("10.0.0.1/32", Some(7), 5), rule("10.0.0.0/8", Some(8), 6)];
        let found = ByHand::of(&rules, mapped([10, 0, 0, 1])).unwrap();
        let intervals: Vec<_> = found.interfaces.iter().map(|(index, rate)| (*index, rate.interval)).collect();
        assert_eq!((intervals, found.all), (vec![(7, 5), (8, 6)], None));
        assert_eq!(ByHand::of(&rules, mapped([11, 0, 0, 1])), None);
    }
}
