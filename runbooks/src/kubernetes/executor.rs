//! The process of a Job: one execution, from its claim to its end.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use kube::{Api, Client};

use super::scripts::Jobs;
use super::{Execution, Written, is_code, is_passing, resource, write_status};
use crate::crd::EXECUTION;
use crate::engine::{Engine, Identity, Observed, Stop, Store};
use crate::plan::Plan;
use crate::resource::{ExecutionStatus, Phase};
use crate::world::{DeviceIdentity, Inventory, Network, Secrets, Servers, ServersConfig};

/// How long an executor waits for an API server that does not answer. Nothing is sent to a device meanwhile.
const PATIENCE: Duration = Duration::from_secs(600);
const RETRY: Duration = Duration::from_secs(2);
/// For one request to a device.
const DEVICE_TIMEOUT: Duration = Duration::from_secs(20);

/// How an executor finds devices, and knows that they are the right ones.
#[derive(Debug, Clone)]
pub struct Devices {
    /// Folder with the lists of devices that `helios targets` writes for gnmic.
    pub lists: PathBuf,
    /// Folder with username, password and certificates of devices.
    pub credentials: PathBuf,
    /// What a device has to prove before a request is sent to it.
    pub identity: DeviceIdentity,
}

/// Executes one execution.
///
/// # Errors
/// Why the execution was not brought to its end.
pub async fn execute(
    namespace: &str,
    name: &str,
    uid: &str,
    job: &str,
    devices: &Devices,
    servers: ServersConfig,
) -> Result<Phase, String> {
    let client = Client::try_default().await.map_err(|error| error.to_string())?;
    let api = Api::namespaced_with(client.clone(), namespace, &resource(EXECUTION));
    let mut store = Cluster { api, name: name.to_owned(), uid: uid.to_owned(), last: None };
    let execution = store.get().await.map_err(|stop| stop.to_string())?;
    let status = execution.status.unwrap_or_default();
    let snapshot = status.runbook.as_ref().ok_or("the execution has no runbook in its status")?;
    let plan = Plan::new(&snapshot.spec, &execution.spec.parameters).map_err(|mistakes| mistakes.join("; "))?;
    let inventory = Inventory::load(&devices.lists, Secrets::new(&devices.credentials))?;
    let scripts = Jobs {
        client,
        namespace: namespace.to_owned(),
        execution: name.to_owned(),
        executor: job.to_owned(),
        images: servers.script_images.clone(),
        started: 0,
    };
    let servers = Servers::new(servers, format!("{namespace}/{name}"));
    let network = Network::new(inventory, servers, devices.identity, DEVICE_TIMEOUT).with_scripts(Box::new(scripts));
    let identity = Identity {
        namespace: namespace.to_owned(),
        execution: name.to_owned(),
        uid: uid.to_owned(),
        runbook: execution.spec.runbook_ref.name.clone(),
        job: job.to_owned(),
        dry_run: execution.spec.is_dry_run(),
    };
    let mut engine = Engine::new(plan, identity, store, network);
    let ended = engine.run().await;
    engine.world.finish().await;
    ended.map_err(|stop| stop.to_string())
}

/// The status of one execution in the API server.
struct Cluster {
    api: Api<Execution>,
    name: String,
    uid: String,
    /// The object as it was read or written last.
    last: Option<Execution>,
}

impl Cluster {
    async fn get(&mut self) -> Result<Execution, Stop> {
        let begun = Instant::now();
        loop {
            match self.api.get(&self.name).await {
                Ok(execution) if execution.metadata.uid.as_deref() == Some(self.uid.as_str()) => {
                    self.last = Some(execution.clone());
                    return Ok(execution);
                }
                // Another one of this name, or none.
                Ok(_) => return Err(Stop::Gone),
                Err(error) if is_code(&error, 404) => return Err(Stop::Gone),
                Err(error) => wait(begun, &error, self.last.is_some()).await?,
            }
        }
    }
}

/// Waits a moment, unless the error is final or too much time has passed. `allowed`: the API server has let this process in
/// before. An API server that has just started refuses everything until it has read the roles.
async fn wait(begun: Instant, error: &kube::Error, allowed: bool) -> Result<(), Stop> {
    let passes = is_passing(error) || (allowed && (is_code(error, 401) || is_code(error, 403)));
    if !passes || begun.elapsed() > PATIENCE {
        return Err(Stop::Store(error.to_string()));
    }
    tracing::warn!(%error, "the API server does not answer; trying again");
    tokio::time::sleep(RETRY).await;
    Ok(())
}

impl Store for Cluster {
    async fn read(&mut self) -> Result<Observed, Stop> {
        let execution = self.get().await?;
        let cancelled = execution.spec.is_cancelled() || execution.metadata.deletion_timestamp.is_some();
        Ok(Observed { status: execution.status.unwrap_or_default(), cancelled })
    }

    async fn write(&mut self, status: &ExecutionStatus) -> Result<bool, Stop> {
        let Some(last) = &self.last else { return Ok(false) };
        let begun = Instant::now();
        loop {
            match write_status(&self.api, last, status).await {
                Ok(Written::Yes(execution)) => {
                    self.last = Some(*execution);
                    return Ok(true);
                }
                Ok(Written::Conflict) => return Ok(false),
                Err(error) if is_code(&error, 404) => return Err(Stop::Gone),
                Err(error) => wait(begun, &error, true).await?,
            }
        }
    }
}
