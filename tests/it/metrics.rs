//! tests/data/metrics.txt and docs/metrics.md follow from the declarations of the components, and a scrape has what they say.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;

use helios::metrics::declarations;
use helios_metrics::{Metric, MetricKind};

use crate::expect::{expect, head, pages};
use crate::running::{Helios, wait_for};

const LIST: &str = "tests/data/metrics.txt";
const PAGE: &str = "docs/metrics.md";
const GENERATED: &str = "<!-- From here on written from each component's metrics.rs by tests/it/metrics.rs. -->";

#[test]
fn the_list_of_metrics_is_up_to_date() {
    let line = |metric: &Metric| format!("{} {} {}\n", metric.name, metric.kind.name(), metric.labels.join(","));
    let lines: Vec<String> = declarations().iter().map(|metric| line(metric).replace(" \n", "\n")).collect();
    expect(LIST, &lines.concat());
}

#[test]
fn the_page_of_metrics_is_up_to_date() {
    let mut text = head(PAGE, GENERATED);
    text.push_str("\n| metric | type | labels | |\n|---|---|---|---|\n");
    for Metric { name, kind, labels, help } in declarations() {
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        text.push_str(&format!("| `{name}` | {} | {} | {help} |\n", kind.name(), labels.join(", ")));
    }
    expect(PAGE, &text);
}

/// Metrics that `helios run` does not have: the unit that runs `helios targets` writes this one for node_exporter
/// (docs/targets.md).
const OF_OTHERS: &[&str] = &["helios_targets_last_success_timestamp_seconds"];

/// Where `helios-operator` declares its metrics. This package does not depend on it.
const OF_THE_OPERATOR: &str = "runbooks/src/kubernetes/operator.rs";

/// Whether a page may say it: a metric, a series of a histogram, or `helios_sink_` for all that begin so.
fn is_known(word: &str, of_the_operator: &str) -> bool {
    if OF_OTHERS.contains(&word) || of_the_operator.contains(&format!("\"{word}\"")) {
        return true;
    }
    let base = word.strip_suffix("_bucket").or_else(|| word.strip_suffix("_count")).unwrap_or(word);
    declarations().iter().any(|Metric { name, .. }| *name == base || (word.ends_with('_') && name.starts_with(word)))
}

#[test]
fn every_page_names_metrics_that_exist() {
    let mut named = 0;
    let of_the_operator = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(OF_THE_OPERATOR)).unwrap();
    for (path, text) in pages() {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        // Of one word more are the crates (`helios_sink=debug`) and the local database of a cluster.
        let names = words.filter(|word| word.starts_with("helios_") && word.matches('_').count() > 1);
        for word in names {
            assert!(is_known(word, &of_the_operator), "{} names {word}, which does not exist", path.display());
            named += 1;
        }
    }
    assert!(named >= 100, "only {named} metrics are named");
}

/// Name, type and label names of everything on the page.
fn scraped(page: &str) -> BTreeSet<(String, &'static str)> {
    let kinds = [MetricKind::Counter, MetricKind::Gauge, MetricKind::Histogram];
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types
        .map(|line| {
            let (name, kind) = line.split_once(' ').unwrap();
            let kind = kinds.iter().find(|known| known.name() == kind).unwrap();
            let suffix = if *kind == MetricKind::Counter { "_total" } else { "" };
            (format!("{name}{suffix}"), kind.name())
        })
        .collect()
}

#[test]
fn a_scrape_has_exactly_what_the_table_says() {
    let nobody = format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let helios = Helios::start(&nobody, &[]);
    let (status, page) = wait_for("a scrape", || helios.get("/metrics"));
    assert_eq!(status, 200);
    let expected: BTreeSet<_> =
        declarations().iter().map(|metric| (metric.name.to_owned(), metric.kind.name())).collect();
    assert_eq!(scraped(&page), expected);
    assert!(page.contains("# EOF"), "the page is cut");
    for metric in declarations() {
        let sample = page.lines().find(|line| line.strip_prefix(metric.name).is_some_and(|rest| rest.starts_with('{')));
        let Some(sample) = sample else { continue };
        let labels: Vec<&str> = sample
            .split_once('{')
            .unwrap()
            .1
            .split("\",")
            .filter_map(|label| label.split_once('='))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(labels, metric.labels, "{sample}");
    }
}
