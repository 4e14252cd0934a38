//! Making a client: what it is told is what it does, what comes first where several say something, what cannot be is refused at once, and
//! nobody is asked for anything before the first transfer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_types::SdkConfig;
use aws_types::region::Region;
use common::peers::{Answer, Peer};
use common::{Bed, LIMIT, PART, child, client_of, kind, manager_of, quick_retries};
use xfer_facade::{
    Error, ErrorKind, Operation, ProxyPolicy, RequestDict, RequestSerializer, RetryPolicy, S3Client, S3ClientBuilder,
    TransferConfig, TransferManager, Verify, create_s3_client,
};
use xfer_tests::TestServer;

/// Not a test of its own: what children do.
#[test]
fn child() {
    match child::task().as_deref() {
        Some("threads") => child::say(threads_of_a_client_with(3)),
        Some("ended") => {
            let Bed { manager, client, server, .. } = Bed::new();
            let future = manager.upload(&b"x"[..], server.bucket(), "k").start().unwrap();
            future.result(LIMIT).unwrap();
            drop((manager, client));
            common::eventually("the threads go", || lanes() == 0);
            child::say(future.result(None).unwrap().bytes);
        }
        Some("build") => {
            child::say(told(create_s3_client("").build()));
            child::say(told(create_s3_client("eu-central-1").build()));
        }
        Some("upload") => {
            let client = create_s3_client("").path_style(true).retry(quick_retries()).build().unwrap();
            let manager = manager_of(&client);
            let upload = manager.upload(&b"x"[..], "bucket", "k").start().unwrap();
            child::say(upload.result(LIMIT).map_or_else(|error| format!("{error:?}"), |_| "stored".to_owned()));
        }
        Some("where") => {
            child::say(origin(&create_s3_client("").build().unwrap()));
            let explicit = create_s3_client("eu-west-3").endpoint_url("http://explicit:1").path_style(true);
            child::say(origin(&explicit.dual_stack(false).fips(false).build().unwrap()));
            child::say(origin(&create_s3_client("").dual_stack(false).fips(false).build().unwrap()));
        }
        Some(other) => panic!("no task {other}"),
        None => {}
    }
}

fn told(built: Result<S3Client, Error>) -> String {
    built.map_or_else(|error| error.to_string(), |client| format!("region {}", client.region()))
}

/// Where a client sends its requests: without the key.
fn origin(client: &S3Client) -> String {
    let request = RequestDict::new(Operation::GetObject, "bucket", "KEY");
    let url = RequestSerializer::for_client(client).serialize_http_request(&request).unwrap().url;
    format!("{} {}", client.region(), url.split("KEY").next().unwrap())
}

#[test]
fn what_was_asked_for_is_what_there_is() {
    let client = create_s3_client("eu-central-1")
        .anonymous()
        .num_threads(3)
        .target_throughput(2_500_000_000)
        .part_size(64 << 20)
        .build()
        .unwrap();
    assert_eq!((client.region(), client.num_threads(), client.part_size()), ("eu-central-1", 3, 64 << 20));
    // One connection for each 0.4 Gbit/s.
    assert_eq!(client.max_connections(), 50);
    assert_eq!(client.peak_connections(), 0);
    let connections = |builder: S3ClientBuilder| builder.anonymous().build().unwrap().max_connections();
    assert_eq!(connections(create_s3_client("r").target_throughput(1)), 10, "ten at the least");
    assert_eq!(connections(create_s3_client("r").target_throughput(u64::MAX)), 10_000);
    assert_eq!(connections(create_s3_client("r").target_throughput(1).max_connections(7)), 7, "the number comes first");

    let plain = create_s3_client("eu-central-1").anonymous().build().unwrap();
    assert_eq!(plain.part_size(), 8 << 20);
    assert!((1..=1024).contains(&plain.num_threads()));
    assert!(plain.max_connections() >= 64);
    // Less than S3 takes is raised, and said.
    assert_eq!(create_s3_client("r").anonymous().part_size(1).build().unwrap().part_size(), 5 << 20);
}

/// How many threads move bytes, once a client with so many of them has moved some.
fn threads_of_a_client_with(threads: usize) -> usize {
    let bed = Bed::with(|server| server, |client| client.num_threads(threads));
    bed.assert_works();
    lanes()
}

fn lanes() -> usize {
    let names = std::fs::read_dir("/proc/self/task").unwrap().map(|task| {
        // A thread may end between the list and the look.
        std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap_or_default()
    });
    names.filter(|name| name.starts_with("xfer-lane")).count()
}

#[test]
#[cfg(target_os = "linux")]
fn there_are_as_many_threads_as_were_asked_for() {
    assert_eq!(child::run("threads", &[("", ""); 0]), ["3"]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_future_that_is_kept_for_its_outcome_keeps_no_threads() {
    assert_eq!(child::run("ended", &[("", ""); 0]), ["1"]);
}

#[test]
fn numbers_that_cannot_be_are_refused_when_the_client_is_built() {
    let new = || create_s3_client("eu-central-1").anonymous();
    let retry = |policy| new().retry(policy);
    let zero = [
        ("num_threads", new().num_threads(0)),
        ("target_throughput", new().target_throughput(0)),
        ("max_bandwidth", new().max_bandwidth(0)),
        ("part_size", new().part_size(0)),
        ("multipart_threshold", new().multipart_threshold(0)),
        ("max_connections", new().max_connections(0)),
        ("retry.max_attempts", retry(RetryPolicy { max_attempts: 0, ..RetryPolicy::default() })),
        ("retry.max_total", retry(RetryPolicy { max_total: 0, ..RetryPolicy::default() })),
    ];
    for (name, builder) in zero {
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{name}");
        assert_eq!(error.message(), format!("Provided parameter {name} of value 0 must be greater than 0."));
    }
    let others = [
        (new().num_threads(1025), "num_threads is 1025 and must be at most 1024"),
        (new().max_connections(10_001), "max_connections is 10001 and must be at most 10000"),
        (new().memory_limit((1 << 20) - 1), "memory_limit is 1048575 bytes and must be at least 1048576"),
        (new().memory_limit(0), "memory_limit is 0 bytes and must be at least 1048576"),
        (new().part_size((5 << 30) + 1), "a part of 5368709121 bytes is larger than the 5368709120 that S3 takes"),
    ];
    for (builder, message) in others {
        let error = builder.build().unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::InvalidConfig, message));
    }
    // The largest that can be.
    let large = new().num_threads(1024).max_connections(10_000).memory_limit(u64::MAX).part_size(5 << 30);
    large.multipart_threshold(u64::MAX).target_throughput(u64::MAX).build().unwrap();
    // A manager's own numbers.
    let client = new().build().unwrap();
    for (config, message) in [
        (TransferConfig::new().multipart_chunksize(0), "parameter multipart_chunksize of value 0"),
        (TransferConfig::new().multipart_threshold(0), "parameter multipart_threshold of value 0"),
        (TransferConfig::new().max_request_concurrency(0), "parameter max_request_concurrency of value 0"),
        (TransferConfig::new().progress_interval(std::time::Duration::ZERO), "parameter progress_interval of value 0"),
        (TransferConfig::new().multipart_chunksize(1 << 40), "a part of 1099511627776 bytes is larger"),
    ] {
        let manager = TransferManager::builder(&client, RequestSerializer::for_client(&client)).config(config);
        let error = manager.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(error.message().contains(message), "{error}");
    }
}

#[test]
fn words_that_cannot_be_are_refused_when_the_client_is_built() {
    let new = || create_s3_client("eu-central-1").anonymous().proxy(ProxyPolicy::None);
    let proxy = |url: &str| new().proxy(ProxyPolicy::Explicit { url: url.to_owned(), no_proxy: String::new() });
    let refused = [
        (new().endpoint_url("ftp://store"), "neither http nor https"),
        (new().endpoint_url("http://a b"), "endpoint URL"),
        (new().endpoint_url(""), "endpoint URL"),
        (new().endpoint_url("http://me:hunter2@store"), "it has a user name in it"),
        (new().endpoint_url("http://me:hunter2@sto re"), "endpoint URL"),
        (new().endpoint_url("https://store/?X-Amz-Signature=hunter2"), "it has a query"),
        (new().verify(Verify::CaBundle("/nonexistent/ca.pem".into())), "/nonexistent/ca.pem"),
        (proxy("socks5://me:hunter2@proxy:1"), "only http:// proxies"),
        (proxy("http://me:hunter2@pro xy:port"), "proxy"),
    ];
    for (builder, words) in refused {
        let shown = format!("{builder:?}");
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        for text in [error.to_string(), format!("{error:?}"), shown] {
            assert!(!text.contains("hunter2"), "{text}");
        }
    }
}

#[test]
fn the_hosts_of_aws_are_reached_as_asked() {
    // Stands for all hosts of AWS: a proxy is told the whole URL, and no name is resolved here.
    let aws = Peer::server(|_| Answer::new(204));
    let sent_to = |build: fn(S3ClientBuilder) -> S3ClientBuilder| {
        let proxy = ProxyPolicy::Explicit { url: aws.url(), no_proxy: String::new() };
        let client = build(create_s3_client("us-west-2").anonymous().use_ssl(false).proxy(proxy)).build().unwrap();
        manager_of(&client).delete("bucket", "KEY").start().unwrap().result(LIMIT).unwrap();
        let target = aws.asked().pop().unwrap().target;
        target.split("KEY").next().unwrap().to_owned()
    };
    assert_eq!(sent_to(|client| client), "http://bucket.s3.us-west-2.amazonaws.com/");
    assert_eq!(sent_to(|client| client.path_style(true)), "http://s3.us-west-2.amazonaws.com/bucket/");
    assert_eq!(sent_to(|client| client.dual_stack(true)), "http://bucket.s3.dualstack.us-west-2.amazonaws.com/");
    assert_eq!(sent_to(|client| client.fips(true)), "http://bucket.s3-fips.us-west-2.amazonaws.com/");
    let both = sent_to(|client| client.fips(true).dual_stack(true));
    assert_eq!(both, "http://bucket.s3-fips.dualstack.us-west-2.amazonaws.com/");
    assert_eq!(sent_to(|client| client.accelerate(true)), "http://bucket.s3-accelerate.amazonaws.com/");
    assert_eq!(sent_to(|client| client.endpoint_url("http://store:9000")), "http://bucket.store:9000/");
    assert_eq!(sent_to(|client| client.endpoint_url("store:9000")), "http://bucket.store:9000/");
    let below = sent_to(|client| client.endpoint_url("http://store:9000/s3").path_style(true));
    assert_eq!(below, "http://store:9000/s3/bucket/");
}

#[test]
fn the_scheme_of_the_url_comes_first_and_use_ssl_where_it_has_none() {
    let plain = TestServer::start();
    let tls = TestServer::builder().tls().start();
    let works = |server: &TestServer, url: String, use_ssl: bool| {
        let mut builder = client_of(server).endpoint_url(url).use_ssl(use_ssl);
        if let Some(ca) = server.ca_pem_path() {
            builder = builder.verify(Verify::CaBundle(ca.into()));
        }
        let client = builder.build().unwrap();
        manager_of(&client).upload(&b"x"[..], "bucket", "k").start().unwrap().result(LIMIT).unwrap();
    };
    works(&plain, plain.address().to_string(), false);
    works(&plain, plain.endpoint_url(), true);
    works(&tls, tls.address().to_string(), true);
    works(&tls, tls.endpoint_url(), false);
}

#[test]
fn two_ports_of_one_host_are_two_stores() {
    let beds = [Bed::new(), Bed::new()];
    for (bed, text) in beds.iter().zip(["first", "second"]) {
        bed.manager.upload(text.as_bytes().to_vec(), bed.bucket(), "k").start().unwrap().result(LIMIT).unwrap();
    }
    for (bed, text) in beds.iter().zip(["first", "second"]) {
        assert_eq!(bed.server.object(bed.bucket(), "k").unwrap().bytes(), text);
        assert_eq!(bed.server.stats().total(), 1);
    }
    // The same for two serializers behind one client, which share its connections.
    let client = &beds[0].client;
    let other = RequestSerializer::for_client(&beds[1].client);
    let managers = [manager_of(client), TransferManager::new(client, other)];
    for round in 0..3 {
        for (manager, bed) in managers.iter().zip(&beds) {
            let key = format!("shared {round}");
            manager.upload(&b"x"[..], bed.bucket(), &key).start().unwrap().result(LIMIT).unwrap();
            assert!(bed.server.object(bed.bucket(), &key).is_some());
        }
    }
    assert_eq!(beds.each_ref().map(|bed| bed.server.list_keys(bed.bucket()).len()), [4, 4]);
}

/// The configuration of a program that has loaded one already.
fn sdk_config(server: &TestServer) -> SdkConfig {
    let keys = Credentials::from_keys(server.access_key(), server.secret_key(), None);
    SdkConfig::builder()
        .region(Region::new(server.region()))
        .endpoint_url(server.endpoint_url())
        .credentials_provider(SharedCredentialsProvider::new(keys))
        .build()
}

#[test]
fn an_sdk_configuration_says_what_the_builder_does_not() {
    let (first, second) = (TestServer::start(), TestServer::builder().credentials("other", "keys").start());
    let config = sdk_config(&first);
    let stores = |client: S3ClientBuilder, server: &TestServer| {
        let client = client.path_style(true).proxy(ProxyPolicy::None).build().unwrap();
        assert_eq!(client.region(), server.region());
        manager_of(&client).upload(&b"x"[..], "bucket", "k").start().unwrap().result(LIMIT).unwrap();
        assert!(server.remove_object("bucket", "k"));
    };
    stores(create_s3_client("").from_sdk_config(&config), &first);
    // Endpoint, credentials and region of the builder come first, each for itself.
    let keys = || Credentials::from_keys("other", "keys", None);
    stores(
        create_s3_client("").from_sdk_config(&config).endpoint_url(second.endpoint_url()).credentials(keys()),
        &second,
    );
    stores(
        create_s3_client("").credentials(keys()).endpoint_url(second.endpoint_url()).from_sdk_config(&config),
        &second,
    );
    let elsewhere = create_s3_client("eu-west-3").from_sdk_config(&config).build().unwrap();
    assert_eq!(elsewhere.region(), "eu-west-3");
    // Also against an SDK configuration of another region, and a serializer made of one.
    let client = create_s3_client("").from_sdk_config(&config).anonymous().build().unwrap();
    let refused = manager_of(&client).upload(&b"x"[..], "bucket", "k").start().unwrap().result(LIMIT);
    assert_eq!(kind(refused), ErrorKind::AccessDenied, "anonymous comes before the configuration's credentials");
}

#[test]
fn the_builder_comes_before_the_environment_and_that_before_the_profile() {
    let folder = tempfile::tempdir().unwrap();
    let profile = folder.path().join("config");
    let text = "[default]\nregion = eu-north-1\nendpoint_url = http://profile:1\n";
    std::fs::write(&profile, text).unwrap();
    let profile = profile.to_str().unwrap();
    let only_profile = [("AWS_CONFIG_FILE", profile)];
    assert_eq!(
        child::run("where", &only_profile),
        [
            "eu-north-1 http://bucket.profile:1/",
            "eu-west-3 http://explicit:1/bucket/",
            "eu-north-1 http://bucket.profile:1/"
        ]
    );
    let both =
        [("AWS_CONFIG_FILE", profile), ("AWS_REGION", "us-east-2"), ("AWS_ENDPOINT_URL", "http://environment:1")];
    assert_eq!(
        child::run("where", &both),
        [
            "us-east-2 http://bucket.environment:1/",
            "eu-west-3 http://explicit:1/bucket/",
            "us-east-2 http://bucket.environment:1/"
        ]
    );
    let service =
        [("AWS_REGION", "us-east-2"), ("AWS_ENDPOINT_URL", "http://all:1"), ("AWS_ENDPOINT_URL_S3", "http://s3:1")];
    assert_eq!(child::run("where", &service)[0], "us-east-2 http://bucket.s3:1/");
    let switches =
        [("AWS_REGION", "us-east-2"), ("AWS_USE_DUALSTACK_ENDPOINT", "true"), ("AWS_USE_FIPS_ENDPOINT", "true")];
    assert_eq!(
        child::run("where", &switches),
        [
            "us-east-2 https://bucket.s3-fips.dualstack.us-east-2.amazonaws.com/",
            "eu-west-3 http://explicit:1/bucket/",
            "us-east-2 https://bucket.s3.us-east-2.amazonaws.com/"
        ]
    );
}

#[test]
fn building_asks_nothing_of_any_network() {
    let network = Peer::server(|_| Answer::new(500));
    let url = network.url();
    // Everything that could be asked is here: the store, the metadata of machine and container, a proxy.
    let environment = [
        ("AWS_EC2_METADATA_DISABLED", "false"),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", url.as_str()),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str()),
        ("AWS_ENDPOINT_URL", url.as_str()),
        ("http_proxy", url.as_str()),
        ("https_proxy", url.as_str()),
    ];
    let said = child::run("build", &environment);
    assert_eq!(said.len(), 2);
    assert!(said[0].starts_with("invalid configuration: no region is set"), "{said:?}");
    assert_eq!(said[1], "region eu-central-1");
    assert_eq!(network.accepted(), 0, "{:?}", network.asked());
    // The first transfer asks, so the silence above was that of the client.
    let with_region: Vec<_> = environment.into_iter().chain([("AWS_REGION", "eu-central-1")]).collect();
    let said = child::run("upload", &with_region);
    assert!(said[0].contains("no usable credentials"), "{said:?}");
    assert!(network.accepted() > 0);
}

#[test]
fn variables_that_are_not_unicode_do_no_harm() {
    let odd = OsStr::from_bytes(b"caf\xe9");
    let environment = [("ODD", odd), ("http_proxy", odd)];
    assert_eq!(child::run("build", &environment)[1], "region eu-central-1");
}

#[test]
fn a_client_needs_no_runtime_and_works_in_any() {
    let server = TestServer::start();
    let handle = server.handle();
    let build_and_upload = move |key: &str| {
        let client = client_of(&handle).build().unwrap();
        manager_of(&client).upload(&b"x"[..], "bucket", key).start().unwrap().result(LIMIT).unwrap();
    };
    build_and_upload("outside");
    common::runtime().block_on(async { build_and_upload("current thread") });
    let many = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    many.block_on(many.spawn(async move { build_and_upload("worker") })).unwrap();
    assert_eq!(server.list_keys("bucket"), ["current thread", "outside", "worker"]);
}

#[test]
fn the_part_size_asked_for_is_the_one_that_is_sent() {
    for (asked, sent) in [(1, PART), (PART, PART), (6 << 20, 6 << 20)] {
        let bed = Bed::with(|server| server, |client| client.part_size(asked).multipart_threshold(PART));
        let source = bed.file("source", 1, 2 * sent + 1);
        bed.manager.upload(&source, bed.bucket(), "k").start().unwrap().result(LIMIT).unwrap();
        let parts = bed.server.requests().into_iter().filter(|request| request.part_number.is_some());
        let mut lengths: Vec<u64> =
            parts.map(|part| part.headers["x-amz-decoded-content-length"].parse().unwrap()).collect();
        lengths.sort_unstable();
        assert_eq!(lengths, [1, sent, sent], "{asked}");
        // A download goes by the same size.
        bed.server.reset_stats();
        bed.object("other", 1, 2 * sent + 1);
        bed.manager.download(bed.bucket(), "other", bed.path("target")).start().unwrap().result(LIMIT).unwrap();
        let ranges = bed.server.requests().into_iter().filter(|request| request.range.is_some()).count();
        assert!(ranges <= 3, "{ranges} ranges of {} bytes", 2 * sent + 1);
        bed.assert_clean(&["source", "target"]);
    }
}
