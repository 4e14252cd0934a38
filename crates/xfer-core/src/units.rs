//! Sizes and rates as people write them.
//!
//! Decides: what a text such as `8MiB` or `10Gbps` means. Never rounds up: a fraction of a byte is dropped.
//!
//! Words: `KiB`, `MiB`, `GiB`, `TiB` are powers of 1,024 (IEC 80000-13); `kB`, `MB`, `GB`, `TB` are powers of 1,000 (SI). Case matters for
//! one letter only: in a rate, `b` is a bit and `B` a byte.
//!
//! Invariant: no text makes a reader panic, and arithmetic is exact: a hundred digits behind the point are no more trouble than two.

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
///
/// ```
/// use xfer_core::units::{Why, parse_rate};
/// let error = parse_rate("fast").unwrap_err();
/// assert_eq!(error.why(), Why::Number);
/// assert!(error.to_string().starts_with("\"fast\" is not a rate such as 10Gbps"));
/// ```
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
///
/// ```
/// use xfer_core::units::{Why, parse_bytes};
/// let why = |text| parse_bytes(text).unwrap_err().why();
/// assert_eq!((why("MiB"), why("8 sacks"), why("99999999 TiB")), (Why::Number, Why::Unit, Why::TooLarge));
/// ```
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
        let prefix = if unit.is_empty() { unit } else { unit.strip_suffix(['b', 'B'])? };
        Some(Unit { size: scale(prefix)?, per_byte: 1 })
    })
}

/// Bytes per second that a text means: a number, perhaps with a fraction, and a unit.
///
/// In bits: `bps`, `kbps`, `Mbps`, `Gbps`, `Tbps`, or `b/s`, `Gb/s`, `Gib/s` and so on. In bytes: `B/s`, `MB/s`, `MiB/s`, `GBps` and so on;
/// or without a time (`1.25GB`, `8388608`), which is per second all the same. `Gb` without a time is refused: who writes it may mean
/// either.
///
/// ```
/// use xfer_core::units::parse_rate;
/// for same in ["10Gbps", "10Gb/s", "10 gbps", "1.25GB", "1.25GB/s", "1250MBps", "1250000000"] {
///     assert_eq!(parse_rate(same), Ok(1_250_000_000), "{same}");
/// }
/// assert_eq!(parse_rate("100MiB/s"), Ok(104_857_600));
/// assert!(parse_rate("10Gb").is_err());
/// ```
///
/// # Errors
/// [`UnitError`] when the text is not that, or means more bytes per second than a `u64` holds.
pub fn parse_rate(text: &str) -> Result<u64, UnitError> {
    parse(text, Expected::Rate, |unit| {
        if unit.is_empty() {
            return Some(Unit { size: 1, per_byte: 1 });
        }
        let timed = ["/s", "ps", "/S", "pS", "Ps", "PS"].into_iter().find_map(|time| unit.strip_suffix(time));
        let word = timed.unwrap_or(unit);
        if let Some(prefix) = word.strip_suffix('B') {
            Some(Unit { size: scale(prefix)?, per_byte: 1 })
        } else if timed.is_some() {
            Some(Unit { size: scale(word.strip_suffix('b')?)?, per_byte: 8 })
        } else {
            None
        }
    })
}

/// A size to be read by people: the largest unit of a power of 1,024 that it fills, and up to two digits behind the point. Digits beyond
/// these are dropped, so that nothing looks larger than it is.
///
/// ```
/// use xfer_core::units::format_bytes;
/// assert_eq!(format_bytes(8 << 20), "8 MiB");
/// assert_eq!(format_bytes(1_610_612_736), "1.5 GiB");
/// assert_eq!(format_bytes(1_023), "1023 B");
/// ```
#[must_use]
pub fn format_bytes(bytes: u64) -> String {
    let units = [(TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")];
    let Some((size, name)) = units.into_iter().find(|(size, _)| bytes >= *size) else {
        return format!("{bytes} B");
    };
    let hundredths = (bytes % size) * 100 / size;
    let number = format!("{}.{hundredths:02}", bytes / size);
    format!("{} {name}", number.trim_end_matches('0').trim_end_matches('.'))
}

/// How many of something make a byte, and how many of them the unit is: a byte is `{1, 1}`, a kilobit `{1000, 8}`.
struct Unit {
    size: u64,
    per_byte: u128,
}

/// The factor of a prefix such as `k` or `Mi`.
fn scale(prefix: &str) -> Option<u64> {
    Some(match prefix.to_ascii_lowercase().as_str() {
        "" => 1,
        "k" => 1_000,
        "ki" => KIB,
        "m" => 1_000_000,
        "mi" => MIB,
        "g" => 1_000_000_000,
        "gi" => GIB,
        "t" => 1_000_000_000_000,
        "ti" => TIB,
        _ => return None,
    })
}

fn parse(text: &str, expected: Expected, unit: impl FnOnce(&str) -> Option<Unit>) -> Result<u64, UnitError> {
    let refuse = |why| UnitError { text: text.to_owned(), expected, why };
    let (whole, rest) = digits(text.trim());
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => digits(rest),
        None => ("0", rest),
    };
    if whole.is_empty() || fraction.is_empty() {
        return Err(refuse(Why::Number));
    }
    let unit = unit(rest.trim_start()).ok_or_else(|| refuse(Why::Unit))?;
    let size = u128::from(unit.size);
    let whole: u64 = whole.parse().map_err(|_| refuse(Why::TooLarge))?;
    // A unit is at most 2^40, so that what is behind the eighteenth digit is less than a byte.
    let fraction = &fraction[..fraction.len().min(18)];
    let (numerator, denominator) =
        fraction.bytes().fold((0_u128, 1_u128), |(n, d), digit| (n * 10 + u128::from(digit - b'0'), d * 10));
    // At most 2^64 * 2^40 + 2^60 * 2^40: far from the limit of 2^128.
    let count = u128::from(whole) * size + numerator * size / denominator;
    u64::try_from(count / unit.per_byte).map_err(|_| refuse(Why::TooLarge))
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

#[cfg(test)]
mod tests;
