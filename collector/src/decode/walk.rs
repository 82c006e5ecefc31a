//! The walk over the sets of a NetFlow v9 or IPFIX message: templates learned, data decoded or held, held data released.

use helios_common::flow::FlowBatch;
use helios_common::names::Names;

use super::by_hand::ByHand;
use super::cursor::Cursor;
use super::domain::Domain;
use super::pending::HeldSet;
use super::rows::{Context, Message, Scratch, SetCounts};
use super::sequence::Units;
use super::template::{Compiler, Content, Field, Learned, Room};
use super::{DecodeError, Decoded, DecoderConfig, options, rows, sets, template};

/// The walk over the sets of one NetFlow v9 or IPFIX message.
pub(super) struct Walk<'a> {
    pub config: &'a DecoderConfig,
    pub names: &'a Names,
    pub scratch: &'a mut Scratch,
    pub fields: &'a mut Vec<Field>,
    pub compiler: &'a mut Compiler,
    pub tables: &'a mut options::Tables,
    pub by_hand: Option<&'a ByHand>,
    pub domain: &'a mut Domain,
    pub exporter_templates: &'a mut usize,
    pub exporter_template_octets: &'a mut usize,
    pub worker_templates: &'a mut usize,
    pub max_worker_templates: usize,
    /// Octets that the definitions of all exporters may take.
    pub max_compiler_octets: usize,
    pub exporter_held: &'a mut usize,
    pub worker_held: &'a mut usize,
    pub max_worker_held: usize,
    pub worker_entries: &'a mut usize,
    pub max_worker_entries: usize,
    /// The port that the message came from.
    pub port: u16,
    pub message: Message,
    pub header: sets::Header,
    /// The first contradiction of lengths inside of the message.
    pub fault: Option<DecodeError>,
    pub decoded: &'a mut Decoded,
    pub out: &'a mut FlowBatch,
}

impl Walk<'_> {
    /// Takes the definitions of a set in. One that runs past its set ends it.
    pub(super) fn templates(&mut self, form: template::Form, octets: &[u8]) {
        let mut set = Cursor::new(octets);
        loop {
            let definition = match template::next_definition(form, &mut set, self.fields) {
                Ok(Some(definition)) => definition,
                Ok(None) => return,
                Err(error) => return self.contradicts(error),
            };
            //= https://www.rfc-editor.org/rfc/rfc7011#section-8.4
            //# Template Withdrawals [...] MUST be ignored by Collecting Processes collecting via UDP.
            if definition.withdrawal {
                if self.config.transport.is_reliable() {
                    self.withdraw(definition.id);
                }
                continue;
            }
            if definition.scope_fields == 0 {
                self.decoded.templates += 1;
            } else {
                self.decoded.options_templates += 1;
            }
            if definition.id < template::MIN_DATA_SET_ID {
                self.domain.templates.refused += 1;
                continue;
            }
            let room = Room {
                template: *self.exporter_templates < template::MAX_EXPORTER_TEMPLATES
                    && *self.worker_templates < self.max_worker_templates,
                exporter_octets: template::MAX_EXPORTER_TEMPLATE_OCTETS.saturating_sub(*self.exporter_template_octets),
                compiler_octets: self.max_compiler_octets,
            };
            let templates = &mut self.domain.templates;
            let before = (templates.n_definitions(), templates.octets());
            let now = self.message.received_at;
            let defined = (&self.fields[..], definition.scope_fields);
            let learned = templates.learn(definition.id, defined, room, (self.port, now), self.compiler);
            self.count_templates(before);
            let waiting = !self.domain.pending.is_empty() && self.domain.arrived.len() < template::MAX_TEMPLATES;
            if learned == Learned::New && waiting {
                self.domain.arrived.push(definition.id);
            }
        }
    }

    /// Takes note of lengths that contradict each other inside the message, and what they would make of it if it held
    /// nothing else.
    pub(super) fn contradicts(&mut self, error: DecodeError) {
        self.decoded.contradictions = 1;
        self.fault = self.fault.or(Some(error));
    }

    /// The first contradiction of a message that held nothing that could be read.
    pub(super) fn fault(&self) -> Option<DecodeError> {
        self.fault.filter(|_| self.decoded.is_empty())
    }

    /// RFC 7011 §8.1: a withdrawal of the set id itself, 2 or 3, is one of all templates of its kind.
    fn withdraw(&mut self, id: u16) {
        let templates = &mut self.domain.templates;
        let before = (templates.n_definitions(), templates.octets());
        match id {
            2 => templates.withdraw_all(template::RecordKind::Data, self.compiler),
            3 => templates.withdraw_all(template::RecordKind::Options, self.compiler),
            _ => templates.withdraw(id, self.compiler),
        }
        self.count_templates(before);
    }

    /// Takes note that the domain had other templates `before`: so many, of so many octets.
    fn count_templates(&mut self, before: (usize, usize)) {
        let templates = &self.domain.templates;
        let added = templates.n_definitions() as isize - before.0 as isize;
        let added_octets = templates.octets() as isize - before.1 as isize;
        *self.exporter_templates = self.exporter_templates.saturating_add_signed(added);
        *self.worker_templates = self.worker_templates.saturating_add_signed(added);
        *self.exporter_template_octets = self.exporter_template_octets.saturating_add_signed(added_octets);
    }

    pub(super) fn data(&mut self, id: u16, octets: &[u8]) -> Result<(), DecodeError> {
        self.domain.templates.touch(id);
        let Some(template) = self.domain.templates.of(id, self.port) else {
            self.decoded.sets_without_template += 1;
            let held = HeldSet {
                template: id,
                octets: octets.to_vec(),
                header: self.header,
                received_at: self.message.received_at,
            };
            self.hold(held);
            return Ok(());
        };
        let counts = match &template.content {
            Content::Data(plan) => {
                let mut message = self.message;
                message.clock = self
                    .header
                    .clock(self.tables.system_init(self.header.domain))
                    .corrected(message.received_at, message.max_skew_ms);
                let templates = Some(&self.domain.templates);
                let context = Context {
                    message: &message,
                    tables: self.tables,
                    by_hand: self.by_hand,
                    names: self.names,
                    template: id,
                    templates,
                };
                rows::decode_set(template, plan, octets, &context, self.scratch, self.out)?
            }
            Content::Options => {
                let (mut texts, positions) = self.scratch.texts(self.names, &self.message);
                let domain = self.header.domain;
                let before = self.tables.len();
                self.tables.room = self.max_worker_entries.saturating_sub(*self.worker_entries);
                let (records, contradict) =
                    options::learn_set(self.tables, template, octets, domain, &mut texts, positions);
                *self.worker_entries += self.tables.len() - before;
                self.decoded.options_records += records;
                SetCounts { contradict, ..SetCounts::default() }
            }
        };
        self.decoded.add(counts);
        if counts.contradict {
            self.contradicts(DecodeError::Truncated);
        }
        Ok(())
    }

    /// Holds a set within what its exporter and all exporters may have waiting.
    fn hold(&mut self, set: HeldSet) {
        let before = self.domain.pending.octets();
        let others = self.exporter_held.saturating_sub(before);
        let room = self.max_worker_held.saturating_sub(*self.worker_held);
        self.domain.pending.hold(set, self.config.held_octets.saturating_sub(others), room);
        self.count_held(before);
    }

    /// Takes note that the domain's held sets cost something else than `before`.
    fn count_held(&mut self, before: usize) {
        let added = self.domain.pending.octets() as isize - before as isize;
        *self.exporter_held = self.exporter_held.saturating_add_signed(added);
        *self.worker_held = self.worker_held.saturating_add_signed(added);
    }

    /// NetFlow v9 numbers messages. IPFIX numbers data records, and the number of records in a set without a template is
    /// unknown. Over a reliable transport nothing gets lost, whatever the numbers say.
    pub(super) fn observe_sequence(&mut self, ipfix: bool) {
        if self.config.transport.is_reliable() {
            return;
        }
        let Decoded { data_records, options_records, templates, options_templates, .. } = *self.decoded;
        let records = data_records + options_records;
        let all_records = records + templates + options_templates;
        let all_known = self.decoded.sets_without_template == 0 && self.decoded.contradictions == 0;
        let units = match (ipfix, all_known) {
            (true, true) => Some(Units { own: records, data_records, all_records }),
            (true, false) => None,
            (false, true) => Some(Units { own: 1, data_records, all_records }),
            (false, false) => Some(Units::of(1)),
        };
        self.domain.sessions.observe(self.port, self.header.sequence, units);
    }

    /// Decodes the sets that were held for templates of this message. They come last, so that their rows can be
    /// told from the message's own. What is more than a message may become waits for the next one.
    pub(super) fn release(&mut self) -> Result<(), DecodeError> {
        let (header, received_at) = (self.header, self.message.received_at);
        let (rows, records) = (self.decoded.rows, self.decoded.data_records);
        let most = rows as usize + rows::MAX_ROWS_PER_MESSAGE;
        for id in std::mem::take(&mut self.domain.arrived) {
            let before = self.domain.pending.octets();
            let mut released = self.domain.pending.release(id, received_at).into_iter();
            self.count_held(before);
            while let Some(held) = released.next() {
                if self.decoded.rows as usize >= most {
                    let before = self.domain.pending.octets();
                    self.domain.pending.take_back(std::iter::once(held).chain(released));
                    self.count_held(before);
                    self.domain.arrived.push(id);
                    break;
                }
                self.header = held.header;
                self.message.received_at = held.received_at;
                // A held set that its template does not fit is dropped alone: this message did nothing wrong.
                let mark = self.out.mark();
                let before = *self.decoded;
                if self.data(id, &held.octets).is_err() {
                    self.out.truncate(mark);
                    *self.decoded = before;
                }
            }
        }
        (self.header, self.message.received_at) = (header, received_at);
        self.decoded.held_rows = self.decoded.rows - rows;
        self.decoded.held_records = self.decoded.data_records - records;
        self.decoded.data_records = records;
        Ok(())
    }
}
