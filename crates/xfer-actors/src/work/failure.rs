//! What a transport's failure is in the words of xfer's one error.

use xfer_core::error::{Error, ErrorKind};

use crate::transport::{TlsFailure, TransportError};

/// The error of a failed exchange.
pub(crate) fn of_transport(error: TransportError) -> Error {
    use TransportError as T;
    let kind = match &error {
        T::InvalidOrigin(_) | T::TlsConfig(_) => ErrorKind::InvalidConfig,
        T::InvalidHead(_) => ErrorKind::InvalidArgument,
        T::Dns { .. } => ErrorKind::Dns,
        T::TooManyOpenFiles { .. } => ErrorKind::TooManyOpenFiles,
        T::Connect { .. } | T::ConnectTimeout { .. } | T::Proxy { .. } => ErrorKind::Connect,
        T::Tls { failure: TlsFailure::Record | TlsFailure::Interrupted, .. } => ErrorKind::ConnectionLost,
        T::Tls { .. } => ErrorKind::Tls,
        T::TlsTimeout { .. } | T::FirstByteTimeout { .. } | T::IdleTimeout { .. } | T::BodyTimeout { .. } => {
            ErrorKind::RequestTimeout
        }
        T::Closed(_) | T::Reset(_) | T::Io { .. } => ErrorKind::ConnectionLost,
        T::Protocol(_) | T::BodyTooLarge { .. } => ErrorKind::Protocol,
        T::Misuse(_) => ErrorKind::Internal,
    };
    Error::new(kind, error.to_string()).with_source(error)
}
