//! An object as a stream of bytes.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use xfer_actors::DownloadTarget;

use crate::calls::{Task, TransferCall};
use crate::{Error, ErrorKind, ExtraArgs, Subscriber, TransferFuture, TransferManager};

/// A download as a stream: pieces in order, fetched ahead in parallel as far as the memory limit allows, and no further than the
/// reader follows. The last piece is followed by `None` only when the object has been verified; otherwise by the transfer's error.
/// Either comes when the transfer is over: subscribers have heard of it, and its future is done.
///
/// It starts when it is first polled, or by [`start`](DownloadStream::start). Dropping it before its end cancels the download.
///
/// ```no_run
/// # use futures_util::StreamExt;
/// # async fn example(manager: xfer_facade::TransferManager) -> Result<(), xfer_facade::Error> {
/// let mut stream = manager.download_stream("bucket", "log.gz");
/// let mut bytes = 0;
/// while let Some(piece) = stream.next().await {
///     bytes += piece?.len();
/// }
/// # let _ = bytes;
/// # Ok(())
/// # }
/// ```
#[must_use = "a stream does nothing until it is polled or started"]
pub struct DownloadStream {
    state: State,
}

enum State {
    Idle(Box<TransferCall>),
    Running(TransferFuture),
    /// Was told something too late, which its reader hears of next.
    Refused(Error, Option<TransferFuture>),
    /// With its future, if it was started.
    Ended(Option<TransferFuture>),
}

impl DownloadStream {
    pub(crate) fn new(manager: &TransferManager, bucket: &str, key: &str) -> DownloadStream {
        let call = TransferCall::new(manager, Task::Download(DownloadTarget::polled()), bucket, key);
        DownloadStream { state: State::Idle(Box::new(call)) }
    }

    fn edit(mut self, what: &str, change: impl FnOnce(TransferCall) -> TransferCall) -> DownloadStream {
        self.state = match std::mem::replace(&mut self.state, State::Ended(None)) {
            State::Idle(call) => State::Idle(Box::new(change(*call))),
            State::Running(future) => {
                // Bytes that were asked for without these words may be the wrong ones: nobody shall take them for the right ones.
                future.cancel();
                State::Refused(too_late(what), Some(future))
            }
            State::Refused(_, future) | State::Ended(future) => State::Refused(too_late(what), future),
        };
        self
    }

    /// Arguments of the S3 operation, in the place of those given before. To be given before the stream starts: one that has started is
    /// cancelled, and its next item is [`InvalidArgument`](ErrorKind::InvalidArgument).
    pub fn extra_args(self, args: ExtraArgs) -> DownloadStream {
        self.edit("extra_args", |call| call.extra_args(args))
    }

    /// Somebody more to be told of the transfer's life. To be given before the stream starts, as
    /// [`extra_args`](DownloadStream::extra_args) are.
    pub fn subscriber(self, subscriber: impl Subscriber) -> DownloadStream {
        self.edit("subscriber", |call| call.subscriber(subscriber))
    }

    /// Starts now, before the first poll.
    ///
    /// # Errors
    /// As [`TransferCall::start`].
    pub fn start(mut self) -> Result<DownloadStream, Error> {
        self.begin()?;
        Ok(self)
    }

    /// The future of the download, once it has started: for its outcome, progress and cancellation. It stays when the stream has ended.
    #[must_use]
    pub fn future(&self) -> Option<&TransferFuture> {
        match &self.state {
            State::Running(future) => Some(future),
            State::Refused(_, future) | State::Ended(future) => future.as_ref(),
            State::Idle(_) => None,
        }
    }

    fn begin(&mut self) -> Result<(), Error> {
        if matches!(self.state, State::Idle(_))
            && let State::Idle(call) = std::mem::replace(&mut self.state, State::Ended(None))
        {
            self.state = State::Running(call.start()?);
        }
        Ok(())
    }
}

impl Stream for DownloadStream {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Err(error) = self.begin() {
            return Poll::Ready(Some(Err(error)));
        }
        if matches!(self.state, State::Refused(..))
            && let State::Refused(error, future) = std::mem::replace(&mut self.state, State::Ended(None))
        {
            self.state = State::Ended(future);
            return Poll::Ready(Some(Err(error)));
        }
        let State::Running(future) = &mut self.state else { return Poll::Ready(None) };
        match future.meta().call().poll_piece(context) {
            Poll::Ready(None | Some(Err(_))) => {}
            piece => return piece,
        }
        // No more pieces: the stream ends as the transfer does, and not before it.
        let outcome = ready!(Pin::new(&mut *future).poll(context));
        let future = future.clone();
        self.state = State::Ended(Some(future));
        Poll::Ready(outcome.err().map(Err))
    }
}

fn too_late(what: &str) -> Error {
    Error::new(ErrorKind::InvalidArgument, format!("{what} was given to a stream that had started"))
}

impl Drop for DownloadStream {
    fn drop(&mut self) {
        if let State::Running(future) = &self.state {
            // False when it has ended: then there is nothing to cancel.
            future.cancel();
        }
    }
}

impl fmt::Debug for DownloadStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.state {
            State::Idle(call) => write!(f, "DownloadStream({call:?}, not started)"),
            State::Running(future) => write!(f, "DownloadStream({:?})", future.meta()),
            State::Refused(error, _) => write!(f, "DownloadStream({error})"),
            State::Ended(_) => f.write_str("DownloadStream(ended)"),
        }
    }
}
