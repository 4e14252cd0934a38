//! Peers that speak just enough HTTP for a test to say every word: a server that answers what a closure says, and a proxy.
//!
//! Each has threads of its own and listens on a free port of 127.0.0.1; dropping it closes everything.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use tokio::net::TcpSocket;

use super::LIMIT;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// Path and query, or the whole URL if a proxy was meant.
    pub(crate) target: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Access key and region that it is signed with.
    pub(crate) fn signed_by(&self) -> Option<(&str, &str)> {
        let scope = self.header("authorization")?.split("Credential=").nth(1)?.split(',').next()?;
        let mut scope = scope.split('/');
        Some((scope.next()?, scope.nth(1)?))
    }
}

/// What is answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Answer {
    pub(crate) fn new(status: u16) -> Answer {
        Answer { status, headers: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Answer {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Answer {
        self.body = body.into();
        self
    }

    /// A refusal as S3 words it, with more elements behind code and message.
    pub(crate) fn refusal(status: u16, code: &str, more: &str) -> Answer {
        let xml = format!("<Error><Code>{code}</Code><Message>Words of the store.</Message>{more}</Error>");
        Answer::new(status).header("content-type", "application/xml").body(xml)
    }
}

type Handler = dyn Fn(&Asked) -> Answer + Send + Sync;

enum Role {
    Server(Box<Handler>),
    /// Forwards, for who shows these credentials.
    Proxy(Option<String>),
}

struct Shared {
    role: Role,
    asked: Mutex<Vec<Asked>>,
    open: Mutex<Vec<TcpStream>>,
    accepted: AtomicUsize,
    stopped: AtomicBool,
}

/// A server or a proxy.
pub(crate) struct Peer {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

impl Peer {
    /// A server. It can stand for a proxy of plain HTTP as well: then the target is the whole URL.
    pub(crate) fn server(handler: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Peer {
        Peer::start(Role::Server(Box::new(handler)))
    }

    /// A proxy that forwards requests and opens tunnels, if `Proxy-Authorization` is what is given here.
    pub(crate) fn proxy(authorization: Option<&str>) -> Peer {
        Peer::start(Role::Proxy(authorization.map(str::to_owned)))
    }

    fn start(role: Role) -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            role,
            asked: Mutex::default(),
            open: Mutex::default(),
            accepted: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
        });
        let accepting = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                while let Ok((stream, _)) = listener.accept() {
                    if shared.stopped.load(Ordering::SeqCst) {
                        return;
                    }
                    shared.accepted.fetch_add(1, Ordering::SeqCst);
                    shared.keep(&stream);
                    let shared = Arc::clone(&shared);
                    // Ends with its connection, which is closed at the latest when the peer is dropped.
                    std::thread::spawn(move || shared.serve(stream));
                }
            }
        });
        Peer { address, shared, accepting: Some(accepting) }
    }

    /// `127.0.0.1:port`.
    pub(crate) fn authority(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().clone()
    }

    /// How many connections were made to it.
    pub(crate) fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
        for stream in self.shared.open.lock().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

/// An address that refuses connections, for as long as this is there: the port is taken, and nobody listens. One that was let go of could be
/// given to somebody else, or to the very connection that is to be refused.
pub(crate) struct Refusing(TcpSocket);

impl Refusing {
    pub(crate) fn new() -> Refusing {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        Refusing(socket)
    }

    /// `127.0.0.1:port`.
    pub(crate) fn authority(&self) -> String {
        self.0.local_addr().unwrap().to_string()
    }
}

impl Shared {
    fn keep(&self, stream: &TcpStream) {
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_write_timeout(Some(LIMIT)).unwrap();
        stream.set_nodelay(true).unwrap();
        self.open.lock().push(stream.try_clone().unwrap());
    }

    /// Errors are those of a client that has gone.
    fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut stream = stream;
        loop {
            let asked = read(&mut reader, &mut stream).ok()??;
            self.asked.lock().push(asked.clone());
            match &self.role {
                Role::Server(handler) => write(&mut stream, &asked, &handler(&asked)).ok()?,
                Role::Proxy(Some(wanted)) if asked.header("proxy-authorization") != Some(wanted) => {
                    let challenge = Answer::new(407).header("proxy-authenticate", "Basic realm=\"test\"");
                    write(&mut stream, &asked, &challenge).ok()?;
                }
                Role::Proxy(_) if asked.method == "CONNECT" => return self.tunnel(&asked.target, reader, stream),
                Role::Proxy(_) => return self.forward(&asked, stream),
            }
        }
    }

    fn tunnel(&self, to: &str, mut reader: BufReader<TcpStream>, mut stream: TcpStream) -> Option<()> {
        let mut origin = TcpStream::connect(to).ok()?;
        self.keep(&origin);
        stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").ok()?;
        let mut up = origin.try_clone().ok()?;
        let back = std::thread::spawn(move || {
            let _ = io::copy(&mut origin, &mut stream);
            let _ = stream.shutdown(Shutdown::Write);
        });
        let _ = io::copy(&mut reader, &mut up);
        let _ = up.shutdown(Shutdown::Write);
        back.join().ok()
    }

    /// Sends the request on, as the last one of its connection.
    fn forward(&self, asked: &Asked, mut stream: TcpStream) -> Option<()> {
        let rest = asked.target.strip_prefix("http://")?;
        let (authority, path) = rest.split_at(rest.find('/')?);
        let mut origin = TcpStream::connect(authority).ok()?;
        self.keep(&origin);
        let mut head = format!("{} {path} HTTP/1.1\r\n", asked.method);
        for (name, value) in &asked.headers {
            if !["proxy-authorization", "connection"].contains(&name.as_str()) {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        head.push_str("connection: close\r\n\r\n");
        origin.write_all(head.as_bytes()).ok()?;
        origin.write_all(&asked.body).ok()?;
        io::copy(&mut origin, &mut stream).ok()?;
        stream.shutdown(Shutdown::Both).ok()
    }
}

/// `None` at the end of the connection.
fn read(reader: &mut impl BufRead, stream: &mut impl Write) -> io::Result<Option<Asked>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut asked = Asked { method, target, headers, body: Vec::new() };
    if asked.header("expect").is_some() {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let length = asked.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    asked.body = vec![0; length];
    reader.read_exact(&mut asked.body)?;
    Ok(Some(asked))
}

fn write(stream: &mut impl Write, asked: &Asked, answer: &Answer) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {} Word\r\ncontent-length: {}\r\n", answer.status, answer.body.len());
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    if asked.method != "HEAD" {
        bytes.extend_from_slice(&answer.body);
    }
    stream.write_all(&bytes)
}
