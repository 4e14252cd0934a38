//! The S3 client: where requests go, who signs them, and how much may be moved at once.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};

use aws_config::BehaviorVersion;
use aws_config::meta::region::ProvideRegion;
use aws_config::profile::ProfileFileRegionProvider;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_types::SdkConfig;
use aws_types::region::Region;
use parking_lot::Mutex;
use xfer_actors::transport::{ProxyPolicy, SharedTransport, TransportConfig, Verify};
use xfer_actors::{Settings, XferSystem};
use xfer_core::concurrency::connections_for;
use xfer_core::plan::checked_part_size;
use xfer_core::restart::RestartPolicy;
use xfer_core::retry::RetryPolicy;
use xfer_serializer::{EndpointConfig, SignatureVersion, missing_profile};

use crate::callbacks::Callbacks;
use crate::{Error, ErrorKind, Timeouts, detect};

/// Most connections where nothing is known of the machine: enough for 30 Gbit/s at the 60 MB/s that one connection to a far S3
/// brings; the controller opens no more of them than pay.
const CONNECTIONS: usize = 64;
/// Memory limits below it are refused, in bytes: with less than that nothing would move.
const LEAST_MEMORY: u64 = 1 << 20;
/// Most threads that can be asked for: above the cores of any machine, and few enough to be started.
const MOST_THREADS: usize = 1024;
/// Most connections that can be asked for: as many as the largest throughput gets, and fewer than one address has ports.
const MOST_CONNECTIONS: usize = 10_000;
/// A parameter that is refused in two places.
const MAX_BANDWIDTH: &str = "max_bandwidth";

/// Begins a client for a region; with nothing else said it speaks TLS to AWS with the credentials of the standard chain.
///
/// An empty region stands for the configured one: that of the SDK's configuration where [one is given](S3ClientBuilder::from_sdk_config),
/// else the first of `AWS_REGION`, `AWS_DEFAULT_REGION` and the profile's that is not empty. No network is asked for it, nor the machine's
/// metadata: where none is configured, [`build`](S3ClientBuilder::build) fails with [`InvalidConfig`](ErrorKind::InvalidConfig).
///
/// ```
/// use xfer_facade::create_s3_client;
/// let client = create_s3_client("us-west-2")
///     .endpoint_url("http://127.0.0.1:9000")
///     .path_style(true)
///     .anonymous()
///     .build()?;
/// assert_eq!(client.region(), "us-west-2");
/// # Ok::<(), xfer_facade::Error>(())
/// ```
pub fn create_s3_client(region: impl Into<String>) -> S3ClientBuilder {
    S3ClientBuilder {
        region: region.into(),
        num_threads: None,
        target_throughput: None,
        part_size: None,
        multipart_threshold: None,
        use_ssl: None,
        verify: Verify::System,
        identity: Identity::Chain,
        endpoint_url: None,
        path_style: false,
        dual_stack: None,
        fips: None,
        accelerate: false,
        memory_limit: None,
        max_connections: None,
        max_bandwidth: None,
        direct_writes_from: None,
        retry: RetryPolicy::default(),
        restart: RestartPolicy::default(),
        timeouts: Timeouts::default(),
        proxy: None,
        sdk_config: None,
    }
}

/// Who signs.
enum Identity {
    Chain,
    Provider(SharedCredentialsProvider),
    Anonymous,
}

/// What a client is made of; begun by [`create_s3_client`]. Nothing of it has to be said; sizes are in bytes, rates in bytes per second.
///
/// ```
/// use xfer_facade::{ErrorKind, create_s3_client};
/// let client = create_s3_client("eu-central-1")
///     .num_threads(4)
///     .target_throughput(1_250_000_000) // 10 Gbit/s: one connection for each 0.4 of them
///     .part_size(16 << 20)
///     .memory_limit(128 << 20)
///     .anonymous()
///     .build()?;
/// assert_eq!((client.num_threads(), client.max_connections(), client.part_size()), (4, 25, 16 << 20));
/// // What cannot be is refused here, and not by the first transfer.
/// let refused = create_s3_client("eu-central-1").anonymous().max_connections(0).build();
/// assert_eq!(refused.map(drop).map_err(|error| error.kind()), Err(ErrorKind::InvalidConfig));
/// # Ok::<(), xfer_facade::Error>(())
/// ```
#[must_use = "a builder does nothing until it is built"]
pub struct S3ClientBuilder {
    region: String,
    num_threads: Option<usize>,
    target_throughput: Option<u64>,
    part_size: Option<u64>,
    multipart_threshold: Option<u64>,
    use_ssl: Option<bool>,
    verify: Verify,
    identity: Identity,
    endpoint_url: Option<String>,
    path_style: bool,
    dual_stack: Option<bool>,
    fips: Option<bool>,
    accelerate: bool,
    memory_limit: Option<u64>,
    max_connections: Option<usize>,
    max_bandwidth: Option<u64>,
    direct_writes_from: Option<u64>,
    retry: RetryPolicy,
    restart: RestartPolicy,
    timeouts: Timeouts,
    proxy: Option<ProxyPolicy>,
    sdk_config: Option<SdkConfig>,
}

impl S3ClientBuilder {
    /// Threads that move bytes, 1 to 1,024. Default: the cores that the process may use, by its affinity and its control group.
    pub fn num_threads(mut self, threads: usize) -> Self {
        self.num_threads = Some(threads);
        self
    }

    /// The throughput to aim at, in bytes per second: sets how many connections there may be, one per 0.4 Gbit/s and at least 10. It is no
    /// ceiling: that is [`max_bandwidth`](S3ClientBuilder::max_bandwidth). Default: what the machine's instance type or network link has, else
    /// 1,250,000,000 (10 Gbit/s), with at least 64 connections allowed.
    pub fn target_throughput(mut self, bytes_per_second: u64) -> Self {
        self.target_throughput = Some(bytes_per_second);
        self
    }

    /// Part size in bytes; default 8 MiB, raised to S3's least of 5 MiB, and as far as an object needs to have at most 10,000 parts.
    pub fn part_size(mut self, bytes: u64) -> Self {
        self.part_size = Some(bytes);
        self
    }

    /// Largest object in bytes that is uploaded with a single request; default 8 MiB.
    pub fn multipart_threshold(mut self, bytes: u64) -> Self {
        self.multipart_threshold = Some(bytes);
        self
    }

    /// Whether to speak TLS where the endpoint's URL does not say; default true.
    pub fn use_ssl(mut self, yes: bool) -> Self {
        self.use_ssl = Some(yes);
        self
    }

    /// Which certificates are trusted; default [`Verify::System`].
    pub fn verify(mut self, verify: Verify) -> Self {
        self.verify = verify;
        self
    }

    /// Where credentials come from. Default: the standard AWS chain of environment, profile files, web identity, container and instance.
    pub fn credentials(mut self, provider: impl ProvideCredentials + 'static) -> Self {
        self.identity = Identity::Provider(SharedCredentialsProvider::new(provider));
        self
    }

    /// Requests are not signed: for public buckets.
    pub fn anonymous(mut self) -> Self {
        self.identity = Identity::Anonymous;
        self
    }

    /// Another store than AWS. Scheme and port are honoured. Default: `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL`, or the profile's.
    pub fn endpoint_url(mut self, url: impl Into<String>) -> Self {
        self.endpoint_url = Some(url.into());
        self
    }

    /// The bucket in the path instead of the host name; default false.
    pub fn path_style(mut self, yes: bool) -> Self {
        self.path_style = yes;
        self
    }

    /// The hosts of AWS with IPv6; default: what environment and profile say.
    pub fn dual_stack(mut self, yes: bool) -> Self {
        self.dual_stack = Some(yes);
        self
    }

    /// The FIPS hosts of AWS; default: what environment and profile say.
    pub fn fips(mut self, yes: bool) -> Self {
        self.fips = Some(yes);
        self
    }

    /// S3 Transfer Acceleration; default false.
    pub fn accelerate(mut self, yes: bool) -> Self {
        self.accelerate = yes;
        self
    }

    /// Bytes of memory for parts that must be kept whole: of sources that are read once, and of targets that take bytes in order. At
    /// least 1 MiB; default 64 MiB, or a quarter of what the control group allows if that is less. Files need none of it.
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.memory_limit = Some(bytes);
        self
    }

    /// Most connections at once, 1 to 10,000; comes before [`target_throughput`](S3ClientBuilder::target_throughput).
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = Some(connections);
        self
    }

    /// Most bytes of objects per second that all transfers of the client together send and receive: a ceiling, for a link that others need as
    /// well. Default: none. [`S3Client::set_max_bandwidth`] changes it later.
    pub fn max_bandwidth(mut self, bytes_per_second: u64) -> Self {
        self.max_bandwidth = Some(bytes_per_second);
        self
    }

    /// From this size in bytes on downloaded files are written past the page cache, on Linux file systems that are known for it (ext4, XFS) and
    /// unless the disk turns out slow: it takes a third of the processor's time, and leaves cached what other programs use. Default 1 GiB.
    /// `u64::MAX` keeps every file in the page cache, for who reads it again at once.
    pub fn direct_writes_from(mut self, bytes: u64) -> Self {
        self.direct_writes_from = Some(bytes);
        self
    }

    /// How failed requests are repeated; at least one attempt is made.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// How failed actors are started again.
    pub fn restart(mut self, policy: RestartPolicy) -> Self {
        self.restart = policy;
        self
    }

    /// How long a single request may wait: to connect, for TLS, for its answer, for the next byte. None may be zero.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Proxies. Default: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` of the environment.
    pub fn proxy(mut self, proxy: ProxyPolicy) -> Self {
        self.proxy = Some(proxy);
        self
    }

    /// Region, endpoint and credentials of an SDK configuration that is loaded already. What this builder is told otherwise comes first.
    pub fn from_sdk_config(mut self, config: &SdkConfig) -> Self {
        self.sdk_config = Some(config.clone());
        self
    }

    /// The client. Reads the environment and the profile files; asks nothing of any network. Works in and outside of runtimes.
    ///
    /// # Errors
    /// [`InvalidConfig`](ErrorKind::InvalidConfig): a number that cannot be, no region, a URL that is none, certificates that cannot be
    /// read.
    pub fn build(self) -> Result<S3Client, Error> {
        let invalid = |text: String| Error::new(ErrorKind::InvalidConfig, text);
        for (name, value, most) in [
            ("num_threads", self.num_threads.map(|n| n as u64), MOST_THREADS as u64),
            ("target_throughput", self.target_throughput, u64::MAX),
            ("part_size", self.part_size, u64::MAX),
            ("multipart_threshold", self.multipart_threshold, u64::MAX),
            ("max_connections", self.max_connections.map(|n| n as u64), MOST_CONNECTIONS as u64),
            (MAX_BANDWIDTH, self.max_bandwidth, u64::MAX),
            ("retry.max_attempts", Some(self.retry.max_attempts.into()), u64::MAX),
            ("retry.max_total", Some(self.retry.max_total.into()), u64::MAX),
        ] {
            if value == Some(0) {
                return Err(zero(name));
            }
            if let Some(value) = value.filter(|value| *value > most) {
                return Err(invalid(format!("{name} is {value} and must be at most {most}")));
            }
        }
        if let Some(limit) = self.memory_limit
            && limit < LEAST_MEMORY
        {
            return Err(invalid(format!("memory_limit is {limit} bytes and must be at least {LEAST_MEMORY}")));
        }
        let settings = self.settings()?;
        self.timeouts.check()?;
        let transport = self.timeouts.of(TransportConfig {
            verify: self.verify.clone(),
            proxy: self.proxy.clone().unwrap_or_else(proxies_of_environment),
            ..TransportConfig::default()
        });
        // A missing certificate file is told here and not by the first transfer.
        let transport =
            SharedTransport::new(transport).map_err(|error| invalid(error.to_string()).with_source(error))?;
        let serializer = Arc::new(self.serializer()?);
        Ok(S3Client {
            inner: Arc::new(Inner {
                max_bandwidth: Mutex::new(settings.max_bandwidth),
                settings,
                transport,
                serializer,
                system: Mutex::new(None),
                callbacks: OnceLock::new(),
            }),
        })
    }

    fn settings(&self) -> Result<Settings, Error> {
        let defaults = Settings::default();
        let part_size = checked_part_size(self.part_size.unwrap_or(defaults.part_size))
            .map_err(|error| error.as_kind(ErrorKind::InvalidConfig))?;
        let connections = match (self.max_connections, self.target_throughput) {
            (Some(connections), _) => connections,
            (None, Some(target)) => connections_for(target),
            (None, None) => connections_for(detect::target_throughput().bytes_per_second).max(CONNECTIONS),
        };
        Ok(Settings {
            lanes: self.num_threads.unwrap_or_else(detect::usable_cores),
            part_size,
            multipart_threshold: self.multipart_threshold.unwrap_or(defaults.multipart_threshold),
            max_connections: connections,
            memory_limit: self.memory_limit.unwrap_or_else(|| default_memory(defaults.memory_limit)),
            max_bandwidth: self.max_bandwidth,
            direct_writes_from: self.direct_writes_from.unwrap_or(defaults.direct_writes_from),
            retry: self.retry,
            restart: self.restart,
            ..defaults
        })
    }

    fn serializer(&self) -> Result<xfer_serializer::RequestSerializer, Error> {
        let loaded;
        let config = match &self.sdk_config {
            Some(config) => config,
            None => {
                loaded = load_config(&self.region)?;
                &loaded
            }
        };
        let mut endpoint = EndpointConfig::from_sdk_config(config, self.region.clone());
        if let Some(url) = &self.endpoint_url {
            endpoint.endpoint_url = Some(url.clone());
        }
        endpoint.path_style = self.path_style;
        endpoint.accelerate = self.accelerate;
        endpoint.use_ssl = self.use_ssl.unwrap_or(true);
        endpoint.dual_stack = self.dual_stack.unwrap_or(endpoint.dual_stack);
        endpoint.fips = self.fips.unwrap_or(endpoint.fips);
        let builder = xfer_serializer::RequestSerializer::builder(endpoint);
        match &self.identity {
            Identity::Anonymous => builder.signature_version(SignatureVersion::Unsigned),
            Identity::Provider(provider) => builder.credentials(provider.clone()),
            // Without any the serializer makes the chain itself, when it first needs it.
            Identity::Chain => match config.credentials_provider() {
                Some(provider) => builder.credentials(provider),
                None => builder,
            },
        }
        .build()
    }
}

fn zero(name: &str) -> Error {
    Error::new(ErrorKind::InvalidConfig, format!("Provided parameter {name} of value 0 must be greater than 0."))
}

impl fmt::Debug for S3ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3ClientBuilder")
            // Hides what may be secret in the URL.
            .field(
                "endpoint",
                &EndpointConfig { endpoint_url: self.endpoint_url.clone(), ..EndpointConfig::new(&*self.region) },
            )
            .finish_non_exhaustive()
    }
}

/// At most a quarter of what a container may have, so that the program around it lives.
fn default_memory(usual: u64) -> u64 {
    detect::memory_limit().map_or(usual, |limit| (limit / 4).clamp(LEAST_MEMORY, usual))
}

/// The variables are those of this moment. What is not Unicode is no proxy's URL.
fn proxies_of_environment() -> ProxyPolicy {
    let unicode = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    ProxyPolicy::FromEnv(std::env::vars_os().filter_map(unicode).collect())
}

/// The environment's and the profile files' configuration. Read on a thread of its own, so that it works within any runtime.
fn load_config(region: &str) -> Result<SdkConfig, Error> {
    let region = region.to_owned();
    let load = move || -> io::Result<Result<SdkConfig, Option<String>>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(async {
            match region_of(region).await {
                Some(region) => {
                    Ok(aws_config::defaults(BehaviorVersion::latest()).region(region).no_credentials().load().await)
                }
                None => Err(missing_profile().await),
            }
        }))
    };
    let invalid = |text: String| Error::new(ErrorKind::InvalidConfig, text);
    let failed = |text: String| invalid(format!("reading the AWS configuration: {text}"));
    std::thread::Builder::new()
        .name("xfer-config".to_owned())
        .spawn(load)
        .map_err(|error| failed(error.to_string()))?
        .join()
        .map_err(|_| failed("the reader panicked".to_owned()))?
        .map_err(|error| failed(error.to_string()))?
        .map_err(|profile| {
            let profile = profile.map_or(String::new(), |text| format!("; {text}"));
            invalid(format!("no region is set, neither for the client nor in AWS_REGION or the profile{profile}"))
        })
}

/// The region that is given, else the environment's, else the profile's. The SDK would go on and ask the network for the machine's
/// metadata, here and wherever it is given no region.
async fn region_of(given: String) -> Option<Region> {
    let variable = |name| std::env::var(name).unwrap_or_default();
    // A variable that is set to nothing says nothing.
    let named =
        [given, variable("AWS_REGION"), variable("AWS_DEFAULT_REGION")].into_iter().find(|name| !name.is_empty());
    match named {
        Some(name) => Some(Region::new(name)),
        None => ProfileFileRegionProvider::new().region().await,
    }
}

/// A client of one store. Cheap to clone; managers made of the same client share its threads, connections and limits. Its threads
/// start with the first transfer.
///
/// ```
/// use xfer_facade::{RequestSerializer, TransferManager, create_s3_client};
/// let client = create_s3_client("us-west-2").anonymous().max_connections(32).build()?;
/// // Each is shut down by itself; both together have 32 connections.
/// let backups = TransferManager::new(&client, RequestSerializer::for_client(&client));
/// let logs = TransferManager::new(&client, RequestSerializer::for_client(&client));
/// assert_eq!((client.max_connections(), client.peak_connections()), (32, 0));
/// # let _ = (backups, logs);
/// # Ok::<(), xfer_facade::Error>(())
/// ```
#[derive(Clone)]
pub struct S3Client {
    inner: Arc<Inner>,
}

struct Inner {
    /// What each system is started with, but for `max_bandwidth`.
    settings: Settings,
    /// In bytes per second, as it was set last. Locked within `system`.
    max_bandwidth: Mutex<Option<u64>>,
    transport: Arc<SharedTransport>,
    serializer: Arc<xfer_serializer::RequestSerializer>,
    system: Mutex<Option<XferSystem>>,
    callbacks: OnceLock<Arc<Callbacks>>,
}

impl S3Client {
    /// The region: the one given, or where that was empty the one that was found.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.inner.serializer.endpoint().region
    }

    /// Threads that move bytes.
    #[must_use]
    pub fn num_threads(&self) -> usize {
        self.inner.settings.lanes
    }

    /// Part size in bytes: what was asked for, or S3's least.
    #[must_use]
    pub fn part_size(&self) -> u64 {
        self.inner.settings.part_size
    }

    /// Most connections at once.
    #[must_use]
    pub fn max_connections(&self) -> usize {
        self.inner.settings.max_connections
    }

    /// Most bytes of objects per second that all transfers together send and receive; `None` for as many as there can be.
    #[must_use]
    pub fn max_bandwidth(&self) -> Option<u64> {
        *self.inner.max_bandwidth.lock()
    }

    /// Changes the ceiling of [`max_bandwidth`](S3ClientBuilder::max_bandwidth), in bytes per second, from now on, also for transfers that are
    /// under way; `None` lifts it.
    ///
    /// # Errors
    /// [`InvalidConfig`](ErrorKind::InvalidConfig) for 0: nothing is changed.
    ///
    /// ```
    /// let client = xfer_facade::create_s3_client("us-west-2").anonymous().max_bandwidth(10_000_000).build()?;
    /// client.set_max_bandwidth(50_000_000)?; // the night has begun
    /// client.set_max_bandwidth(None)?;
    /// assert_eq!(client.max_bandwidth(), None);
    /// # Ok::<(), xfer_facade::Error>(())
    /// ```
    pub fn set_max_bandwidth(&self, bytes_per_second: impl Into<Option<u64>>) -> Result<(), Error> {
        let bytes_per_second = bytes_per_second.into();
        if bytes_per_second == Some(0) {
            return Err(zero(MAX_BANDWIDTH));
        }
        let system = self.inner.system.lock();
        *self.inner.max_bandwidth.lock() = bytes_per_second;
        if let Some(system) = &*system {
            system.set_max_bandwidth(bytes_per_second);
        }
        Ok(())
    }

    /// The most connections that were open at one time; 0 before the first transfer.
    #[must_use]
    pub fn peak_connections(&self) -> usize {
        self.inner.transport.peak_connections()
    }

    /// The system of actors behind this client, started if need be: for those who want to send them messages.
    ///
    /// # Errors
    /// [`Internal`](ErrorKind::Internal) when the operating system gives no threads.
    pub fn actors(&self) -> Result<XferSystem, Error> {
        self.system()
    }

    pub(crate) fn serializer(&self) -> &Arc<xfer_serializer::RequestSerializer> {
        &self.inner.serializer
    }

    pub(crate) fn system(&self) -> Result<XferSystem, Error> {
        let mut system = self.inner.system.lock();
        if let Some(system) = &*system
            && !system.is_closed()
        {
            return Ok(system.clone());
        }
        // The first one, or one in the place of a system that has ended: given up, or stopped with the actix System it lived in. Its
        // restarts are counted anew: it starts because somebody has asked for a transfer, and not by itself.
        let settings = Settings { max_bandwidth: *self.inner.max_bandwidth.lock(), ..self.inner.settings.clone() };
        let started = XferSystem::start_on(settings, Arc::clone(&self.inner.transport))?;
        *system = Some(started.clone());
        Ok(started)
    }

    pub(crate) fn callbacks(&self) -> Result<Arc<Callbacks>, Error> {
        if let Some(callbacks) = self.inner.callbacks.get() {
            return Ok(Arc::clone(callbacks));
        }
        let started = Callbacks::start()
            .map_err(|error| Error::internal(format!("no threads for callbacks: {error}")).with_source(error))?;
        Ok(Arc::clone(self.inner.callbacks.get_or_init(|| Arc::new(started))))
    }
}

impl From<&S3Client> for S3Client {
    fn from(client: &S3Client) -> S3Client {
        client.clone()
    }
}

impl fmt::Debug for S3Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Client")
            .field("endpoint", self.inner.serializer.endpoint())
            .field("settings", &self.inner.settings)
            .finish_non_exhaustive()
    }
}
