//! The Downloader: runs the requests of downloads, and what makes a target final or removes it.
//!
//! Turns one command into one task on a lane and reports exactly once. Never retries, never plans: see the PartScheduler and
//! `xfer_core::download`.

use actix::{Actor, Context, Handler, Supervised};

use crate::command::{
    CommitTarget, DiscardTarget, DiscoverObject, FetchRange, Launched, ObjectDiscovered, RangeLanded, TargetCommitted,
    TargetDiscarded, launch,
};
use crate::fault::Crash;
use crate::lane::Lanes;
use crate::uploader::handles;

/// The actor that runs the requests of downloads.
///
/// ```no_run
/// use std::sync::Arc;
/// use actix::Actor;
/// use xfer_actors::{Call, CommitTarget, DiscoverObject, Downloader, ExtraArgs, Lanes, RequestSerializer};
///
/// # async fn example(lanes: Lanes, serializer: Arc<RequestSerializer>) -> Result<(), Box<dyn std::error::Error>> {
/// let downloader = Downloader::new(lanes).start();
/// let call = Call::download(&serializer, "bucket", "notes.txt", "/tmp/notes.txt", ExtraArgs::new())?;
/// let landed = downloader.send(DiscoverObject::new(&call, 8 << 20, false)).await??;
/// downloader.send(CommitTarget::new(&call)).await??;
/// println!("{} bytes", landed.length);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Downloader {
    lanes: Lanes,
}

impl Downloader {
    /// A downloader whose requests run on `lanes`.
    #[must_use]
    pub fn new(lanes: Lanes) -> Downloader {
        Downloader { lanes }
    }
}

impl Actor for Downloader {
    type Context = Context<Self>;
}

/// Stateless, so a restart has nothing to set right.
impl Supervised for Downloader {}

handles!(
    Downloader:
    DiscoverObject => ObjectDiscovered,
    FetchRange => RangeLanded,
    CommitTarget => TargetCommitted,
    DiscardTarget => TargetDiscarded,
);

impl Handler<Crash> for Downloader {
    type Result = ();

    fn handle(&mut self, crash: Crash, _context: &mut Context<Self>) {
        crash.now();
    }
}
