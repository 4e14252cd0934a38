#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn each_byte_counts_once_whatever_attempts_do(
        length in 0..10_000u64,
        positions in proptest::collection::vec(0..12_000u64, 0..40),
    ) {
        let mut part = HighWater::of(length);
        let mut sum = 0;
        for position in positions {
            sum += part.reach(position);
            prop_assert_eq!(sum, part.counted());
            prop_assert!(sum <= length);
        }
        sum += part.reach(length);
        prop_assert_eq!(sum, length);
    }

    #[test]
    fn what_is_told_adds_up(
        steps in proptest::collection::vec((0..1_000u64, 0..80u64), 0..60),
        every in 0..300u64,
    ) {
        let mut cadence = Cadence::new(Duration::from_millis(every));
        let (mut now, mut sent, mut told) = (Duration::ZERO, 0, 0);
        let mut last = None;
        for (bytes, pause) in steps {
            now += Duration::from_millis(pause);
            sent += bytes;
            if let Some(bytes) = cadence.add(bytes, now) {
                prop_assert!(bytes > 0);
                prop_assert!(last.is_none_or(|last| now - last >= Duration::from_millis(every)));
                last = Some(now);
                told += bytes;
                prop_assert_eq!(told, sent);
            }
        }
        told += cadence.flush().unwrap_or(0);
        prop_assert_eq!(told, sent);
        prop_assert_eq!(cadence.flush(), None);
    }
}

#[test]
fn a_clock_that_goes_back_is_no_reason_to_tell() {
    let mut cadence = Cadence::default();
    assert_eq!(cadence.add(1, Duration::from_secs(5)), Some(1));
    assert_eq!(cadence.add(1, Duration::from_secs(1)), None);
}

#[test]
fn an_unknown_length_counts_on() {
    let mut part = HighWater::of(u64::MAX);
    assert_eq!(part.reach(5) + part.reach(9), 9);
}
