//! Rows in ClickHouse carry the names that files gave their exporters, interfaces and addresses.

use std::net::UdpSocket;
use std::path::Path;

use helios_collector::encode::netflow5::{self, Record};
use helios_testkit::Engine;
use serde_json::Value;

use crate::running::{Helios, wait_for};

const DEVICES: &str = "devices:
- name: edge1
  addresses: [127.0.0.2]
  site: fra
  region: de
  role: edge
  tenant: acme
  interfaces:
  - {index: 7, name: xe-0/0/0, description: 'Transit: Arelion', speed: 10G}
  - {index: 9, name: xe-0/0/1, description: office}
";

const RULES: &str =
    "[{match_description: '(?i)^transit: (\\w+)', provider: $1, connectivity: transit, boundary: external}]";

/// Puts a file in the place of another one.
fn write(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(&new, path).unwrap();
}

/// A flow from 10.1.2.3 to 8.8.8.8, in by 7 and out by 9, of the exporter at `source`.
fn send(helios: &Helios, source: &str) {
    let record = Record {
        src_addr: [10, 1, 2, 3],
        dst_addr: [8, 8, 8, 8],
        in_if_index: 7,
        out_if_index: 9,
        packets: 1,
        octets: 100,
        ..Record::default()
    };
    let mut message = Vec::new();
    netflow5::message(&netflow5::Header::default(), &[record], &mut message);
    UdpSocket::bind((source, 0)).unwrap().send_to(&message, helios.flows).unwrap();
}

fn wait_for_stored(helios: &Helios, rows: f64) {
    wait_for("the rows to be stored", || (helios.metric("helios_pipeline_rows_stored_total")? == rows).then_some(()));
}

#[test]
fn rows_carry_names_and_a_replaced_list_is_taken_up() {
    let engine = Engine::start();
    let folder = tempfile::tempdir().unwrap();
    let (devices, networks) = (folder.path().join("devices.yaml"), folder.path().join("networks.csv"));
    write(&devices, DEVICES);
    write(&networks, "network,name,site,role,tenant,asn\n10.1.0.0/16,office,fra,clients,acme,64999\n");
    let helios = Helios::ready(
        &engine.url(),
        &[
            &format!("enricher.inventory.files={}", devices.display()),
            &format!("enricher.networks.files={}", networks.display()),
            &format!("enricher.rules.interfaces={RULES}"),
            "enricher.reload_interval_ms=20",
        ],
    );
    send(&helios, "127.0.0.2");
    send(&helios, "127.0.0.3");
    wait_for_stored(&helios, 2.0);
    let row = engine.query(
        "SELECT exporter_name, exporter_site, exporter_region, exporter_role, exporter_tenant, in_if_index, in_if_name,
                in_if_description, in_if_speed, in_if_provider, in_if_connectivity, in_if_boundary, out_if_name,
                out_if_boundary, src_network, src_site, src_role, src_tenant, src_as, dst_network
         FROM helios.flows WHERE exporter_name = 'edge1'",
    );
    let expected = "edge1 fra de edge acme 7 xe-0/0/0 Transit:_Arelion 10000000000 Arelion transit external xe-0/0/1 \
                    unknown office fra clients acme 64999";
    assert_eq!(row.trim().replace(' ', "_").split('\t').collect::<Vec<_>>().join(" ").trim_end(), expected);
    let nameless =
        engine.query("SELECT exporter_name, in_if_name, src_network FROM helios.flows WHERE exporter_site = ''");
    assert_eq!(nameless.trim(), "127.0.0.3\t\toffice", "an unknown exporter keeps its address as name");

    let page: Value = wait_for("the page to have both exporters", || {
        let (_, page) = helios.get("/api/v1/exporters")?;
        let page: Value = serde_json::from_str(page.get(page.find('{')?..=page.rfind('}')?)?).ok()?;
        (page["exporters"].as_array()?.len() == 2).then_some(page)
    });
    assert_eq!(page["unknown"], serde_json::json!(["127.0.0.3"]));
    let known = page["exporters"].as_array().unwrap().iter().find(|exporter| exporter["known"] == true).unwrap();
    assert_eq!((&known["address"], &known["name"]), (&"127.0.0.2".into(), &"edge1".into()));
    let (_, metrics) = helios.get("/metrics").unwrap();
    for line in [
        r#"helios_exporter_info{exporter="127.0.0.2",device="edge1",site="fra",region="de",role="edge",tenant="acme"} 1"#,
        r#"helios_exporter_info{exporter="127.0.0.3",device="127.0.0.3",site="",region="",role="",tenant=""} 1"#,
        r#"helios_collector_exporter_estimated_bytes_total{exporter="127.0.0.2"} 100"#,
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
    wait_for("the log to tell of the unknown exporter", || {
        let log = helios.log();
        log.contains("exporters that no inventory knows").then(|| assert!(log.contains("127.0.0.3"), "{log}"))
    });

    let generation = helios.metric("helios_enricher_generation").unwrap();
    write(&networks, "network,name\n10.1.0.0/16,renamed\n");
    wait_for("the list to be taken up", || (helios.metric("helios_enricher_generation")? > generation).then_some(()));
    send(&helios, "127.0.0.2");
    wait_for_stored(&helios, 3.0);
    assert_eq!(engine.query("SELECT count() FROM helios.flows WHERE src_network = 'renamed'").trim(), "1");
    assert_eq!(helios.metric("helios_pipeline_rows_imbalance"), Some(0.0));
}
