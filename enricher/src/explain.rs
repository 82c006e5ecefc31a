//! Where every name of an exporter and an interface comes from: what `helios check --explain` prints.
//!
//! It asks the configured sources as a running Helios does, with one difference: what the exporter itself says in
//! options data is not known here. That goes before the interface's name and description.

use std::fmt::Write as _;
use std::net::IpAddr;

use helios_common::exporter::{address_of, ip_of};
use helios_common::names::{NO_NAME, NameId, Names};

use crate::inventory::canonical;
use crate::inventory::merge::{Merged, MergedDevice, MergedInterface, NO_SOURCE, SourceId};
use crate::rules::Set;
use crate::sources::Sources;

/// Columns in front of the values and of their origins.
const VALUE_COLUMN: usize = 16;
const ORIGIN_COLUMN: usize = 32;

/// Explains an exporter, by address or name, and one of its interfaces, by ifIndex or name.
pub fn explain(sources: &Sources, names: &Names, exporter: &str, interface: Option<&str>) -> String {
    let merged = sources.merged();
    let mut page = Page { labels: sources.labels(), names, out: String::new() };
    let device = find_device(&merged, names, exporter);
    let exporter_name = page.exporter(sources, exporter, device);
    if let Some(interface) = interface {
        page.interface(sources, &exporter_name, interface, device);
    }
    page.out
}

fn find_device<'a>(merged: &'a Merged, names: &Names, exporter: &str) -> Option<&'a MergedDevice> {
    match exporter.parse::<IpAddr>() {
        Ok(ip) => merged.at(address_of(ip)),
        Err(_) => merged.named(names.intern(exporter)),
    }
}

fn find_interface<'a>(device: &'a MergedDevice, names: &Names, interface: &str) -> Option<&'a MergedInterface> {
    if let Ok(index) = interface.parse::<u32>() {
        // Interfaces without a known ifIndex have index 0.
        return device.interfaces.iter().find(|known| index != 0 && known.index.value == index);
    }
    let (name, short) = (names.intern(interface), canonical(interface));
    let exact = device.interfaces.iter().find(|known| known.name.value == name);
    exact.or_else(|| {
        let mut fitting = device.interfaces.iter().filter(|known| short == Some(known.canonical));
        fitting.next().filter(|_| fitting.next().is_none())
    })
}

struct Page<'a> {
    labels: Vec<String>,
    names: &'a Names,
    out: String,
}

impl Page<'_> {
    /// Returns the name that rules go by.
    fn exporter(&mut self, sources: &Sources, asked: &str, device: Option<&MergedDevice>) -> String {
        self.head("exporter", asked);
        let nothing = MergedDevice::default();
        let known = device.unwrap_or(&nothing);
        let name = match known.name.value {
            NO_NAME => asked.to_owned(),
            name => self.text(name),
        };
        match device {
            Some(_) => self.value("name", &name, self.source(known.name.source)),
            None => self.value("name", &name, "no source knows this exporter: it is called by its address".to_owned()),
        }
        let class = sources.rules().exporter(&name, self.names);
        self.ruled("site", known.site.value, known.site.source, class.site, "exporters");
        self.ruled("region", known.region.value, known.region.source, class.region, "exporters");
        self.ruled("role", known.role.value, known.role.source, class.role, "exporters");
        self.ruled("tenant", known.tenant.value, known.tenant.source, class.tenant, "exporters");
        self.ruled("group", NO_NAME, NO_SOURCE, class.group, "exporters");
        for (address, source) in &known.addresses {
            self.value("address", &ip_of(*address).to_string(), self.source(*source));
        }
        name
    }

    fn interface(&mut self, sources: &Sources, exporter: &str, asked: &str, device: Option<&MergedDevice>) {
        self.head("interface", asked);
        let nothing = MergedInterface::default();
        let found = device.and_then(|device| find_interface(device, self.names, asked));
        let known = found.unwrap_or(&nothing);
        let mut name = self.text(known.name.value);
        if found.is_none() && asked.parse::<u32>().is_err() {
            // As if the exporter itself had called it so.
            asked.clone_into(&mut name);
        }
        let description = self.text(known.description.value);
        if found.is_none() {
            self.value("", "", "no source knows this interface".to_owned());
        }
        let number = |number: u64| if number == 0 { String::new() } else { number.to_string() };
        self.value("index", &number(known.index.value.into()), self.source(known.index.source));
        self.value("name", &name, self.source(known.name.source));
        self.value("description", &description, self.source(known.description.source));
        self.value("speed", &number(known.speed.value), self.source(known.speed.source));
        let class = sources.rules().interface(exporter, &name, &description, self.names);
        self.ruled("role", known.role.value, known.role.source, class.role, "interfaces");
        self.ruled("provider", NO_NAME, NO_SOURCE, class.provider, "interfaces");
        self.ruled("connectivity", NO_NAME, NO_SOURCE, class.connectivity, "interfaces");
        let boundaries = helios_common::columns::BOUNDARIES;
        let label = boundaries.iter().find(|(value, _)| *value == class.boundary.value).map_or("", |(_, label)| label);
        let by = class.boundary.rule.map_or(String::new(), |rule| rule_name("interfaces", rule));
        self.value("boundary", if class.boundary.rule.is_some() { label } else { "" }, by);
    }

    fn text(&self, name: NameId) -> String {
        self.names.read().get(name).to_owned()
    }

    fn source(&self, source: SourceId) -> String {
        self.labels.get(usize::from(source)).cloned().unwrap_or_default()
    }

    fn head(&mut self, what: &str, asked: &str) {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(self.out, "{what:<VALUE_COLUMN$}{asked}");
    }

    /// A value by rule, or that of a source.
    fn ruled(&mut self, field: &str, known: NameId, source: SourceId, set: Set<NameId>, list: &str) {
        match set.rule {
            Some(rule) => self.value(field, &self.text(set.value), rule_name(list, rule)),
            None => self.value(field, &self.text(known), self.source(source)),
        }
    }

    fn value(&mut self, field: &str, value: &str, origin: String) {
        let value = if value.is_empty() { "-" } else { value };
        let line = format!("  {field:<width$}{value:<ORIGIN_COLUMN$}{origin}", width = VALUE_COLUMN - 2);
        let _ = writeln!(self.out, "{}", line.trim_end());
    }
}

fn rule_name(list: &str, rule: u16) -> String {
    format!("enricher.rules.{list}, rule {}", rule + 1)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::sources::Remotes;

    #[test]
    fn every_value_has_its_source_or_rule() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("devices.yaml");
        let yaml = "devices: [{name: edge1, addresses: [192.0.2.1], site: fra, interfaces: [
            {name: xe-0/0/9}, {index: 7, name: xe-0/0/0, description: 'transit: Arelion', role: uplink}]}]";
        std::fs::write(&path, yaml).unwrap();
        let config = serde_json::json!({
            "inventory": {"files": [path]},
            "rules": {"exporters": [{"match_name": "^edge", "group": "edges"}],
                      "interfaces": [{"match_name": "ge", "provider": "x"},
                                     {"match_description": "transit: (.*)", "provider": "$1", "boundary": "external"}]}
        });
        let names = Arc::new(Names::new());
        let config = serde_json::from_value(config).unwrap();
        let (sources, _) = Sources::open(&config, vec![], Remotes::AskOnce, &names).unwrap();
        let page = explain(&sources, &names, "192.0.2.1", Some("7"));
        let line = |start: &str| {
            let found = page.lines().find(|line| line.trim_start().starts_with(start));
            found.unwrap_or_else(|| panic!("{page}")).split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let file = format!("inventory:{}", path.display());
        assert_eq!(line("site"), format!("site fra {file}"));
        assert_eq!(line("group"), "group edges enricher.rules.exporters, rule 1");
        assert_eq!(line("provider"), "provider Arelion enricher.rules.interfaces, rule 2");
        assert_eq!(line("boundary"), "boundary external enricher.rules.interfaces, rule 2");
        assert_eq!(line("connectivity"), "connectivity -");
        assert_eq!(explain(&sources, &names, "edge1", Some("xe-0/0/0")).lines().count(), page.lines().count());
        assert!(!explain(&sources, &names, "192.0.2.1", Some("0")).contains("xe-0/0/9"));
        let unknown = explain(&sources, &names, "198.51.100.9", Some("ge-1"));
        assert!(unknown.contains("no source knows this exporter") && unknown.contains("rule 1"), "{unknown}");
    }
}
