//! The thread `enrich-sources`: looks after the sources, builds snapshots and swaps them in.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use helios_common::exporter::{ExporterId, Exporters, ip_of};
use tracing::{info, warn};

use crate::snapshot::{Current, Snapshot};
use crate::sources::Sources;

/// Exporters that the log names; the page `/api/v1/exporters` has all of them.
const UNKNOWN_NAMED: usize = 20;

/// Unknown exporters are logged this often at the most.
const UNKNOWN_INTERVAL: Duration = Duration::from_secs(60);

/// The running thread.
#[derive(Debug)]
pub struct Reloader {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Reloader {
    /// Looks at the sources every `interval` until it is stopped.
    ///
    /// # Errors
    /// The system's, when it gives no thread.
    pub fn start(
        interval: Duration,
        sources: Sources,
        current: Arc<Current>,
        exporters: Arc<Exporters>,
    ) -> io::Result<Self> {
        let (stop, stopped) = channel();
        let reload = Reload { sources, current, exporters, replaced: Vec::new(), unknown: Unknown::default() };
        let thread =
            thread::Builder::new().name("enrich-sources".into()).spawn(move || reload.run(interval, &stopped))?;
        Ok(Self { stop, thread })
    }

    /// Ends the thread; a file that is just being read is read to its end.
    pub fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            warn!("the thread enrich-sources had died; names were no longer refreshed");
        }
    }
}

struct Reload {
    sources: Sources,
    current: Arc<Current>,
    exporters: Arc<Exporters>,
    replaced: Vec<Arc<Snapshot>>,
    unknown: Unknown,
}

impl Reload {
    fn run(mut self, interval: Duration, stopped: &Receiver<()>) {
        while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
            self.look();
        }
    }

    fn look(&mut self) {
        // This thread frees a replaced snapshot when the worker no longer uses it. If the worker freed it, it would stop
        // while hundreds of megabytes go back to the system.
        self.replaced.retain(|old| Arc::strong_count(old) > 1);
        let current = self.current.load_full();
        let began = Instant::now();
        let Some(next) = self.sources.poll(&current) else {
            self.unknown.log(&self.exporters, &current);
            return;
        };
        let (devices, interfaces) = (next.directory.len(), next.directory.n_interfaces());
        info!(
            generation = next.generation,
            devices,
            interfaces,
            took_ms = began.elapsed().as_millis() as u64,
            "names taken up"
        );
        self.current.store(Arc::new(next));
        self.replaced.push(current);
    }
}

/// Exporters that no inventory knows, each told once.
#[derive(Debug, Default)]
struct Unknown {
    /// By exporter id.
    told: Vec<bool>,
    /// Under which ids have that meaning.
    epoch: u64,
    /// Exporters at the last look: while more come in, the line would be out of date at once.
    exporters: usize,
    last: Option<Instant>,
}

impl Unknown {
    fn log(&mut self, exporters: &Exporters, snapshot: &Snapshot) {
        let n_exporters = exporters.len();
        let settled = std::mem::replace(&mut self.exporters, n_exporters) == n_exporters;
        if snapshot.directory.is_empty() || !settled || self.last.is_some_and(|last| last.elapsed() < UNKNOWN_INTERVAL)
        {
            return;
        }
        if std::mem::replace(&mut self.epoch, exporters.epoch()) != self.epoch {
            self.told.clear();
        }
        self.told.resize(n_exporters, false);
        let mut unknown = Vec::new();
        for (id, told) in self.told.iter_mut().enumerate().filter(|(_, told)| !**told) {
            let Some(entry) = exporters.get(ExporterId(id as u32)) else { continue };
            let known = |address| snapshot.directory.position(address).is_some();
            if !known(entry.address) && !known(entry.socket) {
                *told = true;
                unknown.push(ip_of(entry.address).to_string());
            }
        }
        if unknown.is_empty() {
            return;
        }
        self.last = Some(Instant::now());
        let count = unknown.len();
        unknown.truncate(UNKNOWN_NAMED);
        let more = if count > UNKNOWN_NAMED { ", ..." } else { "" };
        warn!(
            count,
            exporters = format!("{}{more}", unknown.join(", ")),
            "exporters that no inventory knows: give the address to a device in NetBox or in enricher.inventory.files; \
             /api/v1/exporters lists all"
        );
    }
}
