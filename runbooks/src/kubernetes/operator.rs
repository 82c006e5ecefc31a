//! The operator's loop: sees executions, decides ([`crate::reconcile`]), does one effect, and looks again.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::StreamExt;
use helios_common::clock;
use helios_service::signals::Signals;
use k8s_openapi::api::batch::v1::Job;
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::controller::{self, Action, Controller};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher;
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::json;

use super::leader::Leader;
use super::locks::{self, Locks};
use super::{Approval, Execution, Runbook, Written, is_code, objects, resource, webhook, write_status};
use crate::approval::Vote;
use crate::audit::Entry;
use crate::crd::{APPROVAL, EXECUTION, RUNBOOK};
use crate::reconcile::{self, Effect, View};
use crate::resource::{ExecutionSpec, ExecutionStatus, Phase, Reference};
use crate::world::{DeviceIdentity, Servers, ServersConfig};

/// Keeps an execution until it is over.
const FINALIZER: &str = "helios.io/execution";

/// Time between two attempts to write audit entries that ClickHouse did not take.
const RESEND: Duration = Duration::from_secs(30);

/// A name that no user has: the API server must refuse it as the requester of an execution.
const NOBODY: &str = "helios:nobody";

/// Executions that are looked at at the same time.
const CONCURRENCY: u16 = 8;

/// How the operator runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// The namespace of runbooks, executions, Jobs and locks.
    pub namespace: String,
    /// This process, for the leader's Lease.
    pub identity: String,
    /// The image of executors.
    pub executor_image: String,
    /// Their ServiceAccount.
    pub executor_account: String,
    /// The Secret with username, password and ca.crt of devices.
    pub device_secret: String,
    /// The Secret with what executors show to servers: user and password of ClickHouse, and keys that steps name.
    pub servers_secret: String,
    /// The ConfigMaps that `helios targets` writes for gnmic.
    pub device_maps: Vec<String>,
    /// How devices prove who they are.
    pub device_identity: DeviceIdentity,
    /// The servers of steps, as JSON.
    pub servers: String,
    /// Metrics and probes.
    pub listen: SocketAddr,
    /// The file of Alertmanager's bearer token; without one no alert is taken.
    pub alert_token: Option<PathBuf>,
}

/// What was counted since the process began.
#[derive(Debug, Default, Clone)]
pub(super) struct Counts {
    /// By runbook and phase.
    ends: BTreeMap<(String, &'static str), u64>,
    seconds: BTreeMap<String, f64>,
    conflicts: u64,
    errors: u64,
}

helios_metrics::metrics! {
    /// What the operator counts.
    pub(super) METRICS of Seen {
        Counter "helios_runbook_executions_total" ["runbook", "phase"] "Executions that ended, by their last phase" =
            |seen, out| out.all(seen.counts.ends.iter().map(|((runbook, phase), n)| ([runbook.as_str(), *phase], *n)));
        Counter "helios_runbook_execution_seconds_total" ["runbook"] "Time from the start of executions to their end" =
            |seen, out| out.all(seen.counts.seconds.iter().map(|(runbook, seconds)| ([runbook.as_str()], *seconds)));
        Gauge "helios_runbook_executions" ["phase"] "Executions that exist now, by phase" =
            |seen, out| out.all(seen.phases.iter().map(|(phase, n)| ([*phase], *n)));
        Gauge "helios_runbook_executions_waiting" ["runbook"] "Executions that wait for approval" =
            |seen, out| out.all(seen.waiting.iter().map(|(runbook, n)| ([runbook.as_str()], *n)));
        Gauge "helios_runbook_devices_locked" [] "Devices on which an execution runs" = |seen, out| out.one(seen.locked);
        Gauge "helios_runbook_leader" [] "1 in the process that leads, 0 in a stand-by" = |seen, out| out.one(seen.leader);
        Gauge "helios_runbook_audit_entries_unsent" [] "Audit entries of the operator that ClickHouse has not taken yet" =
            |seen, out| out.one(seen.unsent);
        Counter "helios_runbook_conflicts_total" [] "Writes that the API server refused because the object had changed; they are decided again" =
            |seen, out| out.one(seen.counts.conflicts);
        Counter "helios_runbook_errors_total" [] "Failed requests to the API server; they are repeated" =
            |seen, out| out.one(seen.counts.errors);
    }
}

/// One scrape.
#[derive(Debug, Default)]
pub(super) struct Seen {
    counts: Counts,
    phases: BTreeMap<&'static str, u64>,
    waiting: BTreeMap<String, u64>,
    locked: u64,
    leader: bool,
    unsent: u64,
}

struct Operator {
    client: Client,
    options: Options,
    counts: Arc<Mutex<Counts>>,
    /// Executions as they are watched. What is decided on them alone is whether to wait.
    store: Store<Execution>,
    /// When this process first saw that the Job of a running executor is gone.
    gone: Mutex<HashMap<String, Instant>>,
    servers: Arc<Servers>,
    recorder: Recorder,
}

/// Probes and scrapes.
#[derive(Clone)]
struct Process {
    leader: Arc<AtomicBool>,
    counts: Arc<Mutex<Counts>>,
    store: Arc<Mutex<Option<Store<Execution>>>>,
    servers: Arc<Servers>,
}

impl helios_service::admin::Vitals for Process {
    fn health(&self) -> Result<(), String> {
        Ok(())
    }

    /// A process that waits to lead is ready: there is nothing that it should do.
    fn readiness(&self) -> Result<(), String> {
        Ok(())
    }

    fn metrics(&self) -> String {
        let (leader, unsent) = (self.leader.load(Ordering::Relaxed), self.servers.unsent() as u64);
        let mut seen = Seen { leader, unsent, ..Seen::default() };
        if let Some(store) = self.store.lock().expect("no holder panics").as_ref() {
            seen.phases = Phase::ALL.iter().map(|phase| (phase.name(), 0)).collect();
            for execution in store.state() {
                let status = execution.status.as_ref();
                let phase = status.map_or(Phase::Pending, |status| status.phase);
                *seen.phases.entry(phase.name()).or_default() += 1;
                let waiting = seen.waiting.entry(execution.spec.runbook_ref.name.clone()).or_default();
                *waiting += u64::from(phase == Phase::AwaitingApproval);
                if matches!(phase, Phase::Running | Phase::RollingBack) {
                    seen.locked += status.map_or(0, |status| status.devices.len() as u64);
                }
            }
        }
        seen.counts = self.counts.lock().expect("no holder panics").clone();
        let mut scrape = helios_metrics::Scrape::default();
        scrape.write(&METRICS, &seen);
        scrape.finish()
    }
}

/// Runs until a signal, or until this process no longer leads.
///
/// # Errors
/// Why the operator cannot work.
pub async fn run(options: Options, servers: ServersConfig) -> Result<(), String> {
    let client = Client::try_default().await.map_err(|error| format!("cannot reach the API server: {error}"))?;
    let servers = Arc::new(Servers::new(servers, options.identity.clone()));
    let status = Process { leader: Arc::default(), counts: Arc::default(), store: Arc::default(), servers };
    let listener = helios_service::admin::bind(options.listen).await.map_err(|error| error.to_string())?;
    let (pages, names) = match &options.alert_token {
        Some(token) => {
            let router = webhook::router(client.clone(), options.namespace.clone(), token.clone()).await;
            (router.map_err(|error| error.to_string())?, "/metrics /healthz /readyz /alerts")
        }
        None => (axum::Router::new(), "/metrics /healthz /readyz"),
    };
    let _admin = tokio::spawn(helios_service::admin::serve(listener, status.clone(), pages, names));
    let mut leader = Leader::new(client.clone(), &options.namespace, &options.identity);
    tracing::info!(identity = options.identity, "waits to lead");
    let mut stop = Box::pin(signalled());
    tokio::select! {
        () = leader.acquire() => {}
        () = &mut stop => return Ok(()),
    }
    status.leader.store(true, Ordering::Relaxed);
    tracing::info!("leads");
    let ended = tokio::select! {
        () = act(client, options, status.clone()) => Ok(()),
        () = &mut stop => Ok(()),
        () = leader.hold() => Err("this process no longer leads: it ends and is started again as a stand-by".to_owned()),
    };
    status.leader.store(false, Ordering::Relaxed);
    if ended.is_ok() {
        // This process no longer acts: the next leader may begin.
        leader.release().await;
    }
    ended
}

/// Returns at the signal to end. Every effect may be cut off at any point, as by a kill.
async fn signalled() {
    match Signals::install() {
        Ok(mut signals) => _ = signals.next().await,
        Err(error) => {
            tracing::warn!(%error, "cannot listen to signals");
            std::future::pending().await
        }
    }
}

/// Looks at every execution, and does what it needs.
async fn act(client: Client, options: Options, status: Process) {
    let namespace = &options.namespace;
    let kind = resource(EXECUTION);
    let executions: Api<Execution> = Api::namespaced_with(client.clone(), namespace, &kind);
    let approvals: Api<Approval> = Api::namespaced_with(client.clone(), namespace, &resource(APPROVAL));
    let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
    let of_ours = watcher::Config::default().labels("app.kubernetes.io/name=helios-executor");
    let controller = Controller::new_with(executions, watcher::Config::default(), kind.clone());
    *status.store.lock().expect("no holder panics") = Some(controller.store());
    let within = namespace.clone();
    let execution = move |name: &str| ObjectRef::new_with(name, resource(EXECUTION)).within(&within);
    let of_job = {
        let execution = execution.clone();
        move |job: Job| job.labels().get(objects::EXECUTION_LABEL).map(|name| execution(name))
    };
    let of_approval = move |approval: Approval| Some(execution(&approval.spec.execution_ref.name));
    let reporter = Reporter { controller: "helios-operator".to_owned(), instance: Some(options.identity.clone()) };
    let operator = Arc::new(Operator {
        recorder: Recorder::new(client.clone(), reporter),
        servers: Arc::clone(&status.servers),
        counts: Arc::clone(&status.counts),
        client: client.clone(),
        store: controller.store(),
        gone: Mutex::default(),
        options: options.clone(),
    });
    let resending = async {
        loop {
            tokio::time::sleep(RESEND).await;
            status.servers.resend().await;
        }
    };
    let reconciling = controller
        .with_config(controller::Config::default().concurrency(CONCURRENCY))
        .watches(jobs, of_ours, of_job)
        .watches_with(approvals, resource(APPROVAL), watcher::Config::default(), of_approval)
        .run(reconcile, on_error, operator)
        .for_each(|_| std::future::ready(()));
    tokio::select! {
        () = reconciling => {}
        () = resending => {}
    }
}

fn on_error(_: Arc<Execution>, error: &kube::Error, operator: Arc<Operator>) -> Action {
    tracing::warn!(%error, "a request to the API server failed; it is repeated");
    operator.counts.lock().expect("no holder panics").errors += 1;
    Action::requeue(Duration::from_secs(5))
}

async fn reconcile(execution: Arc<Execution>, operator: Arc<Operator>) -> kube::Result<Action> {
    let status = execution.status.clone().unwrap_or_default();
    let stays = execution.metadata.deletion_timestamp.is_none() && execution.spec.ttl_seconds_after_finished.is_none();
    if status.closed && stays {
        return Ok(Action::await_change());
    }
    let runbook = if status.runbook.is_none() && !status.phase.is_final() {
        operator.runbook(&execution.spec.runbook_ref.name).await?
    } else {
        None
    };
    let votes = if asks_people(&status) { operator.votes().await? } else { Vec::new() };
    let job = match &status.executor {
        Some(executor) if !status.phase.is_final() => operator.job(&executor.job).await?,
        _ => reconcile::Job::Missing,
    };
    let blocked = if status.phase == Phase::Pending { operator.blocked(&execution, &status) } else { None };
    let name = execution.name_any();
    let view = View {
        name: &name,
        uid: execution.metadata.uid.as_deref().unwrap_or_default(),
        generation: execution.metadata.generation.unwrap_or(0),
        created: execution.metadata.creation_timestamp.as_ref().map_or(0, |time| time.0.as_second()),
        now: i64::try_from(clock::unix_secs()).unwrap_or(i64::MAX),
        deleted: execution.metadata.deletion_timestamp.is_some(),
        finalizer: execution.finalizers().iter().any(|name| name == FINALIZER),
        spec: &execution.spec,
        status: &status,
        runbook: runbook.as_ref().map(|runbook| (&runbook.spec, runbook.metadata.generation.unwrap_or(0))),
        votes: &votes,
        job,
        gone_secs: operator.gone_secs(&execution, &status, job),
        blocked: blocked.as_deref(),
        script_images: operator.servers.script_images(),
    };
    let effect = reconcile::decide(&view);
    operator.effect(&execution, view.uid, effect).await
}

impl Operator {
    fn executions(&self) -> Api<Execution> {
        Api::namespaced_with(self.client.clone(), &self.options.namespace, &resource(EXECUTION))
    }

    async fn runbook(&self, name: &str) -> kube::Result<Option<Runbook>> {
        Api::namespaced_with(self.client.clone(), &self.options.namespace, &resource(RUNBOOK)).get_opt(name).await
    }

    async fn votes(&self) -> kube::Result<Vec<Vote>> {
        let api: Api<Approval> =
            Api::namespaced_with(self.client.clone(), &self.options.namespace, &resource(APPROVAL));
        let list = api.list(&ListParams::default()).await?;
        Ok(list.items.into_iter().map(|approval| Vote { name: approval.name_any(), spec: approval.spec }).collect())
    }

    async fn job(&self, name: &str) -> kube::Result<reconcile::Job> {
        let api: Api<Job> = Api::namespaced(self.client.clone(), &self.options.namespace);
        let Some(job) = api.get_opt(name).await? else { return Ok(reconcile::Job::Missing) };
        let conditions = job.status.and_then(|status| status.conditions).unwrap_or_default();
        let ended =
            conditions.iter().any(|one| one.status == "True" && matches!(one.type_.as_str(), "Complete" | "Failed"));
        Ok(if ended { reconcile::Job::Ended } else { reconcile::Job::Active })
    }

    /// Why an execution cannot begin, as far as the watched objects show it. The locks decide; with this, executions that wait do
    /// not ask for the locks every few seconds.
    fn blocked(&self, execution: &Execution, status: &ExecutionStatus) -> Option<String> {
        if execution.spec.is_dry_run() {
            return None;
        }
        let most = runs(status);
        let mut running = 0;
        for other in self.store.state() {
            let Some(theirs) = &other.status else { continue };
            if !matches!(theirs.phase, Phase::Running | Phase::RollingBack) || other.spec.is_dry_run() {
                continue;
            }
            if let Some(device) = status.devices.iter().find(|device| theirs.devices.contains(device)) {
                return Some(locks::busy(device));
            }
            running += usize::from(other.spec.runbook_ref == execution.spec.runbook_ref);
        }
        (most > 0 && running >= most).then(|| locks::full(&execution.spec.runbook_ref.name, most))
    }

    /// How long this process has seen that the Job of an executor that began is gone.
    fn gone_secs(&self, execution: &Execution, status: &ExecutionStatus, job: reconcile::Job) -> i64 {
        let mut gone = self.gone.lock().expect("no holder panics");
        let key = status.executor.as_ref().map(|executor| executor.job.clone()).unwrap_or_default();
        let lost = !status.phase.is_final()
            && job != reconcile::Job::Active
            && status.executor.as_ref().is_some_and(|executor| executor.claimed);
        if !lost {
            gone.remove(&key);
            return 0;
        }
        let since = gone.entry(key).or_insert_with(|| {
            tracing::warn!(execution = execution.name_any(), "the executor's job is gone before its end");
            Instant::now()
        });
        i64::try_from(since.elapsed().as_secs()).unwrap_or(i64::MAX)
    }

    /// Whether the API server checks the names of requesters and approvers. Without the policies of deploy/runbooks/policies.yaml
    /// anybody can write any name.
    async fn proves(&self) -> kube::Result<bool> {
        let spec = ExecutionSpec {
            runbook_ref: Reference { name: "helios-probe".to_owned() },
            requested_by: Some(NOBODY.to_owned()),
            ..ExecutionSpec::default()
        };
        let metadata = ObjectMeta { generate_name: Some("helios-probe-".to_owned()), ..ObjectMeta::default() };
        let mut probe = Execution::new("", &resource(EXECUTION), spec);
        probe.metadata = metadata;
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        match self.executions().create(&dry, &probe).await {
            Ok(_) => Ok(false),
            Err(kube::Error::Api(refused)) if refused.message.contains("spec.requestedBy") => Ok(true),
            Err(error) => Err(error),
        }
    }

    fn locks(&self, name: &str, uid: &str) -> Locks {
        Locks::new(self.client.clone(), &self.options.namespace, name, uid)
    }

    async fn effect(&self, execution: &Execution, uid: &str, effect: Effect) -> kube::Result<Action> {
        let name = execution.name_any();
        match effect {
            Effect::Rest => Ok(Action::await_change()),
            Effect::Again(seconds) => Ok(Action::requeue(Duration::from_secs(u64::try_from(seconds).unwrap_or(1)))),
            Effect::AddFinalizer | Effect::RemoveFinalizer => {
                let mut finalizers = execution.finalizers().to_vec();
                finalizers.retain(|name| name != FINALIZER);
                if effect == Effect::AddFinalizer {
                    finalizers.push(FINALIZER.to_owned());
                }
                let version = &execution.metadata.resource_version;
                let patch = json!({"metadata": {"finalizers": finalizers, "resourceVersion": version}});
                let patched = self.executions().patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await;
                self.settle(patched.map(|_| ())).map(|(action, _)| action)
            }
            // Entries that ClickHouse does not have yet are only in the log and in the object.
            Effect::Delete if self.servers.unsent() > 0 => Ok(Action::requeue(RESEND)),
            Effect::Delete => {
                // The object as it was decided on, not one of the same name that came since.
                let resource_version = execution.metadata.resource_version.clone();
                let preconditions = Some(Preconditions { uid: Some(uid.to_owned()), resource_version });
                let parameters = DeleteParams { preconditions, ..DeleteParams::default() };
                let deleted = self.executions().delete(&name, &parameters).await;
                self.settle(deleted.map(|_| ())).map(|(action, _)| action)
            }
            Effect::Write { status, event, by } => {
                if event == "approved" && !self.proves().await? {
                    tracing::error!(execution = name, "the admission policies are not in force; no approval counts");
                    let why = "no approval counts: the API server does not check who approves; apply deploy/runbooks/policies.yaml";
                    return self.say(execution, why).await;
                }
                let (action, _) = self.write(execution, *status, event, &by).await?;
                Ok(action)
            }
            Effect::Lock(status) => {
                let dry = execution.spec.is_dry_run();
                let (devices, runs) = if dry { (&[][..], 0) } else { (status.devices.as_slice(), runs(&status)) };
                let taken = self.locks(&name, uid).take(devices, &execution.spec.runbook_ref.name, runs).await?;
                if let Err(held) = taken {
                    tracing::info!(execution = name, held, "waits");
                    return self.say(execution, &held).await;
                }
                let (action, _) = self.write(execution, *status, "started", "").await?;
                Ok(action)
            }
            Effect::Create { job, kind, seconds } => {
                let object =
                    objects::job(&self.options, execution, &job, kind, seconds).map_err(kube::Error::SerdeError)?;
                let api: Api<Job> = Api::namespaced(self.client.clone(), &self.options.namespace);
                match api.create(&PostParams::default(), &object).await {
                    Ok(_) => tracing::info!(execution = name, job, "created the executor's job"),
                    Err(error) if is_code(&error, 409) => {}
                    Err(error) => return Err(error),
                }
                Ok(Action::requeue(Duration::from_secs(30)))
            }
            Effect::Close(status) => {
                self.locks(&name, uid).free().await?;
                let end = (status.phase, status.started_at, status.finished_at);
                let (action, written) = self.write(execution, *status, "closed", "").await?;
                if written {
                    self.count(&execution.spec.runbook_ref.name, end);
                }
                Ok(action)
            }
        }
    }

    /// Writes into the status why the execution waits, and looks again soon.
    async fn say(&self, execution: &Execution, why: &str) -> kube::Result<Action> {
        match reconcile::wait(&execution.status.clone().unwrap_or_default(), why) {
            Effect::Write { status, event, by } => Ok(self.write(execution, *status, event, &by).await?.0),
            _ => Ok(Action::requeue(Duration::from_secs(reconcile::LOOK_AGAIN_SECS as u64))),
        }
    }

    fn count(&self, runbook: &str, (phase, started, finished): (Phase, Option<i64>, Option<i64>)) {
        let mut counts = self.counts.lock().expect("no holder panics");
        *counts.ends.entry((runbook.to_owned(), phase.name())).or_default() += 1;
        if let (Some(started), Some(finished)) = (started, finished) {
            *counts.seconds.entry(runbook.to_owned()).or_default() += finished.saturating_sub(started).max(0) as f64;
        }
    }

    async fn write(
        &self,
        execution: &Execution,
        mut status: ExecutionStatus,
        event: &'static str,
        by: &str,
    ) -> kube::Result<(Action, bool)> {
        let name = execution.name_any();
        // The last writer may have died before it sent its entries.
        self.servers.audit(&status.audit.tail).await;
        // A close has no entry: nobody writes after it who could send the entry again.
        let last = event == "closed";
        if !last {
            status.audit.tail.clear();
            status.audit.push(Entry {
                uid: execution.metadata.uid.clone().unwrap_or_default(),
                time: i64::try_from(clock::unix_secs()).unwrap_or(i64::MAX),
                namespace: self.options.namespace.clone(),
                execution: name.clone(),
                runbook: execution.spec.runbook_ref.name.clone(),
                writer: "operator".to_owned(),
                event: event.to_owned(),
                device: status.device.clone(),
                by: by.to_owned(),
                message: status.message.clone(),
                ..Entry::default()
            });
        }
        match write_status(&self.executions(), execution, &status).await {
            Ok(Written::Yes(_)) => {
                if !last {
                    self.servers.audit(&status.audit.tail).await;
                }
                self.tell(execution, &status, event).await;
                Ok((Action::await_change(), true))
            }
            Ok(Written::Conflict) => Ok(self.conflicted()),
            Err(error) => Err(error),
        }
    }

    /// A conflict is no error: the newer object comes, and is decided on. Says as well whether the write was done.
    fn settle(&self, written: kube::Result<()>) -> kube::Result<(Action, bool)> {
        match written {
            Ok(()) => Ok((Action::await_change(), true)),
            Err(error) if is_code(&error, 409) => Ok(self.conflicted()),
            Err(error) if is_code(&error, 404) => Ok((Action::await_change(), false)),
            Err(error) => Err(error),
        }
    }

    /// Counts a conflict, and looks again soon.
    fn conflicted(&self) -> (Action, bool) {
        self.counts.lock().expect("no holder panics").conflicts += 1;
        (Action::requeue(Duration::from_secs(2)), false)
    }

    /// An Event beside the execution; it lives an hour, so a failure to write it is only logged.
    async fn tell(&self, execution: &Execution, status: &ExecutionStatus, event: &str) {
        let bad = matches!(status.phase, Phase::Failed | Phase::RollbackFailed | Phase::Denied);
        let event = Event {
            type_: if bad { EventType::Warning } else { EventType::Normal },
            reason: status.phase.name().to_owned(),
            note: Some(crate::redact::shortened(&status.message, 900)),
            action: event.to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, &execution.object_ref(&resource(EXECUTION))).await {
            tracing::warn!(%error, "cannot write an event");
        }
    }
}

/// Whether somebody's decision may count now.
fn asks_people(status: &ExecutionStatus) -> bool {
    let asks = |snapshot: &crate::resource::Snapshot| {
        let steps = &snapshot.spec.steps;
        snapshot.spec.requires_approval || steps.iter().any(|step| step.kind == "approval" || step.kind == "for-each")
    };
    !status.phase.is_final() && status.runbook.as_ref().is_some_and(asks)
}

/// How many executions of the runbook may run at the same time; 0 is no limit.
fn runs(status: &ExecutionStatus) -> usize {
    let most = status.runbook.as_ref().map_or(0, |snapshot| snapshot.spec.max_concurrent);
    usize::try_from(most).unwrap_or(0)
}
