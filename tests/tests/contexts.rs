//! The same calls from everywhere: plain threads, every flavour of runtime, actix, subscribers; and the orderly and disorderly ends of a
//! manager.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use common::io::{Latch, Pattern, Sink};
use common::{Bed, LIMIT, PART, Witness, assert_files, child, kind, runtime};
use futures_util::future::join_all;
use futures_util::{FutureExt, StreamExt};
use parking_lot::Mutex;
use xfer_facade::{
    DownloadTarget, Error, ErrorKind, OsUtils, RequestSerializer, Shutdown, ShutdownPlan, Subscriber, TransferEvent,
    TransferFuture, TransferManager, TransferMeta, TransferOutcome, UploadSource, on_done_fn, on_progress_fn,
    on_queued_fn,
};
use xfer_tests::{Action, FaultRule, Gate, Op, pattern};

/// Not a test of its own: what children do.
#[test]
fn child() {
    match child::task().as_deref() {
        Some("be killed") => be_killed(),
        Some(other) => panic!("no task {other}"),
        None => {}
    }
}

/// Two parts and a bit up and down, awaited.
async fn there_and_back(bed: &Bed, key: &str) {
    let size = 2 * PART + 3;
    let up = bed.manager.upload(pattern::bytes(5, size as usize), bed.bucket(), key).await.unwrap();
    assert_eq!(up.bytes, size);
    let reader = UploadSource::async_reader(Pattern::new(5, size));
    bed.manager.upload(reader, bed.bucket(), key).await.unwrap();
    let target = bed.path(key);
    bed.manager.download(bed.bucket(), key, &target).await.unwrap();
    pattern::check_file(&target, 5, size).unwrap();
    let mut stream = bed.manager.download_stream(bed.bucket(), key);
    let mut got = 0;
    while let Some(piece) = stream.next().await {
        let piece = piece.unwrap();
        pattern::check(5, got, &piece).unwrap();
        got += piece.len() as u64;
    }
    assert_eq!(got, size);
    std::fs::remove_file(target).unwrap();
    bed.manager.delete(bed.bucket(), key).await.unwrap();
}

/// The same, blocking.
fn there_and_back_blocking(bed: &Bed, key: &str) {
    let size = 2 * PART + 3;
    let up = bed.manager.upload(pattern::bytes(5, size as usize), bed.bucket(), key).start().unwrap();
    assert_eq!(up.result(LIMIT).unwrap().bytes, size);
    let down = bed.manager.download(bed.bucket(), key, DownloadTarget::memory()).start().unwrap();
    pattern::check(5, 0, &down.result(None).unwrap().body.unwrap()).unwrap();
    bed.manager.delete(bed.bucket(), key).start().unwrap().result(LIMIT).unwrap();
}

#[test]
fn plain_threads() {
    let bed = Bed::new();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let bed = &bed;
            scope.spawn(move || there_and_back_blocking(bed, &format!("{thread}")));
        }
    });
    bed.assert_clean(&[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runtime_of_many_threads() {
    let bed = Arc::new(Bed::new());
    there_and_back(&bed, "awaited").await;
    // Blocking on a worker thread, on more tasks than there are workers.
    let tasks: Vec<_> = (0..6)
        .map(|index| {
            let bed = Arc::clone(&bed);
            tokio::spawn(async move { there_and_back_blocking(&bed, &format!("blocking {index}")) })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let blocking = Arc::clone(&bed);
    tokio::task::spawn_blocking(move || there_and_back_blocking(&blocking, "spawn_blocking")).await.unwrap();
    // An asynchronous source that is fed by this very runtime.
    let (mut feed, source) = tokio::io::duplex(1000);
    let future = bed.manager.upload(UploadSource::async_reader(source), bed.bucket(), "fed").start().unwrap();
    tokio::spawn(async move {
        tokio::io::AsyncWriteExt::write_all(&mut feed, &pattern::bytes(6, 50_000)).await.unwrap();
    });
    assert_eq!(future.result(LIMIT).unwrap().bytes, 50_000);
    bed.check_object("fed", 6, 50_000);
    bed.manager.shutdown(Shutdown::Drain).unwrap();
    bed.assert_clean(&[]);
}

#[tokio::test(flavor = "current_thread")]
async fn a_runtime_of_one_thread() {
    let bed = Bed::new();
    there_and_back(&bed, "awaited").await;
    // Blocking is slow there, but no deadlock, as long as nothing of the transfer needs this thread.
    there_and_back_blocking(&bed, "blocking");
    let (mut feed, source) = tokio::io::duplex(1000);
    let future = bed.manager.upload(UploadSource::async_reader(source), bed.bucket(), "fed").start().unwrap();
    let error = future.result(LIMIT).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldDeadlock, "{error}");
    assert_eq!(kind(bed.manager.shutdown(Shutdown::Drain)), ErrorKind::WouldDeadlock);
    tokio::spawn(async move {
        tokio::io::AsyncWriteExt::write_all(&mut feed, &pattern::bytes(6, 50_000)).await.unwrap();
    });
    assert_eq!(future.clone().await.unwrap().bytes, 50_000);
    // Where it is done there is nothing to wait for.
    assert_eq!(future.result(LIMIT).unwrap().bytes, 50_000);
    bed.manager.shutdown_async(Shutdown::Drain).await.unwrap();
    bed.check_object("fed", 6, 50_000);
    bed.assert_clean(&[]);
}

#[test]
fn a_set_of_local_tasks() {
    let bed = Bed::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        there_and_back(&bed, "local").await;
        there_and_back_blocking(&bed, "in the local set");
    });
    let bed = std::rc::Rc::new(bed);
    let task_bed = std::rc::Rc::clone(&bed);
    let task = local.spawn_local(async move { there_and_back_blocking(&task_bed, "in a local task") });
    local.block_on(&runtime, task).unwrap();
    bed.assert_clean(&[]);
}

#[actix::test]
async fn an_actix_system() {
    let bed = Bed::new();
    there_and_back(&bed, "awaited").await;
    there_and_back_blocking(&bed, "blocking");
    // The actors live in this System, and can be spoken to.
    let system = bed.client.actors().unwrap();
    let call = xfer_actors::Call::upload(
        &common::serializer_of(&bed.server),
        &b"sent as a message"[..],
        bed.bucket(),
        "message",
        xfer_facade::ExtraArgs::new(),
    )
    .unwrap();
    let put = xfer_actors::PutObject::new(&call, call.size().unwrap());
    let stored = system.uploader().unwrap().send(put).await.unwrap().unwrap();
    assert_eq!(stored.object.etag, Some(bed.server.object(bed.bucket(), "message").unwrap().etag()));
    bed.manager.shutdown_async(Shutdown::Drain).await.unwrap();
    bed.assert_clean(&[]);
}

#[test]
fn a_client_outlives_the_actix_system_that_it_was_used_in() {
    let bed = Bed::new();
    for name in ["first", "second"] {
        actix::System::new().block_on(async {
            there_and_back(&bed, name).await;
            actix::System::current().stop();
        });
    }
    // And without one.
    bed.assert_works();
    bed.assert_clean(&[]);
}

#[test]
fn a_system_that_is_stopped_under_its_transfers_ends_them() {
    for create in [true, false] {
        let bed = Bed::new();
        bed.object("k", 1, 4 * PART);
        let source = bed.file("source", 1, 4 * PART);
        let gate = Gate::new();
        // The upload is being opened, or open.
        for op in [Op::GetObject, if create { Op::CreateMultipartUpload } else { Op::UploadPart }] {
            bed.server.inject(FaultRule::on(op).then(Action::Hold(gate.clone())));
        }
        let system = actix::System::new();
        let futures = system.block_on(async {
            let down = bed.manager.download(bed.bucket(), "k", bed.path("target")).start().unwrap();
            let up = bed.manager.upload(&source, bed.bucket(), "up").start().unwrap();
            gate.arrived(2).await;
            actix::System::current().stop();
            [down, up]
        });
        system.run().unwrap();
        for future in futures {
            assert_eq!(kind(future.result(LIMIT)), ErrorKind::ShutDown);
        }
        assert_eq!(bed.manager.active(), 0);
        gate.open();
        common::eventually("the temporary file goes", || std::fs::read_dir(bed.folder.path()).unwrap().count() == 1);
        bed.assert_works();
        let stats = || bed.server.stats();
        common::eventually("the upload is aborted", || stats().count(Op::AbortMultipartUpload) > 0);
        common::eventually("no upload is left", || bed.server.open_uploads().is_empty());
        assert!(bed.server.object(bed.bucket(), "up").is_none());
    }
}

/// Does what blocks, in a subscriber, and notes how it ended.
struct Blocks {
    future: Mutex<mpsc::Receiver<TransferFuture>>,
    manager: Mutex<Option<TransferManager>>,
    seen: mpsc::Sender<[ErrorKind; 2]>,
}

impl Subscriber for Blocks {
    fn on_done(&self, _meta: &TransferMeta, _result: &Result<TransferOutcome, Error>) {
        let future = self.future.lock().recv_timeout(LIMIT).unwrap();
        let manager = self.manager.lock().take().unwrap();
        let kinds = [kind(future.result(LIMIT)), kind(manager.shutdown(Shutdown::Drain))];
        self.seen.send(kinds).unwrap();
    }
}

#[test]
fn a_subscriber_that_would_wait_for_itself_is_told() {
    let bed = Bed::new();
    let (give, future) = mpsc::channel();
    let (seen, kinds) = mpsc::channel();
    let subscriber = Blocks { future: Mutex::new(future), manager: Mutex::new(Some(bed.manager.clone())), seen };
    let future = bed.manager.upload(&b"x"[..], bed.bucket(), "k").subscriber(subscriber).start().unwrap();
    give.send(future.clone()).unwrap();
    assert_eq!(kinds.recv_timeout(LIMIT).unwrap(), [ErrorKind::WouldDeadlock; 2]);
    future.result(LIMIT).unwrap();
    // The shutdown that could not wait closed the manager all the same.
    let refused = bed.manager.upload(&b"x"[..], bed.bucket(), "k").start();
    assert_eq!(kind(refused), ErrorKind::ShutDown);
    bed.assert_clean(&[]);
}

#[derive(Debug)]
struct NotesRename(Arc<Mutex<Vec<&'static str>>>);

impl OsUtils for NotesRename {
    fn rename_file(&self, from: &std::path::Path, to: &std::path::Path) -> std::io::Result<()> {
        self.0.lock().push("rename");
        std::fs::rename(from, to)
    }
}

#[test]
fn a_file_has_its_name_before_on_done_and_the_future_resolves_after_it() {
    let bed = Bed::new();
    bed.object("k", 1, 3 * PART);
    let told = Arc::new(Mutex::new(Vec::new()));
    let serializer = RequestSerializer::for_client(&bed.client);
    let manager =
        TransferManager::builder(&bed.client, serializer).os_utils(NotesRename(Arc::clone(&told))).build().unwrap();
    let note = |word: &'static str| {
        let told = Arc::clone(&told);
        move || {
            let mut told = told.lock();
            if told.last() != Some(&word) {
                told.push(word);
            }
        }
    };
    let (queued, progress, done, second) = (note("queued"), note("progress"), note("done"), note("second done"));
    let target = bed.path("target");
    let (there, let_go) = (target.clone(), Latch::new());
    let held = let_go.clone();
    let call = manager
        .download(bed.bucket(), "k", &target)
        .subscriber(on_queued_fn(move |_| queued()))
        .subscriber(on_progress_fn(move |_, _| progress()))
        .subscriber(on_done_fn(move |_, result| {
            pattern::check_file(&there, 1, result.as_ref().unwrap().bytes).unwrap();
            done();
            held.pass();
        }))
        .subscriber(on_done_fn(move |_, _| second()));
    let future = call.start().unwrap();
    let_go.reached();
    assert!(!future.done(), "on_done comes before the future resolves");
    assert_eq!(manager.active(), 1);
    assert_eq!(kind(future.result(Duration::from_millis(20))), ErrorKind::WaitTimeout);
    assert!(!future.cancel(), "too late");
    let_go.open();
    future.result(LIMIT).unwrap();
    let mut told = told.lock().clone();
    // Progress may be told before and behind the rename.
    told.retain(|word| *word != "progress");
    assert_eq!(told, ["queued", "rename", "done", "second done"]);
    bed.assert_clean(&["target"]);
}

/// Panics whenever it is called.
struct Panics;

impl Subscriber for Panics {
    fn on_queued(&self, _meta: &TransferMeta) {
        panic!("a subscriber of the test panics");
    }

    fn on_progress(&self, _meta: &TransferMeta, _bytes: u64) {
        panic!("a subscriber of the test panics");
    }

    fn on_done(&self, _meta: &TransferMeta, _result: &Result<TransferOutcome, Error>) {
        panic!("a subscriber of the test panics");
    }
}

#[test]
fn subscribers_that_block_or_panic_harm_nobody() {
    let bed = Bed::new();
    // One blocks for as long as the test likes, in its first progress.
    let latch = Latch::new();
    let held = latch.clone();
    let slow_witness = Witness::new();
    let slow = bed
        .manager
        .upload(pattern::bytes(1, 3 * PART as usize), bed.bucket(), "slow")
        .subscriber(on_progress_fn(move |_, _| held.pass()))
        .subscriber(Arc::clone(&slow_witness))
        .start()
        .unwrap();
    latch.reached();
    let others: Vec<(TransferFuture, Arc<Witness>)> = (0..30)
        .map(|index| {
            let witness = Witness::new();
            let call = bed.manager.upload(pattern::bytes(2, PART as usize), bed.bucket(), &format!("{index}"));
            (call.subscriber(Panics).subscriber(Arc::clone(&witness)).start().unwrap(), witness)
        })
        .collect();
    for (future, witness) in others {
        future.result(LIMIT).unwrap();
        // Those beside the panicking ones heard everything.
        witness.assert_complete(PART, "beside one that panics");
    }
    // The slow one's bytes are all there; only its end waits for it.
    common::eventually("the object is stored", || bed.server.object(bed.bucket(), "slow").is_some());
    assert!(!slow.done());
    latch.open();
    slow.result(LIMIT).unwrap();
    slow_witness.assert_complete(3 * PART, "slow");
    bed.assert_clean(&[]);
}

#[test]
fn events_can_be_heard_by_any_number_of_listeners() {
    let bed = Bed::new();
    bed.object("k", 1, 4 * PART);
    let gate = Gate::new();
    bed.server.inject(FaultRule::on(Op::GetObject).then(Action::Hold(gate.clone())));
    let future = bed.manager.download(bed.bucket(), "k", bed.path("target")).start().unwrap();
    let listeners: Vec<_> = (0..3).map(|_| future.events()).collect();
    gate.open();
    runtime().block_on(async {
        // All at once: one that is heard only when another has ended may have missed some.
        let all = join_all(listeners.into_iter().map(StreamExt::collect::<Vec<TransferEvent>>)).await;
        for events in all {
            let mut total = 0;
            let (last, before) = events.split_last().unwrap();
            for event in before {
                let TransferEvent::Progress { bytes, total: so_far } = event else { panic!("{event:?}") };
                total += bytes;
                assert!(*so_far >= total);
            }
            assert_eq!(total, 4 * PART);
            assert!(matches!(last, TransferEvent::Done(Ok(outcome)) if outcome.bytes == 4 * PART), "{last:?}");
        }
        // Who comes late hears the end.
        let late: Vec<TransferEvent> = future.events().collect().await;
        assert!(matches!(&late[..], [TransferEvent::Done(Ok(_))]), "{late:?}");
    });
    bed.assert_clean(&["target"]);
}

/// Three uploads, which are open, and three downloads that are held at the store until the gate opens.
fn held(bed: &Bed) -> (Gate, Vec<TransferFuture>) {
    bed.object("down", 1, 3 * PART);
    let (gate, all) = (Gate::new(), Gate::new());
    // No upload goes on before all have come: the parts of two could take all the slots.
    let opening = bed.server.inject(FaultRule::on(Op::CreateMultipartUpload).then(Action::Hold(all.clone())));
    for op in [Op::UploadPart, Op::GetObject] {
        bed.server.inject(FaultRule::on(op).then(Action::Hold(gate.clone())));
    }
    let source = bed.file("source", 1, 3 * PART);
    let mut futures = Vec::new();
    for index in 0..3 {
        futures.push(bed.manager.upload(&source, bed.bucket(), &format!("up {index}")).start().unwrap());
        futures.push(bed.manager.download(bed.bucket(), "down", bed.path("target")).start().unwrap());
    }
    assert!(all.arrived_blocking(3, LIMIT));
    opening.remove();
    all.open();
    assert!(gate.arrived_blocking(6, LIMIT));
    common::eventually("all uploads are open", || bed.server.open_uploads().len() == 3);
    (gate, futures)
}

#[test]
fn draining_waits_for_what_goes_on() {
    let bed = Bed::new();
    let (gate, futures) = held(&bed);
    let opener = std::thread::spawn({
        let (gate, manager) = (gate.clone(), bed.manager.clone());
        move || {
            // Once the shutdown has begun, which is to be seen by its refusals.
            common::eventually(
                "the manager is closed",
                || matches!(manager.delete("bucket", "nothing").start(), Err(e) if e.kind() == ErrorKind::ShutDown),
            );
            gate.open();
        }
    });
    bed.manager.shutdown(Shutdown::Drain).unwrap();
    opener.join().unwrap();
    assert!(futures.iter().all(|future| future.done() && future.result(None).is_ok()));
    // Once more, and in the other way.
    bed.manager.shutdown(Shutdown::Drain).unwrap();
    bed.manager.shutdown(Shutdown::Cancel).unwrap();
    assert_eq!(kind(bed.manager.upload(&b"x"[..], bed.bucket(), "k").start()), ErrorKind::ShutDown);
    assert_eq!(kind(bed.manager.download(bed.bucket(), "down", bed.path("t")).start()), ErrorKind::ShutDown);
    let refused = runtime().block_on(bed.manager.download_stream(bed.bucket(), "down").next()).unwrap();
    assert_eq!(kind(refused), ErrorKind::ShutDown);
    bed.assert_clean(&["source", "target"]);
}

#[test]
fn cancelling_ends_what_goes_on_at_once() {
    let bed = Bed::new();
    let (gate, futures) = held(&bed);
    let begun = Instant::now();
    bed.manager.shutdown(Shutdown::Cancel).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(10));
    for future in &futures {
        assert!(future.done());
        assert_eq!(kind(future.result(None)), ErrorKind::Cancelled);
    }
    gate.open();
    bed.assert_clean(&["source"]);
    // Another manager of the same client goes on.
    let bed = Bed { manager: common::manager_of(&bed.client), ..bed };
    bed.server.clear_faults();
    bed.assert_works();
}

#[test]
fn a_deadline_turns_draining_into_cancelling() {
    let bed = Bed::new();
    let (gate, futures) = held(&bed);
    let error = bed.manager.shutdown(Shutdown::Drain.within(Duration::from_millis(50))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WaitTimeout, "{error}");
    assert!(futures.iter().all(|future| kind(future.result(None)) == ErrorKind::Cancelled));
    gate.open();
    bed.assert_clean(&["source"]);
    // The same for asynchronous code.
    let bed = Bed::new();
    let (gate, futures) = held(&bed);
    let plan = Shutdown::Drain.within(Duration::from_millis(50));
    let error = runtime().block_on(bed.manager.shutdown_async(plan)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WaitTimeout, "{error}");
    assert!(futures.iter().all(|future| kind(future.result(None)) == ErrorKind::Cancelled));
    gate.open();
    bed.assert_clean(&["source"]);
    let bed = Bed::new();
    let (_gate, _futures) = held(&bed);
    runtime().block_on(bed.manager.shutdown_async(Shutdown::Cancel)).unwrap();
    assert_eq!(bed.manager.active(), 0);
}

/// Runs a future with nothing around it.
fn by_hand<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn an_executor_that_is_not_tokios_can_shut_down_as_well() {
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path().join("comm"));
    let waits = || threads().any(|name| std::fs::read_to_string(name).is_ok_and(|name| name.trim() == "xfer-deadline"));
    let no_time = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    for in_tokio in [false, true] {
        let run = |manager: &TransferManager, plan: ShutdownPlan| match in_tokio {
            false => by_hand(manager.shutdown_async(plan)),
            true => no_time().block_on(manager.shutdown_async(plan)),
        };
        let bed = Bed::new();
        let (gate, futures) = held(&bed);
        let begun = Instant::now();
        let error = run(&bed.manager, Shutdown::Drain.within(Duration::from_millis(50))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WaitTimeout, "{error}");
        assert!(begun.elapsed() >= Duration::from_millis(50));
        assert!(futures.iter().all(|future| kind(future.result(None)) == ErrorKind::Cancelled));
        gate.open();
        bed.assert_clean(&["source"]);

        let bed = Bed::new();
        let (gate, futures) = held(&bed);
        // One that is given up leaves no thread behind that waits for its deadline.
        assert!(bed.manager.shutdown_async(Shutdown::Drain.within(LIMIT)).now_or_never().is_none());
        common::eventually("the thread has gone", || !waits());
        gate.open();
        run(&bed.manager, Shutdown::Drain.within(LIMIT)).unwrap();
        assert!(futures.iter().all(TransferFuture::done));
        run(&bed.manager, Shutdown::Cancel.into()).unwrap();
    }
}

#[test]
fn a_scope_drains_on_success_and_cancels_otherwise() {
    let bed = Bed::new();
    let source = bed.file("source", 1, 3 * PART);
    let serializer = RequestSerializer::for_client(&bed.client);
    let left = Mutex::new(None);
    let start = |manager: &TransferManager, key: &str| {
        *left.lock() = Some(manager.upload(&source, bed.bucket(), key).start().unwrap());
    };
    let value = TransferManager::scope(&bed.client, &serializer, |manager| {
        start(manager, "ok");
        Ok::<_, Error>(7)
    });
    assert_eq!(value.unwrap(), 7);
    left.lock().take().unwrap().result(Duration::ZERO).unwrap();
    bed.check_object("ok", 1, 3 * PART);

    let gate = Gate::new();
    bed.server.inject(FaultRule::on(Op::UploadPart).then(Action::Hold(gate.clone())));
    let failed = TransferManager::scope(&bed.client, &serializer, |manager| {
        start(manager, "failed");
        Err::<(), _>(Error::internal("the body fails"))
    });
    assert_eq!(failed.unwrap_err().message(), "the body fails");
    assert_eq!(kind(left.lock().take().unwrap().result(Duration::ZERO)), ErrorKind::Cancelled);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        TransferManager::scope(&bed.client, &serializer, |manager| -> Result<(), Error> {
            start(manager, "panicked");
            panic!("the body panics")
        })
    }));
    assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"the body panics"));
    assert_eq!(kind(left.lock().take().unwrap().result(Duration::ZERO)), ErrorKind::Cancelled);
    gate.open();
    bed.assert_clean(&["source"]);
}

/// Drops manager and client of a bed whose transfers go on, and looks that all of them are cleaned up.
fn drop_everything(bed: Bed) -> (xfer_tests::TestServer, tempfile::TempDir) {
    let Bed { manager, client, server, folder } = bed;
    drop(client);
    drop(manager);
    (server, folder)
}

#[test]
fn dropping_the_manager_cancels_and_waits() {
    let bed = Bed::new();
    let (gate, futures) = held(&bed);
    let (server, folder) = drop_everything(bed);
    for future in &futures {
        assert!(future.done(), "it was waited for");
        assert_eq!(kind(future.result(None)), ErrorKind::Cancelled);
    }
    assert_eq!(server.open_uploads(), Vec::new());
    assert_files(folder.path(), &["source"]);
    gate.open();
}

#[test]
fn dropping_everything_in_a_runtime_waits_for_nothing_and_leaves_nothing() {
    for keep_futures in [true, false] {
        let bed = Bed::new();
        let (gate, mut futures) = held(&bed);
        if !keep_futures {
            futures.clear();
        }
        // Nothing can end before the uploads are aborted, and that they are not before everything was dropped.
        let aborts = Gate::new();
        bed.server.inject(FaultRule::on(Op::AbortMultipartUpload).then(Action::Hold(aborts.clone())));
        let (dropped, heard) = mpsc::channel();
        let opener = std::thread::spawn({
            let aborts = aborts.clone();
            move || {
                let in_time = heard.recv_timeout(LIMIT).is_ok();
                aborts.open();
                in_time
            }
        });
        let (server, folder) = runtime().block_on(async {
            let left = drop_everything(bed);
            dropped.send(()).unwrap();
            assert!(opener.join().unwrap(), "a runtime was blocked");
            for future in &mut futures {
                assert_eq!(kind(future.await), ErrorKind::Cancelled);
            }
            left
        });
        common::eventually("no upload is left", || server.open_uploads().is_empty());
        assert!(aborts.arrivals() >= 3, "they were aborted");
        common::eventually("no file is left", || std::fs::read_dir(folder.path()).unwrap().count() == 1);
        gate.open();
    }
}

/// Has the only handles of a client, starts and cancels transfers in all its callbacks, and drops the handles in the last one if it is to.
struct Busy {
    handles: Mutex<Option<(TransferManager, xfer_facade::S3Client)>>,
    bucket: &'static str,
    drops: bool,
    started: Arc<Mutex<Vec<TransferFuture>>>,
    gone: mpsc::Sender<()>,
}

impl Busy {
    /// How it ends is looked at later, by what is noted in `started`.
    fn start(&self, key: &str) -> TransferFuture {
        let handles = self.handles.lock();
        let (manager, _) = handles.as_ref().unwrap();
        let up = manager.upload(pattern::bytes(2, 1_000), self.bucket, key).start().unwrap();
        self.started.lock().push(up.clone());
        up
    }
}

impl Subscriber for Busy {
    fn on_queued(&self, _meta: &TransferMeta) {
        drop(self.start("queued"));
    }

    fn on_progress(&self, _meta: &TransferMeta, _bytes: u64) {
        // Whether that came in time is seen by its result.
        self.start("progress").cancel();
    }

    fn on_done(&self, _meta: &TransferMeta, _result: &Result<TransferOutcome, Error>) {
        drop(self.start("done"));
        if self.drops {
            drop(self.handles.lock().take());
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        drop(self.handles.get_mut().take());
        self.gone.send(()).unwrap();
    }
}

#[test]
fn a_subscriber_may_start_cancel_and_drop_all_there_is() {
    for (drops, keeps) in [(true, true), (true, false), (false, true), (false, false)] {
        let bed = Bed::new();
        let client = common::client_of(&bed.server).build().unwrap();
        let manager = common::manager_of(&client);
        let (gone, went) = mpsc::channel();
        let started = Arc::default();
        let (handles, bucket) = (Mutex::new(Some((manager.clone(), client))), bed.bucket());
        let busy = Busy { handles, bucket, drops, started: Arc::clone(&started), gone };
        let call = manager.upload(pattern::bytes(1, 3 * PART as usize), bed.bucket(), "k").subscriber(busy);
        drop(manager);
        let future = call.start().unwrap();
        if keeps {
            future.result(LIMIT).unwrap();
        }
        drop(future);
        went.recv_timeout(LIMIT).unwrap();
        let started = std::mem::take(&mut *started.lock());
        assert!(started.len() >= 3, "{}", started.len());
        for other in started {
            let result = other.result(LIMIT);
            assert!(result.as_ref().is_ok_and(|up| up.bytes == 1_000) || kind(result) == ErrorKind::Cancelled);
        }
        common::eventually("the upload is there", || bed.server.object(bed.bucket(), "k").is_some());
        assert_eq!(bed.server.open_uploads(), Vec::new());
    }
}

#[test]
fn a_reader_that_blocks_for_ever_does_not_keep_a_manager_from_ending() {
    let bed = Bed::new();
    let latch = Latch::new();
    let held = latch.clone();
    let reader = common::io::Then::after(vec![1; 100], move |_: &mut [u8]| {
        held.pass();
        Ok(0)
    });
    let future = bed.manager.upload(UploadSource::reader(reader), bed.bucket(), "k").start().unwrap();
    latch.reached();
    let begun = Instant::now();
    let (server, _folder) = drop_everything(bed);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(kind(future.result(LIMIT)), ErrorKind::Cancelled);
    assert_eq!(server.open_uploads(), Vec::new());
    latch.open();
}

#[test]
fn a_future_that_is_kept_keeps_its_result_when_all_else_is_gone() {
    let bed = Bed::new();
    let sink = Sink::new();
    bed.object("k", 1, 100);
    let future = bed.manager.download(bed.bucket(), "k", DownloadTarget::writer(sink.clone())).start().unwrap();
    let first = future.result(LIMIT).unwrap();
    let (server, _folder) = drop_everything(bed);
    drop(server);
    assert_eq!(future.result(Duration::ZERO).unwrap(), first);
    assert_eq!(runtime().block_on(future.clone()).unwrap(), first);
    assert!(!future.cancel());
    assert_eq!(sink.bytes().len(), 100);
}

/// In a child: dies in the middle of an upload and a download whose last parts the store holds back.
fn be_killed() {
    let setting = |name: &str| std::env::var(name).unwrap();
    let client = xfer_facade::create_s3_client("").path_style(true).part_size(PART).build().unwrap();
    let manager = common::manager_of(&client);
    let folder = std::path::PathBuf::from(setting("FOLDER"));
    let up = manager.upload(folder.join("source"), "bucket", "up").start().unwrap();
    let down = manager.download("bucket", "down", folder.join("target")).start().unwrap();
    for future in [up, down] {
        common::eventually("two parts have moved", || future.meta().bytes_transferred() >= 2 * PART);
    }
    child::kill_me();
}

#[test]
fn a_process_that_is_killed_leaves_a_temporary_file_and_an_open_upload() {
    let bed = Bed::new();
    bed.object("down", 1, 3 * PART);
    bed.file("source", 1, 3 * PART);
    let gate = Gate::new();
    bed.server.inject(FaultRule::on(Op::UploadPart).part(3).then(Action::Hold(gate.clone())));
    bed.server.inject(FaultRule::on(Op::GetObject).range_start(2 * PART).then(Action::Hold(gate.clone())));
    let environment = [
        ("FOLDER", bed.folder.path().to_str().unwrap()),
        ("AWS_REGION", bed.server.region()),
        ("AWS_ENDPOINT_URL", &bed.server.endpoint_url()),
        ("AWS_ACCESS_KEY_ID", bed.server.access_key()),
        ("AWS_SECRET_ACCESS_KEY", bed.server.secret_key()),
    ];
    child::run_until_killed("be killed", &environment);
    gate.open();
    assert!(bed.server.wait_idle(LIMIT));
    let open: Vec<String> = bed.server.open_uploads().into_iter().map(|(_, key, _)| key).collect();
    assert_eq!(open, ["up"]);
    assert!(bed.server.object(bed.bucket(), "up").is_none());
    let names = std::fs::read_dir(bed.folder.path()).unwrap();
    let mut names: Vec<String> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!((names.len(), &*names[0]), (2, "source"), "{names:?}");
    let digits = names[1].strip_prefix("target.").unwrap();
    assert!(digits.len() == 8 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()), "{names:?}");
}

#[test]
fn the_calls_are_send_and_the_types_are_as_documented() {
    fn is_send<T: Send + 'static>() {}
    fn is_future<F: Future<Output = Result<TransferOutcome, Error>> + Clone + Send + Unpin + 'static>() {}
    is_future::<TransferFuture>();
    is_send::<xfer_facade::TransferCall>();
    is_send::<xfer_facade::DownloadStream>();
    is_send::<TransferManager>();
}
