//! Many small objects, one request for each.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::Target;
use super::connection::Connection;
use crate::serve::base64_of;
use crate::stream::{ALGORITHM, number};

/// Downloads each, and compares its checksum with that of the server.
pub(super) fn get(target: &Target, prefix: &str, count: u64, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    each(target, count, |connection, name, block| {
        let path = format!("{prefix}{name}");
        connection.send(&target.request("GET", &path, "x-amz-checksum-mode: ENABLED\r\n"), &[])?;
        let head = connection.good_head()?;
        block.resize(head.length as usize, 0);
        connection.read_exact(block)?;
        let found = base64_of(ALGORITHM, crc_fast::crc64_nvme(block));
        if head.checksum.is_some_and(|wanted| wanted != found) {
            return Err(io::Error::other(format!("{path} has the checksum {found}")));
        }
        File::create(folder.join(name))?.write_all(block)
    })
}

/// Uploads each, with its checksum in a header.
pub(super) fn put(target: &Target, folder: &Path, count: u64, prefix: &str) -> io::Result<()> {
    each(target, count, |connection, name, block| {
        block.clear();
        File::open(folder.join(name))?.read_to_end(block)?;
        let lines = format!(
            "Content-Length: {}\r\nx-amz-checksum-crc64nvme: {}\r\n",
            block.len(),
            base64_of(ALGORITHM, crc_fast::crc64_nvme(block))
        );
        connection.send(&target.request("PUT", &format!("{prefix}{name}"), &lines), block)?;
        let head = connection.good_head()?;
        connection.text(head.length).map(|_| ())
    })
}

/// Deletes each with a request of its own.
pub(super) fn delete(target: &Target, prefix: &str, count: u64) -> io::Result<()> {
    each(target, count, |connection, name, _| {
        connection.send(&target.request("DELETE", &format!("{prefix}{name}"), ""), &[])?;
        let head = connection.good_head()?;
        connection.text(head.length).map(|_| ())
    })
}

/// Does every object once, with a buffer that is kept.
fn each(
    target: &Target,
    count: u64,
    work: impl Fn(&mut Connection, &str, &mut Vec<u8>) -> io::Result<()> + Sync,
) -> io::Result<()> {
    let next = AtomicU64::new(0);
    target.on_each(target.connections.min(count), |connection| {
        let mut block = std::mem::take(&mut connection.block);
        loop {
            let index = next.fetch_add(1, Relaxed);
            if index >= count {
                return Ok(());
            }
            work(connection, &number(index), &mut block)?;
        }
    })
}
