//! A world of transfers in virtual time: the machines, the queue, the budget and the retry rules are the real ones; the network, the disk
//! and the callers are dice.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use xfer_core::budget::{Budget, Cost, InUse, Limits, Taken};
use xfer_core::checksum::Checksum;
use xfer_core::download::mismatch;
use xfer_core::error::{Error, ErrorKind};
use xfer_core::id::{JobId, TransferId};
use xfer_core::job::{Effect, Event, Job, Note, ObjectFacts, Reply, SeenObject, StoredObject};
use xfer_core::machine::Machine;
use xfer_core::outcome::TransferOutcome;
use xfer_core::plan::{DownloadPlan, first_part_length, most_of_first_part};
use xfer_core::queue::{Class, Entry, FairQueue, Fit};
use xfer_core::range::ByteRange;
use xfer_core::retry::{RetryBucket, RetryPolicy, RetryState, Verdict};

use crate::store::{Store, checksum_of, checksum_of_all};

/// How unkind the world is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// The share of attempts that fail.
    pub(crate) failures: f64,
    /// The share of answers that come twice.
    pub(crate) echoes: f64,
    pub(crate) limits: Limits,
}

/// What a transfer has at its other end.
#[derive(Debug)]
pub(crate) enum Side {
    /// `free_only`: the object is to be stored only if there is none.
    Upload {
        length: u64,
        window: usize,
        free_only: bool,
    },
    Download {
        object: ObjectFacts,
        part_size: u64,
        window: usize,
        ordered: bool,
        corrupt: bool,
    },
    Delete,
}

#[derive(Debug)]
pub(crate) struct Transfer {
    pub(crate) machine: Machine,
    pub(crate) side: Side,
    pub(crate) result: Option<Result<TransferOutcome, Error>>,
    pub(crate) ended_at: Duration,
    jobs: HashMap<JobId, Running>,
    /// Parts that were read and are kept until they are stored: memory by number.
    kept: BTreeMap<u32, u64>,
    /// Bytes of the source that were read in order.
    read: u64,
    landed: Vec<ByteRange>,
    delivered: u64,
    /// Memory of what waits for its turn at an in-order target, by where it ends.
    waiting: BTreeMap<u64, u64>,
    marks: HashMap<u64, u64>,
    pub(crate) counted: u64,
    /// An abort that failed for good leaves an upload behind; nothing else may.
    pub(crate) abort_failed: bool,
    /// Whether the object could not be looked at.
    pub(crate) look_failed: bool,
    /// When its first request was made.
    begun: Option<Duration>,
    pub(crate) committed: bool,
    pub(crate) discarded: bool,
}

#[derive(Debug)]
struct Running {
    job: Job,
    class: Class,
    cost: Cost,
    retry: RetryState,
    state: State,
    withdrawn: bool,
    /// Whether it may have been carried out although its answer never came.
    unanswered: bool,
    /// Memory that it goes on holding while it pauses, so that those behind it in the same object cannot take it and wait for it.
    holds: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Queued,
    Pausing,
    Running,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Start(u64),
    Stop(u64),
    Head(u64, u32),
    End(u64, u32),
    Again(u64, u32),
    Delivered(u64, u64),
    Wake,
}

pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) transfers: HashMap<u64, Transfer>,
    pub(crate) now: Duration,
    pub(crate) most_requests: usize,
    random: fastrand::Rng,
    weather: Weather,
    queue: FairQueue,
    budget: Budget,
    bucket: RetryBucket,
    policy: RetryPolicy,
    happenings: BinaryHeap<Reverse<(Duration, u64, Happening)>>,
    sequence: u64,
    wake_at: Option<Duration>,
}

impl World {
    pub(crate) fn new(seed: u64, weather: Weather) -> World {
        World {
            store: Store::default(),
            transfers: HashMap::new(),
            now: Duration::ZERO,
            most_requests: 0,
            random: fastrand::Rng::with_seed(seed),
            weather,
            queue: FairQueue::new(),
            budget: Budget::new(weather.limits),
            bucket: RetryBucket::default(),
            policy: RetryPolicy::default(),
            happenings: BinaryHeap::new(),
            sequence: 0,
            wake_at: None,
        }
    }

    pub(crate) fn add(
        &mut self,
        id: u64,
        machine: impl Into<Machine>,
        side: Side,
        start: Duration,
        stop: Option<Duration>,
    ) {
        let transfer = Transfer {
            machine: machine.into(),
            side,
            result: None,
            ended_at: Duration::ZERO,
            jobs: HashMap::new(),
            kept: BTreeMap::new(),
            read: 0,
            landed: Vec::new(),
            delivered: 0,
            waiting: BTreeMap::new(),
            marks: HashMap::new(),
            counted: 0,
            abort_failed: false,
            look_failed: false,
            begun: None,
            committed: false,
            discarded: false,
        };
        self.transfers.insert(id, transfer);
        self.at(start, Happening::Start(id));
        if let Some(stop) = stop {
            self.at(stop, Happening::Stop(id));
        }
    }

    fn at(&mut self, time: Duration, what: Happening) {
        self.sequence += 1;
        self.happenings.push(Reverse((time, self.sequence, what)));
    }

    fn soon(&mut self, what: Happening) {
        let time = self.now + Duration::from_micros(self.random.u64(100..30_000));
        self.at(time, what);
    }

    fn chance(&mut self, share: f64) -> bool {
        self.random.f64() < share
    }

    /// Goes on until nothing more happens, and looks at what is left.
    pub(crate) fn run(&mut self) {
        while let Some(Reverse((time, _, what))) = self.happenings.pop() {
            self.now = self.now.max(time);
            self.store.now = self.now;
            match what {
                Happening::Start(id) => self.tell(id, Event::Started),
                Happening::Stop(id) => self.tell(id, Event::Stop { error: Error::new(ErrorKind::Cancelled, "caller") }),
                Happening::Head(id, job) => self.head(id, JobId(job)),
                Happening::End(id, job) => self.end(id, JobId(job)),
                Happening::Again(id, job) => self.again(id, JobId(job)),
                Happening::Delivered(id, bytes) => {
                    self.release_delivered(id, bytes);
                    self.echoing(id, Event::Delivered { bytes });
                }
                Happening::Wake => self.wake_at = None,
            }
            self.dispatch();
        }
        assert!(self.queue.is_empty());
        assert_eq!(self.budget.in_use(), InUse::default(), "all is given back");
        for (id, transfer) in &self.transfers {
            assert!(transfer.result.is_some(), "transfer {id} hangs: {transfer:?}");
            assert!(transfer.machine.is_finished() && transfer.machine.outstanding() == 0);
            assert!(transfer.jobs.is_empty() && transfer.kept.is_empty() && transfer.waiting.is_empty());
        }
    }

    /// An event, now and then twice, as messages from a restarted actor are.
    fn echoing(&mut self, id: u64, event: Event) {
        if self.chance(self.weather.echoes) {
            self.tell(id, event.clone());
        }
        self.tell(id, event);
    }

    fn tell(&mut self, id: u64, event: Event) {
        let transfer = self.transfers.get_mut(&id).expect("known");
        let mut effects = Vec::new();
        transfer.machine.on(event, &mut effects);
        assert!(transfer.result.is_none() || effects.is_empty(), "nothing is asked for after the end");
        for effect in effects {
            match effect {
                Effect::Run { id: job, job: what } => self.accept(id, job, what),
                Effect::Withdraw => self.withdraw(id),
                Effect::Finish(result) => self.finish(id, result),
            }
        }
    }

    fn accept(&mut self, id: u64, job: JobId, what: Job) {
        let transfer = self.transfers.get_mut(&id).expect("known");
        // What is kept was counted when it was read.
        let kept = transfer.is_kept(&what);
        let ordered = matches!(transfer.side, Side::Download { ordered: true, .. });
        let buffer = if kept { 0 } else { 64 << 10 };
        let holder = TransferId(id);
        let cost = match &what {
            Job::ReadPart { max, .. } => Cost { requests: 0, memory: *max, holder, ..Cost::default() },
            Job::CommitTarget | Job::DiscardTarget => Cost::default(),
            Job::PutObject { .. } | Job::UploadPart { .. } => {
                Cost { requests: 1, memory: buffer, holder, ..Cost::default() }
            }
            Job::Discover { part_size, .. } => {
                let memory = if ordered { most_of_first_part(*part_size) } else { buffer };
                Cost { requests: 1, memory, holder, ..Cost::default() }
            }
            Job::FetchRange { range, .. } => {
                let memory = if ordered { range.len() } else { buffer };
                Cost { requests: 1, memory, holder, ..Cost::default() }
            }
            _ => Cost { requests: 1, memory: 0, holder, ..Cost::default() },
        };
        let class = if kept { Class::of_kept(&what) } else { Class::of(&what) };
        if let (Job::FetchRange { range, .. }, Side::Download { object, part_size, window, ordered, .. }) =
            (&what, &transfer.side)
        {
            let ahead = range.start - object.start;
            assert!(!ordered || ahead < transfer.delivered + *window as u64 * part_size, "the reorder window");
            assert!(transfer.machine.outstanding() <= *window);
        }
        if let Side::Upload { window, .. } = &transfer.side {
            let jobs = transfer.jobs.values().map(|running| &running.job).chain(std::iter::once(&what));
            let parts = jobs.filter(|job| job.part().is_some() && !transfer.is_kept(job)).count();
            assert!(parts + transfer.kept.len() <= *window, "the window of parts");
        }
        let before = transfer.jobs.insert(job, Running::new(&what, class, cost));
        assert!(before.is_none(), "job ids are not used twice");
        self.queue.push(Entry { transfer: TransferId(id), job, class, memory: cost.memory });
    }

    fn withdraw(&mut self, id: u64) {
        let transfer = self.transfers.get_mut(&id).expect("known");
        // Their entries stay in the queue until it is their turn.
        let mut gone: Vec<JobId> =
            transfer.jobs.iter().filter(|(_, r)| r.state != State::Running).map(|(job, _)| *job).collect();
        gone.sort_unstable();
        for running in transfer.jobs.values_mut() {
            running.withdrawn = true;
        }
        for job in gone {
            let running = self.transfers.get_mut(&id).and_then(|t| t.jobs.remove(&job)).expect("it waits");
            self.budget.give_back(&memory_of(id, running.holds));
            self.fail(id, job, &running.job, Error::new(ErrorKind::Cancelled, "withdrawn"));
        }
    }

    fn finish(&mut self, id: u64, result: Result<TransferOutcome, Error>) {
        let transfer = self.transfers.get_mut(&id).expect("known");
        assert!(transfer.jobs.is_empty(), "nothing is under way at the end");
        assert!(transfer.result.replace(result).is_none(), "a transfer ends once");
        transfer.ended_at = self.now;
        let waiting = std::mem::take(&mut transfer.waiting);
        for memory in std::mem::take(&mut transfer.kept).into_values().chain(waiting.into_values()) {
            self.budget.give_back(&memory_of(id, memory));
        }
    }

    fn dispatch(&mut self) {
        loop {
            let (transfers, budget, now) = (&self.transfers, &mut self.budget, self.now);
            let mut retry_after = None;
            let entry = self.queue.pop_fitting(|entry| {
                let Some(running) = transfers[&entry.transfer.0].jobs.get(&entry.job) else { return Fit::Now };
                match budget.try_take(&running.cost, now) {
                    Taken::Taken => Fit::Now,
                    Taken::Refused { retry_after: wait, for_its_holder } => {
                        retry_after = retry_after.into_iter().chain(wait).min();
                        if for_its_holder { Fit::OfOthers } else { Fit::Later }
                    }
                }
            });
            let Some(entry) = entry else {
                if let Some(wait) = retry_after
                    && self.wake_at.is_none_or(|at| at > now + wait)
                {
                    self.wake_at = Some(now + wait);
                    self.at(now + wait, Happening::Wake);
                }
                return;
            };
            if !self.transfers[&entry.transfer.0].jobs.contains_key(&entry.job) {
                continue;
            }
            self.queue.on_dispatched(entry.class);
            self.most_requests = self.most_requests.max(self.budget.in_use().requests);
            self.begin(entry.transfer.0, entry.job);
        }
    }

    fn begin(&mut self, id: u64, job: JobId) {
        let running = self.transfers.get_mut(&id).and_then(|t| t.jobs.get_mut(&job)).expect("it waits");
        running.state = State::Running;
        let is_remote = running.job.is_remote();
        let bytes = match &running.job {
            Job::PutObject { length } => *length,
            Job::UploadPart { range, .. } | Job::FetchRange { range, .. } => range.len(),
            Job::Discover { part_size, .. } => *part_size,
            _ => 0,
        };
        let discovers = matches!(running.job, Job::Discover { .. });
        let latency = Duration::from_micros(self.random.u64(1_000..40_000));
        let time = latency + Duration::from_secs_f64(bytes as f64 / 60e6);
        if is_remote {
            self.transfers.get_mut(&id).expect("known").begun.get_or_insert(self.now);
        }
        if discovers {
            self.at(self.now + latency / 2, Happening::Head(id, job.0));
        }
        self.at(self.now + time, Happening::End(id, job.0));
    }

    fn head(&mut self, id: u64, job: JobId) {
        let transfer = &self.transfers[&id];
        let Side::Download { object, .. } = &transfer.side else { panic!("only downloads discover") };
        let facts = object.clone();
        if transfer.jobs.contains_key(&job) && !self.chance(self.weather.failures / 2.0) {
            self.echoing(id, Event::Noted { job, note: Note::Discovered(Arc::new(facts)) });
        }
    }

    fn again(&mut self, id: u64, job: JobId) {
        // It may have been withdrawn while it paused.
        let Some(running) = self.transfers.get_mut(&id).and_then(|t| t.jobs.get_mut(&job)) else { return };
        running.state = State::Queued;
        let entry = Entry { transfer: TransferId(id), job, class: running.class, memory: running.cost.memory };
        self.queue.push_front(entry);
    }

    /// An attempt ends: somehow.
    fn end(&mut self, id: u64, job: JobId) {
        let transfer = self.transfers.get_mut(&id).expect("known");
        let mut running = transfer.jobs.remove(&job).expect("what runs is not taken away");
        assert_eq!(running.state, State::Running);
        let ordered = matches!(transfer.side, Side::Download { ordered: true, .. });
        let cut = running.withdrawn && running.job.is_cuttable();
        let result = self.attempt(id, job, &mut running, cut);
        if result.is_err() && running.unanswered {
            let sent = sent_with(&running.job);
            self.echoing(id, Event::Noted { job, note: Note::Unanswered { sent } });
        }
        self.queue.on_settled(running.class);
        // What was read or landed stays in memory until it is sent or delivered.
        let keeps = matches!(running.job, Job::ReadPart { .. }) && result.is_ok();
        let in_order = ordered && running.job.is_remote();
        if keeps || in_order {
            self.budget.give_back(&Cost { memory: 0, ..running.cost });
            running.holds += running.cost.memory;
            running.cost.memory = 0;
        } else {
            self.budget.give_back(&running.cost);
        }
        if in_order && result.is_ok() {
            let transfer = self.transfers.get_mut(&id).expect("known");
            let Some(range) = transfer.landed.last() else { panic!("it has just landed") };
            *transfer.waiting.entry(range.end).or_default() += running.holds;
        }
        let error = match result {
            Ok(reply) => {
                running.retry.on_success(&mut self.bucket);
                return self.echo_done(id, job, &running.job, reply);
            }
            Err(error) => error,
        };
        let draw = self.random.f64();
        let verdict = running.retry.on_failure(&self.policy, &error, draw, &mut self.bucket);
        match verdict {
            Verdict::RetryAfter(pause) if !running.withdrawn => {
                running.state = State::Pausing;
                if in_order {
                    running.class = Class::Finishing;
                }
                self.transfers.get_mut(&id).expect("known").jobs.insert(job, running);
                self.at(self.now + pause, Happening::Again(id, job.0));
            }
            _ => {
                self.budget.give_back(&memory_of(id, running.holds));
                self.fail(id, job, &running.job, error.after_attempts(running.retry.attempts()));
            }
        }
    }

    fn fail(&mut self, id: u64, job: JobId, what: &Job, error: Error) {
        self.settle_part(id, what);
        if let Job::UploadPart { upload_id, .. } = what
            && self.chance(0.3)
        {
            self.store.uploads.get_mut(upload_id).expect("created").strays = 1;
        }
        let transfer = self.transfers.get_mut(&id).expect("known");
        transfer.abort_failed |= matches!(what, Job::AbortUpload { .. });
        transfer.look_failed |= matches!(what, Job::LookForObject { .. });
        self.echoing(id, Event::Failed { job, error });
    }

    fn echo_done(&mut self, id: u64, job: JobId, what: &Job, reply: Reply) {
        self.settle_part(id, what);
        let is_landing = matches!(reply, Reply::RangeLanded { .. });
        self.echoing(id, Event::Done { job, reply });
        if is_landing {
            self.deliver(id);
        }
    }

    /// A part that was sent, or never will be, is not kept any longer.
    fn settle_part(&mut self, id: u64, what: &Job) {
        let number = match what {
            Job::UploadPart { number, .. } => number.get(),
            Job::PutObject { .. } => 1,
            _ => return,
        };
        if let Some(memory) = self.transfers.get_mut(&id).expect("known").kept.remove(&number) {
            self.budget.give_back(&memory_of(id, memory));
        }
    }

    /// An in-order target takes what is there without a gap, in pieces of its own choice.
    fn deliver(&mut self, id: u64) {
        let transfer = self.transfers.get_mut(&id).expect("known");
        let Side::Download { object, ordered: true, .. } = &transfer.side else { return };
        transfer.landed.sort_unstable_by_key(|range| range.start);
        let end = transfer.landed.iter().fold(object.start, |end, r| if r.start == end { r.end } else { end });
        let bytes = end - object.start;
        let some = self.random.u64(0..=bytes);
        let told = self.transfers[&id].delivered;
        if some > told {
            self.at(self.now, Happening::Delivered(id, some));
        }
        self.soon(Happening::Delivered(id, bytes));
    }

    /// What an in-order target has taken needs no memory any more.
    fn release_delivered(&mut self, id: u64, bytes: u64) {
        let transfer = self.transfers.get_mut(&id).expect("known");
        transfer.delivered = transfer.delivered.max(bytes);
        let Side::Download { object, .. } = &transfer.side else { panic!("only downloads deliver") };
        let rest = transfer.waiting.split_off(&(object.start + transfer.delivered + 1));
        for memory in std::mem::replace(&mut transfer.waiting, rest).into_values() {
            self.budget.give_back(&memory_of(id, memory));
        }
    }

    /// What comes of an attempt. One that was cut fails, unless it was faster.
    fn attempt(&mut self, id: u64, job: JobId, running: &mut Running, cut: bool) -> Result<Reply, Error> {
        let was_faster = self.chance(0.2);
        let weather = self.chance(self.weather.failures).then(|| self.trouble());
        let arrived_anyway = self.chance(0.3);
        let trouble = match (cut && !was_faster, weather) {
            (true, _) => Some(Error::new(ErrorKind::Cancelled, "cut")),
            (false, trouble) if running.job.is_remote() => trouble,
            // Disks fail seldom.
            (false, trouble) => trouble.filter(|_| arrived_anyway).map(|_| Error::new(ErrorKind::SourceRead, "disk")),
        };
        self.count(id, &running.job, trouble.is_none());
        if let Some(error) = trouble {
            // What the store refuses it has not done.
            let refused =
                matches!(error.kind(), ErrorKind::AccessDenied | ErrorKind::Throttled | ErrorKind::ExpiredCredentials);
            let stores = running.job.stores_object();
            running.unanswered |= stores && !refused;
            if arrived_anyway && !(stores && (refused || self.refusal(id, &running.job).is_some())) {
                self.arrive(id, job, &running.job);
            }
            return Err(error);
        }
        match self.refusal(id, &running.job) {
            Some(kind) => Err(Error::new(kind, "the store")),
            None => Ok(self.succeed(id, job, &running.job)),
        }
    }

    /// What the store does not do again, or not over another's object.
    fn refusal(&self, id: u64, job: &Job) -> Option<ErrorKind> {
        let Side::Upload { free_only, .. } = self.transfers[&id].side else { return None };
        if free_only && job.stores_object() && self.store.is_taken(id) {
            return Some(ErrorKind::PreconditionFailed);
        }
        match job {
            Job::CompleteUpload { upload_id, .. } if self.store.is_gone(upload_id) => Some(ErrorKind::NoSuchUpload),
            _ => None,
        }
    }

    fn trouble(&mut self) -> Error {
        let kind = match self.random.u32(0..40) {
            0 => ErrorKind::AccessDenied,
            1..=4 => ErrorKind::Throttled,
            5..=9 => ErrorKind::ServiceUnavailable,
            10..=11 => ErrorKind::ExpiredCredentials,
            12 => ErrorKind::Internal,
            13..=20 => ErrorKind::RequestTimeout,
            _ => ErrorKind::ConnectionLost,
        };
        Error::new(kind, "weather")
    }

    /// The request did its work although its answer never came.
    fn arrive(&mut self, id: u64, job: JobId, what: &Job) {
        match what {
            Job::CreateUpload => {
                self.store.create(id, false);
            }
            Job::PutObject { .. } | Job::CompleteUpload { .. } => {
                self.succeed(id, job, what);
            }
            Job::AbortUpload { upload_id } => {
                self.store.abort(upload_id);
            }
            _ => {}
        }
    }

    fn count(&mut self, id: u64, job: &Job, all: bool) {
        let share = self.random.f64();
        let transfer = self.transfers.get_mut(&id).expect("known");
        let range = match (job, &transfer.side) {
            (Job::PutObject { length }, _) => ByteRange::new(0, *length),
            (Job::UploadPart { range, .. } | Job::FetchRange { range, .. }, _) => *range,
            (Job::Discover { part_size, .. }, Side::Download { object, .. }) => {
                ByteRange::new(object.start, object.start + first_part_length(object.size, *part_size))
            }
            _ => return,
        };
        let mark = transfer.marks.entry(range.start).or_default();
        let position = if all { range.len() } else { (range.len() as f64 * share) as u64 };
        transfer.counted += position.saturating_sub(*mark);
        *mark = position.max(*mark);
    }

    fn succeed(&mut self, id: u64, job: JobId, what: &Job) -> Reply {
        let transfer = self.transfers.get_mut(&id).expect("known");
        match what {
            Job::PutObject { length } => {
                let sent = Some(checksum_of(ByteRange::new(0, *length)));
                self.store.put(id, *length, sent.clone());
                Reply::ObjectPut(StoredObject { sent, ..StoredObject::default() })
            }
            Job::ReadPart { number, max } => {
                let Side::Upload { length, .. } = transfer.side else { panic!("only uploads read") };
                let part = (length - transfer.read).min(*max);
                transfer.read += part;
                assert!(transfer.kept.insert(number.get(), *max).is_none());
                // Whether the end shows with the last bytes, or only when nothing more comes.
                let last = transfer.read == length && (part < *max || number.get() % 2 == 0);
                if part == 0 {
                    // Nothing is kept of nothing.
                    let memory = transfer.kept.remove(&number.get()).expect("just put in");
                    self.budget.give_back(&memory_of(id, memory));
                }
                Reply::PartRead { length: part, last }
            }
            Job::CreateUpload => Reply::UploadCreated { upload_id: self.store.create(id, true) },
            Job::UploadPart { upload_id, number, range } => {
                self.store.upload_part(upload_id, number.get(), *range);
                let etag = format!("etag-{}", range.start).into();
                Reply::PartStored { etag, checksum: Some(checksum_of(*range)) }
            }
            Job::CompleteUpload { upload_id, parts, size, checksum } => {
                self.store.complete(upload_id, parts, *size, checksum.as_ref());
                Reply::UploadCompleted(StoredObject {
                    checksum: checksum.clone(),
                    sent: checksum.clone(),
                    ..StoredObject::default()
                })
            }
            Job::AbortUpload { upload_id } => Reply::UploadAborted { gone: self.store.abort(upload_id) },
            Job::LookForObject { .. } => {
                let begun = self.now - transfer.begun.expect("it has made a request");
                Reply::ObjectSeen(self.store.objects.get(&id).map(|object| SeenObject {
                    size: object.size,
                    checksums: object.checksum.iter().cloned().collect(),
                    age: Some(Duration::from_secs((self.now - object.modified).as_secs())),
                    begun,
                    ..SeenObject::default()
                }))
            }
            Job::Discover { part_size, commit } => {
                let Side::Download { object, .. } = &transfer.side else { panic!("only downloads discover") };
                let facts = object.clone();
                let end = object.start + first_part_length(object.size, *part_size);
                let range = ByteRange::new(object.start, end);
                transfer.landed.push(range);
                let length = range.len();
                let checksum = checksum_of(range);
                let whole = *commit && length == facts.size && mismatch(&facts, &checksum).is_none();
                transfer.committed |= whole;
                // However the head came, it came before the body.
                self.tell(id, Event::Noted { job, note: Note::Discovered(Arc::new(facts)) });
                let checksum = Some(checksum);
                match whole {
                    true => Reply::ObjectLanded { length, checksum },
                    false => Reply::RangeLanded { length, checksum },
                }
            }
            Job::FetchRange { range, .. } => {
                transfer.landed.push(*range);
                Reply::RangeLanded { length: range.len(), checksum: Some(checksum_of(*range)) }
            }
            Job::CommitTarget => {
                transfer.committed = true;
                Reply::TargetCommitted
            }
            Job::DiscardTarget => {
                transfer.discarded = true;
                Reply::TargetDiscarded
            }
            Job::DeleteObject => Reply::ObjectDeleted { version_id: None },
        }
    }

    /// How a successful download must have gone: each byte once.
    pub(crate) fn assert_covered(&self, id: u64) {
        let transfer = &self.transfers[&id];
        let Side::Download { object, part_size, .. } = &transfer.side else { panic!("a download") };
        let mut landed = transfer.landed.clone();
        landed.sort_unstable_by_key(|range| range.start);
        assert_eq!(landed, download_ranges(object.start, object.size, *part_size));
    }
}

/// The checksum that went with a request that stores an object.
fn sent_with(job: &Job) -> Option<Checksum> {
    match job {
        Job::PutObject { length } => Some(checksum_of(ByteRange::new(0, *length))),
        Job::CompleteUpload { checksum, .. } => checksum.clone(),
        _ => None,
    }
}

impl Running {
    fn new(job: &Job, class: Class, cost: Cost) -> Running {
        let retry = RetryState::default();
        Running {
            job: job.clone(),
            class,
            cost,
            retry,
            state: State::Queued,
            withdrawn: false,
            unanswered: false,
            holds: 0,
        }
    }
}

impl Transfer {
    /// Whether what a job sends is kept in memory, and counts there.
    fn is_kept(&self, job: &Job) -> bool {
        match job {
            Job::UploadPart { number, .. } => self.kept.contains_key(&number.get()),
            Job::PutObject { .. } => self.kept.contains_key(&1),
            _ => false,
        }
    }
}

fn memory_of(id: u64, memory: u64) -> Cost {
    Cost { memory, holder: TransferId(id), ..Cost::default() }
}

pub(crate) fn download_ranges(start: u64, size: u64, part_size: u64) -> Vec<ByteRange> {
    let plan = DownloadPlan::new(start, size, part_size).expect("it is small");
    (0..plan.count()).filter_map(|index| plan.range(index)).collect()
}

pub(crate) fn download_checksum(start: u64, size: u64, part_size: u64) -> Option<Checksum> {
    checksum_of_all(&download_ranges(start, size, part_size))
}
