//! The actors by themselves, inside an actix application that already exists.
//!
//! ```sh
//! cargo run --release --example embedded_actors
//! ```
//!
//! Most programs want the whole (`xfer_facade::TransferManager`, or `xfer_actors::XferSystem` for those who speak actix). This one takes
//! three actors out of it and does by hand what the others would do: it plans the parts, keeps the upload's id, and cleans up when
//! something fails. Nothing is repeated here either: that is the PartScheduler's work.
#![allow(clippy::print_stdout, reason = "an example that tells what it does")]

use std::error::Error as StdError;
use std::path::PathBuf;
use std::sync::Arc;

use actix::prelude::*;
use aws_credential_types::Credentials;
use xfer_actors::transport::{SharedTransport, TransportConfig};
use xfer_actors::{
    AbortUpload, ByteRange, Call, CommitTarget, CompleteUpload, CreateUpload, DeleteObject, Deleter, DiscoverObject,
    Downloader, EndpointConfig, Error, ExtraArgs, FetchRange, Lanes, PartNumber, PutObject, RequestSerializer,
    StoredObject, UploadPart, UploadedPart, Uploader,
};
use xfer_tests::{TestServer, pattern};

const PART: u64 = 5 << 20;
const SIZE: u64 = 12 << 20;

/// An actor of the application: keeps notes in a bucket. It knows no more of xfer than that somebody takes `PutObject`.
struct Notes {
    store: Recipient<PutObject>,
    serializer: Arc<RequestSerializer>,
    bucket: String,
}

impl Actor for Notes {
    type Context = Context<Self>;
}

/// Keep a note.
#[derive(Message)]
#[rtype(result = "Result<String, Error>")]
struct Keep {
    name: &'static str,
    text: &'static str,
}

impl Handler<Keep> for Notes {
    type Result = ResponseFuture<Result<String, Error>>;

    fn handle(&mut self, note: Keep, _context: &mut Context<Self>) -> Self::Result {
        let call = Call::upload(&self.serializer, note.text.as_bytes(), &self.bucket, note.name, ExtraArgs::new());
        let store = self.store.clone();
        Box::pin(async move {
            let put = PutObject::new(&call?, note.text.len() as u64);
            let stored = store.send(put).await.map_err(|_| gone("uploader"))??;
            Ok(stored.object.etag.unwrap_or_default())
        })
    }
}

fn gone(actor: &str) -> Error {
    Error::internal(format!("the {actor} is gone"))
}

#[actix::main]
async fn main() -> Result<(), Box<dyn StdError>> {
    let server = TestServer::start();
    let folder = tempfile::tempdir()?;
    let bucket = server.bucket();

    let mut endpoint = EndpointConfig::new(server.region());
    endpoint.endpoint_url = Some(server.endpoint_url());
    endpoint.path_style = true;
    let serializer = RequestSerializer::builder(endpoint)
        .credentials(Credentials::from_keys(server.access_key(), server.secret_key(), None))
        .build()?;
    let serializer = Arc::new(serializer);

    // Two threads of xfer's move the bytes; the actors live in this System, beside those of the application.
    let lanes = Lanes::start(2, SharedTransport::new(TransportConfig::default())?)?;
    let uploader = Uploader::new(lanes.clone()).start();
    let downloader = Downloader::new(lanes.clone()).start();
    let deleter = Deleter::new(lanes).start();

    // One request, from an actor of the application.
    let notes =
        Notes { store: uploader.clone().recipient(), serializer: Arc::clone(&serializer), bucket: bucket.to_owned() };
    let etag = notes.start().send(Keep { name: "note", text: "buy bread" }).await??;
    check(server.object(bucket, "note").is_some_and(|object| object.len() == 9), "the note is in the store")?;
    println!("note       stored, ETag {etag}");

    // A multipart upload by hand.
    let source = folder.path().join("source");
    pattern::file(&source, 1, SIZE)?;
    let stored = upload_in_parts(&uploader, &serializer, source, bucket, "large").await?;
    check(server.object(bucket, "large").is_some_and(|object| object.len() == SIZE), "the object is in the store")?;
    check(server.open_uploads().is_empty(), "no upload is left open")?;
    let etag: Arc<str> = stored.etag.ok_or("the store gave no ETag")?.into();
    println!("upload     {SIZE} bytes in {} parts, ETag {etag}", SIZE.div_ceil(PART));

    // A download by hand: the first request says what the object is and lands its first part, ranges of that same object land the rest. The
    // ETag is the upload's: were the object replaced meanwhile, the store would refuse.
    let target = folder.path().join("target");
    let call = Call::download(&serializer, bucket, "large", &target, ExtraArgs::new())?;
    let mut landed = downloader.send(DiscoverObject::new(&call, PART, false)).await??.length;
    let size = call.size().ok_or("the store did not tell the size")?;
    while landed < size {
        let range = ByteRange::new(landed, size.min(landed + PART));
        landed += downloader.send(FetchRange::new(&call, range, Arc::clone(&etag))).await??.length;
    }
    check(!target.exists(), "a download has its name only when it is complete")?;
    downloader.send(CommitTarget::new(&call)).await??;
    pattern::check_file(&target, 1, SIZE)?;
    println!("download   {landed} bytes, the same as were uploaded");

    for key in ["note", "large"] {
        let call = Call::delete(&serializer, bucket, key, ExtraArgs::new())?;
        deleter.send(DeleteObject::new(&call)).await??;
    }
    check(server.list_keys(bucket).is_empty(), "the bucket is empty")?;
    println!("delete     the bucket is empty again");
    Ok(())
}

/// Creates, fills and completes an upload; whatever fails in between, it is thrown away.
async fn upload_in_parts(
    uploader: &Addr<Uploader>,
    serializer: &Arc<RequestSerializer>,
    source: PathBuf,
    bucket: &str,
    key: &str,
) -> Result<StoredObject, Box<dyn StdError>> {
    let call = Call::upload(serializer, source, bucket, key, ExtraArgs::new())?;
    let upload_id = uploader.send(CreateUpload::new(&call)).await??.upload_id;
    match fill(uploader, &call, &upload_id).await {
        Ok(stored) => Ok(stored),
        Err(error) => {
            uploader.send(AbortUpload::new(&call, upload_id)).await??;
            Err(error)
        }
    }
}

async fn fill(
    uploader: &Addr<Uploader>,
    call: &Arc<Call>,
    upload_id: &Arc<str>,
) -> Result<StoredObject, Box<dyn StdError>> {
    let numbers = (1..).filter_map(PartNumber::new);
    let starts = (0..SIZE).step_by(PART as usize);
    // All parts are on their way at once; the actor hands each of them to a lane.
    let sent: Vec<_> = numbers
        .zip(starts)
        .map(|(number, start)| {
            let range = ByteRange::new(start, SIZE.min(start + PART));
            (number, uploader.send(UploadPart::new(call, Arc::clone(upload_id), number, range)))
        })
        .collect();
    let mut parts = Vec::new();
    for (number, reply) in sent {
        let stored = reply.await??;
        parts.push(UploadedPart { number, etag: stored.etag, checksum: stored.checksum });
    }
    let complete = CompleteUpload::new(call, Arc::clone(upload_id), parts.into(), SIZE, None);
    Ok(uploader.send(complete).await??.object)
}

fn check(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("it does not hold that {what}")) }
}
