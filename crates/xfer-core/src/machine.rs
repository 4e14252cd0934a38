//! A transfer of any kind, behind one face: events in, effects out.

use crate::delete::DeleteMachine;
use crate::download::DownloadMachine;
use crate::job::{Effect, Event};
use crate::salvage::SalvageMachine;
use crate::upload::UploadMachine;

/// The machine of one transfer.
///
/// ```
/// use xfer_core::delete::DeleteMachine;
/// use xfer_core::job::Event;
/// use xfer_core::machine::Machine;
/// let mut machine = Machine::from(DeleteMachine::new());
/// let mut effects = Vec::new();
/// machine.on(Event::Started, &mut effects);
/// assert_eq!(machine.outstanding(), 1);
/// ```
#[derive(Debug)]
pub enum Machine {
    /// An upload.
    Upload(Box<UploadMachine>),
    /// A download.
    Download(Box<DownloadMachine>),
    /// A delete.
    Delete(Box<DeleteMachine>),
    /// What ends a transfer whose own machine was lost.
    Salvage(Box<SalvageMachine>),
}

impl Machine {
    /// Takes in what happened, and adds to `out` what is to be done about it. What does not concern it is ignored: answers to jobs that
    /// are not under way, and everything after the end.
    pub fn on(&mut self, event: Event, out: &mut Vec<Effect>) {
        match self {
            Machine::Upload(machine) => machine.on(event, out),
            Machine::Download(machine) => machine.on(event, out),
            Machine::Delete(machine) => machine.on(event, out),
            Machine::Salvage(machine) => machine.on(event, out),
        }
    }

    /// How many jobs are under way.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        match self {
            Machine::Upload(machine) => machine.outstanding(),
            Machine::Download(machine) => machine.outstanding(),
            Machine::Delete(machine) => machine.outstanding(),
            Machine::Salvage(machine) => machine.outstanding(),
        }
    }

    /// Whether the transfer has ended: [`Effect::Finish`] was given out.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        match self {
            Machine::Upload(machine) => machine.is_finished(),
            Machine::Download(machine) => machine.is_finished(),
            Machine::Delete(machine) => machine.is_finished(),
            Machine::Salvage(machine) => machine.is_finished(),
        }
    }
}

impl From<UploadMachine> for Machine {
    fn from(machine: UploadMachine) -> Machine {
        Machine::Upload(Box::new(machine))
    }
}

impl From<DownloadMachine> for Machine {
    fn from(machine: DownloadMachine) -> Machine {
        Machine::Download(Box::new(machine))
    }
}

impl From<DeleteMachine> for Machine {
    fn from(machine: DeleteMachine) -> Machine {
        Machine::Delete(Box::new(machine))
    }
}

impl From<SalvageMachine> for Machine {
    fn from(machine: SalvageMachine) -> Machine {
        Machine::Salvage(Box::new(machine))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A million of them may wait. (What else they keep is made as they go on.)
    #[cfg(target_pointer_width = "64")]
    #[test]
    fn machines_are_small() {
        let sizes = [size_of::<UploadMachine>(), size_of::<DownloadMachine>(), size_of::<DeleteMachine>()];
        assert!(sizes.iter().zip([296, 248, 72]).all(|(size, most)| *size <= most), "{sizes:?}");
    }
}
