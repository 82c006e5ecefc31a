//! Reading one kind page by page.
//!
//! NetBox 4.6 and later page by id (`start`), older ones by `offset`, here ordered by id so that what is added meanwhile
//! comes last. Objects that are deleted meanwhile move the following ones to earlier offsets: the count tells how
//! many, and the walk steps back by as much. Either way no object is passed over; one that comes twice counts once.
//!
//! Of the link to the next page only the position is taken: NetBox behind a proxy writes links to names that may not
//! resolve here.

use serde::Deserialize;
use tokio::sync::mpsc;

use crate::client::Client;
use crate::config::NetBoxConfig;
use crate::error::NetBoxError;
use crate::kinds::Kind;
use crate::version::Version;

/// What all requests of a refresh have in common.
#[derive(Debug)]
pub struct Context {
    pub client: Client,
    pub config: NetBoxConfig,
    pub version: Version,
}

/// A page of a list. `count` is null when NetBox pages by id.
#[derive(Debug, Deserialize)]
#[serde(bound = "T: serde::de::DeserializeOwned")]
pub struct Page<T> {
    pub count: Option<u64>,
    pub next: Option<String>,
    pub results: Vec<T>,
}

/// An object of which only the id matters.
#[derive(Debug, Deserialize)]
pub struct Id {
    pub id: u32,
}

/// Ids from the first to before the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ids {
    pub from: u32,
    pub to: Option<u32>,
}

/// How many objects there are and the highest id of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    pub count: u64,
    pub last_id: u32,
}

/// Asks how many objects there are.
pub async fn extent<K: Kind>(context: &Context) -> Result<Extent, NetBoxError> {
    let mut query = "limit=1&ordering=-id&fields=id&exclude=config_context".to_owned();
    append(&mut query, K::filter(&context.config));
    let page: Page<Id> = fetch(context, K::PATH, &query).await?;
    Ok(Extent { count: page.count.unwrap_or(0), last_id: page.results.first().map_or(0, |object| object.id) })
}

/// Cuts the ids of many objects into ranges that are read side by side.
pub fn ranges(extent: Extent, config: &NetBoxConfig) -> Vec<Ids> {
    let parts = (extent.count / (2 * u64::from(config.page_size))).clamp(1, config.concurrency as u64) as u32;
    let step = extent.last_id / parts + 1;
    (0..parts).map(|part| Ids { from: part * step, to: (part + 1 < parts).then(|| (part + 1) * step) }).collect()
}

/// Reads the objects of a range, those changed since `since` if it is given, and sends every page as what `wrap` makes of it.
pub async fn walk<K: Kind, T>(
    context: &Context,
    ids: Ids,
    since: Option<&str>,
    pages: &mpsc::Sender<T>,
    wrap: fn(Vec<K>) -> T,
) -> Result<(), NetBoxError> {
    let by_id = context.version >= Version::CURSORS;
    let fixed = fixed_query::<K>(context, ids, since);
    let mut position = 0_u64;
    let mut count_before = None;
    loop {
        let query = if by_id { format!("{fixed}&start={position}") } else { format!("{fixed}&offset={position}") };
        let page: Page<K> = fetch(context, K::PATH, &query).await?;
        if !page.results.is_empty() && pages.send(wrap(page.results)).await.is_err() {
            return Ok(()); // nobody listens any more after another list's failure
        }
        let Some(next) = page.next else { return Ok(()) };
        let lost = count_before.zip(page.count).map_or(0, |(before, now): (u64, u64)| before.saturating_sub(now));
        count_before = page.count;
        let next = position_in(&next, if by_id { "start" } else { "offset" }).unwrap_or(0);
        if next <= position {
            return Err(NetBoxError::Pages { path: K::PATH.to_owned() });
        }
        position = next.saturating_sub(lost);
    }
}

fn fixed_query<K: Kind>(context: &Context, ids: Ids, since: Option<&str>) -> String {
    let mut query = format!("limit={}", context.config.page_size);
    if context.version >= Version::FIELDS {
        append(&mut query, &format!("fields={}", K::fields(context.version)));
    } else {
        append(&mut query, "exclude=config_context");
    }
    if context.version < Version::CURSORS {
        append(&mut query, "ordering=id");
    }
    append(&mut query, K::filter(&context.config));
    if ids.from > 0 {
        append(&mut query, &format!("id__gte={}", ids.from));
    }
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

/// The number of a parameter in a link.
fn position_in(link: &str, parameter: &str) -> Option<u64> {
    let (_, query) = link.split_once('?')?;
    let value = query.split('&').find_map(|pair| pair.strip_prefix(parameter)?.strip_prefix('='))?;
    value.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_position_of_a_link_counts() {
        let link = "http://elsewhere.internal/api/dcim/devices/?limit=1000&offset=2000&restart=7";
        assert_eq!((position_in(link, "offset"), position_in(link, "start")), (Some(2000), None));
        assert_eq!(position_in("http://elsewhere/?start=x", "start"), None);
    }

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
