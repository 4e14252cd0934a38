#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::checksum::Checksum;
use crate::id::JobId;
use crate::range::ByteRange;

const SPEC: DownloadSpec = DownloadSpec { part_size: 100, window: 3, ordered: false, validate: true };

fn facts(size: u64) -> ObjectFacts {
    let checksums = vec![checksum(0, size)];
    ObjectFacts { size, start: 0, etag: Some("tag".into()), version_id: Some("v".into()), checksums }
}

/// The checksum of an object whose byte at each offset is that offset, shortened.
fn checksum(start: u64, end: u64) -> Checksum {
    let bytes: Vec<u8> = (start..end).map(|offset| offset as u8).collect();
    Checksum::of(Algorithm::Crc64Nvme, &bytes)
}

struct Bench {
    machine: DownloadMachine,
    jobs: Vec<(JobId, Job)>,
    withdrawn: usize,
    result: Option<Result<TransferOutcome, Error>>,
}

impl Bench {
    fn start(spec: DownloadSpec) -> Bench {
        let mut bench = Bench { machine: DownloadMachine::new(spec), jobs: Vec::new(), withdrawn: 0, result: None };
        bench.on(Event::Started);
        assert!(matches!(bench.jobs[..], [(_, Job::Discover { part_size: 100, commit })] if commit != spec.ordered));
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

    /// What is under way: the starts of the ranges, and other jobs by name.
    fn names(&self) -> Vec<String> {
        let name = |(_, job): &(JobId, Job)| match job {
            Job::Discover { .. } => "first".to_owned(),
            Job::FetchRange { range, etag } => {
                assert_eq!(&**etag, "tag");
                range.start.to_string()
            }
            _ => job.name().to_owned(),
        };
        self.jobs.iter().map(name).collect()
    }

    fn take(&mut self, name: &str) -> (JobId, Job) {
        let names = self.names();
        let place = names.iter().position(|n| n == name).unwrap_or_else(|| panic!("no {name} in {names:?}"));
        self.jobs.remove(place)
    }

    fn discovered(&mut self, facts: ObjectFacts) {
        let job = self.jobs.iter().find(|(_, job)| matches!(job, Job::Discover { .. })).unwrap().0;
        self.on(Event::Noted { job, note: Note::Discovered(Arc::new(facts)) });
    }

    /// Lands a range whole, with the checksum of what belongs there.
    fn landed(&mut self, name: &str, size: u64) {
        let (job, asked) = self.take(name);
        let range = match asked {
            Job::FetchRange { range, .. } => range,
            _ => ByteRange::new(0, first_part_length(size, 100)),
        };
        let checksum = Some(checksum(range.start, range.end));
        self.on(Event::Done { job, reply: Reply::RangeLanded { length: range.len(), checksum } });
    }

    fn done(&mut self, name: &str, reply: Reply) {
        let (job, _) = self.take(name);
        self.on(Event::Done { job, reply });
    }

    fn fail(&mut self, name: &str, kind: ErrorKind) {
        let (job, _) = self.take(name);
        self.on(Event::Failed { job, error: Error::new(kind, name) });
    }

    fn stop(&mut self, kind: ErrorKind) {
        self.on(Event::Stop { error: Error::new(kind, "stopped") });
    }

    fn outcome(&self) -> &TransferOutcome {
        self.result.as_ref().expect("it has ended").as_ref().unwrap()
    }

    /// Removes the target, and says why.
    fn discarded(&mut self) -> ErrorKind {
        assert_eq!(self.names(), ["DiscardTarget"]);
        self.done("DiscardTarget", Reply::TargetDiscarded);
        self.result.as_ref().unwrap().as_ref().unwrap_err().kind()
    }
}

#[test]
fn a_small_object_is_one_request() {
    for size in [0, 1, 100, 150] {
        let mut bench = Bench::start(SPEC);
        bench.discovered(facts(size));
        assert_eq!(bench.names(), ["first"]);
        bench.landed("first", size);
        bench.done("CommitTarget", Reply::TargetCommitted);
        let outcome = bench.outcome();
        assert_eq!(outcome.bytes, size);
        assert_eq!(outcome.verified, Verified::FullObject(Algorithm::Crc64Nvme));
        assert_eq!((outcome.etag.as_deref(), outcome.version_id.as_deref()), (Some("tag"), Some("v")));
    }
}

#[test]
fn a_small_object_may_be_made_final_with_its_only_request() {
    for late in [false, true] {
        let mut bench = Bench::start(SPEC);
        bench.discovered(facts(100));
        if late {
            bench.stop(ErrorKind::Cancelled);
        }
        let reply = Reply::ObjectLanded { length: 100, checksum: Some(checksum(0, 100)) };
        bench.done("first", reply);
        let outcome = bench.outcome();
        assert_eq!((outcome.bytes, &outcome.verified), (100, &Verified::FullObject(Algorithm::Crc64Nvme)));
    }
}

#[test]
fn a_large_object_comes_in_ranges_within_the_window() {
    let mut bench = Bench::start(SPEC);
    bench.discovered(facts(550));
    assert_eq!(bench.names(), ["first", "100", "200"]);
    bench.landed("200", 550);
    bench.landed("first", 550);
    assert_eq!(bench.names(), ["100", "300", "400"]);
    bench.landed("400", 550);
    let (_, Job::FetchRange { range, .. }) = bench.jobs.last().unwrap() else { panic!("the last range") };
    assert_eq!(*range, ByteRange::new(500, 550));
    for name in ["500", "300", "100"] {
        bench.landed(name, 550);
    }
    bench.done("CommitTarget", Reply::TargetCommitted);
    assert_eq!(bench.outcome().verified, Verified::FullObject(Algorithm::Crc64Nvme));
}

#[test]
fn ranges_are_counted_from_the_start_of_the_callers_range() {
    let mut bench = Bench::start(SPEC);
    bench.discovered(ObjectFacts { start: 1_030, checksums: vec![], ..facts(201) });
    let range = |(_, job): &(JobId, Job)| match job {
        Job::FetchRange { range, .. } => Some(*range),
        _ => None,
    };
    let ranges: Vec<_> = bench.jobs.iter().filter_map(range).collect();
    assert_eq!(ranges, [ByteRange::new(1_130, 1_230), ByteRange::new(1_230, 1_231)]);
}

#[test]
fn an_in_order_target_is_never_run_ahead_of() {
    let mut bench = Bench::start(DownloadSpec { ordered: true, ..SPEC });
    bench.discovered(facts(1_000));
    bench.landed("100", 1_000);
    bench.landed("200", 1_000);
    assert_eq!(bench.names(), ["first"], "three ranges ahead of nothing delivered");
    bench.landed("first", 1_000);
    assert_eq!(bench.names(), [""; 0]);
    bench.on(Event::Delivered { bytes: 99 });
    assert_eq!(bench.names(), [""; 0]);
    bench.on(Event::Delivered { bytes: 200 });
    assert_eq!(bench.names(), ["300", "400"]);
    // What comes late says nothing new.
    bench.on(Event::Delivered { bytes: 100 });
    assert_eq!(bench.names(), ["300", "400"]);
    let mut delivered = 200;
    while delivered < 1_000 {
        while let Some(name) = bench.names().first().cloned() {
            bench.landed(&name, 1_000);
        }
        delivered += 100;
        bench.on(Event::Delivered { bytes: delivered });
    }
    assert_eq!(bench.names(), ["CommitTarget"]);
}

#[test]
fn an_in_order_target_that_stops_while_it_drains_ends_the_transfer() {
    let mut bench = Bench::start(DownloadSpec { ordered: true, ..SPEC });
    bench.discovered(facts(50));
    bench.landed("first", 50);
    assert_eq!(bench.names(), [""; 0], "not before all is delivered");
    bench.stop(ErrorKind::TargetWrite);
    assert_eq!(bench.discarded(), ErrorKind::TargetWrite);
    assert_eq!(bench.withdrawn, 0, "there was nothing to take back");
}

#[test]
fn wrong_bytes_are_found_out_and_never_committed() {
    for ordered in [false, true] {
        let mut bench = Bench::start(DownloadSpec { ordered, ..SPEC });
        bench.discovered(ObjectFacts { checksums: vec![checksum(1, 251)], ..facts(250) });
        for name in ["200", "first", "100"] {
            bench.landed(name, 250);
        }
        assert_eq!(bench.discarded(), ErrorKind::ChecksumMismatch);
    }
}

#[test]
fn validation_that_is_turned_off_compares_nothing() {
    let mut bench = Bench::start(DownloadSpec { validate: false, ..SPEC });
    bench.discovered(ObjectFacts { checksums: vec![checksum(1, 5)], ..facts(50) });
    bench.landed("first", 50);
    bench.done("CommitTarget", Reply::TargetCommitted);
    assert_eq!(bench.outcome().verified, Verified::NotAvailable);
}

#[test]
fn one_range_without_a_checksum_leaves_the_object_unverified() {
    let mut bench = Bench::start(SPEC);
    bench.discovered(facts(200));
    bench.landed("first", 200);
    bench.done("100", Reply::RangeLanded { length: 100, checksum: None });
    bench.done("CommitTarget", Reply::TargetCommitted);
    assert_eq!(bench.outcome().verified, Verified::NotAvailable);
}

#[test]
fn the_checksum_is_chosen_by_what_can_be_combined() {
    let of = |algorithms: &[Algorithm], size| ObjectFacts {
        checksums: algorithms.iter().map(|a| Checksum::of(*a, b"")).collect(),
        ..facts(size)
    };
    use Algorithm as A;
    let table: [(&[Algorithm], u64, Option<Algorithm>); 6] = [
        (&[], 10, None),
        (&[A::Sha256], 150, Some(A::Sha256)),
        (&[A::Sha256], 151, None),
        (&[A::Sha1, A::XxHash128], 10, Some(A::XxHash128)),
        (&[A::Sha256, A::Crc32, A::Crc32c], 1_000, Some(A::Crc32c)),
        (&[A::XxHash128, A::Crc64Nvme], 10, Some(A::Crc64Nvme)),
    ];
    for (algorithms, size, chosen) in table {
        assert_eq!(choose_checksum(&of(algorithms, size), 100, true), chosen, "{algorithms:?}");
        assert_eq!(choose_checksum(&of(algorithms, size), 100, false), None);
    }
}

#[test]
fn a_hash_that_does_not_combine_verifies_a_single_range() {
    let sha = Checksum::of(Algorithm::Sha256, b"abc");
    for (given, verified) in [(&b"abc"[..], true), (b"abd", false)] {
        let mut bench = Bench::start(SPEC);
        bench.discovered(ObjectFacts { checksums: vec![sha.clone()], ..facts(3) });
        let checksum = Some(Checksum::of(Algorithm::Sha256, given));
        bench.done("first", Reply::RangeLanded { length: 3, checksum });
        assert_eq!(bench.names(), [if verified { "CommitTarget" } else { "DiscardTarget" }]);
    }
}

#[test]
fn an_object_that_changes_is_never_mixed() {
    // A range says so by its condition.
    let mut bench = Bench::start(SPEC);
    bench.discovered(facts(300));
    bench.fail("100", ErrorKind::PreconditionFailed);
    assert_eq!(bench.withdrawn, 1);
    bench.fail("first", ErrorKind::Cancelled);
    bench.fail("200", ErrorKind::Cancelled);
    assert_eq!(bench.discarded(), ErrorKind::ObjectModified);

    // Or the repeated first request finds another.
    for other in [facts(301), ObjectFacts { etag: Some("new".into()), ..facts(300) }] {
        let mut bench = Bench::start(SPEC);
        bench.discovered(facts(300));
        bench.discovered(facts(300));
        assert_eq!(bench.names(), ["first", "100", "200"], "the same facts again change nothing");
        bench.discovered(other);
        for name in ["first", "100", "200"] {
            bench.fail(name, ErrorKind::Cancelled);
        }
        assert_eq!(bench.discarded(), ErrorKind::ObjectModified);
    }

    // The caller's own condition is the caller's.
    let mut bench = Bench::start(SPEC);
    bench.fail("first", ErrorKind::PreconditionFailed);
    assert_eq!(bench.discarded(), ErrorKind::PreconditionFailed);
}

#[test]
fn without_an_etag_only_one_range_can_be_had() {
    let mut bench = Bench::start(SPEC);
    bench.discovered(ObjectFacts { etag: None, ..facts(300) });
    bench.fail("first", ErrorKind::Cancelled);
    assert_eq!(bench.discarded(), ErrorKind::Protocol);

    let mut bench = Bench::start(SPEC);
    bench.discovered(ObjectFacts { etag: None, ..facts(30) });
    bench.landed("first", 30);
    bench.done("CommitTarget", Reply::TargetCommitted);
    assert_eq!(bench.outcome().etag, None);
}

#[test]
fn too_few_and_too_many_bytes_are_failures() {
    for (length, kind) in [(99, ErrorKind::ConnectionLost), (101, ErrorKind::Protocol)] {
        let mut bench = Bench::start(SPEC);
        bench.discovered(facts(200));
        bench.done("first", Reply::RangeLanded { length, checksum: None });
        bench.fail("100", ErrorKind::Cancelled);
        assert_eq!(bench.discarded(), kind);
    }
}

#[test]
fn a_first_request_that_fails_after_its_head_takes_the_others_back() {
    let mut bench = Bench::start(SPEC);
    bench.discovered(facts(300));
    bench.fail("first", ErrorKind::RequestTimeout);
    assert_eq!(bench.withdrawn, 1);
    bench.landed("200", 300);
    bench.fail("100", ErrorKind::Cancelled);
    assert_eq!(bench.discarded(), ErrorKind::RequestTimeout);
}

#[test]
fn a_stop_waits_for_what_is_under_way() {
    let mut bench = Bench::start(SPEC);
    bench.stop(ErrorKind::Cancelled);
    assert_eq!((bench.withdrawn, bench.names()), (1, vec!["first".to_owned()]));
    bench.discovered(facts(300));
    assert_eq!(bench.names(), ["first"], "nothing new is begun");
    bench.landed("first", 300);
    assert_eq!(bench.discarded(), ErrorKind::Cancelled);
}

#[test]
fn a_stop_during_the_commit_comes_too_late() {
    let mut bench = Bench::start(SPEC);
    bench.discovered(facts(3));
    bench.landed("first", 3);
    bench.stop(ErrorKind::Cancelled);
    bench.done("CommitTarget", Reply::TargetCommitted);
    assert_eq!(bench.outcome().bytes, 3);

    let mut bench = Bench::start(SPEC);
    bench.discovered(facts(3));
    bench.landed("first", 3);
    bench.stop(ErrorKind::ShutDown);
    bench.fail("CommitTarget", ErrorKind::Cancelled);
    assert_eq!(bench.discarded(), ErrorKind::ShutDown);
}

#[test]
fn a_target_that_cannot_be_committed_or_discarded_still_ends() {
    let mut bench = Bench::start(SPEC);
    bench.discovered(facts(3));
    bench.landed("first", 3);
    bench.fail("CommitTarget", ErrorKind::TargetWrite);
    bench.fail("DiscardTarget", ErrorKind::TargetUnavailable);
    assert_eq!(bench.result.unwrap().unwrap_err().kind(), ErrorKind::TargetWrite);
}

#[test]
fn a_stop_before_the_start_leaves_no_target_to_discard() {
    let mut machine = DownloadMachine::new(SPEC);
    let mut effects = Vec::new();
    machine.on(Event::Stop { error: Error::new(ErrorKind::ShutDown, "") }, &mut effects);
    machine.on(Event::Started, &mut effects);
    assert!(matches!(&effects[..], [Effect::Finish(Err(error))] if error.kind() == ErrorKind::ShutDown));
}

#[test]
fn defects_elsewhere_are_failures_not_crashes() {
    // Landed without a head.
    let mut bench = Bench::start(SPEC);
    bench.landed("first", 10);
    assert_eq!(bench.discarded(), ErrorKind::Internal);
    // The same, and made final.
    let mut bench = Bench::start(SPEC);
    bench.done("first", Reply::ObjectLanded { length: 10, checksum: None });
    assert_eq!(bench.result.unwrap().unwrap_err().kind(), ErrorKind::Internal);
    // The reply of another job.
    let mut bench = Bench::start(SPEC);
    bench.discovered(facts(10));
    bench.done("first", Reply::TargetCommitted);
    assert_eq!(bench.discarded(), ErrorKind::Internal);
    // A note of a job that is no discovery, and an answer that comes twice.
    let mut bench = Bench::start(SPEC);
    bench.discovered(facts(300));
    let job = bench.jobs[1].0;
    bench.on(Event::Noted { job, note: Note::Discovered(Arc::new(facts(9))) });
    bench.landed("100", 300);
    bench.on(Event::Failed { job, error: Error::internal("late") });
    assert_eq!(bench.names(), ["first", "200"]);
}
