//! Sizes and rates as people write them.
//!
//! Decides: what a text such as `8MiB` or `10Gbps` means. Never rounds up: a fraction of a byte is dropped.
//!
//! Words: `KiB`, `MiB`, `GiB`, `TiB` are powers of 1,024 (IEC 80000-13); `kB`, `MB`, `GB`, `TB` are powers of 1,000 (SI). Case matters for
//! one letter only: in a rate, `b` is a bit and `B` a byte.

use std::fmt;

/// Bytes in a KiB.
pub const KIB: u64 = 1 << 10;
/// Bytes in a MiB.
pub const MIB: u64 = 1 << 20;
/// Bytes in a GiB.
pub const GIB: u64 = 1 << 30;
/// Bytes in a TiB.
pub const TIB: u64 = 1 << 40;

/// A text that is no size or no rate. Display says what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}: {why}")]
pub struct UnitError {
    text: String,
    expected: Expected,
    why: Why,
}

impl UnitError {
    /// What was wrong with the text.
    #[must_use]
    pub fn why(&self) -> Why {
        self.why
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Size,
    Rate,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Expected::Size => "a size such as 8MiB, 1.5GiB, 100MB or 8388608",
            Expected::Rate => "a rate such as 10Gbps, 1.25GB/s, 100MiB/s or 1250000000",
        })
    }
}

/// What can be wrong with a text that should be a size or a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Why {
    /// It does not start with a number: digits, and perhaps a point and digits.
    Number,
    /// What follows the number is not a known unit.
    Unit,
    /// It is more than 2^64 - 1 bytes.
    TooLarge,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::Number => "it has to start with a number",
            Why::Unit => "its unit is not known",
            Why::TooLarge => "it is too large",
        })
    }
}

/// Bytes that a text means: a number, perhaps with a fraction, and perhaps one of `B`, `KiB`, `MiB`, `GiB`, `TiB`, `KB`, `MB`, `GB`, `TB`
/// in any case. Spaces around the number are allowed.
///
/// ```
/// use xfer_core::units::parse_bytes;
/// assert_eq!(parse_bytes("8MiB"), Ok(8_388_608));
/// assert_eq!(parse_bytes("8MB"), Ok(8_000_000));
/// assert_eq!(parse_bytes("1.5 GiB"), Ok(1_610_612_736));
/// assert_eq!(parse_bytes("8388608"), Ok(8_388_608));
/// assert_eq!(
///     parse_bytes("8 sacks").unwrap_err().to_string(),
///     "\"8 sacks\" is not a size such as 8MiB, 1.5GiB, 100MB or 8388608: its unit is not known"
/// );
/// ```
///
/// # Errors
/// [`UnitError`] when the text is not that, or means more bytes than a `u64` holds.
pub fn parse_bytes(text: &str) -> Result<u64, UnitError> {
    parse(text, Expected::Size, |unit| {
        let unit = unit.to_ascii_lowercase();
        if unit.is_empty() { Some(1) } else { scale(unit.strip_suffix('b')?) }
    })
}

/// Bytes per second that a text means: a number, perhaps with a fraction, and a unit.
///
/// In bits: `bps`, `kbps`, `Mbps`, `Gbps`, `Tbps`, or `b/s`, `Gb/s`, `Gib/s` and so on. In bytes: `B/s`, `MB/s`, `MiB/s` and so on, also
/// `GBps`; and without a time (`1.25GB`, `8388608`), which is per second all the same. Fractions of a byte are dropped.
///
/// ```
/// use xfer_core::units::parse_rate;
/// for same in ["10Gbps", "10Gb/s", "10 gbps", "1.25GB", "1.25GB/s", "1250MBps", "1250000000"] {
///     assert_eq!(parse_rate(same), Ok(1_250_000_000), "{same}");
/// }
/// assert_eq!(parse_rate("100MiB/s"), Ok(104_857_600));
/// ```
///
/// # Errors
/// [`UnitError`] when the text is not that, or means more bytes per second than a `u64` holds.
pub fn parse_rate(text: &str) -> Result<Fraction, UnitError> {
    unreachable(text)
}
