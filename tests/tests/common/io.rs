//! Readers, writers and streams: well-behaved ones that remember, and others.

use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use parking_lot::{Condvar, Mutex};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use xfer_tests::pattern;

use super::LIMIT;

/// The first `len` bytes of a pattern, made as they are read.
pub(crate) struct Pattern {
    seed: u64,
    at: u64,
    len: u64,
    read: Arc<AtomicU64>,
}

impl Pattern {
    pub(crate) fn new(seed: u64, len: u64) -> Pattern {
        Pattern { seed, at: 0, len, read: Arc::default() }
    }

    /// How many bytes have been read.
    pub(crate) fn counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.read)
    }
}

impl Read for Pattern {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(self.len - self.at).unwrap_or(usize::MAX);
        // Odd sizes, as pipes give them.
        let take = rest.min(buffer.len()).min(65_521);
        pattern::fill(self.seed, self.at, &mut buffer[..take]);
        self.at += take as u64;
        self.read.store(self.at, Ordering::SeqCst);
        Ok(take)
    }
}

impl AsyncRead for Pattern {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = self.read(buffer.initialize_unfilled())?;
        buffer.advance(read);
        Poll::Ready(Ok(()))
    }
}

/// The same as a stream of pieces of odd sizes, some of them empty.
pub(crate) fn pattern_stream(seed: u64, len: u64) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let mut reader = Pattern::new(seed, len);
    let mut turn = 0_usize;
    futures_util::stream::iter(std::iter::from_fn(move || {
        turn += 1;
        if turn.is_multiple_of(5) {
            return Some(Ok(Bytes::new()));
        }
        let mut piece = vec![0; 1 + (turn * 7919) % 60_000];
        let read = reader.read(&mut piece).unwrap_or_default();
        piece.truncate(read);
        (read > 0).then(|| Ok(Bytes::from(piece)))
    }))
}

/// Gives some bytes, then does something else.
pub(crate) struct Then<F> {
    first: Cursor<Vec<u8>>,
    then: F,
}

impl<F> Then<F> {
    pub(crate) fn after(first: Vec<u8>, then: F) -> Then<F> {
        Then { first: Cursor::new(first), then }
    }
}

impl<F: FnMut(&mut [u8]) -> io::Result<usize>> Read for Then<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.first.read(buffer)? {
            0 => (self.then)(buffer),
            read => Ok(read),
        }
    }
}

impl<F: FnMut(&mut [u8]) -> io::Result<usize> + Unpin> AsyncRead for Then<F> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = self.read(buffer.initialize_unfilled())?;
        buffer.advance(read);
        Poll::Ready(Ok(()))
    }
}

/// A place where a thread waits until it is let go; who drops it lets go.
#[derive(Clone, Default)]
pub(crate) struct Latch(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    open: bool,
    reached: bool,
}

impl Latch {
    pub(crate) fn new() -> Latch {
        Latch::default()
    }

    pub(crate) fn open(&self) {
        self.0.0.lock().open = true;
        self.0.1.notify_all();
    }

    /// Blocks this thread until the latch is open. There is no limit: this plays a peer who never answers.
    pub(crate) fn pass(&self) {
        let mut state = self.0.0.lock();
        state.reached = true;
        self.0.1.notify_all();
        self.0.1.wait_while(&mut state, |state| !state.open);
    }

    /// Waits until somebody is in [`pass`](Latch::pass).
    pub(crate) fn reached(&self) {
        let mut state = self.0.0.lock();
        let timeout = self.0.1.wait_while_for(&mut state, |state| !state.reached, LIMIT);
        assert!(!timeout.timed_out(), "the latch was never reached");
    }
}

/// A writer of every kind, which keeps what it is given.
#[derive(Clone, Default)]
pub(crate) struct Sink {
    bytes: Arc<Mutex<Cursor<Vec<u8>>>>,
    flushed: Arc<AtomicBool>,
}

impl Sink {
    pub(crate) fn new() -> Sink {
        Sink::default()
    }

    /// One that holds some bytes already and stands behind them.
    pub(crate) fn behind(bytes: &[u8]) -> Sink {
        let sink = Sink::default();
        sink.bytes.lock().write_all(bytes).unwrap();
        sink
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().get_ref().clone()
    }

    /// Whether it was flushed or shut down behind the last byte.
    pub(crate) fn flushed(&self) -> bool {
        self.flushed.load(Ordering::SeqCst)
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flushed.store(false, Ordering::SeqCst);
        // Short writes, as pipes make them.
        self.bytes.lock().write(&bytes[..bytes.len().min(100_003)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flushed.store(true, Ordering::SeqCst);
        Ok(())
    }
}

impl Seek for Sink {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.bytes.lock().seek(to)
    }
}

impl AsyncWrite for Sink {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.write(bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.flush())
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(context)
    }
}

/// Takes `limit` bytes, then does something else with each write.
pub(crate) struct WriteThen<F> {
    limit: usize,
    taken: usize,
    then: F,
}

impl<F> WriteThen<F> {
    pub(crate) fn after(limit: usize, then: F) -> WriteThen<F> {
        WriteThen { limit, taken: 0, then }
    }
}

impl<F: FnMut() -> io::Result<usize>> Write for WriteThen<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.taken >= self.limit {
            return (self.then)();
        }
        let take = bytes.len().min(self.limit - self.taken);
        self.taken += take;
        Ok(take)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<F> Seek for WriteThen<F> {
    fn seek(&mut self, _to: SeekFrom) -> io::Result<u64> {
        Ok(0)
    }
}

impl<F: FnMut() -> io::Result<usize> + Unpin> AsyncWrite for WriteThen<F> {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
