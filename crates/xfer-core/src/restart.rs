//! Decides whether a failed child is started again, when, and when to stop trying.
//!
//! Three pieces: [`RestartPolicy`] is the data a service sets, [`RestartBudget`] is the sliding window that one supervised child (or a
//! whole group) spends, [`Family`] is the bookkeeping of a parent: which generation of which child is the living one, and what its end means.
//!
//! It never reads a clock, never sleeps and never starts anything: the time is an argument (a [`Duration`] since any fixed origin of the
//! caller's monotonic clock) and the answer is a value.
//!
//! Invariants: in any stretch of time as long as the window, a budget grants at most `max_restarts` restarts; no wait is longer than
//! `backoff_cap`; an exit of an old generation, and every exit after the shutdown flag is set, has no effect at all.

mod family;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

pub use family::{ChildName, ExitReason, Family, Verdict};

/// Which ends of a child call for a restart.
///
/// ```
/// use xfer_core::restart::{RestartMode, RestartPolicy};
/// let always = RestartPolicy { mode: RestartMode::Permanent, ..RestartPolicy::default() };
/// assert_ne!(always.mode, RestartMode::default());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum RestartMode {
    /// Every end does, a voluntary stop too: for children that have no reason to stop while their parent lives.
    Permanent,
    /// Only a failure does; a child that stops by itself is done.
    #[default]
    Transient,
}

/// How often, how fast and for which ends a child is started again.
///
/// The default is five restarts in five seconds, as kameo has it (Erlang's own default, one in five seconds, is too strict for children
/// that serve many independent parts), with waits of 50, 100, 200, 400 and 800 ms between them. Those waits add up to 1.55 s, well inside
/// the window, so a child that fails at once every time is given up after 1.55 s rather than retried for ever. Keep that in mind when
/// changing the numbers: a policy whose waits outlast its window never escalates, see [`RestartPolicy::gives_up`].
///
/// ```
/// use std::time::Duration;
/// use xfer_core::restart::RestartPolicy;
///
/// let patient = RestartPolicy { max_restarts: 20, window: Duration::from_secs(60), ..RestartPolicy::default() };
/// assert!(patient.gives_up());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartPolicy {
    /// Which ends call for a restart.
    pub mode: RestartMode,
    /// Restarts granted within one `window`; the next failure escalates. Zero: the first failure escalates.
    pub max_restarts: u32,
    /// Length of the sliding window. A failure exactly this old is forgotten, so zero forgets at once and never escalates.
    pub window: Duration,
    /// Wait before the first restart of a window; it doubles with each further one. Zero: no wait.
    pub backoff_base: Duration,
    /// The longest wait.
    pub backoff_cap: Duration,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            mode: RestartMode::Transient,
            max_restarts: 5,
            window: Duration::from_secs(5),
            backoff_base: Duration::from_millis(50),
            backoff_cap: Duration::from_secs(1),
        }
    }
}

impl RestartPolicy {
    /// The wait before the restart that follows `earlier` restarts of the same window.
    #[must_use]
    pub fn backoff(&self, earlier: u32) -> Duration {
        let factor = 1u32.checked_shl(earlier).unwrap_or(u32::MAX);
        self.backoff_base.saturating_mul(factor).min(self.backoff_cap)
    }

    /// Whether a child that fails immediately every time is ever given up: do all the waits fit inside the window?
    #[must_use]
    pub fn gives_up(&self) -> bool {
        // Once the wait has reached the cap (or, with a base of zero, from the start) every further one is the same.
        let mut total = Duration::ZERO;
        for earlier in 0..self.max_restarts {
            let wait = self.backoff(earlier);
            if wait == self.backoff(earlier.saturating_add(1)) {
                total = total.saturating_add(wait.saturating_mul(self.max_restarts - earlier));
                break;
            }
            total = total.saturating_add(wait);
        }
        total < self.window
    }
}

/// What to do about a failure.
///
/// ```
/// use std::time::Duration;
/// use xfer_core::restart::{Decision, RestartBudget, RestartPolicy};
/// let mut budget = RestartBudget::new(RestartPolicy::default());
/// match budget.on_failure(Duration::ZERO) {
///     Decision::Restart { after } => assert_eq!(after, Duration::from_millis(50)),
///     Decision::Escalate { restarts } => panic!("given up after {restarts}"),
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Start the child again after this wait.
    Restart {
        /// The wait, at most the policy's `backoff_cap`.
        after: Duration,
    },
    /// Too many failures: give the child up and tell the parent.
    Escalate {
        /// Restarts that were made within the window and did not help.
        restarts: u32,
    },
}

/// The sliding window of one child or one group of children.
///
/// ```
/// use std::time::Duration;
/// use xfer_core::restart::{Decision, RestartBudget, RestartPolicy};
///
/// let mut budget = RestartBudget::new(RestartPolicy { max_restarts: 1, ..RestartPolicy::default() });
/// assert_eq!(budget.on_failure(Duration::ZERO), Decision::Restart { after: Duration::from_millis(50) });
/// assert_eq!(budget.on_failure(Duration::from_secs(1)), Decision::Escalate { restarts: 1 });
/// ```
#[derive(Clone, Debug)]
pub struct RestartBudget {
    policy: RestartPolicy,
    /// Times of the restarts granted within the window, oldest first; never more than `max_restarts`.
    granted: VecDeque<Duration>,
}

impl RestartBudget {
    /// A budget of which nothing is spent.
    #[must_use]
    pub fn new(policy: RestartPolicy) -> Self {
        Self { policy, granted: VecDeque::new() }
    }

    /// The policy this budget was made with.
    #[must_use]
    pub fn policy(&self) -> &RestartPolicy {
        &self.policy
    }

    /// Counts a failure at `now` (monotonic, since any fixed origin) and decides.
    ///
    /// A `now` that lies before an earlier one counts as that earlier one: a clock that steps back can only make the budget stricter.
    pub fn on_failure(&mut self, now: Duration) -> Decision {
        let now = self.granted.back().map_or(now, |last| now.max(*last));
        while self.granted.front().is_some_and(|oldest| now - *oldest >= self.policy.window) {
            self.granted.pop_front();
        }
        let earlier = u32::try_from(self.granted.len()).unwrap_or(u32::MAX);
        if earlier >= self.policy.max_restarts {
            return Decision::Escalate { restarts: earlier };
        }
        self.granted.push_back(now);
        Decision::Restart { after: self.policy.backoff(earlier) }
    }
}
