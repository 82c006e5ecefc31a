//! The `collector` section of the configuration.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::decode::allow::Allow;
use crate::decode::packet::{TunnelPorts, UdpTunnel, VXLAN_ACI_PORT, VXLAN_LINUX_PORT};
use crate::decode::{Decapsulate, DecoderConfig, Rate, SamplingRule, budget};
use crate::proxy::Proxies;
use helios_advice::outside;
use helios_common::flow::BATCH_ROWS;
use helios_common::prefix::Prefix;

/// How flow messages are received and decoded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CollectorConfig {
    /// UDP addresses to listen on. Each address receives every protocol. `[::]` receives IPv4 as well.
    pub listen: Vec<SocketAddr>,
    /// Addresses and prefixes of exporters that are accepted, such as 10.0.0.0/8 or 2001:db8::/32; an empty list accepts
    /// all. Datagrams of others are discarded and counted as `not_allowed`, their TCP connections closed, and the last
    /// senders listed in /api/v1/exporters. It is the sender's address that counts, also for sFlow. UDP addresses can be
    /// forged: a firewall is still needed.
    pub allow: Vec<String>,
    /// Addresses and prefixes of load balancers that send the PROXY protocol, version 2: the address in its header is the
    /// exporter's. TCP connections from them, before TLS as well, and each of their UDP datagrams must begin with the
    /// header; others are closed, or discarded and counted as `no_proxy_header`. Nobody else's header is believed. All UDP
    /// datagrams of a load balancer are received by one worker.
    pub proxy_protocol: Vec<String>,
    /// Other collectors that get every accepted UDP datagram as well, unchanged.
    ///
    /// For example `relay: [{to: 192.0.2.10:2055, source: exporter}, {to: "[2001:db8::7]:6343"}]`.
    ///
    /// When the relay cannot keep up, datagrams are left out and counted; receiving never waits for it. IPFIX over TCP is
    /// not passed on. Worst case: 32 MiB of waiting datagrams, and 8 MiB of the
    /// kernel for each collector.
    pub relay: Vec<RelayConfig>,
    /// Receive threads. Each has a socket of its own; the source address of an exporter decides which thread receives
    /// it. Worst case of one thread: 1 MiB of buffers, one batch, and what receive_buffer_bytes says.
    pub workers: usize,
    /// Receive buffer of each socket, in bytes. Worst case: twice as much memory of the kernel for each worker and address.
    /// The kernel limits it to net.core.rmem_max unless Helios has
    /// CAP_NET_ADMIN. Helios warns when it gets less.
    pub receive_buffer_bytes: usize,
    /// Let the kernel join datagrams of one exporter (UDP_GRO): fewer system calls, less CPU.
    pub gro: bool,
    /// Rows per batch between two stages. 4,000 to 8,000 rows fit into the L2 cache of a core. Worst case of one batch: 1.2 KiB
    /// for each of these rows and of the 24,576 that the last message of the batch may add, if every row fills every column.
    pub batch_rows: usize,
    /// Longest time that rows wait for their batch to fill, in milliseconds.
    pub flush_interval_ms: u64,
    /// Batches that can wait for the enricher. When this queue is full, Helios drops a batch and counts its rows. Worst case:
    /// twice as many batches and 3, and one for each worker (batch_rows has the size of one): empty batches keep their memory
    /// and are used again.
    pub queue_batches: usize,
    /// Tunnels that are decapsulated: gre, ipip, vxlan, geneve, erspan, gtp, mpls. The inner packet fills the plain
    /// columns, the outer addresses fill outer_src_addr and outer_dst_addr.
    pub decapsulate: Vec<String>,
    /// UDP destination ports of tunnels in sampled headers.
    pub tunnel_ports: TunnelPortsConfig,
    /// Sampling interval (N of 1-in-N) for exporters that announce none. 0: their flows get 1, and sampling_source is
    /// `unknown`.
    pub sampling_interval: u32,
    /// Sampling intervals of single exporters, of prefixes of exporters, or of their interfaces.
    ///
    /// For example `sampling: [{exporter: 10.1.0.0/16, interval: 1000}, {exporter: 10.1.2.3, interface: 17, interval: 512, mode: override}]`.
    ///
    /// The longest prefix takes precedence, and an entry with an interface over one without. sampling_source is
    /// `config` then.
    pub sampling: Vec<SamplingConfig>,
    /// Bytes of data sets that can wait for their template, for each exporter, all of its observation domains together.
    /// Worst case: 64 MiB for all exporters of a worker, and never more than max_state_bytes has room for.
    pub held_bytes: usize,
    /// Largest accepted difference between the clock of an exporter and that of this host, in milliseconds. If the
    /// difference is larger, Helios corrects flow_start and flow_end by it, and clock_status is `corrected`.
    pub max_clock_skew_ms: u64,
    /// Milliseconds after which a template from UDP expires unless the exporter sends it again. 0: never.
    pub template_lifetime_ms: u64,
    /// Bytes of decoding state of all exporters together: templates, tables of options data, observation domains, data
    /// that waits for templates, totals of flows, TCP connections. This is the most that decoding keeps, whoever sends what. When seven
    /// eighths are in use, Helios refuses new exporters and new templates and counts them; established exporters use the
    /// rest. All TCP connections together get at most half of it, those from one address a sixteenth.
    pub max_state_bytes: usize,
    /// Directory for what survives a restart: templates, sampling tables, names, sequence numbers and the spool.
    /// Without it, nothing survives.
    pub state_dir: Option<PathBuf>,
    /// IPFIX over TCP and TLS.
    pub tcp: TcpConfig,
}

/// Another collector that gets the received datagrams as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelayConfig {
    /// address and port of the other collector
    pub to: SocketAddr,
    /// `helios`: sent from an address of this host, so that the other collector takes all exporters for one; `exporter`:
    /// with the address and port of the exporter, which takes CAP_NET_RAW and reaches destinations of the exporter's
    /// address family only
    #[serde(default)]
    pub source: RelaySource,
}

/// The source address of datagrams that are passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RelaySource {
    /// This host's.
    #[default]
    Helios,
    /// The exporter's, and its port.
    Exporter,
}

/// A sampling interval that is set by hand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplingConfig {
    /// address of the exporter, or a prefix of addresses
    pub exporter: String,
    /// ifIndex, if the interval is for one interface only
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<u32>,
    /// N of 1-in-N
    pub interval: u32,
    /// `default`: for flows without an announced interval; `override`: for all flows
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

/// UDP destination ports of tunnels in sampled headers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TunnelPortsConfig {
    /// VXLAN; 48879 is Cisco ACI's port. Other protocols use 8472 as well: there, the reserved bits must be zero.
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
            vxlan: vec![4789, VXLAN_LINUX_PORT, VXLAN_ACI_PORT],
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

    /// The ports of a kind by its key.
    pub fn of_kind(&mut self, kind: &str) -> Option<&mut Vec<u16>> {
        match kind {
            "vxlan" => Some(&mut self.vxlan),
            "vxlan_gpe" => Some(&mut self.vxlan_gpe),
            "geneve" => Some(&mut self.geneve),
            "gtp" => Some(&mut self.gtp),
            "mpls" => Some(&mut self.mpls),
            _ => None,
        }
    }

    /// The tunnels as they are told by these ports.
    ///
    /// # Errors
    /// A port that is there twice, or more ports than can be told.
    pub fn applied_to(&self, tunnels: Decapsulate) -> Result<Decapsulate, ConfigError> {
        self.validate()?;
        Ok(tunnels.with_ports(self.table()))
    }

    fn validate(&self) -> Result<(), ConfigError> {
        let pairs = self.pairs();
        let twice =
            pairs.iter().enumerate().find(|(at, (port, _))| pairs.iter().take(*at).any(|(other, _)| other == port));
        if let Some((_, (port, _))) = twice {
            let problem = format!("port {port} is listed twice: a port tells one kind of tunnel");
            return Err(ConfigError { key: "tunnel_ports", problem });
        }
        if let Some(problem) = pairs.iter().find_map(|(port, _)| outside(*port, 1, u16::MAX)) {
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

const DAY_MS: usize = 86_400_000;

/// Ports of tunnels: each is compared with the port of a packet.
const MAX_TUNNEL_PORTS: usize = 32;

/// Prefixes of exporters that are accepted: one for each device of the largest network.
const MAX_ALLOWED: usize = 10_000;

/// Other collectors: each datagram is sent to all of them.
const MAX_RELAYS: usize = 8;

/// Sampling intervals that are set by hand: each exporter that is seen first goes through all of them.
const MAX_SAMPLING_RULES: usize = 4096;

/// Largest sampling interval that is set by hand. Switching chips divide by up to 2^24; a larger number is a slip of the pen
/// that would multiply traffic.
const MAX_SAMPLING_INTERVAL: u32 = 1 << 24;

/// IPFIX over TCP and TLS.
///
/// Each connection is a transport session with its own templates. When the pipeline is slower than the exporters, the
/// exporters wait.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TcpConfig {
    /// TCP addresses to listen on; none if the list is empty. The registered ports are 4739 (TCP) and 4740 (TLS).
    pub listen: Vec<SocketAddr>,
    /// Largest number of open connections. Helios closes further ones at once and counts them. Worst case of each: 256 KiB
    /// of collector.max_state_bytes besides the state of its exporter, and while the pipeline is slower than the exporters,
    /// what `net.ipv4.tcp_rmem` ends with (6 MiB) of the kernel. The limit of open files (`ulimit -Hn`) less 512
    /// applies as well.
    pub max_connections: usize,
    /// Milliseconds without data after which Helios closes a connection, and gives its memory back. A connection that
    /// says nothing at all, and a message that does not come to its end, are given a minute.
    pub idle_timeout_ms: u64,
    /// Certificates. With them, every TCP address accepts TLS only.
    pub tls: TlsConfig,
}

/// Certificates. With them, every TCP address accepts TLS only.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// PEM file with the certificate of the collector and its chain.
    pub certificate: Option<PathBuf>,
    /// PEM file with the private key of the certificate.
    pub key: Option<PathBuf>,
    /// PEM file with the certificate authorities that must have signed the certificates of exporters. Without it,
    /// exporters need no certificate.
    pub client_ca: Option<PathBuf>,
}

impl Default for TcpConfig {
    fn default() -> Self {
        Self { listen: Vec::new(), max_connections: 2048, idle_timeout_ms: 1_800_000, tls: TlsConfig::default() }
    }
}

impl Default for CollectorConfig {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([0_u16; 8], 2055))],
            allow: Vec::new(),
            proxy_protocol: Vec::new(),
            relay: Vec::new(),
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
            template_lifetime_ms: 86_400_000,
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
    /// Key of the value below `collector`, with dots for sections: `tcp.idle_timeout_ms`.
    pub key: &'static str,
    /// Why the value cannot work, and which values can.
    pub problem: String,
}

impl CollectorConfig {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// The first value that cannot work, and what would.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let range = |key, value: usize, low: usize, high: usize| match outside(value, low, high) {
            Some(problem) => Err(ConfigError { key, problem }),
            None => Ok(()),
        };
        if self.listen.is_empty() {
            return Err(ConfigError {
                key: "listen",
                problem: "must have at least one address, such as [::]:2055".into(),
            });
        }
        range("allow", self.allow.len(), 0, MAX_ALLOWED)?;
        self.allowed()?;
        range("proxy_protocol", self.proxy_protocol.len(), 0, MAX_ALLOWED)?;
        self.proxies()?;
        range("relay", self.relay.len(), 0, MAX_RELAYS)?;
        self.relay.iter().try_for_each(|relay| self.validate_relay(relay))?;
        range("workers", self.workers, 1, 256)?;
        range("receive_buffer_bytes", self.receive_buffer_bytes, 4096, 1 << 30)?;
        range("batch_rows", self.batch_rows, 256, 65_536)?;
        range("flush_interval_ms", self.flush_interval_ms as usize, 1, 60_000)?;
        range("queue_batches", self.queue_batches, 2, 4096)?;
        range("held_bytes", self.held_bytes, 0, 64 << 20)?;
        range("max_state_bytes", self.max_state_bytes, 16 << 20, 1 << 40)?;
        range("tcp.max_connections", self.tcp.max_connections, 1, 65_536)?;
        range("tcp.idle_timeout_ms", self.tcp.idle_timeout_ms as usize, 1_000, 7 * DAY_MS)?;
        let tls = &self.tcp.tls;
        if tls.certificate.is_some() != tls.key.is_some() || (tls.client_ca.is_some() && tls.key.is_none()) {
            let problem = "TLS needs both `certificate` and `key`".into();
            return Err(ConfigError { key: "tcp.tls", problem });
        }
        range("max_clock_skew_ms", self.max_clock_skew_ms as usize, 1000, 100 * DAY_MS)?;
        range("template_lifetime_ms", self.template_lifetime_ms as usize, 0, 366 * DAY_MS)?;
        self.tunnel_ports.validate()?;
        range("sampling_interval", self.sampling_interval as usize, 0, MAX_SAMPLING_INTERVAL as usize)?;
        range("sampling", self.sampling.len(), 0, MAX_SAMPLING_RULES)?;
        self.sampling_rules()?;
        self.decapsulation().map(|_| ())
    }

    fn allowed(&self) -> Result<Allow, ConfigError> {
        prefixes("allow", &self.allow).map(|prefixes| Allow::new(&prefixes))
    }

    /// The load balancers whose PROXY protocol is believed.
    ///
    /// # Errors
    /// A text that is no prefix.
    pub fn proxies(&self) -> Result<Proxies, ConfigError> {
        prefixes("proxy_protocol", &self.proxy_protocol).map(|prefixes| Proxies::new(&prefixes))
    }

    /// A destination that Helios itself listens on would get each datagram again and again.
    fn validate_relay(&self, relay: &RelayConfig) -> Result<(), ConfigError> {
        let to = relay.to;
        let is_own = |listen: &SocketAddr| {
            let address = to.ip().to_canonical();
            listen.port() == to.port()
                && (listen.ip().to_canonical() == address
                    || (listen.ip().is_unspecified() && (address.is_loopback() || address.is_unspecified())))
        };
        let problem = if to.port() == 0 || to.ip().is_unspecified() {
            format!("{to} is no destination: it needs an address and a port")
        } else if self.listen.iter().any(is_own) {
            format!("{to} is an address that Helios listens on: each datagram would come back for ever")
        } else {
            return Ok(());
        };
        Err(ConfigError { key: "relay", problem })
    }

    fn sampling_rules(&self) -> Result<Arc<[SamplingRule]>, ConfigError> {
        let rule = |rule: &SamplingConfig| {
            let exporters = prefix_of(&rule.exporter).ok_or_else(|| ConfigError {
                key: "sampling",
                problem: format!("exporter `{}` is neither an address nor a prefix such as 10.0.0.0/8", rule.exporter),
            })?;
            if let Some(problem) = outside(rule.interval, 1, MAX_SAMPLING_INTERVAL) {
                let problem = format!("interval of {}: {problem}", rule.exporter);
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
            allow: Arc::new(self.allowed()?),
            decapsulate: self.tunnel_ports.applied_to(self.decapsulation()?)?,
            sampling: self.sampling_rules()?,
            sampling_interval: (self.sampling_interval > 0).then_some(self.sampling_interval),
            held_octets: self.held_bytes,
            max_clock_skew_ms: Some(self.max_clock_skew_ms as i64),
            template_lifetime_ms: (self.template_lifetime_ms > 0).then_some(self.template_lifetime_ms as i64),
            ..DecoderConfig::default()
        })
    }

    pub(crate) fn flush_interval(&self) -> Duration {
        Duration::from_millis(self.flush_interval_ms)
    }
}

fn prefixes(key: &'static str, texts: &[String]) -> Result<Vec<Prefix>, ConfigError> {
    let prefix = |text: &String| {
        let problem = || format!("`{text}` is neither an address nor a prefix such as 10.0.0.0/8");
        prefix_of(text).ok_or_else(|| ConfigError { key, problem: problem() })
    };
    texts.iter().map(prefix).collect()
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
        problem: format!("must be one of {}, found `{name}`", Decapsulate::NAMES.map(|(name, _)| name).join(", ")),
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
        assert_eq!(config.validate().unwrap_err().to_string(), "collector.workers: must be from 1 to 256, found 0");
        let config = CollectorConfig { decapsulate: vec!["l2tp".into()], ..CollectorConfig::default() };
        assert!(config.validate().unwrap_err().to_string().ends_with("geneve, erspan, gtp, mpls, found `l2tp`"));
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
        assert_eq!(found, "collector.sampling: interval of 192.0.2.1: must be from 1 to 16777216, found 0");
    }

    #[test]
    fn prefixes_of_exporters_are_addresses_or_prefixes() {
        assert_eq!(problem(|config| config.allow = vec!["10.0.0.0/8".into(), "2001:db8::1".into()]), "");
        let found = problem(|config| config.allow = vec!["router1".into()]);
        assert_eq!(found, "collector.allow: `router1` is neither an address nor a prefix such as 10.0.0.0/8");
        let found = problem(|config| config.proxy_protocol = vec!["lb".into()]);
        assert_eq!(found, "collector.proxy_protocol: `lb` is neither an address nor a prefix such as 10.0.0.0/8");
    }

    #[test]
    fn a_relay_to_helios_itself_is_refused() {
        let to = |text: &str| RelayConfig { to: text.parse().unwrap(), source: RelaySource::Helios };
        for own in ["127.0.0.1:2055", "[::1]:2055", "127.9.9.9:2055"] {
            let found = problem(|config| config.relay.push(to(own)));
            assert!(found.contains("is an address that Helios listens on"), "{own}: {found}");
        }
        let none = problem(|config| config.relay.push(to("192.0.2.1:0")));
        assert_eq!(none, "collector.relay: 192.0.2.1:0 is no destination: it needs an address and a port");
        for other in ["127.0.0.1:2056", "192.0.2.1:2055"] {
            assert_eq!(problem(|config| config.relay.push(to(other))), "", "{other}");
        }
    }

    #[test]
    fn a_port_tells_one_kind_of_tunnel() {
        let found = problem(|config| config.tunnel_ports.gtp.push(4789));
        assert_eq!(found, "collector.tunnel_ports: port 4789 is listed twice: a port tells one kind of tunnel");
        assert_eq!(problem(|config| config.tunnel_ports.vxlan.push(6666)), "");
        assert_eq!(problem(|config| config.tunnel_ports.vxlan.clear()), "");
    }
}
