//! Where blocks go: shards, their replicas, and how each of these is doing.
//!
//! A block belongs to one shard, since only that shard's replicas share the memory of its token: a retry elsewhere would
//! be counted twice. The shard is the number at the end of the token, which goes up with every block, modulo the number
//! of shards. So blocks go round the shards, the spool needs no note of it, and a restart changes nothing as long as the
//! number of shards stays the same. With another number of shards, blocks that wait in the spool go to another shard: one
//! that was sent and not acknowledged may be stored twice then. Within the shard any replica will do. One that failed rests for a while that doubles, and is tried again when its rest is over or when
//! all others rest as well.
//!
//! A single server is a cluster of one shard with one replica.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use clickhouse::Client;
use clickhouse::error::Error;

use crate::client::{self, ConnectError, Inserts};
use crate::config::SinkConfig;
use crate::migrate::rows;
use crate::schema::ddl;

pub mod config;

/// The servers of one configuration.
#[derive(Debug)]
pub struct Cluster {
    shards: Vec<Shard>,
}

#[derive(Debug)]
struct Shard {
    replicas: Vec<Arc<Replica>>,
    /// Goes up with every choice, so that replicas share the work.
    turn: AtomicUsize,
}

/// One server.
#[derive(Debug)]
pub struct Replica {
    /// URL of the server's HTTP interface, as configured or made from `system.clusters`.
    pub url: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Made with the password and certificates as they were then.
    inserts: Option<Inserts>,
    failures: u32,
    rests_until: Option<Instant>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("failures", &self.failures).finish_non_exhaustive()
    }
}

/// The shards cannot be found out.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the text of a variant says what its fields are")]
pub enum DiscoverError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("cannot look for the replicas of cluster `{cluster}`: {source}")]
    Look { cluster: String, source: Error },
    #[error(
        "the server knows no cluster `{cluster}`: check clickhouse.cluster.name against SELECT cluster FROM \
         system.clusters, or list the shards in clickhouse.cluster.shards"
    )]
    Unknown { cluster: String },
}

impl Cluster {
    /// By configuration: the listed shards, or the one server.
    pub fn configured(config: &SinkConfig) -> Self {
        if config.cluster.shards.is_empty() {
            return Self::of(&[vec![config.url.clone()]]);
        }
        Self::of(&config.cluster.shards)
    }

    fn of(shards: &[Vec<String>]) -> Self {
        let replica = |url: &String| Arc::new(Replica { url: url.clone(), state: Mutex::default() });
        let shard =
            |urls: &Vec<String>| Shard { replicas: urls.iter().map(replica).collect(), turn: AtomicUsize::new(0) };
        Self { shards: shards.iter().map(shard).collect() }
    }

    /// As the server at `clickhouse.url` knows it, unless the shards are configured or there is no cluster.
    ///
    /// # Errors
    /// [`DiscoverError`] when the server cannot be asked, or knows no such cluster.
    pub async fn discover(config: &SinkConfig) -> Result<Self, DiscoverError> {
        let Some(name) = config.cluster.name.as_ref().filter(|_| config.cluster.shards.is_empty()) else {
            return Ok(Self::configured(config));
        };
        let servers = config.clone();
        let client = read_files(move || client::connect(&servers)).await?;
        let failed = |source| DiscoverError::Look { cluster: name.clone(), source };
        let found = rows(&client, &question(name)).await.map_err(failed)?;
        let shards = shards(&found, &config.url);
        if shards.is_empty() {
            return Err(DiscoverError::Unknown { cluster: name.clone() });
        }
        Ok(Self::of(&shards))
    }

    pub(crate) fn n_shards(&self) -> usize {
        self.shards.len()
    }

    /// The replicas of a shard that can be asked now, best first; if all rest, the one that has rested longest.
    pub fn replicas(&self, shard: usize, now: Instant) -> Vec<Arc<Replica>> {
        let Some(shard) = self.shards.get(shard) else { return Vec::new() };
        let turn = shard.turn.fetch_add(1, Ordering::Relaxed);
        let n = shard.replicas.len();
        let mut replicas: Vec<_> = (0..n).map(|i| Arc::clone(&shard.replicas[(turn + i) % n])).collect();
        let rest = |replica: &Arc<Replica>| replica.state().rests_until.filter(|until| *until > now);
        // Stable: those that do not rest stay in their turn.
        replicas.sort_by_key(|replica| rest(replica).map_or(Duration::ZERO, |until| until - now));
        let able = replicas.iter().filter(|replica| rest(replica).is_none()).count();
        replicas.truncate(able.max(1));
        replicas
    }

    /// A replica of every shard, for what has to be done once per shard.
    pub fn one_of_each(&self) -> Vec<Arc<Replica>> {
        (0..self.shards.len()).filter_map(|shard| self.replicas(shard, Instant::now()).into_iter().next()).collect()
    }
}

impl Replica {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// A client of it for statements about the schema, with the password and certificates as they are now.
    ///
    /// # Errors
    /// [`ConnectError`] when a file that the configuration names cannot be used.
    pub async fn client(&self, config: &SinkConfig) -> Result<Client, ConnectError> {
        let (config, url) = (config.clone(), self.url.clone());
        read_files(move || client::connect_to(&config, &url)).await
    }

    /// What sends blocks to it, made anew after a failure.
    ///
    /// # Errors
    /// As [`client`](Self::client).
    pub async fn inserts(&self, config: &SinkConfig) -> Result<Inserts, ConnectError> {
        if let Some(inserts) = &self.state().inserts {
            return Ok(inserts.clone());
        }
        let (config, url) = (config.clone(), self.url.clone());
        let inserts = read_files(move || Inserts::to(&config, &url)).await?;
        self.state().inserts = Some(inserts.clone());
        Ok(inserts)
    }

    /// It did what it was asked to.
    pub fn succeeded(&self) {
        let mut state = self.state();
        state.failures = 0;
        state.rests_until = None;
    }

    /// It did not: it rests, and its connections are made anew.
    pub fn failed(&self, config: &SinkConfig, now: Instant) {
        let mut state = self.state();
        let rest = config.retry_initial() * 2_u32.saturating_pow(state.failures.min(16));
        state.failures += 1;
        state.rests_until = Some(now + rest.min(config.retry_max()));
        state.inserts = None;
    }
}

/// Does what reads files of the configuration where a slow disk holds up no connection.
async fn read_files<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, ConnectError> + Send + 'static,
) -> Result<T, ConnectError> {
    match tokio::task::spawn_blocking(read).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime ends, and this task with it.
        Err(_) => std::future::pending().await,
    }
}

/// The number of a block, by its token.
pub fn number(token: &str) -> usize {
    let digits = token.rsplit(|c: char| !c.is_ascii_digit()).next().unwrap_or("");
    // The last nine digits are enough to go round, and always a number.
    digits.get(digits.len().saturating_sub(9)..).and_then(|tail| tail.parse().ok()).unwrap_or(0)
}

fn question(cluster: &str) -> String {
    format!(
        "SELECT shard_num, host_name FROM system.clusters WHERE cluster = {} ORDER BY shard_num, replica_num",
        ddl::quoted(cluster)
    )
}

/// Shard numbers and hosts as addresses per shard. The server tells the port of its own protocol, which is not HTTP's:
/// scheme and port are those of the address it was asked at.
fn shards(found: &[Vec<String>], url: &str) -> Vec<Vec<String>> {
    let mut shards: Vec<(String, Vec<String>)> = Vec::new();
    for row in found {
        let [shard, host] = &row[..] else { continue };
        let address = with_host(url, host);
        match shards.last_mut() {
            Some((last, replicas)) if last == shard => replicas.push(address),
            _ => shards.push((shard.clone(), vec![address])),
        }
    }
    shards.into_iter().map(|(_, replicas)| replicas).collect()
}

fn with_host(url: &str, host: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let port = authority.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.ends_with(']'));
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let port = port.map_or(String::new(), |port| format!(":{port}"));
    let path = if path.is_empty() { String::new() } else { format!("/{path}") };
    format!("{scheme}://{host}{port}{path}")
}

#[cfg(test)]
mod tests {
    use super::config::ClusterConfig;
    use super::*;

    fn config(shards: &[&[&str]]) -> SinkConfig {
        let shards = shards.iter().map(|urls| urls.iter().map(|url| (*url).to_owned()).collect()).collect();
        let cluster = ClusterConfig { name: Some("c".into()), shards };
        SinkConfig { cluster, retry_initial_ms: 100, retry_max_ms: 1000, ..SinkConfig::default() }
    }

    fn urls(cluster: &Cluster, shard: usize, now: Instant) -> Vec<String> {
        cluster.replicas(shard, now).iter().map(|replica| replica.url.clone()).collect()
    }

    #[test]
    fn blocks_go_round_the_shards_and_stay_with_theirs() {
        let token = |n: u64| format!("helios-{:016x}-{n}", 0x9f86_d081_884c_7d65_u64);
        assert_eq!((1..7).map(|n| number(&token(n)) % 3).collect::<Vec<_>>(), [1, 2, 0, 1, 2, 0]);
        assert_eq!(number(&token(u64::MAX)), 709_551_615);
        assert_eq!((number("no number"), number("")), (0, 0));
    }

    #[test]
    fn replicas_share_the_work_and_one_that_failed_rests() {
        let config = config(&[&["http://a", "http://b"], &["http://c"]]);
        let cluster = Cluster::configured(&config);
        let now = Instant::now();
        assert_eq!(urls(&cluster, 0, now), ["http://a", "http://b"]);
        assert_eq!(urls(&cluster, 0, now), ["http://b", "http://a"]);
        cluster.replicas(0, now)[0].failed(&config, now);
        assert_eq!(urls(&cluster, 0, now), ["http://b"]);
        assert_eq!(urls(&cluster, 0, now + Duration::from_millis(101)).len(), 2);
        assert_eq!(cluster.n_shards(), 2);
    }

    #[test]
    fn if_all_rest_the_one_whose_rest_ends_first_is_tried() {
        let config = config(&[&["http://a", "http://b"]]);
        let cluster = Cluster::configured(&config);
        let now = Instant::now();
        let replicas = cluster.replicas(0, now);
        (0..9).for_each(|_| replicas[0].failed(&config, now));
        replicas[1].failed(&config, now);
        assert_eq!(urls(&cluster, 0, now), ["http://b"]);
        // However often it failed, a replica rests no longer than the longest pause.
        assert_eq!(urls(&cluster, 0, now + Duration::from_millis(1001)).len(), 2);
        replicas[0].succeeded();
        assert_eq!(urls(&cluster, 0, now), ["http://a"]);
    }

    #[test]
    fn discovered_replicas_are_asked_over_http_at_the_configured_port() {
        let row = |shard: &str, host: &str| vec![shard.to_owned(), host.to_owned()];
        let found = [row("1", "ch-1"), row("1", "ch-2"), row("2", "2001:db8::3")];
        assert_eq!(
            shards(&found, "https://ch.example.net:8443/path"),
            [
                vec!["https://ch-1:8443/path".to_owned(), "https://ch-2:8443/path".to_owned()],
                vec!["https://[2001:db8::3]:8443/path".to_owned()]
            ]
        );
        assert_eq!(with_host("http://[::1]", "b"), "http://b");
    }
}
