//! What a transfer costs when there are very many of them, and a part when there are very many of it.
//!
//! The sizes suit `cargo test`. With `XFER_SCALE=full` in the environment there are a million transfers instead, and the figures are
//! printed: `XFER_SCALE=full cargo test --release -p xfer-tests --test scale -- --nocapture`.
//!
//! Memory is the resident set of this process, which holds the server as well; the tests therefore run one after the other.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod common;

use std::sync::{Mutex, MutexGuard, mpsc};
use std::time::{Duration, Instant};

use common::{Bed, LIMIT, runtime};
use xfer_actors::transport::TransportConfig;
use xfer_actors::{
    Call, EnqueueJobs, Observer, Settings, StartTransfer, TransferNews, Tuning, XferSystem,
};
use xfer_facade::{
    DownloadTarget, Error, ExtraArgs, Shutdown, TransferFuture, TransferOutcome,
};
use xfer_tests::{Action, FaultRule, Gate, pattern};

/// One test at a time, so that each measures itself.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn is_full() -> bool {
    std::env::var("XFER_SCALE").is_ok_and(|scale| scale == "full")
}

fn sized(usual: usize, full: usize) -> usize {
    if is_full() { full } else { usual }
}

/// Bytes of memory that this process occupies.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

/// Waits until the actors have done what they were told so far.
fn settled(system: &XferSystem) {
    runtime().block_on(async {
        system.coordinator().unwrap().send(TransferNews { transfers: Vec::new() }).await.unwrap();
        system.part_scheduler().unwrap().send(EnqueueJobs { jobs: Vec::new() }).await.unwrap();
    });
}

#[test]
fn a_transfer_that_waits_takes_little_memory() {
    let _alone = alone();
    let count = sized(100_000, 1_000_000);
    let bed = Bed::with(|server| server, |client| client.max_connections(8));
    bed.assert_works();
    let gate = Gate::new();
    bed.server.inject(FaultRule::any().then(Action::Hold(gate.clone())));
    let keys: Vec<String> = (0..1000).map(|index| format!("folder/object-{index:08}")).collect();
    let mut futures: Vec<TransferFuture> = Vec::with_capacity(count);
    let system = bed.client.actors().unwrap();
    let before = resident();
    let begun = Instant::now();
    for index in 0..count {
        let call = bed.manager.upload(&b"hello"[..], bed.bucket(), &keys[index % keys.len()]);
        futures.push(call.start().unwrap());
    }
    let submitted = begun.elapsed();
    settled(&system);
    let taken_up = begun.elapsed();
    let each = (resident() - before) / count as u64;
    eprintln!("{count} wait: {each} bytes each; submitted in {:?} each, taken up in {:?} each", submitted / count as u32, taken_up / count as u32);
    let begun = Instant::now();
    // Those that are at the gate have been sent whole: too late to cancel them.
    gate.open();
    bed.manager.shutdown(Shutdown::Cancel.within(LIMIT)).unwrap();
    eprintln!("cancelled in {:?} each", begun.elapsed() / count as u32);
    assert!(futures.iter().all(TransferFuture::done));
    drop(futures);
    let left = resident().saturating_sub(before) / count as u64;
    eprintln!("{left} bytes each left");
}
