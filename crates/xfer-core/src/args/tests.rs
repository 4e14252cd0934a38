#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;

use super::allowed::{Shape, shape};
use super::*;
use crate::checksum::{Algorithm, Checksum, ChecksumKind};
use crate::error::ErrorKind;

fn refusal(kind: CallKind, bucket: &str, key: &str, args: &ExtraArgs) -> String {
    let error = validate(kind, bucket, key, args).expect_err("this call must be refused");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_eq!(error.at().bucket.as_deref(), Some(bucket));
    assert_eq!(error.at().key.as_deref(), Some(key));
    error.message().to_owned()
}

fn upload(args: &ExtraArgs) -> Result<(), String> {
    validate(CallKind::Upload, "bucket", "key", args).map_err(|error| error.message().to_owned())
}

fn download(args: &ExtraArgs) -> Result<(), String> {
    validate(CallKind::Download, "bucket", "key", args).map_err(|error| error.message().to_owned())
}

fn one(name: &str, value: impl Into<ArgValue>) -> ExtraArgs {
    ExtraArgs::new().with(name, value)
}

/// A value that passes, for any allowed name, alone.
fn sample(name: &str) -> ArgValue {
    match (name, shape(name)) {
        ("ChecksumAlgorithm", _) => "SHA256".into(),
        ("ChecksumType", _) => "FULL_OBJECT".into(),
        ("ChecksumMode", _) => "ENABLED".into(),
        ("ChecksumMD5", _) => "1B2M2Y8AsgTpgAmY7PhCfg==".into(),
        ("Range", _) => "bytes=0-9".into(),
        ("SSECustomerAlgorithm", _) => "AES256".into(),
        ("SSECustomerKeyMD5", _) => "hRasmdxgYDKV3nvbahU1MA==".into(),
        ("SSECustomerKey", _) => "0123456789abcdef0123456789abcdef".into(),
        (_, Shape::Flag) => true.into(),
        (_, Shape::Size) => 7.into(),
        (_, Shape::Metadata | Shape::MapOrText) => vec![("a".to_owned(), "b".to_owned())].into(),
        _ => match Algorithm::ALL.into_iter().find(|algorithm| checksums::argument(*algorithm) == name) {
            Some(algorithm) => Checksum::of(algorithm, b"").to_base64().into(),
            None => "x".into(),
        },
    }
}

mod names {
    use super::*;

    const ORIGINAL_DOWNLOAD: &str = "ChecksumMode, VersionId, SSECustomerAlgorithm, SSECustomerKey, SSECustomerKeyMD5, \
                                     RequestPayer, ExpectedBucketOwner";
    const ORIGINAL_UPLOAD: &str = "ACL, CacheControl, ChecksumAlgorithm, ContentDisposition, ContentEncoding, \
        ContentLanguage, ContentType, ExpectedBucketOwner, Expires, GrantFullControl, GrantRead, GrantReadACP, \
        GrantWriteACP, Metadata, ObjectLockLegalHoldStatus, ObjectLockMode, ObjectLockRetainUntilDate, RequestPayer, \
        ServerSideEncryption, StorageClass, SSECustomerAlgorithm, SSECustomerKey, SSECustomerKeyMD5, SSEKMSKeyId, \
        SSEKMSEncryptionContext, Tagging, WebsiteRedirectLocation, ChecksumType, MpuObjectSize, ChecksumCRC32, \
        ChecksumCRC32C, ChecksumCRC64NVME, ChecksumMD5, ChecksumSHA1, ChecksumSHA256, ChecksumSHA512, ChecksumXXHASH3, \
        ChecksumXXHASH64, ChecksumXXHASH128";
    const ORIGINAL_DELETE: &str = "MFA, VersionId, RequestPayer, ExpectedBucketOwner";

    #[test]
    fn the_message_is_the_originals_with_our_names_behind_it() {
        let more = [
            (CallKind::Upload, ORIGINAL_UPLOAD, "IfNoneMatch, IfMatch, BucketKeyEnabled"),
            (CallKind::Download, ORIGINAL_DOWNLOAD, "Range, IfMatch, IfNoneMatch, IfModifiedSince, IfUnmodifiedSince"),
            (CallKind::Delete, ORIGINAL_DELETE, "IfMatch"),
        ];
        for (kind, original, ours) in more {
            assert_eq!(
                refusal(kind, "b", "k", &one("Nonsense", "x")),
                format!("Invalid extra_args key 'Nonsense', must be one of: {original}, {ours}")
            );
        }
    }

    #[test]
    fn only_the_first_offending_name_is_reported() {
        let args = one("ContentType", "a").with("Zebra", "x").with("Apple", "x");
        assert!(refusal(CallKind::Upload, "b", "k", &args).starts_with("Invalid extra_args key 'Zebra', "));
    }

    #[test]
    fn what_cannot_be_honoured_is_refused() {
        for name in ["ContentMD5", "ContentLength", "Body", "Bucket", "Range", "contenttype", ""] {
            let message = refusal(CallKind::Upload, "b", "k", &one(name, "x"));
            assert!(message.starts_with(&format!("Invalid extra_args key '{name}', must be")), "{message}");
        }
        for name in ["PartNumber", "ResponseContentType", "Key", "ContentType"] {
            refusal(CallKind::Download, "b", "k", &one(name, "x"));
        }
        for name in ["BypassGovernanceRetention", "ContentType", "IfNoneMatch"] {
            refusal(CallKind::Delete, "b", "k", &one(name, "x"));
        }
    }

    #[test]
    fn every_allowed_argument_passes_with_a_good_value() {
        for kind in [CallKind::Upload, CallKind::Download, CallKind::Delete] {
            for name in kind.allowed() {
                let mut args = one(name, sample(name));
                if name.starts_with("SSECustomer") {
                    args.set("SSECustomerKey", sample("SSECustomerKey"));
                }
                let before = args.clone();
                validate(kind, "b", "k", &args).unwrap_or_else(|error| panic!("{kind:?} {name}: {error}"));
                assert_eq!(args, before);
            }
        }
    }

    #[test]
    fn checks_come_in_the_originals_order() {
        let lambda = "arn:aws:s3-object-lambda:us-west-2:123456789012:accesspoint:name";
        let worst = one("ChecksumAlgorithm", "MD4").with("Nonsense", "x");
        assert!(refusal(CallKind::Upload, lambda, "", &worst).starts_with("Invalid extra_args key"));
        let worse = worst.without(&["Nonsense"]);
        assert!(refusal(CallKind::Upload, lambda, "", &worse).starts_with("TransferManager methods"));
        assert!(refusal(CallKind::Upload, "", "", &worse).starts_with("ChecksumAlgorithm: MD4"));
        assert_eq!(refusal(CallKind::Upload, "", "", &ExtraArgs::new()), "the bucket is empty");
        assert_eq!(refusal(CallKind::Upload, "b", "", &ExtraArgs::new()), "the key is empty");
    }
}

mod buckets {
    use super::*;

    const LAMBDA: &str =
        "TransferManager methods do not support S3 Object Lambda resource. Use direct client calls instead.";

    #[test]
    fn object_lambdas_are_refused_in_the_originals_words() {
        for bucket in [
            "arn:aws:s3-object-lambda:us-west-2:123456789012:accesspoint:my-accesspoint",
            "arn:aws:s3-object-lambda:us-west-2:123456789012:accesspoint/my-accesspoint",
            "arn:aws-cn:s3-object-lambda:cn-north-1:123456789012:accesspoint/a/b?c",
            "arn:awsx:y:s3-object-lambda:a:123456789012:accesspoint:n",
            "arn:aws:s3-object-lambda:s3-object-lambda:us-west-2:123456789012:accesspoint:-",
        ] {
            for kind in [CallKind::Upload, CallKind::Download, CallKind::Delete] {
                assert_eq!(refusal(kind, bucket, "k", &ExtraArgs::new()), LAMBDA, "{bucket}");
            }
        }
    }

    #[test]
    fn what_only_looks_like_an_object_lambda_is_refused_for_its_form() {
        for bucket in [
            "arn:aws:s3-object-lambda::123456789012:accesspoint:name",
            "arn:aws:s3-object-lambda:us-west-2:12345678901:accesspoint:name",
            "arn:aws:s3-object-lambda:us-west-2:123456789012:accesspoint:",
            "arn:aws:s3-object-lambda:us-west-2:123456789012:accesspoint_name",
            "arn:aws:s3-object-lambda:US:123456789012:accesspoint:name",
            "arn:aws\n:s3-object-lambda:us-west-2:123456789012:accesspoint:name",
            "xarn:aws:s3-object-lambda:us-west-2:123456789012:accesspoint:name",
            "arn:awss3-object-lambda:us-west-2:123456789012:accesspoint:name",
        ] {
            let message = refusal(CallKind::Download, bucket, "k", &ExtraArgs::new());
            assert!(message.starts_with("invalid bucket \""), "{bucket}: {message}");
            assert!(!message.contains('\n'));
        }
    }

    #[test]
    fn names_and_arns_that_pass() {
        let long = "b".repeat(255);
        for bucket in [
            "b",
            "my-bucket.example_1",
            "UPPER",
            "express--usw2-az5--x-s3",
            &long,
            "arn:aws:s3:us-west-2:123456789012:accesspoint/name.with.dots",
            "arn:aws:s3:us-west-2:123456789012:accesspoint:name",
            "arn:aws-us-gov:s3:us-gov-west-1:123456789012:accesspoint/name",
            "arn:aws:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap",
            "arn:aws:s3-outposts:us-west-2:123456789012:outpost/op-01ac5d28a6a232904/accesspoint/name",
            "arn:aws:s3-outposts:us-west-2:123456789012:outpost:op-01ac5d28a6a232904:accesspoint:name",
        ] {
            validate(CallKind::Upload, bucket, "k", &ExtraArgs::new()).unwrap_or_else(|e| panic!("{bucket}: {e}"));
        }
    }

    #[test]
    fn names_and_arns_that_do_not() {
        let (long, long_point) = ("b".repeat(256), "a".repeat(64));
        let long_point = format!("arn:aws:s3:us-west-2:123456789012:accesspoint/{long_point}");
        for (bucket, why) in [
            ("a b", "a bucket's name has 1 to 255"),
            ("a/b", "a bucket's name has 1 to 255"),
            ("bücket", "a bucket's name has 1 to 255"),
            ("a\r\nHost: x", "a bucket's name has 1 to 255"),
            (".", "a bucket's name has 1 to 255"),
            ("..", "a bucket's name has 1 to 255"),
            (&long, "a bucket's name has 1 to 255"),
            ("arn:aws", "an ARN has six parts"),
            ("arn:gcp:s3:us-west-2:123456789012:accesspoint/a", "the partition of an ARN"),
            ("arn:aws x:s3:us-west-2:123456789012:accesspoint/a", "the partition of an ARN"),
            ("arn:aws:s3:::photos", "give the bucket by its name, \"photos\""),
            ("arn:aws:s3:::photos/2024/*", "only the ARN of an access point"),
            ("arn:aws:sqs:us-west-2:123456789012:accesspoint/a", "only the ARN of an access point"),
            ("arn:aws:s3:us-west-2:123456789012:accesspoint/a/b", "only the ARN of an access point"),
            ("arn:aws:s3:us-west-2:123456789012:accesspoint/", "the name of an access point"),
            ("arn:aws:s3:us-west-2:123456789012:accesspoint/a_b", "the name of an access point"),
            (&long_point, "the name of an access point"),
            ("arn:aws:s3:us-west-2:1234:accesspoint/a", "the account of an ARN"),
            ("arn:aws:s3:us west:123456789012:accesspoint/a", "the region of an ARN"),
            ("arn:aws:s3-outposts::123456789012:outpost/o/accesspoint/a", "the ARN of an outpost has a region"),
            ("arn:aws:s3-outposts:us-west-2:123456789012:outpost/o.p/accesspoint/a", "the names of an outpost"),
            ("arn:aws:s3-outposts:us-west-2:123456789012:outpost/o", "only the ARN of an access point"),
        ] {
            let message = refusal(CallKind::Upload, bucket, "k", &ExtraArgs::new());
            assert!(message.contains(why), "{bucket}: {message}");
            assert!(!message.contains('\n'));
        }
    }

    #[test]
    fn keys_have_1_to_1024_bytes() {
        let fits = "ü".repeat(512);
        validate(CallKind::Delete, "b", &fits, &ExtraArgs::new()).unwrap();
        let message = refusal(CallKind::Delete, "b", &format!("{fits}x"), &ExtraArgs::new());
        assert_eq!(message, "the key has 1025 bytes, but S3 takes 1024 at the most");
    }

    proptest! {
        #[test]
        fn no_bucket_crashes_the_check(bucket in "(arn:aws)?[:a-z0-9/s3\\-\\PC]{0,80}", key in "\\PC{0,40}") {
            let passes = validate(CallKind::Upload, &bucket, &key, &ExtraArgs::new()).is_ok();
            if passes && !bucket.starts_with("arn:") {
                prop_assert!(bucket.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b)));
                prop_assert!(!bucket.is_empty() && !key.is_empty());
            }
        }
    }
}

mod values {
    use super::*;

    #[test]
    fn wrong_kinds_of_values_are_named() {
        let map = vec![("a".to_owned(), "b".to_owned())];
        for (args, why) in [
            (one("ContentType", true), "ContentType must be a text"),
            (one("ContentType", map.clone()), "ContentType must be a text"),
            (one("Metadata", "a=b"), "Metadata must be a map of texts"),
            (one("Metadata", 1), "Metadata must be a map of texts"),
            (one("Tagging", true), "Tagging must be a map of texts, or a text"),
            (one("BucketKeyEnabled", 1), "BucketKeyEnabled must be true or false"),
            (one("BucketKeyEnabled", "yes"), "BucketKeyEnabled must be true or false"),
            (one("MpuObjectSize", -1), "MpuObjectSize must be a number of bytes"),
            (one("MpuObjectSize", "-1"), "MpuObjectSize must be a number of bytes"),
            (one("MpuObjectSize", "8MiB"), "MpuObjectSize must be a number of bytes"),
            (one("Expires", true), "Expires must be a time: seconds since 1970, ISO 8601 or an HTTP date"),
            (one("Expires", ""), "Expires must be a time: seconds since 1970, ISO 8601 or an HTTP date"),
            (one("IfMatch", ""), "IfMatch is empty"),
            (one("IfNoneMatch", false), "IfNoneMatch must be a text"),
            (one("SSECustomerKey", 1), "SSECustomerKey must be a text"),
            (one("ChecksumAlgorithm", 1), "ChecksumAlgorithm must be a text"),
            (one("ChecksumType", 1), "ChecksumType must be FULL_OBJECT or COMPOSITE"),
            (one("ChecksumCRC32", 1), "ChecksumCRC32 must be the base64 of a checksum of 4 bytes"),
        ] {
            assert_eq!(upload(&args), Err(why.to_owned()), "{args:?}");
        }
    }

    #[test]
    fn other_writings_of_a_value_pass() {
        for args in [
            one("BucketKeyEnabled", "True"),
            one("MpuObjectSize", "12"),
            one("MpuObjectSize", 0),
            one("Expires", 1_700_000_000),
            one("Expires", "Wed, 21 Oct 2015 07:28:00 GMT"),
            one("ExpectedBucketOwner", 123_456_789_012),
            one("Tagging", "a=b&c=d"),
            one("Tagging", ""),
            one("Tagging", vec![("größe".to_owned(), "ü\n".to_owned())]),
            one("ChecksumAlgorithm", "crc64nvme"),
            one("ContentType", ""),
        ] {
            assert_eq!(upload(&args), Ok(()), "{args:?}");
        }
    }

    #[test]
    fn nothing_can_be_smuggled_into_a_header() {
        for bad in ["a\r\nx-amz-acl: public-read", "a\nb", "\0", "a\tb", "\u{7f}", "é"] {
            for name in ["ContentType", "IfMatch", "Expires", "Tagging", "ContentDisposition", "SSEKMSKeyId"] {
                assert_eq!(upload(&one(name, bad)), Err(format!("{name} must have printable ASCII characters only")));
            }
            let args = ExtraArgs::new().metadata([("fine", "fine"), ("name", bad)]);
            let message = "Metadata \"name\" must have printable ASCII characters only".to_owned();
            assert_eq!(upload(&args), Err(message));
        }
    }

    #[test]
    fn metadata_names_are_parts_of_header_names() {
        for bad in ["", "a b", "a:b", "ä", "a\r\nb", "a/b", "(a)"] {
            let message = upload(&ExtraArgs::new().metadata([(bad, "x")])).unwrap_err();
            assert_eq!(message, format!("Metadata has the name {bad:?}, which cannot be part of a header's name"));
        }
        assert_eq!(upload(&ExtraArgs::new().metadata([("a.b-c_d!#$%&'*+^`|~0", "")])), Ok(()));
        assert_eq!(
            upload(&ExtraArgs::new().metadata([("Name", "1"), ("nAME", "2")])),
            Err("Metadata has the name \"nAME\" twice; capitals do not make a difference".to_owned())
        );
    }

    #[test]
    fn customer_keys_have_to_fit_together() {
        // printf 0123456789abcdef0123456789abcdef | md5sum, and the same in base64.
        const RAW: &str = "0123456789abcdef0123456789abcdef";
        const ENCODED: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
        const MD5: &str = "hRasmdxgYDKV3nvbahU1MA==";
        for key in [RAW, ENCODED] {
            let key = ExtraArgs::new().sse_customer_key(key);
            for args in [
                key.clone(),
                key.clone().sse_customer_algorithm("AES256"),
                key.clone().sse_customer_key_md5(MD5),
                key.clone().sse_customer_key_md5(MD5).sse_customer_algorithm("AES256"),
            ] {
                assert_eq!(upload(&args), Ok(()));
                assert_eq!(download(&args), Ok(()));
            }
            let wrong = key.clone().sse_customer_key_md5("1B2M2Y8AsgTpgAmY7PhCfg==");
            assert_eq!(download(&wrong), Err("SSECustomerKeyMD5 is not the MD5 of SSECustomerKey".to_owned()));
            let wrong = key.sse_customer_algorithm("AES128");
            assert_eq!(download(&wrong), Err("SSECustomerAlgorithm must be AES256".to_owned()));
        }
        assert_eq!(
            download(&ExtraArgs::new().sse_customer_algorithm("AES256")),
            Err("SSECustomerAlgorithm is given without SSECustomerKey".to_owned())
        );
        assert_eq!(
            download(&ExtraArgs::new().sse_customer_key_md5(MD5)),
            Err("SSECustomerKeyMD5 is given without SSECustomerKey".to_owned())
        );
        for bad in ["", "short", &RAW[1..], "MDEyMw=="] {
            let message = download(&ExtraArgs::new().sse_customer_key(bad)).unwrap_err();
            assert_eq!(message, "SSECustomerKey must be 32 bytes, or base64 of them");
        }
    }

    #[test]
    fn no_secret_is_shown() {
        let key = "0123456789abcdef0123456789abcdeX!";
        let args = ExtraArgs::new().sse_customer_key(key).mfa("device 123456").content_type("a/b");
        assert_eq!(format!("{args:?}"), r#"{"SSECustomerKey": <hidden>, "MFA": <hidden>, "ContentType": Text("a/b")}"#);
        let error = validate(CallKind::Download, "b", "k", &args.without(&["MFA", "ContentType"])).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("0123456789abcdef"));
    }

    proptest! {
        #[test]
        fn what_passes_can_be_a_header(text in "[ -~\\PC\r\n\t]{0,20}") {
            let passes = upload(&one("CacheControl", text.as_str())).is_ok();
            prop_assert_eq!(passes, text.chars().all(|c| (' '..='~').contains(&c)));
        }
    }
}

mod checksum_arguments {
    use super::*;

    #[test]
    fn unknown_algorithms_are_refused_in_the_originals_words() {
        let list = "['CRC32C', 'CRC32', 'SHA1', 'SHA256', 'CRC64NVME', 'SHA512', 'XXHASH64', 'XXHASH3', 'XXHASH128']";
        for name in ["md5", "Unsupported", ""] {
            assert_eq!(
                upload(&one("ChecksumAlgorithm", name)),
                Err(format!("ChecksumAlgorithm: {name} not supported. Supported algorithms are: {list}"))
            );
        }
    }

    #[test]
    fn choices() {
        use Algorithm as A;
        use ChecksumChoice as C;
        let sha = Checksum::of(A::Sha256, b"x");
        let new = ExtraArgs::new;
        for (args, choice) in [
            (new(), C::Default),
            (new().content_type("a"), C::Default),
            (new().checksum_algorithm(A::Sha1), C::Algorithm(A::Sha1, None)),
            (one("ChecksumAlgorithm", "xxhash128"), C::Algorithm(A::XxHash128, None)),
            (
                new().checksum_algorithm(A::Crc32).checksum_type(ChecksumKind::Composite),
                C::Algorithm(A::Crc32, Some(ChecksumKind::Composite)),
            ),
            (
                new().checksum_algorithm(A::Crc32c).checksum_type(ChecksumKind::FullObject),
                C::Algorithm(A::Crc32c, Some(ChecksumKind::FullObject)),
            ),
            (new().checksum_type(ChecksumKind::FullObject), C::Algorithm(A::Crc64Nvme, Some(ChecksumKind::FullObject))),
            (new().checksum(&sha), C::Given(sha.clone())),
            (new().checksum(&sha).checksum_algorithm(A::Sha256), C::Given(sha.clone())),
            (new().checksum(&sha).checksum_type(ChecksumKind::FullObject), C::Given(sha.clone())),
            (new().checksum_md5("1B2M2Y8AsgTpgAmY7PhCfg=="), C::GivenMd5),
        ] {
            assert_eq!(requested_checksum(&args).unwrap(), choice, "{args:?}");
            assert_eq!(upload(&args), Ok(()), "{args:?}");
        }
    }

    #[test]
    fn every_algorithm_has_its_argument() {
        for algorithm in Algorithm::ALL {
            let checksum = Checksum::of(algorithm, b"123456789");
            let args = ExtraArgs::new().checksum(&checksum);
            assert_eq!(args.text(&format!("Checksum{algorithm}")), Some(checksum.to_base64().as_str()));
            assert_eq!(requested_checksum(&args).unwrap(), ChecksumChoice::Given(checksum));
        }
    }

    #[test]
    fn contradictions() {
        use Algorithm as A;
        let new = ExtraArgs::new;
        let (crc, sha) = (Checksum::of(A::Crc32, b"x"), Checksum::of(A::Sha256, b"x"));
        for (args, why) in [
            (
                new().checksum(&sha).checksum(&crc),
                "ChecksumCRC32 and ChecksumSHA256 exclude each other: an object has one full-object checksum",
            ),
            (
                new().checksum(&crc).checksum_md5("1B2M2Y8AsgTpgAmY7PhCfg=="),
                "ChecksumCRC32 and ChecksumMD5 exclude each other: an object has one full-object checksum",
            ),
            (
                new().checksum(&crc).checksum_algorithm(A::Sha1),
                "ChecksumCRC32 and ChecksumAlgorithm SHA1 contradict each other",
            ),
            (
                new().checksum_md5("1B2M2Y8AsgTpgAmY7PhCfg==").checksum_algorithm(A::Sha1),
                "ChecksumMD5 and ChecksumAlgorithm SHA1 contradict each other",
            ),
            (
                new().checksum(&crc).checksum_type(ChecksumKind::Composite),
                "ChecksumCRC32 is a checksum of the full object: it cannot go with ChecksumType COMPOSITE",
            ),
            (one("ChecksumType", "full_object"), "ChecksumType must be FULL_OBJECT or COMPOSITE"),
            (
                new().checksum_type(ChecksumKind::Composite),
                "ChecksumType COMPOSITE needs a ChecksumAlgorithm: S3's default, CRC64NVME, has no composite checksums",
            ),
            (
                new().checksum_algorithm(A::Crc64Nvme).checksum_type(ChecksumKind::Composite),
                "ChecksumType COMPOSITE does not go with CRC64NVME: S3 has it of full objects only",
            ),
            (
                new().checksum_algorithm(A::Sha256).checksum_type(ChecksumKind::FullObject),
                "ChecksumType FULL_OBJECT does not go with SHA256: S3 has it of the CRC algorithms only",
            ),
        ] {
            assert_eq!(upload(&args), Err(why.to_owned()), "{args:?}");
            assert_eq!(requested_checksum(&args).unwrap_err().message(), why);
        }
    }

    #[test]
    fn values_have_the_length_of_their_algorithm() {
        for bad in ["", "y/Q5Jg", "y/Q5Jg==-2", " y/Q5Jg==", "y/Q5Jgo=", "not base64", "cbf43926"] {
            assert_eq!(
                upload(&ExtraArgs::new().checksum_crc32(bad)),
                Err("ChecksumCRC32 must be the base64 of a checksum of 4 bytes".to_owned()),
                "{bad:?}"
            );
        }
        assert_eq!(
            upload(&ExtraArgs::new().checksum_md5("y/Q5Jg==")),
            Err("ChecksumMD5 must be the base64 of a checksum of 16 bytes".to_owned())
        );
    }

    #[test]
    fn downloads_are_validated_unless_told_not_to_be() {
        assert!(validates_download(&ExtraArgs::new()));
        assert!(validates_download(&ExtraArgs::new().checksum_mode("ENABLED")));
        assert!(!validates_download(&ExtraArgs::new().checksum_mode("DISABLED")));
        assert_eq!(download(&ExtraArgs::new().checksum_mode("DISABLED")), Ok(()));
        for bad in ["enabled", "", "OFF"] {
            let message = download(&ExtraArgs::new().checksum_mode(bad)).unwrap_err();
            assert_eq!(message, "ChecksumMode must be ENABLED or DISABLED");
        }
    }
}

mod ranges {
    use super::*;
    use crate::range::ByteRange;

    #[test]
    fn forms() {
        use RequestedRange as R;
        for (text, range) in [
            ("bytes=0-0", R::Between { first: 0, last: 0 }),
            ("bytes=5-18446744073709551615", R::Between { first: 5, last: u64::MAX }),
            ("bytes=7-", R::From { first: 7 }),
            ("bytes=-3", R::Last { length: 3 }),
        ] {
            assert_eq!(requested_range(&ExtraArgs::new().range(text)).unwrap(), Some(range));
            assert_eq!(range.header(), text);
        }
        assert_eq!(requested_range(&ExtraArgs::new()).unwrap(), None);
    }

    #[test]
    fn no_other_forms() {
        for bad in [
            "bytes=",
            "bytes=-",
            "bytes=-0",
            "bytes=2-1",
            "bytes=0-1,3-4",
            "bytes=+1-2",
            "bytes=1-+2",
            "bytes 0-1",
            "0-1",
            "bytes=a-b",
            "bytes=1",
            "Bytes=0-1",
            "bytes= 0-1",
            "bytes=0--1",
            "bytes=18446744073709551616-",
        ] {
            assert_eq!(
                download(&ExtraArgs::new().range(bad)).unwrap_err(),
                "Range must be a single range of bytes: bytes=FIRST-LAST, bytes=FIRST- or bytes=-LENGTH",
                "{bad:?}"
            );
        }
        assert!(download(&one("Range", 5)).is_err());
    }

    #[test]
    fn bytes_of_an_object() {
        use RequestedRange as R;
        for (range, size, bytes) in [
            (R::Between { first: 2, last: 4 }, 10, Some((2, 5))),
            (R::Between { first: 2, last: u64::MAX }, 10, Some((2, 10))),
            (R::Between { first: 10, last: 12 }, 10, None),
            (R::From { first: 9 }, 10, Some((9, 10))),
            (R::From { first: 10 }, 10, None),
            (R::Last { length: 4 }, 10, Some((6, 10))),
            (R::Last { length: 40 }, 10, Some((0, 10))),
            (R::Last { length: 1 }, 0, None),
        ] {
            assert_eq!(range.of(size), bytes.map(|(start, end)| ByteRange::new(start, end)), "{range:?} of {size}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(first: u64, more: u64, form in 0..3) {
            let range = match form {
                0 => RequestedRange::Between { first, last: first.saturating_add(more) },
                1 => RequestedRange::From { first },
                _ => RequestedRange::Last { length: first.max(1) },
            };
            prop_assert_eq!(requested_range(&ExtraArgs::new().range(range.header())).unwrap(), Some(range));
        }

        #[test]
        fn no_text_crashes_the_reader(text in "(bytes=)?[0-9,\\-\\PC]{0,30}") {
            if let Ok(Some(range)) = requested_range(&ExtraArgs::new().range(text.as_str())) {
                prop_assert!(range.of(u64::MAX).is_none_or(|bytes| !bytes.is_empty()));
            }
        }
    }
}

mod container {
    use super::*;

    #[test]
    fn setting_again_keeps_the_place() {
        let mut args = ExtraArgs::new().content_type("a").acl("b");
        args.set("ContentType", "c");
        assert_eq!(args.iter().collect::<Vec<_>>(), [("ContentType", &"c".into()), ("ACL", &"b".into())]);
        assert_eq!((args.len(), args.is_empty()), (2, false));
        assert_eq!(args.text("ACL"), Some("b"));
        assert_eq!(args.remove("ContentType"), Some("c".into()));
        assert_eq!(args.remove("ContentType"), None);
        assert_eq!(args.without(&["ACL", "Nonsense"]), ExtraArgs::new());
        assert_eq!(one("MpuObjectSize", 1).text("MpuObjectSize"), None);
    }

    #[test]
    fn json_goes_both_ways() {
        let json =
            r#"{"Metadata":{"b":"1","a":"2"},"ContentType":"x","BucketKeyEnabled":true,"MpuObjectSize":5,"Own":""}"#;
        let args: ExtraArgs = serde_json::from_str(json).unwrap();
        assert_eq!(args.get("Metadata"), Some(&vec![("b".into(), "1".into()), ("a".into(), "2".into())].into()));
        assert_eq!(args.get("BucketKeyEnabled"), Some(&true.into()));
        assert_eq!(args.get("MpuObjectSize"), Some(&5.into()));
        assert_eq!(serde_json::to_string(&args).unwrap(), json);
    }

    #[test]
    fn json_that_is_no_arguments() {
        for (json, why) in [
            ("[]", "an object of extra arguments"),
            (r#"{"A":null}"#, "a text, true or false, a whole number, or an object of texts"),
            (r#"{"A":1.5}"#, "a whole number"),
            (r#"{"A":["b"]}"#, "an object of texts"),
            (r#"{"A":{"b":1}}"#, "expected a string"),
            (r#"{"A":9223372036854775808}"#, "a number is too large"),
            (r#"{"A":"b","A":"c"}"#, "A is given twice"),
        ] {
            let error = serde_json::from_str::<ExtraArgs>(json).unwrap_err().to_string();
            assert!(error.contains(why), "{json}: {error}");
        }
    }

    #[test]
    fn setters_use_the_names_of_the_api() {
        let (text, pair) = ("x", [("a", "b")]);
        let args = ExtraArgs::new()
            .acl(text)
            .cache_control(text)
            .checksum_algorithm(Algorithm::Crc32)
            .content_disposition(text)
            .content_encoding(text)
            .content_language(text)
            .content_type(text)
            .expected_bucket_owner(text)
            .expires(text)
            .grant_full_control(text)
            .grant_read(text)
            .grant_read_acp(text)
            .grant_write_acp(text)
            .metadata(pair)
            .object_lock_legal_hold_status(text)
            .object_lock_mode(text)
            .object_lock_retain_until_date(text)
            .request_payer(text)
            .server_side_encryption(text)
            .storage_class(text)
            .sse_customer_algorithm(text)
            .sse_customer_key(text)
            .sse_customer_key_md5(text)
            .sse_kms_key_id(text)
            .sse_kms_encryption_context(pair)
            .tagging(pair)
            .website_redirect_location(text)
            .checksum_type(ChecksumKind::FullObject)
            .mpu_object_size(u64::MAX)
            .checksum_crc32(text)
            .checksum_crc32c(text)
            .checksum_crc64nvme(text)
            .checksum_md5(text)
            .checksum_sha1(text)
            .checksum_sha256(text)
            .checksum_sha512(text)
            .checksum_xxhash3(text)
            .checksum_xxhash64(text)
            .checksum_xxhash128(text)
            .if_none_match(text)
            .if_match(text)
            .bucket_key_enabled(true);
        assert_eq!(args.iter().map(|(name, _)| name).collect::<Vec<_>>(), ALLOWED_UPLOAD);
        let args = ExtraArgs::new()
            .checksum_mode(text)
            .version_id(text)
            .range(text)
            .if_modified_since(text)
            .if_unmodified_since(text)
            .mfa(text);
        let names = ["ChecksumMode", "VersionId", "Range", "IfModifiedSince", "IfUnmodifiedSince", "MFA"];
        assert_eq!(args.iter().map(|(name, _)| name).collect::<Vec<_>>(), names);
    }

    fn value() -> impl Strategy<Value = ArgValue> {
        prop_oneof![
            "\\PC{0,8}".prop_map(ArgValue::Text),
            any::<bool>().prop_map(ArgValue::Flag),
            any::<i64>().prop_map(ArgValue::Number),
            proptest::collection::vec(("\\PC{0,4}", "\\PC{0,4}"), 0..4).prop_map(ArgValue::Map),
        ]
    }

    proptest! {
        #[test]
        fn json_keeps_any_arguments(pairs in proptest::collection::vec(("\\PC{0,6}", value()), 0..6)) {
            let mut args = ExtraArgs::new();
            for (name, value) in pairs {
                args.set(name, value);
            }
            let json = serde_json::to_string(&args).unwrap();
            prop_assert_eq!(serde_json::from_str::<ExtraArgs>(&json).unwrap(), args);
        }

        #[test]
        fn no_value_crashes_the_check(index in 0..ALLOWED_UPLOAD.len(), value in value()) {
            let args = one(ALLOWED_UPLOAD[index], value);
            let before = args.clone();
            let _ = upload(&args);
            prop_assert_eq!(args, before);
        }
    }
}
