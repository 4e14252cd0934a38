//! How an object is cut into parts and ranges.
//!
//! Decides: whether an upload is one request or many, how large its parts are, and which ranges a download asks for.
//! Never reads a file and never asks a store: lengths come in, ranges go out.
//!
//! Invariants: the ranges of a plan cover the object exactly, in order and without overlap; an upload has at most
//! [`MAX_PARTS`] parts, of which all but the last are as large as S3 demands.

use crate::error::{Error, ErrorKind};
pub use crate::id::MAX_PARTS;
use crate::id::PartNumber;
use crate::range::ByteRange;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

/// The part size in bytes when none is asked for: 8 MiB, as in the CRT client and the AWS command line tool.
pub const DEFAULT_PART_SIZE: u64 = 8 * MIB;

/// The smallest part in bytes that S3 takes, but for the last: 5 MiB (S3 user guide, "Multipart upload limits").
pub const MIN_PART_SIZE: u64 = 5 * MIB;

/// The largest part in bytes, and the largest object that one PutObject can store: 5 GiB (S3 user guide, same page).
pub const MAX_PART_SIZE: u64 = 5 * GIB;

/// The largest object in bytes: 48.8 TiB, which is 10,000 parts of 5 GiB (S3 user guide, same page; announced in December 2025 as
/// "50 TB"). It was 5 TiB before, and still is in many compatible stores: they refuse what they do not take.
pub const MAX_OBJECT_SIZE: u64 = MAX_PARTS as u64 * MAX_PART_SIZE;

/// The largest upload in bytes that is sent as one PutObject when nothing else is asked for: 8 MiB, one part.
pub const DEFAULT_MULTIPART_THRESHOLD: u64 = DEFAULT_PART_SIZE;

/// How an upload of known length is sent.
///
/// ```
/// use xfer_core::plan::{DEFAULT_MULTIPART_THRESHOLD, DEFAULT_PART_SIZE, UploadPlan};
/// let plan = |length| UploadPlan::known(length, DEFAULT_PART_SIZE, DEFAULT_MULTIPART_THRESHOLD);
/// assert!(matches!(plan(8 << 20)?, UploadPlan::Single { .. }));
/// let UploadPlan::Multipart(layout) = plan(20 << 20)? else { panic!("above the threshold") };
/// assert_eq!((layout.count(), layout.part_size()), (3, 8 << 20));
/// # Ok::<(), xfer_core::error::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadPlan {
    /// With one PutObject.
    Single {
        /// The object's length in bytes.
        length: u64,
    },
    /// As a multipart upload.
    Multipart(PartLayout),
}

impl UploadPlan {
    /// The plan for `length` bytes.
    ///
    /// Up to and including `threshold` bytes (at most 5 GiB, S3's limit) it is a single request. Above that, the part size is
    /// `part_size`, raised to [`MIN_PART_SIZE`], and to as many whole MiB as it takes to need no more than [`MAX_PARTS`] parts.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] when `part_size` is above [`MAX_PART_SIZE`]; [`ErrorKind::TooLarge`] when `length` is above
    /// [`MAX_OBJECT_SIZE`].
    pub fn known(length: u64, part_size: u64, threshold: u64) -> Result<UploadPlan, Error> {
        let part_size = checked_part_size(part_size)?;
        if length > MAX_OBJECT_SIZE {
            let message = format!("{length} bytes are more than the {MAX_OBJECT_SIZE} that an object may have");
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        if length <= threshold.min(MAX_PART_SIZE) {
            return Ok(UploadPlan::Single { length });
        }
        let needed = length.div_ceil(u64::from(MAX_PARTS));
        let part_size = if needed > part_size { needed.next_multiple_of(MIB) } else { part_size };
        Ok(UploadPlan::Multipart(PartLayout { length, part_size }))
    }
}

/// `part_size`, raised to what S3 demands.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] when it is above [`MAX_PART_SIZE`].
///
/// ```
/// use xfer_core::plan::{MAX_PART_SIZE, MIN_PART_SIZE, checked_part_size};
/// assert_eq!(checked_part_size(1)?, MIN_PART_SIZE);
/// assert!(checked_part_size(MAX_PART_SIZE + 1).is_err());
/// # Ok::<(), xfer_core::error::Error>(())
/// ```
pub fn checked_part_size(part_size: u64) -> Result<u64, Error> {
    if part_size > MAX_PART_SIZE {
        let message = format!("a part of {part_size} bytes is larger than the {MAX_PART_SIZE} that S3 takes");
        return Err(Error::new(ErrorKind::InvalidArgument, message));
    }
    Ok(part_size.max(MIN_PART_SIZE))
}

/// The parts of an upload whose length is known: all alike but for the last, which is never empty.
///
/// ```
/// use xfer_core::id::PartNumber;
/// use xfer_core::plan::UploadPlan;
/// use xfer_core::range::ByteRange;
/// let UploadPlan::Multipart(layout) = UploadPlan::known(20 << 20, 8 << 20, 8 << 20)? else { panic!("above the threshold") };
/// let last = PartNumber::new(3).ok_or("a part")?;
/// assert_eq!(layout.range(last), Some(ByteRange::new(16 << 20, 20 << 20)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartLayout {
    length: u64,
    part_size: u64,
}

impl PartLayout {
    /// The object's length in bytes, above 0.
    #[must_use]
    pub fn length(self) -> u64 {
        self.length
    }

    /// The size in bytes of each part but the last.
    #[must_use]
    pub fn part_size(self) -> u64 {
        self.part_size
    }

    /// The number of parts, 1 to [`MAX_PARTS`].
    #[must_use]
    pub fn count(self) -> u32 {
        u32::try_from(self.length.div_ceil(self.part_size)).unwrap_or(MAX_PARTS)
    }

    /// The bytes of part `number`; `None` behind the last part.
    #[must_use]
    pub fn range(self, number: PartNumber) -> Option<ByteRange> {
        let start = self.part_size * u64::from(number.get() - 1);
        (start < self.length).then(|| ByteRange::new(start, (start + self.part_size).min(self.length)))
    }
}

/// Parts of an upload without a length stay at the base size this long.
const GROWTH_STARTS_AFTER: u32 = 1_000;

/// From there on the part size doubles each time that so many parts are sent.
const GROWTH_PERIOD: u32 = 500;

/// The size in bytes of part `number` of an upload whose length nobody knows; the last part may be shorter.
///
/// The first 1,000 parts have the size `base` (raised to [`MIN_PART_SIZE`]); then the size doubles every 500 parts, up to
/// [`MAX_PART_SIZE`]. So a part is never larger than about 1/500 of what was sent before it, and memory for parts that have
/// to be kept stays in proportion to the object.
///
/// With the default base of 8 MiB that reaches 26 TiB ([`growing_reach`]), five times what an object could have before
/// 2025. The 48.8 TiB of [`MAX_OBJECT_SIZE`] are 10,000 parts of the largest size, so that only uploads of known length can reach
/// them; a larger base comes closer.
///
/// ```
/// use xfer_core::id::PartNumber;
/// use xfer_core::plan::growing_part_size;
/// let size = |n| PartNumber::new(n).map(|number| growing_part_size(number, 8 << 20) >> 20);
/// assert_eq!((size(1), size(1_000), size(1_001), size(1_501)), (Some(8), Some(8), Some(16), Some(32)));
/// assert_eq!(size(10_000), Some(5 * 1024));
/// ```
#[must_use]
pub fn growing_part_size(number: PartNumber, base: u64) -> u64 {
    let base = base.clamp(MIN_PART_SIZE, MAX_PART_SIZE);
    let doublings = match number.get().checked_sub(GROWTH_STARTS_AFTER + 1) {
        None => 0,
        Some(behind) => 1 + behind / GROWTH_PERIOD,
    };
    // 5 MiB become 5 GiB by ten doublings; more than 10 cannot be needed, and 5 GiB << 10 is far from overflow.
    (base << doublings.min(10)).min(MAX_PART_SIZE)
}

/// How many bytes an upload without a length can have, starting from parts of `base` bytes.
///
/// ```
/// use xfer_core::plan::growing_reach;
/// assert!(growing_reach(8 << 20) > 25 << 40, "more than 25 TiB");
/// ```
#[must_use]
pub fn growing_reach(base: u64) -> u64 {
    (1..=MAX_PARTS).filter_map(PartNumber::new).map(|number| growing_part_size(number, base)).sum()
}

/// How many bytes of a download of `size` bytes the first request lands.
///
/// The whole object when it has at most one and a half times `part_size`: the rest is not worth another request. Otherwise `part_size`.
///
/// ```
/// use xfer_core::plan::first_part_length;
/// assert_eq!(first_part_length(0, 100), 0);
/// assert_eq!(first_part_length(150, 100), 150);
/// assert_eq!(first_part_length(151, 100), 100);
/// ```
#[must_use]
pub fn first_part_length(size: u64, part_size: u64) -> u64 {
    let part_size = part_size.max(1);
    if size <= most_of_first_part(part_size) { size } else { part_size }
}

/// The most bytes that the first request of a download can land, before the object's size is known.
///
/// ```
/// use xfer_core::plan::{first_part_length, most_of_first_part};
/// let most = most_of_first_part(100);
/// assert_eq!(first_part_length(most, 100), most);
/// ```
#[must_use]
pub fn most_of_first_part(part_size: u64) -> u64 {
    part_size.saturating_add(part_size / 2)
}

/// The ranges of a download, counted from the start of what is downloaded: range 0 comes with the first request, the others step by the
/// part size, and the last is capped.
///
/// ```
/// use xfer_core::plan::DownloadPlan;
/// use xfer_core::range::ByteRange;
/// let plan = DownloadPlan::new(0, 250, 100)?;
/// assert_eq!(plan.count(), 3);
/// assert_eq!(plan.range(2), Some(ByteRange::new(200, 250)));
/// # Ok::<(), xfer_core::error::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DownloadPlan {
    start: u64,
    size: u64,
    part_size: u64,
}

impl DownloadPlan {
    /// The plan for `size` bytes from offset `start` of the object. A part size of 0 counts as 1.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] when that takes more than 2^31 requests, or offsets beyond 2^64.
    pub fn new(start: u64, size: u64, part_size: u64) -> Result<DownloadPlan, Error> {
        let plan = DownloadPlan { start, size, part_size: part_size.max(1) };
        if start.checked_add(size).is_none() || size.div_ceil(plan.part_size) > 1 << 31 {
            let message = format!("{size} bytes from {start} cannot be fetched in parts of {part_size}");
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        Ok(plan)
    }

    /// Size in bytes of what is downloaded.
    #[must_use]
    pub fn size(self) -> u64 {
        self.size
    }

    /// How many ranges there are, the first included: at least 1, also of an empty object.
    #[must_use]
    pub fn count(self) -> u32 {
        if first_part_length(self.size, self.part_size) == self.size {
            return 1;
        }
        u32::try_from(self.size.div_ceil(self.part_size)).unwrap_or(u32::MAX)
    }

    /// The bytes of range `index`, from 0, as offsets in the object; `None` behind the last.
    #[must_use]
    pub fn range(self, index: u32) -> Option<ByteRange> {
        if index >= self.count() {
            return None;
        }
        let length = if index == 0 { first_part_length(self.size, self.part_size) } else { self.part_size };
        let from = u64::from(index) * self.part_size;
        Some(ByteRange::new(self.start + from, self.start + (from + length).min(self.size)))
    }
}

#[cfg(test)]
mod tests;
