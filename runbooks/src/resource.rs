//! The custom resources of helios.io/v1alpha1: Runbook, RunbookExecution, RunbookApproval.
//!
//! Their schemas are made from these structs ([`crate::crd`]), so a rule of the API server stands beside the field that it
//! is about. A field that is missing has the default of its type here, never one that the API server fills in: an object
//! reads the same before and after it was stored.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

mod status;

pub use status::{
    Approved, AuditState, Before, Condition, ExecutionStatus, Executor, ExecutorKind, Phase, Snapshot, StepPhase,
    StepRecord,
};

/// The API group of the custom resources.
pub const GROUP: &str = "helios.io";
/// The only version of the group.
pub const VERSION: &str = "v1alpha1";

/// Seconds, minutes and hours as `90s`, `5m`, `1h30m`.
const DURATION: &str = r"^([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,6}s)?$";

/// How much harm a runbook may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RiskLevel {
    /// The change is local and undone easily, such as a description.
    Low,
    /// One device or link may be affected.
    #[default]
    Medium,
    /// Traffic of several devices may be affected. The runbook must have requiresApproval: true.
    High,
    /// A site or the whole network may be affected. The runbook must have requiresApproval: true.
    Critical,
}

/// What happens after a step that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// The steps before it are undone, the last one first. The execution ends in the phase RolledBack or RollbackFailed.
    Rollback,
    /// All changes stay as they are. The execution ends in the phase Failed.
    Halt,
    /// The next step follows. The execution ends in the phase Failed if a change failed, otherwise in the phase Succeeded. A step
    /// that may have changed something although it failed is undone nevertheless, with those before it.
    Continue,
}

/// A procedure: what is done to devices, in which order, and who must approve it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!has(self.riskLevel) || self.riskLevel in ['low', 'medium'] || (has(self.requiresApproval) && self.requiresApproval)",
    "message": "a runbook of riskLevel high or critical has requiresApproval: true",
}]))]
pub struct RunbookSpec {
    /// What the runbook is for, in one sentence of at most 1024 characters.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    pub description: String,
    /// How much harm the runbook may do. Default: medium.
    #[serde(default)]
    pub risk_level: RiskLevel,
    /// Whether other people must approve an execution before its first step. Default: false. Dry runs need no approval.
    #[serde(default)]
    pub requires_approval: bool,
    /// How many people must approve an execution, and for how long it waits for them. Used if requiresApproval is true.
    #[serde(default)]
    pub approval: ApprovalRules,
    /// Values that an execution can set, at most 32. A step uses one as {{.name}} in its config and as params.name in its
    /// conditions.
    #[serde(default)]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub parameters: Vec<Parameter>,
    /// Steps in the order in which they run, from 1 to 50.
    #[schemars(length(min = 1, max = 50), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub steps: Vec<Step>,
    /// What happens after a failed step that has no onFailure of its own. Default: rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
    /// Longest time for all steps together, as 90s, 5m or 1h30m. Default: 30m. An execution that takes longer
    /// is rolled back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 20), regex(pattern = DURATION))]
    pub timeout: Option<String>,
    /// Number of executions of this runbook that may run at the same time, from 1 to 1000; others wait in the phase Pending.
    /// Default: 0, no limit. Executions for the same device never run at the same time.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1000))]
    pub max_concurrent: i32,
    /// Alerts of Alertmanager that start an execution, at most 16.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub triggers: Vec<Trigger>,
}

/// How many people must approve an execution, and for how long it waits for them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ApprovalRules {
    /// Number of different people who must approve, from 1 to 10. Default: 1. One more is needed if the execution has no
    /// requestedBy and allowSelfApproval is false.
    #[schemars(range(min = 1, max = 10))]
    pub min_approvals: i32,
    /// How long an execution waits for approval, as 90s, 5m or 1h30m. Default: 1h. Then it ends in the phase Denied.
    #[schemars(length(min = 2, max = 20), regex(pattern = DURATION))]
    pub timeout: String,
    /// Whether the approval of the person who requested the execution counts. Default: false.
    pub allow_self_approval: bool,
}

impl Default for ApprovalRules {
    fn default() -> Self {
        Self { min_approvals: 1, timeout: "1h".to_owned(), allow_self_approval: false }
    }
}

/// The type of a parameter's value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ParameterType {
    /// Text of at most 64 KiB.
    #[default]
    String,
    /// A whole number of 64 bits, or its text.
    Integer,
    /// true or false.
    Boolean,
    /// One of the texts under `enum`.
    Enum,
}

/// A value that an execution gives to the runbook.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "self.type != 'enum' || (has(self.enum) && self.enum.size() > 0)",
    "message": "a parameter of type enum lists its values under enum",
}]))]
pub struct Parameter {
    /// Name, as in {{.name}}: letters, digits and underscores, at most 63, no digit first.
    #[schemars(length(max = 63), regex(pattern = "^[a-zA-Z_][a-zA-Z0-9_]*$"))]
    pub name: String,
    /// Type of the value.
    #[serde(rename = "type")]
    pub kind: ParameterType,
    /// Whether an execution must set the parameter if it has no default. Default: false. An execution that does not set it ends
    /// in the phase Denied.
    #[serde(default)]
    pub required: bool,
    /// Value if an execution does not set the parameter. Without a default, the parameter has no value then, and the
    /// execution ends in the phase Denied if a step uses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub default: Option<String>,
    /// Regular expression that the whole value must match, of at most 512 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub pattern: Option<String>,
    /// Allowed values, at most 64. A parameter of type enum must have them.
    #[serde(default, rename = "enum", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub values: Vec<String>,
    /// What the value means, for the person who requests an execution.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    pub description: String,
}

/// One action on a device or a server.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Step {
    /// Name, unique within the runbook: lower-case letters, digits and hyphens, at most 63.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    pub name: String,
    /// Type of the action: gnmi-set, gnmi-get, gnmi-assert, wait, wait-for, prometheus-query, clickhouse-query, http-request,
    /// notify, approval, for-each or script.
    #[serde(rename = "type")]
    #[schemars(length(max = 63))]
    pub kind: String,
    /// Settings of the type, such as device, path and value of a gnmi-set. docs/runbooks.md lists the keys of each type. An
    /// execution of a step with an unknown key ends in the phase Denied.
    #[serde(default)]
    #[schemars(schema_with = "anything")]
    pub config: Value,
    /// Condition in CEL over params and steps; the step is skipped if it is false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub when: Option<String>,
    /// Longest time for one attempt, as 90s, 5m or 1h30m. Default: 30s, and for a wait its duration plus 30s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 20), regex(pattern = DURATION))]
    pub timeout: Option<String>,
    /// Number of further attempts, from 0 to 10. Default: 0. Only a failed attempt that certainly changed nothing is repeated.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10))]
    pub retries: i32,
    /// What happens if this step fails. Default: onFailure of the runbook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
    /// How a rollback undoes this step. Default for a gnmi-set: mode restore. A script, and an http-request with another method
    /// than GET, must have it. Other steps change nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Rollback>,
}

/// How a step is undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RollbackMode {
    /// The values that were read before the change are written back. Only for gnmi-set, whose default it is.
    Restore,
    /// The action in `type` and `config` is done.
    Step,
    /// The change stays.
    None,
}

/// How a step is undone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rollback {
    /// How the step is undone.
    pub mode: RollbackMode,
    /// Type of the action that undoes the step: gnmi-set, http-request or script. Only with mode step.
    #[serde(default, rename = "type", skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 63))]
    pub kind: String,
    /// Settings of the type, as in a step.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    #[schemars(schema_with = "anything")]
    pub config: Value,
}

/// An alert that starts a runbook.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Trigger {
    /// Name of the alert: its label alertname.
    #[schemars(length(min = 1, max = 253))]
    pub alertname: String,
    /// Labels and values that the alert must have as well. Default: any.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Values of the parameters: the key is a parameter of the runbook, the value is a label of the alert.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
}

/// A reference to an object in the same namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// Name of the object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A request to run a runbook once. Only `cancel` can be changed later.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "self.runbookRef == oldSelf.runbookRef && has(self.parameters) == has(oldSelf.parameters) && (!has(self.parameters) || self.parameters == oldSelf.parameters) && has(self.dryRun) == has(oldSelf.dryRun) && (!has(self.dryRun) || self.dryRun == oldSelf.dryRun) && has(self.requestedBy) == has(oldSelf.requestedBy) && (!has(self.requestedBy) || self.requestedBy == oldSelf.requestedBy) && has(self.reason) == has(oldSelf.reason) && (!has(self.reason) || self.reason == oldSelf.reason) && has(self.ttlSecondsAfterFinished) == has(oldSelf.ttlSecondsAfterFinished) && (!has(self.ttlSecondsAfterFinished) || self.ttlSecondsAfterFinished == oldSelf.ttlSecondsAfterFinished)",
    "message": "an execution cannot be changed, only cancelled: create another one",
}, {
    "rule": "!has(oldSelf.cancel) || !oldSelf.cancel || (has(self.cancel) && self.cancel)",
    "message": "an execution that was cancelled stays cancelled",
}]))]
pub struct ExecutionSpec {
    /// Runbook to run, in the namespace of the execution. If it does not exist within 60 s, the execution ends in the phase
    /// Denied.
    pub runbook_ref: Reference,
    /// Values of the runbook's parameters: texts of at most 64 KiB, or whole numbers. An execution with other names than
    /// those of the parameters ends in the phase Denied.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "parameter_values")]
    pub parameters: BTreeMap<String, Value>,
    /// Whether to send only requests that read, and to show those that would change something. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
    /// User who requests the execution. The API server refuses any other name than that of the user who creates the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub requested_by: Option<String>,
    /// Why, such as the number of a ticket; at most 1024 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reason: Option<String>,
    /// Seconds from the end of the execution until the operator deletes it. Default: the execution stays. It also stays in the
    /// phase RollbackFailed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 315_360_000))]
    pub ttl_seconds_after_finished: Option<i64>,
    /// Whether to end the execution and undo what it changed. It cannot be set back to false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<bool>,
}

impl ExecutionSpec {
    /// Whether nothing may be changed on devices and servers.
    pub fn is_dry_run(&self) -> bool {
        self.dry_run == Some(true)
    }

    /// Whether somebody asked for the end of the execution.
    pub fn is_cancelled(&self) -> bool {
        self.cancel == Some(true)
    }
}

/// The decision of an approver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// The execution may begin, or go on.
    Approve,
    /// The execution ends: in the phase Denied before its first step, otherwise with a failed step.
    Reject,
}

/// The execution that a decision is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecutionReference {
    /// Name of the execution.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// metadata.uid of the execution. The decision does not count for another execution of the same name.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
}

/// The decision of one person on one execution. It cannot be changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "self == oldSelf",
    "message": "a decision cannot be changed: create another one",
}]))]
pub struct ApprovalSpec {
    /// Execution that the decision is about.
    pub execution_ref: ExecutionReference,
    /// Runbook of the execution. The API server checks whether the user may approve executions of it.
    pub runbook_ref: Reference,
    /// User who decides. The API server refuses any other name than that of the user who creates the object.
    #[schemars(length(min = 1, max = 253))]
    pub approver: String,
    /// What the user decides. A rejection counts more than approvals.
    pub decision: Decision,
    /// Name of the step of type approval that waits. Default: the decision is on the whole execution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub step: Option<String>,
    /// Why; at most 1024 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reason: Option<String>,
}

fn anything(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// 64 KiB a value: a parameter is a name or a number, no document.
fn parameter_values(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": {"x-kubernetes-int-or-string": true, "maxLength": crate::parameter::VALUE_BYTES_MAX},
    })
}
