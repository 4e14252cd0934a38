//! The handshake: rustls decides, this moves the bytes. The caller sets the deadline.

use std::io;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};
use tokio::net::TcpStream;

use super::TlsError;
use crate::transport::error::TlsFailure;
use crate::transport::inbox::Inbox;

/// Runs the handshake to its end. Bytes that came after it stay in the inbox, sealed.
pub(super) async fn run(
    stream: &TcpStream,
    inbox: &mut Inbox,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
) -> Result<UnbufferedClientConnection, TlsError> {
    let failed = |e: &rustls::Error| TlsError::during(TlsFailure::Handshake, e);
    let mut tls = UnbufferedClientConnection::new(config, name).map_err(|e| failed(&e))?;
    let mut out = Vec::new();
    loop {
        let mut wanting = false;
        let mut done = false;
        let mut failure = None;
        let UnbufferedStatus { discard, state, .. } = tls.process_tls_records(inbox.raw_mut());
        match state {
            Ok(ConnectionState::EncodeTlsData(data)) => encode(data, &mut out)?,
            Ok(ConnectionState::TransmitTlsData(data)) => {
                write_all(stream, &out).await?;
                out.clear();
                data.done();
            }
            Ok(ConnectionState::BlockedHandshake) => wanting = true,
            Ok(ConnectionState::WriteTraffic(_)) => done = true,
            Ok(other) => failure = Some(TlsError::record(format!("out of place in a handshake: {other:?}"))),
            Err(error) => failure = Some(failed(&error)),
        }
        inbox.drop_raw(discard);
        if let Some(failure) = failure {
            say_why(&mut tls, stream);
            return Err(failure);
        }
        if done {
            return Ok(tls);
        }
        if wanting {
            read_some(stream, inbox).await?;
        }
    }
}

/// Encodes one message, however long.
pub(super) fn encode<T>(mut data: EncodeTlsData<'_, T>, out: &mut Vec<u8>) -> Result<(), TlsError> {
    let at = out.len();
    loop {
        match data.encode(&mut out[at..]) {
            Ok(n) => {
                out.truncate(at + n);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(need)) if out.len() < at + need.required_size => {
                out.resize(at + need.required_size, 0);
            }
            Err(error) => return Err(TlsError::record(error.to_string())),
        }
    }
}

/// Sends the alert that tells the server what was wrong, if the socket takes it at once. The failure stands either way.
fn say_why(tls: &mut UnbufferedClientConnection, stream: &TcpStream) {
    let mut alert = Vec::new();
    if let Ok(ConnectionState::EncodeTlsData(data)) = tls.process_tls_records(&mut []).state
        && encode(data, &mut alert).is_ok()
    {
        let _ = stream.try_write(&alert);
    }
}

async fn write_all(stream: &TcpStream, mut bytes: &[u8]) -> Result<(), TlsError> {
    while !bytes.is_empty() {
        match stream.try_write(bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => stream.writable().await.map_err(TlsError::Io)?,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(TlsError::Io(e)),
        }
    }
    Ok(())
}

async fn read_some(stream: &TcpStream, inbox: &mut Inbox) -> Result<(), TlsError> {
    loop {
        let room = inbox.room();
        if room.is_empty() {
            return Err(TlsError::Protocol(TlsFailure::Handshake, "a handshake larger than the buffer".to_owned()));
        }
        match stream.try_read(room) {
            Ok(0) => return Err(TlsError::Closed),
            Ok(n) => {
                inbox.received_raw(n);
                return Ok(());
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => stream.readable().await.map_err(TlsError::Io)?,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(TlsError::Io(e)),
        }
    }
}
