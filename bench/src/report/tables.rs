//! Tables in Markdown.

use std::fmt::Write as _;

use xfer_core::units::{GIB, MIB};

use super::checks::checksums;
use super::numbers::{distinct, range, short};
use super::results::{AllResults, Quantity, Results};
use super::targets::verdicts;
use crate::run::Client;
use crate::run::workload::{Name, size_name};

/// What a workload's processor times are compared with.
pub(crate) fn base(name: Name) -> Option<&'static str> {
    match name {
        Name::Throttled => None,
        Name::FarGet | Name::FarPut => Some("floor-64"),
        _ => Some("floor"),
    }
}

/// What processor time is given for: the unit, and what seconds are multiplied by.
pub(crate) fn per(results: &Results, name: Name) -> Option<(&'static str, f64)> {
    let run = results.any()?;
    Some(match () {
        () if name == Name::Startup => ("ms", 1e3),
        () if run.objects > 1 => ("µs/object", 1e6 / run.objects as f64),
        () => ("s/GiB", GIB as f64 / run.bytes as f64),
    })
}

/// The targets and what came of them.
pub(crate) fn targets(all: &AllResults) -> String {
    let mut out = String::from("| | xfer | least–most | target | aim | |\n|---|---|---|---|---|---|\n");
    for verdict in verdicts(all) {
        let than = if verdict.rises { "≥" } else { "≤" };
        let bound = |bound: Option<f64>| or_dash(bound.map(|it| format!("{than} {}{}", short(it), verdict.unit)));
        let _ = writeln!(
            out,
            "| {} | {}{} | {} | {} | {} | {} |",
            verdict.what,
            distinct(verdict.found, verdict.target.into_iter().chain(verdict.aim)),
            verdict.unit,
            or_dash(verdict.spread.map(range)),
            bound(verdict.target),
            bound(verdict.aim),
            verdict.word()
        );
    }
    out
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "–".to_owned())
}

/// xfer beside each client that is no floor: processor time, and peak memory.
pub(crate) fn beside(all: &AllResults) -> String {
    let peers: Vec<&str> = [Client::Awscrt, Client::S5cmd, Client::ObjectStore, Client::TransferManager]
        .map(Client::text)
        .into_iter()
        .filter(|client| all.workloads().any(|(_, results)| results.clients().any(|found| found == *client)))
        .collect();
    if peers.is_empty() {
        return String::new();
    }
    let mut out = format!("| | {} |\n|---|{}\n", peers.join(" | "), "---|".repeat(peers.len()));
    for (name, results) in all.workloads() {
        let cells: Vec<String> = peers
            .iter()
            .map(|peer| {
                let part = |quantity| Some(format!("{:.0} %", results.ratio("xfer", peer, quantity)? * 100.0));
                let both = part(Quantity::Processor).zip(part(Quantity::Memory));
                or_dash(both.map(|(processor, memory)| format!("{processor}, {memory}")))
            })
            .collect();
        let _ = writeln!(out, "| {} | {} |", name.title(), cells.join(" | "));
    }
    out
}

/// One workload, the cheapest client first.
pub(crate) fn workload(name: Name, results: &Results) -> String {
    let (Some((unit, scale)), Some(run)) = (per(results, name), results.any()) else { return String::new() };
    let (objects, gibibytes) = (run.objects as f64, run.bytes as f64 / GIB as f64);
    let many = run.objects > 1;
    let what = match (many, run.bytes) {
        (true, 0) => format!("{} objects", run.objects),
        (true, bytes) => format!("{} objects of {}", run.objects, size_name(bytes / run.objects)),
        (false, bytes) => size_name(bytes),
    };
    let cores = if run.pinned { "server and client on a core each" } else { "all cores for both" };
    let rounds = match results.rounds() {
        (least, most) if least < most => format!("{most}, and {least} of clients that take longer than a second"),
        (_, most) => most.to_string(),
    };
    let mut out = format!("{} {what}; {cores}; rounds: {rounds}.\n\n", name.about());
    let base = base(name);
    let _ = writeln!(
        out,
        "| | processor {unit} | × {} | wall s | {} | memory MiB | connections | requests | checksums | server s |",
        base.unwrap_or("floor"),
        if many { "objects/s" } else { "GiB/s" }
    );
    out += "|---|---|---|---|---|---|---|---|---|---|\n";
    let mut clients: Vec<(&str, f64)> =
        results.clients().filter_map(|client| Some((client, results.median(client, Quantity::Processor)?))).collect();
    clients.sort_by(|(_, one), (_, other)| one.total_cmp(other));
    for (client, processor) in clients {
        let median = |quantity| results.median(client, quantity).unwrap_or(0.0);
        let spread = |quantity| results.spread(client, quantity);
        let ratio = base.and_then(|base| {
            let ratio = results.ratio(client, base, Quantity::Processor)?;
            if client == base {
                return Some(short(ratio));
            }
            Some(with_spread(ratio, results.ratio_spread(client, base, Quantity::Processor), 1.0))
        });
        let wall = median(Quantity::Wall);
        let (peak, opened) = (median(Quantity::Peak), median(Quantity::Opened));
        let of_which =
            |count: f64, what: &str| if count > 0.0 { format!(" ({count:.0} {what})") } else { String::new() };
        let title = if client == "xfer" { "**xfer**" } else { client };
        let _ = writeln!(
            out,
            "| {title} | {} | {} | {} | {} | {:.0} | {peak:.0}{} | {:.0}{} | {} | {} |",
            with_spread(processor, spread(Quantity::Processor), scale),
            or_dash(ratio),
            with_spread(wall, spread(Quantity::Wall), 1.0),
            short(if many { objects } else { gibibytes } / wall.max(1e-9)),
            median(Quantity::Memory) / MIB as f64,
            of_which(if opened > peak { opened } else { 0.0 }, "opened"),
            median(Quantity::Requests),
            of_which(median(Quantity::Refused), "refused"),
            checksums(results.runs(client)),
            short(median(Quantity::Server)),
        );
    }
    for (client, failure) in &results.failures {
        let failure = failure.lines().next().unwrap_or_default();
        let _ = writeln!(out, "\n{client} failed: {failure}");
    }
    out
}

/// A median with its least and most.
fn with_spread(median: f64, spread: Option<(f64, f64)>, scale: f64) -> String {
    let spread = spread.map(|(least, most)| format!(" ({})", range((least * scale, most * scale))));
    format!("{}{}", short(median * scale), spread.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::super::results::tests::lines;
    use super::*;

    fn all() -> AllResults {
        let clients: [(&str, &[f64]); 3] =
            [("xfer", &[9.0, 2.0, 2.2, 2.4]), ("floor", &[9.0, 2.0, 2.0, 2.0]), ("awscrt", &[9.0, 8.0, 8.0, 8.0])];
        AllResults::read(&lines(1, "get", &clients)).unwrap()
    }

    #[test]
    fn a_workload_is_a_table_with_the_cheapest_first() {
        let text = workload(Name::Get, all().workload(Name::Get).unwrap());
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
        assert!(
            rows[0].starts_with("| floor | 1.00 (1.00–1.00) | 1.00 | 4.00 (4.00–4.00) | 0.50 | 20 |"),
            "{}",
            rows[0]
        );
        assert!(rows[1].starts_with("| **xfer** | 1.10 (1.00–1.20) | 1.10 (1.00–1.20) |"), "{}", rows[1]);
        assert!(rows[2].starts_with("| awscrt | 4.00 ("), "{}", rows[2]);
        assert!(text.contains("2GiB") && text.contains("rounds: 3"), "{text}");
        let columns: Vec<usize> =
            text.lines().filter(|line| line.starts_with('|')).map(|line| line.matches('|').count()).collect();
        assert!(columns.iter().all(|count| *count == columns[0]), "{text}");
    }

    #[test]
    fn peers_that_were_there_are_beside_it() {
        let text = beside(&all());
        assert!(text.contains("| | awscrt |\n") && text.contains("| Download, plain | 28 %, 100 % |"), "{text}");
        assert_eq!(beside(&AllResults::read(&lines(1, "get", &[("xfer", &[1.0, 1.0])])).unwrap()), "");
    }

    #[test]
    fn targets_say_whether_they_are_met() {
        let text = targets(&all());
        assert!(text.contains("floor's | 1.10 × | 1.00–1.20 | ≤ 1.30 × | ≤ 1.10 × | aim reached |"), "{text}");
        let close: [(&str, &[f64]); 2] = [("xfer", &[9.0, 1.302]), ("floor", &[9.0, 1.0])];
        let text = targets(&AllResults::read(&lines(1, "get", &close)).unwrap());
        assert!(text.contains("| 1.302 × | 1.30–1.30 | ≤ 1.30 × | ≤ 1.10 × | **not met** |"), "{text}");
    }

    #[test]
    fn refusals_and_fewer_rounds_of_slow_clients_are_told() {
        let clients: [(&str, &[f64]); 2] = [("xfer", &[9.0, 1.0, 1.0, 1.0]), ("awscrt", &[9.0, 8.0])];
        let text = lines(1, "throttled", &clients).replace("\"refused\":0", "\"refused\":13");
        let text = workload(Name::Throttled, AllResults::read(&text).unwrap().workload(Name::Throttled).unwrap());
        assert!(text.contains("| 0 (13 refused) |"), "{text}");
        assert!(text.contains("rounds: 3, and 1 of clients that take longer than a second"), "{text}");
    }
}
