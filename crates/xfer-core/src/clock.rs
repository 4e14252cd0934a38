//! What a refusal teaches about the store's clock.
//!
//! A signature holds for 15 minutes around the store's time, so that a machine whose clock is wrong is refused everything. Each answer says
//! in its `Date` what time it is there. Decides: whether a refusal was about time, and which offset requests are signed with from then
//! on. Never reads a clock: both times are arguments, in seconds since 1970.
//!
//! Invariant: an offset that was learnt makes the next request another one; where it would change nothing, nothing is learnt, so that a
//! wrong secret on a machine with a wrong clock is refused as a wrong secret in the end.

use std::ops::RangeInclusive;

/// What a refusal says of the time.
///
/// ```
/// use xfer_core::clock::Complaint;
/// assert_eq!(Complaint::of(403, "RequestTimeTooSkewed"), Complaint::Certain);
/// assert_eq!(Complaint::of(403, "SignatureDoesNotMatch"), Complaint::Possible, "or the key is wrong");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Complaint {
    /// That it is about time.
    Certain,
    /// That the signature is not right, which it is not either when its time is wrong. Some stores say no more than that.
    Possible,
    /// Nothing about time.
    None,
}

impl Complaint {
    /// By the answer's status and the code in its body; the code is empty, or the status' digits, where there is no body.
    #[must_use]
    pub fn of(status: u16, code: &str) -> Complaint {
        match code {
            "RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture" => Complaint::Certain,
            "SignatureDoesNotMatch" | "InvalidSignatureException" | "AuthFailure" | "AccessDenied" => {
                Complaint::Possible
            }
            // What is said to a HEAD.
            "" | "403" if status == 403 => Complaint::Possible,
            _ => Complaint::None,
        }
    }

    /// How far the times must be apart, in seconds, for the complaint to be believed. One that is certain: two minutes, below which a new
    /// offset would not make a difference. One that is only possible: ten minutes; S3 takes fifteen, some stores less.
    fn suspicious(self) -> Option<u64> {
        match self {
            Complaint::Certain => Some(2 * 60),
            Complaint::Possible => Some(10 * 60),
            Complaint::None => None,
        }
    }
}

/// The times that can be written into a signature: from 1970 to the end of the year 9999. A store that says another has no clock.
const WRITABLE: RangeInclusive<i64> = 0..=253_402_300_799;

/// The offset to sign with from now on, in seconds that the store is ahead; `None` when there is nothing to learn. `used` is the offset that
/// the refused request was signed with, `here` and `there` are the times of this machine and of the store when the answer came.
///
/// ```
/// use xfer_core::clock::{Complaint, correction};
/// // The store is an hour ahead.
/// assert_eq!(correction(Complaint::Certain, 0, 1_000_000, 1_003_600), Some(3_600));
/// // It was signed with its time, so that cannot be it.
/// assert_eq!(correction(Complaint::Possible, 3_600, 1_000_000, 1_003_600), None);
/// ```
#[must_use]
pub fn correction(complaint: Complaint, used: i64, here: i64, there: i64) -> Option<i64> {
    let offset = there.checked_sub(here).filter(|_| WRITABLE.contains(&there))?;
    (offset.abs_diff(used) >= complaint.suspicious()?).then_some(offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600;

    #[test]
    fn what_is_about_time_and_what_may_be() {
        for (status, code, complaint) in [
            (403, "RequestTimeTooSkewed", Complaint::Certain),
            (400, "RequestExpired", Complaint::Certain),
            (403, "RequestInTheFuture", Complaint::Certain),
            (403, "SignatureDoesNotMatch", Complaint::Possible),
            (403, "AccessDenied", Complaint::Possible),
            (403, "", Complaint::Possible),
            (403, "403", Complaint::Possible),
            (404, "", Complaint::None),
            (403, "InvalidAccessKeyId", Complaint::None),
            (400, "ExpiredToken", Complaint::None),
            (503, "SlowDown", Complaint::None),
        ] {
            assert_eq!(Complaint::of(status, code), complaint, "{status} {code}");
        }
    }

    #[test]
    fn a_clock_that_is_far_off_is_corrected_both_ways_and_back_again() {
        for complaint in [Complaint::Certain, Complaint::Possible] {
            for offset in [HOUR, -HOUR, 30 * 365 * 24 * HOUR] {
                assert_eq!(correction(complaint, 0, 5_000_000, 5_000_000 + offset), Some(offset));
                // Somebody has set this machine's clock right meanwhile.
                assert_eq!(correction(complaint, offset, 5_000_000, 5_000_000), Some(0));
                // The offset was right.
                assert_eq!(correction(complaint, offset, 5_000_000, 5_000_003 + offset), None);
            }
        }
    }

    #[test]
    fn a_refusal_whose_date_is_right_is_not_about_time() {
        assert_eq!(correction(Complaint::Possible, 0, 0, 599), None);
        assert_eq!(correction(Complaint::Possible, 0, 0, 600), Some(600));
        assert_eq!(correction(Complaint::Certain, 0, 1_000, 881), None);
        assert_eq!(correction(Complaint::Certain, 0, 1_000, 880), Some(-120));
        assert_eq!(correction(Complaint::None, 0, 0, HOUR), None);
        assert_eq!(correction(Complaint::Certain, 0, i64::MIN, i64::MAX), None);
    }

    #[test]
    fn a_time_that_cannot_be_signed_with_is_none() {
        let here = 1_700_000_000;
        for there in [i64::MIN, -1, 253_402_300_800, i64::MAX] {
            assert_eq!(correction(Complaint::Certain, 0, here, there), None, "{there}");
        }
        for there in [0, 253_402_300_799] {
            assert_eq!(correction(Complaint::Certain, 0, here, there), Some(there - here));
        }
    }
}
