//! The record of who did what: one chain of entries for each execution.
//!
//! Each entry holds the hash of the one before; the first holds the hash of the runbook. Nobody can take an entry out, add
//! one or change one without breaking the chain behind it. The number and the hash of the last entry stand in the
//! execution's status, so entries that are missing at the end are found as well.

use std::collections::BTreeMap;

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::resource::AuditState;

/// One thing that happened. Every text is without secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Entry {
    /// metadata.uid of the execution.
    pub uid: String,
    /// 1 for the first entry of an execution.
    #[serde(deserialize_with = "integer")]
    pub number: i64,
    /// Seconds since 1970-01-01 UTC.
    #[serde(deserialize_with = "integer")]
    pub time: i64,
    /// Namespace of the execution.
    pub namespace: String,
    /// Name of the execution.
    pub execution: String,
    /// Name of the runbook.
    pub runbook: String,
    /// The process that writes: operator or the executor's Job.
    pub writer: String,
    /// What happened, e.g. `approved`, `step-started`, `undo-failed`.
    pub event: String,
    /// Name of the step; empty if the entry is about the whole execution.
    pub step: String,
    /// Device of the step; empty if there is none.
    pub device: String,
    /// The person, where there is one.
    pub by: String,
    /// What happened, in a sentence.
    pub message: String,
    /// SHA-256 of the request.
    pub request: String,
    /// SHA-256 of the answer.
    pub answer: String,
    /// `hash` of the entry before.
    pub previous: String,
    /// SHA-256 of the entry as JSON with an empty `hash`.
    pub hash: String,
}

/// A number as this program writes it, as ClickHouse writes numbers of 64 bits, or as it writes a DateTime in UTC.
fn integer<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let text = value.as_str().unwrap_or_default();
    let time = || {
        let civil = text.parse::<k8s_openapi::jiff::civil::DateTime>().ok()?;
        Some(civil.to_zoned(k8s_openapi::jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second())
    };
    let number = value.as_i64().or_else(|| text.parse().ok()).or_else(time);
    number.ok_or_else(|| serde::de::Error::custom(format!("{value} is neither a number nor a time")))
}

impl Entry {
    fn digest(&self) -> String {
        let plain = Self { hash: String::new(), ..self.clone() };
        sha256(&serde_json::to_vec(&plain).expect("a struct of texts and numbers is always JSON"))
    }
}

impl AuditState {
    /// A chain that begins with the hash of a runbook.
    pub fn begin(runbook_hash: &str) -> Self {
        Self { count: 0, head: runbook_hash.to_owned(), tail: Vec::new() }
    }

    /// Adds an entry. The caller has emptied `tail` where this write begins.
    pub fn push(&mut self, mut entry: Entry) {
        self.count += 1;
        entry.number = self.count;
        entry.previous.clone_from(&self.head);
        entry.hash = entry.digest();
        self.head.clone_from(&entry.hash);
        self.tail.push(entry);
    }
}

/// SHA-256 in hexadecimal digits.
pub fn sha256(octets: &[u8]) -> String {
    digest(&SHA256, octets).as_ref().iter().map(|octet| format!("{octet:02x}")).collect()
}

/// SHA-256 of JSON whose keys are sorted: the order in which they were written does not matter.
pub fn sha256_of(value: &Value) -> String {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(fields) => {
                let fields: BTreeMap<&String, Value> =
                    fields.iter().map(|(name, value)| (name, sorted(value))).collect();
                fields.into_iter().map(|(name, value)| (name.clone(), value)).collect()
            }
            Value::Array(items) => items.iter().map(sorted).collect(),
            other => other.clone(),
        }
    }
    sha256(sorted(value).to_string().as_bytes())
}

/// What a check of entries found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Executions whose chains are whole as far as they go.
    pub executions: usize,
    /// Number of different entries.
    pub entries: usize,
    /// What is wrong, with execution and number.
    pub faults: Vec<String>,
}

/// Checks entries in any order, of any number of executions. An entry may be there more than once. `ends` has by uid the
/// number and the hash that the execution's status has.
pub fn verify(entries: impl IntoIterator<Item = Entry>, ends: &BTreeMap<String, (i64, String)>) -> Verified {
    let mut chains: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
    for entry in entries {
        chains.entry(entry.uid.clone()).or_default().push(entry);
    }
    let mut verified = Verified::default();
    for (uid, (count, _)) in ends {
        if *count > 0 && !chains.contains_key(uid) {
            verified.faults.push(format!("execution {uid}: its {count} entries are missing"));
        }
    }
    for (uid, mut chain) in chains {
        chain.sort_by(|a, b| (a.number, &a.hash).cmp(&(b.number, &b.hash)));
        chain.dedup();
        let before = verified.faults.len();
        check(&chain, ends.get(&uid), &mut verified.faults);
        verified.entries += chain.len();
        verified.executions += usize::from(verified.faults.len() == before);
    }
    verified
}

fn check(chain: &[Entry], end: Option<&(i64, String)>, faults: &mut Vec<String>) {
    let mut expected: Option<&Entry> = None;
    for entry in chain {
        let name = format!("execution {}/{} ({}), entry {}", entry.namespace, entry.execution, entry.uid, entry.number);
        if entry.hash != entry.digest() {
            faults.push(format!("{name}: was changed: its hash does not fit"));
        }
        let number = expected.map_or(0, |before| before.number) + 1;
        if entry.number < number {
            faults.push(format!("{name}: is there twice, with different contents"));
        } else if entry.number > number {
            faults.push(format!("{name}: the entries from {number} on are missing before it"));
        } else if expected.is_some_and(|before| before.hash != entry.previous) {
            faults.push(format!("{name}: does not follow from the entry before"));
        }
        expected = Some(entry);
    }
    let (Some(last), Some((count, head))) = (expected, end) else { return };
    if last.number < *count {
        faults.push(format!("execution {}: the entries after {} of {count} are missing", last.uid, last.number));
    } else if last.number == *count && last.hash != *head {
        faults.push(format!("execution {}: its last entry is not the one of its status", last.uid));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(n: i64) -> (Vec<Entry>, AuditState) {
        let mut state = AuditState::begin("runbook");
        for time in 0..n {
            state.push(Entry { uid: "u".into(), time, event: "x".into(), ..Entry::default() });
        }
        (state.tail.clone(), state)
    }

    #[test]
    fn a_whole_chain_is_right_in_any_order_and_with_repeats() {
        let (mut entries, state) = chain(5);
        entries.push(entries[2].clone());
        entries.reverse();
        let ends = BTreeMap::from([("u".to_owned(), (state.count, state.head))]);
        assert_eq!(verify(entries, &ends), Verified { executions: 1, entries: 5, faults: vec![] });
    }

    #[test]
    fn every_kind_of_tampering_is_found() {
        let (entries, state) = chain(4);
        let ends = BTreeMap::from([("u".to_owned(), (state.count, state.head))]);
        let faults = |entries: Vec<Entry>| verify(entries, &ends).faults.join("\n");
        let mut changed = entries.clone();
        changed[1].message = "nothing happened".into();
        assert!(faults(changed.clone()).contains("entry 2: was changed"));
        changed[1].hash = changed[1].digest();
        assert!(faults(changed).contains("entry 3: does not follow"));
        assert!(faults([&entries[..1], &entries[2..]].concat()).contains("from 2 on are missing"));
        assert!(faults(entries[..3].to_vec()).contains("after 3 of 4 are missing"));
        assert!(faults(Vec::new()).contains("its 4 entries are missing"));
        let mut forked = entries.clone();
        forked.push(Entry { event: "y".into(), ..entries[3].clone() });
        assert!(faults(forked).contains("twice"));
    }

    #[test]
    fn a_row_of_clickhouse_is_the_entry_that_was_written() {
        let (entries, _) = chain(1);
        let entry = Entry { time: 1_795_872_673, ..entries[0].clone() };
        let mut row = serde_json::to_value(&entry).unwrap();
        row["time"] = Value::from("2026-11-28 13:31:13");
        row["number"] = Value::from("1");
        assert_eq!(serde_json::from_value::<Entry>(row.clone()).unwrap(), entry);
        row["time"] = Value::from("yesterday");
        assert!(serde_json::from_value::<Entry>(row).unwrap_err().to_string().contains("neither a number nor a time"));
    }

    #[test]
    fn the_order_of_keys_does_not_change_a_digest() {
        let a: Value = serde_json::from_str(r#"{"a": 1, "b": {"c": 2, "d": 3}}"#).unwrap();
        let b: Value = serde_json::from_str(r#"{"b": {"d": 3, "c": 2}, "a": 1}"#).unwrap();
        assert_eq!(sha256_of(&a), sha256_of(&b));
        assert_eq!(sha256(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
