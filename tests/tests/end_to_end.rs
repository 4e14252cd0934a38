//! What every store must do with every kind of object, source and target. Runs against the embedded server, or against the store that
//! the environment names: see `common/store.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::io::{Cursor, Seek, SeekFrom};
use std::sync::Arc;

use bytes::Bytes;
use common::io::{Pattern, Sink, pattern_stream};
use common::store::Store;
use common::{LIMIT, PART, THRESHOLD, Witness};
use futures_util::StreamExt;
use xfer_facade::{
    Algorithm, CallKind, ChecksumKind, DownloadTarget, ExtraArgs, Shutdown, TransferStatus, UploadSource, Verified,
};
use xfer_tests::pattern;

/// Sizes around every limit at which something changes.
const SIZES: [u64; 10] =
    [0, 1, PART - 1, PART, PART + 1, THRESHOLD, THRESHOLD + 1, 2 * PART, 3 * PART, 3 * PART + 12_345];

#[test]
fn files_of_every_size_go_up_and_come_back() {
    let store = Store::open();
    let (source, target) = (store.folder.path().join("source"), store.folder.path().join("target"));
    for size in SIZES {
        let key = store.key(&format!("size {size}"));
        pattern::file(&source, size, size).unwrap();
        let (up_told, down_told) = (Witness::new(), Witness::new());
        let call = store.manager.upload(&source, &store.bucket, &key).subscriber(Arc::clone(&up_told));
        let future = call.start().unwrap();
        assert_eq!(future.meta().size(), Some(size));
        let up = future.result(LIMIT).unwrap();
        assert!(future.done());
        assert_eq!(future.meta().status(), TransferStatus::Succeeded);
        assert_eq!(future.meta().bytes_transferred(), size);
        let head = store.head(&key);
        assert_eq!(head.content_length(), Some(size as i64));
        assert_eq!(up.bytes, size);
        assert_eq!(up.etag.as_deref(), head.e_tag(), "size {size}");
        assert_eq!(up.verified, Verified::FullObject(Algorithm::Crc64Nvme), "size {size}");
        assert!(up.attempts >= 1 && up.retries == 0, "size {size}: {up:?}");
        up_told.assert_complete(size, "upload");
        let parts = if size <= THRESHOLD { 0 } else { size.div_ceil(PART) };
        assert_eq!(head.e_tag().unwrap().contains('-'), parts > 0, "size {size}: {:?}", head.e_tag());

        // The second download replaces what the first one, and before that something else, has left.
        std::fs::write(&target, b"something longer than nothing").unwrap();
        let call = store.manager.download(&store.bucket, &key, &target).subscriber(Arc::clone(&down_told));
        let future = call.start().unwrap();
        let down = future.result(LIMIT).unwrap();
        pattern::check_file(&target, size, size).unwrap();
        assert_eq!((down.bytes, &down.etag, down.retries), (size, &up.etag, 0));
        assert_eq!(down.verified, store.verified(size), "size {size}");
        assert_eq!((future.meta().size(), future.meta().bytes_transferred()), (Some(size), size));
        down_told.assert_complete(size, "download");

        store.manager.delete(&store.bucket, &key).start().unwrap().result(LIMIT).unwrap();
        assert!(!store.exists(&key));
        // A second time is as good.
        let gone = store.manager.delete(&store.bucket, &key).start().unwrap().result(LIMIT).unwrap();
        assert_eq!(gone.bytes, 0);
    }
    store.assert_clean(&["source", "target"]);
}

#[test]
fn a_large_file_goes_up_and_comes_back() {
    let store = Store::open();
    let (source, target) = (store.folder.path().join("source"), store.folder.path().join("target"));
    let size = 200 << 20;
    pattern::file(&source, 9, size).unwrap();
    let key = store.key("large");
    let up = store.manager.upload(&source, &store.bucket, &key).start().unwrap().result(LIMIT).unwrap();
    assert_eq!((up.bytes, up.verified), (size, Verified::FullObject(Algorithm::Crc64Nvme)));
    assert!(up.attempts >= 42, "40 parts, create and complete: {}", up.attempts);
    let down = store.manager.download(&store.bucket, &key, &target).start().unwrap().result(LIMIT).unwrap();
    assert_eq!((down.bytes, down.verified), (size, store.verified(size)));
    pattern::check_file(&target, 9, size).unwrap();
    store.assert_clean(&["source", "target"]);
}

/// Every kind of source with these bytes, known and unknown lengths.
fn sources(store: &Store, seed: u64, size: u64) -> Vec<(&'static str, UploadSource)> {
    let data = Bytes::from(pattern::bytes(seed, size as usize));
    let leaked: &'static [u8] = Box::leak(data.to_vec().into_boxed_slice());
    let path = store.folder.path().join("source");
    std::fs::write(&path, &data).unwrap();
    // Some bytes in front, which are not to be uploaded.
    let mut seekable = Cursor::new([b"skipped".as_slice(), &data].concat());
    seekable.seek(SeekFrom::Start(7)).unwrap();
    let mut open_file = std::fs::File::open(&path).unwrap();
    open_file.seek(SeekFrom::Start(0)).unwrap();
    vec![
        ("path", UploadSource::path(&path)),
        ("Bytes", UploadSource::from(data.clone())),
        ("Vec", UploadSource::from(data.to_vec())),
        ("static slice", UploadSource::from(leaked)),
        ("reader", UploadSource::reader(Pattern::new(seed, size))),
        ("reader of known length", UploadSource::reader(Pattern::new(seed, size)).with_length(size)),
        ("seekable in its middle", UploadSource::seekable(seekable)),
        ("open file", UploadSource::seekable(open_file)),
        ("async reader", UploadSource::async_reader(Pattern::new(seed, size))),
        ("async reader of known length", UploadSource::async_reader(Pattern::new(seed, size)).with_length(size)),
        ("stream", UploadSource::stream(pattern_stream(seed, size))),
        ("stream of known length", UploadSource::stream(pattern_stream(seed, size)).with_length(size)),
    ]
}

#[test]
fn every_kind_of_source_is_uploaded_whole() {
    let store = Store::open();
    for size in [0, 1, 100_000, PART, THRESHOLD, 2 * PART, 2 * PART + 1] {
        for (name, source) in sources(&store, size + 1, size) {
            let what = format!("{name} of {size}");
            let key = store.key(&what);
            let told = Witness::new();
            let known = source.length().or_else(|| (name == "path").then_some(size));
            let call = store.manager.upload(source, &store.bucket, &key).subscriber(Arc::clone(&told));
            let future = call.start().unwrap();
            assert_eq!(future.meta().size(), known, "{what}");
            let outcome = future.result(LIMIT).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!((outcome.bytes, outcome.retries), (size, 0), "{what}");
            assert_eq!(outcome.verified, Verified::FullObject(Algorithm::Crc64Nvme), "{what}");
            told.assert_complete(size, &what);
            assert_eq!(future.meta().bytes_transferred(), size, "{what}");
            let stored = store.bytes(&key);
            assert_eq!(stored.len() as u64, size, "{what}");
            pattern::check(size + 1, 0, &stored).unwrap_or_else(|error| panic!("{what}: {error}"));
        }
    }
    store.assert_clean(&["source"]);
}

#[test]
fn every_kind_of_target_gets_the_whole_object() {
    let store = Store::open();
    for size in [0, 1, PART - 1, PART + 1, 2 * PART, 4 * PART + 17] {
        let data = pattern::bytes(size, size as usize);
        let key = store.key(&format!("target {size}"));
        store.manager.upload(data.clone(), &store.bucket, &key).start().unwrap().result(LIMIT).unwrap();
        let path = store.folder.path().join("target");
        let (writer, seekable, asynchronous) = (Sink::new(), Sink::behind(b"in front"), Sink::new());
        let targets: Vec<(&str, DownloadTarget)> = vec![
            ("path", DownloadTarget::path(&path)),
            ("memory", DownloadTarget::memory()),
            ("writer", DownloadTarget::writer(writer.clone())),
            ("seekable", DownloadTarget::seekable(seekable.clone())),
            ("async writer", DownloadTarget::async_writer(asynchronous.clone())),
        ];
        for (name, target) in targets {
            let what = format!("{name} of {size}");
            let told = Witness::new();
            let call = store.manager.download(&store.bucket, &key, target).subscriber(Arc::clone(&told));
            let outcome = call.start().unwrap().result(LIMIT).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!((outcome.bytes, outcome.verified), (size, store.verified(size)), "{what}");
            told.assert_complete(size, &what);
            let got = match name {
                "path" => std::fs::read(&path).unwrap(),
                "memory" => outcome.body.unwrap().to_vec(),
                "writer" => writer.bytes(),
                "seekable" => {
                    assert_eq!(seekable.bytes()[..8], *b"in front");
                    seekable.bytes()[8..].to_vec()
                }
                _ => asynchronous.bytes(),
            };
            assert!(got == data, "{what}: wrong bytes");
            assert_eq!(outcome.etag.as_deref(), store.head(&key).e_tag(), "{what}");
        }
        assert!(writer.flushed() && seekable.flushed() && asynchronous.flushed(), "size {size}");

        let mut stream = store.manager.download_stream(&store.bucket, &key);
        let got = store.block_on(async {
            let mut got = Vec::new();
            while let Some(piece) = stream.next().await {
                got.extend_from_slice(&piece.unwrap());
            }
            got
        });
        assert!(got == data, "stream of {size}: wrong bytes");
    }
    store.assert_clean(&["target"]);
}

#[test]
fn keys_of_every_spelling_arrive_as_they_are() {
    let store = Store::open();
    let mut keys: Vec<String> = [
        "with spaces in it",
        "plus+and%percent%20twice%2F",
        "question?mark&ampersand#hash=equals;semicolon",
        "üñïçødé/日本語/🦀",
        ".leading.dot",
        "quote\"s'and<angles>",
        "back\\slash|pipe^caret`tick{brace}[bracket]~tilde",
        "at@sign:colon,comma!bang*star(paren)$dollar",
    ]
    .map(|name| store.key(name))
    .to_vec();
    if store.profile.keys_are_not_paths {
        keys.extend(["a//b", "a/b", "//", "trailing/", "./x", "../x", "..", "%"].map(|name| store.key(name)));
        let longest = store.key(&"k".repeat(1024));
        keys.push(longest[..1024].to_owned());
        // 1,024 bytes of letters that take three each, and a part of it that has none.
        let wide = store.key(&"語".repeat(400));
        let end = (0..=1024).rev().find(|end| wide.is_char_boundary(*end)).unwrap();
        keys.push(format!("{}{}", &wide[..end], "x".repeat(1024 - end)));
    } else {
        // The longest key whose segments are names of files.
        let segments = store.key(&"0123456789abcde/".repeat(64));
        keys.push(format!("{}z", &segments[..1023]));
    }
    for (index, key) in keys.iter().enumerate() {
        let data = format!("object number {index}").into_bytes();
        store.manager.upload(data, &store.bucket, key).start().unwrap().result(LIMIT).unwrap();
    }
    for (index, key) in keys.iter().enumerate() {
        let expected = format!("object number {index}").into_bytes();
        assert_eq!(store.bytes(key), expected, "{key} by the SDK");
        let got = store.manager.download(&store.bucket, key, DownloadTarget::memory());
        assert_eq!(got.start().unwrap().result(LIMIT).unwrap().body.unwrap(), expected, "{key}");
    }
    // In many requests as well.
    let key = &keys[1];
    let data = pattern::bytes(1, THRESHOLD as usize + 1);
    store.manager.upload(data.clone(), &store.bucket, key).start().unwrap().result(LIMIT).unwrap();
    let got = store.manager.download(&store.bucket, key, DownloadTarget::memory());
    assert_eq!(got.start().unwrap().result(LIMIT).unwrap().body.unwrap(), data);
    for key in &keys {
        store.manager.delete(&store.bucket, key).start().unwrap().result(LIMIT).unwrap();
        assert!(!store.exists(key), "{key} is still there");
    }
    store.assert_clean(&[]);
}

#[test]
fn arguments_arrive_with_the_object() {
    let store = Store::open();
    let args = ExtraArgs::new()
        .content_type("text/x-test; charset=utf-8")
        .cache_control("max-age=60")
        .content_disposition("attachment; filename=\"a b.txt\"")
        .metadata([("origin", "camera 1"), ("Mixed-Case", "kept")]);
    for size in [10, THRESHOLD + 1] {
        let key = store.key(&format!("arguments {size}"));
        let call = store.manager.upload(pattern::bytes(1, size as usize), &store.bucket, &key);
        let future = call.extra_args(args.clone()).start().unwrap();
        future.result(LIMIT).unwrap();
        let call_args = future.meta().call_args();
        assert_eq!((call_args.kind, &*call_args.key), (CallKind::Upload, &*key));
        assert_eq!(call_args.extra_args, args);
        let head = store.head(&key);
        assert_eq!(head.content_type(), Some("text/x-test; charset=utf-8"));
        assert_eq!(head.cache_control(), Some("max-age=60"));
        assert_eq!(head.content_disposition(), Some("attachment; filename=\"a b.txt\""));
        let metadata = head.metadata().unwrap();
        assert_eq!(metadata.get("origin").map(String::as_str), Some("camera 1"));
        let mixed = metadata.iter().find(|(name, _)| name.eq_ignore_ascii_case("mixed-case"));
        assert_eq!(mixed.map(|(_, value)| value.as_str()), Some("kept"));
    }
    store.assert_clean(&[]);
}

#[test]
fn a_range_of_an_object_is_an_object_of_its_own() {
    let store = Store::open();
    let size = 4 * PART;
    let data = pattern::bytes(3, size as usize);
    let key = store.key("ranged");
    store.manager.upload(data.clone(), &store.bucket, &key).start().unwrap().result(LIMIT).unwrap();
    let (whole, tail) = (0..size, size - 7..size);
    for (range, bytes) in [
        ("bytes=0-0", 0..1),
        ("bytes=100-", 100..size),
        ("bytes=1000000-16000000", 1_000_000..16_000_001),
        ("bytes=-7", tail),
        ("bytes=0-", whole),
    ] {
        let expected = &data[bytes.start as usize..bytes.end as usize];
        let target = store.folder.path().join("target");
        let call = store.manager.download(&store.bucket, &key, &target).extra_args(ExtraArgs::new().range(range));
        let outcome = call.start().unwrap().result(LIMIT).unwrap_or_else(|error| panic!("{range}: {error}"));
        assert_eq!(outcome.bytes, expected.len() as u64, "{range}");
        assert!(std::fs::read(&target).unwrap() == expected, "{range}: wrong bytes");
    }
    store.assert_clean(&["target"]);
}

#[test]
fn other_checksums_are_sent_and_verified() {
    let store = Store::open();
    for (algorithm, kind, small, large) in [
        (Algorithm::Crc32, None, Verified::FullObject(Algorithm::Crc32), None),
        (Algorithm::Crc32c, Some(ChecksumKind::FullObject), Verified::FullObject(Algorithm::Crc32c), None),
        (Algorithm::Sha256, None, Verified::FullObject(Algorithm::Sha256), Some(Verified::EachPart(Algorithm::Sha256))),
        (Algorithm::Sha1, None, Verified::FullObject(Algorithm::Sha1), Some(Verified::EachPart(Algorithm::Sha1))),
    ] {
        let mut args = ExtraArgs::new().checksum_algorithm(algorithm);
        if let Some(kind) = kind {
            args = args.checksum_type(kind);
        }
        for (size, expected) in [(1000, small), (THRESHOLD + 1, large.unwrap_or(small))] {
            let what = format!("{algorithm} of {size}");
            let key = store.key(&what);
            let data = pattern::bytes(5, size as usize);
            let call = store.manager.upload(data.clone(), &store.bucket, &key).extra_args(args.clone());
            let outcome = call.start().unwrap().result(LIMIT).unwrap_or_else(|error| panic!("{what}: {error}"));
            match (expected, outcome.verified) {
                // By default S3 makes a composite checksum of the parts' CRCs.
                (Verified::FullObject(a), Verified::EachPart(b)) if kind.is_none() && size > THRESHOLD => {
                    assert_eq!(a, b, "{what}");
                }
                (expected, verified) => assert_eq!(verified, expected, "{what}"),
            }
            let mut read = ExtraArgs::new();
            if !store.profile.multipart_checksums {
                // What such a store says of the object's checksum is wrong.
                read = read.checksum_mode("DISABLED");
            }
            let got = store.manager.download(&store.bucket, &key, DownloadTarget::memory()).extra_args(read);
            assert_eq!(got.start().unwrap().result(LIMIT).unwrap().body.unwrap(), data, "{what}");
        }
    }
    store.assert_clean(&[]);
}

#[test]
fn a_drained_manager_has_moved_everything() {
    let store = Store::open();
    let keys: Vec<String> = (0..20).map(|index| store.key(&format!("drained {index}"))).collect();
    for key in &keys {
        // Nobody waits for these.
        drop(store.manager.upload(pattern::bytes(4, 300_000), &store.bucket, key).start().unwrap());
    }
    store.manager.shutdown(Shutdown::Drain.within(LIMIT)).unwrap();
    for key in &keys {
        assert_eq!(store.head(key).content_length(), Some(300_000));
    }
    store.assert_clean(&[]);
}
