//! What would change: what is published against what is planned, by device, for people.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::Value;

use crate::config::MONITOR_FIELD;
use crate::device::Source;
use crate::document::{Documents, ListKind};
use crate::plan::{Plan, Reason};

/// What changes for one device.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the text of a variant says what its fields are")]
pub enum Change {
    /// How it is collected, and by which profile.
    Added { with: Vec<String>, profiles: Vec<String> },
    /// Changes such as `site: Zurich -> Bern`, each once even if several collectors have it.
    Changed(Vec<String>),
    /// How it was collected, and why it no longer is.
    Gone { with: Vec<String>, why: String },
}

/// What changes, by the label `device`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    /// Devices that come, change or go.
    pub devices: BTreeMap<String, Change>,
    /// Devices of which nothing changes.
    pub unchanged: usize,
}

type Entries<'a> = BTreeMap<&'a str, BTreeMap<(ListKind, &'a str), &'a Value>>;

fn by_device(documents: &Documents) -> Entries<'_> {
    let mut devices = Entries::new();
    for (kind, device, key, value) in documents.entries() {
        devices.entry(device).or_default().insert((kind, key), value);
    }
    devices
}

impl Difference {
    /// Compares. `plan` is where `planned` came from: it knows the reasons.
    pub fn new(published: &Documents, planned: &Documents, plan: &Plan) -> Self {
        let (old, new) = (by_device(published), by_device(planned));
        let mut difference = Self::default();
        for device in old.keys().chain(new.keys()).copied().collect::<BTreeSet<_>>() {
            let change = match (old.get(device), new.get(device)) {
                (None, Some(entries)) => Change::Added { with: summary(entries), profiles: profiles(plan, device) },
                (Some(entries), None) => Change::Gone { with: summary(entries), why: why_gone(plan, device) },
                (Some(old), Some(new)) if old != new => Change::Changed(changes(old, new)),
                (_, _) => {
                    difference.unchanged += 1;
                    continue;
                }
            };
            difference.devices.insert(device.to_owned(), change);
        }
        difference
    }

    /// Whether what is published is what is planned.
    pub fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }

    /// `3 devices added, 1 changed, 0 gone, 96 unchanged`.
    pub fn summary(&self) -> String {
        let count = |of: fn(&Change) -> bool| self.devices.values().filter(|change| of(change)).count();
        format!(
            "{} devices added, {} changed, {} gone, {} unchanged",
            count(|change| matches!(change, Change::Added { .. })),
            count(|change| matches!(change, Change::Changed(_))),
            count(|change| matches!(change, Change::Gone { .. })),
            self.unchanged
        )
    }

    /// A line for each device: `+` added, `~` changed, `-` gone.
    pub fn render(&self) -> String {
        let mut text = String::new();
        for (device, change) in &self.devices {
            // Writing to a String cannot fail.
            let _ = match change {
                Change::Added { with, profiles } => {
                    writeln!(text, "+ {device}: {} (profile {})", with.join(", "), profiles.join(", "))
                }
                Change::Changed(what) => writeln!(text, "~ {device}: {}", what.join("; ")),
                Change::Gone { with, why } => writeln!(text, "- {device}: {} ({why})", with.join(", ")),
            };
        }
        text
    }
}

/// The devices that are no targets, a line for each reason.
pub fn render_left_out(plan: &Plan) -> String {
    let mut reasons: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for left_out in &plan.left_out {
        let name = format!("{} ({})", left_out.device, left_out.source);
        reasons.entry(left_out.reason.to_string()).or_default().push(name);
    }
    let mut text = String::new();
    for (reason, devices) in reasons {
        let _ = writeln!(text, "left out, {reason}: {}", devices.join(", "));
    }
    text
}

/// What to do if no device of NetBox is monitored: a missing custom field looks like a network that was switched off.
pub fn render_advice(plan: &Plan) -> String {
    let from_netbox = |source: &Source| !matches!(source, Source::Static(_));
    let mut devices = plan.left_out.iter().filter(|left_out| from_netbox(&left_out.source)).peekable();
    let none_is_a_target = !plan.targets.values().any(|target| from_netbox(&target.source));
    if devices.peek().is_none() || !none_is_a_target || devices.any(|left_out| left_out.reason != Reason::NotMonitored)
    {
        return String::new();
    }
    format!(
        "no device in NetBox has `true` in the custom field {MONITOR_FIELD}: create the field, and set it for devices \
         (docs/targets.md has the commands)\n"
    )
}

/// Collector and address of each entry.
fn summary(entries: &BTreeMap<(ListKind, &str), &Value>) -> Vec<String> {
    let address = |value: &Value| {
        let address = value.get("address").or_else(|| value.get("targets").and_then(|targets| targets.get(0)));
        address.and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    entries.iter().map(|((kind, _), value)| format!("{} {}", kind.name(), address(value))).collect()
}

fn profiles(plan: &Plan, device: &str) -> Vec<String> {
    let target = plan.targets.values().find(|target| target.labels.device == device);
    target.map(|target| target.profiles.clone()).unwrap_or_default()
}

fn why_gone(plan: &Plan, device: &str) -> String {
    let left_out = plan.left_out.iter().find(|left_out| left_out.device == device);
    left_out.map_or_else(|| "neither NetBox nor the static targets have it".to_owned(), |out| out.reason.to_string())
}

/// What changed in the entries of one device.
fn changes(old: &BTreeMap<(ListKind, &str), &Value>, new: &BTreeMap<(ListKind, &str), &Value>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for key @ (kind, _) in old.keys().chain(new.keys()).copied().collect::<BTreeSet<_>>() {
        let entry = |entries: &BTreeMap<(ListKind, &str), &Value>| {
            entries.get(&key).map(|value| summary(&BTreeMap::from([(key, *value)])).join(""))
        };
        match (entry(old), entry(new)) {
            (Some(was), None) => found.push(format!("no longer {was}")),
            (None, Some(is)) => found.push(format!("now {is}")),
            _ => {
                let (was, is) = (leaves(old[&key]), leaves(new[&key]));
                for leaf in was.keys().chain(is.keys()).collect::<BTreeSet<_>>() {
                    let (was, is) = (was.get(leaf), is.get(leaf));
                    if was != is {
                        let text = |value: Option<&String>| value.map_or("none", String::as_str).to_owned();
                        found.push(described(kind, leaf, &text(was), &text(is)));
                    }
                }
            }
        }
    }
    let mut seen = BTreeSet::new();
    found.retain(|change| seen.insert(change.clone()));
    found
}

/// A label is the same for all collectors; anything else is of one.
fn described(kind: ListKind, leaf: &str, was: &str, is: &str) -> String {
    let label = leaf.strip_prefix("labels.").or_else(|| leaf.strip_prefix("event-tags."));
    match label.filter(|label| !label.starts_with("__")) {
        Some(label) => format!("{label} {was} -> {is}"),
        None => {
            let option = label.map_or(leaf, |label| label.trim_start_matches("__param_"));
            let option = if option == "targets" { "address" } else { option };
            format!("{} {option} {was} -> {is}", kind.name())
        }
    }
}

/// Scalars by their path; a list is one.
fn leaves(value: &Value) -> BTreeMap<String, String> {
    let mut leaves = BTreeMap::new();
    let Value::Object(entries) = value else { return leaves };
    for (key, value) in entries {
        match value {
            Value::Object(inner) => {
                leaves.extend(inner.iter().map(|(name, value)| (format!("{key}.{name}"), scalar(value))));
            }
            value => drop(leaves.insert(key.clone(), scalar(value))),
        }
    }
    leaves
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(scalar).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}
