//! The task that runs one supervised actor: polls its context, catches its panics, restarts it in place, and ends it in order.
//!
//! It never builds a second actor or a second mailbox: all lives of the child share the value, the address and the queue. It never
//! restarts more than once without giving the thread back. It never lets the context's own destructor run the actor: that would call `started`
//! on an actor that never was, and hooks and handlers where a panic cannot be borne.
//!
//! The lives of a child: running -> (panic, or stop where the policy is permanent) -> reset at once, so that whoever waits for a lost reply
//! learns of it -> wait -> running. A reset that panics (in `restarting`, or in the destructor of the old state) counts as a failure of its
//! own and is tried again after its own wait.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{self, Poll, Waker, ready};
use std::time::{Duration, Instant};

use actix::dev::ContextFut;
use actix::fut::ActorFuture;
use actix::{Actor, ActorContext, AsyncContext, Context, Supervised};
use tokio::time::Sleep;
use xfer_core::restart::{Decision, ExitReason, RestartBudget, RestartMode, RestartPolicy};

use super::exit::ExitGuard;
use super::unwind::guarded;

/// How many future handles of an earlier life are made harmless by a reset, see [`reset`]. A bound on its work: some 10 us.
const STALE_HANDLES: usize = 1024;

/// What the log and the exit say about an actor that stopped although its policy wants it to stay.
const STOPPED: &str = "stopped by itself";

pub(super) struct Runner<A>
where
    A: Actor<Context = Context<A>> + Supervised,
{
    /// The actor with its context and mailbox; `None` once it is closed.
    fut: Option<ContextFut<A, Context<A>>>,
    /// Whether this life has been polled, that is: whether `started` was called.
    begun: bool,
    /// Set while a restart waits for its time.
    wait: Option<Pin<Box<Sleep>>>,
    /// What the last reset panicked with; the actor must not be polled before one has succeeded.
    broken: Option<String>,
    budget: RestartBudget,
    origin: Instant,
    restarts: u64,
    /// Last, so that the parent is told when all else is gone.
    guard: ExitGuard,
}

impl<A> Runner<A>
where
    A: Actor<Context = Context<A>> + Supervised,
{
    pub(super) fn new(fut: ContextFut<A, Context<A>>, policy: RestartPolicy, guard: ExitGuard) -> Self {
        Self {
            fut: Some(fut),
            begun: false,
            wait: None,
            broken: None,
            budget: RestartBudget::new(policy),
            origin: Instant::now(),
            restarts: 0,
            guard,
        }
    }

    /// One turn of the actor: `None` while it lives, else what it failed with or that it is done.
    fn turn(&mut self, cx: &mut task::Context<'_>) -> Option<Result<ExitReason, String>> {
        if let Some(text) = self.broken.take() {
            return Some(Err(text));
        }
        let Some(fut) = &mut self.fut else { return Some(Ok(ExitReason::Normal)) };
        self.begun = true;
        match guarded(|| Pin::new(&mut *fut).poll(cx)) {
            Ok(Poll::Pending) => None,
            Ok(Poll::Ready(())) => match self.budget.policy().mode {
                // Without an address left the end was asked for, permanent or not.
                RestartMode::Permanent if fut.ctx().connected() => Some(Err(STOPPED.to_owned())),
                RestartMode::Permanent | RestartMode::Transient => Some(Ok(ExitReason::Normal)),
            },
            Err(text) => Some(Err(text)),
        }
    }

    /// Counts a failure and resets the actor. The wait before its next life, or why there is none.
    fn fail(&mut self, text: String) -> Result<Duration, ExitReason> {
        let (name, generation) = (self.guard.name(), self.guard.generation());
        let Some(fut) = &mut self.fut else { return Err(ExitReason::Normal) };
        if !fut.ctx().connected() {
            // Nobody can reach it any more, so there is nobody to restart it for.
            tracing::warn!(actor = %name, generation, panic = %text, "the actor failed after its last address was dropped");
            return Err(ExitReason::Normal);
        }
        match self.budget.on_failure(self.origin.elapsed()) {
            Decision::Escalate { restarts } => {
                tracing::error!(actor = %name, generation, restarts, panic = %text, "the actor fails too often and is given up");
                Err(ExitReason::Escalated { restarts, panic_text: text })
            }
            Decision::Restart { after } => {
                self.restarts += 1;
                tracing::warn!(actor = %name, generation, restarts = self.restarts, ?after, panic = %text, "the actor failed and is restarted");
                self.begun = false;
                match guarded(|| reset(fut)) {
                    Ok(true) => {}
                    Ok(false) => return Err(ExitReason::Normal),
                    Err(text) => self.broken = Some(text),
                }
                Ok(after)
            }
        }
    }

    /// Drops the actor with its mailbox. One that is in the middle of a life is asked to stop first.
    fn close(&mut self, ask: bool) {
        let Some(mut fut) = self.fut.take() else { return };
        let report = |result: Result<(), String>| {
            if let Err(panic) = result {
                tracing::warn!(actor = %self.guard.name(), %panic, "the actor panicked while it was closed");
            }
        };
        if ask && self.begun && !std::thread::panicking() {
            report(guarded(|| {
                // If `stopping` answers `Continue`, this keeps the context from going on with its mailbox here and now.
                fut.ctx().wait(Never);
                fut.ctx().stop();
                let _ = Pin::new(&mut fut).poll(&mut task::Context::from_waker(Waker::noop()));
            }));
        }
        report(guarded(move || {
            // A terminated context is not polled by its destructor.
            fut.ctx().terminate();
            drop(fut);
        }));
    }
}

impl<A> Future for Runner<A>
where
    A: Actor<Context = Context<A>> + Supervised,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        loop {
            if let Some(wait) = &mut this.wait {
                ready!(wait.as_mut().poll(cx));
                this.wait = None;
            }
            let reason = match this.turn(cx) {
                None => return Poll::Pending,
                Some(Ok(reason)) => reason,
                Some(Err(text)) => match this.fail(text) {
                    Ok(Duration::ZERO) => {
                        // Others on this thread have their turn before the next life, wait or no wait.
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    Ok(after) => {
                        this.wait = Some(Box::pin(tokio::time::sleep(after)));
                        continue;
                    }
                    Err(reason) => reason,
                },
            };
            this.guard.set_reason(reason);
            this.close(false);
            return Poll::Ready(());
        }
    }
}

impl<A> Drop for Runner<A>
where
    A: Actor<Context = Context<A>> + Supervised,
{
    fn drop(&mut self) {
        self.close(true);
    }
}

impl<A> fmt::Debug for Runner<A>
where
    A: Actor<Context = Context<A>> + Supervised,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner").field("guard", &self.guard).field("restarts", &self.restarts).finish_non_exhaustive()
    }
}

/// Ends the actor's life and prepares the next. `false`: no address is left.
///
/// `ContextFut::restart` numbers future handles from the start again, but keeps requests to cancel that were made in the same turn and not
/// carried out yet; the next life would lose whatever got the number. So the numbers of the ended life are used up first.
fn reset<A>(fut: &mut ContextFut<A, Context<A>>) -> bool
where
    A: Actor<Context = Context<A>> + Supervised,
{
    let newest = fut.ctx().spawn(Nothing);
    if !fut.restart() {
        return false;
    }
    for _ in 0..STALE_HANDLES {
        if fut.ctx().spawn(Nothing) == newest {
            break;
        }
    }
    true
}

/// A future that is done at once.
struct Nothing;

impl<A: Actor> ActorFuture<A> for Nothing {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut A, _: &mut A::Context, _: &mut task::Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

/// A future that is never done.
struct Never;

impl<A: Actor> ActorFuture<A> for Never {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut A, _: &mut A::Context, _: &mut task::Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}
