//! The server as a client sees it: the AWS SDK with its own signatures, and raw sockets where the SDK is too polite.

mod client;
mod express;
mod faults;
mod lifecycle;
mod multipart;
mod objects;
mod rules;
