//! What goes wrong is told as what it is, at the earliest moment, and leaves nothing behind: no file, no multipart upload, no slot. After
//! each failure the same manager moves the next object.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::io::{Pattern, Then, WriteThen, pattern_stream};
use common::peers::Refusing;
use common::{Bed, LIMIT, PART, Witness, client_of, kind, manager_of, quick_retries};
use futures_util::StreamExt;
use xfer_facade::{
    Checksum, DownloadTarget, Error, ErrorKind, ExtraArgs, OsUtils, RequestSerializer, RetryPolicy, TransferManager,
    TransferStatus, UploadSource,
};
use xfer_tests::{Action, FaultRule, Gate, Op, pattern};

/// The error of an upload, which must be told to the subscriber as well.
fn failed_upload(bed: &Bed, source: impl Into<UploadSource>, key: &str) -> Error {
    let witness = Witness::new();
    let call = bed.manager.upload(source, bed.bucket(), key).subscriber(witness.clone());
    let future = call.start().unwrap();
    let error = future.result(LIMIT).unwrap_err();
    assert_eq!(future.meta().status(), TransferStatus::Failed);
    assert_eq!(witness.told().done[0].as_ref().unwrap_err().kind(), error.kind());
    assert_eq!(error.at().bucket.as_deref(), Some(bed.bucket()));
    assert_eq!(error.at().key.as_deref(), Some(key));
    error
}

/// The error of a download, which must be told to the subscriber as well.
fn failed_download(bed: &Bed, key: &str, target: impl Into<DownloadTarget>) -> Error {
    let witness = Witness::new();
    let call = bed.manager.download(bed.bucket(), key, target).subscriber(witness.clone());
    let future = call.start().unwrap();
    let error = future.result(LIMIT).unwrap_err();
    assert_eq!(future.meta().status(), TransferStatus::Failed);
    assert_eq!(witness.told().done[0].as_ref().unwrap_err().kind(), error.kind());
    assert_eq!(error.at().key.as_deref(), Some(key));
    error
}

#[test]
fn a_wrong_secret_is_denied_and_never_shown() {
    let bed = Bed::new();
    bed.object("there", 1, 3 * PART);
    let secret = "a-secret-that-nobody-may-see";
    let keys = aws_credential_types::Credentials::from_keys(bed.server.access_key(), secret, None);
    let client = client_of(&bed.server).credentials(keys).build().unwrap();
    let manager = manager_of(&client);
    let target = bed.path("target");
    let source = bed.file("source", 1, 3 * PART);
    let results = [
        manager.upload(&b"small"[..], bed.bucket(), "new").start().unwrap().result(LIMIT),
        manager.upload(&source, bed.bucket(), "new").start().unwrap().result(LIMIT),
        manager.download(bed.bucket(), "there", &target).start().unwrap().result(LIMIT),
        manager.delete(bed.bucket(), "there").start().unwrap().result(LIMIT),
    ];
    for result in results {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AccessDenied, "{error}");
        let answer = error.service().unwrap();
        assert_eq!((answer.status, &*answer.code), (403, "SignatureDoesNotMatch"));
        assert!(answer.request_id.as_deref().unwrap().starts_with("REQUEST"));
        assert_eq!(error.attempts(), 1, "a refusal is not repeated");
        for text in [format!("{error}"), format!("{error:?}"), format!("{client:?}"), format!("{manager:?}")] {
            assert!(!text.contains(secret) && !text.contains("Signature="), "{text}");
        }
    }
    assert_eq!(manager.active(), 0);
    assert!(bed.server.object(bed.bucket(), "there").is_some());
    bed.assert_clean(&["source"]);
    bed.assert_works();
}

#[test]
fn what_is_not_there_is_said_to_be_not_there() {
    let bed = Bed::new();
    let target = bed.path("target");
    std::fs::write(&target, "what was there before").unwrap();
    let error = failed_download(&bed, "missing", &target);
    assert_eq!((error.kind(), error.service().unwrap().status), (ErrorKind::NoSuchKey, 404));
    assert_eq!(error.at().operation, Some("GetObject"));
    assert!(error.to_string().starts_with("no such object"), "{error}");
    assert_eq!(std::fs::read(&target).unwrap(), b"what was there before", "a failure leaves the old file alone");
    assert_eq!(failed_download(&bed, "missing", DownloadTarget::memory()).kind(), ErrorKind::NoSuchKey);
    let pieces: Vec<_> =
        common::runtime().block_on(bed.manager.download_stream(bed.bucket(), "missing").collect::<Vec<_>>());
    assert_eq!(pieces.len(), 1);
    assert_eq!(pieces[0].as_ref().unwrap_err().kind(), ErrorKind::NoSuchKey);

    let source = bed.file("source", 1, 2 * PART);
    let manager = &bed.manager;
    let results = [
        manager.upload(&b"small"[..], "no-bucket", "k").start().unwrap().result(LIMIT),
        manager.upload(&source, "no-bucket", "k").start().unwrap().result(LIMIT),
        manager.download("no-bucket", "k", bed.path("new")).start().unwrap().result(LIMIT),
        manager.delete("no-bucket", "k").start().unwrap().result(LIMIT),
    ];
    for result in results {
        assert_eq!(kind(result), ErrorKind::NoSuchBucket);
    }
    bed.assert_clean(&["source", "target"]);
    bed.assert_works();
}

#[test]
fn sources_and_targets_are_looked_at_before_anything_is_sent() {
    let bed = Bed::new();
    bed.object("k", 1, 10);
    let file = bed.file("file", 1, 10);
    let missing = bed.path("missing");
    let upload = |path: &Path| bed.manager.upload(path, bed.bucket(), "new").start().unwrap_err();
    for path in [missing.as_path(), bed.folder.path(), Path::new("/dev/null"), &file.join("below")] {
        let error = upload(path);
        assert_eq!(error.kind(), ErrorKind::SourceUnavailable, "{error}");
        assert_eq!((error.at().path.as_deref(), error.at().key.as_deref()), (Some(path), Some("new")), "{error}");
    }
    assert!(upload(bed.folder.path()).to_string().contains("it is a directory"));

    let download = |path: &Path| bed.manager.download(bed.bucket(), "k", path).start().unwrap_err();
    for path in [bed.path("no-folder/target"), bed.folder.path().to_owned(), file.join("below"), PathBuf::from("/")] {
        let error = download(&path);
        assert_eq!(error.kind(), ErrorKind::TargetUnavailable, "{error}");
        assert_eq!(error.at().path.as_deref(), Some(path.as_path()), "{error}");
    }
    assert_eq!(bed.server.stats().total(), 0, "nothing was sent");

    // A folder that is there, and takes no files from anybody: seen only when the file is made.
    let error = failed_download(&bed, "k", "/proc/target");
    assert_eq!(error.kind(), ErrorKind::TargetUnavailable, "{error}");
    bed.assert_clean(&["file"]);
    bed.assert_works();
}

#[test]
fn invalid_arguments_are_told_in_the_words_of_the_interface() {
    let bed = Bed::new();
    let text = |args: ExtraArgs, bucket: &str, key: &str| {
        let error = bed.manager.delete(bucket, key).extra_args(args).start().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        error.message().to_owned()
    };
    assert_eq!(
        text(ExtraArgs::new().content_type("text/plain"), "bucket", "k"),
        "Invalid extra_args key 'ContentType', must be one of: MFA, VersionId, RequestPayer, ExpectedBucketOwner, IfMatch"
    );
    assert_eq!(text(ExtraArgs::new(), "bucket", ""), "the key is empty");
    assert_eq!(
        text(ExtraArgs::new(), "bucket", &"k".repeat(1025)),
        "the key has 1025 bytes, but S3 takes 1024 at the most"
    );
    assert_eq!(
        text(ExtraArgs::new(), "arn:aws:s3-object-lambda:us-west-2:123456789012:accesspoint/mine", "k"),
        "TransferManager methods do not support S3 Object Lambda resource. Use direct client calls instead."
    );
    let line_break = ExtraArgs::new().version_id("1\r\nx-amz-acl: public-read");
    assert_eq!(text(line_break, "bucket", "k"), "VersionId must have printable ASCII characters only");
    let secret = "0123456789abcdef0123456789abcde";
    let error = bed.manager.upload(&b""[..], "bucket", "k").extra_args(ExtraArgs::new().sse_customer_key(secret));
    let error = error.start().unwrap_err();
    assert!(!format!("{error} {error:?}").contains(secret), "{error}");
    assert_eq!(bed.server.stats().total(), 0, "nothing was sent");
    bed.assert_clean(&[]);
}

/// Uploads a file that is changed at the moment when the store has seen the first request with bytes of it, and takes none of them.
fn upload_of_a_file_that(size: u64, op: Op, change: impl FnOnce(&Path)) -> Error {
    let bed = Bed::new();
    let path = bed.file("source", 1, size);
    let gate = Gate::new();
    bed.server.inject(FaultRule::on(op).then(Action::Hold(gate.clone())));
    let future = bed.manager.upload(&path, bed.bucket(), "k").start().unwrap();
    assert!(gate.arrived_blocking(1, LIMIT));
    change(&path);
    gate.open();
    let error = future.result(LIMIT).unwrap_err();
    assert_eq!(error.at().path.as_deref(), Some(path.as_path()), "{error}");
    assert!(bed.server.object(bed.bucket(), "k").is_none(), "half an object was stored");
    bed.assert_clean(&["source"]);
    bed.assert_works();
    error
}

#[test]
fn a_file_that_changes_on_its_way_up_is_noticed() {
    let open = |path: &Path| std::fs::OpenOptions::new().write(true).open(path).unwrap();
    for (size, op) in [(PART, Op::PutObject), (4 * PART, Op::UploadPart)] {
        let shrunk = upload_of_a_file_that(size, op, |path| open(path).set_len(size / 2).unwrap());
        assert_eq!(shrunk.kind(), ErrorKind::SourceChanged, "{shrunk}");
        let grown = upload_of_a_file_that(size, op, |path| open(path).set_len(size + 1).unwrap());
        assert_eq!(grown.kind(), ErrorKind::SourceChanged, "{grown}");
        assert!(grown.to_string().contains(&format!("it had {size} bytes and now has {}", size + 1)), "{grown}");
        let written = upload_of_a_file_that(size, op, |path| {
            let mut file = open(path);
            io::Write::write_all(&mut file, b"x").unwrap();
            // Some file systems keep times in coarse steps.
            file.set_modified(std::time::SystemTime::now() + Duration::from_secs(5)).unwrap();
        });
        assert_eq!(written.kind(), ErrorKind::SourceChanged, "{written}");
        assert!(written.to_string().contains("it was written to"), "{written}");
    }
}

#[test]
fn an_object_that_is_replaced_on_its_way_down_is_noticed() {
    let bed = Bed::new();
    let size = 4 * PART;
    for (what, at) in [("second range", PART), ("last range", 3 * PART)] {
        bed.object("k", 1, size);
        let handle = bed.server.handle();
        let replace = Action::call(move || drop(handle.put_object("bucket", "k", pattern::bytes(2, size as usize))));
        let fault = bed.server.inject(FaultRule::on(Op::GetObject).range_start(at).times(1).then(replace));
        let error = failed_download(&bed, "k", bed.path("target"));
        assert_eq!(error.kind(), ErrorKind::ObjectModified, "{what}: {error}");
        assert_eq!(fault.hits(), 1);
        bed.assert_clean(&[]);
    }
    // In the middle of a body that breaks and is to be gone on with.
    bed.object("k", 1, PART);
    let handle = bed.server.handle();
    bed.server.inject(FaultRule::on(Op::GetObject).times(1).then(Action::ResetAfterBytes(2_000_000)));
    let replace = Action::call(move || drop(handle.put_object("bucket", "k", pattern::bytes(2, PART as usize))));
    bed.server.inject(FaultRule::on(Op::GetObject).range_start(2_000_000).then(replace));
    let error = failed_download(&bed, "k", bed.path("target"));
    assert_eq!(error.kind(), ErrorKind::ObjectModified, "{error}");
    bed.assert_clean(&[]);
    bed.assert_works();
}

#[test]
fn readers_that_fail_or_panic_fail_their_own_transfer_only() {
    let bed = Bed::new();
    let broken = || io::Error::new(io::ErrorKind::BrokenPipe, "the pipe is broken");
    // Before the first byte, within the first part, and behind it.
    for before in [0, 1000, PART as usize + 1000] {
        let first = || pattern::bytes(1, before);
        let fails = move || Then::after(first(), move |_: &mut [u8]| Err(broken()));
        let panics = move || Then::after(first(), |_: &mut [u8]| panic!("a reader of the test panics"));
        let pieces = futures_util::stream::iter([Ok(Bytes::from(first())), Err(broken())]);
        let panicking =
            futures_util::stream::iter([Bytes::from(first()), Bytes::new()]).enumerate().map(|(at, piece)| {
                assert!(at == 0, "a stream of the test panics");
                Ok(piece)
            });
        let sources = [
            ("reader", UploadSource::reader(fails()), "the pipe is broken"),
            ("known reader", UploadSource::reader(fails()).with_length(3 * PART), "the pipe is broken"),
            ("panicking reader", UploadSource::reader(panics()), "the reader panicked"),
            ("async reader", UploadSource::async_reader(fails()), "the pipe is broken"),
            ("panicking async reader", UploadSource::async_reader(panics()), "the reader panicked"),
            ("stream", UploadSource::stream(pieces), "the pipe is broken"),
            ("panicking stream", UploadSource::stream(panicking), "the reader panicked"),
        ];
        for (name, source, text) in sources {
            let error = failed_upload(&bed, source, "k");
            assert_eq!(error.kind(), ErrorKind::SourceRead, "{name} after {before}: {error}");
            assert!(error.to_string().contains(text), "{name} after {before}: {error}");
            assert!(bed.server.object(bed.bucket(), "k").is_none());
            bed.assert_clean(&[]);
        }
    }
    bed.assert_works();
}

#[test]
fn sources_that_are_not_as_long_as_announced_are_refused() {
    let bed = Bed::new();
    for announced in [1000, PART, 3 * PART] {
        for real in [0, announced - 1, announced + 1, announced + PART] {
            let sources = [
                ("reader", UploadSource::reader(Pattern::new(1, real))),
                ("async reader", UploadSource::async_reader(Pattern::new(1, real))),
                ("stream", UploadSource::stream(pattern_stream(1, real))),
            ];
            for (name, source) in sources {
                let error = failed_upload(&bed, source.with_length(announced), "k");
                assert_eq!(error.kind(), ErrorKind::SourceChanged, "{name} {real} for {announced}: {error}");
                assert!(error.to_string().contains(&format!("{announced} bytes were announced")), "{error}");
                assert!(bed.server.object(bed.bucket(), "k").is_none());
            }
        }
        bed.assert_clean(&[]);
    }
    bed.assert_works();
}

#[test]
fn writers_that_fail_or_panic_fail_their_own_transfer_only() {
    let bed = Bed::new();
    bed.object("k", 1, 4 * PART);
    let broken = || -> io::Result<usize> { Err(io::Error::new(io::ErrorKind::BrokenPipe, "the pipe is broken")) };
    let full = || -> io::Result<usize> { Err(io::ErrorKind::StorageFull.into()) };
    let panics = || -> io::Result<usize> { panic!("a writer of the test panics") };
    for limit in [0, 1000, PART as usize + 1000] {
        let targets = [
            ("writer", DownloadTarget::writer(WriteThen::after(limit, broken)), ErrorKind::TargetWrite),
            ("full writer", DownloadTarget::writer(WriteThen::after(limit, full)), ErrorKind::DiskFull),
            ("panicking writer", DownloadTarget::writer(WriteThen::after(limit, panics)), ErrorKind::TargetWrite),
            ("seekable", DownloadTarget::seekable(WriteThen::after(limit, broken)), ErrorKind::TargetWrite),
            ("panicking seekable", DownloadTarget::seekable(WriteThen::after(limit, panics)), ErrorKind::TargetWrite),
            ("async writer", DownloadTarget::async_writer(WriteThen::after(limit, broken)), ErrorKind::TargetWrite),
            ("panicking async", DownloadTarget::async_writer(WriteThen::after(limit, panics)), ErrorKind::TargetWrite),
        ];
        for (name, target, kind) in targets {
            let error = failed_download(&bed, "k", target);
            assert_eq!(error.kind(), kind, "{name} after {limit}: {error}");
            bed.assert_clean(&[]);
        }
    }
    bed.assert_works();
}

#[test]
fn an_endpoint_that_refuses_connections_is_given_up_in_time() {
    let bed = Bed::new();
    let gone = Refusing::new();
    let client = client_of(&bed.server)
        .endpoint_url(format!("http://{}", gone.authority()))
        .retry(RetryPolicy { max_attempts: 3, ..quick_retries() })
        .build()
        .unwrap();
    let manager = manager_of(&client);
    let source = bed.file("source", 1, 3 * PART);
    let begun = Instant::now();
    let futures = [
        manager.upload(&b"x"[..], "bucket", "k").start().unwrap(),
        manager.upload(&source, "bucket", "k").start().unwrap(),
        manager.download("bucket", "k", bed.path("target")).start().unwrap(),
        manager.delete("bucket", "k").start().unwrap(),
    ];
    for future in futures {
        let error = future.result(LIMIT).unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Connect, 3), "{error}");
    }
    assert!(begun.elapsed() < Duration::from_secs(30), "it took {:?}", begun.elapsed());
    assert_eq!(manager.active(), 0);
    bed.assert_clean(&["source"]);
}

#[test]
fn an_upload_whose_completion_went_unanswered_failed_although_its_object_is_there() {
    let bed = Bed::with(|server| server, |client| client.retry(RetryPolicy { max_attempts: 1, ..quick_retries() }));
    let source = bed.file("source", 1, 3 * PART);
    let lost = bed.server.inject(FaultRule::on(Op::CompleteMultipartUpload).then(Action::ResetAnswer));
    let error = failed_upload(&bed, &source, "k");
    assert_eq!((error.kind(), error.at().operation), (ErrorKind::ConnectionLost, Some("CompleteMultipartUpload")));
    assert!(lost.hits() >= 1);
    bed.check_object("k", 1, 3 * PART);
    bed.assert_clean(&["source"]);
    bed.assert_works();
}

#[test]
fn a_corrupted_body_is_never_taken_for_the_object() {
    let bed = Bed::new();
    for (size, at) in [(1000, None), (PART, None), (4 * PART, None), (4 * PART, Some(2 * PART))] {
        bed.object("k", 1, size);
        let rule = FaultRule::on(Op::GetObject);
        let rule = match at {
            Some(at) => rule.range_start(at),
            None => rule,
        };
        let fault = bed.server.inject(rule.times(1).then(Action::CorruptBody));
        let target = bed.path("target");
        let result = bed.manager.download(bed.bucket(), "k", &target).start().unwrap().result(LIMIT);
        assert_eq!(fault.hits(), 1);
        // The bit that is flipped may lie behind what the first request of a large object is asked to land.
        match result {
            Ok(_) => {
                pattern::check_file(&target, 1, size).unwrap();
                std::fs::remove_file(&target).unwrap();
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::ChecksumMismatch, "{size} {at:?}: {error}"),
        }
        bed.assert_clean(&[]);
    }
    // In memory and through a stream as well; a stream has given bytes away by then, and says so in the place of its end.
    bed.object("k", 1, PART);
    bed.server.inject(FaultRule::on(Op::GetObject).then(Action::CorruptBody));
    let error = failed_download(&bed, "k", DownloadTarget::memory());
    assert_eq!(error.kind(), ErrorKind::ChecksumMismatch);
    let pieces: Vec<_> = common::runtime().block_on(bed.manager.download_stream(bed.bucket(), "k").collect::<Vec<_>>());
    assert_eq!(pieces.last().unwrap().as_ref().unwrap_err().kind(), ErrorKind::ChecksumMismatch);
    bed.server.clear_faults();
    common::eventually("the stream's transfer ends", || bed.manager.active() == 0);
    bed.assert_clean(&[]);
    bed.assert_works();
}

#[test]
fn a_checksum_that_is_not_that_of_the_source_is_refused() {
    let bed = Bed::new();
    let wrong = Checksum::of(xfer_facade::Algorithm::Crc64Nvme, b"something else");
    for size in [1000, 3 * PART] {
        let call = bed.manager.upload(pattern::bytes(1, size as usize), bed.bucket(), "k");
        let result = call.extra_args(ExtraArgs::new().checksum(&wrong)).start().unwrap().result(LIMIT);
        assert_eq!(kind(result), ErrorKind::ChecksumMismatch, "{size}");
        assert!(bed.server.object(bed.bucket(), "k").is_none());
        bed.assert_clean(&[]);
    }
    bed.assert_works();
}

#[derive(Debug)]
struct NoTemporary;

impl OsUtils for NoTemporary {
    fn temp_filename(&self, target: &Path) -> PathBuf {
        target.with_file_name("no-folder/temporary")
    }
}

#[derive(Debug)]
struct NoRename;

impl OsUtils for NoRename {
    fn rename_file(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::PermissionDenied, "renaming is forbidden"))
    }
}

#[test]
fn temporary_files_that_cannot_be_made_or_renamed_fail_the_download() {
    let bed = Bed::new();
    bed.object("k", 1, 2 * PART);
    let serializer = RequestSerializer::for_client(&bed.client);
    let manager = TransferManager::builder(&bed.client, &serializer).os_utils(NoTemporary).build().unwrap();
    let error = manager.download(bed.bucket(), "k", bed.path("t")).start().unwrap().result(LIMIT).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TargetUnavailable, "{error}");
    bed.assert_clean(&[]);
    let manager = TransferManager::builder(&bed.client, &serializer).os_utils(NoRename).build().unwrap();
    let error = manager.download(bed.bucket(), "k", bed.path("t")).start().unwrap().result(LIMIT).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TargetWrite, "{error}");
    assert!(error.to_string().contains("renaming is forbidden"), "{error}");
    bed.assert_clean(&[]);
    bed.assert_works();
}

#[test]
fn conditions_that_do_not_hold_are_told() {
    let bed = Bed::new();
    bed.object("k", 1, 1000);
    let only_new = ExtraArgs::new().if_none_match("*");
    for data in [pattern::bytes(2, 10), pattern::bytes(2, 3 * PART as usize)] {
        let call = bed.manager.upload(data, bed.bucket(), "k").extra_args(only_new.clone());
        assert_eq!(kind(call.start().unwrap().result(LIMIT)), ErrorKind::PreconditionFailed);
        bed.check_object("k", 1, 1000);
        bed.assert_clean(&[]);
    }
    let other = ExtraArgs::new().if_match("\"another\"");
    let call = bed.manager.download(bed.bucket(), "k", bed.path("t")).extra_args(other);
    assert_eq!(kind(call.start().unwrap().result(LIMIT)), ErrorKind::PreconditionFailed);
    let outside = ExtraArgs::new().range("bytes=1000-");
    let call = bed.manager.download(bed.bucket(), "k", bed.path("t")).extra_args(outside);
    assert_eq!(kind(call.start().unwrap().result(LIMIT)), ErrorKind::InvalidRange);
    bed.assert_clean(&[]);
    bed.assert_works();
}
