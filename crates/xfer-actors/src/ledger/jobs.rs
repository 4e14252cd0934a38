//! The jobs of one transfer, each with its state: a table that is small where there is one job, as of most transfers, of which a million
//! may wait.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use xfer_core::error::Error;
use xfer_core::id::{Attempt, JobId};
use xfer_core::job::{Job, Reply};
use xfer_core::queue::Class;
use xfer_core::retry::RetryState;

use crate::budget::Permit;
use crate::call::JobProgress;

/// A job and its state.
pub(super) struct JobRecord {
    pub(super) job: Job,
    /// Made with its first attempt.
    pub(super) progress: Option<Arc<JobProgress>>,
    pub(super) retry: RetryState,
    pub(super) attempt: Attempt,
    pub(super) state: JobState,
    /// The turn that its last attempt was given, until the scheduler takes it back.
    pub(super) turn: Option<Turn>,
    /// Whether its last attempt ended without having begun: its command died in a mailbox.
    pub(super) unbegun: bool,
    /// Memory of the budget that a failed attempt had: the next one has it without asking. Whoever had to ask anew could wait for ever
    /// for memory that others hold until this very job is done.
    pub(super) memory: Option<Box<Permit>>,
    /// Bytes that all attempts up to the last one had landed.
    pub(super) landed: u64,
}

impl JobRecord {
    pub(super) fn new(job: Job) -> JobRecord {
        JobRecord {
            job,
            progress: None,
            retry: RetryState::default(),
            attempt: Attempt::FIRST,
            state: JobState::Queued,
            turn: None,
            unbegun: false,
            memory: None,
            landed: 0,
        }
    }
}

/// In which queue and class a job had its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) buffered: bool,
    pub(crate) class: Class,
}

/// Where a job is.
pub(super) enum JobState {
    /// In the queue, or to be put there.
    Queued,
    /// Waits for its next attempt.
    Waiting { due: Instant },
    /// Handed out. `accepted` by a worker, or still in its mailbox.
    Flying { since: Instant, accepted: bool },
    /// Reported, and not yet judged by the scheduler.
    Ended(Box<Result<Reply, Error>>),
}

/// Jobs in the order of their ids, which is nearly that in which they begin and end: what is looked for is near the front.
#[derive(Default)]
pub(super) struct Jobs(VecDeque<(JobId, Box<JobRecord>)>);

impl Jobs {
    pub(super) fn insert(&mut self, id: JobId, record: JobRecord) {
        let record = Box::new(record);
        if self.0.capacity() == 0 {
            self.0.reserve_exact(1);
        }
        match self.place(id) {
            Ok(place) => self.0[place].1 = record,
            Err(place) => self.0.insert(place, (id, record)),
        }
    }

    pub(super) fn get(&self, id: JobId) -> Option<&JobRecord> {
        let place = self.place(id).ok()?;
        self.0.get(place).map(|(_, record)| record.as_ref())
    }

    pub(super) fn get_mut(&mut self, id: JobId) -> Option<&mut JobRecord> {
        let place = self.place(id).ok()?;
        self.0.get_mut(place).map(|(_, record)| record.as_mut())
    }

    pub(super) fn remove(&mut self, id: JobId) -> Option<JobRecord> {
        let place = self.place(id).ok()?;
        self.0.remove(place).map(|(_, record)| *record)
    }

    /// Takes out the jobs that wait: in the queue, or for their next attempt.
    pub(super) fn take_waiting(&mut self) -> Vec<(JobId, JobRecord)> {
        let waits = |record: &JobRecord| matches!(record.state, JobState::Queued | JobState::Waiting { .. });
        let (waiting, others) = std::mem::take(&mut self.0).into_iter().partition(|(_, record)| waits(record));
        self.0 = others;
        let waiting: VecDeque<(JobId, Box<JobRecord>)> = waiting;
        waiting.into_iter().map(|(id, record)| (id, *record)).collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (JobId, &JobRecord)> {
        self.0.iter().map(|(id, record)| (*id, record.as_ref()))
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.0.capacity()
    }

    fn place(&self, id: JobId) -> Result<usize, usize> {
        match self.0.back() {
            // A new job's id is above all others, but for those of a machine that cleans up.
            Some((last, _)) if *last < id => Err(self.0.len()),
            _ => self.0.binary_search_by_key(&id, |(id, _)| *id),
        }
    }
}
