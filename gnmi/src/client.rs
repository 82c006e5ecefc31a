//! Asks one device.

use std::fmt;
use std::time::Duration;

use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::message::{
    CapabilityRequest, CapabilityResponse, GetRequest, GetResponse, SetRequest, SetResponse, SubscribeRequest,
    SubscribeResponse,
};

/// Longest answer that is taken, in octets: the whole configuration of a large router has some 10 MiB.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Which device to ask, and how.
#[derive(Clone)]
pub struct Target {
    /// `host:port`; an IPv6 address stands in brackets.
    pub address: String,
    /// `None` speaks without encryption, which sends the password in clear text.
    pub tls: Option<Tls>,
    /// User name and password, sent as gNMI's metadata `username` and `password` (gNMI authentication §3).
    pub credentials: Option<(String, String)>,
    /// Time-out of the connection, and of each request.
    pub timeout: Duration,
}

/// How the device and this client prove who they are.
#[derive(Clone, Default)]
pub struct Tls {
    /// PEM of certificate authorities; without it the system's are trusted.
    pub ca: Option<Vec<u8>>,
    /// Name in the device's certificate, if it is not the host of the address.
    pub server_name: Option<String>,
    /// PEM of the client certificate and of its key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl fmt::Debug for Target {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.credentials.as_ref().map(|(user, _)| user);
        write!(f, "Target({}, tls {}, user {user:?}, {:?})", self.address, self.tls.is_some(), self.timeout)
    }
}

/// There is no connection.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the text of a variant says what its fields are")]
pub enum ConnectError {
    /// `host:port` is wanted.
    #[error("`{address}` is no address of a device: {cause}")]
    Address { address: String, cause: String },
    /// User name and password go through HTTP headers.
    #[error("the {0} has characters that gNMI's metadata cannot carry")]
    Credentials(&'static str),
    /// Certificates that cannot be read, no route, nobody listens, a certificate that is not trusted.
    #[error("no connection to {address}: {cause}")]
    Unreachable { address: String, cause: String },
}

/// A connection to a device. Clones share it.
#[derive(Clone)]
pub struct Client {
    grpc: Grpc<Channel>,
    credentials: Option<(MetadataValue<Ascii>, MetadataValue<Ascii>)>,
    timeout: Duration,
}

impl Client {
    /// Connects now.
    ///
    /// # Errors
    /// [`ConnectError`] when there is no connection within the time-out.
    pub async fn connect(target: &Target) -> Result<Self, ConnectError> {
        let unreachable = |cause: String| ConnectError::Unreachable { address: target.address.clone(), cause };
        let endpoint = endpoint(target)?;
        let metadata = |value: &str, what| {
            let mut value = MetadataValue::try_from(value).map_err(|_| ConnectError::Credentials(what))?;
            value.set_sensitive(true);
            Ok::<_, ConnectError>(value)
        };
        let credentials = match &target.credentials {
            Some((user, password)) => Some((metadata(user, "user name")?, metadata(password, "password")?)),
            None => None,
        };
        // The endpoint's own time-out ends with the TCP connection; this one has TLS in it.
        let channel = tokio::time::timeout(target.timeout, endpoint.connect()).await;
        let channel = channel
            .map_err(|_| unreachable(format!("no answer within {:?}", target.timeout)))?
            .map_err(|error| unreachable(causes(&error)))?;
        let grpc = Grpc::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
        Ok(Self { grpc, credentials, timeout: target.timeout })
    }

    /// What the device can do.
    ///
    /// # Errors
    /// The device's status, or `DEADLINE_EXCEEDED` after the time-out.
    pub async fn capabilities(&mut self) -> Result<CapabilityResponse, Status> {
        self.unary(CapabilityRequest {}, "/gnmi.gNMI/Capabilities").await
    }

    /// Reads values.
    ///
    /// # Errors
    /// The device's status, or `DEADLINE_EXCEEDED` after the time-out.
    pub async fn get(&mut self, request: GetRequest) -> Result<GetResponse, Status> {
        self.unary(request, "/gnmi.gNMI/Get").await
    }

    /// Changes the configuration. After an error the device may have done it, unless the status is the device's own refusal.
    ///
    /// # Errors
    /// The device's status, or `DEADLINE_EXCEEDED` after the time-out.
    pub async fn set(&mut self, request: SetRequest) -> Result<SetResponse, Status> {
        self.unary(request, "/gnmi.gNMI/Set").await
    }

    /// Opens a stream of values. It has no time-out: a stream may live for weeks.
    ///
    /// # Errors
    /// The device's status.
    pub async fn subscribe<S>(&mut self, requests: S) -> Result<Streaming<SubscribeResponse>, Status>
    where
        S: tonic::codegen::tokio_stream::Stream<Item = SubscribeRequest> + Send + 'static,
    {
        let mut request = Request::new(requests);
        self.sign(&mut request);
        self.ready().await?;
        let path = PathAndQuery::from_static("/gnmi.gNMI/Subscribe");
        self.grpc.streaming(request, path, ProstCodec::default()).await.map(Response::into_inner)
    }

    async fn unary<A, B>(&mut self, message: A, path: &'static str) -> Result<B, Status>
    where
        A: prost::Message + 'static,
        B: prost::Message + Default + 'static,
    {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        self.sign(&mut request);
        let after = self.timeout;
        let answer = async {
            self.ready().await?;
            self.grpc.unary(request, PathAndQuery::from_static(path), ProstCodec::<A, B>::default()).await
        };
        match tokio::time::timeout(after, answer).await {
            Ok(answer) => answer.map(Response::into_inner),
            Err(_) => Err(Status::deadline_exceeded(format!("no answer within {after:?}"))),
        }
    }

    async fn ready(&mut self) -> Result<(), Status> {
        self.grpc.ready().await.map_err(|error| Status::unavailable(causes(&error)))
    }

    fn sign<T>(&self, request: &mut Request<T>) {
        if let Some((user, password)) = &self.credentials {
            request.metadata_mut().insert("username", user.clone());
            request.metadata_mut().insert("password", password.clone());
        }
    }
}

fn endpoint(target: &Target) -> Result<Endpoint, ConnectError> {
    let address = |cause: String| ConnectError::Address { address: target.address.clone(), cause };
    if target.address.contains(['/', '@', '?', '#']) || !target.address.contains(':') {
        return Err(address("write host:port".to_owned()));
    }
    let scheme = if target.tls.is_some() { "https" } else { "http" };
    let endpoint = Endpoint::from_shared(format!("{scheme}://{}", target.address))
        .map_err(|error| address(error.to_string()))?
        .user_agent(concat!("helios/", env!("CARGO_PKG_VERSION")))
        .map_err(|error| address(error.to_string()))?
        .connect_timeout(target.timeout)
        .timeout(target.timeout);
    let Some(tls) = &target.tls else { return Ok(endpoint) };
    let mut config = ClientTlsConfig::new();
    config = match &tls.ca {
        Some(pem) => config.ca_certificate(Certificate::from_pem(pem)),
        None => config.with_native_roots(),
    };
    if let Some(name) = &tls.server_name {
        config = config.domain_name(name);
    }
    if let Some((certificate, key)) = &tls.identity {
        config = config.identity(Identity::from_pem(certificate, key));
    }
    endpoint
        .tls_config(config)
        .map_err(|error| ConnectError::Unreachable { address: target.address.clone(), cause: causes(&error) })
}

/// An error and what caused it, in one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        source = error.source();
    }
    text
}
