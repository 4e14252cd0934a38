//! One transfer as the actors know it: its machine, its jobs and where each of them is, and whom to tell.
//!
//! Never decides what is done next (its machine does) or when (the scheduler does). Invariants: a job has one [`JobState`] at any time; a report
//! counts only if it is of the attempt that is under way; the observer is told one end.

use std::collections::VecDeque;
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
use xfer_core::retry::RetryState;

use super::jobs::{JobRecord, JobState, Jobs, Turn};
use super::{cancelled, is_clean_up};
use crate::budget::Permit;
use crate::call::{Call, JobProgress};
use crate::target::Target;

/// An attempt that landed so many new bytes shows that the way is open: its failure does not count against the job. An eighth of a
/// default part.
const GOOD_PROGRESS: u64 = 1 << 20;

/// Who is told what becomes of a transfer. All calls but the first come from the Coordinator's thread and must not block.
///
/// ```
/// use std::sync::mpsc::Sender;
/// use xfer_actors::{Error, Observer, TransferOutcome};
///
/// /// Hands the end on. Sending does not block.
/// struct Tell(Sender<Result<TransferOutcome, Error>>);
///
/// impl Observer for Tell {
///     fn progressed(&self, _bytes: u64) {}
///
///     fn finished(&self, result: Result<TransferOutcome, Error>) {
///         // Nobody may wait any more.
///         let _ = self.0.send(result);
///     }
/// }
/// ```
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

/// A transfer as the actors know it: what [`XferSystem::submit`](crate::XferSystem::submit) gives.
///
/// ```
/// use std::sync::Arc;
/// use xfer_actors::{Call, Error, Observer, Tuning, XferSystem};
///
/// fn start_and_cancel(system: &XferSystem, call: &Arc<Call>, observer: Box<dyn Observer>) -> Result<(), Error> {
///     let transfer = system.submit(call, &Tuning::default(), observer)?;
///     if !system.cancel(&transfer) {
///         println!("{}: too late, all {} bytes are there", transfer.id(), transfer.call().bytes_transferred());
///     }
///     Ok(())
/// }
/// ```
pub struct Transfer {
    pub(crate) call: Arc<Call>,
    pub(crate) machine: Mutex<MachineSlot>,
    inbox: Mutex<VecDeque<Event>>,
    jobs: Mutex<Jobs>,
    observer: Box<dyn Observer>,
    finished: AtomicBool,
    /// Whether it holds its share of the transfers that may have begun.
    pub(crate) placed: AtomicBool,
    /// With what it was stopped, if it was: its end says that, whatever else has gone wrong meanwhile.
    stopped: Mutex<Option<Error>>,
    retries: AtomicU32,
    started: Instant,
    /// How often progress is told, and when it was told last, in milliseconds since the start.
    progress_interval_ms: u32,
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

/// What the scheduler needs to hand a job out.
pub(crate) struct Launch {
    pub(crate) job: Job,
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
            jobs: Mutex::default(),
            observer,
            finished: AtomicBool::new(false),
            placed: AtomicBool::new(false),
            stopped: Mutex::new(None),
            retries: AtomicU32::new(0),
            started: Instant::now(),
            progress_interval_ms: u32::try_from(progress_interval.as_millis()).unwrap_or(u32::MAX),
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
        self.jobs.lock().insert(id, JobRecord::new(job));
    }

    /// What `look` sees in the job, if it is one of this transfer's.
    pub(crate) fn look_at<T>(&self, id: JobId, look: impl FnOnce(&Job) -> T) -> Option<T> {
        self.jobs.lock().get(id).map(|record| look(&record.job))
    }

    /// Jobs that no machine has been answered yet.
    pub(crate) fn open_jobs(&self) -> Vec<JobId> {
        self.jobs.lock().iter().map(|(id, _)| id).collect()
    }

    /// Marks a queued job as handed out in this turn.
    pub(crate) fn launch(&self, id: JobId, turn: Turn) -> Option<Launch> {
        let mut jobs = self.jobs.lock();
        let record = jobs.get_mut(id)?;
        if !matches!(record.state, JobState::Queued) {
            return None;
        }
        record.state = JobState::Flying { since: Instant::now(), accepted: false };
        record.turn = Some(turn);
        Some(Launch {
            memory: record.memory.take().map(|memory| *memory),
            job: record.job.clone(),
            attempt: record.attempt,
            progress: Arc::clone(record.progress.get_or_insert_with(|| self.call.meter.begin_job())),
        })
    }

    /// Whether it needs a place among the transfers that may have begun, and has none. One that waits for the caller's reader or writer needs
    /// none, since they may wait for another transfer; nor does a delete, which keeps nothing.
    pub(crate) fn waits_for_a_place(&self) -> bool {
        !self.placed.load(Ordering::Acquire) && self.call.moves_by_itself()
    }

    pub(super) fn accept(&self, id: JobId, attempt: Attempt) -> bool {
        match self.jobs.lock().get_mut(id) {
            Some(JobRecord { attempt: now, state: JobState::Flying { accepted, .. }, .. }) if *now == attempt => {
                *accepted = true;
                true
            }
            _ => false,
        }
    }

    /// Takes back the turn of a job whose attempt has ended.
    pub(crate) fn take_turn(&self, id: JobId) -> Option<Turn> {
        match self.jobs.lock().get_mut(id) {
            Some(record) if matches!(record.state, JobState::Ended(_)) => record.turn.take(),
            _ => None,
        }
    }

    /// Whether a job has been tried before.
    pub(crate) fn is_retry(&self, id: JobId) -> bool {
        self.jobs.lock().get(id).is_some_and(|record| record.attempt > Attempt::FIRST)
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
        let Some(record) = jobs.get_mut(id).filter(|record| record.attempt == attempt) else { return false };
        let JobState::Flying { accepted, .. } = record.state else { return false };
        record.unbegun = !accepted && result.is_err();
        record.memory = memory.filter(|_| result.is_err()).map(Box::new);
        record.state = JobState::Ended(Box::new(result));
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
        let Some(record) = jobs.get_mut(id) else { return Settled::Nothing };
        if !matches!(record.state, JobState::Ended(_)) {
            return Settled::Nothing;
        }
        let landed = record.progress.as_ref().map_or(0, |progress| progress.landed());
        if landed.saturating_sub(record.landed) >= GOOD_PROGRESS {
            record.landed = landed;
            record.retry.on_progress();
        }
        let JobState::Ended(result) = std::mem::replace(&mut record.state, JobState::Queued) else {
            return Settled::Nothing;
        };
        let event = match *result {
            Ok(reply) => {
                verdict(&mut record.retry, Ended { job: &record.job, unbegun: false, error: None });
                Event::Done { job: id, reply }
            }
            Err(error) => match verdict(
                &mut record.retry,
                Ended { job: &record.job, unbegun: record.unbegun, error: Some(&error) },
            ) {
                // A transfer that was cut tidies up, and tries nothing else again.
                Some(delay) if !self.call.cut.is_made() || is_clean_up(&record.job) => {
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
        let over = jobs.remove(id);
        drop(jobs);
        self.put_away(over);
        self.inbox.lock().push_back(event);
        Settled::Over
    }

    /// Puts a waiting job back into the queue's reach, when its time has come: a timer may be of an earlier pause.
    pub(crate) fn ready(&self, id: JobId) -> bool {
        match self.jobs.lock().get_mut(id) {
            Some(record) if matches!(record.state, JobState::Waiting { due } if due <= Instant::now()) => {
                record.state = JobState::Queued;
                true
            }
            _ => false,
        }
    }

    /// Ends every job that is not handed out: they fail as cancelled. Those handed out are cut by the call's token.
    pub(crate) fn withdraw(&self) {
        let ended = self.jobs.lock().take_waiting();
        for (job, record) in ended {
            self.put_away(Some(record));
            self.tell(Event::Failed { job, error: cancelled() });
        }
    }

    /// A job is over: what it has moved stays counted.
    fn put_away(&self, record: Option<JobRecord>) {
        if let Some(progress) = record.and_then(|record| record.progress) {
            self.call.meter.end_job(&progress);
        }
    }

    /// Takes a job back that lies in a mailbox for longer than `patience`, as if its worker had died: it is handed out again, in another
    /// turn.
    pub(crate) fn take_back_stale(&self, id: JobId, patience: Duration) -> Lying {
        let mut jobs = self.jobs.lock();
        let Some(record) = jobs.get_mut(id) else { return Lying::No };
        match record.state {
            JobState::Flying { since, accepted: false } if since.elapsed() > patience => {
                record.attempt = record.attempt.next();
                record.state = JobState::Queued;
                Lying::TakenBack(record.turn.take())
            }
            JobState::Flying { accepted: false, .. } => Lying::Yet,
            _ => Lying::No,
        }
    }

    /// What a scheduler that was started anew must know of this transfer's jobs, in the order in which they were asked for: were a
    /// later range of an in-order target to get its memory first, the earlier one might wait for that memory for ever.
    pub(crate) fn reconcile(&self) -> Vec<(JobId, Pending)> {
        let pending = |record: &JobRecord| match &record.state {
            JobState::Queued => Pending::Queued,
            JobState::Waiting { due } => Pending::Waiting { due: *due },
            JobState::Ended(_) => Pending::Ended,
            JobState::Flying { .. } => Pending::Flying,
        };
        self.jobs.lock().iter().map(|(id, record)| (id, pending(record))).collect()
    }

    pub(crate) fn tell(&self, event: Event) {
        self.inbox.lock().push_back(event);
    }

    /// What has happened next, for the machine to think about.
    pub(crate) fn next_event(&self) -> Option<Event> {
        let mut inbox = self.inbox.lock();
        let event = inbox.pop_front();
        if inbox.is_empty() {
            // One that waits keeps no room for what may come.
            *inbox = VecDeque::new();
        }
        event
    }

    /// For how many events, and how many jobs, there is room.
    #[cfg(test)]
    pub(super) fn spare_room(&self) -> (usize, usize) {
        (self.inbox.lock().capacity(), self.jobs.lock().capacity())
    }

    /// Puts in what the machine has to think about before everything else.
    pub(crate) fn tell_first(&self, event: Event) {
        self.inbox.lock().push_front(event);
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
        let interval = u64::from(self.progress_interval_ms);
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
                (Err(error), Some(word)) => Err(match error.left_behind() {
                    Some(upload_id) => word.clone().with_left_behind(upload_id),
                    None => word.clone(),
                }),
                (result, _) => result,
            }
        };
        let result = result.map(|mut outcome| {
            outcome.attempts = self.call.requests.load(Ordering::Relaxed);
            outcome.retries = self.retries.load(Ordering::Relaxed);
            outcome.elapsed = self.started.elapsed();
            outcome.body = self.call.target.as_deref().and_then(Target::take_body);
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
            match (&result, target.as_ref()) {
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
        if !self.is_finished() {
            self.finish(Err(Error::internal("the transfer's actors are gone")));
        }
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

/// Where a job of the ledger is, for a scheduler that was started anew.
pub(crate) enum Pending {
    Queued,
    Waiting { due: Instant },
    Flying,
    Ended,
}

/// Whether a job lies in a mailbox.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lying {
    /// It has been taken up, or has ended.
    No,
    /// Not for long.
    Yet,
    /// It did, for too long, in this turn.
    TakenBack(Option<Turn>),
}
