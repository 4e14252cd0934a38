//! In-order targets: pieces come in any order and leave in the object's order.
//!
//! Invariants: a byte leaves once, whatever is pushed twice; at most one pump runs; what waits is bounded by the machine's window
//! (it asks for no part too far ahead of what was delivered), and the memory of each range is given back when its last byte has left.

use std::collections::BTreeMap;
use std::io::Write;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use xfer_core::error::{Error, ErrorKind};

use super::write_error;
use crate::budget::Permit;

/// Who takes the bytes.
pub(crate) enum Consumer {
    Blocking(Box<dyn Write + Send>),
    Async(Pin<Box<dyn AsyncWrite + Send>>),
    /// Somebody polls; the waker is theirs.
    Polled(Option<Waker>),
    /// The pump has it, or it is lost to a panic.
    Away,
}

/// What an in-order target tells the transfer.
pub(crate) enum Delivery {
    /// So many bytes have left, from the first on.
    Delivered(u64),
    /// It takes no more.
    Failed(Error),
}

type Listener = Box<dyn Fn(Delivery) + Send + Sync>;

/// A target whose bytes must leave in order.
pub(crate) struct OrderedTarget {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    listener: OnceLock<Listener>,
}

struct State {
    next: u64,
    size: Option<u64>,
    waiting: BTreeMap<u64, Bytes>,
    /// Memory that is given back once the bytes before the offset have left.
    held: BTreeMap<u64, Permit>,
    consumer: Consumer,
    /// How it ended: told to a poller behind the last byte.
    end: Option<Result<(), Error>>,
}

impl State {
    /// The next bytes to leave, if they are there.
    fn pop(&mut self) -> Option<Bytes> {
        loop {
            let entry = self.waiting.first_entry()?;
            let offset = *entry.key();
            if offset > self.next {
                return None;
            }
            let mut piece = entry.remove();
            let known = usize::try_from(self.next - offset).unwrap_or(usize::MAX).min(piece.len());
            let piece = piece.split_off(known);
            if !piece.is_empty() {
                return Some(piece);
            }
        }
    }

    fn left(&mut self, bytes: u64) -> Vec<Permit> {
        self.next += bytes;
        let still = self.held.split_off(&(self.next + 1));
        std::mem::replace(&mut self.held, still).into_values().collect()
    }

    fn wake(&mut self) {
        if let Consumer::Polled(waker) = &mut self.consumer
            && let Some(waker) = waker.take()
        {
            waker.wake();
        }
    }
}

impl Shared {
    fn tell(&self, delivery: Delivery) {
        if let Some(listener) = self.listener.get() {
            listener(delivery);
        }
    }

    /// Counts bytes as gone and gives their memory back; says how many have left in all.
    fn left(&self, bytes: usize) -> u64 {
        let (next, permits) = {
            let mut state = self.state.lock();
            let permits = state.left(bytes as u64);
            (state.next, permits)
        };
        drop(permits);
        next
    }

    fn fail(&self, error: Error) {
        self.tell(Delivery::Failed(error));
    }

    fn pop(&self) -> Option<Bytes> {
        self.state.lock().pop()
    }

    fn next(&self) -> u64 {
        self.state.lock().next
    }

    /// Gives the consumer back when there is nothing to do; `None` when more came in meanwhile.
    fn rest(&self, consumer: Consumer) -> Result<(), (Consumer, Bytes)> {
        let mut state = self.state.lock();
        match state.pop() {
            Some(piece) => Err((consumer, piece)),
            None => {
                state.consumer = consumer;
                Ok(())
            }
        }
    }
}

impl OrderedTarget {
    pub(crate) fn new(consumer: Consumer) -> OrderedTarget {
        let state =
            State { next: 0, size: None, waiting: BTreeMap::new(), held: BTreeMap::new(), consumer, end: None };
        OrderedTarget { shared: Arc::new(Shared { state: Mutex::new(state), listener: OnceLock::new() }) }
    }

    /// Who is told what has left; set once, before the first byte.
    pub(crate) fn listen(&self, listener: impl Fn(Delivery) + Send + Sync + 'static) {
        // A second listener would be a second transfer on one target, which the types do not allow.
        let _ = self.shared.listener.set(Box::new(listener));
    }

    pub(crate) fn open(&self, size: u64) {
        self.shared.state.lock().size = Some(size);
    }

    /// Keeps a range's memory accounted for until all bytes before `end` have left.
    pub(crate) fn hold(&self, end: u64, permit: Permit) {
        let mut state = self.shared.state.lock();
        if end > state.next {
            // Two ranges do not end at the same offset; a repeated one replaces its own permit.
            state.held.insert(end, permit);
        }
    }

    /// Takes a piece in; starts the pump if it can leave and nobody is at it. Must be called on a lane.
    pub(crate) fn push(&self, offset: u64, piece: Bytes) {
        if piece.is_empty() {
            return;
        }
        let mut state = self.shared.state.lock();
        let end = offset + piece.len() as u64;
        if end <= state.next {
            return;
        }
        match state.waiting.get(&offset) {
            Some(there) if there.len() >= piece.len() => {}
            _ => {
                state.waiting.insert(offset, piece);
            }
        }
        if offset > state.next {
            return;
        }
        state.wake();
        match std::mem::replace(&mut state.consumer, Consumer::Away) {
            Consumer::Blocking(writer) => {
                drop(state);
                let shared = Arc::clone(&self.shared);
                tokio::task::spawn_blocking(move || pump_blocking(&shared, writer));
            }
            Consumer::Async(writer) => {
                drop(state);
                tokio::task::spawn_local(pump_async(Arc::clone(&self.shared), writer));
            }
            other => state.consumer = other,
        }
    }

    /// Flushes; all bytes have left already. Must be called on a lane.
    pub(crate) async fn commit(&self) -> Result<(), Error> {
        let consumer = std::mem::replace(&mut self.shared.state.lock().consumer, Consumer::Away);
        let flushed = match consumer {
            Consumer::Blocking(mut writer) => tokio::task::spawn_blocking(move || writer.flush())
                .await
                .map_err(|_| Error::new(ErrorKind::TargetWrite, "the writer panicked"))?
                .map_err(write_error),
            Consumer::Async(mut writer) => writer.shutdown().await.map_err(write_error),
            polled => {
                self.shared.state.lock().consumer = polled;
                Ok(())
            }
        };
        if flushed.is_ok() {
            self.end(Ok(()));
        }
        flushed
    }

    /// Tells whoever polls how it ended. What comes after the first end is not heard.
    pub(crate) fn end(&self, result: Result<(), Error>) {
        let mut state = self.shared.state.lock();
        if state.end.is_none() {
            if result.is_err() {
                state.waiting.clear();
            }
            state.end = Some(result);
        }
        let permits = std::mem::take(&mut state.held);
        state.wake();
        drop(state);
        drop(permits);
    }

    /// The reading end for a stream.
    pub(crate) fn poll_piece(&self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        let mut state = self.shared.state.lock();
        if let Some(piece) = state.pop() {
            drop(state);
            let left = self.shared.left(piece.len());
            self.shared.tell(Delivery::Delivered(left));
            return Poll::Ready(Some(Ok(piece)));
        }
        match &state.end {
            Some(Ok(())) => Poll::Ready(None),
            Some(Err(error)) => {
                let error = error.clone();
                // Told once; a stream that is polled on after its error is at its end.
                state.end = Some(Ok(()));
                Poll::Ready(Some(Err(error)))
            }
            None => {
                state.consumer = Consumer::Polled(Some(context.waker().clone()));
                Poll::Pending
            }
        }
    }
}

/// The consumer is given back before the last delivery is told, so that who commits upon it finds the consumer.
fn pump_blocking(shared: &Shared, mut writer: Box<dyn Write + Send>) {
    let mut next = shared.pop();
    loop {
        let piece = match next.take() {
            Some(piece) => piece,
            None => match shared.rest(Consumer::Blocking(writer)) {
                Err((Consumer::Blocking(back), piece)) => {
                    writer = back;
                    piece
                }
                _ => break,
            },
        };
        // A panic in the user's writer must fail the transfer, not leave it waiting for bytes to leave.
        let written = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| writer.write_all(&piece)));
        match written {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return shared.fail(write_error(error)),
            Err(_) => return shared.fail(Error::new(ErrorKind::TargetWrite, "the writer panicked")),
        }
        let left = shared.left(piece.len());
        next = shared.pop();
        if next.is_some() {
            shared.tell(Delivery::Delivered(left));
        }
    }
    shared.tell(Delivery::Delivered(shared.next()));
}

async fn pump_async(shared: Arc<Shared>, mut writer: Pin<Box<dyn AsyncWrite + Send>>) {
    let mut guard = PumpGuard { shared: &shared, finished: false };
    let mut next = shared.pop();
    loop {
        let piece = match next.take() {
            Some(piece) => piece,
            None => match shared.rest(Consumer::Async(writer)) {
                Err((Consumer::Async(back), piece)) => {
                    writer = back;
                    piece
                }
                _ => break,
            },
        };
        if let Err(error) = writer.write_all(&piece).await {
            guard.finished = true;
            return shared.fail(write_error(error));
        }
        let left = shared.left(piece.len());
        next = shared.pop();
        if next.is_some() {
            shared.tell(Delivery::Delivered(left));
        }
    }
    guard.finished = true;
    shared.tell(Delivery::Delivered(shared.next()));
}

/// Fails the transfer when the pump's task is gone in the middle: the user's writer panicked, or its lane died.
struct PumpGuard<'a> {
    shared: &'a Shared,
    finished: bool,
}

impl Drop for PumpGuard<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.shared.fail(Error::new(ErrorKind::TargetWrite, "the writer panicked"));
        }
    }
}
