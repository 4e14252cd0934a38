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
    /// What xfer and this program were built from; nothing if nobody said.
    #[serde(default)]
    pub(crate) commit: String,
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
    /// What else went on meanwhile.
    #[serde(default)]
    pub(crate) others: Option<Others>,
    /// Uploads by what secured their bytes.
    #[serde(default)]
    pub(crate) secured_by: BTreeMap<String, u64>,
    /// Reads that asked for a checksum, and those that were told one: that of the whole object.
    #[serde(default)]
    pub(crate) checksums_asked: Option<u64>,
    #[serde(default)]
    pub(crate) checksums_told: u64,
}

/// Processor time that neither client nor server had, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Others {
    /// Of other programs on this machine.
    pub(crate) programs: f64,
    /// What the host of a virtual machine kept for itself.
    pub(crate) host: f64,
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

/// What the processors have done since the machine started, in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clocks {
    /// For programs and the kernel.
    busy: f64,
    /// For others, on the host of a virtual machine.
    stolen: f64,
}

/// Ticks of a second in what the kernel tells programs; the same on all machines that this is for.
const TICKS: f64 = 100.0;

impl Clocks {
    /// As they are now; none if the kernel does not tell.
    pub(crate) fn now() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/stat").ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let ticks: Vec<f64> =
            text.lines().next()?.strip_prefix("cpu ")?.split_whitespace().map_while(|word| word.parse().ok()).collect();
        let [user, nice, system, _idle, _wait, interrupts, soft_interrupts, stolen, ..] = ticks[..] else {
            return None;
        };
        Some(Self { busy: (user + nice + system + interrupts + soft_interrupts) / TICKS, stolen: stolen / TICKS })
    }

    /// What others had since `before`, where `own` seconds were the client's and the server's.
    pub(crate) fn others(&self, before: &Self, own: f64) -> Others {
        Others { programs: (self.busy - before.busy - own).max(0.0), host: (self.stolen - before.stolen).max(0.0) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn others_have_what_neither_client_nor_server_had() {
        let before = Clocks::parse("cpu  100 200 300 4000 500 0 700 80 0 0\ncpu0 1 2 3").unwrap();
        let after = Clocks::parse("cpu  300 200 400 4000 500 100 700 180 0 0\n").unwrap();
        assert_eq!(after.others(&before, 1.5), Others { programs: 2.5, host: 1.0 });
        assert_eq!(after.others(&before, 9.0).programs, 0.0, "ticks are coarse");
        assert!(Clocks::parse("cpu 1 2 3").is_none() && Clocks::parse("").is_none());
        assert!(Clocks::now().is_some());
    }

    #[test]
    fn older_lines_are_read() {
        let line = r#"{"line":"series","id":1,"command":"x","machine":{"processor":"","cores":2,"memory":1,"kernel":"","is_virtual":true},"clients":{}}"#;
        assert!(matches!(serde_json::from_str(line).unwrap(), Line::Series(series) if series.commit.is_empty()));
    }
}
