//! 256 MiB to an S3 store and back, with nothing installed and nothing configured:
//!
//! ```sh
//! cargo run --release --example quickstart
//! ```
//!
//! The store is the test kit's S3 server, in this process, on a free port of the loopback interface. It checks signatures, checksums and
//! part lists as S3 does, so what is shown here is the whole way of an object, not a shortcut. The rates are those of one machine that is
//! client and server at once.
#![allow(clippy::print_stdout, reason = "an example that tells what it does")]

use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use aws_credential_types::Credentials;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use sha2::{Digest, Sha256};
use xfer_facade::{
    ErrorKind, RequestSerializer, Shutdown, Subscriber, TransferManager, create_s3_client, on_progress_fn,
};
use xfer_tests::{TestServer, pattern};

const SIZE: u64 = 256 << 20;
const KEY: &str = "quickstart/first-object.bin";

fn main() -> Result<(), Box<dyn Error>> {
    // Removed at the end, whatever the end is.
    let folder = tempfile::tempdir()?;
    let (source, copy) = (folder.path().join("source.bin"), folder.path().join("copy.bin"));

    println!("\nxfer quickstart: {} to an S3 store and back\n", HumanBytes(SIZE));
    let server = TestServer::builder().storage_dir(folder.path().join("store")).fast_etags().start();
    println!("  server    {} in this process, signatures checked", server.endpoint_url());
    let begun = Instant::now();
    pattern::file(&source, 1, SIZE)?;
    println!("  file      {} made in {:.2} s", HumanBytes(SIZE), begun.elapsed().as_secs_f64());

    // From here on it is what a program of yours would do.
    let client = create_s3_client(server.region())
        .endpoint_url(server.endpoint_url())
        .path_style(true)
        .credentials(Credentials::from_keys(server.access_key(), server.secret_key(), None))
        .build()?;
    let manager = TransferManager::new(&client, RequestSerializer::for_client(&client));

    let bar = bar("upload");
    let upload = manager.upload(&source, server.bucket(), KEY).subscriber(moves(&bar)).start()?;
    let sent = upload.result(None)?;
    bar.finish_and_clear();
    println!("  upload    {}", rate(sent.bytes, sent.elapsed));
    println!("            verified: {}; {} requests, {} of them repeated", sent.verified, sent.attempts, sent.retries);

    let bar = self::bar("download");
    let download = manager.download(server.bucket(), KEY, &copy).subscriber(moves(&bar)).start()?;
    let received = download.result(None)?;
    bar.finish_and_clear();
    println!("  download  {}", rate(received.bytes, received.elapsed));
    println!(
        "            verified: {}; {} requests, {} of them repeated",
        received.verified, received.attempts, received.retries
    );

    let (before, after) = (sha256(&source)?, sha256(&copy)?);
    if before != after {
        return Err(format!("the copy differs: SHA-256 {after} instead of {before}").into());
    }
    println!("  compare   both files have SHA-256 {}..", &before[..24]);

    manager.delete(server.bucket(), KEY).start()?.result(None)?;
    match manager.download(server.bucket(), KEY, &copy).start()?.result(None) {
        Err(error) if error.kind() == ErrorKind::NoSuchKey => println!("  delete    the object is gone"),
        Err(error) => return Err(error.into()),
        Ok(_) => return Err("the object is still there".into()),
    }

    manager.shutdown(Shutdown::Drain)?;
    if !server.open_uploads().is_empty() {
        return Err("an upload was left open".into());
    }
    println!(
        "  clean-up  no upload left open, temporary files removed; at most {} connections, {} threads\n",
        client.peak_connections(),
        client.num_threads()
    );
    Ok(())
}

/// A bar that is drawn if standard error is a terminal.
fn bar(name: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("  {msg:9} [{bar:32}] {bytes:>10} of {total_bytes}  {bytes_per_sec}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(SIZE).with_style(style.progress_chars("=> ")).with_message(name)
}

/// Moves the bar along with a transfer.
fn moves(bar: &ProgressBar) -> impl Subscriber + use<> {
    let bar = bar.clone();
    on_progress_fn(move |_transfer, bytes| bar.inc(bytes))
}

fn rate(bytes: u64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    let per_second = (bytes as f64 / seconds.max(1e-6)) as u64;
    format!("{} in {seconds:.2} s: {}/s", HumanBytes(bytes), HumanBytes(per_second))
}

fn sha256(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let (mut hash, mut block) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut block)? {
            0 => break,
            read => hash.update(&block[..read]),
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
