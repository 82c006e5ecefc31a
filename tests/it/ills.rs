//! What else befalls a pipeline: a ClickHouse that dies, answers that get lost around a crash, a name that nobody knows,
//! blocks that are refused, clocks that jump.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use helios_testkit::Engine;
use helios_testkit::proxy::{Fault, Proxy, Schedule};

use crate::load::{
    Exporter, Load, assert_balanced, assert_once, number, texts, wait_until_replayed, wait_until_safe, with_state,
};
use crate::running::{Helios, free_udp_port, nobody, system_program, wait_for};

/// INCORRECT_DATA: an answer that no retry changes.
const REFUSED: Fault = Fault::Exception(117);

fn spool(state: &Path, arguments: &[&str]) -> Output {
    let directory = state.join("spool");
    let mut command = Command::new(env!("CARGO_BIN_EXE_helios"));
    command.arg("spool").args(arguments).arg("--directory").arg(directory).output().unwrap()
}

/// What `helios spool` prints, of a call that has to succeed.
fn spool_says(state: &Path, arguments: &[&str]) -> String {
    let output = spool(state, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn wait_for_stored(helios: &Helios, rows: u32) {
    wait_for("the rows to be stored", || {
        assert_balanced(helios);
        (helios.metric("helios_pipeline_rows_stored_total")? == f64::from(rows)).then_some(())
    });
}

#[test]
fn a_clickhouse_that_is_killed_under_load_has_every_row_once_when_it_is_back() {
    let mut engine = Engine::start();
    let state = tempfile::tempdir().unwrap();
    let helios = Helios::ready(&engine.url(), &texts(&with_state(state.path())));
    let load = Load::on(helios.flows);
    for _ in 0..2 {
        let before = helios.metric("helios_pipeline_rows_stored_total").unwrap();
        wait_for("rows to be stored", || (helios.metric("helios_pipeline_rows_stored_total")? > before).then_some(()));
        engine.kill();
        let failures = helios.metric("helios_sink_insert_failures_total").unwrap();
        wait_for("failed inserts", || (helios.metric("helios_sink_insert_failures_total")? > failures).then_some(()));
        assert_balanced(&helios);
        engine.resume();
    }
    let sent = load.end();
    wait_for_stored(&helios, sent);
    assert_once(&engine, u64::from(sent));
    // Nothing shows an old error beside "ready", and the log says that it is over.
    wait_for("no error to stand", || {
        helios.json("/api/v1/pipeline")["clickhouse"]["last_error"].is_null().then_some(())
    });
    let pipeline = helios.json("/api/v1/pipeline");
    assert_eq!(
        (&pipeline["ready"], &pipeline["clickhouse"]["trouble_since"]),
        (&true.into(), &serde_json::Value::Null)
    );
    assert_eq!(pipeline["problems"], serde_json::json!([]));
    let (_, log) = helios.stop();
    assert!(log.contains("the outage has ended: ClickHouse works again"), "{log}");
}

#[test]
fn what_was_committed_before_a_crash_and_not_acknowledged_is_not_doubled_after_it() {
    let engine = Engine::start();
    let state = tempfile::tempdir().unwrap();
    let settings = with_state(state.path());
    let proxy = Proxy::start(&engine.url(), Schedule::Quiet);
    let port = free_udp_port();
    let mut sent = 0;
    for answer in [Fault::LoseAnswer, Fault::LateAnswer(Duration::from_secs(30))] {
        let helios = Helios::start_on(port, &proxy.url(), &texts(&settings), &[]);
        wait_for("helios to be ready", || matches!(helios.get("/readyz"), Some((200, _))).then_some(()));
        proxy.follow(Schedule::Always(answer));
        let mut exporter = Exporter::new(helios.flows);
        exporter.sent = sent;
        exporter.send_rows(6000);
        wait_until_safe(&helios, 6000);
        let committed = sent;
        wait_for("rows that ClickHouse has and helios does not know of", || {
            (number(&engine, "SELECT count() FROM helios.flows") > u64::from(committed)).then_some(())
        });
        assert_balanced(&helios);
        helios.kill();
        sent = exporter.sent;
        proxy.follow(Schedule::Quiet);
        let helios = Helios::start_on(port, &proxy.url(), &texts(&settings), &[]);
        wait_until_replayed(&helios);
        assert_once(&engine, u64::from(sent));
        assert!(helios.stop().0.success());
    }
}

#[test]
fn refused_blocks_are_listed_shown_sent_again_and_dropped_by_hand() {
    let engine = Engine::start();
    let state = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(&engine.url(), Schedule::Quiet);
    let settings = with_state(state.path());
    let helios = Helios::ready(&proxy.url(), &texts(&settings));
    proxy.follow(Schedule::Always(REFUSED));
    let mut exporter = Exporter::new(helios.flows);
    let aside = |helios: &Helios| helios.metric("helios_pipeline_rows_in_flight{stage=\"aside\"}");
    exporter.send_rows(3000);
    wait_for("the rows to be set aside", || (aside(&helios)? == 3000.0).then_some(()));
    assert_balanced(&helios);

    let list = spool_says(state.path(), &["list"]);
    let refused: Vec<&str> = list.lines().filter(|line| line.contains(" refused ")).collect();
    assert!(!refused.is_empty() && list.contains("Code: 117"), "{list}");
    let name = refused[0].split_whitespace().next().unwrap();
    let page = spool_says(state.path(), &["show", name]);
    for line in ["state       refused", "table       flows", "reason      ", "token       ", "INSERT INTO"] {
        assert!(page.contains(line), "no {line:?} in {page}");
    }
    let unknown = spool(state.path(), &["show", "no-such-block"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("helios spool list"), "{unknown:?}");

    // While helios runs: the reason is gone, the blocks are sent within a second or two.
    proxy.follow(Schedule::Quiet);
    let said = spool_says(state.path(), &["retry", "--all"]);
    // Rows of the tables beside `flows` may have been refused as well.
    assert!(said.contains("rows to be sent again"), "{said}");
    wait_for_stored(&helios, 3000);
    assert_eq!(aside(&helios), Some(0.0));

    // While it is stopped: one is sent by the next process, another is given up.
    proxy.follow(Schedule::Always(REFUSED));
    exporter.send_rows(1500);
    wait_for("the rows to be set aside", || (aside(&helios)? == 1500.0).then_some(()));
    assert!(helios.stop().0.success());
    let said = spool_says(state.path(), &["retry", "--all"]);
    assert!(said.contains("rows to be sent again"), "{said}");
    proxy.follow(Schedule::Quiet);
    let helios = Helios::ready(&proxy.url(), &texts(&settings));
    wait_for_stored(&helios, 1500);
    proxy.follow(Schedule::Always(REFUSED));
    let mut again = Exporter::new(helios.flows);
    again.sent = exporter.sent;
    again.send_rows(600);
    wait_for("the rows to be set aside", || (aside(&helios)? == 600.0).then_some(()));
    let said = spool_says(state.path(), &["drop", "--all"]);
    assert!(said.contains("rows dropped"), "{said}");
    wait_for("the drop to be counted", || {
        (helios.metric("helios_pipeline_rows_dropped_total{stage=\"aside\",reason=\"operator\"}")? == 600.0)
            .then_some(())
    });
    assert_balanced(&helios);
    assert_once(&engine, 4500);
}

#[test]
fn a_name_that_nobody_knows_is_said_and_rows_wait_for_it() {
    let state = tempfile::tempdir().unwrap();
    let helios = Helios::start("http://clickhouse.invalid:8123", &texts(&with_state(state.path())));
    wait_for("helios to be up", || helios.get("/healthz"));
    let mut exporter = Exporter::new(helios.flows);
    exporter.send_rows(3000);
    wait_until_safe(&helios, 3000);
    wait_for("failed attempts", || (helios.metric("helios_sink_insert_failures_total")? >= 2.0).then_some(()));
    assert_balanced(&helios);
    assert_eq!(helios.metric("helios_pipeline_rows_in_flight"), Some(3000.0));
    let log = helios.log();
    assert!(log.contains("clickhouse.invalid") && log.contains("rows wait"), "{log}");
    assert!(log.matches("the schema is not ready").count() <= 2, "the same trouble is said once: {log}");
}

/// A clock that the test sets, while helios runs: offsets as libfaketime reads them from a file.
struct Clock(tempfile::NamedTempFile);

impl Clock {
    fn new() -> Self {
        let clock = Self(tempfile::NamedTempFile::new().unwrap());
        clock.set("+0");
        clock
    }

    fn set(&self, offset: &str) {
        std::fs::write(self.0.path(), offset).unwrap();
    }

    /// A program that runs another one by this clock. Time that only goes on (CLOCK_MONOTONIC) does, as the kernel has it.
    fn runner(&self) -> Command {
        let library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
        assert!(Path::new(library).exists(), "libfaketime is not installed: run `make exporters`");
        let mut command = system_program("env");
        command
            .arg(format!("LD_PRELOAD={library}"))
            .arg(format!("FAKETIME_TIMESTAMP_FILE={}", self.0.path().display()))
            .args(["FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1", "DONT_FAKE_MONOTONIC=1"]);
        command
    }
}

#[test]
fn a_clock_that_jumps_costs_no_row_and_doubles_none() {
    let engine = Engine::start();
    let state = tempfile::tempdir().unwrap();
    let settings = with_state(state.path());
    let port = free_udp_port();
    let clock = Clock::new();
    let mut sent = 0;
    // Blocks of processes whose clocks differ by days wait together; the last process sends them.
    for (begin, end) in [("+0", "+86400"), ("-86400", "-90000"), ("+3600", "-3600")] {
        clock.set(begin);
        let helios = Helios::start_under(clock.runner(), port, &nobody(), &texts(&settings), &[]);
        wait_for("helios to be up", || helios.get("/healthz"));
        let mut exporter = Exporter::new(helios.flows);
        exporter.sent = sent;
        exporter.send_rows(3000);
        wait_until_safe(&helios, 3000);
        clock.set(end);
        exporter.send_rows(3000);
        wait_until_safe(&helios, 6000);
        assert_balanced(&helios);
        helios.kill();
        sent = exporter.sent;
    }
    clock.set("+0");
    let helios = Helios::start_under(clock.runner(), port, &engine.url(), &texts(&settings), &[]);
    wait_until_replayed(&helios);
    let mut exporter = Exporter::new(helios.flows);
    exporter.sent = sent;
    for offset in ["+86400", "-86400", "+0"] {
        clock.set(offset);
        let before = helios.metric("helios_pipeline_rows_stored_total").unwrap();
        exporter.send_rows(600);
        wait_for("rows to be stored as fast as ever", || {
            (helios.metric("helios_pipeline_rows_stored_total")? >= before + 600.0).then_some(())
        });
    }
    assert_balanced(&helios);
    assert_once(&engine, u64::from(exporter.sent));
}
