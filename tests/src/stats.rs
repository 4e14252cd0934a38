//! Counts and a log of what the server has seen.
//!
//! A request counts from the arrival of its headers; it is in flight until its answer's last byte has been handed to the
//! socket or its connection has gone. Byte counts are body bytes as they travel, aws-chunked framing included and HTTP
//! headers not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::request::{Op, RequestInfo};

/// Requests kept in the log; later ones are counted but not kept.
const LOG_LIMIT: usize = 100_000;

/// A snapshot of the server's counters.
///
/// ```
/// # use xfer_tests::{Op, TestServer};
/// let server = TestServer::builder().start();
/// let stats = server.stats();
/// assert_eq!((stats.total(), stats.count(Op::GetObject), stats.in_flight), (0, 0, 0));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Requests by operation.
    pub requests: BTreeMap<Op, u64>,
    /// Answers by HTTP status.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests being served now.
    pub in_flight: usize,
    /// The most requests that were served at one time.
    pub max_in_flight: usize,
    /// TCP connections open now.
    pub connections: usize,
    /// The most TCP connections that were open at one time.
    pub max_connections: usize,
    /// TCP connections accepted.
    pub connections_accepted: u64,
    /// Bytes of request bodies.
    pub bytes_in: u64,
    /// Bytes of response bodies.
    pub bytes_out: u64,
    /// Requests refused before they reached the store: no, unknown or wrong signature.
    pub auth_failures: u64,
    /// Requests that did not fit into the log.
    pub unlogged: u64,
}

impl Stats {
    /// Requests of one operation.
    #[must_use]
    pub fn count(&self, op: Op) -> u64 {
        self.requests.get(&op).copied().unwrap_or(0)
    }

    /// Requests of all operations.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.requests.values().sum()
    }
}

/// One request as it arrived, and its answer's status.
#[derive(Clone, Debug)]
pub struct RequestRecord {
    /// Position among all requests since the start, from 0.
    pub sequence: u64,
    /// Number of the TCP connection it came on, from 0 in order of acceptance.
    pub connection: u64,
    /// The operation.
    pub op: Op,
    /// The HTTP method.
    pub method: String,
    /// Path and query as sent.
    pub target: String,
    /// The bucket, percent-decoded.
    pub bucket: Option<String>,
    /// The key, percent-decoded.
    pub key: Option<String>,
    /// `partNumber` of the query.
    pub part_number: Option<u32>,
    /// `uploadId` of the query.
    pub upload_id: Option<String>,
    /// The Range header as sent.
    pub range: Option<String>,
    /// All headers, names in lower case, repeated ones joined with `, `.
    pub headers: BTreeMap<String, String>,
    /// The answer's status; `None` as long as, or because, none was given.
    pub status: Option<u16>,
}

/// One line of the log, shared with the request being served.
#[derive(Debug)]
pub(crate) struct Entry {
    sequence: u64,
    connection: u64,
    info: RequestInfo,
    /// 0 stands for no answer.
    status: AtomicU16,
}

#[derive(Debug, Default)]
struct State {
    stats: Stats,
    log: Vec<Arc<Entry>>,
    sequence: u64,
}

/// Where the server's parts report what happens.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    state: Mutex<State>,
    /// Notified when the last request in flight has gone.
    idle: Condvar,
}

impl Recorder {
    pub(crate) fn stats(&self) -> Stats {
        self.state.lock().stats.clone()
    }

    pub(crate) fn requests(&self) -> Vec<RequestRecord> {
        let entries = self.state.lock().log.clone();
        entries.iter().map(|entry| entry.record()).collect()
    }

    /// Waits until nothing is in flight; false when `limit` passes first.
    pub(crate) fn wait_idle(&self, limit: Duration) -> bool {
        let mut state = self.state.lock();
        !self.idle.wait_while_for(&mut state, |state| state.stats.in_flight > 0, limit).timed_out()
    }

    /// Zeroes the counters and empties the log; what is open or in flight stays counted.
    pub(crate) fn reset(&self) {
        let mut state = self.state.lock();
        let (in_flight, connections) = (state.stats.in_flight, state.stats.connections);
        state.stats = Stats {
            in_flight,
            max_in_flight: in_flight,
            connections,
            max_connections: connections,
            ..Stats::default()
        };
        state.log.clear();
    }

    /// Counts a connection until the guard is dropped.
    pub(crate) fn connection(self: &Arc<Self>) -> ConnectionGuard {
        let mut state = self.state.lock();
        let stats = &mut state.stats;
        stats.connections_accepted += 1;
        stats.connections += 1;
        stats.max_connections = stats.max_connections.max(stats.connections);
        ConnectionGuard { recorder: self.clone() }
    }

    /// Counts and logs a request until the guard is dropped.
    pub(crate) fn request(self: &Arc<Self>, connection: u64, info: RequestInfo) -> RequestGuard {
        let mut state = self.state.lock();
        let stats = &mut state.stats;
        *stats.requests.entry(info.op).or_default() += 1;
        stats.in_flight += 1;
        stats.max_in_flight = stats.max_in_flight.max(stats.in_flight);
        let sequence = state.sequence;
        state.sequence += 1;
        let entry = Arc::new(Entry { sequence, connection, info, status: AtomicU16::new(0) });
        if state.log.len() < LOG_LIMIT {
            state.log.push(entry.clone());
        } else {
            state.stats.unlogged += 1;
        }
        RequestGuard { recorder: self.clone(), entry }
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.state.lock().stats.bytes_in += bytes as u64;
    }

    pub(crate) fn auth_failure(&self) {
        self.state.lock().stats.auth_failures += 1;
    }
}

impl Entry {
    fn record(&self) -> RequestRecord {
        let status = self.status.load(Ordering::Acquire);
        let info = self.info.clone();
        RequestRecord {
            sequence: self.sequence,
            connection: self.connection,
            op: info.op,
            method: info.method.to_string(),
            target: info.target,
            bucket: info.bucket,
            key: info.key,
            part_number: info.part_number,
            upload_id: info.upload_id,
            range: info.range,
            headers: info.headers,
            status: (status != 0).then_some(status),
        }
    }
}

/// One open connection.
#[derive(Debug)]
pub(crate) struct ConnectionGuard {
    recorder: Arc<Recorder>,
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.recorder.state.lock().stats.connections -= 1;
    }
}

/// One request in flight.
#[derive(Debug)]
pub(crate) struct RequestGuard {
    recorder: Arc<Recorder>,
    entry: Arc<Entry>,
}

impl RequestGuard {
    pub(crate) fn sequence(&self) -> u64 {
        self.entry.sequence
    }

    pub(crate) fn answered(&self, status: u16) {
        self.entry.status.store(status, Ordering::Release);
        *self.recorder.state.lock().stats.statuses.entry(status).or_default() += 1;
    }

    pub(crate) fn sent(&self, bytes: usize) {
        self.recorder.state.lock().stats.bytes_out += bytes as u64;
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let mut state = self.recorder.state.lock();
        state.stats.in_flight -= 1;
        if state.stats.in_flight == 0 {
            self.recorder.idle.notify_all();
        }
    }
}
