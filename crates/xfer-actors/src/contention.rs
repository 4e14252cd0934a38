//! What the few things that all lanes share cost when many threads want them at once.
//!
//! With `XFER_SCALE=full` in the environment the figures of 1 to 64 threads are printed:
//! `XFER_SCALE=full cargo test --release -p xfer-actors --lib contention -- --nocapture`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use xfer_core::budget::{Cost, InUse};
use xfer_core::delete::DeleteMachine;
use xfer_core::id::TransferId;

use crate::ledger::{Ledger, Transfer};
use crate::settings::Settings;
use crate::test_kit::{Witness, lanes, upload};

/// Wall-clock time of one act while `threads` are at it together: from the first one's start to the last one's end.
fn each(threads: usize, acts: usize, act: impl Fn(usize, usize) + Sync) -> Duration {
    let barrier = Barrier::new(threads);
    let at_it = |thread: usize| {
        barrier.wait();
        let begun = Instant::now();
        (0..acts).for_each(|index| act(thread, index));
        (begun, Instant::now())
    };
    let times: Vec<(Instant, Instant)> = std::thread::scope(|scope| {
        let at_it = &at_it;
        let all: Vec<_> = (0..threads).map(|thread| scope.spawn(move || at_it(thread))).collect();
        all.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let begun = times.iter().map(|(begun, _)| *begun).min().unwrap();
    let ended = times.iter().map(|(_, ended)| *ended).max().unwrap();
    (ended - begun) / (threads * acts) as u32
}

#[test]
fn what_lanes_share_stays_right_however_many_want_it_at_once() {
    let full = std::env::var("XFER_SCALE").is_ok_and(|scale| scale == "full");
    let (crowds, acts): (&[usize], usize) = if full { (&[1, 2, 4, 8, 16, 32, 64], 200_000) } else { (&[1, 4], 2_000) };
    let settings = Settings { max_connections: 1_000, ..Settings::default() };
    let ledger = Ledger::new(settings, lanes(1));
    ledger.budget.set_requests(1_000);
    let ids: Vec<TransferId> = (0..1_000)
        .map(|_| {
            let (observer, _told) = Witness::boxed();
            let transfer = Transfer::new(upload(&b"x"[..]), DeleteMachine::new().into(), Duration::ZERO, observer);
            let transfer = std::sync::Arc::new(transfer);
            let id = transfer.id();
            ledger.enter(transfer);
            id
        })
        .collect();
    let (one, meter) = (AtomicU64::new(0), crate::call::Meter::default());
    for &threads in crowds {
        let own: Vec<_> = (0..threads).map(|_| meter.begin_job()).collect();
        let request = Cost { requests: 1, ..Cost::default() };
        let figures = [
            ("budget, taken and given back", each(threads, acts, |_, _| drop(ledger.budget.take(request).unwrap()))),
            ("directory, read", each(threads, acts, |_, _| drop(ledger.directory.scheduler.read().clone()))),
            (
                "ledger, a transfer found",
                each(threads, acts, |thread, index| {
                    assert!(ledger.transfer(ids[(thread * 7 + index) % ids.len()]).is_some());
                }),
            ),
            ("a piece counted by its own lane", each(threads, acts, |thread, index| own[thread].reached(index as u64))),
            (
                "for comparison: by all in one place",
                each(threads, acts, |_, _| {
                    one.fetch_add(1, Ordering::Relaxed);
                }),
            ),
        ];
        assert_eq!(ledger.budget.in_use(), InUse::default(), "the budget is whole again");
        own.iter().for_each(|job| meter.end_job(job));
        for (what, cost) in figures.into_iter().filter(|_| full) {
            eprintln!("{threads:2} threads: {cost:>9.1?} {what}");
        }
    }
    assert_eq!(meter.total(), crowds.iter().map(|threads| (threads * (acts - 1)) as u64).sum::<u64>());
    assert_eq!(ledger.count(), ids.len());
}
