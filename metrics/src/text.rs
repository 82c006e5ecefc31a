//! The text form of OpenMetrics 1.0: <https://prometheus.io/docs/specs/om/open_metrics_spec/>.

use std::fmt::{self, Write};

use crate::table::{Metric, MetricKind, Table};

/// A value of a counter or gauge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A count or a size.
    Integer(i64),
    /// A measure, or NaN for none.
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

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(value) => write!(f, "{value}"),
            Self::Real(value) if value.is_nan() => f.write_str("NaN"),
            Self::Real(value) if value.is_infinite() => f.write_str(if *value > 0.0 { "+Inf" } else { "-Inf" }),
            // Always with a point: 3 is not a float to every reader.
            Self::Real(value) => write!(f, "{value:?}"),
        }
    }
}

/// A histogram at one moment: per bucket its upper bound and how many fell into it, not cumulated. The last bound is
/// `f64::MAX` and stands for infinity.
#[derive(Debug, Clone, PartialEq)]
pub struct Buckets {
    /// The sum of all values.
    pub sum: f64,
    /// How many values there were.
    pub count: u64,
    /// Upper bound and values of each bucket, in rising order.
    pub buckets: Vec<(f64, u64)>,
}

/// The answer to one scrape, while it is written.
#[derive(Debug, Default)]
pub struct Scrape(String);

impl Scrape {
    /// Writes the metrics of a component.
    pub fn write<S>(&mut self, table: &Table<S>, stats: &S) {
        for entry in table.0 {
            let metric = &entry.metric;
            let base = match metric.kind {
                MetricKind::Counter => metric.name.strip_suffix("_total").unwrap_or(metric.name),
                MetricKind::Gauge | MetricKind::Histogram => metric.name,
            };
            self.0 += &format!("# HELP {base} {}\n# TYPE {base} {}\n", metric.help, metric.kind.name());
            (entry.write)(stats, &mut Samples { metric, text: &mut self.0 });
        }
    }

    /// The whole text.
    pub fn finish(mut self) -> String {
        self.0.push_str("# EOF\n");
        self.0
    }
}

/// The samples of one metric.
#[derive(Debug)]
pub struct Samples<'a> {
    metric: &'a Metric,
    text: &'a mut String,
}

impl Samples<'_> {
    /// The value of a metric without labels.
    pub fn one(&mut self, value: impl Into<Number>) {
        self.sample(&[] as &[&str], value.into());
    }

    /// The values of a metric with labels: for each sample the values of its labels, in the order of the declaration.
    pub fn all<L: AsRef<str>, V: Into<Number>, const N: usize>(
        &mut self,
        samples: impl IntoIterator<Item = ([L; N], V)>,
    ) {
        for (labels, value) in samples {
            self.sample(&labels, value.into());
        }
    }

    /// The value of a histogram without labels.
    pub fn histogram(&mut self, value: &Buckets) {
        let name = self.metric.name;
        let mut text = format!("{name}_sum {}\n{name}_count {}\n", Number::Real(value.sum), value.count);
        let mut cumulated = 0;
        for (bound, count) in &value.buckets {
            cumulated += count;
            let bound = if *bound == f64::MAX { f64::INFINITY } else { *bound };
            text += &format!("{name}_bucket{{le=\"{}\"}} {cumulated}\n", Number::Real(bound));
        }
        self.text.push_str(&text);
    }

    fn sample<L: AsRef<str>>(&mut self, labels: &[L], value: Number) {
        debug_assert_eq!(labels.len(), self.metric.labels.len(), "labels of {}", self.metric.name);
        self.text.push_str(self.metric.name);
        for (at, (name, label)) in self.metric.labels.iter().zip(labels).enumerate() {
            self.text.push(if at == 0 { '{' } else { ',' });
            self.text.push_str(name);
            self.text.push_str("=\"");
            label.as_ref().chars().for_each(|character| self.escaped(character));
            self.text.push('"');
        }
        let end = if labels.is_empty() { "" } else { "}" };
        // A String takes whatever is written.
        let _ = writeln!(self.text, "{end} {value}");
    }

    fn escaped(&mut self, character: char) {
        match character {
            '\\' => self.text.push_str("\\\\"),
            '"' => self.text.push_str("\\\""),
            '\n' => self.text.push_str("\\n"),
            other => self.text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Stats;

    crate::metrics! {
        EXAMPLES of Stats {
            Counter "helios_x_bytes_total" ["kind", "name"] "Bytes" =
                |_, out| out.all([(["a", "q\"b\\c\nd"], 7_u64), (["b", ""], 0)]);
            Gauge "helios_x_age_seconds" [] "Age" = |_, out| out.one(f64::NAN);
            Gauge "helios_x_ready" [] "1 when ready" = |_, out| out.one(true);
            Gauge "helios_x_nothing" ["of"] "Without a sample" = |_, out| out.all([] as [([&str; 1], u64); 0]);
            Histogram "helios_x_seconds" [] "Times" = |_, out| out.histogram(&Buckets {
                sum: 4.0,
                count: 3,
                buckets: vec![(0.5, 1), (2.0, 0), (f64::MAX, 2)],
            });
        }
    }

    /// Written down by the rules of the specification: names, escapes, cumulated buckets, the end.
    #[test]
    fn the_text_is_openmetrics() {
        let mut scrape = Scrape::default();
        scrape.write(&EXAMPLES, &Stats);
        assert_eq!(
            scrape.finish(),
            r#"# HELP helios_x_bytes Bytes
# TYPE helios_x_bytes counter
helios_x_bytes_total{kind="a",name="q\"b\\c\nd"} 7
helios_x_bytes_total{kind="b",name=""} 0
# HELP helios_x_age_seconds Age
# TYPE helios_x_age_seconds gauge
helios_x_age_seconds NaN
# HELP helios_x_ready 1 when ready
# TYPE helios_x_ready gauge
helios_x_ready 1
# HELP helios_x_nothing Without a sample
# TYPE helios_x_nothing gauge
# HELP helios_x_seconds Times
# TYPE helios_x_seconds histogram
helios_x_seconds_sum 4.0
helios_x_seconds_count 3
helios_x_seconds_bucket{le="0.5"} 1
helios_x_seconds_bucket{le="2.0"} 1
helios_x_seconds_bucket{le="+Inf"} 3
# EOF
"#
        );
    }
}
