//! What a progress bar is told: each byte once, and not too often.
//!
//! Decides which bytes of an attempt are new, and when a subscriber hears of them. Never calls one, and never reads a clock.
//!
//! Invariants: what is told never shrinks and never counts a byte twice, however often a part is repeated; at the end of a part
//! it is exactly the part's length.

use std::time::Duration;

/// How many bytes at `position` are new to one who has counted up to `counted` already: the arithmetic of [`HighWater`] for those who
/// keep the mark in an atomic, with `counted` as `fetch_max` returns it.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use xfer_core::progress::new_bytes;
/// let counted = AtomicU64::new(0);
/// let reach = |position| new_bytes(counted.fetch_max(position, Ordering::Relaxed), position);
/// assert_eq!((reach(60), reach(10), reach(100)), (60, 0, 40));
/// ```
#[must_use]
pub const fn new_bytes(counted: u64, position: u64) -> u64 {
    position.saturating_sub(counted)
}

/// The high-water mark of one part: how many of its bytes have been counted.
///
/// ```
/// use xfer_core::progress::HighWater;
/// let mut part = HighWater::of(100);
/// assert_eq!(part.reach(60), 60);
/// assert_eq!(part.reach(10), 0, "a second attempt begins anew");
/// assert_eq!(part.reach(100), 40);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HighWater {
    counted: u64,
    length: u64,
}

impl HighWater {
    /// The mark of a part of `length` bytes, none counted yet. Use [`u64::MAX`] while the length is not known.
    #[must_use]
    pub const fn of(length: u64) -> HighWater {
        HighWater { counted: 0, length }
    }

    /// An attempt is at `position`, in bytes from the start of the part: how many of them are new. Positions behind the part's end
    /// (the framing of a body, say) count as its end.
    pub const fn reach(&mut self, position: u64) -> u64 {
        let position = if position < self.length { position } else { self.length };
        let new = new_bytes(self.counted, position);
        self.counted += new;
        new
    }

    /// Bytes counted so far.
    #[must_use]
    pub const fn counted(self) -> u64 {
        self.counted
    }
}

/// How often progress is told unless asked otherwise: ten times a second. Once a second, as the CRT client does it, looks jerky.
pub const DEFAULT_CADENCE: Duration = Duration::from_millis(100);

/// When a subscriber is told: at the first bytes, and then after each `every` at the earliest, with all that has come since.
///
/// ```
/// use std::time::Duration;
/// use xfer_core::progress::{Cadence, DEFAULT_CADENCE};
/// let mut cadence = Cadence::new(DEFAULT_CADENCE);
/// assert_eq!(cadence.add(5, Duration::ZERO), Some(5));
/// assert_eq!(cadence.add(6, Duration::from_millis(50)), None);
/// assert_eq!(cadence.add(7, Duration::from_millis(100)), Some(13));
/// assert_eq!(cadence.flush(), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cadence {
    every: Duration,
    told_at: Option<Duration>,
    rest: u64,
}

impl Cadence {
    /// Tells at most once in each `every`; zero tells at once.
    #[must_use]
    pub fn new(every: Duration) -> Cadence {
        Cadence { every, told_at: None, rest: 0 }
    }

    /// `bytes` new ones have come at `now`: how many are to be told now, if it is time.
    pub fn add(&mut self, bytes: u64, now: Duration) -> Option<u64> {
        self.rest = self.rest.saturating_add(bytes);
        let due = self.told_at.is_none_or(|told| now.saturating_sub(told) >= self.every);
        if self.rest == 0 || !due {
            return None;
        }
        self.told_at = Some(now);
        self.flush()
    }

    /// The end has come: what has not been told yet.
    pub fn flush(&mut self) -> Option<u64> {
        let rest = std::mem::take(&mut self.rest);
        (rest > 0).then_some(rest)
    }
}

impl Default for Cadence {
    fn default() -> Cadence {
        Cadence::new(DEFAULT_CADENCE)
    }
}

#[cfg(test)]
mod tests;
