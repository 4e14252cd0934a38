//! Jobs as they run on a lane, from the first byte to the last.
//!
//! Each job is one attempt: one HTTP request (two, where a kept connection turns out stale), or one act on a source or target. Nothing
//! here retries, plans or knows other jobs. Dropping the future at any point leaves nothing behind but a closed connection.

mod download;
mod exchange;
pub(crate) mod failure;
mod upload;

use std::sync::Arc;

use xfer_core::error::{Error, ErrorKind};
use xfer_core::job::{Job, Note, Reply};

use crate::call::{Call, JobProgress};
use crate::lane::LaneContext;
use crate::ledger::{Duty, cancelled};

/// Memory is read from a socket and handed to one in pieces of this size, so that a piece is still in the cache when its checksum is taken,
/// or when it is sent afterwards: a second-level cache has 256 KiB to 2 MiB.
const PIECE: usize = 256 << 10;

/// What a job has at hand.
pub(crate) struct Bench<'a> {
    pub(crate) lane: &'a LaneContext,
    pub(crate) call: &'a Call,
    pub(crate) progress: &'a JobProgress,
}

/// Runs one attempt of a job.
pub(crate) async fn run(
    lane: &LaneContext,
    call: &Arc<Call>,
    job: &Job,
    progress: &JobProgress,
    mut duty: Option<&mut Duty>,
) -> Result<Reply, Error> {
    let bench = Bench { lane, call, progress };
    let sent_before = progress.sends();
    let result = if job.is_cuttable() {
        tokio::select! {
            biased;
            () = call.cut.made() => Err(cancelled()),
            result = perform(&bench, job, duty.as_deref_mut()) => result,
        }
    } else {
        perform(&bench, job, duty.as_deref_mut()).await
    };
    if let Err(error) = &result
        && job.stores_object()
    {
        if progress.sends() > sent_before && rules_out(error) {
            progress.mark_refused();
        }
        if let (Some(duty), true) = (duty, progress.is_unanswered()) {
            duty.note(Note::Unanswered { sent: progress.sent.lock().clone() }, false);
        }
    }
    if result.is_err() && job.is_commit() {
        call.phase.reopen();
    }
    result.map_err(|error| call.locate(error, job.name(), job.part()))
}

/// Whether an error is an answer of the store by which it has not carried out what it was asked for. A store that fails may have.
fn rules_out(error: &Error) -> bool {
    let failed = error.kind() == ErrorKind::ServiceUnavailable || error.kind() == ErrorKind::Protocol;
    error.service().is_some_and(|answer| !failed || answer.status == 409)
}

async fn perform(bench: &Bench<'_>, job: &Job, duty: Option<&mut Duty>) -> Result<Reply, Error> {
    // A request enters its point of no return where it is sent; the rename is short, and enters it here.
    if matches!(job, Job::CommitTarget) {
        let target = bench.call.target()?;
        tokio::select! {
            biased;
            () = bench.call.cut.made() => return Err(cancelled()),
            ready = target.ready() => ready?,
        }
        if !bench.call.phase.try_commit() {
            return Err(cancelled());
        }
    }
    match job {
        Job::PutObject { length } => upload::put_object(bench, *length).await,
        Job::ReadPart { number, max } => upload::read_part(bench, *number, *max, duty).await,
        Job::CreateUpload => upload::create(bench).await,
        Job::UploadPart { upload_id, number, range } => upload::upload_part(bench, upload_id, *number, *range).await,
        Job::CompleteUpload { upload_id, parts, size, checksum } => {
            upload::complete(bench, upload_id, parts, *size, checksum.as_ref()).await
        }
        Job::AbortUpload { upload_id } => upload::abort(bench, upload_id).await,
        Job::LookForObject { with_md5 } => upload::look(bench, *with_md5).await,
        Job::Discover { part_size, commit } => {
            let (reply, certain) = download::discover(bench, *part_size, duty).await?;
            if *commit && certain { download::commit_whole(bench, reply) } else { Ok(reply) }
        }
        Job::FetchRange { range, etag } => download::fetch(bench, *range, etag, duty).await,
        Job::CommitTarget => bench.call.target()?.commit().await.map(|()| Reply::TargetCommitted),
        Job::DiscardTarget => {
            bench.call.target()?.discard_elsewhere().await;
            Ok(Reply::TargetDiscarded)
        }
        Job::DeleteObject => exchange::delete(bench).await,
    }
}
