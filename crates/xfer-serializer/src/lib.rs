//! Call arguments to signed S3 requests, and replies to types: the only crate that knows aws-sdk-s3's operations.
//!
//! Shapes: [`RequestSerializer::prepare`] runs the SDK once per (operation, bucket, arguments) without sending anything and keeps
//! the result as a [`Template`]; [`Template::stamp`] puts a key, a part or a range on it and signs. [`decode`] turns statuses,
//! headers and bodies into the types of `xfer-core`. Never opens a socket itself (a credentials provider may), never retries,
//! never waits for S3.
//!
//! Invariants: what is signed is byte for byte what is sent; a key goes to the store exactly as given, with no path
//! normalisation; no `Debug` or `Display` of this crate shows a signature, a token or a customer key.
//!
//! ```
//! use std::time::SystemTime;
//! use xfer_core::args::ExtraArgs;
//! use xfer_serializer::{EndpointConfig, Operation, RequestSerializer, SignatureVersion, Stamp};
//!
//! # fn main() -> Result<(), xfer_core::error::Error> {
//! let serializer = RequestSerializer::builder(EndpointConfig::new("eu-central-1"))
//!     .signature_version(SignatureVersion::Unsigned)
//!     .build()?;
//! let template = serializer.template(Operation::GetObject, "photos", &ExtraArgs::new())?;
//! let request = template.stamp(&Stamp::key("2026/a b.jpg"), None, SystemTime::now())?;
//! assert_eq!(request.target, "/2026/a%20b.jpg?x-id=GetObject");
//! assert_eq!(request.host, "photos.s3.eu-central-1.amazonaws.com");
//! # Ok(())
//! # }
//! ```

mod arguments;
mod cache;
mod capture;
pub mod chunked;
mod complete;
pub mod decode;
mod encode;
mod endpoint;
mod identity;
mod operation;
mod profile;
mod report;
mod request_dict;
mod routing;
mod serializer;
mod session;
mod sign;
mod ssec;
mod stamp;
mod template;

pub use complete::complete_multipart_upload_body;
pub use endpoint::{EndpointConfig, Origin, SignatureVersion};
pub use identity::Identity;
pub use operation::Operation;
pub use profile::missing_profile;
pub use request_dict::{RequestDict, SerializedRequest};
pub use serializer::{RequestSerializer, RequestSerializerBuilder};
pub use session::SessionScope;
pub use stamp::{Payload, SignedRequest, Stamp};
pub use template::Template;
