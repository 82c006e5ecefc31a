//! The metrics of the collector: what its workers, its state files, its connections and its sockets count.

use crate::collector::CollectorStats;
use crate::counts::{Counts, SocketReport};
use crate::decode::DecodeError;
use crate::relay::{DestinationStats, Failure};

pub mod exporters;

helios_metrics::metrics! {
    /// What the receive workers count besides [`crate::decode::tally::METRICS`].
    pub COUNTS of Counts {
        Counter "helios_collector_datagrams_received_total" [] "Datagrams received" =
            |counts, out| out.one(counts.datagrams_received);
        Counter "helios_collector_received_bytes_total" [] "Bytes of UDP payload received" =
            |counts, out| out.one(counts.octets_received);
        Counter "helios_collector_receive_calls_total" [] "Receive system calls; received datagrams / calls = datagrams per call" =
            |counts, out| out.one(counts.receive_calls);
        Counter "helios_collector_datagrams_dropped_total" ["reason"] "Discarded datagrams, by reason: malformed, unknown version, not in collector.allow, beyond a limit" =
            |counts, out| out.all(DecodeError::ALL.iter().map(|error| [error.name()]).zip(counts.datagrams_discarded));
        Gauge "helios_collector_datagrams_imbalance" [] "Received - decoded - dropped; always 0, another value is a bug" =
            |counts, out| out.one(counts.imbalance());
    }
}

helios_metrics::metrics! {
    /// State files, connections and sockets.
    pub METRICS of CollectorStats {
        Counter "helios_collector_state_write_errors_total" [] "Failed writes of the state files; each is tried again" =
            |stats, out| out.one(stats.state.write_errors);
        Counter "helios_collector_state_damaged_lines_total" [] "Damaged lines found in the state files at the start and moved aside" =
            |stats, out| out.one(stats.state.damaged_lines);
        Counter "helios_collector_state_refused_total" [] "Exporter changes not saved because the exporter limit is reached" =
            |stats, out| out.one(stats.state.refused);
        Gauge "helios_collector_decoding_state_bytes" [] "Memory of templates, options tables, domains, held sets and TCP connections of all exporters" =
            |stats, out| out.one(stats.decoding_octets);
        Gauge "helios_collector_decoding_state_limit_bytes" [] "Limit of helios_collector_decoding_state_bytes (collector.max_state_bytes); from seven eighths on, new exporters and templates are refused" =
            |stats, out| out.one(stats.max_decoding_octets);
        Gauge "helios_collector_tcp_connections" [] "Open IPFIX connections" =
            |stats, out| out.one(stats.connections.open);
        Counter "helios_collector_tcp_accepted_total" [] "Accepted IPFIX connections" =
            |stats, out| out.one(stats.connections.accepted);
        Counter "helios_collector_tcp_closed_total" ["reason"] "IPFIX connections closed by Helios, by reason: connection limit, not in collector.allow, idle, message too slow, not IPFIX" =
            |CollectorStats { connections, .. }, out| out.all([(["limit"], connections.refused), (["not_allowed"], connections.not_allowed), (["idle"], connections.idle), (["slow"], connections.slow), (["failed"], connections.failed)]);
        Counter "helios_collector_relay_sent_datagrams_total" ["destination"] "Datagrams passed on (collector.relay)" =
            |stats, out| out.all(stats.relay.destinations.iter().map(|destination| ([destination.to.to_string()], destination.sent)));
        Counter "helios_collector_relay_sent_bytes_total" ["destination"] "Bytes of UDP payload passed on" =
            |stats, out| out.all(stats.relay.destinations.iter().map(|destination| ([destination.to.to_string()], destination.sent_octets)));
        Counter "helios_collector_relay_failed_datagrams_total" ["destination", "reason"] "Datagrams not passed on, by reason: no room in the socket, exporter of another address family, error of the system" =
            |stats, out| out.all(stats.relay.destinations.iter().flat_map(relay_failures));
        Counter "helios_collector_relay_left_out_datagrams_total" [] "Datagrams that went to no destination because the relay's queue was full" =
            |stats, out| out.one(stats.relay.left_out);
        Counter "helios_collector_socket_dropped_datagrams_total" ["worker", "listen"] "Datagrams dropped by the kernel because the socket's receive buffer was full" =
            |stats, out| out.all(stats.sockets.iter().map(|socket| (labels(socket), socket.stats.dropped)));
        Gauge "helios_collector_socket_queued_bytes" ["worker", "listen"] "Bytes waiting in the socket, the kernel's overhead included" =
            |stats, out| out.all(stats.sockets.iter().map(|socket| (labels(socket), socket.stats.queued)));
        Gauge "helios_collector_socket_capacity_bytes" ["worker", "listen"] "Bytes that the socket can hold, the kernel's overhead included" =
            |stats, out| out.all(stats.sockets.iter().map(|socket| (labels(socket), socket.stats.capacity)));
        Gauge "helios_collector_socket_buffer_asked_bytes" ["worker", "listen"] "Requested receive buffer" =
            |stats, out| out.all(stats.sockets.iter().map(|socket| (labels(socket), socket.buffer_asked)));
        Gauge "helios_collector_socket_buffer_bytes" ["worker", "listen"] "Granted receive buffer; less than requested: net.core.rmem_max limits it" =
            |stats, out| out.all(stats.sockets.iter().map(|socket| (labels(socket), socket.buffer_granted)));
    }
}

fn relay_failures(destination: &DestinationStats) -> impl Iterator<Item = ([String; 2], u64)> {
    let to = destination.to.to_string();
    Failure::ALL
        .iter()
        .zip(destination.failed)
        .map(move |(failure, count)| ([to.clone(), failure.name().to_owned()], count))
}

fn labels(socket: &SocketReport) -> [String; 2] {
    [socket.worker.to_string(), socket.local.to_string()]
}
