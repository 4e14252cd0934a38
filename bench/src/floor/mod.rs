//! `xfer-bench floor`: a bare loop that does what a client of S3 has to, and nothing else.
//!
//! Blocking sockets, one thread for each, a buffer of 256 KiB, a CRC64NVME of all bytes while they are in the cache, and a request's bytes with a
//! fixed signature. It opens and seals TLS records in place. It never retries and never adapts: what it costs is what the kernel, the
//! checksum and the cipher cost when work is shared out like that. Fewer connections or other buffers may cost less.

mod connection;
mod large;
mod many;
mod records;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Subcommand;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use xfer_core::units;

use self::connection::{Connection, Head};

/// As long as a signature is, and never looked at.
const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20260101/us-east-1/s3/aws4_request, \
    SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=0000000000000000000000000000000000000000000000000000000000000000";

/// Words of `xfer-bench floor`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    options: Options,
}

#[derive(Subcommand)]
enum Command {
    /// Download an object to a file
    Get { key: String, file: PathBuf },
    /// Upload a file in parts
    Put { file: PathBuf, key: String },
    /// Download the objects PREFIX000000 and so on to files of these names
    GetMany { prefix: String, count: u64, folder: PathBuf },
    /// Upload the files 000000 and so on
    PutMany { folder: PathBuf, count: u64, prefix: String },
    /// Delete the objects PREFIX000000 and so on
    DeleteMany { prefix: String, count: u64 },
}

#[derive(clap::Args)]
struct Options {
    /// URL of the server, with a port
    #[arg(long, global = true, default_value = "http://127.0.0.1:9000")]
    endpoint: String,
    #[arg(long, global = true, default_value = "bench")]
    bucket: String,
    /// PEM file of the CA to trust
    #[arg(long, global = true)]
    ca: Option<PathBuf>,
    /// Connections, and threads
    #[arg(long, global = true, default_value_t = 8)]
    connections: u64,
    /// Bytes of each connection's buffer
    #[arg(long, global = true, default_value = "256KiB", value_parser = units::parse_bytes)]
    buffer: u64,
    /// Bytes of each part
    #[arg(long, global = true, default_value = "8MiB", value_parser = units::parse_bytes)]
    part: u64,
    /// Write downloads around the page cache, 1 MiB at a time
    #[arg(long, global = true)]
    direct: bool,
}

/// Where to, and how.
pub(crate) struct Target {
    host: String,
    port: u16,
    bucket: String,
    tls: Option<Arc<ClientConfig>>,
    buffer: usize,
    connections: u64,
    part: u64,
    direct: bool,
}

/// Does one thing and ends.
///
/// # Errors
/// Whatever went wrong first.
pub(crate) fn run(args: Args) -> io::Result<()> {
    let target = Target::new(args.options)?;
    match args.command {
        Command::Get { key, file } => large::get(&target, &key, &file),
        Command::Put { file, key } => large::put(&target, &file, &key),
        Command::GetMany { prefix, count, folder } => many::get(&target, &prefix, count, &folder),
        Command::PutMany { folder, count, prefix } => many::put(&target, &folder, count, &prefix),
        Command::DeleteMany { prefix, count } => many::delete(&target, &prefix, count),
    }
}

impl Target {
    fn new(options: Options) -> io::Result<Self> {
        let wrong = || {
            io::Error::new(io::ErrorKind::InvalidInput, "the endpoint has to be http://HOST:PORT or https://HOST:PORT")
        };
        let (scheme, authority) = options.endpoint.split_once("://").ok_or_else(wrong)?;
        let (host, port) = authority.trim_end_matches('/').rsplit_once(':').ok_or_else(wrong)?;
        let tls = (scheme == "https").then(|| trust(options.ca)).transpose()?;
        Ok(Self {
            host: host.to_owned(),
            port: port.parse().map_err(|_| wrong())?,
            bucket: options.bucket,
            tls,
            buffer: options.buffer as usize,
            connections: options.connections.max(1),
            part: options.part.max(1),
            direct: options.direct,
        })
    }

    /// A request's head: its method, what stands behind the bucket, and lines of its own.
    fn request(&self, method: &str, path: &str, lines: &str) -> Vec<u8> {
        format!(
            "{method} /{}/{path} HTTP/1.1\r\nHost: {}:{}\r\nx-amz-date: 20260101T000000Z\r\nx-amz-content-sha256: UNSIGNED-PAYLOAD\r\n\
             Authorization: {AUTHORIZATION}\r\n{lines}\r\n",
            self.bucket, self.host, self.port
        )
        .into_bytes()
    }

    /// Runs `work` on every connection's thread; the first error ends the program's.
    fn on_each(&self, threads: u64, work: impl Fn(&mut Connection) -> io::Result<()> + Sync) -> io::Result<()> {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads)
                .map(|_| scope.spawn(|| Connection::open(self).and_then(|mut connection| work(&mut connection))))
                .collect();
            threads
                .into_iter()
                .try_for_each(|thread| thread.join().map_err(|_| io::Error::other("a thread panicked"))?)
        })
    }
}

impl Connection {
    /// Waits for an answer that is not a refusal.
    fn good_head(&mut self) -> io::Result<Head> {
        let head = self.head()?;
        if head.status / 100 == 2 {
            return Ok(head);
        }
        let text = self.text(head.length).unwrap_or_default();
        Err(io::Error::other(format!("refused with {}: {text}", head.status)))
    }
}

fn trust(ca: Option<PathBuf>) -> io::Result<Arc<ClientConfig>> {
    let ca = ca.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "https needs --ca"))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).map_err(io::Error::other)? {
        roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.enable_secret_extraction = true;
    Ok(Arc::new(config))
}
