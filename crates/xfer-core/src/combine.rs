//! The CRC of two pieces of data from the CRCs of each, without the data.
//!
//! A CRC is the remainder of a polynomial over GF(2); to put `n` bytes behind a piece multiplies its polynomial by x^(8n). That
//! power is the product of a few of the x^(2^k), which are tables made at compile time: a part size, which is a power of two or
//! near one, takes one or two multiplications of 64 steps. (The general routine of the CRC library squares matrices: 160 µs for a 64-bit CRC where
//! this takes less than one, and that once for each part.)
//!
//! Invariant: valid for reflected CRCs whose initial value and final xor are both all ones, as the three of S3 are.

/// A reflected polynomial of `width` bits with its powers.
#[derive(Debug)]
pub(crate) struct Polynomial {
    width: u32,
    bits: u64,
    /// x^(2^k) for each k up to that of 2^64 bytes.
    powers: [u64; 67],
}

/// CRC-32/ISO-HDLC.
pub(crate) static CRC32: Polynomial = Polynomial::new(32, 0xEDB8_8320);
/// CRC-32C, Castagnoli.
pub(crate) static CRC32C: Polynomial = Polynomial::new(32, 0x82F6_3B78);
/// CRC-64/NVME.
pub(crate) static CRC64NVME: Polynomial = Polynomial::new(64, 0x9A6C_9329_AC4B_C9B5);

impl Polynomial {
    const fn new(width: u32, bits: u64) -> Polynomial {
        let mut made = Polynomial { width, bits, powers: [0; 67] };
        // In the reflected form the highest bit is x^0, the one below it x^1.
        made.powers[0] = 1 << (width - 2);
        let mut k = 1;
        while k < made.powers.len() {
            made.powers[k] = made.multiply(made.powers[k - 1], made.powers[k - 1]);
            k += 1;
        }
        made
    }

    /// a × b modulo the polynomial.
    const fn multiply(&self, a: u64, mut b: u64) -> u64 {
        let mut product = 0;
        let mut bit = 1 << (self.width - 1);
        while bit != 0 {
            // Without branches: whether a bit is set is as good as random.
            product ^= b & ((a & bit != 0) as u64).wrapping_neg();
            b = (b >> 1) ^ (self.bits & (b & 1).wrapping_neg());
            bit >>= 1;
        }
        product
    }

    /// The CRC of the data of `first` followed by the `length` bytes of `second`.
    pub(crate) fn combine(&self, first: u64, second: u64, length: u64) -> u64 {
        let mut moved = first;
        let mut rest = length;
        while rest != 0 {
            // Eight bits to the byte: 2^3.
            moved = self.multiply(self.powers[rest.trailing_zeros() as usize + 3], moved);
            rest &= rest - 1;
        }
        moved ^ second
    }
}

#[cfg(test)]
mod tests;
