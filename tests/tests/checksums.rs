//! Checksums end to end: which goes along, what the store keeps of it, what is said to have been verified, and what becomes of bytes that do
//! not have the checksum they should have.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use aws_sdk_s3::config::ResponseChecksumValidation;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use common::{Bed, PART, kind, outcome_of};
use xfer_facade::{Algorithm, Checksum, ChecksumKind, DownloadTarget, ErrorKind, ExtraArgs, TransferCall, Verified};
use xfer_tests::{Action, FaultRule, Op, RequestRecord, pattern};

/// One request, and several parts.
const SMALL: u64 = 100_000;
const LARGE: u64 = 2 * PART + 1;

fn upload(bed: &Bed, key: &str, size: u64, args: &ExtraArgs) -> TransferCall {
    bed.manager.upload(pattern::bytes(1, size as usize), bed.bucket(), key).extra_args(args.clone())
}

fn download(bed: &Bed, key: &str) -> TransferCall {
    bed.manager.download(bed.bucket(), key, DownloadTarget::memory())
}

/// The requests of one operation that carry bytes of an object.
fn requests(bed: &Bed, op: Op) -> Vec<RequestRecord> {
    bed.server.requests().into_iter().filter(|request| request.op == op).collect()
}

#[test]
fn every_algorithm_goes_along_and_comes_back() {
    let bed = Bed::new();
    for algorithm in Algorithm::ALL {
        let combines = matches!(algorithm, Algorithm::Crc32 | Algorithm::Crc32c | Algorithm::Crc64Nvme);
        let mut kinds = vec![None];
        kinds.extend((algorithm != Algorithm::Crc64Nvme).then_some(Some(ChecksumKind::Composite)));
        kinds.extend(combines.then_some(Some(ChecksumKind::FullObject)));
        for asked in kinds {
            for size in [0, SMALL, LARGE] {
                let what = format!("{algorithm} {asked:?} {size}");
                let mut args = ExtraArgs::new().checksum_algorithm(algorithm);
                if let Some(asked) = asked {
                    args = args.checksum_type(asked);
                }
                bed.server.reset_stats();
                let up = outcome_of(upload(&bed, &what, size, &args)).unwrap_or_else(|error| panic!("{what}: {error}"));
                let object = bed.server.object(bed.bucket(), &what).unwrap();
                let kept = object.checksum().unwrap();
                assert_eq!(kept.algorithm.name(), algorithm.name(), "{what}");
                let full = size <= SMALL || asked.unwrap_or(algorithm.default_kind()) == ChecksumKind::FullObject;
                let (verified, kind) = match full {
                    true => (Verified::FullObject(algorithm), "FULL_OBJECT"),
                    false => (Verified::EachPart(algorithm), "COMPOSITE"),
                };
                assert_eq!((up.verified, kept.kind.name(), up.retries), (verified, kind, 0), "{what}");
                if full {
                    let whole = Checksum::of(algorithm, &pattern::bytes(1, size as usize));
                    assert_eq!(kept.value, whole.to_base64(), "{what}");
                } else {
                    assert!(kept.value.ends_with("-3"), "{what}: {}", kept.value);
                }
                let op = if size > SMALL { Op::UploadPart } else { Op::PutObject };
                for request in requests(&bed, op) {
                    assert_eq!(request.headers["x-amz-trailer"], algorithm.header(), "{what}");
                    assert_eq!(request.headers["x-amz-sdk-checksum-algorithm"], algorithm.name(), "{what}");
                }

                let down = outcome_of(download(&bed, &what)).unwrap();
                // A checksum of checksums is none of the bytes.
                let expected = if full { Verified::FullObject(algorithm) } else { Verified::NotAvailable };
                assert_eq!(down.verified, expected, "{what}");
                pattern::check(1, 0, &down.body.unwrap()).unwrap();
            }
        }
    }
    bed.assert_clean(&[]);
}

#[test]
fn a_checksum_of_the_callers_is_compared_by_the_store() {
    let bed = Bed::new();
    for algorithm in Algorithm::ALL {
        let combines = matches!(algorithm, Algorithm::Crc32 | Algorithm::Crc32c | Algorithm::Crc64Nvme);
        for size in [SMALL, LARGE] {
            let what = format!("{algorithm} {size}");
            let given = |bytes: &[u8]| ExtraArgs::new().checksum(&Checksum::of(algorithm, bytes));
            let right = given(&pattern::bytes(1, size as usize));
            bed.server.reset_stats();
            let result = outcome_of(upload(&bed, &what, size, &right));
            if size == LARGE && !combines {
                let error = result.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{what}: {error}");
                assert!(error.message().contains("take a CRC, or a larger threshold"), "{what}: {error}");
                assert_eq!(bed.server.stats().total(), 0, "{what}: nothing was sent");
                continue;
            }
            assert_eq!(result.unwrap().verified, Verified::FullObject(algorithm), "{what}");
            let kept = bed.server.object(bed.bucket(), &what).unwrap();
            let value = Checksum::of(algorithm, &pattern::bytes(1, size as usize)).to_base64();
            assert_eq!(kept.checksum().unwrap().value, value, "{what}");
            assert_eq!(kept.checksum().unwrap().kind.name(), "FULL_OBJECT", "{what}");
            let told = if size == LARGE { Op::CompleteMultipartUpload } else { Op::PutObject };
            assert_eq!(requests(&bed, told)[0].headers[algorithm.header()], value, "{what}");

            let wrong = given(b"something else");
            let error = outcome_of(upload(&bed, "wrong", size, &wrong)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ChecksumMismatch, "{what}: {error}");
            assert!(bed.server.object(bed.bucket(), "wrong").is_none(), "{what}");
        }
    }
    bed.assert_clean(&[]);
}

#[test]
fn an_md5_of_the_callers_is_compared_by_the_store() {
    let bed = Bed::new();
    let md5 = |bytes: &[u8]| BASE64.encode(xfer_tests::ChecksumAlgorithm::Md5.of(bytes));
    let right = ExtraArgs::new().checksum_md5(md5(&pattern::bytes(1, SMALL as usize)));
    let outcome = outcome_of(upload(&bed, "k", SMALL, &right)).unwrap();
    // xfer has not computed it, and claims nothing.
    assert_eq!(outcome.verified, Verified::NotAvailable);
    assert_eq!(bed.server.object(bed.bucket(), "k").unwrap().checksum().unwrap().algorithm.name(), "MD5");
    assert_eq!(outcome_of(download(&bed, "k")).unwrap().verified, Verified::NotAvailable);

    let wrong = ExtraArgs::new().checksum_md5(md5(b"something else"));
    assert_eq!(kind(outcome_of(upload(&bed, "wrong", SMALL, &wrong))), ErrorKind::ChecksumMismatch);
    assert!(bed.server.object(bed.bucket(), "wrong").is_none());
    // An object of several parts has none that S3 could compare.
    bed.server.reset_stats();
    let error = outcome_of(upload(&bed, "large", LARGE, &right)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    assert_eq!(bed.server.stats().total(), 0, "nothing was sent");
    bed.assert_clean(&[]);
}

#[test]
fn wrong_bytes_are_an_error_by_every_algorithm_and_no_file() {
    let bed = Bed::new();
    for algorithm in Algorithm::ALL {
        let combines = matches!(algorithm, Algorithm::Crc32 | Algorithm::Crc32c | Algorithm::Crc64Nvme);
        let mut args = ExtraArgs::new().checksum_algorithm(algorithm);
        if combines {
            args = args.checksum_type(ChecksumKind::FullObject);
        }
        for size in [Some(SMALL), combines.then_some(LARGE)].into_iter().flatten() {
            let what = format!("{algorithm} {size}");
            outcome_of(upload(&bed, &what, size, &args)).unwrap();
            let fault = bed.server.inject(FaultRule::on(Op::GetObject).times(1).then(Action::CorruptBody));
            let error = outcome_of(bed.manager.download(bed.bucket(), &what, bed.path("target"))).unwrap_err();
            assert_eq!((error.kind(), fault.hits()), (ErrorKind::ChecksumMismatch, 1), "{what}: {error}");
            assert!(error.message().contains(algorithm.name()), "{what}: {error}");
            bed.assert_clean(&[]);

            bed.server.inject(FaultRule::on(Op::GetObject).times(1).then(Action::CorruptBody));
            let unchecked = ExtraArgs::new().checksum_mode("DISABLED");
            let got = outcome_of(download(&bed, &what).extra_args(unchecked)).unwrap();
            assert_eq!(got.verified, Verified::NotAvailable, "{what}: as it was told");
            bed.server.clear_faults();
        }
    }
    bed.assert_works();
}

#[test]
fn a_configuration_can_leave_validation_to_those_who_ask() {
    for (setting, by_default) in
        [(ResponseChecksumValidation::WhenRequired, false), (ResponseChecksumValidation::WhenSupported, true)]
    {
        let config = aws_types::SdkConfig::builder().response_checksum_validation(setting).build();
        let bed = Bed::with(|server| server, |client| client.from_sdk_config(&config));
        bed.object("small", 1, SMALL);
        outcome_of(upload(&bed, "large", LARGE, &ExtraArgs::new())).unwrap();
        let is_asked = |request: &RequestRecord| request.headers.contains_key("x-amz-checksum-mode");
        for key in ["small", "large"] {
            let verified = Verified::FullObject(Algorithm::Crc64Nvme);
            bed.server.reset_stats();
            let got = outcome_of(download(&bed, key)).unwrap();
            let expected = if by_default { verified } else { Verified::NotAvailable };
            assert_eq!(got.verified, expected, "{setting:?} {key}");
            assert_eq!(requests(&bed, Op::GetObject).iter().any(is_asked), by_default, "{setting:?} {key}");
            if !by_default {
                assert_eq!(bed.server.stats().count(Op::HeadObject), 0, "nobody wants to know");
            }
            let asking = ExtraArgs::new().checksum_mode("ENABLED");
            assert_eq!(
                outcome_of(download(&bed, key).extra_args(asking)).unwrap().verified,
                verified,
                "{setting:?} {key}"
            );
            let declining = ExtraArgs::new().checksum_mode("DISABLED");
            let got = outcome_of(download(&bed, key).extra_args(declining)).unwrap();
            assert_eq!(got.verified, Verified::NotAvailable, "{setting:?} {key}");
        }
        // Uploads carry theirs all the same.
        assert_eq!(bed.server.object(bed.bucket(), "large").unwrap().checksum().unwrap().algorithm.name(), "CRC64NVME");
        bed.assert_clean(&[]);
    }
}

#[test]
fn a_configuration_can_leave_checksums_of_uploads_to_those_who_ask() {
    let setting = aws_sdk_s3::config::RequestChecksumCalculation::WhenRequired;
    let config = aws_types::SdkConfig::builder().request_checksum_calculation(setting).build();
    let bed = Bed::with(|server| server, |client| client.from_sdk_config(&config));
    for (key, size) in [("small", SMALL), ("large", LARGE)] {
        bed.server.reset_stats();
        let outcome = outcome_of(upload(&bed, key, size, &ExtraArgs::new())).unwrap();
        assert_eq!(outcome.verified, Verified::NotAvailable, "{key}");
        bed.check_object(key, 1, size);
        let tells = |name: &str| name.contains("checksum") || name == "x-amz-trailer";
        for request in bed.server.requests() {
            assert!(!request.headers.keys().any(|name| tells(name.as_str())), "{key}: {:?}", request.headers);
        }
        let asking = ExtraArgs::new().checksum_algorithm(Algorithm::Crc32);
        let outcome = outcome_of(upload(&bed, key, size, &asking)).unwrap();
        assert_ne!(outcome.verified, Verified::NotAvailable, "{key}");
    }
    bed.assert_clean(&[]);
}

#[test]
fn a_store_that_takes_no_checksums_gets_none() {
    for size in [SMALL, LARGE] {
        let bed = Bed::new();
        let fault = bed.server.inject(FaultRule::any().then(Action::DropChecksumSupport));
        let outcome = outcome_of(upload(&bed, "k", size, &ExtraArgs::new())).unwrap();
        assert!(fault.hits() >= 2, "a trailer and a header were tried");
        assert_eq!(outcome.verified, Verified::NotAvailable);
        bed.check_object("k", 1, size);
        // What was learnt is kept: no later object is tried with one.
        let learnt = fault.hits();
        let again = outcome_of(upload(&bed, "small", SMALL, &ExtraArgs::new())).unwrap();
        assert_eq!((fault.hits(), again.retries), (learnt, 0), "{size}");
        // What the caller gives is sent, and the refusal told.
        let given = Checksum::of(Algorithm::Crc32, &pattern::bytes(1, SMALL as usize));
        let error = outcome_of(upload(&bed, "given", SMALL, &ExtraArgs::new().checksum(&given))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ChecksumUnsupported, "{error}");
        assert!(bed.server.object(bed.bucket(), "given").is_none());
        bed.assert_clean(&[]);
    }
}

#[test]
fn a_store_that_knows_no_checksums_of_whole_uploads_gets_those_of_the_parts() {
    for op in [Op::CreateMultipartUpload, Op::CompleteMultipartUpload] {
        let bed = Bed::new();
        let fault = bed.server.inject(FaultRule::on(op).then(Action::DropChecksumSupport));
        let outcome = outcome_of(upload(&bed, "k", LARGE, &ExtraArgs::new())).unwrap();
        // The store tells the object's checksum, and it is right.
        assert_eq!((outcome.verified, fault.hits()), (Verified::FullObject(Algorithm::Crc64Nvme), 1), "{op:?}");
        assert!(requests(&bed, Op::UploadPart).iter().all(|part| part.headers.contains_key("x-amz-trailer")), "{op:?}");
        bed.check_object("k", 1, LARGE);
        bed.assert_clean(&[]);
    }
}

#[test]
fn a_refusal_for_another_reason_teaches_nothing_of_checksums() {
    let bed = Bed::new();
    for (status, code) in [(400, "InvalidRequest"), (501, "NotImplemented"), (411, "MissingContentLength")] {
        bed.server.inject(FaultRule::any().key("refused").then(Action::Status(status, code)));
        for size in [SMALL, LARGE] {
            let error = outcome_of(upload(&bed, "refused", size, &ExtraArgs::new())).unwrap_err();
            assert_eq!(error.service().unwrap().code, code, "{error}");
        }
        bed.server.clear_faults();
        bed.server.reset_stats();
        let outcome = outcome_of(upload(&bed, "taken", SMALL, &ExtraArgs::new())).unwrap();
        assert_eq!((outcome.verified, outcome.retries), (Verified::FullObject(Algorithm::Crc64Nvme), 0));
        assert!(requests(&bed, Op::PutObject)[0].headers.contains_key("x-amz-trailer"), "after {status}");
    }
    bed.assert_clean(&[]);
}
