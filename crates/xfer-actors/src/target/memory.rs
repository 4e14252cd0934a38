//! Memory as a target.
//!
//! The object is one piece of memory, cut into stripes for as long as it is written to: lanes that land different parts of it do not wait
//! for each other. In the end the stripes are one again, and nothing is copied. It is set aside at once and touched only as bytes come:
//! what a store announces costs nothing until it sends it.
//!
//! Invariant: no byte is written outside of the size that was announced.

use std::collections::TryReserveError;
use std::sync::OnceLock;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use xfer_core::error::{Error, ErrorKind};

/// Bytes of a stripe: well below a part, so that two lanes meet at the ends of their parts only.
const STRIPE: usize = 1 << 20;

/// The object in memory, written in any order.
#[derive(Default)]
pub(crate) struct MemoryTarget {
    room: OnceLock<Room>,
}

struct Room {
    size: usize,
    stripes: Box<[Mutex<Stripe>]>,
}

#[derive(Default)]
struct Stripe {
    /// As far as it was written to, in memory that reaches to its end.
    bytes: BytesMut,
    /// Until it is taken, or thrown away.
    is_there: bool,
}

impl Stripe {
    /// What is skipped is zero until it comes: commonly nothing is, since a part's bytes come in order.
    fn write(&mut self, piece: &[u8], at: usize) {
        if self.bytes.len() < at {
            self.bytes.resize(at, 0);
        }
        let there = piece.len().min(self.bytes.len() - at);
        self.bytes[at..at + there].copy_from_slice(&piece[..there]);
        self.bytes.extend_from_slice(&piece[there..]);
    }
}

impl MemoryTarget {
    /// Makes room for `size` bytes. Again, when discovery is repeated: other ranges of the object may be here already.
    pub(super) fn open(&self, size: u64) -> Result<(), Error> {
        let too_large = || Error::new(ErrorKind::TooLarge, format!("an object of {size} bytes does not fit in memory"));
        let wanted = usize::try_from(size).map_err(|_| too_large())?;
        let room = match self.room.get() {
            Some(room) => room,
            None => {
                let stripes = cut(wanted).map_err(|_| too_large())?;
                // If another attempt was faster, its room is as good.
                self.room.get_or_init(|| Room { size: wanted, stripes })
            }
        };
        if room.size == wanted {
            return Ok(());
        }
        Err(Error::new(ErrorKind::ObjectModified, format!("it had {} bytes and now has {size}", room.size)))
    }

    pub(crate) fn write_at(&self, mut piece: &[u8], offset: u64) -> Result<(), Error> {
        let beyond = || Error::internal("bytes beyond the end of the object");
        let room = self.room.get().ok_or_else(beyond)?;
        let mut at = usize::try_from(offset).map_err(|_| beyond())?;
        at.checked_add(piece.len()).filter(|end| *end <= room.size).ok_or_else(beyond)?;
        while !piece.is_empty() {
            let index = at / STRIPE;
            let mut stripe = room.stripes.get(index).ok_or_else(beyond)?.lock();
            // What was taken away is not made again.
            let length = stripe.is_there.then(|| STRIPE.min(room.size - index * STRIPE)).ok_or_else(beyond)?;
            let (now, later) = piece.split_at(piece.len().min(length - at % STRIPE));
            stripe.write(now, at % STRIPE);
            piece = later;
            at += now.len();
        }
        Ok(())
    }

    /// The object; nothing is left.
    pub(super) fn take(&self) -> Bytes {
        let mut whole = BytesMut::new();
        for stripe in self.room.get().iter().flat_map(|room| &room.stripes) {
            whole.unsplit(std::mem::take(&mut *stripe.lock()).bytes);
        }
        whole.freeze()
    }

    /// Throws away what has come of it.
    pub(super) fn free(&self) {
        for stripe in self.room.get().iter().flat_map(|room| &room.stripes) {
            drop(std::mem::take(&mut *stripe.lock()));
        }
    }
}

/// Memory for `size` bytes, in stripes of which none has a byte yet.
fn cut(size: usize) -> Result<Box<[Mutex<Stripe>]>, TryReserveError> {
    let mut bytes: Vec<u8> = Vec::new();
    bytes.try_reserve_exact(size)?;
    let mut stripes = Vec::new();
    stripes.try_reserve_exact(size.div_ceil(STRIPE))?;
    // Of bytes that nobody shares this takes the memory over, all that was set aside.
    let mut rest = BytesMut::from(Bytes::from(bytes));
    while stripes.len() < size.div_ceil(STRIPE) {
        let behind = rest.split_off(rest.capacity().min(STRIPE));
        let bytes = std::mem::replace(&mut rest, behind);
        stripes.push(Mutex::new(Stripe { bytes, is_there: true }));
    }
    Ok(stripes.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn it_is_written_by_many_at_once_and_is_one_in_the_end() {
        let size = 3 * STRIPE + 12_345;
        let bytes: Vec<u8> = (0..size).map(|index| (index % 251) as u8).collect();
        let memory = MemoryTarget::default();
        memory.open(size as u64).unwrap();
        let place = memory.room.get().unwrap().stripes[0].lock().bytes.as_ptr();
        let part = 700_001;
        std::thread::scope(|scope| {
            for (index, part_bytes) in bytes.chunks(part).enumerate() {
                let memory = &memory;
                scope.spawn(move || {
                    for (piece_index, piece) in part_bytes.chunks(100_000).enumerate() {
                        memory.write_at(piece, (index * part + piece_index * 100_000) as u64).unwrap();
                    }
                });
            }
        });
        memory.open(size as u64).expect("a repeated discovery finds what is there");
        let body = memory.take();
        assert!(body == bytes, "each byte is in its place");
        assert_eq!(body.as_ptr(), place, "nothing was copied");
        assert!(memory.take().is_empty());
        assert!(memory.write_at(b"late", 0).is_err(), "it has ended");
    }

    #[test]
    fn what_is_announced_is_set_aside_and_not_touched() {
        let size = 64 * STRIPE;
        let memory = MemoryTarget::default();
        memory.open(size as u64).unwrap();
        let room = memory.room.get().unwrap();
        assert_eq!(room.stripes.len(), 64);
        for stripe in &room.stripes {
            let stripe = stripe.lock();
            assert_eq!((stripe.bytes.len(), stripe.bytes.capacity()), (0, STRIPE));
        }
        memory.write_at(b"xyz", (STRIPE + 7) as u64).unwrap();
        memory.write_at(b"ab", (STRIPE + 6) as u64).unwrap();
        assert_eq!(room.stripes[1].lock().bytes, &b"\0\0\0\0\0\0abyz"[..], "as far as it was written to");
        assert!(room.stripes[2].lock().bytes.is_empty());
        memory.free();
        assert!(memory.write_at(b"late", 0).is_err());
        // More than any machine has.
        assert_eq!(MemoryTarget::default().open(1 << 62).unwrap_err().kind(), ErrorKind::TooLarge);
    }

    #[test]
    fn it_is_never_written_to_outside() {
        let memory = MemoryTarget::default();
        assert!(memory.write_at(b"x", 0).is_err(), "nothing is known of it yet");
        memory.open(STRIPE as u64).unwrap();
        assert!(memory.write_at(b"xy", STRIPE as u64 - 1).is_err());
        assert!(memory.write_at(b"x", STRIPE as u64).is_err());
        assert!(memory.write_at(b"x", u64::MAX).is_err());
        assert_eq!(memory.open(7).unwrap_err().kind(), ErrorKind::ObjectModified);
        let empty = MemoryTarget::default();
        empty.open(0).unwrap();
        empty.write_at(b"", 0).unwrap();
        assert!(empty.take().is_empty());
        assert_eq!(MemoryTarget::default().open(u64::MAX).unwrap_err().kind(), ErrorKind::TooLarge);
    }
}
