//! The real world of an executor: devices over gNMI, servers over HTTP, entries to standard output and ClickHouse.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use helios_gnmi::{Client, Path};
use serde_json::{Value, json};

use crate::audit::Entry;
use crate::condition;
use crate::engine::{Done, Trouble, World};
use crate::plan::Planned;
use crate::redact;
use crate::resource::Before;
use crate::step::{Action, Check, Expect, Script, Set};

mod devices;
mod inventory;
mod mail;
mod outbox;
mod servers;

pub use devices::same;
pub use inventory::{Inventory, Secrets};
pub use servers::{Servers, ServersConfig};

/// Between two looks at the execution, while nothing else is to be done.
const PAUSE: Duration = Duration::from_secs(3);
/// Attempts to write the values before a change back: the same values each time, so that a repeat does no harm.
const RESTORES: u32 = 3;
/// Between two of them.
const RESTORE_PAUSE: Duration = Duration::from_secs(2);

/// How a device proves that it is the one that a step names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DeviceIdentity {
    /// Its certificate fits the address, and `/system/state/hostname` is the name in the list of devices: even if two addresses of
    /// the list are exchanged, no wrong device is changed.
    #[default]
    Hostname,
    /// Its certificate fits the address. For devices without OpenConfig's system model.
    Certificate,
}

impl std::str::FromStr for DeviceIdentity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "hostname" => Ok(Self::Hostname),
            "certificate" => Ok(Self::Certificate),
            _ => Err("expected hostname or certificate".to_owned()),
        }
    }
}

impl DeviceIdentity {
    /// The word of the flag.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hostname => "hostname",
            Self::Certificate => "certificate",
        }
    }
}

/// Runs scripts.
pub trait Scripts: Send {
    /// Runs one, once.
    fn run<'a>(
        &'a mut self,
        script: &'a Script,
        timeout: Duration,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<Done, Trouble>> + Send + 'a>>;
}

/// Devices and servers of one execution.
pub struct Network {
    inventory: Inventory,
    servers: Servers,
    scripts: Option<Box<dyn Scripts>>,
    identity: DeviceIdentity,
    clients: BTreeMap<String, Client>,
    begun: Instant,
    /// For one request to a device.
    request_timeout: Duration,
}

impl Network {
    /// Connects to no device yet. `request_timeout` is for one request to a device.
    pub fn new(inventory: Inventory, servers: Servers, identity: DeviceIdentity, request_timeout: Duration) -> Self {
        let (scripts, clients, begun) = (None, BTreeMap::new(), Instant::now());
        Self { inventory, servers, scripts, identity, clients, begun, request_timeout }
    }

    /// Lets steps of type script run.
    #[must_use]
    pub fn with_scripts(self, scripts: Box<dyn Scripts>) -> Self {
        Self { scripts: Some(scripts), ..self }
    }

    /// Sends the audit entries that ClickHouse does not have yet. Waits a moment for a server that does not answer.
    pub async fn finish(&self) {
        self.servers.flush().await;
    }

    async fn client(&mut self, device: &str) -> Result<&mut Client, String> {
        if !self.clients.contains_key(device) {
            let target = self.inventory.target(device, self.request_timeout)?;
            let mut client = Client::connect(&target).await.map_err(|error| error.to_string())?;
            if self.identity == DeviceIdentity::Hostname {
                devices::identify(&mut client, device, &target.address).await?;
            }
            self.clients.insert(device.to_owned(), client);
        }
        Ok(self.clients.get_mut(device).expect("it was just put in"))
    }

    async fn set(&mut self, set: &Set) -> Result<Done, Trouble> {
        let device = set.device.clone();
        let client = self.client(&device).await.map_err(|message| Trouble { message, uncertain: false })?;
        let answer = devices::set(client, set).await;
        if answer.is_err() {
            self.clients.remove(&device);
        }
        let mut done = answer?;
        if set.verify {
            // The device has said yes: what is found now is not a refusal.
            let client = self.client(&device).await.map_err(|message| Trouble { message, uncertain: true })?;
            devices::verify(client, set).await.map_err(|message| Trouble { message, uncertain: true })?;
            done.message.push_str(", read back");
        }
        Ok(done)
    }

    async fn read(&mut self, device: &str, paths: &[Path]) -> Result<Done, Trouble> {
        let certain = |message: String| Trouble { message, uncertain: false };
        let client = self.client(device).await.map_err(certain)?;
        let mut values = serde_json::Map::new();
        for path in paths {
            let value = devices::value(client, path, false).await;
            let value = value.map_err(|error| certain(format!("{path}: {error}")))?.unwrap_or(Value::Null);
            values.insert(path.to_string(), crate::step::masked(path, &value));
        }
        let only = if values.len() == 1 { values.values().next().cloned() } else { None };
        let output = only.unwrap_or(Value::Object(values));
        let answer = output.to_string();
        Ok(Done { message: redact::shortened(&answer, 512), answer: answer.into_bytes(), output })
    }

    /// The value that a check is about.
    async fn look(&mut self, action: &Action) -> Result<Value, String> {
        match action {
            Action::Assert { device, path, .. } => {
                let client = self.client(device).await?;
                let value = devices::value(client, path, false).await;
                if value.is_err() {
                    self.clients.remove(device);
                }
                Ok(value?.unwrap_or(Value::Null))
            }
            Action::Prometheus { query, .. } => self.servers.prometheus(query).await,
            Action::ClickHouse { query, parameters, .. } => self.servers.clickhouse(query, parameters).await,
            _ => Err("the step is no check".to_owned()),
        }
    }

    /// Asks until the condition has held for as long as it has to, or the time is over.
    async fn check(
        &mut self,
        action: &Action,
        check: &Check,
        steps: &Value,
        parameters: &Value,
    ) -> Result<Done, Trouble> {
        let begun = Instant::now();
        let mut good_since: Option<Instant> = None;
        loop {
            let seen = self.look(action).await;
            let good = match (&seen, &check.expect) {
                (Ok(value), Expect::Equals(expected)) => Ok(same(expected, value)),
                (Ok(value), Expect::Holds(source)) => {
                    condition::holds(source, &[("value", value), ("params", parameters), ("steps", steps)])
                }
                (Err(error), _) => Err(error.clone()),
            };
            let now = Instant::now();
            if good == Ok(true) {
                let since = *good_since.get_or_insert(now);
                if now.duration_since(since) >= check.hold {
                    let output = seen.unwrap_or(Value::Null);
                    let answer = output.to_string();
                    return Ok(Done { message: redact::shortened(&answer, 256), answer: answer.into_bytes(), output });
                }
            } else {
                good_since = None;
            }
            if now.duration_since(begun) >= check.within + check.hold {
                let message = match (good, seen) {
                    (Err(error), _) => error,
                    (_, Ok(value)) => {
                        format!("found {}", redact::shortened(&redact::redacted(&value).to_string(), 256))
                    }
                    (_, Err(error)) => error,
                };
                let message = format!("not as expected within {} s: {message}", check.within.as_secs());
                return Err(Trouble { message, uncertain: false });
            }
            tokio::time::sleep(check.interval).await;
        }
    }

    async fn attempt(&mut self, planned: &Planned, steps: &Value, parameters: &Value) -> Result<Done, Trouble> {
        match &planned.action {
            Action::Set(set) => self.set(set).await,
            Action::Get { device, paths } => self.read(device, paths).await,
            Action::Assert { check, .. } | Action::Prometheus { check, .. } | Action::ClickHouse { check, .. } => {
                self.check(&planned.action, check, steps, parameters).await
            }
            Action::Http(http) => self.servers.request(http).await,
            Action::Notify { channel, text } => self.servers.notify(channel, text).await,
            Action::Script(script) => match &mut self.scripts {
                Some(scripts) => scripts.run(script, planned.timeout).await,
                None => Err(Trouble { message: "there is nothing that runs scripts".to_owned(), uncertain: false }),
            },
            Action::Wait(_) | Action::Approval { .. } => Ok(Done::default()),
        }
    }
}

impl World for Network {
    fn now(&self) -> i64 {
        i64::try_from(helios_common::clock::unix_secs()).unwrap_or(i64::MAX)
    }

    fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    async fn before(&mut self, set: &Set) -> Result<Vec<Before>, String> {
        let device = set.device.clone();
        let client = self.client(&device).await?;
        let before = devices::before(client, set).await;
        if before.is_err() {
            self.clients.remove(&device);
        }
        before.map_err(|error| format!("the values before the change cannot be read: {error}"))
    }

    async fn act(&mut self, planned: &Planned, steps: &Value, parameters: &Value) -> Result<Done, Trouble> {
        let attempt = tokio::time::timeout(planned.timeout, self.attempt(planned, steps, parameters)).await;
        attempt.unwrap_or_else(|_| {
            if let Some(device) = planned.action.device() {
                self.clients.remove(device);
            }
            let message = format!("not done within {} s", planned.timeout.as_secs());
            Err(Trouble { message, uncertain: planned.action.changes() })
        })
    }

    async fn restore(&mut self, set: &Set, before: &[Before], timeout: Duration) -> Result<Done, Trouble> {
        let restoring = async {
            let mut last = Trouble { message: String::new(), uncertain: false };
            for attempt in 0..RESTORES {
                if attempt > 0 {
                    tokio::time::sleep(RESTORE_PAUSE).await;
                }
                let outcome = match self.client(&set.device).await {
                    Ok(client) => devices::restore(client, set, before).await,
                    Err(message) => Err(message),
                };
                match outcome {
                    Ok(done) => return Ok(done),
                    Err(message) => {
                        self.clients.remove(&set.device);
                        last = Trouble { message, uncertain: true };
                    }
                }
            }
            Err(last)
        };
        let message = || format!("the values were not written back within {} s", timeout.as_secs());
        tokio::time::timeout(timeout, restoring)
            .await
            .unwrap_or_else(|_| Err(Trouble { message: message(), uncertain: true }))
    }

    async fn emit(&mut self, entries: &[Entry]) {
        self.servers.audit(entries).await;
    }

    async fn pause(&mut self, longest: Duration) {
        tokio::time::sleep(PAUSE.min(longest)).await;
    }
}

/// The file of a channel, of a secret: what is in `folder` under `name`.
fn file(folder: &std::path::Path, name: &str) -> Result<String, String> {
    let path: PathBuf = folder.join(name);
    std::fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

/// A message for a person or a machine.
fn text_message(text: &str) -> Value {
    json!({"text": text})
}
