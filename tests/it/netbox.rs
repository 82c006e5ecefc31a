//! Rows in ClickHouse carry the names that NetBox gives, also of a change that a webhook told of, and while it is away.

use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;

use helios_collector::encode::netflow5::{self, Record};
use helios_testkit::Engine;
use helios_testkit::netbox::{Server, TOKEN, World};
use nix::sys::signal::Signal;

use crate::running::{Helios, wait_for};

/// A flow of `edge-2` from a host in its own prefix to one in the prefix of `edge-3`.
fn send(helios: &Helios) {
    let record = Record {
        src_addr: [10, 0, 2, 9],
        dst_addr: [10, 0, 3, 9],
        in_if_index: 500,
        out_if_index: 501,
        packets: 1,
        octets: 100,
        ..Record::default()
    };
    let mut message = Vec::new();
    netflow5::message(&netflow5::Header::default(), &[record], &mut message);
    UdpSocket::bind("127.0.0.2:0").unwrap().send_to(&message, helios.flows).unwrap();
}

fn wait_for_stored(helios: &Helios, rows: f64) {
    wait_for("the rows to be stored", || (helios.metric("helios_pipeline_rows_stored_total")? == rows).then_some(()));
}

/// Waits until the names in use are newer than `generation`.
fn wait_for_names(helios: &Helios, generation: f64) -> f64 {
    wait_for("names to be taken up", || helios.metric("helios_enricher_generation").filter(|now| *now > generation))
}

fn start(engine: &Engine, netbox: &Server, folder: &Path) -> Helios {
    let token = folder.join("token");
    std::fs::write(&token, TOKEN).unwrap();
    let settings = [
        format!("netbox.url={}", netbox.url()),
        format!("netbox.token_file={}", token.display()),
        // Only a hint brings a change within the test.
        "netbox.refresh_interval_ms=600000".to_owned(),
        format!("collector.state_dir={}", folder.join("state").display()),
        "enricher.reload_interval_ms=20".to_owned(),
    ];
    Helios::ready(&engine.url(), &settings.each_ref().map(String::as_str))
}

fn wait_for_devices(helios: &Helios) {
    wait_for("NetBox's devices", || (helios.metric("helios_enricher_devices")? >= 50.0).then_some(()));
}

#[test]
fn rows_carry_netboxs_names_a_hint_brings_changes_and_the_saved_ones_outlive_netbox() {
    let engine = Engine::start();
    let folder = tempfile::tempdir().unwrap();
    let netbox = Server::start(World::default());
    let helios = start(&engine, &netbox, folder.path());
    wait_for_devices(&helios);
    send(&helios);
    wait_for_stored(&helios, 1.0);
    let row = engine.query(
        "SELECT exporter_name, exporter_site, exporter_region, exporter_role, exporter_tenant,
                in_if_name, in_if_description, in_if_speed, in_if_role, out_if_name,
                src_network, src_site, src_role, src_tenant, dst_network
         FROM helios.flows",
    );
    let expected = [
        "edge-2",
        "Zurich",
        "Switzerland",
        "Edge",
        "Acme",
        "xe-0/0/0",
        "to edge-3 port 0",
        "10000000000",
        "core",
        "xe-0/0/1",
        "10.0.2.0/24",
        "Zurich",
        "Clients",
        "Acme",
        "10.0.3.0/24",
    ];
    assert_eq!(row.trim_end().split('\t').collect::<Vec<_>>(), expected);

    let generation = helios.metric("helios_enricher_generation").unwrap();
    netbox.world().renamed.insert(2);
    let (status, answer) = helios.post("/api/v1/netbox/hint").unwrap();
    assert!((200..300).contains(&status), "{status} {answer}");
    wait_for_names(&helios, generation);
    send(&helios);
    wait_for_stored(&helios, 2.0);
    let renamed = "SELECT count() FROM helios.flows WHERE exporter_name = 'edge-2-new'";
    assert_eq!(engine.query(renamed).trim(), "1");
    let generation = helios.metric("helios_enricher_generation").unwrap();
    netbox.world().renamed.remove(&2);
    helios.signal(Signal::SIGHUP);
    wait_for_names(&helios, generation);
    send(&helios);
    wait_for_stored(&helios, 3.0);
    assert_eq!(engine.query("SELECT count() FROM helios.flows WHERE exporter_name = 'edge-2'").trim(), "2");
    netbox.world().renamed.insert(2);
    let generation = helios.metric("helios_enricher_generation").unwrap();
    helios.post("/api/v1/netbox/hint?full=1").unwrap();
    wait_for_names(&helios, generation);
    let (status, log) = helios.stop();
    assert!(status.success(), "{log}");

    netbox.world().authorization = "Token another".into();
    let helios = start(&engine, &netbox, folder.path());
    wait_for_devices(&helios);
    wait_for("the log to say what to do", || helios.log().contains("netbox.token_file").then_some(()));
    helios.post("/api/v1/netbox/hint").unwrap();
    wait_for("a second refusal", || (helios.metric("helios_netbox_failures_total")? >= 2.0).then_some(()));
    assert_eq!(helios.log().matches("NetBox refuses the token").count(), 1, "said once: {}", helios.log());
    send(&helios);
    wait_for_stored(&helios, 1.0);
    assert_eq!(engine.query(renamed).trim(), "2");
}

#[test]
fn check_explains_what_netbox_gives_to_an_interface() {
    let netbox = Server::start(World::default());
    let explain = |token: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_helios"));
        command.args(["check", "--explain", "edge-2", "500"]);
        command.env_clear().env("NETBOX_API_URL", netbox.url()).env("NETBOX_API_TOKEN", token).output().unwrap()
    };
    let output = explain(TOKEN);
    let page = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{page} {}", String::from_utf8_lossy(&output.stderr));
    let words: Vec<Vec<&str>> = page.lines().map(|line| line.split_whitespace().collect()).collect();
    for line in [
        "name edge-2 netbox",
        "site Zurich netbox",
        "region Switzerland netbox",
        "role Edge netbox",
        "index 500 netbox",
        "name xe-0/0/0 netbox",
        "description to edge-3 port 0 netbox",
        "speed 10000000000 netbox",
        "role core netbox",
    ] {
        assert!(words.iter().any(|words| words.join(" ") == line), "no {line:?} in {page}");
    }
    let refused = explain("another");
    let said = String::from_utf8_lossy(&refused.stderr) + String::from_utf8_lossy(&refused.stdout);
    assert!(said.contains("refuses the token"), "{said}");
}
