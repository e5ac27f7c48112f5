use std::{path::Path, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::NamedTempFile;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
};

/// What a receiver talks over, encrypted or not.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A certificate authority of a test's own, and a server certificate that it issued for this machine.
pub struct Authority {
    certificate: NamedTempFile,
    acceptor: TlsAcceptor,
}

impl Authority {
    /// A new one, which nobody trusts.
    pub fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);

        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        let file = NamedTempFile::new().unwrap();
        std::fs::write(file.path(), root.pem()).unwrap();
        Authority { certificate: file, acceptor: TlsAcceptor::from(Arc::new(config)) }
    }

    /// The file that makes whoever reads it (`SSL_CERT_FILE`) trust the authority.
    pub fn certificate(&self) -> &Path {
        self.certificate.path()
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

/// `stream` after the handshake; none where the client does not trust us.
pub(crate) async fn encrypt(acceptor: &TlsAcceptor, stream: Box<dyn Stream>) -> Option<Box<dyn Stream>> {
    acceptor.accept(stream).await.ok().map(|stream| Box::new(stream) as Box<dyn Stream>)
}
