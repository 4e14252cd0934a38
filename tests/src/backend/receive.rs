//! Takes in a request body: stores it, computes what has to be computed, and checks it against all that the request declares.
//!
//! A body that is short, long or does not match a declared digest never becomes visible: its storage is dropped with the error.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::StreamExt;
use http::HeaderMap;
use md5::{Digest as _, Md5};
use s3s::dto::StreamingBlob;
use s3s::{S3Error, S3Result, StdError, TrailingHeaders, s3_error};

use super::checksums::{self, ChecksumAlgorithm, Declared, Digester};
use super::content::Content;
use super::custom_error;
use super::store::{Store, hex};

/// What came with the body.
#[derive(Debug)]
pub(crate) struct Incoming<'a> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) trailers: Option<TrailingHeaders>,
    pub(crate) content_length: Option<i64>,
    pub(crate) content_md5: Option<&'a str>,
    pub(crate) body: Option<StreamingBlob>,
}

/// A body that is stored and proved right.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) content: Content,
    /// Without quotes.
    pub(crate) etag: String,
    /// The algorithm the client used, if any.
    pub(crate) declared: Option<ChecksumAlgorithm>,
    checksums: BTreeMap<ChecksumAlgorithm, Vec<u8>>,
}

impl Received {
    /// The computed value; only of an algorithm that was declared or asked for.
    pub(crate) fn checksum(&self, algorithm: ChecksumAlgorithm) -> &[u8] {
        self.checksums.get(&algorithm).map_or(&[], Vec::as_slice)
    }
}

/// Receives a body, computing the checksum `also` besides the declared one.
pub(crate) async fn receive(
    store: &Store,
    request: Incoming<'_>,
    also: Option<ChecksumAlgorithm>,
) -> S3Result<Received> {
    let declared = checksums::declared(request.headers)?;
    let mut algorithms: Vec<_> = declared.iter().map(|declared| declared.algorithm).chain(also).collect();
    algorithms.dedup();
    let mut digesters: Vec<_> = algorithms.into_iter().map(Digester::new).collect();
    let mut md5 = (!store.fast_etags || request.content_md5.is_some()).then(Md5::new);
    let mut writer = store.storage.writer().map_err(storage_failed)?;
    if let Some(mut body) = request.body {
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(body_failed)?;
            digesters.iter_mut().for_each(|digester| digester.update(&piece));
            if let Some(md5) = &mut md5 {
                md5.update(&piece);
            }
            writer.write(piece).map_err(storage_failed)?;
        }
    }
    let content = writer.finish();
    if request.content_length.is_some_and(|len| len as u64 != content.len()) {
        return Err(s3_error!(
            IncompleteBody,
            "You did not provide the number of bytes specified by the Content-Length HTTP header"
        ));
    }
    let md5 = md5.map(|md5| md5.finalize().to_vec());
    if let (Some(sent), Some(md5)) = (request.content_md5, &md5) {
        check_md5(sent, md5)?;
    }
    let checksums: BTreeMap<_, _> =
        digesters.into_iter().map(|digester| (digester.algorithm(), digester.finish())).collect();
    if let Some(Declared { algorithm, value }) = &declared {
        let value = match value {
            Some(value) => Some(value.clone()),
            None => request.trailers.and_then(|trailers| trailer(&trailers, *algorithm)),
        };
        let value = value.ok_or_else(|| {
            custom_error(400, "MalformedTrailerError", "The request contained trailing data that was not well-formed")
        })?;
        checksums::verify(*algorithm, &value, &checksums[algorithm])?;
    }
    let etag = match md5 {
        Some(md5) if !store.fast_etags => hex(&md5),
        _ => store.tag(),
    };
    Ok(Received { content, etag, declared: declared.map(|declared| declared.algorithm), checksums })
}

fn trailer(trailers: &TrailingHeaders, algorithm: ChecksumAlgorithm) -> Option<String> {
    trailers.read(|headers| {
        headers.get(algorithm.header()).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    })?
}

fn check_md5(sent: &str, computed: &[u8]) -> S3Result<()> {
    match BASE64.decode(sent) {
        Ok(sent) if sent == computed => Ok(()),
        Ok(sent) if sent.len() == 16 => {
            Err(s3_error!(BadDigest, "The Content-MD5 you specified did not match what we received."))
        }
        _ => Err(s3_error!(InvalidDigest, "The Content-MD5 you specified is not valid.")),
    }
}

/// What a broken body means. The streams of s3s that check payload hashes have private error types, so their names are read
/// from the message.
fn body_failed(error: StdError) -> S3Error {
    let text = error.to_string();
    if text.contains("Sha256Mismatch") {
        custom_error(
            400,
            "XAmzContentSHA256Mismatch",
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        )
    } else if text.contains("SignatureMismatch") {
        s3_error!(SignatureDoesNotMatch, "The signature of a chunk does not match.")
    } else if text.contains("FormatError") || text.contains("TooLarge") {
        s3_error!(InvalidRequest, "The aws-chunked body is malformed.")
    } else {
        s3_error!(IncompleteBody, "The request body did not arrive in full.")
    }
}

fn storage_failed(error: std::io::Error) -> S3Error {
    s3_error!(error, InternalError, "storage failed")
}
