//! Records of a packet inside of a packet: the header elements come twice (SRv6 of IOS XR and Huawei VRP), or the inner
//! ones have elements of their own (VXLAN of VMware, whose packets inside are those of a tenant).
//!
//! RFC 7011 §8: when an element is given more than once, the occurrences are in the order of their treatment, so the
//! outer header comes first. The inner packet fills the plain columns and the outer addresses their own, as with
//! packets that Helios takes out of their tunnels itself. With `decapsulate` without `ipip` (VMware: `vxlan`), or where the
//! inner addresses are zero, the outer header stands.

use helios_common::columns::{
    Col, DST_ADDR, DST_PORT, OUTER_DST_ADDR, OUTER_SRC_ADDR, PROTO, SRC_ADDR, SRC_PORT, TCP_FLAGS, TOS, TUNNEL_TYPE,
    Value,
};
use helios_common::exporter::{Address, mapped};
use helios_common::flow::FlowBatch;
use helios_common::ie::{Ie, VMWARE_PEN, iana};

use super::{Plan, address_of_octets, unsigned};
use crate::decode::packet::{Decapsulate, tunnel_type};
use crate::decode::records::Records;
use crate::decode::template::Field;

const PROTOCOL: Ie = iana(4);
const SOURCES: [Ie; 2] = [iana(8), iana(27)];
const DESTINATIONS: [Ie; 2] = [iana(12), iana(28)];

/// Elements of a header that stand once for the outer and once for the inner one.
const REPEATED: [Ie; 6] = [PROTOCOL, iana(5), iana(6), iana(7), iana(11), iana(31)];

/// VMware's elements of a tenant's packet, and what they are of the packet that the network saw.
const TENANT: [(u16, u16); 7] = [(880, 4), (881, 8), (882, 12), (883, 27), (884, 28), (886, 7), (887, 11)];

/// In place of the outer header's elements: no element has enterprise and id 0.
const NOTHING: Ie = iana(0);

/// How the records of a template with two headers are read.
#[derive(Debug, Clone)]
pub struct Inner {
    /// Reads the inner header, and all that is not of a header.
    pub plan: Plan,
    outer: Outer,
    /// The tunnel, for the column and for the configuration.
    kind: u8,
    pub family: Decapsulate,
}

/// Fields of the outer header.
#[derive(Debug, Clone, Copy, Default)]
struct Outer {
    source: Option<usize>,
    destination: Option<usize>,
    proto: Option<usize>,
    tos: Option<usize>,
    tcp_flags: Option<usize>,
    source_port: Option<usize>,
    destination_port: Option<usize>,
}

/// The two headers of a template, if it has two.
pub(super) fn compile(fields: &[Field]) -> Option<Inner> {
    repeated(fields).or_else(|| tenant(fields))
}

/// A tenant's packet inside of VXLAN.
fn tenant(fields: &[Field]) -> Option<Inner> {
    let plain = |field: &Field| TENANT.iter().find(|(id, _)| field.ie == Ie { pen: VMWARE_PEN, id: *id });
    let find = |element: Ie| fields.iter().position(|field| field.length > 0 && field.ie == element);
    let address = |field: &Field| field.length > 0 && plain(field).is_some_and(|&(_, id)| SOURCES.contains(&iana(id)));
    if !fields.iter().any(address) {
        return None;
    }
    let outer = Outer {
        source: SOURCES.into_iter().find_map(find),
        destination: DESTINATIONS.into_iter().find_map(find),
        proto: find(PROTOCOL),
        source_port: find(iana(7)),
        destination_port: find(iana(11)),
        ..Outer::default()
    };
    let of_inner = fields.iter().map(|field| match plain(field) {
        Some(&(_, id)) => Field { ie: iana(id), ..*field },
        None if TENANT.iter().any(|&(_, id)| field.ie == iana(id)) => Field { ie: NOTHING, ..*field },
        None => *field,
    });
    let plan = Plan::compile_header(&of_inner.collect::<Vec<_>>());
    Some(Inner { plan, outer, kind: tunnel_type::VXLAN, family: Decapsulate::VXLAN })
}

/// The same elements once for each header.
fn repeated(fields: &[Field]) -> Option<Inner> {
    let of = |elements: &[Ie]| -> Vec<usize> {
        let is_one = |field: &Field| field.length > 0 && elements.contains(&field.ie);
        fields.iter().enumerate().filter(|(_, field)| is_one(field)).map(|(at, _)| at).collect()
    };
    let first_of_two = |elements: &[Ie]| of(elements).get(..2).and_then(|found| found.first().copied());
    first_of_two(&[PROTOCOL])?;
    let outer = Outer {
        source: first_of_two(&SOURCES),
        destination: first_of_two(&DESTINATIONS),
        proto: first_of_two(&[PROTOCOL]),
        tos: first_of_two(&[iana(5)]),
        tcp_flags: first_of_two(&[iana(6)]),
        source_port: first_of_two(&[iana(7)]),
        destination_port: first_of_two(&[iana(11)]),
    };
    outer.source.or(outer.destination)?;
    let mut of_inner = fields.to_vec();
    let repeated = REPEATED.iter().filter_map(|&element| first_of_two(&[element]));
    for at in repeated.chain([outer.source, outer.destination].into_iter().flatten()) {
        if let Some(field) = of_inner.get_mut(at) {
            field.ie = NOTHING;
        }
    }
    let plan = Plan::compile_header(&of_inner);
    Some(Inner { plan, outer, kind: tunnel_type::IPIP, family: Decapsulate::IPIP })
}

impl Inner {
    /// Fills the outer header's columns of rows that [`plan`](Self::plan) has run over.
    pub fn finish<R: Records>(&self, records: &R, out: &mut FlowBatch) {
        for row in 0..records.len() {
            let at = out.rows() + row;
            let inner = [SRC_ADDR, DST_ADDR].iter().any(|&col| !is_zero(out.get(col, at)));
            let mut row = Row { records, row, out };
            let (source, destination) = if inner { (OUTER_SRC_ADDR, OUTER_DST_ADDR) } else { (SRC_ADDR, DST_ADDR) };
            row.address(source, self.outer.source);
            row.address(destination, self.outer.destination);
            if inner {
                row.put(TUNNEL_TYPE, self.kind);
            } else {
                row.integer(PROTO, self.outer.proto, |value| value as u8);
                row.integer(TOS, self.outer.tos, |value| value as u8);
                row.integer(TCP_FLAGS, self.outer.tcp_flags, |value| value as u16);
                row.integer(SRC_PORT, self.outer.source_port, |value| value as u16);
                row.integer(DST_PORT, self.outer.destination_port, |value| value as u16);
            }
        }
    }
}

/// Zero in either family.
fn is_zero(address: Address) -> bool {
    address == [0; 16] || address == mapped([0; 4])
}

/// One record and the open row that it became.
struct Row<'a, R> {
    records: &'a R,
    row: usize,
    out: &'a mut FlowBatch,
}

impl<R: Records> Row<'_, R> {
    fn put<T: Value>(&mut self, col: Col<T>, value: T) {
        if let Some(present) = self.out.open_slice(col, self.records.len()).get_mut(self.row) {
            *present = value;
        }
    }

    fn address(&mut self, col: Col<Address>, field: Option<usize>) {
        let Some(field) = field else { return };
        let octets = self.records.octets(self.row, field);
        let address = address_of_octets(octets);
        self.put(col, address);
    }

    fn integer<T: Value>(&mut self, col: Col<T>, field: Option<usize>, convert: impl Fn(u64) -> T) {
        let Some(field) = field else { return };
        self.put(col, convert(unsigned(self.records.octets(self.row, field))));
    }
}
