#![allow(clippy::unwrap_used)]

use super::{BufferPool, OwnedChunk};

#[test]
fn chunks_go_home_from_another_thread_while_there_is_room() {
    let pool = BufferPool::new(1024, 1);
    let chunks: Vec<OwnedChunk> = (0..3).map(|_| OwnedChunk::from_pool(pool.draw(), 10..20, &pool)).collect();
    assert!(chunks.iter().all(|c| c.len() == 10));
    std::thread::spawn(move || drop(chunks)).join().unwrap();
    assert_eq!(pool.idle(), 1);
    let again = pool.draw();
    assert_eq!((again.len(), pool.idle()), (1024, 0));
    pool.give_back(again);
    pool.trim();
    assert_eq!(pool.idle(), 0);
}

#[test]
fn chunks_outlive_their_pool() {
    let pool = BufferPool::new(4, 1);
    let mut buffer = pool.draw();
    buffer.copy_from_slice(b"abcd");
    let chunk = OwnedChunk::from_pool(buffer, 1..3, &pool);
    drop(pool);
    assert_eq!((&*chunk, chunk.as_ref(), &*OwnedChunk::copied(b"xy")), (&b"bc"[..], &b"bc"[..], &b"xy"[..]));
    assert_eq!(format!("{chunk:?}"), "OwnedChunk { len: 2, .. }");
}
