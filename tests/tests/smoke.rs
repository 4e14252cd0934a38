//! The shortest way through everything: up, down, delete.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use xfer_facade::{RequestSerializer, Shutdown, TransferManager, create_s3_client};
use xfer_tests::{TestServer, pattern};

fn manager(server: &TestServer) -> TransferManager {
    let credentials = aws_credential_types::Credentials::from_keys(server.access_key(), server.secret_key(), None);
    let client = create_s3_client(server.region())
        .endpoint_url(server.endpoint_url())
        .path_style(true)
        .credentials(credentials)
        .build()
        .unwrap();
    let serializer = RequestSerializer::for_client(&client);
    TransferManager::new(client, serializer)
}

#[test]
fn round_trip() {
    let server = TestServer::start();
    let manager = manager(&server);
    let folder = tempfile::tempdir().unwrap();
    for size in [0_u64, 1, 5 << 20, (8 << 20) + 1, 40 << 20] {
        let source = folder.path().join("source");
        let target = folder.path().join("target");
        pattern::file(&source, size, size).unwrap();
        let up = manager.upload(&source, server.bucket(), "a/key").start().unwrap().result(None).unwrap();
        let down = manager.download(server.bucket(), "a/key", &target).start().unwrap().result(None).unwrap();
        eprintln!("{size}: {up:?}\n {down:?}");
        pattern::check_file(&target, size, size).unwrap();
        manager.delete(server.bucket(), "a/key").start().unwrap().result(None).unwrap();
        assert!(server.object(server.bucket(), "a/key").is_none());
    }
    manager.shutdown(Shutdown::Drain).unwrap();
    assert!(server.open_uploads().is_empty());
}
