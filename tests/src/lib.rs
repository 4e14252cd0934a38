//! The test kit: an S3 server inside the test's process, the faults it can play, and deterministic data.
//!
//! The server checks signatures (SigV4, SigV4a and those of S3 Express sessions), digests, conditions and part lists as S3 does, counts
//! and logs what it sees, and does harm on request. It is meant to judge a client, so it is strict; it encrypts nothing, and of access
//! rules it knows the owner and who pays.
//!
//! ```
//! use xfer_tests::{Action, FaultRule, Op, TestServer, pattern};
//!
//! let server = TestServer::builder().start();
//! server.put_object(server.bucket(), "seeded", pattern::bytes(1, 1000));
//! // Part 3 of any upload is refused twice before it is taken.
//! server.inject(FaultRule::on(Op::UploadPart).part(3).times(2).then(Action::Status(503, "SlowDown")));
//! // .. point a client at server.endpoint_url() with server.access_key() and server.secret_key() ..
//! assert_eq!(server.object("bucket", "seeded").unwrap().len(), 1000);
//! assert_eq!(server.stats().total(), 0);
//! ```
// A kit for tests: when it cannot do what a test asks, panicking is how it tells the test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod backend;
mod faults;
mod gate;
pub mod pattern;
mod proxy;
mod request;
mod server;
mod stats;

pub use backend::attributes::Attributes;
pub use backend::checksums::{ChecksumAlgorithm, ChecksumType, StoredChecksum};
pub use backend::store::StoredObject;
pub use faults::{Action, Fault, FaultMatcher, FaultRule};
pub use gate::Gate;
pub use proxy::TestProxy;
pub use request::Op;
pub use server::{ServerHandle, TestServer, TestServerBuilder};
pub use stats::{RequestRecord, Stats};
