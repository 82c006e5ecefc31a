//! The metrics of the collector: what its workers, its state files, its connections and its sockets count.

use crate::collector::CollectorStats;
use crate::counts::{Counts, SocketReport};
use crate::decode::{DecodeError, Protocol};

pub mod exporters;

helios_metrics::metrics! {
    /// What the receive workers count.
    pub COUNTS of Counts {
        Counter "helios_collector_datagrams_received_total" [] "Datagrams taken from the sockets" =
            |counts, out| out.one(counts.datagrams_received);
        Counter "helios_collector_received_bytes_total" [] "Octets of these datagrams, UDP payload" =
            |counts, out| out.one(counts.octets_received);
        Counter "helios_collector_receive_calls_total" [] "Receive system calls; datagrams by calls is how many came at once" =
            |counts, out| out.one(counts.receive_calls);
        Counter "helios_collector_datagrams_decoded_total" ["protocol"] "Datagrams decoded" =
            |counts, out| out.all(by_protocol(&counts.datagrams_decoded));
        Counter "helios_collector_datagrams_dropped_total" ["reason"] "Datagrams discarded as malformed, unknown or beyond a limit" =
            |counts, out| out.all(DecodeError::ALL.iter().map(|error| [error.reason()]).zip(counts.datagrams_discarded));
        Gauge "helios_collector_datagrams_imbalance" [] "Received - decoded - dropped; anything but 0 is a bug" =
            |counts, out| out.one(counts.imbalance());
        Counter "helios_collector_records_total" ["protocol"] "Flow records and samples decoded" =
            |counts, out| out.all(by_protocol(&counts.records));
        Counter "helios_collector_options_records_total" [] "Records of options data decoded" =
            |counts, out| out.one(counts.options_records);
        Counter "helios_collector_template_definitions_total" [] "Template definitions received, repeats included" =
            |counts, out| out.one(counts.template_definitions);
        Counter "helios_collector_sets_without_template_total" [] "Data sets that came before their template" =
            |counts, out| out.one(counts.sets_without_template);
        Counter "helios_collector_unreadable_lists_total" [] "Lists in records (RFC 6313) that contradict themselves or whose template is not known" =
            |counts, out| out.one(counts.unreadable_lists);
        Counter "helios_collector_contradicting_lengths_total" [] "Messages whose lengths contradict each other; what lies inside the datagram was decoded" =
            |counts, out| out.one(counts.contradictions);
        Counter "helios_collector_malformed_samples_total" [] "sFlow flow samples left out because lengths inside them contradict each other" =
            |counts, out| out.one(counts.malformed_samples);
        Counter "helios_collector_counter_samples_total" [] "sFlow counter samples received" =
            |counts, out| out.one(counts.counter_samples);
        Counter "helios_collector_counter_rows_total" [] "Counter samples that became rows of interface_counters" =
            |counts, out| out.one(counts.counter_rows);
        Counter "helios_collector_malformed_counter_samples_total" [] "Counter samples that contradict themselves" =
            |counts, out| out.one(counts.malformed_counter_samples);
        Counter "helios_collector_unknown_counter_records_total" [] "Records of counter samples of a structure that Helios does not read" =
            |counts, out| out.one(counts.unknown_counter_records);
        Counter "helios_collector_malformed_counter_records_total" [] "Records of counter samples that are shorter than their structure" =
            |counts, out| out.one(counts.malformed_counter_records);
    }
}

helios_metrics::metrics! {
    /// State files, connections and sockets.
    pub METRICS of CollectorStats {
        Counter "helios_collector_state_write_errors_total" [] "Failed writes of the state files; what was to be written is kept and tried again" =
            |stats, out| out.one(stats.state.write_errors);
        Counter "helios_collector_state_damaged_lines_total" [] "Damaged lines of the state files, found at the start and set aside" =
            |stats, out| out.one(stats.state.damaged_lines);
        Counter "helios_collector_state_refused_total" [] "Exporter changes not saved because the exporter limit is reached" =
            |stats, out| out.one(stats.state.refused);
        Gauge "helios_collector_decoding_state_bytes" [] "Memory for templates, options tables, domains, held sets and TCP connections of all exporters" =
            |stats, out| out.one(stats.decoding_octets);
        Gauge "helios_collector_decoding_state_limit_bytes" [] "The same at the most (collector.max_state_bytes); new exporters and templates are refused from seven eighths on" =
            |stats, out| out.one(stats.max_decoding_octets);
        Gauge "helios_collector_tcp_connections" [] "IPFIX connections that are open" =
            |stats, out| out.one(stats.connections.open);
        Counter "helios_collector_tcp_accepted_total" [] "IPFIX connections accepted" =
            |stats, out| out.one(stats.connections.accepted);
        Counter "helios_collector_tcp_closed_total" ["reason"] "IPFIX connections that the collector closed: more than allowed, silent for too long, a message that took too long, or no IPFIX came" =
            |CollectorStats { connections, .. }, out| out.all([(["limit"], connections.refused), (["idle"], connections.idle), (["slow"], connections.slow), (["failed"], connections.failed)]);
        Counter "helios_collector_socket_dropped_datagrams_total" ["worker", "listen"] "Datagrams that the kernel dropped because a socket's buffer was full" =
            |stats, out| out.all(stats.sockets.iter().map(|socket| (labels(socket), socket.stats.dropped)));
        Gauge "helios_collector_socket_queued_bytes" ["worker", "listen"] "Octets waiting in a socket, the kernel's bookkeeping included" =
            |stats, out| out.all(stats.sockets.iter().map(|socket| (labels(socket), socket.stats.queued)));
        Gauge "helios_collector_socket_capacity_bytes" ["worker", "listen"] "Octets that a socket holds at most, in the same measure" =
            |stats, out| out.all(stats.sockets.iter().map(|socket| (labels(socket), socket.stats.capacity)));
        Gauge "helios_collector_socket_buffer_asked_bytes" ["worker", "listen"] "Receive buffer asked of the kernel" =
            |stats, out| out.all(stats.sockets.iter().map(|socket| (labels(socket), socket.buffer_asked)));
        Gauge "helios_collector_socket_buffer_bytes" ["worker", "listen"] "Receive buffer granted; less than asked means that net.core.rmem_max capped it" =
            |stats, out| out.all(stats.sockets.iter().map(|socket| (labels(socket), socket.buffer_granted)));
    }
}

fn by_protocol(counts: &[u64; Protocol::ALL.len()]) -> impl Iterator<Item = ([&'static str; 1], u64)> {
    Protocol::ALL.iter().map(|protocol| [protocol.name()]).zip(*counts)
}

fn labels(socket: &SocketReport) -> [String; 2] {
    [socket.worker.to_string(), socket.local.to_string()]
}
