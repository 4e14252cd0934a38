//! When the process, or the system, has as many files and connections open as it may.
//!
//! Others of ours are closed all the time, so what is to be opened waits for a while, in the place of a request that it has: one that gave
//! its place up at once would only let the next one fail as well. Then it fails with a kind that says so, and that has fewer requests made.

use std::io;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use xfer_core::error::{Error, ErrorKind};

/// Between two looks.
pub(crate) const PAUSE: Duration = Duration::from_millis(50);
/// How long a file waits to be opened: as long as a connection does.
const PATIENCE: Duration = Duration::from_secs(3);

/// Whether this is why something was not opened (`EMFILE`, `ENFILE`). The standard library has no kind for it; the numbers are those of all
/// Unix systems.
pub(crate) fn are_used_up(error: &io::Error) -> bool {
    cfg!(unix) && matches!(error.raw_os_error(), Some(23 | 24))
}

/// The kind of what cannot be opened: `otherwise`, unless descriptors are used up.
pub(crate) fn kind_of(error: &io::Error, otherwise: ErrorKind) -> ErrorKind {
    if are_used_up(error) { ErrorKind::TooManyOpenFiles } else { otherwise }
}

/// The error of what cannot be opened, of that kind.
pub(crate) fn open_error(error: io::Error, otherwise: ErrorKind) -> Error {
    Error::new(kind_of(&error, otherwise), error.to_string()).with_source(error)
}

/// Opens a file, again and again for a while where descriptors are used up.
pub(crate) async fn patiently<T>(mut open: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
    let until = Instant::now() + PATIENCE;
    loop {
        match open() {
            Err(error) if error.kind() == ErrorKind::TooManyOpenFiles && Instant::now() < until => sleep(PAUSE).await,
            done => return done,
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_to_be_opened_waits_for_a_descriptor_but_not_for_ever() {
        let none = || io::Error::from_raw_os_error(24);
        let mut looks = 0;
        let opened = patiently(|| {
            looks += 1;
            if looks < 5 { Err(open_error(none(), ErrorKind::SourceUnavailable)) } else { Ok(looks) }
        });
        assert_eq!(opened.await.unwrap(), 5);

        let begun = Instant::now();
        let error = patiently(|| Err::<(), _>(open_error(none(), ErrorKind::SourceUnavailable))).await.unwrap_err();
        assert_eq!((error.kind(), begun.elapsed()), (ErrorKind::TooManyOpenFiles, PATIENCE));

        let missing = io::Error::from(io::ErrorKind::NotFound);
        let mut missing = Some(missing);
        let error = patiently(|| Err::<(), _>(open_error(missing.take().unwrap(), ErrorKind::SourceUnavailable))).await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::SourceUnavailable, "at once");
    }
}
