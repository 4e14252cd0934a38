//! How fast the server lets bytes pass.
//!
//! A pacer hands out times at which the next bytes may go. One that was late is let catch up a little, so that what is asked for is
//! what comes out although threads wake up late; one that was idle saves nothing up beyond that.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How far behind its times a pacer may be.
const CATCH_UP: Duration = Duration::from_millis(10);

/// Bytes that go between two looks at the clock.
pub(crate) const STEP: u64 = 128 << 10;

/// A bound on bytes per second. Shared by connections, or of one.
pub(crate) struct Pacer {
    bytes_per_second: f64,
    next: Mutex<Option<Instant>>,
}

impl Pacer {
    pub(crate) fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1) as f64, next: Mutex::new(None) }
    }

    /// Waits until these bytes may go.
    pub(crate) fn wait(&self, bytes: u64) {
        let now = Instant::now();
        let at = self.reserve(bytes, now);
        if at > now {
            std::thread::sleep(at - now);
        }
    }

    /// The time at which these bytes may go.
    fn reserve(&self, bytes: u64, now: Instant) -> Instant {
        // Whoever panicked with it did not leave it half changed.
        let mut next = self.next.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let earliest = now.checked_sub(CATCH_UP).unwrap_or(now);
        let at = next.map_or(now, |next| next.max(earliest));
        *next = Some(at + Duration::from_secs_f64(bytes as f64 / self.bytes_per_second));
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_their_time() {
        let pacer = Pacer::new(1000);
        let begin = Instant::now();
        assert_eq!(pacer.reserve(500, begin), begin);
        assert_eq!(pacer.reserve(1, begin), begin + Duration::from_millis(500));
        assert_eq!(pacer.reserve(1, begin), begin + Duration::from_millis(501));
    }

    #[test]
    fn lateness_is_made_up_for_but_idleness_is_not() {
        let pacer = Pacer::new(1000);
        let begin = Instant::now();
        pacer.reserve(100, begin);
        let late = begin + Duration::from_millis(105);
        assert_eq!(pacer.reserve(100, late), begin + Duration::from_millis(100));
        let idle = begin + Duration::from_secs(60);
        assert_eq!(pacer.reserve(1, idle), idle - CATCH_UP);
    }
}
