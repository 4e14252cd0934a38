//! The receive buffer of one connection, as two stretches: bytes of the HTTP stream, then bytes still sealed in TLS records.
//!
//! Plain connections use the first stretch only. Opening a record shortens the second and lengthens the first, so that what a
//! reader sees is always one contiguous slice.
//!
//! Invariants: `plain.end <= raw.start`, `raw.end <= buffer.len()`; without a buffer both are empty.

use std::ops::Range;
use std::sync::Arc;

use super::buffer::{BufferPool, OwnedChunk};

pub(crate) struct Inbox {
    pool: Arc<BufferPool>,
    buffer: Option<Box<[u8]>>,
    plain: Range<usize>,
    raw: Range<usize>,
}

impl Inbox {
    pub(crate) fn new(pool: Arc<BufferPool>) -> Self {
        Self { pool, buffer: None, plain: 0..0, raw: 0..0 }
    }

    pub(crate) fn pool(&self) -> &Arc<BufferPool> {
        &self.pool
    }

    /// What has been received and not yet consumed.
    pub(crate) fn plain(&self) -> &[u8] {
        self.slice(self.plain.clone())
    }

    /// The bytes at a range that [`Self::consume`] gave, until the next fill.
    pub(crate) fn slice(&self, range: Range<usize>) -> &[u8] {
        self.buffer.as_deref().map_or(&[], |b| &b[range])
    }

    /// Takes `n` bytes off the front and says where they lie until the next fill.
    pub(crate) fn consume(&mut self, n: usize) -> Range<usize> {
        let n = n.min(self.plain.len());
        let taken = self.plain.start..self.plain.start + n;
        self.plain.start += n;
        taken
    }

    /// Nothing received that was not consumed, opened or not.
    pub(crate) fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.raw.is_empty()
    }

    /// The free end of the buffer, after moving what is left to its front. Empty when the buffer is full.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        let buffer = self.buffer.get_or_insert_with(|| self.pool.draw());
        if self.plain.is_empty() {
            self.plain = 0..0;
        } else if self.plain.start > 0 {
            buffer.copy_within(self.plain.clone(), 0);
            self.plain = 0..self.plain.len();
        }
        if self.raw.is_empty() {
            self.raw = self.plain.end..self.plain.end;
        } else if self.raw.start > self.plain.end {
            buffer.copy_within(self.raw.clone(), self.plain.end);
            self.raw = self.plain.end..self.plain.end + self.raw.len();
        }
        &mut buffer[self.raw.end..]
    }

    /// `n` bytes were read into [`Self::room`] and are part of the HTTP stream as they are.
    pub(crate) fn received_plain(&mut self, n: usize) {
        self.plain.end += n;
        self.raw = self.plain.end..self.plain.end;
    }

    /// `n` bytes were read into [`Self::room`] and belong to TLS.
    pub(crate) fn received_raw(&mut self, n: usize) {
        self.raw.end += n;
    }

    /// Bytes of TLS not yet opened.
    pub(crate) fn raw_mut(&mut self) -> &mut [u8] {
        match &mut self.buffer {
            Some(buffer) => &mut buffer[self.raw.clone()],
            None => &mut [],
        }
    }

    /// The first `used` sealed bytes have been dealt with and held no payload.
    pub(crate) fn drop_raw(&mut self, used: usize) {
        self.raw.start += used.min(self.raw.len());
    }

    /// The first `used` sealed bytes have been opened, their payload lies at `payload` of [`Self::raw_mut`]. It becomes the
    /// end of the plain stretch; the first payload stays where it is, later ones move up to it.
    pub(crate) fn opened(&mut self, used: usize, payload: Range<usize>) {
        let payload = self.raw.start + payload.start..self.raw.start + payload.end;
        if self.plain.is_empty() {
            self.plain = payload;
        } else if let Some(buffer) = &mut self.buffer {
            let len = payload.len();
            buffer.copy_within(payload, self.plain.end);
            self.plain.end += len;
        }
        self.drop_raw(used);
    }

    /// Puts bytes that TLS keeps elsewhere at the end of the plain stretch. They fit: they came out of sealed bytes of ours,
    /// which are longer and have been dropped.
    #[must_use]
    pub(crate) fn append_opened(&mut self, bytes: &[u8]) -> bool {
        if bytes.is_empty() {
            return true;
        }
        if self.plain.is_empty() {
            self.plain = 0..0;
        }
        let end = self.plain.end + bytes.len();
        match &mut self.buffer {
            Some(buffer) if end <= self.raw.start || (self.raw.is_empty() && end <= buffer.len()) => {
                buffer[self.plain.end..end].copy_from_slice(bytes);
                self.plain.end = end;
                if self.raw.is_empty() {
                    self.raw = end..end;
                }
                true
            }
            _ => false,
        }
    }

    /// Hands the bytes at `range` out as owned. The buffer itself goes with them unless more is left in it than they hold;
    /// then copying them is cheaper.
    pub(crate) fn take_owned(&mut self, range: Range<usize>) -> OwnedChunk {
        let left = self.plain.len() + self.raw.len();
        if left > range.len() {
            return OwnedChunk::copied(self.slice(range));
        }
        let Some(buffer) = self.buffer.take() else {
            return OwnedChunk::copied(&[]);
        };
        if left > 0 {
            let mut fresh = self.pool.draw();
            let (plain, raw) = (self.plain.len(), self.raw.len());
            fresh[..plain].copy_from_slice(&buffer[self.plain.clone()]);
            fresh[plain..plain + raw].copy_from_slice(&buffer[self.raw.clone()]);
            self.buffer = Some(fresh);
            self.plain = 0..plain;
            self.raw = plain..plain + raw;
        } else {
            self.plain = 0..0;
            self.raw = 0..0;
        }
        OwnedChunk::from_pool(buffer, range, &self.pool)
    }

    /// Gives the buffer back if nothing is in it.
    pub(crate) fn rest(&mut self) {
        if self.is_empty() {
            self.plain = 0..0;
            self.raw = 0..0;
            if let Some(buffer) = self.buffer.take() {
                self.pool.give_back(buffer);
            }
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            self.pool.give_back(buffer);
        }
    }
}

#[cfg(test)]
mod tests;
