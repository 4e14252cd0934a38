//! Decides whether a request goes through a proxy, and which. Pure: the environment is an argument.
//!
//! The rules are curl's: `http_proxy` and `https_proxy` by the origin's scheme, then `all_proxy`; `no_proxy` is a list of host
//! suffixes and networks. Loopback is not special. Proxies are spoken to in plain HTTP.
//!
//! Invariant: credentials of a proxy show in no `Debug` and no error.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;
use percent_encoding::percent_decode_str;

use super::error::{ProxyFailure, TransportError};
use super::origin::{Origin, Scheme, split_port};

/// Where the choice of a proxy comes from.
///
/// ```
/// use xfer_actors::transport::{ProxyPolicy, SharedTransport, TransportConfig};
/// let proxy = ProxyPolicy::Explicit {
///     url: "http://user:password@proxy.example:3128".to_owned(),
///     no_proxy: "localhost, .internal.example".to_owned(),
/// };
/// assert_eq!(format!("{proxy:?}"), "Explicit(..)"); // shows no password
/// let shared = SharedTransport::new(TransportConfig { proxy, ..TransportConfig::default() })?;
/// # let _ = shared;
/// # Ok::<(), xfer_actors::transport::TransportError>(())
/// ```
#[derive(Clone, Default)]
pub enum ProxyPolicy {
    /// Never use one.
    #[default]
    None,
    /// By `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy` of this captured environment (lower case before upper case;
    /// `HTTP_PROXY` is ignored where `REQUEST_METHOD` is set, since a CGI client could set it).
    FromEnv(HashMap<String, String>),
    /// This proxy for both schemes.
    Explicit {
        /// `http://[user:password@]host:port`.
        url: String,
        /// Hosts to go to directly, in the form of `no_proxy`; empty for none.
        no_proxy: String,
    },
}

impl fmt::Debug for ProxyPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::FromEnv(_) => "FromEnv(..)",
            Self::Explicit { .. } => "Explicit(..)",
        })
    }
}

/// A proxy to connect to.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ProxyServer {
    pub(crate) origin: Origin,
    /// The value of Proxy-Authorization.
    pub(crate) authorization: Option<String>,
}

impl fmt::Debug for ProxyServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyServer").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// How a connection for an origin is made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    /// To the origin itself.
    Direct,
    /// To this proxy, which is sent targets in absolute form.
    Forward(&'a ProxyServer),
    /// Through this proxy, by CONNECT.
    Tunnel(&'a ProxyServer),
}

/// A policy, read once.
#[derive(Debug, Default)]
pub(crate) struct ProxyRules {
    http: Option<ProxyServer>,
    https: Option<ProxyServer>,
    no_proxy: NoProxy,
}

impl ProxyRules {
    pub(crate) fn new(policy: &ProxyPolicy) -> Result<Self, TransportError> {
        match policy {
            ProxyPolicy::None => Ok(Self::default()),
            ProxyPolicy::Explicit { url, no_proxy } => {
                let server = parse_url(url)?;
                Ok(Self { http: Some(server.clone()), https: Some(server), no_proxy: NoProxy::new(no_proxy) })
            }
            ProxyPolicy::FromEnv(env) => {
                let cgi = env.contains_key("REQUEST_METHOD");
                let get = |lower: &str| {
                    let upper = lower.to_ascii_uppercase();
                    let upper = (!cgi || lower != "http_proxy").then(|| env.get(&upper)).flatten();
                    env.get(lower).or(upper).filter(|v| !v.is_empty())
                };
                let all = get("all_proxy");
                let server = |name: &str| get(name).or(all).map(|url| parse_url(url)).transpose();
                Ok(Self {
                    http: server("http_proxy")?,
                    https: server("https_proxy")?,
                    no_proxy: get("no_proxy").map(|list| NoProxy::new(list)).unwrap_or_default(),
                })
            }
        }
    }

    pub(crate) fn route(&self, origin: &Origin) -> Route<'_> {
        let server = match origin.scheme() {
            Scheme::Http => self.http.as_ref(),
            Scheme::Https => self.https.as_ref(),
        };
        match server {
            Some(server) if !self.no_proxy.covers(origin) => match origin.scheme() {
                Scheme::Http => Route::Forward(server),
                Scheme::Https => Route::Tunnel(server),
            },
            _ => Route::Direct,
        }
    }
}

/// `no_proxy`: entries separated by commas or blanks. `*` covers everything; `example.com`, `.example.com` and `*.example.com`
/// cover the name itself and everything below it; an address covers itself, and `10.0.0.0/8` all addresses of that network;
/// `:port` narrows an entry to that port. Names are not resolved to see which network they are in.
#[derive(Debug, Default)]
struct NoProxy {
    entries: Vec<Entry>,
}

/// Which hosts an entry of `no_proxy` means.
#[derive(Debug)]
enum Hosts {
    All,
    Network(IpNet),
    /// A name without the dot in front, lower case.
    Below(String),
}

#[derive(Debug)]
struct Entry {
    hosts: Hosts,
    port: Option<u16>,
}

impl NoProxy {
    fn new(list: &str) -> Self {
        let entries = list.split([',', ' ', '\t']).filter(|e| !e.is_empty()).filter_map(Entry::new).collect();
        Self { entries }
    }

    fn covers(&self, origin: &Origin) -> bool {
        self.entries.iter().any(|entry| entry.covers(origin))
    }
}

impl Entry {
    /// `None` for what cannot be read: one bad entry of a list that other programs read too does not spoil the others.
    fn new(entry: &str) -> Option<Self> {
        if entry == "*" {
            return Some(Self { hosts: Hosts::All, port: None });
        }
        // First of all, since a bare IPv6 address has colons but no port.
        if let Some(network) = network(entry) {
            return Some(Self { hosts: Hosts::Network(network), port: None });
        }
        let (host, port) = split_port(entry).ok()?;
        let hosts = match network(host) {
            Some(network) => Hosts::Network(network),
            None => {
                let host = host.strip_prefix('*').unwrap_or(host);
                let host = host.strip_prefix('.').unwrap_or(host).trim_end_matches('.');
                Hosts::Below(host.to_ascii_lowercase())
            }
        };
        let empty = matches!(&hosts, Hosts::Below(name) if name.is_empty());
        (!empty).then_some(Self { hosts, port })
    }

    fn covers(&self, origin: &Origin) -> bool {
        let host = origin.host().trim_end_matches('.');
        let hosts = match &self.hosts {
            Hosts::All => true,
            Hosts::Network(network) => origin.literal().is_some_and(|address| network.contains(&address)),
            Hosts::Below(name) => {
                let below = || host.strip_suffix(name.as_str()).is_some_and(|front| front.ends_with('.'));
                host == name || (origin.literal().is_none() && below())
            }
        };
        hosts && self.port.is_none_or(|port| port == origin.port())
    }
}

/// `10.0.0.0/8`, `fd00::/8`, or one address.
fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

fn parse_url(url: &str) -> Result<ProxyServer, TransportError> {
    let failed = |reason| TransportError::Proxy { proxy: String::new(), failure: ProxyFailure::Url(reason) };
    let (scheme, rest) = url.trim().split_once("://").unwrap_or(("http", url.trim()));
    if !scheme.eq_ignore_ascii_case("http") {
        return Err(failed("only http:// proxies are spoken to"));
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let (user_info, address) = match authority.rsplit_once('@') {
        Some((user_info, address)) => (Some(user_info), address),
        None => (None, authority),
    };
    let (host, port) = split_port(address).map_err(|_| failed("its host and port cannot be read"))?;
    // curl's default.
    let port = port.unwrap_or(1080);
    let origin = Origin::new(Scheme::Http, host, port).map_err(|_| failed("its host and port cannot be read"))?;
    let authorization = user_info.map(|user_info| {
        let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
        let mut plain: Vec<u8> = percent_decode_str(user).collect();
        plain.push(b':');
        plain.extend(percent_decode_str(password));
        format!("Basic {}", STANDARD.encode(plain))
    });
    Ok(ProxyServer { origin, authorization })
}

#[cfg(test)]
mod tests;
