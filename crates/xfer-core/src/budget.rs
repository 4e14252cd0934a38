//! How much may run at once: requests, transfers, bytes of memory. How fast the bytes go is for [`pace`](crate::pace) to say; what
//! follows from that ceiling for the rest is here.
//!
//! Decides whether a cost can be borne now. Never decides whose turn it is, and never waits: a refusal says, where it is known, when to
//! ask again.
//!
//! Invariants: what was taken is held until it is given back, and no more is held than the limits allow, with three exceptions. One cost
//! larger than the whole memory limit is let in while no memory is held. A lowered limit takes nothing away from those who hold it. And
//! when no memory comes back for [`RELIEF_AFTER`], or for as long as all of it takes under the ceiling, a transfer that holds none is let
//! in all the same: those who hold it all may wait, in the caller's hands, for just that transfer.

use std::time::Duration;

use foldhash::{HashMap, HashSet};

use crate::id::TransferId;
use crate::pace::requests_within;

/// How long memory that is all taken may stay where it is before a transfer that holds none is let in above the limit. Longer than a
/// part takes over any but the slowest network, so that it is those who read and write in the caller's program that are waited for.
pub const RELIEF_AFTER: Duration = Duration::from_secs(5);

/// So many light requests there may be above the limit: what opens, ends or cleans up a transfer is not to wait until a part has gone over a
/// slow network.
const LIGHT: usize = 2;

/// What all running jobs may hold together.
///
/// ```
/// use xfer_core::budget::{Budget, InUse, Limits};
/// // 16 requests on 64 connections, 32 files, 64 MiB, and no more than 100 MB in a second.
/// let limits = Limits {
///     requests: 16,
///     connections: 64,
///     transfers: 32,
///     memory: 64 << 20,
///     bytes_per_second: Some(100_000_000),
/// };
/// assert_eq!(Budget::new(limits).in_use(), InUse::default());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests under way, at least 1; two more if those are [light](Cost::light).
    pub requests: usize,
    /// Connections, which are never fewer than the requests under way.
    pub connections: usize,
    /// Transfers that have begun and not ended, at least 1: so many files are open, and so many uploads in the store.
    pub transfers: usize,
    /// Bytes of memory for parts and buffers.
    pub memory: u64,
    /// Bytes per second over all transfers, at least 1; `None` for as fast as possible. It is kept by a [`Pace`](crate::pace::Pace).
    pub bytes_per_second: Option<u64>,
}

/// What one job holds.
///
/// ```
/// use xfer_core::budget::Cost;
/// use xfer_core::id::TransferId;
/// // A part of a pipe: it is kept in memory while it is sent. One of a file has `memory: 0`.
/// let part = Cost { requests: 1, memory: 8 << 20, holder: TransferId(1), ..Cost::default() };
/// assert_eq!(part.transfers, 0, "the transfer has begun already");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Requests: 1, or 0 for work on this machine alone.
    pub requests: usize,
    /// Whether its requests are soon over, whatever the network: none of them moves an object's bytes.
    pub light: bool,
    /// Transfers that begin with it: 1 or 0. Held until the transfer ends.
    pub transfers: usize,
    /// Bytes of memory, held until they are given back.
    pub memory: u64,
    /// Whose memory it is; of no account where there is none.
    pub holder: TransferId,
}

/// What is held.
///
/// ```
/// use std::time::Duration;
/// use xfer_core::budget::{Budget, Cost, Limits};
/// let mut budget = Budget::new(Limits { requests: 2, connections: 2, transfers: 2, memory: 100, bytes_per_second: None });
/// let cost = Cost { requests: 1, memory: 60, ..Cost::default() };
/// assert!(budget.try_take(&cost, Duration::ZERO).is_taken());
/// assert_eq!((budget.in_use().requests, budget.in_use().memory), (1, 60));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InUse {
    /// Requests.
    pub requests: usize,
    /// Transfers.
    pub transfers: usize,
    /// Bytes of memory.
    pub memory: u64,
}

/// The answer to [`Budget::try_take`].
///
/// ```
/// use std::time::Duration;
/// use xfer_core::budget::{Budget, Cost, Limits, Taken};
/// let mut budget = Budget::new(Limits { requests: 1, connections: 1, transfers: 1, memory: 0, bytes_per_second: None });
/// let request = Cost { requests: 1, ..Cost::default() };
/// assert_eq!(budget.try_take(&request, Duration::ZERO), Taken::Taken);
/// // Until the first one is given back.
/// let refused = Taken::Refused { retry_after: None, for_its_holder: false };
/// assert_eq!(budget.try_take(&request, Duration::ZERO), refused);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The cost is taken; give it back when the job has ended.
    Taken,
    /// Nothing is taken.
    Refused {
        /// After which time to ask again if nothing was given back before; `None` when something has to be given back first.
        retry_after: Option<Duration>,
        /// Whether it is refused for what its holder has already, or has not: the same may be taken for another one.
        for_its_holder: bool,
    },
}

impl Taken {
    /// Whether the cost is taken.
    #[must_use]
    pub fn is_taken(self) -> bool {
        self == Taken::Taken
    }
}

/// The one place where all limits are held.
///
/// ```
/// use std::time::Duration;
/// use xfer_core::budget::{Budget, Cost, Limits};
/// use xfer_core::id::TransferId;
/// let mut budget = Budget::new(Limits { requests: 1, connections: 1, transfers: 9, memory: 1 << 20, bytes_per_second: None });
/// let cost = Cost { requests: 1, memory: 4096, holder: TransferId(1), ..Cost::default() };
/// assert!(budget.try_take(&cost, Duration::ZERO).is_taken());
/// assert!(!budget.try_take(&cost, Duration::ZERO).is_taken());
/// budget.give_back(&cost);
/// assert!(budget.try_take(&cost, Duration::ZERO).is_taken());
/// ```
#[derive(Clone, Debug)]
pub struct Budget {
    requests: usize,
    connections: usize,
    transfers: usize,
    memory: u64,
    /// Bytes per second over all transfers.
    ceiling: Option<u64>,
    in_use: InUse,
    /// Bytes of memory that each transfer holds, of those that hold any.
    holders: HashMap<TransferId, u64>,
    /// Since when memory has been refused and none has come back.
    stuck_since: Option<Duration>,
    /// How far above the limit those are let in that were relieved.
    stretch: u64,
    /// Transfers that held none when no memory came back for so long. They may have it again without another such wait: others may still
    /// wait for them.
    relieved: HashSet<TransferId>,
}

impl Budget {
    /// A budget of which nothing is used yet.
    #[must_use]
    pub fn new(limits: Limits) -> Budget {
        Budget {
            requests: limits.requests.max(1),
            connections: limits.connections,
            transfers: limits.transfers.max(1),
            memory: limits.memory,
            ceiling: limits.bytes_per_second,
            in_use: InUse::default(),
            holders: HashMap::default(),
            stuck_since: None,
            stretch: 0,
            relieved: HashSet::default(),
        }
    }

    /// Takes all of `cost`, or nothing. `now` counts from any fixed origin.
    pub fn try_take(&mut self, cost: &Cost, now: Duration) -> Taken {
        let most = match self.requests() {
            requests if cost.light => requests.saturating_add(LIGHT).min(self.connections.max(requests)),
            requests => requests,
        };
        if cost.requests > 0 && self.in_use.requests.saturating_add(cost.requests) > most {
            return Taken::Refused { retry_after: None, for_its_holder: false };
        }
        if cost.transfers > 0 && self.in_use.transfers.saturating_add(cost.transfers) > self.transfers {
            return Taken::Refused { retry_after: None, for_its_holder: true };
        }
        if cost.memory > 0
            && let Some(refused) = self.refuse_memory(cost, now)
        {
            return refused;
        }
        if cost.memory > 0 {
            *self.holders.entry(cost.holder).or_default() += cost.memory;
        }
        self.in_use.memory = self.in_use.memory.saturating_add(cost.memory);
        self.in_use.requests = self.in_use.requests.saturating_add(cost.requests);
        self.in_use.transfers = self.in_use.transfers.saturating_add(cost.transfers);
        Taken::Taken
    }

    /// Why the memory cannot be taken now, if it cannot.
    fn refuse_memory(&mut self, cost: &Cost, now: Duration) -> Option<Taken> {
        let wanted = self.in_use.memory.saturating_add(cost.memory);
        if wanted <= self.memory || self.in_use.memory == 0 {
            // It goes on as it should.
            (self.stuck_since, self.stretch) = (None, 0);
            self.relieved.clear();
            return None;
        }
        let patience = self.patience();
        let relief = self.stuck_since.get_or_insert(now).saturating_add(patience);
        let holds = self.holders.contains_key(&cost.holder);
        if !holds && now >= relief {
            (self.stuck_since, self.stretch) = (Some(now), wanted - self.memory);
            self.relieved.insert(cost.holder);
        }
        if !holds && self.relieved.contains(&cost.holder) && wanted <= self.memory.saturating_add(self.stretch) {
            return None;
        }
        let retry_after = relief.checked_sub(now).filter(|wait| !wait.is_zero());
        let for_its_holder = self.stretch > 0 || (holds && retry_after.is_none());
        Some(Taken::Refused { retry_after, for_its_holder })
    }

    /// How long memory may stay where it is: under a ceiling, parts take their time without anybody waiting for anybody.
    fn patience(&self) -> Duration {
        let all_of_it = self.ceiling.map_or(0, |ceiling| self.memory / ceiling.max(1));
        RELIEF_AFTER.max(Duration::from_secs(all_of_it))
    }

    /// Gives back what a job held.
    pub fn give_back(&mut self, cost: &Cost) {
        self.in_use.requests = self.in_use.requests.saturating_sub(cost.requests);
        self.in_use.transfers = self.in_use.transfers.saturating_sub(cost.transfers);
        if cost.memory == 0 {
            return;
        }
        self.in_use.memory = self.in_use.memory.saturating_sub(cost.memory);
        self.stuck_since = None;
        if let Some(held) = self.holders.get_mut(&cost.holder) {
            *held = held.saturating_sub(cost.memory);
            if *held == 0 {
                self.holders.remove(&cost.holder);
            }
        }
    }

    /// Changes the number of requests that may be under way, at least 1. Those that are over it end in their own time.
    pub fn set_requests(&mut self, requests: usize) {
        self.requests = requests.max(1);
    }

    /// Changes how many bytes per second there may be over all transfers; `None` for as fast as possible.
    pub fn set_bytes_per_second(&mut self, bytes_per_second: Option<u64>) {
        self.ceiling = bytes_per_second;
    }

    /// What is held now.
    #[must_use]
    pub fn in_use(&self) -> InUse {
        self.in_use
    }

    /// The limit of requests under way: what was set, or what is worth having under the ceiling.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.ceiling.map_or(self.requests, |ceiling| self.requests.min(requests_within(ceiling)))
    }
}

#[cfg(test)]
mod tests;
