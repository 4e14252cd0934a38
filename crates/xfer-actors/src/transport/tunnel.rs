//! CONNECT: asks a proxy for a way to an origin (RFC 9110, section 9.3.6).

use super::connection::receive_head;
use super::error::{ProxyFailure, TransportError};
use super::head;
use super::origin::Origin;
use super::proxy::ProxyServer;
use super::wire::{Patience, Wire};

/// Opens the tunnel. Afterwards the wire leads to the origin itself.
pub(crate) async fn open(
    wire: &mut Wire,
    proxy: &ProxyServer,
    origin: &Origin,
    patience: Patience,
) -> Result<(), TransportError> {
    exchange(wire, proxy, origin, patience).await.map_err(|failure| TransportError::Proxy {
        proxy: proxy.origin.host_and_port(),
        failure: match failure {
            Failure::Known(failure) => failure,
            Failure::Transport(TransportError::FirstByteTimeout { after }) => ProxyFailure::Timeout(after),
            Failure::Transport(TransportError::Reset(_)) => ProxyFailure::Closed,
            Failure::Transport(TransportError::Protocol(reason)) => ProxyFailure::Protocol(reason),
            Failure::Transport(other) => ProxyFailure::Protocol(other.to_string().into()),
        },
    })
}

enum Failure {
    Known(ProxyFailure),
    Transport(TransportError),
}

impl From<TransportError> for Failure {
    fn from(error: TransportError) -> Self {
        Self::Transport(error)
    }
}

async fn exchange(wire: &mut Wire, proxy: &ProxyServer, origin: &Origin, patience: Patience) -> Result<(), Failure> {
    let target = origin.host_and_port();
    let authorization = proxy.authorization.as_deref().map(|value| ("proxy-authorization", value));
    let headers = [("host", target.as_str())].into_iter().chain(authorization);
    let mut request = Vec::new();
    head::encode_head(&mut request, "CONNECT", &target, headers)?;
    wire.send(&[&request], patience, None).await?;
    let Some(answer) = receive_head(wire, patience).await? else {
        return Err(Failure::Known(ProxyFailure::Closed));
    };
    match answer.status() {
        // Any length it claims is to be ignored; anything it sends before we speak is not from the origin.
        200..=299 if wire.inbox.is_empty() => Ok(()),
        200..=299 => Err(Failure::Known(ProxyFailure::Protocol("bytes after the head".into()))),
        status => Err(Failure::Known(ProxyFailure::Refused(status))),
    }
}
