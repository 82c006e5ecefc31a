//! Idle connections under the usual limit of 1,024 open files: storing, the spool and the admin port go on.
//!
//! HELIOS_IDLE_CONNECTIONS makes them as many as anybody wants.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use helios_testkit::Engine;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::load::{Exporter, assert_balanced, assert_once, parameter, texts, wait_until_safe, with_state};
use crate::running::{Helios, free_udp_port, wait_for};

const ROWS: u32 = 6000;

/// The connections themselves: what the other side does with them is its business.
fn idle(to: SocketAddr, connections: u64) -> Vec<TcpStream> {
    (0..connections).map(|_| TcpStream::connect(to).unwrap()).collect()
}

fn wait_for_stored(helios: &Helios, rows: u32) {
    wait_for("all rows to be stored", || {
        assert_balanced(helios);
        (helios.metric("helios_pipeline_rows_stored_total")? == f64::from(rows)).then_some(())
    });
}

#[test]
fn idle_connections_beyond_the_limit_of_open_files_stop_neither_storing_nor_spool_nor_probes() {
    let connections = parameter("HELIOS_IDLE_CONNECTIONS", 1100);
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap(); // for the other ends of the connections
    let mut engine = Engine::start();
    let state = tempfile::tempdir().unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut settings = with_state(state.path());
    settings.push(format!("collector.tcp.listen={tcp}"));
    // Soft and hard limit: it cannot be raised.
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 1024 && exec \"$@\"", "sh"]);
    let helios = Helios::start_under(limited, free_udp_port(), &engine.url(), &texts(&settings), &[]);
    wait_for("helios to be ready", || matches!(helios.get("/readyz"), Some((200, _))).then_some(()));

    let held = [idle(tcp, connections), idle(helios.admin, connections)];
    let ok = |page| matches!(helios.get(page), Some((200, _)));
    assert!(ok("/healthz") && ok("/readyz") && ok("/metrics"), "the admin port does not answer");
    wait_for("all connections to be accepted or refused", || {
        let counts = ["helios_collector_tcp_accepted_total", "helios_collector_tcp_closed_total"];
        let counted: f64 = counts.into_iter().filter_map(|metric| helios.metric(metric)).sum();
        (counted >= connections as f64).then_some(())
    });
    let mut exporter = Exporter::new(helios.flows);
    exporter.send_rows(ROWS);
    wait_for_stored(&helios, ROWS);

    engine.kill();
    exporter.send_rows(ROWS);
    wait_until_safe(&helios, u64::from(2 * ROWS));
    let spool = ["helios_sink_spool_available", "helios_sink_spool_failures_total"].map(|metric| helios.metric(metric));
    assert_eq!(spool, [Some(1.0), Some(0.0)]);
    engine.resume();
    wait_for_stored(&helios, 2 * ROWS);
    assert_once(&engine, u64::from(2 * ROWS));
    assert!(ok("/healthz"), "the admin port does not answer");
    let open = helios.metric("process_open_fds").unwrap();
    assert!(open < 1024.0, "{open}");
    println!("{connections} idle connections to either port, {open} of 1024 files open, {} rows stored", 2 * ROWS);
    drop(held);
}
