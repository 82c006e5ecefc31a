//! The ledger of rows, and what lies between the stages.

use helios_common::ledger::{Accounts, DropReason, Stage};

use crate::pipeline::Snapshot;

helios_metrics::metrics! {
    /// The pipeline as a whole.
    pub METRICS of Snapshot {
        Gauge "helios_pipeline_ready" [] "1 when flows are received and the schema is in place, 0 otherwise; same as /readyz" =
            |snapshot, out| out.one(snapshot.readiness.is_ok());
        Counter "helios_pipeline_rows_decoded_total" [] "Rows decoded" =
            |snapshot, out| out.one(snapshot.accounts.decoded);
        Counter "helios_pipeline_rows_recovered_total" [] "Rows that an earlier process left in the spool" =
            |snapshot, out| out.one(snapshot.accounts.recovered);
        Counter "helios_pipeline_rows_stored_total" [] "Rows that ClickHouse acknowledged" =
            |snapshot, out| out.one(snapshot.accounts.stored);
        Counter "helios_pipeline_rows_dropped_total" ["stage", "reason"] "Dropped rows, by stage and reason" =
            |snapshot, out| out.all(dropped(&snapshot.accounts));
        Gauge "helios_pipeline_rows_in_flight" ["stage"] "Rows between decoder and acknowledgement, by stage" =
            |snapshot, out| out.all(Stage::ALL.map(|stage| ([stage.name()], snapshot.accounts.held(stage))));
        Gauge "helios_pipeline_rows_imbalance" [] "Decoded + recovered - stored - dropped - in flight; always 0, another value is a bug" =
            |snapshot, out| out.one(snapshot.accounts.imbalance());
        Gauge "helios_pipeline_queue_batches" ["queue"] "Batches waiting in a queue" =
            |snapshot, out| out.all(snapshot.queues.iter().map(|queue| ([queue.name], queue.batches)));
        Gauge "helios_pipeline_queue_capacity_batches" ["queue"] "Largest number of batches that a queue holds" =
            |snapshot, out| out.all(snapshot.queues.iter().map(|queue| ([queue.name], queue.capacity)));
        Gauge "helios_pipeline_names" [] "Distinct names in memory" =
            |snapshot, out| out.one(snapshot.names.held);
        Counter "helios_pipeline_names_refused_total" [] "Names not stored because the table of names is full" =
            |snapshot, out| out.one(snapshot.names.refused);
        Counter "helios_pipeline_names_cut_total" [] "Names, such as descriptions, that were cut because they are longer than 255 bytes" =
            |snapshot, out| out.one(snapshot.names.cut);
    }
}

fn dropped(accounts: &Accounts) -> impl Iterator<Item = ([&'static str; 2], u64)> {
    Stage::ALL.into_iter().flat_map(move |stage| {
        let reasons = DropReason::ALL.into_iter();
        reasons.map(move |reason| ([stage.name(), reason.name()], accounts.dropped[stage as usize][reason as usize]))
    })
}
