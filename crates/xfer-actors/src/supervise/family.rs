//! The family of `xfer_core::restart` with a clock: what a parent does about the exits of its children.
//!
//! It decides nothing itself and starts nothing. A parent keeps it where its own restart does not reset it.

use std::time::Instant;

use xfer_core::restart::{self, ChildName, RestartPolicy, Verdict};

use super::exit::ChildExit;

/// The children of one parent, and the restart budget that they share; see [`restart::Family`].
///
/// ```
/// use xfer_actors::supervise::{ChildExit, ExitReason, Family, RestartPolicy, Verdict};
///
/// let mut family = Family::new(RestartPolicy::default());
/// let generation = family.register("uploader".into());
/// let exit = ChildExit { name: "uploader".into(), generation, reason: ExitReason::Aborted };
/// assert!(matches!(family.on_exit(&exit), Verdict::StartAgain { .. }));
/// family.set_shutting_down();
/// assert_eq!(family.on_exit(&exit), Verdict::Ignore);
/// ```
#[derive(Clone, Debug)]
pub struct Family {
    family: restart::Family,
    origin: Instant,
}

impl Family {
    /// A family without children.
    #[must_use]
    pub fn new(policy: RestartPolicy) -> Self {
        Self { family: restart::Family::new(policy), origin: Instant::now() }
    }

    /// Notes that the child is about to be started and returns the generation for its [`ChildSpec`](super::ChildSpec).
    pub fn register(&mut self, name: ChildName) -> u64 {
        self.family.register(name)
    }

    /// Forgets the child, so that its exit is ignored: for a child that the parent lets go on purpose.
    pub fn forget(&mut self, name: ChildName) {
        self.family.forget(name);
    }

    /// Decides about an exit that is reported now.
    pub fn on_exit(&mut self, exit: &ChildExit) -> Verdict {
        let verdict = self.family.on_exit(exit.name, exit.generation, &exit.reason, self.origin.elapsed());
        match verdict {
            Verdict::Ignore => {
                tracing::debug!(actor = %exit.name, exit.generation, reason = ?exit.reason, "the exit needs no repair")
            }
            Verdict::StartAgain { generation, after } => {
                tracing::warn!(actor = %exit.name, exit.generation, reason = ?exit.reason, next = generation, ?after, "the actor is started anew");
            }
            Verdict::GiveUp => {
                tracing::error!(actor = %exit.name, exit.generation, reason = ?exit.reason, "the actors fail too often, this one is not started again");
            }
        }
        verdict
    }

    /// Whether the child may be started with this generation now; to be asked after the wait of [`Verdict::StartAgain`].
    #[must_use]
    pub fn may_start(&self, name: ChildName, generation: u64) -> bool {
        self.family.may_start(name, generation)
    }

    /// From now on no exit is repaired. Must be called before the first arbiter is stopped; there is no way back.
    pub fn set_shutting_down(&mut self) {
        self.family.set_shutting_down();
    }

    /// Whether the family is shutting down.
    #[must_use]
    pub fn shutting_down(&self) -> bool {
        self.family.shutting_down()
    }
}
