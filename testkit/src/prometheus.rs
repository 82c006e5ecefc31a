//! A server that answers instant queries as Prometheus and Thanos do: `/api/v1/query` with one selector by name.
//!
//! It knows the selectors `ifName` and `{__name__=~"a|b"}`, which is what a user would write for series of interfaces, and
//! answers everything else with the error that Prometheus has for it. It has no time: a series has one value.
//! Source: <https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries>.

use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::http::{self, Request};

/// A series and its value.
#[derive(Debug, Clone)]
pub struct Series {
    /// Name of the metric.
    pub name: String,
    /// Values by their names.
    pub labels: BTreeMap<String, String>,
    /// The value as Prometheus writes it.
    pub value: String,
}

impl Series {
    /// A series with one value.
    pub fn new(name: &str, labels: &[(&str, &str)], value: &str) -> Self {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { name: name.to_owned(), labels, value: value.to_owned() }
    }
}

/// What the server knows, changed by tests while it runs.
#[derive(Debug, Clone, Default)]
pub struct Store {
    /// All series.
    pub series: Vec<Series>,
    /// The token that a request has to carry, if any.
    pub token: Option<String>,
    /// Answers with 503, as Thanos does when its stores are away.
    pub ill: bool,
}

/// The server, gone with the process.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    store: Arc<Mutex<Store>>,
}

impl Server {
    /// Starts on a free port of loopback.
    ///
    /// # Panics
    /// When there is none.
    pub fn start(store: Store) -> Self {
        let store = Arc::new(Mutex::new(store));
        let shared = Arc::clone(&store);
        Self { address: http::serve(move |stream| serve(stream, &shared)), store }
    }

    /// For `enricher.interfaces.prometheus.url`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it knows, to be changed.
    pub fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers one request.
fn serve(mut stream: TcpStream, store: &Mutex<Store>) -> Option<()> {
    let request = Request::read(&mut BufReader::new(stream.try_clone().ok()?))?;
    let store = store.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let allowed = store.token.as_ref().is_none_or(|token| request.authorization == format!("Bearer {token}"));
    let (status, body) = match request.target.as_str() {
        _ if !allowed => (401, json!({"status": "error", "errorType": "unauthorized", "error": "no or a wrong token"})),
        _ if store.ill => (503, json!({"status": "error", "errorType": "unavailable", "error": "no store matched"})),
        target => answer(&store, target),
    };
    let body = body.to_string();
    write!(
        stream,
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .ok()
}

fn answer(store: &Store, target: &str) -> (u16, Value) {
    let bad = |text: String| (400, json!({"status": "error", "errorType": "bad_data", "error": text}));
    let Some(query) = target.strip_prefix("/api/v1/query?query=") else {
        return (404, json!({"status": "error", "errorType": "not_found", "error": target}));
    };
    let Some(names) = names(&unescaped(query)) else {
        return bad(format!("invalid parameter \"query\": 1:1: parse error in {query}"));
    };
    let result: Vec<Value> = store.series.iter().filter(|series| names.contains(&series.name)).map(sample).collect();
    // Newer servers add warnings and infos, which a client may leave alone.
    (200, json!({"status": "success", "data": {"resultType": "vector", "result": result}, "warnings": [], "infos": []}))
}

fn sample(series: &Series) -> Value {
    let mut metric = series.labels.clone();
    metric.insert("__name__".into(), series.name.clone());
    json!({"metric": metric, "value": [1_767_225_600.25, series.value]})
}

/// The names that a selector takes.
fn names(selector: &str) -> Option<Vec<String>> {
    let is_name = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_name(selector) {
        return Some(vec![selector.to_owned()]);
    }
    let pattern = selector.strip_prefix("{__name__=~\"")?.strip_suffix("\"}")?;
    let names: Vec<String> = pattern.split('|').map(str::to_owned).collect();
    names.iter().all(|name| is_name(name)).then_some(names)
}

/// A parameter's value without `%XX`.
fn unescaped(text: &str) -> String {
    let mut parts = text.split('%');
    let mut octets = parts.next().unwrap_or("").as_bytes().to_vec();
    for part in parts {
        match part.split_at_checked(2).and_then(|(hex, rest)| Some((u8::from_str_radix(hex, 16).ok()?, rest))) {
            Some((octet, rest)) => {
                octets.push(octet);
                octets.extend(rest.bytes());
            }
            None => octets.extend(format!("%{part}").bytes()),
        }
    }
    String::from_utf8_lossy(&octets).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_by_name_are_understood_and_others_are_refused() {
        assert_eq!(names("ifName").unwrap(), ["ifName"]);
        assert_eq!(names("{__name__=~\"a|b\"}").unwrap(), ["a", "b"]);
        for selector in ["{__name__=~\"a", "{__name__=~\"a.*\"}", "rate(a[5m])", ""] {
            assert_eq!(names(selector), None, "{selector}");
        }
        assert_eq!(unescaped("%7B__name__%3D~%22a%7Cb%22%7D"), "{__name__=~\"a|b\"}");
    }
}
