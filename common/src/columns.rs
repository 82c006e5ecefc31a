//! THE table of flow columns.
//!
//! Everything that knows columns follows from it: [`crate::flow::FlowBatch`], the template plans of the
//! collector, the Arrow schema and the ClickHouse tables of the sink, the JSON of `helios decode` and the page
//! `docs/columns.md`. Adding a column is one row.
//!
//! [`extra`] are columns that a configuration adds.
//!
//! Every column has a default (zero, the empty name, the empty list) and every consumer may leave out a column
//! that holds nothing else: ClickHouse fills it in.

use std::marker::PhantomData;

use crate::exporter::Address;
use crate::ie::{Ie, NTOP_PEN, VIPTELA_PEN, VMWARE_PEN};
use crate::list::ListColumn;
use crate::names::NameId;
use crate::time::UnixMs;

pub mod extra;

/// How a column is held here, in Arrow and in ClickHouse. One line each, see [`ColumnKind::clickhouse`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// 8 bits.
    U8,
    /// 16 bits.
    U16,
    /// 32 bits.
    U32,
    /// 64 bits.
    U64,
    /// Unix milliseconds.
    Time,
    /// IPv6, IPv4 mapped.
    Address,
    /// 48 bits in a u64, most significant octet first.
    Mac,
    /// One octet that stands for one of the listed labels; 0 is the default.
    Enum(Labels),
    /// An interned string.
    Name,
    /// A list of 32-bit values per row.
    U32List,
    /// 128-bit values as 16 octets, least significant first.
    U128List,
}

/// The values of an enum column. Decoders never write a value that is not listed.
pub type Labels = &'static [(u8, &'static str)];

impl ColumnKind {
    /// Octets of a value in a batch; of a list, those that tell its end.
    pub const fn octets(self) -> usize {
        match self {
            Self::U8 | Self::Enum(_) => 1,
            Self::U16 => 2,
            Self::U32 | Self::Name | Self::U32List | Self::U128List => 4,
            Self::U64 | Self::Mac | Self::Time => 8,
            Self::Address => 16,
        }
    }

    /// The ClickHouse type of the column.
    pub fn clickhouse(self) -> String {
        match self {
            Self::U8 => "UInt8".into(),
            Self::U16 => "UInt16".into(),
            Self::U32 => "UInt32".into(),
            Self::U64 | Self::Mac => "UInt64".into(),
            Self::Time => "DateTime64(3)".into(),
            Self::Address => "IPv6".into(),
            Self::Enum(labels) => {
                let labels: Vec<String> = labels.iter().map(|(value, label)| format!("'{label}' = {value}")).collect();
                format!("Enum8({})", labels.join(", "))
            }
            Self::Name => "LowCardinality(String)".into(),
            Self::U32List => "Array(UInt32)".into(),
            Self::U128List => "Array(UInt128)".into(),
        }
    }
}

/// Which tables keep a column besides `flows`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rollup {
    /// Only `flows`.
    No,
    /// A dimension of `flows_1m` and `flows_1h`. Each independent dimension is paid for in rows.
    Dimension,
    /// Summed, times `sampling_interval`, in `flows_1m` and `flows_1h`.
    Sum,
}

/// What a column says about the two directions of a conversation that one record describes (a biflow, RFC 5103).
///
/// The collector makes a second row for the reverse direction of such a record; this decides what each column holds there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The same in both directions. An element of the reverse direction (RFC 5103 §6.1), if exported, takes precedence.
    Both,
    /// The same in both directions, whatever a reverse element says: a property of the observation point.
    Fixed,
    /// One end of the flow, or the side on which it enters or leaves. In the reverse row, the named column has the value.
    Pair(Column),
    /// What one direction did, or the way that it took. The reverse row only has what a reverse element says.
    OneWay,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// The name in every table, file and page.
    pub name: &'static str,
    /// How the values are held.
    pub kind: ColumnKind,
    /// ClickHouse codec where the table's default (`ZSTD(1)`) is not the best that was measured.
    pub codec: Option<&'static str>,
    /// Which roll-ups keep it.
    pub rollup: Rollup,
    /// What the row of the reverse direction holds.
    pub direction: Direction,
    /// Unit of the values, empty where the name says it.
    pub unit: &'static str,
    /// Elements that fill the column, the first one present in a template wins.
    pub elements: &'static [Ie],
    /// One sentence for docs/columns.md.
    pub doc: &'static str,
}

/// An untyped reference to a column: its place in [`COLUMNS`], or behind them for one of [`extra`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Column(pub u8);

impl Column {
    /// The row of the table.
    pub fn spec(self) -> &'static Spec {
        let place = usize::from(self.0);
        COLUMNS.get(place).or_else(|| extra::specs().get(place - COLUMNS.len())).unwrap_or(&COLUMNS[0])
    }

    /// The handle for values of type `T`; `None` if the column holds another type.
    pub fn typed<T: Value>(self) -> Option<Col<T>> {
        T::holds(self.spec().kind).then(|| Col::new(self.0))
    }

    /// All columns, in the order of the table.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        (0..COLUMNS.len() + extra::specs().len()).map(|place| Self(place as u8))
    }

    /// The column of this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::all().find(|column| column.spec().name == name)
    }
}

/// A column whose values are of type `T`: `u8` to `u64`, [`UnixMs`], [`Address`], or a [`ListColumn`]'s item.
#[derive(Debug)]
pub struct Col<T> {
    column: Column,
    value: PhantomData<fn() -> T>,
}

impl<T> Clone for Col<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Col<T> {}

impl<T> Col<T> {
    const fn new(index: u8) -> Self {
        Self { column: Column(index), value: PhantomData }
    }

    /// The column without its type.
    pub const fn column(self) -> Column {
        self.column
    }
}

/// Labels of `export_protocol`.
pub const EXPORT_PROTOCOLS: Labels = &[
    (0, "unknown"),
    (1, "netflow1"),
    (5, "netflow5"),
    (7, "netflow7"),
    (9, "netflow9"),
    (10, "ipfix"),
    (15, "sflow5"),
];
/// Labels of `clock_status`.
pub const CLOCK_STATUSES: Labels = &[(0, "ok"), (1, "corrected"), (2, "implausible")];
/// Labels of `sampling_source`.
pub const SAMPLING_SOURCES: Labels =
    &[(0, "unknown"), (1, "record"), (2, "sampler"), (3, "interface"), (4, "domain"), (5, "header"), (6, "config")];
/// Labels of `flow_direction`.
pub const FLOW_DIRECTIONS: Labels = &[(0, "unknown"), (1, "ingress"), (2, "egress")];
/// Labels of `flow_end_reason`.
pub const FLOW_END_REASONS: Labels = &[
    (0, "unknown"),
    (1, "idle_timeout"),
    (2, "active_timeout"),
    (3, "end_of_flow"),
    (4, "forced_end"),
    (5, "lack_of_resources"),
];
/// Labels of `in_if_boundary` and `out_if_boundary`.
pub const BOUNDARIES: Labels = &[(0, "unknown"), (1, "external"), (2, "internal")];
/// Labels of `tunnel_type`.
pub const TUNNEL_TYPES: Labels = &[
    (0, "none"),
    (1, "gre"),
    (2, "ipip"),
    (3, "vxlan"),
    (4, "geneve"),
    (5, "mpls"),
    (6, "nvgre"),
    (7, "other"),
    (8, "erspan"),
    (9, "gtp"),
];

macro_rules! columns {
    ($($konst:ident: $value:ty = $name:literal, $kind:expr, $codec:expr, $rollup:ident,
       $direction:ident $(($partner:ident))?, $unit:literal, [$($ie:expr),*], $doc:literal;)*) => {
        /// Every column of Helios' own, in table order.
        pub const COLUMNS: &[Spec] = &[$(Spec {
            name: $name, kind: $kind, codec: $codec, rollup: Rollup::$rollup,
            direction: Direction::$direction $((Column(Index::$partner as u8)))?, unit: $unit,
            elements: &[$(element($ie)),*], doc: $doc,
        }),*];

        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        #[repr(u8)]
        enum Index { $($konst),* }

        $(#[doc = $doc] pub const $konst: Col<$value> = Col::new(Index::$konst as u8);)*
    };
}

/// An element as the table writes it: IANA's by its number, others by [`of`].
const fn element(number: u64) -> Ie {
    Ie { pen: (number >> 16) as u32, id: number as u16 }
}

/// An element of an enterprise.
const fn of(pen: u32, id: u16) -> u64 {
    (pen as u64) << 16 | id as u64
}

const DELTA: Option<&str> = Some("DoubleDelta, ZSTD(1)");
const T64: Option<&str> = Some("T64, ZSTD(1)");

use ColumnKind::{
    Address as ADDRESS, Enum as ENUM, Mac as MAC, Name as NAME, Time as TIME, U8, U16, U32, U32List as U32_LIST, U64,
    U128List as U128_LIST,
};

#[rustfmt::skip]
columns! {
    // time
    RECEIVED_AT: UnixMs = "received_at", TIME, DELTA, No, Both, "ms", [], "Arrival of the datagram at the collector. Always true, whatever the exporter's clock says; tables are partitioned and expired by it.";
    FLOW_START: UnixMs = "flow_start", TIME, DELTA, No, Both, "ms", [152, 154, 156, 150, 22, 158, 323, 324, 325, 322], "First packet of the flow by the exporter's clock, safe against the wrap of sysUptime; equals received_at where nothing was exported.";
    FLOW_END: UnixMs = "flow_end", TIME, DELTA, No, Both, "ms", [153, 155, 157, 151, 21, 159, 323, 324, 325, 322], "Last packet of the flow by the exporter's clock.";
    CLOCK_STATUS: u8 = "clock_status", ENUM(CLOCK_STATUSES), None, No, Both, "", [], "Whether the exporter's clock can be trusted: ok; corrected, flow_start and flow_end are moved by as much as it was off; implausible, a time that made no sense gave way to received_at or flow_end.";
    // exporter
    EXPORTER_ADDRESS: Address = "exporter_address", ADDRESS, None, No, Both, "", [], "Device that exported the flow: the source address of its datagrams, for sFlow the agent address.";
    EXPORTER_SOCKET_ADDRESS: Address = "exporter_socket_address", ADDRESS, None, No, Both, "", [], "Source address of the datagrams where it is not exporter_address: of sFlow agents that name themselves. Tells apart several senders with one agent address.";
    EXPORTER_NAME: NameId = "exporter_name", NAME, None, Dimension, Both, "", [], "Name of the exporter; its address as text where no inventory knows it.";
    EXPORTER_SITE: NameId = "exporter_site", NAME, None, Dimension, Both, "", [], "Site of the exporter.";
    EXPORTER_REGION: NameId = "exporter_region", NAME, None, No, Both, "", [], "Region of the exporter's site.";
    EXPORTER_ROLE: NameId = "exporter_role", NAME, None, No, Both, "", [], "Role of the exporter.";
    EXPORTER_TENANT: NameId = "exporter_tenant", NAME, None, No, Both, "", [], "Tenant the exporter belongs to.";
    EXPORTER_GROUP: NameId = "exporter_group", NAME, None, No, Both, "", [], "Group that a rule puts the exporter into.";
    EXPORT_PROTOCOL: u8 = "export_protocol", ENUM(EXPORT_PROTOCOLS), None, No, Both, "", [], "Protocol of the export message.";
    OBSERVATION_DOMAIN_ID: u32 = "observation_domain_id", U32, None, No, Both, "", [], "IPFIX observation domain, NetFlow v9 source id, NetFlow v5 engine type and id, sFlow sub-agent id.";
    // volume
    BYTES: u64 = "bytes", U64, T64, Sum, OneWay, "octets", [1, 231, 85, 23, 171, 352, 353], "Layer 3 octets as the exporter reported them, not scaled; sFlow: octets of the sampled packet from its IP header on.";
    PACKETS: u64 = "packets", U64, T64, Sum, OneWay, "packets", [2, 298, 86, 24, 172], "Packets as the exporter reported them, not scaled.";
    SAMPLING_INTERVAL: u32 = "sampling_interval", U32, None, No, Both, "packets", [34, 50, 305, 309, 311], "N of 1-in-N packet sampling, 1 if there is none or none is known. Estimates are value * sampling_interval.";
    SAMPLING_SOURCE: u8 = "sampling_source", ENUM(SAMPLING_SOURCES), None, No, Both, "", [], "Where sampling_interval came from.";
    FRAME_LENGTH: u32 = "frame_length", U32, T64, No, OneWay, "octets", [312], "Length of the sampled frame on the wire, layer 2 included; 0 for protocols that do not tell.";
    // addresses
    SRC_ADDR: Address = "src_addr", ADDRESS, None, No, Pair(DST_ADDR), "", [8, 27, 44, 170], "Source address. Inside a tunnel that was taken apart: of the inner packet.";
    DST_ADDR: Address = "dst_addr", ADDRESS, None, No, Pair(SRC_ADDR), "", [12, 28, 45, 169], "Destination address.";
    SRC_PORT: u16 = "src_port", U16, None, No, Pair(DST_PORT), "", [7, 182, 180], "Source port of TCP, UDP, SCTP.";
    DST_PORT: u16 = "dst_port", U16, None, No, Pair(SRC_PORT), "", [11, 183, 181], "Destination port of TCP, UDP, SCTP.";
    PROTO: u8 = "proto", U8, None, Dimension, Both, "", [4], "IP protocol number.";
    TCP_FLAGS: u16 = "tcp_flags", U16, None, No, OneWay, "", [6], "TCP control bits of all packets of the flow, or'ed (RFC 7125).";
    TOS: u8 = "tos", U8, None, No, Both, "", [5, 195, 196], "IPv4 type of service or IPv6 traffic class: DSCP in the upper six bits.";
    TTL: u8 = "ttl", U8, None, No, OneWay, "", [192, 52, 53], "Time to live or hop limit.";
    ICMP_TYPE: u8 = "icmp_type", U8, None, No, Both, "", [176, 178, 32, 139], "ICMP or ICMPv6 type; taken from the destination port where the exporter puts it there.";
    ICMP_CODE: u8 = "icmp_code", U8, None, No, Both, "", [177, 179, 32, 139], "ICMP or ICMPv6 code.";
    ETHER_TYPE: u16 = "ether_type", U16, None, Dimension, Both, "", [256], "EtherType of the packet (0x0800 IPv4, 0x86dd IPv6); from the addresses' family where it was not exported.";
    FRAGMENT_OFFSET: u16 = "fragment_offset", U16, None, No, OneWay, "8 octets", [88], "Fragment offset of the packet.";
    IPV6_FLOW_LABEL: u32 = "ipv6_flow_label", U32, None, No, OneWay, "", [31], "IPv6 flow label, 20 bits.";
    SRC_MASK: u8 = "src_mask", U8, None, No, Pair(DST_MASK), "bits", [9, 29], "Prefix length of the route to the source.";
    DST_MASK: u8 = "dst_mask", U8, None, No, Pair(SRC_MASK), "bits", [13, 30], "Prefix length of the route to the destination.";
    NEXT_HOP: Address = "next_hop", ADDRESS, None, No, OneWay, "", [15, 62], "IP next hop.";
    BGP_NEXT_HOP: Address = "bgp_next_hop", ADDRESS, None, No, OneWay, "", [18, 63], "BGP next hop.";
    // layer 2
    SRC_MAC: u64 = "src_mac", MAC, None, No, Pair(DST_MAC), "", [56, 81], "Source MAC address; MACNumToString() shows it.";
    DST_MAC: u64 = "dst_mac", MAC, None, No, Pair(SRC_MAC), "", [80, 57], "Destination MAC address.";
    SRC_VLAN: u16 = "src_vlan", U16, None, No, Pair(DST_VLAN), "", [58, 243], "VLAN of the packet as it came in: the outermost 802.1Q or 802.1ad tag, 12 bits.";
    DST_VLAN: u16 = "dst_vlan", U16, None, No, Pair(SRC_VLAN), "", [59, 254], "VLAN of the packet as it went out.";
    INNER_VLAN: u16 = "inner_vlan", U16, None, No, Both, "", [245], "Second VLAN tag (customer tag of 802.1ad).";
    MPLS_LABELS: u32 = "mpls_labels", U32_LIST, None, No, OneWay, "", [70, 71, 72, 73, 74, 75, 76, 77, 78, 79], "MPLS labels, top of stack first, without EXP and TTL.";
    TUNNEL_TYPE: u8 = "tunnel_type", ENUM(TUNNEL_TYPES), None, No, Both, "", [351, of(VMWARE_PEN, 891)], "Outermost tunnel the packet was found in.";
    TUNNEL_ID: u32 = "tunnel_id", U32, None, No, Both, "", [351, of(VMWARE_PEN, 892)], "VNI of VXLAN and Geneve, key of GRE, number of an MPLS circuit.";
    OUTER_SRC_ADDR: Address = "outer_src_addr", ADDRESS, None, No, Pair(OUTER_DST_ADDR), "", [of(VMWARE_PEN, 893)], "Source address of the tunnel's outer header.";
    OUTER_DST_ADDR: Address = "outer_dst_addr", ADDRESS, None, No, Pair(OUTER_SRC_ADDR), "", [of(VMWARE_PEN, 894)], "Destination address of the tunnel's outer header.";
    // interfaces
    IN_IF_INDEX: u32 = "in_if_index", U32, None, No, Pair(OUT_IF_INDEX), "", [10, 252], "ifIndex of the interface the packet came in by; 0 unknown or local.";
    OUT_IF_INDEX: u32 = "out_if_index", U32, None, No, Pair(IN_IF_INDEX), "", [14, 253], "ifIndex of the interface the packet went out by; 0 unknown, local or discarded.";
    IN_IF_NAME: NameId = "in_if_name", NAME, None, Dimension, Pair(OUT_IF_NAME), "", [], "Name of the incoming interface.";
    OUT_IF_NAME: NameId = "out_if_name", NAME, None, Dimension, Pair(IN_IF_NAME), "", [], "Name of the outgoing interface.";
    IN_IF_DESCRIPTION: NameId = "in_if_description", NAME, None, No, Pair(OUT_IF_DESCRIPTION), "", [], "Description of the incoming interface.";
    OUT_IF_DESCRIPTION: NameId = "out_if_description", NAME, None, No, Pair(IN_IF_DESCRIPTION), "", [], "Description of the outgoing interface.";
    IN_IF_SPEED: u64 = "in_if_speed", U64, None, No, Pair(OUT_IF_SPEED), "bit/s", [], "Speed of the incoming interface.";
    OUT_IF_SPEED: u64 = "out_if_speed", U64, None, No, Pair(IN_IF_SPEED), "bit/s", [], "Speed of the outgoing interface.";
    IN_IF_ROLE: NameId = "in_if_role", NAME, None, No, Pair(OUT_IF_ROLE), "", [], "Role of the incoming interface.";
    OUT_IF_ROLE: NameId = "out_if_role", NAME, None, No, Pair(IN_IF_ROLE), "", [], "Role of the outgoing interface.";
    IN_IF_PROVIDER: NameId = "in_if_provider", NAME, None, No, Pair(OUT_IF_PROVIDER), "", [], "Provider or peer behind the incoming interface, by rule.";
    OUT_IF_PROVIDER: NameId = "out_if_provider", NAME, None, No, Pair(IN_IF_PROVIDER), "", [], "Provider or peer behind the outgoing interface, by rule.";
    IN_IF_CONNECTIVITY: NameId = "in_if_connectivity", NAME, None, No, Pair(OUT_IF_CONNECTIVITY), "", [], "Kind of the connection behind the incoming interface (transit, peering, ...), by rule.";
    OUT_IF_CONNECTIVITY: NameId = "out_if_connectivity", NAME, None, No, Pair(IN_IF_CONNECTIVITY), "", [], "Kind of the connection behind the outgoing interface, by rule.";
    IN_IF_BOUNDARY: u8 = "in_if_boundary", ENUM(BOUNDARIES), None, Dimension, Pair(OUT_IF_BOUNDARY), "", [], "Whether the incoming interface leads out of the network, by rule.";
    OUT_IF_BOUNDARY: u8 = "out_if_boundary", ENUM(BOUNDARIES), None, Dimension, Pair(IN_IF_BOUNDARY), "", [], "Whether the outgoing interface leads out of the network, by rule.";
    // NAT and firewall
    POST_NAT_SRC_ADDR: Address = "post_nat_src_addr", ADDRESS, None, No, Pair(POST_NAT_DST_ADDR), "", [225, 281, 40001], "Source address after NAT.";
    POST_NAT_DST_ADDR: Address = "post_nat_dst_addr", ADDRESS, None, No, Pair(POST_NAT_SRC_ADDR), "", [226, 282, 40002], "Destination address after NAT.";
    POST_NAT_SRC_PORT: u16 = "post_nat_src_port", U16, None, No, Pair(POST_NAT_DST_PORT), "", [227, 40003], "Source port after NAT.";
    POST_NAT_DST_PORT: u16 = "post_nat_dst_port", U16, None, No, Pair(POST_NAT_SRC_PORT), "", [228, 40004], "Destination port after NAT.";
    NAT_EVENT: u8 = "nat_event", U8, None, No, Both, "", [230], "NAT event (IANA natEvent); 0 if the record is none.";
    FIREWALL_EVENT: u8 = "firewall_event", U8, None, No, Both, "", [233, 40005], "Firewall event (IANA firewallEvent: 1 created, 2 deleted, 3 denied, 4 alert, 5 update); 0 if the record is none.";
    // routing
    SRC_AS: u32 = "src_as", U32, None, Dimension, Pair(DST_AS), "", [16], "Source autonomous system.";
    DST_AS: u32 = "dst_as", U32, None, Dimension, Pair(SRC_AS), "", [17], "Destination autonomous system.";
    SRC_AS_NAME: NameId = "src_as_name", NAME, None, No, Pair(DST_AS_NAME), "", [], "Organisation of the source AS.";
    DST_AS_NAME: NameId = "dst_as_name", NAME, None, No, Pair(SRC_AS_NAME), "", [], "Organisation of the destination AS.";
    SRC_PEER_AS: u32 = "src_peer_as", U32, None, Dimension, Pair(DST_PEER_AS), "", [129], "Neighbour AS the packet came from.";
    DST_PEER_AS: u32 = "dst_peer_as", U32, None, Dimension, Pair(SRC_PEER_AS), "", [128], "Neighbour AS the packet went to.";
    AS_PATH: u32 = "as_path", U32_LIST, None, No, OneWay, "", [], "AS path to the destination, nearest first.";
    COMMUNITIES: u32 = "communities", U32_LIST, None, No, OneWay, "", [], "BGP communities of the destination's route: AS in the upper 16 bits.";
    LARGE_COMMUNITIES: [u8; 16] = "large_communities", U128_LIST, None, No, OneWay, "", [], "BGP large communities (RFC 8092): global administrator * 2^64 + local 1 * 2^32 + local 2.";
    LOCAL_PREF: u32 = "local_pref", U32, None, No, OneWay, "", [], "BGP local preference of the destination's route, as sFlow tells it.";
    INGRESS_VRF_ID: u32 = "ingress_vrf_id", U32, None, No, Pair(EGRESS_VRF_ID), "", [234, of(VIPTELA_PEN, 4321)], "VRF the packet came in by.";
    EGRESS_VRF_ID: u32 = "egress_vrf_id", U32, None, No, Pair(INGRESS_VRF_ID), "", [235], "VRF the packet went out by.";
    VRF_NAME: NameId = "vrf_name", NAME, None, No, Both, "", [236], "Name of the VRF, from the record or from options data.";
    // place
    SRC_COUNTRY: NameId = "src_country", NAME, None, Dimension, Pair(DST_COUNTRY), "", [], "Country of the source, ISO 3166-1 alpha-2.";
    DST_COUNTRY: NameId = "dst_country", NAME, None, Dimension, Pair(SRC_COUNTRY), "", [], "Country of the destination, ISO 3166-1 alpha-2.";
    SRC_CITY: NameId = "src_city", NAME, None, No, Pair(DST_CITY), "", [], "City of the source.";
    DST_CITY: NameId = "dst_city", NAME, None, No, Pair(SRC_CITY), "", [], "City of the destination.";
    SRC_SITE: NameId = "src_site", NAME, None, Dimension, Pair(DST_SITE), "", [], "Site of the source's network.";
    DST_SITE: NameId = "dst_site", NAME, None, Dimension, Pair(SRC_SITE), "", [], "Site of the destination's network.";
    SRC_ROLE: NameId = "src_role", NAME, None, No, Pair(DST_ROLE), "", [], "Role of the source's network.";
    DST_ROLE: NameId = "dst_role", NAME, None, No, Pair(SRC_ROLE), "", [], "Role of the destination's network.";
    SRC_TENANT: NameId = "src_tenant", NAME, None, Dimension, Pair(DST_TENANT), "", [], "Tenant of the source's network.";
    DST_TENANT: NameId = "dst_tenant", NAME, None, Dimension, Pair(SRC_TENANT), "", [], "Tenant of the destination's network.";
    SRC_NETWORK: NameId = "src_network", NAME, None, No, Pair(DST_NETWORK), "", [], "Name of the NetBox prefix, custom network or well-known range that holds the source address.";
    DST_NETWORK: NameId = "dst_network", NAME, None, No, Pair(SRC_NETWORK), "", [], "Name of the NetBox prefix, custom network or well-known range that holds the destination address.";
    // meaning
    FLOW_DIRECTION: u8 = "flow_direction", ENUM(FLOW_DIRECTIONS), None, Dimension, Fixed, "", [61], "Direction at the observation point.";
    FLOW_END_REASON: u8 = "flow_end_reason", ENUM(FLOW_END_REASONS), None, No, OneWay, "", [136], "Why the exporter ended the flow.";
    FORWARDING_STATUS: u8 = "forwarding_status", U8, None, No, OneWay, "", [89], "Forwarding status (RFC 7270): upper two bits 1 forwarded, 2 dropped, 3 consumed; lower six the reason.";
    DISCARD_REASON: u16 = "discard_reason", U16, None, No, OneWay, "", [], "Why sFlow says that the packet was discarded, where forwarding_status says that it was: up to 255 a code of ICMP destination unreachable, from 256 on sFlow's own (256 unknown, 257 TTL, 258 ACL, 259 no buffer, ...).";
    APPLICATION: NameId = "application", NAME, None, No, Both, "", [96, 95, 56701, 57591, of(NTOP_PEN, 119)], "Application as the exporter classified it.";
    // wireless
    WLAN_SSID: NameId = "wlan_ssid", NAME, None, No, Both, "", [147], "Name of the wireless network (SSID) that the station was in.";
    ACCESS_POINT_MAC: u64 = "access_point_mac", MAC, None, No, Both, "", [367], "MAC address of the access point.";
}

/// A value type that a plain (not list) column can have.
pub trait Value: Copy + Default + 'static {
    /// Whether columns of this kind hold this type.
    fn holds(kind: ColumnKind) -> bool;
    /// The values of a column of this type.
    fn of(data: &ColumnData) -> &Vec<Self>;
    /// The values of a column of this type, to be written.
    fn of_mut(data: &mut ColumnData) -> &mut Vec<Self>;
}

/// A value type that the lists of a list column can hold.
pub trait Item: Copy + 'static {
    /// Whether columns of this kind hold lists of this type.
    fn holds(kind: ColumnKind) -> bool;
    /// The lists of a column of this type.
    fn of(data: &ColumnData) -> &ListColumn<Self>;
    /// The lists of a column of this type, to be written.
    fn of_mut(data: &mut ColumnData) -> &mut ListColumn<Self>;
}

/// The values of one column.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnData {
    /// Of [`ColumnKind::U8`] and [`ColumnKind::Enum`].
    U8(Vec<u8>),
    /// Of [`ColumnKind::U16`].
    U16(Vec<u16>),
    /// Of [`ColumnKind::U32`] and [`ColumnKind::Name`].
    U32(Vec<u32>),
    /// Of [`ColumnKind::U64`] and [`ColumnKind::Mac`].
    U64(Vec<u64>),
    /// Of [`ColumnKind::Time`].
    I64(Vec<i64>),
    /// Of [`ColumnKind::Address`].
    Octets16(Vec<[u8; 16]>),
    /// Of [`ColumnKind::U32List`].
    U32List(ListColumn<u32>),
    /// Of [`ColumnKind::U128List`].
    U128List(ListColumn<[u8; 16]>),
}

impl ColumnData {
    /// Octets of the values of lists; 0 of a column that has none.
    pub fn list_octets(&self) -> usize {
        match self {
            Self::U32List(lists) => size_of_val(lists.values()),
            Self::U128List(lists) => size_of_val(lists.values()),
            _ => 0,
        }
    }

    /// An empty column of the form that `kind` asks for.
    pub fn new(kind: ColumnKind) -> Self {
        match kind {
            ColumnKind::U8 | ColumnKind::Enum(_) => Self::U8(Vec::new()),
            ColumnKind::U16 => Self::U16(Vec::new()),
            ColumnKind::U32 | ColumnKind::Name => Self::U32(Vec::new()),
            ColumnKind::U64 | ColumnKind::Mac => Self::U64(Vec::new()),
            ColumnKind::Time => Self::I64(Vec::new()),
            ColumnKind::Address => Self::Octets16(Vec::new()),
            ColumnKind::U32List => Self::U32List(ListColumn::default()),
            ColumnKind::U128List => Self::U128List(ListColumn::default()),
        }
    }
}

/// Runs the same expression on the vector or list inside any [`ColumnData`].
macro_rules! each_column {
    ($data:expr, $column:ident => $body:expr) => {
        match $data {
            $crate::columns::ColumnData::U8($column) => $body,
            $crate::columns::ColumnData::U16($column) => $body,
            $crate::columns::ColumnData::U32($column) => $body,
            $crate::columns::ColumnData::U64($column) => $body,
            $crate::columns::ColumnData::I64($column) => $body,
            $crate::columns::ColumnData::Octets16($column) => $body,
            $crate::columns::ColumnData::U32List($column) => $body,
            $crate::columns::ColumnData::U128List($column) => $body,
        }
    };
}
pub(crate) use each_column;

macro_rules! value_types {
    ($trait:ident, $container:ident, $($value:ty => $variant:ident),*) => {$(
        impl $trait for $value {
            fn holds(kind: ColumnKind) -> bool {
                matches!(ColumnData::new(kind), ColumnData::$variant(_))
            }

            #[inline]
            fn of(data: &ColumnData) -> &$container<Self> {
                match data {
                    ColumnData::$variant(values) => values,
                    other => unreachable!("a typed column handle met {other:?}: the table and its handles disagree"),
                }
            }

            #[inline]
            fn of_mut(data: &mut ColumnData) -> &mut $container<Self> {
                match data {
                    ColumnData::$variant(values) => values,
                    other => unreachable!("a typed column handle met {other:?}: the table and its handles disagree"),
                }
            }
        }
    )*};
}

value_types!(Value, Vec, u8 => U8, u16 => U16, u32 => U32, u64 => U64, i64 => I64, [u8; 16] => Octets16);
value_types!(Item, ListColumn, u32 => U32List, [u8; 16] => U128List);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ie;

    #[test]
    fn names_are_unique_and_snake_case() {
        let mut names: Vec<_> = COLUMNS.iter().map(|spec| spec.name).collect();
        assert!(
            names.iter().all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'))
        );
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
        assert!(COLUMNS.len() <= 128, "column sets are 128 bits wide");
    }

    #[test]
    fn every_element_of_the_table_is_a_known_one() {
        for spec in COLUMNS {
            for &element in spec.elements {
                assert!(ie::info(element).is_some(), "{}: {element:?} is not in ie.rs", spec.name);
            }
        }
    }

    #[test]
    fn a_pair_names_each_other_and_holds_the_same_kind() {
        for column in Column::all() {
            let Direction::Pair(partner) = column.spec().direction else { continue };
            let (name, other) = (column.spec().name, partner.spec());
            assert_ne!(partner, column, "{name} is no pair with itself: it is `Both` or `OneWay`");
            assert_eq!(other.direction, Direction::Pair(column), "{} must name {name} as well", other.name);
            assert_eq!(
                (other.kind, other.rollup),
                (column.spec().kind, column.spec().rollup),
                "{name}, {}",
                other.name
            );
        }
    }

    #[test]
    fn a_column_of_one_end_is_declared_as_one_of_a_pair() {
        let ends = ["src_", "dst_", "in_if_", "out_if_", "ingress_", "egress_"];
        for spec in COLUMNS.iter().filter(|spec| ends.iter().any(|end| spec.name.contains(end))) {
            assert!(matches!(spec.direction, Direction::Pair(_)), "{} is {:?}", spec.name, spec.direction);
        }
    }

    #[test]
    fn typed_handles_agree_with_the_kinds() {
        assert_eq!(SRC_ADDR.column().spec().name, "src_addr");
        assert_eq!(APPLICATION.column().spec().name, "application");
        assert_eq!(Column::by_name("bytes"), Some(BYTES.column()));
    }
}
