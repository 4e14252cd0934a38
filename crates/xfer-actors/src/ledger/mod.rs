//! The ledger: which transfers there are, which jobs each has, and who holds them. It outlives every actor.
//!
//! Messages between actors are news; the ledger is the truth. A job's end is written here by the lane that ran it before anybody is
//! told, so a message that dies with an actor loses nothing: after a restart the Coordinator and the PartScheduler read the ledger
//! and go on. Who holds a job holds a [`Duty`], which reports exactly once, by a fall from its owner's hands if not otherwise.
//!
//! Invariants: a job has one [`JobState`] at any time; a report counts only if it is of the attempt that is under way; a transfer leaves
//! the ledger when its observer has been told its end, and is told one even if everything else has gone.
mod directory;
mod duty;
mod jobs;
mod transfer;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use dashmap::DashMap;
use foldhash::fast::RandomState;
use tokio::sync::Notify;
use xfer_core::error::{Error, ErrorKind};
use xfer_core::id::TransferId;
use xfer_core::job::{Event, Job};
use xfer_core::outcome::TransferOutcome;

use crate::budget::SharedBudget;
use crate::call::JobProgress;
use crate::lane::Lanes;
use crate::settings::Settings;
use crate::target::Target;
use crate::target::reorder::Delivery;
use crate::work;

pub(crate) use directory::{Directory, Worker};
pub(crate) use duty::Duty;
pub(crate) use jobs::Turn;
pub(crate) use transfer::{Launch, Lying, MachineSlot, Pending, Settled};
pub use transfer::{Observer, Transfer};

/// Transfers at once that make a rush.
const RUSH: usize = 10_000;

/// What the actors of one system share.
pub(crate) struct Ledger {
    transfers: DashMap<TransferId, Arc<Transfer>, RandomState>,
    /// How many there are: asked for at each transfer's end, and the map itself would lock each of its shards to say it.
    count: AtomicUsize,
    /// Whether there were very many since it was empty last.
    rush: AtomicBool,
    pub(crate) directory: Directory,
    pub(crate) budget: Arc<SharedBudget>,
    pub(crate) lanes: Lanes,
    pub(crate) settings: Settings,
    /// Told whenever the last transfer has left.
    pub(crate) idle: Notify,
    /// Transfers under way whose progress somebody listens to.
    pub(crate) watched: DashMap<TransferId, Arc<Transfer>, RandomState>,
}

impl Ledger {
    pub(crate) fn new(settings: Settings, lanes: Lanes) -> Arc<Ledger> {
        Arc::new_cyclic(|weak: &std::sync::Weak<Ledger>| {
            let weak = weak.clone();
            let wake = move || {
                if let Some(ledger) = weak.upgrade() {
                    ledger.directory.budget_freed();
                }
            };
            Ledger {
                transfers: DashMap::default(),
                count: AtomicUsize::new(0),
                rush: AtomicBool::new(false),
                directory: Directory::default(),
                budget: Arc::new(SharedBudget::new(settings.limits(), wake)),
                lanes,
                settings,
                idle: Notify::new(),
                watched: DashMap::default(),
            }
        })
    }

    /// The transfer, while it goes on.
    pub(crate) fn transfer(&self, id: TransferId) -> Option<Arc<Transfer>> {
        self.transfers.get(&id).map(|entry| Arc::clone(&entry))
    }

    /// Enters a transfer; the Coordinator finds it here even if the message that announces it is lost.
    pub(crate) fn enter(self: &Arc<Self>, transfer: Arc<Transfer>) {
        if let Some(Target::Ordered(target)) = transfer.call.target.as_deref() {
            let (ledger, heir) = (Arc::downgrade(self), Arc::downgrade(&transfer));
            target.listen(move |delivery| {
                let (Some(ledger), Some(transfer)) = (ledger.upgrade(), heir.upgrade()) else { return };
                transfer.tell(match delivery {
                    Delivery::Delivered(bytes) => Event::Delivered { bytes },
                    Delivery::Failed(error) => Event::Stop { error },
                });
                ledger.announce(transfer.id());
            });
        }
        // Before it can be found, so that there are never more than are counted.
        if self.count.fetch_add(1, Ordering::AcqRel) >= RUSH {
            self.rush.store(true, Ordering::Relaxed);
        }
        self.transfers.insert(transfer.id(), transfer);
    }

    /// Transfers that have not ended.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Whether all transfers have ended.
    pub(crate) fn is_idle(&self) -> bool {
        self.count() == 0
    }

    /// All transfers that have not ended, in the order in which they came. Takes as long as there are many: for restarts and ends.
    pub(crate) fn all(&self) -> Vec<Arc<Transfer>> {
        let mut all: Vec<Arc<Transfer>> = self.transfers.iter().map(|entry| Arc::clone(&entry)).collect();
        all.sort_unstable_by_key(|transfer| transfer.id());
        all
    }

    /// Takes a transfer out that has ended.
    pub(crate) fn leave(&self, id: TransferId) {
        self.watched.remove(&id);
        let transfer = self.transfers.remove(&id);
        if let Some((_, transfer)) = &transfer {
            self.give_place_back(transfer);
        }
        self.left(usize::from(transfer.is_some()));
    }

    /// A transfer begins, with what the budget has for it; it has that until it leaves.
    pub(crate) fn begin(&self, transfer: &Transfer) {
        transfer.placed.store(true, Ordering::Release);
        if !self.transfers.contains_key(&transfer.id()) {
            // It has left at this moment.
            self.give_place_back(transfer);
        }
    }

    fn give_place_back(&self, transfer: &Transfer) {
        if transfer.placed.swap(false, Ordering::AcqRel) {
            self.budget.transfer_ended();
        }
    }

    fn left(&self, many: usize) {
        if many == 0 || self.count.fetch_sub(many, Ordering::AcqRel) != many {
            return;
        }
        if self.rush.swap(false, Ordering::Relaxed) {
            // After a rush, memory is not kept for the next one.
            self.transfers.shrink_to_fit();
        }
        self.idle.notify_waiters();
    }

    /// Tells the Coordinator that a transfer has news.
    pub(crate) fn announce(&self, transfer: TransferId) {
        self.directory.news_of(vec![transfer]);
    }

    /// Stops a transfer with `error`, unless it is final already or was stopped before.
    pub(crate) fn stop(&self, transfer: &Transfer, error: Error) -> bool {
        let stopped = transfer.stop(error);
        if stopped {
            self.announce(transfer.id());
        }
        stopped
    }

    /// Ends every transfer at once, without the actors: they are gone.
    pub(crate) fn abandon(&self, error: &Error) {
        let mut all = Vec::new();
        // One that enters at this moment is either taken out here or stays, but is never taken out unseen.
        self.transfers.retain(|_, transfer| {
            all.push(Arc::clone(transfer));
            false
        });
        self.left(all.len());
        self.watched.clear();
        for transfer in all {
            self.abandon_one(&transfer, error);
        }
    }

    /// Ends a transfer at once, without the actors.
    pub(crate) fn abandon_one(&self, transfer: &Transfer, error: &Error) {
        self.leave(transfer.id());
        transfer.call.cut();
        self.conclude(transfer, Err(error.clone()));
        self.abort_orphan(transfer);
    }

    /// Aborts the multipart upload of a transfer that was ended without its machine. Once, and nobody waits for it: there is nobody left
    /// who could try again.
    fn abort_orphan(&self, transfer: &Transfer) {
        let Some(upload_id) = transfer.take_open_upload() else { return };
        let (call, lanes) = (Arc::clone(&transfer.call), self.lanes.clone());
        self.lanes.spawn(true, move |lane, place| async move {
            let job = Job::AbortUpload { upload_id };
            if let Err(error) = work::run(&lane, &call, &job, &JobProgress::default(), None).await {
                tracing::warn!(transfer = %call.id(), %error, "a multipart upload is left behind");
            }
            drop(place);
            // Kept until now: without it the lane ends.
            drop(lanes);
        });
    }

    /// Tells a transfer's end, and has what the caller gave it let go of where it may block: dropping a reader or a writer runs the
    /// caller's code.
    pub(crate) fn conclude(&self, transfer: &Transfer, result: Result<TransferOutcome, Error>) {
        transfer.finish(result);
        if let Some(release) = transfer.call.release() {
            self.lanes.spawn(false, move |_lane, _place| async move {
                // Dropped with the lane if that ends first.
                drop(tokio::task::spawn_blocking(release));
            });
        }
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("transfers", &self.count()).finish_non_exhaustive()
    }
}

/// What withdrawn and cut jobs fail with.
pub(crate) fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "")
}

/// Whether a job removes what a failed transfer would leave behind.
pub(crate) fn is_clean_up(job: &Job) -> bool {
    matches!(job, Job::AbortUpload { .. } | Job::DiscardTarget)
}

#[cfg(test)]
mod tests;
