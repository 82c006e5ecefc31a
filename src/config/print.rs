//! The configuration back to text: for `check --print`, and the list of all keys for suggestions.

use serde::Serialize;
use serde_json::Value;

/// What stands for a secret that is set.
const COVERED: &str = "<secret>";

/// Keys whose values are secrets. Where a secret lies (`password_file`) is none.
const SECRETS: &[&str] = &["password", "token"];

pub fn is_secret(key: &str) -> bool {
    SECRETS.contains(&key)
}

/// YAML of a configuration with its secrets covered.
pub fn yaml<T: Serialize>(config: &T) -> String {
    let mut value = tree(config);
    cover(&mut value);
    serde_saphyr::to_string(&value).expect("a tree of maps, lists and scalars is always YAML")
}

/// The paths of all keys, `section.key`, in the order of the structs.
pub fn paths<T: Serialize>(config: &T) -> Vec<String> {
    let mut paths = Vec::new();
    collect(&tree(config), "", &mut paths);
    paths
}

fn tree<T: Serialize>(config: &T) -> Value {
    serde_json::to_value(config).expect("the sections have string keys and finite numbers")
}

fn collect(value: &Value, prefix: &str, paths: &mut Vec<String>) {
    let Value::Object(entries) = value else { return };
    for (key, value) in entries {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        if !value.is_object() {
            paths.push(path.clone());
        }
        collect(value, &path, paths);
    }
}

fn cover(value: &mut Value) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                match value {
                    Value::String(text) if is_secret(key) && !text.is_empty() => *text = COVERED.to_owned(),
                    Value::String(text) if key.ends_with("url") => *text = cover_userinfo(text),
                    _ => cover(value),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| match value {
            Value::String(text) => *text = cover_userinfo(text),
            other => cover(other),
        }),
        _ => {}
    }
}

/// A URL without the password in it: `http://user:password@host` (RFC 3986 §3.2.1).
pub fn cover_userinfo(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    match authority.rsplit_once('@').and_then(|(userinfo, _)| userinfo.split_once(':').map(|(user, _)| (userinfo, user))) {
        Some((userinfo, user)) => format!("{scheme}://{user}:{COVERED}{}", rest.get(userinfo.len()..).unwrap_or("")),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_are_covered_wherever_they_are() {
        let shown = yaml(&json!({
            "clickhouse": {"password": "hunter2", "password_file": "/run/secrets/p", "url": "http://u:hunter2@h:8123/?a=b@c"},
            "servers": [{"token": "hunter2"}, "https://u:hunter2@h"],
        }));
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("/run/secrets/p") && shown.contains("u:<secret>@h:8123/?a=b@c"), "{shown}");
    }

    #[test]
    fn an_empty_secret_is_shown_as_empty() {
        assert!(yaml(&json!({"password": ""})).contains("password: \"\""));
    }

    #[test]
    fn urls_without_a_password_stay_as_they_are() {
        for url in ["http://h:8123", "http://user@h", "no url", "http://h/path:with@both"] {
            assert_eq!(cover_userinfo(url), url);
        }
    }

    #[test]
    fn paths_name_the_leaves() {
        assert_eq!(paths(&json!({"a": {"b": 1, "c": {"d": []}}})), ["a.b", "a.c.d"]);
    }
}
