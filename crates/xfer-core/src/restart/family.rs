//! Decides what the end of a child means to its parent: nothing, another generation, or that the parent gives up.
//!
//! It never starts a child; it only says which generation the next one must carry. A child has one living generation at most.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use super::{Decision, RestartBudget, RestartMode, RestartPolicy};

/// The name of a child: its role, and a number where several children share the role. It is a label in logs and a key in a [`Family`].
///
/// ```
/// use xfer_core::restart::ChildName;
///
/// assert_eq!(ChildName::from("coordinator").to_string(), "coordinator");
/// assert_eq!(ChildName::numbered("uploader", 2).to_string(), "uploader-2");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChildName {
    role: &'static str,
    number: Option<u32>,
}

impl ChildName {
    /// The name of one of several children with the same role.
    #[must_use]
    pub const fn numbered(role: &'static str, number: u32) -> Self {
        Self { role, number: Some(number) }
    }

    /// The role.
    #[must_use]
    pub const fn role(&self) -> &'static str {
        self.role
    }

    /// The number, where several children share the role.
    #[must_use]
    pub const fn number(&self) -> Option<u32> {
        self.number
    }
}

impl From<&'static str> for ChildName {
    fn from(role: &'static str) -> Self {
        Self { role, number: None }
    }
}

impl fmt::Display for ChildName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            None => f.write_str(self.role),
            Some(number) => write!(f, "{}-{number}", self.role),
        }
    }
}

/// Why a child is gone for good.
///
/// ```
/// use xfer_core::restart::ExitReason;
/// let reason = ExitReason::Escalated { restarts: 5, panic_text: "index out of bounds".to_owned() };
/// assert_ne!(reason, ExitReason::Normal);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExitReason {
    /// It stopped by itself and its policy lets it, or nobody held its address any more.
    Normal,
    /// Its restart budget is spent, or it could not even be built.
    Escalated {
        /// Restarts made within the window before it was given up.
        restarts: u32,
        /// What the last failure said.
        panic_text: String,
    },
    /// What it ran on went away under it: its arbiter stopped, or was dead to begin with.
    Aborted,
}

/// What a parent does about the end of a child.
///
/// ```
/// use std::time::Duration;
/// use xfer_core::restart::{ExitReason, Family, RestartPolicy, Verdict};
/// let mut family = Family::new(RestartPolicy { max_restarts: 0, ..RestartPolicy::default() });
/// let generation = family.register("deleter".into());
/// let verdict = family.on_exit("deleter".into(), generation, &ExitReason::Aborted, Duration::ZERO);
/// assert_eq!(verdict, Verdict::GiveUp);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Nothing: the exit is that of an old generation, it was wanted, or the parent is shutting down.
    Ignore,
    /// Start the child again with this generation after this wait, if [`Family::may_start`] still agrees by then.
    StartAgain {
        /// The generation that the new child must carry.
        generation: u64,
        /// The wait.
        after: Duration,
    },
    /// The group's budget is spent: do not start the child again, fail what depended on it with a typed error. The child is forgotten.
    GiveUp,
}

/// The children of one parent, and the budget that they share.
///
/// Generations grow over the whole family and are never reused, so an exit can be matched to exactly one start. The parent keeps this
/// outside whatever its own restart resets: otherwise it would start children that are alive.
///
/// ```
/// use std::time::Duration;
/// use xfer_core::restart::{ExitReason, Family, RestartPolicy, Verdict};
///
/// let mut family = Family::new(RestartPolicy::default());
/// let first = family.register("uploader".into());
/// let verdict = family.on_exit("uploader".into(), first, &ExitReason::Aborted, Duration::ZERO);
/// assert!(matches!(verdict, Verdict::StartAgain { .. }));
/// // The same report again is that of an old generation.
/// assert_eq!(family.on_exit("uploader".into(), first, &ExitReason::Aborted, Duration::ZERO), Verdict::Ignore);
/// ```
#[derive(Clone, Debug)]
pub struct Family {
    budget: RestartBudget,
    living: HashMap<ChildName, u64>,
    last_generation: u64,
    shutting_down: bool,
}

impl Family {
    /// A family without children. The policy's mode says whether a child that ended by itself is started again.
    #[must_use]
    pub fn new(policy: RestartPolicy) -> Self {
        Self { budget: RestartBudget::new(policy), living: HashMap::new(), last_generation: 0, shutting_down: false }
    }

    /// Notes that the child is about to be started and returns the generation it must carry. A generation that was there before is old now.
    pub fn register(&mut self, name: ChildName) -> u64 {
        self.last_generation += 1;
        self.living.insert(name, self.last_generation);
        self.last_generation
    }

    /// Forgets the child, so that its exit is ignored: for a child that the parent lets go on purpose.
    pub fn forget(&mut self, name: ChildName) {
        self.living.remove(&name);
    }

    /// Decides about an exit that was reported at `now` (monotonic, since any fixed origin).
    pub fn on_exit(&mut self, name: ChildName, generation: u64, reason: &ExitReason, now: Duration) -> Verdict {
        if self.shutting_down || self.living.get(&name) != Some(&generation) {
            return Verdict::Ignore;
        }
        if *reason == ExitReason::Normal && self.budget.policy().mode == RestartMode::Transient {
            self.forget(name);
            return Verdict::Ignore;
        }
        match self.budget.on_failure(now) {
            Decision::Restart { after } => Verdict::StartAgain { generation: self.register(name), after },
            Decision::Escalate { .. } => {
                self.forget(name);
                Verdict::GiveUp
            }
        }
    }

    /// Whether the child may be started with this generation now. To be asked after the wait of [`Verdict::StartAgain`]: the parent may
    /// have begun to shut down, or have replaced or forgotten the child meanwhile.
    #[must_use]
    pub fn may_start(&self, name: ChildName, generation: u64) -> bool {
        !self.shutting_down && self.living.get(&name) == Some(&generation)
    }

    /// From now on no exit is repaired. Must be called before the first arbiter is stopped; there is no way back.
    pub fn set_shutting_down(&mut self) {
        self.shutting_down = true;
    }

    /// Whether the family is shutting down.
    #[must_use]
    pub fn shutting_down(&self) -> bool {
        self.shutting_down
    }
}
