//! Being interrupted: SIGINT (Ctrl-C) and SIGTERM.
//!
//! The first one is only noted, so that everything can be cancelled and cleaned up; the second ends the process at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Exit status of a process that was interrupted: 128 and the number of SIGINT, as shells have it.
pub(crate) const INTERRUPTED: u8 = 130;

/// Whether somebody wants this to end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    pub(crate) fn is_raised(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn raise(&self) {
        if self.0.swap(true, Ordering::AcqRel) {
            std::process::exit(i32::from(INTERRUPTED));
        }
    }
}

/// Listens from now on, on a thread of its own.
///
/// # Errors
/// When the operating system gives no thread or takes no handler.
pub(crate) fn watch() -> io::Result<Interrupt> {
    let interrupt = Interrupt::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let mut signals = {
        let _inside = runtime.enter();
        Signals::new()?
    };
    let raised = interrupt.clone();
    std::thread::Builder::new().name("xfer-signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            while signals.next().await {
                raised.raise();
            }
        });
    })?;
    Ok(interrupt)
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// True at the next signal; false when there will be none.
    async fn next(&mut self) -> bool {
        tokio::select! {
            signal = self.interrupt.recv() => signal.is_some(),
            signal = self.terminate.recv() => signal.is_some(),
        }
    }
}

#[cfg(windows)]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Signals {
    fn new() -> io::Result<Signals> {
        tokio::signal::windows::ctrl_c().map(Signals)
    }

    /// True at the next signal; false when there will be none.
    async fn next(&mut self) -> bool {
        self.0.recv().await.is_some()
    }
}
