//! The record layer of TLS 1.3 (RFC 8446, section 5), over rustls's ciphers.
//!
//! Records are opened where they were received; payloads move up to one another so that a reader sees one slice. Sending gathers
//! pieces into full records. Session tickets and key updates are handled as they come: tickets go to rustls's session store, so
//! that the next handshake is a resumption; an update of the peer's keys is followed at once, and one it asks of us goes out
//! before the next data.
//!
//! Invariants: sequence numbers only grow, and start at 0 with each new key; a connection is not reused past half of what its
//! cipher may seal under one key (the other half is far more than one object needs), and never sends past all of it.

use std::ops::Range;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::crypto::cipher::{
    InboundOpaqueMessage, MessageDecrypter, MessageEncrypter, OutboundChunks, OutboundPlainMessage,
};
use rustls::kernel::KernelConnection;
use rustls::{
    AlertDescription, ConnectionTrafficSecrets, ContentType, HandshakeType, ProtocolVersion, SupportedCipherSuite,
    Tls13CipherSuite,
};

use super::TlsError;
use crate::transport::error::TlsFailure;
use crate::transport::inbox::Inbox;

const HEADER: usize = 5;
/// The most payload in a record.
const PAYLOAD: usize = 16 * 1024;
/// Header, payload, content type, tag.
const SEALED: usize = HEADER + PAYLOAD + 1 + 16;
/// The most that may follow a record's header (RFC 8446, 5.2).
const MAX_BODY: usize = PAYLOAD + 256;
/// Longest handshake message taken after the handshake; a ticket is at most 64 KiB and some.
const MAX_MESSAGE: usize = 70 * 1024;

/// Keys and counters of both directions.
pub(crate) struct Records {
    kernel: KernelConnection<ClientConnectionData>,
    suite: &'static Tls13CipherSuite,
    opener: Box<dyn MessageDecrypter>,
    opened: u64,
    sealer: Box<dyn MessageEncrypter>,
    sealed: u64,
    /// A handshake message that is not whole yet.
    message: Vec<u8>,
    /// The peer asked for new keys of ours.
    update_owed: bool,
    closed: bool,
}

impl Records {
    /// Takes a session over from rustls after its handshake.
    pub(super) fn take_over(tls: UnbufferedClientConnection) -> Result<Self, TlsError> {
        let failed = |e: &rustls::Error| TlsError::during(TlsFailure::Handshake, e);
        let (secrets, kernel) = tls.dangerous_into_kernel_connection().map_err(|e| failed(&e))?;
        let SupportedCipherSuite::Tls13(suite) = kernel.negotiated_cipher_suite() else {
            return Err(TlsError::record("the cipher suite is not one of TLS 1.3"));
        };
        Ok(Self {
            opener: opener(suite, secrets.rx.1)?,
            opened: secrets.rx.0,
            sealer: sealer(suite, secrets.tx.1)?,
            sealed: secrets.tx.0,
            kernel,
            suite,
            message: Vec::new(),
            update_owed: false,
            closed: false,
        })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) fn may_go_on(&self) -> bool {
        !self.closed && self.message.is_empty() && self.sealed < self.suite.common.confidentiality_limit / 2
    }

    /// Opens every whole record.
    pub(super) fn open(&mut self, inbox: &mut Inbox) -> Result<(), TlsError> {
        while !self.closed {
            let raw = inbox.raw_mut();
            let &[kind, major, _, high, low, ..] = &*raw else { return Ok(()) };
            let len = usize::from(u16::from_be_bytes([high, low]));
            if kind != u8::from(ContentType::ApplicationData) || major != 3 || len > MAX_BODY {
                return Err(TlsError::record("what came is no record of this session"));
            }
            let base = raw.as_ptr().addr();
            let Some(body) = raw.get_mut(HEADER..HEADER + len) else { return Ok(()) };
            let sealed = InboundOpaqueMessage::new(ContentType::ApplicationData, ProtocolVersion::TLSv1_2, body);
            let plain =
                self.opener.decrypt(sealed, self.opened).map_err(|e| TlsError::during(TlsFailure::Record, &e))?;
            self.opened += 1;
            let used = HEADER + len;
            match plain.typ {
                ContentType::ApplicationData if !self.message.is_empty() => {
                    return Err(TlsError::record("data inside a handshake message"));
                }
                ContentType::ApplicationData => {
                    let at = plain.payload.as_ptr().addr() - base;
                    let payload = at..at + plain.payload.len();
                    inbox.opened(used, payload);
                }
                ContentType::Handshake => {
                    self.message.extend_from_slice(plain.payload);
                    inbox.drop_raw(used);
                    self.handshake_messages()?;
                }
                ContentType::Alert => {
                    let alert = plain.payload.get(1).copied().map(AlertDescription::from);
                    inbox.drop_raw(used);
                    match alert {
                        Some(AlertDescription::CloseNotify) => self.closed = true,
                        Some(AlertDescription::UserCanceled) => {}
                        Some(other) => return Err(TlsError::record(format!("the server sent an alert: {other:?}"))),
                        None => return Err(TlsError::record("an alert that is too short")),
                    }
                }
                _ => return Err(TlsError::record("a record of a kind that has no place here")),
            }
        }
        Ok(())
    }

    /// Deals with each whole handshake message.
    fn handshake_messages(&mut self) -> Result<(), TlsError> {
        let failed = |e: &rustls::Error| TlsError::during(TlsFailure::Record, e);
        while let &[kind, a, b, c, ref rest @ ..] = self.message.as_slice() {
            let len = u32::from_be_bytes([0, a, b, c]) as usize;
            if len > MAX_MESSAGE {
                return Err(TlsError::record("a handshake message that is too long"));
            }
            let Some(body) = rest.get(..len) else { break };
            match HandshakeType::from(kind) {
                HandshakeType::NewSessionTicket => {
                    self.kernel.handle_new_session_ticket(body).map_err(|e| failed(&e))?;
                }
                HandshakeType::KeyUpdate => {
                    // New keys from the next record on; this message must end its record (RFC 8446, 5.1).
                    let wanted = match (body, rest.len() == len) {
                        ([0], true) => false,
                        ([1], true) => true,
                        _ => return Err(TlsError::record("a malformed key update")),
                    };
                    self.update_owed |= wanted;
                    let (opened, secrets) = self.kernel.update_rx_secret().map_err(|e| failed(&e))?;
                    self.opener = opener(self.suite, secrets)?;
                    self.opened = opened;
                }
                other => return Err(TlsError::record(format!("a handshake message out of place: {other:?}"))),
            }
            self.message.drain(..4 + len);
        }
        Ok(())
    }

    /// Seals full records from `range` of the joined pieces until `out` is full or the range is done.
    pub(super) fn seal(
        &mut self,
        pieces: &[&[u8]],
        range: Range<usize>,
        out: &mut [u8],
    ) -> Result<(usize, usize), TlsError> {
        let mut written = 0;
        let mut from = range.start;
        while from < range.end && out.len() - written >= SEALED {
            if self.update_owed {
                self.update_owed = false;
                written += self.seal_key_update(&mut out[written..])?;
                continue;
            }
            let end = range.end.min(from + PAYLOAD);
            let payload = OutboundChunks::Multiple { chunks: pieces, start: from, end };
            written += self.seal_one(ContentType::ApplicationData, payload, &mut out[written..])?;
            from = end;
        }
        Ok((from - range.start, written))
    }

    fn seal_key_update(&mut self, out: &mut [u8]) -> Result<usize, TlsError> {
        // Message type, three bytes of length, "update not requested".
        let message = [u8::from(HandshakeType::KeyUpdate), 0, 0, 1, 0];
        let written = self.seal_one(ContentType::Handshake, OutboundChunks::Single(&message), out)?;
        let (sealed, secrets) = self.kernel.update_tx_secret().map_err(|e| TlsError::during(TlsFailure::Record, &e))?;
        self.sealer = sealer(self.suite, secrets)?;
        self.sealed = sealed;
        Ok(written)
    }

    fn seal_one(&mut self, typ: ContentType, payload: OutboundChunks<'_>, out: &mut [u8]) -> Result<usize, TlsError> {
        if self.sealed >= self.suite.common.confidentiality_limit {
            return Err(TlsError::record("this connection has sent all that its keys may protect"));
        }
        let message = OutboundPlainMessage { typ, version: ProtocolVersion::TLSv1_2, payload };
        let sealed =
            self.sealer.encrypt(message, self.sealed).map_err(|e| TlsError::during(TlsFailure::Record, &e))?.encode();
        self.sealed += 1;
        let Some(place) = out.get_mut(..sealed.len()) else {
            return Err(TlsError::record("a sealed record is longer than one can be"));
        };
        place.copy_from_slice(&sealed);
        Ok(sealed.len())
    }
}

fn opener(suite: &Tls13CipherSuite, secrets: ConnectionTrafficSecrets) -> Result<Box<dyn MessageDecrypter>, TlsError> {
    match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => Ok(suite.aead_alg.decrypter(key, iv)),
        _ => Err(TlsError::record("a cipher that is not known here")),
    }
}

fn sealer(suite: &Tls13CipherSuite, secrets: ConnectionTrafficSecrets) -> Result<Box<dyn MessageEncrypter>, TlsError> {
    match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => Ok(suite.aead_alg.encrypter(key, iv)),
        _ => Err(TlsError::record("a cipher that is not known here")),
    }
}
