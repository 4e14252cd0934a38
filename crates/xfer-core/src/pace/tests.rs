#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;

use super::*;

const START: Duration = Duration::ZERO;

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

#[test]
fn pieces_pass_in_their_order_and_no_faster_than_the_ceiling() {
    let mut pace = Pace::new(Some(1000), START);
    let turns = [400, 400, 200].map(|bytes| pace.count(bytes, START));
    let waits = turns.map(|turn| pace.wait_for(turn, START).unwrap().as_secs_f64());
    assert_eq!(waits, [0.4, 0.8, 1.0]);
    assert_eq!(turns.map(|turn| pace.wait_for(turn, seconds(0.8)).is_none()), [true, true, false]);
    assert_eq!(pace.wait_for(turns[2], seconds(1.0)), None);
}

#[test]
fn a_silence_is_made_up_for_by_one_burst() {
    let mut pace = Pace::new(Some(8000), START);
    let hour = seconds(3600.0);
    let first = pace.count(1000, hour);
    assert_eq!(pace.wait_for(first, hour), None, "an eighth of a second's bytes");
    let second = pace.count(800, hour);
    assert_eq!(pace.wait_for(second, hour), Some(seconds(0.1)));
}

#[test]
fn a_wait_that_no_timer_can_keep_is_none() {
    let mut pace = Pace::new(Some(1_000_000), START);
    let early = pace.count(1999, START);
    assert_eq!(pace.wait_for(early, START), None);
    let late = pace.count(1000, START);
    assert!(pace.wait_for(late, START).unwrap() > SLACK, "what passed early is paid for by who comes next");
}

#[test]
fn the_ceiling_changes_for_those_who_wait() {
    let mut pace = Pace::new(Some(10), START);
    let (first, second) = (pace.count(1000, START), pace.count(1000, START));
    assert_eq!(pace.wait_for(first, START), Some(seconds(100.0)));
    pace.set(Some(100), seconds(50.0));
    assert_eq!(pace.wait_for(first, seconds(50.0)), Some(seconds(5.0)), "half of it has been waited for");
    assert_eq!(pace.wait_for(second, seconds(50.0)), Some(seconds(15.0)));
    pace.set(None, seconds(50.0));
    assert_eq!(pace.wait_for(second, seconds(50.0)), None);
    let free = pace.count(u64::MAX / 2, seconds(50.0));
    assert_eq!(pace.wait_for(free, seconds(50.0)), None);
    pace.set(Some(100), seconds(60.0));
    assert_eq!(pace.wait_for(free, seconds(60.0)), None, "what passed before is not owed for");
    let next = pace.count(100, seconds(60.0));
    assert_eq!(pace.wait_for(next, seconds(60.0)), Some(seconds(1.0)));
}

#[test]
fn no_number_is_too_large_or_too_small() {
    let mut pace = Pace::new(Some(0), START);
    let turn = pace.count(u64::MAX, START);
    let wait = pace.wait_for(turn, START).unwrap();
    assert!(wait > seconds(3600.0) && START.checked_add(wait).is_some());
    pace.set(Some(u64::MAX), START);
    let turn = pace.count(1, Duration::MAX);
    assert_eq!(pace.wait_for(turn, Duration::MAX), None);
    // A clock that goes backwards stands still.
    assert_eq!(pace.wait_for(turn, START), None);
    assert_eq!((requests_within(0), requests_within(u64::MAX) > 1000), (2, true));
    assert_eq!((piece_within(0), piece_within(u64::MAX)), (4096, u64::MAX / 8));
}

proptest! {
    #[test]
    fn no_more_than_the_ceiling_over_any_time_and_no_less(
        pieces in proptest::collection::vec((1..5_000u64, 0..300u64), 1..200),
        ceiling in 1..3_000u64,
    ) {
        let mut pace = Pace::new(Some(ceiling), START);
        let (mut now, mut idle) = (START, START);
        let mut passed: Vec<(f64, u64)> = Vec::new();
        for (bytes, pause) in pieces {
            now += Duration::from_millis(pause);
            idle += Duration::from_millis(pause);
            let turn = pace.count(bytes, now);
            if let Some(wait) = pace.wait_for(turn, now) {
                now += wait;
            }
            prop_assert_eq!(pace.wait_for(turn, now), None, "a wait that was kept is enough");
            passed.push((now.as_secs_f64(), bytes));
        }
        // A piece stands for the time before it passes: from the end of any piece to that of any later one.
        let allowance = ceiling as f64 * (BURST + SLACK).as_secs_f64() + 1.0;
        for from in 0..passed.len() {
            let mut sent = 0;
            for (at, bytes) in &passed[from + 1..] {
                sent += bytes;
                prop_assert!(sent as f64 <= ceiling as f64 * (at - passed[from].0) + allowance);
            }
        }
        let all: u64 = passed.iter().map(|(_, bytes)| bytes).sum();
        prop_assert!((now - idle).as_secs_f64() * ceiling as f64 <= all as f64 + 1.0, "it waits for nothing else");
    }
}
