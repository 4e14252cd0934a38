//! Runs subscribers: user code, which may be slow and may panic, on threads where it holds up nobody.
//!
//! Invariants: of one transfer at most one callback runs at a time, in order; progress that comes while one runs is added up; a panic
//! ends one callback only; threads come as needed, up to a bound, and go when idle, but for the last one: what has been accepted is told its
//! end even where no more threads are to be had.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::{Error, Subscriber, TransferMeta, TransferOutcome};

/// Most threads for callbacks. A subscriber that blocks for ever takes one; more than that, and callbacks of other transfers wait.
const THREADS: usize = 64;
/// How long an idle thread stays.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

thread_local! {
    static IN_CALLBACK: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is running a subscriber, or is there for that.
pub(crate) fn in_callback() -> bool {
    IN_CALLBACK.get()
}

/// Runs code of the caller's; false if it panicked.
pub(crate) fn survives(call: impl FnOnce()) -> bool {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(()) => true,
        Err(panic) => {
            // What it panicked with is the caller's too: its end might panic once more.
            std::mem::forget(panic);
            false
        }
    }
}

/// The threads. Shared by all transfers of a client.
pub(crate) struct Callbacks(Arc<Pool>);

type Work = Box<dyn FnOnce() + Send>;

struct Pool {
    state: Mutex<PoolState>,
    news: Condvar,
    keep_alive: Duration,
    /// Has one more thread run [`Pool::serve`].
    hire: fn(Arc<Pool>) -> io::Result<()>,
}

#[derive(Default)]
struct PoolState {
    queue: VecDeque<Work>,
    threads: usize,
    /// Those of them that wait for work, or have not seen yet that there is some.
    idle: usize,
    closed: bool,
}

impl Callbacks {
    /// # Errors
    /// When the operating system gives not even one thread.
    pub(crate) fn start() -> io::Result<Callbacks> {
        Callbacks::with(KEEP_ALIVE, |pool| {
            std::thread::Builder::new().name("xfer-callback".to_owned()).spawn(move || pool.serve()).map(drop)
        })
    }

    fn with(keep_alive: Duration, hire: fn(Arc<Pool>) -> io::Result<()>) -> io::Result<Callbacks> {
        let pool = Arc::new(Pool { state: Mutex::default(), news: Condvar::new(), keep_alive, hire });
        pool.grow(&mut pool.state.lock())?;
        Ok(Callbacks(pool))
    }

    fn run(&self, work: impl FnOnce() + Send + 'static) {
        let mut state = self.0.state.lock();
        state.queue.push_back(Box::new(work));
        if state.queue.len() > state.idle && state.threads < THREADS {
            // If there is no thread to be had, one that is there comes to it.
            let _ = self.0.grow(&mut state);
        }
        drop(state);
        self.0.news.notify_one();
    }
}

impl Drop for Callbacks {
    /// Waits for nobody: a subscriber that blocks for ever must not block who drops the client. Nothing is in the queue, as what is in there
    /// keeps these threads.
    fn drop(&mut self) {
        self.0.state.lock().closed = true;
        self.0.news.notify_all();
    }
}

impl Pool {
    fn grow(self: &Arc<Self>, state: &mut PoolState) -> io::Result<()> {
        (self.hire)(Arc::clone(self))?;
        state.threads += 1;
        Ok(())
    }

    fn serve(&self) {
        IN_CALLBACK.set(true);
        let mut state = self.state.lock();
        loop {
            if let Some(work) = state.queue.pop_front() {
                MutexGuard::unlocked(&mut state, || survives(work));
                continue;
            }
            if state.closed {
                break;
            }
            state.idle += 1;
            let idle_for_long = self.news.wait_for(&mut state, self.keep_alive).timed_out();
            state.idle -= 1;
            if idle_for_long && state.queue.is_empty() && state.threads > 1 {
                break;
            }
        }
        state.threads -= 1;
    }
}

#[derive(Default)]
struct Waiting {
    progress: u64,
    done: Option<Box<(Result<TransferOutcome, Error>, Work)>>,
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
            if !survives(|| call(subscriber.as_ref(), &self.meta)) {
                tracing::error!(transfer = %self.meta.transfer_id(), "a subscriber panicked; the transfer goes on");
            }
        }
        IN_CALLBACK.set(outer);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Barrier, mpsc};
    use std::time::Instant;

    use super::*;

    /// No wait here is longer.
    const LIMIT: Duration = Duration::from_secs(60);

    fn on_a_thread(pool: Arc<Pool>) -> io::Result<()> {
        std::thread::Builder::new().spawn(move || pool.serve()).map(drop)
    }

    #[track_caller]
    fn comes_to(pool: &Pool, threads: usize) {
        let begun = Instant::now();
        while pool.state.lock().threads != threads {
            assert!(begun.elapsed() < LIMIT, "{} threads", pool.state.lock().threads);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn threads_come_as_needed_and_go_but_for_one() {
        let callbacks = Callbacks::with(Duration::from_millis(1), on_a_thread).unwrap();
        let all = Arc::new(Barrier::new(10));
        for _ in 0..10 {
            let all = Arc::clone(&all);
            callbacks.run(move || {
                all.wait();
            });
        }
        let pool = Arc::clone(&callbacks.0);
        comes_to(&pool, 1);
        std::thread::sleep(Duration::from_millis(20));
        comes_to(&pool, 1);
        drop(callbacks);
        comes_to(&pool, 0);
    }

    #[test]
    fn where_no_more_threads_are_to_be_had_all_is_told_by_the_one_that_is_there() {
        static GIVEN: AtomicUsize = AtomicUsize::new(0);
        let callbacks = Callbacks::with(Duration::from_millis(1), |pool| match GIVEN.fetch_add(1, Ordering::Relaxed) {
            0 => on_a_thread(pool),
            _ => Err(io::ErrorKind::WouldBlock.into()),
        });
        let callbacks = callbacks.unwrap();
        let (sender, told) = mpsc::channel();
        for round in 0..3 {
            for number in 0..10 {
                let sender = sender.clone();
                callbacks.run(move || sender.send(number).unwrap());
            }
            let heard: Vec<_> = (0..10).map(|_| told.recv_timeout(LIMIT).unwrap()).collect();
            assert_eq!(heard, (0..10).collect::<Vec<_>>(), "round {round}");
            // Long enough to be idle for long.
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(Callbacks::with(KEEP_ALIVE, |_| Err(io::ErrorKind::WouldBlock.into())).is_err());
    }

    #[test]
    fn its_threads_are_in_no_runtime_whose_tasks_nobody_would_run() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let callbacks = runtime.block_on(async { Callbacks::start().unwrap() });
        let (sender, told) = mpsc::channel();
        callbacks.run(move || sender.send(tokio::runtime::Handle::try_current().is_err()).unwrap());
        assert!(told.recv_timeout(LIMIT).unwrap());
    }

    #[test]
    fn what_panics_takes_no_thread_with_it() {
        struct Worse;
        impl Drop for Worse {
            fn drop(&mut self) {
                panic!("and so does what it panicked with");
            }
        }
        let callbacks = Callbacks::with(KEEP_ALIVE, on_a_thread).unwrap();
        callbacks.run(|| std::panic::panic_any(Worse));
        let (sender, told) = mpsc::channel();
        callbacks.run(move || sender.send(in_callback()).unwrap());
        assert!(told.recv_timeout(LIMIT).unwrap());
        assert!(callbacks.0.state.lock().threads >= 1);
    }
}
