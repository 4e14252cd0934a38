//! One run of the program: from the words to the exit status.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use xfer_facade::{CallKind, ExtraArgs, RequestSerializer, S3Client, TransferManager, Verify, create_s3_client};

use crate::args::{Args, Command, Options};
use crate::drive::{Arguments, Driver, Feed};
use crate::plan::{Planner, Task};
use crate::progress::{Progress, Screen};
use crate::report::Report;
use crate::{log, run_file, signals};

const FAILED: u8 = 1;
const WRONG_USAGE: u8 = 2;
/// How the library's words begin where this program knows the option that helps.
const NO_REGION: &str = "no region is set";
const NO_TRUST: &str = "cannot load the certificates";

/// Does what the words say.
pub(crate) fn run(args: Args) -> ExitCode {
    let Args { command, options } = args;
    let screen = Screen::new(!options.no_progress);
    log::start(options.verbose, &screen);
    match transfer(&command, &options, &screen) {
        Ok(code) => code,
        Err(text) => {
            screen.say(&format!("xfer: {text}"));
            ExitCode::from(WRONG_USAGE)
        }
    }
}

/// # Errors
/// Wrong usage, in words.
fn transfer(command: &Command, options: &Options, screen: &Screen) -> Result<ExitCode, String> {
    let mut planner = Planner::default();
    if options.json {
        planner.reserve_stdout("--json");
    }
    let (mut feed, arguments) = match command {
        Command::Cp { words } => from_words(planner.cp_all(words)?, options)?,
        Command::Rm { urls } => {
            let tasks = urls.iter().map(|url| planner.rm(url)).collect::<Result<_, _>>()?;
            from_words(tasks, options)?
        }
        Command::Run { file } => (from_file(file.as_deref(), planner)?, arguments(options, None)?),
    };
    let client = client(options)?;
    let interrupt = signals::watch().map_err(|error| format!("signals cannot be watched: {error}"))?;
    let manager = TransferManager::new(&client, RequestSerializer::for_client(&client));
    let mut report = Report::new(screen.clone(), options.json);
    let progress = Progress::on(screen);
    Driver { manager: &manager, arguments, report: &mut report, progress, interrupt: &interrupt }.run(&mut feed);
    report.finish(client.peak_connections(), feed.error.as_deref());
    if interrupt.is_raised() {
        return Ok(ExitCode::from(signals::INTERRUPTED));
    }
    if let Some(error) = feed.error {
        return Err(error);
    }
    Ok(if report.is_well() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// Tasks of the command line, which are all of one kind.
fn from_words(tasks: Vec<Task>, options: &Options) -> Result<(Feed, Arguments), String> {
    let kind = tasks.first().map(|task| match task {
        Task::Upload { .. } => CallKind::Upload,
        Task::Download { .. } => CallKind::Download,
        Task::Delete(_) => CallKind::Delete,
    });
    Ok((Feed::of(tasks), arguments(options, kind)?))
}

fn from_file(file: Option<&Path>, mut planner: Planner) -> Result<Feed, String> {
    let no_thread = |error: io::Error| format!("the file cannot be read: {error}");
    let batches = match file.filter(|path| path.as_os_str() != OsStr::new("-")) {
        None => {
            planner.reserve_stdin("run");
            run_file::start(io::stdin(), "standard input".to_owned(), planner)
        }
        Some(path) => {
            let name = path.display().to_string();
            let reader = File::open(path).map_err(|error| format!("{name}: {error}"))?;
            run_file::start(reader, name, planner)
        }
    };
    batches.map(Feed::reading).map_err(no_thread)
}

/// The extra arguments of `options`. When all transfers are of one kind each of them has to be one of that kind; otherwise each kind gets
/// those that it takes.
fn arguments(options: &Options, kind: Option<CallKind>) -> Result<Arguments, String> {
    let given = match options.extra_args.as_deref() {
        None => ExtraArgs::new(),
        // The parser's message would show what it did not like, which may be a key.
        Some(json) => serde_json::from_str(json)
            .map_err(|error| format!("--extra-args is not a JSON object of arguments: column {}", error.column()))?,
    };
    let kinds: &[CallKind] = match &kind {
        Some(kind) => std::slice::from_ref(kind),
        None => &[CallKind::Upload, CallKind::Download, CallKind::Delete],
    };
    if options.checksum_algorithm.is_some() && !kinds.contains(&CallKind::Upload) {
        return Err(format!("--checksum-algorithm is for uploads, and has no meaning for {}", in_words(kind)));
    }
    for (name, _) in given.iter() {
        if !kinds.iter().any(|kind| kind.allowed().contains(&name)) {
            return Err(format!("--extra-args: {name} is not an argument of {}", in_words(kind)));
        }
    }
    let of = |kind: CallKind| {
        let names = given.iter().map(|(name, _)| name);
        given.without(&names.filter(|name| !kind.allowed().contains(name)).collect::<Vec<_>>())
    };
    let upload = of(CallKind::Upload);
    Ok(Arguments {
        upload: match options.checksum_algorithm {
            Some(algorithm) => upload.checksum_algorithm(algorithm),
            None => upload,
        },
        download: of(CallKind::Download),
        delete: of(CallKind::Delete),
    })
}

fn in_words(kind: Option<CallKind>) -> &'static str {
    match kind {
        Some(CallKind::Upload) => "an upload",
        Some(CallKind::Download) => "a download",
        Some(CallKind::Delete) => "a delete",
        None => "any transfer",
    }
}

fn client(options: &Options) -> Result<S3Client, String> {
    // An empty region is looked up by the library.
    let region = options.region.as_deref().unwrap_or_default();
    let of_environment = std::env::var_os("AWS_CA_BUNDLE").filter(|path| !path.is_empty()).map(PathBuf::from);
    let (verify, bundle_name) = verify(options, of_environment);
    let mut builder = create_s3_client(region).path_style(options.path_style).verify(verify);
    if let Some(url) = &options.endpoint_url {
        builder = builder.endpoint_url(url);
    }
    if options.no_sign_request {
        builder = builder.anonymous();
    }
    if let Some(threads) = options.num_threads {
        builder = builder.num_threads(threads);
    }
    if let Some(rate) = options.target_throughput {
        builder = builder.target_throughput(rate);
    }
    if let Some(rate) = options.max_bandwidth {
        builder = builder.max_bandwidth(rate);
    }
    if let Some(bytes) = options.part_size {
        builder = builder.part_size(bytes);
    }
    if let Some(connections) = options.max_connections {
        builder = builder.max_connections(connections);
    }
    if let Some(bytes) = options.memory_limit {
        builder = builder.memory_limit(bytes);
    }
    builder.build().map_err(|error| match bundle_name {
        _ if error.message().starts_with(NO_REGION) => format!("{error}; name one with --region"),
        Some(name) if error.message().starts_with(NO_TRUST) => format!("{name}: {error}"),
        _ => error.to_string(),
    })
}

/// Whom to trust, and what the file was named by, if it is one.
fn verify(options: &Options, of_environment: Option<PathBuf>) -> (Verify, Option<&'static str>) {
    match (&options.ca_bundle, of_environment) {
        _ if options.no_verify_ssl => (Verify::Disabled, None),
        (Some(bundle), _) => (Verify::CaBundle(bundle.clone()), Some("--ca-bundle")),
        (None, Some(bundle)) => (Verify::CaBundle(bundle), Some("AWS_CA_BUNDLE")),
        (None, None) => (Verify::System, None),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use clap::Parser;

    fn options(line: &[&str]) -> Options {
        Args::try_parse_from([&["xfer", "run"], line].concat()).unwrap().options
    }

    #[test]
    fn each_kind_gets_the_arguments_that_it_takes() {
        let json = r#"{"ContentType":"text/plain","VersionId":"7"}"#;
        let options = options(&["--extra-args", json, "--checksum-algorithm", "CRC32C"]);
        let arguments = arguments(&options, None).unwrap();
        assert_eq!(arguments.upload.text("ContentType"), Some("text/plain"));
        assert_eq!(arguments.upload.text("ChecksumAlgorithm"), Some("CRC32C"));
        assert_eq!(arguments.upload.len(), 2);
        assert_eq!(arguments.download, ExtraArgs::new().with("VersionId", "7"));
        assert_eq!(arguments.delete, ExtraArgs::new().with("VersionId", "7"));
    }

    #[test]
    fn arguments_that_nothing_takes_are_wrong_usage() {
        let given = options(&["--extra-args", r#"{"ContentType":"text/plain"}"#]);
        assert!(arguments(&given, Some(CallKind::Upload)).is_ok());
        let error = arguments(&given, Some(CallKind::Delete)).unwrap_err();
        assert_eq!(error, "--extra-args: ContentType is not an argument of a delete");
        assert!(arguments(&options(&["--extra-args", r#"{"Nonsense":1}"#]), None).is_err());
    }

    #[test]
    fn the_checksum_algorithm_is_for_uploads() {
        let given = options(&["--checksum-algorithm", "SHA256"]);
        assert!(arguments(&given, Some(CallKind::Upload)).is_ok());
        assert!(arguments(&given, None).is_ok());
        for (kind, words) in [(CallKind::Download, "a download"), (CallKind::Delete, "a delete")] {
            let error = arguments(&given, Some(kind)).unwrap_err();
            assert_eq!(error, format!("--checksum-algorithm is for uploads, and has no meaning for {words}"));
        }
    }

    #[test]
    fn a_key_among_the_arguments_is_never_shown() {
        for json in [r#"{"SSECustomerKey": ["secret"]}"#, r#"["secret"]"#, r#"{"SSECustomerKey":"secret""#, "secret"] {
            let error = arguments(&options(&["--extra-args", json]), None).unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
