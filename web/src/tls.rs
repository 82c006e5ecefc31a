//! Connections: plain ones, and TLS ones with the certificate authorities to trust.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::secret::{self, SecretError};

/// How often the kernel asks the peer of an idle connection whether it is still there.
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);

/// There are no certificate authorities to trust.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the text of a variant says what its fields are")]
pub enum TlsError {
    /// The file cannot be read.
    #[error(transparent)]
    Unreadable(#[from] SecretError),
    /// The file was read and holds none.
    #[error("ca_file: {} holds no certificate in PEM form", path.display())]
    NoCertificate { path: PathBuf },
    /// A text of certificate authorities that has none.
    #[error("the certificate authorities hold no certificate in PEM form")]
    NoAuthority,
    /// The certificate that the client shows.
    #[error("the client certificate or its key cannot be used: {0}")]
    ClientCertificate(String),
    /// The system has none, and no file was given.
    #[error("ca_file: this system's certificates cannot be loaded: {0}; name a file with the authorities to trust")]
    SystemCertificates(io::Error),
}

/// Certificates as PEM text.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pem<'a> {
    /// Authorities to trust instead of the system's: a server's own.
    pub authorities: Option<&'a str>,
    /// The certificate that the client shows, and its key.
    pub client: Option<(&'a str, &'a str)>,
}

/// Connects to `http` and `https` addresses, by HTTP/1.1.
///
/// The connector trusts the system's certificate authorities and those of `ca_file`. They are read now, and only if `url` is an
/// `https` address.
///
/// # Errors
/// [`TlsError`] when no certificate authority can be read.
pub fn connector(
    url: &str,
    ca_file: Option<&Path>,
    connect_timeout: Duration,
) -> Result<HttpsConnector<HttpConnector>, TlsError> {
    connector_with(url, ca_file, Pem::default(), connect_timeout)
}

/// As [`connector`], with certificates that are at hand.
///
/// # Errors
/// [`TlsError`] when no certificate authority can be read, or the client's certificate is not valid.
pub fn connector_with(
    url: &str,
    ca_file: Option<&Path>,
    pem: Pem<'_>,
    connect_timeout: Duration,
) -> Result<HttpsConnector<HttpConnector>, TlsError> {
    let mut http = HttpConnector::new();
    http.set_nodelay(true);
    http.set_keepalive(Some(TCP_KEEPALIVE));
    http.enforce_http(false);
    http.set_connect_timeout(Some(connect_timeout));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = match pem.authorities {
        Some(text) => own_authorities(text)?,
        None => authorities(url.starts_with("https"), ca_file)?,
    };
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has the default TLS versions")
        .with_root_certificates(roots);
    let tls = match pem.client {
        None => tls.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = CertificateDer::pem_slice_iter(certificate.as_bytes()).filter_map(Result::ok).collect();
            let refused = |error: &dyn std::fmt::Display| TlsError::ClientCertificate(error.to_string());
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| refused(&error))?;
            tls.with_client_auth_cert(chain, key).map_err(|error| refused(&error))?
        }
    };
    Ok(HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(http))
}

fn own_authorities(pem: &str) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok));
    if roots.is_empty() { Err(TlsError::NoAuthority) } else { Ok(roots) }
}

fn authorities(wanted: bool, ca_file: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca_file {
        let pem = secret::read("ca_file", path)?;
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok));
        if roots.is_empty() {
            return Err(TlsError::NoCertificate { path: path.to_owned() });
        }
    }
    if wanted {
        let system = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(system.certs);
        if roots.is_empty() {
            let error =
                system.errors.into_iter().next().map_or_else(|| io::ErrorKind::NotFound.into(), io::Error::other);
            return Err(TlsError::SystemCertificates(error));
        }
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_file_of_authorities_that_is_missing_or_holds_none_is_named() {
        let error = |path: &Path| connector("https://h", Some(path), SECOND).unwrap_err().to_string();
        assert!(error(Path::new("/nowhere/ca.pem")).starts_with("ca_file: cannot read /nowhere/ca.pem"));
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(error(file.path()).contains("holds no certificate"));
    }
}
