//! The `Range` argument of a download: one range of bytes, as HTTP writes it (RFC 9110, 14.1.2).

use super::ExtraArgs;
use crate::error::{Error, ErrorKind};
use crate::range::ByteRange;

/// Which bytes of an object are asked for.
///
/// ```
/// use xfer_core::args::{ExtraArgs, RequestedRange, requested_range};
/// use xfer_core::range::ByteRange;
/// let args = ExtraArgs::new().range("bytes=100-");
/// let range = requested_range(&args)?.ok_or("there is one")?;
/// assert_eq!(range, RequestedRange::From { first: 100 });
/// assert_eq!(range.of(150), Some(ByteRange::new(100, 150)));
/// assert_eq!(range.of(100), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestedRange {
    /// `bytes=first-last`: both bytes included, `first <= last`.
    Between {
        /// Offset of the first byte.
        first: u64,
        /// Offset of the last byte.
        last: u64,
    },
    /// `bytes=first-`: to the end.
    From {
        /// Offset of the first byte.
        first: u64,
    },
    /// `bytes=-length`: the end of the object, or all of it when it is shorter.
    Last {
        /// Length in bytes, at least 1.
        length: u64,
    },
}

impl RequestedRange {
    /// The bytes that this is in an object of `size` bytes; `None` when it holds none of them, which S3 answers with status 416.
    #[must_use]
    pub fn of(self, size: u64) -> Option<ByteRange> {
        let range = match self {
            RequestedRange::Between { first, last } => ByteRange::new(first, last.saturating_add(1).min(size)),
            RequestedRange::From { first } => ByteRange::new(first, size),
            RequestedRange::Last { length } => ByteRange::new(size.saturating_sub(length), size),
        };
        (!range.is_empty()).then_some(range)
    }

    /// The value of a `Range` header.
    #[must_use]
    pub fn header(self) -> String {
        match self {
            RequestedRange::Between { first, last } => format!("bytes={first}-{last}"),
            RequestedRange::From { first } => format!("bytes={first}-"),
            RequestedRange::Last { length } => format!("bytes=-{length}"),
        }
    }
}

/// The range that a download is asked for, if it is not the whole object.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] when `Range` is not a single range of bytes.
///
/// ```
/// use xfer_core::args::{ExtraArgs, requested_range};
/// assert_eq!(requested_range(&ExtraArgs::new())?, None);
/// assert!(requested_range(&ExtraArgs::new().range("bytes=0-1,5-6")).is_err());
/// # Ok::<(), xfer_core::error::Error>(())
/// ```
pub fn requested_range(args: &ExtraArgs) -> Result<Option<RequestedRange>, Error> {
    parse(args).map_err(|message| Error::new(ErrorKind::InvalidArgument, message))
}

pub(super) fn parse(args: &ExtraArgs) -> Result<Option<RequestedRange>, String> {
    if args.get("Range").is_none() {
        return Ok(None);
    }
    let text = args.text("Range").unwrap_or_default();
    let range = text.strip_prefix("bytes=").and_then(|range| range.split_once('-'));
    let range = range.and_then(|(first, last)| match (first, last) {
        ("", length) => number(length).filter(|length| *length > 0).map(|length| RequestedRange::Last { length }),
        (first, "") => number(first).map(|first| RequestedRange::From { first }),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(RequestedRange::Between { first, last })
        }
    });
    range.map(Some).ok_or_else(|| {
        "Range must be a single range of bytes: bytes=FIRST-LAST, bytes=FIRST- or bytes=-LENGTH".to_owned()
    })
}

/// `u64` takes a plus sign; HTTP does not.
fn number(digits: &str) -> Option<u64> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}
