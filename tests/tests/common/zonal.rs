//! A test bed where the server has the names of AWS: clients are configured as for AWS itself, speak TLS, and come through a proxy.

use xfer_facade::{ProxyPolicy, S3Client, S3ClientBuilder, TransferManager, Verify, create_s3_client};
use xfer_tests::{TestProxy, TestServer, TestServerBuilder};

use super::{LIMIT, PART, THRESHOLD, manager_of, quick_retries};

/// A server, a proxy to it, a client and a manager. Fields are dropped in this order.
pub(crate) struct Zonal {
    pub(crate) manager: TransferManager,
    pub(crate) client: S3Client,
    pub(crate) proxy: TestProxy,
    pub(crate) server: TestServer,
}

impl Zonal {
    pub(crate) fn with(
        server: impl FnOnce(TestServerBuilder) -> TestServerBuilder,
        client: impl FnOnce(S3ClientBuilder) -> S3ClientBuilder,
    ) -> Zonal {
        Zonal::by(server(TestServer::builder().fast_etags().tls()), client)
    }

    /// The same without TLS.
    pub(crate) fn in_the_clear(
        server: impl FnOnce(TestServerBuilder) -> TestServerBuilder,
        client: impl FnOnce(S3ClientBuilder) -> S3ClientBuilder,
    ) -> Zonal {
        Zonal::by(server(TestServer::builder().fast_etags()), |builder| client(builder.use_ssl(false)))
    }

    fn by(server: TestServerBuilder, client: impl FnOnce(S3ClientBuilder) -> S3ClientBuilder) -> Zonal {
        let server = server.start();
        let proxy = TestProxy::to(server.address());
        let keys = aws_credential_types::Credentials::from_keys(server.access_key(), server.secret_key(), None);
        let builder = create_s3_client(server.region())
            .credentials(keys)
            .verify(server.ca_pem_path().map_or(Verify::System, |ca| Verify::CaBundle(ca.to_owned())))
            .proxy(ProxyPolicy::Explicit { url: proxy.url(), no_proxy: String::new() })
            .part_size(PART)
            .multipart_threshold(THRESHOLD)
            .retry(quick_retries());
        let client = client(builder).build().unwrap();
        Zonal { manager: manager_of(&client), client, proxy, server }
    }

    /// Nothing is left behind: no transfer, no slot, no memory, no multipart upload.
    pub(crate) fn assert_clean(&self) {
        assert_eq!(self.manager.active(), 0, "transfers are left");
        let in_use = self.client.actors().unwrap().in_use();
        assert_eq!((in_use.requests, in_use.memory), (0, 0), "slots or memory are left");
        assert!(self.server.wait_idle(LIMIT), "requests are left");
        assert_eq!(self.server.open_uploads(), Vec::new(), "multipart uploads are left");
    }
}
