//! Operations on single objects: put, get, head, delete.
//!
//! A GET answers from the object it found under one look at the store; overwriting or deleting the key meanwhile does not touch
//! the bytes being sent.

use std::sync::Arc;

use http::HeaderMap;
use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, ETag, Error,
    GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, ObjectIdentifier, PutObjectInput,
    PutObjectOutput, Range, StreamingBlob, Timestamp,
};
use s3s::{S3Error, S3Request, S3Response, S3Result, s3_error};

use super::attributes::{attributes_of, customer_key, echo_customer_key, echo_encryption};
use super::checksums::{self, ChecksumAlgorithm, ChecksumType, StoredChecksum};
use super::conditions::{ReadConditions, check_write, matches, precondition_failed};
use super::custom_error;
use super::receive::{Incoming, receive};
use super::store::{Bucket, Store, StoredObject, now};

pub(crate) async fn put(store: &Store, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
    let S3Request { input, headers, trailing_headers, .. } = request;
    let mut incoming = Incoming {
        headers: &headers,
        trailers: trailing_headers,
        content_length: input.content_length,
        content_md5: input.content_md5.as_deref(),
        body: None,
    };
    store.with_bucket(&input.bucket, |_| Ok(()))?;
    incoming.body = input.body;
    let asked = checksums::declared(&headers)?.is_none().then_some(ChecksumAlgorithm::Crc64Nvme);
    let received = receive(store, incoming, asked).await?;
    let attributes = attributes_of!(input);
    attributes.check()?;
    if attributes.locks() && received.declared.is_none() && input.content_md5.is_none() {
        return Err(s3_error!(
            InvalidRequest,
            "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters"
        ));
    }

    let algorithm = received.declared.unwrap_or(ChecksumAlgorithm::Crc64Nvme);
    let checksum = StoredChecksum::full(algorithm, received.checksum(algorithm));
    let object = StoredObject {
        etag: received.etag.clone(),
        content: received.content,
        last_modified: now(),
        attributes,
        checksum: Some(checksum.clone()),
        parts: Vec::new(),
        version_id: None,
    };
    let tag = store.tag();
    let object = store.with_bucket(&input.bucket, |bucket| {
        let current = bucket.objects.get(&input.key).map(Arc::as_ref);
        check_write(current, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        Ok(bucket.keep(&input.key, object, tag))
    })?;

    let mut output = PutObjectOutput {
        e_tag: Some(ETag::Strong(received.etag)),
        version_id: object.version_id.clone(),
        ..PutObjectOutput::default()
    };
    output.checksum_type = Some(checksum.kind.name().to_owned().into());
    echo_encryption!(output, object.attributes);
    echo_customer_key!(output, object.attributes);
    let mut response = S3Response::new(output);
    checksums::tell(&mut response.headers, checksum.algorithm, &checksum.value);
    Ok(response)
}

/// Which bytes of an object an answer holds.
struct Selection {
    start: u64,
    end: u64,
    /// The Content-Range to send; its presence makes the status 206.
    content_range: Option<String>,
    parts_count: Option<i32>,
    /// The checksum that covers exactly these bytes, if one is kept.
    checksum: Option<StoredChecksum>,
}

impl Selection {
    /// S3 tells checksums to those who ask for them.
    fn hide_unless(&mut self, asked: bool) {
        self.checksum = self.checksum.take().filter(|_| asked);
    }

    fn with_checksum<T>(&self, mut response: S3Response<T>) -> S3Response<T> {
        if let Some(checksum) = &self.checksum {
            checksums::tell(&mut response.headers, checksum.algorithm, &checksum.value);
        }
        response
    }
}

fn select(object: &StoredObject, range: Option<Range>, part_number: Option<i32>) -> S3Result<Selection> {
    let len = object.len();
    let content_range = |start: u64, end: u64| Some(format!("bytes {start}-{}/{len}", end - 1));
    match (range, part_number) {
        (Some(_), Some(_)) => {
            Err(s3_error!(InvalidRequest, "Cannot specify both Range header and partNumber query parameter"))
        }
        (None, None) => {
            let checksum = object.checksum.clone();
            Ok(Selection { start: 0, end: len, content_range: None, parts_count: None, checksum })
        }
        (Some(range), None) => {
            let (start, end) = match range {
                Range::Int { first, last } => (first, last.map_or(len, |last| last.saturating_add(1).min(len))),
                Range::Suffix { length } => (len - length.min(len), len),
            };
            if start >= end {
                return Err(s3_error!(InvalidRange, "The requested range is not satisfiable"));
            }
            // Like S3: the checksum of the whole does not go with a range.
            Ok(Selection { start, end, content_range: content_range(start, end), parts_count: None, checksum: None })
        }
        (None, Some(number)) if object.parts.is_empty() && number == 1 => {
            let range = if len == 0 { None } else { content_range(0, len) };
            Ok(Selection {
                start: 0,
                end: len,
                content_range: range,
                parts_count: None,
                checksum: object.checksum.clone(),
            })
        }
        (None, Some(number)) => {
            let mut start = 0;
            for part in &object.parts {
                if part.number == number {
                    let end = start + part.len;
                    let content_range = if part.len == 0 { None } else { content_range(start, end) };
                    let parts_count = Some(object.parts.len() as i32);
                    return Ok(Selection { start, end, content_range, parts_count, checksum: part.checksum.clone() });
                }
                start += part.len;
            }
            Err(custom_error(416, "InvalidPartNumber", "The requested partnumber is not satisfiable"))
        }
    }
}

/// Finds the object for a GET or HEAD and checks all that guards it. The two inputs have the same fields but no common type.
macro_rules! find_for_read {
    ($store:expr, $input:expr) => {{
        let key_md5 = customer_key(
            $input.sse_customer_algorithm.as_deref(),
            $input.sse_customer_key.as_deref(),
            $input.sse_customer_key_md5.as_deref(),
        )?;
        let object =
            $store.with_bucket(&$input.bucket, |bucket| bucket.object(&$input.key, $input.version_id.as_deref()))?;
        object.attributes.check_customer_key(key_md5.as_deref())?;
        let conditions = ReadConditions {
            if_match: $input.if_match,
            if_none_match: $input.if_none_match,
            if_modified_since: $input.if_modified_since,
            if_unmodified_since: $input.if_unmodified_since,
        };
        conditions.check(&object)?;
        let selection = select(&object, $input.range, $input.part_number)?;
        (object, selection)
    }};
}

/// Fills what GET and HEAD answers have in common.
macro_rules! describe {
    ($output:expr, $object:expr, $selection:expr) => {
        let attributes = &$object.attributes;
        $output.accept_ranges = Some("bytes".to_owned());
        $output.cache_control = attributes.cache_control.clone();
        $output.content_disposition = attributes.content_disposition.clone();
        $output.content_encoding = attributes.content_encoding.clone();
        $output.content_language = attributes.content_language.clone();
        $output.content_length = Some(($selection.end - $selection.start) as i64);
        $output.content_range = $selection.content_range.clone();
        $output.content_type =
            Some(attributes.content_type.clone().unwrap_or_else(|| "binary/octet-stream".to_owned()));
        $output.e_tag = Some(ETag::Strong($object.etag_value().to_owned()));
        $output.expires = attributes.expires.clone();
        $output.last_modified = Some(Timestamp::from($object.last_modified()));
        $output.metadata = (!attributes.metadata.is_empty()).then(|| attributes.metadata.clone().into_iter().collect());
        $output.object_lock_legal_hold_status = attributes.object_lock_legal_hold.clone().map(Into::into);
        $output.object_lock_mode = attributes.object_lock_mode.clone().map(Into::into);
        $output.object_lock_retain_until_date = attributes.object_lock_retain_until.clone();
        $output.parts_count = $selection.parts_count;
        $output.storage_class = attributes.storage_class.clone().filter(|class| class != "STANDARD").map(Into::into);
        $output.version_id = $object.version_id.clone();
        $output.website_redirect_location = attributes.website_redirect_location.clone();
        echo_encryption!($output, attributes);
        echo_customer_key!($output, attributes);
        $output.checksum_type = $selection.checksum.as_ref().map(|checksum| checksum.kind.name().to_owned().into());
    };
}

pub(crate) fn get(store: &Store, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
    let input = request.input;
    let (object, mut selection) = find_for_read!(store, input);
    selection.hide_unless(input.checksum_mode.is_some_and(|mode| mode.as_str() == "ENABLED"));
    let body = object.content.range(selection.start, selection.end);
    let mut output = GetObjectOutput { body: Some(StreamingBlob::new(body)), ..GetObjectOutput::default() };
    describe!(output, object, selection);
    output.tag_count = object.attributes.tag_count();
    Ok(selection.with_checksum(S3Response::new(output)))
}

pub(crate) fn head(store: &Store, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
    let input = request.input;
    let (object, mut selection) = find_for_read!(store, input);
    selection.hide_unless(input.checksum_mode.is_some_and(|mode| mode.as_str() == "ENABLED"));
    let mut output = HeadObjectOutput::default();
    describe!(output, object, selection);
    Ok(selection.with_checksum(S3Response::new(output)))
}

pub(crate) fn delete(store: &Store, request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
    let input = request.input;
    if input.version_id.is_some() && store.mfa.is_some() && input.mfa != store.mfa {
        return Err(s3_error!(AccessDenied, "Mfa Authentication must be used for this request"));
    }
    let tag = store.tag();
    let deleted = store.with_bucket(&input.bucket, |bucket| {
        match (bucket.objects.get(&input.key), &input.if_match) {
            (None, Some(_)) => return Err(s3_error!(NoSuchKey, "The specified key does not exist.")),
            (Some(object), Some(condition)) if !matches(condition, object.etag_value()) => {
                return Err(precondition_failed("If-Match"));
            }
            _ => {}
        }
        bucket.delete(&input.key, input.version_id.as_deref(), tag)
    })?;
    Ok(S3Response::new(DeleteObjectOutput {
        delete_marker: deleted.marker.then_some(true),
        version_id: deleted.version_id,
        ..DeleteObjectOutput::default()
    }))
}

pub(crate) fn delete_many(
    store: &Store,
    request: S3Request<DeleteObjectsInput>,
) -> S3Result<S3Response<DeleteObjectsOutput>> {
    let S3Request { input, headers, .. } = request;
    if !has_integrity(&headers) {
        return Err(s3_error!(
            InvalidRequest,
            "Missing required header for this request: Content-MD5 OR x-amz-checksum-*"
        ));
    }
    if input.delete.objects.is_empty() || input.delete.objects.len() > 1000 {
        return Err(s3_error!(MalformedXML, "The XML you provided was not well-formed or did not validate."));
    }
    let quiet = input.delete.quiet.unwrap_or(false);
    let (mut deleted, mut errors) = (Vec::new(), Vec::new());
    let tag = store.tag();
    store.with_bucket(&input.bucket, |bucket| {
        for object in input.delete.objects {
            match delete_one(bucket, &object, format!("{tag}-{}", deleted.len())) {
                Ok(()) => deleted.push(DeletedObject { key: Some(object.key), ..DeletedObject::default() }),
                Err(error) => errors.push(Error {
                    code: Some(error.code().as_str().to_owned()),
                    key: Some(object.key),
                    message: error.message().map(ToOwned::to_owned),
                    version_id: None,
                }),
            }
        }
        Ok(())
    })?;
    Ok(S3Response::new(DeleteObjectsOutput {
        deleted: (!quiet).then_some(deleted),
        errors: Some(errors),
        ..DeleteObjectsOutput::default()
    }))
}

fn delete_one(bucket: &mut Bucket, object: &ObjectIdentifier, tag: String) -> Result<(), S3Error> {
    let Some(current) = bucket.objects.get(&object.key) else {
        return Ok(());
    };
    if object.e_tag.as_ref().is_some_and(|etag| etag.value() != "*" && etag.value() != current.etag_value()) {
        return Err(precondition_failed("ETag"));
    }
    bucket.delete(&object.key, object.version_id.as_deref(), tag).map(drop)
}

fn has_integrity(headers: &HeaderMap) -> bool {
    headers.contains_key("content-md5") || checksums::declared(headers).is_ok_and(|declared| declared.is_some())
}

/// The checksum of a part of a completed object, if clients can have it.
pub(crate) fn part_checksum(algorithm: Option<ChecksumAlgorithm>, value: &[u8]) -> Option<StoredChecksum> {
    // Without a declared algorithm S3 keeps the checksum of the whole only.
    algorithm
        .map(|algorithm| StoredChecksum { kind: ChecksumType::FullObject, ..StoredChecksum::full(algorithm, value) })
}
