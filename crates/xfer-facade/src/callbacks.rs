//! Runs subscribers: user code, which may be slow and may panic, on threads where it holds up nobody.
//!
//! Invariants: of one transfer at most one callback runs at a time, in order; progress that comes while one runs is added up; a panic
//! ends one callback only; threads come as needed, up to a bound, and go when idle.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Runtime;

use crate::{Error, Subscriber, TransferMeta, TransferOutcome};

/// Most threads for callbacks. A subscriber that blocks for ever takes one; more than that, and callbacks of other transfers wait.
const THREADS: usize = 64;
/// How long an idle thread stays.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

thread_local! {
    static IN_CALLBACK: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is running a subscriber.
pub(crate) fn in_callback() -> bool {
    IN_CALLBACK.get()
}

/// The threads. Shared by all transfers of a client.
pub(crate) struct Callbacks {
    /// Not driven: only its threads for blocking work are used. Taken out on drop.
    runtime: Option<Runtime>,
}

impl Callbacks {
    pub(crate) fn start() -> std::io::Result<Callbacks> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(THREADS)
            .thread_name("xfer-callback")
            .thread_keep_alive(KEEP_ALIVE)
            .build()?;
        Ok(Callbacks { runtime: Some(runtime) })
    }

    fn run(&self, work: impl FnOnce() + Send + 'static) {
        if let Some(runtime) = &self.runtime {
            runtime.spawn_blocking(work);
        }
    }
}

impl Drop for Callbacks {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A subscriber that blocks for ever must not block who drops the client.
            runtime.shutdown_background();
        }
    }
}

type Then = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Waiting {
    progress: u64,
    done: Option<Box<(Result<TransferOutcome, Error>, Then)>>,
    running: bool,
}

/// The subscribers of one transfer, of which there is at least one, and what they have not been told yet.
pub(crate) struct Audience {
    callbacks: Arc<Callbacks>,
    meta: Arc<TransferMeta>,
    subscribers: Vec<Box<dyn Subscriber>>,
    waiting: Mutex<Waiting>,
}

impl Audience {
    pub(crate) fn new(
        callbacks: Arc<Callbacks>,
        meta: Arc<TransferMeta>,
        subscribers: Vec<Box<dyn Subscriber>>,
    ) -> Arc<Audience> {
        Arc::new(Audience { callbacks, meta, subscribers, waiting: Mutex::default() })
    }

    /// On the caller's thread, as the interface has it.
    pub(crate) fn queued(&self) {
        self.each(|subscriber, meta| subscriber.on_queued(meta));
    }

    pub(crate) fn progress(self: &Arc<Self>, bytes: u64) {
        self.waiting.lock().progress += bytes;
        self.wake();
    }

    /// Tells the end, and does `then` when everybody has heard it.
    pub(crate) fn done(self: &Arc<Self>, result: Result<TransferOutcome, Error>, then: impl FnOnce() + Send + 'static) {
        self.waiting.lock().done = Some(Box::new((result, Box::new(then))));
        self.wake();
    }

    fn wake(self: &Arc<Self>) {
        if std::mem::replace(&mut self.waiting.lock().running, true) {
            return;
        }
        let audience = Arc::clone(self);
        self.callbacks.run(move || audience.serve());
    }

    fn serve(&self) {
        loop {
            let (progress, done) = {
                let mut waiting = self.waiting.lock();
                let progress = std::mem::take(&mut waiting.progress);
                let done = waiting.done.take();
                if progress == 0 && done.is_none() {
                    waiting.running = false;
                    return;
                }
                (progress, done)
            };
            if progress > 0 {
                self.each(|subscriber, meta| subscriber.on_progress(meta, progress));
            }
            if let Some((result, then)) = done.map(|done| *done) {
                self.each(|subscriber, meta| subscriber.on_done(meta, &result));
                then();
            }
        }
    }

    fn each(&self, call: impl Fn(&dyn Subscriber, &TransferMeta)) {
        let outer = IN_CALLBACK.replace(true);
        for subscriber in &self.subscribers {
            let call = AssertUnwindSafe(|| call(subscriber.as_ref(), &self.meta));
            if catch_unwind(call).is_err() {
                tracing::error!(transfer = %self.meta.transfer_id(), "a subscriber panicked; the transfer goes on");
            }
        }
        IN_CALLBACK.set(outer);
    }
}
