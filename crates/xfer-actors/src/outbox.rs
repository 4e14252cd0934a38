//! What a lane has to tell the scheduler, told together.
//!
//! Waking another thread costs more than a small object's whole answer. So the ends of small jobs are gathered while the lane has
//! something else to do, and told in one message when everything that was ready has had its turn. Nothing depends on that message: the ends
//! are in the ledger already.
//!
//! Invariant: whatever was put in is told, at the latest when the lane ends.

use std::cell::RefCell;
use std::sync::Arc;

use tokio::sync::Notify;

use crate::ledger::Ledger;
use crate::scheduler::JobName;

/// Ends of jobs that are not told yet, all of one system.
#[derive(Default)]
pub(crate) struct Outbox {
    waiting: RefCell<Option<(Arc<Ledger>, Vec<JobName>)>>,
    stirred: Notify,
}

impl Outbox {
    /// Takes the end of a job; it is told soon, or `at_once` with all that wait.
    pub(crate) fn put(&self, ledger: &Arc<Ledger>, job: JobName, at_once: bool) {
        if self.waiting.borrow().as_ref().is_some_and(|(of, _)| !Arc::ptr_eq(of, ledger)) {
            self.tell();
        }
        self.waiting.borrow_mut().get_or_insert_with(|| (Arc::clone(ledger), Vec::new())).1.push(job);
        if at_once {
            self.tell();
        } else {
            self.stirred.notify_one();
        }
    }

    /// Tells what was gathered, for as long as the lane lives. It is woken behind the tasks that were ready before.
    pub(crate) async fn serve(&self) {
        loop {
            self.stirred.notified().await;
            self.tell();
        }
    }

    fn tell(&self) {
        let waiting = self.waiting.borrow_mut().take();
        if let Some((ledger, jobs)) = waiting {
            ledger.directory.ended(jobs);
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.tell();
    }
}
