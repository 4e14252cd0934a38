//! An actor that does what a test tells it to, and a bench that runs one.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use actix::fut::wrap_future;
use actix::{
    Actor, Addr, ArbiterHandle, AtomicResponse, Context, Handler, MailboxError, Message, ResponseActFuture, Running,
    Supervised, System,
};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use crate::supervise::{ArbiterPool, ChildExit, ChildSpec, RestartMode, RestartPolicy, start_supervised};

/// Far longer than anything here takes: it only turns a hang into a failure.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    Started,
    Stopping,
    Stopped,
    Restarting,
    Handled(u32),
    Dropped,
}

pub(super) type Hook = Arc<dyn Fn(&mut Lab, &mut Context<Lab>) + Send + Sync>;
type StoppingHook = Arc<dyn Fn(&mut Lab, &mut Context<Lab>) -> Running + Send + Sync>;

/// What the hooks do besides reporting that they ran.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) started: Hook,
    pub(super) stopping: StoppingHook,
    pub(super) stopped: Hook,
    pub(super) restarting: Hook,
}

impl Default for Plan {
    fn default() -> Self {
        let nothing: Hook = Arc::new(|_, _| {});
        Self {
            started: Arc::clone(&nothing),
            stopping: Arc::new(|_, _| Running::Stop),
            stopped: Arc::clone(&nothing),
            restarting: nothing,
        }
    }
}

/// State with a destructor that can be told to panic.
#[derive(Default)]
pub(super) struct State {
    pub(super) count: u32,
    pub(super) bomb: bool,
}

impl Drop for State {
    fn drop(&mut self) {
        if self.bomb {
            boom("state");
        }
    }
}

pub(super) struct Lab {
    plan: Plan,
    events: UnboundedSender<Event>,
    /// Counts lives; survives restarts.
    pub(super) lives: u32,
    pub(super) state: State,
}

impl Lab {
    pub(super) fn new(plan: Plan, events: UnboundedSender<Event>) -> Self {
        Self { plan, events, lives: 0, state: State::default() }
    }

    fn say(&self, event: Event) {
        let _ = self.events.send(event);
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.say(Event::Dropped);
    }
}

impl Actor for Lab {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.lives += 1;
        self.say(Event::Started);
        Arc::clone(&self.plan.started)(self, ctx);
    }

    fn stopping(&mut self, ctx: &mut Context<Self>) -> Running {
        self.say(Event::Stopping);
        Arc::clone(&self.plan.stopping)(self, ctx)
    }

    fn stopped(&mut self, ctx: &mut Context<Self>) {
        self.say(Event::Stopped);
        Arc::clone(&self.plan.stopped)(self, ctx);
    }
}

impl Supervised for Lab {
    fn restarting(&mut self, ctx: &mut Context<Self>) {
        self.say(Event::Restarting);
        Arc::clone(&self.plan.restarting)(self, ctx);
        self.state = State::default();
    }
}

type Work = Box<dyn FnOnce(&mut Lab, &mut Context<Lab>) + Send>;

/// Runs the closure in the actor and answers with how many messages this life has handled.
pub(super) struct Do(Work);

impl Do {
    pub(super) fn new(work: impl FnOnce(&mut Lab, &mut Context<Lab>) + Send + 'static) -> Self {
        Self(Box::new(work))
    }

    pub(super) fn count() -> Self {
        Self::new(|_, _| {})
    }

    pub(super) fn poison(text: &'static str) -> Self {
        Self::new(move |_, _| boom(text))
    }

    pub(super) fn stop() -> Self {
        Self::new(|_, ctx| actix::ActorContext::stop(ctx))
    }
}

impl Message for Do {
    type Result = u32;
}

impl Handler<Do> for Lab {
    type Result = u32;

    fn handle(&mut self, Do(work): Do, ctx: &mut Context<Self>) -> u32 {
        work(self, ctx);
        self.state.count += 1;
        self.say(Event::Handled(self.state.count));
        self.state.count
    }
}

/// Is never answered while the actor lives: the reply is a future of its context.
pub(super) struct Hang;

impl Message for Hang {
    type Result = u32;
}

impl Handler<Hang> for Lab {
    type Result = ResponseActFuture<Self, u32>;

    fn handle(&mut self, _: Hang, _: &mut Context<Self>) -> Self::Result {
        Box::pin(wrap_future(std::future::pending()))
    }
}

/// Panics in a reply that stops the mailbox meanwhile.
pub(super) struct AtomicPoison;

impl Message for AtomicPoison {
    type Result = u32;
}

impl Handler<AtomicPoison> for Lab {
    type Result = AtomicResponse<Self, u32>;

    fn handle(&mut self, _: AtomicPoison, _: &mut Context<Self>) -> Self::Result {
        AtomicResponse::new(Box::pin(wrap_future(async {
            tokio::task::yield_now().await;
            boom("atomic")
        })))
    }
}

/// Panics without calling the panic hook, so that a passing run prints nothing.
pub(super) fn boom(text: &'static str) -> ! {
    resume_unwind(Box::new(text))
}

/// Many quick restarts.
pub(super) fn generous(mode: RestartMode) -> RestartPolicy {
    RestartPolicy {
        mode,
        max_restarts: u32::MAX,
        window: Duration::from_secs(3600),
        backoff_base: Duration::ZERO,
        backoff_cap: Duration::ZERO,
    }
}

/// `max` restarts a millisecond apart.
pub(super) fn strict(mode: RestartMode, max: u32) -> RestartPolicy {
    RestartPolicy {
        max_restarts: max,
        backoff_base: Duration::from_millis(1),
        backoff_cap: Duration::from_millis(1),
        ..generous(mode)
    }
}

/// One supervised lab and what there is to observe about it.
pub(super) struct Bench {
    pub(super) addr: Addr<Lab>,
    pub(super) events: UnboundedReceiver<Event>,
    pub(super) exits: UnboundedReceiver<ChildExit>,
}

impl Bench {
    pub(super) fn start(arbiter: &ArbiterHandle, policy: RestartPolicy, plan: Plan) -> Self {
        let (events, seen) = mpsc::unbounded_channel();
        let (exit, exits) = mpsc::unbounded_channel();
        let spec = ChildSpec::new("lab", 7).policy(policy);
        // The callback owns the only sender: when it has run, or was dropped, the receiver is at its end.
        let on_exit = move |gone| exit.send(gone).unwrap();
        let addr = start_supervised(arbiter, spec, on_exit, move || Lab::new(plan, events));
        Self { addr, events: seen, exits }
    }

    pub(super) async fn ask(&self, message: Do) -> Result<u32, MailboxError> {
        within(self.addr.send(message)).await
    }

    /// The exit, and that there is no second one.
    pub(super) async fn exit(&mut self) -> ChildExit {
        let exit = within(self.exits.recv()).await.expect("an exit is reported");
        assert_eq!((exit.name, exit.generation), ("lab".into(), 7));
        assert_eq!(within(self.exits.recv()).await, None, "reported once");
        assert!(!self.addr.connected(), "the address closes before the report");
        exit
    }

    pub(super) async fn event(&mut self) -> Event {
        within(self.events.recv()).await.expect("the actor lives")
    }

    /// All events up to the actor's end.
    pub(super) async fn history(&mut self) -> Vec<Event> {
        let mut history = Vec::new();
        while let Some(event) = within(self.events.recv()).await {
            history.push(event);
        }
        history
    }
}

pub(super) async fn within<F: Future>(work: F) -> F::Output {
    tokio::time::timeout(PATIENCE, work).await.expect("nothing hangs")
}

/// Runs the test in a System of its own with one arbiter, and sees to it that the arbiter is still in working order at the end.
pub(super) fn on_arbiter<T>(test: impl AsyncFnOnce(&ArbiterHandle) -> T) -> T {
    System::new().block_on(async {
        let pool = ArbiterPool::start("test", 1).unwrap();
        let result = test(&pool.handles()[0]).await;
        let stopped = pool.stop(PATIENCE);
        assert_eq!(stopped.joined, ["test-0"]);
        result
    })
}

/// Holds the arbiter's thread, from when this returns until the sender is dropped, so that a test can queue messages behind each other.
pub(super) fn hold(arbiter: &ArbiterHandle) -> std::sync::mpsc::Sender<()> {
    let (gate, open) = std::sync::mpsc::channel::<()>();
    let (holding, held) = std::sync::mpsc::channel();
    assert!(arbiter.spawn_fn(move || {
        holding.send(()).unwrap();
        let _ = open.recv_timeout(PATIENCE);
    }));
    held.recv_timeout(PATIENCE).unwrap();
    gate
}
