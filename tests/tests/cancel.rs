//! Cancelling at every stage of every kind of transfer. The rule: the future says `Cancelled` if and only if `cancel` said true, and
//! either way nothing is left behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use common::io::{Latch, Pattern, Then, WriteThen};
use common::{Bed, LIMIT, PART, Witness, kind, runtime};
use futures_util::StreamExt;
use xfer_facade::{
    DownloadTarget, ErrorKind, Shutdown, Subscriber, TransferFuture, TransferMeta, TransferStatus, UploadSource,
};
use xfer_tests::{Action, FaultRule, Gate, Op, pattern};

/// Cancels, and checks that it was taken and that the future says so.
fn cancel(future: &TransferFuture, what: &str) {
    assert!(future.cancel(), "{what}: it could be cancelled");
    assert!(!future.cancel(), "{what}: a second time makes no difference");
    assert_cancelled(future, what);
}

fn assert_cancelled(future: &TransferFuture, what: &str) {
    let error = future.result(LIMIT).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled, "{what}: {error}");
    assert_eq!(future.meta().status(), TransferStatus::Cancelled, "{what}");
    assert!(!future.cancel(), "{what}: it is over");
}

#[test]
fn an_upload_in_parts_can_be_cancelled_until_it_is_completed() {
    let bed = Bed::new();
    let source = bed.file("source", 1, 4 * PART);
    for (op, nth) in [(Op::CreateMultipartUpload, 1), (Op::UploadPart, 1), (Op::UploadPart, 3), (Op::UploadPart, 4)] {
        let what = format!("{op:?} {nth}");
        let gate = Gate::new();
        let fault = bed.server.inject(FaultRule::on(op).nth(nth).then(Action::Hold(gate.clone())));
        let witness = Witness::new();
        let call = bed.manager.upload(&source, bed.bucket(), "k").subscriber(Arc::clone(&witness));
        let future = call.start().unwrap();
        assert!(gate.arrived_blocking(1, LIMIT), "{what}");
        if op == Op::CreateMultipartUpload {
            // It is not cut off, since nobody would know which upload it opened: its answer is waited for, and the upload removed.
            assert!(future.cancel());
            assert!(!future.done());
            gate.open();
            assert_cancelled(&future, &what);
            assert_eq!(bed.server.stats().count(Op::AbortMultipartUpload), 1);
        } else {
            cancel(&future, &what);
            gate.open();
        }
        assert_eq!(kind(witness.told().done[0].clone()), ErrorKind::Cancelled);
        assert!(bed.server.object(bed.bucket(), "k").is_none());
        fault.remove();
        bed.assert_clean(&["source"]);
    }
    bed.assert_works();
}

#[test]
fn an_upload_that_is_being_completed_cannot_be_cancelled() {
    let bed = Bed::new();
    let source = bed.file("source", 1, 3 * PART);
    let gate = Gate::new();
    bed.server.inject(FaultRule::on(Op::CompleteMultipartUpload).then(Action::Hold(gate.clone())));
    let future = bed.manager.upload(&source, bed.bucket(), "k").start().unwrap();
    assert!(gate.arrived_blocking(1, LIMIT));
    assert!(!future.cancel(), "too late");
    gate.open();
    assert_eq!(future.result(LIMIT).unwrap().bytes, 3 * PART);
    assert!(!future.cancel(), "over");
    bed.check_object("k", 1, 3 * PART);
    bed.assert_clean(&["source"]);
}

#[test]
fn an_upload_whose_completion_was_refused_can_be_cancelled_again() {
    let bed = Bed::with(
        |server| server,
        |client| client.retry(xfer_facade::RetryPolicy { base: LIMIT, cap: LIMIT, ..common::quick_retries() }),
    );
    let source = bed.file("source", 1, 3 * PART);
    let refused =
        bed.server.inject(FaultRule::on(Op::CompleteMultipartUpload).then(Action::Status(500, "InternalError")));
    let future = bed.manager.upload(&source, bed.bucket(), "k").start().unwrap();
    // Between two attempts, the pause being long, but for once in a while: no event tells of that.
    common::eventually("the completion is refused", || refused.hits() >= 1);
    common::eventually("it can be cancelled", || future.cancel());
    assert_cancelled(&future, "between two attempts to complete");
    bed.assert_clean(&["source"]);
    assert!(bed.server.object(bed.bucket(), "k").is_none());
}

#[test]
fn a_transfer_that_waits_for_its_turn_can_be_cancelled() {
    let bed = Bed::with(|server| server, |client| client.max_connections(1));
    let gate = Gate::new();
    bed.server.inject(FaultRule::on(Op::PutObject).key("first").then(Action::Hold(gate.clone())));
    let first = bed.manager.upload(&b"1"[..], bed.bucket(), "first").start().unwrap();
    assert!(gate.arrived_blocking(1, LIMIT));
    bed.object("object", 1, 10);
    let source = bed.file("source", 1, 3 * PART);
    let waiting = [
        bed.manager.upload(&b"2"[..], bed.bucket(), "second").start().unwrap(),
        bed.manager.upload(&source, bed.bucket(), "second").start().unwrap(),
        bed.manager.download(bed.bucket(), "object", bed.path("target")).start().unwrap(),
        bed.manager.delete(bed.bucket(), "object").start().unwrap(),
    ];
    for future in &waiting {
        assert_eq!(future.meta().status(), TransferStatus::Queued);
        cancel(future, "in the queue");
    }
    gate.open();
    first.result(LIMIT).unwrap();
    assert_eq!(bed.server.stats().total(), 1, "nothing of the others was sent");
    bed.assert_clean(&["source"]);
    bed.assert_works();
}

#[test]
fn a_single_put_can_be_cancelled_until_its_last_byte() {
    let bed = Bed::new();
    // So large that the socket takes it only when the store does.
    let source = bed.file("source", 1, common::THRESHOLD);
    let gate = Gate::new();
    let fault = bed.server.inject(FaultRule::on(Op::PutObject).then(Action::Hold(gate.clone())));
    let future = bed.manager.upload(&source, bed.bucket(), "k").start().unwrap();
    assert!(gate.arrived_blocking(1, LIMIT));
    cancel(&future, "in the middle of the body");
    gate.open();
    fault.remove();
    bed.assert_clean(&["source"]);
    assert!(bed.server.object(bed.bucket(), "k").is_none());

    // So small that it is with the store at once: the answer decides.
    let gate = Gate::new();
    bed.server.inject(FaultRule::on(Op::PutObject).then(Action::Hold(gate.clone())));
    let future = bed.manager.upload(&b"small"[..], bed.bucket(), "k").start().unwrap();
    assert!(gate.arrived_blocking(1, LIMIT));
    common::eventually("the last byte is sent", || future.meta().bytes_transferred() == 5);
    assert!(!future.cancel(), "too late");
    gate.open();
    future.result(LIMIT).unwrap();
    bed.assert_clean(&["source"]);
}

#[test]
fn a_delete_cannot_be_cancelled_once_it_is_sent() {
    let bed = Bed::new();
    bed.object("k", 1, 10);
    let gate = Gate::new();
    bed.server.inject(FaultRule::on(Op::DeleteObject).then(Action::Hold(gate.clone())));
    let future = bed.manager.delete(bed.bucket(), "k").start().unwrap();
    assert!(gate.arrived_blocking(1, LIMIT));
    assert!(!future.cancel());
    gate.open();
    future.result(LIMIT).unwrap();
    assert!(bed.server.object(bed.bucket(), "k").is_none());
    bed.assert_clean(&[]);
}

#[test]
fn a_download_can_be_cancelled_until_it_is_renamed() {
    let bed = Bed::new();
    bed.object("k", 1, 4 * PART);
    let target = bed.path("target");
    std::fs::write(&target, "what was there before").unwrap();
    // Before the head.
    let gate = Gate::new();
    let fault = bed.server.inject(FaultRule::on(Op::GetObject).then(Action::Hold(gate.clone())));
    let future = bed.manager.download(bed.bucket(), "k", &target).start().unwrap();
    assert!(gate.arrived_blocking(1, LIMIT));
    cancel(&future, "before the head");
    gate.open();
    fault.remove();
    bed.assert_clean(&["target"]);
    // In the middle of bodies: the first one, and a later one while the others are through.
    for (what, start, bytes) in
        [("first body", None, 0), ("first body", None, 2_000_000), ("third body", Some(2 * PART), 1)]
    {
        let rule = FaultRule::on(Op::GetObject);
        let rule = match start {
            Some(start) => rule.range_start(start),
            None => rule.times(1),
        };
        let fault = bed.server.inject(rule.then(Action::StallAfterBytes(bytes)));
        let witness = Witness::new();
        let call = bed.manager.download(bed.bucket(), "k", &target).subscriber(Arc::clone(&witness));
        let future = call.start().unwrap();
        let others = 3 * PART + bytes;
        common::eventually(what, || future.meta().bytes_transferred() == others);
        assert_eq!(future.meta().size(), Some(4 * PART));
        cancel(&future, what);
        assert_eq!(kind(witness.told().done[0].clone()), ErrorKind::Cancelled);
        fault.remove();
        bed.server.close_connections();
        // A connection that is about to be closed could still take the next request, and the fault that is meant for its answer.
        common::eventually("the connections are closed", || bed.server.stats().connections == 0);
        bed.assert_clean(&["target"]);
    }
    assert_eq!(std::fs::read(&target).unwrap(), b"what was there before");
    // When it is done.
    let future = bed.manager.download(bed.bucket(), "k", &target).start().unwrap();
    future.result(LIMIT).unwrap();
    assert!(!future.cancel());
    assert_eq!(future.meta().status(), TransferStatus::Succeeded);
    pattern::check_file(&target, 1, 4 * PART).unwrap();
    bed.assert_clean(&["target"]);
}

/// Whatever moment is hit: the file is there, or the cancel was taken.
#[test]
fn cancels_at_any_moment_agree_with_the_result() {
    let bed = Bed::new();
    let size = 3 * PART;
    bed.object("down", 1, size);
    let source = bed.file("source", 2, size);
    let target = bed.path("target");
    let whole = {
        let begun = Instant::now();
        bed.manager.download(bed.bucket(), "down", &target).start().unwrap().result(LIMIT).unwrap();
        begun.elapsed()
    };
    let (mut taken, mut late) = ([0, 0], [0, 0]);
    // Over one and a half times as long as a transfer takes; and in the end, however busy the machine is, until it is done.
    let waits: Vec<Duration> = (0..60).map(|step| whole * step / 40).chain([LIMIT]).collect();
    for wait in &waits {
        for (index, upload) in [true, false].into_iter().enumerate() {
            let _ = std::fs::remove_file(&target);
            bed.server.remove_object(bed.bucket(), "up");
            let call = match upload {
                true => bed.manager.upload(&source, bed.bucket(), "up"),
                false => bed.manager.download(bed.bucket(), "down", &target),
            };
            let future = call.start().unwrap();
            let until = Instant::now() + *wait;
            while Instant::now() < until && !future.done() {
                std::thread::yield_now();
            }
            let cancelled = future.cancel();
            taken[index] += usize::from(cancelled);
            late[index] += usize::from(!cancelled);
            let result = future.result(LIMIT);
            assert_eq!(cancelled, matches!(&result, Err(error) if error.kind() == ErrorKind::Cancelled), "{result:?}");
            let there = match upload {
                true => bed.server.object(bed.bucket(), "up").is_some(),
                false => target.exists(),
            };
            assert_eq!(result.is_ok(), there, "{result:?}");
            bed.assert_clean(if target.exists() { &["source", "target"] } else { &["source"] });
        }
    }
    assert!(taken.iter().chain(&late).all(|count| *count > 0), "{taken:?} were taken, {late:?} came too late");
    assert!(taken.iter().zip(&late).all(|(taken, late)| taken + late == waits.len()));
    bed.assert_works();
}

#[test]
fn a_reader_that_never_returns_holds_up_nobody() {
    let bed = Bed::new();
    for before in [0, PART as usize + 7] {
        let latch = Latch::new();
        let blocked = latch.clone();
        let reader = Then::after(pattern::bytes(1, before), move |_: &mut [u8]| {
            blocked.pass();
            Ok(0)
        });
        let future = bed.manager.upload(UploadSource::reader(reader), bed.bucket(), "k").start().unwrap();
        latch.reached();
        bed.assert_works_beside_others();
        cancel(&future, "a reader that blocks");
        bed.assert_clean(&[]);
        // An asynchronous source that is never ready.
        let stream = futures_util::stream::iter([Ok(bytes::Bytes::from(pattern::bytes(1, before)))]);
        let stream = stream.chain(futures_util::stream::pending());
        let future = bed.manager.upload(UploadSource::stream(stream), bed.bucket(), "k").start().unwrap();
        cancel(&future, "a stream that waits");
        bed.assert_clean(&[]);
        latch.open();
    }
    bed.assert_works();
}

impl Bed {
    /// As [`assert_works`](Bed::assert_works); a name of its own because others go on meanwhile.
    fn assert_works_beside_others(&self) {
        self.assert_works();
        assert!(self.manager.active() > 0);
    }
}

#[test]
fn a_writer_that_never_returns_holds_up_nobody() {
    let bed = Bed::new();
    bed.object("k", 1, 20 * PART);
    let latch = Latch::new();
    let blocked = latch.clone();
    let writer = WriteThen::after(PART as usize + 7, move || {
        blocked.pass();
        Ok(1)
    });
    let future = bed.manager.download(bed.bucket(), "k", DownloadTarget::writer(writer)).start().unwrap();
    latch.reached();
    // The memory limit bounds what waits for the writer; another download to a writer has to get its share all the same.
    bed.assert_works_beside_others();
    cancel(&future, "a writer that blocks");
    bed.assert_clean(&[]);
    latch.open();
    bed.assert_works();
}

#[test]
fn a_future_that_is_dropped_leaves_its_transfer_going() {
    let bed = Bed::new();
    let source = bed.file("source", 1, 3 * PART);
    let gate = Gate::new();
    bed.server.inject(FaultRule::on(Op::UploadPart).then(Action::Hold(gate.clone())));
    let witness = Witness::new();
    drop(bed.manager.upload(&source, bed.bucket(), "k").subscriber(Arc::clone(&witness)).start().unwrap());
    assert!(gate.arrived_blocking(1, LIMIT));
    gate.open();
    bed.manager.shutdown(xfer_facade::Shutdown::Drain).unwrap();
    witness.assert_complete(3 * PART, "whose future was dropped");
    bed.check_object("k", 1, 3 * PART);
    bed.assert_clean(&["source"]);
}

#[test]
fn a_stream_that_is_dropped_half_way_cancels_its_download() {
    let bed = Bed::new();
    bed.object("k", 1, 20 * PART);
    let runtime = runtime();
    let mut stream = bed.manager.download_stream(bed.bucket(), "k").start().unwrap();
    let future = stream.future().unwrap().clone();
    let mut taken = 0;
    while taken < PART {
        let piece = runtime.block_on(stream.next()).unwrap().unwrap();
        pattern::check(1, taken, &piece).unwrap();
        taken += piece.len() as u64;
    }
    drop(stream);
    assert_cancelled(&future, "a dropped stream");
    let fetched = bed.server.stats().bytes_out;
    assert!(fetched < 16 * PART, "no more is fetched than the memory limit allows: {fetched}");
    bed.assert_clean(&[]);
    // Polled again behind the error that tells of the cancel, a stream is at its end.
    runtime.block_on(async {
        let mut stream = bed.manager.download_stream(bed.bucket(), "k").start().unwrap();
        assert!(stream.next().await.unwrap().is_ok());
        assert!(stream.future().unwrap().cancel());
        let mut last = stream.next().await;
        while let Some(Ok(_)) = last {
            last = stream.next().await;
        }
        assert_eq!(last.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
        assert!(stream.next().await.is_none());
    });
    common::eventually("the transfer ends", || bed.manager.active() == 0);
    bed.assert_clean(&[]);
    bed.assert_works();
}

/// Cancels its own transfer at the first progress, which waits until the future is there.
struct CancelsItself(parking_lot::Mutex<Option<mpsc::Receiver<TransferFuture>>>);

impl Subscriber for CancelsItself {
    fn on_progress(&self, _meta: &TransferMeta, _bytes: u64) {
        if let Some(own) = self.0.lock().take() {
            assert!(own.recv_timeout(LIMIT).unwrap().cancel());
        }
    }
}

#[test]
fn a_subscriber_may_cancel_its_own_transfer() {
    let bed = Bed::new();
    bed.object("k", 1, 3 * PART);
    let (sender, receiver) = mpsc::channel();
    // It never gets to its end by itself.
    bed.server.inject(FaultRule::on(Op::GetObject).range_start(2 * PART).then(Action::StallAfterBytes(1)));
    let subscriber = CancelsItself(parking_lot::Mutex::new(Some(receiver)));
    let call = bed.manager.download(bed.bucket(), "k", bed.path("target")).subscriber(subscriber);
    let future = call.start().unwrap();
    sender.send(future.clone()).unwrap();
    assert_cancelled(&future, "by its own subscriber");
    bed.server.clear_faults();
    bed.server.close_connections();
    bed.assert_clean(&[]);
    bed.assert_works();
}

#[test]
fn many_transfers_can_be_cancelled_at_once() {
    let bed = Bed::new();
    let source = bed.file("source", 1, 3 * PART);
    bed.object("down", 1, 3 * PART);
    bed.server.set_latency(Duration::from_millis(5));
    let futures: Vec<TransferFuture> = (0..120)
        .map(|index| match index % 4 {
            0 => bed.manager.upload(&source, bed.bucket(), &format!("up {index}")).start().unwrap(),
            1 => bed.manager.download(bed.bucket(), "down", bed.path(&format!("down {index}"))).start().unwrap(),
            2 => {
                let reader = UploadSource::reader(Pattern::new(1, 2 * PART));
                bed.manager.upload(reader, bed.bucket(), &format!("up {index}")).start().unwrap()
            }
            _ => {
                let target = DownloadTarget::writer(std::io::sink());
                bed.manager.download(bed.bucket(), "down", target).start().unwrap()
            }
        })
        .collect();
    let taken: Vec<bool> = futures.iter().rev().map(TransferFuture::cancel).rev().collect();
    for (index, (future, cancelled)) in futures.iter().zip(&taken).enumerate() {
        let result = future.result(LIMIT);
        assert_eq!(*cancelled, matches!(&result, Err(e) if e.kind() == ErrorKind::Cancelled), "{index}: {result:?}");
    }
    assert!(taken.iter().filter(|taken| **taken).count() > 60);
    for index in 0..120 {
        let _ = std::fs::remove_file(bed.path(&format!("down {index}")));
    }
    bed.assert_clean(&["source"]);
    bed.assert_works();
}

#[test]
fn what_a_cancelled_writer_was_given_is_the_beginning_of_the_object() {
    let bed = Bed::new();
    bed.object("k", 1, 4 * PART);
    let fault =
        bed.server.inject(FaultRule::on(Op::GetObject).range_start(2 * PART).then(Action::StallAfterBytes(100)));
    let sink = common::io::Sink::new();
    let future = bed.manager.download(bed.bucket(), "k", DownloadTarget::writer(sink.clone())).start().unwrap();
    common::eventually("two parts and a bit are delivered", || sink.bytes().len() as u64 == 2 * PART + 100);
    cancel(&future, "a writer");
    fault.remove();
    bed.server.close_connections();
    pattern::check(1, 0, &sink.bytes()).unwrap();
    assert!(!sink.flushed());
    bed.assert_clean(&[]);
}

#[test]
fn an_upload_that_cannot_be_removed_is_named() {
    let bed = Bed::new();
    let source = bed.file("source", 1, 4 * PART);
    bed.server.inject(FaultRule::on(Op::AbortMultipartUpload).then(Action::Status(403, "AccessDenied")));
    let gate = Gate::new();
    bed.server.inject(FaultRule::on(Op::UploadPart).then(Action::Hold(gate.clone())));
    let future = bed.manager.upload(&source, bed.bucket(), "k").start().unwrap();
    assert!(gate.arrived_blocking(1, LIMIT));
    assert!(future.cancel());
    let error = future.result(LIMIT).unwrap_err();
    let open: Vec<String> = bed.server.open_uploads().into_iter().map(|(_, _, upload_id)| upload_id).collect();
    assert_eq!(error.kind(), ErrorKind::Cancelled, "the first error stays");
    assert_eq!(open, [error.left_behind().unwrap()]);
    assert!(error.to_string().contains(&open[0]), "{error}");
    gate.open();
}

#[test]
fn a_shutdown_that_cancels_does_not_wait_for_a_store_that_does_not_answer() {
    let bed = Bed::new();
    let source = bed.file("source", 1, 4 * PART);
    let gate = Gate::new();
    bed.server.inject(FaultRule::on(Op::UploadPart).then(Action::Hold(gate.clone())));
    bed.server.inject(FaultRule::on(Op::AbortMultipartUpload).then(Action::Hold(gate.clone())));
    let future = bed.manager.upload(&source, bed.bucket(), "k").start().unwrap();
    assert!(gate.arrived_blocking(1, LIMIT));
    let begun = Instant::now();
    let error = bed.manager.shutdown(Shutdown::Cancel.within(Duration::from_millis(200))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WaitTimeout, "{error}");
    // Nor does the manager's end, which waits for ten seconds otherwise.
    let Bed { manager, server, .. } = bed;
    drop(manager);
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
    assert!(!future.done());
    gate.open();
    assert_eq!(kind(future.result(LIMIT)), ErrorKind::Cancelled);
    assert!(server.open_uploads().is_empty(), "the clean-up went on behind it");
}
