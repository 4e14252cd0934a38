//! The command line: which words there are, and what they mean.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use xfer_facade::{Algorithm, units};

const AFTER_HELP: &str = "\
A SRC or DST is a local path, `-` (standard input or output), or s3://bucket/key. A SRC may be a named \
pipe. Sizes and rates may have a unit: 8MiB, 64MB, \
10Gbps, 1.25GB/s. Credentials, region and endpoint come from the standard AWS environment variables and profile files, unless an \
option says otherwise.

Exit status: 0 all is well; 1 a transfer failed; 2 wrong usage; 130 interrupted, with everything cancelled and cleaned up.";

/// The whole command line.
#[derive(Parser)]
#[command(name = "xfer", version, about = "Moves objects to and from S3.", after_help = AFTER_HELP, max_term_width = 110)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) options: Options,
}

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Copy between this machine and S3
    #[command(override_usage = "xfer cp [OPTIONS] <SRC>... <DST>")]
    Cp {
        /// What to copy, and last where to: with several SRC the DST has to end in `/`
        // One list, because options may stand between its words.
        #[arg(value_name = "SRC|DST", required = true)]
        words: Vec<OsString>,
    },
    /// Delete objects; deleting one that is not there is no failure
    Rm {
        /// s3://bucket/key
        #[arg(value_name = "URL", required = true)]
        urls: Vec<OsString>,
    },
    /// Do what a file says: one `cp SRC DST` or `rm URL` a line, in no particular order
    ///
    /// Words are quoted as in a shell; blank lines and # comments are skipped.
    Run {
        /// The file; standard input without one, or with `-`
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

/// Options that every command takes.
#[derive(ClapArgs)]
pub(crate) struct Options {
    /// Region of the buckets [default: AWS_REGION, AWS_DEFAULT_REGION, or the profile's]
    #[arg(long, global = true, value_name = "R")]
    pub(crate) region: Option<String>,
    /// Another store than AWS [default: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, or the profile's]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) endpoint_url: Option<String>,
    /// The bucket in the path instead of the host name, as many other stores need it
    #[arg(long, global = true)]
    pub(crate) path_style: bool,
    /// Do not sign requests: for public buckets
    #[arg(long, global = true)]
    pub(crate) no_sign_request: bool,
    /// Trust the certificates of this PEM file only [default: AWS_CA_BUNDLE, or the system's]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca_bundle: Option<PathBuf>,
    /// Trust any certificate: for experiments only
    #[arg(long, global = true, conflicts_with = "ca_bundle")]
    pub(crate) no_verify_ssl: bool,
    /// Threads that move bytes [default: the cores that may be used]
    #[arg(long, global = true, value_name = "N")]
    pub(crate) num_threads: Option<usize>,
    /// The rate to aim at; sets how many connections there may be [default: the machine's]
    #[arg(long, global = true, value_name = "RATE", value_parser = units::parse_rate)]
    pub(crate) target_throughput: Option<u64>,
    /// Most bytes per second, of all transfers together, such as 10MB/s [default: as many as there can be]
    #[arg(long, global = true, value_name = "RATE", value_parser = units::parse_rate)]
    pub(crate) max_bandwidth: Option<u64>,
    /// Size of the parts of large objects [default: 8MiB]
    #[arg(long, global = true, value_name = "SIZE", value_parser = units::parse_bytes)]
    pub(crate) part_size: Option<u64>,
    /// Most connections at once [default: what the rate to aim at takes, and at least 64 where none is given]
    #[arg(long, global = true, value_name = "N")]
    pub(crate) max_connections: Option<usize>,
    /// Memory for parts that must be kept whole, such as those of standard input [default: 64MiB, at most a quarter of
    /// the control group's]
    #[arg(long, global = true, value_name = "SIZE", value_parser = units::parse_bytes)]
    pub(crate) memory_limit: Option<u64>,
    /// Checksum of uploads, such as CRC32C or SHA256 [default: CRC64NVME]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) checksum_algorithm: Option<Algorithm>,
    /// Arguments of the S3 operations as a JSON object, such as {"ContentType":"text/plain"}
    // Parsed later: what this parser refuses it prints, and there may be a key in it.
    #[arg(long, global = true, value_name = "JSON")]
    pub(crate) extra_args: Option<String>,
    /// Do not show progress; it is shown on a terminal only anyway
    #[arg(long, global = true)]
    pub(crate) no_progress: bool,
    /// Print a JSON object for each transfer that has ended, and one at the end
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Log what happens to standard error; twice or three times for more [default: what RUST_LOG says, or warnings]
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_definition_is_sound() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }

    #[test]
    fn options_may_stand_before_and_behind_the_words() {
        let line = "xfer --path-style cp --part-size 16MiB a --json s3://b/c --target-throughput 10Gbps --max-bandwidth 5MB/s \
            --checksum-algorithm sha256 -vv";
        let args = parse(line).unwrap();
        let Command::Cp { words } = &args.command else { panic!("not cp") };
        assert_eq!(words[..], ["a", "s3://b/c"]);
        assert!(args.options.path_style);
        assert_eq!(args.options.part_size, Some(16 << 20));
        assert_eq!(args.options.target_throughput, Some(1_250_000_000));
        assert_eq!(args.options.max_bandwidth, Some(5_000_000));
        assert_eq!(args.options.checksum_algorithm, Some(Algorithm::Sha256));
        assert_eq!(args.options.verbose, 2);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "xfer",
            "xfer cp",
            "xfer rm",
            "xfer run a b",
            "xfer mv a b",
            "xfer cp --part-size 8sacks a b",
            "xfer rm s3://b/k --no-verify-ssl --ca-bundle x.pem",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
