//! A ceiling on bytes per second: for all transfers together, both ways, whatever they come from and go to, and changed under way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::io;
use std::time::{Duration, Instant};

use common::{Bed, LIMIT, PART, kind, runtime};
use futures_util::StreamExt;
use xfer_facade::{DownloadTarget, ErrorKind, TransferFuture, UploadSource};
use xfer_tests::pattern;

const MIB: u64 = 1 << 20;
/// In bytes per second.
const CEILING: u64 = 16 * MIB;
/// Bytes of each transfer: two parts, so that several connections share the ceiling.
const SIZE: u64 = PART + 3 * MIB;

fn bed(ceiling: u64) -> Bed {
    Bed::with(|server| server, |client| client.max_bandwidth(ceiling).num_threads(2))
}

/// Does it, and checks that these bytes took no less time than the ceiling asks for: but for a quarter of a second, which is two bursts.
fn paced<T>(what: &str, bytes: u64, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let done = work();
    let least = Duration::from_secs_f64(bytes as f64 / CEILING as f64) - Duration::from_millis(250);
    assert!(begun.elapsed() >= least, "{what}: {bytes} bytes in {:?}, and not {least:?}", begun.elapsed());
    done
}

#[test]
fn a_ceiling_holds_whatever_bytes_come_from_and_go_to() {
    let bed = bed(CEILING);
    let file = bed.file("source", 1, SIZE);
    let data = pattern::bytes(1, SIZE as usize);
    let sources = [
        ("file", UploadSource::from(&file)),
        ("memory", UploadSource::from(data.clone())),
        ("reader", UploadSource::reader(io::Cursor::new(data.clone()))),
    ];
    for (what, source) in sources {
        paced(what, SIZE, || bed.manager.upload(source, bed.bucket(), "k").start().unwrap().result(LIMIT).unwrap());
        bed.check_object("k", 1, SIZE);
    }
    let path = bed.path("target");
    let targets = [
        ("file", DownloadTarget::from(&path)),
        ("memory", DownloadTarget::memory()),
        ("writer", DownloadTarget::writer(io::sink())),
        ("seekable", DownloadTarget::seekable(io::Cursor::new(Vec::new()))),
    ];
    for (what, target) in targets {
        paced(what, SIZE, || bed.manager.download(bed.bucket(), "k", target).start().unwrap().result(LIMIT).unwrap());
    }
    pattern::check_file(&path, 1, SIZE).unwrap();
    paced("stream", SIZE, || runtime().block_on(bed.manager.download_stream(bed.bucket(), "k").count()));
    bed.assert_clean(&["source", "target"]);
}

#[test]
fn a_ceiling_holds_past_the_page_cache() {
    let bed = Bed::with(|server| server, |client| client.max_bandwidth(CEILING).direct_writes_from(MIB).num_threads(2));
    bed.object("k", 1, SIZE);
    let path = bed.path("target");
    paced("direct", SIZE, || bed.manager.download(bed.bucket(), "k", &path).start().unwrap().result(LIMIT).unwrap());
    pattern::check_file(&path, 1, SIZE).unwrap();
    bed.assert_clean(&["target"]);
}

#[test]
fn all_transfers_together_stay_below_it() {
    let bed = bed(CEILING);
    let small = pattern::bytes(1, 64 << 10);
    bed.object("down", 2, SIZE);
    let begin = || -> Vec<TransferFuture> {
        let up = (0..64).map(|n| bed.manager.upload(small.clone(), bed.bucket(), &format!("up{n}")).start().unwrap());
        let down = bed.manager.download(bed.bucket(), "down", DownloadTarget::memory()).start().unwrap();
        up.chain([down]).collect()
    };
    paced("many", SIZE + 4 * MIB, || {
        for future in begin() {
            future.result(LIMIT).unwrap();
        }
    });
    bed.assert_clean(&[]);
}

#[test]
fn a_low_ceiling_is_shared_by_few_connections() {
    let bed = bed(64 << 10);
    let each = pattern::bytes(1, 2 << 10);
    let begin = |n| bed.manager.upload(each.clone(), bed.bucket(), &format!("k{n}")).start().unwrap();
    let futures: Vec<TransferFuture> = (0..16).map(begin).collect();
    for future in futures {
        future.result(LIMIT).unwrap();
    }
    assert!(bed.client.peak_connections() <= 2, "{}", bed.client.peak_connections());
    bed.assert_clean(&[]);
}

#[test]
fn it_is_changed_under_way_and_for_systems_to_come() {
    // Nothing would come to an end with it.
    let bed = bed(1);
    bed.object("k", 1, SIZE);
    let data = pattern::bytes(1, SIZE as usize);
    let up = bed.manager.upload(data, bed.bucket(), "up").start().unwrap();
    let down = bed.manager.download(bed.bucket(), "k", DownloadTarget::memory()).start().unwrap();
    assert_eq!(kind(up.result(Duration::from_millis(300))), ErrorKind::WaitTimeout);
    assert_eq!(bed.client.max_bandwidth(), Some(1));
    assert_eq!(bed.client.set_max_bandwidth(0).unwrap_err().kind(), ErrorKind::InvalidConfig);
    assert_eq!(bed.client.max_bandwidth(), Some(1));
    bed.client.set_max_bandwidth(None).unwrap();
    up.result(LIMIT).unwrap();
    down.result(LIMIT).unwrap();

    // A system in the place of one that has ended has it as it was set last.
    bed.client.set_max_bandwidth(CEILING).unwrap();
    assert!(bed.client.actors().unwrap().close(LIMIT));
    assert_eq!(bed.client.actors().unwrap().settings().max_bandwidth, Some(CEILING));
    let again = bed.manager.download(bed.bucket(), "k", DownloadTarget::memory());
    paced("again", SIZE, || again.start().unwrap().result(LIMIT).unwrap());
    bed.assert_clean(&[]);
}

#[test]
fn what_waits_for_it_can_be_cancelled() {
    let bed = bed(1);
    bed.object("k", 1, SIZE);
    let file = bed.file("source", 1, SIZE);
    let up = bed.manager.upload(&file, bed.bucket(), "up").start().unwrap();
    let small = bed.manager.upload(vec![7; 1000], bed.bucket(), "small").start().unwrap();
    let down = bed.manager.download(bed.bucket(), "k", bed.path("target")).start().unwrap();
    std::thread::sleep(Duration::from_millis(100));
    for (what, future) in [("parts", up), ("one request", small), ("a download", down)] {
        assert!(future.cancel(), "{what}");
        assert_eq!(kind(future.result(LIMIT)), ErrorKind::Cancelled, "{what}");
    }
    bed.assert_clean(&["source"]);
}
