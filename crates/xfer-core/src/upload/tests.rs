#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use super::*;
use crate::id::JobId;

const MIB: u64 = 1 << 20;

fn spec(length: Option<u64>, rereadable: bool) -> UploadSpec {
    UploadSpec {
        length,
        rereadable,
        part_size: 8 * MIB,
        threshold: 8 * MIB,
        window: 3,
        checksum: UploadChecksum::PerRequest { algorithm: Algorithm::Crc32, kind: ChecksumKind::FullObject },
    }
}

/// A machine, and the jobs that it asked for and that wait for an answer.
struct Bench {
    machine: UploadMachine,
    jobs: Vec<(JobId, Job)>,
    withdrawn: usize,
    result: Option<Result<TransferOutcome, Error>>,
}

impl Bench {
    fn start(spec: UploadSpec) -> Bench {
        let machine = UploadMachine::new(spec).unwrap();
        let mut bench = Bench { machine, jobs: Vec::new(), withdrawn: 0, result: None };
        bench.on(Event::Started);
        bench
    }

    fn on(&mut self, event: Event) {
        assert!(self.result.is_none(), "nothing happens after the end");
        let mut effects = Vec::new();
        self.machine.on(event, &mut effects);
        for effect in effects {
            match effect {
                Effect::Run { id, job } => self.jobs.push((id, job)),
                Effect::Withdraw => self.withdrawn += 1,
                Effect::Finish(result) => {
                    assert!(self.jobs.is_empty(), "nothing is under way at the end");
                    assert!(self.result.replace(result).is_none());
                }
            }
        }
        assert_eq!(self.machine.outstanding(), self.jobs.len());
    }

    fn names(&self) -> Vec<String> {
        let name = |(_, job): &(JobId, Job)| match job.part() {
            Some(part) => format!("{} {part}", job.name()),
            None => job.name().to_owned(),
        };
        self.jobs.iter().map(name).collect()
    }

    /// Takes the first job of this name (and part) off the list.
    fn take(&mut self, name: &str) -> (JobId, Job) {
        let names = self.names();
        let place = names.iter().position(|n| n == name).unwrap_or_else(|| panic!("no {name} in {names:?}"));
        self.jobs.remove(place)
    }

    fn done(&mut self, name: &str, reply: Reply) {
        let (job, asked) = self.take(name);
        self.on(Event::Done { job, reply: with_sent(&asked, reply) });
    }

    fn fail(&mut self, name: &str, kind: ErrorKind) {
        let (job, _) = self.take(name);
        self.on(Event::Failed { job, error: Error::new(kind, name) });
    }

    /// A request that stores the object fails for good, after an earlier try of it got no answer.
    fn refuse_after_silence(&mut self, name: &str, sent: Option<Checksum>, kind: ErrorKind) {
        let job = self.jobs.iter().find(|(_, job)| job.name() == name).expect("it is under way").0;
        self.on(Event::Noted { job, note: Note::Unanswered { sent } });
        self.fail(name, kind);
    }

    fn stop(&mut self, kind: ErrorKind) {
        self.on(Event::Stop { error: Error::new(kind, "stopped") });
    }

    fn created(&mut self) {
        self.done("CreateMultipartUpload", Reply::UploadCreated { upload_id: "id".into() });
    }

    fn read(&mut self, part: u32, length: u64, last: bool) {
        self.done(&format!("ReadPart {part}"), Reply::PartRead { length, last });
    }

    /// Stores a part of zeros.
    fn stored(&mut self, part: u32) {
        let (job, asked) = self.take(&format!("UploadPart {part}"));
        let Job::UploadPart { range, .. } = asked else { panic!("{asked:?}") };
        let checksum = Some(zeros(range.len()));
        self.on(Event::Done { job, reply: Reply::PartStored { etag: format!("e{part}").into(), checksum } });
    }

    fn aborted(&mut self, gone: bool) {
        self.done("AbortMultipartUpload", Reply::UploadAborted { gone });
    }

    fn error(&self) -> ErrorKind {
        self.result.as_ref().expect("it has ended").as_ref().unwrap_err().kind()
    }

    fn outcome(&self) -> &TransferOutcome {
        self.result.as_ref().expect("it has ended").as_ref().unwrap()
    }
}

fn zeros(length: u64) -> Checksum {
    // The combined checksum of single bytes would take long; that of blocks is as good.
    Checksum::of(Algorithm::Crc32, &vec![0; usize::try_from(length).unwrap()])
}

#[test]
fn a_small_file_is_one_request() {
    for length in [0, 1, 8 * MIB] {
        let mut bench = Bench::start(spec(Some(length), true));
        assert_eq!(bench.names(), ["PutObject"]);
        let sent = Some(Checksum::of(Algorithm::Crc32, b""));
        let stored = StoredObject { etag: Some("e".into()), version_id: Some("v".into()), sent, ..Default::default() };
        bench.done("PutObject", Reply::ObjectPut(stored));
        let outcome = bench.outcome();
        assert_eq!(
            (outcome.bytes, outcome.etag.as_deref(), outcome.version_id.as_deref()),
            (length, Some("e"), Some("v"))
        );
        assert_eq!(outcome.verified, Verified::FullObject(Algorithm::Crc32));
    }
}

#[test]
fn a_large_file_goes_in_parts_within_the_window() {
    let mut bench = Bench::start(spec(Some(40 * MIB + 1), true));
    assert_eq!(bench.names(), ["CreateMultipartUpload"]);
    bench.created();
    assert_eq!(bench.names(), ["UploadPart 1", "UploadPart 2", "UploadPart 3"]);
    bench.stored(2);
    assert_eq!(bench.names(), ["UploadPart 1", "UploadPart 3", "UploadPart 4"]);
    for part in [3, 4, 1, 5] {
        bench.stored(part);
    }
    let (_, last) = &bench.jobs[0];
    assert!(matches!(last, Job::UploadPart { range, .. } if *range == ByteRange::new(40 * MIB, 40 * MIB + 1)));
    bench.stored(6);
    let (job, complete) = bench.take("CompleteMultipartUpload");
    let Job::CompleteUpload { upload_id, parts, size, checksum } = complete else { panic!("{complete:?}") };
    assert_eq!((&*upload_id, size), ("id", 40 * MIB + 1));
    assert_eq!(checksum.as_ref(), Some(&zeros(40 * MIB + 1)));
    let list: Vec<_> = parts.iter().map(|part| (part.number.get(), &*part.etag)).collect();
    assert_eq!(list, [(1, "e1"), (2, "e2"), (3, "e3"), (4, "e4"), (5, "e5"), (6, "e6")]);
    bench.jobs.push((job, Job::DeleteObject));
    bench.done("DeleteObject", Reply::UploadCompleted(StoredObject { sent: checksum, ..Default::default() }));
    assert_eq!(bench.outcome().verified, Verified::FullObject(Algorithm::Crc32));
    assert_eq!(bench.withdrawn, 0);
}

/// Up to CompleteMultipartUpload, with two parts of zeros.
fn at_completion(checksum: UploadChecksum) -> Bench {
    let mut bench = Bench::start(UploadSpec { checksum, ..spec(Some(16 * MIB), true) });
    bench.created();
    bench.stored(1);
    bench.stored(2);
    bench
}

/// The reply of a worker: the full-object checksum that it was given went along.
fn with_sent(asked: &Job, reply: Reply) -> Reply {
    match (asked, reply) {
        (Job::CompleteUpload { checksum, .. }, Reply::UploadCompleted(stored)) => {
            Reply::UploadCompleted(StoredObject { sent: checksum.clone(), ..stored })
        }
        (_, reply) => reply,
    }
}

fn composite() -> UploadChecksum {
    UploadChecksum::PerRequest { algorithm: Algorithm::Crc32, kind: ChecksumKind::Composite }
}

#[test]
fn what_is_verified_is_said_truthfully() {
    let full = StoredObject {
        checksum: Some(zeros(16 * MIB)),
        checksum_kind: Some(ChecksumKind::FullObject),
        ..Default::default()
    };
    let table = [
        (composite(), StoredObject::default(), Verified::EachPart(Algorithm::Crc32)),
        // The store tells more than it was asked for, and it is right.
        (composite(), full.clone(), Verified::FullObject(Algorithm::Crc32)),
        // A value of an unknown kind says nothing.
        (
            composite(),
            StoredObject { checksum: Some(zeros(1)), ..Default::default() },
            Verified::EachPart(Algorithm::Crc32),
        ),
        (UploadChecksum::CallerGiven(zeros(16 * MIB)), StoredObject::default(), Verified::FullObject(Algorithm::Crc32)),
        (
            UploadChecksum::CallerGiven(Checksum::of(Algorithm::Crc64Nvme, b"anything")),
            full,
            Verified::FullObject(Algorithm::Crc64Nvme),
        ),
    ];
    for (checksum, stored, verified) in table {
        let mut bench = at_completion(checksum.clone());
        bench.done("CompleteMultipartUpload", Reply::UploadCompleted(stored.clone()));
        assert_eq!(bench.outcome().verified, verified, "{checksum:?} {stored:?}");
    }
}

#[test]
fn a_full_object_checksum_that_did_not_go_along_is_not_claimed() {
    let mut bench = at_completion(spec(None, true).checksum);
    let (job, _) = bench.take("CompleteMultipartUpload");
    bench.on(Event::Done { job, reply: Reply::UploadCompleted(StoredObject::default()) });
    assert_eq!(bench.outcome().verified, Verified::EachPart(Algorithm::Crc32));
}

#[test]
fn an_md5_of_the_whole_is_for_single_requests_only() {
    let md5 = |length| UploadSpec { checksum: UploadChecksum::Md5Given, ..spec(Some(length), true) };
    assert!(UploadMachine::new(md5(1)).is_ok());
    let error = UploadMachine::new(md5(40 * MIB)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("MD5 cannot be the full-object checksum"), "{error}");
}

#[test]
fn without_checksums_nothing_is_verified() {
    let mut bench = Bench::start(UploadSpec { checksum: UploadChecksum::None, ..spec(Some(9 * MIB), true) });
    bench.created();
    for part in 1..=2 {
        bench.done(&format!("UploadPart {part}"), Reply::PartStored { etag: "e".into(), checksum: None });
    }
    bench.done("CompleteMultipartUpload", Reply::UploadCompleted(StoredObject::default()));
    assert_eq!(bench.outcome().verified, Verified::NotAvailable);
}

#[test]
fn a_store_that_has_other_bytes_is_found_out() {
    let wrong = Some(Checksum::of(Algorithm::Crc32, b"other"));
    let mut bench = at_completion(spec(None, true).checksum);
    let stored = StoredObject { checksum: wrong.clone(), ..Default::default() };
    bench.done("CompleteMultipartUpload", Reply::UploadCompleted(stored));
    assert_eq!(bench.error(), ErrorKind::ChecksumMismatch);

    let mut bench = Bench::start(spec(Some(1), true));
    let stored = StoredObject { checksum: wrong, sent: Some(zeros(1)), ..Default::default() };
    bench.done("PutObject", Reply::ObjectPut(stored));
    assert_eq!(bench.error(), ErrorKind::ChecksumMismatch);
}

#[test]
fn a_source_that_is_not_what_the_caller_said_is_not_completed() {
    let mut bench = at_completion(UploadChecksum::CallerGiven(Checksum::of(Algorithm::Crc32, b"another file")));
    assert_eq!(bench.names(), ["AbortMultipartUpload"]);
    bench.aborted(false);
    assert_eq!(bench.error(), ErrorKind::ChecksumMismatch);
}

#[test]
fn hashes_that_do_not_combine_are_refused_before_anything_is_sent() {
    let sha = |kind| UploadChecksum::PerRequest { algorithm: Algorithm::Sha256, kind };
    let with = |length, checksum| UploadMachine::new(UploadSpec { checksum, ..spec(Some(length), true) });
    assert!(with(16 * MIB, sha(ChecksumKind::Composite)).is_ok());
    assert!(with(MIB, sha(ChecksumKind::FullObject)).is_ok(), "one request is its own full object");
    let error = with(16 * MIB, sha(ChecksumKind::FullObject)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let given = UploadChecksum::CallerGiven(Checksum::of(Algorithm::Sha1, b""));
    assert_eq!(with(16 * MIB, given.clone()).unwrap_err().kind(), ErrorKind::InvalidArgument);

    let mut bench = Bench::start(UploadSpec { checksum: given, ..spec(None, false) });
    bench.read(1, 8 * MIB, false);
    assert_eq!(bench.error(), ErrorKind::InvalidArgument);
}

#[test]
fn a_stream_that_ends_in_its_first_part_is_one_request() {
    for length in [0, 5, 8 * MIB] {
        let mut bench = Bench::start(spec(None, false));
        assert_eq!(bench.names(), ["ReadPart 1"]);
        bench.read(1, length, true);
        let (_, put) = bench.take("PutObject");
        assert_eq!(put, Job::PutObject { length });
    }
}

#[test]
fn a_stream_above_the_threshold_goes_in_parts_even_if_it_is_only_one() {
    let mut bench = Bench::start(UploadSpec { threshold: 4, ..spec(None, false) });
    bench.read(1, 5, true);
    bench.created();
    bench.stored(1);
    assert_eq!(bench.names(), ["CompleteMultipartUpload"]);
}

#[test]
fn a_stream_is_read_in_order_one_part_at_a_time_within_the_window() {
    let mut bench = Bench::start(spec(None, false));
    bench.read(1, 8 * MIB, false);
    assert_eq!(bench.names(), ["CreateMultipartUpload", "ReadPart 2"]);
    bench.read(2, 8 * MIB, false);
    bench.read(3, 8 * MIB, false);
    assert_eq!(bench.names(), ["CreateMultipartUpload"], "three parts are kept, that is the window");
    bench.created();
    assert_eq!(bench.names(), ["UploadPart 1", "UploadPart 2", "UploadPart 3"]);
    bench.stored(2);
    assert_eq!(bench.names(), ["UploadPart 1", "UploadPart 3", "ReadPart 4"]);
    bench.stored(1);
    assert_eq!(bench.names(), ["UploadPart 3", "ReadPart 4"]);
    // The length is an exact multiple: there is no fourth part.
    bench.read(4, 0, true);
    bench.stored(3);
    let (_, complete) = bench.take("CompleteMultipartUpload");
    let Job::CompleteUpload { parts, size, checksum, .. } = complete else { panic!("{complete:?}") };
    assert_eq!((parts.len(), size, checksum), (3, 24 * MIB, Some(zeros(24 * MIB))));
}

/// The window is one of memory: parts that are larger than was asked for are fewer.
#[test]
fn parts_that_have_to_be_larger_take_no_more_memory() {
    let read_ahead = |part_size, length| {
        let spec = UploadSpec { part_size, window: 20, ..spec(length, false) };
        let mut bench = Bench::start(spec);
        let mut kept = 0;
        while let Some((_, Job::ReadPart { number, max })) = bench.jobs.iter().find(|(_, job)| job.name() == "ReadPart")
        {
            let (number, max) = (number.get(), *max);
            bench.read(number, max, false);
            kept += max;
        }
        kept / MIB
    };
    assert_eq!(read_ahead(8 * MIB, None), 20 * 8);
    assert_eq!(read_ahead(MIB, None), 20, "parts of 5 MiB, which is the least");
    assert_eq!(read_ahead(MIB, Some(90 * MIB)), 20);
    assert_eq!(read_ahead(8 * MIB, Some(800 << 30)), 2 * 82, "of two one can be read while the other is sent");
    // From part 1,001 on they grow.
    let mut bench = Bench::start(UploadSpec { part_size: 8 * MIB, window: 7, ..spec(None, false) });
    bench.read(1, 8 * MIB, false);
    bench.created();
    for part in 1..=1_001 {
        bench.done(&format!("UploadPart {part}"), Reply::PartStored { etag: "e".into(), checksum: None });
        let next = part + 1;
        bench.read(next, if next > 1_000 { 16 * MIB } else { 8 * MIB }, false);
    }
    bench.read(1_003, 16 * MIB, false);
    bench.read(1_004, 16 * MIB, false);
    assert!(
        !bench.names().iter().any(|name| name.starts_with("ReadPart")),
        "three of 16 MiB for seven of 8: {:?}",
        bench.names()
    );
}

#[test]
fn a_stream_of_known_length_is_kept_to_its_word() {
    let mut bench = Bench::start(spec(Some(20 * MIB), false));
    assert_eq!(bench.names(), ["CreateMultipartUpload", "ReadPart 1"]);
    bench.created();
    bench.read(1, 8 * MIB, false);
    bench.read(2, 7 * MIB, true);
    assert_eq!((bench.withdrawn, bench.names()), (1, vec!["UploadPart 1".to_owned()]));
    bench.fail("UploadPart 1", ErrorKind::Cancelled);
    bench.aborted(true);
    assert_eq!(bench.error(), ErrorKind::SourceChanged);

    // Ending at a boundary is ending early as well.
    let mut bench = Bench::start(spec(Some(20 * MIB), false));
    bench.created();
    bench.read(1, 8 * MIB, true);
    bench.aborted(true);
    assert_eq!(bench.error(), ErrorKind::SourceChanged);

    // And so it is for a single request.
    let mut bench = Bench::start(spec(Some(20), false));
    assert_eq!(bench.jobs[0].1, Job::ReadPart { number: PartNumber::FIRST, max: 20 });
    bench.read(1, 19, true);
    assert_eq!(bench.error(), ErrorKind::SourceChanged);

    let mut bench = Bench::start(spec(Some(20), false));
    bench.read(1, 20, false);
    assert_eq!(bench.names(), ["PutObject"]);
}

#[test]
fn a_stream_longer_than_ten_thousand_parts_fails() {
    let mut bench = Bench::start(UploadSpec { window: 1, checksum: UploadChecksum::None, ..spec(None, false) });
    for part in 1..=10_000 {
        let Job::ReadPart { max, .. } = bench.jobs.iter().find(|(_, job)| job.name() == "ReadPart").unwrap().1 else {
            panic!("only a read has this name")
        };
        bench.read(part, max, false);
        if part == 1 {
            bench.created();
        }
        if part < 10_000 {
            bench.done(&format!("UploadPart {part}"), Reply::PartStored { etag: "e".into(), checksum: None });
        }
    }
    bench.aborted(true);
    assert_eq!(bench.error(), ErrorKind::TooLarge);
}

#[test]
fn a_failed_part_ends_in_an_abort_that_is_repeated_until_the_upload_is_gone() {
    for (answers, expected) in [(&[true][..], 1), (&[false, true], 2), (&[false, false, false], 3)] {
        let mut bench = Bench::start(spec(Some(40 * MIB), true));
        bench.created();
        bench.fail("UploadPart 2", ErrorKind::AccessDenied);
        assert_eq!(bench.withdrawn, 1);
        assert_eq!(bench.names(), ["UploadPart 1", "UploadPart 3"]);
        // One cannot be cut in time: that is no reason to send another.
        bench.stored(1);
        bench.fail("UploadPart 3", ErrorKind::Cancelled);
        for (made, gone) in answers.iter().enumerate() {
            assert!(bench.result.is_none(), "after {made} aborts");
            bench.aborted(*gone);
        }
        assert_eq!(bench.error(), ErrorKind::AccessDenied);
        assert_eq!(answers.len(), expected);
        assert_eq!(bench.withdrawn, 1);
    }
}

#[test]
fn an_upload_whose_parts_have_all_arrived_is_aborted_once() {
    let mut bench = at_completion(composite());
    bench.fail("CompleteMultipartUpload", ErrorKind::ConnectionLost);
    bench.aborted(false);
    assert_eq!(bench.error(), ErrorKind::ConnectionLost);
}

#[test]
fn a_failed_abort_does_not_hide_the_first_error() {
    let mut bench = Bench::start(spec(Some(40 * MIB), true));
    bench.created();
    bench.stop(ErrorKind::ShutDown);
    for part in 1..=3 {
        bench.fail(&format!("UploadPart {part}"), ErrorKind::Cancelled);
    }
    bench.fail("AbortMultipartUpload", ErrorKind::Connect);
    assert_eq!(bench.error(), ErrorKind::ShutDown);
    let Some(Err(error)) = &bench.result else { panic!("it has failed") };
    assert_eq!(error.left_behind(), Some("id"), "but what it leaves is said beside it");
}

#[test]
fn an_upload_that_is_created_after_the_stop_is_aborted() {
    let mut bench = Bench::start(spec(Some(40 * MIB), true));
    bench.stop(ErrorKind::Cancelled);
    assert_eq!((bench.withdrawn, bench.names()), (1, vec!["CreateMultipartUpload".to_owned()]));
    bench.created();
    assert_eq!(bench.names(), ["AbortMultipartUpload"]);
    bench.aborted(false);
    assert_eq!(bench.error(), ErrorKind::Cancelled);

    let mut bench = Bench::start(spec(Some(40 * MIB), true));
    bench.stop(ErrorKind::Cancelled);
    bench.fail("CreateMultipartUpload", ErrorKind::Cancelled);
    assert_eq!(bench.error(), ErrorKind::Cancelled, "without an upload there is nothing to abort");
}

#[test]
fn the_first_error_wins_but_a_stop_says_more_than_a_cut_job() {
    let mut bench = Bench::start(spec(Some(40 * MIB), true));
    bench.created();
    bench.fail("UploadPart 1", ErrorKind::Cancelled);
    bench.stop(ErrorKind::ShutDown);
    bench.fail("UploadPart 2", ErrorKind::DiskFull);
    bench.stop(ErrorKind::WaitTimeout);
    bench.fail("UploadPart 3", ErrorKind::Cancelled);
    bench.aborted(true);
    assert_eq!(bench.error(), ErrorKind::ShutDown);
    assert_eq!(bench.withdrawn, 1, "the abort is not taken back");
}

#[test]
fn a_stop_that_comes_too_late_changes_nothing() {
    let mut bench = at_completion(composite());
    bench.stop(ErrorKind::Cancelled);
    bench.done("CompleteMultipartUpload", Reply::UploadCompleted(StoredObject::default()));
    assert_eq!(bench.outcome().bytes, 16 * MIB);

    let mut bench = Bench::start(spec(Some(5), true));
    bench.stop(ErrorKind::Cancelled);
    bench.done("PutObject", Reply::ObjectPut(StoredObject::default()));
    assert_eq!(bench.outcome().bytes, 5);
}

#[test]
fn a_stop_before_the_completion_was_sent_aborts() {
    let mut bench = at_completion(composite());
    bench.stop(ErrorKind::Cancelled);
    bench.fail("CompleteMultipartUpload", ErrorKind::Cancelled);
    bench.aborted(false);
    assert_eq!(bench.error(), ErrorKind::Cancelled);
}

#[test]
fn a_stop_before_the_start_ends_it_at_once() {
    let mut machine = UploadMachine::new(spec(Some(1), true)).unwrap();
    let mut effects = Vec::new();
    machine.on(Event::Stop { error: Error::new(ErrorKind::ShutDown, "") }, &mut effects);
    assert!(matches!(&effects[..], [Effect::Finish(Err(error))] if error.kind() == ErrorKind::ShutDown));
    machine.on(Event::Started, &mut effects);
    assert_eq!(effects.len(), 1);
}

#[test]
fn answers_that_come_twice_or_from_nowhere_are_ignored() {
    let mut bench = Bench::start(spec(Some(40 * MIB), true));
    bench.created();
    let reply = Reply::PartStored { etag: "e1".into(), checksum: None };
    let (job, _) = bench.take("UploadPart 1");
    bench.on(Event::Done { job, reply: reply.clone() });
    bench.on(Event::Done { job, reply: reply.clone() });
    bench.on(Event::Failed { job, error: Error::internal("late") });
    bench.on(Event::Done { job: JobId(99), reply });
    bench.on(Event::Started);
    bench.on(Event::Delivered { bytes: 5 });
    assert_eq!(bench.names(), ["UploadPart 2", "UploadPart 3", "UploadPart 4"]);
}

#[test]
fn the_reply_of_another_job_is_a_failure_not_a_crash() {
    let mut bench = Bench::start(spec(Some(40 * MIB), true));
    bench.created();
    bench.done("UploadPart 1", Reply::TargetCommitted);
    bench.fail("UploadPart 2", ErrorKind::Cancelled);
    bench.fail("UploadPart 3", ErrorKind::Cancelled);
    bench.done("AbortMultipartUpload", Reply::TargetDiscarded);
    assert_eq!(bench.error(), ErrorKind::Internal);

    let mut bench = Bench::start(spec(None, false));
    bench.read(1, 8 * MIB + 1, false);
    assert_eq!(bench.error(), ErrorKind::Internal);
    let mut bench = Bench::start(spec(None, false));
    bench.read(1, 5, false);
    assert_eq!(bench.error(), ErrorKind::Internal, "a short read that is not the end");
}

/// The object as it lies in the store when it is what was sent: zeros.
fn ours(length: u64) -> SeenObject {
    SeenObject {
        size: length,
        etag: Some("\"e\"".into()),
        version_id: Some("v".to_owned()),
        checksums: vec![zeros(length)],
        age: Some(Duration::from_secs(1)),
        begun: Duration::from_secs(3),
        ..SeenObject::default()
    }
}

#[test]
fn a_put_that_is_refused_because_it_was_carried_out_is_a_success() {
    let refused = || {
        let mut bench = Bench::start(spec(Some(5), true));
        bench.refuse_after_silence("PutObject", Some(zeros(5)), ErrorKind::PreconditionFailed);
        assert_eq!(bench.jobs[0].1, Job::LookForObject { with_md5: true });
        bench
    };
    let mut bench = refused();
    bench.done("HeadObject", Reply::ObjectSeen(Some(ours(5))));
    let outcome = bench.outcome();
    assert_eq!((outcome.bytes, outcome.etag.as_deref(), outcome.version_id.as_deref()), (5, Some("\"e\""), Some("v")));
    assert_eq!(outcome.verified, Verified::FullObject(Algorithm::Crc32));

    // By its ETag, where the store keeps no checksums.
    let mut bench = refused();
    let by_etag = SeenObject { checksums: Vec::new(), source_etag: Some("\"e\"".to_owned()), ..ours(5) };
    bench.done("HeadObject", Reply::ObjectSeen(Some(by_etag)));
    assert_eq!(bench.outcome().etag.as_deref(), Some("\"e\""));

    for another in [
        None,
        Some(SeenObject { size: 6, ..ours(5) }),
        Some(SeenObject { checksums: vec![zeros(6)], ..ours(5) }),
        Some(SeenObject { checksums: Vec::new(), source_etag: Some("\"f\"".to_owned()), ..ours(5) }),
        Some(SeenObject { age: Some(Duration::from_secs(60)), ..ours(5) }),
    ] {
        let mut bench = refused();
        bench.done("HeadObject", Reply::ObjectSeen(another));
        assert_eq!(bench.error(), ErrorKind::PreconditionFailed);
    }
    let mut bench = refused();
    bench.fail("HeadObject", ErrorKind::AccessDenied);
    assert_eq!(bench.error(), ErrorKind::PreconditionFailed, "what cannot be found out is not made up");
}

#[test]
fn a_completion_that_is_refused_because_it_was_carried_out_is_a_success() {
    let complete = "CompleteMultipartUpload";
    // The upload is gone, as it should be.
    let mut bench = at_completion(spec(None, true).checksum);
    bench.refuse_after_silence(complete, Some(zeros(16 * MIB)), ErrorKind::NoSuchUpload);
    assert_eq!(bench.jobs[0].1, Job::LookForObject { with_md5: false });
    bench.done("HeadObject", Reply::ObjectSeen(Some(ours(16 * MIB))));
    assert_eq!(bench.outcome().verified, Verified::FullObject(Algorithm::Crc32));

    // The store had refused the checksum, so that it did not go along: what it tells of the object all the same says whose it is.
    let mut bench = at_completion(spec(None, true).checksum);
    bench.refuse_after_silence(complete, None, ErrorKind::NoSuchUpload);
    bench.done("HeadObject", Reply::ObjectSeen(Some(ours(16 * MIB))));
    assert_eq!(bench.outcome().verified, Verified::EachPart(Algorithm::Crc32));

    // Of parts whose checksums do not make one of the whole, by the ETag that they give.
    let mut bench = Bench::start(UploadSpec { checksum: UploadChecksum::None, ..spec(Some(16 * MIB), true) });
    bench.created();
    let md5 = "\"d41d8cd98f00b204e9800998ecf8427e\"";
    let parts = [1, 2].map(|part| {
        bench.done(&format!("UploadPart {part}"), Reply::PartStored { etag: md5.into(), checksum: None });
        UploadedPart { number: PartNumber::new(part).unwrap(), etag: md5.into(), checksum: None }
    });
    bench.refuse_after_silence(complete, None, ErrorKind::NoSuchUpload);
    let etag = multipart_etag(&parts).map(Into::into);
    bench.done("HeadObject", Reply::ObjectSeen(Some(SeenObject { etag, checksums: Vec::new(), ..ours(16 * MIB) })));
    assert_eq!(bench.outcome().verified, Verified::NotAvailable);

    // A condition was not met: whether the upload is gone is not said, so that it is removed, whatever comes of that.
    for removal in [Ok(true), Ok(false), Err(ErrorKind::Connect)] {
        let mut bench = at_completion(composite());
        bench.refuse_after_silence(complete, None, ErrorKind::PreconditionFailed);
        bench.done("HeadObject", Reply::ObjectSeen(Some(ours(16 * MIB))));
        bench.stop(ErrorKind::Cancelled);
        match removal {
            Ok(gone) => bench.aborted(gone),
            Err(kind) => bench.fail("AbortMultipartUpload", kind),
        }
        assert_eq!(bench.outcome().bytes, 16 * MIB, "{removal:?}");
    }

    // Another's object.
    let mut bench = at_completion(composite());
    bench.refuse_after_silence(complete, None, ErrorKind::PreconditionFailed);
    bench.done("HeadObject", Reply::ObjectSeen(Some(SeenObject { checksums: vec![zeros(1)], ..ours(16 * MIB) })));
    bench.aborted(false);
    assert_eq!(bench.error(), ErrorKind::PreconditionFailed);
}

#[test]
fn nobody_looks_where_there_is_no_doubt() {
    // Each request was answered: it is another who has stored the object.
    let mut bench = Bench::start(spec(Some(5), true));
    bench.fail("PutObject", ErrorKind::PreconditionFailed);
    assert_eq!(bench.error(), ErrorKind::PreconditionFailed);
    // It may have been carried out, and nobody says that it was.
    let mut bench = Bench::start(spec(Some(5), true));
    bench.refuse_after_silence("PutObject", Some(zeros(5)), ErrorKind::AccessDenied);
    assert_eq!(bench.error(), ErrorKind::AccessDenied);
    // It was stopped meanwhile.
    let mut bench = at_completion(composite());
    bench.stop(ErrorKind::Cancelled);
    bench.refuse_after_silence("CompleteMultipartUpload", None, ErrorKind::PreconditionFailed);
    bench.aborted(true);
    assert_eq!(bench.error(), ErrorKind::Cancelled);
    // A note about a job that is not of this kind.
    let mut bench = Bench::start(spec(Some(40 * MIB), true));
    let job = bench.jobs[0].0;
    bench.on(Event::Noted { job, note: Note::Unanswered { sent: None } });
    bench.fail("CreateMultipartUpload", ErrorKind::PreconditionFailed);
    assert_eq!(bench.error(), ErrorKind::PreconditionFailed);
}
