//! Reads and writes of files from a lane.
//!
//! Positioned reads and writes of files in the page cache take micro-seconds, and are made on the lane. Where a disk turns out
//! slow the calls move to threads of their own until it is quick again, so that it never stops the lane's sockets. The rule is
//! `xfer_core::disk`.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
use xfer_core::disk::FileSystem;
use xfer_core::disk::Gate;

use crate::transport::OwnedChunk;

/// A file that lanes read or write, and how quick it was so far: what is slow for one of its parts is slow for all.
#[derive(Debug)]
pub(crate) struct GatedFile {
    file: File,
    gate: Gate,
}

impl GatedFile {
    /// Whether the next call may be made in place.
    pub(crate) fn is_quick(&self) -> bool {
        self.gate.is_quick()
    }
}

impl From<File> for GatedFile {
    fn from(file: File) -> GatedFile {
        GatedFile { file, gate: Gate::default() }
    }
}

impl Deref for GatedFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

/// Fills `buffer` from `offset` on, as far as the file goes; returns the bytes read.
pub(crate) async fn read_at(
    gated: &Arc<GatedFile>,
    mut buffer: Vec<u8>,
    wanted: usize,
    offset: u64,
) -> (Vec<u8>, io::Result<usize>) {
    let begun = Instant::now();
    let wanted = wanted.min(buffer.len());
    let (buffer, result) = if gated.is_quick() {
        let result = fill_at(gated, &mut buffer[..wanted], offset);
        (buffer, result)
    } else {
        let file = Arc::clone(gated);
        let read = tokio::task::spawn_blocking(move || {
            let result = fill_at(&file, &mut buffer[..wanted], offset);
            (buffer, result)
        });
        match read.await {
            Ok(read) => read,
            Err(_) => (Vec::new(), Err(io::Error::other("the reading thread is gone"))),
        }
    };
    gated.gate.took(begun.elapsed());
    (buffer, result)
}

/// Writes on the lane; for a quick disk only.
pub(crate) fn write_at_once(gated: &GatedFile, bytes: &[u8], offset: u64) -> io::Result<()> {
    let begun = Instant::now();
    let result = write_all_at(gated, bytes, offset);
    gated.gate.took(begun.elapsed());
    result
}

/// Writes the first `length` bytes of the chunk from another thread.
pub(crate) async fn write_elsewhere(
    gated: &Arc<GatedFile>,
    chunk: OwnedChunk,
    length: usize,
    offset: u64,
) -> io::Result<()> {
    let begun = Instant::now();
    let file = Arc::clone(gated);
    let result = tokio::task::spawn_blocking(move || write_all_at(&file, &chunk[..length], offset))
        .await
        .unwrap_or_else(|_| Err(io::Error::other("the writing thread is gone")));
    gated.gate.took(begun.elapsed());
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

/// What kind of file system a file is on; `None` where that cannot be told.
#[cfg(target_os = "linux")]
pub(crate) fn system_of(file: &File) -> Option<FileSystem> {
    // The number has 32 bits, whatever the type that an architecture has for it.
    rustix::fs::fstatfs(file).ok().map(|about| FileSystem(about.f_type as u32))
}

/// For so long it is not asked again what kind of file system a device is: when one is unmounted, its number may become another's.
const DEVICE_KNOWN_FOR: Duration = Duration::from_secs(10);

#[derive(Clone, Copy)]
struct KnownDevice {
    device: u32,
    is_local: bool,
    since: Instant,
}

thread_local! {
    /// The device that this thread asked for last: commonly all files go to one.
    static KNOWN_DEVICE: Cell<Option<KnownDevice>> = const { Cell::new(None) };
}

/// Whether the file, which is on this device, is on a file system that is known to be local. Elsewhere than on Linux all are taken for
/// local, since it is not known what they are.
pub(crate) fn is_local(device: Option<u32>, file: &File) -> bool {
    let Some(device) = device else { return asked_whether_local(file) };
    let known = KNOWN_DEVICE.get().filter(|known| known.device == device && known.since.elapsed() < DEVICE_KNOWN_FOR);
    known.map_or_else(|| remember(device, asked_whether_local(file)), |known| known.is_local)
}

fn remember(device: u32, is_local: bool) -> bool {
    KNOWN_DEVICE.set(Some(KnownDevice { device, is_local, since: Instant::now() }));
    is_local
}

#[cfg(target_os = "linux")]
fn asked_whether_local(file: &File) -> bool {
    system_of(file).is_some_and(FileSystem::is_local)
}

#[cfg(not(target_os = "linux"))]
fn asked_whether_local(_file: &File) -> bool {
    true
}

/// Has this thread take the device for one of a network, for a while.
#[cfg(test)]
pub(crate) fn pretend_remote(device: u32) {
    remember(device, false);
}

#[cfg(test)]
mod tests;
