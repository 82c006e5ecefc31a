//! The plan: devices and profiles in; every target, and every device that is none with its reason, out.
//!
//! Pure, and independent of the order in which the devices come.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;

use crate::config::{COLLECTORS_FIELD, GnmiConfig, MONITOR_FIELD, SnmpConfig, TargetsConfig};
use crate::device::{Device, Source};
use crate::name::dns_label;
use crate::profile::{self, Collection, NoCollection};

/// Why a device is no target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "what `Display` writes of a variant says what its fields are")]
pub enum Reason {
    NotMonitored,
    Status {
        status: String,
    },
    NoAddress,
    /// Another member of its virtual chassis is the target of all.
    ChassisMember {
        target: String,
    },
    NoProfile,
    UnknownCollector {
        word: String,
    },
    NotConfigured {
        collector: &'static str,
    },
    /// Nothing of the name can be part of a DNS label.
    NoDnsName,
    NameTaken {
        name: String,
        by: String,
    },
    AddressTaken {
        address: IpAddr,
        by: String,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotMonitored => write!(f, "not monitored: its custom field {MONITOR_FIELD} is not true"),
            Self::Status { status } => write!(f, "its status is {status}"),
            Self::NoAddress => f.write_str("no primary address"),
            Self::ChassisMember { target } => write!(f, "member of a virtual chassis whose target is {target}"),
            Self::NoProfile => {
                f.write_str("no profile in targets.profiles matches it, or the first that does asks for nothing")
            }
            Self::UnknownCollector { word } => {
                write!(f, "{word:?} in its custom field {COLLECTORS_FIELD} is none of gnmi, snmp and probes")
            }
            Self::NotConfigured { collector } => {
                write!(
                    f,
                    "its custom field {COLLECTORS_FIELD} wants {collector}, and no profile that matches it has {collector}"
                )
            }
            Self::NoDnsName => f.write_str("its name has no letter from a to z and no digit, so it is no DNS name"),
            Self::NameTaken { name, by } => write!(f, "its name becomes {name}, which {by} has: rename one of them"),
            Self::AddressTaken { address, by } => write!(f, "its address {address} is that of {by}"),
        }
    }
}

/// A device that is no target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The label `device` that it would have had.
    pub device: String,
    /// Where the device is described.
    pub source: Source,
    /// The first one that was found.
    pub reason: Reason,
}

/// The labels of every series of a device: names, with the values that flows of it have in `exporter_*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// [`Device::label`]: the device's name, or its address if it has none.
    pub device: String,
    /// `exporter_site`. Here and below, an empty value is no label.
    pub site: String,
    /// `exporter_region`.
    pub region: String,
    /// `exporter_role`.
    pub role: String,
    /// Name of the platform; flows have no such column.
    pub platform: String,
    /// `exporter_tenant`.
    pub tenant: String,
}

impl Labels {
    fn of(device: &Device) -> Self {
        Self {
            device: device.label(),
            site: device.site.name.clone(),
            region: device.region.clone(),
            role: device.role.name.clone(),
            platform: device.platform.name.clone(),
            tenant: device.tenant.name.clone(),
        }
    }

    /// Name and value of the labels that have one.
    pub fn pairs(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let Self { device, site, region, role, platform, tenant } = self;
        [
            ("device", device),
            ("site", site),
            ("region", region),
            ("role", role),
            ("platform", platform),
            ("tenant", tenant),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name, value.as_str()))
    }
}

/// A device that is collected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// A DNS label, see [`crate::plan`].
    pub name: String,
    /// Where the device is described.
    pub source: Source,
    /// The same for every collector.
    pub labels: Labels,
    /// Whether alerts about it are silent, because somebody works on it.
    pub maintenance: bool,
    /// The primary address, at which all collectors reach the device.
    pub address: IpAddr,
    /// Names of the profiles that decided.
    pub profiles: Vec<String>,
    /// `None`: gnmic does not collect the device.
    pub gnmi: Option<GnmiConfig>,
    /// `None`: snmp_exporter does not collect the device.
    pub snmp: Option<SnmpConfig>,
    /// Whether blackbox_exporter sends echo requests.
    pub icmp: bool,
    /// Ports.
    pub tcp: Vec<u16>,
}

/// All targets, and all devices that are none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// By their names.
    pub targets: BTreeMap<String, Target>,
    /// In the order of their labels.
    pub left_out: Vec<LeftOut>,
}

impl Plan {
    /// Plans.
    pub fn new(mut devices: Vec<Device>, config: &TargetsConfig) -> Self {
        devices.sort_by(Device::precedence);
        let mut planner = Planner { config, chassis: HashMap::new(), addresses: HashMap::new(), plan: Self::default() };
        for device in &devices {
            if let Err(reason) = planner.admit(device) {
                planner.plan.left_out.push(LeftOut { device: device.label(), source: device.source, reason });
            }
        }
        let mut plan = planner.plan;
        plan.left_out.sort_by(|a, b| (&a.device, a.source).cmp(&(&b.device, b.source)));
        plan
    }
}

struct Planner<'a> {
    config: &'a TargetsConfig,
    /// The target's label, by the id of its virtual chassis.
    chassis: HashMap<u32, String>,
    addresses: HashMap<IpAddr, String>,
    plan: Plan,
}

impl Planner<'_> {
    /// Makes the device a target, or says why not.
    fn admit(&mut self, device: &Device) -> Result<(), Reason> {
        let config = self.config;
        if !device.monitored {
            return Err(Reason::NotMonitored);
        }
        if !config.statuses.iter().any(|status| status.eq_ignore_ascii_case(&device.status)) {
            return Err(Reason::Status { status: device.status.clone() });
        }
        if let Some(target) = device.chassis.and_then(|chassis| self.chassis.get(&chassis.id)) {
            return Err(Reason::ChassisMember { target: target.clone() });
        }
        let address = device.address.ok_or(Reason::NoAddress)?;
        let collection = profile::choose(device, config)?;
        let label = device.label();
        let name = dns_label(&label);
        if name.is_empty() {
            return Err(Reason::NoDnsName);
        }
        if let Some(other) = self.plan.targets.get(&name) {
            let by = format!("{} ({})", other.labels.device, other.source);
            return Err(Reason::NameTaken { name, by });
        }
        if let Some(by) = self.addresses.get(&address) {
            return Err(Reason::AddressTaken { address, by: by.clone() });
        }
        self.addresses.insert(address, label.clone());
        if let Some(chassis) = device.chassis {
            self.chassis.insert(chassis.id, label);
        }
        let Collection { profiles, gnmi, snmp, probes } = collection;
        let (source, labels) = (device.source, Labels::of(device));
        let target = Target {
            name: name.clone(),
            source,
            labels,
            maintenance: device.maintenance,
            address,
            profiles,
            gnmi,
            snmp,
            icmp: probes.icmp,
            tcp: probes.tcp,
        };
        self.plan.targets.insert(name, target);
        Ok(())
    }
}

impl From<NoCollection> for Reason {
    fn from(why: NoCollection) -> Self {
        match why {
            NoCollection::NoProfile => Self::NoProfile,
            NoCollection::UnknownCollector(word) => Self::UnknownCollector { word },
            NoCollection::NotConfigured(collector) => Self::NotConfigured { collector },
        }
    }
}

#[cfg(test)]
mod tests;
