//! One refresh: from the snapshot before, if there is one, to the next.
//!
//! A full refresh reads every kind of objects. An incremental one asks each kind how many objects there are and when one of
//! them was changed last, and reads what was changed since the refresh before. Three things make it read a kind in full:
//! fewer objects than rows (something was deleted), a change of a kind that it follows (NetBox moved its objects in bulk
//! and left their `last_updated` as it was), and objects that NetBox counts without telling when they were changed.
//!
//! A kind that the token may not view, or of which too much is missing, keeps the rows that it has; the others go on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use helios_common::clock::unix_ms;

use crate::builder::Builder;
use crate::client::{self, Client, Counters};
use crate::config::{NetBoxConfig, Purpose};
use crate::error::NetBoxError;
use crate::moment;
use crate::pages::Context;
use crate::snapshot::{Origin, Snapshot, Tables};
use crate::tasks::{Collected, Count, ENTRIES, Entry, Tasks, wanted};
use crate::version::{Version, version_of};

/// A change carries the time at which its transaction began, and is seen when that ends: longer than an import may take.
const OVERLAP: Duration = Duration::from_secs(120);

/// Reads NetBox once and in full.
///
/// # Errors
/// When NetBox does not answer, or refuses the token or a kind without which names would be wrong.
pub async fn read_once(config: &NetBoxConfig, purpose: Purpose) -> Result<Snapshot, NetBoxError> {
    let mut refresher = Refresher::new(config.clone(), purpose, Arc::default());
    let Refreshed { snapshot, problem } = refresher.refresh(None, true).await?;
    match (snapshot, problem) {
        (_, Some(problem)) => Err(problem),
        (snapshot, None) => Ok(snapshot.unwrap_or_default()),
    }
}

/// What a refresh brought.
#[derive(Debug)]
pub(crate) struct Refreshed {
    /// The next snapshot; `None` if nothing was changed.
    pub snapshot: Option<Snapshot>,
    /// Why some kinds are as they were before.
    pub problem: Option<NetBoxError>,
}

/// Makes snapshots one after the other.
#[derive(Debug)]
pub(crate) struct Refresher {
    config: NetBoxConfig,
    purpose: Purpose,
    counters: Arc<Counters>,
    /// From when on changes are read next, once a refresh has succeeded: also one that brought no new snapshot moves it on.
    since: Option<String>,
    /// Objects that NetBox counts and that are no rows here, by kind: it has some that cannot be read.
    unreadable: BTreeMap<&'static str, i64>,
    /// Kinds that the token may not view, each logged once.
    refused: BTreeSet<&'static str>,
}

/// A snapshot in the making, which is begun when there is something to put into it.
struct Making<'a> {
    previous: &'a Snapshot,
    builder: Option<Builder>,
}

impl Making<'_> {
    fn builder(&mut self) -> &mut Builder {
        self.builder.get_or_insert_with(|| Builder::resume(self.previous))
    }
}

impl Refresher {
    pub(crate) fn new(config: NetBoxConfig, purpose: Purpose, counters: Arc<Counters>) -> Self {
        let (unreadable, refused) = (BTreeMap::new(), BTreeSet::new());
        Self { config, purpose, counters, since: None, unreadable, refused }
    }

    /// The next snapshot.
    ///
    /// # Errors
    /// When NetBox cannot be read.
    pub(crate) async fn refresh(&mut self, previous: Option<&Snapshot>, full: bool) -> Result<Refreshed, NetBoxError> {
        let taken_at_ms = unix_ms().cast_unsigned();
        let client = Client::new(&self.config, Arc::clone(&self.counters))?;
        let answer = client.get("status", "").await?;
        let version = version_of(&answer.body)?;
        let since = moment::format(client::time(&answer) - OVERLAP);
        let context =
            Context { client, config: self.config.clone(), purpose: self.purpose, version: Version::parse(&version) };
        let context = Arc::new(context);
        let origin = |full_at_ms| Origin { version, taken_at_ms, since: since.clone(), full_at_ms };
        let refreshed = match previous {
            Some(previous) if !full => self.incremental(&context, previous, origin(previous.origin.full_at_ms)).await?,
            _ => self.full(&context, previous, origin(taken_at_ms)).await?,
        };
        self.since = Some(since);
        Ok(refreshed)
    }

    async fn full(
        &mut self,
        context: &Arc<Context>,
        previous: Option<&Snapshot>,
        origin: Origin,
    ) -> Result<Refreshed, NetBoxError> {
        let mut builder = Builder::default();
        let mut tasks = Tasks::new(context);
        for entry in self.entries() {
            tasks.full(entry, previous.map_or(0, |previous| entry.rows(&previous.tables)));
        }
        let collected = tasks.collect(|rows, config| rows(&mut builder, config)).await?;
        let kept = collected.kept();
        for entry in ENTRIES.iter().filter(|entry| kept.contains(entry.name)) {
            (entry.clear)(&mut builder);
            if let Some(previous) = previous {
                (entry.keep)(previous, &mut builder);
            }
        }
        let snapshot = builder.finish(origin);
        self.unreadable = unreadable(&collected.counts, &snapshot.tables).collect();
        let problem = self.problem(collected, previous.is_some())?;
        Ok(Refreshed { snapshot: Some(snapshot), problem })
    }

    async fn incremental(
        &mut self,
        context: &Arc<Context>,
        previous: &Snapshot,
        origin: Origin,
    ) -> Result<Refreshed, NetBoxError> {
        let since = self.since.as_ref().unwrap_or(&previous.origin.since);
        let mut tasks = Tasks::new(context);
        self.entries().for_each(|entry| tasks.changes(entry, &previous.tables, since));
        let mut making = Making { previous, builder: None };
        let mut collected = tasks.collect(|rows, config| rows(making.builder(), config)).await?;
        let changed = making.builder.map(|builder| builder.finish(origin.clone()));
        let stale = self.stale(&collected, &previous.tables, changed.as_ref().map(|changed| &changed.tables));
        if stale.is_empty() {
            let problem = self.problem(collected, true)?;
            let snapshot = changed.filter(|changed| changed.tables != previous.tables);
            return Ok(Refreshed { snapshot, problem });
        }
        let known = changed.as_ref().unwrap_or(previous);
        let mut builder = Builder::resume(known);
        let mut tasks = Tasks::new(context);
        for entry in self.entries().filter(|entry| stale.contains(entry.name)) {
            (entry.clear)(&mut builder);
            tasks.full(entry, entry.rows(&previous.tables));
        }
        let read = tasks.collect(|rows, config| rows(&mut builder, config)).await?;
        let kept = read.kept();
        for entry in ENTRIES.iter().filter(|entry| kept.contains(entry.name)) {
            (entry.clear)(&mut builder);
            (entry.keep)(known, &mut builder);
        }
        let snapshot = builder.finish(origin);
        self.unreadable.extend(unreadable(&read.counts, &snapshot.tables));
        collected.refused.extend(read.refused);
        collected.shrunk.extend(read.shrunk);
        let problem = self.problem(collected, true)?;
        let snapshot = Some(snapshot).filter(|snapshot| snapshot.tables != previous.tables);
        Ok(Refreshed { snapshot, problem })
    }

    /// The kinds that this reader needs.
    fn entries(&self) -> impl Iterator<Item = &'static Entry> {
        wanted(&self.config, self.purpose)
    }

    /// The kinds that have to be read in full: `changed` is what there is after changes were read, if there were any.
    fn stale(&self, collected: &Collected, previous: &Tables, changed: Option<&Tables>) -> BTreeSet<&'static str> {
        let kept = collected.kept();
        let tables = changed.unwrap_or(previous);
        let mut moved = BTreeSet::new();
        let mut stale = BTreeSet::new();
        for entry in self.entries().filter(|entry| !kept.contains(entry.name)) {
            let Some(count) = collected.counts.get(entry.name) else { continue };
            let difference = difference(entry, count, tables);
            let unreadable = self.unreadable.get(entry.name).copied().unwrap_or(0);
            // Unreadable objects may have been added behind the last id that was counted.
            let deleted = match count.up_to {
                u32::MAX => difference != unreadable,
                _ => !(0..=unreadable).contains(&difference),
            };
            if deleted {
                stale.insert(entry.name);
            }
            if deleted || changed.is_some_and(|changed| !(entry.same)(previous, changed)) {
                moved.insert(entry.name);
            }
        }
        let follows = |entry: &Entry| entry.spec.follows.iter().any(|followed| moved.contains(followed));
        stale.extend(
            self.entries().filter(|entry| !kept.contains(entry.name) && follows(entry)).map(|entry| entry.name),
        );
        stale
    }

    /// Reports the kinds that were not read. A kind that the token was never allowed to view is logged once; a kind without
    /// which names would be wrong is a problem.
    ///
    /// # Errors
    /// That problem, where there is no snapshot to go on with.
    fn problem(&mut self, collected: Collected, known: bool) -> Result<Option<NetBoxError>, NetBoxError> {
        let Collected { refused, shrunk, .. } = collected;
        for entry in ENTRIES.iter().filter(|entry| refused.contains_key(entry.name) && !entry.spec.required) {
            if !self.refused.contains(entry.name) {
                let (kind, permission) = (entry.name, entry.permission);
                tracing::warn!(
                    kind,
                    permission,
                    "the token may not view this kind in NetBox, and its names are missing: grant the permission"
                );
            }
        }
        self.refused = refused.keys().copied().collect();
        let required = |name: &str| ENTRIES.iter().any(|entry| entry.name == name && entry.spec.required);
        let problem = refused.into_iter().find_map(|(name, error)| required(name).then_some(error));
        match problem.or_else(|| shrunk.into_values().next()) {
            Some(problem) if !known => Err(problem),
            problem => Ok(problem),
        }
    }
}

/// How many objects more NetBox counts than there are rows.
fn difference(entry: &Entry, count: &Count, tables: &Tables) -> i64 {
    count.objects as i64 - (entry.rows_up_to)(tables, count.up_to) as i64
}

/// The number of objects that became no rows. It is 0 if there are more rows than NetBox counts: then objects were deleted
/// while the others were read, which the next refresh finds.
fn unreadable(counts: &BTreeMap<&'static str, Count>, tables: &Tables) -> impl Iterator<Item = (&'static str, i64)> {
    let counted = |entry: &'static Entry| Some((entry, counts.get(entry.name)?));
    ENTRIES.iter().filter_map(counted).map(|(entry, count)| (entry.name, difference(entry, count, tables).max(0)))
}
