//! object_store, told what to do in the words of the other peers. Its bodies are not hashed for the signature; uploads carry CRC64NVME.

use std::error::Error;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::aws::{AmazonS3Builder, Checksum};
use object_store::path::Path;
use object_store::{Certificate, ClientOptions, ObjectStore, ObjectStoreExt as _, PutPayload};
use tokio::task::spawn_blocking;

/// Bytes of a part.
const PART: u64 = 8 << 20;
/// Parts at a time.
const PARTS: usize = 16;
/// Small objects at a time.
const OBJECTS: usize = 32;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn store() -> Result<Arc<dyn ObjectStore>> {
    let mut options = ClientOptions::new().with_allow_http(true);
    if let Some(ca) = std::env::var_os("CA") {
        options = options.with_root_certificate(Certificate::from_pem(&std::fs::read(ca)?)?);
    }
    let store = AmazonS3Builder::from_env()
        .with_endpoint(std::env::var("ENDPOINT")?)
        .with_bucket_name(std::env::var("BUCKET")?)
        .with_client_options(options)
        .with_unsigned_payload(true)
        .with_checksum_algorithm(Checksum::CRC64NVME)
        .build()?;
    Ok(Arc::new(store))
}

#[tokio::main]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["version"] => println!("object_store 0.14.2"),
        ["get", key, file] => get(store()?, key, file).await?,
        ["put", file, key] => put(store()?, file, key).await?,
        ["get-many", prefix, count, folder] => get_many(store()?, prefix, count.parse()?, folder).await?,
        ["put-many", folder, count, prefix] => put_many(store()?, folder, count.parse()?, prefix).await?,
        ["delete-many", prefix, count] => delete_many(store()?, prefix, count.parse()?).await?,
        _ => return Err("unknown words".into()),
    }
    Ok(())
}

async fn get(store: Arc<dyn ObjectStore>, key: &str, file: &str) -> Result<()> {
    let key = Path::from(key);
    let size = store.head(&key).await?.size;
    let file = Arc::new(File::create(file)?);
    let parts = (0..size.div_ceil(PART)).map(|index| {
        let (store, key, file) = (store.clone(), key.clone(), file.clone());
        async move {
            let from = index * PART;
            let bytes = store.get_range(&key, from..size.min(from + PART)).await?;
            spawn_blocking(move || file.write_all_at(&bytes, from)).await??;
            Result::Ok(())
        }
    });
    stream::iter(parts).buffer_unordered(PARTS).try_collect().await
}

async fn put(store: Arc<dyn ObjectStore>, file: &str, key: &str) -> Result<()> {
    let file = Arc::new(File::open(file)?);
    let size = file.metadata()?.len();
    let mut upload = store.put_multipart(&Path::from(key)).await?;
    let mut under_way = stream::FuturesUnordered::new();
    for from in (0..size).step_by(PART as usize) {
        let reader = file.clone();
        let bytes = spawn_blocking(move || {
            let mut bytes = vec![0; PART.min(size - from) as usize];
            reader.read_exact_at(&mut bytes, from).map(|()| bytes)
        });
        let part = upload.put_part(PutPayload::from(bytes.await??));
        under_way.push(tokio::spawn(part));
        if under_way.len() >= PARTS {
            under_way.next().await.transpose()?.transpose()?;
        }
    }
    while let Some(part) = under_way.next().await {
        part??;
    }
    upload.complete().await?;
    Ok(())
}

fn names(prefix: &str, count: usize) -> impl Iterator<Item = (Path, String)> {
    (0..count).map(move |index| {
        let name = format!("{index:06}");
        (Path::from(format!("{prefix}{name}")), name)
    })
}

async fn get_many(store: Arc<dyn ObjectStore>, prefix: &str, count: usize, folder: &str) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let objects = names(prefix, count).map(|(key, name)| {
        let (store, file) = (store.clone(), format!("{folder}/{name}"));
        async move {
            let bytes = store.get(&key).await?.bytes().await?;
            spawn_blocking(move || std::fs::write(file, bytes)).await??;
            Result::Ok(())
        }
    });
    stream::iter(objects).buffer_unordered(OBJECTS).try_collect().await
}

async fn put_many(store: Arc<dyn ObjectStore>, folder: &str, count: usize, prefix: &str) -> Result<()> {
    let objects = names(prefix, count).map(|(key, name)| {
        let (store, file) = (store.clone(), format!("{folder}/{name}"));
        async move {
            let bytes = spawn_blocking(move || std::fs::read(file)).await??;
            store.put(&key, PutPayload::from(bytes)).await?;
            Result::Ok(())
        }
    });
    stream::iter(objects).buffer_unordered(OBJECTS).try_collect().await
}

async fn delete_many(store: Arc<dyn ObjectStore>, prefix: &str, count: usize) -> Result<()> {
    let keys: Vec<_> = names(prefix, count).map(|(key, _)| Ok(key)).collect();
    let deleted: Vec<Path> = store.delete_stream(stream::iter(keys).boxed()).try_collect().await?;
    if deleted.len() == count { Ok(()) } else { Err("not all were deleted".into()) }
}
