//! The HTTP server for operators and their machines: metrics and probes, and the pages that a service adds.
//!
//! It has no authentication: docs/configuration.md says where to let it listen. Pages are made on tokio's blocking
//! threads, because a scrape of thousands of series takes milliseconds.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

mod answers;
mod connections;

use connections::Limits;

/// Content type of the metrics (OpenMetrics 1.0 §4).
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The server did not start.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the text of a variant says what its fields are")]
pub enum AdminError {
    /// Another program has the port.
    #[error(
        "cannot serve on {address} (admin.listen): the port is in use by another program; `ss -tlnp` shows which one, \
         --set admin.listen=ADDRESS:PORT takes another"
    )]
    InUse { address: SocketAddr },
    /// The system does not give the address.
    #[error("cannot serve on {address} (admin.listen): {source}")]
    Other { address: SocketAddr, source: io::Error },
}

/// The state of a service, for probes and scrapes. Its methods are called on threads that may block.
pub trait Vitals: Clone + Send + Sync + 'static {
    /// Whether the process should live on: an error asks the supervisor for a restart.
    ///
    /// # Errors
    /// What is broken until the next restart.
    fn health(&self) -> Result<(), String>;

    /// Whether the process should get work now.
    ///
    /// # Errors
    /// What it waits for.
    fn readiness(&self) -> Result<(), String>;

    /// All metrics in the text form of OpenMetrics.
    fn metrics(&self) -> String;
}

/// Takes the port.
///
/// # Errors
/// [`AdminError`] with what to do about it.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, AdminError> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => AdminError::InUse { address },
        _ => AdminError::Other { address, source },
    })
}

/// Serves /metrics, /healthz, /readyz and `pages` until the task is dropped. `names` lists all pages, for whoever asks
/// for another one.
pub async fn serve<S: Vitals>(listener: TcpListener, status: S, pages: Router, names: &'static str) {
    let not_found =
        move || async move { (StatusCode::NOT_FOUND, format!("there is no such page; there are: {names}\n")) };
    let router = Router::new()
        .route("/metrics", get(metrics::<S>))
        .route("/healthz", get(health::<S>))
        .route("/readyz", get(readiness::<S>))
        .with_state(status)
        .merge(pages)
        .fallback(not_found);
    connections::serve(listener, router, Limits::default()).await;
}

/// Pages that are made at a time: each takes memory and a core until it is there. Probes do not wait for them.
static MAKING: Semaphore = Semaphore::const_new(2);

/// Makes a page on a thread that may block.
///
/// # Errors
/// 500 where making it panicked.
pub async fn page<T: Send + 'static>(make: impl FnOnce() -> T + Send + 'static) -> Result<T, StatusCode> {
    let _turn = MAKING.acquire().await;
    blocking(make).await
}

async fn blocking<T: Send + 'static>(make: impl FnOnce() -> T + Send + 'static) -> Result<T, StatusCode> {
    tokio::task::spawn_blocking(make).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

async fn metrics<S: Vitals>(State(status): State<S>) -> Response {
    let text = page(move || status.metrics()).await;
    text.map(|text| ([(header::CONTENT_TYPE, OPENMETRICS)], text)).into_response()
}

async fn health<S: Vitals>(State(status): State<S>) -> Response {
    probe(blocking(move || status.health()).await)
}

async fn readiness<S: Vitals>(State(status): State<S>) -> Response {
    probe(blocking(move || status.readiness()).await)
}

/// 503 with the reason, where there is one.
fn probe(result: Result<Result<(), String>, StatusCode>) -> Response {
    match result {
        Ok(Ok(())) => "ok\n".into_response(),
        Ok(Err(reason)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
        Err(status) => status.into_response(),
    }
}
