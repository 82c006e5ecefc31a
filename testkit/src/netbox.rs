//! A server that answers like NetBox's REST API, of a version of choice: paging by offset and by id, the filters that the
//! client uses, tokens, and faults on demand.
//!
//! Its world is devices `edge-1`, `edge-2`, ... of one site, each with interfaces, two addresses and a prefix of its own, and
//! a virtual machine and a VRF; every object can be computed from its id, so a large network needs no memory here.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// The token that the server takes unless told otherwise.
pub const TOKEN: &str = "0123456789abcdef0123456789abcdef01234567";

/// What the server tells, changed by tests while it runs.
#[derive(Debug, Clone)]
pub struct World {
    pub version: &'static str,
    /// The header that a request has to carry.
    pub authorization: String,
    pub devices: u32,
    pub interfaces_per_device: u32,
    /// The first ones are named in tests by the device with the same number.
    pub prefixes: u32,
    /// Devices that are gone.
    pub deleted: BTreeSet<u32>,
    /// Devices that were renamed a moment ago.
    pub renamed: BTreeSet<u32>,
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
            devices: 50,
            interfaces_per_device: 4,
            prefixes: 50,
            deleted: BTreeSet::new(),
            renamed: BTreeSet::new(),
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
    /// Half of the promised body.
    Cut,
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
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let world = Arc::new(Mutex::new(world));
        let shared = Arc::clone(&world);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { address, world }
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
        let mut request = String::new();
        reader.read_line(&mut request).ok().filter(|octets| *octets > 0)?;
        let mut authorization = String::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            match line.trim_end().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                    value.clone_into(&mut authorization)
                }
                Some(_) => {}
                None => break,
            }
        }
        let target = request.split(' ').nth(1)?.to_owned();
        let (fault, world) = {
            let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
            world.requests.push(target.clone());
            let fault = (!world.faults.is_empty()).then(|| world.faults.remove(0));
            (fault, world.clone())
        };
        let (status, mut body) = match fault {
            Some(Fault::Status(status)) => (status, r#"{"detail": "as asked for"}"#.to_owned()),
            Some(Fault::Garbage) => (200, "<html>no NetBox</html>".to_owned()),
            _ if authorization != world.authorization => (403, r#"{"detail": "Invalid token"}"#.to_owned()),
            _ if world.forbidden.iter().any(|list| target.starts_with(&format!("/api/{list}/"))) => {
                (403, r#"{"detail": "You do not have permission to perform this action."}"#.to_owned())
            }
            _ => (200, answer(&world, &target)),
        };
        let length = body.len();
        if fault == Some(Fault::Cut) {
            body.truncate(length / 2);
        }
        write!(
            stream,
            "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nRetry-After: 0\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .ok()?;
        if fault == Some(Fault::Cut) {
            return None;
        }
    }
}

/// Writes the object with an id.
type Object = fn(&World, u32) -> String;

fn answer(world: &World, target: &str) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (ids, object): (Vec<u32>, Object) = match path {
        "/api/status/" => return format!(r#"{{"netbox-version": "{}", "plugins": {{}}}}"#, world.version),
        "/api/dcim/devices/" => (devices(world).collect(), device),
        "/api/dcim/interfaces/" => {
            let each = world.interfaces_per_device;
            (
                devices(world).flat_map(|device| (0..each).map(move |port| (device - 1) * each + port + 1)).collect(),
                interface,
            )
        }
        "/api/ipam/prefixes/" => ((1..=world.prefixes).collect(), prefix),
        "/api/dcim/sites/" => (vec![1], |_, _| {
            r#"{"id": 1, "name": "Zurich", "slug": "zrh", "region": {"id": 2, "name": "Switzerland"},
                "asns": [{"id": 1, "asn": 64500}]}"#
                .into()
        }),
        "/api/dcim/regions/" => (vec![1, 2], |_, id| {
            let (name, parent) = if id == 1 { ("Europe", "null") } else { ("Switzerland", r#"{"id": 1}"#) };
            format!(r#"{{"id": {id}, "name": "{name}", "slug": "region-{id}", "parent": {parent}}}"#)
        }),
        "/api/tenancy/tenants/" => {
            (vec![1], |_, _| r#"{"id": 1, "name": "Acme", "slug": "acme", "group": null}"#.into())
        }
        "/api/ipam/vrfs/" => {
            (vec![1], |_, _| r#"{"id": 1, "name": "red", "rd": "64500:1", "tenant": null, "description": ""}"#.into())
        }
        "/api/ipam/ip-addresses/" => (devices(world).collect(), ip_address),
        "/api/virtualization/virtual-machines/" => (vec![1], |_, _| {
            r#"{"id": 1, "name": "probe-1", "status": {"value": "active"}, "site": {"id": 1, "name": "Zurich"},
            "cluster": {"id": 1, "name": "lab"}, "role": null, "tenant": null, "platform": null, "description": "",
            "primary_ip4": {"id": 1, "family": 4, "address": "192.0.2.9/32"}, "tags": [], "custom_fields": {}}"#
                .into()
        }),
        _ => (Vec::new(), |_, _| String::new()),
    };
    let (from, to) = (number(query, "id__gte").unwrap_or(0), number(query, "id__lt").unwrap_or(u32::MAX));
    let mut ids: Vec<u32> = ids.into_iter().filter(|id| (from..to).contains(id)).collect();
    if query.contains("last_updated__gte=") {
        ids.retain(|id| path == "/api/dcim/devices/" && world.renamed.contains(id));
    }
    if query.contains("ordering=-id") {
        ids.reverse();
    }
    page(world, path, query, &ids, object)
}

/// The value of a parameter.
fn number(query: &str, name: &str) -> Option<u32> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?.parse().ok()
}

fn page(world: &World, path: &str, query: &str, ids: &[u32], object: Object) -> String {
    let (limit, start, offset) =
        (number(query, "limit").unwrap_or(50), number(query, "start"), number(query, "offset"));
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
    let results: Vec<String> = shown.into_iter().map(|id| object(world, id)).collect();
    format!(r#"{{"count": {count}, "next": {next}, "previous": null, "results": [{}]}}"#, results.join(","))
}

fn devices(world: &World) -> impl Iterator<Item = u32> {
    (1..=world.devices).filter(|id| !world.deleted.contains(id))
}

fn address(id: u32) -> String {
    format!("10.{}.{}.1", id >> 8 & 255, id & 255)
}

fn device(world: &World, id: u32) -> String {
    let suffix = if world.renamed.contains(&id) { "-new" } else { "" };
    format!(
        r#"{{"id": {id}, "name": "edge-{id}{suffix}", "status": {{"value": "active", "label": "Active"}}, "site": {{"id": 1, "name": "Zurich"}},
        "role": {{"id": 1, "name": "Edge", "slug": "edge"}}, "platform": null, "tenant": {{"id": 1, "name": "Acme", "slug": "acme"}}, "oob_ip": null,
        "device_type": {{"id": 1, "model": "MX480", "slug": "mx480", "manufacturer": {{"id": 1, "name": "Juniper", "slug": "juniper"}}}},
        "primary_ip4": {{"id": {id}, "family": 4, "address": "{}/24"}}, "tags": [{{"id": 1, "name": "Flow", "slug": "flow"}}],
        "custom_fields": {{"snmp": "v3", "none": null}}, "a_later_field": {{"x": [1]}}}}"#,
        address(id)
    )
}

/// `127.x.y.z` of device `xyz`, at its first interface: what an exporter in a test can send from.
fn ip_address(world: &World, id: u32) -> String {
    let interface = (id - 1) * world.interfaces_per_device + 1;
    format!(
        r#"{{"id": {id}, "address": "127.{}.{}.{}/8", "vrf": null, "assigned_object_type": "dcim.interface",
        "assigned_object_id": {interface}, "status": {{"value": "active"}}, "role": null, "tenant": null,
        "dns_name": "", "description": ""}}"#,
        id >> 16 & 255,
        id >> 8 & 255,
        id & 255
    )
}

fn interface(world: &World, id: u32) -> String {
    let (device, port) = ((id - 1) / world.interfaces_per_device + 1, (id - 1) % world.interfaces_per_device);
    format!(
        r#"{{"id": {id}, "device": {{"id": {device}, "name": "edge-{device}"}}, "name": "xe-0/0/{port}", "label": "", "speed": null,
        "type": {{"value": "10gbase-x-sfpp", "label": "SFP+"}}, "description": "to edge-{} port {port}", "enabled": true, "lag": null,
        "vrf": null, "mgmt_only": false, "tags": [], "custom_fields": {{"ifindex": {}, "role": "core"}}}}"#,
        device + 1,
        500 + port
    )
}

fn prefix(world: &World, id: u32) -> String {
    let minor = world.version.split('.').take(2).filter_map(|part| part.parse::<u32>().ok()).collect::<Vec<_>>();
    let place = if minor >= vec![4, 2] {
        r#""scope_type": "dcim.site", "scope_id": 1, "scope": {"id": 1, "name": "Zurich"}"#
    } else {
        r#""site": {"id": 1, "name": "Zurich"}"#
    };
    format!(
        r#"{{"id": {id}, "prefix": "{}.{}.{}.0/24", "vrf": null, {place}, "status": {{"value": "active"}}, "tenant": {{"id": 1, "name": "Acme"}},
        "role": {{"id": 1, "name": "Clients", "slug": "clients"}}, "description": "", "tags": []}}"#,
        10 + (id >> 16),
        id >> 8 & 255,
        id & 255
    )
}
