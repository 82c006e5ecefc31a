//! What can be configured about targets: the section `targets` of helios' configuration.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Custom field of devices and virtual machines, a boolean: only those that have `true` in it are targets.
pub const MONITOR_FIELD: &str = "helios_monitor";

/// Custom field of devices and virtual machines that overrules the profile: `gnmi`, `snmp` or `probes`, several separated
/// by commas. Of `gnmi` and `snmp` the one that comes first asks for what both could.
pub const COLLECTORS_FIELD: &str = "helios_collectors";

/// Custom field of devices and virtual machines, a boolean: `true` while somebody works on the device. Its metrics are
/// collected as usual, and alerts about it are silent.
pub const MAINTENANCE_FIELD: &str = "helios_maintenance";

mod defaults;
mod validate;

pub use validate::ConfigError;

/// Which devices are collected, how, and where the collectors' targets are written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TargetsConfig {
    /// Directory for gnmic.yaml, snmp.json, icmp.json and tcp.json; `--out` takes precedence.
    pub directory: Option<PathBuf>,

    /// YAML file with targets that NetBox does not know, see docs/targets.md.
    pub static_file: Option<PathBuf>,

    /// Values of a device's status in NetBox, such as `active`: only devices with one of them are targets.
    pub statuses: Vec<String>,

    /// Whether virtual machines are targets, too. This needs `netbox.virtual_machines`.
    pub virtual_machines: bool,

    /// Largest share of a collector's published targets that may be missing from the next plan. If more are missing, or all of
    /// them, `helios targets` writes nothing; `--allow-loss` makes it write that plan once.
    pub max_loss: f64,

    /// Number of ConfigMaps for gnmic's targets with `--kubernetes`: one for each instance of gnmic. There are more only if 768
    /// KiB each are too little.
    pub gnmic_parts: u32,

    /// What gNMI and SNMP both deliver. If the profile of a device has both collectors, only one of them asks the device for it.
    pub overlaps: Vec<OverlapConfig>,

    /// How devices are collected. The first profile that matches a device counts. A list here replaces the default profiles.
    pub profiles: Vec<ProfileConfig>,
}

/// Subscriptions and modules that deliver the same.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverlapConfig {
    /// Names of subscriptions in gnmic's configuration.
    pub subscriptions: Vec<String>,
    /// Names of modules in snmp.yml.
    pub modules: Vec<String>,
}

/// How the devices of a profile are collected.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProfileConfig {
    /// Name of the profile in messages.
    pub name: String,
    /// Devices that the profile is for; all of them without a condition.
    pub r#match: MatchConfig,
    /// How gnmic asks; `null`: it does not.
    pub gnmi: Option<GnmiConfig>,
    /// How snmp_exporter asks; `null`: it does not.
    pub snmp: Option<SnmpConfig>,
    /// How blackbox_exporter probes.
    pub probes: ProbesConfig,
}

/// Conditions: of every list that is not empty, one value must fit the slug or the name in NetBox. Upper and lower case are the
/// same, `*` stands for any characters.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MatchConfig {
    /// Platforms of devices, such as `eos` or `junos-*`.
    pub platforms: Vec<String>,
    /// Roles of devices, such as `edge-router`.
    pub roles: Vec<String>,
    /// Manufacturers of device types; virtual machines have none.
    pub manufacturers: Vec<String>,
    /// Sites of devices.
    pub sites: Vec<String>,
    /// Tenants of devices.
    pub tenants: Vec<String>,
    /// Tags of devices; one of them must fit.
    pub tags: Vec<String>,
}

/// How gnmic asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GnmiConfig {
    /// TCP port of the device's gNMI server.
    pub port: u16,
    /// Names of subscriptions in gnmic's configuration.
    pub subscriptions: Vec<String>,
    /// Encoding that the device is asked for.
    pub encoding: Encoding,
    /// TLS between gnmic and the device.
    pub tls: GnmiTlsConfig,
    /// Environment variable of gnmic with the user; without it, gnmic takes its own user.
    pub username_variable: Option<String>,
    /// Environment variable of gnmic with the password; without it, gnmic takes its own password.
    pub password_variable: Option<String>,
}

/// gNMI's encodings (gNMI specification 2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// `JSON_IETF`: JSON by RFC 7951.
    #[default]
    JsonIetf,
    /// `JSON`: JSON without the rules of RFC 7951.
    Json,
    /// `PROTO`: values as protobuf scalars.
    Proto,
}

/// TLS between gnmic and the device. Paths are those of gnmic's host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GnmiTlsConfig {
    /// Whether the certificate is checked, and whether there is TLS at all.
    pub mode: GnmiTlsMode,
    /// PEM file with the authorities to trust; without it the operating system's are trusted.
    pub ca_file: Option<PathBuf>,
    /// PEM file with the client certificate.
    pub cert_file: Option<PathBuf>,
    /// PEM file with the key of the client certificate.
    pub key_file: Option<PathBuf>,
    /// Name that the certificate of the device must have, instead of its address.
    pub server_name: Option<String>,
}

/// What is done about the device's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GnmiTlsMode {
    /// It has to be valid.
    #[default]
    Verify,
    /// TLS with any certificate.
    SkipVerify,
    /// No TLS: user and password are readable on the way.
    Off,
}

/// How snmp_exporter asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SnmpConfig {
    /// UDP port of the device's SNMP agent.
    pub port: u16,
    /// Names of modules in snmp.yml.
    pub modules: Vec<String>,
    /// Name of an entry under `auths` of snmp.yml, never the secret itself.
    pub auth: String,
}

/// How blackbox_exporter asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProbesConfig {
    /// Whether to send ICMP echo requests.
    pub icmp: bool,
    /// TCP ports that a connection is made to.
    pub tcp: Vec<u16>,
}
