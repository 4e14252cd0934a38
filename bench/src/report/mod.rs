//! `xfer-bench report`: what was measured, as a page of Markdown with pictures.

mod numbers;
mod plot;
mod results;
mod tables;
mod targets;

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use time::OffsetDateTime;
use xfer_core::units::{GIB, MIB};

use self::plot::{Group, Plot, draw};
use self::results::{AllResults, Quantity};
use crate::run::Client;
use crate::run::workload::Name;

/// What stands in the way of more: words of those who looked, not of the results.
const LIMITS: &str = include_str!("limits.md");

/// Words of `xfer-bench report`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// File of results
    #[arg(default_value = "results.jsonl")]
    results: PathBuf,
    /// Page to write; pictures go to a folder of the same name beside it
    #[arg(long, default_value = "performance.md")]
    out: PathBuf,
}

/// Writes the page and its pictures.
///
/// # Errors
/// When results cannot be read, or nothing can be written.
pub(crate) fn run(args: &Args) -> io::Result<()> {
    let all = AllResults::read(&fs::read_to_string(&args.results)?)?;
    let folder = args.out.with_extension("");
    fs::create_dir_all(&folder)?;
    let pictures = pictures(&all);
    for (name, plot) in &pictures {
        draw(&folder.join(name), plot).map_err(io::Error::other)?;
    }
    let names: Vec<(&str, &str)> = pictures.iter().map(|(name, plot)| (*name, plot.title.as_str())).collect();
    fs::write(&args.out, page(&all, &folder, &names))
}

fn page(all: &AllResults, folder: &Path, pictures: &[(&str, &str)]) -> String {
    let series = &all.series;
    let machine = &series.machine;
    let date = i64::try_from(series.id).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let date = date.map_or_else(String::new, |time| time.date().to_string());
    let mut out = String::from("# What xfer costs\n\n");
    let _ = writeln!(
        out,
        "Measured on {date} on {}{} with {} cores and {} GiB of memory, Linux {}. This page was written by\n\n```sh\n{}\n```\n\n\
         which repeats it all; [bench/README.md](../bench/README.md) says what is measured and how.\n",
        machine.processor,
        if machine.is_virtual { " (a virtual machine)" } else { "" },
        machine.cores,
        machine.memory.div_ceil(GIB),
        machine.kernel,
        all.commands()
    );
    out += "Processor time is that of the whole client process, user and system, and the median of all rounds. `×` is the median of the ratios to \
            the floor in the same round. The floor is about the least that a client can do: blocking sockets, a thread for each, a checksum, and \
            nothing else.\n\n";
    out += "## Targets\n\nSet before xfer was written, as ratios to the floor wherever another machine would give other times.\n\n";
    out += &tables::targets(all);
    out += "\n## What limits each\n\n";
    out += LIMITS;
    let beside = tables::beside(all);
    if !beside.is_empty() {
        out += "\n## xfer beside other clients\n\nIts processor time, then its peak memory, as a part of theirs.\n\n";
        out += &beside;
    }
    if let Some(name) = folder.file_name().map(|name| name.to_string_lossy()) {
        out += "\n## In pictures\n";
        for (file, title) in pictures {
            let _ = write!(out, "\n![{title}]({name}/{file})\n");
        }
    }
    out += "\n## All workloads\n";
    for (name, results) in all.workloads() {
        let _ = write!(out, "\n### {}\n\n{}", name.title(), tables::workload(name, results));
    }
    out += "\n## The clients\n\n";
    for client in Client::ALL {
        if let Some(version) = series.clients.get(client.text()) {
            let _ = writeln!(out, "- **{}**: {}; {version}.", client.text(), client.about());
        }
    }
    out
}

/// Files and what is to be in them.
fn pictures(all: &AllResults) -> Vec<(&'static str, Plot)> {
    let plot =
        |title: &str, names: &[Name], logarithmic, value: &dyn Fn(&results::Results, Name, &str) -> Option<f64>| {
            let groups = names.iter().filter_map(|name| {
                let results = all.workload(*name)?;
                let bars: Vec<(String, f64)> = Client::ALL
                    .iter()
                    .filter_map(|client| Some((client.text().to_owned(), value(results, *name, client.text())?)))
                    .collect();
                (!bars.is_empty()).then(|| Group { title: name.title().to_owned(), bars })
            });
            Plot { title: title.to_owned(), groups: groups.collect(), logarithmic }
        };
    let processor = |results: &results::Results, name: Name, client: &str| {
        Some(results.median(client, Quantity::Processor)? * tables::per(results, name)?.1)
    };
    let memory = |results: &results::Results, _: Name, client: &str| {
        Some(results.median(client, Quantity::Memory)? / MIB as f64)
    };
    let speed = |results: &results::Results, _: Name, client: &str| {
        Some(results.any()?.bytes as f64 / GIB as f64 / results.median(client, Quantity::Wall)?)
    };
    let large = [Name::Get, Name::Put, Name::TlsGet, Name::TlsPut];
    let small = [Name::Get1KiB, Name::Put1KiB, Name::Get256KiB, Name::Put256KiB];
    let plots = vec![
        ("large.svg", plot("Large objects: processor seconds for a GiB", &large, false, &processor)),
        ("small.svg", plot("Small objects: processor microseconds for one (logarithmic)", &small, true, &processor)),
        ("memory.svg", plot("Large objects: peak memory in MiB (logarithmic)", &large, true, &memory)),
        ("far.svg", plot("From and to afar: GiB a second", &[Name::FarGet, Name::FarPut], false, &speed)),
    ];
    plots.into_iter().filter(|(_, plot)| !plot.groups.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::results::tests::lines;
    use super::*;

    #[test]
    fn the_page_has_everything_that_was_measured() {
        let folder = tempfile::tempdir().unwrap();
        let (results, out) = (folder.path().join("r.jsonl"), folder.path().join("performance.md"));
        let clients: [(&str, &[f64]); 2] = [("xfer", &[9.0, 2.0]), ("floor", &[9.0, 2.0])];
        let text = lines(86_400, "get", &clients) + &lines(86_400, "startup", &clients);
        fs::write(&results, text).unwrap();
        run(&Args { results, out: out.clone() }).unwrap();
        let page = fs::read_to_string(&out).unwrap();
        for wanted in ["1970-01-02", "## Targets", "### Download, plain", "### Start-up", "(performance/large.svg)"] {
            assert!(page.contains(wanted), "{wanted} is missing in\n{page}");
        }
        assert!(!page.contains("far.svg"), "what was not measured has no picture");
        assert!(folder.path().join("performance/large.svg").exists());
    }
}
