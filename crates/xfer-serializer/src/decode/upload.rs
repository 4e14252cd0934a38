//! Answers about multipart uploads.

use std::sync::Arc;

use xfer_core::checksum::{Algorithm, Checksum, ChecksumKind};
use xfer_core::error::{Error, ErrorKind};
use xfer_core::id::PartNumber;
use xfer_core::job::StoredObject;

use super::xml::{self, Element};
use super::{Answer, error, failure, object};

/// CreateMultipartUpload: the upload's id.
///
/// # Errors
/// What the store answered instead; [`ErrorKind::Protocol`] when there is no id in it.
///
/// ```
/// use xfer_serializer::Operation;
/// use xfer_serializer::decode::{Answer, create_multipart_upload};
/// let body = b"<InitiateMultipartUploadResult><UploadId>U1</UploadId></InitiateMultipartUploadResult>";
/// let headers: [(&str, &str); 0] = [];
/// let answer = Answer::new(Operation::CreateMultipartUpload, 200, &headers).with_body(body);
/// assert_eq!(&*create_multipart_upload(&answer)?, "U1");
/// # Ok::<(), xfer_core::error::Error>(())
/// ```
pub fn create_multipart_upload(answer: &Answer<'_>) -> Result<Arc<str>, Error> {
    answer.check()?;
    xml::read_whole(answer.body, "InitiateMultipartUploadResult")
        .and_then(|body| body.text("UploadId").map(Arc::from))
        .ok_or_else(|| answer.invalid("there is no UploadId in it"))
}

/// UploadPart: the part's ETag.
///
/// # Errors
/// What the store answered instead; [`ErrorKind::Protocol`] when there is no ETag: the upload could not be completed.
///
/// ```
/// use xfer_serializer::Operation;
/// use xfer_serializer::decode::{Answer, upload_part};
/// let answer = Answer::new(Operation::UploadPart, 200, &[("etag", "\"part\"")]);
/// assert_eq!(&*upload_part(&answer)?, "\"part\"");
/// # Ok::<(), xfer_core::error::Error>(())
/// ```
pub fn upload_part(answer: &Answer<'_>) -> Result<Arc<str>, Error> {
    answer.check()?;
    answer.header("etag").map(Arc::from).ok_or_else(|| answer.invalid("there is no ETag"))
}

/// CompleteMultipartUpload. [`StoredObject::sent`] is left to who sent it.
///
/// # Errors
/// What the store answered instead, also within a 200; [`ErrorKind::Protocol`] when a 200 has neither result nor error.
///
/// ```
/// use xfer_core::error::ErrorKind;
/// use xfer_serializer::Operation;
/// use xfer_serializer::decode::{Answer, complete_multipart_upload};
/// // S3 says 200 before it knows.
/// let body = b"<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>";
/// let headers: [(&str, &str); 0] = [];
/// let answer = Answer::new(Operation::CompleteMultipartUpload, 200, &headers).with_body(body);
/// assert_eq!(complete_multipart_upload(&answer).unwrap_err().kind(), ErrorKind::ServiceUnavailable);
/// ```
pub fn complete_multipart_upload(answer: &Answer<'_>) -> Result<StoredObject, Error> {
    answer.check()?;
    if failure::details(answer.body).is_some() {
        return Err(error(answer));
    }
    // The second name is that of moto, by which many test against S3 without S3.
    let body = xml::read_whole(answer.body, "CompleteMultipartUploadResult")
        .or_else(|| xml::read_whole(answer.body, "CompleteMultipartUploadResponse"))
        .ok_or_else(|| answer.invalid("it holds neither a result nor an error"))?;
    let checksum_kind =
        body.text("ChecksumType").and_then(object::kind_named).or_else(|| object::checksum_kind(answer));
    Ok(StoredObject {
        etag: body.text("ETag").or_else(|| answer.header("etag")).map(str::to_owned),
        version_id: answer.header("x-amz-version-id").map(str::to_owned),
        checksum: match checksum_kind {
            Some(ChecksumKind::Composite) => None,
            _ => checksum(&body),
        },
        checksum_kind,
        sent: None,
    })
}

/// AbortMultipartUpload: whether the store said that there is no such upload (any more).
///
/// # Errors
/// What the store answered instead.
///
/// ```
/// use xfer_serializer::Operation;
/// use xfer_serializer::decode::{Answer, abort_multipart_upload};
/// let headers: [(&str, &str); 0] = [];
/// let gone = Answer::new(Operation::AbortMultipartUpload, 404, &headers).with_body(b"<Error><Code>NoSuchUpload</Code></Error>");
/// assert!(abort_multipart_upload(&gone)?);
/// # Ok::<(), xfer_core::error::Error>(())
/// ```
pub fn abort_multipart_upload(answer: &Answer<'_>) -> Result<bool, Error> {
    match answer.check() {
        Ok(()) => Ok(false),
        Err(error) if error.kind() == ErrorKind::NoSuchUpload => Ok(true),
        Err(error) => Err(error),
    }
}

/// A part that a multipart upload has.
///
/// ```
/// use xfer_core::id::PartNumber;
/// use xfer_serializer::decode::ListedPart;
/// let part = ListedPart { number: PartNumber::FIRST, etag: "\"part\"".into(), size: 8 << 20, checksum: None };
/// assert_eq!(part.size, 8_388_608, "bytes");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ListedPart {
    /// Its number.
    pub number: PartNumber,
    /// Its ETag as the store gave it.
    pub etag: Arc<str>,
    /// Its length in bytes.
    pub size: u64,
    /// Its checksum, if the store has one.
    pub checksum: Option<Checksum>,
}

/// A page of a multipart upload's parts.
///
/// ```
/// use xfer_serializer::Operation;
/// use xfer_serializer::decode::{Answer, list_parts};
/// let body = b"<ListPartsResult><IsTruncated>false</IsTruncated>\
///     <Part><PartNumber>1</PartNumber><ETag>e</ETag><Size>5</Size></Part></ListPartsResult>";
/// let headers: [(&str, &str); 0] = [];
/// let listed = list_parts(&Answer::new(Operation::ListParts, 200, &headers).with_body(body))?;
/// assert_eq!((listed.parts.len(), listed.next), (1, None));
/// # Ok::<(), xfer_core::error::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ListedParts {
    /// The parts, in ascending order.
    pub parts: Vec<ListedPart>,
    /// Where to go on: the part number for the next request, `None` on the last page.
    pub next: Option<PartNumber>,
}

/// ListParts.
///
/// # Errors
/// What the store answered instead; [`ErrorKind::Protocol`] when the list cannot be read, or does not go forward.
///
/// ```
/// use xfer_serializer::Operation;
/// use xfer_serializer::decode::{Answer, list_parts};
/// let body = b"<ListPartsResult><IsTruncated>false</IsTruncated>\
///     <Part><PartNumber>1</PartNumber><ETag>e</ETag><Size>5</Size></Part></ListPartsResult>";
/// let headers: [(&str, &str); 0] = [];
/// let listed = list_parts(&Answer::new(Operation::ListParts, 200, &headers).with_body(body))?;
/// assert_eq!(listed.parts[0].size, 5);
/// # Ok::<(), xfer_core::error::Error>(())
/// ```
pub fn list_parts(answer: &Answer<'_>) -> Result<ListedParts, Error> {
    answer.check()?;
    let body =
        xml::read_whole(answer.body, "ListPartsResult").ok_or_else(|| answer.invalid("there is no list in it"))?;
    let parts = body
        .all("Part")
        .map(|part| listed(part).ok_or_else(|| answer.invalid("a part lacks its number, ETag or size")))
        .collect::<Result<Vec<_>, _>>()?;
    if !parts.windows(2).all(|pair| pair[0].number < pair[1].number) {
        return Err(answer.invalid("the parts are not in ascending order"));
    }
    let next = match (body.text("IsTruncated").map(str::to_ascii_lowercase).as_deref(), parts.last()) {
        (None | Some("false" | "0"), _) => None,
        (Some("true" | "1"), Some(last)) => Some(last.number),
        (Some("true" | "1"), None) => return Err(answer.invalid("the list goes on, and has no parts")),
        (Some(_), _) => return Err(answer.invalid("it does not say whether the list goes on")),
    };
    Ok(ListedParts { parts, next })
}

fn listed(part: &Element) -> Option<ListedPart> {
    Some(ListedPart {
        number: PartNumber::new(part.text("PartNumber")?.parse().ok()?)?,
        etag: part.text("ETag")?.into(),
        size: part.text("Size")?.parse().ok()?,
        checksum: checksum(part),
    })
}

/// The first in the order of preference that is no composite value.
fn checksum(element: &Element) -> Option<Checksum> {
    Algorithm::BY_PREFERENCE
        .into_iter()
        .find_map(|algorithm| Checksum::from_base64(algorithm, element.text(&format!("Checksum{algorithm}"))?))
}
