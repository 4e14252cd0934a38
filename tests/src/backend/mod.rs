//! The S3 backend: what the operations do once `s3s` has checked the signature and parsed the request.
//!
//! It judges clients, so where S3 refuses it refuses too: wrong part ETags, digests, orders, sizes and conditions all fail as they
//! do there. It knows nothing of connections, faults or counters. There are no versions, access rules or real encryption.

pub(crate) mod attributes;
pub(crate) mod checksums;
pub(crate) mod conditions;
pub(crate) mod content;
pub(crate) mod listed;
pub(crate) mod listing;
pub(crate) mod multipart;
pub(crate) mod objects;
pub(crate) mod receive;
pub(crate) mod sessions;
pub(crate) mod store;
pub(crate) mod versions;

use std::str::FromStr;
use std::sync::Arc;

use http::StatusCode;
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput, CompleteMultipartUploadOutput,
    CreateBucketInput, CreateBucketOutput, CreateMultipartUploadInput, CreateMultipartUploadOutput, CreateSessionInput,
    CreateSessionOutput, DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput,
    GetObjectInput, GetObjectOutput, HeadBucketInput, HeadBucketOutput, HeadObjectInput, HeadObjectOutput,
    ListMultipartUploadsInput, ListMultipartUploadsOutput, ListObjectsV2Input, ListObjectsV2Output, ListPartsInput,
    ListPartsOutput, PutObjectInput, PutObjectOutput, UploadPartInput, UploadPartOutput,
};
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};

use sessions::{Encryption, Sessions};
use store::Store;

/// The operations, over a shared store.
#[derive(Clone, Debug)]
pub(crate) struct Backend {
    pub(crate) store: Arc<Store>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) region: &'static str,
}

#[async_trait::async_trait]
impl S3 for Backend {
    async fn create_bucket(&self, req: S3Request<CreateBucketInput>) -> S3Result<S3Response<CreateBucketOutput>> {
        if !self.store.create_bucket(&req.input.bucket) {
            return Err(s3_error!(
                BucketAlreadyOwnedByYou,
                "Your previous request to create the named bucket succeeded and you already own it."
            ));
        }
        let location = Some(format!("/{}", req.input.bucket));
        Ok(S3Response::new(CreateBucketOutput { location }))
    }

    async fn head_bucket(&self, req: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        self.store.with_bucket(&req.input.bucket, |_| Ok(()))?;
        let bucket_region = Some(self.region.to_owned());
        Ok(S3Response::new(HeadBucketOutput { bucket_region, ..HeadBucketOutput::default() }))
    }

    async fn create_session(&self, req: S3Request<CreateSessionInput>) -> S3Result<S3Response<CreateSessionOutput>> {
        let input = req.input;
        self.store.with_bucket(&input.bucket, |_| Ok(()))?;
        let encryption = Encryption {
            kind: input.server_side_encryption.map(|kind| kind.as_str().to_owned()),
            kms_key_id: input.ssekms_key_id,
        };
        let credentials = self.sessions.create(self.store.tag(), &input.bucket, encryption.clone());
        Ok(S3Response::new(CreateSessionOutput {
            credentials,
            server_side_encryption: encryption.kind.map(Into::into),
            ssekms_key_id: encryption.kms_key_id,
            ..CreateSessionOutput::default()
        }))
    }

    async fn put_object(&self, req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        objects::put(&self.store, req).await
    }

    async fn get_object(&self, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        objects::get(&self.store, req)
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        objects::head(&self.store, req)
    }

    async fn delete_object(&self, req: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        objects::delete(&self.store, req)
    }

    async fn delete_objects(&self, req: S3Request<DeleteObjectsInput>) -> S3Result<S3Response<DeleteObjectsOutput>> {
        objects::delete_many(&self.store, req)
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        multipart::create(&self.store, req)
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        multipart::upload_part(&self.store, req).await
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        multipart::complete(&self.store, req)
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        multipart::abort(&self.store, req)
    }

    async fn list_parts(&self, req: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
        listing::parts(&self.store, req)
    }

    async fn list_multipart_uploads(
        &self,
        req: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        listing::uploads(&self.store, req)
    }

    async fn list_objects_v2(&self, req: S3Request<ListObjectsV2Input>) -> S3Result<S3Response<ListObjectsV2Output>> {
        listing::objects(&self.store, req)
    }
}

/// An error whose code `s3s` has no name for.
pub(crate) fn custom_error(status: u16, code: &str, message: &'static str) -> S3Error {
    // Reading an error code cannot fail; unknown ones are kept as they are.
    let Ok(code) = S3ErrorCode::from_str(code);
    let mut error = S3Error::with_message(code, message);
    error.set_status_code(StatusCode::from_u16(status).expect("a valid status"));
    error
}
