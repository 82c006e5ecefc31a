//! What the reader of NetBox counts. Without NetBox the counters are 0 and the age is no number.

use std::fmt;

use helios_netbox::Stats;

use super::scrape::Scrape;
use super::table;

pub fn write(out: &mut Scrape<'_>, stats: Option<&Stats>) -> fmt::Result {
    let seconds = |ms: u64| ms as f64 / 1000.0;
    let count = |value: fn(&Stats) -> u64| stats.map_or(0, value);
    let rows = stats.iter().flat_map(|stats| &stats.rows);
    out.family(&table::NETBOX_ROWS, rows.map(|(kind, rows)| ([*kind], *rows)))?;
    out.one(&table::NETBOX_AGE, stats.and_then(|stats| stats.age_ms).map_or(f64::NAN, seconds))?;
    out.one(&table::NETBOX_REFRESH, seconds(count(|stats| stats.duration_ms)))?;
    out.one(&table::NETBOX_REFRESHES, count(|stats| stats.refreshes))?;
    let failures = stats.iter().flat_map(|stats| &stats.failures);
    out.family(&table::NETBOX_FAILURES, failures.map(|(reason, failures)| ([*reason], *failures)))?;
    out.one(&table::NETBOX_REQUESTS, count(|stats| stats.requests))?;
    out.one(&table::NETBOX_RETRIES, count(|stats| stats.retries))?;
    out.one(&table::NETBOX_BYTES, count(|stats| stats.bytes))
}
