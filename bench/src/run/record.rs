//! The lines of a file of results.

use std::collections::BTreeMap;
use std::fs;

use serde::{Deserialize, Serialize};

use super::measure::Usage;

/// One line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "kebab-case")]
pub(crate) enum Line {
    Series(Series),
    Run(Run),
}

/// What holds for all runs of one call of `xfer-bench run`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Series {
    /// Seconds since 1970 at its start.
    pub(crate) id: u64,
    /// The command that repeats it.
    pub(crate) command: String,
    pub(crate) machine: Machine,
    /// What each client says that it is.
    pub(crate) clients: BTreeMap<String, String>,
}

/// One client, once.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) series: u64,
    pub(crate) workload: String,
    pub(crate) client: String,
    /// Clients of the same round ran one after the other; round 0 is the warm-up, with everything checked.
    pub(crate) round: u32,
    /// Bytes and objects that were to be moved.
    pub(crate) bytes: u64,
    pub(crate) objects: u64,
    pub(crate) pinned: bool,
    #[serde(flatten)]
    pub(crate) usage: Usage,
    /// Connections that were opened, and most at once.
    pub(crate) opened: u64,
    pub(crate) peak: u64,
    pub(crate) requests: u64,
    /// Requests that were refused.
    pub(crate) refused: u64,
    /// Processor time of the server in seconds.
    pub(crate) server: f64,
    /// Load average of the machine before.
    pub(crate) load: f64,
}

/// Where it was measured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    /// Bytes.
    pub(crate) memory: u64,
    pub(crate) kernel: String,
    pub(crate) is_virtual: bool,
}

impl Machine {
    /// This one, as far as it tells.
    pub(crate) fn this() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let processors = read("/proc/cpuinfo");
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
        Self {
            processor: field(&processors, "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory: memory.split(' ').next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            is_virtual: field(&processors, "flags")
                .is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
        }
    }
}

/// The load average of the last minute.
pub(crate) fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0)
}
