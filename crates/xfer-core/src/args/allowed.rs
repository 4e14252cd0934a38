//! The allow-lists, and the kind of value that each name takes.
//!
//! Left out on purpose: `ContentMD5` and `ContentLength` of uploads, because a multipart upload has no request that they could belong to
//! (a checksum of the whole object goes in a `Checksum…` argument); `PartNumber` of downloads, which are cut into ranges of their own;
//! the `Response…` arguments, which change headers that no caller gets to see.

/// What an upload may have: `s3transfer`'s list, then `IfNoneMatch`, `IfMatch` and `BucketKeyEnabled`, which it lacks.
pub const ALLOWED_UPLOAD: &[&str] = &[
    "ACL",
    "CacheControl",
    "ChecksumAlgorithm",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "ContentType",
    "ExpectedBucketOwner",
    "Expires",
    "GrantFullControl",
    "GrantRead",
    "GrantReadACP",
    "GrantWriteACP",
    "Metadata",
    "ObjectLockLegalHoldStatus",
    "ObjectLockMode",
    "ObjectLockRetainUntilDate",
    "RequestPayer",
    "ServerSideEncryption",
    "StorageClass",
    "SSECustomerAlgorithm",
    "SSECustomerKey",
    "SSECustomerKeyMD5",
    "SSEKMSKeyId",
    "SSEKMSEncryptionContext",
    "Tagging",
    "WebsiteRedirectLocation",
    "ChecksumType",
    "MpuObjectSize",
    "ChecksumCRC32",
    "ChecksumCRC32C",
    "ChecksumCRC64NVME",
    "ChecksumMD5",
    "ChecksumSHA1",
    "ChecksumSHA256",
    "ChecksumSHA512",
    "ChecksumXXHASH3",
    "ChecksumXXHASH64",
    "ChecksumXXHASH128",
    "IfNoneMatch",
    "IfMatch",
    "BucketKeyEnabled",
];

/// What a download may have: `s3transfer`'s list, then `Range` and the conditions, which it lacks.
pub const ALLOWED_DOWNLOAD: &[&str] = &[
    "ChecksumMode",
    "VersionId",
    "SSECustomerAlgorithm",
    "SSECustomerKey",
    "SSECustomerKeyMD5",
    "RequestPayer",
    "ExpectedBucketOwner",
    "Range",
    "IfMatch",
    "IfNoneMatch",
    "IfModifiedSince",
    "IfUnmodifiedSince",
];

/// What a delete may have: `s3transfer`'s list, then `IfMatch`, which it lacks.
pub const ALLOWED_DELETE: &[&str] = &["MFA", "VersionId", "RequestPayer", "ExpectedBucketOwner", "IfMatch"];

/// The kind of value that an argument takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A text, or a number that stands for its digits; goes into a header or the query.
    Text,
    /// A text that must not be empty, because it protects something: an empty one might be left out on the way.
    Guard,
    /// A text that is encoded before it is sent, so that any characters may be in it.
    Opaque,
    /// True or false, or the text of one.
    Flag,
    /// A number of bytes, or the text of one.
    Size,
    /// Seconds since 1970, or an ISO 8601 time or an HTTP date as a text.
    Time,
    /// A map whose names and values are headers.
    Metadata,
    /// A map of any texts, or the text that is made of one.
    MapOrText,
}

pub(super) fn shape(name: &str) -> Shape {
    match name {
        "BucketKeyEnabled" => Shape::Flag,
        "MpuObjectSize" => Shape::Size,
        "Expires" | "ObjectLockRetainUntilDate" | "IfModifiedSince" | "IfUnmodifiedSince" => Shape::Time,
        "Metadata" => Shape::Metadata,
        "Tagging" | "SSEKMSEncryptionContext" => Shape::MapOrText,
        "SSECustomerKey" => Shape::Opaque,
        "VersionId"
        | "IfMatch"
        | "IfNoneMatch"
        | "Range"
        | "MFA"
        | "ExpectedBucketOwner"
        | "ServerSideEncryption"
        | "SSEKMSKeyId"
        | "ObjectLockMode"
        | "ObjectLockLegalHoldStatus" => Shape::Guard,
        _ => Shape::Text,
    }
}
