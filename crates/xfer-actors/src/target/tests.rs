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
    target.commit_at_once().unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
    assert!(weak.upgrade().is_none(), "whoever holds the call holds no open file");
    target.commit_at_once().unwrap();
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
    assert_eq!(target.commit_at_once().unwrap_err().kind(), ErrorKind::Cancelled);
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
    assert_eq!(target.commit_at_once().unwrap_err().kind(), ErrorKind::TargetWrite);
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
    assert_eq!(file(&folder.path().join("x")).commit_at_once().unwrap_err().kind(), ErrorKind::Internal);
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
    target.commit_at_once().unwrap();
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(std::fs::read_to_string(&real).unwrap(), "new");
    assert!(prepare("/dev/null").unwrap().is_ordered());
}

#[cfg(unix)]
#[test]
fn a_link_to_nothing_stays_one_and_what_it_names_is_made() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("below")).unwrap();
    // Over two links, one of which is relative to its own folder.
    symlink(at("below/second"), at("first")).unwrap();
    symlink("../real", at("below/second")).unwrap();
    let target = file(&at("first"));
    write(&target.open().unwrap(), "new");
    target.commit_at_once().unwrap();
    assert_eq!(std::fs::read_to_string(at("real")).unwrap(), "new");
    for link in [at("first"), at("below/second")] {
        assert!(std::fs::symlink_metadata(link).unwrap().is_symlink());
    }
    // Links that lead nowhere else than to themselves, or into a folder that is not there.
    symlink(at("round"), at("about")).unwrap();
    symlink(at("about"), at("round")).unwrap();
    symlink(at("no/file"), at("astray")).unwrap();
    for path in ["about", "round", "astray"] {
        let error = prepare(at(path)).map(drop).unwrap_err();
        assert_eq!((error.kind(), error.at().path.as_deref()), (ErrorKind::TargetUnavailable, Some(&*at(path))));
        assert!(std::fs::symlink_metadata(at(path)).unwrap().is_symlink());
    }
}

#[cfg(unix)]
#[test]
fn a_file_that_is_replaced_leaves_its_permissions() {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let path = folder.path().join("a");
    for (before, meanwhile, after) in
        [(0o600, None, 0o600), (0o644, Some(0o600), 0o600), (0o444, None, 0o444), (0o6755, None, 0o755), (0, None, 0)]
    {
        std::fs::write(&path, "old").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(before)).unwrap();
        let target = file(&path);
        write(&target.open().unwrap(), "new");
        for name in names(folder.path()).iter().filter(|name| *name != "a") {
            assert_eq!(mode(&folder.path().join(name)) & 0o077, 0, "nobody reads along");
        }
        if let Some(changed) = meanwhile {
            std::fs::set_permissions(&path, Permissions::from_mode(changed)).unwrap();
        }
        target.commit_at_once().unwrap();
        assert_eq!(mode(&path), after, "{before:o} then {meanwhile:?}");
        std::fs::remove_file(&path).unwrap();
    }
    // Who may give files away gives this one to whom the old one belonged.
    std::fs::write(&path, "old").unwrap();
    if std::os::unix::fs::chown(&path, Some(1234), Some(5678)).is_ok() {
        use std::os::unix::fs::MetadataExt;
        let target = file(&path);
        target.open().unwrap();
        target.commit_at_once().unwrap();
        let there = std::fs::metadata(&path).unwrap();
        assert_eq!((there.uid(), there.gid(), there.len()), (1234, 5678, 0));
    }
    std::fs::remove_file(&path).unwrap();
    // One that is gone by then has left them as well, and a new file has those of any other.
    let (path, other) = (folder.path().join("b"), folder.path().join("other"));
    std::fs::write(&path, "old").unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    let target = file(&path);
    target.open().unwrap();
    std::fs::remove_file(&path).unwrap();
    target.commit_at_once().unwrap();
    assert_eq!(mode(&path), 0o640);
    File::create(&other).unwrap();
    let fresh = file(&folder.path().join("c"));
    fresh.open().unwrap();
    fresh.commit_at_once().unwrap();
    assert_eq!(mode(&folder.path().join("c")), mode(&other));
}

#[test]
fn a_path_is_of_the_directory_that_the_call_was_made_in() {
    let target = file(Path::new("a-file-that-is-not-made"));
    target.discard();
    let named = target.open().unwrap_err().at().path.clone().unwrap();
    assert_eq!(*named, std::env::current_dir().unwrap().join("a-file-that-is-not-made"));
}

/// Where its calls are made, and what they say.
#[derive(Debug)]
struct Watched {
    /// What was asked for, and whether on the thread of the test, which is the lane here.
    calls: Mutex<Vec<(&'static str, bool)>>,
    lane: std::thread::ThreadId,
    is_full: bool,
}

impl Watched {
    fn called(&self, what: &'static str) {
        self.calls.lock().push((what, std::thread::current().id() == self.lane));
    }
}

impl OsUtils for Watched {
    fn write_back(&self, file: &File) -> io::Result<()> {
        self.called("write back");
        if self.is_full { Err(io::ErrorKind::StorageFull.into()) } else { SystemFiles.write_back(file) }
    }

    fn rename_file(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.called("rename");
        SystemFiles.rename_file(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.called("remove");
        SystemFiles.remove_file(path)
    }
}

fn watched(path: &Path, is_full: bool, size: u64) -> (Target, Arc<Watched>) {
    let watched = Arc::new(Watched { calls: Mutex::default(), lane: std::thread::current().id(), is_full });
    let os: Arc<dyn OsUtils> = Arc::<Watched>::clone(&watched);
    let target = DownloadTarget::path(path).prepare(&os).unwrap();
    target.open(size, false).unwrap();
    let Target::File(made) = &target else { panic!("not a file") };
    write(&made.open().unwrap(), "new");
    (target, watched)
}

#[cfg(unix)]
#[tokio::test]
async fn where_writes_may_be_lost_a_file_gets_its_name_behind_the_last_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    std::fs::write(&path, "old").unwrap();
    let device = std::os::unix::fs::MetadataExt::dev(&std::fs::metadata(&path).unwrap());
    // Here as on any disk of this machine.
    let (target, os) = watched(&path, true, 3);
    assert!(target.commits_at_once());
    target.commit().await.unwrap();
    assert_eq!(*os.calls.lock(), [("rename", true)]);

    std::fs::write(&path, "old").unwrap();
    crate::disk::pretend_remote(u32::try_from(device).unwrap());
    let (target, os) = watched(&path, true, 3);
    assert!(!target.commits_at_once());
    assert_eq!(target.commit().await.unwrap_err().kind(), ErrorKind::DiskFull);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
    target.discard();
    assert_eq!(*os.calls.lock(), [("write back", false), ("remove", true)]);
    assert_eq!(names(folder.path()), ["a"]);

    let (target, os) = watched(&path, false, 3);
    target.commit().await.unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
    assert_eq!(*os.calls.lock(), [("write back", false), ("rename", false)]);
}

#[tokio::test]
async fn large_files_are_removed_and_replaced_where_they_hold_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let large = 1 << 30;
    let (target, os) = watched(&path, false, large);
    target.discard_elsewhere().await;
    assert_eq!(*os.calls.lock(), [("remove", false)]);
    let (target, os) = watched(&path, false, large);
    assert!(target.commits_at_once(), "nothing is replaced");
    target.commit().await.unwrap();
    assert_eq!(*os.calls.lock(), [("rename", true)]);
    let (target, os) = watched(&path, false, large);
    assert!(!target.commits_at_once());
    target.commit().await.unwrap();
    assert_eq!(*os.calls.lock(), [("rename", false)]);
    File::options().write(true).open(&path).unwrap().set_len(large).unwrap();
    let (target, os) = watched(&path, false, 3);
    assert!(!target.commits_at_once());
    target.commit().await.unwrap();
    assert_eq!(*os.calls.lock(), [("rename", false)]);
    let (target, os) = watched(&path, false, 3);
    assert!(target.commits_at_once());
    target.discard_elsewhere().await;
    assert_eq!(*os.calls.lock(), [("remove", true)]);
    assert_eq!(names(folder.path()), ["a"]);
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
