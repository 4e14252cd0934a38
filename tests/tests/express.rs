//! S3 Express directory buckets, at their zonal hosts and over TLS: the server is reached by AWS's names through a proxy, and judges each
//! session and each signature made with it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::zonal::Zonal;
use common::{LIMIT, PART, kind, outcome_of};
use xfer_facade::{Algorithm, DownloadTarget, ErrorKind, ExtraArgs, Verified};
use xfer_tests::{Action, FaultRule, Gate, Op, pattern};

const BUCKET: &str = "photos--use1-az4--x-s3";
const DOMAIN: &str = "s3express-use1-az4.us-east-1.amazonaws.com";

fn zonal() -> Zonal {
    let zonal = Zonal::with(|server| server.virtual_host_domain(DOMAIN), |client| client);
    zonal.server.create_bucket(BUCKET);
    zonal
}

#[test]
fn many_transfers_at_once_share_one_session() {
    let zonal = zonal();
    let uploads: Vec<_> = (0..30)
        .map(|index| {
            let size = if index % 10 == 0 { 2 * PART + index } else { 1000 + index };
            let call = zonal.manager.upload(pattern::bytes(index, size as usize), BUCKET, &format!("key {index}"));
            (index, size, call.start().unwrap())
        })
        .collect();
    for (index, size, upload) in uploads {
        let outcome = upload.result(LIMIT).unwrap();
        assert_eq!((outcome.verified, outcome.retries), (Verified::FullObject(Algorithm::Crc64Nvme), 0), "{index}");
        let down = zonal.manager.download(BUCKET, &format!("key {index}"), DownloadTarget::memory());
        let down = outcome_of(down).unwrap();
        assert_eq!((down.bytes, down.verified), (size, Verified::FullObject(Algorithm::Crc64Nvme)), "{index}");
        pattern::check(index, 0, &down.body.unwrap()).unwrap();
        outcome_of(zonal.manager.delete(BUCKET, &format!("key {index}"))).unwrap();
    }
    assert_eq!(zonal.server.list_keys(BUCKET), Vec::<String>::new());
    assert_eq!(zonal.server.stats().count(Op::CreateSession), 1);
    let mut tokens = BTreeSet::new();
    for request in zonal.server.requests() {
        assert_eq!(request.headers["host"], format!("{BUCKET}.{DOMAIN}"), "{:?}", request.op);
        assert!(request.headers["authorization"].contains("/us-east-1/s3express/aws4_request"), "{:?}", request.op);
        assert_eq!(request.headers.contains_key("x-amz-s3session-token"), request.op != Op::CreateSession);
        tokens.extend(request.headers.get("x-amz-s3session-token").cloned());
    }
    assert_eq!(tokens.len(), 1);
    let host = format!("{BUCKET}.{DOMAIN}:443");
    assert!(zonal.proxy.asked_for().iter().all(|asked| *asked == host), "{:?}", zonal.proxy.asked_for());
    zonal.assert_clean();
}

#[test]
fn a_session_in_its_last_seconds_is_replaced_before_it_ends() {
    let zonal = zonal();
    // Ample for one request, and less than what must be left of a session that is used.
    zonal.server.set_session_lifetime(Duration::from_secs(9));
    for index in 1..=3 {
        let outcome = outcome_of(zonal.manager.upload(&b"bytes"[..], BUCKET, "k")).unwrap();
        assert_eq!(outcome.retries, 0, "no request was refused");
        assert_eq!(zonal.server.stats().count(Op::CreateSession), index);
    }
    zonal.server.set_session_lifetime(Duration::from_secs(300));
    for _ in 0..3 {
        outcome_of(zonal.manager.upload(&b"bytes"[..], BUCKET, "k")).unwrap();
    }
    assert_eq!(zonal.server.stats().count(Op::CreateSession), 4);
    zonal.assert_clean();
}

#[test]
fn a_session_that_is_refused_is_replaced_once_for_all() {
    let zonal = zonal();
    outcome_of(zonal.manager.upload(&b"bytes"[..], BUCKET, "k")).unwrap();
    // All of them are on their way with the old session when it ends.
    let gate = Gate::new();
    zonal.server.inject(FaultRule::on(Op::PutObject).times(8).then(Action::Hold(gate.clone())));
    let uploads: Vec<_> = (0..8)
        .map(|index| zonal.manager.upload(pattern::bytes(index, 1000), BUCKET, &format!("{index}")).start().unwrap())
        .collect();
    assert!(gate.arrived_blocking(8, LIMIT));
    zonal.server.revoke_sessions();
    gate.open();
    for upload in uploads {
        let outcome = upload.result(LIMIT).unwrap();
        assert_eq!(outcome.retries, 1, "refused once, and repeated with the new session");
    }
    assert_eq!(zonal.server.stats().count(Op::CreateSession), 2);
    // In the middle of an upload, and of a download.
    let handle = zonal.server.handle();
    let revoke = Action::call(move || handle.revoke_sessions());
    zonal.server.inject(FaultRule::on(Op::UploadPart).part(2).times(1).then(revoke.clone()));
    outcome_of(zonal.manager.upload(pattern::bytes(1, 4 * PART as usize), BUCKET, "large")).unwrap();
    zonal.server.inject(FaultRule::on(Op::GetObject).range_start(2 * PART).times(1).then(revoke));
    let down = outcome_of(zonal.manager.download(BUCKET, "large", DownloadTarget::memory())).unwrap();
    pattern::check(1, 0, &down.body.unwrap()).unwrap();
    assert_eq!(zonal.server.stats().count(Op::CreateSession), 4);
    zonal.assert_clean();
}

#[test]
fn a_session_that_is_not_given_fails_the_transfer_and_says_why() {
    let zonal = zonal();
    let fault = zonal.server.inject(FaultRule::on(Op::CreateSession).then(Action::Status(403, "AccessDenied")));
    let error = outcome_of(zonal.manager.upload(&b"bytes"[..], BUCKET, "k")).unwrap_err();
    assert_eq!((error.kind(), fault.hits()), (ErrorKind::AccessDenied, 1), "{error}");
    zonal.server.clear_faults();
    zonal.server.inject(FaultRule::on(Op::CreateSession).times(2).then(Action::Status(503, "SlowDown")));
    let outcome = outcome_of(zonal.manager.upload(&b"bytes"[..], BUCKET, "k")).unwrap();
    assert_eq!(outcome.retries, 2, "a session is tried for as a request is");
    let missing = outcome_of(zonal.manager.upload(&b"bytes"[..], "other--use1-az4--x-s3", "k"));
    assert_eq!(kind(missing), ErrorKind::NoSuchBucket);
    zonal.assert_clean();
}

#[test]
fn encryption_is_that_of_the_session() {
    let zonal = zonal();
    let with = |key: Option<&str>| {
        let args = ExtraArgs::new().server_side_encryption("aws:kms");
        key.map_or(args.clone(), |key| args.sse_kms_key_id(key))
    };
    for (args, sessions) in [(ExtraArgs::new(), 1), (with(Some("key")), 2), (with(None), 3), (with(Some("key")), 3)] {
        for size in [1000, 2 * PART] {
            let call = zonal.manager.upload(pattern::bytes(1, size as usize), BUCKET, "k").extra_args(args.clone());
            outcome_of(call).unwrap_or_else(|error| panic!("{args:?}: {error}"));
            let object = zonal.server.object(BUCKET, "k").unwrap();
            assert_eq!(object.attributes().kms_key_id.as_deref(), args.get("SSEKMSKeyId").and(Some("key")));
        }
        assert_eq!(zonal.server.stats().count(Op::CreateSession), sessions, "{args:?}");
        outcome_of(zonal.manager.download(BUCKET, "k", DownloadTarget::memory())).unwrap();
    }
    zonal.assert_clean();
}

#[test]
fn a_session_that_is_long_in_coming_or_fails_is_waited_for_by_those_that_need_it() {
    let zonal = zonal();
    let encrypted = ExtraArgs::new().server_side_encryption("aws:kms").sse_kms_key_id("key");
    let gate = Gate::new();
    zonal.server.inject(FaultRule::on(Op::CreateSession).times(1).then(Action::Hold(gate.clone())));
    let fault =
        zonal.server.inject(FaultRule::on(Op::CreateSession).times(1).then(Action::Status(403, "AccessDenied")));
    let put = || zonal.manager.upload(&b"bytes"[..], BUCKET, "k");
    let refused = put().extra_args(encrypted).start().unwrap();
    assert!(gate.arrived_blocking(1, LIMIT));
    outcome_of(put()).unwrap();
    gate.open();
    assert_eq!((kind(refused.result(LIMIT)), fault.hits()), (ErrorKind::AccessDenied, 1));
    zonal.assert_clean();
}

#[test]
fn a_session_is_fetched_and_used_by_the_clock_of_the_store() {
    let zonal = zonal();
    zonal.server.inject(FaultRule::any().then(Action::ClockAhead(-7_200)));
    let outcome = outcome_of(zonal.manager.upload(pattern::bytes(1, 2 * PART as usize), BUCKET, "k")).unwrap();
    assert_eq!((outcome.retries, zonal.server.stats().count(Op::CreateSession)), (1, 2), "learnt from one refusal");
    let down = outcome_of(zonal.manager.download(BUCKET, "k", DownloadTarget::memory())).unwrap();
    assert_eq!((down.retries, zonal.server.stats().count(Op::CreateSession)), (0, 2), "and once for all");
    pattern::check(1, 0, &down.body.unwrap()).unwrap();
    zonal.assert_clean();
}

#[test]
fn what_directory_buckets_do_not_have_is_refused_and_told() {
    let zonal = zonal();
    let cases = [
        ExtraArgs::new().acl("private"),
        ExtraArgs::new().tagging([("a", "b")]),
        ExtraArgs::new().sse_customer_key("0123456789abcdef0123456789abcdef"),
        ExtraArgs::new().object_lock_legal_hold_status("ON"),
        ExtraArgs::new().request_payer("requester"),
    ];
    for args in cases {
        for size in [1000, 2 * PART] {
            let call = zonal.manager.upload(pattern::bytes(1, size as usize), BUCKET, "k").extra_args(args.clone());
            let error = outcome_of(call).unwrap_err();
            assert_eq!(
                (error.kind(), &*error.service().unwrap().code),
                (ErrorKind::Rejected, "NotImplemented"),
                "{error}"
            );
        }
    }
    let call = zonal.manager.upload(&b"bytes"[..], BUCKET, "k").extra_args(ExtraArgs::new().storage_class("GLACIER"));
    assert_eq!(outcome_of(call).unwrap_err().service().unwrap().code, "InvalidStorageClass");
    let right = ExtraArgs::new().storage_class("EXPRESS_ONEZONE").checksum_algorithm(Algorithm::Crc32);
    let outcome = outcome_of(zonal.manager.upload(&b"bytes"[..], BUCKET, "k").extra_args(right)).unwrap();
    assert_eq!(outcome.verified, Verified::FullObject(Algorithm::Crc32));
    zonal.assert_clean();
}
