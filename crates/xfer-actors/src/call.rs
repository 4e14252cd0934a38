//! What all requests of one transfer share: the object, its arguments, the source or target, and how to stop.
//!
//! Invariants: of "stop" and "make it final" exactly one wins ([`Phase`]), so that a cancel that says `true` has an outcome that says
//! so; bytes are counted once, whatever is repeated ([`Meter`]).
//!
//! Of waiting transfers there may be a million: what is needed only under way is made only then.

use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use xfer_core::args::{self, CallKind, ChecksumChoice, ExtraArgs};
use xfer_core::checksum::{Algorithm, ChecksumKind};
use xfer_core::error::Error;
use xfer_core::id::{PartNumber, TransferId};
use xfer_core::job::ObjectFacts;
use xfer_core::upload::UploadChecksum;
use xfer_serializer::RequestSerializer;

use crate::os::{OsUtils, SystemFiles};
use crate::source::{Source, UploadSource};
use crate::target::{DownloadTarget, Target};

mod cut;
mod meter;

use cut::Cut;
pub(crate) use meter::{JobProgress, Meter, Resume};

static NEXT_TRANSFER: AtomicU64 = AtomicU64::new(1);

/// One upload, download or delete as its requests see it. Made by [`Call::upload`], [`Call::download`] and [`Call::delete`], which
/// check everything that can be checked at once.
///
/// ```
/// use std::sync::Arc;
/// use xfer_actors::{Call, DownloadTarget, EndpointConfig, ErrorKind, ExtraArgs, RequestSerializer};
///
/// let serializer = Arc::new(RequestSerializer::builder(EndpointConfig::new("eu-central-1")).build()?);
/// let call = Call::upload(&serializer, &b"hello"[..], "my-bucket", "greeting", ExtraArgs::new())?;
/// assert_eq!((call.size(), call.bytes_transferred()), (Some(5), 0)); // in bytes
/// // What cannot be is refused before anything is sent.
/// let refused = Call::download(&serializer, "my-bucket", "", DownloadTarget::memory(), ExtraArgs::new());
/// assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidArgument);
/// # Ok::<(), xfer_actors::Error>(())
/// ```
pub struct Call {
    id: TransferId,
    kind: CallKind,
    bucket: Arc<str>,
    key: Arc<str>,
    args: ExtraArgs,
    serializer: Arc<RequestSerializer>,
    needs_runtime: bool,
    pub(crate) source: Option<Box<Source>>,
    pub(crate) target: Option<Box<Target>>,
    pub(crate) checksum: UploadChecksum,
    pub(crate) cut: Cut,
    pub(crate) phase: Phase,
    pub(crate) meter: Meter,
    /// HTTP requests begun, all tries counted.
    pub(crate) requests: AtomicU32,
    /// When the first of them was begun.
    pub(crate) begun: OnceLock<Instant>,
    /// What discovery found, for the attempts after it.
    discovered: OnceLock<Arc<ObjectFacts>>,
    /// The algorithm that every landed range is checked by, chosen at discovery: index into `Algorithm::ALL` plus one, 0 for none.
    landing: AtomicU8,
}

impl Call {
    /// An upload of `source` to `bucket` and `key`.
    ///
    /// # Errors
    /// [`InvalidArgument`](xfer_core::error::ErrorKind::InvalidArgument) for arguments that cannot be,
    /// [`SourceUnavailable`](xfer_core::error::ErrorKind::SourceUnavailable) for a file that is not there.
    pub fn upload(
        serializer: &Arc<RequestSerializer>,
        source: impl Into<UploadSource>,
        bucket: &str,
        key: &str,
        args: ExtraArgs,
    ) -> Result<Arc<Call>, Error> {
        Call::upload_with(serializer, source, bucket, key, args, &SystemFiles)
    }

    /// As [`upload`](Call::upload), with another view of the file system.
    ///
    /// # Errors
    /// As [`upload`](Call::upload).
    pub fn upload_with(
        serializer: &Arc<RequestSerializer>,
        source: impl Into<UploadSource>,
        bucket: &str,
        key: &str,
        args: ExtraArgs,
        os: &dyn OsUtils,
    ) -> Result<Arc<Call>, Error> {
        args::validate(CallKind::Upload, bucket, key, &args)?;
        let by_default = serializer.endpoint().upload_checksums;
        let checksum = upload_checksum(&args, by_default).map_err(|error| error.in_object(bucket, key))?;
        let source = source.into();
        let needs_runtime = source.is_async();
        let source = source.prepare(os).map_err(|error| error.in_object(bucket, key))?;
        let mut call = Call::new(CallKind::Upload, serializer, bucket, key, args);
        call.needs_runtime = needs_runtime;
        call.source = Some(Box::new(source));
        call.checksum = checksum;
        Ok(Arc::new(call))
    }

    /// A download of `bucket` and `key` into `target`.
    ///
    /// # Errors
    /// [`InvalidArgument`](xfer_core::error::ErrorKind::InvalidArgument) for arguments that cannot be,
    /// [`TargetUnavailable`](xfer_core::error::ErrorKind::TargetUnavailable) for a directory that is not there.
    pub fn download(
        serializer: &Arc<RequestSerializer>,
        bucket: &str,
        key: &str,
        target: impl Into<DownloadTarget>,
        args: ExtraArgs,
    ) -> Result<Arc<Call>, Error> {
        let os: Arc<dyn OsUtils> = Arc::new(SystemFiles);
        Call::download_with(serializer, bucket, key, target, args, &os)
    }

    /// As [`download`](Call::download), with another view of the file system.
    ///
    /// # Errors
    /// As [`download`](Call::download).
    pub fn download_with(
        serializer: &Arc<RequestSerializer>,
        bucket: &str,
        key: &str,
        target: impl Into<DownloadTarget>,
        args: ExtraArgs,
        os: &Arc<dyn OsUtils>,
    ) -> Result<Arc<Call>, Error> {
        args::validate(CallKind::Download, bucket, key, &args)?;
        let target = target.into();
        let needs_runtime = target.is_async();
        let target = target.prepare(os).map_err(|error| error.in_object(bucket, key))?;
        let mut call = Call::new(CallKind::Download, serializer, bucket, key, args);
        call.needs_runtime = needs_runtime;
        call.target = Some(Box::new(target));
        Ok(Arc::new(call))
    }

    /// A delete of `bucket` and `key`.
    ///
    /// # Errors
    /// [`InvalidArgument`](xfer_core::error::ErrorKind::InvalidArgument) for arguments that cannot be.
    pub fn delete(
        serializer: &Arc<RequestSerializer>,
        bucket: &str,
        key: &str,
        args: ExtraArgs,
    ) -> Result<Arc<Call>, Error> {
        args::validate(CallKind::Delete, bucket, key, &args)?;
        Ok(Arc::new(Call::new(CallKind::Delete, serializer, bucket, key, args)))
    }

    fn new(kind: CallKind, serializer: &Arc<RequestSerializer>, bucket: &str, key: &str, args: ExtraArgs) -> Call {
        Call {
            id: TransferId(NEXT_TRANSFER.fetch_add(1, Ordering::Relaxed)),
            kind,
            bucket: bucket.into(),
            key: key.into(),
            args,
            serializer: Arc::clone(serializer),
            needs_runtime: false,
            source: None,
            target: None,
            checksum: UploadChecksum::None,
            cut: Cut::default(),
            phase: Phase::default(),
            meter: Meter::default(),
            requests: AtomicU32::new(0),
            begun: OnceLock::new(),
            discovered: OnceLock::new(),
            landing: AtomicU8::new(0),
        }
    }

    /// The transfer's id, unique in this process.
    #[must_use]
    pub fn id(&self) -> TransferId {
        self.id
    }

    /// Which of the three calls it is.
    #[must_use]
    pub fn kind(&self) -> CallKind {
        self.kind
    }

    /// The bucket's name or ARN.
    #[must_use]
    pub fn bucket(&self) -> &Arc<str> {
        &self.bucket
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &Arc<str> {
        &self.key
    }

    /// The extra arguments as they were given.
    #[must_use]
    pub fn args(&self) -> &ExtraArgs {
        &self.args
    }

    /// What makes its requests.
    #[must_use]
    pub fn serializer(&self) -> &Arc<RequestSerializer> {
        &self.serializer
    }

    /// Bytes moved so far, each counted once.
    #[must_use]
    pub fn bytes_transferred(&self) -> u64 {
        self.meter.total()
    }

    /// Size of the object in bytes, once it is known.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.source.as_deref().and_then(Source::length).or_else(|| self.meter.size())
    }

    /// The next bytes of a download whose target is a stream: for the one who polls that stream. `None` behind the last byte, once the
    /// object has been verified; of another target, at once.
    pub fn poll_piece(&self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        match self.target.as_deref() {
            Some(Target::Ordered(ordered)) => ordered.poll_piece(context),
            _ => Poll::Ready(None),
        }
    }

    /// The object's ETag, once a download has discovered it: what [`FetchRange`](crate::FetchRange) asks for.
    #[must_use]
    pub fn etag(&self) -> Option<Arc<str>> {
        self.discovered.get().and_then(|facts| facts.etag.clone())
    }

    /// Whether source or target needs an asynchronous runtime that may be that of the caller, so that blocking there could block it.
    #[must_use]
    pub fn needs_callers_runtime(&self) -> bool {
        self.needs_runtime
    }

    /// Whether it goes on whatever the caller's program does: it moves bytes, and neither comes from nor goes to a reader or writer.
    pub(crate) fn moves_by_itself(&self) -> bool {
        match (&self.source, self.target.as_deref()) {
            (Some(source), _) => source.is_rereadable(),
            (None, Some(target)) => matches!(target, Target::File(_) | Target::Memory(_)),
            (None, None) => false,
        }
    }

    /// Cuts off every request of this call that can be cut.
    pub fn cut(&self) {
        self.cut.make();
    }

    /// What of the caller's is to be let go of when the transfer has ended: to be run where it may block.
    pub(crate) fn release(&self) -> Option<Box<dyn FnOnce() + Send>> {
        match (&self.source, &self.target) {
            (Some(source), _) => source.release(),
            (None, Some(target)) => target.release(),
            (None, None) => None,
        }
    }

    pub(crate) fn source(&self) -> Result<&Source, Error> {
        self.source.as_deref().ok_or_else(|| Error::internal("this call has no source"))
    }

    pub(crate) fn target(&self) -> Result<&Target, Error> {
        self.target.as_deref().ok_or_else(|| Error::internal("this call has no target"))
    }

    /// What discovery found, once it has.
    pub(crate) fn discovered(&self) -> Option<&ObjectFacts> {
        self.discovered.get().map(Arc::as_ref)
    }

    /// Remembers what discovery found; false if an earlier attempt found something else, and the machine is going to end the transfer.
    pub(crate) fn set_discovered(&self, facts: &Arc<ObjectFacts>) -> bool {
        self.meter.set_size(facts.size);
        let first = self.discovered.get_or_init(|| Arc::clone(facts));
        (&first.etag, first.size, first.start) == (&facts.etag, facts.size, facts.start)
    }

    /// Whether a download is to be verified.
    pub(crate) fn validates(&self) -> bool {
        args::validates_download(&self.args)
    }

    /// Whether the store is asked for checksums. If not, one that it tells all the same is still compared.
    pub(crate) fn asks_for_checksums(&self) -> bool {
        let asked = self.serializer.endpoint().checksum_mode || self.args.text("ChecksumMode").is_some();
        self.validates() && asked
    }

    /// The algorithm whose checksum goes with each part, or with the whole in one request.
    pub(crate) fn part_checksum(&self) -> Option<Algorithm> {
        match &self.checksum {
            UploadChecksum::None | UploadChecksum::Md5Given => None,
            UploadChecksum::PerRequest { algorithm, .. } => Some(*algorithm),
            UploadChecksum::CallerGiven(checksum) => Some(checksum.algorithm()),
        }
    }

    /// What CreateMultipartUpload and CompleteMultipartUpload say of the parts' checksums.
    pub(crate) fn multipart_checksum(&self) -> Option<(Algorithm, ChecksumKind)> {
        match &self.checksum {
            UploadChecksum::None | UploadChecksum::Md5Given => None,
            UploadChecksum::PerRequest { algorithm, kind } => Some((*algorithm, *kind)),
            UploadChecksum::CallerGiven(checksum) => Some((checksum.algorithm(), ChecksumKind::FullObject)),
        }
    }

    pub(crate) fn landing_checksum(&self) -> Option<Algorithm> {
        let index = self.landing.load(Ordering::Acquire).checked_sub(1)?;
        Algorithm::ALL.get(usize::from(index)).copied()
    }

    pub(crate) fn set_landing_checksum(&self, algorithm: Option<Algorithm>) {
        let index = algorithm.and_then(|chosen| Algorithm::ALL.iter().position(|a| *a == chosen));
        self.landing.store(index.map_or(0, |index| index as u8 + 1), Ordering::Release);
    }

    /// Puts the object, and the part, into an error.
    pub(crate) fn locate(&self, error: Error, operation: &'static str, part: Option<PartNumber>) -> Error {
        let error = error.in_object(Arc::clone(&self.bucket), Arc::clone(&self.key)).in_operation(operation);
        match part {
            Some(part) => error.in_part(part),
            None => error,
        }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Escaped: a key may hold anything, and this goes to logs.
        write!(f, "{} {:?} s3://{}/{}", self.id, self.kind, self.bucket.escape_debug(), self.key.escape_debug())
    }
}

/// Which checksum an upload carries: `by_default` CRC64NVME, which is of the full object however it is sent.
fn upload_checksum(args: &ExtraArgs, by_default: bool) -> Result<UploadChecksum, Error> {
    let by = |algorithm: Algorithm, kind: Option<ChecksumKind>| UploadChecksum::PerRequest {
        algorithm,
        kind: kind.unwrap_or_else(|| algorithm.default_kind()),
    };
    Ok(match args::requested_checksum(args)? {
        ChecksumChoice::Default if !by_default => UploadChecksum::None,
        ChecksumChoice::Default => by(Algorithm::Crc64Nvme, None),
        ChecksumChoice::Algorithm(algorithm, kind) => by(algorithm, kind),
        ChecksumChoice::Given(checksum) => UploadChecksum::CallerGiven(checksum),
        ChecksumChoice::GivenMd5 => UploadChecksum::Md5Given,
    })
}

/// Whether a transfer can still be stopped, has become final, or has failed.
#[derive(Debug, Default)]
pub(crate) struct Phase(AtomicU8);

const OPEN: u8 = 0;
const COMMITTING: u8 = 1;
const STOPPED: u8 = 2;
const CLOSED: u8 = 3;

impl Phase {
    /// Enters the point of no return; false when the transfer was stopped before.
    pub(crate) fn try_commit(&self) -> bool {
        match self.0.compare_exchange(OPEN, COMMITTING, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => true,
            Err(now) => now == COMMITTING,
        }
    }

    /// Leaves the point of no return: the request that should have made it final failed.
    pub(crate) fn reopen(&self) {
        // A failed exchange means that it was not committing, and then there is nothing to leave.
        let _ = self.0.compare_exchange(COMMITTING, OPEN, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Its end is decided already: from now on it can neither be stopped nor be made final.
    pub(crate) fn close(&self) {
        // One that is committing or stopped has its end already.
        let _ = self.0.compare_exchange(OPEN, CLOSED, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Stops; false when it is too late, or was done before.
    pub(crate) fn try_stop(&self) -> bool {
        self.0.compare_exchange(OPEN, STOPPED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

#[cfg(test)]
mod tests;
