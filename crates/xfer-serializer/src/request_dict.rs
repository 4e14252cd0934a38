//! A request as data: what [`RequestSerializer::serialize_http_request`](crate::RequestSerializer::serialize_http_request) takes and
//! gives, with serde both ways.

use std::fmt;

use serde::{Deserialize, Serialize};
use xfer_core::args::ExtraArgs;

use crate::Operation;
use crate::stamp::Shown;

/// The parameters of one request.
///
/// ```
/// use xfer_serializer::RequestDict;
/// let dict: RequestDict = serde_json::from_str(
///     r#"{"operation": "GetObject", "bucket": "photos", "key": "1.jpg", "range": "bytes=0-99"}"#,
/// )?;
/// assert_eq!(dict.range.as_deref(), Some("bytes=0-99"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestDict {
    /// The operation, by its API name.
    pub operation: Operation,
    /// Bucket name or access point ARN.
    pub bucket: String,
    /// The key.
    #[serde(default)]
    pub key: String,
    /// Further arguments by their API names. Only those of the operation are sent.
    #[serde(default, skip_serializing_if = "ExtraArgs::is_empty")]
    pub extra_args: ExtraArgs,
    /// UploadPart: 1 to 10,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_number: Option<u32>,
    /// The multipart upload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_id: Option<String>,
    /// A Range header's value, such as `bytes=0-99`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<String>,
    /// Length of the body in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_length: Option<u64>,
}

impl RequestDict {
    /// A request for an object, without further arguments.
    #[must_use]
    pub fn new(operation: Operation, bucket: impl Into<String>, key: impl Into<String>) -> RequestDict {
        RequestDict {
            operation,
            bucket: bucket.into(),
            key: key.into(),
            extra_args: ExtraArgs::new(),
            part_number: None,
            upload_id: None,
            range: None,
            content_length: None,
        }
    }
}

/// A request in HTTP's terms, not signed. Its serde form holds all headers, a customer key among them; its `Debug` hides those.
///
/// ```
/// use xfer_core::args::ExtraArgs;
/// use xfer_serializer::{EndpointConfig, Operation, RequestDict, RequestSerializer};
/// let serializer = RequestSerializer::builder(EndpointConfig::new("us-east-1")).build()?;
/// let dict = RequestDict { extra_args: ExtraArgs::new().version_id("v1"), ..RequestDict::new(Operation::HeadObject, "photos", "1.jpg") };
/// let request = serializer.serialize_http_request(&dict)?;
/// assert!(request.url.ends_with("?versionId=v1"));
/// assert!(request.headers.iter().any(|(name, value)| name == "host" && value == "photos.s3.us-east-1.amazonaws.com"));
/// # Ok::<(), xfer_core::error::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SerializedRequest {
    /// GET, HEAD, PUT, POST or DELETE.
    pub method: String,
    /// The whole URL, percent-encoded.
    pub url: String,
    /// Headers, names in lower case, `host` among them.
    pub headers: Vec<(String, String)>,
}

impl fmt::Debug for SerializedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SerializedRequest")
            .field("method", &self.method)
            .field("url", &self.url)
            .field("headers", &Shown(&self.headers))
            .finish()
    }
}
