//! What a decoder is told by configuration, and how much of it newcomers may take.

use std::sync::Arc;

use helios_common::names::MAX_WIRE_NAMES;
use helios_common::time::UnixMs;

use super::allow::Allow;
use super::by_hand::SamplingRule;
use super::packet::Decapsulate;
use super::{Transport, domain, options, plan, template};

/// What a decoder is told by configuration.
#[derive(Debug, Clone)]
pub struct DecoderConfig {
    /// Senders that are accepted.
    pub allow: Arc<Allow>,
    /// Tunnels whose inner packet fills the plain columns.
    pub decapsulate: Decapsulate,
    /// Interval for records of exporters that announce none.
    pub sampling_interval: Option<u32>,
    /// Intervals of exporters and interfaces, set by hand.
    pub sampling: Arc<[SamplingRule]>,
    /// Octets of data sets that one exporter may have held for templates, all of its domains together.
    pub held_octets: usize,
    /// What the messages come over. Over TCP and TLS, templates may be withdrawn and do not expire (RFC 7011 §8.1).
    pub transport: Transport,
    /// Templates of all exporters of the decoder.
    pub max_templates: usize,
    /// Entries of the tables of options data of all exporters of the decoder.
    pub max_entries: usize,
    /// Observation domains of all exporters of the decoder.
    pub max_domains: usize,
    /// Flows whose totals are remembered.
    pub max_totals: usize,
    /// Names that exporters sent, all of the process together.
    pub max_names: usize,
    /// How far an exporter's clock may be off before it is corrected; `None` takes its times as they are.
    pub max_clock_skew_ms: Option<i64>,
    /// How long a template stays valid without a refresh, in milliseconds; `None`: without limit.
    pub template_lifetime_ms: Option<i64>,
}

impl Default for DecoderConfig {
    fn default() -> Self {
        Self {
            allow: Arc::default(),
            decapsulate: Decapsulate::ALL,
            sampling_interval: None,
            sampling: Arc::default(),
            held_octets: 256 * 1024,
            transport: Transport::Udp,
            max_templates: template::MAX_WORKER_TEMPLATES,
            max_entries: options::MAX_WORKER_ENTRIES,
            max_domains: domain::MAX_WORKER_DOMAINS,
            max_totals: plan::MAX_WORKER_TOTALS,
            max_names: MAX_WIRE_NAMES,
            max_clock_skew_ms: None,
            template_lifetime_ms: None,
        }
    }
}

impl DecoderConfig {
    /// How much of `all` may be taken already for more of an exporter known since then: an eighth is for established ones.
    pub(super) fn most(&self, all: usize, known_since: UnixMs, now: UnixMs) -> usize {
        if self.is_established(known_since, now) { all } else { all - all / 8 }
    }

    /// Whether an exporter known since then is established. A connection makes none: anybody can open one.
    pub(super) const fn is_established(&self, known_since: UnixMs, now: UnixMs) -> bool {
        now.saturating_sub(known_since) >= template::ESTABLISHED_MS
    }
}
