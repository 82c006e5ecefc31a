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

/// The keys whose values differ between two configurations.
pub fn differences<T: Serialize>(one: &T, other: &T) -> Vec<String> {
    let [one_tree, other_tree] = [one, other]
        .map(|config| serde_json::to_value(config).expect("the sections have string keys and finite numbers"));
    // The keys of both: a section may be in one of them only.
    let mut keys = [paths(one), paths(other)].concat();
    keys.sort();
    keys.dedup();
    keys.retain(|path| at(&one_tree, path) != at(&other_tree, path));
    keys
}

fn at<'a>(tree: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(tree, |value, key| value.get(key))
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

    #[test]
    fn differences_name_the_leaves_that_changed() {
        let one = json!({"a": {"b": 1, "c": {"d": []}}, "e": null});
        let other = json!({"a": {"b": 2, "c": {"d": []}}, "e": {"f": 3}});
        assert_eq!(differences(&one, &other), ["a.b", "e", "e.f"]);
        assert_eq!(differences(&one, &one), [""; 0]);
    }
}
