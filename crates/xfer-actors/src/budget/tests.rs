//! Permits give back what they took, and a refusal is always followed by a wake.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::mpsc;

use super::*;
use crate::test_kit::PATIENCE;

fn limits(requests: usize, memory: u64) -> Limits {
    Limits { requests, memory, bytes_per_second: None }
}

#[test]
fn memory_can_outlive_its_request_and_shrink() {
    let budget = Arc::new(SharedBudget::new(limits(2, 100), || {}));
    let mut permit = budget.take(Cost { requests: 1, memory: 80, bytes: 0 }).unwrap();
    let mut memory = permit.split_memory().unwrap();
    assert!(permit.split_memory().is_none());
    drop(permit);
    assert_eq!(budget.in_use(), InUse { requests: 0, memory: 80 });
    memory.shrink_memory(30);
    memory.shrink_memory(50);
    assert_eq!(budget.in_use(), InUse { requests: 0, memory: 30 });
    drop(memory);
    assert_eq!(budget.in_use(), InUse::default());
}

#[test]
fn whoever_was_refused_is_woken_however_close_the_giving_back_was() {
    let (wake, woken) = mpsc::channel();
    let budget = Arc::new(SharedBudget::new(limits(1, 1), move || wake.send(()).unwrap()));
    let (hand_over, permits) = mpsc::channel::<Permit>();
    let dropping = std::thread::spawn(move || {
        let mut spins = 0;
        for permit in permits {
            // At another moment each time, to meet the refusal in the middle.
            spins = (spins + 7) % 300;
            for _ in 0..spins {
                std::hint::spin_loop();
            }
            drop(permit);
        }
    });
    let cost = Cost { requests: 1, memory: 1, bytes: 0 };
    for _ in 0..20_000 {
        let permit = loop {
            match budget.take(cost) {
                Ok(permit) => break permit,
                Err(later) => {
                    assert_eq!(later, None);
                    woken.recv_timeout(PATIENCE).expect("a wake after a refusal");
                }
            }
        };
        hand_over.send(permit).unwrap();
    }
    drop(hand_over);
    dropping.join().unwrap();
    assert_eq!(budget.in_use(), InUse::default());
}
