//! The default profiles. Subscriptions and modules are those of collectors/.

use super::{
    Encoding, GnmiConfig, GnmiTlsConfig, MatchConfig, OverlapConfig, ProbesConfig, ProfileConfig, SnmpConfig,
    TargetsConfig,
};

impl Default for TargetsConfig {
    fn default() -> Self {
        Self {
            directory: None,
            static_file: None,
            statuses: vec!["active".into()],
            virtual_machines: true,
            max_loss: 0.5,
            gnmic_parts: 1,
            overlaps: overlaps(),
            profiles: profiles(),
        }
    }
}

impl Default for GnmiConfig {
    fn default() -> Self {
        Self {
            // IANA's port of gNMI.
            port: 9339,
            subscriptions: strings(&["interfaces", "bgp", "system", "platform", "lldp"]),
            encoding: Encoding::default(),
            tls: GnmiTlsConfig::default(),
            username_variable: None,
            password_variable: None,
        }
    }
}

impl Default for SnmpConfig {
    fn default() -> Self {
        Self {
            port: 161,
            modules: strings(&["system", "if_mib", "host_resources", "bgp4_mib", "entity_sensor"]),
            auth: "helios_v3".into(),
        }
    }
}

impl Default for ProbesConfig {
    fn default() -> Self {
        Self { icmp: true, tcp: Vec::new() }
    }
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn overlaps() -> Vec<OverlapConfig> {
    let overlap = |subscriptions: &[&str], modules: &[&str]| OverlapConfig {
        subscriptions: strings(subscriptions),
        modules: strings(modules),
    };
    vec![
        overlap(&["interfaces", "srl_interfaces"], &["if_mib"]),
        overlap(&["bgp", "srl_bgp"], &["bgp4_mib"]),
        overlap(&["system", "srl_system"], &["system", "host_resources"]),
        overlap(&["platform", "srl_platform"], &["entity_sensor"]),
    ]
}

/// Platforms whose gNMI server has a port of its own by default, then everything else by SNMP.
fn profiles() -> Vec<ProfileConfig> {
    let gnmi = |name: &str, platforms: &[&str], gnmi: GnmiConfig| ProfileConfig {
        name: name.to_owned(),
        r#match: MatchConfig { platforms: strings(platforms), ..MatchConfig::default() },
        gnmi: Some(gnmi),
        ..ProfileConfig::default()
    };
    let port = |port| GnmiConfig { port, ..GnmiConfig::default() };
    let native = strings(&["srl_interfaces", "srl_bgp", "srl_system", "srl_platform"]);
    vec![
        gnmi("srlinux", &["*srlinux*", "*sr-linux*"], GnmiConfig { subscriptions: native, ..port(57400) }),
        gnmi("eos", &["*eos*"], port(6030)),
        gnmi("iosxr", &["*ios-xr*", "*iosxr*"], port(57400)),
        gnmi("junos", &["*junos*"], port(32767)),
        gnmi("sonic", &["*sonic*"], port(8080)),
        ProfileConfig { name: "snmp".into(), snmp: Some(SnmpConfig::default()), ..ProfileConfig::default() },
    ]
}
