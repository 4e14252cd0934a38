//! Names for things: transfers, jobs, attempts, parts.
//!
//! Invariant: a [`PartNumber`] is always within S3's limits, so no code after its construction checks again.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One upload, download or delete, unique within a process.
///
/// ```
/// use xfer_core::id::TransferId;
/// assert_eq!(TransferId(7).to_string(), "t7");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TransferId(pub u64);

impl fmt::Display for TransferId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}", self.0)
    }
}

/// One job of a transfer, unique within the transfer.
///
/// ```
/// use xfer_core::id::JobId;
/// assert_eq!(JobId(0).to_string(), "j0");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(pub u32);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "j{}", self.0)
    }
}

/// How often a job has been tried, from 1 for the first try.
///
/// ```
/// use xfer_core::id::Attempt;
/// assert_eq!(Attempt::FIRST.next(), Attempt(2));
/// assert_eq!(Attempt(2).to_string(), "#2");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Attempt(pub u32);

impl Attempt {
    /// The first try.
    pub const FIRST: Attempt = Attempt(1);

    /// The try after this one.
    #[must_use]
    pub fn next(self) -> Attempt {
        Attempt(self.0.saturating_add(1))
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// The most parts that S3 allows in one multipart upload (S3 user guide, "Multipart upload limits").
pub const MAX_PARTS: u32 = 10_000;

/// The number of a part in a multipart upload: 1 to 10,000.
///
/// ```
/// use xfer_core::id::PartNumber;
/// assert_eq!(PartNumber::new(1), Some(PartNumber::FIRST));
/// assert_eq!(PartNumber::new(0), None);
/// assert_eq!(PartNumber::new(10_001), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartNumber(u32);

impl PartNumber {
    /// Part 1.
    pub const FIRST: PartNumber = PartNumber(1);

    /// The part number `n`, if S3 has one.
    #[must_use]
    pub fn new(n: u32) -> Option<PartNumber> {
        (1..=MAX_PARTS).contains(&n).then_some(PartNumber(n))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }

    /// The part's place in a list of all parts, from 0.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize - 1
    }
}

impl fmt::Display for PartNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests;
