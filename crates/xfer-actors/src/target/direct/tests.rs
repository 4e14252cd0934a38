#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use super::*;

/// The size of the first blocks.
const BLOCK: usize = 1 << 20;

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
    assert_eq!(pool.permits.available_permits(), BlockSupply::MEMORY / UNIT, "every block has come back");
    let idle: usize = pool.idle.lock().iter().map(|memory| memory.len() - ALIGN).sum();
    assert!(idle <= BlockSupply::MEMORY);
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
        (0..=3 * (BlockSupply::MEMORY / BLOCK) as u64).map(|part| part * (BLOCK as u64 + 1)).collect();
    let bytes =
        tokio::time::timeout(Duration::from_secs(300), written(&bounds, 100_000)).await.expect("none waits for ever");
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
    assert_eq!(pool.permits.available_permits(), BlockSupply::MEMORY / UNIT);
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
async fn many_slow_connections_have_smaller_blocks_in_the_same_memory() {
    let pool = Arc::new(BlockPool::default());
    let all = BlockSupply::MEMORY / UNIT;
    let usual = BlockSupply::MEMORY / BLOCK;
    let mut filling = Vec::new();
    for _ in 0..usual {
        filling.push(pool.draw().await.unwrap());
    }
    // Somebody waits in vain, and then twice as many half as large ones share what comes back.
    let waiting = tokio::spawn({
        let pool = Arc::clone(&pool);
        async move { pool.draw().await.unwrap() }
    });
    tokio::time::sleep(BlockSupply::PATIENCE + BlockSupply::PATIENCE / 2).await;
    assert_eq!(pool.supply.size(), BLOCK / 2);
    drop(filling.split_off(usual - 2));
    let mut small = vec![waiting.await.unwrap()];
    for _ in 1..4 {
        small.push(pool.draw().await.unwrap());
    }
    assert!(small.iter().all(|block| block.size() == BLOCK / 2));
    assert_eq!(pool.permits.available_permits(), 0);
    assert!(pool.idle.lock().is_empty(), "the large ones were freed");

    for block in filling.iter_mut().chain(&mut small) {
        block.is_written = true;
        pool.being_written.fetch_add(1, Ordering::Relaxed);
    }
    let in_vain = tokio::time::timeout(4 * BlockSupply::PATIENCE, pool.draw()).await;
    assert!(in_vain.is_err(), "the disk is what all wait for");
    pool.trim();
    assert_eq!(pool.supply.size(), BLOCK / 2, "they are in use");
    drop((filling, small));
    pool.trim();
    assert_eq!((pool.supply.size(), pool.permits.available_permits()), (BLOCK, all));
    assert!(pool.idle.lock().is_empty());
}

/// Not only at the end of the memory that it has: who has filled a large block half gives it back when smaller ones are wanted.
#[tokio::test(start_paused = true)]
async fn a_block_is_full_when_a_smaller_one_would_be() {
    let pool = Arc::new(BlockPool::default());
    let mut block = pool.draw().await.unwrap();
    let steps = [(BLOCK / 2 - 1, false), (1, false), (1, false)];
    for (bytes, full) in steps {
        assert_eq!(block.take(&vec![7; bytes]), bytes);
        assert_eq!(block.is_full(), full);
    }
    pool.supply.waited_for(BLOCK, 0, 0);
    assert!(!block.is_full(), "in the middle of a page");
    assert_eq!(block.take(&vec![7; BLOCK]), ALIGN - 1, "to its end");
    assert!(block.is_full());
    assert_eq!(block.take(&vec![7; BLOCK]), ALIGN, "there is always room, until it has all that it can have");
    pool.supply.rest();
    assert_eq!(block.take(&vec![7; BLOCK]), BLOCK / 2 - 2 * ALIGN);
    assert!(block.is_full());
}

/// However many parts there are: each that waits gets its turn, and finds out that blocks have become smaller while it waited.
#[tokio::test(start_paused = true)]
async fn with_slow_connections_without_end_all_get_their_turn() {
    let pool = Arc::new(BlockPool::default());
    let mut parts = Vec::new();
    for _ in 0..200 {
        let pool = Arc::clone(&pool);
        parts.push(tokio::spawn(async move {
            let block = pool.draw().await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
            block.size()
        }));
    }
    let mut sizes = Vec::new();
    for part in parts {
        sizes.push(tokio::time::timeout(Duration::from_secs(60), part).await.expect("none waits for ever").unwrap());
    }
    assert_eq!(sizes.iter().filter(|size| **size == BLOCK).count(), BlockSupply::MEMORY / BLOCK);
    assert!(sizes.ends_with(&[UNIT; 100]), "{sizes:?}");
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
