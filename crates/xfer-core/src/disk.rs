//! How a file's bytes are read and written without holding others up.
//!
//! Decides: after a slow call, the next ones go elsewhere, and when these are quick again, they come back ([`Gate`]); whether a large
//! file is written past the page cache ([`DirectWrites`]), and by how much memory ([`BlockSupply`]); what is known of a file system
//! ([`FileSystem`]), and what a file that replaces another one may be used for by whom ([`kept_mode`]). Never: makes a call.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

/// A call that takes longer than this holds the sockets of its thread up noticeably: at 10 Gbit/s, 2 ms are 2.5 MB, which is about
/// what a socket's buffer can take in meanwhile.
const SLOW: Duration = Duration::from_millis(2);
/// How many quick calls in a row it takes to come back: a page cache that is being written out is quick in between.
const QUICK_AGAIN: u32 = 32;

/// The rule for one file, of which several threads may move a part each. While the file is quick they only look at it.
///
/// ```
/// use std::time::Duration;
/// use xfer_core::disk::Gate;
/// let gate = Gate::default();
/// assert!(gate.is_quick());
/// gate.took(Duration::from_millis(40));
/// assert!(!gate.is_quick());
/// ```
#[derive(Debug, Default)]
pub struct Gate {
    /// Quick calls that are still needed before it opens.
    closed_for: AtomicU32,
}

impl Gate {
    /// Whether the next call may be made in place.
    #[must_use]
    pub fn is_quick(&self) -> bool {
        self.closed_for.load(Ordering::Relaxed) == 0
    }

    /// A call took so long.
    pub fn took(&self, time: Duration) {
        if time > SLOW {
            self.closed_for.store(QUICK_AGAIN, Ordering::Relaxed);
        } else if !self.is_quick() {
            // Another thread may have opened it meanwhile: then there is nothing to count down.
            let _ = self.closed_for.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        }
    }
}

/// A file of so many bytes is large: to free its pages and blocks, or to have them allocated, takes longer than a [`Gate`] calls quick.
const LARGE: u64 = 32 << 20;

/// Whether removing or replacing a file of so many bytes holds the sockets of its thread up.
///
/// ```
/// use xfer_core::disk::is_large;
/// assert!(!is_large(1 << 20));
/// assert!(is_large(1 << 30));
/// ```
#[must_use]
pub fn is_large(bytes: u64) -> bool {
    bytes >= LARGE
}

/// A kind of file system, by the number that Linux tells it by (`linux/magic.h`, and the sources of those that are not part of Linux).
///
/// ```
/// use xfer_core::disk::FileSystem;
/// assert!(FileSystem(0xef53).is_local());
/// let nfs = FileSystem(0x6969);
/// assert!(!nfs.is_local() && !nfs.takes_direct_writes());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSystem(pub u32);

impl FileSystem {
    /// ext2 to ext4, and XFS: those that are known to write directly what is aligned to pages. Those in memory take the flag and gain
    /// nothing.
    const DIRECT: [u32; 2] = [0xef53, 0x5846_5342];
    /// Btrfs, bcachefs, F2FS, JFS, ReiserFS, NILFS, ZFS, NTFS, FAT, exFAT, tmpfs, ramfs, overlayfs.
    const LOCAL: [u32; 13] = [
        0x9123_683e,
        0xca45_1a4e,
        0xf2f5_2010,
        0x3153_464a,
        0x5265_4973,
        0x3434,
        0x2fc1_2fc1,
        0x7366_746e,
        0x4d44,
        0x2011_bab0,
        0x0102_1994,
        0x8584_58f6,
        0x794c_7630,
    ];

    /// Whether files can be written past the page cache, and it helps.
    #[must_use]
    pub fn takes_direct_writes(self) -> bool {
        FileSystem::DIRECT.contains(&self.0)
    }

    /// Whether it is known that a write that succeeded has its space. On the others, such as NFS, it is told later that there was none,
    /// or that the server is gone: when the file is synced or closed.
    #[must_use]
    pub fn is_local(self) -> bool {
        self.takes_direct_writes() || FileSystem::LOCAL.contains(&self.0)
    }
}

/// The permissions of a file that takes the place of one with these, so that nobody may do what was not allowed before: what a program
/// that it is may gain is left out, and if the group could not be kept, another one may do only what everybody may.
///
/// ```
/// use xfer_core::disk::kept_mode;
/// assert_eq!(kept_mode(0o104_750, true), 0o750);
/// assert_eq!(kept_mode(0o100_664, false), 0o644);
/// ```
#[must_use]
pub fn kept_mode(replaced: u32, keeps_group: bool) -> u32 {
    let mode = replaced & 0o777;
    if keeps_group { mode } else { mode & (0o707 | (mode & 0o007) << 3) }
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
    refused: bool,
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

    /// The system does not take direct writes of this file after all.
    pub fn refuse(&mut self) {
        self.refused = true;
    }

    /// Whether the next part is to be written directly.
    #[must_use]
    pub fn are_on(&self) -> bool {
        let limits = self.waiting.as_secs_f64() >= DISK_LIMITS * self.writing.as_secs_f64();
        let slow = (self.bytes as f64) < SLOW_DISK * self.elapsed.as_secs_f64();
        !self.refused && (self.bytes < DIRECT_TRIAL || !(limits && slow))
    }
}

/// The rule for the memory of direct writes, [`MEMORY`](Self::MEMORY) in all. A block belongs to one part from its first byte until it is written: over
/// many slow connections a few large blocks would be filled for long, and keep the other connections waiting. So there are more and smaller ones
/// then, which cost a quick disk more time for each byte.
///
/// ```
/// use xfer_core::disk::BlockSupply;
/// let blocks = BlockSupply::default();
/// assert_eq!(blocks.size(), 1 << 20);
/// // For as long as a wait may take no block was filled, and none is being written.
/// blocks.waited_for(1 << 20, 0, 0);
/// assert_eq!(blocks.size(), 512 << 10);
/// ```
#[derive(Debug)]
pub struct BlockSupply {
    size: AtomicUsize,
}

impl BlockSupply {
    /// Bytes of all blocks together. With more, a quick network and a quick disk are no quicker.
    pub const MEMORY: usize = 8 << 20;
    /// The smallest size in bytes: about what a slow connection's socket takes in while it waits for its turn.
    pub const SMALLEST: usize = 128 << 10;
    /// After such a wait for a block they may become smaller.
    pub const PATIENCE: Duration = Duration::from_millis(25);
    /// The first size in bytes: large enough that a disk is busy with it for much longer than a thread takes to wake up.
    const LARGEST: usize = 1 << 20;

    /// The size of the next block in bytes. One that is larger and has as many bytes is full as well.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size.load(Ordering::Relaxed)
    }

    /// A part has waited [`PATIENCE`](Self::PATIENCE) for a block of this size. So many are being written now: if these are many it waits for the
    /// disk, which is no quicker with smaller ones. And so many have come back meanwhile: if it is as many as there are, they are filled quickly,
    /// and there is just much to fill them with.
    pub fn waited_for(&self, size: usize, being_written: usize, came_back: usize) {
        let count = BlockSupply::MEMORY / size;
        if size > BlockSupply::SMALLEST && being_written * 2 < count && came_back < count {
            // Unless another one that waited was the first to tell.
            let _ = self.size.compare_exchange(size, size / 2, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Nothing is written any more: the next time may be another one.
    pub fn rest(&self) {
        self.size.store(BlockSupply::LARGEST, Ordering::Relaxed);
    }
}

impl Default for BlockSupply {
    fn default() -> BlockSupply {
        BlockSupply { size: AtomicUsize::new(BlockSupply::LARGEST) }
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
        let mut refused = DirectWrites::default();
        refused.refuse();
        assert!(!refused.are_on(), "at once");
    }

    #[test]
    fn what_replaces_a_file_allows_nobody_more() {
        for mode in 0..=0o7777 {
            assert_eq!(kept_mode(0o100_000 | mode, true), mode & 0o777);
            let (kept, everybody) = (kept_mode(mode, false), mode & 0o007);
            assert_eq!((kept & 0o707, kept & 0o070), (mode & 0o707, mode & 0o070 & everybody << 3), "{mode:o}");
        }
    }

    #[test]
    fn only_what_is_known_to_be_local_is_taken_for_local() {
        for network in [0x6969, 0xfe53_4d42, 0xff53_4d42, 0x517b, 0x6573_5546, 0x0102_1997, 0x00c3_6400, 0x0bd0_0bd0, 0]
        {
            let system = FileSystem(network);
            assert!(!system.is_local() && !system.takes_direct_writes(), "{network:x}");
        }
        assert!(FileSystem(0x5846_5342).is_local() && FileSystem(0x5846_5342).takes_direct_writes());
        assert!(FileSystem(0x0102_1994).is_local() && !FileSystem(0x0102_1994).takes_direct_writes());
    }

    #[test]
    fn blocks_become_smaller_while_slow_connections_fill_them_and_at_no_other_time() {
        let blocks = BlockSupply::default();
        let first = blocks.size();
        let count = BlockSupply::MEMORY / first;
        blocks.waited_for(first, count / 2, 0);
        assert_eq!(blocks.size(), first, "half of them wait for the disk");
        blocks.waited_for(first, 0, count);
        assert_eq!(blocks.size(), first, "each was filled and written meanwhile");
        blocks.waited_for(first, count / 2 - 1, count - 1);
        assert_eq!(blocks.size(), first / 2);
        blocks.waited_for(first, 0, 0);
        assert_eq!(blocks.size(), first / 2, "another one waited at the same time");
        for _ in 0..9 {
            blocks.waited_for(blocks.size(), 0, 0);
        }
        assert_eq!(blocks.size(), BlockSupply::SMALLEST);
        blocks.rest();
        assert_eq!(blocks.size(), first);
    }

    #[test]
    fn one_slow_call_closes_and_enough_quick_ones_open() {
        let gate = Gate::default();
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
    fn parts_of_one_file_have_one_gate() {
        let gate = Gate::default();
        let parts: [&Gate; 2] = [&gate, &gate];
        parts[0].took(SLOW * 2);
        assert!(!parts[1].is_quick());
        for call in 0..QUICK_AGAIN as usize {
            parts[call % 2].took(Duration::ZERO);
        }
        assert!(parts.iter().all(|part| part.is_quick()));
    }

    #[test]
    fn another_slow_call_begins_anew() {
        let gate = Gate::default();
        gate.took(Duration::from_secs(1));
        for _ in 1..QUICK_AGAIN {
            gate.took(Duration::ZERO);
        }
        gate.took(Duration::from_secs(1));
        gate.took(Duration::ZERO);
        assert!(!gate.is_quick());
    }
}
