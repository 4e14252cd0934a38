//! A download as a stream, in a tokio program: hashed as it comes, never in memory as a whole.
//!
//! ```sh
//! cargo run --release --example stream
//! ```
#![allow(clippy::print_stdout, reason = "an example that tells what it does")]

use std::error::Error;

use aws_credential_types::Credentials;
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use xfer_facade::{RequestSerializer, Shutdown, TransferManager, create_s3_client};
use xfer_tests::{TestServer, pattern};

const SIZE: usize = 48 << 20;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = TestServer::start();
    let data = pattern::bytes(1, SIZE);
    let wanted = Sha256::digest(&data);
    server.put_object(server.bucket(), "log", data);

    let client = create_s3_client(server.region())
        .endpoint_url(server.endpoint_url())
        .path_style(true)
        .credentials(Credentials::from_keys(server.access_key(), server.secret_key(), None))
        // Parts that came before their turn wait in memory: this is how much of it they may take.
        .memory_limit(32 << 20)
        .build()?;
    let manager = TransferManager::new(&client, RequestSerializer::for_client(&client));

    let mut stream = manager.download_stream(server.bucket(), "log");
    let (mut hash, mut bytes, mut pieces) = (Sha256::new(), 0, 0);
    // Pieces come in order, fetched in parallel ahead of the loop, and no further ahead than the limit allows. The end comes only
    // after the whole object was verified; if it cannot be, the last piece is an error.
    while let Some(piece) = stream.next().await {
        let piece = piece?;
        hash.update(&piece);
        bytes += piece.len();
        pieces += 1;
    }
    if hash.finalize() != wanted || bytes != SIZE {
        return Err("what came is not what was stored".into());
    }
    println!("{bytes} bytes in {pieces} pieces, hashed on the way: the same as what was stored");
    manager.shutdown_async(Shutdown::Drain).await?;
    Ok(())
}
