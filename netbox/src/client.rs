//! Requests to NetBox: token, TLS, time-outs, retries, and a bound on bytes and on requests at a time.
//!
//! Only the configured address is ever asked: redirects are reported, not followed, and links in answers are read for
//! their position alone ([`crate::pages`]). A token therefore never leaves for another host.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use helios_web::header::{DATE, HeaderMap, HeaderValue, LOCATION};
use helios_web::secret::{self, SecretError};
use helios_web::{Answer, Backoff, RequestError, Settings, retry_after};
use tokio::sync::{Semaphore, watch};

use crate::config::{NetBoxConfig, TOKEN_VARIABLE};
use crate::error::NetBoxError;

/// An answer of 1000 objects has 1 to 3 MB; ten times the page and config contexts would still fit.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Attempts of a request; after the last one, the refresh as a whole is repeated later.
const ATTEMPTS: u32 = 5;

/// Before the second attempt.
const RETRY_INITIAL: Duration = Duration::from_millis(250);

/// Longest wait that NetBox may ask for; after a longer one, the refresh fails and is repeated later.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// Tokens of version 2 begin with it (NetBox 4.5 and later).
const TOKEN_V2_PREFIX: &str = "nbt_";

/// How much of an error's text is shown.
const DETAIL_CHARS: usize = 200;

/// What the requests cost.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub requests: AtomicU64,
    pub retries: AtomicU64,
    pub bytes: AtomicU64,
    /// The last request that was not answered in time and is made again: its path and the time that it had.
    pub slow: watch::Sender<Option<(String, Duration)>>,
}

/// NetBox's clock, or this machine's if the answer does not tell.
pub(crate) fn time(answer: &Answer) -> SystemTime {
    let date = answer.headers.get(DATE).and_then(|date| date.to_str().ok());
    date.and_then(|date| httpdate::parse_http_date(date).ok()).unwrap_or_else(SystemTime::now)
}

/// Asks NetBox.
#[derive(Debug)]
pub(crate) struct Client {
    web: helios_web::Client,
    /// Without a slash at the end.
    url: String,
    authorization: Option<HeaderValue>,
    permits: Semaphore,
    counters: Arc<Counters>,
}

impl Client {
    /// A client by configuration; token and certificates are read now.
    ///
    /// # Errors
    /// When a file that the configuration names cannot be used.
    pub(crate) fn new(config: &NetBoxConfig, counters: Arc<Counters>) -> Result<Self, NetBoxError> {
        let url = base(config.url.as_deref().unwrap_or_default()).to_owned();
        let settings = Settings {
            url: &url,
            ca_file: config.ca_file.as_deref(),
            pem: helios_web::tls::Pem::default(),
            timeout: config.timeout(),
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        Ok(Self {
            web: helios_web::Client::new(&settings)?,
            authorization: authorization(config)?,
            permits: Semaphore::new(config.concurrency),
            counters,
            url,
        })
    }

    /// Asks for `/api/PATH/?QUERY` until it succeeds, a few times.
    ///
    /// # Errors
    /// The error of the last attempt.
    pub(crate) async fn get(&self, path: &str, query: &str) -> Result<Answer, NetBoxError> {
        let mut backoff = Backoff::new(RETRY_INITIAL, RETRY_MAX);
        for attempt in 1.. {
            let (error, retry_after) = match self.attempt(path, query).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if attempt == ATTEMPTS || !error.is_transient() {
                return Err(error);
            }
            tracing::debug!(%error, attempt, "asking NetBox again");
            if let NetBoxError::TimedOut { path, after } = &error {
                self.counters.slow.send_replace(Some((path.clone(), *after)));
            }
            self.counters.retries.fetch_add(1, Ordering::Relaxed);
            let pause = backoff.pause();
            tokio::time::sleep(retry_after.map_or(pause, |asked| asked.min(RETRY_MAX))).await;
        }
        unreachable!("the last attempt returns")
    }

    async fn attempt(&self, path: &str, query: &str) -> Result<Answer, (NetBoxError, Option<Duration>)> {
        // Held for one attempt, not while waiting for the next one.
        let _permit = self.permits.acquire().await.expect("the semaphore is never closed");
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        let url = format!("{}/api/{path}/?{query}", self.url);
        let request = helios_web::Request {
            url: &url,
            accept: "application/json",
            authorization: self.authorization.clone(),
            ..helios_web::Request::default()
        };
        let answer = self.web.get(&request).await.map_err(|error| (self.failure(path, error), None))?;
        self.counters.bytes.fetch_add(answer.body.len() as u64, Ordering::Relaxed);
        if answer.status.is_success() {
            return Ok(answer);
        }
        let detail = detail(&answer.headers, &answer.body);
        let (status, path) = (answer.status.as_u16(), path.to_owned());
        let error = match status {
            401 | 403 => NetBoxError::Token { status, path, detail },
            _ => NetBoxError::Status { status, path, detail },
        };
        Err((error, retry_after(&answer.headers, SystemTime::now())))
    }

    fn failure(&self, path: &str, error: RequestError) -> NetBoxError {
        let path = path.to_owned();
        match error {
            RequestError::TimedOut { after } => NetBoxError::TimedOut { path, after },
            RequestError::BrokeOff { cause } => NetBoxError::BrokeOff { path, cause },
            RequestError::TooLarge { limit } => NetBoxError::TooLarge { path, limit },
            RequestError::Unreachable { cause } => NetBoxError::Unreachable { url: self.url.clone(), cause },
            error @ (RequestError::Address(_) | RequestError::Redirects { .. }) => {
                NetBoxError::Unreachable { url: self.url.clone(), cause: error.to_string() }
            }
        }
    }
}

/// The address of NetBox, also of one that is written as that of its API.
fn base(url: &str) -> &str {
    let url = url.trim_end_matches('/');
    url.strip_suffix("/api").unwrap_or(url).trim_end_matches('/')
}

fn authorization(config: &NetBoxConfig) -> Result<Option<HeaderValue>, NetBoxError> {
    let token = match &config.token_file {
        Some(path) => secret::read("token_file", path)?,
        None => std::env::var(TOKEN_VARIABLE).unwrap_or_default(),
    };
    Ok(header(&token)?)
}

fn header(token: &str) -> Result<Option<HeaderValue>, SecretError> {
    let scheme = if token.trim_start().starts_with(TOKEN_V2_PREFIX) { "Bearer" } else { "Token" };
    secret::authorization(scheme, token)
}

/// What an error's answer says, in one line.
fn detail(headers: &HeaderMap, body: &[u8]) -> String {
    if let Some(target) = headers.get(LOCATION).and_then(|target| target.to_str().ok()) {
        let login = target.contains("login") || target.contains("auth");
        let todo = match login {
            true => "a proxy in front of NetBox asks for a login: let requests to /api/ pass with the token alone",
            false => "put the address that answers into netbox.url",
        };
        return format!("it redirects to {target}: {todo}");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_says_by_its_beginning_how_it_is_sent() {
        let sent = |token: &str| Some(header(token).unwrap()?.to_str().unwrap().to_owned());
        assert_eq!(sent("0123456789abcdef").unwrap(), "Token 0123456789abcdef");
        assert_eq!(sent("nbt_key.secret").unwrap(), "Bearer nbt_key.secret");
        assert_eq!(sent(""), None);
        assert!(matches!(header("a\nb"), Err(SecretError::Text)));
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
    fn an_errors_answer_is_shown_in_one_short_line() {
        let none = HeaderMap::new();
        assert_eq!(detail(&none, br#"{"detail": "Invalid token"}"#), "Invalid token");
        assert_eq!(detail(&none, b"<h1>\n  Bad\tGateway</h1>"), "<h1> Bad Gateway</h1>");
        assert_eq!(detail(&none, &[b'x'; 5000]).len(), DETAIL_CHARS);
        let moved = HeaderMap::from_iter([(LOCATION, HeaderValue::from_static("https://netbox/"))]);
        assert!(detail(&moved, b"").contains("https://netbox/"));
    }
}
