//! What stores are asked to do besides keeping bytes: conditions, customers' keys, tags, checksums of the caller's. Runs against the embedded
//! server, or against the store that the environment names: see `common/store.rs`. What a store does in another way is said by its
//! profile and in docs/stores.md, and is tested as well.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use aws_sdk_s3::primitives::DateTimeFormat as Format;
use common::store::Store;
use common::{PART, THRESHOLD, kind, outcome_of};
use xfer_facade::{Algorithm, Checksum, DownloadTarget, ErrorKind, ExtraArgs, TransferCall, Verified};
use xfer_tests::pattern;

/// One request, and several parts.
const SIZES: [u64; 2] = [1000, THRESHOLD + 1];

fn upload(store: &Store, key: &str, size: u64, args: &ExtraArgs) -> TransferCall {
    store.manager.upload(pattern::bytes(size, size as usize), &store.bucket, key).extra_args(args.clone())
}

fn download(store: &Store, key: &str, args: &ExtraArgs) -> TransferCall {
    store.manager.download(&store.bucket, key, DownloadTarget::memory()).extra_args(args.clone())
}

#[test]
fn conditions_of_reads_hold() {
    let store = Store::open();
    let (before, behind) = ("2020-01-02T03:04:05Z", "2040-01-02T03:04:05Z");
    // A time that lies ahead is none to some.
    let stored = |key: &str| store.head(key).last_modified().unwrap().fmt(Format::HttpDate).unwrap();
    for size in SIZES {
        let key = store.key(&format!("read {size}"));
        let etag = outcome_of(upload(&store, &key, size, &ExtraArgs::new())).unwrap().etag.unwrap();
        let cases = [
            (ExtraArgs::new().if_match(&etag), true),
            (ExtraArgs::new().if_match("\"00000000000000000000000000000000\""), false),
            (ExtraArgs::new().if_none_match("\"00000000000000000000000000000000\""), true),
            (ExtraArgs::new().if_none_match(&etag), false),
            (ExtraArgs::new().if_modified_since(before), true),
            (ExtraArgs::new().if_modified_since(stored(&key)), false),
            (ExtraArgs::new().if_unmodified_since(behind), true),
            (ExtraArgs::new().if_unmodified_since(before), false),
        ];
        for (args, holds) in cases {
            match outcome_of(download(&store, &key, &args)) {
                Ok(got) => {
                    assert!(holds, "{size} {args:?}");
                    pattern::check(size, 0, &got.body.unwrap()).unwrap();
                }
                Err(error) => {
                    assert!(!holds, "{size} {args:?}: {error}");
                    assert_eq!(error.kind(), ErrorKind::PreconditionFailed, "{size} {args:?}: {error}");
                }
            }
        }
    }
    store.assert_clean(&[]);
}

#[test]
fn conditions_of_writes_hold() {
    let store = Store::open();
    for size in SIZES {
        let key = store.key(&format!("written {size}"));
        let refused = |call: TransferCall, is_known: bool| match outcome_of(call) {
            Ok(_) => assert!(!is_known, "{size}"),
            Err(error) => {
                assert_eq!((error.kind(), is_known), (ErrorKind::PreconditionFailed, true), "{size}: {error}")
            }
        };
        let is_known = size <= THRESHOLD || store.profile.if_match_of_completions;
        let only_new = ExtraArgs::new().if_none_match("*");
        let first = outcome_of(upload(&store, &key, size, &only_new)).unwrap().etag.unwrap();
        refused(upload(&store, &key, size, &only_new), true);
        outcome_of(upload(&store, &key, size, &ExtraArgs::new().if_match(first))).unwrap();
        let other = ExtraArgs::new().if_match("\"00000000000000000000000000000000\"");
        refused(upload(&store, &key, size, &other), is_known);
        let delete = store.manager.delete(&store.bucket, &key).extra_args(other);
        refused(delete, true);
        assert!(store.exists(&key), "{size}");
    }
    store.assert_clean(&[]);
}

#[test]
fn a_customers_key_is_needed_for_what_it_encrypts() {
    let store = Store::open();
    let with_key = ExtraArgs::new().sse_customer_key("0123456789abcdef0123456789abcdef");
    let other_key = ExtraArgs::new().sse_customer_key("fedcba9876543210fedcba9876543210");
    for size in SIZES {
        let key = store.key(&format!("encrypted {size}"));
        outcome_of(upload(&store, &key, size, &with_key)).unwrap_or_else(|error| panic!("{size}: {error}"));
        let got = outcome_of(download(&store, &key, &with_key)).unwrap_or_else(|error| panic!("{size}: {error}"));
        pattern::check(size, 0, &got.body.unwrap()).unwrap();
        for args in [&ExtraArgs::new(), &other_key] {
            match outcome_of(download(&store, &key, args)) {
                Ok(_) => assert!(!store.profile.asks_for_customer_keys, "{size}"),
                Err(error) => {
                    assert!(matches!(error.kind(), ErrorKind::Rejected | ErrorKind::AccessDenied), "{size}: {error}");
                    assert!(store.profile.asks_for_customer_keys, "{size}: {error}");
                }
            }
        }
        outcome_of(store.manager.delete(&store.bucket, &key)).unwrap();
    }
    store.assert_clean(&[]);
}

#[test]
fn tags_and_storage_class_are_kept() {
    let store = Store::open();
    let args = ExtraArgs::new().tagging([("project", "a b"), ("stage", "blue")]).storage_class("STANDARD_IA");
    for size in SIZES {
        let key = store.key(&format!("tagged {size}"));
        outcome_of(upload(&store, &key, size, &args)).unwrap();
        assert_eq!(
            store.tags(&key),
            [("project".to_owned(), "a b".to_owned()), ("stage".to_owned(), "blue".to_owned())]
        );
        assert_eq!(store.head(&key).storage_class().map(|class| class.as_str()), Some("STANDARD_IA"), "{size}");
    }
    store.assert_clean(&[]);
}

#[test]
fn a_checksum_of_the_callers_is_compared() {
    let store = Store::open();
    for size in SIZES {
        for algorithm in [Algorithm::Crc32, Algorithm::Crc64Nvme] {
            let key = store.key(&format!("{algorithm} {size}"));
            let given = |bytes: &[u8]| ExtraArgs::new().checksum(&Checksum::of(algorithm, bytes));
            let right = given(&pattern::bytes(size, size as usize));
            let outcome =
                outcome_of(upload(&store, &key, size, &right)).unwrap_or_else(|error| panic!("{key}: {error}"));
            assert_eq!(outcome.verified, Verified::FullObject(algorithm), "{key}");
            let wrong = store.key(&format!("wrong {algorithm} {size}"));
            let result = outcome_of(upload(&store, &wrong, size, &given(b"something else")));
            // Of several parts xfer sees it itself, before the object is made.
            if store.profile.compares_checksums || size > THRESHOLD {
                assert_eq!(kind(result), ErrorKind::ChecksumMismatch, "{wrong}");
                assert!(!store.exists(&wrong), "{wrong}");
            } else {
                result.unwrap();
            }
        }
    }
    store.assert_clean(&[]);
}

#[test]
fn what_is_not_there_is_said_to_be_not_there() {
    let store = Store::open();
    assert_eq!(kind(outcome_of(download(&store, &store.key("missing"), &ExtraArgs::new()))), ErrorKind::NoSuchKey);
    let bucket = "xfer-no-such-bucket";
    let data = pattern::bytes(1, 2 * PART as usize);
    for upload in [store.manager.upload(&b"small"[..], bucket, "k"), store.manager.upload(data, bucket, "k")] {
        assert_eq!(kind(outcome_of(upload)), ErrorKind::NoSuchBucket);
    }
    let download = store.manager.download(bucket, "k", DownloadTarget::memory());
    assert_eq!(kind(outcome_of(download)), ErrorKind::NoSuchBucket);
    store.assert_clean(&[]);
}
