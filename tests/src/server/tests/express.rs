//! Signatures of other kinds than the plain one, made by the library that clients use and judged by the server's own reading of the rules.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PercentEncodingMode, SignableBody, SignableRequest, SigningParams, SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::{v4, v4a};

use super::client::{RawAnswer, raw};
use crate::{ServerHandle, TestProxy, TestServer};

const BUCKET: &str = "data--use1-az4--x-s3";
const DOMAIN: &str = "s3express-use1-az4.us-east-1.amazonaws.com";
const ACCESS_POINT: &str = "alias.mrap.accesspoint.s3-global.amazonaws.com";

type Headers = Vec<(String, String)>;

#[derive(Clone, Copy)]
enum Kind {
    Express,
    Asymmetric,
}

/// One signed request, its headers changed after signing by `meddle`.
fn send(
    server: &ServerHandle,
    kind: Kind,
    credentials: &Credentials,
    (method, host, target): (&str, &str, &str),
    headers: &[(&str, &str)],
    meddle: impl FnOnce(&mut Headers),
) -> RawAnswer {
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    let identity = credentials.clone().into();
    let params: SigningParams<'_> = match kind {
        Kind::Express => {
            settings.session_token_name_override = Some("x-amz-s3session-token");
            let params = v4::SigningParams::builder().identity(&identity).region("us-east-1").name("s3express");
            params.time(SystemTime::now()).settings(settings).build().unwrap().into()
        }
        Kind::Asymmetric => {
            let params = v4a::SigningParams::builder().identity(&identity).region_set("*").name("s3");
            params.time(SystemTime::now()).settings(settings).build().unwrap().into()
        }
    };
    let all: Vec<_> = [("host", host), ("x-amz-content-sha256", "UNSIGNED-PAYLOAD")]
        .into_iter()
        .chain(headers.iter().copied())
        .collect();
    let uri = format!("https://{host}{target}");
    let body = SignableBody::UnsignedPayload;
    let request = SignableRequest::new(method, uri, all.iter().copied(), body).unwrap();
    let (instructions, _) = sign(request, &params).unwrap().into_parts();
    let mut signed: Headers = all.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let (added, _) = instructions.into_parts();
    signed.extend(added.iter().map(|header| (header.name().to_owned(), header.value().to_owned())));
    // In absolute form the host is in the target.
    signed.retain(|(name, _)| name != "host");
    meddle(&mut signed);
    let signed: Vec<_> = signed.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    raw(server, method, &format!("http://{host}{target}"), &signed, b"hello")
}

fn tag(body: &str, name: &str) -> String {
    let start = body.find(&format!("<{name}>")).unwrap() + name.len() + 2;
    body[start..body.find(&format!("</{name}>")).unwrap()].to_owned()
}

fn code(answer: &RawAnswer) -> (u16, String) {
    (answer.status, tag(&String::from_utf8_lossy(&answer.body), "Code"))
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[test]
fn a_session_admits_requests_to_its_bucket_until_it_ends() {
    let server = TestServer::builder().virtual_host_domain(DOMAIN).start();
    server.create_bucket(BUCKET);
    let host = &*format!("{BUCKET}.{DOMAIN}");
    let create = |key: &str, secret: &str| {
        let keys = Credentials::from_keys(key, secret, None);
        send(&server, Kind::Express, &keys, ("GET", host, "/?session="), &[], |_| {})
    };
    assert_eq!(code(&create("stranger", "secret")), refused(403, "InvalidAccessKeyId"));
    assert_eq!(code(&create(server.access_key(), "wrong")), refused(403, "SignatureDoesNotMatch"));
    let session = || {
        let answer = create(server.access_key(), server.secret_key());
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        let body = String::from_utf8(answer.body).unwrap();
        let token = Some(tag(&body, "SessionToken"));
        Credentials::from_keys(tag(&body, "AccessKeyId"), tag(&body, "SecretAccessKey"), token)
    };
    let put = |keys: &Credentials, headers: &[(&str, &str)]| {
        let headers: Vec<_> = headers.iter().copied().chain([("content-length", "5")]).collect();
        send(&server, Kind::Express, keys, ("PUT", host, "/k%20k"), &headers, |_| {})
    };
    let keys = session();
    assert_eq!(put(&keys, &[]).status, 200);
    assert_eq!(server.object(BUCKET, "k k").unwrap().bytes(), "hello");
    assert_eq!(code(&put(&keys, &[("x-amz-acl", "private")])), refused(501, "NotImplemented"));
    assert_eq!(code(&put(&keys, &[("x-amz-server-side-encryption", "aws:kms")])), refused(400, "InvalidRequest"));
    let own = Credentials::from_keys(server.access_key(), server.secret_key(), None);
    assert_eq!(code(&put(&own, &[])), refused(403, "AccessDenied"));
    let made_up = Credentials::from_keys(keys.access_key_id(), keys.secret_access_key(), Some("token".to_owned()));
    assert_eq!(code(&put(&made_up, &[])), refused(400, "InvalidToken"));
    let wrong = keys.session_token().map(str::to_owned);
    let wrong = Credentials::from_keys(keys.access_key_id(), "wrong", wrong);
    assert_eq!(code(&put(&wrong, &[])), refused(403, "SignatureDoesNotMatch"));
    let by_path = ("PUT", &*server.address().to_string(), &*format!("/{BUCKET}/k"));
    let answer = send(&server, Kind::Express, &keys, by_path, &[("content-length", "5")], |_| {});
    assert_eq!(code(&answer), refused(400, "InvalidRequest"));
    server.revoke_sessions();
    assert_eq!(code(&put(&keys, &[])), refused(400, "ExpiredToken"));
    server.set_session_lifetime(Duration::ZERO);
    assert_eq!(code(&put(&session(), &[])), refused(400, "ExpiredToken"));
}

#[test]
fn asymmetric_signatures_are_judged_by_the_key_of_the_secret() {
    let server = TestServer::builder().access_point(ACCESS_POINT, "bucket").start();
    let put = |secret: &str, meddle: &dyn Fn(&mut Headers)| {
        let keys = Credentials::from_keys(server.access_key(), secret, None);
        let headers = [("content-length", "5"), ("x-amz-meta-a", "b")];
        send(&server, Kind::Asymmetric, &keys, ("PUT", ACCESS_POINT, "/k?x-id=PutObject"), &headers, |h| meddle(h))
    };
    assert_eq!(put(server.secret_key(), &|_| {}).status, 200);
    assert_eq!(server.object("bucket", "k").unwrap().metadata()["a"], "b");
    let mismatch = refused(403, "SignatureDoesNotMatch");
    assert_eq!(code(&put("wrong", &|_| {})), mismatch);
    let set = |headers: &mut Headers, name: &str, value: &str| {
        headers.retain(|(known, _)| known != name);
        headers.push((name.to_owned(), value.to_owned()));
    };
    assert_eq!(
        code(&put(server.secret_key(), &|headers| set(headers, "x-amz-meta-a", "c"))),
        mismatch,
        "another value"
    );
    assert_eq!(
        code(&put(server.secret_key(), &|headers| set(headers, "x-amz-meta-d", "e"))),
        mismatch,
        "one not signed"
    );
    assert_eq!(code(&put(server.secret_key(), &|headers| set(headers, "x-amz-region-set", "eu-*"))), mismatch);
}

#[test]
fn a_proxy_leads_to_the_server_by_any_name() {
    let server = TestServer::builder().auth(false).virtual_host_domain("s3.test").start();
    server.put_object("bucket", "k", "through a proxy");
    let proxy = TestProxy::to(server.address());
    let mut stream = std::net::TcpStream::connect(proxy.url().strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let request = "GET http://bucket.s3.test/k HTTP/1.1\r\nHost: elsewhere\r\nConnection: close\r\n\r\n";
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    std::io::Read::read_to_end(&mut stream, &mut answer).unwrap();
    assert_eq!(super::client::parse(&answer).body, b"through a proxy");
    assert_eq!(proxy.asked_for(), ["bucket.s3.test"]);
}
