//! How long a client waits for its store.

use std::time::Duration;

use xfer_actors::transport::TransportConfig;

use crate::{Error, ErrorKind};

/// The deadlines of a single request. One that passes fails the attempt, which is repeated by the client's
/// [`RetryPolicy`](crate::RetryPolicy); a transfer as a whole has no deadline.
///
/// ```
/// use std::time::Duration;
/// use xfer_facade::{Timeouts, create_s3_client};
/// let timeouts = Timeouts { first_byte: Duration::from_secs(300), ..Timeouts::default() };
/// let client = create_s3_client("us-west-2").anonymous().timeouts(timeouts).build()?;
/// # let _ = client;
/// # Ok::<(), xfer_facade::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To connect, over all addresses of the host. Default 3 s, as the AWS Common Runtime.
    pub connect: Duration,
    /// For the TLS handshake. Default 10 s, as the AWS Common Runtime.
    pub tls_handshake: Duration,
    /// From the last byte of a request to the end of its answer's head. Default 60 s, as the AWS SDKs.
    pub first_byte: Duration,
    /// How long no byte may move while a request is sent or an answer's body read. Default 30 s, as the AWS Common Runtime.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        let TransportConfig { connect_timeout, tls_handshake_timeout, first_byte_timeout, idle_timeout, .. } =
            TransportConfig::default();
        Timeouts {
            connect: connect_timeout,
            tls_handshake: tls_handshake_timeout,
            first_byte: first_byte_timeout,
            idle: idle_timeout,
        }
    }
}

impl Timeouts {
    /// # Errors
    /// [`InvalidConfig`](ErrorKind::InvalidConfig) for one that is zero: no request could meet it.
    pub(crate) fn check(&self) -> Result<(), Error> {
        for (name, value) in [
            ("connect", self.connect),
            ("tls_handshake", self.tls_handshake),
            ("first_byte", self.first_byte),
            ("idle", self.idle),
        ] {
            if value.is_zero() {
                let message = format!("Provided parameter timeouts.{name} of value 0 must be greater than 0.");
                return Err(Error::new(ErrorKind::InvalidConfig, message));
            }
        }
        Ok(())
    }

    /// The transport's settings with these deadlines.
    pub(crate) fn of(self, transport: TransportConfig) -> TransportConfig {
        TransportConfig {
            connect_timeout: self.connect,
            tls_handshake_timeout: self.tls_handshake,
            first_byte_timeout: self.first_byte,
            idle_timeout: self.idle,
            ..transport
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn each_deadline_goes_where_it_belongs_and_none_may_be_zero() {
        let seconds = Duration::from_secs;
        let all = Timeouts { connect: seconds(1), tls_handshake: seconds(2), first_byte: seconds(3), idle: seconds(4) };
        let config = all.of(TransportConfig::default());
        assert_eq!(
            [config.connect_timeout, config.tls_handshake_timeout, config.first_byte_timeout, config.idle_timeout],
            [1, 2, 3, 4].map(seconds)
        );
        all.check().unwrap();
        Timeouts::default().check().unwrap();
        for (name, one) in [
            ("connect", Timeouts { connect: Duration::ZERO, ..all }),
            ("tls_handshake", Timeouts { tls_handshake: Duration::ZERO, ..all }),
            ("first_byte", Timeouts { first_byte: Duration::ZERO, ..all }),
            ("idle", Timeouts { idle: Duration::ZERO, ..all }),
        ] {
            let error = one.check().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            assert!(error.message().contains(name), "{error}");
        }
    }
}
