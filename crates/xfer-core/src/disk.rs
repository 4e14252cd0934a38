//! How a file's bytes are read and written without holding others up.
//!
//! Decides: after a slow call, the next ones go elsewhere, and when these are quick again, they come back ([`Gate`]); whether a large
//! file is written past the page cache ([`DirectWrites`]), and by how much memory ([`BlockSupply`]). Never: makes a call.

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

/// From this size in bytes on a file is written past the page cache, if that can be, unless somebody says otherwise. A smaller one is likely
/// to be read again soon, and to be there still.
pub const DIRECT_WRITES_FROM: u64 = 1 << 30;
/// So much is written before it is judged.
const DIRECT_TRIAL: u64 = 128 << 20;
/// A disk that takes fewer bytes per second than this is slower than the networks that large files come by: behind such a one the page cache
/// is worth its price, since it takes in what the disk has yet to write. Network disks in the cloud commonly take 125 MB/s, local ones
/// 500 MB/s and more.
const SLOW_DISK: f64 = 250e6;
/// The disk is what limits when so large a share of the time of its writes is waited for.
const DISK_LIMITS: f64 = 0.5;

/// The rule for the writes of one large file.
///
/// ```
/// use std::time::Duration;
/// use xfer_core::disk::DirectWrites;
/// let mut writes = DirectWrites::default();
/// assert!(writes.are_on());
/// // A disk that takes 128 MB/s, and for which the network waits.
/// writes.wrote(256_000_000, Duration::from_secs(2), Duration::from_secs(2));
/// writes.waited(Duration::from_millis(1_900));
/// assert!(!writes.are_on());
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct DirectWrites {
    bytes: u64,
    writing: Duration,
    waiting: Duration,
    elapsed: Duration,
}

impl DirectWrites {
    /// A write of so many bytes took so long, and ended when so much time had passed since the file was opened.
    pub fn wrote(&mut self, bytes: u64, time: Duration, elapsed: Duration) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.writing = self.writing.saturating_add(time);
        self.elapsed = self.elapsed.max(elapsed);
    }

    /// A part had its next bytes ready and waited so long for the write of those before.
    pub fn waited(&mut self, time: Duration) {
        self.waiting = self.waiting.saturating_add(time);
    }

    /// Whether the next part is to be written directly.
    #[must_use]
    pub fn are_on(&self) -> bool {
        let limits = self.waiting.as_secs_f64() >= DISK_LIMITS * self.writing.as_secs_f64();
        let slow = (self.bytes as f64) < SLOW_DISK * self.elapsed.as_secs_f64();
        self.bytes < DIRECT_TRIAL || !(limits && slow)
    }
}

/// Blocks of memory that direct writes begin with. With a quick network and a quick disk more would only be more memory.
const USUAL_BLOCKS: usize = 8;
/// And the most of them.
const MOST_BLOCKS: usize = 32;

/// The rule for the memory of direct writes. A block belongs to one part from its first byte until it is written: over a network that is quick
/// because it has many slow connections, a few blocks would be filled for long, and keep the other connections waiting.
///
/// ```
/// use xfer_core::disk::BlockSupply;
/// let mut blocks = BlockSupply::default();
/// assert_eq!(blocks.count(), 8);
/// blocks.waited_for(0);
/// assert_eq!(blocks.count(), 9);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockSupply {
    count: usize,
}

impl BlockSupply {
    /// After such a wait for a block there may be one more.
    pub const PATIENCE: Duration = Duration::from_millis(25);

    /// How many there may be.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// A part has waited [`PATIENCE`](Self::PATIENCE) for a block, and so many are being written now: if these are many it waits for the disk,
    /// which is no quicker with more of them. Returns whether there is one more.
    pub fn waited_for(&mut self, being_written: usize) -> bool {
        let more = self.count < MOST_BLOCKS && being_written * 2 < self.count;
        self.count += usize::from(more);
        more
    }
}

impl Default for BlockSupply {
    fn default() -> BlockSupply {
        BlockSupply { count: USUAL_BLOCKS }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_disk_is_left_to_the_page_cache_unless_the_network_is_slower() {
        let second = Duration::from_secs(1);
        let writes = |bytes: u64, waited: Duration| {
            let mut writes = DirectWrites::default();
            writes.wrote(bytes, second, second);
            writes.waited(waited);
            writes.are_on()
        };
        assert!(writes(DIRECT_TRIAL - 1, second), "too early to say");
        assert!(!writes(DIRECT_TRIAL, second), "134 MB/s, and all of the time was waited for");
        assert!(writes(DIRECT_TRIAL, second / 4), "134 MB/s was all that came");
        assert!(writes(250_000_000, second), "a quick disk");
    }

    #[test]
    fn blocks_become_more_while_the_network_fills_them_and_not_while_the_disk_empties_them() {
        let mut blocks = BlockSupply::default();
        assert!(!blocks.waited_for(USUAL_BLOCKS), "all wait for the disk");
        assert!(!blocks.waited_for(USUAL_BLOCKS / 2), "half of them do");
        assert!(blocks.waited_for(USUAL_BLOCKS / 2 - 1));
        assert_eq!(blocks.count(), USUAL_BLOCKS + 1);
        while blocks.waited_for(0) {}
        assert_eq!(blocks.count(), MOST_BLOCKS);
    }

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
