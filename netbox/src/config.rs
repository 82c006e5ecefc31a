//! What can be configured about NetBox: the section `netbox` of helios' configuration.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Where the token is read from if `token_file` is not set.
pub const TOKEN_VARIABLE: &str = "NETBOX_API_TOKEN";

/// What a snapshot is read for: it decides which kinds of objects NetBox is asked for, and for which of their fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Names in flows.
    Flows,
    /// The configuration of collectors: devices and virtual machines with everything that says how they are collected.
    Targets,
}

/// Custom fields of devices and virtual machines that Helios itself gives a meaning.
pub const OWN_CUSTOM_FIELDS: [&str; 3] = ["helios_monitor", "helios_collectors", "helios_maintenance"];

/// Names of exporters, interfaces, networks and VRFs from NetBox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetBoxConfig {
    /// URL of NetBox, such as `https://netbox.example.net`, with its path if it has one; a trailing `/api` is allowed.
    /// `null`: no names from NetBox. The variable NETBOX_API_URL takes precedence. Worst case: 2 KiB for each object, and
    /// three times the bytes of its texts; as much again while a refresh replaces them.
    pub url: Option<String>,

    /// File with the API token, version 1 or 2 (`nbt_...`); a trailing line break is ignored. Helios reads it again for
    /// every refresh: a rotated token needs no restart. Without this file, Helios uses the variable NETBOX_API_TOKEN.
    /// The token needs read permissions only.
    pub token_file: Option<PathBuf>,

    /// PEM file with certificate authorities to trust for `https`, in addition to those of the operating system.
    pub ca_file: Option<PathBuf>,

    /// Milliseconds from a request to the last byte of its answer, after which the request fails.
    pub timeout_ms: u64,

    /// Objects per answer. NetBox limits them to its MAX_PAGE_SIZE, 1000 by default.
    pub page_size: u32,

    /// Requests at the same time. Each occupies a worker process of NetBox. Worst case of each: an answer of 64 MiB, and as
    /// much for what is read of it.
    pub concurrency: usize,

    /// Milliseconds between refreshes. A refresh reads the objects that changed since the last one; if objects of a
    /// kind were deleted, it reads all of that kind.
    pub refresh_interval_ms: u64,

    /// Milliseconds between full refreshes. They find changes that do not change an object's time, such as a renamed
    /// role.
    pub full_refresh_interval_ms: u64,

    /// Largest share of any kind of objects that may disappear with one refresh. If more disappears, as when the token
    /// loses a permission, Helios refuses the refresh and keeps the last names.
    pub max_shrink: f64,

    /// Custom field of interfaces with the ifIndex.
    pub ifindex_field: String,

    /// Custom field of interfaces with the role.
    pub role_field: String,

    /// Custom fields of devices and virtual machines that are kept when targets are made, beside `helios_monitor`,
    /// `helios_collectors` and `helios_maintenance`.
    pub custom_fields: Vec<String>,

    /// Read virtual machines and their interfaces as well.
    pub virtual_machines: bool,

    /// Filters of NetBox's API that limit which objects are read.
    pub filters: Filters,
}

impl Default for NetBoxConfig {
    fn default() -> Self {
        Self {
            url: None,
            token_file: None,
            ca_file: None,
            timeout_ms: 60_000,
            page_size: 1000,
            concurrency: 4,
            refresh_interval_ms: 60_000,
            full_refresh_interval_ms: 6 * 3_600_000,
            max_shrink: 0.3,
            ifindex_field: "ifindex".into(),
            role_field: "role".into(),
            custom_fields: Vec::new(),
            virtual_machines: true,
            filters: Filters::default(),
        }
    }
}

/// A query per kind, such as `status=active&site=zurich&site=bern`; empty reads all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filters {
    /// Of `dcim/devices`: `status=active&tag=flow`.
    pub devices: String,
    /// Of `dcim/interfaces`: `site=zurich`.
    pub interfaces: String,
    /// Of `ipam/ip-addresses`: `assigned_to_interface=true`.
    pub ip_addresses: String,
    /// Of `ipam/prefixes`: `status=active&status=container`.
    pub prefixes: String,
    /// Of `virtualization/virtual-machines`: `status=active`.
    pub virtual_machines: String,
}

/// Parameters that the client sets itself.
const RESERVED: &[&str] = &[
    "limit",
    "offset",
    "start",
    "ordering",
    "fields",
    "omit",
    "exclude",
    "brief",
    "format",
    "id__gte",
    "id__lt",
    "id__lte",
    "last_updated__gte",
];

/// A value that makes no sense, and what would.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct ConfigError {
    /// The key, below the section.
    pub key: &'static str,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl NetBoxConfig {
    /// Checks every value by itself and against the others.
    ///
    /// # Errors
    /// Every mistake, in the order of the keys.
    pub fn validate(&self) -> Result<(), Vec<ConfigError>> {
        let mut mistakes = Vec::new();
        if let Some(Err(problem)) = self.url.as_deref().map(check_url) {
            mistakes.push(ConfigError { key: "url", problem });
        }
        let mut range = |key: &'static str, value: f64, low: f64, high: f64| {
            mistakes.extend(helios_advice::outside(value, low, high).map(|problem| ConfigError { key, problem }));
        };
        const DAY_MS: f64 = 24.0 * 3_600_000.0;
        let refresh = self.refresh_interval_ms as f64;
        range("timeout_ms", self.timeout_ms as f64, 100.0, 3_600_000.0);
        range("page_size", self.page_size.into(), 1.0, 10_000.0);
        range("concurrency", self.concurrency as f64, 1.0, 32.0);
        range("refresh_interval_ms", refresh, 100.0, DAY_MS);
        // Full refreshes are not more frequent than refreshes.
        range("full_refresh_interval_ms", self.full_refresh_interval_ms as f64, refresh, 30.0 * DAY_MS);
        range("max_shrink", self.max_shrink, 0.0, 1.0);
        let filters = &self.filters;
        for (key, filter) in [
            ("filters.devices", &filters.devices),
            ("filters.interfaces", &filters.interfaces),
            ("filters.ip_addresses", &filters.ip_addresses),
            ("filters.prefixes", &filters.prefixes),
            ("filters.virtual_machines", &filters.virtual_machines),
        ] {
            if let Err(problem) = check_filter(filter) {
                mistakes.push(ConfigError { key, problem });
            }
        }
        if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
    }

    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    pub(crate) fn refresh_interval(&self) -> Duration {
        Duration::from_millis(self.refresh_interval_ms)
    }

    pub(crate) fn full_refresh_interval(&self) -> Duration {
        Duration::from_millis(self.full_refresh_interval_ms)
    }

    /// Whether this custom field of devices and virtual machines is kept.
    pub(crate) fn keeps(&self, field: &str) -> bool {
        OWN_CUSTOM_FIELDS.contains(&field) || self.custom_fields.iter().any(|kept| kept == field)
    }

    /// What a saved snapshot depends on: with another value of any of these it is of something else.
    pub(crate) fn fingerprint(&self) -> String {
        let Self { url, ifindex_field, role_field, virtual_machines, filters, .. } = self;
        format!("{} {ifindex_field} {role_field} {virtual_machines} {filters:?}", url.as_deref().unwrap_or_default())
    }
}

fn check_url(url: &str) -> Result<(), String> {
    let parsed = helios_web::address::check(url)?;
    let authority = parsed.authority().map_or("", |authority| authority.as_str());
    if authority.contains('@') {
        return Err("must not contain user and password: NetBox needs a token, see `token_file`".into());
    }
    if parsed.query().is_some() {
        return Err("must not contain a query: see `filters`".into());
    }
    Ok(())
}

fn check_filter(filter: &str) -> Result<(), String> {
    let allowed = |octet: u8| octet.is_ascii_graphic() && !matches!(octet, b'#' | b'?' | b'"' | b'<' | b'>');
    if !filter.bytes().all(allowed) {
        return Err("must be written as in a URL: without `?`, with %20 for a space".into());
    }
    for pair in filter.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some((name, _)) if RESERVED.contains(&name) => {
                return Err(format!("must not contain `{name}`: Helios sets it itself"));
            }
            Some(_) => {}
            None => return Err(format!("`{pair}` has no value: write name=value&name=value")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(change: impl FnOnce(&mut NetBoxConfig)) -> Vec<&'static str> {
        let mut config = NetBoxConfig::default();
        change(&mut config);
        config.validate().err().unwrap_or_default().iter().map(|mistake| mistake.key).collect()
    }

    #[test]
    fn the_defaults_are_valid_and_read_nothing() {
        let config: NetBoxConfig = serde_json::from_str("{}").unwrap();
        assert_eq!((config.validate(), config.url), (Ok(()), None));
        assert!(serde_json::from_str::<NetBoxConfig>(r#"{"token": "x"}"#).is_err());
    }

    #[test]
    fn every_mistake_is_named_not_only_the_first() {
        let found = mistakes(|config| {
            config.url = Some("netbox.example.net".into());
            config.page_size = 0;
            config.full_refresh_interval_ms = 1;
            config.max_shrink = f64::NAN;
            config.filters.prefixes = "limit=5".into();
        });
        assert_eq!(found, ["url", "page_size", "full_refresh_interval_ms", "max_shrink", "filters.prefixes"]);
    }

    #[test]
    fn addresses_and_filters_are_as_netbox_has_them() {
        for bad in ["ftp://netbox", "https://u:p@netbox", "https://netbox/?a=1", "http://"] {
            assert_eq!(mistakes(|config| config.url = Some(bad.into())), ["url"], "{bad}");
        }
        for bad in ["status", "a=b c", "?status=active", "a=1#b", "offset=3"] {
            assert_eq!(mistakes(|config| config.filters.devices = bad.into()), ["filters.devices"], "{bad}");
        }
        let good = mistakes(|config| {
            config.url = Some("https://netbox.example.net/netbox/".into());
            config.filters.devices = "status=active&tag=flow&name__ic=z%C3%BCrich".into();
        });
        assert_eq!(good, [""; 0]);
    }
}
