//! What all lanes of a system share: settings read once, the address cache, the count of open connections.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::config::TransportConfig;
use super::dns::Resolver;
use super::error::TransportError;
use super::proxy::ProxyRules;
use super::tls::TlsSource;

/// The shared half of the transport; one per system, behind an [`Arc`], handed to each lane's [`super::Pool`].
///
/// ```
/// use std::time::Duration;
/// use xfer_actors::transport::{SharedTransport, TransportConfig};
/// let config = TransportConfig { connect_timeout: Duration::from_secs(1), ..TransportConfig::default() };
/// let shared = SharedTransport::new(config)?;
/// assert_eq!((shared.open_connections(), shared.peak_connections()), (0, 0));
/// # Ok::<(), xfer_actors::transport::TransportError>(())
/// ```
pub struct SharedTransport {
    pub(crate) config: TransportConfig,
    pub(crate) proxies: ProxyRules,
    pub(crate) resolver: Resolver,
    pub(crate) tls: TlsSource,
    open: AtomicUsize,
    peak: AtomicUsize,
}

impl SharedTransport {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`TransportError::TlsConfig`] for a CA bundle that is missing, empty or not PEM; [`TransportError::Proxy`] for a proxy URL
    /// that cannot be used.
    pub fn new(config: TransportConfig) -> Result<Arc<Self>, TransportError> {
        let config = config.bounded();
        Ok(Arc::new(Self {
            proxies: ProxyRules::new(&config.proxy)?,
            resolver: Resolver::new(Arc::clone(&config.resolver), config.dns_ttl, config.dns_timeout),
            tls: TlsSource::new(&config.verify, config.tls.clone())?,
            open: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            config,
        }))
    }

    /// The settings in use.
    pub fn config(&self) -> &TransportConfig {
        &self.config
    }

    /// Connections open now, in use or kept, over all lanes.
    pub fn open_connections(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// The most that were open at once.
    pub fn peak_connections(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for SharedTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedTransport")
            .field("config", &self.config)
            .field("open_connections", &self.open_connections())
            .field("peak_connections", &self.peak_connections())
            .finish_non_exhaustive()
    }
}

/// Counts one open connection for as long as it lives.
pub(crate) struct OpenCount(Arc<SharedTransport>);

impl OpenCount {
    pub(crate) fn new(shared: &Arc<SharedTransport>) -> Self {
        let now = shared.open.fetch_add(1, Ordering::Relaxed) + 1;
        shared.peak.fetch_max(now, Ordering::Relaxed);
        Self(Arc::clone(shared))
    }
}

impl Drop for OpenCount {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
