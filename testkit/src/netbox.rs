//! A server that answers like NetBox's REST API, of a version of choice: paging by offset and by id, the filters that the
//! client uses, tokens, and faults on demand.
//!
//! What it tells of is one of three worlds: a regular one that can be computed (`plain`), whose objects tests name and which
//! may be of any size, one as people keep it, drawn from a seed ([`lifelike`]), or one that
//! another program makes ([`Objects`]).

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use self::lifelike::Network;
use crate::http::{self, Request};

pub mod lifelike;
mod plain;

/// The token that the server takes unless told otherwise.
pub const TOKEN: &str = "0123456789abcdef0123456789abcdef01234567";

/// A world of somebody else's, in the shape of NetBox 4.2's objects.
pub trait Objects: std::fmt::Debug + Send + Sync {
    /// The ids of a list of the API, `dcim/devices`, ascending; none of a list that the world does not have.
    fn ids(&self, list: &str) -> Vec<u32>;

    /// The object of an id that [`ids`](Self::ids) has.
    fn object(&self, list: &str, id: u32) -> serde_json::Value;
}

/// What the server tells, changed by tests while it runs.
#[derive(Debug, Clone)]
pub struct World {
    /// As `/api/status/` reports it, such as 4.2.0.
    pub version: &'static str,
    /// The header that a request has to carry.
    pub authorization: String,
    /// What a request without it gets: NetBox says 403 to a bad token and 401 where nobody logged in may read nothing.
    pub refusal: u16,
    /// What is told of instead of the other worlds.
    pub objects: Option<Arc<dyn Objects>>,
    /// What is told of instead of the plain world, whose numbers follow.
    pub network: Option<Arc<Network>>,
    /// Devices of the plain world.
    pub devices: u32,
    /// Interfaces of each device of the plain world.
    pub interfaces_per_device: u32,
    /// Prefixes of the plain world; prefix `n` belongs to device `n`.
    pub prefixes: u32,
    /// Devices that are gone.
    pub deleted: BTreeSet<u32>,
    /// Devices that were renamed a moment ago.
    pub renamed: BTreeSet<u32>,
    /// Devices that go, one behind every page of devices. Another one with a higher id comes for each, so that the count
    /// stays and the rows move.
    pub churn: Vec<u32>,
    /// The path that NetBox is served below, `/netbox`; empty for none.
    pub below: &'static str,
    /// What `/api/status/` says instead, as another system would.
    pub status: Option<&'static str>,
    /// Lists that the token may not view, as `ipam/asns`.
    pub forbidden: BTreeSet<&'static str>,
    /// What comes instead of the next answers, the first one first.
    pub faults: Vec<Fault>,
    /// Every request's path and query.
    pub requests: Vec<String>,
}

impl Default for World {
    fn default() -> Self {
        Self {
            version: "4.2.3",
            authorization: format!("Token {TOKEN}"),
            refusal: 403,
            objects: None,
            network: None,
            devices: 50,
            interfaces_per_device: 4,
            prefixes: 50,
            deleted: BTreeSet::new(),
            renamed: BTreeSet::new(),
            churn: Vec::new(),
            below: "",
            status: None,
            forbidden: BTreeSet::new(),
            faults: Vec::new(),
            requests: Vec::new(),
        }
    }
}

/// An answer that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// This status, with `Retry-After: 0`.
    Status(u16),
    /// Half of the promised body, and the end.
    Cut,
    /// Half of the promised body, and nothing more.
    Stall,
    /// A page that is no JSON.
    Garbage,
}

/// The server, gone with the process.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    world: Arc<Mutex<World>>,
}

impl Server {
    /// Starts on a free port of loopback.
    ///
    /// # Panics
    /// When there is none.
    pub fn start(world: World) -> Self {
        let world = Arc::new(Mutex::new(world));
        let shared = Arc::clone(&world);
        Self { address: http::serve(move |stream| serve(stream, &shared)), world }
    }

    /// For `netbox.url`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The world, to be changed.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers requests until the client goes.
fn serve(stream: TcpStream, world: &Mutex<World>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let Request { target: whole, authorization, last, .. } = Request::read(&mut reader)?;
        let (fault, world) = {
            let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
            let target = whole.strip_prefix(world.below).unwrap_or("/");
            world.requests.push(target.to_owned());
            let fault = (!world.faults.is_empty()).then(|| world.faults.remove(0));
            let told = world.clone();
            if target.starts_with("/api/dcim/devices/") && !target.contains("limit=1&") {
                world.turn_over();
            }
            (fault, told)
        };
        let target = whole.strip_prefix(world.below).unwrap_or("/");
        let (status, mut body) = match fault {
            Some(Fault::Status(status)) => (status, r#"{"detail": "as asked for"}"#.to_owned()),
            Some(Fault::Garbage) => (200, "<html>no NetBox</html>".to_owned()),
            _ if authorization != world.authorization => (world.refusal, r#"{"detail": "Invalid token"}"#.to_owned()),
            _ if world.forbidden.iter().any(|list| target.starts_with(&format!("/api/{list}/"))) => {
                (403, r#"{"detail": "You do not have permission to perform this action."}"#.to_owned())
            }
            _ => answer(&world, target),
        };
        let length = body.len();
        if matches!(fault, Some(Fault::Cut | Fault::Stall)) {
            let half = (0..=length / 2).rev().find(|at| body.is_char_boundary(*at)).unwrap_or(0);
            body.truncate(half);
        }
        write!(
            stream,
            "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nRetry-After: 0\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .ok()?;
        match fault {
            Some(Fault::Cut) => return None,
            // Until the client has lost its patience and goes.
            Some(Fault::Stall) => return reader.read_line(&mut String::new()).ok().map(drop),
            _ if last => return None,
            _ => {}
        }
    }
}

impl World {
    /// One device less and one more.
    fn turn_over(&mut self) {
        if !self.churn.is_empty() {
            self.deleted.insert(self.churn.remove(0));
            self.devices += 1;
        }
    }
}

/// Ids of a list and how an object of it is written.
type List<'a> = (Vec<u32>, Box<dyn Fn(u32) -> String + 'a>);

/// Status and body.
fn answer(world: &World, target: &str) -> (u16, String) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let list = path.trim_start_matches("/api/").trim_end_matches('/');
    if !path.starts_with("/api/") {
        return (404, "<html>nothing here</html>".to_owned());
    }
    if let Some(status) = world.status.filter(|_| list == "status") {
        return (200, status.to_owned());
    }
    if list == "status" {
        return (200, format!(r#"{{"netbox-version": "{}", "plugins": {{}}}}"#, world.version));
    }
    let cursors = is_at_least(world.version, 4, 6);
    if cursors && parameter(query, "start").is_some() {
        // As NetBox does it, lest the client relies on an order that it does not get.
        if let Some(refused) = ["ordering", "offset"].into_iter().find(|name| parameter(query, name).is_some()) {
            return (400, format!(r#"["{refused} cannot be specified in conjunction with start."]"#));
        }
    }
    let fields = parameter(query, "fields").filter(|_| is_at_least(world.version, 4, 0));
    let (mut ids, object): List<'_> = match (&world.objects, &world.network) {
        (Some(objects), _) => (objects.ids(list), Box::new(|id| objects.object(list, id).to_string())),
        (None, Some(network)) => (network.ids(list), Box::new(|id| network.object(list, id, world.version, fields))),
        (None, None) => (plain::ids(world, list), Box::new(|id| plain::object(world, list, id))),
    };
    let (from, to) = (number(query, "id__gte").unwrap_or(0), number(query, "id__lt").unwrap_or(u32::MAX));
    ids.retain(|id| (from..to).contains(id) && number(query, "id__lte").is_none_or(|last| *id <= last));
    let changed_at = |id| match &world.network {
        Some(network) => network.changed.get(&(list, id)).copied().unwrap_or(0),
        None if list == "dcim/devices" && world.renamed.contains(&id) => unix_now(),
        None => 0,
    };
    if let Some(since) = parameter(query, "last_updated__gte") {
        let since = unix_seconds(since).expect("a moment as NetBox takes it");
        ids.retain(|id| changed_at(*id) >= since);
    }
    match parameter(query, "ordering") {
        Some("-id") => ids.reverse(),
        Some("-last_updated") => ids.sort_by_key(|id| std::cmp::Reverse(changed_at(*id))),
        _ => {}
    }
    let object = |id| with_times(object(id), fields, changed_at(id));
    // A filter that NetBox knows refuses a value that no object can have.
    let nonsense = |name| parameter(query, name).is_some_and(|value| value.starts_with("helios-asks"));
    if ["status", "tag", "site", "assigned_to_interface"].into_iter().any(nonsense) {
        return (400, r#"{"status": ["Select a valid choice."]}"#.to_owned());
    }
    if list == "extras/custom-fields" && query.split('&').any(|pair| pair.starts_with("name=")) {
        ids.retain(|id| query.contains(if *id == 1 { "name=ifindex" } else { "name=role" }));
    }
    // A version that does not know a parameter ignores it.
    let start = number(query, "start").filter(|_| cursors);
    (200, page(path, query, start, &ids, object))
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The object with the time of its last change, in the time zone of a server that is not at Greenwich, if it is asked for.
fn with_times(mut object: String, fields: Option<&str>, changed_at: u64) -> String {
    if fields.is_none_or(|fields| fields.split(',').any(|field| field == "last_updated")) {
        let end = object.trim_end().len() - 1;
        object.truncate(end);
        let text = moment(changed_at + 5 * 3600 + 1800);
        object.push_str(&format!(r#", "last_updated": "{text}.123456+05:30"}}"#));
    }
    object
}

fn is_at_least(version: &str, major: u32, minor: u32) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    (parts.next(), parts.next()) >= (Some(major), Some(minor))
}

/// `2026-11-23T01:02:03Z` as Unix time, by the days of the Gregorian calendar.
fn unix_seconds(text: &str) -> Option<u64> {
    let mut numbers = text.trim_end_matches('Z').split(['-', 'T', ':']).map(|part| part.parse::<u64>());
    let mut next = || numbers.next()?.ok();
    let (year, month, day) = (next()?, next()?, next()?);
    let clock = next()? * 3600 + next()? * 60 + next()?;
    // Years begin in March, so that the odd day of a leap year is the last one.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    Some(days * 86_400 + clock)
}

/// The inverse of [`unix_seconds`], without a zone.
fn moment(unix: u64) -> String {
    let (days, clock) = (unix / 86_400 + 719_468, unix % 86_400);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = year + era * 400 + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}T{:02}:{:02}:{:02}", clock / 3600, clock / 60 % 60, clock % 60)
}

/// The value of a parameter.
fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

fn number(query: &str, name: &str) -> Option<u32> {
    parameter(query, name)?.parse().ok()
}

fn page(path: &str, query: &str, start: Option<u32>, ids: &[u32], object: impl Fn(u32) -> String) -> String {
    let (limit, offset) = (number(query, "limit").unwrap_or(50), number(query, "offset"));
    let limit = limit.min(1000) as usize;
    let first = match start {
        Some(start) => ids.partition_point(|id| *id < start),
        None => offset.unwrap_or(0) as usize,
    };
    let shown: Vec<u32> = ids.iter().skip(first).take(limit).copied().collect();
    // Links name a host that does not exist, as NetBox behind a proxy may.
    let next = match (start, shown.last()) {
        (Some(_), Some(last)) if shown.len() == limit => {
            format!(r#""http://proxied.invalid{path}?start={}""#, last + 1)
        }
        (None, _) if first + limit < ids.len() => format!(r#""http://proxied.invalid{path}?offset={}""#, first + limit),
        _ => "null".to_owned(),
    };
    let count = if start.is_some() { "null".to_owned() } else { ids.len().to_string() };
    let results: Vec<String> = shown.into_iter().map(object).collect();
    format!(r#"{{"count": {count}, "next": {next}, "previous": null, "results": [{}]}}"#, results.join(","))
}
