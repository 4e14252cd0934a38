//! Lanes: the data plane. One lane is one thread with a current-thread tokio runtime, its own connections and its own buffers.
//!
//! Does: run a part's task from its first byte to its last on one core. Never: decides what runs (the scheduler does) or lets bytes
//! change lane. Invariants: a task that panics ends alone; a lane whose thread has died is replaced at the next use; dropping the
//! last [`Lanes`] ends the threads without waiting for user code that blocks.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::RuntimeMetrics;
use tokio::sync::mpsc;

use crate::ceiling::Ceiling;
use crate::outbox::Outbox;
use crate::stores::Stores;
use crate::target::direct::BlockPool;
use crate::transport::{Pool, SharedTransport};

thread_local! {
    static ON_LANE: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Whether this thread is one of xfer's lanes: a place where nobody may wait for a transfer. An asynchronous reader or writer of the caller's is
/// polled there.
///
/// ```
/// // This thread is the program's own: it may block.
/// assert!(!xfer_actors::on_lane());
/// ```
#[must_use]
pub fn on_lane() -> bool {
    ON_LANE.get()
}

/// Most threads for blocking calls of one lane: slow disks and readers that wait for input occupy these, not the sockets' thread.
const BLOCKING_THREADS: usize = 256;

/// Begins a task, on the lane's own thread.
type Task = Box<dyn FnOnce(Rc<LaneContext>) + Send>;

/// What the tasks of one lane share: connections, and scratch memory that stays warm.
pub(crate) struct LaneContext {
    pub(crate) pool: Pool,
    pub(crate) stores: Arc<Stores>,
    /// Ends of jobs that the scheduler has not been told yet.
    pub(crate) outbox: Outbox,
    /// Memory for direct writes, of all lanes together.
    pub(crate) blocks: Arc<BlockPool>,
    /// How fast all lanes together may go.
    pub(crate) ceiling: Arc<Ceiling>,
    buffers: RefCell<Vec<Vec<u8>>>,
    buffer_size: usize,
    moved: Arc<Moved>,
}

/// Bytes that one lane has moved. Counted with every piece of a body, on cache lines (two, since processors fetch them in pairs) that
/// no other lane writes to.
#[derive(Default)]
#[repr(align(128))]
struct Moved(AtomicU64);

/// How many idle buffers a lane keeps: as many as it commonly has requests under way.
const IDLE_BUFFERS: usize = 16;

impl LaneContext {
    /// A zeroed or used buffer of the lane's size, for one task.
    pub(crate) fn buffer(&self) -> Vec<u8> {
        self.buffers.borrow_mut().pop().unwrap_or_else(|| vec![0; self.buffer_size])
    }

    /// Counts bytes that were moved on this lane, for the controller of concurrency.
    pub(crate) fn moved(&self, bytes: u64) {
        self.moved.0.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Gives a buffer back; one that was lost to a cancelled task is simply made anew.
    pub(crate) fn recycle(&self, buffer: Vec<u8>) {
        let mut buffers = self.buffers.borrow_mut();
        if buffer.len() == self.buffer_size && buffers.len() < IDLE_BUFFERS {
            buffers.push(buffer);
        }
    }
}

/// A lane as others see it; apart from its neighbours for the same reason as [`Moved`].
#[repr(align(128))]
struct Lane {
    thread: Mutex<Thread>,
    /// Connections that it may have open; `usize::MAX` for no bound.
    seats: usize,
    /// Tasks that sit on them.
    seated: AtomicUsize,
    load: AtomicUsize,
    moved: Arc<Moved>,
}

/// A lane's thread as others see it.
struct Thread {
    sender: mpsc::UnboundedSender<Task>,
    metrics: RuntimeMetrics,
}

/// A set of lanes, shared by the worker actors. Cheap to clone.
///
/// ```
/// use std::sync::Arc;
/// use xfer_actors::lane::Lanes;
/// use xfer_actors::transport::{SharedTransport, TransportConfig};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let transport = SharedTransport::new(TransportConfig::default())?;
/// let lanes = Lanes::start(2, transport)?;
/// assert_eq!(lanes.count(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Lanes {
    inner: Arc<Inner>,
}

struct Inner {
    lanes: Vec<Lane>,
    common: Common,
}

/// What all lanes share.
#[derive(Clone)]
struct Common {
    transport: Arc<SharedTransport>,
    stores: Arc<Stores>,
    blocks: Arc<BlockPool>,
    ceiling: Arc<Ceiling>,
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lanes").field("count", &self.inner.lanes.len()).finish_non_exhaustive()
    }
}

impl Lanes {
    /// Starts `count` lanes (at least one) that open as many connections as there are requests.
    ///
    /// # Errors
    /// When the operating system gives no more threads.
    pub fn start(count: usize, transport: Arc<SharedTransport>) -> std::io::Result<Lanes> {
        Lanes::start_limited(count, usize::MAX, transport)
    }

    /// Starts `count` lanes (at least one) that share `connections`, idle ones included. Whoever hands out the requests sees to it that
    /// there are never more of them at once.
    ///
    /// # Errors
    /// When the operating system gives no more threads.
    pub fn start_limited(count: usize, connections: usize, transport: Arc<SharedTransport>) -> std::io::Result<Lanes> {
        let (stores, blocks, ceiling) = <(Arc<_>, Arc<_>, Arc<_>)>::default();
        let common = Common { transport, stores, blocks, ceiling };
        let count = count.max(1);
        let lanes = (0..count)
            .map(|number| {
                let moved = Arc::new(Moved::default());
                let seats = match connections {
                    usize::MAX => usize::MAX,
                    connections => connections / count + usize::from(number < connections % count),
                };
                let thread = start_thread(number, seats, &common, &moved)?;
                Ok(Lane {
                    thread: Mutex::new(thread),
                    seats,
                    seated: AtomicUsize::new(0),
                    load: AtomicUsize::new(0),
                    moved,
                })
            })
            .collect::<std::io::Result<Vec<_>>>()?;
        Ok(Lanes { inner: Arc::new(Inner { lanes, common }) })
    }

    /// Has files of so many bytes, and larger ones, written past the page cache, where that can be and helps; by default those of 1 GiB.
    pub fn write_directly_from(&self, bytes: u64) {
        self.inner.common.blocks.set_from(bytes);
    }

    /// Bytes that downloads have written past the page cache so far.
    #[must_use]
    pub fn written_directly(&self) -> u64 {
        self.inner.common.blocks.written()
    }

    /// Most bytes of objects per second that all lanes together send and receive from now on, at least 1; by default `None`, for as many as
    /// there can be. Heads and short answers are not counted.
    pub fn set_max_bandwidth(&self, bytes_per_second: Option<u64>) {
        self.inner.common.ceiling.set(bytes_per_second);
    }

    /// How many lanes there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.inner.lanes.len()
    }

    /// Bytes moved on all lanes since the start.
    pub(crate) fn bytes_moved(&self) -> u64 {
        self.inner.lanes.iter().map(|lane| lane.moved.0.load(Ordering::Relaxed)).sum()
    }

    /// How long all lanes together did not wait, since the start.
    pub(crate) fn time_busy(&self) -> Duration {
        self.inner.lanes.iter().map(|lane| lane.thread.lock().metrics.worker_total_busy_duration(0)).sum()
    }

    /// What all lanes share of the transport: configuration and counters.
    #[must_use]
    pub fn transport(&self) -> &Arc<SharedTransport> {
        &self.inner.common.transport
    }

    /// Runs a task on the lane with the least to do; one that `connects`, on the lane with the most free seats for connections. What
    /// the task owns is dropped if the lane dies, so whoever waits for it must hold something that tells on drop: a oneshot, a
    /// [`Duty`](crate::ledger::Duty). The task gives its [`Place`] up before it tells that it is done.
    pub(crate) fn spawn<F, Fut>(&self, connects: bool, make: F)
    where
        F: FnOnce(Rc<LaneContext>, Place) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        let lanes = self.inner.lanes.iter().enumerate();
        let load = |lane: &Lane| lane.load.load(Ordering::Relaxed);
        let free = |lane: &Lane| lane.seats.saturating_sub(lane.seated.load(Ordering::Relaxed));
        let found = match connects {
            true => lanes.min_by_key(|(_, lane)| (std::cmp::Reverse(free(lane)), load(lane))),
            false => lanes.min_by_key(|(_, lane)| load(lane)),
        };
        let Some((number, lane)) = found else { return };
        let place = Place { lanes: Arc::downgrade(&self.inner), number, connects };
        lane.load.fetch_add(1, Ordering::Relaxed);
        lane.seated.fetch_add(usize::from(connects), Ordering::Relaxed);
        let task: Task = Box::new(move |context| drop(tokio::task::spawn_local(make(context, place))));
        let mut thread = lane.thread.lock();
        let Err(mpsc::error::SendError(task)) = thread.sender.send(task) else { return };
        tracing::error!(lane = number, "a lane has died and is started anew");
        match start_thread(number, lane.seats, &self.inner.common, &lane.moved) {
            Ok(fresh) => {
                *thread = fresh;
                // A thread that was started a moment ago takes the task; if not even that, dropping it tells its owner.
                let _ = thread.sender.send(task);
            }
            Err(error) => tracing::error!(lane = number, %error, "a lane cannot be started"),
        }
    }
}

/// A task's place on its lane, for as long as it exists, however it ends.
pub(crate) struct Place {
    lanes: Weak<Inner>,
    number: usize,
    connects: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(inner) = self.lanes.upgrade()
            && let Some(lane) = inner.lanes.get(self.number)
        {
            lane.load.fetch_sub(1, Ordering::Relaxed);
            lane.seated.fetch_sub(usize::from(self.connects), Ordering::Relaxed);
        }
    }
}

fn start_thread(number: usize, seats: usize, common: &Common, moved: &Arc<Moved>) -> std::io::Result<Thread> {
    let (sender, receiver) = mpsc::unbounded_channel::<Task>();
    let (common, moved) = (common.clone(), Arc::clone(moved));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_keep_alive(Duration::from_secs(5))
        .build()?;
    let metrics = runtime.metrics();
    std::thread::Builder::new().name(format!("xfer-lane-{number}")).spawn(move || {
        ON_LANE.set(true);
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, serve(receiver, seats, common, moved));
        drop(local);
        // Not a plain drop: a reader that blocks for ever in user code must not keep the thread.
        runtime.shutdown_background();
    })?;
    Ok(Thread { sender, metrics })
}

async fn serve(mut tasks: mpsc::UnboundedReceiver<Task>, seats: usize, common: Common, moved: Arc<Moved>) {
    let Common { transport, stores, blocks, ceiling } = common;
    let buffer_size = transport.config().buffer_size;
    // Even if nothing is to be kept, a lane that is idle does not spin.
    let sweep_every = (transport.config().pool_idle / 2).max(Duration::from_millis(100));
    let pool = Pool::new(transport).limited(seats);
    let (outbox, buffers) = (Outbox::default(), RefCell::default());
    let context = Rc::new(LaneContext { pool, stores, outbox, blocks, ceiling, buffers, buffer_size, moved });
    let postman = Rc::clone(&context);
    tokio::task::spawn_local(async move { postman.outbox.serve().await });
    let sweeper = Rc::downgrade(&context);
    tokio::task::spawn_local(async move {
        loop {
            tokio::time::sleep(sweep_every).await;
            let Some(context) = sweeper.upgrade() else { return };
            context.pool.sweep();
            context.blocks.trim();
        }
    });
    while let Some(task) = tasks.recv().await {
        task(Rc::clone(&context));
    }
}

#[cfg(test)]
mod tests;
