//! Stamped requests against the SDK's own: for random keys, arguments and operations, the same method, URL, headers and signature.
//!
//! The SDK runs with the same credentials and the same clock, and is stopped when it has signed. Left out of the comparison is
//! only what the serializer leaves out by design: the invocation and retry headers, the User-Agents, and a Content-Type that the
//! caller did not give. These are taken from the SDK's request before it signs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::future::Future;
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_runtime::auth::PayloadSigningOverride;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::interceptors::{BeforeTransmitInterceptorContextMut, BeforeTransmitInterceptorContextRef};
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, ConfigBag, Intercept, Region, RequestChecksumCalculation, RuntimeComponents,
};
use aws_sdk_s3::primitives::{ByteStream, DateTime, SdkBody};
use aws_smithy_async::time::StaticTimeSource;
use aws_smithy_runtime_api::box_error::BoxError;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use xfer_core::args::{ArgValue, ExtraArgs};
use xfer_core::checksum::{Algorithm, Checksum, ChecksumKind};
use xfer_core::id::PartNumber;
use xfer_core::range::ByteRange;
use xfer_serializer::{
    EndpointConfig, Identity, Operation, Payload, RequestSerializer, SessionScope, SignedRequest, Stamp, decode,
};

const NOW: u64 = 1_700_000_000;
const MRAP: &str = "arn:aws:s3::123456789012:accesspoint:mfzwi23gnjvgw.mrap";
const ACCESS_POINT: &str = "arn:aws:s3:us-west-2:123456789012:accesspoint:myendpoint";
const OUTPOST: &str = "arn:aws:s3-outposts:us-west-2:123456789012:outpost/op-01234567890123456/accesspoint/mine";
const EXPRESS: &str = "photos--use1-az4--x-s3";

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
}

fn credentials() -> Credentials {
    Credentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG", Some("token/+=".to_owned()), None, "test")
}

/// A request in a form that can be compared.
#[derive(Debug, PartialEq)]
struct Plain {
    method: String,
    url: String,
    headers: BTreeMap<String, String>,
}

fn plain_headers<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
    let mut plain: BTreeMap<String, String> = BTreeMap::new();
    // The User-Agent is not signed, and the SDK's tells which features of the SDK a program uses.
    for (name, value) in headers.filter(|(name, _)| !name.starts_with("amz-sdk-") && *name != "user-agent") {
        plain
            .entry(name.to_ascii_lowercase())
            .and_modify(|list| {
                list.push(',');
                list.push_str(value);
            })
            .or_insert_with(|| value.to_owned());
    }
    plain
}

fn ours(request: &SignedRequest<'_>, scheme: &str) -> Plain {
    let headers = plain_headers(request.headers.iter().map(|(name, value)| (name.as_ref(), value.as_ref())));
    let agent = request.header("user-agent").unwrap();
    assert!(
        agent.starts_with("aws-sdk-rust/") && agent.ends_with(concat!(" xfer/", env!("CARGO_PKG_VERSION"))),
        "{agent}"
    );
    Plain { method: request.method.to_owned(), url: format!("{scheme}://{}{}", request.host, request.target), headers }
}

/// Takes out what a template does not have, says how the payload is to be signed, and keeps the signed request.
#[derive(Debug, Clone)]
struct Stopped {
    payload: Option<PayloadSigningOverride>,
    keep_content_type: bool,
    kept: Arc<Mutex<Option<Plain>>>,
}

impl Intercept for Stopped {
    fn name(&self) -> &'static str {
        "Stopped"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.request_mut().headers_mut();
        headers.remove("x-amz-user-agent");
        if !self.keep_content_type {
            headers.remove("content-type");
        }
        // The SDK leaves it to its HTTP client, which adds it behind the signature.
        if context.request().method() == "POST" && context.request().headers().get("content-length").is_none() {
            context.request_mut().headers_mut().insert("content-length", "0");
        }
        if let Some(payload) = &self.payload {
            bag.interceptor_state().store_put(payload.clone());
        }
        Ok(())
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request();
        *self.kept.lock().unwrap() = Some(Plain {
            method: request.method().to_owned(),
            url: request.uri().to_owned(),
            headers: plain_headers(request.headers().iter()),
        });
        Err("only the request was wanted".into())
    }
}

fn stopped(payload: Option<PayloadSigningOverride>, keep_content_type: bool) -> Stopped {
    Stopped { payload, keep_content_type, kept: Arc::default() }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Where both sides send to.
#[derive(Clone, Debug)]
struct Place {
    bucket: String,
    endpoint: EndpointConfig,
}

impl Place {
    fn sdk(&self) -> Client {
        let endpoint = &self.endpoint;
        let mut config = aws_sdk_s3::Config::builder();
        config.set_endpoint_url(endpoint.endpoint_url.clone());
        let config = config
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(endpoint.region.clone()))
            .force_path_style(endpoint.path_style)
            .use_dual_stack(endpoint.dual_stack)
            .use_fips(endpoint.fips)
            .accelerate(endpoint.accelerate)
            .use_arn_region(endpoint.use_arn_region)
            .credentials_provider(credentials())
            .express_credentials_provider(credentials())
            .retry_config(RetryConfig::disabled())
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .time_source(StaticTimeSource::from_secs(NOW))
            .build();
        Client::from_conf(config)
    }

    fn serializer(&self) -> RequestSerializer {
        RequestSerializer::builder(self.endpoint.clone()).credentials(credentials()).build().unwrap()
    }

    fn identity(&self, serializer: &RequestSerializer) -> Identity {
        if !self.bucket.ends_with("--x-s3") {
            return Identity::new(credentials());
        }
        let credentials = credentials();
        let body = format!(
            "<CreateSessionResult><Credentials><SessionToken>{}</SessionToken><SecretAccessKey>{}</SecretAccessKey>\
             <AccessKeyId>{}</AccessKeyId><Expiration>2100-01-01T00:00:00Z</Expiration></Credentials></CreateSessionResult>",
            credentials.session_token().unwrap(),
            credentials.secret_access_key(),
            credentials.access_key_id(),
        );
        let headers: [(&str, &str); 0] = [];
        let answer = decode::Answer::new(Operation::CreateSession, 200, &headers).with_body(body.as_bytes());
        let scope = SessionScope::of(&self.bucket, &ExtraArgs::new());
        serializer.keep_session(&scope, decode::create_session(&answer).unwrap(), now())
    }

    fn scheme(&self) -> &'static str {
        if self.endpoint.endpoint_url.as_ref().is_some_and(|url| url.starts_with("http:")) { "http" } else { "https" }
    }

    /// For requests with a body: the SDK's signer for access points of several regions and of outposts knows no unsigned payload.
    fn comparable(&self, mut plain: Plain) -> Plain {
        if self.bucket == MRAP || self.bucket == OUTPOST {
            plain.headers.remove("authorization");
            plain.headers.remove("x-amz-content-sha256");
        }
        plain
    }

    fn stamped(&self, operation: Operation, args: &ExtraArgs, stamp: &Stamp<'_>) -> Plain {
        let serializer = self.serializer();
        let identity = self.identity(&serializer);
        let template = serializer.template(operation, &*self.bucket, args).unwrap();
        ours(&template.stamp(stamp, Some(&identity), now()).unwrap(), self.scheme())
    }
}

fn places() -> impl Strategy<Value = Place> {
    let of = |bucket: &str, change: fn(&mut EndpointConfig)| {
        let mut endpoint = EndpointConfig::new("eu-central-1");
        change(&mut endpoint);
        Just(Place { bucket: bucket.to_owned(), endpoint })
    };
    prop_oneof![
        4 => of("photos", |_| ()),
        2 => of("photos", |endpoint| endpoint.path_style = true),
        1 => of("Under_score.dots", |_| ()),
        1 => of("photos", |endpoint| endpoint.dual_stack = true),
        1 => of("photos", |endpoint| endpoint.fips = true),
        1 => of("photos", |endpoint| endpoint.accelerate = true),
        2 => of("photos", |endpoint| endpoint.endpoint_url = Some("http://127.0.0.1:9000".to_owned())),
        1 => of("photos", |endpoint| endpoint.endpoint_url = Some("https://store.example.com".to_owned())),
        1 => of("photos", |endpoint| {
            endpoint.endpoint_url = Some("http://store.example.com:8080/base/".to_owned());
            endpoint.path_style = true;
        }),
        1 => of("photos.dots", |endpoint| endpoint.endpoint_url = Some("http://store.example.com".to_owned())),
        1 => of("photos", |endpoint| endpoint.endpoint_url = Some("http://[::1]:9000".to_owned())),
        1 => of("photos", |endpoint| { endpoint.dual_stack = true; endpoint.accelerate = true; }),
        1 => of("photos", |endpoint| { endpoint.dual_stack = true; endpoint.fips = true; }),
        1 => of("photos", |endpoint| endpoint.region = "cn-north-1".to_owned()),
        1 => of("photos", |endpoint| endpoint.region = "aws-global".to_owned()),
        1 => of(ACCESS_POINT, |_| ()),
        1 => of(ACCESS_POINT, |endpoint| { endpoint.dual_stack = true; endpoint.fips = true; }),
        1 => of(OUTPOST, |_| ()),
        1 => of(EXPRESS, |endpoint| endpoint.region = "us-east-1".to_owned()),
        1 => of(MRAP, |_| ()),
    ]
}

/// Keys that have gone wrong in some client or other, and any others.
/// Keys that the SDK takes. It refuses those of nothing but blanks, which S3 does not: `a_key_of_blanks_is_a_key`.
fn keys() -> impl Strategy<Value = String> {
    let keys = prop_oneof![
        Just("/".to_owned()),
        Just("//a//b//".to_owned()),
        Just(".".to_owned()),
        Just("../x/./y/..".to_owned()),
        Just("a b+c%20d%2Fe&f=g?h#i".to_owned()),
        Just("Ünïcødé/日本語/🦀 \u{0301}".to_owned()),
        Just("~-_.!*'();:@&=+$,/?#[]\\^`{|}<>\"".to_owned()),
        Just("tab\tnewline\ncr\rnul\0del\u{7f}".to_owned()),
        "[ -~]{1,40}",
        any::<String>(),
    ];
    keys.prop_filter("the SDK wants more than blanks", |key| !key.trim().is_empty())
}

fn word() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9][a-zA-Z0-9 /+=;-]{0,12}[a-zA-Z0-9]"
}

/// Arguments of a transfer, given once for all its requests.
#[derive(Clone, Debug)]
struct Call {
    content_type: Option<String>,
    cache_control: Option<String>,
    metadata: Vec<(String, String)>,
    acl: bool,
    kms_key: Option<String>,
    customer_key: bool,
    requester_pays: bool,
    owner: Option<String>,
    tagging: Option<String>,
    expires: Option<i64>,
    retain_until: Option<i64>,
    if_none_match: bool,
    version: Option<String>,
    content_encoding: Option<String>,
}

const KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
const KEY_MD5: &str = "KYvwGXoFFJ42a2u2GDWhwQ==";

fn calls() -> impl Strategy<Value = Call> {
    let texts = (option::of(word()), option::of(word()), option::of(word()), option::of("[0-9]{12}"));
    let more =
        (option::of("[a-z]{1,4}=[a-z%]{1,4}"), option::of(0..4_000_000_000_i64), option::of(0..4_000_000_000_i64));
    let flags = any::<(bool, bool, bool, bool)>();
    let last = (vec(("[a-z][a-z0-9-]{0,8}", word()), 0..4), option::of(word()), option::of(Just("gzip".to_owned())));
    (texts, more, flags, last).prop_map(|(texts, more, flags, last)| {
        let mut metadata = last.0;
        metadata.sort();
        metadata.dedup_by(|a, b| a.0 == b.0);
        Call {
            content_type: texts.0,
            cache_control: texts.1,
            kms_key: texts.2,
            owner: texts.3,
            tagging: more.0,
            expires: more.1,
            retain_until: more.2,
            acl: flags.0,
            customer_key: flags.1,
            requester_pays: flags.2,
            if_none_match: flags.3,
            metadata,
            version: last.1,
            content_encoding: last.2,
        }
    })
}

impl Call {
    fn args(&self) -> ExtraArgs {
        let mut args = ExtraArgs::new();
        let mut text = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                args.set(name, ArgValue::Text(value.to_owned()));
            }
        };
        text("ContentType", self.content_type.as_deref());
        text("CacheControl", self.cache_control.as_deref());
        text("ContentEncoding", self.content_encoding.as_deref());
        text("ACL", self.acl.then_some("bucket-owner-full-control"));
        text("ServerSideEncryption", self.kms_key.as_ref().map(|_| "aws:kms"));
        text("SSEKMSKeyId", self.kms_key.as_deref());
        text("SSECustomerKey", self.customer_key.then_some("01234567890123456789012345678901"));
        text("RequestPayer", self.requester_pays.then_some("requester"));
        text("ExpectedBucketOwner", self.owner.as_deref());
        text("Tagging", self.tagging.as_deref());
        text("IfNoneMatch", self.if_none_match.then_some("*"));
        text("VersionId", self.version.as_deref());
        if let Some(seconds) = self.expires {
            args.set("Expires", ArgValue::Number(seconds));
        }
        if let Some(seconds) = self.retain_until {
            args.set("ObjectLockRetainUntilDate", ArgValue::Number(seconds));
        }
        if !self.metadata.is_empty() {
            args.set("Metadata", ArgValue::Map(self.metadata.clone()));
        }
        args
    }

    fn customer(&self, value: &str) -> Option<String> {
        self.customer_key.then(|| value.to_owned())
    }

    fn payer(&self) -> Option<aws_sdk_s3::types::RequestPayer> {
        self.requester_pays.then_some(aws_sdk_s3::types::RequestPayer::Requester)
    }

    fn none_match(&self) -> Option<String> {
        self.if_none_match.then(|| "*".to_owned())
    }
}

macro_rules! customer_key {
    ($request:expr, $call:ident) => {
        $request
            .set_sse_customer_algorithm($call.customer("AES256"))
            .set_sse_customer_key($call.customer(KEY))
            .set_sse_customer_key_md5($call.customer(KEY_MD5))
            .set_request_payer($call.payer())
            .set_expected_bucket_owner($call.owner.clone())
    };
}

macro_rules! new_object {
    ($request:expr, $call:ident) => {
        customer_key!($request, $call)
            .set_content_type($call.content_type.clone())
            .set_cache_control($call.cache_control.clone())
            .set_content_encoding($call.content_encoding.clone())
            .set_acl($call.acl.then_some(aws_sdk_s3::types::ObjectCannedAcl::BucketOwnerFullControl))
            .set_server_side_encryption($call.kms_key.as_ref().map(|_| aws_sdk_s3::types::ServerSideEncryption::AwsKms))
            .set_ssekms_key_id($call.kms_key.clone())
            .set_tagging($call.tagging.clone())
            .set_expires($call.expires.map(DateTime::from_secs))
            .set_object_lock_retain_until_date($call.retain_until.map(DateTime::from_secs))
            .set_metadata((!$call.metadata.is_empty()).then(|| $call.metadata.iter().cloned().collect()))
    };
}

macro_rules! signed {
    ($request:expr, $stop:expr) => {{
        let stop = $stop;
        let sent = block_on($request.customize().interceptor(stop.clone()).send());
        let kept = stop.kept.lock().unwrap().take();
        kept.unwrap_or_else(|| panic!("the SDK refused: {:?}", sent.err()))
    }};
}

fn unsigned() -> Option<PayloadSigningOverride> {
    Some(PayloadSigningOverride::unsigned_payload())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn put_object(place in places(), key in keys(), call in calls(), length in 0_usize..99) {
        let request = place.sdk().put_object().bucket(&place.bucket).key(&key).set_if_none_match(call.none_match());
        let request = new_object!(request, call).body(ByteStream::new(SdkBody::from(vec![0; length])));
        let theirs = signed!(request, stopped(unsigned(), call.content_type.is_some()));
        let payload = Payload::Unsigned { content_length: length as u64 };
        let stamp = Stamp { payload, ..Stamp::key(&key) };
        let ours = place.stamped(Operation::PutObject, &call.args(), &stamp);
        prop_assert_eq!(place.comparable(ours), place.comparable(theirs));
    }

    #[test]
    fn create_multipart_upload(place in places(), key in keys(), call in calls()) {
        let request = place.sdk().create_multipart_upload().bucket(&place.bucket).key(&key);
        let request = new_object!(request, call)
            .checksum_algorithm(aws_sdk_s3::types::ChecksumAlgorithm::Crc32C)
            .checksum_type(aws_sdk_s3::types::ChecksumType::FullObject);
        let theirs = signed!(request, stopped(None, true));
        let stamp =
            Stamp { multipart_checksum: Some((Algorithm::Crc32c, ChecksumKind::FullObject)), ..Stamp::key(&key) };
        prop_assert_eq!(place.stamped(Operation::CreateMultipartUpload, &call.args(), &stamp), theirs);
    }

    #[test]
    fn upload_part(
        place in places(), key in keys(), call in calls(), number in 1_u32..=10_000, id in keys(), length in 0_usize..99,
    ) {
        let checksum = Checksum::of(Algorithm::Crc64Nvme, &vec![0; length]);
        let request = place.sdk().upload_part().bucket(&place.bucket).key(&key).upload_id(&id);
        let request = customer_key!(request, call)
            .part_number(number as i32)
            .checksum_algorithm(aws_sdk_s3::types::ChecksumAlgorithm::Crc64Nvme)
            .checksum_crc64_nvme(checksum.to_base64())
            .body(ByteStream::new(SdkBody::from(vec![0; length])));
        let theirs = signed!(request, stopped(unsigned(), false));
        let stamp = Stamp {
            part_number: PartNumber::new(number),
            upload_id: Some(&id),
            payload: Payload::Unsigned { content_length: length as u64 },
            checksum: Some(&checksum),
            ..Stamp::key(&key)
        };
        let ours = place.stamped(Operation::UploadPart, &call.args(), &stamp);
        prop_assert_eq!(place.comparable(ours), place.comparable(theirs));
    }

    #[test]
    fn complete_multipart_upload(place in places(), key in keys(), call in calls(), id in keys(), size in 0..i64::MAX) {
        let checksum = Checksum::of(Algorithm::Crc32, b"123456789");
        let request = place.sdk().complete_multipart_upload().bucket(&place.bucket).key(&key).upload_id(&id);
        let part = aws_sdk_s3::types::CompletedPart::builder()
            .part_number(1)
            .e_tag("\"a&b\"")
            .checksum_crc32(checksum.to_base64())
            .build();
        let parts = aws_sdk_s3::types::CompletedMultipartUpload::builder().parts(part).build();
        let request = customer_key!(request, call)
            .multipart_upload(parts)
            .set_if_none_match(call.none_match())
            .mpu_object_size(size)
            .checksum_type(aws_sdk_s3::types::ChecksumType::FullObject)
            .checksum_crc32(checksum.to_base64());
        let theirs = signed!(request, stopped(unsigned(), true));
        let part = xfer_core::job::UploadedPart {
            number: PartNumber::FIRST,
            etag: "\"a&b\"".into(),
            checksum: Some(checksum.clone()),
        };
        let body = xfer_serializer::complete_multipart_upload_body(&[part]);
        let stamp = Stamp {
            upload_id: Some(&id),
            payload: Payload::Unsigned { content_length: body.len() as u64 },
            checksum: Some(&checksum),
            multipart_checksum: Some((Algorithm::Crc32, ChecksumKind::FullObject)),
            object_size: Some(size as u64),
            ..Stamp::key(&key)
        };
        // The Content-Length says that both bodies have the same length; the unit tests say what is in ours.
        let ours = place.stamped(Operation::CompleteMultipartUpload, &call.args(), &stamp);
        prop_assert_eq!(place.comparable(ours), place.comparable(theirs));
    }

    #[test]
    fn abort_multipart_upload(place in places(), key in keys(), call in calls(), id in keys()) {
        let request = place.sdk().abort_multipart_upload().bucket(&place.bucket).key(&key).upload_id(&id)
            .set_request_payer(call.payer()).set_expected_bucket_owner(call.owner.clone());
        let theirs = signed!(request, stopped(None, true));
        let stamp = Stamp { upload_id: Some(&id), ..Stamp::key(&key) };
        prop_assert_eq!(place.stamped(Operation::AbortMultipartUpload, &call.args(), &stamp), theirs);
    }

    #[test]
    fn get_object(place in places(), key in keys(), mut call in calls(), start in 0_u64..1 << 45, length in 1_u64..1 << 30) {
        call.if_none_match = false;
        let range = ByteRange::new(start, start + length);
        let request = place.sdk().get_object().bucket(&place.bucket).key(&key).set_version_id(call.version.clone());
        let request = customer_key!(request, call).range(range.header()).if_match("\"etag\"");
        let theirs = signed!(request, stopped(None, true));
        let stamp = Stamp { range: Some(range), if_match: Some("\"etag\""), ..Stamp::key(&key) };
        prop_assert_eq!(place.stamped(Operation::GetObject, &call.args(), &stamp), theirs);
    }

    #[test]
    fn head_object(place in places(), key in keys(), mut call in calls()) {
        call.if_none_match = false;
        let request = place.sdk().head_object().bucket(&place.bucket).key(&key).set_version_id(call.version.clone())
            .checksum_mode(aws_sdk_s3::types::ChecksumMode::Enabled);
        let theirs = signed!(customer_key!(request, call), stopped(None, true));
        prop_assert_eq!(place.stamped(Operation::HeadObject, &call.args(), &Stamp::key(&key)), theirs);
    }

    #[test]
    fn delete_object(place in places(), key in keys(), call in calls()) {
        let request = place.sdk().delete_object().bucket(&place.bucket).key(&key).set_version_id(call.version.clone())
            .set_request_payer(call.payer()).set_expected_bucket_owner(call.owner.clone());
        let theirs = signed!(request, stopped(None, true));
        prop_assert_eq!(place.stamped(Operation::DeleteObject, &call.args(), &Stamp::key(&key)), theirs);
    }

    #[test]
    fn list_parts(place in places(), key in keys(), call in calls(), id in keys(), marker in option::of(1_u32..10_000)) {
        let request = place.sdk().list_parts().bucket(&place.bucket).key(&key).upload_id(&id)
            .set_part_number_marker(marker.map(|marker| marker.to_string()));
        let theirs = signed!(customer_key!(request, call), stopped(None, true));
        let stamp = Stamp { upload_id: Some(&id), part_number: marker.and_then(PartNumber::new), ..Stamp::key(&key) };
        prop_assert_eq!(place.stamped(Operation::ListParts, &call.args(), &stamp), theirs);
    }
}

#[test]
fn a_key_of_blanks_is_a_key() {
    let place = Place { bucket: "photos".to_owned(), endpoint: EndpointConfig::new("eu-central-1") };
    for (key, path) in [(" ", "/%20"), ("\u{2003}\n", "/%E2%80%83%0A")] {
        let template = place.serializer().template(Operation::GetObject, &*place.bucket, &ExtraArgs::new()).unwrap();
        let request = template.stamp(&Stamp::key(key), Some(&Identity::new(credentials())), now()).unwrap();
        assert_eq!(request.target.split('?').next().unwrap(), path);
    }
}

#[test]
fn create_session() {
    let mut endpoint = EndpointConfig::new("us-east-1");
    for style in [false, true] {
        endpoint.dual_stack = style;
        let place = Place { bucket: EXPRESS.to_owned(), endpoint: endpoint.clone() };
        let theirs = signed!(place.sdk().create_session().bucket(EXPRESS), stopped(None, true));
        let template = place.serializer().template(Operation::CreateSession, EXPRESS, &ExtraArgs::new()).unwrap();
        assert!(!template.needs_session());
        let request = template.stamp(&Stamp::key(""), Some(&Identity::new(credentials())), now()).unwrap();
        assert_eq!(ours(&request, place.scheme()), theirs);
    }
}

#[test]
fn trailers() {
    let mut file = tempfile();
    file.1.write_all(&[7; 4_321]).unwrap();
    for encoding in [None, Some("gzip")] {
        let place = Place { bucket: "photos".to_owned(), endpoint: EndpointConfig::new("eu-central-1") };
        let body = block_on(ByteStream::from_path(&file.0)).unwrap();
        let request = place
            .sdk()
            .put_object()
            .bucket("photos")
            .key("k")
            .set_content_encoding(encoding.map(str::to_owned))
            .checksum_algorithm(aws_sdk_s3::types::ChecksumAlgorithm::Crc32)
            .body(body);
        let stop = stopped(None, false);
        let over =
            aws_sdk_s3::Config::builder().request_checksum_calculation(RequestChecksumCalculation::WhenSupported);
        let sent = block_on(request.customize().config_override(over).interceptor(stop.clone()).send());
        let theirs = stop.kept.lock().unwrap().take();
        let theirs = theirs.unwrap_or_else(|| panic!("the SDK refused: {:?}", sent.err()));
        let mut args = ExtraArgs::new();
        if let Some(encoding) = encoding {
            args.set("ContentEncoding", ArgValue::Text(encoding.to_owned()));
        }
        let payload = Payload::UnsignedTrailer { decoded_length: 4_321, algorithm: Algorithm::Crc32 };
        let ours = place.stamped(Operation::PutObject, &args, &Stamp { payload, ..Stamp::key("k") });
        assert_eq!(ours, theirs);
    }
    std::fs::remove_file(&file.0).unwrap();
}

fn tempfile() -> (std::path::PathBuf, std::fs::File) {
    let path = std::env::temp_dir().join(format!("xfer-serializer-trailers-{}", std::process::id()));
    (path.clone(), std::fs::File::create(path).unwrap())
}
