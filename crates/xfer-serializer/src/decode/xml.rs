//! XML bodies, read as far as they are needed and no further.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, Event};
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

/// The elements within the one that `path` leads to from the outermost: their names, without namespaces, and their texts. Reads over what is
/// not as it should be; of a body that breaks off it gives the elements that are whole.
pub(super) fn children(body: &str, path: &[&str]) -> Vec<(String, String)> {
    let mut reader = Reader::from_str(body);
    reader.config_mut().allow_dangling_amp = true;
    reader.config_mut().check_end_names = false;
    let mut children = Vec::new();
    let mut child = (String::new(), String::new());
    // Elements that are open, and how many of them are those of the path.
    let (mut depth, mut followed) = (0, 0);
    while let Ok(event) = reader.read_event() {
        let in_child = followed == path.len() && depth == followed + 1;
        match event {
            Event::Start(start) => {
                let name = start.local_name();
                if depth == followed && depth < path.len() && name.as_ref() == path[depth].as_bytes() {
                    followed += 1;
                } else if depth == followed && depth == path.len() {
                    child = (String::from_utf8_lossy(name.as_ref()).into_owned(), String::new());
                } else if depth == 0 {
                    break;
                }
                depth += 1;
            }
            Event::End(_) => {
                depth = depth.saturating_sub(1);
                if in_child {
                    children.push(std::mem::take(&mut child));
                } else if depth < followed {
                    break;
                }
            }
            Event::Text(text) if in_child => child.1.push_str(&String::from_utf8_lossy(&text)),
            Event::CData(text) if in_child => child.1.push_str(&String::from_utf8_lossy(&text)),
            Event::GeneralRef(reference) if in_child => push_reference(&mut child.1, &reference),
            Event::Eof => break,
            _ => {}
        }
    }
    children
}

/// What a reference such as `&amp;` stands for; one that nobody knows, as it is.
fn push_reference(text: &mut String, reference: &BytesRef<'_>) {
    let name = String::from_utf8_lossy(reference);
    match (reference.resolve_char_ref(), resolve_predefined_entity(&name)) {
        (Ok(Some(character)), _) => text.push(character),
        (_, Some(meant)) => text.push_str(meant),
        (_, None) => text.extend(["&", &name, ";"]),
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
