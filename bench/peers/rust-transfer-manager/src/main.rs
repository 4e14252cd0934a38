//! aws-sdk-s3-transfer-manager, told what to do in the words of the other peers: automatic concurrency, parts of 8 MiB, jemalloc.

use std::error::Error;

use aws_sdk_s3_transfer_manager::io::InputStream;
use aws_sdk_s3_transfer_manager::types::PartSize;
use aws_sdk_s3_transfer_manager::{Client, Config};

/// What its authors measure it with. How they set it up, `xfer-bench run` says in the environment, as `_RJEM_MALLOC_CONF`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Bytes of a part.
const PART: u64 = 8 << 20;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

async fn client() -> Result<Client> {
    let shared = aws_config::from_env().endpoint_url(std::env::var("ENDPOINT")?).load().await;
    let s3 = aws_sdk_s3::config::Builder::from(&shared).force_path_style(true);
    Ok(Client::new(Config::builder().s3_config(s3).part_size(PartSize::Target(PART)).build()))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let bucket = std::env::var("BUCKET").unwrap_or_default();
    match words[..] {
        ["version"] => println!("aws-sdk-s3-transfer-manager 0.3.1"),
        ["get", key, file] => {
            client().await?.download().bucket(bucket).key(key).write_to_path(file).await?.join().await?;
        }
        ["put", file, key] => {
            let body = InputStream::from_path(file)?;
            client().await?.upload().bucket(bucket).key(key).body(body).initiate()?.join().await?;
        }
        ["get-many", prefix, count, folder] => {
            std::fs::create_dir_all(folder)?;
            let call = client().await?.download_objects().bucket(bucket).key_prefix(prefix).destination(folder);
            let done = call.initiate()?.join().await?.objects_downloaded();
            all(done, count)?;
        }
        ["put-many", folder, count, prefix] => {
            let call = client().await?.upload_objects().bucket(bucket).source(folder).key_prefix(prefix);
            let done = call.initiate()?.join().await?.objects_uploaded();
            all(done, count)?;
        }
        _ => return Err("unknown words".into()),
    }
    Ok(())
}

fn all(done: u64, count: &str) -> Result<()> {
    if done == count.parse::<u64>()? { Ok(()) } else { Err(format!("only {done} of {count}").into()) }
}
