//! Where xfer's processor time and the floor's differ: in the program or in the kernel.

use std::fmt::Write as _;

use xfer_core::units::GIB;

use super::numbers::short;
use super::results::{AllResults, Quantity, Results};
use crate::run::workload::Name;

const LARGE: [Name; 4] = [Name::Get, Name::Put, Name::TlsGet, Name::TlsPut];
const SMALL: [Name; 5] = [Name::Get1KiB, Name::Put1KiB, Name::Get256KiB, Name::Put256KiB, Name::Delete];

/// Large objects: seconds a GiB of either floor and of xfer, in two parts.
pub(crate) fn large(all: &AllResults) -> String {
    let clients = ["floor", "floor-lean", "xfer"];
    let mut out = String::new();
    for (name, results) in LARGE.iter().filter_map(|name| Some((name, all.workload(*name)?))) {
        let cells = clients.map(|client| parts(results, client).unwrap_or_else(|| "–".to_owned()));
        let _ = writeln!(out, "| {} | {} |", name.title(), cells.join(" | "));
    }
    table("| s/GiB: in the program + in the kernel | floor | floor-lean | xfer |\n|---|---|---|---|\n", out)
}

fn parts(results: &Results, client: &str) -> Option<String> {
    let gibibytes = results.any()?.bytes as f64 / GIB as f64;
    let part = |quantity| Some(short(results.median(client, quantity)? / gibibytes));
    Some(format!("{} + {}", part(Quantity::User)?, part(Quantity::System)?))
}

/// Small objects: microseconds of each that xfer takes beyond the floor, and what of them is start-up.
pub(crate) fn small(all: &AllResults) -> String {
    let startup = all.workload(Name::Startup).and_then(|results| beyond(results, Quantity::Processor));
    let mut out = String::new();
    for (name, results) in SMALL.iter().filter_map(|name| Some((name, all.workload(*name)?))) {
        let Some(objects) = results.any().map(|run| run.objects.max(1) as f64) else { continue };
        let each = |seconds: Option<f64>| seconds.map_or_else(|| "–".to_owned(), |it| short(it * 1e6 / objects));
        let cells = [Quantity::Processor, Quantity::User, Quantity::System].map(|it| each(beyond(results, it)));
        let _ = writeln!(out, "| {} | {} | {} |", name.title(), cells.join(" | "), each(startup));
    }
    table(
        "| µs an object beyond the floor's | all | in the program | in the kernel | start-up's part |\n|---|---|---|---|---|\n",
        out,
    )
}

/// Seconds by which xfer's median is above the floor's.
fn beyond(results: &Results, quantity: Quantity) -> Option<f64> {
    Some(results.median("xfer", quantity)? - results.median("floor", quantity)?)
}

/// Nothing if there are no rows.
fn table(head: &str, rows: String) -> String {
    if rows.is_empty() { rows } else { format!("\n{head}{rows}") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::super::results::tests::lines;
    use super::*;

    #[test]
    fn large_objects_are_told_in_two_parts() {
        let all = AllResults::read(&lines(1, "get", &[("floor", &[1.0, 2.0]), ("xfer", &[1.0, 3.0])])).unwrap();
        assert!(large(&all).contains("| Download, plain | 1.00 + 0.00 | – | 1.50 + 0.00 |"), "{}", large(&all));
        assert_eq!(small(&all), "");
    }

    #[test]
    fn start_up_is_a_part_of_what_small_objects_take() {
        let clients: [(&str, &[f64]); 2] = [("floor", &[1.0, 0.01]), ("xfer", &[1.0, 0.05])];
        let startup: [(&str, &[f64]); 2] = [("floor", &[1.0, 0.001]), ("xfer", &[1.0, 0.005])];
        let text = lines(1, "get-1KiB", &clients).replace("\"objects\":1", "\"objects\":1000")
            + &lines(1, "startup", &startup);
        let text = small(&AllResults::read(&text).unwrap());
        assert!(text.contains("| Many downloads of 1 KiB | 40.0 | 40.0 | 0.00 | 4.00 |"), "{text}");
        assert_eq!(large(&AllResults::default()), "");
    }
}
