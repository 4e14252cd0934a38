//! Half-open byte ranges `[start, end)` of an object, a file or a part.

use std::fmt;

/// The bytes from `start` up to but not including `end`.
///
/// ```
/// use xfer_core::range::ByteRange;
/// let range = ByteRange::new(8, 12);
/// assert_eq!(range.len(), 4);
/// assert_eq!(range.header(), "bytes=8-11");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ByteRange {
    /// Offset of the first byte.
    pub start: u64,
    /// Offset behind the last byte.
    pub end: u64,
}

impl ByteRange {
    /// The range from `start` to before `end`; empty when `end` is not behind `start`.
    #[must_use]
    pub fn new(start: u64, end: u64) -> ByteRange {
        ByteRange { start, end: end.max(start) }
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(self) -> u64 {
        self.end - self.start
    }

    /// Whether there is no byte in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// What is left of the range once its first `done` bytes are there.
    #[must_use]
    pub fn after(self, done: u64) -> ByteRange {
        ByteRange { start: self.start.saturating_add(done).min(self.end), end: self.end }
    }

    /// The value of a `Range` header that asks for it. An empty range has none in HTTP; callers do not ask for one.
    #[must_use]
    pub fn header(self) -> String {
        format!("bytes={}-{}", self.start, self.end.saturating_sub(1))
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

#[cfg(test)]
mod tests;
