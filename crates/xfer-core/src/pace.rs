//! A ceiling on the bytes that go over the network in a second.
//!
//! Decides: when the next piece of a body may pass, how large such a piece should be, how many requests are worth having. Never waits, and
//! never reads a clock.
//!
//! Invariants: over any time no more bytes are let through than the ceiling makes of it and of [`BURST`]; pieces are let through in the
//! order in which they were counted; under a lifted ceiling, at once.

use std::time::Duration;

/// What may pass at once after a silence, in time: so much of it is made up for, so that a thread that is woken late costs no throughput.
pub const BURST: Duration = Duration::from_millis(125);
/// Waits that are shorter are not worth one: timers are no finer. What is let through early makes the next wait longer.
const SLACK: Duration = Duration::from_millis(2);
/// The smallest piece that is worth a system call, whatever the ceiling, in bytes: a page.
const LEAST_PIECE: u64 = 4096;
/// A connection that gets less than this, in bytes per second, is better closed: with pieces of 256 KiB it is silent for 8 seconds, and S3
/// gives up connections that are for 20.
const LEAST_PER_REQUEST: u64 = 32 << 10;
/// So many requests there may always be: one that brings little, such as a delete, does not wait behind a large part.
const LEAST_REQUESTS: usize = 2;
/// A wait is at most so long, some 30 years: longer than any, and no more than a `Duration` made of a float takes.
const LONGEST: f64 = 1e9;

/// How many requests are worth having under a ceiling in bytes per second.
///
/// ```
/// use xfer_core::pace::requests_within;
/// assert_eq!(requests_within(1 << 20), 32, "1 MiB/s");
/// assert_eq!(requests_within(1), 2);
/// ```
#[must_use]
pub fn requests_within(bytes_per_second: u64) -> usize {
    usize::try_from(bytes_per_second / LEAST_PER_REQUEST).unwrap_or(usize::MAX).max(LEAST_REQUESTS)
}

/// How many bytes should go at once under a ceiling in bytes per second: what passes within [`BURST`], so that a slow link is used evenly.
///
/// ```
/// use xfer_core::pace::piece_within;
/// assert_eq!(piece_within(1 << 20), 128 << 10, "1 MiB/s");
/// assert_eq!(piece_within(1), 4096);
/// ```
#[must_use]
pub fn piece_within(bytes_per_second: u64) -> u64 {
    (bytes_per_second / 8).max(LEAST_PIECE)
}

/// The place of a piece among all that were counted.
///
/// ```
/// use std::time::Duration;
/// use xfer_core::pace::{Pace, Turn};
/// let mut pace = Pace::new(Some(1000), Duration::ZERO);
/// let turns: Vec<Turn> = [500, 500].map(|bytes| pace.count(bytes, Duration::ZERO)).into();
/// assert!(pace.wait_for(turns[0], Duration::ZERO) < pace.wait_for(turns[1], Duration::ZERO));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn(u64);

/// Lets pieces of bodies through no faster than the ceiling allows. Times count from any fixed origin.
///
/// ```
/// use std::time::Duration;
/// use xfer_core::pace::Pace;
/// let start = Duration::ZERO;
/// let mut pace = Pace::new(Some(1_000_000), start); // 1 MB/s
/// let first = pace.count(500_000, start);
/// assert_eq!(pace.wait_for(first, start), Some(Duration::from_millis(500)));
/// assert_eq!(pace.wait_for(first, Duration::from_millis(500)), None, "it may pass");
///
/// pace.set(None, start);
/// assert_eq!(pace.wait_for(first, start), None, "without a ceiling everything may");
/// ```
#[derive(Clone, Debug)]
pub struct Pace {
    /// Bytes per second, at least 1.
    ceiling: Option<f64>,
    /// Bytes that were counted, of all pieces.
    counted: u64,
    /// Bytes that may pass beside those that were counted; below 0 when of those some may not pass yet.
    level: f64,
    /// When `level` was right.
    at: Duration,
}

impl Pace {
    /// A pace under a ceiling in bytes per second, at least 1; `None` for none.
    #[must_use]
    pub fn new(bytes_per_second: Option<u64>, now: Duration) -> Pace {
        let mut pace = Pace { ceiling: None, counted: 0, level: 0.0, at: now };
        pace.set(bytes_per_second, now);
        pace
    }

    /// Changes the ceiling from `now` on, also for what waits already; `None` lifts it.
    pub fn set(&mut self, bytes_per_second: Option<u64>, now: Duration) {
        self.refill(now);
        self.ceiling = bytes_per_second.map(|ceiling| ceiling.max(1) as f64);
        match self.ceiling {
            Some(ceiling) => self.level = self.level.min(ceiling * BURST.as_secs_f64()),
            // What has waited until now passes.
            None => self.level = 0.0,
        }
    }

    /// Counts a piece of so many bytes. It may be larger than what passes at once: those after it wait the longer.
    pub fn count(&mut self, bytes: u64, now: Duration) -> Turn {
        self.refill(now);
        self.counted = self.counted.wrapping_add(bytes);
        if self.ceiling.is_some() {
            self.level -= bytes as f64;
        }
        Turn(self.counted)
    }

    /// How long a piece that was counted has to wait yet; `None` when it may pass.
    pub fn wait_for(&mut self, turn: Turn, now: Duration) -> Option<Duration> {
        self.refill(now);
        let behind = self.counted.wrapping_sub(turn.0) as f64;
        let missing = -(self.level + behind);
        let seconds = missing / self.ceiling?;
        (seconds > SLACK.as_secs_f64()).then(|| Duration::from_secs_f64(seconds.min(LONGEST)))
    }

    fn refill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.at = self.at.max(now);
        if let Some(ceiling) = self.ceiling {
            self.level = (self.level + passed * ceiling).min(ceiling * BURST.as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests;
