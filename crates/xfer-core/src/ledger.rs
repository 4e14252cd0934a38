//! What every machine keeps: which jobs are under way, the first error, and whether it is over.
//!
//! Invariants: a job is settled once; [`Effect::Withdraw`] goes out once at the most; [`Effect::Finish`] goes out once, and only
//! when no job is under way.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::error::{Error, ErrorKind};
use crate::id::JobId;
use crate::job::{Effect, Job};
use crate::outcome::TransferOutcome;

/// Where an error comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A job, or what the machine makes of its reply.
    Job,
    /// Whoever ends the transfer from outside.
    Stop,
}

/// The jobs under way, each with what the machine has to remember of it, and how the transfer ends.
#[derive(Debug)]
pub(crate) struct Ledger<J> {
    next: u32,
    /// In the order in which they were asked for, which is that of their ids: they end in about the same order, so that one is found and
    /// taken out near the front.
    jobs: VecDeque<(JobId, J)>,
    failure: Option<(Error, Origin)>,
    finished: bool,
}

impl<J> Ledger<J> {
    pub(crate) fn new() -> Ledger<J> {
        Ledger { next: 0, jobs: VecDeque::new(), failure: None, finished: false }
    }

    pub(crate) fn run(&mut self, job: Job, memory: J, out: &mut Vec<Effect>) {
        let id = JobId(self.next);
        self.next += 1;
        if self.jobs.capacity() == 0 {
            // Most transfers have one job, and many of them wait.
            self.jobs.reserve_exact(1);
        }
        self.jobs.push_back((id, memory));
        out.push(Effect::Run { id, job });
    }

    /// Takes a job off; `None` when it is not under way (an answer that came twice).
    pub(crate) fn settle(&mut self, id: JobId) -> Option<J> {
        let place = self.place(id)?;
        self.jobs.remove(place).map(|(_, memory)| memory)
    }

    pub(crate) fn get(&self, id: JobId) -> Option<&J> {
        self.jobs.get(self.place(id)?).map(|(_, memory)| memory)
    }

    fn place(&self, id: JobId) -> Option<usize> {
        self.jobs.binary_search_by_key(&id, |(id, _)| *id).ok()
    }

    pub(crate) fn outstanding(&self) -> usize {
        self.jobs.len()
    }

    /// Notes why the transfer fails, and takes back what is under way. The first error stays, except that the word of the one
    /// who stops a transfer says more than the "cancelled" of a job that was cut.
    pub(crate) fn fail(&mut self, error: Error, origin: Origin, out: &mut Vec<Effect>) {
        match &self.failure {
            None => {
                self.failure = Some((error, origin));
                if !self.jobs.is_empty() {
                    out.push(Effect::Withdraw);
                }
            }
            Some((first, Origin::Job)) if origin == Origin::Stop && first.kind() == ErrorKind::Cancelled => {
                self.failure = Some((error, origin));
            }
            Some(_) => {}
        }
    }

    /// Has the first error say what could not be removed.
    pub(crate) fn leave_behind(&mut self, upload_id: Option<Arc<str>>) {
        if let (Some((error, _)), Some(upload_id)) = (&mut self.failure, upload_id) {
            *error = error.clone().with_left_behind(upload_id);
        }
    }

    pub(crate) fn is_failing(&self) -> bool {
        self.failure.is_some()
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.finished
    }

    pub(crate) fn succeed(&mut self, outcome: TransferOutcome, out: &mut Vec<Effect>) {
        self.finish(Ok(outcome), out);
    }

    pub(crate) fn finish_failed(&mut self, out: &mut Vec<Effect>) {
        let error = match self.failure.take() {
            Some((error, _)) => error,
            None => Error::internal("a transfer ended without success and without an error"),
        };
        self.finish(Err(error), out);
    }

    fn finish(&mut self, result: Result<TransferOutcome, Error>, out: &mut Vec<Effect>) {
        if !self.finished {
            self.finished = true;
            out.push(Effect::Finish(result));
        }
    }
}

/// A job was answered with the reply of another.
pub(crate) fn wrong_reply(job: &str) -> Error {
    Error::internal(format!("{job} was answered with the reply of another job"))
}
