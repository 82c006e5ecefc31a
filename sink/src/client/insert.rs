//! One insert, and what counts as its acknowledgement.
//!
//! A block's file is removed when its insert is acknowledged, so only ClickHouse itself may acknowledge it. It answers
//! an insert with status 200, an empty body, and the headers `X-ClickHouse-Query-Id` and `X-ClickHouse-Summary`.
//! Everything else is a failure: a page of a proxy, an empty 200 of a load balancer, an exception in the body of a 200
//! (ClickHouse sends one when it had to send the status before the insert failed), however much of it arrives.
//!
//! The request is made with hyper, since the `clickhouse` crate shows neither the headers nor the body of an answer.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use clickhouse::error::Error;
use helios_web::tls;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::HeaderMap;
use hyper::{Request, Response, StatusCode};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::Instant;
use url::Url;

use super::{ConnectError, POOL_IDLE_TIMEOUT, password};
use crate::block::Block;
use crate::config::{Compression, SinkConfig};
use crate::error::begins_with_exception;
use crate::schema::rollup::LOG_COMMENT;

/// The code of the exception that is in the body, as a number.
const EXCEPTION_CODE: &str = "X-ClickHouse-Exception-Code";

/// Headers that every answer of ClickHouse to an insert has.
const OWN_HEADERS: [&str; 2] = ["X-ClickHouse-Query-Id", "X-ClickHouse-Summary"];

/// Octets of an answer that are read: an exception's text is a few kilobytes.
const ANSWER_MAX: usize = 64 << 10;

/// Characters of a foreign answer that the log shows.
const SHOWN_MAX: usize = 120;

/// Sends blocks to one server. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Inserts {
    http: HttpClient<HttpsConnector<HttpConnector>, Pieces>,
    url: Url,
    user: String,
    password: Option<String>,
}

impl Inserts {
    /// Reads the files that the configuration names. Does not connect yet.
    ///
    /// # Errors
    /// [`ConnectError`] when a file that the configuration names cannot be used, or `url` is none.
    pub fn to(config: &SinkConfig, url: &str) -> Result<Self, ConnectError> {
        let connector = tls::connector(url, config.ca_file.as_deref(), config.connect_timeout())?;
        let http = HttpClient::builder(TokioExecutor::new()).pool_idle_timeout(POOL_IDLE_TIMEOUT).build(connector);
        let url = Url::parse(url).map_err(|source| ConnectError::Url { url: url.to_owned(), source })?;
        Ok(Self { http, url, user: config.user.clone(), password: password(config)? })
    }

    /// Sends a block and its rollups and waits until ClickHouse has stored all of it. `timeout` bounds each wait: for the
    /// server to take more of the block, and for its answer once it has all of it.
    ///
    /// If an insert fails, the next attempt sends everything again: ClickHouse knows by the token what it has.
    ///
    /// # Errors
    /// [`Error::BadResponse`] with the answer if that is no acknowledgement, [`Error::TimedOut`], [`Error::Network`];
    /// [`Class`](crate::error::Class) says what to do about them.
    pub async fn insert(&self, block: &Block, timeout: Duration) -> Result<(), Error> {
        let own: &[_] = if block.rollups.is_empty() { &[] } else { &[ROLLED_UP] };
        self.insert_one(block, &block.statement, &block.pieces, own, timeout).await?;
        for rollup in &block.rollups {
            self.insert_one(block, &rollup.statement, std::slice::from_ref(&rollup.body), &[UNIQUE], timeout).await?;
        }
        Ok(())
    }

    /// One insert of a block, with settings of its own.
    async fn insert_one(
        &self,
        block: &Block,
        statement: &str,
        pieces: &[Bytes],
        own: &[(&str, &str)],
        timeout: Duration,
    ) -> Result<(), Error> {
        let progress = Arc::new(Mutex::new(Instant::now()));
        let request = self.request(block, statement, pieces, own, Arc::clone(&progress))?;
        let exchange = async {
            let response = self.http.request(request).await.map_err(|error| Error::Network(Box::new(error)))?;
            check(response).await
        };
        let mut exchange = std::pin::pin!(exchange);
        loop {
            let until = *progress.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) + timeout;
            match tokio::time::timeout_at(until, exchange.as_mut()).await {
                Ok(result) => return result,
                Err(_) if *progress.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) + timeout > until => {}
                Err(_) => return Err(Error::TimedOut),
            }
        }
    }

    fn request(
        &self,
        block: &Block,
        statement: &str,
        pieces: &[Bytes],
        own: &[(&str, &str)],
        progress: Arc<Mutex<Instant>>,
    ) -> Result<Request<Pieces>, Error> {
        let mut url = self.url.clone();
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("query", statement);
            for (name, value) in SETTINGS.iter().chain(own) {
                query.append_pair(name, value);
            }
            query.append_pair("insert_deduplication_token", &block.token);
            if block.compression != Compression::None {
                query.append_pair("decompress", "1");
            }
        }
        let mut request = Request::post(url.as_str()).header("X-ClickHouse-User", &self.user);
        if let Some(password) = &self.password {
            request = request.header("X-ClickHouse-Key", password);
        }
        let octets = pieces.iter().map(|piece| piece.len() as u64).sum();
        let body = Pieces { left: Vec::from(pieces).into_iter(), octets, progress };
        request.body(body).map_err(|error| Error::InvalidParams(Box::new(error)))
    }
}

/// What every insert is sent with.
const SETTINGS: [(&str, &str); 6] = [
    // One insert is one block: asynchronous inserts would gather rows that are gathered already.
    ("async_insert", "0"),
    // A repeated insert counts once, in the rollups as well.
    ("insert_deduplicate", "1"),
    ("deduplicate_blocks_in_dependent_materialized_views", "1"),
    // A column that the statement names and the stream lacks is an error, not a default.
    ("input_format_arrow_allow_missing_columns", "0"),
    // More threads make a single insert no cheaper, and inserts run side by side anyway.
    ("max_insert_threads", "1"),
    ("max_threads", "1"),
];

/// For flows whose rollups come beside them.
const ROLLED_UP: (&str, &str) = ("log_comment", LOG_COMMENT);

/// For rollups: a block has no two rows of one key, so ClickHouse need not look for them before it writes the part. This
/// makes such an insert a third as expensive.
const UNIQUE: (&str, &str) = ("optimize_on_insert", "0");

/// The pieces of a block as the body of a request. Its length is known, so it is sent with `Content-Length`.
#[derive(Debug)]
struct Pieces {
    left: std::vec::IntoIter<Bytes>,
    /// In the pieces that are left.
    octets: u64,
    /// When the connection took a piece last.
    progress: Arc<Mutex<Instant>>,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        *self.progress.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Instant::now();
        let piece = self.left.next();
        self.octets -= piece.as_ref().map_or(0, |piece| piece.len() as u64);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.len() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.octets)
    }
}

/// `Ok` for ClickHouse's acknowledgement only.
async fn check(response: Response<Incoming>) -> Result<(), Error> {
    let (parts, body) = response.into_parts();
    let body = read(body).await?;
    match refusal(parts.status, &parts.headers, &body) {
        None => Ok(()),
        Some(reason) => Err(Error::BadResponse(reason)),
    }
}

/// The whole body, or as much of it as says what it is.
async fn read(mut body: Incoming) -> Result<Vec<u8>, Error> {
    let mut read = Vec::new();
    while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|error| Error::Network(Box::new(error)))?;
        if let Ok(data) = frame.into_data() {
            read.extend_from_slice(&data);
        }
        if read.len() > ANSWER_MAX {
            read.truncate(ANSWER_MAX);
            break;
        }
    }
    Ok(read)
}

/// Why an answer is no acknowledgement; `None` if it is one.
fn refusal(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let code = headers.get(EXCEPTION_CODE).and_then(|code| code.to_str().ok());
    if let Some(code) = code {
        // The header is ClickHouse's word; the text may be cut.
        let text = text.trim();
        let complete = begins_with_exception(text) && text.contains(&format!("Code: {code}. "));
        return Some(if complete { text.to_owned() } else { format!("Code: {code}. DB::Exception: {text}") });
    }
    if let Some(exception) = exception(&text) {
        return Some(exception.to_owned());
    }
    let missing: Vec<&str> = OWN_HEADERS.into_iter().filter(|name| !headers.contains_key(*name)).collect();
    if status == StatusCode::OK && body.is_empty() && missing.is_empty() {
        return None;
    }
    let shown: String = text.trim().chars().take(SHOWN_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let body = if body.is_empty() { "an empty body".to_owned() } else { format!("the body `{shown}`") };
    let without = if missing.is_empty() { String::new() } else { format!(", without {}", missing.join(" and ")) };
    Some(format!("the answer is not ClickHouse's acknowledgement: status {}{without}, {body}", status.as_u16()))
}

/// The exception in the body of an answer: at its begin, or behind the mark of servers since 25.11. Text of somebody
/// else may hold the same words further inside, and says nothing about the block.
fn exception(text: &str) -> Option<&str> {
    let marked =
        text.trim_start().strip_prefix("__exception__").and_then(|rest| rest.find("Code: ").map(|at| &rest[at..]));
    [Some(text.trim_start()), marked].into_iter().flatten().find(|text| begins_with_exception(text)).map(str::trim_end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Class, code};

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    const OWN: [(&str, &str); 2] = [("X-ClickHouse-Query-Id", "1"), ("X-ClickHouse-Summary", "{}")];

    fn said(status: u16, list: &[(&'static str, &'static str)], body: &str) -> Option<String> {
        refusal(StatusCode::from_u16(status).unwrap(), &headers(list), body.as_bytes())
    }

    #[test]
    fn only_clickhouses_own_empty_answer_is_an_acknowledgement() {
        assert_eq!(said(200, &OWN, ""), None);
        let page = "<html>\u{1b}[2JService temporarily unavailable</html>";
        for (status, list, body) in [
            (200, &[][..], ""),
            (200, &OWN[..1], ""),
            (200, &OWN[1..], ""),
            (200, &OWN, "\n"),
            (200, &OWN, page),
            (204, &OWN, ""),
            (202, &OWN, ""),
            (206, &OWN, ""),
            (302, &OWN, ""),
            (502, &[], page),
        ] {
            let reason = said(status, list, body).unwrap_or_else(|| panic!("{status} {list:?} {body:?}"));
            assert!(reason.contains(&format!("status {status}")) && !reason.contains('\u{1b}'), "{reason}");
            assert_eq!(Class::of(&Error::BadResponse(reason)), Class::Transient);
        }
    }

    #[test]
    fn an_exception_counts_however_much_of_it_arrives() {
        const TEXT: &str =
            "Code: 691. DB::Exception: Unknown value for enum. (UNKNOWN_ELEMENT_OF_ENUM) (version 26.9)\n";
        let framed = format!(
            "\r\n__exception__\r\nrnywyenlaeqynhmu\r\n{TEXT}{} rnywyenlaeqynhmu\r\n__exception__\r\n",
            TEXT.len()
        );
        for body in [TEXT, &framed] {
            let begin = body.find("Code: 691. ").unwrap() + "Code: 691. DB::".len();
            for cut in 1..=body.len() {
                let reason = said(200, &OWN, &body[..cut]).unwrap_or_else(|| panic!("{cut} octets of {body:?}"));
                let class = Class::of(&Error::BadResponse(reason.clone()));
                // A code that is cut is another code: it counts once it is whole.
                assert_eq!(class, if cut >= begin { Class::Refused } else { Class::Transient }, "{cut}: {reason}");
            }
        }
    }

    #[test]
    fn the_code_in_the_header_counts_where_the_text_is_cut_and_a_page_that_quotes_one_is_none() {
        for body in ["", "Cod", "Code: 6", "Code: 60. DB::Exc", "Code: 60. DB::Exception: no table"] {
            let reason = said(404, &[("X-ClickHouse-Exception-Code", "60")], body).unwrap();
            assert_eq!(code(&Error::BadResponse(reason)), Some(60), "{body}");
        }
        let page = said(200, &OWN, "<p>Code: 691. DB::Exception: as somebody asked in a forum</p>").unwrap();
        assert_eq!(Class::of(&Error::BadResponse(page)), Class::Transient);
    }
}
