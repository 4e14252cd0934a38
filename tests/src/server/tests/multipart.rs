use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode, ChecksumType, CompletedMultipartUpload, CompletedPart};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::client::{failure, sdk};
use crate::{TestServer, pattern};

const PART: usize = 5 * 1024 * 1024;

/// Uploads the pieces as parts 1, 3, 5, .. and returns the upload's id and its list of parts.
async fn upload(
    client: &Client,
    pieces: &[&[u8]],
    algorithm: Option<ChecksumAlgorithm>,
    kind: Option<ChecksumType>,
) -> (String, Vec<CompletedPart>) {
    let create = client
        .create_multipart_upload()
        .bucket("bucket")
        .key("k")
        .metadata("m", "v")
        .set_checksum_algorithm(algorithm.clone())
        .set_checksum_type(kind)
        .send()
        .await
        .unwrap();
    let id = create.upload_id().unwrap().to_owned();
    let mut parts = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        let number = 2 * index as i32 + 1;
        let mut part = client.upload_part().bucket("bucket").key("k").upload_id(&id).part_number(number);
        part = part.checksum_algorithm(algorithm.clone().unwrap_or(ChecksumAlgorithm::Crc64Nvme));
        let sent = part.body(ByteStream::from(piece.to_vec())).send().await.unwrap();
        parts.push(
            CompletedPart::builder()
                .part_number(number)
                .e_tag(sent.e_tag().unwrap())
                .set_checksum_crc32(sent.checksum_crc32().map(Into::into))
                .set_checksum_crc32_c(sent.checksum_crc32_c().map(Into::into))
                .set_checksum_crc64_nvme(sent.checksum_crc64_nvme().map(Into::into))
                .set_checksum_sha1(sent.checksum_sha1().map(Into::into))
                .set_checksum_sha256(sent.checksum_sha256().map(Into::into))
                .build(),
        );
    }
    (id, parts)
}

fn listed(parts: &[CompletedPart]) -> CompletedMultipartUpload {
    CompletedMultipartUpload::builder().set_parts(Some(parts.to_vec())).build()
}

fn complete(
    client: &Client,
    id: &str,
    parts: &[CompletedPart],
) -> aws_sdk_s3::operation::complete_multipart_upload::builders::CompleteMultipartUploadFluentBuilder {
    client.complete_multipart_upload().bucket("bucket").key("k").upload_id(id).multipart_upload(listed(parts))
}

#[tokio::test]
async fn parts_become_one_object_in_memory_and_in_files() {
    let dir = tempfile::tempdir().unwrap();
    for server in [TestServer::start(), TestServer::builder().storage_dir(dir.path()).start()] {
        let client = sdk(&server);
        let data = pattern::bytes(1, 2 * PART + 1234);
        let pieces: Vec<_> = data.chunks(PART).collect();
        let (id, parts) = upload(&client, &pieces, None, None).await;
        assert_eq!(server.open_uploads(), [("bucket".to_owned(), "k".to_owned(), id.clone())]);
        let list = client.list_parts().bucket("bucket").key("k").upload_id(&id).max_parts(2).send().await.unwrap();
        assert_eq!(list.parts().iter().map(|part| part.part_number().unwrap()).collect::<Vec<_>>(), [1, 3]);
        assert_eq!((list.is_truncated(), list.next_part_number_marker()), (Some(true), Some("3")));
        let list =
            client.list_parts().bucket("bucket").key("k").upload_id(&id).part_number_marker("3").send().await.unwrap();
        assert_eq!((list.parts().len(), list.parts()[0].size(), list.is_truncated()), (1, Some(1234), Some(false)));

        let done = complete(&client, &id, &parts).mpu_object_size(data.len() as i64).send().await.unwrap();
        let mut md5s = Vec::new();
        for piece in &pieces {
            md5s.extend(<md5::Md5 as md5::Digest>::digest(piece));
        }
        let etag = format!("\"{}-3\"", crate::backend::store::hex(&<md5::Md5 as md5::Digest>::digest(&md5s)));
        assert_eq!(done.e_tag(), Some(etag.as_str()));
        let whole = BASE64.encode(crate::ChecksumAlgorithm::Crc64Nvme.of(&data));
        assert_eq!(done.checksum_crc64_nvme(), Some(whole.as_str()), "combined from the parts");
        assert_eq!(done.checksum_type(), Some(&ChecksumType::FullObject));

        let object = server.object("bucket", "k").unwrap();
        assert_eq!(object.bytes(), data);
        assert_eq!(object.part_sizes(), [PART as u64, PART as u64, 1234]);
        assert_eq!(object.metadata()["m"], "v");
        assert!(server.open_uploads().is_empty());

        let get = client.get_object().bucket("bucket").key("k").part_number(3).send().await.unwrap();
        assert_eq!(get.parts_count(), Some(3));
        assert_eq!(get.content_range().unwrap(), format!("bytes {PART}-{}/{}", 2 * PART - 1, data.len()));
        assert_eq!(get.body.collect().await.unwrap().to_vec(), pieces[1]);
        let missing = client.head_object().bucket("bucket").key("k").part_number(2).send().await;
        assert_eq!(failure(missing).0, 416);
        let range = format!("bytes={}-{}", PART - 10, PART + 9);
        let get = client.get_object().bucket("bucket").key("k").range(range).send().await.unwrap();
        assert_eq!(get.body.collect().await.unwrap().to_vec(), data[PART - 10..PART + 10]);
        assert_eq!(failure(complete(&client, &id, &parts).send().await), (404, "NoSuchUpload".to_owned()));
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "the files go with the server");
}

#[tokio::test]
async fn checksums_of_the_whole_and_of_the_parts() {
    let server = TestServer::builder().min_part_size(0).start();
    let client = sdk(&server);
    let data = pattern::bytes(2, 100_000);
    let pieces: Vec<_> = data.chunks(40_000).collect();
    let kinds = [
        (ChecksumAlgorithm::Crc32, ChecksumType::FullObject),
        (ChecksumAlgorithm::Crc32, ChecksumType::Composite),
        (ChecksumAlgorithm::Crc32C, ChecksumType::FullObject),
        (ChecksumAlgorithm::Crc64Nvme, ChecksumType::FullObject),
        (ChecksumAlgorithm::Sha1, ChecksumType::Composite),
        (ChecksumAlgorithm::Sha256, ChecksumType::Composite),
    ];
    for (algorithm, kind) in kinds {
        let ours = crate::ChecksumAlgorithm::of_name(algorithm.as_str()).unwrap();
        let (id, parts) = upload(&client, &pieces, Some(algorithm.clone()), Some(kind.clone())).await;
        complete(&client, &id, &parts).checksum_type(kind.clone()).send().await.unwrap();
        let expected = match kind {
            ChecksumType::FullObject => BASE64.encode(ours.of(&data)),
            _ => {
                let sums: Vec<u8> = pieces.iter().flat_map(|piece| ours.of(piece)).collect();
                format!("{}-3", BASE64.encode(ours.of(&sums)))
            }
        };
        assert_eq!(server.object("bucket", "k").unwrap().checksum().unwrap().value, expected, "{algorithm:?} {kind:?}");
        let head =
            client.head_object().bucket("bucket").key("k").checksum_mode(ChecksumMode::Enabled).send().await.unwrap();
        assert_eq!(head.checksum_type(), Some(&kind));
        let part = client
            .head_object()
            .bucket("bucket")
            .key("k")
            .part_number(5)
            .checksum_mode(ChecksumMode::Enabled)
            .send()
            .await
            .unwrap();
        let of_part = BASE64.encode(ours.of(pieces[2]));
        let sent = [
            part.checksum_crc32(),
            part.checksum_crc32_c(),
            part.checksum_crc64_nvme(),
            part.checksum_sha1(),
            part.checksum_sha256(),
        ];
        assert_eq!(sent.into_iter().flatten().collect::<Vec<_>>(), [of_part], "the part's own checksum");
    }
    let (id, parts) = upload(&client, &pieces, Some(ChecksumAlgorithm::Crc32), Some(ChecksumType::FullObject)).await;
    let wrong = complete(&client, &id, &parts).checksum_crc32("AAAAAA==").send().await;
    assert_eq!(failure(wrong), (400, "BadDigest".to_owned()));
    let other = client
        .upload_part()
        .bucket("bucket")
        .key("k")
        .upload_id(&id)
        .part_number(9)
        .checksum_algorithm(ChecksumAlgorithm::Sha1);
    assert_eq!(failure(other.body(ByteStream::from_static(b"x")).send().await), (400, "InvalidRequest".to_owned()));
    let right = BASE64.encode(crate::ChecksumAlgorithm::Crc32.of(&data));
    complete(&client, &id, &parts).checksum_crc32(right).send().await.unwrap();
}

#[tokio::test]
async fn a_wrong_list_of_parts_is_refused_and_changes_nothing() {
    let server = TestServer::start();
    let client = sdk(&server);
    let big = vec![1; PART];
    let (id, parts) = upload(&client, &[&big, b"last"], Some(ChecksumAlgorithm::Crc32), None).await;
    let refused = |parts: Vec<CompletedPart>| {
        let client = &client;
        let id = &id;
        async move { failure(complete(client, id, &parts).send().await) }
    };
    let with = |index: usize, change: &dyn Fn(CompletedPart) -> CompletedPart| {
        let mut changed = parts.clone();
        changed[index] = change(changed[index].clone());
        changed
    };
    assert_eq!(refused(vec![parts[1].clone(), parts[0].clone()]).await.1, "InvalidPartOrder");
    assert_eq!(refused(vec![parts[0].clone(), parts[0].clone()]).await.1, "InvalidPartOrder");
    assert_eq!(refused(vec![]).await.1, "MalformedXML");
    let rebuild = |part: &CompletedPart| {
        CompletedPart::builder().part_number(part.part_number().unwrap()).e_tag(part.e_tag().unwrap())
    };
    let etag = with(1, &|part| {
        rebuild(&part).e_tag("\"nope\"").set_checksum_crc32(part.checksum_crc32().map(Into::into)).build()
    });
    assert_eq!(refused(etag).await.1, "InvalidPart");
    let number = with(1, &|part| {
        rebuild(&part).part_number(7).set_checksum_crc32(part.checksum_crc32().map(Into::into)).build()
    });
    assert_eq!(refused(number).await.1, "InvalidPart");
    assert_eq!(refused(with(0, &|part| rebuild(&part).checksum_crc32("AAAAAA==").build())).await.1, "InvalidPart");
    assert_eq!(refused(with(0, &|part| rebuild(&part).build())).await.1, "InvalidRequest");
    let size = complete(&client, &id, &parts).mpu_object_size(5).send().await;
    assert_eq!(failure(size), (400, "InvalidRequest".to_owned()));
    server.put_object("bucket", "k", "in the way");
    let exists = complete(&client, &id, &parts).if_none_match("*").send().await;
    assert_eq!(failure(exists), (412, "PreconditionFailed".to_owned()));
    assert_eq!(server.object("bucket", "k").unwrap().bytes(), "in the way");
    complete(&client, &id, &parts).send().await.unwrap();
    assert_eq!(server.object("bucket", "k").unwrap().len(), PART as u64 + 4);

    let (id, parts) = upload(&client, &[&big[..PART - 1], b"last"], None, None).await;
    assert_eq!(failure(complete(&client, &id, &parts).send().await), (400, "EntityTooSmall".to_owned()));
}

#[tokio::test]
async fn an_aborted_upload_is_gone() {
    let server = TestServer::start();
    let client = sdk(&server);
    let (id, parts) = upload(&client, &[b"part"], None, None).await;
    let (other, _) = upload(&client, &[], None, None).await;
    let list = client.list_multipart_uploads().bucket("bucket").send().await.unwrap();
    assert_eq!(list.uploads().len(), 2);
    let first = client.list_multipart_uploads().bucket("bucket").max_uploads(1).send().await.unwrap();
    assert_eq!(first.is_truncated(), Some(true));
    let second = client
        .list_multipart_uploads()
        .bucket("bucket")
        .key_marker(first.next_key_marker().unwrap())
        .upload_id_marker(first.next_upload_id_marker().unwrap())
        .send()
        .await
        .unwrap();
    let mut ids = [first.uploads()[0].upload_id().unwrap(), second.uploads()[0].upload_id().unwrap()];
    ids.sort_unstable();
    let mut expected = [id.as_str(), other.as_str()];
    expected.sort_unstable();
    assert_eq!(ids, expected);

    let abort = |id: &str| client.abort_multipart_upload().bucket("bucket").key("k").upload_id(id).send();
    abort(&id).await.unwrap();
    assert_eq!(failure(abort(&id).await), (404, "NoSuchUpload".to_owned()));
    let part = client
        .upload_part()
        .bucket("bucket")
        .key("k")
        .upload_id(&id)
        .part_number(2)
        .body(ByteStream::from(vec![0; 300_000]));
    assert_eq!(failure(part.send().await), (404, "NoSuchUpload".to_owned()));
    assert_eq!(failure(complete(&client, &id, &parts).send().await), (404, "NoSuchUpload".to_owned()));
    assert_eq!(server.open_uploads().len(), 1);
}

#[tokio::test]
async fn fast_etags_are_unique_and_accepted() {
    let server = TestServer::builder().fast_etags().min_part_size(0).start();
    let client = sdk(&server);
    let (id, parts) = upload(&client, &[b"same", b"same"], None, None).await;
    assert_ne!(parts[0].e_tag(), parts[1].e_tag());
    let done = complete(&client, &id, &parts).send().await.unwrap();
    assert!(done.e_tag().unwrap().ends_with("-2\""));
    assert_eq!(server.object("bucket", "k").unwrap().bytes(), "samesame");
}
