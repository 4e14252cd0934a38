//! Bytes at rest: in memory as they came off the socket, or in files, one for each body received.
//!
//! An object is a list of segments, so completing a multipart upload moves no bytes. Files are removed when the last object or
//! upload that refers to them, and the last answer that reads from them, has gone.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use s3s::StdError;
use s3s::stream::{ByteStream, RemainingLength};

/// Bytes handed to the socket at a time.
const READ_SIZE: u64 = 256 * 1024;
/// Pieces smaller than this are copied together: kept as they are, each would pin a whole receive buffer.
const SMALL: usize = 16 * 1024;
/// Where small pieces stop being collected.
const COLLECTED: usize = 256 * 1024;

/// Where new content goes.
#[derive(Debug)]
pub(crate) enum Storage {
    Memory,
    Directory { path: PathBuf, next: AtomicU64 },
}

impl Storage {
    pub(crate) fn directory(path: &Path) -> Self {
        std::fs::create_dir_all(path).expect("the storage directory can be made");
        Self::Directory { path: path.to_owned(), next: AtomicU64::new(0) }
    }

    pub(crate) fn writer(&self) -> io::Result<Writer> {
        let target = match self {
            Self::Memory => Target::Memory { segments: Vec::new(), small: BytesMut::new() },
            Self::Directory { path, next } => {
                let name = format!("{}-{:08}.data", std::process::id(), next.fetch_add(1, Ordering::Relaxed));
                let path = path.join(name);
                let file = File::options().read(true).write(true).create_new(true).open(&path)?;
                Target::File(DataFile { file, path })
            }
        };
        Ok(Writer { target, len: 0 })
    }
}

/// Takes in one body.
#[derive(Debug)]
pub(crate) struct Writer {
    target: Target,
    len: u64,
}

#[derive(Debug)]
enum Target {
    Memory { segments: Vec<Segment>, small: BytesMut },
    File(DataFile),
}

impl Writer {
    pub(crate) fn write(&mut self, data: Bytes) -> io::Result<()> {
        self.len += data.len() as u64;
        match &mut self.target {
            Target::Memory { segments, small } => {
                if data.len() < SMALL {
                    small.extend_from_slice(&data);
                    if small.len() >= COLLECTED {
                        segments.push(Segment::of(small.split().freeze()));
                    }
                } else {
                    if !small.is_empty() {
                        segments.push(Segment::of(small.split().freeze()));
                    }
                    segments.push(Segment::of(data));
                }
                Ok(())
            }
            Target::File(data_file) => data_file.file.write_all(&data),
        }
    }

    pub(crate) fn finish(self) -> Content {
        let segments = match self.target {
            Target::Memory { mut segments, small } => {
                if !small.is_empty() {
                    segments.push(Segment::of(small.freeze()));
                }
                segments
            }
            Target::File(_) if self.len == 0 => Vec::new(),
            Target::File(data_file) => vec![Segment { len: self.len, data: Data::File(Arc::new(data_file)) }],
        };
        Content { segments, len: self.len }
    }
}

#[derive(Debug)]
struct DataFile {
    file: File,
    path: PathBuf,
}

impl Drop for DataFile {
    fn drop(&mut self) {
        // The directory may be gone already when a test cleans up; nothing depends on the outcome.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[derive(Clone, Debug)]
struct Segment {
    len: u64,
    data: Data,
}

#[derive(Clone, Debug)]
enum Data {
    Memory(Bytes),
    File(Arc<DataFile>),
}

impl Segment {
    fn of(data: Bytes) -> Self {
        Self { len: data.len() as u64, data: Data::Memory(data) }
    }

    fn read(&self, offset: u64, len: u64) -> io::Result<Bytes> {
        match &self.data {
            Data::Memory(bytes) => Ok(bytes.slice(offset as usize..(offset + len) as usize)),
            Data::File(data_file) => {
                let mut buffer = BytesMut::zeroed(len as usize);
                data_file.file.read_exact_at(&mut buffer, offset)?;
                Ok(buffer.freeze())
            }
        }
    }
}

/// The bytes of an object or part; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    segments: Vec<Segment>,
    len: u64,
}

impl Content {
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn concatenate<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut whole = Self::default();
        for part in parts {
            whole.segments.extend(part.segments.iter().cloned());
            whole.len += part.len;
        }
        whole
    }

    /// The bytes from `start` to `end` (exclusive), which must lie within the content.
    pub(crate) fn range(&self, start: u64, end: u64) -> ContentStream {
        let mut skip = start;
        let mut index = 0;
        while index < self.segments.len() && skip >= self.segments[index].len {
            skip -= self.segments[index].len;
            index += 1;
        }
        ContentStream {
            segments: self.segments[index..].iter().cloned().collect(),
            current: None,
            skip,
            remaining: end - start,
        }
    }

    pub(crate) fn to_bytes(&self) -> Bytes {
        let mut all = BytesMut::with_capacity(self.len as usize);
        for segment in &self.segments {
            all.extend_from_slice(&segment.read(0, segment.len).expect("stored data can be read"));
        }
        all.freeze()
    }
}

/// Reads content in pieces of 256 KiB at most.
#[derive(Debug)]
pub(crate) struct ContentStream {
    segments: VecDeque<Segment>,
    current: Option<Segment>,
    /// How far into the current segment (or, before the first, into the next one) reading stands.
    skip: u64,
    remaining: u64,
}

impl Stream for ContentStream {
    type Item = Result<Bytes, StdError>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.remaining == 0 {
            return Poll::Ready(None);
        }
        if this.current.is_none() {
            this.current = this.segments.pop_front();
        }
        let segment = this.current.as_ref().expect("the range lies within the content");
        let take = (segment.len - this.skip).min(this.remaining).min(READ_SIZE);
        let piece = segment.read(this.skip, take);
        this.remaining -= take;
        this.skip += take;
        if this.skip == segment.len {
            this.current = None;
            this.skip = 0;
        }
        Poll::Ready(Some(piece.map_err(Into::into)))
    }
}

impl ByteStream for ContentStream {
    fn remaining_length(&self) -> RemainingLength {
        RemainingLength::new_exact(self.remaining as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::TryStreamExt;

    fn store(storage: &Storage, data: &[u8], piece: usize) -> Content {
        let mut writer = storage.writer().unwrap();
        for piece in data.chunks(piece.max(1)) {
            writer.write(Bytes::copy_from_slice(piece)).unwrap();
        }
        writer.finish()
    }

    async fn check_all_ranges(storage: &Storage) {
        let data = crate::pattern::bytes(5, 900_000);
        let (first, second) = data.split_at(400_000);
        let whole = Content::concatenate([
            &store(storage, first, 20_000),
            &store(storage, &[], 1),
            &store(storage, second, 999),
        ]);
        assert_eq!(whole.to_bytes(), data);
        for (start, end) in [(0, 900_000), (399_999, 400_001), (400_000, 400_000), (123, 899_999), (899_999, 900_000)] {
            let pieces: Vec<Bytes> = whole.range(start, end).try_collect().await.unwrap();
            assert_eq!(pieces.concat(), data[start as usize..end as usize], "{start}..{end}");
        }
    }

    #[tokio::test]
    async fn memory_keeps_every_byte_in_order() {
        check_all_ranges(&Storage::Memory).await;
    }

    #[tokio::test]
    async fn files_keep_every_byte_and_go_with_their_content() {
        let dir = tempfile::tempdir().unwrap();
        let storage = Storage::directory(dir.path());
        check_all_ranges(&storage).await;
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let kept = store(&storage, b"abc", 2);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        let reader = kept.range(0, 3);
        drop(kept);
        assert_eq!(reader.try_collect::<Vec<_>>().await.unwrap().concat(), b"abc");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
