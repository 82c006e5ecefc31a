//! What is wrong with the engine's tables themselves, not played by a proxy: rows wait for somebody to mend it.
//!
//! Too many parts is in [`super::faults`].

use helios_common::side::{ExporterMinute, SideTable};
use helios_sink::SinkConfig;
use helios_sink::error::Class;
use helios_testkit::Engine;
use helios_testkit::proxy::{Proxy, Schedule};

use super::faults::{Running, config};

/// What is wrong, how it comes and how it is mended, and what Helios takes it for.
struct Ill {
    what: &'static str,
    come: &'static [&'static str],
    mend: &'static [&'static str],
    class: Class,
    /// In ClickHouse's message.
    told: &'static str,
}

const ILLS: [Ill; 4] = [
    Ill {
        what: "the table is missing",
        come: &["RENAME TABLE ills.flows TO ills.away"],
        mend: &["RENAME TABLE ills.away TO ills.flows"],
        class: Class::Configuration,
        told: "Code: 60",
    },
    Ill {
        what: "a column is missing",
        come: &["ALTER TABLE ills.flows DROP COLUMN exporter_address"],
        mend: &["ALTER TABLE ills.flows ADD COLUMN exporter_address IPv6"],
        class: Class::Configuration,
        told: "Code: 16",
    },
    Ill {
        what: "a rollup is missing",
        come: &["RENAME TABLE ills.flows_1h TO ills.away"],
        mend: &["RENAME TABLE ills.away TO ills.flows_1h"],
        class: Class::Configuration,
        told: "Code: 60",
    },
    Ill {
        what: "a table is read-only",
        come: &["ALTER TABLE ills.flows MODIFY SETTING table_readonly = 1"],
        mend: &["ALTER TABLE ills.flows MODIFY SETTING table_readonly = 0"],
        class: Class::Configuration,
        told: "Code: 774",
    },
];

#[test]
fn what_is_wrong_in_clickhouse_is_waited_for_and_every_row_is_stored_once() {
    let engine = Engine::start();
    let proxy = Proxy::start(&engine.url(), Schedule::Quiet);
    let mut running = Running::start(&SinkConfig { retry_max_ms: 300, ..config(&[&[&proxy]], "ills") });
    running.send(1);
    running.wait_for_stored(1000);
    for Ill { what, come, mend, class, told } in ILLS {
        come.iter().for_each(|sql| drop(engine.query(sql)));
        let (before, attempts) = (running.failures(class), proxy.done().len());
        running.send(1);
        running.until(&format!("three failures of {what}"), || running.failures(class) >= before + 3);
        assert!(running.last_error().contains(told), "{what}: {}", running.last_error());
        assert!(proxy.done().len() - attempts < 60, "{what}: {} attempts in a moment", proxy.done().len() - attempts);
        mend.iter().for_each(|sql| drop(engine.query(sql)));
        running.wait_for_all();
    }
    running.end(&engine, "ills");
}

#[test]
fn a_side_table_that_is_missing_holds_up_no_flow() {
    let engine = Engine::start();
    let proxy = Proxy::start(&engine.url(), Schedule::Quiet);
    // No block of flows is ever full: all of them go by their age.
    let mut running = Running::start(&SinkConfig { block_rows: 1_000_000, ..config(&[&[&proxy]], "sides") });
    running.send(1);
    running.wait_for_all();
    engine.query("RENAME TABLE sides.exporters TO sides.away");
    let stored = |running: &Running| running.side.ledger().snapshot()[SideTable::Exporters as usize].stored;
    for n in 0..5 {
        running.side.offer(vec![ExporterMinute { received_at: n, ..ExporterMinute::default() }; 10]);
        let before = running.failures(Class::Configuration);
        running.until("notice of the missing table", || running.failures(Class::Configuration) > before);
        running.send(1);
        running.wait_for_all();
    }
    assert_eq!(stored(&running), 0);
    engine.query("RENAME TABLE sides.away TO sides.exporters");
    running.until("50 rows of the side table", || stored(&running) >= 50);
    running.end(&engine, "sides");
}
