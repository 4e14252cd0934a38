//! Reads and writes of files from a lane.
//!
//! Positioned reads and writes of files in the page cache take micro-seconds, and are made on the lane. Where a disk turns out
//! slow the calls move to threads of their own until it is quick again, so that it never stops the lane's sockets. The rule is
//! `xfer_core::disk`.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use xfer_core::disk::Gate;

use crate::transport::OwnedChunk;

/// Fills `buffer` from `offset` on, as far as the file goes; returns the bytes read.
pub(crate) async fn read_at(
    gate: &mut Gate,
    file: &Arc<File>,
    mut buffer: Vec<u8>,
    wanted: usize,
    offset: u64,
) -> (Vec<u8>, io::Result<usize>) {
    let begun = Instant::now();
    let wanted = wanted.min(buffer.len());
    let (buffer, result) = if gate.is_quick() {
        let result = fill_at(file, &mut buffer[..wanted], offset);
        (buffer, result)
    } else {
        let file = Arc::clone(file);
        let read = tokio::task::spawn_blocking(move || {
            let result = fill_at(&file, &mut buffer[..wanted], offset);
            (buffer, result)
        });
        match read.await {
            Ok(read) => read,
            Err(_) => (Vec::new(), Err(io::Error::other("the reading thread is gone"))),
        }
    };
    gate.took(begun.elapsed());
    (buffer, result)
}

/// Writes on the lane; for a quick disk only.
pub(crate) fn write_at_once(gate: &mut Gate, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    let begun = Instant::now();
    let result = write_all_at(file, bytes, offset);
    gate.took(begun.elapsed());
    result
}

/// Writes the first `length` bytes of the chunk from another thread.
pub(crate) async fn write_elsewhere(
    gate: &mut Gate,
    file: &Arc<File>,
    chunk: OwnedChunk,
    length: usize,
    offset: u64,
) -> io::Result<()> {
    let begun = Instant::now();
    let file = Arc::clone(file);
    let result = tokio::task::spawn_blocking(move || write_all_at(&file, &chunk[..length], offset))
        .await
        .unwrap_or_else(|_| Err(io::Error::other("the writing thread is gone")));
    gate.took(begun.elapsed());
    result
}

fn fill_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match read_some_at(file, &mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(unix)]
fn read_some_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}

#[cfg(unix)]
pub(crate) fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_some_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, offset)
}

#[cfg(windows)]
pub(crate) fn write_all_at(file: &File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_write(file, bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = &bytes[written..];
                offset += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
