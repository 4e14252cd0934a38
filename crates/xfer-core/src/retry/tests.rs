#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::error::{ErrorKind, ServiceAnswer};

const MOST: f64 = 1.0;

fn error(kind: ErrorKind) -> Error {
    Error::new(kind, "")
}

/// The pauses until it is given up.
fn pauses(kind: ErrorKind) -> Vec<Duration> {
    let (policy, mut bucket, mut state) = (RetryPolicy::default(), RetryBucket::default(), RetryState::default());
    let mut pauses = Vec::new();
    while let Verdict::RetryAfter(pause) = state.on_failure(&policy, &error(kind), MOST, &mut bucket) {
        pauses.push(pause);
    }
    assert_eq!(state.attempts() as usize, pauses.len() + 1, "{kind:?}");
    pauses
}

#[test]
fn each_kind_of_error_is_repeated_as_its_class_says() {
    let ms = |list: &[u64]| list.iter().map(|ms| Duration::from_millis(*ms)).collect::<Vec<_>>();
    for &kind in ErrorKind::ALL {
        let expected = match kind.retry_class() {
            RetryClass::Never => vec![],
            RetryClass::Transient | RetryClass::Server => ms(&[500, 1_000, 2_000, 4_000, 8_000]),
            RetryClass::Throttling => ms(&[1_000, 2_000, 4_000, 8_000, 16_000]),
            RetryClass::RefreshCredentials
            | RetryClass::FollowRegion
            | RetryClass::ChangeChecksum
            | RetryClass::CorrectClock => ms(&[0, 0]),
        };
        assert_eq!(pauses(kind), expected, "{kind:?}");
    }
}

#[test]
fn pauses_are_drawn_from_zero_to_the_cap() {
    let policy = RetryPolicy::default();
    let delay = |attempt, draw| policy.delay(RetryClass::Server, attempt, draw);
    assert_eq!(delay(1, 0.0), Duration::ZERO);
    assert_eq!(delay(3, 0.5), Duration::from_secs(1));
    for attempt in [0, 7, 32, u32::MAX] {
        assert!(delay(attempt, 0.999) <= policy.cap);
    }
    assert_eq!(delay(40, 1.0), policy.cap);
    assert_eq!(delay(40, f64::NAN), policy.cap);
    // Whatever a policy says, there is a clock that can tell its end.
    let endless = RetryPolicy { cap: Duration::MAX, base: Duration::MAX, max_retry_after: Duration::MAX, ..policy };
    let answer = ServiceAnswer { retry_after: Some(Duration::MAX), ..ServiceAnswer::default() };
    let error = error(ErrorKind::ServiceUnavailable).with_service(answer);
    let verdict = RetryState::default().on_failure(&endless, &error, MOST, &mut RetryBucket::default());
    assert_eq!(verdict, Verdict::RetryAfter(2 * LONGEST));
}

#[test]
fn a_broken_endpoint_empties_the_bucket_and_success_fills_it() {
    let policy = RetryPolicy::default();
    let mut bucket = RetryBucket::default();
    let mut repeated = 0;
    for _ in 0..200 {
        let mut state = RetryState::default();
        let verdict = state.on_failure(&policy, &error(ErrorKind::Connect), MOST, &mut bucket);
        repeated += usize::from(verdict != Verdict::GiveUp);
    }
    assert_eq!((repeated, bucket.left()), (50, 0));

    // Ten successes without a repetition pay for one after network trouble.
    for _ in 0..10 {
        RetryState::default().on_success(&mut bucket);
    }
    let mut state = RetryState::default();
    assert_ne!(state.on_failure(&policy, &error(ErrorKind::Connect), MOST, &mut bucket), Verdict::GiveUp);
    assert_eq!(bucket.left(), 0);
    // A repetition that succeeds brings back its own price.
    state.on_success(&mut bucket);
    assert_eq!(bucket.left(), 10);
}

#[test]
fn what_this_machine_lacks_is_not_paid_for_with_the_stores_patience() {
    let (policy, mut bucket) = (RetryPolicy::default(), RetryBucket::default());
    for _ in 0..1_000 {
        let mut state = RetryState::default();
        for _ in 1..policy.max_attempts {
            let verdict = state.on_failure(&policy, &error(ErrorKind::TooManyOpenFiles), MOST, &mut bucket);
            assert_ne!(verdict, Verdict::GiveUp);
        }
        let verdict = state.on_failure(&policy, &error(ErrorKind::TooManyOpenFiles), MOST, &mut bucket);
        assert_eq!(verdict, Verdict::GiveUp);
    }
    assert_eq!(bucket, RetryBucket::default());
}

#[test]
fn the_bucket_never_overflows() {
    let mut bucket = RetryBucket::default();
    RetryState::default().on_success(&mut bucket);
    assert_eq!(bucket.left(), 500);
}

#[test]
fn progress_starts_the_count_anew_but_not_forever() {
    let policy = RetryPolicy::default();
    let mut bucket = RetryBucket::new(u32::MAX);
    let mut state = RetryState::default();
    let mut repetitions = 0;
    loop {
        state.on_progress();
        match state.on_failure(&policy, &error(ErrorKind::ConnectionLost), MOST, &mut bucket) {
            Verdict::RetryAfter(pause) => {
                assert_eq!(pause, policy.base);
                repetitions += 1;
            }
            Verdict::GiveUp => break,
        }
    }
    assert_eq!(repetitions + 1, policy.max_total);
}

#[test]
fn corrections_are_bounded_each_for_itself_and_cost_no_attempt() {
    let policy = RetryPolicy::default();
    let (mut bucket, mut state) = (RetryBucket::default(), RetryState::default());
    for kind in
        [ErrorKind::ExpiredCredentials, ErrorKind::WrongRegion, ErrorKind::ChecksumUnsupported, ErrorKind::ClockSkew]
    {
        for _ in 0..2 {
            let verdict = state.on_failure(&policy, &error(kind), MOST, &mut bucket);
            assert_eq!(verdict, Verdict::RetryAfter(Duration::ZERO), "{kind:?}");
        }
    }
    assert_eq!(bucket.left(), 500);
    let verdict = state.on_failure(&policy, &error(ErrorKind::Throttled), MOST, &mut bucket);
    assert_eq!(verdict, Verdict::RetryAfter(policy.throttle_base), "the first attempt that counts");
    let verdict = state.on_failure(&policy, &error(ErrorKind::WrongRegion), MOST, &mut bucket);
    assert_eq!(verdict, Verdict::GiveUp);
}

/// The pause after the first attempt, of an error with which the store asks for one.
fn asked(kind: ErrorKind, retry_after: Duration, draw: f64) -> Verdict {
    let answer = ServiceAnswer { retry_after: Some(retry_after), ..ServiceAnswer::default() };
    let error = error(kind).with_service(answer);
    RetryState::default().on_failure(&RetryPolicy::default(), &error, draw, &mut RetryBucket::default())
}

#[test]
fn a_store_that_asks_for_a_pause_gets_it_and_no_more_than_the_bound() {
    let secs = Duration::from_secs;
    for kind in [ErrorKind::Throttled, ErrorKind::ServiceUnavailable, ErrorKind::RequestTimeout] {
        assert_eq!(asked(kind, secs(7), 0.0), Verdict::RetryAfter(secs(7)), "{kind:?}");
        assert_eq!(asked(kind, secs(3600), 0.0), Verdict::RetryAfter(secs(60)), "{kind:?}");
        assert_eq!(asked(kind, Duration::MAX, 0.0), Verdict::RetryAfter(secs(60)), "{kind:?}");
    }
    // Spread over what would have been waited without it.
    assert_eq!(asked(ErrorKind::Throttled, secs(7), 0.5), Verdict::RetryAfter(Duration::from_millis(7_500)));
    assert_eq!(asked(ErrorKind::Throttled, Duration::ZERO, 0.5), Verdict::RetryAfter(Duration::from_millis(500)));
    // It is a word about when, not about whether.
    assert_eq!(asked(ErrorKind::AccessDenied, secs(7), 0.0), Verdict::GiveUp);
    assert_eq!(asked(ErrorKind::ExpiredCredentials, secs(7), 0.0), Verdict::RetryAfter(Duration::ZERO));
}
