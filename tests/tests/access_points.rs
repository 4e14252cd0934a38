//! Access points, of one region and of all: their hosts, and the signatures that these ask for. The server is reached by AWS's names through
//! a proxy, and judges SigV4a by the public key that follows from the secret.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use aws_credential_types::Credentials;
use common::zonal::Zonal;
use common::{PART, kind, outcome_of};
use xfer_facade::{Algorithm, DownloadTarget, ErrorKind, Verified};
use xfer_tests::{Op, pattern};

const EVERYWHERE: &str = "arn:aws:s3::111122223333:accesspoint/mfzwi23gnjvgw.mrap";
const EVERYWHERE_HOST: &str = "mfzwi23gnjvgw.mrap.accesspoint.s3-global.amazonaws.com";
const HERE: &str = "arn:aws:s3:us-east-1:111122223333:accesspoint/mine";
const HERE_HOST: &str = "mine-111122223333.s3-accesspoint.us-east-1.amazonaws.com";

fn zonal() -> Zonal {
    Zonal::with(
        |server| server.access_point(EVERYWHERE_HOST, "bucket").access_point(HERE_HOST, "bucket"),
        |client| client,
    )
}

/// Moves objects of one request and of several parts through an access point, there and back.
fn round_trip(zonal: &Zonal, bucket: &str) {
    for size in [0, 1000, 3 * PART + 1] {
        let key = format!("a b/{size}");
        let up = outcome_of(zonal.manager.upload(pattern::bytes(size, size as usize), bucket, &key)).unwrap();
        assert_eq!((up.verified, up.retries), (Verified::FullObject(Algorithm::Crc64Nvme), 0), "{key}");
        let stored = zonal.server.object("bucket", &key).unwrap();
        assert_eq!(stored.etag(), up.etag.unwrap(), "{key}");
        let down = outcome_of(zonal.manager.download(bucket, &key, DownloadTarget::memory())).unwrap();
        assert_eq!((down.bytes, down.verified), (size, Verified::FullObject(Algorithm::Crc64Nvme)), "{key}");
        pattern::check(size, 0, &down.body.unwrap()).unwrap();
        outcome_of(zonal.manager.delete(bucket, &key)).unwrap();
        assert!(zonal.server.object("bucket", &key).is_none(), "{key}");
    }
}

#[test]
fn a_multi_region_access_point_is_signed_for_all_regions() {
    let zonal = zonal();
    round_trip(&zonal, EVERYWHERE);
    for request in zonal.server.requests() {
        assert_eq!(request.headers["host"], EVERYWHERE_HOST);
        assert!(request.headers["authorization"].starts_with("AWS4-ECDSA-P256-SHA256 "), "{:?}", request.op);
        assert_eq!(request.headers["x-amz-region-set"], "*", "{:?}", request.op);
    }
    assert_eq!(zonal.server.stats().count(Op::UploadPart), 4);
    assert!(zonal.proxy.asked_for().iter().all(|asked| *asked == format!("{EVERYWHERE_HOST}:443")));
    zonal.assert_clean();
}

#[test]
fn a_wrong_secret_is_found_out_by_its_public_key() {
    let zonal = Zonal::with(
        |server| server.access_point(EVERYWHERE_HOST, "bucket"),
        |client| client.credentials(Credentials::from_keys("test-access-key", "another-secret", None)),
    );
    let error = outcome_of(zonal.manager.upload(&b"bytes"[..], EVERYWHERE, "k")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AccessDenied);
    assert_eq!(error.service().unwrap().code, "SignatureDoesNotMatch");
    let down = zonal.manager.download(EVERYWHERE, "k", DownloadTarget::memory());
    assert_eq!(kind(outcome_of(down)), ErrorKind::AccessDenied);
    zonal.assert_clean();
}

#[test]
fn temporary_credentials_sign_for_all_regions_as_well() {
    let zonal = Zonal::with(
        |server| server.access_point(EVERYWHERE_HOST, "bucket"),
        |client| {
            let token = Some("a-session-token".to_owned());
            client.credentials(Credentials::from_keys("test-access-key", "test-secret-key", token))
        },
    );
    round_trip(&zonal, EVERYWHERE);
    let requests = zonal.server.requests();
    assert!(requests.iter().all(|request| request.headers["x-amz-security-token"] == "a-session-token"));
    zonal.assert_clean();
}

#[test]
fn an_access_point_of_one_region_is_signed_as_a_bucket_is() {
    let zonal = zonal();
    round_trip(&zonal, HERE);
    for request in zonal.server.requests() {
        assert_eq!(request.headers["host"], HERE_HOST);
        let authorization = &request.headers["authorization"];
        assert!(authorization.starts_with("AWS4-HMAC-SHA256 "), "{:?}", request.op);
        assert!(authorization.contains("/us-east-1/s3/aws4_request"), "{:?}", request.op);
    }
    zonal.assert_clean();
}
