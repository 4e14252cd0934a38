//! Each job is reported and judged once, each transfer is told one end, and nothing keeps what has ended.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::mpsc::Receiver;
use std::sync::{Barrier, Weak};
use std::time::Duration;

use xfer_core::budget::{Cost, InUse};
use xfer_core::delete::DeleteMachine;
use xfer_core::id::JobId;
use xfer_core::job::Reply;
use xfer_core::queue::Class;

use super::*;
use crate::call::Call;
use crate::outbox::Outbox;
use crate::target::DownloadTarget;
use crate::test_kit::{PATIENCE, Told, Witness, download, end_of, ledger, upload};

const JOB: JobId = JobId(0);
const TURN: Turn = Turn { buffered: false, class: Class::Small };

fn new_transfer(call: Arc<Call>) -> (Arc<Transfer>, Receiver<Told>) {
    let (observer, told) = Witness::boxed();
    (Arc::new(Transfer::new(call, DeleteMachine::new().into(), Duration::ZERO, observer)), told)
}

fn entered(ledger: &Arc<Ledger>, call: Arc<Call>) -> (Arc<Transfer>, Receiver<Told>) {
    let (transfer, told) = new_transfer(call);
    ledger.enter(Arc::clone(&transfer));
    (transfer, told)
}

fn duty(ledger: &Arc<Ledger>, transfer: &Arc<Transfer>, id: JobId, memory: u64) -> Duty {
    let permit = ledger.budget.take(Cost { requests: 1, memory, ..Cost::default() }).unwrap();
    let mut launch = transfer.launch(id, TURN).expect("it waits to be handed out");
    Duty::new(ledger, transfer, id, &mut launch, permit)
}

fn lost() -> Error {
    Error::new(ErrorKind::ConnectionLost, "")
}

fn deleted() -> Result<Reply, Error> {
    Ok(Reply::ObjectDeleted { version_id: None })
}

/// Judges with the same answer each time; also what it was asked.
fn judge(transfer: &Transfer, id: JobId, delay: Option<Duration>) -> (Settled, Option<(bool, ErrorKind)>) {
    let mut asked = None;
    let settled = transfer.settle(id, |_retry, ended| {
        asked = ended.error.map(|error| (ended.unbegun, error.kind()));
        delay
    });
    (settled, asked)
}

/// The events behind the first, which says that it has started.
fn news(transfer: &Transfer) -> Vec<String> {
    let name = |event: Event| match event {
        Event::Started => "started".to_owned(),
        Event::Done { job, .. } => format!("{job} done"),
        Event::Failed { job, error } => format!("{job} {:?}", error.kind()),
        Event::Stop { error } => format!("stop {:?}", error.kind()),
        other => format!("{other:?}"),
    };
    std::iter::from_fn(|| transfer.next_event()).map(name).skip_while(|name| name == "started").collect()
}

#[test]
fn a_job_is_handed_out_reported_and_judged_once() {
    let ledger = ledger();
    let (transfer, _told) = entered(&ledger, upload(&b"x"[..]));
    transfer.add_job(JOB, Job::DeleteObject);
    let first = duty(&ledger, &transfer, JOB, 0);
    assert!(transfer.launch(JOB, TURN).is_none());
    assert_eq!(judge(&transfer, JOB, None).0, Settled::Nothing, "it has not ended");
    assert!(transfer.take_turn(JOB).is_none());
    assert!(first.accept());
    first.fulfil(deleted(), &Outbox::default());
    assert_eq!(transfer.take_turn(JOB), Some(TURN));
    assert_eq!(transfer.take_turn(JOB), None);
    assert_eq!(judge(&transfer, JOB, None).0, Settled::Over);
    assert_eq!(judge(&transfer, JOB, None).0, Settled::Nothing);
    assert_eq!(news(&transfer), ["j0 done"]);
    assert_eq!(ledger.budget.in_use(), InUse::default());
}

#[test]
fn a_duty_that_is_dropped_reports_and_says_whether_it_had_begun() {
    let ledger = ledger();
    for begun in [false, true] {
        let (transfer, _told) = entered(&ledger, upload(&b"x"[..]));
        transfer.add_job(JOB, Job::CommitTarget);
        let duty = duty(&ledger, &transfer, JOB, 0);
        if begun {
            assert!(duty.accept());
        }
        drop(duty);
        assert_eq!(ledger.budget.in_use(), InUse::default());
        assert_eq!(judge(&transfer, JOB, None), (Settled::Over, Some((!begun, ErrorKind::Internal))));
    }
}

#[test]
fn a_command_that_lay_too_long_is_handed_out_again_and_the_old_one_is_void() {
    let ledger = ledger();
    let (transfer, _told) = entered(&ledger, upload(&b"x"[..]));
    transfer.add_job(JOB, Job::DeleteObject);
    let old = duty(&ledger, &transfer, JOB, 0);
    assert_eq!(transfer.take_back_stale(JOB, PATIENCE), Lying::Yet);
    std::thread::sleep(Duration::from_millis(1));
    assert_eq!(transfer.take_back_stale(JOB, Duration::ZERO), Lying::TakenBack(Some(TURN)), "its turn is given back");
    assert!(transfer.is_retry(JOB));
    let new = duty(&ledger, &transfer, JOB, 0);
    assert!(!old.accept(), "whoever takes it up now must not carry it out");
    drop(old);
    assert!(new.accept());
    std::thread::sleep(Duration::from_millis(1));
    assert_eq!(transfer.take_back_stale(JOB, Duration::ZERO), Lying::No, "somebody works on it");
    assert_eq!(judge(&transfer, JOB, None).0, Settled::Nothing, "the old one's end does not count");
    new.fulfil(deleted(), &Outbox::default());
    assert_eq!(judge(&transfer, JOB, None).0, Settled::Over);
    assert_eq!(news(&transfer), ["j0 done"]);
}

#[test]
fn a_failed_attempt_leaves_its_memory_to_the_next() {
    let ledger = ledger();
    let (transfer, _told) = entered(&ledger, upload(&b"x"[..]));
    transfer.add_job(JOB, Job::DeleteObject);
    let first = duty(&ledger, &transfer, JOB, 1000);
    assert!(first.accept());
    first.fulfil(Err(lost()), &Outbox::default());
    assert_eq!(ledger.budget.in_use(), InUse { memory: 1000, ..InUse::default() });
    assert_eq!(judge(&transfer, JOB, Some(Duration::ZERO)).0, Settled::Requeue);
    let mut second = duty(&ledger, &transfer, JOB, 0);
    second.shrink_memory(400);
    assert_eq!(ledger.budget.in_use(), InUse { requests: 1, memory: 400, ..InUse::default() });
    let memory = second.take_memory().unwrap();
    second.fulfil(deleted(), &Outbox::default());
    assert_eq!(ledger.budget.in_use(), InUse { memory: 400, ..InUse::default() });
    drop(memory);
    assert_eq!(ledger.budget.in_use(), InUse::default());
}

#[test]
fn withdrawing_ends_what_waits_and_a_cut_transfer_tries_nothing_but_its_cleaning_up_again() {
    let ledger = ledger();
    let (transfer, _told) = entered(&ledger, upload(&b"x"[..]));
    let (queued, waiting, flying, judged, clean_up) = (JobId(0), JobId(1), JobId(2), JobId(3), JobId(4));
    for id in [queued, waiting, flying, judged] {
        transfer.add_job(id, Job::CreateUpload);
    }
    duty(&ledger, &transfer, waiting, 500).fulfil(Err(lost()), &Outbox::default());
    let later = Some(Duration::from_secs(60));
    assert_eq!(judge(&transfer, waiting, later).0, Settled::RetryAfter(Duration::from_secs(60)));
    let under_way = duty(&ledger, &transfer, flying, 0);
    duty(&ledger, &transfer, judged, 0).fulfil(Err(lost()), &Outbox::default());
    transfer.call.cut();
    transfer.withdraw();
    let mut ended = news(&transfer);
    ended.sort();
    assert_eq!(ended, ["j0 Cancelled", "j1 Cancelled"]);
    assert_eq!(ledger.budget.in_use().memory, 0, "what a waiting one had is given back");
    assert!(!transfer.ready(waiting), "its timer comes too late");
    // Whatever the policy says: a cancel must not wait for a pause, and opening an upload only to abort it helps nobody.
    assert_eq!(judge(&transfer, judged, later).0, Settled::Over);
    under_way.fulfil(Err(lost()), &Outbox::default());
    assert_eq!(judge(&transfer, flying, later).0, Settled::Over);
    assert_eq!(news(&transfer), ["j3 ConnectionLost", "j2 ConnectionLost"]);
    transfer.add_job(clean_up, Job::AbortUpload { upload_id: "u".into() });
    duty(&ledger, &transfer, clean_up, 0).fulfil(Err(lost()), &Outbox::default());
    assert_eq!(judge(&transfer, clean_up, later).0, Settled::RetryAfter(Duration::from_secs(60)));
    assert!(!transfer.ready(clean_up), "the timer of an earlier pause");

    let again = JobId(5);
    transfer.add_job(again, Job::AbortUpload { upload_id: "u".into() });
    duty(&ledger, &transfer, again, 0).fulfil(Err(lost()), &Outbox::default());
    let soon = Duration::from_millis(1);
    assert_eq!(judge(&transfer, again, Some(soon)).0, Settled::RetryAfter(soon));
    std::thread::sleep(soon);
    assert!(transfer.ready(again) && !transfer.ready(again));
}

#[test]
fn a_scheduler_that_starts_anew_finds_the_jobs_in_their_order() {
    let ledger = ledger();
    let (transfer, _told) = entered(&ledger, upload(&b"x"[..]));
    for id in (0..100).rev() {
        transfer.add_job(JobId(id), Job::DeleteObject);
    }
    let flying = duty(&ledger, &transfer, JobId(7), 0);
    duty(&ledger, &transfer, JobId(8), 0).fulfil(deleted(), &Outbox::default());
    let pending = transfer.reconcile();
    assert_eq!(pending.iter().map(|(id, _)| id.0).collect::<Vec<_>>(), (0..100).collect::<Vec<_>>());
    let is_right = |(id, pending): &(JobId, Pending)| match id.0 {
        7 => matches!(pending, Pending::Flying),
        8 => matches!(pending, Pending::Ended),
        _ => matches!(pending, Pending::Queued),
    };
    assert!(pending.iter().all(is_right));
    drop(flying);
}

#[test]
fn whoever_is_told_that_his_stop_counts_finds_it_in_the_end() {
    let ledger = ledger();
    for _ in 0..500 {
        let (transfer, told) = entered(&ledger, upload(&b"x"[..]));
        let barrier = Barrier::new(3);
        let counted: Vec<bool> = std::thread::scope(|scope| {
            let stopping: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        ledger.stop(&transfer, cancelled())
                    })
                })
                .collect();
            barrier.wait();
            transfer.finish(Err(lost()));
            stopping.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let end = end_of(&told).unwrap_err();
        assert!(!(counted[0] && counted[1]), "the second makes no difference");
        let expected = if counted[0] || counted[1] { ErrorKind::Cancelled } else { ErrorKind::ConnectionLost };
        assert_eq!(end.kind(), expected);
        assert_eq!(end.at().bucket.as_deref(), Some("bucket"));
        assert!(!ledger.stop(&transfer, cancelled()), "it has ended");
    }
}

#[test]
fn an_end_is_told_once_and_after_all_progress() {
    let ledger = ledger();
    let (transfer, told) = entered(&ledger, upload(&b"x"[..]));
    let progress = transfer.call.meter.begin_job();
    progress.reached(5);
    transfer.report_progress_if_due();
    progress.reached(12);
    transfer.finish(Ok(TransferOutcome::of_bytes(12)));
    transfer.finish(Err(lost()));
    ledger.abandon(&lost());
    drop(transfer);
    let told: Vec<Told> = told.try_iter().collect();
    let [Told::Progress(5), Told::Progress(7), Told::End(Ok(outcome))] = &told[..] else { panic!("{told:?}") };
    assert_eq!(outcome.bytes, 12);
}

#[test]
fn progress_is_told_as_often_as_was_asked() {
    let (observer, told) = Witness::boxed();
    let call = upload(&b"x"[..]);
    let hour = Duration::from_secs(3600);
    let transfer = Transfer::new(Arc::clone(&call), DeleteMachine::new().into(), hour, observer);
    call.meter.begin_job().reached(5);
    transfer.report_progress_if_due();
    assert!(told.try_recv().is_err());
    transfer.finish(Ok(TransferOutcome::of_bytes(5)));
    assert!(matches!(told.try_recv(), Ok(Told::Progress(5))));
}

#[test]
fn a_transfer_that_everybody_forgets_is_told_an_end() {
    let (transfer, told) = new_transfer(upload(&b"x"[..]));
    drop(transfer);
    assert_eq!(end_of(&told).unwrap_err().kind(), ErrorKind::Internal);
}

#[test]
fn abandoning_ends_everything_also_what_enters_at_that_moment() {
    for _ in 0..50 {
        let ledger = ledger();
        let error = Error::new(ErrorKind::ShutDown, "");
        let barrier = Barrier::new(5);
        let told: Vec<Receiver<Told>> = std::thread::scope(|scope| {
            let entering: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let (transfer, told) = new_transfer(upload(&b"x"[..]));
                        barrier.wait();
                        ledger.enter(Arc::clone(&transfer));
                        // As the one who submits it does when he finds the system closed.
                        ledger.abandon_one(&transfer, &error);
                        told
                    })
                })
                .collect();
            barrier.wait();
            ledger.abandon(&error);
            entering.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for told in told {
            assert_eq!(end_of(&told).unwrap_err().kind(), ErrorKind::ShutDown);
            assert!(told.try_recv().is_err(), "once");
        }
        assert!(ledger.is_idle() && ledger.transfers.is_empty() && ledger.watched.is_empty());
    }
}

#[test]
fn nothing_keeps_a_transfer_that_has_ended() {
    let ledger = ledger();
    let folder = tempfile::tempdir().unwrap();
    let targets = [
        DownloadTarget::memory(),
        DownloadTarget::polled(),
        DownloadTarget::writer(std::io::sink()),
        DownloadTarget::path(folder.path().join("a")),
    ];
    let mut kept: Vec<(Weak<Transfer>, Weak<Call>)> = Vec::new();
    for call in targets
        .map(download)
        .into_iter()
        .chain([upload(&b"x"[..]), upload(crate::UploadSource::reader(std::io::empty()))])
    {
        let (transfer, told) = entered(&ledger, call);
        transfer.add_job(JOB, Job::DeleteObject);
        let duty = duty(&ledger, &transfer, JOB, 10);
        ledger.watched.insert(transfer.id(), Arc::clone(&transfer));
        kept.push((Arc::downgrade(&transfer), Arc::downgrade(&transfer.call)));
        ledger.leave(transfer.id());
        ledger.conclude(&transfer, Err(lost()));
        assert_eq!(end_of(&told).unwrap_err().kind(), ErrorKind::ConnectionLost);
        drop(transfer);
        // An attempt that has not heard of it yet.
        duty.fulfil(deleted(), &Outbox::default());
    }
    for (transfer, call) in kept {
        assert!(transfer.upgrade().is_none() && call.upgrade().is_none());
    }
    assert_eq!(ledger.budget.in_use(), InUse::default());
    let weak = Arc::downgrade(&ledger);
    drop(ledger);
    assert!(weak.upgrade().is_none());
}

#[test]
fn an_in_order_target_tells_its_transfer_while_there_is_one() {
    let ledger = ledger();
    let (transfer, _told) = entered(&ledger, download(DownloadTarget::polled()));
    let call = Arc::clone(transfer.call());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let Some(Target::Ordered(target)) = call.target.as_deref() else { panic!() };
    target.push(0, bytes::Bytes::from_static(b"abc"));
    assert!(call.poll_piece(&mut context).is_ready());
    assert!(matches!(std::iter::from_fn(|| transfer.next_event()).last(), Some(Event::Delivered { bytes: 3 })));
    ledger.abandon(&lost());
    drop(transfer);
    // Nobody is there to be told, and the poller hears the end.
    assert!(matches!(call.poll_piece(&mut context), std::task::Poll::Ready(Some(Err(_)))));
}

/// There may be a million of them. What all of it comes to is in `docs/semantics.md`, as the suite `scale` measures it.
#[cfg(target_pointer_width = "64")]
#[test]
fn what_a_waiting_transfer_consists_of_is_small() {
    let sizes = [size_of::<Call>(), size_of::<Transfer>(), size_of::<jobs::JobRecord>(), size_of::<Target>()];
    assert!(sizes.iter().zip([264, 224, 176, 72]).all(|(size, most)| *size <= most), "{sizes:?}");
    let ledger = ledger();
    let (transfer, _told) = entered(&ledger, upload(&b"x"[..]));
    transfer.add_job(JOB, Job::DeleteObject);
    assert!(transfer.next_event().is_some());
    assert_eq!(
        transfer.spare_room(),
        (0, 1),
        "no room for events that have not come, nor for jobs that have not begun"
    );
}
