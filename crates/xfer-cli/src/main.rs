//! `xfer`: objects to and from S3, at a prompt.
//!
//! Does: reads the command line, starts the library, shows what becomes of it. Never: moves a byte, repeats a request, or decides
//! how something is sent; that is the library's.

mod args;
mod drive;
mod local;
mod log;
mod plan;
mod progress;
mod report;
mod run_file;
mod session;
mod signals;
mod url;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // Ends the process by itself, with 2, when the words make no sense, and with 0 when they ask for help.
    let args = args::Args::parse();
    session::run(args)
}
