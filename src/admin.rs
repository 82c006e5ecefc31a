//! The admin port of `helios`: a status page and a JSON interface beside the pages that every service has.
//!
//! It changes nothing. The one action that it offers is a refresh from NetBox.

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use helios_service::admin::{self, Vitals};
use serde::Serialize;
use tokio::net::TcpListener;

use crate::metrics;
use crate::pipeline::View;

mod api;

use api::exporters::{Exporters, Question};

/// The page at `/`: one file that loads nothing from other servers.
const STATUS_PAGE: &str = include_str!("admin/status.html");

/// What the browser lets the page do.
const STATUS_PAGE_POLICY: &str =
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; connect-src 'self'";

/// The pages that the answer to a wrong address lists.
const PAGES: &str = "/ /metrics /healthz /readyz /api/v1/pipeline /api/v1/exporters, and POST /api/v1/netbox/hint";

/// Serves until the task is dropped.
pub async fn serve(listener: TcpListener, view: View) {
    let server = Server { view };
    let pages = Router::new()
        .route("/", get(|| async { ([(header::CONTENT_SECURITY_POLICY, STATUS_PAGE_POLICY)], Html(STATUS_PAGE)) }))
        .route("/api/v1/pipeline", get(pipeline))
        .route("/api/v1/exporters", get(exporters))
        .route("/api/v1/netbox/hint", post(netbox_hint))
        .with_state(server.clone());
    admin::serve(listener, server, pages, PAGES).await;
}

#[derive(Debug, Clone)]
struct Server {
    view: View,
}

impl Vitals for Server {
    fn health(&self) -> Result<(), String> {
        self.view.health()
    }

    fn readiness(&self) -> Result<(), String> {
        self.view.readiness()
    }

    fn metrics(&self) -> String {
        metrics::text(&self.view)
    }
}

/// A webhook of NetBox. Its content is not read: it triggers a refresh from NetBox. A client that reaches the port can cause
/// one refresh at a time. `full=1` reads everything, also objects that NetBox does not report as changed.
async fn netbox_hint(State(server): State<Server>, RawQuery(query): RawQuery) -> Response {
    let full = query.unwrap_or_default().split('&').any(|pair| pair == "full=1");
    match server.view.hint_netbox(full) {
        true => (StatusCode::ACCEPTED, "NetBox is read soon\n").into_response(),
        false => (StatusCode::NOT_FOUND, "names do not come from NetBox (netbox.url)\n").into_response(),
    }
}

async fn pipeline(State(server): State<Server>) -> Response {
    json(admin::page(move || api::Pipeline::new(&server.view)).await)
}

async fn exporters(State(server): State<Server>, RawQuery(query): RawQuery) -> Response {
    match Question::parse(&query.unwrap_or_default()) {
        Ok(question) => json(admin::page(move || Exporters::new(&server.view, &question)).await),
        Err(problem) => (StatusCode::BAD_REQUEST, format!("{problem}\n")).into_response(),
    }
}

fn json<T: Serialize>(page: Result<T, StatusCode>) -> Response {
    page.map(axum::Json).into_response()
}
