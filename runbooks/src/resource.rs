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

pub const GROUP: &str = "helios.io";
pub const VERSION: &str = "v1alpha1";

/// Seconds, minutes and hours as `90s`, `5m`, `1h30m`.
const DURATION: &str = r"^([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,6}s)?$";

/// How much harm a runbook may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RiskLevel {
    Low,
    #[default]
    Medium,
    High,
    Critical,
}

/// What happens after a step that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    Rollback,
    Halt,
    Continue,
}

/// A procedure: what is done to devices, in which order, and who has to agree.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!has(self.riskLevel) || self.riskLevel in ['low', 'medium'] || (has(self.requiresApproval) && self.requiresApproval)",
    "message": "a runbook of riskLevel high or critical has requiresApproval: true",
}]))]
pub struct RunbookSpec {
    /// What the runbook is for, in a sentence.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    pub description: String,
    /// How much harm it may do: low, medium, high, critical. The default is medium.
    #[serde(default)]
    pub risk_level: RiskLevel,
    /// Whether another person has to agree before anything is done.
    #[serde(default)]
    pub requires_approval: bool,
    /// Who has to agree, and until when.
    #[serde(default)]
    pub approval: ApprovalRules,
    /// What an execution has to say.
    #[serde(default)]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub parameters: Vec<Parameter>,
    /// What is done, one step after the other.
    #[schemars(length(min = 1, max = 50), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub steps: Vec<Step>,
    /// What happens after a step that failed: rollback (the default) restores what earlier steps changed, halt leaves
    /// everything as it is, continue goes on with the next step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
    /// The longest time for all steps together. The default is 30m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 20), regex(pattern = DURATION))]
    pub timeout: Option<String>,
    /// How many executions of this runbook may run at the same time; 0 is no limit.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1000))]
    pub max_concurrent: i32,
    /// Alerts that start the runbook.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub triggers: Vec<Trigger>,
}

/// Who has to agree to an execution, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ApprovalRules {
    /// How many different people have to agree.
    #[schemars(range(min = 1, max = 10))]
    pub min_approvals: i32,
    /// How long to wait for them, e.g. 4h. The default is 1h.
    #[schemars(length(min = 2, max = 20), regex(pattern = DURATION))]
    pub timeout: String,
    /// Whether the person who asked may agree as well.
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
    #[default]
    String,
    Integer,
    Boolean,
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
    /// As in `{{.name}}`.
    #[schemars(length(max = 63), regex(pattern = "^[a-zA-Z_][a-zA-Z0-9_]*$"))]
    pub name: String,
    /// string, integer, boolean or enum.
    #[serde(rename = "type")]
    pub kind: ParameterType,
    /// Whether an execution has to give it.
    #[serde(default)]
    pub required: bool,
    /// The value where an execution gives none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub default: Option<String>,
    /// A regular expression that the whole value has to match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub pattern: Option<String>,
    /// The values that are allowed.
    #[serde(default, rename = "enum", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub values: Vec<String>,
    /// What the value means.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    pub description: String,
}

/// One thing to do.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Step {
    /// Unique within the runbook.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    pub name: String,
    /// gnmi-set, gnmi-get, gnmi-assert, wait, wait-for, prometheus-query, clickhouse-query, http-request, notify,
    /// approval, for-each, script.
    #[serde(rename = "type")]
    #[schemars(length(max = 63))]
    pub kind: String,
    /// What the type needs; docs/runbooks.md lists the keys of each type.
    #[serde(default)]
    #[schemars(schema_with = "anything")]
    pub config: Value,
    /// A condition in CEL; the step is skipped where it is false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub when: Option<String>,
    /// The longest time for one attempt. The default is 30s, for a wait its duration and 30s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 20), regex(pattern = DURATION))]
    pub timeout: Option<String>,
    /// How many more attempts after one of which is certain that it changed nothing.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10))]
    pub retries: i32,
    /// What happens after this step failed; the runbook's onFailure where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
    /// How the step is undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Rollback>,
}

/// How a step is undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RollbackMode {
    Restore,
    Step,
    None,
}

/// How a step is undone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rollback {
    /// restore (the default of gnmi-set) writes the values back that were read before the change, step does what `type` and
    /// `config` say, none leaves the change.
    pub mode: RollbackMode,
    /// gnmi-set, http-request or script, with mode step.
    #[serde(default, rename = "type", skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 63))]
    pub kind: String,
    /// As in a step.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    #[schemars(schema_with = "anything")]
    pub config: Value,
}

/// An alert that starts a runbook.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Trigger {
    /// The alert's name.
    #[schemars(length(min = 1, max = 253))]
    pub alertname: String,
    /// Labels that the alert must have, with these values.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Which label of the alert becomes which parameter: parameter -> label.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
}

/// A reference within the namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// The object's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Asks for one run of a runbook. Only `cancel` can be changed later.
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
    /// The runbook, in the namespace of the execution.
    pub runbook_ref: Reference,
    /// Values of the runbook's parameters: text or whole numbers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "parameter_values")]
    pub parameters: BTreeMap<String, Value>,
    /// Shows every request and changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
    /// Who asks. The API server accepts only the user who creates the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub requested_by: Option<String>,
    /// Why, e.g. the number of a ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reason: Option<String>,
    /// Seconds from the end of the execution until the operator deletes it. Without it, or after a rollback that failed, the
    /// execution stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 315_360_000))]
    pub ttl_seconds_after_finished: Option<i64>,
    /// Ends the execution, which undoes what it changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<bool>,
}

impl ExecutionSpec {
    pub fn is_dry_run(&self) -> bool {
        self.dry_run == Some(true)
    }

    pub fn is_cancelled(&self) -> bool {
        self.cancel == Some(true)
    }
}

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    Approve,
    Reject,
}

/// Which execution a decision is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecutionReference {
    /// The execution's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its metadata.uid: another execution of the same name is not meant.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
}

/// One person's decision on one execution. It cannot be changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "self == oldSelf",
    "message": "a decision cannot be changed: create another one",
}]))]
pub struct ApprovalSpec {
    /// The execution.
    pub execution_ref: ExecutionReference,
    /// The runbook of the execution: the API server checks the approver's right on it.
    pub runbook_ref: Reference,
    /// Who decides. The API server accepts only the user who creates the object.
    #[schemars(length(min = 1, max = 253))]
    pub approver: String,
    /// approve or reject.
    pub decision: Decision,
    /// The step of type approval that waits; without it the decision is on the whole execution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub step: Option<String>,
    /// Why.
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
