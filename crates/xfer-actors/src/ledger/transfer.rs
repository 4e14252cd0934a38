//! One transfer as the actors know it: its machine, its jobs and where each of them is, and whom to tell.
//!
//! Never decides what is done next (its machine does) or when (the scheduler does). Invariants: a job has one [`JobState`] at any time; a report
//! counts only if it is of the attempt that is under way; the observer is told one end.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use xfer_core::error::Error;
use xfer_core::id::{Attempt, JobId, TransferId};
use xfer_core::job::{Event, Job, Reply};
use xfer_core::machine::Machine;
use xfer_core::outcome::TransferOutcome;
use xfer_core::queue::Class;
use xfer_core::retry::RetryState;

use super::{cancelled, is_clean_up};
use crate::budget::Permit;
use crate::call::{Call, JobProgress};
use crate::target::Target;

/// An attempt that landed so many new bytes shows that the way is open: its failure does not count against the job. An eighth of a
/// default part.
const GOOD_PROGRESS: u64 = 1 << 20;

/// Who is told what becomes of a transfer. All calls but the first come from the Coordinator's thread and must not block.
pub trait Observer: Send + Sync {
    /// The transfer is accepted. Called before everything else, on the thread that submits it.
    fn queued(&self) {}

    /// `bytes` more have been moved since the last call. Only called if [`wants_progress`](Observer::wants_progress).
    fn progressed(&self, bytes: u64);

    /// It has ended; called exactly once, and after everything else.
    fn finished(&self, result: Result<TransferOutcome, Error>);

    /// Whether anybody listens to progress.
    fn wants_progress(&self) -> bool {
        false
    }
}

/// A transfer as the actors know it.
pub struct Transfer {
    pub(crate) call: Arc<Call>,
    pub(crate) machine: Mutex<MachineSlot>,
    pub(crate) inbox: Mutex<VecDeque<Event>>,
    jobs: Mutex<HashMap<JobId, JobRecord>>,
    observer: Box<dyn Observer>,
    finished: AtomicBool,
    /// With what it was stopped, if it was: its end says that, whatever else has gone wrong meanwhile.
    stopped: Mutex<Option<Error>>,
    retries: AtomicU32,
    started: Instant,
    /// How often progress is told, and when it was told last, in milliseconds since the start.
    progress_interval: Duration,
    told_at: AtomicU64,
    /// The multipart upload that has to be completed or aborted, for the case that its machine is lost.
    open_upload: Mutex<Option<Arc<str>>>,
}

/// The machine, or where it is.
#[derive(Debug)]
pub(crate) enum MachineSlot {
    /// Waits for the next event.
    Idle(Machine),
    /// Thinks. Still in this state when its actor restarts, it died thinking.
    Thinking,
    /// Has finished.
    Gone,
}

/// A job and its state.
struct JobRecord {
    job: Arc<Job>,
    progress: Arc<JobProgress>,
    retry: RetryState,
    attempt: Attempt,
    state: JobState,
    /// The turn that its last attempt was given, until the scheduler takes it back.
    turn: Option<Turn>,
    /// Whether its last attempt ended without having begun: its command died in a mailbox.
    unbegun: bool,
    /// Memory of the budget that a failed attempt had: the next one has it without asking. Whoever had to ask anew could wait for ever
    /// for memory that others hold until this very job is done.
    memory: Option<Permit>,
    /// Bytes that all attempts up to the last one had landed.
    landed: u64,
}

/// In which queue and class a job had its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) buffered: bool,
    pub(crate) class: Class,
}

/// Where a job is.
enum JobState {
    /// In the queue, or to be put there.
    Queued,
    /// Waits for its next attempt.
    Waiting { due: Instant },
    /// Handed out. `accepted` by a worker, or still in its mailbox.
    Flying { since: Instant, accepted: bool },
    /// Reported, and not yet judged by the scheduler.
    Ended(Result<Reply, Error>),
}

/// What the scheduler needs to hand a job out.
pub(crate) struct Launch {
    pub(crate) job: Arc<Job>,
    pub(crate) attempt: Attempt,
    pub(crate) progress: Arc<JobProgress>,
    /// What an earlier attempt had of the memory.
    pub(crate) memory: Option<Permit>,
}

impl Transfer {
    pub(crate) fn new(
        call: Arc<Call>,
        machine: Machine,
        progress_interval: Duration,
        observer: Box<dyn Observer>,
    ) -> Transfer {
        Transfer {
            call,
            machine: Mutex::new(MachineSlot::Idle(machine)),
            inbox: Mutex::new(VecDeque::from([Event::Started])),
            jobs: Mutex::new(HashMap::new()),
            observer,
            finished: AtomicBool::new(false),
            stopped: Mutex::new(None),
            retries: AtomicU32::new(0),
            started: Instant::now(),
            progress_interval,
            told_at: AtomicU64::new(0),
            open_upload: Mutex::new(None),
        }
    }

    /// The transfer's id.
    #[must_use]
    pub fn id(&self) -> TransferId {
        self.call.id()
    }

    /// What its requests share.
    #[must_use]
    pub fn call(&self) -> &Arc<Call> {
        &self.call
    }

    /// Whether its observer has been told the end.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }

    /// Adds a job that its machine asks for.
    pub(crate) fn add_job(&self, id: JobId, job: Job) {
        let record = JobRecord {
            job: Arc::new(job),
            progress: Arc::new(JobProgress::default()),
            retry: RetryState::default(),
            attempt: Attempt::FIRST,
            state: JobState::Queued,
            turn: None,
            unbegun: false,
            memory: None,
            landed: 0,
        };
        self.jobs.lock().insert(id, record);
    }

    /// The job, if it is one of this transfer's.
    pub(crate) fn job(&self, id: JobId) -> Option<Arc<Job>> {
        self.jobs.lock().get(&id).map(|record| Arc::clone(&record.job))
    }

    /// Jobs that no machine has been answered yet.
    pub(crate) fn open_jobs(&self) -> Vec<JobId> {
        self.jobs.lock().keys().copied().collect()
    }

    /// Marks a queued job as handed out in this turn.
    pub(crate) fn launch(&self, id: JobId, turn: Turn) -> Option<Launch> {
        let mut jobs = self.jobs.lock();
        let record = jobs.get_mut(&id)?;
        if !matches!(record.state, JobState::Queued) {
            return None;
        }
        record.state = JobState::Flying { since: Instant::now(), accepted: false };
        record.turn = Some(turn);
        Some(Launch {
            memory: record.memory.take(),
            job: Arc::clone(&record.job),
            attempt: record.attempt,
            progress: Arc::clone(&record.progress),
        })
    }

    pub(super) fn accept(&self, id: JobId, attempt: Attempt) -> bool {
        match self.jobs.lock().get_mut(&id) {
            Some(JobRecord { attempt: now, state: JobState::Flying { accepted, .. }, .. }) if *now == attempt => {
                *accepted = true;
                true
            }
            _ => false,
        }
    }

    /// Takes back the turn of a job whose attempt has ended.
    pub(crate) fn take_turn(&self, id: JobId) -> Option<Turn> {
        match self.jobs.lock().get_mut(&id) {
            Some(record) if matches!(record.state, JobState::Ended(_)) => record.turn.take(),
            _ => None,
        }
    }

    /// Whether a job has been tried before.
    pub(crate) fn is_retry(&self, id: JobId) -> bool {
        self.jobs.lock().get(&id).is_some_and(|record| record.attempt > Attempt::FIRST)
    }

    /// Writes down how an attempt ended; false when that attempt is no longer the one that counts. The memory of a failed one is kept
    /// for the next.
    pub(super) fn report(
        &self,
        id: JobId,
        attempt: Attempt,
        result: Result<Reply, Error>,
        memory: Option<Permit>,
    ) -> bool {
        if let Ok(Reply::UploadCreated { upload_id }) = &result {
            *self.open_upload.lock() = Some(Arc::clone(upload_id));
        }
        if matches!(result, Ok(Reply::UploadCompleted(_) | Reply::UploadAborted { gone: true })) {
            *self.open_upload.lock() = None;
        }
        let mut jobs = self.jobs.lock();
        let Some(record) = jobs.get_mut(&id).filter(|record| record.attempt == attempt) else { return false };
        let JobState::Flying { accepted, .. } = record.state else { return false };
        record.unbegun = !accepted && result.is_err();
        record.memory = memory.filter(|_| result.is_err());
        record.state = JobState::Ended(result);
        true
    }

    /// Judges a job that has ended. `verdict` is given its retry state and its error, if it failed, and answers when to try again, if at
    /// all. A job that is over leaves the ledger for the inbox. Returns what the scheduler has to do.
    pub(crate) fn settle(
        &self,
        id: JobId,
        verdict: impl FnOnce(&mut RetryState, Ended<'_>) -> Option<Duration>,
    ) -> Settled {
        let mut jobs = self.jobs.lock();
        let Some(record) = jobs.get_mut(&id) else { return Settled::Nothing };
        if !matches!(record.state, JobState::Ended(_)) {
            return Settled::Nothing;
        }
        let landed = record.progress.landed();
        if landed.saturating_sub(record.landed) >= GOOD_PROGRESS {
            record.landed = landed;
            record.retry.on_progress();
        }
        let JobState::Ended(result) = std::mem::replace(&mut record.state, JobState::Queued) else {
            return Settled::Nothing;
        };
        let event = match result {
            Ok(reply) => {
                verdict(&mut record.retry, Ended { job: &record.job, unbegun: false, error: None });
                Event::Done { job: id, reply }
            }
            Err(error) => match verdict(
                &mut record.retry,
                Ended { job: &record.job, unbegun: record.unbegun, error: Some(&error) },
            ) {
                // A transfer that was cut tidies up, and tries nothing else again.
                Some(delay) if !self.call.cut.is_cancelled() || is_clean_up(&record.job) => {
                    self.retries.fetch_add(1, Ordering::Relaxed);
                    let attempt = record.attempt;
                    record.attempt = attempt.next();
                    tracing::debug!(target: "xfer::retry", transfer = %self.id(), job = record.job.name(), %attempt, ?delay, %error, "an attempt failed");
                    if delay.is_zero() {
                        return Settled::Requeue;
                    }
                    record.state = JobState::Waiting { due: Instant::now() + delay };
                    return Settled::RetryAfter(delay);
                }
                _ => Event::Failed { job: id, error: error.after_attempts(record.attempt.0) },
            },
        };
        jobs.remove(&id);
        drop(jobs);
        self.inbox.lock().push_back(event);
        Settled::Over
    }

    /// Puts a waiting job back into the queue's reach, when its time has come: a timer may be of an earlier pause.
    pub(crate) fn ready(&self, id: JobId) -> bool {
        match self.jobs.lock().get_mut(&id) {
            Some(record) if matches!(record.state, JobState::Waiting { due } if due <= Instant::now()) => {
                record.state = JobState::Queued;
                true
            }
            _ => false,
        }
    }

    /// Ends every job that is not handed out: they fail as cancelled. Those handed out are cut by the call's token.
    pub(crate) fn withdraw(&self) {
        let mut ended = Vec::new();
        self.jobs.lock().retain(|id, record| {
            let waits = matches!(record.state, JobState::Queued | JobState::Waiting { .. });
            if waits {
                ended.push(*id);
            }
            !waits
        });
        let mut inbox = self.inbox.lock();
        inbox.extend(ended.into_iter().map(|job| Event::Failed { job, error: cancelled() }));
    }

    /// Takes back jobs that lie in a mailbox for too long, as if their worker had died: they are handed out again, in another turn.
    pub(crate) fn take_back_stale(&self, patience: Duration) -> Vec<(JobId, Option<Turn>)> {
        let mut stale = Vec::new();
        for (id, record) in self.jobs.lock().iter_mut() {
            if let JobState::Flying { since, accepted: false } = record.state
                && since.elapsed() > patience
            {
                record.attempt = record.attempt.next();
                record.state = JobState::Queued;
                stale.push((*id, record.turn.take()));
            }
        }
        stale
    }

    /// What a scheduler that was started anew must know of this transfer's jobs, in the order in which they were asked for: were a
    /// later range of an in-order target to get its memory first, the earlier one might wait for that memory for ever.
    pub(crate) fn reconcile(&self) -> Vec<(JobId, Pending)> {
        let mut pending: Vec<(JobId, Pending)> = self
            .jobs
            .lock()
            .iter()
            .filter_map(|(id, record)| match &record.state {
                JobState::Queued => Some((*id, Pending::Queued)),
                JobState::Waiting { due } => Some((*id, Pending::Waiting { due: *due })),
                JobState::Ended(_) => Some((*id, Pending::Ended)),
                JobState::Flying { .. } => None,
            })
            .collect();
        pending.sort_by_key(|(id, _)| *id);
        pending
    }

    pub(crate) fn tell(&self, event: Event) {
        self.inbox.lock().push_back(event);
    }

    /// Whether the Coordinator has something to do.
    pub(crate) fn has_news(&self) -> bool {
        !self.inbox.lock().is_empty()
    }

    pub(crate) fn open_upload(&self) -> Option<Arc<str>> {
        self.open_upload.lock().clone()
    }

    /// Takes the upload that somebody has to abort.
    pub(super) fn take_open_upload(&self) -> Option<Arc<str>> {
        self.open_upload.lock().take()
    }

    /// Lets it end with `error`; false when it is final already or was stopped before.
    pub(super) fn stop(&self, error: Error) -> bool {
        {
            // Together, so that the end finds the word of the one who was told that it counts.
            let mut stopped = self.stopped.lock();
            if !self.call.phase.try_stop() {
                return false;
            }
            *stopped = Some(error.clone());
        }
        self.tell(Event::Stop { error });
        true
    }

    pub(crate) fn wants_progress(&self) -> bool {
        self.observer.wants_progress()
    }

    /// Tells the observer what has been moved, if it is time again.
    pub(crate) fn report_progress_if_due(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let interval = u64::try_from(self.progress_interval.as_millis()).unwrap_or(u64::MAX);
        if now.saturating_sub(self.told_at.load(Ordering::Relaxed)) >= interval {
            self.told_at.store(now, Ordering::Relaxed);
            self.report_progress();
        }
    }

    /// Tells the observer what has been moved since it was told last.
    fn report_progress(&self) {
        let bytes = self.call.meter.unreported();
        if bytes > 0 && self.observer.wants_progress() {
            self.observer.progressed(bytes);
        }
    }

    /// Tells the end, once.
    pub(crate) fn finish(&self, result: Result<TransferOutcome, Error>) {
        if self.finished.swap(true, Ordering::AcqRel) {
            return;
        }
        let result = {
            let stopped = self.stopped.lock();
            self.call.phase.close();
            match (result, &*stopped) {
                (Err(_), Some(word)) => Err(word.clone()),
                (result, _) => result,
            }
        };
        let result = result.map(|mut outcome| {
            outcome.attempts = self.call.requests.load(Ordering::Relaxed);
            outcome.retries = self.retries.load(Ordering::Relaxed);
            outcome.elapsed = self.started.elapsed();
            outcome.body = self.call.target.as_ref().and_then(Target::take_body);
            outcome
        });
        let result = result.map_err(|error| match error.at().bucket {
            Some(_) => error,
            None => error.in_object(Arc::clone(self.call.bucket()), Arc::clone(self.call.key())),
        });
        if let Some(source) = &self.call.source {
            source.close();
        }
        if let Some(target) = &self.call.target {
            match (&result, target) {
                (Err(error), Target::Ordered(ordered)) => ordered.end(Err(error.clone())),
                (Err(_), target) => target.discard(),
                (Ok(_), _) => {}
            }
        }
        if result.is_ok() {
            self.report_progress();
        }
        self.observer.finished(result);
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.finish(Err(Error::internal("the transfer's actors are gone")));
    }
}

impl fmt::Debug for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transfer")
            .field("call", &self.call)
            .field("finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}

/// What the scheduler has to do with a job that ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// It was judged before.
    Nothing,
    /// Put it into the queue at once.
    Requeue,
    /// Put it into the queue after a while.
    RetryAfter(Duration),
    /// The Coordinator has news.
    Over,
}

/// A job that has ended, to be judged.
pub(crate) struct Ended<'a> {
    pub(crate) job: &'a Job,
    /// Whether the attempt failed before it had begun.
    pub(crate) unbegun: bool,
    pub(crate) error: Option<&'a Error>,
}

/// A job of the ledger that nobody holds.
pub(crate) enum Pending {
    Queued,
    Waiting { due: Instant },
    Ended,
}
