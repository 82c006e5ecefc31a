//! Does what [`machine::next`] says: the loop of an executor.
//!
//! The order of things is what makes it safe: read, write the intent, act, write the outcome. An intent that cannot be
//! written stops the executor before it acts. The writer is fenced: a write fails for good once the status names another
//! executor.

use std::time::Duration;

use serde_json::Value;

use crate::audit::{self, Entry};
use crate::machine::{self, Facts, Next};
use crate::plan::{Plan, Planned, Undo};
use crate::redact;
use crate::resource::{Before, ExecutionStatus, Phase, StepPhase, StepRecord};
use crate::step::{Action, Set};

/// A step's output in the status: conditions ask for states and numbers, not for tables.
const OUTPUT_BYTES_MAX: usize = 4_096;
/// All values that are kept for a rollback: an object of Kubernetes has 1.5 MiB, and the audit and the runbook need room.
const BEFORE_BYTES_MAX: usize = 256 * 1024;
/// A message in the status.
const MESSAGE_BYTES_MAX: usize = 1_024;
/// Time between the time-out of an attempt and the moment from which another executor may act.
const GRACE: Duration = Duration::from_secs(30);

/// An execution as the API server has it now.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// What was done so far.
    pub status: ExecutionStatus,
    /// Whether somebody cancelled or deleted the execution.
    pub cancelled: bool,
}

/// Why an executor stops before the execution has ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// The status names another executor, or this one was started before.
    #[error("another executor has taken over: {0}")]
    Superseded(String),
    /// The execution is gone, though the operator's finalizer was on it. What was changed stays: without the object there is no
    /// lock on the device any more, and another execution may be at work.
    #[error("the execution is gone: somebody deleted it by force")]
    Gone,
    /// The status could not be written.
    #[error("the status cannot be written: {0}")]
    Store(String),
}

/// Where the status is kept.
pub trait Store {
    /// Reads the execution.
    fn read(&mut self) -> impl Future<Output = Result<Observed, Stop>> + Send;
    /// Replaces the status, provided that nobody else has written the object since it was read. `false` says that somebody
    /// has: read again.
    fn write(&mut self, status: &ExecutionStatus) -> impl Future<Output = Result<bool, Stop>> + Send;
}

/// What a successful step brought.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Done {
    /// What later conditions see as `steps.NAME.output`.
    pub output: Value,
    /// What happened, in a sentence.
    pub message: String,
    /// Octets of the answer, for its digest.
    pub answer: Vec<u8>,
}

/// Why a step failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What happened, in a sentence.
    pub message: String,
    /// Whether it is unknown if something was changed.
    pub uncertain: bool,
}

/// Devices and servers.
pub trait World {
    /// Seconds since 1970-01-01 UTC.
    fn now(&self) -> i64;
    /// Time since the executor began, by a monotonic clock.
    fn elapsed(&self) -> Duration;
    /// Reads what a Set will change.
    fn before(&mut self, set: &Set) -> impl Future<Output = Result<Vec<Before>, String>> + Send;
    /// Does a step once. `steps` is what conditions see.
    fn act(
        &mut self,
        planned: &Planned,
        steps: &Value,
        parameters: &Value,
    ) -> impl Future<Output = Result<Done, Trouble>> + Send;
    /// Writes values back and reads them to see that they are there.
    fn restore(
        &mut self,
        set: &Set,
        before: &[Before],
        timeout: Duration,
    ) -> impl Future<Output = Result<Done, Trouble>> + Send;
    /// Sends audit entries to the log and to ClickHouse.
    fn emit(&mut self, entries: &[Entry]) -> impl Future<Output = ()> + Send;
    /// Waits some seconds before the next look at the execution, at most `longest`.
    fn pause(&mut self, longest: Duration) -> impl Future<Output = ()> + Send;
}

/// Who executes what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// Namespace of the execution.
    pub namespace: String,
    /// Name of the execution.
    pub execution: String,
    /// metadata.uid of the execution.
    pub uid: String,
    /// Name of the runbook.
    pub runbook: String,
    /// Name of the Job that this process belongs to.
    pub job: String,
    /// Whether nothing may be changed.
    pub dry_run: bool,
}

/// One executor.
pub struct Engine<S, W> {
    /// Everything that the execution would do.
    pub plan: Plan,
    /// Who executes what.
    pub identity: Identity,
    /// Where the status is kept.
    pub store: S,
    /// The devices and servers.
    pub world: W,
    status: ExecutionStatus,
    cancelled: bool,
}

impl<S: Store + Send, W: World + Send> Engine<S, W> {
    /// An executor that has read and done nothing yet.
    pub fn new(plan: Plan, identity: Identity, store: S, world: W) -> Self {
        Self { plan, identity, store, world, status: ExecutionStatus::default(), cancelled: false }
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// [`Stop`] where the operator has to go on.
    pub async fn run(&mut self) -> Result<Phase, Stop> {
        let ended = self.go().await;
        if ended == Err(Stop::Gone) && !self.status.audit.head.is_empty() {
            self.log("execution-gone", None, &machine::left(&self.plan, &self.status));
            self.world.emit(&self.status.audit.tail).await;
        }
        ended
    }

    async fn go(&mut self) -> Result<Phase, Stop> {
        self.claim().await?;
        loop {
            let facts = Facts {
                cancelled: self.cancelled,
                timed_out: self.world.elapsed() >= self.plan.timeout,
                dry_run: self.identity.dry_run,
            };
            match machine::next(&self.plan, &self.status, facts) {
                Next::Begin { step, attempt } => self.begin(step, attempt).await?,
                Next::Skip { step, why } => self.pass(step, StepPhase::Skipped, why).await?,
                Next::Refuse { step, why } => self.pass(step, StepPhase::Failed, why).await?,
                Next::RollBack { why, cancelled } => {
                    self.status.phase = Phase::RollingBack;
                    self.status.message = format!("{why}; undoing the changes");
                    self.status.failure = Some(why.clone());
                    self.status.cancelled = cancelled;
                    self.write("rolling-back", None, &why).await?;
                }
                Next::Undo { step } => self.undo(step).await?,
                Next::Finish { phase, message } => {
                    self.status.phase = phase;
                    self.status.message = redact::shortened(&message, MESSAGE_BYTES_MAX * 2);
                    self.status.finished_at = Some(self.world.now());
                    self.write("finished", None, &format!("{}: {message}", phase.name())).await?;
                    return Ok(phase);
                }
            }
        }
    }

    /// Claims the execution. A second process of the same Job finds it claimed and stops.
    async fn claim(&mut self) -> Result<(), Stop> {
        let (mut sent, mut before) = (None, Vec::new());
        loop {
            let observed = self.store.read().await?;
            if sent == Some(observed.status.audit.head.clone()) {
                // The write had arrived, and only its answer was lost.
                self.world.emit(&before).await;
                self.world.emit(&self.status.audit.tail).await;
                return Ok(());
            }
            self.status = observed.status;
            self.cancelled = observed.cancelled;
            let superseded = |why: &str| Err(Stop::Superseded(why.to_owned()));
            let Some(executor) = &mut self.status.executor else { return superseded("the status names no executor") };
            if executor.job != self.identity.job {
                return superseded(&format!("the status names {}", executor.job));
            }
            if executor.claimed {
                return superseded("this executor was started before");
            }
            if !matches!(self.status.phase, Phase::Running | Phase::RollingBack) {
                return superseded(&format!("the execution is {}", self.status.phase.name()));
            }
            executor.claimed = true;
            // The last writer may have died before it sent these.
            before.clone_from(&self.status.audit.tail);
            self.log("executor-started", None, "");
            sent = Some(self.status.audit.head.clone());
            if self.store.write(&self.status).await? {
                self.world.emit(&before).await;
                self.world.emit(&self.status.audit.tail).await;
                return Ok(());
            }
        }
    }

    async fn begin(&mut self, step: usize, attempt: i32) -> Result<(), Stop> {
        let planned = self.plan.steps[step].clone();
        let now = self.world.now();
        let span = i64::try_from((planned.timeout + GRACE).as_secs()).unwrap_or(i64::MAX);
        let mut record = StepRecord { phase: StepPhase::Started, attempt, started_at: now, ..record_of(&planned) };
        record.deadline = now.saturating_add(span);
        record.request_digest = audit::sha256_of(&planned.action.request());
        let mut refusal = None;
        if let (Action::Set(set), Undo::Restore) = (&planned.action, &planned.undo) {
            match self.world.before(set).await {
                Ok(before) => {
                    refusal = self.cannot_keep(step, &before);
                    // What may not be kept is not written either.
                    record.before = if refusal.is_none() { before } else { Vec::new() };
                }
                Err(why) => refusal = Some(why),
            }
        }
        if let Some(why) = refusal {
            record.phase = StepPhase::Failed;
            record.message = redact::shortened(&format!("{why}; nothing was sent"), MESSAGE_BYTES_MAX);
            record.finished_at = Some(self.world.now());
            self.put(step, record);
            return self.write("step-refused", Some(step), "").await;
        }
        self.put(step, record);
        let known = self.cancelled;
        self.write("step-started", Some(step), "").await?;
        let outcome = if self.cancelled && !known {
            Err(Trouble { message: "cancelled before anything was sent".to_owned(), uncertain: false })
        } else {
            self.perform(step, &planned).await?
        };
        self.book(step, outcome, StepPhase::Succeeded, StepPhase::Failed);
        let event = if self.status.steps[step].phase == StepPhase::Succeeded { "step-done" } else { "step-failed" };
        self.write(event, Some(step), "").await
    }

    async fn perform(&mut self, step: usize, planned: &Planned) -> Result<Result<Done, Trouble>, Stop> {
        if self.identity.dry_run && !matches!(planned.action, Action::Get { .. }) {
            let now = self.status.steps[step].before.iter().map(|before| {
                let path: Option<helios_gnmi::Path> = before.path.parse().ok();
                let value =
                    before.json.as_deref().and_then(|json| serde_json::from_str(json).ok()).unwrap_or(Value::Null);
                format!("{} is {}", before.path, path.map_or(value.clone(), |path| crate::step::masked(&path, &value)))
            });
            let now: Vec<String> = now.collect();
            let message = format!("dry run, not sent: {}; {}", planned.action.request(), now.join(", "));
            return Ok(Ok(Done { message, ..Done::default() }));
        }
        match planned.action {
            Action::Approval { .. } => return self.approval(planned).await,
            Action::Wait(span) => return self.wait(span).await,
            _ => {}
        }
        let steps = machine::outputs(&self.status);
        let parameters = self.plan.parameters.clone();
        Ok(self.world.act(planned, &steps, &parameters).await)
    }

    /// Waits until enough people have approved this step, one has rejected it, or the time is over.
    async fn approval(&mut self, planned: &Planned) -> Result<Result<Done, Trouble>, Stop> {
        let begun = self.world.elapsed();
        let wanted = self.wanted();
        loop {
            let observed = self.store.read().await?;
            self.cancelled |= observed.cancelled;
            self.status.approvals = observed.status.approvals;
            let votes: Vec<_> = self.status.approvals.iter().filter(|vote| vote.step == planned.name).collect();
            let trouble = |message: String| Ok(Err(Trouble { message, uncertain: false }));
            if let Some(no) = votes.iter().find(|vote| !vote.yes) {
                return trouble(format!("rejected by {}", no.by));
            }
            if votes.len() >= wanted {
                let by: Vec<&str> = votes.iter().map(|vote| vote.by.as_str()).collect();
                return Ok(Ok(Done { message: format!("approved by {}", by.join(", ")), ..Done::default() }));
            }
            if self.cancelled {
                return trouble("cancelled while it waited for approval".to_owned());
            }
            let waited = self.world.elapsed().saturating_sub(begun);
            if waited >= planned.timeout || self.world.elapsed() >= self.plan.timeout {
                return trouble(format!("no approval within {} s", waited.as_secs()));
            }
            self.world.pause(planned.timeout.saturating_sub(waited)).await;
        }
    }

    /// Waits, and looks for a cancel meanwhile.
    async fn wait(&mut self, span: Duration) -> Result<Result<Done, Trouble>, Stop> {
        let begun = self.world.elapsed();
        loop {
            let waited = self.world.elapsed().saturating_sub(begun);
            if waited >= span {
                return Ok(Ok(Done { message: format!("waited {} s", waited.as_secs()), ..Done::default() }));
            }
            self.cancelled |= self.store.read().await?.cancelled;
            if self.cancelled {
                return Ok(Err(Trouble { message: "cancelled while it waited".to_owned(), uncertain: false }));
            }
            self.world.pause(span.saturating_sub(waited)).await;
        }
    }

    fn wanted(&self) -> usize {
        let rules = self.status.runbook.as_ref().map(|runbook| runbook.spec.approval.clone()).unwrap_or_default();
        crate::approval::wanted(&rules, &self.status.requested_by)
    }

    /// Why the values before a change cannot be kept.
    fn cannot_keep(&self, step: usize, before: &[Before]) -> Option<String> {
        let size = |before: &[Before]| -> usize {
            before.iter().map(|before| before.path.len() + before.json.as_ref().map_or(0, String::len)).sum()
        };
        let others = self.status.steps.iter().enumerate().filter(|(at, _)| *at != step);
        let total: usize = others.map(|(_, record)| size(&record.before)).sum::<usize>() + size(before);
        if total > BEFORE_BYTES_MAX {
            return Some(format!(
                "the values before the change have {total} bytes in all, more than the {BEFORE_BYTES_MAX} that are kept for a \
                 rollback: change smaller parts of the tree"
            ));
        }
        before.iter().find_map(|before| {
            let path: helios_gnmi::Path = before.path.parse().ok()?;
            let value: Value = serde_json::from_str(before.json.as_deref()?).ok()?;
            let named = path.elem.last().filter(|elem| redact::is_secret(&elem.name)).map(|elem| elem.name.as_str());
            let secret = named.or_else(|| redact::secret_within(&value))?;
            Some(format!(
                "the value before the change has the secret `{secret}`, which would have to be kept in the status: give the \
                 step a rollback of mode step or none"
            ))
        })
    }

    async fn undo(&mut self, step: usize) -> Result<(), Stop> {
        let planned = self.plan.steps[step].clone();
        let now = self.world.now();
        let span = i64::try_from((planned.timeout + GRACE).as_secs()).unwrap_or(i64::MAX);
        let record = &mut self.status.steps[step];
        record.phase = StepPhase::UndoStarted;
        record.started_at = now;
        record.deadline = now.saturating_add(span);
        self.write("undo-started", Some(step), "").await?;
        let before = self.status.steps[step].before.clone();
        let outcome = match (&planned.undo, &planned.action) {
            (Undo::Restore, Action::Set(set)) => self.world.restore(set, &before, planned.timeout).await,
            (Undo::Do(action), _) => {
                let undoing = Planned { action: action.as_ref().clone(), ..planned.clone() };
                let steps = machine::outputs(&self.status);
                self.world.act(&undoing, &steps, &self.plan.parameters.clone()).await
            }
            _ => Ok(Done::default()),
        };
        self.book(step, outcome, StepPhase::Undone, StepPhase::UndoFailed);
        let event = if self.status.steps[step].phase == StepPhase::Undone { "undo-done" } else { "undo-failed" };
        self.write(event, Some(step), "").await
    }

    fn book(&mut self, step: usize, outcome: Result<Done, Trouble>, good: StepPhase, bad: StepPhase) {
        let now = self.world.now();
        let record = &mut self.status.steps[step];
        record.finished_at = Some(now);
        match outcome {
            Ok(done) => {
                record.phase = good;
                record.message = redact::shortened(&done.message, MESSAGE_BYTES_MAX);
                record.answer_digest = if done.answer.is_empty() { String::new() } else { audit::sha256(&done.answer) };
                let output = redact::redacted(&done.output);
                if output.to_string().len() <= OUTPUT_BYTES_MAX {
                    record.output = output;
                }
            }
            Err(trouble) => {
                record.phase = bad;
                record.uncertain = trouble.uncertain;
                record.message = redact::shortened(&trouble.message, MESSAGE_BYTES_MAX);
            }
        }
    }

    async fn pass(&mut self, step: usize, phase: StepPhase, why: String) -> Result<(), Stop> {
        let now = self.world.now();
        let message = redact::shortened(&why, MESSAGE_BYTES_MAX);
        let record = record_of(&self.plan.steps[step]);
        self.put(step, StepRecord { phase, message, started_at: now, finished_at: Some(now), ..record });
        self.write("step-passed", Some(step), "").await
    }

    fn put(&mut self, step: usize, record: StepRecord) {
        match self.status.steps.get_mut(step) {
            Some(old) => *old = record,
            None => self.status.steps.push(record),
        }
    }

    fn log(&mut self, event: &str, step: Option<usize>, message: &str) {
        let record = step.and_then(|step| self.status.steps.get(step)).cloned().unwrap_or_default();
        let entry = Entry {
            uid: self.identity.uid.clone(),
            time: self.world.now(),
            namespace: self.identity.namespace.clone(),
            execution: self.identity.execution.clone(),
            runbook: self.identity.runbook.clone(),
            writer: self.identity.job.clone(),
            event: event.to_owned(),
            step: record.name,
            device: record.device,
            by: self.status.requested_by.clone(),
            message: if message.is_empty() { record.message } else { redact::shortened(message, MESSAGE_BYTES_MAX) },
            request: record.request_digest,
            answer: record.answer_digest,
            ..Entry::default()
        };
        self.status.audit.tail.clear();
        self.status.audit.push(entry);
    }

    /// Writes the status with one more entry. If somebody else wrote the object meanwhile, the approvals and the cancellation of
    /// that version are taken over and nothing else.
    async fn write(&mut self, event: &str, step: Option<usize>, message: &str) -> Result<(), Stop> {
        self.log(event, step, message);
        while !self.store.write(&self.status).await? {
            let observed = self.store.read().await?;
            let job = observed.status.executor.as_ref().map(|executor| executor.job.as_str());
            if job != Some(self.identity.job.as_str()) {
                return Err(Stop::Superseded(format!("the status names {}", job.unwrap_or("none"))));
            }
            if observed.status.audit == self.status.audit {
                // The write had arrived, and only its answer was lost.
                break;
            }
            self.cancelled |= observed.cancelled;
            self.status.approvals = observed.status.approvals;
        }
        self.world.emit(&self.status.audit.tail).await;
        Ok(())
    }
}

fn record_of(planned: &Planned) -> StepRecord {
    StepRecord {
        name: planned.name.clone(),
        kind: planned.kind.clone(),
        device: planned.action.device().unwrap_or("").to_owned(),
        ..StepRecord::default()
    }
}

#[cfg(test)]
mod tests;
