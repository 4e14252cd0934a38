//! What a call's arguments ask of checksums.
//!
//! Decides: which of the checksum arguments go together. Never computes a checksum.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{ArgValue, ExtraArgs};
use crate::checksum::{Algorithm, Checksum, ChecksumKind};
use crate::error::{Error, ErrorKind};

const ALGORITHM: &str = "ChecksumAlgorithm";
const TYPE: &str = "ChecksumType";
const MODE: &str = "ChecksumMode";
const MD5: &str = "ChecksumMD5";
const MD5_LENGTH: usize = 16;

/// Which checksum the caller of an upload wants.
///
/// ```
/// use xfer_core::args::{ChecksumChoice, ExtraArgs, requested_checksum};
/// use xfer_core::checksum::{Algorithm, Checksum};
/// let known = Checksum::of(Algorithm::Sha256, b"abc");
/// assert_eq!(requested_checksum(&ExtraArgs::new().checksum(&known))?, ChecksumChoice::Given(known));
/// # Ok::<(), xfer_core::error::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChecksumChoice {
    /// None was named: the client's default.
    Default,
    /// Computed on the way by this algorithm; of a multipart object of this kind, if one was named.
    Algorithm(Algorithm, Option<ChecksumKind>),
    /// The caller has the checksum of the whole object: the store compares, and nothing else goes along.
    Given(Checksum),
    /// As [`Given`](ChecksumChoice::Given), but by MD5 (`ChecksumMD5`), which is no algorithm of ours: the header goes as it is.
    GivenMd5,
}

/// The argument that carries a full-object checksum of this algorithm.
pub(super) fn argument(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Crc32 => "ChecksumCRC32",
        Algorithm::Crc32c => "ChecksumCRC32C",
        Algorithm::Crc64Nvme => "ChecksumCRC64NVME",
        Algorithm::Sha1 => "ChecksumSHA1",
        Algorithm::Sha256 => "ChecksumSHA256",
        Algorithm::Sha512 => "ChecksumSHA512",
        Algorithm::XxHash64 => "ChecksumXXHASH64",
        Algorithm::XxHash3 => "ChecksumXXHASH3",
        Algorithm::XxHash128 => "ChecksumXXHASH128",
    }
}

/// Which checksum an upload with these arguments is to have.
///
/// ```
/// use xfer_core::args::{ChecksumChoice, ExtraArgs, requested_checksum};
/// use xfer_core::checksum::Algorithm;
/// assert_eq!(requested_checksum(&ExtraArgs::new())?, ChecksumChoice::Default);
/// let args = ExtraArgs::new().with("ChecksumAlgorithm", "crc32c");
/// assert_eq!(requested_checksum(&args)?, ChecksumChoice::Algorithm(Algorithm::Crc32c, None));
/// # Ok::<(), xfer_core::error::Error>(())
/// ```
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] for an unknown algorithm or kind, two full-object values, a value that is not base64 of the right
/// length, and arguments that contradict each other.
pub fn requested_checksum(args: &ExtraArgs) -> Result<ChecksumChoice, Error> {
    choose(args).map_err(|message| Error::new(ErrorKind::InvalidArgument, message))
}

/// Whether a download compares what it gets with the checksum that the store has: always, unless `ChecksumMode` is `DISABLED`. That
/// word is ours and not S3's; it must not be sent.
///
/// ```
/// use xfer_core::args::{ExtraArgs, validates_download};
/// assert!(validates_download(&ExtraArgs::new()));
/// assert!(!validates_download(&ExtraArgs::new().with("ChecksumMode", "DISABLED")));
/// ```
#[must_use]
pub fn validates_download(args: &ExtraArgs) -> bool {
    args.text(MODE) != Some("DISABLED")
}

/// Refuses a `ChecksumMode` that is no word of S3's or ours.
pub(super) fn known_mode(args: &ExtraArgs) -> Result<(), String> {
    if args.get(MODE).is_none() || matches!(args.text(MODE), Some("ENABLED" | "DISABLED")) {
        return Ok(());
    }
    Err(format!("{MODE} must be ENABLED or DISABLED"))
}

/// Refuses an algorithm that there is not, in the words of `s3transfer`.
pub(super) fn supported_algorithm(args: &ExtraArgs) -> Result<Option<Algorithm>, String> {
    let name = match args.get(ALGORITHM) {
        None => return Ok(None),
        Some(ArgValue::Text(name)) => name,
        Some(_) => return Err(format!("{ALGORITHM} must be a text")),
    };
    name.parse().map(Some).map_err(|_| {
        let names: Vec<String> = Algorithm::ALL.iter().map(|known| format!("'{known}'")).collect();
        format!("{ALGORITHM}: {name} not supported. Supported algorithms are: [{}]", names.join(", "))
    })
}

fn kind(args: &ExtraArgs) -> Result<Option<ChecksumKind>, String> {
    if args.get(TYPE).is_none() {
        return Ok(None);
    }
    let name = args.text(TYPE).unwrap_or_default();
    let kinds = [ChecksumKind::FullObject, ChecksumKind::Composite];
    // Exactly as S3 writes them: the word goes into a header as it was given.
    let kind = kinds.into_iter().find(|kind| kind.name() == name);
    kind.map(Some).ok_or_else(|| format!("{TYPE} must be FULL_OBJECT or COMPOSITE"))
}

/// The one full-object value, with the argument's name.
fn given(args: &ExtraArgs) -> Result<Option<(&'static str, ChecksumChoice)>, String> {
    let mut found: Option<(&'static str, ChecksumChoice)> = None;
    let ours = Algorithm::ALL.into_iter().map(|algorithm| (argument(algorithm), Some(algorithm)));
    for (name, algorithm) in ours.chain([(MD5, None)]) {
        if args.get(name).is_none() {
            continue;
        }
        if let Some((other, _)) = &found {
            return Err(format!("{other} and {name} exclude each other: an object has one full-object checksum"));
        }
        let value = args.text(name).unwrap_or_default();
        let length = algorithm.map_or(MD5_LENGTH, Algorithm::len);
        let choice = match algorithm {
            Some(algorithm) => Checksum::from_base64(algorithm, value).map(ChecksumChoice::Given),
            None => STANDARD.decode(value).is_ok_and(|bytes| bytes.len() == length).then_some(ChecksumChoice::GivenMd5),
        };
        let choice = choice.filter(|_| !value.contains(char::is_whitespace));
        let choice = choice.ok_or_else(|| format!("{name} must be the base64 of a checksum of {length} bytes"))?;
        found = Some((name, choice));
    }
    Ok(found)
}

pub(super) fn choose(args: &ExtraArgs) -> Result<ChecksumChoice, String> {
    let (algorithm, kind) = (supported_algorithm(args)?, kind(args)?);
    if let Some((name, choice)) = given(args)? {
        let named = match &choice {
            ChecksumChoice::Given(checksum) => Some(checksum.algorithm()),
            _ => None,
        };
        if let Some(algorithm) = algorithm.filter(|algorithm| Some(*algorithm) != named) {
            return Err(format!("{name} and {ALGORITHM} {algorithm} contradict each other"));
        }
        if kind == Some(ChecksumKind::Composite) {
            return Err(format!("{name} is a checksum of the full object: it cannot go with {TYPE} COMPOSITE"));
        }
        return Ok(choice);
    }
    match (algorithm, kind) {
        (None, None) => Ok(ChecksumChoice::Default),
        // S3 and xfer have it by default; named here, so that a client with another default obeys.
        (None, Some(ChecksumKind::FullObject)) => Ok(ChecksumChoice::Algorithm(Algorithm::Crc64Nvme, kind)),
        (None, Some(ChecksumKind::Composite)) => {
            Err(format!("{TYPE} COMPOSITE needs a {ALGORITHM}: S3's default, CRC64NVME, has no composite checksums"))
        }
        (Some(algorithm), Some(ChecksumKind::FullObject)) if !algorithm.combines() => {
            Err(format!("{TYPE} FULL_OBJECT does not go with {algorithm}: S3 has it of the CRC algorithms only"))
        }
        (Some(Algorithm::Crc64Nvme), Some(ChecksumKind::Composite)) => {
            Err(format!("{TYPE} COMPOSITE does not go with CRC64NVME: S3 has it of full objects only"))
        }
        (Some(algorithm), kind) => Ok(ChecksumChoice::Algorithm(algorithm, kind)),
    }
}
