//! Decides where a response's body ends (RFC 9112, section 6.3) and whether its connection may be used again.
//!
//! Strict on purpose: two readings of one answer are how responses get attached to the wrong request, so anything ambiguous is an
//! error and the connection is closed.

use super::head::HeaderList;

/// How a body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none.
    Empty,
    /// So many bytes.
    Length(u64),
    /// Chunked transfer coding.
    Chunked,
    /// Everything until the server closes.
    UntilClose,
}

/// The framing of a final response.
pub(crate) fn decide(status: u16, minor: u8, to_head: bool, headers: &HeaderList) -> Result<Framing, &'static str> {
    let length = content_length(headers)?;
    let coded = transfer_encoding(headers)?;
    if coded && length.is_some() {
        return Err("both content-length and transfer-encoding");
    }
    if coded && minor == 0 {
        return Err("transfer-encoding in HTTP/1.0");
    }
    if to_head || status == 204 || status == 304 {
        return Ok(Framing::Empty);
    }
    Ok(match (coded, length) {
        (true, _) => Framing::Chunked,
        (false, Some(0)) => Framing::Empty,
        (false, Some(n)) => Framing::Length(n),
        (false, None) => Framing::UntilClose,
    })
}

/// Whether the server keeps the connection after this response.
pub(crate) fn keeps_alive(minor: u8, framing: Framing, headers: &HeaderList) -> bool {
    let mut close = false;
    let mut keep = false;
    for token in headers.all("connection").flat_map(|v| v.split(',')) {
        close |= token.trim().eq_ignore_ascii_case("close");
        keep |= token.trim().eq_ignore_ascii_case("keep-alive");
    }
    framing != Framing::UntilClose && !close && (minor >= 1 || keep)
}

/// One length, however often it is repeated.
fn content_length(headers: &HeaderList) -> Result<Option<u64>, &'static str> {
    let mut found = None;
    for value in headers.all("content-length").flat_map(|v| v.split(',')) {
        let digits = value.trim_matches([' ', '\t']);
        // `parse` alone would take "+5".
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err("content-length is not a number");
        }
        let length: u64 = digits.parse().map_err(|_| "content-length is too large")?;
        if found.is_some_and(|other| other != length) {
            return Err("conflicting content-length");
        }
        found = Some(length);
    }
    Ok(found)
}

/// Whether the body is chunked. Any other coding would have to be undone by us, and we never ask for one.
fn transfer_encoding(headers: &HeaderList) -> Result<bool, &'static str> {
    let mut values = headers.all("transfer-encoding");
    match (values.next(), values.next()) {
        (None, _) => Ok(false),
        (Some(one), None) if one.trim().eq_ignore_ascii_case("chunked") => Ok(true),
        _ => Err("a transfer-encoding other than chunked"),
    }
}
