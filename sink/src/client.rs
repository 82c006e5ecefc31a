//! The connection to a ClickHouse server.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clickhouse::error::Error;
use clickhouse::{Client, Compression as ClientCompression};
use hyper_rustls::{ConfigBuilderExt, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::block::Block;
use crate::config::{Compression, PASSWORD_VARIABLE, SinkConfig};

/// Below ClickHouse's own idle limit of 3 s, so that a connection is not used when the server is about to close it.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(2);

const TCP_KEEPALIVE: Duration = Duration::from_secs(60);

/// What a statement about the schema or the sizes of tables may take: more than ClickHouse waits for its locks (2 min)
/// and for the replicas of a cluster (1 min). A server that hangs would be waited for for ever.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(180);

/// A connection cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("clickhouse.{key}: cannot read {}: {source}; check the path and its permissions", path.display())]
    Unreadable { key: &'static str, path: PathBuf, source: io::Error },
    #[error("clickhouse.ca_file: {} holds no certificate in PEM form", path.display())]
    NoCertificate { path: PathBuf },
    #[error(
        "clickhouse.ca_file: this system's certificates cannot be loaded: {0}; name a file with the authorities to trust"
    )]
    SystemCertificates(io::Error),
}

/// A client of the server at `clickhouse.url`.
///
/// # Errors
/// [`ConnectError`] when a file that the configuration names cannot be used.
pub fn connect(config: &SinkConfig) -> Result<Client, ConnectError> {
    connect_to(config, &config.url)
}

/// A client of another server of the same configuration.
///
/// # Errors
/// As [`connect`].
pub fn connect_to(config: &SinkConfig, url: &str) -> Result<Client, ConnectError> {
    let mut http = HttpConnector::new();
    http.set_keepalive(Some(TCP_KEEPALIVE));
    http.set_nodelay(true);
    http.set_connect_timeout(Some(config.connect_timeout()));
    http.enforce_http(false);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has the default TLS versions");
    let tls = match &config.ca_file {
        Some(path) => tls.with_root_certificates(authorities(path)?).with_no_client_auth(),
        // Only an address that needs them has to find the system's certificates.
        None if url.starts_with("https") => {
            tls.with_native_roots().map_err(ConnectError::SystemCertificates)?.with_no_client_auth()
        }
        None => tls.with_root_certificates(RootCertStore::empty()).with_no_client_auth(),
    };
    let connector =
        HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(http);
    let http = HttpClient::builder(TokioExecutor::new()).pool_idle_timeout(POOL_IDLE_TIMEOUT).build(connector);
    let mut client =
        Client::with_http_client(http).with_url(url).with_user(&config.user).with_compression(ClientCompression::None);
    if let Some(password) = password(config)? {
        client = client.with_password(password);
    }
    Ok(client)
}

fn authorities(path: &Path) -> Result<RootCertStore, ConnectError> {
    let pem = read("ca_file", path)?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok));
    if roots.is_empty() { Err(ConnectError::NoCertificate { path: path.to_owned() }) } else { Ok(roots) }
}

fn password(config: &SinkConfig) -> Result<Option<String>, ConnectError> {
    match &config.password_file {
        Some(path) => Ok(Some(read("password_file", path)?.trim_end_matches(['\r', '\n']).to_owned())),
        None => Ok(std::env::var(PASSWORD_VARIABLE).ok().filter(|password| !password.is_empty())),
    }
}

fn read(key: &'static str, path: &Path) -> Result<String, ConnectError> {
    fs::read_to_string(path).map_err(|source| ConnectError::Unreadable { key, path: path.to_owned(), source })
}

/// Waits for the answer to a statement, but not for ever.
///
/// # Errors
/// What `query` says, or that it says nothing.
pub(crate) async fn answer<T>(query: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(ANSWER_TIMEOUT, query).await.unwrap_or(Err(Error::TimedOut))
}

/// Sends a block and waits until ClickHouse has stored it.
///
/// # Errors
/// The client's error: see [`Class`](crate::error::Class).
pub async fn insert(client: &Client, block: &Block, timeout: Duration) -> Result<(), Error> {
    let mut insert = client
        .insert_formatted_with(&*block.statement)
        .with_timeouts(Some(timeout), Some(timeout))
        // One insert is one block: asynchronous inserts would gather rows that are gathered already.
        .with_setting("async_insert", "0")
        // A repeated insert counts once, in the rollups as well.
        .with_setting("insert_deduplicate", "1")
        .with_setting("insert_deduplication_token", &block.token)
        .with_setting("deduplicate_blocks_in_dependent_materialized_views", "1")
        // A column that the statement names and the stream lacks is an error, not a default.
        .with_setting("input_format_arrow_allow_missing_columns", "0")
        // More threads make a single insert no cheaper, and inserts run side by side anyway.
        .with_setting("max_insert_threads", "1")
        .with_setting("max_threads", "1");
    if block.compression != Compression::None {
        insert = insert.with_setting("decompress", "1");
    }
    for piece in &block.pieces {
        insert.send(piece.clone()).await?;
    }
    insert.end().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_missing_is_named_with_its_key() {
        let config = SinkConfig { password_file: Some("/nowhere/password".into()), ..SinkConfig::default() };
        let error = connect(&config).map(|_| ()).unwrap_err().to_string();
        assert!(error.starts_with("clickhouse.password_file: cannot read /nowhere/password"), "{error}");
    }

    #[test]
    fn an_authority_file_without_a_certificate_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        fs::write(&path, "nothing").unwrap();
        let config = SinkConfig { ca_file: Some(path), ..SinkConfig::default() };
        assert!(matches!(connect(&config).map(|_| ()), Err(ConnectError::NoCertificate { .. })));
    }
}
