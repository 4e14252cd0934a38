//! The decisions of xfer: pure machines, events in and effects out.
//!
//! Nothing here waits, reads a clock, opens a file or knows a network: time and random draws are arguments, so that every rule
//! is a plain unit or property test and a million transfers can be simulated in a second. `xfer-actors` carries the decisions out.
//!
//! | room | decides |
//! |---|---|
//! | [`error`] | which failure is which kind, and what may be done about it |
//! | [`args`] | which extra arguments a call may have |
//! | [`job`] | the words between machines and world |
//! | [`plan`] | how an object is cut into parts |
//! | [`machine`]: [`upload`], [`download`], [`delete`], [`salvage`] | what a transfer does next |
//! | [`queue`], [`budget`], [`concurrency`], [`pace`] | whose turn it is, how much at once, and how fast |
//! | [`retry`] | whether and when a failed request is repeated |
//! | [`clock`], [`claim`] | what a refusal teaches: of the store's clock, of what was done before |
//! | [`restart`] | whether and when a failed actor is started again |
//! | [`checksum`] | what was verified |
//! | [`disk`] | whether a file's calls hold others up |

pub mod args;
pub mod budget;
pub mod checksum;
pub mod claim;
pub mod clock;
mod combine;
pub mod concurrency;
pub mod delete;
pub mod disk;
pub mod download;
pub mod error;
pub mod id;
pub mod job;
mod ledger;
pub mod machine;
pub mod outcome;
pub mod pace;
pub mod plan;
pub mod queue;
pub mod range;
pub mod restart;
pub mod retry;
mod runs;
pub mod salvage;
pub mod throughput;
pub mod transfer_config;
pub mod units;
pub mod upload;
