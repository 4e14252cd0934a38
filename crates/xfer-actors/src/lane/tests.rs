//! Lanes outlive their tasks' failures, and end without waiting for what blocks.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

use super::*;
use crate::test_kit::{PATIENCE, lanes};

/// Runs a task and waits for its end.
fn run<T: Send + 'static>(lanes: &Lanes, connects: bool, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = channel();
    lanes.spawn(connects, move |_lane, place| async move {
        let made = work();
        drop(place);
        sender.send(made).unwrap();
    });
    receiver.recv_timeout(PATIENCE).unwrap()
}

fn counts(lanes: &Lanes) -> Vec<(usize, usize)> {
    let count = |lane: &Lane| (lane.load.load(Ordering::Relaxed), lane.seated.load(Ordering::Relaxed));
    lanes.inner.lanes.iter().map(count).collect()
}

#[test]
fn a_task_that_panics_ends_alone() {
    let lanes = lanes(1);
    let (sender, dropped) = channel::<()>();
    let thread = run(&lanes, false, || std::thread::current().id());
    lanes.spawn(true, move |_lane, place| async move {
        let _told_by_its_drop = (place, sender);
        std::panic::resume_unwind(Box::new("on purpose"));
    });
    assert_eq!(dropped.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected));
    assert_eq!(run(&lanes, true, || std::thread::current().id()), thread);
    assert_eq!(counts(&lanes), [(0, 0)], "its place is free");
}

#[test]
fn tasks_go_where_there_is_room_and_leave_none_taken() {
    let lanes = Lanes::start_limited(2, 5, SharedTransport::new(crate::transport::TransportConfig::default()).unwrap())
        .unwrap();
    assert_eq!(lanes.inner.lanes.iter().map(|lane| lane.seats).collect::<Vec<_>>(), [3, 2]);
    let mut gates = Vec::new();
    for _ in 0..5 {
        let (open, gate) = tokio::sync::oneshot::channel::<()>();
        lanes.spawn(true, move |_lane, place| async move {
            let _held = place;
            // Its sender's drop opens it.
            let _ = gate.await;
        });
        gates.push(open);
    }
    assert_eq!(counts(&lanes), [(3, 3), (2, 2)]);
    assert!(run(&lanes, false, on_lane), "the lanes go on meanwhile");
    assert!(!on_lane());
    drop(gates);
    let until = std::time::Instant::now() + PATIENCE;
    while counts(&lanes) != [(0, 0), (0, 0)] {
        assert!(std::time::Instant::now() < until, "{:?}", counts(&lanes));
        std::thread::yield_now();
    }
}

/// A task's end, told by its drop.
fn parked(lanes: &Lanes) -> Receiver<()> {
    let (sender, receiver) = channel::<()>();
    lanes.spawn(false, move |_lane, _place| async move {
        let _told_by_its_drop = sender;
        std::future::pending::<()>().await;
    });
    receiver
}

#[test]
fn dropping_the_lanes_drops_their_tasks_and_waits_for_no_blocking_call() {
    let lanes = lanes(2);
    let (release, blocked) = channel::<()>();
    run(&lanes, false, move || drop(tokio::task::spawn_blocking(move || blocked.recv())));
    let parked: Vec<Receiver<()>> = (0..4).map(|_| parked(&lanes)).collect();
    drop(lanes);
    for task in parked {
        assert_eq!(task.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected));
    }
    drop(release);
}

#[test]
fn the_last_handle_may_be_dropped_on_a_lane() {
    let lanes = lanes(1);
    let own = lanes.clone();
    let other = parked(&lanes);
    run(&lanes, false, || {});
    let (sender, receiver) = channel();
    lanes.spawn(false, move |_lane, place| async move {
        drop(place);
        drop(own);
        sender.send(()).unwrap();
    });
    drop(lanes);
    receiver.recv_timeout(PATIENCE).unwrap();
    assert_eq!(other.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected));
}

#[test]
fn buffers_are_used_again_but_not_hoarded() {
    let lanes = lanes(1);
    let (sender, receiver) = channel();
    lanes.spawn(false, move |lane, _place| async move {
        let buffers: Vec<Vec<u8>> = (0..2 * IDLE_BUFFERS).map(|_| lane.buffer()).collect();
        let size = buffers[0].len();
        let first = buffers[0].as_ptr();
        lane.recycle(Vec::new());
        assert!(lane.buffers.borrow().is_empty(), "what was lost to a blocking call is no buffer");
        buffers.into_iter().for_each(|buffer| lane.recycle(buffer));
        let kept = lane.buffers.borrow().len();
        let again = lane.buffers.borrow().iter().any(|buffer| buffer.as_ptr() == first);
        sender.send((size, kept, again)).unwrap();
    });
    let (size, kept, again) = receiver.recv_timeout(PATIENCE).unwrap();
    assert_eq!((size, kept, again), (lanes.transport().config().buffer_size, IDLE_BUFFERS, true));
}

#[test]
fn what_lanes_count_with_every_piece_is_on_cache_lines_of_their_own() {
    // Processors fetch lines of 64 bytes in pairs.
    const PAIR: usize = 128;
    let lanes = lanes(8);
    let lines = |addresses: Vec<usize>, size: usize| -> Vec<usize> {
        let mut lines: Vec<usize> =
            addresses.iter().flat_map(|first| first / PAIR..=(first + size - 1) / PAIR).collect();
        lines.sort_unstable();
        lines
    };
    let all = |lines: &[usize]| lines.windows(2).all(|pair| pair[0] != pair[1]);
    let of_counters = lanes.inner.lanes.iter().map(|lane| std::ptr::from_ref(&*lane.moved).addr()).collect();
    assert!(all(&lines(of_counters, size_of::<Moved>())), "bytes moved");
    let of_lanes = lanes.inner.lanes.iter().map(|lane| std::ptr::from_ref(lane).addr()).collect();
    assert!(all(&lines(of_lanes, size_of::<Lane>())), "load and seats");
    let meter = crate::call::Meter::default();
    let jobs: Vec<Arc<crate::call::JobProgress>> = (0..8).map(|_| meter.begin_job()).collect();
    let of_jobs = jobs.iter().map(|job| std::ptr::from_ref(&**job).addr()).collect();
    assert!(all(&lines(of_jobs, size_of::<crate::call::JobProgress>())), "progress of jobs");
}

/// Compiles only as long as none of these types can be reached by another thread: a piece's way from the socket to the target's file,
/// and back, leads through them and the counters above.
const _: () = {
    trait Stays<A> {
        const TRUE: bool = true;
    }
    struct Leaves;
    impl<T: ?Sized> Stays<()> for T {}
    // Were `T` one that can be sent, both of these would fit, and the lines below would not compile.
    impl<T: ?Sized + Send> Stays<Leaves> for T {}
    assert!(<LaneContext as Stays<_>>::TRUE);
    assert!(<Pool as Stays<_>>::TRUE);
    assert!(<crate::transport::Connection as Stays<_>>::TRUE);
};
