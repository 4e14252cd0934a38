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
    /// Store the whole source with one request. For sources of up to 5 GiB, which is the most that S3 takes so.
    ///
    /// ```no_run
    /// # use std::sync::Arc;
    /// # use actix::Addr;
    /// # use xfer_actors::{Call, ErrorKind, PutObject, Uploader};
    /// # async fn example(uploader: Addr<Uploader>, call: Arc<Call>) -> Result<(), Box<dyn std::error::Error>> {
    /// let length = call.size().unwrap_or_default();
    /// match uploader.send(PutObject::new(&call, length)).await? {
    ///     Ok(stored) => println!("ETag {:?}, try {}", stored.object.etag, stored.attempt),
    ///     Err(error) if error.kind() == ErrorKind::NoSuchBucket => println!("{error}"),
    ///     Err(error) => return Err(error.into()),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    PutObject {
        /// The source's length in bytes.
        length: u64,
    } as Job::PutObject { length };
    /// The object is stored. In a test of your own, an actor that answers with it stands in for the store:
    ///
    /// ```
    /// use actix::{Actor, Context, Handler};
    /// use xfer_actors::{Error, ObjectPut, PutObject, StoredObject};
    ///
    /// struct Store;
    /// impl Actor for Store {
    ///     type Context = Context<Self>;
    /// }
    /// impl Handler<PutObject> for Store {
    ///     type Result = Result<ObjectPut, Error>;
    ///     fn handle(&mut self, put: PutObject, _: &mut Context<Self>) -> Self::Result {
    ///         let object = StoredObject { etag: Some(format!("\"{}\"", put.length)), ..StoredObject::default() };
    ///         Ok(ObjectPut { transfer: put.call.id(), attempt: put.attempt, object })
    ///     }
    /// }
    /// ```
    ObjectPut {
        /// What the store said of it.
        object: StoredObject,
    } from Reply::ObjectPut(object)
}

command! {
    /// Read the next part of a source that is read once, and keep it until it is stored. Parts come in order, the next one after the answer.
    ///
    /// ```no_run
    /// # use std::sync::Arc;
    /// # use actix::Addr;
    /// # use xfer_actors::{Call, ByteRange, PartNumber, ReadPart, UploadPart, Uploader};
    /// # async fn example(
    /// #     uploader: Addr<Uploader>, call: Arc<Call>, upload_id: Arc<str>,
    /// # ) -> Result<(), Box<dyn std::error::Error>> {
    /// let (mut start, mut numbers) = (0, (1..).map_while(PartNumber::new));
    /// while let Some(number) = numbers.next() {
    ///     let read = uploader.send(ReadPart::new(&call, number, 8 << 20)).await??;
    ///     let range = ByteRange::new(start, start + read.length);
    ///     uploader.send(UploadPart::new(&call, Arc::clone(&upload_id), number, range)).await??;
    ///     start = range.end;
    ///     if read.last {
    ///         break;
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ReadPart {
        /// The part that it will be.
        number: PartNumber,
        /// Most bytes to read.
        max: u64,
    } as Job::ReadPart { number, max };
    /// A part is in memory: fewer bytes than were asked for only at the end of the source, which may be none.
    ///
    /// ```
    /// use xfer_actors::{ByteRange, PartRead};
    /// /// Where the part lies in the object, when so many bytes came before it.
    /// fn place(read: &PartRead, before: u64) -> Option<ByteRange> {
    ///     (read.length > 0).then(|| ByteRange::new(before, before + read.length))
    /// }
    /// # use xfer_actors::{Attempt, TransferId};
    /// # let read = |length| PartRead { transfer: TransferId(1), attempt: Attempt::FIRST, length, last: true };
    /// # assert_eq!((place(&read(0), 5), place(&read(3), 5)), (None, Some(ByteRange::new(5, 8))));
    /// ```
    PartRead {
        /// Its length in bytes.
        length: u64,
        /// Whether the source has ended.
        last: bool,
    } from Reply::PartRead { length, last }
}

command! {
    /// Begin a multipart upload.
    ///
    /// ```no_run
    /// # use std::sync::Arc;
    /// # use actix::Addr;
    /// # use xfer_actors::{Call, AbortUpload, CreateUpload, Error, Uploader};
    /// # async fn example(uploader: Addr<Uploader>, call: Arc<Call>) -> Result<(), Box<dyn std::error::Error>> {
    /// let upload_id = uploader.send(CreateUpload::new(&call)).await??.upload_id;
    /// # async fn all_parts(_: &Addr<Uploader>, _: &Arc<Call>, _: &Arc<str>) -> Result<(), Error> { Ok(()) }
    /// if let Err(error) = all_parts(&uploader, &call, &upload_id).await {
    ///     // What is neither completed nor aborted is stored, and paid for, until somebody does either.
    ///     uploader.send(AbortUpload::new(&call, upload_id)).await??;
    ///     return Err(error.into());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    CreateUpload {} as Job::CreateUpload;
    /// A multipart upload is open: somebody must complete or abort it.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use xfer_actors::{AbortUpload, Call, CompleteUpload, UploadCreated, UploadedPart};
    /// /// What ends it: well, if all parts are there.
    /// fn end(call: &Arc<Call>, open: UploadCreated, parts: Option<Vec<UploadedPart>>) -> Result<CompleteUpload, AbortUpload> {
    ///     let size = call.size().unwrap_or_default();
    ///     match parts {
    ///         Some(parts) => Ok(CompleteUpload::new(call, open.upload_id, parts.into(), size, None)),
    ///         None => Err(AbortUpload::new(call, open.upload_id)),
    ///     }
    /// }
    /// ```
    UploadCreated {
        /// Its id.
        upload_id: Arc<str>,
    } from Reply::UploadCreated { upload_id }
}

command! {
    /// Store one part: of 5 MiB to 5 GiB, but for the last one, which may be smaller.
    ///
    /// ```no_run
    /// # use std::sync::Arc;
    /// # use actix::Addr;
    /// # use xfer_actors::{Call, ByteRange, PartNumber, UploadPart, UploadedPart, Uploader};
    /// # async fn example(
    /// #     uploader: Addr<Uploader>, call: Arc<Call>, upload_id: Arc<str>,
    /// # ) -> Result<(), Box<dyn std::error::Error>> {
    /// let (number, range) = (PartNumber::FIRST, ByteRange::new(0, 8 << 20));
    /// let stored = uploader.send(UploadPart::new(&call, upload_id, number, range)).await??;
    /// // For `CompleteUpload`.
    /// let part = UploadedPart { number, etag: stored.etag, checksum: stored.checksum };
    /// # let _ = part;
    /// # Ok(())
    /// # }
    /// ```
    UploadPart {
        /// Of which upload.
        upload_id: Arc<str>,
        /// Which part.
        number: PartNumber,
        /// Its bytes, as offsets in the source.
        range: ByteRange,
    } as Job::UploadPart { upload_id, number, range };
    /// A part is stored.
    ///
    /// ```
    /// use xfer_actors::{PartNumber, PartStored, UploadedPart};
    /// /// What the completion names of it.
    /// fn entry(number: PartNumber, stored: PartStored) -> UploadedPart {
    ///     UploadedPart { number, etag: stored.etag, checksum: stored.checksum }
    /// }
    /// ```
    PartStored {
        /// Its ETag.
        etag: Arc<str>,
        /// The checksum that was sent with it.
        checksum: Option<Checksum>,
    } from Reply::PartStored { etag, checksum }
}

command! {
    /// Make the object of its parts. From when it is sent the upload cannot be cancelled any more, unless it is refused.
    ///
    /// ```no_run
    /// # use std::sync::Arc;
    /// # use actix::Addr;
    /// # use xfer_actors::{Call, CompleteUpload, UploadedPart, Uploader};
    /// # async fn example(
    /// #     uploader: Addr<Uploader>, call: Arc<Call>, upload_id: Arc<str>, parts: Vec<UploadedPart>, size: u64,
    /// # ) -> Result<(), Box<dyn std::error::Error>> {
    /// let complete = CompleteUpload::new(&call, upload_id, parts.into(), size, None);
    /// let object = uploader.send(complete).await??.object;
    /// println!("version {:?}", object.version_id);
    /// # Ok(())
    /// # }
    /// ```
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
    /// The object is made of its parts, and stored.
    ///
    /// ```
    /// use xfer_actors::UploadCompleted;
    /// /// Of an object in parts the ETag is no MD5, and ends in the number of parts.
    /// fn parts(completed: &UploadCompleted) -> Option<u32> {
    ///     completed.object.etag.as_deref()?.trim_matches('"').rsplit_once('-')?.1.parse().ok()
    /// }
    /// # use xfer_actors::{Attempt, StoredObject, TransferId};
    /// # let object = StoredObject { etag: Some("\"9b2c-12\"".to_owned()), ..StoredObject::default() };
    /// # assert_eq!(parts(&UploadCompleted { transfer: TransferId(1), attempt: Attempt::FIRST, object }), Some(12));
    /// ```
    UploadCompleted {
        /// What the store said of it.
        object: StoredObject,
    } from Reply::UploadCompleted(object)
}

command! {
    /// Throw a multipart upload and its parts away. Parts that are on their way may be stored all the same: send it again when they have ended.
    ///
    /// ```no_run
    /// # use std::sync::Arc;
    /// # use actix::Addr;
    /// # use xfer_actors::{Call, AbortUpload, Uploader};
    /// # async fn example(
    /// #     uploader: Addr<Uploader>, call: Arc<Call>, upload_id: Arc<str>,
    /// # ) -> Result<(), Box<dyn std::error::Error>> {
    /// uploader.send(AbortUpload::new(&call, Arc::clone(&upload_id))).await??;
    /// // When the last part that was on its way has ended:
    /// let again = uploader.send(AbortUpload::new(&call, upload_id)).await??;
    /// println!("nothing came after it: {}", again.gone);
    /// # Ok(())
    /// # }
    /// ```
    AbortUpload {
        /// Of which upload.
        upload_id: Arc<str>,
    } as Job::AbortUpload { upload_id };
    /// A multipart upload is thrown away.
    ///
    /// ```
    /// use xfer_actors::UploadAborted;
    /// /// Whether to send it again: a part that was on its way may have been stored behind it.
    /// fn again(aborted: &UploadAborted, parts_under_way: usize) -> bool {
    ///     !aborted.gone && parts_under_way > 0
    /// }
    /// ```
    UploadAborted {
        /// Whether it was gone already.
        gone: bool,
    } from Reply::UploadAborted { gone }
}

command! {
    /// Look at what lies under the key of an upload that was refused, and may have been carried out before.
    ///
    /// ```no_run
    /// # use std::sync::Arc;
    /// # use actix::Addr;
    /// # use xfer_actors::{Call, LookForObject, Uploader};
    /// # async fn example(uploader: Addr<Uploader>, call: Arc<Call>) -> Result<(), Box<dyn std::error::Error>> {
    /// match uploader.send(LookForObject::new(&call, false)).await??.object {
    ///     Some(there) => println!("{} bytes, ETag {:?}", there.size, there.etag),
    ///     None => println!("nothing"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    LookForObject {
        /// Whether the source's MD5 is to be taken where it could tell.
        with_md5: bool,
    } as Job::LookForObject { with_md5 };
    /// The object that lies there, if there is one.
    ///
    /// ```
    /// use xfer_actors::{Checksum, ObjectSeen};
    /// /// Whether it has the bytes of this checksum.
    /// fn is(seen: &ObjectSeen, sent: &Checksum) -> bool {
    ///     seen.object.as_ref().is_some_and(|there| there.checksums.contains(sent))
    /// }
    /// ```
    ObjectSeen {
        /// What is known of it.
        object: Option<SeenObject>,
    } from Reply::ObjectSeen(object)
}

command! {
    /// Find out what the object is, and land its first bytes: all of an object of up to one and a half parts, one part of a larger one.
    ///
    /// ```no_run
    /// # use std::sync::Arc;
    /// # use actix::Addr;
    /// # use xfer_actors::{Call, DiscoverObject, Downloader, ErrorKind};
    /// # async fn example(downloader: Addr<Downloader>, call: Arc<Call>) -> Result<(), Box<dyn std::error::Error>> {
    /// match downloader.send(DiscoverObject::new(&call, 8 << 20, false)).await? {
    ///     Ok(first) => println!("{} of {:?} bytes, ETag {:?}", first.length, call.size(), call.etag()),
    ///     Err(error) if error.kind() == ErrorKind::NoSuchKey => println!("there is none"),
    ///     Err(error) => return Err(error.into()),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    DiscoverObject {
        /// The part size in bytes: what is landed of a larger object.
        part_size: u64,
        /// Whether the target is made final at once if these are all bytes of the object and they are right. Making it final twice does no
        /// harm.
        commit: bool,
    } as Job::Discover { part_size, commit };
    /// The first bytes are in the target.
    ///
    /// ```
    /// use xfer_actors::{ByteRange, Call, ObjectDiscovered};
    /// /// What is left to be fetched.
    /// fn rest(call: &Call, first: &ObjectDiscovered) -> ByteRange {
    ///     ByteRange::new(first.length, call.size().unwrap_or_default())
    /// }
    /// ```
    ObjectDiscovered {
        /// How many bytes.
        length: u64,
        /// Their checksum.
        checksum: Option<Checksum>,
    } from Reply::RangeLanded { length, checksum } | Reply::ObjectLanded { length, checksum }
}

command! {
    /// Land one range of the object that was discovered; should it be another one by now, the store refuses.
    ///
    /// ```no_run
    /// # use std::sync::Arc;
    /// # use actix::Addr;
    /// # use xfer_actors::{Call, ByteRange, Downloader, ErrorKind, FetchRange};
    /// # async fn example(
    /// #     downloader: Addr<Downloader>, call: Arc<Call>, rest: ByteRange,
    /// # ) -> Result<(), Box<dyn std::error::Error>> {
    /// let etag = call.etag().ok_or("the store gave the object no ETag")?;
    /// for start in (rest.start..rest.end).step_by(8 << 20) {
    ///     let range = ByteRange::new(start, rest.end.min(start + (8 << 20)));
    ///     match downloader.send(FetchRange::new(&call, range, Arc::clone(&etag))).await? {
    ///         Err(error) if error.kind() == ErrorKind::ObjectModified => println!("begin again: {error}"),
    ///         landed => assert_eq!(landed?.length, range.len()),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    FetchRange {
        /// Which bytes.
        range: ByteRange,
        /// Of which object.
        etag: Arc<str>,
    } as Job::FetchRange { range, etag };
    /// The range is in the target.
    ///
    /// ```
    /// use xfer_actors::{Checksum, RangeLanded};
    /// /// The checksum of two ranges that lie one behind the other; none where the algorithm cannot be combined.
    /// fn joined(first: &RangeLanded, second: &RangeLanded) -> Option<Checksum> {
    ///     first.checksum.as_ref()?.then(second.checksum.as_ref()?, second.length)
    /// }
    /// ```
    RangeLanded {
        /// How many bytes.
        length: u64,
        /// Their checksum.
        checksum: Option<Checksum>,
    } from Reply::RangeLanded { length, checksum }
}

command! {
    /// Make the target final: flush it, and give a file its name. To be sent when all ranges have landed; it does not count them.
    ///
    /// ```no_run
    /// # use std::sync::Arc;
    /// # use actix::Addr;
    /// # use xfer_actors::{Call, CommitTarget, DiscardTarget, Downloader, Error};
    /// # async fn example(downloader: Addr<Downloader>, call: Arc<Call>, landed: Result<(), Error>) -> Result<(), Box<dyn std::error::Error>> {
    /// match landed {
    ///     Ok(()) => drop(downloader.send(CommitTarget::new(&call)).await??),
    ///     Err(_) => drop(downloader.send(DiscardTarget::new(&call)).await??),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    CommitTarget {} as Job::CommitTarget;
    /// The target is final.
    ///
    /// ```
    /// use xfer_actors::{Attempt, TargetCommitted, TransferId};
    /// let committed = TargetCommitted { transfer: TransferId(7), attempt: Attempt::FIRST };
    /// assert_eq!(format!("{} has its name, at try {}", committed.transfer, committed.attempt), "t7 has its name, at try #1");
    /// ```
    TargetCommitted {} from Reply::TargetCommitted
}

command! {
    /// Remove what is left of the target: the temporary file. What a writer was given it keeps.
    ///
    /// ```no_run
    /// # use std::sync::Arc;
    /// # use actix::Addr;
    /// # use xfer_actors::{Call, DiscardTarget, Downloader};
    /// # async fn example(downloader: Addr<Downloader>, call: Arc<Call>) -> Result<(), Box<dyn std::error::Error>> {
    /// call.cut(); // ends the requests that go on
    /// downloader.send(DiscardTarget::new(&call)).await??;
    /// # Ok(())
    /// # }
    /// ```
    DiscardTarget {} as Job::DiscardTarget;
    /// Nothing is left of the target.
    ///
    /// ```
    /// use xfer_actors::{Error, TargetDiscarded};
    /// /// What is to be said of a download that failed.
    /// fn report(why: &Error, cleaned_up: &Result<TargetDiscarded, Error>) -> String {
    ///     match cleaned_up {
    ///         Ok(_nothing_left) => why.to_string(),
    ///         Err(left) => format!("{why}; and a temporary file may be left: {left}"),
    ///     }
    /// }
    /// ```
    TargetDiscarded {} from Reply::TargetDiscarded
}

command! {
    /// Delete the object. One that is not there counts as deleted.
    ///
    /// ```no_run
    /// # use std::sync::Arc;
    /// # use actix::Addr;
    /// # use xfer_actors::{Call, DeleteObject, Deleter};
    /// # async fn example(deleter: Addr<Deleter>, call: Arc<Call>) -> Result<(), Box<dyn std::error::Error>> {
    /// let deleted = deleter.send(DeleteObject::new(&call)).await??;
    /// println!("version {:?}", deleted.version_id);
    /// # Ok(())
    /// # }
    /// ```
    DeleteObject {} as Job::DeleteObject;
    /// The object is deleted, or never was.
    ///
    /// ```
    /// use xfer_actors::ObjectDeleted;
    /// fn line(deleted: &ObjectDeleted) -> String {
    ///     match &deleted.version_id {
    ///         Some(version) => format!("deleted, as version {version} says"),
    ///         None => "deleted, in a bucket without versions".to_owned(),
    ///     }
    /// }
    /// # use xfer_actors::{Attempt, TransferId};
    /// # assert!(line(&ObjectDeleted { transfer: TransferId(1), attempt: Attempt::FIRST, version_id: None }).ends_with("versions"));
    /// ```
    ObjectDeleted {
        /// The version deleted, or that of the delete marker.
        version_id: Option<String>,
    } from Reply::ObjectDeleted { version_id }
}

/// What a worker's handler returns: nothing when the ledger gets the report, a reply to be awaited when the sender wants one. Who sends a
/// command never sees it.
///
/// ```
/// use actix::{Actor, Context, Handler};
/// use xfer_actors::{Launched, ObjectPut, PutObject, Uploader};
/// /// An actor that runs the command itself, and not one that stands in for it.
/// fn runs_on_lanes<A: Actor<Context = Context<A>> + Handler<PutObject, Result = Launched<ObjectPut>>>(_actor: &A) {}
/// # fn example(uploader: &Uploader) {
/// runs_on_lanes(uploader);
/// # }
/// ```
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
