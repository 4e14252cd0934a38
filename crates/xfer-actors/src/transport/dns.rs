//! Names to addresses: asked once a minute, used in turn.
//!
//! S3 answers a name with several addresses, each a front end of its own; connections are spread over all of them. An address
//! that failed or was slow is tried last for a while. If asking again fails, the old answer serves on: a resolver that stutters
//! must not stop transfers to servers that are well.
//!
//! Invariants: at most one query for a name is under way at a time, and who waited for one that failed does not ask again; no lock is
//! held while waiting for it.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

use super::error::TransportError;
use crate::turn::Turn;

/// How long an address that failed is tried after the others.
const AVOID_FOR: Duration = Duration::from_secs(30);
/// Before a failed refresh is tried again.
const RETRY_REFRESH_AFTER: Duration = Duration::from_secs(5);
/// Most names kept; past it, the cache starts afresh. One bucket in virtual-host style is one name.
const MAX_NAMES: usize = 10_000;

/// What a [`Resolve`] answers with.
pub type ResolveFuture<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;

/// Turns names into addresses. Literal addresses never come here.
///
/// ```
/// use std::sync::Arc;
/// use xfer_actors::transport::{Resolve, ResolveFuture, SystemResolver, TransportConfig};
///
/// /// One name is served by this machine, whatever the system says.
/// #[derive(Debug)]
/// struct Pinned;
///
/// impl Resolve for Pinned {
///     fn resolve<'a>(&'a self, host: &'a str) -> ResolveFuture<'a> {
///         match host {
///             "store.internal" => Box::pin(async { Ok(vec![[127, 0, 0, 1].into()]) }),
///             _ => SystemResolver.resolve(host),
///         }
///     }
/// }
/// let config = TransportConfig { resolver: Arc::new(Pinned), ..TransportConfig::default() };
/// # let _ = config;
/// ```
pub trait Resolve: Send + Sync + std::fmt::Debug {
    /// All addresses of a name, best first.
    fn resolve<'a>(&'a self, host: &'a str) -> ResolveFuture<'a>;
}

/// The system's resolver (`getaddrinfo`, on tokio's blocking threads).
///
/// ```no_run
/// # async fn f() -> std::io::Result<()> {
/// use xfer_actors::transport::{Resolve, SystemResolver};
/// let addresses = SystemResolver.resolve("s3.eu-central-1.amazonaws.com").await?;
/// println!("{addresses:?}");
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str) -> ResolveFuture<'a> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, 0)).await?.map(|a| a.ip()).collect()) })
    }
}

#[derive(Debug)]
struct Answer {
    addresses: Vec<IpAddr>,
    fresh_until: Instant,
}

#[derive(Debug, Default)]
struct Entry {
    answer: Mutex<Option<Answer>>,
    avoid: Mutex<HashMap<IpAddr, Instant>>,
    turn: AtomicUsize,
    asking: Turn<TransportError>,
}

impl Entry {
    /// The addresses known, and whether they are fresh.
    fn known(&self) -> Option<(Vec<IpAddr>, bool)> {
        let answer = self.answer.lock();
        answer.as_ref().map(|a| (a.addresses.clone(), Instant::now() < a.fresh_until))
    }
}

/// The address cache of a system.
#[derive(Debug)]
pub(crate) struct Resolver {
    source: Arc<dyn Resolve>,
    ttl: Duration,
    timeout: Duration,
    entries: Mutex<HashMap<String, Arc<Entry>>>,
}

impl Resolver {
    pub(crate) fn new(source: Arc<dyn Resolve>, ttl: Duration, timeout: Duration) -> Self {
        Self { source, ttl, timeout, entries: Mutex::default() }
    }

    /// The addresses to try for a connection to `host`, in order. Each call begins at another one.
    pub(crate) async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, TransportError> {
        if let Ok(literal) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(literal, port)]);
        }
        let entry = self.entry(host);
        let addresses = match entry.known() {
            Some((addresses, true)) => addresses,
            _ => self.ask(host, &entry).await?,
        };
        let turn = entry.turn.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        let avoid = {
            let mut avoid = entry.avoid.lock();
            avoid.retain(|_, until| *until > now);
            avoid.clone()
        };
        let ordered = in_turn(&addresses, turn, |a| avoid.contains_key(a));
        Ok(ordered.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
    }

    /// An address did not accept a connection, or not as fast as the next one did.
    pub(crate) fn avoid(&self, host: &str, address: IpAddr) {
        let entry = self.entries.lock().get(host).cloned();
        if let Some(entry) = entry {
            entry.avoid.lock().insert(address, Instant::now() + AVOID_FOR);
        }
    }

    fn entry(&self, host: &str) -> Arc<Entry> {
        let mut entries = self.entries.lock();
        if let Some(entry) = entries.get(host) {
            return Arc::clone(entry);
        }
        if entries.len() >= MAX_NAMES {
            entries.clear();
        }
        Arc::clone(entries.entry(host.to_owned()).or_default())
    }

    async fn ask(&self, host: &str, entry: &Entry) -> Result<Vec<IpAddr>, TransportError> {
        let fresh = || entry.known().and_then(|(addresses, fresh)| fresh.then_some(addresses));
        entry.asking.take(fresh, self.ask_now(host, entry)).await
    }

    async fn ask_now(&self, host: &str, entry: &Entry) -> Result<Vec<IpAddr>, TransportError> {
        let stale = entry.known().map(|(addresses, _)| addresses);
        let reason = match timeout(self.timeout, self.source.resolve(host)).await {
            Ok(Ok(addresses)) if !addresses.is_empty() => {
                let fresh_until = Instant::now() + self.ttl;
                *entry.answer.lock() = Some(Answer { addresses: addresses.clone(), fresh_until });
                return Ok(addresses);
            }
            Ok(Ok(_)) => "the name has no address".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {:?}", self.timeout),
        };
        let Some(addresses) = stale else {
            return Err(TransportError::Dns { host: host.to_owned(), reason });
        };
        tracing::warn!(host, reason, "cannot resolve again, using the addresses known");
        if let Some(answer) = entry.answer.lock().as_mut() {
            answer.fresh_until = Instant::now() + RETRY_REFRESH_AFTER;
        }
        Ok(addresses)
    }
}

/// Rotates within each family, lets the families alternate beginning with the one the resolver prefers (RFC 8305, section 4), and
/// puts addresses to avoid last.
fn in_turn(addresses: &[IpAddr], turn: usize, avoid: impl Fn(&IpAddr) -> bool) -> Vec<IpAddr> {
    let Some(first) = addresses.first() else { return Vec::new() };
    let rotated = |v6: bool| {
        let mut family: Vec<IpAddr> = addresses.iter().copied().filter(|a| a.is_ipv6() == v6).collect();
        let by = turn.checked_rem(family.len()).unwrap_or(0);
        family.rotate_left(by);
        family.into_iter()
    };
    let (mut preferred, mut other) = (rotated(first.is_ipv6()), rotated(!first.is_ipv6()));
    let mut ordered = Vec::with_capacity(addresses.len());
    while ordered.len() < addresses.len() {
        ordered.extend(preferred.next());
        ordered.extend(other.next());
    }
    // Stable: both halves keep their order.
    ordered.sort_by_key(avoid);
    ordered
}

#[cfg(test)]
mod tests;
