//! TLS 1.3's records without a layer between: opened where they were received, sealed where they are sent from.
//!
//! rustls shakes hands and hands its keys over. What a server may send later but does not need answered (tickets) is dropped; key updates
//! are refused: they come after more bytes than one connection moves here.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::ops::Range;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};
use rustls::{ClientConfig, ConnectionTrafficSecrets, ProtocolVersion};

/// Bytes before a record's payload.
pub(crate) const HEAD: usize = 5;
/// Most payload of a record.
pub(crate) const PAYLOAD: usize = 16 << 10;
/// Bytes behind a record's payload: the content's type and the tag.
pub(crate) const TAIL: usize = 1 + TAG;
const TAG: usize = 16;
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;

/// Bytes that a handshake is read in.
const FLIGHT: usize = 16 << 10;

struct Direction {
    key: LessSafeKey,
    iv: [u8; 12],
    sequence: u64,
}

impl Direction {
    fn new((sequence, secrets): (u64, ConnectionTrafficSecrets)) -> io::Result<Self> {
        let (algorithm, key, iv) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, key, iv),
            _ => return Err(wrong("a cipher that is not known here")),
        };
        let key = UnboundKey::new(algorithm, key.as_ref()).map_err(io::Error::other)?;
        let iv = iv.as_ref().try_into().map_err(io::Error::other)?;
        Ok(Self { key: LessSafeKey::new(key), iv, sequence })
    }

    fn nonce(&mut self) -> Nonce {
        let mut nonce = self.iv;
        for (byte, count) in nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= count;
        }
        self.sequence += 1;
        Nonce::assume_unique_for_key(nonce)
    }
}

/// Keys and counters of one session.
pub(crate) struct Records {
    incoming: Direction,
    outgoing: Direction,
}

impl Records {
    /// Shakes hands; returns what came behind as well.
    pub(crate) fn shake(
        stream: &mut TcpStream,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> io::Result<(Self, Vec<u8>)> {
        let mut session = UnbufferedClientConnection::new(config, name).map_err(io::Error::other)?;
        let (mut incoming, mut outgoing) = (Vec::new(), Vec::new());
        loop {
            let UnbufferedStatus { discard, state, .. } = session.process_tls_records(&mut incoming);
            let mut reads = false;
            let mut over = false;
            match state.map_err(io::Error::other)? {
                ConnectionState::EncodeTlsData(mut data) => {
                    let needed = match data.encode(&mut []) {
                        Err(EncodeError::InsufficientSize(size)) => size.required_size,
                        other => other.map_err(io::Error::other)?,
                    };
                    let before = outgoing.len();
                    outgoing.resize(before + needed, 0);
                    data.encode(&mut outgoing[before..]).map_err(io::Error::other)?;
                }
                ConnectionState::TransmitTlsData(data) => {
                    stream.write_all(&outgoing)?;
                    outgoing.clear();
                    data.done();
                }
                ConnectionState::BlockedHandshake => reads = true,
                ConnectionState::WriteTraffic(_) => over = true,
                _ => return Err(wrong("the handshake was not to end so")),
            }
            incoming.drain(..discard);
            if reads {
                let before = incoming.len();
                incoming.resize(before + FLIGHT, 0);
                let read = stream.read(&mut incoming[before..])?;
                incoming.truncate(before + read);
                if read == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            if over {
                break;
            }
        }
        if session.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
            return Err(wrong("the server does not speak TLS 1.3"));
        }
        let (secrets, _) = session.dangerous_into_kernel_connection().map_err(io::Error::other)?;
        Ok((Self { incoming: Direction::new(secrets.rx)?, outgoing: Direction::new(secrets.tx)? }, incoming))
    }

    /// Opens the whole records at the beginning of `bytes`: adds the places of their payloads to `pieces`, and returns how many bytes they took.
    pub(crate) fn open(&mut self, bytes: &mut [u8], pieces: &mut impl Extend<Range<usize>>) -> io::Result<usize> {
        let mut at = 0;
        while let Some(head) = bytes.get(at..at + HEAD) {
            let head: [u8; HEAD] = head.try_into().map_err(io::Error::other)?;
            let end = at + HEAD + usize::from(u16::from_be_bytes([head[3], head[4]]));
            let Some(sealed) = bytes.get_mut(at + HEAD..end) else { break };
            let nonce = self.incoming.nonce();
            let opened = self.incoming.key.open_in_place(nonce, Aad::from(head), sealed);
            let opened = opened.map_err(|_| wrong("a record cannot be opened"))?;
            // Zeroes may stand behind the type.
            let last = opened.iter().rposition(|byte| *byte != 0).ok_or_else(|| wrong("a record without a type"))?;
            match opened[last] {
                DATA if last > 0 => pieces.extend(Some(at + HEAD..at + HEAD + last)),
                DATA => {}
                // Of the messages after the handshake 4 is a ticket.
                HANDSHAKE if opened[0] == 4 => {}
                _ => return Err(wrong("a record that is not expected here")),
            }
            at = end;
        }
        Ok(at)
    }

    /// Seals a record whose payload stands behind `HEAD` bytes and before `TAIL` bytes in `record`.
    pub(crate) fn seal(&mut self, record: &mut [u8]) -> io::Result<()> {
        let length = u16::try_from(record.len() - HEAD).map_err(io::Error::other)?.to_be_bytes();
        let head = [DATA, 3, 3, length[0], length[1]];
        record[..HEAD].copy_from_slice(&head);
        let tag_at = record.len() - TAG;
        let (text, tag) = record[HEAD..].split_at_mut(tag_at - HEAD);
        if let Some(kind) = text.last_mut() {
            *kind = DATA;
        }
        let nonce = self.outgoing.nonce();
        let sealed = self.outgoing.key.seal_in_place_separate_tag(nonce, Aad::from(head), text);
        tag.copy_from_slice(sealed.map_err(io::Error::other)?.as_ref());
        Ok(())
    }
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("TLS: {what}"))
}
