//! What happens to transfers when actors die: nothing, but for some time. Each of the five is made to panic in the middle of transfers
//! of 64 parts, one by one, all together, and more often than its restarts in place allow; then the thread that they all live on dies.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::LazyLock;
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use common::{Bed, LIMIT, PART, Witness, kind};
use xfer_actors::{Call, Observer, Role, Tuning};
use xfer_facade::{
    DownloadTarget, Error, ErrorKind, ExtraArgs, RestartPolicy, TransferFuture, TransferOutcome, UploadSource,
};
use xfer_tests::{Action, FaultRule, Gate, Op, pattern};

const SIZE: u64 = 64 * PART;

/// 64 parts; made once, since they are many.
static DATA: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(pattern::bytes(64, SIZE as usize)));

/// An upload and a download of 64 parts, each held at its 32nd request until the gate is opened.
struct Pair {
    bed: Bed,
    up: TransferFuture,
    down: TransferFuture,
    gate: Gate,
}

impl Pair {
    fn half_way(restart: RestartPolicy) -> Pair {
        let bed = Bed::with(|server| server, |client| client.restart(restart).max_connections(8));
        bed.server.put_object(bed.bucket(), "down", DATA.clone());
        let gate = Gate::new();
        for op in [Op::UploadPart, Op::GetObject] {
            bed.server.inject(FaultRule::on(op).nth(32).then(Action::Hold(gate.clone())));
        }
        let up = bed.manager.upload(DATA.clone(), bed.bucket(), "up").start().unwrap();
        let down = bed.manager.download(bed.bucket(), "down", bed.path("target")).start().unwrap();
        assert!(gate.arrived_blocking(2, LIMIT), "half way");
        assert!(!up.done() && !down.done());
        Pair { bed, up, down, gate }
    }

    fn crash(&self, role: Role) {
        self.bed.client.actors().unwrap().crash(role);
    }

    /// Both objects arrive whole, and the system serves the next.
    fn assert_whole(self, what: &str) {
        self.gate.open();
        for future in [&self.up, &self.down] {
            let outcome = future.result(LIMIT).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(outcome.bytes, SIZE, "{what}");
            assert_eq!(future.meta().bytes_transferred(), SIZE, "{what}");
        }
        let object = self.bed.server.object(self.bed.bucket(), "up").unwrap();
        assert!(object.bytes() == *DATA, "{what}: other bytes were uploaded");
        assert_eq!(object.part_sizes(), [PART; 64], "{what}");
        assert!(std::fs::read(self.bed.path("target")).unwrap() == *DATA, "{what}: other bytes were downloaded");
        self.bed.assert_works();
        self.bed.assert_clean(&["target"]);
    }
}

fn one_crash(role: Role) {
    let pair = Pair::half_way(RestartPolicy::default());
    pair.crash(role);
    pair.assert_whole(&format!("{role:?}"));
}

#[test]
fn the_coordinator_may_die() {
    one_crash(Role::Coordinator);
}

#[test]
fn the_part_scheduler_may_die() {
    one_crash(Role::PartScheduler);
}

#[test]
fn the_uploader_may_die() {
    one_crash(Role::Uploader);
}

#[test]
fn the_downloader_may_die() {
    one_crash(Role::Downloader);
}

#[test]
fn the_deleter_may_die() {
    one_crash(Role::Deleter);
}

#[test]
fn all_actors_may_die_again_and_again() {
    // As many restarts as it takes, at once.
    let tireless = RestartPolicy { max_restarts: 10_000, backoff_base: Duration::ZERO, ..RestartPolicy::default() };
    let pair = Pair::half_way(tireless);
    pair.gate.open();
    let (mut crashes, mut seen) = (0, 0);
    while !(pair.up.done() && pair.down.done()) {
        // At each bit of progress, so that the deaths are spread over the transfers.
        let moved = pair.up.meta().bytes_transferred() + pair.down.meta().bytes_transferred();
        if moved != seen {
            seen = moved;
            pair.crash(Role::ALL[crashes % 5]);
            crashes += 1;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(crashes >= 10, "only {crashes} crashes");
    pair.assert_whole("all");
}

#[test]
fn what_waits_for_an_actor_waits_until_it_is_started_anew() {
    let policy =
        RestartPolicy { max_restarts: 1, backoff_base: Duration::from_millis(300), ..RestartPolicy::default() };
    let bed = Bed::with(|server| server, |client| client.restart(policy).max_connections(8));
    let gate = Gate::new();
    bed.server.inject(FaultRule::on(Op::DeleteObject).then(Action::Hold(gate.clone())));
    let delete = |index| bed.manager.delete(bed.bucket(), &format!("k{index}")).start().unwrap();
    let futures: Vec<TransferFuture> = (0..1_000).map(delete).collect();
    assert!(gate.arrived_blocking(8, LIMIT));
    // Away for a while, with all that waits still in the queue; what has begun ends meanwhile, and makes room for the next.
    for _ in 0..2 {
        bed.client.actors().unwrap().crash(Role::Deleter);
    }
    gate.open();
    for future in &futures {
        future.result(LIMIT).unwrap();
    }
    bed.assert_works();
}

#[test]
fn an_actor_that_fails_too_often_is_started_anew() {
    // Each of the five spends its restarts in place; the guardian's own budget is just enough for all of them.
    let policy = RestartPolicy { window: LIMIT, backoff_base: Duration::from_millis(1), ..RestartPolicy::default() };
    let pair = Pair::half_way(policy);
    let before = pair.bed.client.actors().unwrap().coordinator().unwrap();
    for role in Role::ALL {
        for _ in 0..=policy.max_restarts {
            pair.crash(role);
        }
    }
    let system = pair.bed.client.actors().unwrap();
    common::eventually("there is another coordinator", || {
        system.coordinator().is_some_and(|now| now != before && now.connected())
    });
    pair.assert_whole("started anew");
}

#[test]
fn a_system_that_gives_up_ends_its_transfers_and_is_replaced() {
    // Two restarts, and then the guardian's two.
    let policy = RestartPolicy {
        max_restarts: 2,
        window: LIMIT,
        backoff_base: Duration::from_millis(1),
        ..RestartPolicy::default()
    };
    let pair = Pair::half_way(policy);
    let system = pair.bed.client.actors().unwrap();
    common::eventually("the system gives up", || {
        system.crash(Role::PartScheduler);
        pair.up.done() && pair.down.done()
    });
    assert!(system.is_closed());
    for future in [&pair.up, &pair.down] {
        let error = future.result(LIMIT).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert!(error.to_string().contains("part-scheduler fails again and again"), "{error}");
    }
    pair.gate.open();
    assert_eq!(pair.bed.manager.active(), 0);
    common::eventually("the temporary file goes", || std::fs::read_dir(pair.bed.folder.path()).unwrap().count() == 0);
    // The next transfer finds a system that works, behind the same manager.
    pair.bed.assert_works();
    // With a fresh budget: one more failure within that window would be too many otherwise.
    let next = pair.bed.client.actors().unwrap();
    for _ in 0..2 {
        let before = next.coordinator().unwrap();
        run_beside(&pair, || {
            actix::Arbiter::current().stop();
        });
        common::eventually("there is another coordinator", || next.coordinator().is_some_and(|now| now != before));
    }
    pair.bed.assert_works();
    assert!(!next.is_closed() && pair.bed.client.actors().unwrap().coordinator() == next.coordinator());
    drop(next);
    common::eventually("the upload is aborted", || pair.bed.server.open_uploads().is_empty());
    pair.bed.assert_clean(&[]);
    assert!(pair.bed.server.object(pair.bed.bucket(), "up").is_none());
}

/// An observer that does something on the actors' own thread when its transfer has ended.
struct AtTheEnd<F>(F, mpsc::Sender<Result<TransferOutcome, Error>>);

impl<F: Fn() + Send + Sync> Observer for AtTheEnd<F> {
    fn progressed(&self, _bytes: u64) {}

    fn finished(&self, result: Result<TransferOutcome, Error>) {
        self.1.send(result).unwrap();
        (self.0)();
    }
}

/// Runs a delete whose observer does something.
fn run_beside(pair: &Pair, act: impl Fn() + Send + Sync + 'static) {
    let serializer = common::serializer_of(&pair.bed.server);
    let call = Call::delete(&serializer, pair.bed.bucket(), "nothing", ExtraArgs::new()).unwrap();
    let (sender, ended) = mpsc::channel();
    let observer = Box::new(AtTheEnd(act, sender));
    let system = pair.bed.client.actors().unwrap();
    drop(system.submit(&call, &Tuning::default(), observer).unwrap());
    ended.recv_timeout(LIMIT).unwrap().unwrap();
}

#[test]
fn the_thread_of_all_actors_may_die() {
    let pair = Pair::half_way(RestartPolicy::default());
    let before = pair.bed.client.actors().unwrap().coordinator().unwrap();
    run_beside(&pair, || {
        actix::Arbiter::current().stop();
    });
    let system = pair.bed.client.actors().unwrap();
    common::eventually("there is another coordinator", || system.coordinator().is_some_and(|now| now != before));
    pair.assert_whole("the arbiter");
}

#[test]
fn an_observer_that_panics_harms_no_other_transfer() {
    let pair = Pair::half_way(RestartPolicy::default());
    run_beside(&pair, || panic!("an observer of the test panics"));
    pair.assert_whole("a panicking observer");
}

#[test]
fn transfers_that_are_read_once_and_written_in_order_survive_as_well() {
    let tireless = RestartPolicy { max_restarts: 10_000, backoff_base: Duration::ZERO, ..RestartPolicy::default() };
    for role in Role::ALL {
        let bed = Bed::with(|server| server, |client| client.restart(tireless).memory_limit(3 * PART));
        let size = 12 * PART;
        bed.object("down", 7, size);
        let sink = common::io::Sink::new();
        let reader = UploadSource::reader(common::io::Pattern::new(8, size));
        let (up_told, down_told) = (Witness::new(), Witness::new());
        let up = bed.manager.upload(reader, bed.bucket(), "up").subscriber(up_told.clone()).start().unwrap();
        let target = DownloadTarget::writer(sink.clone());
        let down = bed.manager.download(bed.bucket(), "down", target).subscriber(down_told.clone()).start().unwrap();
        let mut seen = 0;
        while !(up.done() && down.done()) {
            let moved = up.meta().bytes_transferred() + down.meta().bytes_transferred();
            if moved != seen {
                seen = moved;
                bed.client.actors().unwrap().crash(role);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        for (future, told) in [(up, up_told), (down, down_told)] {
            assert_eq!(future.result(LIMIT).unwrap_or_else(|error| panic!("{role:?}: {error}")).bytes, size);
            told.assert_complete(size, &format!("{role:?}"));
        }
        bed.check_object("up", 8, size);
        assert_eq!(sink.bytes().len() as u64, size);
        pattern::check(7, 0, &sink.bytes()).unwrap();
        bed.assert_clean(&[]);
    }
}

#[test]
fn cancels_and_failures_are_carried_through_the_deaths() {
    let bed = Bed::new();
    let source = bed.file("source", 1, 6 * PART);
    bed.object("down", 1, 6 * PART);
    for role in Role::ALL {
        let gate = Gate::new();
        let up_fault = bed.server.inject(FaultRule::on(Op::UploadPart).nth(3).then(Action::Hold(gate.clone())));
        let down_fault = bed.server.inject(FaultRule::on(Op::GetObject).nth(3).then(Action::Hold(gate.clone())));
        let up = bed.manager.upload(&source, bed.bucket(), "up").start().unwrap();
        let down = bed.manager.download(bed.bucket(), "down", bed.path("target")).start().unwrap();
        assert!(gate.arrived_blocking(2, LIMIT));
        bed.client.actors().unwrap().crash(role);
        assert!(up.cancel() && down.cancel());
        bed.client.actors().unwrap().crash(role);
        gate.open();
        assert_eq!((kind(up.result(LIMIT)), kind(down.result(LIMIT))), (ErrorKind::Cancelled, ErrorKind::Cancelled));
        up_fault.remove();
        down_fault.remove();
        bed.assert_clean(&["source"]);
    }
    let missing = bed.manager.download(bed.bucket(), "missing", bed.path("target")).start().unwrap();
    bed.client.actors().unwrap().crash(Role::Coordinator);
    assert_eq!(kind(missing.result(LIMIT)), ErrorKind::NoSuchKey);
    bed.assert_works();
    bed.assert_clean(&["source"]);
}
