//! What an upload does next.
//!
//! Decides: one request or many, which part is read and sent when, when an upload is completed or aborted, and what was verified.
//! Never reads a byte and never waits; retries happen below it, so that a failed job has failed for good.
//!
//! Invariants:
//! - At most `window` parts are asked for and not settled; a source that cannot be read twice is read in order, one part at a time.
//! - An upload id that was given is completed, or aborted before the transfer ends, even if it came after the end was decided.
//! - The transfer ends once, with nothing under way. The first error is its result; errors of the clean-up never hide it.
//! - A request that was refused because an earlier, unanswered one was carried out is a success, if the object can be told to be this
//!   upload's: see [`claim`](crate::claim).
//!
//! What cannot be known: when CompleteMultipartUpload fails without an answer, the store may still have completed it. The upload is
//! aborted all the same, which cannot harm a completed object, and the transfer reports the failure: an object that is there
//! although its upload "failed" can be uploaded again, one that is missing although it "succeeded" is lost.

use std::collections::VecDeque;
use std::sync::Arc;

use md5::{Digest as _, Md5};

use crate::checksum::{Algorithm, Checksum, ChecksumKind};
use crate::claim::{Fingerprint, hex, may_be_our_own_doing};
use crate::error::{Error, ErrorKind};
use crate::id::{MAX_PARTS, PartNumber};
use crate::job::{Effect, Event, Job, Note, Reply, SeenObject, StoredObject, UploadedPart};
use crate::ledger::{Ledger, Origin, wrong_reply};
use crate::outcome::{TransferOutcome, Verified};
use crate::plan::{PartLayout, UploadPlan, checked_part_size, growing_part_size, growing_reach};
use crate::range::ByteRange;
use crate::runs::Runs;

/// How often an upload is aborted at the most. S3 says of AbortMultipartUpload that parts under way may survive it, so that it may have
/// to be sent again; two repetitions end the matter without hanging on a store that never calls an upload gone.
pub const MAX_ABORTS: u32 = 3;

/// Which checksum goes with an upload.
///
/// ```
/// use xfer_core::checksum::{Algorithm, ChecksumKind};
/// use xfer_core::upload::UploadChecksum;
/// // What an upload has if nothing else is asked for.
/// let usual = UploadChecksum::PerRequest { algorithm: Algorithm::Crc64Nvme, kind: ChecksumKind::FullObject };
/// assert_ne!(usual, UploadChecksum::None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UploadChecksum {
    /// None at all.
    None,
    /// Each request carries the checksum of its bytes.
    PerRequest {
        /// By which algorithm.
        algorithm: Algorithm,
        /// What the store keeps of a multipart object: the combined checksum, or the list of its parts' checksums.
        kind: ChecksumKind,
    },
    /// The caller has the checksum of the whole object; the store compares.
    CallerGiven(Checksum),
    /// As [`CallerGiven`](UploadChecksum::CallerGiven), but by MD5, which goes along with the call's arguments.
    Md5Given,
}

/// What an upload needs to know before it starts.
///
/// ```
/// use xfer_core::error::ErrorKind;
/// use xfer_core::upload::{UploadChecksum, UploadMachine, UploadSpec};
/// // A pipe.
/// let spec = UploadSpec {
///     length: None,
///     rereadable: false,
///     part_size: 8 << 20,
///     threshold: 8 << 20,
///     window: 4,
///     checksum: UploadChecksum::None,
/// };
/// assert!(UploadMachine::new(spec.clone()).is_ok());
/// let too_large = UploadSpec { part_size: 6 << 30, ..spec };
/// assert_eq!(UploadMachine::new(too_large).unwrap_err().kind(), ErrorKind::InvalidArgument);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct UploadSpec {
    /// The source's length in bytes, when it is known.
    pub length: Option<u64>,
    /// Whether any part of the source can be read at any time and more than once, as of a file. Needs a length to be of use.
    pub rereadable: bool,
    /// The part size in bytes that is wished for; raised where S3 demands it.
    pub part_size: u64,
    /// The largest object in bytes that is sent with one request.
    pub threshold: u64,
    /// The most parts that are asked for and not settled, at least 1. Parts that are kept in memory count by their size: where they have to be
    /// larger than `part_size`, they are fewer, down to two.
    pub window: usize,
    /// Which checksum goes along.
    pub checksum: UploadChecksum,
}

/// How the object is cut.
#[derive(Debug)]
enum Layout {
    Single { length: u64 },
    Known(PartLayout),
    Growing { base: u64 },
}

/// What a job under way is.
#[derive(Debug)]
enum Asked {
    Put,
    Read { number: PartNumber, max: u64 },
    Create,
    Part { number: PartNumber, length: u64 },
    Complete,
    Look { refusal: Error, sent: Option<Checksum> },
    Abort,
}

/// One upload. Feed it events, carry out the effects.
///
/// ```
/// use xfer_core::job::{Effect, Event, Job};
/// use xfer_core::upload::{UploadChecksum, UploadMachine, UploadSpec};
/// let spec = UploadSpec {
///     length: Some(3),
///     rereadable: true,
///     part_size: 8 << 20,
///     threshold: 8 << 20,
///     window: 4,
///     checksum: UploadChecksum::None,
/// };
/// let mut machine = UploadMachine::new(spec)?;
/// let mut effects = Vec::new();
/// machine.on(Event::Started, &mut effects);
/// assert!(matches!(effects[..], [Effect::Run { job: Job::PutObject { length: 3 }, .. }]));
/// # Ok::<(), xfer_core::error::Error>(())
/// ```
#[derive(Debug)]
pub struct UploadMachine {
    ledger: Ledger<Asked>,
    layout: Layout,
    threshold: u64,
    window: usize,
    checksum: UploadChecksum,
    /// Whether parts are read into memory first, in order.
    reads: bool,
    started: bool,
    upload_id: Option<Arc<str>>,
    /// The number of the next part to be read or, of a file, to be sent; 0 once there is none.
    next: u32,
    reading: bool,
    /// Bytes that were read so far, in order.
    offset: u64,
    /// Parts that were read and wait for the upload id.
    ready: VecDeque<(PartNumber, ByteRange)>,
    /// Parts asked for and not settled: being read, ready, or being sent.
    unsettled: usize,
    stored: Vec<Option<UploadedPart>>,
    runs: Runs,
    /// Whether a part may still arrive at the store although nobody waits for it.
    stray: bool,
    aborts: u32,
    /// Whether the request that stores the object may have been carried out unseen, and the checksum that it had.
    unanswered: Option<Option<Checksum>>,
    /// The object was found in the store; what is left is to remove the upload, should it still be there.
    found: Option<Box<TransferOutcome>>,
}

impl UploadMachine {
    /// A machine for one upload.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a part size that S3 does not take, or a full-object checksum of a multipart object by an
    /// algorithm that does not combine (S3 has them of CRCs only); [`ErrorKind::TooLarge`] for a length beyond what S3 stores.
    pub fn new(spec: UploadSpec) -> Result<UploadMachine, Error> {
        let layout = match spec.length {
            Some(length) => match UploadPlan::known(length, spec.part_size, spec.threshold)? {
                UploadPlan::Single { length } => Layout::Single { length },
                UploadPlan::Multipart(layout) => Layout::Known(layout),
            },
            None => Layout::Growing { base: checked_part_size(spec.part_size)? },
        };
        if matches!(layout, Layout::Known(_)) {
            check_multipart_checksum(&spec.checksum)?;
        }
        let reads = !spec.rereadable || spec.length.is_none();
        let window = match &layout {
            Layout::Known(layout) if reads => window_of(spec.window, spec.part_size, layout.part_size()),
            Layout::Growing { base } => window_of(spec.window, spec.part_size, *base),
            Layout::Known(_) | Layout::Single { .. } => spec.window,
        };
        Ok(UploadMachine {
            ledger: Ledger::new(),
            reads,
            layout,
            threshold: spec.threshold,
            window: window.max(1),
            checksum: spec.checksum,
            started: false,
            upload_id: None,
            next: 1,
            reading: false,
            offset: 0,
            ready: VecDeque::new(),
            unsettled: 0,
            stored: Vec::new(),
            runs: Runs::default(),
            stray: false,
            aborts: 0,
            unanswered: None,
            found: None,
        })
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
            Event::Started if !self.started && !self.ledger.is_failing() => self.start(out),
            Event::Done { job, reply } => {
                if let Some(asked) = self.ledger.settle(job) {
                    self.done(asked, reply, out);
                }
            }
            Event::Failed { job, error } => {
                if let Some(asked) = self.ledger.settle(job) {
                    self.failed(asked, error, out);
                }
            }
            Event::Noted { job, note: Note::Unanswered { sent } } => {
                if matches!(self.ledger.get(job), Some(Asked::Put | Asked::Complete)) {
                    self.unanswered = Some(sent);
                }
            }
            Event::Stop { error } => self.ledger.fail(error, Origin::Stop, out),
            Event::Started | Event::Noted { .. } | Event::Delivered { .. } => {}
        }
        self.advance(out);
    }

    fn start(&mut self, out: &mut Vec<Effect>) {
        self.started = true;
        match self.layout {
            Layout::Single { length } if !self.reads => self.put(length, out),
            Layout::Single { .. } | Layout::Growing { .. } => self.read_next(out),
            Layout::Known(_) => self.ledger.run(Job::CreateUpload, Asked::Create, out),
        }
    }

    fn put(&mut self, length: u64, out: &mut Vec<Effect>) {
        self.layout = Layout::Single { length };
        self.ledger.run(Job::PutObject { length }, Asked::Put, out);
    }

    fn done(&mut self, asked: Asked, reply: Reply, out: &mut Vec<Effect>) {
        match (asked, reply) {
            (Asked::Put, Reply::ObjectPut(stored)) => {
                let ours = stored.sent.clone();
                self.object_stored(stored, ours, "PutObject", out);
            }
            (Asked::Read { number, max }, Reply::PartRead { length, last }) => {
                self.reading = false;
                if !self.ledger.is_failing() {
                    self.part_read(number, max, length, last, out);
                }
            }
            (Asked::Create, Reply::UploadCreated { upload_id }) => self.upload_id = Some(upload_id),
            (Asked::Part { number, length }, Reply::PartStored { etag, checksum }) => {
                self.unsettled -= 1;
                self.runs.insert(number.get() - 1, length, checksum.clone());
                if self.stored.len() <= number.index() {
                    self.stored.resize(number.index() + 1, None);
                }
                self.stored[number.index()] = Some(UploadedPart { number, etag, checksum });
            }
            (Asked::Complete, Reply::UploadCompleted(stored)) => {
                self.upload_id = None;
                let ours = stored.sent.clone();
                self.object_stored(stored, ours, "CompleteMultipartUpload", out);
            }
            (Asked::Look { refusal, sent }, Reply::ObjectSeen(seen)) => self.looked(refusal, sent, seen, out),
            (Asked::Abort, Reply::UploadAborted { gone }) => {
                if gone || !self.stray || self.aborts >= MAX_ABORTS {
                    self.upload_id = None;
                }
            }
            // What was meant to remove the upload did not; trying again is not going to.
            (Asked::Abort, _) => self.leave_behind(),
            (_, reply) => self.ledger.fail(wrong_reply(reply_name(&reply)), Origin::Job, out),
        }
    }

    fn failed(&mut self, asked: Asked, error: Error, out: &mut Vec<Effect>) {
        let error = match asked {
            Asked::Abort => {
                self.leave_behind();
                if self.found.is_some() {
                    // The object is there all the same.
                    return;
                }
                error
            }
            Asked::Part { .. } => {
                self.stray = true;
                error
            }
            Asked::Put if self.may_be_done(&error) => return self.look(error, true, out),
            Asked::Complete if self.may_be_done(&error) => return self.look(error, false, out),
            // Whether it is there cannot be found out: what the store said last stands.
            Asked::Look { refusal, .. } => refusal,
            Asked::Put | Asked::Read { .. } | Asked::Create | Asked::Complete => error,
        };
        self.ledger.fail(error, Origin::Job, out);
    }

    /// The upload stays in the store, since it could not be removed.
    fn leave_behind(&mut self) {
        let upload_id = self.upload_id.take();
        self.ledger.leave_behind(upload_id);
    }

    /// Whether an earlier request may have done what this one is refused.
    fn may_be_done(&self, refusal: &Error) -> bool {
        self.unanswered.is_some() && !self.ledger.is_failing() && may_be_our_own_doing(refusal)
    }

    fn look(&mut self, refusal: Error, with_md5: bool, out: &mut Vec<Effect>) {
        let sent = self.unanswered.take().flatten();
        self.ledger.run(Job::LookForObject { with_md5 }, Asked::Look { refusal, sent }, out);
    }

    fn looked(&mut self, refusal: Error, sent: Option<Checksum>, seen: Option<SeenObject>, out: &mut Vec<Effect>) {
        let parts: Vec<UploadedPart> = self.stored.iter().flatten().cloned().collect();
        let ours = |seen: &SeenObject| Fingerprint {
            size: self.size(),
            checksum: sent.clone().or_else(|| self.combined().cloned()),
            etag: if parts.is_empty() { seen.source_etag.clone() } else { multipart_etag(&parts) },
        };
        let Some(seen) = seen.filter(|seen| ours(seen).is_of(seen)) else {
            return self.ledger.fail(refusal, Origin::Job, out);
        };
        let upload_is_gone = refusal.kind() == ErrorKind::NoSuchUpload;
        let stored = StoredObject {
            etag: seen.etag.as_deref().map(str::to_owned),
            version_id: seen.version_id,
            ..StoredObject::default()
        };
        let outcome = match self.outcome(stored, sent) {
            Ok(outcome) => outcome,
            Err(error) => return self.ledger.fail(error, Origin::Job, out),
        };
        match &self.upload_id {
            // Should the same bytes be another's after all, this upload is still open.
            Some(upload_id) if !upload_is_gone => {
                let job = Job::AbortUpload { upload_id: Arc::clone(upload_id) };
                self.found = Some(Box::new(outcome));
                self.ledger.run(job, Asked::Abort, out);
            }
            _ => self.ledger.succeed(outcome, out),
        }
    }

    /// The object is in the store: what is left is to look at what the store says of it. A stop that came meanwhile came too late.
    fn object_stored(
        &mut self,
        stored: StoredObject,
        ours: Option<Checksum>,
        operation: &'static str,
        out: &mut Vec<Effect>,
    ) {
        match self.outcome(stored, ours) {
            Ok(outcome) => self.ledger.succeed(outcome, out),
            Err(error) => self.ledger.fail(error.in_operation(operation), Origin::Job, out),
        }
    }

    fn outcome(&self, stored: StoredObject, ours: Option<Checksum>) -> Result<TransferOutcome, Error> {
        let mut outcome = TransferOutcome::of_bytes(self.size());
        outcome.verified = self.verify(&stored, ours)?;
        outcome.etag = stored.etag;
        outcome.version_id = stored.version_id;
        Ok(outcome)
    }

    /// `ours` is the full-object checksum that was sent along.
    fn verify(&self, stored: &StoredObject, ours: Option<Checksum>) -> Result<Verified, Error> {
        // A value that nobody asked for to be of the full object is compared only where the store says that it is.
        let known = match (&ours, stored.checksum_kind) {
            (_, Some(ChecksumKind::Composite)) => None,
            (Some(ours), _) => Some(ours),
            (None, Some(ChecksumKind::FullObject)) => self.combined(),
            (None, None) => None,
        };
        if let (Some(known), Some(theirs)) = (known, &stored.checksum)
            && known.algorithm() == theirs.algorithm()
        {
            if known != theirs {
                let message = format!("the object was stored with {theirs}, what was sent has {known}");
                return Err(Error::new(ErrorKind::ChecksumMismatch, message));
            }
            return Ok(Verified::FullObject(known.algorithm()));
        }
        if let Some(ours) = ours {
            return Ok(Verified::FullObject(ours.algorithm()));
        }
        let algorithm = |part: &Option<UploadedPart>| part.as_ref()?.checksum.as_ref().map(Checksum::algorithm);
        match self.stored.first().and_then(algorithm) {
            Some(first) if self.stored.iter().all(|part| algorithm(part) == Some(first)) => {
                Ok(Verified::EachPart(first))
            }
            _ => Ok(Verified::NotAvailable),
        }
    }

    /// The checksum of the whole object, from those of its parts.
    fn combined(&self) -> Option<&Checksum> {
        self.runs.checksum_of(u32::try_from(self.stored.len()).ok()?)
    }

    fn size(&self) -> u64 {
        match &self.layout {
            Layout::Single { length } => *length,
            Layout::Known(layout) => layout.length(),
            Layout::Growing { .. } => self.offset,
        }
    }

    fn part_read(&mut self, number: PartNumber, max: u64, length: u64, last: bool, out: &mut Vec<Effect>) {
        match self.take_read_part(number, max, length, last) {
            Ok(Taken::Part) => {}
            Ok(Taken::WholeObject) => {
                self.unsettled = 0;
                self.next = 0;
                self.put(length, out);
            }
            Ok(Taken::FirstOfMany) => self.ledger.run(Job::CreateUpload, Asked::Create, out),
            Err(error) => self.ledger.fail(error.in_part(number), Origin::Job, out),
        }
    }

    fn take_read_part(&mut self, number: PartNumber, max: u64, length: u64, last: bool) -> Result<Taken, Error> {
        if length > max {
            return Err(Error::internal(format!("{length} bytes were read where {max} were asked for")));
        }
        let known = match &self.layout {
            Layout::Single { length } => Some(*length),
            Layout::Known(layout) => Some(layout.length()),
            Layout::Growing { .. } => None,
        };
        let read = self.offset + length;
        if let Some(announced) = known
            && (length < max || (last && read < announced))
        {
            let message = format!("{announced} bytes were announced, but it ends after {read}");
            return Err(Error::new(ErrorKind::SourceChanged, message));
        }
        if length < max && !last {
            return Err(Error::internal(format!("{length} of {max} bytes were read, but not the end")));
        }
        self.offset = read;
        let range = ByteRange::new(read - length, read);
        match &self.layout {
            Layout::Single { .. } => return Ok(Taken::WholeObject),
            Layout::Known(layout) => self.next = if number.get() < layout.count() { number.get() + 1 } else { 0 },
            Layout::Growing { .. } if last && number == PartNumber::FIRST && length <= self.threshold => {
                return Ok(Taken::WholeObject);
            }
            Layout::Growing { .. } if last => self.next = 0,
            Layout::Growing { base } if number.get() == MAX_PARTS => {
                let message = format!(
                    "a source without a length can have fewer than {} bytes in parts from {base}",
                    growing_reach(*base)
                );
                return Err(Error::new(ErrorKind::TooLarge, message));
            }
            Layout::Growing { .. } => self.next = number.get() + 1,
        }
        let growing = matches!(self.layout, Layout::Growing { .. });
        if growing && number == PartNumber::FIRST {
            check_multipart_checksum(&self.checksum)?;
        }
        if range.is_empty() && number != PartNumber::FIRST {
            // The source's length is an exact multiple: no empty part is added.
            self.unsettled -= 1;
        } else {
            self.ready.push_back((number, range));
        }
        Ok(if growing && number == PartNumber::FIRST { Taken::FirstOfMany } else { Taken::Part })
    }

    /// Asks for whatever may be asked for now.
    fn advance(&mut self, out: &mut Vec<Effect>) {
        if self.ledger.is_finished() {
            return;
        }
        if self.ledger.outstanding() == 0
            && let Some(outcome) = self.found.take()
        {
            return self.ledger.succeed(*outcome, out);
        }
        if self.ledger.is_failing() {
            return self.wind_down(out);
        }
        if !self.started || matches!(self.layout, Layout::Single { .. }) {
            return;
        }
        if let Some(upload_id) = self.upload_id.clone() {
            while let Some((number, range)) = self.ready.pop_front() {
                self.send(&upload_id, number, range, out);
            }
            while !self.reads && self.unsettled < self.window {
                let Some((number, range)) = self.next_of_file() else { break };
                self.unsettled += 1;
                self.send(&upload_id, number, range, out);
            }
        }
        self.read_next(out);
        if self.next == 0 && self.unsettled == 0 && self.ledger.outstanding() == 0 {
            self.complete(out);
        }
    }

    fn send(&mut self, upload_id: &Arc<str>, number: PartNumber, range: ByteRange, out: &mut Vec<Effect>) {
        let job = Job::UploadPart { upload_id: Arc::clone(upload_id), number, range };
        self.ledger.run(job, Asked::Part { number, length: range.len() }, out);
    }

    /// The next part of a source that can be read anywhere.
    fn next_of_file(&mut self) -> Option<(PartNumber, ByteRange)> {
        let Layout::Known(layout) = &self.layout else { return None };
        let number = PartNumber::new(self.next)?;
        let range = layout.range(number)?;
        self.next = if number.get() < layout.count() { number.get() + 1 } else { 0 };
        Some((number, range))
    }

    /// Reads on in a source that is read in order, when no read is under way and the window allows it. An unknown length is decided
    /// upon by the first part, so nothing more is read until that is there.
    fn read_next(&mut self, out: &mut Vec<Effect>) {
        if !self.reads || self.reading {
            return;
        }
        let Some(number) = PartNumber::new(self.next) else { return };
        let (max, window) = match &self.layout {
            Layout::Single { length } => (*length, self.window),
            Layout::Known(layout) => (layout.range(number).map_or(0, ByteRange::len), self.window),
            Layout::Growing { base } => {
                let max = growing_part_size(number, *base);
                (max, window_of(self.window, *base, max))
            }
        };
        if self.unsettled >= window {
            return;
        }
        self.reading = true;
        self.unsettled += 1;
        self.ledger.run(Job::ReadPart { number, max }, Asked::Read { number, max }, out);
    }

    fn complete(&mut self, out: &mut Vec<Effect>) {
        let Some(upload_id) = self.upload_id.clone() else { return };
        let parts: Arc<[UploadedPart]> = self.stored.iter().flatten().cloned().collect();
        let combined = self.combined();
        let checksum = match &self.checksum {
            UploadChecksum::PerRequest { kind: ChecksumKind::FullObject, .. } => combined.cloned(),
            UploadChecksum::None | UploadChecksum::Md5Given | UploadChecksum::PerRequest { .. } => None,
            UploadChecksum::CallerGiven(given) => Some(given.clone()),
        };
        let error = match (&checksum, combined) {
            _ if parts.len() != self.stored.len() => Some(Error::internal("a part is missing at the end of an upload")),
            (Some(given), Some(combined)) if given.algorithm() == combined.algorithm() && given != combined => {
                let message = format!("the caller gave {given}, the source has {combined}");
                Some(Error::new(ErrorKind::ChecksumMismatch, message))
            }
            _ => None,
        };
        if let Some(error) = error {
            self.ledger.fail(error, Origin::Job, out);
            return self.wind_down(out);
        }
        let job = Job::CompleteUpload { upload_id, parts, size: self.size(), checksum };
        self.ledger.run(job, Asked::Complete, out);
    }

    /// Waits for what is under way, removes the upload from the store, and ends.
    fn wind_down(&mut self, out: &mut Vec<Effect>) {
        if self.ledger.outstanding() > 0 {
            return;
        }
        match &self.upload_id {
            Some(upload_id) => {
                self.aborts += 1;
                let job = Job::AbortUpload { upload_id: Arc::clone(upload_id) };
                self.ledger.run(job, Asked::Abort, out);
            }
            None => self.ledger.finish_failed(out),
        }
    }
}

/// How many parts of `actual` bytes take no more memory than `window` of `part_size`; two at least, if there may be two at all, so that one
/// can be read while another is sent.
fn window_of(window: usize, part_size: u64, actual: u64) -> usize {
    let fit = window as u128 * u128::from(part_size) / u128::from(actual.max(1));
    usize::try_from(fit).unwrap_or(usize::MAX).max(2).min(window)
}

/// What a part that was read means.
enum Taken {
    Part,
    WholeObject,
    FirstOfMany,
}

fn check_multipart_checksum(checksum: &UploadChecksum) -> Result<(), Error> {
    let algorithm = match checksum {
        UploadChecksum::PerRequest { algorithm, kind: ChecksumKind::FullObject } => Some(*algorithm),
        UploadChecksum::CallerGiven(given) => Some(given.algorithm()),
        UploadChecksum::Md5Given => None,
        UploadChecksum::None | UploadChecksum::PerRequest { .. } => return Ok(()),
    };
    if algorithm.is_some_and(Algorithm::combines) {
        return Ok(());
    }
    let name = algorithm.map_or("MD5", Algorithm::name);
    let message =
        format!("{name} cannot be the full-object checksum of a multipart upload; take a CRC, or a larger threshold");
    Err(Error::new(ErrorKind::InvalidArgument, message))
}

/// The ETag that S3 gives the object made of these parts: the MD5 of their MD5s, a dash, and their number. `None` when the parts' ETags
/// are no MD5s, as in some other stores.
///
/// ```
/// use xfer_core::id::PartNumber;
/// use xfer_core::job::UploadedPart;
/// use xfer_core::upload::multipart_etag;
/// let etag = "\"d41d8cd98f00b204e9800998ecf8427e\"".into();
/// let part = UploadedPart { number: PartNumber::FIRST, etag, checksum: None };
/// assert_eq!(multipart_etag(&[part]).as_deref(), Some("\"59adb24ef3cdbe0297f05b395827453f-1\""));
/// ```
#[must_use]
pub fn multipart_etag(parts: &[UploadedPart]) -> Option<String> {
    let mut all = Md5::new();
    for part in parts {
        let digits = part.etag.trim_matches('"').as_bytes();
        if digits.len() != 32 {
            return None;
        }
        for pair in digits.chunks_exact(2) {
            let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            all.update([digit(pair[0])? << 4 | digit(pair[1])?]);
        }
    }
    Some(format!("\"{}-{}\"", hex(&all.finalize()), parts.len()))
}

fn reply_name(reply: &Reply) -> &'static str {
    match reply {
        Reply::ObjectPut(_) => "PutObject",
        Reply::PartRead { .. } => "ReadPart",
        Reply::UploadCreated { .. } => "CreateMultipartUpload",
        Reply::PartStored { .. } => "UploadPart",
        Reply::UploadCompleted(_) => "CompleteMultipartUpload",
        Reply::UploadAborted { .. } => "AbortMultipartUpload",
        Reply::ObjectSeen(_) => "HeadObject",
        Reply::RangeLanded { .. } | Reply::ObjectLanded { .. } => "GetObject",
        Reply::TargetCommitted => "CommitTarget",
        Reply::TargetDiscarded => "DiscardTarget",
        Reply::ObjectDeleted { .. } => "DeleteObject",
    }
}

#[cfg(test)]
mod tests;
