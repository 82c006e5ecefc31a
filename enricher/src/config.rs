//! The `enricher` section of the configuration.

use std::path::PathBuf;
use std::time::Duration;

use helios_web::address;
use serde::{Deserialize, Serialize};

use crate::rules::{RuleError, Rules};

pub mod rules;

use rules::RulesConfig;

/// Where the names of flows come from. NetBox has a section of its own, `netbox`; docs/enrichment.md shows how all of
/// it works together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EnricherConfig {
    /// Countries, cities and autonomous systems of addresses.
    pub geoip: GeoipConfig,
    /// Exporters and interfaces written down in files.
    pub inventory: InventoryConfig,
    /// Interfaces of exporters from where they are monitored.
    pub interfaces: InterfacesConfig,
    /// Networks of your own, beside the prefixes of NetBox and before them.
    pub networks: NetworksConfig,
    /// Where `src_as` and `dst_as` come from, the first source that has a number counts: `flow` as the exporter sent
    /// it, `flow-except-private` the same unless the number is of private use, `geoip`, `networks`. The exporter's
    /// number stays where no source knows another.
    pub as_order: Vec<AsSource>,
    /// VRFs of flows that carry only a number (ingressVRFID). Flows with a name find the VRF by its name or route
    /// distinguisher.
    pub vrfs: Vec<VrfMapping>,
    /// Classification of exporters and interfaces by their names.
    pub rules: RulesConfig,
    /// How often files are looked at for a replacement, in milliseconds. A file is read when two looks in a row found
    /// it changed and the same. 0: never.
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

/// MaxMind DB files of MaxMind, IPinfo or DB-IP. Both may be left out, and one file may serve as both.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GeoipConfig {
    /// The .mmdb file with countries and cities (City, Country, Enterprise). The variable GEOIP_CITY_DB takes precedence.
    pub city: Option<PathBuf>,
    /// The .mmdb file with autonomous systems (ASN, ISP). The variable GEOIP_ASN_DB takes precedence.
    pub asn: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InventoryConfig {
    /// YAML files with `devices`: names, addresses and interfaces. They add to what NetBox says: a device with the name
    /// or an address of one in NetBox is the same device, and fills what is empty there. So a file gives a device of
    /// NetBox another address to export from.
    pub files: Vec<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InterfacesConfig {
    /// The series of snmp_exporter in Prometheus, Thanos or whatever answers their queries.
    pub prometheus: PrometheusConfig,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PrometheusConfig {
    /// Address of the server, such as `http://thanos-query:9090`; `null` for none.
    pub url: Option<String>,
    /// Instant query whose series have the labels ifIndex and ifName or ifAlias; the value of ifHighSpeed is the speed.
    pub query: String,
    /// The label that tells the exporter: its address, with or without a port, or its name in the inventory.
    pub instance_label: String,
    /// How often it is asked, in seconds.
    pub refresh_secs: u64,
    /// How long an answer may take, in seconds.
    pub timeout_secs: u64,
    /// File with a token that is sent as `Authorization: Bearer`.
    pub token_file: Option<PathBuf>,
    /// File with certificate authorities to trust (PEM) beside the system's.
    pub ca_file: Option<PathBuf>,
}

impl Default for PrometheusConfig {
    fn default() -> Self {
        Self {
            url: None,
            query: "{__name__=~\"ifHighSpeed|ifName|ifAlias\"}".to_owned(),
            instance_label: "instance".to_owned(),
            refresh_secs: 300,
            timeout_secs: 30,
            token_file: None,
            ca_file: None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworksConfig {
    /// CSV files (`.csv`, with a line of column names) or YAML files (a list), each entry with `network` and what is
    /// known of it: `name`, `site`, `role`, `tenant`, `asn`, `country`, `vrf`. Of the same network in several files the
    /// first file counts, later ones fill what it leaves empty.
    pub files: Vec<PathBuf>,
    /// The same from web servers. One that is away or answers nonsense is asked again; what it said last stays in use.
    pub http: Vec<HttpSource>,
}

/// A list of networks on a web server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSource {
    /// address of the list
    pub url: String,
    /// `csv` or `yaml` (which JSON is a part of); by the end of the address if left out
    #[serde(default)]
    pub format: Option<NetworkFormat>,
    /// how often it is asked, in seconds; 600 if left out
    #[serde(default = "http_refresh_secs")]
    pub refresh_secs: u64,
    /// how long an answer may take, in seconds; 30 if left out
    #[serde(default = "http_timeout_secs")]
    pub timeout_secs: u64,
    /// file with a token that is sent as `Authorization: Bearer`
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// file with certificate authorities to trust (PEM) beside the system's
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

const fn http_refresh_secs() -> u64 {
    600
}

const fn http_timeout_secs() -> u64 {
    30
}

/// How a list of networks is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkFormat {
    Csv,
    Yaml,
}

/// Where AS numbers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AsSource {
    Flow,
    FlowExceptPrivate,
    Geoip,
    Networks,
}

/// A number of a VRF, as exporters send it, and the VRF that it stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VrfMapping {
    /// name or route distinguisher of the VRF
    pub vrf: String,
    /// ingressVRFID of its flows
    pub id: u32,
    /// name or address of the exporter, since numbers are its own; all exporters if left out
    #[serde(default)]
    pub exporter: Option<String>,
}

/// Looking more often than this costs system calls and finds nothing.
const RELOAD_INTERVAL_MIN_MS: u64 = 10;

/// Lists of networks and devices: [`crate::hits`] tells no more sources apart.
const LISTS_MAX: usize = 100;

/// A value that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("enricher.{key}: {problem}")]
pub struct ConfigError {
    pub key: &'static str,
    pub problem: String,
}

impl EnricherConfig {
    /// Checks what the types cannot say. Whether the files can be read shows when they are loaded.
    ///
    /// # Errors
    /// The first value that cannot work, and what would.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let error = |key: &'static str, problem: String| Err(ConfigError { key, problem });
        let interval = self.reload_interval_ms;
        if (1..RELOAD_INTERVAL_MIN_MS).contains(&interval) {
            let problem = format!("{interval} is too often: {RELOAD_INTERVAL_MIN_MS} or more, or 0 for never");
            return error("reload_interval_ms", problem);
        }
        let flows =
            self.as_order.iter().filter(|source| matches!(source, AsSource::Flow | AsSource::FlowExceptPrivate));
        let repeated = |source: &AsSource| self.as_order.iter().filter(|other| *other == source).count() > 1;
        if flows.count() > 1 || self.as_order.iter().any(repeated) {
            return error("as_order", "a source is listed twice; each counts where it comes first".to_owned());
        }
        // NetBox and Prometheus are told apart as well.
        let lists = self.networks.files.len() + self.networks.http.len() + self.inventory.files.len();
        if lists > LISTS_MAX {
            let problem = format!("{lists} lists, those of devices included: {LISTS_MAX} can be told apart, join some");
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
        let refreshes = self.networks.http.iter().map(|source| (source.refresh_secs, source.timeout_secs));
        let times = refreshes.map(|times| (times, "networks.http"));
        for ((refresh, timeout), key) in
            times.chain([((prometheus.refresh_secs, prometheus.timeout_secs), "interfaces.prometheus.refresh_secs")])
        {
            if !(1..=86_400).contains(&refresh) || !(1..=3600).contains(&timeout) {
                return error(key, "refresh_secs is 1 to 86400, timeout_secs 1 to 3600".to_owned());
            }
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
