//! Uploads that are under way, and whether what arrived is what should have.
//!
//! Decides: when an upload is right. It is if its bytes are those of the object that its key stands for, which is found out by their
//! checksum, so that no byte need be kept. Without `--verify` everything is taken for right.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::request::{Given, Request, base64_of};
use crate::stream::{ALGORITHM, Object, Stream};

/// S3's least size of any part but the last: 5 MiB.
const LEAST_PART: u64 = 5 << 20;

/// What a body was, after it has been read or dropped.
#[derive(Clone, Debug, Default)]
pub(crate) struct Body {
    /// Without what chunks and trailers take.
    pub(crate) length: u64,
    /// What was kept: the text of requests that are no uploads.
    pub(crate) text: String,
    /// Of the bytes, when they were looked at.
    pub(crate) sums: Option<Sums>,
}

/// Checksums of a body.
#[derive(Clone, Debug)]
pub(crate) struct Sums {
    pub(crate) crc64: u64,
    /// The client's, and what it should have been, when it can be compared.
    pub(crate) given: Option<(Given, String)>,
}

/// One part as it was stored.
struct Part {
    etag: String,
    length: u64,
    crc64: Option<u64>,
}

struct Session {
    key: String,
    parts: BTreeMap<u64, Part>,
}

/// Uploads in parts, by their ids.
#[derive(Default)]
pub(crate) struct Uploads {
    sessions: Mutex<HashMap<String, Session>>,
    last: AtomicU64,
}

impl Uploads {
    fn sessions(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new upload's id.
    pub(crate) fn create(&self, key: &str) -> String {
        let id = format!("upload-{}", self.last.fetch_add(1, Relaxed) + 1);
        self.sessions().insert(id.clone(), Session { key: key.to_owned(), parts: BTreeMap::new() });
        id
    }

    /// Stores a part: its ETag, or none if there is no such upload.
    ///
    /// # Errors
    /// What is wrong with its checksum.
    pub(crate) fn store(&self, id: &str, number: u64, body: &Body) -> Result<Option<String>, String> {
        check_given(body)?;
        let crc64 = body.sums.as_ref().map(|sums| sums.crc64);
        let etag = etag(crc64.unwrap_or(body.length), Some(number));
        let mut sessions = self.sessions();
        let Some(session) = sessions.get_mut(id) else { return Ok(None) };
        session.parts.insert(number, Part { etag: etag.clone(), length: body.length, crc64 });
        Ok(Some(etag))
    }

    /// Numbers, ETags and sizes of an upload's parts.
    pub(crate) fn parts(&self, id: &str) -> Option<Vec<(u64, String, u64)>> {
        let sessions = self.sessions();
        let parts = &sessions.get(id)?.parts;
        Some(parts.iter().map(|(number, part)| (*number, part.etag.clone(), part.length)).collect())
    }

    /// Forgets an upload; whether it was there.
    pub(crate) fn abort(&self, id: &str) -> bool {
        self.sessions().remove(id).is_some()
    }

    /// Completes an upload; whether it was there.
    ///
    /// # Errors
    /// What is wrong with it, if its bytes were looked at.
    pub(crate) fn complete(&self, id: &str, request: &Request, list: &str) -> Result<bool, String> {
        let Some(session) = self.sessions().remove(id) else { return Ok(false) };
        if session.parts.values().all(|part| part.crc64.is_some()) {
            session.check(request, list)?;
        }
        Ok(true)
    }
}

impl Session {
    fn check(&self, request: &Request, list: &str) -> Result<(), String> {
        if request.key != self.key {
            return Err(format!("completed as {}, begun as {}", request.key, self.key));
        }
        let object = Object::of(&self.key).ok_or("its key names no size")?;
        let mut offset = 0;
        let mut last = 0;
        for entry in elements(list, "Part") {
            let number = element(entry, "PartNumber").and_then(|number| number.parse().ok()).unwrap_or(0);
            let part = self.parts.get(&number).ok_or_else(|| format!("part {number} is listed, but was not stored"))?;
            if number <= last {
                return Err(format!("part {number} is listed behind part {last}"));
            }
            // With quotes or without, and however those are written.
            let listed = element(entry, "ETag").unwrap_or_default().replace("&quot;", "").replace("&#34;", "");
            if listed.trim_matches('"') != part.etag {
                return Err(format!("part {number} is listed with ETag {listed}, it has {}", part.etag));
            }
            if offset + part.length < object.size && part.length < LEAST_PART {
                return Err(format!("part {number} is only {} bytes", part.length));
            }
            let wanted = Stream::get().crc(object.start + offset, part.length);
            if part.crc64 != Some(wanted) {
                return Err(format!("part {number} is not the bytes from {offset} on"));
            }
            if let Some(sum) = element(entry, "ChecksumCRC64NVME")
                && sum != base64_of(ALGORITHM, wanted)
            {
                return Err(format!("part {number} is listed with the checksum {sum}"));
            }
            offset += part.length;
            last = number;
        }
        if offset != object.size {
            return Err(format!("{offset} bytes instead of {}", object.size));
        }
        match &request.checksum {
            Some(given)
                if given.algorithm() == Some(ALGORITHM) && given.value != base64_of(ALGORITHM, object.crc()) =>
            {
                Err(format!("the whole is said to have the checksum {}", given.value))
            }
            _ => Ok(()),
        }
    }
}

/// Checks an object that came in one request.
///
/// # Errors
/// What is wrong with it, if its bytes were looked at.
pub(crate) fn check_whole(key: &str, body: &Body) -> Result<(), String> {
    let Some(sums) = &body.sums else { return Ok(()) };
    check_given(body)?;
    let object = Object::of(key).ok_or("its key names no size")?;
    match () {
        () if object.size != body.length => Err(format!("{} bytes instead of {}", body.length, object.size)),
        () if object.crc() != sums.crc64 => Err("its bytes are wrong".to_owned()),
        () => Ok(()),
    }
}

fn check_given(body: &Body) -> Result<(), String> {
    match body.sums.as_ref().and_then(|sums| sums.given.as_ref()) {
        Some((given, found)) if given.value != *found => {
            Err(format!("{} is {:?}, the bytes have {found}", given.header, given.value))
        }
        _ => Ok(()),
    }
}

/// An ETag of the right look.
pub(crate) fn etag(sum: u64, number: Option<u64>) -> String {
    format!("{:016x}{sum:016x}", number.unwrap_or(0))
}

/// What stands in the elements of this name. Enough for what clients send: no element of a name stands in another of the same.
pub(crate) fn elements<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    text.split(&open).skip(1).filter_map(|rest| rest.split(&close).next()).collect()
}

fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    elements(text, name).first().map(|text| text.trim())
}

#[cfg(test)]
#[path = "uploads_tests.rs"]
mod tests;
