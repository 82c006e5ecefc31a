//! The HTTP server for operators and their machines: metrics, probes, a JSON interface, a status page.
//!
//! It shows and changes nothing; all that can be asked for is that NetBox be read now. It has no authentication:
//! docs/configuration.md says where to let it listen. Pages are made from [`View`] snapshots on tokio's blocking threads,
//! since thousands of exporters take milliseconds.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;
use tokio::net::TcpListener;

use crate::metrics;
use crate::pipeline::View;

mod api;

/// The page at `/`: one file without anything from elsewhere.
const STATUS_PAGE: &str = include_str!("admin/status.html");

/// For whoever asks for another one.
const PAGES: &str = "there is no such page; there are: / /metrics /healthz /readyz /api/v1/pipeline /api/v1/exporters, and \
    POST /api/v1/netbox/hint\n";

/// The server did not start.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error(
        "cannot serve on {address} (admin.listen): the port is in use by another program; `ss -tlnp` shows which one, \
         --set admin.listen=ADDRESS:PORT takes another"
    )]
    InUse { address: SocketAddr },
    #[error("cannot serve on {address} (admin.listen): {source}")]
    Other { address: SocketAddr, source: io::Error },
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

/// Serves until the task is dropped.
pub async fn serve(listener: TcpListener, view: View, max_exporters: usize) {
    let router = Router::new()
        .route("/", get(|| async { Html(STATUS_PAGE) }))
        .route("/metrics", get(metrics_page))
        .route("/healthz", get(health))
        .route("/readyz", get(readiness))
        .route("/api/v1/pipeline", get(pipeline))
        .route("/api/v1/exporters", get(exporters))
        .route("/api/v1/netbox/hint", post(netbox_hint))
        .fallback(|| async { (StatusCode::NOT_FOUND, PAGES) })
        .with_state(Server { view, max_exporters });
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "the admin server ended");
    }
}

#[derive(Clone)]
struct Server {
    view: View,
    max_exporters: usize,
}

impl Server {
    /// Makes a page where it may take its time.
    async fn page<T: Send + 'static>(self, make: impl FnOnce(&Self) -> T + Send + 'static) -> Result<T, StatusCode> {
        tokio::task::spawn_blocking(move || make(&self)).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
    }
}

async fn metrics_page(State(server): State<Server>) -> Response {
    let text = server.page(|server| metrics::text(&server.view, server.max_exporters)).await;
    text.map(|text| ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text)).into_response()
}

/// Whether the process should live on: 503 asks the supervisor for a restart.
async fn health(State(server): State<Server>) -> Response {
    probe(server.page(|server| server.view.snapshot().health).await)
}

/// Whether flows should be sent here: 503 while it starts, while it stops and while the schema is not in place.
async fn readiness(State(server): State<Server>) -> Response {
    probe(server.page(|server| server.view.snapshot().readiness).await)
}

fn probe(result: Result<Result<(), String>, StatusCode>) -> Response {
    match result {
        Ok(Ok(())) => "ok\n".into_response(),
        Ok(Err(reason)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
        Err(status) => status.into_response(),
    }
}

/// A webhook of NetBox: what it says is not read, NetBox itself is. Whoever can reach the port can cause a refresh, and
/// no more than one at a time.
async fn netbox_hint(State(server): State<Server>) -> Response {
    match server.view.hint_netbox() {
        true => (StatusCode::ACCEPTED, "NetBox is read soon\n").into_response(),
        false => (StatusCode::NOT_FOUND, "names do not come from NetBox (netbox.url)\n").into_response(),
    }
}

async fn pipeline(State(server): State<Server>) -> Response {
    json(server.page(|server| api::Pipeline::new(&server.view)).await)
}

async fn exporters(State(server): State<Server>) -> Response {
    json(server.page(|server| api::exporters(&server.view)).await)
}

fn json<T: Serialize>(page: Result<T, StatusCode>) -> Response {
    page.map(axum::Json).into_response()
}
