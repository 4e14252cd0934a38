//! What the server has seen: counted, never slowed down by.

use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use serde::{Deserialize, Serialize};

use super::request::{Operation, Request};

/// Counters, since the start or the last reset.
#[derive(Default)]
pub(crate) struct Stats {
    open: AtomicU64,
    opened: AtomicU64,
    peak: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    refused: AtomicU64,
    torn: AtomicU64,
    verified: AtomicU64,
    deleted: AtomicU64,
    told: AtomicU64,
    lists: Mutex<Lists>,
}

#[derive(Default)]
struct Lists {
    operations: BTreeMap<Operation, u64>,
    secured_by: BTreeMap<String, u64>,
    checksums_asked: u64,
    complaints: Vec<String>,
    /// Processor time of this process at the last reset, in seconds.
    base: f64,
}

/// Complaints that are kept.
const COMPLAINTS: usize = 20;

/// What the stats endpoint tells.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Connections that are open now.
    pub(crate) open: u64,
    /// Connections that were opened.
    pub(crate) opened: u64,
    /// Most connections at once.
    pub(crate) peak: u64,
    /// Requests by operation.
    pub(crate) operations: BTreeMap<Operation, u64>,
    /// Bytes of bodies that came in, as encoded.
    pub(crate) received: u64,
    /// Bytes of bodies that went out.
    pub(crate) sent: u64,
    /// Uploads by what secures their bytes.
    pub(crate) secured_by: BTreeMap<String, u64>,
    /// Reads that asked for a checksum.
    pub(crate) checksums_asked: u64,
    /// Reads that were told one: that of the whole object.
    pub(crate) checksums_told: u64,
    /// Requests that were answered with 503.
    pub(crate) refused: u64,
    /// Answers that were torn off.
    pub(crate) torn: u64,
    /// Objects that were deleted.
    pub(crate) deleted: u64,
    /// Uploads and deletes found right under `--verify`.
    pub(crate) verified: u64,
    /// What was found wrong under `--verify`.
    pub(crate) complaints: Vec<String>,
    /// Processor time of the server, user and system, in seconds.
    pub(crate) cpu: f64,
}

impl Stats {
    pub(crate) fn connected(&self) {
        self.opened.fetch_add(1, Relaxed);
        let open = self.open.fetch_add(1, Relaxed) + 1;
        self.peak.fetch_max(open, Relaxed);
    }

    pub(crate) fn disconnected(&self) {
        self.open.fetch_sub(1, Relaxed);
    }

    pub(crate) fn requested(&self, request: &Request) {
        let Ok(mut lists) = self.lists.lock() else { return };
        *lists.operations.entry(request.operation).or_default() += 1;
        lists.checksums_asked += u64::from(request.checksum_mode);
        if matches!(request.operation, Operation::PutObject | Operation::UploadPart) {
            *lists.secured_by.entry(request.secured_by()).or_default() += 1;
        }
    }

    pub(crate) fn received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    pub(crate) fn torn(&self) {
        self.torn.fetch_add(1, Relaxed);
    }

    pub(crate) fn verified(&self) {
        self.verified.fetch_add(1, Relaxed);
    }

    pub(crate) fn deleted(&self, objects: u64) {
        self.deleted.fetch_add(objects, Relaxed);
    }

    pub(crate) fn told(&self, checksums: u64) {
        self.told.fetch_add(checksums, Relaxed);
    }

    pub(crate) fn complain(&self, what: String) {
        let Ok(mut lists) = self.lists.lock() else { return };
        if lists.complaints.len() < COMPLAINTS {
            lists.complaints.push(what);
        }
    }

    /// Everything from zero again, but for connections that are open.
    pub(crate) fn reset(&self) {
        let counters = [
            &self.opened,
            &self.received,
            &self.sent,
            &self.refused,
            &self.torn,
            &self.verified,
            &self.deleted,
            &self.told,
        ];
        for counter in counters {
            counter.store(0, Relaxed);
        }
        self.peak.store(self.open.load(Relaxed), Relaxed);
        if let Ok(mut lists) = self.lists.lock() {
            *lists = Lists { base: processor_time(UsageWho::RUSAGE_SELF).unwrap_or(0.0), ..Lists::default() };
        }
    }

    pub(crate) fn report(&self) -> Report {
        let cpu = processor_time(UsageWho::RUSAGE_SELF).unwrap_or(0.0);
        let mut report = Report {
            open: self.open.load(Relaxed),
            opened: self.opened.load(Relaxed),
            peak: self.peak.load(Relaxed),
            received: self.received.load(Relaxed),
            sent: self.sent.load(Relaxed),
            refused: self.refused.load(Relaxed),
            torn: self.torn.load(Relaxed),
            verified: self.verified.load(Relaxed),
            deleted: self.deleted.load(Relaxed),
            checksums_told: self.told.load(Relaxed),
            ..Report::default()
        };
        if let Ok(lists) = self.lists.lock() {
            report.operations.clone_from(&lists.operations);
            report.secured_by.clone_from(&lists.secured_by);
            report.checksums_asked = lists.checksums_asked;
            report.complaints.clone_from(&lists.complaints);
            report.cpu = cpu - lists.base;
        }
        report
    }
}

/// User and system time, in seconds.
fn processor_time(who: UsageWho) -> io::Result<f64> {
    let usage = getrusage(who)?;
    Ok((usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e6)
}
