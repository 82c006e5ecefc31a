//! Templates: definitions from the wire, compiled once and kept per observation domain.
//!
//! The scope of a template id is (exporter address, version, observation domain): not the port, because exporters
//! change theirs after a restart and several line cards of one device share a domain over several ports. Data and
//! options templates share one id space, the last definition wins (RFC 7011 §8.4, RFC 3954 §9).

use std::hash::BuildHasher;
use std::ops::Deref;
use std::sync::Arc;

use hashbrown::{HashMap, HashTable};
use helios_common::ie::{Ie, iana};
use helios_common::time::UnixMs;

use super::DecodeError;
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

/// Templates of one worker. A compiled one takes about 2 KiB if no other is the same, so that all take 256 MiB at the
/// most. When as many are held, newcomers get none, so that spoofed senders cannot push out an honest exporter's templates.
pub const MAX_WORKER_TEMPLATES: usize = 131_072;

/// An exporter is established when it has been known for so long, or was known before a restart. An eighth of everything
/// that is bounded for all exporters together is for these: a flood of made-up senders that takes all the rest leaves
/// devices that were there before it room for more.
pub const ESTABLISHED_MS: i64 = 10 * 60 * 1000;

/// Templates that a session over TCP may always have, however many sessions there are.
pub const MIN_SESSION_TEMPLATES: usize = 64;

/// A field of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Field {
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
    pub fields: Vec<Field>,
    /// Where each field lies, if all are of fixed length.
    pub places: Option<Vec<Place>>,
    /// Length of a record, or of the shortest possible one.
    pub record_octets: usize,
    pub content: Content,
    /// How many of the fields are scope; 0 for data templates.
    pub scope_fields: usize,
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
        Some(Self { fields: fields.to_vec(), places, record_octets, content, scope_fields })
    }
}

/// Compiles definitions, the same ones once.
#[derive(Debug, Default)]
pub struct Compiler {
    known: HashTable<Arc<Compiled>>,
    hasher: foldhash::quality::RandomState,
    /// With so many, those that no template has any more are looked for.
    look_at: usize,
}

/// Definitions that are kept without a look at who has them.
const UNLOOKED: usize = 1024;

impl Compiler {
    pub fn compile(&mut self, fields: &[Field], scope_fields: usize) -> Option<Arc<Compiled>> {
        let hash = self.hasher.hash_one((fields, scope_fields));
        let same = |known: &Arc<Compiled>| known.scope_fields == scope_fields && known.fields == fields;
        if let Some(known) = self.known.find(hash, same) {
            return Some(Arc::clone(known));
        }
        let compiled = Arc::new(Compiled::new(fields, scope_fields)?);
        self.forget_unused();
        let Self { known, hasher, .. } = self;
        known.insert_unique(hash, Arc::clone(&compiled), |known| {
            hasher.hash_one((&known.fields[..], known.scope_fields))
        });
        Some(compiled)
    }

    /// A sender that defines a template in ever new ways leaves nothing behind. Each look doubles what the next one
    /// waits for, so that a definition costs the same however many there are.
    fn forget_unused(&mut self) {
        if self.known.len() >= self.look_at.max(UNLOOKED) {
            self.known.retain(|known| Arc::strong_count(known) > 1);
            self.look_at = 2 * self.known.len();
        }
    }

    /// Definitions that are held.
    pub fn n_definitions(&self) -> usize {
        self.known.len()
    }
}

/// A template that was accepted.
#[derive(Debug, Clone)]
pub struct Template {
    compiled: Arc<Compiled>,
    last_used: u64,
    /// When it was last defined, be it the same way.
    defined_at: UnixMs,
}

impl Deref for Template {
    type Target = Compiled;

    fn deref(&self) -> &Compiled {
        &self.compiled
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
pub enum Kind {
    Data,
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
    uses: u64,
    /// Whether a definition came, changed or went since this was last set to false.
    pub changed: bool,
    pub evicted: u64,
    pub refused: u64,
    pub expired: u64,
}

impl TemplateStore {
    pub fn get(&self, id: u16) -> Option<&Template> {
        self.templates.get(&id)
    }

    /// Makes a template the most recently used one.
    pub fn touch(&mut self, id: u16) {
        self.uses += 1;
        if let Some(template) = self.templates.get_mut(&id) {
            template.last_used = self.uses;
        }
    }

    /// All templates with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &Template)> {
        self.templates.iter().map(|(&id, template)| (id, template))
    }

    pub fn len(&self) -> usize {
        self.templates.len()
    }

    pub fn is_empty(&self) -> bool {
        self.templates.is_empty()
    }

    /// Forgets templates that were last defined before `oldest`: over UDP, nobody says that one is gone.
    pub fn expire(&mut self, oldest: UnixMs) {
        let before = self.templates.len();
        //= https://www.rfc-editor.org/rfc/rfc7011#section-8.4
        //# [...] the Collecting Process MAY associate a lifetime with each Template received in a Transport Session.
        // NetFlow v9 demands one (RFC 3954 §9).
        self.templates.retain(|_, template| template.defined_at >= oldest);
        let expired = before - self.templates.len();
        self.changed |= expired > 0;
        self.expired += expired as u64;
    }

    /// Takes a definition in that came at `now`. Without `room` for one more, it takes the place of the least recently used one of this
    /// domain, or is refused if there is none.
    pub fn learn(
        &mut self,
        id: u16,
        (fields, scope_fields): (&[Field], usize),
        room: bool,
        now: UnixMs,
        compiler: &mut Compiler,
    ) -> Learned {
        let known = self.templates.get_mut(&id);
        let replaced = known.is_some();
        if let Some(known) = known.filter(|known| known.fields == fields && known.scope_fields == scope_fields) {
            known.defined_at = now;
            return Learned::Refreshed;
        }
        self.changed = true;
        let Some(compiled) = compiler.compile(fields, scope_fields) else {
            self.templates.remove(&id);
            self.refused += 1;
            return Learned::Refused;
        };
        if !replaced && (!room || self.templates.len() >= MAX_TEMPLATES) && !self.evict() {
            self.refused += 1;
            return Learned::Refused;
        }
        self.uses += 1;
        self.templates.insert(id, Template { compiled, last_used: self.uses, defined_at: now });
        if replaced { Learned::Replaced } else { Learned::New }
    }

    /// RFC 7011 §8.1: over a reliable transport, a definition without fields takes the template back.
    pub fn withdraw(&mut self, id: u16) {
        self.changed |= self.templates.remove(&id).is_some();
    }

    /// All templates of one kind.
    pub fn withdraw_all(&mut self, kind: Kind) {
        let before = self.templates.len();
        self.templates.retain(|_, template| (template.scope_fields > 0) != (kind == Kind::Options));
        self.changed |= self.templates.len() != before;
    }

    /// Forgets the least recently used template; tells whether there was one.
    fn evict(&mut self) -> bool {
        let oldest = self.templates.iter().min_by_key(|(_, template)| template.last_used).map(|(&id, _)| id);
        let evicted = oldest.is_some_and(|id| self.templates.remove(&id).is_some());
        self.evicted += u64::from(evicted);
        evicted
    }
}

/// One definition as it stands in a (options) template set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Definition {
    pub id: u16,
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
mod tests {
    use super::*;

    fn field(id: u16, length: u16) -> Field {
        Field { ie: iana(id), length }
    }

    fn learn(
        store: &mut TemplateStore,
        id: u16,
        fields: &[Field],
        scope_fields: usize,
        room: bool,
        now: UnixMs,
    ) -> Learned {
        store.learn(id, (fields, scope_fields), room, now, &mut Compiler::default())
    }

    #[test]
    fn the_same_definition_is_compiled_once() {
        let mut compiler = Compiler::default();
        let (one, same) = (compiler.compile(&[field(8, 4)], 0).unwrap(), compiler.compile(&[field(8, 4)], 0).unwrap());
        assert!(Arc::ptr_eq(&one, &same));
        let others = [([field(8, 4)], 1), ([field(8, 3)], 0), ([field(9, 4)], 0)];
        let others = others.map(|(fields, scope_fields)| compiler.compile(&fields, scope_fields).unwrap());
        assert!(others.iter().all(|other| !Arc::ptr_eq(&one, other)));
        assert_eq!(compiler.n_definitions(), 4);
    }

    #[test]
    fn definitions_that_no_template_has_any_more_are_forgotten() {
        let (mut store, mut compiler) = (TemplateStore::default(), Compiler::default());
        for id in 0..10 * UNLOOKED as u16 {
            store.learn(256, (&[field(id, 4)], 0), true, 0, &mut compiler);
        }
        assert!(compiler.n_definitions() <= UNLOOKED, "{} of one template", compiler.n_definitions());
        assert_eq!(store.get(256).map(|template| template.fields[0].ie.id), Some(10 * UNLOOKED as u16 - 1));
    }

    #[test]
    fn an_identical_refresh_is_silent_and_a_different_one_replaces_at_once() {
        let mut store = TemplateStore::default();
        assert_eq!(learn(&mut store, 256, &[field(8, 4)], 0, true, 0), Learned::New);
        assert_eq!(learn(&mut store, 256, &[field(8, 4)], 0, true, 0), Learned::Refreshed);
        assert_eq!(learn(&mut store, 256, &[field(8, 4), field(12, 4)], 0, true, 0), Learned::Replaced);
        assert_eq!(store.get(256).map(|template| template.record_octets), Some(8));
    }

    #[test]
    fn data_and_options_templates_share_one_id_space() {
        let mut store = TemplateStore::default();
        learn(&mut store, 256, &[field(8, 4)], 0, true, 0);
        assert_eq!(learn(&mut store, 256, &[field(144, 4), field(34, 4)], 1, true, 0), Learned::Replaced);
        assert!(matches!(store.get(256).unwrap().content, Content::Options));
    }

    #[test]
    fn definitions_without_octets_are_refused_and_forget_the_old_one() {
        let mut store = TemplateStore::default();
        learn(&mut store, 256, &[field(8, 4)], 0, true, 0);
        assert_eq!(learn(&mut store, 256, &[], 0, true, 0), Learned::Refused);
        assert_eq!(learn(&mut store, 257, &[field(8, 0), field(12, 0)], 0, true, 0), Learned::Refused);
        assert!(store.get(256).is_none());
    }

    #[test]
    fn records_longer_than_a_datagram_are_refused() {
        let mut store = TemplateStore::default();
        assert_eq!(learn(&mut store, 256, &[field(210, 40_000), field(210, 40_000)], 0, true, 0), Learned::Refused);
    }

    #[test]
    fn the_least_recently_used_template_makes_room() {
        let mut store = TemplateStore::default();
        for id in 0..MAX_TEMPLATES as u16 {
            learn(&mut store, 256 + id, &[field(8, 4)], 0, true, 0);
        }
        store.touch(256);
        learn(&mut store, 9000, &[field(8, 4)], 0, true, 0);
        assert_eq!((store.len(), store.evicted), (MAX_TEMPLATES, 1));
        assert!(store.get(256).is_some());
        assert!(store.get(257).is_none());
    }

    #[test]
    fn without_room_a_template_takes_the_place_of_its_own_domains_oldest() {
        let mut store = TemplateStore::default();
        assert_eq!(learn(&mut store, 256, &[field(8, 4)], 0, false, 0), Learned::Refused);
        assert_eq!(learn(&mut store, 256, &[field(8, 4)], 0, true, 0), Learned::New);
        assert_eq!(learn(&mut store, 257, &[field(8, 4)], 0, false, 0), Learned::New);
        assert_eq!((store.len(), store.evicted, store.refused), (1, 1, 1));
    }

    #[test]
    fn a_template_that_is_not_defined_again_expires() {
        let mut store = TemplateStore::default();
        learn(&mut store, 256, &[field(8, 4)], 0, true, 1000);
        learn(&mut store, 257, &[field(8, 4)], 0, true, 1000);
        learn(&mut store, 257, &[field(8, 4)], 0, true, 5000);
        store.get(256);
        store.changed = false;
        store.expire(1000);
        assert_eq!((store.len(), store.expired, store.changed), (2, 0, false));
        store.expire(1001);
        assert_eq!((store.len(), store.expired, store.changed), (1, 1, true));
        assert!(store.get(257).is_some());
    }

    #[test]
    fn an_enterprise_field_keeps_its_number() {
        // Template 256 with one field: enterprise bit and id 1, variable length, PEN 2636 (Juniper).
        let octets = [0x01, 0x00, 0x00, 0x01, 0x80, 0x01, 0xff, 0xff, 0x00, 0x00, 0x0a, 0x4c];
        let mut fields = Vec::new();
        let definition = next_definition(Form::Ipfix, &mut Cursor::new(&octets), &mut fields).unwrap().unwrap();
        assert_eq!(definition.id, 256);
        assert_eq!(fields, [Field { ie: Ie { pen: 2636, id: 1 }, length: VARIABLE_LENGTH }]);
    }
}
