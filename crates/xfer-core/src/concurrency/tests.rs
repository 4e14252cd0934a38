#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

const TICK: Duration = Duration::from_millis(50);
/// 60 MB/s per connection, and 20 ms of latency for each part of 8 MiB.
const ONE: f64 = 8_388_608.0 / (8_388_608.0 / 60e6 + 0.020);

/// A network that takes `rate(requests)` bytes per second, by which a controller goes on for `seconds`; the limit after each tick.
struct World {
    controller: Controller,
    now: Duration,
    random: fastrand::Rng,
    noise: f64,
}

impl World {
    fn new(bounds: Bounds) -> World {
        let random = fastrand::Rng::with_seed(1);
        World { controller: Controller::new(bounds), now: Duration::ZERO, random, noise: 0.0 }
    }

    fn noisy(mut self, noise: f64, seed: u64) -> World {
        self.noise = noise;
        self.random = fastrand::Rng::with_seed(seed);
        self
    }

    fn run(&mut self, seconds: f64, rate: impl Fn(usize) -> f64) -> Vec<usize> {
        self.run_throttled(seconds, rate, |_| 0)
    }

    fn run_throttled(
        &mut self,
        seconds: f64,
        rate: impl Fn(usize) -> f64,
        throttled: impl Fn(usize) -> usize,
    ) -> Vec<usize> {
        let end = self.now + Duration::from_secs_f64(seconds);
        let mut limits = Vec::new();
        let mut limit = self.controller.limit();
        while self.now < end {
            self.now += TICK;
            let noise = 1.0 + self.noise * (2.0 * self.random.f64() - 1.0);
            let bytes = (rate(limit) * TICK.as_secs_f64() * noise) as u64;
            limit = self.controller.tick(Sample {
                now: self.now,
                bytes,
                busy: limit,
                throttled: throttled(limit),
                computing: 50,
            });
            limits.push(limit);
        }
        limits
    }
}

fn bounds(max: usize) -> Bounds {
    Bounds { max, ..Bounds::default() }
}

fn scaling(limit: usize) -> f64 {
    ONE * limit as f64
}

fn shared_by_four(limit: usize) -> f64 {
    ONE * limit.min(4) as f64
}

fn mean(limits: &[usize]) -> f64 {
    limits.iter().sum::<usize>() as f64 / limits.len() as f64
}

#[test]
fn connections_follow_the_target_as_in_the_crt() {
    let gbps = |gbps: u64| connections_for(gbps * 125_000_000);
    assert_eq!([0, 1, 4, 10, 100, 400].map(gbps), [10, 10, 10, 25, 250, 1_000]);
    assert_eq!(connections_for(1_250_000_001), 26);
    assert_eq!(connections_for(u64::MAX), 10_000);
}

#[test]
fn it_climbs_to_the_top_within_half_a_second_while_more_brings_more() {
    let limits = World::new(bounds(64)).run(0.55, scaling);
    assert_eq!(limits.last(), Some(&64), "{limits:?}");
    for seed in 0..200 {
        let mut world = World::new(bounds(64)).noisy(0.15, seed);
        let limits = world.run(5.0, scaling);
        assert_eq!(limits.last(), Some(&64), "seed {seed}: {limits:?}");
        // And it stays there.
        assert!(mean(&world.run(60.0, scaling)) > 62.0, "seed {seed}");
    }
}

#[test]
fn it_stays_low_where_four_connections_fill_the_line() {
    let mut world = World::new(bounds(256));
    let limits = world.run(600.0, shared_by_four);
    // Twice as many are tried once, half as many again now and then.
    assert!(limits.iter().all(|limit| [8, 12, 16].contains(limit)), "{:?}", limits.iter().max());
    assert!(limits.iter().filter(|limit| **limit == 16).count() < 40);
    assert!(mean(&limits) < 8.3, "{}", mean(&limits));
}

#[test]
fn noise_does_not_drive_it_up() {
    for seed in 0..100 {
        let mut world = World::new(bounds(256)).noisy(0.15, seed);
        let limits = world.run(600.0, shared_by_four);
        let mut sorted = limits.clone();
        sorted.sort_unstable();
        assert!(mean(&limits) <= 12.0, "seed {seed}: mean {}", mean(&limits));
        assert!(sorted[sorted.len() * 95 / 100] <= 18, "seed {seed}");
    }
}

#[test]
fn it_finds_the_knee_of_a_line_in_between() {
    for seed in 0..50 {
        let mut world = World::new(bounds(256)).noisy(0.05, seed);
        let limits = world.run(120.0, |limit| ONE * limit.min(40) as f64);
        let settled = mean(&limits[limits.len() / 2..]);
        assert!((36.0..=64.0).contains(&settled), "seed {seed}: {settled}");
    }
}

#[test]
fn it_backs_off_when_the_store_throttles_and_comes_back() {
    let mut world = World::new(bounds(64));
    world.run(3.0, scaling);
    assert_eq!(world.controller.limit(), 64);
    // The store takes 20 at once from now on.
    let limits = world.run_throttled(120.0, |limit| scaling(limit.min(20)), |limit| limit.saturating_sub(20));
    let settled = &limits[limits.len() / 2..];
    assert!(settled.iter().all(|limit| (10..=32).contains(limit)), "{settled:?}");
    let over = settled.iter().filter(|limit| **limit > 20).count();
    assert!(over * 20 < settled.len(), "too often above what the store takes: {over} of {}", settled.len());
    // And then it takes all again.
    let limits = world.run(60.0, scaling);
    assert_eq!(limits.last(), Some(&64));
}

#[test]
fn a_store_that_throttles_always_gets_the_least() {
    let mut world = World::new(Bounds { start: 8, min: 3, max: 64 });
    let limits = world.run_throttled(60.0, scaling, |_| 1);
    assert_eq!(limits.last(), Some(&3));
    // One burst of answers lowers it once.
    let mut world = World::new(bounds(64));
    let limits = world.run_throttled(0.5, scaling, |_| 5);
    assert_eq!(limits.last(), Some(&5));
}

#[test]
fn it_learns_nothing_from_too_little_work() {
    let mut controller = Controller::new(bounds(64));
    for tick in 1..2_000 {
        let sample = Sample { now: TICK * tick, bytes: 1_000, busy: 3, throttled: 0, computing: 50 };
        assert_eq!(controller.tick(sample), 8);
    }
}

#[test]
fn threads_that_have_no_time_are_given_no_more_to_do() {
    let mut controller = Controller::new(bounds(64));
    let mut tick = 0;
    let mut run = |controller: &mut Controller, seconds: u32, computing: usize| {
        let ticks = seconds * 1_000 / TICK.as_millis() as u32;
        for _ in 0..ticks {
            tick += 1;
            let limit = controller.limit();
            let bytes = 1_000_000 * limit as u64;
            controller.tick(Sample { now: TICK * tick, bytes, busy: limit, throttled: 0, computing });
        }
        controller.limit()
    };
    assert_eq!(run(&mut controller, 20, SATURATED), 8);
    assert_eq!(run(&mut controller, 20, SATURATED - 1), 64, "as soon as they have");
}

#[test]
fn bounds_that_contradict_each_other_are_put_right() {
    let controller = Controller::new(Bounds { start: 100, min: 0, max: 0 });
    assert_eq!(controller.limit(), 1);
    let mut world = World::new(Bounds { start: 1, min: 1, max: 3 });
    let limits = world.run(10.0, scaling);
    assert_eq!(limits.iter().max(), Some(&3));
}
