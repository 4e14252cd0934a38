//! Failures that a restart heals: what is lost, what is kept, and how fast the next life begins.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use actix::fut::wrap_future;
use actix::{ActorContext, AsyncContext, Context, MailboxError, SpawnHandle};
use futures_util::future::join_all;
use tokio::sync::oneshot;

use super::lab::{AtomicPoison, Bench, Do, Event, Hang, Lab, Plan, boom, generous, hold, on_arbiter, strict, within};
use crate::supervise::RestartMode::{Permanent, Transient};
use crate::supervise::{ExitReason, RestartPolicy};

const CLOSED: Result<u32, MailboxError> = Err(MailboxError::Closed);

#[test]
fn a_poison_message_loses_only_itself() {
    on_arbiter(async |arbiter| {
        let mut bench = Bench::start(arbiter, strict(Transient, 1), Plan::default());
        assert_eq!(bench.ask(Do::count()).await, Ok(1));
        let gate = hold(arbiter);
        let poison = bench.addr.send(Do::new(|_, _| panic!("a panic with a hook")));
        let behind: Vec<_> = (0..5).map(|_| bench.addr.send(Do::count())).collect();
        drop(gate);
        assert_eq!(within(poison).await, CLOSED);
        assert_eq!(within(join_all(behind)).await, [Ok(1), Ok(2), Ok(3), Ok(4), Ok(5)]);
        assert!(bench.addr.connected(), "the same address");
        assert_eq!(bench.ask(Do::new(|lab, _| assert_eq!(lab.lives, 2))).await, Ok(6));
        use Event::{Handled, Restarting, Started};
        let seen: Vec<Event> = std::iter::from_fn(|| bench.events.try_recv().ok()).collect();
        let wanted = [Started, Handled(1), Restarting, Started];
        assert_eq!(seen[..4], wanted, "neither stopping nor stopped is called on the broken state");
        assert_eq!(seen[4..], [1, 2, 3, 4, 5, 6].map(Handled));
    });
}

/// All the ways in which something of the context can panic.
fn poisons() -> Vec<(&'static str, Do)> {
    vec![
        ("handler", Do::poison("x")),
        (
            "future",
            Do::new(|_, ctx| {
                ctx.spawn(wrap_future(async { boom("x") }));
            }),
        ),
        ("waited future", Do::new(|_, ctx| ctx.wait(wrap_future(async { boom("x") })))),
        (
            "run_later",
            Do::new(|_, ctx| {
                ctx.run_later(Duration::from_millis(1), |_, _| boom("x"));
            }),
        ),
        (
            "run_interval",
            Do::new(|_, ctx| {
                ctx.run_interval(Duration::from_millis(1), |_, _| boom("x"));
            }),
        ),
        ("atomic reply", Do::new(|_, ctx| ctx.address().do_send(AtomicPoison))),
        (
            "a payload with a destructor that panics",
            Do::new(|_, _| {
                struct Bomb;
                impl Drop for Bomb {
                    fn drop(&mut self) {
                        boom("payload");
                    }
                }
                std::panic::resume_unwind(Box::new(Bomb))
            }),
        ),
        (
            "a dropped future that panics",
            Do::new(|_, ctx| {
                struct Bomb;
                impl Drop for Bomb {
                    fn drop(&mut self) {
                        boom("future");
                    }
                }
                let bomb = Bomb;
                ctx.spawn(wrap_future(async move {
                    let _bomb = bomb;
                    std::future::pending().await
                }));
                // Lets the future into the context before the panic that ends it.
                ctx.run_later(Duration::from_millis(1), |_, _| boom("x"));
            }),
        ),
    ]
}

#[test]
fn a_panic_anywhere_in_the_context_is_healed() {
    on_arbiter(async |arbiter| {
        for (what, poison) in poisons() {
            let mut bench = Bench::start(arbiter, strict(Transient, 3), Plan::default());
            let sibling = bench.addr.send(Hang);
            bench.addr.do_send(poison);
            assert_eq!(within(sibling).await, CLOSED, "{what}: who waits on the lost life learns of it");
            while bench.event().await != Event::Restarting {}
            assert_eq!(bench.ask(Do::count()).await, Ok(1), "{what}");
            assert!(bench.exits.try_recv().is_err(), "{what}: the actor lives");
        }
    });
}

#[test]
fn requesters_learn_of_a_lost_life_before_the_wait() {
    on_arbiter(async |arbiter| {
        let hour = Duration::from_secs(3600);
        let policy = RestartPolicy { backoff_base: hour, backoff_cap: hour, ..generous(Transient) };
        let mut bench = Bench::start(arbiter, policy, Plan::default());
        let sibling = bench.addr.send(Hang);
        bench.addr.do_send(Do::poison("x"));
        assert_eq!(within(sibling).await, CLOSED);
        assert!(bench.addr.connected());
        // An arbiter that stops during the wait ends the actor without starting it.
        arbiter.stop();
        assert_eq!(bench.exit().await.reason, ExitReason::Aborted);
        assert_eq!(bench.history().await, [Event::Started, Event::Restarting, Event::Dropped]);
    });
}

#[test]
fn restarts_keep_their_distance() {
    on_arbiter(async |arbiter| {
        let wait = Duration::from_millis(20);
        let policy = RestartPolicy { backoff_base: wait, backoff_cap: wait, ..generous(Permanent) };
        let plan = Plan { started: Arc::new(|_, ctx| ctx.stop()), ..Plan::default() };
        let begun = Instant::now();
        let mut bench = Bench::start(arbiter, policy, plan);
        let mut lives = 0;
        while lives < 6 {
            lives += u32::from(bench.event().await == Event::Started);
        }
        assert!(begun.elapsed() >= 5 * wait, "six lives need five waits, got {:?}", begun.elapsed());
    });
}

#[test]
fn an_actor_that_cannot_stay_up_does_not_hold_the_thread() {
    on_arbiter(async |arbiter| {
        let ends: [fn(&mut Lab, &mut Context<Lab>); 2] = [|_, ctx| ctx.stop(), |_, _| boom("never up")];
        for end in ends {
            let plan = Plan { started: Arc::new(end), ..Plan::default() };
            let mut bench = Bench::start(arbiter, generous(Permanent), plan);
            for _ in 0..3 {
                bench.event().await;
            }
            // It has neither wait nor budget, and yet its neighbour is served.
            let neighbour = Bench::start(arbiter, generous(Transient), Plan::default());
            for count in 1..=20 {
                assert_eq!(neighbour.ask(Do::count()).await, Ok(count));
            }
        }
    });
}

#[test]
fn random_poison_among_ten_thousand_loses_only_itself() {
    on_arbiter(async |arbiter| {
        let bench = Bench::start(arbiter, generous(Transient), Plan::default());
        let mut random = fastrand::Rng::with_seed(0x5eed);
        let handled = Arc::new(AtomicU32::new(0));
        let (mut poison, mut good) = (Vec::new(), Vec::new());
        while poison.len() < 10_000 {
            if random.bool() {
                poison.push(bench.addr.send(Do::poison("poison")));
            } else {
                let handled = Arc::clone(&handled);
                good.push(bench.addr.send(Do::new(move |_, _| {
                    handled.fetch_add(1, Ordering::Relaxed);
                })));
            }
        }
        let wanted = good.len();
        assert!(within(join_all(poison)).await.iter().all(|reply| *reply == CLOSED));
        assert!(within(join_all(good)).await.iter().all(Result::is_ok));
        assert_eq!(handled.load(Ordering::Relaxed) as usize, wanted, "each handled once");
        assert!(bench.ask(Do::new(|lab, _| assert_eq!(lab.lives, 10_001))).await.is_ok());
    });
}

/// actix keeps a cancellation that was asked for in the turn that fails, and would apply it to the next life's future of that number.
#[test]
fn a_stale_cancellation_does_not_hit_the_next_life() {
    on_arbiter(async |arbiter| {
        let ends: [fn(&mut Context<Lab>); 2] = [|_| boom("after cancel"), |ctx| ctx.stop()];
        for end in ends {
            let (fired, timer) = oneshot::channel();
            let fired = parking_lot::Mutex::new(Some(fired));
            let handle = Arc::new(parking_lot::Mutex::new(SpawnHandle::default()));
            let kept = Arc::clone(&handle);
            let plan = Plan {
                started: Arc::new(move |lab, ctx| {
                    if lab.lives == 1 {
                        *kept.lock() = ctx.run_later(Duration::from_secs(3600), |_, _| {});
                    } else if let Some(fired) = fired.lock().take() {
                        ctx.run_later(Duration::from_millis(5), move |_, _| {
                            let _ = fired.send(());
                        });
                    }
                }),
                ..Plan::default()
            };
            let bench = Bench::start(arbiter, strict(Permanent, 3), plan);
            assert_eq!(bench.ask(Do::count()).await, Ok(1));
            bench.addr.do_send(Do::new(move |_, ctx| {
                ctx.cancel_future(*handle.lock());
                end(ctx);
            }));
            assert_eq!(within(timer).await, Ok(()), "the new life's timer fires");
        }
    });
}
