//! Ends a transfer whose machine was lost: nothing is left behind, and its future says why.
//!
//! Decides: what has to be cleaned up, and when. Invariant: as of every machine, each of its jobs is answered once, and it finishes
//! only when neither its own nor the lost machine's jobs are under way.

use std::collections::HashSet;
use std::sync::Arc;

use crate::error::Error;
use crate::id::JobId;
use crate::job::{Effect, Event, Job, Reply};
use crate::upload::MAX_ABORTS;

/// Its own jobs are numbered from the top, far from those of the machine that it replaces.
const FIRST_JOB: u32 = u32::MAX;

/// The machine that cleans up after a lost one.
///
/// ```
/// use xfer_core::error::Error;
/// use xfer_core::job::{Effect, Event};
/// use xfer_core::salvage::SalvageMachine;
/// let mut machine = SalvageMachine::new(Vec::new(), None, false, Error::internal("lost"));
/// let mut effects = Vec::new();
/// machine.on(Event::Started, &mut effects);
/// assert!(matches!(effects.last(), Some(Effect::Finish(Err(_)))));
/// ```
#[derive(Debug)]
pub struct SalvageMachine {
    lost: HashSet<JobId>,
    own: HashSet<JobId>,
    next: u32,
    upload: Option<Arc<str>>,
    /// The upload that is being removed, and by which job.
    aborting: Option<(JobId, Arc<str>)>,
    aborts: u32,
    /// Whether a part may still arrive at the store although nobody waits for it.
    stray: bool,
    has_target: bool,
    error: Error,
    finished: bool,
}

impl SalvageMachine {
    /// To clean up after a machine that left `jobs` under way, perhaps a multipart upload, and perhaps a target.
    #[must_use]
    pub fn new(jobs: Vec<JobId>, upload: Option<Arc<str>>, has_target: bool, error: Error) -> SalvageMachine {
        SalvageMachine {
            stray: !jobs.is_empty(),
            lost: jobs.into_iter().collect(),
            own: HashSet::new(),
            next: FIRST_JOB,
            upload,
            aborting: None,
            aborts: 0,
            has_target,
            error,
            finished: false,
        }
    }

    /// How many jobs are under way.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.lost.len() + self.own.len()
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Takes in what happened.
    pub fn on(&mut self, event: Event, out: &mut Vec<Effect>) {
        if self.finished {
            return;
        }
        match event {
            Event::Started => out.push(Effect::Withdraw),
            Event::Done { job, reply } => {
                if let Reply::UploadCreated { upload_id } = &reply {
                    self.upload = Some(Arc::clone(upload_id));
                }
                if matches!(reply, Reply::UploadCompleted(_)) {
                    self.upload = None;
                }
                if let Some((_, upload_id)) = self.aborting.take_if(|(abort, _)| *abort == job)
                    && reply == (Reply::UploadAborted { gone: false })
                    && self.stray
                    && self.aborts < MAX_ABORTS
                {
                    self.upload = Some(upload_id);
                }
                self.settle(job);
            }
            Event::Failed { job, .. } => {
                if let Some(upload_id) =
                    self.aborting.take_if(|(abort, _)| *abort == job).map(|(_, upload_id)| upload_id)
                {
                    self.error = self.error.clone().with_left_behind(upload_id);
                }
                self.settle(job);
            }
            Event::Noted { .. } | Event::Delivered { .. } | Event::Stop { .. } => {}
        }
        if !self.lost.is_empty() {
            return;
        }
        if let Some(upload_id) = self.upload.take() {
            let id = self.run(Job::AbortUpload { upload_id: Arc::clone(&upload_id) }, out);
            self.aborting = Some((id, upload_id));
            self.aborts += 1;
        }
        if std::mem::take(&mut self.has_target) {
            self.run(Job::DiscardTarget, out);
        }
        if self.own.is_empty() {
            self.finished = true;
            out.push(Effect::Finish(Err(self.error.clone())));
        }
    }

    fn settle(&mut self, job: JobId) {
        if !self.lost.remove(&job) {
            self.own.remove(&job);
        }
    }

    fn run(&mut self, job: Job, out: &mut Vec<Effect>) -> JobId {
        let id = JobId(self.next);
        self.next -= 1;
        self.own.insert(id);
        out.push(Effect::Run { id, job });
        id
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::error::ErrorKind;

    fn step(machine: &mut SalvageMachine, event: Event) -> Vec<Effect> {
        let mut out = Vec::new();
        machine.on(event, &mut out);
        out
    }

    fn ran(effects: &[Effect]) -> Vec<(JobId, &'static str)> {
        let mut all = Vec::new();
        for effect in effects {
            if let Effect::Run { id, job } = effect {
                all.push((*id, job.name()));
            }
        }
        all
    }

    #[test]
    fn waits_for_lost_jobs_then_aborts_what_a_late_create_made() {
        let jobs = vec![JobId(0), JobId(1)];
        let mut machine = SalvageMachine::new(jobs, None, false, Error::internal("lost"));
        let begun = step(&mut machine, Event::Started);
        assert!(matches!(begun[..], [Effect::Withdraw]));
        let created = Reply::UploadCreated { upload_id: "u".into() };
        assert!(step(&mut machine, Event::Done { job: JobId(0), reply: created }).is_empty());
        let failed = Event::Failed { job: JobId(1), error: Error::new(ErrorKind::Cancelled, "") };
        let effects = step(&mut machine, failed);
        let [(id, name)] = ran(&effects)[..] else { panic!("{effects:?}") };
        assert_eq!(name, "AbortMultipartUpload");
        // A part that was under way may have come behind it.
        let again = step(&mut machine, Event::Done { job: id, reply: Reply::UploadAborted { gone: false } });
        let [(id, "AbortMultipartUpload")] = ran(&again)[..] else { panic!("{again:?}") };
        let end = step(&mut machine, Event::Done { job: id, reply: Reply::UploadAborted { gone: true } });
        assert!(matches!(&end[..], [Effect::Finish(Err(error))] if error.kind() == ErrorKind::Internal));
        assert!(machine.is_finished() && machine.outstanding() == 0);
    }

    #[test]
    fn aborts_and_discards_both_and_a_failing_abort_ends_it_too() {
        let mut machine = SalvageMachine::new(Vec::new(), Some("u".into()), true, Error::internal("lost"));
        let effects = step(&mut machine, Event::Started);
        let jobs = ran(&effects);
        assert_eq!(jobs.iter().map(|job| job.1).collect::<Vec<_>>(), ["AbortMultipartUpload", "DiscardTarget"]);
        let error = Error::new(ErrorKind::Connect, "");
        assert!(step(&mut machine, Event::Failed { job: jobs[0].0, error }).is_empty());
        let end = step(&mut machine, Event::Done { job: jobs[1].0, reply: Reply::TargetDiscarded });
        assert!(matches!(&end[..], [Effect::Finish(Err(error))] if error.left_behind() == Some("u")));
        assert!(step(&mut machine, Event::Started).is_empty());
    }

    #[test]
    fn a_store_that_never_calls_an_upload_gone_is_not_asked_for_ever() {
        let mut machine = SalvageMachine::new(vec![JobId(0)], Some("u".into()), false, Error::internal("lost"));
        step(&mut machine, Event::Started);
        let mut effects =
            step(&mut machine, Event::Failed { job: JobId(0), error: Error::new(ErrorKind::Cancelled, "") });
        for _ in 0..MAX_ABORTS {
            let [(id, "AbortMultipartUpload")] = ran(&effects)[..] else { panic!("{effects:?}") };
            effects = step(&mut machine, Event::Done { job: id, reply: Reply::UploadAborted { gone: false } });
        }
        assert!(matches!(effects[..], [Effect::Finish(Err(_))]));
    }

    #[test]
    fn a_completed_upload_is_not_aborted() {
        let mut machine = SalvageMachine::new(vec![JobId(7)], Some("u".into()), false, Error::internal("lost"));
        step(&mut machine, Event::Started);
        let reply = Reply::UploadCompleted(crate::job::StoredObject::default());
        let end = step(&mut machine, Event::Done { job: JobId(7), reply });
        assert!(matches!(end[..], [Effect::Finish(Err(_))]));
    }
}
