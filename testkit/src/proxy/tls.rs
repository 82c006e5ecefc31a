//! TLS for the proxy, with an authority that exists for one test.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::Client;

/// A certificate authority, and a certificate of it for `localhost`.
#[derive(Debug)]
pub(super) struct Authority {
    server: Arc<ServerConfig>,
    folder: tempfile::TempDir,
}

impl Authority {
    pub(super) fn new() -> Self {
        let key = KeyPair::generate().expect("a key of the authority");
        let mut params = CertificateParams::new(Vec::new()).expect("no names are valid names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).expect("the authority's certificate");
        let folder = tempfile::tempdir().expect("a folder for the authority's certificate");
        std::fs::write(folder.path().join("ca.pem"), root.pem()).expect("the authority's certificate is written");
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().expect("a key of the server");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a valid name");
        let certificate = params.signed_by(&key, &issuer).expect("the server's certificate");
        let server = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has the default TLS versions")
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .expect("key and certificate belong together");
        Self { server: Arc::new(server), folder }
    }

    pub(super) fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }

    pub(super) fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }
}

/// Shakes hands with the first octets that are read.
pub(super) fn accept(stream: TcpStream, config: Arc<ServerConfig>) -> io::Result<Encrypted> {
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    Ok(Encrypted(StreamOwned::new(connection, stream)))
}

pub(super) struct Encrypted(StreamOwned<ServerConnection, TcpStream>);

impl Read for Encrypted {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        self.0.read(octets)
    }
}

impl Write for Encrypted {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Client for Encrypted {
    fn socket(&self) -> &TcpStream {
        self.0.get_ref()
    }
}
