//! What xfer is to reach.
//!
//! The numbers were set before it was written, from what the floor and the other clients took on another machine: the target is better than
//! the best of them, the aim is what the floor showed to be within reach. Ratios carry over from machine to machine, and are what is compared.

use xfer_core::units::{GIB, MIB};

use super::results::{AllResults, Quantity};
use super::tables::base;
use crate::run::workload::Name;

const XFER: &str = "xfer";

/// One target and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) what: String,
    pub(crate) unit: &'static str,
    /// What was measured.
    pub(crate) found: f64,
    pub(crate) target: f64,
    pub(crate) aim: f64,
    /// Whether more is better.
    pub(crate) rises: bool,
}

impl Verdict {
    /// In a word.
    pub(crate) fn word(&self) -> &'static str {
        let reaches = |bound: f64| if self.rises { self.found >= bound } else { self.found <= bound };
        match (reaches(self.target), reaches(self.aim)) {
            (_, true) => "aim reached",
            (true, false) => "met",
            (false, false) => "**not met**",
        }
    }
}

/// Processor time beside the floor's: target and aim.
const RATIOS: [(Name, f64, f64); 9] = [
    (Name::Get, 1.3, 1.1),
    (Name::Put, 1.05, 0.8),
    (Name::TlsGet, 1.6, 1.15),
    (Name::TlsPut, 1.25, 1.05),
    (Name::Get1KiB, 3.0, 1.6),
    (Name::Put1KiB, 3.0, 1.6),
    (Name::Get256KiB, 1.3, 1.1),
    (Name::Put256KiB, 1.3, 1.1),
    (Name::DiskGet, 1.0, 0.6),
];
/// Processor time of a small object in microseconds, for who has many: target and aim. Either this or the ratio will do.
const SMALL: (f64, f64) = (120.0, 65.0);
/// Processor time of a small download in milliseconds, and peak memory in MiB of anything: target and aim.
const STARTUP: (f64, f64) = (20.0, 8.0);
const MEMORY: (f64, f64) = (64.0, 24.0);
/// Speed from afar, beside that of the transfer manager and of the floor with 64 connections.
const FAR: (f64, f64) = (1.0, 0.95);

/// Each target for which there is a result.
pub(crate) fn verdicts(all: &AllResults) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for (name, target, aim) in RATIOS {
        let found = all.workload(name).and_then(|results| results.ratio(XFER, base(name)?, Quantity::Processor));
        let what = format!("{}: processor time beside the floor's", name.title());
        verdicts.extend(found.map(|found| Verdict { what, unit: " ×", found, target, aim, rises: false }));
    }
    for name in [Name::Get1KiB, Name::Put1KiB] {
        let found = all
            .workload(name)
            .and_then(|results| Some(results.median(XFER, Quantity::Processor)? * 1e6 / results.any()?.objects as f64));
        verdicts.extend(found.map(|found| Verdict {
            what: format!("{}: processor time of an object", name.title()),
            unit: " µs",
            found,
            target: SMALL.0,
            aim: SMALL.1,
            rises: false,
        }));
    }
    verdicts.extend(far(all));
    let startup = all.workload(Name::Startup).and_then(|results| results.median(XFER, Quantity::Processor));
    verdicts.extend(startup.map(|seconds| Verdict {
        what: "Start-up: processor time".to_owned(),
        unit: " ms",
        found: seconds * 1e3,
        target: STARTUP.0,
        aim: STARTUP.1,
        rises: false,
    }));
    let peaks = all.workloads().filter_map(|(_, results)| results.spread(XFER, Quantity::Memory));
    verdicts.extend(peaks.map(|(_, most)| most).max_by(f64::total_cmp).map(|bytes| Verdict {
        what: "Peak memory in any run of any workload".to_owned(),
        unit: " MiB",
        found: bytes / MIB as f64,
        target: MEMORY.0,
        aim: MEMORY.1,
        rises: false,
    }));
    verdicts
}

/// Speed from afar. The target needs the transfer manager to be there.
fn far(all: &AllResults) -> Option<Verdict> {
    let results = all.workload(Name::FarGet)?;
    let bytes = results.any()?.bytes as f64 / GIB as f64;
    let speed = |client: &str| results.median(client, Quantity::Wall).map(|seconds| bytes / seconds);
    Some(Verdict {
        what: format!("{}: speed", Name::FarGet.title()),
        unit: " GiB/s",
        found: speed(XFER)?,
        target: FAR.0 * speed("transfer-manager")?,
        aim: FAR.1 * speed("floor-64")?,
        rises: true,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::super::results::tests::lines;
    use super::*;

    fn verdict(text: &str, what: &str) -> Verdict {
        let all = AllResults::read(text).unwrap();
        verdicts(&all).into_iter().find(|verdict| verdict.what.contains(what)).unwrap()
    }

    #[test]
    fn ratios_are_judged() {
        for (xfer, word) in [(1.0, "aim reached"), (1.2, "met"), (1.4, "**not met**")] {
            let text = lines(1, "get", &[("floor", &[1.0, 1.0]), ("xfer", &[9.0, xfer])]);
            let verdict = verdict(&text, "Download, plain");
            assert_eq!((verdict.found, verdict.word()), (xfer, word));
        }
    }

    #[test]
    fn speed_is_better_when_it_is_higher() {
        let clients = |xfer| {
            lines(1, "far-get", &[("floor-64", &[1.0, 1.0]), ("transfer-manager", &[1.0, 2.0]), ("xfer", &[1.0, xfer])])
        };
        for (seconds, word) in [(0.9, "aim reached"), (1.5, "met"), (3.0, "**not met**")] {
            assert_eq!(verdict(&clients(seconds), "from afar").word(), word, "{seconds} s");
        }
    }

    #[test]
    fn what_was_not_measured_is_not_judged() {
        let all = AllResults::read(&lines(1, "startup", &[("xfer", &[0.1, 0.01])])).unwrap();
        let found: Vec<_> = verdicts(&all).iter().map(|verdict| (verdict.unit, verdict.found)).collect();
        assert_eq!(found, [(" ms", 10.0), (" MiB", 20.0)]);
    }
}
