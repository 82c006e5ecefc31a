//! TLS for IPFIX (RFC 7011 §11): certificates from PEM files, with the exporter's own checked where that is asked for.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use super::sessions::Sessions;
use crate::config::TlsConfig;

/// How often certificates are looked at. They are read again when a file was replaced or written.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// A file that TLS cannot be set up with.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the text of a variant says what its fields are")]
pub enum TlsError {
    #[error("collector.tcp.tls.{key}: cannot read {}: {source}; check the path and its permissions", path.display())]
    Read { key: &'static str, path: PathBuf, source: io::Error },
    #[error("collector.tcp.tls.{key}: {} has nothing usable in PEM form: {problem}", path.display())]
    Content { key: &'static str, path: PathBuf, problem: String },
    #[error("collector.tcp.tls: certificate and key do not work together: {0}")]
    Pair(rustls::Error),
}

/// Whether TLS can be set up with these files, before anything listens.
///
/// # Errors
/// [`TlsError`] with the key of the configuration.
pub fn check_certificates(config: &TlsConfig) -> Result<(), TlsError> {
    acceptor(config).map(|_| ())
}

/// What accepts TLS connections; `None` where no certificate is configured.
///
/// # Errors
/// [`TlsError`] with the key of the configuration.
pub(super) fn acceptor(config: &TlsConfig) -> Result<Option<TlsAcceptor>, TlsError> {
    let (Some(certificate), Some(key)) = (&config.certificate, &config.key) else { return Ok(None) };
    let chain = certificates("certificate", certificate)?;
    let private =
        PrivateKeyDer::from_pem_slice(&read("key", key)?).map_err(|error| content("key", key, &error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Pair)?;
    let builder = match &config.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates("client_ca", path)? {
                roots.add(authority).map_err(|error| content("client_ca", path, &error.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| content("client_ca", path, &error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let server = builder.with_single_cert(chain, private).map_err(TlsError::Pair)?;
    Ok(Some(TlsAcceptor::from(Arc::new(server))))
}

/// Reads the certificates again whenever their files change, for the connections that come after. Files that cannot be
/// used are told of once; the certificates before them stay in use.
pub(super) async fn keep_current(config: TlsConfig, sessions: Rc<Sessions>) {
    let mut known = Stamps::of(&config);
    loop {
        tokio::time::sleep(LOOK_INTERVAL).await;
        let files = config.clone();
        // A disk may hang: not on the thread that serves the connections.
        let look = move || {
            let stamps = Stamps::of(&files);
            (stamps != known).then(|| (stamps, acceptor(&files)))
        };
        let Ok(Some((stamps, read))) = tokio::task::spawn_blocking(look).await else { continue };
        known = stamps;
        match read {
            Ok(acceptor) => {
                tracing::info!("certificates of collector.tcp.tls read again: new connections use them");
                sessions.accept_with(acceptor);
            }
            Err(error) => tracing::warn!(%error, "changed certificates are not used; those before them stay in use"),
        }
    }
}

/// What tells one version of the files from another: inode, length and time of the last change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamps([Option<(u64, u64, i64, i64)>; 3]);

impl Stamps {
    fn of(config: &TlsConfig) -> Self {
        let stamp = |path: &Option<PathBuf>| {
            let file = std::fs::metadata(path.as_ref()?).ok()?;
            Some((file.ino(), file.len(), file.mtime(), file.mtime_nsec()))
        };
        Self([stamp(&config.certificate), stamp(&config.key), stamp(&config.client_ca)])
    }
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(key, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(content(key, path, "no certificate")),
        Err(error) => Err(content(key, path, &error.to_string())),
    }
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read { key, path: path.to_owned(), source })
}

fn content(key: &'static str, path: &Path, problem: &str) -> TlsError {
    TlsError::Content { key, path: path.to_owned(), problem: problem.to_owned() }
}
