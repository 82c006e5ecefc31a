//! What the receive workers count.

use std::fmt;

use helios_collector::CollectorStats;
use helios_collector::SocketReport;
use helios_collector::decode::{DecodeError, Protocol};
use helios_collector::tcp::ConnectionStats;

use super::scrape::{Number, Scrape};
use super::table::{self, Metric};

pub fn write(out: &mut Scrape<'_>, stats: &CollectorStats) -> fmt::Result {
    let total = stats.total();
    out.one(&table::DATAGRAMS_RECEIVED, total.datagrams_received)?;
    out.one(&table::BYTES_RECEIVED, total.octets_received)?;
    out.one(&table::RECEIVE_CALLS, total.receive_calls)?;
    out.family(&table::DATAGRAMS_DECODED, by_protocol(&total.datagrams_decoded))?;
    let reasons = DecodeError::ALL.iter().map(|error| [error.reason()]);
    out.family(&table::DATAGRAMS_DROPPED, reasons.zip(total.datagrams_discarded))?;
    out.one(&table::DATAGRAMS_IMBALANCE, total.imbalance())?;
    out.family(&table::RECORDS, by_protocol(&total.records))?;
    out.one(&table::OPTIONS_RECORDS, total.options_records)?;
    out.one(&table::TEMPLATE_DEFINITIONS, total.template_definitions)?;
    out.one(&table::SETS_WITHOUT_TEMPLATE, total.sets_without_template)?;
    out.one(&table::UNREADABLE_LISTS, total.unreadable_lists)?;
    out.one(&table::COUNTER_SAMPLES, total.counter_samples)?;
    out.one(&table::COUNTER_ROWS, total.counter_rows)?;
    out.one(&table::COUNTER_SAMPLES_MALFORMED, total.malformed_counter_samples)?;
    out.one(&table::COUNTER_RECORDS_UNKNOWN, total.unknown_counter_records)?;
    out.one(&table::COUNTER_RECORDS_MALFORMED, total.malformed_counter_records)?;
    out.one(&table::STATE_WRITE_ERRORS, stats.state.write_errors)?;
    out.one(&table::STATE_LINES_DAMAGED, stats.state.damaged_lines)?;
    out.one(&table::STATE_REFUSED, stats.state.refused)?;
    out.one(&table::DECODING_BYTES, stats.decoding_octets)?;
    out.one(&table::DECODING_LIMIT, stats.max_decoding_octets)?;
    connections(out, &stats.connections)?;
    sockets(out, &stats.sockets)
}

fn connections(out: &mut Scrape<'_>, stats: &ConnectionStats) -> fmt::Result {
    out.one(&table::TCP_CONNECTIONS, stats.open)?;
    out.one(&table::TCP_ACCEPTED, stats.accepted)?;
    let closed = [("limit", stats.refused), ("idle", stats.idle), ("slow", stats.slow), ("failed", stats.failed)];
    out.family(&table::TCP_CLOSED, closed.map(|(reason, count)| ([reason], count)))
}

fn by_protocol(counts: &[u64; Protocol::ALL.len()]) -> impl Iterator<Item = ([&'static str; 1], u64)> {
    Protocol::ALL.iter().map(|protocol| [protocol.name()]).zip(*counts)
}

fn sockets(out: &mut Scrape<'_>, sockets: &[SocketReport]) -> fmt::Result {
    type Value = fn(&SocketReport) -> Number;
    let values: [(&Metric, Value); 5] = [
        (&table::SOCKET_DROPPED, |socket| socket.stats.dropped.into()),
        (&table::SOCKET_QUEUED, |socket| socket.stats.queued.into()),
        (&table::SOCKET_CAPACITY, |socket| socket.stats.capacity.into()),
        (&table::SOCKET_BUFFER_ASKED, |socket| socket.buffer_asked.into()),
        (&table::SOCKET_BUFFER, |socket| socket.buffer_granted.into()),
    ];
    for (metric, value) in values {
        let samples =
            sockets.iter().map(|socket| ([socket.worker.to_string(), socket.local.to_string()], value(socket)));
        out.family(metric, samples)?;
    }
    Ok(())
}
