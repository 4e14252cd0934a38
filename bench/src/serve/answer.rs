//! What the server answers, as S3 would.
//!
//! Decides; sends nothing. Objects larger than [`PART`] look as if they had been uploaded in parts of that size.

use std::fmt::Write as _;

use super::request::{Operation, Request, Wanted, base64_of};
use super::uploads::{self, Body, Uploads, elements};
use crate::stream::{ALGORITHM, Object, number};

/// The parts that large objects seem to be made of: 8 MiB.
pub(crate) const PART: u64 = 8 << 20;
/// Keys in one page of a list, as S3 has it.
const PAGE: u64 = 1000;
const MODIFIED: &str = "Thu, 01 Jan 2026 00:00:00 GMT";

/// A reply.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Whole lines.
    pub(crate) headers: String,
    pub(crate) content: Content,
    /// What `--verify` found out about an upload or a delete.
    pub(crate) verdict: Option<Result<(), String>>,
    /// Objects that were deleted.
    pub(crate) deleted: u64,
    /// Checksums of whole objects that a reader was told.
    pub(crate) checksums: u64,
}

/// A reply's body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Text(String),
    /// Bytes of the stream, from a place in it on.
    Stream {
        from: u64,
        length: u64,
    },
    /// As long as this, but not sent: of HEAD.
    Described(u64),
}

impl Answer {
    fn text(status: u16, text: impl Into<String>) -> Self {
        let content = Content::Text(text.into());
        Self { status, headers: String::new(), content, verdict: None, deleted: 0, checksums: 0 }
    }

    fn xml(text: &str) -> Self {
        let headers = "Content-Type: application/xml\r\n".to_owned();
        Self { headers, ..Self::text(200, format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{text}")) }
    }

    /// A refusal as S3 words it.
    pub(crate) fn error(status: u16, code: &str, message: &str) -> Self {
        let text = format!("<Error><Code>{code}</Code><Message>{}</Message></Error>", escape(message));
        Self { status, ..Self::xml(&text) }
    }

    fn with(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        // Writing to a string cannot fail.
        let _ = write!(self.headers, "{name}: {value}\r\n");
        self
    }

    fn judged(self, verdict: Result<(), String>) -> Self {
        Self { verdict: Some(verdict), ..self }
    }
}

/// The answer to a request whose body has come.
pub(crate) fn answer(request: &Request, body: &Body, uploads: &Uploads) -> Answer {
    let id = request.query("uploadId").unwrap_or_default();
    let no_such_upload = || Answer::error(404, "NoSuchUpload", "There is no such upload.");
    match request.operation {
        Operation::GetObject | Operation::HeadObject => read(request),
        Operation::ListObjectsV2 => list(request),
        Operation::PutObject => put(request, body),
        Operation::CreateMultipartUpload => {
            let id = uploads.create(&request.key);
            Answer::xml(&format!(
                "<InitiateMultipartUploadResult><Bucket>bench</Bucket><Key>{}</Key><UploadId>{id}</UploadId></InitiateMultipartUploadResult>",
                escape(&request.key)
            ))
            .with("x-amz-checksum-algorithm", "CRC64NVME")
            .with("x-amz-checksum-type", "FULL_OBJECT")
        }
        Operation::UploadPart => {
            let Wanted::Part(number) = request.wanted else {
                return Answer::error(400, "InvalidArgument", "A part needs a number.");
            };
            match uploads.store(id, number, body) {
                Ok(Some(etag)) => echo(Answer::text(200, "").with("ETag", format_args!("\"{etag}\"")), request, body),
                Ok(None) => no_such_upload(),
                Err(what) => Answer::error(400, "BadDigest", &what).judged(Err(what)),
            }
        }
        Operation::CompleteMultipartUpload => match uploads.complete(id, request, &body.text) {
            Ok(true) => {
                let etag = format!("{}-{}", uploads::etag(0, None), elements(&body.text, "Part").len());
                Answer::xml(&format!(
                    "<CompleteMultipartUploadResult><Bucket>bench</Bucket><Key>{}</Key><ETag>\"{etag}\"</ETag></CompleteMultipartUploadResult>",
                    escape(&request.key)
                ))
                .judged(Ok(()))
            }
            Ok(false) => no_such_upload(),
            Err(what) => Answer::error(400, "InvalidPart", &what).judged(Err(what)),
        },
        Operation::AbortMultipartUpload if uploads.abort(id) => Answer::text(204, ""),
        Operation::AbortMultipartUpload => no_such_upload(),
        Operation::ListParts => uploads.parts(id).map_or_else(no_such_upload, |parts| list_parts(&parts)),
        Operation::DeleteObject => Answer { deleted: 1, ..Answer::text(204, "") }.judged(known(&request.key)),
        Operation::DeleteObjects => delete(&body.text),
        Operation::Unknown => Answer::error(501, "NotImplemented", "This server does not know this request."),
    }
}

fn read(request: &Request) -> Answer {
    let Some(object) = Object::of(&request.key) else {
        return Answer::error(404, "NoSuchKey", "The key has no segment size-N, such as size-2GiB.");
    };
    let parts = (object.size > PART).then(|| object.size.div_ceil(PART));
    let etag = match parts {
        Some(parts) => format!("{}-{parts}", uploads::etag(object.size, None)),
        None => uploads::etag(object.size ^ object.start << 32, None),
    };
    if request.if_match.as_ref().is_some_and(|wanted| *wanted != etag && wanted != "*") {
        return Answer::error(412, "PreconditionFailed", "The object has another ETag.");
    }
    let last = object.size.saturating_sub(1);
    let selected = match request.wanted {
        Wanted::All => None,
        Wanted::Range(first, end) => Some((first, end.unwrap_or(last).min(last))),
        Wanted::Last(length) => Some((object.size.saturating_sub(length), last)),
        Wanted::Part(1) if object.size == 0 => None,
        Wanted::Part(part) => {
            let length = if parts.is_some() { PART } else { object.size.max(1) };
            let first = part.checked_sub(1).and_then(|before| before.checked_mul(length)).unwrap_or(u64::MAX);
            Some((first, first.saturating_add(length - 1).min(last)))
        }
    };
    if let Some((first, end)) = selected
        && (first > end || first >= object.size)
    {
        return Answer::error(416, "InvalidRange", "There is nothing at this place.")
            .with("Content-Range", format_args!("bytes */{}", object.size));
    }
    let (first, length) = selected.map_or((0, object.size), |(first, end)| (first, end - first + 1));
    let content = match request.operation {
        Operation::HeadObject => Content::Described(length),
        _ => Content::Stream { from: object.start + first, length },
    };
    let status = if selected.is_some() { 206 } else { 200 };
    let mut answer = Answer { content, ..Answer::text(status, "") }
        .with("ETag", format_args!("\"{etag}\""))
        .with("Last-Modified", MODIFIED)
        .with("Accept-Ranges", "bytes")
        .with("Content-Type", "application/octet-stream");
    if let Some((first, end)) = selected {
        answer = answer.with("Content-Range", format_args!("bytes {first}-{end}/{}", object.size));
    }
    if let (Wanted::Part(_), Some(parts)) = (request.wanted, parts) {
        answer = answer.with("x-amz-mp-parts-count", parts);
    }
    // S3 tells the whole object's checksum only with the whole object.
    if request.checksum_mode && length == object.size {
        answer = answer
            .with("x-amz-checksum-crc64nvme", base64_of(ALGORITHM, object.crc()))
            .with("x-amz-checksum-type", "FULL_OBJECT");
        answer.checksums = 1;
    }
    answer
}

fn put(request: &Request, body: &Body) -> Answer {
    match uploads::check_whole(&request.key, body) {
        Ok(()) => {
            let etag = uploads::etag(body.sums.as_ref().map_or(body.length, |sums| sums.crc64), None);
            echo(Answer::text(200, "").with("ETag", format_args!("\"{etag}\"")), request, body).judged(Ok(()))
        }
        Err(what) => Answer::error(400, "BadDigest", &what).judged(Err(what)),
    }
}

/// Tells the checksum that was stored, as far as it is known.
fn echo(answer: Answer, request: &Request, body: &Body) -> Answer {
    let found = body.sums.as_ref().and_then(|sums| sums.given.as_ref());
    match (&request.checksum, found) {
        (_, Some((given, found))) => answer.with(given.header, found),
        (Some(given), None) if !given.in_trailer => answer.with(given.header, &given.value),
        _ => answer,
    }
}

fn known(key: &str) -> Result<(), String> {
    Object::of(key).map(|_| ()).ok_or_else(|| format!("{key} was deleted, but names no size"))
}

fn delete(text: &str) -> Answer {
    let keys = elements(text, "Key");
    let mut out = String::from("<DeleteResult>");
    if !text.contains("<Quiet>true</Quiet>") {
        for key in &keys {
            let _ = write!(out, "<Deleted><Key>{key}</Key></Deleted>");
        }
    }
    out += "</DeleteResult>";
    Answer { deleted: keys.len() as u64, ..Answer::xml(&out) }.judged(keys.iter().try_for_each(|key| known(key)))
}

/// The keys below a prefix that says how many there are: `many/size-1KiB/count-1000/`.
fn list(request: &Request) -> Answer {
    let prefix = request.query("prefix").unwrap_or_default();
    let folder = prefix.rfind('/').map_or("", |end| &prefix[..=end]);
    let count = folder.split('/').find_map(|segment| segment.strip_prefix("count-")?.parse::<u64>().ok()).unwrap_or(0);
    let size = Object::of(folder).map_or(0, |object| object.size);
    let after = request.query("continuation-token").or(request.query("start-after"));
    let begin = after.and_then(|key| key.rsplit('/').next()?.parse::<u64>().ok()).map_or(0, |last| last + 1);
    let most = request.query("max-keys").and_then(|most| most.parse().ok()).unwrap_or(PAGE).min(PAGE);
    let end = begin.saturating_add(most).min(count);
    let mut out = format!("<ListBucketResult><Name>bench</Name><Prefix>{}</Prefix>", escape(prefix));
    let _ = write!(out, "<KeyCount>{}</KeyCount><MaxKeys>{most}</MaxKeys>", end.saturating_sub(begin));
    if end < count && end > begin {
        let _ = write!(
            out,
            "<IsTruncated>true</IsTruncated><NextContinuationToken>{}</NextContinuationToken>",
            number(end - 1)
        );
    } else {
        out += "<IsTruncated>false</IsTruncated>";
    }
    for key in begin..end {
        let _ = write!(
            out,
            "<Contents><Key>{}{}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;{}&quot;</ETag>\
             <Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>",
            escape(folder),
            number(key),
            uploads::etag(size, None)
        );
    }
    out += "</ListBucketResult>";
    Answer::xml(&out)
}

fn list_parts(parts: &[(u64, String, u64)]) -> Answer {
    let mut out = String::from("<ListPartsResult><IsTruncated>false</IsTruncated>");
    for (number, etag, size) in parts {
        let _ = write!(
            out,
            "<Part><PartNumber>{number}</PartNumber><ETag>&quot;{etag}&quot;</ETag><Size>{size}</Size></Part>"
        );
    }
    out += "</ListPartsResult>";
    Answer::xml(&out)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
