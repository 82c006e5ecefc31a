//! The stages joined: collector -> enricher -> sink, the only place where they meet.
//!
//! [`Pipeline::start`] takes the sockets first and lets rows wait in the queues for the stages behind;
//! [`Pipeline::drain`] stops in the same order, so that each stage can pass on what it holds.
//! [`View`] is what the admin server and metrics see: snapshots, never the stages themselves.

use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant, SystemTime};

use helios_collector::decode::RefusedSender;
use helios_collector::{Collector, CollectorError, CollectorStats, ExporterList};
use helios_common::exporter::{Address, Entry, Exporters, ip_of};
use helios_common::ledger::{Accounts, DropReason, Ledger};
use helios_common::names::{NO_NAME, Names};
use helios_common::queue::{BatchReceiver, bounded_queue};
use helios_common::side::side_queue;
use helios_enricher::identity::Identity;
use helios_enricher::sources::{self, External};
use helios_enricher::{Enricher, EnricherError, EnricherStats, Surroundings};
use helios_netbox::NetBox;
use helios_sink::{Sink, SinkError, SinkStats};
use tokio::runtime::Handle;

use crate::config::Config;

/// A stage did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Collector(#[from] CollectorError),
    #[error(transparent)]
    Enricher(#[from] EnricherError),
    #[error(transparent)]
    Sink(#[from] SinkError),
    #[error("cannot start the thread that reads NetBox: {0}")]
    NetBox(std::io::Error),
}

/// The running stages.
#[derive(Debug)]
pub struct Pipeline {
    view: View,
}

/// A window into a pipeline that outlives its stages.
#[derive(Debug, Clone)]
pub struct View(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    started: SystemTime,
    target: Target,
    ledger: Arc<Ledger>,
    names: Arc<Names>,
    exporters: Arc<Exporters>,
    netbox: Option<Arc<NetBox>>,
    stages: RwLock<Stages>,
}

/// Where rows go.
#[derive(Debug, Clone)]
pub struct Target {
    pub url: String,
    pub database: String,
}

/// The stages while they run, and their last counts.
#[derive(Debug)]
struct Stages {
    stopping: bool,
    collector: Option<Collector>,
    enricher: Option<Enricher>,
    sink: Option<Sink>,
    queues: Vec<WatchedQueue>,
    last: Counted,
}

/// The receiving end of a queue, held for its length only. It is dropped when a drain begins: otherwise a stage would not notice
/// that the next one has ended.
#[derive(Debug)]
struct WatchedQueue {
    name: &'static str,
    receiver: BatchReceiver,
    capacity: usize,
}

#[derive(Debug, Clone)]
struct Counted {
    collector: CollectorStats,
    exporters: ExporterList,
    refused: Vec<RefusedSender>,
    enricher: EnricherStats,
    sink: SinkStats,
}

/// The pipeline at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub accounts: Accounts,
    pub collector: CollectorStats,
    pub exporters: ExporterList,
    /// The last senders whose datagrams were discarded.
    pub refused: Vec<RefusedSender>,
    pub enricher: EnricherStats,
    pub sink: SinkStats,
    pub queues: Vec<QueueDepth>,
    pub names: NamesUsage,
    /// `None` if names do not come from NetBox.
    pub netbox: Option<helios_netbox::Stats>,
    /// An error says why the process should not get flows now.
    pub readiness: Result<(), String>,
    /// An error says what is broken until the next restart.
    pub health: Result<(), String>,
}

#[derive(Debug, Clone, Copy)]
pub struct QueueDepth {
    pub name: &'static str,
    pub batches: usize,
    pub capacity: usize,
}

#[derive(Debug, Clone, Copy)]
pub struct NamesUsage {
    pub held: usize,
    pub refused: u64,
    /// How often a name was longer than is kept.
    pub cut: u64,
}

/// How a drain went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    pub decoded: u64,
    pub stored: u64,
    /// Dropped before the stop, each counted with its reason.
    pub dropped: u64,
    /// In the spool, for the next process.
    pub kept: u64,
    /// Lost because the deadline had passed.
    pub lost: u64,
}

impl Pipeline {
    /// Starts all stages. Receiving starts at once and does not wait for ClickHouse: rows wait in the sink's bounded
    /// backlog until it is there.
    ///
    /// # Errors
    /// [`StartError`] with what to do about it.
    pub fn start(config: &Config, runtime: &Handle) -> Result<Self, StartError> {
        let ledger = Arc::new(Ledger::new());
        let names = Arc::new(Names::new());
        let exporters = Arc::new(Exporters::new(Arc::clone(&names)));
        let (to_enricher, from_collector) = bounded_queue(config.collector.queue_batches);
        let (to_sink, from_enricher) = bounded_queue(config.pipeline.queue_batches);
        let queues = vec![
            WatchedQueue { name: "enrich", receiver: from_collector.clone(), capacity: config.collector.queue_batches },
            WatchedQueue { name: "block", receiver: from_enricher.clone(), capacity: config.pipeline.queue_batches },
        ];
        let (l, n, e) = (|| Arc::clone(&ledger), || Arc::clone(&names), || Arc::clone(&exporters));
        let (to_side, side) = side_queue();
        // The sockets come first: a port that is in use is then all that is said. Their rows wait in the queue.
        let collector = Collector::start(&config.collector, to_enricher, to_side, l(), e(), n())?;
        let netbox = start_netbox(config)?;
        let surroundings = Surroundings {
            input: from_collector,
            output: to_sink,
            ledger: l(),
            names: n(),
            exporters: e(),
            external: netbox.iter().map(|netbox| names_of_netbox(config, netbox)).collect(),
        };
        let enricher = Enricher::start(&config.enricher, surroundings)?;
        let sink = Sink::start(&config.sink(), from_enricher, side, l(), n(), runtime)?;
        collector.limit_exporters(config.admin.max_exporters);
        let last = Counted {
            collector: collector.stats(),
            exporters: ExporterList::default(),
            refused: Vec::new(),
            enricher: enricher.stats(),
            sink: sink.stats(),
        };
        let stages = Stages {
            stopping: false,
            collector: Some(collector),
            enricher: Some(enricher),
            sink: Some(sink),
            queues,
            last,
        };
        let target = Target { url: config.clickhouse.url.clone(), database: config.clickhouse.database.clone() };
        let stages = RwLock::new(stages);
        let shared = Shared { started: SystemTime::now(), target, ledger, names, exporters, netbox, stages };
        Ok(Self { view: View(Arc::new(shared)) })
    }

    pub fn view(&self) -> View {
        self.view.clone()
    }

    /// Stops receiving, then lets every stage pass on what it holds, within `deadline` in all.
    pub async fn drain(self, deadline: Duration) -> Drained {
        let end = Instant::now() + deadline;
        let left = || end.saturating_duration_since(Instant::now());
        let (collector, enricher, sink) = self.view.0.take_stages();
        // Threads are joined on threads; a stage that does not end in time is left behind and its rows counted.
        let upstream = tokio::task::spawn_blocking(move || {
            if let Some(collector) = collector {
                collector.stop();
            }
            if let Some(enricher) = enricher {
                enricher.join();
            }
        });
        if tokio::time::timeout(left(), upstream).await.is_err() {
            tracing::warn!("the enricher did not pass on all its rows in time");
        }
        if let Some(sink) = sink {
            sink.drain(left()).await;
        }
        Drained::of(&self.view.0.ledger.snapshot())
    }
}

/// NetBox's last snapshot is kept here, beside the collector's state.
pub(crate) fn netbox_file(config: &Config) -> Option<PathBuf> {
    Some(config.collector.state_dir.as_ref()?.join("netbox"))
}

fn start_netbox(config: &Config) -> Result<Option<Arc<NetBox>>, StartError> {
    if config.netbox.url.is_none() {
        return Ok(None);
    }
    let netbox = NetBox::start(config.netbox.clone(), netbox_file(config)).map_err(StartError::NetBox)?;
    Ok(Some(Arc::new(netbox)))
}

/// NetBox as a source of names.
pub(crate) fn names_of_netbox(config: &Config, netbox: &Arc<NetBox>) -> External {
    let netbox = Arc::clone(netbox);
    sources::netbox::external(config.netbox.url.as_deref().unwrap_or_default(), move || netbox.current())
}

impl Drained {
    fn of(accounts: &Accounts) -> Self {
        let at_stop: u64 = accounts.dropped.iter().map(|reasons| reasons[DropReason::Shutdown as usize]).sum();
        Self {
            decoded: accounts.decoded,
            stored: accounts.stored,
            dropped: accounts.dropped_total() - at_stop,
            kept: u64::try_from(accounts.kept()).unwrap_or(0),
            lost: at_stop + u64::try_from(accounts.in_flight() - accounts.kept()).unwrap_or(0),
        }
    }
}

impl Shared {
    fn take_stages(&self) -> (Option<Collector>, Option<Enricher>, Option<Sink>) {
        let mut stages = self.stages.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        stages.last = stages.count();
        stages.stopping = true;
        stages.queues.clear();
        (stages.collector.take(), stages.enricher.take(), stages.sink.take())
    }
}

impl Stages {
    fn count(&self) -> Counted {
        Counted {
            collector: self.collector.as_ref().map_or_else(|| self.last.collector.clone(), Collector::stats),
            exporters: self.collector.as_ref().map_or_else(|| self.last.exporters.clone(), Collector::exporters),
            refused: self.collector.as_ref().map_or_else(|| self.last.refused.clone(), Collector::refused),
            enricher: self.enricher.as_ref().map_or_else(|| self.last.enricher.clone(), Enricher::stats),
            sink: self.sink.as_ref().map_or_else(|| self.last.sink.clone(), Sink::stats),
        }
    }

    fn health(&self) -> Result<(), String> {
        // A release build aborts when a thread panics; this finds dead threads in other builds.
        let dead = [
            ("receive", self.collector.as_ref().is_some_and(|collector| !collector.is_running())),
            ("block", self.sink.as_ref().is_some_and(|sink| !sink.is_running())),
        ];
        match dead.iter().find(|(_, dead)| *dead) {
            Some((name, _)) => Err(format!("a {name} thread has ended")),
            None => Ok(()),
        }
    }

    fn readiness(&self) -> Result<(), String> {
        self.health()?;
        if self.stopping {
            return Err("stopping".to_owned());
        }
        self.sink.as_ref().and_then(Sink::schema_trouble).map_or(Ok(()), Err)
    }
}

impl Shared {
    fn identity(&self, stages: &Stages, address: Address) -> Identity {
        // An exporter that was restored and has sent nothing since is not in the table: the inventory may know it all the same.
        let restored = Entry { address, socket: address, address_name: NO_NAME };
        let entry = self.exporters.at(address).unwrap_or(restored);
        let exporter = stages.enricher.as_ref().map(|enricher| enricher.exporter(&entry)).unwrap_or_default();
        let identity = Identity::new(&exporter, &self.names.read());
        if identity.name.is_empty() { Identity { name: ip_of(address).to_string(), ..identity } } else { identity }
    }
}

impl View {
    pub fn started(&self) -> SystemTime {
        self.0.started
    }

    pub fn target(&self) -> &Target {
        &self.0.target
    }

    /// Makes the next refresh from NetBox due now, a full one if `full`. `false` if names do not come from NetBox.
    pub fn hint_netbox(&self, full: bool) -> bool {
        let hint = |netbox: &&Arc<NetBox>| if full { netbox.hint_full() } else { netbox.hint() };
        self.0.netbox.as_ref().inspect(hint).is_some()
    }

    /// What the exporter at this address is called now; nothing once the enricher has stopped.
    pub fn identity(&self, address: Address) -> Identity {
        let stages = self.0.stages.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        self.0.identity(&stages, address)
    }

    /// How many names the exporter at this address has sent that nobody else had sent before.
    pub fn names_of(&self, address: Address) -> u32 {
        self.0.names.of_source(address)
    }

    /// The same of many exporters, in their order.
    pub fn identities(&self, addresses: impl Iterator<Item = Address>) -> Vec<(Address, Identity)> {
        let stages = self.0.stages.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        addresses.map(|address| (address, self.0.identity(&stages, address))).collect()
    }

    /// Whether all threads live. Takes no snapshot, so that a probe is answered at once whatever else is slow.
    ///
    /// # Errors
    /// The thread that has ended.
    pub fn health(&self) -> Result<(), String> {
        self.0.stages.read().unwrap_or_else(|poisoned| poisoned.into_inner()).health()
    }

    /// Whether flows should be sent here. As cheap as [`health`](Self::health).
    ///
    /// # Errors
    /// The reason why not.
    pub fn readiness(&self) -> Result<(), String> {
        self.0.stages.read().unwrap_or_else(|poisoned| poisoned.into_inner()).readiness()
    }

    pub fn snapshot(&self) -> Snapshot {
        let stages = self.0.stages.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        let counted = stages.count();
        let (held, refused) = self.0.names.usage();
        let depth = |queue: &WatchedQueue| QueueDepth {
            name: queue.name,
            batches: queue.receiver.len(),
            capacity: queue.capacity,
        };
        Snapshot {
            // Read last: a row is then never counted by a stage and still missing here.
            accounts: self.0.ledger.snapshot(),
            readiness: stages.readiness(),
            health: stages.health(),
            queues: stages.queues.iter().map(depth).collect(),
            names: NamesUsage { held, refused, cut: self.0.names.cut() },
            netbox: self.0.netbox.as_ref().map(|netbox| netbox.stats()),
            collector: counted.collector,
            exporters: counted.exporters,
            refused: counted.refused,
            enricher: counted.enricher,
            sink: counted.sink,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use helios_common::ledger::Stage;

    #[test]
    fn what_a_drain_lost_is_what_was_given_up_then_and_what_is_still_under_way() {
        let ledger = Ledger::new();
        ledger.decoded(100);
        ledger.dropped(Stage::Collect, DropReason::ChannelFull, 10);
        ledger.moved(Stage::Collect, Stage::Enrich, 90);
        ledger.moved(Stage::Enrich, Stage::Block, 90);
        ledger.moved(Stage::Block, Stage::Insert, 85);
        ledger.dropped(Stage::Insert, DropReason::Shutdown, 20);
        ledger.stored(60);
        ledger.moved(Stage::Insert, Stage::Spool, 5);
        let drained = Drained::of(&ledger.snapshot());
        assert_eq!(drained, Drained { decoded: 100, stored: 60, dropped: 10, kept: 5, lost: 25 });
    }
}
