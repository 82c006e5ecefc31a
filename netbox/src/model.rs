//! The rows of a snapshot: what NetBox says, in the shape of NetBox 4.2 and later whatever version said it.
//!
//! The rows themselves are declared in `kinds`, one entry a kind of objects; here are the values that they are made of.
//! Strings are handles into the snapshot's pool ([`Text`]). What a row refers to (its site, role, tenant) is the id that
//! NetBox has for it, 0 for none: names are looked up in the table of that kind, because NetBox renames an object without
//! touching `last_updated` of those that refer to it. Choices (status, type) are their machine value, `active`.

use std::net::{IpAddr, Ipv6Addr};

pub use crate::kinds::*;
pub use crate::text::Text;

/// A part of one of the snapshot's lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    pub start: u32,
    pub len: u32,
}

/// A list of ids, such as those of tags: [`Snapshot::ids`](crate::Snapshot::ids).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ids(pub(crate) Span);

/// Custom fields that have a value, by name: [`Snapshot::custom_fields`](crate::Snapshot::custom_fields).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CustomFields(pub(crate) Span);

/// An address with the length of its network, `192.0.2.1/24`; a network where the host bits are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    /// The address.
    pub ip: IpAddr,
    /// Leading bits of the network: 0 to 32 for IPv4, 0 to 128 for IPv6.
    pub bits: u8,
}

impl Default for Cidr {
    fn default() -> Self {
        Self { ip: Ipv6Addr::UNSPECIFIED.into(), bits: 0 }
    }
}

/// An address object that a device or virtual machine refers to: [`Snapshot::address`](crate::Snapshot::address) tells
/// the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AddressRef {
    /// Id in the table of addresses; 0 for none.
    pub id: u32,
    /// The address as the referring object showed it when it was read. It serves where the table lacks the id.
    pub(crate) shown: Option<IpAddr>,
}

impl AddressRef {
    /// A reference to an address object of which the table of addresses knows nothing.
    pub const fn shown(id: u32, address: IpAddr) -> Self {
        Self { id, shown: Some(address) }
    }
}

/// What an address is assigned to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Assigned {
    /// It is not assigned.
    #[default]
    Nothing,
    /// Id of an [`Interface`].
    Interface(u32),
    /// Id of a [`VmInterface`].
    VmInterface(u32),
    /// A group of redundant gateways, or what a later NetBox has.
    Other,
}

/// Where a prefix or cluster belongs, by id. Before 4.2 NetBox knew sites only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// Nowhere in particular.
    #[default]
    Nothing,
    /// A [`Site`].
    Site(u32),
    /// A [`Region`].
    Region(u32),
    /// A [`SiteGroup`].
    SiteGroup(u32),
    /// A [`Location`].
    Location(u32),
}
