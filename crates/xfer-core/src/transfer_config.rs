//! What a manager's user may set for all its transfers.
//!
//! Decides: which settings make sense. Never decides what happens with them: a setting that is `None` leaves the client's own in force.

use std::time::Duration;

use crate::error::{Error, ErrorKind};

/// Settings for all transfers of one manager. Unset ones leave the client's in force.
///
/// ```
/// use xfer_core::transfer_config::TransferConfig;
/// let config = TransferConfig::new().multipart_chunksize(16 << 20).max_request_concurrency(4);
/// config.validate()?;
/// assert_eq!(config.multipart_chunksize, Some(16 << 20));
///
/// let error = TransferConfig::new().multipart_chunksize(0).validate().unwrap_err();
/// assert_eq!(error.message(), "Provided parameter multipart_chunksize of value 0 must be greater than 0.");
/// # Ok::<(), xfer_core::error::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransferConfig {
    /// Size of a part in bytes; unset: the client's part size.
    pub multipart_chunksize: Option<u64>,
    /// Largest object in bytes that is uploaded with one request; unset: the client's threshold.
    pub multipart_threshold: Option<u64>,
    /// Most requests of one transfer at a time; unset: as many as the client has connections for.
    pub max_request_concurrency: Option<usize>,
    /// Shortest time between two reports of progress; unset: 100 ms. `s3transfer` has no such setting.
    pub progress_interval: Option<Duration>,
}

impl TransferConfig {
    /// Everything unset.
    #[must_use]
    pub fn new() -> TransferConfig {
        TransferConfig::default()
    }

    /// Sets the size of a part in bytes.
    #[must_use]
    pub fn multipart_chunksize(mut self, bytes: u64) -> TransferConfig {
        self.multipart_chunksize = Some(bytes);
        self
    }

    /// Sets the largest object in bytes that is uploaded with one request.
    #[must_use]
    pub fn multipart_threshold(mut self, bytes: u64) -> TransferConfig {
        self.multipart_threshold = Some(bytes);
        self
    }

    /// Sets the most requests of one transfer at a time.
    #[must_use]
    pub fn max_request_concurrency(mut self, requests: usize) -> TransferConfig {
        self.max_request_concurrency = Some(requests);
        self
    }

    /// Sets the shortest time between two reports of progress.
    #[must_use]
    pub fn progress_interval(mut self, interval: Duration) -> TransferConfig {
        self.progress_interval = Some(interval);
        self
    }

    /// Judges the settings: each that is set must be above 0.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] naming the first that is not, in the words of `s3transfer`'s `TransferConfig`.
    pub fn validate(&self) -> Result<(), Error> {
        let zero = [
            ("multipart_threshold", self.multipart_threshold == Some(0)),
            ("multipart_chunksize", self.multipart_chunksize == Some(0)),
            ("max_request_concurrency", self.max_request_concurrency == Some(0)),
            ("progress_interval", self.progress_interval == Some(Duration::ZERO)),
        ];
        match zero.into_iter().find(|(_, zero)| *zero) {
            Some((name, _)) => Err(Error::new(
                ErrorKind::InvalidConfig,
                format!("Provided parameter {name} of value 0 must be greater than 0."),
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
