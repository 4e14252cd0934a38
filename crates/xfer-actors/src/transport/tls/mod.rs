//! TLS by rustls, with records opened in place.
//!
//! rustls's own buffered reader takes one 16 KiB record a system call and copies it twice; measured, that makes a download 2.5
//! times as expensive as opening records where they lie in a large socket buffer. So rustls shakes hands and then hands over its
//! traffic keys (its interface for kernel TLS), and the records are opened and sealed here, with rustls's own ciphers: no
//! cryptography is written here. Sessions of TLS 1.2 stay with rustls altogether and cost a few copies more.
//!
//! Invariants: keys are held by rustls's types only, which wipe them; no key, no ticket, no plaintext shows in an error.

mod config;
mod handshake;
mod records;
mod session;

pub(crate) use config::TlsSource;
pub use config::Verify;
pub(crate) use session::Session;

use std::io;

use super::error::{Progress, TlsFailure, TransportError};

/// A failure that does not know yet with whom.
#[derive(Debug)]
pub(crate) enum TlsError {
    /// Of the protocol.
    Protocol(TlsFailure, String),
    /// Of the socket, during the handshake.
    Io(io::Error),
    /// The server closed during the handshake.
    Closed,
}

impl TlsError {
    fn record(reason: impl Into<String>) -> Self {
        Self::Protocol(TlsFailure::Record, reason.into())
    }

    fn during(failure: TlsFailure, error: &rustls::Error) -> Self {
        let failure = match error {
            rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => TlsFailure::Certificate,
            rustls::Error::AlertReceived(alert) if failure == TlsFailure::Handshake && is_about_itself(*alert) => {
                TlsFailure::Interrupted
            }
            _ => failure,
        };
        Self::Protocol(failure, error.to_string())
    }

    /// Names the far end.
    pub(crate) fn with(self, peer: &str) -> TransportError {
        let progress = Progress { sent_any: true, ..Progress::default() };
        match self {
            Self::Protocol(failure, reason) => TransportError::Tls { to: peer.to_owned(), failure, reason },
            Self::Io(error) => TransportError::from_io(&error, progress),
            Self::Closed => TransportError::Closed(progress),
        }
    }
}

/// Whether an alert speaks of the server's own state, and not of what was offered to it.
fn is_about_itself(alert: rustls::AlertDescription) -> bool {
    use rustls::AlertDescription as A;
    matches!(alert, A::InternalError | A::UserCanceled | A::CloseNotify)
}
