//! Multipart uploads, from their creation to the object or the abort.
//!
//! A failed CompleteMultipartUpload leaves the upload as it was; a successful one removes it in the same step that stores the
//! object. Part numbers may have gaps. Uploading a part again replaces it.

use std::sync::Arc;

use md5::{Digest as _, Md5};
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput, CompleteMultipartUploadOutput,
    CompletedPart, CreateMultipartUploadInput, CreateMultipartUploadOutput, ETag, UploadPartInput, UploadPartOutput,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::attributes::{attributes_of, customer_key, echo_customer_key, echo_encryption};
use super::checksums::{self, ChecksumAlgorithm, ChecksumType, StoredChecksum, set_checksum};
use super::conditions::check_write;
use super::content::Content;
use super::listed::ListedChecksums;
use super::objects::part_checksum;
use super::receive::{Incoming, receive};
use super::sessions::is_directory;
use super::store::{ObjectPart, Store, StoredObject, Upload, UploadedPart, no_such_upload, now};

pub(crate) fn create(
    store: &Store,
    request: S3Request<CreateMultipartUploadInput>,
) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
    let input = request.input;
    let algorithm =
        input.checksum_algorithm.as_ref().map(|name| ChecksumAlgorithm::of_name(name.as_str())).transpose()?;
    let kind = checksum_kind(algorithm, input.checksum_type.as_ref().map(|kind| kind.as_str()))?;
    let attributes = attributes_of!(input);
    attributes.check()?;
    let id = format!("upload-{}", store.tag());

    let mut output = CreateMultipartUploadOutput {
        bucket: Some(input.bucket.clone()),
        key: Some(input.key.clone()),
        upload_id: Some(id.clone()),
        checksum_algorithm: algorithm.map(|algorithm| algorithm.name().to_owned().into()),
        checksum_type: algorithm.map(|_| kind.name().to_owned().into()),
        ..CreateMultipartUploadOutput::default()
    };
    echo_encryption!(output, attributes);
    echo_customer_key!(output, attributes);
    let upload = Upload { key: input.key, initiated: now(), attributes, algorithm, kind, parts: Default::default() };
    store.with_bucket(&input.bucket, |bucket| {
        bucket.uploads.insert(id, upload);
        Ok(())
    })?;
    Ok(S3Response::new(output))
}

/// What kind of checksum the object will have; CRC64NVME can only cover the whole, the SHAs only the parts.
fn checksum_kind(algorithm: Option<ChecksumAlgorithm>, asked: Option<&str>) -> S3Result<ChecksumType> {
    let usual = match algorithm {
        None | Some(ChecksumAlgorithm::Crc64Nvme) => ChecksumType::FullObject,
        Some(_) => ChecksumType::Composite,
    };
    let asked = match asked {
        None => return Ok(usual),
        Some("FULL_OBJECT") => ChecksumType::FullObject,
        Some("COMPOSITE") => ChecksumType::Composite,
        Some(_) => return Err(s3_error!(InvalidRequest, "Value for x-amz-checksum-type header is invalid.")),
    };
    let Some(algorithm) = algorithm else {
        return Err(s3_error!(
            InvalidRequest,
            "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header."
        ));
    };
    let possible = match asked {
        ChecksumType::FullObject => algorithm.combines(),
        ChecksumType::Composite => algorithm != ChecksumAlgorithm::Crc64Nvme,
    };
    if possible {
        Ok(asked)
    } else {
        Err(s3_error!(
            InvalidRequest,
            "The {} checksum type cannot be used with the {} checksum algorithm.",
            asked.name(),
            algorithm.name().to_lowercase()
        ))
    }
}

pub(crate) async fn upload_part(
    store: &Store,
    request: S3Request<UploadPartInput>,
) -> S3Result<S3Response<UploadPartOutput>> {
    let S3Request { input, headers, trailing_headers, .. } = request;
    if !(1..=10_000).contains(&input.part_number) {
        return Err(s3_error!(InvalidArgument, "Part number must be an integer between 1 and 10000, inclusive"));
    }
    let key_md5 = customer_key(
        input.sse_customer_algorithm.as_deref(),
        input.sse_customer_key.as_deref(),
        input.sse_customer_key_md5.as_deref(),
    )?;
    let declared = checksums::declared(&headers)?.map(|declared| declared.algorithm);
    let (algorithm, attributes) = store.with_bucket(&input.bucket, |bucket| {
        let upload = bucket.upload(&input.key, &input.upload_id)?;
        check_part_algorithm(upload, declared)?;
        if upload.attributes.customer_key_md5 != key_md5 {
            return Err(s3_error!(
                InvalidRequest,
                "The multipart upload initiate requested encryption. Subsequent part requests must include the appropriate \
                 encryption parameters."
            ));
        }
        Ok((upload.part_algorithm(), upload.attributes.clone()))
    })?;
    let incoming = Incoming {
        headers: &headers,
        trailers: trailing_headers,
        content_length: input.content_length,
        content_md5: input.content_md5.as_deref(),
        body: input.body,
    };
    let received = receive(store, incoming, Some(algorithm)).await?;
    let mut output =
        UploadPartOutput { e_tag: Some(ETag::Strong(received.etag.clone())), ..UploadPartOutput::default() };
    let mut told = None;
    if let Some(declared) = received.declared {
        told = Some((declared, BASE64.encode(received.checksum(declared))));
    }
    echo_encryption!(output, attributes);
    echo_customer_key!(output, attributes);
    let part = UploadedPart {
        checksum: received.checksum(algorithm).to_vec(),
        etag: received.etag,
        content: received.content,
        last_modified: now(),
    };
    store.with_bucket(&input.bucket, |bucket| {
        // Looked up again: the upload may have been aborted while the body came in.
        bucket.upload(&input.key, &input.upload_id)?.parts.insert(input.part_number, part);
        Ok(())
    })?;
    let mut response = S3Response::new(output);
    if let Some((algorithm, value)) = told {
        checksums::tell(&mut response.headers, algorithm, &value);
    }
    Ok(response)
}

/// S3 takes only the algorithm that CreateMultipartUpload named; with none named, only the one it computes anyway.
fn check_part_algorithm(upload: &Upload, declared: Option<ChecksumAlgorithm>) -> S3Result<()> {
    let composite = upload.kind == ChecksumType::Composite;
    let name =
        |algorithm: Option<ChecksumAlgorithm>| algorithm.map_or("null".to_owned(), |name| name.name().to_lowercase());
    match declared {
        Some(declared) if declared == upload.part_algorithm() => Ok(()),
        None if !composite => Ok(()),
        _ => Err(s3_error!(
            InvalidRequest,
            "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
            name(upload.algorithm),
            name(declared)
        )),
    }
}

pub(crate) fn complete(
    store: &Store,
    request: S3Request<CompleteMultipartUploadInput>,
) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
    let S3Request { input, headers, extensions, .. } = request;
    let newer = extensions.get::<ListedChecksums>().cloned().unwrap_or_default();
    let key_md5 = customer_key(
        input.sse_customer_algorithm.as_deref(),
        input.sse_customer_key.as_deref(),
        input.sse_customer_key_md5.as_deref(),
    )?;
    let tag = store.tag();
    let listed = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
    let declared = checksums::declared(&headers)?;
    store.with_bucket(&input.bucket, |bucket| {
        let upload = bucket.upload(&input.key, &input.upload_id)?;
        // The key is asked for where checksums are to be kept, and must be the right one wherever it is sent.
        let has_key = upload.attributes.customer_key_md5.is_some();
        if (key_md5.is_some() || (has_key && upload.algorithm.is_some()))
            && key_md5 != upload.attributes.customer_key_md5
        {
            return Err(s3_error!(
                InvalidRequest,
                "The multipart upload was created with a customer key: the complete request must include the same one."
            ));
        }
        let list = List { parts: &listed, newer: &newer, consecutive: is_directory(&input.bucket) };
        let parts = chosen_parts(upload, &list, store.min_part_size)?;
        let content = Content::concatenate(parts.iter().map(|(_, part)| &part.content));
        check_size(input.mpu_object_size, content.len())?;
        let checksum = object_checksum(upload, &parts);
        if input.checksum_type.as_ref().is_some_and(|kind| kind.as_str() != checksum.kind.name()) {
            return Err(s3_error!(
                InvalidRequest,
                "The upload was created using the {} checksum mode. The complete request must use the same checksum mode.",
                checksum.kind.name()
            ));
        }
        if let Some(declared) = &declared {
            check_object_checksum(&checksum, declared)?;
        }
        let etag = object_etag(store, &parts);
        let object = StoredObject {
            content,
            etag: etag.clone(),
            last_modified: now(),
            attributes: upload.attributes.clone(),
            checksum: Some(checksum.clone()),
            parts: parts
                .iter()
                .map(|(number, part)| ObjectPart {
                    number: *number,
                    len: part.content.len(),
                    checksum: part_checksum(upload.algorithm, &part.checksum),
                })
                .collect(),
            version_id: None,
        };
        let current = bucket.objects.get(&input.key).map(Arc::as_ref);
        check_write(current, input.if_match.as_ref(), input.if_none_match.as_ref())?;

        bucket.uploads.remove(&input.upload_id);
        let object = bucket.keep(&input.key, object, tag);

        let mut output = CompleteMultipartUploadOutput {
            bucket: Some(input.bucket.clone()),
            key: Some(input.key.clone()),
            location: Some(format!("/{}/{}", input.bucket, input.key)),
            e_tag: Some(ETag::Strong(etag)),
            checksum_type: Some(checksum.kind.name().to_owned().into()),
            version_id: object.version_id.clone(),
            ..CompleteMultipartUploadOutput::default()
        };
        set_checksum!(output, checksum.algorithm, checksum.value);
        echo_encryption!(output, object.attributes);
        Ok(S3Response::new(output))
    })
}

/// The parts that a CompleteMultipartUpload lists.
struct List<'a> {
    parts: &'a [CompletedPart],
    newer: &'a ListedChecksums,
    /// Whether part numbers must have no gaps, as in directory buckets.
    consecutive: bool,
}

impl List<'_> {
    fn checksum<'b>(&'b self, part: &'b CompletedPart, algorithm: ChecksumAlgorithm) -> Option<&'b str> {
        match algorithm {
            ChecksumAlgorithm::Crc32 => part.checksum_crc32.as_deref(),
            ChecksumAlgorithm::Crc32c => part.checksum_crc32c.as_deref(),
            ChecksumAlgorithm::Crc64Nvme => part.checksum_crc64nvme.as_deref(),
            ChecksumAlgorithm::Sha1 => part.checksum_sha1.as_deref(),
            ChecksumAlgorithm::Sha256 => part.checksum_sha256.as_deref(),
            newer => self.newer.of(part.part_number?, newer),
        }
    }

    /// Every checksum the list gives for a part must be the stored one; one in another algorithm cannot be.
    fn checksums_match(&self, upload: &Upload, part: &CompletedPart, stored: &UploadedPart) -> bool {
        ChecksumAlgorithm::ALL.into_iter().all(|algorithm| match self.checksum(part, algorithm) {
            None => true,
            Some(value) => algorithm == upload.part_algorithm() && value == BASE64.encode(&stored.checksum),
        })
    }
}

/// Checks the list of parts against what was uploaded and returns the parts in order.
fn chosen_parts(upload: &Upload, list: &List<'_>, min_size: u64) -> S3Result<Vec<(i32, UploadedPart)>> {
    if list.parts.is_empty() {
        return Err(s3_error!(MalformedXML, "The XML you provided was not well-formed or did not validate."));
    }
    let mut chosen: Vec<(i32, UploadedPart)> = Vec::with_capacity(list.parts.len());
    for part in list.parts {
        let number = part.part_number.unwrap_or(0);
        if chosen.last().is_some_and(|(last, _)| *last >= number) {
            return Err(s3_error!(
                InvalidPartOrder,
                "The list of parts was not in ascending order. Parts must be ordered by part number."
            ));
        }
        if list.consecutive && number as usize != chosen.len() + 1 {
            return Err(s3_error!(
                InvalidPart,
                "The part numbers of an upload to a directory bucket must be consecutive."
            ));
        }
        let stored = upload.parts.get(&number).filter(|stored| {
            part.e_tag.as_ref().is_some_and(|etag| etag.value() == stored.etag)
                && list.checksums_match(upload, part, stored)
        });
        let Some(stored) = stored else {
            return Err(s3_error!(
                InvalidPart,
                "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified \
                 entity tag may not match the part's entity tag."
            ));
        };
        if upload.kind == ChecksumType::Composite && list.checksum(part, upload.part_algorithm()).is_none() {
            return Err(s3_error!(
                InvalidRequest,
                "The upload was created using a {} checksum. The complete request must include the checksum for each part. It was \
                 missing for part {number} in the request.",
                upload.part_algorithm().name().to_lowercase()
            ));
        }
        chosen.push((number, stored.clone()));
    }
    if chosen[..chosen.len() - 1].iter().any(|(_, part)| part.content.len() < min_size) {
        return Err(s3_error!(EntityTooSmall, "Your proposed upload is smaller than the minimum allowed size"));
    }
    Ok(chosen)
}

fn check_size(declared: Option<i64>, computed: u64) -> S3Result<()> {
    match declared {
        Some(declared) if declared as u64 != computed => Err(s3_error!(
            InvalidRequest,
            "The provided 'x-amz-mp-object-size' header value {declared} does not match what was computed: {computed}"
        )),
        _ => Ok(()),
    }
}

fn object_checksum(upload: &Upload, parts: &[(i32, UploadedPart)]) -> StoredChecksum {
    let algorithm = upload.part_algorithm();
    match upload.kind {
        ChecksumType::FullObject => {
            let parts = parts.iter().map(|(_, part)| (part.checksum.as_slice(), part.content.len()));
            StoredChecksum::full(algorithm, &algorithm.combine(parts))
        }
        ChecksumType::Composite => {
            StoredChecksum::composite(algorithm, parts.iter().map(|(_, part)| part.checksum.as_slice()))
        }
    }
}

fn check_object_checksum(computed: &StoredChecksum, declared: &checksums::Declared) -> S3Result<()> {
    let value = declared.value.as_deref().unwrap_or_default();
    // A composite value may be given with or without the number of parts.
    let bare = computed.value.split('-').next().unwrap_or_default();
    if declared.algorithm == computed.algorithm && (value == computed.value || value == bare) {
        return Ok(());
    }
    Err(s3_error!(BadDigest, "The {} you specified did not match the calculated checksum.", declared.algorithm.name()))
}

/// MD5 of the parts' MD5s, or a unique tag; with the number of parts behind it either way.
fn object_etag(store: &Store, parts: &[(i32, UploadedPart)]) -> String {
    if store.fast_etags {
        return format!("{}-{}", store.tag(), parts.len());
    }
    let mut md5 = Md5::new();
    for (_, part) in parts {
        let digits = part.etag.as_bytes();
        let raw: Vec<u8> = digits.chunks(2).map(|pair| hex_digit(pair[0]) << 4 | hex_digit(pair[1])).collect();
        md5.update(raw);
    }
    format!("{}-{}", super::store::hex(&md5.finalize()), parts.len())
}

fn hex_digit(digit: u8) -> u8 {
    (digit as char).to_digit(16).expect("our own ETags are hexadecimal") as u8
}

pub(crate) fn abort(
    store: &Store,
    request: S3Request<AbortMultipartUploadInput>,
) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
    let input = request.input;
    store.with_bucket(&input.bucket, |bucket| {
        bucket.upload(&input.key, &input.upload_id)?;
        bucket.uploads.remove(&input.upload_id).ok_or_else(no_such_upload)
    })?;
    Ok(S3Response::new(AbortMultipartUploadOutput::default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_kinds_follow_the_algorithm() {
        use ChecksumAlgorithm::{Crc32, Crc64Nvme, Sha256};
        assert_eq!(checksum_kind(None, None).unwrap(), ChecksumType::FullObject);
        assert_eq!(checksum_kind(Some(Crc64Nvme), None).unwrap(), ChecksumType::FullObject);
        assert_eq!(checksum_kind(Some(Crc32), None).unwrap(), ChecksumType::Composite);
        assert_eq!(checksum_kind(Some(Crc32), Some("FULL_OBJECT")).unwrap(), ChecksumType::FullObject);
        assert!(checksum_kind(Some(Crc64Nvme), Some("COMPOSITE")).is_err());
        assert!(checksum_kind(Some(Sha256), Some("FULL_OBJECT")).is_err());
        assert!(checksum_kind(None, Some("COMPOSITE")).is_err());
    }
}
