//! Errors of the store: which answer is which [`ErrorKind`].
//!
//! The code of the XML body decides; where there is none (HEAD, proxies, HTML pages), the status and the operation do.

use xfer_core::error::{Error, ErrorKind, ServiceAnswer};

use super::{Answer, ChecksumSent, retry_after, xml};
use crate::Operation;

/// A text of more characters is cut: it is for people.
const MAX_TEXT: usize = 1024;

/// What is kept of an error's body. No text is empty or too long, and none has control characters.
#[derive(Clone, Debug, Default)]
pub(super) struct Details {
    code: String,
    message: String,
    region: Option<String>,
    request_id: Option<String>,
    host_id: Option<String>,
}

/// The error in a body, if there is one.
pub(super) fn details(body: &[u8]) -> Option<Details> {
    let outermost = xml::read(body)?;
    // Some stores answer in the style of AWS' query services, one element deeper.
    let error = match outermost.name.as_str() {
        "Error" => &outermost,
        "ErrorResponse" => outermost.all("Error").next()?,
        _ => return None,
    };
    let field = |name| error.text(name).and_then(readable);
    Some(Details {
        code: field("Code")?,
        message: field("Message").unwrap_or_default(),
        region: field("Region"),
        request_id: field("RequestId"),
        host_id: field("HostId"),
    })
}

/// The error that an answer means. For one whose status says success: an error that its body holds, else a breach of protocol.
///
/// ```
/// use xfer_core::error::ErrorKind;
/// use xfer_serializer::Operation;
/// use xfer_serializer::decode::{Answer, error};
/// // A HEAD has no body that says why.
/// let headers: [(&str, &str); 0] = [];
/// assert_eq!(error(&Answer::new(Operation::HeadObject, 404, &headers)).kind(), ErrorKind::NoSuchKey);
/// assert_eq!(error(&Answer::new(Operation::GetObject, 503, &headers)).kind(), ErrorKind::Throttled);
/// ```
#[must_use]
pub fn error(answer: &Answer<'_>) -> Error {
    let details = details(answer.body).unwrap_or_default();
    let service = service_answer(answer, &details);
    let kind = kind(answer, &details, &service);
    Error::new(kind, "").with_service(service).in_operation(answer.operation.name())
}

pub(super) fn service_answer(answer: &Answer<'_>, details: &Details) -> ServiceAnswer {
    let said = |header, in_body: &Option<String>| answer.header(header).and_then(readable).or_else(|| in_body.clone());
    ServiceAnswer {
        status: answer.status,
        code: if details.code.is_empty() { answer.status.to_string() } else { details.code.clone() },
        message: details.message.clone(),
        request_id: said("x-amz-request-id", &details.request_id),
        extended_request_id: said("x-amz-id-2", &details.host_id),
        region: said("x-amz-bucket-region", &details.region),
        retry_after: matches!(answer.status, 429 | 500..=599).then(|| retry_after(answer.headers)).flatten(),
    }
}

/// Without control characters, which could play tricks in a terminal, and not too long. `None` when nothing is left.
fn readable(text: &str) -> Option<String> {
    let text: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_TEXT).collect();
    (!text.trim().is_empty()).then_some(text)
}

fn kind(answer: &Answer<'_>, details: &Details, service: &ServiceAnswer) -> ErrorKind {
    let code = details.code.as_str();
    if let Some(kind) = by_checksum(answer, code, &details.message) {
        return kind;
    }
    let kind = by_code(code).unwrap_or_else(|| by_status(answer, code, service));
    match kind {
        // A 400 that names a region is the answer of one region for another; without one it is a bad signature.
        ErrorKind::WrongRegion if code == "AuthorizationHeaderMalformed" && service.region.is_none() => {
            ErrorKind::AccessDenied
        }
        ErrorKind::PreconditionFailed if answer.if_match.is_some() && answer.operation == Operation::GetObject => {
            ErrorKind::ObjectModified
        }
        kind => kind,
    }
}

/// Stores that do not take the checksum as it was sent, against bytes that came over wrong.
fn by_checksum(answer: &Answer<'_>, code: &str, message: &str) -> Option<ErrorKind> {
    let refused = match (answer.checksum_sent, answer.status, code) {
        (ChecksumSent::None, ..) => false,
        // The store took the framing for the body, or does not know what stands for the payload's hash.
        (
            ChecksumSent::Trailer,
            400,
            "XAmzContentSHA256Mismatch" | "InvalidDigest" | "InvalidRequest" | "InvalidArgument",
        )
        | (ChecksumSent::Trailer, 411 | 501, _) => true,
        (
            ChecksumSent::Trailer | ChecksumSent::Header,
            400 | 501,
            "InvalidRequest" | "InvalidArgument" | "NotImplemented",
        ) => message.to_ascii_lowercase().contains("checksum"),
        _ => false,
    };
    match code {
        _ if refused => Some(ErrorKind::ChecksumUnsupported),
        "BadDigest" | "InvalidDigest" | "XAmzContentSHA256Mismatch" | "XAmzContentChecksumMismatch" => {
            Some(ErrorKind::ChecksumMismatch)
        }
        _ => None,
    }
}

fn by_code(code: &str) -> Option<ErrorKind> {
    use ErrorKind as K;
    Some(match code {
        "NoSuchKey" | "NoSuchVersion" | "NotFound" | "NoSuchObject" => K::NoSuchKey,
        "NoSuchBucket" => K::NoSuchBucket,
        "NoSuchUpload" => K::NoSuchUpload,
        "AccessDenied"
        | "AllAccessDisabled"
        | "AccountProblem"
        | "AccessForbidden"
        | "Forbidden"
        | "InvalidAccessKeyId"
        | "InvalidSecurity"
        | "InvalidToken"
        | "InvalidPayer"
        | "NotSignedUp"
        | "SignatureDoesNotMatch"
        | "Unauthorized"
        | "UnauthorizedAccess" => K::AccessDenied,
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => K::ExpiredCredentials,
        "PermanentRedirect"
        | "TemporaryRedirect"
        | "Redirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException"
        | "IncorrectEndpoint" => K::WrongRegion,
        "PreconditionFailed" | "NotModified" => K::PreconditionFailed,
        "InvalidRange" => K::InvalidRange,
        "SlowDown"
        | "SlowDownRead"
        | "SlowDownWrite"
        | "Throttling"
        | "ThrottlingException"
        | "Throttled"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "TooManyRequests"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "BandwidthLimitExceeded"
        | "LimitExceededException"
        | "ServiceUnavailable"
        | "XMinioServerNotInitialized" => K::Throttled,
        // The last three are of two requests at once: the store asks to try again.
        "InternalError"
        | "InternalErrors"
        | "InternalServerError"
        | "OperationAborted"
        | "ConditionalRequestConflict"
        | "ConcurrentModification" => K::ServiceUnavailable,
        "RequestTimeout" | "RequestTimeoutException" => K::RequestTimeout,
        "RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture" => K::ClockSkew,
        "EntityTooLarge" | "MaxMessageLengthExceeded" => K::TooLarge,
        _ => return None,
    })
}

fn by_status(answer: &Answer<'_>, code: &str, service: &ServiceAnswer) -> ErrorKind {
    use ErrorKind as K;
    match answer.status {
        // An error within a success whose code says nothing: the store refused; without any code it is no S3 answer at all.
        200..=299 if code.is_empty() => K::Protocol,
        200..=299 => K::Rejected,
        301 | 307 | 308 => K::WrongRegion,
        304 | 412 => K::PreconditionFailed,
        // What S3 says to a HEAD in the wrong region.
        400 if code.is_empty() && service.region.is_some() => K::WrongRegion,
        401 => K::AccessDenied,
        403 if code.is_empty() => K::AccessDenied,
        404 if code.is_empty() => match answer.operation {
            Operation::PutObject | Operation::CreateMultipartUpload | Operation::CreateSession => K::NoSuchBucket,
            operation if operation.needs_upload_id() => K::NoSuchUpload,
            _ => K::NoSuchKey,
        },
        408 => K::RequestTimeout,
        413 => K::TooLarge,
        416 => K::InvalidRange,
        429 | 503 => K::Throttled,
        501 | 505 => K::Rejected,
        500..=599 => K::ServiceUnavailable,
        400..=499 => K::Rejected,
        _ => K::Protocol,
    }
}
