//! Signatures in headers, with S3's settings: one percent-encoding, no path normalisation, the payload's hash (or the word that stands
//! for it) in `x-amz-content-sha256`. SigV4A, which only access points of several regions or of outposts want, is left to aws-sigv4.

pub(crate) mod v4;

use std::time::SystemTime;

use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningParams, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4a;
use xfer_core::error::{Error, ErrorKind};

use crate::capture::Scheme;
use crate::identity::Identity;
use crate::stamp::{Header, Payload};

/// SHA-256 of nothing.
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// The header of an S3 Express session's token.
const SESSION_TOKEN: &str = "x-amz-s3session-token";

/// What is signed.
pub(crate) struct Unsigned<'a> {
    pub(crate) method: &'static str,
    /// Scheme, host, path and query.
    pub(crate) url: &'a str,
    pub(crate) headers: &'a [Header<'a>],
    pub(crate) payload: Payload,
}

/// The headers that the signature adds.
pub(crate) fn headers(
    request: &Unsigned<'_>,
    scheme: &Scheme,
    identity: &Identity,
    now: SystemTime,
) -> Result<Vec<Header<'static>>, Error> {
    check_access_key(identity)?;
    match scheme {
        Scheme::V4 { name, region } | Scheme::Express { name, region } => {
            let scope = v4::Scope { region, service: name, session: matches!(scheme, Scheme::Express { .. }) };
            v4::headers(request, scope, identity, now)
        }
        Scheme::V4a { name, regions } => {
            // The library panics at a time that it cannot write.
            v4::amz_date(now)?;
            let params = v4a::SigningParams::builder()
                .identity(identity.inner())
                .region_set(regions)
                .name(name)
                .time(now)
                .settings(settings())
                .build()
                .map_err(defect)?;
            by_library(request, &params.into())
        }
    }
}

/// It becomes a part of a header: a line end in it, as files often have one, would end the header.
fn check_access_key(identity: &Identity) -> Result<(), Error> {
    let key = identity.credentials()?.access_key_id();
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        let text = "the access key is empty, or has blanks or other characters in it that no access key has";
        return Err(Error::new(ErrorKind::Credentials, text));
    }
    Ok(())
}

/// The word for the payload: its hash, or why there is none.
fn content_sha256(payload: Payload) -> &'static str {
    match payload {
        Payload::None => EMPTY,
        Payload::Unsigned { .. } => "UNSIGNED-PAYLOAD",
        Payload::UnsignedTrailer { .. } => "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    }
}

/// S3's: one percent-encoding, no path normalisation, the payload's word in a header.
fn settings() -> SigningSettings {
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    settings
}

fn by_library(request: &Unsigned<'_>, params: &SigningParams<'_>) -> Result<Vec<Header<'static>>, Error> {
    let body = SignableBody::Precomputed(content_sha256(request.payload).to_owned());
    let lines = request.headers.iter().map(|(name, value)| (name.as_ref(), value.as_ref()));
    let signable = SignableRequest::new(request.method, request.url, lines, body).map_err(unfit)?;
    let (instructions, _) = sign(signable, params).map_err(unfit)?.into_parts();
    let (headers, _) = instructions.into_parts();
    Ok(headers.into_iter().map(|header| (header.name().into(), header.value().to_owned().into())).collect())
}

fn defect(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::internal("the signature's parameters are incomplete").with_source(error)
}

fn unfit(error: aws_sigv4::http_request::SigningError) -> Error {
    Error::new(ErrorKind::InvalidArgument, "the request cannot be signed").with_source(error)
}

#[cfg(test)]
mod tests;
