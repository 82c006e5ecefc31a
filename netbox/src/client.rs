//! Requests to NetBox: token, TLS, time-outs, retries, and a bound on bytes and on requests at a time.
//!
//! Only the configured address is ever asked: redirects are reported, not followed, and links in answers are read for
//! their position alone ([`crate::pages`]). A token therefore never leaves for another host.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, AUTHORIZATION, DATE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};
use hyper::{Request, Response};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::sync::Semaphore;

use crate::config::{NetBoxConfig, TOKEN_VARIABLE};
use crate::error::NetBoxError;

/// An answer of 1000 objects has 1 to 3 MB; ten times the page and config contexts would still fit.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A request is given up after as many attempts; the refresh as a whole is repeated later.
const ATTEMPTS: u32 = 5;

/// Before the second attempt; doubles with every further one.
const RETRY_INITIAL: Duration = Duration::from_millis(250);

/// NetBox may ask for a longer wait than a refresh is worth waiting for.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// Tokens of version 2 begin with it (NetBox 4.5 and later).
const TOKEN_V2_PREFIX: &str = "nbt_";

/// How much of an error's text is shown.
const DETAIL_CHARS: usize = 200;

/// What the requests cost.
#[derive(Debug, Default)]
pub struct Counters {
    pub requests: AtomicU64,
    pub retries: AtomicU64,
    pub bytes: AtomicU64,
}

/// A successful answer.
#[derive(Debug)]
pub struct Answer {
    pub body: Vec<u8>,
    pub headers: HeaderMap,
}

impl Answer {
    /// NetBox's clock, or this machine's if the answer does not tell.
    pub fn time(&self) -> SystemTime {
        let date = self.headers.get(DATE).and_then(|date| date.to_str().ok());
        date.and_then(|date| httpdate::parse_http_date(date).ok()).unwrap_or_else(SystemTime::now)
    }
}

/// Asks NetBox.
#[derive(Debug)]
pub struct Client {
    http: HttpClient<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    /// Without a slash at the end.
    url: String,
    authorization: Option<HeaderValue>,
    timeout: Duration,
    permits: Semaphore,
    counters: Arc<Counters>,
}

impl Client {
    /// A client by configuration; token and certificates are read now.
    ///
    /// # Errors
    /// When a file that the configuration names cannot be used.
    pub fn new(config: &NetBoxConfig, counters: Arc<Counters>) -> Result<Self, NetBoxError> {
        let url = base(config.url.as_deref().unwrap_or_default()).to_owned();
        Ok(Self {
            http: HttpClient::builder(TokioExecutor::new()).build(connector(config, &url)?),
            authorization: authorization(config)?,
            timeout: config.timeout(),
            permits: Semaphore::new(config.concurrency),
            counters,
            url,
        })
    }

    /// Asks for `/api/PATH/?QUERY` until it succeeds, a few times.
    ///
    /// # Errors
    /// What the last attempt failed by.
    pub async fn get(&self, path: &str, query: &str) -> Result<Answer, NetBoxError> {
        let mut wait = RETRY_INITIAL;
        for attempt in 1.. {
            let (error, retry_after) = match self.attempt(path, query).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if attempt == ATTEMPTS || !error.is_transient() {
                return Err(error);
            }
            tracing::debug!(%error, attempt, "asking NetBox again");
            self.counters.retries.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(retry_after.unwrap_or(wait).min(RETRY_MAX)).await;
            wait *= 2;
        }
        unreachable!("the last attempt returns")
    }

    async fn attempt(&self, path: &str, query: &str) -> Result<Answer, (NetBoxError, Option<Duration>)> {
        // Held for one attempt, not while waiting for the next one.
        let _permit = self.permits.acquire().await.expect("the semaphore is never closed");
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        let timed_out = || NetBoxError::TimedOut { path: path.to_owned(), after: self.timeout };
        match tokio::time::timeout(self.timeout, self.exchange(path, query)).await {
            Ok(result) => result,
            Err(_) => Err((timed_out(), None)),
        }
    }

    async fn exchange(&self, path: &str, query: &str) -> Result<Answer, (NetBoxError, Option<Duration>)> {
        let mut request = Request::get(format!("{}/api/{path}/?{query}", self.url)).header(ACCEPT, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let unreachable =
            |error: &dyn Error| (NetBoxError::Unreachable { url: self.url.clone(), cause: causes(error) }, None);
        let request = request.body(Empty::new()).map_err(|error| unreachable(&error))?;
        let response = self.http.request(request).await.map_err(|error| unreachable(&error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = self.collect(path, response).await.map_err(|error| (error, None))?;
        if status.is_success() {
            return Ok(Answer { body, headers });
        }
        let (status, path, detail) = (status.as_u16(), path.to_owned(), detail(&headers, &body));
        let error = match status {
            401 | 403 => NetBoxError::Token { status, path, detail },
            _ => NetBoxError::Status { status, path, detail },
        };
        Err((error, retry_after(&headers, SystemTime::now())))
    }

    async fn collect(&self, path: &str, response: Response<Incoming>) -> Result<Vec<u8>, NetBoxError> {
        let mut incoming = response.into_body();
        let mut body = Vec::new();
        while let Some(frame) = incoming.frame().await {
            let frame =
                frame.map_err(|error| NetBoxError::BrokeOff { path: path.to_owned(), cause: causes(&error) })?;
            let Ok(data) = frame.into_data() else { continue };
            if body.len() + data.len() > ANSWER_BYTES_MAX {
                return Err(NetBoxError::TooLarge { path: path.to_owned(), limit: ANSWER_BYTES_MAX });
            }
            self.counters.bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
            body.extend_from_slice(&data);
        }
        Ok(body)
    }
}

/// The address of NetBox, also of one that is written as that of its API.
fn base(url: &str) -> &str {
    let url = url.trim_end_matches('/');
    url.strip_suffix("/api").unwrap_or(url).trim_end_matches('/')
}

fn connector(config: &NetBoxConfig, url: &str) -> Result<HttpsConnector<HttpConnector>, NetBoxError> {
    let mut http = HttpConnector::new();
    http.set_nodelay(true);
    http.enforce_http(false);
    http.set_connect_timeout(Some(config.timeout()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has the default TLS versions");
    let tls = match &config.ca_file {
        Some(path) => tls.with_root_certificates(authorities(path)?).with_no_client_auth(),
        // Only an address that needs them has to find the system's certificates.
        None if url.starts_with("https") => {
            tls.with_native_roots().map_err(NetBoxError::SystemCertificates)?.with_no_client_auth()
        }
        None => tls.with_root_certificates(RootCertStore::empty()).with_no_client_auth(),
    };
    Ok(HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(http))
}

fn authorities(path: &Path) -> Result<RootCertStore, NetBoxError> {
    let pem = read("ca_file", path)?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok));
    if roots.is_empty() { Err(NetBoxError::NoCertificate { path: path.to_owned() }) } else { Ok(roots) }
}

fn authorization(config: &NetBoxConfig) -> Result<Option<HeaderValue>, NetBoxError> {
    let token = match &config.token_file {
        Some(path) => read("token_file", path)?,
        None => std::env::var(TOKEN_VARIABLE).unwrap_or_default(),
    };
    header(token.trim()).transpose()
}

fn header(token: &str) -> Option<Result<HeaderValue, NetBoxError>> {
    if token.is_empty() {
        return None;
    }
    let scheme = if token.starts_with(TOKEN_V2_PREFIX) { "Bearer" } else { "Token" };
    let value = HeaderValue::from_str(&format!("{scheme} {token}")).map_err(|_| NetBoxError::TokenText);
    Some(value.map(|mut value| {
        value.set_sensitive(true);
        value
    }))
}

fn read(key: &'static str, path: &Path) -> Result<String, NetBoxError> {
    fs::read_to_string(path).map_err(|source| NetBoxError::Unreadable { key, path: path.to_owned(), source })
}

/// Seconds, or a date (RFC 9110 section 10.2.3).
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => Some(httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default()),
    }
}

/// What an error's answer says, in one line.
fn detail(headers: &HeaderMap, body: &[u8]) -> String {
    if let Some(target) = headers.get(LOCATION).and_then(|target| target.to_str().ok()) {
        return format!("it redirects to {target}: put the address that answers into netbox.url");
    }
    #[derive(serde::Deserialize)]
    struct Detail {
        detail: String,
    }
    let text = match serde_json::from_slice(body) {
        Ok(Detail { detail }) => detail,
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(DETAIL_CHARS).collect()
}

/// An error with what lies beneath it: hyper's own texts name only the layer.
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
mod tests {
    use super::*;

    #[test]
    fn the_token_says_by_its_beginning_how_it_is_sent() {
        let sent = |token: &str| header(token).map(|value| value.unwrap().to_str().unwrap().to_owned());
        assert_eq!(sent("0123456789abcdef").unwrap(), "Token 0123456789abcdef");
        assert_eq!(sent("nbt_key.secret").unwrap(), "Bearer nbt_key.secret");
        assert_eq!(sent(""), None);
        assert!(matches!(header("a\nb"), Some(Err(NetBoxError::TokenText))));
    }

    #[test]
    fn the_address_may_be_that_of_the_api() {
        for url in ["http://netbox", "http://netbox/", "http://netbox/api", "http://netbox/api/"] {
            assert_eq!(base(url), "http://netbox", "{url}");
        }
        assert_eq!(base("https://ipam.example.net/netbox/api/"), "https://ipam.example.net/netbox");
        assert_eq!(base("https://netbox-api"), "https://netbox-api");
    }

    #[test]
    fn a_wait_is_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let wait = |text: &str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(text).unwrap())]);
            retry_after(&headers, now)
        };
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:40 GMT"), Some(Duration::from_secs(3)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("soon"), None);
    }

    #[test]
    fn an_errors_answer_is_shown_in_one_short_line() {
        let none = HeaderMap::new();
        assert_eq!(detail(&none, br#"{"detail": "Invalid token"}"#), "Invalid token");
        assert_eq!(detail(&none, b"<h1>\n  Bad\tGateway</h1>"), "<h1> Bad Gateway</h1>");
        assert_eq!(detail(&none, &[b'x'; 5000]).len(), DETAIL_CHARS);
        let moved = HeaderMap::from_iter([(LOCATION, HeaderValue::from_static("https://netbox/"))]);
        assert!(detail(&moved, b"").contains("https://netbox/"));
    }
}
