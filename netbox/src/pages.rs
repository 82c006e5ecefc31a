//! Reading one kind page by page.
//!
//! The next page is asked for by the id behind the last one: by `start` where NetBox has it (4.6 and later), else by the
//! filter `id__gte`. An offset would count rows: one object deleted and another one added between two pages moves the
//! following rows by one and leaves the count as it was, so that one object is missed and nothing shows it. Asking by id also
//! costs NetBox the same for the last page as for the first.
//!
//! The link to the next page only says that there is one: NetBox behind a proxy writes links with names that may not
//! resolve here.

use serde::Deserialize;
use tokio::sync::mpsc;

use crate::client::Client;
use crate::config::{NetBoxConfig, Purpose};
use crate::declare::ObjectKind;
use crate::error::NetBoxError;
use crate::moment;
use crate::version::Version;

/// What all requests of a refresh have in common.
#[derive(Debug)]
pub(crate) struct Context {
    pub client: Client,
    pub config: NetBoxConfig,
    pub purpose: Purpose,
    pub version: Version,
}

/// A page of a list. `count` is null when NetBox pages by id.
#[derive(Debug, Deserialize)]
#[serde(bound = "T: serde::de::DeserializeOwned")]
pub(crate) struct Page<T> {
    pub count: Option<u64>,
    pub next: Option<String>,
    pub results: Vec<T>,
}

/// An object of which only this matters.
#[derive(Debug, Deserialize)]
struct Brief {
    id: u32,
    last_updated: Option<String>,
}

/// Ids from the first to before the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Ids {
    pub from: u32,
    pub to: Option<u32>,
}

/// How many objects there are and the highest id of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub count: u64,
    pub last_id: u32,
}

/// How many objects there are and when one of them was changed last, Unix seconds; `None` if NetBox does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Probe {
    pub count: u64,
    pub changed_at: Option<i64>,
}

/// Asks how many objects there are and up to which id.
pub(crate) async fn extent<K: ObjectKind>(context: &Context) -> Result<Extent, NetBoxError> {
    let page = brief::<K>(context, "ordering=-id&fields=id").await?;
    Ok(Extent { count: page.count.unwrap_or(0), last_id: page.results.first().map_or(0, |object| object.id) })
}

/// Asks how many objects there are and when one of them was changed last.
pub(crate) async fn probe<K: ObjectKind>(context: &Context) -> Result<Probe, NetBoxError> {
    let page = brief::<K>(context, "ordering=-last_updated&fields=id,last_updated").await?;
    let changed_at = page.results.first().and_then(|object| moment::parse(object.last_updated.as_deref()?));
    Ok(Probe { count: page.count.unwrap_or(0), changed_at })
}

/// Asks how many objects there are up to an id: those that are added meanwhile have higher ones.
pub(crate) async fn count_up_to<K: ObjectKind>(context: &Context, id: u32) -> Result<u64, NetBoxError> {
    let page = brief::<K>(context, &format!("id__lte={id}&fields=id")).await?;
    Ok(page.count.unwrap_or(0))
}

/// Asks for one object, for the sake of what is said beside it.
async fn brief<K: ObjectKind>(context: &Context, what: &str) -> Result<Page<Brief>, NetBoxError> {
    let mut query = format!("limit=1&{what}&exclude=config_context");
    append(&mut query, &(K::SPEC.filter)(&context.config));
    fetch(context, K::PATH, &query).await
}

/// Cuts the ids of many objects into ranges that are read side by side.
pub(crate) fn ranges(extent: Extent, config: &NetBoxConfig) -> Vec<Ids> {
    let parts = (extent.count / (2 * u64::from(config.page_size))).clamp(1, config.concurrency as u64) as u32;
    let step = extent.last_id / parts + 1;
    (0..parts).map(|part| Ids { from: part * step, to: (part + 1 < parts).then(|| (part + 1) * step) }).collect()
}

/// Reads the objects of a range, those changed since `since` if it is given, and sends every page as what `wrap` makes of it.
pub(crate) async fn walk<K: ObjectKind, T>(
    context: &Context,
    ids: Ids,
    since: Option<&str>,
    pages: &mpsc::Sender<T>,
    wrap: fn(Vec<K::Wire>) -> T,
) -> Result<(), NetBoxError> {
    let fixed = fixed_query::<K>(context, ids, since);
    let mut from = ids.from;
    loop {
        let query = format!("{fixed}&{}={from}", position(context.version));
        let page: Page<K::Wire> = fetch(context, K::PATH, &query).await?;
        let last = page.results.last().map(K::id_of);
        if last.is_some() && pages.send(wrap(page.results)).await.is_err() {
            return Ok(()); // another list failed: the receiver is gone
        }
        if page.next.is_none() {
            return Ok(());
        }
        from = match last {
            Some(last) if last >= from => last.saturating_add(1),
            _ => return Err(NetBoxError::Pages { path: K::PATH.to_owned() }),
        };
    }
}

/// The parameter that says at which id a page begins.
fn position(version: Version) -> &'static str {
    if version >= Version::CURSORS { "start" } else { "id__gte" }
}

fn fixed_query<K: ObjectKind>(context: &Context, ids: Ids, since: Option<&str>) -> String {
    // NetBox puts every object's config contexts together unless they are excluded, also when `fields` leaves them out.
    let mut query = format!("limit={}&exclude=config_context", context.config.page_size);
    if context.version >= Version::FIELDS {
        append(&mut query, &format!("fields={}", K::fields(context.purpose).join(",")));
    }
    if context.version < Version::CURSORS {
        append(&mut query, "ordering=id");
    }
    append(&mut query, &(K::SPEC.filter)(&context.config));
    if let Some(to) = ids.to {
        append(&mut query, &format!("id__lt={to}"));
    }
    if let Some(since) = since {
        append(&mut query, &format!("last_updated__gte={since}"));
    }
    query
}

fn append(query: &mut String, part: &str) {
    if !part.is_empty() {
        query.push('&');
        query.push_str(part);
    }
}

async fn fetch<T: for<'de> Deserialize<'de>>(context: &Context, path: &str, query: &str) -> Result<T, NetBoxError> {
    let answer = context.client.get(path, query).await?;
    serde_json::from_slice(&answer.body).map_err(|source| NetBoxError::NotNetBox { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_every_id_once_and_the_last_is_open() {
        let config = NetBoxConfig { page_size: 10, concurrency: 4, ..NetBoxConfig::default() };
        let cut = |count, last_id| ranges(Extent { count, last_id }, &config);
        assert_eq!(cut(19, 5000), [Ids { from: 0, to: None }]);
        let many = cut(1000, 4001);
        assert_eq!(many.len(), 4);
        for pair in many.windows(2) {
            assert_eq!(pair[0].to, Some(pair[1].from));
        }
        assert_eq!((many[0].from, many[3].to), (0, None));
        assert_eq!(cut(0, 0), [Ids { from: 0, to: None }]);
    }
}
