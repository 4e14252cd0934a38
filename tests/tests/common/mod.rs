//! What all suites share: a test bed around an embedded server, witnesses that record what they are told, readers and writers that
//! misbehave on request, and the checks that nothing is left behind.
#![allow(dead_code, reason = "each suite uses its share")]

pub(crate) mod child;
pub(crate) mod io;
pub(crate) mod peers;
pub(crate) mod store;
pub(crate) mod zonal;

use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use xfer_actors::Observer;
use xfer_facade::{
    EndpointConfig, Error, ErrorKind, ProxyPolicy, RequestSerializer, RetryPolicy, S3Client, S3ClientBuilder,
    Subscriber, TransferCall, TransferManager, TransferMeta, TransferOutcome, create_s3_client,
};
use xfer_tests::{ServerHandle, TestServer, TestServerBuilder, pattern};

/// Part size: the least that S3 takes.
pub(crate) const PART: u64 = 5 << 20;
/// Largest object that is uploaded with one request; not the part size, so that the two are told apart.
pub(crate) const THRESHOLD: u64 = 6 << 20;
/// No wait in a test is longer. Far above what any of them takes, on a slow machine that has much else to do as well: who runs into it
/// hangs.
pub(crate) const LIMIT: Duration = Duration::from_secs(300);

/// The default policy with pauses that suit a test.
pub(crate) fn quick_retries() -> RetryPolicy {
    RetryPolicy {
        base: Duration::from_millis(5),
        throttle_base: Duration::from_millis(10),
        cap: Duration::from_millis(100),
        ..RetryPolicy::default()
    }
}

/// A client of an embedded server.
pub(crate) fn client_of(server: &ServerHandle) -> S3ClientBuilder {
    let keys = aws_credential_types::Credentials::from_keys(server.access_key(), server.secret_key(), None);
    create_s3_client(server.region())
        .endpoint_url(server.endpoint_url())
        .path_style(true)
        .credentials(keys)
        .proxy(ProxyPolicy::None)
        .part_size(PART)
        .multipart_threshold(THRESHOLD)
        .retry(quick_retries())
}

/// A serializer for those who speak to the actors themselves.
pub(crate) fn serializer_of(server: &ServerHandle) -> Arc<xfer_actors::RequestSerializer> {
    serializer_at(server, &server.endpoint_url())
}

/// The same for another name of the server.
pub(crate) fn serializer_at(server: &ServerHandle, url: &str) -> Arc<xfer_actors::RequestSerializer> {
    let endpoint =
        EndpointConfig { endpoint_url: Some(url.to_owned()), path_style: true, ..EndpointConfig::new(server.region()) };
    let keys = aws_credential_types::Credentials::from_keys(server.access_key(), server.secret_key(), None);
    let keys = aws_credential_types::provider::SharedCredentialsProvider::new(keys);
    Arc::new(xfer_actors::RequestSerializer::builder(endpoint).credentials(keys).build().unwrap())
}

/// A manager of a client.
pub(crate) fn manager_of(client: &S3Client) -> TransferManager {
    TransferManager::new(client, RequestSerializer::for_client(client))
}

/// An embedded server, a client, a manager and a folder. Fields are dropped in this order.
pub(crate) struct Bed {
    pub(crate) manager: TransferManager,
    pub(crate) client: S3Client,
    pub(crate) server: TestServer,
    pub(crate) folder: tempfile::TempDir,
}

impl Bed {
    pub(crate) fn new() -> Bed {
        Bed::with(|server| server, |client| client)
    }

    pub(crate) fn with(
        server: impl FnOnce(TestServerBuilder) -> TestServerBuilder,
        client: impl FnOnce(S3ClientBuilder) -> S3ClientBuilder,
    ) -> Bed {
        let server = server(TestServer::builder().fast_etags()).start();
        let client = client(client_of(&server)).build().unwrap();
        let manager = manager_of(&client);
        Bed { manager, client, server, folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn bucket(&self) -> &'static str {
        self.server.bucket()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file of `size` bytes of the pattern with this seed.
    pub(crate) fn file(&self, name: &str, seed: u64, size: u64) -> PathBuf {
        let path = self.path(name);
        pattern::file(&path, seed, size).unwrap();
        path
    }

    /// An object of `size` bytes of the pattern with this seed.
    pub(crate) fn object(&self, key: &str, seed: u64, size: u64) {
        self.server.put_object(self.bucket(), key, pattern::bytes(seed, size as usize));
    }

    pub(crate) fn check_object(&self, key: &str, seed: u64, size: u64) {
        let object = self.server.object(self.bucket(), key).unwrap_or_else(|| panic!("no object {key}"));
        assert_eq!(object.len(), size, "size of {key}");
        pattern::check(seed, 0, &object.bytes()).unwrap_or_else(|error| panic!("{key}: {error}"));
    }

    /// Nothing is left behind: no transfer, no slot, no memory, no multipart upload, no file but `files`.
    pub(crate) fn assert_clean(&self, files: &[&str]) {
        assert_eq!(self.manager.active(), 0, "transfers are left");
        let system = self.client.actors().unwrap();
        let in_use = system.in_use();
        assert_eq!((in_use.requests, in_use.memory), (0, 0), "slots or memory are left");
        assert_eq!(system.transfers(), 0, "transfers are left in the system");
        assert!(self.server.wait_idle(LIMIT), "requests are left");
        assert_eq!(self.server.open_uploads(), Vec::new(), "multipart uploads are left");
        assert_files(self.folder.path(), files);
    }

    /// The manager still moves bytes both ways.
    pub(crate) fn assert_works(&self) {
        let data = pattern::bytes(77, 100_000);
        self.manager.upload(data.clone(), self.bucket(), "still-works").start().unwrap().result(LIMIT).unwrap();
        let got = self.manager.download(self.bucket(), "still-works", xfer_facade::DownloadTarget::memory());
        assert_eq!(got.start().unwrap().result(LIMIT).unwrap().body.unwrap(), data);
        self.manager.delete(self.bucket(), "still-works").start().unwrap().result(LIMIT).unwrap();
    }
}

/// The names in a folder are exactly these.
pub(crate) fn assert_files(folder: &Path, expected: &[&str]) {
    let mut found: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    found.sort();
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(found, expected, "files in the folder");
}

/// Starts a call and waits for it.
pub(crate) fn outcome_of(call: TransferCall) -> Result<TransferOutcome, Error> {
    call.start()?.result(LIMIT)
}

/// The kind of a failed result.
pub(crate) fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    result.unwrap_err().kind()
}

/// Polls a condition that no event tells of, within [`LIMIT`].
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < until, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A runtime for tests that need one now and then.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// An observer that tells a channel when its transfer has ended.
pub(crate) struct Ended(pub(crate) mpsc::Sender<Result<TransferOutcome, Error>>);

impl Observer for Ended {
    fn progressed(&self, _bytes: u64) {}

    fn finished(&self, result: Result<TransferOutcome, Error>) {
        self.0.send(result).unwrap();
    }
}

/// Records what a subscriber is told.
#[derive(Default)]
pub(crate) struct Witness {
    told: Mutex<Told>,
    moved: Condvar,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    pub(crate) queued: u32,
    pub(crate) progress: Vec<u64>,
    /// `meta.bytes_transferred()` at each report.
    pub(crate) totals: Vec<u64>,
    pub(crate) done: Vec<Result<TransferOutcome, Error>>,
    /// What came when it should not have. (A panic in a subscriber would be caught.)
    pub(crate) misplaced: Vec<&'static str>,
}

impl Witness {
    pub(crate) fn new() -> Arc<Witness> {
        Arc::default()
    }

    pub(crate) fn told(&self) -> Told {
        self.told.lock().clone()
    }

    /// Waits until progress was told.
    pub(crate) fn wait_for_progress(&self) {
        let mut told = self.told.lock();
        let timeout = self.moved.wait_while_for(&mut told, |told| told.progress.is_empty(), LIMIT);
        assert!(!timeout.timed_out(), "no progress");
    }

    /// The whole life of a transfer that succeeded was told: in order, once, and every byte of it.
    pub(crate) fn assert_complete(&self, size: u64, what: &str) {
        let told = self.told();
        assert_eq!(told.misplaced, Vec::<&str>::new(), "{what}");
        assert_eq!(told.queued, 1, "{what}: on_queued");
        assert_eq!(told.progress.iter().sum::<u64>(), size, "{what}: {:?}", told.progress);
        assert!(told.progress.iter().all(|bytes| *bytes > 0), "{what}: {:?}", told.progress);
        assert!(told.totals.is_sorted(), "{what}: {:?}", told.totals);
        assert_eq!(told.done.len(), 1, "{what}: on_done");
        assert_eq!(told.done[0].as_ref().unwrap().bytes, size, "{what}");
    }
}

impl Subscriber for Witness {
    fn on_queued(&self, _meta: &TransferMeta) {
        let mut told = self.told.lock();
        if !(told.progress.is_empty() && told.done.is_empty()) {
            told.misplaced.push("queued");
        }
        told.queued += 1;
    }

    fn on_progress(&self, meta: &TransferMeta, bytes: u64) {
        let mut told = self.told.lock();
        if !told.done.is_empty() {
            told.misplaced.push("progress");
        }
        told.progress.push(bytes);
        told.totals.push(meta.bytes_transferred());
        self.moved.notify_all();
    }

    fn on_done(&self, _meta: &TransferMeta, result: &Result<TransferOutcome, Error>) {
        self.told.lock().done.push(result.clone());
    }
}
