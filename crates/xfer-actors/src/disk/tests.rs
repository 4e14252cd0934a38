//! Reads and writes give the same on the lane and elsewhere.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use super::*;

/// The same file as one that was quick so far, and as one that was slow.
fn both(file: impl Fn() -> File) -> [Arc<GatedFile>; 2] {
    let slow = GatedFile::from(file());
    slow.gate.took(Duration::from_secs(1));
    [Arc::new(GatedFile::from(file())), Arc::new(slow)]
}

#[tokio::test]
async fn reads_as_far_as_the_file_goes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ten");
    std::fs::write(&path, b"0123456789").unwrap();
    for file in both(|| File::open(&path).unwrap()) {
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
            let (back, read) = read_at(&file, buffer, wanted, offset).await;
            assert_eq!(&back[..read.unwrap()], expected);
            assert_eq!(back.len(), 4, "the buffer comes back whole");
            buffer = back;
        }
    }
}

#[tokio::test]
async fn writes_at_offsets_in_any_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("written");
    for file in both(|| File::create(&path).unwrap()) {
        file.set_len(0).unwrap();
        write_at_once(&file, b"6789", 6).unwrap();
        write_elsewhere(&file, OwnedChunk::copied(b"345.."), 3, 3).await.unwrap();
        write_at_once(&file, b"012", 0).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"0123456789");
    }
}

#[tokio::test]
async fn what_cannot_be_done_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one-way");
    for (writable, readable) in
        both(|| File::create(&path).unwrap()).into_iter().zip(both(|| File::open(&path).unwrap()))
    {
        assert!(read_at(&writable, vec![0; 4], 4, 0).await.1.is_err());
        assert!(write_at_once(&readable, b"x", 0).is_err());
        assert!(write_elsewhere(&readable, OwnedChunk::copied(b"x"), 1, 0).await.is_err());
    }
}

#[tokio::test]
async fn a_slow_call_for_one_part_moves_those_for_the_others_until_enough_were_quick() {
    let folder = tempfile::tempdir().unwrap();
    let [first, _] = both(|| File::create(folder.path().join("file")).unwrap());
    let second = Arc::clone(&first);
    first.gate.took(Duration::from_secs(1));
    assert!(!second.is_quick());
    tokio::time::timeout(Duration::from_secs(60), async {
        while !second.is_quick() {
            write_elsewhere(&first, OwnedChunk::copied(b"x"), 1, 0).await.unwrap();
        }
    })
    .await
    .expect("quick calls of one part open it for the other");
}
