//! Bytes of a transfer, counted where they move and read by whoever shows progress.
//!
//! Each job counts in a place of its own, on cache lines of its own: lanes that move parts of one transfer do not meet when they count
//! a piece. Who asks for the sum adds up the jobs that are under way; that happens some times a second, a piece some ten thousand times.
//!
//! Invariants: a byte counts once, whatever attempts do; the sum never falls.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;
use xfer_core::checksum::{Checksum, Hasher};

use crate::stores::ChecksumStyle;

/// The bytes of one transfer.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    marks: Mutex<Marks>,
    reported: AtomicU64,
    /// The size plus one; 0 while it is not known.
    size: AtomicU64,
}

#[derive(Debug, Default)]
struct Marks {
    /// Bytes of the jobs that are over.
    over: u64,
    under_way: Vec<Arc<JobProgress>>,
}

impl Meter {
    /// The progress of a job that begins.
    pub(crate) fn begin_job(&self) -> Arc<JobProgress> {
        let progress = Arc::new(JobProgress::default());
        self.marks.lock().under_way.push(Arc::clone(&progress));
        progress
    }

    /// A job is over, all its attempts: what they have moved stays counted.
    pub(crate) fn end_job(&self, progress: &Arc<JobProgress>) {
        let mut marks = self.marks.lock();
        if let Some(place) = marks.under_way.iter().position(|known| Arc::ptr_eq(known, progress)) {
            marks.under_way.swap_remove(place);
            marks.over += progress.reached_so_far();
        }
    }

    /// Bytes moved so far.
    pub(crate) fn total(&self) -> u64 {
        let marks = self.marks.lock();
        marks.over + marks.under_way.iter().map(|progress| progress.reached_so_far()).sum::<u64>()
    }

    /// The size of the object, once it is known.
    pub(crate) fn size(&self) -> Option<u64> {
        self.size.load(Ordering::Relaxed).checked_sub(1)
    }

    pub(crate) fn set_size(&self, bytes: u64) {
        self.size.store(bytes.saturating_add(1), Ordering::Relaxed);
    }

    /// What has come since the last call of this; only one thread at a time may be told each byte.
    pub(crate) fn unreported(&self) -> u64 {
        let total = self.total();
        total.saturating_sub(self.reported.swap(total, Ordering::AcqRel))
    }
}

/// How far one job has come: survives its attempts, so that a repeated part counts no byte twice and a broken download goes on
/// where it broke. It is written to with every piece of a body, by one lane: no other lane's is near it.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct JobProgress {
    /// The most bytes of the job that any attempt has moved.
    high_water: AtomicU64,
    /// How often its request was sent, unanswered tries on dead connections included, and how often an answer said that it was not
    /// carried out.
    sends: AtomicU32,
    refusals: AtomicU32,
    /// How the next attempt sends its checksum, at the least: the store refused what came before.
    style: Mutex<ChecksumStyle>,
    /// The checksum that went with it last.
    pub(crate) sent: Mutex<Option<Checksum>>,
    /// Where a download's next attempt goes on: bytes landed, and the checksum of these.
    pub(crate) resume: Mutex<Option<Resume>>,
}

/// The state in which a broken download was left.
#[derive(Clone, Debug)]
pub(crate) struct Resume {
    pub(crate) landed: u64,
    pub(crate) hasher: Option<Hasher>,
}

impl JobProgress {
    /// An attempt has moved `bytes` of the job: counts what no earlier attempt had.
    pub(crate) fn reached(&self, bytes: u64) {
        self.high_water.fetch_max(bytes, Ordering::Relaxed);
    }

    /// The most bytes of the job that any attempt has moved.
    pub(crate) fn reached_so_far(&self) -> u64 {
        self.high_water.load(Ordering::Relaxed)
    }

    /// Notes that the job's request is sent: the store may carry it out, whether its answer comes or not.
    pub(crate) fn mark_sent(&self) {
        self.sends.fetch_add(1, Ordering::Relaxed);
    }

    /// The store refused a checksum that came in this style, or something else about the request: the next attempt sends it in the
    /// next style.
    pub(crate) fn refused_checksum(&self, style: ChecksumStyle) {
        let mut next = self.style.lock();
        *next = (*next).max(style.next());
    }

    /// How this job's checksum is to be sent, at the least.
    pub(crate) fn checksum_style(&self) -> ChecksumStyle {
        *self.style.lock()
    }

    /// How often its request was sent.
    pub(crate) fn sends(&self) -> u32 {
        self.sends.load(Ordering::Relaxed)
    }

    /// Notes that the answer to what was sent last rules out that the store carried it out.
    pub(crate) fn mark_refused(&self) {
        self.refusals.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the store may have carried it out although nobody knows.
    pub(crate) fn is_unanswered(&self) -> bool {
        self.sends() > self.refusals.load(Ordering::Relaxed)
    }

    /// Bytes that earlier attempts have landed.
    pub(crate) fn landed(&self) -> u64 {
        self.resume.lock().as_ref().map_or(0, |resume| resume.landed)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn repeated_attempts_count_each_byte_once() {
        let meter = Meter::default();
        let progress = meter.begin_job();
        for reached in [10, 60, 0, 30, 60, 61, 100, 100, 5] {
            progress.reached(reached);
        }
        assert_eq!(meter.total(), 100);
        assert_eq!(meter.unreported(), 100);
        assert_eq!(meter.unreported(), 0);
        meter.end_job(&progress);
        assert_eq!((meter.total(), meter.unreported()), (100, 0), "what is over stays counted");
        meter.end_job(&progress);
        assert_eq!(meter.total(), 100, "and counts once");

        let shared = meter.begin_job();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..=10_000).for_each(|reached| shared.reached(reached)));
            }
        });
        assert_eq!(meter.total(), 10_100);
        assert_eq!(meter.unreported(), 10_000);
    }

    #[test]
    fn the_sum_never_falls_while_jobs_come_and_go() {
        let meter = Meter::default();
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        for _ in 0..500 {
                            let progress = meter.begin_job();
                            (0..=10).for_each(|reached| progress.reached(reached));
                            meter.end_job(&progress);
                        }
                    })
                })
                .collect();
            let mut seen = 0;
            while !workers.iter().all(|worker| worker.is_finished()) {
                let total = meter.total();
                assert!(total >= seen, "{total} after {seen}");
                seen = total;
            }
        });
        assert_eq!(meter.total(), 4 * 500 * 10);
    }

    #[test]
    fn a_size_of_zero_is_known() {
        let meter = Meter::default();
        assert_eq!(meter.size(), None);
        meter.set_size(0);
        assert_eq!(meter.size(), Some(0));
    }
}
