//! Objects as streams of bytes, devices and pipes as targets, text as paths, and the caller's own errors beneath ours.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::error::Error as _;
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use common::io::{Pattern, Then, WriteThen};
use common::{Bed, LIMIT, PART, Witness, kind, runtime};
use futures_util::StreamExt;
use xfer_facade::{
    DownloadStream, DownloadTarget, Error, ErrorKind, ExtraArgs, Subscriber, TransferMeta, TransferOutcome,
    TransferStatus, UploadSource,
};
use xfer_tests::{Action, FaultRule, Op, pattern};

async fn collect(mut stream: DownloadStream) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await {
        bytes.extend_from_slice(&piece?);
    }
    let outcome = stream.future().unwrap().clone().await?;
    assert_eq!(outcome.bytes, bytes.len() as u64, "its future stays when the stream has ended");
    Ok(bytes)
}

#[test]
fn a_stream_takes_arguments_and_subscribers() {
    let bed = Bed::new();
    bed.object("k", 1, 3 * PART);
    let witness = Witness::new();
    let stream = bed
        .manager
        .download_stream(bed.bucket(), "k")
        .extra_args(ExtraArgs::new().range(format!("bytes={}-{}", PART - 1, 2 * PART)))
        .subscriber(Arc::clone(&witness));
    assert!(stream.future().is_none());
    assert!(format!("{stream:?}").contains("not started"), "{stream:?}");
    assert_eq!(bed.server.stats().total(), 0, "nothing is sent before it is polled or started");
    let bytes = runtime().block_on(collect(stream)).unwrap();
    assert_eq!(bytes.len() as u64, PART + 2);
    pattern::check(1, PART - 1, &bytes).unwrap();
    witness.assert_complete(PART + 2, "stream");
    bed.assert_clean(&[]);
}

/// Takes its time to hear of the end.
struct Slow;

impl Subscriber for Slow {
    fn on_done(&self, _: &TransferMeta, _: &Result<TransferOutcome, Error>) {
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_stream_ends_when_its_transfer_is_over() {
    let bed = Bed::new();
    bed.object("k", 1, 2 * PART);
    for (key, end) in [("k", None), ("not there", Some(ErrorKind::NoSuchKey))] {
        let mut stream = bed.manager.download_stream(bed.bucket(), key).subscriber(Slow);
        let error = runtime().block_on(async {
            loop {
                match stream.next().await {
                    Some(Ok(_)) => {}
                    end => break end.map(Result::unwrap_err),
                }
            }
        });
        assert_eq!(error.as_ref().map(Error::kind), end);
        assert!(stream.future().unwrap().done(), "{key}");
        bed.assert_clean(&[]);
        assert!(runtime().block_on(stream.next()).is_none(), "{key}");
    }
}

#[test]
fn a_stream_that_has_started_takes_no_more_words() {
    let bed = Bed::new();
    bed.object("k", 1, 2 * PART);
    let (first, second) = (Witness::new(), Witness::new());
    let started = |witness: &Arc<Witness>| {
        bed.manager.download_stream(bed.bucket(), "k").subscriber(Arc::clone(witness)).start().unwrap()
    };
    let stream = started(&first);
    assert_eq!(first.told().queued, 1, "it starts at once");
    let future = stream.future().unwrap().clone();
    let bytes = runtime().block_on(collect(stream)).unwrap();
    assert_eq!(bytes.len() as u64, 2 * PART);
    assert_eq!(runtime().block_on(future.clone()).unwrap().bytes, 2 * PART);
    assert_eq!(future.meta().status(), TransferStatus::Succeeded);
    assert_eq!(future.meta().call_args().fileobj, "stream");
    first.assert_complete(2 * PART, "stream");

    type TooLate = fn(DownloadStream, &Arc<Witness>) -> DownloadStream;
    let words: [(&str, TooLate); 2] = [
        ("extra_args", |stream, _| stream.extra_args(ExtraArgs::new().range("bytes=0-9"))),
        ("subscriber", |stream, second| stream.subscriber(Arc::clone(second))),
    ];
    for (what, too_late) in words {
        let stream = too_late(started(&Witness::new()), &second);
        let future = stream.future().unwrap().clone();
        assert!(format!("{stream:?}").contains(what), "{stream:?}");
        let items: Vec<_> = runtime().block_on(stream.collect());
        let [Err(error)] = &items[..] else { panic!("{items:?}") };
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.message().contains(what), "{error}");
        assert_eq!(kind(runtime().block_on(future)), ErrorKind::Cancelled);
        // One that has ended is none that has not started.
        let mut ended = started(&Witness::new());
        runtime().block_on(async { while ended.next().await.is_some() {} });
        let items: Vec<_> = runtime().block_on(too_late(ended, &second).collect());
        assert!(matches!(&items[..], [Err(error)] if error.kind() == ErrorKind::InvalidArgument), "{items:?}");
    }
    assert_eq!(second.told().queued, 0);
    bed.assert_clean(&[]);
}

#[test]
fn a_stream_that_is_refused_says_so_once() {
    let bed = Bed::new();
    let refused = || bed.manager.download_stream(bed.bucket(), "").extra_args(ExtraArgs::new());
    assert_eq!(kind(refused().start()), ErrorKind::InvalidArgument);
    let pieces: Vec<_> = runtime().block_on(refused().collect());
    assert_eq!(pieces.len(), 1, "then it has ended");
    assert_eq!(pieces[0].as_ref().unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(bed.server.stats().total(), 0);
    bed.assert_clean(&[]);
}

#[test]
fn a_part_is_sent_again_from_the_file_or_from_memory() {
    let bed = Bed::new();
    let size = 3 * PART;
    let file = bed.file("source", 1, size);
    let reader = Pattern::new(1, size);
    let read = reader.counter();
    for (name, source) in [("file", UploadSource::from(&file)), ("reader", UploadSource::reader(reader))] {
        // Each part is refused once when it was sent whole, and once it breaks on its way.
        let refused = bed
            .server
            .inject(FaultRule::on(Op::UploadPart).part(2).times(1).then(Action::Status(500, "InternalError")));
        let broken = bed.server.inject(FaultRule::on(Op::UploadPart).part(1).times(1).then(Action::Reset));
        let outcome = bed.manager.upload(source, bed.bucket(), "k").start().unwrap().result(LIMIT).unwrap();
        assert_eq!((refused.hits(), broken.hits()), (1, 1), "{name}");
        // A kept connection that breaks costs no attempt.
        assert!(outcome.retries >= 1, "{name}: {outcome:?}");
        bed.check_object("k", 1, size);
        assert!(bed.server.remove_object(bed.bucket(), "k"));
        bed.server.clear_faults();
    }
    assert_eq!(read.load(Ordering::SeqCst), size, "a reader is read once");
    bed.assert_clean(&["source"]);
}

#[test]
fn text_is_a_path_and_not_what_is_to_be_uploaded() {
    let bed = Bed::new();
    let path = bed.file("a file", 1, 1000);
    let text = path.to_str().unwrap();
    for source in [UploadSource::from(text), UploadSource::from(text.to_owned())] {
        bed.manager.upload(source, bed.bucket(), "k").start().unwrap().result(LIMIT).unwrap();
        bed.check_object("k", 1, 1000);
        assert!(bed.server.remove_object(bed.bucket(), "k"));
    }
    let error = bed.manager.upload("these are no contents", bed.bucket(), "k").start().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SourceUnavailable);
    assert_eq!(error.at().path.as_deref(), Some(Path::new("these are no contents")));
    // Bytes are contents.
    bed.manager.upload(text.as_bytes().to_vec(), bed.bucket(), "k").start().unwrap().result(LIMIT).unwrap();
    assert_eq!(bed.server.object(bed.bucket(), "k").unwrap().bytes(), text);
    // The same for targets.
    let target = bed.path("target");
    let text = target.to_str().unwrap();
    bed.object("down", 1, 1000);
    for to in [DownloadTarget::from(text), DownloadTarget::from(text.to_owned())] {
        bed.manager.download(bed.bucket(), "down", to).start().unwrap().result(LIMIT).unwrap();
        pattern::check_file(&target, 1, 1000).unwrap();
        std::fs::remove_file(&target).unwrap();
    }
    bed.assert_clean(&["a file"]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_device_takes_the_bytes_and_stays_what_it_is() {
    let bed = Bed::new();
    let size = 3 * PART;
    bed.object("k", 1, size);
    let witness = Witness::new();
    let call = bed.manager.download(bed.bucket(), "k", "/dev/null").subscriber(Arc::clone(&witness));
    assert_eq!(call.start().unwrap().result(LIMIT).unwrap().bytes, size);
    witness.assert_complete(size, "/dev/null");
    // One that is always full.
    let error = bed.manager.download(bed.bucket(), "k", "/dev/full").start().unwrap().result(LIMIT).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
    for device in ["/dev/null", "/dev/full"] {
        assert!(std::fs::metadata(device).unwrap().file_type().is_char_device(), "{device} was replaced");
    }
    bed.assert_works();
    bed.assert_clean(&[]);
}

#[test]
fn a_named_pipe_gives_the_bytes_in_order_to_who_reads_it() {
    let bed = Bed::new();
    let pipe = bed.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // Of an empty object the reader gets the end.
    for size in [3 * PART + 1, 0] {
        bed.object("k", 1, size);
        let (sender, read) = mpsc::channel();
        std::thread::spawn({
            let pipe = pipe.clone();
            move || {
                let mut bytes = Vec::new();
                std::fs::File::open(pipe).unwrap().read_to_end(&mut bytes).unwrap();
                sender.send(bytes).unwrap();
            }
        });
        bed.manager.download(bed.bucket(), "k", &pipe).start().unwrap().result(LIMIT).unwrap();
        let bytes = read.recv_timeout(LIMIT).expect("the reader comes to the end");
        assert_eq!(bytes.len() as u64, size);
        pattern::check(1, 0, &bytes).unwrap();
        assert!(std::fs::metadata(&pipe).unwrap().file_type().is_fifo(), "the pipe was replaced");
    }
    bed.assert_clean(&["pipe"]);
}

#[test]
fn an_empty_object_for_a_pipe_that_nobody_reads_can_be_cancelled() {
    let bed = Bed::new();
    bed.object("k", 1, 0);
    let pipe = bed.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let future = bed.manager.download(bed.bucket(), "k", &pipe).start().unwrap();
    common::eventually("it was fetched", || bed.server.stats().count(Op::GetObject) == 1);
    assert!(bed.server.wait_idle(LIMIT));
    bed.assert_works();
    assert!(!future.done() && future.cancel());
    assert_eq!(kind(future.result(LIMIT)), ErrorKind::Cancelled);
    bed.assert_clean(&["pipe"]);
    // Lets go of the thread that waits for a reader, if there is one by now; to read only would be to wait for it.
    drop(std::fs::File::options().read(true).write(true).open(&pipe).unwrap());
    bed.assert_works();
}

/// An error of the caller's own.
#[derive(Debug)]
struct Mine(u32);

impl std::fmt::Display for Mine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "my error {}", self.0)
    }
}

impl std::error::Error for Mine {}

fn mine(number: u32) -> io::Error {
    io::Error::other(Mine(number))
}

/// The caller's own error beneath one of ours.
fn beneath(error: &Error) -> u32 {
    let source = error.source().unwrap_or_else(|| panic!("{error} has no source"));
    let io = source.downcast_ref::<io::Error>().unwrap_or_else(|| panic!("the source is {source:?}"));
    io.get_ref().and_then(|inner| inner.downcast_ref::<Mine>()).unwrap_or_else(|| panic!("beneath is {io:?}")).0
}

#[test]
fn the_callers_own_error_is_the_source_of_ours() {
    let bed = Bed::new();
    bed.object("k", 1, 2 * PART);
    let targets = [
        DownloadTarget::writer(WriteThen::after(10, || Err(mine(1)))),
        DownloadTarget::async_writer(WriteThen::after(10, || Err(mine(1)))),
        DownloadTarget::seekable(WriteThen::after(10, || Err(mine(1)))),
    ];
    for target in targets {
        let name = format!("{target:?}");
        let error = bed.manager.download(bed.bucket(), "k", target).start().unwrap().result(LIMIT).unwrap_err();
        assert_eq!((error.kind(), beneath(&error)), (ErrorKind::TargetWrite, 1), "{name}");
        assert!(error.to_string().contains("my error 1"), "{error}");
    }
    let sources = [
        UploadSource::reader(Then::after(vec![1; 10], |_: &mut [u8]| Err(mine(2)))),
        UploadSource::async_reader(Then::after(vec![1; 10], |_: &mut [u8]| Err(mine(2)))),
        UploadSource::stream(futures_util::stream::iter([Err(mine(2))])),
    ];
    for source in sources {
        let error = bed.manager.upload(source, bed.bucket(), "up").start().unwrap().result(LIMIT).unwrap_err();
        assert_eq!((error.kind(), beneath(&error)), (ErrorKind::SourceRead, 2));
    }
    bed.assert_clean(&[]);
}

#[test]
fn a_stream_can_be_uploaded_however_large_it_is() {
    let bed = Bed::with(|server| server, |client| client.memory_limit(4 * PART));
    bed.object("k", 1, 20 * PART);
    let stream = bed.manager.download_stream(bed.bucket(), "k").map(|piece| piece.map_err(io::Error::from));
    let source = UploadSource::stream(stream);
    let future = bed.manager.upload(source, bed.bucket(), "copy").start().unwrap();
    assert_eq!(future.result(LIMIT).unwrap().bytes, 20 * PART);
    bed.check_object("copy", 1, 20 * PART);
    bed.assert_clean(&[]);
}

#[test]
fn streams_may_be_read_in_any_order() {
    let bed = Bed::with(|server| server, |client| client.memory_limit(4 * PART));
    bed.object("k", 1, 6 * PART);
    let start = |_| bed.manager.download_stream(bed.bucket(), "k").start().unwrap();
    let mut streams: Vec<DownloadStream> = (0..3).map(start).collect();
    // The first ones take all the memory that there is, and wait.
    common::eventually("the memory is full", || bed.server.stats().count(Op::GetObject) >= 4);
    while let Some(stream) = streams.pop() {
        let bytes = runtime().block_on(async { tokio::time::timeout(LIMIT, collect(stream)).await.unwrap() });
        pattern::check(1, 0, &bytes.unwrap()).unwrap();
    }
    bed.assert_clean(&[]);
}
