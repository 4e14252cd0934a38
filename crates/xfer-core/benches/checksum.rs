//! What checksums cost as bytes flow, and when parts are combined: `cargo bench -p xfer-core --bench checksum`.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use xfer_core::checksum::{Algorithm, Checksum, Hasher};

/// As much as a lane reads or receives at once.
const PIECE: usize = 256 << 10;
/// A part of the default size.
const PART: u64 = 8 << 20;

fn streaming(criterion: &mut Criterion) {
    let piece: Vec<u8> = (0..PIECE).map(|index| (index % 251) as u8).collect();
    let mut group = criterion.benchmark_group("checksum");
    group.throughput(Throughput::Bytes(PIECE as u64));
    for algorithm in [Algorithm::Crc64Nvme, Algorithm::Crc32c, Algorithm::Sha256] {
        let mut hasher = Hasher::new(algorithm);
        group.bench_function(BenchmarkId::new("streaming", algorithm), |bencher| {
            bencher.iter(|| hasher.update(black_box(&piece)));
        });
    }
    group.finish();
}

fn combining(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("checksum");
    for algorithm in [Algorithm::Crc64Nvme, Algorithm::Crc32c] {
        let (one, other) = (Checksum::of(algorithm, b"one"), Checksum::of(algorithm, b"other"));
        group.bench_function(BenchmarkId::new("combining", algorithm), |bencher| {
            bencher.iter(|| black_box(one.then(black_box(&other), black_box(PART))));
        });
    }
    group.finish();
}

criterion_group!(benches, streaming, combining);
criterion_main!(benches);
