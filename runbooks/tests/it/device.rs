//! A gNMI device that keeps leaves, over TLS, and does what it is told to do wrong.

use std::collections::BTreeMap;
use std::path::Path as FilePath;
use std::sync::{Arc, Mutex};

use helios_gnmi::message::{
    CapabilityRequest, CapabilityResponse, GetRequest, GetResponse, Notification, SetRequest, SetResponse,
    SubscribeRequest, SubscribeResponse, Update, UpdateResult,
};
use helios_gnmi::{Path, PathElem, Server, Service, TypedValue};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Identity, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

/// What the device does wrong with the Set of this number, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Refuses, and changes nothing.
    Refuse(usize),
    /// Does it, and answers as a broken connection does.
    Silent(usize),
    /// Does it, and confirms one change too few.
    Half(usize),
    /// Does nothing and confirms everything.
    Lie(usize),
    /// Is away from here on.
    Away(usize),
}

#[derive(Debug)]
pub struct Tree {
    pub leaves: BTreeMap<String, Value>,
    pub fault: Fault,
    pub sets: usize,
}

impl Tree {
    fn below(&self, path: &Path) -> Vec<(Path, Value)> {
        let leaves = self.leaves.iter().map(|(text, value)| (text.parse::<Path>().unwrap(), value.clone()));
        leaves.filter(|(leaf, _)| leaf.starts_with(path)).collect()
    }

    fn remove(&mut self, path: &Path) {
        self.leaves.retain(|text, _| !text.parse::<Path>().unwrap().starts_with(path));
    }

    fn put(&mut self, path: &Path, value: &Value) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    self.put(&path.join(&Path::of([PathElem::named(name.as_str())])), value);
                }
            }
            Value::Array(items) if items.iter().any(Value::is_object) => {
                for item in items {
                    let (key, text) = item.as_object().unwrap().iter().find(|(_, value)| value.is_string()).unwrap();
                    let mut entry = path.clone();
                    entry.elem.last_mut().unwrap().key.insert(key.clone(), text.as_str().unwrap().to_owned());
                    self.put(&entry, item);
                }
            }
            leaf => _ = self.leaves.insert(path.to_string(), leaf.clone()),
        }
        self.react();
    }

    /// State follows configuration.
    fn react(&mut self) {
        for (config, state, up, down) in [
            ("config/enabled", "state/oper-status", "UP", "DOWN"),
            ("config/enabled", "state/session-state", "ESTABLISHED", "IDLE"),
        ] {
            let enabled: Vec<(String, bool)> = self
                .leaves
                .iter()
                .filter_map(|(path, value)| Some((path.strip_suffix(config)?.to_owned(), value.as_bool()?)))
                .collect();
            for (place, enabled) in enabled {
                if let Some(leaf) = self.leaves.get_mut(&format!("{place}{state}")) {
                    *leaf = Value::from(if enabled { up } else { down });
                }
            }
        }
    }

    fn apply(&mut self, request: &SetRequest) {
        for path in &request.delete {
            self.remove(path);
        }
        for (update, replaces) in request
            .replace
            .iter()
            .map(|update| (update, true))
            .chain(request.update.iter().map(|update| (update, false)))
        {
            let path = update.path.as_ref().unwrap();
            if replaces {
                self.remove(path);
            }
            self.put(path, &update.val.as_ref().unwrap().to_json().unwrap());
        }
    }
}

pub struct Device(pub Arc<Mutex<Tree>>);

impl Service for Device {
    type Updates = tokio_stream::Empty<Result<SubscribeResponse, Status>>;

    async fn capabilities(&self, _: Request<CapabilityRequest>) -> Result<Response<CapabilityResponse>, Status> {
        Ok(Response::new(CapabilityResponse::default()))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        let tree = self.0.lock().unwrap();
        if matches!(tree.fault, Fault::Away(from) if tree.sets + 1 >= from) {
            return Err(Status::unavailable("no route"));
        }
        let path = &request.get_ref().path[0];
        let found = tree.below(path);
        if found.is_empty() {
            return Err(Status::not_found("no data"));
        }
        let update = |(path, value): (Path, Value)| Update {
            path: Some(path),
            val: Some(TypedValue::json_ietf(&value)),
            ..Update::default()
        };
        let notification = vec![Notification { update: found.into_iter().map(update).collect(), ..Default::default() }];
        Ok(Response::new(GetResponse { notification, error: None }))
    }

    async fn set(&self, request: Request<SetRequest>) -> Result<Response<SetResponse>, Status> {
        let user = request.metadata().get("username").map(|value| value.as_encoded_bytes().to_vec());
        if user.as_deref() != Some(b"admin") {
            return Err(Status::unauthenticated("who are you?"));
        }
        let request = request.into_inner();
        let mut tree = self.0.lock().unwrap();
        if matches!(tree.fault, Fault::Away(from) if tree.sets + 1 >= from) {
            return Err(Status::unavailable("no route"));
        }
        tree.sets += 1;
        let number = tree.sets;
        let operations = request.delete.len() + request.replace.len() + request.update.len();
        let result = UpdateResult::default();
        let mut response = vec![result; operations];
        match tree.fault {
            Fault::Refuse(at) if at == number => return Err(Status::invalid_argument("not supported here")),
            Fault::Silent(at) if at == number => {
                tree.apply(&request);
                return Err(Status::unavailable("connection reset"));
            }
            Fault::Half(at) if at == number => {
                tree.apply(&request);
                response.pop();
            }
            Fault::Lie(at) if at == number => {}
            _ => tree.apply(&request),
        }
        Ok(Response::new(SetResponse { response, ..Default::default() }))
    }

    async fn subscribe(&self, _: Request<Streaming<SubscribeRequest>>) -> Result<Response<Self::Updates>, Status> {
        Err(Status::unimplemented("no"))
    }
}

/// A device that listens on loopback, and its line for the list of devices. The authority's certificate is written to `folder`.
pub async fn start(name: &str, leaves: &[(&str, Value)], folder: &FilePath) -> (Arc<Mutex<Tree>>, String) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec![format!("{name}.example")]).unwrap().signed_by(&key, &authority).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let ca = folder.join(format!("{name}.pem"));
    std::fs::write(&ca, authority.pem()).unwrap();
    let mut leaves: BTreeMap<String, Value> =
        leaves.iter().map(|(path, value)| ((*path).to_owned(), value.clone())).collect();
    leaves.insert("/system/state/hostname".to_owned(), Value::from(name));
    let tree = Arc::new(Mutex::new(Tree { leaves, fault: Fault::None, sets: 0 }));
    let tls = ServerTlsConfig::new().identity(Identity::from_pem(leaf.pem(), key.serialize_pem()));
    let mut server = tonic::transport::Server::builder().tls_config(tls).unwrap();
    let router = server.add_service(Server::new(Device(Arc::clone(&tree))));
    tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
    let line = format!(
        "\"{name}\": {{address: \"{address}\", tls-ca: \"{}\", tls-server-name: {name}.example}}\n",
        ca.display()
    );
    (tree, line)
}
