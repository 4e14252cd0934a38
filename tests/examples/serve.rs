//! The test kit's server as a process of its own: for measuring a client from outside, and for trying things by hand.
//!
//! ```text
//! cargo run -p xfer-tests --example serve [-- [--storage-dir DIR] [--fast-etags] [--tls]]
//! ```
//!
//! Prints one line of JSON with what a client needs (`endpoint`, `region`, `bucket`, `access_key`, `secret_key`, and `ca_bundle` with
//! `--tls`), and serves until its standard input is closed. Never listens on anything but 127.0.0.1.

use std::error::Error;
use std::io::{self, Write};

use xfer_tests::{TestServer, TestServerBuilder};

fn main() -> Result<(), Box<dyn Error>> {
    let server = builder(std::env::args().skip(1))?.start();
    let description = serde_json::json!({
        "endpoint": server.endpoint_url(),
        "region": server.region(),
        "bucket": server.bucket(),
        "access_key": server.access_key(),
        "secret_key": server.secret_key(),
        "ca_bundle": server.ca_pem_path(),
    });
    let mut stdout = io::stdout();
    writeln!(stdout, "{description}")?;
    stdout.flush()?;
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

/// The server that the arguments ask for.
fn builder(mut arguments: impl Iterator<Item = String>) -> Result<TestServerBuilder, Box<dyn Error>> {
    let mut builder = TestServer::builder();
    while let Some(argument) = arguments.next() {
        builder = match argument.as_str() {
            "--storage-dir" => builder.storage_dir(arguments.next().ok_or("--storage-dir needs a directory")?),
            "--fast-etags" => builder.fast_etags(),
            "--tls" => builder.tls(),
            unknown => return Err(format!("unknown argument {unknown}").into()),
        };
    }
    Ok(builder)
}
