//! Where an upload's bytes come from.
//!
//! Two kinds of source behind one type: those whose bytes can be read again at any offset (files, memory), of which a part is
//! never held whole, and those that are read once, in order (readers, streams), of which a part is kept in memory until the
//! store has it. Invariant: what is announced as the length is what is sent, or the upload fails with
//! [`ErrorKind::SourceChanged`]; a file is compared with what it was when the call was made, at its opening and before the object
//! is made final.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use futures_util::{FutureExt, StreamExt};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt};
use xfer_core::error::{Error, ErrorKind};
use xfer_core::id::PartNumber;

use crate::budget::Permit;
use crate::descriptors::open_error;
use crate::disk::GatedFile;
use crate::os::{OsUtils, absolute};

/// What to upload: a file by its path, bytes in memory, or a reader or stream that is read once.
///
/// ```
/// use xfer_actors::source::UploadSource;
/// let text = UploadSource::from("hello".as_bytes());
/// assert_eq!(text.length(), Some(5));
/// let pipe = UploadSource::reader(std::io::empty());
/// assert_eq!(pipe.length(), None);
/// let known = UploadSource::reader(&b"abc"[..]).with_length(3);
/// assert_eq!(known.length(), Some(3));
/// ```
pub struct UploadSource {
    kind: Kind,
    length: Option<u64>,
}

enum Kind {
    Path(PathBuf),
    Memory(Bytes),
    Once(Once),
    Failed(io::Error),
}

/// A source that is read once, in order.
enum Once {
    Blocking(Box<dyn Read + Send>),
    Async(Pin<Box<dyn AsyncRead + Send>>),
    Stream { stream: Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>, rest: Bytes },
}

impl UploadSource {
    /// A file. It is opened when its turn comes and read in pieces; a part of it is never held whole in memory.
    pub fn path(path: impl Into<PathBuf>) -> UploadSource {
        UploadSource { kind: Kind::Path(path.into()), length: None }
    }

    /// Bytes that are in memory already.
    pub fn bytes(bytes: impl Into<Bytes>) -> UploadSource {
        let bytes = bytes.into();
        UploadSource { length: Some(bytes.len() as u64), kind: Kind::Memory(bytes) }
    }

    /// Anything that reads, such as a pipe; read to its end on a thread for blocking calls. Give its length with
    /// [`with_length`](UploadSource::with_length) if you know it.
    pub fn reader(reader: impl Read + Send + 'static) -> UploadSource {
        UploadSource::once(Once::Blocking(Box::new(reader)), None)
    }

    /// A reader that can seek: from where it stands to its end, so that the length is known.
    pub fn seekable(mut reader: impl Read + Seek + Send + 'static) -> UploadSource {
        match rest_of(&mut reader) {
            Ok(length) => UploadSource::once(Once::Blocking(Box::new(reader)), Some(length)),
            Err(error) => UploadSource { kind: Kind::Failed(error), length: None },
        }
    }

    /// An asynchronous reader. It is polled on one of xfer's own threads; a reader tied to a runtime needs that runtime running.
    pub fn async_reader(reader: impl AsyncRead + Send + 'static) -> UploadSource {
        UploadSource::once(Once::Async(Box::pin(reader)), None)
    }

    /// A stream of pieces of any size.
    pub fn stream(stream: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> UploadSource {
        UploadSource::once(Once::Stream { stream: Box::pin(stream), rest: Bytes::new() }, None)
    }

    fn once(once: Once, length: Option<u64>) -> UploadSource {
        UploadSource { kind: Kind::Once(once), length }
    }

    /// Announces how many bytes a reader or stream will give; fewer or more is an error. Of a file or memory the length is known anyway.
    #[must_use]
    pub fn with_length(mut self, bytes: u64) -> UploadSource {
        if matches!(self.kind, Kind::Once(_)) {
            self.length = Some(bytes);
        }
        self
    }

    /// The length in bytes, if it is known without touching the disk.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// Whether reading it needs an asynchronous runtime that may be the caller's own.
    #[must_use]
    pub fn is_async(&self) -> bool {
        matches!(self.kind, Kind::Once(Once::Async(_) | Once::Stream { .. }))
    }

    /// The file's path, if it is one.
    #[must_use]
    pub fn as_path(&self) -> Option<&Path> {
        match &self.kind {
            Kind::Path(path) => Some(path),
            _ => None,
        }
    }

    /// Looks at the source once, now: a file must exist, be readable by name and be a regular file.
    pub(crate) fn prepare(self, os: &dyn OsUtils) -> Result<Source, Error> {
        match self.kind {
            Kind::Path(path) => FileSource::inspect(path, os).map(Source::File),
            Kind::Memory(bytes) => Ok(Source::Memory(bytes)),
            Kind::Once(once) => Ok(Source::Once(Box::new(OnceSource::new(once, self.length)))),
            Kind::Failed(error) => {
                Err(Error::new(ErrorKind::SourceUnavailable, format!("the reader cannot seek: {error}"))
                    .with_source(error))
            }
        }
    }
}

fn rest_of(reader: &mut impl Seek) -> io::Result<u64> {
    let here = reader.stream_position()?;
    let end = reader.seek(SeekFrom::End(0))?;
    reader.seek(SeekFrom::Start(here))?;
    Ok(end.saturating_sub(here))
}

impl fmt::Debug for UploadSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.kind, self.length) {
            (Kind::Path(path), _) => write!(f, "file {}", path.display()),
            (Kind::Memory(bytes), _) => write!(f, "{} bytes in memory", bytes.len()),
            (Kind::Once(_), Some(length)) => write!(f, "reader of {length} bytes"),
            (Kind::Once(_), None) => f.write_str("reader of unknown length"),
            (Kind::Failed(error), _) => write!(f, "reader that failed: {error}"),
        }
    }
}

impl From<PathBuf> for UploadSource {
    fn from(path: PathBuf) -> UploadSource {
        UploadSource::path(path)
    }
}

impl From<&Path> for UploadSource {
    fn from(path: &Path) -> UploadSource {
        UploadSource::path(path)
    }
}

impl From<&PathBuf> for UploadSource {
    fn from(path: &PathBuf) -> UploadSource {
        UploadSource::path(path)
    }
}

/// A path, and not what is to be uploaded: for text use [`UploadSource::bytes`].
impl From<&str> for UploadSource {
    fn from(path: &str) -> UploadSource {
        UploadSource::path(path)
    }
}

/// A path, and not what is to be uploaded: for text use [`UploadSource::bytes`].
impl From<String> for UploadSource {
    fn from(path: String) -> UploadSource {
        UploadSource::path(path)
    }
}

impl From<Bytes> for UploadSource {
    fn from(bytes: Bytes) -> UploadSource {
        UploadSource::bytes(bytes)
    }
}

impl From<Vec<u8>> for UploadSource {
    fn from(bytes: Vec<u8>) -> UploadSource {
        UploadSource::bytes(bytes)
    }
}

impl From<&'static [u8]> for UploadSource {
    fn from(bytes: &'static [u8]) -> UploadSource {
        UploadSource::bytes(bytes)
    }
}

impl<const N: usize> From<&'static [u8; N]> for UploadSource {
    fn from(bytes: &'static [u8; N]) -> UploadSource {
        UploadSource::bytes(&bytes[..])
    }
}

/// A source as the lanes use it.
pub(crate) enum Source {
    File(FileSource),
    Memory(Bytes),
    Once(Box<OnceSource>),
}

impl Source {
    /// The length in bytes, if it is known.
    pub(crate) fn length(&self) -> Option<u64> {
        match self {
            Source::File(file) => Some(file.seen.length),
            Source::Memory(bytes) => Some(bytes.len() as u64),
            Source::Once(once) => once.length,
        }
    }

    /// Whether its bytes can be read again.
    pub(crate) fn is_rereadable(&self) -> bool {
        !matches!(self, Source::Once(_))
    }

    /// Fails if a file is no longer what it was when the call was made.
    pub(crate) fn check_unchanged(&self) -> Result<(), Error> {
        match self {
            Source::File(file) => file.check_unchanged(),
            Source::Memory(_) | Source::Once(_) => Ok(()),
        }
    }

    /// The transfer has ended: whoever still holds its call holds neither an open file nor parts in memory.
    pub(crate) fn close(&self) {
        match self {
            Source::File(file) => *file.file.lock() = None,
            Source::Once(once) => once.forget_all(),
            Source::Memory(_) => {}
        }
    }

    /// Lets go of the caller's reader, by what is returned: its destructor is the caller's code.
    pub(crate) fn release(&self) -> Option<Box<dyn FnOnce() + Send>> {
        let Source::Once(once) = self else { return None };
        match std::mem::replace(&mut *once.reader.lock(), ReaderState::Taken) {
            ReaderState::Ready { once, .. } => Some(Box::new(move || drop(once))),
            ReaderState::Taken => None,
        }
    }
}

/// What a file is known by, to notice that it changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    length: u64,
    modified: Option<SystemTime>,
}

impl Seen {
    fn of(metadata: &std::fs::Metadata) -> Seen {
        Seen { length: metadata.len(), modified: metadata.modified().ok() }
    }
}

/// A regular file, opened at its first use.
pub(crate) struct FileSource {
    path: PathBuf,
    seen: Seen,
    file: Mutex<Option<Arc<GatedFile>>>,
}

impl FileSource {
    fn inspect(path: PathBuf, os: &dyn OsUtils) -> Result<FileSource, Error> {
        let unavailable = |error: io::Error| {
            Error::new(ErrorKind::SourceUnavailable, error.to_string()).in_file(&path).with_source(error)
        };
        let metadata = std::fs::metadata(&path).map_err(unavailable)?;
        if !metadata.is_file() {
            let what =
                if metadata.is_dir() { "it is a directory" } else { "it is not a regular file: give it as a reader" };
            return Err(Error::new(ErrorKind::SourceUnavailable, what).in_file(&path));
        }
        let seen = Seen { length: os.size_of(&path, &metadata).map_err(unavailable)?, ..Seen::of(&metadata) };
        // It is opened when its turn comes, and the process may be in another directory by then.
        let path = absolute(path);
        Ok(FileSource { seen, path, file: Mutex::new(None) })
    }

    /// The open file; the first caller opens it. Nobody gets one that is not what it was.
    pub(crate) fn open(&self) -> Result<Arc<GatedFile>, Error> {
        let mut place = self.file.lock();
        if let Some(file) = &*place {
            return Ok(Arc::clone(file));
        }
        let file = File::open(&self.path)
            .map_err(|error| open_error(error, ErrorKind::SourceUnavailable).in_file(&self.path))?;
        self.compare(&file)?;
        Ok(Arc::clone(place.insert(Arc::new(GatedFile::from(file)))))
    }

    fn check_unchanged(&self) -> Result<(), Error> {
        match self.file.lock().clone() {
            Some(file) => self.compare(&file),
            None => Ok(()),
        }
    }

    fn compare(&self, file: &File) -> Result<(), Error> {
        let metadata = file.metadata().map_err(|error| self.read_error(error))?;
        let now = Seen::of(&metadata);
        if now == self.seen {
            return Ok(());
        }
        let what = if now.length == self.seen.length {
            "it was written to".to_owned()
        } else {
            format!("it had {} bytes and now has {}", self.seen.length, now.length)
        };
        Err(Error::new(ErrorKind::SourceChanged, what).in_file(&self.path))
    }

    /// Why reading stopped early: the file is shorter than it was.
    pub(crate) fn truncated(&self, offset: u64) -> Error {
        Error::new(ErrorKind::SourceChanged, format!("it had {} bytes and now ends at {offset}", self.seen.length))
            .in_file(&self.path)
    }

    pub(crate) fn read_error(&self, error: io::Error) -> Error {
        Error::new(ErrorKind::SourceRead, error.to_string()).in_file(&self.path).with_source(error)
    }
}

/// A source that is read once; the parts that were read and are not stored yet are kept here.
pub(crate) struct OnceSource {
    length: Option<u64>,
    reader: Mutex<ReaderState>,
    kept: Mutex<HashMap<PartNumber, Kept>>,
}

/// A part in memory, with the share of the budget that it takes.
struct Kept {
    bytes: Bytes,
    permit: Option<Permit>,
}

enum ReaderState {
    Ready {
        once: Once,
        consumed: u64,
    },
    /// A read is under way, or was when its task died: the position is unknown for good.
    Taken,
}

/// Pieces in which a part is gathered, so that a short source does not cost a whole part of memory.
const GATHER: usize = 256 << 10;

impl OnceSource {
    fn new(once: Once, length: Option<u64>) -> OnceSource {
        OnceSource {
            length,
            reader: Mutex::new(ReaderState::Ready { once, consumed: 0 }),
            kept: Mutex::new(HashMap::new()),
        }
    }

    /// A part that was read and not yet stored.
    pub(crate) fn kept(&self, number: PartNumber) -> Result<Bytes, Error> {
        self.kept
            .lock()
            .get(&number)
            .map(|kept| kept.bytes.clone())
            .ok_or_else(|| Error::internal("a part's bytes are gone").in_part(number))
    }

    /// Keeps a part's memory accounted for until it is forgotten.
    pub(crate) fn hold(&self, number: PartNumber, permit: Permit) {
        if let Some(kept) = self.kept.lock().get_mut(&number) {
            kept.permit = Some(permit);
        }
    }

    /// Forgets every part: the transfer has ended, and whoever still holds its call holds none of the memory.
    pub(crate) fn forget_all(&self) {
        let kept = std::mem::take(&mut *self.kept.lock());
        drop(kept);
    }

    /// Forgets a part that is stored.
    pub(crate) fn forget(&self, number: PartNumber) {
        self.kept.lock().remove(&number);
    }

    /// Reads the next part of up to `max` bytes and keeps it; returns its length and whether the source has ended.
    pub(crate) async fn read_part(&self, number: PartNumber, max: u64) -> Result<(u64, bool), Error> {
        if let Some(Kept { bytes, .. }) = self.kept.lock().get(&number) {
            // A second try of a job whose first answer was lost: the bytes are here. A source cannot be asked twice for its end,
            // so a part that is not full is its last.
            let length = bytes.len() as u64;
            return Ok((length, length < max || self.length.is_some_and(|all| self.consumed() == Some(all))));
        }
        let state = std::mem::replace(&mut *self.reader.lock(), ReaderState::Taken);
        let ReaderState::Ready { once, consumed } = state else {
            return Err(Error::new(ErrorKind::SourceRead, "an earlier read of the source did not return"));
        };
        let wanted = match self.length {
            // One byte more than announced is asked for at the end, so that a longer source is noticed.
            Some(all) => max.min(all.saturating_sub(consumed)),
            None => max,
        };
        let wanted = usize::try_from(wanted)
            .map_err(|_| Error::new(ErrorKind::TooLarge, "the part does not fit in memory").in_part(number))?;
        let (once, bytes, ended) = gather(once, wanted).await?;
        let length = bytes.len() as u64;
        let consumed = consumed + length;
        let (once, ended) = match self.length {
            Some(all) if ended && consumed < all => {
                let text = format!("{all} bytes were announced, and it ended after {consumed}");
                return Err(Error::new(ErrorKind::SourceChanged, text));
            }
            Some(all) if consumed == all => {
                let (once, extra, _) = gather(once, 1).await?;
                if !extra.is_empty() {
                    let text = format!("{all} bytes were announced, and there are more");
                    return Err(Error::new(ErrorKind::SourceChanged, text));
                }
                (once, true)
            }
            _ => (once, ended),
        };
        self.kept.lock().insert(number, Kept { bytes, permit: None });
        *self.reader.lock() = ReaderState::Ready { once, consumed };
        Ok((length, ended))
    }

    fn consumed(&self) -> Option<u64> {
        match &*self.reader.lock() {
            ReaderState::Ready { consumed, .. } => Some(*consumed),
            ReaderState::Taken => None,
        }
    }
}

fn unreadable(error: io::Error) -> Error {
    Error::new(ErrorKind::SourceRead, error.to_string()).with_source(error)
}

/// Reads up to `wanted` bytes; the flag says that the source ended before there were as many. A panic in the user's code is an error
/// of the source.
async fn gather(once: Once, wanted: usize) -> Result<(Once, Bytes, bool), Error> {
    match AssertUnwindSafe(read_some(once, wanted)).catch_unwind().await {
        Ok(gathered) => gathered,
        Err(_) => Err(Error::new(ErrorKind::SourceRead, "the reader panicked")),
    }
}

async fn read_some(once: Once, wanted: usize) -> Result<(Once, Bytes, bool), Error> {
    match once {
        Once::Blocking(mut reader) => {
            let read = tokio::task::spawn_blocking(move || {
                let mut bytes = Vec::with_capacity(wanted.min(GATHER));
                let result = reader.by_ref().take(wanted as u64).read_to_end(&mut bytes);
                result.map(|_| (reader, bytes))
            });
            let (reader, bytes) = read
                .await
                .map_err(|_| Error::new(ErrorKind::SourceRead, "the reader panicked"))?
                .map_err(unreadable)?;
            let ended = bytes.len() < wanted;
            Ok((Once::Blocking(reader), Bytes::from(bytes), ended))
        }
        Once::Async(mut reader) => {
            let mut bytes = BytesMut::with_capacity(wanted.min(GATHER));
            let mut limited = (&mut reader).take(wanted as u64);
            while limited.limit() > 0 {
                if limited.read_buf(&mut bytes).await.map_err(unreadable)? == 0 {
                    break;
                }
            }
            let ended = bytes.len() < wanted;
            Ok((Once::Async(reader), bytes.freeze(), ended))
        }
        Once::Stream { mut stream, mut rest } => {
            let mut bytes = BytesMut::new();
            let mut ended = false;
            while bytes.len() < wanted {
                if rest.is_empty() {
                    match stream.next().await {
                        Some(piece) => rest = piece.map_err(unreadable)?,
                        None => {
                            ended = true;
                            break;
                        }
                    }
                    continue;
                }
                let piece = rest.split_to(rest.len().min(wanted - bytes.len()));
                bytes.extend_from_slice(&piece);
            }
            Ok((Once::Stream { stream, rest }, bytes.freeze(), ended))
        }
    }
}

#[cfg(test)]
mod tests;
