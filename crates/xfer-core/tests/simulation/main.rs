//! Hundreds of transfers at a time through the real machines, queue, budget and retry rules, in virtual time, with every kind of
//! trouble at random: what must hold does hold after each run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod store;
mod world;

use std::time::Duration;

use xfer_core::budget::Limits;
use xfer_core::checksum::{Algorithm, ChecksumKind};
use xfer_core::delete::DeleteMachine;
use xfer_core::download::{DownloadMachine, DownloadSpec};
use xfer_core::error::ErrorKind;
use xfer_core::job::ObjectFacts;
use xfer_core::outcome::Verified;
use xfer_core::range::ByteRange;
use xfer_core::upload::{UploadChecksum, UploadMachine, UploadSpec};

use store::{Object, checksum_of};
use world::{Side, Weather, World, download_checksum};

const MIB: u64 = 1 << 20;

fn upload(length: u64, announced: bool, rereadable: bool, window: usize) -> UploadMachine {
    let kind = ChecksumKind::FullObject;
    let spec = UploadSpec {
        length: announced.then_some(length),
        rereadable,
        part_size: 5 * MIB,
        threshold: 5 * MIB,
        window,
        checksum: UploadChecksum::PerRequest { algorithm: Algorithm::Crc64Nvme, kind },
    };
    UploadMachine::new(spec).unwrap()
}

/// One transfer of any kind, as the dice fall.
fn add_any(world: &mut World, id: u64, random: &mut fastrand::Rng) {
    // Later than what others have left, by more than the whole seconds in which the store counts.
    let start = Duration::from_millis(random.u64(5_000..5_500));
    let stop = (random.u32(0..5) == 0).then(|| Duration::from_micros(random.u64(0..3_000_000)));
    let window = random.usize(1..9);
    match random.u32(0..10) {
        0..=4 => {
            let length = match random.u32(0..8) {
                0 => 0,
                1 => 5 * MIB,
                2 => 20 * MIB,
                3 => random.u64(0..5 * MIB),
                4 => random.u64(0..1_000 * MIB),
                _ => random.u64(0..100 * MIB),
            };
            let machine = upload(length, random.bool(), random.bool(), window);
            let free_only = random.u32(0..3) == 0;
            world.add(id, machine, Side::Upload { length, window, free_only }, start, stop);
            if random.u32(0..10) == 0 {
                // Another has been there before, with the same bytes or with others.
                let size = if random.bool() { length } else { length + 1 };
                let checksum = Some(checksum_of(ByteRange::new(0, size)));
                let object = Object { size, checksum, of_transfer: false, modified: Duration::ZERO };
                world.store.objects.insert(id, object);
            }
        }
        5..=8 => {
            let part_size = random.u64(1..2_000_000);
            let size = match random.u32(0..6) {
                0 => 0,
                1 => part_size * 3 / 2,
                2 => part_size * random.u64(1..20),
                3 => random.u64(0..part_size * 200),
                _ => random.u64(0..part_size * 20),
            };
            let object_start = if random.bool() { 0 } else { random.u64(0..1_000) };
            let corrupt = random.u32(0..20) == 0;
            let right = download_checksum(object_start, size, part_size);
            // The checksum of an object that begins one byte further on is another.
            let wrong = download_checksum(object_start + 1, size, part_size);
            let object = ObjectFacts {
                size,
                start: object_start,
                etag: Some("tag".into()),
                version_id: None,
                checksums: (if corrupt { wrong } else { right }).into_iter().collect(),
            };
            let ordered = random.bool();
            let spec = DownloadSpec { part_size, window, ordered, validate: true };
            let side = Side::Download { object, part_size, window, ordered, corrupt };
            world.add(id, DownloadMachine::new(spec), side, start, stop);
        }
        _ => world.add(id, DeleteMachine::new(), Side::Delete, start, stop),
    }
}

/// What must hold of each transfer, however it ended.
fn check(world: &World) -> (usize, usize) {
    let (mut succeeded, mut failed) = (0, 0);
    for (id, transfer) in &world.transfers {
        let result = transfer.result.as_ref().unwrap();
        if result.is_ok() {
            succeeded += 1
        } else {
            failed += 1
        }
        match &transfer.side {
            Side::Upload { length, free_only, .. } => {
                let object = world.store.objects.get(id);
                let is_ours = object.is_some_and(|object| object.of_transfer);
                match result {
                    Err(error) if error.kind() == ErrorKind::PreconditionFailed => {
                        assert!(*free_only && object.is_some());
                        assert!(!is_ours || transfer.look_failed, "a success was called a failure: {transfer:?}");
                    }
                    Err(error) if error.kind() == ErrorKind::NoSuchUpload => {
                        assert!(transfer.look_failed, "nobody else removes uploads: {transfer:?}");
                    }
                    _ => {}
                }
                if let Ok(outcome) = result {
                    assert_eq!(object.map(|object| object.size), Some(*length));
                    assert!(is_ours, "another's object was claimed: {transfer:?}");
                    assert_eq!((outcome.bytes, transfer.counted), (*length, *length), "progress tells each byte once");
                    assert_eq!(outcome.verified, Verified::FullObject(Algorithm::Crc64Nvme));
                }
            }
            Side::Download { object, corrupt, .. } => {
                assert_eq!(transfer.committed, result.is_ok());
                match result {
                    Ok(outcome) => {
                        assert!(!corrupt, "wrong bytes were called right");
                        assert_eq!((outcome.bytes, transfer.counted), (object.size, object.size));
                        assert_eq!(outcome.verified, Verified::FullObject(Algorithm::Crc64Nvme));
                        world.assert_covered(*id);
                        assert!(!transfer.discarded);
                    }
                    Err(error) => assert!(*corrupt || error.kind() != ErrorKind::ChecksumMismatch),
                }
            }
            Side::Delete => {}
        }
    }
    for upload in world.store.uploads.values().filter(|upload| upload.told) {
        let transfer = &world.transfers[&upload.transfer];
        let ended = upload.completed || upload.aborted;
        assert!(ended || transfer.abort_failed, "an upload is left behind: {upload:?} of {transfer:?}");
        assert!(upload.completed || transfer.result.as_ref().unwrap().is_err());
    }
    (succeeded, failed)
}

fn weather(failures: f64) -> Weather {
    let limits =
        Limits { requests: 24, connections: 24, transfers: usize::MAX, memory: 200 * MIB, bytes_per_second: None };
    Weather { failures, echoes: 0.1, limits }
}

#[test]
fn every_transfer_ends_once_and_nothing_is_left_behind() {
    let (mut succeeded, mut failed) = (0, 0);
    for seed in 0..400 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut weather = weather([0.0, 0.02, 0.1, 0.3][seed as usize % 4]);
        weather.limits.requests = random.usize(1..40);
        // Also less memory than a single part needs.
        weather.limits.memory = random.u64(MIB..300 * MIB);
        weather.limits.bytes_per_second = random.bool().then(|| random.u64(50 * MIB..2_000 * MIB));
        let mut world = World::new(seed, weather);
        for id in 0..120 {
            add_any(&mut world, id, &mut random);
        }
        world.run();
        assert!(world.most_requests <= weather.limits.requests);
        let (ok, err) = check(&world);
        (succeeded, failed) = (succeeded + ok, failed + err);
    }
    // Both ways were tried often enough for the checks to mean something.
    assert!(succeeded > 15_000 && failed > 4_000, "{succeeded} succeeded, {failed} failed");
}

#[test]
fn in_fair_weather_all_succeed_but_what_is_stopped_corrupt_or_refused() {
    for seed in 1_000..1_010 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut world = World::new(seed, weather(0.0));
        for id in 0..150 {
            add_any(&mut world, id, &mut random);
        }
        world.run();
        check(&world);
        for (id, transfer) in &world.transfers {
            if let Err(error) = transfer.result.as_ref().unwrap() {
                let taken = error.kind() == ErrorKind::PreconditionFailed && !world.store.objects[id].of_transfer;
                let expected = matches!(error.kind(), ErrorKind::Cancelled | ErrorKind::ChecksumMismatch) || taken;
                assert!(expected, "{error}");
            }
        }
    }
}

/// When the last of `small` small uploads and when a huge one of `parts` parts ends, with 16 requests at once.
fn small_and_huge(small: u64, parts: u64) -> (Duration, Duration) {
    let limits =
        Limits { requests: 16, connections: 16, transfers: usize::MAX, memory: 1 << 30, bytes_per_second: None };
    let mut world = World::new(7, Weather { failures: 0.0, echoes: 0.0, limits });
    if parts > 0 {
        let length = parts * 5 * MIB;
        let side = Side::Upload { length, window: 64, free_only: false };
        world.add(0, upload(length, true, true, 64), side, Duration::ZERO, None);
    }
    for id in 1..=small {
        let side = Side::Upload { length: 1_000, window: 1, free_only: false };
        world.add(id, upload(1_000, true, true, 1), side, Duration::from_millis(100), None);
    }
    world.run();
    check(&world);
    let last_small = world.transfers.iter().filter(|(id, _)| **id > 0).map(|(_, t)| t.ended_at).max();
    (last_small.unwrap_or_default(), world.transfers.get(&0).map(|t| t.ended_at).unwrap_or_default())
}

#[test]
fn neither_a_huge_file_nor_many_small_ones_starve_the_other() {
    let (small_alone, _) = small_and_huge(1_000, 0);
    let (_, huge_alone) = small_and_huge(0, 400);
    let (small, huge) = small_and_huge(1_000, 400);
    // Each has half of the slots while both are there.
    assert!(small < small_alone * 5 / 2, "the small ones: {small:?} instead of {small_alone:?}");
    assert!(huge < huge_alone + small_alone * 3 / 2, "the huge one: {huge:?} instead of {huge_alone:?}");
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let story = || {
        let mut random = fastrand::Rng::with_seed(5);
        let mut world = World::new(5, weather(0.1));
        (0..60).for_each(|id| add_any(&mut world, id, &mut random));
        world.run();
        let mut ends: Vec<_> = world.transfers.iter().map(|(id, t)| (*id, t.ended_at)).collect();
        ends.sort_unstable();
        ends
    };
    assert_eq!(story(), story());
}
