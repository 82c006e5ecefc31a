//! What is asked of a device, and how its answers are read.

use helios_gnmi::message::{Error, GetResponse, SetRequest, Update};
use helios_gnmi::{Client, Path, PathElem, TypedValue};
use serde_json::Value;
use tonic::{Code, Status};

use crate::engine::{Done, Trouble};
use crate::resource::Before;
use crate::step::{self, Set};

/// Where a device says its name (openconfig-system).
const HOSTNAME: &str = "/system/state/hostname";

/// Checks that the device is the one that is meant.
pub(super) async fn identify(client: &mut Client, device: &str, address: &str) -> Result<(), String> {
    let path: Path = HOSTNAME.parse().map_err(|error| format!("{HOSTNAME}: {error}"))?;
    match value(client, &path, false).await? {
        Some(Value::String(name)) if is_named(&name, device) => Ok(()),
        Some(Value::String(name)) => {
            Err(format!("{address} says that it is `{name}`, not `{device}`: the list of devices has a wrong address"))
        }
        _ => Err(format!(
            "{address} has no {HOSTNAME}, so that nobody knows if it is `{device}`; DEVICE_IDENTITY=certificate trusts its certificate alone"
        )),
    }
}

/// Whether two names are of the same device: letters' case does not count, and one of both may lack the domain.
fn is_named(a: &str, b: &str) -> bool {
    let (a, b) = (a.to_ascii_lowercase(), b.to_ascii_lowercase());
    let first = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    a == b || (!(a.contains('.') && b.contains('.')) && first(&a) == first(&b))
}

/// Sends a Set, once.
pub(super) async fn set(client: &mut Client, set: &Set) -> Result<Done, Trouble> {
    let message = set.message();
    let operations = message.delete.len() + message.replace.len() + message.update.len();
    send(client, message, operations).await
}

async fn send(client: &mut Client, message: SetRequest, operations: usize) -> Result<Done, Trouble> {
    let answer = client.set(message).await.map_err(|status| Trouble {
        message: format!("the device answers {:?}: {}", status.code(), status.message()),
        uncertain: !is_refusal(&status),
    })?;
    let half = |message: String| Trouble { message, uncertain: true };
    let failed = answer.message.iter().chain(answer.response.iter().filter_map(|result| result.message.as_ref()));
    if let Some(Error { code, message, .. }) = failed.into_iter().find(|error| error.code != 0) {
        return Err(half(format!("the device reports an error within its answer: {code} {message}")));
    }
    if answer.response.len() != operations {
        let n = answer.response.len();
        return Err(half(format!("the device confirms {n} of {operations} changes")));
    }
    let octets = format!("{answer:?}").into_bytes();
    Ok(Done { message: format!("{operations} changes are confirmed"), answer: octets, output: Value::Null })
}

/// Whether the status says that the device changed nothing: a Set is done as a whole or not at all, and these are the
/// words of a device that has read it. All others may come from what lies between.
fn is_refusal(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Unauthenticated
    )
}

/// What a device has at and below a path: leaves or subtrees with their paths. Empty where it has nothing.
async fn values(client: &mut Client, path: &Path, configuration: bool) -> Result<Vec<(Path, Value)>, String> {
    let answer = match client.get(step::get_message(path, configuration)).await {
        Ok(answer) => answer,
        Err(status) if status.code() == Code::NotFound => return Ok(Vec::new()),
        Err(status) => return Err(format!("the device answers {:?}: {}", status.code(), status.message())),
    };
    read(answer, path)
}

fn read(answer: GetResponse, path: &Path) -> Result<Vec<(Path, Value)>, String> {
    if let Some(error) = answer.error.filter(|error| error.code != 0) {
        return Err(format!("the device reports an error within its answer: {} {}", error.code, error.message));
    }
    let mut values = Vec::new();
    for notification in answer.notification {
        let prefix = notification.prefix.unwrap_or_default();
        for update in notification.update {
            let place = prefix.join(&update.path.unwrap_or_default());
            let value = update.val.ok_or_else(|| format!("the device sent {place} without a value"))?;
            if !plain(&place).starts_with(&plain(path)) {
                return Err(format!("the device was asked for {path} and answers {place}"));
            }
            values.push((place, value.to_json().map_err(|error| format!("{path}: {error}"))?));
        }
    }
    Ok(values)
}

/// The path without modules' prefixes, origin and target: devices add them as they like.
fn plain(path: &Path) -> Path {
    let elem = |elem: &PathElem| PathElem { name: local(&elem.name).to_owned(), key: elem.key.clone() };
    Path::of(path.elem.iter().map(elem))
}

/// A name without its module: `oc-if:enabled` -> `enabled`.
fn local(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

/// The one value at a path, `None` where the device has none.
pub(super) async fn value(client: &mut Client, path: &Path, configuration: bool) -> Result<Option<Value>, String> {
    let mut values = values(client, path, configuration).await?;
    match values.len() {
        0 => Ok(None),
        1 if plain(&values[0].0) == plain(path) => Ok(values.pop().map(|(_, value)| value)),
        _ => {
            let leaves = values.into_iter().map(|(place, value)| (place.to_string(), value)).collect();
            Ok(Some(Value::Object(leaves)))
        }
    }
}

/// What a Set will change, as a list from which it can be put back. A path that the device answers in parts is there
/// without a value, which removes it, and is followed by its parts.
pub(super) async fn before(client: &mut Client, set: &Set) -> Result<Vec<Before>, String> {
    let mut before = Vec::new();
    for path in set.paths() {
        let found = values(client, path, true).await?;
        let whole = found.len() == 1 && plain(&found[0].0) == plain(path);
        if whole {
            before.push(Before { path: path.to_string(), json: Some(found[0].1.to_string()) });
            continue;
        }
        before.push(Before { path: path.to_string(), json: None });
        before.extend(
            found.iter().map(|(place, value)| Before { path: place.to_string(), json: Some(value.to_string()) }),
        );
    }
    Ok(before)
}

/// Writes values back in one Set, and reads them.
pub(super) async fn restore(client: &mut Client, set_: &Set, before: &[Before]) -> Result<Done, String> {
    let mut message = SetRequest::default();
    let mut expected = Vec::new();
    for Before { path, json } in before {
        let path: Path = path.parse().map_err(|error| format!("{path}: {error}"))?;
        let Some(json) = json else {
            message.delete.push(path);
            continue;
        };
        let value: Value = serde_json::from_str(json).map_err(|error| format!("{path}: {error}"))?;
        let update = Update { path: Some(path.clone()), val: Some(TypedValue::json_ietf(&value)), ..Update::default() };
        // A part goes behind the removal of its whole: within one Set, deletes come first.
        let is_part = !set_.paths().any(|changed| *changed == path);
        if is_part {
            message.update.push(update)
        } else {
            message.replace.push(update)
        }
        expected.push((path, value));
    }
    // A path that is not there need not be removed, and some devices refuse to.
    let mut there = Vec::new();
    for path in std::mem::take(&mut message.delete) {
        if !values(client, &path, true).await?.is_empty() {
            there.push(path);
        }
    }
    message.delete = there;
    let operations = message.delete.len() + message.replace.len() + message.update.len();
    if operations > 0 {
        send(client, message, operations).await.map_err(|trouble| trouble.message)?;
    }
    for (path, value) in &expected {
        let found = self::value(client, path, true).await?;
        if !found.as_ref().is_some_and(|found| same(value, found)) {
            return Err(format!("{path} was written back, and reads otherwise"));
        }
    }
    for Before { path, .. } in before.iter().filter(|before| before.json.is_none()) {
        let whole: Path = path.parse().map_err(|error| format!("{path}: {error}"))?;
        let had_parts = expected.iter().any(|(part, _)| plain(part).starts_with(&plain(&whole)));
        if !had_parts && !values(client, &whole, true).await?.is_empty() {
            return Err(format!("{path} was removed, and is still there"));
        }
    }
    Ok(Done { message: format!("{} values are as before", before.len()), ..Done::default() })
}

/// Reads back what a Set wrote: every leaf of its values.
pub(super) async fn verify(client: &mut Client, set: &Set) -> Result<(), String> {
    for (path, value) in set.replace.iter().chain(&set.update) {
        for (leaf, expected) in leaves(path, value) {
            let found = self::value(client, &leaf, true).await?;
            if !found.as_ref().is_some_and(|found| same(&expected, found)) {
                let found = found.map_or("nothing".to_owned(), |found| step::masked(&leaf, &found).to_string());
                return Err(format!("the device confirms the change, and {leaf} reads {found}"));
            }
        }
    }
    for path in &set.delete {
        if !values(client, path, true).await?.is_empty() {
            return Err(format!("the device confirms the removal, and {path} is still there"));
        }
    }
    Ok(())
}

/// The leaves of a value with their paths. The entries of a list have no path without their model, and are left out.
fn leaves(path: &Path, value: &Value) -> Vec<(Path, Value)> {
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(_, value)| !matches!(value, Value::Array(items) if items.iter().any(Value::is_object)))
            .flat_map(|(name, value)| leaves(&path.join(&Path::of([PathElem::named(name.as_str())])), value))
            .collect(),
        other => vec![(path.clone(), other.clone())],
    }
}

/// Whether two values are the same to YANG: 64-bit numbers are texts in JSON_IETF (RFC 7951 §6.1), identities may have their
/// module's prefix (§6.8), and so may the names of fields.
pub fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(name, value)| {
                    b.iter().any(|(other, found)| local(name) == local(other) && same(value, found))
                })
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Number(number), Value::String(text)) | (Value::String(text), Value::Number(number)) => {
            *text == number.to_string()
        }
        (Value::String(a), Value::String(b)) => a == b || is_identity(a, b) || is_identity(b, a),
        _ => a == b,
    }
}

/// Whether `long` is `short` with the prefix of a module.
fn is_identity(short: &str, long: &str) -> bool {
    let module = long.strip_suffix(short).and_then(|rest| rest.strip_suffix(':'));
    module.is_some_and(|module| {
        !module.is_empty() && module.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_compared_as_yang_means_them() {
        assert!(same(&json!("UP"), &json!("UP")));
        assert!(same(&json!("BGP"), &json!("openconfig-policy-types:BGP")));
        assert!(same(&json!(10_000_000_000_u64), &json!("10000000000")));
        assert!(same(&json!({"mtu": 9000}), &json!({"oc-if:mtu": 9000})));
        assert!(!same(&json!("1::1"), &json!("fe80::1::1")));
        assert!(!same(&json!(true), &json!("true")));
        assert!(!same(&json!("a"), &json!("b:c:ab")));
        assert!(!same(&json!({"a": 1}), &json!({"a": 1, "b": 2})));
    }

    #[test]
    fn a_name_may_lack_its_domain_and_nothing_else() {
        assert!(is_named("router1", "Router1.dc1.example.com"));
        assert!(is_named("router1.dc1.example.com", "router1.dc1.example.com"));
        assert!(!is_named("router1.dc2.example.com", "router1.dc1.example.com"));
        assert!(!is_named("router2", "router1.dc1.example.com"));
        assert!(!is_named("", "router1"));
    }

    #[test]
    fn a_value_has_a_path_for_each_leaf() {
        let path: Path = "/a/b[k=1]".parse().unwrap();
        let found = leaves(&path, &json!({"config": {"x": 1, "tags": ["t"]}, "entries": [{"y": 1}]}));
        let texts: Vec<String> = found.iter().map(|(path, value)| format!("{path} {value}")).collect();
        assert_eq!(texts, ["/a/b[k=1]/config/x 1", "/a/b[k=1]/config/tags [\"t\"]"]);
    }
}
