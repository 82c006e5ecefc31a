//! What `tools/lab` asks: the state of the network, faults on and off; and the way of probes to blackbox_exporter.
//!
//! Every address of 127.0.0.0/8 answers an echo request, that of an unreachable device as well. So Prometheus asks
//! blackbox_exporter through here: the target of a probe of such a device becomes an address that nobody has (RFC 5737, RFC 3849), and
//! the exporter finds out by itself that it does not answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Json, RawQuery, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use helios_web::{Client, Request, Settings};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::fault::Switch;
use crate::network::{Network, State};

/// Addresses that no host has, of both families.
const NOWHERE: [&str; 2] = ["192.0.2.254", "[2001:db8::254]"];

/// For one probe, whose own time-out is 5 s.
const TIMEOUT: Duration = Duration::from_secs(15);

const ANSWER_BYTES_MAX: usize = 1 << 20;

#[derive(Clone)]
struct Control {
    network: Arc<Network>,
    /// Address of blackbox_exporter.
    blackbox: Option<String>,
}

/// Serves until the process ends.
///
/// # Errors
/// When the listener fails.
pub(crate) async fn serve(
    listener: TcpListener,
    network: Arc<Network>,
    blackbox: Option<String>,
) -> std::io::Result<()> {
    let pages = Router::new()
        .route("/api/network", get(network_page))
        .route("/api/faults", post(switch))
        .route("/probe", get(probe))
        .with_state(Control { network, blackbox });
    axum::serve(listener, pages).await
}

async fn network_page(Shared(control): Shared<Control>) -> Json<Value> {
    Json(page(&control.network.lock()))
}

/// The state as JSON.
fn page(state: &State) -> Value {
    let devices = state.description.devices.iter().zip(&state.devices).map(|(described, running)| {
        let interfaces = described.interfaces.iter().zip(&running.interfaces).map(|(interface, now)| {
            let far = now.far.map(|(device, at)| {
                let device = &state.description.devices[device];
                format!("{} {}", device.name, device.interfaces[at].name)
            });
            json!({
                "name": interface.name, "up": now.up, "to": far, "description": interface.description,
                "in_octets": now.counters.in_octets, "out_octets": now.counters.out_octets,
                "in_errors": now.counters.in_errors,
            })
        });
        let sessions = running.sessions.iter().map(|session| {
            json!({"peer": session.peer, "state": session.state.openconfig(), "transitions": session.transitions})
        });
        json!({
            "name": described.name, "site": described.site, "role": described.role, "platform": described.platform,
            "address": described.address.to_string(), "interfaces": interfaces.collect::<Vec<_>>(),
            "sessions": sessions.collect::<Vec<_>>(),
        })
    });
    json!({"devices": devices.collect::<Vec<_>>(), "faults": state.faults.list(state)})
}

async fn switch(Shared(control): Shared<Control>, Json(switch): Json<Switch>) -> Response {
    match control.network.change(|state| switch.apply(state)) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(problem) => (StatusCode::BAD_REQUEST, problem).into_response(),
    }
}

async fn probe(Shared(control): Shared<Control>, RawQuery(query): RawQuery) -> Response {
    let Some(blackbox) = &control.blackbox else {
        return (StatusCode::NOT_FOUND, "start with --blackbox").into_response();
    };
    let query = redirected(&query.unwrap_or_default(), &control.network.lock());
    let url = format!("{blackbox}/probe?{query}");
    let settings = Settings {
        url: &url,
        ca_file: None,
        pem: helios_web::tls::Pem::default(),
        timeout: TIMEOUT,
        answer_bytes_max: ANSWER_BYTES_MAX,
    };
    let Ok(client) = Client::new(&settings) else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    match client.get(&Request { url: &url, ..Request::default() }).await {
        Ok(answer) => (answer.status, answer.body).into_response(),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

/// The query with another target where the device is unreachable.
fn redirected(query: &str, state: &State) -> String {
    let pair = |pair: &str| match pair.strip_prefix("target=").and_then(|target| elsewhere(&decoded(target), state)) {
        Some(target) => format!("target={target}"),
        None => pair.to_owned(),
    };
    query.split('&').map(pair).collect::<Vec<_>>().join("&")
}

/// The target to probe in place of that of an unreachable device. A target is an address, or an address and a port.
fn elsewhere(target: &str, state: &State) -> Option<String> {
    let (address, port) = match target.parse::<SocketAddr>() {
        Ok(socket) => (socket.ip(), Some(socket.port())),
        Err(_) => (target.trim_matches(['[', ']']).parse().ok()?, None),
    };
    let unreachable = state.faults.unreachable.iter();
    unreachable.into_iter().find(|device| state.description.devices[**device].address == address)?;
    let nowhere = NOWHERE[usize::from(address.is_ipv6())];
    Some(port.map_or_else(|| nowhere.trim_matches(['[', ']']).to_owned(), |port| format!("{nowhere}:{port}")))
}

/// A value of a query; Prometheus writes colons and brackets as `%3A`, `%5B` and `%5D`.
fn decoded(value: &str) -> String {
    value.replace("%3A", ":").replace("%5B", "[").replace("%5D", "]")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::description::Description;

    #[test]
    fn only_probes_of_an_unreachable_device_go_nowhere() {
        let mut state = State::new(Description::generated(4, 20), 0);
        let (name, address) = (state.description.devices[1].name.clone(), state.description.devices[1].address);
        let query = format!("module=icmp4&target={address}");
        assert_eq!(redirected(&query, &state), query);
        let text = json!({"fault": "unreachable", "device": name});
        serde_json::from_value::<Switch>(text).unwrap().apply(&mut state).unwrap();
        assert_eq!(redirected(&query, &state), "module=icmp4&target=192.0.2.254");
        assert_eq!(redirected(&format!("target={address}%3A9339"), &state), "target=192.0.2.254:9339");
        assert_eq!(redirected("target=127.20.0.1", &state), "target=127.20.0.1");
        state.description.devices[1].address = "::1".parse().unwrap();
        assert_eq!(redirected("target=%5B%3A%3A1%5D%3A9339", &state), "target=[2001:db8::254]:9339");
        assert_eq!(redirected("target=::1&module=icmp6", &state), "target=2001:db8::254&module=icmp6");
    }
}
