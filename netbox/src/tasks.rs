//! The tasks of a refresh, which run at the same time: one for each kind of objects, and one for each range of ids of a kind
//! with many objects. Each reports to the refresh.
//!
//! Pages become rows as they arrive, so only a few are in memory at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::builder::Builder;
use crate::config::{NetBoxConfig, Purpose};
use crate::declare::{Load, ObjectKind, Spec};
use crate::error::NetBoxError;
use crate::kinds::each_kind;
use crate::moment;
use crate::pages::{Context, Ids, count_up_to, extent, probe, ranges, walk};
use crate::snapshot::{Snapshot, Tables};

/// Pages that wait to become rows.
const PAGES_WAITING: usize = 4;

/// Of a kind with fewer objects, any number may be gone: a share of them says nothing.
const SHRINK_ROWS_MIN: usize = 20;

/// Turns a page of objects into rows.
pub(crate) type Rows = Box<dyn FnOnce(&mut Builder, &NetBoxConfig) + Send>;

/// What a task reports to the refresh.
enum Report {
    Rows(Rows),
    Count(&'static Entry, Count),
    /// The token may not view the kind.
    Refused(&'static Entry, NetBoxError),
    /// The kind lost more rows than `netbox.max_shrink` allows.
    Shrunk(&'static Entry, NetBoxError),
    Failed(NetBoxError),
}

/// How many objects of a kind NetBox has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Count {
    pub objects: u64,
    /// The highest id that was counted.
    pub up_to: u32,
}

/// What can be done with a kind.
#[derive(Debug)]
pub(crate) struct Entry {
    pub name: &'static str,
    pub path: &'static str,
    pub permission: &'static str,
    pub spec: Spec,
    full: fn(&mut Tasks, &'static Entry, usize),
    changes: fn(&mut Tasks, &'static Entry, &Tables, &str),
    /// Forgets the rows.
    pub clear: fn(&mut Builder),
    /// Takes over the rows of a snapshot.
    pub keep: fn(&Snapshot, &mut Builder),
    /// How many rows there are up to an id.
    pub rows_up_to: fn(&Tables, u32) -> usize,
    /// Whether the kind has the same rows in both; they share their strings.
    pub same: fn(&Tables, &Tables) -> bool,
}

const fn entry<K: ObjectKind>() -> Entry {
    Entry {
        name: K::NAME,
        path: K::PATH,
        permission: K::PERMISSION,
        spec: K::SPEC,
        full: Tasks::full_of::<K>,
        changes: Tasks::changes_of::<K>,
        clear: |builder| K::rows(&mut builder.rows).clear(),
        keep: |snapshot, builder| {
            for row in K::table(&snapshot.tables) {
                let row = row.carry(snapshot, builder);
                K::rows(&mut builder.rows).push(row);
            }
        },
        rows_up_to: |tables, id| K::table(tables).rows().partition_point(|row| row.id() <= id),
        same: |a, b| K::table(a) == K::table(b),
    }
}

macro_rules! entries {
    ($($table:ident: $row:ident,)*) => {
        /// All kinds.
        pub(crate) static ENTRIES: &[Entry] = &[$(entry::<crate::model::$row>(),)*];
    };
}

each_kind!(entries);

/// The kinds that a reader needs.
pub(crate) fn wanted(config: &NetBoxConfig, purpose: Purpose) -> impl Iterator<Item = &'static Entry> {
    let machines = config.virtual_machines;
    let unwanted = move |name| !machines && matches!(name, "virtual-machines" | "vm-interfaces" | "clusters");
    ENTRIES.iter().filter(move |entry| entry.spec.purposes.contains(&purpose) && !unwanted(entry.name))
}

impl Entry {
    /// How many rows there are.
    pub(crate) fn rows(&self, tables: &Tables) -> usize {
        (self.rows_up_to)(tables, u32::MAX)
    }

    /// The error for a kind of which too many rows are gone.
    pub(crate) fn shrunk(&self, before: usize, after: usize, max_shrink: f64) -> Option<NetBoxError> {
        let too_few = before >= SHRINK_ROWS_MIN && (after as f64) < before as f64 * (1.0 - max_shrink);
        too_few.then_some(NetBoxError::Shrunk { kind: self.name, before, after, max_shrink })
    }

    /// NetBox answers 401 or refuses the first request of a refresh where the token itself is bad; 403 to one kind is a
    /// permission that it lacks.
    fn failure(&'static self, error: NetBoxError) -> Report {
        match error {
            NetBoxError::Token { status: 403, .. } => Report::Refused(self, error),
            _ => Report::Failed(error),
        }
    }
}

/// What is under way.
pub(crate) struct Tasks {
    context: Arc<Context>,
    reports: mpsc::Sender<Report>,
    receiver: mpsc::Receiver<Report>,
    set: JoinSet<()>,
}

/// What all tasks together reported, beside rows.
#[derive(Default)]
pub(crate) struct Collected {
    /// By kind.
    pub counts: BTreeMap<&'static str, Count>,
    /// Kinds that the token may not view, with the refusal.
    pub refused: BTreeMap<&'static str, NetBoxError>,
    /// Kinds that lost too many rows.
    pub shrunk: BTreeMap<&'static str, NetBoxError>,
}

impl Collected {
    /// Kinds of which nothing new is known.
    pub(crate) fn kept(&self) -> BTreeSet<&'static str> {
        self.refused.keys().chain(self.shrunk.keys()).copied().collect()
    }
}

impl Tasks {
    /// Nothing is under way yet.
    pub(crate) fn new(context: &Arc<Context>) -> Self {
        let (reports, receiver) = mpsc::channel(PAGES_WAITING);
        Self { context: Arc::clone(context), reports, receiver, set: JoinSet::new() }
    }

    /// Reads all objects of a kind, of which there were so many `before`.
    pub(crate) fn full(&mut self, entry: &'static Entry, before: usize) {
        (entry.full)(self, entry, before);
    }

    /// Reads what was changed since a moment, and how many objects there are.
    pub(crate) fn changes(&mut self, entry: &'static Entry, before: &Tables, since: &str) {
        (entry.changes)(self, entry, before, since);
    }

    fn full_of<K: ObjectKind>(&mut self, entry: &'static Entry, before: usize) {
        let (context, reports) = (Arc::clone(&self.context), self.reports.clone());
        self.set.spawn(async move {
            let extent = match extent::<K>(&context).await {
                Ok(extent) => extent,
                Err(error) => return send(&reports, entry.failure(error)).await,
            };
            if let Some(error) = entry.shrunk(before, extent.count as usize, context.config.max_shrink) {
                return send(&reports, Report::Shrunk(entry, error)).await;
            }
            let count = Count { objects: extent.count, up_to: u32::MAX };
            send(&reports, Report::Count(entry, count)).await;
            let mut walks = JoinSet::new();
            for ids in ranges(extent, &context.config) {
                walks.spawn(read::<K>(Arc::clone(&context), entry, ids, None, reports.clone()));
            }
            walks.join_all().await;
        });
    }

    fn changes_of<K: ObjectKind>(&mut self, entry: &'static Entry, before: &Tables, since: &str) {
        let (context, reports) = (Arc::clone(&self.context), self.reports.clone());
        let last_id = K::table(before).rows().last().map_or(0, |row| row.id());
        let (rows_before, since) = (entry.rows(before), since.to_owned());
        self.set.spawn(async move {
            let found = match probe::<K>(&context).await {
                Ok(found) => found,
                Err(error) => return send(&reports, entry.failure(error)).await,
            };
            if let Some(error) = entry.shrunk(rows_before, found.count as usize, context.config.max_shrink) {
                return send(&reports, Report::Shrunk(entry, error)).await;
            }
            // One request is enough where nothing was changed since.
            if found.changed_at.zip(moment::parse(&since)).is_some_and(|(changed, since)| changed < since) {
                return send(&reports, Report::Count(entry, Count { objects: found.count, up_to: u32::MAX })).await;
            }
            read::<K>(Arc::clone(&context), entry, Ids::default(), Some(since), reports.clone()).await;
            let report = match count_up_to::<K>(&context, last_id).await {
                Ok(objects) => Report::Count(entry, Count { objects, up_to: last_id }),
                Err(error) => entry.failure(error),
            };
            send(&reports, report).await;
        });
    }

    /// Takes what the tasks report until all are done or one failed; the others are ended then.
    ///
    /// # Errors
    /// The first failure.
    pub(crate) async fn collect(self, mut add: impl FnMut(Rows, &NetBoxConfig)) -> Result<Collected, NetBoxError> {
        let Self { context, reports, mut receiver, set: _running } = self;
        drop(reports);
        let mut collected = Collected::default();
        while let Some(report) = receiver.recv().await {
            match report {
                Report::Rows(rows) => add(rows, &context.config),
                Report::Count(entry, count) => drop(collected.counts.insert(entry.name, count)),
                Report::Refused(entry, error) => drop(collected.refused.insert(entry.name, error)),
                Report::Shrunk(entry, error) => drop(collected.shrunk.insert(entry.name, error)),
                Report::Failed(error) => return Err(error),
            }
        }
        Ok(collected)
    }
}

async fn send(reports: &mpsc::Sender<Report>, report: Report) {
    // The receiver is gone after the failure of another task.
    let _ = reports.send(report).await;
}

async fn read<K: ObjectKind>(
    context: Arc<Context>,
    entry: &'static Entry,
    ids: Ids,
    since: Option<String>,
    reports: mpsc::Sender<Report>,
) {
    if let Err(error) = walk::<K, _>(&context, ids, since.as_deref(), &reports, rows::<K>).await {
        send(&reports, entry.failure(error)).await;
    }
}

fn rows<K: ObjectKind>(objects: Vec<K::Wire>) -> Report {
    Report::Rows(Box::new(move |builder, config| {
        for object in objects {
            if let Some(row) = K::load(object, &mut Load { builder, config }) {
                K::rows(&mut builder.rows).push(row);
            }
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_may_be_missing_and_of_few_any() {
        let entry = ENTRIES.iter().find(|entry| entry.name == "devices").unwrap();
        assert!(entry.shrunk(100, 70, 0.3).is_none());
        let error = entry.shrunk(100, 69, 0.3).unwrap().to_string();
        assert!(error.starts_with("devices went from 100 to 69"), "{error}");
        assert!(entry.shrunk(19, 0, 0.3).is_none());
    }

    #[test]
    fn what_a_kind_follows_is_read_for_the_same_purpose() {
        for entry in ENTRIES {
            for followed in entry.spec.follows {
                let other = ENTRIES.iter().find(|other| other.name == *followed);
                let other = other.unwrap_or_else(|| panic!("{followed} is no kind"));
                assert!(other.spec.purposes.contains(&crate::config::Purpose::Flows), "{followed}");
            }
        }
        let mut names: Vec<&str> = ENTRIES.iter().map(|entry| entry.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ENTRIES.len());
    }
}
