//! What of an exporter survives a restart, in a form that can be written down.
//!
//! Templates and the tables of options data: without them, data sets of a device that refreshes its templates every
//! half an hour would be blind that long, and sampled flows would count as unsampled. Sequence numbers tell what was
//! lost meanwhile. Counters are not saved.

use helios_common::exporter::Address;
use helios_common::ie::Ie;
use helios_common::names::{MAX_WIRE_NAMES, Names};
use helios_common::time::UnixMs;
use serde::{Deserialize, Serialize};

use super::domain::{Domain, DomainRoom, find_or_add};
use super::exporter::Exporter;
use super::options::{InterfaceNames, Tables, put};
use super::template::{Compiler, Field, MAX_EXPORTER_TEMPLATE_OCTETS, Room};
use super::{DecodeError, Protocol};

/// The state of one exporter.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SavedExporter {
    /// Its observation domains that have templates.
    pub domains: Vec<SavedDomain>,
    /// What its options data told: samplers, interfaces, applications, VRFs.
    #[serde(default)]
    pub tables: SavedTables,
    /// Saved apart: they change with every message.
    #[serde(skip)]
    pub sequences: Vec<SavedSequence>,
}

/// The number that the next message of a transport session should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SavedSequence {
    /// Protocol of the messages.
    pub protocol: Protocol,
    /// Observation Domain ID of IPFIX, Source ID of v9, engine of v5, sub-agent of sFlow.
    pub domain: u32,
    /// Where the messages come from.
    pub socket: Address,
    /// Source port of the messages.
    pub port: u16,
    /// The number that is expected, in the unit that the session numbers.
    pub next: u32,
}

/// The templates of one observation domain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedDomain {
    /// The name of the protocol.
    pub protocol: String,
    pub id: u32,
    pub templates: Vec<SavedTemplate>,
}

/// A template as it was defined.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedTemplate {
    pub id: u16,
    pub scope_fields: usize,
    /// Enterprise, id and length of each field.
    pub fields: Vec<(u32, u16, u16)>,
    /// The port that defined it; 0 in what an older version saved.
    #[serde(default)]
    pub port: u16,
}

/// Tables of options data, as lists of entries: domain, key, value.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SavedTables {
    pub samplers: Vec<(u32, u64, u32)>,
    pub interfaces: Vec<(u32, u32, u32)>,
    pub templates: Vec<(u32, u16, u32)>,
    pub domains: Vec<(u32, u32)>,
    pub applications: Vec<(u64, String)>,
    /// ifIndex, name, description.
    pub interface_names: Vec<(u32, String, String)>,
    pub vrfs: Vec<(u32, String)>,
    pub system_init: Vec<(u32, i64)>,
}

impl SavedExporter {
    /// Takes down the state of an exporter.
    pub(super) fn of(exporter: &Exporter, names: &Names) -> Self {
        let domains =
            exporter.domains.iter().filter(|domain| !domain.templates.is_empty()).map(SavedDomain::of).collect();
        Self { domains, tables: SavedTables::of(&exporter.tables, names), sequences: Vec::new() }
    }

    fn restore_sequences(&self, exporter: &mut Exporter) {
        for saved in &self.sequences {
            let Ok(domain) = restored(exporter, saved.protocol, (saved.domain, saved.socket)) else { break };
            domain.sessions.resume(saved.port, saved.next);
        }
    }

    /// Puts the state into an exporter that has none yet. The lifetime of its templates begins anew.
    pub(super) fn restore(&self, exporter: &mut Exporter, names: &Names, now: UnixMs, compiler: &mut Compiler) {
        for saved in &self.domains {
            let Some(protocol) = Protocol::ALL.into_iter().find(|protocol| protocol.name() == saved.protocol) else {
                continue;
            };
            let exporter_octets = MAX_EXPORTER_TEMPLATE_OCTETS.saturating_sub(exporter.template_octets);
            let address = exporter.address;
            let Ok(domain) = restored(exporter, protocol, (saved.id, address)) else { break };
            for template in &saved.templates {
                let field = |&(pen, id, length)| Field { ie: Ie { pen, id }, length };
                let fields: Vec<Field> = template.fields.iter().map(field).collect();
                let room =
                    Room { exporter_octets: exporter_octets.saturating_sub(domain.templates.octets()), ..Room::ANY };
                domain.templates.learn(
                    template.id,
                    (&fields, template.scope_fields),
                    room,
                    (template.port, now),
                    compiler,
                );
            }
            domain.templates.changed = false;
            let (templates, octets) = (domain.templates.n_definitions(), domain.templates.octets());
            exporter.templates += templates;
            exporter.template_octets += octets;
        }
        self.restore_sequences(exporter);
        exporter.known_since = UnixMs::MIN;
        exporter.tables = self.tables.restore(exporter.address, names);
    }
}

/// A domain that was saved: what was, was within the limits of all exporters.
fn restored(exporter: &mut Exporter, protocol: Protocol, id: (u32, Address)) -> Result<&mut Domain, DecodeError> {
    find_or_add(&mut exporter.domains, protocol, id, DomainRoom { taken: &mut 0, most: usize::MAX, octets: usize::MAX })
}

impl SavedTables {
    /// The tables in a form that can be written down.
    fn of(tables: &Tables, names: &Names) -> Self {
        let names = names.read();
        Self {
            samplers: tables.samplers.iter().map(|(&(domain, id), &interval)| (domain, id, interval)).collect(),
            interfaces: tables
                .interfaces
                .iter()
                .map(|(&(domain, index), &interval)| (domain, index, interval))
                .collect(),
            templates: tables.templates.iter().map(|(&(domain, id), &interval)| (domain, id, interval)).collect(),
            domains: tables.domains.iter().map(|(&domain, &interval)| (domain, interval)).collect(),
            applications: tables.applications.iter().map(|(&id, &name)| (id, names.get(name).to_owned())).collect(),
            interface_names: tables
                .interface_names
                .iter()
                .map(|(&index, known)| {
                    (index, names.get(known.name).to_owned(), names.get(known.description).to_owned())
                })
                .collect(),
            vrfs: tables.vrfs.iter().map(|(&id, &name)| (id, names.get(name).to_owned())).collect(),
            system_init: tables.system_init.iter().map(|(&domain, &init)| (domain, init)).collect(),
        }
    }

    /// The tables again.
    fn restore(&self, exporter: Address, names: &Names) -> Tables {
        let room = usize::MAX; // What was saved was within the limits.
        let mut tables = Tables { room, ..Tables::default() };
        let wire = |name: &str| names.intern_wire(name, exporter, MAX_WIRE_NAMES);
        for &(domain, id, interval) in &self.samplers {
            tables.put_sampler(domain, id, interval);
        }
        for &(domain, index, interval) in &self.interfaces {
            put(&mut tables.interfaces, room, (domain, index), interval);
        }
        for &(domain, id, interval) in &self.templates {
            put(&mut tables.templates, room, (domain, id), interval);
        }
        for &(domain, interval) in &self.domains {
            put(&mut tables.domains, room, domain, interval);
        }
        for (id, name) in &self.applications {
            put(&mut tables.applications, room, *id, wire(name));
        }
        for (index, name, description) in &self.interface_names {
            let known = InterfaceNames { name: wire(name), description: wire(description) };
            put(&mut tables.interface_names, room, *index, known);
        }
        for (id, name) in &self.vrfs {
            put(&mut tables.vrfs, room, *id, wire(name));
        }
        for &(domain, init) in &self.system_init {
            put(&mut tables.system_init, room, domain, init);
        }
        tables.changed = false;
        tables
    }
}

impl SavedDomain {
    fn of(domain: &Domain) -> Self {
        let templates = domain.templates.iter().map(|(id, port, template)| SavedTemplate {
            id,
            port,
            scope_fields: template.scope_fields,
            fields: template.fields.iter().map(|field| (field.ie.pen, field.ie.id, field.length)).collect(),
        });
        Self { protocol: domain.protocol.name().to_owned(), id: domain.id, templates: templates.collect() }
    }
}
