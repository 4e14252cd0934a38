//! xfer: a high-throughput S3 transfer manager. Uploads, downloads and deletes objects, from plain threads and from async code.
//!
//! ```no_run
//! use xfer_facade::{RequestSerializer, TransferManager, create_s3_client};
//!
//! # fn main() -> Result<(), xfer_facade::Error> {
//! let client = create_s3_client("eu-central-1").build()?;
//! let serializer = RequestSerializer::for_client(&client);
//! let manager = TransferManager::new(client, serializer);
//! let future = manager.upload("backup.tar", "my-bucket", "2026/backup.tar").start()?;
//! let outcome = future.result(None)?;
//! println!("{} bytes, verified: {}", outcome.bytes, outcome.verified);
//! # Ok(())
//! # }
//! ```
//!
//! The same from async code: `manager.upload(..).await?`, or `.start()?` and `.await` the future later.
//!
//! | what for | where |
//! |---|---|
//! | the store, its credentials, how much at once | [`create_s3_client`], [`Timeouts`], [`RetryPolicy`] |
//! | calls | [`TransferManager`], [`TransferCall`], [`ExtraArgs`] |
//! | where bytes come from and go to | [`UploadSource`], [`DownloadTarget`], [`DownloadStream`] |
//! | waiting, cancelling, listening | [`TransferFuture`], [`Subscriber`], [`TransferEvents`] |
//! | what a transfer brought | [`TransferOutcome`], [`Verified`] |
//! | an orderly end | [`Shutdown`], [`TransferManager::scope`] |
//! | actors, for actix applications | [`S3Client::actors`], and the crate `xfer_actors` |
//!
//! Sizes are in bytes and throughputs in bytes per second, wherever nothing else is said.
//!
//! Each failure is an [`Error`]: its [`ErrorKind`] is to be matched on, and its text says what went wrong, where, and what may help, on one line
//! and without a secret. What can be seen at once is told by `start()`, the rest by the future.
//!
//! ```no_run
//! # use xfer_facade::{ErrorKind, TransferManager};
//! # fn example(manager: &TransferManager) -> Result<(), xfer_facade::Error> {
//! match manager.download("my-bucket", "model.bin", "/models/model.bin").start()?.result(None) {
//!     Ok(outcome) => println!("{} bytes, {} requests", outcome.bytes, outcome.attempts),
//!     Err(error) if error.kind() == ErrorKind::NoSuchKey => println!("not trained yet"),
//!     Err(error) => return Err(error),
//! }
//! # Ok(())
//! # }
//! ```

mod blocking;
mod callbacks;
mod calls;
mod client;
mod detect;
mod future;
mod lock;
mod manager;
mod meta;
mod registry;
mod serializer;
mod stream;
mod subscriber;
mod timeouts;

pub use xfer_actors::transport::{ProxyPolicy, Verify};
pub use xfer_actors::{DownloadTarget, OsUtils, SystemFiles, UploadSource};
pub use xfer_core::args::{ArgValue, CallKind, ExtraArgs};
pub use xfer_core::checksum::{Algorithm, Checksum, ChecksumKind};
pub use xfer_core::error::{Error, ErrorKind, Place, RetryClass, ServiceAnswer};
pub use xfer_core::id::{PartNumber, TransferId};
pub use xfer_core::outcome::{TransferOutcome, Verified};
pub use xfer_core::restart::{RestartMode, RestartPolicy};
pub use xfer_core::retry::RetryPolicy;
pub use xfer_core::transfer_config::TransferConfig;
pub use xfer_core::units;
pub use xfer_serializer::{EndpointConfig, Operation, RequestDict, SerializedRequest, SignatureVersion};

pub use crate::calls::TransferCall;
pub use crate::client::{S3Client, S3ClientBuilder, create_s3_client};
pub use crate::future::{TransferEvents, TransferFuture};
pub use crate::lock::{ProcessLock, acquire_process_lock};
pub use crate::manager::{Shutdown, ShutdownPlan, TransferManager, TransferManagerBuilder};
pub use crate::meta::{CallArgs, TransferMeta, TransferStatus, UserContext};
pub use crate::serializer::RequestSerializer;
pub use crate::stream::DownloadStream;
pub use crate::subscriber::{Subscriber, TransferEvent, on_done_fn, on_progress_fn, on_queued_fn};
pub use crate::timeouts::Timeouts;
