//! Receive workers: socket -> decoder -> batch -> queue, one thread each.
//!
//! A worker never waits for anybody but its sockets: a batch that the queue does not take is dropped and counted.
//! The clock is read once per receive call. Counts are published once per receive call, what is known of the
//! exporters once a second. Rows of side tables are offered to the sink once per receive call.

use std::io::ErrorKind;
use std::iter;
use std::mem;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use helios_common::clock::unix_ms;
use helios_common::exporter::ip_of;
use helios_common::side::ExporterMinute;
use helios_common::time::{UnixMs, minute_of};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::config::CollectorConfig;
use crate::counts::{Counts, PUBLISH_INTERVAL, Shared, SocketReport, locked};
use crate::decode::{DatagramMeta, DecodeError, Decoder, Discarded, ExporterStats};
use crate::log_limit::LogLimit;
use crate::output::Output;
use crate::proxy::{NoHeader, Proxies};
use crate::relay::Copier;
use crate::state::Saver;
use crate::udp::{Ring, SocketStats, UdpSocket, Wait};

/// Buffers per receive call, see [`Ring::new`].
const RING_BUFFERS: usize = 16;

/// The kernel gets time to gather so many datagrams before a worker looks again, but no more time than this.
///
/// Waking up costs more than decoding: a worker that wakes up for each of 1,000 datagrams a second spends six times as
/// much as one that lets them gather for 10 ms. At 2,000 a second, 25 ms spare another seventh. 128 datagrams of an Ethernet
/// frame still fit into a core's L2 cache.
const GATHERED_DATAGRAMS: u32 = 128;
const MAX_GATHER_TIME: Duration = Duration::from_millis(25);

/// Shorter gathering saves nothing.
const MIN_GATHER_TIME: Duration = Duration::from_millis(1);

/// What a 10 Gbit/s link brings in a second, counted as the kernel does: about twice its octets.
const LINK_OCTETS_PER_SECOND: f64 = 2.5e9;

/// Silent exporters are looked for about once a minute.
const EXPIRE_EVERY: u32 = 60;

/// Exporters whose templates never change are saved again about once a day: what was saved long ago counts as outdated.
const SAVE_ANEW_EVERY: u32 = 86_400;

/// Sequence numbers are saved every ten seconds: so much counts as lost after a crash although it had arrived.
const SAVE_SEQUENCES_EVERY: u32 = 10;

/// When exporters were last seen is saved once a minute: after a crash it may be as old.
const SAVE_SEEN_EVERY: u32 = 60;

/// Exporters whose state is saved at a time: some milliseconds of work at the most, after a start with thousands of
/// devices the rest follows a second later.
const SAVES_PER_PUBLICATION: usize = 256;

/// Exporters without a template that are logged in a minute.
const WAITING_EXPORTERS_PER_MINUTE: usize = 10;

/// How long a stopping worker keeps reading what the kernel had queued before the stop.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);

/// When batches are handed on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    batch_rows: usize,
    flush_interval: Duration,
    receive_buffer: usize,
}

impl Limits {
    pub(crate) fn new(config: &CollectorConfig) -> Self {
        Self {
            batch_rows: config.batch_rows,
            flush_interval: config.flush_interval(),
            receive_buffer: config.receive_buffer_bytes,
        }
    }
}

/// What a worker reads from.
pub(crate) struct Source {
    pub number: usize,
    pub sockets: Vec<UdpSocket>,
    pub decoder: Decoder,
    pub saver: Option<Saver>,
    /// `None` where datagrams are not passed on.
    pub copier: Option<Copier>,
    pub proxies: Arc<Proxies>,
}

pub(crate) struct Worker {
    number: usize,
    sockets: Vec<UdpSocket>,
    ring: Ring,
    decoder: Decoder,
    saver: Option<Saver>,
    copier: Option<Copier>,
    proxies: Arc<Proxies>,
    output: Output,
    limits: Limits,
    shared: Arc<Shared>,
    counts: Counts,
    published: Instant,
    publications: u32,
    minute: Minute,
    failures: LogLimit<ErrorKind>,
    refused: LogLimit<DecodeError>,
    /// When exporters that wait for a template were looked for last.
    waiting_seen: UnixMs,
}

/// What a receive call brought.
#[derive(Debug, Clone, Copy, Default)]
struct Taken {
    datagrams: u32,
    /// There was no room for more.
    full: bool,
}

/// How long the kernel is left to gather datagrams.
#[derive(Debug)]
struct Gathering {
    longest: Duration,
    /// The begin of the last pause, and the datagrams since then.
    since: Instant,
    datagrams: u32,
}

/// The minute that the next rows of `exporters` are of.
struct Minute {
    begin: UnixMs,
    /// Datagrams that the kernel had dropped before it.
    kernel_drops: u64,
}

impl Worker {
    pub(crate) fn new(source: Source, output: Output, limits: Limits, shared: Arc<Shared>) -> Self {
        let Source { number, sockets, decoder, saver, copier, proxies } = source;
        let mut worker = Self {
            number,
            sockets,
            ring: Ring::new(RING_BUFFERS),
            decoder,
            saver,
            copier,
            proxies,
            output,
            limits,
            shared,
            counts: Counts::default(),
            published: Instant::now(),
            publications: 0,
            minute: Minute { begin: minute_of(unix_ms()), kernel_drops: 0 },
            failures: LogLimit::default(),
            refused: LogLimit::default(),
            waiting_seen: unix_ms(),
        };
        worker.publish();
        worker
    }

    pub(crate) fn run(mut self, stop: &AtomicBool) {
        let buffer = self.sockets.iter().map(|socket| socket.receive_buffer).min().unwrap_or(0);
        let mut gathering = Gathering::into(buffer, Instant::now());
        while !stop.load(Ordering::Relaxed) {
            let taken = match self.sockets.len() {
                1 => self.receive(0, Wait::Timeout),
                _ => self.receive_any(),
            };
            self.tick();
            if let Some(pause) = gathering.as_mut().and_then(|gathering| gathering.pause(taken, Instant::now())) {
                std::thread::sleep(pause);
            }
        }
        self.publish();
        let deadline = Instant::now() + DRAIN_LIMIT;
        while !self.sockets.is_empty() {
            while Instant::now() < deadline && self.receive(0, Wait::No).datagrams > 0 {}
            // Closed at once: until then the kernel gives it datagrams that another process on the port could have read.
            self.sockets.remove(0);
        }
        self.output.hand_on();
        self.publish();
        self.close_minute(unix_ms());
        if let Some(saver) = self.saver.take() {
            saver.save_sequences(self.number, self.decoder.sequences());
            self.decoder.changed(saver.room(), |address, saved| saver.save(address, &saved));
        }
    }

    /// Waits for any of several sockets.
    fn receive_any(&mut self) -> Taken {
        let mut ready = Vec::with_capacity(self.sockets.len());
        for socket in &self.sockets {
            ready.push(PollFd::new(socket.as_fd(), PollFlags::POLLIN));
        }
        let wait = PollTimeout::try_from(self.limits.flush_interval).unwrap_or(PollTimeout::MAX);
        if poll(&mut ready, wait).unwrap_or(0) == 0 {
            return Taken::default();
        }
        let readable: Vec<bool> = ready.iter().map(|fd| fd.any().unwrap_or(false)).collect();
        let readable = readable.into_iter().enumerate().filter(|(_, readable)| *readable);
        readable.map(|(socket, _)| self.receive(socket, Wait::No)).fold(Taken::default(), Taken::and)
    }

    /// One receive call.
    fn receive(&mut self, socket: usize, wait: Wait) -> Taken {
        let Self { ring, decoder, output, counts, sockets, limits, failures, copier, proxies, .. } = self;
        let Some(socket) = sockets.get(socket) else { return Taken::default() };
        let datagrams = match ring.receive(socket, wait) {
            Ok(datagrams) => datagrams,
            Err(error) => {
                if let Some(left_out) = failures.allow(error.kind(), Instant::now()) {
                    tracing::warn!(listen = %socket.local_addr(), %error, left_out, "receive failed");
                }
                return Taken::default();
            }
        };
        let received_at = unix_ms();
        let before = counts.datagrams_received;
        counts.receive_calls += 1;
        for datagram in datagrams {
            counts.datagrams_received += 1;
            counts.octets_received += datagram.octets.len() as u64;
            let (source, octets) = match proxies.unwrap(datagram.source, datagram.octets) {
                Ok(exporters) => exporters,
                Err(NoHeader) => {
                    let meta = DatagramMeta { source: datagram.source, received_at };
                    counts.discarded(&decoder.refuse(DecodeError::NoProxyHeader, &meta));
                    continue;
                }
            };
            let meta = DatagramMeta { source, received_at };
            let decoded = decoder.decode(octets, &meta, &mut output.batch);
            if let Some(copier) = copier
                && !matches!(decoded, Err(Discarded { error: DecodeError::NotAllowed, .. }))
            {
                copier.copy(source, octets);
            }
            match decoded {
                Ok(decoded) => {
                    counts.tally.count(&decoded);
                    output.unbooked += u64::from(decoded.rows);
                }
                Err(discarded) => counts.discarded(&discarded),
            }
            if output.batch.is_full(limits.batch_rows) {
                output.hand_on();
            }
        }
        if let Some(copier) = copier {
            copier.hand_on();
        }
        output.book();
        output.side.offer(decoder.take_counters());
        *locked(&self.shared.counts) = *counts;
        Taken { datagrams: (counts.datagrams_received - before) as u32, full: ring.is_full() }
    }

    /// What time brings: a batch that has waited long enough goes on, counts are shown.
    fn tick(&mut self) {
        if self.output.is_due(self.limits.flush_interval) {
            self.output.hand_on();
        }
        if self.published.elapsed() >= PUBLISH_INTERVAL {
            self.publish();
        }
    }

    fn publish(&mut self) {
        self.published = Instant::now();
        self.publications += 1;
        let now = unix_ms();
        let gone = match self.publications.is_multiple_of(EXPIRE_EVERY) {
            true => self.decoder.expire(now),
            false => Vec::new(),
        };
        if self.publications.is_multiple_of(SAVE_ANEW_EVERY) {
            self.decoder.save_anew();
        }
        if let Some(saver) = &self.saver {
            if self.publications.is_multiple_of(SAVE_SEQUENCES_EVERY) {
                saver.save_sequences(self.number, self.decoder.sequences());
            }
            // The roster is of all workers: one of them saves it.
            if self.number == 0 && self.publications.is_multiple_of(SAVE_SEEN_EVERY) {
                saver.save_seen(self.shared.roster.lock().seen());
            }
            let limit = saver.room().min(SAVES_PER_PUBLICATION);
            self.decoder.changed(limit, |address, saved| saver.save(address, &saved));
        }
        self.shared.show(self.decoder.exporters(), &gone, now);
        self.tell_refused(now);
        if self.publications.is_multiple_of(EXPIRE_EVERY) {
            self.tell_waiting(now);
        }
        // The last figures stay when the sockets are gone.
        if !self.sockets.is_empty() {
            let before: Vec<SocketStats> = locked(&self.shared.sockets).iter().map(|report| report.stats).collect();
            let before = before.into_iter().chain(iter::repeat(SocketStats::default()));
            let reports = self.sockets.iter().zip(before).map(|(socket, before)| self.report(socket, before)).collect();
            *locked(&self.shared.sockets) = reports;
        }
        if minute_of(now) != self.minute.begin {
            self.close_minute(now);
        }
    }

    /// Shows the last senders whose datagrams were discarded, and logs one of each reason a minute.
    fn tell_refused(&mut self, now: UnixMs) {
        let refused = self.decoder.refused();
        for sender in refused.iter().filter(|sender| now - sender.last_seen < 2 * PUBLISH_INTERVAL.as_millis() as i64) {
            if let Some(left_out) = self.refused.allow(sender.reason, Instant::now()) {
                tracing::warn!(sender = %ip_of(sender.address), reason = %sender.reason, datagrams = sender.datagrams, left_out, "datagrams discarded; /api/v1/exporters lists the last senders");
            }
        }
        let mut shown = locked(&self.shared.refused);
        shown.clear();
        shown.extend_from_slice(refused);
    }

    /// Logs exporters whose data waits for a template for more than a minute: each once, and only so many at a time.
    fn tell_waiting(&mut self, now: UnixMs) {
        let last = mem::replace(&mut self.waiting_seen, now);
        let waits = |stats: &ExporterStats| {
            let since = stats.stats.waits_for_template_since?;
            turned_a_minute(since, last, now).then_some((stats.address, now - since))
        };
        let exporters = self.decoder.exporters();
        for (address, waiting_ms) in exporters.filter_map(|stats| waits(&stats)).take(WAITING_EXPORTERS_PER_MINUTE) {
            tracing::warn!(exporter = %ip_of(address), waiting_seconds = waiting_ms / 1000, "an exporter sends data and no template for it: its flows are held and then lost; have it send templates every minute");
        }
    }

    /// Offers the rows of `exporters` of the minute that is over, and begins another.
    fn close_minute(&mut self, now: UnixMs) {
        let dropped: u64 = locked(&self.shared.sockets).iter().map(|socket| socket.stats.dropped).sum();
        let mut rows = self.decoder.close_minute();
        for row in &mut rows {
            *row = ExporterMinute {
                received_at: self.minute.begin,
                worker: self.number as u32,
                kernel_drops: dropped.saturating_sub(self.minute.kernel_drops),
                ..*row
            };
        }
        self.output.side.offer(rows);
        self.minute = Minute { begin: minute_of(now), kernel_drops: dropped };
    }

    fn report(&self, socket: &UdpSocket, before: SocketStats) -> SocketReport {
        SocketReport {
            worker: self.number,
            local: socket.local_addr(),
            buffer_asked: self.limits.receive_buffer,
            buffer_granted: socket.receive_buffer,
            gro: socket.gro,
            // Figures that cannot be read stay: a counter that fell to 0 would count everything again.
            stats: socket.stats().map_or(before, |stats| stats.following(before)),
        }
    }
}

impl Taken {
    fn and(self, other: Self) -> Self {
        Self { datagrams: self.datagrams + other.datagrams, full: self.full || other.full }
    }
}

impl Gathering {
    /// As long as a receive buffer holds what comes, whatever comes; `None` if that is not worth it.
    fn into(receive_buffer: usize, now: Instant) -> Option<Self> {
        let full_after = Duration::from_secs_f64(receive_buffer as f64 / LINK_OCTETS_PER_SECOND);
        let longest = full_after.min(MAX_GATHER_TIME);
        (full_after >= MIN_GATHER_TIME).then_some(Self { longest, since: now, datagrams: 0 })
    }

    /// The pause after a receive call, if there is to be one: by the rate since the last one, it brings
    /// [`GATHERED_DATAGRAMS`].
    fn pause(&mut self, taken: Taken, now: Instant) -> Option<Duration> {
        self.datagrams += taken.datagrams;
        if taken.full || taken.datagrams == 0 {
            return None;
        }
        let pause = (now - self.since) * GATHERED_DATAGRAMS / self.datagrams;
        (self.since, self.datagrams) = (now, 0);
        (pause >= MIN_GATHER_TIME).then(|| pause.min(self.longest))
    }
}

/// Whether what began at `since` has become a minute old since `last`. The intervals between two looks have any length, and
/// each moment is in one of them.
fn turned_a_minute(since: UnixMs, last: UnixMs, now: UnixMs) -> bool {
    (last + 1..=now).contains(&(since + 60_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathering(receive_buffer: usize) -> (Gathering, Instant) {
        let begin = Instant::now();
        (Gathering::into(receive_buffer, begin).unwrap(), begin)
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_kernel_gathers_as_many_datagrams_as_are_worth_waking_up_for() {
        let (mut gathering, mut now) = gathering(64 << 20);
        // Datagrams that came within so many milliseconds, and the pause that brings 128 at that rate.
        for (datagrams, ms, pause) in [(1, 1000, Some(25)), (10, 100, Some(25)), (15, 2, Some(17)), (15, 1, Some(8))] {
            now += ms * MS;
            let pause = pause.map(Duration::from_millis);
            let found = gathering.pause(Taken { datagrams, full: false }, now);
            assert_eq!(found.map(|found| Duration::from_millis(found.as_millis() as u64)), pause, "{datagrams}");
        }
    }

    #[test]
    fn nothing_is_waited_for_while_more_is_there_nor_at_rates_that_fill_every_call() {
        let (mut gathering, begin) = gathering(64 << 20);
        assert_eq!(gathering.pause(Taken { datagrams: 0, full: false }, begin + 100 * MS), None);
        for _ in 0..100 {
            assert_eq!(gathering.pause(Taken { datagrams: 16, full: true }, begin + 100 * MS), None);
        }
        // 1,610 in 10 ms.
        assert_eq!(gathering.pause(Taken { datagrams: 10, full: false }, begin + 10 * MS), None);
    }

    #[test]
    fn a_small_receive_buffer_gathers_for_a_shorter_time_or_not_at_all() {
        let (mut gathering, begin) = gathering(5 << 20);
        let pause = gathering.pause(Taken { datagrams: 1, full: false }, begin + 1000 * MS).unwrap();
        assert_eq!(pause.as_millis(), 2);
        assert!(Gathering::into(1 << 20, begin).is_none());
    }

    #[test]
    fn an_exporter_that_waits_is_told_once_however_long_a_look_took() {
        for drift in [0, 1, 4_000, 59_000] {
            let looks: Vec<UnixMs> = (0..10).map(|look| look * (60_000 + drift)).collect();
            for since in [0, 1, 1_999, 60_000, 61_234, 119_999] {
                let told = looks.windows(2).filter(|look| turned_a_minute(since, look[0], look[1])).count();
                assert_eq!(told, 1, "drift {drift} ms, since {since} ms");
            }
        }
    }
}
