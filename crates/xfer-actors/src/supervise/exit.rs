//! Reports the end of a child: exactly once, whatever ends it.
//!
//! The report hangs on a destructor, so that nobody has to remember it: the guard travels from the caller to the arbiter and into the running
//! actor, and wherever it is dropped the parent learns of it. It never reports twice and never lets a panic of the callback out.

use std::fmt;

use xfer_core::restart::{ChildName, ExitReason};

use super::unwind::guarded;

/// A child is gone for good: it is not restarted by whoever ran it, and its address is closed.
///
/// ```
/// use xfer_actors::supervise::{ChildExit, ExitReason};
/// fn line(exit: &ChildExit) -> String {
///     match &exit.reason {
///         ExitReason::Normal => format!("{} has stopped", exit.name),
///         ExitReason::Escalated { restarts, panic_text } => format!("{} after {restarts} restarts: {panic_text}", exit.name),
///         ExitReason::Aborted => format!("the thread of {} has gone", exit.name),
///     }
/// }
/// let exit = ChildExit { name: "indexer".into(), generation: 1, reason: ExitReason::Aborted };
/// assert_eq!(line(&exit), "the thread of indexer has gone");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildExit {
    /// The child's name.
    pub name: ChildName,
    /// The generation it was started with.
    pub generation: u64,
    /// Why it is gone.
    pub reason: ExitReason,
}

impl actix::Message for ChildExit {
    type Result = ();
}

type OnExit = Box<dyn FnOnce(ChildExit) + Send>;

/// Calls back when dropped. Until told otherwise the reason is [`ExitReason::Aborted`]: nobody got to say anything better.
pub(super) struct ExitGuard {
    name: ChildName,
    generation: u64,
    reason: ExitReason,
    on_exit: Option<OnExit>,
}

impl ExitGuard {
    pub(super) fn new(name: ChildName, generation: u64, on_exit: impl FnOnce(ChildExit) + Send + 'static) -> Self {
        Self { name, generation, reason: ExitReason::Aborted, on_exit: Some(Box::new(on_exit)) }
    }

    pub(super) fn name(&self) -> ChildName {
        self.name
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn set_reason(&mut self, reason: ExitReason) {
        self.reason = reason;
    }
}

impl fmt::Debug for ExitGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExitGuard")
            .field("name", &self.name)
            .field("generation", &self.generation)
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}

impl Drop for ExitGuard {
    fn drop(&mut self) {
        let Some(on_exit) = self.on_exit.take() else { return };
        let reason = std::mem::replace(&mut self.reason, ExitReason::Aborted);
        let exit = ChildExit { name: self.name, generation: self.generation, reason };
        if let Err(panic) = guarded(move || on_exit(exit)) {
            tracing::error!(actor = %self.name, %panic, "the callback for the actor's exit panicked");
        }
    }
}
