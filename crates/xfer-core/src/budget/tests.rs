#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;

use super::*;

fn budget(requests: usize, memory: u64, bytes_per_second: Option<u64>) -> Budget {
    Budget::new(Limits { requests, transfers: 2, memory, bytes_per_second })
}

fn cost(requests: usize, memory: u64, bytes: u64) -> Cost {
    Cost { requests, memory, bytes, holder: TransferId(1), transfers: 0 }
}

const START: Duration = Duration::ZERO;

#[test]
fn requests_and_memory_are_lent() {
    let mut budget = budget(2, 100, None);
    assert!(budget.try_take(&cost(1, 60, 0), START).is_taken());
    assert_eq!(
        budget.try_take(&cost(1, 41, 0), START),
        Taken::Refused { retry_after: Some(RELIEF_AFTER), for_its_holder: false }
    );
    assert!(budget.try_take(&cost(1, 40, 0), START).is_taken());
    assert!(!budget.try_take(&cost(1, 0, 0), START).is_taken());
    assert!(budget.try_take(&cost(0, 0, 9), START).is_taken(), "work on this machine needs no request");
    assert_eq!(budget.in_use(), InUse { requests: 2, memory: 100, ..InUse::default() });
    budget.give_back(&cost(1, 60, 0));
    budget.give_back(&cost(1, 40, 0));
    assert_eq!(budget.in_use(), InUse::default());
}

#[test]
fn what_is_larger_than_all_memory_is_let_in_alone() {
    let mut budget = budget(8, 100, None);
    let (small, huge) = (cost(1, 1, 0), cost(1, 1000, 0));
    assert!(budget.try_take(&small, START).is_taken());
    assert!(!budget.try_take(&huge, START).is_taken());
    budget.give_back(&small);
    assert!(budget.try_take(&huge, START).is_taken());
    assert!(!budget.try_take(&small, START).is_taken());
    assert!(budget.try_take(&cost(1, 0, 0), START).is_taken(), "what needs no memory is not kept out");
}

#[test]
fn memory_that_nobody_gives_back_is_not_waited_for_forever() {
    let mut budget = budget(9, 100, None);
    let of = |holder, memory| Cost { memory, holder: TransferId(holder), ..Cost::default() };
    let refused = |seconds, for_its_holder| {
        let retry_after = (seconds > 0).then(|| Duration::from_secs(seconds));
        Taken::Refused { retry_after, for_its_holder }
    };
    let (a, b, c) = (of(1, 50), of(2, 40), of(3, 10));
    let at = Duration::from_secs;
    assert!(budget.try_take(&a, at(0)).is_taken() && budget.try_take(&a, at(0)).is_taken());
    assert_eq!(budget.try_take(&b, at(1)), refused(5, false));
    assert_eq!(budget.try_take(&a, at(6)), refused(0, true), "who holds some waits for itself");
    assert!(budget.try_take(&b, at(6)).is_taken(), "who holds none is let in");
    assert_eq!(budget.in_use().memory, 140);
    assert_eq!(
        budget.try_take(&c, at(6)),
        refused(5, true),
        "one at a time, and the next one may be behind the other's next part"
    );
    // What it is let in with, it may have again, without another wait; nobody else grows by it.
    budget.give_back(&b);
    assert_eq!(budget.try_take(&a, at(7)), refused(5, true));
    assert_eq!(budget.try_take(&c, at(7)), refused(5, true), "it fits into what the other was let in with");
    assert!(budget.try_take(&b, at(7)).is_taken());
    assert!(budget.try_take(&c, at(12)).is_taken(), "and then the next one");
    // As soon as there is room again, all is as before.
    budget.give_back(&a);
    assert_eq!(budget.try_take(&a, at(13)), refused(5, true));
    budget.give_back(&b);
    assert!(budget.try_take(&b, at(13)).is_taken());
    assert_eq!(budget.try_take(&a, at(14)), refused(5, false));
}

#[test]
fn so_many_transfers_may_have_begun() {
    let mut budget = budget(9, 0, None);
    let first = Cost { requests: 1, transfers: 1, ..Cost::default() };
    assert!(budget.try_take(&first, START).is_taken() && budget.try_take(&first, START).is_taken());
    let refused = Taken::Refused { retry_after: None, for_its_holder: true };
    assert_eq!(budget.try_take(&first, START), refused, "those that have begun go on");
    assert!(budget.try_take(&cost(1, 0, 0), START).is_taken());
    budget.give_back(&cost(1, 0, 0));
    assert_eq!(budget.try_take(&first, START), refused, "it is the transfer's end that makes room");
    budget.give_back(&Cost { transfers: 1, ..Cost::default() });
    assert!(budget.try_take(&first, START).is_taken());
    assert_eq!(budget.in_use(), InUse { requests: 3, transfers: 2, memory: 0 });
}

#[test]
fn memory_that_comes_back_is_waited_for() {
    let mut budget = budget(9, 100, None);
    let of = |holder| Cost { memory: 100, holder: TransferId(holder), ..Cost::default() };
    assert!(budget.try_take(&of(0), START).is_taken());
    for second in 0..100 {
        assert!(!budget.try_take(&of(second + 1), Duration::from_secs(4 * second)).is_taken());
        budget.give_back(&of(second));
        assert!(budget.try_take(&of(second + 1), Duration::from_secs(4 * second)).is_taken());
        assert_eq!(budget.in_use().memory, 100);
    }
}

#[test]
fn the_request_limit_changes_at_run_time() {
    let mut budget = budget(3, 0, None);
    for _ in 0..3 {
        assert!(budget.try_take(&cost(1, 0, 0), START).is_taken());
    }
    budget.set_requests(1);
    budget.give_back(&cost(2, 0, 0));
    assert!(!budget.try_take(&cost(1, 0, 0), START).is_taken());
    budget.give_back(&cost(1, 0, 0));
    assert!(budget.try_take(&cost(1, 0, 0), START).is_taken());
    budget.set_requests(0);
    assert_eq!(budget.requests(), 1);
}

#[test]
fn a_refusal_by_the_rate_says_when() {
    let mut budget = budget(9, 0, Some(1_000));
    assert!(budget.try_take(&cost(1, 0, 1_000), START).is_taken());
    let Taken::Refused { retry_after: Some(wait), .. } = budget.try_take(&cost(1, 0, 500), START) else {
        panic!("the bucket is empty")
    };
    assert_eq!(wait, Duration::from_millis(500));
    assert!(budget.try_take(&cost(1, 0, 500), START + wait).is_taken());
    assert!(budget.try_take(&cost(1, 0, 0), START + wait).is_taken(), "what sends nothing does not wait");
    assert_eq!(budget.in_use().requests, 3);
}

#[test]
fn the_rate_changes_at_run_time() {
    let mut budget = budget(99, 0, Some(10));
    let hour = Duration::from_secs(3600);
    assert!(budget.try_take(&cost(1, 0, 10), hour).is_taken());
    assert!(!budget.try_take(&cost(1, 0, 10), hour).is_taken());
    budget.set_bytes_per_second(None, hour);
    assert!(budget.try_take(&cost(1, 0, u64::MAX), hour).is_taken());
    budget.set_bytes_per_second(Some(0), hour);
    assert!(budget.try_take(&cost(1, 0, u64::MAX), hour).is_taken(), "a part of any size goes out of a full bucket");
    let Taken::Refused { retry_after: Some(wait), .. } = budget.try_take(&cost(1, 0, 1), hour) else {
        panic!("there is a debt to be paid off")
    };
    assert!(wait > hour);
    budget.set_bytes_per_second(Some(5), hour);
    assert!(!budget.try_take(&cost(1, 0, 1), hour).is_taken(), "a debt is not forgiven");
}

proptest! {
    #[test]
    fn the_rate_holds_for_parts_of_any_size(
        parts in proptest::collection::vec(1..5_000u64, 1..200),
        rate in 1..3_000u64,
    ) {
        let mut budget = budget(usize::MAX, 0, Some(rate));
        let mut now = START;
        let mut sent = 0u64;
        for bytes in parts {
            // What is sent before this part is within the rate, and one second's worth above it.
            let within = |sent: u64, now: Duration| sent as f64 <= rate as f64 * (now.as_secs_f64() + 1.0) + 1.0;
            let mut tries = 0;
            while let Taken::Refused { retry_after, .. } = budget.try_take(&cost(0, 0, bytes), now) {
                now += retry_after.expect("only the rate can refuse");
                tries += 1;
                prop_assert!(tries <= 2, "a wait that was kept must be enough");
            }
            prop_assert!(within(sent + bytes.min(rate), now), "{} bytes after {:?}", sent, now);
            sent += bytes;
        }
        // And not slower than that: all but the last part's debt has been waited for.
        prop_assert!(now.as_secs_f64() * rate as f64 <= sent as f64 + 1.0);
    }

    #[test]
    fn never_more_than_the_limits(
        steps in proptest::collection::vec((0..3usize, 0..80u64, any::<bool>()), 0..200),
    ) {
        let mut budget = budget(5, 100, None);
        let mut held = Vec::new();
        for (requests, memory, give) in steps {
            if give && !held.is_empty() {
                budget.give_back(&held.swap_remove(memory as usize % held.len()));
            } else if budget.try_take(&cost(requests, memory, 0), START).is_taken() {
                held.push(cost(requests, memory, 0));
            }
            let sum = InUse {
                transfers: 0,
                requests: held.iter().map(|c| c.requests).sum(),
                memory: held.iter().map(|c| c.memory).sum(),
            };
            prop_assert_eq!(budget.in_use(), sum);
            prop_assert!(sum.requests <= 5 && sum.memory <= 100);
        }
    }
}
