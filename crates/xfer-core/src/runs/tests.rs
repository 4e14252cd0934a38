#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::checksum::Algorithm;

fn pieces(data: &[u8], size: usize, algorithm: Algorithm) -> Vec<(u32, u64, Option<Checksum>)> {
    let piece =
        |(index, bytes): (usize, &[u8])| (index as u32, bytes.len() as u64, Some(Checksum::of(algorithm, bytes)));
    data.chunks(size).enumerate().map(piece).collect()
}

#[test]
fn any_order_gives_the_checksum_of_the_whole() {
    let data: Vec<u8> = (0..1000u32).map(|i| (i * 7 % 251) as u8).collect();
    for seed in 0..50 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut order = pieces(&data, 37, Algorithm::Crc64Nvme);
        random.shuffle(&mut order);
        let count = order.len() as u32;
        let mut runs = Runs::default();
        for (index, length, checksum) in order {
            assert_eq!(runs.checksum_of(count), None);
            runs.insert(index, length, checksum);
        }
        assert_eq!(runs.len(), 1);
        assert_eq!(runs.checksum_of(count), Some(&Checksum::of(Algorithm::Crc64Nvme, &data)));
    }
}

#[test]
fn one_piece_without_a_checksum_leaves_the_whole_without_one() {
    let data = [1u8; 30];
    let mut runs = Runs::default();
    for (index, length, checksum) in pieces(&data, 10, Algorithm::Crc32) {
        runs.insert(index, length, checksum.filter(|_| index != 1));
    }
    assert_eq!(runs.checksum_of(3), None);
}

#[test]
fn what_does_not_combine_is_kept_of_a_single_piece_only() {
    let mut runs = Runs::default();
    let checksum = Checksum::of(Algorithm::Sha256, b"ab");
    runs.insert(0, 2, Some(checksum.clone()));
    assert_eq!(runs.checksum_of(1), Some(&checksum));
    runs.insert(1, 2, Some(checksum));
    assert_eq!(runs.checksum_of(2), None);
}

#[test]
fn no_more_runs_than_gaps() {
    let mut runs = Runs::default();
    for index in (0..10_000).rev().filter(|index| index % 4_000 != 1) {
        runs.insert(index, 1, None);
    }
    assert_eq!(runs.len(), 4);
}
