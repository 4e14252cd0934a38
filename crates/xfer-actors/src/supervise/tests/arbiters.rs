//! The pool: start, probe, replace, stop.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use actix::System;

use super::lab::{PATIENCE, hold, within};
use crate::supervise::{ArbiterPool, Health, PoolError};

#[test]
fn a_thread_without_a_system_gets_an_error() {
    assert!(matches!(ArbiterPool::start("none", 1), Err(PoolError::NoSystem)));
}

#[test]
fn a_probe_tells_live_busy_and_dead() {
    System::new().block_on(async {
        let mut pool = ArbiterPool::start("probe", 1).unwrap();
        assert_eq!(within(pool.probe(0, PATIENCE)).await, Health::Alive);
        assert_eq!(within(pool.probe(1, PATIENCE)).await, Health::Dead);
        assert!(pool.is_alive(0) && !pool.is_alive(1));

        let gate = hold(&pool.handles()[0]);
        assert_eq!(pool.probe(0, Duration::from_millis(10)).await, Health::Busy);
        let pending = pool.probe(0, PATIENCE);
        pool.handles()[0].stop();
        assert!(pool.is_alive(0), "it has not got to the order to stop yet");
        drop(gate);
        within(pending).await;
        assert_eq!(within(pool.probe(0, PATIENCE)).await, Health::Dead);
        assert!(!pool.is_alive(0));

        let fresh = pool.replace(0).unwrap();
        assert!(fresh.alive() && pool.is_alive(0));
        assert_eq!(within(pool.probe(0, PATIENCE)).await, Health::Alive);
        assert!(matches!(pool.replace(9), Err(PoolError::NoSuchArbiter { number: 9 })));
        assert_eq!(pool.stop(PATIENCE).joined.len(), 2);
    });
}

#[test]
fn a_stop_does_not_wait_beyond_its_deadline() {
    System::new().block_on(async {
        let pool = ArbiterPool::start("slow", 2).unwrap();
        let gate = hold(&pool.handles()[1]);
        let begun = Instant::now();
        let stopped = pool.stop(Duration::from_millis(1500));
        assert_eq!(stopped.joined, ["slow-0"]);
        assert_eq!(stopped.left, ["slow-1"]);
        assert!(begun.elapsed() < PATIENCE / 2);
        drop(gate);
    });
}

#[test]
fn a_stop_from_within_does_not_wait_for_itself() {
    System::new().block_on(async {
        let pool = ArbiterPool::start("self", 2).unwrap();
        let (sender, receiver) = mpsc::channel();
        let handles = pool.handles();
        handles[0].spawn_fn(move || {
            let begun = Instant::now();
            let stopped = pool.stop(PATIENCE);
            sender.send((stopped, begun.elapsed())).unwrap();
        });
        let (stopped, took) = receiver.recv_timeout(PATIENCE).unwrap();
        assert_eq!(stopped.joined, ["self-1"]);
        assert_eq!(stopped.left, ["self-0"]);
        assert!(took < PATIENCE / 2);
    });
}

#[test]
fn a_dropped_pool_stops_its_arbiters() {
    System::new().block_on(async {
        let pool = ArbiterPool::start("dropped", 1).unwrap();
        let (alive, end) = mpsc::channel::<()>();
        pool.handles()[0].spawn(async move {
            let _alive = alive;
            std::future::pending::<()>().await;
        });
        drop(pool);
        // The task, and with it the sender, goes when the arbiter does.
        assert_eq!(end.recv_timeout(PATIENCE), Err(mpsc::RecvTimeoutError::Disconnected));
    });
}
