//! Many transfers at once, of many sizes, from many threads, through one manager and through two.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::io::{Pattern, Sink, pattern_stream};
use common::{Bed, Ended, LIMIT, PART, kind, manager_of, runtime};
use futures_util::future::{FutureExt, join_all};
use xfer_actors::transport::TransportConfig;
use xfer_actors::{Call, Settings, Tuning, XferSystem};
use xfer_facade::{
    DownloadTarget, ErrorKind, ExtraArgs, TransferFuture, TransferManager, UploadSource, on_progress_fn,
};
use xfer_tests::{Action, FaultRule, Gate, Op, pattern};

#[test]
fn a_thousand_small_transfers_at_once() {
    let bed = Bed::new();
    let data = |index: u64| pattern::bytes(index, 1000 + index as usize);
    let keys: Vec<String> = (0..1000).map(|index| format!("small/{index}")).collect();
    let start = |index: usize| bed.manager.upload(data(index as u64), bed.bucket(), &keys[index]).start().unwrap();
    let futures: Vec<TransferFuture> = (0..1000).map(start).collect();
    for future in &futures {
        future.result(LIMIT).unwrap();
    }
    assert_eq!(bed.server.list_keys(bed.bucket()).len(), 1000);
    let futures: Vec<TransferFuture> = keys
        .iter()
        .map(|key| bed.manager.download(bed.bucket(), key, DownloadTarget::memory()).start().unwrap())
        .collect();
    for (index, future) in futures.iter().enumerate() {
        assert_eq!(future.result(LIMIT).unwrap().body.unwrap(), data(index as u64), "{index}");
    }
    let futures: Vec<TransferFuture> =
        keys.iter().map(|key| bed.manager.delete(bed.bucket(), key).start().unwrap()).collect();
    for future in futures {
        future.result(LIMIT).unwrap();
    }
    assert_eq!(bed.server.list_keys(bed.bucket()), Vec::<String>::new());
    let stats = bed.server.stats();
    assert_eq!(stats.total(), 3000, "one request each");
    assert!(stats.max_connections <= bed.client.max_connections(), "{stats:?}");
    assert_eq!(bed.client.peak_connections(), stats.max_connections);
    bed.assert_clean(&[]);
}

/// Sizes from nothing to twelve MiB, most of them small, as folders have them.
fn size_of(index: u64) -> u64 {
    match index % 10 {
        0 => 0,
        1 => 12 << 20,
        2 => PART + index,
        3 => 2 * PART + index,
        _ => 1 + (index * 7919) % 300_000,
    }
}

#[test]
fn three_hundred_mixed_transfers_of_mixed_sizes_from_four_threads() {
    // Little memory for what is read once or written in order, so that it is fought for.
    let bed = Bed::with(|server| server, |client| client.memory_limit(4 * PART));
    for index in 0..100 {
        bed.object(&format!("there/{index}"), index, size_of(index));
    }
    let done = AtomicU64::new(0);
    let moved = Arc::new(AtomicU64::new(0));
    let expected: u64 = (0..300).map(|index| size_of(index % 100)).sum();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (bed, done, moved) = (&bed, &done, &moved);
            scope.spawn(move || {
                let mut waiting: Vec<Box<dyn FnOnce() + '_>> = Vec::new();
                for index in (thread..300).step_by(4) {
                    let (seed, size) = (index % 100, size_of(index % 100));
                    let moved = Arc::clone(moved);
                    let count = on_progress_fn(move |_, bytes| {
                        moved.fetch_add(bytes, Ordering::Relaxed);
                    });
                    if index < 150 {
                        let key = format!("new/{index}");
                        let source = match index % 4 {
                            0 => UploadSource::from(bed.file(&format!("source {index}"), seed, size)),
                            1 => UploadSource::from(Bytes::from(pattern::bytes(seed, size as usize))),
                            2 => UploadSource::reader(Pattern::new(seed, size)),
                            _ => UploadSource::stream(pattern_stream(seed, size)).with_length(size),
                        };
                        let future = bed.manager.upload(source, bed.bucket(), &key).subscriber(count).start().unwrap();
                        waiting.push(Box::new(move || {
                            assert_eq!(future.result(LIMIT).unwrap().bytes, size);
                            bed.check_object(&key, seed, size);
                        }));
                    } else {
                        let key = format!("there/{seed}");
                        let (sink, path) = (Sink::new(), bed.path(&format!("target {index}")));
                        let target = match index % 4 {
                            0 => DownloadTarget::path(&path),
                            1 => DownloadTarget::memory(),
                            2 => DownloadTarget::writer(sink.clone()),
                            _ => DownloadTarget::async_writer(sink.clone()),
                        };
                        let call = bed.manager.download(bed.bucket(), &key, target).subscriber(count);
                        let future = call.start().unwrap();
                        waiting.push(Box::new(move || {
                            let outcome = future.result(LIMIT).unwrap();
                            let got = match index % 4 {
                                0 => std::fs::read(&path).unwrap(),
                                1 => outcome.body.unwrap().to_vec(),
                                _ => sink.bytes(),
                            };
                            assert_eq!(got.len() as u64, size, "{index}");
                            pattern::check(seed, 0, &got).unwrap();
                        }));
                    }
                }
                for wait in waiting {
                    wait();
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(done.into_inner(), 300);
    assert_eq!(moved.load(Ordering::Relaxed), expected);
    let files: Vec<String> = (0..300)
        .filter(|index| index % 4 == 0)
        .map(|index| if index < 150 { format!("source {index}") } else { format!("target {index}") })
        .collect();
    bed.assert_clean(&files.iter().map(String::as_str).collect::<Vec<_>>());
}

fn move_some(manager: &TransferManager, bed: &Bed, name: &str) {
    let futures: Vec<TransferFuture> = (0..40)
        .map(|index| {
            let data = pattern::bytes(index, size_of(index) as usize);
            manager.upload(data, bed.bucket(), &format!("{name}/{index}")).start().unwrap()
        })
        .collect();
    for future in futures {
        future.result(LIMIT).unwrap();
    }
    for index in 0..40 {
        bed.check_object(&format!("{name}/{index}"), index, size_of(index));
    }
}

#[test]
fn two_managers_of_one_client_and_of_two_do_not_disturb_each_other() {
    let bed = Bed::new();
    let same = manager_of(&bed.client);
    let other_client = common::client_of(&bed.server).num_threads(1).build().unwrap();
    let other = manager_of(&other_client);
    std::thread::scope(|scope| {
        for (name, manager) in [("one", &bed.manager), ("same", &same), ("other", &other)] {
            let bed = &bed;
            scope.spawn(move || move_some(manager, bed, name));
        }
    });
    // The end of one is not the end of the others.
    same.shutdown(xfer_facade::Shutdown::Cancel).unwrap();
    drop((same, other));
    bed.assert_works();
    bed.assert_clean(&[]);
}

#[test]
fn a_result_can_be_asked_for_again_and_again() {
    let bed = Bed::new();
    let gate = Gate::new();
    bed.server.inject(FaultRule::on(Op::PutObject).then(Action::Hold(gate.clone())));
    let future = bed.manager.upload(&b"hello"[..], bed.bucket(), "k").start().unwrap();
    assert!(gate.arrived_blocking(1, LIMIT));
    for wait in [Duration::ZERO, Duration::from_millis(1), Duration::from_millis(30)] {
        let begun = Instant::now();
        let error = future.result(wait).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WaitTimeout);
        assert!(begun.elapsed() >= wait && begun.elapsed() < wait + Duration::from_secs(5));
        assert!(!future.done());
    }
    // Threads and tasks that all wait for the same.
    let (clones, results) = (8, std::sync::Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for index in 0..clones {
            let (future, results) = (future.clone(), &results);
            scope.spawn(move || {
                let result = match index % 2 {
                    0 => future.result(None),
                    _ => runtime().block_on(async { join_all((0..5).map(|_| future.clone())).await.pop().unwrap() }),
                };
                results.lock().unwrap().push(result.unwrap());
            });
        }
        // They wait by now, or will at once: both must work.
        gate.open();
    });
    let results = results.into_inner().unwrap();
    assert_eq!(results.len(), clones);
    assert!(results.iter().all(|outcome| *outcome == results[0] && outcome.bytes == 5));
    assert_eq!(future.result(Duration::ZERO).unwrap(), results[0]);
    bed.assert_clean(&[]);
}

#[test]
fn one_huge_file_and_many_small_ones_share_the_connections() {
    let bed = Bed::with(|server| server, |client| client.max_connections(4));
    bed.server.set_latency(Duration::from_millis(2));
    let huge = bed.file("huge", 1, 60 * PART);
    let huge = bed.manager.upload(&huge, bed.bucket(), "huge").start().unwrap();
    common::eventually("the huge one is under way", || huge.meta().bytes_transferred() > 0);
    let small: Vec<TransferFuture> = (0..50)
        .map(|index| bed.manager.upload(&b"small"[..], bed.bucket(), &format!("small/{index}")).start().unwrap())
        .collect();
    for future in small {
        future.result(LIMIT).unwrap();
    }
    assert!(!huge.done(), "the small ones did not wait for the huge one");
    assert_eq!(huge.result(LIMIT).unwrap().bytes, 60 * PART);
    bed.check_object("huge", 1, 60 * PART);
    assert!(bed.server.stats().max_connections <= 4);
    bed.assert_clean(&["huge"]);
}

#[test]
fn more_connections_are_opened_while_they_bring_more() {
    let bed = Bed::new();
    // So long that it is what limits, however busy this machine is.
    bed.server.inject(FaultRule::on(Op::PutObject).then(Action::Delay(Duration::from_millis(200))));
    let data = Bytes::from(pattern::bytes(1, 10_000));
    let start = |index: usize| bed.manager.upload(data.clone(), bed.bucket(), &format!("k{index}")).start().unwrap();
    let futures: Vec<TransferFuture> = (0..600).map(start).collect();
    for future in futures {
        future.result(LIMIT).unwrap();
    }
    let peak = bed.client.peak_connections();
    assert!(peak > 8, "it never went beyond the {peak} that it starts with");
    assert!(peak <= bed.client.max_connections());
    bed.assert_clean(&[]);
}

#[test]
fn connections_that_are_kept_for_one_host_give_way_to_those_for_another() {
    let bed = Bed::new();
    let settings = Settings { lanes: 2, max_connections: 3, ..Settings::default() };
    let system = XferSystem::start(settings, TransportConfig::default()).unwrap();
    // The same server by two names: two origins, as two buckets of S3 are.
    let port = bed.server.address().port();
    let stores =
        ["127.0.0.1", "localhost"].map(|host| common::serializer_at(&bed.server, &format!("http://{host}:{port}")));
    let (sender, ended) = mpsc::channel();
    // Nothing is answered before all have come, so that those for the first name need all connections.
    let gate = Gate::new();
    bed.server.inject(FaultRule::any().then(Action::Hold(gate.clone())));
    for index in 0..60 {
        let key = format!("{index}");
        let data = pattern::bytes(index, 1000);
        let call = Call::upload(&stores[index as usize / 3 % 2], data, bed.bucket(), &key, ExtraArgs::new()).unwrap();
        drop(system.submit(&call, &Tuning::default(), Box::new(Ended(sender.clone()))).unwrap());
    }
    assert!(gate.arrived_blocking(3, LIMIT));
    gate.open();
    for _ in 0..60 {
        ended.recv_timeout(LIMIT).unwrap().unwrap();
    }
    assert!(bed.server.stats().connections_accepted > 3, "connections were replaced");
    let peak = system.lanes().transport().peak_connections();
    assert!((1..=3).contains(&peak), "{peak} connections at once");
    assert!(system.close(LIMIT));
}

/// Threads of this process.
#[cfg(target_os = "linux")]
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[cfg(target_os = "linux")]
#[test]
fn one_futures_wait_costs_no_thread() {
    if !common::child::by_itself("one_futures_wait_costs_no_thread") {
        return;
    }
    let bed = Bed::new();
    let gate = Gate::new();
    bed.server.inject(FaultRule::on(Op::PutObject).then(Action::Hold(gate.clone())));
    let call = |index: u64| bed.manager.upload(pattern::bytes(index, 2000), bed.bucket(), &format!("{index}"));
    let outcomes = runtime().block_on(async {
        let mut one = std::pin::pin!(call(0).into_future());
        assert!(one.as_mut().now_or_never().is_none());
        gate.arrived(1).await;
        let with_one = threads();
        let mut many = std::pin::pin!(join_all((1..200).map(|index| call(index).into_future())));
        assert!(many.as_mut().now_or_never().is_none());
        // As many as are sent at once: the others wait for their turn.
        gate.arrived(8).await;
        let with_many = threads();
        // The server may have needed a few for the connections.
        assert!(with_many <= with_one + 8, "{with_one} threads with one that waits, {with_many} with 200");
        gate.open();
        let mut outcomes = many.await;
        outcomes.push(one.await);
        outcomes
    });
    assert_eq!(outcomes.len(), 200);
    assert!(outcomes.iter().all(|outcome| outcome.as_ref().unwrap().bytes == 2000));
    assert_eq!(kind(bed.manager.upload(&b""[..], bed.bucket(), "").start()), ErrorKind::InvalidArgument);
    bed.assert_clean(&[]);
}

#[test]
fn many_uploads_are_begun_no_sooner_than_others_end() {
    let bed = Bed::with(|server| server, |client| client.max_connections(4));
    let source = bed.file("source", 1, 2 * PART);
    let (gate, all) = (Gate::new(), Gate::new());
    // None goes on before all have come: the parts of two would take all connections.
    let opening = bed.server.inject(FaultRule::on(Op::CreateMultipartUpload).then(Action::Hold(all.clone())));
    let held = bed.server.inject(FaultRule::on(Op::UploadPart).then(Action::Hold(gate.clone())));
    let start = |index| bed.manager.upload(&source, bed.bucket(), &format!("k{index}")).start().unwrap();
    let futures: Vec<TransferFuture> = (0..60).map(start).collect();
    assert!(all.arrived_blocking(4, LIMIT), "all connections open uploads");
    opening.remove();
    all.open();
    assert!(gate.arrived_blocking(4, LIMIT), "all connections have parts to send");
    // Each has its file open, and is in the store until it ends.
    let begun = bed.server.open_uploads().len();
    assert!((4..=16).contains(&begun), "{begun} were begun");
    held.remove();
    gate.open();
    for future in &futures {
        assert_eq!(future.result(LIMIT).unwrap().bytes, 2 * PART);
    }
    bed.assert_clean(&["source"]);
}
