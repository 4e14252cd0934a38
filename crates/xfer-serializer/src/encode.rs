//! Percent-encoding, as S3 and its signatures want it: everything but unreserved characters, and in paths the slash.
//!
//! Invariant: no normalisation. `//`, a leading `/`, `.` and `..` are parts of a key like any other.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const PATH: &AsciiSet = &QUERY.remove(b'/');

/// Appends a key to a path.
pub(crate) fn push_path(target: &mut String, key: &str) {
    target.extend(utf8_percent_encode(key, PATH));
}

/// Appends a name or a value to a query.
pub(crate) fn push_query(target: &mut String, word: &str) {
    target.extend(utf8_percent_encode(word, QUERY));
}

/// A name or a value of a query.
pub(crate) fn query(word: &str) -> String {
    utf8_percent_encode(word, QUERY).to_string()
}
