//! The three calls, before they are started.

use std::future::{Future, IntoFuture};
use std::pin::Pin;

use xfer_actors::{DownloadTarget, UploadSource};
use xfer_core::args::ExtraArgs;

use crate::{Error, Subscriber, TransferFuture, TransferManager, TransferOutcome};

/// What is to be done.
pub(crate) enum Task {
    Upload(UploadSource),
    Download(DownloadTarget),
    Delete,
}

/// An upload, download or delete that is not started yet: add arguments and subscribers, then [`start`](TransferCall::start) it, or
/// `.await` it to start it and wait for its end.
///
/// ```no_run
/// # use xfer_facade::{ExtraArgs, TransferManager, on_progress_fn};
/// # async fn example(manager: TransferManager) -> Result<(), xfer_facade::Error> {
/// let args = ExtraArgs::new().content_type("video/mp4").storage_class("STANDARD_IA");
/// let outcome = manager
///     .upload("film.mp4", "bucket", "films/1.mp4")
///     .extra_args(args)
///     .subscriber(on_progress_fn(|meta, bytes| println!("{} +{bytes}", meta.call_args().key)))
///     .await?;
/// # let _ = outcome;
/// # Ok(())
/// # }
/// ```
#[must_use = "a call does nothing until it is started or awaited"]
pub struct TransferCall {
    pub(crate) manager: TransferManager,
    pub(crate) task: Task,
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) args: ExtraArgs,
    pub(crate) subscribers: Vec<Box<dyn Subscriber>>,
}

impl TransferCall {
    pub(crate) fn new(manager: &TransferManager, task: Task, bucket: &str, key: &str) -> TransferCall {
        TransferCall {
            manager: manager.clone(),
            task,
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            args: ExtraArgs::new(),
            subscribers: Vec::new(),
        }
    }

    /// Arguments of the S3 operations, in the place of those given before.
    pub fn extra_args(mut self, args: ExtraArgs) -> TransferCall {
        self.args = args;
        self
    }

    /// Somebody more to be told of the transfer's life; in the order in which they are added.
    pub fn subscriber(mut self, subscriber: impl Subscriber) -> TransferCall {
        self.subscribers.push(Box::new(subscriber));
        self
    }

    /// Starts the transfer.
    ///
    /// # Errors
    /// What can be seen at once is told at once: [`InvalidArgument`](crate::ErrorKind::InvalidArgument),
    /// [`SourceUnavailable`](crate::ErrorKind::SourceUnavailable), [`TargetUnavailable`](crate::ErrorKind::TargetUnavailable),
    /// [`TooLarge`](crate::ErrorKind::TooLarge) for a source that no object can hold, [`ShutDown`](crate::ErrorKind::ShutDown), and
    /// [`Internal`](crate::ErrorKind::Internal) when the operating system gives no threads. Nothing was sent then, and no subscriber is told
    /// anything.
    pub fn start(self) -> Result<TransferFuture, Error> {
        let manager = self.manager.clone();
        manager.start(self).map(|(future, _)| future)
    }
}

impl IntoFuture for TransferCall {
    type Output = Result<TransferOutcome, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.start()?.await })
    }
}

impl std::fmt::Debug for TransferCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let task = match &self.task {
            Task::Upload(source) => format!("upload of {source:?} to"),
            Task::Download(target) => format!("download to {target:?} of"),
            Task::Delete => "delete of".to_owned(),
        };
        write!(f, "{task} s3://{}/{}", self.bucket.escape_debug(), self.key.escape_debug())
    }
}
