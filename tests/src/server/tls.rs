//! A certificate authority of the server's own, for tests over HTTPS.
//!
//! Each server makes a new one; its certificate is written as PEM for clients to trust. The key never leaves memory.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// What a server needs to speak TLS.
pub(crate) struct Tls {
    pub(crate) acceptor: TlsAcceptor,
    pub(crate) ca_pem: PathBuf,
    _directory: TempDir,
}

impl Tls {
    /// A CA and a certificate for `127.0.0.1`, `localhost` and the names given.
    pub(crate) fn new(names: impl IntoIterator<Item = String>) -> Self {
        let ca_key = KeyPair::generate().expect("a key can be made");
        let mut ca_params = CertificateParams::default();
        ca_params.distinguished_name.push(DnType::CommonName, "xfer test CA");
        ca_params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca_params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca = ca_params.self_signed(&ca_key).expect("a CA can sign itself");
        let issuer = Issuer::new(ca_params, ca_key);

        let key = KeyPair::generate().expect("a key can be made");
        let names: Vec<_> = ["127.0.0.1".to_owned(), "localhost".to_owned()].into_iter().chain(names).collect();
        let mut params = CertificateParams::new(names).expect("valid names");
        params.distinguished_name.push(DnType::CommonName, "xfer test server");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &issuer).expect("the CA can sign");

        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has the default versions")
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .expect("key and certificate belong together");
        config.alpn_protocols = vec![b"http/1.1".to_vec()];

        let directory = TempDir::new().expect("a temporary directory");
        let ca_pem = directory.path().join("ca.pem");
        std::fs::write(&ca_pem, ca.pem()).expect("the CA can be written");
        Self { acceptor: TlsAcceptor::from(Arc::new(config)), ca_pem, _directory: directory }
    }
}
