//! Ends that no restart heals, and what a parent makes of them.

use std::sync::Arc;

use actix::Running;
use tokio::sync::mpsc;

use super::lab::{Bench, Do, Event, Lab, PATIENCE, Plan, boom, generous, hold, on_arbiter, strict, within};
use crate::supervise::RestartMode::{Permanent, Transient};
use crate::supervise::{ArbiterPool, ChildSpec, ExitReason, Family, Verdict, start_supervised};

#[test]
fn a_stopped_arbiter_aborts_its_actors() {
    on_arbiter(async |arbiter| {
        let mut bench = Bench::start(arbiter, generous(Permanent), Plan::default());
        let hanging = bench.addr.send(super::lab::Hang);
        assert_eq!(bench.ask(Do::count()).await, Ok(1));
        arbiter.stop();
        assert_eq!(bench.exit().await.reason, ExitReason::Aborted);
        assert!(within(hanging).await.is_err());
        use Event::{Dropped, Handled, Started, Stopped, Stopping};
        assert_eq!(bench.history().await, [Started, Handled(1), Stopping, Stopped, Dropped], "it may clean up");
    });
}

#[test]
fn hooks_that_panic_at_the_end_of_an_arbiter_are_borne() {
    on_arbiter(async |arbiter| {
        let plans = [
            Plan { stopping: Arc::new(|_, _| boom("stopping")), ..Plan::default() },
            Plan { stopping: Arc::new(|_, _| Running::Continue), ..Plan::default() },
            Plan { stopped: Arc::new(|_, _| boom("stopped")), ..Plan::default() },
        ];
        let mut benches: Vec<Bench> =
            plans.into_iter().map(|plan| Bench::start(arbiter, generous(Permanent), plan)).collect();
        for bench in &benches {
            let armed = Do::new(|lab, _| lab.state.bomb = true);
            assert_eq!(bench.ask(armed).await, Ok(1));
        }
        arbiter.stop();
        for bench in &mut benches {
            assert_eq!(bench.exit().await.reason, ExitReason::Aborted);
        }
    });
}

#[test]
fn a_dead_arbiter_aborts_what_is_started_on_it() {
    on_arbiter(async |arbiter| {
        let mut last = Bench::start(arbiter, generous(Permanent), Plan::default());
        arbiter.stop();
        last.exit().await;
        let mut bench = Bench::start(arbiter, generous(Permanent), Plan::default());
        assert_eq!(bench.exit().await.reason, ExitReason::Aborted);
        assert!(bench.ask(Do::count()).await.is_err());
        assert_eq!(bench.history().await, [], "it never was");
    });
}

#[test]
fn an_arbiter_that_stops_before_the_start_aborts_it() {
    on_arbiter(async |arbiter| {
        let gate = hold(arbiter);
        arbiter.stop();
        let mut bench = Bench::start(arbiter, generous(Permanent), Plan::default());
        drop(gate);
        assert_eq!(bench.exit().await.reason, ExitReason::Aborted);
        assert_eq!(bench.history().await, []);
    });
}

#[test]
fn a_factory_that_panics_escalates() {
    on_arbiter(async |arbiter| {
        let (exit, mut exits) = mpsc::unbounded_channel();
        let on_exit = move |gone| exit.send(gone).unwrap();
        let addr = start_supervised(arbiter, ChildSpec::new("lab", 3), on_exit, || -> Lab { boom("no such thing") });
        let gone = within(exits.recv()).await.unwrap();
        assert_eq!(gone.reason, ExitReason::Escalated { restarts: 0, panic_text: "no such thing".into() });
        assert_eq!(gone.generation, 3);
        assert_eq!(within(exits.recv()).await, None);
        assert!(!addr.connected());
    });
}

/// What a guardian does: children on arbiters of a pool, exits in a channel, a family to ask.
#[test]
fn a_family_outlives_arbiters_and_budgets() {
    actix::System::new().block_on(async {
        let mut pool = ArbiterPool::start("family", 2).unwrap();
        let mut family = Family::new(strict(Transient, 2));
        let (exit, mut exits) = mpsc::unbounded_channel();
        let start = |arbiter: &actix::ArbiterHandle, generation| {
            let exit = exit.clone();
            let spec = ChildSpec::new("lab", generation).policy(strict(Transient, 0));
            let (events, _) = mpsc::unbounded_channel();
            start_supervised(
                arbiter,
                spec,
                move |gone| exit.send(gone).unwrap(),
                move || Lab::new(Plan::default(), events),
            )
        };

        let first = family.register("lab".into());
        let addr = start(&pool.handles()[0], first);
        assert_eq!(within(addr.send(Do::count())).await, Ok(1));

        // Its arbiter dies: a new generation on a new arbiter.
        pool.handles()[0].stop();
        let gone = within(exits.recv()).await.unwrap();
        let Verdict::StartAgain { generation: second, after } = family.on_exit(&gone) else { panic!("to be repaired") };
        tokio::time::sleep(after).await;
        assert!(family.may_start("lab".into(), second) && !pool.is_alive(0));
        let addr = start(&pool.replace(0).unwrap(), second);
        assert_eq!(within(addr.send(Do::count())).await, Ok(1));
        assert_eq!(family.on_exit(&gone), Verdict::Ignore, "the report of the first generation comes late");

        // Its own budget is spent: again, and then the group's budget is spent as well.
        addr.do_send(Do::poison("x"));
        let gone = within(exits.recv()).await.unwrap();
        assert_eq!(gone.generation, second);
        let Verdict::StartAgain { generation: third, .. } = family.on_exit(&gone) else { panic!("to be repaired") };
        let addr = start(&pool.handles()[1], third);
        addr.do_send(Do::poison("x"));
        assert_eq!(family.on_exit(&within(exits.recv()).await.unwrap()), Verdict::GiveUp);

        // Shutdown: the flag first, so that no exit is repaired.
        let fourth = family.register("lab".into());
        let _addr = start(&pool.handles()[1], fourth);
        family.set_shutting_down();
        let stopped = pool.stop(PATIENCE);
        assert_eq!(stopped.joined, ["family-0", "family-1", "family-0"], "the replaced one too");
        let gone = within(exits.recv()).await.unwrap();
        assert_eq!((gone.generation, &gone.reason), (fourth, &ExitReason::Aborted));
        assert!(family.shutting_down());
        assert_eq!(family.on_exit(&gone), Verdict::Ignore);
    });
}
