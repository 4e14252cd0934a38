//! What a future and its transfer's data tell while it goes on and behind its end, and what subscribers hear.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::sync::mpsc;
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::io::{Pattern, Sink};
use common::{Bed, LIMIT, PART, Witness, kind, runtime};
use futures_util::StreamExt;
use parking_lot::Mutex;
use xfer_facade::{
    CallArgs, CallKind, DownloadTarget, ErrorKind, ExtraArgs, RequestSerializer, Shutdown, Subscriber, TransferCall,
    TransferConfig, TransferEvent, TransferFuture, TransferManager, TransferStatus, UploadSource, on_done_fn,
    on_progress_fn, on_queued_fn,
};
use xfer_tests::{Action, FaultRule, Gate, Op, pattern};

/// An upload in parts that is held at the store until the gate opens.
fn held(bed: &Bed) -> (Gate, TransferFuture) {
    let gate = Gate::new();
    bed.server.inject(FaultRule::on(Op::UploadPart).then(Action::Hold(gate.clone())));
    let source = bed.file("source", 1, 3 * PART);
    let future = bed.manager.upload(&source, bed.bucket(), "k").start().unwrap();
    assert!(gate.arrived_blocking(1, LIMIT));
    (gate, future)
}

#[test]
fn futures_that_are_dropped_waiting_leave_nothing_with_the_transfer() {
    use std::task::{Context, Poll, Wake, Waker};
    struct Task;
    impl Wake for Task {
        fn wake(self: Arc<Self>) {}
    }
    let bed = Bed::new();
    let gate = Gate::new();
    bed.server.inject(FaultRule::any().then(Action::Hold(gate.clone())));
    let future = bed.manager.delete(bed.bucket(), "k").start().unwrap();
    let tasks: Vec<Arc<Task>> = (0..100).map(|_| Arc::new(Task)).collect();
    let mut one = future.clone();
    for task in &tasks {
        let waker = Waker::from(Arc::clone(task));
        let mut context = Context::from_waker(&waker);
        // As by a handler that waits for a while, with a clone of its own; and one future that goes from task to task.
        assert!(matches!(std::pin::pin!(future.clone()).poll(&mut context), Poll::Pending));
        assert!(matches!(std::pin::Pin::new(&mut one).poll(&mut context), Poll::Pending));
    }
    let kept: Vec<usize> = tasks.iter().map(Arc::strong_count).collect();
    assert_eq!((kept[..99].iter().max(), kept[99]), (Some(&1), 2), "only the last task of the future that is left");
    gate.open();
    future.result(LIMIT).unwrap();
}

#[test]
fn a_future_may_go_to_another_task_while_its_first_one_ends_with_a_clone_of_it() {
    use std::task::{Context, Poll, Wake, Waker};
    /// A task of an executor that keeps tasks by their wakers alone.
    struct Task(#[expect(dead_code, reason = "goes with the task")] TransferFuture);
    impl Wake for Task {
        fn wake(self: Arc<Self>) {}
    }
    let bed = Bed::new();
    let (gate, mut future) = held(&bed);
    let mut clone = future.clone();
    assert!(matches!(std::pin::pin!(&mut clone).poll(&mut Context::from_waker(Waker::noop())), Poll::Pending));
    let task = Waker::from(Arc::new(Task(clone)));
    assert!(matches!(std::pin::Pin::new(&mut future).poll(&mut Context::from_waker(&task)), Poll::Pending));
    drop(task);
    let (sender, polled) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = std::pin::Pin::new(&mut future).poll(&mut Context::from_waker(Waker::noop()));
        sender.send(future).unwrap();
    });
    let future = polled.recv_timeout(LIMIT).unwrap();
    gate.open();
    future.result(LIMIT).unwrap();
}

#[test]
fn a_waker_that_panics_keeps_the_end_from_nobody_else() {
    use std::task::{Context, Poll, Wake, Waker};
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("a waker of the test panics");
        }
    }
    let bed = Bed::new();
    for subscribed in [false, true] {
        let gate = Gate::new();
        bed.server.inject(FaultRule::any().then(Action::Hold(gate.clone())));
        let call = bed.manager.delete(bed.bucket(), "k");
        let call = if subscribed { call.subscriber(on_done_fn(|_, _| {})) } else { call };
        let mut first = call.start().unwrap();
        let waker = Waker::from(Arc::new(Panics));
        assert!(matches!(std::pin::Pin::new(&mut first).poll(&mut Context::from_waker(&waker)), Poll::Pending));
        let second = first.clone();
        let events = first.events();
        let (sender, ended) = mpsc::channel();
        let waits = std::thread::spawn(move || {
            runtime().block_on(async {
                let mut second = second;
                let mut told = false;
                let result = std::future::poll_fn(|context| {
                    let polled = std::pin::Pin::new(&mut second).poll(context);
                    if !std::mem::replace(&mut told, true) {
                        sender.send(()).unwrap();
                    }
                    polled
                });
                let heard = (result.await, events.collect::<Vec<_>>().await);
                sender.send(()).unwrap();
                heard
            })
        });
        ended.recv_timeout(LIMIT).unwrap();
        gate.open();
        ended.recv_timeout(LIMIT).unwrap();
        let (result, events) = waits.join().unwrap();
        result.unwrap();
        assert!(matches!(&events[..], [TransferEvent::Done(Ok(_))]), "{events:?}");
    }
    bed.assert_clean(&[]);
}

#[test]
fn events_that_have_ended_may_be_asked_for_more() {
    let bed = Bed::new();
    let future = bed.manager.delete(bed.bucket(), "k").start().unwrap();
    let mut events = future.events();
    runtime().block_on(async {
        assert!(matches!(events.next().await, Some(TransferEvent::Done(Ok(_)))));
        for _ in 0..3 {
            assert!(events.next().await.is_none());
        }
    });
}

#[test]
fn a_transfer_goes_on_when_a_wait_is_given_up_and_can_be_cancelled_then() {
    for cancel in [true, false] {
        let bed = Bed::new();
        let (gate, future) = held(&bed);
        for timeout in [Duration::ZERO, Duration::from_millis(20)] {
            let begun = Instant::now();
            let error = future.result(timeout).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WaitTimeout);
            assert!(error.message().contains("the transfer goes on"), "{error}");
            assert!(begun.elapsed() >= timeout);
            assert!(!future.done());
        }
        if cancel {
            assert!(future.cancel());
            assert_eq!(kind(future.result(LIMIT)), ErrorKind::Cancelled);
            gate.open();
        } else {
            gate.open();
            future.result(LIMIT).unwrap();
            bed.check_object("k", 1, 3 * PART);
        }
        bed.assert_clean(&["source"]);
    }
}

#[test]
fn any_number_of_threads_and_tasks_get_the_same_result() {
    for fail in [false, true] {
        let bed = Bed::new();
        let (gate, future) = held(&bed);
        let threads: Vec<_> = (0..8)
            .map(|number| {
                let future = future.clone();
                std::thread::spawn(move || match number % 3 {
                    0 => future.result(None),
                    1 => future.result(LIMIT),
                    _ => runtime().block_on(future),
                })
            })
            .collect();
        assert!(!future.done());
        if fail {
            assert!(future.cancel());
        }
        gate.open();
        let expected = future.result(LIMIT);
        for thread in threads {
            match (thread.join().unwrap(), &expected) {
                (Ok(outcome), Ok(expected)) => assert_eq!(outcome, *expected),
                (Err(error), Err(expected)) => assert_eq!(error.to_string(), expected.to_string()),
                (one, other) => panic!("{one:?} and {other:?}"),
            }
        }
        assert_eq!(expected.is_err(), fail);
        bed.assert_clean(&["source"]);
    }
}

#[test]
fn the_status_is_queued_then_running_then_how_it_ended() {
    let bed = Bed::new();
    bed.object("down", 1, 3 * PART);
    let gate = Gate::new();
    bed.server.inject(FaultRule::on(Op::GetObject).range_start(2 * PART).then(Action::Hold(gate.clone())));
    let first = Gate::new();
    bed.server.inject(FaultRule::on(Op::GetObject).nth(1).then(Action::Hold(first.clone())));
    let down = bed.manager.download(bed.bucket(), "down", bed.path("target")).start().unwrap();
    assert!(first.arrived_blocking(1, LIMIT));
    assert_eq!(
        (down.meta().status(), down.meta().size(), down.meta().bytes_transferred()),
        (TransferStatus::Queued, None, 0)
    );
    first.open();
    assert!(gate.arrived_blocking(1, LIMIT));
    common::eventually("the other ranges are there", || down.meta().bytes_transferred() == 2 * PART);
    assert_eq!((down.meta().status(), down.meta().size()), (TransferStatus::Running, Some(3 * PART)));
    gate.open();
    down.result(LIMIT).unwrap();
    assert_eq!((down.meta().status(), down.meta().bytes_transferred()), (TransferStatus::Succeeded, 3 * PART));

    let (gate, cancelled) = held(&bed);
    assert!(cancelled.cancel());
    assert_eq!(kind(cancelled.result(LIMIT)), ErrorKind::Cancelled);
    assert_eq!(cancelled.meta().status(), TransferStatus::Cancelled);
    gate.open();
    let failed = bed.manager.download(bed.bucket(), "missing", DownloadTarget::memory()).start().unwrap();
    assert_eq!(kind(failed.result(LIMIT)), ErrorKind::NoSuchKey);
    assert_eq!(failed.meta().status(), TransferStatus::Failed);
    bed.assert_clean(&["source", "target"]);
}

#[test]
fn subscribers_and_the_future_share_one_user_context() {
    let bed = Bed::new();
    let (heard, hear) = mpsc::channel();
    let future = bed
        .manager
        .upload(&b"x"[..], bed.bucket(), "k")
        .subscriber(on_queued_fn(|meta| meta.user_context().insert("started by", "the first".to_owned())))
        .subscriber(on_done_fn(move |meta, _| {
            let started_by = meta.user_context().get::<String>("started by");
            meta.user_context().insert("ended", true);
            heard.send(started_by).unwrap();
        }))
        .start()
        .unwrap();
    future.meta().user_context().insert("by the caller", 7_u32);
    future.result(LIMIT).unwrap();
    assert_eq!(hear.recv_timeout(LIMIT).unwrap().as_deref(), Some("the first"));
    let context = future.meta().user_context();
    assert_eq!((context.get("ended"), context.get("by the caller")), (Some(true), Some(7_u32)));
    assert_eq!(context.get::<u64>("by the caller"), None, "of another type");
    assert!(context.remove("ended") && !context.remove("ended"));
    // Another transfer has its own.
    let other = bed.manager.delete(bed.bucket(), "k").start().unwrap();
    assert_eq!(other.meta().user_context().get::<u32>("by the caller"), None);
    other.result(LIMIT).unwrap();
}

#[test]
fn the_arguments_of_a_call_are_kept_as_they_were_given() {
    let bed = Bed::new();
    bed.object("k", 1, 10);
    let file = bed.file("file", 1, 10);
    let args = |call: TransferCall| -> CallArgs {
        let future = call.start().unwrap();
        let args = future.meta().call_args().clone();
        future.result(LIMIT).unwrap();
        args
    };
    let given = ExtraArgs::new().content_type("text/plain").metadata([("origin", "camera-1")]);
    let up = args(bed.manager.upload(&file, bed.bucket(), "up").extra_args(given.clone()));
    assert_eq!((up.kind, &*up.bucket, &*up.key), (CallKind::Upload, "bucket", "up"));
    assert_eq!((up.fileobj, up.extra_args), (format!("file {}", file.display()), given));
    let sources = [
        (UploadSource::from(&b"four"[..]), "4 bytes in memory"),
        (UploadSource::reader(Pattern::new(1, 5)), "reader of unknown length"),
        (UploadSource::async_reader(Pattern::new(1, 5)).with_length(5), "reader of 5 bytes"),
    ];
    for (source, words) in sources {
        assert_eq!(args(bed.manager.upload(source, bed.bucket(), "up")).fileobj, words);
    }
    let target = bed.path("target");
    let targets = [
        (DownloadTarget::from(&target), format!("file {}", target.display())),
        (DownloadTarget::memory(), "memory".to_owned()),
        (DownloadTarget::writer(Sink::new()), "writer".to_owned()),
        (DownloadTarget::seekable(Sink::new()), "seekable writer".to_owned()),
    ];
    for (target, words) in targets {
        let down = args(bed.manager.download(bed.bucket(), "k", target));
        assert_eq!((down.kind, down.fileobj, down.extra_args.len()), (CallKind::Download, words, 0));
    }
    let delete = args(bed.manager.delete(bed.bucket(), "k"));
    assert_eq!((delete.kind, &*delete.key, &*delete.fileobj), (CallKind::Delete, "k", ""));
    bed.assert_clean(&["file", "target"]);
}

#[test]
fn secrets_among_the_arguments_are_there_but_not_shown() {
    let bed = Bed::new();
    let (key, code) = ("0123456789abcdef0123456789abcdef", "123456 arn:aws:iam::1:mfa/me");
    // Held, so that it is looked at while it goes on.
    let gate = Gate::new();
    bed.server.inject(FaultRule::any().then(Action::Hold(gate.clone())));
    let encrypted = ExtraArgs::new().sse_customer_algorithm("AES256").sse_customer_key(key);
    let put = bed.manager.upload(&b"x"[..], bed.bucket(), "k").extra_args(encrypted).start().unwrap();
    let delete = bed.manager.delete(bed.bucket(), "k").extra_args(ExtraArgs::new().mfa(code)).start().unwrap();
    assert_eq!(put.meta().call_args().extra_args.text("SSECustomerKey"), Some(key));
    assert_eq!(delete.meta().call_args().extra_args.text("MFA"), Some(code));
    for future in [&put, &delete] {
        let meta = future.meta();
        for text in [format!("{future:?}"), format!("{meta:?}"), format!("{:?}", meta.call_args())] {
            assert!(!text.contains(key) && !text.contains("123456 arn"), "{text}");
        }
    }
    gate.open();
    // How this store takes them is not the question here, only that they end.
    common::eventually("both end", || put.done() && delete.done());
    assert_eq!(bed.manager.active(), 0);
}

#[test]
fn the_outcome_tells_how_long_it_took() {
    let bed = Bed::new();
    let delay = Duration::from_millis(60);
    bed.server.inject(FaultRule::on(Op::PutObject).then(Action::Delay(delay)));
    let begun = Instant::now();
    let outcome = bed.manager.upload(&b"x"[..], bed.bucket(), "k").start().unwrap().result(LIMIT).unwrap();
    assert!(outcome.elapsed >= delay && outcome.elapsed <= begun.elapsed(), "{:?}", outcome.elapsed);
    assert_eq!((outcome.attempts, outcome.retries), (1, 0));
}

#[test]
fn waiting_on_one_of_xfers_own_threads_is_refused() {
    let bed = Bed::new();
    let (give, given) = mpsc::channel::<(TransferFuture, TransferManager)>();
    let (seen, kinds) = mpsc::channel();
    // The stream is polled by the thread that moves the bytes, and waits there for the transfer that waits for it.
    let piece = async move {
        let (future, manager) = given.recv_timeout(LIMIT).unwrap();
        seen.send([kind(future.result(LIMIT)), kind(future.result(None)), kind(manager.shutdown(Shutdown::Drain))])
            .unwrap();
        Ok(Bytes::from_static(b"a piece"))
    };
    let source = UploadSource::stream(futures_util::stream::once(piece));
    let future = bed.manager.upload(source, bed.bucket(), "k").start().unwrap();
    give.send((future.clone(), bed.manager.clone())).unwrap();
    assert_eq!(kinds.recv_timeout(LIMIT).unwrap(), [ErrorKind::WouldDeadlock; 3]);
    future.result(LIMIT).unwrap();
    assert_eq!(bed.server.object(bed.bucket(), "k").unwrap().bytes(), "a piece");
    bed.assert_clean(&[]);
}

#[test]
fn on_queued_is_called_on_the_thread_that_starts() {
    let bed = Bed::new();
    bed.object("k", 1, 10);
    let threads: Arc<Mutex<Vec<ThreadId>>> = Arc::default();
    let note = |call: TransferCall| {
        let threads = Arc::clone(&threads);
        call.subscriber(on_queued_fn(move |meta| {
            assert_eq!(meta.status(), TransferStatus::Queued);
            threads.lock().push(std::thread::current().id());
        }))
    };
    let calls = [
        note(bed.manager.upload(&b"x"[..], bed.bucket(), "up")),
        note(bed.manager.download(bed.bucket(), "k", DownloadTarget::memory())),
        note(bed.manager.delete(bed.bucket(), "gone")),
    ];
    let here = std::thread::current().id();
    for (number, call) in calls.into_iter().enumerate() {
        let future = call.start().unwrap();
        assert_eq!(*threads.lock(), vec![here; number + 1], "before start() returns");
        future.result(LIMIT).unwrap();
    }
    threads.lock().clear();
    runtime().block_on(async { note(bed.manager.delete(bed.bucket(), "gone")).await }).unwrap();
    assert_eq!(*threads.lock(), [here]);
}

#[test]
fn a_subscriber_may_lie_in_a_box_or_be_shared() {
    let bed = Bed::new();
    let (boxed, shared) = (Witness::new(), Witness::new());
    // Of a type that is only known when the program runs.
    let any: Vec<Box<dyn Subscriber>> = vec![Box::new(Arc::clone(&boxed)), Box::new(on_queued_fn(|_| {}))];
    let all: Arc<dyn Subscriber> = Arc::clone(&shared) as Arc<dyn Subscriber>;
    let call = bed.manager.upload(&b"hello"[..], bed.bucket(), "k").subscriber(all);
    any.into_iter().fold(call, TransferCall::subscriber).start().unwrap().result(LIMIT).unwrap();
    for witness in [boxed, shared] {
        assert_eq!((witness.told().queued, witness.told().progress.iter().sum()), (1, 5_u64));
        assert!(matches!(&witness.told().done[..], [Ok(outcome)] if outcome.bytes == 5));
    }
}

#[test]
fn subscribers_of_a_delete_hear_its_begin_and_its_end() {
    let bed = Bed::new();
    bed.object("k", 1, 10);
    let witness = Witness::new();
    let outcome = bed.manager.delete(bed.bucket(), "k").subscriber(Arc::clone(&witness)).start().unwrap().result(LIMIT);
    assert_eq!(outcome.unwrap().bytes, 0);
    witness.assert_complete(0, "delete");
    assert_eq!(witness.told().progress, [0; 0]);
    let refused = Witness::new();
    let error = bed.manager.delete("no-bucket", "k").subscriber(Arc::clone(&refused)).start().unwrap().result(LIMIT);
    assert_eq!(kind(error), ErrorKind::NoSuchBucket);
    let told = refused.told();
    assert_eq!((told.queued, told.done.len()), (1, 1));
    assert_eq!(kind(told.done[0].clone()), ErrorKind::NoSuchBucket);
}

#[test]
fn a_start_that_is_refused_tells_nobody() {
    let bed = Bed::new();
    bed.object("k", 1, 10);
    let witness = Witness::new();
    let refused = |call: TransferCall| kind(call.subscriber(Arc::clone(&witness)).start());
    let manager = &bed.manager;
    let unknown = ExtraArgs::new().with("Unknown", "x");
    assert_eq!(refused(manager.delete(bed.bucket(), "k").extra_args(unknown)), ErrorKind::InvalidArgument);
    assert_eq!(refused(manager.upload("/nonexistent", bed.bucket(), "k")), ErrorKind::SourceUnavailable);
    assert_eq!(refused(manager.download(bed.bucket(), "k", "/nonexistent/target")), ErrorKind::TargetUnavailable);
    // Seen only when the parts are planned.
    let endless = UploadSource::reader(std::io::empty()).with_length(u64::MAX);
    assert_eq!(refused(manager.upload(endless, bed.bucket(), "k")), ErrorKind::TooLarge);
    manager.shutdown(Shutdown::Drain).unwrap();
    assert_eq!(refused(manager.upload(&b"x"[..], bed.bucket(), "k")), ErrorKind::ShutDown);
    let told = witness.told();
    assert_eq!((told.queued, told.progress.len(), told.done.len()), (0, 0, 0), "{told:?}");
    assert_eq!(bed.server.stats().total(), 0, "nothing was sent");
    bed.assert_clean(&[]);
}

/// How often progress is told of a transfer that takes two seconds or more, by a manager with this interval; and how long it took.
fn reports(interval: Option<Duration>) -> (u128, Duration) {
    let size = 1_000_000;
    let bed = Bed::with(|server| server.bandwidth_per_connection(size / 2), |client| client);
    bed.object("k", 1, size);
    let manager = match interval {
        None => bed.manager.clone(),
        Some(interval) => {
            let serializer = RequestSerializer::for_client(&bed.client);
            let config = TransferConfig::new().progress_interval(interval);
            TransferManager::builder(&bed.client, serializer).config(config).build().unwrap()
        }
    };
    let told: Arc<Mutex<Vec<u64>>> = Arc::default();
    let list = Arc::clone(&told);
    let subscriber = on_progress_fn(move |_, bytes| list.lock().push(bytes));
    let call = manager.download(bed.bucket(), "k", DownloadTarget::memory()).subscriber(subscriber);
    let begun = Instant::now();
    let outcome = call.start().unwrap().result(LIMIT).unwrap();
    let took = begun.elapsed();
    pattern::check(1, 0, &outcome.body.unwrap()).unwrap();
    let told = told.lock();
    assert_eq!(told.iter().sum::<u64>(), size);
    (told.len() as u128, took)
}

#[test]
fn progress_is_told_as_often_as_the_manager_says() {
    // One report at the end, and before that no two within the interval.
    let most = |took: Duration, interval: u128| took.as_millis() / interval + 1;
    let (usual, took) = reports(None);
    assert!((3..=most(took, 100)).contains(&usual), "{usual} reports in {took:?}");
    let (seldom, took) = reports(Some(Duration::from_millis(400)));
    assert!((2..=most(took, 400)).contains(&seldom), "{seldom} reports in {took:?}");
    assert_eq!(reports(Some(Duration::from_secs(3600))).0, 1);
}
