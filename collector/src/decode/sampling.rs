//! The sampling interval of each row, and where it came from.
//!
//! Order: configuration that overrides, the record itself, its sampler, its interface, its template, its observation
//! domain, the message header (v5), configuration; unknown counts as 1 and says so. A flow is never dropped for want of
//! a rate.
//!
//! A sampler that no record names gives no interval, even if it is the only one: it belongs to the interfaces that it is
//! applied to, and records of others carry no sampler either. `collector.sampling` sets the interval of such exporters.

use helios_common::columns::{FLOW_DIRECTION, IN_IF_INDEX, OUT_IF_INDEX, SAMPLING_INTERVAL, SAMPLING_SOURCE};
use helios_common::flow::FlowBatch;

use super::interval::Parameters;
use super::options::Tables;
use super::plan::SamplingFields;
use super::records::Records;

/// Values of the `sampling_source` column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Source {
    Unknown = 0,
    Record = 1,
    Sampler = 2,
    Interface = 3,
    Domain = 4,
    Header = 5,
    Config = 6,
}

/// Value of the `flow_direction` column: of what an interface counted on the way out.
pub(super) const EGRESS: u8 = 2;

/// An interval and its source.
pub(super) type Sampling = (u32, Source);

/// What applies to records that say nothing themselves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fallback {
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
pub(super) fn fill<R: Records>(
    fields: &SamplingFields,
    records: &R,
    tables: &Tables,
    (domain, template): (u32, u16),
    fallback: Fallback,
    out: &mut FlowBatch,
) {
    let n = records.len();
    let default = fallback.resolve(tables, (domain, template));
    if fields.own.is_empty() && fields.sampler.is_none() && !tables.has_interfaces() {
        out.fill(SAMPLING_INTERVAL, n, default.0);
        out.fill(SAMPLING_SOURCE, n, default.1 as u8);
        return;
    }
    let mut last = (u64::MAX, None);
    for row in 0..n {
        let own = || own_interval(&fields.own, records, row).map(|interval| (interval, Source::Record));
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
        if let (Some(interval_of), Some(source_of)) = (intervals.get_mut(row), sources.get_mut(row)) {
            (*interval_of, *source_of) = (interval, source as u8);
        }
    }
}

/// The interval that a record tells itself.
fn own_interval<R: Records>(own: &[(u16, usize)], records: &R, row: usize) -> Option<u32> {
    if own.is_empty() {
        return None;
    }
    let mut told = Parameters::default();
    for &(id, field) in own {
        told.learn(id, records.octets(row, field));
    }
    told.interval()
}
