//! One blocking connection: a request goes out, an answer comes in, and nothing is copied that need not be.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Write as _};
use std::net::TcpStream;
use std::ops::Range;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

use crc_fast::Digest;
use nix::sys::socket::{MsgFlags, recv};
use nix::sys::uio::{preadv, pwritev};
use rustls::pki_types::ServerName;

use super::Target;
use super::records::{HEAD, PAYLOAD, Records, TAIL};

/// Longest wait for a byte.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest head of an answer.
const LONGEST_HEAD: usize = 16 << 10;

/// What an answer says before its body.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// Of the body, in bytes.
    pub(crate) length: u64,
    /// Value of `x-amz-checksum-crc64nvme`.
    pub(crate) checksum: Option<String>,
    pub(crate) etag: String,
}

pub(crate) struct Connection {
    stream: TcpStream,
    records: Option<Records>,
    buffer: Vec<u8>,
    /// Bytes that came: of them the first `raw.start` were looked at.
    raw: Range<usize>,
    /// Where in the buffer payload is, in order.
    pieces: VecDeque<Range<usize>>,
    /// Records on their way out.
    outgoing: Vec<u8>,
    /// Room for whoever uses the connection, kept from one request to the next.
    pub(super) block: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(target: &Target) -> io::Result<Self> {
        let mut stream = TcpStream::connect((target.host.as_str(), target.port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut buffer = vec![0; target.buffer.max(2 * (HEAD + PAYLOAD + TAIL))];
        let (mut records, mut raw) = (None, 0..0);
        if let Some(config) = &target.tls {
            let name = ServerName::try_from(target.host.clone()).map_err(io::Error::other)?;
            let (session, ahead) = Records::shake(&mut stream, Arc::clone(config), name)?;
            buffer.get_mut(..ahead.len()).ok_or(io::ErrorKind::InvalidData)?.copy_from_slice(&ahead);
            raw = 0..ahead.len();
            records = Some(session);
        }
        Ok(Self { stream, records, buffer, raw, pieces: VecDeque::new(), outgoing: Vec::new(), block: Vec::new() })
    }

    /// Sends bytes, and those behind them together with them.
    pub(crate) fn send(&mut self, head: &[u8], body: &[u8]) -> io::Result<()> {
        let Some(records) = &mut self.records else {
            let written = self.stream.write_vectored(&[IoSlice::new(head), IoSlice::new(body)])?;
            if written < head.len() {
                self.stream.write_all(&head[written..])?;
            }
            return self.stream.write_all(&body[written.saturating_sub(head.len())..]);
        };
        self.outgoing.clear();
        let mut first = head;
        let mut second = body;
        while !first.is_empty() || !second.is_empty() {
            let begin = self.outgoing.len();
            self.outgoing.resize(begin + HEAD, 0);
            for piece in [&mut first, &mut second] {
                let room = PAYLOAD - (self.outgoing.len() - begin - HEAD);
                let (now, later) = piece.split_at(piece.len().min(room));
                self.outgoing.extend_from_slice(now);
                *piece = later;
            }
            self.outgoing.resize(self.outgoing.len() + TAIL, 0);
            records.seal(&mut self.outgoing[begin..])?;
        }
        self.stream.write_all(&self.outgoing)
    }

    /// Sends `length` bytes of a file from `from` on, and adds them to a checksum on their way.
    pub(crate) fn send_file(&mut self, file: &File, from: u64, length: u64, digest: &mut Digest) -> io::Result<()> {
        let mut done = 0;
        while done < length {
            done += match self.records {
                None => self.send_block(file, from + done, length - done, digest)?,
                Some(_) => self.send_records(file, from + done, length - done, digest)?,
            };
        }
        Ok(())
    }

    fn send_block(&mut self, file: &File, from: u64, left: u64, digest: &mut Digest) -> io::Result<u64> {
        let most = left.min(self.buffer.len() as u64) as usize;
        let block = &mut self.buffer[..most];
        file.read_exact_at(block, from)?;
        digest.update(block);
        self.stream.write_all(block)?;
        Ok(most as u64)
    }

    /// Reads straight into the payloads of as many records as the buffer holds.
    fn send_records(&mut self, file: &File, from: u64, left: u64, digest: &mut Digest) -> io::Result<u64> {
        const RECORD: usize = HEAD + PAYLOAD + TAIL;
        let Some(session) = &mut self.records else { return Err(io::ErrorKind::InvalidInput.into()) };
        let room = self.buffer.len() / RECORD;
        let most = left.min((room * PAYLOAD) as u64) as usize;
        let size = most + most.div_ceil(PAYLOAD) * (HEAD + TAIL);
        let mut slices: Vec<IoSliceMut<'_>> = self.buffer[..size]
            .chunks_mut(RECORD)
            .map(|record| {
                let end = record.len() - TAIL;
                IoSliceMut::new(&mut record[HEAD..end])
            })
            .collect();
        let read = preadv(file, &mut slices, from as i64)?;
        if read < most {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for record in self.buffer[..size].chunks_mut(RECORD) {
            let end = record.len() - TAIL;
            digest.update(&record[HEAD..end]);
            session.seal(record)?;
        }
        self.stream.write_all(&self.buffer[..size])?;
        Ok(most as u64)
    }

    /// Waits for an answer's head.
    ///
    /// # Errors
    /// Also when the connection ends, or what comes is no HTTP.
    pub(crate) fn head(&mut self) -> io::Result<Head> {
        let mut text = Vec::new();
        loop {
            let piece = self.piece(LONGEST_HEAD as u64, MsgFlags::empty())?;
            let before = text.len();
            text.extend_from_slice(&self.buffer[piece.clone()]);
            if let Some((head, length)) = parse(&text)? {
                self.give_back(piece.start + (length - before)..piece.end);
                return Ok(head);
            }
            if text.len() >= LONGEST_HEAD {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the head is too long"));
            }
        }
    }

    /// An answer's body as text.
    pub(crate) fn text(&mut self, length: u64) -> io::Result<String> {
        let mut text = vec![0; length as usize];
        self.read_exact(&mut text)?;
        String::from_utf8(text).map_err(io::Error::other)
    }

    /// Reads a body into a buffer; plain bytes go there straight from the socket.
    pub(crate) fn read_exact(&mut self, out: &mut [u8]) -> io::Result<()> {
        let mut done = 0;
        while done < out.len() {
            if self.pieces.is_empty() && self.records.is_none() {
                let read = recv(self.stream.as_raw_fd(), &mut out[done..], MsgFlags::MSG_WAITALL)?;
                if read == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                done += read;
                continue;
            }
            let piece = self.piece((out.len() - done) as u64, MsgFlags::MSG_WAITALL)?;
            out[done..done + piece.len()].copy_from_slice(&self.buffer[piece.clone()]);
            done += piece.len();
        }
        Ok(())
    }

    /// Writes `length` bytes of a body to a file from `to` on, and adds them to a checksum on their way.
    pub(crate) fn receive_file(&mut self, file: &File, to: u64, length: u64, digest: &mut Digest) -> io::Result<()> {
        let mut done = 0;
        while done < length {
            let mut slices = Vec::new();
            let mut total = 0;
            // All that is there goes by one call.
            let mut ranges = vec![self.piece(length - done, MsgFlags::MSG_WAITALL)?];
            total += ranges[0].len() as u64;
            while !self.pieces.is_empty() && done + total < length {
                let range = self.piece(length - done - total, MsgFlags::MSG_WAITALL)?;
                total += range.len() as u64;
                ranges.push(range);
            }
            for range in ranges {
                let slice = &self.buffer[range];
                digest.update(slice);
                slices.push(IoSlice::new(slice));
            }
            write_all(file, &slices, to + done)?;
            done += total;
        }
        Ok(())
    }

    /// The place of the next payload, up to `most` bytes. With `MSG_WAITALL` they are certain to come: then a whole buffer of them is waited
    /// for, which takes fewer calls and wakes this thread less often.
    fn piece(&mut self, most: u64, flags: MsgFlags) -> io::Result<Range<usize>> {
        while self.pieces.is_empty() {
            self.fill(most, flags)?;
        }
        let mut piece = self.pieces.pop_front().ok_or(io::ErrorKind::UnexpectedEof)?;
        let whole = piece.end;
        piece.end = piece.start + (most.min(piece.len() as u64) as usize);
        self.give_back(piece.end..whole);
        Ok(piece)
    }

    fn give_back(&mut self, rest: Range<usize>) {
        if !rest.is_empty() {
            self.pieces.push_front(rest);
        }
    }

    /// Receives more; nothing that was received before may be in use.
    fn fill(&mut self, most: u64, flags: MsgFlags) -> io::Result<()> {
        let Some(records) = &mut self.records else {
            let most = most.min(self.buffer.len() as u64) as usize;
            let read = recv(self.stream.as_raw_fd(), &mut self.buffer[..most], flags)?;
            self.pieces.extend((read > 0).then_some(0..read));
            return if read == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) };
        };
        let taken = records.open(&mut self.buffer[self.raw.clone()], &mut self.pieces)?;
        let begin = self.raw.start;
        for piece in &mut self.pieces {
            *piece = piece.start + begin..piece.end + begin;
        }
        self.raw.start += taken;
        if !self.pieces.is_empty() {
            return Ok(());
        }
        self.buffer.copy_within(self.raw.clone(), 0);
        self.raw = 0..self.raw.len();
        let room = &mut self.buffer[self.raw.end..];
        // Records are longer than what is in them, so at least as much as is missing of the payload is certain to come.
        let missing = most.saturating_sub(self.raw.end as u64).min(room.len() as u64) as usize;
        let read = match flags.contains(MsgFlags::MSG_WAITALL) && missing > 0 {
            true => recv(self.stream.as_raw_fd(), &mut room[..missing], flags)?,
            false => recv(self.stream.as_raw_fd(), room, MsgFlags::empty())?,
        };
        self.raw.end += read;
        if read == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

fn write_all(file: &File, slices: &[IoSlice<'_>], at: u64) -> io::Result<()> {
    if let [slice] = slices {
        return file.write_all_at(slice, at);
    }
    let mut written = pwritev(file, slices, at as i64)?;
    // What a call left over, which is rare enough for one at a time.
    let mut at = at;
    for slice in slices {
        let skip = written.min(slice.len());
        file.write_all_at(&slice[skip..], at + skip as u64)?;
        written -= skip;
        at += slice.len() as u64;
    }
    Ok(())
}

fn parse(text: &[u8]) -> io::Result<Option<(Head, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = response.parse(text).map_err(io::Error::other)? else { return Ok(None) };
    let mut head = Head { status: response.code.unwrap_or(0), ..Head::default() };
    for header in response.headers.iter() {
        let value = String::from_utf8_lossy(header.value);
        match header.name.to_ascii_lowercase().as_str() {
            "content-length" => head.length = value.parse().map_err(io::Error::other)?,
            "x-amz-checksum-crc64nvme" => head.checksum = Some(value.into_owned()),
            "etag" => head.etag = value.into_owned(),
            _ => {}
        }
    }
    Ok(Some((head, length)))
}
