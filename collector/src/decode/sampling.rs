//! The sampling interval of each row, and where it came from.
//!
//! Order: the record itself, its sampler, its interface, its template, its observation domain, the message header (v5),
//! configuration; unknown counts as 1 and says so. A flow is never dropped for want of a rate.

use helios_common::columns::{FLOW_DIRECTION, IN_IF_INDEX, OUT_IF_INDEX, SAMPLING_INTERVAL, SAMPLING_SOURCE};
use helios_common::flow::FlowBatch;

use super::options::{Tables, one_of, ratio};
use super::plan::SamplingFields;
use super::records::Records;

/// Values of the `sampling_source` column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Source {
    Unknown = 0,
    Record = 1,
    Sampler = 2,
    Interface = 3,
    Domain = 4,
    Header = 5,
    Config = 6,
}

/// Value of the `flow_direction` column: of what an interface counted on the way out.
const EGRESS: u8 = 2;

/// An interval and its source.
pub type Sampling = (u32, Source);

/// What applies to records that say nothing themselves.
#[derive(Debug, Clone, Copy)]
pub struct Fallback {
    /// Interval of the message's header, if it has one.
    pub header: Option<u32>,
    /// Interval by configuration.
    pub config: Option<u32>,
}

impl Fallback {
    /// The interval of rows without a record's, sampler's or interface's own. That of a template is one of its domain's.
    fn resolve(self, tables: &Tables, (domain, template): (u32, u16)) -> Sampling {
        let announced = tables.template(domain, template).or_else(|| tables.domain(domain));
        let announced = announced.map(|interval| (interval, Source::Domain));
        let header = self.header.map(|interval| (interval, Source::Header));
        let config = self.config.map(|interval| (interval, Source::Config));
        announced.or(header).or(config).unwrap_or((1, Source::Unknown))
    }
}

/// Writes both sampling columns of the open rows, which are of a template of a domain.
pub fn fill<R: Records>(
    fields: &SamplingFields,
    records: &R,
    tables: &Tables,
    (domain, template): (u32, u16),
    fallback: Fallback,
    out: &mut FlowBatch,
) {
    let n = records.len();
    let default = fallback.resolve(tables, (domain, template));
    let own = own_interval(fields);
    if own.is_none() && fields.sampler.is_none() && !tables.has_interfaces() {
        out.fill(SAMPLING_INTERVAL, n, default.0);
        out.fill(SAMPLING_SOURCE, n, default.1 as u8);
        return;
    }
    let mut last = (u64::MAX, None);
    for row in 0..n {
        let own = || own.as_ref().and_then(|own| own(records, row)).map(|interval| (interval, Source::Record));
        let sampler = || {
            let (field, kind) = fields.sampler?;
            let id = kind | records.unsigned(row, field);
            if id != last.0 {
                last = (id, tables.sampler(domain, id));
            }
            last.1.map(|interval| (interval, Source::Sampler))
        };
        let interface = || {
            let at = out.rows() + row;
            let metered_at = if out.get(FLOW_DIRECTION, at) == EGRESS { OUT_IF_INDEX } else { IN_IF_INDEX };
            tables.interface(domain, out.get(metered_at, at)).map(|interval| (interval, Source::Interface))
        };
        let (interval, source) = own().or_else(sampler).or_else(interface).unwrap_or(default);
        let (intervals, sources) = out.open_slices(SAMPLING_INTERVAL, SAMPLING_SOURCE, n);
        (intervals[row], sources[row]) = (interval, source as u8);
    }
}

/// How a record tells its own interval, if its template has fields for that.
fn own_interval<R: Records>(fields: &SamplingFields) -> Option<impl Fn(&R, usize) -> Option<u32>> {
    let SamplingFields { interval, interval_space, size_population, probability, .. } = *fields;
    let any = interval.is_some() || interval_space.is_some() || size_population.is_some() || probability.is_some();
    any.then_some(move |records: &R, row: usize| {
        let value = |field: usize| records.unsigned(row, field);
        let whole = interval.map(value).and_then(|interval| ratio(interval, 1));
        let spaced = || {
            let (taken, space) = interval_space?;
            let taken = value(taken);
            ratio(taken.saturating_add(space.map_or(0, value)), taken)
        };
        let sized = || size_population.and_then(|(size, population)| ratio(value(population), value(size)));
        let likely = || one_of(records.octets(row, probability?));
        whole.or_else(spaced).or_else(sized).or_else(likely)
    })
}
