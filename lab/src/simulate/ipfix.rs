//! Exporters of IPFIX: 22 fields with 64-bit counters and absolute times, a selector report, an interface table of
//! variable length.

use std::sync::Arc;

use helios_collector::encode::ipfix::{HEADER_OCTETS, Header, Message};
use helios_collector::encode::{Field, Put, VARIABLE_LENGTH, field};

use super::conversation::{INTERFACES, interface_texts};
use super::exporter::{Datagrams, Device, MAX_PAYLOAD, Visit, portions, runs};
use super::fields::{FamilyPools, SAMPLER, Shares};
use super::internet::Family;
use super::random::Random;
use super::records::{Draw, RecordPool};

const SELECTOR_TEMPLATE: u16 = 256;
const INTERFACE_TEMPLATE: u16 = 257;
const V4_TEMPLATE: u16 = 260;
const V6_TEMPLATE: u16 = 261;
/// Before the first of the templates that are announced and not used.
const UNUSED_TEMPLATE: u16 = 300;

/// What an exporter announces because it uses it.
const TEMPLATES: u16 = 4;

/// 92 octets each.
const TEMPLATES_PER_DATAGRAM: u32 = 14;

#[rustfmt::skip]
const V4_FIELDS: [Field; 22] = [
    field(1, 8), field(2, 8), field(152, 8), field(153, 8),             // octets, packets, start, end
    field(8, 4), field(12, 4), field(7, 2), field(11, 2), field(4, 1),  // addresses, ports, protocol
    field(5, 1), field(6, 2), field(32, 2), field(10, 4), field(14, 4), // ToS, TCP flags, ICMP, interfaces
    field(16, 4), field(17, 4), field(9, 1), field(13, 1), field(15, 4), // ASes, prefix lengths, next hop
    field(58, 2), field(302, 4), field(136, 1),                         // VLAN, selector, end reason
];

#[rustfmt::skip]
const V6_FIELDS: [Field; 22] = [
    field(1, 8), field(2, 8), field(152, 8), field(153, 8),
    field(27, 16), field(28, 16), field(7, 2), field(11, 2), field(4, 1),
    field(5, 1), field(6, 2), field(139, 2), field(10, 4), field(14, 4),
    field(16, 4), field(17, 4), field(29, 1), field(30, 1), field(62, 16),
    field(58, 2), field(302, 4), field(136, 1),
];

/// Selector, algorithm, packets taken, packets left out (RFC 5476 §6.5.2).
const SELECTOR_FIELDS: [Field; 4] = [field(302, 4), field(304, 2), field(305, 4), field(306, 4)];
/// Systematic count-based sampling, in IANA's registry of PSAMP algorithms.
const COUNT_BASED: u16 = 1;

/// ifIndex, name and description of an interface.
const INTERFACE_FIELDS: [Field; 3] = [field(10, 4), field(82, VARIABLE_LENGTH), field(83, VARIABLE_LENGTH)];

/// About 30 octets each.
const INTERFACES_PER_DATAGRAM: u32 = 32;

/// Header of a data Set.
const SET_OCTETS: usize = 4;

pub(super) fn pools(random: &mut Random) -> FamilyPools {
    FamilyPools::new(&V4_FIELDS, &V6_FIELDS, random)
}

/// A device that speaks IPFIX.
#[derive(Debug)]
pub(super) struct Exporting {
    pools: Arc<FamilyPools>,
    window: usize,
    shares: Shares,
    records_sent: u32,
    unused_templates: u16,
}

impl Exporting {
    /// `templates` in all, if those that are used are fewer.
    pub(super) fn new(pools: Arc<FamilyPools>, templates: u16, random: &mut Random) -> Self {
        let unused_templates = templates.saturating_sub(TEMPLATES);
        Self { pools, window: RecordPool::window(random), shares: Shares::default(), records_sent: 0, unused_templates }
    }

    /// The header of the next datagram, which holds `records` data records, options data included.
    fn header(&mut self, records: usize, visit: &Visit<'_>) -> Header {
        let sequence = self.records_sent;
        self.records_sent = sequence.wrapping_add(records as u32);
        Header { export_secs: visit.now.secs(), sequence, observation_domain_id: visit.identity.domain }
    }
}

impl Device for Exporting {
    fn announce(&mut self, visit: &mut Visit<'_>, out: &mut Datagrams) {
        let header = self.header(1, visit);
        out.announcement(|octets| {
            let mut message = Message::begin(&header, octets);
            message.templates(&[(V4_TEMPLATE, &V4_FIELDS), (V6_TEMPLATE, &V6_FIELDS)]);
            message.options_template(SELECTOR_TEMPLATE, 1, &SELECTOR_FIELDS);
            message.options_template(INTERFACE_TEMPLATE, 1, &INTERFACE_FIELDS);
            message.data(SELECTOR_TEMPLATE, |out| {
                out.put_u32(SAMPLER);
                out.put_u16(COUNT_BASED);
                out.put_u32(1);
                out.put_u32(visit.identity.sampling_interval - 1);
            });
        });
        for unused in runs(u32::from(self.unused_templates), TEMPLATES_PER_DATAGRAM) {
            let header = self.header(0, visit);
            let templates: Vec<(u16, &[Field])> =
                unused.map(|number| (UNUSED_TEMPLATE + number as u16, &V4_FIELDS[..])).collect();
            out.announcement(|octets| Message::begin(&header, octets).templates(&templates));
        }
        for indexes in runs(INTERFACES, INTERFACES_PER_DATAGRAM) {
            let header = self.header(indexes.len(), visit);
            out.announcement(|octets| {
                Message::begin(&header, octets).data(INTERFACE_TEMPLATE, |out| {
                    for index in indexes {
                        let (name, description) = interface_texts(index);
                        out.put_u32(index);
                        out.put_variable(name.as_bytes());
                        out.put_variable(description.as_bytes());
                    }
                });
            });
        }
    }

    fn flows(&mut self, n: usize, visit: &mut Visit<'_>, out: &mut Datagrams) {
        let pools = Arc::clone(&self.pools);
        let (pool, template) = match self.shares.next(n) {
            Family::V4 => (&pools.v4, V4_TEMPLATE),
            Family::V6 => (&pools.v6, V6_TEMPLATE),
        };
        let most = (MAX_PAYLOAD - HEADER_OCTETS - SET_OCTETS) / pool.record_octets();
        for records in portions(n, most) {
            let header = self.header(records, visit);
            let now = visit.now.ms();
            let mut draw = Draw { sizes: visit.sizes, random: visit.random, window: self.window, now };
            out.flows(|octets| {
                Message::begin(&header, octets).data(template, |out| pool.write::<8>(records, &mut draw, out))
            });
        }
    }
}
