//! The examples that AWS publishes ("Authenticating Requests: Using the Authorization Header", Amazon S3 API Reference).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use aws_credential_types::Credentials;

use super::*;

fn signature(request: &Unsigned<'_>) -> String {
    let credentials = Credentials::new(
        "AKIAIOSFODNN7EXAMPLE",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        None,
        None,
        "the documentation",
    );
    let scheme = Scheme::V4 { name: "s3".to_owned(), region: "us-east-1".to_owned() };
    // 2013-05-24, 00:00:00.
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_369_353_600);
    let headers = headers(request, &scheme, &Identity::new(credentials), now).unwrap();
    headers.into_iter().find(|(name, _)| name == "authorization").unwrap().1
}

#[test]
fn get_object() {
    let request = Unsigned {
        method: "GET",
        url: "https://examplebucket.s3.amazonaws.com/test.txt",
        headers: &[("range".into(), "bytes=0-9".to_owned())],
        payload: Payload::None,
    };
    assert_eq!(
        signature(&request),
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, \
         SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, \
         Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    );
}

#[test]
fn list_objects() {
    let request = Unsigned {
        method: "GET",
        url: "https://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J",
        headers: &[],
        payload: Payload::None,
    };
    assert_eq!(
        signature(&request),
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, \
         SignedHeaders=host;x-amz-content-sha256;x-amz-date, \
         Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
    );
}
