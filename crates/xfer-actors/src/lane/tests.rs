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
