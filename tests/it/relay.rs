//! `collector.allow` and `collector.relay`: who is an exporter, and who else gets the datagrams.

use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::Duration;

use helios_collector::encode::netflow5;
use serde_json::json;

use crate::running::{Helios, free_udp_port, nobody, wait_for};

fn message() -> Vec<u8> {
    let mut message = Vec::new();
    netflow5::message(&netflow5::Header::default(), &[netflow5::Record::default()], &mut message);
    message
}

fn send(helios: &Helios, source: &str, message: &[u8]) -> SocketAddr {
    let socket = UdpSocket::bind((source, 0)).unwrap();
    socket.send_to(message, helios.flows).unwrap();
    socket.local_addr().unwrap()
}

fn receiver() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    socket
}

#[test]
fn only_allowed_exporters_are_decoded_and_passed_on_and_the_others_are_named() {
    let other = receiver();
    let relay = format!("collector.relay=[{{to: \"{}\"}}]", other.local_addr().unwrap());
    let helios = Helios::start(&nobody(), &[&relay, "collector.allow=[127.0.3.0/24, \"2001:db8::/32\"]"]);
    wait_for("the admin port to be served", || helios.get("/healthz"));
    send(&helios, "127.0.4.1", &message());
    wait_for("the stranger's datagram", || {
        (helios.metric("helios_collector_datagrams_received_total")? == 1.0).then_some(())
    });
    // What cannot be decoded is passed on as well: it is the other collector's to judge.
    for datagram in [message(), vec![0, 8, 1, 2]] {
        send(&helios, "127.0.3.9", &datagram);
        let mut octets = [0; 2000];
        let (length, _) = other.recv_from(&mut octets).unwrap();
        assert_eq!(octets[..length], datagram);
    }
    wait_for("both to be counted", || {
        (helios.metric("helios_collector_relay_sent_datagrams_total")? == 2.0).then_some(())
    });
    let page = wait_for("the exporter", || {
        Some(helios.json("/api/v1/exporters")).filter(|page| page["refused"].get(1).is_some())
    });
    assert_eq!(page["exporters"].as_array().unwrap().len(), 1);
    assert_eq!(page["exporters"][0]["address"], "127.0.3.9");
    let refused: Vec<_> =
        page["refused"].as_array().unwrap().iter().map(|sender| (&sender["address"], &sender["reason"])).collect();
    assert_eq!(
        refused,
        [(&json!("127.0.3.9"), &json!("unknown_version")), (&json!("127.0.4.1"), &json!("not_allowed"))]
    );
    let pipeline = helios.json("/api/v1/pipeline");
    assert_eq!(pipeline["datagrams"]["dropped"], json!({"not_allowed": 1, "unknown_version": 1}));
    assert_eq!((&pipeline["datagrams"]["imbalance"], &pipeline["relay"]["left_out"]), (&json!(0), &json!(0)));
    assert_eq!(pipeline["relay"]["destinations"][0]["sent"], 2);
}

/// Keeping the exporter's address takes CAP_NET_RAW, which root has. That it is kept is shown in a network namespace by
/// `relay::tests` of the collector; here, that a start without it says what to do.
#[test]
fn without_the_capability_the_start_says_what_to_do_and_check_warns() {
    let relay = "collector.relay=[{to: \"127.0.0.1:9\", source: exporter}]";
    let command = || match std::fs::metadata("/proc/self").unwrap().uid() == 0 {
        true => {
            let mut command = Command::new("setpriv");
            command.args(["--bounding-set=-net_raw,-net_admin", "--inh-caps=-net_raw,-net_admin"]);
            command.arg(env!("CARGO_BIN_EXE_helios"));
            command
        }
        false => Command::new(env!("CARGO_BIN_EXE_helios")),
    };
    let listen = format!("127.0.0.1:{}", free_udp_port());
    let output =
        command().args(["run", "--listen", &listen, "--set", "admin.listen=null", "--set", relay]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("collector.relay cannot send to 127.0.0.1:9 with the exporters' addresses: ")
            && said.contains("CAP_NET_RAW"),
        "{said}"
    );
    let output = command().args(["check", "--set", relay]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains(
            "127.0.0.1:9 with the exporters' addresses, which needs CAP_NET_RAW: THIS PROCESS DOES NOT HAVE IT"
        ),
        "{said}"
    );
}
