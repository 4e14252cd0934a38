//! The transfers of one manager, for as long as they go on.
//!
//! Invariants: one that is in here is not dropped before it has ended; once it is closed nothing enters.

use std::io;
use std::pin::pin;
use std::sync::mpsc;
use std::time::Instant;

use foldhash::HashMap;
use futures_util::future::{Either, select};
use parking_lot::{Condvar, Mutex};
use tokio::sync::{Notify, oneshot};
use xfer_core::id::TransferId;

use crate::TransferFuture;

/// The transfers that go on.
#[derive(Default)]
pub(crate) struct Registry {
    state: Mutex<RegistryState>,
    emptied: Condvar,
    emptied_async: Notify,
}

#[derive(Default)]
struct RegistryState {
    active: HashMap<TransferId, TransferFuture>,
    closed: bool,
    cancelled: bool,
}

/// Transfers at once that make a rush.
const RUSH: usize = 10_000;

impl Registry {
    /// Takes a transfer in; false once it is closed.
    pub(crate) fn enter(&self, future: &TransferFuture) -> bool {
        let mut state = self.state.lock();
        if !state.closed {
            state.active.insert(future.meta().transfer_id(), future.clone());
        }
        !state.closed
    }

    /// Takes no more from now on.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Whether all were cancelled: one that was about to begin then is cancelled by who began it.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.state.lock().cancelled
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.state.lock().active.len()
    }

    /// Whether one of them is like this.
    pub(crate) fn any(&self, is: impl Fn(&TransferFuture) -> bool) -> bool {
        self.state.lock().active.values().any(is)
    }

    pub(crate) fn leave(&self, id: TransferId) {
        let left = {
            let mut state = self.state.lock();
            let left = state.active.remove(&id);
            if state.active.is_empty() {
                if state.active.capacity() > RUSH {
                    // After a rush, memory is not kept for the next one.
                    state.active = HashMap::default();
                }
                self.emptied.notify_all();
                self.emptied_async.notify_waiters();
            }
            left
        };
        drop(left);
    }

    pub(crate) fn cancel_all(&self) {
        let all: Vec<TransferFuture> = {
            let mut state = self.state.lock();
            state.cancelled = true;
            state.active.values().cloned().collect()
        };
        for future in all {
            future.cancel();
        }
    }

    /// True when it became empty in time.
    pub(crate) fn wait(&self, until: Option<Instant>) -> bool {
        let mut state = self.state.lock();
        while !state.active.is_empty() {
            match until {
                None => self.emptied.wait(&mut state),
                Some(until) => {
                    if self.emptied.wait_until(&mut state, until).timed_out() {
                        return state.active.is_empty();
                    }
                }
            }
        }
        true
    }

    /// The same on any executor, whatever clock that has, or none.
    ///
    /// # Errors
    /// When the operating system gives no thread for the deadline.
    pub(crate) async fn wait_async(&self, until: Option<Instant>) -> io::Result<bool> {
        let mut alarm = None;
        loop {
            let emptied = self.emptied_async.notified();
            if self.state.lock().active.is_empty() {
                return Ok(true);
            }
            let Some(until) = until else {
                emptied.await;
                continue;
            };
            let alarm = match &mut alarm {
                Some(alarm) => alarm,
                none => none.insert(Alarm::set(until)?),
            };
            if let Either::Right(_) = select(pin!(emptied), &mut alarm.rings).await {
                return Ok(self.state.lock().active.is_empty());
            }
        }
    }
}

/// Rings at a time, from a thread of its own: the only clock that is there whatever runs the caller's futures. The thread goes when this is
/// dropped.
struct Alarm {
    rings: oneshot::Receiver<()>,
    _set: mpsc::Sender<()>,
}

impl Alarm {
    fn set(at: Instant) -> io::Result<Alarm> {
        let (ring, rings) = oneshot::channel();
        let (set, dropped) = mpsc::channel::<()>();
        std::thread::Builder::new().name("xfer-deadline".to_owned()).spawn(move || {
            if dropped.recv_timeout(at.saturating_duration_since(Instant::now()))
                == Err(mpsc::RecvTimeoutError::Timeout)
            {
                // Nobody may listen any more.
                let _ = ring.send(());
            }
        })?;
        Ok(Alarm { rings, _set: set })
    }
}
