//! The paths of all keys that exist, `section.key`: for suggestions, and for the tests that hold the documentation
//! against the structs.

use serde::Serialize;
use serde_json::Value;

/// The keys of a configuration, sections themselves left out.
pub fn paths<T: Serialize>(config: &T) -> Vec<String> {
    let mut paths = Vec::new();
    let tree = serde_json::to_value(config).expect("the sections have string keys and finite numbers");
    collect(&tree, "", &mut paths);
    paths
}

fn collect(value: &Value, prefix: &str, paths: &mut Vec<String>) {
    let Value::Object(entries) = value else { return };
    for (key, value) in entries {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            Value::Object(_) => collect(value, &path, paths),
            _ => paths.push(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_name_the_leaves() {
        assert_eq!(paths(&json!({"a": {"b": 1, "c": {"d": []}}})), ["a.b", "a.c.d"]);
    }
}
