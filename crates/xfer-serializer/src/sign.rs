//! Signatures in headers, by aws-sigv4 with S3's settings: one percent-encoding, no path normalisation, the payload's hash (or the
//! word that stands for it) in `x-amz-content-sha256`.

use std::borrow::Cow;
use std::time::SystemTime;

use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningParams, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::{v4, v4a};
use xfer_core::error::{Error, ErrorKind};

use crate::capture::Scheme;
use crate::identity::Identity;
use crate::stamp::Payload;

/// SHA-256 of nothing.
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// The header of an S3 Express session's token.
const SESSION_TOKEN: &str = "x-amz-s3session-token";

/// What is signed.
pub(crate) struct Unsigned<'a> {
    pub(crate) method: &'static str,
    /// Scheme, host, path and query.
    pub(crate) url: &'a str,
    pub(crate) headers: &'a [(Cow<'static, str>, String)],
    pub(crate) payload: Payload,
}

/// The headers that the signature adds.
pub(crate) fn headers(
    request: &Unsigned<'_>,
    scheme: &Scheme,
    identity: &Identity,
    now: SystemTime,
) -> Result<Vec<(Cow<'static, str>, String)>, Error> {
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    let params: SigningParams<'_> = match scheme {
        Scheme::V4 { name, region } | Scheme::Express { name, region } => {
            if matches!(scheme, Scheme::Express { .. }) {
                settings.session_token_name_override = Some(SESSION_TOKEN);
            }
            v4::SigningParams::builder()
                .identity(identity.inner())
                .region(region)
                .name(name)
                .time(now)
                .settings(settings)
                .build()
                .map(SigningParams::from)
                .map_err(defect)?
        }
        Scheme::V4a { name, regions } => v4a::SigningParams::builder()
            .identity(identity.inner())
            .region_set(regions)
            .name(name)
            .time(now)
            .settings(settings)
            .build()
            .map(SigningParams::from)
            .map_err(defect)?,
    };
    let body = match request.payload {
        Payload::None => SignableBody::Precomputed(EMPTY.to_owned()),
        Payload::Unsigned { .. } => SignableBody::UnsignedPayload,
        Payload::UnsignedTrailer { .. } => SignableBody::StreamingUnsignedPayloadTrailer,
    };
    let lines = request.headers.iter().map(|(name, value)| (name.as_ref(), value.as_str()));
    let signable = SignableRequest::new(request.method, request.url, lines, body).map_err(unfit)?;
    let (instructions, _) = sign(signable, &params).map_err(unfit)?.into_parts();
    let (headers, _) = instructions.into_parts();
    Ok(headers.into_iter().map(|header| (Cow::Borrowed(header.name()), header.value().to_owned())).collect())
}

fn defect(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::internal("the signature's parameters are incomplete").with_source(error)
}

fn unfit(error: aws_sigv4::http_request::SigningError) -> Error {
    Error::new(ErrorKind::InvalidArgument, "the request cannot be signed").with_source(error)
}

#[cfg(test)]
mod tests;
