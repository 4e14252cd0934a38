//! Bodies in chunks with trailers: those of HTTP's `Transfer-Encoding: chunked`, and those of S3's `Content-Encoding: aws-chunked`, which look
//! the same but for what stands behind a chunk's size.
//!
//! Invariant: never reads past the body's end.

use std::io::{self, BufRead, Read};

/// Longest line: a chunk's size with its signature, or a trailer.
const LINE: u64 = 4096;

/// What is in the chunks.
pub(crate) struct Chunked<R> {
    inner: R,
    left: u64,
    first: bool,
    over: bool,
    /// Names in lower case, once the body has ended.
    pub(crate) trailers: Vec<(String, String)>,
}

impl<R: BufRead> Chunked<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, left: 0, first: true, over: false, trailers: Vec::new() }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        (&mut self.inner).take(LINE).read_until(b'\n', &mut line)?;
        let text = String::from_utf8(line).map_err(|_| wrong("a line is not text"))?;
        if text.len() as u64 == LINE {
            return Err(wrong("a line is too long"));
        }
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    }

    fn next_chunk(&mut self) -> io::Result<()> {
        if !std::mem::take(&mut self.first) && !self.line()?.is_empty() {
            return Err(wrong("there is more in a chunk than its size says"));
        }
        let line = self.line()?;
        let size = line.split(';').next().unwrap_or_default().trim();
        self.left = u64::from_str_radix(size, 16).map_err(|_| wrong("a chunk without a size"))?;
        if self.left > 0 {
            return Ok(());
        }
        self.over = true;
        loop {
            let line = self.line()?;
            // S3's own encoding may end without the empty line, at the end of what Content-Length says.
            let Some((name, value)) = line.split_once(':') else { return Ok(()) };
            self.trailers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
}

impl<R: BufRead> Read for Chunked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !self.over {
            self.next_chunk()?;
        }
        let most = self.left.min(buffer.len() as u64) as usize;
        if most == 0 {
            return Ok(0);
        }
        let read = self.inner.read(&mut buffer[..most])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read as u64;
        Ok(read)
    }
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    /// What was in the chunks, the trailers, and how many bytes were left.
    type Found = (String, Vec<(String, String)>, usize);

    fn read(text: &str) -> io::Result<Found> {
        let mut rest = text.as_bytes();
        let mut body = Chunked::new(&mut rest);
        let mut out = String::new();
        body.read_to_string(&mut out)?;
        let trailers = body.trailers;
        Ok((out, trailers, rest.len()))
    }

    #[test]
    fn chunks_are_joined_and_what_follows_is_left_alone() {
        let (body, trailers, rest) = read("3\r\nabc\r\nA;chunk-signature=x\r\n0123456789\r\n0\r\n\r\nGET").unwrap();
        assert_eq!((body.as_str(), trailers, rest), ("abc0123456789", vec![], 3));
    }

    #[test]
    fn trailers_are_kept_with_or_without_an_empty_line_behind_them() {
        for end in ["\r\n", ""] {
            let (body, trailers, _) = read(&format!("1\r\nx\r\n0\r\nX-Amz-Checksum-Crc64nvme: AbC=\r\n{end}")).unwrap();
            assert_eq!(body, "x");
            assert_eq!(trailers, [("x-amz-checksum-crc64nvme".to_owned(), "AbC=".to_owned())]);
        }
    }

    #[test]
    fn what_is_broken_is_refused() {
        for text in ["", "x\r\n", "3\r\nab", "2\r\nabc\r\n0\r\n\r\n", &"1".repeat(5000)] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
