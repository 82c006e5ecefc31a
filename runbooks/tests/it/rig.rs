//! One execution from its runbook to its end: devices, servers of Prometheus and ClickHouse, a status in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use helios_runbooks::document::{self, Document};
use helios_runbooks::engine::{Engine, Identity, Observed, Stop, Store};
use helios_runbooks::plan::Plan;
use helios_runbooks::resource::{AuditState, ExecutionStatus, Executor, ExecutorKind, Phase, RunbookSpec, Snapshot};
use helios_runbooks::world::{DeviceIdentity, Inventory, Network, Secrets, Servers, ServersConfig};
use serde_json::{Value, json};

use crate::device::{self, Fault, Tree};

/// A status that nobody else writes.
#[derive(Clone)]
pub struct Memory(pub Arc<Mutex<Observed>>);

impl Store for Memory {
    async fn read(&mut self) -> Result<Observed, Stop> {
        Ok(self.0.lock().unwrap().clone())
    }

    async fn write(&mut self, status: &ExecutionStatus) -> Result<bool, Stop> {
        self.0.lock().unwrap().status = status.clone();
        Ok(true)
    }
}

pub struct Rig {
    pub spec: RunbookSpec,
    pub values: BTreeMap<String, Value>,
    pub devices: BTreeMap<String, Arc<Mutex<Tree>>>,
    /// What Prometheus and ClickHouse answer; `None` is no series.
    pub number: Arc<Mutex<Option<f64>>>,
    /// Requests of http-request and notify.
    pub posts: Arc<Mutex<Vec<String>>>,
    folder: tempfile::TempDir,
    server: String,
}

/// A runbook of `runbooks/samples/`.
pub fn sample(name: &str) -> RunbookSpec {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("samples/{name}.yaml"));
    let documents = document::read(&std::fs::read_to_string(path).unwrap()).unwrap();
    match documents.into_iter().next() {
        Some(Document::Runbook(found, spec)) if found == name => spec,
        other => unreachable!("{name}: {other:?}"),
    }
}

impl Rig {
    pub async fn new(spec: RunbookSpec, values: Value, devices: &[&str], leaves: &[(&str, Value)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (mut lines, mut trees) = (String::new(), BTreeMap::new());
        for name in devices {
            let (tree, line) = device::start(name, leaves, folder.path()).await;
            trees.insert((*name).to_owned(), tree);
            lines += &line;
        }
        let inventory = folder.path().join("devices");
        std::fs::create_dir(&inventory).unwrap();
        std::fs::write(inventory.join("gnmic.yaml"), lines).unwrap();
        std::fs::write(folder.path().join("username"), "admin").unwrap();
        std::fs::write(folder.path().join("password"), "s3cret").unwrap();
        let (number, posts) = (Arc::new(Mutex::new(Some(0.0))), Arc::new(Mutex::new(Vec::new())));
        let server = serve(Arc::clone(&number), Arc::clone(&posts)).await;
        let values = serde_json::from_value(values).unwrap();
        Self { spec, values, devices: trees, number, posts, folder, server }
    }

    pub fn tree(&self) -> std::sync::MutexGuard<'_, Tree> {
        self.devices.values().next().unwrap().lock().unwrap()
    }

    pub fn fault(&self, fault: Fault) {
        let mut tree = self.tree();
        (tree.fault, tree.sets) = (fault, 0);
    }

    pub fn leaves(&self) -> Vec<BTreeMap<String, Value>> {
        self.devices.values().map(|tree| tree.lock().unwrap().leaves.clone()).collect()
    }

    /// Runs the execution to its end, and returns its status.
    pub async fn run(&self, dry_run: bool) -> ExecutionStatus {
        let plan = Plan::new(&self.spec, &self.values).unwrap();
        let status = ExecutionStatus {
            phase: Phase::Running,
            requested_by: "alice".to_owned(),
            executor: Some(Executor { job: "job".to_owned(), kind: ExecutorKind::Forward, claimed: false }),
            runbook: Some(Snapshot { spec: self.spec.clone(), ..Snapshot::default() }),
            audit: AuditState::begin("hash"),
            ..ExecutionStatus::default()
        };
        let memory = Memory(Arc::new(Mutex::new(Observed { status, cancelled: false })));
        let folder = self.folder.path();
        let inventory = Inventory::load(&folder.join("devices"), Secrets::new(folder)).unwrap();
        let host = self.server.strip_prefix("http://").unwrap().to_owned();
        let config = ServersConfig {
            prometheus_url: self.server.clone(),
            clickhouse_url: format!("{}/clickhouse", self.server),
            http_hosts: vec![host],
            ..ServersConfig::default()
        };
        let network = Network::new(
            inventory,
            Servers::new(config, "test".to_owned()),
            DeviceIdentity::Hostname,
            Duration::from_secs(20),
        );
        let identity = Identity { job: "job".to_owned(), dry_run, ..Identity::default() };
        Engine::new(plan, identity, memory.clone(), network).run().await.unwrap();
        let observed = memory.0.lock().unwrap();
        observed.status.clone()
    }

    /// The address of the server, for runbooks that ask one.
    pub fn server(&self) -> &str {
        &self.server
    }
}

type Shared = (Arc<Mutex<Option<f64>>>, Arc<Mutex<Vec<String>>>);

async fn serve(number: Arc<Mutex<Option<f64>>>, posts: Arc<Mutex<Vec<String>>>) -> String {
    async fn prometheus(State((number, _)): State<Shared>, Query(asked): Query<BTreeMap<String, String>>) -> String {
        assert!(!asked["query"].is_empty());
        let result: Vec<Value> = number.lock().unwrap().iter().map(|n| json!({"value": [0, n.to_string()]})).collect();
        json!({"status": "success", "data": {"resultType": "vector", "result": result}}).to_string()
    }
    async fn clickhouse(State((number, _)): State<Shared>) -> String {
        json!({"data": [[*number.lock().unwrap()]]}).to_string()
    }
    async fn post(State((_, posts)): State<Shared>, body: String) -> String {
        posts.lock().unwrap().push(body);
        "{\"silenceID\": \"1\"}".to_owned()
    }
    let router = Router::new()
        .route("/api/v1/query", axum::routing::get(prometheus))
        .route("/clickhouse/", axum::routing::get(clickhouse))
        .route("/api/v2/silences", axum::routing::post(post))
        .with_state((number, posts));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}
