//! Secrets stay out of statuses, logs and audit entries.

use serde_json::Value;

/// Parts of names whose values are secrets: OpenConfig's and vendors' own.
const SECRET: &[&str] =
    &["password", "passwd", "secret", "community", "auth-key", "authkey", "private-key", "token", "psk", "md5-key"];

/// What stands for a secret.
pub const MASK: &str = "***";

/// Whether the name of a field or of a path's last element says that its value is a secret.
pub fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET.iter().any(|part| name.contains(part))
}

/// The first field below `value` whose name says that it is a secret.
pub fn secret_within(value: &Value) -> Option<&str> {
    match value {
        Value::Object(fields) => fields.iter().find_map(|(name, value)| {
            // A null or empty value is none, and a subtree may hold one deeper.
            if is_secret(name) && !matches!(value, Value::Null | Value::Object(_) | Value::Array(_)) {
                Some(name.as_str())
            } else {
                secret_within(value)
            }
        }),
        Value::Array(items) => items.iter().find_map(secret_within),
        _ => None,
    }
}

/// `value` with every secret masked.
pub fn redacted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(name, value)| {
                    let value = if is_secret(name) { Value::from(MASK) } else { redacted(value) };
                    (name.clone(), value)
                })
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(redacted).collect()),
        other => other.clone(),
    }
}

/// At most `max` bytes of `text`, cut between two characters.
pub fn shortened(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let mut end = max;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}... ({} bytes)", &text[..end], text.len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_masked_at_any_depth() {
        let value = json!({"users": [{"name": "op", "Password": "x"}], "snmp": {"community": {"a": 1}}, "mtu": 1});
        let expected = json!({"users": [{"name": "op", "Password": "***"}], "snmp": {"community": "***"}, "mtu": 1});
        assert_eq!(redacted(&value), expected);
        assert_eq!(secret_within(&value), Some("Password"));
        assert_eq!(secret_within(&json!({"config": {"enabled": true}})), None);
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(shortened("é", 1), "... (2 bytes)");
        assert_eq!(shortened("abc", 3), "abc");
    }
}
