//! From the records of one data set to rows: the plan's columns, then what every row has.

use helios_common::columns::{
    APPLICATION, Col, DST_ADDR, DST_PORT, EGRESS_VRF_ID, ETHER_TYPE, EXPORT_PROTOCOL, EXPORTER_ADDRESS, ICMP_CODE,
    ICMP_TYPE, IN_IF_DESCRIPTION, IN_IF_INDEX, IN_IF_NAME, INGRESS_VRF_ID, OBSERVATION_DOMAIN_ID, OUT_IF_DESCRIPTION,
    OUT_IF_INDEX, OUT_IF_NAME, PROTO, RECEIVED_AT, SRC_ADDR, VRF_NAME,
};
use helios_common::exporter::{Address, ExporterId};
use helios_common::flow::FlowBatch;
use helios_common::time::UnixMs;

use super::by_hand::ByHand;
use super::options::Tables;
use super::packet::{Decapsulate, Link};
use super::plan::{AddressFamilies, Clock, FlowTotals, FrameStart, Plan, Scope, Times};
use super::records::{FixedRecords, LocatedRecords, Positions, Records};
use super::sampling::{self, Fallback};
use super::template::{Compiled, TemplateStore};
use super::text::{Memo, Texts};
use super::{DecodeError, Protocol, frame, times};
use helios_common::names::{NameId, Names};

/// Rows that one message may become. A datagram of 64 KiB holds 1365 v5 records and some 3000 of the shortest
/// flow records in use; a template of one octet would make 65 thousand of it.
pub(super) const MAX_ROWS_PER_MESSAGE: usize = 8192;

/// What all rows of a message share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message {
    pub protocol: Protocol,
    pub exporter: ExporterId,
    pub exporter_address: Address,
    pub domain: u32,
    pub received_at: UnixMs,
    pub clock: Clock,
    /// How far a time may lie behind the arrival, and a clock be off; `None` takes every time as it is.
    pub max_skew_ms: Option<i64>,
    pub sampling: Fallback,
    pub decapsulate: Decapsulate,
    /// Names from the wire, of all exporters, beyond which this one adds none.
    pub max_names: usize,
}

/// Buffers that live as long as the decoder, so that no set allocates.
#[derive(Debug)]
pub(super) struct Scratch {
    positions: Positions,
    reverse_positions: Positions,
    reverse_records: Vec<u8>,
    memo: Memo,
    totals: FlowTotals,
}

impl Scratch {
    /// `max_totals` are the flows whose totals are remembered.
    pub(super) fn new(max_totals: usize) -> Self {
        Self {
            positions: Positions::default(),
            reverse_positions: Positions::default(),
            reverse_records: Vec::new(),
            memo: Memo::default(),
            totals: FlowTotals::new(max_totals),
        }
    }

    /// Octets on the heap that grow with what exporters send; an upper bound.
    pub(super) fn kept_octets(&self) -> usize {
        self.totals.heap_octets()
    }

    /// Sets how many octets they may grow by.
    pub(super) fn set_room(&mut self, octets: usize) {
        self.totals.room = octets;
    }

    pub(super) fn texts<'a>(&'a mut self, names: &'a Names, message: &Message) -> (Texts<'a>, &'a mut Positions) {
        (Texts::new(names, &mut self.memo, message.exporter_address, message.max_names), &mut self.positions)
    }
}

/// Rows and records that a data set became.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct SetCounts {
    /// Records on the wire; a biflow record counts once.
    pub records: u32,
    pub rows: u32,
    /// Lists (RFC 6313) that contradict themselves or whose template is not known.
    pub unreadable_lists: u32,
    /// Whether a length in a record runs past the set: the records in front of it were read.
    pub contradict: bool,
}

/// Decodes a data set of flow records.
///
/// # Errors
/// [`DecodeError::TooMuchOutput`] when the set holds more records than a message may.
pub(super) fn decode_set(
    template: &Compiled,
    plan: &Plan,
    octets: &[u8],
    context: &Context<'_>,
    scratch: &mut Scratch,
    out: &mut FlowBatch,
) -> Result<SetCounts, DecodeError> {
    let Scratch { positions, reverse_positions, reverse_records, memo, totals } = scratch;
    let texts = Texts::new(context.names, memo, context.message.exporter_address, context.message.max_names);
    let clock = context.message.clock;
    let mut writer = Writer { context, clock, texts, totals, out, unreadable_lists: 0 };
    if let Some(places) = &template.places {
        let records = FixedRecords::new(octets, template.record_octets, places);
        writer.clock = plan.clock(&records, clock);
        let n = writer.set(plan, &records)?;
        let mut rows = n;
        if let Some(reverse) = &plan.reverse {
            reverse_records.clear();
            for row in (0..n).filter(|&row| reverse.counters.iter().any(|&counter| records.unsigned(row, counter) > 0))
            {
                reverse_records.extend_from_slice(records.record(row));
            }
            let turned = FixedRecords::new(reverse_records, template.record_octets, places);
            rows += writer.set(&reverse.plan, &turned)?;
        }
        return Ok(writer.counts(n, rows));
    }
    let located = positions.locate(octets, &template.fields, template.record_octets);
    let records = LocatedRecords { data: octets, positions };
    writer.clock = plan.clock(&records, clock);
    let n = writer.set(plan, &records)?;
    let mut rows = n;
    if let Some(reverse) = &plan.reverse {
        reverse_positions
            .copy_rows(&records, |row| reverse.counters.iter().any(|&counter| records.unsigned(row, counter) > 0));
        let turned = LocatedRecords { data: octets, positions: reverse_positions };
        rows += writer.set(&reverse.plan, &turned)?;
    }
    Ok(SetCounts { contradict: located.is_err(), ..writer.counts(n, rows) })
}

/// What decoding a set reads besides its octets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    pub message: &'a Message,
    pub tables: &'a Tables,
    pub by_hand: Option<&'a ByHand>,
    pub names: &'a Names,
    /// The id of the records' template; 0 for versions without templates.
    pub template: u16,
    /// What records in lists are of; `None` for versions without templates.
    pub templates: Option<&'a TemplateStore>,
}

struct Writer<'a> {
    context: &'a Context<'a>,
    /// Of both directions of the records.
    clock: Clock,
    texts: Texts<'a>,
    totals: &'a mut FlowTotals,
    out: &'a mut FlowBatch,
    unreadable_lists: u32,
}

impl Writer<'_> {
    fn counts(&self, records: usize, rows: usize) -> SetCounts {
        let (records, rows) = (records as u32, rows as u32);
        SetCounts { records, rows, unreadable_lists: self.unreadable_lists, contradict: false }
    }

    /// Appends the rows of `records` and returns how many there are.
    fn set<R: Records>(&mut self, plan: &Plan, records: &R) -> Result<usize, DecodeError> {
        let n = records.len();
        if n > MAX_ROWS_PER_MESSAGE {
            return Err(DecodeError::TooMuchOutput);
        }
        if n == 0 {
            return Ok(0);
        }
        let message = self.context.message;
        let times = Times { clock: self.clock, absent: message.received_at };
        let inner = plan.inner.as_deref().filter(|inner| message.decapsulate.contains(inner.family));
        let plan = inner.map_or(plan, |inner| &inner.plan);
        plan.run(records, &times, &mut self.texts, self.out);
        if let Some(totals) = &plan.totals {
            let template = self.context.template;
            let scope = Scope { exporter: message.exporter_address, domain: message.domain, template };
            totals.difference(records, scope, self.totals, self.out);
        }
        if !plan.lists.is_empty() {
            let templates = self.context.templates;
            self.unreadable_lists += plan.run_lists(templates, records, &times, &mut self.texts, self.out);
        }
        if let Some(inner) = inner {
            inner.finish(records, self.out);
        }
        if let Some(frame) = plan.frame {
            self.frames(records, frame, plan);
        }
        let (tables, of) = (self.context.tables, (message.domain, self.context.template));
        sampling::fill(&plan.sampling, records, tables, of, message.sampling, self.out);
        if let Some(by_hand) = self.context.by_hand {
            by_hand.apply(n, self.out);
        }
        if let Some(field) = plan.application_id {
            self.applications(records, field);
        }
        if self.context.tables.has_interface_names() {
            self.interfaces(n, IN_IF_INDEX, (IN_IF_NAME, IN_IF_DESCRIPTION));
            self.interfaces(n, OUT_IF_INDEX, (OUT_IF_NAME, OUT_IF_DESCRIPTION));
        }
        if self.context.tables.has_vrfs() {
            self.vrfs(n);
        }
        if !plan.has_icmp {
            icmp_from_port(n, self.out);
        }
        ether_type(plan.has_addresses, n, self.out);
        self.constants(n);
        self.out.advance(n, message.exporter);
        Ok(n)
    }

    fn constants(&mut self, n: usize) {
        let message = self.context.message;
        self.out.fill(RECEIVED_AT, n, message.received_at);
        self.out.fill(EXPORTER_ADDRESS, n, message.exporter_address);
        self.out.fill(EXPORT_PROTOCOL, n, message.protocol as u8);
        if message.domain != 0 {
            self.out.fill(OBSERVATION_DOMAIN_ID, n, message.domain);
        }
        times::complete(n, message.received_at, message.max_skew_ms, self.clock.correction_ms != 0, self.out);
    }

    /// Fills rows from the packets in their records. Frames of links that are not read are left alone, and sections from
    /// the middle of a packet.
    fn frames<R: Records>(&mut self, records: &R, (field, start): (usize, FrameStart), plan: &Plan) {
        let (n, decapsulate) = (records.len(), self.context.message.decapsulate);
        let number = |row: usize, field: Option<usize>| field.map_or(0, |field| records.unsigned(row, field));
        for row in (0..n).filter(|&row| number(row, plan.frame_offset) == 0) {
            let octets = records.octets(row, field);
            let link = match start {
                FrameStart::DataLink => frame::link_of(number(row, plan.frame_type)),
                FrameStart::Ip => Link::of_ip(octets),
            };
            if let Some(link) = link {
                frame::write(octets, link, decapsulate, (row, n), self.out);
            }
        }
    }

    /// Names that the exporter itself gave its interfaces.
    #[expect(clippy::indexing_slicing, reason = "a slice of the open rows has `n` values")]
    fn interfaces(&mut self, n: usize, index: Col<u32>, (name, description): (Col<NameId>, Col<NameId>)) {
        let rows = self.out.rows();
        let mut last = (0, None);
        for row in 0..n {
            let if_index = self.out.get(index, rows + row);
            if if_index != last.0 {
                last = (if_index, self.context.tables.interface_names(if_index));
            }
            if let Some(known) = last.1 {
                self.out.open_slice(name, n)[row] = known.name;
                self.out.open_slice(description, n)[row] = known.description;
            }
        }
    }

    /// Names of VRFs that the record gave only a number of.
    #[expect(clippy::indexing_slicing, reason = "a slice of the open rows has `n` values")]
    fn vrfs(&mut self, n: usize) {
        let rows = self.out.rows();
        for row in 0..n {
            let ids = [self.out.get(INGRESS_VRF_ID, rows + row), self.out.get(EGRESS_VRF_ID, rows + row)];
            let name = ids.into_iter().filter(|&id| id != 0).find_map(|id| self.context.tables.vrf(id));
            if let Some(name) = name
                && self.out.get(VRF_NAME, rows + row) == 0
            {
                self.out.open_slice(VRF_NAME, n)[row] = name;
            }
        }
    }

    fn applications<R: Records>(&mut self, records: &R, field: usize) {
        let n = records.len();
        for row in 0..n {
            let name = self.context.tables.application(records.unsigned(row, field));
            if let (Some(name), Some(value)) = (name, self.out.open_slice(APPLICATION, n).get_mut(row))
                && *value == 0
            {
                *value = name;
            }
        }
    }
}

/// Exporters without ICMP fields put type and code into the destination port (Cisco, since v5).
#[expect(clippy::indexing_slicing, reason = "a row was found among the `n` that are open")]
fn icmp_from_port(n: usize, out: &mut FlowBatch) {
    const ICMP: u8 = 1;
    const ICMPV6: u8 = 58;
    let is_icmp = |&proto: &u8| proto == ICMP || proto == ICMPV6;
    // Looking at all rows before looking for one lets the compiler compare 16 of them at once.
    if !out.open_values(PROTO).iter().fold(false, |any, proto| any | is_icmp(proto)) {
        return;
    }
    let mut from = 0;
    while let Some(skipped) = out.open_values(PROTO).iter().skip(from).position(is_icmp) {
        let row = from + skipped;
        let port = out.get(DST_PORT, out.rows() + row);
        if port != 0 {
            let (types, codes) = out.open_slices(ICMP_TYPE, ICMP_CODE, n);
            [types[row], codes[row]] = port.to_be_bytes();
        }
        from = row + 1;
    }
}

/// The EtherType that the addresses imply, where none was exported.
fn ether_type(families: AddressFamilies, n: usize, out: &mut FlowBatch) {
    const IPV4: u16 = 0x0800;
    const IPV6: u16 = 0x86dd;
    let rows = out.rows();
    if out.values(ETHER_TYPE).len() > rows {
        return;
    }
    match families {
        AddressFamilies { v4: true, v6: false } => out.fill(ETHER_TYPE, n, IPV4),
        AddressFamilies { v4: false, v6: true } => out.fill(ETHER_TYPE, n, IPV6),
        AddressFamilies { v4: true, v6: true } => {
            for col in [SRC_ADDR, DST_ADDR] {
                let (addresses, ether_types) = out.open_slices(col, ETHER_TYPE, n);
                for (address, ether_type) in addresses.iter().zip(ether_types) {
                    let implied = match u128::from_be_bytes(*address) {
                        0 => 0,
                        address if address >> 32 == 0xffff => IPV4,
                        _ => IPV6,
                    };
                    *ether_type = if *ether_type == 0 { implied } else { *ether_type };
                }
            }
        }
        AddressFamilies { v4: false, v6: false } => {}
    }
}
