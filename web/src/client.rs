//! Requests: one answer for one address, within bounds.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
    LOCATION, RETRY_AFTER, USER_AGENT,
};
use hyper::{Method, Response, StatusCode, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::address;
use crate::tls::{self, Pem, TlsError};

/// Longest chain of redirects that is followed: a longer one is a circle.
const REDIRECTS_MAX: usize = 5;

/// What a client may do.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a> {
    /// An address that will be asked: only `https` needs certificate authorities.
    pub url: &'a str,
    /// PEM file with certificate authorities to trust in addition to the system's. It is read when the client is made.
    pub ca_file: Option<&'a Path>,
    /// Certificates as PEM text, for callers that have no file.
    pub pem: Pem<'a>,
    /// Time-out of a whole request: from the look-up of the name to the last octet, redirects included.
    pub timeout: Duration,
    /// Longest answer that is taken, in octets.
    pub answer_bytes_max: usize,
}

/// What to ask for.
#[derive(Debug, Clone, Default)]
pub struct Request<'a> {
    /// User information in it is sent as Basic authentication, unless `authorization` is set.
    pub url: &'a str,
    /// Media type of the answer; empty for any.
    pub accept: &'static str,
    /// Value of the header `Authorization`, see [`crate::secret::authorization`].
    pub authorization: Option<HeaderValue>,
    /// Validators of the answer that the caller has: the server answers 304 (Not Modified) if it would send the same again.
    pub validators: Option<&'a Validators>,
    /// Whether another address may answer. It gets the authorization only where scheme, host and port are the same.
    pub follow_redirects: bool,
}

/// A request that changes something.
#[derive(Debug, Clone)]
pub struct Content {
    /// PATCH, POST, PUT.
    pub method: Method,
    /// Media type of `body`.
    pub media_type: &'static str,
    /// The octets.
    pub body: Bytes,
}

/// What identifies a version of a resource (RFC 9110 §8.8).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Validators {
    etag: Option<HeaderValue>,
    last_modified: Option<HeaderValue>,
}

/// What a server answered, whatever its status.
#[derive(Debug)]
pub struct Answer {
    /// Any status, also of a failure.
    pub status: StatusCode,
    /// All headers.
    pub headers: HeaderMap,
    /// The octets as they came: nothing is decompressed.
    pub body: Vec<u8>,
}

impl Answer {
    /// Validators for the next request of the same resource.
    pub fn validators(&self) -> Validators {
        let header = |name| self.headers.get(name).cloned();
        Validators { etag: header(ETAG), last_modified: header(LAST_MODIFIED) }
    }

    /// Whether the resource is as the validators of the request say (304).
    pub fn is_unchanged(&self) -> bool {
        self.status == StatusCode::NOT_MODIFIED
    }
}

/// There is no whole answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the text of a variant says what its fields are")]
pub enum RequestError {
    /// The address, or the one that it redirects to, is no valid address.
    #[error("{0}")]
    Address(String),
    /// No connection, or none on which a request could be sent.
    #[error("no connection: {cause}")]
    Unreachable { cause: String },
    /// `after` is the time-out of the client.
    #[error("no whole answer within {after:?}")]
    TimedOut { after: Duration },
    /// The connection ended or failed within the answer.
    #[error("the answer broke off: {cause}")]
    BrokeOff { cause: String },
    /// `limit` is in octets.
    #[error("the answer has more than {limit} bytes")]
    TooLarge { limit: usize },
    /// The chain of redirects is too long.
    #[error("more than {REDIRECTS_MAX} redirects; the last one leads to {to}")]
    Redirects { to: String },
}

/// Asks servers. Connections are kept for the next request.
#[derive(Debug, Clone)]
pub struct Client {
    http: HttpClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
    timeout: Duration,
    answer_bytes_max: usize,
}

impl Client {
    /// Makes a client. It reads the certificate authorities now, once.
    ///
    /// # Errors
    /// [`TlsError`] when no certificate authority can be read.
    pub fn new(settings: &Settings<'_>) -> Result<Self, TlsError> {
        let connector = tls::connector_with(settings.url, settings.ca_file, settings.pem, settings.timeout)?;
        Ok(Self {
            http: HttpClient::builder(TokioExecutor::new()).build(connector),
            timeout: settings.timeout,
            answer_bytes_max: settings.answer_bytes_max,
        })
    }

    /// Asks once. Any status is an answer.
    ///
    /// # Errors
    /// [`RequestError`] when there is no whole answer.
    pub async fn get(&self, request: &Request<'_>) -> Result<Answer, RequestError> {
        let timed_out = RequestError::TimedOut { after: self.timeout };
        tokio::time::timeout(self.timeout, self.follow(request)).await.unwrap_or(Err(timed_out))
    }

    /// Sends once. Any status is an answer, and a redirect is not followed.
    ///
    /// # Errors
    /// [`RequestError`] when there is no whole answer; what was sent may have been done all the same.
    pub async fn send(&self, request: &Request<'_>, content: &Content) -> Result<Answer, RequestError> {
        let timed_out = RequestError::TimedOut { after: self.timeout };
        let uri = address::check(&address::without_user(request.url)).map_err(RequestError::Address)?;
        let authorization = request.authorization.clone().or_else(|| basic(request.url));
        let asked = self.ask(&uri, request, authorization.as_ref(), Some(content));
        tokio::time::timeout(self.timeout, asked).await.unwrap_or(Err(timed_out))
    }

    async fn follow(&self, request: &Request<'_>) -> Result<Answer, RequestError> {
        let mut uri = address::check(&address::without_user(request.url)).map_err(RequestError::Address)?;
        let mut authorization = request.authorization.clone().or_else(|| basic(request.url));
        for _ in 0..=REDIRECTS_MAX {
            let answer = self.ask(&uri, request, authorization.as_ref(), None).await?;
            let Some(next) = request.follow_redirects.then(|| redirect(&answer, &uri)).flatten() else {
                return Ok(answer);
            };
            let next = address::check(&next).map_err(RequestError::Address)?;
            if (next.scheme(), next.authority()) != (uri.scheme(), uri.authority()) {
                authorization = None;
            }
            uri = next;
        }
        Err(RequestError::Redirects { to: address::place(&uri.to_string()) })
    }

    async fn ask(
        &self,
        uri: &Uri,
        request: &Request<'_>,
        authorization: Option<&HeaderValue>,
        content: Option<&Content>,
    ) -> Result<Answer, RequestError> {
        let unreachable = |error: &dyn Error| RequestError::Unreachable { cause: causes(error) };
        let method = content.map_or(&Method::GET, |content| &content.method);
        let mut message = hyper::Request::builder()
            .method(method)
            .uri(uri)
            .header(USER_AGENT, concat!("helios/", env!("CARGO_PKG_VERSION")));
        if let Some(content) = content {
            message = message.header(CONTENT_TYPE, content.media_type);
        }
        if !request.accept.is_empty() {
            message = message.header(ACCEPT, request.accept);
        }
        let validators = request.validators;
        for (name, value) in [
            (AUTHORIZATION, authorization),
            (IF_NONE_MATCH, validators.and_then(|validators| validators.etag.as_ref())),
            (IF_MODIFIED_SINCE, validators.and_then(|validators| validators.last_modified.as_ref())),
        ] {
            if let Some(value) = value {
                message = message.header(name, value);
            }
        }
        let message = message
            .body(content.map(|content| Full::new(content.body.clone())).unwrap_or_default())
            .map_err(|error| unreachable(&error))?;
        let response = self.http.request(message).await.map_err(|error| unreachable(&error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Answer { status, headers, body: self.collect(response).await? })
    }

    async fn collect(&self, response: Response<Incoming>) -> Result<Vec<u8>, RequestError> {
        let mut incoming = response.into_body();
        let mut body = Vec::new();
        while let Some(frame) = incoming.frame().await {
            let frame = frame.map_err(|error| RequestError::BrokeOff { cause: causes(&error) })?;
            let Ok(data) = frame.into_data() else { continue };
            if body.len() + data.len() > self.answer_bytes_max {
                return Err(RequestError::TooLarge { limit: self.answer_bytes_max });
            }
            body.extend_from_slice(&data);
        }
        Ok(body)
    }
}

fn basic(url: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(address::credentials(url)?))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Where an answer says that the resource is (RFC 9110 §15.4): an address, or a path on the same server.
fn redirect(answer: &Answer, from: &Uri) -> Option<String> {
    if !matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let to = answer.headers.get(LOCATION)?.to_str().ok()?;
    if to.contains("://") {
        return Some(to.to_owned());
    }
    let server = format!("{}://{}", from.scheme()?, from.authority()?);
    let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
    Some(match to {
        to if to.starts_with("//") => format!("{}:{to}", from.scheme()?),
        to if to.starts_with('/') => format!("{server}{to}"),
        to => format!("{server}{folder}/{to}"),
    })
}

/// How long the server asks the client to wait: seconds, or a date (RFC 9110 §10.2.3).
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => Some(httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default()),
    }
}

/// An error with its causes: hyper's own texts name only the layer.
fn causes(error: &dyn Error) -> String {
    let mut texts = vec![error.to_string()];
    let mut source = error.source();
    while let Some(error) = source {
        texts.push(error.to_string());
        source = error.source();
    }
    texts.dedup();
    texts.join(": ")
}

#[cfg(test)]
mod tests;
