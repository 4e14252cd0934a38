//! What a transfer costs when there are very many of them, and a part when its object has very many.
//!
//! The sizes suit `cargo test`. With `XFER_SCALE=full` in the environment there are a million transfers, and ten thousand parts; that is
//! for `XFER_SCALE=full cargo test --release -p xfer-tests --test scale -- --nocapture`, which prints the figures and takes minutes.
//!
//! Memory is what this process occupies and time is what it computes, the server included: so the tests run one after the other, and
//! say the same on a machine that has much else to do. Only Linux tells both.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod common;

use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use common::child::by_itself;
use common::{Bed, Ended, LIMIT, runtime};
use xfer_actors::transport::TransportConfig;
use xfer_actors::{Call, EnqueueJobs, Settings, TransferNews, Tuning, XferSystem};
use xfer_facade::{DownloadTarget, ExtraArgs, Shutdown, TransferFuture};
use xfer_tests::{Action, FaultRule, Gate, pattern};

/// One test at a time, so that each measures itself.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_full() -> bool {
    std::env::var("XFER_SCALE").is_ok_and(|scale| scale == "full")
}

fn sized<T>(usual: T, full: T) -> T {
    if is_full() { full } else { usual }
}

/// A wait for everything that there is.
fn patience() -> Duration {
    sized(LIMIT, 60 * LIMIT)
}

/// Bytes of memory that this process occupies.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

/// Time that this process has computed, on all threads, in steps of 10 ms.
fn computed() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // Behind the name, which may hold anything: user and system time are fields 14 and 15, in hundredths of a second.
    let mut fields = stat.rsplit_once(')').unwrap().1.split_whitespace().skip(11);
    let mut field = || fields.next().unwrap().parse::<u64>().unwrap();
    Duration::from_millis(10 * (field() + field()))
}

/// Time that this thread has computed.
fn computed_here() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split_whitespace().next().unwrap().parse().unwrap())
}

/// Waits until the actors have done what they were told so far.
fn settled(system: &XferSystem) {
    runtime().block_on(async {
        system.coordinator().unwrap().send(TransferNews { transfers: Vec::new() }).await.unwrap();
        system.part_scheduler().unwrap().send(EnqueueJobs { jobs: Vec::new() }).await.unwrap();
    });
}

/// A test bed with `count` uploads that wait behind those that the gate holds, with few connections.
fn crowd(count: usize) -> (Bed, Gate, Vec<TransferFuture>) {
    let bed = Bed::with(|server| server, |client| client.max_connections(8));
    // Threads, connections and templates are there before anything is measured.
    bed.assert_works();
    let gate = Gate::new();
    bed.server.inject(FaultRule::any().then(Action::Hold(gate.clone())));
    let futures = (0..count).map(|index| begin(&bed, index)).collect();
    settled(&bed.client.actors().unwrap());
    (bed, gate, futures)
}

fn begin(bed: &Bed, index: usize) -> TransferFuture {
    let key = format!("folder/object-{:08}", index % 1000);
    bed.manager.upload(&b"hello"[..], bed.bucket(), &key).start().unwrap()
}

/// Cancels all. What the gate holds has been sent whole, and is not to be cancelled any more.
fn disperse(bed: &Bed, gate: &Gate) {
    gate.open();
    bed.manager.shutdown(Shutdown::Cancel.within(patience())).unwrap();
    assert_eq!((bed.manager.active(), bed.client.actors().unwrap().transfers()), (0, 0));
}

#[test]
fn a_transfer_that_waits_takes_little_memory() {
    let _alone = alone();
    if !by_itself("a_transfer_that_waits_takes_little_memory") {
        return;
    }
    let count = sized(100_000, 1_000_000);
    let (bed, gate, few) = crowd(100);
    let (before, begun) = (resident(), computed());
    let mut tenths = [Duration::ZERO; 10];
    let mut futures = Vec::with_capacity(count);
    for tenth in &mut tenths {
        let began = computed_here();
        futures.extend((0..count / 10).map(|index| begin(&bed, index)));
        *tenth = (computed_here() - began) / (count / 10) as u32;
    }
    let half = |tenths: &[Duration]| tenths.iter().sum::<Duration>() / 5;
    let (first, second) = (half(&tenths[..5]), half(&tenths[5..]));
    settled(&bed.client.actors().unwrap());
    let each = resident().saturating_sub(before) / count as u64;
    let all = (computed() - begun) / count as u32;
    eprintln!("{count} transfers wait: {each} bytes each");
    eprintln!("submitted in {first:?} each, the second half in {second:?}; with all that the actors do, {all:?}");
    eprintln!("by tenths: {tenths:?}");
    assert!((200..2048).contains(&each), "{each} bytes for each transfer that waits");
    // Of several the quickest: what else the machine does only adds to them.
    let quickest = |tenths: &[Duration]| tenths.iter().min().copied().unwrap();
    assert!(quickest(&tenths[7..]) < quickest(&tenths[..3]) * 3, "submitting becomes slower: {tenths:?}");
    let begun = computed();
    disperse(&bed, &gate);
    eprintln!("cancelled in {:?} each", (computed() - begun) / count as u32);
    assert!(futures.iter().chain(&few).all(TransferFuture::done));
}

#[test]
fn a_transfer_is_handed_out_as_quickly_from_among_many_as_from_among_few() {
    let _alone = alone();
    let cost = |waiting: usize| {
        let (bed, gate, futures) = crowd(waiting);
        let begun = computed();
        gate.open();
        for future in &futures[..sized(500, 5_000)] {
            future.result(patience()).unwrap();
        }
        let ended = waiting - bed.manager.active();
        let each = (computed() - begun) / ended as u32;
        eprintln!("{each:?} for each transfer from among {waiting}");
        disperse(&bed, &gate);
        each
    };
    let (few, many) = (cost(sized(1_000, 10_000)), cost(sized(30_000, 1_000_000)));
    assert!(many < few * 3, "{many:?} from among many, {few:?} from among few");
}

#[test]
fn rounds_of_transfers_leave_memory_as_it_was() {
    let _alone = alone();
    if !by_itself("rounds_of_transfers_leave_memory_as_it_was") {
        return;
    }
    let (rounds, in_each) = sized((5, 4_000), (20, 50_000));
    let bed = Bed::new();
    let mut after = Vec::new();
    for _ in 0..rounds {
        // All of a round are there before the first one ends: how many wait at once is not left to who gets the processor.
        let gate = Gate::new();
        let held = bed.server.inject(FaultRule::any().then(Action::Hold(gate.clone())));
        let futures: Vec<TransferFuture> = (0..in_each)
            .map(|index| match index % 4 {
                0 => begin(&bed, index),
                _ => bed.manager.delete(bed.bucket(), &format!("nothing/{index}")).start().unwrap(),
            })
            .collect();
        settled(&bed.client.actors().unwrap());
        held.remove();
        gate.open();
        for future in &futures {
            future.result(patience()).unwrap();
        }
        drop(futures);
        bed.server.reset_stats();
        after.push(resident());
    }
    eprintln!(
        "{} transfers, MiB after each round: {:?}",
        rounds * in_each,
        after.iter().map(|b| b >> 20).collect::<Vec<_>>()
    );
    // The allocator needs a round or two to find its size, and has its moods after that.
    let grown = after[rounds - 1].saturating_sub(after[1]);
    assert!(grown < sized(4, 16) << 20, "grown by {grown} bytes: {after:?}");
    bed.assert_clean(&[]);
}

#[test]
fn a_part_costs_the_same_of_an_object_with_few_parts_and_with_many() {
    const PIECE: u64 = 1 << 10;
    let _alone = alone();
    let bed = Bed::new();
    // Smaller than any store's: a download's ranges may be.
    let settings = Settings { lanes: 2, part_size: PIECE, max_connections: 8, ..Settings::default() };
    let system = XferSystem::start(settings, TransportConfig::default()).unwrap();
    let serializer = common::serializer_of(&bed.server);
    let cost = |parts: u64| {
        bed.object("object", parts, parts * PIECE);
        let target = DownloadTarget::memory();
        let call = Call::download(&serializer, bed.bucket(), "object", target, ExtraArgs::new()).unwrap();
        let (sender, ended) = mpsc::channel();
        let begun = computed();
        drop(system.submit(&call, &Tuning::default(), Box::new(Ended(sender))).unwrap());
        let outcome = ended.recv_timeout(patience()).unwrap().unwrap();
        let each = (computed() - begun) / parts as u32;
        assert_eq!(u64::from(outcome.attempts), parts);
        pattern::check(parts, 0, &outcome.body.unwrap()).unwrap();
        eprintln!("{each:?} for each of {parts} parts");
        each
    };
    let (few, many) = (cost(sized(200, 1_000)), cost(sized(5_000, 10_000)));
    assert!(many < few * 3, "{many:?} for each of many, {few:?} for each of few");
    assert!(system.close(LIMIT));
}

/// Time that all threads have computed whose name begins so.
fn computed_by(name: &str) -> Duration {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().map(|thread| thread.unwrap().path());
    let ours = threads.filter(|thread| {
        // One that ends meanwhile is none of ours.
        std::fs::read_to_string(thread.join("comm")).is_ok_and(|comm| comm.starts_with(name))
    });
    let nanoseconds = ours.map(|thread| {
        let stat = std::fs::read_to_string(thread.join("schedstat")).unwrap();
        stat.split_whitespace().next().unwrap().parse::<u64>().unwrap()
    });
    Duration::from_nanos(nanoseconds.sum())
}

#[test]
fn the_actors_thread_has_less_to_do_for_a_small_request_than_a_lane() {
    let _alone = alone();
    if !by_itself("the_actors_thread_has_less_to_do_for_a_small_request_than_a_lane") {
        return;
    }
    let count = sized(2_000, 100_000);
    let bed = Bed::new();
    // Threads, connections and templates are there before anything is measured.
    bed.assert_works();
    let computed = || ["actix-rt", "xfer-lane"].map(computed_by);
    let before = computed();
    let futures: Vec<_> = (0..count).map(|index| begin(&bed, index)).collect();
    futures.iter().for_each(|future| assert_eq!(future.result(Some(patience())).unwrap().attempts, 1));
    let after = computed();
    let [actors, lanes] = [0, 1].map(|thread| (after[thread] - before[thread]) / count as u32);
    eprintln!("the actors' thread takes {actors:?} for each of {count} requests, the lanes {lanes:?}");
    eprintln!(
        "so it has no time for more than {:.0} a second, however many lanes there are",
        1.0 / actors.as_secs_f64()
    );
    assert!(Duration::ZERO < actors && actors < lanes, "{actors:?}, and {lanes:?} on the lanes");
}
