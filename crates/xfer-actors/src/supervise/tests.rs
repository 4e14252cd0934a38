//! Every way in which an actor can fail, and what its parent, its neighbours and the senders of its messages see of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod arbiters;
mod exits;
mod hooks;
mod lab;
mod logs;
mod restarts;
mod teardown;
