//! A setter for each argument that a call may have, to be chained.
//!
//! Never checks a value: [`validate`](super::validate) does, for setters and maps alike.

use super::{ArgValue, ExtraArgs};
use crate::checksum::{Algorithm, Checksum, ChecksumKind};

macro_rules! texts {
    ($($setter:ident = $name:literal, $meaning:literal;)*) => {
        impl ExtraArgs {
            $(
                #[doc = concat!("Sets `", $name, "`: ", $meaning, ".")]
                #[must_use]
                pub fn $setter(self, value: impl Into<String>) -> ExtraArgs {
                    self.with($name, value.into())
                }
            )*
        }
    };
}

texts! {
    acl = "ACL", "a canned ACL such as `private`";
    cache_control = "CacheControl", "how long caches may keep the object";
    checksum_crc32 = "ChecksumCRC32", "a full-object checksum in base64";
    checksum_crc32c = "ChecksumCRC32C", "a full-object checksum in base64";
    checksum_crc64nvme = "ChecksumCRC64NVME", "a full-object checksum in base64";
    checksum_md5 = "ChecksumMD5", "a full-object checksum in base64, which only the store compares";
    checksum_sha1 = "ChecksumSHA1", "a full-object checksum in base64";
    checksum_sha256 = "ChecksumSHA256", "a full-object checksum in base64";
    checksum_sha512 = "ChecksumSHA512", "a full-object checksum in base64";
    checksum_xxhash3 = "ChecksumXXHASH3", "a full-object checksum in base64";
    checksum_xxhash64 = "ChecksumXXHASH64", "a full-object checksum in base64";
    checksum_xxhash128 = "ChecksumXXHASH128", "a full-object checksum in base64";
    checksum_mode = "ChecksumMode", "`ENABLED`, as it is anyway, or `DISABLED` for a download that is not to be verified";
    content_disposition = "ContentDisposition", "how browsers present the object";
    content_encoding = "ContentEncoding", "the encoding that the bytes already have, such as `gzip`";
    content_language = "ContentLanguage", "the language of the content";
    content_type = "ContentType", "the media type";
    expected_bucket_owner = "ExpectedBucketOwner", "the account that must own the bucket, 12 digits";
    expires = "Expires", "when caches must ask again; ISO 8601 or an HTTP date";
    grant_full_control = "GrantFullControl", "who gets all permissions";
    grant_read = "GrantRead", "who may read the object";
    grant_read_acp = "GrantReadACP", "who may read its ACL";
    grant_write_acp = "GrantWriteACP", "who may write its ACL";
    if_match = "IfMatch", "the ETag that the object must have";
    if_none_match = "IfNoneMatch", "the ETag that the object must not have, or `*`: there must be none";
    if_modified_since = "IfModifiedSince", "the object must be newer; ISO 8601 or an HTTP date";
    if_unmodified_since = "IfUnmodifiedSince", "the object must not be newer; ISO 8601 or an HTTP date";
    mfa = "MFA", "serial number and code of a device, for a bucket that demands them of deletes";
    object_lock_legal_hold_status = "ObjectLockLegalHoldStatus", "`ON` or `OFF`";
    object_lock_mode = "ObjectLockMode", "`GOVERNANCE` or `COMPLIANCE`";
    object_lock_retain_until_date = "ObjectLockRetainUntilDate", "until when the object is locked; ISO 8601 or an HTTP date";
    range = "Range", "a single range of bytes, such as `bytes=0-99`";
    request_payer = "RequestPayer", "`requester`, for a bucket whose readers pay";
    server_side_encryption = "ServerSideEncryption", "`AES256`, `aws:kms` or another word of S3";
    sse_customer_algorithm = "SSECustomerAlgorithm", "`AES256`, as it is anyway when there is a key";
    sse_customer_key = "SSECustomerKey", "the customer's key, 32 characters or base64 of 32 bytes";
    sse_customer_key_md5 = "SSECustomerKeyMD5", "base64 of the key's MD5; computed when it is not given";
    sse_kms_key_id = "SSEKMSKeyId", "the KMS key";
    storage_class = "StorageClass", "the storage class, such as `STANDARD_IA`";
    version_id = "VersionId", "the version that is meant";
    website_redirect_location = "WebsiteRedirectLocation", "where a website bucket sends those who ask for the object";
}

fn pairs<K: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (K, V)>) -> ArgValue {
    ArgValue::Map(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
}

impl ExtraArgs {
    /// Sets `BucketKeyEnabled`: whether KMS encryption uses a key of the bucket.
    #[must_use]
    pub fn bucket_key_enabled(self, enabled: bool) -> ExtraArgs {
        self.with("BucketKeyEnabled", enabled)
    }

    /// Sets the full-object checksum of this one's algorithm, such as `ChecksumSHA256`: the store compares.
    #[must_use]
    pub fn checksum(self, checksum: &Checksum) -> ExtraArgs {
        self.with(super::checksums::argument(checksum.algorithm()), checksum.to_base64())
    }

    /// Sets `ChecksumAlgorithm`: which checksum is computed on the way.
    #[must_use]
    pub fn checksum_algorithm(self, algorithm: Algorithm) -> ExtraArgs {
        self.with("ChecksumAlgorithm", algorithm.name())
    }

    /// Sets `ChecksumType`: what the checksum of a multipart object covers.
    #[must_use]
    pub fn checksum_type(self, kind: ChecksumKind) -> ExtraArgs {
        self.with("ChecksumType", kind.name())
    }

    /// Sets `Metadata`: the caller's own names and values, kept with the object.
    #[must_use]
    pub fn metadata<K: Into<String>, V: Into<String>>(self, metadata: impl IntoIterator<Item = (K, V)>) -> ExtraArgs {
        self.with("Metadata", pairs(metadata))
    }

    /// Sets `MpuObjectSize`: the size in bytes that the store must find a multipart object to have.
    #[must_use]
    pub fn mpu_object_size(self, bytes: u64) -> ExtraArgs {
        // No store has objects of more than 2^63 bytes; such a number stays too large.
        self.with("MpuObjectSize", i64::try_from(bytes).unwrap_or(i64::MAX))
    }

    /// Sets `SSEKMSEncryptionContext`: what KMS binds the encryption to.
    #[must_use]
    pub fn sse_kms_encryption_context<K: Into<String>, V: Into<String>>(
        self,
        context: impl IntoIterator<Item = (K, V)>,
    ) -> ExtraArgs {
        self.with("SSEKMSEncryptionContext", pairs(context))
    }

    /// Sets `Tagging`: the object's tags, encoded on the way.
    #[must_use]
    pub fn tagging<K: Into<String>, V: Into<String>>(self, tags: impl IntoIterator<Item = (K, V)>) -> ExtraArgs {
        self.with("Tagging", pairs(tags))
    }
}
