//! Signatures that `s3s` does not know: SigV4 under another service's name, and SigV4a.
//!
//! Written from the rules of the signature and not by the library that clients sign with: of that only the derivation of keys is used. A
//! signature must cover the host and every `x-amz-` header, as S3 demands.

use std::time::SystemTime;

use aws_sigv4::sign::{v4, v4a};

use http::header::AUTHORIZATION;
use http::request::Parts;
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};

use crate::backend::store::hex;

use super::clock::{is_near, time_of};

/// An Authorization header, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) asymmetric: bool,
    pub(crate) access_key: String,
    /// What follows the access key.
    scope: Vec<String>,
    signed_headers: Vec<String>,
    signature: String,
}

impl Claim {
    /// The claim of a request that is signed with SigV4 or SigV4a in a header.
    pub(crate) fn of(parts: &Parts) -> Option<Self> {
        let authorization = parts.headers.get(AUTHORIZATION)?.to_str().ok()?;
        let (algorithm, rest) = authorization.split_once(' ')?;
        let asymmetric = match algorithm {
            "AWS4-HMAC-SHA256" => false,
            "AWS4-ECDSA-P256-SHA256" => true,
            _ => return None,
        };
        let field = |name: &str| rest.split(',').find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='));
        let mut scope = field("Credential")?.split('/').map(str::to_owned);
        Some(Self {
            asymmetric,
            access_key: scope.next()?,
            scope: scope.collect(),
            signed_headers: field("SignedHeaders")?.split(';').map(str::to_owned).collect(),
            signature: field("Signature")?.to_owned(),
        })
    }

    /// The service that it is for.
    pub(crate) fn service(&self) -> Option<&str> {
        self.scope.iter().rev().nth(1).map(String::as_str)
    }

    /// Whether the request is signed with this secret, for this service, at about this time; for this region too unless it is SigV4a.
    pub(crate) fn holds(&self, parts: &Parts, secret_key: &str, region: &str, service: &str, now: SystemTime) -> bool {
        self.check(parts, secret_key, region, service, now).is_some()
    }

    fn check(&self, parts: &Parts, secret_key: &str, region: &str, service: &str, now: SystemTime) -> Option<()> {
        let stamp = header(parts, "x-amz-date")?;
        let date = stamp.get(..8)?;
        let expected: Vec<&str> = match self.asymmetric {
            true => vec![date, service, "aws4_request"],
            false => vec![date, region, service, "aws4_request"],
        };
        let time = time_of(&stamp)?;
        if self.scope != expected || !is_near(time, now) || !self.covers_enough(parts) {
            return None;
        }
        let algorithm = if self.asymmetric { "AWS4-ECDSA-P256-SHA256" } else { "AWS4-HMAC-SHA256" };
        let request = hex(&Sha256::digest(self.canonical_request(parts)?));
        let to_sign = format!("{algorithm}\n{stamp}\n{}\n{request}", self.scope.join("/"));
        let right = if self.asymmetric {
            let key = v4a::generate_signing_key(&self.access_key, secret_key);
            let key = VerifyingKey::from(&SigningKey::from_slice(key.as_ref()).ok()?);
            let signature = Signature::from_der(&unhex(&self.signature)?).ok()?;
            key.verify(to_sign.as_bytes(), &signature).is_ok()
        } else {
            let key = v4::generate_signing_key(secret_key, time, region, service);
            v4::calculate_signature(key, to_sign.as_bytes()) == self.signature
        };
        right.then_some(())
    }

    fn covers_enough(&self, parts: &Parts) -> bool {
        let signed = |name: &str| self.signed_headers.iter().any(|known| known == name);
        signed("host")
            && parts.headers.keys().map(http::HeaderName::as_str).all(|n| !n.starts_with("x-amz-") || signed(n))
    }

    fn canonical_request(&self, parts: &Parts) -> Option<String> {
        let mut query: Vec<(&str, &str)> = parts
            .uri
            .query()
            .unwrap_or("")
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .collect();
        query.sort_unstable();
        let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut text = format!("{}\n{}\n{}\n", parts.method, parts.uri.path(), query.join("&"));
        for name in &self.signed_headers {
            text.push_str(&format!("{name}:{}\n", header(parts, name)?));
        }
        text.push_str(&format!("\n{}\n{}", self.signed_headers.join(";"), header(parts, "x-amz-content-sha256")?));
        Some(text)
    }
}

/// A header's value as it is signed: lines joined, runs of blanks made one.
fn header(parts: &Parts, name: &str) -> Option<String> {
    let values: Option<Vec<String>> = parts
        .headers
        .get_all(name)
        .iter()
        .map(|value| Some(value.to_str().ok()?.split_ascii_whitespace().collect::<Vec<_>>().join(" ")))
        .collect();
    values.filter(|values| !values.is_empty()).map(|values| values.join(","))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let pairs = digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    if digits.len().is_multiple_of(2) { pairs.collect() } else { None }
}
