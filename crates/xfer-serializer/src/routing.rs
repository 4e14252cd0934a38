//! Which of a call's arguments go with which operation, and into which setter of the SDK.
//!
//! A caller gives the arguments of a transfer once; each operation takes what is its own and leaves the rest. The tables below are
//! the whole rule: a name that is not in an operation's table is not sent with it.
//!
//! Invariant: a checksum value of the object goes with PutObject and CompleteMultipartUpload only, never with a part.

use aws_sdk_s3::operation::abort_multipart_upload::builders::AbortMultipartUploadFluentBuilder as Abort;
use aws_sdk_s3::operation::complete_multipart_upload::builders::CompleteMultipartUploadFluentBuilder as Complete;
use aws_sdk_s3::operation::create_multipart_upload::builders::CreateMultipartUploadFluentBuilder as Create;
use aws_sdk_s3::operation::create_session::builders::CreateSessionFluentBuilder as Session;
use aws_sdk_s3::operation::delete_object::builders::DeleteObjectFluentBuilder as Delete;
use aws_sdk_s3::operation::get_object::builders::GetObjectFluentBuilder as Get;
use aws_sdk_s3::operation::head_object::builders::HeadObjectFluentBuilder as Head;
use aws_sdk_s3::operation::list_parts::builders::ListPartsFluentBuilder as Parts;
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder as Put;
use aws_sdk_s3::operation::upload_part::builders::UploadPartFluentBuilder as Part;
use xfer_core::args::ExtraArgs;
use xfer_core::error::Error;

use crate::Operation;
use crate::arguments;

/// How a value reaches a setter.
macro_rules! convert {
    (text, $name:ident, $value:ident) => {
        arguments::text($name, $value)?
    };
    (word, $name:ident, $value:ident) => {
        arguments::text($name, $value)?.as_str().into()
    };
    ($kind:ident, $name:ident, $value:ident) => {
        arguments::$kind($name, $value)?
    };
}

macro_rules! table {
    ($names:ident, $apply:ident, $builder:ty, { $($name:literal => $setter:ident $kind:ident),* $(,)? }) => {
        const $names: &[&str] = &[$($name),*];

        pub(crate) fn $apply(mut request: $builder, args: &ExtraArgs) -> Result<$builder, Error> {
            for (name, value) in args.iter() {
                request = match name {
                    $($name => request.$setter(convert!($kind, name, value)),)*
                    _ => request,
                };
            }
            Ok(request)
        }
    };
}

table!(PUT, put_object, Put, {
    "ACL" => acl word,
    "BucketKeyEnabled" => bucket_key_enabled flag,
    "CacheControl" => cache_control text,
    "ChecksumCRC32" => checksum_crc32 text,
    "ChecksumCRC32C" => checksum_crc32_c text,
    "ChecksumCRC64NVME" => checksum_crc64_nvme text,
    "ChecksumMD5" => checksum_md5 text,
    "ChecksumSHA1" => checksum_sha1 text,
    "ChecksumSHA256" => checksum_sha256 text,
    "ChecksumSHA512" => checksum_sha512 text,
    "ChecksumXXHASH128" => checksum_xxhash128 text,
    "ChecksumXXHASH3" => checksum_xxhash3 text,
    "ChecksumXXHASH64" => checksum_xxhash64 text,
    "ContentDisposition" => content_disposition text,
    "ContentEncoding" => content_encoding text,
    "ContentLanguage" => content_language text,
    "ContentMD5" => content_md5 text,
    "ContentType" => content_type text,
    "ExpectedBucketOwner" => expected_bucket_owner text,
    "Expires" => expires time,
    "GrantFullControl" => grant_full_control text,
    "GrantRead" => grant_read text,
    "GrantReadACP" => grant_read_acp text,
    "GrantWriteACP" => grant_write_acp text,
    "IfMatch" => if_match text,
    "IfNoneMatch" => if_none_match text,
    "Metadata" => set_metadata map,
    "ObjectLockLegalHoldStatus" => object_lock_legal_hold_status word,
    "ObjectLockMode" => object_lock_mode word,
    "ObjectLockRetainUntilDate" => object_lock_retain_until_date time,
    "RequestPayer" => request_payer word,
    "SSECustomerAlgorithm" => sse_customer_algorithm text,
    "SSECustomerKey" => sse_customer_key text,
    "SSECustomerKeyMD5" => sse_customer_key_md5 text,
    "SSEKMSEncryptionContext" => ssekms_encryption_context kms_context,
    "SSEKMSKeyId" => ssekms_key_id text,
    "ServerSideEncryption" => server_side_encryption word,
    "StorageClass" => storage_class word,
    "Tagging" => tagging tags,
    "WebsiteRedirectLocation" => website_redirect_location text,
});

table!(CREATE, create_multipart_upload, Create, {
    "ACL" => acl word,
    "BucketKeyEnabled" => bucket_key_enabled flag,
    "CacheControl" => cache_control text,
    "ChecksumAlgorithm" => checksum_algorithm algorithm,
    "ChecksumType" => checksum_type word,
    "ContentDisposition" => content_disposition text,
    "ContentEncoding" => content_encoding text,
    "ContentLanguage" => content_language text,
    "ContentType" => content_type text,
    "ExpectedBucketOwner" => expected_bucket_owner text,
    "Expires" => expires time,
    "GrantFullControl" => grant_full_control text,
    "GrantRead" => grant_read text,
    "GrantReadACP" => grant_read_acp text,
    "GrantWriteACP" => grant_write_acp text,
    "Metadata" => set_metadata map,
    "ObjectLockLegalHoldStatus" => object_lock_legal_hold_status word,
    "ObjectLockMode" => object_lock_mode word,
    "ObjectLockRetainUntilDate" => object_lock_retain_until_date time,
    "RequestPayer" => request_payer word,
    "SSECustomerAlgorithm" => sse_customer_algorithm text,
    "SSECustomerKey" => sse_customer_key text,
    "SSECustomerKeyMD5" => sse_customer_key_md5 text,
    "SSEKMSEncryptionContext" => ssekms_encryption_context kms_context,
    "SSEKMSKeyId" => ssekms_key_id text,
    "ServerSideEncryption" => server_side_encryption word,
    "StorageClass" => storage_class word,
    "Tagging" => tagging tags,
    "WebsiteRedirectLocation" => website_redirect_location text,
});

table!(PART, upload_part, Part, {
    "ExpectedBucketOwner" => expected_bucket_owner text,
    "RequestPayer" => request_payer word,
    "SSECustomerAlgorithm" => sse_customer_algorithm text,
    "SSECustomerKey" => sse_customer_key text,
    "SSECustomerKeyMD5" => sse_customer_key_md5 text,
});

table!(COMPLETE, complete_multipart_upload, Complete, {
    "ChecksumCRC32" => checksum_crc32 text,
    "ChecksumCRC32C" => checksum_crc32_c text,
    "ChecksumCRC64NVME" => checksum_crc64_nvme text,
    "ChecksumMD5" => checksum_md5 text,
    "ChecksumSHA1" => checksum_sha1 text,
    "ChecksumSHA256" => checksum_sha256 text,
    "ChecksumSHA512" => checksum_sha512 text,
    "ChecksumType" => checksum_type word,
    "ChecksumXXHASH128" => checksum_xxhash128 text,
    "ChecksumXXHASH3" => checksum_xxhash3 text,
    "ChecksumXXHASH64" => checksum_xxhash64 text,
    "ExpectedBucketOwner" => expected_bucket_owner text,
    "IfMatch" => if_match text,
    "IfNoneMatch" => if_none_match text,
    "MpuObjectSize" => mpu_object_size number,
    "RequestPayer" => request_payer word,
    "SSECustomerAlgorithm" => sse_customer_algorithm text,
    "SSECustomerKey" => sse_customer_key text,
    "SSECustomerKeyMD5" => sse_customer_key_md5 text,
});

table!(ABORT, abort_multipart_upload, Abort, {
    "ExpectedBucketOwner" => expected_bucket_owner text,
    "RequestPayer" => request_payer word,
});

table!(GET, get_object, Get, {
    "ChecksumMode" => checksum_mode word,
    "ExpectedBucketOwner" => expected_bucket_owner text,
    "IfMatch" => if_match text,
    "IfModifiedSince" => if_modified_since time,
    "IfNoneMatch" => if_none_match text,
    "IfUnmodifiedSince" => if_unmodified_since time,
    "Range" => range text,
    "RequestPayer" => request_payer word,
    "SSECustomerAlgorithm" => sse_customer_algorithm text,
    "SSECustomerKey" => sse_customer_key text,
    "SSECustomerKeyMD5" => sse_customer_key_md5 text,
    "VersionId" => version_id text,
});

table!(HEAD, head_object, Head, {
    "ChecksumMode" => checksum_mode word,
    "ExpectedBucketOwner" => expected_bucket_owner text,
    "IfMatch" => if_match text,
    "IfModifiedSince" => if_modified_since time,
    "IfNoneMatch" => if_none_match text,
    "IfUnmodifiedSince" => if_unmodified_since time,
    "Range" => range text,
    "RequestPayer" => request_payer word,
    "SSECustomerAlgorithm" => sse_customer_algorithm text,
    "SSECustomerKey" => sse_customer_key text,
    "SSECustomerKeyMD5" => sse_customer_key_md5 text,
    "VersionId" => version_id text,
});

table!(DELETE, delete_object, Delete, {
    "BypassGovernanceRetention" => bypass_governance_retention flag,
    "ExpectedBucketOwner" => expected_bucket_owner text,
    "IfMatch" => if_match text,
    "MFA" => mfa text,
    "RequestPayer" => request_payer word,
    "VersionId" => version_id text,
});

table!(PARTS, list_parts, Parts, {
    "ExpectedBucketOwner" => expected_bucket_owner text,
    "RequestPayer" => request_payer word,
    "SSECustomerAlgorithm" => sse_customer_algorithm text,
    "SSECustomerKey" => sse_customer_key text,
    "SSECustomerKeyMD5" => sse_customer_key_md5 text,
});

table!(SESSION, create_session, Session, {
    "SSEKMSEncryptionContext" => ssekms_encryption_context kms_context,
    "SSEKMSKeyId" => ssekms_key_id text,
    "ServerSideEncryption" => server_side_encryption word,
});

/// The arguments that go with an operation.
pub(crate) fn names(operation: Operation) -> &'static [&'static str] {
    match operation {
        Operation::PutObject => PUT,
        Operation::CreateMultipartUpload => CREATE,
        Operation::UploadPart => PART,
        Operation::CompleteMultipartUpload => COMPLETE,
        Operation::AbortMultipartUpload => ABORT,
        Operation::GetObject => GET,
        Operation::HeadObject => HEAD,
        Operation::DeleteObject => DELETE,
        Operation::ListParts => PARTS,
        Operation::CreateSession => SESSION,
    }
}

/// The part of a call's arguments that goes with an operation, in the caller's order.
pub(crate) fn own(operation: Operation, args: &ExtraArgs) -> ExtraArgs {
    let mut own = ExtraArgs::new();
    for (name, value) in args.iter().filter(|(name, _)| names(operation).contains(name)) {
        own.set(name, value.clone());
    }
    own
}
