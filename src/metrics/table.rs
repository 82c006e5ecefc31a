//! All metrics: name, type, labels, help.
//!
//! Names are `helios_<stage>_<noun>_<unit>`, `_total` for counters, as Prometheus' conventions have it; the process's
//! own are the usual ones. Dashboards and alerts may only use what is here: tests/data/metrics.txt holds the list.

/// How a metric behaves over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until the process restarts.
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

macro_rules! metrics {
    ($($konst:ident: $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(pub const $konst: Metric =
            Metric { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };)*

        /// Every metric, in the order of a scrape.
        pub const METRICS: &[Metric] = &[$($konst),*];
    };
}

#[rustfmt::skip]
metrics! {
    BUILD_INFO: Gauge "helios_build_info" ["version"] "1, with the version as a label";
    PROCESS_START_TIME: Gauge "process_start_time_seconds" [] "Start of the process, Unix time";
    PROCESS_CPU: Counter "process_cpu_seconds_total" [] "CPU time used, user and system";
    PROCESS_MEMORY: Gauge "process_resident_memory_bytes" [] "Resident memory";
    PROCESS_OPEN_FDS: Gauge "process_open_fds" [] "Open file descriptors";

    READY: Gauge "helios_pipeline_ready" [] "1 when flows are received and the schema is in place, as /readyz says";
    ROWS_DECODED: Counter "helios_pipeline_rows_decoded_total" [] "Rows decoded";
    ROWS_RECOVERED: Counter "helios_pipeline_rows_recovered_total" [] "Rows that an earlier process left in the spool";
    ROWS_STORED: Counter "helios_pipeline_rows_stored_total" [] "Rows that ClickHouse acknowledged";
    ROWS_DROPPED: Counter "helios_pipeline_rows_dropped_total" ["stage", "reason"] "Rows given up, by where and why";
    ROWS_IN_FLIGHT: Gauge "helios_pipeline_rows_in_flight" ["stage"] "Rows between decoder and acknowledgement, by stage";
    ROWS_IMBALANCE: Gauge "helios_pipeline_rows_imbalance" [] "Decoded + recovered - stored - dropped - in flight; anything but 0 is a bug";
    QUEUE_BATCHES: Gauge "helios_pipeline_queue_batches" ["queue"] "Batches waiting in a queue";
    QUEUE_CAPACITY: Gauge "helios_pipeline_queue_capacity_batches" ["queue"] "Batches that a queue holds at most";
    NAMES: Gauge "helios_pipeline_names" [] "Distinct names held";
    NAMES_REFUSED: Counter "helios_pipeline_names_refused_total" [] "Names not taken because the table is full";

    DATAGRAMS_RECEIVED: Counter "helios_collector_datagrams_received_total" [] "Datagrams taken from the sockets";
    BYTES_RECEIVED: Counter "helios_collector_received_bytes_total" [] "Octets of these datagrams, UDP payload";
    RECEIVE_CALLS: Counter "helios_collector_receive_calls_total" [] "Receive system calls; datagrams by calls is how many came at once";
    DATAGRAMS_DECODED: Counter "helios_collector_datagrams_decoded_total" ["protocol"] "Datagrams decoded";
    DATAGRAMS_DROPPED: Counter "helios_collector_datagrams_dropped_total" ["reason"] "Datagrams discarded as malformed, unknown or beyond a limit";
    DATAGRAMS_IMBALANCE: Gauge "helios_collector_datagrams_imbalance" [] "Received - decoded - dropped; anything but 0 is a bug";
    RECORDS: Counter "helios_collector_records_total" ["protocol"] "Flow records and samples decoded";
    OPTIONS_RECORDS: Counter "helios_collector_options_records_total" [] "Records of options data decoded";
    TEMPLATE_DEFINITIONS: Counter "helios_collector_template_definitions_total" [] "Template definitions received, repeats included";
    SETS_WITHOUT_TEMPLATE: Counter "helios_collector_sets_without_template_total" [] "Data sets that came before their template";
    UNREADABLE_LISTS: Counter "helios_collector_unreadable_lists_total" [] "Lists in records (RFC 6313) that contradict themselves or whose template is not known";
    COUNTER_SAMPLES: Counter "helios_collector_counter_samples_total" [] "sFlow counter samples received";
    COUNTER_ROWS: Counter "helios_collector_counter_rows_total" [] "Counter samples that became rows of interface_counters";
    COUNTER_SAMPLES_MALFORMED: Counter "helios_collector_malformed_counter_samples_total" [] "Counter samples that contradict themselves";
    COUNTER_RECORDS_UNKNOWN: Counter "helios_collector_unknown_counter_records_total" [] "Records of counter samples of a structure that Helios does not read";
    COUNTER_RECORDS_MALFORMED: Counter "helios_collector_malformed_counter_records_total" [] "Records of counter samples that are shorter than their structure";
    STATE_WRITE_ERRORS: Counter "helios_collector_state_write_errors_total" [] "Failed writes of the state files; what was to be written is kept and tried again";
    STATE_LINES_DAMAGED: Counter "helios_collector_state_damaged_lines_total" [] "Damaged lines of the state files, found at the start and set aside";
    STATE_REFUSED: Counter "helios_collector_state_refused_total" [] "Exporter changes not saved because the exporter limit is reached";
    DECODING_BYTES: Gauge "helios_collector_decoding_state_bytes" [] "Memory for templates, options tables, domains, held sets and TCP connections of all exporters";
    DECODING_LIMIT: Gauge "helios_collector_decoding_state_limit_bytes" [] "The same at the most (collector.max_state_bytes); new exporters and templates are refused from seven eighths on";
    TCP_CONNECTIONS: Gauge "helios_collector_tcp_connections" [] "IPFIX connections that are open";
    TCP_ACCEPTED: Counter "helios_collector_tcp_accepted_total" [] "IPFIX connections accepted";
    TCP_CLOSED: Counter "helios_collector_tcp_closed_total" ["reason"] "IPFIX connections that the collector closed: more than allowed, silent for too long, a message that took too long, or no IPFIX came";
    SOCKET_DROPPED: Counter "helios_collector_socket_dropped_datagrams_total" ["worker", "listen"] "Datagrams that the kernel dropped because a socket's buffer was full";
    SOCKET_QUEUED: Gauge "helios_collector_socket_queued_bytes" ["worker", "listen"] "Octets waiting in a socket, the kernel's bookkeeping included";
    SOCKET_CAPACITY: Gauge "helios_collector_socket_capacity_bytes" ["worker", "listen"] "Octets that a socket holds at most, in the same measure";
    SOCKET_BUFFER_ASKED: Gauge "helios_collector_socket_buffer_asked_bytes" ["worker", "listen"] "Receive buffer asked of the kernel";
    SOCKET_BUFFER: Gauge "helios_collector_socket_buffer_bytes" ["worker", "listen"] "Receive buffer granted; less than asked means that net.core.rmem_max capped it";

    EXPORTERS: Gauge "helios_collector_exporters" [] "Exporters that state is kept for";
    EXPORTER_DATAGRAMS: Counter "helios_collector_exporter_datagrams_total" ["exporter"] "Datagrams decoded of an exporter";
    EXPORTER_RECORDS: Counter "helios_collector_exporter_records_total" ["exporter"] "Flow records and samples of an exporter";
    EXPORTER_DROPPED: Counter "helios_collector_exporter_dropped_datagrams_total" ["exporter"] "Datagrams of an exporter that were discarded";
    EXPORTER_LOST: Counter "helios_collector_exporter_lost_total" ["exporter", "protocol"] "What never arrived, by sequence numbers: flows (v5, v7), messages (v9), records (IPFIX) or datagrams (sFlow)";
    EXPORTER_REORDERED: Counter "helios_collector_exporter_reordered_total" ["exporter"] "Messages of an exporter that came late";
    EXPORTER_DUPLICATES: Counter "helios_collector_exporter_duplicates_total" ["exporter"] "Messages of an exporter that came twice";
    EXPORTER_RESTARTS: Counter "helios_collector_exporter_restarts_total" ["exporter"] "Times that an exporter's sequence numbers started again";
    EXPORTER_CLOCK_SKEW: Gauge "helios_collector_exporter_clock_skew_seconds" ["exporter"] "An exporter's clock in its last message minus its arrival; of further exporters the one that is farthest off";
    EXPORTER_SAMPLING: Gauge "helios_collector_exporter_sampling_interval" ["exporter"] "N of 1-in-N as an exporter announced it last, 0 if it did not; of further exporters the greatest";
    EXPORTER_SAMPLING_EFFECTIVE: Gauge "helios_collector_exporter_effective_sampling_interval" ["exporter"] "Packets per sample by the sample pools of an sFlow agent since it was first seen, 0 if it has none";
    EXPORTER_SAMPLES_DROPPED: Counter "helios_collector_exporter_dropped_samples_total" ["exporter"] "Samples that an sFlow agent itself had to drop";
    EXPORTER_SETS_WITHOUT_TEMPLATE: Counter "helios_collector_exporter_sets_without_template_total" ["exporter"] "Data sets of an exporter that came before their template";
    EXPORTER_HELD_SETS: Counter "helios_collector_exporter_held_sets_total" ["exporter", "outcome"] "Data sets that came before their template: held, and of these decoded when it came, expired without it, or evicted for want of room (which counts those that were never held, too)";
    EXPORTER_TEMPLATES: Gauge "helios_collector_exporter_templates" ["exporter"] "Templates known of an exporter";
    EXPORTER_TEMPLATES_GONE: Counter "helios_collector_exporter_templates_gone_total" ["exporter", "reason"] "Templates that are not kept: expired without another definition, evicted for newer ones, or refused when they came";
    EXPORTER_OPTIONS_REFUSED: Counter "helios_collector_exporter_options_refused_total" ["exporter"] "Samplers, interfaces, VRFs and applications that an exporter announced and that there is no room for";
    EXPORTER_LAST_SEEN: Gauge "helios_collector_exporter_last_seen_timestamp_seconds" ["exporter"] "Arrival of an exporter's last datagram, Unix time";

    ENRICHER_BATCHES: Counter "helios_enricher_batches_total" [] "Batches enriched";
    ENRICHER_ROWS: Counter "helios_enricher_rows_total" [] "Rows enriched";
    ENRICHER_LOOKUPS: Counter "helios_enricher_lookups_total" ["lookup", "result"] "Exporters, interfaces and addresses looked up for rows, by what was asked and whether it was known";
    SOURCE_LOOKUPS: Counter "helios_enricher_source_lookups_total" ["source", "lookup", "result"] "Exporters, interfaces and addresses looked up for rows, by source and whether it knew something of what was found";
    ENRICHER_TABLE_BYTES: Gauge "helios_enricher_table_bytes" [] "Memory of the tables of addresses";
    ENRICHER_DEVICES: Gauge "helios_enricher_devices" [] "Devices in the inventory";
    ENRICHER_INTERFACES: Gauge "helios_enricher_interfaces" [] "Interfaces of these devices";
    ENRICHER_GENERATION: Gauge "helios_enricher_generation" [] "How often the names in use were replaced since the start";
    SOURCE_ENTRIES: Gauge "helios_enricher_source_entries" ["source"] "Networks, devices, interfaces and VRFs in the version in use";
    SOURCE_LOADED: Gauge "helios_enricher_source_loaded_timestamp_seconds" ["source"] "When the source last answered with something usable, Unix time";
    SOURCE_LOADS: Counter "helios_enricher_source_loads_total" ["source"] "Versions or answers put into use";
    SOURCE_FAILURES: Counter "helios_enricher_source_failures_total" ["source"] "Versions refused and attempts that failed; what was known before stays in use";
    DATABASE_BUILT: Gauge "helios_enricher_database_build_timestamp_seconds" ["source"] "When the database in use was built, Unix time";
    DATABASE_SIZE: Gauge "helios_enricher_database_size_bytes" ["source"] "Size of the database's file";

    NETBOX_ROWS: Gauge "helios_netbox_rows" ["kind"] "Rows of NetBox's snapshot in use, by kind";
    NETBOX_AGE: Gauge "helios_netbox_age_seconds" [] "Since NetBox last confirmed the snapshot in use; NaN if there is none";
    NETBOX_REFRESH: Gauge "helios_netbox_refresh_duration_seconds" [] "Duration of the last successful refresh";
    NETBOX_REFRESHES: Counter "helios_netbox_refreshes_total" [] "Successful refreshes";
    NETBOX_FAILURES: Counter "helios_netbox_failures_total" ["reason"] "Failed refreshes; what was read before stays in use";
    NETBOX_REQUESTS: Counter "helios_netbox_requests_total" [] "Requests to NetBox";
    NETBOX_RETRIES: Counter "helios_netbox_retries_total" [] "Of these, repeated ones";
    NETBOX_BYTES: Counter "helios_netbox_received_bytes_total" [] "Octets of its answers";

    SCHEMA_READY: Gauge "helios_sink_schema_ready" [] "1 when the schema is as this version needs it";
    OPEN_ROWS: Gauge "helios_sink_open_block_rows" [] "Rows in the block that is being filled";
    BLOCKS_CLOSED: Counter "helios_sink_blocks_closed_total" ["reason"] "Blocks closed, by what closed them";
    BACKLOG_BLOCKS: Gauge "helios_sink_backlog_blocks" [] "Closed blocks that are not stored yet, those being sent included";
    BACKLOG_ROWS: Gauge "helios_sink_backlog_rows" [] "Rows of these blocks";
    BACKLOG_BYTES: Gauge "helios_sink_backlog_bytes" [] "Bytes of these blocks, bounded by clickhouse.max_backlog_bytes";
    INSERTS_IN_FLIGHT: Gauge "helios_sink_inserts_in_flight" [] "Blocks being sent now";
    ENCODED_BYTES: Counter "helios_sink_encoded_bytes_total" [] "Bytes of blocks before compression";
    COMPRESSED_BYTES: Counter "helios_sink_compressed_bytes_total" [] "Bytes of blocks after compression";
    ENCODE_SECONDS: Counter "helios_sink_encode_seconds_total" [] "Time spent encoding blocks";
    COMPRESS_SECONDS: Counter "helios_sink_compress_seconds_total" [] "Time spent compressing blocks";
    INSERTS: Counter "helios_sink_inserts_total" [] "Blocks that ClickHouse acknowledged";
    INSERTED_BYTES: Counter "helios_sink_inserted_bytes_total" [] "Bytes of these blocks as sent";
    INSERT_SECONDS: Counter "helios_sink_insert_seconds_total" [] "Time from sending to acknowledgement, summed over inserts";
    INSERT_FAILURES: Counter "helios_sink_insert_failures_total" ["class"] "Attempts that failed: transient ones are repeated, configuration needs a person, refused sets the block aside";
    UNWRITTEN_ROWS: Gauge "helios_sink_unwritten_rows" [] "Rows of the open block that are not encoded yet: what a crash would cost, with those in the queues";
    SPOOL_AVAILABLE: Gauge "helios_sink_spool_available" [] "1 when the spool takes blocks, 0 when it fails, and where none is configured";
    SPOOL_CONFIGURED: Gauge "helios_sink_spool_configured" [] "1 when there is to be a spool: an alarm if available is 0";
    SPOOL_FILES: Gauge "helios_sink_spool_files" [] "Blocks in the spool, those that memory holds as well included";
    SPOOL_BYTES: Gauge "helios_sink_spool_bytes" [] "Bytes of these files, bounded by clickhouse.spool.max_bytes";
    SPOOL_WAITING_BLOCKS: Gauge "helios_sink_spool_waiting_blocks" [] "Blocks that only the spool holds: falls to 0 while they are replayed";
    SPOOL_WAITING_ROWS: Gauge "helios_sink_spool_waiting_rows" [] "Rows of these blocks";
    SPOOL_ASIDE: Gauge "helios_sink_spool_aside_files" [] "Refused blocks and damaged files that wait for a decision: helios spool list";
    SPOOL_RECOVERED: Counter "helios_sink_spool_recovered_blocks_total" [] "Blocks taken over from earlier processes";
    SPOOL_SCANNED: Gauge "helios_sink_spool_scanned" [] "1 when all that earlier processes left has been found";
    SPOOL_FAILURES: Counter "helios_sink_spool_failures_total" [] "Files that could not be written, read, moved or removed";
    SPOOL_DAMAGED: Counter "helios_sink_spool_damaged_files_total" [] "Files set aside because their octets are not what was written";
    SIDE_OFFERED: Counter "helios_sink_side_rows_offered_total" ["table"] "Rows of side tables that the sink was offered; stored, dropped and in flight, less recovered, add up to them";
    SIDE_RECOVERED: Counter "helios_sink_side_rows_recovered_total" ["table"] "Rows of side tables that an earlier process left in the spool";
    SIDE_STORED: Counter "helios_sink_side_rows_stored_total" ["table"] "Rows of side tables that ClickHouse acknowledged";
    SIDE_DROPPED: Counter "helios_sink_side_rows_dropped_total" ["table", "reason"] "Rows of side tables given up, by why";
    SIDE_IN_FLIGHT: Gauge "helios_sink_side_rows_in_flight" ["table"] "Rows of side tables between offer and acknowledgement";
    LATENCY: Histogram "helios_sink_latency_seconds" [] "Time from a datagram's arrival to the acknowledgement of its rows, a count per row";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions() {
        for metric in METRICS {
            let name = metric.name;
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{name}");
            let stages = ["build", "pipeline", "collector", "enricher", "netbox", "sink"];
            let stage = name.strip_prefix("helios_").and_then(|rest| rest.split('_').next());
            assert!(name.starts_with("process_") || stage.is_some_and(|stage| stages.contains(&stage)), "{name}");
            assert_eq!(metric.kind == Kind::Counter, name.ends_with("_total"), "{name}");
            assert!(!metric.help.is_empty() && !metric.help.ends_with('.') && !metric.help.contains('\n'), "{name}");
        }
    }

    #[test]
    fn no_name_is_used_twice() {
        let mut names: Vec<_> = METRICS.iter().map(|metric| metric.name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
