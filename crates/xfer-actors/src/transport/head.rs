//! Heads of messages: writing a request's, reading a response's.
//!
//! Reading is done by `httparse`; this file finds the end of a head first, so that a head that trickles in is parsed once.
//!
//! Invariants: a written head holds exactly the lines that were asked for (nothing a caller passes can start a new one); a read
//! head has at most [`MAX_HEAD`] bytes and [`MANY_HEADERS`] headers.

use std::fmt;
use std::mem::MaybeUninit;

use super::error::TransportError;

/// Most bytes of a response head. S3's own limit for a request head is 8 KiB; answers stay far below.
pub(crate) const MAX_HEAD: usize = 64 * 1024;
/// Headers of a response that are read without memory of their own: more than nearly all have.
const USUAL_HEADERS: usize = 100;
/// Most headers of a response: an object's metadata, of which S3 takes 2 KiB, may be some hundreds of them.
pub(crate) const MANY_HEADERS: usize = 2048;

/// A response's headers, in the order they came.
///
/// ```
/// use xfer_actors::transport::HeaderList;
/// let headers: HeaderList = [("ETag", "\"abc\""), ("x-amz-meta-a", "1"), ("X-Amz-Meta-A", "2")].into_iter().collect();
/// assert_eq!((headers.get("etag"), headers.len()), (Some("\"abc\""), 3));
/// assert_eq!(headers.all("x-amz-meta-a").collect::<Vec<_>>(), ["1", "2"]);
/// assert!(!format!("{headers:?}").contains("abc"), "values may be secrets");
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct HeaderList {
    text: String,
    spans: Vec<Span>,
}

/// Where in the text a header is: its value follows its name.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Span {
    name: usize,
    value: usize,
    end: usize,
}

impl HeaderList {
    /// The first value under this name, whatever the case of either.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.spans.iter().find(|span| self.is_named(span, name)).map(|span| self.value(span))
    }

    /// All values under this name, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.spans.iter().filter(move |span| self.is_named(span, name)).map(|span| self.value(span))
    }

    /// All headers, names as the server wrote them. Bytes that are not UTF-8 have become U+FFFD.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.spans.iter().map(|span| (&self.text[span.name..span.value], self.value(span)))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Each answer is asked for many names: nearly all headers that are not meant have a name of another length.
    fn is_named(&self, span: &Span, name: &str) -> bool {
        span.value - span.name == name.len() && self.text[span.name..span.value].eq_ignore_ascii_case(name)
    }

    fn value(&self, span: &Span) -> &str {
        &self.text[span.value..span.end]
    }

    fn push(&mut self, name: &str, value: &[u8]) {
        let at = self.text.len();
        self.text.push_str(name);
        match std::str::from_utf8(value) {
            Ok(value) => self.text.push_str(value),
            Err(_) => self.text.push_str(&String::from_utf8_lossy(value)),
        }
        self.spans.push(Span { name: at, value: at + name.len(), end: self.text.len() });
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for HeaderList {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(headers: I) -> Self {
        let mut list = Self::default();
        for (name, value) in headers {
            list.push(name, value.as_bytes());
        }
        list
    }
}

impl fmt::Debug for HeaderList {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(n, _)| n)).finish()
    }
}

/// The head of a final response (never 1xx).
///
/// ```no_run
/// # use xfer_actors::transport::{Connection, TransportError};
/// # async fn f(connection: &mut Connection) -> Result<(), TransportError> {
/// let answer = connection.read_head(false).await?;
/// let length: Option<u64> = answer.header("content-length").and_then(|bytes| bytes.parse().ok());
/// println!("{}, {length:?} bytes", answer.status());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    status: u16,
    headers: HeaderList,
    minor: u8,
}

impl ResponseHead {
    /// The status code, 200 to 999.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderList {
        &self.headers
    }

    /// Takes the headers out.
    pub fn into_headers(self) -> HeaderList {
        self.headers
    }

    /// The value of one header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    /// The digit after `HTTP/1.`.
    pub(crate) fn minor(&self) -> u8 {
        self.minor
    }
}

/// What has come of a head.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Its end is not there yet.
    Partial,
    /// An interim response of so many bytes: to be skipped.
    Interim(usize),
    /// A final response of so many bytes.
    Final(usize, ResponseHead),
}

/// Looks for a head at the start of `input`. `scanned` remembers how far its end has been looked for; it starts at 0 and is set
/// back to 0 when bytes are consumed.
pub(crate) fn find(input: &[u8], scanned: &mut usize) -> Result<Found, TransportError> {
    const START: &[u8] = b"HTTP/1.";
    let known = input.len().min(START.len());
    if input[..known] != START[..known] {
        return Err(TransportError::protocol("it does not begin with HTTP/1."));
    }
    let Some(end) = end_of_head(input, *scanned) else {
        *scanned = input.len();
        if input.len() >= MAX_HEAD {
            return Err(TransportError::protocol("the head is larger than 64 KiB"));
        }
        return Ok(Found::Partial);
    };
    if end > MAX_HEAD {
        return Err(TransportError::protocol("the head is larger than 64 KiB"));
    }
    match read(&input[..end], &mut [const { MaybeUninit::uninit() }; USUAL_HEADERS]) {
        Err(httparse::Error::TooManyHeaders) => read(&input[..end], &mut vec![MaybeUninit::uninit(); MANY_HEADERS]),
        read => read,
    }
    .map_err(|e| TransportError::protocol(format!("the head is malformed: {e}")))?
}

/// Reads a whole head, with room for so many headers.
fn read<'a>(
    input: &'a [u8],
    slots: &mut [MaybeUninit<httparse::Header<'a>>],
) -> Result<Result<Found, TransportError>, httparse::Error> {
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    if config.parse_response_with_uninit_headers(&mut parsed, input, slots)?.is_partial() {
        return Ok(Err(TransportError::protocol("the head ends too early")));
    }
    let end = input.len();
    let (Some(status), Some(minor)) = (parsed.code, parsed.version) else {
        return Ok(Err(TransportError::protocol("no status")));
    };
    Ok(match status {
        101 => Err(TransportError::protocol("an upgrade nobody asked for")),
        100..=199 => Ok(Found::Interim(end)),
        200.. => {
            let mut headers = HeaderList::default();
            headers.text.reserve(end);
            headers.spans.reserve(parsed.headers.len());
            for header in parsed.headers.iter() {
                headers.push(header.name, header.value);
            }
            Ok(Found::Final(end, ResponseHead { status, headers, minor }))
        }
        _ => Err(TransportError::protocol("a status below 100")),
    })
}

/// Whether what has come of an answer may still turn out to be an interim response (1xx).
pub(crate) fn may_be_interim(input: &[u8]) -> bool {
    // "HTTP/1.x 1": the tenth byte decides.
    match input.get(9) {
        None => true,
        Some(class) => *class == b'1',
    }
}

/// Just past the empty line that ends a head. A line may end in LF alone, which `httparse` takes as well.
fn end_of_head(input: &[u8], scanned: usize) -> Option<usize> {
    let mut from = scanned.saturating_sub(3);
    while let Some(at) = memchr::memchr(b'\n', &input[from..]) {
        let rest = &input[from + at + 1..];
        match rest {
            [b'\n', ..] => return Some(from + at + 2),
            [b'\r', b'\n', ..] => return Some(from + at + 3),
            _ => from += at + 1,
        }
    }
    None
}

/// Appends a request head to `out`, empty line included.
///
/// # Errors
/// [`TransportError::InvalidHead`] if the method is no token, the target holds a blank or a control character, a header name is
/// no token, or a value holds a control character other than a tab; `out` is then as it was.
///
/// ```
/// let mut head = Vec::new();
/// xfer_actors::transport::encode_head(&mut head, "GET", "/b/k", [("host", "h")])?;
/// assert_eq!(head, b"GET /b/k HTTP/1.1\r\nhost: h\r\n\r\n");
/// assert!(xfer_actors::transport::encode_head(&mut head, "GET", "/", [("a", "b\r\nc: d")]).is_err());
/// # Ok::<(), xfer_actors::transport::TransportError>(())
/// ```
pub fn encode_head<'a>(
    out: &mut Vec<u8>,
    method: &str,
    target: &str,
    headers: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<(), TransportError> {
    encode_parts(out, method, "", target, headers)
}

/// [`encode_head`] with something before the target: scheme and authority, where a proxy wants them.
pub(crate) fn encode_parts<'a>(
    out: &mut Vec<u8>,
    method: &str,
    prefix: &str,
    target: &str,
    headers: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<(), TransportError> {
    let start = out.len();
    let written = write_head(out, method, prefix, target, headers);
    if written.is_err() {
        out.truncate(start);
    }
    written
}

fn write_head<'a>(
    out: &mut Vec<u8>,
    method: &str,
    prefix: &str,
    target: &str,
    headers: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<(), TransportError> {
    if !is_token(method) {
        return Err(TransportError::InvalidHead("the method is not a token"));
    }
    if target.is_empty() || has(target, |b| b <= b' ' || b == 0x7f) {
        return Err(TransportError::InvalidHead("the target is empty or holds a blank or a control character"));
    }
    for part in [method, " ", prefix, target, " HTTP/1.1\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    for (name, value) in headers {
        if !is_token(name) {
            return Err(TransportError::InvalidHead("a header name is not a token"));
        }
        if has(value, |b| (b < b' ' && b != b'\t') || b == 0x7f) {
            return Err(TransportError::InvalidHead("a header value holds a control character"));
        }
        for part in [name, ": ", value, "\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// Whether a text has such a byte. Looks at all of them, many at a time, which is quicker than to stop at the first: there is none.
fn has(text: &str, such: impl Fn(u8) -> bool) -> bool {
    text.bytes().fold(false, |found, byte| found | such(byte))
}

/// Whether a text is a token of RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| TOKEN[usize::from(byte)])
}

/// The bytes that a token may have.
const TOKEN: [bool; 256] = {
    let mut may = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        may[byte as usize] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let marks = b"!#$%&'*+-.^_`|~";
    let mut place = 0;
    while place < marks.len() {
        may[marks[place] as usize] = true;
        place += 1;
    }
    may
};
