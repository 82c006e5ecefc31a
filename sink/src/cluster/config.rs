//! What can be configured about several servers: the section `clickhouse.cluster`.

use serde::{Deserialize, Serialize};

/// Several ClickHouse servers. With a name, Helios creates tables ON CLUSTER: replicated tables in the database
/// `NAME_local` of every server, where `NAME` is `clickhouse.database`, and Distributed tables in `NAME` to read from.
/// Without a name, it creates plain tables in `clickhouse.database` on every shard. docs/clickhouse.md has an example.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterConfig {
    /// Name of the cluster in `remote_servers` of the servers. They also need Keeper and the macros `shard` and
    /// `replica`.
    pub name: Option<String>,

    /// URLs of the replicas of each shard, such as `[[http://a:8123, http://b:8123], [http://c:8123]]`, in the order of
    /// `remote_servers`. Each block goes to the next shard, to any of its replicas that works. With a name and without
    /// this list, Helios reads `system.clusters` of the server at `clickhouse.url` and expects all servers at the same
    /// HTTP port. Without a name, the URLs of a shard must lead to the same server: plain tables of different servers
    /// do not know each other's inserts.
    pub shards: Vec<Vec<String>>,
}

impl ClusterConfig {
    /// What is wrong, with the key.
    pub(crate) fn mistakes(&self, check_url: impl Fn(&str) -> Result<(), String>) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        match &self.name {
            Some(name) if name.is_empty() || name.contains(['\'', '"', '\\', '`', '\n']) => {
                found.push(("cluster.name", "must not be empty and must not contain quotes or backslashes".into()));
            }
            _ => {}
        }
        if self.shards.iter().any(Vec::is_empty) {
            found.push(("cluster.shards", "a shard without a replica cannot take rows".into()));
        }
        let urls = self.shards.iter().flatten();
        found.extend(urls.filter_map(|url| check_url(url).err()).map(|problem| ("cluster.shards", problem)));
        found
    }
}
