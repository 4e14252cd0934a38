//! Ends of transfers on this machine that are no files: the standard streams, pipes and devices.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use xfer_facade::{DownloadTarget, UploadSource};

/// A file that was redirected tells its length; anything else is read to its end.
pub(crate) fn standard_input() -> UploadSource {
    match duplicate_of(&io::stdin()) {
        Some(file) if file.metadata().is_ok_and(|metadata| metadata.is_file()) => UploadSource::seekable(file),
        Some(file) => UploadSource::reader(file),
        None => UploadSource::reader(io::stdin()),
    }
}

/// Where downloads to `-` go.
pub(crate) fn standard_output() -> DownloadTarget {
    match duplicate_of(&io::stdout()) {
        Some(file) => DownloadTarget::writer(file),
        None => DownloadTarget::writer(io::stdout()),
    }
}

/// The same stream without the small buffers that the standard library puts before it.
#[cfg(unix)]
fn duplicate_of(stream: &impl std::os::fd::AsFd) -> Option<std::fs::File> {
    stream.as_fd().try_clone_to_owned().ok().map(std::fs::File::from)
}

#[cfg(not(unix))]
fn duplicate_of<S>(_stream: &S) -> Option<std::fs::File> {
    None
}

/// What is at a path and is neither a file nor a directory, such as a named pipe or what a shell makes of `<(command)`; it is read to its
/// end. `None` for anything else.
pub(crate) fn stream_at(path: &Path) -> Option<UploadSource> {
    let metadata = path.metadata().ok()?;
    let stream = Stream { path: path.to_owned(), file: None };
    (!metadata.is_file() && !metadata.is_dir()).then(|| UploadSource::reader(stream))
}

/// Opened by its first read, where blocking is allowed: opening a pipe takes until somebody writes to it.
struct Stream {
    path: PathBuf,
    file: Option<File>,
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.file {
            Some(file) => file.read(buffer),
            None => self.file.insert(File::open(&self.path)?).read(buffer),
        }
    }
}
