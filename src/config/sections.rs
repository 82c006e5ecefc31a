//! The sections of the binary itself.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How the stages are joined and stopped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PipelineConfig {
    /// Batches that may wait between enricher and ClickHouse writer. When they are full the enricher waits; loss, if
    /// any, happens and is counted at the collector's queue.
    pub queue_batches: usize,
    /// How long a stop (SIGTERM, SIGINT) may take to store what is under way, in milliseconds. What is left then is
    /// counted as lost and the exit code is 1. Keep it below Kubernetes' terminationGracePeriodSeconds.
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
    /// Address to serve on; `null` switches the server off. It has no authentication and shows the exporters'
    /// addresses, hence loopback. In Kubernetes, where kubelet and Prometheus come from outside of the pod, it is
    /// `0.0.0.0:8080`.
    pub listen: Option<SocketAddr>,
    /// Exporters with metrics of their own; all further ones share the label exporter="other". Who has its own keeps it.
    pub max_exporters: usize,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self { listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))), max_exporters: 10_000 }
    }
}
