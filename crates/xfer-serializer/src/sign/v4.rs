//! SigV4 in the `Authorization` header, for the requests of the hot path.
//!
//! The rules are those of aws-sigv4, whose HMACs are used; what is ours is that the canonical request is written straight into one string, and
//! that the signing key, which changes once a day, is kept with the identity. The tests compare with aws-sigv4 for requests of every kind.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use parking_lot::RwLock;
use sha2::{Digest, Sha256};
use xfer_core::error::{Error, ErrorKind};

use super::{SESSION_TOKEN, Unsigned, content_sha256};
use crate::identity::Identity;

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
) -> Result<Vec<(Cow<'static, str>, String)>, Error> {
    let credentials =
        identity.inner().data::<Credentials>().ok_or_else(|| Error::internal("an identity without credentials"))?;
    let time = amz_date(now)?;
    let date = &time[..8];
    let hash = content_sha256(request.payload);
    let mut added = vec![(Cow::Borrowed("x-amz-date"), time.clone())];
    added.push((Cow::Borrowed("x-amz-content-sha256"), hash.to_owned()));
    if let Some(token) = credentials.session_token() {
        let name = if scope.session { SESSION_TOKEN } else { "x-amz-security-token" };
        added.push((Cow::Borrowed(name), token.to_owned()));
    }
    let (canonical, signed) = canonical_request(request, &added, hash)?;
    let mut digest = [0; 64];
    hex::encode_to_slice(Sha256::digest(canonical), &mut digest)
        .map_err(|_| Error::internal("a digest of another length"))?;
    let digest = String::from_utf8_lossy(&digest);
    let Scope { region, service, .. } = scope;
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{date}/{region}/{service}/aws4_request\n{digest}");
    let key = identity.signing_keys().get(date, region, service, || {
        generate_signing_key(credentials.secret_access_key(), now, region, service).as_ref().to_vec()
    });
    let signature = calculate_signature(key.as_slice(), to_sign.as_bytes());
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/{date}/{region}/{service}/aws4_request, SignedHeaders={signed}, Signature={signature}",
        credentials.access_key_id()
    );
    added.push((Cow::Borrowed("authorization"), authorization));
    Ok(added)
}

/// `20260131T235959Z`
fn amz_date(now: SystemTime) -> Result<String, Error> {
    let invalid = || Error::new(ErrorKind::Credentials, "the clock shows a time that no signature can have");
    let since = now.duration_since(UNIX_EPOCH).map_err(|_| invalid())?;
    let seconds = i64::try_from(since.as_secs()).map_err(|_| invalid())?;
    let mut time = DateTime::from_secs(seconds).fmt(Format::DateTime).map_err(|_| invalid())?;
    time.retain(|sign| !matches!(sign, '-' | ':'));
    Ok(time)
}

/// The canonical request, and the names of the headers in it.
fn canonical_request(
    request: &Unsigned<'_>,
    added: &[(Cow<'static, str>, String)],
    hash: &str,
) -> Result<(String, String), Error> {
    let (authority, target) = split(request.url)?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut lines: Vec<(&str, &str)> = Vec::with_capacity(request.headers.len() + added.len() + 1);
    lines.push(("host", authority));
    lines.extend(request.headers.iter().chain(added).map(|(name, value)| (name.as_ref(), value.as_str())));
    lines.retain(|(name, _)| !NOT_SIGNED.contains(name));
    lines.sort_unstable();
    let length: usize = lines.iter().map(|(name, value)| 2 * name.len() + value.len() + 3).sum();
    let mut canonical = String::with_capacity(length + request.url.len() + 96);
    let mut signed = String::with_capacity(length);
    canonical.push_str(request.method);
    canonical.push('\n');
    canonical.push_str(if path.is_empty() { "/" } else { path });
    canonical.push('\n');
    push_query(&mut canonical, query);
    canonical.push('\n');
    for (name, value) in lines {
        if value.bytes().any(|byte| !matches!(byte, b'\t' | b' '..=b'~')) {
            let text = format!("the header {name} has characters in it that cannot be signed");
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        canonical.push_str(name);
        canonical.push(':');
        push_trimmed(&mut canonical, value);
        canonical.push('\n');
        if !signed.is_empty() {
            signed.push(';');
        }
        signed.push_str(name);
    }
    canonical.push('\n');
    canonical.push_str(&signed);
    canonical.push('\n');
    canonical.push_str(hash);
    Ok((canonical, signed))
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
