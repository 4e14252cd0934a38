//! Files that change are noticed; sources that are read once give each byte once, whatever interrupts them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::mpsc;
use std::time::Duration;

use futures_util::stream;
use xfer_core::budget::{Cost, Limits};

use super::*;
use crate::budget::SharedBudget;
use crate::os::SystemFiles;
use crate::test_kit::PATIENCE;

fn number(number: u32) -> PartNumber {
    PartNumber::new(number).unwrap()
}

fn once(source: UploadSource) -> OnceSource {
    match source.prepare(&SystemFiles).unwrap() {
        Source::Once(once) => *once,
        _ => panic!("not a source that is read once"),
    }
}

fn file(path: &Path) -> (Source, PathBuf) {
    (UploadSource::path(path).prepare(&SystemFiles).unwrap(), path.to_owned())
}

fn opened(source: &Source) -> Result<Arc<GatedFile>, Error> {
    match source {
        Source::File(file) => file.open(),
        _ => panic!("not a file"),
    }
}

#[test]
fn only_a_regular_file_is_taken_by_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |path: &Path| UploadSource::path(path).prepare(&SystemFiles).map(drop).unwrap_err();
    for path in [folder.path(), &folder.path().join("missing"), Path::new("/dev/null")] {
        let error = refused(path);
        assert_eq!(error.kind(), ErrorKind::SourceUnavailable);
        assert_eq!(error.at().path.as_deref(), Some(path));
    }
    let broken = UploadSource::seekable(Broken);
    assert!(format!("{broken:?}").contains("failed"));
    assert_eq!(broken.prepare(&SystemFiles).map(drop).unwrap_err().kind(), ErrorKind::SourceUnavailable);
}

#[test]
fn a_path_is_of_the_directory_that_the_call_was_made_in() {
    let (source, _) = file(Path::new("Cargo.toml"));
    let Source::File(file) = &source else { panic!("not a file") };
    let named = file.truncated(0).at().path.clone().unwrap();
    assert_eq!(*named, std::env::current_dir().unwrap().join("Cargo.toml"));
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("broken"))
    }
}

impl Seek for Broken {
    fn seek(&mut self, _to: SeekFrom) -> io::Result<u64> {
        Err(io::Error::other("broken"))
    }
}

#[test]
fn a_file_that_changed_before_its_opening_is_given_to_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let other = folder.path().join("other");
    for change in [
        (|path, _| std::fs::write(path, b"longer than before").unwrap()) as fn(&Path, &Path),
        |path, _| std::fs::write(path, b"").unwrap(),
        |path, other| std::fs::rename(other, path).unwrap(),
    ] {
        std::fs::write(&path, b"before").unwrap();
        std::fs::write(&other, b"before, elsewhere").unwrap();
        let (source, path) = file(&path);
        change(&path, &other);
        for _ in 0..2 {
            assert_eq!(opened(&source).unwrap_err().kind(), ErrorKind::SourceChanged);
        }
    }
    let (source, path) = file(&path);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(opened(&source).unwrap_err().kind(), ErrorKind::SourceUnavailable);
}

#[test]
fn a_file_that_changes_while_it_is_open_is_noticed_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, b"before").unwrap();
    let (source, path) = file(&path);
    opened(&source).unwrap();
    source.check_unchanged().unwrap();
    let touched = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    touched.set_modified(SystemTime::now() + Duration::from_secs(5)).unwrap();
    assert_eq!(source.check_unchanged().unwrap_err().kind(), ErrorKind::SourceChanged);
    touched.set_len(2).unwrap();
    let error = source.check_unchanged().unwrap_err();
    assert!(error.to_string().contains("had 6 bytes and now has 2"), "{error}");
    // Another file in its place is not what is being read.
    std::fs::write(&path, b"before").unwrap();
    let (source, path) = file(&path);
    opened(&source).unwrap();
    std::fs::remove_file(&path).unwrap();
    source.check_unchanged().unwrap();
}

#[test]
fn a_file_is_opened_once_and_closed_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, b"x").unwrap();
    let (source, _path) = file(&path);
    let all: Vec<Arc<GatedFile>> = std::thread::scope(|scope| {
        let opening: Vec<_> = (0..8).map(|_| scope.spawn(|| opened(&source).unwrap())).collect();
        opening.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(all.iter().all(|file| Arc::ptr_eq(file, &all[0])));
    let weak = Arc::downgrade(&all[0]);
    drop(all);
    assert!(weak.upgrade().is_some());
    source.close();
    assert!(weak.upgrade().is_none());
}

fn sources(bytes: &'static [u8]) -> Vec<UploadSource> {
    let pieces = bytes.chunks(3).map(|piece| Ok(Bytes::from_static(piece))).chain([Ok(Bytes::new())]);
    vec![
        UploadSource::reader(bytes),
        UploadSource::seekable(io::Cursor::new(bytes)),
        UploadSource::async_reader(bytes),
        UploadSource::stream(stream::iter(pieces.collect::<Vec<_>>())),
        UploadSource::reader(bytes).with_length(bytes.len() as u64),
    ]
}

#[tokio::test]
async fn parts_come_in_order_and_the_end_is_noticed() {
    for source in sources(b"0123456789") {
        let known = source.length().is_some();
        let name = format!("{source:?}");
        let once = once(source);
        assert_eq!(once.read_part(number(1), 4).await.unwrap(), (4, false), "{name}");
        assert_eq!(once.read_part(number(2), 4).await.unwrap(), (4, false), "{name}");
        assert_eq!(once.kept(number(1)).unwrap(), &b"0123"[..]);
        assert_eq!(once.kept(number(2)).unwrap(), &b"4567"[..]);
        once.forget(number(1));
        assert_eq!(once.kept(number(1)).unwrap_err().kind(), ErrorKind::Internal);
        let last = if known { 2 } else { 4 };
        assert_eq!(once.read_part(number(3), last).await.unwrap(), (2, true), "{name}");
        assert_eq!(once.kept(number(3)).unwrap(), &b"89"[..]);
    }
}

#[tokio::test]
async fn a_source_of_whole_parts_ends_with_an_empty_one_or_by_its_length() {
    for source in sources(b"01234567") {
        let known = source.length().is_some();
        let once = once(source);
        assert_eq!(once.read_part(number(1), 4).await.unwrap(), (4, false));
        assert_eq!(once.read_part(number(2), 4).await.unwrap(), (4, known));
        // The same again, for an attempt whose report was lost.
        assert_eq!(once.read_part(number(2), 4).await.unwrap(), (4, known));
        if !known {
            assert_eq!(once.read_part(number(3), 4).await.unwrap(), (0, true));
            assert_eq!(once.read_part(number(3), 4).await.unwrap(), (0, true));
        }
    }
}

#[tokio::test]
async fn nothing_at_all_is_a_source_too() {
    for source in sources(b"") {
        let once = once(source);
        assert_eq!(once.read_part(number(1), 4).await.unwrap(), (0, true));
        assert_eq!(once.kept(number(1)).unwrap(), Bytes::new());
    }
}

#[tokio::test]
async fn a_length_that_was_announced_is_a_promise() {
    for (announced, parts) in [(9, 3), (11, 3)] {
        let source = once(UploadSource::reader(&b"0123456789"[..]).with_length(announced));
        let mut result = Ok((0, false));
        for part in 1..=parts {
            result = source.read_part(number(part), 4).await;
        }
        assert_eq!(result.unwrap_err().kind(), ErrorKind::SourceChanged, "{announced}");
        // It stays an error.
        assert_eq!(source.read_part(number(4), 4).await.unwrap_err().kind(), ErrorKind::SourceRead);
    }
    // A cursor counts from where it stands.
    let mut cursor = io::Cursor::new(&b"0123456789"[..]);
    cursor.set_position(7);
    let source = UploadSource::seekable(cursor);
    assert_eq!(source.length(), Some(3));
    let source = once(source);
    assert_eq!(source.read_part(number(1), 3).await.unwrap(), (3, true));
    assert_eq!(source.kept(number(1)).unwrap(), &b"789"[..]);
}

struct Panics;

impl Read for Panics {
    fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
        std::panic::resume_unwind(Box::new("on purpose"))
    }
}

#[tokio::test]
async fn what_fails_or_panics_fails_the_read_and_all_after_it() {
    let fails = || io::Error::other("on purpose");
    let panics = stream::poll_fn(|_| -> std::task::Poll<Option<io::Result<Bytes>>> {
        std::panic::resume_unwind(Box::new("on purpose"))
    });
    for source in [
        UploadSource::reader(Broken),
        UploadSource::reader(Panics),
        UploadSource::stream(stream::iter([Ok(Bytes::from_static(b"a")), Err(fails())])),
        UploadSource::stream(panics),
    ] {
        let source = once(source);
        for _ in 0..2 {
            assert_eq!(source.read_part(number(1), 8).await.unwrap_err().kind(), ErrorKind::SourceRead);
        }
    }
}

/// Tells when it is dropped.
struct Tells(#[expect(dead_code, reason = "its drop tells")] mpsc::Sender<()>);

impl Read for Tells {
    fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }
}

#[tokio::test]
async fn a_read_that_is_cut_does_not_give_the_same_bytes_to_another() {
    let source = once(UploadSource::stream(stream::pending()));
    let cut = tokio::time::timeout(Duration::from_millis(5), source.read_part(number(1), 8)).await;
    assert!(cut.is_err());
    let error = source.read_part(number(1), 8).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SourceRead);
}

#[tokio::test]
async fn the_reader_and_the_memory_go_at_the_end() {
    let (sender, gone) = mpsc::channel();
    let source = UploadSource::reader(Tells(sender)).prepare(&SystemFiles).unwrap();
    let Source::Once(reader) = &source else { panic!() };
    reader.read_part(number(1), 8).await.unwrap();
    let limits = Limits { requests: 1, connections: 1, transfers: 1, memory: 8, bytes_per_second: None };
    let budget = Arc::new(SharedBudget::new(limits, || {}));
    let permit = budget.take(Cost { memory: 8, ..Cost::default() }).unwrap();
    reader.hold(number(1), permit);
    assert_eq!(budget.in_use().memory, 8);
    source.close();
    assert_eq!(budget.in_use().memory, 0);
    let release = source.release().unwrap();
    assert!(source.release().is_none());
    assert_eq!(gone.try_recv(), Err(mpsc::TryRecvError::Empty), "not on the thread that tells the end");
    release();
    assert_eq!(gone.recv_timeout(PATIENCE), Err(mpsc::RecvTimeoutError::Disconnected));
    // A permit for a part that is forgotten already is not kept.
    reader.hold(number(1), budget.take(Cost { memory: 8, ..Cost::default() }).unwrap());
    assert_eq!(budget.in_use().memory, 0);
}
