//! What a test holds of a server: [`TestServer`] keeps it running, [`ServerHandle`] asks it things.

use std::fmt;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::runtime;
use tokio::sync::watch;

use crate::backend::store::StoredObject;
use crate::faults::{Fault, FaultRule};
use crate::stats::{RequestRecord, Stats};

use super::{BUCKET, OWNER, REGION, Shared, TestServerBuilder, nanos};

/// How long closing all connections may take. Far above what it does: it waits for tasks to see that they are to end.
const CLOSE_LIMIT: Duration = Duration::from_secs(30);

/// A running server; see the [crate documentation](crate) for an example. Stops when dropped.
pub struct TestServer {
    pub(super) handle: ServerHandle,
    pub(super) stop: watch::Sender<bool>,
    pub(super) thread: Option<JoinHandle<()>>,
    pub(super) runtime_id: runtime::Id,
}

impl fmt::Debug for TestServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestServer").field("address", &self.shared.address).finish_non_exhaustive()
    }
}

impl TestServer {
    /// Options, all at their defaults.
    pub fn builder() -> TestServerBuilder {
        TestServerBuilder::new()
    }

    /// A server with default options.
    #[must_use]
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// A handle that hooks and threads can keep; it does not keep the server running.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }
}

impl Deref for TestServer {
    type Target = ServerHandle;

    fn deref(&self) -> &ServerHandle {
        &self.handle
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        // A hook may hold a handle, and so keep all that is stored, its own rule included.
        self.clear_faults();
        // A hook that drops its own server runs on the thread pool that the join would wait for.
        let on_own_runtime = runtime::Handle::try_current().is_ok_and(|handle| handle.id() == self.runtime_id);
        if let Some(thread) = self.thread.take().filter(|_| !on_own_runtime) {
            let _ = thread.join();
        }
    }
}

/// Everything one can ask of a server. [`TestServer`] derefs to it.
#[derive(Clone)]
pub struct ServerHandle {
    pub(super) shared: Arc<Shared>,
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandle").field("address", &self.shared.address).finish_non_exhaustive()
    }
}

impl ServerHandle {
    /// `http://127.0.0.1:PORT`, or `https` with [`TestServerBuilder::tls`].
    #[must_use]
    pub fn endpoint_url(&self) -> String {
        let scheme = if self.shared.ca_pem.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.shared.address)
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// The access key clients must use.
    #[must_use]
    pub fn access_key(&self) -> &str {
        &self.shared.service.keys.access_key
    }

    /// The secret key clients must use.
    #[must_use]
    pub fn secret_key(&self) -> &str {
        &self.shared.service.keys.secret_key
    }

    /// The region, `us-east-1`.
    #[must_use]
    pub fn region(&self) -> &'static str {
        REGION
    }

    /// The bucket that exists from the start, `bucket`.
    #[must_use]
    pub fn bucket(&self) -> &'static str {
        BUCKET
    }

    /// The PEM file with the CA to trust, on a server with TLS; it goes with the server.
    #[must_use]
    pub fn ca_pem_path(&self) -> Option<&Path> {
        self.shared.ca_pem.as_deref()
    }

    /// Makes a bucket; one that exists stays as it is.
    pub fn create_bucket(&self, name: &str) {
        self.shared.store.create_bucket(name);
    }

    /// Stores an object without a request, with a CRC64NVME checksum of the whole; one under the same key is replaced.
    ///
    /// # Panics
    /// If the bucket does not exist.
    pub fn put_object(&self, bucket: &str, key: &str, data: impl Into<Bytes>) -> StoredObject {
        let object = self.shared.store.seed(bucket, key, data.into()).expect("an existing bucket and working storage");
        StoredObject::clone(&object)
    }

    /// Removes an object without a request; false if there is none.
    pub fn remove_object(&self, bucket: &str, key: &str) -> bool {
        let tag = self.shared.store.tag();
        self.shared.store.buckets().get_mut(bucket).is_some_and(|bucket| {
            let there = bucket.objects.contains_key(key);
            bucket.delete(key, None, tag).is_ok() && there
        })
    }

    /// The object now under a key.
    #[must_use]
    pub fn object(&self, bucket: &str, key: &str) -> Option<StoredObject> {
        self.shared.store.buckets().get(bucket)?.objects.get(key).map(|object| StoredObject::clone(object))
    }

    /// All keys of a bucket, in order; none if it does not exist.
    #[must_use]
    pub fn list_keys(&self, bucket: &str) -> Vec<String> {
        self.shared
            .store
            .buckets()
            .get(bucket)
            .map(|bucket| bucket.objects.keys().cloned().collect())
            .unwrap_or_default()
    }

    /// Multipart uploads neither completed nor aborted: bucket, key and upload id.
    #[must_use]
    pub fn open_uploads(&self) -> Vec<(String, String, String)> {
        let buckets = self.shared.store.buckets();
        let uploads = buckets.iter().flat_map(|(name, bucket)| {
            bucket.uploads.iter().map(|(id, upload)| (name.clone(), upload.key.clone(), id.clone()))
        });
        uploads.collect()
    }

    /// The counters now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.service.recorder.stats()
    }

    /// The log: the first 100,000 requests since the start or the last reset.
    #[must_use]
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.shared.service.recorder.requests()
    }

    /// Zeroes the counters and empties the log; what is open or in flight stays counted.
    pub fn reset_stats(&self) {
        self.shared.service.recorder.reset();
    }

    /// Blocks until no request is in flight; false when `limit` passes first. A request may leave the count a moment after its
    /// client has the whole answer, so tests that look for leftovers wait here.
    #[must_use]
    pub fn wait_idle(&self, limit: Duration) -> bool {
        self.shared.service.recorder.wait_idle(limit)
    }

    /// Puts a fault rule in force.
    pub fn inject(&self, rule: FaultRule) -> Fault {
        self.shared.service.faults.inject(rule)
    }

    /// Takes all fault rules out of force.
    pub fn clear_faults(&self) {
        self.shared.service.faults.clear();
    }

    /// Changes the wait before each answer.
    pub fn set_latency(&self, latency: Duration) {
        self.shared.service.latency.store(nanos(latency), Ordering::Release);
    }

    /// Closes every connection that is open now, idle or not, and blocks until they are closed: what is sent after that goes over new
    /// ones. Not for hooks, which run on such a connection.
    ///
    /// # Panics
    /// If they are not closed within 30 seconds.
    pub fn close_connections(&self) {
        let closing = {
            let mut open = self.shared.open.lock();
            self.shared.generation.send_modify(|generation| *generation += 1);
            std::mem::take(&mut *open)
        };
        let until = Instant::now() + CLOSE_LIMIT;
        while Arc::strong_count(&closing) > 1 {
            assert!(Instant::now() < until, "connections are not closed after {CLOSE_LIMIT:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The account that owns all buckets, 12 digits.
    #[must_use]
    pub fn owner(&self) -> &'static str {
        OWNER
    }

    /// How long new S3 Express sessions last; five minutes if not set, as in S3.
    pub fn set_session_lifetime(&self, lifetime: Duration) {
        self.shared.service.sessions.set_lifetime(lifetime);
    }

    /// Ends all S3 Express sessions.
    pub fn revoke_sessions(&self) {
        self.shared.service.sessions.revoke_all();
    }
}
