//! Fault rules: which requests go wrong, and how.
//!
//! Rules are looked at in the order they were injected. Actions that only pass through ([`Action::Delay`], [`Action::Call`],
//! [`Action::Hold`], [`Action::ClockAhead`], header edits) are all carried out; the first other action that matches decides the request's fate.
//! A rule matches before signatures are checked, on what the request line and headers say. Without [`FaultMatcher::times`] or
//! [`FaultMatcher::nth`] a rule holds for every matching request until it is removed.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::gate::Gate;
use crate::request::{Op, RequestInfo};

/// What happens to a request that a rule matches.
#[derive(Clone)]
pub enum Action {
    /// Reads the request's body, then answers with this status and S3 error code, without carrying the request out.
    Status(u16, &'static str),
    /// Answers with this status and S3 error code before reading the body, and closes the connection.
    StatusBeforeBody(u16, &'static str),
    /// Answers 200 with an `<Error>` body of this code (as CompleteMultipartUpload may), without carrying the request out.
    OkWithError(&'static str),
    /// Resets the TCP connection at once, without reading the body.
    Reset,
    /// Carries the request out, then resets the connection instead of answering: the lost answer.
    ResetAnswer,
    /// Sends this many bytes of the answer's body, then closes the connection. No effect on shorter bodies.
    ResetAfterBytes(u64),
    /// Sends this many bytes of the answer's body, then nothing more, with the connection open. No effect on shorter bodies.
    StallAfterBytes(u64),
    /// Neither reads nor answers: until the server stops, or for this long before the connection is closed.
    Stall(Option<Duration>),
    /// Carries the request out, then never answers.
    StallAnswer,
    /// Waits this long, then goes on normally.
    Delay(Duration),
    /// Flips one bit of the byte in the middle of the answer's body; lengths and headers stay right.
    CorruptBody,
    /// Answers with the first half of the body only, and a Content-Length that says so: well-formed HTTP, too little data.
    TruncateBody,
    /// Answers 400 `InvalidRequest` to requests with an aws-chunked trailer, as some stores do; others never match.
    DropTrailerSupport,
    /// Answers 400 `InvalidRequest`, naming checksums, to requests that say anything of a checksum of what is uploaded, as some stores do;
    /// others never match.
    DropChecksumSupport,
    /// The server's clock is so many seconds ahead: its answers say so in `Date`, and a request that was signed for another time, by more
    /// than 15 minutes, is refused with 403 `RequestTimeTooSkewed`.
    ClockAhead(i64),
    /// Sets a header of the answer, also of one that another rule gives.
    SetHeader(&'static str, &'static str),
    /// Removes a header of the answer.
    RemoveHeader(&'static str),
    /// Runs this on the arrival of the request, before anything else is done with it, then goes on normally.
    Call(Arc<dyn Fn() + Send + Sync>),
    /// Waits until the gate is open, then goes on normally.
    Hold(Gate),
}

impl Action {
    /// [`Action::Call`] of a closure.
    pub fn call(hook: impl Fn() + Send + Sync + 'static) -> Self {
        Self::Call(Arc::new(hook))
    }

    /// Whether later rules are still looked at.
    fn passes(&self) -> bool {
        matches!(
            self,
            Self::Delay(_)
                | Self::Call(_)
                | Self::Hold(_)
                | Self::ClockAhead(_)
                | Self::SetHeader(..)
                | Self::RemoveHeader(_)
        )
    }
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status, code) => write!(f, "Status({status}, {code})"),
            Self::StatusBeforeBody(status, code) => write!(f, "StatusBeforeBody({status}, {code})"),
            Self::OkWithError(code) => write!(f, "OkWithError({code})"),
            Self::Reset => f.write_str("Reset"),
            Self::ResetAnswer => f.write_str("ResetAnswer"),
            Self::ResetAfterBytes(bytes) => write!(f, "ResetAfterBytes({bytes})"),
            Self::StallAfterBytes(bytes) => write!(f, "StallAfterBytes({bytes})"),
            Self::Stall(limit) => write!(f, "Stall({limit:?})"),
            Self::StallAnswer => f.write_str("StallAnswer"),
            Self::Delay(delay) => write!(f, "Delay({delay:?})"),
            Self::CorruptBody => f.write_str("CorruptBody"),
            Self::TruncateBody => f.write_str("TruncateBody"),
            Self::DropTrailerSupport => f.write_str("DropTrailerSupport"),
            Self::DropChecksumSupport => f.write_str("DropChecksumSupport"),
            Self::ClockAhead(seconds) => write!(f, "ClockAhead({seconds})"),
            Self::SetHeader(name, value) => write!(f, "SetHeader({name}: {value})"),
            Self::RemoveHeader(name) => write!(f, "RemoveHeader({name})"),
            Self::Call(_) => f.write_str("Call(..)"),
            Self::Hold(_) => f.write_str("Hold(..)"),
        }
    }
}

/// A rule ready to be injected.
///
/// ```
/// use xfer_tests::{Action, FaultRule, Op, TestServer};
///
/// let server = TestServer::builder().start();
/// let fault = server.inject(FaultRule::on(Op::UploadPart).part(3).times(2).then(Action::Status(503, "SlowDown")));
/// assert_eq!(fault.hits(), 0);
/// ```
#[derive(Debug)]
pub struct FaultRule {
    matcher: FaultMatcher,
    action: Action,
}

impl FaultRule {
    /// Starts a rule for one operation.
    pub fn on(op: Op) -> FaultMatcher {
        FaultMatcher { op: Some(op), ..FaultMatcher::default() }
    }

    /// Starts a rule for every request.
    pub fn any() -> FaultMatcher {
        FaultMatcher::default()
    }
}

/// Which requests a rule is for; all conditions must hold.
#[derive(Debug, Default)]
#[must_use = "a matcher does nothing until `then` makes it a rule and the rule is injected"]
pub struct FaultMatcher {
    op: Option<Op>,
    key: Option<String>,
    part: Option<u32>,
    range_start: Option<u64>,
    nth: Option<u64>,
    times: Option<u64>,
    probability: Option<(f64, u64)>,
}

impl FaultMatcher {
    /// Only requests whose key contains this text.
    pub fn key(mut self, part_of_key: impl Into<String>) -> Self {
        self.key = Some(part_of_key.into());
        self
    }

    /// Only requests with this `partNumber`.
    pub fn part(mut self, number: u32) -> Self {
        self.part = Some(number);
        self
    }

    /// Only requests whose Range starts at this byte.
    pub fn range_start(mut self, offset: u64) -> Self {
        self.range_start = Some(offset);
        self
    }

    /// From the `n`-th request (counted from 1) that meets the other conditions; only that one unless [`Self::times`] says more.
    pub fn nth(mut self, n: u64) -> Self {
        self.nth = Some(n);
        self
    }

    /// At most this often.
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// Each request with this probability (0 to 1), drawn from a generator with this seed.
    pub fn probability(mut self, probability: f64, seed: u64) -> Self {
        self.probability = Some((probability, seed));
        self
    }

    /// Completes the rule.
    pub fn then(self, action: Action) -> FaultRule {
        FaultRule { matcher: self, action }
    }

    fn admits(&self, info: &RequestInfo) -> bool {
        self.op.is_none_or(|op| op == info.op)
            && self.part.is_none_or(|part| info.part_number == Some(part))
            && self.range_start.is_none_or(|start| info.range_start() == Some(start))
            && self.key.as_ref().is_none_or(|text| info.key.as_ref().is_some_and(|key| key.contains(text)))
    }
}

/// A rule in force; the rule stays in force when this is dropped.
#[derive(Clone, Debug)]
pub struct Fault {
    rule: Arc<ActiveRule>,
}

impl Fault {
    /// How often the rule has struck.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.rule.hits.load(Ordering::Acquire)
    }

    /// Takes the rule out of force.
    pub fn remove(&self) {
        self.rule.removed.store(true, Ordering::Release);
    }
}

#[derive(Debug)]
struct ActiveRule {
    rule: FaultRule,
    draw: Mutex<Draw>,
    hits: AtomicU64,
    removed: AtomicBool,
}

#[derive(Debug)]
struct Draw {
    seen: u64,
    random: u64,
}

impl ActiveRule {
    fn strikes(&self, info: &RequestInfo) -> bool {
        let matcher = &self.rule.matcher;
        if self.removed.load(Ordering::Acquire) || !matcher.admits(info) {
            return false;
        }
        match self.rule.action {
            Action::DropTrailerSupport if !info.has_trailer() => return false,
            Action::DropChecksumSupport if !info.has_checksum() => return false,
            _ => {}
        }
        let mut draw = self.draw.lock();
        draw.seen += 1;
        if matcher.nth.is_some_and(|n| draw.seen < n) {
            return false;
        }
        let limit = matcher.times.or(matcher.nth.map(|_| 1));
        if limit.is_some_and(|limit| self.hits.load(Ordering::Acquire) >= limit) {
            return false;
        }
        if let Some((probability, _)) = matcher.probability
            && draw.uniform() >= probability
        {
            return false;
        }
        self.hits.fetch_add(1, Ordering::AcqRel);
        true
    }
}

impl Draw {
    /// A number in 0..1, by an xorshift generator: repeatable, and good enough to pick victims.
    fn uniform(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// All rules in force.
#[derive(Debug, Default)]
pub(crate) struct FaultTable {
    rules: Mutex<Vec<Arc<ActiveRule>>>,
}

impl FaultTable {
    pub(crate) fn inject(&self, rule: FaultRule) -> Fault {
        // Zero is the one state the generator cannot leave.
        let seed = rule.matcher.probability.map_or(1, |(_, seed)| seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let rule = Arc::new(ActiveRule {
            rule,
            draw: Mutex::new(Draw { seen: 0, random: seed }),
            hits: AtomicU64::new(0),
            removed: AtomicBool::new(false),
        });
        self.rules.lock().push(rule.clone());
        Fault { rule }
    }

    pub(crate) fn clear(&self) {
        self.rules.lock().clear();
    }

    /// What shall happen to this request, in order.
    pub(crate) fn plan(&self, info: &RequestInfo) -> Vec<Action> {
        let mut plan = Vec::new();
        for rule in self.rules.lock().iter() {
            if rule.strikes(info) {
                let action = rule.rule.action.clone();
                let last = !action.passes();
                plan.push(action);
                if last {
                    break;
                }
            }
        }
        plan
    }
}

#[cfg(test)]
mod tests;
