//! An HTTP proxy that leads to one server, whatever host it is asked for: how clients reach the server by the names of AWS.
//!
//! `CONNECT` opens a tunnel; anything else is passed on as it comes, its target in absolute form, which the server understands. One
//! connection to the proxy is one to the server. Listens on a free port of 127.0.0.1 only; dropping it closes everything.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{self, Runtime};

/// The longest head of a first request, in bytes.
const HEAD: usize = 64 * 1024;

/// A running proxy.
///
/// ```
/// use xfer_tests::{TestProxy, TestServer};
/// let server = TestServer::start();
/// let proxy = TestProxy::to(server.address());
/// assert!(proxy.url().starts_with("http://127.0.0.1:"));
/// assert_eq!(proxy.asked_for(), Vec::<String>::new());
/// ```
#[derive(Debug)]
pub struct TestProxy {
    address: SocketAddr,
    asked_for: Arc<Mutex<Vec<String>>>,
    runtime: Option<Runtime>,
}

impl TestProxy {
    /// Starts a proxy to `server`.
    ///
    /// # Panics
    /// If no loopback port or thread can be had.
    #[must_use]
    pub fn to(server: SocketAddr) -> Self {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("test-proxy")
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).expect("a free port on 127.0.0.1");
        let address = listener.local_addr().expect("a bound address");
        let asked_for = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked_for);
        runtime.spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((client, _)) => drop(tokio::spawn(serve(client, server, Arc::clone(&log)))),
                    // Out of descriptors, most likely: others must close first.
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        });
        Self { address, asked_for, runtime: Some(runtime) }
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Host and port that each connection was for, in order: of a tunnel, or of the first request.
    #[must_use]
    pub fn asked_for(&self) -> Vec<String> {
        self.asked_for.lock().clone()
    }
}

impl Drop for TestProxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn serve(mut client: TcpStream, server: SocketAddr, log: Arc<Mutex<Vec<String>>>) -> io::Result<()> {
    let mut head = Vec::new();
    let end = loop {
        if let Some(at) = head.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if head.len() > HEAD || client.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    };
    let line = String::from_utf8_lossy(&head[..end]).lines().next().unwrap_or_default().to_owned();
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let tunnel = method == "CONNECT";
    let authority = match target.split_once("://") {
        Some((_, rest)) => rest.split('/').next().unwrap_or_default(),
        None => target,
    };
    log.lock().push(authority.to_owned());
    let mut upstream = TcpStream::connect(server).await?;
    // Without it a small request may wait 40 ms for a delayed acknowledgement.
    client.set_nodelay(true)?;
    upstream.set_nodelay(true)?;
    if tunnel {
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
        upstream.write_all(&head[end..]).await?;
    } else {
        upstream.write_all(&head).await?;
    }
    copy_bidirectional(&mut client, &mut upstream).await.map(drop)
}
