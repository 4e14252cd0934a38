//! What lies between a client and its store: TLS with authorities known and unknown, proxies, names, and buckets in other regions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::peers::{Answer, Asked, Peer, Refusing};
use common::{LIMIT, PART, child, client_of, kind, manager_of, quick_retries};
use xfer_facade::{
    DownloadTarget, ErrorKind, ProxyPolicy, RetryPolicy, S3Client, S3ClientBuilder, TransferManager, TransferOutcome,
    Verify, create_s3_client,
};
use xfer_tests::{TestServer, TestServerBuilder, pattern};

/// Not a test of its own: what children do.
#[test]
fn child() {
    match child::task().as_deref() {
        Some("transfer") => {
            let manager = manager_of(&create_s3_client("").path_style(true).retry(quick_retries()).build().unwrap());
            let upload = manager.upload(&b"x"[..], "bucket", "k").start().unwrap();
            child::say(upload.result(LIMIT).map_or_else(|error| format!("{error:?}"), |_| "stored".to_owned()));
        }
        Some(other) => panic!("no task {other}"),
        None => {}
    }
}

/// Parts up and down, and a delete.
fn there_and_back(client: &S3Client) {
    let manager = manager_of(client);
    let size = 2 * PART + 3;
    manager.upload(pattern::bytes(1, size as usize), "bucket", "k").start().unwrap().result(LIMIT).unwrap();
    let down = manager.download("bucket", "k", DownloadTarget::memory()).start().unwrap().result(LIMIT).unwrap();
    pattern::check(1, 0, &down.body.unwrap()).unwrap();
    manager.delete("bucket", "k").start().unwrap().result(LIMIT).unwrap();
}

/// An upload with a client; its error if it has one.
fn upload(client: S3ClientBuilder) -> Result<TransferOutcome, xfer_facade::Error> {
    let client = client.retry(RetryPolicy { max_attempts: 2, ..quick_retries() }).build().unwrap();
    manager_of(&client).upload(&b"x"[..], "bucket", "k").start().unwrap().result(LIMIT)
}

fn tls_server() -> TestServer {
    TestServer::builder().tls().fast_etags().start()
}

/// The authority that the server's certificate is of.
fn bundle(server: &TestServer) -> Verify {
    Verify::CaBundle(server.ca_pem_path().unwrap().into())
}

#[test]
fn certificates_are_verified_as_asked() {
    let (server, other) = (tls_server(), tls_server());
    // By an authority of one's own.
    there_and_back(&client_of(&server).verify(bundle(&server)).build().unwrap());
    // Not at all.
    there_and_back(&client_of(&server).verify(Verify::Disabled).build().unwrap());
    // By those of the system, which do not know this one; which is the default as well; and by another authority.
    for client in
        [client_of(&server).verify(Verify::System), client_of(&server), client_of(&server).verify(bundle(&other))]
    {
        let error = upload(client).unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Tls, 1), "it is not tried again: {error}");
        assert!(error.to_string().contains("check the endpoint URL, and which certificates are trusted"), "{error}");
        assert_eq!(error.at().bucket.as_deref(), Some("bucket"));
    }
    // No TLS at all.
    let plain = TestServer::start();
    let error = upload(client_of(&plain).endpoint_url(format!("https://{}", plain.address()))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
}

const USER: &str = "proxy-user:proxy-p%40ssword";

fn authorization() -> String {
    format!("Basic {}", STANDARD.encode("proxy-user:proxy-p@ssword"))
}

fn through(proxy: &Peer, user: &str, no_proxy: &str) -> ProxyPolicy {
    let at = if user.is_empty() { "" } else { "@" };
    ProxyPolicy::Explicit { url: format!("http://{user}{at}{}", proxy.authority()), no_proxy: no_proxy.to_owned() }
}

#[test]
fn plain_requests_are_forwarded_by_a_proxy() {
    let server = TestServer::builder().fast_etags().start();
    let proxy = Peer::proxy(Some(&authorization()));
    there_and_back(&client_of(&server).proxy(through(&proxy, USER, "")).build().unwrap());
    let seen = proxy.asked();
    assert_eq!(seen.len() as u64, server.stats().total(), "everything went through it");
    assert!(seen.iter().all(|asked| asked.target.starts_with(&format!("{}/bucket/", server.endpoint_url()))));
    for request in server.requests() {
        assert!(!request.headers.contains_key("proxy-authorization"), "the store was told the proxy's password");
    }
}

#[test]
fn requests_over_tls_go_through_a_tunnel_of_a_proxy() {
    let server = tls_server();
    let proxy = Peer::proxy(Some(&authorization()));
    let client = client_of(&server).verify(bundle(&server)).proxy(through(&proxy, USER, ""));
    there_and_back(&client.build().unwrap());
    let seen = proxy.asked();
    let authority = server.address().to_string();
    assert!(seen.iter().all(|asked| asked.method == "CONNECT" && asked.target == authority), "{seen:?}");
    assert_eq!(seen.len() as u64, server.stats().connections_accepted, "every connection went through it");
    // What is in the tunnel is verified as without one.
    let error = upload(client_of(&server).proxy(through(&proxy, USER, ""))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
}

#[test]
fn a_proxy_that_refuses_says_so_without_its_password() {
    let (plain, tls) = (TestServer::start(), tls_server());
    let proxy = Peer::proxy(Some("Basic of somebody else"));
    for user in ["", USER] {
        let error = upload(client_of(&tls).verify(bundle(&tls)).proxy(through(&proxy, user, ""))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
        assert!(error.to_string().contains("it answered CONNECT with status 407"), "{error}");
        let forwarded = upload(client_of(&plain).proxy(through(&proxy, user, ""))).unwrap_err();
        assert_eq!(forwarded.service().unwrap().status, 407, "{forwarded}");
        for text in [format!("{error:?}"), format!("{forwarded:?}")] {
            assert!(!text.contains("p@ssword") && !text.contains("p%40ssword") && !text.contains("Basic"), "{text}");
        }
    }
    assert_eq!(plain.stats().total() + tls.stats().total(), 0);
    // One that is not there.
    let gone = Refusing::new();
    let policy = ProxyPolicy::Explicit { url: format!("http://{}", gone.authority()), no_proxy: String::new() };
    let error = upload(client_of(&plain).proxy(policy)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
}

#[test]
fn hosts_that_are_excepted_are_reached_without_the_proxy() {
    let server = TestServer::start();
    let proxy = Peer::proxy(None);
    for no_proxy in ["127.0.0.1", "*", &format!("other.example,127.0.0.1:{}", server.address().port())] {
        upload(client_of(&server).proxy(through(&proxy, "", no_proxy))).unwrap();
    }
    assert_eq!(proxy.accepted(), 0);
    for no_proxy in ["", "127.0.0.2", "0.0.1", "127.0.0.1:1"] {
        let before = proxy.accepted();
        upload(client_of(&server).proxy(through(&proxy, "", no_proxy))).unwrap();
        assert!(proxy.accepted() > before, "{no_proxy:?}");
    }
}

#[test]
fn the_environment_names_the_proxies() {
    let start = |server: TestServerBuilder| server.credentials("AKID", "secret").start();
    let plain = start(TestServer::builder());
    let proxy = Peer::proxy(Some(&authorization()));
    let url = format!("http://{USER}@{}", proxy.authority());
    let (endpoint, port) = (plain.endpoint_url(), plain.address().port().to_string());
    let run = |more: &[(&'static str, &str)]| {
        let before = proxy.asked().len();
        let common = [
            ("AWS_REGION", plain.region()),
            ("AWS_ENDPOINT_URL", &*endpoint),
            ("AWS_ACCESS_KEY_ID", "AKID"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
        ];
        let environment: Vec<_> = common.into_iter().chain(more.iter().copied()).collect();
        assert_eq!(child::run("transfer", &environment), ["stored"], "{more:?}");
        proxy.asked().len() - before
    };
    assert_eq!(run(&[("HTTP_PROXY", &url)]), 1);
    assert_eq!(run(&[("http_proxy", &url)]), 1);
    assert_eq!(run(&[("ALL_PROXY", &url)]), 1);
    assert_eq!(run(&[("HTTPS_PROXY", &url)]), 0, "that is for TLS");
    assert_eq!(run(&[("HTTP_PROXY", &url), ("NO_PROXY", "127.0.0.1")]), 0);
    assert_eq!(run(&[("HTTP_PROXY", &url), ("no_proxy", &format!("127.0.0.1:{port}"))]), 0);
    assert_eq!(run(&[]), 0);
    // With TLS a tunnel: the child trusts nobody here, and says so behind the tunnel.
    let tls = start(TestServer::builder().tls());
    let before = proxy.asked().len();
    let said = child::run(
        "transfer",
        &[
            ("AWS_REGION", tls.region()),
            ("AWS_ENDPOINT_URL", &*tls.endpoint_url()),
            ("AWS_ACCESS_KEY_ID", "AKID"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("HTTPS_PROXY", &*url),
        ],
    );
    assert!(said[0].contains("kind: Tls"), "{said:?}");
    assert_eq!(proxy.asked()[before..].iter().map(|asked| &*asked.method).collect::<Vec<_>>(), ["CONNECT"]);
}

#[test]
fn a_name_that_leads_nowhere_is_the_end_of_a_transfer() {
    // No label of a name may have more than 63 characters: the resolver knows that without asking anybody.
    let nowhere = format!("http://{}.invalid", "x".repeat(64));
    let client = create_s3_client("us-east-1").anonymous().path_style(true).proxy(ProxyPolicy::None);
    let begun = Instant::now();
    let error = upload(client.endpoint_url(nowhere)).unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Dns, 2), "{error}");
    assert_eq!((error.at().bucket.as_deref(), error.at().key.as_deref()), (Some("bucket"), Some("k")));
    assert!(error.to_string().contains("xxx.invalid"), "{error}");
    assert!(!error.to_string().contains("path style"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn a_bucket_in_a_host_name_that_leads_nowhere_is_said() {
    let nowhere = format!("http://{}.invalid", "x".repeat(64));
    let client = create_s3_client("us-east-1").anonymous().proxy(ProxyPolicy::None);
    let error = upload(client.endpoint_url(nowhere)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Dns);
    assert!(error.to_string().contains("many stores other than AWS need path style"), "{error}");
}

/// A store whose bucket is in eu-west-1 and that answers `elsewhere` to requests signed for another region.
fn store_of_eu_west_1(elsewhere: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Peer {
    Peer::server(move |asked| match (&*asked.method, asked.signed_by()) {
        (_, Some((_, region))) if region != "eu-west-1" => elsewhere(asked),
        ("PUT", Some(_)) => Answer::new(200).header("etag", "\"tag\""),
        ("GET", Some(_)) => {
            Answer::new(206).header("content-range", "bytes 0-9/10").header("etag", "\"tag\"").body("ten bytes!")
        }
        ("HEAD", Some(_)) => Answer::new(200).header("etag", "\"tag\"").body("ten bytes!"),
        ("DELETE", Some(_)) => Answer::new(204),
        _ => Answer::new(403),
    })
}

/// A manager of a client that takes that store for one of us-east-1.
fn manager_in_us_east_1(store: &Peer) -> TransferManager {
    let keys = aws_credential_types::Credentials::from_keys("AKID", "secret", None);
    let client = create_s3_client("us-east-1").endpoint_url(store.url()).path_style(true).credentials(keys);
    manager_of(&client.proxy(ProxyPolicy::None).retry(quick_retries()).build().unwrap())
}

const HINT: &str = "x-amz-bucket-region";

/// How a store says that a bucket is elsewhere.
type Redirect = fn() -> Answer;

#[test]
fn a_bucket_in_another_region_is_followed_there() {
    let answers: [(&str, Redirect); 5] = [
        ("301", || Answer::refusal(301, "PermanentRedirect", "").header(HINT, "eu-west-1")),
        ("307", || Answer::refusal(307, "TemporaryRedirect", "").header(HINT, "eu-west-1")),
        ("307 without a body", || Answer::new(307).header(HINT, "eu-west-1")),
        ("400", || Answer::refusal(400, "AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>")),
        ("400 of another region", || {
            Answer::refusal(400, "IllegalLocationConstraintException", "").header(HINT, "eu-west-1")
        }),
    ];
    for (what, answer) in answers {
        for call in ["upload", "download", "delete"] {
            let store = store_of_eu_west_1(move |_| answer());
            let manager = manager_in_us_east_1(&store);
            let transfer = || match call {
                "upload" => manager.upload(&b"ten bytes!"[..], "bucket", "k"),
                "download" => manager.download("bucket", "k", DownloadTarget::memory()),
                _ => manager.delete("bucket", "k"),
            };
            let first =
                transfer().start().unwrap().result(LIMIT).unwrap_or_else(|error| panic!("{what}, {call}: {error}"));
            assert_eq!(first.retries, 1, "{what}, {call}");
            if call == "download" {
                assert_eq!(first.body.unwrap(), "ten bytes!");
            }
            // What was learnt is kept.
            transfer().start().unwrap().result(LIMIT).unwrap();
            let asked = store.asked();
            let regions: Vec<&str> = asked.iter().map(|asked| asked.signed_by().unwrap().1).collect();
            assert_eq!(regions[0], "us-east-1", "{what}, {call}");
            assert!(regions[1..].iter().all(|region| *region == "eu-west-1"), "{what}, {call}: {regions:?}");
        }
    }
}

#[test]
fn the_host_of_aws_follows_the_region() {
    // Stands for all hosts of AWS: a proxy is told the whole URL, and no name is resolved here.
    let aws = store_of_eu_west_1(|_| Answer::refusal(301, "PermanentRedirect", "").header(HINT, "eu-west-1"));
    let keys = aws_credential_types::Credentials::from_keys("AKID", "secret", None);
    let proxy = ProxyPolicy::Explicit { url: aws.url(), no_proxy: String::new() };
    let client = create_s3_client("us-east-1").use_ssl(false).credentials(keys).proxy(proxy).build().unwrap();
    manager_of(&client).delete("bucket", "k").start().unwrap().result(LIMIT).unwrap();
    let targets: Vec<String> = aws.asked().into_iter().map(|asked| asked.target).collect();
    assert_eq!(
        targets.iter().map(|target| target.split("?").next().unwrap()).collect::<Vec<_>>(),
        ["http://bucket.s3.us-east-1.amazonaws.com/k", "http://bucket.s3.eu-west-1.amazonaws.com/k"]
    );
}

#[test]
fn regions_that_point_to_each_other_are_not_followed_for_ever() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let store = Peer::server(move |asked| {
        counter.fetch_add(1, Ordering::SeqCst);
        let other = if asked.signed_by().unwrap().1 == "us-east-1" { "eu-west-1" } else { "us-east-1" };
        Answer::refusal(301, "PermanentRedirect", "").header(HINT, other)
    });
    let manager = manager_in_us_east_1(&store);
    let error = manager.upload(&b"x"[..], "bucket", "k").start().unwrap().result(LIMIT).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongRegion, "{error}");
    assert!(asked.load(Ordering::SeqCst) <= 4, "{} requests", asked.load(Ordering::SeqCst));
    let text = error.to_string();
    assert!(text.contains("; region ") && text.contains("make the client for the bucket's region"), "{text}");
}

#[test]
fn a_redirect_that_names_no_region_is_the_end_of_the_transfer() {
    let refusals: [(Redirect, ErrorKind); 3] = [
        (|| Answer::refusal(301, "PermanentRedirect", ""), ErrorKind::WrongRegion),
        (|| Answer::new(307).header("location", "http://elsewhere.example/"), ErrorKind::WrongRegion),
        (|| Answer::refusal(400, "AuthorizationHeaderMalformed", ""), ErrorKind::AccessDenied),
    ];
    for (answer, expected) in refusals {
        let store = store_of_eu_west_1(move |_| answer());
        let manager = manager_in_us_east_1(&store);
        let result = manager.delete("bucket", "k").start().unwrap().result(LIMIT);
        assert_eq!(kind(result), expected);
        assert!(store.asked().len() <= 4, "{} requests", store.asked().len());
    }
}
