//! What a delete does next: one DeleteObject.
//!
//! Invariants: it ends once, with nothing under way. An object that was deleted although a stop had come is reported as deleted.

use crate::job::{Effect, Event, Job, Reply};
use crate::ledger::{Ledger, Origin, wrong_reply};
use crate::outcome::TransferOutcome;

/// One delete. Feed it events, carry out the effects.
///
/// ```
/// use xfer_core::delete::DeleteMachine;
/// use xfer_core::job::{Effect, Event, Job};
/// let mut machine = DeleteMachine::new();
/// let mut effects = Vec::new();
/// machine.on(Event::Started, &mut effects);
/// assert!(matches!(effects[..], [Effect::Run { job: Job::DeleteObject, .. }]));
/// ```
#[derive(Debug)]
pub struct DeleteMachine {
    ledger: Ledger<()>,
    started: bool,
}

impl DeleteMachine {
    /// A machine for one delete.
    #[must_use]
    pub fn new() -> DeleteMachine {
        DeleteMachine { ledger: Ledger::new(), started: false }
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
            Event::Started if !self.started => {
                self.started = true;
                self.ledger.run(Job::DeleteObject, (), out);
            }
            Event::Done { job, reply } if self.ledger.settle(job).is_some() => match reply {
                Reply::ObjectDeleted { version_id } => {
                    let mut outcome = TransferOutcome::of_bytes(0);
                    outcome.version_id = version_id;
                    return self.ledger.succeed(outcome, out);
                }
                _ => self.ledger.fail(wrong_reply("DeleteObject"), Origin::Job, out),
            },
            Event::Failed { job, error } if self.ledger.settle(job).is_some() => {
                self.ledger.fail(error, Origin::Job, out);
            }
            Event::Stop { error } => self.ledger.fail(error, Origin::Stop, out),
            _ => {}
        }
        if self.ledger.is_failing() && self.ledger.outstanding() == 0 {
            self.ledger.finish_failed(out);
        }
    }
}

impl Default for DeleteMachine {
    fn default() -> DeleteMachine {
        DeleteMachine::new()
    }
}

#[cfg(test)]
mod tests;
