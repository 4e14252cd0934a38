//! Where the actors are, and how they are told that there is news.

use actix::{Actor, Addr};
use parking_lot::RwLock;
use xfer_core::id::TransferId;
use xfer_core::job::Job;

use crate::coordinator::{Coordinator, TransferNews};
use crate::deleter::Deleter;
use crate::downloader::Downloader;
use crate::scheduler::{AttemptsEnded, BudgetFreed, JobName, PartScheduler};
use crate::uploader::Uploader;

/// Which of the actors that run jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Worker {
    Uploader,
    Downloader,
    Deleter,
}

impl Worker {
    /// Who runs the job.
    pub(crate) fn of(job: &Job) -> Worker {
        match job {
            Job::PutObject { .. }
            | Job::ReadPart { .. }
            | Job::CreateUpload
            | Job::UploadPart { .. }
            | Job::CompleteUpload { .. }
            | Job::AbortUpload { .. }
            | Job::LookForObject { .. } => Worker::Uploader,
            Job::Discover { .. } | Job::FetchRange { .. } | Job::CommitTarget | Job::DiscardTarget => {
                Worker::Downloader
            }
            Job::DeleteObject => Worker::Deleter,
        }
    }
}

/// Where the five actors are now. An actor that was started anew on another thread has another address; who sends looks it up.
#[derive(Default)]
pub(crate) struct Directory {
    pub(crate) coordinator: RwLock<Option<Addr<Coordinator>>>,
    pub(crate) scheduler: RwLock<Option<Addr<PartScheduler>>>,
    pub(crate) uploader: RwLock<Option<Addr<Uploader>>>,
    pub(crate) downloader: RwLock<Option<Addr<Downloader>>>,
    pub(crate) deleter: RwLock<Option<Addr<Deleter>>>,
}

impl Directory {
    /// Nobody is there any more.
    pub(crate) fn clear(&self) {
        *self.coordinator.write() = None;
        *self.scheduler.write() = None;
        *self.uploader.write() = None;
        *self.downloader.write() = None;
        *self.deleter.write() = None;
    }

    /// Whether there is somebody to run a job: what is sent to an actor that has died, and is not replaced yet, is lost.
    pub(crate) fn has(&self, worker: Worker) -> bool {
        match worker {
            Worker::Uploader => is_there(&self.uploader),
            Worker::Downloader => is_there(&self.downloader),
            Worker::Deleter => is_there(&self.deleter),
        }
    }

    /// News for the Coordinator. Lost if it is away: it reads the ledger when it comes back.
    pub(crate) fn news_of(&self, transfers: Vec<TransferId>) {
        if let Some(coordinator) = &*self.coordinator.read() {
            coordinator.do_send(TransferNews { transfers });
        }
    }

    /// News for the scheduler. Lost if it is away: it reads the ledger when it comes back.
    pub(crate) fn ended(&self, jobs: Vec<JobName>) {
        if let Some(scheduler) = &*self.scheduler.read() {
            scheduler.do_send(AttemptsEnded { jobs });
        }
    }

    /// Something came back that the scheduler was refused, or had to wait for.
    pub(crate) fn budget_freed(&self) {
        if let Some(scheduler) = &*self.scheduler.read() {
            scheduler.do_send(BudgetFreed);
        }
    }
}

fn is_there<A: Actor>(place: &RwLock<Option<Addr<A>>>) -> bool {
    place.read().as_ref().is_some_and(Addr::connected)
}
