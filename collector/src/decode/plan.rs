//! Plans: a template compiled into steps, run column by column over the records of a data set.
//!
//! A step reads one field of every record and appends it to one column: one tight loop per field, no decision
//! per record. Which field fills which column follows from the column table. Fields without a meaning are in no
//! step and cost nothing.
//!
//! Columns of volume take the first of their elements that the template has (`octetDeltaCount` before
//! `octetTotalCount`); all others fill their zeros from the next one, because exporters put both families' addresses
//! into one record and leave one of them zero, and a time that they do not know as well.

use helios_common::columns::extra;
use helios_common::columns::{
    BYTES, Col, Column, ColumnKind, DST_ADDR, DST_VLAN, FLOW_DIRECTION, FLOW_END_REASON, FORWARDING_STATUS, ICMP_CODE,
    ICMP_TYPE, INNER_VLAN, IPV6_FLOW_LABEL, MPLS_LABELS, PACKETS, SAMPLING_INTERVAL, SRC_ADDR, SRC_VLAN, TCP_FLAGS,
    TOS, TUNNEL_ID, TUNNEL_TYPE, Value,
};
use helios_common::exporter::{Address, mapped};
use helios_common::flow::FlowBatch;
use helios_common::ie::{self, Ie, REVERSE_PEN, Type, iana};
use helios_common::names::NameId;
use helios_common::time::{UnixMs, UptimeClock, ntp_to_unix_ms};

use super::cursor::unsigned;
use super::interval;
use super::packet::tunnel_type;
use super::records::{Fields, Records};
use super::template::{Field, VARIABLE_LENGTH};
use super::text::Texts;

mod communities;
mod ends;
mod gaps;
mod inner;
mod lists;
mod reverse;
mod totals;

use ends::Ends;
use gaps::Gaps;
pub(super) use inner::Inner;
pub(super) use totals::{FlowTotals, Scope, Totals};
pub(crate) use totals::{MAX_WORKER_TOTALS, MIN_SESSION_TOTALS};

/// Times outside of 1970 to 2200 are garbage, not clocks: they count as not exported.
const MAX_TIME_MS: u64 = 7_258_118_400_000;

/// Whether milliseconds since 1970 are a time: zero is none.
pub(super) const fn is_time(ms: u64) -> bool {
    ms.wrapping_sub(1) < MAX_TIME_MS
}

/// IANA `systemInitTimeMilliseconds`.
const SYSTEM_INIT: Ie = iana(160);

/// IANA `flowEndSysUpTime`.
const UPTIME_END: Ie = iana(21);

/// Juniper's `commonPropertiesId`: properties of a sampled packet, each with its kind in the upper 6 bits.
const JUNIPER_PROPERTY: Ie = Ie { pen: 2636, id: 137 };

/// The property that is the reason for which a packet was not forwarded, in 10 bits; 0 if it was.
const JUNIPER_EXCEPTION: u64 = 2;

/// RFC 7270 §4.12: dropped, for an unknown reason.
const DROPPED: u8 = 128;

/// IANA `ipDiffServCodePoint`, `ipPrecedence` and `layer2SegmentId`.
const CODE_POINT: Ie = iana(195);
const PRECEDENCE: Ie = iana(196);
const SEGMENT: Ie = iana(351);

/// Set in the key of a `selectionSequenceId`: the table also has numbers of samplers and selectors, which may be the same.
pub(super) const SEQUENCE: u64 = 1 << 63;

/// IANA `applicationId`: resolved through the exporter's application table, not copied.
const APPLICATION_ID: Ie = iana(95);

/// What the steps of one message need besides the records.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// Export time of the message, corrected.
    pub export_ms: UnixMs,
    /// `None` when the protocol has no sysUptime and the exporter has not told when it booted. Corrected.
    pub uptime: Option<UptimeClock>,
    /// Milliseconds to add to absolute times of the exporter.
    pub correction_ms: i64,
}

impl Clock {
    /// The clock of an exporter that says `export_ms`.
    pub fn new(export_ms: UnixMs, uptime_ms: Option<u32>) -> Self {
        let uptime = uptime_ms.map(|uptime_ms| UptimeClock::new(export_ms, uptime_ms));
        Self { export_ms, uptime, correction_ms: 0 }
    }

    /// This clock if it is off by at most `max_skew_ms`; otherwise it is moved to the arrival of its message.
    pub fn corrected(self, received_at: UnixMs, max_skew_ms: Option<i64>) -> Self {
        let correction_ms = received_at - self.export_ms;
        if max_skew_ms.is_none_or(|max| correction_ms.abs() <= max) {
            return self;
        }
        let uptime = self.uptime.map(|uptime| uptime.moved(correction_ms));
        Self { export_ms: received_at, uptime, correction_ms }
    }
}

/// What times become.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    pub clock: Clock,
    /// Stands for a time that was not exported.
    pub absent: UnixMs,
}

/// One field of every record, into one column.
#[derive(Debug, Clone, Copy)]
struct Step {
    field: usize,
    /// Fills only the rows in which the column is still zero.
    merge: bool,
    /// Another step or a duration may tell a time that this one does not: it stays zero until then.
    gaps: bool,
    op: Op,
}

/// How octets become a value. Integers may have any width from 1 to 8 octets (RFC 7011 §6.2).
#[derive(Debug, Clone, Copy)]
enum Op {
    U8(Col<u8>),
    U16(Col<u16>),
    /// The lower 12 bits: of a VLAN tag, or of `tcpControlBits`, whose upper four are a data offset to be ignored (RFC 7125).
    Bits12(Col<u16>),
    U32(Col<u32>),
    /// The lower 20 bits: of an IPv6 flow label, in front of which some devices leave version and traffic class.
    Bits20(Col<u32>),
    U64(Col<u64>),
    /// Zero is none: a field of the other family may stand beside this one.
    Ipv4(Col<Address>),
    /// Of a template that has no other address for the column: zero is the address 0.0.0.0.
    Ipv4Alone(Col<Address>),
    Ipv6(Col<Address>),
    Seconds(Col<UnixMs>),
    Milliseconds(Col<UnixMs>),
    Ntp(Col<UnixMs>),
    Uptime(Col<UnixMs>),
    DeltaMicroseconds(Col<UnixMs>),
    /// Type in the upper octet, code in the lower one; this step fills the type.
    IcmpType,
    IcmpCode,
    /// `ipDiffServCodePoint` and `ipPrecedence`: the upper six or three bits of the octet.
    CodePoint,
    Precedence,
    /// `layer2SegmentId`: the kind of overlay in the upper octet, its VNI or VSID in the lower three.
    SegmentType,
    SegmentId,
    /// Open vSwitch's numbers of tunnels.
    TunnelType,
    /// 0 ingress, 1 egress on the wire; 0 is "unknown" in the column.
    Direction,
    EndReason,
    /// The meaning is in the lowest octet; those above it have none yet (IANA on element 89).
    ForwardingStatus,
    JuniperException,
    Text(Col<NameId>),
    /// Either family, by length.
    Ip(Col<Address>),
}

/// Fields that say by which interval the record was sampled, or where to look that up.
#[derive(Debug, Clone, Default)]
pub struct SamplingFields {
    /// Fields that are sampling parameters, each with its element.
    pub own: Vec<(u16, usize)>,
    /// `samplerId` (48), `selectorId` (302) or, where there is neither, `selectionSequenceId` (301); and what sets its
    /// number apart from the others'.
    pub sampler: Option<(usize, u64)>,
}

/// A compiled template.
#[derive(Debug, Clone)]
pub struct Plan {
    steps: Vec<Step>,
    /// Fields of the label stack, top first.
    mpls: Vec<usize>,
    /// Fields that may be lists of communities.
    communities: Vec<usize>,
    /// Fields that are lists (RFC 6313), and of which kind.
    pub lists: Vec<(usize, Ie)>,
    pub sampling: SamplingFields,
    pub application_id: Option<usize>,
    /// The field that carries the octets of a packet, and how they begin (RFC 7133, RFC 5477).
    pub frame: Option<(usize, FrameStart)>,
    /// `dataLinkFrameType`: of which link the frame is.
    pub frame_type: Option<usize>,
    /// `sectionOffset`: octets of the packet in front of its section. One that is not its start tells nothing.
    pub frame_offset: Option<usize>,
    /// Client and server, or a station of a wireless network, where the record has no source and destination.
    ends: Option<Ends>,
    /// For counters since the begin of a flow.
    pub totals: Option<Totals>,
    /// The time by which flows ended, if it stands in the record.
    absolute: Option<Step>,
    /// Times that another field may tell.
    gaps: Option<Gaps>,
    /// The other direction of a biflow record.
    pub reverse: Option<Box<Reverse>>,
    /// For templates with two headers, an outer and an inner one.
    pub inner: Option<Box<Inner>>,
    /// The field that tells when the device booted, for the sysUptime fields beside it.
    system_init: Option<usize>,
    /// `flowEndSysUpTime`, if the columns of time are filled by it.
    uptime_end: Option<usize>,
    pub has_icmp: bool,
    pub has_addresses: AddressFamilies,
}

/// How a packet section in a record begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameStart {
    /// `dataLinkFrameSection`: a frame, of Ethernet where `dataLinkFrameType` does not say otherwise.
    DataLink,
    /// `ipHeaderPacketSection`: an IP header.
    Ip,
}

/// Which address families a template has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AddressFamilies {
    pub v4: bool,
    pub v6: bool,
}

/// The second row of a biflow record (RFC 5103; initiator and responder counters).
#[derive(Debug, Clone)]
pub struct Reverse {
    /// Counters of the other direction: a record in which all are zero has no second row.
    pub counters: Vec<usize>,
    pub plan: Plan,
}

impl Plan {
    /// Compiles the fields of a data template.
    pub fn compile(fields: &[Field]) -> Self {
        let mut plan = Self::compile_header(fields);
        plan.inner = inner::compile(fields).map(Box::new);
        plan
    }

    /// Compiles fields of which each header has its own.
    fn compile_header(fields: &[Field]) -> Self {
        let mut plan = Self::with_sources(fields, |spec_elements, column| (spec_elements.to_vec(), column));
        plan.reverse = reverse::compile(fields).map(Box::new);
        plan
    }

    /// Compiles with `sources`: for a column and its elements, which elements fill which column instead.
    fn with_sources(fields: &[Field], sources: impl Fn(&[Ie], Column) -> (Vec<Ie>, Column)) -> Self {
        let find = |element: Ie| fields.iter().position(|field| field.ie == element && field.length > 0);
        let mut steps = Vec::new();
        let mut totals = totals::Chosen::default();
        for column in Column::all() {
            if column == SAMPLING_INTERVAL.column() || column == MPLS_LABELS.column() {
                continue;
            }
            let (elements, target) = sources(&column.elements(), column);
            let first_only = [BYTES.column(), PACKETS.column()].contains(&target);
            let present = elements.iter().filter_map(|&element| find(element).map(|field| (field, element)));
            let take = if first_only { 1 } else { usize::MAX };
            let mut merge = false;
            let before = steps.len();
            for (field, element) in present.take(take) {
                if let Some(op) = op_for(element, target) {
                    steps.push(Step { field, merge, gaps: false, op });
                    totals.note(element, target);
                    merge = true;
                }
            }
            // The last step is this column's only one: DHCP clients do send from 0.0.0.0.
            let end = [SRC_ADDR.column(), DST_ADDR.column()].contains(&target);
            if let (true, Some(step)) = (end && steps.len() == before + 1, steps.last_mut())
                && let Op::Ipv4(col) = step.op
            {
                step.op = Op::Ipv4Alone(col);
            }
        }
        let exception = fields.iter().position(|field| field.ie == JUNIPER_PROPERTY && field.length == 2);
        if let Some(field) = exception {
            steps.push(Step { field, merge: find(iana(89)).is_some(), gaps: false, op: Op::JuniperException });
        }
        let gaps = Gaps::compile(fields, &mut steps);
        let has_uptimes = steps.iter().any(|step| matches!(step.op, Op::Uptime(_)));
        let either = |elements: &[u16]| elements.iter().any(|&id| find(iana(id)).is_some());
        let filled = Column::all().any(|column| {
            [SRC_ADDR.column(), DST_ADDR.column()].contains(&column)
                && extra::fills(column).any(|element| find(element).is_some())
        });
        Self {
            mpls: (70..80).filter_map(|id| find(iana(id))).collect(),
            communities: communities::fields(fields),
            lists: lists::fields(fields),
            sampling: SamplingFields {
                own: interval::ELEMENTS.into_iter().filter_map(|id| find(iana(id)).map(|field| (id, field))).collect(),
                sampler: find(iana(48))
                    .or_else(|| find(iana(302)))
                    .map(|field| (field, 0))
                    .or_else(|| find(iana(301)).map(|field| (field, SEQUENCE))),
            },
            application_id: find(APPLICATION_ID),
            frame: find(iana(315))
                .map(|field| (field, FrameStart::DataLink))
                .or_else(|| find(iana(313)).map(|field| (field, FrameStart::Ip))),
            frame_type: find(iana(408)),
            frame_offset: find(iana(409)),
            ends: Ends::compile(fields),
            totals: totals.compile(fields),
            absolute: steps.iter().find(|step| step.is_absolute_end()).copied(),
            gaps,
            steps,
            reverse: None,
            inner: None,
            system_init: find(SYSTEM_INIT),
            uptime_end: find(UPTIME_END).filter(|_| has_uptimes),
            has_icmp: either(&[32, 139, 176, 178]),
            has_addresses: AddressFamilies {
                v4: filled || has_address_of(fields, 4) || ends::has_ipv4(fields),
                v6: filled || has_address_of(fields, 16) || ends::has_ipv6(fields),
            },
        }
    }

    /// What the plan takes on the heap, itself not included.
    pub fn heap_octets(&self) -> usize {
        let indices = self.mpls.capacity() + self.communities.capacity();
        let reverse = self.reverse.as_ref().map_or(0, |reverse| {
            size_of::<Reverse>() + reverse.counters.capacity() * size_of::<usize>() + reverse.plan.heap_octets()
        });
        let inner = self.inner.as_ref().map_or(0, |inner| size_of::<Inner>() + inner.plan.heap_octets());
        self.steps.capacity() * size_of::<Step>()
            + indices * size_of::<usize>()
            + self.lists.capacity() * size_of::<(usize, Ie)>()
            + self.sampling.own.capacity() * size_of::<(u16, usize)>()
            + self.totals.as_ref().map_or(0, Totals::heap_octets)
            + reverse
            + inner
    }

    /// The clock for `records` of a message with `clock`. Some devices do not send their boot time (IPFIX of MikroTik and
    /// of Cisco IOS). For them, the last end of a flow is taken as the time at which the message left: durations and the
    /// differences between flows are right then.
    pub fn clock<R: Records>(&self, records: &R, clock: Clock) -> Clock {
        let clock = self.believed(records, clock);
        let unknown = clock.uptime.is_none() && self.system_init.is_none();
        let Some(field) = self.uptime_end.filter(|_| unknown) else { return clock };
        let ends = (0..records.len()).map(|row| records.unsigned(row, field) as u32).filter(|&end| end != 0);
        let latest = ends.reduce(|latest, end| if end.wrapping_sub(latest) as i32 > 0 { end } else { latest });
        Clock { uptime: latest.map(|uptime_ms| UptimeClock::new(clock.export_ms, uptime_ms)), ..clock }
    }

    /// Appends the fields of `records` to the open rows of `out`.
    pub fn run<R: Records>(&self, records: &R, times: &Times, texts: &mut Texts<'_>, out: &mut FlowBatch) {
        for step in &self.steps {
            match (step.op, self.system_init) {
                (Op::Uptime(col), Some(boot)) => step.since_boot(records, col, boot, times, out),
                _ => step.run(&records.field(step.field), times, texts, out),
            }
        }
        if !self.mpls.is_empty() {
            self.run_mpls(records, out);
        }
        if !self.communities.is_empty() {
            communities::run(&self.communities, records, out);
        }
        if let Some(gaps) = &self.gaps {
            gaps.fill(records, times.absent, out);
        }
        if let Some(ends) = &self.ends {
            ends.fill(records, out);
        }
    }

    /// Label stacks: one list per record.
    fn run_mpls<R: Records>(&self, records: &R, out: &mut FlowBatch) {
        let lists = out.open_list(MPLS_LABELS);
        for row in 0..records.len() {
            lists.push(label_stack(self.mpls.iter().map(|&field| records.octets(row, field))));
        }
    }
}

/// The labels of a stack, ended by the bottom-of-stack bit or the first empty section.
fn label_stack<'a>(sections: impl Iterator<Item = &'a [u8]>) -> impl Iterator<Item = u32> {
    let mut bottom = false;
    sections.map_while(move |octets| {
        let section = unsigned(octets);
        let end = bottom || section == 0;
        bottom = section & 1 == 1;
        (!end && octets.len() == 3).then_some((section >> 4) as u32)
    })
}

/// The operation that turns `element` into `column`, if there is one.
fn op_for(element: Ie, column: Column) -> Option<Op> {
    if column.is_extra() {
        return op_by_kind(column);
    }
    let forward = if element.pen == REVERSE_PEN { iana(element.id) } else { element };
    let Some(ty) = ie::info(forward).map(|info| info.ty) else {
        // An element that only the configuration knows.
        return op_by_kind(column);
    };
    let time = column.typed::<UnixMs>();
    Some(match ty {
        Type::Unsigned if column == ICMP_TYPE.column() && matches!(forward.id, 32 | 139) => Op::IcmpType,
        Type::Unsigned if column == ICMP_CODE.column() && matches!(forward.id, 32 | 139) => Op::IcmpCode,
        Type::Unsigned if column == FLOW_DIRECTION.column() => Op::Direction,
        Type::Unsigned if column == FLOW_END_REASON.column() => Op::EndReason,
        Type::Unsigned if column == FORWARDING_STATUS.column() => Op::ForwardingStatus,
        Type::Unsigned if forward == CODE_POINT => Op::CodePoint,
        Type::Unsigned if forward == PRECEDENCE => Op::Precedence,
        Type::Unsigned if column == TUNNEL_TYPE.column() && forward == SEGMENT => Op::SegmentType,
        Type::Unsigned if forward == SEGMENT => Op::SegmentId,
        Type::Unsigned if column == TUNNEL_TYPE.column() => Op::TunnelType,
        Type::Unsigned => match column.spec().kind {
            ColumnKind::U8 => Op::U8(column.typed()?),
            ColumnKind::U16 if [SRC_VLAN, DST_VLAN, INNER_VLAN, TCP_FLAGS].iter().any(|col| col.column() == column) => {
                Op::Bits12(column.typed()?)
            }
            ColumnKind::U16 => Op::U16(column.typed()?),
            ColumnKind::U32 if column == IPV6_FLOW_LABEL.column() => Op::Bits20(column.typed()?),
            ColumnKind::U32 => Op::U32(column.typed()?),
            ColumnKind::U64 => Op::U64(column.typed()?),
            _ => return None,
        },
        Type::MacAddress => Op::U64(column.typed()?),
        Type::Ipv4Address => Op::Ipv4(column.typed()?),
        Type::Ipv6Address => Op::Ipv6(column.typed()?),
        Type::DateTimeSeconds => Op::Seconds(time?),
        Type::DateTimeMilliseconds => Op::Milliseconds(time?),
        Type::DateTimeNtp => Op::Ntp(time?),
        Type::SysUptime => Op::Uptime(time?),
        Type::DeltaMicroseconds => Op::DeltaMicroseconds(time?),
        Type::String => Op::Text(column.typed()?),
        Type::OctetArray | Type::List | Type::MplsLabel | Type::Float => return None,
    })
}

/// The operation for a column that the configuration added: its type says how octets are read, not the element's.
fn op_by_kind(column: Column) -> Option<Op> {
    Some(match column.spec().kind {
        ColumnKind::U8 => Op::U8(column.typed()?),
        ColumnKind::U16 => Op::U16(column.typed()?),
        ColumnKind::U32 => Op::U32(column.typed()?),
        ColumnKind::U64 | ColumnKind::Mac => Op::U64(column.typed()?),
        ColumnKind::Address => Op::Ip(column.typed()?),
        ColumnKind::Name => Op::Text(column.typed()?),
        ColumnKind::Time | ColumnKind::Enum(_) | ColumnKind::U32List | ColumnKind::U128List => return None,
    })
}

impl Step {
    fn run<F: Fields>(&self, fields: &F, times: &Times, texts: &mut Texts<'_>, out: &mut FlowBatch) {
        let Times { clock: Clock { export_ms, uptime, correction_ms }, absent } = *times;
        let absent = if self.gaps { 0 } else { absent };
        // Times that stand in the record are by the exporter's clock, those relative to its header are corrected.
        let absolute = move |ms: u64| if is_time(ms) { ms as UnixMs + correction_ms } else { absent };
        let relative = move |ms: UnixMs| if is_time(ms as u64) { ms } else { absent };
        match self.op {
            Op::U8(col) => self.integers(fields, col, out, |value| value.min(u64::from(u8::MAX)) as u8),
            Op::U16(col) => self.integers(fields, col, out, |value| value.min(u64::from(u16::MAX)) as u16),
            Op::Bits12(col) => self.integers(fields, col, out, |value| (value & 0x0fff) as u16),
            Op::U32(col) => self.integers(fields, col, out, |value| value.min(u64::from(u32::MAX)) as u32),
            Op::Bits20(col) => self.integers(fields, col, out, |value| (value & 0x000f_ffff) as u32),
            Op::U64(col) => self.integers(fields, col, out, |value| value),
            Op::Ipv4(col) => self.arrays(fields, col, out, mapped_or_none),
            Op::Ipv4Alone(col) => self.arrays(fields, col, out, mapped),
            Op::Ipv6(col) => self.arrays(fields, col, out, |octets| octets),
            Op::Ip(col) if fields.width() == Some(4) => self.arrays(fields, col, out, mapped_or_none),
            Op::Ip(col) => self.write(fields.octets(), col, out, address_of_octets),
            Op::Seconds(col) => self.integers(fields, col, out, move |secs| absolute(secs.saturating_mul(1000))),
            Op::Milliseconds(col) => self.integers(fields, col, out, absolute),
            Op::Ntp(col) => self.integers(fields, col, out, move |ntp| absolute(ntp_to_unix_ms(ntp).max(0) as u64)),
            Op::Uptime(col) => {
                if let Some(uptime) = uptime {
                    self.integers(fields, col, out, move |ms| relative(uptime.unix_ms(ms as u32)));
                }
            }
            Op::DeltaMicroseconds(col) => {
                self.integers(fields, col, out, move |us| relative(export_ms - (us / 1000) as i64));
            }
            Op::IcmpType => self.integers(fields, ICMP_TYPE, out, |value| (value >> 8) as u8),
            Op::IcmpCode => self.integers(fields, ICMP_CODE, out, |value| value as u8),
            Op::Direction => {
                self.integers(fields, FLOW_DIRECTION, out, |value| if value > 1 { 0 } else { value as u8 + 1 })
            }
            Op::EndReason => {
                self.integers(fields, FLOW_END_REASON, out, |value| if value > 5 { 0 } else { value as u8 })
            }
            Op::CodePoint => self.integers(fields, TOS, out, |value| (value as u8) << 2),
            Op::Precedence => self.integers(fields, TOS, out, |value| (value as u8) << 5),
            Op::SegmentType => self.integers(fields, TUNNEL_TYPE, out, segment_type),
            Op::SegmentId => self.integers(fields, TUNNEL_ID, out, |segment| segment as u32 & 0x00ff_ffff),
            Op::TunnelType => self.integers(fields, TUNNEL_TYPE, out, open_vswitch_tunnel),
            Op::ForwardingStatus => self.integers(fields, FORWARDING_STATUS, out, |value| value as u8),
            Op::JuniperException => self.integers(fields, FORWARDING_STATUS, out, |property| {
                if property >> 10 == JUNIPER_EXCEPTION && property & 0x3ff != 0 { DROPPED } else { 0 }
            }),
            Op::Text(col) => {
                let octets = fields.octets();
                self.write(octets, col, out, |octets| texts.intern(octets));
            }
        }
    }

    /// sysUptime of records that tell themselves when their device booted (Huawei; RFC 5102 §5.9.11 and §5.9.12).
    fn since_boot<R: Records>(&self, records: &R, col: Col<UnixMs>, boot: usize, times: &Times, out: &mut FlowBatch) {
        let Times { clock: Clock { export_ms, correction_ms, .. }, absent } = *times;
        let absent = if self.gaps { 0 } else { absent };
        let values = (0..records.len()).map(|row| {
            let init = records.unsigned(row, boot);
            let uptime_ms = records.unsigned(row, self.field) as u32;
            if !is_time(init) {
                return absent;
            }
            let ms =
                UptimeClock::new(export_ms, (export_ms - correction_ms - init as UnixMs) as u32).unix_ms(uptime_ms);
            if is_time(ms as u64) { ms } else { absent }
        });
        self.write(values, col, out, |ms| ms);
    }

    /// Addresses of the element's family. Where the length is that of the other family, it counts; octets of any other length
    /// are no address (RFC 7011 §6.2 has no reduced-size encoding for addresses).
    fn arrays<const N: usize, F: Fields>(
        &self,
        fields: &F,
        col: Col<Address>,
        out: &mut FlowBatch,
        convert: impl Fn([u8; N]) -> Address,
    ) {
        if fields.width() == Some(N) {
            self.write(fields.arrays(), col, out, convert);
        } else {
            self.write(fields.octets(), col, out, address_of_octets);
        }
    }

    /// Integers of the widths that devices use get a loop of their own; any other width is assembled.
    fn integers<F: Fields, T: Value + PartialEq>(
        &self,
        fields: &F,
        col: Col<T>,
        out: &mut FlowBatch,
        convert: impl Fn(u64) -> T,
    ) {
        match fields.width() {
            Some(1) => self.write(fields.arrays::<1>(), col, out, |[octet]| convert(u64::from(octet))),
            Some(2) => self.write(fields.arrays(), col, out, |octets| convert(u64::from(u16::from_be_bytes(octets)))),
            Some(4) => self.write(fields.arrays(), col, out, |octets| convert(u64::from(u32::from_be_bytes(octets)))),
            Some(8) => self.write(fields.arrays(), col, out, |octets| convert(u64::from_be_bytes(octets))),
            _ => self.write(fields.octets(), col, out, |octets| convert(unsigned(octets))),
        }
    }

    fn write<I, T: Value + PartialEq>(
        &self,
        values: impl Iterator<Item = I>,
        col: Col<T>,
        out: &mut FlowBatch,
        mut convert: impl FnMut(I) -> T,
    ) {
        // Lists are merged into columns that no field of the record itself has opened.
        if !self.merge || out.open(col).len() == out.rows() {
            out.open(col).extend(values.map(convert));
            return;
        }
        let rows = out.rows();
        let n = out.open(col).len() - rows;
        for (present, value) in out.open_slice(col, n).iter_mut().zip(values) {
            // A choice of values, not of ways: which family a record has cannot be predicted.
            *present = if *present == T::default() { convert(value) } else { *present };
        }
    }
}

/// The overlay that `layer2SegmentId` names in its upper octet; 0 says that there is none (IANA on element 351).
const fn segment_type(segment: u64) -> u8 {
    match segment >> 56 {
        1 => tunnel_type::VXLAN,
        2 => tunnel_type::NVGRE,
        _ => tunnel_type::NONE,
    }
}

/// `enum dpif_ipfix_tunnel_type` of Open vSwitch, whose LISP and STT have no label of their own.
const fn open_vswitch_tunnel(number: u64) -> u8 {
    match number {
        0 => tunnel_type::NONE,
        1 => tunnel_type::VXLAN,
        2 | 5 => tunnel_type::GRE,
        7 => tunnel_type::GENEVE,
        _ => tunnel_type::OTHER,
    }
}

/// Whether a field of the flow's addresses or prefixes may have so many octets.
fn has_address_of(fields: &[Field], octets: u16) -> bool {
    fields.iter().any(|field| {
        let is_address = matches!(field.ie, Ie { pen: 0, id: 8 | 12 | 27 | 28 | 44 | 45 | 169 | 170 });
        is_address && (field.length == octets || field.length == VARIABLE_LENGTH)
    })
}

/// The zero address is "none" in either family.
fn mapped_or_none(v4: [u8; 4]) -> Address {
    let prefix = u128::from(v4 != [0; 4]) * (0xffff << 32);
    (prefix | u128::from(u32::from_be_bytes(v4))).to_be_bytes()
}

/// An address of the family that its length tells; none for octets that are no address.
fn address_of_octets(octets: &[u8]) -> Address {
    match octets.len() {
        4 => mapped_or_none(padded(octets)),
        16 => padded(octets),
        _ => Address::default(),
    }
}

fn padded<const N: usize>(octets: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    for (to, from) in array.iter_mut().zip(octets) {
        *to = *from;
    }
    array
}
