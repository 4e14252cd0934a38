//! Sees transfers through: starts them as they come, at most so many at once, and takes their results.
//!
//! Costs as little as it can for each object: nobody is called back and nothing is awaited one by one. The loop sleeps until about
//! half of the transfers that were under way have ended (or a moment has passed), and then takes all results at once.
//!
//! Invariant: memory does not grow with the number of transfers.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use xfer_facade::{
    DownloadTarget, Error, ErrorKind, ExtraArgs, Shutdown, TransferCall, TransferFuture, TransferManager,
    TransferOutcome, UploadSource,
};

use crate::local;
use crate::plan::{Local, Task};
use crate::progress::{Gauge, Progress, Watched};
use crate::report::Report;
use crate::run_file::Batch;
use crate::signals::Interrupt;
use crate::url::Place;

/// Most transfers for each connection that are started and have not ended: enough that the connections never run dry while this thread sleeps,
/// and few enough that what is kept of a transfer is still in the processor's cache when its turn comes.
const WINDOW: usize = 4;
/// Longest sleep while more transfers are to be started.
const BRIEF: Duration = Duration::from_millis(20);
/// Longest sleep otherwise: how late an interruption is noticed, and how often bars move.
const LONG: Duration = Duration::from_millis(100);

/// Said at the first signal, because a clean-up takes as long as the store takes to answer.
const CLEANING_UP: &str = "xfer: interrupted: cancelling and cleaning up; once more ends at once, and may leave behind temporary files \
and multipart uploads";

/// Where tasks come from: those of the command line, or the batches of a file.
pub(crate) struct Feed {
    ready: VecDeque<Task>,
    more: Option<Receiver<Batch>>,
    /// Why it ended early.
    pub(crate) error: Option<String>,
}

impl Feed {
    pub(crate) fn of(tasks: Vec<Task>) -> Feed {
        Feed { ready: tasks.into(), more: None, error: None }
    }

    pub(crate) fn reading(batches: Receiver<Batch>) -> Feed {
        Feed { ready: VecDeque::new(), more: Some(batches), error: None }
    }

    /// The next task, if there is one now.
    fn next(&mut self) -> Option<Task> {
        while self.ready.is_empty()
            && let Some(batches) = &self.more
        {
            match batches.try_recv() {
                Ok(batch) => self.take(batch),
                Err(TryRecvError::Empty) => return None,
                Err(TryRecvError::Disconnected) => self.more = None,
            }
        }
        self.ready.pop_front()
    }

    /// Sleeps until there is something, at most `LONG`.
    fn wait(&mut self) {
        let Some(batches) = &self.more else { return };
        match batches.recv_timeout(LONG) {
            Ok(batch) => self.take(batch),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => self.more = None,
        }
    }

    fn take(&mut self, batch: Batch) {
        self.ready.extend(batch.tasks);
        if batch.error.is_some() {
            self.error = batch.error;
            self.more = None;
        }
    }

    /// Whether no task will come any more.
    fn is_over(&self) -> bool {
        self.ready.is_empty() && self.more.is_none()
    }
}

/// Extra arguments, for each kind of transfer those that it takes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arguments {
    pub(crate) upload: ExtraArgs,
    pub(crate) download: ExtraArgs,
    pub(crate) delete: ExtraArgs,
}

/// A transfer that goes on.
struct Active {
    task: Task,
    future: TransferFuture,
    since: Instant,
    gauge: Option<Gauge>,
}

impl Watched for Active {
    fn name(&self) -> String {
        match &self.task {
            Task::Upload { source: Local::Path(path), .. } => path.display().to_string(),
            Task::Upload { to: place, .. } | Task::Download { from: place, .. } | Task::Delete(place) => {
                place.key.clone()
            }
        }
    }

    fn future(&self) -> &TransferFuture {
        &self.future
    }

    fn gauge(&mut self) -> &mut Option<Gauge> {
        &mut self.gauge
    }
}

/// Sees all of them through.
pub(crate) struct Driver<'a> {
    pub(crate) manager: &'a TransferManager,
    pub(crate) arguments: Arguments,
    pub(crate) report: &'a mut Report,
    pub(crate) progress: Option<Progress>,
    pub(crate) interrupt: &'a Interrupt,
}

impl Driver<'_> {
    /// Returns when all have ended, or have been cancelled after an interruption and are cleaned up.
    pub(crate) fn run(mut self, feed: &mut Feed) {
        let mut active = Vec::new();
        let window = self.manager.client().max_connections().saturating_mul(WINDOW);
        while !self.interrupt.is_raised() {
            // Tasks that fail at once leave room for the next, and there may be no end of them.
            while active.len() < window
                && !self.interrupt.is_raised()
                && let Some(task) = feed.next()
            {
                active.extend(self.start(task));
            }
            self.collect(&mut active);
            self.report.flush();
            let over = feed.is_over();
            if let Some(progress) = &mut self.progress {
                progress.tick(&mut active, over);
            }
            match active.get(active.len() / 2) {
                Some(middle) => {
                    // Only to sleep: what has come of it is looked at when it is collected.
                    let _ = middle.future.result(if over { LONG } else { BRIEF });
                }
                None if over => break,
                None => feed.wait(),
            }
        }
        if let Some(progress) = &self.progress {
            progress.clear();
        }
        if self.interrupt.is_raised() {
            self.clean_up(active);
        }
    }

    fn clean_up(&mut self, mut active: Vec<Active>) {
        if !active.is_empty() {
            self.report.say(CLEANING_UP);
        }
        // That something could not be cleaned up in time is seen below, by what has not ended.
        let _ = self.manager.shutdown(Shutdown::Cancel);
        self.collect(&mut active);
        for left in active {
            let behind = left.task.left_behind().map_or(String::new(), |what| format!(": {what}"));
            let error = Error::new(ErrorKind::WaitTimeout, format!("it was cancelled and has not ended{behind}"));
            self.ended(left, &Err(error));
        }
    }

    fn start(&mut self, task: Task) -> Option<Active> {
        let since = Instant::now();
        let started = self.begin(&task);
        if let (Err(error), Task::Download { target: Local::Path(path), .. }) = (&started, &task)
            && error.kind() == ErrorKind::TargetUnavailable
            && path.is_dir()
            && let Some(inside) = task.inside_target()
        {
            return self.start(inside);
        }
        match started {
            Ok(future) => Some(Active { task, future, since, gauge: None }),
            Err(error) => {
                self.report.ended(&task, since.elapsed(), &Err(error));
                if let Some(progress) = &mut self.progress {
                    progress.ended(0, None);
                }
                None
            }
        }
    }

    /// A path is taken for a file's, as most are, and looked at only when it is none: that saves a look at each of many.
    fn begin(&self, task: &Task) -> Result<TransferFuture, Error> {
        let started = self.call(task).start();
        if let (Err(error), Task::Upload { source: Local::Path(path), to }) = (&started, task)
            && error.kind() == ErrorKind::SourceUnavailable
            && let Some(source) = local::stream_at(path)
        {
            return self.upload(source, to).start();
        }
        started
    }

    fn upload(&self, source: UploadSource, to: &Place) -> TransferCall {
        self.manager.upload(source, &to.bucket, &to.key).extra_args(self.arguments.upload.clone())
    }

    fn call(&self, task: &Task) -> TransferCall {
        match task {
            Task::Upload { source: Local::Standard, to } => self.upload(local::standard_input(), to),
            Task::Upload { source: Local::Path(path), to } => self.upload(UploadSource::path(path), to),
            Task::Download { from, target, .. } => {
                let target = match target {
                    Local::Standard => local::standard_output(),
                    Local::Path(path) => DownloadTarget::path(path),
                };
                self.manager.download(&from.bucket, &from.key, target).extra_args(self.arguments.download.clone())
            }
            Task::Delete(place) => {
                self.manager.delete(&place.bucket, &place.key).extra_args(self.arguments.delete.clone())
            }
        }
    }

    /// Takes the results of all that have ended.
    fn collect(&mut self, active: &mut Vec<Active>) {
        for ended in active.extract_if(.., |transfer| transfer.future.done()) {
            let result = ended.future.result(Duration::ZERO);
            self.ended(ended, &result);
        }
    }

    fn ended(&mut self, transfer: Active, result: &Result<TransferOutcome, Error>) {
        self.report.ended(&transfer.task, transfer.since.elapsed(), result);
        if let Some(progress) = &mut self.progress {
            progress.ended(result.as_ref().map_or(0, |outcome| outcome.bytes), transfer.gauge);
        }
    }
}
