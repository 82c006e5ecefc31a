//! One refresh: from the snapshot before, if there is one, to the next.
//!
//! A full refresh reads every kind. An incremental one reads what was changed since, then asks for the number of objects:
//! where that differs from the rows at hand something was deleted, and the kind is read in full. Kinds, and ranges of ids
//! of the big ones, are read side by side; pages become rows as they arrive, so only a few are in memory at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::builder::Builder;
use crate::client::{Client, Counters};
use crate::config::NetBoxConfig;
use crate::error::NetBoxError;
use crate::kinds::{self, Kind};
use crate::pages::{Context, Extent, Ids, extent, ranges, walk};
use crate::snapshot::{Origin, Snapshot};
use crate::version::Version;

/// Pages that wait for becoming rows.
const PAGES_WAITING: usize = 4;

/// A change carries the time at which its transaction began, and is seen when that ends: longer than an import may take.
const OVERLAP: Duration = Duration::from_secs(120);

/// Of fewer objects any number may be gone: a share of them says nothing.
const SHRINK_ROWS_MIN: usize = 20;

/// Kinds that a token need not be allowed to view, with the permission that it lacks then: what they say is missing, and
/// nothing else is wrong. VRFs are none of them: without their names the prefixes of a VRF would pass for global ones.
const OPTIONAL: [(&str, &str); 8] = [
    ("ip-addresses", "ipam.view_ipaddress"),
    ("virtual-machines", "virtualization.view_virtualmachine"),
    ("vm-interfaces", "virtualization.view_vminterface"),
    ("asns", "ipam.view_asn"),
    ("regions", "dcim.view_region"),
    ("site-groups", "dcim.view_sitegroup"),
    ("locations", "dcim.view_location"),
    ("tenants", "tenancy.view_tenant"),
];

/// Turns a page of objects into rows.
type Load = Box<dyn FnOnce(&mut Builder, &NetBoxConfig) + Send>;

/// What a task reports to the refresh.
enum Report {
    Rows(Load),
    Extent(&'static str, Extent),
    /// The token may not view this kind, which is one of [`OPTIONAL`].
    LeftOut(&'static str),
    Failed(NetBoxError),
}

impl Report {
    /// NetBox answers 401 or refuses the first request of a refresh where the token itself is bad; 403 to one kind is a
    /// permission that it lacks.
    fn failure<K: Kind>(error: NetBoxError) -> Self {
        let forbidden = matches!(error, NetBoxError::Token { status: 403, .. });
        if forbidden && permission_for(K::NAME).is_some() { Self::LeftOut(K::NAME) } else { Self::Failed(error) }
    }
}

fn permission_for(kind: &str) -> Option<&'static str> {
    OPTIONAL.iter().find_map(|(optional, permission)| (*optional == kind).then_some(*permission))
}

/// What can be done with a kind.
struct Entry {
    name: &'static str,
    full: fn(&mut Tasks),
    changes: fn(&mut Tasks, &str),
    clear: fn(&mut Builder),
}

const fn entry<K: Kind>() -> Entry {
    Entry { name: K::NAME, full: Tasks::full::<K>, changes: Tasks::changes::<K>, clear: K::clear }
}

const ENTRIES: [Entry; 13] = [
    entry::<kinds::Interface>(),
    entry::<kinds::IpAddress>(),
    entry::<kinds::Prefix>(),
    entry::<kinds::Device>(),
    entry::<kinds::VirtualMachine>(),
    entry::<kinds::VmInterface>(),
    entry::<kinds::Vrf>(),
    entry::<kinds::Asn>(),
    entry::<kinds::Site>(),
    entry::<kinds::Region>(),
    entry::<kinds::SiteGroup>(),
    entry::<kinds::Location>(),
    entry::<kinds::Tenant>(),
];

fn entries(config: &NetBoxConfig) -> impl Iterator<Item = &'static Entry> {
    let wanted = config.virtual_machines;
    ENTRIES.iter().filter(move |entry| wanted || !matches!(entry.name, "virtual-machines" | "vm-interfaces"))
}

/// What is under way.
struct Tasks {
    context: Arc<Context>,
    reports: mpsc::Sender<Report>,
    set: JoinSet<()>,
}

impl Tasks {
    fn new(context: &Arc<Context>) -> (Self, mpsc::Receiver<Report>) {
        let (reports, receiver) = mpsc::channel(PAGES_WAITING);
        (Self { context: Arc::clone(context), reports, set: JoinSet::new() }, receiver)
    }

    /// Reads all objects of a kind.
    fn full<K: Kind>(&mut self) {
        let (context, reports) = (Arc::clone(&self.context), self.reports.clone());
        self.set.spawn(async move {
            let extent = match extent::<K>(&context).await {
                Ok(extent) => extent,
                Err(error) => return send(&reports, Report::failure::<K>(error)).await,
            };
            send(&reports, Report::Extent(K::NAME, extent)).await;
            let mut walks = JoinSet::new();
            for ids in ranges(extent, &context.config) {
                walks.spawn(read::<K>(Arc::clone(&context), ids, None, reports.clone()));
            }
            walks.join_all().await;
        });
    }

    /// Reads what was changed, and how many objects there are.
    fn changes<K: Kind>(&mut self, since: &str) {
        let (context, reports) = (Arc::clone(&self.context), self.reports.clone());
        let since = Some(since.to_owned());
        self.set.spawn(async move {
            read::<K>(Arc::clone(&context), Ids::default(), since, reports.clone()).await;
            let report = match extent::<K>(&context).await {
                Ok(extent) => Report::Extent(K::NAME, extent),
                Err(error) => Report::failure::<K>(error),
            };
            send(&reports, report).await;
        });
    }

    /// Takes what the tasks report until all are done or one failed; the others are ended then.
    async fn collect(
        self,
        mut receiver: mpsc::Receiver<Report>,
        builder: &mut Builder,
    ) -> Result<Collected, NetBoxError> {
        let Self { context, reports, set: _running } = self;
        drop(reports);
        let mut collected = Collected::default();
        while let Some(report) = receiver.recv().await {
            match report {
                Report::Rows(load) => {
                    collected.pages_with_rows += 1;
                    load(builder, &context.config);
                }
                Report::Extent(kind, extent) => drop(collected.counts.insert(kind, extent.count)),
                Report::LeftOut(kind) => drop(collected.left_out.insert(kind)),
                Report::Failed(error) => return Err(error),
            }
        }
        Ok(collected)
    }
}

#[derive(Default)]
struct Collected {
    pages_with_rows: usize,
    counts: BTreeMap<&'static str, u64>,
    left_out: BTreeSet<&'static str>,
}

async fn send(reports: &mpsc::Sender<Report>, report: Report) {
    // Nobody listens any more after another task's failure.
    let _ = reports.send(report).await;
}

async fn read<K: Kind>(context: Arc<Context>, ids: Ids, since: Option<String>, reports: mpsc::Sender<Report>) {
    if let Err(error) = walk(&context, ids, since.as_deref(), &reports, rows::<K>).await {
        send(&reports, Report::failure::<K>(error)).await;
    }
}

fn rows<K: Kind>(objects: Vec<K>) -> Report {
    Report::Rows(Box::new(move |builder, config| {
        objects.into_iter().for_each(|object| object.load(builder, config));
    }))
}

/// Makes snapshots one after the other.
#[derive(Debug)]
pub struct Refresher {
    config: NetBoxConfig,
    counters: Arc<Counters>,
    /// Objects that NetBox counts and that are no rows here, by kind: it has some that cannot be read.
    surplus: BTreeMap<&'static str, i64>,
    /// What the token may not view, said once.
    left_out: BTreeSet<&'static str>,
}

#[derive(Deserialize)]
struct Status {
    #[serde(rename = "netbox-version")]
    version: String,
}

impl Refresher {
    pub fn new(config: NetBoxConfig, counters: Arc<Counters>) -> Self {
        Self { config, counters, surplus: BTreeMap::new(), left_out: BTreeSet::new() }
    }

    /// The next snapshot; `None` if nothing was changed since `previous`.
    ///
    /// # Errors
    /// When it cannot be had whole, or is too small to be believed.
    pub async fn refresh(&mut self, previous: Option<&Snapshot>, full: bool) -> Result<Option<Snapshot>, NetBoxError> {
        let taken_at_ms = now_ms();
        let client = Client::new(&self.config, Arc::clone(&self.counters))?;
        let answer = client.get("status", "").await?;
        let Status { version } = serde_json::from_slice(&answer.body)
            .map_err(|source| NetBoxError::NotNetBox { path: "status".to_owned(), source })?;
        let since = timestamp(answer.time() - OVERLAP);
        let context = Context { client, config: self.config.clone(), version: Version::parse(&version) };
        let context = Arc::new(context);
        let snapshot = match previous.filter(|_| !full) {
            Some(previous) => {
                let origin = Origin { version, taken_at_ms, since, full_at_ms: previous.origin.full_at_ms };
                self.incremental(&context, previous, origin).await?
            }
            None => {
                let origin = Origin { version, taken_at_ms, since, full_at_ms: taken_at_ms };
                Some(self.full(&context, origin).await?)
            }
        };
        if let (Some(previous), Some(snapshot)) = (previous, &snapshot) {
            check_size(previous, snapshot, self.config.max_shrink)?;
        }
        Ok(snapshot)
    }

    async fn full(&mut self, context: &Arc<Context>, origin: Origin) -> Result<Snapshot, NetBoxError> {
        let mut builder = Builder::default();
        let (mut tasks, receiver) = Tasks::new(context);
        entries(&self.config).for_each(|entry| (entry.full)(&mut tasks));
        let collected = tasks.collect(receiver, &mut builder).await?;
        self.say_left_out(&collected.left_out);
        let snapshot = builder.finish(origin);
        self.surplus = unreadable(&collected.counts, &snapshot).collect();
        Ok(snapshot)
    }

    fn say_left_out(&mut self, left_out: &BTreeSet<&'static str>) {
        for &kind in left_out.difference(&self.left_out) {
            let permission = permission_for(kind).unwrap_or_default();
            tracing::warn!(kind, permission, "NetBox's token may not view this kind, names go without it: grant it");
        }
        self.left_out.clone_from(left_out);
    }

    async fn incremental(
        &mut self,
        context: &Arc<Context>,
        previous: &Snapshot,
        origin: Origin,
    ) -> Result<Option<Snapshot>, NetBoxError> {
        let mut builder = Builder::resume(previous);
        let (mut tasks, receiver) = Tasks::new(context);
        entries(&self.config).for_each(|entry| (entry.changes)(&mut tasks, &previous.origin.since));
        let collected = tasks.collect(receiver, &mut builder).await?;
        self.say_left_out(&collected.left_out);
        let changed = builder.finish(origin.clone());
        let surplus = |kind| self.surplus.get(kind).copied().unwrap_or(0);
        let stale: Vec<&str> = difference(&collected.counts, &changed)
            .filter_map(|(kind, difference)| (difference != surplus(kind)).then_some(kind))
            .collect();
        if stale.is_empty() {
            let same = collected.pages_with_rows == 0 || changed.tables == previous.tables;
            return Ok((!same).then_some(changed));
        }
        let mut builder = Builder::resume(&changed);
        drop(changed);
        let (mut tasks, receiver) = Tasks::new(context);
        for entry in entries(&self.config).filter(|entry| stale.contains(&entry.name)) {
            (entry.clear)(&mut builder);
            (entry.full)(&mut tasks);
        }
        let collected = tasks.collect(receiver, &mut builder).await?;
        self.say_left_out(&collected.left_out);
        let snapshot = builder.finish(origin);
        self.surplus.extend(unreadable(&collected.counts, &snapshot));
        Ok(Some(snapshot))
    }
}

/// How many objects more NetBox counts than there are rows.
fn difference(counts: &BTreeMap<&'static str, u64>, snapshot: &Snapshot) -> impl Iterator<Item = (&'static str, i64)> {
    let sizes = snapshot.tables.sizes();
    sizes.into_iter().filter_map(|(kind, rows)| Some((kind, *counts.get(kind)? as i64 - rows as i64)))
}

/// How many objects there are that became no rows. Rows that NetBox does not count are none of them: those objects were
/// deleted while the others were read, and the next refresh has to find that.
fn unreadable(counts: &BTreeMap<&'static str, u64>, snapshot: &Snapshot) -> impl Iterator<Item = (&'static str, i64)> {
    difference(counts, snapshot).map(|(kind, difference)| (kind, difference.max(0)))
}

fn check_size(previous: &Snapshot, next: &Snapshot, max_shrink: f64) -> Result<(), NetBoxError> {
    for ((kind, before), (_, after)) in previous.tables.sizes().into_iter().zip(next.tables.sizes()) {
        if before >= SHRINK_ROWS_MIN && (after as f64) < before as f64 * (1.0 - max_shrink) {
            return Err(NetBoxError::Shrunk { kind, before, after, max_shrink });
        }
    }
    Ok(())
}

/// Unix milliseconds.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// A moment as NetBox's filters take it: `2026-11-23T01:02:03Z`, made of the parts of an HTTP date.
fn timestamp(time: SystemTime) -> String {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let date = httpdate::fmt_http_date(time);
    let mut parts = date.split(' ').skip(1);
    let mut part = || parts.next().unwrap_or_default();
    let (day, month, year, clock) = (part(), part(), part(), part());
    let month = MONTHS.find(month).unwrap_or(0) / 3 + 1;
    format!("{year}-{month:02}-{day}T{clock}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Device;

    #[test]
    fn a_moment_is_written_as_filters_take_it() {
        let time = |text| timestamp(httpdate::parse_http_date(text).unwrap());
        assert_eq!(time("Sun, 06 Nov 1994 08:49:37 GMT"), "1994-11-06T08:49:37Z");
        assert_eq!(time("Fri, 01 Jan 2027 00:00:00 GMT"), "2027-01-01T00:00:00Z");
    }

    #[test]
    fn every_kind_of_table_is_read_under_its_name() {
        let mut read: Vec<&str> = ENTRIES.iter().map(|entry| entry.name).collect();
        let mut tables: Vec<&str> = Snapshot::default().tables.sizes().iter().map(|(name, _)| *name).collect();
        read.sort_unstable();
        tables.sort_unstable();
        assert_eq!(read, tables);
        let config = NetBoxConfig { virtual_machines: false, ..NetBoxConfig::default() };
        assert_eq!(entries(&config).count(), 11);
    }

    #[test]
    fn a_share_may_be_missing_and_of_few_any() {
        let devices = |count: u32| {
            let mut builder = Builder::default();
            builder.devices.extend((1..=count).map(|id| Device { id, ..Device::default() }));
            builder.finish(Origin::default())
        };
        assert!(check_size(&devices(100), &devices(70), 0.3).is_ok());
        let error = check_size(&devices(100), &devices(69), 0.3).unwrap_err().to_string();
        assert!(error.starts_with("devices went from 100 to 69"), "{error}");
        assert!(check_size(&devices(19), &devices(0), 0.3).is_ok());
    }
}
