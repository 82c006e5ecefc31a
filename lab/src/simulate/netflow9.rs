//! Exporters of NetFlow v9, after a Cisco IOS XR router: 22 fields, a sampler table, an interface table.

use std::sync::Arc;

use helios_collector::encode::netflow9::{HEADER_OCTETS, Header, Message, Scope};
use helios_collector::encode::{Field, Put, field};

use super::conversation::{INTERFACES, interface_texts};
use super::exporter::{Datagrams, Device, MAX_PAYLOAD, Visit, portions, runs};
use super::fields::{FamilyPools, SAMPLER, Shares};
use super::internet::Family;
use super::random::Random;
use super::records::{Draw, RecordPool};

const SAMPLER_TEMPLATE: u16 = 256;
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
    field(1, 4), field(2, 4), field(22, 4), field(21, 4),               // octets, packets, first, last
    field(8, 4), field(12, 4), field(7, 2), field(11, 2), field(4, 1),  // addresses, ports, protocol
    field(5, 1), field(6, 1), field(32, 2), field(10, 4), field(14, 4), // ToS, TCP flags, ICMP, interfaces
    field(16, 4), field(17, 4), field(9, 1), field(13, 1), field(15, 4), // ASes, prefix lengths, next hop
    field(61, 1), field(48, 1), field(89, 1),                           // direction, sampler, forwarding status
];

#[rustfmt::skip]
const V6_FIELDS: [Field; 22] = [
    field(1, 4), field(2, 4), field(22, 4), field(21, 4),
    field(27, 16), field(28, 16), field(7, 2), field(11, 2), field(4, 1),
    field(5, 1), field(6, 1), field(139, 2), field(10, 4), field(14, 4),
    field(16, 4), field(17, 4), field(29, 1), field(30, 1), field(62, 16),
    field(61, 1), field(48, 1), field(89, 1),
];

/// Sampler id, mode, interval; a name of fixed length.
const SAMPLER_NAME_OCTETS: u16 = 16;
const SAMPLER_FIELDS: [Field; 4] = [field(48, 1), field(49, 1), field(50, 4), field(84, SAMPLER_NAME_OCTETS)];
const RANDOM_MODE: u8 = 2;

/// ifIndex, name and description of an interface.
const NAME_OCTETS: u16 = 32;
const DESCRIPTION_OCTETS: u16 = 64;
const INTERFACE_FIELDS: [Field; 3] = [field(10, 4), field(82, NAME_OCTETS), field(83, DESCRIPTION_OCTETS)];

/// 104 octets each.
const INTERFACES_PER_DATAGRAM: u32 = 12;

/// Header and padding of a data FlowSet.
const FLOWSET_OCTETS: usize = 4 + 3;

pub(super) fn pools(random: &mut Random) -> FamilyPools {
    FamilyPools::new(&V4_FIELDS, &V6_FIELDS, random)
}

/// A device that speaks v9.
#[derive(Debug)]
pub(super) struct Exporting {
    pools: Arc<FamilyPools>,
    window: usize,
    shares: Shares,
    datagrams_sent: u32,
    unused_templates: u16,
}

impl Exporting {
    /// `templates` in all, if those that are used are fewer.
    pub(super) fn new(pools: Arc<FamilyPools>, templates: u16, random: &mut Random) -> Self {
        let unused_templates = templates.saturating_sub(TEMPLATES);
        Self {
            pools,
            window: RecordPool::window(random),
            shares: Shares::default(),
            datagrams_sent: 0,
            unused_templates,
        }
    }

    /// The header of the next datagram.
    fn header(&mut self, visit: &Visit<'_>) -> Header {
        let sequence = self.datagrams_sent;
        self.datagrams_sent = sequence.wrapping_add(1);
        let Visit { identity, now, .. } = visit;
        Header { sys_uptime_ms: visit.uptime_ms(), export_secs: now.secs(), sequence, source_id: identity.domain }
    }
}

impl Device for Exporting {
    fn announce(&mut self, visit: &mut Visit<'_>, out: &mut Datagrams) {
        let header = self.header(visit);
        out.announcement(|octets| {
            let mut message = Message::begin(&header, octets);
            message.templates(&[(V4_TEMPLATE, &V4_FIELDS), (V6_TEMPLATE, &V6_FIELDS)]);
            message.options_template(SAMPLER_TEMPLATE, &[(Scope::System, 4)], &SAMPLER_FIELDS);
            message.options_template(INTERFACE_TEMPLATE, &[(Scope::System, 4)], &INTERFACE_FIELDS);
            message.data(SAMPLER_TEMPLATE, 1, |out| {
                out.put_u32(visit.identity.domain);
                out.put_u8(SAMPLER as u8);
                out.put_u8(RANDOM_MODE);
                out.put_u32(visit.identity.sampling_interval);
                out.put_text("SM-1", usize::from(SAMPLER_NAME_OCTETS));
            });
        });
        for unused in runs(u32::from(self.unused_templates), TEMPLATES_PER_DATAGRAM) {
            let header = self.header(visit);
            let templates: Vec<(u16, &[Field])> =
                unused.map(|number| (UNUSED_TEMPLATE + number as u16, &V4_FIELDS[..])).collect();
            out.announcement(|octets| Message::begin(&header, octets).templates(&templates));
        }
        for indexes in runs(INTERFACES, INTERFACES_PER_DATAGRAM) {
            let header = self.header(visit);
            out.announcement(|octets| {
                Message::begin(&header, octets).data(INTERFACE_TEMPLATE, indexes.len(), |out| {
                    for index in indexes {
                        let (name, description) = interface_texts(index);
                        out.put_u32(visit.identity.domain);
                        out.put_u32(index);
                        out.put_text(&name, usize::from(NAME_OCTETS));
                        out.put_text(&description, usize::from(DESCRIPTION_OCTETS));
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
        let most = (MAX_PAYLOAD - HEADER_OCTETS - FLOWSET_OCTETS) / pool.record_octets();
        for records in portions(n, most) {
            let header = self.header(visit);
            let now = visit.unwrapped_uptime_ms();
            let mut draw = Draw { sizes: visit.sizes, random: visit.random, window: self.window, now };
            out.flows(|octets| {
                Message::begin(&header, octets).data(template, records, |out| pool.write::<4>(records, &mut draw, out))
            });
        }
    }
}
