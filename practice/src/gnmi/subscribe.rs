//! Subscribe: once, on demand, or as a stream of samples and changes (gNMI specification §3.5).

use std::collections::BTreeMap;
use std::time::Duration;

use helios_gnmi::message::subscribe_request::Request as Asked;
use helios_gnmi::message::subscribe_response::Response as Said;
use helios_gnmi::message::subscription_list::Mode;
use helios_gnmi::message::{
    Encoding, Notification, SubscribeRequest, SubscribeResponse, Subscription, SubscriptionList, SubscriptionMode,
    Update,
};
use helios_gnmi::{Path, PathElem};
use serde_json::Value;
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, sleep_until};
use tonic::{Status, Streaming};

use super::{encoded_update, encoding, plain, whole_path};
use crate::network::Network;
use crate::tree::{self, native};

type Out = Sender<Result<SubscribeResponse, Status>>;

/// Where the client leaves the interval to the device.
const SAMPLE: Duration = Duration::from_secs(10);

/// The device samples no faster.
const SAMPLE_MIN: Duration = Duration::from_secs(1);

/// Updates of one message: one of a thousand interfaces would be more than gRPC's 4 MiB.
const UPDATES_MAX: usize = 2_000;

/// Answers a stream until either side ends it.
pub(super) async fn answer(network: &Network, device: usize, mut requests: Streaming<SubscribeRequest>, out: Out) {
    let first = match requests.message().await {
        Ok(Some(SubscribeRequest { request: Some(Asked::Subscribe(list)) })) => list,
        Ok(None) | Err(_) => return,
        Ok(Some(_)) => {
            let _ = out.send(Err(Status::invalid_argument("the first message has to subscribe"))).await;
            return;
        }
    };
    if let Err(status) = run(network, device, first, &mut requests, &out).await {
        // The client may have gone.
        let _ = out.send(Err(status)).await;
    }
}

/// One path of the list, and what was sent of it.
struct Watched {
    path: Vec<PathElem>,
    on_change: bool,
    interval: Duration,
    suppress: bool,
    heartbeat: Option<Duration>,
    due: Instant,
    beat: Instant,
    sent: BTreeMap<String, Value>,
}

/// Ends with `Ok` when the client has gone or everything is said.
async fn run(
    network: &Network,
    device: usize,
    list: SubscriptionList,
    requests: &mut Streaming<SubscribeRequest>,
    out: &Out,
) -> Result<(), Status> {
    let encoding = encoding(list.encoding)?;
    let mode = Mode::try_from(list.mode).map_err(|_| Status::invalid_argument("no such mode"))?;
    let now = Instant::now();
    let mut watched: Vec<Watched> =
        list.subscription.iter().map(|subscription| watch(&list, subscription, now)).collect::<Result<_, _>>()?;
    let source = Source { network, device, encoding, prefix: prefix(&list) };
    if !list.updates_only {
        source.send(&mut watched, out, |_| true, true).await?;
    }
    said(out, Said::SyncResponse(true)).await?;
    match mode {
        Mode::Once => Ok(()),
        Mode::Poll => loop {
            match requests.message().await? {
                Some(SubscribeRequest { request: Some(Asked::Poll(_)) }) => {
                    source.send(&mut watched, out, |_| true, true).await?;
                    said(out, Said::SyncResponse(true)).await?;
                }
                None => return Ok(()),
                Some(_) => return Err(Status::invalid_argument("after the first message only polls may come")),
            }
        },
        Mode::Stream => stream(&source, &mut watched, requests, out).await,
    }
}

async fn stream(
    source: &Source<'_>,
    watched: &mut [Watched],
    requests: &mut Streaming<SubscribeRequest>,
    out: &Out,
) -> Result<(), Status> {
    let mut changes = source.network.changes();
    loop {
        let next = watched.iter().map(|watched| if watched.on_change { watched.beat } else { watched.due }).min();
        tokio::select! {
            () = sleep_until(next.unwrap_or_else(|| Instant::now() + SAMPLE)) => {
                let now = Instant::now();
                for watched in &mut *watched {
                    let due = if watched.on_change { watched.beat } else { watched.due };
                    if due > now {
                        continue;
                    }
                    let beats = watched.heartbeat.is_some() && watched.beat <= now;
                    let all = beats || !(watched.suppress || watched.on_change);
                    source.send(std::slice::from_mut(watched), out, |_| true, all).await?;
                    watched.due = now + watched.interval;
                    if watched.beat <= now {
                        watched.beat = now + watched.heartbeat.unwrap_or(Duration::from_secs(3_600));
                    }
                }
            }
            changed = changes.changed() => {
                if changed.is_err() {
                    return Err(Status::unavailable("the device is gone"));
                }
                source.send(watched, out, |watched| watched.on_change, false).await?;
            }
            message = requests.message() => {
                return match message {
                    // A client that says nothing more listens on until it closes the stream, which `out` tells.
                    Ok(None) => listen(source, watched, out).await,
                    Ok(Some(_)) => Err(Status::invalid_argument("a stream has one message")),
                    Err(_) => Ok(()),
                };
            }
        }
    }
}

/// As [`stream`], for a client that has closed its side.
async fn listen(source: &Source<'_>, watched: &mut [Watched], out: &Out) -> Result<(), Status> {
    let mut changes = source.network.changes();
    while !out.is_closed() && changes.changed().await.is_ok() {
        let now = Instant::now();
        for watched in &mut *watched {
            if watched.on_change || watched.due <= now {
                let all = !watched.on_change && !watched.suppress;
                source.send(std::slice::from_mut(watched), out, |_| true, all).await?;
                watched.due = now + watched.interval;
            }
        }
    }
    Ok(())
}

fn watch(list: &SubscriptionList, subscription: &Subscription, now: Instant) -> Result<Watched, Status> {
    let mode = SubscriptionMode::try_from(subscription.mode).map_err(|_| Status::invalid_argument("no such mode"))?;
    let path = whole_path(list.prefix.as_ref(), subscription.path.as_ref().unwrap_or(&Path::default()));
    let path = plain(&path);
    let interval = match subscription.sample_interval {
        0 => SAMPLE,
        nanoseconds => Duration::from_nanos(nanoseconds).max(SAMPLE_MIN),
    };
    // Where the device may choose, counters are sampled and all else is sent when it changes.
    let counters = path.iter().any(|elem| elem.name == "counters");
    let on_change = mode == SubscriptionMode::OnChange || (mode == SubscriptionMode::TargetDefined && !counters);
    let heartbeat = (subscription.heartbeat_interval > 0)
        .then(|| Duration::from_nanos(subscription.heartbeat_interval).max(SAMPLE_MIN));
    let beat = now + heartbeat.unwrap_or(Duration::from_secs(3_600));
    Ok(Watched {
        path,
        on_change,
        interval,
        suppress: subscription.suppress_redundant,
        heartbeat,
        due: now + interval,
        beat,
        sent: BTreeMap::new(),
    })
}

/// The prefix of answers: the client's target, if it named one.
fn prefix(list: &SubscriptionList) -> Option<Path> {
    let target = list.prefix.as_ref().map(|prefix| prefix.target.clone()).filter(|target| !target.is_empty())?;
    Some(Path { target, ..Path::default() })
}

async fn said(out: &Out, response: Said) -> Result<(), Status> {
    let sent = out.send(Ok(SubscribeResponse { response: Some(response) })).await;
    sent.map_err(|_| Status::cancelled("the client has gone"))
}

/// Where values come from, and how they are written.
struct Source<'a> {
    network: &'a Network,
    device: usize,
    encoding: Encoding,
    prefix: Option<Path>,
}

impl Source<'_> {
    /// Sends the values of the subscriptions that `which` chooses: all, or those that are not as they were sent last, and what
    /// is no longer there as deleted.
    async fn send(
        &self,
        watched: &mut [Watched],
        out: &Out,
        which: impl Fn(&Watched) -> bool,
        all: bool,
    ) -> Result<(), Status> {
        if !watched.iter().any(&which) {
            return self.reachable();
        }
        let (tree, now) = {
            let state = self.network.lock();
            (tree::whole(&state, self.device), state.now)
        };
        self.reachable()?;
        for watched in watched.iter_mut().filter(|watched| which(watched)) {
            let mut sent = BTreeMap::new();
            let mut updates: Vec<Update> = Vec::new();
            for (path, value) in self.values(&tree, &watched.path) {
                let text = Path::of(path.iter().cloned()).to_string();
                if all || watched.sent.get(&text) != Some(value) {
                    updates.push(encoded_update(path, value, self.encoding));
                }
                sent.insert(text, value.clone());
            }
            let gone = watched.sent.keys().filter(|path| !sent.contains_key(*path));
            let mut delete: Vec<Path> = gone.filter_map(|path| path.parse().ok()).collect();
            watched.sent = sent;
            if updates.is_empty() && delete.is_empty() {
                continue;
            }
            for updates in updates.chunks(UPDATES_MAX).chain(updates.is_empty().then_some(&[][..])) {
                let notification = Notification {
                    timestamp: now * 1_000_000,
                    prefix: self.prefix.clone(),
                    update: updates.to_vec(),
                    delete: std::mem::take(&mut delete),
                    atomic: false,
                };
                said(out, Said::Update(notification)).await?;
            }
        }
        Ok(())
    }

    /// The values of a subscription, each with its path: leaves, but SR Linux sends a container as one value where the encoding
    /// is JSON.
    fn values<'t>(&self, tree: &'t Value, path: &[PathElem]) -> Vec<(Vec<PathElem>, &'t Value)> {
        let found = tree::find(tree, path);
        if native::is_native(path) && self.encoding != Encoding::Proto {
            return found;
        }
        let mut leaves = Vec::new();
        for (mut at, node) in found {
            tree::leaves(node, &mut at, &mut leaves);
        }
        leaves
    }

    fn reachable(&self) -> Result<(), Status> {
        match self.network.lock().faults.unreachable.contains(&self.device) {
            true => Err(Status::unavailable("the device cannot be reached")),
            false => Ok(()),
        }
    }
}
