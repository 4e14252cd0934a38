//! The transport's settings, and where each number comes from.

use std::sync::Arc;
use std::time::Duration;

use super::dns::{Resolve, SystemResolver};
use super::proxy::ProxyPolicy;
use super::tls::Verify;

/// The smallest [`TransportConfig::buffer_size`]: a head of the largest size and a TLS record fit into it together.
pub(crate) const MIN_BUFFER: usize = 128 * 1024;

/// The longest time anything takes: a year, which stands for "for ever".
pub(super) const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Settings of all lanes of a system. A time of more than a year counts as a year.
///
/// ```
/// use xfer_actors::transport::{TransportConfig, Verify};
/// let config = TransportConfig { verify: Verify::CaBundle("/etc/ssl/private-ca.pem".into()), ..TransportConfig::default() };
/// assert_eq!(config.buffer_size, 256 * 1024);
/// ```
#[derive(Clone, Debug)]
pub struct TransportConfig {
    /// From the first attempt to the last, over all addresses of a name. 3 s: what the AWS Common Runtime allows.
    pub connect_timeout: Duration,
    /// How long the resolver may take. 5 s: the first timeout of the system's own resolver.
    pub dns_timeout: Duration,
    /// How long the addresses of a name are used before it is asked for again. 60 s: S3's own records live 5 to 60 s, and an
    /// old one still leads to a live front end.
    pub dns_ttl: Duration,
    /// The next address is tried when the one before has not answered for so long. 250 ms: RFC 8305, section 8.
    pub connect_stagger: Duration,
    /// For the TLS handshake. 10 s: the AWS Common Runtime's default.
    pub tls_handshake_timeout: Duration,
    /// For a proxy's answer to CONNECT. 10 s, as for TLS.
    pub proxy_timeout: Duration,
    /// From the request's last byte to the end of the response's head. 60 s: the SDKs' read timeout; S3 itself may think for many
    /// seconds about a CompleteMultipartUpload, but sends blanks meanwhile.
    pub first_byte_timeout: Duration,
    /// No byte moves either way, while sending a request or reading a body. 30 s: the AWS Common Runtime's limit for a connection
    /// that makes no progress.
    pub idle_timeout: Duration,
    /// How long an unused connection is kept. 15 s: S3 closes idle connections after about 20 s.
    pub pool_idle: Duration,
    /// Bytes of a receive buffer, and of a send buffer under TLS; at least 128 KiB is used. 256 KiB: measured, four times less costly
    /// than 16 KiB and still within the processor's second-level cache.
    pub buffer_size: usize,
    /// Buffers a lane keeps though no connection uses them. 32 of them are 8 MiB.
    pub spare_buffers: usize,
    /// Whose certificates are trusted.
    pub verify: Verify,
    /// A TLS configuration to use as it is, in place of `verify` (client certificates, other roots). Secret extraction is switched
    /// on in a copy of it: records are opened by the transport itself, with rustls's ciphers.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// Which proxy is used.
    pub proxy: ProxyPolicy,
    /// Who turns names into addresses.
    pub resolver: Arc<dyn Resolve>,
}

impl Default for TransportConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            dns_timeout: Duration::from_secs(5),
            dns_ttl: Duration::from_secs(60),
            connect_stagger: Duration::from_millis(250),
            tls_handshake_timeout: Duration::from_secs(10),
            proxy_timeout: Duration::from_secs(10),
            first_byte_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(30),
            pool_idle: Duration::from_secs(15),
            buffer_size: 256 * 1024,
            spare_buffers: 32,
            verify: Verify::default(),
            tls: None,
            proxy: ProxyPolicy::None,
            resolver: Arc::new(SystemResolver),
        }
    }
}

impl TransportConfig {
    /// With numbers that can be counted with: no time so long that the clock runs over, no buffer too small for a record.
    pub(crate) fn bounded(mut self) -> Self {
        for time in [
            &mut self.connect_timeout,
            &mut self.dns_timeout,
            &mut self.dns_ttl,
            &mut self.connect_stagger,
            &mut self.tls_handshake_timeout,
            &mut self.proxy_timeout,
            &mut self.first_byte_timeout,
            &mut self.idle_timeout,
            &mut self.pool_idle,
        ] {
            *time = (*time).min(LONGEST);
        }
        self.buffer_size = self.buffer_size.max(MIN_BUFFER);
        self
    }
}
