//! Owns arbiters: starts them, tells whether they live, replaces dead ones, stops and joins them by a deadline.
//!
//! It never stops a `System`, which may be the host's, and never waits for the thread it is called on. A pool that is dropped stops its arbiters
//! without waiting; none outlives its pool by more than what it is doing at that moment.

use std::fmt;
use std::io;
use std::sync::mpsc;
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use actix::{Arbiter, ArbiterHandle, System};
use tokio::sync::oneshot;

/// How long a new arbiter may take to run its first task. It runs it at once; the bound is for a machine that is out of everything.
const FIRST_TASK: Duration = Duration::from_secs(10);

/// Why an arbiter could not be started.
///
/// ```
/// use xfer_actors::supervise::{ArbiterPool, PoolError};
/// // Threads for actors need a System around them; a plain thread has none.
/// assert!(matches!(ArbiterPool::start("control", 1), Err(PoolError::NoSystem)));
/// ```
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// Arbiters belong to an actix System, and this thread has none.
    #[error("no actix System runs on this thread")]
    NoSystem,
    /// The thread or its runtime could not be made.
    #[error("could not start arbiter {name}")]
    Start {
        /// The arbiter's label.
        name: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The arbiter was started and did not run anything in time, or stopped at once: its System is on the way out.
    #[error("arbiter {name} did not come up")]
    Silent {
        /// The arbiter's label.
        name: String,
    },
    /// The pool has no arbiter of this number.
    #[error("there is no arbiter number {number}")]
    NoSuchArbiter {
        /// The number asked for, from zero.
        number: usize,
    },
}

/// What a probe found.
///
/// ```no_run
/// use std::time::Duration;
/// use xfer_actors::supervise::{ArbiterPool, Health, PoolError};
///
/// async fn look_after(pool: &mut ArbiterPool) -> Result<(), PoolError> {
///     match pool.probe(0, Duration::from_secs(1)).await {
///         Health::Alive => {}
///         Health::Busy => eprintln!("something blocks the thread of the actors"),
///         Health::Dead => drop(pool.replace(0)?),
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It ran the probe.
    Alive,
    /// It did not get to the probe in time: something blocks its thread.
    Busy,
    /// It is stopped, or there is no such arbiter.
    Dead,
}

/// What [`ArbiterPool::stop`] achieved.
///
/// ```
/// use std::time::Duration;
/// use xfer_actors::supervise::ArbiterPool;
///
/// actix::System::new().block_on(async {
///     let pool = ArbiterPool::start("control", 2)?;
///     let stopped = pool.stop(Duration::from_secs(5));
///     assert!(stopped.left.is_empty(), "still busy: {:?}", stopped.left);
///     Ok::<(), xfer_actors::supervise::PoolError>(())
/// })
/// # .unwrap();
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Stopped {
    /// Labels of the arbiters whose threads have ended.
    pub joined: Vec<String>,
    /// Labels of those that had not by the deadline, and of the one whose thread made the call. They end when their current task does.
    pub left: Vec<String>,
}

struct Slot {
    label: String,
    arbiter: Arbiter,
    thread: ThreadId,
}

impl Slot {
    fn start(label: String) -> Result<Self, PoolError> {
        if !System::is_registered() {
            return Err(PoolError::NoSystem);
        }
        let arbiter = Arbiter::try_new().map_err(|source| PoolError::Start { name: label.clone(), source })?;
        let (sender, receiver) = mpsc::channel();
        arbiter.spawn_fn(move || {
            // Nobody listens any more only if the wait below has ended.
            let _ = sender.send(thread::current().id());
        });
        match receiver.recv_timeout(FIRST_TASK) {
            Ok(thread) => Ok(Self { label, arbiter, thread }),
            Err(_) => {
                arbiter.stop();
                Err(PoolError::Silent { name: label })
            }
        }
    }
}

/// A fixed number of arbiters under one name.
///
/// ```
/// use std::time::Duration;
/// use xfer_actors::supervise::{ArbiterPool, Health};
///
/// let system = actix::System::new();
/// system.block_on(async {
///     let pool = ArbiterPool::start("control", 2)?;
///     assert_eq!(pool.probe(1, Duration::from_secs(5)).await, Health::Alive);
///     let stopped = pool.stop(Duration::from_secs(5));
///     assert_eq!(stopped.joined, ["control-0", "control-1"]);
///     Ok::<(), xfer_actors::supervise::PoolError>(())
/// })
/// # .unwrap();
/// ```
pub struct ArbiterPool {
    name: &'static str,
    slots: Vec<Slot>,
    /// Arbiters that were replaced: told to stop, not joined yet.
    retired: Vec<Slot>,
}

impl ArbiterPool {
    /// Starts `count` arbiters in the System of this thread. Blocks for about a millisecond each.
    ///
    /// # Errors
    /// [`PoolError`]; the arbiters that had been started by then are stopped.
    pub fn start(name: &'static str, count: usize) -> Result<Self, PoolError> {
        let mut pool = Self { name, slots: Vec::with_capacity(count), retired: Vec::new() };
        for number in 0..count {
            pool.slots.push(Slot::start(format!("{name}-{number}"))?);
        }
        Ok(pool)
    }

    /// The arbiters by number. A handle goes stale when its arbiter is replaced.
    #[must_use]
    pub fn handles(&self) -> Vec<ArbiterHandle> {
        self.slots.iter().map(|slot| slot.arbiter.handle()).collect()
    }

    /// Whether the arbiter still takes tasks. Costs nothing and cannot see one that is blocked: [`ArbiterPool::probe`] can.
    #[must_use]
    pub fn is_alive(&self, number: usize) -> bool {
        self.slots.get(number).is_some_and(|slot| slot.arbiter.alive())
    }

    /// Has the arbiter run an empty task, and waits at most `deadline` for it. Needs a tokio runtime with time, as every arbiter has.
    ///
    /// The future borrows nothing, so it may be kept while the pool is used.
    pub fn probe(&self, number: usize, deadline: Duration) -> impl Future<Output = Health> + use<> {
        let (sender, receiver) = oneshot::channel();
        if let Some(slot) = self.slots.get(number) {
            // If the arbiter is dead the closure is dropped, and the receiver sees that.
            slot.arbiter.spawn_fn(move || {
                let _ = sender.send(());
            });
        }
        async move {
            match tokio::time::timeout(deadline, receiver).await {
                Ok(Ok(())) => Health::Alive,
                Ok(Err(_)) => Health::Dead,
                Err(_) => Health::Busy,
            }
        }
    }

    /// Puts a new arbiter in the place of this one, which is told to stop and is joined with the others at the end.
    ///
    /// # Errors
    /// [`PoolError`]; the old arbiter stays in its place then, untouched.
    pub fn replace(&mut self, number: usize) -> Result<ArbiterHandle, PoolError> {
        let slot = self.slots.get_mut(number).ok_or(PoolError::NoSuchArbiter { number })?;
        let fresh = Slot::start(slot.label.clone())?;
        let handle = fresh.arbiter.handle();
        let old = std::mem::replace(slot, fresh);
        old.arbiter.stop();
        tracing::warn!(arbiter = %old.label, pool = self.name, "the arbiter is replaced");
        self.retired.push(old);
        Ok(handle)
    }

    /// Stops all arbiters and waits at most `deadline` for their threads to end.
    ///
    /// Blocks: in async code of the host, call it through `spawn_blocking`. Called on one of its own arbiters, it waits for the others only;
    /// a thread cannot wait for itself.
    pub fn stop(mut self, deadline: Duration) -> Stopped {
        let until = Instant::now().checked_add(deadline);
        let own = thread::current().id();
        let slots: Vec<Slot> = self.slots.drain(..).chain(self.retired.drain(..)).collect();
        for slot in &slots {
            slot.arbiter.stop();
        }
        // Joining has no deadline, so each join has a thread, and the deadline is on hearing from it.
        let (sender, receiver) = mpsc::channel();
        let mut ended = vec![false; slots.len()];
        let mut labels = Vec::with_capacity(slots.len());
        let mut awaited = 0;
        for (index, Slot { label, arbiter, thread }) in slots.into_iter().enumerate() {
            let sender = sender.clone();
            let joiner = thread::Builder::new().name(format!("join {label}")).spawn({
                let label = label.clone();
                move || {
                    if arbiter.join().is_err() {
                        tracing::error!(arbiter = %label, "the arbiter's thread panicked");
                    }
                    let _ = sender.send(index);
                }
            });
            match joiner {
                Ok(_) if thread != own => awaited += 1,
                Ok(_) => tracing::warn!(arbiter = %label, "the arbiter stops its own pool and cannot be waited for"),
                Err(error) => tracing::warn!(arbiter = %label, %error, "no thread to wait for the arbiter's end"),
            }
            labels.push(label);
        }
        while awaited > 0 {
            let left = until.map_or(deadline, |until| until.saturating_duration_since(Instant::now()));
            let Ok(index) = receiver.recv_timeout(left) else { break };
            ended[index] = true;
            awaited -= 1;
        }
        let mut stopped = Stopped::default();
        for (label, ended) in labels.into_iter().zip(ended) {
            if ended { stopped.joined.push(label) } else { stopped.left.push(label) }
        }
        if !stopped.left.is_empty() {
            tracing::warn!(pool = self.name, left = ?stopped.left, "arbiters did not end in time");
        }
        stopped
    }
}

impl Drop for ArbiterPool {
    fn drop(&mut self) {
        for slot in &self.slots {
            slot.arbiter.stop();
        }
    }
}

impl fmt::Debug for ArbiterPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArbiterPool")
            .field("name", &self.name)
            .field("arbiters", &self.slots.len())
            .finish_non_exhaustive()
    }
}
