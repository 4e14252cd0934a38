//! XML bodies, read as far as they are needed and no further.

use quick_xml::Reader;
use quick_xml::events::Event;
use serde::de::DeserializeOwned;

/// Bodies that are read as XML are a few hundred KiB at the most (1,000 listed parts); a longer one is not what it should be.
const MAX: usize = 4 << 20;

/// The name of the outermost element, without its namespace.
pub(super) fn root(body: &str) -> Option<String> {
    let mut reader = Reader::from_str(body);
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) | Event::Empty(start) => {
                return Some(String::from_utf8_lossy(start.local_name().as_ref()).into_owned());
            }
            Event::Eof => return None,
            _ => {}
        }
    }
}

/// The body as a text. S3 sends blanks ahead of a CompleteMultipartUpload's answer to keep the connection open.
pub(super) fn text(body: &[u8]) -> String {
    let body = &body[..body.len().min(MAX)];
    String::from_utf8_lossy(body).trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']).to_owned()
}

/// The body as `T`, if its outermost element is `wanted` and its fields are right.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8], wanted: &str) -> Option<T> {
    let text = text(body);
    if root(&text)? != wanted {
        return None;
    }
    quick_xml::de::from_str(&text).ok()
}
