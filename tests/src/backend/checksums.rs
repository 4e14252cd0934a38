//! The checksum algorithms of S3: computing, declaring, verifying and combining them.
//!
//! Values are raw big-endian bytes inside and base64 on the wire. A `COMPOSITE` value is the checksum of the parts' checksums
//! with `-N` behind it; a `FULL_OBJECT` value of a multipart object is combined from the parts' CRCs, without reading the bytes.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use crc_fast::CrcAlgorithm;
use http::{HeaderMap, HeaderName, HeaderValue};
use s3s::{S3Result, s3_error};
use sha1::Digest as _;
use std::hash::Hasher as _;

/// A checksum algorithm that S3 keeps with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChecksumAlgorithm {
    /// CRC-32 (ISO-HDLC), 4 bytes.
    Crc32,
    /// CRC-32C (Castagnoli), 4 bytes.
    Crc32c,
    /// CRC-64/NVME, 8 bytes; what S3 computes when the client sends none.
    Crc64Nvme,
    /// SHA-1, 20 bytes.
    Sha1,
    /// SHA-256, 32 bytes.
    Sha256,
    /// SHA-512, 64 bytes.
    Sha512,
    /// XXH64, 8 bytes.
    XxHash64,
    /// XXH3 with 64 bits, 8 bytes.
    XxHash3,
    /// XXH3 with 128 bits, 16 bytes.
    XxHash128,
    /// MD5, 16 bytes.
    Md5,
}

impl ChecksumAlgorithm {
    pub(crate) const ALL: [Self; 10] = [
        Self::Crc32,
        Self::Crc32c,
        Self::Crc64Nvme,
        Self::Sha1,
        Self::Sha256,
        Self::Sha512,
        Self::XxHash64,
        Self::XxHash3,
        Self::XxHash128,
        Self::Md5,
    ];

    /// The name in `x-amz-checksum-algorithm` and in XML.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha512 => "SHA512",
            Self::XxHash64 => "XXHASH64",
            Self::XxHash3 => "XXHASH3",
            Self::XxHash128 => "XXHASH128",
            Self::Md5 => "MD5",
        }
    }

    /// The header (or trailer) that carries the value.
    #[must_use]
    pub fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
            Self::Sha512 => "x-amz-checksum-sha512",
            Self::XxHash64 => "x-amz-checksum-xxhash64",
            Self::XxHash3 => "x-amz-checksum-xxhash3",
            Self::XxHash128 => "x-amz-checksum-xxhash128",
            Self::Md5 => "x-amz-checksum-md5",
        }
    }

    pub(crate) fn of_name(name: &str) -> S3Result<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| s3_error!(InvalidRequest, "Checksum algorithm provided is unsupported: {name}"))
    }

    fn crc(self) -> Option<(CrcAlgorithm, usize)> {
        match self {
            Self::Crc32 => Some((CrcAlgorithm::Crc32IsoHdlc, 4)),
            Self::Crc32c => Some((CrcAlgorithm::Crc32Iscsi, 4)),
            Self::Crc64Nvme => Some((CrcAlgorithm::Crc64Nvme, 8)),
            _ => None,
        }
    }

    /// Whether part checksums can be combined into that of the whole.
    pub(crate) fn combines(self) -> bool {
        self.crc().is_some()
    }

    /// The checksum of some bytes, big-endian.
    #[must_use]
    pub fn of(self, data: &[u8]) -> Vec<u8> {
        let mut digester = Digester::new(self);
        digester.update(data);
        digester.finish()
    }

    /// The checksum of the concatenation of parts, from each part's checksum and length.
    pub(crate) fn combine<'a>(self, parts: impl IntoIterator<Item = (&'a [u8], u64)>) -> Vec<u8> {
        let (algorithm, width) = self.crc().expect("only CRCs combine");
        let mut whole = crc_fast::checksum(algorithm, b"");
        for (value, len) in parts {
            whole = crc_fast::checksum_combine(algorithm, whole, number(value), len);
        }
        whole.to_be_bytes()[8 - width..].to_vec()
    }
}

fn number(value: &[u8]) -> u64 {
    value.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Whether a checksum covers the bytes or the parts' checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChecksumType {
    /// Over all bytes of the object.
    FullObject,
    /// Over the checksums of the parts.
    Composite,
}

impl ChecksumType {
    /// The name in `x-amz-checksum-type`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::FullObject => "FULL_OBJECT",
            Self::Composite => "COMPOSITE",
        }
    }
}

/// A checksum as it is kept with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredChecksum {
    /// The algorithm.
    pub algorithm: ChecksumAlgorithm,
    /// What it covers.
    pub kind: ChecksumType,
    /// The value as sent: base64, and `-N` behind it when composite.
    pub value: String,
}

impl StoredChecksum {
    pub(crate) fn full(algorithm: ChecksumAlgorithm, value: &[u8]) -> Self {
        Self { algorithm, kind: ChecksumType::FullObject, value: BASE64.encode(value) }
    }

    pub(crate) fn composite<'a>(algorithm: ChecksumAlgorithm, parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut digester = Digester::new(algorithm);
        let mut count = 0;
        for value in parts {
            digester.update(value);
            count += 1;
        }
        let value = format!("{}-{count}", BASE64.encode(digester.finish()));
        Self { algorithm, kind: ChecksumType::Composite, value }
    }
}

/// A running checksum.
pub(crate) struct Digester {
    algorithm: ChecksumAlgorithm,
    state: State,
}

enum State {
    Crc(crc_fast::Digest, usize),
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
    Sha512(Box<sha2::Sha512>),
    XxHash64(twox_hash::XxHash64),
    XxHash3(Box<twox_hash::XxHash3_64>),
    XxHash128(Box<twox_hash::XxHash3_128>),
    Md5(md5::Md5),
}

impl fmt::Debug for Digester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digester({})", self.algorithm.name())
    }
}

impl Digester {
    pub(crate) fn new(algorithm: ChecksumAlgorithm) -> Self {
        let state = match (algorithm.crc(), algorithm) {
            (Some((crc, width)), _) => State::Crc(crc_fast::Digest::new(crc), width),
            (None, ChecksumAlgorithm::Sha1) => State::Sha1(sha1::Sha1::new()),
            (None, ChecksumAlgorithm::Sha512) => State::Sha512(Box::default()),
            (None, ChecksumAlgorithm::XxHash64) => State::XxHash64(twox_hash::XxHash64::with_seed(0)),
            (None, ChecksumAlgorithm::XxHash3) => State::XxHash3(Box::default()),
            (None, ChecksumAlgorithm::XxHash128) => State::XxHash128(Box::default()),
            (None, ChecksumAlgorithm::Md5) => State::Md5(md5::Md5::new()),
            (None, _) => State::Sha256(sha2::Sha256::new()),
        };
        Self { algorithm, state }
    }

    pub(crate) fn algorithm(&self) -> ChecksumAlgorithm {
        self.algorithm
    }

    pub(crate) fn update(&mut self, data: &[u8]) {
        match &mut self.state {
            State::Crc(digest, _) => digest.update(data),
            State::Sha1(digest) => digest.update(data),
            State::Sha256(digest) => digest.update(data),
            State::Sha512(digest) => digest.update(data),
            State::XxHash64(digest) => digest.write(data),
            State::XxHash3(digest) => digest.write(data),
            State::XxHash128(digest) => digest.write(data),
            State::Md5(digest) => digest.update(data),
        }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        match self.state {
            State::Crc(digest, width) => digest.finalize().to_be_bytes()[8 - width..].to_vec(),
            State::Sha1(digest) => digest.finalize().to_vec(),
            State::Sha256(digest) => digest.finalize().to_vec(),
            State::Sha512(digest) => digest.finalize().to_vec(),
            State::XxHash64(digest) => digest.finish().to_be_bytes().to_vec(),
            State::XxHash3(digest) => digest.finish().to_be_bytes().to_vec(),
            State::XxHash128(digest) => digest.finish_128().to_be_bytes().to_vec(),
            State::Md5(digest) => digest.finalize().to_vec(),
        }
    }
}

/// The checksum a request says its body has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Declared {
    pub(crate) algorithm: ChecksumAlgorithm,
    /// The value from the header; `None` when it follows in a trailer.
    pub(crate) value: Option<String>,
}

/// Finds the one checksum that headers declare, by value or as a trailer to come.
pub(crate) fn declared(headers: &HeaderMap) -> S3Result<Option<Declared>> {
    let mut found = Vec::new();
    for algorithm in ChecksumAlgorithm::ALL {
        for value in headers.get_all(algorithm.header()) {
            found.push(Declared { algorithm, value: Some(String::from_utf8_lossy(value.as_bytes()).into_owned()) });
        }
    }
    for names in headers.get_all("x-amz-trailer") {
        for name in String::from_utf8_lossy(names.as_bytes()).split(',') {
            let name = name.trim();
            let algorithm =
                ChecksumAlgorithm::ALL.into_iter().find(|algorithm| algorithm.header().eq_ignore_ascii_case(name));
            match algorithm {
                Some(algorithm) => found.push(Declared { algorithm, value: None }),
                None => {
                    return Err(s3_error!(
                        InvalidRequest,
                        "The value specified in the x-amz-trailer header is not supported"
                    ));
                }
            }
        }
    }
    if found.len() > 1 {
        return Err(s3_error!(
            InvalidRequest,
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
        ));
    }
    let declared = found.pop();
    if let Some(asked) = headers.get("x-amz-sdk-checksum-algorithm") {
        let asked = ChecksumAlgorithm::of_name(&String::from_utf8_lossy(asked.as_bytes()))?;
        match &declared {
            Some(declared) if declared.algorithm == asked => {}
            Some(_) => {
                return Err(s3_error!(InvalidRequest, "Value for x-amz-sdk-checksum-algorithm header is invalid."));
            }
            None => {
                return Err(s3_error!(
                    InvalidRequest,
                    "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found."
                ));
            }
        }
    }
    Ok(declared)
}

/// Compares a declared value with the computed one.
pub(crate) fn verify(algorithm: ChecksumAlgorithm, declared: &str, computed: &[u8]) -> S3Result<()> {
    let well_formed = BASE64.decode(declared).is_ok_and(|value| value.len() == computed.len());
    if !well_formed {
        return Err(s3_error!(InvalidRequest, "Value for {} header is invalid.", algorithm.header()));
    }
    if declared == BASE64.encode(computed) {
        return Ok(());
    }
    Err(s3_error!(BadDigest, "The {} you specified did not match the calculated checksum.", algorithm.name()))
}

/// Puts a checksum into the headers of an answer.
pub(crate) fn tell(headers: &mut HeaderMap, algorithm: ChecksumAlgorithm, value: &str) {
    headers.insert(
        HeaderName::from_static(algorithm.header()),
        HeaderValue::from_str(value).expect("base64 is a header's value"),
    );
}

/// Sets the field for a checksum in an XML answer of s3s, which has one field for each algorithm that it knows. The newer ones are left
/// out there: clients get them from headers.
macro_rules! set_checksum {
    ($output:expr, $algorithm:expr, $value:expr) => {
        match $algorithm {
            $crate::backend::checksums::ChecksumAlgorithm::Crc32 => $output.checksum_crc32 = Some($value),
            $crate::backend::checksums::ChecksumAlgorithm::Crc32c => $output.checksum_crc32c = Some($value),
            $crate::backend::checksums::ChecksumAlgorithm::Crc64Nvme => $output.checksum_crc64nvme = Some($value),
            $crate::backend::checksums::ChecksumAlgorithm::Sha1 => $output.checksum_sha1 = Some($value),
            $crate::backend::checksums::ChecksumAlgorithm::Sha256 => $output.checksum_sha256 = Some($value),
            _ => {}
        }
    };
}
pub(crate) use set_checksum;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_vectors() {
        let cases = [
            (ChecksumAlgorithm::Crc32, "y/Q5Jg=="),
            (ChecksumAlgorithm::Crc32c, "4waSgw=="),
            (ChecksumAlgorithm::Crc64Nvme, "rosUhgp5mIg="),
            (ChecksumAlgorithm::Sha1, "98O8HYCOBHMq32eZZczDTKeuNEE="),
            (ChecksumAlgorithm::Sha256, "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="),
            (
                ChecksumAlgorithm::Sha512,
                "2eZ2LdHI6vbWGzxhkvxAjU1tXxF20MKRabwk5xw/J0rSf81YEbMT1oH35V7ALXPUmclUVba1u1A6z1dPuo/+hQ==",
            ),
            (ChecksumAlgorithm::XxHash64, "jLhB20DmroM="),
            (ChecksumAlgorithm::XxHash3, "ctyxi2ehff8="),
            (ChecksumAlgorithm::XxHash128, "MxGUd+3l3NXpcWQnaB1YYA=="),
            (ChecksumAlgorithm::Md5, "JfnnlDI7RTiF9RgfG2JNCw=="),
        ];
        for (algorithm, value) in cases {
            let computed = algorithm.of(b"123456789");
            assert!(verify(algorithm, value, &computed).is_ok(), "{} {}", algorithm.name(), BASE64.encode(&computed));
        }
    }

    #[test]
    fn combining_equals_the_checksum_of_the_whole() {
        let data = crate::pattern::bytes(1, 100_000);
        for algorithm in ChecksumAlgorithm::ALL.into_iter().filter(|algorithm| algorithm.combines()) {
            let parts: Vec<_> = data.chunks(33_333).map(|part| (algorithm.of(part), part.len() as u64)).collect();
            let whole = algorithm.combine(parts.iter().map(|(value, len)| (&value[..], *len)));
            assert_eq!(whole, algorithm.of(&data), "{}", algorithm.name());
        }
    }

    #[test]
    fn two_declarations_and_wrong_values_are_told_apart() {
        let mut headers = HeaderMap::new();
        assert_eq!(declared(&headers).unwrap(), None);
        headers.insert("x-amz-trailer", "x-amz-checksum-crc32c".parse().unwrap());
        let found = declared(&headers).unwrap().unwrap();
        assert_eq!(found, Declared { algorithm: ChecksumAlgorithm::Crc32c, value: None });
        headers.insert("x-amz-checksum-sha1", "98O8HYCOBHMq32eZZczDTKeuNEE=".parse().unwrap());
        assert!(declared(&headers).is_err());
        let mut alone = HeaderMap::new();
        alone.insert("x-amz-sdk-checksum-algorithm", "CRC32".parse().unwrap());
        assert!(declared(&alone).is_err(), "an algorithm without a value");

        let computed = ChecksumAlgorithm::Crc32.of(b"123456789");
        let wrong = verify(ChecksumAlgorithm::Crc32, "AAAAAA==", &computed).unwrap_err();
        assert_eq!(wrong.code().as_str(), "BadDigest");
        let malformed = verify(ChecksumAlgorithm::Crc32, "AAAA", &computed).unwrap_err();
        assert_eq!(malformed.code().as_str(), "InvalidRequest");
    }
}
