//! What is told of transfers that have ended: failures on standard error, JSON lines on standard output, a summary.
//!
//! Invariant: a reader of standard output that goes away ends the telling, never the transfers.

use std::io::{self, BufWriter, Stdout, Write};
use std::time::{Duration, Instant};

use serde::Serialize;
use xfer_facade::{Error, ErrorKind, TransferOutcome, Verified, units};

use crate::plan::Task;
use crate::progress::Screen;

/// A transfer that has ended, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Line<'a> {
    op: &'static str,
    src: String,
    dst: Option<String>,
    bytes: u64,
    seconds: f64,
    etag: Option<&'a str>,
    verified: Option<String>,
    attempts: u32,
    error: Option<String>,
}

/// The last line of `--json`.
#[derive(Debug, Serialize)]
struct Last<'a> {
    summary: Summary<'a>,
}

#[derive(Debug, Serialize)]
struct Summary<'a> {
    ok: u64,
    failed: u64,
    bytes: u64,
    seconds: f64,
    peak_connections: usize,
    /// Why there may have been more to do, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

/// Counts and tells.
pub(crate) struct Report {
    screen: Screen,
    json: Option<BufWriter<Stdout>>,
    begun: Instant,
    ok: u64,
    failed: u64,
    cancelled: u64,
    bytes: u64,
    /// Standard output could not be written, and not because its reader had enough.
    broken: bool,
}

impl Report {
    pub(crate) fn new(screen: Screen, json: bool) -> Report {
        Report {
            screen,
            json: json.then(|| BufWriter::new(io::stdout())),
            begun: Instant::now(),
            ok: 0,
            failed: 0,
            cancelled: 0,
            bytes: 0,
            broken: false,
        }
    }

    /// Says something that is not about one transfer.
    pub(crate) fn say(&self, line: &str) {
        self.screen.say(line);
    }

    /// A transfer has ended, `elapsed` after its start.
    pub(crate) fn ended(&mut self, task: &Task, elapsed: Duration, result: &Result<TransferOutcome, Error>) {
        match result {
            Ok(outcome) => {
                self.ok += 1;
                self.bytes += outcome.bytes;
            }
            // By a signal: nobody wants to read a line for each of them, unless something is left to do.
            Err(error) if error.kind() == ErrorKind::Cancelled && error.left_behind().is_none() => {
                self.failed += 1;
                self.cancelled += 1;
            }
            Err(error) => {
                self.failed += 1;
                let words = [Some(task.src()), task.dst()].into_iter().flatten().collect::<Vec<_>>().join(" ");
                self.screen.say(&format!("xfer: {} {words}: {error}", task.op()));
            }
        }
        if self.json.is_some() {
            self.print(&line(task, elapsed, result));
        }
    }

    fn print(&mut self, value: &impl Serialize) {
        let Some(json) = &mut self.json else { return };
        let written = self.screen.beside(|| {
            serde_json::to_writer(&mut *json, value).map_err(io::Error::from).and_then(|()| json.write_all(b"\n"))
        });
        self.check(written);
    }

    /// What was printed is to be seen now.
    pub(crate) fn flush(&mut self) {
        let Some(json) = &mut self.json else { return };
        let flushed = if json.buffer().is_empty() { Ok(()) } else { self.screen.beside(|| json.flush()) };
        self.check(flushed);
    }

    fn check(&mut self, written: io::Result<()>) {
        let Err(error) = written else { return };
        if let Some(json) = self.json.take() {
            // Not written once more when it is dropped.
            drop(json.into_parts());
        }
        if error.kind() != io::ErrorKind::BrokenPipe {
            self.broken = true;
            self.screen.say(&format!("xfer: standard output: {error}"));
        }
    }

    /// All has ended, with an error if what was to be done could not be read to its end.
    pub(crate) fn finish(&mut self, peak_connections: usize, error: Option<&str>) {
        let elapsed = self.begun.elapsed();
        if self.cancelled > 0 {
            self.screen.say(&format!("xfer: {} cancelled and cleaned up", transfers(self.cancelled)));
        }
        if self.screen.has_bars() {
            self.screen.say(&words(self.ok, self.failed, self.bytes, elapsed));
        }
        let seconds = elapsed.as_secs_f64();
        let (ok, failed, bytes) = (self.ok, self.failed, self.bytes);
        let summary = Summary { ok, failed, bytes, seconds, peak_connections, error };
        self.print(&Last { summary });
        self.flush();
    }

    /// Whether everything went well.
    pub(crate) fn is_well(&self) -> bool {
        self.failed == 0 && !self.broken
    }
}

fn line<'a>(task: &Task, elapsed: Duration, result: &'a Result<TransferOutcome, Error>) -> Line<'a> {
    let (op, src, dst) = (task.op(), task.src(), task.dst());
    match result {
        Ok(outcome) => Line {
            op,
            src,
            dst,
            bytes: outcome.bytes,
            seconds: outcome.elapsed.as_secs_f64(),
            etag: outcome.etag.as_deref(),
            verified: (outcome.verified != Verified::NotAvailable).then(|| outcome.verified.to_string()),
            attempts: outcome.attempts,
            error: None,
        },
        Err(error) => Line {
            op,
            src,
            dst,
            bytes: 0,
            seconds: elapsed.as_secs_f64(),
            etag: None,
            verified: None,
            attempts: error.attempts(),
            error: Some(error.to_string()),
        },
    }
}

fn transfers(count: u64) -> String {
    format!("{count} transfer{}", if count == 1 { "" } else { "s" })
}

fn words(ok: u64, failed: u64, bytes: u64, elapsed: Duration) -> String {
    let rate = units::format_bytes((bytes as f64 / elapsed.as_secs_f64().max(0.001)) as u64);
    let failures = if failed == 0 { String::new() } else { format!(", {failed} failed") };
    format!("{}, {} in {:.1} s, {rate}/s{failures}", transfers(ok), units::format_bytes(bytes), elapsed.as_secs_f64())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::plan::Local;
    use crate::url;

    fn task() -> Task {
        Task::Upload { source: Local::Path("a".into()), to: url::parse("s3://b/k").unwrap() }
    }

    #[test]
    fn a_failure_as_json() {
        let result = Err(Error::new(ErrorKind::NoSuchBucket, "").after_attempts(2));
        let value = serde_json::to_value(line(&task(), Duration::from_millis(1500), &result)).unwrap();
        let wanted = serde_json::json!({
            "op": "cp", "src": "a", "dst": "s3://b/k", "bytes": 0, "seconds": 1.5, "etag": null, "verified": null,
            "attempts": 2, "error": "no such bucket (after 2 attempts); check the bucket's name and the endpoint URL",
        });
        assert_eq!(value, wanted);
    }

    #[test]
    fn the_summary_in_words() {
        assert_eq!(words(1, 0, 3 << 20, Duration::from_secs(2)), "1 transfer, 3 MiB in 2.0 s, 1.5 MiB/s");
        assert_eq!(words(2, 1, 0, Duration::ZERO), "2 transfers, 0 B in 0.0 s, 0 B/s, 1 failed");
    }

    #[test]
    fn counts_and_judgement() {
        let mut report = Report::new(Screen::new(false), false);
        assert!(report.is_well());
        report.ended(&task(), Duration::ZERO, &Err(Error::new(ErrorKind::Cancelled, "")));
        assert_eq!((report.ok, report.failed, report.cancelled), (0, 1, 1));
        assert!(!report.is_well());
    }
}
