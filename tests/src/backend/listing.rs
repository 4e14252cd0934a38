//! Listings: objects, open uploads and parts, in S3's order (keys by their UTF-8 bytes) and in pages.
//!
//! A page never repeats or skips an entry that exists throughout. Continuation tokens are opaque to clients; here they hold the
//! last key or common prefix that was listed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as TOKEN;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::{
    CommonPrefix, ETag, ListMultipartUploadsInput, ListMultipartUploadsOutput, ListObjectsV2Input, ListObjectsV2Output,
    ListPartsInput, ListPartsOutput, MultipartUpload, Object, Part, Timestamp,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use base64::engine::general_purpose::STANDARD as BASE64;

use super::checksums::set_checksum;
use super::store::Store;

/// Entries in one page, at most and when nothing is said.
const PAGE: i32 = 1000;

/// What `encoding-type=url` leaves alone.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'*').remove(b'/');

fn page_size(asked: Option<i32>) -> S3Result<usize> {
    match asked.unwrap_or(PAGE) {
        asked if asked < 0 => Err(s3_error!(InvalidArgument, "The page size must not be negative")),
        asked => Ok(asked.min(PAGE) as usize),
    }
}

pub(crate) fn objects(
    store: &Store,
    request: S3Request<ListObjectsV2Input>,
) -> S3Result<S3Response<ListObjectsV2Output>> {
    let input = request.input;
    let size = page_size(input.max_keys)?;
    let prefix = input.prefix.clone().unwrap_or_default();
    let delimiter = input.delimiter.clone().filter(|delimiter| !delimiter.is_empty());
    let after = match &input.continuation_token {
        Some(token) => {
            let token = TOKEN.decode(token).ok().and_then(|token| String::from_utf8(token).ok());
            Some(token.ok_or_else(|| s3_error!(InvalidArgument, "The continuation token provided is incorrect"))?)
        }
        None => input.start_after.clone(),
    };
    let url = input.encoding_type.as_ref().is_some_and(|encoding| encoding.as_str() == "url");
    let encode = |text: &str| if url { utf8_percent_encode(text, PLAIN).to_string() } else { text.to_owned() };

    let mut contents = Vec::new();
    let mut common: Vec<String> = Vec::new();
    let mut last = None;
    let mut truncated = false;
    store.with_bucket(&input.bucket, |bucket| {
        for (key, object) in bucket.objects.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix)) {
            let group = delimiter
                .as_ref()
                .and_then(|delimiter| key[prefix.len()..].find(delimiter).map(|at| prefix.len() + at + delimiter.len()))
                .map(|end| &key[..end]);
            let entry = group.unwrap_or(key);
            // A token that is a common prefix stands for all keys under it.
            if after.as_deref().is_some_and(|after| entry <= after) || common.last().is_some_and(|seen| seen == entry) {
                continue;
            }
            if contents.len() + common.len() == size {
                truncated = size > 0;
                break;
            }
            last = Some(entry.to_owned());
            match group {
                Some(group) => common.push(group.to_owned()),
                None => contents.push(Object {
                    key: Some(encode(key)),
                    size: Some(object.len() as i64),
                    e_tag: Some(ETag::Strong(object.etag_value().to_owned())),
                    last_modified: Some(Timestamp::from(object.last_modified())),
                    storage_class: Some(
                        object.attributes.storage_class.clone().unwrap_or_else(|| "STANDARD".to_owned()).into(),
                    ),
                    checksum_algorithm: object
                        .checksum()
                        .map(|checksum| vec![checksum.algorithm.name().to_owned().into()]),
                    checksum_type: object.checksum().map(|checksum| checksum.kind.name().to_owned().into()),
                    ..Object::default()
                }),
            }
        }
        Ok(())
    })?;
    Ok(S3Response::new(ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: Some(encode(&prefix)),
        delimiter: delimiter.as_deref().map(encode),
        max_keys: Some(size as i32),
        key_count: Some((contents.len() + common.len()) as i32),
        continuation_token: input.continuation_token,
        is_truncated: Some(truncated),
        next_continuation_token: last.filter(|_| truncated).map(|last| TOKEN.encode(last)),
        contents: Some(contents),
        common_prefixes: Some(common.iter().map(|group| CommonPrefix { prefix: Some(encode(group)) }).collect()),
        encoding_type: input.encoding_type,
        start_after: input.start_after.as_deref().map(encode),
        ..ListObjectsV2Output::default()
    }))
}

pub(crate) fn uploads(
    store: &Store,
    request: S3Request<ListMultipartUploadsInput>,
) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
    let input = request.input;
    if input.delimiter.as_deref().is_some_and(|delimiter| !delimiter.is_empty()) {
        return Err(s3_error!(NotImplemented, "A delimiter is not implemented for this operation"));
    }
    let size = page_size(input.max_uploads)?;
    let prefix = input.prefix.clone().unwrap_or_default();
    let url = input.encoding_type.as_ref().is_some_and(|encoding| encoding.as_str() == "url");
    let encode = |text: &str| if url { utf8_percent_encode(text, PLAIN).to_string() } else { text.to_owned() };
    let mut found: Vec<(String, String, MultipartUpload)> = store.with_bucket(&input.bucket, |bucket| {
        let matching = bucket.uploads.iter().filter(|(_, upload)| upload.key.starts_with(&prefix));
        Ok(matching
            .map(|(id, upload)| {
                let entry = MultipartUpload {
                    key: Some(encode(&upload.key)),
                    upload_id: Some(id.clone()),
                    initiated: Some(Timestamp::from(upload.initiated)),
                    checksum_algorithm: upload.algorithm.map(|algorithm| algorithm.name().to_owned().into()),
                    checksum_type: upload.algorithm.map(|_| upload.kind.name().to_owned().into()),
                    storage_class: Some(
                        upload.attributes.storage_class.clone().unwrap_or_else(|| "STANDARD".to_owned()).into(),
                    ),
                    ..MultipartUpload::default()
                };
                (upload.key.clone(), id.clone(), entry)
            })
            .collect())
    })?;
    found.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    if let Some(key_marker) = &input.key_marker {
        let id_marker = input.upload_id_marker.as_ref();
        found.retain(|(key, id, _)| {
            key > key_marker || (key == key_marker && id_marker.is_some_and(|marker| id > marker))
        });
    }
    let truncated = size > 0 && found.len() > size;
    found.truncate(size);
    let last = found.last().filter(|_| truncated).map(|(key, id, _)| (encode(key), id.clone()));
    Ok(S3Response::new(ListMultipartUploadsOutput {
        bucket: Some(input.bucket),
        prefix: Some(encode(&prefix)),
        key_marker: Some(encode(&input.key_marker.unwrap_or_default())),
        upload_id_marker: Some(input.upload_id_marker.unwrap_or_default()),
        next_key_marker: last.as_ref().map(|(key, _)| key.clone()),
        next_upload_id_marker: last.map(|(_, id)| id),
        max_uploads: Some(size as i32),
        is_truncated: Some(truncated),
        uploads: Some(found.into_iter().map(|(_, _, entry)| entry).collect()),
        encoding_type: input.encoding_type,
        ..ListMultipartUploadsOutput::default()
    }))
}

pub(crate) fn parts(store: &Store, request: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
    let input = request.input;
    let size = page_size(input.max_parts)?;
    let marker = input.part_number_marker.unwrap_or(0);
    store.with_bucket(&input.bucket, |bucket| {
        let upload = bucket.upload(&input.key, &input.upload_id)?;
        let mut parts: Vec<_> = upload
            .parts
            .range(marker.saturating_add(1)..)
            .take(size + 1)
            .map(|(number, stored)| {
                let mut part = Part {
                    part_number: Some(*number),
                    size: Some(stored.content.len() as i64),
                    e_tag: Some(ETag::Strong(stored.etag.clone())),
                    last_modified: Some(Timestamp::from(stored.last_modified)),
                    ..Part::default()
                };
                if let Some(algorithm) = upload.algorithm {
                    set_checksum!(part, algorithm, BASE64.encode(&stored.checksum));
                }
                part
            })
            .collect();
        let truncated = size > 0 && parts.len() > size;
        parts.truncate(size);
        Ok(S3Response::new(ListPartsOutput {
            bucket: Some(input.bucket.clone()),
            key: Some(input.key.clone()),
            upload_id: Some(input.upload_id.clone()),
            part_number_marker: Some(marker),
            next_part_number_marker: parts.last().filter(|_| truncated).and_then(|part| part.part_number),
            max_parts: Some(size as i32),
            is_truncated: Some(truncated),
            parts: Some(parts),
            checksum_algorithm: upload.algorithm.map(|algorithm| algorithm.name().to_owned().into()),
            checksum_type: upload.algorithm.map(|_| upload.kind.name().to_owned().into()),
            storage_class: Some(
                upload.attributes.storage_class.clone().unwrap_or_else(|| "STANDARD".to_owned()).into(),
            ),
            ..ListPartsOutput::default()
        }))
    })
}
