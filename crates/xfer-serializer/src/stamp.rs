//! What is put on a template for one request, and the request that comes out.
//!
//! Invariant: the `Debug` forms of a [`Stamp`] and of a [`SignedRequest`] name their headers, and hide the values that are secrets.

use std::borrow::Cow;
use std::fmt;

use xfer_core::checksum::{Algorithm, Checksum, ChecksumKind};
use xfer_core::id::PartNumber;
use xfer_core::range::ByteRange;

/// The body that will follow, as far as head and signature must know it.
///
/// ```
/// use xfer_core::checksum::Algorithm;
/// use xfer_serializer::Payload;
/// // Five bytes, and their checksum behind them.
/// let body = Payload::UnsignedTrailer { decoded_length: 5, algorithm: Algorithm::Crc64Nvme };
/// assert_ne!(body, Payload::None);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Payload {
    /// No body.
    #[default]
    None,
    /// A body as it is, not covered by the signature: `UNSIGNED-PAYLOAD`.
    Unsigned {
        /// Length in bytes.
        content_length: u64,
    },
    /// A body in one `aws-chunked` chunk with its checksum behind it: `STREAMING-UNSIGNED-PAYLOAD-TRAILER`. The framing is
    /// that of [`chunked`](crate::chunked).
    UnsignedTrailer {
        /// Length in bytes without the framing.
        decoded_length: u64,
        /// The algorithm of the checksum in the trailer.
        algorithm: Algorithm,
    },
}

/// The parts of a request that a template leaves open. Fill in what the operation has, and leave the rest as [`Stamp::key`] makes it.
///
/// ```
/// use xfer_core::id::PartNumber;
/// use xfer_serializer::{Payload, Stamp};
/// let stamp = Stamp {
///     part_number: Some(PartNumber::FIRST),
///     upload_id: Some("upload"),
///     payload: Payload::Unsigned { content_length: 5 },
///     ..Stamp::key("photos/1.jpg")
/// };
/// assert_eq!(stamp.key, "photos/1.jpg");
/// ```
#[derive(Clone, Default)]
pub struct Stamp<'a> {
    /// The key, not encoded.
    pub key: &'a str,
    /// UploadPart: the part. GetObject: the part to get, instead of the object. ListParts: the part after which to go on.
    pub part_number: Option<PartNumber>,
    /// The multipart upload.
    pub upload_id: Option<&'a str>,
    /// The bytes to get.
    pub range: Option<ByteRange>,
    /// The ETag that the object must have, quotes included. A weak one (`W/"..."`) is no condition that a store can meet, and is not sent.
    pub if_match: Option<&'a str>,
    /// The body.
    pub payload: Payload,
    /// A checksum to send as a header: of the body with PutObject and UploadPart, of the object with CompleteMultipartUpload.
    pub checksum: Option<&'a Checksum>,
    /// How the parts of an upload are checksummed. CreateMultipartUpload: `x-amz-checksum-algorithm` and `x-amz-checksum-type`;
    /// CompleteMultipartUpload: `x-amz-checksum-type`.
    pub multipart_checksum: Option<(Algorithm, ChecksumKind)>,
    /// CompleteMultipartUpload: the object's size in bytes, `x-amz-mp-object-size`.
    pub object_size: Option<u64>,
    /// Any other headers, names in lower case; each replaces one of the same name. Those that come of the host, the body or the signature
    /// cannot be given.
    pub headers: Vec<(Cow<'static, str>, Cow<'a, str>)>,
}

impl<'a> Stamp<'a> {
    /// A stamp with nothing but a key.
    #[must_use]
    pub fn key(key: &'a str) -> Stamp<'a> {
        Stamp { key, ..Stamp::default() }
    }
}

impl fmt::Debug for Stamp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stamp")
            .field("key", &self.key)
            .field("part_number", &self.part_number)
            .field("upload_id", &self.upload_id)
            .field("range", &self.range)
            .field("if_match", &self.if_match)
            .field("payload", &self.payload)
            .field("checksum", &self.checksum)
            .field("multipart_checksum", &self.multipart_checksum)
            .field("object_size", &self.object_size)
            .field("headers", &Shown(&self.headers))
            .finish()
    }
}

/// A header, its name in lower case. What a template or a stamp has is borrowed from there.
pub(crate) type Header<'a> = (Cow<'a, str>, Cow<'a, str>);

/// A request to be sent exactly as it is: target and headers are what was signed.
///
/// ```
/// use std::time::SystemTime;
/// use xfer_core::args::ExtraArgs;
/// use xfer_serializer::{EndpointConfig, Operation, Payload, RequestSerializer, SignatureVersion, Stamp};
/// let serializer = RequestSerializer::builder(EndpointConfig::new("us-east-1"))
///     .signature_version(SignatureVersion::Unsigned)
///     .build()?;
/// let template = serializer.template(Operation::PutObject, "photos", &ExtraArgs::new().content_type("image/jpeg"))?;
/// let stamp = Stamp { payload: Payload::Unsigned { content_length: 5 }, ..Stamp::key("1.jpg") };
/// let request = template.stamp(&stamp, None, SystemTime::now())?;
/// assert_eq!((request.method, request.content_length()), ("PUT", 5));
/// assert_eq!(request.header("content-type"), Some("image/jpeg"));
/// # Ok::<(), xfer_core::error::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct SignedRequest<'a> {
    /// GET, HEAD, PUT, POST or DELETE.
    pub method: &'static str,
    /// Path and query, percent-encoded.
    pub target: String,
    /// The Host header; not among `headers`.
    pub host: Cow<'a, str>,
    /// The other headers, names in lower case, each name once. `content-length` is among them when there is a body.
    pub headers: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl SignedRequest<'_> {
    /// The same, to be kept for longer than its template and its stamp.
    #[must_use]
    pub fn into_owned(self) -> SignedRequest<'static> {
        let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        let headers = self.headers.into_iter().map(|(name, value)| (own(name), own(value))).collect();
        SignedRequest { method: self.method, target: self.target, host: own(self.host), headers }
    }

    /// The value of a header, by its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_ref())
    }

    /// Length of the body as it goes over the wire, in bytes; 0 when there is none.
    #[must_use]
    pub fn content_length(&self) -> u64 {
        self.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0)
    }
}

/// Whether a header's value must not be shown.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name == "authorization"
        || name.ends_with("-token")
        || name == "x-amz-mfa"
        || name.contains("customer-key")
        || name == "x-amz-server-side-encryption-context"
}

/// Shows headers without their secrets.
pub(crate) struct Shown<'a, N, V>(pub(crate) &'a [(N, V)]);

impl<N: AsRef<str>, V: AsRef<str>> fmt::Debug for Shown<'_, N, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.iter().map(|(name, value)| {
            let name = name.as_ref();
            (name, if is_secret(name) { "(hidden)" } else { value.as_ref() })
        });
        f.debug_map().entries(shown).finish()
    }
}

impl fmt::Debug for SignedRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedRequest")
            .field("method", &self.method)
            .field("host", &self.host)
            .field("target", &self.target)
            .field("headers", &Shown(&self.headers))
            .finish()
    }
}
