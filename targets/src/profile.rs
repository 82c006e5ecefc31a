//! Which profile a device has, and which collector then asks it for what.

use crate::config::{GnmiConfig, MatchConfig, ProbesConfig, ProfileConfig, SnmpConfig, TargetsConfig};
use crate::device::{Device, Named};

/// How one device is collected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Collection {
    /// Names of the profiles that it comes from, the first one first.
    pub profiles: Vec<String>,
    pub gnmi: Option<GnmiConfig>,
    pub snmp: Option<SnmpConfig>,
    pub probes: ProbesConfig,
}

impl Collection {
    fn is_empty(&self) -> bool {
        self.gnmi.is_none() && self.snmp.is_none() && !self.probes.icmp && self.probes.tcp.is_empty()
    }
}

/// Why a device is not collected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoCollection {
    /// No profile matches, or the first that does asks for nothing.
    NoProfile,
    /// The field that overrules has a word that means nothing.
    UnknownCollector(String),
    /// No profile that matches says how to ask by this collector.
    NotConfigured(&'static str),
}

/// Decides how a device is collected: by the first profile that matches, or by what the device's own field says.
pub(crate) fn choose(device: &Device, config: &TargetsConfig) -> Result<Collection, NoCollection> {
    let matching = || config.profiles.iter().filter(|profile| matches(&profile.r#match, device));
    let first = matching().next().ok_or(NoCollection::NoProfile)?;
    let words = words(&device.collectors)?;
    let mut chosen = Collection {
        profiles: vec![first.name.clone()],
        gnmi: first.gnmi.clone(),
        snmp: first.snmp.clone(),
        probes: first.probes.clone(),
    };
    let mut snmp_first = false;
    if !words.is_empty() {
        let mut find = |word, has: fn(&ProfileConfig) -> bool| {
            if !words.contains(&word) {
                return Ok(None);
            }
            let profile = matching().find(|profile| has(profile)).ok_or(NoCollection::NotConfigured(word))?;
            if !chosen.profiles.contains(&profile.name) {
                chosen.profiles.push(profile.name.clone());
            }
            Ok(Some(profile))
        };
        let gnmi = find("gnmi", |profile| profile.gnmi.is_some())?;
        let snmp = find("snmp", |profile| profile.snmp.is_some())?;
        chosen.gnmi = gnmi.and_then(|profile| profile.gnmi.clone());
        chosen.snmp = snmp.and_then(|profile| profile.snmp.clone());
        snmp_first = words.iter().find(|word| **word != "probes") == Some(&"snmp");
    }
    leave_overlaps_to_one(&mut chosen, config, snmp_first);
    if chosen.is_empty() { Err(NoCollection::NoProfile) } else { Ok(chosen) }
}

/// The words of the field that overrules, in its order.
fn words(text: &str) -> Result<Vec<&'static str>, NoCollection> {
    let separators = |char: char| char == ',' || char.is_whitespace();
    let known = |word: &str| {
        let word = word.to_ascii_lowercase();
        let found = ["gnmi", "snmp", "probes"].into_iter().find(|known| *known == word);
        found.ok_or(NoCollection::UnknownCollector(word))
    };
    text.split(separators).filter(|word| !word.is_empty()).map(known).collect()
}

/// Leaves what both collectors would ask for to one of them, so that nothing is counted twice.
fn leave_overlaps_to_one(chosen: &mut Collection, config: &TargetsConfig, snmp_first: bool) {
    let (Some(gnmi), Some(snmp)) = (&mut chosen.gnmi, &mut chosen.snmp) else { return };
    for overlap in &config.overlaps {
        let asked = gnmi.subscriptions.iter().any(|name| overlap.subscriptions.contains(name));
        let walked = snmp.modules.iter().any(|name| overlap.modules.contains(name));
        match (asked && walked, snmp_first) {
            (true, true) => gnmi.subscriptions.retain(|name| !overlap.subscriptions.contains(name)),
            (true, false) => snmp.modules.retain(|name| !overlap.modules.contains(name)),
            (false, _) => {}
        }
    }
    if gnmi.subscriptions.is_empty() {
        chosen.gnmi = None;
    }
    if snmp.modules.is_empty() {
        chosen.snmp = None;
    }
}

/// Whether every list that is not empty has a pattern for the device.
fn matches(r#match: &MatchConfig, device: &Device) -> bool {
    let MatchConfig { platforms, roles, manufacturers, sites, tenants, tags } = r#match;
    let named = |patterns: &[String], value: &Named| {
        patterns.is_empty() || patterns.iter().any(|pattern| fits(pattern, &value.slug) || fits(pattern, &value.name))
    };
    named(platforms, &device.platform)
        && named(roles, &device.role)
        && named(manufacturers, &device.manufacturer)
        && named(sites, &device.site)
        && named(tenants, &device.tenant)
        && (tags.is_empty() || device.tags.iter().any(|tag| named(tags, tag)))
}

/// Whether a text is what a pattern says; `*` stands for any characters, and letters are compared without case.
fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_lowercase(), text.to_lowercase());
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut pieces = pieces.peekable();
    if pieces.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Source;

    fn device(platform: &str, collectors: &str) -> Device {
        Device {
            platform: Named { name: platform.to_uppercase(), slug: platform.to_owned() },
            collectors: collectors.to_owned(),
            tags: vec![Named { name: "Core network".to_owned(), slug: "core".to_owned() }, Named::plain("lab-1")],
            ..Device::new(Source::Device(1))
        }
    }

    fn profile(name: &str, platform: &str, with_gnmi: bool, with_snmp: bool) -> ProfileConfig {
        let gnmi = GnmiConfig { subscriptions: vec!["interfaces".into(), "lldp".into()], ..GnmiConfig::default() };
        let snmp = SnmpConfig { modules: vec!["if_mib".into(), "entity_sensor".into()], ..SnmpConfig::default() };
        ProfileConfig {
            name: name.to_owned(),
            r#match: MatchConfig { platforms: vec![platform.to_owned()], ..MatchConfig::default() },
            gnmi: with_gnmi.then_some(gnmi),
            snmp: with_snmp.then_some(snmp),
            probes: ProbesConfig::default(),
        }
    }

    fn config(profiles: Vec<ProfileConfig>) -> TargetsConfig {
        TargetsConfig { profiles, ..TargetsConfig::default() }
    }

    fn asked(collection: &Collection) -> (Vec<&str>, Vec<&str>) {
        (
            collection.gnmi.iter().flat_map(|gnmi| &gnmi.subscriptions).map(String::as_str).collect(),
            collection.snmp.iter().flat_map(|snmp| &snmp.modules).map(String::as_str).collect(),
        )
    }

    #[test]
    fn of_two_profiles_that_match_the_first_counts() {
        let config = config(vec![profile("one", "eos*", true, false), profile("two", "*", false, true)]);
        let chosen = choose(&device("eos-4", ""), &config).unwrap();
        assert_eq!((chosen.profiles, chosen.snmp), (vec!["one".to_owned()], None));
        assert_eq!(choose(&device("junos", ""), &config).unwrap().profiles, ["two"]);
    }

    #[test]
    fn what_both_would_count_only_one_is_asked_for() {
        let config = config(vec![profile("both", "*", true, true)]);
        for (field, gnmi, snmp) in [
            ("", vec!["interfaces", "lldp"], vec!["entity_sensor"]),
            ("gnmi, snmp", vec!["interfaces", "lldp"], vec!["entity_sensor"]),
            ("snmp,gnmi", vec!["lldp"], vec!["if_mib", "entity_sensor"]),
            ("SNMP", vec![], vec!["if_mib", "entity_sensor"]),
            ("gnmi", vec!["interfaces", "lldp"], vec![]),
            ("probes", vec![], vec![]),
        ] {
            assert_eq!(asked(&choose(&device("x", field), &config).unwrap()), (gnmi, snmp), "{field}");
        }
    }

    #[test]
    fn the_field_that_overrules_takes_its_settings_from_a_later_profile() {
        let config = config(vec![profile("one", "eos", true, false), profile("two", "*", false, true)]);
        let chosen = choose(&device("eos", "snmp"), &config).unwrap();
        assert_eq!(
            (asked(&chosen).1, &*chosen.profiles),
            (vec!["if_mib", "entity_sensor"], &["one".to_owned(), "two".to_owned()][..])
        );
        assert_eq!(choose(&device("junos", "gnmi"), &config), Err(NoCollection::NotConfigured("gnmi")));
        assert_eq!(choose(&device("junos", "telnet"), &config), Err(NoCollection::UnknownCollector("telnet".into())));
    }

    #[test]
    fn patterns_have_any_number_of_stars() {
        for (pattern, text, fit) in [
            ("eos", "EOS", true),
            ("eos", "eos-4", false),
            ("eos*", "eos-4", true),
            ("*", "", true),
            ("", "", true),
            ("*-x*r", "nx-x9-or", true),
            ("a*a", "a", false),
            ("*os", "ios-xe", false),
            ("c*o*s", "cisco-ios", true),
        ] {
            assert_eq!(fits(pattern, text), fit, "{pattern} {text}");
        }
    }

    #[test]
    fn every_list_of_a_match_has_to_fit() {
        let list = |text: &str| vec![text.to_owned()];
        let both = |platform: &str, tag: &str| MatchConfig {
            platforms: list(platform),
            tags: list(tag),
            ..MatchConfig::default()
        };
        let device = device("eos", "");
        assert!(matches(&both("eos", "lab-*"), &device) && matches(&MatchConfig::default(), &device));
        // A slug and a name are both what NetBox shows for a tag.
        assert!(matches(&both("eos", "core"), &device) && matches(&both("eos", "core network"), &device));
        assert!(!matches(&both("eos", "edge"), &device) && !matches(&both("junos", "core"), &device));
    }
}
