//! What comes next: a pure function of the plan and of what the status says was done.
//!
//! Record `i` of the status is about step `i` of the plan. A record is written before its step has an effect (`Started`,
//! `UndoStarted`) and again with the outcome. So at any moment the status says of each step: not begun, done, refused, or not
//! known; and a step that may have been done is never begun a second time.

use serde_json::{Map, Value, json};

use crate::condition;
use crate::plan::{Plan, Undo};
use crate::resource::{ExecutionStatus, Executor, ExecutorKind, OnFailure, Phase, StepPhase, StepRecord};

/// What the executor sees beside the status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Facts {
    /// Somebody cancelled or deleted the execution.
    pub cancelled: bool,
    /// The runbook's time is over.
    pub timed_out: bool,
    /// Nothing is changed: conditions may ask for what was not read.
    pub dry_run: bool,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the text of a variant says what its fields are")]
pub enum Next {
    /// Record the attempt, do it, record what became of it.
    Begin { step: usize, attempt: i32 },
    /// Record that the step's condition does not hold.
    Skip { step: usize, why: String },
    /// Record that the step failed before it had an effect.
    Refuse { step: usize, why: String },
    /// Record that from now on steps are undone.
    RollBack { why: String, cancelled: bool },
    /// Record that the step is being undone, undo it, record what became of it.
    Undo { step: usize },
    /// Record the end.
    Finish { phase: Phase, message: String },
}

/// The next thing to do for an execution in phase Running or RollingBack.
pub fn next(plan: &Plan, status: &ExecutionStatus, facts: Facts) -> Next {
    match status.phase {
        Phase::Running => forward(plan, status, facts),
        Phase::RollingBack => backward(plan, status),
        phase => Next::Finish { phase, message: status.message.clone() },
    }
}

fn forward(plan: &Plan, status: &ExecutionStatus, facts: Facts) -> Next {
    if let Some(last) = status.steps.last()
        && last.phase == StepPhase::Started
    {
        // Only the process that began the step knows its outcome; see `lost`.
        return wind_up(plan, status, format!("step {}: nobody knows what became of it", last.name), false);
    }
    if facts.cancelled {
        return wind_up(plan, status, "cancelled".to_owned(), true);
    }
    if facts.timed_out {
        return wind_up(
            plan,
            status,
            format!("not done within the {} s of the runbook", plan.timeout.as_secs()),
            false,
        );
    }
    let step = status.steps.len();
    if let Some(last) = status.steps.last()
        && last.phase == StepPhase::Failed
    {
        let planned = &plan.steps[step - 1];
        if !last.uncertain && last.attempt <= i32::try_from(planned.retries).unwrap_or(0) && !is_refused(last) {
            return Next::Begin { step: step - 1, attempt: last.attempt + 1 };
        }
        let why = format!("step {}: {}", last.name, last.message);
        // A change that may have happened is never passed over, whatever the runbook says.
        match planned.on_failure {
            OnFailure::Continue if !last.uncertain => {}
            OnFailure::Halt => return Next::Finish { phase: Phase::Failed, message: halted(plan, status, &why) },
            _ => return wind_up(plan, status, why, false),
        }
    }
    let Some(planned) = plan.steps.get(step) else { return end(plan, status) };
    match planned.when.as_deref().map(|when| asks(when, plan, status)) {
        None | Some(Ok(true)) => Next::Begin { step, attempt: 1 },
        Some(Ok(false)) => {
            Next::Skip { step, why: format!("its condition does not hold: {}", planned.when.as_deref().unwrap_or("")) }
        }
        Some(Err(why)) if facts.dry_run => Next::Skip { step, why: format!("decided when it runs: {why}") },
        Some(Err(why)) => Next::Refuse { step, why },
    }
}

/// A step that failed without an attempt: its condition cannot be asked, now or later.
fn is_refused(record: &StepRecord) -> bool {
    record.attempt == 0
}

fn asks(when: &str, plan: &Plan, status: &ExecutionStatus) -> Result<bool, String> {
    condition::holds(when, &[("params", &plan.parameters), ("steps", &outputs(status))])
}

/// What conditions see as `steps`.
pub fn outputs(status: &ExecutionStatus) -> Value {
    let outputs = status.steps.iter().map(|record| {
        let value = json!({"output": record.output, "phase": format!("{:?}", record.phase)});
        (record.name.clone(), value)
    });
    Value::Object(outputs.collect::<Map<String, Value>>())
}

/// After the last step.
fn end(plan: &Plan, status: &ExecutionStatus) -> Next {
    let failed: Vec<&str> = status
        .steps
        .iter()
        .zip(&plan.steps)
        .filter(|(record, planned)| record.phase == StepPhase::Failed && planned.action.changes())
        .map(|(record, _)| record.name.as_str())
        .collect();
    if failed.is_empty() {
        let passed = status.steps.iter().filter(|record| record.phase == StepPhase::Failed).count();
        let message = match passed {
            0 => "all steps are done".to_owned(),
            n => format!("all changes are done; {n} other steps failed, which the runbook passes over"),
        };
        return Next::Finish { phase: Phase::Succeeded, message };
    }
    let message = format!("the runbook went on, but these changes were refused: {}", failed.join(", "));
    Next::Finish { phase: Phase::Failed, message }
}

/// Begins the rollback if there is something to undo.
fn wind_up(plan: &Plan, status: &ExecutionStatus, why: String, cancelled: bool) -> Next {
    if to_undo(plan, status).next().is_some() {
        return Next::RollBack { why, cancelled };
    }
    let phase = if cancelled { Phase::Cancelled } else { Phase::Failed };
    Next::Finish { phase, message: with_stays(plan, status, &format!("{why}; there is nothing to undo")) }
}

/// The steps that may have changed something and are not undone, the last one first.
fn to_undo<'a>(plan: &'a Plan, status: &'a ExecutionStatus) -> impl Iterator<Item = usize> + 'a {
    let undoable = |undo: &Undo| matches!(undo, Undo::Restore | Undo::Do(_));
    (0..status.steps.len().min(plan.steps.len()))
        .rev()
        .filter(move |step| undoable(&plan.steps[*step].undo) && may_have_changed(&status.steps[*step]))
}

fn may_have_changed(record: &StepRecord) -> bool {
    matches!(record.phase, StepPhase::Succeeded | StepPhase::Started)
        || (record.phase == StepPhase::Failed && record.uncertain)
}

fn backward(plan: &Plan, status: &ExecutionStatus) -> Next {
    // After a failed undo, nothing more is undone on the device: earlier changes may depend on the one that stays.
    let blocked: Vec<&str> = of_phase(status, StepPhase::UndoFailed).map(|record| record.device.as_str()).collect();
    let open: Vec<usize> = to_undo(plan, status).collect();
    if let Some(step) = open.iter().find(|step| !blocked.contains(&status.steps[**step].device.as_str())) {
        return Next::Undo { step: *step };
    }
    let why = status.failure.as_deref().unwrap_or("");
    if let Some(failed) = of_phase(status, StepPhase::UndoFailed).next() {
        return Next::Finish { phase: Phase::RollbackFailed, message: not_undone(plan, status, why, failed) };
    }
    let phase = if status.cancelled { Phase::Cancelled } else { Phase::RolledBack };
    Next::Finish { phase, message: with_stays(plan, status, &format!("{why}; every change is undone")) }
}

fn of_phase(status: &ExecutionStatus, phase: StepPhase) -> impl Iterator<Item = &StepRecord> {
    status.steps.iter().filter(move |record| record.phase == phase)
}

fn not_undone(plan: &Plan, status: &ExecutionStatus, why: &str, failed: &StepRecord) -> String {
    let left: Vec<&str> = to_undo(plan, status).map(|step| status.steps[step].name.as_str()).collect();
    let left = if left.is_empty() { String::new() } else { format!(" Not undone either: {}.", left.join(", ")) };
    format!(
        "{why}; ROLLBACK FAILED at step {}: {}.{left} Look at the device: `before` of each step has the values that it had",
        failed.name, failed.message
    )
}

/// Every change that is not undone, with the values before it: for the log, when there is no status any more.
pub fn left(plan: &Plan, status: &ExecutionStatus) -> String {
    let changes: Vec<String> = to_undo(plan, status)
        .map(|step| {
            let record = &status.steps[step];
            let before = record
                .before
                .iter()
                .map(|before| format!("{} was {}", before.path, before.json.as_deref().unwrap_or("not there")));
            format!("{} on {} ({})", record.name, record.device, before.collect::<Vec<_>>().join(", "))
        })
        .collect();
    match changes.is_empty() {
        true => with_stays(plan, status, "nothing was changed"),
        false => format!("THESE CHANGES STAY: {}", changes.join("; ")),
    }
}

fn halted(plan: &Plan, status: &ExecutionStatus, why: &str) -> String {
    let changed: Vec<&str> = to_undo(plan, status).map(|step| status.steps[step].name.as_str()).collect();
    match changed.is_empty() {
        true => format!("{why}; halted, nothing was changed"),
        false => format!("{why}; halted as the runbook says, these changes stay: {}", changed.join(", ")),
    }
}

fn with_stays(plan: &Plan, status: &ExecutionStatus, message: &str) -> String {
    let stays: Vec<&str> = status
        .steps
        .iter()
        .zip(&plan.steps)
        .filter(|(record, planned)| planned.undo == Undo::Stays && may_have_changed(record))
        .map(|(record, _)| record.name.as_str())
        .collect();
    match stays.is_empty() {
        true => message.to_owned(),
        false => format!("{message}, except those that the runbook never undoes: {}", stays.join(", ")),
    }
}

/// What the operator does about an executor that is gone.
#[derive(Debug, Clone, PartialEq)]
pub enum Lost {
    /// An attempt may still be under way for so many seconds.
    Wait(i64),
    /// Write this status. If it names another executor, start it.
    Write(Box<ExecutionStatus>),
}

/// An executor that had begun is gone for `gone_secs`, and the execution is in no final phase. `job` is the name for an executor
/// that undoes.
///
/// The last request of the executor may be under way for as long as the attempt may take. This time is counted from the moment
/// at which the caller saw that the executor is gone, by the caller's clock: the clock of the executor's node may differ.
pub fn lost(plan: &Plan, status: &ExecutionStatus, job: &str, now: i64, gone_secs: i64) -> Lost {
    let mut status = status.clone();
    let kind = status.executor.as_ref().map_or(ExecutorKind::Forward, |executor| executor.kind);
    let longest = status.steps.iter().zip(&plan.steps).filter_map(|(record, planned)| {
        let open = match record.phase {
            StepPhase::Started => planned.action.changes(),
            phase => phase == StepPhase::UndoStarted,
        };
        open.then(|| record.deadline.saturating_sub(record.started_at))
    });
    let wait = longest.max().unwrap_or(0).saturating_sub(gone_secs);
    if wait > 0 {
        return Lost::Wait(wait);
    }
    for record in &mut status.steps {
        match record.phase {
            StepPhase::Started => {
                record.phase = StepPhase::Failed;
                record.uncertain = true;
                record.message = "the executor ended before it could say what became of the step".to_owned();
            }
            StepPhase::UndoStarted => {
                record.phase = StepPhase::UndoFailed;
                record.message = "the executor ended before it could say whether the step is undone".to_owned();
            }
            _ => {}
        }
    }
    if status.failure.is_none() {
        status.failure = Some("the executor ended early".to_owned());
    }
    let halts = status.steps.last().is_some_and(|last| {
        last.phase == StepPhase::Failed
            && plan.steps.get(status.steps.len() - 1).is_some_and(|planned| planned.on_failure == OnFailure::Halt)
    });
    let why = status.failure.clone().unwrap_or_default();
    let end = |mut status: ExecutionStatus, phase, message| {
        (status.phase, status.message, status.finished_at) = (phase, message, Some(now));
        Lost::Write(Box::new(status))
    };
    if status.phase == Phase::Running && halts {
        let message = halted(plan, &status, &why);
        return end(status, Phase::Failed, message);
    }
    if status.phase == Phase::Running && to_undo(plan, &status).next().is_none() {
        let message = with_stays(plan, &status, &format!("{why}; there is nothing to undo"));
        return end(status, Phase::Failed, message);
    }
    status.phase = Phase::RollingBack;
    match backward(plan, &status) {
        Next::Finish { phase, message } => end(status, phase, message),
        _ if kind == ExecutorKind::Rollback => {
            let message = match of_phase(&status, StepPhase::UndoFailed).next() {
                Some(failed) => not_undone(plan, &status, &why, failed),
                None => {
                    let left: Vec<&str> = to_undo(plan, &status).map(|step| status.steps[step].name.as_str()).collect();
                    format!("{why}; ROLLBACK FAILED: its executor ended early. Not undone: {}", left.join(", "))
                }
            };
            end(status, Phase::RollbackFailed, message)
        }
        _ => {
            status.message = format!("{why}; another executor undoes the changes");
            status.executor = Some(Executor { job: job.to_owned(), kind: ExecutorKind::Rollback, claimed: false });
            Lost::Write(Box::new(status))
        }
    }
}
