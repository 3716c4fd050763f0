//! A certificate for a test, and a client that looks at it.

use std::sync::Arc;

use geophone::web::trust;
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::http::{ANSWER, Reply, request};

/// A certificate of its own authority, and its key, as PEM.
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Pair {
    /// Not for the address that tests ask: the name must not matter to who knows the certificate itself.
    pub fn new() -> Self {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["geophone.example.com".to_owned()]).expect("a certificate");
        Self { certificate: cert.pem(), key: KeyPair::serialize_pem(&signing_key) }
    }

    /// Shakes hands with `address`; `None` where it shows another certificate, or speaks no TLS.
    pub async fn connect(&self, address: &str) -> Option<TlsStream<TcpStream>> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("certificate.pem");
        std::fs::write(&file, &self.certificate).expect("written");
        let connector = TlsConnector::from(Arc::new(trust::only(&file).expect("a certificate")));
        let socket = TcpStream::connect(address).await.ok()?;
        connector.connect(ServerName::try_from("127.0.0.1").expect("a name"), socket).await.ok()
    }

    /// Sends a request over TLS; `None` where nobody with this certificate answers.
    pub async fn send(&self, address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Option<Reply> {
        let request = request(address, method, path, headers, body);
        let asked = async {
            let mut socket = self.connect(address).await?;
            socket.write_all(request.as_bytes()).await.ok()?;
            let mut bytes = Vec::new();
            // The end is told by TLS, or not at all: the answer has its length.
            let _ = socket.read_to_end(&mut bytes).await;
            Reply::read(&bytes)
        };
        tokio::time::timeout(ANSWER, asked).await.ok()?
    }
}
