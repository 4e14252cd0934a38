//! The one budget of a system, shared by the scheduler and whoever holds a [`Permit`] on it.
//!
//! The rule is `xfer_core::budget`; here is the clock, the lock, and the obligation: a permit gives back what it took when it is
//! dropped, wherever that happens.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use xfer_core::budget::{Budget, Cost, InUse, Limits, Taken};

/// The budget with its clock.
pub(crate) struct SharedBudget {
    budget: Mutex<Budget>,
    origin: Instant,
    /// Whether the scheduler was refused something, and so wants to hear of everything that comes back.
    starved: AtomicBool,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl SharedBudget {
    /// A budget of `limits`; `wake` is called when something came back after a refusal.
    pub(crate) fn new(limits: Limits, wake: impl Fn() + Send + Sync + 'static) -> SharedBudget {
        SharedBudget {
            budget: Mutex::new(Budget::new(limits)),
            origin: Instant::now(),
            starved: AtomicBool::new(false),
            wake: Box::new(wake),
        }
    }

    /// Time since the budget was made: the clock that core's rules are given.
    pub(crate) fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// Takes `cost`, or says why not.
    pub(crate) fn take(self: &Arc<Self>, cost: Cost) -> Result<Permit, Refused> {
        let mut budget = self.budget.lock();
        match budget.try_take(&cost, self.now()) {
            Taken::Taken => Ok(Permit { budget: Arc::clone(self), cost }),
            Taken::Refused { retry_after, for_its_holder } => {
                // Under the lock: whatever is given back after this refusal finds the mark, and wakes.
                self.starved.store(true, Ordering::SeqCst);
                Err(Refused { retry_after, for_its_holder })
            }
        }
    }

    /// Changes how many requests may be in flight.
    pub(crate) fn set_requests(&self, requests: usize) {
        self.budget.lock().set_requests(requests);
    }

    /// Changes the ceiling on bytes per second, of which it depends how many requests there may be.
    pub(crate) fn set_bytes_per_second(&self, bytes_per_second: Option<u64>) {
        self.budget.lock().set_bytes_per_second(bytes_per_second);
        self.wake_if_starved();
    }

    /// Lets the scheduler ask again for what it was refused, if it was.
    pub(crate) fn wake_if_starved(&self) {
        if self.starved.swap(false, Ordering::SeqCst) {
            (self.wake)();
        }
    }

    /// Gives back what a transfer took that has begun.
    pub(crate) fn transfer_ended(&self) {
        self.budget.lock().give_back(&Cost { transfers: 1, ..Cost::default() });
        self.wake_if_starved();
    }

    /// Requests in flight and memory in use.
    pub(crate) fn in_use(&self) -> InUse {
        self.budget.lock().in_use()
    }
}

/// Why something cannot be taken now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// When to ask again, if nothing comes back before.
    pub(crate) retry_after: Option<Duration>,
    /// Whether the same could be taken for another transfer.
    pub(crate) for_its_holder: bool,
}

/// A share of the budget; given back on drop.
pub(crate) struct Permit {
    budget: Arc<SharedBudget>,
    cost: Cost,
}

impl Permit {
    /// Moves the memory of this permit, if it has any, into one of its own, to outlive the request.
    pub(crate) fn split_memory(&mut self) -> Option<Permit> {
        let memory = std::mem::take(&mut self.cost.memory);
        let cost = Cost { memory, holder: self.cost.holder, ..Cost::default() };
        (memory > 0).then(|| Permit { budget: Arc::clone(&self.budget), cost })
    }

    /// Gives back the memory above `bytes`: the object turned out smaller than what was reserved.
    pub(crate) fn shrink_memory(&mut self, bytes: u64) {
        let surplus = self.cost.memory.saturating_sub(bytes);
        if surplus > 0 {
            self.cost.memory -= surplus;
            let cost = Cost { memory: surplus, holder: self.cost.holder, ..Cost::default() };
            drop(Permit { budget: Arc::clone(&self.budget), cost });
        }
    }

    /// Takes the transfer's own share out of this permit, if it has one: it is given back by [`SharedBudget::transfer_ended`].
    pub(crate) fn keep_transfer(&mut self) -> bool {
        std::mem::take(&mut self.cost.transfers) > 0
    }

    /// Gives everything back without waking the scheduler: for who is about to send it a message anyway.
    pub(crate) fn give_back_silently(mut self) {
        let cost = std::mem::take(&mut self.cost);
        self.budget.budget.lock().give_back(&cost);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.cost.requests == 0 && self.cost.transfers == 0 && self.cost.memory == 0 {
            return;
        }
        self.budget.budget.lock().give_back(&self.cost);
        self.budget.wake_if_starved();
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Permit({:?})", self.cost)
    }
}

#[cfg(test)]
mod tests;
