//! The embedded server: its options, its thread, and the handle tests hold.
//!
//! Each server has a thread and a tokio runtime of its own, so it works the same under plain `main`, tokio and actix, and
//! a stuck client never stops it. It listens on a free port of 127.0.0.1 only. Dropping [`TestServer`] closes the listener
//! and every connection and joins the thread.

mod body;
mod clock;
mod express;
mod handle;
mod hosts;
mod io;
mod resign;
mod service;
mod signature;
mod tls;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use s3s::service::S3ServiceBuilder;
use s3s::validation::NameValidation;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::sync::watch;

use crate::backend::Backend;
use crate::backend::content::Storage;
use crate::backend::sessions::Sessions;
use crate::backend::store::Store;
use crate::faults::FaultTable;
use crate::stats::Recorder;

pub use handle::{ServerHandle, TestServer};
pub(crate) use hosts::Hosts;

use io::{Control, ServerIo};
use service::{Doorkeeper, Gatekeeper, Keys, Service};
use tls::Tls;

/// The region of all servers.
const REGION: &str = "us-east-1";
/// The bucket that each server starts with.
const BUCKET: &str = "bucket";
/// The account that owns all buckets.
const OWNER: &str = "111122223333";
/// S3's smallest part but for the last.
const MIN_PART_SIZE: u64 = 5 * 1024 * 1024;
/// How long a TLS handshake may take.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// Options of a [`TestServer`].
///
/// ```
/// use std::time::Duration;
/// let server = xfer_tests::TestServer::builder().fast_etags().latency(Duration::from_millis(1)).start();
/// assert!(server.endpoint_url().starts_with("http://127.0.0.1:"));
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `start`"]
pub struct TestServerBuilder {
    keys: Keys,
    storage_dir: Option<PathBuf>,
    fast_etags: bool,
    min_part_size: u64,
    tls: bool,
    hosts: Hosts,
    versioned: bool,
    requester_pays: bool,
    mfa: Option<String>,
    latency: Duration,
    bandwidth: Option<u64>,
    threads: usize,
}

impl TestServerBuilder {
    fn new() -> Self {
        Self {
            keys: Keys {
                access_key: "test-access-key".to_owned(),
                secret_key: "test-secret-key".to_owned(),
                region: REGION,
                checked: true,
            },
            storage_dir: None,
            fast_etags: false,
            min_part_size: MIN_PART_SIZE,
            tls: false,
            hosts: Hosts::default(),
            versioned: false,
            requester_pays: false,
            mfa: None,
            latency: Duration::ZERO,
            bandwidth: None,
            threads: 2,
        }
    }

    /// The keys clients must sign with; `test-access-key` and `test-secret-key` if not set.
    pub fn credentials(mut self, access_key: impl Into<String>, secret_key: impl Into<String>) -> Self {
        self.keys.access_key = access_key.into();
        self.keys.secret_key = secret_key.into();
        self
    }

    /// Whether signatures are checked; they are if not set. Without checks any signature, or none, will do,
    /// but for chunk signatures (`STREAMING-AWS4-..`), which are checked all the same.
    pub fn auth(mut self, checked: bool) -> Self {
        self.keys.checked = checked;
        self
    }

    /// Keeps bodies in files of this directory (made if missing) instead of in memory.
    pub fn storage_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.storage_dir = Some(path.into());
        self
    }

    /// Makes ETags unique tags instead of MD5s, which saves most of the server's CPU time on big bodies.
    pub fn fast_etags(mut self) -> Self {
        self.fast_etags = true;
        self
    }

    /// The smallest part, in bytes, that CompleteMultipartUpload takes before the last; 5 MiB if not set, as in S3.
    pub fn min_part_size(mut self, bytes: u64) -> Self {
        self.min_part_size = bytes;
        self
    }

    /// Speaks HTTPS, with a certificate for 127.0.0.1 and localhost by a CA of its own: [`ServerHandle::ca_pem_path`].
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Takes `bucket.<domain>` in the Host header as a bucket name; `domain` without a port, which may be any. Path style still works at
    /// the server's address. Can be called for several domains.
    pub fn virtual_host_domain(mut self, domain: impl Into<String>) -> Self {
        self.hosts.add_domain(domain.into());
        self
    }

    /// Takes this host, whatever the port, for a bucket, as the host of an access point is.
    pub fn access_point(mut self, host: impl Into<String>, bucket: impl Into<String>) -> Self {
        self.hosts.add_access_point(host.into(), bucket.into());
        self
    }

    /// Keeps all versions of each object, and delete markers.
    pub fn versioning(mut self) -> Self {
        self.versioned = true;
        self
    }

    /// Refuses requests whose sender does not say that he pays (`x-amz-request-payer: requester`).
    pub fn requester_pays(mut self) -> Self {
        self.requester_pays = true;
        self
    }

    /// Refuses deletes of versions that do not name this device and code (`x-amz-mfa`).
    pub fn mfa_delete(mut self, serial_and_code: impl Into<String>) -> Self {
        self.mfa = Some(serial_and_code.into());
        self
    }

    /// Waits this long before each answer.
    pub fn latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// Limits each connection to so many bytes per second in each direction.
    pub fn bandwidth_per_connection(mut self, bytes_per_second: u64) -> Self {
        self.bandwidth = Some(bytes_per_second);
        self
    }

    /// Worker threads of the server's runtime; 2 if not set.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// Starts the server and returns once it listens.
    ///
    /// # Panics
    /// If no loopback port, thread or storage directory can be had.
    #[must_use]
    pub fn start(self) -> TestServer {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port on 127.0.0.1");
        listener.set_nonblocking(true).expect("a non-blocking listener");
        let address = listener.local_addr().expect("a bound address");
        let tls = self.tls.then(|| Tls::new(self.hosts.names()));

        let storage = self.storage_dir.as_deref().map_or(Storage::Memory, Storage::directory);
        let mut store = Store::new(storage, self.fast_etags, self.min_part_size);
        store.versioned = self.versioned;
        store.mfa = self.mfa;
        let store = Arc::new(store);
        store.create_bucket(BUCKET);
        let sessions = Arc::new(Sessions::default());
        let backend = Backend { store: store.clone(), sessions: sessions.clone(), region: REGION };
        let mut builder = S3ServiceBuilder::new(backend);
        builder.set_auth(Gatekeeper(self.keys.clone()));
        builder.set_access(Doorkeeper { requester_pays: self.requester_pays });
        builder.set_validation(AnyBucketName);
        builder.set_host(self.hosts.clone());
        let service = Arc::new(Service {
            s3: builder.build(),
            keys: self.keys,
            hosts: self.hosts,
            recorder: Arc::new(Recorder::default()),
            faults: Arc::new(FaultTable::default()),
            sessions,
            latency: AtomicU64::new(nanos(self.latency)),
        });
        let shared = Arc::new(Shared {
            address,
            service,
            store,
            ca_pem: tls.as_ref().map(|tls| tls.ca_pem.clone()),
            generation: watch::Sender::new(0),
            open: Mutex::default(),
        });
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(self.threads)
            .thread_name("test-server")
            .enable_all()
            .build()
            .expect("a runtime");
        let runtime_id = runtime.handle().id();
        let stop = watch::Sender::new(false);
        let mut stopped = stop.subscribe();
        let listening = Listening { shared: shared.clone(), tls, bandwidth: self.bandwidth };
        let thread = std::thread::Builder::new()
            .name("test-server".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    let listener = TcpListener::from_std(listener).expect("a listener for tokio");
                    tokio::select! {
                        () = listening.accept_all(listener) => {}
                        _ = stopped.wait_for(|stop| *stop) => {}
                    }
                });
                // Drops the connections' tasks and with them their sockets.
                runtime.shutdown_timeout(Duration::from_secs(5));
            })
            .expect("a thread");
        TestServer { handle: ServerHandle { shared }, stop, thread: Some(thread), runtime_id }
    }
}

/// S3 Express and access point names are no valid bucket names to `s3s`; the server takes any.
struct AnyBucketName;

impl NameValidation for AnyBucketName {
    fn validate_bucket_name(&self, name: &str) -> bool {
        !name.is_empty()
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What the handle and the server's tasks share.
struct Shared {
    address: SocketAddr,
    service: Arc<Service>,
    store: Arc<Store>,
    ca_pem: Option<PathBuf>,
    /// Each change closes the connections that are open.
    generation: watch::Sender<u64>,
    /// Held by every connection that is open, and replaced when they are to be closed.
    open: Mutex<Arc<()>>,
}

/// The accept loop.
struct Listening {
    shared: Arc<Shared>,
    tls: Option<Tls>,
    bandwidth: Option<u64>,
}

impl Listening {
    async fn accept_all(&self, listener: TcpListener) {
        let mut next_id = 0;
        loop {
            let tcp = match listener.accept().await {
                Ok((tcp, _)) => tcp,
                Err(error) => {
                    // Out of descriptors, most likely: others must close first.
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
            };
            let control = Arc::new(Control::new(next_id));
            next_id += 1;
            tokio::spawn(self.serve(tcp, control));
        }
    }

    fn serve(&self, tcp: TcpStream, control: Arc<Control>) -> impl Future<Output = ()> + Send + use<> {
        let shared = self.shared.clone();
        let acceptor = self.tls.as_ref().map(|tls| tls.acceptor.clone());
        let bandwidth = self.bandwidth;
        // Together, so that a connection is closed if and only if its end is waited for.
        let (alive, mut generation) = {
            let open = shared.open.lock();
            (open.clone(), shared.generation.subscribe())
        };
        async move {
            // The first to be made, and so the last to go.
            let _alive = alive;
            let _open = shared.service.recorder.connection();
            // Without it a small answer may wait 40 ms for the client's delayed acknowledgement.
            let _ = tcp.set_nodelay(true);
            let io = ServerIo::new(tcp, control.clone(), bandwidth);
            let service = service_fn(move |request| shared.service.clone().answer(control.clone(), request));
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(None);
            let serving = async {
                match acceptor {
                    None => http.serve_connection(TokioIo::new(io), service).await,
                    Some(acceptor) => match tokio::time::timeout(HANDSHAKE_LIMIT, acceptor.accept(io)).await {
                        Ok(Ok(tls)) => http.serve_connection(TokioIo::new(tls), service).await,
                        Ok(Err(_)) | Err(_) => Ok(()),
                    },
                }
            };
            tokio::select! {
                served = serving => if let Err(error) = served {
                    tracing::debug!(%error, "connection ended");
                },
                _ = generation.changed() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
