//! A whole system without a store: whatever dies, is stopped or is dropped, every transfer is told one end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use xfer_core::budget::InUse;
use xfer_core::outcome::TransferOutcome;
use xfer_core::restart::RestartPolicy;

use super::*;
use crate::source::UploadSource;
use crate::test_kit::{PATIENCE, Told, Witness, end_of, upload};

/// A reader that fails when it is let go on: the transfer then ends without a store.
struct Gate(Receiver<()>);

impl Read for Gate {
    fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
        // Its sender's drop lets it go on.
        let _ = self.0.recv();
        Err(io::Error::other("on purpose"))
    }
}

fn start() -> XferSystem {
    XferSystem::start(Settings::default(), TransportConfig::default()).unwrap()
}

/// A transfer that waits for its reader until the sender is dropped.
fn waiting(system: &XferSystem) -> (Arc<Transfer>, Receiver<Told>, Sender<()>) {
    let (open, gate) = channel();
    let (observer, told) = Witness::boxed();
    let call = upload(UploadSource::reader(Gate(gate)));
    (system.submit(&call, &Tuning::default(), observer).unwrap(), told, open)
}

/// A transfer that fails at once shows that all that it takes is alive.
fn assert_works(system: &XferSystem) {
    let (_transfer, told, open) = waiting(system);
    drop(open);
    assert_eq!(kind(&told), ErrorKind::SourceRead);
}

fn kind(told: &Receiver<Told>) -> ErrorKind {
    let kind = end_of(told).unwrap_err().kind();
    assert!(told.try_recv().is_err(), "one end");
    kind
}

fn eventually(what: &str, holds: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// An observer that does something when it hears the end, on the actors' thread.
struct AtTheEnd<F>(Mutex<Option<F>>, Sender<ErrorKind>);

impl<F: FnOnce() + Send> Observer for AtTheEnd<F> {
    fn progressed(&self, _bytes: u64) {}

    fn finished(&self, result: Result<TransferOutcome, Error>) {
        let act = self.0.lock().take();
        let _ = self.1.send(result.unwrap_err().kind());
        if let Some(act) = act {
            act();
        }
    }
}

/// Submits a transfer that fails at once, and does something when it does.
fn at_the_end(system: &XferSystem, act: impl FnOnce() + Send + 'static) -> Receiver<ErrorKind> {
    let (told, end) = channel();
    let observer = Box::new(AtTheEnd(Mutex::new(Some(act)), told));
    let (open, gate) = channel();
    drop(open);
    system.submit(&upload(UploadSource::reader(Gate(gate))), &Tuning::default(), observer).unwrap();
    end
}

#[test]
fn nothing_is_left_of_many_transfers() {
    let system = start();
    // Only some of them can read at once, so all gates are opened before the first end is waited for.
    let waiting: Vec<_> = (0..300).map(|_| waiting(&system)).collect();
    let all: Vec<_> = waiting.into_iter().map(|(transfer, told, _opens)| (transfer, told)).collect();
    let mut weak = Vec::new();
    for (transfer, told) in all {
        assert_eq!(kind(&told), ErrorKind::SourceRead);
        assert!(!system.cancel(&transfer), "it has ended");
        weak.push((Arc::downgrade(&transfer), Arc::downgrade(transfer.call())));
    }
    assert_eq!((system.transfers(), system.in_use()), (0, InUse::default()));
    eventually("nobody holds them", || weak.iter().all(|(t, c)| t.upgrade().is_none() && c.upgrade().is_none()));
    assert!(system.inner.ledger.watched.is_empty());
    assert!(system.close(PATIENCE) && system.close(PATIENCE));
}

#[test]
fn a_cancelled_transfer_does_not_wait_for_a_reader_that_blocks() {
    let system = start();
    let (transfer, told, open) = waiting(&system);
    eventually("it reads", || system.in_use().memory > 0);
    assert!(system.cancel(&transfer));
    assert!(!system.cancel(&transfer));
    assert_eq!(kind(&told), ErrorKind::Cancelled);
    assert_eq!((system.transfers(), system.in_use()), (0, InUse::default()));
    drop(open);
    assert_works(&system);
}

#[test]
fn every_actor_may_crash_under_a_transfer() {
    let system = start();
    for role in Role::ALL {
        let (_transfer, told, open) = waiting(&system);
        eventually("it reads", || system.in_use().memory > 0);
        system.crash(role);
        drop(open);
        assert_eq!(kind(&told), ErrorKind::SourceRead, "{role:?}");
        assert_works(&system);
    }
}

#[test]
fn a_cancel_reaches_a_coordinator_that_crashes() {
    let system = start();
    for _ in 0..4 {
        let (transfer, told, _open) = waiting(&system);
        system.crash(Role::Coordinator);
        assert!(system.cancel(&transfer));
        assert_eq!(kind(&told), ErrorKind::Cancelled);
    }
}

#[test]
fn a_thread_that_dies_takes_all_actors_with_it_and_counts_as_one_failure() {
    let system = start();
    // As often as one actor may fail: were each of the five counted, the second time would be the end.
    for _ in 0..RestartPolicy::default().max_restarts - 1 {
        let (_transfer, told, open) = waiting(&system);
        let dead = system.coordinator().unwrap();
        let end = at_the_end(&system, || actix::Arbiter::current().stop().then_some(()).unwrap());
        assert_eq!(end.recv_timeout(PATIENCE).unwrap(), ErrorKind::SourceRead);
        eventually("the actors' thread ends", || !dead.connected());
        drop(open);
        assert_eq!(kind(&told), ErrorKind::SourceRead);
        assert_works(&system);
    }
    assert!(!system.is_closed());
}

#[test]
fn an_observer_that_panics_harms_no_other_transfer() {
    let system = start();
    let (_transfer, told, open) = waiting(&system);
    let end = at_the_end(&system, || std::panic::resume_unwind(Box::new("on purpose")));
    assert_eq!(end.recv_timeout(PATIENCE).unwrap(), ErrorKind::SourceRead);
    drop(open);
    assert_eq!(kind(&told), ErrorKind::SourceRead);
    assert_works(&system);
}

#[test]
fn actors_that_fail_too_often_end_all_transfers_and_the_system() {
    for role in Role::ALL {
        let settings =
            Settings { restart: RestartPolicy { max_restarts: 0, ..RestartPolicy::default() }, ..Settings::default() };
        let system = XferSystem::start(settings, TransportConfig::default()).unwrap();
        let (transfer, told, _open) = waiting(&system);
        system.crash(role);
        assert_eq!(kind(&told), ErrorKind::Internal, "{role:?}");
        assert!(!system.cancel(&transfer));
        let (observer, untold) = Witness::boxed();
        let refused = system.submit(&upload(&b"x"[..]), &Tuning::default(), observer).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Internal);
        assert!(untold.try_recv().is_err());
        assert!(system.close(PATIENCE));
    }
}

#[test]
fn a_system_that_waits_to_repair_itself_can_be_closed() {
    let hour = Duration::from_secs(3_600);
    let restart =
        RestartPolicy { backoff_base: hour, backoff_cap: hour, window: 10 * hour, ..RestartPolicy::default() };
    let settings = Settings { restart, ..Settings::default() };
    let system = XferSystem::start(settings, TransportConfig::default()).unwrap();
    let (_transfer, told, _open) = waiting(&system);
    let dead = system.coordinator().unwrap();
    let end = at_the_end(&system, || actix::Arbiter::current().stop().then_some(()).unwrap());
    assert_eq!(end.recv_timeout(PATIENCE).unwrap(), ErrorKind::SourceRead);
    eventually("the actors' thread ends", || !dead.connected());
    let begun = Instant::now();
    assert!(system.close(PATIENCE));
    assert_eq!(kind(&told), ErrorKind::ShutDown);
    assert!(begun.elapsed() < FAREWELL / 2, "{:?}", begun.elapsed());
}

#[test]
fn transfers_that_come_while_the_system_closes_are_refused_or_told_an_end() {
    for _ in 0..20 {
        let system = start();
        let told: Vec<(Receiver<Told>, Sender<()>)> = std::thread::scope(|scope| {
            let submitting: Vec<_> = (0..3)
                .map(|_| {
                    scope.spawn(|| {
                        let mut all = Vec::new();
                        loop {
                            let (open, gate) = channel();
                            let (observer, told) = Witness::boxed();
                            let call = upload(UploadSource::reader(Gate(gate)));
                            match system.submit(&call, &Tuning::default(), observer) {
                                Ok(_) => all.push((told, open)),
                                Err(error) => {
                                    assert_eq!(error.kind(), ErrorKind::ShutDown);
                                    return all;
                                }
                            }
                        }
                    })
                })
                .collect();
            assert!(system.close(PATIENCE));
            submitting.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        for (told, _open) in told {
            assert_eq!(kind(&told), ErrorKind::ShutDown);
        }
        assert_eq!(system.transfers(), 0);
    }
}

#[test]
fn the_last_handle_may_be_dropped_anywhere() {
    // On the actors' own thread.
    let system = start();
    let last = Arc::new(Mutex::new(None));
    let (_transfer, told, _open) = waiting(&system);
    let dropped = Arc::clone(&last);
    let (ready, go) = channel::<()>();
    let end = at_the_end(&system, move || {
        let _ = go.recv();
        drop(dropped.lock().take());
    });
    *last.lock() = Some(system);
    drop(ready);
    assert_eq!(end.recv_timeout(PATIENCE).unwrap(), ErrorKind::SourceRead);
    assert_eq!(kind(&told), ErrorKind::ShutDown);
    // In asynchronous code, which must not be blocked by it.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let told = runtime.block_on(async {
        let system = start();
        let (_transfer, told, open) = waiting(&system);
        drop(system);
        (told, open)
    });
    assert_eq!(kind(&told.0), ErrorKind::ShutDown);
}

#[test]
fn an_actix_system_that_is_stopped_by_its_owner_takes_the_transfers_with_it() {
    let host = System::new();
    let (system, told, _open) = host.block_on(async {
        let system = start();
        let (_transfer, told, open) = waiting(&system);
        System::current().stop();
        (system, told, open)
    });
    host.run().unwrap();
    assert_eq!(kind(&told), ErrorKind::ShutDown);
    eventually("it is closed", || system.is_closed());
    let (observer, _untold) = Witness::boxed();
    let refused = system.submit(&upload(&b"x"[..]), &Tuning::default(), observer).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ShutDown);
    assert!(system.close(PATIENCE));
}

#[test]
fn the_host_system_goes_on_when_xfer_ends() {
    let host = System::new();
    host.block_on(async {
        assert_eq!(XferSystem::start_in(Settings::default(), TransportConfig::default()).unwrap().transfers(), 0);
        let system = start();
        let (_transfer, told, _open) = waiting(&system);
        let ended = tokio::task::spawn_blocking(move || {
            drop(system);
            kind(&told)
        });
        assert_eq!(ended.await.unwrap(), ErrorKind::ShutDown);
        assert!(System::try_current().is_some());
        assert!(Arbiter::current().spawn(async {}), "its arbiter lives");
    });
}

#[test]
fn without_a_system_there_is_none_to_start_in() {
    let refused = XferSystem::start_in(Settings::default(), TransportConfig::default()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidConfig);
}
