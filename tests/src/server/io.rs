//! The server's end of a TCP connection: bandwidth, resets, and knowing when everything written has left.
//!
//! Lies under TLS, so a limit counts bytes on the wire. A connection flagged for reset closes with RST instead of FIN.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

/// Bytes moved at a time on a connection with limited bandwidth; small enough for an even flow.
const THROTTLED_PIECE: usize = 16 * 1024;

/// What requests being served can do to their connection.
#[derive(Debug)]
pub(crate) struct Control {
    /// Number of the connection, from 0 in order of acceptance.
    pub(crate) id: u64,
    reset: AtomicBool,
    flush: Mutex<FlushWatch>,
}

#[derive(Debug, Default)]
enum FlushWatch {
    #[default]
    Idle,
    Waiting(Waker),
    Flushed,
}

impl Control {
    pub(crate) fn new(id: u64) -> Self {
        Self { id, reset: AtomicBool::new(false), flush: Mutex::default() }
    }

    /// Makes the connection close with RST.
    pub(crate) fn reset(&self) {
        self.reset.store(true, Ordering::Release);
    }

    /// Ready once all that was written before the first call has been handed to the kernel.
    pub(crate) fn poll_flushed(&self, cx: &Context<'_>) -> Poll<()> {
        let mut flush = self.flush.lock();
        if matches!(*flush, FlushWatch::Flushed) {
            *flush = FlushWatch::Idle;
            return Poll::Ready(());
        }
        *flush = FlushWatch::Waiting(cx.waker().clone());
        Poll::Pending
    }

    fn flushed(&self) {
        let mut flush = self.flush.lock();
        if let FlushWatch::Waiting(waker) = std::mem::replace(&mut *flush, FlushWatch::Idle) {
            *flush = FlushWatch::Flushed;
            waker.wake();
        }
    }
}

/// A TCP stream under control.
#[derive(Debug)]
pub(crate) struct ServerIo {
    tcp: TcpStream,
    control: Arc<Control>,
    reading: Option<Throttle>,
    writing: Option<Throttle>,
}

impl ServerIo {
    /// `bandwidth` is in bytes per second, for each direction.
    pub(crate) fn new(tcp: TcpStream, control: Arc<Control>, bandwidth: Option<u64>) -> Self {
        Self { tcp, control, reading: bandwidth.map(Throttle::new), writing: bandwidth.map(Throttle::new) }
    }
}

impl Drop for ServerIo {
    fn drop(&mut self) {
        if self.control.reset.load(Ordering::Acquire) {
            // Fails only on a socket that is closed already.
            let _ = self.tcp.set_zero_linger();
        }
    }
}

impl AsyncRead for ServerIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let Some(throttle) = &mut this.reading else {
            return Pin::new(&mut this.tcp).poll_read(cx, buf);
        };
        ready!(throttle.poll_ready(cx));
        let mut bytes = [0; THROTTLED_PIECE];
        let mut piece = ReadBuf::new(&mut bytes[..THROTTLED_PIECE.min(buf.remaining())]);
        ready!(Pin::new(&mut this.tcp).poll_read(cx, &mut piece))?;
        let read = piece.filled().len();
        buf.put_slice(piece.filled());
        throttle.spend(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ServerIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let Some(throttle) = &mut this.writing else {
            return Pin::new(&mut this.tcp).poll_write(cx, data);
        };
        ready!(throttle.poll_ready(cx));
        let written = ready!(Pin::new(&mut this.tcp).poll_write(cx, &data[..data.len().min(THROTTLED_PIECE)]))?;
        throttle.spend(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.writing.is_some() {
            let first = slices.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| slice);
            return self.poll_write(cx, first);
        }
        Pin::new(&mut self.tcp).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.tcp).poll_flush(cx))?;
        self.control.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

/// Lets bytes through at a steady rate, by sleeping off what each piece cost.
#[derive(Debug)]
struct Throttle {
    bytes_per_second: f64,
    sleep: Pin<Box<Sleep>>,
}

impl Throttle {
    fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1) as f64, sleep: Box::pin(tokio::time::sleep(Duration::ZERO)) }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.sleep.deadline() <= Instant::now() {
            return Poll::Ready(());
        }
        self.sleep.as_mut().poll(cx)
    }

    fn spend(&mut self, bytes: usize) {
        let cost = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second);
        // From the last deadline, so that a late wake-up does not lower the rate; but idle time is not saved up.
        let from = self.sleep.deadline().max(Instant::now() - Duration::from_millis(10));
        self.sleep.as_mut().reset(from + cost);
    }
}
