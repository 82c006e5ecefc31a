//! A device as the planner sees it, wherever it comes from.

use std::cmp::Ordering;
use std::fmt;
use std::net::IpAddr;

/// Where a device is described. The order is the order of precedence: of two devices that cannot both be targets the
/// lower one is, so that a new device never takes the place of an old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// Position in the file of static targets.
    Static(u32),
    /// NetBox's id of the device.
    Device(u32),
    /// NetBox's id of the virtual machine.
    VirtualMachine(u32),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Static(at) => write!(f, "static target {}", at + 1),
            Self::Device(id) => write!(f, "NetBox device {id}"),
            Self::VirtualMachine(id) => write!(f, "NetBox virtual machine {id}"),
        }
    }
}

/// Name and slug; a static target has the name alone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Named {
    /// As people read it, such as `Arista EOS`.
    pub name: String,
    /// NetBox's slug, such as `arista-eos`; empty for a static target.
    pub slug: String,
}

impl Named {
    /// Something that has no slug of its own.
    pub fn plain(name: impl Into<String>) -> Self {
        Self { name: name.into(), slug: String::new() }
    }
}

/// The virtual chassis that a device is a member of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chassis {
    /// NetBox's id of the virtual chassis.
    pub id: u32,
    /// Whether NetBox names this device as the master.
    pub master: bool,
}

/// A device, or a virtual machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Where it is described; also decides which of two devices is the target if both cannot be.
    pub source: Source,
    /// Empty for a device without a name.
    pub name: String,
    /// `active`, `planned`, ...
    pub status: String,
    /// Whether the custom field `helios_monitor` is true.
    pub monitored: bool,
    /// Whether somebody works on it, so that alerts about it are to be silent.
    pub maintenance: bool,
    /// Collectors that overrule its profile: `gnmi`, `snmp` and `probes`, separated by commas; empty for nothing.
    pub collectors: String,
    /// The primary address; IPv4 where a device has both.
    pub address: Option<IpAddr>,
    /// Site of the device. Here and below, both texts are empty if nothing is known.
    pub site: Named,
    /// The region's name.
    pub region: String,
    /// Role of the device or virtual machine.
    pub role: Named,
    /// Operating system of the device.
    pub platform: Named,
    /// Of the device type; empty for a virtual machine.
    pub manufacturer: Named,
    /// Tenant that the device belongs to.
    pub tenant: Named,
    /// In the order of NetBox.
    pub tags: Vec<Named>,
    /// `None` for a device that is no member of one.
    pub chassis: Option<Chassis>,
}

impl Device {
    /// A device with nothing known but where it is described.
    pub fn new(source: Source) -> Self {
        Self {
            source,
            name: String::new(),
            status: String::new(),
            monitored: false,
            maintenance: false,
            collectors: String::new(),
            address: None,
            site: Named::default(),
            region: String::new(),
            role: Named::default(),
            platform: Named::default(),
            manufacturer: Named::default(),
            tenant: Named::default(),
            tags: Vec::new(),
            chassis: None,
        }
    }

    /// The value of the label `device`: the name, or the address of a device without one, as flows of it are called.
    pub fn label(&self) -> String {
        match (&*self.name, self.address) {
            ("", Some(address)) => address.to_string(),
            ("", None) => self.source.to_string(),
            (name, _) => name.to_owned(),
        }
    }

    /// Masters of a virtual chassis first, then by [`Source`].
    pub(crate) fn precedence(&self, other: &Self) -> Ordering {
        let master = |device: &Self| device.chassis.is_some_and(|chassis| chassis.master);
        master(other).cmp(&master(self)).then(self.source.cmp(&other.source))
    }
}
