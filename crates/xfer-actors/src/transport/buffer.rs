//! The large buffers of a lane: drawn by connections that send or receive, given back when they rest.
//!
//! Buffers are initialised once and then used over and over, so their pages stay mapped and the last one given back is the first
//! one drawn: it is the one still in cache. The list sits behind a lock because an [`OwnedChunk`] may be dropped on another
//! thread; within a lane nobody ever waits for it.
//!
//! Invariants: all buffers of a pool have one size; at most `spare` lie idle, the rest is freed.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

/// A lane's buffers.
pub(crate) struct BufferPool {
    free: Mutex<Vec<Box<[u8]>>>,
    size: usize,
    spare: usize,
}

impl BufferPool {
    pub(crate) fn new(size: usize, spare: usize) -> Arc<Self> {
        Arc::new(Self { free: Mutex::new(Vec::new()), size, spare })
    }

    /// A buffer of the pool's size. What is in it is left over from its last use.
    pub(crate) fn draw(&self) -> Box<[u8]> {
        let kept = self.free.lock().pop();
        kept.unwrap_or_else(|| vec![0; self.size].into_boxed_slice())
    }

    pub(crate) fn give_back(&self, buffer: Box<[u8]>) {
        let mut free = self.free.lock();
        if free.len() < self.spare && buffer.len() == self.size {
            free.push(buffer);
        }
    }

    /// Frees what lies idle.
    pub(crate) fn trim(&self) {
        let freed = std::mem::take(&mut *self.free.lock());
        drop(freed);
    }

    #[cfg(test)]
    pub(crate) fn idle(&self) -> usize {
        self.free.lock().len()
    }
}

/// A piece of a body that owns its memory, for handing to another thread. Its buffer goes back to the lane it came from, or is
/// freed when that lane is gone or has enough.
///
/// ```no_run
/// # use std::{io::Write, sync::mpsc::Sender};
/// # use xfer_actors::transport::{Connection, OwnedChunk, TransportError};
/// # async fn f(mut connection: Connection, writer: Sender<OwnedChunk>) -> Result<(), TransportError> {
/// // To a thread that writes them to a slow disk; nothing is copied.
/// while let Some(chunk) = connection.next_owned_chunk().await? {
///     if writer.send(chunk).is_err() {
///         break;
///     }
/// }
/// # Ok(()) }
/// ```
pub struct OwnedChunk {
    buffer: Box<[u8]>,
    range: Range<usize>,
    home: Weak<BufferPool>,
}

impl OwnedChunk {
    pub(crate) fn from_pool(buffer: Box<[u8]>, range: Range<usize>, home: &Arc<BufferPool>) -> Self {
        Self { buffer, range, home: Arc::downgrade(home) }
    }

    pub(crate) fn copied(bytes: &[u8]) -> Self {
        Self { buffer: bytes.into(), range: 0..bytes.len(), home: Weak::new() }
    }
}

impl Deref for OwnedChunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer[self.range.clone()]
    }
}

impl AsRef<[u8]> for OwnedChunk {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for OwnedChunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedChunk").field("len", &self.range.len()).finish_non_exhaustive()
    }
}

impl Drop for OwnedChunk {
    fn drop(&mut self) {
        if let Some(home) = self.home.upgrade() {
            home.give_back(std::mem::take(&mut self.buffer));
        }
    }
}

#[cfg(test)]
mod tests;
