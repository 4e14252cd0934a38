//! The requests of a download: bytes go from the socket's buffer to their place in the target, and are checksummed on the way.
//!
//! Invariants: a range is landed from one object only (it is asked for on condition of its ETag, which is compared in every answer that has
//! one); a broken body goes on from the byte where it broke, in the next attempt; progress counts a byte once.

use std::sync::Arc;

use bytes::Bytes;
use xfer_core::checksum::Hasher;
use xfer_core::download::{choose_checksum, mismatch};
use xfer_core::error::{Error, ErrorKind};
use xfer_core::id::PartNumber;
use xfer_core::job::{Note, ObjectFacts, Reply};
use xfer_core::plan::first_part_length;
use xfer_core::range::ByteRange;
use xfer_serializer::{Operation, Stamp, decode};

use super::exchange::{Answered, Prepared, ask, ask_prepared, prepare};
use super::failure::of_transport;
use super::{Bench, PIECE};
use crate::call::Resume;
use crate::descriptors::patiently;
use crate::disk::GatedFile;
use crate::ledger::{Duty, cancelled};
use crate::target::direct::Blocks;
use crate::target::{FileTarget, Target};

/// Finds out what the object is, and lands its first bytes; also tells whether it is the one that earlier attempts saw. A second attempt
/// after a body that broke goes on where the first one did.
pub(super) async fn discover(
    bench: &Bench<'_>,
    part_size: u64,
    mut duty: Option<&mut Duty>,
) -> Result<(Reply, bool), Error> {
    let call = bench.call;
    let known = call.discovered().filter(|facts| facts.etag.is_some() && bench.progress.landed() > 0);
    if let Some(facts) = known {
        let etag = facts.etag.as_deref().unwrap_or_default();
        let range = ByteRange::new(facts.start, facts.start + first_part_length(facts.size, part_size));
        return fetch(bench, range, etag, duty).await.map(|reply| (reply, true)).map_err(modified);
    }
    // From the start, whatever an earlier attempt had landed of an object that has no ETag to be known by.
    *bench.progress.resume.lock() = None;
    let (answered, head) = first_answer(bench).await?;
    let facts = match head.total {
        Some(total) if total > head.facts.size => whole_object(bench, &head.facts, total).await?,
        Some(total) if total > 0 => with_checksums(bench, &answered, &head.facts, total).await?,
        _ => Arc::clone(&head.facts),
    };
    let length = first_part_length(facts.size, part_size);
    let target = call.target()?;
    call.set_landing_checksum(choose_checksum(&facts, part_size, call.validates()));
    let certain = call.set_discovered(&facts);
    patiently(|| target.open(facts.size, bench.lane.blocks.is_for(facts.size))).await?;
    if let Some(duty) = duty.as_deref_mut() {
        duty.shrink_memory(length);
        duty.note(Note::Discovered(Arc::clone(&facts)), length < facts.size);
    }
    let range = ByteRange::new(facts.start, facts.start + length);
    let here = head.facts.size;
    let reply = land(bench, answered, range, facts.start, here, duty.as_deref_mut()).await?;
    match facts.etag.as_deref() {
        // The part was shorter than what makes a good first piece.
        Some(etag) if here < length => {
            fetch(bench, range, etag, duty).await.map(|reply| (reply, certain)).map_err(modified)
        }
        _ if here < length => Err(Error::new(ErrorKind::Protocol, "an object of several parts has no ETag")),
        _ => Ok((reply, certain)),
    }
}

/// Makes the target final if all of the object has been landed, as the store has it, and the target is one that can be made final at once.
/// Whatever is not as it should be is left to the machine.
pub(super) fn commit_whole(bench: &Bench<'_>, reply: Reply) -> Result<Reply, Error> {
    let call = bench.call;
    let (Reply::RangeLanded { length, checksum }, Some(facts)) = (&reply, call.discovered()) else {
        return Ok(reply);
    };
    let (length, checksum) = (*length, checksum.clone());
    let is_whole = length == facts.size && checksum.as_ref().is_none_or(|ours| mismatch(facts, ours).is_none());
    let target = call.target()?;
    if !is_whole || !target.commits_at_once() {
        return Ok(reply);
    }
    if !call.phase.try_commit() {
        return Err(cancelled());
    }
    match target.commit_at_once() {
        Ok(()) => Ok(Reply::ObjectLanded { length, checksum }),
        Err(error) => {
            call.phase.reopen();
            Err(error.in_operation("CommitTarget"))
        }
    }
}

/// It was asked for with an If-Match of ours: the object is another by now.
fn modified(error: Error) -> Error {
    match error.kind() {
        ErrorKind::PreconditionFailed => error.as_kind(ErrorKind::ObjectModified),
        _ => error,
    }
}

/// What the first answer is of.
struct FirstHead {
    /// Of the bytes that follow.
    facts: Arc<ObjectFacts>,
    /// The object's size in bytes, where the answer is of a part and tells it.
    total: Option<u64>,
}

/// Asks for the object's first part: of an object that was stored with one request that is all of it, with its checksum, and of one that
/// was stored in parts it is a piece to begin with, behind which the connection can be kept. Stores that know no parts, and calls for a
/// range, are asked for everything; what is too much of it is not read.
async fn first_answer(bench: &Bench<'_>) -> Result<(Answered, FirstHead), Error> {
    let call = bench.call;
    let prepared = prepare(bench, Operation::GetObject).await?;
    let by_part = call.args().get("Range").is_none() && bench.lane.stores.knows_parts(&prepared.origin);
    let mut refused = false;
    if by_part {
        let stamp = Stamp { part_number: Some(PartNumber::FIRST), ..Stamp::key(call.key()) };
        match get(bench, &prepared, &stamp).await {
            Ok(answered) => {
                let total = content_range_total(&answered);
                // An empty object has no range; its answer is understood like a plain one.
                let facts = answered.decode(&[], |answer| decode::get_object(answer, None))?;
                return Ok((answered, FirstHead { facts: Arc::new(facts), total }));
            }
            Err(error) if error.kind() == ErrorKind::Rejected => refused = true,
            Err(error) if error.kind() == ErrorKind::InvalidRange => {}
            Err(error) => return Err(error),
        }
    }
    let answered = get(bench, &prepared, &Stamp::key(call.key())).await?;
    if refused {
        // It was the part that it did not like, and nothing else about the request.
        bench.lane.stores.no_parts(&prepared.origin);
    }
    let facts = answered.decode(&[], |answer| decode::get_object(answer, None))?;
    Ok((answered, FirstHead { facts: Arc::new(facts), total: None }))
}

/// The size that `Content-Range: bytes a-b/size` ends with.
fn content_range_total(answered: &Answered) -> Option<u64> {
    answered.head.header("content-range")?.rsplit_once('/')?.1.trim().parse().ok()
}

/// What is known of an object that is one part. Some stores have its checksum, and tell it only to who asks for the whole: a store that
/// has not told any yet is asked for the object's head, and from then on, if that has one, for whole objects.
async fn with_checksums(
    bench: &Bench<'_>,
    answered: &Answered,
    part: &Arc<ObjectFacts>,
    total: u64,
) -> Result<Arc<ObjectFacts>, Error> {
    let (stores, origin) = (&bench.lane.stores, answered.connection.origin());
    if !bench.call.asks_for_checksums() || stores.parts_tell_checksums(origin) {
        return Ok(Arc::clone(part));
    }
    if !part.checksums.is_empty() {
        stores.told_checksum_of_part(origin);
        return Ok(Arc::clone(part));
    }
    let facts = whole_object(bench, part, total).await?;
    if !facts.checksums.is_empty() {
        stores.no_parts(origin);
    }
    Ok(facts)
}

/// Asks for the head of an object whose first part is on its way: it has the checksum of the whole, which no part's answer has.
async fn whole_object(bench: &Bench<'_>, part: &ObjectFacts, total: u64) -> Result<Arc<ObjectFacts>, Error> {
    if bench.call.asks_for_checksums() {
        let stamp = Stamp { if_match: part.etag.as_deref(), ..Stamp::key(bench.call.key()) };
        let answered = ask(bench, Operation::HeadObject, &stamp, &[]).await?;
        if answered.is_success() {
            let (finished, _none) = answered.read_all(bench).await?;
            let facts = finished.decode(&[], |answer| decode::get_object(answer, None))?;
            // Some stores do not look at the condition.
            if facts.etag != part.etag {
                return Err(Error::new(ErrorKind::ObjectModified, "its head has another ETag than its first part"));
            }
            return Ok(Arc::new(facts));
        }
        let error = answered.refusal(bench).await;
        match error.kind() {
            ErrorKind::PreconditionFailed | ErrorKind::ObjectModified => {
                return Err(error.as_kind(ErrorKind::ObjectModified));
            }
            // Whoever may get but not head an object gets it without verification.
            ErrorKind::AccessDenied | ErrorKind::Rejected => {}
            _ => return Err(error),
        }
    }
    Ok(Arc::new(ObjectFacts { size: total, checksums: Vec::new(), ..part.clone() }))
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
    let stamp =
        Stamp { range: Some(rest), if_match: (!etag.is_empty()).then_some(etag), ..Stamp::key(bench.call.key()) };
    let answered = get(bench, &prepare(bench, Operation::GetObject).await?, &stamp).await?;
    answered.decode(&[], |answer| decode::get_object(answer, Some(rest)))?;
    land(bench, answered, range, start, rest.len(), duty).await
}

/// Asks for the object, or a range of it.
async fn get(bench: &Bench<'_>, prepared: &Prepared, stamp: &Stamp<'_>) -> Result<Answered, Error> {
    let answered = ask_prepared(bench, prepared, stamp, &[]).await?;
    if answered.is_success() { Ok(answered) } else { Err(answered.refusal(bench).await) }
}

fn landed_reply(bench: &Bench<'_>, range: ByteRange) -> Reply {
    let resume = bench.progress.resume.lock();
    let checksum = resume.as_ref().and_then(|resume| resume.hasher.as_ref()).map(Hasher::finish);
    Reply::RangeLanded { length: range.len(), checksum }
}

/// Takes a range's bytes, or what is left of them, from the answer to the target; `here` is how many bytes the answer has. If these are
/// fewer than are left, the reply is of no use, and the rest has to be fetched; if more, they are not read and the connection is closed.
async fn land(
    bench: &Bench<'_>,
    mut answered: Answered,
    range: ByteRange,
    start: u64,
    here: u64,
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
    let until = range.len().min(landed + here);
    let ends = landed + here <= range.len();
    let mut landing = Landing { bench, range, start, until, landed, hasher, torn: false };
    let result = landing.take(&mut answered, target).await;
    let Landing { landed, hasher, torn, .. } = landing;
    if !torn {
        *bench.progress.resume.lock() = Some(Resume { landed, hasher });
    }
    result?;
    if ends {
        // Reads the end of the body, which is needed to keep the connection.
        match answered.connection.next_chunk().await {
            Ok(None) => answered.connection.release(),
            Ok(Some(_)) => {
                // What came before is as doubtful: the next attempt begins anew.
                *bench.progress.resume.lock() = None;
                return Err(Error::new(ErrorKind::Protocol, "more bytes came than were announced"));
            }
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
    /// So many bytes of the range are there when the answer has been read.
    until: u64,
    /// Bytes of the range that are in the target.
    landed: u64,
    hasher: Option<Hasher>,
    /// Whether the checksum is ahead of what the target has: then nobody can go on from here.
    torn: bool,
}

impl Landing<'_> {
    async fn take(&mut self, answered: &mut Answered, target: &Target) -> Result<(), Error> {
        // The file is made here if there is none yet, so that an empty object is an empty file.
        let file = match target {
            Target::File(file) => Some((file, file.open()?)),
            _ => None,
        };
        if let Some((target, file)) = &file
            && let Some(direct) = target.direct()
        {
            let offset = self.range.start - self.start + self.landed;
            let mut blocks = Blocks::new(&self.bench.lane.blocks, direct, Arc::clone(file), offset);
            let result = self.take_in_blocks(answered, target, &mut blocks).await;
            // Of a broken body too: the next attempt goes on behind it.
            let written = blocks.finish().await.map_err(|error| target.write_error(error));
            self.torn |= written.is_err();
            return result.and(written);
        }
        self.take_in_chunks(answered, target, file).await
    }

    async fn take_in_blocks(
        &mut self,
        answered: &mut Answered,
        target: &FileTarget,
        blocks: &mut Blocks,
    ) -> Result<(), Error> {
        while self.landed < self.until {
            let failed = |error| target.write_error(error);
            let wanted = self.until - self.landed;
            // Past the receive buffer. A block is drawn when there is something to put into it: a socket that waits needs none.
            if blocks.are_aligned() && answered.connection.can_receive_into().await.map_err(of_transport)? {
                let room = blocks.room().await.map_err(failed)?;
                let most = usize::try_from(wanted).map_or(PIECE, |wanted| wanted.min(PIECE)).min(room.len());
                let length = answered.connection.receive_into(&mut room[..most]).map_err(of_transport)?;
                self.hash(&room[..length]);
                blocks.filled(length).await.map_err(failed)?;
                self.count(length).await;
                continue;
            }
            let Some(chunk) = answered.connection.next_chunk().await.map_err(of_transport)? else { break };
            let chunk = cut(chunk, wanted);
            self.hash(chunk);
            blocks.write(chunk).await.map_err(failed)?;
            let length = chunk.len();
            self.count(length).await;
        }
        self.all_came()
    }

    async fn take_in_chunks(
        &mut self,
        answered: &mut Answered,
        target: &Target,
        file: Option<(&FileTarget, Arc<GatedFile>)>,
    ) -> Result<(), Error> {
        let connection = &mut answered.connection;
        let length = self.until;
        while self.landed < length {
            let wanted = length - self.landed;
            let offset = self.range.start - self.start + self.landed;
            if let Some((target, file)) = &file
                && !file.is_quick()
            {
                let Some(chunk) = connection.next_owned_chunk().await.map_err(of_transport)? else { break };
                let mine = cut(&chunk, wanted).len();
                self.hash(&chunk[..mine]);
                crate::disk::write_elsewhere(file, chunk, mine, offset)
                    .await
                    .map_err(|error| target.write_error(error))?;
                self.count(mine).await;
                continue;
            }
            let Some(chunk) = connection.next_chunk().await.map_err(of_transport)? else { break };
            let chunk = cut(chunk, wanted);
            self.hash(chunk);
            match target {
                Target::File(target) => {
                    if let Some((_, file)) = &file {
                        crate::disk::write_at_once(file, chunk, offset).map_err(|error| target.write_error(error))?;
                    }
                }
                Target::Memory(memory) => memory.write_at(chunk, offset)?,
                Target::Seekable(seekable) => {
                    let piece = Bytes::copy_from_slice(chunk);
                    let length = piece.len();
                    seekable.write_at(piece, offset).await?;
                    self.count(length).await;
                    continue;
                }
                Target::Ordered(ordered) => ordered.push(offset, Bytes::copy_from_slice(chunk)),
            }
            let length = chunk.len();
            self.count(length).await;
        }
        self.all_came()
    }

    fn all_came(&self) -> Result<(), Error> {
        if self.landed < self.until {
            let text = format!("the body ended after {} of {} bytes", self.landed, self.until);
            return Err(Error::new(ErrorKind::ConnectionLost, text));
        }
        Ok(())
    }

    fn hash(&mut self, bytes: &[u8]) {
        self.torn = true;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
    }

    /// Counts bytes that are in the target, and waits as long as the ceiling asks before more are taken.
    async fn count(&mut self, bytes: usize) {
        self.torn = false;
        self.landed += bytes as u64;
        self.bench.progress.reached(self.landed);
        self.bench.lane.moved(bytes as u64);
        self.bench.lane.ceiling.pass(bytes).await;
    }
}

/// As much of a chunk as belongs to the range.
fn cut(chunk: &[u8], wanted: u64) -> &[u8] {
    &chunk[..chunk.len().min(usize::try_from(wanted).unwrap_or(usize::MAX))]
}
