//! What a transfer tells of itself while it goes on.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::RwLock;
use xfer_actors::Call;
use xfer_core::args::{CallKind, ExtraArgs};
use xfer_core::id::TransferId;

/// Where a transfer is.
///
/// ```no_run
/// use xfer_facade::{TransferFuture, TransferStatus};
///
/// fn still_to_do(futures: &[TransferFuture]) -> usize {
///     let waits_or_goes_on = |status| matches!(status, TransferStatus::Queued | TransferStatus::Running);
///     futures.iter().filter(|future| waits_or_goes_on(future.meta().status())).count()
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransferStatus {
    /// Accepted, and nothing has been moved yet.
    Queued,
    /// Bytes have been moved.
    Running,
    /// Ended well.
    Succeeded,
    /// Ended with an error.
    Failed,
    /// Ended because it was cancelled.
    Cancelled,
}

const OPEN: u8 = 0;
const SUCCEEDED: u8 = 1;
const FAILED: u8 = 2;
const CANCELLED: u8 = 3;

/// The arguments of a call, as they were given.
///
/// ```
/// use xfer_facade::{CallKind, on_done_fn};
/// let log = on_done_fn(|meta, result| {
///     let args = meta.call_args();
///     if let (CallKind::Upload, Err(error)) = (args.kind, result) {
///         eprintln!("{} is not at s3://{}/{}: {error}", args.fileobj, args.bucket, args.key);
///     }
/// });
/// # let _ = log;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CallArgs {
    /// Which of the three calls.
    pub kind: CallKind,
    /// The bucket.
    pub bucket: Arc<str>,
    /// The key.
    pub key: Arc<str>,
    /// Source or target in words, such as `file /tmp/a`; empty for a delete.
    pub fileobj: String,
    /// The extra arguments.
    pub extra_args: ExtraArgs,
}

/// Things that subscribers of one transfer keep for each other, by name.
///
/// ```
/// use xfer_facade::UserContext;
/// let context = UserContext::default();
/// context.insert("started", 3_u32);
/// assert_eq!(context.get::<u32>("started"), Some(3));
/// assert_eq!(context.get::<String>("started"), None);
/// ```
#[derive(Default)]
pub struct UserContext(RwLock<Option<Box<Kept>>>);

type Kept = HashMap<String, Arc<dyn Any + Send + Sync>>;

// Values are copied and dropped outside of the lock: that is the caller's code, which may come back here.
impl UserContext {
    /// Keeps a value, replacing what had this name.
    pub fn insert<T: Any + Send + Sync>(&self, name: impl Into<String>, value: T) {
        let name = name.into();
        let replaced = self.0.write().get_or_insert_default().insert(name, Arc::new(value));
        drop(replaced);
    }

    /// A copy of the value of this name, if it is of this type.
    pub fn get<T: Any + Clone>(&self, name: &str) -> Option<T> {
        let value = Arc::clone(self.0.read().as_ref()?.get(name)?);
        value.downcast_ref::<T>().cloned()
    }

    /// Forgets the value of this name; whether there was one.
    pub fn remove(&self, name: &str) -> bool {
        let removed = self.0.write().as_mut().and_then(|kept| kept.remove(name));
        removed.is_some()
    }
}

impl fmt::Debug for UserContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.read().iter().flat_map(|kept| kept.keys())).finish()
    }
}

/// A transfer's own data: id, arguments, size, progress. Its future has it ([`TransferFuture::meta`](crate::TransferFuture::meta)), and
/// subscribers are given it.
///
/// ```
/// # use xfer_facade::{RequestSerializer, RetryPolicy, TransferManager, create_s3_client};
/// use xfer_facade::TransferMeta;
///
/// fn percent(meta: &TransferMeta) -> Option<u64> {
///     let size = meta.size()?; // not known yet of a download that the store has not answered
///     (meta.bytes_transferred() * 100).checked_div(size)
/// }
/// # let nobody = create_s3_client("us-east-1").endpoint_url("http://127.0.0.1:1").path_style(true).anonymous();
/// # let client = nobody.retry(RetryPolicy { max_attempts: 1, ..RetryPolicy::default() }).build()?;
/// # let manager = TransferManager::new(&client, RequestSerializer::for_client(&client));
/// let future = manager.upload(&b"hello"[..], "bucket", "greeting").start()?;
/// assert_eq!((future.meta().size(), &*future.meta().call_args().key), (Some(5), "greeting"));
/// # assert!(percent(future.meta()).is_some());
/// # Ok::<(), xfer_facade::Error>(())
/// ```
pub struct TransferMeta {
    call: Arc<Call>,
    args: OnceLock<Box<CallArgs>>,
    fileobj: Box<str>,
    user_context: UserContext,
    status: AtomicU8,
}

impl TransferMeta {
    pub(crate) fn new(call: Arc<Call>, fileobj: String) -> TransferMeta {
        TransferMeta {
            call,
            args: OnceLock::new(),
            fileobj: fileobj.into_boxed_str(),
            user_context: UserContext::default(),
            status: AtomicU8::new(OPEN),
        }
    }

    /// The transfer's id, unique in this process.
    #[must_use]
    pub fn transfer_id(&self) -> TransferId {
        self.call.id()
    }

    /// The call's arguments.
    #[must_use]
    pub fn call_args(&self) -> &CallArgs {
        self.args.get_or_init(|| {
            Box::new(CallArgs {
                kind: self.call.kind(),
                bucket: Arc::clone(self.call.bucket()),
                key: Arc::clone(self.call.key()),
                fileobj: self.fileobj.to_string(),
                extra_args: self.call.args().clone(),
            })
        })
    }

    /// Size of what is transferred, in bytes: of a download once the store has told it, of a reader if it was announced.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.call.size()
    }

    /// Bytes moved so far. Grows only; a part that is sent twice counts once; equals the size when a transfer has succeeded.
    #[must_use]
    pub fn bytes_transferred(&self) -> u64 {
        self.call.bytes_transferred()
    }

    /// Where the transfer is.
    #[must_use]
    pub fn status(&self) -> TransferStatus {
        match self.status.load(Ordering::Acquire) {
            SUCCEEDED => TransferStatus::Succeeded,
            FAILED => TransferStatus::Failed,
            CANCELLED => TransferStatus::Cancelled,
            _ if self.bytes_transferred() > 0 => TransferStatus::Running,
            _ => TransferStatus::Queued,
        }
    }

    /// What subscribers keep for each other.
    #[must_use]
    pub fn user_context(&self) -> &UserContext {
        &self.user_context
    }

    pub(crate) fn call(&self) -> &Arc<Call> {
        &self.call
    }

    pub(crate) fn set_ended(&self, result: &Result<crate::TransferOutcome, crate::Error>) {
        let status = match result {
            Ok(_) => SUCCEEDED,
            Err(error) if error.kind() == crate::ErrorKind::Cancelled => CANCELLED,
            Err(_) => FAILED,
        };
        self.status.store(status, Ordering::Release);
    }
}

impl fmt::Debug for TransferMeta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransferMeta")
            .field("call", &self.call)
            .field("status", &self.status())
            .field("bytes_transferred", &self.bytes_transferred())
            .field("size", &self.size())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Uses the context that it lies in when it is copied and when it is dropped.
    struct Comes(Arc<UserContext>);

    impl Clone for Comes {
        fn clone(&self) -> Comes {
            self.0.insert("copied", true);
            Comes(Arc::clone(&self.0))
        }
    }

    impl Drop for Comes {
        fn drop(&mut self) {
            self.0.insert("dropped", self.0.get::<u32>("dropped").unwrap_or_default() + 1);
        }
    }

    #[test]
    fn values_may_use_the_context_that_they_lie_in() {
        let context = Arc::new(UserContext::default());
        let dropped = || context.get::<u32>("dropped");
        context.insert("value", Comes(Arc::clone(&context)));
        drop(context.get::<Comes>("value"));
        assert_eq!((context.get("copied"), dropped()), (Some(true), Some(1)));
        context.insert("value", Comes(Arc::clone(&context)));
        assert_eq!(dropped(), Some(2));
        assert!(context.remove("value") && !context.remove("value"));
        assert_eq!(dropped(), Some(3));
    }
}
