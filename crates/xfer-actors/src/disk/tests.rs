//! Reads and writes give the same on the lane and elsewhere.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use super::*;

fn gates() -> [Gate; 2] {
    let mut slow = Gate::default();
    slow.took(Duration::from_secs(1));
    [Gate::default(), slow]
}

#[tokio::test]
async fn reads_as_far_as_the_file_goes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ten");
    std::fs::write(&path, b"0123456789").unwrap();
    let file = Arc::new(File::open(path).unwrap());
    for mut gate in gates() {
        let mut buffer = vec![b'.'; 4];
        for (wanted, offset, expected) in [
            (4, 0, &b"0123"[..]),
            (2, 4, b"45"),
            (4, 8, b"89"),
            (4, 10, b""),
            (4, 99, b""),
            (9, 1, b"1234"),
            (0, 0, b""),
        ] {
            let (back, read) = read_at(&mut gate, &file, buffer, wanted, offset).await;
            assert_eq!(&back[..read.unwrap()], expected);
            assert_eq!(back.len(), 4, "the buffer comes back whole");
            buffer = back;
        }
    }
}

#[tokio::test]
async fn writes_at_offsets_in_any_order() {
    let folder = tempfile::tempdir().unwrap();
    for mut gate in gates() {
        let path = folder.path().join("written");
        let file = Arc::new(File::create(&path).unwrap());
        write_at_once(&mut gate, &file, b"6789", 6).unwrap();
        write_elsewhere(&mut gate, &file, OwnedChunk::copied(b"345.."), 3, 3).await.unwrap();
        write_at_once(&mut gate, &file, b"012", 0).unwrap();
        assert_eq!(std::fs::read(path).unwrap(), b"0123456789");
    }
}

#[tokio::test]
async fn what_cannot_be_done_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one-way");
    let writable = Arc::new(File::create(&path).unwrap());
    let readable = Arc::new(File::open(&path).unwrap());
    for mut gate in gates() {
        assert!(read_at(&mut gate, &writable, vec![0; 4], 4, 0).await.1.is_err());
        assert!(write_at_once(&mut gate, &readable, b"x", 0).is_err());
        assert!(write_elsewhere(&mut gate, &readable, OwnedChunk::copied(b"x"), 1, 0).await.is_err());
    }
}
