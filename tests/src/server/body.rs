//! Request and response bodies as they pass through the server: counted, drained, and made to go wrong on request.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use parking_lot::Mutex;
use s3s::StdError;

use crate::stats::{Recorder, RequestGuard};

use super::io::Control;

/// A request's body. Clones are the same body: what the operation leaves unread is drained through the clone that stays
/// behind, because closing a socket with unread data would reset the connection and lose the answer.
#[derive(Clone, Debug)]
pub(crate) struct RequestBody {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    inner: Mutex<Reading>,
    recorder: Arc<Recorder>,
}

#[derive(Debug)]
struct Reading {
    incoming: Incoming,
    touched: bool,
}

impl RequestBody {
    pub(crate) fn new(incoming: Incoming, recorder: Arc<Recorder>) -> Self {
        Self { shared: Arc::new(Shared { inner: Mutex::new(Reading { incoming, touched: false }), recorder }) }
    }

    /// Whether anyone has started to read it.
    pub(crate) fn touched(&self) -> bool {
        self.shared.inner.lock().touched
    }

    /// Reads all of it.
    pub(crate) async fn collect(mut self) -> Result<Vec<u8>, StdError> {
        let mut whole = Vec::new();
        while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut self).poll_frame(cx)).await {
            if let Ok(data) = frame?.into_data() {
                whole.extend_from_slice(&data);
            }
        }
        Ok(whole)
    }

    /// Reads and drops what is left.
    pub(crate) async fn drain(mut self) {
        std::future::poll_fn(|cx| {
            loop {
                match Pin::new(&mut self).poll_frame(cx) {
                    Poll::Ready(Some(Ok(_))) => {}
                    Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await;
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        let mut reading = self.shared.inner.lock();
        reading.touched = true;
        let polled = Pin::new(&mut reading.incoming).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            self.shared.recorder.received(data.len());
        }
        polled.map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.shared.inner.lock().incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.shared.inner.lock().incoming.size_hint()
    }
}

/// What is done to the bytes of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum BodyFault {
    #[default]
    None,
    /// Send so many bytes, then close.
    CloseAfter(u64),
    /// Send so many bytes, then nothing.
    StallAfter(u64),
    /// Send so many bytes, and call it the end.
    EndAfter(u64),
    /// Flip a bit of the byte at this offset.
    FlipAt(u64),
}

/// An answer's body; holds the request in flight until it is sent or dropped.
pub(crate) struct AnswerBody {
    inner: s3s::Body,
    fault: BodyFault,
    /// Bytes handed out so far.
    position: u64,
    control: Arc<Control>,
    guard: RequestGuard,
}

impl std::fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AnswerBody")
            .field("fault", &self.fault)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl AnswerBody {
    pub(crate) fn new(inner: s3s::Body, fault: BodyFault, control: Arc<Control>, guard: RequestGuard) -> Self {
        Self { inner, fault, position: 0, control, guard }
    }

    fn limit(&self) -> Option<u64> {
        match self.fault {
            BodyFault::CloseAfter(limit) | BodyFault::StallAfter(limit) | BodyFault::EndAfter(limit) => Some(limit),
            BodyFault::None | BodyFault::FlipAt(_) => None,
        }
    }

    fn poll_limit_reached(&self, cx: &Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        match self.fault {
            BodyFault::CloseAfter(_) => match self.control.poll_flushed(cx) {
                Poll::Ready(()) => Poll::Ready(Some(Err("the connection is closed as a fault rule asks".into()))),
                Poll::Pending => Poll::Pending,
            },
            // Never woken: the connection's end drops this body.
            BodyFault::StallAfter(_) => Poll::Pending,
            BodyFault::EndAfter(_) | BodyFault::None | BodyFault::FlipAt(_) => Poll::Ready(None),
        }
    }

    fn flipped(&self, data: Bytes) -> Bytes {
        match self.fault {
            BodyFault::FlipAt(at) if (self.position..self.position + data.len() as u64).contains(&at) => {
                let mut changed = BytesMut::from(&data[..]);
                changed[(at - self.position) as usize] ^= 1;
                changed.freeze()
            }
            _ => data,
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        let this = &mut *self;
        let left = this.limit().map(|limit| limit - this.position);
        if left == Some(0) {
            return this.poll_limit_reached(cx);
        }
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(mut data) => {
                    if let Some(left) = left {
                        data.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                    }
                    let data = this.flipped(data);
                    this.position += data.len() as u64;
                    this.guard.sent(data.len());
                    Poll::Ready(Some(Ok(Frame::data(data))))
                }
                Err(other) => Poll::Ready(Some(Ok(other))),
            },
            other => other,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.limit().is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.fault {
            BodyFault::EndAfter(limit) => SizeHint::with_exact(limit - self.position),
            _ => self.inner.size_hint(),
        }
    }
}

/// Waits for the first of a body's end and a deadline.
pub(crate) async fn drain_within(body: RequestBody, limit: std::time::Duration) {
    let draining = Box::pin(body.drain()) as Pin<Box<dyn Future<Output = ()> + Send>>;
    // A client that never finishes its body gets its answer all the same.
    let _ = tokio::time::timeout(limit, draining).await;
}
