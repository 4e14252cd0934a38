//! Memory as a target.
//!
//! The object is one piece of memory, cut into stripes for as long as it is written to: lanes that land different parts of it do not wait
//! for each other. In the end the stripes are one again, and nothing is copied.
//!
//! Invariant: no byte is written outside of the size that was announced.

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
    /// Empty once the object was taken, or thrown away.
    stripes: Box<[Mutex<BytesMut>]>,
}

impl MemoryTarget {
    /// Makes room for `size` bytes. Again, when discovery is repeated: other ranges of the object may be here already.
    pub(super) fn open(&self, size: u64) -> Result<(), Error> {
        let too_large = || Error::new(ErrorKind::TooLarge, format!("an object of {size} bytes does not fit in memory"));
        let wanted = usize::try_from(size).map_err(|_| too_large())?;
        let room = match self.room.get() {
            Some(room) => room,
            None => {
                let mut bytes = Vec::new();
                bytes.try_reserve_exact(wanted).map_err(|_| too_large())?;
                bytes.resize(wanted, 0);
                // If another attempt was faster, its room is as good.
                self.room.get_or_init(|| Room { size: wanted, stripes: cut(bytes) })
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
            let mut stripe = room.stripes.get(at / STRIPE).ok_or_else(beyond)?.lock();
            let place = stripe.get_mut(at % STRIPE..).filter(|place| !place.is_empty()).ok_or_else(beyond)?;
            let fitting = piece.len().min(place.len());
            let (now, later) = piece.split_at(fitting);
            place[..fitting].copy_from_slice(now);
            piece = later;
            at += fitting;
        }
        Ok(())
    }

    /// The object; nothing is left.
    pub(super) fn take(&self) -> Bytes {
        let mut whole = BytesMut::new();
        for stripe in self.room.get().iter().flat_map(|room| &room.stripes) {
            whole.unsplit(std::mem::take(&mut *stripe.lock()));
        }
        whole.freeze()
    }
}

fn cut(bytes: Vec<u8>) -> Box<[Mutex<BytesMut>]> {
    let mut rest = BytesMut::from(Bytes::from(bytes));
    let mut stripes = Vec::with_capacity(rest.len().div_ceil(STRIPE));
    while !rest.is_empty() {
        let length = rest.len().min(STRIPE);
        stripes.push(Mutex::new(rest.split_to(length)));
    }
    stripes.into()
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
        let place = memory.room.get().unwrap().stripes[0].lock().as_ptr();
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
