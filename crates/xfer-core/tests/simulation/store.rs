//! What the far end of the simulated world remembers, and what it must look like in the end.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use xfer_core::checksum::{Algorithm, Checksum};
use xfer_core::job::UploadedPart;
use xfer_core::range::ByteRange;

/// The checksum of the bytes of a range. No bytes are made up: a checksum that depends on where the range is does as well, and combines
/// in one order only.
pub(crate) fn checksum_of(range: ByteRange) -> Checksum {
    Checksum::of(Algorithm::Crc64Nvme, &range.start.to_be_bytes())
}

/// The checksum of an object that consists of these ranges.
pub(crate) fn checksum_of_all(ranges: &[ByteRange]) -> Option<Checksum> {
    let (first, rest) = ranges.split_first()?;
    rest.iter().try_fold(checksum_of(*first), |sum, range| sum.then(&checksum_of(*range), range.len()))
}

/// A multipart upload.
#[derive(Debug, Default)]
pub(crate) struct Upload {
    pub(crate) transfer: u64,
    /// Whether the client was told of it. One whose answer was lost is nobody's to clean up but a lifecycle rule's.
    pub(crate) told: bool,
    pub(crate) parts: BTreeMap<u32, ByteRange>,
    pub(crate) completed: bool,
    pub(crate) aborted: bool,
    /// Parts that arrive although they were cut, so that one abort is not enough.
    pub(crate) strays: u32,
}

/// An object.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) size: u64,
    pub(crate) checksum: Option<Checksum>,
    /// Whether a transfer has stored it, or somebody else.
    pub(crate) of_transfer: bool,
    pub(crate) modified: Duration,
}

#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) uploads: HashMap<Arc<str>, Upload>,
    /// By the transfer whose key it is.
    pub(crate) objects: HashMap<u64, Object>,
    pub(crate) now: Duration,
}

impl Store {
    pub(crate) fn create(&mut self, transfer: u64, told: bool) -> Arc<str> {
        let id: Arc<str> = format!("upload-{}", self.uploads.len()).into();
        self.uploads.insert(Arc::clone(&id), Upload { transfer, told, ..Upload::default() });
        id
    }

    pub(crate) fn upload_part(&mut self, id: &str, number: u32, range: ByteRange) {
        let upload = self.uploads.get_mut(id).expect("the upload was created");
        assert!(!upload.completed, "no part comes after the completion");
        upload.parts.insert(number, range);
    }

    /// Completes an upload as S3 does: all parts, in order, large enough, and with the right checksum.
    pub(crate) fn complete(&mut self, id: &str, parts: &[UploadedPart], size: u64, checksum: Option<&Checksum>) {
        let upload = self.uploads.get_mut(id).expect("the upload was created");
        assert!(!upload.aborted, "an upload that was aborted is not completed");
        let mut ranges = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            assert_eq!(part.number.index(), index, "parts without a gap");
            let range = upload.parts[&part.number.get()];
            assert_eq!(&*part.etag, format!("etag-{}", range.start));
            assert_eq!(range.start, ranges.last().map_or(0, |last: &ByteRange| last.end));
            assert!(index + 1 == parts.len() || range.len() >= 5 << 20, "a small part that is not the last");
            ranges.push(range);
        }
        assert!(!ranges.is_empty());
        assert_eq!(ranges.last().map(|last| last.end), Some(size));
        assert_eq!(checksum, checksum_of_all(&ranges).as_ref(), "the full checksum");
        upload.completed = true;
        let transfer = upload.transfer;
        self.put(transfer, size, checksum.cloned());
    }

    pub(crate) fn put(&mut self, transfer: u64, size: u64, checksum: Option<Checksum>) {
        let object = Object { size, checksum, of_transfer: true, modified: self.now };
        self.objects.insert(transfer, object);
    }

    /// Whether a request that is for a free key only is refused.
    pub(crate) fn is_taken(&self, transfer: u64) -> bool {
        self.objects.contains_key(&transfer)
    }

    /// Whether an upload was completed or aborted.
    pub(crate) fn is_gone(&self, id: &str) -> bool {
        self.uploads.get(id).is_none_or(|upload| upload.completed || upload.aborted)
    }

    /// Aborts an upload; whether it was gone already.
    pub(crate) fn abort(&mut self, id: &str) -> bool {
        let upload = self.uploads.get_mut(id).expect("the upload was created");
        if upload.completed || upload.aborted {
            return true;
        }
        if upload.strays > 0 {
            upload.strays = 0;
        } else {
            upload.aborted = true;
        }
        false
    }
}
