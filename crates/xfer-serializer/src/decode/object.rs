//! Answers about objects: stored, fetched, deleted.

use std::sync::Arc;

use xfer_core::checksum::{Algorithm, Checksum, ChecksumKind};
use xfer_core::error::{Error, ErrorKind};
use xfer_core::job::{ObjectFacts, StoredObject};
use xfer_core::range::ByteRange;

use super::{Answer, error};

/// PutObject. [`StoredObject::sent`] is left to who sent it.
///
/// # Errors
/// What the store answered instead.
///
/// ```
/// use xfer_serializer::Operation;
/// use xfer_serializer::decode::{Answer, put_object};
/// let stored = put_object(&Answer::new(Operation::PutObject, 200, &[("etag", "\"etag\"")]))?;
/// assert_eq!(stored.etag.as_deref(), Some("\"etag\""));
/// # Ok::<(), xfer_core::error::Error>(())
/// ```
pub fn put_object(answer: &Answer<'_>) -> Result<StoredObject, Error> {
    answer.check()?;
    let checksum_kind = checksum_kind(answer);
    Ok(StoredObject {
        etag: answer.header("etag").map(str::to_owned),
        version_id: answer.header("x-amz-version-id").map(str::to_owned),
        checksum: checksums(answer).into_iter().next(),
        checksum_kind,
        sent: None,
    })
}

/// The head of a GetObject's or HeadObject's answer: how many bytes follow, from which offset, and which checksums cover exactly these.
/// `asked`: the range that was asked for.
///
/// # Errors
/// What the store answered instead; [`ErrorKind::Protocol`] when the answer has no length, or another range than asked for;
/// [`ErrorKind::ObjectModified`] when its ETag is not [`Answer::if_match`] (some stores do not look at the condition).
///
/// ```
/// use xfer_core::range::ByteRange;
/// use xfer_serializer::Operation;
/// use xfer_serializer::decode::{Answer, get_object};
/// let headers = [("content-length", "50"), ("content-range", "bytes 100-149/150"), ("etag", "\"etag\"")];
/// let facts = get_object(&Answer::new(Operation::GetObject, 206, &headers), Some(ByteRange::new(100, 150)))?;
/// assert_eq!((facts.start, facts.size), (100, 50));
/// # Ok::<(), xfer_core::error::Error>(())
/// ```
pub fn get_object(answer: &Answer<'_>, asked: Option<ByteRange>) -> Result<ObjectFacts, Error> {
    if answer.status != 200 && answer.status != 206 {
        return Err(if answer.is_success() {
            answer.invalid(format!("status {} for a download", answer.status))
        } else {
            error(answer)
        });
    }
    let etag = answer.header("etag");
    if let (Some(wanted), Some(etag)) = (answer.if_match, etag)
        && bare(wanted) != bare(etag)
    {
        return Err(Error::new(ErrorKind::ObjectModified, "another ETag came than at the start")
            .with_service(super::failure::service_answer(answer, &super::failure::Details::default()))
            .in_operation(answer.operation.name()));
    }
    let length = content_length(answer)?;
    // Some stores say 200 to a range, and have Content-Range all the same.
    let ranged = answer.status == 206 || (asked.is_some() && answer.header("content-range").is_some());
    let (range, total) = if ranged { content_range(answer)? } else { whole(answer, length)? };
    if length.is_some_and(|length| length != range.len()) {
        return Err(answer.invalid(format!("Content-Length and Content-Range disagree: {length:?} and {range}")));
    }
    if let Some(asked) = asked {
        let wanted = ByteRange::new(asked.start, asked.end.min(total.unwrap_or(asked.end)));
        if range != wanted {
            return Err(answer.invalid(format!("bytes {asked} were asked for, and {range} came")));
        }
    }
    // Some stores put the whole object's checksum on any range, or a part's on a part: neither is of the bytes that follow.
    let covers_all = range.start == 0 && total == Some(range.end) && answer.header("x-amz-mp-parts-count").is_none();
    Ok(ObjectFacts {
        size: range.len(),
        start: range.start,
        etag: etag.map(Arc::from),
        version_id: answer.header("x-amz-version-id").map(str::to_owned),
        checksums: if covers_all { checksums(answer) } else { Vec::new() },
    })
}

/// DeleteObject: the version that was deleted, or that of the delete marker. Deleting what is not there goes well.
///
/// # Errors
/// What the store answered instead.
///
/// ```
/// use xfer_serializer::Operation;
/// use xfer_serializer::decode::{Answer, delete_object};
/// let headers = [("x-amz-version-id", "v2"), ("x-amz-delete-marker", "true")];
/// assert_eq!(delete_object(&Answer::new(Operation::DeleteObject, 204, &headers))?.as_deref(), Some("v2"));
/// # Ok::<(), xfer_core::error::Error>(())
/// ```
pub fn delete_object(answer: &Answer<'_>) -> Result<Option<String>, Error> {
    answer.check()?;
    Ok(answer.header("x-amz-version-id").map(str::to_owned))
}

fn bare(etag: &str) -> &str {
    etag.trim().trim_start_matches("W/").trim_matches('"')
}

fn content_length(answer: &Answer<'_>) -> Result<Option<u64>, Error> {
    match answer.header("content-length") {
        None => Ok(None),
        Some(text) => match number(text) {
            Some(length) => Ok(Some(length)),
            None => Err(answer.invalid("Content-Length is no number")),
        },
    }
}

/// `u64` takes a plus sign; HTTP does not.
fn number(digits: &str) -> Option<u64> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

fn whole(answer: &Answer<'_>, length: Option<u64>) -> Result<(ByteRange, Option<u64>), Error> {
    let length = length.ok_or_else(|| answer.invalid("Content-Length is missing"))?;
    Ok((ByteRange::new(0, length), Some(length)))
}

/// `bytes 0-99/1000`; the total may be `*`.
fn content_range(answer: &Answer<'_>) -> Result<(ByteRange, Option<u64>), Error> {
    let text = answer.header("content-range").ok_or_else(|| answer.invalid("Content-Range is missing"))?;
    let parsed = || {
        let (range, total) = text.strip_prefix("bytes")?.trim_start().split_once('/')?;
        if total.trim() == "0" {
            // There is no way to write the range of no bytes: the first part of an empty object comes as `bytes 0--1/0`.
            return Some((ByteRange::new(0, 0), Some(0)));
        }
        let (first, last) = range.split_once('-')?;
        let (first, last) = (number(first.trim())?, number(last.trim())?);
        let total = match total.trim() {
            "*" => None,
            total => Some(number(total)?),
        };
        let end = last.checked_add(1)?;
        (first <= last && total.is_none_or(|total| end <= total)).then_some((ByteRange::new(first, end), total))
    };
    parsed().ok_or_else(|| answer.invalid("Content-Range cannot be understood"))
}

pub(super) fn checksum_kind(answer: &Answer<'_>) -> Option<ChecksumKind> {
    answer.header("x-amz-checksum-type").and_then(kind_named)
}

pub(super) fn kind_named(name: &str) -> Option<ChecksumKind> {
    [ChecksumKind::FullObject, ChecksumKind::Composite].into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name))
}

/// The full-object checksums in the headers, best first. Composite values are none: by their type, or by their `-N`.
fn checksums(answer: &Answer<'_>) -> Vec<Checksum> {
    if checksum_kind(answer) == Some(ChecksumKind::Composite) {
        return Vec::new();
    }
    Algorithm::BY_PREFERENCE
        .into_iter()
        .filter_map(|algorithm| Checksum::from_base64(algorithm, answer.header(algorithm.header())?))
        .collect()
}
