//! The metrics of the whole process: every component's own, in the order of a scrape.
//!
//! A component declares its metrics where it counts them ([`helios_metrics::metrics!`]); a metric that is added there is
//! in the scrape, in docs/metrics.md and in tests/data/metrics.txt. Labels come from closed sets, except `exporter`, which
//! is capped ([`exporters`]).

use helios_collector::decode::tally;
use helios_collector::metrics::{self as collector, exporters};
use helios_metrics::{Metric, Scrape};
use helios_service::process::{self, Process};

use crate::pipeline::View;
use identities::Identities;

mod identities;
mod pipeline;

/// Every metric, in the order of a scrape. Dashboards and alerts may only use these: tests/data/metrics.txt has the list.
pub fn declarations() -> Vec<&'static Metric> {
    let process = process::METRICS.metrics().chain(pipeline::METRICS.metrics());
    let collector = collector::COUNTS.metrics().chain(tally::METRICS.metrics()).chain(collector::METRICS.metrics());
    let exporters =
        exporters::METRICS.metrics().chain(tally::BY_EXPORTER.metrics()).chain(identities::METRICS.metrics());
    let names = helios_enricher::metrics::METRICS.metrics().chain(helios_netbox::metrics::METRICS.metrics());
    process.chain(collector).chain(exporters).chain(names).chain(helios_sink::metrics::METRICS.metrics()).collect()
}

/// The state of a pipeline in the text form of OpenMetrics.
pub fn text(view: &View) -> String {
    let snapshot = view.snapshot();
    let mut out = Scrape::default();
    out.write(&process::METRICS, &Process::read(env!("CARGO_PKG_VERSION"), env!("HELIOS_COMMIT"), view.started()));
    out.write(&pipeline::METRICS, &snapshot);
    let total = snapshot.collector.total();
    out.write(&collector::COUNTS, &total);
    out.write(&tally::METRICS, &total.tally);
    out.write(&collector::METRICS, &snapshot.collector);
    let exporters = exporters::Exporters::new(&snapshot.exporters);
    out.write(&exporters::METRICS, &exporters);
    out.write(&tally::BY_EXPORTER, &exporters.tallies());
    let own = snapshot.exporters.own.iter().map(|exporter| exporter.address);
    out.write(&identities::METRICS, &Identities::new(view.identities(own)));
    out.write(&helios_enricher::metrics::METRICS, &snapshot.enricher);
    out.write(&helios_netbox::metrics::METRICS, &snapshot.netbox);
    out.write(&helios_sink::metrics::METRICS, &snapshot.sink);
    out.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use helios_metrics::MetricKind;

    #[test]
    fn names_follow_the_conventions() {
        for metric in declarations() {
            let name = metric.name;
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{name}");
            let stages = ["build", "exporter", "pipeline", "collector", "enricher", "netbox", "sink"];
            let stage = name.strip_prefix("helios_").and_then(|rest| rest.split('_').next());
            assert!(name.starts_with("process_") || stage.is_some_and(|stage| stages.contains(&stage)), "{name}");
            assert_eq!(metric.kind == MetricKind::Counter, name.ends_with("_total"), "{name}");
            assert!(!metric.help.is_empty() && !metric.help.ends_with('.') && !metric.help.contains('\n'), "{name}");
        }
    }

    #[test]
    fn no_name_is_used_twice() {
        let mut names: Vec<_> = declarations().iter().map(|metric| metric.name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
