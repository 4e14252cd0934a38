//! A running system: lanes, the five actors, and the guardian that keeps them.
//!
//! Does: starts everything in an actix System of its own, or in the one that is running; starts an actor anew, on a new thread if
//! its own has died, when its restarts in place are used up. Never: stops a System that it did not start.
//!
//! Invariants: when the system ends, for whatever reason, every transfer is told an end; dropping the last handle does not block, and what
//! transfers have under way is ended and cleaned up behind it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::time::Duration;

use actix::{Actor, Addr, Arbiter, Context, Supervised, System};
use parking_lot::{Mutex, RwLock};
use tokio::sync::mpsc;
use xfer_core::args::CallKind;
use xfer_core::budget::InUse;
use xfer_core::delete::DeleteMachine;
use xfer_core::download::{DownloadMachine, DownloadSpec};
use xfer_core::error::{Error, ErrorKind};
use xfer_core::machine::Machine;
use xfer_core::restart::Verdict;
use xfer_core::upload::{UploadMachine, UploadSpec};

use crate::call::Call;
use crate::coordinator::{Coordinator, StartTransfer};
use crate::deleter::Deleter;
use crate::descriptors;
use crate::downloader::Downloader;
use crate::fault::Crash;
use crate::lane::Lanes;
use crate::ledger::{Ledger, Observer, Transfer};
use crate::scheduler::PartScheduler;
use crate::settings::{Settings, Tuning};
use crate::source::Source;
use crate::supervise::{ArbiterPool, ChildExit, ChildSpec, Family, PoolError, start_supervised};
use crate::target::Target;
use crate::transport::{SharedTransport, TransportConfig};
use crate::uploader::Uploader;

/// How long the guardian waits for transfers to end when the last handle is gone: what is under way has its own deadlines, which
/// are shorter than this.
const FAREWELL: Duration = Duration::from_secs(60);
/// How long it then waits for the actors' threads.
const JOIN: Duration = Duration::from_secs(5);

/// Which of the five actors.
///
/// ```
/// # use xfer_actors::transport::TransportConfig;
/// # use xfer_actors::{Settings, XferSystem};
/// use xfer_actors::Role;
/// # let system = XferSystem::start(Settings::default(), TransportConfig::default())?;
/// // In a test of a service: each of them may die, and transfers go on.
/// for role in Role::ALL {
///     system.crash(role);
/// }
/// assert!(!system.is_closed());
/// # Ok::<(), xfer_actors::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// [`Coordinator`].
    Coordinator,
    /// [`PartScheduler`].
    PartScheduler,
    /// [`Uploader`].
    Uploader,
    /// [`Downloader`].
    Downloader,
    /// [`Deleter`].
    Deleter,
}

impl Role {
    /// All of them, in the order in which they are started.
    pub const ALL: [Role; 5] =
        [Role::Uploader, Role::Downloader, Role::Deleter, Role::PartScheduler, Role::Coordinator];

    fn name(self) -> &'static str {
        match self {
            Role::Coordinator => "coordinator",
            Role::PartScheduler => "part-scheduler",
            Role::Uploader => "uploader",
            Role::Downloader => "downloader",
            Role::Deleter => "deleter",
        }
    }

    fn named(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// A handle to a running system: the five actors, their lanes, and who starts them anew. Cheap to clone; the system ends with the last handle,
/// and stops what goes on then.
///
/// ```
/// use std::sync::{Arc, mpsc};
/// use xfer_actors::transport::TransportConfig;
/// use xfer_actors::{Call, EndpointConfig, ErrorKind, ExtraArgs, RequestSerializer, Settings, SignatureVersion, Tuning, XferSystem};
/// # struct Tell(mpsc::Sender<Result<xfer_actors::TransferOutcome, xfer_actors::Error>>);
/// # impl xfer_actors::Observer for Tell {
/// #     fn progressed(&self, _bytes: u64) {}
/// #     fn finished(&self, result: Result<xfer_actors::TransferOutcome, xfer_actors::Error>) {
/// #         let _ = self.0.send(result);
/// #     }
/// # }
///
/// let url = Some("http://127.0.0.1:1".to_owned()); // where nobody listens
/// let endpoint = EndpointConfig { endpoint_url: url, path_style: true, ..EndpointConfig::new("eu-central-1") };
/// let serializer = RequestSerializer::builder(endpoint).signature_version(SignatureVersion::Unsigned).build()?;
/// let mut settings = Settings::default();
/// settings.retry.max_attempts = 1;
///
/// // In a System of its own, or in that of this thread if it has one.
/// let system = XferSystem::start(settings, TransportConfig::default())?;
/// let call = Call::delete(&Arc::new(serializer), "bucket", "key", ExtraArgs::new())?;
/// let (sender, ended) = mpsc::channel();
/// system.submit(&call, &Tuning::default(), Box::new(Tell(sender)))?; // `Tell`: see `Observer`
/// assert_eq!(ended.recv()?.unwrap_err().kind(), ErrorKind::Connect);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct XferSystem {
    inner: Arc<Inner>,
}

struct Inner {
    ledger: Arc<Ledger>,
    guardian: mpsc::UnboundedSender<Word>,
    /// Why no transfer is taken any more.
    closed: Arc<Mutex<Option<Error>>>,
    /// The guardian's end: the receiver hears of it by the sender's drop.
    ended: Mutex<std_mpsc::Receiver<()>>,
}

/// What the guardian is told.
enum Word {
    Exit(ChildExit),
    Farewell,
}

impl XferSystem {
    /// Starts a system: inside the actix System of this thread if there is one, in one of its own on a thread of its own otherwise.
    /// Works in and outside of any runtime; blocks for some milliseconds.
    ///
    /// # Errors
    /// [`InvalidConfig`](ErrorKind::InvalidConfig) for a transport that cannot be, [`Internal`](ErrorKind::Internal) when the operating
    /// system gives no threads.
    pub fn start(settings: Settings, transport: TransportConfig) -> Result<XferSystem, Error> {
        XferSystem::start_on(settings, shared(transport)?)
    }

    /// As [`start`](XferSystem::start), on a transport that was made before: its certificates are not read again, and what it knows of
    /// addresses and counts of connections goes on.
    ///
    /// # Errors
    /// [`Internal`](ErrorKind::Internal) when the operating system gives no threads.
    pub fn start_on(settings: Settings, transport: Arc<SharedTransport>) -> Result<XferSystem, Error> {
        let home = if System::try_current().is_some() { Home::Current } else { Home::Own };
        XferSystem::begin(settings, transport, home)
    }

    /// Starts a system inside the actix System of this thread; it never stops that System, and ends with it.
    ///
    /// # Errors
    /// As [`start`](XferSystem::start), and [`InvalidConfig`](ErrorKind::InvalidConfig) where there is no System.
    pub fn start_in(settings: Settings, transport: TransportConfig) -> Result<XferSystem, Error> {
        if System::try_current().is_none() {
            return Err(Error::new(ErrorKind::InvalidConfig, "there is no actix System on this thread"));
        }
        XferSystem::begin(settings, shared(transport)?, Home::Current)
    }

    fn begin(settings: Settings, transport: Arc<SharedTransport>, home: Home) -> Result<XferSystem, Error> {
        let no_threads = |error: std::io::Error| not_started("threads", error);
        let lanes =
            Lanes::start_limited(settings.lanes, settings.max_connections.max(1), transport).map_err(no_threads)?;
        lanes.write_directly_from(settings.direct_writes_from);
        lanes.set_max_bandwidth(settings.max_bandwidth);
        let ledger = Ledger::new(settings, lanes);
        let (sender, receiver) = mpsc::unbounded_channel();
        let closed = Arc::new(Mutex::new(None));
        let (ended_sender, ended) = std_mpsc::channel();
        let (ready, begun) = std_mpsc::channel();
        let guardian = Guardian {
            family: Family::new(ledger.settings.restart),
            ledger: Arc::clone(&ledger),
            closed: Arc::clone(&closed),
            words: sender.downgrade(),
            exits: VecDeque::new(),
            _ended: ended_sender,
        };
        match home {
            Home::Own => {
                std::thread::Builder::new()
                    .name("xfer-system".to_owned())
                    .spawn(move || {
                        let system = System::new();
                        system.block_on(guardian.run(receiver, ready));
                        System::current().stop();
                        // The runner must run once more to see the stop through; its exit code is always 0.
                        let _ = system.run();
                    })
                    .map_err(no_threads)?;
            }
            Home::Current => {
                let arbiter = Arbiter::try_new().map_err(no_threads)?;
                arbiter.spawn(async move {
                    guardian.run(receiver, ready).await;
                    Arbiter::current().stop();
                });
            }
        }
        begun.recv().map_err(|_| Error::internal("the system's thread died while it started"))??;
        Ok(XferSystem { inner: Arc::new(Inner { ledger, guardian: sender, closed, ended: Mutex::new(ended) }) })
    }

    /// Starts a transfer; `observer` is told what becomes of it.
    ///
    /// # Errors
    /// [`ShutDown`](ErrorKind::ShutDown) when the system is closed, [`TooLarge`](ErrorKind::TooLarge) for a source that no object can
    /// hold. The observer is told nothing then.
    pub fn submit(
        &self,
        call: &Arc<Call>,
        tuning: &Tuning,
        observer: Box<dyn Observer>,
    ) -> Result<Arc<Transfer>, Error> {
        if let Some(error) = &*self.inner.closed.lock() {
            return Err(error.clone());
        }
        let ledger = &self.inner.ledger;
        let machine = machine_for(call, &ledger.settings, tuning)
            .map_err(|error| error.in_object(Arc::clone(call.bucket()), Arc::clone(call.key())))?;
        let interval = tuning.progress_interval.unwrap_or(ledger.settings.progress_interval);
        observer.queued();
        let transfer = Arc::new(Transfer::new(Arc::clone(call), machine, interval, observer));
        ledger.enter(Arc::clone(&transfer));
        if let Some(coordinator) = &*ledger.directory.coordinator.read() {
            coordinator.do_send(StartTransfer { transfer: transfer.id() });
        }
        // The system may have been closed between the look at `closed` and the entry.
        let closed = self.inner.closed.lock().clone();
        if let Some(error) = closed {
            // While there is a Coordinator the guardian has not left, and whatever is in the ledger then is ended by it at the latest.
            if ledger.directory.coordinator.read().is_some() {
                ledger.stop(&transfer, error);
            } else {
                ledger.abandon_one(&transfer, &error);
            }
        }
        Ok(transfer)
    }

    /// Cancels a transfer: true if it had not become final and was not cancelled before; its future then says
    /// [`Cancelled`](ErrorKind::Cancelled), after everything of it has been removed.
    #[must_use]
    pub fn cancel(&self, transfer: &Transfer) -> bool {
        self.stop(transfer, Error::new(ErrorKind::Cancelled, ""))
    }

    /// Ends a transfer with an error of the caller's; otherwise as [`cancel`](XferSystem::cancel).
    #[must_use]
    pub fn stop(&self, transfer: &Transfer, error: Error) -> bool {
        self.inner.ledger.stop(transfer, error)
    }

    /// The Coordinator's address now; another one after it had to be started anew on another thread.
    #[must_use]
    pub fn coordinator(&self) -> Option<Addr<Coordinator>> {
        self.inner.ledger.directory.coordinator.read().clone()
    }

    /// The PartScheduler's address now.
    #[must_use]
    pub fn part_scheduler(&self) -> Option<Addr<PartScheduler>> {
        self.inner.ledger.directory.scheduler.read().clone()
    }

    /// The Uploader's address now.
    #[must_use]
    pub fn uploader(&self) -> Option<Addr<Uploader>> {
        self.inner.ledger.directory.uploader.read().clone()
    }

    /// The Downloader's address now.
    #[must_use]
    pub fn downloader(&self) -> Option<Addr<Downloader>> {
        self.inner.ledger.directory.downloader.read().clone()
    }

    /// The Deleter's address now.
    #[must_use]
    pub fn deleter(&self) -> Option<Addr<Deleter>> {
        self.inner.ledger.directory.deleter.read().clone()
    }

    /// The lanes.
    #[must_use]
    pub fn lanes(&self) -> &Lanes {
        &self.inner.ledger.lanes
    }

    /// The settings that it was started with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.inner.ledger.settings
    }

    /// Whether it takes no more transfers: it was closed, has given up, or the actix System that it lived in was stopped.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.inner.closed.lock().is_some()
    }

    /// Transfers that have not ended.
    #[must_use]
    pub fn transfers(&self) -> usize {
        self.inner.ledger.count()
    }

    /// Requests in flight and bytes of part memory in use.
    #[must_use]
    pub fn in_use(&self) -> InUse {
        self.inner.ledger.budget.in_use()
    }

    /// Changes [`Settings::max_bandwidth`] from now on, also for transfers that are under way; `None` lifts it.
    ///
    /// ```
    /// # use xfer_actors::transport::TransportConfig;
    /// # use xfer_actors::{Settings, XferSystem};
    /// let system = XferSystem::start(Settings::default(), TransportConfig::default())?;
    /// system.set_max_bandwidth(Some(10_000_000)); // in office hours: 10 MB/s
    /// system.set_max_bandwidth(None);
    /// # Ok::<(), xfer_actors::Error>(())
    /// ```
    pub fn set_max_bandwidth(&self, bytes_per_second: Option<u64>) {
        self.inner.ledger.lanes.set_max_bandwidth(bytes_per_second);
        self.inner.ledger.budget.set_bytes_per_second(bytes_per_second);
    }

    /// Makes one of the actors panic: for tests of what is built on top.
    pub fn crash(&self, role: Role) {
        let directory = &self.inner.ledger.directory;
        match role {
            Role::Coordinator => crash(&directory.coordinator),
            Role::PartScheduler => crash(&directory.scheduler),
            Role::Uploader => crash(&directory.uploader),
            Role::Downloader => crash(&directory.downloader),
            Role::Deleter => crash(&directory.deleter),
        }
    }

    /// Ends the system, and waits until its actors have gone, at most `deadline`: true if they have. Transfers that go on are stopped.
    /// Blocks; not for use on an executor's thread.
    #[must_use]
    pub fn close(&self, deadline: Duration) -> bool {
        let _ = self.inner.guardian.send(Word::Farewell);
        matches!(self.inner.ended.lock().recv_timeout(deadline), Err(std_mpsc::RecvTimeoutError::Disconnected))
    }
}

fn crash<A>(place: &RwLock<Option<Addr<A>>>)
where
    A: Actor<Context = Context<A>> + actix::Handler<Crash>,
{
    if let Some(address) = &*place.read() {
        address.do_send(Crash);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // If the guardian has gone there is nobody left to end.
        let _ = self.guardian.send(Word::Farewell);
    }
}

impl fmt::Debug for XferSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("XferSystem").field("ledger", &self.inner.ledger).finish_non_exhaustive()
    }
}

fn shared(transport: TransportConfig) -> Result<Arc<SharedTransport>, Error> {
    SharedTransport::new(transport)
        .map_err(|error| Error::new(ErrorKind::InvalidConfig, error.to_string()).with_source(error))
}

/// In which System the guardian lives.
enum Home {
    Own,
    Current,
}

/// The machine of a call.
fn machine_for(call: &Call, settings: &Settings, tuning: &Tuning) -> Result<Machine, Error> {
    let most = tuning.max_requests.unwrap_or(usize::MAX).max(1);
    let window = settings.max_connections.saturating_mul(2).clamp(8, 256).min(most);
    let part_size = tuning.part_size.unwrap_or(settings.part_size);
    let memory_window = settings.memory_window(part_size).min(most);
    Ok(match call.kind() {
        CallKind::Upload => {
            let source = call.source()?;
            let rereadable = source.is_rereadable();
            let spec = UploadSpec {
                length: Source::length(source),
                rereadable,
                part_size,
                threshold: tuning.multipart_threshold.unwrap_or(settings.multipart_threshold),
                window: if rereadable { window } else { memory_window },
                checksum: call.checksum.clone(),
            };
            UploadMachine::new(spec)?.into()
        }
        CallKind::Download => {
            let ordered = call.target().is_ok_and(Target::is_ordered);
            let spec = DownloadSpec {
                part_size,
                window: if ordered { memory_window } else { window },
                ordered,
                validate: call.validates(),
            };
            DownloadMachine::new(spec).into()
        }
        CallKind::Delete => DeleteMachine::new().into(),
    })
}

/// Keeps the five actors alive.
struct Guardian {
    ledger: Arc<Ledger>,
    family: Family,
    closed: Arc<Mutex<Option<Error>>>,
    words: mpsc::WeakUnboundedSender<Word>,
    /// Exits that came while it waited.
    exits: VecDeque<ChildExit>,
    /// Dropped with the guardian: who waits for its end hears that.
    _ended: std_mpsc::Sender<()>,
}

/// The system does not come up for want of threads, or of descriptors for their event queues.
fn not_started(what: &str, error: std::io::Error) -> Error {
    let kind = descriptors::kind_of(&error, ErrorKind::Internal);
    Error::new(kind, format!("{what} cannot be started: {error}")).with_source(error)
}

impl Guardian {
    async fn run(mut self, mut words: mpsc::UnboundedReceiver<Word>, ready: std_mpsc::Sender<Result<(), Error>>) {
        let mut arbiters = match ArbiterPool::start("xfer-control", 1) {
            Ok(arbiters) => arbiters,
            Err(error) => {
                // Nobody waits any more if the starter has died.
                let error = match error {
                    PoolError::Start { source, .. } => not_started("the actors' thread", source),
                    error => Error::internal("the actors' thread cannot be started").with_source(error),
                };
                let _ = ready.send(Err(error));
                return;
            }
        };
        for role in Role::ALL {
            self.start(role, None, &arbiters);
        }
        // Nobody waits any more if the starter has died.
        let _ = ready.send(Ok(()));
        let mut whole = true;
        while let Some(exit) = self.next_exit(&mut words).await {
            if !self.on_exit(&exit, &mut arbiters, &mut words).await {
                whole = false;
                break;
            }
        }
        self.farewell(words, whole).await;
        let stopped = arbiters.stop(JOIN);
        if !stopped.left.is_empty() {
            tracing::warn!(threads = ?stopped.left, "actors' threads did not end in time");
        }
    }

    /// Starts an actor on the arbiter and tells the others its address.
    fn start(&mut self, role: Role, generation: Option<u64>, arbiters: &ArbiterPool) {
        let generation = generation.unwrap_or_else(|| self.family.register(role.name().into()));
        let Some(arbiter) = arbiters.handles().into_iter().next() else { return };
        // No bound: the scheduler's budget is the back-pressure, and actix does not honour a bound for what is sent anyway.
        let spec =
            ChildSpec { mailbox: 0, policy: self.ledger.settings.restart, ..ChildSpec::new(role.name(), generation) };
        let words = self.words.clone();
        let on_exit = move |exit| {
            if let Some(words) = words.upgrade() {
                // If the guardian has gone there is nobody to start it anew.
                let _ = words.send(Word::Exit(exit));
            }
        };
        let ledger = Arc::clone(&self.ledger);
        let lanes = ledger.lanes.clone();
        let directory = &self.ledger.directory;
        match role {
            // What was sent to the old address until the new one is known is lost: the ledger is read again afterwards.
            Role::Coordinator => {
                let coordinator = start_supervised(&arbiter, spec, on_exit, || Coordinator::new(ledger));
                put(&directory.coordinator, coordinator.clone());
                coordinator.do_send(crate::coordinator::ReadLedger);
            }
            Role::PartScheduler => {
                let scheduler = start_supervised(&arbiter, spec, on_exit, || PartScheduler::new(ledger));
                put(&directory.scheduler, scheduler.clone());
                scheduler.do_send(crate::scheduler::ReadLedger);
            }
            Role::Uploader => {
                put(&directory.uploader, start_supervised(&arbiter, spec, on_exit, || Uploader::new(lanes)));
            }
            Role::Downloader => {
                put(&directory.downloader, start_supervised(&arbiter, spec, on_exit, || Downloader::new(lanes)));
            }
            Role::Deleter => put(&directory.deleter, start_supervised(&arbiter, spec, on_exit, || Deleter::new(lanes))),
        }
        // The jobs of a worker wait in the queue while it is away.
        directory.budget_freed();
    }

    /// The next exit of an actor; `None` when it is time to go.
    async fn next_exit(&mut self, words: &mut mpsc::UnboundedReceiver<Word>) -> Option<ChildExit> {
        if let Some(exit) = self.exits.pop_front() {
            return Some(exit);
        }
        match words.recv().await {
            Some(Word::Exit(exit)) => Some(exit),
            Some(Word::Farewell) | None => None,
        }
    }

    /// Lets time pass, and keeps the exits of that time for later; false when it is time to go.
    async fn pause(&mut self, pause: Duration, words: &mut mpsc::UnboundedReceiver<Word>) -> bool {
        let mut over = std::pin::pin!(tokio::time::sleep(pause));
        loop {
            tokio::select! {
                () = &mut over => return true,
                word = words.recv() => match word {
                    Some(Word::Exit(exit)) => self.exits.push_back(exit),
                    Some(Word::Farewell) | None => return false,
                },
            }
        }
    }

    /// Repairs what can be repaired; false when it is time to go.
    async fn on_exit(
        &mut self,
        exit: &ChildExit,
        arbiters: &mut ArbiterPool,
        words: &mut mpsc::UnboundedReceiver<Word>,
    ) -> bool {
        let Some(role) = Role::named(exit.name.role()) else { return true };
        match self.family.on_exit(exit) {
            Verdict::Ignore => {}
            Verdict::StartAgain { generation, after } => {
                tracing::warn!(actor = %exit.name, reason = ?exit.reason, ?after, "an actor is started anew");
                // The wait spaces failures of the whole family.
                if !self.pause(after, words).await {
                    return false;
                }
                if arbiters.is_alive(0) {
                    if self.family.may_start(exit.name, generation) {
                        self.start(role, Some(generation), arbiters);
                    }
                } else if let Err(error) = arbiters.replace(0) {
                    tracing::error!(%error, "the actors' thread cannot be replaced");
                    self.give_up(&Error::internal("the actors' thread cannot be replaced").with_source(error));
                } else {
                    // A thread takes all its actors with it, and that is one failure. The exits of the others are old ones from now on.
                    for role in Role::ALL {
                        self.start(role, None, arbiters);
                    }
                }
            }
            Verdict::GiveUp => {
                tracing::error!(actor = %exit.name, reason = ?exit.reason, "an actor fails again and again: the system gives up");
                self.give_up(&Error::internal(format!("the {} fails again and again", exit.name)));
            }
        }
        true
    }

    /// Takes no more transfers, and ends those that there are.
    fn give_up(&self, error: &Error) {
        *self.closed.lock() = Some(error.clone());
        // Before the ledger is emptied: who enters a transfer later finds nobody, and ends it himself.
        self.ledger.directory.clear();
        self.ledger.abandon(error);
    }

    /// Ends what goes on, in order, while the actors still live; where one is missing (they are not `whole`) nobody could.
    async fn farewell(&mut self, mut words: mpsc::UnboundedReceiver<Word>, whole: bool) {
        let error = Error::new(ErrorKind::ShutDown, "");
        self.closed.lock().get_or_insert_with(|| error.clone());
        for transfer in self.ledger.all() {
            self.ledger.stop(&transfer, error.clone());
        }
        if whole {
            self.wait_for_idle(&mut words).await;
        }
        self.family.set_shutting_down();
    }

    /// Waits until the last transfer has left, an actor has died, or it has taken too long.
    async fn wait_for_idle(&self, words: &mut mpsc::UnboundedReceiver<Word>) {
        let until = tokio::time::Instant::now() + FAREWELL;
        loop {
            // Listens before it looks, so that the last transfer does not leave in between.
            let mut idle = std::pin::pin!(self.ledger.idle.notified());
            idle.as_mut().enable();
            if self.ledger.is_idle() {
                break;
            }
            tokio::select! {
                () = idle => {}
                // Without a handle left there are no words any more, and nothing to wait for there.
                Some(word) = words.recv() => {
                    // An actor that dies now is not repaired: what it leaves is ended below.
                    if let Word::Exit(exit) = word {
                        tracing::warn!(actor = %exit.name, reason = ?exit.reason, "an actor died during shutdown");
                        break;
                    }
                }
                () = tokio::time::sleep_until(until) => break,
            }
        }
    }
}

impl Drop for Guardian {
    /// Also when the System is stopped under it.
    fn drop(&mut self) {
        let error = self.closed.lock().get_or_insert_with(|| Error::new(ErrorKind::ShutDown, "")).clone();
        // Before the ledger is emptied: who enters a transfer later finds nobody, and ends it himself.
        self.ledger.directory.clear();
        self.ledger.abandon(&error);
    }
}

fn put<A: Actor<Context = Context<A>> + Supervised>(place: &RwLock<Option<Addr<A>>>, address: Addr<A>) {
    *place.write() = Some(address);
}

#[cfg(test)]
mod tests;
