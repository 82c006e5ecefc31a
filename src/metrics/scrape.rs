//! Writes metrics of the table in prometheus-client's encoding.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::table::{Kind, Metric};

/// One scrape being written.
pub struct Scrape<'a>(DescriptorEncoder<'a>);

/// A value of a counter or gauge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    Integer(i64),
    Real(f64),
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Self::Integer(value as i64)
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<u32> for Number {
    fn from(value: u32) -> Self {
        Self::Integer(value.into())
    }
}

impl From<usize> for Number {
    fn from(value: usize) -> Self {
        Self::Integer(value as i64)
    }
}

impl From<bool> for Number {
    fn from(value: bool) -> Self {
        Self::Integer(value.into())
    }
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

/// A histogram at one moment: per bucket its upper bound and how many fell into it, not cumulated.
#[derive(Debug, Clone, PartialEq)]
pub struct Buckets {
    pub sum: f64,
    pub count: u64,
    pub buckets: Vec<(f64, u64)>,
}

impl<'a> Scrape<'a> {
    pub fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self(encoder)
    }

    /// A metric without labels.
    pub fn one(&mut self, metric: &Metric, value: impl Into<Number>) -> fmt::Result {
        debug_assert!(metric.labels.is_empty(), "{} has labels", metric.name);
        write_value(&mut self.describe(metric)?, metric.kind, value.into())
    }

    /// A metric with labels: the label values of each sample, in the order of the table, and its value.
    pub fn family<L, V, const N: usize>(
        &mut self,
        metric: &Metric,
        samples: impl IntoIterator<Item = ([L; N], V)>,
    ) -> fmt::Result
    where
        L: AsRef<str>,
        V: Into<Number>,
    {
        debug_assert_eq!(metric.labels.len(), N, "labels of {}", metric.name);
        let mut encoder = self.describe(metric)?;
        for (labels, value) in samples {
            let labels: Vec<(&str, &str)> =
                metric.labels.iter().copied().zip(labels.iter().map(AsRef::as_ref)).collect();
            write_value(&mut encoder.encode_family(&labels)?, metric.kind, value.into())?;
        }
        Ok(())
    }

    /// A histogram without labels.
    pub fn histogram(&mut self, metric: &Metric, value: &Buckets) -> fmt::Result {
        self.describe(metric)?.encode_histogram::<NoLabelSet>(value.sum, value.count, &value.buckets, None)
    }

    fn describe<'s>(&'s mut self, metric: &'s Metric) -> Result<MetricEncoder<'s>, fmt::Error> {
        let (name, kind) = match metric.kind {
            // The encoder appends the suffix that the table shows.
            Kind::Counter => (metric.name.strip_suffix("_total").unwrap_or(metric.name), MetricType::Counter),
            Kind::Gauge => (metric.name, MetricType::Gauge),
            Kind::Histogram => (metric.name, MetricType::Histogram),
        };
        self.0.encode_descriptor(name, metric.help, None, kind)
    }
}

fn write_value(encoder: &mut MetricEncoder<'_>, kind: Kind, value: Number) -> fmt::Result {
    match (kind, value) {
        (Kind::Counter, Number::Integer(value)) => {
            encoder.encode_counter::<NoLabelSet, u64, f64>(&u64::try_from(value).unwrap_or(0), None)
        }
        (Kind::Counter, Number::Real(value)) => encoder.encode_counter::<NoLabelSet, f64, f64>(&value, None),
        (_, Number::Integer(value)) => encoder.encode_gauge(&value),
        (_, Number::Real(value)) => encoder.encode_gauge(&value),
    }
}
