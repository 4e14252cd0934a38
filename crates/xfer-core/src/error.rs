//! The one public error of xfer, and the retry class of each of its kinds.
//!
//! Decides: which failure is which [`ErrorKind`], and by [`ErrorKind::retry_class`] what may be done about it.
//! Never holds a secret: constructors take plain texts, places and service answers; no header, signed URL or key goes in.
//! Invariant: every kind has exactly one retry class.

mod plain;
mod words;

use std::error::Error as StdError;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use crate::id::PartNumber;
use plain::Plain;

/// What went wrong, in the words of the person who has to act on it.
///
/// ```
/// use xfer_core::error::{ErrorKind, RetryClass};
/// /// Whether the caller may try again later with the same call.
/// fn later(kind: ErrorKind) -> bool {
///     matches!(kind.retry_class(), RetryClass::Transient | RetryClass::Throttling | RetryClass::Server)
/// }
/// assert!(later(ErrorKind::ServiceUnavailable));
/// assert!(!later(ErrorKind::AccessDenied));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument of the call is not acceptable; nothing was sent.
    InvalidArgument,
    /// The client or manager cannot be built as asked.
    InvalidConfig,
    /// The file or reader to upload cannot be opened.
    SourceUnavailable,
    /// Reading the source failed.
    SourceRead,
    /// The source became shorter or longer, or was modified, while it was uploaded.
    SourceChanged,
    /// The target cannot be created: missing or read-only directory, a directory in its place.
    TargetUnavailable,
    /// Writing to the target failed.
    TargetWrite,
    /// The target's disk is full, or its quota is used up.
    DiskFull,
    /// No credentials were found, or their provider failed.
    Credentials,
    /// The host name cannot be resolved.
    Dns,
    /// No connection could be made.
    Connect,
    /// This process, or the machine, has as many files and connections open as it may: the limit is `RLIMIT_NOFILE` of the process, which
    /// `ulimit -n` shows, or that of the system.
    TooManyOpenFiles,
    /// TLS failed: an unknown certificate, a wrong name, no common version.
    Tls,
    /// A deadline of one request passed: no connection, no first byte, no progress.
    RequestTimeout,
    /// The connection broke in the middle of a request.
    ConnectionLost,
    /// The peer does not speak HTTP or S3 as it must.
    Protocol,
    /// The object does not exist (404 on a key).
    NoSuchKey,
    /// The bucket does not exist.
    NoSuchBucket,
    /// The multipart upload does not exist any more.
    NoSuchUpload,
    /// The credentials are unknown, wrong, or not allowed to do this (401, 403).
    AccessDenied,
    /// The session token has expired; it is fetched anew and the request repeated.
    ExpiredCredentials,
    /// The bucket lives in another region.
    WrongRegion,
    /// A condition of the call was not met (412, 304).
    PreconditionFailed,
    /// The object was replaced while it was downloaded.
    ObjectModified,
    /// The requested range is not in the object (416).
    InvalidRange,
    /// The store asks to slow down (503 SlowDown, 429).
    Throttled,
    /// The store failed (other 5xx, or an error inside a 200 that it calls retryable).
    ServiceUnavailable,
    /// The clocks of this machine and the store are too far apart.
    ClockSkew,
    /// The store does not take checksums in trailers, or not of this algorithm.
    ChecksumUnsupported,
    /// The store refused the request for another reason (other 4xx).
    Rejected,
    /// The bytes sent or received do not have the checksum they must have.
    ChecksumMismatch,
    /// The object needs more parts, bytes or memory than there may be.
    TooLarge,
    /// The transfer was cancelled.
    Cancelled,
    /// The manager is shut down, or was dropped with the transfer still going.
    ShutDown,
    /// The time that the caller was ready to wait is over; the transfer goes on.
    WaitTimeout,
    /// Waiting here would block the thread that has to do the work.
    WouldDeadlock,
    /// A defect in xfer, or in code that it called: a panic, a vanished actor.
    Internal,
}

/// What may be done about a failed attempt.
///
/// ```
/// use xfer_core::error::{ErrorKind, RetryClass};
/// assert_eq!(ErrorKind::Throttled.retry_class(), RetryClass::Throttling);
/// assert_eq!(ErrorKind::NoSuchKey.retry_class(), RetryClass::Never);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RetryClass {
    /// Nothing: the transfer fails.
    Never,
    /// Try again after a pause: network trouble.
    Transient,
    /// Try again after a longer pause, and count it as pressure: the store asks for less, or this machine has no more to give.
    Throttling,
    /// Try again after a pause: the store is in trouble.
    Server,
    /// Fetch credentials anew, then try again at once.
    RefreshCredentials,
    /// Learn the right region, then try again at once.
    FollowRegion,
    /// Send the checksum in another way, then try again at once.
    ChangeChecksum,
    /// Learn the store's time, then try again at once.
    CorrectClock,
}

impl ErrorKind {
    /// All kinds, for tables and tests.
    pub const ALL: &'static [ErrorKind] = &[
        ErrorKind::InvalidArgument,
        ErrorKind::InvalidConfig,
        ErrorKind::SourceUnavailable,
        ErrorKind::SourceRead,
        ErrorKind::SourceChanged,
        ErrorKind::TargetUnavailable,
        ErrorKind::TargetWrite,
        ErrorKind::DiskFull,
        ErrorKind::Credentials,
        ErrorKind::Dns,
        ErrorKind::Connect,
        ErrorKind::TooManyOpenFiles,
        ErrorKind::Tls,
        ErrorKind::RequestTimeout,
        ErrorKind::ConnectionLost,
        ErrorKind::Protocol,
        ErrorKind::NoSuchKey,
        ErrorKind::NoSuchBucket,
        ErrorKind::NoSuchUpload,
        ErrorKind::AccessDenied,
        ErrorKind::ExpiredCredentials,
        ErrorKind::WrongRegion,
        ErrorKind::PreconditionFailed,
        ErrorKind::ObjectModified,
        ErrorKind::InvalidRange,
        ErrorKind::Throttled,
        ErrorKind::ServiceUnavailable,
        ErrorKind::ClockSkew,
        ErrorKind::ChecksumUnsupported,
        ErrorKind::Rejected,
        ErrorKind::ChecksumMismatch,
        ErrorKind::TooLarge,
        ErrorKind::Cancelled,
        ErrorKind::ShutDown,
        ErrorKind::WaitTimeout,
        ErrorKind::WouldDeadlock,
        ErrorKind::Internal,
    ];

    /// What may be done about an attempt that failed in this way.
    #[must_use]
    pub fn retry_class(self) -> RetryClass {
        use ErrorKind as K;
        match self {
            K::Dns | K::Connect | K::RequestTimeout | K::ConnectionLost | K::Protocol | K::Internal => {
                RetryClass::Transient
            }
            // The bytes that a store got wrong are sent again, those that came wrong are fetched again: an attempt each.
            K::ChecksumMismatch => RetryClass::Transient,
            // Fewer requests at once have fewer connections and files open.
            K::Throttled | K::TooManyOpenFiles => RetryClass::Throttling,
            K::ServiceUnavailable => RetryClass::Server,
            K::ExpiredCredentials => RetryClass::RefreshCredentials,
            K::WrongRegion => RetryClass::FollowRegion,
            K::ChecksumUnsupported => RetryClass::ChangeChecksum,
            K::ClockSkew => RetryClass::CorrectClock,
            K::InvalidArgument
            | K::InvalidConfig
            | K::SourceUnavailable
            | K::SourceRead
            | K::SourceChanged
            | K::TargetUnavailable
            | K::TargetWrite
            | K::DiskFull
            | K::Credentials
            | K::Tls
            | K::NoSuchKey
            | K::NoSuchBucket
            | K::NoSuchUpload
            | K::AccessDenied
            | K::PreconditionFailed
            | K::ObjectModified
            | K::InvalidRange
            | K::Rejected
            | K::TooLarge
            | K::Cancelled
            | K::ShutDown
            | K::WaitTimeout
            | K::WouldDeadlock => RetryClass::Never,
        }
    }
}

/// Where it went wrong: as much as is known.
///
/// ```
/// use xfer_core::error::{Error, ErrorKind};
/// let error = Error::new(ErrorKind::ConnectionLost, "").in_object("photos", "1.jpg").in_operation("GetObject");
/// assert_eq!(error.at().operation, Some("GetObject"));
/// assert_eq!(error.at().key.as_deref(), Some("1.jpg"));
/// assert_eq!(error.at().part, None);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The S3 operation, by its API name, such as `UploadPart`.
    pub operation: Option<&'static str>,
    /// The bucket as the caller named it.
    pub bucket: Option<Arc<str>>,
    /// The key.
    pub key: Option<Arc<str>>,
    /// The part.
    pub part: Option<PartNumber>,
    /// The file on this machine.
    pub path: Option<std::path::PathBuf>,
}

/// What the store answered.
///
/// ```
/// use xfer_core::error::{Error, ErrorKind, ServiceAnswer};
/// let answer = ServiceAnswer { status: 403, code: "AccessDenied".to_owned(), ..ServiceAnswer::default() };
/// let error = Error::new(ErrorKind::AccessDenied, "").with_service(answer);
/// assert_eq!(error.service().map(|answer| answer.status), Some(403));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceAnswer {
    /// HTTP status.
    pub status: u16,
    /// The error code of the XML body, or the status' digits when there is none.
    pub code: String,
    /// The message of the XML body.
    pub message: String,
    /// `x-amz-request-id`.
    pub request_id: Option<String>,
    /// `x-amz-id-2`.
    pub extended_request_id: Option<String>,
    /// `x-amz-bucket-region`, or the region that the body names.
    pub region: Option<String>,
    /// How long the store asks to wait before the request is made again: `Retry-After`, of a 429 or a 5xx.
    pub retry_after: Option<std::time::Duration>,
}

/// Why a transfer, or a call, failed. Cheap to clone: a result can be asked for many times.
///
/// ```
/// use xfer_core::error::{Error, ErrorKind};
/// let error = Error::new(ErrorKind::InvalidArgument, "the key is empty").in_object("photos", "");
/// assert_eq!(error.kind(), ErrorKind::InvalidArgument);
/// assert_eq!(error.to_string(), "invalid argument: the key is empty (s3://photos/)");
/// ```
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    at: Place,
    service: Option<ServiceAnswer>,
    attempts: u32,
    left_behind: Option<Arc<str>>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind`; `message` says what exactly, without a full stop, and holds no secret.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error(Arc::new(Inner {
            kind,
            message: message.into(),
            at: Place::default(),
            service: None,
            attempts: 0,
            left_behind: None,
            source: None,
        }))
    }

    /// A defect of ours that was noticed: never a reason to crash the host program.
    #[must_use]
    pub fn internal(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Internal, message)
    }

    fn edit(mut self, change: impl FnOnce(&mut Inner)) -> Error {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// The same error with the object that it is about.
    #[must_use]
    pub fn in_object(self, bucket: impl Into<Arc<str>>, key: impl Into<Arc<str>>) -> Error {
        self.edit(|e| {
            e.at.bucket = Some(bucket.into());
            e.at.key = Some(key.into());
        })
    }

    /// The same error with the S3 operation that failed.
    #[must_use]
    pub fn in_operation(self, operation: &'static str) -> Error {
        self.edit(|e| e.at.operation = Some(operation))
    }

    /// The same error with the part that failed.
    #[must_use]
    pub fn in_part(self, part: PartNumber) -> Error {
        self.edit(|e| e.at.part = Some(part))
    }

    /// The same error with the file that it is about.
    #[must_use]
    pub fn in_file(self, path: impl Into<std::path::PathBuf>) -> Error {
        self.edit(|e| e.at.path = Some(path.into()))
    }

    /// The same error with what the store answered.
    #[must_use]
    pub fn with_service(self, answer: ServiceAnswer) -> Error {
        self.edit(|e| e.service = Some(answer))
    }

    /// The same error with the error beneath it.
    #[must_use]
    pub fn with_source(self, source: impl StdError + Send + Sync + 'static) -> Error {
        self.edit(|e| e.source = Some(Arc::new(source)))
    }

    /// The same error with the number of attempts that were made.
    #[must_use]
    pub fn after_attempts(self, attempts: u32) -> Error {
        self.edit(|e| e.attempts = attempts)
    }

    /// The same error with the ID of the multipart upload that could not be removed.
    #[must_use]
    pub fn with_left_behind(self, upload_id: impl Into<Arc<str>>) -> Error {
        self.edit(|e| e.left_behind = Some(upload_id.into()))
    }

    /// The same error as another kind: for one who knows more than the place where it arose.
    #[must_use]
    pub fn as_kind(self, kind: ErrorKind) -> Error {
        self.edit(|e| e.kind = kind)
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What exactly, in words.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Where.
    #[must_use]
    pub fn at(&self) -> &Place {
        &self.0.at
    }

    /// What the store answered, if it was the store.
    #[must_use]
    pub fn service(&self) -> Option<&ServiceAnswer> {
        self.0.service.as_ref()
    }

    /// How many attempts were made before it was given up; 0 when none was.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// The ID of the transfer's multipart upload, if that could not be removed from the store: its parts are kept, and paid for, until
    /// somebody aborts it, or a lifecycle rule of the bucket does.
    #[must_use]
    pub fn left_behind(&self) -> Option<&str> {
        self.0.left_behind.as_deref()
    }

    /// What may be done about it.
    #[must_use]
    pub fn retry_class(&self) -> RetryClass {
        self.0.kind.retry_class()
    }
}

/// On one line: the kind, what exactly, what the store said, where, and what may help.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let e = &*self.0;
        let mut out = Plain(f);
        out.write_str(e.kind.summary())?;
        if !e.message.is_empty() {
            write!(out, ": {}", e.message)?;
        }
        if let Some(answer) = &e.service {
            write!(out, " [HTTP {}", answer.status)?;
            if !answer.code.is_empty() && answer.code != answer.status.to_string() {
                write!(out, " {}", answer.code)?;
            }
            if !answer.message.is_empty() {
                write!(out, ": {}", answer.message)?;
            }
            if let (ErrorKind::WrongRegion, Some(region)) = (e.kind, &answer.region) {
                write!(out, "; region {region}")?;
            }
            if let Some(id) = &answer.request_id {
                write!(out, "; request id {id}")?;
            }
            out.write_str("]")?;
        }
        let mut places = Vec::new();
        places.extend(e.at.operation.map(str::to_owned));
        if let (Some(bucket), Some(key)) = (&e.at.bucket, &e.at.key) {
            places.push(format!("s3://{bucket}/{key}"));
        }
        places.extend(e.at.part.map(|part| format!("part {part}")));
        places.extend(e.at.path.as_ref().map(|path| path.display().to_string()));
        if e.attempts > 1 {
            places.push(format!("after {} attempts", e.attempts));
        }
        if !places.is_empty() {
            write!(out, " ({})", places.join(", "))?;
        }
        if let Some(upload_id) = &e.left_behind {
            write!(out, "; its multipart upload {upload_id} could not be removed and is left behind")?;
        }
        if let Some(advice) = e.kind.advice() {
            write!(out, "; {advice}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error {{ kind: {:?}, {self} }}", self.0.kind)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

/// For whoever reads or writes through [`std::io`]; the error itself is inside.
///
/// ```
/// use std::io;
/// use xfer_core::error::{Error, ErrorKind};
/// let error = io::Error::from(Error::new(ErrorKind::NoSuchKey, ""));
/// assert_eq!(error.kind(), io::ErrorKind::NotFound);
/// assert!(error.get_ref().is_some_and(|inner| inner.is::<Error>()));
/// ```
impl From<Error> for std::io::Error {
    fn from(error: Error) -> std::io::Error {
        use std::io::ErrorKind as Io;
        let kind = match error.kind() {
            ErrorKind::NoSuchKey | ErrorKind::NoSuchBucket | ErrorKind::NoSuchUpload => Io::NotFound,
            ErrorKind::AccessDenied | ErrorKind::Credentials | ErrorKind::ExpiredCredentials => Io::PermissionDenied,
            ErrorKind::InvalidArgument | ErrorKind::InvalidConfig | ErrorKind::InvalidRange => Io::InvalidInput,
            ErrorKind::RequestTimeout | ErrorKind::WaitTimeout => Io::TimedOut,
            ErrorKind::ConnectionLost => Io::ConnectionReset,
            ErrorKind::Connect | ErrorKind::Dns => Io::NotConnected,
            ErrorKind::DiskFull => Io::StorageFull,
            ErrorKind::ChecksumMismatch | ErrorKind::Protocol => Io::InvalidData,
            _ => Io::Other,
        };
        std::io::Error::new(kind, error)
    }
}

#[cfg(test)]
mod tests;
