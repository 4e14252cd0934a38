//! The framing of a body with a checksum trailer: one chunk, `aws-chunked`.
//!
//! ```text
//! <length in hex>\r\n<body>\r\n0\r\n<checksum header>:<base64>\r\n\r\n
//! ```
//! An empty body has no chunk and starts at `0`. Never sees the body itself.

use xfer_core::checksum::{Algorithm, Checksum};

/// What goes before the body.
///
/// ```
/// assert_eq!(xfer_serializer::chunked::head(65_536), "10000\r\n");
/// assert_eq!(xfer_serializer::chunked::head(0), "");
/// ```
#[must_use]
pub fn head(decoded_length: u64) -> String {
    if decoded_length == 0 { String::new() } else { format!("{decoded_length:x}\r\n") }
}

/// What goes behind the body, once its checksum is known.
///
/// ```
/// use xfer_core::checksum::{Algorithm, Checksum};
/// let checksum = Checksum::of(Algorithm::Crc32, b"123456789");
/// assert_eq!(xfer_serializer::chunked::tail(9, &checksum), "\r\n0\r\nx-amz-checksum-crc32:y/Q5Jg==\r\n\r\n");
/// ```
#[must_use]
pub fn tail(decoded_length: u64, checksum: &Checksum) -> String {
    let end = if decoded_length == 0 { "" } else { "\r\n" };
    format!("{end}0\r\n{}:{}\r\n\r\n", checksum.algorithm().header(), checksum.to_base64())
}

/// Length in bytes of the framed body: the Content-Length.
///
/// ```
/// use xfer_core::checksum::Algorithm;
/// assert_eq!(xfer_serializer::chunked::encoded_length(9, Algorithm::Crc32), 3 + 9 + 38);
/// ```
#[must_use]
pub fn encoded_length(decoded_length: u64, algorithm: Algorithm) -> u64 {
    let digits = u64::from((u64::BITS - decoded_length.leading_zeros()).div_ceil(4));
    let chunk = if decoded_length == 0 { 0 } else { decoded_length.saturating_add(digits + 2 + 2) };
    let base64 = algorithm.len().div_ceil(3) * 4;
    chunk.saturating_add(3 + (algorithm.header().len() + 1 + base64 + 4) as u64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn no_length_is_too_long() {
        assert_eq!(encoded_length(u64::MAX, Algorithm::Sha512), u64::MAX);
    }

    #[test]
    fn length_is_that_of_the_framing() {
        for algorithm in Algorithm::ALL {
            for length in [0_u64, 1, 9, 15, 16, 255, 256, 65_535, 65_536, 8 << 20] {
                let body = vec![7; length as usize];
                let framed = head(length).len() + body.len() + tail(length, &Checksum::of(algorithm, &body)).len();
                assert_eq!(encoded_length(length, algorithm), framed as u64, "{algorithm} {length}");
            }
        }
    }
}
