//! `xfer-bench serve`: an S3 server that does next to nothing, so that what is measured is the client.
//!
//! Objects are made up from their keys ([`crate::stream`]), uploads are dropped, any signature will do. A thread for each connection, which
//! sleeps in the kernel while bytes move. It is a tool for measuring on one machine: it listens on the loopback only.

mod answer;
mod chance;
mod connection;
mod pace;
mod request;
pub(crate) mod stats;
mod tls;
mod uploads;
mod wire;

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use xfer_core::units;

use self::chance::Chance;
use self::connection::{Behaviour, Shared};
use self::pace::Pacer;

pub(crate) use self::request::base64_of;

/// Enough for a connection's calls; its buffers are elsewhere.
const STACK: usize = 256 << 10;
/// Longest time for a request to the stats endpoint.
const CONTROL: Duration = Duration::from_secs(10);

/// Words of `xfer-bench serve`.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Args {
    /// Port of the S3 endpoint on 127.0.0.1; 0 for any that is free
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Milliseconds before each answer
    #[arg(long, default_value_t = 0, value_name = "MS")]
    latency: u64,
    /// Bytes per second of each connection, such as 60MB/s
    #[arg(long, value_name = "RATE", value_parser = units::parse_rate)]
    bandwidth_per_connection: Option<u64>,
    /// Bytes per second of all connections together
    #[arg(long, value_name = "RATE", value_parser = units::parse_rate)]
    bandwidth: Option<u64>,
    /// Part of the requests that are answered with 503 SlowDown, from 0 to 1; their bodies are read first
    #[arg(long, default_value_t = 0.0, value_name = "PART")]
    slow_down_rate: f64,
    /// Part of the answers that are torn off in the middle by a reset, from 0 to 1
    #[arg(long, default_value_t = 0.0, value_name = "PART")]
    reset_rate: f64,
    /// Seed of what is left to chance; `POST /reset` begins with it anew, `POST /reset?seed=N` with another
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Check every byte, checksum and part list of uploads; not for timing
    #[arg(long)]
    verify: bool,
    /// Speak TLS, and write the CA to trust to this file
    #[arg(long, value_name = "CA-FILE")]
    tls: Option<PathBuf>,
    /// End when standard input ends
    #[arg(long)]
    until_stdin_ends: bool,
}

/// The line that the server prints when it is ready.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Ready {
    /// URL for S3 clients.
    pub(crate) endpoint: String,
    /// Address of the stats endpoint, plain HTTP: `GET /stats`, `POST /reset`. Its connections are not counted.
    pub(crate) control: String,
}

/// Serves until the process ends.
///
/// # Errors
/// When it cannot listen, or has no memory or thread to begin with.
pub(crate) fn run(args: &Args) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, args.port))?;
    let control = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let tls = args.tls.as_deref().map(tls::configure).transpose()?;
    let port = listener.local_addr()?.port();
    let endpoint = match tls {
        // By name: some clients do not look for an address in a certificate.
        Some(_) => format!("https://localhost:{port}"),
        None => format!("http://127.0.0.1:{port}"),
    };
    let behaviour = Behaviour {
        latency: Duration::from_millis(args.latency),
        bandwidth_per_connection: args.bandwidth_per_connection,
        bandwidth: args.bandwidth.map(Pacer::new),
        slow_down_rate: args.slow_down_rate,
        reset_rate: args.reset_rate,
        verify: args.verify,
    };
    let shared = Arc::new(Shared {
        behaviour,
        stats: stats::Stats::default(),
        chance: Chance::new(args.seed),
        uploads: uploads::Uploads::default(),
        file: Arc::new(wire::memory_file()?),
        tls,
    });
    let ready = Ready { endpoint, control: control.local_addr()?.to_string() };
    let for_control = shared.clone();
    std::thread::Builder::new().name("control".to_owned()).spawn(move || answer_control(&control, &for_control))?;
    if args.until_stdin_ends {
        std::thread::Builder::new().name("stdin".to_owned()).spawn(|| {
            // However it ends, whoever started this is gone.
            let _ = io::copy(&mut io::stdin(), &mut io::sink());
            std::process::exit(0);
        })?;
    }
    let mut out = io::stdout();
    writeln!(out, "{}", serde_json::to_string(&ready)?)?;
    out.flush()?;
    accept(&listener, &shared)
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept()?;
        let shared = shared.clone();
        std::thread::Builder::new().stack_size(STACK).spawn(move || {
            shared.stats.connected();
            // Clients come and go as they like; what they did wrong is in the stats.
            let _ = connection::serve(stream, shared.clone());
            shared.stats.disconnected();
        })?;
    }
}

fn answer_control(listener: &TcpListener, shared: &Shared) {
    while let Ok((stream, _)) = listener.accept() {
        // Whoever asked notices.
        let _ = control(stream, shared);
    }
}

fn control(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_read_timeout(Some(CONTROL))?;
    stream.set_write_timeout(Some(CONTROL))?;
    let mut reader = BufReader::new((&stream).take(8 << 10));
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut header = String::new();
    while reader.read_line(&mut header)? > 2 {
        header.clear();
    }
    let text = match line.trim_end().strip_suffix(" HTTP/1.1") {
        Some("GET /stats") => serde_json::to_string(&shared.stats.report())?,
        Some(line) if line.starts_with("POST /reset") => {
            shared.stats.reset();
            shared.chance.restart(line.split_once("?seed=").and_then(|(_, seed)| seed.parse().ok()));
            "{}".to_owned()
        }
        _ => return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
    };
    let length = text.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
    )
}
