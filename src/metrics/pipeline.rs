//! The ledger of rows, and what lies between the stages.

use helios_common::ledger::{Accounts, DropReason, Stage};

use crate::pipeline::Snapshot;

helios_metrics::metrics! {
    /// The pipeline as a whole.
    pub METRICS of Snapshot {
        Gauge "helios_pipeline_ready" [] "1 when flows are received and the schema is in place, as /readyz says" =
            |snapshot, out| out.one(snapshot.readiness.is_ok());
        Counter "helios_pipeline_rows_decoded_total" [] "Rows decoded" =
            |snapshot, out| out.one(snapshot.accounts.decoded);
        Counter "helios_pipeline_rows_recovered_total" [] "Rows that an earlier process left in the spool" =
            |snapshot, out| out.one(snapshot.accounts.recovered);
        Counter "helios_pipeline_rows_stored_total" [] "Rows that ClickHouse acknowledged" =
            |snapshot, out| out.one(snapshot.accounts.stored);
        Counter "helios_pipeline_rows_dropped_total" ["stage", "reason"] "Rows given up, by where and why" =
            |snapshot, out| out.all(dropped(&snapshot.accounts));
        Gauge "helios_pipeline_rows_in_flight" ["stage"] "Rows between decoder and acknowledgement, by stage" =
            |snapshot, out| out.all(Stage::ALL.map(|stage| ([stage.name()], snapshot.accounts.held(stage))));
        Gauge "helios_pipeline_rows_imbalance" [] "Decoded + recovered - stored - dropped - in flight; anything but 0 is a bug" =
            |snapshot, out| out.one(snapshot.accounts.imbalance());
        Gauge "helios_pipeline_queue_batches" ["queue"] "Batches waiting in a queue" =
            |snapshot, out| out.all(snapshot.queues.iter().map(|queue| ([queue.name], queue.batches)));
        Gauge "helios_pipeline_queue_capacity_batches" ["queue"] "Batches that a queue holds at most" =
            |snapshot, out| out.all(snapshot.queues.iter().map(|queue| ([queue.name], queue.capacity)));
        Gauge "helios_pipeline_names" [] "Distinct names held" =
            |snapshot, out| out.one(snapshot.names.held);
        Counter "helios_pipeline_names_refused_total" [] "Names not taken because the table is full" =
            |snapshot, out| out.one(snapshot.names.refused);
        Counter "helios_pipeline_names_cut_total" [] "How often a name, such as a description, was longer than 255 bytes and was cut" =
            |snapshot, out| out.one(snapshot.names.cut);
    }
}

fn dropped(accounts: &Accounts) -> impl Iterator<Item = ([&'static str; 2], u64)> {
    Stage::ALL.into_iter().flat_map(move |stage| {
        let reasons = DropReason::ALL.into_iter();
        reasons.map(move |reason| ([stage.name(), reason.name()], accounts.dropped[stage as usize][reason as usize]))
    })
}
