use super::client::raw;
use crate::TestServer;

const BUCKET: &str = "data--use1-az4--x-s3";

/// An Authorization header as S3 Express clients send it; the server does not check its signature.
fn authorization(access_key: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential={access_key}/20300101/us-east-1/s3express/aws4_request, SignedHeaders=host, Signature=00"
    )
}

fn tag(body: &str, name: &str) -> String {
    let start = body.find(&format!("<{name}>")).unwrap() + name.len() + 2;
    body[start..body.find(&format!("</{name}>")).unwrap()].to_owned()
}

#[test]
fn a_session_admits_requests_until_it_is_revoked() {
    let server = TestServer::start();
    server.create_bucket(BUCKET);
    let stranger = authorization("somebody-else");
    assert_ne!(raw(&server, "GET", &format!("/{BUCKET}?session"), &[("authorization", &stranger)], b"").status, 200);
    let own = authorization(server.access_key());
    let answer = raw(&server, "GET", &format!("/{BUCKET}?session"), &[("authorization", &own)], b"");
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    let body = String::from_utf8(answer.body).unwrap();
    let (access_key, token) = (tag(&body, "AccessKeyId"), tag(&body, "SessionToken"));
    let session = authorization(&access_key);
    let put = |token: &str| {
        let headers = [("authorization", session.as_str()), ("x-amz-s3session-token", token), ("content-length", "5")];
        raw(&server, "PUT", &format!("/{BUCKET}/k"), &headers, b"hello").status
    };
    assert_eq!(put(&token), 200);
    assert_eq!(server.object(BUCKET, "k").unwrap().bytes(), "hello");
    assert_ne!(put("token-made-up"), 200);
    server.revoke_sessions();
    assert_ne!(put(&token), 200);
}
