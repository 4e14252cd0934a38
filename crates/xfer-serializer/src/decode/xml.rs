//! XML bodies, as far as stores' answers need them: elements by name, and their texts.
//!
//! Reads over what XML does not allow: keys may have characters that XML cannot hold, and not every store escapes them. Invariant: an
//! element whose end did not come is known as such.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};

/// Bodies that are read as XML are a few hundred KiB at the most (1,000 listed parts); a longer one is not what it should be.
const MAX: usize = 4 << 20;

/// No answer has anything to say in elements that lie deeper; nobody's nesting uses up the stack.
const DEEPEST: usize = 4;

/// An element without its attributes and its namespace.
#[derive(Default)]
pub(super) struct Element {
    pub(super) name: String,
    /// Not that of the elements within.
    text: String,
    /// But for empty ones.
    children: Vec<Element>,
    /// Its end has come.
    pub(super) whole: bool,
}

impl Element {
    fn begun(start: &BytesStart<'_>) -> Element {
        Element { name: lossy(start.local_name().as_ref()), ..Element::default() }
    }

    /// The elements within it that have this name.
    pub(super) fn all(&self, name: &'static str) -> impl Iterator<Item = &Element> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The text of the first whole element of this name, without blanks around it; `None` when that says nothing.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let child = self.children.iter().find(|child| child.whole && child.name == name)?;
        Some(child.text.trim()).filter(|text| !text.is_empty())
    }
}

/// The outermost element, or what has come of it. S3 sends blanks ahead of a CompleteMultipartUpload's answer to keep the connection open.
pub(super) fn read(body: &[u8]) -> Option<Element> {
    let body = String::from_utf8_lossy(&body[..body.len().min(MAX)]);
    let mut reader = Reader::from_str(body.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']));
    reader.config_mut().allow_dangling_amp = true;
    reader.config_mut().check_end_names = false;
    let mut open: Vec<Element> = Vec::new();
    let mut deeper = 0_usize;
    while let Ok(event) = reader.read_event() {
        match event {
            Event::Start(_) if open.len() == DEEPEST => deeper += 1,
            Event::Start(start) => open.push(Element::begun(&start)),
            Event::Empty(start) if open.is_empty() => return Some(Element { whole: true, ..Element::begun(&start) }),
            Event::End(_) if deeper > 0 => deeper -= 1,
            Event::End(_) => {
                let element = Element { whole: true, ..open.pop()? };
                match open.last_mut() {
                    Some(parent) => parent.children.push(element),
                    None => return Some(element),
                }
            }
            Event::Eof => break,
            other if deeper == 0 => {
                if let Some(element) = open.last_mut() {
                    push_text(&mut element.text, &other);
                }
            }
            _ => {}
        }
    }
    // It breaks off here.
    while let Some(element) = open.pop() {
        match open.last_mut() {
            Some(parent) => parent.children.push(element),
            None => return Some(element),
        }
    }
    None
}

/// The body, if its outermost element is `wanted`, and whole.
pub(super) fn read_whole(body: &[u8], wanted: &str) -> Option<Element> {
    read(body).filter(|element| element.whole && element.name == wanted)
}

fn push_text(text: &mut String, event: &Event<'_>) {
    match event {
        Event::Text(piece) => text.push_str(&lossy(piece)),
        Event::CData(piece) => text.push_str(&lossy(piece)),
        Event::GeneralRef(reference) => push_reference(text, reference),
        _ => {}
    }
}

/// What a reference such as `&amp;` stands for; one that nobody knows, as it is.
fn push_reference(text: &mut String, reference: &BytesRef<'_>) {
    let name = lossy(reference);
    match (reference.resolve_char_ref(), resolve_predefined_entity(&name)) {
        (Ok(Some(character)), _) => text.push(character),
        (_, Some(meant)) => text.push_str(meant),
        (_, None) => text.extend(["&", &name, ";"]),
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
