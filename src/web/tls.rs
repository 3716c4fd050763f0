//! The certificate and its key.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::door::Watched;

/// A certificate that is read again when its files change. Connections that are open keep what they began with.
#[derive(Debug)]
pub(super) struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<ServerConfig>>,
}

/// The cryptography that the AWS SDK brings.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

impl Tls {
    /// Reads certificate chain and key.
    ///
    /// # Errors
    /// What is wrong with which.
    pub(super) fn open(certificate: PathBuf, key: PathBuf) -> Result<Self, String> {
        let current = RwLock::new(read(&certificate, &key)?);
        Ok(Self { certificate, key, current })
    }

    /// What speaks TLS on a new connection: 1.2 or 1.3, and HTTP/1.1 inside.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Watched for Tls {
    const NAME: &'static str = "tls";

    fn files(&self) -> Vec<PathBuf> {
        vec![self.certificate.clone(), self.key.clone()]
    }

    fn read_again(&self) -> Result<(), Vec<String>> {
        let fresh = read(&self.certificate, &self.key).map_err(|error| vec![error])?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }
}

fn read(certificate: &PathBuf, key: &PathBuf) -> Result<Arc<ServerConfig>, String> {
    let wrong =
        |name: &str, path: &PathBuf, error: &dyn std::fmt::Display| format!("[http] {name} {}: {error}; give a PEM file", path.display());
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(|error| wrong("tls_certificate", certificate, &error))?;
    if chain.is_empty() {
        return Err(wrong("tls_certificate", certificate, &"has no certificate"));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong("tls_key", key, &error))?;
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let config = builder.and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, secret));
    let mut config =
        config.map_err(|error| format!("[http] tls_certificate {}: {error}; give the key that belongs to it", certificate.display()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
