//! The `enricher` section of the configuration.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Where the names of flows come from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EnricherConfig {
    /// Countries, cities and autonomous systems of addresses.
    pub geoip: GeoipConfig,
}

/// MaxMind DB files of MaxMind, IPinfo or DB-IP. Both may be left out, and one file may serve as both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GeoipConfig {
    /// The .mmdb file with countries and cities (City, Country, Enterprise). The variable GEOIP_CITY_DB goes before.
    pub city: Option<PathBuf>,
    /// The .mmdb file with autonomous systems (ASN, ISP). The variable GEOIP_ASN_DB goes before.
    pub asn: Option<PathBuf>,
    /// How often the files are looked at for a replacement, in milliseconds. A file is read when two looks in a row
    /// found it changed and the same. 0: never.
    pub reload_interval_ms: u64,
}

impl Default for GeoipConfig {
    fn default() -> Self {
        Self { city: None, asn: None, reload_interval_ms: 5000 }
    }
}

/// Looking more often than this costs system calls and finds nothing.
const RELOAD_INTERVAL_MIN_MS: u64 = 10;

/// A value that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("enricher.{key}: {problem}")]
pub struct ConfigError {
    pub key: &'static str,
    pub problem: String,
}

impl EnricherConfig {
    /// Takes over what the environment sets: `variable` looks a variable up. An empty one counts as not set.
    pub fn apply_env(&mut self, variable: impl Fn(&str) -> Option<String>) {
        let path = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(city) = path("GEOIP_CITY_DB") {
            self.geoip.city = Some(city);
        }
        if let Some(asn) = path("GEOIP_ASN_DB") {
            self.geoip.asn = Some(asn);
        }
    }

    /// Checks what the types cannot say. Whether the files can be read shows when they are loaded.
    ///
    /// # Errors
    /// The first value that cannot work, and what would.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let interval = self.geoip.reload_interval_ms;
        if (1..RELOAD_INTERVAL_MIN_MS).contains(&interval) {
            let problem = format!("{interval} is too often: {RELOAD_INTERVAL_MIN_MS} or more, or 0 for never");
            return Err(ConfigError { key: "geoip.reload_interval_ms", problem });
        }
        Ok(())
    }
}

impl GeoipConfig {
    /// `None`: files are read once, at the start.
    pub fn reload_interval(&self) -> Option<Duration> {
        (self.reload_interval_ms > 0).then(|| Duration::from_millis(self.reload_interval_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<EnricherConfig, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn nothing_is_configured_by_default_and_that_is_valid() {
        let config = parse("{}").unwrap();
        assert_eq!(config, EnricherConfig::default());
        assert_eq!((config.geoip.city.as_ref(), config.validate()), (None, Ok(())));
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let error = parse(r#"{"geoip": {"town": "x.mmdb"}}"#).unwrap_err().to_string();
        assert!(error.contains("`town`") && error.contains("`city`"), "{error}");
    }

    #[test]
    fn the_environment_goes_before_the_file_and_empty_is_not_set() {
        let mut config = parse(r#"{"geoip": {"city": "a.mmdb", "asn": "b.mmdb"}}"#).unwrap();
        config.apply_env(|name| match name {
            "GEOIP_CITY_DB" => Some("/data/city.mmdb".into()),
            "GEOIP_ASN_DB" => Some(String::new()),
            _ => None,
        });
        assert_eq!(config.geoip.city, Some("/data/city.mmdb".into()));
        assert_eq!(config.geoip.asn, Some("b.mmdb".into()));
    }

    #[test]
    fn an_interval_is_long_enough_or_never() {
        let with = |json: &str| parse(json).unwrap();
        assert_eq!(
            with(r#"{"geoip": {"reload_interval_ms": 3}}"#).validate().unwrap_err().to_string(),
            "enricher.geoip.reload_interval_ms: 3 is too often: 10 or more, or 0 for never"
        );
        let never = with(r#"{"geoip": {"reload_interval_ms": 0}}"#);
        assert_eq!((never.validate(), never.geoip.reload_interval()), (Ok(()), None));
    }
}
