//! What a transfer makes of what a store says, and of what it does not say: pauses that it asks for, times that differ, deadlines that pass,
//! and answers that never come although the work was done.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fmt::Write as _;
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime};

use common::{Bed, LIMIT, PART, client_of, kind, manager_of, quick_retries};
use parking_lot::Mutex;
use xfer_facade::{
    Algorithm, DownloadTarget, Error, ErrorKind, ExtraArgs, RetryPolicy, Timeouts, TransferOutcome, Verified,
};
use xfer_tests::{Action, FaultRule, Gate, Op, ServerHandle, TestServer, pattern};

/// An HTTP date for a header of the server's, so many seconds from now.
fn date_in(seconds: u64) -> &'static str {
    http_date(SystemTime::now() + Duration::from_secs(seconds))
}

fn date_ago(seconds: u64) -> &'static str {
    http_date(SystemTime::now() - Duration::from_secs(seconds))
}

fn http_date(then: SystemTime) -> &'static str {
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
        let begun = Instant::now();
        // A date has whole seconds, of which the first may be almost over.
        let words = words.unwrap_or_else(|| date_in(2));
        bed.server.clear_faults();
        bed.server.inject(FaultRule::any().times(1).then(Action::SetHeader("retry-after", words)));
        let fault = bed.server.inject(FaultRule::any().times(1).then(Action::Status(status, code)));
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
    let begun = Instant::now();
    // As soon as the refusal has arrived: until then the object may be on its way.
    common::eventually("it can be cancelled", || waiting.cancel());
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
    // Long enough that on a busy machine nothing but what stalls takes so long.
    let shorter = Duration::from_millis(1_500);
    let timeouts = Timeouts { first_byte: Duration::from_secs(2), idle: shorter, ..Timeouts::default() };
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
        assert!(outcome.retries >= 1 && fault.hits() == 1, "{op:?}: {outcome:?}");
        // The defaults are 60 s and 30 s.
        let took = begun.elapsed();
        assert!(took >= shorter && took < Duration::from_secs(20), "{op:?}: {took:?}");
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

/// An upload of some bytes, or of a file in three parts, that is to be stored under conditions.
fn upload(bed: &Bed, parts: bool, conditions: ExtraArgs) -> Result<TransferOutcome, Error> {
    let call = match parts {
        true => bed.manager.upload(bed.file("source", 3, 3 * PART), bed.bucket(), "k"),
        false => bed.manager.upload(&b"under conditions"[..], bed.bucket(), "k"),
    };
    call.extra_args(conditions).start().unwrap().result(LIMIT)
}

fn check_stored(bed: &Bed, parts: bool) {
    match parts {
        true => bed.check_object("k", 3, 3 * PART),
        false => assert_eq!(&*bed.server.object(bed.bucket(), "k").unwrap().bytes(), b"under conditions"),
    }
}

/// The request that makes the object.
fn storing(parts: bool) -> Op {
    if parts { Op::CompleteMultipartUpload } else { Op::PutObject }
}

fn none_there() -> ExtraArgs {
    ExtraArgs::new().if_none_match("*")
}

#[test]
fn an_upload_under_conditions_whose_answer_is_lost_is_found_out() {
    let bed = Bed::new();
    for parts in [false, true] {
        for losses in 1..4 {
            // On a fresh connection the loss is an attempt that failed; on a kept one it looks as if the store had closed it meanwhile.
            for fresh in [true, false] {
                if fresh {
                    bed.server.close_connections();
                }
                bed.server.remove_object(bed.bucket(), "k");
                let fault = bed.server.inject(FaultRule::on(storing(parts)).times(losses).then(Action::ResetAnswer));
                let outcome =
                    upload(&bed, parts, none_there()).unwrap_or_else(|e| panic!("{parts} {losses} {fresh}: {e}"));
                let stored = bed.server.object(bed.bucket(), "k").unwrap();
                assert_eq!((outcome.etag, fault.hits()), (Some(stored.etag()), losses));
                assert_eq!(outcome.verified, Verified::FullObject(Algorithm::Crc64Nvme));
                check_stored(&bed, parts);
                fault.remove();
                // The one that is replaced is there no more.
                let fault = bed.server.inject(FaultRule::on(storing(parts)).times(losses).then(Action::ResetAnswer));
                let replaced = upload(&bed, parts, ExtraArgs::new().if_match(stored.etag())).unwrap();
                assert_eq!((replaced.bytes, fault.hits()), (outcome.bytes, losses));
                fault.remove();
            }
        }
        // The object is there, and the store goes on saying that two requests are in each other's way.
        bed.server.remove_object(bed.bucket(), "k");
        let lost = bed.server.inject(FaultRule::on(storing(parts)).times(1).then(Action::ResetAnswer));
        let busy =
            bed.server.inject(FaultRule::on(storing(parts)).then(Action::Status(409, "ConditionalRequestConflict")));
        upload(&bed, parts, none_there()).unwrap();
        assert!(lost.hits() == 1 && busy.hits() >= 4, "{} {}", lost.hits(), busy.hits());
        bed.server.clear_faults();
    }
    bed.assert_clean(&["source"]);
}

#[test]
fn a_store_without_checksums_is_asked_for_the_etag() {
    let bed = Bed::with(|_| TestServer::builder(), |client| client);
    for parts in [false, true] {
        bed.server.remove_object(bed.bucket(), "k");
        bed.server.inject(FaultRule::on(Op::HeadObject).then(Action::RemoveHeader("x-amz-checksum-crc64nvme")));
        bed.server.inject(FaultRule::on(storing(parts)).times(1).then(Action::ResetAnswer));
        upload(&bed, parts, none_there()).unwrap();
        check_stored(&bed, parts);
        assert_eq!(kind(upload(&bed, parts, none_there())), ErrorKind::PreconditionFailed);
        bed.server.clear_faults();
    }
    bed.assert_clean(&["source"]);
}

/// Puts an object of somebody else's in the way when the request arrives, and loses the request.
fn another_was_first(server: &ServerHandle, parts: bool, bytes: &'static [u8]) {
    let (handle, op) = (server.clone(), storing(parts));
    let put = move || drop(handle.put_object(handle.bucket(), "k", bytes));
    server.inject(FaultRule::on(op).times(1).then(Action::call(put)));
    server.inject(FaultRule::on(op).times(1).then(Action::Reset));
}

#[test]
fn an_object_of_somebody_elses_is_never_claimed() {
    let bed = Bed::new();
    for parts in [false, true] {
        bed.server.remove_object(bed.bucket(), "k");
        another_was_first(&bed.server, parts, b"of another mind.");
        let error = upload(&bed, parts, none_there()).unwrap_err();
        assert_eq!((error.kind(), error.at().operation), (ErrorKind::PreconditionFailed, Some(storing_name(parts))));
        assert_eq!(&*bed.server.object(bed.bucket(), "k").unwrap().bytes(), b"of another mind.");
        bed.server.clear_faults();
    }
    // The same bytes, but from before this transfer.
    bed.server.put_object(bed.bucket(), "k", &b"under conditions"[..]);
    bed.server.inject(FaultRule::on(Op::HeadObject).then(Action::SetHeader("last-modified", date_ago(60))));
    bed.server.inject(FaultRule::on(Op::PutObject).times(1).then(Action::Reset));
    let heads = bed.server.stats().count(Op::HeadObject);
    assert_eq!(kind(upload(&bed, false, none_there())), ErrorKind::PreconditionFailed);
    assert_eq!(bed.server.stats().count(Op::HeadObject), heads + 1);
    bed.server.clear_faults();
    // Nobody looks when every request was answered.
    assert_eq!(kind(upload(&bed, false, none_there())), ErrorKind::PreconditionFailed);
    bed.server.inject(FaultRule::on(Op::PutObject).times(2).then(Action::Status(503, "SlowDown")));
    assert_eq!(kind(upload(&bed, false, none_there())), ErrorKind::PreconditionFailed);
    assert_eq!(bed.server.stats().count(Op::HeadObject), heads + 1);
    bed.server.clear_faults();
    bed.assert_clean(&["source"]);
}

fn storing_name(parts: bool) -> &'static str {
    if parts { "CompleteMultipartUpload" } else { "PutObject" }
}

/// What was logged, by everything in this process.
static LOGGED: LazyLock<Mutex<Vec<String>>> = LazyLock::new(Mutex::default);

struct Recorder;

struct Line(String);

impl tracing::field::Visit for Line {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        write!(self.0, "{}={value:?} ", field.name()).unwrap();
    }
}

impl tracing::Subscriber for Recorder {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN && metadata.target().starts_with("xfer")
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        LOGGED.lock().push(line.0);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn an_upload_that_may_have_been_opened_unseen_is_told_of() {
    tracing::subscriber::set_global_default(Recorder).unwrap();
    let told = |key: &str| {
        let of_key = |line: &&String| line.contains("CreateMultipartUpload") && line.contains(&format!("key={key} "));
        LOGGED.lock().iter().filter(of_key).count()
    };
    let bed = Bed::new();
    let source = bed.file("source", 4, 3 * PART);
    let put = |key: &str| bed.manager.upload(&source, bed.bucket(), key).start().unwrap().result(LIMIT).unwrap();
    put("answered");
    bed.server.inject(FaultRule::on(Op::CreateMultipartUpload).times(1).then(Action::Status(503, "SlowDown")));
    put("refused");
    assert_eq!((told("answered"), told("refused")), (0, 0));
    // On a kept connection, on a fresh one, and when what is answered says nothing.
    for (key, action) in
        [("lost", Action::ResetAnswer), ("lost-fresh", Action::ResetAnswer), ("lost-body", Action::TruncateBody)]
    {
        if key == "lost-fresh" {
            bed.server.close_connections();
        }
        let fault = bed.server.inject(FaultRule::on(Op::CreateMultipartUpload).times(1).then(action));
        put(key);
        assert_eq!((told(key), fault.hits()), (1, 1), "{key}");
        let left: Vec<String> = bed.server.open_uploads().into_iter().map(|(_, key, _)| key).collect();
        assert!(left.contains(&key.to_owned()), "the test's own upload was not left behind");
    }
}

#[test]
fn a_request_that_a_dead_connection_swallowed_is_sent_twice_at_the_most() {
    let once = RetryPolicy { max_attempts: 1, ..quick_retries() };
    let bed = Bed::with(|server| server, |client| client.retry(once).num_threads(1).max_connections(4));
    // Four connections are kept.
    let gate = Gate::new();
    let held = bed.server.inject(FaultRule::on(Op::PutObject).then(Action::Hold(gate.clone())));
    let puts = ["a", "b", "c", "d"].map(|key| bed.manager.upload(&b"x"[..], bed.bucket(), key).start().unwrap());
    assert!(gate.arrived_blocking(4, LIMIT));
    gate.open();
    for put in puts {
        put.result(LIMIT).unwrap();
    }
    held.remove();
    let fault = bed.server.inject(FaultRule::on(Op::PutObject).then(Action::Reset));
    let result = bed.manager.upload(&b"x"[..], bed.bucket(), "k").start().unwrap().result(LIMIT);
    assert_eq!((kind(result), fault.hits()), (ErrorKind::ConnectionLost, 2));
    fault.remove();
    bed.assert_clean(&[]);
}
