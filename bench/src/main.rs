//! Measures xfer beside other clients: against a server that does next to nothing, and beside a bare loop.
//!
//! `serve` is that server, `floor` that client, `run` measures, `report` makes tables and plots of what was measured. Linux only.

mod chunked;
mod floor;
mod report;
mod run;
mod serve;
mod stream;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "xfer-bench", version, about, max_term_width = 110)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Be an S3 server that does next to nothing
    Serve(serve::Args),
    /// Be the client that others are a ratio to: a bare loop
    Floor(floor::Args),
    /// Measure: every client, every workload
    Run(run::Args),
    /// Make a page of what was measured
    Report(report::Args),
    /// Run one command and tell what it took
    #[command(hide = true)]
    Measure(run::measure::Args),
}

fn main() -> ExitCode {
    let result = match Args::parse().command {
        Command::Serve(args) => serve::run(&args),
        Command::Floor(args) => floor::run(args),
        Command::Run(args) => run::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Measure(args) => run::measure::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nobody else to tell.
            let _ = writeln!(std::io::stderr(), "xfer-bench: {error}");
            ExitCode::FAILURE
        }
    }
}
