//! Where credentials come from, and what becomes of transfers when they expire, fail, hang or are nowhere.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, Result as Provided, future};
use common::peers::{Answer, Peer};
use common::{Bed, LIMIT, PART, child, client_of, kind, manager_of, quick_retries};
use parking_lot::Mutex;
use xfer_facade::{Error, ErrorKind, ProxyPolicy, S3ClientBuilder, TransferOutcome, create_s3_client};
use xfer_tests::{Action, Fault, FaultRule, Op, TestServer};

/// Not a test of its own: what children do.
#[test]
fn child() {
    match child::task().as_deref() {
        Some("upload") => {
            let client = create_s3_client("").path_style(true).proxy(ProxyPolicy::None).retry(quick_retries());
            let manager = manager_of(&client.build().unwrap());
            let uploads = ["a", "b", "c"].map(|key| manager.upload(&b"x"[..], "bucket", key).start().unwrap());
            for upload in uploads {
                child::say(upload.result(LIMIT).map_or_else(|error| format!("{error:?}"), |_| "stored".to_owned()));
            }
        }
        Some(other) => panic!("no task {other}"),
        None => {}
    }
}

/// A server that takes these keys only, and that a child finds by the environment.
fn server() -> (TestServer, [(&'static str, String); 2]) {
    let server = TestServer::builder().credentials("AKIDRIGHT", "right-secret").start();
    let found_by = [("AWS_ENDPOINT_URL", server.endpoint_url()), ("AWS_REGION", server.region().to_owned())];
    (server, found_by)
}

/// Uploads in a child that has this environment besides that server's.
fn upload_with(found_by: &[(&'static str, String); 2], more: &[(&'static str, &str)]) -> Vec<String> {
    let more = more.iter().map(|(name, value)| (*name, (*value).to_owned()));
    child::run("upload", &found_by.iter().cloned().chain(more).collect::<Vec<_>>())
}

const STORED: [&str; 3] = ["stored"; 3];

/// The session tokens that the server has seen.
fn tokens(server: &TestServer) -> Vec<String> {
    let mut tokens: Vec<String> =
        server.requests().iter().filter_map(|request| request.headers.get("x-amz-security-token").cloned()).collect();
    tokens.dedup();
    tokens
}

#[test]
fn those_of_the_environment_sign() {
    let (server, found_by) = server();
    let keys = [("AWS_ACCESS_KEY_ID", "AKIDRIGHT"), ("AWS_SECRET_ACCESS_KEY", "right-secret")];
    assert_eq!(upload_with(&found_by, &keys), STORED);
    assert_eq!(tokens(&server), [""; 0]);
    let with_token: Vec<_> = keys.into_iter().chain([("AWS_SESSION_TOKEN", "environments-token")]).collect();
    assert_eq!(upload_with(&found_by, &with_token), STORED);
    assert_eq!(tokens(&server), ["environments-token"]);
}

#[test]
fn those_of_a_profile_sign_and_those_of_the_environment_come_before_them() {
    let (server, found_by) = server();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let right = file("right", "[default]\naws_access_key_id = AKIDRIGHT\naws_secret_access_key = right-secret\n");
    let wrong = file("wrong", "[default]\naws_access_key_id = AKIDWRONG\naws_secret_access_key = wrong-secret\n");
    let other = file("other", "[other]\naws_access_key_id = AKIDRIGHT\naws_secret_access_key = right-secret\n");
    assert_eq!(upload_with(&found_by, &[("AWS_SHARED_CREDENTIALS_FILE", &right)]), STORED);
    let profile = [("AWS_SHARED_CREDENTIALS_FILE", &*other), ("AWS_PROFILE", "other")];
    assert_eq!(upload_with(&found_by, &profile), STORED);
    let said = upload_with(&found_by, &[("AWS_SHARED_CREDENTIALS_FILE", &wrong)]);
    assert!(said[0].contains("access denied") && !said[0].contains("wrong-secret"), "{said:?}");
    let environment = [
        ("AWS_SHARED_CREDENTIALS_FILE", &*wrong),
        ("AWS_ACCESS_KEY_ID", "AKIDRIGHT"),
        ("AWS_SECRET_ACCESS_KEY", "right-secret"),
    ];
    assert_eq!(upload_with(&found_by, &environment), STORED);
    assert_eq!(server.list_keys("bucket"), ["a", "b", "c"]);
}

/// What the metadata services say of the right keys.
fn metadata(token: &str) -> Answer {
    let json = format!(
        "{{\"Code\": \"Success\", \"Type\": \"AWS-HMAC\", \"AccessKeyId\": \"AKIDRIGHT\", \"SecretAccessKey\": \"right-secret\", \
         \"Token\": \"{token}\", \"LastUpdated\": \"2026-01-01T00:00:00Z\", \"Expiration\": \"2099-01-01T00:00:00Z\"}}"
    );
    Answer::new(200).header("content-type", "application/json").body(json)
}

#[test]
fn those_of_a_container_sign() {
    let (server, found_by) = server();
    let service = Peer::server(|asked| match (&*asked.target, asked.header("authorization")) {
        ("/role", Some("containers-word")) => metadata("containers-token"),
        _ => Answer::new(403),
    });
    let url = format!("{}/role", service.url());
    let environment =
        [("AWS_CONTAINER_CREDENTIALS_FULL_URI", &*url), ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "containers-word")];
    assert_eq!(upload_with(&found_by, &environment), STORED);
    assert_eq!(tokens(&server), ["containers-token"]);
    assert_eq!(service.asked().len(), 1, "asked once for all transfers");
    // Refused there, and no other place knows any.
    let said = upload_with(&found_by, &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url)]);
    assert!(said.iter().all(|line| line.contains("kind: Credentials")), "{said:?}");
}

#[test]
fn those_of_the_instances_role_sign() {
    let (server, found_by) = server();
    let service = Peer::server(|asked| {
        let folder = "/latest/meta-data/iam/security-credentials/";
        match (&*asked.method, &*asked.target) {
            ("PUT", "/latest/api/token") => {
                Answer::new(200).header("x-aws-ec2-metadata-token-ttl-seconds", "21600").body("metadatas-word")
            }
            // Nothing is told to who does not know the word.
            _ if asked.header("x-aws-ec2-metadata-token") != Some("metadatas-word") => Answer::new(401),
            ("GET", target) if target == folder => Answer::new(200).body("the-role"),
            ("GET", target) if target.strip_prefix(folder) == Some("the-role") => metadata("instances-token"),
            _ => Answer::new(404),
        }
    });
    let environment = [("AWS_EC2_METADATA_DISABLED", "false"), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &*service.url())];
    assert_eq!(upload_with(&found_by, &environment), STORED);
    assert_eq!(tokens(&server), ["instances-token"]);
}

#[test]
fn those_of_a_web_identity_sign() {
    let (server, found_by) = server();
    let service = Peer::server(|asked| {
        let body = String::from_utf8_lossy(&asked.body);
        let known = ["Action=AssumeRoleWithWebIdentity", "WebIdentityToken=identitys-word", "the-role"];
        if !known.iter().all(|words| body.contains(words)) {
            return Answer::new(403);
        }
        Answer::new(200).header("content-type", "text/xml").body(
            "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleWithWebIdentityResult>\
             <Credentials><AccessKeyId>AKIDRIGHT</AccessKeyId><SecretAccessKey>right-secret</SecretAccessKey>\
             <SessionToken>identitys-token</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>\
             </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>",
        )
    });
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "identitys-word").unwrap();
    let environment = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/the-role"),
        ("AWS_ENDPOINT_URL_STS", &*service.url()),
    ];
    assert_eq!(upload_with(&found_by, &environment), STORED);
    assert_eq!(tokens(&server), ["identitys-token"]);
}

#[test]
fn those_that_a_program_of_the_profile_tells_sign() {
    let (server, found_by) = server();
    let folder = tempfile::tempdir().unwrap();
    let told = folder.path().join("told");
    let json = "{\"Version\": 1, \"AccessKeyId\": \"AKIDRIGHT\", \"SecretAccessKey\": \"right-secret\", \"SessionToken\": \"programs-token\"}";
    std::fs::write(&told, json).unwrap();
    let config = folder.path().join("config");
    std::fs::write(&config, format!("[default]\ncredential_process = /bin/cat {}\n", told.display())).unwrap();
    assert_eq!(upload_with(&found_by, &[("AWS_CONFIG_FILE", config.to_str().unwrap())]), STORED);
    assert_eq!(tokens(&server), ["programs-token"]);
}

#[test]
fn none_at_all_is_the_end_of_the_transfer() {
    let (server, found_by) = server();
    let said = upload_with(&found_by, &[]);
    assert_eq!(said.len(), 3);
    for (line, key) in said.iter().zip(["a", "b", "c"]) {
        assert!(line.starts_with("Error { kind: Credentials, no usable credentials: none found; looked in"), "{line}");
        assert!(line.contains("the environment, the profile files"), "where was looked: {line}");
        assert!(line.contains(&format!("(PutObject, s3://bucket/{key})")), "for what: {line}");
    }
    assert_eq!(server.stats().total(), 0, "nothing was sent without");
}

#[test]
fn an_anonymous_client_signs_nothing() {
    let server = TestServer::builder().auth(false).start();
    let client = client_of(&server).anonymous().build().unwrap();
    let manager = manager_of(&client);
    manager.upload(&b"x"[..], "bucket", "k").start().unwrap().result(LIMIT).unwrap();
    assert!(server.requests().iter().all(|request| !request.headers.contains_key("authorization")));
    // Whoever wants signatures refuses it.
    let strict = TestServer::start();
    let manager = manager_of(&client_of(&strict).anonymous().build().unwrap());
    let refused = manager.upload(&b"x"[..], "bucket", "k").start().unwrap().result(LIMIT);
    assert_eq!(kind(refused), ErrorKind::AccessDenied);
}

/// A provider that does what a closure says, with the number of the call, from 1.
struct Provider<F> {
    calls: Arc<AtomicUsize>,
    call: F,
}

impl<F> Provider<F> {
    fn new(call: F) -> Provider<F> {
        Provider { calls: Arc::default(), call }
    }

    fn calls(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.calls)
    }
}

impl<F> fmt::Debug for Provider<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Provider")
    }
}

impl<F: Fn(usize) -> Provided + Send + Sync> ProvideCredentials for Provider<F> {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let number = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        future::ProvideCredentials::new(async move { (self.call)(number) })
    }
}

/// The right keys of a server, with a token that tells the call they came from.
fn keys(server: &TestServer, number: usize, expiry: Option<SystemTime>) -> Credentials {
    let token = Some(format!("token-{number}"));
    Credentials::new(server.access_key(), server.secret_key(), token, expiry, "test")
}

/// A bed whose client has this provider; the provider is made when the server is there.
fn bed_with<P: ProvideCredentials + 'static>(
    provider: impl FnOnce(&TestServer) -> P,
    more: impl FnOnce(S3ClientBuilder) -> S3ClientBuilder,
) -> Bed {
    let server = TestServer::builder().fast_etags().start();
    let client = more(client_of(&server).credentials(provider(&server))).build().unwrap();
    let manager = manager_of(&client);
    Bed { manager, client, server, folder: tempfile::tempdir().unwrap() }
}

#[test]
fn a_provider_of_ones_own_is_asked_once_for_all_transfers() {
    let calls = Arc::new(Mutex::new(None));
    let bed = bed_with(
        |server| {
            let keys = keys(server, 1, None);
            let provider = Provider::new(move |_| Ok(keys.clone()));
            *calls.lock() = Some(provider.calls());
            provider
        },
        |client| client.num_threads(2),
    );
    let uploads: Vec<_> = (0..20)
        .map(|number| bed.manager.upload(&b"x"[..], bed.bucket(), &format!("{number}")).start().unwrap())
        .collect();
    for upload in uploads {
        upload.result(LIMIT).unwrap();
    }
    assert_eq!(calls.lock().take().unwrap().load(Ordering::SeqCst), 1);
    assert_eq!(tokens(&bed.server), ["token-1"]);
}

#[test]
fn those_that_expire_on_the_way_are_replaced_and_the_transfer_goes_on() {
    for op in [Op::UploadPart, Op::GetObject] {
        // From the third request on the store takes the first token for expired, until there is another one.
        let refusing: Arc<Mutex<Option<Fault>>> = Arc::default();
        let bed = bed_with(
            |server| {
                let (first, second) = (keys(server, 1, None), keys(server, 2, None));
                let refusing = Arc::clone(&refusing);
                Provider::new(move |number| {
                    if number == 1 {
                        return Ok(first.clone());
                    }
                    refusing.lock().take().expect("asked again without a refusal").remove();
                    Ok(second.clone())
                })
            },
            |client| client.max_connections(2),
        );
        let rule = FaultRule::on(op).nth(3).times(u64::MAX).then(Action::Status(400, "ExpiredToken"));
        *refusing.lock() = Some(bed.server.inject(rule));
        let size = 6 * PART;
        let outcome = if op == Op::UploadPart {
            let source = bed.file("file", 1, size);
            bed.manager.upload(&source, bed.bucket(), "k").start().unwrap().result(LIMIT).unwrap()
        } else {
            bed.object("k", 1, size);
            bed.manager.download(bed.bucket(), "k", bed.path("file")).start().unwrap().result(LIMIT).unwrap()
        };
        bed.check_object("k", 1, size);
        xfer_tests::pattern::check_file(bed.path("file"), 1, size).unwrap();
        assert!(outcome.retries >= 1, "{op:?}: {outcome:?}");
        assert!(refusing.lock().is_none(), "{op:?}: nothing was refused");
        assert_eq!(tokens(&bed.server).last().map(String::as_str), Some("token-2"), "{op:?}");
        bed.assert_clean(&["file"]);
    }
}

#[test]
fn those_that_say_when_they_end_are_renewed_before_that() {
    let bed = bed_with(
        |server| {
            let (access, secret) = (server.access_key().to_owned(), server.secret_key().to_owned());
            Provider::new(move |number| {
                // Near enough to the end to be renewed at once.
                let end = Some(SystemTime::now() + Duration::from_secs(60));
                Ok(Credentials::new(access.clone(), secret.clone(), Some(format!("token-{number}")), end, "test"))
            })
        },
        |client| client.max_connections(1),
    );
    let source = bed.file("source", 1, 4 * PART);
    let outcome = bed.manager.upload(&source, bed.bucket(), "k").start().unwrap().result(LIMIT).unwrap();
    assert_eq!(outcome.retries, 0, "nothing was refused");
    assert!(tokens(&bed.server).len() >= 2, "{:?}", tokens(&bed.server));
    bed.check_object("k", 1, 4 * PART);
    bed.assert_clean(&["source"]);
}

#[test]
fn those_that_stay_expired_end_the_transfer() {
    let bed = bed_with(
        |server| {
            let keys = keys(server, 1, None);
            Provider::new(move |_| Ok(keys.clone()))
        },
        |client| client,
    );
    bed.server.inject(FaultRule::any().then(Action::Status(400, "ExpiredToken")));
    let error = bed.manager.upload(&b"x"[..], bed.bucket(), "k").start().unwrap().result(LIMIT).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ExpiredCredentials, "{error}");
    assert!(error.to_string().contains("use credentials that are valid"), "{error}");
    assert!(bed.server.stats().total() <= 4, "it was tried again and again");
    bed.server.clear_faults();
    bed.assert_works();
    bed.assert_clean(&[]);
}

#[test]
fn a_provider_that_fails_fails_the_transfers_and_says_why() {
    let bed = bed_with(
        |server| {
            let keys = keys(server, 1, None);
            Provider::new(move |number| match number {
                1 => Err(CredentialsError::provider_error("the vault is sealed")),
                2 => panic!("a provider of the test panics"),
                _ => Ok(keys.clone()),
            })
        },
        |client| client,
    );
    let upload = || -> Result<TransferOutcome, Error> {
        bed.manager.upload(&b"x"[..], bed.bucket(), "k").start().unwrap().result(LIMIT)
    };
    let error = upload().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Credentials);
    assert!(error.to_string().contains("the vault is sealed"), "{error}");
    // A panic costs an attempt, like any other.
    assert_eq!(upload().unwrap().retries, 1);
    bed.assert_works();
    bed.assert_clean(&[]);
}

/// Never answers, and counts those who wait now, and the most that did so at one time.
#[derive(Clone, Debug, Default)]
struct Hangs {
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

/// One who waits.
struct Waits(Hangs);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

impl ProvideCredentials for Hangs {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        let waits = Waits(self.clone());
        future::ProvideCredentials::new(async move {
            let _waits = waits;
            std::future::pending().await
        })
    }
}

#[test]
fn a_provider_that_hangs_keeps_nobody_from_ending() {
    let hangs = Hangs::default();
    let bed = bed_with(|_| hangs.clone(), |client| client);
    bed.object("k", 1, 3 * PART);
    let source = bed.file("source", 1, 3 * PART);
    let futures = [
        bed.manager.upload(&b"x"[..], bed.bucket(), "up").start().unwrap(),
        bed.manager.upload(&source, bed.bucket(), "up").start().unwrap(),
        bed.manager.download(bed.bucket(), "k", bed.path("target")).start().unwrap(),
        bed.manager.delete(bed.bucket(), "k").start().unwrap(),
    ];
    common::eventually("the provider is asked", || hangs.now.load(Ordering::SeqCst) > 0);
    let begun = Instant::now();
    assert!(futures[0].cancel());
    assert_eq!(kind(futures[0].result(LIMIT)), ErrorKind::Cancelled);
    assert!(!futures[1].done(), "the others go on");
    bed.manager.shutdown(xfer_facade::Shutdown::Cancel).unwrap();
    for future in &futures {
        assert_eq!(kind(future.result(LIMIT)), ErrorKind::Cancelled);
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(hangs.most.load(Ordering::SeqCst), 1, "one call at a time");
    assert_eq!(hangs.now.load(Ordering::SeqCst), 0, "nobody waits any more");
    assert_eq!(bed.server.stats().total(), 0, "nothing was sent");
    bed.assert_clean(&["source"]);
}
