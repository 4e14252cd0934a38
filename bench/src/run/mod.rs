//! `xfer-bench run`: every client does every workload in turn, round after round, and each run becomes a line of JSON.
//!
//! Clients alternate, and another one begins in each round (A B C, B C A, C A B), so that what disturbs the machine disturbs all of them. The
//! first round is not counted: in it the server checks every byte that is uploaded, and what was downloaded is compared with what it should
//! be. A client that fails is left out of the rest of the workload.

mod client;
mod files;
pub(crate) mod measure;
pub(crate) mod record;
mod server;
pub(crate) mod workload;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use xfer_core::units;

pub(crate) use self::client::Client;
use self::client::{CommandLine, Programs, Task};
use self::files::Files;
use self::measure::Usage;
use self::record::{Clocks, Line, Machine, Run, Series, load};
use self::server::Server;
use self::workload::{Kind, Name, Scale, Workload};
use crate::serve::stats::Report;

/// Core of the server, and of the client, when they are kept apart.
const SERVER_CORE: usize = 0;
const CLIENT_CORE: usize = 1;
/// A client that takes longer than this many seconds is known well enough without additional rounds.
const SOON: f64 = 1.0;
/// Bytes of a client's own words that are shown when it fails.
const LAST_WORDS: usize = 2000;

/// Words of `xfer-bench run`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// File to append results to
    #[arg(long, default_value = "results.jsonl")]
    out: PathBuf,
    /// Only these workloads
    #[arg(long, value_delimiter = ',', value_enum)]
    workloads: Vec<Name>,
    /// Only these clients
    #[arg(long, value_delimiter = ',', value_enum)]
    clients: Vec<Client>,
    /// Rounds that count; three times as many of small objects and uploads, for clients that are over with them in a second
    #[arg(long, default_value_t = 5)]
    runs: u32,
    /// Size of a large object; from afar and to the disk it is twice that
    #[arg(long, default_value = "2GiB", value_parser = units::parse_bytes)]
    size: u64,
    /// Number of objects of 1 KiB; of those of 256 KiB there are a tenth
    #[arg(long, default_value_t = 10_000)]
    count: u64,
    /// Folder for files in memory: on a tmpfs
    #[arg(long, default_value = "/dev/shm")]
    memory: PathBuf,
    /// Folder for files on a disk
    #[arg(long, default_value = ".")]
    disk: PathBuf,
    /// The command xfer [default: beside this one]
    #[arg(long)]
    xfer: Option<PathBuf>,
    /// Folder of the programs made from bench/peers [default: beside this one]
    #[arg(long)]
    peers: Option<PathBuf>,
    /// Python environment with `boto3[crt]` and s5cmd
    #[arg(long, default_value = "venv")]
    venv: PathBuf,
    /// Seconds after which a client is killed
    #[arg(long, default_value_t = 600)]
    timeout: u64,
    /// Keep neither server nor client on a core of its own
    #[arg(long)]
    no_pin: bool,
    /// What the report says has to be typed to repeat it
    #[arg(long, default_value = "xfer-bench run")]
    command_line: String,
    /// What the report says that xfer was built from
    #[arg(long, default_value = "")]
    commit: String,
}

/// Measures.
///
/// # Errors
/// When something of its own does not work, or the floor or xfer failed in some run.
pub(crate) fn run(args: &Args) -> io::Result<()> {
    let own = std::env::current_exe()?;
    let beside = own.parent().unwrap_or(Path::new(".")).to_owned();
    let programs = Programs {
        xfer: args.xfer.clone().unwrap_or_else(|| beside.join("xfer")),
        peers: args.peers.clone().unwrap_or(beside),
        venv: args.venv.clone(),
        own,
    };
    let machine = Machine::this();
    let mut versions = BTreeMap::new();
    let mut clients = Vec::new();
    for client in Client::ALL {
        if !args.clients.is_empty() && !args.clients.contains(&client) {
            continue;
        }
        match programs.version(client) {
            Some(version) => {
                versions.insert(client.text().to_owned(), version);
                clients.push(client);
            }
            None => say(&format!("{} is not there and is left out", client.text())),
        }
    }
    let id = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let mut bench = Bench {
        out: OpenOptions::new().create(true).append(true).open(&args.out)?,
        files: Files::new(&args.memory, &args.disk)?,
        pins: !args.no_pin && machine.cores > CLIENT_CORE,
        runs: args.runs,
        timeout: args.timeout,
        series: id,
        programs,
        clients,
        failures: Vec::new(),
    };
    let (command, commit) = (args.command_line.clone(), args.commit.clone());
    bench.write(&Line::Series(Series { id, command, commit, machine, clients: versions }))?;
    let names = if args.workloads.is_empty() { Name::ALL } else { &args.workloads };
    for name in names {
        bench.workload(&Workload::new(*name, Scale { size: args.size, count: args.count }))?;
    }
    if bench.failures.is_empty() { Ok(()) } else { Err(io::Error::other(bench.failures.join("; "))) }
}

/// A client in a workload.
struct Entrant {
    client: Client,
    /// Seconds that it took when it took longest.
    longest: f64,
    failed: bool,
}

impl Entrant {
    fn new(client: Client) -> Self {
        Self { client, longest: 0.0, failed: false }
    }

    /// Whether there are additional rounds for it.
    fn is_soon_over(&self) -> bool {
        self.client.is_own() || self.longest < SOON
    }
}

/// The order of `count` clients in a round: each begins one of as many rounds.
fn order(count: usize, round: u32) -> impl Iterator<Item = usize> {
    (0..count).map(move |index| (index + round as usize) % count)
}

struct Bench {
    out: File,
    files: Files,
    pins: bool,
    runs: u32,
    timeout: u64,
    series: u64,
    programs: Programs,
    clients: Vec<Client>,
    failures: Vec<String>,
}

impl Bench {
    fn workload(&mut self, workload: &Workload) -> io::Result<()> {
        let clients = self.clients.iter().copied().filter(|client| client.takes_part(workload));
        let mut entrants: Vec<Entrant> = clients.map(Entrant::new).collect();
        self.files.prepare(workload)?;
        self.round(workload, &mut entrants, 0, &self.server(workload, true)?)?;
        let server = self.server(workload, false)?;
        for round in 1..=self.runs {
            self.round(workload, &mut entrants, round, &server)?;
        }
        entrants.retain(Entrant::is_soon_over);
        for round in self.runs + 1..=self.runs * workload.name.times() {
            self.round(workload, &mut entrants, round, &server)?;
        }
        self.files.forget()
    }

    fn server(&self, workload: &Workload, verify: bool) -> io::Result<Server> {
        let core = (self.pins && workload.pinned).then_some(SERVER_CORE);
        Server::start(workload, verify, core, self.files.work())
    }

    fn round(
        &mut self,
        workload: &Workload,
        entrants: &mut Vec<Entrant>,
        round: u32,
        server: &Server,
    ) -> io::Result<()> {
        for index in order(entrants.len(), round) {
            let entrant = &mut entrants[index];
            let run = self.once(workload, entrant.client, round, server)?;
            say(&line_for(&run));
            if round > 0 {
                entrant.longest = entrant.longest.max(run.usage.wall);
            }
            if let Some(failure) = &run.usage.failure {
                entrant.failed = true;
                if entrant.client.is_own() {
                    self.failures.push(format!("{} failed in {}: {failure}", run.client, run.workload));
                }
            }
            self.write(&Line::Run(run))?;
        }
        entrants.retain(|entrant| !entrant.failed);
        Ok(())
    }

    fn once(&mut self, workload: &Workload, client: Client, round: u32, server: &Server) -> io::Result<Run> {
        let pool = self.files.begin(workload)?;
        server.reset(round)?;
        let target = self.files.target(workload);
        let task = Task { workload, server, source: self.files.source(), target: &target, work: self.files.work() };
        let line = CommandLine::new(client, &self.programs, &task)?;
        let (load, before) = (load(), Clocks::now());
        let mut usage = self.measure(workload, client, &line, pool.as_deref())?;
        let after = Clocks::now();
        let stats = server.stats()?;
        if usage.failure.is_none() {
            let unsecured = || client.is_own().then(|| unsecured(workload, &stats)).flatten();
            usage.failure = self.fault(workload, round, &stats, &target).or_else(unsecured);
        }
        let own = usage.user + usage.system + stats.cpu;
        Ok(Run {
            series: self.series,
            workload: workload.name.text().to_owned(),
            client: client.text().to_owned(),
            round,
            bytes: workload.moved(),
            objects: workload.count,
            pinned: self.pins && workload.pinned,
            usage,
            opened: stats.opened,
            peak: stats.peak,
            requests: stats.operations.values().sum(),
            refused: stats.refused,
            server: stats.cpu,
            load,
            others: after.zip(before).map(|(after, before)| after.others(&before, own)),
            secured_by: stats.secured_by,
            checksums_asked: Some(stats.checksums_asked),
            checksums_told: stats.checksums_told,
        })
    }

    fn measure(
        &self,
        workload: &Workload,
        client: Client,
        line: &CommandLine,
        pool: Option<&Path>,
    ) -> io::Result<Usage> {
        let report = self.files.work().join("usage");
        let words = self.files.work().join("words");
        let log = File::create(&words)?;
        // Whatever is left from the run before must not be taken for this one's.
        let _ = fs::remove_file(&report);
        let mut command = Command::new(&self.programs.own);
        command.arg("measure").arg("--report").arg(&report).args(["--timeout", &self.timeout.to_string()]);
        if self.pins && workload.pinned {
            command.args(["--core", &CLIENT_CORE.to_string()]);
        }
        if let Some(pool) = pool {
            command.arg("--pool").arg(pool);
            if client.reserves() {
                command.args(["--ahead", &workload.bytes().to_string()]);
            }
        }
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("AWS_") {
                command.env_remove(name);
            }
        }
        command.arg("--").args(&line.words).envs(line.environment.iter().cloned());
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let status = command.status()?;
        let mut usage = match fs::read(&report) {
            Ok(text) => serde_json::from_slice::<Usage>(&text)?,
            Err(_) => Usage { failure: Some(status.to_string()), ..Usage::default() },
        };
        if let Some(failure) = &mut usage.failure {
            let said = fs::read(&words)?;
            let said = String::from_utf8_lossy(&said[said.len().saturating_sub(LAST_WORDS)..]).trim().to_owned();
            *failure = format!("{failure}: {said}");
        }
        Ok(usage)
    }

    /// What a client did wrong although it says that all is well.
    fn fault(&self, workload: &Workload, round: u32, stats: &Report, target: &Path) -> Option<String> {
        let moved = match workload.kind {
            Kind::Get | Kind::GetMany => stats.sent,
            Kind::Put | Kind::PutMany => stats.received,
            Kind::DeleteMany => 0,
        };
        if moved < workload.moved() {
            return Some(format!("only {moved} of {} bytes were moved", workload.moved()));
        }
        if workload.kind == Kind::DeleteMany && stats.deleted < workload.count {
            return Some(format!("only {} of {} objects were deleted", stats.deleted, workload.count));
        }
        if !stats.complaints.is_empty() {
            return Some(stats.complaints.join("; "));
        }
        let uploads = match workload.kind {
            Kind::Put | Kind::PutMany => workload.count,
            _ => 0,
        };
        if round == 0 && stats.verified < uploads {
            return Some(format!("only {} of {uploads} uploads were found right", stats.verified));
        }
        if round == 0 && matches!(workload.kind, Kind::Get | Kind::GetMany) {
            return self.files.check(workload, target).err().map(|error| error.to_string());
        }
        None
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        writeln!(self.out, "{}", serde_json::to_string(line)?)
    }
}

/// What a client left to chance whose measurement is to be one with every byte checked: a download without the checksum of the whole to
/// compare with, or an upload that carried none.
fn unsecured(workload: &Workload, stats: &Report) -> Option<String> {
    match workload.kind {
        Kind::Get | Kind::GetMany => {
            let told = stats.checksums_told;
            (told < workload.count).then(|| format!("only {told} of {} checksums were asked for", workload.count))
        }
        Kind::Put | Kind::PutMany => {
            let all: u64 = stats.secured_by.values().sum();
            let with = stats.secured_by.iter().filter(|(how, _)| how.starts_with("x-amz-checksum-"));
            let with: u64 = with.map(|(_, count)| count).sum();
            (with < all.max(workload.count)).then(|| format!("only {with} of {all} uploads carried a checksum"))
        }
        Kind::DeleteMany => None,
    }
}

/// One run in short, for whoever watches.
fn line_for(run: &Run) -> String {
    let usage = &run.usage;
    let processor = usage.user + usage.system;
    let cost = if run.objects > 1 {
        format!("{:7.1} us/object", processor * 1e6 / run.objects as f64)
    } else {
        format!("{:7.3} s/GiB", processor / (run.bytes as f64 / units::GIB as f64))
    };
    let verdict = usage.failure.as_ref().map_or_else(String::new, |failure| format!("  FAILED {failure}"));
    let what = if run.round == 0 { "warm-up".to_owned() } else { format!("round {}", run.round) };
    format!(
        "{:11} {what:8} {:17} {:7.2} s wall {processor:7.2} s processor {cost} {:5} MiB {:3} connections, server {:.2} s, load {:.1}{verdict}",
        run.workload,
        run.client,
        usage.wall,
        usage.memory / units::MIB,
        run.peak,
        run.server,
        run.load,
    )
}

fn say(what: &str) {
    // Whoever closed standard error does not want to know.
    let _ = writeln!(io::stderr(), "{what}");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn each_client_begins_a_round() {
        let rounds: Vec<Vec<usize>> = (0..3).map(|round| order(3, round).collect()).collect();
        assert_eq!(rounds, [[0, 1, 2], [1, 2, 0], [2, 0, 1]]);
        assert_eq!(order(0, 7).count(), 0);
    }

    #[test]
    fn additional_rounds_are_for_who_is_soon_over_and_for_ours() {
        let entrant = |client, longest| Entrant { longest, ..Entrant::new(client) };
        assert!(entrant(Client::ObjectStore, 0.3).is_soon_over());
        assert!(!entrant(Client::Awscrt, 7.0).is_soon_over());
        assert!(entrant(Client::Xfer, 1.2).is_soon_over() && entrant(Client::Floor, 1.2).is_soon_over());
    }

    #[test]
    fn what_is_not_secured_is_a_failure() {
        let scale = Scale { size: 20 << 20, count: 10 };
        let verdict = |name, stats: &Report| unsecured(&Workload::new(name, scale), stats);
        let mut stats = Report { checksums_asked: 3, ..Report::default() };
        assert!(verdict(Name::Get, &stats).is_some(), "none was told");
        stats.checksums_told = 1;
        assert_eq!(verdict(Name::Get, &stats), None);
        assert!(verdict(Name::Get1KiB, &stats).unwrap().contains("1 of 10"));
        assert_eq!(verdict(Name::Delete, &stats), None);

        assert!(verdict(Name::Put, &stats).is_some(), "nothing came");
        stats.secured_by = [("x-amz-checksum-crc64nvme in a trailer".to_owned(), 3)].into();
        assert_eq!(verdict(Name::Put, &stats), None);
        stats.secured_by.insert("nothing".to_owned(), 1);
        assert!(verdict(Name::Put, &stats).unwrap().contains("3 of 4"));
    }
}
