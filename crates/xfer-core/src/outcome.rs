//! What a finished transfer tells: [`TransferOutcome`], and what was [`Verified`].

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::checksum::Algorithm;

/// What was compared with a checksum, end to end. Always true: when nothing could be compared, it says so.
///
/// ```
/// use xfer_core::checksum::Algorithm;
/// use xfer_core::outcome::Verified;
/// assert_eq!(Verified::FullObject(Algorithm::Crc64Nvme).to_string(), "full object, CRC64NVME");
/// assert_eq!(Verified::NotAvailable.to_string(), "not available");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Verified {
    /// The whole object, against the store's full-object checksum, or by the store against ours.
    FullObject(Algorithm),
    /// Every part for itself, but not the object that they make.
    EachPart(Algorithm),
    /// Nothing: the store has no checksum for these bytes, or validation was turned off.
    NotAvailable,
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verified::FullObject(algorithm) => write!(f, "full object, {algorithm}"),
            Verified::EachPart(algorithm) => write!(f, "each part, {algorithm}"),
            Verified::NotAvailable => f.write_str("not available"),
        }
    }
}

/// A transfer that succeeded. `Debug` shows how long its body is, and not what is in it.
///
/// ```
/// use std::time::Duration;
/// use xfer_core::outcome::TransferOutcome;
/// /// MB in a second.
/// fn speed(outcome: &TransferOutcome) -> f64 {
///     outcome.bytes as f64 / 1e6 / outcome.elapsed.as_secs_f64()
/// }
/// let mut outcome = TransferOutcome::of_bytes(500_000_000);
/// outcome.elapsed = Duration::from_secs(2);
/// assert_eq!(speed(&outcome), 250.0);
/// ```
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct TransferOutcome {
    /// Bytes of the object (or of the range) that were moved; 0 for a delete.
    pub bytes: u64,
    /// The object's ETag as the store gave it, quotes included.
    pub etag: Option<String>,
    /// The object's version, in a bucket that keeps versions.
    pub version_id: Option<String>,
    /// What was verified, and by which checksum.
    pub verified: Verified,
    /// HTTP requests made for it, all tries counted.
    pub attempts: u32,
    /// How many of these were repetitions of a failed one.
    pub retries: u32,
    /// From acceptance to the end.
    pub elapsed: Duration,
    /// The object itself, when the target was memory.
    pub body: Option<Bytes>,
}

impl TransferOutcome {
    /// An outcome with nothing in it but its size: what machines start from.
    #[must_use]
    pub fn of_bytes(bytes: u64) -> TransferOutcome {
        TransferOutcome {
            bytes,
            etag: None,
            version_id: None,
            verified: Verified::NotAvailable,
            attempts: 0,
            retries: 0,
            elapsed: Duration::ZERO,
            body: None,
        }
    }
}

impl fmt::Debug for TransferOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransferOutcome")
            .field("bytes", &self.bytes)
            .field("etag", &self.etag)
            .field("version_id", &self.version_id)
            .field("verified", &self.verified)
            .field("attempts", &self.attempts)
            .field("retries", &self.retries)
            .field("elapsed", &self.elapsed)
            .field("body", &self.body.as_ref().map(|body| format!("{} bytes", body.len())))
            .finish()
    }
}

#[cfg(test)]
mod tests;
