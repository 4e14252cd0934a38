//! What a request costs before it is sent, and its answer once it has come: `cargo bench -p xfer-serializer`.
#![allow(clippy::panic)]

use std::hint::black_box;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use criterion::{Criterion, criterion_group, criterion_main};
use xfer_core::args::ExtraArgs;
use xfer_core::checksum::Algorithm;
use xfer_core::id::PartNumber;
use xfer_core::range::ByteRange;
use xfer_serializer::decode::{self, Answer};
use xfer_serializer::{EndpointConfig, Identity, Operation, Payload, RequestSerializer, Stamp};

const BUCKET: &str = "photos";
const KEY: &str = "folder/2026/some file with blanks.bin";
const PART: u64 = 8 << 20;
/// As long as those of AWS.
const UPLOAD_ID: &str = "2~k3b4xample.of-an.upload.id_that_is_as_long_as_those_of_aws_in_a_common_region_";

fn credentials() -> Credentials {
    Credentials::new("AKIDEXAMPLE", "secret", Some("token".repeat(100)), None, "example")
}

fn serializer() -> RequestSerializer {
    match RequestSerializer::builder(EndpointConfig::new("eu-central-1")).credentials(credentials()).build() {
        Ok(serializer) => serializer,
        Err(error) => panic!("{error}"),
    }
}

fn prepare(criterion: &mut Criterion) {
    let (serializer, none) = (serializer(), ExtraArgs::new());
    let some = ExtraArgs::new().content_type("image/jpeg").metadata([("origin", "camera-1")]);
    for (name, args) in [("prepare, cached", &none), ("prepare, cached, with arguments", &some)] {
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| black_box(serializer.template(Operation::PutObject, BUCKET, black_box(args))));
        });
    }
}

fn stamp_and_sign(criterion: &mut Criterion) {
    let (serializer, args, identity) = (serializer(), ExtraArgs::new(), Identity::new(credentials()));
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let with_trailer = Payload::UnsignedTrailer { decoded_length: PART, algorithm: Algorithm::Crc64Nvme };
    let range = ByteRange::new(PART, 2 * PART);
    for (name, operation, stamp) in [
        ("stamp and sign, GetObject", Operation::GetObject, Stamp { range: Some(range), ..Stamp::key(KEY) }),
        (
            "stamp and sign, PutObject with trailer",
            Operation::PutObject,
            Stamp { payload: with_trailer, ..Stamp::key(KEY) },
        ),
        (
            "stamp and sign, UploadPart",
            Operation::UploadPart,
            Stamp {
                part_number: PartNumber::new(1234),
                upload_id: Some(UPLOAD_ID),
                payload: with_trailer,
                ..Stamp::key(KEY)
            },
        ),
    ] {
        let template = match serializer.template(operation, BUCKET, &args) {
            Ok(template) => template,
            Err(error) => panic!("{error}"),
        };
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| match template.stamp(black_box(&stamp), Some(&identity), now) {
                Ok(request) => black_box(request),
                Err(error) => panic!("{error}"),
            });
        });
    }
}

fn answers(criterion: &mut Criterion) {
    let head = [
        ("x-amz-id-2", "kZ0a1b2c3d4e5f6g7h8i9j0kZ0a1b2c3d4e5f6g7h8i9j0"),
        ("x-amz-request-id", "4M0NVEX4MPLE0001"),
        ("date", "Sun, 22 Nov 2026 12:00:00 GMT"),
        ("last-modified", "Sat, 21 Nov 2026 12:00:00 GMT"),
        ("etag", "\"d41d8cd98f00b204e9800998ecf8427e\""),
        ("x-amz-checksum-crc64nvme", "AAAAAAAAAAA="),
        ("x-amz-checksum-type", "FULL_OBJECT"),
        ("x-amz-server-side-encryption", "AES256"),
        ("x-amz-version-id", "3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY"),
        ("accept-ranges", "bytes"),
        ("content-type", "binary/octet-stream"),
        ("server", "AmazonS3"),
        ("content-length", "8388608"),
    ];
    criterion.bench_function("decode, head of GetObject", |bencher| {
        let answer = Answer::new(Operation::GetObject, 200, &head);
        bencher.iter(|| match decode::get_object(black_box(&answer), None) {
            Ok(facts) => black_box(facts),
            Err(error) => panic!("{error}"),
        });
    });
    let body =
        b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>SlowDown</Code><Message>Please reduce your request \
        rate.</Message><RequestId>4M0NVEX4MPLE0001</RequestId><HostId>kZ0a1b2c3d4e5f6g7h8i9j0</HostId></Error>";
    criterion.bench_function("decode, error", |bencher| {
        let answer = Answer::new(Operation::UploadPart, 503, &head).with_body(body);
        bencher.iter(|| black_box(decode::error(black_box(&answer))));
    });
}

criterion_group!(benches, prepare, stamp_and_sign, answers);
criterion_main!(benches);
