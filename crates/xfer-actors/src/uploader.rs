//! The Uploader: runs the requests of uploads.
//!
//! Turns one command into one task on a lane and reports exactly once. Never retries, never plans: see the PartScheduler and
//! `xfer_core::upload`.

use actix::{Actor, Context, Handler, Supervised};

use crate::command::{
    AbortUpload, CompleteUpload, CreateUpload, Launched, LookForObject, ObjectPut, ObjectSeen, PartRead, PartStored,
    PutObject, ReadPart, UploadAborted, UploadCompleted, UploadCreated, UploadPart, launch,
};
use crate::fault::Crash;
use crate::lane::Lanes;

/// The actor that runs the requests of uploads.
///
/// ```no_run
/// # use std::sync::Arc;
/// use actix::{Actor, Recipient};
/// use xfer_actors::{Call, ExtraArgs, Lanes, PutObject, RequestSerializer, Uploader};
///
/// # async fn example(lanes: Lanes, serializer: Arc<RequestSerializer>) -> Result<(), Box<dyn std::error::Error>> {
/// let uploader = Uploader::new(lanes).start();
/// // An actor of the application keeps no more of it than what it sends there.
/// let store: Recipient<PutObject> = uploader.recipient();
/// let call = Call::upload(&serializer, "notes.txt", "bucket", "notes.txt", ExtraArgs::new())?;
/// let stored = store.send(PutObject::new(&call, call.size().unwrap_or_default())).await??;
/// println!("{:?}", stored.object.etag);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Uploader {
    lanes: Lanes,
}

impl Uploader {
    /// An uploader whose requests run on `lanes`.
    #[must_use]
    pub fn new(lanes: Lanes) -> Uploader {
        Uploader { lanes }
    }
}

impl Actor for Uploader {
    type Context = Context<Self>;
}

/// Stateless, so a restart has nothing to set right.
impl Supervised for Uploader {}

macro_rules! handles {
    ($actor:ty: $($command:ty => $fact:ty),* $(,)?) => {$(
        impl Handler<$command> for $actor {
            type Result = Launched<$fact>;

            fn handle(&mut self, command: $command, _context: &mut Context<Self>) -> Self::Result {
                launch(&self.lanes, command)
            }
        }
    )*};
}
pub(crate) use handles;

handles!(
    Uploader:
    PutObject => ObjectPut,
    ReadPart => PartRead,
    CreateUpload => UploadCreated,
    UploadPart => PartStored,
    CompleteUpload => UploadCompleted,
    AbortUpload => UploadAborted,
    LookForObject => ObjectSeen,
);

impl Handler<Crash> for Uploader {
    type Result = ();

    fn handle(&mut self, crash: Crash, _context: &mut Context<Self>) {
        crash.now();
    }
}
