//! Versions, and who may do what.

use aws_sdk_s3::types::{Delete, ObjectIdentifier, RequestPayer};

use super::client::{failure, sdk};
use crate::TestServer;

#[tokio::test]
async fn versions_are_kept_until_they_are_deleted() {
    let server = TestServer::builder().versioning().mfa_delete("device 123456").start();
    let client = sdk(&server);
    let mut versions = Vec::new();
    for text in ["first", "second"] {
        let body = text.as_bytes().to_vec().into();
        let put = client.put_object().bucket("bucket").key("k").body(body).send().await.unwrap();
        versions.push(put.version_id().unwrap().to_owned());
    }
    let get = |version: Option<&str>| {
        let get = client.get_object().bucket("bucket").key("k").set_version_id(version.map(str::to_owned));
        async move { get.send().await }
    };
    for (version, text) in [(Some(&*versions[0]), "first"), (Some(&*versions[1]), "second"), (None, "second")] {
        let got = get(version).await.unwrap();
        assert_eq!(got.version_id(), Some(version.unwrap_or(&versions[1])));
        assert_eq!(got.body.collect().await.unwrap().to_vec(), text.as_bytes());
    }
    assert_eq!(failure(get(Some("other")).await), (404, "NoSuchVersion".to_owned()));

    let marker = client.delete_object().bucket("bucket").key("k").send().await.unwrap();
    assert_eq!(marker.delete_marker(), Some(true));
    let marker = marker.version_id().unwrap().to_owned();
    assert_eq!(failure(get(None).await), (404, "NoSuchKey".to_owned()));
    assert_eq!(failure(get(Some(&marker)).await), (405, "MethodNotAllowed".to_owned()));
    assert!(get(Some(&versions[0])).await.is_ok(), "a marker hides and does not delete");

    let delete = |version: &str, mfa: Option<&str>| {
        let delete = client.delete_object().bucket("bucket").key("k").version_id(version);
        let delete = delete.set_mfa(mfa.map(str::to_owned));
        async move { delete.send().await }
    };
    assert_eq!(failure(delete(&marker, None).await), (403, "AccessDenied".to_owned()));
    let deleted = delete(&marker, Some("device 123456")).await.unwrap();
    assert_eq!((deleted.delete_marker(), deleted.version_id()), (Some(true), Some(&*marker)));
    assert!(get(None).await.is_ok(), "the object is back");
    delete(&versions[1], Some("device 123456")).await.unwrap();
    assert_eq!(get(None).await.unwrap().version_id(), Some(&*versions[0]));

    let object = ObjectIdentifier::builder().key("k").version_id(&versions[0]).build().unwrap();
    let many = Delete::builder().objects(object).build().unwrap();
    client.delete_objects().bucket("bucket").delete(many).send().await.unwrap();
    assert_eq!(failure(get(Some(&versions[0])).await), (404, "NoSuchVersion".to_owned()));
}

#[tokio::test]
async fn the_owner_and_the_payer_are_asked_for() {
    let server = TestServer::builder().requester_pays().start();
    server.put_object("bucket", "k", "text");
    let client = sdk(&server);
    let get = || client.get_object().bucket("bucket").key("k");
    let denied = (403, "AccessDenied".to_owned());
    assert_eq!(failure(get().send().await), denied);
    let pays = || get().request_payer(RequestPayer::Requester);
    assert!(pays().send().await.is_ok());
    assert!(pays().expected_bucket_owner(server.owner()).send().await.is_ok());
    assert_eq!(failure(pays().expected_bucket_owner("999999999999").send().await), denied);
}
