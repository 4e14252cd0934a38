//! One connection from its first request to its end, on a thread of its own.

use std::fs::File;
use std::io::{self, BufRead, Read};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use crc_fast::Digest;
use rustls::ServerConfig;

use super::answer::{Answer, Content, answer};
use super::chance::Chance;
use super::pace::{Pacer, STEP};
use super::request::{Given, Operation, Request, base64_of};
use super::stats::Stats;
use super::uploads::{Body, Sums, Uploads};
use super::wire::Wire;
use crate::chunked::Chunked;
use crate::stream::ALGORITHM;

/// Longest body that is kept as text: a list of 10,000 parts or of 1,000 keys.
const LONGEST_TEXT: u64 = 16 << 20;
/// Bytes of an upload that are looked at together.
const BLOCK: usize = 256 << 10;
/// Longest time without a request or a byte before a connection is ended.
const IDLE: Duration = Duration::from_secs(300);

/// How the server is to behave.
pub(crate) struct Behaviour {
    pub(crate) latency: Duration,
    pub(crate) bandwidth_per_connection: Option<u64>,
    pub(crate) bandwidth: Option<Pacer>,
    /// Parts of all requests, from 0 to 1.
    pub(crate) slow_down_rate: f64,
    pub(crate) reset_rate: f64,
    pub(crate) verify: bool,
}

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) behaviour: Behaviour,
    pub(crate) stats: Stats,
    pub(crate) chance: Chance,
    pub(crate) uploads: Uploads,
    pub(crate) file: Arc<File>,
    pub(crate) tls: Option<Arc<ServerConfig>>,
}

struct Connection {
    wire: Wire,
    shared: Arc<Shared>,
    pacer: Option<Pacer>,
}

/// Serves a connection until it ends.
///
/// # Errors
/// What the socket said, or what made no sense.
pub(crate) fn serve(stream: TcpStream, shared: Arc<Shared>) -> io::Result<()> {
    stream.set_read_timeout(Some(IDLE))?;
    stream.set_write_timeout(Some(IDLE))?;
    let pacer = shared.behaviour.bandwidth_per_connection.map(Pacer::new);
    let wire = Wire::new(stream, shared.tls.clone(), shared.file.clone())?;
    let mut connection = Connection { wire, shared, pacer };
    while let Some(request) = connection.request()? {
        let closes = request.closes;
        if connection.exchange(&request)? == Next::Reset {
            connection.shared.stats.torn();
            connection.wire.reset();
            return Ok(());
        }
        if closes {
            return Ok(());
        }
    }
    Ok(())
}

#[derive(PartialEq, Eq)]
enum Next {
    GoOn,
    Reset,
}

impl Connection {
    /// The next request; none when there is no more.
    fn request(&mut self) -> io::Result<Option<Request>> {
        loop {
            if let Some((request, length)) = Request::parse(self.wire.ahead())? {
                self.wire.consume(length);
                return Ok(Some(request));
            }
            if !self.wire.read_more()? {
                return Ok(None);
            }
        }
    }

    fn exchange(&mut self, request: &Request) -> io::Result<Next> {
        let shared = self.shared.clone();
        shared.stats.requested(request);
        let mut fate = shared.chance.next();
        if request.expects_continue {
            self.wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let behaviour = &shared.behaviour;
        let body = self.body(request)?;
        std::thread::sleep(behaviour.latency);
        if fate.has(behaviour.slow_down_rate) {
            shared.stats.refused();
            self.reply(Answer::error(503, "SlowDown", "Please reduce your request rate."), false)?;
            return Ok(Next::GoOn);
        }
        let answer = answer(request, &body, &shared.uploads);
        shared.stats.deleted(answer.deleted);
        shared.stats.told(answer.checksums);
        match &answer.verdict {
            Some(Ok(())) if behaviour.verify => shared.stats.verified(),
            Some(Err(what)) => shared.stats.complain(format!("{:?} {}: {what}", request.operation, request.key)),
            _ => {}
        }
        self.reply(answer, fate.has(behaviour.reset_rate))
    }

    /// Reads a body, or drops it.
    fn body(&mut self, request: &Request) -> io::Result<Body> {
        let is_upload = matches!(request.operation, Operation::PutObject | Operation::UploadPart);
        if is_upload && !self.shared.behaviour.verify && !request.chunked {
            let mut left = request.length;
            while left > 0 {
                let most = self.pace(left);
                let dropped = self.wire.drop_some(most)?;
                self.shared.stats.received(dropped);
                left -= dropped;
            }
            return Ok(Body { length: request.decoded_length.unwrap_or(request.length), ..Body::default() });
        }
        let paced = Paced { connection: self };
        let body = if request.chunked {
            let mut chunks = io::BufReader::new(Chunked::new(paced));
            let body = read(&mut chunks, request)?;
            // To the end of the chunks, trailers and all.
            io::copy(&mut chunks, &mut io::sink())?;
            body
        } else {
            let mut whole = paced.take(request.length);
            let body = read(&mut whole, request)?;
            io::copy(&mut whole, &mut io::sink())?;
            body
        };
        Ok(body)
    }

    /// How many of the next `left` bytes may pass now, after waiting for it.
    fn pace(&self, left: u64) -> u64 {
        let pacers = [self.pacer.as_ref(), self.shared.behaviour.bandwidth.as_ref()];
        if pacers.iter().all(Option::is_none) {
            return left;
        }
        let step = left.min(STEP);
        pacers.into_iter().flatten().for_each(|pacer| pacer.wait(step));
        step
    }

    /// Sends an answer, or the half of one.
    fn reply(&mut self, answer: Answer, tear: bool) -> io::Result<Next> {
        let (length, from, mut left) = match &answer.content {
            Content::Text(text) => (text.len() as u64, 0, 0),
            Content::Stream { from, length } => (*length, *from, *length),
            Content::Described(length) => (*length, 0, 0),
        };
        if tear {
            left /= 2;
        }
        let mut head = format!(
            "HTTP/1.1 {} {}\r\nServer: xfer-bench\r\nx-amz-request-id: 0\r\n{}",
            answer.status,
            reason(answer.status),
            answer.headers
        );
        if answer.status != 204 {
            head += &format!("Content-Length: {length}\r\n");
        }
        head += "\r\n";
        if let Content::Text(text) = &answer.content {
            if tear {
                return Ok(Next::Reset);
            }
            head += text;
        }
        // Paced bodies go in steps from their beginning.
        let together = if left > 0 { self.pace(left) } else { 0 };
        let mut at = from;
        let mut step = together;
        let sent = self.wire.send_head(head.as_bytes(), at, step)?;
        self.shared.stats.sent(sent);
        (at, left, step) = (at + sent, left - sent, step - sent);
        while left > 0 {
            if step == 0 {
                step = self.pace(left);
            }
            let sent = self.wire.send_stream(at, step)?;
            self.shared.stats.sent(sent);
            (at, left, step) = (at + sent, left - sent, step - sent);
        }
        Ok(if tear { Next::Reset } else { Next::GoOn })
    }
}

/// A body as it comes in, counted and paced.
struct Paced<'a> {
    connection: &'a mut Connection,
}

impl Read for Paced<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = self.connection.pace(buffer.len() as u64) as usize;
        let read = self.connection.wire.read(&mut buffer[..most])?;
        self.connection.shared.stats.received(read as u64);
        Ok(read)
    }
}

impl BufRead for Paced<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.connection.wire.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.connection.shared.stats.received(amount as u64);
        self.connection.wire.consume(amount);
    }
}

/// Reads a body of which HTTP's own chunks were taken off.
fn read(body: &mut impl BufRead, request: &Request) -> io::Result<Body> {
    if !matches!(request.operation, Operation::PutObject | Operation::UploadPart) {
        let mut text = Vec::new();
        body.take(LONGEST_TEXT).read_to_end(&mut text)?;
        let text = String::from_utf8(text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        return Ok(Body { length: text.len() as u64, text, sums: None });
    }
    if !request.aws_chunked {
        return digest(body, request.checksum.clone());
    }
    let announced = request.checksum.clone();
    let mut chunks = Chunked::new(body);
    let mut read = digest(&mut chunks, announced)?;
    if let Some(Sums { given: Some((given, _)), .. }) = &mut read.sums
        && given.in_trailer
        && let Some((_, value)) = chunks.trailers.into_iter().find(|(name, _)| name == given.header)
    {
        given.value = value;
    }
    Ok(read)
}

fn digest(body: &mut impl Read, given: Option<Given>) -> io::Result<Body> {
    let mut crc64 = Digest::new(ALGORITHM);
    let algorithm = given.as_ref().and_then(Given::algorithm);
    let mut other = algorithm.map(Digest::new);
    let mut block = vec![0; BLOCK];
    let mut length = 0;
    loop {
        let read = body.read(&mut block)?;
        if read == 0 {
            break;
        }
        length += read as u64;
        crc64.update(&block[..read]);
        if let Some(other) = &mut other {
            other.update(&block[..read]);
        }
    }
    let found = algorithm.zip(other).map(|(algorithm, digest)| base64_of(algorithm, digest.finalize()));
    let sums = Sums { crc64: crc64.finalize(), given: given.zip(found) };
    Ok(Body { length, text: String::new(), sums: Some(sums) })
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        206 => "Partial Content",
        400 => "Bad Request",
        404 => "Not Found",
        412 => "Precondition Failed",
        416 => "Range Not Satisfiable",
        503 => "Slow Down",
        _ => "Not Implemented",
    }
}
