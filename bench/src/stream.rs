//! The bytes that all objects are made of, and the keys that say which.
//!
//! Decides: what byte `i` of an object is, from the object's key alone. There is one stream, pseudo-random, which begins anew after
//! [`PERIOD`] bytes: a prime number of pages, so that two parts of the usual sizes never look alike, and one at the wrong offset is found out.
//!
//! A key holds its object's size in a segment `size-N`, such as `get/size-2GiB/object`. If its last segment is a number the object begins at a
//! page of its own, so that objects of the same size differ: `many/size-1KiB/count-1000/000017`.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::sync::LazyLock;

use crc_fast::{CrcAlgorithm, Digest, checksum_combine};
use xfer_core::units;

const PAGE: u64 = 4096;
/// A prime.
const PAGES: u64 = 4099;
/// Bytes after which the stream begins anew: 16 MiB and three pages.
pub(crate) const PERIOD: u64 = PAGE * PAGES;
/// Bytes that [`Stream::slice`] can give at once.
pub(crate) const LONGEST: u64 = 1 << 20;
/// Pages between the beginnings of neighbouring objects; any number that is no multiple of [`PAGES`] keeps them apart.
const STRIDE: u64 = 37;

/// Checksum by which everything here is judged: S3's default, and the one that can be joined from those of parts.
pub(crate) const ALGORITHM: CrcAlgorithm = CrcAlgorithm::Crc64Nvme;

static STREAM: LazyLock<Stream> = LazyLock::new(Stream::new);

/// The stream, one period of it and a little more.
pub(crate) struct Stream {
    bytes: Vec<u8>,
}

impl Stream {
    /// The stream of this process, made when it is first asked for.
    pub(crate) fn get() -> &'static Self {
        &STREAM
    }

    fn new() -> Self {
        let mut bytes = Vec::with_capacity((PERIOD + LONGEST) as usize);
        for word in 0..PERIOD / 8 {
            bytes.extend_from_slice(&mix(word).to_le_bytes());
        }
        bytes.extend_from_within(..LONGEST as usize);
        Self { bytes }
    }

    /// One period.
    pub(crate) fn period(&self) -> &[u8] {
        &self.bytes[..PERIOD as usize]
    }

    /// The bytes from `at` on: `length` of them, or [`LONGEST`] if that is less.
    pub(crate) fn slice(&self, at: u64, length: u64) -> &[u8] {
        let from = (at % PERIOD) as usize;
        &self.bytes[from..from + length.min(LONGEST) as usize]
    }

    /// CRC64NVME of `length` bytes from `from` on. Takes as long as one period does, however long they are.
    pub(crate) fn crc(&self, from: u64, length: u64) -> u64 {
        if length < 2 * PERIOD {
            return self.crc_of_all(from, length);
        }
        let mut sum = 0;
        // That of a power of two of periods, doubled for each bit of their number.
        let (mut power, mut size) = (self.crc_of_all(from, PERIOD), PERIOD);
        let mut periods = length / PERIOD;
        while periods > 0 {
            if periods & 1 == 1 {
                sum = checksum_combine(ALGORITHM, sum, power, size);
            }
            power = checksum_combine(ALGORITHM, power, power, size);
            size *= 2;
            periods >>= 1;
        }
        let rest = length % PERIOD;
        checksum_combine(ALGORITHM, sum, self.crc_of_all(from, rest), rest)
    }

    fn crc_of_all(&self, from: u64, length: u64) -> u64 {
        let mut digest = Digest::new(ALGORITHM);
        let mut done = 0;
        while done < length {
            let slice = self.slice(from + done, length - done);
            digest.update(slice);
            done += slice.len() as u64;
        }
        digest.finalize()
    }
}

/// A step of SplitMix64: passes for random, needs no state.
fn mix(index: u64) -> u64 {
    let mut x = index.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(0x2545_F491_4F6C_DD1D);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// What a key stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    /// In bytes.
    pub(crate) size: u64,
    /// Where in the stream it begins.
    pub(crate) start: u64,
}

impl Object {
    /// The object of a key; none if the key names no size.
    pub(crate) fn of(key: &str) -> Option<Self> {
        let size = key.split('/').find_map(|segment| units::parse_bytes(segment.strip_prefix("size-")?).ok())?;
        let number = key.rsplit('/').next().and_then(|name| name.parse::<u64>().ok()).unwrap_or(0);
        Some(Self { size, start: (number % PAGES) * STRIDE % PAGES * PAGE })
    }

    /// CRC64NVME of all its bytes.
    pub(crate) fn crc(&self) -> u64 {
        Stream::get().crc(self.start, self.size)
    }

    /// Writes it to a new file.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = File::create(path)?;
        let mut done = 0;
        while done < self.size {
            let slice = Stream::get().slice(self.start + done, self.size - done);
            file.write_all(slice)?;
            done += slice.len() as u64;
        }
        Ok(())
    }

    /// Compares a file with it.
    ///
    /// # Errors
    /// Kind `InvalidData` with the first block that differs; what the file system says.
    pub(crate) fn check(&self, path: &Path) -> io::Result<()> {
        let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {what}", path.display()));
        let mut file = File::open(path)?;
        let found = file.metadata()?.len();
        if found != self.size {
            return Err(wrong(format!("{found} bytes long instead of {}", self.size)));
        }
        let mut block = vec![0; LONGEST.min(self.size) as usize];
        let mut done = 0;
        while done < self.size {
            let slice = Stream::get().slice(self.start + done, self.size - done);
            let block = &mut block[..slice.len()];
            file.read_exact(block)?;
            if block != slice {
                let at = block.iter().zip(slice).position(|(found, wanted)| found != wanted).unwrap_or(0);
                return Err(wrong(format!("byte {} is wrong", done + at as u64)));
            }
            done += slice.len() as u64;
        }
        Ok(())
    }
}

/// The name of number `index` of many objects.
pub(crate) fn number(index: u64) -> String {
    format!("{index:06}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn the_stream_begins_anew_after_a_period_and_not_before() {
        let stream = Stream::get();
        assert_eq!(stream.slice(5, 100), stream.slice(PERIOD + 5, 100));
        let mut firsts: Vec<&[u8]> = (0..PAGES).map(|page| stream.slice(page * PAGE, 16)).collect();
        firsts.sort_unstable();
        firsts.dedup();
        assert_eq!(firsts.len() as u64, PAGES, "no two pages begin alike");
        assert_eq!(stream.slice(PERIOD - 1, 10 * LONGEST).len() as u64, LONGEST);
    }

    #[test]
    fn the_checksum_of_many_periods_is_that_of_their_bytes() {
        let stream = Stream::get();
        for (from, length) in [(0, 0), (3, 1), (0, PERIOD), (7, 2 * PERIOD), (PERIOD - 9, 5 * PERIOD + 12_345)] {
            assert_eq!(stream.crc(from, length), stream.crc_of_all(from, length), "{length} from {from}");
        }
        assert_eq!(stream.crc(4096, 1000), crc_fast::crc64_nvme(&stream.period()[4096..5096]));
    }

    #[test]
    fn keys_say_what_they_are() {
        assert_eq!(Object::of("get/size-2GiB/object"), Some(Object { size: 2 << 30, start: 0 }));
        assert_eq!(Object::of("size-0/x").unwrap().size, 0);
        let other = Object::of("many/size-1KiB/count-10/000002").unwrap();
        assert_eq!(other, Object { size: 1024, start: 2 * STRIDE * PAGE });
        for key in ["", "object", "size-", "size-many/x", "xsize-1/x"] {
            assert_eq!(Object::of(key), None, "{key}");
        }
    }

    #[test]
    fn a_file_is_checked_to_the_byte_and_to_the_length() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let object = Object { size: LONGEST + 4097, start: 8192 };
        object.write(&path).unwrap();
        object.check(&path).unwrap();
        assert!(Object { size: object.size - 1, ..object }.check(&path).is_err());
        assert!(Object { start: 0, ..object }.check(&path).is_err());
        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let error = object.check(&path).unwrap_err();
        assert!(error.to_string().contains(&format!("byte {last} is wrong")), "{error}");
    }
}
