//! What is counted of every decoded message: once for all of a worker's, once for each exporter's.

use super::{Decoded, Protocol};

helios_metrics::tally! {
    /// What became of messages that were decoded, of one exporter or of all. A new counter is a row here: `helios_collector_...`,
    /// the metric of each exporter and the figures of the API follow.
    pub struct Tally of Decoded {
        by Protocol as "protocol" = |message| message.protocol => {
            /// Messages.
            datagrams = |_| 1
                => "helios_collector_datagrams_decoded_total" "Datagrams decoded",
                each "helios_collector_exporter_datagrams_total" "Decoded datagrams of the exporter";
            /// Flow records on the wire, held ones included when they are decoded.
            records = |message| message.data_records + message.held_records
                => "helios_collector_records_total" "Flow records and samples decoded",
                each "helios_collector_exporter_records_total" "Flow records and samples of the exporter";
        }
        /// Rows of flows; those of `interface_counters` are counted apart. The accounts of rows have the metric.
        rows = |message| message.rows;
        /// Options data records.
        options_records = |message| message.options_records
            => "helios_collector_options_records_total" "Options data records decoded";
        /// Templates and options templates.
        template_definitions = |message| message.templates + message.options_templates
            => "helios_collector_template_definitions_total" "Template definitions received, refreshes included";
        /// Sets whose template was not known on arrival.
        sets_without_template = |message| message.sets_without_template
            => "helios_collector_sets_without_template_total" "Data sets received before their template",
            each "helios_collector_exporter_sets_without_template_total" "Data sets of the exporter that arrived before their template";
        /// Lists in records (RFC 6313) that could not be read.
        unreadable_lists = |message| message.unreadable_lists
            => "helios_collector_unreadable_lists_total" "Unreadable lists in records (RFC 6313): contradictory lengths or an unknown template";
        /// Messages with lengths that contradict each other, of which what could be told was decoded.
        contradicting_lengths = |message| message.contradictions
            => "helios_collector_contradicting_lengths_total" "Messages with contradictory lengths; what lies inside the datagram is decoded";
        /// Sets of NetFlow v9 and IPFIX that run past their datagram or are shorter than their header.
        sets_left_out = |message| message.sets_left_out
            => "helios_collector_sets_left_out_total" "v9 and IPFIX sets left out, with the rest of their message: longer than the datagram or shorter than their header";
        /// Samples of sFlow that run past their datagram, and those announced behind them.
        samples_left_out = |message| message.sflow.samples_left_out
            => "helios_collector_samples_left_out_total" "sFlow samples left out: longer than the datagram, or announced behind such a sample";
        /// Flow samples of sFlow that contradict themselves.
        malformed_samples = |message| message.sflow.malformed_samples
            => "helios_collector_malformed_samples_total" "sFlow flow samples left out because of contradictory lengths";
        /// Counter samples of sFlow.
        counter_samples = |message| message.sflow.counter_samples + message.sflow.expanded_counter_samples
            => "helios_collector_counter_samples_total" "sFlow counter samples received";
        /// Counter samples that became rows of `interface_counters`.
        counter_rows = |message| message.sflow.counter_rows
            => "helios_collector_counter_rows_total" "Rows of interface_counters made from counter samples";
        /// Counter samples that contradict themselves.
        malformed_counter_samples = |message| message.sflow.malformed_counter_samples
            => "helios_collector_malformed_counter_samples_total" "Malformed counter samples: contradictory lengths";
        /// Records of counter samples of a structure that is not read.
        unknown_counter_records = |message| message.sflow.unknown_counter_records
            => "helios_collector_unknown_counter_records_total" "Counter records of a structure that Helios does not read";
        /// Records of counter samples that are shorter than their structure.
        malformed_counter_records = |message| message.sflow.malformed_counter_records
            => "helios_collector_malformed_counter_records_total" "Counter records that are shorter than their structure";
    }
    /// The metrics of all messages.
    pub METRICS;
    /// The metrics of each exporter's messages.
    pub BY_EXPORTER as "exporter";
}
