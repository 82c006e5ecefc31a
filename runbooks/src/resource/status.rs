//! The status of an execution: what was intended, what was done, and what became of it.
//!
//! It is the one record that operator and executor share. Whoever writes it replaces the whole object with the version
//! that was read (optimistic locking), so that two writers never overwrite each other's word.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::RunbookSpec;
use crate::audit::Entry;

helios_metrics::label_set! {
    /// Where an execution is, in the order in which it may pass the phases.
    #[derive(Default, Hash, Serialize, Deserialize, JsonSchema)]
    pub enum Phase {
        /// The execution is checked, or waits for its devices or for other executions of the runbook.
        #[default]
        Pending = "Pending",
        /// It waits for RunbookApprovals.
        AwaitingApproval = "AwaitingApproval",
        /// Its steps run.
        Running = "Running",
        /// A step failed or somebody cancelled: the steps are undone.
        RollingBack = "RollingBack",
        /// All steps succeeded or were skipped.
        Succeeded = "Succeeded",
        /// A step failed and nothing had to be undone, or the runbook says that the changes stay.
        Failed = "Failed",
        /// A step failed, and all changes were undone, except those that the runbook never undoes.
        RolledBack = "RolledBack",
        /// A change could not be undone: a person must look at the devices.
        RollbackFailed = "RollbackFailed",
        /// Somebody cancelled, and all changes were undone, except those that the runbook never undoes.
        Cancelled = "Cancelled",
        /// It was rejected, not approved in time, or is wrong: an unknown runbook, parameter or key. Nothing was done.
        Denied = "Denied",
    }
}

impl Phase {
    /// Whether nothing follows.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::AwaitingApproval | Self::Running | Self::RollingBack)
    }
}

/// What was done so far. Only the operator and its Jobs write it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ExecutionStatus {
    /// Phase of the execution. Succeeded, Failed, RolledBack, RollbackFailed, Cancelled and Denied are final.
    pub phase: Phase,
    /// What the phase means here, and what to do.
    pub message: String,
    /// metadata.generation of the spec that this status is about.
    pub observed_generation: i64,
    /// User who requested the execution, as the API server checked it; empty if the spec does not say it.
    pub requested_by: String,
    /// Names of the devices that the execution may read or change. They are locked while it runs.
    pub devices: Vec<String>,
    /// First of the devices, and the number of the others: a column of `kubectl get`.
    pub device: String,
    /// Runbook as it was when the execution was checked. Later changes of the runbook have no effect on this execution.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runbook: Option<Snapshot>,
    /// Decisions that count, at most 64.
    #[schemars(length(max = 64))]
    pub approvals: Vec<Approved>,
    /// When the execution began to wait for approval, in seconds since 1970-01-01 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_since: Option<i64>,
    /// Job that may act on the devices now. A process of any other Job stops.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executor: Option<Executor>,
    /// When the phase Running began, in seconds since 1970-01-01 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<i64>,
    /// When the final phase was reached, in seconds since 1970-01-01 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<i64>,
    /// Why the execution does not succeed: the first failed step, the cancellation, or the loss of the Job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Whether the failure is a cancellation.
    pub cancelled: bool,
    /// Steps that were begun or skipped, in this order; at most 512.
    #[schemars(length(max = 512))]
    pub steps: Vec<StepRecord>,
    /// Conditions for `kubectl wait`: Approved (if the runbook requires approval), Started and Finished.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// End of the chain of audit entries of this execution.
    pub audit: AuditState,
    /// Whether the operator has released the locks of the devices after the end.
    pub closed: bool,
}

/// A runbook as it was at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// SHA-256 of `spec` as JSON with sorted keys, in hexadecimal digits.
    pub hash: String,
    /// metadata.generation of the runbook.
    pub generation: i64,
    /// Spec of the runbook.
    #[schemars(schema_with = "super::anything")]
    pub spec: RunbookSpec,
}

/// A decision that counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Approved {
    /// Name of the RunbookApproval.
    pub name: String,
    /// User who decided, as the API server checked it.
    pub by: String,
    /// Step that the decision is about; empty for the whole execution.
    #[serde(default)]
    pub step: String,
    /// true: approved; false: rejected.
    pub yes: bool,
}

/// What an executor does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExecutorKind {
    /// It runs the steps.
    #[default]
    Forward,
    /// It undoes the steps.
    Rollback,
}

/// The Job that may act on the devices.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Executor {
    /// Name of the Job.
    pub job: String,
    /// What the Job does.
    pub kind: ExecutorKind,
    /// Whether a process of the Job has begun. A second process of the same Job stops.
    pub claimed: bool,
}

/// Phase of a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StepPhase {
    /// An attempt is under way.
    #[default]
    Started,
    /// The step did what it should.
    Succeeded,
    /// The last attempt failed.
    Failed,
    /// The condition of the step was false.
    Skipped,
    /// The step is being undone.
    UndoStarted,
    /// The step was undone.
    Undone,
    /// The step could not be undone.
    UndoFailed,
}

/// What was done for one step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StepRecord {
    /// Name of the step; of a step within a for-each: outer/item/inner.
    pub name: String,
    /// Type of the step.
    #[serde(rename = "type")]
    pub kind: String,
    /// Device that the step reads or changes; empty if there is none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub device: String,
    /// Phase of the step.
    pub phase: StepPhase,
    /// Number of the last attempt, from 1.
    pub attempt: i32,
    /// Whether the last attempt may have changed something although it failed.
    #[serde(skip_serializing_if = "is_false")]
    pub uncertain: bool,
    /// When the last attempt began, in seconds since 1970-01-01 UTC.
    pub started_at: i64,
    /// When the last attempt is certainly over, even if its process has died; in seconds since 1970-01-01 UTC.
    pub deadline: i64,
    /// When the last attempt ended, in seconds since 1970-01-01 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<i64>,
    /// SHA-256 of the request, in hexadecimal digits.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub request_digest: String,
    /// SHA-256 of the answer, in hexadecimal digits.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub answer_digest: String,
    /// What happened; at most 1024 bytes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What the step read, for conditions of later steps; at most 4096 bytes as JSON, without secrets.
    #[serde(skip_serializing_if = "Value::is_null")]
    #[schemars(schema_with = "text")]
    pub output: Value,
    /// Values that the device had before the change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<Before>,
}

/// The value of a path before a step changed it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Before {
    /// gNMI path.
    pub path: String,
    /// Value as JSON text; missing if the device had no value at the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<String>,
}

/// A condition, as other objects of Kubernetes have them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Approved, Started or Finished.
    #[serde(rename = "type")]
    pub kind: String,
    /// True or False.
    pub status: String,
    /// Phase of the execution.
    pub reason: String,
    /// Message of the execution.
    pub message: String,
    /// When `status` became what it is, as RFC 3339 text.
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: String,
}

impl ExecutionStatus {
    /// The status with the conditions that follow from it. A condition of `before` that has the same status keeps its time;
    /// the others get `now`, as RFC 3339 text.
    #[must_use]
    pub fn with_conditions(&self, before: &[Condition], now: &str) -> Self {
        let asks = self.runbook.as_ref().is_some_and(|snapshot| snapshot.spec.requires_approval);
        let open = matches!(self.phase, Phase::Pending | Phase::AwaitingApproval);
        // What is over without a start was not approved, or cancelled before.
        let approved = self.started_at.is_some() || (self.phase == Phase::Pending && self.waiting_since.is_some());
        let mut wanted = vec![("Started", self.started_at.is_some()), ("Finished", self.phase.is_final())];
        if asks && (approved || !open || self.phase == Phase::AwaitingApproval) {
            wanted.insert(0, ("Approved", approved));
        }
        let condition = |(kind, truth): (&str, bool)| {
            let status = if truth { "True" } else { "False" };
            let same = before.iter().find(|one| one.kind == kind && one.status == status);
            Condition {
                kind: kind.to_owned(),
                status: status.to_owned(),
                reason: self.phase.name().to_owned(),
                message: self.message.clone(),
                last_transition_time: same.map_or(now, |one| one.last_transition_time.as_str()).to_owned(),
            }
        };
        Self { conditions: wanted.into_iter().map(condition).collect(), ..self.clone() }
    }
}

/// The chain of audit entries of one execution.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AuditState {
    /// Number of entries.
    pub count: i64,
    /// Hash of the last entry; before the first entry, the hash of the runbook.
    pub head: String,
    /// Entries of the last write of this status. The next writer sends them to ClickHouse again, because the last one may have
    /// died before it could.
    #[schemars(schema_with = "entries")]
    pub tail: Vec<Entry>,
}

fn is_false(truth: &bool) -> bool {
    !truth
}

fn text(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"x-kubernetes-preserve-unknown-fields": true})
}

fn entries(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "array",
        "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_follow_from_the_phase_and_keep_their_time() {
        let spec = RunbookSpec { requires_approval: true, ..RunbookSpec::default() };
        let runbook = Some(Snapshot { spec, ..Snapshot::default() });
        let waiting = ExecutionStatus {
            phase: Phase::AwaitingApproval,
            runbook,
            waiting_since: Some(1),
            ..ExecutionStatus::default()
        };
        let said = |status: &ExecutionStatus| -> Vec<String> {
            let text = |one: &Condition| format!("{} {} {}", one.kind, one.status, one.last_transition_time);
            status.conditions.iter().map(text).collect()
        };
        let first = waiting.with_conditions(&[], "t1");
        assert_eq!(said(&first), ["Approved False t1", "Started False t1", "Finished False t1"]);
        let running = ExecutionStatus { phase: Phase::Running, started_at: Some(2), ..first.clone() };
        let second = running.with_conditions(&first.conditions, "t2");
        assert_eq!(said(&second), ["Approved True t2", "Started True t2", "Finished False t1"]);
        let done = ExecutionStatus { phase: Phase::Succeeded, ..second.clone() };
        let third = done.with_conditions(&second.conditions, "t3");
        assert_eq!(said(&third), ["Approved True t2", "Started True t2", "Finished True t3"]);
        assert_eq!(third.conditions[2].reason, "Succeeded");
        let denied = ExecutionStatus { phase: Phase::Denied, ..first.clone() };
        assert_eq!(
            said(&denied.with_conditions(&first.conditions, "t4")),
            ["Approved False t1", "Started False t1", "Finished True t4"]
        );
    }
}
