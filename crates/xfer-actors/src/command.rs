//! Commands and facts: the messages of the worker actors, one pair for each kind of request.
//!
//! A command is a verb and carries the call, the attempt and what is its own; the fact that answers it is in the past tense. The
//! scheduler sends commands with a [`Duty`] inside and takes the report from the ledger; anybody else sends them with
//! `addr.send(..)` and awaits the reply.

use std::sync::Arc;

use actix::dev::{MessageResponse, OneshotSender};
use actix::{Actor, Message};
use tokio::sync::oneshot;
use xfer_core::checksum::Checksum;
use xfer_core::error::Error;
use xfer_core::id::{Attempt, PartNumber, TransferId};
use xfer_core::job::{Job, Reply, SeenObject, StoredObject, UploadedPart};
use xfer_core::range::ByteRange;

use crate::call::Call;
use crate::lane::Lanes;
use crate::ledger::Duty;
use crate::work;

/// A message that asks a worker to run a job.
pub(crate) trait Command {
    /// What it is answered with.
    type Fact: Send + 'static;

    /// Takes the message apart.
    fn into_order(self) -> Order;

    /// Makes the fact of a reply; `None` when the reply is of another job, which would be a defect.
    fn fact(transfer: TransferId, attempt: Attempt, reply: Reply) -> Option<Self::Fact>;
}

/// A command without its type.
pub(crate) struct Order {
    pub(crate) call: Arc<Call>,
    pub(crate) attempt: Attempt,
    pub(crate) job: Arc<Job>,
    pub(crate) duty: Option<Duty>,
}

macro_rules! command {
    (
        $(#[$doc:meta])* $command:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty),* $(,)? } as $job:expr;
        $(#[$fact_doc:meta])* $fact:ident { $($(#[$out_doc:meta])* $out:ident: $out_type:ty),* $(,)? } from $pattern:pat
    ) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $command {
            /// What the requests of the transfer share.
            pub call: Arc<Call>,
            /// Which try it is.
            pub attempt: Attempt,
            $($(#[$field_doc])* pub $field: $type,)*
            pub(crate) duty: Option<Duty>,
        }

        impl $command {
            /// The command, for a first attempt.
            #[must_use]
            pub fn new(call: &Arc<Call>, $($field: $type),*) -> $command {
                $command { call: Arc::clone(call), attempt: Attempt::FIRST, $($field,)* duty: None }
            }
        }

        impl Message for $command {
            type Result = Result<$fact, Error>;
        }

        impl Command for $command {
            type Fact = $fact;

            fn into_order(self) -> Order {
                let $command { call, attempt, $($field,)* duty } = self;
                Order { call, attempt, job: Arc::new($job), duty }
            }

            fn fact(transfer: TransferId, attempt: Attempt, reply: Reply) -> Option<$fact> {
                match reply {
                    $pattern => Some($fact { transfer, attempt, $($out),* }),
                    _ => None,
                }
            }
        }

        $(#[$fact_doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $fact {
            /// Of which transfer.
            pub transfer: TransferId,
            /// Which try it was.
            pub attempt: Attempt,
            $($(#[$out_doc])* pub $out: $out_type,)*
        }
    };
}

command! {
    /// Store the whole source with one request.
    PutObject {
        /// The source's length in bytes.
        length: u64,
    } as Job::PutObject { length };
    /// The object is stored.
    ObjectPut {
        /// What the store said of it.
        object: StoredObject,
    } from Reply::ObjectPut(object)
}

command! {
    /// Read the next part of a source that is read once, and keep it until it is stored.
    ReadPart {
        /// The part that it will be.
        number: PartNumber,
        /// Most bytes to read.
        max: u64,
    } as Job::ReadPart { number, max };
    /// A part is in memory.
    PartRead {
        /// Its length in bytes.
        length: u64,
        /// Whether the source has ended.
        last: bool,
    } from Reply::PartRead { length, last }
}

command! {
    /// Begin a multipart upload.
    CreateUpload {} as Job::CreateUpload;
    /// A multipart upload is open: somebody must complete or abort it.
    UploadCreated {
        /// Its id.
        upload_id: Arc<str>,
    } from Reply::UploadCreated { upload_id }
}

command! {
    /// Store one part.
    UploadPart {
        /// Of which upload.
        upload_id: Arc<str>,
        /// Which part.
        number: PartNumber,
        /// Its bytes, as offsets in the source.
        range: ByteRange,
    } as Job::UploadPart { upload_id, number, range };
    /// A part is stored.
    PartStored {
        /// Its ETag.
        etag: Arc<str>,
        /// The checksum that was sent with it.
        checksum: Option<Checksum>,
    } from Reply::PartStored { etag, checksum }
}

command! {
    /// Make the object of its parts.
    CompleteUpload {
        /// Of which upload.
        upload_id: Arc<str>,
        /// All parts in ascending order.
        parts: Arc<[UploadedPart]>,
        /// The object's size in bytes.
        size: u64,
        /// The full-object checksum for the store to compare.
        checksum: Option<Checksum>,
    } as Job::CompleteUpload { upload_id, parts, size, checksum };
    /// The object is stored.
    UploadCompleted {
        /// What the store said of it.
        object: StoredObject,
    } from Reply::UploadCompleted(object)
}

command! {
    /// Throw a multipart upload and its parts away.
    AbortUpload {
        /// Of which upload.
        upload_id: Arc<str>,
    } as Job::AbortUpload { upload_id };
    /// A multipart upload is thrown away.
    UploadAborted {
        /// Whether it was gone already.
        gone: bool,
    } from Reply::UploadAborted { gone }
}

command! {
    /// Look at what lies under the key of an upload that was refused, and may have been carried out before.
    LookForObject {
        /// Whether the source's MD5 is to be taken where it could tell.
        with_md5: bool,
    } as Job::LookForObject { with_md5 };
    /// The object that lies there, if there is one.
    ObjectSeen {
        /// What is known of it.
        object: Option<SeenObject>,
    } from Reply::ObjectSeen(object)
}

command! {
    /// Find out what the object is, and land its first bytes.
    DiscoverObject {
        /// The part size in bytes: what is landed of a larger object.
        part_size: u64,
        /// Whether the target is made final at once if these are all bytes of the object and they are right. Making it final twice does no
        /// harm.
        commit: bool,
    } as Job::Discover { part_size, commit };
    /// The first bytes are in the target.
    ObjectDiscovered {
        /// How many bytes.
        length: u64,
        /// Their checksum.
        checksum: Option<Checksum>,
    } from Reply::RangeLanded { length, checksum } | Reply::ObjectLanded { length, checksum }
}

command! {
    /// Land one range.
    FetchRange {
        /// Which bytes.
        range: ByteRange,
        /// Of which object.
        etag: Arc<str>,
    } as Job::FetchRange { range, etag };
    /// The range is in the target.
    RangeLanded {
        /// How many bytes.
        length: u64,
        /// Their checksum.
        checksum: Option<Checksum>,
    } from Reply::RangeLanded { length, checksum }
}

command! {
    /// Make the target final.
    CommitTarget {} as Job::CommitTarget;
    /// The target is final.
    TargetCommitted {} from Reply::TargetCommitted
}

command! {
    /// Remove what is left of the target.
    DiscardTarget {} as Job::DiscardTarget;
    /// Nothing is left of the target.
    TargetDiscarded {} from Reply::TargetDiscarded
}

command! {
    /// Delete the object.
    DeleteObject {} as Job::DeleteObject;
    /// The object is deleted, or never was.
    ObjectDeleted {
        /// The version deleted, or that of the delete marker.
        version_id: Option<String>,
    } from Reply::ObjectDeleted { version_id }
}

/// What a worker's handler returns: nothing when the ledger gets the report, a reply to be awaited when the sender wants one.
pub struct Launched<F>(Option<oneshot::Receiver<Result<F, Error>>>);

impl<F> std::fmt::Debug for Launched<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Launched").field(&self.0.is_some()).finish()
    }
}

impl<A, M, F> MessageResponse<A, M> for Launched<F>
where
    A: Actor,
    M: Message<Result = Result<F, Error>>,
    F: Send + 'static,
{
    fn handle(self, _context: &mut A::Context, sender: Option<OneshotSender<M::Result>>) {
        let (Some(receiver), Some(sender)) = (self.0, sender) else { return };
        actix_rt::spawn(async move {
            let lost = || Err(Error::internal("the part's task panicked"));
            // The requester may have gone; then nobody wants the reply.
            let _ = sender.send(receiver.await.unwrap_or_else(|_| lost()));
        });
    }
}

/// Hands a command to a lane.
pub(crate) fn launch<C: Command>(lanes: &Lanes, command: C) -> Launched<C::Fact> {
    let Order { call, attempt, job, duty } = command.into_order();
    if let Some(duty) = duty {
        if duty.accept() {
            lanes.spawn(job.is_remote(), move |lane, place| async move {
                let mut duty = duty;
                let progress = Arc::clone(&duty.progress);
                let result = work::run(&lane, &call, &job, &progress, Some(&mut duty)).await;
                drop(place);
                duty.fulfil(result, &lane.outbox);
            });
        }
        return Launched(None);
    }
    let (sender, receiver) = oneshot::channel();
    lanes.spawn(job.is_remote(), move |lane, place| async move {
        let progress = call.meter.begin_job();
        let result = work::run(&lane, &call, &job, &progress, None).await;
        call.meter.end_job(&progress);
        drop(place);
        let fact = result.and_then(|reply| {
            C::fact(call.id(), attempt, reply).ok_or_else(|| Error::internal("a reply of another kind"))
        });
        // The requester may have gone; then nobody wants the reply.
        let _ = sender.send(fact);
    });
    Launched(Some(receiver))
}
