//! Whole requests by operation and host style, what is cached, and what is never shown.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};
use xfer_core::checksum::{Algorithm, Checksum, ChecksumKind};
use xfer_core::range::ByteRange;

use super::*;
use crate::SignedRequest;
use crate::decode::{self, Answer};

const RAW_KEY: &str = "01234567890123456789012345678901";
const KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
const KEY_MD5: &str = "KYvwGXoFFJ42a2u2GDWhwQ==";

fn anonymous(endpoint: EndpointConfig) -> RequestSerializer {
    RequestSerializer::builder(endpoint).signature_version(SignatureVersion::Unsigned).build().unwrap()
}

fn aws() -> RequestSerializer {
    anonymous(EndpointConfig::new("eu-central-1"))
}

fn credentials() -> Credentials {
    Credentials::new("AKIDEXAMPLE", "SECRETSECRET", Some("TOKENTOKEN".to_owned()), None, "test")
}

fn stamped(
    serializer: &RequestSerializer,
    operation: Operation,
    args: &ExtraArgs,
    stamp: &Stamp<'_>,
) -> SignedRequest<'static> {
    let template = serializer.template(operation, "photos", args).unwrap();
    template.stamp(stamp, None, SystemTime::UNIX_EPOCH).unwrap().into_owned()
}

/// One line for the request, then one for each header but the User-Agent.
fn golden(request: &SignedRequest<'_>) -> Vec<String> {
    let mut lines = vec![format!("{} {} {}", request.method, request.host, request.target)];
    let headers = request.headers.iter().filter(|(name, _)| name != "user-agent");
    lines.extend(headers.map(|(name, value)| format!("{name}: {value}")));
    lines[1..].sort();
    lines
}

fn all_of_an_upload() -> ExtraArgs {
    let mut args = ExtraArgs::new();
    for (name, value) in [
        ("ACL", "private"),
        ("CacheControl", "no-cache"),
        ("ChecksumAlgorithm", "crc32c"),
        ("ContentDisposition", "attachment"),
        ("ContentEncoding", "gzip"),
        ("ContentLanguage", "en"),
        ("ContentType", "text/plain"),
        ("ExpectedBucketOwner", "111122223333"),
        ("Expires", "2030-01-02T03:04:05Z"),
        ("GrantRead", "id=1"),
        ("IfNoneMatch", "*"),
        ("ObjectLockLegalHoldStatus", "ON"),
        ("ObjectLockMode", "GOVERNANCE"),
        ("ObjectLockRetainUntilDate", "2030-01-02T03:04:05Z"),
        ("RequestPayer", "requester"),
        ("SSECustomerKey", RAW_KEY),
        ("ServerSideEncryption", "aws:kms"),
        ("StorageClass", "STANDARD_IA"),
        ("WebsiteRedirectLocation", "/other"),
    ] {
        args.set(name, value);
    }
    let pairs = |pairs: &[(&str, &str)]| {
        ArgValue::Map(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    };
    args.set("Metadata", pairs(&[("Owner", "me"), ("colour", "light blue")]));
    args.set("Tagging", pairs(&[("a b", "1&2"), ("c", "")]));
    args.set("SSEKMSEncryptionContext", pairs(&[("k\"", "v")]));
    args.set("BucketKeyEnabled", ArgValue::Flag(true));
    args.set("MpuObjectSize", ArgValue::Number(77));
    args
}

const OBJECT_HEADERS: &[&str] = &[
    "cache-control: no-cache",
    "content-disposition: attachment",
    "content-encoding: gzip",
    "content-language: en",
    "content-length: 5",
    "content-type: text/plain",
    "expires: Wed, 02 Jan 2030 03:04:05 GMT",
    "if-none-match: *",
    "x-amz-acl: private",
    "x-amz-expected-bucket-owner: 111122223333",
    "x-amz-grant-read: id=1",
    "x-amz-meta-colour: light blue",
    "x-amz-meta-owner: me",
    "x-amz-object-lock-legal-hold: ON",
    "x-amz-object-lock-mode: GOVERNANCE",
    "x-amz-object-lock-retain-until-date: 2030-01-02T03:04:05Z",
    "x-amz-request-payer: requester",
    "x-amz-server-side-encryption: aws:kms",
    "x-amz-server-side-encryption-bucket-key-enabled: true",
    "x-amz-server-side-encryption-context: eyJrXCIiOiJ2In0=",
    "x-amz-server-side-encryption-customer-algorithm: AES256",
    "x-amz-server-side-encryption-customer-key: MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
    "x-amz-server-side-encryption-customer-key-md5: KYvwGXoFFJ42a2u2GDWhwQ==",
    "x-amz-storage-class: STANDARD_IA",
    "x-amz-tagging: a%20b=1%262&c=",
    "x-amz-website-redirect-location: /other",
];

const CUSTOMER_KEY_HEADERS: &[&str] = &[
    "x-amz-expected-bucket-owner: 111122223333",
    "x-amz-request-payer: requester",
    "x-amz-server-side-encryption-customer-algorithm: AES256",
    "x-amz-server-side-encryption-customer-key: MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
    "x-amz-server-side-encryption-customer-key-md5: KYvwGXoFFJ42a2u2GDWhwQ==",
];

fn lines<'a>(parts: impl IntoIterator<Item = &'a [&'a str]>) -> Vec<String> {
    let mut lines: Vec<String> = parts.into_iter().flatten().map(|line| (*line).to_owned()).collect();
    lines[1..].sort();
    lines
}

#[test]
fn put_object_takes_all() {
    let stamp = Stamp { payload: Payload::Unsigned { content_length: 5 }, ..Stamp::key("a b") };
    let request = stamped(&aws(), Operation::PutObject, &all_of_an_upload(), &stamp);
    let first: &[&str] = &["PUT photos.s3.eu-central-1.amazonaws.com /a%20b?x-id=PutObject"];
    assert_eq!(golden(&request), lines([first, OBJECT_HEADERS]));
    assert_eq!(request.content_length(), 5);
}

#[test]
fn create_multipart_upload_takes_what_is_of_the_object() {
    let request = stamped(&aws(), Operation::CreateMultipartUpload, &all_of_an_upload(), &Stamp::key("k"));
    let of_the_object: Vec<&str> = OBJECT_HEADERS
        .iter()
        .copied()
        .filter(|line| !line.starts_with("if-none-match") && !line.starts_with("content-length"))
        .collect();
    let others = [
        "POST photos.s3.eu-central-1.amazonaws.com /k?uploads",
        "content-length: 0",
        "x-amz-checksum-algorithm: CRC32C",
    ];
    assert_eq!(golden(&request), lines([&others, of_the_object.as_slice()]));
}

#[test]
fn upload_part_takes_the_customer_key_and_who_pays() {
    let stamp = Stamp {
        part_number: PartNumber::new(7),
        upload_id: Some("u/+="),
        payload: Payload::UnsignedTrailer { decoded_length: 5, algorithm: Algorithm::Crc64Nvme },
        ..Stamp::key("k")
    };
    let request = stamped(&aws(), Operation::UploadPart, &all_of_an_upload(), &stamp);
    let others = [
        "PUT photos.s3.eu-central-1.amazonaws.com /k?x-id=UploadPart&partNumber=7&uploadId=u%2F%2B%3D",
        "content-encoding: aws-chunked",
        "content-length: 54",
        "x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-decoded-content-length: 5",
        "x-amz-sdk-checksum-algorithm: CRC64NVME",
        "x-amz-trailer: x-amz-checksum-crc64nvme",
    ];
    assert_eq!(golden(&request), lines([&others, CUSTOMER_KEY_HEADERS]));
}

#[test]
fn complete_multipart_upload_takes_conditions_and_checksums() {
    let checksum = Checksum::of(Algorithm::Crc32, b"123456789");
    let stamp = Stamp {
        upload_id: Some("u"),
        payload: Payload::Unsigned { content_length: 99 },
        checksum: Some(&checksum),
        multipart_checksum: Some((Algorithm::Crc32, ChecksumKind::FullObject)),
        object_size: Some(9),
        ..Stamp::key("k")
    };
    let request = stamped(&aws(), Operation::CompleteMultipartUpload, &all_of_an_upload(), &stamp);
    let others = [
        "POST photos.s3.eu-central-1.amazonaws.com /k?uploadId=u",
        "content-length: 99",
        "content-type: application/xml",
        "if-none-match: *",
        "x-amz-checksum-crc32: y/Q5Jg==",
        "x-amz-checksum-type: FULL_OBJECT",
        "x-amz-mp-object-size: 9",
    ];
    assert_eq!(golden(&request), lines([&others, CUSTOMER_KEY_HEADERS]));
}

#[test]
fn abort_multipart_upload_takes_who_pays() {
    let stamp = Stamp { upload_id: Some("u"), ..Stamp::key("k") };
    let request = stamped(&aws(), Operation::AbortMultipartUpload, &all_of_an_upload(), &stamp);
    assert_eq!(
        golden(&request),
        [
            "DELETE photos.s3.eu-central-1.amazonaws.com /k?x-id=AbortMultipartUpload&uploadId=u",
            "x-amz-expected-bucket-owner: 111122223333",
            "x-amz-request-payer: requester",
        ]
    );
}

#[test]
fn get_object_takes_range_and_version() {
    let mut args = ExtraArgs::new();
    args.set("VersionId", "v 1");
    args.set("Range", "bytes=5-");
    args.set("IfModifiedSince", ArgValue::Number(0));
    args.set("SSECustomerKey", KEY);
    args.set("SSECustomerKeyMD5", KEY_MD5);
    let by_the_caller = stamped(&aws(), Operation::GetObject, &args, &Stamp::key("k"));
    assert_eq!(by_the_caller.header("range"), Some("bytes=5-"));
    let stamp = Stamp { range: Some(ByteRange::new(8, 16)), if_match: Some("\"e\""), ..Stamp::key("k") };
    let request = stamped(&aws(), Operation::GetObject, &args, &stamp);
    assert_eq!(
        golden(&request),
        [
            "GET photos.s3.eu-central-1.amazonaws.com /k?x-id=GetObject&versionId=v%201",
            "if-match: \"e\"",
            "if-modified-since: Thu, 01 Jan 1970 00:00:00 GMT",
            "range: bytes=8-15",
            "x-amz-checksum-mode: ENABLED",
            "x-amz-server-side-encryption-customer-algorithm: AES256",
            "x-amz-server-side-encryption-customer-key-md5: KYvwGXoFFJ42a2u2GDWhwQ==",
            "x-amz-server-side-encryption-customer-key: MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
        ]
    );
}

#[test]
fn a_weak_etag_is_no_condition() {
    // If-Match compares strongly (RFC 9110, 13.1.1): a weak one matches nothing, not even itself.
    for etag in ["W/\"e\"", "\"e\""] {
        let stamp = Stamp { if_match: Some(etag), ..Stamp::key("k") };
        let request = stamped(&aws(), Operation::GetObject, &ExtraArgs::new(), &stamp);
        assert_eq!(request.header("if-match"), Some(etag).filter(|etag| !etag.starts_with("W/")));
    }
}

#[test]
fn delete_object_takes_mfa() {
    let mut args = ExtraArgs::new();
    args.set("MFA", "serial 123456");
    let request = stamped(&aws(), Operation::DeleteObject, &args, &Stamp::key("k"));
    assert_eq!(
        golden(&request),
        ["DELETE photos.s3.eu-central-1.amazonaws.com /k?x-id=DeleteObject", "x-amz-mfa: serial 123456"]
    );
    assert!(!format!("{request:?}").contains("123456"));
}

#[test]
fn a_word_other_than_enabled_turns_the_checksum_mode_off() {
    let mode = |serializer: &RequestSerializer, word: Option<&str>| {
        let mut args = ExtraArgs::new();
        if let Some(word) = word {
            args.set("ChecksumMode", word);
        }
        let request = stamped(serializer, Operation::GetObject, &args, &Stamp::key("k"));
        request.header("x-amz-checksum-mode").map(str::to_owned)
    };
    assert_eq!(mode(&aws(), None).as_deref(), Some("ENABLED"));
    assert_eq!(mode(&aws(), Some("enabled")).as_deref(), Some("ENABLED"));
    assert_eq!(mode(&aws(), Some("DISABLED")), None);
    let mut endpoint = EndpointConfig::new("eu-central-1");
    endpoint.checksum_mode = false;
    assert_eq!(mode(&anonymous(endpoint.clone()), None), None);
    assert_eq!(mode(&anonymous(endpoint), Some("ENABLED")).as_deref(), Some("ENABLED"));
}

#[test]
fn host_styles() {
    let url = |bucket: &str, change: fn(&mut EndpointConfig)| {
        let mut endpoint = EndpointConfig::new("us-west-2");
        change(&mut endpoint);
        let template = anonymous(endpoint).template(Operation::DeleteObject, bucket, &ExtraArgs::new()).unwrap();
        let request = template.stamp(&Stamp::key("k"), None, SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(request.host, template.origin().authority());
        format!("{}{}", template.origin(), request.target.split('?').next().unwrap())
    };
    for (made, wanted) in [
        (url("photos", |_| ()), "https://photos.s3.us-west-2.amazonaws.com/k"),
        (url("under_score", |_| ()), "https://s3.us-west-2.amazonaws.com/under_score/k"),
        (url("photos", |e| e.path_style = true), "https://s3.us-west-2.amazonaws.com/photos/k"),
        (url("photos", |e| e.use_ssl = false), "http://photos.s3.us-west-2.amazonaws.com/k"),
        (url("photos", |e| e.dual_stack = true), "https://photos.s3.dualstack.us-west-2.amazonaws.com/k"),
        (url("photos", |e| e.fips = true), "https://photos.s3-fips.us-west-2.amazonaws.com/k"),
        (url("photos", |e| e.accelerate = true), "https://photos.s3-accelerate.amazonaws.com/k"),
        (
            url("photos", |e| {
                e.endpoint_url = Some("http://10.0.0.1:9000".to_owned());
            }),
            "http://10.0.0.1:9000/photos/k",
        ),
        (
            url("photos", |e| {
                e.endpoint_url = Some("http://[::1]:9000".to_owned());
                e.path_style = true;
            }),
            "http://[::1]:9000/photos/k",
        ),
        // No name of a host ends with an address.
        (
            url("photos.dots", |e| {
                e.endpoint_url = Some("http://10.0.0.1:9000".to_owned());
            }),
            "http://10.0.0.1:9000/photos.dots/k",
        ),
        (
            url("photos.dots", |e| {
                e.endpoint_url = Some("http://[::1]:9000".to_owned());
            }),
            "http://[::1]:9000/photos.dots/k",
        ),
        (
            url("photos.dots", |e| {
                e.endpoint_url = Some("http://store.example".to_owned());
            }),
            "http://photos.dots.store.example/k",
        ),
        (
            url("photos", |e| {
                e.endpoint_url = Some("http://store.example:80".to_owned());
            }),
            "http://photos.store.example/k",
        ),
        (
            url("photos", |e| {
                e.endpoint_url = Some("store.example:9000".to_owned());
                e.use_ssl = false;
                e.path_style = true;
            }),
            "http://store.example:9000/photos/k",
        ),
        (
            url("photos", |e| {
                e.endpoint_url = Some("https://store.example/base".to_owned());
                e.use_ssl = false;
                e.path_style = true;
            }),
            "https://store.example/base/photos/k",
        ),
        (
            url("bucket--usw2-az1--x-s3", |_| ()),
            "https://bucket--usw2-az1--x-s3.s3express-usw2-az1.us-west-2.amazonaws.com/k",
        ),
        (
            url("arn:aws:s3::123456789012:accesspoint:mfzwi23gnjvgw.mrap", |_| ()),
            "https://mfzwi23gnjvgw.mrap.accesspoint.s3-global.amazonaws.com/k",
        ),
        (
            url("arn:aws:s3:eu-west-1:123456789012:accesspoint:mine", |_| ()),
            "https://mine-123456789012.s3-accesspoint.eu-west-1.amazonaws.com/k",
        ),
    ] {
        assert_eq!(made, wanted);
    }
}

#[test]
fn configurations_that_cannot_be() {
    for (region, url) in [
        ("", None),
        ("us-east-1", Some("ftp://store")),
        ("us-east-1", Some("http://")),
        ("us-east-1", Some("http://a b")),
        ("us-east-1", Some("http://user:PASSWORD@store")),
        ("us-east-1", Some("http://user:PASSWORD?@store")),
        ("us-east-1", Some("http://user:PASSWORD#@store")),
        ("us-east-1", Some("user:PASSWORD?@store")),
        ("us-east-1", Some("http://user:PASSWORD/x@store?a@b")),
        ("us-east-1", Some("http://store/?x=1")),
        ("us-east-1", Some("http://store/?x=PASSWORD@store")),
        ("us-east-1", Some("http://store#x")),
        ("us-east-1", Some("http://store/#x")),
        ("us-east-1", Some("http://store:90000")),
        ("us-east-1", Some("http://store:9000x")),
        ("us-east-1", Some("http://store:+80")),
        ("us-east-1", Some("http://[::1]:x")),
    ] {
        let mut endpoint = EndpointConfig::new(region);
        endpoint.endpoint_url = url.map(str::to_owned);
        assert!(!format!("{endpoint:?}").contains("PASSWORD"), "{endpoint:?}");
        let error = RequestSerializer::builder(endpoint).build().expect_err(url.unwrap_or_default());
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{url:?}");
        assert!(!error.to_string().contains("PASSWORD"), "{error}");
    }
}

#[test]
fn the_endpoint_shows_all_its_settings() {
    let mut endpoint = EndpointConfig::new("us-east-1");
    endpoint.endpoint_url = Some("http://127.0.0.1:9000/base".to_owned());
    assert_eq!(
        format!("{endpoint:?}"),
        "EndpointConfig { region: \"us-east-1\", endpoint_url: Some(\"http://127.0.0.1:9000/base\"), path_style: false, \
         use_ssl: true, dual_stack: false, fips: false, accelerate: false, use_arn_region: true, checksum_mode: true, \
         upload_checksums: true, user_agent: None }"
    );
}

#[test]
fn a_configuration_error_waits_for_the_first_call() {
    let config = SdkConfig::builder().build();
    let serializer = RequestSerializer::new(&config, "", SignatureVersion::Unsigned);
    let error = serializer.template(Operation::GetObject, "photos", &ExtraArgs::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
}

#[test]
fn sdk_configuration() {
    let config = SdkConfig::builder()
        .region(aws_types::region::Region::new("eu-west-3"))
        .endpoint_url("http://127.0.0.1:9000")
        .use_fips(true)
        .use_dual_stack(true)
        .app_name(aws_types::app_name::AppName::new("myapp").unwrap())
        .build();
    let serializer = RequestSerializer::new(&config, "", SignatureVersion::S3v4);
    let endpoint = serializer.endpoint();
    assert_eq!((endpoint.region.as_str(), endpoint.fips, endpoint.dual_stack), ("eu-west-3", true, true));
    assert_eq!(endpoint.endpoint_url.as_deref(), Some("http://127.0.0.1:9000"));
    assert_eq!(endpoint.user_agent.as_deref(), Some("app/myapp"));
    assert_eq!(RequestSerializer::new(&config, "x", SignatureVersion::S3v4).endpoint().region, "x");
}

#[test]
fn a_setting_of_the_environment_that_says_nothing_changes_nothing() {
    #[derive(Debug)]
    struct Environment(&'static str, &'static str);
    impl LoadServiceConfig for Environment {
        fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
            (key.env() == self.0).then(|| self.1.to_owned())
        }
    }
    let endpoint = |name, value| {
        let config = SdkConfig::builder().service_config(Environment(name, value)).build();
        EndpointConfig::from_sdk_config(&config, "us-east-1")
    };
    for (text, wanted) in [("", true), ("nonsense", true), ("true", true), ("false", false), ("FALSE", false)] {
        assert_eq!(endpoint("AWS_S3_USE_ARN_REGION", text).use_arn_region, wanted, "{text:?}");
    }
    assert_eq!(endpoint("AWS_ENDPOINT_URL", "").endpoint_url, None);
    assert_eq!(endpoint("AWS_ENDPOINT_URL", "http://store").endpoint_url.as_deref(), Some("http://store"));
}

#[test]
fn the_sdk_runs_once_for_each_kind_of_request() {
    let serializer = aws();
    let mut args = all_of_an_upload();
    let first = serializer.template(Operation::UploadPart, "photos", &args).unwrap();
    assert_eq!(serializer.sdk_runs(), 1);
    args.set("Metadata", ArgValue::Map(vec![("other".to_owned(), "1".to_owned())]));
    let second = serializer.template(Operation::UploadPart, "photos", &args).unwrap();
    assert!(Arc::ptr_eq(&first, &second), "metadata is none of a part's arguments");
    assert_eq!(serializer.sdk_runs(), 1);
    args.set("RequestPayer", "nobody");
    serializer.template(Operation::UploadPart, "photos", &args).unwrap();
    serializer.template(Operation::UploadPart, "videos", &args).unwrap();
    serializer.template(Operation::GetObject, "videos", &args).unwrap();
    assert_eq!(serializer.sdk_runs(), 4);
}

#[test]
fn the_cache_is_bounded() {
    let serializer = aws();
    for number in 0..1_100 {
        serializer.template(Operation::GetObject, format!("bucket-{number}"), &ExtraArgs::new()).unwrap();
    }
    assert_eq!(serializer.templates.len(), 1_024);
    serializer.template(Operation::GetObject, "bucket-1099", &ExtraArgs::new()).unwrap();
    assert_eq!(serializer.sdk_runs(), 1_100);
    serializer.template(Operation::GetObject, "bucket-0", &ExtraArgs::new()).unwrap();
    assert_eq!(serializer.sdk_runs(), 1_101);
}

#[test]
fn regions_are_learnt() {
    let serializer =
        RequestSerializer::builder(EndpointConfig::new("us-east-1")).credentials(credentials()).build().unwrap();
    let identity = Identity::new(credentials());
    let request = |bucket: &str| {
        let template = serializer.template(Operation::GetObject, bucket, &ExtraArgs::new()).unwrap();
        template.stamp(&Stamp::key("k"), Some(&identity), SystemTime::UNIX_EPOCH).unwrap().into_owned()
    };
    assert_eq!(request("photos").host, "photos.s3.us-east-1.amazonaws.com");
    assert!(serializer.learn_region("photos", "eu-north-1"));
    assert!(!serializer.learn_region("photos", "eu-north-1"), "known already");
    assert!(!serializer.learn_region("videos", "us-east-1"), "the client's own");
    assert!(!serializer.learn_region("videos", ""));
    let there = request("photos");
    assert_eq!(there.host, "photos.s3.eu-north-1.amazonaws.com");
    assert!(there.header("authorization").unwrap().contains("/19700101/eu-north-1/s3/aws4_request"));
    assert_eq!(request("videos").host, "videos.s3.us-east-1.amazonaws.com");
}

#[test]
fn a_template_made_while_its_region_is_learnt_is_not_kept() {
    let serializer = aws();
    for number in 0..500 {
        let bucket = format!("bucket-{number}");
        let begin = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                begin.wait();
                serializer.template(Operation::GetObject, bucket.as_str(), &ExtraArgs::new()).unwrap();
            });
            begin.wait();
            assert!(serializer.learn_region(&bucket, "eu-north-1"));
        });
        let template = serializer.template(Operation::GetObject, bucket.as_str(), &ExtraArgs::new()).unwrap();
        assert_eq!(template.origin().host, format!("{bucket}.s3.eu-north-1.amazonaws.com"));
    }
}

#[test]
fn a_region_is_no_way_to_another_host() {
    let serializer = aws();
    let host = |bucket: &str| {
        serializer.template(Operation::GetObject, bucket, &ExtraArgs::new()).unwrap().origin().host.clone()
    };
    for region in
        ["evil.example/", "evil.example:1/", "evil.example#", "evil.example?", "a@evil.example/", "eu\r\nx", "a b"]
    {
        // A bucket with dots goes into the path, and then the SDK's rules do not look at the region.
        for bucket in ["photos.dots", "photos"] {
            assert!(!serializer.learn_region(bucket, region), "{region:?}");
            assert!(host(bucket).ends_with("s3.eu-central-1.amazonaws.com"), "{region:?} {bucket}");
        }
        let error = RequestSerializer::builder(EndpointConfig::new(region)).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{region:?}");
    }
}

#[test]
fn a_region_that_the_sdk_refuses_is_not_learnt() {
    let serializer = aws();
    let long = "x".repeat(64);
    let own_names = ["my_region", "a.b", "-x", &long];
    for region in own_names {
        assert!(!serializer.learn_region("photos", region), "{region:?}");
        assert!(serializer.template(Operation::GetObject, "photos", &ExtraArgs::new()).is_ok(), "{region:?}");
    }
    assert!(serializer.learn_region("photos", "RegionOne"));
    // It does not look at those of other stores that have their buckets in the path.
    let mut endpoint = EndpointConfig::new("us-east-1");
    endpoint.endpoint_url = Some("http://store:9000".to_owned());
    endpoint.path_style = true;
    let serializer = anonymous(endpoint);
    for region in own_names {
        assert!(serializer.learn_region("photos", region), "{region:?}");
    }
}

#[test]
fn another_stores_region_changes_the_signature_only() {
    let mut endpoint = EndpointConfig::new("us-east-1");
    endpoint.endpoint_url = Some("http://127.0.0.1:9000".to_owned());
    let serializer = RequestSerializer::builder(endpoint).credentials(credentials()).build().unwrap();
    assert!(serializer.learn_region("photos", "garage"));
    let template = serializer.template(Operation::GetObject, "photos", &ExtraArgs::new()).unwrap();
    let identity = Identity::new(credentials());
    let request = template.stamp(&Stamp::key("k"), Some(&identity), SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(request.host, "127.0.0.1:9000");
    assert!(request.header("authorization").unwrap().contains("/19700101/garage/s3/aws4_request"));
}

#[test]
fn nothing_breaks_out_of_its_line() {
    let template = aws().template(Operation::GetObject, "photos", &ExtraArgs::new()).unwrap();
    let refused = |stamp: &Stamp<'_>| template.stamp(stamp, None, SystemTime::UNIX_EPOCH).unwrap_err().kind();
    let etag = Stamp { if_match: Some("\"e\"\r\nx: y"), ..Stamp::key("k") };
    assert_eq!(refused(&etag), ErrorKind::InvalidArgument);
    let other = Stamp { headers: vec![("x-a".into(), "\n".into())], ..Stamp::key("k") };
    assert_eq!(refused(&other), ErrorKind::InvalidArgument);
    for name in ["", "x-a\r\nb", "x a", "x:a", "X-A", "x-ä"] {
        let other = Stamp { headers: vec![(name.into(), "1".into())], ..Stamp::key("k") };
        assert_eq!(refused(&other), ErrorKind::InvalidArgument, "{name:?}");
    }
    let mut args = ExtraArgs::new();
    args.set("ContentType", "a\r\nb: c");
    assert!(aws().template(Operation::PutObject, "photos", &args).is_err());
    let mut endpoint = EndpointConfig::new("us-east-1");
    endpoint.user_agent = Some("a\nb".to_owned());
    assert_eq!(RequestSerializer::builder(endpoint).build().unwrap_err().kind(), ErrorKind::InvalidConfig);
}

#[test]
fn a_stamp_has_no_second_header_of_those_that_a_request_has_by_itself() {
    let template = aws().template(Operation::GetObject, "photos", &ExtraArgs::new()).unwrap();
    for name in
        ["host", "authorization", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token", "content-length"]
    {
        let stamp = Stamp { headers: vec![(name.into(), "1".into())], ..Stamp::key("k") };
        let error = template.stamp(&stamp, None, SystemTime::UNIX_EPOCH).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{name}");
        assert!(error.to_string().contains(name), "{error}");
    }
    let stamp = Stamp { headers: vec![("x-amz-meta-a".into(), "1".into())], ..Stamp::key("k") };
    let request = template.stamp(&stamp, None, SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(request.header("x-amz-meta-a"), Some("1"));
}

#[test]
fn one_serializer_serves_all_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<RequestSerializer>();
    shared::<Template>();
    shared::<Identity>();
}

#[test]
fn customer_keys() {
    let headers = |pairs: &[(&str, &str)]| {
        let mut args = ExtraArgs::new();
        for (name, value) in pairs {
            args.set(*name, *value);
        }
        let template = aws().template(Operation::GetObject, "photos", &args)?;
        let request = template.stamp(&Stamp::key("k"), None, SystemTime::UNIX_EPOCH)?;
        let header = |name: &str| request.header(name).unwrap_or_default().to_owned();
        Ok::<_, Error>((
            header("x-amz-server-side-encryption-customer-key"),
            header("x-amz-server-side-encryption-customer-key-md5"),
        ))
    };
    let whole = (KEY.to_owned(), KEY_MD5.to_owned());
    assert_eq!(headers(&[("SSECustomerKey", RAW_KEY)]).unwrap(), whole);
    assert_eq!(headers(&[("SSECustomerKey", KEY)]).unwrap(), whole);
    assert_eq!(headers(&[("SSECustomerKey", KEY), ("SSECustomerKeyMD5", "mine")]).unwrap().1, "mine");
    let error = headers(&[("SSECustomerKey", "TOO-SHORT")]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(!format!("{error} {error:?}").contains("TOO-SHORT"));
}

#[test]
fn what_a_stamp_must_have() {
    let serializer = aws();
    let kind = |operation: Operation, stamp: &Stamp<'_>| {
        let template = serializer.template(operation, "photos", &ExtraArgs::new()).unwrap();
        template.stamp(stamp, None, SystemTime::UNIX_EPOCH).unwrap_err().kind()
    };
    assert_eq!(kind(Operation::GetObject, &Stamp::key("")), ErrorKind::InvalidArgument);
    assert_eq!(kind(Operation::AbortMultipartUpload, &Stamp::key("k")), ErrorKind::InvalidArgument);
    // Without an id, a DELETE is one of the object.
    let empty_id = Stamp { upload_id: Some(""), ..Stamp::key("k") };
    assert_eq!(kind(Operation::AbortMultipartUpload, &empty_id), ErrorKind::InvalidArgument);
    let no_number = Stamp { upload_id: Some("u"), ..Stamp::key("k") };
    assert_eq!(kind(Operation::UploadPart, &no_number), ErrorKind::InvalidArgument);
    let body = Stamp { payload: Payload::Unsigned { content_length: 1 }, ..Stamp::key("k") };
    assert_eq!(kind(Operation::GetObject, &body), ErrorKind::InvalidArgument);
}

#[test]
fn who_may_sign_what() {
    let serializer =
        RequestSerializer::builder(EndpointConfig::new("us-west-2")).credentials(credentials()).build().unwrap();
    let own = Identity::new(credentials());
    let sign = |bucket: &str, identity: Option<&Identity>| {
        let template = serializer.template(Operation::GetObject, bucket, &ExtraArgs::new()).unwrap();
        template.stamp(&Stamp::key("k"), identity, SystemTime::UNIX_EPOCH).map(SignedRequest::into_owned)
    };
    assert_eq!(sign("photos", None).unwrap_err().kind(), ErrorKind::Credentials);
    assert!(sign("photos", Some(&own)).is_ok());

    let express = "bucket--usw2-az1--x-s3";
    assert!(serializer.template(Operation::GetObject, express, &ExtraArgs::new()).unwrap().needs_session());
    let error = sign(express, Some(&own)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Credentials);
    assert!(error.to_string().contains("session"), "{error}");

    let scope = |args: ExtraArgs| SessionScope::of(express, &args);
    let known = |args: ExtraArgs| serializer.session(&scope(args), SystemTime::now());
    assert!(known(ExtraArgs::new()).is_none());
    let ends = SystemTime::now() + Duration::from_secs(300);
    let ends = aws_smithy_types::DateTime::from(ends).fmt(aws_smithy_types::date_time::Format::DateTime).unwrap();
    let body = format!(
        "<CreateSessionResult><Credentials><AccessKeyId>AK</AccessKeyId><SecretAccessKey>SK</SecretAccessKey>\
         <SessionToken>ST</SessionToken><Expiration>{ends}</Expiration></Credentials></CreateSessionResult>"
    );
    let headers: [(&str, &str); 0] = [];
    let answer = Answer::new(Operation::CreateSession, 200, &headers).with_body(body.as_bytes());
    let credentials = decode::create_session(&answer).unwrap();
    let kept = serializer.keep_session(&scope(ExtraArgs::new()), credentials, SystemTime::now());
    let session = known(ExtraArgs::new()).unwrap();
    assert_eq!(session.expires(), kept.expires());
    let signed = sign(express, Some(&session)).unwrap();
    assert_eq!(signed.header("x-amz-s3session-token"), Some("ST"));
    assert!(signed.header("authorization").unwrap().contains("/us-west-2/s3express/aws4_request"));
    assert!(!format!("{signed:?} {session:?}").contains("ST\""));
    assert_eq!(sign("photos", Some(&session)).unwrap_err().kind(), ErrorKind::Credentials);
    // What is said of encryption is said by the session: one that says otherwise is another.
    assert!(known(ExtraArgs::new().server_side_encryption("aws:kms").content_type("text/plain")).is_none());
    assert!(known(ExtraArgs::new().content_type("text/plain")).is_some());
    let other = Identity::of_session(Credentials::new("AK", "SK", Some("older".to_owned()), None, "test"));
    serializer.forget_session(&other);
    assert!(known(ExtraArgs::new()).is_some(), "it was not that one");
    serializer.forget_session(&session);
    assert!(known(ExtraArgs::new()).is_none());
}

#[test]
fn bad_values_are_told_without_the_value() {
    for (operation, name, value) in [
        (Operation::PutObject, "Expires", ArgValue::Text("VALUE".to_owned())),
        (Operation::PutObject, "BucketKeyEnabled", ArgValue::Text("VALUE".to_owned())),
        (Operation::PutObject, "Metadata", ArgValue::Text("VALUE".to_owned())),
        (Operation::PutObject, "ACL", ArgValue::Flag(true)),
        (Operation::PutObject, "ContentType", ArgValue::Text("VALUE\n".to_owned())),
        (Operation::PutObject, "Tagging", ArgValue::Text("VALUE\n".to_owned())),
        (Operation::DeleteObject, "MFA", ArgValue::Text("VALUE\n".to_owned())),
        (Operation::PutObject, "Metadata", ArgValue::Map(vec![("a".to_owned(), "VALUE\n".to_owned())])),
        (Operation::CompleteMultipartUpload, "MpuObjectSize", ArgValue::Text("VALUE".to_owned())),
    ] {
        let mut args = ExtraArgs::new();
        args.set(name, value);
        let error = aws().template(operation, "photos", &args).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains(name) && !error.to_string().contains("VALUE"), "{error}");
    }
    let mut args = ExtraArgs::new();
    args.set("Metadata", ArgValue::Map(vec![("a b".to_owned(), "x".to_owned())]));
    let error = aws().template(Operation::PutObject, "photos", &args).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
}

#[test]
fn serialized_requests_go_there_and_back() {
    let mut dict = RequestDict::new(Operation::UploadPart, "photos", "a b");
    dict.part_number = Some(3);
    dict.upload_id = Some("u".to_owned());
    dict.content_length = Some(10);
    dict.extra_args.set("SSECustomerKey", RAW_KEY);
    let text = serde_json::to_string(&dict).unwrap();
    assert_eq!(serde_json::from_str::<RequestDict>(&text).unwrap(), dict);
    assert!(serde_json::from_str::<RequestDict>(r#"{"operation":"GetObject","bucket":"b","keey":"k"}"#).is_err());

    // Signed or not: the serializer never signs here, and needs no credentials.
    let serializer = RequestSerializer::builder(EndpointConfig::new("eu-central-1")).build().unwrap();
    let request = serializer.serialize_http_request(&dict).unwrap();
    assert_eq!(request.method, "PUT");
    assert_eq!(
        request.url,
        "https://photos.s3.eu-central-1.amazonaws.com/a%20b?x-id=UploadPart&partNumber=3&uploadId=u"
    );
    let header = |name: &str| request.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    assert_eq!(header("host"), Some("photos.s3.eu-central-1.amazonaws.com"));
    assert_eq!(header("content-length"), Some("10"));
    assert_eq!(header("x-amz-server-side-encryption-customer-key"), Some(KEY));
    assert_eq!(header("authorization"), None);
    assert!(!format!("{request:?}").contains(KEY));
    let text = serde_json::to_string(&request).unwrap();
    assert_eq!(serde_json::from_str::<SerializedRequest>(&text).unwrap(), request);

    let delete = serializer.serialize_http_request(&RequestDict::new(Operation::DeleteObject, "photos", "k")).unwrap();
    assert!(delete.headers.contains(&("content-length".to_owned(), "0".to_owned())));
    dict.part_number = Some(10_001);
    assert_eq!(serializer.serialize_http_request(&dict).unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn serialized_requests_may_be_of_a_range() {
    let serializer = RequestSerializer::builder(EndpointConfig::new("eu-central-1")).build().unwrap();
    let mut dict = RequestDict::new(Operation::GetObject, "photos", "1.jpg");
    dict.range = Some("bytes=5-99".to_owned());
    let request = serializer.serialize_http_request(&dict).unwrap();
    assert!(request.headers.contains(&("range".to_owned(), "bytes=5-99".to_owned())), "{:?}", request.headers);
    for wrong in ["bytes=9-5", "5-99", "bytes=a-b", "bytes=0-1\r\nx: y"] {
        dict.range = Some(wrong.to_owned());
        assert_eq!(serializer.serialize_http_request(&dict).unwrap_err().kind(), ErrorKind::InvalidArgument, "{wrong}");
    }
}

#[test]
fn nothing_shows_a_secret() {
    let serializer =
        RequestSerializer::builder(EndpointConfig::new("eu-central-1")).credentials(credentials()).build().unwrap();
    let identity = Identity::new(credentials());
    let mut args = ExtraArgs::new();
    args.set("SSECustomerKey", RAW_KEY);
    let template = serializer.template(Operation::PutObject, "photos", &args).unwrap();
    let request = template.stamp(&Stamp::key("k"), Some(&identity), SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(request.header("x-amz-security-token"), Some("TOKENTOKEN"));
    let stamp =
        Stamp { headers: vec![("x-amz-server-side-encryption-customer-key".into(), KEY.into())], ..Stamp::key("k") };
    let captured = serializer.capturer.as_ref().unwrap().run(
        Operation::PutObject,
        "photos",
        &ssec::complete(&args).unwrap(),
        None,
    );
    let mut dict = serializer.serialize_http_request(&RequestDict::new(Operation::GetObject, "photos", "k")).unwrap();
    dict.headers.push(("X-Amz-Security-Token".to_owned(), "TOKENTOKEN".to_owned()));
    let shown = format!("{serializer:?} {template:?} {request:?} {identity:?} {stamp:?} {captured:?} {dict:?}");
    let signature = request.header("authorization").unwrap().rsplit_once('=').unwrap().1;
    for secret in [RAW_KEY, KEY, KEY_MD5, "SECRETSECRET", "TOKENTOKEN", signature] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[tokio::test]
async fn anonymous_clients_do_not_sign() {
    let serializer = aws();
    assert!(serializer.credentials(SystemTime::now()).await.unwrap().is_none());
    let template = serializer.prepare(Operation::GetObject, "photos", &ExtraArgs::new()).await.unwrap();
    let request = template.stamp(&Stamp::key("k"), None, SystemTime::now()).unwrap();
    assert!(request.header("authorization").is_none() && request.header("x-amz-content-sha256").is_none());
}
