#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;

use super::*;

fn budget(requests: usize, memory: u64, bytes_per_second: Option<u64>) -> Budget {
    Budget::new(Limits { requests, connections: 16, transfers: 2, memory, bytes_per_second })
}

fn cost(requests: usize, memory: u64) -> Cost {
    Cost { requests, memory, holder: TransferId(1), ..Cost::default() }
}

const START: Duration = Duration::ZERO;

#[test]
fn requests_and_memory_are_lent() {
    let mut budget = budget(2, 100, None);
    assert!(budget.try_take(&cost(1, 60), START).is_taken());
    assert_eq!(
        budget.try_take(&cost(1, 41), START),
        Taken::Refused { retry_after: Some(RELIEF_AFTER), for_its_holder: false }
    );
    assert!(budget.try_take(&cost(1, 40), START).is_taken());
    assert!(!budget.try_take(&cost(1, 0), START).is_taken());
    assert!(budget.try_take(&cost(0, 0), START).is_taken(), "work on this machine needs no request");
    assert_eq!(budget.in_use(), InUse { requests: 2, memory: 100, ..InUse::default() });
    budget.give_back(&cost(1, 60));
    budget.give_back(&cost(1, 40));
    assert_eq!(budget.in_use(), InUse::default());
}

#[test]
fn what_is_larger_than_all_memory_is_let_in_alone() {
    let mut budget = budget(8, 100, None);
    let (small, huge) = (cost(1, 1), cost(1, 1000));
    assert!(budget.try_take(&small, START).is_taken());
    assert!(!budget.try_take(&huge, START).is_taken());
    budget.give_back(&small);
    assert!(budget.try_take(&huge, START).is_taken());
    assert!(!budget.try_take(&small, START).is_taken());
    assert!(budget.try_take(&cost(1, 0), START).is_taken(), "what needs no memory is not kept out");
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
    assert!(budget.try_take(&cost(1, 0), START).is_taken());
    budget.give_back(&cost(1, 0));
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
        assert!(budget.try_take(&cost(1, 0), START).is_taken());
    }
    budget.set_requests(1);
    budget.give_back(&cost(2, 0));
    assert!(!budget.try_take(&cost(1, 0), START).is_taken());
    budget.give_back(&cost(1, 0));
    assert!(budget.try_take(&cost(1, 0), START).is_taken());
    budget.set_requests(0);
    assert_eq!(budget.requests(), 1);
}

#[test]
fn light_requests_do_not_wait_for_heavy_ones() {
    let light = Cost { light: true, ..cost(1, 0) };
    for (requests, connections, extra) in [(3, 16, 2), (3, 4, 1), (4, 4, 0), (4, 1, 0)] {
        let limits = Limits { requests, connections, transfers: 1, memory: 0, bytes_per_second: None };
        let mut budget = Budget::new(limits);
        for _ in 0..requests {
            assert!(budget.try_take(&cost(1, 0), START).is_taken());
        }
        assert!(!budget.try_take(&cost(1, 0), START).is_taken());
        let taken = (0..5).filter(|_| budget.try_take(&light, START).is_taken()).count();
        assert_eq!(taken, extra, "{requests} of {connections}");
        budget.give_back(&cost(1, 0));
        assert_eq!(budget.try_take(&cost(1, 0), START).is_taken(), extra == 0, "they count");
    }
}

#[test]
fn a_ceiling_leaves_as_many_requests_as_are_worth_having() {
    let mut budget = budget(9, 0, Some(100_000));
    assert_eq!(budget.requests(), 3);
    for _ in 0..3 {
        assert!(budget.try_take(&cost(1, 0), START).is_taken());
    }
    assert!(!budget.try_take(&cost(1, 0), START).is_taken());
    budget.set_bytes_per_second(Some(u64::MAX));
    assert_eq!(budget.requests(), 9, "no more than there may be");
    budget.set_bytes_per_second(None);
    assert_eq!(budget.requests(), 9);
    budget.set_bytes_per_second(Some(1));
    assert_eq!(budget.requests(), 2);
    budget.set_requests(1);
    assert_eq!(budget.requests(), 1);
}

#[test]
fn under_a_ceiling_memory_is_waited_for_as_long_as_it_takes() {
    let mut budget = budget(9, 1000, Some(10));
    let (holder, other) = (cost(0, 1000), Cost { memory: 1000, holder: TransferId(2), ..Cost::default() });
    assert!(budget.try_take(&holder, START).is_taken());
    let refused = |seconds| Taken::Refused { retry_after: Some(Duration::from_secs(seconds)), for_its_holder: false };
    assert_eq!(budget.try_take(&other, START), refused(100));
    assert_eq!(budget.try_take(&other, RELIEF_AFTER), refused(95));
    assert!(budget.try_take(&other, Duration::from_secs(100)).is_taken());
}

proptest! {
    #[test]
    fn never_more_than_the_limits(
        steps in proptest::collection::vec((0..3usize, 0..80u64, any::<bool>()), 0..200),
    ) {
        let mut budget = budget(5, 100, None);
        let mut held = Vec::new();
        for (requests, memory, give) in steps {
            if give && !held.is_empty() {
                budget.give_back(&held.swap_remove(memory as usize % held.len()));
            } else if budget.try_take(&cost(requests, memory), START).is_taken() {
                held.push(cost(requests, memory));
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
