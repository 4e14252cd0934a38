//! The Coordinator: feeds the machines and owns the outcomes.
//!
//! Does: takes a transfer's news from the ledger, gives them to its machine, carries the effects out. Never: touches a socket or a
//! file, waits, or knows how a request is made. Its handlers are thin: the decisions are `xfer_core`'s.
//!
//! Invariants: all its state is in the ledger, so that a restart loses nothing; it reads the whole ledger when it starts anew; a
//! machine that panicked is replaced by one that cleans up, and its transfer fails.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Message, Supervised};
use xfer_core::error::Error;
use xfer_core::id::TransferId;
use xfer_core::job::{Effect, Event};
use xfer_core::outcome::TransferOutcome;
use xfer_core::salvage::SalvageMachine;

use crate::fault::Crash;
use crate::ledger::{Ledger, MachineSlot, Transfer, is_clean_up};
use crate::scheduler::{EnqueueJobs, JobName};

/// A transfer was entered into the ledger.
///
/// [`XferSystem::submit`](crate::XferSystem::submit) sends it. Told again it does no harm: what is to be done is in the ledger, and not in the
/// message.
///
/// ```
/// use xfer_actors::{StartTransfer, Transfer, XferSystem};
/// fn remind(system: &XferSystem, transfer: &Transfer) {
///     if let Some(coordinator) = system.coordinator() {
///         coordinator.do_send(StartTransfer { transfer: transfer.id() });
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct StartTransfer {
    /// Which.
    pub transfer: TransferId,
}

/// Jobs of these transfers have ended or tell something, or somebody wants them to stop; what, is in the ledger.
///
/// The lanes and the scheduler send it. Without news it changes nothing, and so it tells whether the Coordinator gets to its messages:
///
/// ```no_run
/// use std::time::Duration;
/// use xfer_actors::{TransferNews, XferSystem};
/// async fn is_responsive(system: &XferSystem) -> bool {
///     let Some(coordinator) = system.coordinator() else { return false };
///     coordinator.send(TransferNews { transfers: Vec::new() }).timeout(Duration::from_secs(1)).await.is_ok()
/// }
/// ```
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct TransferNews {
    /// Which transfers.
    pub transfers: Vec<TransferId>,
}

/// Look at the whole ledger: when the Coordinator starts, and when news for it may have been lost.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct ReadLedger;

/// The actor that knows what comes next of each transfer: tells the transfer's state machine what has happened, and has done what that asks for.
///
/// ```
/// use xfer_actors::transport::TransportConfig;
/// use xfer_actors::{Crash, Settings, TransferNews, XferSystem};
///
/// let system = XferSystem::start(Settings::default(), TransportConfig::default())?;
/// let coordinator = system.coordinator().ok_or("it is started with the system")?;
/// # actix::System::new().block_on(async {
/// // It may die of a message; the next one finds it at the same address.
/// assert!(coordinator.send(Crash).await.is_err());
/// assert!(coordinator.send(TransferNews { transfers: Vec::new() }).await.is_ok());
/// # });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Coordinator {
    ledger: Arc<Ledger>,
    effects: Vec<Effect>,
    /// Jobs that were asked for, and which the scheduler has not been told of yet.
    jobs: Vec<JobName>,
    ticking: bool,
}

impl Coordinator {
    /// A coordinator of the transfers in `ledger`.
    pub(crate) fn new(ledger: Arc<Ledger>) -> Coordinator {
        Coordinator { ledger, effects: Vec::new(), jobs: Vec::new(), ticking: false }
    }

    /// Gives a transfer's news to its machine until there is none left.
    fn advance(&mut self, id: TransferId) {
        let Some(transfer) = self.ledger.transfer(id) else { return };
        loop {
            let Some(event) = transfer.next_event() else { break };
            let mut effects = std::mem::take(&mut self.effects);
            let slot = std::mem::replace(&mut *transfer.machine.lock(), MachineSlot::Thinking);
            match slot {
                MachineSlot::Idle(mut machine) => {
                    machine.on(event, &mut effects);
                    *transfer.machine.lock() = MachineSlot::Idle(machine);
                }
                MachineSlot::Thinking => {
                    transfer.tell_first(event);
                    salvage(&transfer);
                    self.effects = effects;
                    continue;
                }
                MachineSlot::Gone => *transfer.machine.lock() = MachineSlot::Gone,
            }
            for effect in effects.drain(..) {
                self.carry_out(&transfer, effect);
            }
            self.effects = effects;
        }
    }

    /// Tells the scheduler of the jobs that were asked for.
    fn enqueue(&mut self) {
        let jobs = std::mem::take(&mut self.jobs);
        if !jobs.is_empty()
            && let Some(scheduler) = &*self.ledger.directory.scheduler.read()
        {
            scheduler.do_send(EnqueueJobs { jobs });
        }
    }

    /// Carries an effect out; jobs for the scheduler are gathered.
    fn carry_out(&mut self, transfer: &Arc<Transfer>, effect: Effect) {
        match effect {
            Effect::Run { id, job } => {
                if is_clean_up(&job) {
                    // It has failed, and only tidies up: too late to cancel it.
                    transfer.call.phase.close();
                }
                transfer.add_job(id, job);
                self.jobs.push(JobName { transfer: transfer.id(), job: id });
            }
            Effect::Withdraw => {
                transfer.call.phase.close();
                transfer.call.cut();
                transfer.withdraw();
            }
            Effect::Finish(result) => self.finish(transfer, result),
        }
    }

    fn finish(&self, transfer: &Transfer, result: Result<TransferOutcome, Error>) {
        *transfer.machine.lock() = MachineSlot::Gone;
        match &result {
            Ok(outcome) => {
                tracing::debug!(target: "xfer::transfer", transfer = %transfer.id(), bytes = outcome.bytes, "done");
            }
            Err(error) => tracing::debug!(target: "xfer::transfer", transfer = %transfer.id(), %error, "failed"),
        }
        self.ledger.leave(transfer.id());
        self.ledger.conclude(transfer, result);
    }

    /// Looks at the meters until nothing goes on any more.
    fn tick(&mut self, context: &mut Context<Self>) {
        for entry in &self.ledger.watched {
            entry.report_progress_if_due();
        }
        self.ticking = !self.ledger.is_idle();
        if self.ticking {
            context.run_later(TICK, Self::tick);
        }
    }

    fn keep_ticking(&mut self, context: &mut Context<Self>) {
        if !std::mem::replace(&mut self.ticking, true) {
            context.run_later(TICK, Self::tick);
        }
    }
}

/// Replaces a machine that died thinking by one that ends the transfer and leaves nothing behind.
fn salvage(transfer: &Transfer) {
    tracing::error!(transfer = %transfer.id(), "a transfer's machine panicked: the transfer fails");
    let machine = SalvageMachine::new(
        transfer.open_jobs(),
        transfer.open_upload(),
        transfer.call.target.is_some(),
        Error::internal("the transfer's machine panicked"),
    );
    *transfer.machine.lock() = MachineSlot::Idle(machine.into());
    transfer.tell_first(Event::Started);
}

/// Time between two looks at the meters, and so the shortest interval at which progress can be told: twenty times a second is more
/// than an eye wants, and costs next to nothing.
const TICK: Duration = Duration::from_millis(50);

impl Actor for Coordinator {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.notify(ReadLedger);
    }
}

impl Supervised for Coordinator {
    fn restarting(&mut self, _context: &mut Context<Self>) {
        *self = Coordinator::new(Arc::clone(&self.ledger));
    }
}

impl Handler<StartTransfer> for Coordinator {
    type Result = ();

    fn handle(&mut self, start: StartTransfer, context: &mut Context<Self>) {
        self.keep_ticking(context);
        self.advance(start.transfer);
        self.enqueue();
    }
}

impl Handler<TransferNews> for Coordinator {
    type Result = ();

    fn handle(&mut self, news: TransferNews, _context: &mut Context<Self>) {
        for transfer in news.transfers {
            self.advance(transfer);
        }
        self.enqueue();
    }
}

impl Handler<ReadLedger> for Coordinator {
    type Result = ();

    fn handle(&mut self, _read: ReadLedger, context: &mut Context<Self>) {
        if !self.ledger.is_idle() {
            self.keep_ticking(context);
        }
        // First come, first served, also after a restart.
        for transfer in self.ledger.all() {
            let died = matches!(*transfer.machine.lock(), MachineSlot::Thinking);
            if died {
                salvage(&transfer);
            }
            if died || transfer.has_news() {
                self.advance(transfer.id());
            }
        }
        self.enqueue();
        // A job that was added while the message about it was lost.
        if let Some(scheduler) = &*self.ledger.directory.scheduler.read() {
            scheduler.do_send(crate::scheduler::ReadLedger);
        }
    }
}

impl Handler<Crash> for Coordinator {
    type Result = ();

    fn handle(&mut self, crash: Crash, _context: &mut Context<Self>) {
        crash.now();
    }
}
