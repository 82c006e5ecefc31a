//! The CustomResourceDefinitions, made from the structs of [`crate::resource`].

use std::fmt::Write as _;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::resource::{ApprovalSpec, ExecutionSpec, ExecutionStatus, GROUP, RunbookSpec, VERSION};

/// A kind of objects, for lists of people and for clients.
#[derive(Debug, Clone, Copy)]
pub struct ResourceKind {
    /// Name of the kind.
    pub kind: &'static str,
    /// Name of the resource in addresses and roles.
    pub plural: &'static str,
    /// Short name for `kubectl`.
    pub short: &'static str,
    /// What `kubectl explain` says of the kind.
    pub description: &'static str,
}

/// What is done.
pub const RUNBOOK: ResourceKind = ResourceKind {
    kind: "Runbook",
    plural: "runbooks",
    short: "rb",
    description: "A procedure on network devices: steps, their parameters, and who must approve it.",
};
/// A request to do it.
pub const EXECUTION: ResourceKind = ResourceKind {
    kind: "RunbookExecution",
    plural: "runbookexecutions",
    short: "rbx",
    description: "A request to run a runbook once with some values, and what was done. Its name has at most 52 characters.",
};
/// A decision on the request.
pub const APPROVAL: ResourceKind = ResourceKind {
    kind: "RunbookApproval",
    plural: "runbookapprovals",
    short: "rba",
    description: "The decision of one person on one execution.",
};

/// Name, JSON path.
type Column = (&'static str, &'static str);

/// All definitions as YAML documents.
pub fn yaml() -> String {
    let documents = definitions();
    let texts = documents.iter().map(|document| serde_saphyr::to_string(document).expect("JSON is always YAML"));
    let mut out =
        String::from("# Made from runbooks/src/resource.rs by `helios-operator crds`; a test holds both together.\n");
    for text in texts {
        out.push_str("---\n");
        out.push_str(&text);
    }
    out
}

/// All definitions.
pub fn definitions() -> Vec<Value> {
    let execution: &[Column] = &[
        ("Phase", ".status.phase"),
        ("Runbook", ".spec.runbookRef.name"),
        ("Device", ".status.device"),
        ("By", ".spec.requestedBy"),
        ("Dry", ".spec.dryRun"),
        ("Age", ".metadata.creationTimestamp"),
    ];
    let runbook: &[Column] = &[
        ("Risk", ".spec.riskLevel"),
        ("Approval", ".spec.requiresApproval"),
        ("Description", ".spec.description"),
        ("Age", ".metadata.creationTimestamp"),
    ];
    let approval: &[Column] = &[
        ("Execution", ".spec.executionRef.name"),
        ("Decision", ".spec.decision"),
        ("By", ".spec.approver"),
        ("Age", ".metadata.creationTimestamp"),
    ];
    vec![
        definition(RUNBOOK, schema::<RunbookSpec>(), None, runbook, 63),
        definition(EXECUTION, schema::<ExecutionSpec>(), Some(schema::<ExecutionStatus>()), execution, 52),
        definition(APPROVAL, schema::<ApprovalSpec>(), None, approval, 253),
    ]
}

/// A schema as Kubernetes wants it: without references, `null` or dialects.
fn schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::openapi3().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    tidy(&mut schema);
    schema
}

/// Takes out what a structural schema must not have.
fn tidy(schema: &mut Value) {
    let Value::Object(fields) = schema else { return };
    // Defaults are not the API server's: see `crate::resource`. `title` is the name of a struct.
    for name in ["title", "nullable", "$schema", "default"] {
        fields.remove(name);
    }
    if let Some(Value::Array(values)) = fields.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    // An optional struct: the struct, or null. A field that is missing says the same.
    if let Some(Value::Array(mut either)) = fields.remove("anyOf") {
        either.retain(|one| one["type"] != "null" && one.get("enum") != Some(&json!([null])));
        if let Some(Value::Object(one)) = either.pop() {
            one.into_iter().for_each(|(name, value)| _ = fields.entry(name).or_insert(value));
            fields.remove("nullable");
        }
    }
    if let Some(Value::Array(values)) = fields.remove("oneOf") {
        list_values(fields, &values);
    }
    // What `deny_unknown_fields` says is what the API server does anyway: it prunes, and strict clients are told.
    if fields.get("additionalProperties") == Some(&Value::Bool(false)) {
        fields.remove("additionalProperties");
    }
    if let Some(Value::Object(properties)) = fields.get_mut("properties") {
        properties.values_mut().for_each(tidy);
    }
    for below in ["items", "additionalProperties"] {
        fields.get_mut(below).into_iter().for_each(tidy);
    }
}

/// Turns an enum whose values have texts of their own into the list of values that a structural schema has. The texts become a
/// part of the description, in the form of Kubernetes' own enums.
fn list_values(fields: &mut Map<String, Value>, values: &[Value]) {
    let mut names = Vec::new();
    let mut texts = String::new();
    for value in values {
        let text = value["description"].as_str().unwrap_or_default().replace('\n', " ");
        let of_group = value["enum"].as_array().into_iter().flatten();
        for name in value.get("const").into_iter().chain(of_group) {
            let _ = write!(texts, "\n - `{name}` {text}");
            names.push(name.clone());
        }
    }
    let about = fields.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
    fields.insert("description".to_owned(), format!("{about}\n\nPossible enum values:{texts}").trim().into());
    fields.insert("type".to_owned(), "string".into());
    fields.insert("enum".to_owned(), names.into());
}

/// `name_max`: names of Jobs are made of an execution's name and a suffix, and have 63 characters at most.
fn definition(kind: ResourceKind, spec: Value, status: Option<Value>, columns: &[Column], name_max: usize) -> Value {
    let mut properties = json!({
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "spec": spec,
    });
    let mut version = json!({"name": VERSION, "served": true, "storage": true});
    if let Some(status) = status {
        properties["status"] = status;
        version["subresources"] = json!({"status": {}});
    }
    version["additionalPrinterColumns"] = columns.iter().map(column).collect();
    version["schema"] = json!({"openAPIV3Schema": {
        "description": kind.description,
        "type": "object",
        "required": ["spec"],
        "properties": properties,
        "x-kubernetes-validations": [{
            "rule": format!("self.metadata.name.size() <= {name_max}"),
            "message": format!("the name has at most {name_max} characters"),
        }],
    }});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{}.{GROUP}", kind.plural)},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind.kind,
                "listKind": format!("{}List", kind.kind),
                "plural": kind.plural,
                "singular": kind.kind.to_lowercase(),
                "shortNames": [kind.short],
                "categories": ["helios"],
            },
            "scope": "Namespaced",
            "versions": [version],
        },
    })
}

fn column((name, path): &Column) -> Value {
    let kind = match *name {
        "Age" => "date",
        "Dry" | "Approval" => "boolean",
        _ => "string",
    };
    json!({"name": name, "type": kind, "jsonPath": path})
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_file_of_definitions_is_up_to_date() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds/helios.io_v1alpha1.yaml");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&path, yaml()).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == yaml(), "{} differs: run `make docs-generated`", path.display());
    }

    /// What Kubernetes demands of a structural schema: a type at every node, and nothing of JSON Schema beyond it.
    #[test]
    fn schemas_are_structural() {
        fn check(schema: &Value, place: &str) {
            let Some(fields) = schema.as_object() else { return };
            let any = fields.contains_key("x-kubernetes-preserve-unknown-fields")
                || fields.contains_key("x-kubernetes-int-or-string");
            assert!(any || fields.get("type").is_some_and(Value::is_string), "{place} has no type: {schema}");
            for wrong in ["$ref", "definitions", "oneOf", "anyOf", "allOf", "const", "nullable"] {
                assert!(!fields.contains_key(wrong), "{place} has {wrong}");
            }
            assert!(
                !fields.get("enum").is_some_and(|values| values.as_array().unwrap().contains(&Value::Null)),
                "{place}"
            );
            if let Some(properties) = fields.get("properties").and_then(Value::as_object) {
                properties.iter().for_each(|(name, schema)| check(schema, &format!("{place}.{name}")));
            }
            for below in ["items", "additionalProperties"] {
                if let Some(schema) = fields.get(below) {
                    check(schema, &format!("{place}.{below}"));
                }
            }
        }
        for definition in definitions() {
            let version = &definition["spec"]["versions"][0];
            check(&version["schema"]["openAPIV3Schema"], definition["metadata"]["name"].as_str().unwrap());
        }
    }
}
