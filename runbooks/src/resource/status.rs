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
        #[default]
        Pending = "Pending",
        AwaitingApproval = "AwaitingApproval",
        Running = "Running",
        RollingBack = "RollingBack",
        Succeeded = "Succeeded",
        Failed = "Failed",
        RolledBack = "RolledBack",
        RollbackFailed = "RollbackFailed",
        Cancelled = "Cancelled",
        Denied = "Denied",
    }
}

impl Phase {
    /// Whether nothing follows.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::AwaitingApproval | Self::Running | Self::RollingBack)
    }
}

/// What is known of an execution.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ExecutionStatus {
    /// Where the execution is.
    pub phase: Phase,
    /// What that means, and what to do about it.
    pub message: String,
    /// The generation of the spec that the status is about.
    pub observed_generation: i64,
    /// Who asked, proven by the API server; empty where the execution does not say it.
    pub requested_by: String,
    /// The devices that the execution may change.
    pub devices: Vec<String>,
    /// The first of the devices and how many more, for lists.
    pub device: String,
    /// The runbook as it was when the execution began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runbook: Option<Snapshot>,
    /// Who agreed.
    #[schemars(length(max = 64))]
    pub approvals: Vec<Approved>,
    /// Since when the execution waits for approval, seconds since 1970-01-01 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_since: Option<i64>,
    /// The process that may act now. Another one has to stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executor: Option<Executor>,
    /// When the first executor was asked for, seconds since 1970-01-01 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<i64>,
    /// When the final phase was reached, seconds since 1970-01-01 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<i64>,
    /// Why the execution will not succeed: set by the first failure, cancel or loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Whether the failure is that somebody cancelled.
    pub cancelled: bool,
    /// One record for each step that was begun, in this order.
    #[schemars(length(max = 512))]
    pub steps: Vec<StepRecord>,
    /// Kubernetes' conditions.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Head of the chain of audit entries.
    pub audit: AuditState,
    /// Whether the operator has freed the devices and counted the execution.
    pub closed: bool,
}

/// A runbook at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// SHA-256 of `spec` as JSON with sorted keys, in hexadecimal digits.
    pub hash: String,
    /// The runbook's metadata.generation.
    pub generation: i64,
    /// The runbook's spec.
    #[schemars(schema_with = "super::anything")]
    pub spec: RunbookSpec,
}

/// One approval that counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Approved {
    /// The RunbookApproval's name.
    pub name: String,
    /// Who, proven by the API server.
    pub by: String,
    /// The step that it is about; empty for the whole execution.
    #[serde(default)]
    pub step: String,
    /// Whether it is a yes.
    pub yes: bool,
}

/// What an executor is there for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExecutorKind {
    #[default]
    Forward,
    Rollback,
}

/// The process that may act on the devices.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Executor {
    /// The name of its Job.
    pub job: String,
    /// Forward does the steps, rollback undoes them.
    pub kind: ExecutorKind,
    /// Set by the process when it begins. A second process of the same Job finds it and stops.
    pub claimed: bool,
}

/// How far a step is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StepPhase {
    #[default]
    Started,
    Succeeded,
    Failed,
    Skipped,
    UndoStarted,
    Undone,
    UndoFailed,
}

/// What was done for one step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StepRecord {
    /// The step's name; within a for-each `outer/item/inner`.
    pub name: String,
    /// The step's type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The device that it is about; empty for none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub device: String,
    /// How far it is.
    pub phase: StepPhase,
    /// 1 for the first attempt.
    pub attempt: i32,
    /// Whether it is unknown if the last attempt changed something.
    #[serde(skip_serializing_if = "is_false")]
    pub uncertain: bool,
    /// When the last attempt began, seconds since 1970-01-01 UTC.
    pub started_at: i64,
    /// When an attempt that nobody reports on is over for certain, seconds since 1970-01-01 UTC.
    pub deadline: i64,
    /// When the last attempt ended, seconds since 1970-01-01 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<i64>,
    /// SHA-256 of the request, in hexadecimal digits.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub request_digest: String,
    /// SHA-256 of the answer, in hexadecimal digits.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub answer_digest: String,
    /// What happened.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What the step read, for conditions of later steps; without secrets.
    #[serde(skip_serializing_if = "Value::is_null")]
    #[schemars(schema_with = "text")]
    pub output: Value,
    /// The values that the device had before the change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<Before>,
}

/// What a device had at a path before a step changed it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Before {
    /// The path.
    pub path: String,
    /// The value as JSON text; missing where the device had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<String>,
}

/// One of Kubernetes' conditions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Approved (where the runbook asks for it), Started, Finished.
    #[serde(rename = "type")]
    pub kind: String,
    /// True or False.
    pub status: String,
    /// One word.
    pub reason: String,
    /// A sentence.
    pub message: String,
    /// RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: String,
}

impl ExecutionStatus {
    /// The status with the conditions that follow from it. `before` are those of now, whose times stay where nothing changed;
    /// `now` is RFC 3339.
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
    /// How many entries there are.
    pub count: i64,
    /// The hash of the last one.
    pub head: String,
    /// The entries of the last write: whoever writes next hands them out again, in case that the writer died before it
    /// could.
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
