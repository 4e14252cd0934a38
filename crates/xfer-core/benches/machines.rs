//! What a part costs the machine of its transfer, of transfers with few parts and with many: `cargo bench -p xfer-core --bench machines`.
//!
//! Each part is asked for, answered with the checksum of its bytes, and combined with its neighbours. The time is that of a whole
//! transfer; the throughput beside it is in parts.
#![allow(clippy::panic)]

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use xfer_core::checksum::{Algorithm, Checksum, ChecksumKind};
use xfer_core::download::{DownloadMachine, DownloadSpec};
use xfer_core::id::JobId;
use xfer_core::job::{Effect, Event, Job, Note, ObjectFacts, Reply, StoredObject};
use xfer_core::machine::Machine;
use xfer_core::upload::{UploadChecksum, UploadMachine, UploadSpec};

const PART: u64 = 5 << 20;
/// As many as a client with 64 connections has.
const WINDOW: usize = 128;
const PARTS: [u64; 3] = [100, 1_000, 10_000];

/// Answers jobs in the order in which they were asked for, until the transfer has ended.
fn run(mut machine: Machine, mut answer: impl FnMut(JobId, Job) -> [Option<Event>; 2]) -> Machine {
    let (mut effects, mut under_way) = (Vec::new(), VecDeque::new());
    machine.on(Event::Started, &mut effects);
    loop {
        for effect in effects.drain(..) {
            match effect {
                Effect::Run { id, job } => under_way.push_back((id, job)),
                Effect::Finish(Ok(_)) => return machine,
                other => panic!("{other:?}"),
            }
        }
        let Some((id, job)) = under_way.pop_front() else { panic!("nothing is under way, and it has not ended") };
        for event in answer(id, job).into_iter().flatten() {
            machine.on(event, &mut effects);
        }
    }
}

fn upload(parts: u64, etag: &Arc<str>, checksum: &Checksum) -> Machine {
    let spec = UploadSpec {
        length: Some(parts * PART),
        rereadable: true,
        part_size: PART,
        threshold: PART,
        window: WINDOW,
        checksum: UploadChecksum::PerRequest { algorithm: Algorithm::Crc64Nvme, kind: ChecksumKind::FullObject },
    };
    let Ok(machine) = UploadMachine::new(spec) else { panic!("no machine") };
    run(machine.into(), |job, asked| {
        let reply = match asked {
            Job::CreateUpload => Reply::UploadCreated { upload_id: Arc::clone(etag) },
            Job::UploadPart { .. } => Reply::PartStored { etag: Arc::clone(etag), checksum: Some(checksum.clone()) },
            Job::CompleteUpload { .. } => Reply::UploadCompleted(StoredObject::default()),
            other => panic!("{other:?}"),
        };
        [Some(Event::Done { job, reply }), None]
    })
}

fn download(facts: &ObjectFacts, checksum: &Checksum) -> Machine {
    let machine =
        DownloadMachine::new(DownloadSpec { part_size: PART, window: WINDOW, ordered: false, validate: true });
    let landed = || Reply::RangeLanded { length: PART, checksum: Some(checksum.clone()) };
    run(machine.into(), |job, asked| match asked {
        Job::Discover { .. } => {
            let note = Note::Discovered(Arc::new(facts.clone()));
            [Some(Event::Noted { job, note }), Some(Event::Done { job, reply: landed() })]
        }
        Job::FetchRange { .. } => [Some(Event::Done { job, reply: landed() }), None],
        Job::CommitTarget => [Some(Event::Done { job, reply: Reply::TargetCommitted }), None],
        other => panic!("{other:?}"),
    })
}

fn parts(criterion: &mut Criterion) {
    let checksum = Checksum::of(Algorithm::Crc64Nvme, b"a part's bytes");
    let etag: Arc<str> = "\"d41d8cd98f00b204e9800998ecf8427e\"".into();
    let mut group = criterion.benchmark_group("machines");
    group.sample_size(20);
    for parts in PARTS {
        let whole = (1..parts).try_fold(checksum.clone(), |whole, _| whole.then(&checksum, PART));
        let facts = ObjectFacts {
            size: parts * PART,
            start: 0,
            etag: Some(Arc::clone(&etag)),
            version_id: None,
            checksums: whole.into_iter().collect(),
        };
        group.throughput(Throughput::Elements(parts));
        group.bench_function(BenchmarkId::new("upload", parts), |bencher| {
            bencher.iter(|| black_box(upload(parts, &etag, &checksum)));
        });
        group.bench_function(BenchmarkId::new("download", parts), |bencher| {
            bencher.iter(|| black_box(download(&facts, &checksum)));
        });
    }
    group.finish();
}

criterion_group!(benches, parts);
criterion_main!(benches);
