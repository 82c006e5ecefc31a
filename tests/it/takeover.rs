//! One process takes over from another, again and again, with many exporters sending: nothing that was sent is lost. The
//! unit of systemd is held to what that needs, the chart's DaemonSets by tools/chart/test_objects.py.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use helios::config::Config;
use helios_testkit::Engine;

use crate::expect::root;
use crate::load::{Exporter, assert_balanced, assert_once, number, texts, with_state};
use crate::running::{Helios, free_udp_port, wait_for};

const UNIT: &str = "deploy/systemd/helios@.service";

/// How it starts helios.
const ARGUMENTS: [&str; 4] = ["run", "--config", "/etc/helios/helios.yaml", "--takeover"];

const EXPORTERS: u32 = 60;

/// Rows that each exporter may send; the numbers of the next one begin behind them.
const ROWS_EACH: u32 = 200_000;

/// Has all exporters send in turn until it is told to end; returns the rows sent.
fn load(to: std::net::SocketAddr, stop: &AtomicBool) -> u32 {
    let exporter = |n: u32| {
        let mut exporter = Exporter::from([127, 0, 1, n as u8 + 1].into(), to);
        exporter.sent = n * ROWS_EACH;
        exporter
    };
    let mut exporters: Vec<Exporter> = (0..EXPORTERS).map(exporter).collect();
    while !stop.load(Ordering::Relaxed) {
        for exporter in &mut exporters {
            exporter.send_rows(30);
            thread::sleep(Duration::from_micros(500)); // paces, waits for nothing
        }
    }
    (0..).zip(&exporters).map(|(n, exporter)| exporter.sent - n * ROWS_EACH).sum()
}

fn wait_for_ready(helios: &Helios) {
    wait_for("helios to be ready", || matches!(helios.get("/readyz"), Some((200, _))).then_some(()));
}

#[test]
fn several_takeovers_in_a_row_lose_no_row_of_many_exporters() {
    let engine = Engine::start();
    let state = tempfile::tempdir().unwrap();
    let settings = with_state(state.path());
    let port = free_udp_port();
    let start = || Helios::start_on(port, &engine.url(), &texts(&settings), &["--takeover"]);
    let first = start();
    wait_for_ready(&first);
    let (to, stop) = (first.flows, AtomicBool::new(false));
    let (running, sent) = thread::scope(|scope| {
        let mut running = first;
        let load = scope.spawn(|| load(to, &stop));
        for _ in 0..4 {
            let rows = |helios: &Helios| helios.metric("helios_pipeline_rows_decoded_total");
            wait_for("rows of every exporter", || (rows(&running)? >= f64::from(EXPORTERS * 60)).then_some(()));
            assert_balanced(&running);
            let next = start();
            wait_for_ready(&next);
            let (status, log) = running.stop();
            assert!(status.success(), "{log}");
            assert!(log.contains("lost=0"), "{log}");
            running = next;
        }
        wait_for("rows at the last one", || {
            (running.metric("helios_pipeline_rows_decoded_total")? > 0.0).then_some(())
        });
        stop.store(true, Ordering::Relaxed);
        (running, load.join().unwrap())
    });
    wait_for("all rows to be stored", || {
        assert_balanced(&running);
        let under_way = running.metric("helios_pipeline_rows_in_flight")?;
        (under_way == 0.0 && number(&engine, "SELECT count() FROM helios.flows") == u64::from(sent)).then_some(())
    });
    assert_once(&engine, u64::from(sent));
    assert_eq!(number(&engine, "SELECT uniq(exporter_address) FROM helios.flows"), u64::from(EXPORTERS));
    println!("{sent} rows of {EXPORTERS} exporters over four takeovers, all of them stored, each once");
}

/// The settings of a unit, by section and key; a key may come again.
fn unit() -> BTreeMap<(String, String), Vec<String>> {
    let (mut settings, mut section) = (BTreeMap::<_, Vec<String>>::new(), String::new());
    for line in std::fs::read_to_string(root().join(UNIT)).unwrap().lines() {
        match line.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(name) => name.clone_into(&mut section),
            None if line.trim().is_empty() || line.starts_with('#') => {}
            None => {
                let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("{UNIT}: {line}"));
                settings.entry((section.clone(), key.to_owned())).or_default().push(value.to_owned());
            }
        }
    }
    settings
}

#[test]
fn the_unit_of_systemd_has_what_a_takeover_needs() {
    let unit = unit();
    let service = |key: &str| unit[&("Service".to_owned(), key.to_owned())].join(" ");
    assert!(service("ExecReload").ends_with("/bin/kill -HUP $MAINPID"), "{}", service("ExecReload"));
    let start = service("ExecStart");
    let (program, arguments) = start.split_once(' ').unwrap();
    assert_eq!(arguments.split(' ').collect::<Vec<_>>(), ARGUMENTS);
    let config = Config::default();
    let stop_secs: u64 = service("TimeoutStopSec").parse().unwrap();
    assert!(stop_secs * 1000 > config.pipeline.shutdown_timeout_ms, "killed before the deadline of helios");
    // The exit codes of mistakes that a restart does not mend, see src/exit.rs.
    assert_eq!(service("RestartPreventExitStatus"), "64 78");
    assert_eq!(service("Environment"), format!("HELIOS_COLLECTOR__STATE_DIR=/var/lib/{}", service("StateDirectory")));
    assert_eq!(service("EnvironmentFile"), "/etc/helios/%i.env", "each instance has an admin port of its own");

    if !Path::new("/usr/bin/systemd-analyze").exists() {
        return println!("systemd-analyze is not here: {UNIT} is checked by this test's own rules only");
    }
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(root().join(UNIT)).unwrap();
    // It looks for the program.
    let text = text.replace(program, env!("CARGO_BIN_EXE_helios"));
    let path = folder.path().join("helios@a.service");
    std::fs::write(&path, text).unwrap();
    let output = Command::new("/usr/bin/systemd-analyze").args(["verify", "--man=no"]).arg(&path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("helios@")).collect();
    assert!(output.status.success() && ours.is_empty(), "{said}");

    // In tenths: 2.0 of 10, where what is below 3 is rated OK.
    let security = ["security", "--offline=true", "--threshold=20"];
    let output = Command::new("/usr/bin/systemd-analyze").args(security).arg(&path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
