//! Who wants to be told of a transfer's life.

use std::sync::Arc;

use crate::{Error, TransferMeta, TransferOutcome};

/// Is told of a transfer's life. All methods do nothing by default.
///
/// They are called one at a time for each transfer, in the order queued, progress, done: [`on_queued`](Subscriber::on_queued) on the thread that
/// starts the transfer, the others on threads for callbacks. A method may block or panic without harm to any other transfer. Those threads
/// are in no asynchronous runtime: who wants to spawn a task there brings a handle of his own runtime along.
///
/// [`on_done`](Subscriber::on_done) comes when a downloaded file has its name, and before the future resolves, so asking that future for its
/// result in here is answered with [`WouldDeadlock`](crate::ErrorKind::WouldDeadlock).
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

macro_rules! passes_on {
    ($pointer:ident) => {
        impl<S: Subscriber + ?Sized> Subscriber for $pointer<S> {
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
    };
}

// One for several transfers, and one whose type is only known when the program runs.
passes_on!(Arc);
passes_on!(Box);

/// What can be heard on [`TransferFuture::events`](crate::TransferFuture::events).
///
/// ```
/// use xfer_facade::{Error, ErrorKind, TransferEvent};
///
/// fn line(event: &TransferEvent, size: u64) -> String {
///     match event {
///         TransferEvent::Progress { bytes, total } => format!("+{bytes}, {total} of {size} bytes"),
///         TransferEvent::Done(Ok(outcome)) => format!("{} requests in {:?}", outcome.attempts, outcome.elapsed),
///         TransferEvent::Done(Err(error)) => error.to_string(),
///         _ => String::new(),
///     }
/// }
/// assert_eq!(line(&TransferEvent::Progress { bytes: 8, total: 24 }, 80), "+8, 24 of 80 bytes");
/// # assert!(line(&TransferEvent::Done(Err(Error::new(ErrorKind::Cancelled, ""))), 0).contains("cancelled"));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TransferEvent {
    /// Bytes were moved.
    Progress {
        /// Bytes since the last event of this kind.
        bytes: u64,
        /// Bytes since the start.
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

/// A subscriber of one closure, called when the transfer is accepted, on the thread that starts it.
///
/// ```
/// use std::time::Instant;
/// // What another subscriber of the transfer may look up when it is done.
/// let subscriber = xfer_facade::on_queued_fn(|meta| meta.user_context().insert("queued", Instant::now()));
/// # let _ = subscriber;
/// ```
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

/// A subscriber of one closure, called when the transfer has ended: for an upload after the store has it, for a download when the file has its
/// name, and before the future resolves.
///
/// ```
/// use std::sync::mpsc;
/// let (sender, ended) = mpsc::channel();
/// let subscriber = xfer_facade::on_done_fn(move |meta, result| {
///     let failed = result.as_ref().err().map(|error| error.kind());
///     // Nobody listens any more when the receiver is gone.
///     let _ = sender.send((meta.transfer_id(), failed));
/// });
/// # let _ = (subscriber, ended);
/// ```
pub fn on_done_fn(
    call: impl Fn(&TransferMeta, &Result<TransferOutcome, Error>) + Send + Sync + 'static,
) -> impl Subscriber {
    OnDone(call)
}
