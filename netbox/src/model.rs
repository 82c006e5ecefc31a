//! The rows of a snapshot: what NetBox says, in the shape of NetBox 4.2 and later whatever version said it.
//!
//! Rows are plain values: strings are handles into the snapshot's pool ([`Text`]), references are NetBox ids with 0 for
//! none, lists are a [`Span`] of the snapshot's lists. Choices (status, type) are their machine value, `active`. What is
//! only ever shown by its name (role, platform, tenant) is a [`Named`]; what leads on (site, VRF) is an id.

use std::net::IpAddr;

use crate::table::Row;
use crate::text::Text;

/// Name and slug of something that a row refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Named {
    pub name: Text,
    pub slug: Text,
}

/// A part of one of the snapshot's lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

/// A device: `dcim/devices`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Device {
    pub id: u32,
    /// Empty for a device without a name, which NetBox allows.
    pub name: Text,
    /// `active`, `planned`, `offline`, ...
    pub status: Text,
    pub site: u32,
    pub role: Named,
    pub tenant: Named,
    pub platform: Named,
    pub manufacturer: Named,
    /// The model and its slug.
    pub device_type: Named,
    pub serial: Text,
    pub description: Text,
    pub primary_ip4: Option<IpAddr>,
    pub primary_ip6: Option<IpAddr>,
    /// Out-of-band management address.
    pub oob_ip: Option<IpAddr>,
    /// Id of the virtual chassis that it is a member of.
    pub chassis: u32,
    /// Slugs: [`Snapshot::texts`](crate::Snapshot::texts).
    pub tags: Span,
    /// [`Snapshot::fields`](crate::Snapshot::fields).
    pub custom_fields: Span,
}

/// An interface of a device: `dcim/interfaces`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Interface {
    pub id: u32,
    pub device: u32,
    pub name: Text,
    /// What is printed at the port.
    pub label: Text,
    pub description: Text,
    /// `1000base-t`, `lag`, `virtual`, ...
    pub kind: Text,
    /// Bits per second (NetBox has kbit/s); where it is blank what `kind` says; 0 if neither does.
    pub speed: u64,
    /// ifIndex (RFC 2863) from the configured custom field; 0 if it is not there.
    pub index: u32,
    /// The configured custom field for the role; empty if it is not there.
    pub role: Text,
    /// Interface id of the link aggregation group that this one is a member of.
    pub lag: u32,
    pub vrf: u32,
    pub enabled: bool,
    pub mgmt_only: bool,
    /// Slugs.
    pub tags: Span,
}

/// A virtual machine: `virtualization/virtual-machines`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VirtualMachine {
    pub id: u32,
    pub name: Text,
    pub status: Text,
    pub site: u32,
    pub cluster: Text,
    pub role: Named,
    pub tenant: Named,
    pub platform: Named,
    pub description: Text,
    pub primary_ip4: Option<IpAddr>,
    pub primary_ip6: Option<IpAddr>,
    pub tags: Span,
    pub custom_fields: Span,
}

/// An interface of a virtual machine: `virtualization/interfaces`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VmInterface {
    pub id: u32,
    pub virtual_machine: u32,
    pub name: Text,
    pub description: Text,
    pub vrf: u32,
    pub enabled: bool,
}

/// What an address is assigned to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Assigned {
    #[default]
    Nothing,
    /// Id of an [`Interface`].
    Interface(u32),
    /// Id of a [`VmInterface`].
    VmInterface(u32),
    /// A group of redundant gateways, or what a later NetBox has.
    Other,
}

/// An address: `ipam/ip-addresses`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpAddress {
    pub id: u32,
    pub address: IpAddr,
    pub bits: u8,
    pub vrf: u32,
    pub assigned: Assigned,
    pub status: Text,
    /// `loopback`, `vip`, `anycast`, ... or empty.
    pub role: Text,
    pub tenant: Named,
    pub dns_name: Text,
    pub description: Text,
}

/// Where a prefix belongs. Before 4.2 NetBox knew sites only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    #[default]
    Nothing,
    Site(u32),
    Region(u32),
    SiteGroup(u32),
    Location(u32),
}

/// A prefix: `ipam/prefixes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    pub id: u32,
    /// Host bits as NetBox has them, which is zero.
    pub network: IpAddr,
    pub bits: u8,
    /// 0 is the global table.
    pub vrf: u32,
    pub scope: Scope,
    /// `container`, `active`, `reserved`, `deprecated`.
    pub status: Text,
    pub role: Named,
    pub tenant: Named,
    pub description: Text,
    pub tags: Span,
}

/// A routing table: `ipam/vrfs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Vrf {
    pub id: u32,
    pub name: Text,
    /// Route distinguisher; empty if there is none.
    pub rd: Text,
    pub tenant: Named,
    pub description: Text,
}

/// An autonomous system: `ipam/asns`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asn {
    pub id: u32,
    pub asn: u32,
    pub rir: Named,
    pub tenant: Named,
    pub description: Text,
}

/// A site: `dcim/sites`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Site {
    pub id: u32,
    pub name: Text,
    pub slug: Text,
    pub status: Text,
    pub region: u32,
    pub group: u32,
    pub tenant: Named,
    pub facility: Text,
    /// AS numbers: [`Snapshot::numbers`](crate::Snapshot::numbers).
    pub asns: Span,
    pub tags: Span,
}

/// A node of one of NetBox's trees: `dcim/regions`, `dcim/site-groups`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Group {
    pub id: u32,
    pub name: Text,
    pub slug: Text,
    /// The node above; 0 at the top.
    pub parent: u32,
}

/// A part of a site: `dcim/locations`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Location {
    pub id: u32,
    pub name: Text,
    pub slug: Text,
    pub site: u32,
}

/// A tenant: `tenancy/tenants`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tenant {
    pub id: u32,
    pub name: Text,
    pub slug: Text,
    pub group: Named,
}

macro_rules! rows {
    ($($row:ty),* $(,)?) => {
        $(impl Row for $row {
            fn id(&self) -> u32 {
                self.id
            }
        })*
    };
}

rows!(Device, Interface, VirtualMachine, VmInterface, IpAddress, Prefix, Vrf, Asn, Site, Group, Location, Tenant);
