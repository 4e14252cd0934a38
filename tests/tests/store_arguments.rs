//! What a call says of its object reaches the requests that it is for, and the store does what it says: whether the object goes with one
//! request or in parts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use common::{Bed, PART, kind, outcome_of};
use xfer_facade::{Algorithm, DownloadTarget, ErrorKind, ExtraArgs, TransferCall, Verified};
use xfer_tests::{Action, Attributes, FaultRule, Op, pattern};

/// One request, and several parts.
const SIZES: [u64; 2] = [100_000, 2 * PART + 1];

/// 2030-01-02 03:04:05 UTC.
const LATER: &str = "2030-01-02T03:04:05Z";

fn later() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_893_553_445)
}

fn upload(bed: &Bed, key: &str, size: u64, args: &ExtraArgs) -> TransferCall {
    bed.manager.upload(pattern::bytes(1, size as usize), bed.bucket(), key).extra_args(args.clone())
}

fn download(bed: &Bed, key: &str, args: &ExtraArgs) -> TransferCall {
    bed.manager.download(bed.bucket(), key, DownloadTarget::memory()).extra_args(args.clone())
}

/// The properties of an object of each size that was uploaded with these arguments.
fn kept(args: &ExtraArgs) -> [Attributes; 2] {
    let bed = Bed::new();
    let kept = SIZES.map(|size| {
        let key = format!("{size}");
        let outcome = outcome_of(upload(&bed, &key, size, args)).unwrap();
        assert_eq!(outcome.retries, 0);
        let object = bed.server.object(bed.bucket(), &key).unwrap();
        assert_eq!(object.part_sizes().len() > 1, size > PART, "in parts");
        object.attributes().clone()
    });
    bed.assert_clean(&[]);
    kept
}

#[test]
fn what_an_upload_says_is_kept_with_the_object() {
    let args = ExtraArgs::new()
        .acl("bucket-owner-full-control")
        .storage_class("STANDARD_IA")
        .tagging([("project", "a&b=c"), ("stage", "blue sky")])
        .object_lock_mode("GOVERNANCE")
        .object_lock_retain_until_date(LATER)
        .object_lock_legal_hold_status("ON")
        .content_language("de, en")
        .content_encoding("gzip")
        .expires(LATER)
        .website_redirect_location("/elsewhere");
    for kept in kept(&args) {
        assert_eq!(kept.acl.as_deref(), Some("bucket-owner-full-control"));
        assert_eq!(kept.storage_class.as_deref(), Some("STANDARD_IA"));
        assert_eq!(kept.tagging.as_deref(), Some("project=a%26b%3Dc&stage=blue%20sky"));
        assert_eq!(kept.object_lock_mode.as_deref(), Some("GOVERNANCE"));
        assert_eq!(kept.object_lock_retain_until, Some(later().into()));
        assert_eq!(kept.object_lock_legal_hold.as_deref(), Some("ON"));
        assert_eq!(kept.content_language.as_deref(), Some("de, en"));
        assert_eq!(kept.content_encoding.as_deref(), Some("gzip"));
        assert_eq!(kept.expires, Some(later().into()));
        assert_eq!(kept.website_redirect_location.as_deref(), Some("/elsewhere"));
    }
}

#[test]
fn grants_are_kept_with_the_object() {
    let args = ExtraArgs::new()
        .grant_full_control("id=\"one\"")
        .grant_read("uri=\"http://acs.amazonaws.com/groups/global/AllUsers\"")
        .grant_read_acp("id=\"two\", id=\"three\"")
        .grant_write_acp("emailAddress=\"four@example.com\"");
    for kept in kept(&args) {
        assert_eq!(kept.grants["full-control"], "id=\"one\"");
        assert_eq!(kept.grants["read"], "uri=\"http://acs.amazonaws.com/groups/global/AllUsers\"");
        assert_eq!(kept.grants["read-acp"], "id=\"two\", id=\"three\"");
        assert_eq!(kept.grants["write-acp"], "emailAddress=\"four@example.com\"");
    }
}

#[test]
fn the_stores_own_encryption_is_as_asked() {
    let key = "arn:aws:kms:us-east-1:111122223333:key/1234";
    let args = ExtraArgs::new()
        .server_side_encryption("aws:kms")
        .sse_kms_key_id(key)
        .sse_kms_encryption_context([("purpose", "a test")])
        .bucket_key_enabled(true);
    for kept in kept(&args) {
        assert_eq!(kept.server_side_encryption.as_deref(), Some("aws:kms"));
        assert_eq!(kept.kms_key_id.as_deref(), Some(key));
        let context = BASE64.decode(kept.kms_context.unwrap()).unwrap();
        assert_eq!(context, br#"{"purpose":"a test"}"#);
        assert_eq!(kept.bucket_key_enabled, Some(true));
    }
    for kept in kept(&ExtraArgs::new().server_side_encryption("AES256")) {
        assert_eq!(kept.server_side_encryption.as_deref(), Some("AES256"));
    }
}

#[test]
fn what_cannot_go_together_is_refused_by_the_store_and_told() {
    let bed = Bed::new();
    let args = ExtraArgs::new().acl("private").grant_read("id=\"one\"");
    for size in SIZES {
        let error = outcome_of(upload(&bed, "k", size, &args)).unwrap_err();
        let answer = error.service().unwrap();
        assert_eq!(
            (error.kind(), answer.status, &*answer.code),
            (ErrorKind::Rejected, 400, "InvalidRequest"),
            "{error}"
        );
    }
    bed.assert_clean(&[]);
    bed.assert_works();
}

#[test]
fn a_customers_key_goes_with_every_request_that_needs_it() {
    let bed = Bed::new();
    let with_key = ExtraArgs::new().sse_customer_key("0123456789abcdef0123456789abcdef");
    let other_key = ExtraArgs::new().sse_customer_key("fedcba9876543210fedcba9876543210");
    for size in SIZES {
        let key = format!("{size}");
        outcome_of(upload(&bed, &key, size, &with_key)).unwrap();
        assert!(bed.server.object(bed.bucket(), &key).unwrap().attributes().customer_key_md5.is_some());
        let got = outcome_of(download(&bed, &key, &with_key)).unwrap();
        assert_eq!(got.verified, Verified::FullObject(Algorithm::Crc64Nvme), "{size}");
        pattern::check(1, 0, &got.body.unwrap()).unwrap();
        let ranged = outcome_of(download(&bed, &key, &with_key.clone().range("bytes=7-99"))).unwrap();
        pattern::check(1, 7, &ranged.body.unwrap()).unwrap();

        let target = bed.path("target");
        let without = bed.manager.download(bed.bucket(), &key, &target);
        assert_eq!(kind(outcome_of(without)), ErrorKind::Rejected, "no key");
        let wrong = bed.manager.download(bed.bucket(), &key, &target).extra_args(other_key.clone());
        assert_eq!(kind(outcome_of(wrong)), ErrorKind::AccessDenied, "another key");
        bed.assert_clean(&[]);
    }
    let name = "x-amz-server-side-encryption-customer-key";
    let requests = bed.server.requests();
    let with: BTreeSet<Op> = requests.iter().filter(|r| r.headers.contains_key(name)).map(|r| r.op).collect();
    let expected = [
        Op::PutObject,
        Op::CreateMultipartUpload,
        Op::UploadPart,
        Op::CompleteMultipartUpload,
        Op::GetObject,
        Op::HeadObject,
    ];
    assert_eq!(with, BTreeSet::from(expected));
    assert!(requests.iter().filter(|r| r.op == Op::UploadPart).all(|r| r.headers.contains_key(name)), "each part");

    // Asking for a part by its number was refused for want of a key, which says nothing of stores and part numbers.
    bed.object("plain", 2, 1000);
    bed.server.reset_stats();
    outcome_of(download(&bed, "plain", &ExtraArgs::new())).unwrap();
    assert!(bed.server.requests()[0].target.contains("partNumber=1"), "{:?}", bed.server.requests()[0].target);
}

#[test]
fn owner_and_payer_go_with_every_request() {
    let bed = Bed::with(|server| server.requester_pays(), |client| client);
    let args = ExtraArgs::new().request_payer("requester").expected_bucket_owner(bed.server.owner());
    for size in SIZES {
        let key = format!("{size}");
        outcome_of(upload(&bed, &key, size, &args)).unwrap();
        let got = outcome_of(download(&bed, &key, &args)).unwrap();
        pattern::check(1, 0, &got.body.unwrap()).unwrap();
        outcome_of(bed.manager.delete(bed.bucket(), &key).extra_args(args.clone())).unwrap();
    }
    // And an upload that is given up.
    let fault = bed.server.inject(FaultRule::on(Op::UploadPart).part(2).then(Action::Status(403, "AccessDenied")));
    assert_eq!(kind(outcome_of(upload(&bed, "k", SIZES[1], &args))), ErrorKind::AccessDenied);
    fault.remove();
    let requests = bed.server.requests();
    for request in &requests {
        assert_eq!(request.headers["x-amz-request-payer"], "requester", "{:?}", request.op);
        assert_eq!(request.headers["x-amz-expected-bucket-owner"], bed.server.owner(), "{:?}", request.op);
    }
    let seen: BTreeSet<Op> = requests.iter().map(|request| request.op).collect();
    assert_eq!(seen.len(), 8, "all operations that transfers have: {seen:?}");

    let other = ExtraArgs::new().request_payer("requester").expected_bucket_owner("999999999999");
    for args in [ExtraArgs::new(), other] {
        for size in SIZES {
            assert_eq!(kind(outcome_of(upload(&bed, "k", size, &args))), ErrorKind::AccessDenied);
        }
        assert_eq!(kind(outcome_of(download(&bed, "k", &args))), ErrorKind::AccessDenied);
        let delete = bed.manager.delete(bed.bucket(), "k").extra_args(args);
        assert_eq!(kind(outcome_of(delete)), ErrorKind::AccessDenied);
    }
    bed.assert_clean(&[]);
}

#[test]
fn versions_are_told_and_can_be_asked_for() {
    let bed = Bed::with(|server| server.versioning().mfa_delete("arn:aws:iam::111122223333:mfa/me 123456"), |c| c);
    for size in SIZES {
        let key = format!("{size}");
        let put = |seed: u64| {
            let call = bed.manager.upload(pattern::bytes(seed, size as usize), bed.bucket(), &key);
            let outcome = outcome_of(call).unwrap();
            assert!(outcome.elapsed > Duration::ZERO);
            let version = outcome.version_id.unwrap();
            assert_eq!(bed.server.object(bed.bucket(), &key).unwrap().version_id(), Some(&*version));
            version
        };
        let (first, second) = (put(1), put(2));
        for (asked, version, seed) in [(Some(&first), &first, 1), (Some(&second), &second, 2), (None, &second, 2)] {
            let args = asked.map_or(ExtraArgs::new(), |asked| ExtraArgs::new().version_id(asked));
            let got = outcome_of(download(&bed, &key, &args)).unwrap();
            assert_eq!(got.version_id.as_ref(), Some(version), "{size}");
            assert_eq!(got.verified, Verified::FullObject(Algorithm::Crc64Nvme), "{size}");
            pattern::check(seed, 0, &got.body.unwrap()).unwrap();
        }
        let missing = ExtraArgs::new().version_id("no-such-version");
        assert_eq!(kind(outcome_of(download(&bed, &key, &missing))), ErrorKind::NoSuchKey);

        let marker = outcome_of(bed.manager.delete(bed.bucket(), &key)).unwrap().version_id.unwrap();
        assert!(marker != first && marker != second);
        assert_eq!(kind(outcome_of(download(&bed, &key, &ExtraArgs::new()))), ErrorKind::NoSuchKey);
        let of_marker = ExtraArgs::new().version_id(&marker);
        assert_eq!(kind(outcome_of(download(&bed, &key, &of_marker))), ErrorKind::Rejected);
        assert!(outcome_of(download(&bed, &key, &ExtraArgs::new().version_id(&first))).is_ok());

        let delete = |args: &ExtraArgs| outcome_of(bed.manager.delete(bed.bucket(), &key).extra_args(args.clone()));
        assert_eq!(kind(delete(&of_marker)), ErrorKind::AccessDenied, "without the device");
        let device = |code: &str| of_marker.clone().mfa(format!("arn:aws:iam::111122223333:mfa/me {code}"));
        assert_eq!(kind(delete(&device("654321"))), ErrorKind::AccessDenied, "with another code");
        assert_eq!(delete(&device("123456")).unwrap().version_id, Some(marker));
        assert_eq!(outcome_of(download(&bed, &key, &ExtraArgs::new())).unwrap().version_id, Some(second));
    }
    bed.assert_clean(&[]);
}

#[test]
fn conditions_of_a_download_decide_whether_it_comes() {
    let bed = Bed::new();
    for size in SIZES {
        bed.object("k", 1, size);
        outcome_of(upload(&bed, "k", size, &ExtraArgs::new())).unwrap();
        let object = bed.server.object(bed.bucket(), "k").unwrap();
        let etag = object.etag();
        let (before, behind) = ("Thu, 02 Jan 2020 03:04:05 GMT", LATER);
        let holds = [
            ExtraArgs::new().if_match(&etag),
            ExtraArgs::new().if_match("*"),
            ExtraArgs::new().if_none_match("\"another\""),
            ExtraArgs::new().if_modified_since(before),
            ExtraArgs::new().if_unmodified_since(behind),
            // Of two, the one by ETag counts.
            ExtraArgs::new().if_match(&etag).if_unmodified_since(before),
        ];
        for args in holds {
            let got = outcome_of(download(&bed, "k", &args)).unwrap_or_else(|error| panic!("{args:?}: {error}"));
            pattern::check(1, 0, &got.body.unwrap()).unwrap();
            assert_eq!(got.bytes, size, "{args:?}");
        }
        let fails = [
            (ExtraArgs::new().if_match("\"another\""), 412),
            (ExtraArgs::new().if_none_match(&etag), 304),
            (ExtraArgs::new().if_none_match("*"), 304),
            (ExtraArgs::new().if_modified_since(behind), 304),
            (ExtraArgs::new().if_unmodified_since(before), 412),
        ];
        for (args, status) in fails {
            let target = bed.path("target");
            std::fs::write(&target, "what was there").unwrap();
            let call = bed.manager.download(bed.bucket(), "k", &target).extra_args(args.clone());
            let error = outcome_of(call).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PreconditionFailed, "{args:?}: {error}");
            assert_eq!(error.service().unwrap().status, status, "{args:?}");
            assert_eq!(std::fs::read(&target).unwrap(), b"what was there", "{args:?}");
        }
    }
    bed.assert_clean(&["target"]);
}

#[test]
fn conditions_of_an_upload_and_of_a_delete_decide_whether_it_happens() {
    let bed = Bed::new();
    for size in SIZES {
        let key = format!("{size}");
        let only_new = ExtraArgs::new().if_none_match("*");
        let replace = |etag: &str| ExtraArgs::new().if_match(etag);
        assert_eq!(kind(outcome_of(upload(&bed, &key, size, &replace("\"any\"")))), ErrorKind::NoSuchKey, "{size}");
        let first = outcome_of(upload(&bed, &key, size, &only_new)).unwrap().etag.unwrap();
        assert_eq!(kind(outcome_of(upload(&bed, &key, size, &only_new))), ErrorKind::PreconditionFailed);
        let second = outcome_of(upload(&bed, &key, size, &replace(&first))).unwrap().etag.unwrap();
        assert_ne!(first, second);
        assert_eq!(kind(outcome_of(upload(&bed, &key, size, &replace(&first)))), ErrorKind::PreconditionFailed);
        assert_eq!(bed.server.object(bed.bucket(), &key).unwrap().etag(), second);

        let delete = |etag: &str| outcome_of(bed.manager.delete(bed.bucket(), &key).extra_args(replace(etag)));
        assert_eq!(kind(delete(&first)), ErrorKind::PreconditionFailed);
        assert!(bed.server.object(bed.bucket(), &key).is_some());
        delete(&second).unwrap();
        assert!(bed.server.object(bed.bucket(), &key).is_none());
    }
    bed.assert_clean(&[]);
}

#[test]
fn a_conditional_upload_whose_last_answer_got_lost_is_found_to_be_done() {
    let bed = Bed::new();
    bed.object("old", 2, 10);
    let etag = bed.server.object(bed.bucket(), "old").unwrap().etag();
    for (key, args) in [("new", ExtraArgs::new().if_none_match("*")), ("old", ExtraArgs::new().if_match(etag))] {
        bed.server.inject(FaultRule::on(Op::CompleteMultipartUpload).times(1).then(Action::ResetAnswer));
        let outcome = outcome_of(upload(&bed, key, SIZES[1], &args)).unwrap();
        assert_eq!(outcome.verified, Verified::FullObject(Algorithm::Crc64Nvme));
        bed.check_object(key, 1, SIZES[1]);
        bed.server.clear_faults();
    }
    bed.assert_clean(&[]);
}
