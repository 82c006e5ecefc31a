//! The `collector` section of the configuration.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::decode::packet::{TunnelPorts, UdpTunnel, VXLAN_LINUX_PORT};
use crate::decode::{Decapsulate, DecoderConfig, Rate, SamplingRule, budget};
use helios_common::flow::BATCH_ROWS;
use helios_common::prefix::Prefix;

/// Where flow messages come in and how they are read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CollectorConfig {
    /// UDP addresses to listen on. Every protocol comes in on every one. `[::]` takes IPv4 as well.
    pub listen: Vec<SocketAddr>,
    /// Receive threads, each with a socket of its own; exporters are spread over them by source address.
    pub workers: usize,
    /// Receive buffer per socket in bytes. Beyond net.core.rmem_max it takes CAP_NET_ADMIN; a capped one is warned
    /// about.
    pub receive_buffer_bytes: usize,
    /// Take datagrams of one exporter coalesced by the kernel (UDP_GRO).
    pub gro: bool,
    /// Rows per batch that is handed on. 4 to 8 thousand stay in a core's L2 cache.
    pub batch_rows: usize,
    /// How long a batch that does not fill up is kept, in milliseconds.
    pub flush_interval_ms: u64,
    /// Batches that may wait for the enricher. When all are full, a batch is dropped and counted.
    pub queue_batches: usize,
    /// Tunnels in sampled headers whose inner packet fills the plain columns: gre, ipip, vxlan, geneve, erspan, gtp, mpls.
    pub decapsulate: Vec<String>,
    /// UDP destination ports by which tunnels in sampled headers are recognised.
    pub tunnel_ports: TunnelPortsConfig,
    /// Sampling interval for exporters that announce none; 0 leaves them at 1, marked unknown.
    pub sampling_interval: u32,
    /// Sampling intervals of single exporters, of prefixes of exporters, or of their interfaces.
    ///
    /// For example `sampling: [{exporter: 10.1.0.0/16, interval: 1000}, {exporter: 10.1.2.3, interface: 17, interval: 512, mode: override}]`.
    ///
    /// The longest prefix counts, and an interface goes before a whole exporter. sampling_source then says `config`.
    pub sampling: Vec<SamplingConfig>,
    /// Bytes of data that one exporter may have waiting for templates, all of its observation domains together. All
    /// exporters of a worker together have 64 MiB at the most.
    pub held_bytes: usize,
    /// How far an exporter's clock may be off, in milliseconds. Beyond it, the times of its flows are moved by as much
    /// as it is off, and clock_status says `corrected`.
    pub max_clock_skew_ms: u64,
    /// Seconds after which a template that came over UDP is forgotten unless it is defined again; 0 keeps it for ever.
    pub template_lifetime_s: u64,
    /// Bytes that decoding may keep for all exporters together: templates, tables of options data, observation domains,
    /// data that waits for templates, TCP connections. At the worst it is all of it, whoever sends what. When seven
    /// eighths are taken, new exporters and new templates are refused and counted; established exporters have the rest.
    /// Connections over TCP take half of it at the most, those from one address a sixteenth.
    pub max_state_bytes: usize,
    /// Directory in which templates and sampling tables survive a restart; nothing is kept without one.
    pub state_dir: Option<PathBuf>,
    /// IPFIX over TCP, and over TLS.
    pub tcp: TcpConfig,
}

/// A sampling interval that is set by hand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplingConfig {
    /// the exporter's address, or a prefix of addresses
    pub exporter: String,
    /// the ifIndex, if the interval is of one interface only
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<u32>,
    /// N of 1-in-N
    pub interval: u32,
    /// `default` counts where the exporter tells no interval, `override` in any case
    #[serde(default)]
    pub mode: SamplingMode,
}

/// When an interval that is set by hand counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SamplingMode {
    /// Where the exporter tells none.
    #[default]
    Default,
    /// In any case.
    Override,
}

/// UDP destination ports by which tunnels in sampled headers are recognised.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TunnelPortsConfig {
    /// VXLAN. On 8472, which other protocols use as well, reserved bits have to be zero.
    pub vxlan: Vec<u16>,
    /// VXLAN-GPE.
    pub vxlan_gpe: Vec<u16>,
    /// Geneve.
    pub geneve: Vec<u16>,
    /// GTP-U.
    pub gtp: Vec<u16>,
    /// MPLS over UDP.
    pub mpls: Vec<u16>,
}

impl Default for TunnelPortsConfig {
    fn default() -> Self {
        Self {
            vxlan: vec![4789, VXLAN_LINUX_PORT],
            vxlan_gpe: vec![4790],
            geneve: vec![6081],
            gtp: vec![2152],
            mpls: vec![6635],
        }
    }
}

impl TunnelPortsConfig {
    /// Every port with what is on it.
    fn pairs(&self) -> Vec<(u16, UdpTunnel)> {
        let vxlan = |port| if port == VXLAN_LINUX_PORT { UdpTunnel::StrictVxlan } else { UdpTunnel::Vxlan };
        let of = |ports: &[u16], tunnel| ports.iter().map(move |&port| (port, tunnel)).collect::<Vec<_>>();
        let mut pairs: Vec<_> = self.vxlan.iter().map(|&port| (port, vxlan(port))).collect();
        pairs.extend(of(&self.vxlan_gpe, UdpTunnel::VxlanGpe));
        pairs.extend(of(&self.geneve, UdpTunnel::Geneve));
        pairs.extend(of(&self.gtp, UdpTunnel::Gtp));
        pairs.extend(of(&self.mpls, UdpTunnel::Mpls));
        pairs
    }

    fn validate(&self) -> Result<(), ConfigError> {
        let pairs = self.pairs();
        let twice =
            pairs.iter().enumerate().find(|(at, (port, _))| pairs.iter().take(*at).any(|(other, _)| other == port));
        if let Some((_, (port, _))) = twice {
            let problem = format!("port {port} is listed twice: a port tells one kind of tunnel");
            return Err(ConfigError { key: "tunnel_ports", problem });
        }
        if pairs.len() > MAX_TUNNEL_PORTS {
            let problem = format!("{} ports are more than the {MAX_TUNNEL_PORTS} that can be told", pairs.len());
            return Err(ConfigError { key: "tunnel_ports", problem });
        }
        Ok(())
    }

    /// The ports for the decoders, which live as long as the process: a configuration is read once.
    fn table(&self) -> &'static TunnelPorts {
        if *self == Self::default() {
            return &TunnelPorts::REGISTERED;
        }
        Box::leak(Box::new(TunnelPorts::new(Vec::leak(self.pairs()))))
    }
}

/// Ports of tunnels: each is compared with the port of a packet.
const MAX_TUNNEL_PORTS: usize = 32;

/// Sampling intervals that are set by hand: each exporter that is seen first goes through all of them.
const MAX_SAMPLING_RULES: usize = 4096;

/// IPFIX over TCP, and over TLS.
///
/// Each connection is a session with templates of its own. When the pipeline cannot keep up, exporters wait.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TcpConfig {
    /// TCP addresses to listen on, none if empty. The registered ports are 4739, and 4740 with TLS.
    pub listen: Vec<SocketAddr>,
    /// Connections that may be open at the same time; further ones are closed at once and counted. Each takes up to
    /// 256 KiB of collector.max_state_bytes besides the state of its exporter. The limit of open files (`ulimit -Hn`) less
    /// 512 bounds it as well.
    pub max_connections: usize,
    /// Seconds of silence after which a connection is closed.
    pub idle_timeout_s: u64,
    /// Certificates. With them, every TCP address speaks TLS only.
    pub tls: TlsConfig,
}

/// Certificates. With them, every TCP address speaks TLS only.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// PEM file with the collector's certificate, and the chain above it.
    pub certificate: Option<PathBuf>,
    /// PEM file with the certificate's private key.
    pub key: Option<PathBuf>,
    /// PEM file with the authorities that exporters' certificates have to be from; without it, none is asked for.
    pub client_ca: Option<PathBuf>,
}

impl Default for TcpConfig {
    fn default() -> Self {
        Self { listen: Vec::new(), max_connections: 2048, idle_timeout_s: 1800, tls: TlsConfig::default() }
    }
}

impl Default for CollectorConfig {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([0_u16; 8], 2055))],
            workers: 1,
            receive_buffer_bytes: 32 << 20,
            gro: true,
            batch_rows: BATCH_ROWS,
            flush_interval_ms: 100,
            queue_batches: 64,
            decapsulate: Decapsulate::NAMES.map(|(name, _)| name.to_owned()).to_vec(),
            tunnel_ports: TunnelPortsConfig::default(),
            sampling_interval: 0,
            sampling: Vec::new(),
            held_bytes: 256 << 10,
            max_clock_skew_ms: 600_000,
            template_lifetime_s: 86_400,
            max_state_bytes: budget::DEFAULT_MAX_OCTETS,
            state_dir: None,
            tcp: TcpConfig::default(),
        }
    }
}

/// A value that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("collector.{key}: {problem}")]
pub struct ConfigError {
    pub key: &'static str,
    pub problem: String,
}

impl CollectorConfig {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// The first value that cannot work, and what would.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let range = |key, value: usize, low: usize, high: usize| {
            let problem = format!("{value} is outside of {low} to {high}");
            if (low..=high).contains(&value) { Ok(()) } else { Err(ConfigError { key, problem }) }
        };
        if self.listen.is_empty() {
            return Err(ConfigError {
                key: "listen",
                problem: "at least one address is needed, such as [::]:2055".into(),
            });
        }
        range("workers", self.workers, 1, 256)?;
        range("receive_buffer_bytes", self.receive_buffer_bytes, 4096, 1 << 30)?;
        range("batch_rows", self.batch_rows, 256, 65_536)?;
        range("flush_interval_ms", self.flush_interval_ms as usize, 1, 60_000)?;
        range("queue_batches", self.queue_batches, 2, 4096)?;
        range("held_bytes", self.held_bytes, 0, 64 << 20)?;
        range("max_state_bytes", self.max_state_bytes, 16 << 20, 1 << 40)?;
        range("tcp.max_connections", self.tcp.max_connections, 1, 65_536)?;
        range("tcp.idle_timeout_s", self.tcp.idle_timeout_s as usize, 1, 7 * 86_400)?;
        let tls = &self.tcp.tls;
        if tls.certificate.is_some() != tls.key.is_some() || (tls.client_ca.is_some() && tls.key.is_none()) {
            let problem = "TLS takes both `certificate` and `key`".into();
            return Err(ConfigError { key: "tcp.tls", problem });
        }
        range("max_clock_skew_ms", self.max_clock_skew_ms as usize, 1000, 100 * 86_400_000)?;
        range("template_lifetime_s", self.template_lifetime_s as usize, 0, 366 * 86_400)?;
        self.tunnel_ports.validate()?;
        range("sampling", self.sampling.len(), 0, MAX_SAMPLING_RULES)?;
        self.sampling_rules()?;
        self.decapsulation().map(|_| ())
    }

    fn sampling_rules(&self) -> Result<Arc<[SamplingRule]>, ConfigError> {
        let rule = |rule: &SamplingConfig| {
            let exporters = prefix_of(&rule.exporter).ok_or_else(|| ConfigError {
                key: "sampling",
                problem: format!("exporter `{}` is neither an address nor a prefix such as 10.0.0.0/8", rule.exporter),
            })?;
            if rule.interval == 0 {
                let problem = format!("the interval of {} is 0: it must be 1 (no sampling) or more", rule.exporter);
                return Err(ConfigError { key: "sampling", problem });
            }
            let rate = Rate { interval: rule.interval, overrides: rule.mode == SamplingMode::Override };
            Ok(SamplingRule { exporters, interface: rule.interface, rate })
        };
        self.sampling.iter().map(rule).collect()
    }

    fn decapsulation(&self) -> Result<Decapsulate, ConfigError> {
        let known = |name: &String| Decapsulate::by_name(name).ok_or_else(|| unknown_tunnel(name));
        self.decapsulate.iter().map(known).try_fold(Decapsulate::NONE, |all, one| Ok(all | one?))
    }

    /// What the decoders are told.
    ///
    /// # Errors
    /// A tunnel that does not exist.
    pub fn decoder(&self) -> Result<DecoderConfig, ConfigError> {
        Ok(DecoderConfig {
            decapsulate: self.decapsulation()?.with_ports(self.tunnel_ports.table()),
            sampling: self.sampling_rules()?,
            sampling_interval: (self.sampling_interval > 0).then_some(self.sampling_interval),
            held_octets: self.held_bytes,
            max_clock_skew_ms: Some(self.max_clock_skew_ms as i64),
            template_lifetime_ms: (self.template_lifetime_s > 0).then_some(self.template_lifetime_s as i64 * 1000),
            ..DecoderConfig::default()
        })
    }

    pub fn flush_interval(&self) -> Duration {
        Duration::from_millis(self.flush_interval_ms)
    }
}

/// A prefix, or the one that holds a single address.
fn prefix_of(text: &str) -> Option<Prefix> {
    match text.parse::<IpAddr>() {
        Ok(address) => Prefix::new(address, if address.is_ipv4() { 32 } else { 128 }),
        Err(_) => text.parse().ok(),
    }
}

fn unknown_tunnel(name: &str) -> ConfigError {
    ConfigError {
        key: "decapsulate",
        problem: format!("`{name}` is none of {}", Decapsulate::NAMES.map(|(name, _)| name).join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(CollectorConfig::default().validate(), Ok(()));
    }

    #[test]
    fn a_wrong_value_is_named_with_its_key() {
        let config = CollectorConfig { workers: 0, ..CollectorConfig::default() };
        assert_eq!(config.validate().unwrap_err().to_string(), "collector.workers: 0 is outside of 1 to 256");
        let config = CollectorConfig { decapsulate: vec!["l2tp".into()], ..CollectorConfig::default() };
        assert!(config.validate().unwrap_err().to_string().starts_with("collector.decapsulate: `l2tp` is none of"));
    }

    fn problem(change: impl FnOnce(&mut CollectorConfig)) -> String {
        let mut config = CollectorConfig::default();
        change(&mut config);
        config.validate().err().map_or(String::new(), |error| error.to_string())
    }

    #[test]
    fn sampling_rules_need_an_exporter_and_an_interval() {
        let rule = |exporter: &str, interval| SamplingConfig {
            exporter: exporter.into(),
            interface: None,
            interval,
            mode: SamplingMode::Default,
        };
        for exporter in ["192.0.2.1", "192.0.2.0/24", "2001:db8::1", "2001:db8::/32", "0.0.0.0/0"] {
            assert_eq!(problem(|config| config.sampling.push(rule(exporter, 10))), "", "{exporter}");
        }
        let found = problem(|config| config.sampling.push(rule("router1", 10)));
        assert!(
            found.starts_with("collector.sampling: exporter `router1` is neither an address nor a prefix"),
            "{found}"
        );
        let found = problem(|config| config.sampling.push(rule("192.0.2.1", 0)));
        assert!(found.starts_with("collector.sampling: the interval of 192.0.2.1 is 0"), "{found}");
    }

    #[test]
    fn a_port_tells_one_kind_of_tunnel() {
        let found = problem(|config| config.tunnel_ports.gtp.push(4789));
        assert_eq!(found, "collector.tunnel_ports: port 4789 is listed twice: a port tells one kind of tunnel");
        assert_eq!(problem(|config| config.tunnel_ports.vxlan.push(6666)), "");
        assert_eq!(problem(|config| config.tunnel_ports.vxlan.clear()), "");
    }
}
