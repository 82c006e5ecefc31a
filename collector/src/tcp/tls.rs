//! TLS for IPFIX (RFC 7011 §11): certificates from PEM files, with the exporter's own checked where that is asked for.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::config::TlsConfig;

/// A file that TLS cannot be had with.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("collector.tcp.tls.{key}: cannot read {}: {source}; check the path and its permissions", path.display())]
    Read { key: &'static str, path: PathBuf, source: io::Error },
    #[error("collector.tcp.tls.{key}: {} has nothing usable in PEM form: {problem}", path.display())]
    Content { key: &'static str, path: PathBuf, problem: String },
    #[error("collector.tcp.tls: certificate and key do not work together: {0}")]
    Pair(rustls::Error),
}

/// Whether TLS can be had with these files, before anything listens.
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
pub fn acceptor(config: &TlsConfig) -> Result<Option<TlsAcceptor>, TlsError> {
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
