//! The gNMI service of one device: Capabilities, Get, Set, Subscribe (gNMI specification 0.10).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use helios_gnmi::message::get_request::DataType;
use helios_gnmi::message::update_result::Operation;
use helios_gnmi::message::{
    CapabilityRequest, CapabilityResponse, Encoding, GetRequest, GetResponse, ModelData, Notification, SetRequest,
    SetResponse, SubscribeRequest, SubscribeResponse, Update, UpdateResult, typed_value,
};
use helios_gnmi::{GNMI_VERSION, Path, PathElem, Server, Service, TypedValue};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::metadata::MetadataMap;
use tonic::transport::{Identity, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

use crate::network::{Network, State};
use crate::tree::{self, bare, edit, native};

pub(crate) mod commit;
mod subscribe;

/// IANA's port of gNMI.
pub(crate) const PORT: u16 = 9339;

/// How late the answer to a Set comes with the fault `slow-set`: after the time-outs of clients.
const SLOW_SET: Duration = Duration::from_secs(120);

/// Where a device listens, and who may log in.
#[derive(Debug, Clone)]
pub(crate) struct Login {
    pub port: u16,
    pub user: String,
    pub password: String,
}

/// Certificate and key of a device, as PEM.
#[derive(Debug, Clone)]
pub(crate) struct Certificate {
    pub certificate: String,
    pub key: String,
}

/// A device's service.
#[derive(Debug)]
pub(crate) struct Device {
    network: Arc<Network>,
    device: usize,
    login: Login,
}

/// Serves a device for as long as the process lives. While the fault `unreachable` is on nobody listens, and connections
/// are closed.
///
/// # Errors
/// When the address cannot be listened on, or the certificate cannot be used.
pub(crate) async fn serve(
    network: Arc<Network>,
    device: usize,
    login: Login,
    certificate: Option<Certificate>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let address = network.lock().description.devices[device].address;
    loop {
        wait_until(&network, |state| !state.faults.unreachable.contains(&device)).await;
        let listener = TcpListener::bind(SocketAddr::from((address, login.port))).await?;
        let service = Device { network: Arc::clone(&network), device, login: login.clone() };
        let mut server = tonic::transport::Server::builder();
        if let Some(Certificate { certificate, key }) = &certificate {
            server = server.tls_config(ServerTlsConfig::new().identity(Identity::from_pem(certificate, key)))?;
        }
        let cut = wait_until(&network, |state| state.faults.unreachable.contains(&device));
        server
            .add_service(Server::new(service))
            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), cut)
            .await?;
    }
}

async fn wait_until(network: &Network, mut condition: impl FnMut(&State) -> bool) {
    let mut changes = network.changes();
    while !condition(&network.lock()) {
        if changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Device {
    fn check(&self, metadata: &MetadataMap) -> Result<(), Status> {
        let is =
            |name: &str, wanted: &str| metadata.get(name).is_some_and(|value| value.as_bytes() == wanted.as_bytes());
        if self.network.lock().faults.unreachable.contains(&self.device) {
            return Err(Status::unavailable("the device cannot be reached"));
        }
        if is("username", &self.login.user) && is("password", &self.login.password) {
            return Ok(());
        }
        Err(Status::unauthenticated("user or password is wrong: send them as metadata `username` and `password`"))
    }
}

/// The encodings that the device has.
const ENCODINGS: [Encoding; 3] = [Encoding::Json, Encoding::JsonIetf, Encoding::Proto];

/// The models, with the versions whose leaves the device has.
const MODELS: [(&str, &str, &str); 7] = [
    (OPENCONFIG, "openconfig-interfaces", "3.7.1"),
    (OPENCONFIG, "openconfig-network-instance", "4.4.1"),
    (OPENCONFIG, "openconfig-system", "2.2.0"),
    (OPENCONFIG, "openconfig-platform", "0.28.0"),
    (OPENCONFIG, "openconfig-lldp", "0.2.1"),
    (OPENCONFIG, "openconfig-if-ethernet", "2.14.0"),
    (OPENCONFIG, "openconfig-sampling-sflow", "1.0.0"),
];

/// The native ones of SR Linux.
const NATIVE_MODELS: [(&str, &str, &str); 4] = [
    (NOKIA, "srl_nokia-interfaces", "2024-10-31"),
    (NOKIA, "srl_nokia-network-instance", "2024-10-31"),
    (NOKIA, "srl_nokia-platform", "2024-03-31"),
    (NOKIA, "srl_nokia-system", "2024-10-31"),
];

const OPENCONFIG: &str = "OpenConfig working group";
const NOKIA: &str = "Nokia";

fn encoding(number: i32) -> Result<Encoding, Status> {
    let known = Encoding::try_from(number).ok().filter(|encoding| ENCODINGS.contains(encoding));
    known.ok_or_else(|| Status::unimplemented(format!("encoding {number}: the device has JSON, JSON_IETF and PROTO")))
}

/// The module that a member of the root is of.
fn module(name: &str) -> &'static str {
    match name {
        "interfaces" => "openconfig-interfaces",
        "network-instances" => "openconfig-network-instance",
        "system" => "openconfig-system",
        "components" => "openconfig-platform",
        "lldp" => "openconfig-lldp",
        _ => "openconfig",
    }
}

/// A subtree in an encoding. In JSON_IETF its first members carry their module's name (RFC 7951 §4).
fn encoded(value: &Value, path: &[PathElem], encoding: Encoding) -> TypedValue {
    let name =
        |back: usize| path.len().checked_sub(back).and_then(|at| path.get(at)).map_or("", |elem| elem.name.as_str());
    match encoding {
        Encoding::JsonIetf => {
            let mut value = tree::ietf(value, name(1), name(2));
            // SR Linux leaves the names of modules out below the path.
            if let Value::Object(members) = &mut value
                && !native::is_native(path)
            {
                let of = |member: &str| module(path.first().map_or(member, |elem| elem.name.as_str()));
                let named = std::mem::take(members)
                    .into_iter()
                    .map(|(member, value)| (format!("{}:{member}", of(&member)), value));
                *members = named.collect();
            }
            TypedValue::json_ietf(&value)
        }
        Encoding::Proto => TypedValue { value: Some(scalar(value)) },
        _ => TypedValue { value: Some(typed_value::Value::JsonVal(value.to_string().into_bytes())) },
    }
}

fn scalar(value: &Value) -> typed_value::Value {
    match value {
        Value::Bool(truth) => typed_value::Value::BoolVal(*truth),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => typed_value::Value::UintVal(number),
            (None, Some(number)) => typed_value::Value::IntVal(number),
            (None, None) => typed_value::Value::DoubleVal(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => typed_value::Value::StringVal(text.clone()),
        other => typed_value::Value::JsonVal(other.to_string().into_bytes()),
    }
}

/// The whole path of an operation: prefix and path.
fn whole_path(prefix: Option<&Path>, path: &Path) -> Path {
    prefix.map_or_else(|| path.clone(), |prefix| prefix.join(path))
}

/// A value with its path, as the device writes both.
fn encoded_update(path: Vec<PathElem>, value: &Value, encoding: Encoding) -> Update {
    let val = Some(encoded(value, &path, encoding));
    Update { path: Some(Path::of(native::with_modules(path))), val, ..Update::default() }
}

/// What a path leads to, as updates: in PROTO one for each leaf, else one for each match.
fn updates(tree: &Value, path: &[PathElem], encoding: Encoding) -> Vec<Update> {
    let mut out = Vec::new();
    for (mut at, node) in tree::find(tree, path) {
        let mut update = |path: Vec<PathElem>, value: &Value| {
            out.push(encoded_update(path, value, encoding));
        };
        if encoding == Encoding::Proto {
            let mut leaves = Vec::new();
            tree::leaves(node, &mut at, &mut leaves);
            leaves.into_iter().for_each(|(path, value)| update(path, value));
        } else {
            update(at, node);
        }
    }
    out
}

/// Leaves out what the request did not ask for.
fn only(tree: &mut Value, kind: DataType) {
    let unwanted = match kind {
        DataType::All => return,
        DataType::Config => "state",
        DataType::State | DataType::Operational => "config",
    };
    match tree {
        Value::Object(members) => {
            members.shift_remove(unwanted);
            members.values_mut().for_each(|member| only(member, kind));
        }
        Value::Array(list) => list.iter_mut().for_each(|entry| only(entry, kind)),
        _ => {}
    }
}

impl Service for Device {
    type Updates = ReceiverStream<Result<SubscribeResponse, Status>>;

    async fn capabilities(&self, request: Request<CapabilityRequest>) -> Result<Response<CapabilityResponse>, Status> {
        self.check(request.metadata())?;
        let model = |(organization, name, version): &(&str, &str, &str)| ModelData {
            name: (*name).to_owned(),
            organization: (*organization).to_owned(),
            version: (*version).to_owned(),
        };
        let is_native = self.network.lock().description.devices[self.device].platform == native::PLATFORM;
        let own: &[_] = if is_native { &NATIVE_MODELS } else { &[] };
        Ok(Response::new(CapabilityResponse {
            supported_models: MODELS.iter().chain(own).map(model).collect(),
            supported_encodings: ENCODINGS.iter().map(|encoding| *encoding as i32).collect(),
            g_nmi_version: GNMI_VERSION.to_owned(),
        }))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        self.check(request.metadata())?;
        let request = request.into_inner();
        let encoding = encoding(request.encoding)?;
        let kind = DataType::try_from(request.r#type).map_err(|_| Status::invalid_argument("no such type of data"))?;
        let (mut tree, now) = {
            let state = self.network.lock();
            (tree::whole(&state, self.device), state.now)
        };
        only(&mut tree, kind);
        let mut notification = Vec::new();
        for path in &request.path {
            let path = whole_path(request.prefix.as_ref(), path);
            let update = updates(&tree, &path.elem, encoding);
            if update.is_empty() {
                return Err(Status::not_found(format!("{path}: the device has nothing there")));
            }
            notification.push(Notification { timestamp: now * 1_000_000, update, ..Notification::default() });
        }
        Ok(Response::new(GetResponse { notification, error: None }))
    }

    async fn set(&self, request: Request<SetRequest>) -> Result<Response<SetResponse>, Status> {
        self.check(request.metadata())?;
        let request = request.into_inner();
        if !request.union_replace.is_empty() {
            return Err(Status::unimplemented("union_replace: use replace"));
        }
        let (response, timestamp) = self.network.change(|state| {
            let response = commit::set(state, self.device, &request);
            response.map(|response| (response, state.now * 1_000_000))
        })?;
        let slow = self.network.lock().faults.slow_set.contains(&self.device);
        if slow {
            tokio::time::sleep(SLOW_SET).await;
        }
        Ok(Response::new(SetResponse { prefix: request.prefix, response, timestamp, ..SetResponse::default() }))
    }

    async fn subscribe(
        &self,
        request: Request<Streaming<SubscribeRequest>>,
    ) -> Result<Response<Self::Updates>, Status> {
        self.check(request.metadata())?;
        let (out, updates) = tokio::sync::mpsc::channel(64);
        let (network, device) = (Arc::clone(&self.network), self.device);
        tokio::spawn(async move { subscribe::answer(&network, device, request.into_inner(), out).await });
        Ok(Response::new(ReceiverStream::new(updates)))
    }
}

/// Does all operations of a request on a copy of the configuration, which then takes its place, or none.
fn change(state: &mut State, device: usize, request: &SetRequest) -> Result<Vec<UpdateResult>, Status> {
    let mut config = state.devices[device].config.clone();
    let mut results = Vec::new();
    let refused = |error: edit::Refused| Status::invalid_argument(error.to_string());
    let mut done = |path: &Path, op: Operation| {
        results.push(UpdateResult { path: Some(path.clone()), op: op as i32, ..UpdateResult::default() });
    };
    for path in &request.delete {
        edit::delete(&mut config, &whole_path(request.prefix.as_ref(), path).elem).map_err(refused)?;
        done(path, Operation::Delete);
    }
    let changes = request.replace.iter().map(|update| (update, Operation::Replace));
    for (update, op) in changes.chain(request.update.iter().map(|update| (update, Operation::Update))) {
        let path = update.path.clone().unwrap_or_default();
        let whole = whole_path(request.prefix.as_ref(), &path);
        let value =
            update.val.as_ref().ok_or_else(|| Status::invalid_argument(format!("{whole}: there is no value")))?;
        let value = value.to_json().map_err(|error| Status::invalid_argument(format!("{whole}: {error}")))?;
        let result = match op {
            Operation::Replace => edit::replace(&mut config, &whole.elem, &value),
            _ => edit::update(&mut config, &whole.elem, &value),
        };
        result.map_err(refused)?;
        done(&path, op);
    }
    let interfaces = &state.description.devices[device].interfaces;
    let ports: Vec<&str> = interfaces.iter().map(|interface| interface.name.as_str()).collect();
    edit::validate(&config, &ports).map_err(refused)?;
    state.devices[device].config = config;
    Ok(results)
}

/// A path's elements without modules' names.
fn plain(path: &Path) -> Vec<PathElem> {
    let elem = |elem: &PathElem| PathElem { name: bare(&elem.name).to_owned(), key: elem.key.clone() };
    path.elem.iter().map(elem).collect()
}

#[cfg(test)]
mod tests;
