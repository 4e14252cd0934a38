//! Who wants to be told of a transfer's life.

use std::sync::Arc;

use crate::{Error, TransferMeta, TransferOutcome};

/// Is told of a transfer's life. All methods do nothing by default.
///
/// They are called from threads for callbacks, one call at a time for each transfer, in the order queued, progress, done; a method may
/// block or panic without harm to any other transfer. [`on_done`](Subscriber::on_done) comes when a downloaded file has its name, and
/// before the future resolves, so asking that future for its result in here is answered with
/// [`WouldDeadlock`](crate::ErrorKind::WouldDeadlock).
///
/// ```
/// use xfer_facade::{Error, Subscriber, TransferMeta, TransferOutcome};
///
/// struct Log;
///
/// impl Subscriber for Log {
///     fn on_done(&self, meta: &TransferMeta, result: &Result<TransferOutcome, Error>) {
///         let key = &meta.call_args().key;
///         match result {
///             Ok(outcome) => eprintln!("{key}: {} bytes", outcome.bytes),
///             Err(error) => eprintln!("{key}: {error}"),
///         }
///     }
/// }
/// ```
pub trait Subscriber: Send + Sync + 'static {
    /// The transfer was accepted. Called on the thread that starts it.
    fn on_queued(&self, meta: &TransferMeta) {
        let _ = meta;
    }

    /// `bytes` more were moved since the last call: at most every 100 ms unless configured otherwise. Over a transfer that succeeds they
    /// add up to its size; they are never negative, and never told twice when something is repeated.
    fn on_progress(&self, meta: &TransferMeta, bytes: u64) {
        let _ = (meta, bytes);
    }

    /// The transfer has ended.
    fn on_done(&self, meta: &TransferMeta, result: &Result<TransferOutcome, Error>) {
        let _ = (meta, result);
    }
}

impl<S: Subscriber + ?Sized> Subscriber for Arc<S> {
    fn on_queued(&self, meta: &TransferMeta) {
        (**self).on_queued(meta);
    }

    fn on_progress(&self, meta: &TransferMeta, bytes: u64) {
        (**self).on_progress(meta, bytes);
    }

    fn on_done(&self, meta: &TransferMeta, result: &Result<TransferOutcome, Error>) {
        (**self).on_done(meta, result);
    }
}

/// What can be heard on [`TransferFuture::events`](crate::TransferFuture::events).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TransferEvent {
    /// Bytes were moved.
    Progress {
        /// Since the last event of this kind.
        bytes: u64,
        /// Since the start.
        total: u64,
    },
    /// It has ended: the last event.
    Done(Result<TransferOutcome, Error>),
}

struct OnQueued<F>(F);

impl<F: Fn(&TransferMeta) + Send + Sync + 'static> Subscriber for OnQueued<F> {
    fn on_queued(&self, meta: &TransferMeta) {
        (self.0)(meta);
    }
}

/// A subscriber of one closure, called when the transfer is accepted.
pub fn on_queued_fn(call: impl Fn(&TransferMeta) + Send + Sync + 'static) -> impl Subscriber {
    OnQueued(call)
}

struct OnProgress<F>(F);

impl<F: Fn(&TransferMeta, u64) + Send + Sync + 'static> Subscriber for OnProgress<F> {
    fn on_progress(&self, meta: &TransferMeta, bytes: u64) {
        (self.0)(meta, bytes);
    }
}

/// A subscriber of one closure, called with the bytes moved since its last call.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use std::sync::Arc;
/// let total = Arc::new(AtomicU64::new(0));
/// let seen = Arc::clone(&total);
/// let subscriber = xfer_facade::on_progress_fn(move |_meta, bytes| {
///     seen.fetch_add(bytes, Ordering::Relaxed);
/// });
/// # let _ = subscriber;
/// ```
pub fn on_progress_fn(call: impl Fn(&TransferMeta, u64) + Send + Sync + 'static) -> impl Subscriber {
    OnProgress(call)
}

struct OnDone<F>(F);

impl<F: Fn(&TransferMeta, &Result<TransferOutcome, Error>) + Send + Sync + 'static> Subscriber for OnDone<F> {
    fn on_done(&self, meta: &TransferMeta, result: &Result<TransferOutcome, Error>) {
        (self.0)(meta, result);
    }
}

/// A subscriber of one closure, called when the transfer has ended.
pub fn on_done_fn(
    call: impl Fn(&TransferMeta, &Result<TransferOutcome, Error>) + Send + Sync + 'static,
) -> impl Subscriber {
    OnDone(call)
}
