//! A server that answers like Kubernetes' API server for ConfigMaps: get and server-side apply, with the refusals of the real
//! one (kube-apiserver 1.35): unknown token, missing right, missing namespace, wrong media type, no field manager,
//! fields of another manager, data beyond 1 MiB.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value, json};

use crate::http::{self, Request};

/// What an object's data may have (`MaxSecretSize` of k8s.io/api/core/v1, which holds for ConfigMaps as well).
pub const DATA_BYTES_MAX: usize = 1 << 20;

/// The cluster, changed by tests while the server runs.
#[derive(Debug, Default)]
pub struct Cluster {
    /// Namespaces that exist.
    pub namespaces: BTreeSet<String>,
    /// The token that requests need; empty for any.
    pub token: String,
    /// Verbs that the token has no right for: `get`, `patch`.
    pub forbidden: BTreeSet<&'static str>,
    /// By namespace and name.
    pub config_maps: BTreeMap<(String, String), ConfigMap>,
    /// Method and path of every request.
    pub requests: Vec<String>,
    version: u64,
}

/// One object, and which manager owns which key of its data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigMap {
    /// Texts by their keys.
    pub data: BTreeMap<String, String>,
    /// Values by their names.
    pub labels: BTreeMap<String, String>,
    /// Field managers by the keys of `data`.
    pub owners: BTreeMap<String, String>,
    /// Rises with every change of the cluster.
    pub resource_version: u64,
}

/// The server, gone with the process.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    cluster: Arc<Mutex<Cluster>>,
}

impl Server {
    /// Starts on a free port of loopback with one namespace.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn start(namespace: &str) -> Self {
        let cluster = Cluster { namespaces: BTreeSet::from([namespace.to_owned()]), ..Cluster::default() };
        let cluster = Arc::new(Mutex::new(cluster));
        let shared = Arc::clone(&cluster);
        Self { address: http::serve(move |stream| serve(stream, &shared)), cluster }
    }

    /// Address of the API.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The cluster, to be looked at and changed.
    pub fn cluster(&self) -> MutexGuard<'_, Cluster> {
        self.cluster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn serve(stream: TcpStream, cluster: &Mutex<Cluster>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let request = Request::read(&mut reader)?;
        let mut body = vec![0; request.header("content-length").parse().unwrap_or(0)];
        reader.read_exact(&mut body).ok()?;
        let (status, answer) = {
            let mut cluster = cluster.lock().unwrap_or_else(PoisonError::into_inner);
            cluster.requests.push(format!("{} {}", request.method, request.target));
            cluster.answer(&request, &body).unwrap_or_else(|refusal| refusal)
        };
        let answer = answer.to_string();
        let length = answer.len();
        write!(
            stream,
            "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{answer}"
        )
        .ok()?;
        if request.last {
            return None;
        }
    }
}

type Answer = (u16, Value);

fn failure(code: u16, reason: &str, message: &str) -> Answer {
    (
        code,
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason,
            "code": code,
        }),
    )
}

impl Cluster {
    fn answer(&mut self, request: &Request, body: &[u8]) -> Result<Answer, Answer> {
        if !self.token.is_empty() && request.authorization != format!("Bearer {}", self.token) {
            return Err(failure(401, "Unauthorized", "Unauthorized"));
        }
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let place = path.strip_prefix("/api/v1/namespaces/").and_then(|rest| rest.split_once("/configmaps/"));
        let (namespace, name) =
            place.ok_or_else(|| failure(404, "NotFound", "the server could not find the requested resource"))?;
        let verb = if request.method == "GET" { "get" } else { "patch" };
        if self.forbidden.contains(verb) {
            let message = format!(
                "configmaps \"{name}\" is forbidden: User \"system:serviceaccount:helios:targets\" cannot {verb} resource \
                 \"configmaps\" in API group \"\" in the namespace \"{namespace}\""
            );
            return Err(failure(403, "Forbidden", &message));
        }
        let key = (namespace.to_owned(), name.to_owned());
        match request.method.as_str() {
            "GET" => {
                let missing = || failure(404, "NotFound", &format!("configmaps \"{name}\" not found"));
                let map = self.config_maps.get(&key).ok_or_else(missing)?;
                Ok((200, object(&key, map)))
            }
            "PATCH" => self.apply(key, query, request.header("content-type"), body),
            method => Err(failure(405, "MethodNotAllowed", &format!("{method} is not supported"))),
        }
    }

    fn apply(&mut self, key: (String, String), query: &str, media: &str, body: &[u8]) -> Result<Answer, Answer> {
        if media != "application/apply-patch+yaml" {
            return Err(failure(415, "UnsupportedMediaType", "the body of the request was in an unknown format"));
        }
        let parameter = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let manager = parameter("fieldManager").ok_or_else(|| {
            failure(400, "BadRequest", "PatchOptions.meta.k8s.io is invalid: fieldManager: Required value")
        })?;
        let applied: Value =
            serde_json::from_slice(body).map_err(|_| failure(400, "BadRequest", "error decoding patch"))?;
        if applied["apiVersion"] != "v1"
            || applied["kind"] != "ConfigMap"
            || applied["metadata"]["name"] != key.1.as_str()
        {
            return Err(failure(400, "BadRequest", "the object does not match the request"));
        }
        if !self.namespaces.contains(&key.0) {
            return Err(failure(404, "NotFound", &format!("namespaces \"{}\" not found", key.0)));
        }
        let texts = |value: &Value| -> BTreeMap<String, String> {
            let entries = value.as_object().into_iter().flatten();
            entries.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
        };
        let (data, labels) = (texts(&applied["data"]), texts(&applied["metadata"]["labels"]));
        let old = self.config_maps.get(&key).cloned();
        let mut map = old.clone().unwrap_or_default();
        for (field, value) in &data {
            let owner = map.owners.get(field).filter(|owner| *owner != manager);
            if let (Some(owner), true) = (owner, map.data.get(field) != Some(value))
                && parameter("force") != Some("true")
            {
                let message = format!("Apply failed with 1 conflict: conflict with \"{owner}\": .data.{field}");
                return Err(failure(409, "Conflict", &message));
            }
            map.owners.insert(field.clone(), manager.to_owned());
        }
        // What this manager applied before and no longer has goes.
        let gone: Vec<String> = map
            .owners
            .iter()
            .filter(|(field, owner)| *owner == manager && !data.contains_key(*field))
            .map(|(field, _)| field.clone())
            .collect();
        for field in gone {
            map.data.remove(&field);
            map.owners.remove(&field);
        }
        map.data.extend(data);
        map.labels.extend(labels);
        let size: usize = map.data.iter().map(|(key, value)| key.len() + value.len()).sum();
        if size > DATA_BYTES_MAX {
            let message = format!(
                "ConfigMap \"{}\" is invalid: []: Too long: may not be more than {DATA_BYTES_MAX} bytes",
                key.1
            );
            return Err(failure(422, "Invalid", &message));
        }
        if old.as_ref() != Some(&map) {
            self.version += 1;
            map.resource_version = self.version;
        }
        let answer = object(&key, &map);
        self.config_maps.insert(key, map);
        Ok((if old.is_some() { 200 } else { 201 }, answer))
    }
}

fn object((namespace, name): &(String, String), map: &ConfigMap) -> Value {
    let mut object = json!({
        "kind": "ConfigMap", "apiVersion": "v1",
        "metadata": {
            "name": name, "namespace": namespace, "resourceVersion": map.resource_version.to_string(),
        },
    });
    // Empty maps are left out, as the real server does.
    let of = |map: &BTreeMap<String, String>| -> Map<String, Value> {
        map.iter().map(|(key, value)| (key.clone(), json!(value))).collect()
    };
    if !map.labels.is_empty() {
        object["metadata"]["labels"] = Value::Object(of(&map.labels));
    }
    if !map.data.is_empty() {
        object["data"] = Value::Object(of(&map.data));
    }
    object
}
