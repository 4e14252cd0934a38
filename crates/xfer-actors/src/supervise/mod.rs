//! Keeps actors alive: restarts one that panics in place, and tells its parent when it is gone for good.
//!
//! actix's own `Supervisor` sees voluntary stops only: a panic ends the actor, closes its address, loses its mailbox, and tells nobody.
//! [`start_supervised`] runs an actor so that
//!
//! - a panic anywhere in it (handler, context future, timer, `started`, `stopping`, `stopped`, `restarting`, a destructor) costs the message
//!   or future that panicked and the other futures of its context. The address stays valid, queued messages are kept and answered later;
//! - restarts are counted against a [`RestartPolicy`] and spaced by its waits; between two of them the thread always gets back to its other
//!   work. A stop counts as well where the policy is permanent, so an actor that stops in `started` cannot spin;
//! - whatever ends it, exactly one [`ChildExit`] is delivered, after its address has closed: budget spent, stop, arbiter stopped, arbiter dead
//!   before the start, factory panicked.
//!
//! [`Family`] tells a parent what to do about such an exit, and [`ArbiterPool`] owns the threads.
//!
//! It never replaces the panic hook (that is the program's: it prints as usual, and the restart is logged beside it), never stops a
//! `System`, and does not see panics of tasks that run outside the actor, `ResponseFuture` among them: those cost one reply each and leave
//! the actor untouched. With `panic = "abort"` there is no unwinding to catch and none of this helps.
//!
//! # What an actor must do for its part
//!
//! - [`restarting`](actix::Supervised::restarting) replaces all state that a panic may have left half-changed. What must outlive a restart (the
//!   ledger of who holds which part) lives outside that state. The hook should not spawn: `started` follows and does.
//! - `started` runs once for each life and may run again at any time. It should be cheap, and send the actor a message for what can fail.
//! - Handles of futures from an earlier life are forgotten, not cancelled. (Cancelling one is harmless here as long as fewer than 1024
//!   futures were spawned in one life; in bare actix it cancels a stranger's timer.) Never cancel a future and call `terminate` in one
//!   turn: actix then loops for ever while other futures of the context remain; `stop` is safe.
//! - After a panic `stopping` and `stopped` are not called: the state they would see is the broken one. Clean up in `Drop`.
//! - `stopping` may return `Continue` to refuse a stop, but not its end: when the arbiter goes the actor goes, and the mailbox is not
//!   drained in a destructor.
//! - Destructors should not panic. One is survived; two of them in one unwinding abort the process, as the language has it.

mod arbiters;
mod exit;
mod family;
mod runner;
#[cfg(test)]
mod tests;
mod unwind;

use actix::dev::channel::{AddressReceiver, channel};
use actix::{Actor, Addr, ArbiterHandle, Context, Supervised};
pub use xfer_core::restart::{ChildName, ExitReason, RestartMode, RestartPolicy, Verdict};

pub use self::arbiters::{ArbiterPool, Health, PoolError, Stopped};
pub use self::exit::ChildExit;
pub use self::family::Family;

use self::exit::ExitGuard;
use self::runner::Runner;
use self::unwind::guarded;

/// The mailbox of [`ChildSpec::new`], in messages: actix's own default.
pub const DEFAULT_MAILBOX: usize = 16;

/// actix refuses (by a panic) a capacity of a quarter of the address space; nobody means more than this.
const LARGEST_MAILBOX: usize = 1 << 24;

/// Who the child is and how it is kept alive.
///
/// ```
/// use std::time::Duration;
/// use xfer_actors::supervise::{ChildSpec, RestartMode, RestartPolicy};
///
/// // Ten panics or stops a minute are put up with.
/// let window = Duration::from_secs(60);
/// let policy = RestartPolicy { mode: RestartMode::Permanent, max_restarts: 10, window, ..RestartPolicy::default() };
/// let spec = ChildSpec { mailbox: 0, ..ChildSpec::new("indexer", 1).policy(policy) };
/// assert_eq!((spec.policy.max_restarts, spec.mailbox), (10, 0)); // no bound on the mailbox
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChildSpec {
    /// The name in logs and in the exit.
    pub name: ChildName,
    /// Which start of this child this is, see [`Family::register`]; it comes back in the exit.
    pub generation: u64,
    /// Mailbox capacity in messages, zero for no bound, at most 16 777 216. Only `try_send` on an address that is kept honours it.
    pub mailbox: usize,
    /// How often and for which ends the actor is restarted in place.
    pub policy: RestartPolicy,
}

impl ChildSpec {
    /// A child with the default mailbox and the default policy.
    pub fn new(name: impl Into<ChildName>, generation: u64) -> Self {
        Self { name: name.into(), generation, mailbox: DEFAULT_MAILBOX, policy: RestartPolicy::default() }
    }

    /// The same child under another policy.
    #[must_use]
    pub fn policy(self, policy: RestartPolicy) -> Self {
        Self { policy, ..self }
    }
}

/// Starts an actor on the arbiter and keeps it alive as the module describes.
///
/// The returned address is the only one: when it and all its clones are dropped, the actor ends normally, whatever the policy. It is
/// valid for messages at once. `factory` runs on the arbiter, once; a panic in it is an escalation without restarts.
///
/// `on_exit` is called exactly once, on the arbiter's thread or, if the arbiter is dead, on the caller's, possibly before this function returns.
/// It must not block and must not take a lock that the caller holds; sending a message is what it is for. A panic in it is caught.
///
/// ```
/// use actix::{Actor, Context, Handler, Message, Supervised, System};
/// use xfer_actors::supervise::{ArbiterPool, ChildSpec, start_supervised};
///
/// struct Divider;
/// impl Actor for Divider {
///     type Context = Context<Self>;
/// }
/// impl Supervised for Divider {}
///
/// struct Divide(u32, u32);
/// impl Message for Divide {
///     type Result = u32;
/// }
/// impl Handler<Divide> for Divider {
///     type Result = u32;
///     fn handle(&mut self, Divide(a, b): Divide, _: &mut Context<Self>) -> u32 {
///         a / b
///     }
/// }
///
/// let system = System::new();
/// system.block_on(async {
///     let pool = ArbiterPool::start("example", 1)?;
///     let addr = start_supervised(&pool.handles()[0], ChildSpec::new("divider", 1), |exit| drop(exit), || Divider);
///     let (poison, good) = (addr.send(Divide(1, 0)), addr.send(Divide(6, 3)));
///     assert!(poison.await.is_err());
///     assert_eq!(good.await, Ok(2));
///     pool.stop(std::time::Duration::from_secs(5));
///     Ok::<(), xfer_actors::supervise::PoolError>(())
/// })
/// # .unwrap();
/// ```
pub fn start_supervised<A>(
    arbiter: &ArbiterHandle,
    spec: ChildSpec,
    on_exit: impl FnOnce(ChildExit) + Send + 'static,
    factory: impl FnOnce() -> A + Send + 'static,
) -> Addr<A>
where
    A: Actor<Context = Context<A>> + Supervised,
{
    let (sender, mailbox) = channel(spec.mailbox.min(LARGEST_MAILBOX));
    // The guard exists before the arbiter is asked: a dead arbiter drops the seed, and that is the report.
    let guard = ExitGuard::new(spec.name, spec.generation, on_exit);
    let seed = Seed { mailbox, factory, policy: spec.policy, guard };
    if !arbiter.spawn_fn(move || seed.grow()) {
        tracing::warn!(actor = %spec.name, generation = spec.generation, "the arbiter is dead, the actor was not started");
    }
    Addr::new(sender)
}

/// An actor on its way to its arbiter. The order of the fields is the order of their end: the address closes before the parent is told.
struct Seed<A: Actor, F> {
    mailbox: AddressReceiver<A>,
    factory: F,
    policy: RestartPolicy,
    guard: ExitGuard,
}

impl<A, F> Seed<A, F>
where
    A: Actor<Context = Context<A>> + Supervised,
    F: FnOnce() -> A,
{
    fn grow(self) {
        let Self { mailbox, factory, policy, mut guard } = self;
        match guarded(factory) {
            Ok(actor) => {
                let fut = Context::with_receiver(mailbox).into_future(actor);
                actix::spawn(Runner::new(fut, policy, guard));
            }
            Err(panic_text) => {
                let name = guard.name();
                tracing::error!(actor = %name, panic = %panic_text, "the actor could not be built");
                drop(mailbox);
                guard.set_reason(ExitReason::Escalated { restarts: 0, panic_text });
                drop(guard);
            }
        }
    }
}
