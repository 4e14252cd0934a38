//! The clock of a server, which goes wrong on request.

use std::time::{Duration, SystemTime};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use http::request::Parts;

/// How far the time that a request was signed for may be off, as with S3.
const TOLERANCE: Duration = Duration::from_secs(15 * 60);

/// The time by a clock that is so many seconds ahead.
pub(crate) fn now_ahead(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { SystemTime::now() - distance } else { SystemTime::now() + distance }
}

/// A time as a `Date` header says it.
pub(crate) fn http_date(time: SystemTime) -> String {
    DateTime::from(time).fmt(Format::HttpDate).expect("not that far from now")
}

/// Whether a request was signed for about this time. One that is not signed has no time.
pub(crate) fn is_signed_for(parts: &Parts, now: SystemTime) -> bool {
    let Some(date) = parts.headers.get("x-amz-date").and_then(|date| date.to_str().ok()) else {
        return true;
    };
    time_of(date).is_some_and(|signed| is_near(signed, now))
}

/// Whether a signature of this time is taken now.
pub(crate) fn is_near(signed: SystemTime, now: SystemTime) -> bool {
    (now - TOLERANCE..=now + TOLERANCE).contains(&signed)
}

/// The time in an `x-amz-date`, such as `20260102T030405Z`.
pub(crate) fn time_of(stamp: &str) -> Option<SystemTime> {
    let piece = |from: usize, to: usize| stamp.get(from..to);
    let date = format!("{}-{}-{}", piece(0, 4)?, piece(4, 6)?, piece(6, 8)?);
    let text = format!("{date}T{}:{}:{}Z", piece(9, 11)?, piece(11, 13)?, piece(13, 15)?);
    DateTime::from_str(&text, Format::DateTime).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after_1970(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn amz_dates_are_read() {
        assert_eq!(time_of("20130524T000000Z"), Some(after_1970(1_369_353_600)));
        assert_eq!(time_of("20130524T010203Z"), Some(after_1970(1_369_353_600 + 3_723)));
        for bad in ["", "20131324T000000Z", "yesterday", "20130524"] {
            assert_eq!(time_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn requests_are_taken_within_a_quarter_of_an_hour() {
        let request = http::Request::builder().header("x-amz-date", "20130524T000000Z").body(()).expect("a request");
        let (signed, ()) = request.into_parts();
        for (now, taken) in [(0, true), (900, true), (-900, true), (901, false), (-901, false)] {
            let now = after_1970(1_369_353_600_u64.strict_add_signed(now));
            assert_eq!(is_signed_for(&signed, now), taken, "{now:?}");
        }
        assert!(!is_signed_for(&signed, now_ahead(0)));
    }

    #[test]
    fn dates_are_told_as_headers_want_them() {
        assert_eq!(http_date(after_1970(1_369_353_600)), "Fri, 24 May 2013 00:00:00 GMT");
    }
}
