//! The runner dropped by its runtime, at moments that a running arbiter offers only by chance.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use actix::dev::channel::channel;
use actix::{Addr, Running};
use tokio::sync::mpsc::{self, UnboundedReceiver};

use super::lab::{Do, Event, Lab, Plan, boom, generous};
use crate::supervise::RestartMode::Permanent;
use crate::supervise::exit::ExitGuard;
use crate::supervise::runner::Runner;
use crate::supervise::{ChildExit, ExitReason};

struct Loose {
    runner: Runner<Lab>,
    addr: Addr<Lab>,
    events: UnboundedReceiver<Event>,
    exits: UnboundedReceiver<ChildExit>,
}

impl Loose {
    fn new(plan: Plan) -> Self {
        let (sender, mailbox) = channel(0);
        let (events, seen) = mpsc::unbounded_channel();
        let (exit, exits) = mpsc::unbounded_channel();
        let fut = actix::Context::with_receiver(mailbox).into_future(Lab::new(plan, events));
        let guard = ExitGuard::new("loose".into(), 1, move |gone| exit.send(gone).unwrap());
        Self { runner: Runner::new(fut, generous(Permanent), guard), addr: Addr::new(sender), events: seen, exits }
    }

    fn poll(&mut self) {
        assert!(Pin::new(&mut self.runner).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }

    /// Drops the runner by `how` and returns what the actor went through from first to last.
    fn end(mut self, how: impl FnOnce(Runner<Lab>)) -> Vec<Event> {
        how(self.runner);
        assert!(!self.addr.connected());
        assert_eq!(self.exits.try_recv().unwrap().reason, ExitReason::Aborted);
        assert!(self.exits.try_recv().is_err(), "reported once");
        std::iter::from_fn(|| self.events.try_recv().ok()).collect()
    }
}

#[test]
fn an_actor_that_never_ran_is_not_started_by_its_end() {
    assert_eq!(Loose::new(Plan::default()).end(drop), [Event::Dropped]);
}

#[test]
fn an_actor_between_two_lives_is_not_started_by_its_end() {
    let mut loose = Loose::new(Plan::default());
    loose.addr.do_send(Do::poison("x"));
    loose.poll();
    assert_eq!(loose.end(drop), [Event::Started, Event::Restarting, Event::Dropped]);
}

#[test]
fn a_mailbox_is_not_drained_in_a_destructor() {
    let mut loose = Loose::new(Plan { stopping: Arc::new(|_, _| Running::Continue), ..Plan::default() });
    loose.poll();
    loose.addr.do_send(Do::count());
    loose.addr.do_send(Do::poison("in a destructor"));
    assert_eq!(loose.end(drop), [Event::Started, Event::Stopping, Event::Dropped]);
}

#[test]
fn an_end_during_an_unwinding_aborts_nothing() {
    let mut loose = Loose::new(Plan { stopping: Arc::new(|_, _| boom("stopping")), ..Plan::default() });
    loose.poll();
    loose.addr.do_send(Do::new(|lab, _| lab.state.bomb = true));
    loose.poll();
    let history = loose.end(|runner| {
        let unwound = catch_unwind(AssertUnwindSafe(move || {
            let _runner = runner;
            boom("outside")
        }));
        assert!(unwound.is_err());
    });
    assert_eq!(history, [Event::Started, Event::Handled(1), Event::Dropped], "its hooks are left alone");
}
