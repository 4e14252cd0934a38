//! The actors of xfer: Coordinator, PartScheduler, Uploader, Downloader and Deleter, their supervision, transport and disk.
//!
//! Control plane: five actors on a thread of their own, which exchange typed messages. Data plane: tasks on [`lane`]s. Bytes never
//! travel in messages and never change lane. What is decided is decided in `xfer_core`; here it is carried out. What goes on is written down in
//! one ledger outside of the actors, so that one that is started anew has lost nothing: messages between them only say where to look.
//!
//! Most programs want `xfer_facade::TransferManager`, which shows no actor. Actix applications use the whole system through [`XferSystem`], or
//! single actors: a message to one is one request, made once; planning and repeating are the whole system's. What is sent is answered twice:
//! the outer result is actix's own, whether the actor could be reached, and the inner one the request's, with xfer's [`Error`].
//!
//! ```no_run
//! use std::sync::Arc;
//! use actix::Actor;
//! use xfer_actors::{Call, ExtraArgs, Lanes, PutObject, RequestSerializer, Uploader};
//!
//! # async fn example(lanes: Lanes, serializer: Arc<RequestSerializer>) -> Result<(), Box<dyn std::error::Error>> {
//! let uploader = Uploader::new(lanes).start();
//! let call = Call::upload(&serializer, &b"hello"[..], "bucket", "greeting", ExtraArgs::new())?;
//! match uploader.send(PutObject::new(&call, 5)).await? {
//!     Ok(stored) => println!("{:?}", stored.object.etag),
//!     Err(error) => println!("{:?}: {error}", error.kind()),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! | what for | where |
//! |---|---|
//! | one object's data, shared by its requests | [`Call`], [`source`], [`target`] |
//! | single requests | [`Uploader`], [`Downloader`], [`Deleter`], which run on [`Lanes`] |
//! | whole transfers: parts, retries, fairness, cleaning up | [`XferSystem`], [`Settings`], [`Tuning`], [`Observer`] |
//! | keeping actors of your own alive | [`supervise`] |
//! | HTTP/1.1 by itself | [`transport`] |
//!
//! With `panic = "abort"` nothing can be restarted: leave the default in programs that count on supervision.

mod budget;
mod call;
mod ceiling;
mod command;
#[cfg(test)]
mod contention;
mod coordinator;
mod deleter;
mod descriptors;
mod disk;
mod downloader;
mod fault;
pub mod lane;
mod ledger;
mod os;
mod outbox;
mod scheduler;
mod settings;
pub mod source;
mod stores;
pub mod supervise;
mod system;
pub mod target;
#[cfg(test)]
mod test_kit;
pub mod transport;
mod turn;
mod uploader;
mod work;

// What commands and facts are made of, so that who uses the actors needs no other crate.
pub use xfer_core::args::ExtraArgs;
pub use xfer_core::budget::InUse;
pub use xfer_core::checksum::Checksum;
pub use xfer_core::error::{Error, ErrorKind};
pub use xfer_core::id::{Attempt, JobId, PartNumber, TransferId};
pub use xfer_core::job::{SeenObject, StoredObject, UploadedPart};
pub use xfer_core::outcome::TransferOutcome;
pub use xfer_core::range::ByteRange;
pub use xfer_serializer::{EndpointConfig, RequestSerializer, SignatureVersion};

pub use crate::call::Call;
pub use crate::command::{
    AbortUpload, CommitTarget, CompleteUpload, CreateUpload, DeleteObject, DiscardTarget, DiscoverObject, FetchRange,
    Launched, LookForObject, ObjectDeleted, ObjectDiscovered, ObjectPut, ObjectSeen, PartRead, PartStored, PutObject,
    RangeLanded, ReadPart, TargetCommitted, TargetDiscarded, UploadAborted, UploadCompleted, UploadCreated, UploadPart,
};
pub use crate::coordinator::{Coordinator, StartTransfer, TransferNews};
pub use crate::deleter::Deleter;
pub use crate::downloader::Downloader;
pub use crate::fault::Crash;
pub use crate::lane::{Lanes, on_lane};
pub use crate::ledger::{Observer, Transfer};
pub use crate::os::{OsUtils, SystemFiles};
pub use crate::scheduler::{AttemptsEnded, BudgetFreed, EnqueueJobs, JobName, PartScheduler};
pub use crate::settings::{Settings, Tuning};
pub use crate::source::UploadSource;
pub use crate::system::{Role, XferSystem};
pub use crate::target::DownloadTarget;
pub use crate::uploader::Uploader;
