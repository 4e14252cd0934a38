//! What an operator reads about restarts.

use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};

use actix::Addr;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tracing::field::{Field, Visit};
use tracing::span;
use tracing::subscriber::DefaultGuard;
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};

use super::lab::{Do, Lab, Plan, on_arbiter, strict, within};
use crate::supervise::RestartMode::{Permanent, Transient};
use crate::supervise::{ChildName, ChildSpec, RestartPolicy, start_supervised};

type Lines = Arc<Mutex<Vec<(Level, String)>>>;

struct Recorder(Lines);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, "{}={value:?} ", field.name()).unwrap();
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().contains("supervise")
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().push((*event.metadata().level(), line.0));
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// While only one dispatcher exists, tracing asks the thread that reaches a log line first whether anybody wants it, and remembers the answer: a
/// test without a recorder on another thread would switch the line off for this one. A second dispatcher makes it ask them all.
static SECOND: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(Recorder(Lines::default())));

thread_local! {
    static GUARD: std::cell::RefCell<Option<DefaultGuard>> = const { std::cell::RefCell::new(None) };
}

/// What the arbiter logs while a lab of this policy is at work, until it is gone. An address that `work` returns is held until then.
fn logged(policy: RestartPolicy, work: impl AsyncFnOnce(Addr<Lab>) -> Option<Addr<Lab>>) -> Vec<(Level, String)> {
    LazyLock::force(&SECOND);
    let lines = Lines::default();
    let recorder = Recorder(Arc::clone(&lines));
    on_arbiter(async |arbiter| {
        arbiter.spawn_fn(move || {
            let guard = tracing::subscriber::set_default(recorder);
            GUARD.with(|slot| *slot.borrow_mut() = Some(guard));
        });
        let spec = ChildSpec { name: ChildName::numbered("lab", 4), ..ChildSpec::new("", 1) }.policy(policy);
        let (exit, mut exits) = mpsc::unbounded_channel();
        let (events, _) = mpsc::unbounded_channel();
        let on_exit = move |gone| exit.send(gone).unwrap();
        let addr = start_supervised(arbiter, spec, on_exit, move || Lab::new(Plan::default(), events));
        let _held = work(addr).await;
        within(exits.recv()).await.unwrap();
    });
    std::mem::take(&mut *lines.lock())
}

#[test]
fn each_restart_warns_and_an_escalation_is_an_error() {
    let lines = logged(strict(Transient, 2), async |addr| {
        for text in ["one", "two", "three"] {
            assert!(within(addr.send(Do::poison(text))).await.is_err());
        }
        Some(addr)
    });
    let wanted = [(Level::WARN, 1, "one"), (Level::WARN, 2, "two"), (Level::ERROR, 2, "three")];
    assert_eq!(lines.len(), wanted.len(), "{lines:?}");
    for ((level, line), (wanted, restarts, text)) in lines.iter().zip(wanted) {
        assert_eq!(*level, wanted, "{line}");
        for part in ["actor=lab-4", "generation=1", &format!("restarts={restarts}"), &format!("panic={text}")] {
            assert!(line.contains(part), "{part} in {line}");
        }
    }
}

#[test]
fn an_end_that_was_asked_for_is_not_worth_a_word() {
    let stopped = logged(strict(Transient, 2), async |addr| {
        assert!(within(addr.send(Do::stop())).await.is_ok());
        Some(addr)
    });
    assert_eq!(stopped, []);
    let let_go = logged(strict(Permanent, 2), async |addr| {
        assert!(within(addr.send(Do::count())).await.is_ok());
        None
    });
    assert_eq!(let_go, []);
}
