//! An upload from a plain program: no async in sight.
//!
//! ```sh
//! cargo run --release --example sync_upload                          # to a server in this process
//! cargo run --release --example sync_upload -- FILE BUCKET KEY       # to AWS, with its standard environment and profile files
//! ```
#![allow(clippy::print_stdout, reason = "an example that tells what it does")]

use std::error::Error;

use aws_credential_types::Credentials;
use xfer_facade::{
    Error as TransferError, RequestSerializer, S3Client, TransferManager, create_s3_client, on_progress_fn,
};
use xfer_tests::TestServer;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [file, bucket, key] => {
            // An empty region is looked up where AWS has it: environment and profile.
            upload(&create_s3_client("").build()?, file, bucket, key)?;
        }
        [] => {
            let server = TestServer::start();
            let client = create_s3_client(server.region())
                .endpoint_url(server.endpoint_url())
                .path_style(true)
                .credentials(Credentials::from_keys(server.access_key(), server.secret_key(), None))
                .build()?;
            let folder = tempfile::tempdir()?;
            let file = folder.path().join("words.txt");
            std::fs::write(&file, "all in good time\n".repeat(1_000_000))?;
            upload(&client, &file.to_string_lossy(), server.bucket(), "words.txt")?;
        }
        _ => return Err("give FILE BUCKET KEY, or nothing".into()),
    }
    Ok(())
}

fn upload(client: &S3Client, file: &str, bucket: &str, key: &str) -> Result<(), TransferError> {
    // The scope waits for everything at its end, and cancels it if the body fails.
    TransferManager::scope(client, RequestSerializer::for_client(client), |manager| {
        let call = manager.upload(file, bucket, key);
        let progress = on_progress_fn(|transfer, _more| {
            let all = transfer.size().unwrap_or_default();
            println!("{} of {all} bytes", transfer.bytes_transferred());
        });
        let outcome = call.subscriber(progress).start()?.result(None)?;
        println!("s3://{bucket}/{key}: {} bytes, verified: {}", outcome.bytes, outcome.verified);
        Ok(())
    })
}
