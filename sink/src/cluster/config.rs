//! What can be configured about several servers: the section `clickhouse.cluster`.

use serde::{Deserialize, Serialize};

/// Several ClickHouse servers. With a name, tables are made ON CLUSTER: replicated ones in the database `NAME_local` of
/// every server, where `NAME` is `clickhouse.database`, and in `NAME` itself Distributed tables to read from.
/// docs/clickhouse.md has an example. Without a name, tables are plain ones in `clickhouse.database`, on every shard.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterConfig {
    /// Name of the cluster as the servers have it in `remote_servers`. They also need Keeper, and the macros `shard`
    /// and `replica`.
    pub name: Option<String>,

    /// Addresses of the replicas of each shard, such as `[[http://a:8123, http://b:8123], [http://c:8123]]`, in the
    /// order of the shards in `remote_servers`. A block goes to one shard, the next one to the next, and there to any
    /// replica that is well. Without them, and with a name, the server at `clickhouse.url` is asked for its
    /// `system.clusters`, and all are expected at the same HTTP port. Without a name, replicas are to be addresses of
    /// one and the same server: plain tables of different servers do not know each other's inserts.
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
