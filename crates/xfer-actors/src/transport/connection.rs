//! One connection in use: a request goes out, an answer comes in, and then it is given back or closed.
//!
//! Invariants: one exchange at a time; [`Connection::release`] keeps the connection only if request and answer are both whole, the
//! server agrees to keep it, and nothing is left unread. Dropping a connection closes it.

use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::timeout;

use super::body::{BodyDecoder, Step};
use super::buffer::OwnedChunk;
use super::error::TransportError;
use super::framing;
use super::head::{self, Found, ResponseHead};
use super::inbox::Inbox;
use super::origin::Origin;
use super::pool::{InUse, PoolInner};
use super::proxy::Route;
use super::wire::{Patience, Received, Wire, Written};

/// Most interim responses (1xx) before an answer. An honest server sends one or two; 100 leaves room for one that says every few seconds
/// that it is still at work (102).
const MAX_INTERIM: usize = 100;

/// How far a send came.
///
/// ```no_run
/// # use xfer_actors::transport::{Connection, Sent, TransportError};
/// # async fn f(connection: &mut Connection, head: &[u8], pieces: &[&[u8]]) -> Result<(), TransportError> {
/// let mut sent = connection.send(&[head]).await?;
/// for piece in pieces {
///     if sent == Sent::AnsweredEarly {
///         break; // most likely a refusal
///     }
///     sent = connection.send(&[piece]).await?;
/// }
/// let answer = connection.read_head(false).await?;
/// # let _ = answer;
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Sent {
    /// Everything is with the kernel.
    Whole,
    /// The server answered, or closed, before everything was sent: read the answer's head now. The rest of the request must not be
    /// sent, and the connection will not be kept.
    AnsweredEarly,
}

enum Phase {
    /// Nothing of a request sent.
    Ready,
    /// Some or all of the request sent.
    Sending,
    /// An answer came before the request was whole.
    AnsweredEarly,
    /// The head has been read.
    Body(BodyDecoder),
}

/// A connection checked out of a [`super::Pool`], for one exchange: [`Self::send`] (as often as needed), [`Self::read_head`], the
/// body, [`Self::release`].
///
/// ```no_run
/// # use xfer_actors::transport::{Origin, Pool, Sent, TransportError};
/// # async fn f(pool: &Pool, origin: &Origin) -> Result<(), TransportError> {
/// let mut connection = pool.checkout(origin).await?;
/// let mut request = Vec::new();
/// connection.encode_head(&mut request, "PUT", "/bucket/key", [("host", origin.host()), ("content-length", "5")])?;
/// let sent = connection.send(&[&request, b"hello"]).await?;
/// let answer = connection.read_head(false).await?;
/// if sent != Sent::Whole || answer.status() != 200 {
///     println!("{}", String::from_utf8_lossy(&connection.read_body(64 << 10).await?));
/// }
/// connection.release(); // kept, if it can serve again
/// # Ok(()) }
/// ```
pub struct Connection {
    pool: Rc<PoolInner>,
    origin: Origin,
    wire: Wire,
    phase: Phase,
    keep_alive: bool,
    reused: bool,
    _in_use: InUse,
}

impl Connection {
    pub(crate) fn new(pool: Rc<PoolInner>, in_use: InUse, origin: Origin, wire: Wire) -> Self {
        let reused = wire.progress.reused;
        Self { pool, origin, wire, phase: Phase::Ready, keep_alive: true, reused, _in_use: in_use }
    }

    /// Whether it has served an earlier exchange, so that it may turn out stale.
    pub fn is_reused(&self) -> bool {
        self.reused
    }

    /// The address at the other end: the server's or the proxy's.
    pub fn remote_addr(&self) -> Option<SocketAddr> {
        self.wire.remote_addr()
    }

    /// Whom it was checked out for.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Whether requests go to a proxy that wants targets in absolute form. [`Self::encode_head`] sees to it.
    pub fn absolute_form(&self) -> bool {
        matches!(self.pool.shared.proxies.route(&self.origin), Route::Forward(_))
    }

    /// Appends a request head to `out` as this connection needs it: as [`super::encode_head`] does, and where requests go to a proxy,
    /// with the target in absolute form and the proxy's credentials. `target` is in origin form (`/path?query`).
    ///
    /// # Errors
    /// [`TransportError::InvalidHead`], as [`super::encode_head`].
    pub fn encode_head<'a>(
        &self,
        out: &mut Vec<u8>,
        method: &str,
        target: &str,
        headers: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), TransportError> {
        match self.pool.shared.proxies.route(&self.origin) {
            Route::Forward(proxy) => {
                let prefix = self.origin.to_string();
                let authorization = proxy.authorization.as_deref().map(|value| ("proxy-authorization", value));
                let mut all: Vec<(&str, &str)> = headers.into_iter().collect();
                all.extend(authorization);
                head::encode_parts(out, method, &prefix, target, all)
            }
            Route::Direct | Route::Tunnel(_) => head::encode_head(out, method, target, headers),
        }
    }

    /// Sends all pieces, joined, in as few system calls as the socket allows. While the socket takes no more, and before the first
    /// byte of every call but the first, it looks whether the server has answered already; interim answers (1xx) do not count.
    ///
    /// Dropping this future leaves the request torn: the connection can then only be dropped.
    ///
    /// # Errors
    /// [`TransportError::IdleTimeout`], [`TransportError::Reset`], [`TransportError::Tls`], [`TransportError::Misuse`] once a head
    /// has been read.
    pub async fn send(&mut self, pieces: &[&[u8]]) -> Result<Sent, TransportError> {
        match self.phase {
            Phase::Ready => self.phase = Phase::Sending,
            Phase::Sending => {
                if self.wire.interrupted(is_answer)? {
                    self.phase = Phase::AnsweredEarly;
                    return Ok(Sent::AnsweredEarly);
                }
            }
            Phase::AnsweredEarly => return Ok(Sent::AnsweredEarly),
            Phase::Body(_) => return Err(TransportError::Misuse("send after the answer's head was read")),
        }
        let patience = Patience::Idle(self.pool.shared.config.idle_timeout);
        match self.wire.send(pieces, patience, Some(is_answer)).await? {
            Written::All => Ok(Sent::Whole),
            Written::Interrupted => {
                self.phase = Phase::AnsweredEarly;
                Ok(Sent::AnsweredEarly)
            }
        }
    }

    /// Reads the head of the answer, within [`super::TransportConfig::first_byte_timeout`]; interim answers (1xx) are skipped.
    /// `to_head` says that the request's method was HEAD: its answer has no body whatever its headers say.
    ///
    /// # Errors
    /// [`TransportError::FirstByteTimeout`], [`TransportError::Closed`], [`TransportError::Reset`], [`TransportError::Protocol`],
    /// [`TransportError::Tls`].
    pub async fn read_head(&mut self, to_head: bool) -> Result<ResponseHead, TransportError> {
        self.read_head_within(to_head, self.pool.shared.config.first_byte_timeout).await
    }

    /// [`Self::read_head`] with another deadline, for requests that a server thinks about for long.
    ///
    /// # Errors
    /// As [`Self::read_head`].
    pub async fn read_head_within(&mut self, to_head: bool, within: Duration) -> Result<ResponseHead, TransportError> {
        if matches!(self.phase, Phase::Ready | Phase::Body(_)) {
            return Err(TransportError::Misuse("no request sent that this could be the answer to"));
        }
        let early = matches!(self.phase, Phase::AnsweredEarly);
        let patience = Patience::until(within);
        let Some(answer) = receive_head(&mut self.wire, patience).await? else {
            return Err(TransportError::Closed(self.wire.progress));
        };
        let framing = framing::decide(answer.status(), answer.minor(), to_head, answer.headers())
            .map_err(TransportError::protocol)?;
        self.keep_alive = !early && framing::keeps_alive(answer.minor(), framing, answer.headers());
        self.phase = Phase::Body(BodyDecoder::new(framing));
        Ok(answer)
    }

    /// The next piece of the body, where it was received; `None` at its end. A piece is never empty and at most
    /// [`super::TransportConfig::buffer_size`] long.
    ///
    /// # Errors
    /// [`TransportError::IdleTimeout`], [`TransportError::Closed`] when the connection ends before the body,
    /// [`TransportError::Reset`], [`TransportError::Protocol`], [`TransportError::Tls`].
    pub async fn next_chunk(&mut self) -> Result<Option<&[u8]>, TransportError> {
        let range = self.next_range().await?;
        Ok(range.map(|range| self.wire.inbox.slice(range)))
    }

    /// The next piece of the body as an owned buffer, for handing to another thread: the receive buffer goes with it and a fresh one
    /// is drawn, so the bytes are not copied (unless the piece is a small part of what was received).
    ///
    /// # Errors
    /// As [`Self::next_chunk`].
    pub async fn next_owned_chunk(&mut self) -> Result<Option<OwnedChunk>, TransportError> {
        let range = self.next_range().await?;
        Ok(range.map(|range| self.wire.inbox.take_owned(range)))
    }

    /// Waits until more of the body can be [received](Self::receive_into) straight into the caller's memory. `false` where that cannot be:
    /// [`Self::next_chunk`] has bytes that were received already, opens what is sealed, and finds the body's end.
    ///
    /// # Errors
    /// As [`Self::next_chunk`].
    pub(crate) async fn can_receive_into(&mut self) -> Result<bool, TransportError> {
        let patience = Patience::Idle(self.pool.shared.config.idle_timeout);
        let Phase::Body(body) = &self.phase else { return Ok(false) };
        if body.left().is_none() || !self.wire.is_bare() {
            return Ok(false);
        }
        self.wire.readable(patience).await?;
        Ok(true)
    }

    /// Receives what there is of the body, after [`Self::can_receive_into`] has said that it can; how many bytes, 0 when the wait was in
    /// vain.
    ///
    /// # Errors
    /// As [`Self::next_chunk`].
    pub(crate) fn receive_into(&mut self, memory: &mut [u8]) -> Result<usize, TransportError> {
        let Phase::Body(body) = &mut self.phase else { return Ok(0) };
        let most =
            body.left().map_or(0, |left| usize::try_from(left).map_or(memory.len(), |left| left.min(memory.len())));
        let received = self.wire.receive_into(&mut memory[..most])?;
        body.passed(received as u64);
        Ok(received)
    }

    /// The rest of the body, whole.
    ///
    /// # Errors
    /// [`TransportError::BodyTooLarge`] past `limit` bytes; else as [`Self::next_chunk`].
    pub async fn read_body(&mut self, limit: usize) -> Result<Vec<u8>, TransportError> {
        let mut body = Vec::new();
        while let Some(piece) = self.next_chunk().await? {
            if piece.len() > limit - body.len() {
                return Err(TransportError::BodyTooLarge { limit });
            }
            body.extend_from_slice(piece);
        }
        Ok(body)
    }

    /// [`Self::read_body`] with a deadline for all of it: a body that trickles in is never idle for long.
    ///
    /// # Errors
    /// [`TransportError::BodyTimeout`]; else as [`Self::read_body`].
    pub async fn read_body_within(&mut self, limit: usize, within: Duration) -> Result<Vec<u8>, TransportError> {
        timeout(within, self.read_body(limit)).await.unwrap_or(Err(TransportError::BodyTimeout { after: within }))
    }

    /// Gives the connection back if it can serve again, else closes it.
    pub fn release(mut self) {
        if self.is_over() && self.keep_alive && self.wire.is_whole() && self.wire.inbox.is_empty() {
            self.pool.keep(self.origin, self.wire);
        }
    }

    /// Whether nothing of an exchange is left to do. The end of a chunked body may have come without having been asked for. (Bytes of
    /// a body that was not read stay in the inbox, and keep the connection from being kept.)
    fn is_over(&mut self) -> bool {
        match &mut self.phase {
            Phase::Ready => true,
            Phase::Sending | Phase::AnsweredEarly => false,
            Phase::Body(body) => {
                while let Ok(Step::Skip(n)) = body.step(self.wire.inbox.plain()) {
                    self.wire.inbox.consume(n);
                }
                body.is_done()
            }
        }
    }

    async fn next_range(&mut self) -> Result<Option<Range<usize>>, TransportError> {
        let patience = Patience::Idle(self.pool.shared.config.idle_timeout);
        let Phase::Body(body) = &mut self.phase else {
            return Err(TransportError::Misuse("no head has been read"));
        };
        loop {
            match body.step(self.wire.inbox.plain()).map_err(TransportError::protocol)? {
                Step::Data(n) => return Ok(Some(self.wire.inbox.consume(n))),
                Step::Skip(n) => {
                    self.wire.inbox.consume(n);
                }
                Step::End => return Ok(None),
                Step::More => {
                    if self.wire.fill(patience).await? == Received::End && !body.closed(self.wire.ended_cleanly()) {
                        return Err(TransportError::Closed(self.wire.progress));
                    }
                }
            }
        }
    }
}

/// The head of the final answer, past interim ones; `None` when the peer closes before its end.
pub(super) async fn receive_head(wire: &mut Wire, patience: Patience) -> Result<Option<ResponseHead>, TransportError> {
    let (mut scanned, mut interim) = (0, 0);
    loop {
        let found = match wire.inbox.plain() {
            [] => Found::Partial,
            bytes => head::find(bytes, &mut scanned)?,
        };
        match found {
            Found::Partial => {
                if wire.fill(patience).await? == Received::End {
                    return Ok(None);
                }
            }
            // Without an end they would outlast any deadline: that is looked at where there is nothing to read.
            Found::Interim(_) if interim == MAX_INTERIM => {
                return Err(TransportError::protocol("interim responses without an end"));
            }
            Found::Interim(n) => {
                wire.inbox.consume(n);
                (scanned, interim) = (0, interim + 1);
            }
            Found::Final(n, answer) => {
                wire.inbox.consume(n);
                return Ok(Some(answer));
            }
        }
    }
}

/// Whether what has come is, or begins, a final answer. Interim ones are dropped.
fn is_answer(inbox: &mut Inbox) -> bool {
    loop {
        if inbox.plain().is_empty() {
            return false;
        }
        match head::find(inbox.plain(), &mut 0) {
            Ok(Found::Interim(n)) => {
                inbox.consume(n);
            }
            Ok(Found::Partial) => return !head::may_be_interim(inbox.plain()),
            // Malformed is an answer too: reading it tells what is wrong.
            Ok(Found::Final(..)) | Err(_) => return true,
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("origin", &self.origin).field("reused", &self.reused).finish_non_exhaustive()
    }
}
