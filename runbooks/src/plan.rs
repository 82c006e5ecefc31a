//! A runbook and the values of an execution become the list of everything that would be done.
//!
//! The list is flat and complete before the first step runs: a for-each is unrolled, every parameter is in its place, every
//! request is known. `helios-operator validate` prints it, a dry run shows it, and the executor does nothing that is not
//! in it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::parameter::{self, Parameters};
use crate::resource::{OnFailure, RollbackMode, RunbookSpec, Step};
use crate::step::Action;
use crate::{condition, span, template};

/// Steps of a plan, for-each unrolled: the records of all have to fit into one object of Kubernetes.
const STEPS_MAX: usize = 200;
/// Time-out of an attempt that has none of its own, without the time that its configuration waits.
const ATTEMPT: Duration = Duration::from_secs(30);
/// Time for all steps together if the runbook has no timeout.
const TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// Everything that an execution would do.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Steps in the order in which they run, each for-each unrolled.
    pub steps: Vec<Planned>,
    /// The devices that are asked or changed.
    pub devices: BTreeSet<String>,
    /// For all steps together.
    pub timeout: Duration,
    /// The parameters, for conditions.
    pub parameters: Value,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// The step's name; within a for-each `outer/item/inner`.
    pub name: String,
    /// The step's type.
    pub kind: String,
    /// What is done.
    pub action: Action,
    /// Condition in CEL; the step is skipped if it is false.
    pub when: Option<String>,
    /// Longest time for one attempt.
    pub timeout: Duration,
    /// Number of attempts that may follow the first.
    pub retries: u32,
    /// What happens if the step fails.
    pub on_failure: OnFailure,
    /// How a rollback undoes the step.
    pub undo: Undo,
}

/// How a step is undone.
#[derive(Debug, Clone, PartialEq)]
pub enum Undo {
    /// The step changes nothing.
    Nothing,
    /// The values before it are written back.
    Restore,
    /// Something else is done.
    Do(Box<Action>),
    /// The runbook's author says that the change stays.
    Stays,
}

impl Plan {
    /// Makes the plan. Every mistake is a line of the error.
    ///
    /// # Errors
    /// What is wrong with the runbook or with the values.
    pub fn new(spec: &RunbookSpec, given: &BTreeMap<String, Value>) -> Result<Self, Vec<String>> {
        let mut mistakes = parameter::mistakes(&spec.parameters);
        let parameters = Parameters::check(&spec.parameters, given).unwrap_or_else(|wrong| {
            mistakes.extend(wrong);
            Parameters::default()
        });
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let mut maker =
            Maker { on_failure: spec.on_failure.unwrap_or(OnFailure::Rollback), steps: Vec::new(), mistakes };
        for step in &spec.steps {
            maker.add(step, "", &parameters);
        }
        maker.names_once();
        let Maker { steps, mut mistakes, .. } = maker;
        if steps.len() > STEPS_MAX {
            mistakes.push(format!("the runbook has {} steps for these values, more than {STEPS_MAX}", steps.len()));
        }
        let timeout = spec.timeout.as_deref().map_or(Ok(TIMEOUT), span::parse).unwrap_or_else(|wrong| {
            mistakes.push(format!("timeout: {wrong}"));
            TIMEOUT
        });
        if let Err(wrong) = span::parse(&spec.approval.timeout) {
            mistakes.push(format!("approval.timeout: {wrong}"));
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let undone = steps.iter().filter_map(|step| match &step.undo {
            Undo::Do(action) => action.device(),
            _ => None,
        });
        let devices = steps.iter().filter_map(|step| step.action.device()).chain(undone).map(str::to_owned).collect();
        let values: serde_json::Map<String, Value> =
            parameters.iter().map(|(name, value)| (name.to_owned(), value.clone())).collect();
        Ok(Self { steps, devices, timeout, parameters: Value::Object(values) })
    }

    /// The plan as lines for people: every request in its order, and how it is undone.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (at, step) in self.steps.iter().enumerate() {
            lines.push(format!("{}. {} ({})", at + 1, step.name, step.kind));
            if let Some(when) = &step.when {
                lines.push(format!("   when      {when}"));
            }
            lines.push(format!("   request   {}", step.action.request()));
            lines.push(format!("   time-out  {} s, {} retries", step.timeout.as_secs(), step.retries));
            lines.push(match &step.undo {
                Undo::Nothing => "   rollback  none needed: the step changes nothing".to_owned(),
                Undo::Restore => "   rollback  writes back the values that are read before the change".to_owned(),
                Undo::Do(action) => format!("   rollback  {}", action.request()),
                Undo::Stays => "   rollback  NONE: the change stays".to_owned(),
            });
        }
        lines
    }

    /// The plan for machines.
    pub fn requests(&self) -> Value {
        self.steps.iter().map(|step| json!({"step": step.name, "request": step.action.request()})).collect()
    }
}

/// `config` of a for-each.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ForEach {
    /// Text with commas or spaces between the items, or a list.
    items: Value,
    /// The name of the item in templates.
    #[serde(rename = "as")]
    name: String,
    steps: Vec<Step>,
    /// Number of items that come first, before `verify`.
    #[serde(default)]
    canary: usize,
    /// Steps that have to succeed before the items after the canary.
    #[serde(default)]
    verify: Vec<Step>,
}

struct Maker {
    on_failure: OnFailure,
    steps: Vec<Planned>,
    mistakes: Vec<String>,
}

impl Maker {
    fn add(&mut self, step: &Step, prefix: &str, parameters: &Parameters) {
        let name = format!("{prefix}{}", step.name);
        let added = match step.kind.as_str() {
            "for-each" if !prefix.is_empty() => Err("a for-each within a for-each is not possible".to_owned()),
            "for-each" => self.add_each(step, &name, parameters),
            _ => planned(step, name.clone(), self.on_failure, parameters).map(|planned| self.steps.push(planned)),
        };
        if let Err(wrong) = added {
            self.mistakes.push(format!("step `{name}`: {wrong}"));
        }
    }

    fn add_each(&mut self, step: &Step, name: &str, parameters: &Parameters) -> Result<(), String> {
        if step.when.is_some() || step.rollback.is_some() || step.retries != 0 || step.timeout.is_some() {
            return Err("when, rollback, retries and timeout belong to the steps within a for-each".to_owned());
        }
        let each: ForEach =
            serde_json::from_value(step.config.clone()).map_err(|error| format!("the config of for-each: {error}"))?;
        if (each.canary > 0) == each.verify.is_empty() {
            return Err("`canary` and `verify` belong together: what has to be right before the other items".to_owned());
        }
        let items = items(&each.items, parameters)?;
        for (at, item) in items.iter().enumerate() {
            if each.canary == at && at > 0 {
                self.add_all(&each.verify, &format!("{name}/canary/"), parameters);
            }
            let parameters = parameters.with(&each.name, Value::from(item.as_str()));
            self.add_all(&each.steps, &format!("{name}/{item}/"), &parameters);
            if self.steps.len() > STEPS_MAX {
                break;
            }
        }
        Ok(())
    }

    fn add_all(&mut self, steps: &[Step], prefix: &str, parameters: &Parameters) {
        for step in steps {
            self.add(step, prefix, parameters);
        }
    }

    fn names_once(&mut self) {
        let mut seen = BTreeSet::new();
        for step in &self.steps {
            if !seen.insert(&step.name) {
                self.mistakes.push(format!("step `{}`: the name is there twice", step.name));
            }
        }
    }
}

/// The items of a for-each, each once, in their order.
fn items(source: &Value, parameters: &Parameters) -> Result<Vec<String>, String> {
    let texts: Vec<String> = match source {
        Value::String(source) => {
            let text = template::plain(source, parameters)?;
            text.split([',', ' ', '\n']).filter(|item| !item.is_empty()).map(str::to_owned).collect()
        }
        Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().ok_or("the items of a for-each are texts".to_owned()))
            .map(|item| template::plain(item?, parameters))
            .collect::<Result<_, _>>()?,
        _ => return Err("`items` is a text with commas between the items, or a list".to_owned()),
    };
    let mut seen = BTreeSet::new();
    let items: Vec<String> = texts.into_iter().filter(|item| seen.insert(item.clone())).collect();
    if items.is_empty() {
        return Err("the for-each has no items: nothing would be done".to_owned());
    }
    Ok(items)
}

fn planned(step: &Step, name: String, on_failure: OnFailure, parameters: &Parameters) -> Result<Planned, String> {
    let action = Action::read(&step.kind, &step.config, parameters)?;
    if let Some(when) = &step.when {
        condition::parse(when)?;
    }
    let timeout = match &step.timeout {
        Some(text) => span::parse(text)?,
        None => ATTEMPT + action.patience(),
    };
    if timeout < action.patience() || timeout.is_zero() {
        return Err(format!("its timeout of {} s is shorter than what it waits for", timeout.as_secs()));
    }
    let undo = undo(step, &action, parameters)?;
    Ok(Planned {
        name,
        kind: step.kind.clone(),
        when: step.when.clone(),
        timeout,
        retries: u32::try_from(step.retries).unwrap_or(0),
        on_failure: step.on_failure.unwrap_or(on_failure),
        undo,
        action,
    })
}

fn undo(step: &Step, action: &Action, parameters: &Parameters) -> Result<Undo, String> {
    let Some(rollback) = &step.rollback else {
        return match action {
            Action::Set(_) => Ok(Undo::Restore),
            action if action.changes() => {
                Err("it changes something that is not read before: give it a rollback of mode step or none".to_owned())
            }
            _ => Ok(Undo::Nothing),
        };
    };
    match (rollback.mode, action) {
        (RollbackMode::None, _) => Ok(if action.changes() { Undo::Stays } else { Undo::Nothing }),
        (RollbackMode::Restore, Action::Set(_)) => Ok(Undo::Restore),
        (RollbackMode::Restore, _) => Err("only a gnmi-set can be undone by mode restore".to_owned()),
        (RollbackMode::Step, _) => {
            let action = Action::read(&rollback.kind, &rollback.config, parameters)
                .map_err(|wrong| format!("its rollback: {wrong}"))?;
            if !action.changes() {
                return Err("its rollback is a gnmi-set, an http-request or a script that changes something".to_owned());
            }
            Ok(Undo::Do(Box::new(action)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNCE: &str = r#"
description: Bounce a network interface
riskLevel: medium
requiresApproval: true
parameters:
  - {name: device, type: string, required: true}
  - {name: interface, type: string, required: true}
steps:
  - name: disable-interface
    type: gnmi-set
    config: {path: "/interfaces/interface[name={{.interface}}]/config/enabled", value: "false"}
  - {name: wait, type: wait, config: {duration: 10s}}
  - name: enable-interface
    type: gnmi-set
    config: {path: "/interfaces/interface[name={{.interface}}]/config/enabled", value: "true"}
"#;

    fn plan(spec: &str, values: Value) -> Result<Plan, Vec<String>> {
        let spec: RunbookSpec = serde_saphyr::from_str(spec).unwrap();
        Plan::new(&spec, &serde_json::from_value(values).unwrap())
    }

    #[test]
    fn the_runbook_of_the_reference_is_three_steps() {
        let plan = plan(BOUNCE, json!({"device": "r1", "interface": "Ethernet1"})).unwrap();
        assert_eq!(plan.steps.len(), 3);
        assert_eq!(plan.devices, BTreeSet::from(["r1".to_owned()]));
        assert_eq!(plan.steps[1].timeout, Duration::from_secs(40));
        let text = plan.lines().join("\n");
        assert!(
            text.contains("\"path\":\"/interfaces/interface[name=Ethernet1]/config/enabled\",\"value\":false"),
            "{text}"
        );
    }

    #[test]
    fn a_for_each_is_unrolled_with_its_canary() {
        let spec = r#"
parameters: [{name: devices, type: string, required: true}]
steps:
  - name: site
    type: for-each
    config:
      items: "{{.devices}}"
      as: device
      canary: 1
      steps: [{name: set, type: gnmi-set, config: {path: /a, value: 1}}]
      verify: [{name: look, type: wait, config: {duration: 1s}}]
"#;
        let plan = plan(spec, json!({"devices": "r1, r2,r1,r3"})).unwrap();
        let names: Vec<&str> = plan.steps.iter().map(|step| step.name.as_str()).collect();
        assert_eq!(names, ["site/r1/set", "site/canary/look", "site/r2/set", "site/r3/set"]);
        assert_eq!(plan.devices.len(), 3);
    }

    #[test]
    fn every_mistake_is_named_at_once() {
        let spec = r#"
parameters: [{name: device, type: string, required: true}]
steps:
  - {name: a, type: gnmi-set, config: {path: "/x[k={{.interfce}}]", value: 1}}
  - {name: b, type: http-request, config: {url: "https://h/", method: POST}}
  - {name: c, type: wait, config: {duration: 10s}, timeout: 5s}
  - {name: d, type: wait, config: {duration: 10s}, when: "1 +"}
"#;
        let mistakes = plan(spec, json!({"device": "r1"})).unwrap_err();
        assert_eq!(mistakes.len(), 4, "{mistakes:#?}");
        assert!(
            mistakes[0].contains("interfce") && mistakes[1].contains("rollback") && mistakes[2].contains("shorter")
        );
        assert!(plan(BOUNCE, json!({"device": "r1"})).unwrap_err()[0].contains("`interface` is required"));
    }

    #[test]
    fn a_step_that_cannot_be_undone_says_so() {
        let spec = r#"
parameters: [{name: device, type: string, required: true}]
steps: [{name: a, type: gnmi-set, config: {path: /x, value: 1}, rollback: {mode: none}}]
"#;
        let plan = plan(spec, json!({"device": "r1"})).unwrap();
        assert_eq!(plan.steps[0].undo, Undo::Stays);
        assert!(plan.lines().join("\n").contains("NONE"));
    }
}
