//! The status page: what it is made of, and what its JSON says of exporters that are ill and of senders that are none.

use std::net::UdpSocket;

use helios_collector::encode::ipfix::{self, Message};
use helios_collector::encode::{Put, field, netflow5};
use serde_json::{Value, json};

use crate::running::{Helios, nobody, wait_for};

fn start() -> Helios {
    let helios = Helios::start(&nobody(), &[]);
    wait_for("the admin port to be served", || helios.get("/healthz"));
    helios
}

fn send(helios: &Helios, source: &str, message: &[u8]) {
    UdpSocket::bind((source, 0)).unwrap().send_to(message, helios.flows).unwrap();
}

fn netflow5_message() -> Vec<u8> {
    let mut message = Vec::new();
    netflow5::message(&netflow5::Header::default(), &[netflow5::Record::default()], &mut message);
    message
}

/// A message of one record, with its template or without.
fn ipfix_message(with_template: bool, sequence: u32) -> Vec<u8> {
    let mut message = Vec::new();
    let header = ipfix::Header { export_secs: 1_700_000_000, sequence, observation_domain_id: 1 };
    let mut writer = Message::begin(&header, &mut message);
    if with_template {
        writer.template(256, &[field(8, 4), field(1, 4)]);
    }
    writer.data(256, |out| out.put(&[10, 0, 0, 1, 0, 0, 0, 100]));
    message
}

/// The exporter at an address, once the API has it.
fn exporter(helios: &Helios, address: &str) -> Option<Value> {
    let page = helios.json("/api/v1/exporters");
    page["exporters"].as_array()?.iter().find(|exporter| exporter["address"] == address).cloned()
}

fn addresses(page: &Value) -> Vec<&str> {
    page["exporters"].as_array().unwrap().iter().map(|exporter| exporter["address"].as_str().unwrap()).collect()
}

#[test]
fn the_page_is_one_file_that_asks_nobody_else() {
    let (status, page) = start().get("/").unwrap();
    assert_eq!(status, 200);
    // The name of a graphics format in an icon is no address to be asked.
    let page = page.replace("http:%2F%2Fwww.w3.org/2000/svg", "");
    for outside in ["http:", "https:", "src=", "@import", "url(", "rel=\"stylesheet\"", "innerHTML"] {
        assert!(!page.contains(outside), "the page has {outside}");
    }
    for asked in ["/api/v1/pipeline", "/api/v1/exporters"] {
        assert!(page.contains(asked), "the page does not ask {asked}");
    }
}

#[test]
fn an_exporter_waits_for_its_template_from_its_first_data_until_data_is_decoded() {
    let helios = start();
    send(&helios, "127.0.0.9", &ipfix_message(false, 0));
    let waiting = wait_for("the exporter", || exporter(&helios, "127.0.0.9"));
    assert_eq!(
        (&waiting["state"], &waiting["records"], &waiting["templates"]),
        (&json!("waits_for_template"), &json!(0), &json!(0))
    );
    let since = waiting["waits_for_template_since"].clone();
    assert!(since.is_string(), "{waiting}");
    let problem = helios.json("/api/v1/pipeline")["problems"].to_string();
    assert!(problem.contains("1 exporter sends data and no template for it"), "{problem}");
    // More data without a template does not make it wait anew.
    send(&helios, "127.0.0.9", &ipfix_message(false, 1));
    let still =
        wait_for("the second message", || exporter(&helios, "127.0.0.9").filter(|exporter| exporter["datagrams"] == 2));
    assert_eq!(still["waits_for_template_since"], since);
    // The template comes: what was held is decoded.
    send(&helios, "127.0.0.9", &ipfix_message(true, 2));
    let well = wait_for("its data", || exporter(&helios, "127.0.0.9").filter(|exporter| exporter["records"] == 3));
    assert_eq!((&well["state"], &well["waits_for_template_since"]), (&json!("ok"), &Value::Null));
    let problems = helios.json("/api/v1/pipeline")["problems"].to_string();
    assert!(!problems.contains("template"), "{problems}");
}

#[test]
fn exporters_are_found_by_search_and_state_and_come_in_pages() {
    let helios = start();
    let all = ["127.0.1.1", "127.0.1.2", "127.0.1.3"];
    for address in all {
        send(&helios, address, &netflow5_message());
    }
    send(&helios, "127.0.1.9", &ipfix_message(false, 0));
    let whole = || Some(helios.json("/api/v1/exporters")).filter(|page| addresses(page).len() == 4);
    let page = wait_for("all exporters", whole);
    assert_eq!(
        (&page["matching"], &page["states"]),
        (&json!(4), &json!({"ok": 3, "silent": 0, "waits_for_template": 1}))
    );
    for (question, expected, matching) in [
        ("search=127.0.1.2", &["127.0.1.2"][..], 1),
        ("search=NetFlow5", &all[..], 3),
        ("state=waits_for_template", &["127.0.1.9"], 1),
        ("state=silent", &[], 0),
        ("offset=1&limit=2", &["127.0.1.2", "127.0.1.3"], 4),
        ("order=trouble&limit=1", &["127.0.1.9"], 4),
        ("offset=9", &[], 4),
    ] {
        let page = helios.json(&format!("/api/v1/exporters?{question}"));
        assert_eq!((addresses(&page), &page["matching"]), (expected.to_vec(), &json!(matching)), "{question}");
    }
    let (status, problem) = helios.get("/api/v1/exporters?limit=few").unwrap();
    assert_eq!(status, 400);
    assert!(problem.contains("limit must be a number, found `few`"), "{problem}");
}

#[test]
fn a_sender_of_garbage_is_listed_with_the_reason_and_is_no_exporter() {
    let helios = start();
    send(&helios, "127.0.2.1", &[0, 8, 0, 0, 1, 2, 3, 4]);
    let refused = wait_for("the sender", || helios.json("/api/v1/exporters")["refused"].get(0).cloned());
    assert_eq!(
        (&refused["address"], &refused["reason"], &refused["datagrams"]),
        (&json!("127.0.2.1"), &json!("unknown_version"), &json!(1))
    );
    assert_eq!(exporter(&helios, "127.0.2.1"), None);
}
