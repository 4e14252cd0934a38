//! `xfer-bench measure`: runs one command to its end and tells what it took.
//!
//! A small process of its own does this, because a process's peak memory begins with that of whoever starts it. It also feeds a
//! download with pages: a file in the same memory file system, as large as what is going to be written, shrinks as the download grows. So
//! the kernel hands out pages that were in use a moment ago. In a virtual machine the first touch of any other page may cost more than the
//! transfer itself, and how much depends on the host.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::statvfs::fstatvfs;
use nix::sys::time::TimeValLike as _;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// How often the pool is looked at.
const LOOK: Duration = Duration::from_millis(2);
/// The pool shrinks by whole huge pages.
const PAGE: u64 = 2 << 20;

/// Words of `xfer-bench measure`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// File to write the result to, as JSON
    #[arg(long)]
    report: PathBuf,
    /// Core to run on
    #[arg(long)]
    core: Option<usize>,
    /// File that shrinks as the command writes
    #[arg(long)]
    pool: Option<PathBuf>,
    /// Bytes by which the pool is ahead
    #[arg(long, default_value_t = 64 << 20)]
    ahead: u64,
    /// Seconds after which the command is killed
    #[arg(long, default_value_t = 600)]
    timeout: u64,
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

/// What a command took.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// None when it went well; otherwise how it ended.
    pub(crate) failure: Option<String>,
    /// Seconds from its start to its end.
    pub(crate) wall: f64,
    /// Processor time in seconds.
    pub(crate) user: f64,
    pub(crate) system: f64,
    /// Peak resident memory in bytes.
    pub(crate) memory: u64,
}

/// Runs a command, and writes what it took.
///
/// # Errors
/// When it cannot be started or the report cannot be written.
pub(crate) fn run(args: &Args) -> io::Result<()> {
    let usage = measure(args)?;
    std::fs::write(&args.report, serde_json::to_vec(&usage)?)
}

fn measure(args: &Args) -> io::Result<Usage> {
    let (program, words) = args.command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null());
    let begun = Instant::now();
    let mut child = on_core(args.core, || command.spawn())?;
    if let Some(path) = &args.pool {
        let pool = Pool::open(path, args.ahead)?;
        std::thread::spawn(move || pool.feed());
    }
    let id = child.id();
    let (sender, receiver) = channel();
    std::thread::spawn(move || sender.send((child.wait(), Instant::now())));
    let (status, ended) = match receiver.recv_timeout(Duration::from_secs(args.timeout)) {
        Err(RecvTimeoutError::Timeout) => {
            let pid = Pid::from_raw(i32::try_from(id).map_err(io::Error::other)?);
            // If it has ended just now there is nobody to kill.
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
            receiver.recv().map_err(io::Error::other)?
        }
        result => result.map_err(io::Error::other)?,
    };
    let status = status?;
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let seconds = |time: nix::sys::time::TimeVal| time.num_microseconds() as f64 / 1e6;
    Ok(Usage {
        failure: (!status.success()).then(|| status.to_string()),
        wall: (ended - begun).as_secs_f64(),
        user: seconds(usage.user_time()),
        system: seconds(usage.system_time()),
        memory: u64::try_from(usage.max_rss()).unwrap_or(0) * 1024,
    })
}

/// Starts something on a core, where it will stay, and comes back to where this thread was.
///
/// # Errors
/// What the kernel says, and what `start` does.
pub(crate) fn on_core<T>(core: Option<usize>, start: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let Some(core) = core else { return start() };
    let this = Pid::from_raw(0);
    let before = sched_getaffinity(this)?;
    let mut one = CpuSet::new();
    one.set(core)?;
    sched_setaffinity(this, &one)?;
    let result = start();
    sched_setaffinity(this, &before)?;
    result
}

struct Pool {
    file: File,
    /// Bytes of the file system that are to be in use at most.
    most: u64,
}

impl Pool {
    fn open(path: &Path, ahead: u64) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).open(path)?;
        let most = used(&file)?.saturating_sub(ahead);
        Ok(Self { file, most })
    }

    /// Shrinks until there is nothing left.
    fn feed(self) {
        let Ok(mut size) = self.file.metadata().map(|metadata| metadata.len()) else { return };
        while size > 0 {
            let Ok(used) = used(&self.file) else { return };
            let over = used.saturating_sub(self.most).min(size) / PAGE * PAGE;
            if over > 0 {
                size -= over;
                if self.file.set_len(size).is_err() {
                    return;
                }
            }
            if size < PAGE {
                return;
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// Bytes that are in use in the file system of a file.
fn used(file: &File) -> io::Result<u64> {
    let system = fstatvfs(file)?;
    Ok((system.blocks() - system.blocks_free()) * system.fragment_size())
}
