use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode, Delete, ObjectIdentifier, StorageClass};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::client::{failure, raw, raw_signed, sdk, sdk_with_secret, streamed};
use crate::{Op, TestServer, pattern};

fn body(data: &[u8]) -> ByteStream {
    ByteStream::from(data.to_vec())
}

#[tokio::test]
async fn what_is_put_comes_back_with_all_its_properties() {
    let server = TestServer::start();
    let client = sdk(&server);
    let data = pattern::bytes(1, 300_000);
    let (stream, _file) = streamed(&data).await;
    let put = client
        .put_object()
        .bucket("bucket")
        .key("dir/file.txt")
        .content_type("text/plain")
        .cache_control("no-cache")
        .content_disposition("inline")
        .content_language("en")
        .storage_class(StorageClass::StandardIa)
        .tagging("a=1&b=2")
        .metadata("owner", "somebody")
        .body(stream)
        .send()
        .await
        .unwrap();
    assert_eq!(put.e_tag().unwrap(), server.object("bucket", "dir/file.txt").unwrap().etag());
    assert!(put.checksum_crc32().is_some(), "the SDK sends a CRC32 trailer and gets it back");

    let head = client
        .head_object()
        .bucket("bucket")
        .key("dir/file.txt")
        .checksum_mode(ChecksumMode::Enabled)
        .send()
        .await
        .unwrap();
    assert_eq!(head.content_length(), Some(300_000));
    assert_eq!(head.e_tag(), put.e_tag());
    assert_eq!(head.checksum_crc32(), put.checksum_crc32());
    assert_eq!(head.checksum_type().unwrap().as_str(), "FULL_OBJECT");
    assert_eq!(head.storage_class(), Some(&StorageClass::StandardIa));

    let get = client.get_object().bucket("bucket").key("dir/file.txt").send().await.unwrap();
    assert_eq!(get.content_type(), Some("text/plain"));
    assert_eq!(get.cache_control(), Some("no-cache"));
    assert_eq!(get.content_disposition(), Some("inline"));
    assert_eq!(get.content_language(), Some("en"));
    assert_eq!(get.content_encoding(), None, "aws-chunked is not the object's encoding");
    assert_eq!(get.tag_count(), Some(2));
    assert_eq!(get.metadata().unwrap()["owner"], "somebody");
    assert_eq!(get.body.collect().await.unwrap().to_vec(), data);

    let seen = server.requests();
    assert_eq!(seen[0].headers["x-amz-trailer"], "x-amz-checksum-crc32");
    assert_eq!(seen[0].headers["x-amz-content-sha256"], "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", "signed chunks");
    assert_eq!((seen[0].op, seen[0].status), (Op::PutObject, Some(200)));
    assert_eq!(server.stats().bytes_out, 300_000);
}

#[tokio::test]
async fn every_algorithm_is_verified_by_header_and_by_trailer() {
    let server = TestServer::start();
    let client = sdk(&server);
    let data = pattern::bytes(2, 70_000);
    for algorithm in [
        ChecksumAlgorithm::Crc32,
        ChecksumAlgorithm::Crc32C,
        ChecksumAlgorithm::Crc64Nvme,
        ChecksumAlgorithm::Sha1,
        ChecksumAlgorithm::Sha256,
    ] {
        let key = algorithm.as_str();
        let (stream, _file) = streamed(&data).await;
        client
            .put_object()
            .bucket("bucket")
            .key(key)
            .checksum_algorithm(algorithm.clone())
            .body(stream)
            .send()
            .await
            .unwrap();
        let stored = server.object("bucket", key).unwrap();
        assert_eq!(stored.checksum().unwrap().algorithm.name(), key, "by trailer");
        let kept = stored.checksum().unwrap().algorithm;
        let value = BASE64.encode(kept.of(&data));
        assert_eq!(stored.checksum().unwrap().value, value);

        let put = |value: String| {
            let put = client.put_object().bucket("bucket").key(key).body(body(&data));
            match algorithm {
                ChecksumAlgorithm::Crc32 => put.checksum_crc32(value),
                ChecksumAlgorithm::Crc32C => put.checksum_crc32_c(value),
                ChecksumAlgorithm::Crc64Nvme => put.checksum_crc64_nvme(value),
                ChecksumAlgorithm::Sha1 => put.checksum_sha1(value),
                _ => put.checksum_sha256(value),
            }
        };
        put(value.clone()).send().await.unwrap();
        let wrong = BASE64.encode(kept.of(b"something else"));
        assert_eq!(failure(put(wrong).send().await), (400, "BadDigest".to_owned()), "{key} by header");
    }
}

#[test]
fn unsigned_payloads_with_signed_headers() {
    let server = TestServer::start();
    let chunked = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n";
    let len = chunked.len().to_string();
    let headers = [
        ("content-length", len.as_str()),
        ("content-encoding", "aws-chunked"),
        ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        ("x-amz-decoded-content-length", "5"),
        ("x-amz-trailer", "x-amz-checksum-crc32"),
    ];
    assert_eq!(raw_signed(&server, "wrong", "PUT", "/bucket/k", &headers, chunked).status, 403);
    assert_eq!(raw_signed(&server, server.secret_key(), "PUT", "/bucket/k", &headers, chunked).status, 200);
    assert_eq!(server.object("bucket", "k").unwrap().bytes(), "hello");
    let headers = [("content-length", "3"), ("x-amz-content-sha256", "UNSIGNED-PAYLOAD")];
    assert_eq!(raw_signed(&server, server.secret_key(), "PUT", "/bucket/plain%20key", &headers, b"abc").status, 200);
    assert_eq!(server.object("bucket", "plain key").unwrap().bytes(), "abc");
}

#[test]
fn a_wrong_trailer_or_a_missing_one_is_refused() {
    let server = TestServer::builder().auth(false).start();
    let chunked = |trailer: &str| format!("5\r\nhello\r\n0\r\n{trailer}\r\n");
    let put = |body: &str| {
        let len = body.len().to_string();
        let headers = [
            ("content-length", len.as_str()),
            ("content-encoding", "aws-chunked"),
            ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
            ("x-amz-decoded-content-length", "5"),
            ("x-amz-trailer", "x-amz-checksum-crc32"),
        ];
        raw(&server, "PUT", "/bucket/k", &headers, body.as_bytes())
    };
    assert_eq!(put(&chunked("x-amz-checksum-crc32:NhCmhg==\r\n")).status, 200);
    let wrong = put(&chunked("x-amz-checksum-crc32:NhCmhQ==\r\n"));
    assert!(wrong.status == 400 && String::from_utf8_lossy(&wrong.body).contains("BadDigest"), "{wrong:?}");
    let missing = put(&chunked(""));
    assert!(String::from_utf8_lossy(&missing.body).contains("MalformedTrailerError"), "{missing:?}");
    let short = put("4\r\nhell\r\n0\r\nx-amz-checksum-crc32:Ssoedw==\r\n\r\n");
    assert!(String::from_utf8_lossy(&short.body).contains("IncompleteBody"), "{short:?}");
    assert_eq!(server.object("bucket", "k").unwrap().bytes(), "hello");
}

#[tokio::test]
async fn ranges_of_all_forms() {
    let server = TestServer::start();
    let client = sdk(&server);
    let data = pattern::bytes(3, 1000);
    server.put_object("bucket", "k", data.clone());
    server.put_object("bucket", "empty", "");
    for (range, start, end) in [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=990-5000", 990, 1000),
        ("bytes=500-", 500, 1000),
        ("bytes=-7", 993, 1000),
        ("bytes=-5000", 0, 1000),
    ] {
        let get = client
            .get_object()
            .bucket("bucket")
            .key("k")
            .range(range)
            .checksum_mode(ChecksumMode::Enabled)
            .send()
            .await
            .unwrap();
        assert_eq!(get.content_range(), Some(format!("bytes {start}-{}/1000", end - 1).as_str()), "{range}");
        assert_eq!(get.checksum_crc64_nvme(), None, "no whole-object checksum on a range");
        assert_eq!(get.body.collect().await.unwrap().to_vec(), data[start..end], "{range}");
        let head = client.head_object().bucket("bucket").key("k").range(range).send().await.unwrap();
        assert_eq!(head.content_length(), Some((end - start) as i64));
    }
    assert!(server.requests().iter().all(|request| request.status == Some(206)));
    for (key, range) in [("k", "bytes=1000-"), ("k", "bytes=-0"), ("empty", "bytes=0-"), ("empty", "bytes=-1")] {
        let get = client.get_object().bucket("bucket").key(key).range(range).send().await;
        assert_eq!(failure(get), (416, "InvalidRange".to_owned()), "{key} {range}");
    }
    let whole =
        client.get_object().bucket("bucket").key("k").checksum_mode(ChecksumMode::Enabled).send().await.unwrap();
    assert_eq!(
        whole.checksum_crc64_nvme(),
        server.object("bucket", "k").unwrap().checksum().map(|checksum| checksum.value.as_str())
    );
}

#[tokio::test]
async fn conditions_guard_reads_writes_and_deletes() {
    let server = TestServer::start();
    let client = sdk(&server);
    let etag = server.put_object("bucket", "k", "one").etag();
    let get = || client.get_object().bucket("bucket").key("k");
    get().if_match(&etag).send().await.unwrap();
    assert_eq!(failure(get().if_match("\"other\"").send().await).0, 412);
    assert_eq!(failure(get().if_none_match(&etag).send().await).0, 304);
    get().if_none_match("\"other\"").send().await.unwrap();
    let (past, future) = (DateTime::from_secs(1_000_000_000), DateTime::from_secs(4_000_000_000));
    assert_eq!(failure(get().if_modified_since(future).send().await).0, 304);
    get().if_modified_since(past).send().await.unwrap();
    assert_eq!(failure(get().if_unmodified_since(past).send().await).0, 412);
    get().if_unmodified_since(future).send().await.unwrap();
    get().if_match(&etag).if_unmodified_since(past).send().await.unwrap();
    assert_eq!(failure(client.head_object().bucket("bucket").key("k").if_match("\"other\"").send().await).0, 412);

    let put = |key: &str| client.put_object().bucket("bucket").key(key).body(body(b"two"));
    assert_eq!(failure(put("k").if_none_match("*").send().await), (412, "PreconditionFailed".to_owned()));
    put("new").if_none_match("*").send().await.unwrap();
    assert_eq!(failure(put("k").if_match("\"other\"").send().await).0, 412);
    assert_eq!(failure(put("missing").if_match("\"other\"").send().await), (404, "NoSuchKey".to_owned()));
    assert_eq!(server.object("bucket", "k").unwrap().bytes(), "one");
    put("k").if_match(&etag).send().await.unwrap();

    let delete = || client.delete_object().bucket("bucket").key("k");
    assert_eq!(failure(delete().if_match(&etag).send().await).0, 412);
    delete().send().await.unwrap();
    delete().send().await.unwrap();
    assert_eq!(server.list_keys("bucket"), ["new"]);
}

#[tokio::test]
async fn keys_of_all_kinds_survive_the_round_trip() {
    let server = TestServer::start();
    let client = sdk(&server);
    let long = "k".repeat(1024);
    let keys = [
        "plain",
        "with space",
        "a+b",
        "100%",
        "%2F",
        "a//b",
        "x/../y",
        "./dot",
        "trailing/",
        "/leading",
        "ünï/日本語/🦀",
        "a&b=c?d#e",
        "quote\"'<>",
        "semi;colon,comma:at@$!*()[]{}|\\^`~",
        &long,
    ];
    for key in keys {
        client
            .put_object()
            .bucket("bucket")
            .key(key)
            .body(body(key.as_bytes()))
            .send()
            .await
            .unwrap_or_else(|error| panic!("{key}: {error:?}"));
        let get = client.get_object().bucket("bucket").key(key).send().await.unwrap();
        assert_eq!(get.body.collect().await.unwrap().to_vec(), key.as_bytes(), "{key}");
    }
    let mut sorted: Vec<_> = keys.iter().map(ToString::to_string).collect();
    sorted.sort();
    assert_eq!(server.list_keys("bucket"), sorted);
    assert!(server.requests().iter().all(|request| keys.contains(&request.key.as_deref().unwrap())));

    let mut listed = Vec::new();
    let mut pages = client.list_objects_v2().bucket("bucket").max_keys(4).into_paginator().send();
    while let Some(page) = pages.next().await {
        listed.extend(page.unwrap().contents().iter().map(|object| object.key().unwrap().to_owned()));
    }
    assert_eq!(listed, sorted);

    let objects = keys.iter().map(|key| ObjectIdentifier::builder().key(*key).build().unwrap()).collect();
    let delete = Delete::builder().set_objects(Some(objects)).build().unwrap();
    let deleted = client.delete_objects().bucket("bucket").delete(delete).send().await.unwrap();
    assert_eq!((deleted.deleted().len(), deleted.errors().len()), (keys.len(), 0));
    assert!(server.list_keys("bucket").is_empty());
    assert!(client.put_object().bucket("bucket").key(format!("{long}k")).send().await.is_err());
}

#[tokio::test]
async fn delimiters_group_and_pages_neither_repeat_nor_skip() {
    let server = TestServer::start();
    let client = sdk(&server);
    for key in ["a", "d1/x", "d1/y", "d2/x", "d3/x", "e"] {
        server.put_object("bucket", key, "");
    }
    let (mut keys, mut groups) = (Vec::new(), Vec::new());
    let mut pages = client.list_objects_v2().bucket("bucket").delimiter("/").max_keys(2).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        assert!(page.key_count().unwrap() <= 2);
        keys.extend(page.contents().iter().map(|object| object.key().unwrap().to_owned()));
        groups.extend(page.common_prefixes().iter().map(|group| group.prefix().unwrap().to_owned()));
    }
    assert_eq!((keys, groups), (vec!["a".to_owned(), "e".into()], vec!["d1/".to_owned(), "d2/".into(), "d3/".into()]));
    let page = client.list_objects_v2().bucket("bucket").prefix("d1/").start_after("d1/x").send().await.unwrap();
    assert_eq!(page.contents().iter().map(|object| object.key().unwrap()).collect::<Vec<_>>(), ["d1/y"]);
}

#[tokio::test]
async fn a_customer_key_is_needed_to_read_what_it_wrote() {
    let server = TestServer::start();
    let client = sdk(&server);
    let key = |byte: u8| (BASE64.encode([byte; 32]), BASE64.encode(<md5::Md5 as md5::Digest>::digest([byte; 32])));
    let (right, right_md5) = key(1);
    let (wrong, wrong_md5) = key(2);
    let put = |md5: &str| {
        client
            .put_object()
            .bucket("bucket")
            .key("k")
            .body(body(b"secret"))
            .sse_customer_algorithm("AES256")
            .sse_customer_key(&right)
            .sse_customer_key_md5(md5)
    };
    assert_eq!(failure(put(&wrong_md5).send().await), (400, "InvalidArgument".to_owned()));
    assert_eq!(put(&right_md5).send().await.unwrap().sse_customer_key_md5(), Some(right_md5.as_str()));
    let get = || client.get_object().bucket("bucket").key("k");
    assert_eq!(failure(get().send().await), (400, "InvalidRequest".to_owned()));
    let read =
        get().sse_customer_algorithm("AES256").sse_customer_key(&wrong).sse_customer_key_md5(&wrong_md5).send().await;
    assert_eq!(failure(read), (403, "AccessDenied".to_owned()));
    let read = get()
        .sse_customer_algorithm("AES256")
        .sse_customer_key(&right)
        .sse_customer_key_md5(&right_md5)
        .send()
        .await
        .unwrap();
    assert_eq!(read.body.collect().await.unwrap().to_vec(), b"secret");
    assert_eq!(server.stats().auth_failures, 0, "a wrong customer key is no failed signature");
}

#[tokio::test]
async fn signatures_are_checked_unless_told_otherwise() {
    let server = TestServer::start();
    let put = sdk_with_secret(&server, "wrong").put_object().bucket("bucket").key("k").body(body(b"x")).send().await;
    assert_eq!(failure(put), (403, "SignatureDoesNotMatch".to_owned()));
    assert_eq!(raw(&server, "GET", "/bucket/k", &[], b"").status, 403);
    assert_eq!(server.stats().auth_failures, 2);
    assert!(server.list_keys("bucket").is_empty());

    let open = TestServer::builder().auth(false).start();
    sdk_with_secret(&open, "wrong").put_object().bucket("bucket").key("a b+%/ü").body(body(b"x")).send().await.unwrap();
    let answer = raw(&open, "GET", "/bucket/a%20b%2B%25/%C3%BC", &[], b"");
    assert_eq!((answer.status, &answer.body[..]), (200, &b"x"[..]));
    let (stream, _file) = streamed(b"signed chunks").await;
    sdk(&open).put_object().bucket("bucket").key("k").body(stream).send().await.unwrap();
    assert_eq!(open.object("bucket", "k").unwrap().bytes(), "signed chunks");
    assert_eq!(open.stats().auth_failures, 0);
}

#[tokio::test]
async fn what_does_not_exist_is_named() {
    let server = TestServer::start();
    let client = sdk(&server);
    assert_eq!(failure(client.get_object().bucket("bucket").key("k").send().await), (404, "NoSuchKey".to_owned()));
    assert_eq!(failure(client.head_object().bucket("bucket").key("k").send().await).0, 404);
    assert_eq!(failure(client.get_object().bucket("other").key("k").send().await), (404, "NoSuchBucket".to_owned()));
    let put = client.put_object().bucket("other").key("k").body(body(&[0; 200_000])).send().await;
    assert_eq!(failure(put), (404, "NoSuchBucket".to_owned()));
    assert_eq!(failure(client.head_bucket().bucket("other").send().await).0, 404);
    client.create_bucket().bucket("other").send().await.unwrap();
    assert_eq!(client.head_bucket().bucket("other").send().await.unwrap().bucket_region(), Some("us-east-1"));
    assert_eq!(server.stats().max_connections, 1, "refusals keep the connection");
}

#[tokio::test]
async fn the_host_header_can_name_the_bucket() {
    let server = TestServer::builder().auth(false).virtual_host_domain("s3.test").start();
    server.create_bucket("pics");
    server.put_object("pics", "deep/key", "cheese");
    let port = server.address().port();
    let mut stream = std::net::TcpStream::connect(server.address()).unwrap();
    use std::io::{Read as _, Write as _};
    write!(stream, "GET /deep/key HTTP/1.1\r\nHost: pics.s3.test:{port}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(super::client::parse(&answer).body, b"cheese");
    assert_eq!(server.requests()[0].bucket.as_deref(), Some("pics"));
}
