//! Where a request goes: scheme, host and port, and nothing else of a URL.
//!
//! Invariants: the host is lower case, has no brackets (an IPv6 literal is kept bare) and no characters that could end a line.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use super::error::TransportError;

/// Plain text or TLS.
///
/// ```
/// use xfer_actors::transport::Scheme;
/// assert_eq!((Scheme::Http.default_port(), Scheme::Https.default_port()), (80, 443));
/// assert_eq!(Scheme::Https.as_str(), "https");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain HTTP; port 80 unless said.
    Http,
    /// HTTP over TLS; port 443 unless said.
    Https,
}

impl Scheme {
    /// The port a URL of this scheme means when it names none.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    /// `http` or `https`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// A server to connect to; connections are pooled by it.
///
/// ```
/// use xfer_actors::transport::{Origin, Scheme};
/// let origin: Origin = "https://bucket.s3.amazonaws.com".parse()?;
/// assert_eq!((origin.scheme(), origin.host(), origin.port()), (Scheme::Https, "bucket.s3.amazonaws.com", 443));
/// # Ok::<(), xfer_actors::transport::TransportError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    scheme: Scheme,
    host: Arc<str>,
    port: u16,
}

impl Origin {
    /// An origin from its parts; an IPv6 literal may come with or without brackets.
    ///
    /// # Errors
    /// [`TransportError::InvalidOrigin`] for an empty host, one with characters no host has, or port 0.
    pub fn new(scheme: Scheme, host: &str, port: u16) -> Result<Self, TransportError> {
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        if bare.is_empty() {
            return Err(TransportError::InvalidOrigin("the host is empty"));
        }
        if port == 0 {
            return Err(TransportError::InvalidOrigin("port 0 cannot be connected to"));
        }
        let literal = bare.parse::<IpAddr>().is_ok();
        // Underscores are no part of host names, but bucket names and container networks have them.
        let named = bare.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
        if !literal && !named {
            return Err(TransportError::InvalidOrigin("the host has characters that host names do not have"));
        }
        Ok(Self { scheme, host: bare.to_ascii_lowercase().into(), port })
    }

    /// Plain or TLS.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host, lower case; an IPv6 literal without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, given or the scheme's own.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The host as an address, when it is written as one.
    pub fn literal(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// `host` or `host:port`, as a Host header has it: the port only where it is not the scheme's own.
    pub fn authority(&self) -> String {
        if self.port == self.scheme.default_port() { bracketed(&self.host) } else { self.host_and_port() }
    }

    /// `host:port`, always with the port.
    pub(crate) fn host_and_port(&self) -> String {
        format!("{}:{}", bracketed(&self.host), self.port)
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.authority())
    }
}

impl FromStr for Origin {
    type Err = TransportError;

    /// Reads `scheme://host[:port]`, with or without a closing slash. Paths, queries and user info are refused: they have no
    /// place in an origin, and silently dropping a password would hide a mistake.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (scheme, rest) = text.split_once("://").ok_or(TransportError::InvalidOrigin("no scheme"))?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(TransportError::InvalidOrigin("the scheme is neither http nor https")),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#', '@']) {
            return Err(TransportError::InvalidOrigin("an origin is a scheme, a host and a port only"));
        }
        let (host, port) = split_port(authority)?;
        Self::new(scheme, host, port.unwrap_or(scheme.default_port()))
    }
}

/// Splits `host`, `host:port`, `[v6]` and `[v6]:port`.
pub(crate) fn split_port(authority: &str) -> Result<(&str, Option<u16>), TransportError> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, tail) = rest.split_once(']').ok_or(TransportError::InvalidOrigin("an open bracket"))?;
            match tail.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if tail.is_empty() => (host, None),
                None => return Err(TransportError::InvalidOrigin("text after the bracket")),
            }
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let port = match port {
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            Some(digits.parse().map_err(|_| TransportError::InvalidOrigin("the port is not a number up to 65535"))?)
        }
        Some(_) => return Err(TransportError::InvalidOrigin("the port is not a number")),
        None => None,
    };
    Ok((host, port))
}

#[cfg(test)]
mod tests;
