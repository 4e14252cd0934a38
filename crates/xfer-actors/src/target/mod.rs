//! Where a download's bytes go.
//!
//! Positioned targets (files, memory, seekable writers) take each byte at its offset, in any order. In-order targets (writers,
//! streams) sit behind a buffer that puts them in order, and takes in no more than the memory limit allows.
//!
//! Invariants: a file is written under a temporary name beside the target and takes the target's name only when it is made final;
//! the temporary file has one owner, which removes it when the download ends in any other way.

pub(crate) mod direct;
mod file;
mod memory;
pub(crate) mod reorder;

use std::fmt;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use xfer_core::error::{Error, ErrorKind};

use crate::os::OsUtils;
pub(crate) use file::FileTarget;
pub(crate) use memory::MemoryTarget;
pub(crate) use reorder::{Consumer, OrderedTarget};

/// What can be written at any offset.
///
/// ```
/// use std::io::Cursor;
/// use xfer_actors::target::WriteSeek;
/// // Nothing has to be done for it.
/// let targets: Vec<Box<dyn WriteSeek>> = vec![Box::new(Cursor::new(Vec::new())), Box::new(std::io::empty())];
/// # let _ = targets;
/// ```
pub trait WriteSeek: Write + Seek + Send {}

impl<T: Write + Seek + Send> WriteSeek for T {}

/// Where to put an object: a file by its path, memory, or a writer.
///
/// ```
/// use xfer_actors::target::DownloadTarget;
/// let file = DownloadTarget::from("/tmp/object");
/// let console = DownloadTarget::writer(std::io::stdout());
/// let memory = DownloadTarget::memory();
/// # let _ = (file, console, memory);
/// ```
pub struct DownloadTarget(Kind);

enum Kind {
    Path(PathBuf),
    Memory,
    Seekable(Box<dyn WriteSeek>),
    Ordered(Consumer),
}

impl DownloadTarget {
    /// A file, made whole or not at all: written under a temporary name beside it and renamed over it at the end. Its directory
    /// must exist. A file that it replaces leaves it its permissions, and its owner and group where that can be. Of a device or
    /// a pipe that exists under this name the bytes are written to it in order.
    pub fn path(path: impl Into<PathBuf>) -> DownloadTarget {
        DownloadTarget(Kind::Path(path.into()))
    }

    /// Memory: the object is in the outcome's `body`.
    #[must_use]
    pub fn memory() -> DownloadTarget {
        DownloadTarget(Kind::Memory)
    }

    /// Anything that writes: gets the bytes in order, from a thread for blocking calls, and is flushed at the end. After a failure
    /// what was written stays.
    pub fn writer(writer: impl Write + Send + 'static) -> DownloadTarget {
        DownloadTarget(Kind::Ordered(Consumer::Blocking(Box::new(writer))))
    }

    /// A writer that can seek: gets the bytes in any order, at their offsets from where it stands.
    pub fn seekable(writer: impl Write + Seek + Send + 'static) -> DownloadTarget {
        DownloadTarget(Kind::Seekable(Box::new(writer)))
    }

    /// An asynchronous writer: gets the bytes in order and is shut down at the end. It is polled on one of xfer's own threads; a
    /// writer tied to a runtime needs that runtime running.
    pub fn async_writer(writer: impl AsyncWrite + Send + 'static) -> DownloadTarget {
        DownloadTarget(Kind::Ordered(Consumer::Async(Box::pin(writer) as Pin<Box<dyn AsyncWrite + Send>>)))
    }

    /// A stream: whoever polls [`Call::poll_piece`](crate::Call::poll_piece) takes the bytes.
    #[must_use]
    pub fn polled() -> DownloadTarget {
        DownloadTarget(Kind::Ordered(Consumer::Polled(None)))
    }

    /// Whether writing to it needs an asynchronous runtime that may be the caller's own.
    #[must_use]
    pub fn is_async(&self) -> bool {
        matches!(self.0, Kind::Ordered(Consumer::Async(_) | Consumer::Polled(_)))
    }

    /// The file's path, if it is one.
    #[must_use]
    pub fn as_path(&self) -> Option<&Path> {
        match &self.0 {
            Kind::Path(path) => Some(path),
            _ => None,
        }
    }

    /// Looks at the target once, now: a file's directory must exist.
    pub(crate) fn prepare(self, os: &Arc<dyn OsUtils>) -> Result<Target, Error> {
        Ok(match self.0 {
            Kind::Path(path) => match file::inspect(path, os)? {
                file::Inspected::Regular(file) => Target::File(file),
                file::Inspected::Device(device) => Target::Ordered(OrderedTarget::opened_late(Box::new(device))),
            },
            Kind::Memory => Target::Memory(MemoryTarget::default()),
            Kind::Seekable(writer) => Target::Seekable(SeekableTarget::new(writer)?),
            Kind::Ordered(consumer) => Target::Ordered(OrderedTarget::new(consumer)),
        })
    }
}

impl fmt::Debug for DownloadTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Path(path) => write!(f, "file {}", path.display()),
            Kind::Memory => f.write_str("memory"),
            Kind::Seekable(_) => f.write_str("seekable writer"),
            Kind::Ordered(Consumer::Polled(_)) => f.write_str("stream"),
            Kind::Ordered(_) => f.write_str("writer"),
        }
    }
}

impl From<PathBuf> for DownloadTarget {
    fn from(path: PathBuf) -> DownloadTarget {
        DownloadTarget::path(path)
    }
}

impl From<&Path> for DownloadTarget {
    fn from(path: &Path) -> DownloadTarget {
        DownloadTarget::path(path)
    }
}

impl From<&PathBuf> for DownloadTarget {
    fn from(path: &PathBuf) -> DownloadTarget {
        DownloadTarget::path(path)
    }
}

impl From<&str> for DownloadTarget {
    fn from(path: &str) -> DownloadTarget {
        DownloadTarget::path(path)
    }
}

impl From<String> for DownloadTarget {
    fn from(path: String) -> DownloadTarget {
        DownloadTarget::path(path)
    }
}

/// A target as the lanes use it.
pub(crate) enum Target {
    File(FileTarget),
    Memory(MemoryTarget),
    Seekable(SeekableTarget),
    Ordered(OrderedTarget),
}

impl Target {
    /// Whether its bytes must come in order.
    pub(crate) fn is_ordered(&self) -> bool {
        matches!(self, Target::Ordered(_))
    }

    /// Makes ready for `size` bytes, written `directly` to a file if that can be; called with the first head, again when discovery is
    /// repeated.
    pub(crate) fn open(&self, size: u64, directly: bool) -> Result<(), Error> {
        match self {
            Target::File(file) => file.expect(size, directly),
            Target::Memory(memory) => memory.open(size),
            Target::Seekable(_) | Target::Ordered(_) => Ok(()),
        }
    }

    /// Waits until it can be made final: for who reads from a pipe that nothing was written to. May be given up at any moment.
    pub(crate) async fn ready(&self) -> Result<(), Error> {
        match self {
            Target::Ordered(ordered) => ordered.ready().await,
            _ => Ok(()),
        }
    }

    /// Makes it final.
    pub(crate) async fn commit(&self) -> Result<(), Error> {
        match self {
            Target::File(file) => file.commit().await,
            Target::Memory(_) => Ok(()),
            Target::Seekable(seekable) => seekable.flush().await,
            Target::Ordered(ordered) => ordered.commit().await,
        }
    }

    /// Whether it can be made final without waiting, for a disk or for anybody's code.
    pub(crate) fn commits_at_once(&self) -> bool {
        match self {
            Target::File(file) => file.commits_at_once(),
            Target::Memory(_) => true,
            Target::Seekable(_) | Target::Ordered(_) => false,
        }
    }

    /// Makes one final that [can be](Target::commits_at_once) without waiting.
    pub(crate) fn commit_at_once(&self) -> Result<(), Error> {
        match self {
            Target::File(file) => file.commit_at_once(),
            Target::Memory(_) => Ok(()),
            Target::Seekable(_) | Target::Ordered(_) => Err(Error::internal("this target has to be waited for")),
        }
    }

    /// Removes what should not stay.
    pub(crate) fn discard(&self) {
        match self {
            Target::File(file) => file.discard(),
            Target::Memory(memory) => memory.free(),
            Target::Seekable(_) | Target::Ordered(_) => {}
        }
    }

    /// The same from a lane, which a large file would hold up.
    pub(crate) async fn discard_elsewhere(&self) {
        match self {
            Target::File(file) => file.discard_elsewhere().await,
            _ => self.discard(),
        }
    }

    /// Lets go of the caller's writer when the transfer has ended, by what is returned: its destructor is the caller's code.
    pub(crate) fn release(&self) -> Option<Box<dyn FnOnce() + Send>> {
        match self {
            Target::File(_) | Target::Memory(_) => None,
            Target::Seekable(seekable) => {
                let writer = Arc::clone(&seekable.writer);
                Some(Box::new(move || drop(writer.lock().take())))
            }
            Target::Ordered(ordered) => ordered.release(),
        }
    }

    /// The object, if it was to go to memory.
    pub(crate) fn take_body(&self) -> Option<Bytes> {
        match self {
            Target::Memory(memory) => Some(memory.take()),
            _ => None,
        }
    }
}

/// The class of a failed write.
pub(crate) fn write_error(error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => ErrorKind::DiskFull,
        _ => ErrorKind::TargetWrite,
    };
    Error::new(kind, error.to_string()).with_source(error)
}

/// A writer that can seek, used by one lane at a time.
pub(crate) struct SeekableTarget {
    /// Gone once the transfer has ended.
    writer: Arc<Mutex<Option<Box<dyn WriteSeek>>>>,
    origin: u64,
}

impl SeekableTarget {
    fn new(mut writer: Box<dyn WriteSeek>) -> Result<SeekableTarget, Error> {
        let origin = writer.stream_position().map_err(|error| {
            Error::new(ErrorKind::TargetUnavailable, format!("the writer cannot seek: {error}")).with_source(error)
        })?;
        Ok(SeekableTarget { writer: Arc::new(Mutex::new(Some(writer))), origin })
    }

    pub(crate) async fn write_at(&self, piece: Bytes, offset: u64) -> Result<(), Error> {
        let position = self.origin + offset;
        self.blocking(move |writer| {
            writer.seek(SeekFrom::Start(position))?;
            writer.write_all(&piece)
        })
        .await
    }

    async fn flush(&self) -> Result<(), Error> {
        self.blocking(|writer| writer.flush()).await
    }

    async fn blocking(
        &self,
        act: impl FnOnce(&mut dyn WriteSeek) -> io::Result<()> + Send + 'static,
    ) -> Result<(), Error> {
        let writer = Arc::clone(&self.writer);
        let act = move || match writer.lock().as_deref_mut() {
            Some(writer) => act(writer),
            None => Err(io::Error::other("the download has ended")),
        };
        tokio::task::spawn_blocking(act)
            .await
            .map_err(|_| Error::new(ErrorKind::TargetWrite, "the writer panicked"))?
            .map_err(write_error)
    }
}

#[cfg(test)]
mod tests;
