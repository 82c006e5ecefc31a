//! Declarations.

use crate::text::Samples;

/// How a metric behaves over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows, until the process restarts.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size, in buckets that only grow.
    Histogram,
}

impl MetricKind {
    /// The name of the type in the text form.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// What is known of a metric before it has a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// `helios_<component>_<noun>_<unit>`, with `_total` at the end of a counter's.
    pub name: &'static str,
    /// Its type.
    pub kind: MetricKind,
    /// Names of the labels, in the order in which samples give their values.
    pub labels: &'static [&'static str],
    /// One sentence without a full stop.
    pub help: &'static str,
}

/// A metric, and how its samples are read from what a component counted.
#[derive(Debug)]
pub struct Entry<S: 'static> {
    /// The declaration.
    pub metric: Metric,
    /// Writes the samples of what was counted.
    pub write: fn(&S, &mut Samples<'_>),
}

impl<S> Entry<S> {
    /// A counter. `write` reads its samples.
    pub const fn counter(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
        write: fn(&S, &mut Samples<'_>),
    ) -> Self {
        Self { metric: Metric { name, kind: MetricKind::Counter, labels, help }, write }
    }
}

/// The metrics of a component, in the order of a scrape. `S` is what the component counted.
#[derive(Debug)]
pub struct Table<S: 'static>(pub &'static [Entry<S>]);

impl<S> Table<S> {
    /// The declarations.
    pub fn metrics(&self) -> impl Iterator<Item = &'static Metric> + use<S> {
        self.0.iter().map(|entry| &entry.metric)
    }
}

/// Declares the metrics of a component: type, name, labels, help, and how the samples are read.
///
/// ```
/// struct Counts { batches: u64, rows: [u64; 2] }
///
/// helios_metrics::metrics! {
///     /// What the worker counts.
///     pub METRICS of Counts {
///         Counter "helios_worker_batches_total" [] "Batches taken" = |counts, out| out.one(counts.batches);
///         Counter "helios_worker_rows_total" ["kind"] "Rows of these batches, by kind" =
///             |counts, out| out.all([["flow"], ["counter"]].into_iter().zip(counts.rows));
///     }
/// }
/// assert_eq!(METRICS.metrics().count(), 2);
/// ```
#[macro_export]
macro_rules! metrics {
    (
        $(#[$meta:meta])*
        $vis:vis $table:ident of $stats:ty {
            $($kind:ident $name:literal [$($label:literal),*] $help:literal = $write:expr;)*
        }
    ) => {
        $(#[$meta])*
        $vis const $table: $crate::Table<$stats> = $crate::Table(&[$(
            $crate::Entry {
                metric: $crate::Metric {
                    name: $name,
                    kind: $crate::MetricKind::$kind,
                    labels: &[$($label),*],
                    help: $help,
                },
                write: $write,
            }
        ),*]);
    };
}
