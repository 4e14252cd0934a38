//! The transfer manager: calls in, futures out, and an orderly end.
//!
//! Invariants: a manager knows its transfers only while they go on; once it is shut down it takes no more; whatever ends it, its
//! transfers are told.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::{Handle, RuntimeFlavor};
use xfer_actors::{Call, DownloadTarget, OsUtils, SystemFiles, Tuning, UploadSource, XferSystem, on_lane};
use xfer_core::plan::checked_part_size;

use crate::blocking::blocking;
use crate::callbacks::{Audience, in_callback};
use crate::calls::{Task, TransferCall};
use crate::meta::TransferMeta;
use crate::registry::Registry;
use crate::{DownloadStream, Error, ErrorKind, RequestSerializer, S3Client, TransferConfig, TransferFuture};

/// What becomes of the transfers that go on when a manager is shut down.
///
/// ```
/// # use xfer_facade::{RequestSerializer, create_s3_client};
/// use xfer_facade::{ErrorKind, Shutdown, TransferManager};
/// # let client = create_s3_client("us-east-1").anonymous().build()?;
/// # let serializer = RequestSerializer::for_client(&client);
/// let manager = TransferManager::new(client, serializer);
/// manager.shutdown(Shutdown::Drain)?; // or `Shutdown::Cancel`
/// let late = manager.delete("bucket", "key").start();
/// assert_eq!(late.unwrap_err().kind(), ErrorKind::ShutDown);
/// # Ok::<(), xfer_facade::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// They are waited for.
    Drain,
    /// They are cancelled, and cleaned up.
    Cancel,
}

impl Shutdown {
    /// With a deadline.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use xfer_facade::Shutdown;
    /// let plan = Shutdown::Drain.within(Duration::from_secs(600));
    /// # let _ = plan;
    /// ```
    #[must_use]
    pub fn within(self, deadline: Duration) -> ShutdownPlan {
        ShutdownPlan { how: self, deadline: Some(deadline) }
    }
}

/// A [`Shutdown`], perhaps with a deadline. When a drain's deadline passes, what still goes on is cancelled, and given 30 s to clean up.
/// Whoever cancels gives the deadline for the clean-up itself, 30 s if none. What has not ended then is given up: the shutdown says
/// [`WaitTimeout`](ErrorKind::WaitTimeout), and the clean-up goes on behind it for as long as the program runs.
///
/// ```no_run
/// use std::time::Duration;
/// use xfer_facade::{ErrorKind, Shutdown, ShutdownPlan, TransferManager};
///
/// # fn example(manager: &TransferManager, hurry: bool) -> Result<(), xfer_facade::Error> {
/// let plan: ShutdownPlan = if hurry { Shutdown::Cancel.into() } else { Shutdown::Drain.within(Duration::from_secs(600)) };
/// match manager.shutdown(plan) {
///     Err(error) if error.kind() == ErrorKind::WaitTimeout => eprintln!("cut off after ten minutes: {error}"),
///     ended => ended?,
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutdownPlan {
    how: Shutdown,
    deadline: Option<Duration>,
}

impl From<Shutdown> for ShutdownPlan {
    /// Draining takes as long as the transfers take, each of which has deadlines of its own; cancelling takes 30 s at the most.
    fn from(how: Shutdown) -> ShutdownPlan {
        ShutdownPlan { how, deadline: None }
    }
}

/// How long cancelled transfers may take to clean up before they are given up. A store that does not answer may take longer than
/// that to be given up by a request itself; nobody who ends a program wants to wait for it.
const CLEAN_UP: Duration = Duration::from_secs(30);
/// How long dropping a manager waits for its cancelled transfers, where it may wait at all.
const FAREWELL: Duration = Duration::from_secs(10);

/// Uploads, downloads and deletes S3 objects. Cheap to clone; all clones are one manager.
///
/// Dropping the last clone cancels what still goes on. On a thread of its own it waits some seconds until that is cleaned up; within
/// tokio, and in a subscriber, it does not wait, and the clean-up goes on behind it. Other executors it does not know: there, await
/// [`shutdown_async`](TransferManager::shutdown_async) before.
///
/// ```no_run
/// use xfer_facade::{RequestSerializer, Shutdown, TransferManager, create_s3_client};
///
/// # fn main() -> Result<(), xfer_facade::Error> {
/// let client = create_s3_client("us-east-1").build()?;
/// let serializer = RequestSerializer::for_client(&client);
/// let manager = TransferManager::new(client, serializer);
/// let futures: Vec<_> = ["a", "b", "c"]
///     .iter()
///     .map(|name| manager.upload(*name, "bucket", name).start())
///     .collect::<Result<_, _>>()?;
/// for future in &futures {
///     future.result(None)?;
/// }
/// manager.shutdown(Shutdown::Drain)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TransferManager {
    inner: Arc<Inner>,
}

struct Inner {
    client: S3Client,
    serializer: Arc<xfer_serializer::RequestSerializer>,
    os: Arc<dyn OsUtils>,
    tuning: Tuning,
    registry: Arc<Registry>,
    /// Whether a shutdown has waited long enough.
    given_up: AtomicBool,
}

impl TransferManager {
    /// A manager that sends what `serializer` makes through `client`. Managers of one client share its connections and limits.
    pub fn new(client: impl Into<S3Client>, serializer: impl Into<RequestSerializer>) -> TransferManager {
        TransferManagerBuilder::new(client.into(), serializer.into()).finish()
    }

    /// The same with an [`OsUtils`] or a [`TransferConfig`] of one's own.
    pub fn builder(client: impl Into<S3Client>, serializer: impl Into<RequestSerializer>) -> TransferManagerBuilder {
        TransferManagerBuilder::new(client.into(), serializer.into())
    }

    /// Runs `body` with a manager, and shuts it down at the end: drains when `body` succeeds, cancels when it fails or panics.
    ///
    /// ```no_run
    /// # use xfer_facade::{Error, RequestSerializer, S3Client, TransferManager};
    /// # fn example(client: &S3Client) -> Result<(), Error> {
    /// TransferManager::scope(client, RequestSerializer::for_client(client), |manager| {
    ///     manager.upload("a.bin", "bucket", "a.bin").start()?.result(None)?;
    ///     Ok::<_, Error>(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// What `body` returns, and what [`shutdown`](TransferManager::shutdown) returns after a success.
    pub fn scope<T, E: From<Error>>(
        client: impl Into<S3Client>,
        serializer: impl Into<RequestSerializer>,
        body: impl FnOnce(&TransferManager) -> Result<T, E>,
    ) -> Result<T, E> {
        let manager = TransferManager::new(client, serializer);
        match catch_unwind(AssertUnwindSafe(|| body(&manager))) {
            Ok(Ok(value)) => {
                manager.shutdown(Shutdown::Drain)?;
                Ok(value)
            }
            Ok(Err(error)) => {
                // The body's error is the one that says what went wrong.
                let _ = manager.shutdown(Shutdown::Cancel);
                Err(error)
            }
            Err(panic) => {
                let _ = manager.shutdown(Shutdown::Cancel);
                resume_unwind(panic)
            }
        }
    }

    /// An upload of a file (by its path), of bytes, or of a reader or stream: see [`UploadSource`].
    pub fn upload(&self, source: impl Into<UploadSource>, bucket: &str, key: &str) -> TransferCall {
        TransferCall::new(self, Task::Upload(source.into()), bucket, key)
    }

    /// A download to a file (by its path), to memory, or to a writer: see [`DownloadTarget`].
    pub fn download(&self, bucket: &str, key: &str, target: impl Into<DownloadTarget>) -> TransferCall {
        TransferCall::new(self, Task::Download(target.into()), bucket, key)
    }

    /// A download as a stream of bytes: see [`DownloadStream`].
    pub fn download_stream(&self, bucket: &str, key: &str) -> DownloadStream {
        DownloadStream::new(self, bucket, key)
    }

    /// A delete. Deleting an object that is not there succeeds.
    pub fn delete(&self, bucket: &str, key: &str) -> TransferCall {
        TransferCall::new(self, Task::Delete, bucket, key)
    }

    /// Transfers of this manager that have not ended.
    #[must_use]
    pub fn active(&self) -> usize {
        self.inner.registry.count()
    }

    /// The client that it was made with.
    #[must_use]
    pub fn client(&self) -> &S3Client {
        &self.inner.client
    }

    pub(crate) fn start(&self, call: TransferCall) -> Result<(TransferFuture, XferSystem), Error> {
        let TransferCall { task, bucket, key, args, subscribers, .. } = call;
        let inner = &self.inner;
        let closed = || Error::new(ErrorKind::ShutDown, "it takes no more transfers").in_object(&*bucket, &*key);
        if inner.registry.is_closed() {
            return Err(closed());
        }
        let serializer = &inner.serializer;
        let (call, fileobj) = match task {
            Task::Upload(source) => {
                let words = format!("{source:?}");
                (Call::upload_with(serializer, source, &bucket, &key, args, inner.os.as_ref())?, words)
            }
            Task::Download(target) => {
                let words = format!("{target:?}");
                (Call::download_with(serializer, &bucket, &key, target, args, &inner.os)?, words)
            }
            Task::Delete => (Call::delete(serializer, &bucket, &key, args)?, String::new()),
        };
        let system = inner.client.system()?;
        let meta = Arc::new(TransferMeta::new(Arc::clone(&call), fileobj));
        let audience = match subscribers.is_empty() {
            true => None,
            false => Some(Audience::new(inner.client.callbacks()?, Arc::clone(&meta), subscribers)),
        };
        let future = TransferFuture::new(meta, audience, Arc::downgrade(&inner.registry));
        if !inner.registry.enter(&future) {
            return Err(closed());
        }
        match system.submit(&call, &inner.tuning, future.observer()) {
            Ok(transfer) => {
                future.set_origin(system.clone(), &transfer);
                if inner.registry.is_cancelled() {
                    // The manager was shut down while this call started, and could not reach it yet.
                    future.cancel();
                }
                Ok((future, system))
            }
            Err(error) => {
                inner.registry.leave(call.id());
                Err(error)
            }
        }
    }

    /// Ends the manager: refuses new calls, and drains or cancels those that go on. Blocks until all have ended, subscribers included,
    /// or the plan's deadline has passed.
    ///
    /// # Errors
    /// [`WaitTimeout`](ErrorKind::WaitTimeout) when the deadline passed; never the error of a transfer, which its future has.
    /// [`WouldDeadlock`](ErrorKind::WouldDeadlock) in a subscriber, on one of xfer's threads, and on the only thread of a runtime that
    /// may have to run a source or target: there, use [`shutdown_async`](TransferManager::shutdown_async). The manager is closed then
    /// as well.
    pub fn shutdown(&self, plan: impl Into<ShutdownPlan>) -> Result<(), Error> {
        let plan = plan.into();
        let begun = Instant::now();
        self.close(plan);
        self.check_may_block()?;
        let registry = &self.inner.registry;
        blocking(|| {
            if registry.wait(first_deadline(plan, begun)) {
                return Ok(());
            }
            if plan.how == Shutdown::Cancel {
                return Err(self.give_up());
            }
            registry.cancel_all();
            Err(if registry.wait(Instant::now().checked_add(CLEAN_UP)) { overdue() } else { self.give_up() })
        })
    }

    /// As [`shutdown`](TransferManager::shutdown), for asynchronous code; on any executor.
    ///
    /// # Errors
    /// [`WaitTimeout`](ErrorKind::WaitTimeout) when the deadline passed; [`Internal`](ErrorKind::Internal) when the operating system gives
    /// no thread that waits for it. The manager is closed then as well.
    pub async fn shutdown_async(&self, plan: impl Into<ShutdownPlan>) -> Result<(), Error> {
        let plan = plan.into();
        let begun = Instant::now();
        self.close(plan);
        let registry = &self.inner.registry;
        if registry.wait_async(first_deadline(plan, begun)).await.map_err(no_thread)? {
            return Ok(());
        }
        if plan.how == Shutdown::Cancel {
            return Err(self.give_up());
        }
        registry.cancel_all();
        let ended = registry.wait_async(Instant::now().checked_add(CLEAN_UP)).await.map_err(no_thread)?;
        Err(if ended { overdue() } else { self.give_up() })
    }

    /// Nobody waits any longer for what was cancelled and has not ended; nor does the manager's end.
    fn give_up(&self) -> Error {
        self.inner.given_up.store(true, Ordering::Relaxed);
        let left = self.active();
        let message =
            format!("{left} transfers that were cancelled are still cleaning up; multipart uploads may be left behind");
        Error::new(ErrorKind::WaitTimeout, message)
    }

    fn close(&self, plan: ShutdownPlan) {
        let registry = &self.inner.registry;
        registry.close();
        if plan.how == Shutdown::Cancel {
            registry.cancel_all();
        }
    }

    fn check_may_block(&self) -> Result<(), Error> {
        let registry = &self.inner.registry;
        if registry.count() == 0 {
            return Ok(());
        }
        let current_thread =
            Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::CurrentThread);
        let runs_here = || registry.any(|future| future.meta().call().needs_callers_runtime());
        if in_callback() || on_lane() || (current_thread && runs_here()) {
            return Err(Error::new(ErrorKind::WouldDeadlock, "the manager is closed; wait for it elsewhere"));
        }
        Ok(())
    }
}

fn first_deadline(plan: ShutdownPlan, begun: Instant) -> Option<Instant> {
    let default = match plan.how {
        Shutdown::Drain => None,
        Shutdown::Cancel => Some(CLEAN_UP),
    };
    plan.deadline.or(default).and_then(|deadline| begun.checked_add(deadline))
}

fn no_thread(error: std::io::Error) -> Error {
    Error::internal(format!("no thread for the deadline: {error}")).with_source(error)
}

fn overdue() -> Error {
    Error::new(ErrorKind::WaitTimeout, "the deadline passed: what still went on was cancelled")
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.registry.close();
        self.registry.cancel_all();
        let given_up = *self.given_up.get_mut();
        if !given_up && Handle::try_current().is_err() && !in_callback() && !on_lane() {
            self.registry.wait(Instant::now().checked_add(FAREWELL));
        }
    }
}

impl fmt::Debug for TransferManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransferManager").field("client", &self.inner.client).field("active", &self.active()).finish()
    }
}

/// Makes a [`TransferManager`] whose transfers go by numbers, or by a view of the file system, of its own.
///
/// ```
/// use std::time::Duration;
/// use xfer_facade::{RequestSerializer, TransferConfig, TransferManager, create_s3_client};
/// # let client = create_s3_client("us-east-1").anonymous().build()?;
/// let config = TransferConfig::new().multipart_chunksize(64 << 20).progress_interval(Duration::from_secs(1));
/// let manager = TransferManager::builder(&client, RequestSerializer::for_client(&client)).config(config).build()?;
/// // Its parts have 64 MiB, those of other managers of this client 8 MiB.
/// assert_eq!(manager.client().part_size(), 8 << 20);
/// # Ok::<(), xfer_facade::Error>(())
/// ```
#[derive(Debug)]
#[must_use]
pub struct TransferManagerBuilder {
    client: S3Client,
    serializer: RequestSerializer,
    os: Arc<dyn OsUtils>,
    config: TransferConfig,
}

impl TransferManagerBuilder {
    fn new(client: S3Client, serializer: RequestSerializer) -> TransferManagerBuilder {
        TransferManagerBuilder { client, serializer, os: Arc::new(SystemFiles), config: TransferConfig::new() }
    }

    /// What is asked of the operating system about files: sizes, temporary names, renames, removals.
    pub fn os_utils(mut self, os: impl OsUtils) -> Self {
        self.os = Arc::new(os);
        self
    }

    /// Part size, threshold, concurrency and progress interval of this manager's transfers, in the place of the client's.
    pub fn config(mut self, config: TransferConfig) -> Self {
        self.config = config;
        self
    }

    /// The manager.
    ///
    /// # Errors
    /// [`InvalidConfig`](ErrorKind::InvalidConfig) for a number in the configuration that cannot be.
    pub fn build(mut self) -> Result<TransferManager, Error> {
        self.config.validate()?;
        if let Some(part_size) = &mut self.config.multipart_chunksize {
            *part_size = checked_part_size(*part_size).map_err(|error| error.as_kind(ErrorKind::InvalidConfig))?;
        }
        Ok(self.finish())
    }

    fn finish(self) -> TransferManager {
        let inner = Inner {
            client: self.client,
            serializer: self.serializer.into_inner(),
            os: self.os,
            tuning: Tuning {
                part_size: self.config.multipart_chunksize,
                multipart_threshold: self.config.multipart_threshold,
                max_requests: self.config.max_request_concurrency,
                progress_interval: self.config.progress_interval,
            },
            registry: Arc::default(),
            given_up: AtomicBool::new(false),
        };
        TransferManager { inner: Arc::new(inner) }
    }
}
