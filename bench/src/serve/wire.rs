//! One connection's bytes, plain or under TLS, with as little work for the processor as the kernel allows.
//!
//! Plain bodies never come into this process: what is sent goes from a file in memory by `sendfile`, what is dropped is dropped in the
//! socket by `MSG_TRUNC`. Under TLS both are copied, and sealed or opened.

use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd as _;
use std::sync::Arc;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::sendfile::sendfile64;
use nix::sys::socket::{MsgFlags, recv, send};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::stream::{PERIOD, Stream};

/// Bytes read at a time where they are looked at: a head, or a body under TLS.
const READ: usize = 64 << 10;
/// Bytes dropped by one call.
const DROP: usize = 4 << 20;
/// Plain bodies up to this size are sent together with their head, by one call.
const SMALL: u64 = 64 << 10;
/// Bytes that rustls seals before they are sent: 32 records.
const SEALED: usize = 512 << 10;

/// The stream as a file, for `sendfile`.
///
/// # Errors
/// What the kernel says.
pub(crate) fn memory_file() -> io::Result<File> {
    let mut file = File::from(memfd_create("xfer-bench-stream", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(Stream::get().period())?;
    Ok(file)
}

enum Socket {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

/// A connection and what was read from it ahead.
pub(crate) struct Wire {
    socket: Socket,
    file: Arc<File>,
    buffer: Vec<u8>,
    from: usize,
    to: usize,
    /// Where `MSG_TRUNC` would write, if it did: never touched, so never given memory.
    void: Vec<u8>,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream, tls: Option<Arc<ServerConfig>>, file: Arc<File>) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let (socket, void) = match tls {
            None => (Socket::Plain(stream), vec![0; DROP]),
            Some(config) => {
                let mut session = ServerConnection::new(config).map_err(io::Error::other)?;
                session.set_buffer_limit(Some(SEALED));
                (Socket::Tls(Box::new(StreamOwned::new(session, stream))), Vec::new())
            }
        };
        Ok(Self { socket, file, buffer: vec![0; READ], from: 0, to: 0, void })
    }

    /// What was read and not used yet.
    pub(crate) fn ahead(&self) -> &[u8] {
        &self.buffer[self.from..self.to]
    }

    /// Reads more behind what is there; false at the end.
    pub(crate) fn read_more(&mut self) -> io::Result<bool> {
        self.buffer.copy_within(self.from..self.to, 0);
        (self.from, self.to) = (0, self.to - self.from);
        if self.to == self.buffer.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the head is too long"));
        }
        let read = receive(&mut self.socket, &mut self.buffer[self.to..])?;
        self.to += read;
        Ok(read > 0)
    }

    /// Drops up to `most` bytes; returns how many.
    ///
    /// # Errors
    /// Also when the peer has gone.
    pub(crate) fn drop_some(&mut self, most: u64) -> io::Result<u64> {
        if self.from == self.to
            && let Socket::Plain(stream) = &self.socket
        {
            let most = most.min(DROP as u64) as usize;
            // All of it before it returns: fewer calls.
            let flags = MsgFlags::MSG_TRUNC | MsgFlags::MSG_WAITALL;
            let dropped = recv(stream.as_raw_fd(), &mut self.void[..most], flags)?;
            return if dropped == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(dropped as u64) };
        }
        let there = self.fill_buf()?.len();
        if there == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let dropped = most.min(there as u64);
        self.consume(dropped as usize);
        Ok(dropped)
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.socket {
            Socket::Plain(stream) => stream.write_all(bytes),
            Socket::Tls(stream) => {
                stream.write_all(bytes)?;
                stream.flush()
            }
        }
    }

    /// Sends a head, and a part of the stream if it is small; returns how much of it. What is more goes by [`Wire::send_stream`].
    pub(crate) fn send_head(&mut self, head: &[u8], at: u64, length: u64) -> io::Result<u64> {
        match &mut self.socket {
            Socket::Plain(stream) if length > SMALL => {
                let mut sent = 0;
                while sent < head.len() {
                    let flags = MsgFlags::from_bits_retain(libc::MSG_MORE | libc::MSG_NOSIGNAL);
                    sent += send(stream.as_raw_fd(), &head[sent..], flags)?;
                }
                Ok(0)
            }
            _ => {
                let now = length.min(SMALL);
                let mut both = Vec::with_capacity(head.len() + now as usize);
                both.extend_from_slice(head);
                both.extend_from_slice(Stream::get().slice(at, now));
                self.send(&both)?;
                Ok(now)
            }
        }
    }

    /// Sends up to `length` bytes of the stream from `at` on; returns how many.
    pub(crate) fn send_stream(&mut self, at: u64, length: u64) -> io::Result<u64> {
        match &mut self.socket {
            Socket::Plain(stream) => {
                let mut offset = (at % PERIOD) as i64;
                let most = length.min(PERIOD - at % PERIOD) as usize;
                let sent = sendfile64(&*stream, &*self.file, Some(&mut offset), most)?;
                if sent == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(sent as u64) }
            }
            Socket::Tls(stream) => {
                let slice = Stream::get().slice(at, length.min(SEALED as u64));
                stream.write_all(slice)?;
                Ok(slice.len() as u64)
            }
        }
    }

    /// Ends the connection at once, with a reset.
    pub(crate) fn reset(self) {
        let stream = match &self.socket {
            Socket::Plain(stream) => stream,
            Socket::Tls(stream) => &stream.sock,
        };
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        // Where that is refused it is an ordinary end, which tears the answer as well.
        let _ = nix::sys::socket::setsockopt(stream, nix::sys::socket::sockopt::Linger, &linger);
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.from == self.to && buffer.len() >= self.buffer.len() {
            return receive(&mut self.socket, buffer);
        }
        let ahead = self.fill_buf()?;
        let read = ahead.len().min(buffer.len());
        buffer[..read].copy_from_slice(&ahead[..read]);
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Wire {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.from == self.to {
            (self.from, self.to) = (0, 0);
            self.read_more()?;
        }
        Ok(self.ahead())
    }

    fn consume(&mut self, amount: usize) {
        self.from += amount;
    }
}

fn receive(socket: &mut Socket, buffer: &mut [u8]) -> io::Result<usize> {
    match socket {
        Socket::Plain(stream) => stream.read(buffer),
        Socket::Tls(stream) => match stream.read(buffer) {
            // Many clients end without saying so.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            result => result,
        },
    }
}
