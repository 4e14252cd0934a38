//! What an S3 Express directory bucket asks of a request: its zonal host, a session, and none of what such buckets do not have.
//!
//! CreateSession is signed with the caller's own keys, everything else with those of a session of the bucket; both for service `s3express`.

use std::time::SystemTime;

use http::request::Parts;

use crate::backend::sessions::{Session, Sessions, is_directory};
use crate::request::Op;

use super::service::{Keys, Verdict};
use super::signature::Claim;

const SERVICE: &str = "s3express";
const TOKEN: &str = "x-amz-s3session-token";

/// Headers that stand for what directory buckets do not have, by how they begin.
const UNKNOWN: [&str; 9] = [
    "x-amz-acl",
    "x-amz-grant-",
    "x-amz-tagging",
    "x-amz-object-lock-",
    "x-amz-server-side-encryption-customer-",
    "x-amz-request-payer",
    "x-amz-website-redirect-location",
    "x-amz-mfa",
    "x-amz-checksum-md5",
];

/// What is asked of which bucket, whether the host named it, and what time it is here.
pub(crate) struct Visit<'a> {
    pub(crate) op: Op,
    pub(crate) bucket: Option<&'a str>,
    pub(crate) by_host: bool,
    pub(crate) now: SystemTime,
}

pub(crate) fn judge(sessions: &Sessions, keys: &Keys, claim: &Claim, visit: &Visit<'_>, parts: &Parts) -> Verdict {
    let directory = visit.bucket.filter(|bucket| is_directory(bucket));
    let (Some(bucket), true) = (directory, visit.by_host) else {
        return Verdict::refused(400, "InvalidRequest", "Directory buckets are spoken to at their zonal hosts only.");
    };
    let mismatch = || Verdict::refused(403, "SignatureDoesNotMatch", "The signature does not match.");
    if visit.op == Op::CreateSession {
        if claim.access_key != keys.access_key {
            return Verdict::refused(403, "InvalidAccessKeyId", "There is no such access key.");
        }
        let right = claim.holds(parts, &keys.secret_key, keys.region, SERVICE, visit.now);
        return if right { Verdict::Admitted } else { mismatch() };
    }
    let Some(token) = text(parts, TOKEN) else {
        return Verdict::refused(403, "AccessDenied", "A session is needed.");
    };
    let session = match sessions.find(token) {
        Some(session) if session.bucket == bucket && session.access_key == claim.access_key => session,
        _ => return Verdict::refused(400, "InvalidToken", "The provided token is malformed or otherwise invalid."),
    };
    if !claim.holds(parts, &session.secret_key, keys.region, SERVICE, visit.now) {
        return mismatch();
    }
    if !session.holds() {
        return Verdict::refused(400, "ExpiredToken", "The provided token has expired.");
    }
    if parts.headers.keys().any(|name| UNKNOWN.iter().any(|unknown| name.as_str().starts_with(unknown))) {
        return Verdict::refused(
            501,
            "NotImplemented",
            "A header you provided implies functionality that is not implemented.",
        );
    }
    if text(parts, "x-amz-storage-class").is_some_and(|class| class != "EXPRESS_ONEZONE") {
        return Verdict::refused(400, "InvalidStorageClass", "The storage class you specified is not valid.");
    }
    if contradicts(&session, parts) {
        return Verdict::refused(400, "InvalidRequest", "The encryption is that of the session and cannot be another.");
    }
    Verdict::Admitted
}

/// Whether a request asks for another encryption than its session has.
fn contradicts(session: &Session, parts: &Parts) -> bool {
    let other =
        |name: &str, known: &Option<String>| text(parts, name).is_some_and(|asked| known.as_deref() != Some(asked));
    other("x-amz-server-side-encryption", &session.encryption.kind)
        || other("x-amz-server-side-encryption-aws-kms-key-id", &session.encryption.kms_key_id)
}

fn text<'a>(parts: &'a Parts, name: &str) -> Option<&'a str> {
    parts.headers.get(name)?.to_str().ok()
}
