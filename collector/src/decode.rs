//! Datagrams to flow rows: version dispatch, state per exporter, outcome of a message.
//!
//! Sans I/O: no socket, no clock, no log. One [`Decoder`] per receive worker; an exporter always reaches the same
//! worker, so state needs no lock.
//!
//! Nothing that comes from the wire is an index: octets are taken by [`cursor`], and what is indexed says why it cannot miss.

#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

use std::cmp::Reverse;
use std::net::SocketAddr;
use std::sync::Arc;

use hashbrown::HashMap;
use helios_common::exporter::{Address, Exporters, address_of};
use helios_common::flow::FlowBatch;
use helios_common::names::Names;
use helios_common::side::{ExporterMinute, InterfaceCounters};
use helios_common::time::UnixMs;

mod config;
pub mod budget;
pub mod allow;
mod by_hand;
mod interval;
pub mod cursor;
pub mod packet;
pub mod template;
mod plan;
mod records;
mod rows;
mod frame;
mod options;
mod sampling;
mod sets;
mod walk;
mod known;
mod pending;
pub(crate) mod refused;
mod sequence;
mod minute;
mod saved;
mod text;
pub mod tally;
mod times;
mod domain;
mod exporter;
pub mod netflow5;
pub mod sflow5;

use budget::{Account, Budget, ENTRY_OCTETS, SOURCE_OCTETS};
pub use by_hand::{Rate, SamplingRule};
pub use config::DecoderConfig;
use cursor::Cursor;
use domain::{DOMAIN_OCTETS, DomainRoom};
pub use exporter::ExporterStats;
use exporter::{EXPORTER_OCTETS, Exporter};
use known::{EXPORTER_IDLE_MS, Known, Restored};
pub use known::{MAX_EXPORTERS, Memory};
pub use packet::Decapsulate;
pub use pending::HeldCounts;
pub(crate) use plan::{MAX_WORKER_TOTALS, MIN_SESSION_TOTALS};
use refused::Refused;
pub use refused::{RefusedSender, SENDERS_PER_REASON};
use rows::{Context, Message, Scratch, SetCounts};
use sampling::Fallback;
pub use saved::{SavedExporter, SavedSequence};
pub use sequence::LossCounts;
use sequence::Units;
use sets::{Set, Sets};
pub use sflow5::SampleCounts;
use template::{Compiled, Compiler, Content, Field, TEMPLATE_OCTETS};
use walk::Walk;

/// Observation domains per exporter: a large chassis has one per line card, a probe one per port.
const MAX_DOMAINS: usize = 256;

/// Rows of counter samples that wait to be taken: more than one receive call can bring, 1 MiB of the shortest samples.
pub const MAX_COUNTER_ROWS: usize = 1 << 15;

/// Domains that are reported per minute and worker: made-up ones cost the sink no more than this, and an honest
/// exporter is busier than they are.
pub const MAX_MINUTE_ROWS: usize = 1 << 16;

/// Sequence numbers that one worker saves: made-up senders fill no disk. The rest begin anew after a restart.
const MAX_SAVED_SEQUENCES: usize = 1 << 17;

/// What is known of a datagram besides its octets.
#[derive(Debug, Clone, Copy)]
pub struct DatagramMeta {
    /// Address and port that the datagram came from; IPv4 may be mapped into IPv6 (RFC 4291 §2.5.5.2).
    pub source: SocketAddr,
    /// Read from the clock once per receive call.
    pub received_at: UnixMs,
}

helios_metrics::label_set! {
    /// Why a message was discarded.
    #[derive(Hash, thiserror::Error)]
    pub enum DecodeError {
        #[error("the first octets belong to no version of NetFlow, IPFIX or sFlow that Helios decodes")]
        UnknownVersion = "unknown_version",
        #[error("the sender's address is in no prefix of collector.allow")]
        NotAllowed = "not_allowed",
        #[error(
            "the sender is in collector.proxy_protocol, and the datagram has no header of the PROXY protocol, version 2"
        )]
        NoProxyHeader = "no_proxy_header",
        #[error("the agent's address is of a type that sFlow version 5 does not have")]
        UnknownAddressType = "unknown_address_type",
        #[error("the message ends before a field that its header or a length promised")]
        Truncated = "truncated",
        #[error("a length in the message contradicts another one")]
        BadLength = "bad_length",
        #[error("the header's record count does not fit the message")]
        BadCount = "bad_count",
        #[error("the message asks for more output than one datagram may have")]
        TooMuchOutput = "too_much_output",
        #[error("more exporters are sending than state is kept for")]
        TooManyExporters = "too_many_exporters",
        #[error("the exporter uses more observation domains than state is kept for")]
        TooManyDomains = "too_many_domains",
    }
}

helios_metrics::label_set! {
    /// Protocols, by the value of the `export_protocol` column; their labels are those of the column as well.
    #[derive(Hash, PartialOrd, Ord)]
    #[repr(u8)]
    pub enum Protocol {
        Netflow1(1) = "netflow1",
        Netflow5(5) = "netflow5",
        Netflow7(7) = "netflow7",
        Netflow9(9) = "netflow9",
        Ipfix(10) = "ipfix",
        Sflow5(15) = "sflow5",
    }
}

impl Protocol {
    /// Tells the protocol by the first octets: two octets of version for NetFlow and IPFIX, four for sFlow.
    pub fn detect(datagram: &[u8]) -> Option<Self> {
        match datagram {
            [0, 1, ..] => Some(Self::Netflow1),
            [0, 5, ..] => Some(Self::Netflow5),
            [0, 7, ..] => Some(Self::Netflow7),
            [0, 9, ..] => Some(Self::Netflow9),
            [0, 10, ..] => Some(Self::Ipfix),
            [0, 0, 0, 5, ..] => Some(Self::Sflow5),
            _ => None,
        }
    }
}

helios_metrics::label_set! {
    /// What messages came over.
    pub enum Transport {
        Udp = "udp",
        Tcp = "tcp",
        Tls = "tls",
    }
}

impl Transport {
    /// Whether nothing gets lost: templates may then be withdrawn, and need no refresh (RFC 7011 §8.1).
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Self::Udp)
    }
}

/// What became of a message that was decoded. Counts are of this message alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded {
    /// Told by the first octets of the message.
    pub protocol: Protocol,
    /// Rows appended to the batch.
    pub rows: u32,
    /// The last so many of the rows come from sets that were held for a template of this message.
    pub held_rows: u32,
    /// Flow records on the wire, without held ones; a biflow record counts once.
    pub data_records: u32,
    /// Options data records (RFC 7011 §3.4.2, RFC 3954 §6.2).
    pub options_records: u32,
    /// Definitions of templates, refreshes and refused ones included (RFC 7011 §3.4.1, RFC 3954 §5.2).
    pub templates: u32,
    /// Definitions of options templates, refreshes and refused ones included (RFC 7011 §3.4.2.2, RFC 3954 §6.1).
    pub options_templates: u32,
    /// Sets whose template was not known on arrival.
    pub sets_without_template: u32,
    /// Records that were held and became rows with this message.
    pub held_records: u32,
    /// Lists (RFC 6313) that cost themselves, not their record.
    pub unreadable_lists: u32,
    /// 1 if lengths inside the message contradict each other: what could be told from them was decoded.
    pub contradictions: u32,
    /// 1 if a NetFlow v9 or IPFIX message has a set whose length is beyond the datagram or below its own header. The sets
    /// before it were decoded, the rest of the message was not.
    pub sets_left_out: u32,
    /// Samples of an sFlow message; all 0 for the other protocols.
    pub sflow: SampleCounts,
}

impl Decoded {
    fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            rows: 0,
            held_rows: 0,
            data_records: 0,
            options_records: 0,
            templates: 0,
            options_templates: 0,
            sets_without_template: 0,
            held_records: 0,
            unreadable_lists: 0,
            contradictions: 0,
            sets_left_out: 0,
            sflow: SampleCounts::default(),
        }
    }

    fn add(&mut self, counts: SetCounts) {
        self.data_records += counts.records;
        self.rows += counts.rows;
        self.unreadable_lists += counts.unreadable_lists;
    }

    /// Whether the message held nothing that was taken in.
    const fn is_empty(&self) -> bool {
        self.templates == 0
            && self.options_templates == 0
            && self.data_records == 0
            && self.options_records == 0
            && self.sets_without_template == 0
    }
}

/// A message that was discarded: it left no rows, but the templates before the fault were learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Discarded {
    /// Why the message was discarded.
    pub error: DecodeError,
    /// `None` if the first octets told no version.
    pub protocol: Option<Protocol>,
    /// Definitions of templates that came before the fault.
    pub templates: u32,
    /// Definitions of options templates that came before the fault.
    pub options_templates: u32,
}

/// Decodes the datagrams of one receive worker.
#[derive(Debug)]
pub struct Decoder {
    config: DecoderConfig,
    names: Arc<Names>,
    known: Known,
    compiler: Compiler,
    /// Templates of all exporters; counted anew with every [`expire`](Self::expire).
    worker_templates: usize,
    /// What the held sets of all exporters cost.
    worker_held: usize,
    /// Entries of all tables of options data; counted anew with every [`expire`](Self::expire).
    worker_entries: usize,
    /// Observation domains of all exporters; counted anew with every [`expire`](Self::expire).
    worker_domains: usize,
    /// Sources of samples of all sFlow agents; counted anew with every [`expire`](Self::expire).
    worker_sources: usize,
    /// What all of this takes of the process's budget.
    account: Account,
    refused: Refused,
    netflow1: Compiled,
    netflow5: Compiled,
    netflow7: Compiled,
    scratch: Scratch,
    fields: Vec<Field>,
    /// Rows of counter samples that were not taken yet.
    counters: Vec<InterfaceCounters>,
}

impl Decoder {
    /// A decoder that knows no exporter yet. `exporters` and `names` number addresses and texts for all decoders of the
    /// process, so that the rows of all of them have the same numbers.
    pub fn new(config: DecoderConfig, exporters: Arc<Exporters>, names: Arc<Names>) -> Self {
        let known = Known {
            registry: exporters,
            names: Arc::clone(&names),
            memory: None,
            sampling: Arc::clone(&config.sampling),
            exporters: HashMap::default(),
            room: 0,
            restored: Restored::default(),
        };
        Self {
            scratch: Scratch::new(config.max_totals),
            config,
            names,
            known,
            compiler: Compiler::default(),
            worker_templates: 0,
            worker_held: 0,
            worker_entries: 0,
            worker_domains: 0,
            worker_sources: 0,
            account: Account::new(Arc::new(Budget::new(budget::DEFAULT_MAX_OCTETS))),
            refused: Refused::default(),
            netflow1: netflow5::v1_template(),
            netflow5: netflow5::v5_template(),
            netflow7: netflow5::v7_template(),
            fields: Vec::new(),
            counters: Vec::new(),
        }
    }

    /// Lets exporters that are seen for the first time start with what `memory` has of them.
    pub fn remember(&mut self, memory: Arc<dyn Memory>) {
        self.known.memory = Some(memory);
    }

    /// Charges what is kept to `budget`, which other decoders may share. Without it, a decoder has one of
    /// [`DEFAULT_MAX_OCTETS`](budget::DEFAULT_MAX_OCTETS) for itself.
    pub fn charge_to(&mut self, budget: Arc<Budget>) {
        self.account = Account::new(budget);
        self.charge();
    }

    /// What the decoder keeps, in octets; an upper bound.
    pub fn state_octets(&self) -> usize {
        self.known.exporters.len() * EXPORTER_OCTETS
            + self.worker_domains * DOMAIN_OCTETS
            + self.worker_templates * TEMPLATE_OCTETS
            + self.compiler.octets()
            + self.worker_entries * ENTRY_OCTETS
            + self.worker_held
            + self.worker_sources * SOURCE_OCTETS
            + self.scratch.kept_octets()
    }

    fn charge(&mut self) {
        let Restored { templates, entries, domains } = std::mem::take(&mut self.known.restored);
        self.worker_templates += templates;
        self.worker_entries += entries;
        self.worker_domains += domains;
        self.account.charge(self.state_octets());
    }

    /// Appends the flows of a datagram to `out`.
    ///
    /// # Errors
    /// [`Discarded`] for a malformed message; `out` is then as it was before.
    pub fn decode(&mut self, datagram: &[u8], meta: &DatagramMeta, out: &mut FlowBatch) -> Result<Decoded, Discarded> {
        if !self.config.allow.accepts(address_of(meta.source.ip())) {
            return Err(self.discard(DecodeError::NotAllowed, None, None, meta));
        }
        let Some(protocol) = Protocol::detect(datagram) else {
            return Err(self.discard(DecodeError::UnknownVersion, None, None, meta));
        };
        let mut decoded = Decoded::new(protocol);
        if self.counters.len() >= MAX_COUNTER_ROWS {
            self.counters.clear();
        }
        self.known.room = self.account.room(false);
        let (mark, counters) = (out.mark(), self.counters.len());
        let result = match protocol {
            Protocol::Sflow5 => self.sflow(datagram, meta, &mut decoded, out),
            Protocol::Netflow1 | Protocol::Netflow5 | Protocol::Netflow7 => {
                self.fixed(datagram, meta, &mut decoded, out)
            }
            Protocol::Netflow9 | Protocol::Ipfix => self.templated(datagram, meta, &mut decoded, out),
        };
        self.charge();
        match result {
            Ok(()) => Ok(decoded),
            Err(error) => {
                out.truncate(mark);
                self.counters.truncate(counters);
                Err(self.discard(error, Some(protocol), Some(&decoded), meta))
            }
        }
    }

    /// Takes note of a datagram that is discarded before it is decoded.
    pub fn refuse(&mut self, error: DecodeError, meta: &DatagramMeta) -> Discarded {
        self.discard(error, None, None, meta)
    }

    fn discard(
        &mut self,
        error: DecodeError,
        protocol: Option<Protocol>,
        decoded: Option<&Decoded>,
        meta: &DatagramMeta,
    ) -> Discarded {
        self.refused.note(address_of(meta.source.ip()), error, meta.received_at);
        // An exporter is known by its first message whose header can be read, also if the rest of it cannot.
        if let Some(exporter) = self.known.exporters.get_mut(&address_of(meta.source.ip())) {
            exporter.stats.discarded(error, meta.received_at);
        }
        Discarded {
            error,
            protocol,
            templates: decoded.map_or(0, |decoded| decoded.templates),
            options_templates: decoded.map_or(0, |decoded| decoded.options_templates),
        }
    }

    /// NetFlow v1, v5 and v7.
    fn fixed(
        &mut self,
        datagram: &[u8],
        meta: &DatagramMeta,
        decoded: &mut Decoded,
        out: &mut FlowBatch,
    ) -> Result<(), DecodeError> {
        let mut cursor = Cursor::new(datagram);
        let header = netflow5::Header::parse(&mut cursor)?;
        let template = match decoded.protocol {
            Protocol::Netflow1 => &self.netflow1,
            Protocol::Netflow5 => &self.netflow5,
            _ => &self.netflow7,
        };
        let records = header.records(&cursor, template.record_octets)?;
        let exporter = self.known.exporter(address_of(meta.source.ip()), meta.received_at, &mut self.compiler)?;
        let most = self.config.most(self.config.max_domains, exporter.known_since, meta.received_at);
        let established = self.config.is_established(exporter.known_since, meta.received_at);
        let octets = self.account.room(established);
        let room = DomainRoom { taken: &mut self.worker_domains, most, octets };
        let domain = domain::find_or_add(
            &mut exporter.domains,
            decoded.protocol,
            (u32::from(header.engine), exporter.address),
            room,
        )?;
        if let Some(sequence) = header.flow_sequence {
            domain.sessions.observe(meta.source.port(), sequence, Some(Units::of(u32::from(header.count))));
        }
        let message = Message {
            protocol: decoded.protocol,
            exporter: exporter.id,
            exporter_address: exporter.address,
            domain: u32::from(header.engine),
            received_at: meta.received_at,
            clock: header.clock().corrected(meta.received_at, self.config.max_clock_skew_ms),
            max_skew_ms: self.config.max_clock_skew_ms,
            sampling: Fallback { header: header.sampling_interval, config: self.config.sampling_interval },
            decapsulate: self.config.decapsulate,
            max_names: 0, // There is no text in these versions.
        };
        if let Content::Data(plan) = &template.content {
            let (tables, names) = (&exporter.tables, &*self.names);
            let by_hand = exporter.by_hand.as_deref();
            let context = Context { message: &message, tables, by_hand, names, template: 0, templates: None };
            decoded.add(rows::decode_set(template, plan, records, &context, &mut self.scratch, out)?);
        }
        domain.minutes.message(decoded, meta.received_at, Some(header.export_ms), out);
        exporter.stats.decoded(decoded, meta.received_at, out);
        Ok(())
    }

    /// NetFlow v9 and IPFIX.
    fn templated(
        &mut self,
        datagram: &[u8],
        meta: &DatagramMeta,
        decoded: &mut Decoded,
        out: &mut FlowBatch,
    ) -> Result<(), DecodeError> {
        let mut cursor = Cursor::new(datagram);
        let ipfix = decoded.protocol == Protocol::Ipfix;
        let (header, behind) = if ipfix {
            sets::Header::parse_ipfix(&mut cursor)?
        } else {
            (sets::Header::parse_netflow9(&mut cursor)?, 0)
        };
        let mut sets = Sets::new(ipfix, cursor, behind);
        let Self {
            config,
            names,
            known,
            compiler,
            worker_templates,
            worker_held,
            worker_entries,
            worker_domains,
            account,
            scratch,
            fields,
            ..
        } = self;
        let exporter = known.exporter(address_of(meta.source.ip()), meta.received_at, compiler)?;
        let Exporter {
            id,
            address,
            domains,
            templates,
            template_octets,
            known_since,
            held_octets,
            tables,
            by_hand,
            stats,
            ..
        } = exporter;
        let most = |all| config.most(all, *known_since, meta.received_at);
        let octets = account.room(config.is_established(*known_since, meta.received_at));
        scratch.set_room(octets);
        let room = DomainRoom { taken: worker_domains, most: most(config.max_domains), octets };
        let domain = domain::find_or_add(domains, decoded.protocol, (header.domain, *address), room)?;
        let max_compiler_octets = compiler.octets().saturating_add(octets);
        let mut walk = Walk {
            config,
            names,
            scratch,
            fields,
            compiler,
            tables,
            by_hand: by_hand.as_deref(),
            domain,
            exporter_templates: templates,
            exporter_template_octets: template_octets,
            max_compiler_octets,
            worker_templates,
            max_worker_templates: most(config.max_templates),
            exporter_held: held_octets,
            max_worker_held: pending::MAX_WORKER_HELD_OCTETS.min(worker_held.saturating_add(octets)),
            worker_held,
            max_worker_entries: most(config.max_entries).min(worker_entries.saturating_add(octets / ENTRY_OCTETS)),
            worker_entries,
            port: meta.source.port(),
            message: Message {
                protocol: decoded.protocol,
                exporter: *id,
                exporter_address: *address,
                domain: header.domain,
                received_at: meta.received_at,
                clock: header.clock(None),
                max_skew_ms: config.max_clock_skew_ms,
                sampling: Fallback { header: None, config: config.sampling_interval },
                decapsulate: config.decapsulate,
                max_names: most(config.max_names),
            },
            header,
            fault: None,
            decoded,
            out,
        };
        loop {
            let set = match sets.next_set() {
                Ok(Some(set)) => set,
                Ok(None) => break,
                Err(error) => {
                    walk.decoded.sets_left_out = 1;
                    walk.contradicts(error);
                    break;
                }
            };
            match set {
                Set::Templates(form, octets) => walk.templates(form, octets),
                Set::Data(id, octets) => {
                    walk.data(id, octets)?;
                    if walk.decoded.rows as usize > rows::MAX_ROWS_PER_MESSAGE {
                        return Err(DecodeError::TooMuchOutput);
                    }
                }
                Set::Reserved => {}
            }
        }
        if sets.contradict {
            walk.contradicts(DecodeError::BadLength);
        }
        if let Some(fault) = walk.fault() {
            return Err(fault);
        }
        walk.observe_sequence(ipfix);
        walk.release()?;
        let Walk { domain, decoded, out, .. } = walk;
        domain.minutes.message(decoded, meta.received_at, Some(header.export_ms), out);
        stats.decoded(decoded, meta.received_at, out);
        Ok(())
    }

    fn sflow(
        &mut self,
        datagram: &[u8],
        meta: &DatagramMeta,
        decoded: &mut Decoded,
        out: &mut FlowBatch,
    ) -> Result<(), DecodeError> {
        let mut cursor = Cursor::new(datagram);
        let header = sflow5::Header::parse(&mut cursor)?;
        // The agent address names the device; an agent that does not know its own is known by its socket.
        let socket = address_of(meta.source.ip());
        let agent = if header.agent == [0; 16] { socket } else { header.agent };
        let exporter = self.known.exporter_behind(agent, socket, meta.received_at, &mut self.compiler)?;
        let most = self.config.most(self.config.max_domains, exporter.known_since, meta.received_at);
        let established = self.config.is_established(exporter.known_since, meta.received_at);
        let octets = self.account.room(established);
        let room = DomainRoom { taken: &mut self.worker_domains, most, octets };
        let domain = domain::find_or_add(&mut exporter.domains, decoded.protocol, (header.sub_agent, socket), room)?;
        let port = meta.source.port();
        let context = sflow5::SampleContext {
            received_at: meta.received_at,
            exporter: exporter.id,
            exporter_address: exporter.address,
            socket_address: (socket != exporter.address).then_some(socket),
            by_hand: exporter.by_hand.as_deref(),
            decapsulate: self.config.decapsulate,
        };
        let room = self.worker_sources < sflow5::MAX_WORKER_SOURCES && octets >= SOURCE_OCTETS;
        let sources = domain.meters.n_sources();
        let mut output = sflow5::Output { flows: out, counters: &mut self.counters, meters: &mut domain.meters, room };
        let result = sflow5::decode_samples(cursor, &header, &context, &mut output);
        self.worker_sources += domain.meters.n_sources() - sources;
        decoded.sflow = result?;
        let SampleCounts { samples, rows, samples_left_out, .. } = decoded.sflow;
        decoded.contradictions = u32::from(samples_left_out > 0);
        let units = match samples_left_out {
            0 => Units { own: 1, data_records: rows, all_records: samples },
            _ => Units::of(1),
        };
        domain.sessions.observe(port, header.sequence, Some(units));
        decoded.rows = decoded.sflow.rows;
        decoded.data_records = decoded.sflow.rows;
        domain.minutes.message(decoded, meta.received_at, None, out);
        exporter.stats.decoded(decoded, meta.received_at, out);
        Ok(())
    }

    /// The rows of `interface_counters` of all messages since the last call, in the order of their arrival.
    ///
    /// Callers that want the rows ask after every receive call. Beyond [`MAX_COUNTER_ROWS`], the decoder forgets them.
    pub fn take_counters(&mut self) -> Vec<InterfaceCounters> {
        std::mem::take(&mut self.counters)
    }

    /// Forgets exporters that fell silent, templates that were not defined again and sets that waited too long. Called
    /// about once a minute. A session over TCP keeps its exporter and its templates until it ends (RFC 7011 §8.4).
    /// Returns what the forgotten exporters had sent.
    pub fn expire(&mut self, now: UnixMs) -> Vec<ExporterStats> {
        let transport = self.config.transport;
        let reliable = transport.is_reliable();
        let forgotten = self.known.expire(now, if reliable { i64::MAX } else { EXPORTER_IDLE_MS }, transport);
        let lifetime = self.config.template_lifetime_ms.filter(|_| !reliable);
        let oldest_template = lifetime.map(|lifetime| now - lifetime);
        self.known.exporters.values_mut().for_each(|exporter| exporter.expire(now, oldest_template));
        let exporters = || self.known.exporters.values();
        self.worker_templates = exporters().map(|exporter| exporter.templates).sum();
        self.worker_held = exporters().map(|exporter| exporter.held_octets).sum();
        self.worker_entries = exporters().map(|exporter| exporter.tables.len()).sum();
        self.worker_domains = exporters().map(|exporter| exporter.domains.len()).sum();
        self.worker_sources =
            exporters().flat_map(|exporter| &exporter.domains).map(|domain| domain.meters.n_sources()).sum();
        self.known.restored = Restored::default();
        self.compiler.forget_unused();
        self.charge();
        forgotten
    }

    /// The rows of `exporters` for the time since the last call, of every domain that sent something. The minute, the
    /// worker and its kernel drops are for the caller to fill in. Beyond [`MAX_MINUTE_ROWS`] the busiest are reported,
    /// and the others' counts wait for a minute with room.
    pub fn close_minute(&mut self) -> Vec<ExporterMinute> {
        let mut due: Vec<_> = self.known.exporters.values_mut().flat_map(Exporter::due).collect();
        if due.len() > MAX_MINUTE_ROWS {
            due.select_nth_unstable_by_key(MAX_MINUTE_ROWS, |(_, domain)| Reverse(domain.minutes.unreported()));
            due.truncate(MAX_MINUTE_ROWS);
        }
        due.into_iter().filter_map(|(address, domain)| domain.close_minute(address)).collect()
    }

    /// What each exporter sent so far.
    pub fn exporters(&self) -> impl Iterator<Item = ExporterStats> + '_ {
        self.known.exporters.values().map(|exporter| exporter.snapshot(self.config.transport))
    }

    /// The last senders whose datagrams were discarded, by reason.
    pub fn refused(&self) -> &[RefusedSender] {
        self.refused.senders()
    }

    /// The numbers that the exporters' next messages should have.
    pub fn sequences(&self) -> Vec<(Address, SavedSequence)> {
        let domains = self.known.exporters.values().flat_map(|exporter| {
            let address = exporter.address;
            exporter.domains.iter().map(move |domain| (address, domain))
        });
        let numbers = domains.flat_map(|(address, domain)| {
            let (protocol, id, socket) = (domain.protocol, domain.id, domain.socket);
            let saved = move |(port, next)| (address, SavedSequence { protocol, domain: id, socket, port, next });
            domain.sessions.expected().map(saved)
        });
        numbers.take(MAX_SAVED_SEQUENCES).collect()
    }

    /// Lets [`changed`](Self::changed) tell of every exporter again.
    pub fn save_anew(&mut self) {
        self.known.exporters.values_mut().for_each(|exporter| exporter.tables.changed = true);
    }

    /// Calls `save` with exporters whose templates or tables changed since they were last saved, `limit` at the most.
    /// One that `save` does not take comes again with the next call.
    pub fn changed(&mut self, limit: usize, mut save: impl FnMut(Address, SavedExporter) -> bool) {
        let Known { exporters, names, .. } = &mut self.known;
        let changed = exporters.values_mut().filter_map(|exporter| exporter.take_changed().then_some(exporter));
        for exporter in changed.take(limit) {
            exporter.tables.changed = !save(exporter.address, SavedExporter::of(exporter, names));
        }
    }
}
