//! The sections of the binary itself.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Queues between the stages, and the stop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PipelineConfig {
    /// Batches that can wait between the enricher and the ClickHouse writer. When this queue is full, the enricher
    /// waits: losses happen in the collector's queue only, and are counted there. Worst case: twice as many batches and 4
    /// (collector.batch_rows has the size of one).
    pub queue_batches: usize,
    /// Milliseconds that a stop (SIGTERM, SIGINT) may take to store the rows under way. Rows that are left then are
    /// counted as lost, and the exit code is 1. Keep it below terminationGracePeriodSeconds (Kubernetes) and
    /// TimeoutStopSec (systemd).
    pub shutdown_timeout_ms: u64,
}

impl Default for PipelineConfig {
    fn default() -> Self {
        Self { queue_batches: 32, shutdown_timeout_ms: 10_000 }
    }
}

impl PipelineConfig {
    pub fn shutdown_timeout(&self) -> Duration {
        Duration::from_millis(self.shutdown_timeout_ms)
    }
}

/// The HTTP server for operators: /metrics, /healthz, /readyz, /api/v1 and a status page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdminConfig {
    /// Address to listen on; `null`: none. The server has no authentication and shows the addresses of exporters: hence
    /// 127.0.0.1. In Kubernetes, kubelet and Prometheus need `0.0.0.0:8080`.
    pub listen: Option<SocketAddr>,
    /// Largest number of exporters with their own metrics; all others are summed up as exporter="other". An exporter that
    /// has its own metrics keeps them. Worst case of each: 3 KiB, and for each of the two answers that are made at a time
    /// 3 KiB and 8 KiB of text. Answers of this server that clients have not read yet take 128 MiB in all.
    pub max_exporters: usize,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self { listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))), max_exporters: 10_000 }
    }
}
