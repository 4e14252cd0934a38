//! The obligation to report.

use std::fmt;
use std::sync::Arc;

use xfer_core::error::Error;
use xfer_core::id::{Attempt, JobId};
use xfer_core::job::{Event, Note, Reply};

use super::{Launch, Ledger, Transfer};
use crate::budget::Permit;
use crate::call::JobProgress;
use crate::outbox::Outbox;
use crate::scheduler::JobName;

/// Jobs that moved so many bytes are reported at once: the wake-up costs next to nothing beside them, and the lane may be busy with others
/// for a while before it comes to telling.
const BULK: u64 = 1 << 20;

/// The obligation to report how an attempt ended. Exactly one report is made, whatever becomes of it.
pub(crate) struct Duty {
    ledger: Arc<Ledger>,
    transfer: Arc<Transfer>,
    job: JobId,
    attempt: Attempt,
    pub(crate) progress: Arc<JobProgress>,
    /// The request's share of the budget.
    permit: Option<Permit>,
    /// The memory's share.
    memory: Option<Permit>,
    reported: bool,
}

impl Duty {
    pub(crate) fn new(
        ledger: &Arc<Ledger>,
        transfer: &Arc<Transfer>,
        job: JobId,
        launch: &mut Launch,
        mut permit: Permit,
    ) -> Duty {
        let memory = launch.memory.take().or_else(|| permit.split_memory());
        Duty {
            ledger: Arc::clone(ledger),
            transfer: Arc::clone(transfer),
            job,
            attempt: launch.attempt,
            progress: Arc::clone(&launch.progress),
            permit: Some(permit),
            memory,
            reported: false,
        }
    }

    /// A worker has it; false when it was taken back meanwhile, and must not be carried out.
    pub(crate) fn accept(&self) -> bool {
        self.transfer.accept(self.job, self.attempt)
    }

    /// Tells something before the end. What is not `urgent` is heard with the job's end, which saves a wake-up for each small object.
    pub(crate) fn note(&self, note: Note, urgent: bool) {
        self.transfer.tell(Event::Noted { job: self.job, note });
        if urgent {
            self.ledger.announce(self.transfer.id());
        }
    }

    /// The memory part of the permit, to be held beyond the job.
    pub(crate) fn take_memory(&mut self) -> Option<Permit> {
        self.memory.take()
    }

    /// Gives back the memory above `bytes`.
    pub(crate) fn shrink_memory(&mut self, bytes: u64) {
        if let Some(memory) = &mut self.memory {
            memory.shrink_memory(bytes);
        }
    }

    /// The report, told with the others of this moment, if there are any: see [`Outbox`].
    pub(crate) fn fulfil(mut self, result: Result<Reply, Error>, outbox: &Outbox) {
        if self.report(result) {
            outbox.put(&self.ledger, self.name(), self.progress.reached_so_far() >= BULK);
        }
    }

    fn name(&self) -> JobName {
        JobName { transfer: self.transfer.id(), job: self.job }
    }

    /// Writes the end down; whether the scheduler is to be told.
    fn report(&mut self, result: Result<Reply, Error>) -> bool {
        if std::mem::replace(&mut self.reported, true) {
            return false;
        }
        // Before the news, so that who hears of it finds the budget free; and without a word of its own, which would wake the scheduler
        // for each end.
        if let Some(permit) = self.permit.take() {
            permit.give_back_silently();
        }
        let memory = self.memory.take();
        let counts = self.transfer.report(self.job, self.attempt, result, memory);
        if self.transfer.is_finished() {
            // It was abandoned while this attempt opened an upload.
            self.ledger.abort_orphan(&self.transfer);
        }
        if !counts {
            self.ledger.budget.wake_if_starved();
        }
        counts
    }
}

impl Drop for Duty {
    fn drop(&mut self) {
        if !self.reported {
            let what = if std::thread::panicking() { "the part's task panicked" } else { "the part's task was lost" };
            if self.report(Err(Error::internal(what))) {
                self.ledger.directory.ended(vec![self.name()]);
            }
        }
    }
}

impl fmt::Debug for Duty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Duty({} {} {})", self.transfer.id(), self.job, self.attempt)
    }
}
