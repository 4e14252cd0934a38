//! Whether a file's calls may be made where they would hold others up.
//!
//! Decides: after a slow call, the next ones go elsewhere; when these are quick again, they come back. Never: makes a call.

use std::time::Duration;

/// A call that takes longer than this holds the sockets of its thread up noticeably: at 10 Gbit/s, 2 ms are 2.5 MB, which is about
/// what a socket's buffer can take in meanwhile.
const SLOW: Duration = Duration::from_millis(2);
/// How many quick calls in a row it takes to come back: a page cache that is being written out is quick in between.
const QUICK_AGAIN: u32 = 32;

/// The rule for one file, or one part of it.
///
/// ```
/// use std::time::Duration;
/// use xfer_core::disk::Gate;
/// let mut gate = Gate::default();
/// assert!(gate.is_quick());
/// gate.took(Duration::from_millis(40));
/// assert!(!gate.is_quick());
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Gate {
    /// Quick calls that are still needed before it opens.
    closed_for: u32,
}

impl Gate {
    /// Whether the next call may be made in place.
    #[must_use]
    pub fn is_quick(&self) -> bool {
        self.closed_for == 0
    }

    /// The last call took so long.
    pub fn took(&mut self, time: Duration) {
        self.closed_for = if time > SLOW { QUICK_AGAIN } else { self.closed_for.saturating_sub(1) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_call_closes_and_enough_quick_ones_open() {
        let mut gate = Gate::default();
        gate.took(SLOW);
        assert!(gate.is_quick());
        gate.took(SLOW + Duration::from_nanos(1));
        for _ in 0..QUICK_AGAIN {
            assert!(!gate.is_quick());
            gate.took(Duration::from_micros(30));
        }
        assert!(gate.is_quick());
    }

    #[test]
    fn another_slow_call_begins_anew() {
        let mut gate = Gate::default();
        gate.took(Duration::from_secs(1));
        for _ in 1..QUICK_AGAIN {
            gate.took(Duration::ZERO);
        }
        gate.took(Duration::from_secs(1));
        gate.took(Duration::ZERO);
        assert!(!gate.is_quick());
    }
}
