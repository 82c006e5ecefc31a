//! The `enricher` section of the configuration.

use std::path::PathBuf;
use std::time::Duration;

use helios_advice::outside;
use helios_web::address;
use serde::{Deserialize, Serialize};

use crate::rules::{RuleError, Rules};

pub mod rules;

use rules::RulesConfig;

/// Sources of names. NetBox has its own section, `netbox`; docs/enrichment.md explains how the sources work together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EnricherConfig {
    /// Countries, cities and autonomous systems of addresses.
    pub geoip: GeoipConfig,
    /// Exporters and interfaces from files.
    pub inventory: InventoryConfig,
    /// Interfaces of exporters from monitoring.
    pub interfaces: InterfacesConfig,
    /// Your own networks. They take precedence over prefixes of NetBox.
    pub networks: NetworksConfig,
    /// Sources of `src_as` and `dst_as`; the first one that knows a number decides. `flow`: the number from the
    /// exporter. `flow-except-private`: the same, unless it is a private number (RFC 6996). `networks` and `geoip`: the
    /// number of the network that holds the address. If no source knows a number, that of the exporter stays.
    pub as_order: Vec<AsSource>,
    /// Names for VRF numbers (ingressVRFID). Flows with a VRF name need no entry: Helios finds their VRF by name or
    /// route distinguisher.
    pub vrfs: Vec<VrfMapping>,
    /// Rules that classify exporters and interfaces by their names.
    pub rules: RulesConfig,
    /// Milliseconds between two checks whether a file has changed. Helios reads a file when it has changed and stayed
    /// the same for one interval. 0: never.
    pub reload_interval_ms: u64,
}

impl Default for EnricherConfig {
    fn default() -> Self {
        Self {
            geoip: GeoipConfig::default(),
            inventory: InventoryConfig::default(),
            interfaces: InterfacesConfig::default(),
            networks: NetworksConfig::default(),
            as_order: vec![AsSource::Flow, AsSource::Networks, AsSource::Geoip],
            vrfs: Vec::new(),
            rules: RulesConfig::default(),
            reload_interval_ms: 5000,
        }
    }
}

/// MaxMind DB files of MaxMind, IPinfo or DB-IP. Both may be left out, and one file may serve as both. Worst case: 30 times the
/// size of the files while Helios reads them, and 100 times for a file of single IPv4 addresses far from each other; as much of the
/// versions that they replace.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GeoipConfig {
    /// MaxMind DB file (.mmdb) with countries and cities: City, Country or Enterprise. The variable GEOIP_CITY_DB takes
    /// precedence.
    pub city: Option<PathBuf>,
    /// MaxMind DB file (.mmdb) with autonomous systems: ASN or ISP. The variable GEOIP_ASN_DB takes precedence.
    pub asn: Option<PathBuf>,
}

/// Exporters and interfaces from files.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InventoryConfig {
    /// YAML files with `devices`: names, addresses and interfaces. A device that has the name or an address of a NetBox
    /// device is the same device: the file fills what NetBox leaves empty. So a file can add the address that a NetBox
    /// device exports from. Worst case: 1 KiB for each device and interface, and three times the bytes of its names;
    /// as much again of the version that a file replaces.
    pub files: Vec<PathBuf>,
}

/// Interfaces of exporters from monitoring.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InterfacesConfig {
    /// Series of snmp_exporter from Prometheus, Thanos or another server with the same API.
    pub prometheus: PrometheusConfig,
}

/// A server with the HTTP API of Prometheus that has the series of snmp_exporter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PrometheusConfig {
    /// URL of the server, such as `http://thanos-query:9090`; `null`: none. Worst case: the answer, of 512 MiB at the most,
    /// and of each interface as much as in `inventory.files`.
    pub url: Option<String>,
    /// Instant query. Its series have the label ifIndex and one of ifName and ifAlias; the value of ifHighSpeed is the
    /// speed in Mbit/s.
    pub query: String,
    /// Label that identifies the exporter: its address, with or without a port, or its name in the inventory.
    pub instance_label: String,
    /// Milliseconds between two queries.
    pub refresh_interval_ms: u64,
    /// Milliseconds after which a query without an answer fails.
    pub timeout_ms: u64,
    /// File with a token for the header `Authorization: Bearer`.
    pub token_file: Option<PathBuf>,
    /// PEM file with certificate authorities to trust in addition to those of the operating system.
    pub ca_file: Option<PathBuf>,
}

impl Default for PrometheusConfig {
    fn default() -> Self {
        Self {
            url: None,
            query: "{__name__=~\"ifHighSpeed|ifName|ifAlias\"}".to_owned(),
            instance_label: "instance".to_owned(),
            refresh_interval_ms: 300_000,
            timeout_ms: 30_000,
            token_file: None,
            ca_file: None,
        }
    }
}

/// Your own networks, from files and web servers. They take precedence over prefixes of NetBox.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworksConfig {
    /// CSV files (`.csv`, with column names in the first line) or YAML files (a list). Each entry has `network` and any
    /// of `name`, `site`, `role`, `tenant`, `asn`, `country`, `vrf`. If several files have the same network, the first
    /// one takes precedence; later ones fill what it leaves empty. Worst case: 4 KiB for each network, and ten times
    /// the bytes of its names, while Helios reads them; as much again of the version that a file replaces.
    pub files: Vec<PathBuf>,
    /// The same lists from web servers. If a server does not answer or its answer is not valid, its last valid list
    /// stays in use and Helios asks again. Worst case: the answer, of 512 MiB at the most, and of each network as much as
    /// in a file.
    pub http: Vec<HttpSource>,
}

/// A list of networks on a web server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSource {
    /// URL of the list
    pub url: String,
    /// `csv` or `yaml` (for JSON as well); if left out, `csv` for a URL that ends in .csv, else `yaml`
    #[serde(default)]
    pub format: Option<NetworkFormat>,
    /// milliseconds between two requests; 600000 if left out
    #[serde(default = "http_refresh_interval_ms")]
    pub refresh_interval_ms: u64,
    /// milliseconds after which a request without an answer fails; 30000 if left out
    #[serde(default = "http_timeout_ms")]
    pub timeout_ms: u64,
    /// file with a token for the header `Authorization: Bearer`
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// PEM file with certificate authorities to trust in addition to those of the operating system
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

const fn http_refresh_interval_ms() -> u64 {
    600_000
}

const fn http_timeout_ms() -> u64 {
    30_000
}

/// How a list of networks is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkFormat {
    /// A line for each network; the first line has the names of the columns.
    Csv,
    /// A list with an entry for each network. JSON is valid YAML.
    Yaml,
}

/// Where AS numbers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AsSource {
    /// The number that the exporter sent.
    Flow,
    /// The number that the exporter sent, unless it is private (RFC 6996) and another source knows one.
    FlowExceptPrivate,
    /// The number that the GeoIP database has for the address.
    Geoip,
    /// The number of the network that holds the address.
    Networks,
}

/// A number of a VRF, as exporters send it, and the VRF that it stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VrfMapping {
    /// name or route distinguisher of the VRF
    pub vrf: String,
    /// ingressVRFID of the flows
    pub id: u32,
    /// name or address of the exporter; all exporters if left out
    #[serde(default)]
    pub exporter: Option<String>,
}

/// Looking more often than this costs system calls and finds nothing.
const RELOAD_INTERVAL_MIN_MS: u64 = 10;

/// A day: files that change less often are read again by a signal.
const RELOAD_INTERVAL_MAX_MS: u64 = 86_400_000;

/// Lists of networks and devices: [`crate::hits`] tells no more sources apart.
const LISTS_MAX: usize = 100;

/// A value that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("enricher.{key}: {problem}")]
pub struct ConfigError {
    /// Below `enricher`, with dots: `rules.exporters`.
    pub key: &'static str,
    /// What is wrong and what would work, as the end of a sentence.
    pub problem: String,
}

impl EnricherConfig {
    /// Checks what the types cannot say. Whether the files can be read shows when they are loaded.
    ///
    /// # Errors
    /// The first value that cannot work, and what would.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let error = |key: &'static str, problem: String| Err(ConfigError { key, problem });
        let interval = Some(self.reload_interval_ms).filter(|&interval| interval > 0);
        let outside_of = |interval| outside(interval, RELOAD_INTERVAL_MIN_MS, RELOAD_INTERVAL_MAX_MS);
        if let Some(problem) = interval.and_then(outside_of) {
            return error("reload_interval_ms", problem.replacen("from", "0 (never) or from", 1));
        }
        let flows =
            self.as_order.iter().filter(|source| matches!(source, AsSource::Flow | AsSource::FlowExceptPrivate));
        let repeated = |source: &AsSource| self.as_order.iter().filter(|other| *other == source).count() > 1;
        if flows.count() > 1 || self.as_order.iter().any(repeated) {
            return error(
                "as_order",
                "must list each source once (`flow` and `flow-except-private` are the same source)".to_owned(),
            );
        }
        // NetBox and Prometheus are told apart as well.
        let lists = self.networks.files.len() + self.networks.http.len() + self.inventory.files.len();
        if lists > LISTS_MAX {
            let problem =
                format!("must be {LISTS_MAX} lists at most, those of devices included, found {lists}: join some");
            return error("networks", problem);
        }
        let prometheus = &self.interfaces.prometheus;
        for (url, key) in prometheus
            .url
            .iter()
            .map(|url| (url, "interfaces.prometheus.url"))
            .chain(self.networks.http.iter().map(|source| (&source.url, "networks.http")))
        {
            if let Err(problem) = address::check(url) {
                return error(key, problem);
            }
        }
        let refresh = |ms: u64| outside(ms, 1_000, 86_400_000);
        let timeout = |ms: u64| outside(ms, 100, 3_600_000);
        for source in &self.networks.http {
            if let Some(problem) = refresh(source.refresh_interval_ms) {
                return error("networks.http", format!("refresh_interval_ms {problem}"));
            }
            if let Some(problem) = timeout(source.timeout_ms) {
                return error("networks.http", format!("timeout_ms {problem}"));
            }
        }
        if let Some(problem) = refresh(prometheus.refresh_interval_ms) {
            return error("interfaces.prometheus.refresh_interval_ms", problem);
        }
        if let Some(problem) = timeout(prometheus.timeout_ms) {
            return error("interfaces.prometheus.timeout_ms", problem);
        }
        if let Err(RuleError { list, at, problem }) = Rules::compile(&self.rules) {
            let key = if list == "exporters" { "rules.exporters" } else { "rules.interfaces" };
            return error(key, format!("rule {}: {problem}", at + 1));
        }
        Ok(())
    }

    /// `None`: files are read once, at the start.
    pub fn reload_interval(&self) -> Option<Duration> {
        (self.reload_interval_ms > 0).then(|| Duration::from_millis(self.reload_interval_ms))
    }
}

#[cfg(test)]
mod tests;
