//! What an upload says about its object besides the bytes, and the customer key (SSE-C) it was stored with.
//!
//! Of a customer key only its MD5 is kept. Nothing is really encrypted: the server only plays the protocol.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::{Digest as _, Md5};
use s3s::dto::Timestamp;
use s3s::{S3Result, s3_error};

/// An object's properties, as its upload's headers set them.
#[derive(Clone, Debug, Default)]
pub struct Attributes {
    /// Cache-Control.
    pub cache_control: Option<String>,
    /// Content-Disposition.
    pub content_disposition: Option<String>,
    /// Content-Encoding, without `aws-chunked`.
    pub content_encoding: Option<String>,
    /// Content-Language.
    pub content_language: Option<String>,
    /// Content-Type.
    pub content_type: Option<String>,
    /// Expires.
    pub expires: Option<Timestamp>,
    /// User metadata, keys in lower case without `x-amz-meta-`.
    pub metadata: BTreeMap<String, String>,
    /// x-amz-storage-class.
    pub storage_class: Option<String>,
    /// x-amz-tagging, as sent (`a=b&c=d`).
    pub tagging: Option<String>,
    /// x-amz-acl.
    pub acl: Option<String>,
    /// The x-amz-grant-.. headers, by what follows: `full-control`, `read`, `read-acp` and `write-acp`.
    pub grants: BTreeMap<&'static str, String>,
    /// x-amz-website-redirect-location.
    pub website_redirect_location: Option<String>,
    /// x-amz-server-side-encryption.
    pub server_side_encryption: Option<String>,
    /// x-amz-server-side-encryption-aws-kms-key-id.
    pub kms_key_id: Option<String>,
    /// x-amz-server-side-encryption-context, as sent (base64 of JSON).
    pub kms_context: Option<String>,
    /// x-amz-server-side-encryption-bucket-key-enabled.
    pub bucket_key_enabled: Option<bool>,
    /// x-amz-object-lock-mode.
    pub object_lock_mode: Option<String>,
    /// x-amz-object-lock-retain-until-date.
    pub object_lock_retain_until: Option<Timestamp>,
    /// x-amz-object-lock-legal-hold.
    pub object_lock_legal_hold: Option<String>,
    /// MD5 (base64) of the customer key the object is encrypted with.
    pub customer_key_md5: Option<String>,
}

impl Attributes {
    /// What S3 refuses to have together.
    pub(crate) fn check(&self) -> S3Result<()> {
        if self.acl.is_some() && !self.grants.is_empty() {
            return Err(s3_error!(InvalidRequest, "Specifying both Canned ACLs and Header Grants is not allowed"));
        }
        if self.object_lock_mode.is_some() != self.object_lock_retain_until.is_some() {
            return Err(s3_error!(
                InvalidArgument,
                "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied"
            ));
        }
        if self.customer_key_md5.is_some() && self.server_side_encryption.is_some() {
            return Err(s3_error!(
                InvalidArgument,
                "Server Side Encryption with Customer provided key is incompatible with the encryption method specified"
            ));
        }
        Ok(())
    }

    /// Whether the object is to be locked.
    pub(crate) fn locks(&self) -> bool {
        self.object_lock_mode.is_some() || self.object_lock_legal_hold.is_some()
    }

    /// How many tags `tagging` holds.
    pub(crate) fn tag_count(&self) -> Option<i32> {
        let count = self.tagging.as_deref()?.split('&').filter(|tag| !tag.is_empty()).count();
        (count > 0).then_some(count as i32)
    }

    /// Checks the customer key a read came with against the one the object was stored with.
    pub(crate) fn check_customer_key(&self, sent: Option<&str>) -> S3Result<()> {
        match (self.customer_key_md5.as_deref(), sent) {
            (None, None) => Ok(()),
            (Some(stored), Some(sent)) if stored == sent => Ok(()),
            (Some(_), Some(_)) => Err(s3_error!(AccessDenied, "Access Denied")),
            (Some(_), None) => Err(s3_error!(
                InvalidRequest,
                "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to retrieve \
                 the object."
            )),
            (None, Some(_)) => {
                Err(s3_error!(InvalidRequest, "The encryption parameters are not applicable to this object."))
            }
        }
    }
}

/// Removes `aws-chunked`, which describes the transfer and not the object, from a Content-Encoding.
pub(crate) fn stored_encoding(encoding: Option<String>) -> Option<String> {
    let kept: Vec<_> = encoding?
        .split(',')
        .map(|coding| coding.trim().to_owned())
        .filter(|coding| !coding.is_empty() && coding != "aws-chunked")
        .collect();
    (!kept.is_empty()).then(|| kept.join(","))
}

/// Checks the three SSE-C headers against each other and returns the key's MD5.
pub(crate) fn customer_key(
    algorithm: Option<&str>,
    key: Option<&str>,
    key_md5: Option<&str>,
) -> S3Result<Option<String>> {
    let (algorithm, key, key_md5) = match (algorithm, key, key_md5) {
        (None, None, None) => return Ok(None),
        (Some(algorithm), Some(key), Some(key_md5)) => (algorithm, key, key_md5),
        _ => {
            return Err(s3_error!(
                InvalidArgument,
                "Requests specifying Server Side Encryption with Customer provided keys must provide the algorithm, the key and \
                 its MD5."
            ));
        }
    };
    if algorithm != "AES256" {
        return Err(s3_error!(InvalidEncryptionAlgorithmError, "The encryption request you specified is not valid."));
    }
    let key = BASE64.decode(key).ok().filter(|key| key.len() == 32);
    let key =
        key.ok_or_else(|| s3_error!(InvalidArgument, "The secret key was invalid for the specified algorithm."))?;
    if BASE64.encode(Md5::digest(&key)) != key_md5 {
        return Err(s3_error!(
            InvalidArgument,
            "The calculated MD5 hash of the key did not match the hash that was provided."
        ));
    }
    Ok(Some(key_md5.to_owned()))
}

/// Fills the fields that PutObjectInput and CreateMultipartUploadInput of s3s have in common.
macro_rules! attributes_of {
    ($input:expr) => {
        $crate::backend::attributes::Attributes {
            cache_control: $input.cache_control,
            content_disposition: $input.content_disposition,
            content_encoding: $crate::backend::attributes::stored_encoding($input.content_encoding),
            content_language: $input.content_language,
            content_type: $input.content_type,
            expires: $input.expires,
            metadata: $input.metadata.unwrap_or_default().into_iter().collect(),
            storage_class: $input.storage_class.map(|class| class.as_str().to_owned()),
            tagging: $input.tagging,
            acl: $input.acl.map(|acl| acl.as_str().to_owned()),
            grants: [
                ("full-control", $input.grant_full_control),
                ("read", $input.grant_read),
                ("read-acp", $input.grant_read_acp),
                ("write-acp", $input.grant_write_acp),
            ]
            .into_iter()
            .filter_map(|(name, grantees)| Some((name, grantees?)))
            .collect(),
            website_redirect_location: $input.website_redirect_location,
            server_side_encryption: $input.server_side_encryption.map(|kind| kind.as_str().to_owned()),
            kms_key_id: $input.ssekms_key_id,
            kms_context: $input.ssekms_encryption_context,
            bucket_key_enabled: $input.bucket_key_enabled,
            object_lock_mode: $input.object_lock_mode.map(|mode| mode.as_str().to_owned()),
            object_lock_retain_until: $input.object_lock_retain_until_date,
            object_lock_legal_hold: $input.object_lock_legal_hold_status.map(|hold| hold.as_str().to_owned()),
            customer_key_md5: $crate::backend::attributes::customer_key(
                $input.sse_customer_algorithm.as_deref(),
                $input.sse_customer_key.as_deref(),
                $input.sse_customer_key_md5.as_deref(),
            )?,
        }
    };
}
pub(crate) use attributes_of;

/// Sets the encryption headers that every answer about an upload or object repeats.
macro_rules! echo_encryption {
    ($output:expr, $attributes:expr) => {
        $output.server_side_encryption = $attributes.server_side_encryption.clone().map(Into::into);
        $output.ssekms_key_id = $attributes.kms_key_id.clone();
        $output.bucket_key_enabled = $attributes.bucket_key_enabled;
    };
}
pub(crate) use echo_encryption;

/// Sets the SSE-C headers of an answer.
macro_rules! echo_customer_key {
    ($output:expr, $attributes:expr) => {
        $output.sse_customer_algorithm = $attributes.customer_key_md5.as_ref().map(|_| "AES256".to_owned());
        $output.sse_customer_key_md5 = $attributes.customer_key_md5.clone();
    };
}
pub(crate) use echo_customer_key;
