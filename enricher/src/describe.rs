//! What the section `enricher` means, for `helios check`.

use std::path::PathBuf;

use helios_advice::counted;
use helios_web::address::place;

use crate::config::EnricherConfig;

impl EnricherConfig {
    /// Sources of names beside GeoIP and NetBox, a line each. Opens none of them.
    pub fn describe(&self) -> Vec<(&'static str, String)> {
        let file = |what: &'static str| move |path: &PathBuf| format!("{what} from {}", path.display());
        let mut lines: Vec<String> = self.networks.files.iter().map(file("networks")).collect();
        let servers = self.networks.http.iter();
        lines.extend(servers.map(|source| {
            format!("networks from {} every {} s", place(&source.url), secs(source.refresh_interval_ms))
        }));
        let prometheus = &self.interfaces.prometheus;
        let interval = secs(prometheus.refresh_interval_ms);
        lines.extend(prometheus.url.iter().map(|url| format!("interfaces from {} every {interval} s", place(url))));
        lines.extend(self.inventory.files.iter().map(file("devices")));
        let (exporters, interfaces) = (self.rules.exporters.len(), self.rules.interfaces.len());
        if exporters + interfaces > 0 {
            let (exporters, interfaces) = (counted(exporters as u64, "rule"), counted(interfaces as u64, "rule"));
            lines.push(format!("{exporters} for exporters, {interfaces} for interfaces"));
        }
        lines.into_iter().map(|line| ("names", line)).collect()
    }
}

/// Milliseconds in seconds.
fn secs(ms: u64) -> f64 {
    ms as f64 / 1000.0
}
