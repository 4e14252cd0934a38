//! How many requests are worth having under way.
//!
//! Decides by what was measured: more while more brings more, fewer when the store asks for it. Never measures, and never reads a
//! clock: the caller tells at each tick what has moved.
//!
//! Two answers: [`connections_for`] for those who know the throughput that they want, as the CRT client asks for it, and [`Controller`]
//! for those who do not.
//!
//! Invariant: the limit is always between the configured least and most.

use std::time::Duration;

/// What one connection to S3 brings, by which the CRT client counts: 0.4 Gbit/s, in bytes per second.
const BYTES_PER_CONNECTION: u64 = 50_000_000;

/// The connections that a target throughput in bytes per second needs: one per 0.4 Gbit/s, at least 10 and at most 10,000, as in the CRT
/// client.
///
/// ```
/// use xfer_core::concurrency::connections_for;
/// assert_eq!(connections_for(1_250_000_000), 25, "10 Gbit/s");
/// assert_eq!(connections_for(0), 10);
/// ```
#[must_use]
pub fn connections_for(target_bytes_per_second: u64) -> usize {
    let connections = target_bytes_per_second.div_ceil(BYTES_PER_CONNECTION).clamp(10, 10_000);
    usize::try_from(connections).unwrap_or(10_000)
}

/// Within which limits a [`Controller`] works.
///
/// ```
/// use xfer_core::concurrency::{Bounds, Controller};
/// // Never more than four, whatever more would bring.
/// let few = Bounds { max: 4, ..Bounds::default() };
/// assert_eq!(Controller::new(few).limit(), 4);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The limit to start with. Without throttling it is never gone below: so few are always worth it.
    pub start: usize,
    /// The least, for a store that throttles; at least 1.
    pub min: usize,
    /// The most.
    pub max: usize,
}

impl Default for Bounds {
    /// Starts with 8, enough for most networks and disks, and goes up to 256, the CRT client's number for 100 Gbit/s.
    fn default() -> Bounds {
        Bounds { start: 8, min: 2, max: 256 }
    }
}

/// What happened since the last tick.
///
/// ```
/// use std::time::Duration;
/// use xfer_core::concurrency::{Bounds, Controller, Sample};
/// let mut controller = Controller::new(Bounds::default());
/// // 50 ms, 20 MB, all eight in use, and threads that mostly wait.
/// let sample = Sample { now: Duration::from_millis(50), bytes: 20_000_000, busy: 8, throttled: 0, computing: 30 };
/// assert_eq!(controller.tick(sample), 8, "too early to say");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The time, from any fixed origin.
    pub now: Duration,
    /// Bytes moved since the last tick, counted as they move rather than as parts end.
    pub bytes: u64,
    /// Requests under way now.
    pub busy: usize,
    /// Requests that were throttled since the last tick.
    pub throttled: usize,
    /// How much of their time since the last tick the threads that move bytes did not wait, in percent.
    pub computing: usize,
}

/// A window of measurement is at least this long; so long evens out reads and writes, and is short enough to climb in.
const WINDOW: Duration = Duration::from_millis(300);
/// After a change, connections have to open and fill before a measurement means anything.
const SETTLE: Duration = Duration::from_millis(100);
/// At the start the windows are shorter: while twice as many bring much more there is nothing to weigh, and a transfer of a few seconds
/// must not spend them climbing.
const RUSH_WINDOW: Duration = Duration::from_millis(100);
const RUSH_SETTLE: Duration = Duration::from_millis(50);
/// By so much must the throughput rise at the start for the limit to be doubled again; far more than noise.
const RUSH_GAIN: f64 = 0.4;
/// A measurement that is not clear is repeated until there are so many windows.
const WINDOWS: u32 = 3;
/// By so much must the throughput rise for the limit to stay half as high again: less is noise, and pays with memory for nothing.
const GAIN: f64 = 0.08;
/// A rise of so many times what is demanded is clear at once.
const CLEAR: f64 = 3.0;
/// When so large a share of the requests allowed is under way on average, it is the limit that limits.
const FULL: f64 = 0.85;
/// Threads that do not wait for so many percent of their time are what limits: more requests would only wait for them, and what they wait with
/// would leave the cache.
const SATURATED: usize = 95;
/// The first pause between trials that did not pay; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(4);
const LONGEST_PAUSE: Duration = Duration::from_secs(32);
/// Throttled answers within this time are one event: they were sent before the limit was lowered.
const THROTTLE_REST: Duration = Duration::from_secs(1);

/// Finds the number of requests under way beyond which more does not bring more.
///
/// It goes up only while the threads that move bytes have time to spare. At the start it doubles for as long as the throughput
/// follows clearly. Then it climbs by half while all are used and the throughput follows; where that ends it returns to the best
/// level known and tries again after a while, now upwards, now downwards, in pauses that become longer while nothing changes.
/// Levels that were reached by a doubtful rise are tried downwards as well, so that noise does not drive it up in the long run.
/// When the store throttles, it goes down by three tenths.
///
/// ```
/// use std::time::Duration;
/// use xfer_core::concurrency::{Bounds, Controller, Sample};
/// let mut controller = Controller::new(Bounds::default());
/// assert_eq!(controller.limit(), 8);
/// let throttled = Sample { now: Duration::from_secs(1), bytes: 0, busy: 8, throttled: 3, computing: 40 };
/// assert_eq!(controller.tick(throttled), 5);
/// ```
#[derive(Clone, Debug)]
pub struct Controller {
    bounds: Bounds,
    limit: usize,
    phase: Phase,
    window: Window,
    /// Whether it is still at its start.
    rushing: bool,
    pause: Duration,
    throttled_at: Option<Duration>,
}

#[derive(Clone, Debug)]
enum Phase {
    /// Stays where it is until the next trial.
    Hold {
        /// Bytes per second, smoothed.
        rate: Option<f64>,
        /// Whether a clear rise led here, so that fewer are known to be too few.
        paid: bool,
        next_trial: Duration,
        upwards_next: bool,
    },
    /// Measures another level than `from`, where the throughput was `rate`.
    Trial { from: usize, rate: f64, paid: bool, sum: f64, windows: u32 },
}

/// What is being measured.
#[derive(Clone, Debug, Default)]
struct Window {
    /// Nothing counts before this time.
    not_before: Duration,
    began: Option<Duration>,
    bytes: u64,
    busy: usize,
    computing: usize,
    ticks: usize,
}

/// What a window has shown.
struct Measured {
    /// Bytes per second.
    rate: f64,
    /// Whether all requests that were allowed were used.
    full: bool,
    /// Whether the threads that move bytes had no time left.
    saturated: bool,
}

impl Controller {
    /// A controller at its start.
    #[must_use]
    pub fn new(bounds: Bounds) -> Controller {
        let min = bounds.min.max(1);
        let max = bounds.max.max(min);
        let bounds = Bounds { start: bounds.start.clamp(min, max), min, max };
        Controller {
            bounds,
            limit: bounds.start,
            phase: Phase::Hold { rate: None, paid: false, next_trial: Duration::ZERO, upwards_next: true },
            window: Window::default(),
            rushing: true,
            pause: FIRST_PAUSE,
            throttled_at: None,
        }
    }

    /// How many requests may be under way now.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Takes in what happened since the last tick, and says how many requests may be under way from now on. Ticks are best 50 to 100 ms
    /// apart.
    pub fn tick(&mut self, sample: Sample) -> usize {
        let now = sample.now;
        if sample.throttled > 0 {
            self.throttled(now);
        } else if let Some(Measured { rate, full, saturated }) =
            self.window.measure(&sample, self.limit, if self.rushing { RUSH_WINDOW } else { WINDOW })
        {
            match self.phase.clone() {
                Phase::Hold { rate: before, paid, next_trial, upwards_next } => {
                    if full {
                        let rate = before.map_or(rate, |before| (before + rate) / 2.0);
                        self.phase = Phase::Hold { rate: Some(rate), paid, next_trial, upwards_next };
                        if now >= next_trial {
                            self.begin_trial(rate, paid, upwards_next, saturated, now);
                        }
                    } else {
                        // There is too little to do to learn anything. When there is more again, much may have changed.
                        self.pause = FIRST_PAUSE;
                    }
                }
                Phase::Trial { from, rate: before, paid, sum, windows } => {
                    if full {
                        self.judge(from, before, paid, sum + rate, windows + 1, now);
                    } else {
                        let upwards = self.limit > from;
                        self.settle_at(from, Some(before), paid, now + FIRST_PAUSE, upwards, now);
                    }
                }
            }
        }
        self.limit
    }

    fn throttled(&mut self, now: Duration) {
        if self.throttled_at.is_some_and(|at| now.saturating_sub(at) < THROTTLE_REST) {
            return;
        }
        self.throttled_at = Some(now);
        self.rushing = false;
        let limit = (self.limit * 7 / 10).max(self.bounds.min);
        self.settle_at(limit, None, true, now + self.pause, true, now);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    fn begin_trial(&mut self, rate: f64, paid: bool, upwards_next: bool, saturated: bool, now: Duration) {
        let up = self.more();
        let down = fewer(self.limit).max(self.bounds.start);
        let (can_up, can_down) = (up > self.limit && !saturated, down < self.limit && !paid);
        let level = match (can_up, can_down) {
            (true, true) if upwards_next => up,
            (true, false) => up,
            (_, true) => down,
            (false, false) => return,
        };
        self.try_level(level, self.limit, rate, paid, now);
    }

    fn try_level(&mut self, level: usize, from: usize, rate: f64, paid: bool, now: Duration) {
        self.phase = Phase::Trial { from, rate, paid, sum: 0.0, windows: 0 };
        self.change(level, now);
    }

    /// After `windows` windows whose rates make `sum`: is the level of the trial better than where it came from?
    fn judge(&mut self, from: usize, before: f64, paid: bool, sum: f64, windows: u32, now: Duration) {
        let rate = sum / f64::from(windows);
        let upwards = self.limit > from;
        let (low, high) = if upwards { (from, self.limit) } else { (self.limit, from) };
        // What half as many more must bring, in proportion for smaller and larger steps.
        let demanded = GAIN * (high as f64 / low as f64 - 1.0) / 0.5;
        let gain = if upwards { rate / before.max(1.0) - 1.0 } else { before / rate.max(1.0) - 1.0 };
        let clear = gain >= CLEAR * demanded;
        if self.rushing && gain < RUSH_GAIN {
            // What it brings is worth a closer look.
            self.rushing = false;
            self.phase = Phase::Trial { from, rate: before, paid, sum: 0.0, windows: 0 };
            self.window = Window { not_before: now, ..Window::default() };
            return;
        }
        if !clear && windows < WINDOWS {
            self.phase = Phase::Trial { from, rate: before, paid, sum, windows };
            return;
        }
        let high_pays = gain >= demanded;
        if upwards && high_pays {
            self.pause = FIRST_PAUSE;
            let next = self.more();
            if next > self.limit {
                self.try_level(next, self.limit, rate, clear, now);
            } else {
                self.rushing = false;
                self.settle_at(self.limit, Some(rate), clear, now + FIRST_PAUSE, true, now);
            }
        } else if !upwards && !high_pays {
            self.settle_at(self.limit, Some(rate), false, now + FIRST_PAUSE, false, now);
        } else {
            // Back to where it was, which has just been shown to be right against one side.
            self.settle_at(from, Some(before), paid || !upwards && clear, now + self.pause, !upwards, now);
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn settle_at(
        &mut self,
        limit: usize,
        rate: Option<f64>,
        paid: bool,
        next_trial: Duration,
        upwards_next: bool,
        now: Duration,
    ) {
        self.phase = Phase::Hold { rate, paid, next_trial, upwards_next };
        self.change(limit, now);
    }

    fn change(&mut self, limit: usize, now: Duration) {
        self.limit = limit;
        let settle = if self.rushing { RUSH_SETTLE } else { SETTLE };
        self.window = Window { not_before: now + settle, ..Window::default() };
    }

    /// The next level upwards: twice as many at the start, then half as many again; all, when what would be left for the step after it
    /// is too little to be measured.
    fn more(&self) -> usize {
        let (limit, max) = (self.limit, self.bounds.max);
        let step = if self.rushing { limit } else { limit / 2 };
        let next = limit.saturating_add(step.max(1));
        if next.saturating_add(next / 4) >= max { max } else { next }
    }
}

impl Window {
    /// What was measured, once a window is over; it starts anew then.
    fn measure(&mut self, sample: &Sample, limit: usize, length: Duration) -> Option<Measured> {
        let Some(began) = self.began else {
            // The bytes of this tick were moved before the window.
            if sample.now >= self.not_before {
                self.began = Some(sample.now);
            }
            return None;
        };
        self.bytes = self.bytes.saturating_add(sample.bytes);
        self.busy = self.busy.saturating_add(sample.busy.min(limit));
        self.computing = self.computing.saturating_add(sample.computing);
        self.ticks += 1;
        let passed = sample.now.saturating_sub(began);
        if passed < length {
            return None;
        }
        let rate = self.bytes as f64 / passed.as_secs_f64();
        let full = self.busy as f64 >= FULL * (self.ticks * limit) as f64;
        let saturated = self.computing >= SATURATED * self.ticks;
        *self = Window { began: Some(sample.now), ..Window::default() };
        Some(Measured { rate, full, saturated })
    }
}

fn fewer(limit: usize) -> usize {
    (limit * 2 / 3).max(1)
}

#[cfg(test)]
mod tests;
