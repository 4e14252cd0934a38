//! Bytes to and from one socket, sealed or plain: the waits, their deadlines, and the watch for an answer that comes early.
//!
//! Nothing here knows HTTP. No timer is armed unless a call would block, so a transfer that flows costs none.
//!
//! Invariants: a future of [`Wire::fill`] may be dropped at any await without losing a byte; one of [`Wire::send`] may not, and
//! leaves [`Wire::is_whole`] false for good.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{Interest, Ready};
use tokio::net::TcpStream;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, timeout, timeout_at};

use super::config::LONGEST;
use super::error::{Progress, TransportError};
use super::inbox::Inbox;
use super::shared::OpenCount;
use super::tls::Session;

/// Most pieces in one system call; more are sent in turns.
const MAX_PIECES: usize = 64;
/// How long a socket that was reset gets to report what had been received before.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// How long a wait may last.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    /// So long for each wait.
    Idle(Duration),
    /// Until `at` for all waits together, which was `after` away when they began.
    Until { at: Instant, after: Duration },
}

impl Patience {
    pub(crate) fn until(after: Duration) -> Self {
        Self::Until { at: Instant::now() + after.min(LONGEST), after }
    }
}

/// What was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// More bytes of the stream.
    More,
    /// The stream's end.
    End,
}

/// Whether everything went out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    All,
    /// Something came in, or the peer closed: look at the inbox.
    Interrupted,
}

/// Looks at what came while sending, and says whether to stop.
pub(crate) type Watch = fn(&mut Inbox) -> bool;

pub(crate) struct Wire {
    stream: TcpStream,
    /// `None`: plain text.
    session: Option<Session>,
    pub(crate) inbox: Inbox,
    pub(crate) progress: Progress,
    /// Of the far end, for messages.
    peer: String,
    peer_closed: bool,
    whole: bool,
    _count: OpenCount,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream, inbox: Inbox, peer: String, count: OpenCount) -> Self {
        Self {
            stream,
            session: None,
            inbox,
            progress: Progress::default(),
            peer,
            peer_closed: false,
            whole: true,
            _count: count,
        }
    }

    /// Shakes hands; from then on everything is sealed. The caller sets the deadline.
    pub(crate) async fn secure(
        &mut self,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        peer: String,
    ) -> Result<(), TransportError> {
        self.peer = peer;
        let session = Session::establish(&self.stream, &mut self.inbox, config, name).await;
        self.session = Some(session.map_err(|e| e.with(&self.peer))?);
        Ok(())
    }

    pub(crate) fn remote_addr(&self) -> Option<SocketAddr> {
        self.stream.peer_addr().ok()
    }

    /// No send was broken off, the peer has not closed, and TLS may go on.
    pub(crate) fn is_whole(&self) -> bool {
        self.whole && !self.peer_closed && self.session.as_ref().is_none_or(Session::may_go_on)
    }

    /// Whether nothing can have been cut off the end of the stream. TLS tells; without it the end is all there is to go by.
    pub(crate) fn ended_cleanly(&self) -> bool {
        self.peer_closed && self.session.as_ref().is_none_or(Session::is_closed)
    }

    /// Sends all pieces. With `watch` it looks for bytes from the peer whenever the socket takes no more.
    /// [`Written::Interrupted`] is final: what was sent so far is not told.
    pub(crate) async fn send(
        &mut self,
        pieces: &[&[u8]],
        patience: Patience,
        watch: Option<Watch>,
    ) -> Result<Written, TransportError> {
        self.whole = false;
        let written = if self.session.is_some() {
            let mut sealed = self.inbox.pool().draw();
            let written = self.send_sealed(&mut sealed, pieces, patience, watch).await;
            self.inbox.pool().give_back(sealed);
            written?
        } else {
            self.send_plain(pieces, patience, watch).await?
        };
        self.whole = written == Written::All;
        Ok(written)
    }

    async fn send_sealed(
        &mut self,
        sealed: &mut [u8],
        pieces: &[&[u8]],
        patience: Patience,
        watch: Option<Watch>,
    ) -> Result<Written, TransportError> {
        let total = pieces.iter().map(|p| p.len()).sum();
        let mut from = 0;
        while from < total {
            let Some(session) = &mut self.session else { break };
            let (taken, len) =
                session.seal(&mut self.inbox, pieces, from..total, sealed).map_err(|e| e.with(&self.peer))?;
            from += taken;
            if self.write(&[&sealed[..len]], patience, watch).await? == Written::Interrupted {
                return Ok(Written::Interrupted);
            }
        }
        Ok(Written::All)
    }

    async fn send_plain(
        &mut self,
        pieces: &[&[u8]],
        patience: Patience,
        watch: Option<Watch>,
    ) -> Result<Written, TransportError> {
        for group in pieces.chunks(MAX_PIECES) {
            if self.write(group, patience, watch).await? == Written::Interrupted {
                return Ok(Written::Interrupted);
            }
        }
        Ok(Written::All)
    }

    /// Writes at most [`MAX_PIECES`] pieces as they are.
    async fn write(
        &mut self,
        pieces: &[&[u8]],
        patience: Patience,
        watch: Option<Watch>,
    ) -> Result<Written, TransportError> {
        let mut slots = [IoSlice::new(&[]); MAX_PIECES];
        for (slot, piece) in slots.iter_mut().zip(pieces) {
            *slot = IoSlice::new(piece);
        }
        let mut left = &mut slots[..pieces.len().min(MAX_PIECES)];
        // Drops leading pieces that are empty: writing nothing would look like progress.
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            match self.stream.try_write_vectored(left) {
                Ok(n) => {
                    self.progress.sent_any |= n > 0;
                    IoSlice::advance_slices(&mut left, n);
                    consume_budget().await;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    let Some(watch) = watch else {
                        self.wait(Interest::WRITABLE, patience).await?;
                        continue;
                    };
                    let ready = self.wait(Interest::READABLE | Interest::WRITABLE, patience).await?;
                    if (ready.is_readable() || ready.is_read_closed()) && self.interrupted(watch)? {
                        return Ok(Written::Interrupted);
                    }
                }
                Err(e) => return self.last_words(&e).await,
            }
        }
        Ok(Written::All)
    }

    /// Whether something has come that should end a send; free if nothing has come at all.
    pub(crate) fn interrupted(&mut self, watch: Watch) -> Result<bool, TransportError> {
        loop {
            match self.receive()? {
                None => {
                    self.inbox.rest();
                    return Ok(false);
                }
                Some(Received::More) if !watch(&mut self.inbox) => {}
                Some(_) => return Ok(true),
            }
        }
    }

    /// A write failed. If the peer answered before it hung up, that is worth more than the error.
    async fn last_words(&mut self, error: &io::Error) -> Result<Written, TransportError> {
        let failure = TransportError::from_io(error, self.progress);
        let hung_up = matches!(failure, TransportError::Reset(_));
        if hung_up && timeout(LAST_WORDS, self.stream.readable()).await.is_ok() {
            while let Ok(Some(Received::More)) = self.receive() {}
            if self.progress.received_any {
                return Ok(Written::Interrupted);
            }
        }
        Err(failure)
    }

    /// Waits for more of the stream and puts it into the inbox.
    pub(crate) async fn fill(&mut self, patience: Patience) -> Result<Received, TransportError> {
        loop {
            if let Some(received) = self.receive()? {
                consume_budget().await;
                return Ok(received);
            }
            self.wait(Interest::READABLE, patience).await?;
        }
    }

    /// Whether the next byte from the socket is the next byte of the stream: nothing is sealed, and nothing waits in the inbox.
    pub(crate) fn is_bare(&self) -> bool {
        self.session.is_none() && self.inbox.is_empty()
    }

    /// Waits until there is something to receive.
    pub(crate) async fn readable(&mut self, patience: Patience) -> Result<(), TransportError> {
        self.inbox.rest();
        consume_budget().await;
        self.wait(Interest::READABLE, patience).await.map(drop)
    }

    /// Receives what is there of a [bare](Self::is_bare) stream into `memory`, without waiting; 0 if that is nothing yet.
    pub(crate) fn receive_into(&mut self, memory: &mut [u8]) -> Result<usize, TransportError> {
        loop {
            let read = self.stream.try_read(memory);
            self.note_drained(&read, memory.len());
            return match read {
                Ok(0) if !memory.is_empty() => {
                    self.peer_closed = true;
                    Err(TransportError::Closed(self.progress))
                }
                Ok(n) => {
                    self.progress.received_any |= n > 0;
                    Ok(n)
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(0),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => Err(TransportError::from_io(&e, self.progress)),
            };
        }
    }

    /// Receives what is there, without waiting.
    pub(crate) fn receive(&mut self) -> Result<Option<Received>, TransportError> {
        while !self.peer_closed {
            let room = self.inbox.room();
            if room.is_empty() {
                return Err(TransportError::protocol("more bytes than a receive buffer holds, none of them usable"));
            }
            let (size, read) = (room.len(), self.stream.try_read(room));
            self.note_drained(&read, size);
            match read {
                Ok(0) => self.peer_closed = true,
                Ok(n) => {
                    let before = self.inbox.plain().len();
                    match &mut self.session {
                        None => self.inbox.received_plain(n),
                        Some(session) => {
                            self.inbox.received_raw(n);
                            session.open(&mut self.inbox).map_err(|e| e.with(&self.peer))?;
                            self.peer_closed = session.is_closed();
                        }
                    }
                    // Under TLS what came may have been a ticket, or half a record.
                    if self.inbox.plain().len() > before {
                        self.progress.received_any = true;
                        return Ok(Some(Received::More));
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(TransportError::from_io(&e, self.progress)),
            }
        }
        Ok(Some(Received::End))
    }

    /// After a read that emptied the socket the reactor still takes it for readable, until a read in vain tells it otherwise; telling it
    /// here saves that system call. At once, before anything is awaited: what the reactor hears later is news of other bytes.
    fn note_drained(&self, read: &io::Result<usize>, size: usize) {
        if matches!(read, Ok(n) if (1..size).contains(n)) {
            let _ = self.stream.try_io(Interest::READABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
        }
    }

    /// Nothing is expected until the next request.
    pub(crate) fn rest(&mut self) {
        self.inbox.rest();
    }

    async fn wait(&self, interest: Interest, patience: Patience) -> Result<Ready, TransportError> {
        let ready = self.stream.ready(interest);
        let (ready, late) = match patience {
            Patience::Idle(after) => (timeout(after, ready).await, TransportError::IdleTimeout { after }),
            Patience::Until { at, after } => (timeout_at(at, ready).await, TransportError::FirstByteTimeout { after }),
        };
        ready.map_err(|_| late)?.map_err(|e| TransportError::from_io(&e, self.progress))
    }
}
