//! What survives: kill -9 under load, stops without a ClickHouse, two processes on one directory. disk.rs has full disks.
//!
//! HELIOS_KILLS and HELIOS_SEED make the kill test as long as anybody wants; `make torture` does.

use std::time::{Duration, Instant};

use helios_testkit::Engine;

use crate::load::{
    Exporter, FIRST, Load, assert_balanced, assert_once, number, parameter, texts, wait_until_replayed,
    wait_until_safe, with_state,
};
use crate::running::{Helios, free_udp_port, nobody, wait_for};

/// xorshift64: moments that a seed brings back.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

#[test]
fn kill_9_costs_no_row_that_was_encoded_and_doubles_none() {
    let (kills, seed) = (parameter("HELIOS_KILLS", 4), parameter("HELIOS_SEED", 6));
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let engine = Engine::start();
    let state = tempfile::tempdir().unwrap();
    let settings = with_state(state.path());
    let port = free_udp_port();
    let mut safe = Vec::new();
    let mut sent = 0;
    for life in 0..kills {
        // Every third life begins and ends without ClickHouse.
        let clickhouse = if life % 3 == 1 { nobody() } else { engine.url() };
        let helios = Helios::start_on(port, &clickhouse, &texts(&settings), &[]);
        wait_for("helios to be up", || helios.get("/healthz"));
        let mut exporter = Exporter::new(helios.flows);
        exporter.sent = sent;
        exporter.send_rows(6000);
        wait_until_safe(&helios, u64::from(exporter.sent - sent));
        safe.push((sent, exporter.sent));
        assert_balanced(&helios);
        // From here on rows may be lost; the moment of the end is anywhere in the work of a block.
        let end = Instant::now() + Duration::from_millis(random.below(700));
        while Instant::now() < end {
            exporter.flood(600);
        }
        helios.kill();
        sent = exporter.sent;
    }
    let helios = Helios::start_on(port, &engine.url(), &texts(&settings), &[]);
    wait_until_replayed(&helios);
    assert_balanced(&helios);
    for (from, to) in &safe {
        let number_of = "toUInt32(toIPv4(src_addr))";
        let (first, end) = (FIRST + from, FIRST + to);
        let present = format!("SELECT count() FROM helios.flows WHERE {number_of} >= {first} AND {number_of} < {end}");
        assert_eq!(number(&engine, &present), u64::from(to - from), "rows {from} to {to}, seed {seed}");
    }
    let stored = number(&engine, "SELECT count() FROM helios.flows");
    assert!(stored <= u64::from(sent));
    assert_once(&engine, stored);
    let promised: u32 = safe.iter().map(|(from, to)| to - from).sum();
    println!(
        "kills {kills}, seed {seed}: rows sent {sent}, encoded before a kill for certain {promised} and of these lost 0, \
         stored {stored}, lost before they were encoded {}, twice 0, imbalance 0",
        u64::from(sent) - stored
    );
}

#[test]
fn a_stop_without_clickhouse_loses_nothing_and_the_next_process_stores_it() {
    let engine = Engine::start();
    let state = tempfile::tempdir().unwrap();
    let settings = with_state(state.path());
    let port = free_udp_port();
    let helios = Helios::start_on(port, &nobody(), &texts(&settings), &[]);
    wait_for("helios to be up", || helios.get("/healthz"));
    let load = Load::on(helios.flows);
    wait_for("rows", || (helios.metric("helios_pipeline_rows_decoded_total")? > 20_000.0).then_some(()));
    let (status, log) = helios.stop();
    load.end();
    assert_eq!(status.code(), Some(0), "{log}");
    let logged = |key: &str| -> u64 {
        let line = log.lines().rev().find(|line| line.contains("stopped")).unwrap();
        let value = line.split(&format!("{key}=")).nth(1).unwrap();
        value.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
    };
    let decoded = logged("decoded");
    assert_eq!((logged("kept_in_spool"), logged("lost"), logged("dropped")), (decoded, 0, 0), "{log}");

    let helios = Helios::start_on(port, &engine.url(), &texts(&settings), &[]);
    wait_for("helios to be up", || helios.get("/healthz"));
    wait_for("the rows to be stored", || {
        assert_balanced(&helios);
        (helios.metric("helios_pipeline_rows_stored_total")? == decoded as f64).then_some(())
    });
    assert_eq!(helios.metric("helios_pipeline_rows_recovered_total"), Some(decoded as f64));
    wait_for("the log to tell of the end", || helios.log().contains("waited in the spool has been sent").then_some(()));
    assert_once(&engine, decoded);
}

#[test]
fn a_second_process_is_refused_unless_it_takes_over_and_then_no_row_is_lost() {
    let engine = Engine::start();
    let state = tempfile::tempdir().unwrap();
    let settings = with_state(state.path());
    let port = free_udp_port();
    let old = Helios::start_on(port, &engine.url(), &texts(&settings), &[]);
    wait_for("helios to be ready", || matches!(old.get("/readyz"), Some((200, _))).then_some(()));

    let refused = Helios::start_on(port, &engine.url(), &texts(&settings), &[]).ended();
    assert_eq!(refused.0.code(), Some(1), "{}", refused.1);
    assert!(refused.1.contains("is in use by another helios (process"), "{}", refused.1);
    assert!(refused.1.contains("--takeover"), "{}", refused.1);

    let load = Load::on(old.flows);
    wait_for("rows", || (old.metric("helios_pipeline_rows_decoded_total")? > 5000.0).then_some(()));
    let new = Helios::start_on(port, &engine.url(), &texts(&settings), &["--takeover"]);
    wait_for("the new process to be ready", || matches!(new.get("/readyz"), Some((200, _))).then_some(()));
    let (status, log) = old.stop();
    assert!(status.success(), "{log}");
    wait_for("the new process to receive", || (new.metric("helios_pipeline_rows_decoded_total")? > 0.0).then_some(()));
    let sent = u64::from(load.end());
    wait_for("all rows to be stored", || {
        assert_balanced(&new);
        // Rows can be seen in `flows` before the insert that brought them has reached the rollups.
        let under_way = new.metric("helios_pipeline_rows_in_flight")?;
        (under_way == 0.0 && number(&engine, "SELECT count() FROM helios.flows") == sent).then_some(())
    });
    assert_once(&engine, sent);
}

#[test]
fn a_spool_that_cannot_be_opened_is_an_alarm_from_the_start() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let setting = format!("clickhouse.spool.directory={}", file.path().display());
    let helios = Helios::start(&nobody(), &[&setting]);
    wait_for("helios to be up", || helios.get("/healthz"));
    assert_eq!(helios.metric("helios_sink_spool_configured"), Some(1.0));
    assert_eq!(helios.metric("helios_sink_spool_available"), Some(0.0));
    assert!(helios.log().contains("the spool cannot be opened"), "{}", helios.log());
}
