//! Whatever comes in whatever order, the object leaves in its own, once, and everything that was held is given back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashSet;
use std::future::poll_fn;
use std::io;
use std::sync::mpsc;
use std::time::Duration;

use proptest::prelude::*;
use tokio::task::LocalSet;
use xfer_core::budget::{Cost, InUse, Limits};

use super::*;
use crate::budget::SharedBudget;
use crate::test_kit::PATIENCE;

/// What a consumer got, and whether it was flushed.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<(Vec<u8>, bool)>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Short writes are allowed.
        let some = bytes.len().min(1 + bytes.len() / 2);
        self.0.lock().0.extend_from_slice(&bytes[..some]);
        Ok(some)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().1 = true;
        Ok(())
    }
}

impl AsyncWrite for Sink {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Write::write(&mut *self, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Write::flush(&mut *self))
    }
}

/// What the transfer is told.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<(Vec<u64>, Vec<Error>)>>);

impl Heard {
    fn listen_to(target: &OrderedTarget) -> Heard {
        let heard = Heard::default();
        let ear = heard.clone();
        target.listen(move |delivery| match delivery {
            Delivery::Delivered(bytes) => ear.0.lock().0.push(bytes),
            Delivery::Failed(error) => ear.0.lock().1.push(error),
        });
        heard
    }

    /// Waits until the transfer has heard what it waits for.
    async fn until(&self, mut what: impl FnMut(&[u64], &[Error]) -> bool) {
        let waiting = async {
            loop {
                {
                    let heard = self.0.lock();
                    if what(&heard.0, &heard.1) {
                        return;
                    }
                }
                tokio::time::sleep(Duration::from_micros(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("the transfer is told");
    }
}

fn budget() -> Arc<SharedBudget> {
    Arc::new(SharedBudget::new(
        Limits { requests: 1, connections: 1, transfers: 1, memory: u64::MAX, bytes_per_second: None },
        || {},
    ))
}

fn permit(budget: &Arc<SharedBudget>, memory: u64) -> Permit {
    budget.take(Cost { memory, ..Cost::default() }).unwrap()
}

fn run<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let result = LocalSet::new().block_on(&runtime, future);
    runtime.shutdown_background();
    result
}

fn object(size: usize) -> Bytes {
    (0..size).map(|i| (i * 7 + i / 251) as u8).collect()
}

/// Pieces that cover an object of `size` bytes, some twice, some overlapping, in any order.
fn pieces() -> impl Strategy<Value = (usize, Vec<(usize, usize)>)> {
    (0usize..400).prop_flat_map(|size| {
        let cuts = prop::collection::vec(0..=size, 0..12);
        let extra = prop::collection::vec((0..=size, 0..=size), 0..12);
        (Just(size), cuts, extra).prop_flat_map(|(size, mut cuts, extra)| {
            cuts.extend([0, size]);
            cuts.sort_unstable();
            let mut all: Vec<(usize, usize)> = cuts.windows(2).map(|pair| (pair[0], pair[1])).collect();
            all.extend(extra.into_iter().map(|(a, b)| (a.min(b), a.max(b))));
            (Just(size), Just(all).prop_shuffle())
        })
    })
}

fn check_blocking_or_async(consumer: Consumer, sink: &Sink, size: usize, pieces: &[(usize, usize)], yields: u64) {
    let (object, budget) = (object(size), budget());
    let target = OrderedTarget::new(consumer);
    let heard = Heard::listen_to(&target);
    let mut ends = HashSet::new();
    run(async {
        for (step, &(start, end)) in pieces.iter().enumerate() {
            if end > start && ends.insert(end) {
                target.hold(end as u64, permit(&budget, (end - start) as u64));
            }
            target.push(start as u64, object.slice(start..end));
            if yields >> (step % 64) & 1 == 1 {
                tokio::task::yield_now().await;
            }
        }
        if size > 0 {
            heard.until(|delivered, _| delivered.last() == Some(&(size as u64))).await;
        }
        tokio::time::timeout(PATIENCE, target.commit()).await.expect("it commits").unwrap();
    });
    assert_eq!(*sink.0.lock(), (object.to_vec(), true));
    assert_eq!(budget.in_use(), InUse::default());
    let heard = heard.0.lock();
    assert!(heard.0.is_sorted() && heard.1.is_empty(), "{heard:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_blocking_writer_gets_the_object((size, pieces) in pieces(), yields: u64) {
        let sink = Sink::default();
        check_blocking_or_async(Consumer::Blocking(Box::new(sink.clone())), &sink, size, &pieces, yields);
    }

    #[test]
    fn an_async_writer_gets_the_object((size, pieces) in pieces(), yields: u64) {
        let sink = Sink::default();
        check_blocking_or_async(Consumer::Async(Box::pin(sink.clone())), &sink, size, &pieces, yields);
    }

    #[test]
    fn whoever_polls_gets_the_object((size, pieces) in pieces(), polls: u64) {
        let (object, budget) = (object(size), budget());
        let target = OrderedTarget::new(Consumer::Polled(None));
        let heard = Heard::listen_to(&target);
        let mut got = Vec::new();
        let mut ends = HashSet::new();
        let mut context = Context::from_waker(Waker::noop());
        for (step, &(start, end)) in pieces.iter().enumerate() {
            if end > start && ends.insert(end) {
                target.hold(end as u64, permit(&budget, (end - start) as u64));
            }
            target.push(start as u64, object.slice(start..end));
            if polls >> (step % 64) & 1 == 0 {
                continue;
            }
            while let Poll::Ready(piece) = target.poll_piece(&mut context) {
                got.extend_from_slice(&piece.unwrap().unwrap());
            }
        }
        while let Poll::Ready(piece) = target.poll_piece(&mut context) {
            got.extend_from_slice(&piece.unwrap().unwrap());
        }
        prop_assert_eq!(&got, &object.to_vec());
        prop_assert_eq!(budget.in_use(), InUse::default());
        prop_assert_eq!(heard.0.lock().0.last().copied().unwrap_or_default(), size as u64);
        prop_assert!(heard.0.lock().0.is_sorted());
        run(target.commit()).unwrap();
        prop_assert!(matches!(target.poll_piece(&mut context), Poll::Ready(None)));
    }
}

#[test]
fn pieces_from_many_threads_meet_one_poller() {
    const PIECE: usize = 1000;
    let object = object(200 * PIECE);
    let target = OrderedTarget::new(Consumer::Polled(None));
    let got = std::thread::scope(|scope| {
        for thread in 0..4 {
            let (target, object) = (&target, &object);
            scope.spawn(move || {
                for index in (thread..200).step_by(4) {
                    let start = index * PIECE;
                    target.push(start as u64, object.slice(start..start + PIECE));
                    // A second attempt, from a little earlier.
                    let again = start.saturating_sub(300);
                    target.push(again as u64, object.slice(again..start + 10));
                }
            });
        }
        let mut got = Vec::new();
        run(async {
            while got.len() < object.len() {
                let next = tokio::time::timeout(PATIENCE, poll_fn(|context| target.poll_piece(context)));
                got.extend_from_slice(&next.await.expect("the poller is woken").unwrap().unwrap());
            }
        });
        got
    });
    assert_eq!(got, object);
}

#[test]
fn the_transfer_hears_of_parts_and_not_of_pieces() {
    let target = OrderedTarget::new(Consumer::Polled(None));
    let heard = Heard::listen_to(&target);
    let piece = Bytes::from(vec![0; 16 << 10]);
    let all = 4 * TELL_EVERY / piece.len() as u64;
    for index in 0..all {
        target.push(index * piece.len() as u64, piece.clone());
    }
    let mut context = Context::from_waker(Waker::noop());
    while target.poll_piece(&mut context).is_ready() {}
    assert_eq!(heard.0.lock().0, [1, 2, 3, 4].map(|n| n * TELL_EVERY));
}

struct Fails {
    after: usize,
    panics: bool,
}

impl Write for Fails {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.after == 0 {
            assert!(!self.panics, "on purpose");
            return Err(io::ErrorKind::StorageFull.into());
        }
        let some = bytes.len().min(self.after);
        self.after -= some;
        Ok(some)
    }

    fn flush(&mut self) -> io::Result<()> {
        Write::write(self, b"x").map(drop)
    }
}

impl AsyncWrite for Fails {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Write::write(&mut *self, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Write::flush(&mut *self))
    }
}

fn failing(panics: bool, asynchronous: bool) -> OrderedTarget {
    let writer = Fails { after: 5, panics };
    OrderedTarget::new(match asynchronous {
        true => Consumer::Async(Box::pin(writer)),
        false => Consumer::Blocking(Box::new(writer)),
    })
}

#[test]
fn a_writer_that_fails_or_panics_fails_the_transfer_once_and_takes_no_more() {
    for (panics, asynchronous) in [(false, false), (false, true), (true, false), (true, true)] {
        let (target, budget) = (failing(panics, asynchronous), budget());
        let heard = Heard::listen_to(&target);
        let kind = if panics { ErrorKind::TargetWrite } else { ErrorKind::DiskFull };
        run(async {
            target.hold(10, permit(&budget, 10));
            target.push(0, object(10));
            heard.until(|_, failed| !failed.is_empty()).await;
            target.push(10, object(10));
            assert!(target.shared.state.lock().waiting.is_empty());
            let committed = tokio::time::timeout(PATIENCE, target.commit()).await.expect("it does not wait in vain");
            assert_eq!(committed.unwrap_err().kind(), kind);
        });
        assert_eq!(heard.0.lock().1.iter().map(Error::kind).collect::<Vec<_>>(), [kind]);
        target.end(Err(Error::new(kind, "")));
        assert_eq!(budget.in_use(), InUse::default());
    }
}

#[test]
fn a_flush_that_fails_or_panics_is_the_commits_error() {
    for (panics, asynchronous) in [(false, false), (false, true), (true, false)] {
        let target = failing(panics, asynchronous);
        let heard = Heard::listen_to(&target);
        run(async {
            target.push(0, object(5));
            heard.until(|delivered, _| delivered == [5]).await;
            assert!(target.commit().await.is_err());
        });
    }
}

/// A writer that waits to be let through, for each write.
struct Gated(mpsc::Receiver<()>, Sink);

impl Write for Gated {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Without a gatekeeper the gate is open.
        let _ = self.0.recv();
        Write::write(&mut self.1, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Write::flush(&mut self.1)
    }
}

#[test]
fn a_commit_waits_for_bytes_that_are_on_their_way() {
    let (open, gate) = mpsc::channel();
    let sink = Sink::default();
    // Nobody listens: as where the downloader is used by itself.
    let target = OrderedTarget::new(Consumer::Blocking(Box::new(Gated(gate, sink.clone()))));
    run(async {
        target.push(0, object(3));
        target.push(3, object(3));
        let mut commit = std::pin::pin!(target.commit());
        tokio::select! {
            biased;
            _ = &mut commit => panic!("nothing has left yet"),
            () = tokio::task::yield_now() => {}
        }
        drop(open);
        tokio::time::timeout(PATIENCE, commit).await.unwrap().unwrap();
        // Another attempt finds it done.
        tokio::time::timeout(PATIENCE, target.commit()).await.unwrap().unwrap();
    });
    assert_eq!(*sink.0.lock(), ([object(3), object(3)].concat(), true));
}

#[test]
fn after_an_end_nothing_is_kept_and_the_writer_is_let_go_of() {
    let (open, gate) = mpsc::channel();
    let sink = Sink::default();
    let target = OrderedTarget::new(Consumer::Blocking(Box::new(Gated(gate, sink.clone()))));
    let (heard, budget) = (Heard::listen_to(&target), budget());
    run(async {
        target.hold(8, permit(&budget, 8));
        target.push(0, object(8));
        while !target.shared.state.lock().waiting.is_empty() {
            tokio::task::yield_now().await;
        }
        target.push(20, object(8));
        target.end(Err(Error::new(ErrorKind::Cancelled, "")));
        assert_eq!(budget.in_use(), InUse::default());
        // A lane that has not heard of it yet.
        target.hold(16, permit(&budget, 8));
        target.push(8, object(8));
        assert_eq!(budget.in_use(), InUse::default());
        assert!(target.shared.state.lock().waiting.is_empty());
        assert!(target.release().is_none(), "the pump has it");
        drop(open);
        heard.until(|delivered, _| delivered == [8]).await;
    });
    assert!(matches!(target.shared.state.lock().consumer, Consumer::Away), "and does not give it back");
    assert_eq!(Arc::strong_count(&sink.0), 1);
}

#[test]
fn a_writer_that_rests_is_let_go_of_by_who_may_block() {
    let sink = Sink::default();
    let target = OrderedTarget::new(Consumer::Blocking(Box::new(sink.clone())));
    let release = target.release().unwrap();
    assert_eq!(Arc::strong_count(&sink.0), 2);
    release();
    assert_eq!(Arc::strong_count(&sink.0), 1);
    assert!(target.release().is_none());
    assert!(OrderedTarget::new(Consumer::Polled(None)).release().is_none());
}

#[test]
fn a_poller_hears_the_error_once_and_then_the_end() {
    let target = OrderedTarget::new(Consumer::Polled(None));
    let mut context = Context::from_waker(Waker::noop());
    assert!(target.poll_piece(&mut context).is_pending());
    target.push(0, object(4));
    target.end(Err(Error::new(ErrorKind::ChecksumMismatch, "")));
    let Poll::Ready(Some(Err(error))) = target.poll_piece(&mut context) else { panic!("no error") };
    assert_eq!(error.kind(), ErrorKind::ChecksumMismatch);
    assert!(matches!(target.poll_piece(&mut context), Poll::Ready(None)));
}

#[test]
fn memory_of_a_range_that_has_left_already_is_not_held() {
    let (target, budget) = (OrderedTarget::new(Consumer::Polled(None)), budget());
    target.push(0, object(4));
    let mut context = Context::from_waker(Waker::noop());
    assert!(target.poll_piece(&mut context).is_ready());
    target.hold(4, permit(&budget, 4));
    target.hold(5, permit(&budget, 4));
    assert_eq!(budget.in_use().memory, 4);
}

#[tokio::test]
async fn there_is_nothing_to_poll_of_a_writer_which_gets_the_object_all_the_same() {
    let sink = Sink::default();
    let target = OrderedTarget::new(Consumer::Blocking(Box::new(sink.clone())));
    let heard = Heard::listen_to(&target);
    let poll = || target.poll_piece(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(poll(), Poll::Ready(None)));
    target.push(0, Bytes::from_static(b"abc"));
    assert!(matches!(poll(), Poll::Ready(None)));
    heard.until(|delivered, _| delivered.last() == Some(&3)).await;
    target.commit().await.unwrap();
    assert_eq!(*sink.0.lock(), (b"abc".to_vec(), true));
}
