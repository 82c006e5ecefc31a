//! The configuration of `helios`: the sections of all crates, and those of the binary itself.
//!
//! [`helios_service::config`] reads it. docs/configuration.md and helios.example.yaml are written by tests/it/docs.rs
//! from the sections' own doc comments.

use helios_collector::CollectorConfig;
use helios_enricher::EnricherConfig;
use helios_netbox::NetBoxConfig;
use helios_service::config::{Configuration, Problem, Renamed};
use helios_service::log::LogConfig;
use helios_sink::SinkConfig;
use helios_targets::TargetsConfig;
use helios_web::address::redacted;
use serde::{Deserialize, Serialize};

mod sections;
mod columns;
mod validate;

pub use columns::{ColumnType, UserColumn};
pub use sections::{AdminConfig, PipelineConfig};

/// Everything that can be configured, one section for each stage.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub collector: CollectorConfig,
    pub enricher: EnricherConfig,
    pub netbox: NetBoxConfig,
    pub targets: TargetsConfig,
    pub clickhouse: SinkConfig,
    pub pipeline: PipelineConfig,
    pub admin: AdminConfig,
    pub log: LogConfig,
    /// Additional columns of the table `flows`, each with the information element that fills it.
    ///
    /// For example `columns: [{name: queue_id, pen: 9, id: 12235, type: uint16}, {name: user_name, id: 371, type: string}]`.
    ///
    /// Integers on the wire have any length from 1 to 8 octets (reduced-size encoding, RFC 7011 §6.2); a value that is
    /// too large for its type becomes the largest value of the type. An ip has 4 or 16 octets; any other length leaves
    /// the column empty. A string is cut at 255 octets. An element can fill this column and a built-in one. If a record
    /// has an element several times, the first one counts. `helios run` (at the start) and `helios migrate` add missing
    /// columns to the table. A column that is no longer listed stays in the table and is empty for new rows. sFlow has
    /// no information elements.
    ///
    /// With `fill: true` and no type, the element fills an existing column where nothing else does: `columns: [{name:
    /// src_addr, pen: 5951, id: 300, fill: true}]`.
    pub columns: Vec<UserColumn>,
}

impl Config {
    /// Makes the columns of this configuration part of the table, once and before the first use of it.
    ///
    /// # Panics
    /// On a second call, or after the first use.
    pub fn install_columns(&self) {
        columns::install(&self.columns);
    }

    /// The same configuration with `***` in place of passwords and tokens that stand in addresses: what is printed may
    /// end in a bug report.
    pub fn redacted(&self) -> Self {
        let mut shown = self.clone();
        let enricher = &mut shown.enricher;
        let lists = enricher.networks.http.iter_mut().map(|list| &mut list.url);
        let urls = lists.chain(enricher.interfaces.prometheus.url.as_mut()).chain(shown.netbox.url.as_mut());
        for url in urls.chain([&mut shown.clickhouse.url]) {
            *url = redacted(url);
        }
        shown
    }

    /// The section `clickhouse`, with the spool's directory in the state directory unless the configuration names another.
    pub fn sink(&self) -> SinkConfig {
        let mut sink = self.clickhouse.clone();
        let beside = || self.collector.state_dir.as_ref().map(|state| state.join("spool"));
        sink.spool.directory = sink.spool.directory.or_else(beside);
        sink
    }
}

impl Configuration for Config {
    /// Names that are in use for other programs as well. CLICKHOUSE_PASSWORD and NETBOX_API_TOKEN are not among them: the
    /// crates read them whenever they connect, and no key ever holds a secret.
    const VARIABLES: &'static [(&'static str, &'static str)] = &[
        ("GEOIP_CITY_DB", "enricher.geoip.city"),
        ("GEOIP_ASN_DB", "enricher.geoip.asn"),
        ("NETBOX_API_URL", "netbox.url"),
        ("CLICKHOUSE_URL", "clickhouse.url"),
        ("CLICKHOUSE_DATABASE", "clickhouse.database"),
        ("CLICKHOUSE_USER", "clickhouse.user"),
        ("RUST_LOG", "log.level"),
    ];
    const SECTIONLESS: &'static [&'static str] = &["columns"];
    /// Keys in seconds, before all keys were in milliseconds.
    const RENAMED: &'static [Renamed] = &[
        Renamed { old: "collector.template_lifetime_s", new: "template_lifetime_ms", factor: 1000 },
        Renamed { old: "collector.tcp.idle_timeout_s", new: "idle_timeout_ms", factor: 1000 },
        Renamed { old: "enricher.interfaces.prometheus.refresh_secs", new: "refresh_interval_ms", factor: 1000 },
        Renamed { old: "enricher.interfaces.prometheus.timeout_secs", new: "timeout_ms", factor: 1000 },
        Renamed { old: "enricher.networks.http[].refresh_secs", new: "refresh_interval_ms", factor: 1000 },
        Renamed { old: "enricher.networks.http[].timeout_secs", new: "timeout_ms", factor: 1000 },
    ];

    fn problems(&self) -> Vec<Problem> {
        validate::problems(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use helios_service::config::paths;

    /// What `check --print` shows, a bug report may quote: secrets come by file or environment and have no key.
    #[test]
    fn no_key_holds_a_secret() {
        for path in paths(&Config::default()) {
            let key = path.rsplit('.').next().unwrap_or(&path);
            assert!(!["password", "secret", "token", "api_key"].contains(&key), "{path}");
        }
    }

    #[test]
    fn what_is_printed_holds_no_secret_of_an_address() {
        let mut config = Config::default();
        config.enricher.interfaces.prometheus.url = Some("https://grafana:secret@prometheus/".into());
        config.enricher.networks.http =
            serde_json::from_str(r#"[{"url": "https://git/a.csv?private_token=secret"}]"#).unwrap();
        let printed = config.redacted().to_yaml();
        assert!(!printed.contains("secret") && printed.contains("https://***@prometheus/"), "{printed}");
        assert!(printed.contains("https://git/a.csv?private_token=***"), "{printed}");
    }

    #[test]
    fn the_spool_is_beside_the_state_unless_it_has_a_place_of_its_own() {
        let mut config = Config::default();
        assert_eq!(config.sink().spool.active(), None);
        config.collector.state_dir = Some("/state".into());
        assert_eq!(config.sink().spool.active(), Some(&"/state/spool".into()));
        config.clickhouse.spool.directory = Some("/disk".into());
        assert_eq!(config.sink().spool.active(), Some(&"/disk".into()));
    }
}
