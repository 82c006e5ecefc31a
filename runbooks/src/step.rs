//! A step's configuration, read and expanded: which request goes where.

use std::time::Duration;

use helios_gnmi::Path;
use helios_gnmi::TypedValue;
use helios_gnmi::message::{Encoding, GetRequest, SetRequest, Update, get_request::DataType};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::parameter::Parameters;
use crate::{condition, redact, span, template};

/// One action, with every parameter in its place.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Changes a device (gnmi-set).
    Set(Set),
    /// Reads values of a device (gnmi-get).
    Get {
        /// Name of the device.
        device: String,
        /// What is read.
        paths: Vec<Path>,
    },
    /// Reads a value of a device and checks it (gnmi-assert).
    Assert {
        /// Name of the device.
        device: String,
        /// What is read.
        path: Path,
        /// What the value has to be.
        check: Check,
    },
    /// Does nothing for a time (wait).
    Wait(Duration),
    /// Asks Prometheus (prometheus-query).
    Prometheus {
        /// PromQL.
        query: String,
        /// What the answer has to be.
        check: Check,
    },
    /// Asks ClickHouse (clickhouse-query).
    ClickHouse {
        /// SQL.
        query: String,
        /// Names and values of ClickHouse's own query parameters: no value becomes a part of the text.
        parameters: Vec<(String, String)>,
        /// What the answer has to be.
        check: Check,
    },
    /// Sends a request (http-request).
    Http(Http),
    /// Tells people (notify).
    Notify {
        /// A key of the Secret of channels.
        channel: String,
        /// What is said.
        text: String,
    },
    /// Waits for approval of this step (approval).
    Approval {
        /// What is asked.
        text: String,
    },
    /// Runs a program (script).
    Script(Script),
}

/// A program of an image of its own. Parameters reach it as environment variables alone, so that none can become a part of the
/// command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Script {
    /// The device that it is about, whose lock the execution takes.
    pub device: Option<String>,
    /// Image of the program's pod.
    pub image: String,
    /// The program and its arguments, without templates.
    pub command: Vec<String>,
    /// Environment variables, at most 32.
    pub env: Vec<(String, String)>,
}

/// One gNMI Set: a device does all of it or nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Set {
    /// Name of the device.
    pub device: String,
    /// What is deleted.
    pub delete: Vec<Path>,
    /// What is replaced by a value as a whole.
    pub replace: Vec<(Path, Value)>,
    /// What a value is merged into.
    pub update: Vec<(Path, Value)>,
    /// Whether the values are read back after the Set.
    pub verify: bool,
}

/// What an answer has to be, and for how long.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// The condition.
    pub expect: Expect,
    /// How long to ask again until the condition holds.
    pub within: Duration,
    /// How long the condition has to hold without a break.
    pub hold: Duration,
    /// Time between two questions.
    pub interval: Duration,
}

/// A condition on a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Expect {
    /// The value is this one.
    Equals(Value),
    /// A condition in CEL over `value`, `params` and `steps`.
    Holds(String),
}

/// One request of HTTP.
#[derive(Debug, Clone, PartialEq)]
pub struct Http {
    /// GET, POST, PUT, PATCH or DELETE.
    pub method: String,
    /// Address with every parameter in its place.
    pub url: String,
    /// Sent as JSON.
    pub body: Option<Value>,
    /// The file of the executor's secrets whose content is the header `Authorization`.
    pub authorization: Option<String>,
    /// Statuses that are a success.
    pub statuses: Vec<u16>,
}

/// Which kinds of steps there are.
pub const KINDS: &[&str] = &[
    "gnmi-set",
    "gnmi-get",
    "gnmi-assert",
    "wait",
    "wait-for",
    "prometheus-query",
    "clickhouse-query",
    "http-request",
    "notify",
    "approval",
    "for-each",
    "script",
];

/// Values and paths of one gnmi-set.
const OPERATIONS_MAX: usize = 64;

impl Action {
    /// Reads the configuration of a step of this kind.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(kind: &str, config: &Value, parameters: &Parameters) -> Result<Self, String> {
        match kind {
            "gnmi-set" => Set::read(config, parameters).map(Self::Set),
            "gnmi-get" => {
                let raw: RawGet = raw(kind, config)?;
                let sources = raw.path.into_iter().chain(raw.paths);
                let paths: Vec<Path> =
                    sources.map(|path| template::path(&path, parameters)).collect::<Result<_, _>>()?;
                if paths.is_empty() || paths.len() > OPERATIONS_MAX {
                    return Err(format!("gnmi-get reads 1 to {OPERATIONS_MAX} paths: `path` or `paths`"));
                }
                Ok(Self::Get { device: device(raw.device, parameters)?, paths })
            }
            "gnmi-assert" => {
                let (raw, check): (RawAssert, RawCheck) = with_check(kind, config, &["device", "path"])?;
                let path = template::path(&raw.path, parameters)?;
                let check = check.read(parameters)?;
                Ok(Self::Assert { device: device(raw.device, parameters)?, path, check })
            }
            "wait" => {
                span::parse(&template::plain(&raw::<RawWait>(kind, config)?.duration, parameters)?).map(Self::Wait)
            }
            "wait-for" => wait_for(config, parameters),
            "prometheus-query" => {
                let (raw, check): (RawQuery, RawCheck) = with_check(kind, config, &["query"])?;
                let query = template::promql(&raw.query, parameters)?;
                Ok(Self::Prometheus { query, check: check.read(parameters)? })
            }
            "clickhouse-query" => {
                let (raw, check): (RawQuery, RawCheck) = with_check(kind, config, &["query"])?;
                if template::is_template(&raw.query) {
                    return Err(
                        "a query of ClickHouse has no templates: write {name:String}, which ClickHouse fills in"
                            .to_owned(),
                    );
                }
                let parameters_text =
                    parameters.iter().map(|(name, value)| (name.to_owned(), crate::parameter::text(value)));
                Ok(Self::ClickHouse {
                    query: raw.query,
                    parameters: parameters_text.collect(),
                    check: check.read(parameters)?,
                })
            }
            "http-request" => Http::read(config, parameters).map(Self::Http),
            "notify" => {
                let raw: RawNotify = raw(kind, config)?;
                if !is_file_name(&raw.channel) {
                    return Err("notify names a channel of the operator's configuration".to_owned());
                }
                Ok(Self::Notify { channel: raw.channel, text: template::plain(&raw.text, parameters)? })
            }
            "approval" => {
                Ok(Self::Approval { text: template::plain(&raw::<RawApproval>(kind, config)?.text, parameters)? })
            }
            "script" => Script::read(config, parameters).map(Self::Script),
            _ => Err(format!("there is no step type `{kind}`; there are: {}", KINDS.join(", "))),
        }
    }

    /// The device that the step is about.
    pub fn device(&self) -> Option<&str> {
        match self {
            Self::Set(Set { device, .. }) | Self::Get { device, .. } | Self::Assert { device, .. } => Some(device),
            Self::Script(script) => script.device.as_deref(),
            _ => None,
        }
    }

    /// Whether the step changes something outside of Helios. A notification does not count: nothing has to be undone.
    pub fn changes(&self) -> bool {
        match self {
            // A program may do anything.
            Self::Set(_) | Self::Script(_) => true,
            Self::Http(http) => http.method != "GET",
            _ => false,
        }
    }

    /// The longest that the step takes by its own configuration, without the time of a request.
    pub fn patience(&self) -> Duration {
        match self {
            Self::Wait(duration) => *duration,
            Self::Assert { check, .. } | Self::Prometheus { check, .. } | Self::ClickHouse { check, .. } => {
                check.within + check.hold
            }
            _ => Duration::ZERO,
        }
    }

    /// The request with secrets masked: for people, and for its digest.
    pub fn request(&self) -> Value {
        let set = |pairs: &[(Path, Value)]| -> Vec<Value> {
            pairs.iter().map(|(path, value)| json!({"path": path.to_string(), "value": masked(path, value)})).collect()
        };
        let texts = |paths: &[Path]| -> Vec<String> { paths.iter().map(Path::to_string).collect() };
        match self {
            Self::Set(s) => json!({
                "gnmi": "Set", "device": s.device, "delete": texts(&s.delete), "replace": set(&s.replace),
                "update": set(&s.update), "verify": s.verify,
            }),
            Self::Get { device, paths } => json!({"gnmi": "Get", "device": device, "paths": texts(paths)}),
            Self::Assert { device, path, check } => {
                json!({"gnmi": "Get", "device": device, "paths": [path.to_string()], "check": check.request()})
            }
            Self::Wait(duration) => json!({"wait_seconds": duration.as_secs()}),
            Self::Prometheus { query, check } => json!({"prometheus": query, "check": check.request()}),
            Self::ClickHouse { query, parameters, check } => {
                let parameters: serde_json::Map<String, Value> =
                    parameters.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
                json!({"clickhouse": query, "parameters": redact::redacted(&parameters.into()), "check": check.request()})
            }
            Self::Http(http) => json!({
                "http": http.method, "url": http.url, "body": http.body.as_ref().map(redact::redacted), "expect": http.statuses,
            }),
            Self::Notify { channel, text } => json!({"notify": channel, "text": text}),
            Self::Approval { text } => json!({"approval": text}),
            Self::Script(script) => {
                let env: serde_json::Map<String, Value> =
                    script.env.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
                json!({"script": script.image, "command": script.command, "env": redact::redacted(&env.into())})
            }
        }
    }
}

/// A value as it may be shown: masked where its path or a field in it is that of a secret.
pub fn masked(path: &Path, value: &Value) -> Value {
    if path.elem.last().is_some_and(|elem| redact::is_secret(&elem.name)) {
        return Value::from(redact::MASK);
    }
    redact::redacted(value)
}

impl Check {
    fn request(&self) -> Value {
        let expect = match &self.expect {
            Expect::Equals(value) => json!({"equals": redact::redacted(value)}),
            Expect::Holds(condition) => json!({"expect": condition}),
        };
        json!({"what": expect, "within_seconds": self.within.as_secs(), "for_seconds": self.hold.as_secs()})
    }
}

impl Set {
    fn read(config: &Value, parameters: &Parameters) -> Result<Self, String> {
        let raw: RawSet = raw("gnmi-set", config)?;
        let mut update = raw.update;
        match (raw.path, raw.value) {
            (Some(path), Some(value)) => update.push(RawValue { path, value }),
            (None, None) => {}
            _ => return Err("gnmi-set needs `path` and `value` together".to_owned()),
        }
        let values = |pairs: Vec<RawValue>| -> Result<Vec<(Path, Value)>, String> {
            pairs
                .into_iter()
                .map(|pair| Ok((template::path(&pair.path, parameters)?, template::json(&pair.value, parameters)?)))
                .collect()
        };
        let set = Self {
            device: device(raw.device, parameters)?,
            delete: raw.delete.iter().map(|path| template::path(path, parameters)).collect::<Result<_, _>>()?,
            replace: values(raw.replace)?,
            update: values(update)?,
            verify: raw.verify.unwrap_or(true),
        };
        let paths: Vec<&Path> = set.paths().collect();
        if paths.is_empty() || paths.len() > OPERATIONS_MAX {
            return Err(format!(
                "gnmi-set changes 1 to {OPERATIONS_MAX} paths: `path` and `value`, `update`, `replace`, `delete`"
            ));
        }
        if let Some(path) = paths.iter().find(|path| path.has_wildcard() || path.elem.is_empty()) {
            return Err(format!("gnmi-set changes one place at a time; {path} is the root or has a wildcard"));
        }
        for (at, path) in paths.iter().enumerate() {
            if let Some(other) = paths[at + 1..].iter().find(|other| path.starts_with(other) || other.starts_with(path))
            {
                return Err(format!("{path} and {other} overlap: which value would be restored is not certain"));
            }
        }
        Ok(set)
    }

    /// Every path that the Set changes.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.delete.iter().chain(self.replace.iter().chain(&self.update).map(|(path, _)| path))
    }

    /// The message.
    pub fn message(&self) -> SetRequest {
        let updates = |pairs: &[(Path, Value)]| {
            let update = |(path, value): &(Path, Value)| Update {
                path: Some(path.clone()),
                val: Some(TypedValue::json_ietf(value)),
                ..Update::default()
            };
            pairs.iter().map(update).collect()
        };
        SetRequest {
            delete: self.delete.clone(),
            replace: updates(&self.replace),
            update: updates(&self.update),
            ..SetRequest::default()
        }
    }
}

/// Asks for one path; `CONFIG` where the path is one of configuration, so that a device does not mix state in.
pub fn get_message(path: &Path, configuration: bool) -> GetRequest {
    GetRequest {
        path: vec![path.clone()],
        r#type: if configuration { DataType::Config } else { DataType::All } as i32,
        encoding: Encoding::JsonIetf as i32,
        ..GetRequest::default()
    }
}

impl Http {
    fn read(config: &Value, parameters: &Parameters) -> Result<Self, String> {
        let raw: RawHttp = raw("http-request", config)?;
        let method = raw.method.unwrap_or_else(|| "GET".to_owned());
        if !["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&method.as_str()) {
            return Err(format!("`{method}` is no method of HTTP that a step may use"));
        }
        if raw.authorization_key.as_deref().is_some_and(|key| !is_file_name(key)) {
            return Err("authorizationKey names a key of the executor's secrets".to_owned());
        }
        Ok(Self {
            method,
            url: template::address(&raw.url, parameters)?,
            body: raw.body.map(|body| template::leaves(&body, parameters)).transpose()?,
            authorization: raw.authorization_key,
            statuses: if raw.expect_status.is_empty() { vec![200, 201, 202, 204] } else { raw.expect_status },
        })
    }
}

/// Environment variables of one script.
const ENV_MAX: usize = 32;

impl Script {
    fn read(config: &Value, parameters: &Parameters) -> Result<Self, String> {
        let raw: RawScript = raw("script", config)?;
        if raw.command.is_empty() {
            return Err("script needs a `command`: a list of the program and its arguments".to_owned());
        }
        if raw.command.iter().chain([&raw.image]).any(|text| template::is_template(text)) {
            return Err("image and command of a script have no templates: give it the parameters by `env`".to_owned());
        }
        if raw.env.len() > ENV_MAX {
            return Err(format!("a script has at most {ENV_MAX} environment variables"));
        }
        let is_name = |name: &str| {
            let letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
            name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(letter)
        };
        if let Some(name) = raw.env.keys().find(|name| !is_name(name)) {
            return Err(format!("`{name}` is no name of an environment variable"));
        }
        let env = raw.env.iter().map(|(name, value)| Ok((name.clone(), template::plain(value, parameters)?)));
        let device = match raw.device {
            Some(named) => Some(device(Some(named), parameters)?),
            None => None,
        };
        Ok(Self { device, image: raw.image, command: raw.command, env: env.collect::<Result<_, String>>()? })
    }
}

/// A check of another type that is asked until it holds.
fn wait_for(config: &Value, parameters: &Parameters) -> Result<Action, String> {
    let raw: RawWaitFor = raw("wait-for", config)?;
    let mut inner = raw.config;
    if !["gnmi-assert", "prometheus-query", "clickhouse-query"].contains(&raw.kind.as_str()) {
        return Err("wait-for waits for a gnmi-assert, a prometheus-query or a clickhouse-query: `type` and `config`"
            .to_owned());
    }
    let Value::Object(fields) = &mut inner else { return Err("wait-for needs the `config` of its `type`".to_owned()) };
    fields.insert("within".to_owned(), Value::from(raw.within));
    Action::read(&raw.kind, &inner, parameters)
}

/// The step's device, or the parameter `device`.
fn device(named: Option<String>, parameters: &Parameters) -> Result<String, String> {
    let device = match named {
        Some(source) => template::plain(&source, parameters)?,
        None => {
            parameters.text("device").ok_or("no device: give the step `device`, or the runbook a parameter `device`")?
        }
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '/');
    if device.is_empty() || device.len() > 253 || !device.chars().all(allowed) {
        return Err("the device's name has 1 to 253 letters, digits, dots, colons, hyphens and slashes".to_owned());
    }
    Ok(device)
}

/// A name that cannot leave its folder.
fn is_file_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    !name.is_empty() && !name.starts_with('.') && name.len() <= 253 && name.chars().all(allowed)
}

fn raw<T: DeserializeOwned>(kind: &str, config: &Value) -> Result<T, String> {
    let config = if config.is_null() { Value::Object(serde_json::Map::new()) } else { config.clone() };
    serde_json::from_value(config).map_err(|error| format!("the config of {kind}: {error}"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawValue {
    path: String,
    value: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSet {
    device: Option<String>,
    path: Option<String>,
    value: Option<Value>,
    #[serde(default)]
    update: Vec<RawValue>,
    #[serde(default)]
    replace: Vec<RawValue>,
    #[serde(default)]
    delete: Vec<String>,
    verify: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGet {
    device: Option<String>,
    path: Option<String>,
    #[serde(default)]
    paths: Vec<String>,
}

/// Reads a configuration whose fields belong to a question, those of these names, and to a check: all others.
fn with_check<Q: DeserializeOwned>(kind: &str, config: &Value, names: &[&str]) -> Result<(Q, RawCheck), String> {
    let Value::Object(fields) = config else { return Err(format!("{kind} needs a config")) };
    let (question, check): (Vec<_>, Vec<_>) =
        fields.clone().into_iter().partition(|(name, _)| names.contains(&name.as_str()));
    let object = |fields: Vec<(String, Value)>| Value::Object(fields.into_iter().collect());
    Ok((raw(kind, &object(question))?, raw(kind, &object(check))?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAssert {
    device: Option<String>,
    path: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawQuery {
    query: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCheck {
    equals: Option<Value>,
    expect: Option<String>,
    within: Option<String>,
    #[serde(rename = "for")]
    hold: Option<String>,
    interval: Option<String>,
}

impl RawCheck {
    fn read(self, parameters: &Parameters) -> Result<Check, String> {
        let expect = match (self.equals, self.expect) {
            (Some(value), None) => Expect::Equals(template::json(&value, parameters)?),
            (None, Some(source)) => {
                condition::parse(&source)?;
                Expect::Holds(source)
            }
            _ => return Err("a check has either `equals` or `expect`".to_owned()),
        };
        let span = |text: Option<String>| {
            text.map_or(Ok(Duration::ZERO), |text| span::parse(&template::plain(&text, parameters)?))
        };
        let interval = if self.interval.is_some() { span(self.interval)? } else { Duration::from_secs(2) };
        if interval.is_zero() {
            return Err("`interval` is at least 1s".to_owned());
        }
        Ok(Check { expect, within: span(self.within)?, hold: span(self.hold)?, interval })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWait {
    duration: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWaitFor {
    #[serde(rename = "type")]
    kind: String,
    config: Value,
    within: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RawHttp {
    method: Option<String>,
    url: String,
    body: Option<Value>,
    authorization_key: Option<String>,
    #[serde(default)]
    expect_status: Vec<u16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNotify {
    channel: String,
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawScript {
    device: Option<String>,
    image: String,
    command: Vec<String>,
    #[serde(default)]
    env: std::collections::BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawApproval {
    #[serde(default)]
    text: String,
}

#[cfg(test)]
mod tests;
