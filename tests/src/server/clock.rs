//! The clock of a server that goes wrong on request.

use std::time::{Duration, SystemTime};

use http::request::Parts;
use s3s::dto::{Timestamp, TimestampFormat};

/// How far the time that a request was signed for may be off, as with S3.
const TOLERANCE: Duration = Duration::from_secs(15 * 60);

fn now_ahead(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { SystemTime::now() - distance } else { SystemTime::now() + distance }
}

/// What a clock that is so many seconds ahead says in a `Date` header.
pub(crate) fn date_ahead(seconds: i64) -> String {
    let mut date = Vec::new();
    Timestamp::from(now_ahead(seconds)).format(TimestampFormat::HttpDate, &mut date).expect("memory takes it");
    String::from_utf8(date).expect("plain ASCII")
}

/// Whether a request was signed for about the time of a clock that is so many seconds ahead. One that is not signed has no time.
pub(crate) fn is_signed_for(parts: &Parts, seconds: i64) -> bool {
    let Some(date) = parts.headers.get("x-amz-date").and_then(|date| date.to_str().ok()) else {
        return true;
    };
    let now = now_ahead(seconds);
    let (earliest, latest) = (Timestamp::from(now - TOLERANCE), Timestamp::from(now + TOLERANCE));
    time_of(date).is_some_and(|signed| earliest <= signed && signed <= latest)
}

/// The time of an `x-amz-date`: `20130524T000000Z`.
fn time_of(date: &str) -> Option<Timestamp> {
    let digits = |from: usize, to: usize| date.get(from..to);
    let (year, month, day) = (digits(0, 4)?, digits(4, 6)?, digits(6, 8)?);
    let (hour, minute, second) = (digits(9, 11)?, digits(11, 13)?, digits(13, 15)?);
    Timestamp::parse(TimestampFormat::DateTime, &format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amz_dates_are_read() {
        let time = |seconds| Some(Timestamp::from(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)));
        assert_eq!(time_of("20130524T000000Z"), time(1_369_353_600));
        assert_eq!(time_of("20130524T010203Z"), time(1_369_353_600 + 3_723));
        for bad in ["", "20131324T000000Z", "yesterday", "20130524"] {
            assert_eq!(time_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn requests_are_taken_within_a_quarter_of_an_hour() {
        let signed = |date: &str| {
            let request = http::Request::builder().header("x-amz-date", date).body(()).expect("a request");
            request.into_parts().0
        };
        assert!(!is_signed_for(&signed("20130524T000000Z"), 0));
        let since_then = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH + Duration::from_secs(1_369_353_600))
            .expect("it is later than 2013");
        let back = -i64::try_from(since_then.as_secs()).expect("not that long ago");
        for (offset, taken) in [(0, true), (800, true), (-800, true), (1_000, false), (-1_000, false)] {
            assert_eq!(is_signed_for(&signed("20130524T000000Z"), back + offset), taken, "{offset}");
        }
        assert!(date_ahead(back).contains("May 2013 "), "{}", date_ahead(back));
    }
}
