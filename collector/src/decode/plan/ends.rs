//! Ends of a flow that are told by what they do and not by where the packets go: client and server (Cisco AVC), the
//! station of a wireless network (Cisco's wireless controllers).
//!
//! `biflowDirection` 2 says that the record is of what the server sent (RFC 5103 §6.3). A controller meters at the
//! station: `flowDirection` 0 is what came from it, 1 what went to it.

use helios_common::columns::{Col, DST_ADDR, DST_MAC, DST_PORT, SRC_ADDR, SRC_MAC, SRC_PORT, Value};
use helios_common::flow::FlowBatch;
use helios_common::ie::{CISCO_PEN, Ie, iana};

use super::{address_of_octets, unsigned};
use crate::decode::records::Records;
use crate::decode::template::Field;

/// NetFlow v9 has no enterprises: Cisco's elements have the enterprise bit in their number.
const ENTERPRISE_BIT: u16 = 0x8000;

/// `clientIPv4Address` to `clientTransportPort`, `serverIPv4Address` to `serverTransportPort`.
const CLIENT: [u16; 3] = [12236, 12238, 12240];
const SERVER: [u16; 3] = [12237, 12239, 12241];

/// `staIPv4Address`, `staMacAddress`.
const STATION_IPV4: Ie = iana(366);
const STATION_MAC: Ie = iana(365);

const FLOW_DIRECTION: Ie = iana(61);
const EGRESS: u64 = 1;
const BIFLOW_DIRECTION: Ie = iana(239);
const REVERSE_INITIATOR: u64 = 2;

/// The ends of a template that tells them in this way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ends {
    /// Client or station: the source, unless the record is of the other direction.
    near: End,
    far: End,
    /// The field that tells the direction, and its value for packets to the near end.
    turned: Option<(usize, u64)>,
    /// For the rows of the reverse direction.
    pub reversed: bool,
}

/// Fields of one end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct End {
    ipv4: Option<usize>,
    ipv6: Option<usize>,
    port: Option<usize>,
    mac: Option<usize>,
}

fn find(fields: &[Field], element: Ie) -> Option<usize> {
    fields.iter().position(|field| field.ie == element && field.length > 0)
}

fn find_cisco(fields: &[Field], id: u16) -> Option<usize> {
    find(fields, Ie { pen: CISCO_PEN, id }).or_else(|| find(fields, iana(id | ENTERPRISE_BIT)))
}

/// Whether such an end has an IPv4 address.
pub(super) fn has_ipv4(fields: &[Field]) -> bool {
    Ends::compile(fields).is_some_and(|ends| ends.near.ipv4.or(ends.far.ipv4).is_some())
}

/// Whether such an end has an IPv6 address.
pub(super) fn has_ipv6(fields: &[Field]) -> bool {
    Ends::compile(fields).is_some_and(|ends| ends.near.ipv6.or(ends.far.ipv6).is_some())
}

impl Ends {
    pub(super) fn compile(fields: &[Field]) -> Option<Self> {
        let of = |[ipv4, ipv6, port]: [u16; 3]| {
            let [ipv4, ipv6, port] = [ipv4, ipv6, port].map(|id| find_cisco(fields, id));
            End { ipv4, ipv6, port, mac: None }
        };
        let (client, server) = (of(CLIENT), of(SERVER));
        if client != End::default() || server != End::default() {
            let turned = find(fields, BIFLOW_DIRECTION).map(|field| (field, REVERSE_INITIATOR));
            return Some(Self { near: client, far: server, turned, reversed: false });
        }
        let (ipv4, mac) = (find(fields, STATION_IPV4), find(fields, STATION_MAC));
        let station = End { ipv4, mac, ..End::default() };
        let turned = find(fields, FLOW_DIRECTION).map(|field| (field, EGRESS));
        (station != End::default()).then_some(Self { near: station, far: End::default(), turned, reversed: false })
    }

    /// Fills what the open rows that `records` become have no value for.
    pub(super) fn fill<R: Records>(&self, records: &R, out: &mut FlowBatch) {
        for row in 0..records.len() {
            let turned = self.turned.is_some_and(|(field, value)| records.unsigned(row, field) == value);
            let (source, destination) =
                if turned != self.reversed { (self.far, self.near) } else { (self.near, self.far) };
            let mut row = Row { records, row, out };
            row.end(source, SRC_ADDR, SRC_PORT, SRC_MAC);
            row.end(destination, DST_ADDR, DST_PORT, DST_MAC);
        }
    }
}

/// One record and the open row that it became.
struct Row<'a, R> {
    records: &'a R,
    row: usize,
    out: &'a mut FlowBatch,
}

impl<R: Records> Row<'_, R> {
    fn end(&mut self, end: End, address: Col<[u8; 16]>, port: Col<u16>, mac: Col<u64>) {
        self.put(address, end.ipv4, address_of_octets);
        self.put(address, end.ipv6, address_of_octets);
        self.put(port, end.port, |octets| unsigned(octets) as u16);
        self.put(mac, end.mac, unsigned);
    }

    fn put<T: Value + PartialEq>(&mut self, col: Col<T>, field: Option<usize>, convert: impl Fn(&[u8]) -> T) {
        let Some(field) = field else { return };
        let value = convert(self.records.octets(self.row, field));
        if let Some(present) = self.out.open_slice(col, self.records.len()).get_mut(self.row)
            && *present == T::default()
        {
            *present = value;
        }
    }
}
