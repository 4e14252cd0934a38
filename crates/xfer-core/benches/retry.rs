//! What the verdict on a failed attempt costs: `cargo bench -p xfer-core --bench retry`.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use xfer_core::error::{Error, ErrorKind};
use xfer_core::retry::{RetryBucket, RetryPolicy, RetryState};

fn verdicts(criterion: &mut Criterion) {
    let policy = RetryPolicy::default();
    let mut group = criterion.benchmark_group("retry");
    for (name, kind) in [
        ("connection lost", ErrorKind::ConnectionLost),
        ("throttled", ErrorKind::Throttled),
        ("access denied", ErrorKind::AccessDenied),
    ] {
        let error = Error::new(kind, "");
        group.bench_function(name, |bencher| {
            let mut bucket = RetryBucket::default();
            bencher.iter(|| {
                let mut state = RetryState::default();
                let verdict = state.on_failure(&policy, black_box(&error), black_box(0.5), &mut bucket);
                state.on_success(&mut bucket);
                black_box(verdict)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, verdicts);
criterion_main!(benches);
