//! The transport against servers that say exactly what a test wants them to say.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bodies;
mod connecting;
mod early;
mod exchange;
mod kit;
mod proxying;
mod timeouts;
mod tls;
