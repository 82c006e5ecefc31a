//! The connection to a ClickHouse server.

use std::time::Duration;

use clickhouse::error::Error;
use clickhouse::{Client, Compression as ClientCompression};
use helios_web::secret::{self, SecretError};
use helios_web::tls::{self, TlsError};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::TokioExecutor;

use crate::config::{PASSWORD_VARIABLE, SinkConfig};

mod insert;

pub use insert::Inserts;

/// Below ClickHouse's own idle limit of 3 s, so that a connection is not used when the server is about to close it.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(2);

/// What a statement about the schema or the sizes of tables may take: more than ClickHouse waits for its locks (2 min)
/// and for the replicas of a cluster (1 min). Without it, a server that hangs would block the migration without end.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(180);

/// A connection cannot be set up.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the text of a variant says what its fields are")]
pub enum ConnectError {
    #[error("clickhouse.{0}")]
    Tls(#[from] TlsError),
    #[error("clickhouse.{0}")]
    Password(#[from] SecretError),
    #[error("clickhouse.url: {url} is no address of a server: {source}")]
    Url { url: String, source: url::ParseError },
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
    let connector = tls::connector(url, config.ca_file.as_deref(), config.connect_timeout())?;
    let http = HttpClient::builder(TokioExecutor::new()).pool_idle_timeout(POOL_IDLE_TIMEOUT).build(connector);
    let mut client =
        Client::with_http_client(http).with_url(url).with_user(&config.user).with_compression(ClientCompression::None);
    if let Some(password) = password(config)? {
        client = client.with_password(password);
    }
    Ok(client)
}

fn password(config: &SinkConfig) -> Result<Option<String>, ConnectError> {
    match &config.password_file {
        Some(path) => Ok(Some(secret::read("password_file", path)?.trim_end_matches(['\r', '\n']).to_owned())),
        None => Ok(std::env::var(PASSWORD_VARIABLE).ok().filter(|password| !password.is_empty())),
    }
}

/// Waits for the answer to a statement, at most [`ANSWER_TIMEOUT`].
///
/// # Errors
/// What `query` says, or that it says nothing.
pub(crate) async fn answer<T>(query: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(ANSWER_TIMEOUT, query).await.unwrap_or(Err(Error::TimedOut))
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
        std::fs::write(&path, "nothing").unwrap();
        let config = SinkConfig { ca_file: Some(path), ..SinkConfig::default() };
        assert!(matches!(connect(&config).map(|_| ()), Err(ConnectError::Tls(TlsError::NoCertificate { .. }))));
    }
}
