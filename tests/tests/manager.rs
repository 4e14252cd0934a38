//! What a manager is given of its own, its transfers go by: numbers, a view of the file system, a serializer. And what its shutdown says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_types::SdkConfig;
use aws_types::region::Region;
use common::{Bed, LIMIT, PART, kind, manager_of, runtime};
use parking_lot::Mutex;
use xfer_facade::{
    DownloadTarget, ErrorKind, OsUtils, ProxyPolicy, RequestSerializer, Shutdown, SignatureVersion, TransferConfig,
    TransferManager, create_s3_client,
};
use xfer_tests::{Action, FaultRule, Gate, Op, TestServer};

const MIB: u64 = 1 << 20;

fn manager_with(bed: &Bed, config: TransferConfig) -> TransferManager {
    TransferManager::builder(&bed.client, RequestSerializer::for_client(&bed.client)).config(config).build().unwrap()
}

/// The lengths of the bodies that the server was sent as objects and parts, sorted; and forgets them.
fn sent(bed: &Bed) -> Vec<u64> {
    let requests = bed.server.requests();
    bed.server.reset_stats();
    let bodies = requests.iter().filter(|request| [Op::PutObject, Op::UploadPart].contains(&request.op));
    let mut lengths: Vec<u64> =
        bodies.map(|body| body.headers["x-amz-decoded-content-length"].parse().unwrap()).collect();
    lengths.sort_unstable();
    lengths
}

#[test]
fn its_numbers_come_before_the_clients() {
    let bed = Bed::new();
    let source = bed.file("source", 1, 14 * MIB);
    let upload = |config: TransferConfig| {
        let manager = manager_with(&bed, config);
        manager.upload(&source, bed.bucket(), "k").start().unwrap().result(LIMIT).unwrap();
        bed.check_object("k", 1, 14 * MIB);
        sent(&bed)
    };
    let unset = TransferConfig::new;
    assert_eq!(upload(unset()), [4 * MIB, 5 * MIB, 5 * MIB], "the client's");
    assert_eq!(upload(unset().multipart_chunksize(7 * MIB)), [7 * MIB, 7 * MIB]);
    assert_eq!(upload(unset().multipart_chunksize(1)), [4 * MIB, 5 * MIB, 5 * MIB], "raised to S3's least");
    assert_eq!(upload(unset().multipart_threshold(14 * MIB)), [14 * MIB]);
    assert_eq!(upload(unset().multipart_threshold(14 * MIB - 1)), [4 * MIB, 5 * MIB, 5 * MIB]);
    assert_eq!(
        upload(unset().multipart_threshold(1).multipart_chunksize(100 * MIB)),
        [14 * MIB],
        "one part of an upload in parts"
    );
    assert_eq!(bed.server.object(bed.bucket(), "k").unwrap().len(), 14 * MIB);
    // Downloads go by the part size as well.
    let manager = manager_with(&bed, unset().multipart_chunksize(7 * MIB));
    bed.object("down", 1, 21 * MIB);
    manager.download(bed.bucket(), "down", bed.path("target")).start().unwrap().result(LIMIT).unwrap();
    let mut ranges: Vec<String> = bed.server.requests().into_iter().filter_map(|request| request.range).collect();
    ranges.sort();
    assert!(ranges.contains(&format!("bytes={}-{}", 14 * MIB, 21 * MIB - 1)), "{ranges:?}");
    bed.assert_clean(&["source", "target"]);
}

#[test]
fn requests_of_one_transfer_are_no_more_than_it_says() {
    for most in [1, 3] {
        let bed = Bed::with(|server| server, |client| client.max_connections(16));
        let source = bed.file("source", 1, 8 * PART);
        bed.object("down", 1, 8 * PART);
        let manager = manager_with(&bed, TransferConfig::new().max_request_concurrency(most));
        // Nothing is answered before as many as there may be have come.
        for (op, call) in [
            (Op::UploadPart, manager.upload(&source, bed.bucket(), "up")),
            (Op::GetObject, manager.download(bed.bucket(), "down", bed.path("target"))),
        ] {
            let gate = Gate::new();
            // The first request of a download goes alone.
            let nth = if op == Op::GetObject { 2 } else { 1 };
            bed.server.reset_stats();
            bed.server.inject(FaultRule::on(op).nth(nth).times(u64::MAX).then(Action::Hold(gate.clone())));
            let future = call.start().unwrap();
            assert!(gate.arrived_blocking(most as u64, LIMIT));
            let given = bed.client.actors().unwrap().in_use().requests;
            // A download asks for the object's checksum beside its parts.
            let beside = usize::from(op == Op::GetObject);
            assert!(given <= most + beside, "{op:?}: {given} under way where {most} may be");
            gate.open();
            future.result(LIMIT).unwrap();
            assert!(bed.server.wait_idle(LIMIT));
            let seen = bed.server.stats().max_in_flight;
            assert!((most..=most + beside).contains(&seen), "{op:?}: {seen} at once where {most} may be");
        }
        bed.assert_clean(&["source", "target"]);
    }
}

/// Notes what it is asked, and tells other sizes on request.
#[derive(Debug, Default)]
struct Notes {
    asked: Mutex<Vec<String>>,
    size: Option<u64>,
    no_removal: bool,
}

impl Notes {
    fn note(&self, what: &str, path: &Path) {
        self.asked.lock().push(format!("{what} {}", path.file_name().unwrap().to_str().unwrap()));
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock())
    }
}

/// Shared with the test.
#[derive(Debug)]
struct Os(Arc<Notes>);

impl OsUtils for Os {
    fn file_size(&self, path: &Path) -> io::Result<u64> {
        self.0.note("size", path);
        match self.0.size {
            Some(0) => Err(io::Error::new(io::ErrorKind::PermissionDenied, "sizes are secret")),
            Some(size) => Ok(size),
            None => Ok(std::fs::metadata(path)?.len()),
        }
    }

    fn temp_filename(&self, target: &Path) -> PathBuf {
        self.0.note("temporary name for", target);
        target.with_file_name("temporary")
    }

    fn rename_file(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.note("rename", from);
        std::fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0.note("remove", path);
        if self.0.no_removal {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "removing is forbidden"));
        }
        std::fs::remove_file(path)
    }
}

fn manager_over(bed: &Bed, notes: Notes) -> (TransferManager, Arc<Notes>) {
    let notes = Arc::new(notes);
    let builder = TransferManager::builder(&bed.client, RequestSerializer::for_client(&bed.client));
    (builder.os_utils(Os(Arc::clone(&notes))).build().unwrap(), notes)
}

#[test]
fn its_view_of_the_file_system_is_asked() {
    let bed = Bed::new();
    let source = bed.file("source", 1, 1000);
    bed.object("down", 1, 1000);
    let (manager, notes) = manager_over(&bed, Notes::default());
    manager.upload(&source, bed.bucket(), "up").start().unwrap().result(LIMIT).unwrap();
    assert_eq!(notes.asked(), ["size source"]);
    manager.download(bed.bucket(), "down", bed.path("target")).start().unwrap().result(LIMIT).unwrap();
    assert_eq!(notes.asked(), ["temporary name for target", "rename temporary"]);
    // One that fails on its way is removed by the same.
    bed.server.inject(FaultRule::on(Op::GetObject).then(Action::CorruptBody));
    let result = manager.download(bed.bucket(), "down", bed.path("target")).start().unwrap().result(LIMIT);
    assert_eq!(kind(result), ErrorKind::ChecksumMismatch);
    assert_eq!(notes.asked().last().map(String::as_str), Some("remove temporary"));
    bed.assert_clean(&["source", "target"]);
}

#[test]
fn its_view_of_the_file_system_may_fail() {
    let bed = Bed::new();
    let source = bed.file("source", 1, 1000);
    let (manager, _) = manager_over(&bed, Notes { size: Some(0), ..Notes::default() });
    let error = manager.upload(&source, bed.bucket(), "up").start().unwrap_err();
    assert_eq!((error.kind(), error.at().path.as_deref()), (ErrorKind::SourceUnavailable, Some(&*source)));
    assert!(error.to_string().contains("sizes are secret"), "{error}");
    // What it says is what the file must be.
    let (manager, _) = manager_over(&bed, Notes { size: Some(999), ..Notes::default() });
    let result = manager.upload(&source, bed.bucket(), "up").start().unwrap().result(LIMIT);
    assert_eq!(kind(result), ErrorKind::SourceChanged);
    assert!(bed.server.object(bed.bucket(), "up").is_none());
    // A temporary file that cannot be removed stays, and the download's own error is told.
    let (manager, notes) = manager_over(&bed, Notes { no_removal: true, ..Notes::default() });
    bed.object("down", 1, 1000);
    bed.server.inject(FaultRule::on(Op::GetObject).then(Action::CorruptBody));
    let result = manager.download(bed.bucket(), "down", bed.path("target")).start().unwrap().result(LIMIT);
    assert_eq!(kind(result), ErrorKind::ChecksumMismatch);
    assert!(notes.asked().contains(&"remove temporary".to_owned()));
    bed.server.clear_faults();
    bed.assert_works();
    bed.assert_clean(&["source", "temporary"]);
}

#[test]
fn its_serializer_says_where_requests_go_and_who_signs_them() {
    let server = TestServer::builder().credentials("the-serializers", "secret").start();
    let keys = Credentials::from_keys("the-serializers", "secret", None);
    let config = SdkConfig::builder()
        .region(Region::new("us-east-1"))
        .endpoint_url(server.endpoint_url())
        .credentials_provider(SharedCredentialsProvider::new(keys))
        .build();
    // The client itself leads nowhere, and signs nothing.
    let client = create_s3_client("eu-west-3").endpoint_url("http://127.0.0.1:1").anonymous().proxy(ProxyPolicy::None);
    let client = client.build().unwrap();
    let manager = TransferManager::new(&client, RequestSerializer::new(&config, "", SignatureVersion::S3v4));
    manager.upload(&b"x"[..], "bucket", "k").start().unwrap().result(LIMIT).unwrap();
    let seen = server.requests();
    assert!(seen[0].headers["authorization"].contains("Credential=the-serializers/"), "{:?}", seen[0].headers);
    assert!(seen[0].headers["authorization"].contains("/us-east-1/s3/"), "the configuration's region");
    assert_eq!(client.peak_connections(), 1, "over the client's connections");
    // One that cannot be says so with the first call.
    let nowhere = RequestSerializer::new(&SdkConfig::builder().build(), "", SignatureVersion::S3v4);
    let broken = TransferManager::new(&client, nowhere);
    let result = broken.upload(&b"x"[..], "bucket", "k").start().and_then(|future| future.result(LIMIT));
    assert_eq!(kind(result), ErrorKind::InvalidConfig);
    // Nobody's keys where it signs nothing.
    let unsigned = TransferManager::new(&client, RequestSerializer::new(&config, "", SignatureVersion::Unsigned));
    let refused = unsigned.upload(&b"x"[..], "bucket", "k").start().unwrap().result(LIMIT);
    assert_eq!(kind(refused), ErrorKind::AccessDenied);
    assert!(!server.requests().last().unwrap().headers.contains_key("authorization"));
}

#[test]
fn shutting_down_says_nothing_of_a_transfers_error() {
    for how in [Shutdown::Drain, Shutdown::Cancel] {
        for blocking in [true, false] {
            let bed = Bed::new();
            let gate = Gate::new();
            bed.server.inject(FaultRule::on(Op::GetObject).then(Action::Hold(gate.clone())));
            bed.object("k", 1, 10);
            let good = bed.manager.download(bed.bucket(), "k", DownloadTarget::memory()).start().unwrap();
            let bad = bed.manager.download(bed.bucket(), "missing", DownloadTarget::memory()).start().unwrap();
            assert!(gate.arrived_blocking(2, LIMIT));
            if how == Shutdown::Drain {
                gate.open();
            }
            if blocking {
                bed.manager.shutdown(how).unwrap();
            } else {
                runtime().block_on(bed.manager.shutdown_async(how)).unwrap();
            }
            assert!(good.done() && bad.done());
            match how {
                Shutdown::Drain => {
                    assert_eq!(kind(bad.result(None)), ErrorKind::NoSuchKey);
                    good.result(None).unwrap();
                }
                Shutdown::Cancel => assert_eq!(kind(bad.result(None)), ErrorKind::Cancelled),
            }
            gate.open();
            bed.assert_clean(&[]);
        }
    }
}

#[test]
fn clones_are_one_manager() {
    let bed = Bed::new();
    let clone = bed.manager.clone();
    let gate = Gate::new();
    bed.server.inject(FaultRule::on(Op::PutObject).then(Action::Hold(gate.clone())));
    let future = bed.manager.upload(&b"x"[..], bed.bucket(), "k").start().unwrap();
    assert_eq!((clone.active(), clone.client().region()), (1, bed.server.region()));
    assert!(gate.arrived_blocking(1, LIMIT));
    gate.open();
    clone.shutdown(Shutdown::Drain).unwrap();
    assert!(future.done());
    assert_eq!(kind(bed.manager.delete(bed.bucket(), "k").start()), ErrorKind::ShutDown);
    // Another manager of the same client is another manager.
    manager_of(&bed.client).delete(bed.bucket(), "k").start().unwrap().result(LIMIT).unwrap();
}
