//! Sources that change again and again while flows keep coming: no row is lost or held up, and every row has the names
//! of one version of each source.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use helios_collector::encode::netflow5::{self, Header, Record};
use helios_lab::mmdb::{Writer, asn_record};
use helios_testkit::Engine;
use helios_testkit::netbox::lifelike::{Address, Device, Interface, Network, On, Prefix, Scope, Site};
use helios_testkit::netbox::{Server, TOKEN, World};

use crate::load::{assert_balanced, number, wait_for_room};
use crate::running::{Helios, wait_for};

/// Versions of every source, the first one included.
const VERSIONS: u32 = 8;

/// Networks in the list, so that building the tables takes longer than a batch.
const NETWORKS: u32 = 5_000;

/// Exporters that send, each from an address of its own.
const EXPORTERS: u8 = 3;

/// A row of a message: 10.x is the list's, 8.x GeoIP's, 11.x NetBox's.
fn records() -> Vec<Record> {
    let record = |src_addr, dst_addr| Record { src_addr, dst_addr, in_if_index: 7, octets: 100, ..Record::default() };
    vec![record([10, 0, 0, 1], [10, 0, 1, 1]), record([8, 8, 8, 8], [8, 1, 1, 1]), record([11, 1, 1, 1], [11, 2, 2, 2])]
}

/// Sends until it is told to end; returns the rows sent.
fn load(to: SocketAddr, exporter: u8, stop: &AtomicBool) -> u32 {
    let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, exporter), 0)).unwrap();
    let (records, mut sequence) = (records(), 0);
    while !stop.load(Ordering::Relaxed) {
        let mut message = Vec::new();
        netflow5::message(&Header { sequence, ..Header::default() }, &records, &mut message);
        wait_for_room(to.port());
        socket.send_to(&message, to).unwrap();
        sequence += records.len() as u32;
        thread::sleep(Duration::from_millis(1)); // paces, waits for nothing
    }
    sequence
}

/// Puts a file in the place of another one.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(&new, path).unwrap();
}

fn write_networks(path: &Path, version: u32) {
    let mut text = String::from("network,name,site,role,tenant\n");
    for number in 0..NETWORKS {
        let [high, low] = (number as u16).to_be_bytes();
        text += &format!("10.{high}.{low}.0/24,net-{version},site-{version},role-{version},tenant-{version}\n");
    }
    replace(path, &text);
}

fn write_geoip(path: &Path, version: u32) {
    let mut geoip = Writer::new("GeoLite2-ASN");
    let record = geoip.record(&asn_record(64_000 + version, &format!("as-{version}")));
    geoip.insert("8.0.0.0/8".parse().unwrap(), record);
    geoip.write(path).unwrap();
}

/// A device for each exporter and a prefix, all of one site; their names are those of the version.
fn network(version: u32) -> Network {
    let mut network = Network::default();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    network.sites.insert(1, Site { name: format!("place-{version}"), region: None, asns: Vec::new() });
    network.changed.insert(("dcim/sites", 1), now);
    for id in 2..2 + u32::from(EXPORTERS) {
        let device = Device {
            name: Some(format!("pe{id}-{version}")),
            site: 1,
            role: "Edge",
            tenant: None,
            primary4: Some(id),
            primary6: None,
            master: None,
        };
        network.devices.insert(id, device);
        let port = Interface {
            device: id,
            name: format!("port-{version}"),
            description: format!("to-{version}"),
            kind: "10gbase-x-sfpp",
            lag: None,
            vrf: None,
            ifindex: Some(7),
        };
        network.interfaces.insert(id, port);
        let address = [127, 0, 0, id as u8].into();
        network.addresses.insert(id, Address { address, bits: 32, vrf: None, on: On::Interface(id) });
        network.changed.extend([(("dcim/devices", id), now), (("dcim/interfaces", id), now)]);
    }
    let prefix =
        Prefix { network: [11, 0, 0, 0].into(), bits: 8, vrf: None, scope: Scope::Site(1), role: None, tenant: None };
    network.prefixes.insert(1, prefix);
    network
}

struct Files {
    networks: PathBuf,
    geoip: PathBuf,
}

/// How often each source was taken up, by its label without what is behind the colon.
fn loads(helios: &Helios) -> Option<BTreeMap<String, u32>> {
    let (_, page) = helios.get("/metrics")?;
    let samples = page.lines().filter_map(|line| {
        let (labels, value) = line.strip_prefix("helios_enricher_source_loads_total{source=\"")?.rsplit_once(' ')?;
        Some((labels.split([':', '"']).next()?.to_owned(), value.parse().ok()?))
    });
    Some(samples.collect())
}

/// Changes all sources and waits until each is taken up, with rows being enriched meanwhile.
fn change(helios: &Helios, netbox: &Server, files: &Files, version: u32) {
    let before = loads(helios).unwrap();
    let enriched = helios.metric("helios_enricher_rows_total").unwrap();
    netbox.world().network = Some(Arc::new(network(version)));
    write_networks(&files.networks, version);
    write_geoip(&files.geoip, version);
    let (status, answer) = helios.post("/api/v1/netbox/hint").unwrap();
    assert!((200..300).contains(&status), "{status} {answer}");
    wait_for("every source to be taken up", || {
        loads(helios)?.iter().all(|(source, loads)| loads > &before[source]).then_some(())
    });
    assert!(helios.metric("helios_enricher_rows_total").unwrap() > enriched, "no row during the change");
    assert_balanced(helios);
}

#[test]
fn sources_that_change_under_load_cost_no_row_and_are_never_mixed() {
    let engine = Engine::start();
    let folder = tempfile::tempdir().unwrap();
    let files = Files { networks: folder.path().join("networks.csv"), geoip: folder.path().join("asn.mmdb") };
    write_networks(&files.networks, 0);
    write_geoip(&files.geoip, 0);
    let netbox = Server::start(World { network: Some(Arc::new(network(0))), ..World::default() });
    let token = folder.path().join("token");
    std::fs::write(&token, TOKEN).unwrap();
    let helios = Helios::ready(
        &engine.url(),
        &[
            &format!("netbox.url={}", netbox.url()),
            &format!("netbox.token_file={}", token.display()),
            "netbox.refresh_interval_ms=600000",
            &format!("enricher.networks.files={}", files.networks.display()),
            &format!("enricher.geoip.asn={}", files.geoip.display()),
            "enricher.reload_interval_ms=20",
        ],
    );
    let devices = f64::from(EXPORTERS);
    wait_for("NetBox's devices", || (helios.metric("helios_enricher_devices")? >= devices).then_some(()));

    let stop = AtomicBool::new(false);
    let sent: u32 = thread::scope(|scope| {
        let to = helios.flows;
        let stop = &stop;
        let exporters: Vec<_> = (2..2 + EXPORTERS).map(|id| scope.spawn(move || load(to, id, stop))).collect();
        wait_for("rows", || (helios.metric("helios_enricher_rows_total")? > 0.0).then_some(()));
        for version in 1..VERSIONS {
            change(&helios, &netbox, &files, version);
        }
        // A source has loaded before the tables of its version are built and in use.
        let last = VERSIONS - 1;
        let newest = format!("src_network = 'net-{last}' OR src_as = 64000 + {last} OR exporter_site = 'place-{last}'");
        let kinds =
            format!("SELECT uniq(bitShiftRight(toUInt32(toIPv4(src_addr)), 24)) FROM helios.flows WHERE {newest}");
        wait_for("rows of the last version", || (number(&engine, &kinds) == 3).then_some(()));
        stop.store(true, Ordering::Relaxed);
        exporters.into_iter().map(|exporter| exporter.join().unwrap()).sum()
    });
    wait_for("all rows to be stored", || {
        assert_balanced(&helios);
        (helios.metric("helios_pipeline_rows_stored_total")? == f64::from(sent)).then_some(())
    });
    assert_eq!(number(&engine, "SELECT count() FROM helios.flows"), u64::from(sent));
    let pause = assert_one_version(&engine);
    println!("{sent} rows, {VERSIONS} versions of each source; longest pause between two rows {pause} ms");
}

/// Every row has one version of each source, every version is there, and the newest one in the end. Returns the longest
/// pause in receiving, in milliseconds.
fn assert_one_version(engine: &Engine) -> u64 {
    let of_list = "splitByChar('-', src_network)[2] AS v,
        src_network != 'net-' || v OR src_site != 'site-' || v OR src_role != 'role-' || v OR src_tenant != 'tenant-' || v
        OR dst_network != src_network OR dst_site != src_site OR dst_role != src_role OR dst_tenant != src_tenant";
    let of_geoip = "splitByChar('-', src_as_name)[2] AS v,
        src_as_name != 'as-' || v OR src_as != 64000 + toUInt32(v) OR dst_as != src_as OR dst_as_name != src_as_name";
    let of_netbox = "splitByChar('-', exporter_site)[2] AS v,
        exporter_site != 'place-' || v OR NOT endsWith(exporter_name, '-' || v) OR in_if_name != 'port-' || v
        OR in_if_description != 'to-' || v OR src_site != exporter_site OR dst_site != exporter_site";
    for (first, mixed) in [(10, of_list), (8, of_geoip), (11, of_netbox)] {
        let rows = format!(
            "(SELECT {mixed} AS mixed, received_at FROM helios.flows
              WHERE bitShiftRight(toUInt32(toIPv4(src_addr)), 24) = {first})"
        );
        assert_eq!(
            number(engine, &format!("SELECT countIf(mixed) FROM {rows}")),
            0,
            "rows of two versions of {first}/8"
        );
        let versions = engine.query(&format!("SELECT v, count() FROM {rows} GROUP BY v ORDER BY toUInt32(v)"));
        let seen: Vec<&str> = versions.lines().map(|line| line.split('\t').next().unwrap()).collect();
        assert_eq!(seen, (0..VERSIONS).map(|version| version.to_string()).collect::<Vec<_>>(), "{versions}");
        let last = format!("SELECT argMax(v, received_at) FROM {rows}");
        assert_eq!(number(engine, &last), u64::from(VERSIONS - 1), "the newest version in the end");
    }
    // Receiving was never held up: what came in a second came by itself.
    let gap = "SELECT toUInt64(max(gap)) FROM (SELECT dateDiff('millisecond', lagInFrame(received_at, 1, received_at)
        OVER (ORDER BY received_at ROWS BETWEEN 1 PRECEDING AND CURRENT ROW), received_at) AS gap FROM helios.flows)";
    let gap = number(engine, gap);
    assert!(gap < 1000, "nothing was received for {gap} ms");
    gap
}
