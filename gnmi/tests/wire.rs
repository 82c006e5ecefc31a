//! Client and server against each other over TLS, and the messages against octets put together by hand from gnmi.proto.

#![allow(clippy::unwrap_used)] // Helpers of tests fail by panicking, as tests do.

use std::sync::Mutex;
use std::time::Duration;

use helios_gnmi::extensions::{Commit, CommitRequest, commit::Action};
use helios_gnmi::message::{
    CapabilityRequest, CapabilityResponse, Encoding, GetRequest, GetResponse, Notification, SetRequest, SetResponse,
    SubscribeRequest, SubscribeResponse, Update, UpdateResult, subscribe_response, update_result::Operation,
};
use helios_gnmi::{Client, GNMI_VERSION, Path, Server, Service, Target, Tls, TypedValue};
use prost::Message;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_stream::{self, StreamExt, wrappers::TcpListenerStream};
use tonic::transport::{Identity, ServerTlsConfig};
use tonic::{Code, Request, Response, Status, Streaming};

/// Keeps the last Set and answers every Get with it.
#[derive(Default)]
struct Device(Mutex<Vec<Update>>);

fn user_of<T>(request: &Request<T>) -> Result<(), Status> {
    let value = |name| request.metadata().get(name).and_then(|value| value.to_str().ok());
    match (value("username"), value("password")) {
        (Some("admin"), Some("s3cret")) => Ok(()),
        _ => Err(Status::unauthenticated("who are you?")),
    }
}

impl Service for Device {
    type Updates = tokio_stream::Iter<std::vec::IntoIter<Result<SubscribeResponse, Status>>>;

    async fn capabilities(&self, _: Request<CapabilityRequest>) -> Result<Response<CapabilityResponse>, Status> {
        let supported_encodings = vec![Encoding::JsonIetf as i32];
        let g_nmi_version = GNMI_VERSION.to_owned();
        Ok(Response::new(CapabilityResponse { supported_encodings, g_nmi_version, ..Default::default() }))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        user_of(&request)?;
        let update = self.0.lock().unwrap().clone();
        let notification = vec![Notification { update, ..Default::default() }];
        Ok(Response::new(GetResponse { notification, error: None }))
    }

    async fn set(&self, request: Request<SetRequest>) -> Result<Response<SetResponse>, Status> {
        user_of(&request)?;
        let update = request.into_inner().update;
        let result = |update: &Update| UpdateResult {
            path: update.path.clone(),
            op: Operation::Update as i32,
            ..Default::default()
        };
        let response = update.iter().map(result).collect();
        *self.0.lock().unwrap() = update;
        Ok(Response::new(SetResponse { response, ..Default::default() }))
    }

    async fn subscribe(&self, _: Request<Streaming<SubscribeRequest>>) -> Result<Response<Self::Updates>, Status> {
        let response = Some(subscribe_response::Response::SyncResponse(true));
        Ok(Response::new(tokio_stream::iter(vec![Ok(SubscribeResponse { response })])))
    }
}

/// A device that listens, and how it is asked.
async fn device() -> Target {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["router1.example".to_owned()]).unwrap();
    let certificate = leaf.signed_by(&key, &authority).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let tls = ServerTlsConfig::new().identity(Identity::from_pem(certificate.pem(), key.serialize_pem()));
    let mut server = tonic::transport::Server::builder().tls_config(tls).unwrap();
    let router = server.add_service(Server::new(Device::default()));
    tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
    Target {
        address,
        tls: Some(Tls {
            ca: Some(authority.pem().into_bytes()),
            server_name: Some("router1.example".to_owned()),
            identity: None,
        }),
        credentials: Some(("admin".to_owned(), "s3cret".to_owned())),
        timeout: Duration::from_secs(30),
    }
}

fn enabled(value: bool) -> Update {
    Update {
        path: Some("/interfaces/interface[name=Ethernet1]/config/enabled".parse().unwrap()),
        val: Some(TypedValue::json_ietf(&json!(value))),
        ..Default::default()
    }
}

#[tokio::test]
async fn what_is_set_is_read_back_over_tls() {
    let mut client = Client::connect(&device().await).await.unwrap();
    assert_eq!(client.capabilities().await.unwrap().g_nmi_version, "0.10.0");
    let request = SetRequest { update: vec![enabled(false)], ..Default::default() };
    let answer = client.set(request).await.unwrap();
    assert_eq!(answer.response[0].path, enabled(false).path);
    let answer = client.get(GetRequest { path: vec![Path::default()], ..Default::default() }).await.unwrap();
    assert_eq!(answer.notification[0].update, [enabled(false)]);
    let mut updates = client.subscribe(tokio_stream::iter([SubscribeRequest::default()])).await.unwrap();
    let first = updates.next().await.unwrap().unwrap();
    assert_eq!(first.response, Some(subscribe_response::Response::SyncResponse(true)));
}

#[tokio::test]
async fn a_wrong_password_and_a_wrong_certificate_are_refused() {
    let mut target = device().await;
    target.credentials = Some(("admin".to_owned(), "guess".to_owned()));
    let mut client = Client::connect(&target).await.unwrap();
    let status = client.get(GetRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    target.tls = Some(Tls { server_name: Some("router2.example".to_owned()), ..target.tls.unwrap() });
    let error = Client::connect(&target).await.err().unwrap().to_string();
    assert!(error.contains("certificate"), "{error}");
    assert!(!format!("{target:?}").contains("guess"));
}

#[tokio::test]
async fn a_device_that_never_answers_ends_with_the_time_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let timeout = Duration::from_millis(50);
    let target = Target { address, tls: Some(Tls::default()), credentials: None, timeout };
    let error = Client::connect(&target).await.err().unwrap().to_string();
    assert!(error.contains("50ms"), "{error}");
}

#[tokio::test]
async fn an_address_is_host_and_port_and_nothing_else() {
    for address in ["router1", "user@router1:57400", "https://router1:57400", "router1:57400/x"] {
        let timeout = Duration::from_secs(1);
        let target = Target { address: address.to_owned(), tls: None, credentials: None, timeout };
        let error = Client::connect(&target).await.err().unwrap().to_string();
        assert!(error.contains("host:port"), "{error}");
    }
}

/// `SetRequest { prefix { origin "oc" }, delete ["/a"], update [/b[k=v] = string "x"] }`, by the numbers of gnmi.proto.
#[test]
fn field_numbers_are_those_of_gnmi_proto() {
    let expected: &[u8] = &[
        0x0a, 4, 0x12, 2, b'o', b'c', // prefix (1): origin (2)
        0x12, 5, 0x1a, 3, 0x0a, 1, b'a', // delete (2): elem (3): name (1)
        0x22, 20, // update (4)
        0x0a, 13, 0x1a, 11, 0x0a, 1, b'b', 0x12, 6, 0x0a, 1, b'k', 0x12, 1,
        b'v', // path (1): elem (3): name (1), key (2)
        0x1a, 3, 0x0a, 1, b'x', // val (3): string_val (1)
    ];
    let path = |text: &str| text.parse::<Path>().unwrap();
    let value = helios_gnmi::message::typed_value::Value::StringVal("x".to_owned());
    let request = SetRequest {
        prefix: Some(Path { origin: "oc".to_owned(), ..Path::default() }),
        delete: vec![path("/a")],
        update: vec![Update {
            path: Some(path("/b[k=v]")),
            val: Some(TypedValue { value: Some(value) }),
            ..Default::default()
        }],
        ..Default::default()
    };
    assert_eq!(request.encode_to_vec(), expected);
    assert_eq!(SetRequest::decode(expected).unwrap(), request);
}

/// A Set with a commit, by the numbers of gnmi_ext.proto: what gnmic 0.47 sends for
/// `set --commit-id c --commit-request --rollback-duration 10s`.
#[test]
fn a_commit_is_read_by_the_numbers_of_gnmi_ext_proto() {
    let expected: &[u8] = &[
        0x2a, 11, // extension (5)
        0x22, 9, // commit (4)
        0x0a, 1, b'c', // id (1)
        0x12, 4, 0x0a, 2, 0x08, 10, // commit (2): rollback_duration (1): seconds (1)
    ];
    let rollback_duration = Some(Duration::from_secs(10).into());
    let commit = Commit { id: "c".to_owned(), action: Some(Action::Commit(CommitRequest { rollback_duration })) };
    let request = SetRequest { extension: vec![commit.clone().extension()], ..SetRequest::default() };
    assert_eq!(request.encode_to_vec(), expected);
    assert_eq!(Commit::of(&SetRequest::decode(expected).unwrap().extension), Some(&commit));
}

#[test]
fn another_extension_is_skipped() {
    // extension (5) of a SetRequest: master_arbitration (2) with a role (1) whose id (1) is "a".
    let octets = [0x2a, 7, 0x12, 5, 0x0a, 3, 0x0a, 1, b'a'];
    let request = SetRequest::decode(&octets[..]).unwrap();
    assert_eq!(Commit::of(&request.extension), None);
    assert_eq!(SetRequest { extension: Vec::new(), ..request }, SetRequest::default());
}
