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

    /// Devices with one of these values of NetBox's status are targets.
    pub statuses: Vec<String>,

    /// Virtual machines are targets as well. They need `netbox.virtual_machines`.
    pub virtual_machines: bool,

    /// Share of the published targets of a collector that may be gone in the next plan. A plan that lost more, or all
    /// of them, is refused and nothing is written: `--allow-loss` lets one through.
    pub max_loss: f64,

    /// ConfigMaps that gnmic's targets are split into, with `--kubernetes`: one for each instance of gnmic. More are made
    /// only where 768 KiB each are not enough.
    pub gnmic_parts: u32,

    /// What gNMI and SNMP both deliver. A device whose profile has both is asked for each of these by one of them only.
    pub overlaps: Vec<OverlapConfig>,

    /// Who is collected how: of the profiles that match a device the first one counts. docs/targets.md has the
    /// defaults; a list here replaces them.
    pub profiles: Vec<ProfileConfig>,
}

/// Subscriptions and modules that deliver the same.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverlapConfig {
    /// Subscriptions of gnmic.
    pub subscriptions: Vec<String>,
    /// Modules of snmp_exporter.
    pub modules: Vec<String>,
}

/// How the devices that match are collected.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProfileConfig {
    /// For messages.
    pub name: String,
    /// Which devices; without conditions all.
    pub r#match: MatchConfig,
    /// By gnmic.
    pub gnmi: Option<GnmiConfig>,
    /// By snmp_exporter.
    pub snmp: Option<SnmpConfig>,
    /// By blackbox_exporter.
    pub probes: ProbesConfig,
}

/// Conditions: every list that is not empty has to have one value that fits. Values are compared with slug and name,
/// upper and lower case are the same, `*` stands for any characters.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MatchConfig {
    /// Such as `eos` or `junos-*`.
    pub platforms: Vec<String>,
    /// Roles of devices, such as `edge-router`.
    pub roles: Vec<String>,
    /// Of the device type; virtual machines have none.
    pub manufacturers: Vec<String>,
    /// Sites of devices.
    pub sites: Vec<String>,
    /// Tenants of devices.
    pub tenants: Vec<String>,
    /// One of the device's tags has to fit; only slugs are compared.
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
    /// Name of gnmic's environment variable with the user; without it gnmic's own user is taken.
    pub username_variable: Option<String>,
    /// Name of gnmic's environment variable with the password.
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

/// How the connection of gnmic is protected. Paths are gnmic's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GnmiTlsConfig {
    /// Whether the certificate is checked, and whether there is TLS at all.
    pub mode: GnmiTlsMode,
    /// PEM file with the authorities to trust; without it the operating system's are trusted.
    pub ca_file: Option<PathBuf>,
    /// Client certificate.
    pub cert_file: Option<PathBuf>,
    /// Key of the client certificate.
    pub key_file: Option<PathBuf>,
    /// The certificate has to be for this name instead of the address.
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
    /// Modules of snmp.yml.
    pub modules: Vec<String>,
    /// Name of the community or user in the file of auths, never the secret itself.
    pub auth: String,
}

/// How blackbox_exporter asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProbesConfig {
    /// Echo requests.
    pub icmp: bool,
    /// Ports to which a TCP connection is made.
    pub tcp: Vec<u16>,
}
