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
    headers.into_iter().find(|(name, _)| name == "authorization").unwrap().1.into_owned()
}

#[test]
fn get_object() {
    let request = Unsigned {
        method: "GET",
        url: "https://examplebucket.s3.amazonaws.com/test.txt",
        headers: &[("range".into(), "bytes=0-9".into())],
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

#[test]
fn what_nobody_can_sign_is_refused() {
    let request = Unsigned { method: "GET", url: "https://a.example/k", headers: &[], payload: Payload::None };
    let schemes = [
        Scheme::V4 { name: "s3".to_owned(), region: "us-east-1".to_owned() },
        Scheme::V4a { name: "s3".to_owned(), regions: "*".to_owned() },
    ];
    let since = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
    for scheme in &schemes {
        let refused = |access_key: &str, now| {
            let identity = Identity::new(Credentials::new(access_key, "secret", None, None, "a test"));
            headers(&request, scheme, &identity, now).unwrap_err()
        };
        for now in [before, since(253_402_300_800), since(1 << 60)] {
            assert_eq!(refused("AKID", now).kind(), ErrorKind::Credentials, "{scheme:?} {now:?}");
        }
        // As it comes from a file with a line end.
        for access_key in ["", "AKID\n", "AKID\r\nx: y", "AK ID", "AKÏD"] {
            let error = refused(access_key, since(0));
            assert_eq!(error.kind(), ErrorKind::Credentials, "{scheme:?} {access_key:?}");
            assert!(access_key.is_empty() || !error.to_string().contains(access_key), "{error}");
        }
    }
}

mod parity {
    //! With aws-sigv4, for requests of every kind.

    use aws_sigv4::sign::v4 as library;
    use proptest::prelude::*;

    use super::super::*;

    fn by_the_library(
        request: &Unsigned<'_>,
        scheme: &Scheme,
        identity: &Identity,
        now: SystemTime,
    ) -> Vec<Header<'static>> {
        let (Scheme::V4 { name, region } | Scheme::Express { name, region }) = scheme else { unreachable!() };
        let mut settings = settings();
        if matches!(scheme, Scheme::Express { .. }) {
            settings.session_token_name_override = Some(SESSION_TOKEN);
        }
        let params = library::SigningParams::builder()
            .identity(identity.inner())
            .region(region)
            .name(name)
            .time(now)
            .settings(settings)
            .build()
            .unwrap();
        by_library(request, &params.into()).unwrap()
    }

    fn sorted(mut headers: Vec<Header<'static>>) -> Vec<Header<'static>> {
        headers.sort();
        headers
    }

    fn word() -> impl Strategy<Value = String> {
        proptest::string::string_regex("[ -~]{0,40}").unwrap()
    }

    fn headers_of_a_request() -> impl Strategy<Value = Vec<Header<'static>>> {
        let names =
            ["range", "if-match", "user-agent", "x-amz-meta-a", "x-amz-meta-a-b", "content-type", "x-amz-tagging"];
        proptest::sample::subsequence(names.to_vec(), 0..=names.len()).prop_flat_map(|names| {
            let values = proptest::collection::vec(word(), names.len());
            values.prop_map(move |values| {
                names.iter().zip(values).map(|(name, value)| ((*name).into(), value.into())).collect()
            })
        })
    }

    fn url() -> impl Strategy<Value = String> {
        let base = prop_oneof![
            Just("https://bucket.s3.us-east-1.amazonaws.com"),
            Just("http://127.0.0.1:9000/bucket"),
            Just("http://store.example:80/b"),
            Just("https://store.example:443"),
        ];
        let query = proptest::sample::subsequence(
            vec!["x-id=GetObject", "partNumber=17", "uploadId=a%2Fb~c", "uploads", "versionId=", "A=1", "a=1"],
            0..=7,
        )
        .prop_shuffle();
        (base, any::<String>(), query).prop_map(|(base, key, query)| {
            let mut url = format!("{base}/");
            crate::encode::push_path(&mut url, &key);
            for (index, part) in query.iter().enumerate() {
                url.push(if index == 0 { '?' } else { '&' });
                url.push_str(part);
            }
            url
        })
    }

    proptest! {
        #[test]
        fn the_signature_is_that_of_aws_sigv4(
            url in url(),
            headers in headers_of_a_request(),
            method in prop_oneof![Just("GET"), Just("PUT"), Just("POST"), Just("DELETE"), Just("HEAD")],
            payload in prop_oneof![
                Just(Payload::None),
                Just(Payload::Unsigned { content_length: 7 }),
                Just(Payload::UnsignedTrailer { decoded_length: 7, algorithm: xfer_core::checksum::Algorithm::Crc32 }),
            ],
            token in proptest::option::of("[A-Za-z0-9+/=]{1,80}"),
            session in any::<bool>(),
            seconds in 0_u64..4_102_444_800,
        ) {
            let credentials = aws_credential_types::Credentials::new("AKID", "a secret/+", token, None, "a test");
            let identity = Identity::new(credentials);
            let (name, region) = ("s3".to_owned(), "eu-central-1".to_owned());
            let scheme = if session { Scheme::Express { name, region } } else { Scheme::V4 { name, region } };
            let request = Unsigned { method, url: &url, headers: &headers, payload };
            let now = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            let theirs = sorted(by_the_library(&request, &scheme, &identity, now));
            prop_assert_eq!(&sorted(super::super::headers(&request, &scheme, &identity, now).unwrap()), &theirs);
            // Once more, with the key that is kept now.
            prop_assert_eq!(&sorted(super::super::headers(&request, &scheme, &identity, now).unwrap()), &theirs);
        }
    }

    #[test]
    fn a_day_later_and_in_another_region_the_key_is_another() {
        let identity = Identity::new(aws_credential_types::Credentials::new("AKID", "secret", None, None, "a test"));
        let request = Unsigned { method: "GET", url: "https://a.example/k", headers: &[], payload: Payload::None };
        for region in ["us-east-1", "eu-west-1", "us-east-1"] {
            for day in [20_000, 20_001, 20_000] {
                let scheme = Scheme::V4 { name: "s3".to_owned(), region: region.to_owned() };
                let now = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(day * 86_400);
                let ours = super::super::headers(&request, &scheme, &identity, now).unwrap();
                assert_eq!(sorted(ours), sorted(by_the_library(&request, &scheme, &identity, now)));
            }
        }
    }
}
