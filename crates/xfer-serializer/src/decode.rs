//! Answers of the store as types: success into the words of `xfer_core::job`, anything else into an [`Error`] of the right kind.
//!
//! Input is status, headers and body, whatever HTTP stack they came from. Never trusts an answer: lengths, ranges and ETags are
//! compared with what was asked. Invariant: of an error's body only code, message, region and request ids are kept; the strings to
//! sign and access keys that stores put there are not.
//!
//! ```
//! use xfer_core::error::ErrorKind;
//! use xfer_serializer::{Operation, decode};
//!
//! let headers = [("x-amz-request-id", "R1")];
//! let body = b"<Error><Code>NoSuchBucket</Code><Message>no such bucket</Message></Error>";
//! let answer = decode::Answer::new(Operation::PutObject, 404, &headers).with_body(body);
//! let error = decode::put_object(&answer).unwrap_err();
//! assert_eq!(error.kind(), ErrorKind::NoSuchBucket);
//! assert_eq!(error.service().and_then(|answer| answer.request_id.as_deref()), Some("R1"));
//! ```

mod failure;
mod object;
mod session;
mod upload;
mod xml;

use std::time::{Duration, SystemTime};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use xfer_core::error::{Error, ErrorKind};

pub use failure::error;
pub use object::{delete_object, get_object, put_object};
pub use session::{SessionCredentials, create_session};
pub use upload::{
    ListedPart, ListedParts, abort_multipart_upload, complete_multipart_upload, create_multipart_upload, list_parts,
    upload_part,
};

use crate::Operation;

/// Headers by name.
///
/// ```
/// use xfer_serializer::decode::Headers;
/// let headers = vec![("ETag", "\"etag\""), ("Content-Length", "5")];
/// assert_eq!(headers.header("etag"), Some("\"etag\""));
/// ```
pub trait Headers {
    /// The first value of a header, by its name in lower case.
    fn header(&self, name: &str) -> Option<&str>;
}

impl<N: AsRef<str>, V: AsRef<str>> Headers for [(N, V)] {
    fn header(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| known.as_ref().eq_ignore_ascii_case(name)).map(|(_, value)| value.as_ref())
    }
}

impl<N: AsRef<str>, V: AsRef<str>, const LENGTH: usize> Headers for [(N, V); LENGTH] {
    fn header(&self, name: &str) -> Option<&str> {
        self.as_slice().header(name)
    }
}

impl<N: AsRef<str>, V: AsRef<str>> Headers for Vec<(N, V)> {
    fn header(&self, name: &str) -> Option<&str> {
        self.as_slice().header(name)
    }
}

impl Headers for http::HeaderMap {
    fn header(&self, name: &str) -> Option<&str> {
        self.get(name)?.to_str().ok()
    }
}

/// How a request carried a checksum of its body.
///
/// ```
/// use xfer_core::error::ErrorKind;
/// use xfer_serializer::Operation;
/// use xfer_serializer::decode::{Answer, ChecksumSent, error};
/// // What a store without trailers says to one.
/// let body = b"<Error><Code>NotImplemented</Code></Error>";
/// let headers: [(&str, &str); 0] = [];
/// let answer = Answer::new(Operation::PutObject, 501, &headers).with_body(body);
/// let with_trailer = Answer { checksum_sent: ChecksumSent::Trailer, ..answer };
/// assert_eq!(error(&with_trailer).kind(), ErrorKind::ChecksumUnsupported);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChecksumSent {
    /// It did not.
    #[default]
    None,
    /// In a header.
    Header,
    /// In a trailer, with an `aws-chunked` body.
    Trailer,
}

/// An answer, and what of its request must be known to understand it.
///
/// ```
/// use xfer_serializer::Operation;
/// use xfer_serializer::decode::Answer;
/// let headers = [("x-amz-request-id", "R1")];
/// let answer = Answer::new(Operation::DeleteObject, 204, &headers);
/// assert!(answer.is_success());
/// ```
#[derive(Clone, Copy)]
pub struct Answer<'a> {
    /// What was asked for.
    pub operation: Operation,
    /// HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: &'a dyn Headers,
    /// The body: all of it where it is XML, nothing of it where it is the object.
    pub body: &'a [u8],
    /// How the request carried a checksum.
    pub checksum_sent: ChecksumSent,
    /// The ETag that was sent as `If-Match` to meet the same object again.
    pub if_match: Option<&'a str>,
}

impl<'a> Answer<'a> {
    /// An answer without a body, to a request without checksum and condition.
    #[must_use]
    pub fn new(operation: Operation, status: u16, headers: &'a dyn Headers) -> Answer<'a> {
        Answer { operation, status, headers, body: &[], checksum_sent: ChecksumSent::None, if_match: None }
    }

    /// The same with a body.
    #[must_use]
    pub fn with_body(self, body: &'a [u8]) -> Answer<'a> {
        Answer { body, ..self }
    }

    /// Whether the status says that it went well. A 200 of CompleteMultipartUpload may still hold an error.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.header(name).map(str::trim).filter(|value| !value.is_empty())
    }

    fn check(&self) -> Result<(), Error> {
        if self.is_success() { Ok(()) } else { Err(error(self)) }
    }

    /// An answer that breaks the protocol. The status goes along; there is no code to tell.
    fn invalid(&self, why: impl Into<String>) -> Error {
        Error::new(ErrorKind::Protocol, why)
            .with_service(failure::service_answer(self, &failure::Details::default()))
            .in_operation(self.operation.name())
    }
}

impl std::fmt::Debug for Answer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer")
            .field("operation", &self.operation)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// The store's clock when it answered, from the `Date` header.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use xfer_serializer::decode::server_time;
/// let time = server_time(&[("date", "Thu, 01 Jan 1970 00:01:00 GMT")]);
/// assert_eq!(time, Some(SystemTime::UNIX_EPOCH + Duration::from_secs(60)));
/// ```
#[must_use]
pub fn server_time(headers: &dyn Headers) -> Option<SystemTime> {
    DateTime::from_str(headers.header("date")?, Format::HttpDate).ok()?.try_into().ok()
}

/// How long ago the object of an answer was last modified, by the store's own clock; in whole seconds. S3 dates an object that was
/// uploaded in parts from the beginning of its upload.
///
/// ```
/// use std::time::Duration;
/// use xfer_serializer::decode::object_age;
/// let headers = [("date", "Thu, 01 Jan 1970 00:01:00 GMT"), ("last-modified", "Thu, 01 Jan 1970 00:00:45 GMT")];
/// assert_eq!(object_age(&headers), Some(Duration::from_secs(15)));
/// ```
#[must_use]
pub fn object_age(headers: &dyn Headers) -> Option<Duration> {
    let modified = DateTime::from_str(headers.header("last-modified")?, Format::HttpDate).ok()?;
    let modified: SystemTime = modified.try_into().ok()?;
    Some(server_time(headers)?.duration_since(modified).unwrap_or_default())
}

/// How long the store asks to wait, from the `Retry-After` header: a number of seconds, or a date, which is taken by the store's own clock
/// where the answer tells it. A date that has passed means no wait; what is neither means nothing.
///
/// ```
/// use std::time::Duration;
/// use xfer_serializer::decode::retry_after;
/// assert_eq!(retry_after(&[("retry-after", "3")]), Some(Duration::from_secs(3)));
/// assert_eq!(retry_after(&[("retry-after", "soon")]), None);
/// ```
#[must_use]
pub fn retry_after(headers: &dyn Headers) -> Option<Duration> {
    let text = headers.header("retry-after")?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // Only a number beyond all reason does not fit.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let until: SystemTime = DateTime::from_str(text, Format::HttpDate).ok()?.try_into().ok()?;
    let now = server_time(headers).unwrap_or_else(SystemTime::now);
    Some(until.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests;
