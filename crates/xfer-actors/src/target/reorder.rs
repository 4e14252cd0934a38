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
use tokio::sync::Notify;
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
    /// Whether the writer opens something with its first write, which its reader waits for.
    opens: bool,
}

struct Shared {
    state: Mutex<State>,
    /// Told when the consumer is back, or will not come back.
    back: Notify,
    listener: OnceLock<Listener>,
}

struct State {
    next: u64,
    waiting: BTreeMap<u64, Bytes>,
    /// Memory that is given back once the bytes before the offset have left.
    held: BTreeMap<u64, Permit>,
    consumer: Consumer,
    /// How many bytes the transfer was last told to have left.
    told: u64,
    /// Why nobody takes the bytes any more.
    failed: Option<Error>,
    /// How it ended: told to a poller behind the last byte.
    end: Option<Result<(), Error>>,
}

/// The transfer is told of so many bytes at once, where more follow: messages are for parts, not for pieces.
const TELL_EVERY: u64 = 1 << 20;

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

    /// How far it is, if there is something to tell: enough of it, or nothing more that can leave now.
    fn news(&mut self) -> Option<u64> {
        let more = self.waiting.first_key_value().is_some_and(|(&offset, _)| offset <= self.next);
        let new = self.next - self.told;
        if new == 0 || (more && new < TELL_EVERY) {
            return None;
        }
        self.told = self.next;
        Some(self.next)
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
    fn tell_delivered(&self, news: Option<u64>) {
        if let Some(bytes) = news {
            self.tell(Delivery::Delivered(bytes));
        }
    }

    fn tell(&self, delivery: Delivery) {
        if let Some(listener) = self.listener.get() {
            listener(delivery);
        }
    }

    /// Counts bytes as gone and gives their memory back; says what is to be told.
    fn left(&self, bytes: usize) -> Option<u64> {
        let (news, permits) = {
            let mut state = self.state.lock();
            let permits = state.left(bytes as u64);
            (state.news(), permits)
        };
        drop(permits);
        news
    }

    fn fail(&self, error: Error) {
        self.state.lock().failed.get_or_insert_with(|| error.clone());
        self.back.notify_waiters();
        self.tell(Delivery::Failed(error));
    }

    fn pop(&self) -> Option<Bytes> {
        self.state.lock().pop()
    }

    fn next(&self) -> u64 {
        self.state.lock().next
    }

    /// Gives the consumer back when there is nothing to do; an error when more came in meanwhile. Behind the end nobody wants it back.
    fn rest(&self, consumer: Consumer) -> Result<(), (Consumer, Bytes)> {
        let mut state = self.state.lock();
        if let Some(piece) = state.pop() {
            return Err((consumer, piece));
        }
        if state.end.is_none() {
            state.consumer = consumer;
        }
        drop(state);
        self.back.notify_waiters();
        Ok(())
    }
}

impl OrderedTarget {
    pub(crate) fn new(consumer: Consumer) -> OrderedTarget {
        let state = State {
            next: 0,
            waiting: BTreeMap::new(),
            held: BTreeMap::new(),
            consumer,
            told: 0,
            failed: None,
            end: None,
        };
        let shared = Shared { state: Mutex::new(state), back: Notify::new(), listener: OnceLock::new() };
        OrderedTarget { shared: Arc::new(shared), opens: false }
    }

    /// For a writer that opens a device or a pipe with its first write: of an object without bytes too.
    pub(crate) fn opened_late(writer: Box<dyn Write + Send>) -> OrderedTarget {
        OrderedTarget { opens: true, ..OrderedTarget::new(Consumer::Blocking(writer)) }
    }

    /// Who is told what has left; set once, before the first byte.
    pub(crate) fn listen(&self, listener: impl Fn(Delivery) + Send + Sync + 'static) {
        // A second listener would be a second transfer on one target, which the types do not allow.
        let _ = self.shared.listener.set(Box::new(listener));
    }

    /// Keeps a range's memory accounted for until all bytes before `end` have left.
    pub(crate) fn hold(&self, end: u64, permit: Permit) {
        let mut state = self.shared.state.lock();
        if end > state.next && state.end.is_none() {
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
        if end <= state.next || state.end.is_some() || state.failed.is_some() {
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
                let guard = PumpGuard::new(&self.shared);
                tokio::task::spawn_blocking(move || pump_blocking(guard, writer));
            }
            Consumer::Async(writer) => {
                drop(state);
                tokio::task::spawn_local(pump_async(PumpGuard::new(&self.shared), writer));
            }
            other => state.consumer = other,
        }
    }

    /// Has opened what the first write opens, if there was none. May be given up at any moment, and must be called on a lane.
    pub(crate) async fn ready(&self) -> Result<(), Error> {
        let writer = {
            let mut state = self.shared.state.lock();
            match &state.consumer {
                Consumer::Blocking(_) if self.opens && state.next == 0 => {
                    std::mem::replace(&mut state.consumer, Consumer::Away)
                }
                _ => return Ok(()),
            }
        };
        let Consumer::Blocking(mut writer) = writer else { return Ok(()) };
        let mut guard = PumpGuard::new(&self.shared);
        let opening = move || match writer.write(&[]) {
            Ok(_) => {
                // Nothing is there to be written: it rests at once.
                if guard.shared.rest(Consumer::Blocking(writer)).is_ok() {
                    guard.finish();
                }
                Ok(())
            }
            Err(error) => {
                let error = write_error(error);
                guard.fail(error.clone());
                Err(error)
            }
        };
        tokio::task::spawn_blocking(opening)
            .await
            .unwrap_or_else(|_| Err(Error::new(ErrorKind::TargetWrite, "the writer panicked")))
    }

    /// Waits until everything that was pushed has left, if it has not, and flushes. Must be called on a lane.
    pub(crate) async fn commit(&self) -> Result<(), Error> {
        let consumer = loop {
            // Listens before it looks.
            let mut back = std::pin::pin!(self.shared.back.notified());
            back.as_mut().enable();
            {
                let mut state = self.shared.state.lock();
                if let Some(error) = &state.failed {
                    return Err(error.clone());
                }
                if let Some(end) = &state.end {
                    return end.clone();
                }
                match &state.consumer {
                    // Somebody may register a waker at any moment: it must stay where the end is told to it.
                    Consumer::Polled(_) => break Consumer::Polled(None),
                    Consumer::Away => {}
                    _ => break std::mem::replace(&mut state.consumer, Consumer::Away),
                }
            }
            back.await;
        };
        let flushed = match consumer {
            Consumer::Blocking(mut writer) => tokio::task::spawn_blocking(move || writer.flush())
                .await
                .map_err(|_| Error::new(ErrorKind::TargetWrite, "the writer panicked"))?
                .map_err(write_error),
            Consumer::Async(mut writer) => writer.shutdown().await.map_err(write_error),
            Consumer::Polled(_) | Consumer::Away => Ok(()),
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

    /// Lets go of the caller's writer, by what is returned. One that the pump has goes when its last write returns.
    pub(crate) fn release(&self) -> Option<Box<dyn FnOnce() + Send>> {
        let mut state = self.shared.state.lock();
        match &state.consumer {
            Consumer::Polled(_) | Consumer::Away => None,
            _ => {
                let consumer = std::mem::replace(&mut state.consumer, Consumer::Away);
                Some(Box::new(move || drop(consumer)))
            }
        }
    }

    /// The reading end for a stream. A writer gets the bytes itself, and there are none to be polled.
    pub(crate) fn poll_piece(&self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        let mut state = self.shared.state.lock();
        if !matches!(state.consumer, Consumer::Polled(_)) {
            return Poll::Ready(None);
        }
        if let Some(piece) = state.pop() {
            drop(state);
            let news = self.shared.left(piece.len());
            self.shared.tell_delivered(news);
            return Poll::Ready(Some(Ok(piece)));
        }
        let answer = match &state.end {
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
        };
        let news = state.news();
        drop(state);
        self.shared.tell_delivered(news);
        answer
    }
}

/// The consumer is given back before the last delivery is told, so that who commits upon it finds the consumer.
fn pump_blocking(mut guard: PumpGuard, mut writer: Box<dyn Write + Send>) {
    let shared = Arc::clone(&guard.shared);
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
        if let Err(error) = writer.write_all(&piece) {
            return guard.fail(write_error(error));
        }
        let news = shared.left(piece.len());
        next = shared.pop();
        if next.is_some() {
            shared.tell_delivered(news);
        }
    }
    guard.finish();
}

async fn pump_async(mut guard: PumpGuard, mut writer: Pin<Box<dyn AsyncWrite + Send>>) {
    let shared = Arc::clone(&guard.shared);
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
            return guard.fail(write_error(error));
        }
        let news = shared.left(piece.len());
        next = shared.pop();
        if next.is_some() {
            shared.tell_delivered(news);
        }
    }
    guard.finish();
}

/// Fails the transfer when the pump is gone in the middle, or never came to run: the user's writer panicked, or its lane died.
/// Otherwise the transfer would wait for bytes to leave for ever.
struct PumpGuard {
    shared: Arc<Shared>,
    finished: bool,
}

impl PumpGuard {
    fn new(shared: &Arc<Shared>) -> PumpGuard {
        PumpGuard { shared: Arc::clone(shared), finished: false }
    }

    fn fail(&mut self, error: Error) {
        self.finished = true;
        self.shared.fail(error);
    }

    /// The consumer is back: what has left by now is told, some of it perhaps again.
    fn finish(&mut self) {
        self.finished = true;
        self.shared.tell(Delivery::Delivered(self.shared.next()));
    }
}

impl Drop for PumpGuard {
    fn drop(&mut self) {
        if !self.finished {
            self.shared.fail(Error::new(ErrorKind::TargetWrite, "the writer panicked"));
        }
    }
}

#[cfg(test)]
mod tests;
