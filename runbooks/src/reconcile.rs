//! What the operator does about one execution: a pure function of what it sees.
//!
//! Every decision follows from the status alone, and every write is refused by the API server where somebody else has written
//! since; so two operators at the same time, a stale cache or a kill between two effects do no harm. Effects have
//! names that follow from the execution: to do one twice is to do it once.

use crate::approval::{self, Subject, Verdict, Vote};
use crate::audit;
use crate::machine::{self, Lost};
use crate::plan::{Plan, Undo};
use crate::resource::{
    AuditState, ExecutionSpec, ExecutionStatus, Executor, ExecutorKind, Phase, RiskLevel, RunbookSpec, Snapshot,
};
use crate::span;
use crate::step::Action;

/// How long an execution waits for its runbook: both may be applied together, in any order.
const RUNBOOK_WAIT_SECS: i64 = 60;
/// The longest time between two looks at an execution that is to be deleted later.
const FINISHED_LOOK_SECS: i64 = 3_600;
/// Time between two looks at things that are not watched.
pub(crate) const LOOK_AGAIN_SECS: i64 = 15;

/// The Job of the executor that the status names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// The API server has no Job of this name.
    Missing,
    /// The Job may still have a process.
    Active,
    /// The Job has succeeded or failed.
    Ended,
}

/// What the operator sees.
#[derive(Debug, Clone)]
pub struct View<'a> {
    /// Name of the execution.
    pub name: &'a str,
    /// metadata.uid of the execution.
    pub uid: &'a str,
    /// metadata.generation of the execution.
    pub generation: i64,
    /// When the execution was created, in seconds since 1970-01-01 UTC.
    pub created: i64,
    /// The present, in seconds since 1970-01-01 UTC.
    pub now: i64,
    /// Whether somebody deleted the object; the operator's finalizer keeps it.
    pub deleted: bool,
    /// Whether the object has the operator's finalizer.
    pub finalizer: bool,
    /// What was requested.
    pub spec: &'a ExecutionSpec,
    /// What was done so far.
    pub status: &'a ExecutionStatus,
    /// The runbook as it is now, with its generation; `None` if it does not exist.
    pub runbook: Option<(&'a RunbookSpec, i64)>,
    /// All RunbookApprovals that name the execution.
    pub votes: &'a [Vote],
    /// The Job that the status names.
    pub job: Job,
    /// Seconds for which this process has seen that the Job is gone, by a monotonic clock.
    pub gone_secs: i64,
    /// The images that steps of type script may run.
    pub script_images: &'a [String],
    /// Why the execution cannot begin now, such as another execution that has one of its devices; `None` if nothing is known.
    pub blocked: Option<&'a str>,
}

/// What to do, one thing at a time.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the text of a variant says what its fields are")]
pub enum Effect {
    /// Nothing until something changes.
    Rest,
    /// Look again, in so many seconds.
    Again(i64),
    /// Keep the object until the execution is over.
    AddFinalizer,
    /// Let the object go.
    RemoveFinalizer,
    /// Delete the object: the execution has ended, and ttlSecondsAfterFinished has passed.
    Delete,
    /// Replace the status, and log this event of this person.
    Write { status: Box<ExecutionStatus>, event: &'static str, by: String },
    /// Take the lock of every device in `status`, and one of those of the runbook's `maxConcurrent`; then replace the status. Where
    /// a lock is held, look again later.
    Lock(Box<ExecutionStatus>),
    /// Create the Job.
    Create { job: String, kind: ExecutorKind, seconds: u64 },
    /// Free the devices, count the end, and replace the status.
    Close(Box<ExecutionStatus>),
}

/// The next effect for an execution.
pub fn decide(view: &View<'_>) -> Effect {
    let phase = view.status.phase;
    if phase.is_final() {
        return finished(view);
    }
    if !view.finalizer {
        // The API server takes no finalizer for an object that is being deleted; without one nothing was begun.
        return if view.deleted { Effect::Rest } else { Effect::AddFinalizer };
    }
    let begun = matches!(phase, Phase::Running | Phase::RollingBack);
    if !begun && (view.deleted || view.spec.is_cancelled()) {
        return end(view, Phase::Cancelled, "cancelled before anything was done".to_owned(), "cancelled", "");
    }
    let Some(snapshot) = &view.status.runbook else { return admit(view) };
    let plan = match Plan::new(&snapshot.spec, &view.spec.parameters) {
        Ok(plan) => plan,
        // The snapshot was checked before it was taken.
        Err(mistakes) if !begun => return end(view, Phase::Denied, mistakes.join("; "), "denied", ""),
        Err(mistakes) => return unreadable(view, &mistakes.join("; ")),
    };
    match phase {
        Phase::AwaitingApproval => await_approval(view, snapshot),
        Phase::Pending => start(view, snapshot, &plan),
        _ => follow(view, snapshot, &plan),
    }
}

fn finished(view: &View<'_>) -> Effect {
    if !view.status.closed {
        return Effect::Close(Box::new(ExecutionStatus { closed: true, ..view.status.clone() }));
    }
    match (view.deleted, deletion_time(view)) {
        (true, _) if view.finalizer => Effect::RemoveFinalizer,
        (true, _) | (false, None) => Effect::Rest,
        (false, Some(time)) if time <= view.now => Effect::Delete,
        (false, Some(time)) => Effect::Again(time.saturating_sub(view.now).min(FINISHED_LOOK_SECS)),
    }
}

/// When the execution is to be deleted, in seconds since 1970-01-01 UTC. After a failed rollback it stays until a person has
/// seen it.
fn deletion_time(view: &View<'_>) -> Option<i64> {
    let seconds = view.spec.ttl_seconds_after_finished?;
    let finished = view.status.finished_at.filter(|_| view.status.phase != Phase::RollbackFailed)?;
    Some(finished.saturating_add(seconds))
}

/// An executor has begun, and this version of the operator cannot read its runbook.
fn unreadable(view: &View<'_>, mistakes: &str) -> Effect {
    let why = format!("this version of the operator cannot read the execution's runbook: {mistakes}");
    let fresh = |executor: &Executor| !executor.claimed && executor.kind == ExecutorKind::Forward;
    match view.job {
        Job::Active => Effect::Again(60),
        _ if view.status.executor.as_ref().is_some_and(fresh) => {
            end(view, Phase::Failed, format!("{why}; nothing was done"), "executor-lost", "")
        }
        _ => {
            let look = "Look at the devices: `before` of each step has the values that they had";
            end(
                view,
                Phase::RollbackFailed,
                format!("{why}; ROLLBACK FAILED, its executor is gone. {look}"),
                "executor-lost",
                "",
            )
        }
    }
}

/// Checks an execution and takes the runbook as it is now.
fn admit(view: &View<'_>) -> Effect {
    let name = &view.spec.runbook_ref.name;
    let Some((spec, generation)) = view.runbook else {
        if view.now.saturating_sub(view.created) < RUNBOOK_WAIT_SECS {
            return Effect::Again(5);
        }
        return end(view, Phase::Denied, format!("there is no runbook {name} in this namespace"), "denied", "");
    };
    let plan = match Plan::new(spec, &view.spec.parameters) {
        Ok(plan) => plan,
        Err(mistakes) => return end(view, Phase::Denied, mistakes.join("; "), "denied", ""),
    };
    if spec.risk_level >= RiskLevel::High && !spec.requires_approval {
        let message = format!("runbook {name} has a high risk and requires no approval");
        return end(view, Phase::Denied, message, "denied", "");
    }
    if let Some((step, image)) = forbidden_script(&plan, view.script_images) {
        let message = format!(
            "step {step}: scripts are off but for the images that HELIOS_SERVERS names under script_images; {image} is none of them"
        );
        return end(view, Phase::Denied, message, "denied", "");
    }
    let json = serde_json::to_value(spec).unwrap_or_default();
    let hash = audit::sha256_of(&json);
    let devices: Vec<String> = plan.devices.iter().cloned().collect();
    let mut status = ExecutionStatus {
        requested_by: view.spec.requested_by.clone().unwrap_or_default(),
        device: match devices.as_slice() {
            [] => String::new(),
            [one] => one.clone(),
            [first, others @ ..] => format!("{first} and {} more", others.len()),
        },
        devices,
        audit: AuditState::begin(&hash),
        runbook: Some(Snapshot { hash, generation, spec: spec.clone() }),
        observed_generation: view.generation,
        ..view.status.clone()
    };
    let by = status.requested_by.clone();
    if spec.requires_approval && !view.spec.is_dry_run() {
        let wanted = approval::wanted(&spec.approval, &status.requested_by);
        status.phase = Phase::AwaitingApproval;
        status.waiting_since = Some(view.now);
        status.message = format!("waits for {wanted} approvals, at most {}", spec.approval.timeout);
        return Effect::Write { status: Box::new(status), event: "awaiting-approval", by };
    }
    status.message = "waits for its devices".to_owned();
    Effect::Write { status: Box::new(status), event: "admitted", by }
}

/// The first script, of a step or of its rollback, whose image may not run.
fn forbidden_script<'a>(plan: &'a Plan, images: &[String]) -> Option<(&'a str, &'a str)> {
    let image = |action: &'a Action| match action {
        Action::Script(script) if !images.contains(&script.image) => Some(script.image.as_str()),
        _ => None,
    };
    plan.steps.iter().find_map(|step| {
        let undo = match &step.undo {
            Undo::Do(action) => image(action),
            _ => None,
        };
        Some((step.name.as_str(), image(&step.action).or(undo)?))
    })
}

fn votes(view: &View<'_>, snapshot: &Snapshot) -> Vec<crate::resource::Approved> {
    let subject = Subject {
        name: view.name,
        uid: view.uid,
        runbook: &view.spec.runbook_ref.name,
        requested_by: &view.status.requested_by,
    };
    approval::counted(view.votes, subject, &snapshot.spec.approval)
}

fn await_approval(view: &View<'_>, snapshot: &Snapshot) -> Effect {
    let rules = &snapshot.spec.approval;
    let approvals = votes(view, snapshot);
    let until = approval_ends(view, snapshot);
    let verdict = approval::verdict(&approvals, rules, &view.status.requested_by);
    if let Verdict::Rejected(by) = &verdict {
        let message = format!("rejected by {by}");
        return end(&View { status: &with(view, approvals), ..view.clone() }, Phase::Denied, message, "rejected", by);
    }
    // An approval in the last second does not count: the time is over.
    if view.now >= until {
        return end(view, Phase::Denied, format!("not approved within {}", rules.timeout), "expired", "");
    }
    let by: Vec<&str> = approvals.iter().filter(|vote| vote.step.is_empty()).map(|vote| vote.by.as_str()).collect();
    let by = by.join(", ");
    match verdict {
        Verdict::Approved => {
            let mut status = with(view, approvals);
            status.phase = Phase::Pending;
            status.message = format!("approved by {by}, waits for its devices");
            Effect::Write { status: Box::new(status), event: "approved", by }
        }
        Verdict::Open(more) if approvals != view.status.approvals => {
            let mut status = with(view, approvals);
            status.message = format!("waits for {more} more approvals, at most {}", rules.timeout);
            Effect::Write { status: Box::new(status), event: "vote", by }
        }
        _ => Effect::Again(until.saturating_sub(view.now).clamp(1, 3_600)),
    }
}

/// When the time for approval is over, in seconds since 1970-01-01 UTC. An execution that has not begun by then does not begin:
/// the approver agreed to a change now, not to one at some time of the night.
fn approval_ends(view: &View<'_>, snapshot: &Snapshot) -> i64 {
    let longest = span::parse(&snapshot.spec.approval.timeout)
        .map_or(0, |span| i64::try_from(span.as_secs()).unwrap_or(i64::MAX));
    view.status.waiting_since.unwrap_or(view.created).saturating_add(longest)
}

fn with(view: &View<'_>, approvals: Vec<crate::resource::Approved>) -> ExecutionStatus {
    ExecutionStatus { approvals, observed_generation: view.generation, ..view.status.clone() }
}

/// Approved: takes the devices, then names the executor.
fn start(view: &View<'_>, snapshot: &Snapshot, plan: &Plan) -> Effect {
    // A rejection that came after the last approval and before the first step.
    let approvals = votes(view, snapshot);
    if let Some(no) = approvals.iter().find(|vote| !vote.yes && vote.step.is_empty()) {
        let message = format!("rejected by {} before it began", no.by);
        let by = no.by.clone();
        return end(&View { status: &with(view, approvals), ..view.clone() }, Phase::Denied, message, "rejected", &by);
    }
    if snapshot.spec.requires_approval && !view.spec.is_dry_run() {
        let verdict = approval::verdict(&approvals, &snapshot.spec.approval, &view.status.requested_by);
        if verdict != Verdict::Approved {
            let message = "an approval was taken back before it began".to_owned();
            return end(view, Phase::Denied, message, "revoked", "");
        }
        if view.now >= approval_ends(view, snapshot) {
            let message = format!("approved, but it could not begin within {}", snapshot.spec.approval.timeout);
            return end(view, Phase::Denied, message, "expired", "");
        }
    }
    if let Some(blocked) = view.blocked {
        return wait(view.status, blocked);
    }
    let mut status = view.status.clone();
    status.phase = Phase::Running;
    status.message = format!("{} steps on {} devices", plan.steps.len(), plan.devices.len());
    status.started_at = Some(view.now);
    status.executor =
        Some(Executor { job: job_name(view, ExecutorKind::Forward), kind: ExecutorKind::Forward, claimed: false });
    Effect::Lock(Box::new(status))
}

/// Writes what the execution waits for into the status, unless it is there already.
pub(crate) fn wait(status: &ExecutionStatus, blocked: &str) -> Effect {
    let message = format!("waits: {blocked}");
    if status.message == message {
        return Effect::Again(LOOK_AGAIN_SECS);
    }
    let status = ExecutionStatus { message, ..status.clone() };
    Effect::Write { status: Box::new(status), event: "waits", by: String::new() }
}

/// The name of a Job. It follows from the execution, so that a second operator makes the same one.
fn job_name(view: &View<'_>, kind: ExecutorKind) -> String {
    let uid: String = view.uid.chars().take(8).collect();
    let suffix = match kind {
        ExecutorKind::Forward => "r",
        ExecutorKind::Rollback => "u",
    };
    format!("{}-{uid}-{suffix}", view.name.chars().take(52).collect::<String>().trim_end_matches(['-', '.']))
}

/// An executor is at work, or should be.
fn follow(view: &View<'_>, snapshot: &Snapshot, plan: &Plan) -> Effect {
    let Some(executor) = &view.status.executor else { return Effect::Rest };
    let approvals = votes(view, snapshot);
    if approvals != view.status.approvals && approvals.iter().any(|vote| !vote.step.is_empty()) {
        let by: Vec<&str> =
            approvals.iter().filter(|vote| !vote.step.is_empty()).map(|vote| vote.by.as_str()).collect();
        let by = by.join(", ");
        return Effect::Write { status: Box::new(with(view, approvals)), event: "vote", by };
    }
    match (executor.claimed, view.job) {
        (_, Job::Active) => Effect::Again(60),
        (false, Job::Missing) => {
            let seconds = plan.timeout.as_secs().saturating_mul(2).saturating_add(15 * 60);
            Effect::Create { job: executor.job.clone(), kind: executor.kind, seconds }
        }
        (false, Job::Ended) => {
            let message = "the executor's Job ended before it began: look at its pod's events and its log".to_owned();
            let (phase, message) = match executor.kind {
                ExecutorKind::Forward => (Phase::Failed, format!("{message}; nothing was done")),
                ExecutorKind::Rollback => {
                    (Phase::RollbackFailed, format!("{message}; ROLLBACK FAILED, nothing was undone"))
                }
            };
            end(view, phase, message, "executor-lost", "")
        }
        (true, Job::Missing | Job::Ended) => {
            match machine::lost(plan, view.status, &job_name(view, ExecutorKind::Rollback), view.now, view.gone_secs) {
                Lost::Wait(seconds) => Effect::Again(seconds.clamp(1, 600)),
                Lost::Write(status) => Effect::Write { status, event: "executor-lost", by: String::new() },
            }
        }
    }
}

fn end(view: &View<'_>, phase: Phase, message: String, event: &'static str, by: &str) -> Effect {
    let mut status = view.status.clone();
    status.phase = phase;
    status.message = crate::redact::shortened(&message, 2_048);
    status.finished_at = Some(view.now);
    status.observed_generation = view.generation;
    Effect::Write { status: Box::new(status), event, by: by.to_owned() }
}

#[cfg(test)]
mod tests;
