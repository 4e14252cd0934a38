//! What can go wrong between here and an answer, in kinds that a retry policy can tell apart.
//!
//! Invariant: neither `Display` nor `Debug` of an error holds a header value, a target, a proxy password or a key.

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use thiserror::Error;

/// How far an exchange had come when its connection died.
///
/// ```
/// use xfer_actors::transport::{Progress, TransportError};
/// // A kept connection that the server had closed meanwhile: the request may be sent again at once.
/// let kept = Progress { reused: true, sent_any: true, received_any: false };
/// assert!(TransportError::Closed(kept).is_stale_connection());
/// // Not so when it was new, or when the answer had begun.
/// assert!(!TransportError::Closed(Progress { reused: false, ..kept }).is_stale_connection());
/// assert!(!TransportError::Closed(Progress { received_any: true, ..kept }).is_stale_connection());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The connection had served an earlier exchange.
    pub reused: bool,
    /// At least one byte of the request had gone to the kernel.
    pub sent_any: bool,
    /// At least one byte of the answer had come.
    pub received_any: bool,
}

/// What part of TLS failed.
///
/// ```
/// use xfer_actors::transport::{TlsFailure, TransportError};
/// fn advice(error: &TransportError) -> &'static str {
///     match error {
///         TransportError::Tls { failure: TlsFailure::Certificate, .. } => "give the server's authority by Verify::CaBundle",
///         TransportError::Tls { failure: TlsFailure::Interrupted, .. } => "try again",
///         TransportError::Tls { .. } => "is that a TLS port?",
///         _ => "",
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsFailure {
    /// The server's certificate is not acceptable: unknown issuer, wrong name, expired. Trying again will not help.
    Certificate,
    /// The handshake failed otherwise: no common version, an alert, not TLS at all.
    Handshake,
    /// The server broke the handshake off with an alert that is about itself, such as `internal_error`: another try, perhaps at another
    /// address, may fare better.
    Interrupted,
    /// A record after the handshake was broken or out of place.
    Record,
}

/// What a proxy did wrong.
///
/// ```
/// use xfer_actors::transport::{ProxyFailure, ProxyPolicy, SharedTransport, TransportConfig, TransportError};
/// let proxy = ProxyPolicy::Explicit { url: "socks5://proxy.example".to_owned(), no_proxy: String::new() };
/// let refused = SharedTransport::new(TransportConfig { proxy, ..TransportConfig::default() });
/// assert!(matches!(refused, Err(TransportError::Proxy { failure: ProxyFailure::Url(_), .. })));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyFailure {
    /// The proxy's URL cannot be used; the reason never quotes it, since it may hold a password.
    Url(&'static str),
    /// The proxy answered CONNECT with this status (407: it wants other credentials).
    Refused(u16),
    /// The proxy did not finish its answer to CONNECT within the time.
    Timeout(Duration),
    /// The proxy closed the connection before its answer to CONNECT was whole.
    Closed,
    /// What it sent is no answer to CONNECT.
    Protocol(Cow<'static, str>),
}

impl std::fmt::Display for ProxyFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Url(reason) => write!(f, "its URL cannot be used: {reason}"),
            Self::Refused(status) => write!(f, "it answered CONNECT with status {status}"),
            Self::Timeout(after) => write!(f, "no answer to CONNECT within {after:?}"),
            Self::Closed => f.write_str("it closed the connection during CONNECT"),
            Self::Protocol(reason) => write!(f, "its answer to CONNECT is malformed: {reason}"),
        }
    }
}

/// Why a connection could not be had, or an exchange not be finished.
///
/// ```
/// use xfer_actors::transport::{Origin, TransportError};
/// let error = "https://bucket.example/key".parse::<Origin>().unwrap_err();
/// assert!(matches!(error, TransportError::InvalidOrigin(_)));
///
/// fn may_fare_better(error: &TransportError) -> bool {
///     use TransportError as E;
///     error.is_stale_connection() || matches!(error, E::ConnectTimeout { .. } | E::IdleTimeout { .. } | E::Reset(_))
/// }
/// # assert!(!may_fare_better(&error));
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportError {
    /// The text is no origin (the text itself is not repeated: it may hold a password).
    #[error("not an origin: {0}")]
    InvalidOrigin(&'static str),
    /// A method, target or header holds something that must not be in a head, such as a line end.
    #[error("the request head cannot be sent: {0}")]
    InvalidHead(&'static str),
    /// The host name could not be turned into an address.
    #[error("cannot resolve {host}: {reason}")]
    Dns {
        /// The name asked for.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// No address of the server accepted a connection.
    #[error("cannot connect to {to}: {reason}")]
    Connect {
        /// `host:port`.
        to: String,
        /// The last address's error.
        kind: io::ErrorKind,
        /// The same in words.
        reason: String,
    },
    /// There is no file descriptor for a connection: the process, or the system, has as many open as it may.
    #[error("cannot connect to {to}: {reason}")]
    TooManyOpenFiles {
        /// `host:port`.
        to: String,
        /// What the system said.
        reason: String,
    },
    /// No address of the server answered in time.
    #[error("no connection to {to} within {after:?}")]
    ConnectTimeout {
        /// `host:port`.
        to: String,
        /// [`super::TransportConfig::connect_timeout`].
        after: Duration,
    },
    /// TLS with the server failed.
    #[error("TLS with {to}: {reason}")]
    Tls {
        /// `host:port`.
        to: String,
        /// Which part.
        failure: TlsFailure,
        /// In words.
        reason: String,
    },
    /// The TLS handshake did not end in time.
    #[error("no TLS session with {to} within {after:?}")]
    TlsTimeout {
        /// `host:port`.
        to: String,
        /// [`super::TransportConfig::tls_handshake_timeout`].
        after: Duration,
    },
    /// The certificates to trust could not be loaded.
    #[error("cannot load the certificates to trust: {0}")]
    TlsConfig(String),
    /// The proxy failed.
    #[error("proxy {proxy}: {failure}")]
    Proxy {
        /// `host:port` of the proxy; empty where its URL could not be read.
        proxy: String,
        /// How.
        failure: ProxyFailure,
    },
    /// The request was sent, but the head of the answer was not whole in time.
    #[error("no response head within {after:?}")]
    FirstByteTimeout {
        /// The time allowed.
        after: Duration,
    },
    /// No byte moved, either way, for too long.
    #[error("no byte moved for {after:?}")]
    IdleTimeout {
        /// [`super::TransportConfig::idle_timeout`].
        after: Duration,
    },
    /// A body that was to be read whole kept coming for too long.
    #[error("the body did not end within {after:?}")]
    BodyTimeout {
        /// The time allowed.
        after: Duration,
    },
    /// The server closed the connection before the exchange was over.
    #[error("the connection was closed before the exchange was over")]
    Closed(Progress),
    /// The connection was reset.
    #[error("the connection was reset")]
    Reset(Progress),
    /// What the server sent is not HTTP/1.1 as it should be.
    #[error("malformed answer: {0}")]
    Protocol(Cow<'static, str>),
    /// A body that was to be read whole is larger than allowed.
    #[error("the body is larger than {limit} bytes")]
    BodyTooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The connection was used out of order, for example `send` after a response began. A defect of the caller.
    #[error("a connection was used out of order: {0}")]
    Misuse(&'static str),
    /// Any other error of a socket.
    #[error("socket: {reason}")]
    Io {
        /// Its kind.
        kind: io::ErrorKind,
        /// In words.
        reason: String,
    },
}

impl TransportError {
    /// Whether a kept connection turned out dead before a byte of the answer came, as happens when a server closes an idle
    /// connection just as it is used again. The request may be sent at once on a fresh connection, at no cost to a retry
    /// budget, if it may be sent twice at all: the server may have acted on it.
    pub fn is_stale_connection(&self) -> bool {
        matches!(self, Self::Closed(p) | Self::Reset(p) if p.reused && !p.received_any)
    }

    pub(crate) fn protocol(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Protocol(reason.into())
    }

    /// A socket's error in the middle of an exchange.
    pub(crate) fn from_io(error: &io::Error, progress: Progress) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
                Self::Reset(progress)
            }
            kind => Self::Io { kind, reason: error.to_string() },
        }
    }
}
