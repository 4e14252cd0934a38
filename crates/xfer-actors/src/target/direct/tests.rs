#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use super::*;

fn pattern(from: u64, length: usize) -> Vec<u8> {
    (from..from + length as u64).map(|at| (at.wrapping_mul(2_654_435_761) >> 7) as u8).collect()
}

/// A file of which the parts at these bounds were written through blocks, in pieces of `piece` bytes, all at once.
async fn written(bounds: &[u64], piece: usize) -> Vec<u8> {
    let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let path = folder.path().join("file");
    let plain = Arc::new(GatedFile::from(File::create_new(&path).unwrap()));
    let size = *bounds.last().unwrap();
    plain.set_len(size).unwrap();
    // Where the folder's file system takes no direct writes, an ordinary file stands in: the blocks are the same.
    let file = system::open(&path, &plain, size).unwrap();
    let file = file.unwrap_or_else(|| File::options().write(true).open(&path).unwrap());
    let direct = Arc::new(DirectFile { file: Arc::new(file), opened: Instant::now(), rule: Mutex::default() });
    let pool = Arc::new(BlockPool::default());
    let mut parts = Vec::new();
    for part in bounds.windows(2) {
        let (start, end) = (part[0], part[1]);
        let mut blocks = Blocks::new(&pool, Arc::clone(&direct), Arc::clone(&plain), start);
        parts.push(tokio::spawn(async move {
            for bytes in pattern(start, (end - start) as usize).chunks(piece) {
                blocks.write(bytes).await.unwrap();
            }
            blocks.finish().await.unwrap();
        }));
    }
    for part in parts {
        part.await.unwrap();
    }
    let blocks = pool.supply.lock().count();
    assert_eq!(pool.permits.available_permits(), blocks, "every block has come back");
    assert!(pool.idle.lock().len() <= blocks);
    assert_eq!(pool.being_written.load(Ordering::Relaxed), 0);
    std::fs::read(&path).unwrap()
}

#[tokio::test]
async fn every_byte_gets_to_its_place_however_parts_and_pieces_lie() {
    let block = BLOCK as u64;
    for bounds in [
        vec![0, 1],
        vec![0, 4096],
        vec![0, 4095, 4097, 20_000],
        vec![0, block - 1, block, block + 1, 3 * block],
        vec![0, 3 * block + 77, 7 * block + 4096, 8 * block + 1],
    ] {
        for piece in [1_000_003, 65_536, 4097] {
            let bytes = written(&bounds, piece).await;
            assert!(bytes == pattern(0, *bounds.last().unwrap() as usize), "{bounds:?} in pieces of {piece}");
        }
    }
}

#[tokio::test]
async fn many_parts_share_few_blocks() {
    let bounds: Vec<u64> =
        (0..=3 * BlockSupply::default().count() as u64).map(|part| part * (BLOCK as u64 + 1)).collect();
    let bytes =
        tokio::time::timeout(Duration::from_secs(60), written(&bounds, 100_000)).await.expect("none waits for ever");
    assert!(bytes == pattern(0, *bounds.last().unwrap() as usize));
}

#[tokio::test]
async fn a_write_that_fails_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, b"").unwrap();
    // Opened for reading only: every write to it fails.
    let file = File::open(&path).unwrap();
    let plain = Arc::new(GatedFile::from(file.try_clone().unwrap()));
    let direct = Arc::new(DirectFile { file: Arc::new(file), opened: Instant::now(), rule: Mutex::default() });
    let pool = Arc::new(BlockPool::default());
    let mut blocks = Blocks::new(&pool, direct, plain, 0);
    blocks.write(&[1; 4096]).await.unwrap();
    assert!(blocks.finish().await.is_err());
    assert_eq!(pool.permits.available_permits(), BlockSupply::default().count());
}

/// A file of `/proc` that takes numbers stands in for a disk that takes the flag and refuses the writes.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_the_system_refuses_to_write_directly_goes_through_the_page_cache() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let plain = Arc::new(GatedFile::from(File::create_new(&path).unwrap()));
    let refusing = Arc::new(File::options().write(true).open("/proc/self/coredump_filter").unwrap());
    let refused = write_all_at(&refusing, &[b'x'; 4096], 0).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
    let direct = Arc::new(DirectFile { file: refusing, opened: Instant::now(), rule: Mutex::default() });
    let pool = Arc::new(BlockPool::default());
    assert!(direct.is_on());
    let mut blocks = Blocks::new(&pool, Arc::clone(&direct), plain, 0);
    let bytes = pattern(0, 2 * BLOCK + 5000);
    blocks.write(&bytes).await.unwrap();
    blocks.finish().await.unwrap();
    assert!(std::fs::read(&path).unwrap() == bytes);
    assert!(!direct.is_on(), "the next part does not try again");
    assert_eq!(pool.written(), 0);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_slow_connections_gets_a_block_of_its_own_and_all_are_given_up_again() {
    let pool = Arc::new(BlockPool::default());
    let usual = BlockSupply::default().count();
    let mut filling = Vec::new();
    for _ in 0..usual {
        filling.push(pool.draw().await.unwrap());
    }
    filling.push(tokio::time::timeout(2 * BlockSupply::PATIENCE, pool.draw()).await.expect("one more").unwrap());
    for block in filling.iter_mut().take(usual) {
        block.is_written = true;
        pool.being_written.fetch_add(1, Ordering::Relaxed);
    }
    assert!(
        tokio::time::timeout(4 * BlockSupply::PATIENCE, pool.draw()).await.is_err(),
        "the disk is what all wait for"
    );
    pool.trim();
    assert_eq!(pool.supply.lock().count(), usual + 1, "they are in use");
    drop(filling);
    pool.trim();
    assert_eq!((pool.supply.lock().count(), pool.permits.available_permits()), (usual, usual));
    assert!(pool.idle.lock().is_empty());
}

#[test]
fn small_files_and_file_systems_in_memory_are_written_as_ever() {
    let pool = BlockPool::default();
    assert!(pool.is_for(DIRECT_WRITES_FROM) && !pool.is_for(DIRECT_WRITES_FROM - 1));
    if let Ok(shared) = tempfile::tempdir_in("/dev/shm") {
        let path = shared.path().join("file");
        let plain = File::create_new(&path).unwrap();
        assert!(DirectFile::open(&path, &plain, 2 << 30).unwrap().is_none());
        assert_eq!(plain.metadata().unwrap().len(), 0);
    }
}
