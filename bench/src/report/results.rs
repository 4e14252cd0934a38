//! Results as they were read: what each client gave in each workload.

use std::collections::BTreeMap;
use std::io;

use super::numbers::{Rounds, median, ratios, spread};
use crate::run::record::{Line, Run, Series};
use crate::run::workload::Name;

/// What can be asked of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quantity {
    /// Processor time in seconds.
    Processor,
    /// The program's part of it.
    User,
    /// The kernel's part of it.
    System,
    /// Seconds.
    Wall,
    /// Bytes.
    Memory,
    Peak,
    Opened,
    Requests,
    /// Requests that were refused.
    Refused,
    /// Processor time of the server in seconds.
    Server,
}

impl Quantity {
    fn of(self, run: &Run) -> f64 {
        match self {
            Quantity::Processor => run.usage.user + run.usage.system,
            Quantity::User => run.usage.user,
            Quantity::System => run.usage.system,
            Quantity::Wall => run.usage.wall,
            Quantity::Memory => run.usage.memory as f64,
            Quantity::Peak => run.peak as f64,
            Quantity::Opened => run.opened as f64,
            Quantity::Requests => run.requests as f64,
            Quantity::Refused => run.refused as f64,
            Quantity::Server => run.server,
        }
    }
}

/// All that is known of one workload.
#[derive(Clone, Debug, Default)]
pub(crate) struct Results {
    series: u64,
    /// Runs that count and went well, by client.
    runs: BTreeMap<String, Vec<Run>>,
    /// Clients that failed, and how.
    pub(crate) failures: BTreeMap<String, String>,
}

impl Results {
    /// Clients with a result.
    pub(crate) fn clients(&self) -> impl Iterator<Item = &str> {
        self.runs.keys().map(String::as_str)
    }

    /// A run, for what all have in common.
    pub(crate) fn any(&self) -> Option<&Run> {
        self.runs.values().flatten().next()
    }

    /// Its runs that count.
    pub(crate) fn runs(&self, client: &str) -> &[Run] {
        self.runs.get(client).map_or(&[], Vec::as_slice)
    }

    /// Rounds that counted, for whoever had the least of them and the most; who failed stopped early.
    pub(crate) fn rounds(&self) -> (usize, usize) {
        let well = || self.runs.iter().filter(|(client, _)| !self.failures.contains_key(*client));
        let counts = || well().map(|(_, runs)| runs.len());
        (counts().min().unwrap_or(0), counts().max().unwrap_or(0))
    }

    fn values(&self, client: &str, quantity: Quantity) -> Rounds {
        self.runs(client).iter().map(|run| (run.round, quantity.of(run))).collect()
    }

    pub(crate) fn median(&self, client: &str, quantity: Quantity) -> Option<f64> {
        median(self.values(client, quantity).into_values())
    }

    pub(crate) fn spread(&self, client: &str, quantity: Quantity) -> Option<(f64, f64)> {
        spread(&self.values(client, quantity))
    }

    /// Median of the ratios of two clients in the same round.
    pub(crate) fn ratio(&self, client: &str, base: &str, quantity: Quantity) -> Option<f64> {
        median(self.ratios(client, base, quantity).into_values())
    }

    /// Least and largest of these ratios.
    pub(crate) fn ratio_spread(&self, client: &str, base: &str, quantity: Quantity) -> Option<(f64, f64)> {
        spread(&self.ratios(client, base, quantity))
    }

    fn ratios(&self, client: &str, base: &str, quantity: Quantity) -> Rounds {
        ratios(&self.values(client, quantity), &self.values(base, quantity))
    }
}

/// Everything that was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct AllResults {
    /// The last of them.
    pub(crate) series: Series,
    /// Each of them.
    every: BTreeMap<u64, Series>,
    workloads: BTreeMap<Name, Results>,
}

impl AllResults {
    /// Reads lines. Of a workload that is in several series the last counts.
    ///
    /// # Errors
    /// Kind `InvalidData`, with the line's number.
    pub(crate) fn read(text: &str) -> io::Result<Self> {
        let mut all = Self::default();
        for (line, number) in text.lines().zip(1..) {
            let line = serde_json::from_str(line)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("line {number}: {error}")))?;
            if let Line::Series(series) = &line {
                all.every.insert(series.id, series.clone());
            }
            match line {
                Line::Series(series) if series.id >= all.series.id => {
                    let before = std::mem::replace(&mut all.series, series);
                    for (client, version) in before.clients {
                        all.series.clients.entry(client).or_insert(version);
                    }
                }
                Line::Series(_) => {}
                Line::Run(run) => all.add(run),
            }
        }
        Ok(all)
    }

    fn add(&mut self, run: Run) {
        let Some(name) = Name::ALL.iter().find(|name| name.text() == run.workload) else { return };
        let results = self.workloads.entry(*name).or_default();
        if run.series > results.series {
            *results = Results { series: run.series, ..Results::default() };
        }
        if run.series < results.series {
            return;
        }
        match &run.usage.failure {
            Some(failure) => {
                results.failures.insert(run.client, failure.clone());
            }
            None if run.round > 0 => results.runs.entry(run.client.clone()).or_default().push(run),
            None => {}
        }
    }

    /// The series of which something counts, the first one first.
    pub(crate) fn series_that_count(&self) -> Vec<&Series> {
        let counts = |id: &u64| self.workloads.values().any(|results| results.series == *id);
        self.every.iter().filter(|(id, _)| counts(id)).map(|(_, series)| series).collect()
    }

    /// The series of a workload.
    pub(crate) fn series_of(&self, results: &Results) -> Option<&Series> {
        self.every.get(&results.series)
    }

    pub(crate) fn workload(&self, name: Name) -> Option<&Results> {
        self.workloads.get(&name)
    }

    pub(crate) fn workloads(&self) -> impl Iterator<Item = (Name, &Results)> {
        self.workloads.iter().map(|(name, results)| (*name, results))
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::run::measure::Usage;

    /// Lines of a series with one workload: clients with their processor times.
    pub(crate) fn lines(series: u64, workload: &str, clients: &[(&str, &[f64])]) -> String {
        let mut text = serde_json::to_string(&Line::Series(Series {
            id: series,
            command: format!("bench {series}"),
            ..Series::default()
        }))
        .unwrap()
            + "\n";
        for (client, times) in clients {
            for (round, user) in (0..).zip(times.iter().copied()) {
                let usage = Usage { user, wall: 2.0 * user, memory: 20 << 20, ..Usage::default() };
                let run = Run {
                    series,
                    workload: workload.to_owned(),
                    client: (*client).to_owned(),
                    round,
                    bytes: 2 << 30,
                    objects: 1,
                    usage,
                    ..Run::default()
                };
                text += &(serde_json::to_string(&Line::Run(run)).unwrap() + "\n");
            }
        }
        text
    }

    #[test]
    fn the_warm_up_does_not_count() {
        let all =
            AllResults::read(&lines(7, "get", &[("floor", &[9.0, 1.0, 2.0, 1.5]), ("xfer", &[9.0, 2.0, 4.0, 3.0])]))
                .unwrap();
        let get = all.workload(Name::Get).unwrap();
        assert_eq!((get.rounds(), get.median("floor", Quantity::Processor)), ((3, 3), Some(1.5)));
        assert_eq!(get.spread("floor", Quantity::Processor), Some((1.0, 2.0)));
        assert_eq!(get.ratio("xfer", "floor", Quantity::Processor), Some(2.0));
        assert_eq!(get.ratio_spread("xfer", "floor", Quantity::Processor), Some((2.0, 2.0)));
        assert_eq!(get.median("s5cmd", Quantity::Processor), None);
    }

    #[test]
    fn the_last_series_of_a_workload_counts() {
        let mut text = lines(7, "get", &[("floor", &[1.0, 1.0])]);
        text += &lines(7, "put", &[("floor", &[1.0, 1.0])]);
        text += &lines(8, "get", &[("floor", &[5.0, 5.0])]);
        let all = AllResults::read(&text).unwrap();
        assert_eq!(all.series.id, 8);
        assert_eq!(all.workload(Name::Get).unwrap().median("floor", Quantity::Processor), Some(5.0));
        assert_eq!(all.workload(Name::Put).unwrap().median("floor", Quantity::Processor), Some(1.0));
        assert_eq!(all.workloads().count(), 2);
        let ids = |all: &AllResults| all.series_that_count().iter().map(|series| series.id).collect::<Vec<_>>();
        assert_eq!(ids(&all), [7, 8], "of both something counts");
        assert_eq!(all.series_of(all.workload(Name::Put).unwrap()).unwrap().id, 7);
        text += &lines(9, "put", &[("floor", &[1.0, 1.0])]);
        assert_eq!(ids(&AllResults::read(&text).unwrap()), [8, 9]);
    }

    #[test]
    fn failures_are_kept_apart_and_nonsense_is_refused() {
        let text = lines(7, "get", &[("xfer", &[1.0, 1.0])]).replace("\"failure\":null", "\"failure\":\"oh\"");
        let all = AllResults::read(&text).unwrap();
        let get = all.workload(Name::Get).unwrap();
        assert_eq!((get.clients().count(), get.failures["xfer"].as_str()), (0, "oh"));
        assert!(AllResults::read("{}\n").unwrap_err().to_string().contains("line 1"));
    }
}
