//! `xfer-bench report`: what was measured, as a page of Markdown with pictures.

mod beside;
mod checks;
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

use self::numbers::short;
use self::plot::{Group, Plot, draw};
use self::results::{AllResults, Quantity};
use crate::run::Client;
use crate::run::record::Series;
use crate::run::workload::Name;

/// What stands in the way of more: words of those who looked, not of the results.
const LIMITS: &str = include_str!("limits.md");

/// What the figures are.
const READING: &str = "\
Processor time is that of the whole client process, user and system, and the median of all rounds; behind a median stand the least and the most. `×` \
is the median of the ratios to the floor in the same round. The floor is a bare loop, and the reference that the targets were set by: blocking \
sockets, a thread and a buffer for each, a checksum, and nothing else. It is not the least that there can be: *What limits each* says what is known \
where xfer takes less. `checksums` is what the server saw: what secured the bytes of uploads, and whether a download asked for the checksum of the \
whole object, and was told it. Of xfer and of the floor a run without is a failure, and both compare what they get with it. What other clients do with \
it cannot be seen from there; who does not get it has nothing to compare a whole object with.

";

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
    let mut out = String::from("# What xfer costs\n\n");
    out += &head(all);
    out += READING;
    out += "## Targets\n\nSet before xfer was written, as ratios to the floor wherever another machine would give other times. Least and most are \
            those of single rounds; the verdict is that of the median.\n\n";
    out += &tables::targets(all);
    out += "\n## What limits each\n\n";
    out += LIMITS;
    out += &beside::large(all);
    out += &beside::small(all);
    let beside = tables::beside(all);
    if !beside.is_empty() {
        out += "\n## xfer beside other clients\n\nIts processor time, then its peak memory, as a part of theirs. awscrt's figures contain the \
                start of Python and of what it imports: the row of *Start-up* shows how much that is, for each run of any workload.\n\n";
        out += &beside;
    }
    if let Some(name) = folder.file_name().map(|name| name.to_string_lossy()) {
        out += "\n## In pictures\n";
        for (file, title) in pictures {
            let _ = write!(out, "\n![{title}]({name}/{file})\n");
        }
    }
    out += "\n## All workloads\n";
    let agree = agree(&all.series_that_count());
    for (name, results) in all.workloads() {
        let _ = write!(out, "\n### {}\n\n", name.title());
        if let (false, Some(series)) = (agree, all.series_of(results)) {
            let _ = write!(out, "Measured {}. ", origin(series));
        }
        out += &tables::workload(name, results);
    }
    out += "\n## The clients\n\n";
    for client in Client::ALL {
        if let Some(version) = all.series.clients.get(client.text()) {
            let _ = writeln!(out, "- **{}**: {}; {version}.", client.text(), client.about());
        }
    }
    out
}

/// When and where it was measured, and how to do it again.
fn head(all: &AllResults) -> String {
    let machine = &all.series.machine;
    let series = all.series_that_count();
    let commands: Vec<&str> = series.iter().map(|series| series.command.as_str()).collect();
    let origin = match series.first() {
        Some(series) if agree(&all.series_that_count()) => origin(series),
        _ => "at more than one time, which stands with each workload,".to_owned(),
    };
    let repeats = match commands.len() {
        0 | 1 => "which repeats it all",
        _ => "one after the other; the later ones measured some workloads anew. `bench/run` alone measures all of them",
    };
    format!(
        "Measured {origin} on {}{} with {} cores and {} GiB of memory, Linux {}. This page was written by\n\n```sh\n{}\n```\n\n\
         {repeats}; [bench/README.md](../bench/README.md) says what is measured and how.{}\n\n",
        machine.processor,
        if machine.is_virtual { " (a virtual machine)" } else { "" },
        machine.cores,
        machine.memory.div_ceil(GIB),
        machine.kernel,
        commands.join("\n"),
        others(all).unwrap_or_default()
    )
}

/// Whether one sentence can say where all of it is from.
fn agree(series: &[&Series]) -> bool {
    series.windows(2).all(|two| origin(two[0]) == origin(two[1]))
}

/// The day, and what was measured.
fn origin(series: &Series) -> String {
    let time = i64::try_from(series.id).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let day = time.map_or_else(String::new, |time| time.date().to_string());
    match series.commit.as_str() {
        "" => format!("on {day}"),
        commit => format!("on {day} at commit {commit}"),
    }
}

/// How much else went on, as far as it was looked at.
fn others(all: &AllResults) -> Option<String> {
    let runs = all.workloads().flat_map(|(_, results)| results.clients().flat_map(|client| results.runs(client)));
    let cores = all.series.machine.cores as f64;
    let (mut time, mut programs, mut host) = (0.0, 0.0, 0.0);
    for (run, others) in runs.filter_map(|run| Some((run, run.others?))) {
        time += run.usage.wall * cores;
        programs += others.programs;
        host += others.host;
    }
    (time > 0.0).then(|| {
        let part = |seconds: f64| short(100.0 * seconds / time);
        format!(
            " While clients ran, what was neither client nor server had {} % of the processors' time, and the host of the machine kept {} %.",
            part(programs),
            part(host)
        )
    })
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
        assert!(page.contains("which repeats it all") && !page.contains("host of the machine"), "{page}");
        assert!(folder.path().join("performance/large.svg").exists());
    }

    fn page_of(text: &str) -> String {
        page(&AllResults::read(text).unwrap(), Path::new("performance"), &[])
    }

    fn lines_of(series: u64, commit: &str, workload: &str) -> String {
        let clients: [(&str, &[f64]); 1] = [("xfer", &[9.0, 2.0])];
        lines(series, workload, &clients).replace("\"commit\":\"\"", &format!("\"commit\":\"{commit}\""))
    }

    #[test]
    fn one_build_is_named_once_and_several_with_what_they_did() {
        let one = page_of(&(lines_of(1, "abc", "get") + &lines_of(2, "abc", "put")));
        assert_eq!(one.matches("Measured on 1970-01-01 at commit abc").count(), 1, "{one}");
        assert!(!one.contains("which repeats it all") && one.contains("`bench/run` alone"), "{one}");
        let two = page_of(&(lines_of(1, "abc", "get") + &lines_of(2, "def with changes", "put")));
        assert!(two.contains("### Download, plain\n\nMeasured on 1970-01-01 at commit abc. "), "{two}");
        assert!(two.contains("### Upload, plain\n\nMeasured on 1970-01-01 at commit def with changes. "), "{two}");
        assert_eq!(two.matches("at commit").count(), 2, "{two}");
    }

    #[test]
    fn what_else_went_on_is_told() {
        let text = lines_of(1, "abc", "get")
            .replace("\"others\":null", "\"others\":{\"programs\":0.4,\"host\":0.2}")
            .replace("\"cores\":0", "\"cores\":2");
        // Of 4 seconds on 2 cores.
        let page = page_of(&text);
        assert!(
            page.contains("had 5.00 % of the processors' time, and the host of the machine kept 2.50 %."),
            "{page}"
        );
    }
}
