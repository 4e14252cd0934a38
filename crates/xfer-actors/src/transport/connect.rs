//! A TCP connection to one of a server's addresses: the first to accept, begun one after the other (RFC 8305).

use std::net::SocketAddr;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use super::error::TransportError;
use super::origin::Origin;
use super::shared::SharedTransport;
use crate::descriptors;

/// Connects to `server` (an origin, or a proxy). The losers of the race are dropped, and with them their sockets.
pub(crate) async fn connect(shared: &SharedTransport, server: &Origin) -> Result<TcpStream, TransportError> {
    let addresses = shared.resolver.addresses(server.host(), server.port()).await?;
    let after = shared.config.connect_timeout;
    let stream = timeout(after, race(shared, server, &addresses))
        .await
        .map_err(|_| TransportError::ConnectTimeout { to: server.host_and_port(), after })??;
    // Requests are written whole; waiting for more to fill a segment would only delay their end.
    stream.set_nodelay(true).map_err(|e| refused(server, &e))?;
    Ok(stream)
}

async fn race(
    shared: &SharedTransport,
    server: &Origin,
    addresses: &[SocketAddr],
) -> Result<TcpStream, TransportError> {
    let mut waiting = addresses.iter().copied();
    let mut attempts = FuturesUnordered::new();
    // In the order they were begun.
    let mut under_way: Vec<SocketAddr> = Vec::new();
    let mut failure =
        TransportError::Dns { host: server.host().to_owned(), reason: "the name has no address".to_owned() };
    loop {
        if let Some(address) = waiting.next() {
            attempts.push(async move { (address, TcpStream::connect(address).await) });
            under_way.push(address);
        }
        let next_turn = Instant::now() + shared.config.connect_stagger;
        let (address, result) = tokio::select! {
            biased;
            Some(ended) = attempts.next() => ended,
            () = sleep_until(next_turn), if waiting.len() > 0 => continue,
            else => return Err(failure),
        };
        let place = under_way.iter().position(|a| *a == address).unwrap_or(0);
        match result {
            Ok(stream) => {
                // Those begun earlier had a head start and lost it.
                for slower in &under_way[..place] {
                    shared.resolver.avoid(server.host(), slower.ip());
                }
                return Ok(stream);
            }
            // The next one's turn is now.
            Err(error) if descriptors::are_used_up(&error) => {
                return Err(TransportError::TooManyOpenFiles { to: server.host_and_port(), reason: error.to_string() });
            }
            Err(error) => {
                under_way.remove(place);
                shared.resolver.avoid(server.host(), address.ip());
                failure = refused(server, &error);
            }
        }
    }
}

fn refused(server: &Origin, error: &std::io::Error) -> TransportError {
    TransportError::Connect { to: server.host_and_port(), kind: error.kind(), reason: error.to_string() }
}
