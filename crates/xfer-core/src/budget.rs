//! How much may run at once: requests, bytes of memory, bytes per second.
//!
//! Decides whether a cost can be borne now. Never decides whose turn it is, and never waits: a refusal says, where it is known, when to
//! ask again.
//!
//! Invariants: what was taken is held until it is given back, and no more is held than the limits allow, with two exceptions that keep
//! a transfer from waiting forever: one cost larger than the whole memory limit is let in while no memory is held, and a
//! lowered limit takes nothing away from those who hold it.

use std::time::Duration;

/// What all running jobs may hold together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests under way, at least 1.
    pub requests: usize,
    /// Bytes of memory for parts and buffers.
    pub memory: u64,
    /// Bytes per second over all transfers, at least 1; `None` for as fast as possible.
    pub bytes_per_second: Option<u64>,
}

/// What one job holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Requests: 1, or 0 for work on this machine alone.
    pub requests: usize,
    /// Bytes of memory, held until they are given back.
    pub memory: u64,
    /// Bytes that go over the network. They are spent, not lent.
    pub bytes: u64,
}

/// What is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InUse {
    /// Requests.
    pub requests: usize,
    /// Bytes of memory.
    pub memory: u64,
}

/// The answer to [`Budget::try_take`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The cost is taken; give it back when the job has ended.
    Taken,
    /// Nothing is taken.
    Refused {
        /// After which time the rate allows it; `None` when something has to be given back first.
        retry_after: Option<Duration>,
    },
}

impl Taken {
    /// Whether the cost is taken.
    #[must_use]
    pub fn is_taken(self) -> bool {
        self == Taken::Taken
    }
}

/// The one place where all limits are held.
///
/// ```
/// use std::time::Duration;
/// use xfer_core::budget::{Budget, Cost, Limits};
/// let mut budget = Budget::new(Limits { requests: 1, memory: 1 << 20, bytes_per_second: None });
/// let cost = Cost { requests: 1, memory: 4096, bytes: 100 };
/// assert!(budget.try_take(&cost, Duration::ZERO).is_taken());
/// assert!(!budget.try_take(&cost, Duration::ZERO).is_taken());
/// budget.give_back(&cost);
/// assert!(budget.try_take(&cost, Duration::ZERO).is_taken());
/// ```
#[derive(Clone, Debug)]
pub struct Budget {
    requests: usize,
    memory: u64,
    rate: Option<Rate>,
    in_use: InUse,
}

impl Budget {
    /// A budget of which nothing is used yet.
    #[must_use]
    pub fn new(limits: Limits) -> Budget {
        Budget {
            requests: limits.requests.max(1),
            memory: limits.memory,
            rate: limits.bytes_per_second.map(Rate::new),
            in_use: InUse::default(),
        }
    }

    /// Takes all of `cost`, or nothing. `now` counts from any fixed origin.
    pub fn try_take(&mut self, cost: &Cost, now: Duration) -> Taken {
        let memory = self.in_use.memory.saturating_add(cost.memory);
        let alone = self.in_use.memory == 0;
        if (cost.requests > 0 && self.in_use.requests.saturating_add(cost.requests) > self.requests)
            || (cost.memory > 0 && memory > self.memory && !alone)
        {
            return Taken::Refused { retry_after: None };
        }
        if let Some(rate) = &mut self.rate
            && let Err(wait) = rate.spend(cost.bytes, now)
        {
            return Taken::Refused { retry_after: Some(wait) };
        }
        self.in_use.memory = memory;
        self.in_use.requests = self.in_use.requests.saturating_add(cost.requests);
        Taken::Taken
    }

    /// Gives back what a job held. Bytes stay spent: they went over the network, or at least were meant to.
    pub fn give_back(&mut self, cost: &Cost) {
        self.in_use.requests = self.in_use.requests.saturating_sub(cost.requests);
        self.in_use.memory = self.in_use.memory.saturating_sub(cost.memory);
    }

    /// Changes the number of requests that may be under way, at least 1. Those that are over it end in their own time.
    pub fn set_requests(&mut self, requests: usize) {
        self.requests = requests.max(1);
    }

    /// Changes the rate from `now` on; `None` lifts it.
    pub fn set_bytes_per_second(&mut self, bytes_per_second: Option<u64>, now: Duration) {
        self.rate = match (self.rate.take(), bytes_per_second) {
            (_, None) => None,
            (None, Some(limit)) => Some(Rate { at: now, ..Rate::new(limit) }),
            (Some(rate), Some(limit)) => Some(rate.changed(limit, now)),
        };
    }

    /// What is held now.
    #[must_use]
    pub fn in_use(&self) -> InUse {
        self.in_use
    }

    /// The limit of requests under way.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.requests
    }
}

/// A token bucket that holds one second's worth of bytes: enough to even out the moments at which parts start, and at most one
/// second's bytes above the rate over any time.
///
/// A part may be larger than the bucket. It is let in when the bucket is full and leaves a debt, which is paid off before anything
/// else is let in, so that the rate holds for parts of any size.
#[derive(Clone, Debug)]
struct Rate {
    per_second: f64,
    /// Bytes that may be spent; below 0 after a part larger than the bucket.
    level: f64,
    at: Duration,
}

impl Rate {
    fn new(bytes_per_second: u64) -> Rate {
        let per_second = bytes_per_second.max(1) as f64;
        Rate { per_second, level: per_second, at: Duration::ZERO }
    }

    fn changed(mut self, bytes_per_second: u64, now: Duration) -> Rate {
        self.refill(now);
        let per_second = bytes_per_second.max(1) as f64;
        Rate { per_second, level: self.level.min(per_second), at: self.at }
    }

    fn refill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.at);
        self.at = self.at.max(now);
        self.level = (self.level + passed.as_secs_f64() * self.per_second).min(self.per_second);
    }

    /// Takes `bytes` off, or says how long it takes until that is possible.
    fn spend(&mut self, bytes: u64, now: Duration) -> Result<(), Duration> {
        self.refill(now);
        let bytes = bytes as f64;
        let missing = bytes.min(self.per_second) - self.level;
        // Less than a thousandth of a byte is the rounding of a wait that was kept.
        if bytes > 0.0 && missing > 1e-3 {
            // A debt of petabytes at one byte per second is longer than any deadline, and than what a Duration made of a float takes.
            let seconds = (missing / self.per_second).min(1e9);
            return Err(Duration::from_secs_f64(seconds).max(Duration::from_micros(1)));
        }
        self.level -= bytes;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
