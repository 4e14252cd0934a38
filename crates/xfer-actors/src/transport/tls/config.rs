//! Whose certificates are trusted, and the rustls configuration that follows.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CipherSuite, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::transport::error::TransportError;

/// Whose certificates are trusted.
///
/// ```
/// use xfer_actors::transport::{SharedTransport, TransportConfig, TransportError, Verify};
/// let verify = Verify::CaBundle("/no/such/authority.pem".into());
/// // Read here, and not with the first connection.
/// let refused = SharedTransport::new(TransportConfig { verify, ..TransportConfig::default() });
/// assert!(matches!(refused, Err(TransportError::TlsConfig(_))));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// The system's roots (`SSL_CERT_FILE` and `SSL_CERT_DIR` are respected), loaded when the first https connection is made.
    #[default]
    System,
    /// Only the certificates in this PEM file.
    CaBundle(PathBuf),
    /// Anybody's. The connection is still encrypted, but whoever answers may read it.
    Disabled,
}

/// The rustls configuration of a system, made once.
pub(crate) struct TlsSource {
    made: OnceLock<Arc<ClientConfig>>,
}

impl TlsSource {
    pub(crate) fn new(verify: &Verify, given: Option<Arc<ClientConfig>>) -> Result<Self, TransportError> {
        let now = match (given, verify) {
            (Some(config), _) => Some(prepared(Arc::unwrap_or_clone(config))),
            (None, Verify::System) => None,
            (None, Verify::CaBundle(path)) => Some(with_roots(bundle(path)?)?),
            (None, Verify::Disabled) => Some(unverified()?),
        };
        Ok(Self { made: now.map_or_else(OnceLock::new, OnceLock::from) })
    }

    /// The configuration. The first call with [`Verify::System`] reads the system's certificates, a few milliseconds of files; if that
    /// fails, for want of a file descriptor say, the next call tries again.
    pub(crate) fn get(&self) -> Result<Arc<ClientConfig>, TransportError> {
        if let Some(made) = self.made.get() {
            return Ok(Arc::clone(made));
        }
        let config = with_roots(system_roots()?)?;
        Ok(Arc::clone(self.made.get_or_init(|| config)))
    }
}

/// AES-128 before AES-256: as strong as anything here needs, a quarter cheaper, and what S3 itself prefers. Many other servers
/// follow the client's order.
fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|s| s.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    Arc::new(provider)
}

fn with_roots(roots: RootCertStore) -> Result<Arc<ClientConfig>, TransportError> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| TransportError::TlsConfig(e.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(prepared(config))
}

fn unverified() -> Result<Arc<ClientConfig>, TransportError> {
    let provider = provider();
    let schemes = provider.signature_verification_algorithms.supported_schemes();
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| TransportError::TlsConfig(e.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TrustAnybody { schemes }))
        .with_no_client_auth();
    Ok(prepared(config))
}

/// The records are opened outside rustls, and carry HTTP/1.1.
fn prepared(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.enable_secret_extraction = true;
    // Nothing else is spoken; a configuration made for a client that does would have the server choose that.
    config.alpn_protocols.retain(|name| name == b"http/1.1");
    Arc::new(config)
}

fn system_roots() -> Result<RootCertStore, TransportError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Old stores hold certificates that are not even well-formed; the others are good all the same.
    let (added, ignored) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map_or_else(|| "none found".to_owned(), ToString::to_string);
        return Err(TransportError::TlsConfig(format!("no usable certificate in the system's store: {why}")));
    }
    if let Some(error) = found.errors.first() {
        tracing::warn!(added, ignored, %error, failed = found.errors.len(), "not all system certificates could be read");
    } else {
        tracing::debug!(added, ignored, "system certificates loaded");
    }
    Ok(roots)
}

fn bundle(path: &Path) -> Result<RootCertStore, TransportError> {
    let failed = |why: String| TransportError::TlsConfig(format!("{}: {why}", path.display()));
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path).map_err(|e| failed(e.to_string()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|e| failed(e.to_string()))?;
        roots.add(certificate).map_err(|e| failed(e.to_string()))?;
    }
    if roots.is_empty() {
        return Err(failed("no certificate in it".to_owned()));
    }
    Ok(roots)
}

/// What [`Verify::Disabled`] means.
#[derive(Debug)]
struct TrustAnybody {
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for TrustAnybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}
