//! What a download does next.
//!
//! Decides: which ranges are fetched when, whether they belong to one object, whether the bytes are the right ones, and when the target is
//! made final or removed. Never sees a byte and never waits; retries happen below it, so that a failed job has failed for good.
//!
//! Invariants:
//! - The first answer is pinned by its ETag; a range of another object is never landed with it.
//! - At most `window` ranges are under way; for an in-order target none is further than `window` ranges ahead of what was delivered.
//! - The target is committed only when each byte is there (and delivered) and the checksum, if there is one, is right; in all other ends
//!   it is discarded. The transfer ends once, with nothing under way, and the first error is its result.

use std::sync::Arc;

use crate::checksum::{Algorithm, Checksum};
use crate::error::{Error, ErrorKind};
use crate::job::{Effect, Event, Job, Note, ObjectFacts, Reply};
use crate::ledger::{Ledger, Origin, wrong_reply};
use crate::outcome::{TransferOutcome, Verified};
use crate::plan::{DownloadPlan, first_part_length};
use crate::runs::Runs;

/// What a download needs to know before it starts.
///
/// ```
/// use xfer_core::download::DownloadSpec;
/// // Into a file: parts may land in any order.
/// let spec = DownloadSpec { part_size: 8 << 20, window: 64, ordered: false, validate: true };
/// assert_eq!(spec.part_size, 8_388_608);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DownloadSpec {
    /// The size in bytes of a range, at least 1.
    pub part_size: u64,
    /// The most ranges that are under way, at least 1.
    pub window: usize,
    /// Whether the target takes bytes in order only, and tells by [`Event::Delivered`] how far it is.
    pub ordered: bool,
    /// Whether the bytes are compared with the store's checksum, if it has one.
    pub validate: bool,
}

/// Which checksum has to be computed while an object is landed, so that it can be verified in the end; `None` when it cannot be.
///
/// One that can be combined from those of the ranges, in the order of [`Algorithm::BY_PREFERENCE`]; another only when the object comes
/// with a single request.
///
/// ```
/// use xfer_core::checksum::{Algorithm, Checksum};
/// use xfer_core::download::choose_checksum;
/// use xfer_core::job::ObjectFacts;
/// let checksums = vec![Checksum::of(Algorithm::Sha256, b"...")];
/// let facts = ObjectFacts { size: 100, start: 0, etag: None, version_id: None, checksums };
/// assert_eq!(choose_checksum(&facts, 100, true), Some(Algorithm::Sha256));
/// assert_eq!(choose_checksum(&facts, 10, true), None);
/// ```
#[must_use]
pub fn choose_checksum(facts: &ObjectFacts, part_size: u64, validate: bool) -> Option<Algorithm> {
    if !validate {
        return None;
    }
    let has = |algorithm: &Algorithm| facts.checksums.iter().any(|checksum| checksum.algorithm() == *algorithm);
    let best = |combining: bool| Algorithm::BY_PREFERENCE.into_iter().filter(|a| a.combines() == combining).find(has);
    let single = first_part_length(facts.size, part_size) == facts.size;
    best(true).or_else(|| if single { best(false) } else { None })
}

/// What is wrong with an object's bytes, if the checksum of all of them is not the one that the store has in this algorithm.
///
/// ```
/// use xfer_core::checksum::{Algorithm, Checksum};
/// use xfer_core::download::mismatch;
/// use xfer_core::job::ObjectFacts;
/// let ours = |bytes: &[u8]| Checksum::of(Algorithm::Crc64Nvme, bytes);
/// let facts = ObjectFacts { size: 3, start: 0, etag: None, version_id: None, checksums: vec![ours(b"abc")] };
/// assert!(mismatch(&facts, &ours(b"abc")).is_none());
/// assert!(mismatch(&facts, &ours(b"abd")).is_some());
/// ```
#[must_use]
pub fn mismatch(facts: &ObjectFacts, ours: &Checksum) -> Option<Error> {
    let theirs = facts.checksums.iter().find(|checksum| checksum.algorithm() == ours.algorithm())?;
    (ours != theirs).then(|| {
        let message = format!("the store has {theirs}, the bytes that came have {ours}");
        Error::new(ErrorKind::ChecksumMismatch, message).in_operation("GetObject")
    })
}

/// What a job under way is.
#[derive(Debug)]
enum Asked {
    Discover,
    Range { index: u32, length: u64 },
    Commit,
    Discard,
}

/// What discovery told, and what follows from it.
#[derive(Debug)]
struct Found {
    facts: Arc<ObjectFacts>,
    plan: DownloadPlan,
    algorithm: Option<Algorithm>,
}

/// One download. Feed it events, carry out the effects.
///
/// ```
/// use xfer_core::download::{DownloadMachine, DownloadSpec};
/// use xfer_core::job::{Effect, Event, Job};
/// let spec = DownloadSpec { part_size: 8 << 20, window: 4, ordered: false, validate: true };
/// let mut machine = DownloadMachine::new(spec);
/// let mut effects = Vec::new();
/// machine.on(Event::Started, &mut effects);
/// assert!(matches!(effects[..], [Effect::Run { job: Job::Discover { .. }, .. }]));
/// ```
#[derive(Debug)]
pub struct DownloadMachine {
    spec: DownloadSpec,
    ledger: Ledger<Asked>,
    started: bool,
    found: Option<Found>,
    /// Index of the next range to ask for; range 0 comes with discovery.
    next: u32,
    landed: u32,
    runs: Runs,
    delivered: u64,
    /// Whether something may be left of the target.
    target: bool,
    committed: bool,
}

impl DownloadMachine {
    /// A machine for one download.
    #[must_use]
    pub fn new(spec: DownloadSpec) -> DownloadMachine {
        DownloadMachine {
            spec: DownloadSpec { part_size: spec.part_size.max(1), window: spec.window.max(1), ..spec },
            ledger: Ledger::new(),
            started: false,
            found: None,
            next: 1,
            landed: 0,
            runs: Runs::default(),
            delivered: 0,
            target: false,
            committed: false,
        }
    }

    /// How many jobs are under way.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.ledger.outstanding()
    }

    /// Whether the transfer has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.ledger.is_finished()
    }

    /// Takes in what happened, and adds to `out` what is to be done about it.
    pub fn on(&mut self, event: Event, out: &mut Vec<Effect>) {
        if self.ledger.is_finished() {
            return;
        }
        match event {
            Event::Started if !self.started && !self.ledger.is_failing() => {
                self.started = true;
                self.target = true;
                let job = Job::Discover { part_size: self.spec.part_size, commit: !self.spec.ordered };
                self.ledger.run(job, Asked::Discover, out);
            }
            Event::Noted { job, note: Note::Discovered(facts) } => {
                if matches!(self.ledger.get(job), Some(Asked::Discover)) {
                    self.discovered(facts, out);
                }
            }
            Event::Done { job, reply } => {
                if let Some(asked) = self.ledger.settle(job) {
                    self.done(asked, reply, out);
                }
            }
            Event::Failed { job, error } => {
                if let Some(asked) = self.ledger.settle(job) {
                    self.failed(&asked, error, out);
                }
            }
            Event::Delivered { bytes } => self.delivered = self.delivered.max(bytes),
            Event::Stop { error } => self.ledger.fail(error, Origin::Stop, out),
            Event::Started | Event::Noted { note: Note::Unanswered { .. }, .. } => {}
        }
        self.advance(out);
    }

    fn discovered(&mut self, facts: Arc<ObjectFacts>, out: &mut Vec<Effect>) {
        let taken = self.take_facts(facts);
        // One that is failing takes them too: its object may turn out to be final already.
        if let Err(error) = taken
            && !self.ledger.is_failing()
        {
            self.ledger.fail(error.in_operation("GetObject"), Origin::Job, out);
        }
    }

    fn take_facts(&mut self, facts: Arc<ObjectFacts>) -> Result<(), Error> {
        if let Some(found) = &self.found {
            let known = &found.facts;
            if (known.etag.as_ref(), known.size, known.start) == (facts.etag.as_ref(), facts.size, facts.start) {
                return Ok(());
            }
            let message = "its ETag or size is not the same as when the download began";
            return Err(Error::new(ErrorKind::ObjectModified, message));
        }
        let plan = DownloadPlan::new(facts.start, facts.size, self.spec.part_size)?;
        if plan.count() > 1 && facts.etag.is_none() {
            let message = "there is no ETag, and without one no second range can be known to be of the same object";
            return Err(Error::new(ErrorKind::Protocol, message));
        }
        let algorithm = choose_checksum(&facts, self.spec.part_size, self.spec.validate);
        self.found = Some(Found { facts, plan, algorithm });
        Ok(())
    }

    fn done(&mut self, asked: Asked, reply: Reply, out: &mut Vec<Effect>) {
        if matches!((&asked, &reply), (Asked::Discover, Reply::ObjectLanded { .. })) {
            self.target = false;
            self.committed = true;
        }
        let landed = match (asked, reply) {
            (Asked::Discover, Reply::RangeLanded { length, checksum } | Reply::ObjectLanded { length, checksum }) => {
                match &self.found {
                    Some(found) => {
                        Some((0, first_part_length(found.plan.size(), self.spec.part_size), length, checksum))
                    }
                    None => {
                        let error = Error::internal("an object was landed before anything was known of it");
                        return self.ledger.fail(error, Origin::Job, out);
                    }
                }
            }
            (Asked::Range { index, length: asked }, Reply::RangeLanded { length, checksum }) => {
                Some((index, asked, length, checksum))
            }
            (Asked::Commit, Reply::TargetCommitted) => {
                self.target = false;
                self.committed = true;
                None
            }
            // Whatever it says: the target has been dealt with.
            (Asked::Discard, _) => {
                self.target = false;
                None
            }
            (Asked::Discover | Asked::Range { .. }, _) => {
                return self.ledger.fail(wrong_reply("GetObject"), Origin::Job, out);
            }
            (Asked::Commit, _) => return self.ledger.fail(wrong_reply("CommitTarget"), Origin::Job, out),
        };
        let Some((index, expected, length, checksum)) = landed else { return };
        if length != expected {
            let kind = if length < expected { ErrorKind::ConnectionLost } else { ErrorKind::Protocol };
            let error = Error::new(kind, format!("{length} bytes came where {expected} were asked for"));
            return self.ledger.fail(error.in_operation("GetObject"), Origin::Job, out);
        }
        let algorithm = self.found.as_ref().and_then(|found| found.algorithm);
        let checksum = checksum.filter(|checksum| Some(checksum.algorithm()) == algorithm);
        self.runs.insert(index, length, checksum);
        self.landed += 1;
    }

    fn failed(&mut self, asked: &Asked, error: Error, out: &mut Vec<Effect>) {
        let error = match asked {
            // It was asked for with If-Match: the object is another by now.
            Asked::Range { .. } if error.kind() == ErrorKind::PreconditionFailed => {
                error.as_kind(ErrorKind::ObjectModified)
            }
            Asked::Discard => {
                self.target = false;
                error
            }
            Asked::Discover | Asked::Range { .. } | Asked::Commit => error,
        };
        self.ledger.fail(error, Origin::Job, out);
    }

    /// Asks for whatever may be asked for now.
    fn advance(&mut self, out: &mut Vec<Effect>) {
        if self.committed {
            // A stop that came meanwhile came too late.
            return self.succeed(out);
        }
        if self.ledger.is_failing() {
            return self.wind_down(out);
        }
        let Some(found) = &self.found else { return };
        let (plan, count) = (found.plan, found.plan.count());
        while self.next < count && self.ledger.outstanding() < self.spec.window && self.may_run_ahead() {
            let (Some(range), Some(etag)) = (plan.range(self.next), found.facts.etag.as_ref()) else { break };
            let job = Job::FetchRange { range, etag: Arc::clone(etag) };
            self.ledger.run(job, Asked::Range { index: self.next, length: range.len() }, out);
            self.next += 1;
        }
        let all_there = self.landed == count && (!self.spec.ordered || self.delivered >= plan.size());
        if self.landed == count
            && let Some(error) = self.mismatch()
        {
            self.ledger.fail(error, Origin::Job, out);
            return self.wind_down(out);
        }
        if all_there && self.ledger.outstanding() == 0 {
            self.ledger.run(Job::CommitTarget, Asked::Commit, out);
        }
    }

    /// Whether an in-order target can take the next range into its window.
    fn may_run_ahead(&self) -> bool {
        let delivered = self.delivered / self.spec.part_size;
        !self.spec.ordered || u64::from(self.next) < delivered.saturating_add(self.spec.window as u64)
    }

    /// What is wrong with the bytes, all being landed.
    fn mismatch(&self) -> Option<Error> {
        let found = self.found.as_ref()?;
        mismatch(&found.facts, self.runs.checksum_of(found.plan.count())?)
    }

    /// Waits for what is under way, removes what is left of the target, and ends.
    fn wind_down(&mut self, out: &mut Vec<Effect>) {
        if self.ledger.outstanding() > 0 {
            return;
        }
        if self.target {
            self.ledger.run(Job::DiscardTarget, Asked::Discard, out);
        } else {
            self.ledger.finish_failed(out);
        }
    }

    fn succeed(&mut self, out: &mut Vec<Effect>) {
        // Nobody told what was landed: a defect elsewhere, which has failed the transfer already and must not keep it from its end.
        let Some(found) = self.found.take() else { return self.ledger.finish_failed(out) };
        let mut outcome = TransferOutcome::of_bytes(found.plan.size());
        if let Some(ours) = self.runs.checksum_of(found.plan.count()) {
            outcome.verified = Verified::FullObject(ours.algorithm());
        }
        outcome.etag = found.facts.etag.as_deref().map(str::to_owned);
        outcome.version_id = found.facts.version_id.clone();
        self.ledger.succeed(outcome, out);
    }
}

#[cfg(test)]
mod tests;
