//! The metrics of the reader of NetBox.

use crate::source::Stats;

helios_metrics::metrics! {
    /// What the reader of NetBox counts. Without NetBox the counters are 0 and the age is no number.
    pub METRICS of Option<Stats> {
        Gauge "helios_netbox_rows" ["kind"] "Objects in the NetBox snapshot, by kind" =
            |stats, out| out.all(stats.iter().flat_map(|stats| &stats.rows).map(|(kind, rows)| ([*kind], *rows)));
        Gauge "helios_netbox_age_seconds" [] "Age of the NetBox snapshot: time since NetBox last confirmed it; NaN without a snapshot" =
            |stats, out| out.one(stats.as_ref().and_then(|stats| stats.age_ms).map_or(f64::NAN, seconds));
        Gauge "helios_netbox_refresh_duration_seconds" [] "Duration of the last successful refresh" =
            |stats, out| out.one(seconds(stats.as_ref().map_or(0, |stats| stats.duration_ms)));
        Counter "helios_netbox_refreshes_total" [] "Successful refreshes" =
            |stats, out| out.one(stats.as_ref().map_or(0, |stats| stats.refreshes));
        Counter "helios_netbox_failures_total" ["reason"] "Failed refreshes, by reason; the last snapshot stays in use" =
            |stats, out| out.all(stats.iter().flat_map(|stats| &stats.failures).map(|(reason, failures)| ([*reason], *failures)));
        Counter "helios_netbox_requests_total" [] "Requests to NetBox" =
            |stats, out| out.one(stats.as_ref().map_or(0, |stats| stats.requests));
        Counter "helios_netbox_retries_total" [] "Repeated requests to NetBox" =
            |stats, out| out.one(stats.as_ref().map_or(0, |stats| stats.retries));
        Counter "helios_netbox_received_bytes_total" [] "Bytes received from NetBox" =
            |stats, out| out.one(stats.as_ref().map_or(0, |stats| stats.bytes));
    }
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}
