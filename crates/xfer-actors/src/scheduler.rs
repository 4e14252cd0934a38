//! The PartScheduler: whose turn it is.
//!
//! Does: keeps the one queue of all transfers' jobs, hands them out as the one budget allows, judges failed attempts by the one retry
//! policy. Never: knows what a job means to its transfer, or runs one.
//!
//! Invariants: its queue and timers can be made anew from the ledger at any time; a job that is handed out has a [`Duty`], which
//! reports once; what a job takes of the budget comes back with the duty's end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, AsyncContext, Context, Handler, Message, SpawnHandle, Supervised};
use foldhash::{HashMap, HashSet};
use xfer_core::budget::Cost;
use xfer_core::concurrency::{Controller, Sample};
use xfer_core::error::RetryClass;
use xfer_core::id::{JobId, TransferId};
use xfer_core::job::Job;
use xfer_core::plan::most_of_first_part;
use xfer_core::queue::{Class, Entry, FairQueue, Fit};
use xfer_core::retry::{RetryBucket, Verdict};

use crate::budget::{Permit, Refused};
use crate::command::{
    AbortUpload, CommitTarget, CompleteUpload, CreateUpload, DeleteObject, DiscardTarget, DiscoverObject, FetchRange,
    LookForObject, PutObject, ReadPart, UploadPart,
};
use crate::fault::Crash;
use crate::ledger::{Duty, Launch, Ledger, Lying, Pending, Settled, Transfer, Turn, Worker};

/// Names a job of the ledger.
///
/// ```
/// use xfer_actors::{JobId, JobName, TransferId};
/// let name = JobName { transfer: TransferId(7), job: JobId(3) };
/// assert_eq!(format!("{} {}", name.transfer, name.job), "t7 j3"); // as in the logs
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct JobName {
    /// Of which transfer.
    pub transfer: TransferId,
    /// Which of its jobs.
    pub job: JobId,
}

/// There are new jobs; they are in the ledger.
///
/// The Coordinator sends it. A name that is not in the ledger, because its transfer has ended, is passed over:
///
/// ```
/// # use xfer_actors::transport::TransportConfig;
/// # use xfer_actors::{EnqueueJobs, JobId, JobName, Settings, TransferId, XferSystem};
/// # let system = XferSystem::start(Settings::default(), TransportConfig::default())?;
/// # let scheduler = system.part_scheduler().ok_or("it is started with the system")?;
/// # actix::System::new().block_on(async {
/// let of_the_past = JobName { transfer: TransferId(0), job: JobId(0) };
/// assert!(scheduler.send(EnqueueJobs { jobs: vec![of_the_past] }).await.is_ok());
/// # });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct EnqueueJobs {
    /// Which, in the order in which they were asked for.
    pub jobs: Vec<JobName>,
}

/// Attempts have ended; how, is in the ledger.
///
/// The lanes send it, one for many attempts where many end at once. As with all messages to the scheduler the truth is in the ledger: one that
/// was told of already changes nothing.
///
/// ```
/// use xfer_actors::{AttemptsEnded, JobId, JobName, PartScheduler, TransferId};
/// async fn tell_again(scheduler: &actix::Addr<PartScheduler>) -> Result<(), actix::MailboxError> {
///     scheduler.send(AttemptsEnded { jobs: vec![JobName { transfer: TransferId(7), job: JobId(3) }] }).await
/// }
/// ```
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct AttemptsEnded {
    /// Of which jobs.
    pub jobs: Vec<JobName>,
}

/// Something of the budget came back after a refusal.
///
/// ```
/// use std::time::Duration;
/// use xfer_actors::{BudgetFreed, XferSystem};
/// /// Has the scheduler look whether there is something to hand out, and tells whether it gets to its messages.
/// async fn is_responsive(system: &XferSystem) -> bool {
///     let Some(scheduler) = system.part_scheduler() else { return false };
///     scheduler.send(BudgetFreed).timeout(Duration::from_secs(1)).await.is_ok()
/// }
/// ```
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct BudgetFreed;

/// Look at the whole ledger: when the scheduler starts, and when the Coordinator was started anew.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct ReadLedger;

/// How often the concurrency controller looks, in a busy system: twice in its shortest window.
const CONTROL_INTERVAL: Duration = Duration::from_millis(50);
/// After how many of these looks the scheduler looks for commands that lie in a mailbox: every five seconds.
const LOOKS_FOR_STALE: u32 = 100;
/// How long a command may lie in a worker's mailbox before it is handed out again. A worker's handlers take micro-seconds; a
/// worker that is restarted is back within the cap of its backoff.
const STALE_AFTER: Duration = Duration::from_secs(30);
/// Retry buckets that are kept; more buckets than that in use at once only share their memory of failures less.
const MAX_BUCKETS: usize = 1024;

/// The actor that knows whose turn it is: hands out the jobs of all transfers as far as connections and memory go, and repeats what failed.
///
/// ```
/// use xfer_actors::transport::TransportConfig;
/// use xfer_actors::{Settings, XferSystem};
///
/// // What it hands out at once is bounded here: requests, and bytes of memory for parts that must be kept whole.
/// let settings = Settings { max_connections: 16, memory_limit: 32 << 20, ..Settings::default() };
/// let system = XferSystem::start(settings, TransportConfig::default())?;
/// assert!(system.part_scheduler().is_some_and(|scheduler| scheduler.connected()));
/// assert_eq!((system.in_use().requests, system.in_use().memory), (0, 0));
/// # Ok::<(), xfer_actors::Error>(())
/// ```
#[derive(Debug)]
pub struct PartScheduler {
    ledger: Arc<Ledger>,
    /// Jobs that need nothing but a connection.
    queue: FairQueue,
    /// Jobs that need memory as well: apart, so that a reader that stalls with all the memory in its hands holds up no file.
    buffered: FairQueue,
    buffered_first: bool,
    buckets: HashMap<Arc<str>, RetryBucket>,
    /// Jobs that were handed out and, as far as is known, not taken up yet.
    flying: HashSet<JobName>,
    controller: Controller,
    /// Throttled answers since the controller looked last, and the bytes that had been moved then.
    throttled: usize,
    moved_before: u64,
    /// When it looked last, and how long the lanes had not waited by then.
    busy_before: (Instant, Duration),
    /// When the budget is asked again without anything having come back.
    wake: Option<(Instant, SpawnHandle)>,
    /// Whether the next look is due; a system with nothing to do does not look.
    looking: bool,
    looks: u32,
}

impl PartScheduler {
    /// A scheduler of the jobs in `ledger`.
    pub(crate) fn new(ledger: Arc<Ledger>) -> PartScheduler {
        let controller = Controller::new(ledger.settings.bounds());
        ledger.budget.set_requests(controller.limit());
        PartScheduler {
            queue: FairQueue::new(),
            buffered: FairQueue::new(),
            buffered_first: false,
            buckets: HashMap::default(),
            flying: HashSet::default(),
            controller,
            throttled: 0,
            moved_before: 0,
            busy_before: (Instant::now(), ledger.lanes.time_busy()),
            wake: None,
            looking: false,
            looks: 0,
            ledger,
        }
    }

    /// Puts a job into its queue. One that was tried before has its memory already, and others may wait for the memory that they get
    /// when it is done: it goes first and asks for none. So do bytes that are in memory and wait to be sent.
    fn enqueue(&mut self, transfer: &Transfer, id: JobId, front: bool) {
        let kept = transfer.call.source.as_ref().is_some_and(|source| !source.is_rereadable());
        let is_retry = transfer.is_retry(id);
        let seen = transfer.look_at(id, |job| match memory_of(transfer, job) {
            0 if kept => (Class::of_kept(job), 0),
            0 => (Class::of(job), 0),
            _ if is_retry => (Class::Finishing, 0),
            memory => (Class::of(job), memory),
        });
        let Some((class, memory)) = seen else { return };
        let entry = Entry { transfer: transfer.id(), job: id, class, memory };
        let queue = self.queue_of(memory > 0);
        if front { queue.push_front(entry) } else { queue.push(entry) }
    }

    fn queue_of(&mut self, buffered: bool) -> &mut FairQueue {
        if buffered { &mut self.buffered } else { &mut self.queue }
    }

    /// Hands out what the budget allows.
    fn dispatch(&mut self, context: &mut Context<Self>) {
        loop {
            self.buffered_first = !self.buffered_first;
            let (first, second) = match self.buffered_first {
                true => (&mut self.buffered, &mut self.queue),
                false => (&mut self.queue, &mut self.buffered),
            };
            let mut taking = Taking { ledger: &self.ledger, ask_again: None };
            let taken = taking.next_of(first).or_else(|| taking.next_of(second));
            let Some((transfer, entry, permit)) = taken else {
                if let Some(later) = taking.ask_again {
                    self.ask_again(later, context);
                }
                return;
            };
            let turn = Turn { buffered: entry.memory > 0, class: entry.class };
            let Some(mut launch) = transfer.launch(entry.job, turn) else { continue };
            if transfer.wants_progress() {
                self.ledger.watched.entry(transfer.id()).or_insert_with(|| Arc::clone(&transfer));
            }
            self.queue_of(turn.buffered).on_dispatched(turn.class);
            let duty = Duty::new(&self.ledger, &transfer, entry.job, &mut launch, permit);
            self.flying.insert(JobName { transfer: entry.transfer, job: entry.job });
            self.hand_out(&transfer, launch, duty);
        }
    }

    fn ask_again(&mut self, later: Duration, context: &mut Context<Self>) {
        let due = Instant::now() + later;
        match self.wake {
            Some((planned, _)) if planned <= due => return,
            Some((_, planned)) => drop(context.cancel_future(planned)),
            None => {}
        }
        let handle = context.run_later(later, |scheduler, context| {
            scheduler.wake = None;
            scheduler.dispatch(context);
        });
        self.wake = Some((due, handle));
    }

    /// Sends the command. A worker that is away drops it, the duty reports it lost, and it comes back as a failed attempt.
    fn hand_out(&self, transfer: &Transfer, launch: Launch, duty: Duty) {
        let directory = &self.ledger.directory;
        let (call, attempt, duty) = (Arc::clone(&transfer.call), launch.attempt, Some(duty));
        macro_rules! send {
            ($worker:ident, $command:expr) => {
                if let Some(worker) = &*directory.$worker.read() {
                    worker.do_send($command);
                }
            };
        }
        match launch.job {
            Job::PutObject { length } => send!(uploader, PutObject { call, attempt, length, duty }),
            Job::ReadPart { number, max } => send!(uploader, ReadPart { call, attempt, number, max, duty }),
            Job::CreateUpload => send!(uploader, CreateUpload { call, attempt, duty }),
            Job::UploadPart { upload_id, number, range } => {
                send!(uploader, UploadPart { call, attempt, upload_id, number, range, duty });
            }
            Job::CompleteUpload { upload_id, parts, size, checksum } => {
                send!(uploader, CompleteUpload { call, attempt, upload_id, parts, size, checksum, duty });
            }
            Job::AbortUpload { upload_id } => send!(uploader, AbortUpload { call, attempt, upload_id, duty }),
            Job::LookForObject { with_md5 } => send!(uploader, LookForObject { call, attempt, with_md5, duty }),
            Job::Discover { part_size, commit } => {
                send!(downloader, DiscoverObject { call, attempt, part_size, commit, duty });
            }
            Job::FetchRange { range, etag } => send!(downloader, FetchRange { call, attempt, range, etag, duty }),
            Job::CommitTarget => send!(downloader, CommitTarget { call, attempt, duty }),
            Job::DiscardTarget => send!(downloader, DiscardTarget { call, attempt, duty }),
            Job::DeleteObject => send!(deleter, DeleteObject { call, attempt, duty }),
        }
    }

    /// Judges a job whose attempt has ended; true when it is over, and the Coordinator has news.
    fn settle(&mut self, transfer: &Transfer, id: JobId, context: &mut Context<Self>) -> bool {
        if let Some(turn) = transfer.take_turn(id) {
            self.queue_of(turn.buffered).on_settled(turn.class);
        }
        let bucket = transfer.call.bucket();
        if !self.buckets.contains_key(bucket) {
            if self.buckets.len() >= MAX_BUCKETS {
                self.buckets.clear();
            }
            self.buckets.insert(Arc::clone(bucket), RetryBucket::default());
        }
        let Some(tokens) = self.buckets.get_mut(bucket) else { return false };
        let policy = &self.ledger.settings.retry;
        let mut throttled = false;
        let settled = transfer.settle(id, |retry, ended| {
            let Some(error) = ended.error else {
                retry.on_success(tokens);
                return None;
            };
            throttled = error.retry_class() == RetryClass::Throttling;
            // What only touches this machine fails for good, once it has begun.
            if !ended.job.is_remote() && !ended.unbegun {
                return None;
            }
            // What was lost on its way to a worker says nothing of the store.
            let mut untouched = RetryBucket::default();
            let tokens = if ended.unbegun { &mut untouched } else { tokens };
            match retry.on_failure(policy, error, fastrand::f64(), tokens) {
                Verdict::RetryAfter(delay) => Some(delay),
                Verdict::GiveUp => {
                    // The transfer tells of what failed before, and why this did, nobody else would say.
                    if let Job::AbortUpload { upload_id } = ended.job {
                        tracing::warn!(%upload_id, %error, "a multipart upload is left behind");
                    }
                    None
                }
            }
        });
        self.throttled += usize::from(throttled);
        match settled {
            Settled::Nothing => {}
            Settled::Requeue => self.enqueue(transfer, id, true),
            Settled::RetryAfter(delay) => {
                let transfer = transfer.id();
                context.run_later(delay, move |scheduler, context| scheduler.ready(transfer, id, context));
            }
            Settled::Over => return true,
        }
        false
    }

    fn announce(&self, transfers: Vec<TransferId>) {
        if !transfers.is_empty() {
            self.ledger.directory.news_of(transfers);
        }
    }

    fn ready(&mut self, transfer: TransferId, id: JobId, context: &mut Context<Self>) {
        if let Some(transfer) = self.ledger.transfer(transfer)
            && transfer.ready(id)
        {
            self.enqueue(&transfer, id, true);
            self.dispatch(context);
        }
    }

    /// Lets the controller see how it goes, and follows it.
    fn control(&mut self, context: &mut Context<Self>) {
        let moved = self.ledger.lanes.bytes_moved();
        let sample = Sample {
            now: self.ledger.budget.now(),
            bytes: moved.saturating_sub(std::mem::replace(&mut self.moved_before, moved)),
            busy: self.ledger.budget.in_use().requests,
            throttled: std::mem::take(&mut self.throttled),
            computing: self.computing(),
        };
        let before = self.controller.limit();
        let limit = self.controller.tick(sample);
        if limit != before {
            tracing::debug!(target: "xfer::concurrency", limit, before, "requests at once");
            self.ledger.budget.set_requests(limit);
            self.dispatch(context);
        }
        self.looks += 1;
        if self.looks >= LOOKS_FOR_STALE {
            self.looks = 0;
            self.take_back_stale(context);
        }
        self.looking = !self.ledger.is_idle();
        if self.looking {
            context.run_later(CONTROL_INTERVAL, Self::control);
        } else {
            // What is still in the queues was withdrawn: it falls out of them.
            self.dispatch(context);
        }
    }

    /// How much of their time since the last call the lanes did not wait, in percent.
    fn computing(&mut self) -> usize {
        let (now, busy) = (Instant::now(), self.ledger.lanes.time_busy());
        let (then, before) = std::mem::replace(&mut self.busy_before, (now, busy));
        let all = now.duration_since(then) * u32::try_from(self.ledger.lanes.count()).unwrap_or(u32::MAX);
        (100.0 * busy.saturating_sub(before).as_secs_f64() / all.as_secs_f64().max(f64::EPSILON)) as usize
    }

    fn keep_looking(&mut self, context: &mut Context<Self>) {
        if !std::mem::replace(&mut self.looking, true) {
            context.run_later(CONTROL_INTERVAL, Self::control);
        }
    }

    fn take_back_stale(&mut self, context: &mut Context<Self>) {
        let mut stale = Vec::new();
        self.flying.retain(|&JobName { transfer, job }| {
            let Some(transfer) = self.ledger.transfer(transfer) else { return false };
            match transfer.take_back_stale(job, STALE_AFTER) {
                Lying::Yet => return true,
                Lying::No => {}
                Lying::TakenBack(turn) => stale.push((transfer, job, turn)),
            }
            false
        });
        for (transfer, id, turn) in stale {
            if let Some(turn) = turn {
                self.queue_of(turn.buffered).on_settled(turn.class);
            }
            tracing::warn!(transfer = %transfer.id(), job = %id, "a command was never taken up: it is handed out again");
            self.enqueue(&transfer, id, true);
        }
        self.dispatch(context);
    }
}

/// Takes the next job that the budget allows.
struct Taking<'a> {
    ledger: &'a Arc<Ledger>,
    /// When to ask again, if nobody is going to give something back before.
    ask_again: Option<Duration>,
}

impl Taking<'_> {
    fn next_of(&mut self, queue: &mut FairQueue) -> Option<(Arc<Transfer>, Entry, Permit)> {
        loop {
            let mut permit = None;
            let entry = queue.pop_fitting(|entry| {
                // A transfer that has ended meanwhile leaves its entries behind: they leave the queue at once.
                let Some((transfer, cost)) = self.look_at(entry) else { return Fit::Now };
                let Some(cost) = cost else { return Fit::OfOthers };
                match self.ledger.budget.take(cost) {
                    Ok(taken) => {
                        permit = Some((transfer, taken));
                        Fit::Now
                    }
                    Err(Refused { retry_after, for_its_holder }) => {
                        self.ask_again = self.ask_again.into_iter().chain(retry_after).min();
                        if for_its_holder { Fit::OfOthers } else { Fit::Later }
                    }
                }
            })?;
            if let Some((transfer, mut permit)) = permit {
                if permit.keep_transfer() {
                    self.ledger.begin(&transfer);
                }
                return Some((transfer, entry, permit));
            }
        }
    }

    /// Whose job it is, and what it costs; no cost while its worker is away.
    fn look_at(&self, entry: &Entry) -> Option<(Arc<Transfer>, Option<Cost>)> {
        let transfer = self.ledger.transfer(entry.transfer)?;
        let (is_remote, light, worker) =
            transfer.look_at(entry.job, |job| (job.is_remote(), job.is_light(), Worker::of(job)))?;
        let cost = self.ledger.directory.has(worker).then(|| Cost {
            requests: usize::from(is_remote),
            light,
            transfers: usize::from(transfer.waits_for_a_place()),
            memory: entry.memory,
            holder: entry.transfer,
        });
        Some((transfer, cost))
    }
}

/// Memory that a job needs to be reserved: whole parts of sources that are read once, and ranges that may have to wait for their turn.
fn memory_of(transfer: &Transfer, job: &Job) -> u64 {
    let ordered = || transfer.call.target.as_deref().is_some_and(crate::target::Target::is_ordered);
    match job {
        Job::ReadPart { max, .. } => *max,
        Job::FetchRange { range, .. } if ordered() => range.len(),
        Job::Discover { part_size, .. } if ordered() => most_of_first_part(*part_size),
        _ => 0,
    }
}

impl Actor for PartScheduler {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.notify(Begin);
    }
}

impl Supervised for PartScheduler {
    fn restarting(&mut self, _context: &mut Context<Self>) {
        *self = PartScheduler::new(Arc::clone(&self.ledger));
    }
}

/// Begin: sent by the scheduler to itself, since what is spawned while an actor starts may be torn down with it.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
struct Begin;

impl Handler<Begin> for PartScheduler {
    type Result = ();

    fn handle(&mut self, _begin: Begin, context: &mut Context<Self>) {
        if !self.ledger.is_idle() {
            self.keep_looking(context);
        }
        self.handle(ReadLedger, context);
    }
}

impl Handler<EnqueueJobs> for PartScheduler {
    type Result = ();

    fn handle(&mut self, new: EnqueueJobs, context: &mut Context<Self>) {
        self.keep_looking(context);
        for JobName { transfer, job } in new.jobs {
            if let Some(transfer) = self.ledger.transfer(transfer) {
                self.enqueue(&transfer, job, false);
            }
        }
        self.dispatch(context);
    }
}

impl Handler<AttemptsEnded> for PartScheduler {
    type Result = ();

    fn handle(&mut self, news: AttemptsEnded, context: &mut Context<Self>) {
        let mut over = Vec::with_capacity(news.jobs.len());
        for name in news.jobs {
            self.flying.remove(&name);
            if let Some(transfer) = self.ledger.transfer(name.transfer)
                && self.settle(&transfer, name.job, context)
            {
                over.push(transfer.id());
            }
        }
        self.announce(over);
        self.dispatch(context);
    }
}

impl Handler<BudgetFreed> for PartScheduler {
    type Result = ();

    fn handle(&mut self, _freed: BudgetFreed, context: &mut Context<Self>) {
        self.dispatch(context);
    }
}

impl Handler<ReadLedger> for PartScheduler {
    type Result = ();

    fn handle(&mut self, _read: ReadLedger, context: &mut Context<Self>) {
        self.queue = FairQueue::new();
        self.buffered = FairQueue::new();
        self.flying.clear();
        let mut over = Vec::new();
        // First come, first served, also after a restart.
        for transfer in self.ledger.all() {
            for (id, pending) in transfer.reconcile() {
                match pending {
                    Pending::Queued => self.enqueue(&transfer, id, false),
                    Pending::Flying => drop(self.flying.insert(JobName { transfer: transfer.id(), job: id })),
                    Pending::Ended => {
                        if self.settle(&transfer, id, context) {
                            over.push(transfer.id());
                        }
                    }
                    Pending::Waiting { due } => {
                        let transfer = transfer.id();
                        let wait = due.saturating_duration_since(Instant::now());
                        context.run_later(wait, move |scheduler, context| scheduler.ready(transfer, id, context));
                    }
                }
            }
        }
        self.announce(over);
        self.dispatch(context);
    }
}

impl Handler<Crash> for PartScheduler {
    type Result = ();

    fn handle(&mut self, crash: Crash, _context: &mut Context<Self>) {
        crash.now();
    }
}
