//! The words between the machines and the world: [`Job`]s to be run, their [`Reply`]s, [`Event`]s in, [`Effect`]s out.
//!
//! A machine never runs anything: it answers each event with effects, and the shell (xfer-actors) carries them out. A job is
//! one HTTP request or one act on a source or target; the shell retries it by the retry policy and tells the machine its end only.
//!
//! Invariants: each [`Effect::Run`] is answered by exactly one [`Event::Done`] or [`Event::Failed`] of the same [`JobId`]
//! ([`Event::Noted`] may come before it); after [`Effect::Finish`] a machine asks for nothing more.

use std::sync::Arc;
use std::time::Duration;

use crate::checksum::{Checksum, ChecksumKind};
use crate::error::Error;
use crate::id::{JobId, PartNumber};
use crate::outcome::TransferOutcome;
use crate::range::ByteRange;

/// One thing for the shell to do.
///
/// ```
/// use xfer_core::job::Job;
/// let job = Job::DeleteObject;
/// assert_eq!(job.name(), "DeleteObject");
/// assert!(job.is_remote() && job.is_commit());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Job {
    /// Store the whole source with one PutObject.
    PutObject {
        /// The source's length in bytes.
        length: u64,
    },
    /// Read the next part of a source that cannot be read twice into memory, and keep it there until it is stored.
    ReadPart {
        /// The part that these bytes will be.
        number: PartNumber,
        /// How many bytes at the most; fewer only at the end of the source.
        max: u64,
    },
    /// CreateMultipartUpload.
    CreateUpload,
    /// UploadPart: from the file, or from what [`Job::ReadPart`] kept.
    UploadPart {
        /// From CreateMultipartUpload.
        upload_id: Arc<str>,
        /// The part.
        number: PartNumber,
        /// Its bytes, as offsets in the object.
        range: ByteRange,
    },
    /// CompleteMultipartUpload.
    CompleteUpload {
        /// From CreateMultipartUpload.
        upload_id: Arc<str>,
        /// All parts, in ascending order.
        parts: Arc<[UploadedPart]>,
        /// The object's size in bytes, for `x-amz-mp-object-size`.
        size: u64,
        /// The full-object checksum, when there is one to be compared by the store.
        checksum: Option<Checksum>,
    },
    /// AbortMultipartUpload. An upload that is gone already counts as aborted.
    AbortUpload {
        /// From CreateMultipartUpload.
        upload_id: Arc<str>,
    },
    /// HeadObject, with checksums and without the caller's conditions: what lies under the key now. For an upload that was refused and
    /// may have been carried out before.
    LookForObject {
        /// Whether the source's MD5 is to be taken where it could tell: when the object has no checksum, and an ETag that may be one.
        with_md5: bool,
    },
    /// A GET of the object's first part, or of the caller's own range, and perhaps a HEAD: what they tell is noted as [`Note::Discovered`],
    /// then the first bytes are landed, as many as [`first_part_length`](crate::plan::first_part_length) says.
    Discover {
        /// The part size in bytes.
        part_size: u64,
        /// Whether the target is made final at once if these are all bytes and they are right
        /// ([`mismatch`](crate::download::mismatch)): saves small objects a [`Job::CommitTarget`]. Targets that would have to be waited
        /// for are left to that job.
        commit: bool,
    },
    /// A ranged GET that must meet the same object.
    FetchRange {
        /// The bytes to land, as offsets in the object.
        range: ByteRange,
        /// The ETag that discovery saw, sent as `If-Match`.
        etag: Arc<str>,
    },
    /// Make the target final: flush it, and rename a temporary file.
    CommitTarget,
    /// Remove what is left of the target.
    DiscardTarget,
    /// DeleteObject.
    DeleteObject,
}

impl Job {
    /// The S3 operation, or the act, by name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Job::PutObject { .. } => "PutObject",
            Job::ReadPart { .. } => "ReadPart",
            Job::CreateUpload => "CreateMultipartUpload",
            Job::UploadPart { .. } => "UploadPart",
            Job::CompleteUpload { .. } => "CompleteMultipartUpload",
            Job::AbortUpload { .. } => "AbortMultipartUpload",
            Job::LookForObject { .. } => "HeadObject",
            Job::Discover { .. } | Job::FetchRange { .. } => "GetObject",
            Job::CommitTarget => "CommitTarget",
            Job::DiscardTarget => "DiscardTarget",
            Job::DeleteObject => "DeleteObject",
        }
    }

    /// The part that it moves.
    #[must_use]
    pub fn part(&self) -> Option<PartNumber> {
        match self {
            Job::ReadPart { number, .. } | Job::UploadPart { number, .. } => Some(*number),
            _ => None,
        }
    }

    /// Whether it needs a connection, or only this machine.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        !matches!(self, Job::ReadPart { .. } | Job::CommitTarget | Job::DiscardTarget)
    }

    /// Whether it is a request that opens, ends or cleans up a transfer, and moves none of the object's bytes: it is soon over, and others wait
    /// for it.
    #[must_use]
    pub fn is_light(&self) -> bool {
        matches!(
            self,
            Job::CreateUpload | Job::CompleteUpload { .. } | Job::AbortUpload { .. } | Job::LookForObject { .. }
        )
    }

    /// Whether cancelling cuts it off at any moment. The others are short, and cutting them once they are sent would leave behind what
    /// nobody knows of.
    #[must_use]
    pub fn is_cuttable(&self) -> bool {
        !matches!(
            self,
            Job::CreateUpload
                | Job::CompleteUpload { .. }
                | Job::AbortUpload { .. }
                | Job::CommitTarget
                | Job::DiscardTarget
        )
    }

    /// Whether its success makes the transfer's result visible, or shows that it is, so that cancelling is too late once it is sent or
    /// begun.
    #[must_use]
    pub fn is_commit(&self) -> bool {
        self.stores_object() || matches!(self, Job::LookForObject { .. } | Job::CommitTarget | Job::DeleteObject)
    }

    /// Whether its success makes an object of an upload.
    #[must_use]
    pub fn stores_object(&self) -> bool {
        matches!(self, Job::PutObject { .. } | Job::CompleteUpload { .. })
    }
}

/// A part that the store has.
///
/// ```
/// use xfer_core::id::PartNumber;
/// use xfer_core::job::UploadedPart;
/// let part = UploadedPart { number: PartNumber::FIRST, etag: "\"etag\"".into(), checksum: None };
/// assert_eq!(part.number.get(), 1);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct UploadedPart {
    /// Its number.
    pub number: PartNumber,
    /// Its ETag as the store gave it.
    pub etag: Arc<str>,
    /// The checksum that was sent with it.
    pub checksum: Option<Checksum>,
}

/// What the store said of an object that it has stored.
///
/// ```
/// use xfer_core::job::StoredObject;
/// let stored = StoredObject { etag: Some("\"etag\"".to_owned()), ..StoredObject::default() };
/// assert_eq!(stored.version_id, None, "the bucket keeps no versions");
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredObject {
    /// ETag.
    pub etag: Option<String>,
    /// Version id.
    pub version_id: Option<String>,
    /// The checksum that the store reports for the object, if it reports one.
    pub checksum: Option<Checksum>,
    /// Whether that checksum is of the whole object or made from the parts' checksums.
    pub checksum_kind: Option<ChecksumKind>,
    /// The checksum that was sent along and which the store has therefore verified.
    pub sent: Option<Checksum>,
}

/// What lies under the key of an upload that may have been carried out although it was refused.
///
/// ```
/// use std::time::Duration;
/// use xfer_core::job::SeenObject;
/// let seen = SeenObject { size: 5, age: Some(Duration::from_secs(60)), begun: Duration::from_secs(2), ..SeenObject::default() };
/// assert!(seen.age > Some(seen.begun), "it was there before");
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeenObject {
    /// Size in bytes.
    pub size: u64,
    /// ETag.
    pub etag: Option<Arc<str>>,
    /// Version id.
    pub version_id: Option<String>,
    /// The full object's checksums; composite ones are left out.
    pub checksums: Vec<Checksum>,
    /// How long ago it was last modified, by the store's clock and in whole seconds, if the store says.
    pub age: Option<Duration>,
    /// How long ago this transfer sent its first request.
    pub begun: Duration,
    /// The ETag of an object with the source's bytes that is stored with one request and is not encrypted, if it was asked for and taken.
    pub source_etag: Option<String>,
}

/// What the head of the first GET told of an object.
///
/// ```
/// use xfer_core::job::ObjectFacts;
/// // Bytes 100 to 149 were asked for.
/// let facts = ObjectFacts { size: 50, start: 100, etag: Some("\"etag\"".into()), version_id: None, checksums: Vec::new() };
/// assert_eq!(facts.start + facts.size, 150);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectFacts {
    /// Size in bytes of what will be downloaded: the object, or the caller's range of it.
    pub size: u64,
    /// Offset in the object of the first byte to be downloaded: 0 without a range.
    pub start: u64,
    /// ETag, needed to fetch more than one range of the same object.
    pub etag: Option<Arc<str>>,
    /// Version id.
    pub version_id: Option<String>,
    /// The checksums that cover exactly the bytes to be downloaded, in the store's full-object form; composite ones are left out.
    pub checksums: Vec<Checksum>,
}

/// How a job ended well.
///
/// ```
/// use xfer_core::delete::DeleteMachine;
/// use xfer_core::job::{Effect, Event, Reply};
/// let (mut machine, mut effects) = (DeleteMachine::new(), Vec::new());
/// machine.on(Event::Started, &mut effects);
/// let Some(Effect::Run { id, .. }) = effects.pop() else { panic!("a request") };
/// machine.on(Event::Done { job: id, reply: Reply::ObjectDeleted { version_id: None } }, &mut effects);
/// assert!(machine.is_finished());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// [`Job::PutObject`].
    ObjectPut(StoredObject),
    /// [`Job::ReadPart`].
    PartRead {
        /// Bytes that were read.
        length: u64,
        /// Whether the source is at its end.
        last: bool,
    },
    /// [`Job::CreateUpload`].
    UploadCreated {
        /// The upload's id.
        upload_id: Arc<str>,
    },
    /// [`Job::UploadPart`].
    PartStored {
        /// The part's ETag.
        etag: Arc<str>,
        /// The checksum that was sent with it.
        checksum: Option<Checksum>,
    },
    /// [`Job::CompleteUpload`].
    UploadCompleted(StoredObject),
    /// [`Job::AbortUpload`].
    UploadAborted {
        /// Whether the store said that there is no such upload (any more).
        gone: bool,
    },
    /// [`Job::LookForObject`]: the object, if there is one.
    ObjectSeen(Option<SeenObject>),
    /// [`Job::Discover`] and [`Job::FetchRange`].
    RangeLanded {
        /// Bytes that were landed.
        length: u64,
        /// The checksum of these bytes, in the algorithm that discovery chose.
        checksum: Option<Checksum>,
    },
    /// [`Job::Discover`]: the whole object is there, and the target is final.
    ObjectLanded {
        /// Bytes that were landed.
        length: u64,
        /// Their checksum, in the algorithm that discovery chose.
        checksum: Option<Checksum>,
    },
    /// [`Job::CommitTarget`].
    TargetCommitted,
    /// [`Job::DiscardTarget`].
    TargetDiscarded,
    /// [`Job::DeleteObject`].
    ObjectDeleted {
        /// The version that was deleted, or that of the delete marker.
        version_id: Option<String>,
    },
}

/// Something that a job tells while it goes on.
///
/// ```
/// use xfer_core::id::JobId;
/// use xfer_core::job::{Event, Note};
/// // The request went out, and nobody knows what became of it.
/// let event = Event::Noted { job: JobId(0), note: Note::Unanswered { sent: None } };
/// assert!(matches!(event, Event::Noted { .. }));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Note {
    /// [`Job::Discover`]: the head of the answer has come.
    Discovered(Arc<ObjectFacts>),
    /// [`Job::PutObject`] and [`Job::CompleteUpload`]: the request was sent, in this attempt or an earlier one, and no answer has ruled out
    /// that the store carried it out.
    Unanswered {
        /// The checksum that went with it.
        sent: Option<Checksum>,
    },
}

/// What happened.
///
/// ```
/// use xfer_core::delete::DeleteMachine;
/// use xfer_core::error::{Error, ErrorKind};
/// use xfer_core::job::{Effect, Event};
/// let (mut machine, mut effects) = (DeleteMachine::new(), Vec::new());
/// machine.on(Event::Stop { error: Error::new(ErrorKind::Cancelled, "") }, &mut effects);
/// assert!(matches!(effects[..], [.., Effect::Finish(Err(_))]));
/// ```
#[derive(Clone, Debug)]
pub enum Event {
    /// The transfer is admitted. Always the first event.
    Started,
    /// A job tells something.
    Noted {
        /// Which job.
        job: JobId,
        /// What.
        note: Note,
    },
    /// A job ended well.
    Done {
        /// Which job.
        job: JobId,
        /// With what.
        reply: Reply,
    },
    /// A job failed for good: its retries are used up, or it was withdrawn ([`ErrorKind::Cancelled`](crate::error::ErrorKind)).
    Failed {
        /// Which job.
        job: JobId,
        /// Why.
        error: Error,
    },
    /// An in-order target has taken all bytes before this offset (counted from the first byte to be downloaded).
    Delivered {
        /// Bytes taken so far.
        bytes: u64,
    },
    /// The transfer is to end now, with this error: cancelled, shut down, its target gone.
    Stop {
        /// What its future will say.
        error: Error,
    },
}

/// What is to be done about it.
///
/// ```
/// use xfer_core::delete::DeleteMachine;
/// use xfer_core::job::{Effect, Event};
/// let (mut machine, mut effects) = (DeleteMachine::new(), Vec::new());
/// machine.on(Event::Started, &mut effects);
/// for effect in effects {
///     match effect {
///         Effect::Run { id, job } => assert_eq!((id.0, job.name()), (0, "DeleteObject")),
///         Effect::Withdraw | Effect::Finish(_) => panic!("it has only begun"),
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub enum Effect {
    /// Run a job.
    Run {
        /// By which the answer names it.
        id: JobId,
        /// What to do.
        job: Job,
    },
    /// Take back all jobs of the transfer that wait, and cut those under way that can be cut. Each of them still answers,
    /// with [`Event::Failed`] if it had no other end.
    Withdraw,
    /// The transfer has ended; nothing of it is under way. Resolve its future.
    Finish(Result<TransferOutcome, Error>),
}
