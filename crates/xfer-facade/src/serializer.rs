//! The request serializer as the interface names it.

use std::sync::Arc;

use aws_types::SdkConfig;
use xfer_serializer::{RequestDict, SerializedRequest, SignatureVersion};

use crate::{Error, S3Client};

/// Makes HTTP requests of call arguments. Cheap to clone.
///
/// ```
/// use xfer_facade::{Operation, RequestDict, RequestSerializer, create_s3_client};
///
/// # fn main() -> Result<(), xfer_facade::Error> {
/// let client = create_s3_client("eu-central-1").anonymous().build()?;
/// let serializer = RequestSerializer::for_client(&client);
/// let request = serializer.serialize_http_request(&RequestDict::new(Operation::GetObject, "photos", "a b.jpg"))?;
/// assert!(request.url.contains("a%20b.jpg"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RequestSerializer {
    inner: Arc<xfer_serializer::RequestSerializer>,
}

impl RequestSerializer {
    /// A serializer for the endpoint and the credentials of an SDK configuration. An empty region stands for the configuration's.
    #[must_use]
    pub fn new(config: &SdkConfig, region: impl Into<String>, version: SignatureVersion) -> RequestSerializer {
        RequestSerializer { inner: Arc::new(xfer_serializer::RequestSerializer::new(config, region, version)) }
    }

    /// A serializer for the endpoint and the credentials of a client: the usual case.
    #[must_use]
    pub fn for_client(client: &S3Client) -> RequestSerializer {
        RequestSerializer { inner: Arc::clone(client.serializer()) }
    }

    /// The request for a call, unsigned; without any network.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for arguments that make no request.
    pub fn serialize_http_request(&self, request: &RequestDict) -> Result<SerializedRequest, Error> {
        self.inner.serialize_http_request(request)
    }

    pub(crate) fn into_inner(self) -> Arc<xfer_serializer::RequestSerializer> {
        self.inner
    }
}

impl From<&RequestSerializer> for RequestSerializer {
    fn from(serializer: &RequestSerializer) -> RequestSerializer {
        serializer.clone()
    }
}
