//! `exporters`: what Helios knows of the exporters themselves, a row per minute and observation domain.
//!
//! Counts are of that minute, so that they can be summed; a minute without a datagram has no row. What is not a count
//! (templates, skew, intervals) is as it was last.

use crate::columns::EXPORT_PROTOCOLS;

#[rustfmt::skip]
side_table! {
    /// One minute of one observation domain of an exporter, as one receive worker saw it.
    ExporterMinute in Exporters {
        received_at: Time ["DoubleDelta, ZSTD(1)"] "" "Begin of the minute.";
        exporter_address: Address "" "Address of the exporter, as in flows.";
        exporter_socket_address: Address "" "sFlow: source address of the datagrams where it is not the agent's address, as in flows; senders with one agent address have a row each.";
        export_protocol: Enum(EXPORT_PROTOCOLS) "" "What it speaks.";
        observation_domain_id: U32 "" "IPFIX observation domain, NetFlow v9 source id, v5 engine, sFlow sub-agent.";
        worker: U32 "" "The receive worker; an exporter stays with one.";
        datagrams: U64 "" "Datagrams (IPFIX: messages) decoded.";
        records: U64 "" "Flow records on the wire; sFlow: samples that became flows.";
        options_records: U64 "" "Records of options data.";
        flows: U64 "" "Rows made of the records; a biflow record makes two.";
        lost: U64 "" "What never came, by sequence numbers: flows (v5, v7), messages (v9), records (IPFIX), datagrams (sFlow).";
        reordered: U64 "" "Messages that came late and filled a gap; they no longer count as lost.";
        duplicates: U64 "" "Messages that came twice.";
        restarts: U64 "" "Times that the sequence began anew.";
        kernel_drops: U64 "" "Datagrams that the kernel dropped at the sockets of this worker. Whose they were nobody knows: every exporter of the worker has the same figure, so take the maximum and not the sum.";
        sets_without_template: U64 "" "Data sets that came before their template.";
        template_definitions: U64 "" "Template definitions received, repeats included.";
        templates: U32 "" "Templates known at the end of the minute.";
        clock_skew_ms: I64 "ms" "The exporter's clock in its last message minus its arrival; 0 for sFlow, which has no clock.";
        sampling_interval: U32 "" "N of 1-in-N, as last announced by a sample or a sampler; 0 if none was.";
        samples: U64 "" "sFlow flow samples.";
        sample_pool: U64 "" "sFlow: packets that could have been sampled, by the agent's count.";
        sample_drops: U64 "" "sFlow: samples that the agent itself had to drop.";
        effective_sampling_interval: U32 "" "sFlow: sample_pool by samples, rounded: what the announced interval really was. 0 if the agent does not count.";
        counter_samples: U64 "" "sFlow counter samples.";
        last_seen: Time ["DoubleDelta, ZSTD(1)"] "" "Arrival of the last datagram of the minute.";
    }
}
