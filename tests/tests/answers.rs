//! What a transfer makes of what a store says, and of what it does not say: pauses that it asks for, times that differ, deadlines that pass,
//! and answers that never come although the work was done.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::{Duration, Instant, SystemTime};

use common::{Bed, LIMIT, PART, client_of, kind, manager_of, quick_retries};
use xfer_facade::{DownloadTarget, ErrorKind, RetryPolicy, Timeouts};
use xfer_tests::{Action, FaultRule, Op, TestServer, pattern};

/// An HTTP date for a header of the server's, so many seconds from now.
fn date_in(seconds: u64) -> &'static str {
    let then = SystemTime::now() + Duration::from_secs(seconds);
    let date = aws_sdk_s3::primitives::DateTime::from(then).fmt(aws_sdk_s3::primitives::DateTimeFormat::HttpDate);
    Box::leak(date.unwrap().into_boxed_str())
}

#[test]
fn a_pause_that_the_store_asks_for_is_made() {
    let bed = Bed::new();
    for (status, code, words) in [
        (503, "SlowDown", Some("1")),
        (429, "TooManyRequests", Some("1")),
        (500, "InternalError", Some("1")),
        (503, "ServiceUnavailable", None),
    ] {
        // A date has whole seconds, of which the first may be almost over.
        let words = words.unwrap_or_else(|| date_in(2));
        bed.server.clear_faults();
        bed.server.inject(FaultRule::any().times(1).then(Action::SetHeader("retry-after", words)));
        let fault = bed.server.inject(FaultRule::any().times(1).then(Action::Status(status, code)));
        let begun = Instant::now();
        let call = bed.manager.upload(&b"patience"[..], bed.bucket(), "k");
        let outcome = call.start().unwrap().result(LIMIT).unwrap();
        assert_eq!((outcome.retries, fault.hits()), (1, 1), "{status}");
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(900), "{status} {words}: {took:?}");
    }
    bed.assert_clean(&[]);
}

#[test]
fn a_pause_that_the_store_asks_for_is_bounded_and_can_be_cancelled() {
    let policy = RetryPolicy { max_retry_after: Duration::from_millis(300), ..quick_retries() };
    let bed = Bed::with(|server| server, |client| client.retry(policy));
    let asks = || {
        bed.server.inject(FaultRule::any().times(1).then(Action::SetHeader("retry-after", "3600")));
        bed.server.inject(FaultRule::any().times(1).then(Action::Status(503, "SlowDown")))
    };
    asks();
    let begun = Instant::now();
    bed.manager.upload(&b"x"[..], bed.bucket(), "k").start().unwrap().result(LIMIT).unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());

    let patient = manager_of(&client_of(&bed.server).build().unwrap());
    let fault = asks();
    let waiting = patient.upload(&b"x"[..], bed.bucket(), "k").start().unwrap();
    common::eventually("it was refused", || fault.hits() == 1);
    assert!(bed.server.wait_idle(LIMIT));
    let begun = Instant::now();
    assert!(waiting.cancel());
    assert_eq!(kind(waiting.result(LIMIT)), ErrorKind::Cancelled);
    // Of the 60 s that it would have waited.
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    bed.assert_clean(&[]);
}

#[test]
fn a_clock_that_differs_from_the_stores_is_allowed_for() {
    for hours in [2, -2] {
        let bed = Bed::new();
        bed.server.inject(FaultRule::any().then(Action::ClockAhead(hours * 3_600)));
        let upload = bed.manager.upload(&b"when"[..], bed.bucket(), "k");
        let outcome = upload.start().unwrap().result(LIMIT).unwrap();
        assert_eq!(outcome.retries, 1, "{hours}: it was learnt from one refusal");
        // And once for all.
        let source = bed.file("source", 1, 3 * PART);
        let up = bed.manager.upload(&source, bed.bucket(), "large").start().unwrap().result(LIMIT).unwrap();
        let target = bed.path("target");
        let down = bed.manager.download(bed.bucket(), "large", &target).start().unwrap().result(LIMIT).unwrap();
        let gone = bed.manager.delete(bed.bucket(), "k").start().unwrap().result(LIMIT).unwrap();
        assert_eq!((up.retries, down.retries, gone.retries), (0, 0, 0), "{hours}");
        pattern::check_file(&target, 1, 3 * PART).unwrap();
        bed.assert_clean(&["source", "target"]);
    }
}

#[test]
fn a_clock_that_is_set_in_the_middle_of_a_transfer_is_allowed_for() {
    let bed = Bed::new();
    let (source, target) = (bed.file("source", 2, 4 * PART), bed.path("target"));
    let wrong = |from| bed.server.inject(FaultRule::any().nth(from).times(1_000).then(Action::ClockAhead(86_400)));
    let from_third_part = wrong(4);
    let up = bed.manager.upload(&source, bed.bucket(), "k").start().unwrap().result(LIMIT).unwrap();
    assert!(from_third_part.hits() >= 2 && up.retries >= 1, "{up:?}");
    bed.check_object("k", 2, 4 * PART);
    // Right again: what was learnt is unlearnt, and learnt again.
    from_third_part.remove();
    let from_third_range = wrong(3);
    let down = bed.manager.download(bed.bucket(), "k", &target).start().unwrap().result(LIMIT).unwrap();
    assert!(from_third_range.hits() >= 1 && down.retries >= 1, "{down:?}");
    pattern::check_file(&target, 2, 4 * PART).unwrap();
    bed.assert_clean(&["source", "target"]);
}

#[test]
fn a_store_that_only_says_that_the_signature_is_wrong_is_understood_by_its_date() {
    let bed = Bed::new();
    let asked = || bed.server.stats().count(Op::PutObject);
    let put = || bed.manager.upload(&b"x"[..], bed.bucket(), "k").start().unwrap().result(LIMIT);
    // Its date is wrong but once, and the true one is learnt from the next refusal.
    bed.server.inject(FaultRule::any().times(1).then(Action::SetHeader("date", date_in(7_200))));
    bed.server.inject(FaultRule::any().times(1).then(Action::Status(403, "SignatureDoesNotMatch")));
    assert_eq!((put().unwrap().retries, asked()), (2, 3));
    // Its date is right: the secret is wrong, and nothing is tried again.
    bed.server.clear_faults();
    bed.server.inject(FaultRule::any().then(Action::Status(403, "SignatureDoesNotMatch")));
    assert_eq!((kind(put()), asked()), (ErrorKind::AccessDenied, 4));
    // Both are wrong: the time is corrected, and then it is the secret.
    bed.server.clear_faults();
    bed.server.inject(FaultRule::any().then(Action::SetHeader("date", date_in(7_200))));
    bed.server.inject(FaultRule::any().then(Action::Status(403, "SignatureDoesNotMatch")));
    assert_eq!((kind(put()), asked()), (ErrorKind::AccessDenied, 6));
    // A store whose clock and whose answers contradict each other is given up.
    bed.server.clear_faults();
    bed.server.inject(FaultRule::any().then(Action::Status(403, "RequestTimeTooSkewed")));
    let error = put().unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::ClockSkew, 3));
    bed.server.clear_faults();
    bed.assert_works();
    bed.assert_clean(&[]);
}

#[test]
fn a_client_waits_as_long_as_it_was_told() {
    let timeouts =
        Timeouts { first_byte: Duration::from_millis(300), idle: Duration::from_millis(250), ..Timeouts::default() };
    let bed = Bed::with(|server| server, |client| client.timeouts(timeouts));
    bed.object("k", 1, PART);
    for (op, action) in [(Op::PutObject, Action::StallAnswer), (Op::GetObject, Action::StallAfterBytes(1_000))] {
        let fault = bed.server.inject(FaultRule::on(op).times(1).then(action));
        let begun = Instant::now();
        let outcome = match op {
            Op::PutObject => bed.manager.upload(&b"x"[..], bed.bucket(), "new").start(),
            _ => bed.manager.download(bed.bucket(), "k", DownloadTarget::memory()).start(),
        };
        let outcome = outcome.unwrap().result(LIMIT).unwrap();
        assert_eq!((outcome.retries, fault.hits()), (1, 1), "{op:?}");
        // The defaults are 60 s and 30 s.
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(250) && took < Duration::from_secs(20), "{op:?}: {took:?}");
        fault.remove();
    }
    bed.assert_clean(&[]);
    let refused = client_of(&bed.server).timeouts(Timeouts { connect: Duration::ZERO, ..timeouts }).build();
    assert_eq!(kind(refused), ErrorKind::InvalidConfig);
    // As long as you like is no overflow of anybody's clock.
    let endless = Timeouts {
        connect: Duration::MAX,
        tls_handshake: Duration::MAX,
        first_byte: Duration::MAX,
        idle: Duration::MAX,
    };
    let bed = Bed::with(|server| server, |client| client.timeouts(endless));
    bed.assert_works();
}

#[test]
fn certificates_are_read_once() {
    let server = TestServer::builder().tls().start();
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("ca.pem");
    std::fs::copy(server.ca_pem_path().unwrap(), &bundle).unwrap();
    let client = client_of(&server).verify(xfer_facade::Verify::CaBundle(bundle.clone())).build().unwrap();
    assert_eq!(client.peak_connections(), 0);
    std::fs::remove_file(&bundle).unwrap();
    let manager = manager_of(&client);
    manager.upload(&b"x"[..], server.bucket(), "k").start().unwrap().result(LIMIT).unwrap();
    assert_eq!(client.peak_connections(), 1);
    let missing = client_of(&server).verify(xfer_facade::Verify::CaBundle(bundle)).build();
    assert_eq!(kind(missing), ErrorKind::InvalidConfig);
}
