//! Cuts a body out of the bytes that follow a head. Pure: looks at what has come, says what it is.
//!
//! Invariants: never consumes a byte past the body's end; a chunked body ends after the line that ends its trailers.

use super::framing::Framing;

/// Longest line of chunked coding (size with extensions, or a trailer) and most trailer bytes in all.
const MAX_LINE: usize = 16 * 1024;

/// What the next bytes are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// So many bytes of framing: consume them and ask again.
    Skip(usize),
    /// So many bytes of the body itself.
    Data(usize),
    /// Not enough here to tell.
    More,
    /// The body is whole.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Length(u64),
    UntilClose,
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailers(usize),
    Done,
}

/// A body being read.
#[derive(Clone, Debug)]
pub(crate) struct BodyDecoder {
    state: State,
}

impl BodyDecoder {
    pub(crate) fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Empty | Framing::Length(0) => State::Done,
            Framing::Length(n) => State::Length(n),
            Framing::Chunked => State::ChunkSize,
            Framing::UntilClose => State::UntilClose,
        };
        Self { state }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Looks at the bytes not consumed so far. The caller consumes what a `Skip` or `Data` names before it asks again.
    pub(crate) fn step(&mut self, input: &[u8]) -> Result<Step, &'static str> {
        if self.state == State::Done {
            return Ok(Step::End);
        }
        if input.is_empty() {
            return Ok(Step::More);
        }
        match self.state {
            State::Length(left) => {
                let n = clamp(left, input.len());
                self.state = if n as u64 == left { State::Done } else { State::Length(left - n as u64) };
                Ok(Step::Data(n))
            }
            State::UntilClose => Ok(Step::Data(input.len())),
            State::ChunkSize => {
                let Some(line) = line(input)? else { return Ok(Step::More) };
                self.state = match chunk_size(line)? {
                    0 => State::Trailers(0),
                    n => State::ChunkData(n),
                };
                Ok(Step::Skip(line.len() + 2))
            }
            State::ChunkData(left) => {
                let n = clamp(left, input.len());
                self.state = if n as u64 == left { State::ChunkEnd } else { State::ChunkData(left - n as u64) };
                Ok(Step::Data(n))
            }
            State::ChunkEnd => {
                if input[0] != b'\r' || input.get(1).is_some_and(|b| *b != b'\n') {
                    return Err("a chunk is longer than its size says");
                }
                if input.len() < 2 {
                    return Ok(Step::More);
                }
                self.state = State::ChunkSize;
                Ok(Step::Skip(2))
            }
            State::Trailers(seen) => {
                let Some(line) = line(input)? else { return Ok(Step::More) };
                let seen = seen + line.len();
                if seen > MAX_LINE {
                    return Err("trailers are too long");
                }
                self.state = if line.is_empty() { State::Done } else { State::Trailers(seen) };
                Ok(Step::Skip(line.len() + 2))
            }
            State::Done => Ok(Step::End),
        }
    }

    /// How many bytes of a body of known length are still to come.
    pub(crate) fn left(&self) -> Option<u64> {
        match self.state {
            State::Length(left) => Some(left),
            _ => None,
        }
    }

    /// So many bytes of a body of known length, at most those that are [left](Self::left), came without having been looked at here.
    pub(crate) fn passed(&mut self, bytes: u64) {
        if let State::Length(left) = self.state {
            self.state = if bytes >= left { State::Done } else { State::Length(left - bytes) };
        }
    }

    /// The server has closed: is that where this body ends? For a body without any other end it is; `clean` says whether TLS
    /// vouches for the close (without TLS nothing can, and HTTP accepts it).
    pub(crate) fn closed(&mut self, clean: bool) -> bool {
        if self.state == State::UntilClose && clean {
            self.state = State::Done;
        }
        self.is_done()
    }
}

fn clamp(left: u64, have: usize) -> usize {
    usize::try_from(left).map_or(have, |l| l.min(have))
}

/// The first line of `input` without its end, if it is all there.
fn line(input: &[u8]) -> Result<Option<&[u8]>, &'static str> {
    let within = &input[..input.len().min(MAX_LINE + 2)];
    match within.iter().position(|b| *b == b'\n') {
        Some(at) if at > 0 && within[at - 1] == b'\r' => {
            let line = &within[..at - 1];
            if line.contains(&b'\r') { Err("a bare CR in chunked coding") } else { Ok(Some(line)) }
        }
        Some(_) => Err("a bare LF in chunked coding"),
        None if within.len() > MAX_LINE => Err("a line of chunked coding is too long"),
        None => Ok(None),
    }
}

/// The number at the start of a chunk-size line; extensions after a semicolon mean nothing to us.
fn chunk_size(line: &[u8]) -> Result<u64, &'static str> {
    let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    let rest = &line[digits..];
    // Some servers pad the size with blanks.
    let after = rest.iter().find(|b| !matches!(b, b' ' | b'\t'));
    if digits == 0 || after.is_some_and(|b| *b != b';') {
        return Err("a chunk size is not a number");
    }
    let text = std::str::from_utf8(&line[..digits]).map_err(|_| "a chunk size is not a number")?;
    u64::from_str_radix(text, 16).map_err(|_| "a chunk size is too large")
}
