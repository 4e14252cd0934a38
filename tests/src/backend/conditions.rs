//! Conditional requests: what If-Match and its kin decide, in the order of RFC 9110, section 13.2.2.
//!
//! Times are compared by the second, as HTTP dates carry no more; objects are stored with whole seconds for that reason.

use http::{HeaderMap, HeaderValue};
use s3s::dto::{ETag, ETagCondition, Timestamp};
use s3s::{S3Error, S3Result, s3_error};

use super::store::StoredObject;

/// The conditions of a GET or HEAD.
#[derive(Debug, Default)]
pub(crate) struct ReadConditions {
    pub(crate) if_match: Option<ETagCondition>,
    pub(crate) if_none_match: Option<ETagCondition>,
    pub(crate) if_modified_since: Option<Timestamp>,
    pub(crate) if_unmodified_since: Option<Timestamp>,
}

impl ReadConditions {
    pub(crate) fn check(&self, object: &StoredObject) -> S3Result<()> {
        let etag = object.etag_value();
        let modified = Timestamp::from(object.last_modified());
        match (&self.if_match, &self.if_unmodified_since) {
            (Some(condition), _) if !matches(condition, etag) => return Err(precondition_failed("If-Match")),
            (None, Some(since)) if modified > *since => return Err(precondition_failed("If-Unmodified-Since")),
            _ => {}
        }
        match (&self.if_none_match, &self.if_modified_since) {
            (Some(condition), _) if matches(condition, etag) => Err(not_modified(object)),
            (None, Some(since)) if modified <= *since => Err(not_modified(object)),
            _ => Ok(()),
        }
    }
}

/// Checks the conditions of a PUT or CompleteMultipartUpload against the object now under the key.
pub(crate) fn check_write(
    current: Option<&StoredObject>,
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
) -> S3Result<()> {
    match if_none_match {
        Some(ETagCondition::Any) if current.is_some() => return Err(precondition_failed("If-None-Match")),
        Some(ETagCondition::ETag(_)) => {
            return Err(s3_error!(
                NotImplemented,
                "A header you provided implies functionality that is not implemented"
            ));
        }
        _ => {}
    }
    match (if_match, current) {
        (None, _) => Ok(()),
        (Some(_), None) => Err(s3_error!(NoSuchKey, "The specified key does not exist.")),
        (Some(condition), Some(object)) if matches(condition, object.etag_value()) => Ok(()),
        (Some(_), Some(_)) => Err(precondition_failed("If-Match")),
    }
}

/// Whether an ETag, given without quotes, meets a condition.
pub(crate) fn matches(condition: &ETagCondition, etag: &str) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(ETag::Strong(value) | ETag::Weak(value)) => value == etag,
    }
}

pub(crate) fn precondition_failed(condition: &str) -> S3Error {
    s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold: {condition}")
}

fn not_modified(object: &StoredObject) -> S3Error {
    let mut headers = HeaderMap::new();
    if let Ok(etag) = HeaderValue::from_str(&object.etag()) {
        headers.insert(http::header::ETAG, etag);
    }
    let mut error = s3_error!(NotModified);
    error.set_headers(headers);
    error
}
