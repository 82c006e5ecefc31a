//! The source against a server that answers like NetBox.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use helios_netbox::model::Scope;
use helios_netbox::{Filters, Inspection, NetBox, NetBoxConfig, NetBoxError, Stats};
use helios_testkit::netbox::{Fault, Server, TOKEN, World};
use helios_testkit::proxy::{Proxy, Schedule};

fn config(server: &Server, directory: &Path, token: &str) -> NetBoxConfig {
    let token_file = directory.join("token");
    std::fs::write(&token_file, format!("{token}\n")).expect("a token file");
    NetBoxConfig {
        url: Some(server.url()),
        token_file: Some(token_file),
        page_size: 7,
        refresh_interval_ms: 100,
        ..NetBoxConfig::default()
    }
}

fn start(config: NetBoxConfig, saved: Option<PathBuf>) -> NetBox {
    NetBox::start(config, saved).expect("a thread")
}

#[track_caller]
fn wait(netbox: &NetBox, what: &str, condition: impl Fn(&Stats) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !condition(&netbox.stats()) {
        assert!(Instant::now() < deadline, "{what}: {:?}", netbox.stats());
        std::thread::sleep(Duration::from_millis(5)); // between two looks at the condition
    }
}

fn devices(netbox: &NetBox) -> usize {
    netbox.current().map_or(0, |snapshot| snapshot.tables.devices.len())
}

#[test]
fn every_version_is_read_whole_page_by_page() {
    for (version, token, scheme) in
        [("3.7.8", TOKEN, "Token"), ("4.2.3", TOKEN, "Token"), ("4.6.0", "nbt_key.secret", "Bearer")]
    {
        let directory = tempfile::tempdir().unwrap();
        let server = Server::start(World { version, authorization: format!("{scheme} {token}"), ..World::default() });
        let netbox = start(config(&server, directory.path(), token), None);
        wait(&netbox, version, |stats| stats.generation == 1);
        let snapshot = netbox.current().unwrap();
        let tables = &snapshot.tables;
        assert_eq!((tables.devices.len(), tables.interfaces.len(), tables.prefixes.len()), (50, 200, 50), "{version}");
        assert!(tables.prefixes.rows().iter().all(|prefix| prefix.scope == Scope::Site(1)), "{version}");
        let device = tables.devices.get(7).unwrap();
        assert_eq!((snapshot.text(device.name), snapshot.site_name(device.site)), ("edge-7", "Zurich"));
        assert_eq!(snapshot.address(device.primary_ip4), "10.0.7.1".parse().ok());
        assert_eq!((snapshot.device_role_name(device.role), snapshot.tenant_name(device.tenant)), ("Edge", "Acme"));
        let indices: Vec<u32> = snapshot.interfaces_of(7).map(|interface| interface.index).collect();
        assert_eq!(indices, [500, 501, 502, 503]);
        let contexts = ["/api/dcim/devices/", "/api/virtualization/virtual-machines/"];
        let with_contexts = server
            .world()
            .requests
            .iter()
            .find(|request| {
                contexts.iter().any(|list| request.starts_with(list)) && !request.contains("exclude=config_context")
            })
            .cloned();
        assert_eq!(with_contexts, None, "{version}: NetBox computes config contexts for nothing");
        let by_id = server.world().requests.iter().any(|request| request.contains("&start="));
        assert_eq!(by_id, version == "4.6.0", "{version}");
    }
}

#[test]
fn a_configured_filter_goes_with_every_request_for_its_kind() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(World::default());
    let filters: Vec<(&str, String)> =
        ["dcim/devices", "dcim/interfaces", "ipam/ip-addresses", "ipam/prefixes", "virtualization/virtual-machines"]
            .into_iter()
            .zip(1..)
            .map(|(list, n)| (list, format!("status=active&tag=of-list-{n}")))
            .collect();
    let [devices, interfaces, ip_addresses, prefixes, virtual_machines] = [0, 1, 2, 3, 4].map(|n| filters[n].1.clone());
    let set = Filters { devices, interfaces, ip_addresses, prefixes, virtual_machines };
    let netbox = start(NetBoxConfig { filters: set, ..config(&server, directory.path(), TOKEN) }, None);
    // A full refresh and incremental ones.
    wait(&netbox, "read three times", |stats| stats.refreshes >= 3);
    let requests = server.world().requests.clone();
    for (list, filter) in &filters {
        let of_list: Vec<&String> =
            requests.iter().filter(|request| request.starts_with(&format!("/api/{list}/"))).collect();
        let without = of_list.iter().find(|request| !request.contains(&format!("&{filter}")));
        assert_eq!((of_list.len() >= 4, without), (true, None), "{list}");
    }
}

#[test]
fn what_is_changed_or_deleted_is_seen_at_the_next_refresh() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(World::default());
    let netbox = start(config(&server, directory.path(), TOKEN), None);
    wait(&netbox, "read", |stats| stats.generation == 1);
    server.world().renamed.insert(3);
    netbox.hint();
    wait(&netbox, "renamed", |_| {
        netbox.current().is_some_and(|snapshot| {
            snapshot.tables.devices.get(3).is_some_and(|device| snapshot.text(device.name) == "edge-3-new")
        })
    });
    server.world().deleted.insert(4);
    wait(&netbox, "deleted", |_| devices(&netbox) == 49);
    let snapshot = netbox.current().unwrap();
    assert!(snapshot.tables.devices.get(4).is_none() && snapshot.interfaces_of(4).count() == 0);
}

#[test]
fn what_is_deleted_and_added_between_two_pages_moves_nothing_out_of_sight() {
    for version in ["3.7.8", "4.2.3", "4.6.0"] {
        let directory = tempfile::tempdir().unwrap();
        // Behind each page of seven a device goes that was read already, and one comes: the count stays as it was.
        let server = Server::start(World { version, churn: vec![1, 2, 3, 4, 5], ..World::default() });
        let config = NetBoxConfig { concurrency: 1, ..config(&server, directory.path(), TOKEN) };
        let netbox = start(config, None);
        wait(&netbox, version, |stats| stats.generation == 1);
        let world = server.world().clone();
        assert_eq!((world.churn.len(), world.devices), (0, 55), "{version}");
        let first = netbox.current().unwrap();
        let missing: Vec<u32> = (6..=55).filter(|id| first.tables.devices.get(*id).is_none()).collect();
        assert_eq!(missing, [0; 0], "{version}");
        wait(&netbox, "those that went", |_| devices(&netbox) == 50);
    }
}

#[test]
fn the_certificate_has_to_be_of_the_configured_authority() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(World::default());
    let own = Proxy::encrypted(&server.url(), Schedule::list([]));
    let other = Proxy::encrypted(&server.url(), Schedule::list([]));
    let config = |authority: &Proxy| NetBoxConfig {
        url: Some(own.url()),
        ca_file: authority.ca_file(),
        ..config(&server, directory.path(), TOKEN)
    };
    let netbox = start(config(&own), None);
    wait(&netbox, "read", |stats| stats.generation == 1);
    assert_eq!(devices(&netbox), 50);
    let netbox = start(config(&other), None);
    wait(&netbox, "refused", |stats| stats.problem.is_some());
    let problem = netbox.stats().problem.unwrap();
    assert_eq!((problem.reason, devices(&netbox)), ("unreachable", 0));
    assert!(problem.message.contains("certificate") && problem.message.contains("netbox.ca_file"), "{problem:?}");
}

#[test]
fn a_refused_token_keeps_the_names_and_is_told_with_its_status() {
    for refusal in [401, 403] {
        let directory = tempfile::tempdir().unwrap();
        let server = Server::start(World::default());
        let netbox = start(config(&server, directory.path(), TOKEN), None);
        wait(&netbox, "read", |stats| stats.generation == 1);
        {
            let mut world = server.world();
            world.authorization = "Token of somebody else".into();
            world.refusal = refusal;
        }
        wait(&netbox, "refused twice", |stats| {
            netbox.hint();
            stats.failures.iter().any(|(reason, failures)| *reason == "token" && *failures >= 2)
        });
        let message = netbox.stats().problem.unwrap().message;
        assert!(message.contains(&refusal.to_string()) && message.contains("netbox.token_file"), "{message}");
        assert_eq!((devices(&netbox), netbox.generation()), (50, 1), "{refusal}");
        let retries = netbox.stats().retries;
        assert_eq!(retries, 0, "a bad token is not asked with again at once");
    }
}

#[test]
fn faults_are_retried_within_a_refresh() {
    let directory = tempfile::tempdir().unwrap();
    let faults = vec![Fault::Status(500), Fault::Status(429), Fault::Cut, Fault::Status(503)];
    let server = Server::start(World { faults, ..World::default() });
    let netbox = start(config(&server, directory.path(), TOKEN), None);
    wait(&netbox, "read", |stats| stats.generation == 1);
    assert!(netbox.stats().retries >= 4);
    assert_eq!(netbox.stats().failures.iter().map(|(_, count)| count).sum::<u64>(), 0);
}

#[test]
fn a_bad_netbox_leaves_the_last_good_snapshot_in_use_and_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(World::default());
    let netbox = start(config(&server, directory.path(), TOKEN), None);
    wait(&netbox, "read", |stats| stats.generation == 1);
    let problem = |reason| move |stats: &Stats| stats.problem.as_ref().is_some_and(|problem| problem.reason == reason);
    server.world().authorization = "Token other".into();
    wait(&netbox, "token", problem("token"));
    server.world().authorization = format!("Token {TOKEN}");
    wait(&netbox, "well again", |stats| stats.problem.is_none());
    server.world().faults = vec![Fault::Garbage];
    wait(&netbox, "garbage", |stats| stats.failures.contains(&("answer", 1)));
    server.world().deleted = (1..=40).collect();
    wait(&netbox, "shrunk", problem("shrunk"));
    assert_eq!((devices(&netbox), netbox.generation()), (50, 1));
}

#[test]
fn what_the_token_may_not_view_is_left_out_unless_names_would_be_wrong_without_it() {
    let directory = tempfile::tempdir().unwrap();
    let forbidden = ["ipam/asns", "dcim/regions", "virtualization/virtual-machines"].into();
    let server = Server::start(World { forbidden, ..World::default() });
    let netbox = start(config(&server, directory.path(), TOKEN), None);
    wait(&netbox, "read", |stats| stats.generation == 1);
    assert_eq!(devices(&netbox), 50);
    let rows = |kind| netbox.stats().rows.iter().find(|(name, _)| *name == kind).map(|(_, rows)| *rows);
    assert_eq!((rows("regions"), rows("virtual-machines"), rows("tenants")), (Some(0), Some(0), Some(1)));
    assert_eq!(netbox.stats().problem, None);
    server.world().forbidden = ["ipam/vrfs"].into();
    wait(&netbox, "VRFs refused", |stats| stats.problem.as_ref().is_some_and(|problem| problem.reason == "token"));
    server.world().forbidden.clear();
    wait(&netbox, "regions", |_| rows("regions") == Some(2));
}

#[test]
fn a_slow_answer_is_given_up_and_said() {
    let directory = tempfile::tempdir().unwrap();
    // Takes connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Some(format!("http://{}", silent.local_addr().unwrap()));
    let server = Server::start(World::default());
    let config = NetBoxConfig { url, timeout_ms: 20, ..config(&server, directory.path(), TOKEN) };
    let netbox = start(config, None);
    wait(&netbox, "timed out", |stats| stats.problem.as_ref().is_some_and(|problem| problem.reason == "timeout"));
    assert!(netbox.stats().problem.unwrap().message.contains("netbox.timeout_ms"));
}

#[test]
fn an_answer_that_stops_half_way_is_asked_for_again() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(World { faults: vec![Fault::Stall, Fault::Stall], ..World::default() });
    // Long enough for a whole answer on a busy machine: what is late is not what stops.
    let config = NetBoxConfig { timeout_ms: 1500, ..config(&server, directory.path(), TOKEN) };
    let netbox = start(config, None);
    wait(&netbox, "read", |stats| stats.generation == 1);
    assert_eq!((devices(&netbox), netbox.stats().retries >= 2), (50, true));
}

#[test]
fn a_full_refresh_brings_what_time_of_change_does_not_tell() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(World::default());
    let config = NetBoxConfig { full_refresh_interval_ms: 150, ..config(&server, directory.path(), TOKEN) };
    let netbox = start(config, None);
    wait(&netbox, "read", |stats| stats.generation == 1);
    // As where a token loses a permission and gains another one: the count is the same, nothing says that it was changed.
    server.world().deleted = (1..=5).collect();
    server.world().devices += 5;
    let has = |id| netbox.current().is_some_and(|snapshot| snapshot.tables.devices.get(id).is_some());
    wait(&netbox, "the others", |_| has(55) && !has(1) && devices(&netbox) == 50);
}

#[test]
fn the_saved_snapshot_serves_while_netbox_is_away() {
    let directory = tempfile::tempdir().unwrap();
    let saved = directory.path().join("state/netbox.snapshot");
    let server = Server::start(World::default());
    let config = config(&server, directory.path(), TOKEN);
    let netbox = start(config.clone(), Some(saved.clone()));
    wait(&netbox, "saved", |stats| stats.refreshes >= 2);
    drop(netbox);
    server.world().authorization = "Token other".into();
    let netbox = start(config.clone(), Some(saved.clone()));
    assert_eq!(devices(&netbox), 50);
    wait(&netbox, "refused", |stats| stats.problem.is_some());
    assert_eq!((devices(&netbox), netbox.stats().age_ms.is_some()), (50, true));
    let other = NetBoxConfig { ifindex_field: "snmp_index".into(), ..config };
    assert_eq!(devices(&start(other, Some(saved))), 0);
}

#[test]
fn a_guest_reads_what_is_saved_and_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let saved = directory.path().join("netbox.snapshot");
    let server = Server::start(World::default());
    let config = config(&server, directory.path(), TOKEN);
    let netbox = start(config.clone(), Some(saved.clone()));
    wait(&netbox, "saved", |stats| stats.refreshes >= 2);
    drop(netbox);
    let before = std::fs::read(&saved).unwrap();
    let guest = NetBox::visit(config.clone(), Some(&saved)).unwrap();
    assert_eq!(devices(&guest), 50);
    // One with other settings does not use what is saved, and must not replace it.
    let other = NetBoxConfig { ifindex_field: "snmp_index".into(), ..config };
    let guest = NetBox::visit(other, Some(&saved)).unwrap();
    wait(&guest, "read", |stats| stats.refreshes >= 2);
    drop(guest);
    assert!(std::fs::read(&saved).unwrap() == before, "the snapshot was written");
}

#[test]
fn a_netbox_that_hangs_is_told_at_the_first_time_out() {
    let directory = tempfile::tempdir().unwrap();
    // Takes connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Some(format!("http://{}", silent.local_addr().unwrap()));
    let server = Server::start(World::default());
    let config = NetBoxConfig { url, timeout_ms: 2000, ..config(&server, directory.path(), TOKEN) };
    let netbox = start(config, None);
    wait(&netbox, "timed out", |stats| stats.problem.as_ref().is_some_and(|problem| problem.reason == "timeout"));
    let stats = netbox.stats();
    assert!(stats.retries <= 2, "noticed after {} repetitions", stats.retries);
    assert!(stats.failures.contains(&("timeout", 1)), "{:?}", stats.failures);
}

#[test]
fn a_full_refresh_can_be_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(World::default());
    let netbox = start(config(&server, directory.path(), TOKEN), None);
    wait(&netbox, "read", |stats| stats.generation == 1);
    // As many go as come, and nothing says that it was changed.
    server.world().deleted = (1..=5).collect();
    server.world().devices += 5;
    let has = |id| netbox.current().is_some_and(|snapshot| snapshot.tables.devices.get(id).is_some());
    let refreshes = netbox.stats().refreshes;
    wait(&netbox, "three refreshes", |stats| stats.refreshes >= refreshes + 3);
    assert!(has(1) && !has(55));
    netbox.hint_full();
    wait(&netbox, "the others", |_| has(55) && !has(1));
}

#[test]
fn a_permission_that_is_lost_stops_that_kind_alone() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(World::default());
    let config = NetBoxConfig { full_refresh_interval_ms: 150, ..config(&server, directory.path(), TOKEN) };
    let netbox = start(config, None);
    wait(&netbox, "read", |stats| stats.generation == 1);
    server.world().forbidden = ["ipam/vrfs", "tenancy/tenants"].into();
    wait(&netbox, "VRFs refused", |stats| stats.problem.as_ref().is_some_and(|problem| problem.reason == "token"));
    server.world().renamed.insert(3);
    wait(&netbox, "renamed", |_| {
        netbox.current().is_some_and(|snapshot| {
            snapshot.tables.devices.get(3).is_some_and(|device| snapshot.text(device.name) == "edge-3-new")
        })
    });
    let snapshot = netbox.current().unwrap();
    let device = snapshot.tables.devices.get(3).unwrap();
    assert_eq!((snapshot.vrf_name(1), snapshot.tenant_name(device.tenant)), ("red", "Acme"), "as they were");
    server.world().forbidden.clear();
    wait(&netbox, "well again", |stats| stats.problem.is_none());
}

fn inspect(config: &NetBoxConfig) -> Result<Inspection, NetBoxError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(helios_netbox::inspect(config))
}

#[test]
fn an_inspection_names_permissions_fields_and_filters_that_are_missing() {
    let directory = tempfile::tempdir().unwrap();
    let forbidden = ["ipam/vrfs", "dcim/regions"].into();
    let server = Server::start(World { forbidden, ..World::default() });
    let filters = Filters { devices: "status=active&statsu=active".into(), ..Filters::default() };
    let role_field = "rolle".to_owned();
    let config = NetBoxConfig { filters, role_field, ..config(&server, directory.path(), TOKEN) };
    let found = inspect(&config).unwrap();
    assert_eq!((&*found.version, found.objects.contains(&("devices", 50))), ("4.2.3", true));
    assert_eq!((found.refused, found.missing), (vec!["ipam.view_vrf"], vec!["dcim.view_region"]));
    assert_eq!(found.unknown_fields, [("role_field", "rolle".to_owned())]);
    assert_eq!(found.ignored_filters, [("devices", "statsu".to_owned())]);
    server.world().authorization = "Token other".into();
    assert!(matches!(inspect(&config), Err(NetBoxError::Token { .. })));
}

#[test]
fn netbox_below_a_path_and_behind_an_authority_of_its_own_is_read_and_nautobot_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(World { below: "/ipam", ..World::default() });
    let proxy = Proxy::encrypted(&server.url(), Schedule::list([]));
    let url = Some(format!("{}/ipam/", proxy.url()));
    let config = NetBoxConfig { url, ca_file: proxy.ca_file(), ..config(&server, directory.path(), TOKEN) };
    let netbox = start(config.clone(), None);
    wait(&netbox, "read", |stats| stats.generation == 1);
    assert_eq!(devices(&netbox), 50);
    server.world().status = Some(r#"{"django-version": "4.2.16", "nautobot-version": "2.4.1"}"#);
    let error = inspect(&config).unwrap_err();
    assert!(matches!(&error, NetBoxError::Nautobot { version } if version == "2.4.1"), "{error}");
}
