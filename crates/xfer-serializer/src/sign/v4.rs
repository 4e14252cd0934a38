//! SigV4 in the `Authorization` header, for the requests of the hot path.
//!
//! The rules are those of aws-sigv4, whose HMACs are used; what is ours is that the canonical request is written straight into one string, and
//! that the signing key, which changes once a day, is kept with the identity. The tests compare with aws-sigv4 for requests of every kind.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use parking_lot::RwLock;
use sha2::{Digest, Sha256};
use xfer_core::error::{Error, ErrorKind};

use super::{SESSION_TOKEN, Unsigned, content_sha256};
use crate::identity::Identity;
use crate::stamp::Header;

/// Headers that are sent and not signed: proxies change them.
const NOT_SIGNED: [&str; 4] = ["authorization", "user-agent", "x-amzn-trace-id", "transfer-encoding"];

/// What a signature is good for.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    /// Whether the token is that of an S3 Express session.
    pub(super) session: bool,
}

/// The headers that the signature adds.
pub(super) fn headers(
    request: &Unsigned<'_>,
    scope: Scope<'_>,
    identity: &Identity,
    now: SystemTime,
) -> Result<Vec<Header<'static>>, Error> {
    let credentials = identity.credentials()?;
    let Scope { region, service, session } = scope;
    let time = amz_date(now)?;
    let date = &time[..8];
    let hash = content_sha256(request.payload);
    let token_name = if session { SESSION_TOKEN } else { "x-amz-security-token" };
    let token = credentials.session_token().map(|token| (token_name, token));

    let (authority, target) = split(request.url)?;
    let mut lines: Vec<(&str, &str)> = Vec::with_capacity(request.headers.len() + 4);
    lines.extend([("host", authority), ("x-amz-content-sha256", hash), ("x-amz-date", &time)]);
    lines.extend(token);
    lines.extend(request.headers.iter().map(|(name, value)| (name.as_ref(), value.as_ref())));
    lines.retain(|(name, _)| !NOT_SIGNED.contains(name));
    lines.sort_unstable();

    let access_key = credentials.access_key_id();
    let names: usize = lines.iter().map(|(name, _)| name.len() + 1).sum();
    let mut authorization = String::with_capacity(names + access_key.len() + region.len() + service.len() + 160);
    authorization.extend(["AWS4-HMAC-SHA256 Credential=", access_key, "/"]);
    authorization.extend([date, "/", region, "/", service, "/aws4_request, SignedHeaders="]);
    let begun = authorization.len();
    for (index, (name, _)) in lines.iter().enumerate() {
        authorization.extend([if index > 0 { ";" } else { "" }, name]);
    }
    let canonical = canonical_request(request.method, target, &lines, &authorization[begun..], hash)?;
    let mut digest = [0; 64];
    hex::encode_to_slice(Sha256::digest(canonical), &mut digest)
        .map_err(|_| Error::internal("a digest of another length"))?;
    let digest = std::str::from_utf8(&digest).map_err(|_| Error::internal("a digest in other letters"))?;
    let mut to_sign = String::with_capacity(region.len() + service.len() + 128);
    to_sign.extend(["AWS4-HMAC-SHA256\n", &time, "\n", date, "/", region, "/", service, "/aws4_request\n", digest]);
    let key = identity.signing_keys().get(date, region, service, || {
        generate_signing_key(credentials.secret_access_key(), now, region, service).as_ref().to_vec()
    });
    authorization.extend([", Signature=", &calculate_signature(key.as_slice(), to_sign.as_bytes())]);

    let mut added: Vec<Header<'static>> = Vec::with_capacity(4);
    added.extend(token.map(|(name, token)| (name.into(), token.to_owned().into())));
    added.push(("x-amz-date".into(), time.into()));
    added.push(("x-amz-content-sha256".into(), hash.into()));
    added.push(("authorization".into(), authorization.into()));
    Ok(added)
}

/// `20260131T235959Z`
pub(super) fn amz_date(now: SystemTime) -> Result<String, Error> {
    let invalid = || Error::new(ErrorKind::Credentials, "the clock shows a time that no signature can have");
    let since = now.duration_since(UNIX_EPOCH).map_err(|_| invalid())?;
    let seconds = i64::try_from(since.as_secs()).map_err(|_| invalid())?;
    let mut time = DateTime::from_secs(seconds).fmt(Format::DateTime).map_err(|_| invalid())?;
    time.retain(|sign| !matches!(sign, '-' | ':'));
    Ok(time)
}

/// The canonical request of header `lines` in their order, whose names are `signed`.
fn canonical_request(
    method: &str,
    target: &str,
    lines: &[(&str, &str)],
    signed: &str,
    hash: &str,
) -> Result<String, Error> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let length: usize = lines.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    let mut canonical = String::with_capacity(length + target.len() + signed.len() + 96);
    canonical.extend([method, "\n", if path.is_empty() { "/" } else { path }, "\n"]);
    push_query(&mut canonical, query);
    canonical.push('\n');
    for (name, value) in lines {
        // All bytes, without a stop at the first: so many are looked at at a time.
        if value.bytes().fold(false, |found, byte| found | !matches!(byte, b'\t' | b' '..=b'~')) {
            let text = format!("the header {name} has characters in it that cannot be signed");
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        canonical.extend([name, ":"]);
        push_trimmed(&mut canonical, value);
        canonical.push('\n');
    }
    canonical.extend(["\n", signed, "\n", hash]);
    Ok(canonical)
}

/// Authority, without a port that the scheme implies, and the rest of a URL.
fn split(url: &str) -> Result<(&str, &str), Error> {
    let (scheme, rest) = url.split_once("://").ok_or_else(|| Error::internal("a URL without a scheme"))?;
    let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let implied = match scheme {
        "http" => ":80",
        _ => ":443",
    };
    Ok((authority.strip_suffix(implied).unwrap_or(authority), target))
}

/// The parts of a query that is encoded already, in their order.
fn push_query(canonical: &mut String, query: &str) {
    // No more than one part has no order, and most requests have no more.
    if !query.contains('&') {
        let equals = if query.is_empty() || query.contains('=') { "" } else { "=" };
        return canonical.extend([query, equals]);
    }
    let mut parts: Vec<(&str, &str)> = query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .collect();
    parts.sort_unstable();
    for (index, (name, value)) in parts.into_iter().enumerate() {
        if index > 0 {
            canonical.push('&');
        }
        canonical.push_str(name);
        canonical.push('=');
        canonical.push_str(value);
    }
}

/// A header's value without spaces around it, and with single ones within.
fn push_trimmed(canonical: &mut String, value: &str) {
    let value = value.trim_matches(' ');
    if !value.contains("  ") {
        return canonical.push_str(value);
    }
    let mut before = '!';
    for sign in value.chars() {
        if sign != ' ' || before != ' ' {
            canonical.push(sign);
        }
        before = sign;
    }
}

/// Most keys that are kept: regions that one identity signs for.
const MOST_KEYS: usize = 16;

/// Signing keys of one identity, by day, region and service. Cheap to clone; shows nothing.
#[derive(Clone, Default)]
pub(crate) struct SigningKeys(Arc<RwLock<Vec<SigningKey>>>);

struct SigningKey {
    date: String,
    region: String,
    service: String,
    key: Arc<Vec<u8>>,
}

impl SigningKey {
    fn is_of(&self, date: &str, region: &str, service: &str) -> bool {
        (self.date.as_str(), self.region.as_str(), self.service.as_str()) == (date, region, service)
    }
}

impl SigningKeys {
    fn get(&self, date: &str, region: &str, service: &str, make: impl FnOnce() -> Vec<u8>) -> Arc<Vec<u8>> {
        if let Some(kept) = self.0.read().iter().find(|kept| kept.is_of(date, region, service)) {
            return Arc::clone(&kept.key);
        }
        let key = Arc::new(make());
        let mut keys = self.0.write();
        keys.retain(|kept| kept.date == date);
        if keys.len() >= MOST_KEYS {
            keys.clear();
        }
        let owned = |text: &str| text.to_owned();
        keys.push(SigningKey {
            date: owned(date),
            region: owned(region),
            service: owned(service),
            key: Arc::clone(&key),
        });
        key
    }
}
