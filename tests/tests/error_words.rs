//! Every kind of error as a user meets it: it says what, where and what may help, on one line, and shows no secret.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::error::Error as _;
use std::io;
use std::sync::mpsc;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use common::io::{Then, WriteThen};
use common::peers::{Answer, Peer, Refusing};
use common::{Bed, LIMIT, PART, client_of, manager_of, quick_retries};
use parking_lot::Mutex;
use xfer_facade::{
    Algorithm, Checksum, DownloadTarget, Error, ErrorKind, ExtraArgs, ProxyPolicy, RetryPolicy, S3ClientBuilder,
    Shutdown, TransferCall, TransferFuture, TransferManager, TransferMeta, TransferOutcome, UploadSource, on_done_fn,
};
use xfer_tests::{Action, FaultRule, Gate, Op, TestServer};

/// A key that would begin a line of its own in a log.
const KEY: &str = "logs/2026\n2026-01-01 ERROR all is lost";
/// The same as it is shown.
const SHOWN: &str = "s3://bucket/logs/2026\\n2026-01-01 ERROR all is lost";

const SECRET_KEY: &str = "secret-of-the-keys";
const SESSION_TOKEN: &str = "secret-of-the-session";
const CUSTOMER_KEY: &str = "secret-of-the-customer-012345678";
const PASSWORD: &str = "secret-of-the-proxy";
const SIGNATURE: &str = "secret-of-the-url";

/// What no error may show: the beginning of all secrets above, and of signatures.
const HIDDEN: [&str; 3] = ["secret-of", "Signature=", "AWS4-HMAC"];

/// A bed whose client has all the secrets, and tries everything once. Each kind has its own, so that faults do not meet.
struct Lab {
    bed: Bed,
}

impl Lab {
    fn new() -> Lab {
        Lab::with(|client| client)
    }

    fn with(more: impl FnOnce(S3ClientBuilder) -> S3ClientBuilder) -> Lab {
        let server = TestServer::builder().fast_etags().credentials("AKID", SECRET_KEY).start();
        let keys = Credentials::new("AKID", SECRET_KEY, Some(SESSION_TOKEN.to_owned()), None, "test");
        let once = RetryPolicy { max_attempts: 1, ..quick_retries() };
        let client = more(client_of(&server).credentials(keys).retry(once)).build().unwrap();
        let manager = manager_of(&client);
        Lab { bed: Bed { manager, client, server, folder: tempfile::tempdir().unwrap() } }
    }

    fn manager(&self) -> &TransferManager {
        &self.bed.manager
    }

    fn upload(&self, source: impl Into<UploadSource>) -> TransferCall {
        self.manager().upload(source, "bucket", KEY)
    }

    fn download(&self, target: impl Into<DownloadTarget>) -> TransferCall {
        self.manager().download("bucket", KEY, target)
    }

    /// A small upload that the store answers so.
    fn put_answered(&self, action: Action) -> Error {
        self.bed.server.inject(FaultRule::on(Op::PutObject).then(action));
        failed(self.upload(&b"x"[..]))
    }

    /// An upload whose second part the store answers so.
    fn part_answered(&self, action: Action) -> Error {
        self.bed.server.inject(FaultRule::on(Op::UploadPart).part(2).then(action));
        failed(self.upload(self.bed.file("source", 1, 3 * PART)))
    }

    /// An upload that is held at the store until the gate opens.
    fn held(&self) -> (Gate, TransferFuture) {
        let gate = Gate::new();
        self.bed.server.inject(FaultRule::on(Op::UploadPart).then(Action::Hold(gate.clone())));
        let future = self.upload(self.bed.file("source", 1, 3 * PART)).start().unwrap();
        assert!(gate.arrived_blocking(1, LIMIT));
        (gate, future)
    }
}

fn failed(call: TransferCall) -> Error {
    call.start().and_then(|future| future.result(LIMIT)).unwrap_err()
}

/// A provider that fails or panics.
#[derive(Debug)]
struct NoCredentials {
    panics: bool,
}

impl ProvideCredentials for NoCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        assert!(!self.panics, "a provider of the test panics");
        future::ProvideCredentials::ready(Err(CredentialsError::provider_error("the vault is sealed")))
    }
}

/// A store that says yes, and nothing else.
fn empty_answers() -> Peer {
    Peer::server(|_| Answer::new(200))
}

/// An error of this kind, as it comes about in use.
fn provoke(kind: ErrorKind) -> Error {
    use ErrorKind as K;
    let lab = Lab::new();
    let broken = || io::Error::new(io::ErrorKind::BrokenPipe, "the pipe is broken");
    match kind {
        K::InvalidArgument => {
            failed(lab.upload(&b"x"[..]).extra_args(ExtraArgs::new().sse_customer_key(&CUSTOMER_KEY[1..])))
        }
        K::InvalidConfig => {
            let url = format!("https://me:{PASSWORD}@store/?X-Amz-Signature={SIGNATURE}");
            client_of(&lab.bed.server).endpoint_url(url).build().unwrap_err()
        }
        K::SourceUnavailable => failed(lab.upload(lab.bed.path("missing"))),
        K::SourceRead => {
            failed(lab.upload(UploadSource::reader(Then::after(vec![1], move |_: &mut [u8]| Err(broken())))))
        }
        K::SourceChanged => failed(lab.upload(UploadSource::reader(io::empty()).with_length(7))),
        K::TargetUnavailable => failed(lab.download(lab.bed.path("no-folder/target"))),
        K::TargetWrite => {
            lab.bed.object(KEY, 1, 100);
            failed(lab.download(DownloadTarget::writer(WriteThen::after(1, move || Err(broken())))))
        }
        K::DiskFull => {
            lab.bed.object(KEY, 1, 100);
            failed(lab.download(DownloadTarget::writer(WriteThen::after(1, || Err(io::ErrorKind::StorageFull.into())))))
        }
        K::Credentials => {
            failed(Lab::with(|client| client.credentials(NoCredentials { panics: false })).upload(&b"x"[..]))
        }
        K::Internal => failed(Lab::with(|client| client.credentials(NoCredentials { panics: true })).upload(&b"x"[..])),
        // No label of a name may have more than 63 characters: the resolver knows that without asking anybody.
        K::Dns => {
            let nowhere = format!("http://{}.invalid", "x".repeat(64));
            failed(Lab::with(|client| client.endpoint_url(nowhere)).upload(&b"x"[..]))
        }
        K::Connect => {
            let gone = Refusing::new();
            let url = format!("http://me:{PASSWORD}@{}", gone.authority());
            let proxy = ProxyPolicy::Explicit { url, no_proxy: String::new() };
            failed(Lab::with(|client| client.proxy(proxy)).upload(&b"x"[..]))
        }
        K::Tls => {
            let url = format!("https://{}", lab.bed.server.address());
            failed(Lab::with(|client| client.endpoint_url(url)).upload(&b"x"[..]))
        }
        K::Protocol => {
            let store = empty_answers();
            let lab = Lab::with(|client| client.endpoint_url(store.url()));
            failed(lab.upload(lab.bed.file("source", 1, 3 * PART)))
        }
        K::ConnectionLost => lab.part_answered(Action::Reset),
        K::RequestTimeout => lab.part_answered(Action::Status(400, "RequestTimeout")),
        K::NoSuchUpload => lab.part_answered(Action::Status(404, "NoSuchUpload")),
        K::Throttled => lab.part_answered(Action::Status(503, "SlowDown")),
        K::ServiceUnavailable => lab.part_answered(Action::Status(500, "InternalError")),
        K::NoSuchKey => failed(lab.download(DownloadTarget::memory())),
        K::NoSuchBucket => lab.put_answered(Action::Status(404, "NoSuchBucket")),
        K::AccessDenied => {
            let wrong = Credentials::new("AKID", "secret-of-nobody", Some(SESSION_TOKEN.to_owned()), None, "test");
            let manager = manager_of(&client_of(&lab.bed.server).credentials(wrong).build().unwrap());
            failed(manager.delete("bucket", KEY))
        }
        K::ExpiredCredentials => lab.put_answered(Action::Status(400, "ExpiredToken")),
        K::WrongRegion => lab.put_answered(Action::Status(301, "PermanentRedirect")),
        K::ClockSkew => lab.put_answered(Action::Status(403, "RequestTimeTooSkewed")),
        K::Rejected => lab.put_answered(Action::Status(405, "MethodNotAllowed")),
        K::ChecksumUnsupported => {
            let lab = Lab::with(|client| client.retry(RetryPolicy { max_corrections: 0, ..quick_retries() }));
            lab.put_answered(Action::DropTrailerSupport)
        }
        K::PreconditionFailed => {
            lab.bed.object(KEY, 1, 100);
            failed(lab.upload(&b"x"[..]).extra_args(ExtraArgs::new().if_none_match("*")))
        }
        K::ObjectModified => {
            lab.bed.object(KEY, 1, 3 * PART);
            let replaced = Action::Status(412, "PreconditionFailed");
            lab.bed.server.inject(FaultRule::on(Op::GetObject).range_start(PART).then(replaced));
            failed(lab.download(DownloadTarget::memory()))
        }
        K::InvalidRange => {
            lab.bed.object(KEY, 1, 100);
            failed(lab.download(DownloadTarget::memory()).extra_args(ExtraArgs::new().range("bytes=100-")))
        }
        K::ChecksumMismatch => {
            let wrong = Checksum::of(Algorithm::Crc64Nvme, b"something else");
            failed(lab.upload(&b"x"[..]).extra_args(ExtraArgs::new().checksum(&wrong)))
        }
        K::TooLarge => failed(lab.upload(UploadSource::reader(io::empty()).with_length(u64::MAX))),
        K::Cancelled => {
            let (_gate, future) = lab.held();
            assert!(future.cancel());
            future.result(LIMIT).unwrap_err()
        }
        K::WaitTimeout => {
            let (_gate, future) = lab.held();
            future.result(Duration::from_millis(5)).unwrap_err()
        }
        K::ShutDown => {
            lab.manager().shutdown(Shutdown::Drain).unwrap();
            failed(lab.upload(&b"x"[..]))
        }
        K::WouldDeadlock => {
            let (give, given) = mpsc::channel::<TransferFuture>();
            let (told, error) = mpsc::channel();
            let given = Mutex::new(given);
            let waits = on_done_fn(move |_: &TransferMeta, _: &Result<TransferOutcome, Error>| {
                let future = given.lock().recv_timeout(LIMIT).unwrap();
                told.send(future.result(LIMIT).unwrap_err()).unwrap();
            });
            let future = lab.upload(&b"x"[..]).subscriber(waits).start().unwrap();
            give.send(future).unwrap();
            error.recv_timeout(LIMIT).unwrap()
        }
        other => panic!("nobody knows how an error of the kind {other:?} comes about"),
    }
}

/// Words that must be in the message, besides the kind's own: what exactly, and what may be done, where the kind gives no advice.
fn words(kind: ErrorKind) -> &'static [&'static str] {
    use ErrorKind as K;
    match kind {
        K::InvalidArgument => &["SSECustomerKey must be"],
        K::InvalidConfig => &["endpoint URL \"https://store/\": it has a user name in it"],
        K::SourceUnavailable => &["No such file", "/missing"],
        K::SourceRead | K::TargetWrite => &["the pipe is broken"],
        K::SourceChanged => &["7 bytes were announced"],
        K::TargetUnavailable => &["the directory", "/no-folder"],
        K::Credentials => &["the vault is sealed", "the given credentials provider"],
        K::Dns => &["xxx.invalid"],
        K::Connect => &["127.0.0.1:"],
        K::Tls => &["TLS with 127.0.0.1:"],
        K::RequestTimeout | K::NoSuchUpload | K::Throttled | K::ServiceUnavailable | K::ConnectionLost => {
            &["(UploadPart, ", ", part 2"]
        }
        K::NoSuchKey => &["(GetObject, ", "[HTTP 404 NoSuchKey", "request id REQUEST"],
        K::NoSuchBucket => &["[HTTP 404 NoSuchBucket", "(PutObject, "],
        K::AccessDenied => &["[HTTP 403 SignatureDoesNotMatch", "(DeleteObject, "],
        K::Rejected => &["[HTTP 405 MethodNotAllowed: Injected by a fault rule."],
        K::InvalidRange => &["[HTTP 416"],
        K::TooLarge => &["are more than the"],
        K::WaitTimeout => &["the transfer goes on; waited 5ms"],
        K::ShutDown => &["it takes no more transfers"],
        K::WouldDeadlock => &["use what it is given"],
        _ => &[],
    }
}

#[test]
fn every_kind_says_what_where_and_what_may_help_and_shows_no_secret() {
    // What all of the process lacks would be lacking to the other tests as well: the command's tests show it.
    for kind in ErrorKind::ALL.iter().filter(|kind| **kind != ErrorKind::TooManyOpenFiles) {
        let error = provoke(*kind);
        let text = error.to_string();
        assert_eq!(error.kind(), *kind, "{text}");
        assert!(text.starts_with(kind.summary()), "{kind:?}: {text}");
        for words in words(*kind) {
            assert!(text.contains(words), "{kind:?}: {words:?} is not in: {text}");
        }
        if let Some(advice) = kind.advice() {
            assert!(text.ends_with(&format!("; {advice}")), "{kind:?}: {text}");
        }
        // A client's configuration is of no object.
        assert_eq!(text.contains(SHOWN), *kind != ErrorKind::InvalidConfig, "{kind:?}: {text}");
        assert!(!text.contains(char::is_control), "{kind:?}: {text:?}");

        let mut shown = vec![text, format!("{error:?}"), format!("{:?}", error.service()), format!("{:?}", error.at())];
        let mut source = error.source();
        while let Some(beneath) = source {
            shown.extend([beneath.to_string(), format!("{beneath:?}")]);
            source = beneath.source();
        }
        for text in shown {
            for secret in HIDDEN {
                assert!(!text.contains(secret), "{kind:?}: {text}");
            }
        }
    }
}
