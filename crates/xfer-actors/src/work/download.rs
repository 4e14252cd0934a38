//! The requests of a download: bytes go from the socket's buffer to their place in the target, and are checksummed on the way.
//!
//! Invariants: a range is landed from one object only (its ETag is compared in every answer); a broken body goes on from the byte
//! where it broke, in the next attempt; progress counts a byte once.

use bytes::Bytes;
use xfer_core::checksum::Hasher;
use xfer_core::disk::Gate;
use xfer_core::download::choose_checksum;
use xfer_core::error::{Error, ErrorKind};
use xfer_core::job::{Note, Reply};
use xfer_core::plan::first_part_length;
use xfer_core::range::ByteRange;
use xfer_serializer::{Operation, Stamp, decode};

use super::Bench;
use super::exchange::{Answered, ask};
use super::failure::of_transport;
use crate::call::Resume;
use crate::ledger::Duty;
use crate::target::Target;

/// Finds out what the object is, and lands its first bytes. A second attempt after a body that broke goes on where the first one did.
pub(super) async fn discover(bench: &Bench<'_>, part_size: u64, mut duty: Option<&mut Duty>) -> Result<Reply, Error> {
    let call = bench.call;
    let known = call.discovered().filter(|facts| facts.etag.is_some() && bench.progress.landed() > 0);
    if let Some(facts) = known {
        let etag = facts.etag.as_deref().unwrap_or_default();
        let range = ByteRange::new(facts.start, facts.start + first_part_length(facts.size, part_size));
        return fetch(bench, range, etag, duty).await;
    }
    let answered = get(bench, &Stamp::key(call.key())).await?;
    let facts = answered.decode(&[], |answer| decode::get_object(answer, None))?;
    let length = first_part_length(facts.size, part_size);
    let target = call.target()?;
    call.set_landing_checksum(choose_checksum(&facts, part_size, call.validates()));
    call.set_discovered(facts.clone());
    target.open(facts.size)?;
    if let Some(duty) = duty.as_deref_mut() {
        duty.shrink_memory(length);
        duty.note(Note::Discovered(facts.clone()));
    }
    let range = ByteRange::new(facts.start, facts.start + length);
    let whole = length == facts.size;
    land(bench, answered, range, facts.start, whole, duty).await
}

/// Lands one range of the object with this ETag.
pub(super) async fn fetch(
    bench: &Bench<'_>,
    range: ByteRange,
    etag: &str,
    duty: Option<&mut Duty>,
) -> Result<Reply, Error> {
    let landed = bench.progress.landed();
    let rest = range.after(landed);
    let start = bench.call.discovered().map_or(0, |facts| facts.start);
    if rest.is_empty() {
        return Ok(landed_reply(bench, range));
    }
    let stamp = Stamp {
        range: Some(rest),
        if_match: (!etag.is_empty()).then_some(etag),
        ..Stamp::key(bench.call.key())
    };
    let answered = get(bench, &stamp).await?;
    answered.decode(&[], |answer| decode::get_object(answer, Some(rest)))?;
    land(bench, answered, range, start, true, duty).await
}

/// Asks for the object, or a range of it.
async fn get(bench: &Bench<'_>, stamp: &Stamp<'_>) -> Result<Answered, Error> {
    let answered = ask(bench, Operation::GetObject, stamp, &[]).await?;
    if answered.is_success() { Ok(answered) } else { Err(answered.refusal(bench).await) }
}

fn landed_reply(bench: &Bench<'_>, range: ByteRange) -> Reply {
    let resume = bench.progress.resume.lock();
    let checksum = resume.as_ref().and_then(|resume| resume.hasher.as_ref()).map(Hasher::finish);
    Reply::RangeLanded { length: range.len(), checksum }
}

/// Takes a range's bytes, or what is left of them, from the answer to the target. `whole` says that the answer ends with the range.
async fn land(
    bench: &Bench<'_>,
    mut answered: Answered,
    range: ByteRange,
    start: u64,
    whole: bool,
    mut duty: Option<&mut Duty>,
) -> Result<Reply, Error> {
    let call = bench.call;
    let target = call.target()?;
    let resume = bench.progress.resume.lock().take();
    let (landed, hasher) = match resume {
        Some(Resume { landed, hasher }) => (landed, hasher),
        None => (0, call.landing_checksum().map(Hasher::new)),
    };
    if let (Target::Ordered(ordered), Some(permit)) = (target, duty.as_mut().and_then(|duty| duty.take_memory())) {
        ordered.hold(range.end - start, permit);
    }
    let mut landing = Landing { bench, range, start, landed, hasher, gate: Gate::default() };
    let result = landing.take(&mut answered, target).await;
    let Landing { landed, hasher, .. } = landing;
    *bench.progress.resume.lock() = Some(Resume { landed, hasher });
    result?;
    if whole {
        // Reads the end of the body, which is needed to keep the connection.
        match answered.connection.next_chunk().await {
            Ok(None) => answered.connection.release(),
            Ok(Some(_)) => return Err(Error::new(ErrorKind::Protocol, "more bytes came than were announced")),
            Err(error) => return Err(of_transport(error)),
        }
    }
    Ok(landed_reply(bench, range))
}

/// A range on its way into the target.
struct Landing<'a> {
    bench: &'a Bench<'a>,
    range: ByteRange,
    /// The object's first byte to be downloaded: offset 0 of the target.
    start: u64,
    /// Bytes of the range that are in the target.
    landed: u64,
    hasher: Option<Hasher>,
    gate: Gate,
}

impl Landing<'_> {
    async fn take(&mut self, answered: &mut Answered, target: &Target) -> Result<(), Error> {
        let connection = &mut answered.connection;
        let length = self.range.len();
        // The file is made here if there is none yet, so that an empty object is an empty file.
        let file = match target {
            Target::File(file) => Some((file, file.open()?)),
            _ => None,
        };
        while self.landed < length {
            let wanted = length - self.landed;
            let offset = self.range.start - self.start + self.landed;
            if let Some((target, file)) = &file
                && !self.gate.is_quick()
            {
                let Some(chunk) = connection.next_owned_chunk().await.map_err(of_transport)? else { break };
                let mine = cut(&chunk, wanted).len();
                self.hash(&chunk[..mine]);
                crate::disk::write_elsewhere(&mut self.gate, file, chunk, mine, offset)
                    .await
                    .map_err(|error| target.write_error(error))?;
                self.count(mine);
                continue;
            }
            let Some(chunk) = connection.next_chunk().await.map_err(of_transport)? else { break };
            let chunk = cut(chunk, wanted);
            self.hash(chunk);
            match target {
                Target::File(target) => {
                    if let Some((_, file)) = &file {
                        crate::disk::write_at_once(&mut self.gate, file, chunk, offset)
                            .map_err(|error| target.write_error(error))?;
                    }
                }
                Target::Memory(memory) => memory.write_at(chunk, offset)?,
                Target::Seekable(seekable) => {
                    let piece = Bytes::copy_from_slice(chunk);
                    let length = piece.len();
                    seekable.write_at(piece, offset).await?;
                    self.count(length);
                    continue;
                }
                Target::Ordered(ordered) => ordered.push(offset, Bytes::copy_from_slice(chunk)),
            }
            let length = chunk.len();
            self.count(length);
        }
        if self.landed < length {
            let text = format!("the body ended after {} of {length} bytes", self.landed);
            return Err(Error::new(ErrorKind::ConnectionLost, text));
        }
        Ok(())
    }

    fn hash(&mut self, bytes: &[u8]) {
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
    }

    fn count(&mut self, bytes: usize) {
        self.landed += bytes as u64;
        self.bench.progress.reached(self.landed, &self.bench.call.meter);
        self.bench.lane.moved(bytes as u64);
    }
}

/// As much of a chunk as belongs to the range.
fn cut(chunk: &[u8], wanted: u64) -> &[u8] {
    &chunk[..chunk.len().min(usize::try_from(wanted).unwrap_or(usize::MAX))]
}
