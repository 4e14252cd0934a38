//! Permits give back what they took, and a refusal is always followed by a wake.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::test_kit::PATIENCE;

fn limits(requests: usize, memory: u64) -> Limits {
    Limits { requests, connections: requests, transfers: 1, memory, bytes_per_second: None }
}

#[test]
fn memory_can_outlive_its_request_and_shrink() {
    let budget = Arc::new(SharedBudget::new(limits(2, 100), || {}));
    let mut permit = budget.take(Cost { requests: 1, memory: 80, ..Cost::default() }).unwrap();
    let mut memory = permit.split_memory().unwrap();
    assert!(permit.split_memory().is_none());
    drop(permit);
    assert_eq!(budget.in_use(), InUse { memory: 80, ..InUse::default() });
    memory.shrink_memory(30);
    memory.shrink_memory(50);
    assert_eq!(budget.in_use(), InUse { memory: 30, ..InUse::default() });
    drop(memory);
    assert_eq!(budget.in_use(), InUse::default());
}

#[test]
fn whoever_was_refused_is_woken_however_close_the_giving_back_was() {
    let woken = Arc::new(AtomicBool::new(false));
    let wake = Arc::clone(&woken);
    let budget = Arc::new(SharedBudget::new(limits(1, 1), move || wake.store(true, Ordering::SeqCst)));
    let (slot, over) = (Mutex::new(None::<Permit>), AtomicBool::new(false));
    let cost = Cost { requests: 1, memory: 1, ..Cost::default() };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                let permit = slot.lock().take();
                if permit.is_none() {
                    std::thread::yield_now();
                }
                drop(permit);
            }
        });
        for round in 0..100_000_u32 {
            let until = Instant::now() + PATIENCE;
            let permit = loop {
                match budget.take(cost) {
                    Ok(permit) => break permit,
                    Err(refused) => assert_eq!(refused.retry_after, None),
                }
                while !woken.swap(false, Ordering::SeqCst) {
                    if Instant::now() >= until {
                        over.store(true, Ordering::SeqCst);
                        panic!("no wake after a refusal");
                    }
                    std::thread::yield_now();
                }
            };
            *slot.lock() = Some(permit);
            // At another moment each time, to meet the giving back in the middle.
            for _ in 0..round % 64 {
                std::hint::spin_loop();
            }
        }
        over.store(true, Ordering::SeqCst);
    });
    drop(slot);
    assert_eq!(budget.in_use(), InUse::default());
}
