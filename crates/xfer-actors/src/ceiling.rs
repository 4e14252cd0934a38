//! The ceiling on bytes per second, as lanes wait for it.
//!
//! The rule is `xfer_core::pace`; here are the clock, the lock and the waiting. Where there is no ceiling, a piece costs one look at a number
//! that nobody changes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use xfer_core::pace::{Pace, piece_within};

/// Who waits looks again after so long: the ceiling may have changed.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// The pace of all lanes together.
pub(crate) struct Ceiling {
    pace: Mutex<Pace>,
    origin: Instant,
    /// Most bytes that should go at once; `usize::MAX` where there is no ceiling.
    piece: AtomicUsize,
}

impl Default for Ceiling {
    fn default() -> Ceiling {
        Ceiling {
            pace: Mutex::new(Pace::new(None, Duration::ZERO)),
            origin: Instant::now(),
            piece: AtomicUsize::new(usize::MAX),
        }
    }
}

impl Ceiling {
    /// Changes it to so many bytes per second, or lifts it.
    pub(crate) fn set(&self, bytes_per_second: Option<u64>) {
        let piece = bytes_per_second
            .map_or(usize::MAX, |ceiling| usize::try_from(piece_within(ceiling)).unwrap_or(usize::MAX - 1));
        let mut pace = self.pace.lock();
        pace.set(bytes_per_second, self.origin.elapsed());
        self.piece.store(piece, Ordering::Relaxed);
    }

    /// Most bytes that should be sent at once.
    pub(crate) fn piece(&self) -> usize {
        self.piece.load(Ordering::Relaxed)
    }

    /// Waits until so many bytes may pass. Bytes of one who does not wait to the end count as passed.
    pub(crate) async fn pass(&self, bytes: usize) {
        if self.piece() == usize::MAX {
            return;
        }
        let turn = self.pace.lock().count(bytes as u64, self.origin.elapsed());
        loop {
            let wait = self.pace.lock().wait_for(turn, self.origin.elapsed());
            let Some(wait) = wait else { return };
            tokio::time::sleep(wait.min(LOOK_AGAIN)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::pin::pin;
    use std::sync::Arc;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn bytes_pass_at_the_ceilings_pace_and_at_once_without_one() {
        let ceiling = Ceiling::default();
        assert_eq!(ceiling.piece(), usize::MAX);
        timeout(Duration::ZERO, ceiling.pass(usize::MAX)).await.unwrap();
        ceiling.set(Some(1_000_000));
        assert_eq!(ceiling.piece(), 125_000);
        let begun = Instant::now();
        for _ in 0..20 {
            ceiling.pass(10_000).await;
        }
        // The first eighth of a second may be made up for.
        assert!(begun.elapsed() >= Duration::from_millis(70), "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn who_waits_hears_that_it_was_lifted() {
        let ceiling = Arc::new(Ceiling::default());
        ceiling.set(Some(1));
        let mut waiting = pin!(ceiling.pass(1 << 30));
        timeout(Duration::from_millis(10), &mut waiting).await.unwrap_err();
        ceiling.set(None);
        timeout(Duration::from_secs(10), waiting).await.unwrap();
    }
}
