//! The connections of one lane: kept between exchanges, checked before use, opened when none is left.
//!
//! The last one put back is the first one taken, so that as few as possible stay warm and the others age out.
//!
//! Invariants: a kept connection has nothing unread and nothing half sent; none is handed out that has been idle for longer than
//! [`super::TransportConfig::pool_idle`]; kept ones give way before more are open than the lane has a right to.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use foldhash::HashMap;
use rustls::pki_types::ServerName;
use tokio::time::{Instant, sleep, timeout};

use super::buffer::BufferPool;
use super::connect::connect;
use super::connection::Connection;
use super::error::{Progress, TlsFailure, TransportError};
use super::inbox::Inbox;
use super::origin::{Origin, Scheme};
use super::proxy::Route;
use super::shared::{OpenCount, SharedTransport};
use super::tunnel;
use super::wire::{Patience, Wire};
use crate::descriptors;

/// A lane's connections. Cheap to clone; all clones are one pool. Stays on its thread.
///
/// ```no_run
/// # use xfer_actors::transport::{Origin, Pool, SharedTransport, TransportConfig, TransportError};
/// # async fn f(origin: Origin) -> Result<(), TransportError> {
/// let shared = SharedTransport::new(TransportConfig::default())?;
/// let pool = Pool::new(shared).limited(8);
/// let connection = pool.checkout(&origin).await?;
/// println!("{:?}, {}", connection.remote_addr(), if connection.is_reused() { "kept" } else { "new" });
/// drop(connection); // closed, and not kept: only `release` gives it back
/// assert_eq!((pool.idle_connections(), pool.shared().open_connections()), (0, 0));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Pool {
    inner: Rc<PoolInner>,
}

pub(crate) struct PoolInner {
    pub(crate) shared: Arc<SharedTransport>,
    pub(crate) buffers: Arc<BufferPool>,
    idle: RefCell<HashMap<Origin, Vec<Idle>>>,
    /// Connections that are checked out, or being opened.
    in_use: Cell<usize>,
    /// Connections that there may be.
    limit: Cell<usize>,
}

/// Counts one connection as in use.
pub(crate) struct InUse(Rc<PoolInner>);

impl InUse {
    fn of(pool: &Rc<PoolInner>) -> InUse {
        pool.in_use.set(pool.in_use.get() + 1);
        InUse(Rc::clone(pool))
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.in_use.set(self.0.in_use.get() - 1);
    }
}

struct Idle {
    wire: Wire,
    since: Instant,
}

impl Pool {
    /// An empty pool for this lane.
    pub fn new(shared: Arc<SharedTransport>) -> Self {
        let buffers = BufferPool::new(shared.config.buffer_size, shared.config.spare_buffers);
        let inner =
            PoolInner { shared, buffers, idle: RefCell::default(), in_use: Cell::new(0), limit: Cell::new(usize::MAX) };
        Self { inner: Rc::new(inner) }
    }

    /// The same pool with a bound on its connections: before more are open, kept ones to whatever origin are closed. Those in use are
    /// never touched, so that the bound holds if no more than that are checked out at once.
    #[must_use]
    pub fn limited(self, connections: usize) -> Self {
        self.inner.limit.set(connections);
        self
    }

    /// What this lane shares with the others.
    pub fn shared(&self) -> &Arc<SharedTransport> {
        &self.inner.shared
    }

    /// A connection to this origin, ready for one exchange: a kept one if there is one, else a new one.
    ///
    /// # Errors
    /// [`TransportError::Dns`], [`TransportError::Connect`], [`TransportError::ConnectTimeout`], [`TransportError::Proxy`],
    /// [`TransportError::Tls`], [`TransportError::TlsTimeout`], [`TransportError::TlsConfig`].
    pub async fn checkout(&self, origin: &Origin) -> Result<Connection, TransportError> {
        if let Some(wire) = self.take_idle(origin) {
            return Ok(Connection::new(Rc::clone(&self.inner), InUse::of(&self.inner), origin.clone(), wire));
        }
        self.connect(origin).await
    }

    /// A new connection, whatever is kept: for sending again what a stale connection swallowed.
    ///
    /// # Errors
    /// As [`Self::checkout`].
    pub async fn connect(&self, origin: &Origin) -> Result<Connection, TransportError> {
        let in_use = InUse::of(&self.inner);
        self.make_room();
        // Boxed: most requests go out on a kept connection, and need no room for what opens one.
        let wire = Box::pin(self.open(origin)).await?;
        Ok(Connection::new(Rc::clone(&self.inner), in_use, origin.clone(), wire))
    }

    /// Closes kept connections, the longest kept first, until the one that is about to be opened is within the limit.
    fn make_room(&self) {
        let mut surplus = (self.idle_connections() + self.inner.in_use.get()).saturating_sub(self.inner.limit.get());
        let mut idle = self.inner.idle.borrow_mut();
        while surplus > 0 {
            // Each list is in the order in which its connections were put back.
            let Some(oldest) = idle.values_mut().min_by_key(|kept| kept.first().map_or_else(Instant::now, |i| i.since))
            else {
                return;
            };
            if oldest.is_empty() {
                return;
            }
            oldest.remove(0);
            surplus -= 1;
        }
    }

    /// Closes every kept connection and frees the spare buffers.
    pub fn close_idle(&self) {
        let closed = std::mem::take(&mut *self.inner.idle.borrow_mut());
        drop(closed);
        self.inner.buffers.trim();
    }

    /// Closes the kept connections that are too old to be handed out. For the lane to call now and then; without it they are closed
    /// when their origin is asked for next. When none is left, the spare buffers are freed too.
    pub fn sweep(&self) {
        let now = Instant::now();
        let max = self.inner.shared.config.pool_idle;
        let mut idle = self.inner.idle.borrow_mut();
        idle.retain(|_, kept| {
            kept.retain(|i| now.duration_since(i.since) < max);
            !kept.is_empty()
        });
        if idle.is_empty() {
            self.inner.buffers.trim();
        }
    }

    /// How many connections are kept.
    pub fn idle_connections(&self) -> usize {
        self.inner.idle.borrow().values().map(Vec::len).sum()
    }

    fn take_idle(&self, origin: &Origin) -> Option<Wire> {
        let max = self.inner.shared.config.pool_idle;
        loop {
            let mut kept = {
                let mut idle = self.inner.idle.borrow_mut();
                let list = idle.get_mut(origin)?;
                match list.pop() {
                    Some(kept) => kept,
                    None => {
                        idle.remove(origin);
                        return None;
                    }
                }
            };
            if kept.since.elapsed() >= max {
                // The others were put back even earlier.
                self.inner.idle.borrow_mut().remove(origin);
                return None;
            }
            // Nothing may have come meanwhile but TLS's own messages. Costs a system call only if something did.
            if let Ok(None) = kept.wire.receive()
                && kept.wire.is_whole()
                && kept.wire.inbox.is_empty()
            {
                kept.wire.inbox.rest();
                kept.wire.progress = Progress { reused: true, ..Progress::default() };
                return Some(kept.wire);
            }
        }
    }

    async fn open(&self, origin: &Origin) -> Result<Wire, TransportError> {
        let shared = &self.inner.shared;
        let route = shared.proxies.route(origin);
        let server = match &route {
            Route::Direct => origin,
            Route::Forward(proxy) | Route::Tunnel(proxy) => &proxy.origin,
        };
        // Before a socket is opened for nothing.
        let tls = (origin.scheme() == Scheme::Https).then(|| shared.tls.get()).transpose()?;
        let begun = Instant::now();
        let stream = loop {
            match connect(shared, server).await {
                Err(TransportError::TooManyOpenFiles { .. }) if begun.elapsed() < shared.config.connect_timeout => {
                    // What is kept for others has descriptors as well.
                    self.close_idle();
                    sleep(descriptors::PAUSE).await;
                }
                done => break done?,
            }
        };
        let inbox = Inbox::new(Arc::clone(&self.inner.buffers));
        let mut wire = Wire::new(stream, inbox, server.host_and_port(), OpenCount::new(shared));
        if let Route::Tunnel(proxy) = route {
            tunnel::open(&mut wire, proxy, origin, Patience::until(shared.config.proxy_timeout)).await?;
        }
        if let Some(config) = tls {
            let to = origin.host_and_port();
            let name = ServerName::try_from(origin.host().to_owned()).map_err(|e| TransportError::Tls {
                to: to.clone(),
                failure: TlsFailure::Handshake,
                reason: e.to_string(),
            })?;
            let after = shared.config.tls_handshake_timeout;
            timeout(after, wire.secure(config, name, to.clone()))
                .await
                .map_err(|_| TransportError::TlsTimeout { to, after })??;
        }
        if !wire.inbox.plain().is_empty() {
            return Err(TransportError::protocol("the server speaks before it is asked"));
        }
        wire.inbox.rest();
        wire.progress = Progress::default();
        Ok(wire)
    }
}

impl PoolInner {
    /// Keeps a connection whose exchange is over.
    pub(crate) fn keep(&self, origin: Origin, mut wire: Wire) {
        wire.rest();
        let kept = Idle { wire, since: Instant::now() };
        self.idle.borrow_mut().entry(origin).or_default().push(kept);
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("idle_connections", &self.idle_connections()).finish_non_exhaustive()
    }
}
