//! The store that the portable suite runs against: the embedded server, or whichever one the environment names.
//!
//! `XFER_TEST_ENDPOINT` names a real store; then `XFER_TEST_ACCESS_KEY`, `XFER_TEST_SECRET_KEY`, `XFER_TEST_REGION` (default
//! `us-east-1`), `XFER_TEST_BUCKET` (default `xfer-test`, made if missing) and `XFER_TEST_PROFILE` (default `s3`) say the rest. What a
//! store does differently from S3 is said by its [`Profile`], and each test asks the profile what to expect: none is skipped without
//! a word. The AWS SDK is the second witness of what is in the store.

use std::env;
use std::sync::atomic::{AtomicU32, Ordering};

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region, ResponseChecksumValidation};
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use xfer_facade::{Algorithm, ProxyPolicy, S3ClientBuilder, TransferManager, Verified, create_s3_client};
use xfer_tests::TestServer;

use super::{PART, THRESHOLD, manager_of, quick_retries, runtime};

/// What a store does, where stores differ.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Profile {
    name: &'static str,
    /// Whether it keeps the full-object checksum of an object that was uploaded in parts, so that downloads can be verified by it.
    pub(crate) multipart_checksums: bool,
    /// Whether it tells apart keys that differ in empty or dotted path segments only, and takes segments longer than a file name.
    pub(crate) keys_are_not_paths: bool,
    /// Whether it compares what it is sent with the checksum that goes along.
    pub(crate) compares_checksums: bool,
    /// Whether it asks for the customer's key of what was encrypted with one.
    pub(crate) asks_for_customer_keys: bool,
    /// Whether it looks at the If-Match of a completion of a multipart upload.
    pub(crate) if_match_of_completions: bool,
}

/// What S3 does, and the embedded server.
const S3: Profile = Profile {
    name: "s3",
    multipart_checksums: true,
    keys_are_not_paths: true,
    compares_checksums: true,
    asks_for_customer_keys: true,
    if_match_of_completions: true,
};

const PROFILES: [Profile; 3] = [
    S3,
    // Keeps objects in a file tree: `a//b` is `a/b`, and a segment is a file's name.
    Profile { name: "seaweedfs", keys_are_not_paths: false, ..S3 },
    // Takes a checksum of the parts' checksums for the object's, and compares none; looks neither at customers' keys nor at
    // the If-Match of completions.
    Profile {
        name: "moto",
        multipart_checksums: false,
        compares_checksums: false,
        asks_for_customer_keys: false,
        if_match_of_completions: false,
        ..S3
    },
];

/// A store under test.
pub(crate) struct Store {
    pub(crate) manager: TransferManager,
    pub(crate) bucket: String,
    pub(crate) profile: Profile,
    prefix: String,
    sdk: aws_sdk_s3::Client,
    runtime: tokio::runtime::Runtime,
    embedded: Option<TestServer>,
    pub(crate) folder: tempfile::TempDir,
}

static STORES: AtomicU32 = AtomicU32::new(0);

impl Store {
    /// The store that the environment names, else a new embedded server.
    pub(crate) fn open() -> Store {
        let setting = |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
        match env::var("XFER_TEST_ENDPOINT") {
            Ok(endpoint) => Store::at(
                &endpoint,
                [&setting("XFER_TEST_ACCESS_KEY", ""), &setting("XFER_TEST_SECRET_KEY", "")],
                &setting("XFER_TEST_REGION", "us-east-1"),
                &setting("XFER_TEST_BUCKET", "xfer-test"),
                &setting("XFER_TEST_PROFILE", "s3"),
                None,
            ),
            Err(_) => {
                let server = TestServer::start();
                let handle = server.handle();
                let keys = [handle.access_key(), handle.secret_key()];
                Store::at(&handle.endpoint_url(), keys, handle.region(), handle.bucket(), "s3", Some(server))
            }
        }
    }

    fn at(
        endpoint: &str,
        [access_key, secret_key]: [&str; 2],
        region: &str,
        bucket: &str,
        profile: &str,
        embedded: Option<TestServer>,
    ) -> Store {
        let profile = PROFILES.into_iter().find(|known| known.name == profile);
        let profile = profile.unwrap_or_else(|| panic!("XFER_TEST_PROFILE must be one of {PROFILES:?}"));
        let keys = Credentials::new(access_key, secret_key, None, None, "tests");
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .endpoint_url(endpoint)
            .force_path_style(true)
            .credentials_provider(keys.clone())
            // The bytes are compared by the tests.
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .build();
        let sdk = aws_sdk_s3::Client::from_conf(config);
        let runtime = runtime();
        runtime.block_on(async {
            if sdk.head_bucket().bucket(bucket).send().await.is_err()
                && let Err(error) = sdk.create_bucket().bucket(bucket).send().await
            {
                // Another test may have been quicker.
                let found = sdk.head_bucket().bucket(bucket).send().await;
                assert!(found.is_ok(), "the bucket {bucket} cannot be made: {error:?}");
            }
        });
        let builder: S3ClientBuilder = create_s3_client(region)
            .endpoint_url(endpoint)
            .path_style(true)
            .credentials(keys)
            .proxy(ProxyPolicy::None)
            .part_size(PART)
            .multipart_threshold(THRESHOLD)
            .retry(quick_retries());
        Store {
            manager: manager_of(&builder.build().unwrap()),
            bucket: bucket.to_owned(),
            profile,
            prefix: format!("xfer-{}-{}", std::process::id(), STORES.fetch_add(1, Ordering::Relaxed)),
            sdk,
            runtime,
            embedded,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// A key of this test's own.
    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.prefix)
    }

    /// What the store says of an object, asked by the SDK.
    pub(crate) fn head(&self, key: &str) -> HeadObjectOutput {
        self.runtime.block_on(self.sdk.head_object().bucket(&self.bucket).key(key).send()).unwrap()
    }

    /// The object's bytes, fetched by the SDK.
    pub(crate) fn bytes(&self, key: &str) -> Vec<u8> {
        self.runtime.block_on(async {
            let answer = self.sdk.get_object().bucket(&self.bucket).key(key).send().await.unwrap();
            answer.body.collect().await.unwrap().to_vec()
        })
    }

    /// The object's tags, in the order of their names; asked for by the SDK.
    pub(crate) fn tags(&self, key: &str) -> Vec<(String, String)> {
        if let Some(server) = &self.embedded {
            // Which keeps them as they came.
            let object = server.object(&self.bucket, key).unwrap();
            let tags = object.attributes().tagging.clone().unwrap_or_default();
            let plain = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned();
            return tags.split('&').filter_map(|tag| tag.split_once('=')).map(|(k, v)| (plain(k), plain(v))).collect();
        }
        let asked = self.sdk.get_object_tagging().bucket(&self.bucket).key(key).send();
        let answer = self.runtime.block_on(asked).unwrap();
        let mut tags: Vec<_> =
            answer.tag_set().iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect();
        tags.sort();
        tags
    }

    /// Whether the object is there.
    pub(crate) fn exists(&self, key: &str) -> bool {
        self.runtime.block_on(self.sdk.head_object().bucket(&self.bucket).key(key).send()).is_ok()
    }

    /// What the download of an object of this size shows to have been verified.
    pub(crate) fn verified(&self, size: u64) -> Verified {
        if size <= THRESHOLD || self.profile.multipart_checksums {
            Verified::FullObject(Algorithm::Crc64Nvme)
        } else {
            Verified::NotAvailable
        }
    }

    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Nothing is left behind under this test's keys, nor in its folder but `files`. Removes the test's objects.
    pub(crate) fn assert_clean(&self, files: &[&str]) {
        assert_eq!(self.manager.active(), 0);
        super::assert_files(self.folder.path(), files);
        self.runtime.block_on(async {
            let open =
                self.sdk.list_multipart_uploads().bucket(&self.bucket).prefix(&self.prefix).send().await.unwrap();
            assert_eq!(open.uploads(), &[], "multipart uploads are left");
            let listed = self.sdk.list_objects_v2().bucket(&self.bucket).prefix(&self.prefix).send().await.unwrap();
            for object in listed.contents() {
                let key = object.key().unwrap();
                self.sdk.delete_object().bucket(&self.bucket).key(key).send().await.unwrap();
            }
        });
    }
}
