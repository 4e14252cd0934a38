//! Whether and when a failed request is made again.
//!
//! Decides by the error's [`RetryClass`], the attempts made so far and what a bucket has left to spend on repetitions. Never waits and
//! never draws: a random number comes in, a duration goes out.
//!
//! Invariants: an error of class [`RetryClass::Never`] is never repeated; no pause is shorter than what the store asked for, up to
//! [`RetryPolicy::max_retry_after`]; a job makes at most [`RetryPolicy::max_total`] attempts;
//! attempts that moved no bytes are at most [`RetryPolicy::max_attempts`] in a row, plus the few that correct the request itself.

use std::time::Duration;

use crate::error::{Error, ErrorKind, RetryClass};

/// How often and how patiently requests are repeated. The defaults are those of the CRT client where it has one.
///
/// ```
/// use std::time::Duration;
/// use xfer_core::error::RetryClass;
/// use xfer_core::retry::RetryPolicy;
/// let impatient = RetryPolicy { max_attempts: 3, base: Duration::from_millis(100), ..RetryPolicy::default() };
/// // The longest pause after the second failure in a row.
/// assert_eq!(impatient.delay(RetryClass::Transient, 2, 1.0), Duration::from_millis(200));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts without progress in a row, the first included: 6, five repetitions as in the CRT client.
    pub max_attempts: u32,
    /// Attempts in all, whatever progress they made: 100. A connection that breaks after every few KiB ends some day.
    pub max_total: u32,
    /// How often a job may correct itself for each reason (new credentials, another region, another kind of checksum, the store's time): 2,
    /// since the first correction may have been outdated already.
    pub max_corrections: u8,
    /// The longest pause before the first repetition: 500 ms as in the CRT client; it doubles each time.
    pub base: Duration,
    /// The same when the store asks to slow down: 1 s, since it needs time rather than luck.
    pub throttle_base: Duration,
    /// The longest pause that is drawn: 20 s as in the CRT client.
    pub cap: Duration,
    /// The most of a store's `Retry-After` that is honoured: 60 s, as long as the first byte of an answer is waited for. A store that asks
    /// for more is down rather than busy, and whoever waits for the transfer is to hear of it after minutes and not after hours.
    pub max_retry_after: Duration,
}

/// No pause is longer, whatever a policy says, so that any clock can be set to its end.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

impl Default for RetryPolicy {
    fn default() -> RetryPolicy {
        RetryPolicy {
            max_attempts: 6,
            max_total: 100,
            max_corrections: 2,
            base: Duration::from_millis(500),
            throttle_base: Duration::from_secs(1),
            cap: Duration::from_secs(20),
            max_retry_after: Duration::from_secs(60),
        }
    }
}

impl RetryPolicy {
    /// The pause after failed attempt number `attempt` (from 1) without progress.
    ///
    /// Full jitter: evenly drawn from 0 to `base` × 2^(attempt − 1), capped; `draw` is that random number, in `[0, 1)`. Those who failed
    /// together do not come back together.
    #[must_use]
    pub fn delay(&self, class: RetryClass, attempt: u32, draw: f64) -> Duration {
        let base = match class {
            RetryClass::Throttling => self.throttle_base,
            RetryClass::Transient | RetryClass::Server => self.base,
            RetryClass::Never
            | RetryClass::RefreshCredentials
            | RetryClass::FollowRegion
            | RetryClass::ChangeChecksum
            | RetryClass::CorrectClock => return Duration::ZERO,
        };
        let doublings = attempt.saturating_sub(1).min(20);
        let most = base.saturating_mul(1 << doublings).min(self.cap).min(LONGEST);
        let draw = if draw.is_finite() { draw.clamp(0.0, 1.0) } else { 1.0 };
        most.mul_f64(draw)
    }
}

/// What repetitions may cost all jobs of one bucket together, so that a broken endpoint is not stormed: as in the CRT client 500 tokens; a
/// repetition takes 10 after network trouble, 5 when the store said no, and none when this machine has no files left to open; a success brings back what its last repetition took, or 1.
///
/// ```
/// use xfer_core::retry::RetryBucket;
/// let bucket = RetryBucket::default();
/// assert_eq!(bucket.left(), 500);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryBucket {
    left: u32,
    capacity: u32,
}

impl RetryBucket {
    /// A full bucket of `capacity` tokens.
    #[must_use]
    pub fn new(capacity: u32) -> RetryBucket {
        RetryBucket { left: capacity, capacity }
    }

    /// Tokens that are left.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.left
    }

    fn take(&mut self, tokens: u32) -> bool {
        match self.left.checked_sub(tokens) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }

    fn put_back(&mut self, tokens: u32) {
        self.left = self.left.saturating_add(tokens).min(self.capacity);
    }
}

impl Default for RetryBucket {
    fn default() -> RetryBucket {
        RetryBucket::new(500)
    }
}

/// What becomes of a job after a failed attempt.
///
/// ```
/// use xfer_core::error::{Error, ErrorKind};
/// use xfer_core::retry::{RetryBucket, RetryPolicy, RetryState, Verdict};
/// let once = RetryPolicy { max_attempts: 1, ..RetryPolicy::default() };
/// let verdict = RetryState::default().on_failure(&once, &Error::new(ErrorKind::Dns, ""), 0.5, &mut RetryBucket::default());
/// assert_eq!(verdict, Verdict::GiveUp);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is tried again after this pause.
    RetryAfter(Duration),
    /// It has failed.
    GiveUp,
}

/// The attempts of one job.
///
/// ```
/// use std::time::Duration;
/// use xfer_core::error::{Error, ErrorKind};
/// use xfer_core::retry::{RetryBucket, RetryPolicy, RetryState, Verdict};
/// let (policy, mut bucket, mut state) = (RetryPolicy::default(), RetryBucket::default(), RetryState::default());
/// let lost = Error::new(ErrorKind::ConnectionLost, "reset by peer");
/// assert_eq!(state.on_failure(&policy, &lost, 0.5, &mut bucket), Verdict::RetryAfter(Duration::from_millis(250)));
/// let denied = Error::new(ErrorKind::AccessDenied, "");
/// assert_eq!(state.on_failure(&policy, &denied, 0.5, &mut bucket), Verdict::GiveUp);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetryState {
    /// Failed attempts since the last progress, corrections not counted.
    fruitless: u32,
    total: u32,
    credentials: u8,
    region: u8,
    checksum: u8,
    clock: u8,
    last_cost: u32,
}

impl RetryState {
    /// An attempt has failed; `draw` is a random number in `[0, 1)`.
    pub fn on_failure(&mut self, policy: &RetryPolicy, error: &Error, draw: f64, bucket: &mut RetryBucket) -> Verdict {
        self.total = self.total.saturating_add(1);
        let class = error.retry_class();
        if self.total >= policy.max_total {
            return Verdict::GiveUp;
        }
        let cost = match class {
            RetryClass::Never => return Verdict::GiveUp,
            RetryClass::RefreshCredentials => return correct(&mut self.credentials, policy),
            RetryClass::FollowRegion => return correct(&mut self.region, policy),
            RetryClass::ChangeChecksum => return correct(&mut self.checksum, policy),
            RetryClass::CorrectClock => return correct(&mut self.clock, policy),
            RetryClass::Transient => 10,
            // The store has not heard of it, so it cannot be stormed with it.
            RetryClass::Throttling if error.kind() == ErrorKind::TooManyOpenFiles => 0,
            RetryClass::Throttling | RetryClass::Server => 5,
        };
        self.fruitless = self.fruitless.saturating_add(1);
        if self.fruitless >= policy.max_attempts || !bucket.take(cost) {
            return Verdict::GiveUp;
        }
        self.last_cost = cost;
        let asked = error.service().and_then(|answer| answer.retry_after).unwrap_or_default();
        // On top of it: those who were told the same time do not come back together.
        let asked = asked.min(policy.max_retry_after).min(LONGEST);
        Verdict::RetryAfter(asked + policy.delay(class, self.fruitless, draw))
    }

    /// The attempt under way has moved a good share of its bytes that no attempt had moved before: whatever fails it now, the way was
    /// open, and the count starts anew. What a good share is, the one who moves them decides.
    pub fn on_progress(&mut self) {
        self.fruitless = 0;
    }

    /// The job has succeeded.
    pub fn on_success(&mut self, bucket: &mut RetryBucket) {
        self.total = self.total.saturating_add(1);
        bucket.put_back(self.last_cost.max(1));
        self.last_cost = 0;
    }

    /// Attempts that have ended so far.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.total
    }
}

/// At once, but not forever: an endpoint that sends the client from region to region would never stop.
fn correct(made: &mut u8, policy: &RetryPolicy) -> Verdict {
    if *made >= policy.max_corrections {
        return Verdict::GiveUp;
    }
    *made += 1;
    Verdict::RetryAfter(Duration::ZERO)
}

#[cfg(test)]
mod tests;
