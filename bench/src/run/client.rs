//! Who is measured, and how each is told what to do.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::server::Server;
use super::workload::{Kind, Name, Workload};

/// Bucket of all objects.
const BUCKET: &str = "bench";
/// The program for s3transfer's CRT manager; it needs a Python with `boto3[crt]`.
const AWSCRT: &str = include_str!("../../peers/s3transfer_crt.py");

/// How the authors of the transfer manager set its allocator up where they measure it: memory that is free goes back to the kernel soon, on a
/// thread of its own.
const JEMALLOC: &str = "background_thread:true,narenas:32,dirty_decay_ms:1000,muzzy_decay_ms:0";

/// The clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
pub(crate) enum Client {
    Floor,
    FloorLean,
    #[value(name = "floor-64")]
    Floor64,
    FloorDirect,
    Xfer,
    Awscrt,
    S5cmd,
    ObjectStore,
    TransferManager,
}

impl Client {
    pub(crate) const ALL: [Client; 9] = [
        Client::Floor,
        Client::FloorLean,
        Client::Floor64,
        Client::FloorDirect,
        Client::Xfer,
        Client::Awscrt,
        Client::S5cmd,
        Client::ObjectStore,
        Client::TransferManager,
    ];

    pub(crate) fn text(self) -> &'static str {
        match self {
            Client::Floor => "floor",
            Client::FloorLean => "floor-lean",
            Client::Floor64 => "floor-64",
            Client::FloorDirect => "floor-direct",
            Client::Xfer => "xfer",
            Client::Awscrt => "awscrt",
            Client::S5cmd => "s5cmd",
            Client::ObjectStore => "object-store",
            Client::TransferManager => "transfer-manager",
        }
    }

    /// Who it is, with how it is set up.
    pub(crate) fn about(self) -> &'static str {
        match self {
            Client::Floor => {
                "a bare loop: 8 blocking sockets, each with a thread and a buffer of 256 KiB, CRC64NVME of all bytes"
            }
            Client::FloorLean => "the same with 2 sockets, and so with a quarter of the threads and buffers",
            Client::Floor64 => "the same with 64 sockets",
            Client::FloorDirect => "the same, writing around the page cache, 1 MiB at a time",
            Client::Xfer => "the command `xfer` at its defaults",
            Client::Awscrt => "Python's s3transfer, `CRTTransferManager` on awscrt, parts of 8 MiB",
            Client::S5cmd => "s5cmd, 16 parts of 8 MiB at a time",
            Client::ObjectStore => "the Rust crate object_store, 16 parts of 8 MiB at a time (32 small objects)",
            Client::TransferManager => "the Rust crate aws-sdk-s3-transfer-manager, parts of 8 MiB",
        }
    }

    /// Whether it can do a workload, and whether it is of interest there.
    pub(crate) fn takes_part(self, workload: &Workload) -> bool {
        match self {
            // It gives up when it is refused.
            Client::Floor => workload.name != Name::Throttled,
            Client::FloorLean => matches!(workload.name, Name::Get | Name::Put | Name::TlsGet | Name::TlsPut),
            Client::Floor64 => matches!(workload.name, Name::FarGet | Name::FarPut),
            Client::FloorDirect => workload.name == Name::DiskGet,
            Client::TransferManager => workload.kind != Kind::DeleteMany,
            Client::Xfer | Client::Awscrt | Client::S5cmd | Client::ObjectStore => true,
        }
    }

    /// Whether it is of this repository: one that must not fail, and that every round is for.
    pub(crate) fn is_own(self) -> bool {
        match self {
            Client::Floor | Client::FloorLean | Client::Floor64 | Client::FloorDirect | Client::Xfer => true,
            Client::Awscrt | Client::S5cmd | Client::ObjectStore | Client::TransferManager => false,
        }
    }

    /// Whether it reserves a whole file before it writes.
    pub(crate) fn reserves(self) -> bool {
        self == Client::TransferManager
    }
}

/// Where the clients are.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) own: PathBuf,
    pub(crate) xfer: PathBuf,
    /// Folder of the programs made from `bench/peers`.
    pub(crate) peers: PathBuf,
    /// Python environment with the other peers.
    pub(crate) venv: PathBuf,
}

impl Programs {
    /// What a client says it is; none if it is not there.
    pub(crate) fn version(&self, client: Client) -> Option<String> {
        let mut command = match client {
            Client::Floor | Client::FloorLean | Client::Floor64 | Client::FloorDirect => {
                return Some(concat!("xfer-bench ", env!("CARGO_PKG_VERSION")).to_owned());
            }
            Client::Xfer => with(&self.xfer, &["--version"]),
            Client::Awscrt => with(
                &self.venv.join("bin/python3"),
                &[
                    "-c",
                    "import awscrt, s3transfer, s3transfer.crt; print('s3transfer', s3transfer.__version__, 'awscrt', awscrt.__version__)",
                ],
            ),
            Client::S5cmd => with(&self.venv.join("bin/s5cmd"), &["version"]),
            Client::ObjectStore | Client::TransferManager => with(&self.peer(client), &["version"]),
        };
        let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        (output.status.success() && !text.is_empty()).then_some(text)
    }

    fn peer(&self, client: Client) -> PathBuf {
        self.peers.join(format!("peer-{}", client.text()))
    }
}

/// One thing to do.
pub(crate) struct Task<'a> {
    pub(crate) workload: &'a Workload,
    pub(crate) server: &'a Server,
    /// File or folder to read from.
    pub(crate) source: &'a Path,
    /// File or folder to write to.
    pub(crate) target: &'a Path,
    /// Folder for lists and the like.
    pub(crate) work: &'a Path,
}

/// A client's command line, and what has to stand in its environment.
pub(crate) struct CommandLine {
    pub(crate) words: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
}

impl CommandLine {
    /// # Errors
    /// When a list or a program cannot be written.
    pub(crate) fn new(client: Client, programs: &Programs, task: &Task<'_>) -> std::io::Result<Self> {
        let mut environment = vec![
            ("ENDPOINT".to_owned(), task.server.endpoint.clone()),
            ("BUCKET".to_owned(), BUCKET.to_owned()),
            ("AWS_ACCESS_KEY_ID".to_owned(), "xfer-bench".to_owned()),
            ("AWS_SECRET_ACCESS_KEY".to_owned(), "no secret".to_owned()),
            ("AWS_REGION".to_owned(), "us-east-1".to_owned()),
            ("AWS_DEFAULT_REGION".to_owned(), "us-east-1".to_owned()),
            ("AWS_EC2_METADATA_DISABLED".to_owned(), "true".to_owned()),
            ("AWS_CONFIG_FILE".to_owned(), "/dev/null".to_owned()),
            ("AWS_SHARED_CREDENTIALS_FILE".to_owned(), "/dev/null".to_owned()),
        ];
        if let Some(ca) = &task.server.ca {
            environment.extend([("CA".to_owned(), text(ca)), ("SSL_CERT_FILE".to_owned(), text(ca))]);
        }
        if client == Client::TransferManager {
            environment.push(("_RJEM_MALLOC_CONF".to_owned(), JEMALLOC.to_owned()));
        }
        let words = match client {
            Client::Floor => floor(programs, task, &[]),
            Client::FloorLean => floor(programs, task, &["--connections", "2"]),
            Client::Floor64 => floor(programs, task, &["--connections", "64"]),
            Client::FloorDirect => floor(programs, task, &["--direct", "--buffer", "1MiB"]),
            Client::Xfer => xfer(programs, task)?,
            Client::S5cmd => s5cmd(programs, task),
            Client::Awscrt => {
                let program = task.work.join("s3transfer_crt.py");
                std::fs::write(&program, AWSCRT)?;
                let python = vec![text(&programs.venv.join("bin/python3")), text(&program)];
                python.into_iter().chain(plain_words(task)).collect()
            }
            Client::ObjectStore | Client::TransferManager => {
                [text(&programs.peer(client))].into_iter().chain(plain_words(task)).collect()
            }
        };
        Ok(Self { words, environment })
    }
}

/// The words that the floor and the programs in `bench/peers` understand.
fn plain_words(task: &Task<'_>) -> Vec<String> {
    let (key, count) = (task.workload.key(), task.workload.count.to_string());
    let (source, target) = (text(task.source), text(task.target));
    match task.workload.kind {
        Kind::Get => vec!["get".to_owned(), key, target],
        Kind::Put => vec!["put".to_owned(), source, key],
        Kind::GetMany => vec!["get-many".to_owned(), key, count, target],
        Kind::PutMany => vec!["put-many".to_owned(), source, count, key],
        Kind::DeleteMany => vec!["delete-many".to_owned(), key, count],
    }
}

fn floor(programs: &Programs, task: &Task<'_>, options: &[&str]) -> Vec<String> {
    let mut words = vec![text(&programs.own), "floor".to_owned()];
    words.extend(plain_words(task));
    words.extend(["--endpoint".to_owned(), task.server.endpoint.clone(), "--bucket".to_owned(), BUCKET.to_owned()]);
    words.extend(options.iter().map(ToString::to_string));
    if let Some(ca) = &task.server.ca {
        words.extend(["--ca".to_owned(), text(ca)]);
    }
    words
}

fn xfer(programs: &Programs, task: &Task<'_>) -> std::io::Result<Vec<String>> {
    let url = format!("s3://{BUCKET}/{}", task.workload.key());
    let (source, target) = (text(task.source), text(task.target));
    let numbers = (0..task.workload.count).map(crate::stream::number);
    let lines: Option<String> = match task.workload.kind {
        Kind::Get | Kind::Put => None,
        Kind::GetMany => Some(numbers.map(|name| format!("cp {url}{name} {target}/{name}\n")).collect()),
        Kind::PutMany => Some(numbers.map(|name| format!("cp {source}/{name} {url}{name}\n")).collect()),
        Kind::DeleteMany => Some(numbers.map(|name| format!("rm {url}{name}\n")).collect()),
    };
    let mut words = vec![text(&programs.xfer)];
    match (lines, task.workload.kind) {
        (Some(lines), _) => {
            let list = task.work.join("list");
            std::fs::write(&list, lines)?;
            words.extend(["run".to_owned(), text(&list)]);
        }
        (None, Kind::Put) => words.extend(["cp".to_owned(), source, url]),
        (None, _) => words.extend(["cp".to_owned(), url, target]),
    }
    words.extend(["--no-progress", "--path-style", "--region", "us-east-1", "--endpoint-url"].map(str::to_owned));
    words.push(task.server.endpoint.clone());
    if let Some(ca) = &task.server.ca {
        words.extend(["--ca-bundle".to_owned(), text(ca)]);
    }
    Ok(words)
}

fn s5cmd(programs: &Programs, task: &Task<'_>) -> Vec<String> {
    let url = format!("s3://{BUCKET}/{}", task.workload.key());
    let (source, target) = (text(task.source), text(task.target));
    let mut words = vec![text(&programs.venv.join("bin/s5cmd")), "--log".to_owned(), "error".to_owned()];
    words.extend(["--endpoint-url".to_owned(), task.server.endpoint.clone()]);
    if task.workload.kind == Kind::DeleteMany {
        words.extend(["rm".to_owned(), format!("{url}*")]);
        return words;
    }
    words.extend(["cp", "--concurrency", "16", "--part-size", "8"].map(str::to_owned));
    match task.workload.kind {
        Kind::Get => words.extend([url, target]),
        Kind::Put => words.extend([source, url]),
        Kind::PutMany => words.extend([format!("{source}/"), url]),
        Kind::GetMany | Kind::DeleteMany => words.extend([format!("{url}*"), format!("{target}/")]),
    }
    words
}

fn with(program: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(words);
    command
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
