//! Deterministic test data.
//!
//! Byte `i` of the pattern with a given seed depends on the seed and on `i` only, so any range of an object can be made or
//! checked without making what comes before it, and two different seeds (or a shift of one byte) never look alike.
//! Never random: the same call gives the same bytes on every machine.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

/// Bytes made, written or compared at a time.
const BLOCK: usize = 256 * 1024;

/// The first `len` bytes of the pattern with this seed.
///
/// ```
/// let data = xfer_tests::pattern::bytes(7, 100);
/// assert_eq!(data.len(), 100);
/// assert_eq!(data[..50], xfer_tests::pattern::bytes(7, 50)[..]);
/// ```
#[must_use]
pub fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut data = vec![0; len];
    fill(seed, 0, &mut data);
    data
}

/// Fills `buffer` with the pattern's bytes from `offset` on.
pub fn fill(seed: u64, offset: u64, buffer: &mut [u8]) {
    let mut done = 0;
    let mut at = offset;
    while done < buffer.len() {
        let word = word(seed, at / 8).to_le_bytes();
        let skip = (at % 8) as usize;
        let take = (8 - skip).min(buffer.len() - done);
        buffer[done..done + take].copy_from_slice(&word[skip..skip + take]);
        done += take;
        at += take as u64;
    }
}

/// Writes the first `len` bytes of the pattern to a new file (an old one is replaced), in blocks of 256 KiB.
///
/// # Errors
/// Whatever the file system reports.
pub fn file(path: impl AsRef<Path>, seed: u64, len: u64) -> io::Result<()> {
    let mut file = File::create(path)?;
    let mut block = vec![0; BLOCK];
    let mut offset = 0;
    while offset < len {
        let take = (len - offset).min(BLOCK as u64) as usize;
        fill(seed, offset, &mut block[..take]);
        file.write_all(&block[..take])?;
        offset += take as u64;
    }
    file.flush()
}

/// Checks that a file holds exactly the first `len` bytes of the pattern.
///
/// # Errors
/// Kind `InvalidData`, naming the first offset that differs or the wrong length; otherwise what the file system reports.
pub fn check_file(path: impl AsRef<Path>, seed: u64, len: u64) -> io::Result<()> {
    let mut file = File::open(path)?;
    let found = file.metadata()?.len();
    if found != len {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{found} bytes long instead of {len}")));
    }
    let mut block = vec![0; BLOCK];
    let mut offset = 0;
    while offset < len {
        let take = (len - offset).min(BLOCK as u64) as usize;
        file.read_exact(&mut block[..take])?;
        check(seed, offset, &block[..take])?;
        offset += take as u64;
    }
    Ok(())
}

/// Checks that `data` is the pattern's bytes from `offset` on.
///
/// # Errors
/// Kind `InvalidData`, naming the first offset that differs.
pub fn check(seed: u64, offset: u64, data: &[u8]) -> io::Result<()> {
    let mut wanted = vec![0; data.len()];
    fill(seed, offset, &mut wanted);
    if wanted == data {
        return Ok(());
    }
    let at = wanted.iter().zip(data).position(|(want, got)| want != got).unwrap_or(0);
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        format!("byte {} is {:#04x} instead of {:#04x}", offset + at as u64, data[at], wanted[at]),
    ))
}

/// Eight bytes of the pattern: a SplitMix64 step of the index, which passes for random and needs no state.
fn word(seed: u64, index: u64) -> u64 {
    let mut x = seed.wrapping_mul(0xD6E8_FEB8_6659_FD93).wrapping_add(index.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_range_equals_the_slice_of_the_whole() {
        let whole = bytes(42, 1000);
        for (offset, len) in [(0, 1000), (1, 7), (8, 8), (13, 500), (999, 1), (1000, 0)] {
            let mut part = vec![0; len];
            fill(42, offset as u64, &mut part);
            assert_eq!(part, whole[offset..offset + len], "range {offset}+{len}");
        }
        assert_ne!(whole, bytes(43, 1000));
        assert_ne!(whole[..500], whole[1..501]);
    }

    #[test]
    fn a_file_is_checked_to_the_byte_and_to_the_length() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let len = 2 * BLOCK as u64 + 12_345;
        file(&path, 9, len).unwrap();
        check_file(&path, 9, len).unwrap();
        assert!(check_file(&path, 9, len - 1).unwrap_err().to_string().contains("bytes long"));
        let mut data = std::fs::read(&path).unwrap();
        data[BLOCK + 5] ^= 1;
        std::fs::write(&path, data).unwrap();
        let error = check_file(&path, 9, len).unwrap_err();
        assert!(error.to_string().contains(&format!("byte {} ", BLOCK + 5)), "{error}");
    }
}
