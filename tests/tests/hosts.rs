//! The hosts that settings lead to, of the store's many names, and how the way there is found: by proxies, and by a store that says where a
//! bucket is. The server is reached by AWS's names through a proxy, which says what it was asked for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::zonal::Zonal;
use common::{PART, outcome_of};
use xfer_facade::{Algorithm, DownloadTarget, ErrorKind, S3ClientBuilder, Verified};
use xfer_tests::{Action, FaultRule, TestServerBuilder, pattern};

/// All the names that these tests call the server by.
const DOMAINS: [&str; 5] = [
    "s3.us-east-1.amazonaws.com",
    "s3.dualstack.us-east-1.amazonaws.com",
    "s3-fips.us-east-1.amazonaws.com",
    "s3-accelerate.amazonaws.com",
    "s3.eu-west-1.amazonaws.com",
];

fn names(server: TestServerBuilder) -> TestServerBuilder {
    DOMAINS.into_iter().fold(server, TestServerBuilder::virtual_host_domain)
}

/// Moves an object of several parts there and back.
fn round_trip(zonal: &Zonal, key: &str) {
    let size = 2 * PART as usize + 1;
    let up = outcome_of(zonal.manager.upload(pattern::bytes(3, size), "bucket", key)).unwrap();
    assert_eq!(up.verified, Verified::FullObject(Algorithm::Crc64Nvme));
    let down = outcome_of(zonal.manager.download("bucket", key, DownloadTarget::memory())).unwrap();
    assert_eq!(down.verified, Verified::FullObject(Algorithm::Crc64Nvme));
    pattern::check(3, 0, &down.body.unwrap()).unwrap();
}

#[test]
fn each_kind_of_endpoint_has_its_host() {
    type Choice = fn(S3ClientBuilder) -> S3ClientBuilder;
    let choices: [(Choice, &str); 5] = [
        (|client| client, "bucket.s3.us-east-1.amazonaws.com:443"),
        (|client| client.dual_stack(true), "bucket.s3.dualstack.us-east-1.amazonaws.com:443"),
        (|client| client.fips(true), "bucket.s3-fips.us-east-1.amazonaws.com:443"),
        (|client| client.accelerate(true), "bucket.s3-accelerate.amazonaws.com:443"),
        (|client| client.path_style(true), "s3.us-east-1.amazonaws.com:443"),
    ];
    for (choice, host) in choices {
        let zonal = Zonal::with(names, choice);
        round_trip(&zonal, "k");
        let asked = zonal.proxy.asked_for();
        assert!(!asked.is_empty() && asked.iter().all(|asked| asked == host), "{host}: {asked:?}");
        zonal.assert_clean();
    }
}

#[test]
fn without_tls_requests_go_through_a_proxy_as_they_are() {
    let zonal = Zonal::in_the_clear(names, |client| client);
    round_trip(&zonal, "k");
    let asked = zonal.proxy.asked_for();
    assert!(asked.iter().all(|asked| asked == "bucket.s3.us-east-1.amazonaws.com"), "{asked:?}");
    let requests = zonal.server.requests();
    assert!(requests.iter().all(|request| request.headers["host"] == "bucket.s3.us-east-1.amazonaws.com"));
    zonal.assert_clean();
}

#[test]
fn a_bucket_in_another_region_is_followed_there_once() {
    let zonal = Zonal::with(names, |client| client);
    // As S3 answers in a region where the bucket is not.
    zonal.server.inject(FaultRule::any().times(1).then(Action::SetHeader("x-amz-bucket-region", "eu-west-1")));
    zonal.server.inject(FaultRule::any().times(1).then(Action::Status(301, "PermanentRedirect")));
    round_trip(&zonal, "k");
    let asked = zonal.proxy.asked_for();
    assert_eq!(asked[0], "bucket.s3.us-east-1.amazonaws.com:443");
    assert!(asked[1..].iter().all(|asked| asked == "bucket.s3.eu-west-1.amazonaws.com:443"), "{asked:?}");
    let requests = zonal.server.requests();
    let signed_for = |region: &str| {
        let scope = format!("/{region}/s3/aws4_request");
        requests.iter().filter(|request| request.headers["authorization"].contains(&scope)).count()
    };
    assert_eq!((signed_for("us-east-1"), signed_for("eu-west-1")), (1, requests.len() - 1));
    zonal.assert_clean();
}

#[test]
fn a_store_that_sends_from_one_region_to_itself_is_not_followed_for_ever() {
    let zonal = Zonal::with(names, |client| client);
    zonal.server.inject(FaultRule::any().then(Action::SetHeader("x-amz-bucket-region", "eu-west-1")));
    let fault = zonal.server.inject(FaultRule::any().then(Action::Status(301, "PermanentRedirect")));
    let error = outcome_of(zonal.manager.upload(&b"bytes"[..], "bucket", "k")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongRegion, "{error}");
    assert_eq!(error.service().unwrap().region.as_deref(), Some("eu-west-1"));
    assert!(fault.hits() <= 3, "{} requests", fault.hits());
    zonal.assert_clean();
}
