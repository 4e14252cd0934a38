//! Hooks that panic, refuse or stop, and destructors that panic.

use std::sync::Arc;

use actix::{Actor, ActorContext, Context, Running, Supervised};

use super::lab::{Bench, Do, Event, Hook, Plan, boom, hold, on_arbiter, strict, within};
use crate::supervise::RestartMode::{Permanent, Transient};
use crate::supervise::{ChildSpec, ExitReason, start_supervised};

fn escalated(restarts: u32, text: &str) -> ExitReason {
    ExitReason::Escalated { restarts, panic_text: text.into() }
}

/// A hook that panics in the first `times` calls.
fn failing(text: &'static str, times: u32) -> Hook {
    let left = parking_lot::Mutex::new(times);
    Arc::new(move |_, _| {
        if let Some(rest) = { *left.lock() }.checked_sub(1) {
            *left.lock() = rest;
            boom(text);
        }
    })
}

#[test]
fn a_start_that_panics_is_tried_again() {
    on_arbiter(async |arbiter| {
        let bench =
            Bench::start(arbiter, strict(Transient, 3), Plan { started: failing("started", 3), ..Plan::default() });
        assert_eq!(bench.ask(Do::new(|lab, _| assert_eq!(lab.lives, 4))).await, Ok(1));
    });
}

#[test]
fn a_start_that_always_panics_escalates() {
    on_arbiter(async |arbiter| {
        let gate = hold(arbiter);
        let plan = Plan { started: failing("never up", u32::MAX), ..Plan::default() };
        let mut bench = Bench::start(arbiter, strict(Transient, 3), plan);
        let waiting = bench.addr.send(Do::count());
        drop(gate);
        assert_eq!(bench.exit().await.reason, escalated(3, "never up"));
        assert!(within(waiting).await.is_err());
        use Event::{Dropped, Restarting, Started};
        let lives = [Started, Restarting, Started, Restarting, Started, Restarting, Started, Dropped];
        assert_eq!(bench.history().await, lives);
    });
}

#[test]
fn a_start_that_always_stops_escalates_where_it_must_stay_and_ends_where_it_may_go() {
    on_arbiter(async |arbiter| {
        let plan = Plan { started: Arc::new(|_, ctx| ctx.stop()), ..Plan::default() };
        let mut bench = Bench::start(arbiter, strict(Permanent, 3), plan.clone());
        assert_eq!(bench.exit().await.reason, escalated(3, "stopped by itself"));
        assert_eq!(bench.history().await.iter().filter(|event| **event == Event::Started).count(), 4);

        let mut bench = Bench::start(arbiter, strict(Transient, 3), plan);
        assert_eq!(bench.exit().await.reason, ExitReason::Normal);
        assert_eq!(bench.history().await, [Event::Started, Event::Stopping, Event::Stopped, Event::Dropped]);
    });
}

#[test]
fn the_exit_carries_the_last_panic() {
    on_arbiter(async |arbiter| {
        let mut bench = Bench::start(arbiter, strict(Transient, 1), Plan::default());
        assert!(bench.ask(Do::poison("first")).await.is_err());
        assert!(bench.ask(Do::new(|_, _| panic!("second, {}", "formatted"))).await.is_err());
        assert_eq!(bench.exit().await.reason, escalated(1, "second, formatted"));

        let mut bench = Bench::start(arbiter, strict(Transient, 0), Plan::default());
        let long = Do::new(|_, _| std::panic::resume_unwind(Box::new("ä".repeat(2_000))));
        assert!(bench.ask(long).await.is_err());
        assert_eq!(bench.exit().await.reason, escalated(0, &"ä".repeat(256)), "long texts are cut");

        let mut bench = Bench::start(arbiter, strict(Transient, 0), Plan::default());
        assert!(bench.ask(Do::new(|_, _| std::panic::resume_unwind(Box::new(7)))).await.is_err());
        assert_eq!(bench.exit().await.reason, escalated(0, "a panic without a text"));
    });
}

#[test]
fn a_stop_keeps_the_mailbox_where_the_actor_must_stay() {
    on_arbiter(async |arbiter| {
        let mut bench = Bench::start(arbiter, strict(Permanent, 1), Plan::default());
        let gate = hold(arbiter);
        let (stop, behind) = (bench.addr.send(Do::stop()), bench.addr.send(Do::count()));
        drop(gate);
        assert_eq!(within(stop).await, Ok(1), "the message that stops it is answered");
        assert_eq!(within(behind).await, Ok(1), "in the second life");
        use Event::{Handled, Restarting, Started, Stopped, Stopping};
        for wanted in [Started, Handled(1), Stopping, Stopped, Restarting, Started, Handled(1)] {
            assert_eq!(bench.event().await, wanted);
        }
    });
}

#[test]
fn a_stop_ends_an_actor_that_may_go() {
    on_arbiter(async |arbiter| {
        for stop in [Do::stop(), Do::new(|_, ctx| ctx.terminate())] {
            let mut bench = Bench::start(arbiter, strict(Transient, 9), Plan::default());
            let gate = hold(arbiter);
            let (stop, behind) = (bench.addr.send(stop), bench.addr.send(Do::count()));
            drop(gate);
            assert_eq!(within(stop).await, Ok(1));
            assert!(within(behind).await.is_err());
            assert_eq!(bench.exit().await.reason, ExitReason::Normal);
        }
    });
}

#[test]
fn dropping_the_last_address_ends_any_actor() {
    on_arbiter(async |arbiter| {
        for mode in [Permanent, Transient] {
            let Bench { addr, mut events, mut exits } = Bench::start(arbiter, strict(mode, 9), Plan::default());
            addr.do_send(Do::count());
            drop(addr);
            assert_eq!(within(exits.recv()).await.unwrap().reason, ExitReason::Normal);
            let mut history = Vec::new();
            while let Some(event) = within(events.recv()).await {
                history.push(event);
            }
            use Event::{Dropped, Handled, Started, Stopped, Stopping};
            assert_eq!(history, [Started, Handled(1), Stopping, Stopped, Dropped], "the last message is still handled");
        }
        // A last message that panics: there is nobody left to restart for.
        let Bench { addr, mut exits, .. } = Bench::start(arbiter, strict(Permanent, 0), Plan::default());
        let gate = hold(arbiter);
        addr.do_send(Do::poison("last"));
        drop(addr);
        drop(gate);
        assert_eq!(within(exits.recv()).await.unwrap().reason, ExitReason::Normal);
    });
}

#[test]
fn hooks_of_the_end_may_panic() {
    on_arbiter(async |arbiter| {
        let plans = [
            Plan {
                stopping: Arc::new(|lab, _| if lab.lives == 1 { boom("stopping") } else { Running::Stop }),
                ..Plan::default()
            },
            Plan { stopped: failing("stopped", 1), ..Plan::default() },
        ];
        for plan in plans {
            let mut bench = Bench::start(arbiter, strict(Transient, 1), plan);
            assert_eq!(bench.ask(Do::stop()).await, Ok(1));
            // The panic makes a failure of the stop: the actor is there again, and the next stop succeeds.
            assert_eq!(bench.ask(Do::stop()).await, Ok(1));
            assert_eq!(bench.exit().await.reason, ExitReason::Normal);
        }
        let always = Plan {
            stopping: Arc::new(|_, _| boom("stopping")),
            stopped: failing("stopped", u32::MAX),
            ..Plan::default()
        };
        let mut bench = Bench::start(arbiter, strict(Transient, 0), always);
        bench.addr.do_send(Do::stop());
        assert_eq!(bench.exit().await.reason, escalated(0, "stopping"));
    });
}

#[test]
fn a_restart_that_panics_is_a_failure_of_its_own() {
    on_arbiter(async |arbiter| {
        let bench = Bench::start(
            arbiter,
            strict(Transient, 3),
            Plan { restarting: failing("restarting", 2), ..Plan::default() },
        );
        assert!(bench.ask(Do::poison("x")).await.is_err());
        assert_eq!(bench.ask(Do::new(|lab, _| assert_eq!(lab.lives, 2))).await, Ok(1), "never polled in between");

        let plan = Plan { restarting: failing("restarting", u32::MAX), ..Plan::default() };
        let mut bench = Bench::start(arbiter, strict(Transient, 3), plan);
        assert!(bench.ask(Do::poison("x")).await.is_err());
        assert_eq!(bench.exit().await.reason, escalated(3, "restarting"));
        assert_eq!(bench.history().await.iter().filter(|event| **event == Event::Started).count(), 1);
    });
}

#[test]
fn destructors_may_panic() {
    on_arbiter(async |arbiter| {
        // Of the state that `restarting` replaces: the new state is in place nevertheless.
        let bench = Bench::start(arbiter, strict(Transient, 2), Plan::default());
        let armed = Do::new(|lab, _| {
            lab.state.bomb = true;
            boom("x");
        });
        assert!(bench.ask(armed).await.is_err());
        assert_eq!(bench.ask(Do::count()).await, Ok(1));

        // Of the actor that is given up.
        let mut bench = Bench::start(arbiter, strict(Transient, 0), Plan::default());
        let armed = Do::new(|lab, _| {
            lab.state.bomb = true;
            boom("x");
        });
        assert!(bench.ask(armed).await.is_err());
        assert_eq!(bench.exit().await.reason, escalated(0, "x"));

        // Of a message that nobody handles any more.
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                boom("message");
            }
        }
        let mut bench = Bench::start(arbiter, strict(Transient, 0), Plan::default());
        let gate = hold(arbiter);
        let bomb = Bomb;
        bench.addr.do_send(Do::poison("x"));
        bench.addr.do_send(Do::new(move |_, _| drop(bomb)));
        let behind = bench.addr.send(Do::count());
        drop(gate);
        assert_eq!(bench.exit().await.reason, escalated(0, "x"));
        drop(behind);
    });
}

#[test]
fn an_actor_that_refuses_to_stop_goes_on() {
    on_arbiter(async |arbiter| {
        let plan = Plan { stopping: Arc::new(|_, _| Running::Continue), ..Plan::default() };
        let mut bench = Bench::start(arbiter, strict(Transient, 0), plan);
        for count in 1..=3 {
            assert_eq!(bench.ask(Do::stop()).await, Ok(count));
        }
        // Nor is a refusal heard when nobody holds its address: it lingers, and goes with its arbiter.
        let Bench { addr, exits, .. } = &mut bench;
        drop(std::mem::replace(addr, Bench::start(arbiter, strict(Transient, 0), Plan::default()).addr));
        arbiter.stop();
        assert_eq!(within(exits.recv()).await.unwrap().reason, ExitReason::Aborted);
    });
}

/// The smallest actor there is: all hooks are actix's own.
struct Plain;

impl Actor for Plain {
    type Context = Context<Self>;
}

impl Supervised for Plain {}

#[test]
fn a_callback_that_panics_hurts_nobody() {
    on_arbiter(async |arbiter| {
        let addr = start_supervised(arbiter, ChildSpec::new("plain", 1), |_| boom("callback"), || Plain);
        drop(addr);
        let neighbour = Bench::start(arbiter, strict(Transient, 0), Plan::default());
        assert_eq!(neighbour.ask(Do::count()).await, Ok(1));

        // On a dead arbiter the callback runs on the thread that starts.
        let mut last = Bench::start(arbiter, strict(Transient, 0), Plan::default());
        arbiter.stop();
        last.exit().await;
        let addr = start_supervised(arbiter, ChildSpec::new("plain", 2), |_| boom("callback"), || Plain);
        assert!(!addr.connected());
    });
}
