//! What xfer is to reach.
//!
//! The numbers were set before it was written, from what the floor and the other clients took on another machine: the target is better than
//! the best of them, the aim is what the floor showed to be within reach. Ratios carry over from machine to machine, and are what is compared.

use xfer_core::units::MIB;

use super::results::{AllResults, Quantity, Results};
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
    /// Least and most of the rounds.
    pub(crate) spread: Option<(f64, f64)>,
    /// One of them may be missing where they were set beside different clients.
    pub(crate) target: Option<f64>,
    pub(crate) aim: Option<f64>,
    /// Whether more is better.
    pub(crate) rises: bool,
}

impl Verdict {
    /// In a word.
    pub(crate) fn word(&self) -> &'static str {
        let reaches = |bound: f64| if self.rises { self.found >= bound } else { self.found <= bound };
        match (self.target.map(reaches), self.aim.map(reaches)) {
            (_, Some(true)) => "aim reached",
            (Some(true), _) => "met",
            (None, _) => "aim not reached",
            (Some(false), _) => "**not met**",
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
/// Speed from afar: the target beside the transfer manager's, the aim beside that of the floor with 64 connections.
const FAR: [(&str, Option<f64>, Option<f64>); 2] =
    [("transfer-manager", Some(1.0), None), ("floor-64", None, Some(0.95))];

/// Each target for which there is a result.
pub(crate) fn verdicts(all: &AllResults) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for (name, target, aim) in RATIOS {
        verdicts.extend(all.workload(name).and_then(|results| {
            let base = base(name)?;
            Some(Verdict {
                what: format!("{}: processor time beside the floor's", name.title()),
                unit: " ×",
                found: results.ratio(XFER, base, Quantity::Processor)?,
                spread: results.ratio_spread(XFER, base, Quantity::Processor),
                target: Some(target),
                aim: Some(aim),
                rises: false,
            })
        }));
    }
    for name in [Name::Get1KiB, Name::Put1KiB] {
        let objects = all.workload(name).and_then(Results::any).map_or(1, |run| run.objects);
        let what = format!("{}: processor time of an object", name.title());
        verdicts.extend(processor(all, name, what, " µs", 1e6 / objects as f64, SMALL));
    }
    verdicts.extend(FAR.into_iter().filter_map(|(base, target, aim)| far(all, base, target, aim)));
    verdicts.extend(processor(all, Name::Startup, "Start-up: processor time".to_owned(), " ms", 1e3, STARTUP));
    let peaks = all.workloads().filter_map(|(_, results)| results.spread(XFER, Quantity::Memory));
    verdicts.extend(peaks.map(|(_, most)| most).max_by(f64::total_cmp).map(|bytes| Verdict {
        what: "Peak memory in any run of any workload".to_owned(),
        unit: " MiB",
        found: bytes / MIB as f64,
        spread: None,
        target: Some(MEMORY.0),
        aim: Some(MEMORY.1),
        rises: false,
    }));
    verdicts
}

/// Processor time as it is, in a unit of which there are `scale` in a second.
fn processor(
    all: &AllResults,
    name: Name,
    what: String,
    unit: &'static str,
    scale: f64,
    (target, aim): (f64, f64),
) -> Option<Verdict> {
    let results = all.workload(name)?;
    let found = results.median(XFER, Quantity::Processor)? * scale;
    let spread = results.spread(XFER, Quantity::Processor).map(|(least, most)| (least * scale, most * scale));
    Some(Verdict { what, unit, found, spread, target: Some(target), aim: Some(aim), rises: false })
}

/// Speed from afar beside another client's in the same round: what it took over what xfer took.
fn far(all: &AllResults, base: &str, target: Option<f64>, aim: Option<f64>) -> Option<Verdict> {
    let results = all.workload(Name::FarGet)?;
    Some(Verdict {
        what: format!("{}: speed beside {base}'s", Name::FarGet.title()),
        unit: " ×",
        found: results.ratio(base, XFER, Quantity::Wall)?,
        spread: results.ratio_spread(base, XFER, Quantity::Wall),
        target,
        aim,
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
        let words = |seconds| {
            ["transfer-manager", "floor-64"].map(|base| verdict(&clients(seconds), &format!("beside {base}'s")).word())
        };
        assert_eq!(words(0.9), ["met", "aim reached"]);
        assert_eq!(words(1.5), ["met", "aim not reached"]);
        assert_eq!(words(3.0), ["**not met**", "aim not reached"]);
    }

    #[test]
    fn speed_is_compared_within_rounds() {
        // The machine was slow in the second round; the median of each alone would say otherwise.
        let clients: [(&str, &[f64]); 2] = [("floor-64", &[1.0, 1.0, 9.0, 3.0]), ("xfer", &[1.0, 2.0, 9.0, 2.0])];
        let verdict = verdict(&lines(1, "far-get", &clients), "from afar");
        assert_eq!((verdict.found, verdict.spread), (1.0, Some((0.5, 1.5))));
    }

    #[test]
    fn what_was_not_measured_is_not_judged() {
        let all = AllResults::read(&lines(1, "startup", &[("xfer", &[0.1, 0.01])])).unwrap();
        let found: Vec<_> = verdicts(&all).iter().map(|verdict| (verdict.unit, verdict.found)).collect();
        assert_eq!(found, [(" ms", 10.0), (" MiB", 20.0)]);
    }
}
