//! Files with objects of helios.io, as `kubectl apply` takes them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::resource::{ExecutionSpec, GROUP, RunbookSpec, VERSION};

/// An object with its name.
#[derive(Debug, Clone, PartialEq)]
pub enum Document {
    /// A Runbook: its name and its spec.
    Runbook(String, RunbookSpec),
    /// A RunbookExecution: its name and its spec.
    Execution(String, ExecutionSpec),
    /// An object of another kind.
    Other,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    metadata: Value,
    #[serde(default)]
    spec: Value,
}

/// Reads all documents of a YAML file.
///
/// # Errors
/// No YAML, or an object that the API server would refuse for its fields.
pub fn read(text: &str) -> Result<Vec<Document>, String> {
    let raws: Vec<Raw> = serde_saphyr::from_multiple(text).map_err(|error| error.to_string())?;
    raws.into_iter().map(document).collect()
}

fn document(raw: Raw) -> Result<Document, String> {
    if raw.api_version != format!("{GROUP}/{VERSION}") {
        return Ok(Document::Other);
    }
    let name = raw.metadata["name"].as_str().unwrap_or_default().to_owned();
    let wrong = |error: serde_json::Error| format!("{} {name}: {error}", raw.kind);
    match raw.kind.as_str() {
        "Runbook" => Ok(Document::Runbook(name.clone(), serde_json::from_value(raw.spec).map_err(wrong)?)),
        "RunbookExecution" => Ok(Document::Execution(name.clone(), serde_json::from_value(raw.spec).map_err(wrong)?)),
        _ => Ok(Document::Other),
    }
}

/// By uid: number and hash of the last audit entry, from a list of executions as JSON.
///
/// # Errors
/// No list of objects.
pub fn audit_ends(text: &str) -> Result<BTreeMap<String, (i64, String)>, String> {
    let list: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let items = list["items"].as_array().ok_or("no list of objects: write `kubectl get rbx -A -o json`")?;
    let end = |item: &Value| {
        let audit = &item["status"]["audit"];
        let uid = item["metadata"]["uid"].as_str()?.to_owned();
        Some((uid, (audit["count"].as_i64()?, audit["head"].as_str()?.to_owned())))
    };
    Ok(items.iter().filter_map(end).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_read_strictly_and_other_kinds_are_passed_over() {
        let text = "apiVersion: v1\nkind: ConfigMap\n---\napiVersion: helios.io/v1alpha1\nkind: RunbookExecution\n\
                    metadata: {name: e}\nspec: {runbookRef: {name: r}, parameters: {device: r1, vlan: 100}}\n";
        let documents = read(text).unwrap();
        assert_eq!(documents[0], Document::Other);
        assert!(
            matches!(&documents[1], Document::Execution(name, spec) if name == "e" && spec.parameters["vlan"] == 100)
        );
        let wrong = text.replace("parameters", "paramters");
        assert!(read(&wrong).unwrap_err().contains("paramters"));
    }
}
