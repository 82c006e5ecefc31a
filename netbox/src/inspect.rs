//! Checks of NetBox before it is used: whether it answers, what the token may not view, and which custom fields and filters
//! of the configuration NetBox does not know.

use std::sync::Arc;

use serde::Deserialize;

use crate::client::Client;
use crate::config::{NetBoxConfig, Purpose};
use crate::error::NetBoxError;
use crate::tasks::{ENTRIES, Entry, wanted};
use crate::version::version_of;

/// A value that no object has: a filter that NetBox knows finds nothing with it, or refuses it.
const UNUSED_VALUE: &str = "helios-asks-whether-this-is-a-filter";

/// What NetBox answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inspection {
    /// NetBox's version as it reports it.
    pub version: String,
    /// Objects by kind, filtered as configured; without the kinds that the token may not view.
    pub objects: Vec<(&'static str, u64)>,
    /// Permissions that the token lacks and without which names would be wrong.
    pub refused: Vec<&'static str>,
    /// Permissions that the token lacks: names of these kinds are missing.
    pub missing: Vec<&'static str>,
    /// Configured custom fields that do not exist, with their keys; nothing where the token may not view custom fields.
    pub unknown_fields: Vec<(&'static str, String)>,
    /// Filters that NetBox does not know and therefore ignores: kind and parameter.
    pub ignored_filters: Vec<(&'static str, String)>,
}

impl Inspection {
    /// What the user should know, a sentence each: the version and the number of objects first, then what is missing.
    pub fn lines(&self) -> Vec<String> {
        let objects: u64 = self.objects.iter().map(|(_, count)| count).sum();
        let mut lines = vec![format!("NetBox {} answers; {objects} objects are read", self.version)];
        let missing = self.missing.iter();
        lines.extend(
            missing.map(|permission| format!("the token lacks {permission}: names of these objects are missing")),
        );
        lines.extend(
            self.unknown_fields.iter().map(|(key, name)| {
                format!("netbox.{key}: NetBox has no custom field `{name}` that the token may view")
            }),
        );
        lines.extend(
            self.ignored_filters
                .iter()
                .map(|(kind, name)| format!("netbox.filters: NetBox does not know `{name}` for {kind} and ignores it")),
        );
        lines
    }
}

#[derive(Deserialize)]
struct Counted {
    count: u64,
}

/// Asks NetBox about the configuration, one request after the other.
///
/// # Errors
/// When NetBox does not answer or refuses the token.
pub async fn inspect(config: &NetBoxConfig) -> Result<Inspection, NetBoxError> {
    let client = Client::new(config, Arc::default())?;
    let version = version_of(&client.get("status", "").await?.body)?;
    let mut found = Inspection { version, ..Inspection::default() };
    for entry in wanted(config, Purpose::Flows) {
        match count(&client, entry, &(entry.spec.filter)(config)).await {
            Ok(objects) => {
                found.objects.push((entry.name, objects));
                found.ignored_filters.extend(ignored(&client, entry, config).await?);
            }
            Err(NetBoxError::Token { status: 403, .. }) if entry.spec.required => found.refused.push(entry.permission),
            Err(NetBoxError::Token { status: 403, .. }) => found.missing.push(entry.permission),
            Err(error) => return Err(error),
        }
    }
    if let Some(fields) = ENTRIES.iter().find(|entry| entry.name == "custom-fields") {
        for (key, name) in [("ifindex_field", &config.ifindex_field), ("role_field", &config.role_field)] {
            match count(&client, fields, &format!("name={name}")).await {
                Ok(0) => found.unknown_fields.push((key, name.clone())),
                Ok(_) | Err(NetBoxError::Token { status: 403, .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(found)
}

/// The parameters of a kind's filter that change nothing: NetBox ignores parameters that it does not know.
async fn ignored(
    client: &Client,
    entry: &'static Entry,
    config: &NetBoxConfig,
) -> Result<Vec<(&'static str, String)>, NetBoxError> {
    // Custom fields are chosen by Helios itself.
    let filter = if entry.name == "custom-fields" { String::new() } else { (entry.spec.filter)(config) };
    let mut parameters: Vec<&str> = filter.split('&').filter_map(|pair| Some(pair.split_once('=')?.0)).collect();
    parameters.dedup();
    if parameters.is_empty() {
        return Ok(Vec::new());
    }
    let all = count(client, entry, "").await?;
    let mut ignored = Vec::new();
    for parameter in parameters {
        match count(client, entry, &format!("{parameter}={UNUSED_VALUE}")).await {
            Ok(found) if found == all && all > 0 => ignored.push((entry.name, parameter.to_owned())),
            // NetBox refuses the value, so it knows the parameter.
            Ok(_) | Err(NetBoxError::Status { status: 400, .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(ignored)
}

async fn count(client: &Client, entry: &Entry, filter: &str) -> Result<u64, NetBoxError> {
    let and = if filter.is_empty() { "" } else { "&" };
    let query = format!("limit=1&fields=id&exclude=config_context{and}{filter}");
    let answer = client.get(entry.path, &query).await?;
    Ok(parsed::<Counted>(entry.path, &answer.body)?.count)
}

fn parsed<T: for<'de> Deserialize<'de>>(path: &str, body: &[u8]) -> Result<T, NetBoxError> {
    serde_json::from_slice(body).map_err(|source| NetBoxError::NotNetBox { path: path.to_owned(), source })
}
