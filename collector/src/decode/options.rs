//! Options data: what an exporter tells about itself, kept in tables per exporter.
//!
//! Sampler tables (samplerId or selectorId to interval), intervals per interface, per template and per domain, names of
//! applications, interfaces and VRFs, and when the device booted. Tables are shared by all observation domains of an
//! exporter, with the announcing domain's own entry first: devices announce samplers in one domain and use them in
//! another. An announcement is of the domain that its scope names, or else of its message's.

use hashbrown::HashMap;
use helios_common::names::NameId;
use helios_common::time::UnixMs;

use super::MAX_DOMAINS;
use super::interval::Parameters;
use super::plan::{SEQUENCE, is_time};
use super::records::{FixedRecords, LocatedRecords, Positions, Records};
use super::template::{Compiled, Field};
use super::text::Texts;

/// Entries per table and exporter: NBAR knows some thousand applications, chassis some thousand interfaces.
const MAX_ENTRIES: usize = 16_384;

/// Entries of all tables of one worker's exporters, at about 40 octets each: 80 MiB at the most. 8,000 devices with 250
/// each have room. When the limit is reached, entries stay and further ones are refused, so that forged senders cannot
/// replace them; an eighth is kept for exporters that are established (see [`ESTABLISHED_MS`](super::template::ESTABLISHED_MS)).
pub(super) const MAX_WORKER_ENTRIES: usize = 1 << 21;

type Table<K, V> = HashMap<K, V, foldhash::quality::RandomState>;

/// How an exporter calls one of its interfaces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct InterfaceNames {
    pub name: NameId,
    pub description: NameId,
}

/// What one exporter announced.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) samplers: Table<(u32, u64), u32>,
    /// By sampler id alone, the latest announcement of any domain.
    pub(super) samplers_any_domain: Table<u64, u32>,
    pub(super) interfaces: Table<(u32, u32), u32>,
    /// By domain and template id.
    pub(super) templates: Table<(u32, u16), u32>,
    pub(super) domains: Table<u32, u32>,
    pub(super) applications: Table<u64, NameId>,
    pub(super) interface_names: Table<u32, InterfaceNames>,
    pub(super) vrfs: Table<u32, NameId>,
    pub(super) system_init: Table<u32, UnixMs>,
    /// Whether an entry came or changed since this was last set to false.
    pub changed: bool,
    /// Entries that may still come: set before a set is taken in.
    pub room: usize,
    /// Entries that there was no room for.
    pub refused: u64,
}

/// What a new entry did to a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    Known,
    Changed,
    Added,
    Refused,
}

impl Tables {
    /// Entries of all tables.
    pub(super) fn len(&self) -> usize {
        self.samplers.len()
            + self.samplers_any_domain.len()
            + self.interfaces.len()
            + self.templates.len()
            + self.domains.len()
            + self.applications.len()
            + self.interface_names.len()
            + self.vrfs.len()
            + self.system_init.len()
    }

    /// Takes note of what became of an entry.
    fn note(&mut self, put: Put) {
        self.changed |= matches!(put, Put::Added | Put::Changed);
        self.room = self.room.saturating_sub(usize::from(put == Put::Added));
        self.refused += u64::from(put == Put::Refused);
    }

    /// The interval of a sampler: as announced in `domain`, else in any, else the only one there is for id 0.
    ///
    /// Id 0 with a table that does not list it is what some Cisco devices send for "the sampler".
    pub(super) fn sampler(&self, domain: u32, id: u64) -> Option<u32> {
        let known = self.samplers.get(&(domain, id)).or_else(|| self.samplers_any_domain.get(&id));
        known.copied().or_else(|| match (id, self.samplers_any_domain.len()) {
            (0, 1) => self.samplers_any_domain.values().next().copied(),
            _ => None,
        })
    }

    pub(super) fn interface(&self, domain: u32, if_index: u32) -> Option<u32> {
        self.interfaces.get(&(domain, if_index)).copied()
    }

    pub(super) fn has_interfaces(&self) -> bool {
        !self.interfaces.is_empty()
    }

    /// The interval of records of a template.
    pub(super) fn template(&self, domain: u32, id: u16) -> Option<u32> {
        self.templates.get(&(domain, id)).copied()
    }

    /// The interval of a whole domain; of the exporter's other domains if it has none itself and they agree.
    pub(super) fn domain(&self, domain: u32) -> Option<u32> {
        of_domain(&self.domains, domain)
    }

    pub(super) fn application(&self, id: u64) -> Option<NameId> {
        self.applications.get(&id).copied()
    }

    /// The names of an interface. ifIndex is the device's own (RFC 2863), whatever the observation domain.
    pub(super) fn interface_names(&self, if_index: u32) -> Option<InterfaceNames> {
        self.interface_names.get(&if_index).copied()
    }

    pub(super) fn has_interface_names(&self) -> bool {
        !self.interface_names.is_empty()
    }

    pub(super) fn vrf(&self, id: u32) -> Option<NameId> {
        self.vrfs.get(&id).copied()
    }

    pub(super) fn has_vrfs(&self) -> bool {
        !self.vrfs.is_empty()
    }

    /// When the device booted (`systemInitTimeMilliseconds`), as another domain says if this one does not.
    pub(super) fn system_init(&self, domain: u32) -> Option<UnixMs> {
        of_domain(&self.system_init, domain)
    }

    /// Takes the records of an options data set in.
    pub(super) fn learn<R: Records>(&mut self, fields: &[Field], records: &R, domain: u32, texts: &mut Texts<'_>) {
        for row in 0..records.len() {
            let option = Announcement::read(fields, records, row, texts);
            self.apply(option, domain);
        }
    }

    fn apply(&mut self, option: Announcement, domain: u32) {
        let domain = option.domain.unwrap_or(domain);
        if let (Some(sequence), None) = (option.sequence, option.interval())
            && let Some(interval) = self.sequence(domain, &option.selectors)
        {
            self.put_sampler(domain, sequence, interval);
        }
        if let Some(interval) = option.interval() {
            self.put_interval(&option, domain, interval);
        }
        if let (Some(id), Some(name)) = (option.application_id, option.application_name) {
            let put = put(&mut self.applications, self.room, id, name);
            self.note(put);
        }
        if let Some(init) = option.system_init {
            let put = put(&mut self.system_init, self.room, domain, init);
            self.note(put);
        }
        if let Some(index) = option.interface.filter(|_| option.names != InterfaceNames::default()) {
            let put = put(&mut self.interface_names, self.room, index, option.names);
            self.note(put);
        }
        if let (Some(id), Some(name)) = (option.vrf, option.vrf_name) {
            let put = put(&mut self.vrfs, self.room, id, name);
            self.note(put);
        }
    }

    /// The interval of a sequence of selectors (RFC 5476 §6.5.1): each takes of what the one before it left. Those of filters
    /// have no interval.
    fn sequence(&self, domain: u32, selectors: &Selectors) -> Option<u32> {
        let intervals = selectors.ids()?.iter().filter_map(|&id| self.sampler(domain, id));
        intervals.reduce(u32::saturating_mul)
    }

    /// Takes an interval in for what it is of: a sampler, an interface, a template or the domain.
    fn put_interval(&mut self, option: &Announcement, domain: u32, interval: u32) {
        if let Some(id) = option.sampler.or(option.sequence) {
            return self.put_sampler(domain, id, interval);
        }
        let put = match (option.interface, option.template) {
            (Some(interface), _) => put(&mut self.interfaces, self.room, (domain, interface), interval),
            (None, Some(template)) => put(&mut self.templates, self.room, (domain, template), interval),
            (None, None) => put(&mut self.domains, self.room, domain, interval),
        };
        self.note(put);
    }

    pub(super) fn put_sampler(&mut self, domain: u32, id: u64, interval: u32) {
        let anywhere = put(&mut self.samplers_any_domain, self.room, id, interval);
        self.note(anywhere);
        let here = put(&mut self.samplers, self.room, (domain, id), interval);
        self.note(here);
    }
}

/// What the domain announced. If it announced nothing: the value that all other domains agree on. The function runs for
/// every set, so it does not compare more than [`MAX_DOMAINS`] of them.
fn of_domain<V: Copy + PartialEq>(table: &Table<u32, V>, domain: u32) -> Option<V> {
    table.get(&domain).copied().or_else(|| {
        let first = table.values().next().copied().filter(|_| table.len() <= MAX_DOMAINS)?;
        table.values().all(|&value| value == first).then_some(first)
    })
}

/// Inserts into a bounded table, which may get `room` more entries.
pub(super) fn put<K: std::hash::Hash + Eq, V: PartialEq>(
    table: &mut Table<K, V>,
    room: usize,
    key: K,
    value: V,
) -> Put {
    let full = room == 0 || table.len() >= MAX_ENTRIES;
    match table.get_mut(&key) {
        Some(known) if *known == value => Put::Known,
        Some(known) => {
            *known = value;
            Put::Changed
        }
        None if full => Put::Refused,
        None => {
            table.insert(key, value);
            Put::Added
        }
    }
}

/// The selectors that a sequence is made of, in their order.
#[derive(Debug, Clone, Copy, Default)]
struct Selectors {
    ids: [u64; MAX_SELECTORS],
    n: usize,
}

/// Selectors of a sequence: filter, sampler and a sampler of what is left are three.
const MAX_SELECTORS: usize = 8;

impl Selectors {
    fn push(&mut self, id: u64) {
        if let Some(place) = self.ids.get_mut(self.n) {
            *place = id;
        }
        self.n += 1;
    }

    /// `None` if they are more than are kept.
    fn ids(&self) -> Option<&[u64]> {
        self.ids.get(..self.n)
    }
}

/// The meaning of one options record.
#[derive(Debug, Clone, Copy, Default)]
struct Announcement {
    /// Another domain than the message's.
    domain: Option<u32>,
    template: Option<u16>,
    sampler: Option<u64>,
    selectors: Selectors,
    sequence: Option<u64>,
    interface: Option<u32>,
    sampling: Parameters,
    application_id: Option<u64>,
    application_name: Option<NameId>,
    names: InterfaceNames,
    vrf: Option<u32>,
    vrf_name: Option<NameId>,
    system_init: Option<UnixMs>,
}

impl Announcement {
    fn read<R: Records>(fields: &[Field], records: &R, row: usize, texts: &mut Texts<'_>) -> Self {
        let mut option = Self::default();
        for (at, field) in fields.iter().enumerate().filter(|(_, field)| field.ie.pen == 0) {
            let octets = records.octets(row, at);
            let number = || Some(super::cursor::unsigned(octets));
            match field.ie.id {
                // Cisco's interface tables carry the ifIndex as an option beside a scope of "system".
                10 | 14 => option.interface = number().map(|index| index as u32),
                48 => option.sampler = number(),
                302 => {
                    option.sampler = number();
                    option.selectors.push(super::cursor::unsigned(octets));
                }
                82 => option.names.name = texts.intern(octets),
                83 => option.names.description = texts.intern(octets),
                95 => option.application_id = number(),
                96 => option.application_name = Some(texts.intern(octets)),
                145 => option.template = number().and_then(|id| id.try_into().ok()),
                149 => option.domain = number().and_then(|id| id.try_into().ok()),
                // A device that does not know the time says 0.
                160 => option.system_init = number().filter(|&ms| is_time(ms)).map(|ms| ms as UnixMs),
                234 | 235 => option.vrf = number().map(|id| id as u32),
                236 => option.vrf_name = Some(texts.intern(octets)),
                301 => option.sequence = number().map(|id| id | SEQUENCE),
                id => option.sampling.learn(id, octets),
            }
        }
        option
    }

    fn interval(&self) -> Option<u32> {
        self.sampling.interval()
    }
}

/// Takes an options data set in. Returns how many records it had, and whether a length in one runs past the set: those
/// in front of it are taken in.
pub(super) fn learn_set(
    tables: &mut Tables,
    template: &Compiled,
    octets: &[u8],
    domain: u32,
    texts: &mut Texts<'_>,
    positions: &mut Positions,
) -> (u32, bool) {
    if let Some(places) = &template.places {
        let records = FixedRecords::new(octets, template.record_octets, places);
        tables.learn(&template.fields, &records, domain, texts);
        return (records.len() as u32, false);
    }
    let located = positions.locate(octets, &template.fields, template.record_octets);
    let records = LocatedRecords { data: octets, positions };
    tables.learn(&template.fields, &records, domain, texts);
    (records.len() as u32, located.is_err())
}
