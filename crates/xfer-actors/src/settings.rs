//! The numbers of a system: how many lanes, how much at once, how big the parts.

use std::time::Duration;

use xfer_core::budget::Limits;
use xfer_core::concurrency::Bounds;
use xfer_core::disk::DIRECT_WRITES_FROM;
use xfer_core::plan::{DEFAULT_MULTIPART_THRESHOLD, DEFAULT_PART_SIZE};
use xfer_core::restart::RestartPolicy;
use xfer_core::retry::RetryPolicy;

/// Default for `memory_limit`: eight parts of the default size. Files need none of it, see there.
pub(crate) const DEFAULT_MEMORY_LIMIT: u64 = 64 << 20;

/// How a system is built. Every field has a default; change what you know better.
///
/// ```
/// use xfer_actors::Settings;
/// let settings = Settings { lanes: 4, ..Settings::default() };
/// assert_eq!(settings.part_size, 8 << 20);
/// ```
#[derive(Clone, Debug)]
pub struct Settings {
    /// Lanes, each a thread; default 1. The facade sets it to the cores that the process may use.
    pub lanes: usize,
    /// Part size in bytes; default 8 MiB, as that of `s3transfer`.
    pub part_size: u64,
    /// Largest object in bytes that is uploaded with one request; default 8 MiB.
    pub multipart_threshold: u64,
    /// Most requests, and so connections, at once; the controller of `xfer_core::concurrency` stays below it. Default 64: what a
    /// far S3 with 60 MB/s a connection needs for 30 Gbit/s.
    pub max_connections: usize,
    /// Bytes of memory for parts that must be kept whole: of sources that are read once, and of in-order targets. Default 64 MiB.
    /// Files go through the lanes' buffers and take nothing of it.
    pub memory_limit: u64,
    /// Most bytes of objects per second that all transfers together send and receive, at least 1; default `None`, for as many as there can be.
    /// It leaves one request at once for each 32 KiB of it, and two at the least.
    pub max_bandwidth: Option<u64>,
    /// From this size in bytes on downloaded files are written past the page cache, where the file system is known for it and the disk is
    /// not too slow; default 1 GiB. `u64::MAX` for never.
    pub direct_writes_from: u64,
    /// Retries of requests.
    pub retry: RetryPolicy,
    /// Restarts of actors.
    pub restart: RestartPolicy,
    /// How often listeners are told of progress; default 100 ms, at the least 50 ms.
    pub progress_interval: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            lanes: 1,
            part_size: DEFAULT_PART_SIZE,
            multipart_threshold: DEFAULT_MULTIPART_THRESHOLD,
            max_connections: 64,
            memory_limit: DEFAULT_MEMORY_LIMIT,
            max_bandwidth: None,
            direct_writes_from: DIRECT_WRITES_FROM,
            retry: RetryPolicy::default(),
            restart: RestartPolicy::default(),
            progress_interval: Duration::from_millis(100),
        }
    }
}

/// What one transfer has of its own; where nothing is said, the system's [`Settings`] hold.
///
/// ```
/// use xfer_actors::Tuning;
/// // One transfer that shall leave room for others: small parts, four of them at once.
/// let tuning = Tuning { part_size: Some(5 << 20), max_requests: Some(4), ..Tuning::default() };
/// assert_eq!(tuning.progress_interval, None); // as the system has it
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tuning {
    /// Part size in bytes.
    pub part_size: Option<u64>,
    /// Largest object in bytes that is uploaded with one request.
    pub multipart_threshold: Option<u64>,
    /// Most parts of the transfer under way at once.
    pub max_requests: Option<usize>,
    /// How often its listeners are told of progress.
    pub progress_interval: Option<Duration>,
}

impl Settings {
    /// Between which numbers of requests the controller works.
    pub(crate) fn bounds(&self) -> Bounds {
        let max = self.max_connections.max(1);
        let default = Bounds::default();
        Bounds { start: default.start.min(max), min: default.min.min(max), max }
    }

    /// The budget's limits at the start: the controller begins with few requests and grows.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            requests: self.bounds().start,
            connections: self.max_connections.max(1),
            transfers: self.begun_transfers(),
            memory: self.memory_limit,
            bytes_per_second: self.max_bandwidth,
        }
    }

    /// How many transfers may have begun and not ended, each with its file open: twice as many as there are connections, so that none of
    /// these has to wait for a transfer's first or last request; and no more than the usual limit of 1,024 open files has room for, with
    /// two for each download that goes past the page cache, beside as many connections.
    fn begun_transfers(&self) -> usize {
        self.max_connections.saturating_mul(2).clamp(16, 256)
    }

    /// How many parts of one transfer may be in memory: all that fit but one, which is left to others, since this one may wait for them in the
    /// caller's program; at least two, so that one can be filled while another is sent.
    pub(crate) fn memory_window(&self, part_size: u64) -> usize {
        let fit = usize::try_from(self.memory_limit / part_size.max(1)).unwrap_or(usize::MAX);
        fit.saturating_sub(1).clamp(2, 64)
    }
}
