//! Checksums by S3's names: streaming, as header values, and the checksum of a whole from those of its parts.
//!
//! Decides: which algorithms can be combined, and how. Never sees a header list or a socket.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::combine;

/// A checksum algorithm of the S3 API.
///
/// ```
/// use xfer_core::checksum::Algorithm;
/// assert_eq!("crc64nvme".parse::<Algorithm>().ok(), Some(Algorithm::Crc64Nvme));
/// assert_eq!(Algorithm::Crc64Nvme.header(), "x-amz-checksum-crc64nvme");
/// assert_eq!(Algorithm::Sha256.to_string(), "SHA256");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[non_exhaustive]
pub enum Algorithm {
    /// CRC-32 (ISO-HDLC).
    Crc32,
    /// CRC-32C (Castagnoli).
    Crc32c,
    /// CRC-64/NVME, S3's default.
    Crc64Nvme,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
    /// XXH64, seed 0.
    XxHash64,
    /// XXH3 with 64 bits.
    XxHash3,
    /// XXH3 with 128 bits.
    XxHash128,
}

impl Algorithm {
    /// All algorithms, in the order in which the interface lists them.
    pub const ALL: [Algorithm; 9] = [
        Algorithm::Crc32c,
        Algorithm::Crc32,
        Algorithm::Sha1,
        Algorithm::Sha256,
        Algorithm::Crc64Nvme,
        Algorithm::Sha512,
        Algorithm::XxHash64,
        Algorithm::XxHash3,
        Algorithm::XxHash128,
    ];

    /// The order in which a download chooses when a store gives several: as the CRT does, fastest and widest first.
    pub const BY_PREFERENCE: [Algorithm; 9] = [
        Algorithm::XxHash128,
        Algorithm::XxHash3,
        Algorithm::Crc64Nvme,
        Algorithm::Crc32c,
        Algorithm::Crc32,
        Algorithm::XxHash64,
        Algorithm::Sha512,
        Algorithm::Sha256,
        Algorithm::Sha1,
    ];

    /// The name in the S3 API, upper case.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Crc32 => "CRC32",
            Algorithm::Crc32c => "CRC32C",
            Algorithm::Crc64Nvme => "CRC64NVME",
            Algorithm::Sha1 => "SHA1",
            Algorithm::Sha256 => "SHA256",
            Algorithm::Sha512 => "SHA512",
            Algorithm::XxHash64 => "XXHASH64",
            Algorithm::XxHash3 => "XXHASH3",
            Algorithm::XxHash128 => "XXHASH128",
        }
    }

    /// The header, or trailer, that carries its value.
    #[must_use]
    pub fn header(self) -> &'static str {
        match self {
            Algorithm::Crc32 => "x-amz-checksum-crc32",
            Algorithm::Crc32c => "x-amz-checksum-crc32c",
            Algorithm::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Algorithm::Sha1 => "x-amz-checksum-sha1",
            Algorithm::Sha256 => "x-amz-checksum-sha256",
            Algorithm::Sha512 => "x-amz-checksum-sha512",
            Algorithm::XxHash64 => "x-amz-checksum-xxhash64",
            Algorithm::XxHash3 => "x-amz-checksum-xxhash3",
            Algorithm::XxHash128 => "x-amz-checksum-xxhash128",
        }
    }

    /// Length of a value in bytes, before base64.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "no value is empty")]
    pub fn len(self) -> usize {
        match self {
            Algorithm::Crc32 | Algorithm::Crc32c => 4,
            Algorithm::Crc64Nvme | Algorithm::XxHash64 | Algorithm::XxHash3 => 8,
            Algorithm::XxHash128 => 16,
            Algorithm::Sha1 => 20,
            Algorithm::Sha256 => 32,
            Algorithm::Sha512 => 64,
        }
    }

    /// Whether the checksum of a whole follows from those of its parts: true of the CRCs.
    #[must_use]
    pub fn combines(self) -> bool {
        self.crc().is_some()
    }

    /// How S3 makes an object's checksum from those of its parts, unless told otherwise: CRC64NVME is always of the full object.
    #[must_use]
    pub fn default_kind(self) -> ChecksumKind {
        match self {
            Algorithm::Crc64Nvme => ChecksumKind::FullObject,
            _ => ChecksumKind::Composite,
        }
    }

    fn crc(self) -> Option<CrcAlgorithm> {
        match self {
            Algorithm::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
            Algorithm::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
            Algorithm::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
            _ => None,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no checksum algorithm.
///
/// ```
/// use xfer_core::checksum::{Algorithm, UnknownAlgorithm};
/// let unknown = "CRC16".parse::<Algorithm>();
/// assert_eq!(unknown, Err(UnknownAlgorithm("CRC16".to_owned())));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown checksum algorithm {0:?}")]
pub struct UnknownAlgorithm(pub String);

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Algorithm, UnknownAlgorithm> {
        Algorithm::ALL
            .into_iter()
            .find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| UnknownAlgorithm(name.to_owned()))
    }
}

/// What the checksum of a multipart object covers.
///
/// ```
/// use xfer_core::checksum::{Algorithm, ChecksumKind};
/// assert_eq!(ChecksumKind::FullObject.name(), "FULL_OBJECT");
/// // A SHA of a whole cannot be had from those of its parts.
/// assert_eq!(Algorithm::Sha256.default_kind(), ChecksumKind::Composite);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ChecksumKind {
    /// The object's bytes.
    FullObject,
    /// The parts' checksums, one after the other.
    Composite,
}

impl ChecksumKind {
    /// The value of `x-amz-checksum-type`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ChecksumKind::FullObject => "FULL_OBJECT",
            ChecksumKind::Composite => "COMPOSITE",
        }
    }
}

/// The checksum of some bytes.
///
/// ```
/// use xfer_core::checksum::{Algorithm, Checksum};
/// let crc = |bytes: &[u8]| Checksum::of(Algorithm::Crc32, bytes);
/// assert_eq!(crc(b"hello").to_base64(), "NhCmhg==");
/// assert_eq!(Checksum::from_base64(Algorithm::Crc32, "NhCmhg=="), Some(crc(b"hello")));
/// // That of a whole, from those of its parts.
/// assert_eq!(crc(b"hel").then(&crc(b"lo"), 2), Some(crc(b"hello")));
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Checksum {
    algorithm: Algorithm,
    value: Vec<u8>,
}

impl Checksum {
    /// The checksum of `bytes`.
    ///
    /// ```
    /// use xfer_core::checksum::{Algorithm, Checksum};
    /// assert_eq!(Checksum::of(Algorithm::Crc32, b"123456789").to_base64(), "y/Q5Jg==");
    /// ```
    #[must_use]
    pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Checksum {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    /// A value from a header; `None` when it is not base64 of the right length, as a composite `…-N` is not.
    #[must_use]
    pub fn from_base64(algorithm: Algorithm, text: &str) -> Option<Checksum> {
        let value = STANDARD.decode(text.trim()).ok()?;
        (value.len() == algorithm.len()).then_some(Checksum { algorithm, value })
    }

    /// The value for a header.
    #[must_use]
    pub fn to_base64(&self) -> String {
        STANDARD.encode(&self.value)
    }

    /// Which algorithm.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The raw value, big-endian.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// The checksum of this one's bytes followed by `length` bytes whose checksum is `next`; `None` when the algorithms differ
    /// or cannot be combined.
    ///
    /// ```
    /// use xfer_core::checksum::{Algorithm, Checksum};
    /// let a = Checksum::of(Algorithm::Crc64Nvme, b"ab");
    /// let b = Checksum::of(Algorithm::Crc64Nvme, b"cde");
    /// assert_eq!(a.then(&b, 3), Some(Checksum::of(Algorithm::Crc64Nvme, b"abcde")));
    /// ```
    #[must_use]
    pub fn then(&self, next: &Checksum, length: u64) -> Option<Checksum> {
        let polynomial = match self.algorithm {
            Algorithm::Crc32 => &combine::CRC32,
            Algorithm::Crc32c => &combine::CRC32C,
            Algorithm::Crc64Nvme => &combine::CRC64NVME,
            _ => return None,
        };
        if self.algorithm != next.algorithm {
            return None;
        }
        let combined = polynomial.combine(self.as_u64(), next.as_u64(), length);
        Some(Checksum::from_u64(self.algorithm, combined))
    }

    fn as_u64(&self) -> u64 {
        self.value.iter().fold(0, |value, byte| (value << 8) | u64::from(*byte))
    }

    fn from_u64(algorithm: Algorithm, value: u64) -> Checksum {
        Checksum { algorithm, value: value.to_be_bytes()[8 - algorithm.len()..].to_vec() }
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm, self.to_base64())
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.algorithm, self.to_base64())
    }
}

/// A checksum that grows with the bytes. Clone it to keep a state to return to.
///
/// ```
/// use xfer_core::checksum::{Algorithm, Checksum, Hasher};
/// let mut hasher = Hasher::new(Algorithm::Crc64Nvme);
/// hasher.update(b"hel");
/// hasher.update(b"lo");
/// assert_eq!(hasher.finish(), Checksum::of(Algorithm::Crc64Nvme, b"hello"));
/// ```
#[derive(Clone)]
pub struct Hasher {
    algorithm: Algorithm,
    state: State,
}

#[derive(Clone)]
enum State {
    Crc(crc_fast::Digest),
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
    Sha512(Box<sha2::Sha512>),
    XxHash64(twox_hash::XxHash64),
    XxHash3(Box<twox_hash::XxHash3_64>),
    XxHash128(Box<twox_hash::XxHash3_128>),
}

impl Hasher {
    /// A checksum of no bytes yet.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Hasher {
        let state = match (algorithm.crc(), algorithm) {
            (Some(crc), _) => State::Crc(crc_fast::Digest::new(crc)),
            (None, Algorithm::Sha1) => State::Sha1(sha1::Sha1::new()),
            (None, Algorithm::Sha256) => State::Sha256(sha2::Sha256::new()),
            (None, Algorithm::Sha512) => State::Sha512(Box::new(sha2::Sha512::new())),
            (None, Algorithm::XxHash64) => State::XxHash64(twox_hash::XxHash64::with_seed(0)),
            (None, Algorithm::XxHash3) => State::XxHash3(Box::default()),
            (None, _) => State::XxHash128(Box::default()),
        };
        Hasher { algorithm, state }
    }

    /// Which algorithm.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Takes the next bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Crc(digest) => digest.update(bytes),
            State::Sha1(digest) => digest.update(bytes),
            State::Sha256(digest) => digest.update(bytes),
            State::Sha512(digest) => digest.update(bytes),
            State::XxHash64(digest) => std::hash::Hasher::write(digest, bytes),
            State::XxHash3(digest) => std::hash::Hasher::write(digest.as_mut(), bytes),
            State::XxHash128(digest) => digest.write(bytes),
        }
    }

    /// The checksum of all bytes taken in.
    #[must_use]
    pub fn finish(&self) -> Checksum {
        let algorithm = self.algorithm;
        let value = match &self.state {
            State::Crc(digest) => return Checksum::from_u64(algorithm, digest.finalize()),
            State::Sha1(digest) => digest.clone().finalize().to_vec(),
            State::Sha256(digest) => digest.clone().finalize().to_vec(),
            State::Sha512(digest) => digest.as_ref().clone().finalize().to_vec(),
            State::XxHash64(digest) => std::hash::Hasher::finish(digest).to_be_bytes().to_vec(),
            State::XxHash3(digest) => std::hash::Hasher::finish(digest.as_ref()).to_be_bytes().to_vec(),
            State::XxHash128(digest) => digest.finish_128().to_be_bytes().to_vec(),
        };
        Checksum { algorithm, value }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
