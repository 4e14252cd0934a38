//! An established session, of whichever version: opens what was received, seals what is sent.

use std::ops::Range;
use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::unbuffered::{ConnectionState, UnbufferedStatus};
use rustls::{ClientConfig, ProtocolVersion};
use tokio::net::TcpStream;

use super::TlsError;
use super::handshake;
use super::records::Records;
use crate::transport::error::TlsFailure;
use crate::transport::inbox::Inbox;

/// The largest payload of a record, and more than any cipher adds to it (TLS 1.2 allows 2048, those of rustls add at most 29).
const PAYLOAD: usize = 16 * 1024;
const SEALED: usize = PAYLOAD + 128;

/// One end of a TLS session after its handshake.
pub(crate) enum Session {
    /// TLS 1.3, in place.
    InPlace(Box<Records>),
    /// TLS 1.2, by rustls.
    Managed(Box<Managed>),
}

impl Session {
    pub(crate) async fn establish(
        stream: &TcpStream,
        inbox: &mut Inbox,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, TlsError> {
        let tls = handshake::run(stream, inbox, config, name).await?;
        let mut session = if tls.protocol_version() == Some(ProtocolVersion::TLSv1_3) {
            Self::InPlace(Box::new(Records::take_over(tls)?))
        } else {
            Self::Managed(Box::new(Managed { tls, scratch: Vec::new(), owed: Vec::new(), closed: false }))
        };
        // What came together with the end of the handshake.
        session.open(inbox)?;
        Ok(session)
    }

    /// Opens every whole record in the inbox.
    pub(crate) fn open(&mut self, inbox: &mut Inbox) -> Result<(), TlsError> {
        match self {
            Self::InPlace(records) => records.open(inbox),
            Self::Managed(managed) => managed.open(inbox),
        }
    }

    /// Seals from `range` of the joined pieces as much as `out` holds. How many bytes were taken, and how many to send.
    pub(crate) fn seal(
        &mut self,
        inbox: &mut Inbox,
        pieces: &[&[u8]],
        range: Range<usize>,
        out: &mut [u8],
    ) -> Result<(usize, usize), TlsError> {
        match self {
            Self::InPlace(records) => records.seal(pieces, range, out),
            Self::Managed(managed) => managed.seal(inbox, pieces, range.start, out),
        }
    }

    /// The peer said that nothing more comes.
    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Self::InPlace(records) => records.is_closed(),
            Self::Managed(managed) => managed.closed,
        }
    }

    /// Another exchange may be run over these keys.
    pub(crate) fn may_go_on(&self) -> bool {
        match self {
            Self::InPlace(records) => records.may_go_on(),
            Self::Managed(managed) => !managed.closed,
        }
    }
}

/// A session whose records rustls handles.
pub(crate) struct Managed {
    tls: UnbufferedClientConnection,
    scratch: Vec<u8>,
    /// Messages of rustls's own, to go out before the next data.
    owed: Vec<u8>,
    closed: bool,
}

/// What one turn of rustls asks for.
enum Turn {
    Again,
    Over,
}

impl Managed {
    fn open(&mut self, inbox: &mut Inbox) -> Result<(), TlsError> {
        while let Turn::Again = self.turn(inbox)? {}
        Ok(())
    }

    fn turn(&mut self, inbox: &mut Inbox) -> Result<Turn, TlsError> {
        self.scratch.clear();
        let UnbufferedStatus { mut discard, state, .. } = self.tls.process_tls_records(inbox.raw_mut());
        let failed = |e: &rustls::Error| TlsError::during(TlsFailure::Record, e);
        let turn = match state.map_err(|e| failed(&e))? {
            ConnectionState::ReadTraffic(mut traffic) => {
                while let Some(record) = traffic.next_record() {
                    let record = record.map_err(|e| failed(&e))?;
                    discard += record.discard;
                    self.scratch.extend_from_slice(record.payload);
                }
                Turn::Again
            }
            ConnectionState::EncodeTlsData(data) => {
                handshake::encode(data, &mut self.owed)?;
                Turn::Again
            }
            ConnectionState::TransmitTlsData(data) => {
                data.done();
                Turn::Again
            }
            ConnectionState::PeerClosed => {
                self.closed = true;
                Turn::Again
            }
            ConnectionState::WriteTraffic(_) | ConnectionState::Closed => Turn::Over,
            other => return Err(TlsError::record(format!("out of place in a session: {other:?}"))),
        };
        inbox.drop_raw(discard);
        if !inbox.append_opened(&self.scratch) {
            return Err(TlsError::record("a record opened to more than it held"));
        }
        Ok(turn)
    }

    fn seal(
        &mut self,
        inbox: &mut Inbox,
        pieces: &[&[u8]],
        from: usize,
        out: &mut [u8],
    ) -> Result<(usize, usize), TlsError> {
        // Everything received has been opened, so this only lets rustls say what it has to say.
        self.open(inbox)?;
        let Some((sent, rest)) = out.split_at_mut_checked(self.owed.len()) else {
            return Err(TlsError::record("too many messages of the session's own"));
        };
        sent.copy_from_slice(&self.owed);
        let owed = sent.len();
        self.owed.clear();
        let piece = rest_of_piece(pieces, from);
        let taken = piece.len().min(rest.len() / SEALED * PAYLOAD);
        let sealed = match self.tls.process_tls_records(inbox.raw_mut()).state {
            Ok(ConnectionState::WriteTraffic(mut traffic)) => traffic.encrypt(&piece[..taken], rest),
            Ok(other) => return Err(TlsError::record(format!("cannot send: {other:?}"))),
            Err(error) => return Err(TlsError::during(TlsFailure::Record, &error)),
        };
        let sealed = sealed.map_err(|e| TlsError::record(e.to_string()))?;
        Ok((taken, owed + sealed))
    }
}

/// The piece that holds this offset of the joined pieces, from there on.
fn rest_of_piece<'a>(pieces: &[&'a [u8]], mut from: usize) -> &'a [u8] {
    for piece in pieces {
        if from < piece.len() {
            return &piece[from..];
        }
        from -= piece.len();
    }
    &[]
}
