//! What the section `collector` means, for `helios check`.

use std::path::Path;

use helios_advice::bytes;

use crate::config::{CollectorConfig, RelayConfig, RelaySource};
use crate::relay::may_keep_source;

impl CollectorConfig {
    /// What `helios run` would do, a line for each thing: its name and the rest of the line. Looks at the limits of this host
    /// and starts nothing.
    pub fn describe(&self) -> Vec<(&'static str, String)> {
        let mut lines = vec![("listen", self.addresses()), ("allow", allowed(&self.allow))];
        lines.extend(self.relay.iter().map(|relay| ("relay", relayed(relay))));
        lines.push(("workers", format!("{}, exporters spread over them by source address", self.workers)));
        lines.push(("receive buffer", receive_buffer(self.receive_buffer_bytes, rmem_max())));
        let kept = |path: &Path| format!("templates, sampling tables and names are kept in {}", path.display());
        let none = "nothing survives a restart (collector.state_dir)";
        lines.push(("state", self.state_dir.as_deref().map_or(none.to_owned(), kept)));
        lines
    }

    fn addresses(&self) -> String {
        let tcp = if self.tcp.tls.certificate.is_some() { "tls" } else { "tcp" };
        let udp = self.listen.iter().map(|address| format!("udp {address}"));
        udp.chain(self.tcp.listen.iter().map(|address| format!("{tcp} {address}"))).collect::<Vec<_>>().join(", ")
    }
}

fn allowed(prefixes: &[String]) -> String {
    match prefixes {
        [] => "every sender is accepted (collector.allow)".to_owned(),
        [one] => format!("exporters in {one}; datagrams of others are discarded"),
        [first, .., last] => {
            format!("exporters in {} prefixes ({first} to {last}); datagrams of others are discarded", prefixes.len())
        }
    }
}

fn relayed(relay: &RelayConfig) -> String {
    let to = relay.to;
    match relay.source {
        RelaySource::Helios => {
            format!(
                "every datagram also to {to}, from an address of this host: that collector takes all exporters for one"
            )
        }
        RelaySource::Exporter => {
            let kept = format!("every datagram also to {to} with the exporters' addresses, which needs CAP_NET_RAW");
            match may_keep_source(to) {
                Ok(()) => kept,
                Err(error) => format!("{kept}: THIS PROCESS DOES NOT HAVE IT ({error})"),
            }
        }
    }
}

/// The kernel's limit for receive buffers without CAP_NET_ADMIN.
fn rmem_max() -> Option<usize> {
    std::fs::read_to_string("/proc/sys/net/core/rmem_max").ok()?.trim().parse().ok()
}

fn receive_buffer(asked: usize, limit: Option<usize>) -> String {
    let asked_text = format!("{} per socket", bytes(asked as u64));
    match limit {
        Some(limit) if limit < asked => {
            format!(
                "{asked_text}; the kernel grants {} unless Helios has CAP_NET_ADMIN: `sysctl -w net.core.rmem_max={asked}`",
                bytes(limit as u64)
            )
        }
        _ => asked_text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_the_kernel_will_not_grant_is_said_to_be_one() {
        assert_eq!(receive_buffer(32 << 20, Some(64 << 20)), "32 MiB per socket");
        let capped = receive_buffer(32 << 20, Some(4 << 20));
        assert_eq!(
            capped,
            "32 MiB per socket; the kernel grants 4 MiB unless Helios has CAP_NET_ADMIN: `sysctl -w net.core.rmem_max=33554432`"
        );
    }
}
