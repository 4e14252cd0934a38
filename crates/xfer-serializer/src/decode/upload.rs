//! Answers about multipart uploads.

use std::sync::Arc;

use serde::Deserialize;
use xfer_core::checksum::{Algorithm, Checksum, ChecksumKind};
use xfer_core::error::{Error, ErrorKind};
use xfer_core::id::PartNumber;
use xfer_core::job::StoredObject;

use super::{Answer, error, failure, object, xml};

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
    #[derive(Deserialize)]
    struct Body {
        #[serde(rename = "UploadId")]
        upload_id: Option<String>,
    }
    answer.check()?;
    xml::parse::<Body>(answer.body, "InitiateMultipartUploadResult")
        .and_then(|body| body.upload_id)
        .map(|id| id.trim().to_owned())
        .filter(|id| !id.is_empty())
        .map(Arc::from)
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
    let body: Completed = xml::parse(answer.body, "CompleteMultipartUploadResult")
        .or_else(|| xml::parse(answer.body, "CompleteMultipartUploadResponse"))
        .ok_or_else(|| answer.invalid("it holds neither a result nor an error"))?;
    let checksum_kind =
        body.checksum_type.as_deref().and_then(object::kind_named).or_else(|| object::checksum_kind(answer));
    let etag = body.etag.as_deref().filter(|etag| !etag.is_empty()).or_else(|| answer.header("etag"));
    Ok(StoredObject {
        etag: etag.map(str::to_owned),
        version_id: answer.header("x-amz-version-id").map(str::to_owned),
        checksum: match checksum_kind {
            Some(ChecksumKind::Composite) => None,
            _ => body.checksum(),
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
    let body: List =
        xml::parse(answer.body, "ListPartsResult").ok_or_else(|| answer.invalid("there is no list in it"))?;
    let mut parts = Vec::with_capacity(body.parts.len());
    for part in body.parts {
        let number =
            PartNumber::new(part.number).ok_or_else(|| answer.invalid("a part has a number that S3 has not"))?;
        let checksum = part.checksum();
        parts.push(ListedPart { number, etag: part.etag.into(), size: part.size, checksum });
    }
    if !parts.windows(2).all(|pair| pair[0].number < pair[1].number) {
        return Err(answer.invalid("the parts are not in ascending order"));
    }
    let next = match (body.is_truncated, parts.last()) {
        (false, _) => None,
        (true, Some(last)) => Some(last.number),
        (true, None) => return Err(answer.invalid("the list goes on, and has no parts")),
    };
    Ok(ListedParts { parts, next })
}

/// Structs with the checksum elements beside their own. (serde's `flatten` cannot do it: quick-xml does not see texts through it.)
macro_rules! with_checksums {
    (struct $name:ident { $($(#[$meta:meta])* $field:ident: $type:ty,)* }) => {
        #[derive(Deserialize)]
        struct $name {
            $($(#[$meta])* $field: $type,)*
            #[serde(rename = "ChecksumXXHASH128")]
            xxhash128: Option<String>,
            #[serde(rename = "ChecksumXXHASH3")]
            xxhash3: Option<String>,
            #[serde(rename = "ChecksumCRC64NVME")]
            crc64nvme: Option<String>,
            #[serde(rename = "ChecksumCRC32C")]
            crc32c: Option<String>,
            #[serde(rename = "ChecksumCRC32")]
            crc32: Option<String>,
            #[serde(rename = "ChecksumXXHASH64")]
            xxhash64: Option<String>,
            #[serde(rename = "ChecksumSHA512")]
            sha512: Option<String>,
            #[serde(rename = "ChecksumSHA256")]
            sha256: Option<String>,
            #[serde(rename = "ChecksumSHA1")]
            sha1: Option<String>,
        }

        impl $name {
            /// The first in the order of preference that is no composite value.
            fn checksum(&self) -> Option<Checksum> {
                Algorithm::BY_PREFERENCE.into_iter().find_map(|algorithm| {
                    let text = match algorithm {
                        Algorithm::XxHash128 => &self.xxhash128,
                        Algorithm::XxHash3 => &self.xxhash3,
                        Algorithm::Crc64Nvme => &self.crc64nvme,
                        Algorithm::Crc32c => &self.crc32c,
                        Algorithm::Crc32 => &self.crc32,
                        Algorithm::XxHash64 => &self.xxhash64,
                        Algorithm::Sha512 => &self.sha512,
                        Algorithm::Sha256 => &self.sha256,
                        Algorithm::Sha1 => &self.sha1,
                        _ => &None,
                    };
                    Checksum::from_base64(algorithm, text.as_deref()?)
                })
            }
        }
    };
}

with_checksums! {
    struct Completed {
        #[serde(rename = "ETag")]
        etag: Option<String>,
        #[serde(rename = "ChecksumType")]
        checksum_type: Option<String>,
    }
}

with_checksums! {
    struct Part {
        #[serde(rename = "PartNumber")]
        number: u32,
        #[serde(rename = "ETag")]
        etag: String,
        #[serde(rename = "Size")]
        size: u64,
    }
}

#[derive(Deserialize)]
struct List {
    #[serde(rename = "IsTruncated", default)]
    is_truncated: bool,
    #[serde(rename = "Part", default)]
    parts: Vec<Part>,
}
