//! The future of a transfer: awaited, asked with a timeout, cancelled, cloned.
//!
//! Invariants: it resolves exactly once, whatever dies; every clone sees the same result, as often as it asks; a wait that could never
//! end is refused.

use std::fmt;
use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_core::Stream;
use futures_util::StreamExt;
use parking_lot::{Condvar, Mutex};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::broadcast;
use xfer_actors::{Observer, Transfer, XferSystem, on_lane};

use crate::blocking::blocking;
use crate::callbacks::{Audience, in_callback, survives};
use crate::registry::Registry;
use crate::{Error, ErrorKind, TransferEvent, TransferMeta, TransferOutcome};

type Outcome = Result<TransferOutcome, Error>;

/// Events that a slow listener may fall behind before it misses some of the older ones.
const EVENT_BUFFER: usize = 64;

/// A transfer under way. Clone it freely: all clones are the same transfer. Dropping it does not cancel the transfer.
///
/// ```no_run
/// # use std::time::Duration;
/// # use xfer_facade::{ErrorKind, TransferManager};
/// # fn example(manager: &TransferManager) -> Result<(), xfer_facade::Error> {
/// let future = manager.download("bucket", "model.bin", "model.bin").start()?;
/// match future.result(Duration::from_secs(60)) {
///     Err(error) if error.kind() == ErrorKind::WaitTimeout => println!("still going: {:?}", future.meta()),
///     result => println!("{} bytes", result?.bytes),
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "a transfer goes on by itself, but only its future tells whether it succeeded"]
pub struct TransferFuture {
    cell: Arc<Cell>,
    /// Under which number its waker lies in the cell, once it was polled in vain: each clone has one at the most.
    waits_as: Option<NonZeroU32>,
}

impl Clone for TransferFuture {
    fn clone(&self) -> TransferFuture {
        TransferFuture { cell: Arc::clone(&self.cell), waits_as: None }
    }
}

impl Drop for TransferFuture {
    fn drop(&mut self) {
        if let Some(number) = self.waits_as {
            let mut state = self.cell.state.lock();
            let waker = state.wakers.iter().position(|(waits_as, _)| *waits_as == number);
            let waker = waker.map(|place| state.wakers.swap_remove(place));
            drop(state);
            // Whatever its end runs is not ours to hold up.
            drop(waker);
        }
    }
}

/// Where the outcome comes to lie.
pub(crate) struct Cell {
    meta: Arc<TransferMeta>,
    state: Mutex<State>,
    resolved: Condvar,
    /// `None` when nobody has subscribed.
    audience: Option<Arc<Audience>>,
    events: OnceLock<broadcast::Sender<TransferEvent>>,
    /// That of the manager, which keeps this transfer until it is over.
    registry: Weak<Registry>,
}

#[derive(Default)]
struct State {
    outcome: Option<Box<Outcome>>,
    wakers: Vec<(NonZeroU32, Waker)>,
    /// The last number that was given to a clone that waits.
    last_waiting: u32,
    /// What it can be cancelled with, while it goes on: a future that is kept for its outcome keeps no threads.
    origin: Option<(XferSystem, Weak<Transfer>)>,
}

impl State {
    fn outcome(&self) -> Option<Outcome> {
        self.outcome.as_deref().cloned()
    }
}

impl TransferFuture {
    pub(crate) fn new(
        meta: Arc<TransferMeta>,
        audience: Option<Arc<Audience>>,
        registry: Weak<Registry>,
    ) -> TransferFuture {
        let cell = Cell {
            meta,
            state: Mutex::default(),
            resolved: Condvar::new(),
            audience,
            events: OnceLock::new(),
            registry,
        };
        TransferFuture { cell: Arc::new(cell), waits_as: None }
    }

    /// What the actors tell about this transfer.
    pub(crate) fn observer(&self) -> Box<dyn Observer> {
        Box::new(Watch(Arc::clone(&self.cell)))
    }

    pub(crate) fn set_origin(&self, system: XferSystem, transfer: &Arc<Transfer>) {
        let mut state = self.cell.state.lock();
        // It may have ended already.
        if state.outcome.is_none() {
            state.origin = Some((system, Arc::downgrade(transfer)));
        }
    }

    /// Whether it has ended, well or not: [`result`](TransferFuture::result) then answers at once.
    #[must_use]
    pub fn done(&self) -> bool {
        self.cell.state.lock().outcome.is_some()
    }

    /// Waits for the result; as long as it takes with `None`, at most so long with a `Duration`. Can be asked again and again.
    ///
    /// # Errors
    /// The transfer's own error; [`WaitTimeout`](ErrorKind::WaitTimeout) when the time is over first, and the transfer goes on;
    /// [`WouldDeadlock`](ErrorKind::WouldDeadlock) where waiting would block what is waited for: in a subscriber, on one of xfer's
    /// threads, and, for a source or target that is asynchronous, on the only thread of the runtime that may have to run it. There,
    /// `.await` the future.
    pub fn result(&self, timeout: impl Into<Option<Duration>>) -> Result<TransferOutcome, Error> {
        let timeout = timeout.into();
        if let Some(outcome) = self.cell.state.lock().outcome() {
            return outcome;
        }
        self.check_may_block()?;
        blocking(|| self.wait(timeout))
    }

    fn check_may_block(&self) -> Result<(), Error> {
        let refuse = |text: &str| Err(self.locate(Error::new(ErrorKind::WouldDeadlock, text)));
        if in_callback() {
            return refuse("a subscriber asked for a result that comes after it: use what it is given");
        }
        if on_lane() {
            return refuse("this thread moves the bytes: await the future elsewhere");
        }
        let current_thread =
            Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::CurrentThread);
        if current_thread && self.cell.meta.call().needs_callers_runtime() {
            return refuse(
                "the source or target is asynchronous, and this thread may be the one that has to run it: use .await",
            );
        }
        Ok(())
    }

    fn locate(&self, error: Error) -> Error {
        let call = self.cell.meta.call();
        error.in_object(Arc::clone(call.bucket()), Arc::clone(call.key()))
    }

    fn wait(&self, timeout: Option<Duration>) -> Result<TransferOutcome, Error> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut state = self.cell.state.lock();
        loop {
            if let Some(outcome) = state.outcome() {
                return outcome;
            }
            match deadline {
                None => self.cell.resolved.wait(&mut state),
                Some(deadline) => {
                    if self.cell.resolved.wait_until(&mut state, deadline).timed_out() && state.outcome.is_none() {
                        let text = format!("the transfer goes on; waited {:?}", timeout.unwrap_or_default());
                        return Err(self.locate(Error::new(ErrorKind::WaitTimeout, text)));
                    }
                }
            }
        }
    }

    /// Cancels the transfer. True if that makes the difference: the future then resolves to
    /// [`Cancelled`](ErrorKind::Cancelled), after its temporary file or multipart upload has been removed. False if it has ended, is
    /// being made final at this moment, or was cancelled before.
    pub fn cancel(&self) -> bool {
        let Some((system, transfer)) = self.cell.state.lock().origin.clone() else { return false };
        transfer.upgrade().is_some_and(|transfer| system.cancel(&transfer))
    }

    /// The transfer's own data.
    #[must_use]
    pub fn meta(&self) -> &TransferMeta {
        &self.cell.meta
    }

    /// What happens from now on, for any number of listeners. Ends behind [`TransferEvent::Done`]. A listener that falls behind misses
    /// older progress, never the end.
    ///
    /// ```no_run
    /// use futures_util::StreamExt;
    /// use xfer_facade::{TransferEvent, TransferFuture};
    ///
    /// # async fn example(future: TransferFuture) {
    /// let mut events = future.events();
    /// while let Some(event) = events.next().await {
    ///     match event {
    ///         TransferEvent::Progress { total, .. } => println!("{total} bytes"),
    ///         TransferEvent::Done(outcome) => println!("{outcome:?}"),
    ///         _ => {}
    ///     }
    /// }
    /// # }
    /// ```
    pub fn events(&self) -> TransferEvents {
        let sender = self.cell.events.get_or_init(|| broadcast::channel(EVENT_BUFFER).0);
        let receiver = sender.subscribe();
        let stream =
            futures_util::stream::unfold((receiver, self.clone(), false), |(mut receiver, future, over)| async move {
                if over {
                    return None;
                }
                let event = loop {
                    if receiver.is_empty()
                        && let Some(outcome) = future.cell.state.lock().outcome()
                    {
                        break TransferEvent::Done(outcome);
                    }
                    match receiver.recv().await {
                        Ok(event) => break event,
                        Err(broadcast::error::RecvError::Lagged(_)) => {}
                        Err(broadcast::error::RecvError::Closed) => return None,
                    }
                };
                let over = matches!(event, TransferEvent::Done(_));
                Some((event, (receiver, future, over)))
            });
        TransferEvents(Box::pin(stream.fuse()))
    }
}

/// The events of one transfer, for one listener: what [`TransferFuture::events`] gives.
///
/// ```no_run
/// use futures_util::StreamExt;
/// use xfer_facade::{TransferEvent, TransferEvents, TransferFuture};
///
/// /// Waits until half of it is there; false if it ended before.
/// async fn half_way(future: &TransferFuture) -> bool {
///     let mut events: TransferEvents = future.events();
///     while let Some(TransferEvent::Progress { total, .. }) = events.next().await {
///         if future.meta().size().is_some_and(|size| total >= size / 2) {
///             return true;
///         }
///     }
///     false
/// }
/// ```
#[must_use = "a stream does nothing until it is polled"]
pub struct TransferEvents(Pin<Box<dyn Stream<Item = TransferEvent> + Send>>);

impl Stream for TransferEvents {
    type Item = TransferEvent;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<TransferEvent>> {
        self.0.as_mut().poll_next(context)
    }
}

impl fmt::Debug for TransferEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TransferEvents")
    }
}

impl Future for TransferFuture {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let this = &mut *self;
        let mut state = this.cell.state.lock();
        if let Some(outcome) = state.outcome() {
            return Poll::Ready(outcome);
        }
        let there = this.waits_as.and_then(|number| state.wakers.iter_mut().find(|(waits_as, _)| *waits_as == number));
        let replaced = match there {
            Some((_, waker)) if waker.will_wake(context.waker()) => None,
            Some((_, waker)) => Some(std::mem::replace(waker, context.waker().clone())),
            None => {
                state.last_waiting = state.last_waiting.wrapping_add(1);
                let number = NonZeroU32::new(state.last_waiting).unwrap_or(NonZeroU32::MAX);
                state.wakers.push((number, context.waker().clone()));
                this.waits_as = Some(number);
                None
            }
        };
        drop(state);
        // It may be the last that keeps a task, and in that may be a clone of this future.
        drop(replaced);
        Poll::Pending
    }
}

impl fmt::Debug for TransferFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransferFuture").field("meta", &self.cell.meta).field("done", &self.done()).finish()
    }
}

impl Cell {
    fn send(&self, event: impl FnOnce() -> TransferEvent) {
        if let Some(sender) = self.events.get() {
            // No listener at the moment is no error.
            let _ = sender.send(event());
        }
    }

    fn resolve(&self, outcome: Outcome) {
        let registry = self.registry.upgrade();
        let (wakers, origin) = {
            let mut state = self.state.lock();
            if state.outcome.is_some() {
                return;
            }
            state.outcome = Some(Box::new(outcome.clone()));
            let origin = state.origin.take();
            // Before the lock is given back: who sees the outcome finds the manager without this transfer, and the other way round.
            if let Some(registry) = &registry {
                registry.leave(self.meta.transfer_id());
            }
            (std::mem::take(&mut state.wakers), origin)
        };
        drop(origin);
        self.resolved.notify_all();
        for (_, waker) in wakers {
            // One that panics keeps it from nobody else.
            survives(|| waker.wake());
        }
        self.send(|| TransferEvent::Done(outcome));
    }
}

/// The actors' view of a future.
struct Watch(Arc<Cell>);

impl Observer for Watch {
    fn queued(&self) {
        if let Some(audience) = &self.0.audience {
            audience.queued();
        }
    }

    fn progressed(&self, bytes: u64) {
        self.0.send(|| TransferEvent::Progress { bytes, total: self.0.meta.bytes_transferred() });
        if let Some(audience) = &self.0.audience {
            audience.progress(bytes);
        }
    }

    fn finished(&self, result: Outcome) {
        self.0.meta.set_ended(&result);
        let Some(audience) = &self.0.audience else { return self.0.resolve(result) };
        let cell = Arc::clone(&self.0);
        let told = result.clone();
        audience.done(told, move || cell.resolve(result));
    }

    fn wants_progress(&self) -> bool {
        self.0.audience.is_some() || self.0.events.get().is_some()
    }
}
