//! Whether an object that lies in the store is the one that an upload has made.
//!
//! A request whose answer was lost is made again, and may be refused because it was carried out the first time: a condition is not met any
//! more, or the multipart upload is gone. Decides: which refusals may mean that, and whether what lies under the key is what was sent.
//!
//! Invariant: an object is claimed only with the size and either the full checksum or the ETag of what was sent, and never one that is
//! older than the transfer. What stays undecidable: the same bytes, stored by another at the same time. The store has then what the caller
//! wanted it to have, but whoever stores empty objects under conditions to take turns must make them differ.

use std::fmt::Write as _;
use std::time::Duration;

use md5::{Digest as _, Md5};

use crate::checksum::Checksum;
use crate::error::{Error, ErrorKind};
use crate::job::SeenObject;

/// Times of objects and answers are told in whole seconds, and by the clocks of several machines.
const SLACK: Duration = Duration::from_secs(2);

/// Whether a request that was carried out before would be refused like this.
///
/// ```
/// use xfer_core::claim::may_be_our_own_doing;
/// use xfer_core::error::{Error, ErrorKind};
/// // `If-None-Match: *`, and there is an object: perhaps the one that the first try has stored.
/// assert!(may_be_our_own_doing(&Error::new(ErrorKind::PreconditionFailed, "")));
/// assert!(!may_be_our_own_doing(&Error::new(ErrorKind::AccessDenied, "")));
/// ```
#[must_use]
pub fn may_be_our_own_doing(refusal: &Error) -> bool {
    let conflict = refusal.service().is_some_and(|answer| answer.status == 409);
    conflict || matches!(refusal.kind(), ErrorKind::PreconditionFailed | ErrorKind::NoSuchUpload)
}

/// What was sent, as far as it can be recognised by.
///
/// ```
/// use xfer_core::checksum::{Algorithm, Checksum};
/// use xfer_core::claim::Fingerprint;
/// use xfer_core::job::SeenObject;
/// let sum = Checksum::of(Algorithm::Crc64Nvme, b"abc");
/// let ours = Fingerprint { size: 3, checksum: Some(sum.clone()), etag: None };
/// assert!(ours.is_of(&SeenObject { size: 3, checksums: vec![sum], ..SeenObject::default() }));
/// assert!(!ours.is_of(&SeenObject { size: 3, ..SeenObject::default() }), "the size alone says nothing");
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fingerprint {
    /// Size in bytes.
    pub size: u64,
    /// The full object's checksum.
    pub checksum: Option<Checksum>,
    /// The ETag that S3 gives to such an object when it does not encrypt it.
    pub etag: Option<String>,
}

impl Fingerprint {
    /// Whether this is the object.
    ///
    /// ```
    /// use std::time::Duration;
    /// use xfer_core::claim::Fingerprint;
    /// use xfer_core::job::SeenObject;
    /// let ours = Fingerprint { size: 3, etag: Some("\"900150983cd24fb0d6963f7d28e17f72\"".to_owned()), ..Fingerprint::default() };
    /// let etag = ours.etag.as_deref().map(Into::into);
    /// let seen = SeenObject { size: 3, etag, begun: Duration::from_secs(5), ..SeenObject::default() };
    /// assert!(ours.is_of(&seen));
    /// assert!(!ours.is_of(&SeenObject { age: Some(Duration::from_secs(3_600)), ..seen }));
    /// ```
    #[must_use]
    pub fn is_of(&self, seen: &SeenObject) -> bool {
        if seen.size != self.size || seen.age.is_some_and(|age| age > seen.begun + SLACK) {
            return false;
        }
        if let Some(ours) = &self.checksum
            && let Some(theirs) = seen.checksums.iter().find(|theirs| theirs.algorithm() == ours.algorithm())
        {
            return ours == theirs;
        }
        let bare = |etag: &str| etag.trim_matches('"').to_owned();
        self.etag.as_deref().map(bare).is_some_and(|ours| seen.etag.as_deref().map(bare) == Some(ours))
    }
}

/// Whether an ETag can be the MD5 of an object's bytes, by its form: those of encrypted objects may look the same.
///
/// ```
/// use xfer_core::claim::may_be_md5;
/// assert!(may_be_md5("\"900150983cd24fb0d6963f7d28e17f72\""));
/// assert!(!may_be_md5("\"900150983cd24fb0d6963f7d28e17f72-3\""), "of three parts");
/// ```
#[must_use]
pub fn may_be_md5(etag: &str) -> bool {
    let bare = etag.trim_matches('"');
    bare.len() == 32 && bare.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Takes the ETag that S3 gives to an object that is stored with one request and not encrypted: its MD5.
///
/// ```
/// use xfer_core::claim::EtagOfBytes;
/// let mut etag = EtagOfBytes::default();
/// etag.update(b"abc");
/// assert_eq!(etag.finish(), "\"900150983cd24fb0d6963f7d28e17f72\"");
/// ```
#[derive(Clone, Debug, Default)]
pub struct EtagOfBytes(Md5);

impl EtagOfBytes {
    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The ETag, in quotes.
    #[must_use]
    pub fn finish(self) -> String {
        format!("\"{}\"", hex(&self.0.finalize()))
    }
}

/// Bytes as ETags have them.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // A String takes whatever is written.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;
    use crate::checksum::Algorithm;
    use crate::error::ServiceAnswer;

    fn sum(bytes: &[u8]) -> Checksum {
        Checksum::of(Algorithm::Crc64Nvme, bytes)
    }

    #[test]
    fn refusals_that_may_be_of_our_own_doing() {
        let conflict = ServiceAnswer { status: 409, ..ServiceAnswer::default() };
        let error = |kind| Error::new(kind, "");
        assert!(may_be_our_own_doing(&error(ErrorKind::PreconditionFailed)));
        assert!(may_be_our_own_doing(&error(ErrorKind::NoSuchUpload)));
        assert!(may_be_our_own_doing(&error(ErrorKind::ServiceUnavailable).with_service(conflict)));
        for kind in [ErrorKind::AccessDenied, ErrorKind::ServiceUnavailable, ErrorKind::ConnectionLost] {
            assert!(!may_be_our_own_doing(&error(kind)), "{kind:?}");
        }
    }

    #[test]
    fn an_object_is_known_by_its_checksum_and_else_by_its_etag() {
        let etag = || Some("\"abc\"".to_owned());
        let both = Fingerprint { size: 5, checksum: Some(sum(b"right")), etag: etag() };
        let seen = SeenObject { size: 5, begun: Duration::from_secs(1), ..SeenObject::default() };
        let with = |checksum: &[u8], etag: &str| SeenObject {
            checksums: vec![Checksum::of(Algorithm::Crc32, b"another"), sum(checksum)],
            etag: Some(etag.into()),
            ..seen.clone()
        };
        assert!(both.is_of(&with(b"right", "\"another\"")), "encrypted objects have another ETag");
        assert!(!both.is_of(&with(b"wrong", "\"abc\"")), "the checksum says more than the ETag");
        assert!(!both.is_of(&SeenObject { size: 6, ..with(b"right", "") }));
        let by_etag = SeenObject { etag: Some("abc".into()), ..seen.clone() };
        assert!(both.is_of(&by_etag), "with or without quotes");
        assert!(!both.is_of(&seen), "by nothing but its size");
        assert!(!Fingerprint { size: 5, ..Fingerprint::default() }.is_of(&with(b"right", "\"abc\"")));
        let nothing = SeenObject { etag: None, ..seen };
        assert!(!Fingerprint { size: 5, ..Fingerprint::default() }.is_of(&nothing), "nothing is not equal to nothing");
    }

    #[test]
    fn etags_that_may_be_md5s() {
        assert!(may_be_md5("\"900150983cd24fb0d6963f7d28e17f72\"") && may_be_md5(&EtagOfBytes::default().finish()));
        for etag in ["", "\"900150983cd24fb0d6963f7d28e17f72-2\"", "\"zzz150983cd24fb0d6963f7d28e17f72\""] {
            assert!(!may_be_md5(etag), "{etag}");
        }
    }

    proptest! {
        #[test]
        fn an_object_that_is_older_than_the_transfer_is_never_claimed(age in 0_u64..100, begun in 0_u64..100, told: bool) {
            let ours = Fingerprint { size: 5, checksum: Some(sum(b"right")), etag: None };
            let seen = SeenObject {
                size: 5,
                checksums: vec![sum(b"right")],
                age: told.then_some(Duration::from_secs(age)),
                begun: Duration::from_secs(begun),
                ..SeenObject::default()
            };
            prop_assert_eq!(ours.is_of(&seen), !told || age <= begun + 2);
        }
    }
}
