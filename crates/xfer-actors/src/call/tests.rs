//! Who wins between stopping and becoming final, and what is checked at once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Barrier;

use super::*;
use crate::test_kit::{download, upload};

#[test]
fn a_phase_is_left_only_the_ways_it_may() {
    let open = Phase::default();
    assert!(open.try_commit() && open.try_commit(), "an attempt after an attempt");
    assert!(!open.try_stop());
    open.reopen();
    assert!(open.try_stop());
    assert!(!open.try_stop(), "a second time makes no difference");
    assert!(!open.try_commit());
    // The failed attempt of a transfer that was stopped meanwhile leaves it stopped.
    open.reopen();
    open.close();
    assert!(!open.try_commit() && !open.try_stop());

    let failed = Phase::default();
    failed.close();
    failed.reopen();
    assert!(!failed.try_stop() && !failed.try_commit());

    let committing = Phase::default();
    assert!(committing.try_commit());
    committing.close();
    committing.reopen();
    assert!(committing.try_stop(), "closing does not reach one that is committing");
}

#[test]
fn of_stop_and_commit_one_wins() {
    for _ in 0..2_000 {
        let (phase, barrier) = (Phase::default(), Barrier::new(2));
        let (stopped, committed) = std::thread::scope(|scope| {
            let stopping = scope.spawn(|| {
                barrier.wait();
                phase.try_stop()
            });
            barrier.wait();
            let committed = phase.try_commit();
            (stopping.join().unwrap(), committed)
        });
        assert!(stopped != committed);
    }
}

#[test]
fn calls_check_what_can_be_checked_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let serializer = crate::test_kit::serializer();
    let missing = Call::upload(&serializer, folder.path().join("no"), "b", "k", ExtraArgs::new()).unwrap_err();
    assert_eq!(missing.kind(), xfer_core::error::ErrorKind::SourceUnavailable);
    assert_eq!(missing.at().key.as_deref(), Some("k"));
    let nowhere = folder.path().join("no").join("file");
    let missing = Call::download(&serializer, "b", "k", nowhere, ExtraArgs::new()).unwrap_err();
    assert_eq!(missing.kind(), xfer_core::error::ErrorKind::TargetUnavailable);
    assert!(Call::delete(&serializer, "", "k", ExtraArgs::new()).is_err());
    let (one, two) = (upload(&b"abc"[..]), download(DownloadTarget::memory()));
    assert_ne!(one.id(), two.id());
    assert_eq!((one.size(), two.size()), (Some(3), None));
}
