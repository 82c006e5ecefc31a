//! What is wrong now, in the words of a status page: empty when all is well.

use helios_collector::api::{SILENT_AFTER_MS, State};
use helios_common::time::{UnixMs, Utc};
use serde::Serialize;

use crate::pipeline::Snapshot;

/// Something that somebody should look at. It goes when it is over.
#[derive(Debug, Serialize)]
pub(super) struct Problem {
    /// Where: `pipeline`, `clickhouse`, `spool`, `netbox`, `exporters`, or a source of names.
    part: String,
    problem: String,
    /// When it began, if that is known.
    since: Option<String>,
}

/// Everything that is wrong, the worst first.
pub(super) fn of(snapshot: &Snapshot, now: UnixMs) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut add = |part: &str, problem: String, since: Option<UnixMs>| {
        problems.push(Problem { part: part.to_owned(), problem, since: since.map(|at| Utc(at).to_string()) });
    };
    let trouble = snapshot.sink.insert.trouble.as_ref();
    let since = trouble.map(|trouble| trouble.since);
    if let Err(reason) = &snapshot.readiness {
        add("pipeline", reason.clone(), since);
    }
    // The reason for not being ready may be the same error.
    let said = |error: &str| snapshot.readiness.as_ref().is_err_and(|reason| reason.contains(error));
    if let Some(trouble) = trouble.filter(|trouble| !said(&trouble.error)) {
        add("clickhouse", trouble.error.clone(), since);
    }
    let spool = &snapshot.sink.spool;
    if let Some(error) = &spool.last_error {
        add("spool", error.clone(), None);
    } else if spool.configured && !spool.available {
        add("spool", "it takes no blocks: a crash would lose what is in memory".to_owned(), None);
    }
    if spool.aside_files > 0 {
        let problem = format!(
            "{} set aside: `helios spool list` shows why",
            counted(spool.aside_files, "block is", "blocks are")
        );
        add("spool", problem, None);
    }
    if let Some(problem) = snapshot.netbox.as_ref().and_then(|netbox| netbox.problem.as_ref()) {
        add("netbox", problem.message.clone(), None);
    }
    for source in &snapshot.enricher.sources {
        if let Some(refusal) = &source.refusal {
            add(&source.source, format!("{}: {refusal}", source.location), None);
        }
    }
    let in_state = |state| snapshot.exporters.iter().filter(|exporter| State::of(exporter, now) == state).count();
    let (silent, waiting) = (in_state(State::Silent), in_state(State::WaitsForTemplate));
    if silent > 0 {
        let minutes = SILENT_AFTER_MS / 60_000;
        add("exporters", format!("{} sent nothing for {minutes} min", counted(silent, "exporter", "exporters")), None);
    }
    if waiting > 0 {
        let exporters = counted(waiting, "exporter sends", "exporters send");
        add("exporters", format!("{exporters} data and no template for it: have templates sent every minute"), None);
    }
    problems
}

fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
