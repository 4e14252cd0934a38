//! Signs a request anew with the server's own key, for requests whose signature is not to be checked.
//!
//! `s3s` decodes aws-chunked bodies and trailers only behind a valid SigV4 signature of service `s3`. With checks off, and behind
//! signatures of other kinds that were checked already, the server therefore puts its own signature in place of the client's.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use http::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue};
use http::request::Parts;

const CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
const DATE: HeaderName = HeaderName::from_static("x-amz-date");

/// Replaces whatever signature the request carries, in headers or query. A request whose chunks are signed as well is left as it
/// is, and so checked: its chunks' signatures build on the one in its headers.
pub(crate) fn resign(parts: &mut Parts, access_key: &str, secret_key: &str, region: &str) {
    let signed_chunks = |payload: &HeaderValue| payload.as_bytes().starts_with(b"STREAMING-AWS4-");
    if parts.headers.get(&CONTENT_SHA256).is_some_and(signed_chunks) {
        return;
    }
    strip_presigned_query(parts);
    parts.headers.remove(AUTHORIZATION);
    parts.headers.remove(&DATE);
    let payload = match parts.headers.get(&CONTENT_SHA256).and_then(|value| value.to_str().ok()) {
        Some(payload) => payload.to_owned(),
        None => {
            parts.headers.insert(CONTENT_SHA256, HeaderValue::from_static("UNSIGNED-PAYLOAD"));
            "UNSIGNED-PAYLOAD".to_owned()
        }
    };
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    let identity = Credentials::new(access_key, secret_key, None, None, "xfer-tests").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("s3")
        .time(SystemTime::now())
        .settings(settings)
        .build()
        .expect("all signing parameters are set")
        .into();
    let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned();
    let signed_headers = [("host", host.as_str()), ("x-amz-content-sha256", payload.as_str())];
    let path = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let uri = format!("http://{host}{path}");
    let body = SignableBody::Precomputed(payload.clone());
    let request = SignableRequest::new(parts.method.as_str(), uri, signed_headers.into_iter(), body);
    let Ok(signed) = request.and_then(|request| sign(request, &params)) else {
        // What cannot be signed goes on unsigned, and is refused.
        return;
    };
    let (instructions, _) = signed.into_parts();
    let (headers, _) = instructions.into_parts();
    for header in headers {
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(header.name().as_bytes()), HeaderValue::from_str(header.value()))
        {
            parts.headers.insert(name, value);
        }
    }
}

/// Removes `X-Amz-Signature` and its kin from the query of a presigned URL.
fn strip_presigned_query(parts: &mut Parts) {
    let Some(query) = parts.uri.query().filter(|query| query.contains("X-Amz-Signature=")) else {
        return;
    };
    const AUTH: [&str; 7] = [
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Date",
        "X-Amz-Expires",
        "X-Amz-Security-Token",
        "X-Amz-Signature",
        "X-Amz-SignedHeaders",
    ];
    let kept: Vec<_> =
        query.split('&').filter(|pair| !AUTH.contains(&pair.split('=').next().unwrap_or(pair))).collect();
    let target = format!("{}?{}", parts.uri.path(), kept.join("&"));
    if let Ok(uri) = target.parse() {
        parts.uri = uri;
    }
}
