//! What a network and a store in trouble do, and how a transfer gets through all the same: by trying again, from where it was, and no
//! more often than it must.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use common::io::{Pattern, Sink};
use common::{Bed, Ended, LIMIT, PART, Witness, kind, quick_retries};
use xfer_actors::transport::TransportConfig;
use xfer_actors::{Call, Settings, Tuning, XferSystem};
use xfer_facade::{
    Algorithm, CallKind, DownloadTarget, ErrorKind, ExtraArgs, RetryPolicy, TransferOutcome, UploadSource, Verified,
};
use xfer_tests::{Action, FaultRule, Op, pattern};

/// Uploads a file of four parts and downloads it again.
fn round_trip(bed: &Bed, key: &str, seed: u64) -> (TransferOutcome, TransferOutcome) {
    let size = 4 * PART;
    let (source, target) = (bed.file("source", seed, size), bed.path("target"));
    let up = bed.manager.upload(&source, bed.bucket(), key).start().unwrap().result(LIMIT).unwrap();
    bed.check_object(key, seed, size);
    let down = bed.manager.download(bed.bucket(), key, &target).start().unwrap().result(LIMIT).unwrap();
    pattern::check_file(&target, seed, size).unwrap();
    for outcome in [&up, &down] {
        assert_eq!(outcome.verified, Verified::FullObject(Algorithm::Crc64Nvme));
    }
    (up, down)
}

#[test]
fn storms_of_refusals_are_sat_out() {
    let bed = Bed::new();
    for (action, attempts) in [
        (Action::Status(503, "SlowDown"), 5),
        (Action::Status(500, "InternalError"), 5),
        (Action::StatusBeforeBody(503, "SlowDown"), 5),
        (Action::Status(429, "TooManyRequests"), 5),
        (Action::Status(400, "RequestTimeout"), 3),
    ] {
        let fault = bed.server.inject(FaultRule::any().times(attempts).then(action.clone()));
        let (up, down) = round_trip(&bed, "k", 1);
        assert_eq!(fault.hits(), attempts, "{action:?}");
        assert_eq!(u64::from(up.retries + down.retries), attempts, "{action:?}");
        assert!(up.attempts >= 6 + up.retries, "{action:?}: {up:?}");
        fault.remove();
        bed.assert_clean(&["source", "target"]);
    }
    // A third of all requests, for as long as it takes: with as many attempts as nobody needs.
    let bed = Bed::with(|server| server, |client| client.retry(RetryPolicy { max_attempts: 50, ..quick_retries() }));
    let fault = bed.server.inject(FaultRule::any().probability(0.3, 7).then(Action::Status(503, "SlowDown")));
    for seed in 0..4 {
        round_trip(&bed, "k", seed);
    }
    fault.remove();
    bed.assert_clean(&["source", "target"]);
}

#[test]
fn attempts_end_some_day() {
    let bed = Bed::with(|server| server, |client| client.retry(RetryPolicy { max_attempts: 4, ..quick_retries() }));
    bed.object("k", 1, PART);
    bed.server.inject(FaultRule::any().then(Action::Status(503, "SlowDown")));
    let small = bed.manager.upload(&b"x"[..], bed.bucket(), "new").start().unwrap().result(LIMIT).unwrap_err();
    assert_eq!((small.kind(), small.attempts()), (ErrorKind::Throttled, 4));
    assert_eq!(bed.server.stats().count(Op::PutObject), 4);
    let down = bed.manager.download(bed.bucket(), "k", bed.path("t")).start().unwrap().result(LIMIT).unwrap_err();
    assert_eq!((down.kind(), down.attempts()), (ErrorKind::Throttled, 4));
    assert_eq!(kind(bed.manager.delete(bed.bucket(), "k").start().unwrap().result(LIMIT)), ErrorKind::Throttled);
    bed.server.clear_faults();

    // One part of many: the others are thrown away with it.
    bed.server.inject(FaultRule::on(Op::UploadPart).part(3).then(Action::Status(500, "InternalError")));
    let source = bed.file("source", 1, 4 * PART);
    let error = bed.manager.upload(&source, bed.bucket(), "new").start().unwrap().result(LIMIT).unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::ServiceUnavailable, 4));
    assert_eq!(error.at().part.map(|part| part.get()), Some(3));
    bed.server.clear_faults();
    bed.assert_clean(&["source"]);
    bed.assert_works();
}

#[test]
fn broken_connections_are_replaced() {
    let bed = Bed::new();
    for (op, action) in [
        (Op::CreateMultipartUpload, Action::Reset),
        (Op::UploadPart, Action::Reset),
        (Op::UploadPart, Action::ResetAnswer),
        (Op::UploadPart, Action::Stall(Some(Duration::from_millis(20)))),
        (Op::CompleteMultipartUpload, Action::Reset),
        (Op::GetObject, Action::Reset),
        (Op::GetObject, Action::ResetAnswer),
        (Op::GetObject, Action::ResetAfterBytes(0)),
    ] {
        let fault = bed.server.inject(FaultRule::on(op).times(2).then(action.clone()));
        round_trip(&bed, "k", 2);
        assert_eq!(fault.hits(), 2, "{op:?} {action:?}");
        fault.remove();
        bed.assert_clean(&["source", "target"]);
    }
    for action in [Action::Reset, Action::ResetAnswer] {
        let put = bed.server.inject(FaultRule::on(Op::PutObject).times(2).then(action.clone()));
        let delete = bed.server.inject(FaultRule::on(Op::DeleteObject).times(2).then(action));
        bed.assert_works();
        assert_eq!((put.hits(), delete.hits()), (2, 2));
    }
}

#[test]
fn a_broken_body_goes_on_from_its_byte() {
    let bed = Bed::new();
    let size = 4 * PART;
    bed.object("k", 3, size);
    let broken = 1_234_567;
    for (start, target) in [(0, "file"), (PART, "file"), (0, "memory"), (2 * PART, "writer"), (3 * PART, "seekable")] {
        bed.server.reset_stats();
        let rule = FaultRule::on(Op::GetObject);
        let rule = if start == 0 { rule } else { rule.range_start(start) };
        let fault = bed.server.inject(rule.times(1).then(Action::ResetAfterBytes(broken)));
        let sink = Sink::new();
        let path = bed.path("target");
        let witness = Witness::new();
        let call = match target {
            "file" => bed.manager.download(bed.bucket(), "k", &path),
            "memory" => bed.manager.download(bed.bucket(), "k", DownloadTarget::memory()),
            "writer" => bed.manager.download(bed.bucket(), "k", DownloadTarget::writer(sink.clone())),
            _ => bed.manager.download(bed.bucket(), "k", DownloadTarget::seekable(sink.clone())),
        };
        let outcome = call.subscriber(Arc::clone(&witness)).start().unwrap().result(LIMIT).unwrap();
        assert_eq!((outcome.bytes, outcome.retries, fault.hits()), (size, 1, 1), "{target} at {start}");
        assert_eq!(outcome.verified, Verified::FullObject(Algorithm::Crc64Nvme));
        witness.assert_complete(size, target);
        let got = match target {
            "file" => std::fs::read(&path).unwrap(),
            "memory" => outcome.body.unwrap().to_vec(),
            _ => sink.bytes(),
        };
        assert_eq!(got.len() as u64, size);
        pattern::check(3, 0, &got).unwrap();
        let ranges: Vec<String> = bed.server.requests().into_iter().filter_map(|request| request.range).collect();
        let expected = format!("bytes={}-{}", start + broken, start + PART - 1);
        assert!(ranges.contains(&expected), "{expected} is not among {ranges:?}");
        let if_match = bed.server.requests().into_iter().find(|request| request.range.as_ref() == Some(&expected));
        assert!(if_match.unwrap().headers.contains_key("if-match"));
        fault.remove();
    }
    std::fs::remove_file(bed.path("target")).unwrap();
    bed.assert_clean(&[]);
}

#[test]
fn a_download_that_breaks_again_and_again_gets_there_byte_by_byte() {
    let bed = Bed::new();
    // More breaks than attempts without progress are allowed: each brings something.
    let size = 4 * PART;
    bed.object("k", 4, size);
    let fault = bed.server.inject(FaultRule::on(Op::GetObject).times(60).then(Action::ResetAfterBytes(1_100_000)));
    let target = bed.path("target");
    let outcome = bed.manager.download(bed.bucket(), "k", &target).start().unwrap().result(LIMIT).unwrap();
    pattern::check_file(&target, 4, size).unwrap();
    assert!(fault.hits() >= 15, "{} breaks", fault.hits());
    assert!(outcome.retries >= 15);
    bed.assert_clean(&["target"]);
}

#[test]
fn too_little_data_is_not_an_object() {
    let bed = Bed::new();
    bed.object("k", 5, 4 * PART);
    for start in [None, Some(PART)] {
        let rule = FaultRule::on(Op::GetObject);
        let rule = match start {
            Some(start) => rule.range_start(start),
            None => rule,
        };
        // Once: the rest is asked for, or all of it again.
        let fault = bed.server.inject(rule.times(1).then(Action::TruncateBody));
        let target = bed.path("target");
        let result = bed.manager.download(bed.bucket(), "k", &target).start().unwrap().result(LIMIT);
        assert_eq!(fault.hits(), 1);
        match result {
            Ok(_) => {
                pattern::check_file(&target, 5, 4 * PART).unwrap();
                std::fs::remove_file(&target).unwrap();
            }
            // A first answer that says of itself that it is all there is can only be seen to be wrong.
            Err(error) => assert_eq!((error.kind(), start), (ErrorKind::ChecksumMismatch, None), "{error}"),
        }
        fault.remove();
        bed.assert_clean(&[]);
    }
    bed.assert_works();
}

#[test]
fn an_answer_that_got_lost_is_found_out() {
    let bed = Bed::new();
    let source = bed.file("source", 6, 3 * PART);
    // On a fresh connection the loss is an attempt that failed; on a kept one it looks as if the store had closed it meanwhile.
    for losses in 1..4 {
        for fresh in [true, false] {
            if fresh {
                bed.server.close_connections();
            }
            bed.server.remove_object(bed.bucket(), "k");
            let fault =
                bed.server.inject(FaultRule::on(Op::CompleteMultipartUpload).times(losses).then(Action::ResetAnswer));
            let outcome = bed.manager.upload(&source, bed.bucket(), "k").start().unwrap().result(LIMIT).unwrap();
            bed.check_object("k", 6, 3 * PART);
            assert_eq!(outcome.etag, Some(bed.server.object(bed.bucket(), "k").unwrap().etag()));
            assert_eq!((outcome.bytes, fault.hits()), (3 * PART, losses));
            assert_eq!(outcome.verified, Verified::FullObject(Algorithm::Crc64Nvme));
            fault.remove();
            bed.assert_clean(&["source"]);
        }
    }
    // By the ETag that the parts give, where there is no checksum of the whole to know it by.
    let md5s = Bed::with(|_| xfer_tests::TestServer::builder(), |client| client);
    md5s.server.inject(FaultRule::on(Op::CompleteMultipartUpload).times(1).then(Action::ResetAnswer));
    let by_parts = ExtraArgs::new().checksum_algorithm(Algorithm::Sha256);
    let call = md5s.manager.upload(&source, md5s.bucket(), "k").extra_args(by_parts);
    call.start().unwrap().result(LIMIT).unwrap();
    md5s.check_object("k", 6, 3 * PART);
    md5s.assert_clean(&[]);
    // An answer that is lost for ever is not a success because an older object looks alike.
    bed.object("k", 7, 3 * PART);
    let lost = bed.server.inject(FaultRule::on(Op::CompleteMultipartUpload).times(1).then(Action::Reset));
    let gone = bed.server.inject(FaultRule::on(Op::CompleteMultipartUpload).then(Action::Status(404, "NoSuchUpload")));
    let result = bed.manager.upload(&source, bed.bucket(), "k").start().unwrap().result(LIMIT);
    assert_eq!((kind(result), lost.hits(), gone.hits()), (ErrorKind::NoSuchUpload, 1, 1));
    bed.check_object("k", 7, 3 * PART);
    bed.server.clear_faults();
    // An upload that somebody else has thrown away is no success, whatever lies under its key.
    bed.object("k", 7, 3 * PART);
    bed.server.inject(FaultRule::on(Op::CompleteMultipartUpload).then(Action::Status(404, "NoSuchUpload")));
    let result = bed.manager.upload(&source, bed.bucket(), "k").start().unwrap().result(LIMIT);
    assert_eq!(kind(result), ErrorKind::NoSuchUpload);
    bed.check_object("k", 7, 3 * PART);
    bed.server.clear_faults();
    bed.assert_clean(&["source"]);
}

#[test]
fn an_error_that_comes_as_a_success_is_an_error() {
    let bed = Bed::new();
    let source = bed.file("source", 8, 3 * PART);
    let complete = || FaultRule::on(Op::CompleteMultipartUpload);
    let fault = bed.server.inject(complete().times(2).then(Action::OkWithError("InternalError")));
    let outcome = bed.manager.upload(&source, bed.bucket(), "k").start().unwrap().result(LIMIT).unwrap();
    assert_eq!((outcome.retries, fault.hits()), (2, 2));
    bed.check_object("k", 8, 3 * PART);
    fault.remove();
    bed.server.remove_object(bed.bucket(), "k");
    for code in ["InvalidPart", "InvalidRequest", "EntityTooSmall"] {
        let fault = bed.server.inject(complete().then(Action::OkWithError(code)));
        let error = bed.manager.upload(&source, bed.bucket(), "k").start().unwrap().result(LIMIT).unwrap_err();
        assert_eq!((error.kind(), fault.hits()), (ErrorKind::Rejected, 1), "{error}");
        assert_eq!(error.service().unwrap().code, code);
        assert!(bed.server.object(bed.bucket(), "k").is_none());
        fault.remove();
        bed.assert_clean(&["source"]);
    }
    bed.assert_works();
}

#[test]
fn bytes_that_the_store_got_wrong_are_sent_again() {
    let bed = Bed::new();
    let fault =
        bed.server.inject(FaultRule::on(Op::UploadPart).part(2).times(2).then(Action::Status(400, "BadDigest")));
    let (up, _) = round_trip(&bed, "k", 9);
    assert_eq!((up.retries, fault.hits()), (2, 2));
    bed.server.inject(FaultRule::on(Op::PutObject).then(Action::Status(400, "BadDigest")));
    let result = bed.manager.upload(&b"x"[..], bed.bucket(), "new").start().unwrap().result(LIMIT);
    assert_eq!(kind(result), ErrorKind::ChecksumMismatch);
    bed.server.clear_faults();
    bed.assert_clean(&["source", "target"]);
}

#[test]
fn a_store_that_takes_no_trailers_gets_headers() {
    let bed = Bed::new();
    let fault = bed.server.inject(FaultRule::any().then(Action::DropTrailerSupport));
    let (up, _) = round_trip(&bed, "k", 10);
    assert_eq!(up.verified, Verified::FullObject(Algorithm::Crc64Nvme));
    assert!(fault.hits() >= 1, "a trailer was tried");
    // What was learnt is kept: no later request has one.
    let learnt = fault.hits();
    round_trip(&bed, "k", 11);
    bed.manager.upload(&b"small"[..], bed.bucket(), "small").start().unwrap().result(LIMIT).unwrap();
    let reader = UploadSource::reader(Pattern::new(12, 3 * PART));
    let read = bed.manager.upload(reader, bed.bucket(), "read").start().unwrap().result(LIMIT).unwrap();
    assert_eq!((fault.hits(), read.retries), (learnt, 0));
    bed.check_object("read", 12, 3 * PART);
    let requests = bed.server.requests();
    let last = requests.iter().rfind(|request| request.op == Op::UploadPart).unwrap();
    assert!(last.headers.contains_key("x-amz-checksum-crc64nvme"), "{:?}", last.headers);
    bed.assert_clean(&["source", "target"]);
}

#[test]
fn checksums_are_asked_for_wherever_they_are_told() {
    let bed = Bed::new();
    round_trip(&bed, "k", 15);
    for request in bed.server.requests().iter().filter(|request| matches!(request.op, Op::GetObject | Op::HeadObject)) {
        // A range that is not the object has no checksum.
        let asked = request.headers.get("x-amz-checksum-mode").map(String::as_str);
        assert!(asked == Some("ENABLED") || request.range.is_some(), "{request:?}");
    }
    // A store that has the checksum and tells it only with whole objects is found out once.
    let bed = Bed::new();
    bed.object("small", 1, 1000);
    bed.server.inject(FaultRule::on(Op::GetObject).times(1).then(Action::RemoveHeader("x-amz-checksum-crc64nvme")));
    for _ in 0..3 {
        let call = bed.manager.download(bed.bucket(), "small", DownloadTarget::memory());
        let outcome = call.start().unwrap().result(LIMIT).unwrap();
        assert_eq!(outcome.verified, Verified::FullObject(Algorithm::Crc64Nvme));
    }
    assert_eq!((bed.server.stats().count(Op::HeadObject), bed.server.stats().count(Op::GetObject)), (1, 3));
    bed.assert_clean(&[]);
}

#[test]
fn connections_that_the_store_closed_meanwhile_cost_no_error() {
    let bed = Bed::new();
    for seed in 0..5 {
        let (up, down) = round_trip(&bed, "k", seed);
        assert_eq!((up.retries, down.retries), (0, 0));
        bed.server.close_connections();
    }
    bed.assert_clean(&["source", "target"]);
}

#[test]
fn a_store_that_answers_slowly_is_waited_for() {
    let bed = Bed::new();
    bed.server.inject(FaultRule::any().probability(0.5, 3).then(Action::Delay(Duration::from_millis(60))));
    let (up, down) = round_trip(&bed, "k", 13);
    assert_eq!((up.retries, down.retries), (0, 0));
    bed.assert_clean(&["source", "target"]);
}

/// The client's deadlines are those of the AWS Common Runtime, tens of seconds; a system of one's own is built with others.
#[test]
fn stalls_are_noticed_by_their_deadlines() {
    const DEADLINE: Duration = Duration::from_secs(1);
    let bed = Bed::new();
    let settings = Settings { part_size: PART, retry: quick_retries(), lanes: 2, ..Settings::default() };
    let transport = TransportConfig {
        // Long enough that on a busy machine nothing but what stalls takes so long.
        first_byte_timeout: Duration::from_millis(1_200),
        idle_timeout: DEADLINE,
        ..TransportConfig::default()
    };
    let system = XferSystem::start(settings, transport).unwrap();
    let serializer = common::serializer_of(&bed.server);
    let source = bed.file("source", 14, 3 * PART);
    let target = bed.path("target");
    let run = |what: CallKind| {
        let args = ExtraArgs::new();
        let call = match what {
            CallKind::Upload => Call::upload(&serializer, &source, bed.bucket(), "k", args),
            _ => Call::download(&serializer, bed.bucket(), "k", &target, args),
        };
        let (sender, result) = mpsc::channel();
        let begun = Instant::now();
        let transfer = system.submit(&call.unwrap(), &Tuning::default(), Box::new(Ended(sender))).unwrap();
        let result = result.recv_timeout(LIMIT).unwrap();
        assert!(transfer.is_finished());
        (result, begun.elapsed())
    };
    for (what, op, action) in [
        (CallKind::Upload, Op::CreateMultipartUpload, Action::Stall(None)),
        (CallKind::Upload, Op::UploadPart, Action::Stall(None)),
        (CallKind::Upload, Op::UploadPart, Action::StallAnswer),
        (CallKind::Upload, Op::CompleteMultipartUpload, Action::StallAnswer),
        (CallKind::Download, Op::GetObject, Action::Stall(None)),
        (CallKind::Download, Op::GetObject, Action::StallAfterBytes(0)),
        (CallKind::Download, Op::GetObject, Action::StallAfterBytes(2_000_000)),
    ] {
        let fault = bed.server.inject(FaultRule::on(op).times(1).then(action.clone()));
        let (result, took) = run(what);
        let outcome = result.unwrap_or_else(|error| panic!("{op:?} {action:?}: {error}"));
        assert!(outcome.retries >= 1 && fault.hits() == 1, "{op:?} {action:?}: {outcome:?}");
        assert!(took >= DEADLINE && took < Duration::from_secs(20), "{op:?} {action:?}: {took:?}");
        bed.check_object("k", 14, 3 * PART);
        fault.remove();
    }
    pattern::check_file(&target, 14, 3 * PART).unwrap();
    // For ever: the attempts are counted, and the transfer ends.
    bed.server.inject(FaultRule::on(Op::GetObject).then(Action::StallAfterBytes(0)));
    let (result, took) = run(CallKind::Download);
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::RequestTimeout, 6), "{error}");
    assert!(took >= 6 * DEADLINE && took < Duration::from_secs(40), "{took:?}");
    assert!(system.close(LIMIT));
    common::assert_files(bed.folder.path(), &["source", "target"]);
}
