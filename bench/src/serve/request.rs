//! A request's head, as far as the server cares.
//!
//! Decides: which operation a request is. Any signature will do, and is not looked at.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm;
use serde::{Deserialize, Serialize};

/// Checksum algorithms by the names of their headers. What has a CRC is compared under `--verify`.
const CHECKSUMS: [(&str, Option<CrcAlgorithm>); 5] = [
    ("x-amz-checksum-crc64nvme", Some(CrcAlgorithm::Crc64Nvme)),
    ("x-amz-checksum-crc32", Some(CrcAlgorithm::Crc32IsoHdlc)),
    ("x-amz-checksum-crc32c", Some(CrcAlgorithm::Crc32Iscsi)),
    ("x-amz-checksum-sha256", None),
    ("x-amz-checksum-sha1", None),
];

/// Operations, by their names in the S3 API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Operation {
    GetObject,
    HeadObject,
    ListObjectsV2,
    PutObject,
    CreateMultipartUpload,
    UploadPart,
    CompleteMultipartUpload,
    AbortMultipartUpload,
    ListParts,
    DeleteObject,
    DeleteObjects,
    Unknown,
}

/// Which bytes a GET wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    All,
    /// First and last byte.
    Range(u64, Option<u64>),
    /// The last bytes.
    Last(u64),
    Part(u64),
}

/// A checksum that a client gives for what it sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) header: &'static str,
    /// Base64; empty when it is yet to come in a trailer.
    pub(crate) value: String,
    pub(crate) in_trailer: bool,
}

impl Given {
    /// Of a header or a trailer; none if it is no checksum.
    pub(crate) fn new(name: &str, value: &str) -> Option<Self> {
        let (header, _) = CHECKSUMS.iter().find(|(header, _)| header.eq_ignore_ascii_case(name))?;
        Some(Self { header, value: value.to_owned(), in_trailer: false })
    }

    /// Announced in `x-amz-trailer`.
    fn announced(name: &str) -> Option<Self> {
        Some(Self { in_trailer: true, ..Self::new(name, "")? })
    }

    pub(crate) fn algorithm(&self) -> Option<CrcAlgorithm> {
        CHECKSUMS.iter().find(|(header, _)| *header == self.header)?.1
    }
}

/// A CRC as S3 writes it.
pub(crate) fn base64_of(algorithm: CrcAlgorithm, crc: u64) -> String {
    match algorithm {
        CrcAlgorithm::Crc64Nvme => STANDARD.encode(crc.to_be_bytes()),
        _ => STANDARD.encode((crc as u32).to_be_bytes()),
    }
}

/// One request, its body still to come.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) operation: Operation,
    /// Decoded; empty for the bucket itself.
    pub(crate) key: String,
    query: Vec<(String, String)>,
    pub(crate) wanted: Wanted,
    pub(crate) if_match: Option<String>,
    pub(crate) checksum_mode: bool,
    pub(crate) length: u64,
    /// HTTP's own chunks: their length is not known before.
    pub(crate) chunked: bool,
    pub(crate) aws_chunked: bool,
    pub(crate) decoded_length: Option<u64>,
    pub(crate) expects_continue: bool,
    pub(crate) closes: bool,
    pub(crate) checksum: Option<Given>,
    pub(crate) content_md5: bool,
    pub(crate) payload_hash: bool,
}

impl Request {
    /// Of a whole head; `None` while it is not.
    ///
    /// # Errors
    /// Kind `InvalidData` when it is no HTTP.
    pub(crate) fn parse(bytes: &[u8]) -> io::Result<Option<(Self, usize)>> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut head = httparse::Request::new(&mut headers);
        let status = head.parse(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let httparse::Status::Complete(length) = status else { return Ok(None) };
        let (path, query) = split_query(head.path.unwrap_or_default());
        let mut path = path.trim_start_matches('/').splitn(2, '/');
        let (_bucket, key) = (path.next(), decode(path.next().unwrap_or_default()));
        let mut request = Self {
            operation: Operation::Unknown,
            key,
            query,
            wanted: Wanted::All,
            if_match: None,
            checksum_mode: false,
            length: 0,
            chunked: false,
            aws_chunked: false,
            decoded_length: None,
            expects_continue: false,
            closes: false,
            checksum: None,
            content_md5: false,
            payload_hash: false,
        };
        for header in head.headers.iter() {
            let Ok(value) = std::str::from_utf8(header.value) else { continue };
            request.take_header(header.name, value.trim())?;
        }
        if let Some(number) = request.query("partNumber").and_then(|number| number.parse().ok()) {
            request.wanted = Wanted::Part(number);
        }
        request.operation = request.operation(head.method.unwrap_or_default());
        Ok(Some((request, length)))
    }

    fn take_header(&mut self, name: &str, value: &str) -> io::Result<()> {
        let number =
            || value.parse().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("{name}: {value}")));
        match name.to_ascii_lowercase().as_str() {
            "range" => self.wanted = range(value).unwrap_or(Wanted::All),
            "if-match" => self.if_match = Some(value.trim_matches('"').to_owned()),
            "x-amz-checksum-mode" => self.checksum_mode = value.eq_ignore_ascii_case("enabled"),
            "content-length" => self.length = number()?,
            "transfer-encoding" => self.chunked = value.to_ascii_lowercase().contains("chunked"),
            "content-encoding" => self.aws_chunked = value.contains("aws-chunked"),
            "x-amz-decoded-content-length" => self.decoded_length = Some(number()?),
            "expect" => self.expects_continue = value.eq_ignore_ascii_case("100-continue"),
            "connection" => self.closes = value.eq_ignore_ascii_case("close"),
            "x-amz-trailer" => self.checksum = Given::announced(value),
            "content-md5" => self.content_md5 = true,
            "x-amz-content-sha256" => {
                self.payload_hash = value.len() == 64;
                // Some clients encode a body so and name it here alone.
                self.aws_chunked |= value.starts_with("STREAMING-");
            }
            other => {
                if let Some(given) = Given::new(other, value) {
                    self.checksum = Some(given);
                }
            }
        }
        Ok(())
    }

    /// A parameter's value: empty for one without.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// How the bytes of an upload are secured.
    pub(crate) fn secured_by(&self) -> String {
        match &self.checksum {
            Some(given) if given.in_trailer => format!("{} in a trailer", given.header),
            Some(given) => format!("{} in a header", given.header),
            None if self.content_md5 => "content-md5".to_owned(),
            None if self.payload_hash => "x-amz-content-sha256".to_owned(),
            None => "nothing".to_owned(),
        }
    }

    fn operation(&self, method: &str) -> Operation {
        let has = |name| self.query(name).is_some();
        match method {
            "GET" if self.key.is_empty() && has("list-type") => Operation::ListObjectsV2,
            "GET" | "HEAD" if self.key.is_empty() => Operation::Unknown,
            "GET" if has("uploadId") => Operation::ListParts,
            "GET" => Operation::GetObject,
            "HEAD" => Operation::HeadObject,
            "PUT" if self.key.is_empty() => Operation::Unknown,
            "PUT" if has("uploadId") => Operation::UploadPart,
            "PUT" => Operation::PutObject,
            "POST" if has("delete") => Operation::DeleteObjects,
            "POST" if has("uploads") => Operation::CreateMultipartUpload,
            "POST" if has("uploadId") => Operation::CompleteMultipartUpload,
            "DELETE" if has("uploadId") => Operation::AbortMultipartUpload,
            "DELETE" if !self.key.is_empty() => Operation::DeleteObject,
            _ => Operation::Unknown,
        }
    }
}

fn split_query(target: &str) -> (&str, Vec<(String, String)>) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    });
    (path, pairs.collect())
}

fn range(value: &str) -> Option<Wanted> {
    let (first, last) = value.strip_prefix("bytes=")?.split_once('-')?;
    match (first, last) {
        ("", last) => Some(Wanted::Last(last.parse().ok()?)),
        (first, "") => Some(Wanted::Range(first.parse().ok()?, None)),
        (first, last) => Some(Wanted::Range(first.parse().ok()?, Some(last.parse().ok()?))),
    }
}

/// Takes percent-encoding off. A `%` that stands for nothing stays.
fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let byte = (*first == b'%').then(|| std::str::from_utf8(behind.get(..2)?).ok()).flatten();
        match byte.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &behind[2..];
            }
            None => {
                out.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn parse(head: &str) -> Request {
        let text = head.replace('\n', "\r\n") + "\r\n\r\n";
        let (request, length) = Request::parse(text.as_bytes()).unwrap().unwrap();
        assert_eq!(length, text.len());
        request
    }

    #[test]
    fn each_operation_is_known() {
        for (line, operation) in [
            ("GET /b/k", Operation::GetObject),
            ("GET /b/k?partNumber=1&x-id=GetObject", Operation::GetObject),
            ("HEAD /b/k", Operation::HeadObject),
            ("GET /b?list-type=2&prefix=a%2F", Operation::ListObjectsV2),
            ("PUT /b/k", Operation::PutObject),
            ("POST /b/k?uploads", Operation::CreateMultipartUpload),
            ("POST /b/k?uploads=", Operation::CreateMultipartUpload),
            ("PUT /b/k?partNumber=2&uploadId=u", Operation::UploadPart),
            ("POST /b/k?uploadId=u", Operation::CompleteMultipartUpload),
            ("DELETE /b/k?uploadId=u", Operation::AbortMultipartUpload),
            ("GET /b/k?uploadId=u", Operation::ListParts),
            ("DELETE /b/k", Operation::DeleteObject),
            ("POST /b/?delete", Operation::DeleteObjects),
            ("PUT /b", Operation::Unknown),
            ("PATCH /b/k", Operation::Unknown),
        ] {
            assert_eq!(parse(&format!("{line} HTTP/1.1\nHost: x")).operation, operation, "{line}");
        }
    }

    #[test]
    fn keys_and_parameters_are_decoded() {
        let request = parse("GET /b/a%20b/%C3%BC%?prefix=x%2Fy&empty HTTP/1.1");
        assert_eq!(request.key, "a b/\u{fc}%");
        assert_eq!(
            (request.query("prefix"), request.query("empty"), request.query("no")),
            (Some("x/y"), Some(""), None)
        );
    }

    #[test]
    fn ranges_and_parts() {
        for (line, wanted) in [
            ("Range: bytes=0-9", Wanted::Range(0, Some(9))),
            ("range: bytes=5-", Wanted::Range(5, None)),
            ("Range: bytes=-7", Wanted::Last(7)),
            ("Range: lines=1-2", Wanted::All),
            ("X: y", Wanted::All),
        ] {
            assert_eq!(parse(&format!("GET /b/k HTTP/1.1\n{line}")).wanted, wanted, "{line}");
        }
        assert_eq!(parse("GET /b/k?partNumber=3 HTTP/1.1").wanted, Wanted::Part(3));
    }

    #[test]
    fn it_is_known_how_bytes_are_secured() {
        let put = |headers: &str| parse(&format!("PUT /b/k HTTP/1.1\nContent-Length: 3\n{headers}"));
        let trailer = put("Content-Encoding: aws-chunked\nx-amz-trailer: x-amz-checksum-crc64nvme");
        assert!(trailer.aws_chunked && trailer.length == 3);
        assert_eq!(trailer.secured_by(), "x-amz-checksum-crc64nvme in a trailer");
        assert_eq!(put("X-Amz-Checksum-CRC32: AAAAAA==").secured_by(), "x-amz-checksum-crc32 in a header");
        assert_eq!(put("Content-MD5: x").secured_by(), "content-md5");
        assert_eq!(put(&format!("x-amz-content-sha256: {:064}", 0)).secured_by(), "x-amz-content-sha256");
        assert_eq!(put("x-amz-content-sha256: UNSIGNED-PAYLOAD").secured_by(), "nothing");
    }

    #[test]
    fn half_a_head_is_waited_for_and_nonsense_refused() {
        assert!(Request::parse(b"GET /b/k HTTP/1.1\r\nHost").unwrap().is_none());
        assert!(Request::parse(b"\x16\x03\x01\x02\x00").is_err());
    }
}
