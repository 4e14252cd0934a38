//! Buckets, objects and open multipart uploads: the state behind one lock.
//!
//! Bodies are received before the lock is taken; every check and the change it guards happen under one hold of it, so
//! conditional writes are atomic. The lock is never held across an await.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use md5::{Digest as _, Md5};
use parking_lot::{Mutex, MutexGuard};
use s3s::{S3Result, s3_error};

use super::attributes::Attributes;
use super::checksums::{ChecksumAlgorithm, ChecksumType, StoredChecksum};
use super::content::{Content, Storage};
use super::versions::Versions;

/// An object as the server holds it; what is returned stays as it is when the key is overwritten or deleted.
#[derive(Clone, Debug)]
pub struct StoredObject {
    pub(crate) content: Content,
    pub(crate) etag: String,
    pub(crate) last_modified: SystemTime,
    pub(crate) attributes: Attributes,
    pub(crate) checksum: Option<StoredChecksum>,
    /// The parts of a multipart object; empty for an object put in one request.
    pub(crate) parts: Vec<ObjectPart>,
    /// Its version, where the server keeps versions.
    pub(crate) version_id: Option<String>,
}

/// One part of a completed multipart object.
#[derive(Clone, Debug)]
pub(crate) struct ObjectPart {
    pub(crate) number: i32,
    pub(crate) len: u64,
    pub(crate) checksum: Option<StoredChecksum>,
}

impl StoredObject {
    /// A copy of all bytes.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        self.content.to_bytes()
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.content.len()
    }

    /// Whether the object has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The ETag as sent, in double quotes.
    #[must_use]
    pub fn etag(&self) -> String {
        format!("\"{}\"", self.etag)
    }

    pub(crate) fn etag_value(&self) -> &str {
        &self.etag
    }

    /// When it was stored, in whole seconds.
    #[must_use]
    pub fn last_modified(&self) -> SystemTime {
        self.last_modified
    }

    /// Content type, metadata, tags and the other properties its upload set.
    #[must_use]
    pub fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// User metadata, keys in lower case without `x-amz-meta-`.
    #[must_use]
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.attributes.metadata
    }

    /// The Content-Type, if its upload set one.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.attributes.content_type.as_deref()
    }

    /// The checksum kept with the object.
    #[must_use]
    pub fn checksum(&self) -> Option<&StoredChecksum> {
        self.checksum.as_ref()
    }

    /// Its version, where the server keeps versions.
    #[must_use]
    pub fn version_id(&self) -> Option<&str> {
        self.version_id.as_deref()
    }

    /// The parts' sizes in bytes; empty when it was not uploaded in parts.
    #[must_use]
    pub fn part_sizes(&self) -> Vec<u64> {
        self.parts.iter().map(|part| part.len).collect()
    }
}

/// An open multipart upload.
#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) key: String,
    pub(crate) initiated: SystemTime,
    pub(crate) attributes: Attributes,
    /// What CreateMultipartUpload declared; without it S3 keeps a CRC64NVME of the whole.
    pub(crate) algorithm: Option<ChecksumAlgorithm>,
    pub(crate) kind: ChecksumType,
    pub(crate) parts: BTreeMap<i32, UploadedPart>,
}

impl Upload {
    /// The algorithm each part's checksum is kept in.
    pub(crate) fn part_algorithm(&self) -> ChecksumAlgorithm {
        self.algorithm.unwrap_or(ChecksumAlgorithm::Crc64Nvme)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct UploadedPart {
    pub(crate) content: Content,
    pub(crate) etag: String,
    /// The raw value in the upload's part algorithm.
    pub(crate) checksum: Vec<u8>,
    pub(crate) last_modified: SystemTime,
}

#[derive(Debug, Default)]
pub(crate) struct Bucket {
    pub(crate) objects: BTreeMap<String, Arc<StoredObject>>,
    pub(crate) uploads: BTreeMap<String, Upload>,
    /// Where versions are kept.
    pub(crate) versions: Option<Versions>,
}

impl Bucket {
    /// The open upload with this id, which must be for this key.
    pub(crate) fn upload(&mut self, key: &str, id: &str) -> S3Result<&mut Upload> {
        self.uploads.get_mut(id).filter(|upload| upload.key == key).ok_or_else(no_such_upload)
    }
}

pub(crate) fn no_such_upload() -> s3s::S3Error {
    s3_error!(
        NoSuchUpload,
        "The specified multipart upload does not exist. The upload ID might be invalid, or the multipart upload might have \
         been aborted or completed."
    )
}

/// Everything the server stores, and how it does so.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) storage: Storage,
    pub(crate) fast_etags: bool,
    pub(crate) min_part_size: u64,
    /// Whether new buckets keep versions.
    pub(crate) versioned: bool,
    /// The device that deletes of versions must name.
    pub(crate) mfa: Option<String>,
    buckets: Mutex<BTreeMap<String, Bucket>>,
    next_tag: AtomicU64,
}

impl Store {
    pub(crate) fn new(storage: Storage, fast_etags: bool, min_part_size: u64) -> Self {
        Self {
            storage,
            fast_etags,
            min_part_size,
            versioned: false,
            mfa: None,
            buckets: Mutex::default(),
            next_tag: AtomicU64::new(1),
        }
    }

    pub(crate) fn buckets(&self) -> MutexGuard<'_, BTreeMap<String, Bucket>> {
        self.buckets.lock()
    }

    /// Does something with a bucket under the lock.
    pub(crate) fn with_bucket<T>(&self, name: &str, act: impl FnOnce(&mut Bucket) -> S3Result<T>) -> S3Result<T> {
        let mut buckets = self.buckets();
        let bucket =
            buckets.get_mut(name).ok_or_else(|| s3_error!(NoSuchBucket, "The specified bucket does not exist"))?;
        act(bucket)
    }

    /// False if the bucket exists already.
    pub(crate) fn create_bucket(&self, name: &str) -> bool {
        let mut buckets = self.buckets();
        let is_new = !buckets.contains_key(name);
        let versions = self.versioned.then(Versions::default);
        buckets.entry(name.to_owned()).or_insert_with(|| Bucket { versions, ..Bucket::default() });
        is_new
    }

    /// Stores an object directly, with a CRC64NVME of the whole.
    pub(crate) fn seed(&self, bucket: &str, key: &str, data: Bytes) -> S3Result<Arc<StoredObject>> {
        let etag = if self.fast_etags { self.tag() } else { hex(&Md5::digest(&data)) };
        let checksum = StoredChecksum::full(ChecksumAlgorithm::Crc64Nvme, &ChecksumAlgorithm::Crc64Nvme.of(&data));
        let internal = |error| s3_error!(error, InternalError, "storage failed");
        let mut writer = self.storage.writer().map_err(internal)?;
        writer.write(data).map_err(internal)?;
        let object = StoredObject {
            content: writer.finish(),
            etag,
            last_modified: now(),
            attributes: Attributes::default(),
            checksum: Some(checksum),
            parts: Vec::new(),
            version_id: None,
        };
        let tag = self.tag();
        self.with_bucket(bucket, |bucket| Ok(bucket.keep(key, object, tag)))
    }

    /// A tag no other request of this server gets: 32 hexadecimal digits, like an MD5.
    pub(crate) fn tag(&self) -> String {
        let count = self.next_tag.fetch_add(1, Ordering::Relaxed);
        // Multiplying by an odd number is one-to-one: unique, yet not in order.
        format!("{:016x}{count:016x}", count.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }
}

/// The time, cut to whole seconds.
pub(crate) fn now() -> SystemTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
