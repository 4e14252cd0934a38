//! Downloads that go past the page cache: every byte in its place, whatever the sizes and whatever breaks. Where the folder's file system
//! takes no direct writes these are ordinary downloads, and each test says so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod common;

#[cfg(target_os = "linux")]
use std::process::Command;

use common::{Bed, LIMIT, PART, kind};
use tempfile::TempDir;
use xfer_facade::{Algorithm, ErrorKind, Verified};
use xfer_tests::{Action, FaultRule, Gate, Op, pattern};

/// On the disk that the tests were built on, rather than in a folder for temporary files that may be memory.
fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn bed(part_size: u64) -> Bed {
    Bed::with(|server| server, |client| client.direct_writes_from(1).part_size(part_size))
}

/// Past the page cache went at least so many bytes, where that can be.
fn assert_direct(bed: &Bed, folder: &TempDir, least: u64) {
    let written = bed.client.actors().unwrap().lanes().written_directly();
    if takes_direct_writes(folder) {
        assert!(written >= least, "{written} bytes were written directly, and {least} could be");
    } else {
        eprintln!("SKIPPED: {} takes no direct writes, so none were looked at", folder.path().display());
        assert_eq!(written, 0);
    }
}

/// Asks the system by other programs: the kind of file system by its name, and whether it takes such a write.
#[cfg(target_os = "linux")]
fn takes_direct_writes(folder: &TempDir) -> bool {
    let stat = Command::new("stat").args(["-f", "-c", "%T"]).arg(folder.path()).output().unwrap();
    let kind = String::from_utf8(stat.stdout).unwrap();
    let probe = folder.path().join("probe");
    let output = format!("of={}", probe.display());
    let write = Command::new("dd").args(["if=/dev/zero", "bs=4096", "count=1", "oflag=direct", &output]).output();
    std::fs::remove_file(&probe).unwrap();
    ["ext2/ext3", "xfs"].contains(&kind.trim()) && write.unwrap().status.success()
}

#[cfg(not(target_os = "linux"))]
fn takes_direct_writes(_folder: &TempDir) -> bool {
    false
}

fn names(folder: &TempDir) -> Vec<String> {
    std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn files_of_every_size_and_part_size_are_whole() {
    for part_size in [PART, PART + 1, PART + 4097] {
        let (bed, folder) = (bed(part_size), folder());
        let mut most = 0;
        for size in [0, 1, 4095, 4096, 4097, part_size, part_size + 1, 3 * part_size - 1, 4 * part_size + 12_345] {
            bed.object("k", size, size);
            let target = folder.path().join("target");
            let outcome = bed.manager.download(bed.bucket(), "k", &target).start().unwrap().result(LIMIT).unwrap();
            assert_eq!((outcome.bytes, outcome.verified), (size, Verified::FullObject(Algorithm::Crc64Nvme)));
            pattern::check_file(&target, size, size).unwrap();
            assert_eq!(names(&folder), ["target"]);
            most += size;
        }
        // All but the ends of parts.
        assert_direct(&bed, &folder, most * 9 / 10);
    }
}

#[test]
fn a_broken_body_goes_on_from_its_byte() {
    let (bed, folder) = (bed(PART), folder());
    let size = 4 * PART;
    bed.object("k", 3, size);
    // In the middle of a page, at the end of one, and once more within what was repeated.
    for (broken, times) in [(1_234_567, 1), (1 << 20, 1), (4096 + 1, 6)] {
        bed.server.inject(FaultRule::on(Op::GetObject).times(times).then(Action::ResetAfterBytes(broken)));
        let target = folder.path().join("target");
        let outcome = bed.manager.download(bed.bucket(), "k", &target).start().unwrap().result(LIMIT).unwrap();
        assert!(outcome.retries > 0);
        pattern::check_file(&target, 3, size).unwrap();
        bed.server.clear_faults();
    }
    assert_direct(&bed, &folder, 3 * size * 9 / 10);
}

#[test]
fn wrong_bytes_and_cancels_leave_nothing() {
    let (bed, folder) = (bed(PART), folder());
    let target = folder.path().join("target");
    bed.object("k", 3, 4 * PART);
    bed.server.inject(FaultRule::on(Op::GetObject).range_start(PART).then(Action::CorruptBody));
    let failed = bed.manager.download(bed.bucket(), "k", &target).start().unwrap().result(LIMIT);
    assert_eq!(kind(failed), ErrorKind::ChecksumMismatch);
    assert!(names(&folder).is_empty());
    bed.server.clear_faults();

    let gate = Gate::new();
    bed.server.inject(FaultRule::on(Op::GetObject).range_start(3 * PART).then(Action::Hold(gate.clone())));
    let future = bed.manager.download(bed.bucket(), "k", &target).start().unwrap();
    assert!(gate.arrived_blocking(1, LIMIT));
    assert!(future.cancel());
    assert_eq!(kind(future.result(LIMIT)), ErrorKind::Cancelled);
    gate.open();
    assert!(names(&folder).is_empty());
}
