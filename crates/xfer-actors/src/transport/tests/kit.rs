//! Loopback servers that follow a script, on the same thread as the client.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::transport::*;

/// Runs a test as a lane runs: one thread, a local set. The limit is real time, for when something hangs.
pub(super) fn lane<F: Future>(test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let watchdog = Watchdog::start();
    let out = tokio::task::LocalSet::new().block_on(&runtime, test);
    drop(watchdog);
    out
}

/// Ends the process if a test takes five minutes: tokio's clock may be paused, so its timers cannot do this.
struct Watchdog {
    _alive: std::sync::mpsc::Sender<()>,
}

impl Watchdog {
    fn start() -> Self {
        let (alive, gone) = std::sync::mpsc::channel::<()>();
        let name = std::thread::current().name().unwrap_or("?").to_owned();
        std::thread::spawn(move || {
            if gone.recv_timeout(Duration::from_secs(300)) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                let _ = io::Write::write_all(&mut io::stderr(), format!("{name} hangs\n").as_bytes());
                std::process::abort();
            }
        });
        Self { _alive: alive }
    }
}

/// A server that runs `script` for each connection, with its number from 0.
pub(super) async fn server<F, Fut>(script: F) -> SocketAddr
where
    F: Fn(usize, TcpStream) -> Fut + 'static,
    Fut: Future<Output = io::Result<()>> + 'static,
{
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            tokio::task::spawn_local(script(number, stream));
        }
    });
    address
}

/// A server that answers every request (without a body) with these bytes, however often it is asked, and never closes.
pub(super) async fn answering(answer: impl Into<Vec<u8>>) -> SocketAddr {
    let answer: Arc<Vec<u8>> = Arc::new(answer.into());
    server(move |_, mut stream| {
        let answer = Arc::clone(&answer);
        async move {
            while read_request(&mut stream).await?.is_some() {
                stream.write_all(&answer).await?;
            }
            Ok(())
        }
    })
    .await
}

/// The next request head, `None` if the client closed first.
pub(super) async fn read_request(stream: &mut TcpStream) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(e) => return Err(e),
        }
    }
    Ok(Some(String::from_utf8(head).unwrap()))
}

/// Time for what others do to be heard of here: many short waits, each with a look at the sockets. One long wait would not do where a busy
/// machine holds this thread up for as long: then it is over before anything was looked at.
pub(super) async fn a_while() {
    for _ in 0..30 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Reset instead of a proper close.
pub(super) fn reset(stream: TcpStream) {
    stream.set_zero_linger().unwrap();
    drop(stream);
}

pub(super) fn origin(address: SocketAddr) -> Origin {
    Origin::new(Scheme::Http, &address.ip().to_string(), address.port()).unwrap()
}

pub(super) fn pool(config: TransportConfig) -> Pool {
    Pool::new(SharedTransport::new(config).unwrap())
}

pub(super) fn plain_pool() -> Pool {
    pool(TransportConfig::default())
}

/// Sends a GET without a body.
pub(super) async fn ask(connection: &mut Connection) {
    let mut head = Vec::new();
    connection.encode_head(&mut head, "GET", "/b/k", [("host", "h")]).unwrap();
    assert_eq!(connection.send(&[&head]).await.unwrap(), Sent::Whole);
}

/// One whole GET: status and body.
pub(super) async fn get(pool: &Pool, origin: &Origin) -> Result<(u16, Vec<u8>), TransportError> {
    let mut connection = pool.checkout(origin).await?;
    ask(&mut connection).await;
    let head = connection.read_head(false).await?;
    let body = connection.read_body(1 << 30).await?;
    connection.release();
    Ok((head.status(), body))
}

/// Bytes that differ everywhere, so that a piece at the wrong place shows.
pub(super) fn pattern(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(len);
    out
}

/// What a [`Names`] was told to say next.
type Script = Vec<io::Result<Vec<IpAddr>>>;

/// A resolver with answers to give, the last of them again and again; counts how often it is asked.
#[derive(Debug, Default)]
pub(super) struct Names {
    answers: Mutex<HashMap<String, Script>>,
    asked: Mutex<usize>,
}

impl Names {
    pub(super) fn one(host: &str, addresses: &[&str]) -> Arc<Self> {
        let names = Self::default();
        names.then(host, Ok(addresses));
        Arc::new(names)
    }

    pub(super) fn then(&self, host: &str, answer: Result<&[&str], &str>) {
        let answer = match answer {
            Ok(addresses) => Ok(addresses.iter().map(|a| a.parse().unwrap()).collect()),
            Err(text) => Err(io::Error::other(text.to_owned())),
        };
        self.answers.lock().entry(host.to_owned()).or_default().push(answer);
    }

    pub(super) fn asked(&self) -> usize {
        *self.asked.lock()
    }
}

impl Resolve for Names {
    fn resolve<'a>(&'a self, host: &'a str) -> ResolveFuture<'a> {
        *self.asked.lock() += 1;
        let mut answers = self.answers.lock();
        let answer = match answers.get_mut(host) {
            Some(script) if script.len() > 1 => script.remove(0),
            Some(script) => match &script[0] {
                Ok(addresses) => Ok(addresses.clone()),
                Err(e) => Err(io::Error::other(e.to_string())),
            },
            None => Err(io::Error::new(io::ErrorKind::NotFound, "no such name")),
        };
        Box::pin(async move {
            tokio::task::yield_now().await;
            answer
        })
    }
}
