//! What exporters are called: a series to join their other series with, and those of the metrics collectors.

use helios_common::exporter::{Address, ip_of};
use helios_enricher::identity::Identity;

/// Exporters that have series of their own, by the value of their label `exporter`.
#[derive(Debug)]
pub(super) struct Identities(Vec<(String, Identity)>);

impl Identities {
    /// Leaves out exporters without a name: once the enricher has stopped, that is all of them.
    pub(super) fn new(identities: Vec<(Address, Identity)>) -> Self {
        let named = identities.into_iter().filter(|(_, identity)| !identity.name.is_empty());
        Self(named.map(|(address, identity)| (ip_of(address).to_string(), identity)).collect())
    }

    fn samples(&self) -> impl Iterator<Item = ([&str; 6], u64)> {
        self.0.iter().map(|(exporter, Identity { name, site, region, role, tenant, .. })| {
            ([exporter.as_str(), name, site, region, role, tenant], 1)
        })
    }
}

helios_metrics::metrics! {
    /// Names of exporters.
    pub METRICS of Identities {
        Gauge "helios_exporter_info" ["exporter", "device", "site", "region", "role", "tenant"] "Always 1; the labels are the exporter's address and what its flows have in exporter_name, exporter_site and so on. `other` has none" =
            |identities, out| out.all(identities.samples());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use helios_common::exporter::mapped;
    use helios_metrics::Scrape;

    #[test]
    fn who_has_no_name_has_no_series() {
        let named = Identity { name: "edge \"1\"".into(), site: "fra".into(), known: true, ..Identity::default() };
        let nameless = Identity::default();
        let mut scrape = Scrape::default();
        scrape.write(
            &METRICS,
            &Identities::new(vec![(mapped([192, 0, 2, 1]), named), (mapped([192, 0, 2, 2]), nameless)]),
        );
        let text = scrape.finish();
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            samples,
            [
                r#"helios_exporter_info{exporter="192.0.2.1",device="edge \"1\"",site="fra",region="",role="",tenant=""} 1"#
            ]
        );
    }
}
