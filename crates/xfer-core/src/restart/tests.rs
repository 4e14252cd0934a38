#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use proptest::prelude::*;

use super::{ChildName, Decision, ExitReason, Family, RestartBudget, RestartMode, RestartPolicy, Verdict};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn policy(max_restarts: u32, window: u64, base: u64, cap: u64) -> RestartPolicy {
    RestartPolicy {
        mode: RestartMode::Transient,
        max_restarts,
        window: ms(window),
        backoff_base: ms(base),
        backoff_cap: ms(cap),
    }
}

fn again(after: u64) -> Decision {
    Decision::Restart { after: ms(after) }
}

fn over(restarts: u32) -> Decision {
    Decision::Escalate { restarts }
}

#[test]
fn decisions_follow_the_table() {
    let table = [
        (
            "waits double up to the cap",
            policy(5, 10_000, 50, 300),
            vec![(0, again(50)), (1, again(100)), (2, again(200)), (3, again(300)), (4, again(300)), (5, over(5))],
        ),
        ("no restarts granted", policy(0, 1_000, 50, 300), vec![(0, over(0)), (5_000, over(0))]),
        (
            "the window slides, and the wait falls back with it",
            policy(2, 1_000, 50, 300),
            vec![
                (0, again(50)),
                (600, again(100)),
                (999, over(2)),
                // The failure at 0 is exactly a window old.
                (1_000, again(100)),
                (1_599, over(2)),
                (9_000, again(50)),
            ],
        ),
        (
            "a refused failure does not fill the window",
            policy(1, 1_000, 50, 300),
            vec![(0, again(50)), (900, over(1)), (1_000, again(50))],
        ),
        (
            "an empty window forgets at once",
            policy(1, 0, 50, 300),
            vec![(0, again(50)), (0, again(50)), (0, again(50))],
        ),
        ("no wait", policy(2, 1_000, 0, 300), vec![(0, again(0)), (0, again(0)), (0, over(2))]),
        ("a cap below the base wins", policy(1, 1_000, 500, 20), vec![(0, again(20))]),
        (
            "a clock that steps back is held",
            policy(2, 1_000, 50, 300),
            vec![(5_000, again(50)), (10, again(100)), (20, over(2)), (6_000, again(50))],
        ),
    ];
    for (what, policy, steps) in table {
        let mut budget = RestartBudget::new(policy);
        for (at, wanted) in steps {
            assert_eq!(budget.on_failure(ms(at)), wanted, "{what}, at {at} ms");
        }
    }
}

#[test]
fn the_default_gives_up_within_its_window() {
    let policy = RestartPolicy::default();
    assert!(policy.gives_up());
    let mut budget = RestartBudget::new(policy);
    let mut now = Duration::ZERO;
    while let Decision::Restart { after } = budget.on_failure(now) {
        now += after;
    }
    assert_eq!(now, ms(1_550));
}

#[test]
fn huge_numbers_neither_overflow_nor_loop() {
    let policy = RestartPolicy {
        max_restarts: u32::MAX,
        window: Duration::MAX,
        backoff_base: Duration::MAX,
        backoff_cap: Duration::MAX,
        mode: RestartMode::Permanent,
    };
    assert_eq!(policy.backoff(u32::MAX), Duration::MAX);
    assert!(!policy.gives_up());
    assert_eq!(RestartBudget::new(policy).on_failure(Duration::MAX), Decision::Restart { after: Duration::MAX });
    assert!(RestartPolicy { backoff_base: Duration::ZERO, ..policy }.gives_up());
}

proptest! {
    #[test]
    fn no_window_holds_more_restarts_than_granted(
        max in 0u32..6, window in 1u64..500, base in 0u64..100, cap in 0u64..200, gaps in prop::collection::vec(0u64..120, 1..80),
    ) {
        let mut budget = RestartBudget::new(policy(max, window, base, cap));
        let (mut now, mut granted) = (0, Vec::new());
        for gap in gaps {
            now += gap;
            let recent = granted.iter().filter(|at| now - **at < window).count() as u32;
            match budget.on_failure(ms(now)) {
                Decision::Restart { after } => {
                    prop_assert!(recent < max);
                    prop_assert!(after <= ms(cap));
                    prop_assert_eq!(after, ms(base.saturating_mul(1 << recent).min(cap)));
                    granted.push(now);
                }
                Decision::Escalate { restarts } => {
                    prop_assert_eq!(restarts, max);
                    prop_assert_eq!(recent, max);
                }
            }
        }
    }

    #[test]
    fn gives_up_says_what_an_always_failing_child_meets(max in 0u32..40, window in 1u64..2_000, base in 0u64..100, cap in 0u64..200) {
        let policy = policy(max, window, base, cap);
        let mut budget = RestartBudget::new(policy);
        let mut now = Duration::ZERO;
        let mut escalated = false;
        for _ in 0..=max {
            match budget.on_failure(now) {
                Decision::Restart { after } => now += after,
                Decision::Escalate { .. } => escalated = true,
            }
        }
        prop_assert_eq!(escalated, policy.gives_up());
    }

    #[test]
    fn a_child_has_one_living_generation(exits in prop::collection::vec((0u32..3, 0u64..12, 0u64..400, any::<bool>()), 1..120)) {
        let mut family = Family::new(policy(4, 1_000, 1, 8));
        let mut living: Vec<Option<u64>> =
            (0..3).map(|number| Some(family.register(ChildName::numbered("child", number)))).collect();
        let (mut now, mut newest) = (0, 3);
        for (number, back, gap, normal) in exits {
            now += gap;
            let name = ChildName::numbered("child", number);
            let generation = newest - back.min(newest);
            let reason = if normal { ExitReason::Normal } else { ExitReason::Aborted };
            let current = living[number as usize] == Some(generation);
            match family.on_exit(name, generation, &reason, ms(now)) {
                Verdict::StartAgain { generation: next, .. } => {
                    prop_assert!(current && !normal);
                    prop_assert!(next > newest);
                    prop_assert!(family.may_start(name, next) && !family.may_start(name, generation));
                    newest = next;
                    living[number as usize] = Some(next);
                }
                Verdict::GiveUp => {
                    prop_assert!(current && !normal);
                    living[number as usize] = None;
                }
                Verdict::Ignore => {
                    prop_assert!(!current || normal);
                    if current {
                        living[number as usize] = None;
                    }
                }
            }
        }
    }
}

fn escalated() -> ExitReason {
    ExitReason::Escalated { restarts: 5, panic_text: "boom".into() }
}

#[test]
fn a_failed_child_is_started_again_under_the_next_generation() {
    let mut family = Family::new(policy(2, 1_000, 10, 100));
    let (uploader, deleter) = (ChildName::numbered("uploader", 0), ChildName::from("deleter"));
    let first = family.register(uploader);
    let other = family.register(deleter);
    assert_ne!(first, other);

    let Verdict::StartAgain { generation, after } = family.on_exit(uploader, first, &escalated(), ms(0)) else {
        panic!("an escalated child is started again")
    };
    assert_eq!(after, ms(10));
    assert!(generation > other);
    assert!(family.may_start(uploader, generation));
    assert_eq!(family.on_exit(uploader, first, &ExitReason::Aborted, ms(1)), Verdict::Ignore, "old generation");
    assert_eq!(family.on_exit("stranger".into(), generation, &escalated(), ms(1)), Verdict::Ignore, "unknown name");

    // One budget for all: the other child's failure takes the second restart, and the third failure is one too many.
    assert!(
        matches!(family.on_exit(deleter, other, &ExitReason::Aborted, ms(2)), Verdict::StartAgain { after, .. } if after == ms(20))
    );
    assert_eq!(family.on_exit(uploader, generation, &escalated(), ms(3)), Verdict::GiveUp);
    assert!(!family.may_start(uploader, generation));
    assert_eq!(family.on_exit(uploader, generation, &escalated(), ms(4)), Verdict::Ignore, "given up once only");

    // A parent that wants it back registers it anew; the window has passed by then.
    let later = family.register(uploader);
    assert!(matches!(family.on_exit(uploader, later, &escalated(), ms(5_000)), Verdict::StartAgain { .. }));
}

#[test]
fn what_a_voluntary_end_means_depends_on_the_mode() {
    let name = ChildName::from("child");
    let mut transient = Family::new(policy(2, 1_000, 10, 100));
    let generation = transient.register(name);
    assert_eq!(transient.on_exit(name, generation, &ExitReason::Normal, ms(0)), Verdict::Ignore);
    assert!(!transient.may_start(name, generation));

    let mut permanent = Family::new(RestartPolicy { mode: RestartMode::Permanent, ..policy(2, 1_000, 10, 100) });
    let generation = permanent.register(name);
    assert!(matches!(permanent.on_exit(name, generation, &ExitReason::Normal, ms(0)), Verdict::StartAgain { .. }));
}

#[test]
fn nothing_is_repaired_during_shutdown() {
    let name = ChildName::from("child");
    let mut family = Family::new(RestartPolicy::default());
    let generation = family.register(name);
    let Verdict::StartAgain { generation: next, .. } = family.on_exit(name, generation, &ExitReason::Aborted, ms(0))
    else {
        panic!("a lost child is started again")
    };
    assert!(family.may_start(name, next) && !family.shutting_down());
    family.set_shutting_down();
    assert!(family.shutting_down());
    assert!(!family.may_start(name, next), "the wait ended after the shutdown began");
    assert_eq!(family.on_exit(name, next, &ExitReason::Aborted, ms(1)), Verdict::Ignore);
}

#[test]
fn a_forgotten_child_is_not_repaired() {
    let name = ChildName::from("child");
    let mut family = Family::new(RestartPolicy::default());
    let generation = family.register(name);
    family.forget(name);
    assert_eq!(family.on_exit(name, generation, &ExitReason::Aborted, ms(0)), Verdict::Ignore);
}
