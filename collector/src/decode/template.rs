//! Templates: definitions from the wire, compiled once and kept per observation domain.
//!
//! The scope of a template id is (exporter address, version, observation domain). The port is part of a transport session
//! (RFC 7011 §8.1), but exporters change theirs after a restart, and line cards of one device share templates over several
//! ports. So it counts only where ports disagree: when another port defines an id in another way, each port keeps its
//! own definition from then on, and ports that never defined it have the latest one. Data and options templates share one
//! id space, the last definition of a port wins (RFC 7011 §8.4, RFC 3954 §9).

use std::hash::BuildHasher;
use std::ops::Deref;
use std::sync::Arc;

use hashbrown::{HashMap, HashTable};
use helios_common::ie::{Ie, iana};
use helios_common::time::UnixMs;

use super::DecodeError;
use super::budget::{hashed_with_removals, is_sparse};
use super::cursor::Cursor;
use super::plan::Plan;
use super::records::Place;

/// Length of a field whose length each record tells (RFC 7011 §7).
pub const VARIABLE_LENGTH: u16 = 0xffff;

/// Set ids below this are template sets or reserved; data sets carry their template's id (RFC 7011 §3.4.1).
pub const MIN_DATA_SET_ID: u16 = 256;

/// More fields than any device sends (the longest known templates have about 120): beyond it is garbage.
const MAX_FIELDS: usize = 1024;

/// A record has to fit into a datagram.
const MAX_RECORD_OCTETS: usize = 65_535;

/// Templates per observation domain. IOS XR devices use a few dozen, some probes several hundred.
pub const MAX_TEMPLATES: usize = 1024;

/// Templates per exporter, over all of its domains: 1,000 line cards with a few each.
pub const MAX_EXPORTER_TEMPLATES: usize = 4096;

/// Octets of the templates of an exporter, counted as if it shared no definition with another: 4,096 templates of 30
/// fields, or 450 of the longest. One more takes the place of the least recently used of its domain.
pub const MAX_EXPORTER_TEMPLATE_OCTETS: usize = 8 << 20;

/// Templates of one worker, of 350 octets each besides their definitions, which those of one kind of device share and
/// which the [budget](super::budget) bounds. When as many are held, newcomers get none, so that spoofed senders cannot
/// push out an honest exporter's templates.
pub const MAX_WORKER_TEMPLATES: usize = 131_072;

/// Templates that one definition may push out of its domain: a large one takes the place of several small ones.
const MAX_EVICTIONS: usize = 16;

/// An exporter is established when it has been known for so long, or was known before a restart. An eighth of everything
/// that is bounded for all exporters together is for these: a flood of made-up senders that takes all the rest leaves
/// devices that were there before it room for more.
pub const ESTABLISHED_MS: i64 = 10 * 60 * 1000;

/// Ports that may disagree about one template id. Of more, the one that defined it longest ago has the latest definition.
const MAX_PORTS: usize = 8;

/// A field of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Field {
    /// Enterprise and id of the information element.
    pub ie: Ie,
    /// Octets, or [`VARIABLE_LENGTH`].
    pub length: u16,
}

/// What the records of a template are.
#[derive(Debug, Clone)]
pub enum Content {
    /// Flow records, with the plan that decodes them.
    Data(Box<Plan>),
    /// Options records: what the exporter tells about itself.
    Options,
}

/// A definition, compiled. Devices of one kind send the same ones: they share it.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// In the order of the records, scope fields first.
    pub fields: Vec<Field>,
    /// Where each field lies, if all are of fixed length.
    pub places: Option<Vec<Place>>,
    /// Length of a record, or of the shortest possible one.
    pub record_octets: usize,
    /// What the records are read into.
    pub content: Content,
    /// How many of the fields are scope; 0 for data templates.
    pub scope_fields: usize,
    /// What all of this takes on the heap.
    octets: usize,
}

impl Compiled {
    /// Compiles a definition; `None` if no record could be read with it.
    ///
    /// No fields, or fields that are all empty, would let a set hold any number of records: such definitions are
    /// refused when they arrive.
    pub fn new(fields: &[Field], scope_fields: usize) -> Option<Self> {
        let record_octets: usize = fields.iter().map(|field| field.min_octets()).sum();
        if record_octets == 0 || record_octets > MAX_RECORD_OCTETS || fields.len() > MAX_FIELDS {
            return None;
        }
        let fixed = fields.iter().all(|field| field.length != VARIABLE_LENGTH);
        let content = match scope_fields {
            0 => Content::Data(Box::new(Plan::compile(fields))),
            _ => Content::Options,
        };
        let places = fixed.then(|| places(fields));
        let octets = OVERHEAD_OCTETS
            + size_of_val(fields)
            + places.as_ref().map_or(0, |places| places.capacity() * size_of::<Place>())
            + match &content {
                Content::Data(plan) => size_of::<Plan>() + plan.heap_octets(),
                Content::Options => 0,
            };
        Some(Self { fields: fields.to_vec(), places, record_octets, content, scope_fields, octets })
    }

    /// What the definition takes on the heap while at least one template has it.
    pub const fn octets(&self) -> usize {
        self.octets
    }
}

/// What a template takes besides its definition, which several may share.
pub(super) const TEMPLATE_OCTETS: usize = hashed_with_removals(size_of::<(u16, Template)>());

/// A slot of the [`Compiler`], as it is accounted for.
const SLOT_OCTETS: usize = hashed_with_removals(size_of::<Arc<Compiled>>());

/// A definition itself, with its two reference counts and its slot in the [`Compiler`].
const OVERHEAD_OCTETS: usize = size_of::<Compiled>() + 2 * size_of::<usize>() + SLOT_OCTETS;

/// Compiles definitions, the same ones once, and keeps those that a template has.
#[derive(Debug, Default)]
pub struct Compiler {
    known: HashTable<Arc<Compiled>>,
    hasher: foldhash::quality::RandomState,
    octets: usize,
}

impl Compiler {
    /// The definition, compiled; `None` if no record could be read with it. One that gets no template has to be
    /// [released](Self::release).
    pub fn compile(&mut self, fields: &[Field], scope_fields: usize) -> Option<Arc<Compiled>> {
        let hash = self.hasher.hash_one((fields, scope_fields));
        let same = |known: &Arc<Compiled>| known.scope_fields == scope_fields && known.fields == fields;
        if let Some(known) = self.known.find(hash, same) {
            return Some(Arc::clone(known));
        }
        let compiled = Arc::new(Compiled::new(fields, scope_fields)?);
        self.octets += compiled.octets;
        let Self { known, hasher, .. } = self;
        known.insert_unique(hash, Arc::clone(&compiled), |known| {
            hasher.hash_one((&known.fields[..], known.scope_fields))
        });
        Some(compiled)
    }

    /// Takes a definition back from a template. The last one to give it back has it forgotten.
    pub fn release(&mut self, compiled: Arc<Compiled>) {
        if Arc::strong_count(&compiled) > 2 {
            return;
        }
        let hash = self.hasher.hash_one((&compiled.fields[..], compiled.scope_fields));
        if let Ok(entry) = self.known.find_entry(hash, |known| Arc::ptr_eq(known, &compiled)) {
            entry.remove();
            self.octets -= compiled.octets;
            self.give_back();
        }
    }

    fn give_back(&mut self) {
        let Self { known, hasher, .. } = self;
        if is_sparse(known.allocation_size(), known.len(), SLOT_OCTETS) {
            known.shrink_to_fit(|known| hasher.hash_one((&known.fields[..], known.scope_fields)));
        }
    }

    /// Forgets definitions of templates that went with their exporter or expired.
    pub fn forget_unused(&mut self) {
        self.known.retain(|known| Arc::strong_count(known) > 1);
        self.octets = self.known.iter().map(|known| known.octets).sum();
        self.give_back();
    }

    /// Definitions that are held.
    pub fn n_definitions(&self) -> usize {
        self.known.len()
    }

    /// What the definitions that are held take on the heap.
    pub const fn octets(&self) -> usize {
        self.octets
    }
}

/// What a definition may take.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Whether the exporter and the worker may have one more template.
    pub template: bool,
    /// Octets that may be added to the exporter's templates.
    pub exporter_octets: usize,
    /// Octets that all definitions of the [`Compiler`] may take.
    pub compiler_octets: usize,
}

impl Room {
    /// Room for any definition.
    pub const ANY: Self = Self { template: true, exporter_octets: usize::MAX, compiler_octets: usize::MAX };
}

/// A template that was accepted: its latest definition.
#[derive(Debug, Clone)]
pub struct Template {
    compiled: Arc<Compiled>,
    last_used: u64,
    /// When it was last defined, be it the same way.
    defined_at: UnixMs,
    /// The port that the definition came from.
    port: u16,
    /// Definitions of other ports that differ, oldest first. Most templates have none. It has no spare room.
    others: Vec<Other>,
    /// Tells the definition that this one took the place of; 0 if there was none.
    replaced: u64,
}

/// What another port defined the same id as.
#[derive(Debug, Clone)]
struct Other {
    port: u16,
    compiled: Arc<Compiled>,
    defined_at: UnixMs,
}

impl Deref for Template {
    type Target = Compiled;

    fn deref(&self) -> &Compiled {
        &self.compiled
    }
}

impl Other {
    fn cost(&self) -> usize {
        self.compiled.octets + size_of::<Self>()
    }
}

impl Template {
    /// What it takes if it shares its definitions with no other.
    fn cost(&self) -> usize {
        self.compiled.octets + TEMPLATE_OCTETS + self.others.iter().map(Other::cost).sum::<usize>()
    }

    /// The definition that counts for data from `port`.
    #[inline]
    fn of(&self, port: u16) -> &Compiled {
        if self.others.is_empty() {
            return &self.compiled;
        }
        self.others.iter().find(|other| other.port == port).map_or(&self.compiled, |other| &other.compiled)
    }

    /// Gives all definitions back.
    fn release(self, compiler: &mut Compiler) {
        compiler.release(self.compiled);
        self.others.into_iter().for_each(|other| compiler.release(other.compiled));
    }

    /// What stays of it when `port` defines it in another way: the definitions of the other ports.
    fn without(self, port: u16, compiler: &mut Compiler) -> Vec<Other> {
        let Self { compiled, mut others, defined_at, port: latest, .. } = self;
        if latest == port {
            compiler.release(compiled);
        } else {
            others.reserve_exact(1);
            others.push(Other { port: latest, compiled, defined_at });
        }
        let surplus = others.len().saturating_sub(MAX_PORTS);
        let mut at = 0;
        for gone in others.extract_if(.., |other| {
            at += 1;
            other.port == port || at <= surplus
        }) {
            compiler.release(gone.compiled);
        }
        others.shrink_to_fit();
        others
    }
}

impl Field {
    /// A variable-length field takes at least the octet that tells its length.
    fn min_octets(self) -> usize {
        if self.length == VARIABLE_LENGTH { 1 } else { usize::from(self.length) }
    }
}

fn places(fields: &[Field]) -> Vec<Place> {
    let mut offset = 0;
    fields
        .iter()
        .map(|field| {
            let place = Place { offset, width: field.length };
            offset = offset.saturating_add(field.length);
            place
        })
        .collect()
}

/// What a template's records are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKind {
    /// Flow records: the template has no scope fields.
    Data,
    /// Options data: the template has scope fields (RFC 7011 §3.4.2.1).
    Options,
}

/// What a template record did to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learned {
    /// A definition that was not known: sets that were held for it can be decoded.
    New,
    /// The same definition again.
    Refreshed,
    /// Another definition took the place of an earlier one (RFC 7011 §8.4: at once).
    Replaced,
    /// A definition that no record could be read with.
    Refused,
}

/// The templates of one observation domain.
#[derive(Debug, Default)]
pub struct TemplateStore {
    templates: HashMap<u16, Template, foldhash::fast::RandomState>,
    /// What the templates take if none shares its definition.
    octets: usize,
    /// Definitions of other ports, of all templates.
    n_others: usize,
    uses: u64,
    /// Whether a definition came, changed or went since this was last set to false.
    pub changed: bool,
    /// Templates that gave way to newer ones because no room was left.
    pub evicted: u64,
    /// Definitions that no record could be read with, or that no room was left for.
    pub refused: u64,
    /// Templates that were not defined again in time.
    pub expired: u64,
    /// Definitions that went back to one that was there before: two senders disagree about an id.
    pub alternated: u64,
    hasher: foldhash::quality::FixedState,
}

impl TemplateStore {
    /// The latest definition of an id.
    pub fn get(&self, id: u16) -> Option<&Template> {
        self.templates.get(&id)
    }

    /// The definition of an id that counts for data from `port`.
    #[inline]
    pub fn of(&self, id: u16, port: u16) -> Option<&Compiled> {
        self.templates.get(&id).map(|template| template.of(port))
    }

    /// Makes a template the most recently used one.
    pub fn touch(&mut self, id: u16) {
        self.uses += 1;
        if let Some(template) = self.templates.get_mut(&id) {
            template.last_used = self.uses;
        }
    }

    /// All definitions with their ids and the ports that they came from, of each id the latest last.
    pub fn iter(&self) -> impl Iterator<Item = (u16, u16, &Compiled)> {
        self.templates.iter().flat_map(|(&id, template)| {
            let others = template.others.iter().map(move |other| (id, other.port, &*other.compiled));
            others.chain(std::iter::once((id, template.port, &*template.compiled)))
        })
    }

    /// Ids whose definition depends on the port.
    pub fn n_disputed(&self) -> usize {
        self.templates.values().filter(|template| !template.others.is_empty()).count()
    }

    /// Template ids that have a definition.
    pub fn len(&self) -> usize {
        self.templates.len()
    }

    /// Templates, and definitions of them that other ports have.
    pub fn n_definitions(&self) -> usize {
        self.templates.len() + self.n_others
    }

    /// Whether no id has a definition.
    pub fn is_empty(&self) -> bool {
        self.templates.is_empty()
    }

    /// What the templates take if none of them shares its definition.
    pub const fn octets(&self) -> usize {
        self.octets
    }

    /// Forgets templates that were last defined before `oldest`: over UDP, nobody says that one is gone.
    pub fn expire(&mut self, oldest: UnixMs) {
        let before = self.templates.len();
        //= https://www.rfc-editor.org/rfc/rfc7011#section-8.4
        //# [...] the Collecting Process MAY associate a lifetime with each Template received in a Transport Session.
        // NetFlow v9 demands one (RFC 3954 §9).
        for template in self.templates.values_mut() {
            template.others.retain(|other| other.defined_at >= oldest);
            template.others.shrink_to_fit();
        }
        self.templates.retain(|_, template| template.defined_at >= oldest);
        self.octets = self.templates.values().map(Template::cost).sum();
        self.n_others = self.templates.values().map(|template| template.others.len()).sum();
        self.give_back();
        let expired = before - self.templates.len();
        self.changed |= expired > 0;
        self.expired += expired as u64;
    }

    /// Takes a definition in that came at `now` from `port`. Where there is no `room` for it, it takes the place of the least
    /// recently used templates of this domain, and is refused if there are none or if it is too large for that.
    pub fn learn(
        &mut self,
        id: u16,
        (fields, scope_fields): (&[Field], usize),
        room: Room,
        (port, now): (u16, UnixMs),
        compiler: &mut Compiler,
    ) -> Learned {
        let is_same = |known: &Compiled| known.fields == fields && known.scope_fields == scope_fields;
        if let Some(known) = self.templates.get_mut(&id).filter(|known| is_same(&known.compiled)) {
            known.defined_at = now;
            known.port = port;
            // A port that agrees again needs no definition of its own.
            for other in known.others.extract_if(.., |other| other.port == port) {
                self.octets -= other.cost();
                self.n_others -= 1;
                compiler.release(other.compiled);
            }
            known.others.shrink_to_fit();
            return Learned::Refreshed;
        }
        self.changed = true;
        let most = Most {
            templates: self.len() + usize::from(room.template),
            octets: self.octets.saturating_add(room.exporter_octets),
        };
        let known = self.templates.remove(&id);
        let (replaced, mut others) = match known {
            None => (0, Vec::new()),
            Some(known) => {
                self.octets -= known.cost();
                self.n_others -= known.others.len();
                let by_port = known.others.iter().any(|other| other.port == port && is_same(&other.compiled));
                let by_turns = known.port == port && known.replaced == self.fingerprint(fields, scope_fields);
                self.alternated += u64::from(by_port || by_turns);
                let replaced = self.fingerprint(&known.fields, known.scope_fields);
                (replaced, known.without(port, compiler))
            }
        };
        let Some(compiled) = compiler.compile(fields, scope_fields) else {
            others.into_iter().for_each(|other| compiler.release(other.compiled));
            self.refused += 1;
            return Learned::Refused;
        };
        let of_others = others.iter().map(Other::cost).sum::<usize>();
        if !self.make_room(compiled.octets + of_others, most, room.compiler_octets, compiler) {
            // The latest definition goes before those of other ports.
            std::mem::take(&mut others).into_iter().for_each(|other| compiler.release(other.compiled));
            if !self.make_room(compiled.octets, most, room.compiler_octets, compiler) {
                compiler.release(compiled);
                self.refused += 1;
                return Learned::Refused;
            }
        }
        self.uses += 1;
        let template = Template { compiled, last_used: self.uses, defined_at: now, port, others, replaced };
        self.octets += template.cost();
        self.n_others += template.others.len();
        self.templates.insert(id, template);
        self.give_back();
        if replaced == 0 { Learned::New } else { Learned::Replaced }
    }

    /// Gives back room that removed templates left.
    fn give_back(&mut self) {
        if is_sparse(self.templates.allocation_size(), self.templates.len(), TEMPLATE_OCTETS) {
            self.templates.shrink_to_fit();
        }
    }

    /// Tells a definition from others; never 0.
    fn fingerprint(&self, fields: &[Field], scope_fields: usize) -> u64 {
        self.hasher.hash_one((fields, scope_fields)).max(1)
    }

    /// Makes room for one more template with a definition of `octets`; `false` if that is not possible.
    fn make_room(&mut self, octets: usize, most: Most, compiler_octets: usize, compiler: &mut Compiler) -> bool {
        let cost = octets + TEMPLATE_OCTETS;
        if cost > most.octets {
            return false;
        }
        for _ in 0..=MAX_EVICTIONS {
            let fits = self.len() < most.templates.min(MAX_TEMPLATES) && self.octets + cost <= most.octets;
            if fits && compiler.octets() <= compiler_octets {
                return true;
            }
            if !self.evict(compiler) {
                return false;
            }
        }
        false
    }

    fn remove(&mut self, id: u16, compiler: &mut Compiler) -> bool {
        let Some(template) = self.templates.remove(&id) else { return false };
        self.octets -= template.cost();
        self.n_others -= template.others.len();
        self.give_back();
        template.release(compiler);
        true
    }

    /// RFC 7011 §8.1: over a reliable transport, a definition without fields takes the template back.
    pub fn withdraw(&mut self, id: u16, compiler: &mut Compiler) {
        self.changed |= self.remove(id, compiler);
    }

    /// All templates of one kind.
    pub fn withdraw_all(&mut self, records: RecordKind, compiler: &mut Compiler) {
        let is_of = |template: &Template| (template.scope_fields > 0) == (records == RecordKind::Options);
        for (_, template) in self.templates.extract_if(|_, template| is_of(template)) {
            self.octets -= template.cost();
            self.n_others -= template.others.len();
            self.changed = true;
            template.release(compiler);
        }
        self.give_back();
    }

    /// Forgets the least recently used template; tells whether there was one.
    fn evict(&mut self, compiler: &mut Compiler) -> bool {
        let oldest = self.templates.iter().min_by_key(|(_, template)| template.last_used).map(|(&id, _)| id);
        let evicted = oldest.is_some_and(|id| self.remove(id, compiler));
        self.evicted += u64::from(evicted);
        evicted
    }
}

/// What a domain may have after one more definition.
#[derive(Debug, Clone, Copy)]
struct Most {
    templates: usize,
    octets: usize,
}

/// One definition as it stands in a (options) template set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Definition {
    /// Template id; valid ones begin at [`MIN_DATA_SET_ID`], which is for the caller to check.
    pub id: u16,
    /// How many of the fields are scope; 0 for data templates, at least 1 for options templates.
    pub scope_fields: usize,
    /// RFC 7011 §8.1: no fields. Never set for NetFlow v9, which has no withdrawals.
    pub withdrawal: bool,
}

/// How versions write their template records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// RFC 3954 §5.2: id, field count, (type, length)...
    Netflow9,
    /// RFC 3954 §6.1: id, scope octets, option octets, (type, length)...
    Netflow9Options,
    /// RFC 7011 §3.4.1: id, field count, field specifiers.
    Ipfix,
    /// RFC 7011 §3.4.2.2: id, field count, scope field count, field specifiers.
    IpfixOptions,
}

/// Reads the next definition of a template set into `fields`; `None` at the set's padding or end.
///
/// # Errors
/// [`DecodeError::Truncated`] when the set ends inside a definition.
pub fn next_definition(
    form: Form,
    set: &mut Cursor<'_>,
    fields: &mut Vec<Field>,
) -> Result<Option<Definition>, DecodeError> {
    fields.clear();
    if set.remaining() < 4 {
        return Ok(None);
    }
    let id = set.u16()?;
    let count = usize::from(set.u16()?);
    if id == 0 && count == 0 {
        return Ok(None);
    }
    if count == 0 && matches!(form, Form::Ipfix | Form::IpfixOptions) {
        return Ok(Some(Definition { id, scope_fields: 0, withdrawal: true }));
    }
    let scope_fields = match form {
        Form::Netflow9 => {
            read_fields(set, count, fields, Ok)?;
            0
        }
        Form::Ipfix => {
            read_ipfix_fields(set, count, fields)?;
            0
        }
        Form::Netflow9Options => {
            let option_octets = usize::from(set.u16()?);
            read_fields(set, count / 4, fields, |scope| Ok(scope_element(scope)))?;
            let scope_fields = fields.len();
            read_fields(set, option_octets / 4, fields, Ok)?;
            // A device that sends no scope still sends options, not flows.
            scope_fields.max(1)
        }
        Form::IpfixOptions => {
            let scope_fields = usize::from(set.u16()?);
            read_ipfix_fields(set, count, fields)?;
            scope_fields.max(1)
        }
    };
    Ok(Some(Definition { id, scope_fields, withdrawal: false }))
}

fn read_fields(
    set: &mut Cursor<'_>,
    count: usize,
    fields: &mut Vec<Field>,
    element: impl Fn(u16) -> Result<u16, DecodeError>,
) -> Result<(), DecodeError> {
    let mut specifiers = Cursor::new(set.take(count * 4)?);
    for _ in 0..count {
        let (ty, length) = (specifiers.u16()?, specifiers.u16()?);
        fields.push(Field { ie: iana(element(ty)?), length });
    }
    Ok(())
}

fn read_ipfix_fields(set: &mut Cursor<'_>, count: usize, fields: &mut Vec<Field>) -> Result<(), DecodeError> {
    for _ in 0..count {
        let (id, length) = (set.u16()?, set.u16()?);
        let pen = if id & 0x8000 != 0 { set.u32()? } else { 0 };
        fields.push(Field { ie: Ie { pen, id: id & 0x7fff }, length });
    }
    Ok(())
}

/// RFC 3954 §6.1 scope types, as the elements that IPFIX uses for the same scopes.
fn scope_element(scope: u16) -> u16 {
    match scope {
        2 => 10,  // Interface: ingressInterface
        3 => 141, // Line card: lineCardId
        5 => 145, // Template: templateId
        _ => 144, // System, cache: exportingProcessId
    }
}

#[cfg(test)]
mod tests;
