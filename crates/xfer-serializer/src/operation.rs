//! The S3 operations that transfers are made of.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An S3 operation. Its serde form is the API's name.
///
/// ```
/// use xfer_serializer::Operation;
/// assert_eq!(Operation::PutObject.name(), "PutObject");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Operation {
    /// Stores an object in one request.
    PutObject,
    /// Begins a multipart upload.
    CreateMultipartUpload,
    /// Stores one part.
    UploadPart,
    /// Makes the object from its parts.
    CompleteMultipartUpload,
    /// Gives a multipart upload up.
    AbortMultipartUpload,
    /// Fetches an object, or a range of it.
    GetObject,
    /// Fetches an object's headers.
    HeadObject,
    /// Deletes an object.
    DeleteObject,
    /// Lists the parts that a multipart upload has.
    ListParts,
    /// Fetches session credentials for an S3 Express bucket.
    CreateSession,
}

impl Operation {
    /// All operations, for tables and tests.
    pub const ALL: &'static [Operation] = &[
        Operation::PutObject,
        Operation::CreateMultipartUpload,
        Operation::UploadPart,
        Operation::CompleteMultipartUpload,
        Operation::AbortMultipartUpload,
        Operation::GetObject,
        Operation::HeadObject,
        Operation::DeleteObject,
        Operation::ListParts,
        Operation::CreateSession,
    ];

    /// The name in the S3 API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Operation::PutObject => "PutObject",
            Operation::CreateMultipartUpload => "CreateMultipartUpload",
            Operation::UploadPart => "UploadPart",
            Operation::CompleteMultipartUpload => "CompleteMultipartUpload",
            Operation::AbortMultipartUpload => "AbortMultipartUpload",
            Operation::GetObject => "GetObject",
            Operation::HeadObject => "HeadObject",
            Operation::DeleteObject => "DeleteObject",
            Operation::ListParts => "ListParts",
            Operation::CreateSession => "CreateSession",
        }
    }

    /// The HTTP method.
    #[must_use]
    pub fn method(self) -> &'static str {
        match self {
            Operation::PutObject | Operation::UploadPart => "PUT",
            Operation::CreateMultipartUpload | Operation::CompleteMultipartUpload => "POST",
            Operation::AbortMultipartUpload | Operation::DeleteObject => "DELETE",
            Operation::GetObject | Operation::ListParts | Operation::CreateSession => "GET",
            Operation::HeadObject => "HEAD",
        }
    }

    /// Whether a body goes with the request. For the others `Content-Length` is left out, but for POST, where it is 0.
    #[must_use]
    pub fn has_body(self) -> bool {
        matches!(self, Operation::PutObject | Operation::UploadPart | Operation::CompleteMultipartUpload)
    }

    /// Whether it is about one upload, so that a stamp needs an upload id.
    #[must_use]
    pub fn needs_upload_id(self) -> bool {
        matches!(
            self,
            Operation::UploadPart
                | Operation::CompleteMultipartUpload
                | Operation::AbortMultipartUpload
                | Operation::ListParts
        )
    }

    /// Whether it is about a key. CreateSession is about a bucket.
    #[must_use]
    pub fn has_key(self) -> bool {
        self != Operation::CreateSession
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
