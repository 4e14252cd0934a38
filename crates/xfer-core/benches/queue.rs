//! What a job costs in the queue while many others wait: `cargo bench -p xfer-core --bench queue`.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use xfer_core::id::{JobId, TransferId};
use xfer_core::queue::{Class, Entry, FairQueue};

fn entry(transfer: u64) -> Entry {
    let class = if transfer.is_multiple_of(2) { Class::Small } else { Class::Bulk };
    Entry { transfer: TransferId(transfer), job: JobId(0), class, memory: 0 }
}

/// A queue in which one job of each of `waiting` transfers waits.
fn filled(waiting: u64) -> FairQueue {
    let mut queue = FairQueue::new();
    (0..waiting).for_each(|transfer| queue.push(entry(transfer)));
    queue
}

fn push_and_pop(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("queue");
    for waiting in [1_000, 100_000, 1_000_000] {
        let mut queue = filled(waiting);
        let mut next = waiting;
        group.bench_function(BenchmarkId::new("push and pop", waiting), |bencher| {
            bencher.iter(|| {
                queue.push(entry(next));
                next += 1;
                black_box(queue.pop_fitting(|_| true))
            });
        });
        group.bench_function(BenchmarkId::new("nothing fits", waiting), |bencher| {
            bencher.iter(|| black_box(queue.pop_fitting(|_| false)));
        });
    }
    group.finish();
}

criterion_group!(benches, push_and_pop);
criterion_main!(benches);
