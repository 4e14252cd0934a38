//! What a request asks for, read from its method, path, query and headers alone.
//!
//! Counting, logging and fault rules work on this, before signatures are checked and also for requests that will be refused.
//! Keys are compared after one percent-decoding, exactly as S3 does, with no normalisation of any kind.

use std::collections::BTreeMap;

use http::{HeaderMap, Method, request::Parts};
use percent_encoding::percent_decode_str;

use crate::server::Hosts;

/// An S3 operation, as told from the request's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    /// `PUT /bucket/key`.
    PutObject,
    /// `GET /bucket/key`, whole, ranged or by part number.
    GetObject,
    /// `HEAD /bucket/key`.
    HeadObject,
    /// `DELETE /bucket/key`.
    DeleteObject,
    /// `POST /bucket?delete`.
    DeleteObjects,
    /// `POST /bucket/key?uploads`.
    CreateMultipartUpload,
    /// `PUT /bucket/key?partNumber&uploadId`.
    UploadPart,
    /// `POST /bucket/key?uploadId`.
    CompleteMultipartUpload,
    /// `DELETE /bucket/key?uploadId`.
    AbortMultipartUpload,
    /// `GET /bucket/key?uploadId`.
    ListParts,
    /// `GET /bucket?uploads`.
    ListMultipartUploads,
    /// `GET /bucket?list-type=2`.
    ListObjectsV2,
    /// `HEAD /bucket`.
    HeadBucket,
    /// `PUT /bucket`.
    CreateBucket,
    /// `GET /bucket?session`.
    CreateSession,
    /// Anything else; most of it is answered with 501.
    Other,
}

/// The parts of a request that rules and tests look at.
#[derive(Clone, Debug)]
pub(crate) struct RequestInfo {
    pub(crate) op: Op,
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) bucket: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) part_number: Option<u32>,
    pub(crate) upload_id: Option<String>,
    pub(crate) range: Option<String>,
    pub(crate) headers: BTreeMap<String, String>,
}

impl RequestInfo {
    /// Reads a request; its Host header may name the bucket.
    pub(crate) fn of(parts: &Parts, hosts: &Hosts) -> Self {
        let query = query_of(parts.uri.query().unwrap_or(""));
        let path = parts.uri.path().strip_prefix('/').unwrap_or("");
        let host = parts.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
        let (bucket, key) = match host.and_then(|host| hosts.bucket(host)) {
            Some(bucket) => (bucket.to_owned(), path),
            None => {
                let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
                (decoded(bucket), key)
            }
        };
        let bucket = (!bucket.is_empty()).then_some(bucket);
        let key = (!key.is_empty()).then(|| decoded(key));
        Self {
            op: classify(&parts.method, bucket.is_some(), key.is_some(), &query),
            method: parts.method.clone(),
            target: parts.uri.path_and_query().map_or_else(String::new, ToString::to_string),
            bucket,
            key,
            part_number: query.get("partNumber").and_then(|number| number.parse().ok()),
            upload_id: query.get("uploadId").cloned(),
            range: parts
                .headers
                .get(http::header::RANGE)
                .map(|range| String::from_utf8_lossy(range.as_bytes()).into_owned()),
            headers: header_map(&parts.headers),
        }
    }

    /// The first byte a `bytes=a-` or `bytes=a-b` range asks for.
    pub(crate) fn range_start(&self) -> Option<u64> {
        self.range.as_deref()?.strip_prefix("bytes=")?.split_once('-')?.0.parse().ok()
    }

    /// Whether checksums or other headers follow the body.
    pub(crate) fn has_trailer(&self) -> bool {
        self.headers.contains_key("x-amz-trailer")
            || self.headers.get("x-amz-content-sha256").is_some_and(|value| value.ends_with("-TRAILER"))
    }

    /// Whether the request says anything of a checksum of what is uploaded.
    pub(crate) fn has_checksum(&self) -> bool {
        let says = |name: &str| name.starts_with("x-amz-checksum-") && name != "x-amz-checksum-mode";
        self.has_trailer()
            || self.headers.keys().any(|name| says(name))
            || self.headers.contains_key("x-amz-sdk-checksum-algorithm")
    }
}

fn classify(method: &Method, bucket: bool, key: bool, query: &BTreeMap<String, String>) -> Op {
    let has = |name: &str| query.contains_key(name);
    match (method.as_str(), bucket, key) {
        ("PUT", true, true) if has("partNumber") && has("uploadId") => Op::UploadPart,
        ("PUT", true, true) if !["acl", "tagging", "retention", "legal-hold"].into_iter().any(has) => Op::PutObject,
        ("GET", true, true) if has("uploadId") => Op::ListParts,
        ("GET", true, true)
            if !["acl", "tagging", "attributes", "retention", "legal-hold", "torrent"].into_iter().any(has) =>
        {
            Op::GetObject
        }
        ("HEAD", true, true) => Op::HeadObject,
        ("DELETE", true, true) if has("uploadId") => Op::AbortMultipartUpload,
        ("DELETE", true, true) if !has("tagging") => Op::DeleteObject,
        ("POST", true, true) if has("uploads") => Op::CreateMultipartUpload,
        ("POST", true, true) if has("uploadId") => Op::CompleteMultipartUpload,
        ("POST", true, false) if has("delete") => Op::DeleteObjects,
        ("GET", true, false) if has("session") => Op::CreateSession,
        ("GET", true, false) if has("uploads") => Op::ListMultipartUploads,
        ("GET", true, false) if query.get("list-type").is_some_and(|version| version == "2") => Op::ListObjectsV2,
        ("HEAD", true, false) => Op::HeadBucket,
        ("PUT", true, false) if query.keys().all(|name| name == "x-id") => Op::CreateBucket,
        _ => Op::Other,
    }
}

fn query_of(query: &str) -> BTreeMap<String, String> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        })
        .collect()
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn header_map(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut map = BTreeMap::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        map.entry(name.as_str().to_owned())
            .and_modify(|joined: &mut String| {
                joined.push_str(", ");
                joined.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(method: &str, target: &str, host: &str) -> RequestInfo {
        let request = http::Request::builder().method(method).uri(target).header("host", host).body(()).unwrap();
        let mut hosts = Hosts::default();
        hosts.add_domain("s3.test".to_owned());
        RequestInfo::of(&request.into_parts().0, &hosts)
    }

    #[test]
    fn operations_are_told_by_shape() {
        let cases = [
            ("PUT", "/b/k?x-id=PutObject", Op::PutObject),
            ("PUT", "/b/k?partNumber=3&uploadId=u", Op::UploadPart),
            ("GET", "/b/k?partNumber=1", Op::GetObject),
            ("GET", "/b/k?uploadId=u", Op::ListParts),
            ("HEAD", "/b/k", Op::HeadObject),
            ("DELETE", "/b/k", Op::DeleteObject),
            ("DELETE", "/b/k?uploadId=u", Op::AbortMultipartUpload),
            ("POST", "/b/k?uploads", Op::CreateMultipartUpload),
            ("POST", "/b/k?uploadId=u", Op::CompleteMultipartUpload),
            ("POST", "/b/?delete=", Op::DeleteObjects),
            ("POST", "/b?delete", Op::DeleteObjects),
            ("GET", "/b/?list-type=2&prefix=a", Op::ListObjectsV2),
            ("GET", "/b?uploads", Op::ListMultipartUploads),
            ("GET", "/b/?session", Op::CreateSession),
            ("HEAD", "/b", Op::HeadBucket),
            ("PUT", "/b", Op::CreateBucket),
            ("GET", "/b/k?acl", Op::Other),
            ("GET", "/", Op::Other),
        ];
        for (method, target, op) in cases {
            assert_eq!(info(method, target, "127.0.0.1:9").op, op, "{method} {target}");
        }
    }

    #[test]
    fn keys_are_decoded_once_and_never_normalised() {
        let read = info("GET", "/b//a/../%2B%25+%20c?partNumber=7", "127.0.0.1");
        assert_eq!(read.bucket.as_deref(), Some("b"));
        assert_eq!(read.key.as_deref(), Some("/a/../+%+ c"));
        assert_eq!(read.part_number, Some(7));
    }

    #[test]
    fn the_host_names_the_bucket_when_a_domain_is_set() {
        let read = info("GET", "/some/key", "pics.s3.test:9000");
        assert_eq!((read.bucket.as_deref(), read.key.as_deref()), (Some("pics"), Some("some/key")));
        let read = info("GET", "/pics/key", "s3.test:9000");
        assert_eq!((read.bucket.as_deref(), read.key.as_deref()), (Some("pics"), Some("key")));
    }
}
