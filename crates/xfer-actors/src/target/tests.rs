//! Targets come into being whole or not at all, and hold nothing when the download has ended.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::File;
use std::io::Cursor;
use std::sync::mpsc;

use super::*;
use crate::os::SystemFiles;

fn prepare(target: impl Into<DownloadTarget>) -> Result<Target, Error> {
    let os: Arc<dyn OsUtils> = Arc::new(SystemFiles);
    target.into().prepare(&os)
}

fn file(path: &Path) -> FileTarget {
    match prepare(path).unwrap() {
        Target::File(file) => file,
        _ => panic!("not a file"),
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn write(file: &File, text: &str) {
    (&*file).write_all(text.as_bytes()).unwrap();
}

#[test]
fn a_file_has_its_name_from_the_commit_on_and_is_closed_by_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    std::fs::write(&path, "old").unwrap();
    let target = file(&path);
    assert_eq!(names(folder.path()), ["a"], "nothing is made before the first byte");
    let open = target.open().unwrap();
    assert!(Arc::ptr_eq(&open, &target.open().unwrap()));
    write(&open, "new");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
    let weak = Arc::downgrade(&open);
    drop(open);
    target.commit().unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
    assert!(weak.upgrade().is_none(), "whoever holds the call holds no open file");
    target.commit().unwrap();
    target.discard();
    assert_eq!(target.open().unwrap_err().kind(), ErrorKind::Cancelled);
    drop(target);
    assert_eq!(names(folder.path()), ["a"]);
}

#[test]
fn an_attempt_that_is_late_makes_no_file_again() {
    let folder = tempfile::tempdir().unwrap();
    let target = file(&folder.path().join("a"));
    let late = target.open().unwrap();
    assert_eq!(names(folder.path()).len(), 1);
    target.discard();
    assert!(names(folder.path()).is_empty());
    write(&late, "into nothing");
    assert_eq!(target.open().unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(target.commit().unwrap_err().kind(), ErrorKind::Cancelled);
    assert!(names(folder.path()).is_empty());
    // Also where none had been made yet.
    let target = file(&folder.path().join("b"));
    target.discard();
    assert!(target.open().is_err());
    assert!(names(folder.path()).is_empty());
}

#[test]
fn opening_and_discarding_at_once_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..200 {
        let target = file(&folder.path().join(format!("{round}")));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| drop(target.open()));
            }
            scope.spawn(|| target.discard());
        });
        assert!(names(folder.path()).is_empty());
    }
}

#[test]
fn a_temporary_file_goes_with_its_owner_and_a_failed_rename_keeps_it_until_then() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let target = file(&path);
    target.open().unwrap();
    std::fs::create_dir(&path).unwrap();
    assert_eq!(target.commit().unwrap_err().kind(), ErrorKind::TargetWrite);
    assert_eq!(names(folder.path()).len(), 2);
    drop(target);
    assert_eq!(names(folder.path()), ["a"]);
}

#[test]
fn what_cannot_become_a_file_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    std::fs::write(&plain, "").unwrap();
    for path in [
        folder.path().to_owned(),
        folder.path().join("no/a"),
        plain.join("a"),
        PathBuf::from("/"),
        folder.path().join(".."),
    ] {
        assert_eq!(prepare(path.clone()).map(drop).unwrap_err().kind(), ErrorKind::TargetUnavailable, "{path:?}");
    }
    assert_eq!(file(&folder.path().join("x")).commit().unwrap_err().kind(), ErrorKind::Internal);
}

#[cfg(unix)]
#[test]
fn a_link_stays_a_link_and_a_device_is_written_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let (real, link) = (folder.path().join("real"), folder.path().join("link"));
    std::fs::write(&real, "old").unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let target = file(&link);
    write(&target.open().unwrap(), "new");
    target.commit().unwrap();
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(std::fs::read_to_string(&real).unwrap(), "new");
    assert!(prepare("/dev/null").unwrap().is_ordered());
}

#[test]
fn memory_is_filled_in_any_order_and_given_away_once() {
    let target = prepare(DownloadTarget::memory()).unwrap();
    let Target::Memory(memory) = &target else { panic!() };
    assert!(memory.write_at(b"x", 0).is_err());
    target.open(6, false).unwrap();
    memory.write_at(b"def", 3).unwrap();
    // Discovery is repeated.
    target.open(6, false).unwrap();
    memory.write_at(b"abc", 0).unwrap();
    memory.write_at(b"", 6).unwrap();
    for (piece, offset) in [(&b"xy"[..], 5), (b"x", 6), (b"x", u64::MAX)] {
        assert_eq!(memory.write_at(piece, offset).unwrap_err().kind(), ErrorKind::Internal);
    }
    assert_eq!(target.take_body().unwrap(), &b"abcdef"[..]);
    assert_eq!(target.take_body().unwrap(), Bytes::new());
    target.open(6, false).unwrap();
    target.discard();
    assert!(target.take_body().unwrap().is_empty(), "a failed download keeps no memory");
}

/// A cursor that can be looked at, and whose drop is told.
struct Shared(Arc<Mutex<Cursor<Vec<u8>>>>, #[expect(dead_code, reason = "its drop tells")] mpsc::Sender<()>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Shared {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.lock().seek(to)
    }
}

#[tokio::test]
async fn a_seekable_writer_is_filled_from_where_it_stands_and_let_go_of() {
    let (sender, gone) = mpsc::channel();
    let cursor = Arc::new(Mutex::new(Cursor::new(b"headtail".to_vec())));
    cursor.lock().set_position(4);
    let target = prepare(DownloadTarget::seekable(Shared(Arc::clone(&cursor), sender))).unwrap();
    let Target::Seekable(writer) = &target else { panic!() };
    writer.write_at(Bytes::from_static(b"def"), 3).await.unwrap();
    writer.write_at(Bytes::from_static(b"abc"), 0).await.unwrap();
    target.commit().await.unwrap();
    assert_eq!(cursor.lock().get_ref(), b"headabcdef");
    target.release().unwrap()();
    assert_eq!(gone.try_recv(), Err(mpsc::TryRecvError::Disconnected));
    assert!(writer.write_at(Bytes::from_static(b"x"), 0).await.is_err());
}
