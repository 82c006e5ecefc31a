//! Metrics: read from the stages' own counters at the moment of a scrape.
//!
//! Start at [`table`], where each metric has its name, type, labels and help once; docs/metrics.md and
//! tests/data/metrics.txt follow from it. The stages count in plain integers of their own; nothing here is on the way
//! of a flow, and a process that is not scraped pays nothing for its metrics.
//!
//! Labels come from closed sets, except `exporter`, which is capped ([`exporters`]).

use prometheus_client::registry::Registry;

pub mod table;
mod scrape;
mod collector;
mod exporters;
mod enricher;
mod netbox;
mod sink;
mod pipeline;
mod process;

use crate::pipeline::View;
use scrape::Scrape;

/// Content type of what [`text`] returns (OpenMetrics 1.0 §4).
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The state of a pipeline in the text form of OpenMetrics.
pub fn text(view: &View) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Source { view: view.clone() }));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).expect("a String takes whatever is written");
    text
}

/// prometheus-client asks collectors for their metrics when it encodes.
#[derive(Debug)]
struct Source {
    view: View,
}

impl prometheus_client::collector::Collector for Source {
    fn encode(&self, encoder: prometheus_client::encoding::DescriptorEncoder<'_>) -> std::fmt::Result {
        let snapshot = self.view.snapshot();
        let mut out = Scrape::new(encoder);
        process::write(&mut out, &self.view)?;
        pipeline::write(&mut out, &snapshot)?;
        collector::write(&mut out, &snapshot.collector)?;
        exporters::write(&mut out, &snapshot.exporters)?;
        enricher::write(&mut out, &snapshot.enricher)?;
        netbox::write(&mut out, snapshot.netbox.as_ref())?;
        sink::write(&mut out, &snapshot.sink)
    }
}
