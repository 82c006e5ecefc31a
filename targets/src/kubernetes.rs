//! ConfigMaps of targets: read as what is published, and each applied where it changed.
//!
//! The documents of a kind are split into parts ([`parts`]), one ConfigMap each: `helios-targets-gnmic-0`, whose data is
//! one key, the name of the file (`gnmic.yaml`). Server-side apply with the field manager [`FIELD_MANAGER`] creates and
//! replaces, and takes back what others changed in the data. A part that is no longer needed is emptied and stays: pods
//! have it mounted.

use std::collections::BTreeMap;
use std::time::Duration;

use helios_web::header::HeaderValue;
use helios_web::tls::{Pem, TlsError};
use helios_web::{Bytes, Client, Content, Method, Request, RequestError, Settings, StatusCode, secret};
use serde::Deserialize;
use serde_json::json;

use crate::document::{Document, Documents, ListKind, ParseError};
use crate::parts::{self, PART_BYTES, PARTS_MAX, TooLarge};

mod access;

pub use access::{Access, AccessError, Token};

/// The field manager of all that is applied.
pub const FIELD_MANAGER: &str = "helios-targets";

/// Marks the ConfigMaps that Helios owns.
const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", FIELD_MANAGER);

/// For one request.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A ConfigMap has 1 MiB of data, and as JSON with its escapes at most six times as much.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// Parts that have to be missing in a row before reading ends: a part that somebody deleted does not hide the ones behind it.
const GAP: u32 = 3;

/// ConfigMaps cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the text of a variant says what its fields are")]
pub enum KubernetesError {
    #[error("{0}")]
    Tls(#[from] TlsError),
    #[error("{0}")]
    Secret(#[from] secret::SecretError),
    #[error("the Kubernetes API at {url} does not answer: {source}; nothing more is changed")]
    Unreachable { url: String, source: RequestError },
    #[error("the Kubernetes API refuses to {verb} {name} in namespace {namespace}: {message} ({status}){advice}")]
    Refused { verb: &'static str, name: String, namespace: String, status: u16, message: String, advice: &'static str },
    #[error("{0} is no ConfigMap")]
    Answer(String),
    #[error(
        "ConfigMap {name} was not written by helios targets: it lacks the label {}={}; delete it, or rename it",
        MANAGED_BY.0,
        MANAGED_BY.1
    )]
    Foreign { name: String },
    #[error("ConfigMap {name}: {source}; helios did not write it: delete it")]
    Content { name: String, source: ParseError },
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
}

/// The ConfigMaps of a namespace.
#[derive(Debug)]
pub struct ConfigMaps {
    client: Client,
    access: Access,
    namespace: String,
}

/// What is there: the text of each part by its kind and number.
#[derive(Debug, Default)]
pub struct Published {
    texts: BTreeMap<(ListKind, u32), String>,
    /// The entries of all parts.
    pub documents: Documents,
}

impl Published {
    /// Parts of a kind: one more than the highest number that has targets.
    fn parts(&self, kind: ListKind) -> u32 {
        let filled = self.texts.iter().filter(|((known, _), text)| {
            *known == kind && Document::parse(kind, text).is_ok_and(|document| !document.is_empty())
        });
        filled.map(|((_, part), _)| part + 1).max().unwrap_or(0)
    }
}

/// One ConfigMap as it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub(crate) kind: ListKind,
    pub(crate) number: u32,
    pub(crate) text: String,
}

impl Part {
    /// Name of the ConfigMap: `helios-targets-gnmic-0`.
    pub fn name(&self) -> String {
        name(self.kind, self.number)
    }
}

fn name(kind: ListKind, part: u32) -> String {
    format!("helios-targets-{}-{part}", kind.name())
}

/// The ConfigMaps that have to be written so that `planned` is what is published, in the order of their names. Parts
/// whose text is the same are left out. gnmic has `gnmic_parts` at least, one for each of its instances.
///
/// # Errors
/// [`TooLarge`].
pub fn changes(published: &Published, planned: &Documents, gnmic_parts: u32) -> Result<Vec<Part>, TooLarge> {
    let mut changes = Vec::new();
    for kind in ListKind::ALL {
        let document = planned.get(kind).cloned().unwrap_or_default();
        let at_least = if kind == ListKind::Gnmic { gnmic_parts } else { 1 };
        let count = parts::count(kind, &document, PART_BYTES, at_least, published.parts(kind))?;
        let texts = parts::split(kind, &document, count);
        let there = published.texts.keys().filter(|(known, _)| *known == kind).map(|(_, part)| part + 1).max();
        for number in 0..count.max(there.unwrap_or(0)) {
            let text = texts.get(number as usize).cloned().unwrap_or_else(|| Document::default().render(kind));
            let old = published.texts.get(&(kind, number));
            // A part that was deleted and would be empty is not needed again.
            if old == Some(&text) || (number >= count && old.is_none()) {
                continue;
            }
            changes.push(Part { kind, number, text });
        }
    }
    Ok(changes)
}

#[derive(Debug, Deserialize)]
struct ConfigMap {
    metadata: Metadata,
    #[serde(default)]
    data: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// What the API says of a failure.
#[derive(Debug, Default, Deserialize)]
struct Status {
    #[serde(default)]
    message: String,
}

impl ConfigMaps {
    /// # Errors
    /// When there is no certificate authority to trust, or the client's certificate cannot be used.
    pub fn new(access: Access, namespace: String) -> Result<Self, KubernetesError> {
        let client = access.client.as_ref().map(|(certificate, key)| (certificate.as_str(), key.as_str()));
        let settings = Settings {
            url: &access.url,
            ca_file: None,
            pem: Pem { authorities: access.authorities.as_deref(), client },
            timeout: TIMEOUT,
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        Ok(Self { client: Client::new(&settings)?, access, namespace })
    }

    /// Reads what is published.
    ///
    /// # Errors
    /// When the API does not answer or refuses, or a ConfigMap of these names is somebody else's.
    pub async fn read(&self) -> Result<Published, KubernetesError> {
        let mut published = Published::default();
        for kind in ListKind::ALL {
            let mut missing = 0;
            for part in 0..PARTS_MAX {
                let Some(text) = self.get(kind, part).await? else {
                    missing += 1;
                    if missing == GAP {
                        break;
                    }
                    continue;
                };
                missing = 0;
                let document = Document::parse(kind, &text)
                    .map_err(|source| KubernetesError::Content { name: name(kind, part), source })?;
                published.documents.get_mut(kind).extend(document);
                published.texts.insert((kind, part), text);
            }
        }
        Ok(published)
    }

    /// The text of a part; empty for a ConfigMap without data, as a chart may have made it.
    async fn get(&self, kind: ListKind, part: u32) -> Result<Option<String>, KubernetesError> {
        let name = name(kind, part);
        let url = self.url(&name);
        let request = Request {
            url: &url,
            accept: "application/json",
            authorization: self.authorization()?,
            ..Request::default()
        };
        let answer = self.client.get(&request).await.map_err(|source| self.unreachable(source))?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if answer.status != StatusCode::OK {
            return Err(self.refused("get", &name, answer.status, &answer.body));
        }
        let map: ConfigMap = serde_json::from_slice(&answer.body).map_err(|_| KubernetesError::Answer(name.clone()))?;
        let ours = map.metadata.labels.get(MANAGED_BY.0).is_some_and(|by| by == MANAGED_BY.1);
        if !ours && !map.data.is_empty() {
            return Err(KubernetesError::Foreign { name });
        }
        Ok(Some(map.data.get(&kind.file_name()).cloned().unwrap_or_default()))
    }

    /// Applies a part. What was applied before stays when one is refused.
    ///
    /// # Errors
    /// When the API does not answer or refuses.
    pub async fn apply(&self, part: &Part) -> Result<(), KubernetesError> {
        let name = part.name();
        let url = format!("{}?fieldManager={FIELD_MANAGER}&force=true", self.url(&name));
        let object = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": self.namespace, "labels": {MANAGED_BY.0: MANAGED_BY.1}},
            "data": {part.kind.file_name(): part.text},
        });
        let request = Request {
            url: &url,
            accept: "application/json",
            authorization: self.authorization()?,
            ..Request::default()
        };
        let body = Bytes::from(object.to_string());
        let content = Content { method: Method::PATCH, media_type: "application/apply-patch+yaml", body };
        let answer = self.client.send(&request, &content).await.map_err(|source| self.unreachable(source))?;
        match answer.status {
            StatusCode::OK | StatusCode::CREATED => Ok(()),
            status => Err(self.refused("apply", &name, status, &answer.body)),
        }
    }

    fn url(&self, name: &str) -> String {
        format!("{}/api/v1/namespaces/{}/configmaps/{name}", self.access.url, self.namespace)
    }

    fn authorization(&self) -> Result<Option<HeaderValue>, KubernetesError> {
        Ok(match &self.access.token {
            Token::None => None,
            Token::Text(token) => secret::authorization("Bearer", token)?,
            Token::File(path) => secret::authorization("Bearer", &secret::read("service account", path)?)?,
        })
    }

    fn unreachable(&self, source: RequestError) -> KubernetesError {
        KubernetesError::Unreachable { url: self.access.url.clone(), source }
    }

    fn refused(&self, verb: &'static str, name: &str, status: StatusCode, body: &[u8]) -> KubernetesError {
        let message = serde_json::from_slice::<Status>(body).unwrap_or_default().message;
        let advice = match status.as_u16() {
            401 => "; the token is not valid, or has expired",
            403 => "; the service account needs get, create and patch of configmaps in this namespace",
            404 => "; create the namespace, or name another one by TARGET_NAMESPACE",
            _ => "",
        };
        let (name, namespace) = (format!("ConfigMap {name}"), self.namespace.clone());
        KubernetesError::Refused { verb, name, namespace, status: status.as_u16(), message, advice }
    }
}

#[cfg(test)]
mod tests;
