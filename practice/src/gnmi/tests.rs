//! A client against a device that is served on an address of its own.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use helios_gnmi::extensions::commit::Action;
use helios_gnmi::extensions::{Commit, CommitCancel, CommitConfirm, CommitRequest, CommitSetRollbackDuration};
use helios_gnmi::message::subscribe_request::Request as Asked;
use helios_gnmi::message::subscribe_response::Response as Said;
use helios_gnmi::message::{Poll, Subscription, SubscriptionList, SubscriptionMode, subscription_list};
use helios_gnmi::{Client, Target};
use serde_json::json;
use tokio::sync::mpsc::{Sender, channel};
use tonic::Code;

use super::*;
use crate::description::Description;
use crate::fault::{FaultKind, Switch};

const NOW: i64 = 1_700_000_000_000;

/// Anything that takes longer does not happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// Device 0 of a network of four, served on an address that no other test has.
fn serve_one() -> (Arc<Network>, String) {
    serve_platform("eos")
}

fn serve_platform(platform: &str) -> (Arc<Network>, String) {
    static USED: AtomicU8 = AtomicU8::new(1);
    let mut description = Description::generated(4, 20);
    let [.., high, low] = std::process::id().to_be_bytes();
    let address = Ipv4Addr::new(127, 100 + high % 100, low, USED.fetch_add(1, Ordering::Relaxed));
    description.devices[0].address = address.into();
    description.devices[0].platform = platform.into();
    let network = Arc::new(Network::new(description, NOW));
    let login = Login { port: PORT, user: "lab".into(), password: "secret".into() };
    tokio::spawn(serve(Arc::clone(&network), 0, login, None));
    (network, format!("{address}:{PORT}"))
}

async fn connect(address: &str, password: &str) -> Client {
    let credentials = Some(("lab".to_owned(), password.to_owned()));
    let target = Target { address: address.to_owned(), tls: None, credentials, timeout: PATIENCE };
    tokio::time::timeout(PATIENCE, async {
        loop {
            match Client::connect(&target).await {
                Ok(client) => return client,
                // The task that listens may not have run yet.
                Err(_) => tokio::task::yield_now().await,
            }
        }
    })
    .await
    .unwrap()
}

fn path(text: &str) -> Path {
    text.parse().unwrap()
}

fn update(text: &str, value: Value) -> Update {
    Update { path: Some(path(text)), val: Some(TypedValue::json_ietf(&value)), ..Update::default() }
}

fn get(text: &str) -> GetRequest {
    GetRequest { path: vec![path(text)], encoding: Encoding::JsonIetf as i32, ..GetRequest::default() }
}

/// The one value of a path.
async fn read(client: &mut Client, text: &str) -> Value {
    let answer = client.get(get(text)).await.unwrap();
    answer.notification[0].update[0].val.as_ref().unwrap().to_json().unwrap()
}

const ENABLED: &str = "/interfaces/interface[name=Ethernet1]/config/enabled";
const STATUS: &str = "/interfaces/interface[name=Ethernet1]/state/oper-status";

#[tokio::test]
async fn a_request_is_done_as_a_whole_or_not_at_all() {
    let (network, address) = serve_one();
    let mut client = connect(&address, "secret").await;
    assert_eq!(client.capabilities().await.unwrap().g_nmi_version, GNMI_VERSION);
    assert_eq!(read(&mut client, STATUS).await, "UP");
    let state = read(&mut client, "/interfaces/interface[name=Ethernet1]/state").await;
    assert_eq!(state["openconfig-interfaces:oper-status"], "UP");
    assert!(state["openconfig-interfaces:counters"]["in-octets"].is_string(), "64 bits are text (RFC 7951 §6.1)");

    let half = SetRequest {
        update: vec![
            update(ENABLED, json!(false)),
            update("/interfaces/interface[name=Ethernet1]/config/mtu", json!(1)),
        ],
        ..SetRequest::default()
    };
    assert_eq!(client.set(half).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(read(&mut client, ENABLED).await, true);

    let both = SetRequest {
        delete: vec![path("/interfaces/interface[name=Ethernet1]/config/description")],
        replace: vec![update("/system/config", json!({"hostname": "renamed"}))],
        update: vec![update(ENABLED, json!(false))],
        ..SetRequest::default()
    };
    let ops: Vec<i32> = client.set(both).await.unwrap().response.iter().map(|result| result.op).collect();
    assert_eq!(ops, [Operation::Delete, Operation::Replace, Operation::Update].map(|op| op as i32));
    assert_eq!(read(&mut client, STATUS).await, "DOWN");
    assert_eq!(read(&mut client, "/system/state/hostname").await, "renamed");
    let gone = client.get(get("/interfaces/interface[name=Ethernet1]/config/description")).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    let (far, at) = network.lock().devices[0].interfaces[0].far.unwrap();
    assert!(!network.lock().devices[far].interfaces[at].up, "the far end goes down as well");
}

#[tokio::test]
async fn who_has_not_the_password_gets_nothing() {
    let (_network, address) = serve_one();
    let mut client = connect(&address, "guess").await;
    assert_eq!(client.get(get(STATUS)).await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(client.set(SetRequest::default()).await.unwrap_err().code(), Code::Unauthenticated);
}

/// Opens a stream; the sender is for polls.
async fn subscribe(
    client: &mut Client,
    mode: subscription_list::Mode,
    subscription: Subscription,
) -> (Sender<SubscribeRequest>, Streaming<SubscribeResponse>) {
    let (ask, asked) = channel(4);
    let list = SubscriptionList {
        subscription: vec![subscription],
        mode: mode as i32,
        encoding: Encoding::Proto as i32,
        ..SubscriptionList::default()
    };
    ask.send(SubscribeRequest { request: Some(Asked::Subscribe(list)) }).await.unwrap();
    let answers = client.subscribe(ReceiverStream::new(asked)).await.unwrap();
    (ask, answers)
}

/// The next message: the values of an update, or nothing for the sync response.
async fn next(answers: &mut Streaming<SubscribeResponse>) -> Option<Vec<(String, Value)>> {
    let message = tokio::time::timeout(PATIENCE, answers.message()).await.unwrap().unwrap().unwrap();
    match message.response.unwrap() {
        Said::Update(notification) => {
            let value = |update: Update| (update.path.unwrap().to_string(), update.val.unwrap().to_json().unwrap());
            Some(notification.update.into_iter().map(value).collect())
        }
        Said::SyncResponse(true) => None,
        other => unreachable!("{other:?}"),
    }
}

fn watch(mode: SubscriptionMode) -> Subscription {
    Subscription { path: Some(path(STATUS)), mode: mode as i32, ..Subscription::default() }
}

#[tokio::test]
async fn once_and_poll_send_values_and_say_when_they_are_whole() {
    let (_network, address) = serve_one();
    let mut client = connect(&address, "secret").await;
    let up = vec![(STATUS.to_owned(), json!("UP"))];
    let (_ask, mut once) =
        subscribe(&mut client, subscription_list::Mode::Once, watch(SubscriptionMode::TargetDefined)).await;
    assert_eq!((next(&mut once).await, next(&mut once).await), (Some(up.clone()), None));
    assert!(once.message().await.unwrap().is_none(), "the stream ends");
    let (ask, mut poll) =
        subscribe(&mut client, subscription_list::Mode::Poll, watch(SubscriptionMode::TargetDefined)).await;
    assert_eq!((next(&mut poll).await, next(&mut poll).await), (Some(up.clone()), None));
    ask.send(SubscribeRequest { request: Some(Asked::Poll(Poll {})) }).await.unwrap();
    assert_eq!((next(&mut poll).await, next(&mut poll).await), (Some(up), None));
}

#[tokio::test]
async fn a_change_is_sent_when_it_happens_and_samples_are_sent_anyway() {
    let (network, address) = serve_one();
    let mut client = connect(&address, "secret").await;
    let (_ask, mut changes) =
        subscribe(&mut client, subscription_list::Mode::Stream, watch(SubscriptionMode::OnChange)).await;
    assert!(next(&mut changes).await.is_some() && next(&mut changes).await.is_none());
    let name = network.lock().description.devices[0].name.clone();
    let fault =
        |undo| Switch { fault: FaultKind::LinkDown, device: name.clone(), interface: Some("Ethernet1".into()), undo };
    // A second in which nothing changes is not told of: the next message is of the fault.
    network.tick(NOW + 1_000);
    network.change(|state| fault(false).apply(state)).unwrap();
    assert_eq!(next(&mut changes).await, Some(vec![(STATUS.to_owned(), json!("DOWN"))]));
    network.change(|state| fault(true).apply(state)).unwrap();
    assert_eq!(next(&mut changes).await, Some(vec![(STATUS.to_owned(), json!("UP"))]));
    let sample = Subscription { sample_interval: 1, ..watch(SubscriptionMode::Sample) };
    let (_ask, mut samples) = subscribe(&mut client, subscription_list::Mode::Stream, sample).await;
    assert!(next(&mut samples).await.is_some() && next(&mut samples).await.is_none());
    assert!(next(&mut samples).await.is_some() && next(&mut samples).await.is_some(), "the same again and again");
}

#[tokio::test]
async fn an_unreachable_device_ends_its_streams_and_comes_back() {
    let (network, address) = serve_one();
    let mut client = connect(&address, "secret").await;
    let (_ask, mut changes) =
        subscribe(&mut client, subscription_list::Mode::Stream, watch(SubscriptionMode::OnChange)).await;
    assert!(next(&mut changes).await.is_some() && next(&mut changes).await.is_none());
    let name = network.lock().description.devices[0].name.clone();
    let fault = |undo| Switch { fault: FaultKind::Unreachable, device: name.clone(), interface: None, undo };
    network.change(|state| fault(false).apply(state)).unwrap();
    assert_eq!(changes.message().await.unwrap_err().code(), Code::Unavailable);
    network.change(|state| fault(true).apply(state)).unwrap();
    let mut client = connect(&address, "secret").await;
    assert_eq!(read(&mut client, STATUS).await, "UP");
}

fn commit(id: &str, action: Action) -> SetRequest {
    SetRequest { extension: vec![Commit { id: id.into(), action: Some(action) }.extension()], ..SetRequest::default() }
}

/// A commit that switches Ethernet1 off, for so many seconds unless it is confirmed.
fn switch_off(id: &str, seconds: u64) -> SetRequest {
    let rollback_duration = Some(Duration::from_secs(seconds).into());
    let request = commit(id, Action::Commit(CommitRequest { rollback_duration }));
    SetRequest { update: vec![update(ENABLED, json!(false))], ..request }
}

const CONFIRM: Action = Action::Confirm(CommitConfirm {});
const CANCEL: Action = Action::Cancel(CommitCancel {});

async fn refused(client: &mut Client, request: SetRequest) -> Code {
    client.set(request).await.unwrap_err().code()
}

#[tokio::test]
async fn a_commit_that_nobody_confirms_is_taken_back_when_its_time_is_over() {
    let (network, address) = serve_one();
    let mut client = connect(&address, "secret").await;
    client.set(switch_off("c1", 30)).await.unwrap();
    assert_eq!(read(&mut client, STATUS).await, "DOWN");
    network.tick(NOW + 29_000);
    assert_eq!(read(&mut client, STATUS).await, "DOWN");
    network.tick(NOW + 30_000);
    assert_eq!((read(&mut client, STATUS).await, read(&mut client, ENABLED).await), (json!("UP"), json!(true)));
    assert_eq!(refused(&mut client, commit("c1", CONFIRM)).await, Code::FailedPrecondition, "it is too late");
    // Without a time it is 10 minutes.
    let request =
        SetRequest { update: switch_off("", 1).update, ..commit("c2", Action::Commit(CommitRequest::default())) };
    client.set(request).await.unwrap();
    network.tick(NOW + 629_000);
    assert_eq!(read(&mut client, STATUS).await, "DOWN");
    network.tick(NOW + 630_000);
    assert_eq!(read(&mut client, STATUS).await, "UP");
}

#[tokio::test]
async fn a_commit_is_confirmed_cancelled_or_given_more_time() {
    let (network, address) = serve_one();
    let mut client = connect(&address, "secret").await;
    client.set(switch_off("c1", 30)).await.unwrap();
    client.set(commit("c1", CONFIRM)).await.unwrap();
    network.tick(NOW + 3_600_000);
    assert_eq!(read(&mut client, STATUS).await, "DOWN", "what is confirmed stays");
    let on = SetRequest { update: vec![update(ENABLED, json!(true))], ..SetRequest::default() };
    client.set(on).await.unwrap();

    client.set(switch_off("c2", 30)).await.unwrap();
    client.set(commit("c2", CANCEL)).await.unwrap();
    assert_eq!(read(&mut client, STATUS).await, "UP", "what is cancelled is taken back at once");

    client.set(switch_off("c3", 30)).await.unwrap();
    let rollback_duration = Some(Duration::from_secs(300).into());
    let longer = Action::SetRollbackDuration(CommitSetRollbackDuration { rollback_duration });
    client.set(commit("c3", longer)).await.unwrap();
    network.tick(NOW + 3_899_000);
    assert_eq!(read(&mut client, STATUS).await, "DOWN");
    network.tick(NOW + 3_900_000);
    assert_eq!(read(&mut client, STATUS).await, "UP");
}

#[tokio::test]
async fn one_commit_waits_at_a_time_and_only_its_id_counts() {
    let (_network, address) = serve_one();
    let mut client = connect(&address, "secret").await;
    assert_eq!(refused(&mut client, commit("c1", CONFIRM)).await, Code::FailedPrecondition);
    assert_eq!(refused(&mut client, switch_off("", 30)).await, Code::InvalidArgument);
    assert_eq!(refused(&mut client, switch_off("c1", 0)).await, Code::InvalidArgument);
    let impossible = SetRequest {
        update: vec![update("/interfaces/interface[name=Ethernet1]/config/mtu", json!(1))],
        ..switch_off("c1", 30)
    };
    assert_eq!(refused(&mut client, impossible).await, Code::InvalidArgument);
    client.set(switch_off("c1", 30)).await.unwrap();
    assert_eq!(refused(&mut client, switch_off("c2", 30)).await, Code::FailedPrecondition);
    let plain = SetRequest { update: switch_off("c1", 1).update, ..SetRequest::default() };
    assert_eq!(refused(&mut client, plain).await, Code::FailedPrecondition);
    for action in [CONFIRM, CANCEL, Action::SetRollbackDuration(CommitSetRollbackDuration::default())] {
        assert_eq!(refused(&mut client, commit("c2", action)).await, Code::InvalidArgument, "another id");
    }
    let amended = SetRequest { update: switch_off("c1", 1).update, ..commit("c1", CONFIRM) };
    assert_eq!(refused(&mut client, amended).await, Code::InvalidArgument);
    let no_time = Action::SetRollbackDuration(CommitSetRollbackDuration::default());
    assert_eq!(refused(&mut client, commit("c1", no_time)).await, Code::InvalidArgument);
    client.set(commit("c1", CANCEL)).await.unwrap();
}

#[tokio::test]
async fn sr_linux_tells_its_native_model_with_names_of_modules_and_containers_as_one_value() {
    let (network, address) = serve_platform("srlinux");
    network.tick(NOW + 60_000);
    let mut client = connect(&address, "secret").await;
    let models = client.capabilities().await.unwrap().supported_models;
    assert!(models.iter().any(|model| model.name == "srl_nokia-interfaces"));
    let answer = client.get(get("/interface[name=Ethernet1]/oper-state")).await.unwrap();
    let path = answer.notification[0].update[0].path.clone().unwrap().to_string();
    assert_eq!(path, "/srl_nokia-interfaces:interface[name=Ethernet1]/oper-state");
    assert_eq!(read(&mut client, "/interface[name=Ethernet1]/oper-state").await, "up");
    let neighbor = "/network-instance[name=default]/protocols/bgp/neighbor/session-state";
    assert_eq!(read(&mut client, neighbor).await, "established");
    assert_eq!(read(&mut client, "/system/information/last-booted").await, "2023-11-13T22:13:20.000Z");
    // What is switched off through OpenConfig is off in this model.
    let off = SetRequest { update: vec![update(ENABLED, json!(false))], ..SetRequest::default() };
    client.set(off).await.unwrap();
    assert_eq!(read(&mut client, "/srl_nokia-interfaces:interface[name=Ethernet1]/admin-state").await, "disable");

    let (ask, asked) = channel(4);
    let list = SubscriptionList {
        subscription: vec![Subscription {
            path: Some("/interface/statistics".parse().unwrap()),
            ..Subscription::default()
        }],
        mode: subscription_list::Mode::Once as i32,
        encoding: Encoding::JsonIetf as i32,
        ..SubscriptionList::default()
    };
    ask.send(SubscribeRequest { request: Some(Asked::Subscribe(list)) }).await.unwrap();
    let mut once = client.subscribe(ReceiverStream::new(asked)).await.unwrap();
    let values = next(&mut once).await.unwrap();
    assert_eq!(values[0].0, "/srl_nokia-interfaces:interface[name=Ethernet1]/statistics");
    let octets = |value: &Value| value["in-octets"].as_str().unwrap().parse::<u64>().unwrap();
    assert!(values.iter().any(|(_, value)| octets(value) > 0), "64 bits are text: {}", values[0].1);
}
