//! Large files past the page cache: blocks of aligned memory, filled by the lane, from the socket where that can be, and written by other
//! threads.
//!
//! A page cache that is about to be flooded costs more than it gives: each page is found, cleared, copied into, written out and thrown away. Direct
//! writes leave it alone, take a third of the processor's time, and leave what other programs have cached. Where it helps is decided by
//! `xfer_core::disk`; where it does not work (file systems that are not known to take it, other systems than Linux) or turns out to hold the
//! network up, files are written as any other.
//!
//! Invariants: what is not aligned, at the ends of a part, goes through the page cache (where two attempts write the same page in these two
//! ways, it is one after the other, which the kernel sees to); a part that has [finished](Blocks::finish) is in the file whole.

use std::fs::File;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use xfer_core::disk::{BlockSupply, DIRECT_WRITES_FROM, DirectWrites};

use crate::disk::{GatedFile, write_all_at};

/// Memory, offsets and lengths are multiples of this: of the largest sector that disks have, which is a page as well.
const ALIGN: usize = 4096;
/// Bytes that a permit of the pool stands for: a block has one or more.
const UNIT: usize = BlockSupply::SMALLEST;

/// The blocks that a system's downloads share.
pub(crate) struct BlockPool {
    /// For the memory of all blocks.
    permits: Arc<Semaphore>,
    supply: BlockSupply,
    /// Of the size of the next block.
    idle: Mutex<Vec<Box<[u8]>>>,
    being_written: AtomicUsize,
    /// How many blocks were given back so far.
    came_back: AtomicUsize,
    /// Bytes that went past the page cache.
    written: AtomicU64,
    /// Files of so many bytes are written directly.
    from: AtomicU64,
}

impl Default for BlockPool {
    fn default() -> BlockPool {
        BlockPool {
            permits: Arc::new(Semaphore::new(BlockSupply::MEMORY / UNIT)),
            supply: BlockSupply::default(),
            idle: Mutex::default(),
            being_written: AtomicUsize::new(0),
            came_back: AtomicUsize::new(0),
            written: AtomicU64::new(0),
            from: AtomicU64::new(DIRECT_WRITES_FROM),
        }
    }
}

impl BlockPool {
    /// From which size in bytes on files are written directly.
    pub(crate) fn set_from(&self, bytes: u64) {
        self.from.store(bytes, Ordering::Relaxed);
    }

    /// Bytes that were written past the page cache so far.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Whether a file of `size` bytes is one for direct writes.
    pub(crate) fn is_for(&self, size: u64) -> bool {
        size >= self.from.load(Ordering::Relaxed)
    }

    /// A block, once there is memory for one. Whoever has one gives it back when it is written, or when its download breaks off; none waits for
    /// another.
    async fn draw(self: &Arc<Self>) -> io::Result<Block> {
        let (size, permit) = loop {
            let size = self.supply.size();
            if let Some(permit) = self.permit(size).await? {
                break (size, permit);
            }
        };
        // Longer by what it may take to get to an aligned address.
        let length = size + ALIGN;
        let kept = self.idle.lock().pop().filter(|memory| memory.len() == length);
        let memory = kept.unwrap_or_else(|| vec![0; length].into_boxed_slice());
        let skip = memory.as_ptr().align_offset(ALIGN).min(ALIGN);
        Ok(Block { memory, skip, filled: 0, is_written: false, pool: Arc::clone(self), _permit: permit })
    }

    /// Leave to have so many bytes; `None` when blocks have become smaller meanwhile.
    async fn permit(&self, size: usize) -> io::Result<Option<OwnedSemaphorePermit>> {
        let units = u32::try_from(size / UNIT).unwrap_or(u32::MAX);
        let mut turn = pin!(Arc::clone(&self.permits).acquire_many_owned(units));
        loop {
            let had_come_back = self.came_back.load(Ordering::Relaxed);
            if let Ok(permit) = timeout(BlockSupply::PATIENCE, &mut turn).await {
                return permit.map(Some).map_err(io::Error::other);
            }
            let came_back = self.came_back.load(Ordering::Relaxed).wrapping_sub(had_come_back);
            self.supply.waited_for(size, self.being_written.load(Ordering::Relaxed), came_back);
            if self.supply.size() != size {
                return Ok(None);
            }
        }
    }

    /// Frees the memory that is not in use; if none is, blocks are as large as at first again.
    pub(crate) fn trim(&self) {
        if self.permits.available_permits() == BlockSupply::MEMORY / UNIT {
            self.supply.rest();
        }
        let freed = std::mem::take(&mut *self.idle.lock());
        drop(freed);
    }
}

/// Aligned memory, filled from its start.
struct Block {
    memory: Box<[u8]>,
    skip: usize,
    filled: usize,
    is_written: bool,
    pool: Arc<BlockPool>,
    _permit: OwnedSemaphorePermit,
}

impl Block {
    fn bytes(&self) -> &[u8] {
        &self.memory[self.skip..self.skip + self.filled]
    }

    fn size(&self) -> usize {
        self.memory.len() - ALIGN
    }

    /// As one that would be drawn now, if blocks have become smaller since, so that it comes back as soon; but to the end of a page.
    fn is_full(&self) -> bool {
        self.filled == self.size() || (self.filled >= self.pool.supply.size() && self.filled.is_multiple_of(ALIGN))
    }

    /// Some of what is free until it is full, never nothing.
    fn room(&mut self) -> &mut [u8] {
        let end = self.pool.supply.size().max((self.filled + 1).next_multiple_of(ALIGN)).min(self.size());
        &mut self.memory[self.skip + self.filled..self.skip + end]
    }

    /// Takes as many bytes as there is room for.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let room = self.room();
        let taken = bytes.len().min(room.len());
        room[..taken].copy_from_slice(&bytes[..taken]);
        self.filled += taken;
        taken
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // Of another size than the next one is to be: freed before others may have as much.
        let memory = std::mem::take(&mut self.memory);
        if memory.len() == self.pool.supply.size() + ALIGN {
            self.pool.idle.lock().push(memory);
        }
        self.pool.being_written.fetch_sub(usize::from(self.is_written), Ordering::Relaxed);
        self.pool.came_back.fetch_add(1, Ordering::Relaxed);
    }
}

/// A file that is open a second time, for direct writes.
pub(crate) struct DirectFile {
    file: Arc<File>,
    opened: Instant,
    rule: Mutex<DirectWrites>,
}

impl DirectFile {
    /// Opens the file at `path`, which `plain` is, for direct writes, and has the disk set `size` bytes aside; `None` where that is not to
    /// be.
    ///
    /// # Errors
    /// When the disk does not have so many bytes.
    pub(crate) fn open(path: &Path, plain: &File, size: u64) -> io::Result<Option<DirectFile>> {
        let file = system::open(path, plain, size)?;
        Ok(file.map(|file| DirectFile { file: Arc::new(file), opened: Instant::now(), rule: Mutex::default() }))
    }

    /// Whether the next part is written directly.
    pub(crate) fn is_on(&self) -> bool {
        self.rule.lock().are_on()
    }

    /// Writes a block of whole pages to `offset`. There are disks and layers below a file system that take the flag and refuse the write:
    /// such a block goes through the page cache, by `plain`, and so do the next parts.
    fn write(&self, block: &Block, plain: &File, offset: u64) -> io::Result<()> {
        let begun = Instant::now();
        match write_all_at(&self.file, block.bytes(), offset) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                self.rule.lock().refuse();
                write_all_at(plain, block.bytes(), offset)
            }
            result => {
                let bytes = block.filled as u64;
                self.rule.lock().wrote(bytes, begun.elapsed(), self.opened.elapsed());
                if result.is_ok() {
                    block.pool.written.fetch_add(bytes, Ordering::Relaxed);
                }
                result
            }
        }
    }
}

/// One part on its way into the file.
pub(crate) struct Blocks {
    pool: Arc<BlockPool>,
    direct: Arc<DirectFile>,
    plain: Arc<GatedFile>,
    /// Where the block goes, or the next byte.
    offset: u64,
    block: Option<Block>,
    writing: Option<JoinHandle<io::Result<()>>>,
}

impl Blocks {
    /// For a part whose next byte goes to `offset`.
    pub(crate) fn new(pool: &Arc<BlockPool>, direct: Arc<DirectFile>, plain: Arc<GatedFile>, offset: u64) -> Blocks {
        Blocks { pool: Arc::clone(pool), direct, plain, offset, block: None, writing: None }
    }

    /// Takes the part's next bytes.
    ///
    /// # Errors
    /// Of a write of these or of earlier bytes.
    pub(crate) async fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let Some(block) = &mut self.block else {
                let unaligned = (self.offset % ALIGN as u64) as usize;
                if unaligned > 0 {
                    let (head, rest) = bytes.split_at(bytes.len().min(ALIGN - unaligned));
                    write_all_at(&self.plain, head, self.offset)?;
                    self.offset += head.len() as u64;
                    bytes = rest;
                } else {
                    self.block = Some(self.pool.draw().await?);
                }
                continue;
            };
            let taken = block.take(bytes);
            bytes = &bytes[taken..];
            if block.is_full() {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Whether the part's next byte goes into a block.
    pub(crate) fn are_aligned(&self) -> bool {
        self.block.is_some() || self.offset.is_multiple_of(ALIGN as u64)
    }

    /// Memory for the part's next bytes if they [go into a block](Self::are_aligned), at least one of them.
    ///
    /// # Errors
    /// When there are no blocks any more.
    pub(crate) async fn room(&mut self) -> io::Result<&mut [u8]> {
        let block = match self.block.take() {
            Some(block) => block,
            None => self.pool.draw().await?,
        };
        Ok(self.block.insert(block).room())
    }

    /// So many bytes were put into the [room](Self::room).
    ///
    /// # Errors
    /// Of a write of these or of earlier bytes.
    pub(crate) async fn filled(&mut self, bytes: usize) -> io::Result<()> {
        let Some(block) = &mut self.block else { return Ok(()) };
        block.filled = block.size().min(block.filled + bytes);
        if block.is_full() { self.flush().await } else { Ok(()) }
    }

    /// Brings everything into the file.
    ///
    /// # Errors
    /// Of a write.
    pub(crate) async fn finish(mut self) -> io::Result<()> {
        self.flush().await?;
        self.written().await
    }

    /// Hands the block over to be written; its unaligned end goes through the page cache.
    async fn flush(&mut self) -> io::Result<()> {
        let Some(mut block) = self.block.take() else { return Ok(()) };
        self.written().await?;
        let aligned = block.filled - block.filled % ALIGN;
        let (offset, length) = (self.offset, block.filled as u64);
        write_all_at(&self.plain, &block.bytes()[aligned..], offset + aligned as u64)?;
        block.filled = aligned;
        self.offset += length;
        if aligned > 0 {
            let (direct, plain) = (Arc::clone(&self.direct), Arc::clone(&self.plain));
            block.is_written = true;
            self.pool.being_written.fetch_add(1, Ordering::Relaxed);
            self.writing = Some(tokio::task::spawn_blocking(move || direct.write(&block, &plain, offset)));
        }
        Ok(())
    }

    /// Waits for the block before.
    async fn written(&mut self) -> io::Result<()> {
        let Some(writing) = self.writing.take() else { return Ok(()) };
        let begun = Instant::now();
        let result = writing.await.unwrap_or_else(|_| Err(io::Error::other("the writing thread is gone")));
        self.direct.rule.lock().waited(begun.elapsed());
        result
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::fs::{File, OpenOptions};
    use std::io;
    use std::os::unix::fs::OpenOptionsExt;
    use std::path::Path;

    use rustix::fs::{FallocateFlags, OFlags, fallocate};
    use xfer_core::disk::FileSystem;

    use crate::disk::system_of;

    pub(super) fn open(path: &Path, plain: &File, size: u64) -> io::Result<Option<File>> {
        if !system_of(plain).is_some_and(FileSystem::takes_direct_writes) {
            return Ok(None);
        }
        let flags = i32::try_from(OFlags::DIRECT.bits()).unwrap_or_default();
        let Ok(file) = OpenOptions::new().write(true).custom_flags(flags).open(path) else { return Ok(None) };
        // Writes that make a file longer wait for each other; and a disk that is too small is better found out now.
        match fallocate(plain, FallocateFlags::empty(), 0, size).map_err(io::Error::from) {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => Err(error),
            Err(_) => Ok(None),
            Ok(()) => Ok(Some(file)),
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::fs::File;
    use std::io;
    use std::path::Path;

    pub(super) fn open(_path: &Path, _plain: &File, _size: u64) -> io::Result<Option<File>> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
