//! Finds values that make no sense before any server is asked.

use std::collections::HashSet;

use helios_advice::outside;

use crate::parts::PARTS_MAX;

use super::{GnmiConfig, GnmiTlsMode, ProfileConfig, TargetsConfig};

/// A value that makes no sense, and what would.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct ConfigError {
    /// The key, below the section.
    pub key: &'static str,
    /// What is wrong and what would work, as the end of a sentence.
    pub problem: String,
}

impl TargetsConfig {
    /// Checks every value by itself and against the others.
    ///
    /// # Errors
    /// Every mistake, in the order of the keys.
    pub fn validate(&self) -> Result<(), Vec<ConfigError>> {
        let mut mistakes = Vec::new();
        let mut expect = |right: bool, key: &'static str, problem: &str| {
            if !right {
                mistakes.push(ConfigError { key, problem: problem.into() });
            }
        };
        expect(!self.statuses.is_empty(), "statuses", "with no status no device is a target");
        let loss = outside(self.max_loss, 0.0, 1.0);
        expect(loss.is_none(), "max_loss", loss.as_deref().unwrap_or_default());
        let parts = outside(self.gnmic_parts, 1, PARTS_MAX);
        expect(parts.is_none(), "gnmic_parts", parts.as_deref().unwrap_or_default());
        let mut names = HashSet::new();
        for profile in &self.profiles {
            if let Some(problem) = profile_problem(profile) {
                expect(false, "profiles", &format!("profile `{}`: {problem}", profile.name));
            }
            expect(names.insert(&profile.name), "profiles", &format!("two profiles are named `{}`", profile.name));
        }
        if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
    }
}

fn profile_problem(profile: &ProfileConfig) -> Option<&'static str> {
    if profile.name.is_empty() {
        return Some("give it a name");
    }
    if let Some(snmp) = &profile.snmp {
        if snmp.port == 0 {
            return Some("snmp.port is 0");
        }
        if snmp.modules.is_empty() || snmp.modules.iter().any(|name| name.is_empty() || name.contains(',')) {
            return Some("snmp.modules: name at least one module, none of them with a comma");
        }
        if snmp.auth.is_empty() {
            return Some("snmp.auth: name an entry of snmp_exporter's auths");
        }
    }
    if profile.probes.tcp.contains(&0) {
        return Some("probes.tcp: there is no port 0");
    }
    profile.gnmi.as_ref().and_then(gnmi_problem)
}

fn gnmi_problem(gnmi: &GnmiConfig) -> Option<&'static str> {
    let variable = |name: &String| {
        !name.is_empty()
            && !name.as_bytes()[0].is_ascii_digit()
            && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'_')
    };
    if gnmi.port == 0 {
        return Some("gnmi.port is 0");
    }
    if gnmi.subscriptions.is_empty() || gnmi.subscriptions.iter().any(String::is_empty) {
        return Some("gnmi.subscriptions: name at least one subscription of gnmic's configuration");
    }
    if ![&gnmi.username_variable, &gnmi.password_variable].into_iter().flatten().all(variable) {
        return Some("gnmi: name environment variables (letters, digits, underscores), not the credentials themselves");
    }
    let tls = &gnmi.tls;
    if tls.cert_file.is_some() != tls.key_file.is_some() {
        return Some("gnmi.tls: cert_file and key_file go together");
    }
    let idle = tls.ca_file.is_some() || tls.cert_file.is_some() || tls.server_name.is_some();
    if tls.mode == GnmiTlsMode::Off && idle {
        return Some(
            "gnmi.tls: mode `off` ignores certificates: leave ca_file, cert_file, key_file and server_name out",
        );
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{GnmiTlsConfig, SnmpConfig};

    fn keys(change: impl FnOnce(&mut TargetsConfig)) -> Vec<&'static str> {
        let mut config = TargetsConfig::default();
        change(&mut config);
        config.validate().err().unwrap_or_default().iter().map(|mistake| mistake.key).collect()
    }

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(TargetsConfig::default().validate(), Ok(()));
        let config: TargetsConfig = serde_json::from_str("{}").unwrap();
        assert_eq!(config, TargetsConfig::default());
    }

    #[test]
    fn every_mistake_is_named() {
        let found = keys(|config| {
            config.statuses.clear();
            config.max_loss = f64::NAN;
        });
        assert_eq!(found, ["statuses", "max_loss"]);
    }

    #[test]
    fn a_profile_holds_names_of_variables_and_no_credentials() {
        let with = |change: fn(&mut ProfileConfig)| {
            keys(|config| {
                let mut profile =
                    ProfileConfig { name: "x".into(), gnmi: Some(GnmiConfig::default()), ..ProfileConfig::default() };
                change(&mut profile);
                config.profiles = vec![profile];
            })
        };
        assert_eq!(with(|_| {}), [""; 0]);
        assert_eq!(
            with(|profile| profile.gnmi.as_mut().unwrap().password_variable = Some("s3cr$t".into())),
            ["profiles"]
        );
        assert_eq!(with(|profile| profile.gnmi.as_mut().unwrap().port = 0), ["profiles"]);
        assert_eq!(with(|profile| profile.name.clear()), ["profiles"]);
        assert_eq!(
            with(|profile| profile.snmp = Some(SnmpConfig { auth: String::new(), ..SnmpConfig::default() })),
            ["profiles"]
        );
        assert_eq!(
            with(|profile| {
                let tls = GnmiTlsConfig { cert_file: Some("c.pem".into()), ..GnmiTlsConfig::default() };
                profile.gnmi.as_mut().unwrap().tls = tls;
            }),
            ["profiles"]
        );
        assert_eq!(keys(|config| config.profiles.push(config.profiles[0].clone())), ["profiles"]);
    }
}
