//! The requests of an upload: bytes go from the file through one buffer into the socket, and are checksummed on the way.

use std::time::{Duration, Instant};

use bytes::Bytes;
use xfer_core::checksum::{Algorithm, Checksum, ChecksumKind, Hasher};
use xfer_core::claim::{EtagOfBytes, may_be_md5};
use xfer_core::error::{Error, ErrorKind};
use xfer_core::id::PartNumber;
use xfer_core::job::{Reply, SeenObject, StoredObject, UploadedPart};
use xfer_core::range::ByteRange;
use xfer_core::upload::UploadChecksum;
use xfer_serializer::{Operation, Payload, Stamp, chunked, complete_multipart_upload_body, decode};

use super::exchange::{Answered, Kept, Prepared, ask, begin, prepare};
use super::failure::of_transport;
use super::{Bench, PIECE, rules_out};
use crate::descriptors::patiently;
use crate::ledger::{Duty, cancelled};
use crate::source::{FileSource, Source};
use crate::stores::ChecksumStyle;
use crate::transport::{Connection, Origin, Sent, TransportError};

/// How a body's checksum travels.
enum Checksummed {
    /// Behind the body: taken as the bytes go by.
    Trailer(Algorithm),
    /// In the head: known before.
    Header(Checksum),
    /// Not at all.
    Plain,
}

/// PutObject.
pub(super) async fn put_object(bench: &Bench<'_>, length: u64) -> Result<Reply, Error> {
    let body = Body::new(bench, ByteRange::new(0, length), PartNumber::FIRST)?;
    let prepared = prepare(bench, Operation::PutObject).await?;
    let checksum = match &bench.call.checksum {
        UploadChecksum::CallerGiven(given) => Checksummed::Header(given.clone()),
        _ => choose(bench, &prepared.origin, &body).await?,
    };
    let stamp = Stamp::key(bench.call.key());
    let (answered, sent) = stream(bench, &prepared, stamp, &body, &checksum, true).await?;
    let (finished, body) = answered.read_all(bench).await?;
    let object = finished.decode(&body, decode::put_object)?;
    if let Source::Once(once) = bench.call.source()? {
        once.forget(PartNumber::FIRST);
    }
    Ok(Reply::ObjectPut(StoredObject { sent, ..object }))
}

/// UploadPart.
pub(super) async fn upload_part(
    bench: &Bench<'_>,
    upload_id: &str,
    number: PartNumber,
    range: ByteRange,
) -> Result<Reply, Error> {
    let body = Body::new(bench, range, number)?;
    let prepared = prepare(bench, Operation::UploadPart).await?;
    let checksum = choose(bench, &prepared.origin, &body).await?;
    let stamp = Stamp { part_number: Some(number), upload_id: Some(upload_id), ..Stamp::key(bench.call.key()) };
    let (answered, sent) = stream(bench, &prepared, stamp, &body, &checksum, false).await?;
    let (finished, body) = answered.read_all(bench).await?;
    let etag = finished.decode(&body, decode::upload_part)?;
    if let Source::Once(once) = bench.call.source()? {
        once.forget(number);
    }
    Ok(Reply::PartStored { etag, checksum: sent })
}

/// Reads the next part of a source that is read once.
pub(super) async fn read_part(
    bench: &Bench<'_>,
    number: PartNumber,
    max: u64,
    duty: Option<&mut Duty>,
) -> Result<Reply, Error> {
    let Source::Once(once) = bench.call.source()? else {
        return Err(Error::internal("this source is not read once"));
    };
    let (length, last) = once.read_part(number, max).await?;
    if let Some(mut permit) = duty.and_then(Duty::take_memory) {
        permit.shrink_memory(length);
        once.hold(number, permit);
    }
    Ok(Reply::PartRead { length, last })
}

/// CreateMultipartUpload. A request whose answer is lost may have opened an upload that nobody knows the id of, and it is sent again all
/// the same, as every client does: the alternative is to fail. Such an upload has no parts. It is not looked for: what the store lists of
/// uploads does not tell it from one that somebody else has begun under the same key at the same time, and that must not be aborted.
pub(super) async fn create(bench: &Bench<'_>) -> Result<Reply, Error> {
    let sent_before = bench.progress.sends();
    let result = try_create(bench).await;
    let known = match &result {
        Ok(_) => true,
        Err(error) => rules_out(error),
    };
    if bench.progress.sends() - sent_before > u32::from(known) {
        let (bucket, key) = (bench.call.bucket(), bench.call.key());
        tracing::warn!(%bucket, %key, "a CreateMultipartUpload got no answer: it may have opened an upload that only a lifecycle rule removes");
    }
    result
}

async fn try_create(bench: &Bench<'_>) -> Result<Reply, Error> {
    let stamp = Stamp { multipart_checksum: multipart_checksum(bench), ..Stamp::key(bench.call.key()) };
    let answered = ask(bench, Operation::CreateMultipartUpload, &stamp, &[]).await?;
    let (finished, body) = answered.read_all(bench).await?;
    Ok(Reply::UploadCreated { upload_id: finished.decode(&body, decode::create_multipart_upload)? })
}

/// CompleteMultipartUpload.
pub(super) async fn complete(
    bench: &Bench<'_>,
    upload_id: &str,
    parts: &[UploadedPart],
    size: u64,
    checksum: Option<&Checksum>,
) -> Result<Reply, Error> {
    bench.call.source()?.check_unchanged()?;
    let body = complete_multipart_upload_body(parts);
    let is_ours = !matches!(bench.call.checksum, UploadChecksum::CallerGiven(_));
    // Refused before, and not what the caller wants to be compared.
    let checksum = checksum.filter(|_| !(is_ours && bench.progress.checksum_style() == ChecksumStyle::Without));
    let stamp = Stamp {
        upload_id: Some(upload_id),
        payload: Payload::Unsigned { content_length: body.len() as u64 },
        checksum,
        multipart_checksum: multipart_checksum(bench),
        object_size: Some(size),
        ..Stamp::key(bench.call.key())
    };
    *bench.progress.sent.lock() = checksum.cloned();
    let answered = ask(bench, Operation::CompleteMultipartUpload, &stamp, &body).await?;
    let (finished, body) = answered.read_all(bench).await?;
    let object = finished.decode(&body, decode::complete_multipart_upload)?;
    Ok(Reply::UploadCompleted(StoredObject { sent: checksum.cloned(), ..object }))
}

/// HeadObject, for an upload that may have been carried out before it was refused.
pub(super) async fn look(bench: &Bench<'_>, with_md5: bool) -> Result<Reply, Error> {
    let answered = ask(bench, Operation::HeadObject, &Stamp::key(bench.call.key()), &[]).await?;
    let begun = bench.call.begun.get().map_or(Duration::ZERO, Instant::elapsed);
    let finished = match answered.read_all(bench).await {
        Ok((finished, _none)) => finished,
        Err(error) if error.kind() == ErrorKind::NoSuchKey => return Ok(Reply::ObjectSeen(None)),
        Err(error) => return Err(error),
    };
    let facts = finished.decode(&[], |answer| decode::get_object(answer, None))?;
    let age = finished.decode(&[], |answer| decode::object_age(answer.headers));
    let tells = with_md5 && facts.checksums.is_empty() && facts.etag.as_deref().is_some_and(may_be_md5);
    let source_etag = match bench.call.source()? {
        source if tells && Source::length(source).is_none_or(|length| length == facts.size) => {
            let body = Body::new(bench, ByteRange::new(0, facts.size), PartNumber::FIRST)?;
            let mut etag = EtagOfBytes::default();
            body.pass(bench, |bytes| etag.update(bytes)).await?;
            Some(etag.finish())
        }
        _ => None,
    };
    Ok(Reply::ObjectSeen(Some(SeenObject {
        size: facts.size,
        etag: facts.etag,
        version_id: facts.version_id,
        checksums: facts.checksums,
        age,
        begun,
        source_etag,
    })))
}

/// AbortMultipartUpload.
pub(super) async fn abort(bench: &Bench<'_>, upload_id: &str) -> Result<Reply, Error> {
    let stamp = Stamp { upload_id: Some(upload_id), ..Stamp::key(bench.call.key()) };
    let answered = ask(bench, Operation::AbortMultipartUpload, &stamp, &[]).await?;
    match answered.read_all(bench).await {
        Ok((finished, body)) => {
            finished.decode(&body, decode::abort_multipart_upload).map(|gone| Reply::UploadAborted { gone })
        }
        Err(error) if error.kind() == ErrorKind::NoSuchUpload => Ok(Reply::UploadAborted { gone: true }),
        Err(error) => Err(error),
    }
}

/// What is said of the parts' checksums, to a store that has not refused it.
fn multipart_checksum(bench: &Bench<'_>) -> Option<(Algorithm, ChecksumKind)> {
    bench.call.multipart_checksum().filter(|_| bench.progress.checksum_style() != ChecksumStyle::Without)
}

/// How this body's checksum travels: as the call asks for it, and as the store takes it.
async fn choose(bench: &Bench<'_>, origin: &Origin, body: &Body<'_>) -> Result<Checksummed, Error> {
    let Some(algorithm) = bench.call.part_checksum() else { return Ok(Checksummed::Plain) };
    match bench.lane.stores.checksum_style(origin).max(bench.progress.checksum_style()) {
        ChecksumStyle::Trailer => Ok(Checksummed::Trailer(algorithm)),
        ChecksumStyle::Header => body.checksum(bench, algorithm).await.map(Checksummed::Header),
        ChecksumStyle::Without => Ok(Checksummed::Plain),
    }
}

/// Sends head and body and reads the answer's head; returns the checksum that went along. A refusal is an error.
async fn stream(
    bench: &Bench<'_>,
    prepared: &Prepared,
    stamp: Stamp<'_>,
    body: &Body<'_>,
    checksum: &Checksummed,
    commits: bool,
) -> Result<(Answered, Option<Checksum>), Error> {
    let length = body.range.len();
    let (payload, header) = match checksum {
        Checksummed::Trailer(algorithm) => {
            (Payload::UnsignedTrailer { decoded_length: length, algorithm: *algorithm }, None)
        }
        Checksummed::Header(value) => (Payload::Unsigned { content_length: length }, Some(value)),
        Checksummed::Plain => (Payload::Unsigned { content_length: length }, None),
    };
    let stamp = Stamp { payload, checksum: header, ..stamp };
    if commits {
        *bench.progress.sent.lock() = header.cloned();
    }
    let mut kept = Kept::Allowed;
    loop {
        let mut begun = begin(bench, prepared, &stamp, kept).await?;
        let head = std::mem::take(&mut begun.head);
        let mut sender = Sender {
            bench,
            connection: &mut begun.connection,
            hasher: match checksum {
                Checksummed::Trailer(algorithm) => Some(Hasher::new(*algorithm)),
                _ => None,
            },
            length,
            sent: 0,
            whole: false,
            commits,
        };
        let sending = sender.send(body, &head).await;
        let whole = sender.whole;
        let answer = match sending {
            Ok(trailer) => begun.answer().await.map(|answered| (answered, trailer)),
            Err(Torn::Transport(error)) => Err(error),
            Err(Torn::Source(error)) => return Err(error),
        };
        match answer {
            Ok((answered, _)) if answered.is_success() && !whole => {
                return Err(Error::new(ErrorKind::Protocol, "the store said that it has what was not sent yet"));
            }
            Ok((answered, trailer)) => {
                if answered.is_success() {
                    bench.lane.stores.took(answered.connection.origin(), bench.progress.checksum_style());
                }
                return Ok((answered, trailer.or_else(|| header.cloned())));
            }
            Err(error) if error.is_stale_connection() => kept = Kept::Refused,
            Err(error) => return Err(of_transport(error)),
        }
    }
}

/// Why a body was not sent whole.
enum Torn {
    Transport(TransportError),
    Source(Error),
}

impl From<TransportError> for Torn {
    fn from(error: TransportError) -> Torn {
        Torn::Transport(error)
    }
}

/// Sends one body.
struct Sender<'a> {
    bench: &'a Bench<'a>,
    connection: &'a mut Connection,
    hasher: Option<Hasher>,
    length: u64,
    sent: u64,
    /// Whether everything was sent.
    whole: bool,
    /// Whether the last byte makes the object visible.
    commits: bool,
}

impl Sender<'_> {
    /// Sends everything, unless the store answers first; returns the trailer's checksum.
    async fn send(&mut self, body: &Body<'_>, head: &[u8]) -> Result<Option<Checksum>, Torn> {
        let opening = if self.hasher.is_some() { chunked::head(self.length) } else { String::new() };
        let mut before: &[&[u8]] = &[head, opening.as_bytes()];
        if self.length == 0 {
            if let Held::File(source) = &body.bytes {
                // Nothing to read, but it must still be there, and still be empty.
                patiently(|| source.open()).await.map_err(Torn::Source)?;
            }
            return self.piece(before, &[]).await.map(|_| self.hasher.as_ref().map(Hasher::finish));
        }
        let ceiling = &self.bench.lane.ceiling;
        match &body.bytes {
            Held::File(source) => {
                let file = patiently(|| source.open()).await.map_err(Torn::Source)?;
                let mut buffer = self.bench.lane.buffer();
                while self.sent < self.length {
                    let wanted = usize::try_from(self.length - self.sent).unwrap_or(usize::MAX).min(ceiling.piece());
                    let offset = body.range.start + self.sent;
                    let (back, read) = crate::disk::read_at(&file, buffer, wanted, offset).await;
                    buffer = back;
                    let read = read.map_err(|error| Torn::Source(source.read_error(error)))?;
                    if read == 0 {
                        return Err(Torn::Source(source.truncated(offset)));
                    }
                    ceiling.pass(read).await;
                    let sent = self.piece(before, &buffer[..read]).await?;
                    before = &[];
                    if sent == Sent::AnsweredEarly {
                        break;
                    }
                }
                self.bench.lane.recycle(buffer);
            }
            Held::Memory(bytes) => {
                for piece in bytes.chunks(ceiling.piece().min(PIECE)) {
                    ceiling.pass(piece.len()).await;
                    let sent = self.piece(before, piece).await?;
                    before = &[];
                    if sent == Sent::AnsweredEarly {
                        break;
                    }
                }
            }
        }
        Ok(self.hasher.as_ref().map(Hasher::finish))
    }

    /// Sends the next piece, behind what comes before it and before the trailer if it is the last.
    async fn piece(&mut self, before: &[&[u8]], piece: &[u8]) -> Result<Sent, Torn> {
        if let Some(hasher) = &mut self.hasher {
            hasher.update(piece);
        }
        let reached = self.sent + piece.len() as u64;
        let last = reached >= self.length;
        let checksum = self.hasher.as_ref().filter(|_| last).map(Hasher::finish);
        let trailer = checksum.as_ref().map(|checksum| chunked::tail(self.length, checksum)).unwrap_or_default();
        if last && self.commits {
            self.bench.call.source().and_then(Source::check_unchanged).map_err(Torn::Source)?;
            if !self.bench.call.phase.try_commit() {
                return Err(Torn::Source(cancelled()));
            }
            // From here on the store may have all of it.
            self.bench.progress.mark_sent();
            if checksum.is_some() {
                *self.bench.progress.sent.lock() = checksum;
            }
        }
        let mut pieces: [&[u8]; 4] = [&[], &[], piece, trailer.as_bytes()];
        for (place, bytes) in pieces.iter_mut().zip(before) {
            *place = bytes;
        }
        let sent = self.connection.send(&pieces).await?;
        if sent == Sent::Whole {
            self.sent = reached;
            self.whole = last;
            self.bench.progress.reached(reached);
            self.bench.lane.moved(piece.len() as u64);
        }
        Ok(sent)
    }
}

/// The bytes of one request.
struct Body<'a> {
    bytes: Held<'a>,
    range: ByteRange,
}

enum Held<'a> {
    File(&'a FileSource),
    Memory(Bytes),
}

impl<'a> Body<'a> {
    fn new(bench: &Bench<'a>, range: ByteRange, number: PartNumber) -> Result<Body<'a>, Error> {
        let bytes = match bench.call.source()? {
            Source::File(file) => Held::File(file),
            Source::Memory(bytes) => {
                let outside = || Error::internal("a part outside its source");
                let start = usize::try_from(range.start).map_err(|_| outside())?;
                let end = usize::try_from(range.end).map_err(|_| outside())?;
                if end > bytes.len() {
                    return Err(outside());
                }
                Held::Memory(bytes.slice(start..end))
            }
            Source::Once(once) => Held::Memory(once.kept(number)?),
        };
        Ok(Body { bytes, range })
    }

    /// The checksum, by a pass of its own: for stores that want it before the body.
    async fn checksum(&self, bench: &Bench<'_>, algorithm: Algorithm) -> Result<Checksum, Error> {
        let mut hasher = Hasher::new(algorithm);
        self.pass(bench, |bytes| hasher.update(bytes)).await?;
        Ok(hasher.finish())
    }

    /// Gives all bytes to `take`, in order.
    async fn pass(&self, bench: &Bench<'_>, mut take: impl FnMut(&[u8])) -> Result<(), Error> {
        let source = match &self.bytes {
            Held::Memory(bytes) => {
                for piece in bytes.chunks(PIECE) {
                    take(piece);
                    tokio::task::yield_now().await;
                }
                return Ok(());
            }
            Held::File(source) => source,
        };
        let file = patiently(|| source.open()).await?;
        let mut buffer = bench.lane.buffer();
        let mut rest = self.range;
        while !rest.is_empty() {
            let wanted = usize::try_from(rest.len()).unwrap_or(usize::MAX);
            let (back, read) = crate::disk::read_at(&file, buffer, wanted, rest.start).await;
            buffer = back;
            let read = read.map_err(|error| source.read_error(error))?;
            if read == 0 {
                return Err(source.truncated(rest.start));
            }
            take(&buffer[..read]);
            rest = rest.after(read as u64);
            // A long part must not keep the other tasks of the lane from their sockets.
            tokio::task::yield_now().await;
        }
        bench.lane.recycle(buffer);
        Ok(())
    }
}
