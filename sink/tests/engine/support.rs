//! An engine with the schema in it, and batches to store.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clickhouse::Client;
use clickhouse::error::Error;
use helios_common::columns::{
    BYTES, DST_ADDR, EXPORTER_ADDRESS, EXPORTER_NAME, FLOW_DIRECTION, PACKETS, PROTO, RECEIVED_AT, SAMPLING_INTERVAL,
    SRC_ADDR,
};
use helios_common::exporter::{ExporterId, mapped};
use helios_common::flow::FlowBatch;
use helios_common::names::Names;
use helios_common::time::UnixMs;
use helios_sink::SinkConfig;
use helios_sink::block::{Assembler, Block, BlockLimits};
use helios_sink::config::Compression;
use helios_sink::retention::Excess;
use helios_sink::{client, migrate};
use helios_testkit::Engine;

const INSERT_TIMEOUT: Duration = Duration::from_secs(60);

/// A running engine and a client of it.
pub struct Stand {
    pub engine: Engine,
    pub config: SinkConfig,
    pub client: Client,
    runtime: tokio::runtime::Runtime,
}

impl Stand {
    /// An engine without a schema.
    pub fn empty() -> Self {
        let engine = Engine::start();
        let config = SinkConfig { url: engine.url(), database: "t".into(), ..SinkConfig::default() };
        let client = client::connect(&config).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { engine, config, client, runtime }
    }

    /// An engine with the schema of this version.
    pub fn migrated() -> Self {
        let stand = Self::empty();
        assert!(!stand.migrate().unwrap().is_empty());
        stand
    }

    /// Applies the schema and returns what was done.
    pub fn migrate(&self) -> Result<Vec<String>, migrate::MigrateError> {
        let done = self.runtime.block_on(migrate::apply(&self.client, &self.config, |_| {}))?;
        Ok(done.into_iter().map(|step| step.purpose).collect())
    }

    /// What a helios says that leaves the schema to others.
    pub fn check(&self) -> Result<(), migrate::MigrateError> {
        self.runtime.block_on(migrate::check(&self.client, &self.config))
    }

    /// What is still to be done.
    pub fn plan(&self) -> Vec<String> {
        let plan = self.runtime.block_on(migrate::plan(&self.client, &self.config)).unwrap();
        plan.into_iter().map(|step| step.purpose).collect()
    }

    /// What `retention::plan` or `apply` says.
    pub fn drops(&self, how: impl AsyncFn(&Client, &SinkConfig) -> Result<Vec<Excess>, Error>) -> Vec<Excess> {
        self.runtime.block_on(how(&self.client, &self.config)).unwrap()
    }

    pub fn insert(&self, block: &Block) {
        self.try_insert(block).unwrap();
    }

    pub fn try_insert(&self, block: &Block) -> Result<(), Error> {
        let inserts = client::Inserts::to(&self.config, &self.config.url).unwrap();
        self.runtime.block_on(inserts.insert(block, INSERT_TIMEOUT))
    }

    /// The answer to a query, without the last line break.
    pub fn query(&self, sql: &str) -> String {
        self.engine.query(sql).trim_end_matches('\n').to_owned()
    }

    pub fn rows(&self) -> String {
        self.query("SELECT count() FROM t.flows")
    }
}

pub fn assembler(names: &Arc<Names>, compression: Compression) -> Assembler {
    let limits = BlockLimits { rows: 1_000_000, octets: 1 << 30, compression };
    Assembler::new("t".into(), limits, Arc::clone(names))
}

/// One block of all batches.
pub fn block(assembler: &mut Assembler, batches: impl IntoIterator<Item = FlowBatch>) -> Block {
    for batch in batches {
        assembler.append(&batch, |block, reason| unreachable!("{} rows closed by {reason:?}", block.rows)).unwrap();
    }
    assembler.close().unwrap().unwrap()
}

/// The begin of the hour before the present one: no table has forgotten it, and rows of it are in one hour.
pub fn last_hour() -> UnixMs {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as UnixMs;
    now - now % 3_600_000 - 3_600_000
}

/// Rows of three exporters over two minutes, with some thirty hosts on either side; every third exporter samples.
pub fn traffic(names: &Names, first: usize, rows: usize) -> FlowBatch {
    let mut batch = FlowBatch::new();
    let start = last_hour();
    for n in first..first + rows {
        let exporter = n % 3;
        batch.open(RECEIVED_AT).push(start + (n % 120_000) as i64);
        batch.open(EXPORTER_ADDRESS).push(mapped([10, 0, 0, exporter as u8]));
        batch.open(EXPORTER_NAME).push(names.intern(&format!("router-{exporter}")));
        batch.open(SRC_ADDR).push(mapped([192, 0, 2, (n % 31) as u8]));
        batch.open(DST_ADDR).push(mapped([198, 51, 100, (n % 29) as u8]));
        batch.open(PROTO).push([6, 17][n % 2]);
        batch.open(FLOW_DIRECTION).push((n % 3) as u8);
        batch.open(BYTES).push(40 + (n % 1400) as u64);
        batch.open(PACKETS).push(1 + (n % 7) as u64);
        batch.open(SAMPLING_INTERVAL).push([1, 1, 1000][exporter]);
        batch.advance(1, ExporterId(exporter as u32));
    }
    batch.seal();
    batch
}
