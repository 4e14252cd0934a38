//! A request that lacks only key, part, range and signature: made once by the SDK, stamped for each request.
//!
//! Invariant: a stamped request is the one that the SDK would have sent for the same call, but for what must not be frozen
//! (invocation and retry counters), the payload's hash and checksum, and a Content-Type that the caller did not give: the SDK's
//! default would make an object's type depend on whether it was stored in one request or in parts. A bucket with dots is not put before an
//! IP address, as the SDK does.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use xfer_core::checksum::ChecksumKind;
use xfer_core::error::{Error, ErrorKind};

use crate::capture::{self, Captured, Scheme};
use crate::chunked;
use crate::encode;
use crate::endpoint::{Origin, SignatureVersion};
use crate::identity::Identity;
use crate::operation::Operation;
use crate::sign;
use crate::stamp::{Header, Payload, Shown, SignedRequest, Stamp};

/// A prepared request, to be shared by all requests of its kind.
///
/// ```
/// use std::time::SystemTime;
/// use xfer_core::args::ExtraArgs;
/// use xfer_core::range::ByteRange;
/// use xfer_serializer::{EndpointConfig, Operation, RequestSerializer, SignatureVersion, Stamp};
/// let serializer = RequestSerializer::builder(EndpointConfig::new("us-east-1"))
///     .signature_version(SignatureVersion::Unsigned)
///     .build()?;
/// let template = serializer.template(Operation::GetObject, "photos", &ExtraArgs::new())?;
/// for start in [0, 100] {
///     let stamp = Stamp { range: Some(ByteRange::new(start, start + 100)), ..Stamp::key("1.jpg") };
///     let request = template.stamp(&stamp, None, SystemTime::now())?;
///     assert_eq!(request.header("range"), Some(format!("bytes={start}-{}", start + 99).as_str()));
/// }
/// assert_eq!(serializer.sdk_runs(), 1);
/// # Ok::<(), xfer_core::error::Error>(())
/// ```
#[derive(Clone)]
pub struct Template {
    operation: Operation,
    bucket: Arc<str>,
    origin: Origin,
    authority: String,
    /// Scheme and authority: what a signable URL starts with.
    base: String,
    /// Path before and behind the key.
    path: (String, String),
    query: Vec<QueryPart>,
    headers: Vec<(String, String)>,
    scheme: Option<Scheme>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum QueryPart {
    /// As captured.
    Fixed(String),
    PartNumber,
    UploadId,
    /// ListParts: left out on the first page.
    PartNumberMarker,
}

/// Headers of a run of the SDK that are not for a template: of the placeholder body, of the one run, or a second User-Agent.
fn is_of_the_run(name: &str) -> bool {
    matches!(name, "content-length" | "host" | "authorization" | "x-amz-user-agent" | "x-amzn-trace-id")
        || name.starts_with("amz-sdk-")
        || name.starts_with("x-amz-content-")
}

impl Template {
    pub(crate) fn new(
        operation: Operation,
        bucket: &str,
        captured: Captured,
        keep_content_type: bool,
        user_agent: &str,
        version: SignatureVersion,
    ) -> Result<Template, Error> {
        let path = if operation.has_key() {
            let (before, behind) = captured.path.rsplit_once(capture::KEY).ok_or_else(|| {
                Error::internal("the SDK's path does not hold the key").in_operation(operation.name())
            })?;
            (before.to_owned(), behind.to_owned())
        } else {
            (captured.path, String::new())
        };
        let query = captured
            .query
            .into_iter()
            .map(|part| match part.split_once('=').map_or(part.as_str(), |(name, _)| name) {
                "partNumber" => QueryPart::PartNumber,
                "uploadId" => QueryPart::UploadId,
                "part-number-marker" => QueryPart::PartNumberMarker,
                _ => QueryPart::Fixed(part),
            })
            .collect();
        let mut headers: Vec<(String, String)> = captured
            .headers
            .into_iter()
            .filter(|(name, _)| !is_of_the_run(name) && (name != "content-type" || keep_content_type))
            .collect();
        if let Some((_, agent)) = headers.iter_mut().find(|(name, _)| name == "user-agent") {
            agent.push(' ');
            agent.push_str(user_agent);
        }
        let authority = captured.origin.authority();
        let scheme = match version {
            SignatureVersion::S3v4 => Some(captured.scheme),
            SignatureVersion::Unsigned => None,
        };
        let base = format!("{}://{authority}", captured.origin.scheme());
        let origin = captured.origin;
        Ok(Template { operation, bucket: bucket.into(), origin, authority, base, path, query, headers, scheme })
    }

    /// The operation.
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// The bucket, as the caller named it.
    #[must_use]
    pub fn bucket(&self) -> &Arc<str> {
        &self.bucket
    }

    /// The server to connect to.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Whether it must be signed with the session credentials of an S3 Express bucket rather than the caller's own.
    #[must_use]
    pub fn needs_session(&self) -> bool {
        matches!(self.scheme, Some(Scheme::Express { .. }))
    }

    /// The request for one key, part or range, signed for `now` unless the serializer is anonymous.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] when something is missing that the operation needs, or a header cannot be sent;
    /// [`ErrorKind::Credentials`] when there is no identity, or not one that the bucket takes.
    pub fn stamp<'a>(
        &'a self,
        stamp: &Stamp<'a>,
        identity: Option<&Identity>,
        now: SystemTime,
    ) -> Result<SignedRequest<'a>, Error> {
        self.try_stamp(stamp, identity, now)
            .map_err(|error| error.in_operation(self.operation.name()).in_object(Arc::clone(&self.bucket), stamp.key))
    }

    fn try_stamp<'a>(
        &'a self,
        stamp: &Stamp<'a>,
        identity: Option<&Identity>,
        now: SystemTime,
    ) -> Result<SignedRequest<'a>, Error> {
        let mut url = String::with_capacity(self.base.len() + self.path.0.len() + stamp.key.len() * 2 + 160);
        url.push_str(&self.base);
        self.push_target(&mut url, stamp)?;
        let mut headers = self.stamped_headers(stamp)?;
        if let Some(scheme) = &self.scheme {
            let identity = identity.ok_or_else(|| {
                Error::new(ErrorKind::Credentials, "the request must be signed, and there is no identity")
            })?;
            if matches!(scheme, Scheme::Express { .. }) != identity.is_session() {
                let why = if identity.is_session() {
                    "session credentials are for S3 Express buckets only"
                } else {
                    "an S3 Express bucket takes session credentials only"
                };
                return Err(Error::new(ErrorKind::Credentials, why));
            }
            let unsigned = sign::Unsigned {
                method: self.operation.method(),
                url: &url,
                headers: &headers,
                payload: stamp.payload,
            };
            let signature = sign::headers(&unsigned, scheme, identity, now)?;
            headers.extend(signature);
        } else if let Payload::UnsignedTrailer { .. } = stamp.payload {
            // Without a signature too: the store learns from it that a trailer follows.
            headers.push(("x-amz-content-sha256".into(), "STREAMING-UNSIGNED-PAYLOAD-TRAILER".into()));
        }
        let target = url.split_off(self.base.len());
        Ok(SignedRequest { method: self.operation.method(), target, host: (&self.authority).into(), headers })
    }

    fn push_target(&self, url: &mut String, stamp: &Stamp<'_>) -> Result<(), Error> {
        let missing = |what: &str| Error::new(ErrorKind::InvalidArgument, format!("{what} is missing"));
        url.push_str(&self.path.0);
        if self.operation.has_key() {
            if stamp.key.is_empty() {
                return Err(missing("the key"));
            }
            encode::push_path(url, stamp.key);
        }
        url.push_str(&self.path.1);
        let mut separator = '?';
        for part in &self.query {
            if *part == QueryPart::PartNumberMarker && stamp.part_number.is_none() {
                continue;
            }
            url.push(separator);
            separator = '&';
            let number = || stamp.part_number.ok_or_else(|| missing("the part number"));
            match part {
                QueryPart::Fixed(part) => url.push_str(part),
                QueryPart::PartNumber => {
                    url.push_str("partNumber=");
                    url.push_str(&number()?.to_string());
                }
                QueryPart::PartNumberMarker => {
                    url.push_str("part-number-marker=");
                    url.push_str(&number()?.to_string());
                }
                QueryPart::UploadId => {
                    url.push_str("uploadId=");
                    let id = stamp.upload_id.filter(|id| !id.is_empty()).ok_or_else(|| missing("the upload id"))?;
                    encode::push_query(url, id);
                }
            }
        }
        if let (Operation::GetObject, Some(number)) = (self.operation, stamp.part_number) {
            url.push(separator);
            url.push_str("partNumber=");
            url.push_str(&number.get().to_string());
        }
        Ok(())
    }

    fn stamped_headers<'a>(&'a self, stamp: &Stamp<'a>) -> Result<Vec<Header<'a>>, Error> {
        let mut headers = Headers(Vec::with_capacity(self.headers.len() + 12));
        headers.0.extend(self.headers.iter().map(|(name, value)| (name.into(), value.into())));
        let operation = self.operation;
        if let Some(range) = stamp.range {
            headers.set("range", range.header());
        }
        // A weak one matches nothing (RFC 9110, 13.1.1); what comes is compared with it all the same.
        if let Some(etag) = stamp.if_match.filter(|etag| !etag.starts_with("W/")) {
            headers.set("if-match", one_line(etag)?);
        }
        if let Some(checksum) = stamp.checksum {
            headers.set(checksum.algorithm().header(), checksum.to_base64());
            if operation != Operation::CompleteMultipartUpload {
                headers.set("x-amz-sdk-checksum-algorithm", checksum.algorithm().name());
            }
        }
        if let Some((algorithm, kind)) = stamp.multipart_checksum {
            if operation == Operation::CreateMultipartUpload {
                headers.set("x-amz-checksum-algorithm", algorithm.name());
            }
            // A composite checksum is what S3 makes when nothing is said; stores that know no types need not read of them.
            if kind == ChecksumKind::FullObject {
                headers.set("x-amz-checksum-type", kind.name());
            }
        }
        if let Some(size) = stamp.object_size {
            headers.set("x-amz-mp-object-size", size.to_string());
        }
        for (name, value) in &stamp.headers {
            if !may_be_given(name) {
                return Err(Error::new(ErrorKind::InvalidArgument, format!("a header cannot be given as {name:?}")));
            }
            one_line(value)?;
            headers.set(name.clone(), value.clone());
        }
        if operation.has_body() {
            self.payload_headers(stamp.payload, &mut headers);
        } else {
            if stamp.payload != Payload::None {
                return Err(Error::new(ErrorKind::InvalidArgument, "the operation takes no body"));
            }
            if operation == Operation::CreateMultipartUpload {
                headers.set("content-length", "0");
            }
        }
        Ok(headers.0)
    }

    fn payload_headers(&self, payload: Payload, headers: &mut Headers<'_>) {
        match payload {
            Payload::None => headers.set("content-length", "0"),
            Payload::Unsigned { content_length } => headers.set("content-length", content_length.to_string()),
            Payload::UnsignedTrailer { decoded_length, algorithm } => {
                let length = chunked::encoded_length(decoded_length, algorithm);
                headers.set("content-length", length.to_string());
                match headers.get("content-encoding") {
                    Some(of_the_caller) => headers.set("content-encoding", format!("{of_the_caller},aws-chunked")),
                    None => headers.set("content-encoding", "aws-chunked"),
                }
                headers.set("x-amz-decoded-content-length", decoded_length.to_string());
                headers.set("x-amz-sdk-checksum-algorithm", algorithm.name());
                headers.set("x-amz-trailer", algorithm.header());
            }
        }
    }
}

/// What could end a header's line and begin another is refused. What the SDK has put into the template it has checked itself.
pub(crate) fn one_line(value: &str) -> Result<&str, Error> {
    if value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
        return Err(Error::new(ErrorKind::InvalidArgument, "a header's value has control characters in it"));
    }
    Ok(value)
}

/// Whether a header of a stamp may have this name: a token (RFC 9110, 5.6.2) in lower case, and none of those that a request has by itself.
fn may_be_given(name: &str) -> bool {
    const OWN: [&str; 9] = [
        "authorization",
        "content-length",
        "host",
        "transfer-encoding",
        "x-amz-content-sha256",
        "x-amz-date",
        "x-amz-region-set",
        "x-amz-s3session-token",
        "x-amz-security-token",
    ];
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(fits) && !OWN.contains(&name)
}

/// Headers, each name once.
struct Headers<'a>(Vec<Header<'a>>);

impl<'a> Headers<'a> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_ref())
    }

    fn set(&mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>) {
        let (name, value) = (name.into(), value.into());
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name, value)),
        }
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template")
            .field("operation", &self.operation)
            .field("bucket", &self.bucket)
            .field("origin", &self.origin)
            .field("path", &self.path)
            .field("query", &self.query)
            .field("headers", &Shown(&self.headers))
            .field("scheme", &self.scheme)
            .finish()
    }
}
