//! One large object, in parts that the connections take in turn.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crc_fast::{Digest, checksum_combine};

use super::Target;
use super::connection::Connection;
use crate::serve::base64_of;
use crate::stream::ALGORITHM;

/// Bytes written around the page cache at a time, and what their place has to be a multiple of.
const BLOCK: usize = 1 << 20;
const ALIGNED: usize = 4096;

/// Checksum and length of each part; `etag` of those that were sent.
#[derive(Clone, Default)]
struct Part {
    sum: u64,
    length: u64,
    etag: String,
}

/// Downloads, and compares the whole's checksum with that of the server.
pub(super) fn get(target: &Target, key: &str, path: &Path) -> io::Result<()> {
    let mut connection = Connection::open(target)?;
    connection.send(&target.request("HEAD", key, "x-amz-checksum-mode: ENABLED\r\n"), &[])?;
    let object = connection.good_head()?;
    drop(connection);
    let file = File::create(path)?;
    let direct =
        target.direct.then(|| OpenOptions::new().write(true).custom_flags(libc::O_DIRECT).open(path)).transpose()?;
    let parts = in_parts(target, object.length, |connection, _, from, length| {
        let range = format!("Range: bytes={from}-{}\r\nIf-Match: {}\r\n", from + length - 1, object.etag);
        connection.send(&target.request("GET", key, &range), &[])?;
        let head = connection.good_head()?;
        if head.length != length {
            return Err(io::Error::other(format!("{} bytes came instead of {length}", head.length)));
        }
        let mut digest = Digest::new(ALGORITHM);
        match &direct {
            None => connection.receive_file(&file, from, length, &mut digest)?,
            Some(direct) => receive_direct(connection, &file, direct, from, length, &mut digest)?,
        }
        Ok(Part { sum: digest.finalize(), length, etag: String::new() })
    })?;
    let found = base64_of(ALGORITHM, whole(&parts));
    match object.checksum {
        Some(wanted) if wanted != found => {
            Err(io::Error::other(format!("the checksum is {found} instead of {wanted}")))
        }
        _ => Ok(()),
    }
}

/// Uploads, with each part's checksum in a trailer and the whole's at the end.
pub(super) fn put(target: &Target, path: &Path, key: &str) -> io::Result<()> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut connection = Connection::open(target)?;
    let create = "Content-Length: 0\r\nx-amz-checksum-algorithm: CRC64NVME\r\nx-amz-checksum-type: FULL_OBJECT\r\n";
    connection.send(&target.request("POST", &format!("{key}?uploads="), create), &[])?;
    let head = connection.good_head()?;
    let text = connection.text(head.length)?;
    drop(connection);
    let id = text.split("<UploadId>").nth(1).and_then(|rest| rest.split("</UploadId>").next());
    let id = id.ok_or_else(|| io::Error::other("no UploadId came"))?;

    let parts = in_parts(target, size, |connection, number, from, length| {
        let chunk = format!("{length:x}\r\n");
        let end = |sum| format!("\r\n0\r\nx-amz-checksum-crc64nvme:{}\r\n\r\n", base64_of(ALGORITHM, sum));
        let lines = format!(
            "Content-Length: {}\r\nContent-Encoding: aws-chunked\r\nx-amz-decoded-content-length: {length}\r\n\
             x-amz-trailer: x-amz-checksum-crc64nvme\r\n",
            chunk.len() as u64 + length + end(0).len() as u64
        );
        let path = format!("{key}?partNumber={number}&uploadId={id}");
        connection.send(&target.request("PUT", &path, &lines), chunk.as_bytes())?;
        let mut digest = Digest::new(ALGORITHM);
        connection.send_file(&file, from, length, &mut digest)?;
        let sum = digest.finalize();
        connection.send(end(sum).as_bytes(), &[])?;
        let head = connection.good_head()?;
        connection.text(head.length)?;
        Ok(Part { sum, length, etag: head.etag })
    })?;

    let mut list = String::from("<CompleteMultipartUpload>");
    for (part, number) in parts.iter().zip(1..) {
        let sum = base64_of(ALGORITHM, part.sum);
        list += &format!(
            "<Part><ETag>{}</ETag><PartNumber>{number}</PartNumber><ChecksumCRC64NVME>{sum}</ChecksumCRC64NVME></Part>",
            part.etag
        );
    }
    list += "</CompleteMultipartUpload>";
    let lines = format!(
        "Content-Length: {}\r\nx-amz-checksum-crc64nvme: {}\r\nx-amz-checksum-type: FULL_OBJECT\r\nx-amz-mp-object-size: {size}\r\n",
        list.len(),
        base64_of(ALGORITHM, whole(&parts))
    );
    let mut connection = Connection::open(target)?;
    connection.send(&target.request("POST", &format!("{key}?uploadId={id}"), &lines), list.as_bytes())?;
    let head = connection.good_head()?;
    let text = connection.text(head.length)?;
    if text.contains("<Error>") { Err(io::Error::other(text)) } else { Ok(()) }
}

/// Does every part of `size` bytes once: `work` gets its number, its first byte and its length.
fn in_parts(
    target: &Target,
    size: u64,
    work: impl Fn(&mut Connection, u64, u64, u64) -> io::Result<Part> + Sync,
) -> io::Result<Vec<Part>> {
    let count = size.div_ceil(target.part);
    let next = AtomicU64::new(0);
    let parts = Mutex::new(vec![Part::default(); count as usize]);
    target.on_each(target.connections.min(count), |connection| {
        loop {
            let index = next.fetch_add(1, Relaxed);
            if index >= count {
                return Ok(());
            }
            let from = index * target.part;
            let part = work(connection, index + 1, from, target.part.min(size - from))?;
            let mut parts = parts.lock().map_err(|_| io::Error::other("a thread panicked"))?;
            parts[index as usize] = part;
        }
    })?;
    parts.into_inner().map_err(|_| io::Error::other("a thread panicked"))
}

/// The checksum of all parts together.
fn whole(parts: &[Part]) -> u64 {
    parts.iter().fold(0, |sum, part| checksum_combine(ALGORITHM, sum, part.sum, part.length))
}

/// Writes a body around the page cache, but for an end that is no whole number of blocks of the disk.
fn receive_direct(
    connection: &mut Connection,
    file: &File,
    direct: &File,
    from: u64,
    length: u64,
    digest: &mut Digest,
) -> io::Result<()> {
    let mut room = std::mem::take(&mut connection.block);
    room.resize(BLOCK + ALIGNED, 0);
    let skip = room.as_ptr().align_offset(ALIGNED);
    let mut done = 0;
    while done < length {
        let block = &mut room[skip..skip + (length - done).min(BLOCK as u64) as usize];
        connection.read_exact(block)?;
        digest.update(block);
        let whole = block.len() / ALIGNED * ALIGNED;
        direct.write_all_at(&block[..whole], from + done)?;
        if whole < block.len() {
            file.write_all_at(&block[whole..], from + done + whole as u64)?;
        }
        done += block.len() as u64;
    }
    connection.block = room;
    Ok(())
}
